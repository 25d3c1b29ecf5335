"""FHIRPath Patch (hl7.org/fhir/R4/fhirpatch.html): the official cases (FHIR/fhir-test-cases), each kind of operation, and what is none."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phb_fhir.fhir import codec, path
from phb_fhir.fhir.codec import Exact
from phb_fhir.fhir.patch import apply_fhirpath_patch
from phb_fhir.outcome import Kind, Refusal, Rejected
from tests.fhir.patching import R4, SHARED, SMITH, TEST_RESULT, one, operation, part, patched, refusal_of
from tests.xml_resources import resource_of

FHIRPATH_CASES = ET.parse(SHARED / "fhir-patch-tests.xml").getroot().findall("case")


@pytest.mark.parametrize("case", FHIRPATH_CASES, ids=[str(case.get("name")) for case in FHIRPATH_CASES])
def test_official_fhirpath_patch_case_gives_what_it_says(case: ET.Element) -> None:
    resource, parameters = (resource_of(case.find(name)[0]) for name in ("input", "diff"))  # type: ignore[index]
    output = case.find("output")
    if output is None:
        with pytest.raises(Rejected):
            apply_fhirpath_patch(resource, parameters, R4)
    else:
        assert apply_fhirpath_patch(resource, parameters, R4) == resource_of(output[0])


def test_official_fhirpath_cases_are_all_here() -> None:
    assert len(FHIRPATH_CASES) == 33


def without(resource: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name not in names}


# --- add


def test_add_to_a_list_appends() -> None:
    result = one(SMITH, "add", path="Patient", name="identifier", value={"valueIdentifier": {"value": "3"}})
    assert result == {**SMITH, "identifier": [*SMITH["identifier"], {"value": "3"}]}


def test_add_of_what_is_there_and_does_not_repeat_is_refused() -> None:
    refused = refusal_of(lambda: one(SMITH, "add", path="Patient", name="birthDate", value={"valueDate": "1971-01-01"}))
    assert refused == (
        Refusal.UNPROCESSABLE,
        Kind.DUPLICATE,
        "operation[0] (add Patient): birthDate is there already, and it does not repeat.",
    )


def test_add_where_only_an_extension_stands_for_the_value_is_refused() -> None:
    resource = without(SMITH, "birthDate")
    value = {"valueDate": "1971-01-01"}
    assert refusal_of(lambda: one(resource, "add", path="Patient", name="birthDate", value=value))[1] is Kind.DUPLICATE


@pytest.mark.parametrize(
    ("value", "name"),
    [({"valueQuantity": {"value": 1}}, "valueQuantity"), ({"valueString": "s"}, "valueString"), ({"valueBoolean": False}, "valueBoolean")],
)  # fmt: skip
def test_add_of_a_choice_names_the_property_by_the_type_of_the_value(value: dict[str, Any], name: str) -> None:
    resource = without(TEST_RESULT, "valueQuantity")
    assert one(resource, "add", path="Observation", name="value", value=value) == {**resource, name: value[name]}


def test_add_of_a_choice_that_has_another_type_already_is_refused() -> None:
    value = {"valueString": "heavy"}
    assert (
        refusal_of(lambda: one(TEST_RESULT, "add", path="Observation", name="value", value=value))[1] is Kind.DUPLICATE
    )
    spelled = refusal_of(lambda: one(TEST_RESULT, "add", path="Observation", name="valueString", value=value))
    assert spelled[1] is Kind.DUPLICATE


def test_add_of_a_choice_by_its_spelled_out_name_takes_that_type_only() -> None:
    resource = without(TEST_RESULT, "valueQuantity")
    added = one(resource, "add", path="Observation", name="valueString", value={"valueString": "heavy"})
    assert added["valueString"] == "heavy"
    wrong = refusal_of(lambda: one(resource, "add", path="Observation", name="valueString", value={"valueInteger": 7}))
    assert wrong[2] == "operation[0] (add Observation): the value is a integer, where string belongs."


def test_add_of_parts_builds_an_element_as_deep_as_they_go() -> None:
    parts = [
        part("code", {"valueCodeableConcept": {"text": "height"}}),
        part("value", {"valueQuantity": {"value": Exact("1.80")}}),
        part("interpretation", {"valueCodeableConcept": {"text": "high"}}),
        part("interpretation", {"valueCodeableConcept": {"text": "tall"}}),
        part("referenceRange", [part("text", "normal"), part("low", {"valueQuantity": {"value": 1}})]),
        part("referenceRange", [part("appliesTo", {"valueCodeableConcept": {"text": "men"}})]),
        part("extension", [part("url", {"valueUri": "http://x.org/e"}), part("value", {"valueCode": "c"})]),
    ]
    result = one(TEST_RESULT, "add", path="Observation", name="component", value=parts)
    assert result["component"][2] == {
        "code": {"text": "height"},
        "valueQuantity": {"value": Exact("1.80")},
        "interpretation": [{"text": "high"}, {"text": "tall"}],
        "referenceRange": [{"text": "normal", "low": {"value": 1}}, {"appliesTo": [{"text": "men"}]}],
        "extension": [{"url": "http://x.org/e", "valueCode": "c"}],
    }


def test_add_of_parts_makes_any_type_that_has_children() -> None:
    result = one(SMITH, "add", path="Patient", name="maritalStatus", value=[part("text", "married")])
    assert result["maritalStatus"] == {"text": "married"}


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([part("colour", "red")], "there is no element colour in Patient.contact"),
        ([part("gender", {"valueCode": "male"}), part("gender", {"valueCode": "other"})], "gender is there already, and it does not repeat"),
        ([part("gender", [part("value", "male")])], "the value is given as parts, where code belongs"),
        ([part("name", {"valueIdentifier": {"value": "1"}})], "the value is a Identifier, where HumanName belongs"),
    ],
)  # fmt: skip
def test_add_of_parts_that_do_not_fit_is_refused(parts: list[Any], reason: str) -> None:
    refused = refusal_of(lambda: one(SMITH, "add", path="Patient", name="contact", value=parts))
    assert refused[2] == f"operation[0] (add Patient): {reason}."


def test_add_of_a_primitive_with_extensions_fills_both_properties() -> None:
    value = {"valueString": "Di", "_valueString": {"id": "di"}}
    name = one(SMITH, "add", path="Patient.name[0]", name="given", value=value)["name"][0]
    assert (name["given"], name["_given"]) == (["Al", "Bo", "Cy", "Di"], [None, {"id": "bo"}, None, {"id": "di"}])
    other = one(SMITH, "add", path="Patient.name[1]", name="given", value=value)["name"][1]
    assert (other["given"], other["_given"]) == (["Di"], [{"id": "di"}])


def test_add_of_a_plain_value_keeps_the_companions_aligned() -> None:
    name = one(SMITH, "add", path="Patient.name[0]", name="given", value={"valueString": "Di"})["name"][0]
    assert name["_given"] == [None, {"id": "bo"}, None, None]


def test_add_of_a_primitive_that_has_only_extensions_writes_no_value() -> None:
    unknown = {"extension": [{"url": "http://x.org/absent", "valueCode": "unknown"}]}
    resource = {"resourceType": "Patient"}
    added = one(resource, "add", path="Patient", name="birthDate", value={"_valueDate": unknown})
    assert added == {"resourceType": "Patient", "_birthDate": unknown}


def test_add_of_an_extension_to_a_primitive_stands_beside_it() -> None:
    extension = {"url": "http://x.org/e", "valueBoolean": True}
    resource = {"resourceType": "Patient", "gender": "male", "name": [{"given": ["A", "B"]}]}
    parts = [part("url", {"valueUri": "http://x.org/e"}), part("value", {"valueBoolean": True})]
    result = patched(
        resource,
        operation("add", path="Patient.gender", name="extension", value=parts),
        operation("add", path="Patient.name.given[1]", name="id", value="b"),
    )
    assert result == {
        "resourceType": "Patient",
        "gender": "male",
        "_gender": {"extension": [extension]},
        "name": [{"given": ["A", "B"], "_given": [None, {"id": "b"}]}],
    }


def test_add_of_a_resource_is_contained() -> None:
    resource = {"resourceType": "Organization", "id": "o"}
    result = one(SMITH, "add", path="Patient", name="contained", value={"resource": resource})
    assert result["contained"][1] == resource
    wrong = refusal_of(lambda: one(SMITH, "add", path="Patient", name="contact", value={"resource": resource}))
    assert wrong[2] == "operation[0] (add Patient): the value is a Resource, where Patient.contact belongs."


def test_add_of_an_unknown_element_is_refused() -> None:
    refused = refusal_of(lambda: one(SMITH, "add", path="Patient", name="nickname", value={"valueString": "x"}))
    assert refused == (
        Refusal.BAD_REQUEST,
        Kind.STRUCTURE,
        "operation[0] (add Patient): there is no element nickname in Patient.",
    )


def test_value_is_not_shared_between_parameters_and_result() -> None:
    name = {"family": "New"}
    result = patched(
        SMITH,
        operation("add", path="Patient", name="name", value={"valueHumanName": name}),
        operation("add", path="Patient.name[2]", name="text", value="changed"),
    )
    assert result["name"][2] == {"family": "New", "text": "changed"}
    assert name == {"family": "New"}


# --- insert and move


@pytest.mark.parametrize(("index", "expected"), [(0, "X12"), (1, "1X2"), (2, "12X")])
def test_insert_puts_the_value_at_the_index(index: int, expected: str) -> None:
    result = one(SMITH, "insert", path="Patient.identifier", index=index, value={"valueIdentifier": {"value": "X"}})
    assert "".join(identifier["value"] for identifier in result["identifier"]) == expected


def test_insert_into_a_list_that_is_not_there_makes_it() -> None:
    parts = [part("gender", {"valueCode": "male"})]
    assert one(SMITH, "insert", path="Patient.contact", index=0, value=parts)["contact"] == [{"gender": "male"}]


def test_insert_into_a_list_of_primitives_keeps_the_companions_aligned() -> None:
    name = one(SMITH, "insert", path="Patient.name[0].given", index=1, value={"valueString": "X"})["name"][0]
    assert (name["given"], name["_given"]) == (["Al", "X", "Bo", "Cy"], [None, None, {"id": "bo"}, None])


def test_insert_without_the_name_of_the_type_is_understood() -> None:
    assert (
        len(one(SMITH, "insert", path="identifier", index=0, value={"valueIdentifier": {"value": "X"}})["identifier"])
        == 3
    )


@pytest.mark.parametrize(
    ("source", "destination", "expected"), [(0, 2, "bca"), (2, 0, "cab"), (0, 1, "bac"), (1, 1, "abc")]
)
def test_move_takes_out_and_puts_in(source: int, destination: int, expected: str) -> None:
    resource = {
        "resourceType": "Patient",
        "name": [{"given": list("abc"), "_given": [{"id": "a"}, {"id": "b"}, {"id": "c"}]}],
    }
    name = one(resource, "move", path="Patient.name.given", source=source, destination=destination)["name"][0]
    assert "".join(name["given"]) == "".join(companion["id"] for companion in name["_given"]) == expected


@pytest.mark.parametrize(
    ("type_name", "parts", "reason"),
    [
        ("insert", {"path": "Patient.identifier", "index": 3}, "index is 3, and may be 0 to 2"),
        ("insert", {"path": "Patient.identifier", "index": -1}, "index is -1, and may be 0 to 2"),
        ("insert", {"path": "Patient.contact.relationship", "index": 0}, "the path leads to nothing that is in this resource"),
        ("insert", {"path": "Patient.name.given", "index": 0}, "the path leads to 2 elements, and must lead to one"),
        ("insert", {"path": "Patient.birthDate", "index": 0}, "birthDate does not repeat, so it has no positions"),
        ("move", {"path": "Patient.identifier", "source": 2, "destination": 0}, "source is 2, and may be 0 to 1"),
        ("move", {"path": "Patient.identifier", "source": 0, "destination": 2}, "destination is 2, and may be 0 to 1"),
        ("move", {"path": "Patient.contact", "source": 0, "destination": 0}, "source is 0, and cannot be anything, as the list is empty"),
    ],
)  # fmt: skip
def test_position_that_is_not_there_is_refused(type_name: str, parts: dict[str, Any], reason: str) -> None:
    value = {"value": {"valueIdentifier": {"value": "X"}}} if type_name == "insert" else {}
    refusal, _, text = refusal_of(lambda: one(SMITH, type_name, **parts, **value))
    assert (refusal, text) == (Refusal.UNPROCESSABLE, f"operation[0] ({type_name} {parts['path']}): {reason}.")


@pytest.mark.parametrize(
    "where", ["Patient.identifier[0]", "Patient", "Patient.identifier.where(use = 'old')", "Patient.identifier.first()"]
)
def test_insert_where_no_list_is_named_is_refused(where: str) -> None:
    refused = refusal_of(lambda: one(SMITH, "insert", path=where, index=0, value={"valueIdentifier": {"value": "X"}}))
    reason = "the path must end with the name of an element that repeats"
    assert refused == (Refusal.BAD_REQUEST, Kind.VALUE, f"operation[0] (insert {where}): {reason}.")


# --- delete


def test_delete_of_what_is_not_there_changes_nothing() -> None:
    for nowhere in (
        "Patient.gender",
        "Patient.identifier[7]",
        "Patient.identifier.where(system = 'z')",
        "Patient.contact.name.given",
    ):
        assert one(SMITH, "delete", path=nowhere) == SMITH


def test_delete_of_several_elements_is_refused() -> None:
    refused = refusal_of(lambda: one(SMITH, "delete", path="Patient.identifier"))
    reason = "the path leads to 2 elements, and must lead to one"
    assert refused == (
        Refusal.UNPROCESSABLE,
        Kind.MULTIPLE_MATCHES,
        f"operation[0] (delete Patient.identifier): {reason}.",
    )


def test_delete_of_a_misspelt_element_is_refused() -> None:
    refused = refusal_of(lambda: one(SMITH, "delete", path="Patient.contact.nmae"))
    assert refused[2] == "operation[0] (delete Patient.contact.nmae): there is no element nmae in Patient.contact."


def test_delete_of_a_primitive_takes_its_extensions_along() -> None:
    assert one(SMITH, "delete", path="Patient.birthDate") == without(SMITH, "birthDate", "_birthDate")


def test_delete_of_a_choice_needs_no_type() -> None:
    assert one(SMITH, "delete", path="Patient.deceased") == without(SMITH, "deceasedBoolean")


def test_delete_from_a_list_of_primitives_keeps_the_companions_aligned() -> None:
    name = one(SMITH, "delete", path="Patient.name[0].given[0]")["name"][0]
    assert (name["given"], name["_given"]) == (["Bo", "Cy"], [{"id": "bo"}, None])
    name = one(SMITH, "delete", path="Patient.name[0].given[1]")["name"][0]
    assert name["given"] == ["Al", "Cy"]
    assert "_given" not in name


def test_delete_of_the_last_of_a_list_leaves_no_empty_list() -> None:
    resource = {"resourceType": "Patient", "name": [{"given": ["A"]}], "active": True}
    assert one(resource, "delete", path="Patient.name.given") == {"resourceType": "Patient", "active": True}


def test_delete_of_the_last_extension_leaves_the_value_it_stood_beside() -> None:
    result = one(SMITH, "delete", path="Patient.birthDate.extension('http://x.org/time')")
    assert result == without(SMITH, "_birthDate")


def test_delete_of_what_stood_for_a_missing_value_takes_the_element_along() -> None:
    resource = {"resourceType": "Patient", "name": [{"_given": [{"extension": [{"url": "u", "valueCode": "c"}]}]}]}
    assert one(resource, "delete", path="Patient.name.given.extension") == {"resourceType": "Patient"}


def test_delete_inside_an_extension_takes_emptied_parents_along_but_no_more() -> None:
    result = one(SMITH, "delete", path="Patient.extension.where(url = 'http://x.org/many').extension")
    assert result["extension"] == [SMITH["extension"][0], {"url": "http://x.org/many"}]


@pytest.mark.parametrize("type_name", ["delete", "replace"])
def test_resource_itself_is_neither_deleted_nor_replaced(type_name: str) -> None:
    value = {"value": {"valueString": "x"}} if type_name == "replace" else {}
    refused = refusal_of(lambda: one(SMITH, type_name, path="Patient", **value))
    assert refused[2] == f"operation[0] ({type_name} Patient): a patch cannot {type_name} the resource itself."


# --- replace


def test_replace_replaces_the_extensions_of_a_primitive_too() -> None:
    result = one(SMITH, "replace", path="Patient.birthDate", value={"valueDate": "1971-01-01"})
    assert result == {**without(SMITH, "_birthDate"), "birthDate": "1971-01-01"}


def test_replace_by_extensions_alone_takes_the_value_away() -> None:
    unknown = {"extension": [{"url": "http://x.org/absent", "valueCode": "unknown"}]}
    result = one(SMITH, "replace", path="Patient.birthDate", value={"_valueDate": unknown})
    assert result == {**without(SMITH, "birthDate"), "_birthDate": unknown}


def test_replace_of_a_choice_by_another_type_changes_the_property_in_its_place() -> None:
    result = one(TEST_RESULT, "replace", path="Observation.value", value={"valueString": "heavy"})
    assert result == {**without(TEST_RESULT, "valueQuantity"), "valueString": "heavy"}
    assert list(result) == ["resourceType", "status", "code", "valueString", "component"]


def test_replace_of_a_choice_by_the_same_type_keeps_the_digits_given() -> None:
    result = one(TEST_RESULT, "replace", path="Observation.value.value", value={"valueDecimal": Exact("71.00")})
    assert b'"value":71.00' in codec.dumps(result)


def test_replace_in_a_list_of_primitives_replaces_one() -> None:
    name = one(SMITH, "replace", path="Patient.name[0].given[1]", value={"valueString": "Bob"})["name"][0]
    assert name["given"] == ["Al", "Bob", "Cy"]
    assert "_given" not in name


def test_replace_of_the_only_element_of_a_list_needs_no_index() -> None:
    resource = {"resourceType": "Patient", "identifier": [{"value": "1"}]}
    result = one(resource, "replace", path="Patient.identifier", value={"valueIdentifier": {"value": "2"}})
    assert result["identifier"] == [{"value": "2"}]


def test_replace_by_parts_makes_a_new_element() -> None:
    parts = [part("code", {"valueCodeableConcept": {"text": "new"}}), part("value", {"valueInteger": 3})]
    result = one(TEST_RESULT, "replace", path="Observation.component[1]", value=parts)
    assert result["component"][1] == {"code": {"text": "new"}, "valueInteger": 3}


@pytest.mark.parametrize(
    ("where", "kind", "reason"),
    [
        ("Patient.gender", Kind.NOT_FOUND, "the path leads to nothing that is in this resource"),
        ("Patient.identifier[2]", Kind.NOT_FOUND, "the path leads to nothing that is in this resource"),
        ("Patient.identifier", Kind.MULTIPLE_MATCHES, "the path leads to 2 elements, and must lead to one"),
        ("Patient.active", Kind.NOT_FOUND, "the path leads to nothing that is in this resource"),
        ("Patient.deceased", Kind.VALUE, "the value is a string, where boolean, dateTime belongs"),
        ("Patient.birthDate", Kind.VALUE, "the value is a string, where date belongs"),
        ("Patient.name[1]", Kind.VALUE, "the value is a string, where HumanName belongs"),
    ],
)
def test_replace_that_does_not_fit_is_unprocessable(where: str, kind: Kind, reason: str) -> None:
    refused = refusal_of(lambda: one(SMITH, "replace", path=where, value={"valueString": "x"}))
    assert refused == (Refusal.UNPROCESSABLE, kind, f"operation[0] (replace {where}): {reason}.")


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("Patient.identifier[0].system", {"valueString": "urn:x"}),
        ("Patient.identifier[1].use", {"valueString": "usual"}),
        ("Patient.birthDate", {"valueDateTime": "1971-01-01"}),
        ("Patient.managingOrganization.reference", {"valueUri": "Organization/1"}),
    ],
)
def test_value_of_a_type_that_is_written_alike_is_taken(where: str, value: dict[str, Any]) -> None:
    (expected,) = value.values()
    found = path.locate(one(SMITH, "replace", path=where, value=value), where, R4)
    assert [place.data for place in found.places] == [expected]


def test_whole_number_is_taken_for_a_decimal_and_not_the_other_way_round() -> None:
    taken = one(TEST_RESULT, "replace", path="Observation.value.value", value={"valueInteger": 71})
    assert taken["valueQuantity"]["value"] == 71
    other = "Observation.component[0].value.ofType(integer)"
    where = "Observation.component[0].valueInteger"
    assert len(path.locate(TEST_RESULT, other, R4).places) == 1
    refused = refusal_of(lambda: one(TEST_RESULT, "replace", path=where, value={"valueDecimal": Exact("1.5")}))
    assert refused[2] == f"operation[0] (replace {where}): the value is a decimal, where integer belongs."


def test_id_of_the_resource_cannot_be_changed() -> None:
    for change in (
        operation("replace", path="Patient.id", value={"valueId": "q"}),
        operation("delete", path="Patient.id"),
    ):
        refused = refusal_of(partial(patched, SMITH, change))
        assert refused == (Refusal.BAD_REQUEST, Kind.VALUE, "A patch may not change the id of a resource.")


def test_operations_build_on_one_another() -> None:
    result = patched(
        {"resourceType": "Patient"},
        operation("add", path="Patient", name="name", value={"valueHumanName": {"family": "A"}}),
        operation("add", path="Patient.name", name="given", value={"valueString": "B"}),
        operation("insert", path="Patient.name.given", index=0, value={"valueString": "C"}),
        operation("replace", path="Patient.name.given[1]", value={"valueString": "D"}),
        operation("move", path="Patient.name.given", source=0, destination=1),
        operation("delete", path="Patient.name.family"),
    )
    assert result == {"resourceType": "Patient", "name": [{"given": ["D", "C"]}]}


def test_first_operation_that_does_not_fit_is_named() -> None:
    good = operation("delete", path="Patient.birthDate")
    bad = operation("replace", path="Patient.birthDate", value={"valueDate": "1971-01-01"})
    with pytest.raises(Rejected) as refused:
        patched(SMITH, good, bad)
    (issue,) = refused.value.issues
    assert issue.text.startswith("operation[1] (replace Patient.birthDate): ")
    assert issue.expression == "Patient.birthDate"


# --- Parameters

GOOD = operation("delete", path="Patient.birthDate")
BAD_OPERATIONS: dict[str, tuple[object, str]] = {
    "no array": (GOOD, "Parameters.parameter is a JSON array."),
    "another parameter": ([{"name": "operations"}], 'operation[0]: each parameter of a patch has the name "operation".'),
    "second is no object": ([GOOD, None], 'operation[1]: each parameter of a patch has the name "operation".'),
    "no parts": ([{"name": "operation"}], "operation[0]: it lacks its part type, with a valueCode."),
    "unknown type": ([operation("upsert", path="Patient")], "operation[0]: its type is 'upsert', and may be add, insert, delete, replace, move."),
    "no path": ([operation("delete")], "operation[0] (delete): it lacks its part path, with a valueString."),
    "path is no string": ([operation("delete", path=7)], "operation[0] (delete): it lacks its part path, with a valueString."),
    "unknown part": ([operation("delete", path="Patient", colour="red")], "operation[0]: it has a part 'colour', which no operation has."),
    "part is no object": ([{"name": "operation", "part": ["type"]}], "operation[0]: it has a part None, which no operation has."),
    "part twice": ([{"name": "operation", "part": [part("type", "add"), part("type", "add")]}], "operation[0]: it has its part type twice."),
    "part of another type": ([operation("delete", path="Patient.id", index=1)], "operation[0] (delete): an operation of this type has no part index."),
    "no name": ([operation("add", path="Patient", value={"valueString": "x"})], "operation[0] (add): it lacks its part name."),
    "no value": ([operation("replace", path="Patient.id")], "operation[0] (replace): it lacks its part value."),
    "no index": ([operation("insert", path="Patient.name", value="x")], "operation[0] (insert): it lacks its part index."),
    "no destination": ([operation("move", path="Patient.name", source=1)], "operation[0] (move): it lacks its part destination."),
    "index is no number": ([operation("insert", path="Patient.name", index="1", value="x")], "operation[0] (insert): its part index must have a valueInteger."),
    "index is true": ([operation("insert", path="Patient.name", index={"valueInteger": True}, value="x")], "operation[0] (insert): its part index must have a valueInteger."),
    "value of nothing": ([operation("replace", path="Patient.id", value={})], "operation[0] (replace): its part value must have one value[x], one resource, or parts."),
    "two values": ([operation("replace", path="Patient.id", value={"valueId": "x", "valueString": "x"})], "operation[0] (replace): its part value must have one value[x], one resource, or parts."),
    "unknown value[x]": ([operation("replace", path="Patient.id", value={"valueInteger64": "1"})], "operation[0] (replace): its part value has a valueInteger64, which FHIR R4 does not have."),
    "value written wrong": ([operation("replace", path="Patient.id", value={"valueId": {"a": 1}})], "operation[0] (replace): the valueId of its part value is not written as FHIR writes a id."),
    "complex value written wrong": ([operation("replace", path="Patient.name", value={"valueHumanName": "A"})], "operation[0] (replace): the valueHumanName of its part value is not written as FHIR writes a HumanName."),
    "null": ([operation("replace", path="Patient.id", value={"valueId": None})], "operation[0] (replace): the valueId of its part value is not written as FHIR writes a id."),
    "empty parts": ([operation("replace", path="Patient.name", value=[])], "operation[0] (replace): the parts of its part value are an array with something in it."),
    "part without name": ([operation("replace", path="Patient.name", value=[{"valueString": "x"}])], "operation[0] (replace): each part of its part value has the name of an element."),
    "nested part without value": ([operation("replace", path="Patient.name", value=[{"name": "text"}])], "operation[0] (replace): its part value.text must have one value[x], one resource, or parts."),
    "resource that is none": ([operation("add", path="Patient", name="contained", value={"resource": {"id": "x"}})], "operation[0] (add): the resource of its part value is no resource."),
}  # fmt: skip


@pytest.mark.parametrize(("operations", "text"), BAD_OPERATIONS.values(), ids=BAD_OPERATIONS)
def test_what_is_no_fhirpath_patch_is_a_bad_request(operations: object, text: str) -> None:
    parameters = {"resourceType": "Parameters", "parameter": operations}
    refusal, _, found = refusal_of(lambda: apply_fhirpath_patch(SMITH, parameters, R4))
    assert (refusal, found) == (Refusal.BAD_REQUEST, text)


@pytest.mark.parametrize("parameters", [{"resourceType": "Patient"}, {"parameter": [GOOD]}, [GOOD], None])
def test_what_is_no_parameters_resource_is_a_bad_request(parameters: Any) -> None:
    refused = refusal_of(lambda: apply_fhirpath_patch(SMITH, parameters, R4))
    assert refused[::2] == (Refusal.BAD_REQUEST, "A FHIRPath Patch is a Parameters resource (fhirpatch.html).")


def test_whole_fhirpath_patch_is_read_before_any_of_it_is_applied() -> None:
    failing = operation("replace", path="Patient.gender", value={"valueCode": "male"})
    assert refusal_of(lambda: patched(SMITH, failing, operation("spam")))[0] is Refusal.BAD_REQUEST


def test_type_given_as_a_string_is_understood() -> None:
    parts = [part("type", "delete"), part("path", "Patient.birthDate")]
    assert patched(SMITH, {"name": "operation", "part": parts}) == without(SMITH, "birthDate", "_birthDate")


def test_more_fhirpath_operations_than_allowed_are_refused() -> None:
    parameters = {"resourceType": "Parameters", "parameter": [GOOD] * 3}
    assert apply_fhirpath_patch(SMITH, parameters, R4, operations_max=3)
    refused = refusal_of(lambda: apply_fhirpath_patch(SMITH, parameters, R4, operations_max=2))
    assert refused == (Refusal.BAD_REQUEST, Kind.TOO_COSTLY, "The patch has 3 operations, and this server takes 2.")


def test_operations_that_nest_deeper_than_allowed_are_refused() -> None:
    def deepen(level: int) -> dict[str, Any]:
        where = "Questionnaire" + ".item" * level
        return operation("add", path=where, name="item", value=[part("linkId", str(level))])

    parameters = {"resourceType": "Parameters", "parameter": [deepen(level) for level in range(5)]}
    assert apply_fhirpath_patch({"resourceType": "Questionnaire"}, parameters, R4, depth_max=11)
    refused = refusal_of(lambda: apply_fhirpath_patch({"resourceType": "Questionnaire"}, parameters, R4, depth_max=10))
    assert refused[1] is Kind.TOO_COSTLY


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 4), st.integers(0, 4))
def test_element_moved_and_moved_back_stands_where_it_stood(source: int, destination: int) -> None:
    resource = {"resourceType": "Patient", "identifier": [{"value": str(n)} for n in range(5)]}
    there = operation("move", path="Patient.identifier", source=source, destination=destination)
    back = operation("move", path="Patient.identifier", source=destination, destination=source)
    assert patched(resource, there)["identifier"][destination] == {"value": str(source)}
    assert patched(resource, there, back) == resource


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 3), st.text(min_size=1, max_size=5))
def test_element_inserted_and_deleted_leaves_the_resource_as_it_was(index: int, text: str) -> None:
    insert = operation("insert", path="Patient.name[0].given", index=index, value={"valueString": text})
    delete = operation("delete", path=f"Patient.name[0].given[{index}]")
    assert patched(SMITH, insert, delete) == SMITH
