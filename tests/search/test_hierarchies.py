"""`:above` and `:below` of references (R4 §3.1.1.4.14): which hierarchy is meant, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.outcome import Kind
from phb_fhir.query import AnyOf, InHierarchy, Linked, LinkedFrom
from phb_fhir.search.conditions import targets_of
from phb_fhir.search.hierarchies import hierarchies
from tests.search.parsing import ASKING, BASE, check_refused, conditions, parsed, promised, refused

STRICT = "http://hl7.org/fhir/StructureDefinition/structuredefinition-hierarchy"


def marked() -> Iterator[tuple[str, str]]:
    """The references that R4's own definitions mark as strict hierarchies: the type, and the path of the element."""
    known = Registry.of(load(), [])
    for type_ in sorted(load().resource_types):
        structure = known.structure(f"http://hl7.org/fhir/StructureDefinition/{type_}")
        assert structure is not None
        for element in structure["snapshot"]["element"]:
            for one in element.get("type", ()):
                said = [row["valueBoolean"] for row in one.get("extension", ()) if row["url"] == STRICT]
                if said == [True] and one["code"] == "Reference":
                    yield type_, element["path"]


def test_whatever_r4_marks_as_a_hierarchy_is_walked_by_the_parameter_that_finds_it():
    found = list(marked())
    assert ("Location", "Location.partOf") in found
    assert len(found) == 6
    for type_, path in found:
        (parameter,) = [one for one in ASKING.parameters.of(type_).values() if one.expression == path]
        assert hierarchies(parameter, (type_,), ASKING) == {type_: parameter.code}


def test_a_type_has_the_hierarchy_of_its_parts_or_none():
    made = {}
    for type_ in load().resource_types:
        for parameter in ASKING.parameters.of(type_).values():
            if parameter.type == "reference":
                walked = hierarchies(parameter, targets_of(parameter, ASKING), ASKING)
                made |= {target: by for target, by in walked.items() if by not in ("based-on", "replaces")}
    assert made == {
        "Account": "part-of", "CarePlan": "part-of", "Communication": "part-of", "DeviceDefinition": "parent",
        "Encounter": "part-of", "Location": "partof", "MedicationStatement": "part-of", "Organization": "partof",
        "Procedure": "part-of", "ResearchStudy": "partof", "Specimen": "parent", "Task": "part-of",
    }  # fmt: skip


def in_hierarchy(parameter: str, type_: str, by: str, *ids: str, way: str = "below") -> InHierarchy:
    assert way in ("above", "below")
    starts = tuple(f"{type_}/{id_}" for id_ in ids)
    return InHierarchy(parameter, "below" if way == "below" else "above", type_, by, starts)


LOCATED = in_hierarchy("location", "Location", "partof", "1")


@pytest.mark.parametrize(
    ("types", "name", "value", "node"),
    [
        ("Procedure", "location:below", "1", LOCATED),
        ("Procedure", "location:below", "Location/1", LOCATED),
        ("Procedure", "location:below", f"{BASE}/Location/1", LOCATED),
        ("Procedure", "location:above", "1", in_hierarchy("location", "Location", "partof", "1", way="above")),
        (
            "Procedure",
            "location:below",
            "1,Location/2,1",
            in_hierarchy("location", "Location", "partof", "1", "2"),
        ),
        ("Procedure", "part-of:below", "Procedure/1", in_hierarchy("part-of", "Procedure", "part-of", "1")),
        # the reference's own hierarchy, where R4 says that it is one; else that of the type
        ("CarePlan", "based-on:below", "1", in_hierarchy("based-on", "CarePlan", "based-on", "1")),
        ("CarePlan", "replaces:below", "1", in_hierarchy("replaces", "CarePlan", "replaces", "1")),
        ("CarePlan", "part-of:below", "1", in_hierarchy("part-of", "CarePlan", "part-of", "1")),
        ("Task", "based-on:below", "CarePlan/1", in_hierarchy("based-on", "CarePlan", "part-of", "1")),
        # the guide's own
        ("Account", "part-of:below", "1", in_hierarchy("part-of", "Account", "part-of", "1")),
        ("ChargeItem", "account:below", "1", in_hierarchy("account", "Account", "part-of", "1")),
        # several types that have one
        ("Account", "subject:below", "Location/1", in_hierarchy("subject", "Location", "partof", "1")),
    ],
)
def test_what_is_above_or_below_is_asked_in_the_hierarchy_of_what_is_pointed_to(types, name, value, node):
    assert conditions(types, (name, value)) == (node,)


def test_an_id_alone_is_asked_of_each_hierarchy_once():
    (node,) = conditions("Account", ("subject:below", "1,2"))
    assert isinstance(node, AnyOf)
    assert set(node.parts) == {
        in_hierarchy("subject", "Location", "partof", "1", "2"),
        in_hierarchy("subject", "Organization", "partof", "1", "2"),
    }


def test_a_hierarchy_stands_at_the_end_of_chains_and_of_has():
    (chained,) = conditions("Task", ("focus:Procedure.location:below", "1"))
    assert chained == Linked("focus", ("Procedure",), LOCATED)
    (back,) = conditions("Patient", ("_has:Procedure:patient:location:below", "1"))
    assert back == LinkedFrom("Procedure", "patient", LOCATED)


def test_the_versions_of_a_canonical_are_no_hierarchy():
    (node,) = conditions("QuestionnaireResponse", ("questionnaire:below", "http://a.org/q|1"))
    assert not isinstance(node, InHierarchy)
    check_refused("QuestionnaireResponse", ("questionnaire:above", "http://a.org/q"), Kind.NOT_SUPPORTED, "canonical")


@pytest.mark.parametrize(
    ("types", "name", "value", "kind", "words"),
    [
        ("Procedure", "patient:below", "1", Kind.NOT_SUPPORTED, ["patient:below", "Account, CarePlan", ":identifier"]),
        ("Procedure", "patient:above", "1", Kind.NOT_SUPPORTED, ["patient:above", "Location"]),
        ("Account", "subject:below", "Patient/1", Kind.VALUE, ["no hierarchy of Patient", "Location/[id]"]),
        ("Procedure", "location:below", "Encounter/1", Kind.VALUE, ["no hierarchy of Encounter", "Location/[id]"]),
        ("Procedure", "location:below", "Location/1/_history/2", Kind.VALUE, ["a version", "write Location/1."]),
        ("Procedure", "location:below", "http://other.example/fhir/Location/1", Kind.VALUE, ["Location/[id]"]),
        ("Procedure", "location:below", "urn:uuid:9b1d9f31-4b1c-4f3f-9f3e-000000000000", Kind.VALUE, ["Location/[id]"]),
        ("Procedure", "location:below", "Location/1|2", Kind.VALUE, ["Location/[id]"]),
        ("Procedure", "location:below", "1|2", Kind.VALUE, ["Location/[id]"]),
        ("Procedure", "location:below", "a b", Kind.VALUE, ["Location/[id]"]),
        ("Procedure", "location:below", "|", Kind.INVALID, ["is no reference"]),
        ("Procedure", "location:under", "1", Kind.NOT_SUPPORTED, [":under"]),
    ],
)
def test_what_is_in_no_hierarchy_is_refused_with_what_is(types, name, value, kind, words):
    check_refused(types, (name, value), kind, *words)


def test_a_hierarchy_is_made_by_what_is_promised_only():
    def without(type_):
        return [code for code in promised(type_) if (type_, code) != ("Location", "partof")]

    assert parsed("Procedure", ("location:below", "1")).query.where.parts == (LOCATED,)
    ((kind, text),) = refused("Procedure", ("location:below", "1"), promised=without)
    assert kind is Kind.NOT_SUPPORTED
    assert "Location" not in text
