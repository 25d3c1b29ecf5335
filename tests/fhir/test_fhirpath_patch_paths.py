"""The paths of a FHIRPath Patch: what they lead to, and which cannot be followed."""

from __future__ import annotations

from typing import Any

import pytest

from phb_fhir.fhir import path
from phb_fhir.outcome import Refusal
from tests.fhir.patching import R4, SMITH, TEST_RESULT, json_patch_of, one, refusal_of

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
