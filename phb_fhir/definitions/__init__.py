"""What this server believes about FHIR: read once, then frozen."""
