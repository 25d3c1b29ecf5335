"""$validate-code, $lookup and $subsumes over HTTP. What they find is told in tests/definitions; here, how they are asked."""

from __future__ import annotations

import pytest

from tests.builders import problem
from tests.operations.asking import parameters, said, values

GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"
GENDER = "http://hl7.org/fhir/administrative-gender"
ROLES = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
SNOMED = "http://snomed.info/sct"
FOOD = {
    "resourceType": "CodeSystem",
    "id": "food",
    "url": "http://example.org/food",
    "status": "active",
    "content": "complete",
    "hierarchyMeaning": "is-a",
    "concept": [{"code": "fruit", "display": "Fruit", "concept": [{"code": "pear", "display": "Pear"}]}],
}
FRUIT = {
    "resourceType": "ValueSet",
    "id": "women",
    "status": "active",
    "compose": {"include": [{"system": GENDER, "concept": [{"code": "female"}]}]},
}


# ---- ValueSet/$validate-code -----------------------------------------------------------------------------------------


def test_a_code_of_the_value_set_is_true_and_another_is_false_with_the_reason(api):
    asked = f"/ValueSet/$validate-code?url={GENDERS}&system={GENDER}&code="
    assert said(api.get(f"{asked}female")) == parameters(("result", True), ("display", "Female"))
    other = values(api.get(f"{asked}plum"))
    assert other["result"] is False
    assert other["message"].startswith(f'"plum" of {GENDER} is not in the value set')


def test_a_coding_or_a_concept_is_validated_by_post(api):
    coding = {"system": GENDER, "code": "male"}
    for given in ({"coding": coding}, {"codeableConcept": {"coding": [coding]}}):
        assert values(api.post("/ValueSet/$validate-code", json=parameters(url=GENDERS, **given)))["result"] is True


def test_a_stored_value_set_is_asked_by_its_address_and_one_that_is_sent_by_itself(api):
    api.put("/ValueSet/women", json=FRUIT)
    for code, result in (("female", True), ("male", False)):
        asked = f"code={code}&system={GENDER}"
        assert values(api.get(f"/ValueSet/women/$validate-code?{asked}"))["result"] is result
        assert values(api.post(f"/ValueSet/$validate-code?{asked}", json=FRUIT))["result"] is result
    assert problem(api.get(f"/ValueSet/none/$validate-code?code=male&system={GENDER}")).status == 404


def test_what_cannot_be_known_is_refused_with_the_reason(api):
    asked = {"url": "http://hl7.org/fhir/ValueSet/condition-code", "code": "73211009", "system": SNOMED}
    answer = problem(api.get("/ValueSet/$validate-code", params=asked))
    assert answer[:2] == (422, "not-supported")
    assert answer.text.endswith(
        "cannot be known here: the code system SNOMED CT (http://snomed.info/sct) is not loaded here."
    )


def test_a_value_set_that_is_not_known_is_not_found(api):
    answer = api.get(f"/ValueSet/$validate-code?url=http://example.org/none&code=x&system={GENDER}")
    sentence = "The value set http://example.org/none is not loaded here."
    assert problem(answer) == (404, "not-found", sentence, "")


def test_without_a_code_the_question_is_refused(api):
    sentence = "One of code, coding and codeableConcept must be given, and only one."
    assert problem(api.get(f"/ValueSet/$validate-code?url={GENDERS}")) == (400, "invalid", sentence, "")


# ---- CodeSystem/$validate-code ---------------------------------------------------------------------------------------


def test_a_code_of_the_code_system_is_true_and_another_is_false(api):
    asked = f"/CodeSystem/$validate-code?url={GENDER}&code="
    assert values(api.get(f"{asked}female")) == {"result": True, "display": "Female"}
    assert values(api.get(f"{asked}plum"))["result"] is False


def test_a_stored_code_system_is_asked_by_its_address_and_one_that_is_sent_by_itself(api):
    api.put("/CodeSystem/food", json=FOOD)
    for code, result in (("pear", True), ("plum", False)):
        assert values(api.get(f"/CodeSystem/food/$validate-code?code={code}"))["result"] is result
        assert values(api.post(f"/CodeSystem/$validate-code?code={code}", json=FOOD))["result"] is result
        both = parameters(codeSystem=FOOD, code=code)
        assert values(api.post("/CodeSystem/$validate-code", json=both))["result"] is result


def test_a_code_system_without_a_url_cannot_be_asked(api):
    nameless = {name: value for name, value in FOOD.items() if name != "url"}
    answer = api.post("/CodeSystem/$validate-code?code=pear", json=nameless)
    sentence = "The code system has no url, by which its codes could name it."
    assert problem(answer) == (400, "invalid", sentence, "")


# ---- CodeSystem/$lookup ----------------------------------------------------------------------------------------------


def test_a_code_is_looked_up_by_get_and_as_a_coding_by_post(api):
    answers = [
        api.get(f"/CodeSystem/$lookup?system={GENDER}&code=female"),
        api.post("/CodeSystem/$lookup", json=parameters(coding={"system": GENDER, "code": "female"})),
    ]
    for answer in answers:
        found = values(answer)
        assert (found["name"], found["display"]) == ("AdministrativeGender", "Female")


def test_properties_are_asked_for_by_repeating_the_input(api):
    asked = f"/CodeSystem/$lookup?system={ROLES}&code=AUNT&property=parent"

    def properties(answer):
        rows = [row["part"] for row in said(answer)["parameter"] if row["name"] == "property"]
        return {part["valueCode"] for row in rows for part in row if part["name"] == "code"}

    assert properties(api.get(asked)) == {"parent"}
    assert properties(api.get(f"{asked}&property=child")) == {"parent", "child"}


@pytest.mark.parametrize(
    ("system", "code", "sentence"),
    [
        (GENDER, "plum", f'"plum" is not known as a code of AdministrativeGender ({GENDER}).'),
        (
            SNOMED,
            "73211009",
            f'"73211009" is not known as a code of SNOMED CT ({SNOMED}): the code system SNOMED CT ({SNOMED}) is not loaded here.',
        ),
    ],
)
def test_a_code_that_is_not_known_is_not_found(api, system, code, sentence):
    answer = api.get("/CodeSystem/$lookup", params={"system": system, "code": code})
    assert problem(answer) == (404, "not-found", sentence, "")


# ---- CodeSystem/$subsumes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "outcome"),
    [
        ("FAMMEMB", "AUNT", "subsumes"),
        ("AUNT", "FAMMEMB", "subsumed-by"),
        ("AUNT", "AUNT", "equivalent"),
        ("AUNT", "UNCLE", "not-subsumed"),
    ],
)
def test_how_two_codes_stand_is_told_by_get_and_by_post(api, a, b, outcome):
    asked = {"system": ROLES, "codeA": a, "codeB": b}
    expected = {"resourceType": "Parameters", "parameter": [{"name": "outcome", "valueCode": outcome}]}
    assert said(api.get("/CodeSystem/$subsumes", params=asked)) == expected
    codings = {name.replace("code", "coding"): {"system": ROLES, "code": asked[name]} for name in ("codeA", "codeB")}
    assert said(api.post("/CodeSystem/$subsumes", json=parameters(**codings))) == expected


def test_a_stored_code_system_is_asked_by_its_address(api):
    api.put("/CodeSystem/food", json=FOOD)
    assert values(api.get("/CodeSystem/food/$subsumes?codeA=fruit&codeB=pear")) == {"outcome": "subsumes"}


def test_codes_of_a_system_that_is_not_loaded_cannot_be_compared_and_says_why(api):
    answer = problem(api.get(f"/CodeSystem/$subsumes?system={SNOMED}&codeA=1&codeB=2"))
    assert answer[:2] == (422, "not-supported")
    assert answer.text.startswith("Which of the codes is a kind of the other cannot be said: ")
