"""JSON Patch (RFC 6902): the official cases (FHIR/fhir-test-cases), then what they leave open."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phb_fhir.fhir import codec, json_patch
from phb_fhir.fhir.codec import Exact
from phb_fhir.fhir.patch import apply_json_patch
from phb_fhir.outcome import Kind, Refusal, Rejected
from tests.fhir.patching import BLOGGS, SHARED, json_patch_of, refusal_of

JSON_CASES = json.loads((SHARED / "json-patch-tests.json").read_text())


@pytest.mark.parametrize("case", JSON_CASES, ids=[case["comment"] for case in JSON_CASES])
def test_official_json_patch_case_gives_what_it_says(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(Rejected):
            apply_json_patch(case["doc"], case["patch"])
    else:
        assert apply_json_patch(case["doc"], case["patch"]) == case["expected"]


def test_official_json_patch_cases_are_all_here() -> None:
    assert len(JSON_CASES) == 16


BUDGET: dict[str, Any] = {
    "resourceType": "Account",
    "id": "a",
    "extension": [{"url": "u", "valueDecimal": Exact("10.00")}],
}


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
