"""FHIR's own verbs, one file each; `commit` is the one way anything is written. No HTTP connection in sight."""
