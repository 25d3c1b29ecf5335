"""Small profiles, and resources to hold against them."""

from __future__ import annotations

from datetime import date

from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.fhir import codec
from phb_fhir.validation.validate import validate

R4 = load()
TODAY = date(2026, 4, 1)
BASE = "http://hl7.org/fhir/StructureDefinition"
MINE = "https://example.org/StructureDefinition"


def profile(type_, *elements, name="Mine", base="", context=()):
    made = {
        "resourceType": "StructureDefinition",
        "url": f"{MINE}/{name}",
        "name": name,
        "status": "active",
        "kind": "complex-type" if type_ in R4.complex_types else "resource",
        "abstract": False,
        "type": type_,
        "baseDefinition": base or f"{BASE}/{type_}",
        "derivation": "constraint",
        "differential": {"element": [{"id": e["path"], **e} for e in ({"path": type_}, *elements)]},
    }
    if context:
        made["context"] = [{"type": kind, "expression": expression} for kind, expression in context]
    return as_read(made)


def extension(name, *elements, context=(("element", "Patient"),)):
    return profile(
        "Extension", {"path": "Extension.url", "fixedUri": f"{MINE}/{name}"}, *elements, name=name, context=context
    )


def element(path, **what):
    return {
        "id": path,
        "path": ".".join(step.partition(":")[0] for step in path.split(".")),
        **slice_name(path),
        **what,
    }


def slice_name(path):
    _, colon, name = path.rpartition(".")[2].partition(":")
    return {"sliceName": name} if colon else {}


def sliced(path, *discriminators, rules="open", ordered=False, **what):
    rows = [{"type": kind, "path": where} for kind, where in discriminators]
    return element(path, slicing={"discriminator": rows, "rules": rules, "ordered": ordered}, **what)


def as_read(resource):
    return codec.loads(codec.dumps(resource), depth_max=100)


def errors(resource, *conformance, profiles=None):
    known = Registry.of(R4, conformance)
    asked = [f"{MINE}/Mine"] if profiles is None else profiles
    return [i for i in validate(as_read(resource), R4, asked, known=known, today=TODAY) if i.is_error]


def remarks(resource, *conformance, **asked):
    """What is said that is no error, the narrative that every resource should have (dom-6) aside."""
    found = validate(as_read(resource), R4, known=Registry.of(R4, conformance), **asked)
    return [issue for issue in found if issue.expression != resource["resourceType"]]


NAMED = profile("Patient", element("Patient.name", min=1), name="Named")
