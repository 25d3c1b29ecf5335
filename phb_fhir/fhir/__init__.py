"""FHIR as plain JSON: small pure functions, no I/O."""
