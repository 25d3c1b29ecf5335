"""phb_fhir: a FHIR R4 server for NHS Personal Health Budgets."""

__version__ = "0.1.0"
