"""Patches: the official cases (FHIR/fhir-test-cases), then what they leave open."""

from __future__ import annotations

import copy
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phb_fhir.definitions.load import load
from phb_fhir.fhir import codec, json_patch, path
from phb_fhir.fhir.codec import Exact
from phb_fhir.fhir.patch import apply_fhirpath_patch, apply_json_patch
from phb_fhir.outcome import Kind, Refusal, Rejected
from tests.xml_resources import resource_of

SHARED = Path(__file__).parents[2].parent / "shared" / "conformance" / "patch"
JSON_CASES = json.loads((SHARED / "json-patch-tests.json").read_text())
FHIRPATH_CASES = ET.parse(SHARED / "fhir-patch-tests.xml").getroot().findall("case")
R4 = load()

Refused = tuple[Refusal, Kind, str]


def refusal_of(patch: Callable[[], Any]) -> Refused:
    with pytest.raises(Rejected) as refused:
        patch()
    (issue,) = refused.value.issues
    return refused.value.refusal, issue.kind, issue.text


# === the official cases ===========================================================================


@pytest.mark.parametrize("case", JSON_CASES, ids=[case["comment"] for case in JSON_CASES])
def test_official_json_patch_case_gives_what_it_says(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(Rejected):
            apply_json_patch(case["doc"], case["patch"])
    else:
        assert apply_json_patch(case["doc"], case["patch"]) == case["expected"]


@pytest.mark.parametrize("case", FHIRPATH_CASES, ids=[str(case.get("name")) for case in FHIRPATH_CASES])
def test_official_fhirpath_patch_case_gives_what_it_says(case: ET.Element) -> None:
    resource, parameters = (resource_of(case.find(name)[0]) for name in ("input", "diff"))  # type: ignore[index]
    output = case.find("output")
    if output is None:
        with pytest.raises(Rejected):
            apply_fhirpath_patch(resource, parameters, R4)
    else:
        assert apply_fhirpath_patch(resource, parameters, R4) == resource_of(output[0])


def test_official_cases_are_all_here() -> None:
    assert (len(JSON_CASES), len(FHIRPATH_CASES)) == (16, 33)


# === JSON Patch ===================================================================================

BLOGGS: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "name": [{"family": "Bloggs", "given": ["Jo", "Ann"]}, {"text": "Jo"}],
    "multipleBirthInteger": 1,
}
BUDGET: dict[str, Any] = {
    "resourceType": "Account",
    "id": "a",
    "extension": [{"url": "u", "valueDecimal": Exact("10.00")}],
}


def json_patch_of(*operations: dict[str, Any], of: dict[str, Any] = BLOGGS) -> dict[str, Any]:
    before = copy.deepcopy(of)
    try:
        return apply_json_patch(of, list(operations))
    finally:
        assert of == before, "the resource given was changed"


@pytest.mark.parametrize("text", ["10.00", "10.0", "10", "1e1", "1E+1", "100e-1"])
def test_number_of_the_same_value_passes_the_test_operation(text: str) -> None:
    value = codec.loads(text.encode(), depth_max=1)
    operation = {"op": "test", "path": "/extension/0/valueDecimal", "value": value}
    assert codec.canonical(json_patch_of(operation, of=BUDGET)) == codec.canonical(BUDGET)


@pytest.mark.parametrize("value", [Exact("10.01"), "10.00", True, None, [Exact("10.00")], {}])
def test_anything_else_than_that_number_fails_the_test_operation(value: object) -> None:
    operation = {"op": "test", "path": "/extension/0/valueDecimal", "value": value}
    assert refusal_of(lambda: json_patch_of(operation, of=BUDGET)) == (
        Refusal.UNPROCESSABLE,
        Kind.CONFLICT,
        "operation[0] (test /extension/0/valueDecimal): the test failed, the value there is another.",
    )


@pytest.mark.parametrize(
    ("pointer", "there", "another"),
    [("/active", True, 1), ("/multipleBirthInteger", 1, True), ("/active", True, "true")],
)
def test_true_and_one_are_not_the_same(pointer: str, there: object, another: object) -> None:
    assert json_patch_of({"op": "test", "path": pointer, "value": there}) == BLOGGS
    refused = refusal_of(lambda: json_patch_of({"op": "test", "path": pointer, "value": another}))
    assert refused[:2] == (Refusal.UNPROCESSABLE, Kind.CONFLICT)


def test_true_inside_an_object_is_not_one_either() -> None:
    operation = {"op": "test", "path": "", "value": {**BLOGGS, "active": 1}}
    assert refusal_of(lambda: json_patch_of(operation))[1] is Kind.CONFLICT
    assert json_patch_of({"op": "test", "path": "", "value": BLOGGS}) == BLOGGS


def test_decimal_that_is_added_keeps_its_digits() -> None:
    added = json_patch_of({"op": "replace", "path": "/extension/0/valueDecimal", "value": Exact("7.500")}, of=BUDGET)
    assert b'"valueDecimal":7.500' in codec.dumps(added)


def test_dash_appends_and_an_index_as_long_as_the_array_does_too() -> None:
    for end in ("-", "2"):
        patched = json_patch_of({"op": "add", "path": f"/name/0/given/{end}", "value": "Kim"})
        assert patched["name"][0]["given"] == ["Jo", "Ann", "Kim"]


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ({"op": "add", "path": "/name/0/given/3", "value": "x"}, "(add /name/0/given/3): '3' is no position that can be used; the array has 2 elements"),
        ({"op": "add", "path": "/name/0/given/01", "value": "x"}, "(add /name/0/given/01): '01' is no position that can be used; the array has 2 elements"),
        ({"op": "add", "path": "/name/0/given/-1", "value": "x"}, "(add /name/0/given/-1): '-1' is no position that can be used; the array has 2 elements"),
        ({"op": "add", "path": "/name/0/given/٢", "value": "x"}, "(add /name/0/given/٢): '٢' is no position that can be used; the array has 2 elements"),
        ({"op": "replace", "path": "/name/0/given/-", "value": "x"}, "(replace /name/0/given/-): '-' is no position that can be used; the array has 2 elements"),
        ({"op": "remove", "path": "/name/0/given/-"}, "(remove /name/0/given/-): '-' is no position that can be used; the array has 2 elements"),
        ({"op": "remove", "path": "/name/7"}, "(remove /name/7): '7' is no position that can be used; the array has 2 elements"),
        ({"op": "remove", "path": "/birthDate"}, "(remove /birthDate): there is nothing at that path"),
        ({"op": "remove", "path": ""}, "(remove the whole document): the whole document cannot be removed"),
        ({"op": "replace", "path": "/birthDate", "value": 1}, "(replace /birthDate): there is nothing at that path"),
        ({"op": "add", "path": "/contact/0/gender", "value": "x"}, "(add /contact/0/gender): there is nothing at /contact/0 to change"),
        ({"op": "add", "path": "/id/0", "value": "x"}, "(add /id/0): /id is neither an object nor an array"),
        ({"op": "move", "from": "/name", "path": "/name/0/period"}, "(move /name/0/period): nothing can be moved into itself"),
        ({"op": "move", "from": "", "path": "/contained"}, "(move /contained): nothing can be moved into itself"),
        ({"op": "move", "from": "/gone", "path": "/id"}, "(move /id): there is nothing at /gone"),
        ({"op": "copy", "from": "/name/-", "path": "/id"}, "(copy /id): there is nothing at /name/-"),
        ({"op": "test", "path": "/birthDate", "value": None}, "(test /birthDate): the test failed, there is nothing there"),
    ],
)  # fmt: skip
def test_operation_that_leads_nowhere_is_unprocessable(operation: dict[str, Any], reason: str) -> None:
    refusal, _, text = refusal_of(lambda: json_patch_of({"op": "test", "path": "/id", "value": "p"}, operation))
    assert (refusal, text) == (Refusal.UNPROCESSABLE, f"operation[1] {reason}.")


@pytest.mark.parametrize(
    ("patch", "kind", "text"),
    [
        ({"op": "remove"}, Kind.STRUCTURE, "A JSON Patch document is a JSON array of operations (RFC 6902 §3)."),
        (None, Kind.STRUCTURE, "A JSON Patch document is a JSON array of operations (RFC 6902 §3)."),
        (["remove"], Kind.STRUCTURE, "operation[0]: an operation is a JSON object."),
        ([{"path": "/id"}], Kind.NOT_SUPPORTED, 'operation[0]: "op" must be one of add, remove, replace, move, copy, test.'),
        ([{"op": "append", "path": "/id", "value": "x"}], Kind.NOT_SUPPORTED, 'operation[0]: "op" must be one of add, remove, replace, move, copy, test.'),
        ([{"op": ["add"], "path": "/id"}], Kind.NOT_SUPPORTED, 'operation[0]: "op" must be one of add, remove, replace, move, copy, test.'),
        ([{"op": "add", "path": "/id"}], Kind.REQUIRED, 'operation[0] (add): it lacks its "value".'),
        ([{"op": "test", "value": 1}], Kind.REQUIRED, 'operation[0] (test): it lacks its "path", a JSON Pointer.'),
        ([{"op": "remove", "path": 7}], Kind.REQUIRED, 'operation[0] (remove): it lacks its "path", a JSON Pointer.'),
        ([{"op": "move", "path": "/id"}], Kind.REQUIRED, 'operation[0] (move): it lacks its "from", a JSON Pointer.'),
        ([{"op": "remove", "path": "id"}], Kind.VALUE, 'operation[0] (remove): "path" is \'id\'; a JSON Pointer starts with "/", and "~" stands in it as "~0" or "~1" only (RFC 6901).'),
        ([{"op": "remove", "path": "/~2"}], Kind.VALUE, 'operation[0] (remove): "path" is \'/~2\'; a JSON Pointer starts with "/", and "~" stands in it as "~0" or "~1" only (RFC 6901).'),
    ],
)  # fmt: skip
def test_what_is_no_json_patch_is_a_bad_request(patch: object, kind: Kind, text: str) -> None:
    assert refusal_of(lambda: apply_json_patch(BLOGGS, patch)) == (Refusal.BAD_REQUEST, kind, text)


def test_whole_patch_is_read_before_any_of_it_is_applied() -> None:
    failing = {"op": "test", "path": "/active", "value": False}
    assert refusal_of(lambda: json_patch_of(failing, {"op": "spam"}))[0] is Refusal.BAD_REQUEST


@pytest.mark.parametrize(
    ("operation", "names"),
    [
        ({"op": "replace", "path": "/id", "value": "q"}, ["id"]),
        ({"op": "remove", "path": "/id"}, ["id"]),
        ({"op": "replace", "path": "/resourceType", "value": "Person"}, ["resourceType"]),
        ({"op": "replace", "path": "", "value": {"resourceType": "Patient"}}, ["id"]),
        ({"op": "replace", "path": "", "value": []}, ["resourceType", "id"]),
        ({"op": "add", "path": "", "value": None}, ["resourceType", "id"]),
        ({"op": "copy", "from": "/name/0", "path": ""}, ["resourceType", "id"]),
    ],
)
def test_patch_that_makes_another_resource_is_refused(operation: dict[str, Any], names: list[str]) -> None:
    with pytest.raises(Rejected) as refused:
        json_patch_of(operation)
    assert refused.value.refusal is Refusal.BAD_REQUEST
    assert [issue.expression for issue in refused.value.issues] == [f"Patient.{name}" for name in names]


def test_whole_resource_may_be_replaced_by_a_version_of_itself() -> None:
    new = {"resourceType": "Patient", "id": "p", "active": False}
    assert json_patch_of({"op": "replace", "path": "", "value": new}) == new


def test_refusal_names_the_element_as_fhirpath() -> None:
    with pytest.raises(Rejected) as refused:
        json_patch_of({"op": "replace", "path": "/name/0/_family/id", "value": "x"})
    assert refused.value.issues[0].expression == "Patient.name[0].family.id"


def test_value_of_the_patch_is_not_shared_with_the_result() -> None:
    name = {"family": "New"}
    patch = [{"op": "add", "path": "/name/-", "value": name}, {"op": "add", "path": "/name/2/use", "value": "old"}]
    assert apply_json_patch(BLOGGS, patch)["name"][2] == {"family": "New", "use": "old"}
    assert name == {"family": "New"}


def test_what_a_patch_empties_is_left_out() -> None:
    emptied = json_patch_of(
        {"op": "remove", "path": "/name/0/given/0"},
        {"op": "remove", "path": "/name/0/given/0"},
        {"op": "remove", "path": "/name/0/family"},
        {"op": "move", "from": "/name/1/text", "path": "/language"},
    )
    assert emptied == {**{k: v for k, v in BLOGGS.items() if k != "name"}, "language": "Jo"}


def test_array_emptied_and_filled_again_stays() -> None:
    refilled = json_patch_of(
        {"op": "remove", "path": "/name/1"},
        {"op": "remove", "path": "/name/0"},
        {"op": "add", "path": "/name/-", "value": {"text": "Jo"}},
    )
    assert refilled["name"] == [{"text": "Jo"}]


def test_empty_array_that_the_patch_brings_is_left_for_validation_to_refuse() -> None:
    assert json_patch_of({"op": "add", "path": "/contact", "value": []})["contact"] == []


def test_more_operations_than_allowed_are_refused() -> None:
    operation = {"op": "test", "path": "/id", "value": "p"}
    assert apply_json_patch(BLOGGS, [operation] * 3, operations_max=3) == BLOGGS
    refused = refusal_of(lambda: apply_json_patch(BLOGGS, [operation] * 4, operations_max=3))
    assert refused == (Refusal.BAD_REQUEST, Kind.TOO_COSTLY, "The patch has 4 operations, and this server takes 3.")


def test_copies_that_would_double_the_resource_over_and_over_are_refused() -> None:
    copies = [{"op": "copy", "from": "", "path": f"/extension{n}"} for n in range(40)]
    refusal, kind, text = refusal_of(lambda: json_patch_of(*copies))
    assert (refusal, kind) == (Refusal.UNPROCESSABLE, Kind.TOO_COSTLY)
    assert text.endswith("the patch copies more than this server does.")


def test_result_may_nest_as_deep_as_allowed_and_no_deeper() -> None:
    def nested(levels: int) -> dict[str, Any]:
        value: Any = "x"
        for _ in range(levels):
            value = [value]
        return {"op": "add", "path": "/name", "value": value}

    assert apply_json_patch(BLOGGS, [nested(9)], depth_max=10)
    refused = refusal_of(lambda: apply_json_patch(BLOGGS, [nested(10)], depth_max=10))
    assert refused[2] == "The patch makes the resource nest deeper than the 10 levels this server takes."


def test_copy_that_nests_without_end_is_refused() -> None:
    patch = [{"op": "copy", "from": "", "path": "/name" * (2**n) if n else "/name"} for n in range(11)]
    assert refusal_of(lambda: json_patch.patched({"name": 1}, patch, 1000))[1] is Kind.TOO_COSTLY


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)  # the machine may be busy
@given(JSON, JSON)
def test_value_that_replaces_the_document_is_the_document(document: Any, value: Any) -> None:
    patch = [{"op": "replace", "path": "", "value": value}, {"op": "test", "path": "", "value": value}]
    assert json.dumps(json_patch.patched(document, patch, 2)) == json.dumps(value)


@settings(deadline=None)  # the machine may be busy
@given(JSON, st.text(max_size=3))
def test_member_added_and_removed_leaves_the_document_as_it_was(value: Any, name: str) -> None:
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    added = json_patch.patched({"a": {"b": 1}}, [{"op": "add", "path": f"/a{pointer}", "value": value}], 1)
    assert added["a"][name] == value
    removed = json_patch.patched(added, [{"op": "remove", "path": f"/a{pointer}"}], 1)
    assert name not in removed["a"]


# === FHIRPath Patch ===============================================================================

SMITH: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "contained": [{"resourceType": "Organization", "id": "gp", "name": "The Surgery"}],
    "extension": [
        {"url": "http://x.org/nhs", "valueString": "one"},
        {"url": "http://x.org/many", "extension": [{"url": "inner", "valueCode": "c"}]},
    ],
    "identifier": [{"system": "a", "value": "1"}, {"system": "b", "value": "2", "use": "old"}],
    "name": [
        {"use": "official", "family": "Smith", "given": ["Al", "Bo", "Cy"], "_given": [None, {"id": "bo"}, None]},
        {"use": "usual", "text": "Al"},
    ],
    "telecom": [
        {"system": "phone", "use": "home", "value": "1"},
        {"system": "email", "use": "home", "value": "e"},
        {"system": "phone", "use": "work", "value": "2"},
    ],
    "birthDate": "1970-01-01",
    "_birthDate": {"extension": [{"url": "http://x.org/time", "valueDateTime": "1970-01-01T10:00:00Z"}]},
    "deceasedBoolean": False,
    "managingOrganization": {"reference": "#gp"},
}
TEST_RESULT: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "weight"},
    "valueQuantity": {"value": Exact("70.50"), "unit": "kg"},
    "component": [
        {"code": {"coding": [{"code": "x"}, {"code": "y"}]}, "valueInteger": 1},
        {"code": {"coding": [{"code": "z"}]}, "valueString": "s"},
    ],
}


def part(name: str, value: object) -> dict[str, Any]:
    """A part named `name`: its parts (a list), a whole number, or a dict with the value[x]."""
    if isinstance(value, list):
        return {"name": name, "part": value}
    if isinstance(value, int):
        return {"name": name, "valueInteger": value}
    return {"name": name, **value} if isinstance(value, dict) else {"name": name, "valueString": value}


def operation(type_name: str, **parts: object) -> dict[str, Any]:
    listed = [{"name": "type", "valueCode": type_name}, *(part(name, value) for name, value in parts.items())]
    return {"name": "operation", "part": listed}


def patched(resource: dict[str, Any], *operations: dict[str, Any]) -> dict[str, Any]:
    before = copy.deepcopy(resource)
    try:
        return apply_fhirpath_patch(resource, {"resourceType": "Parameters", "parameter": list(operations)}, R4)
    finally:
        assert codec.canonical(resource) == codec.canonical(before), "the resource given was changed"


def one(resource: dict[str, Any], type_name: str, **parts: object) -> dict[str, Any]:
    return patched(resource, operation(type_name, **parts))


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


# --- paths

LEADS_TO: dict[str, list[Any]] = {
    "Patient.name[0].given": ["Al", "Bo", "Cy"],
    "name.given[1]": ["Bo"],
    "Patient.name.given.last()": ["Cy"],
    "Patient.name.given.skip(1).take(1)": ["Bo"],
    "Patient.name.tail().text": ["Al"],
    "Patient.name.first().family.single()": ["Smith"],
    "Patient.identifier.where(system='b').value": ["2"],
    "Patient.identifier.where(system = 'a' or use = 'old').value": ["1", "2"],
    "Patient.identifier.where(use.exists().not()).value": ["1"],
    "Patient.identifier.where(use.empty()).value": ["1"],
    "Patient.identifier.where($index = 1).value": ["2"],
    "Patient.identifier.where(value.toInteger() > 1).value": ["2"],
    "Patient.identifier.where(value in ('2' | '3')).value": ["2"],
    "Patient.identifier.where(system.startsWith('b')).value": ["2"],
    "Patient.identifier.where(%resource.active.exists()).value": [],
    "Patient.identifier.where(%resource.birthDate = @1970-01-01).first().value": ["1"],
    "Patient.where(deceased = false).birthDate": ["1970-01-01"],
    "Patient.where(deceased).birthDate": [],
    "Patient.where($this.where(deceased).exists()).birthDate": [],
    "Patient.where($this.exists(deceased)).birthDate": [],
    "Patient.where($this.where(deceased.not()).exists()).birthDate": ["1970-01-01"],
    "Patient.where(name.where($index = 1).text = 'Al').birthDate": ["1970-01-01"],
    "Patient.where(birthDate > @1969-12-31 and birthDate < @1970-02).birthDate": ["1970-01-01"],
    "Patient.where(deceased is boolean).birthDate": ["1970-01-01"],
    "Patient.where(contained.ofType(Organization).name = 'The Surgery').birthDate": ["1970-01-01"],
    "Patient.where(birthDate = @1970-01-01).birthDate": ["1970-01-01"],
    "Patient.where(birthDate.extension('http://x.org/time').exists()).birthDate": ["1970-01-01"],
    "Patient.extension.where(url='http://x.org/nhs').value": ["one"],
    "Patient.extension('http://x.org/nhs').value": ["one"],
    "Patient.extension('http://x.org/many').extension('inner').value": ["c"],
    "Patient.extension.value.ofType(string)": ["one"],
    "Patient.birthDate.extension.value": ["1970-01-01T10:00:00Z"],
    "Patient.name.given.id": ["bo"],
    "Patient.name.where(given.count() = 3).family": ["Smith"],
    "Patient.name.where(family.hasValue()).family": ["Smith"],
    "Patient.telecom.where(use='home' and system='phone').value": ["1"],
    "Patient.telecom.where(use='home').where(system='email').value": ["e"],
    "(Patient.telecom | Patient.telecom)[0].value": ["1"],
    "Patient.deceased": [False],
    "Patient.deceased.ofType(boolean)": [False],
    "(Patient.deceased as dateTime)": [],
    "Patient.deceasedBoolean": [False],
    "Patient.contained.ofType(Organization).name": ["The Surgery"],
    "Patient.contained.where(id = 'gp').name": ["The Surgery"],
    "Patient.managingOrganization.resolve().name": ["The Surgery"],
    "Patient.`name`.`family`": ["Smith"],
    "Patient.name.$this.family": ["Smith"],
    "Patient.telecom.where(system != %ucum).value": ["1", "e", "2"],
    "%resource.name.family": ["Smith"],
    "DomainResource.contained.id": ["gp"],
    "Patient.name[0].given[7]": [],
}  # fmt: skip


@pytest.mark.parametrize(("expression", "values"), LEADS_TO.items(), ids=LEADS_TO)
def test_path_leads_to_the_elements_it_describes(expression: str, values: list[Any]) -> None:
    assert [place.data for place in path.locate(SMITH, expression, R4).places] == values


@pytest.mark.parametrize("code", ["x", "y"])
def test_component_is_found_by_any_of_its_codes(code: str) -> None:
    where = f"Observation.component.where(code.coding.where(code = '{code}').exists()).value"
    assert one(TEST_RESULT, "replace", path=where, value={"valueInteger": 5})["component"][0]["valueInteger"] == 5


def test_component_is_found_by_its_only_code() -> None:
    where = "Observation.component.where(code.coding.code='z').value"
    assert one(TEST_RESULT, "replace", path=where, value={"valueString": "t"})["component"][1]["valueString"] == "t"


def test_narrative_div_may_be_written_without_back_quotes() -> None:
    resource = {"resourceType": "Patient", "text": {"status": "generated", "div": "<div/>"}}
    for where in ("Patient.text.div", "Patient.text.`div`"):
        assert (
            one(resource, "replace", path=where, value={"valueString": "<div>x</div>"})["text"]["div"] == "<div>x</div>"
        )


REFUSED_PATHS = {
    "": "its part path",
    "Patient.": "the path is not FHIRPath",
    "Patient..name": "the path is not FHIRPath: extraneous input '.' at character 9",
    "Patient.name)": "the path is not FHIRPath: extraneous input ')' at character 13",
    "Patient.name[0": "the path is not FHIRPath",
    "Patient.name #": "the path is not FHIRPath",
    "Observation.status": "there is no element Observation in Patient",
    "Patient.Patient": "there is no element Patient in Patient",
    "Patient.nickname": "there is no element nickname in Patient",
    "Patient.valueString": "there is no element valueString in Patient",
    "Patient.name.given.family": "there is no element family in string",
    "Patient.name.count()": "the function count() leads to no element; it may be used inside where(…)",
    "Patient.name.first(1)": "first() takes 0 arguments, not 1",
    "Patient.identifier.where()": "where() takes 1 argument, not 0",
    "Patient.name[-1]": "an index must be one whole number, 0 or more",
    "Patient.name['a']": "an index must be one whole number, 0 or more",
    "Patient.name[true]": "an index must be one whole number, 0 or more",
    "Patient.name.single()": "single() found 2 elements",
    "Patient.name = Patient.name": "the path must lead to elements; operators and literals belong inside where(…)",
    "'Patient'": "the path must lead to elements; operators and literals belong inside where(…)",
    "Patient.deceased is boolean": "the operator is leads to no element; it may be used inside where(…)",
    "Patient.name.where($this.given)": "a filter must say true or false of one element, and gave several values",
    "Patient.name.where(nosuch())": "the function nosuch() may not be used in this path",
    "Patient.name.where(1 / 'a' = 2)": "a filter of the path could not be evaluated",
    "Patient.name.ofType(Nothing)": "there is no type Nothing",
    "Patient.name.ofType(use = 'old')": "a type is named, not worked out",
    "%ucum": "%ucum does not lead into the resource being changed",
    "Patient.name.$index": "$index and $total may be used inside where(…) only",
    "Patient.name.where(family.matches('(a+)+$'))": "the function matches() may not be used in this path",
    "Patient.name.where('a'.replace('a', 'aa') = 'b')": "the function replace() may not be used in this path",
    "Patient.where(birthDate < today())": "the function today() may not be used in this path",
    "Patient.descendants().where(id = 'x')": "the function descendants() may not be used in this path",
    "Patient.repeat($this)": "the function repeat() may not be used in this path",
    "Patient.trace('x')": "the function trace() may not be used in this path",
    "(" * 900 + "Patient" + ")" * 900: "the path nests too deeply",
    "Patient" + ".name" * 400: "a path may have 2000 characters, and one has 2007",
}  # fmt: skip


@pytest.mark.parametrize(("expression", "reason"), REFUSED_PATHS.items(), ids=[key[:40] for key in REFUSED_PATHS])
def test_path_that_cannot_be_followed_is_a_bad_request(expression: str, reason: str) -> None:
    refusal, _, text = refusal_of(lambda: one(SMITH, "delete", path=expression))
    assert refusal is Refusal.BAD_REQUEST
    assert reason in text


def test_resolve_does_not_lead_out_of_the_resource() -> None:
    resource = {**SMITH, "managingOrganization": {"reference": "Organization/1"}}
    refused = refusal_of(lambda: one(resource, "delete", path="Patient.managingOrganization.resolve().name"))
    assert "not out of the resource being changed" in refused[2]


def test_filters_that_keep_the_server_busy_are_refused() -> None:
    resource = {"resourceType": "Patient", "identifier": [{"value": str(n)} for n in range(100)]}
    nested = "exists()"
    for _ in range(6):
        nested = f"identifier.where(%resource.{nested}).exists()"
    refused = refusal_of(lambda: one(resource, "delete", path=f"Patient.where({nested})"))
    assert "more work than this server does for one request" in refused[2]


def test_refusal_does_not_repeat_more_of_a_path_than_a_person_reads() -> None:
    long = "Patient.name.where(text = '" + "x" * 1_000 + "')"
    refused = refusal_of(lambda: one(SMITH, "replace", path=long, value={"valueString": "x"}))
    assert long[:200] + "…)" in refused[2]
    assert len(refused[2]) < 400
    pointer = "/" + "x" * 5_000
    assert len(refusal_of(lambda: json_patch_of({"op": "remove", "path": pointer}))[2]) < 400


def test_work_of_all_operations_is_counted_together() -> None:
    resource = {"resourceType": "Patient", "identifier": [{"value": str(n)} for n in range(200)]}
    steps = path.Steps()
    path.locate(resource, "Patient.identifier.where(value = '7')", R4, steps)
    enough_for_one = path.Steps(path.STEPS_MAX - steps.left)
    path.locate(resource, "Patient.identifier.where(value = '7')", R4, enough_for_one)
    with pytest.raises(path.BadPathError, match="more work than this server does"):
        path.locate(resource, "Patient.identifier.where(value = '7')", R4, enough_for_one)


def test_resource_of_a_type_nobody_knows_has_no_elements() -> None:
    resource = {"resourceType": "Patient", "contained": [{"resourceType": "Martian", "id": "m", "arms": 3}]}
    assert path.locate(resource, "Patient.contained.arms", R4).places == []


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
