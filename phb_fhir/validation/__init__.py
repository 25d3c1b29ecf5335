"""Is this resource what FHIR says it should be? A list of Issues, never an exception."""
