"""Where what HL7 published with R4 contradicts R4's own definitions: what is let pass all the same, and why.

The official examples and definitions are what every implementer copies from. Refusing them would help nobody, so each row
widens one rule by what the published content does.
"""

from __future__ import annotations

# Targets of references, by the type and element that points.
TARGETS: dict[tuple[str, str], frozenset[str]] = {
    # the definition says Reference(Device); DeviceMetric/example points to DeviceDefinition/dc102
    ("DeviceMetric", "parent"): frozenset(("DeviceDefinition",)),
}

# Value sets whose required binding is only remarked upon.
LOOSE: frozenset[str] = frozenset(
    # R4's own endpoints of DICOM have media types such as `application/dicom; variant=DICOM WADO-RS`, not as RFC 2045 quotes
    ("http://hl7.org/fhir/ValueSet/mimetypes",)
)

# Places an extension may stand, by its url.
CONTEXTS: dict[str, tuple[str, ...]] = {
    # its context is ElementDefinition.type.code; every R4 snapshot has it on ElementDefinition.type
    "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type": ("ElementDefinition.type",),
    # its context is StructureDefinition; R4's snapshots, and those made from them, have it on elements as well
    "http://hl7.org/fhir/StructureDefinition/structuredefinition-normative-version": ("ElementDefinition",),
    # its context is ElementDefinition; every R4 snapshot of a primitive has it on ElementDefinition.type
    "http://hl7.org/fhir/StructureDefinition/regex": ("ElementDefinition.type",),
}

# Rules of where an extension may stand, as published and as meant: in FHIRPath the value of an extension is `value`.
CONTEXT_RULES: dict[str, str] = {
    rule.format("valueInteger"): rule.format("value")
    for rule in (
        "type!='display' and (required=true or %extension.{}=0)",
        "type!='display' and (repeats=true or %extension.{}=1)",
    )
}

# Parts of a complex extension that its definition does not have, by its url.
PARTS: frozenset[tuple[str, str]] = frozenset(
    # the definition has "url" and "text"; Bundle/hla-1 has "uri"
    (("http://hl7.org/fhir/StructureDefinition/hla-genotyping-results-glstring", "uri"),)
)

# Codes, by their system, that R4's own examples use and their system does not have.
CODES: frozenset[tuple[str, str]] = frozenset(
    (
        ("http://terminology.hl7.org/CodeSystem/v3-orderableDrugForm", "Tab"),  # the system writes TAB, VIAL
        ("http://terminology.hl7.org/CodeSystem/v3-orderableDrugForm", "tab"),
        ("http://terminology.hl7.org/CodeSystem/v3-orderableDrugForm", "Vial"),
    )
)

# Canonical URLs of R4's own examples that are no address at all.
CANONICALS: frozenset[str] = frozenset(("library-fhir-helpers-predecessor",))

# Resources whose canonicals may point to what is not contained: PlanDefinition/example-cardiology-os forgot two.
FRAGMENTS: frozenset[str] = frozenset(("PlanDefinition",))
