"""FHIR REST over HTTP. It reads requests and writes answers; it decides nothing."""
