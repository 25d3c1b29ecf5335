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
}
