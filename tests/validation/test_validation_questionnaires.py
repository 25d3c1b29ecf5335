"""Answers against the questions they answer: each rule with what it refuses and the nearest it allows."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.fhir import codec
from phb_fhir.outcome import Kind
from phb_fhir.validation.validate import validate

R4 = load()
GENDER = "http://hl7.org/fhir/administrative-gender"
URL = "https://example.org/Questionnaire/needs"


def errors(resource, **options):
    parsed = codec.loads(codec.dumps(resource), depth_max=100)
    return [issue for issue in validate(parsed, R4, **options) if issue.is_error]


def question(link, type_="string", *inside, **elements):
    return {"linkId": link, "type": type_, **({"item": list(inside)} if inside else {}), **elements}


def when(link, operator="=", **answer):
    return {"question": link, "operator": operator, **answer}


HELPERS = {
    "resourceType": "ValueSet",
    "id": "helpers",
    "status": "active",
    "compose": {"include": [{"system": GENDER, "concept": [{"code": "female"}]}]},
}
NEEDS = {
    "resourceType": "Questionnaire",
    "id": "q",
    "url": URL,
    "status": "active",
    "item": [
        question("name", required=True, maxLength=5),
        question("age", "integer"),
        question("help", "choice", question("whose"), answerOption=[{"valueCoding": {"system": GENDER, "code": "male"}}]),
        question("child", "group", question("child-age", "integer"),
                 question("school", enableWhen=[when("child-age", ">=", answerInteger=5)]), repeats=True),
        question("gender", "open-choice", answerValueSet="#helpers"),
        question("job", enableWhen=[when("age", ">", answerInteger=17), when("name", "exists", answerBoolean=True)],
                 enableBehavior="all", required=True),
        question("day", "date", repeats=True),
        question("thanks", "display"),
    ],
}  # fmt: skip


def answer(link, *values, **elements):
    return {"linkId": link, "answer": list(values), **elements}


def text(value):
    return {"valueString": value}


def number(value):
    return {"valueInteger": value}


def coding(code, **elements):
    return {"valueCoding": {"system": GENDER, "code": code}, **elements}


NAME = answer("name", text("Asha"))


def response(*items, status="completed", **elements):
    return {
        "resourceType": "QuestionnaireResponse",
        "contained": [NEEDS, HELPERS],
        "questionnaire": "#q",
        "status": status,
        "item": list(items),
        **elements,
    }


def child(*items):
    return {"linkId": "child", "item": list(items)}


class Case(NamedTuple):
    good: list[dict[str, Any]]
    bad: list[dict[str, Any]]
    place: str
    says: str
    kind: Kind = Kind.INVALID


CASES = {
    "a required question is answered": Case([NAME], [answer("age", number(4))], "item", '"name"', Kind.REQUIRED),
    "an item answers a question": Case([NAME], [NAME, answer("nome", text("A"))], "item[1].linkId", "none with this linkId"),
    "an item answers a question of its place": Case(
        [NAME, child(answer("child-age", number(4)))], [NAME, answer("child-age", number(4))], "item[1].linkId", "elsewhere"
    ),
    "items stand in the order of the questions": Case(
        [NAME, answer("age", number(4))], [answer("age", number(4)), NAME], "item[1]", "comes before"
    ),
    "an answer is of the question's type": Case(
        [NAME, answer("age", number(4))], [NAME, answer("age", text("4"))], "item[1].answer[0].value.ofType(string)", "valueInteger"
    ),
    "an answer is not too long": Case(
        [answer("name", text("Ashas"))], [answer("name", text("Ashass"))], "item[0].answer[0].value.ofType(string)", "5 characters", Kind.TOO_LONG
    ),
    "an answer is one of those offered": Case(
        [NAME, answer("help", coding("male"))], [NAME, answer("help", coding("female"))], "item[1].answer[0].value.ofType(Coding)", "none of those", Kind.CODE_INVALID
    ),
    "an answer is in the value set": Case(
        [NAME, answer("gender", coding("female"))], [NAME, answer("gender", coding("male"))], "item[1].answer[0].value.ofType(Coding)", "not in the value set", Kind.CODE_INVALID
    ),
    "an open choice takes words": Case(
        [NAME, answer("gender", text("both"))], [NAME, answer("help", text("both"))], "item[1].answer[0].value.ofType(string)", "valueCoding"
    ),
    "one question has one answer": Case(
        [NAME, answer("day", {"valueDate": "2026"}, {"valueDate": "2027"})], [NAME, answer("age", number(4), number(5))], "item[1].answer", "one answer"
    ),
    "a group has items": Case(
        [NAME, child(answer("child-age", number(4)))], [NAME, answer("child", number(4))], "item[1].answer", "no answers of its own"
    ),
    "a group that repeats may stand twice": Case(
        [NAME, child(answer("child-age", number(4))), child(answer("child-age", number(6)))], [NAME, NAME], "item[1]", "stands here once"
    ),
    "what is asked below a question stands in its answer": Case(
        [NAME, answer("help", coding("male", item=[answer("whose", text("Uncle"))]))],
        [NAME, {"linkId": "help", "item": [answer("whose", text("Uncle"))]}],
        "item[1].item",
        "inside its answer",
        Kind.STRUCTURE,
    ),
    "what is only displayed has no answer": Case(
        [NAME, {"linkId": "thanks"}], [NAME, answer("thanks", text("A"))], "item[1].answer", "no answer"
    ),
    "what is not asked has no answer": Case(
        [NAME, answer("age", number(18)), answer("job", text("Cook"))],
        [NAME, answer("age", number(17)), answer("job", text("Cook"))],
        "item[2]",
        "not asked",
        Kind.BUSINESS_RULE,
    ),
    "what is asked only then is required only then": Case(
        [NAME, answer("age", number(17))], [NAME, answer("age", number(18))], "item", '"job"', Kind.REQUIRED
    ),
    "a condition looks at the answers nearest to it": Case(
        [NAME, child(answer("child-age", number(2))), child(answer("child-age", number(6)), answer("school", text("A")))],
        [NAME, child(answer("child-age", number(6))), child(answer("child-age", number(2)), answer("school", text("A")))],
        "item[2].item[1]",
        "not asked",
        Kind.BUSINESS_RULE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", CASES, ids=str)
def test_what_the_rule_allows_passes(rule):
    assert errors(response(*CASES[rule].good)) == []


@pytest.mark.parametrize("rule", CASES, ids=str)
def test_what_the_rule_forbids_is_an_error_at_its_place(rule):
    case = CASES[rule]
    (issue,) = errors(response(*case.bad))
    assert (issue.kind, issue.expression) == (case.kind, f"QuestionnaireResponse.{case.place}")
    assert case.says in issue.text


@pytest.mark.parametrize("status", ["in-progress", "stopped", "entered-in-error"])
def test_of_a_response_that_is_not_complete_nothing_is_missing(status):
    assert errors(response(answer("age", number(4)), status=status)) == []


def test_a_questionnaire_that_is_known_here_is_asked_and_one_that_is_not_is_not():
    named = {**response(answer("age", number(4))), "questionnaire": URL}
    del named["contained"]
    assert errors(named) == []
    told = [(issue.severity, issue.expression) for issue in validate(named, R4) if URL in issue.text]
    assert told == [("warning", "QuestionnaireResponse.questionnaire")]
    (issue,) = errors(named, known=Registry.of(R4, [{**NEEDS, "contained": [HELPERS]}]))
    assert issue.kind is Kind.REQUIRED


def limits(**by_name):
    base = "http://hl7.org/fhir/StructureDefinition"
    return [{"url": f"{base}/{name.replace('_', '-')}", **value} for name, value in by_name.items()]


LIMITED = {
    **NEEDS,
    "item": [
        question("age", "integer", extension=limits(minValue=number(3), maxValue=number(5))),
        question("day", "date", extension=limits(minValue={"valueDate": "2026-01-01"})),
        question("code", extension=limits(regex=text("[A-Z]+[0-9]"), minLength=number(3))),
        question("cost", "decimal", extension=limits(maxDecimalPlaces=number(2))),
        question("goal", repeats=True, required=True,
                 extension=limits(questionnaire_minOccurs=number(2), questionnaire_maxOccurs=number(3))),
        question("visit", "group", question("when", "date"), repeats=True, extension=limits(questionnaire_maxOccurs=number(1))),
    ],
}  # fmt: skip
GOALS = answer("goal", text("walk"), text("swim"))
VISIT = {"linkId": "visit", "item": [answer("when", {"valueDate": "2026"})]}
LIMITS = {
    "no less than the least": Case([answer("age", number(3))], [answer("age", number(2))], "item[0].answer[0].value", "at least 3"),
    "no more than the most": Case([answer("age", number(5))], [answer("age", number(6))], "item[0].answer[0].value", "at most 5"),
    "no earlier than the earliest day": Case(
        [answer("day", {"valueDate": "2026-01-01"})], [answer("day", {"valueDate": "2025-12-31"})], "item[0].answer[0].value", "2026-01-01"
    ),
    "a text as its expression has it": Case([answer("code", text("AB1"))], [answer("code", text("AB1x"))], "item[0].answer[0].value", "[A-Z]+[0-9]"),
    "a text of as many characters": Case([answer("code", text("AB1"))], [answer("code", text("B1"))], "item[0].answer[0].value", "3 characters"),
    "as many decimal places": Case(
        [answer("cost", {"valueDecimal": 1.25})], [answer("cost", {"valueDecimal": 1.255})], "item[0].answer[0].value", "2 decimal places"
    ),
    "as many answers": Case([GOALS], [answer("goal", text("walk"))], "item[0].answer", "at least 2", Kind.INVALID),
    "no more answers": Case([GOALS], [answer("goal", *map(text, "abcd"))], "item[0].answer", "at most 3", Kind.INVALID),
    "no more groups": Case([GOALS, VISIT], [GOALS, VISIT, VISIT], "item", "at most 1", Kind.INVALID),
}  # fmt: skip


@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_the_extensions_of_a_question_limit_its_answers(limit):
    def found(items):
        all_ = items if any(item["linkId"] == "goal" for item in items) else [*items, GOALS]
        return errors({**response(*all_), "contained": [LIMITED]})

    assert found(LIMITS[limit].good) == []
    (issue,) = found(LIMITS[limit].bad)
    assert issue.expression.partition(".ofType(")[0] == f"QuestionnaireResponse.{LIMITS[limit].place}"
    assert LIMITS[limit].says in issue.text


@pytest.mark.parametrize(
    ("condition", "says"),
    [(when("nome", "exists", answerBoolean=True), "none with this linkId"), (when("b", "exists", answerBoolean=True), "itself")],
)  # fmt: skip
def test_a_question_is_enabled_by_another_one_of_its_questionnaire(condition, says):
    asks = {"resourceType": "Questionnaire", "status": "draft"}
    fine = {**asks, "item": [question("a"), question("b", enableWhen=[when("a", "exists", answerBoolean=True)])]}
    assert errors(fine) == []
    (issue,) = errors({**asks, "item": [question("a"), question("b", enableWhen=[condition])]})
    assert (issue.expression, says in issue.text) == ("Questionnaire.item[1].enableWhen[0].question", True)
