"""One file per search parameter type (R4 §3.1.1.4)."""
