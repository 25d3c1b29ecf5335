"""FHIRPath on resources as JSON: compiled once, exact about types, every step counted."""
