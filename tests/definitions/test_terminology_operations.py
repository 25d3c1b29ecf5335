"""The terminology operations from Parameters to answer (R4 §4.10, and the operations of ValueSet and CodeSystem)."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from fhir.resources.R4B.parameters import Parameters

from phb_fhir.definitions import terminology_operations as operations
from phb_fhir.definitions.terminology import core
from phb_fhir.outcome import Kind, Refusal, Rejected
from tests.definitions.codes import (
    FOOD,
    FOODS,
    NOW,
    R4,
    all_food,
    code_system,
    concept,
    food,
    knowing,
    listing,
    value_set,
)

SNOMED = "http://snomed.info/sct"
TERMINOLOGY = knowing(food(), value_set(all_food(), version="7"))


def parameters(*rows, **named):
    """Each value by its FHIR type; a row is (name, value) where a name stands twice or has a dash."""
    pairs = [*rows, *named.items()]
    return {"resourceType": "Parameters", "parameter": [{"name": name, **_valued(value)} for name, value in pairs]}


def _valued(value):
    if isinstance(value, dict):
        if "resourceType" in value:
            return {"resource": value}
        return {"valueCodeableConcept" if "coding" in value or value == {} else "valueCoding": value}
    return {{bool: "valueBoolean", int: "valueInteger"}.get(type(value), "valueString"): value}


def values(answer):
    Parameters.model_validate(json.loads(json.dumps(answer)))
    return {row["name"]: next(value for key, value in row.items() if key != "name") for row in answer["parameter"]}


def refusal_of(call, *arguments, **named):
    with pytest.raises(Rejected) as refused:
        call(*arguments, **named)
    [issue] = refused.value.issues
    return refused.value.refusal, issue.kind, issue.text


# ---- ValueSet/$validate-code ----------------------------------------------------------------------


def validated(terminology=TERMINOLOGY, *, resource=None, **named):
    return values(operations.validate_code_in_value_set(terminology, parameters(**named), resource=resource))


def test_a_code_of_the_value_set_is_true_with_its_display():
    assert validated(url=FOODS, code="pear", system=FOOD) == {"result": True, "display": "Pear"}


def test_a_code_of_no_value_set_is_false_with_the_reason():
    answer = validated(url=FOODS, code="plum", system=FOOD)
    assert answer["result"] is False
    assert answer["message"].startswith(f'"plum" of {FOOD} is not in the value set Foods ({FOODS}).')
    assert "display" not in answer


def test_a_wrong_display_is_true_with_a_message_and_the_right_one():
    assert validated(url=FOODS, code="pear", system=FOOD, display="Apple") == {
        "result": True,
        "message": 'Food calls the code "pear" "Pear", not "Apple".',
        "display": "Pear",
    }


def test_a_coding_is_validated_and_of_a_concept_one_good_coding_is_enough():
    assert validated(url=FOODS, coding={"system": FOOD, "code": "pear"})["result"] is True
    concept_of = lambda *codes: {"coding": [{"system": FOOD, "code": code} for code in codes]}  # noqa: E731
    assert validated(url=FOODS, codeableConcept=concept_of("plum", "pear"))["result"] is True
    answer = validated(url=FOODS, codeableConcept=concept_of("plum", "fig"))
    assert answer["result"] is False
    assert '"plum"' in answer["message"]
    assert '"fig"' in answer["message"]


def test_what_cannot_be_known_is_neither_true_nor_false_but_refused():
    diabetes = {"url": "http://hl7.org/fhir/ValueSet/condition-code", "code": "73211009", "system": SNOMED}
    refusal, kind, text = refusal_of(validated, core(R4), **diabetes)
    assert (refusal, kind) == (Refusal.UNPROCESSABLE, Kind.NOT_SUPPORTED)
    assert text.endswith("cannot be known here: the code system SNOMED CT (http://snomed.info/sct) is not loaded here.")


def test_a_doubtful_coding_beside_a_good_one_does_not_matter():
    rows = {"coding": [{"system": SNOMED, "code": "1"}, {"system": FOOD, "code": "pear"}]}
    both = knowing(food(), value_set(all_food(), {"system": SNOMED}))
    assert validated(both, url=FOODS, codeableConcept=rows)["result"] is True


def test_the_value_set_may_be_the_instance_or_sent_along_or_named_with_its_version():
    pears = value_set(listing("pear"), url="http://example.org/ValueSet/pears")
    assert validated(resource=pears, code="apple", system=FOOD)["result"] is False
    assert validated(valueSet=pears, code="pear", system=FOOD)["result"] is True
    assert validated(url=FOODS, valueSetVersion="7", code="pear", system=FOOD)["result"] is True
    assert refusal_of(validated, url=FOODS, valueSetVersion="8", code="pear", system=FOOD)[0] is Refusal.NOT_FOUND


def test_abstract_says_whether_a_heading_will_do():
    asked = {"url": FOODS, "code": "fruit", "system": FOOD}
    assert validated(**asked, abstract=True) == {"result": True, "display": "Fruit"}
    assert validated(**asked, abstract=False)["result"] is False
    assert "only groups other codes" in validated(**asked)["message"]


def test_query_parameters_are_texts_and_read_as_what_they_should_be():
    asked = {"url": FOODS, "code": "fruit", "system": FOOD}
    assert validated(**asked, abstract="false")["result"] is False
    assert validated(**asked, abstract="true")["result"] is True
    assert refusal_of(validated, **asked, abstract="yes")[2] == 'The parameter "abstract" must be true or false.'


@pytest.mark.parametrize(
    ("named", "text"),
    [
        ({"code": "pear", "system": FOOD}, "Which value set is meant must be said"),
        ({"url": FOODS}, "One of code, coding and codeableConcept must be given"),
        ({"url": FOODS, "code": "pear", "coding": {"system": FOOD, "code": "pear"}}, "and only one"),
        ({"url": FOODS, "code": "pear"}, "With a code its system must be given."),
        ({"url": FOODS, "coding": {"system": FOOD}}, "A coding to be validated has a code."),
        ({"url": FOODS, "coding": "pear"}, 'The parameter "coding" must be an element of its type'),
        ({"url": FOODS, "codeableConcept": {}}, "has between 1 and 100 codings"),
        ({"url": FOODS, "codeableConcept": {"coding": [{"code": "x"}] * 101}}, "has between 1 and 100 codings"),
        ({"url": FOODS, "code": "pear", "system": FOOD, "colour": "green"}, 'has no parameter "colour"; it takes url,'),
        ({"url": 7, "code": "pear", "system": FOOD}, 'The parameter "url" must be a text.'),
        ({"valueSet": {"resourceType": "Patient"}, "code": "pear", "system": FOOD}, "must hold a ValueSet resource"),
    ],
)
def test_a_question_that_is_not_well_put_is_refused(named, text):
    refusal, kind, said = refusal_of(validated, **named)
    assert (refusal, kind) == (Refusal.BAD_REQUEST, Kind.INVALID)
    assert text in said


def test_a_parameter_twice_is_refused():
    twice = parameters(("url", FOODS), ("url", FOODS), ("code", "pear"))
    text = refusal_of(operations.validate_code_in_value_set, TERMINOLOGY, twice)[2]
    assert text == 'The parameter "url" may stand once.'


@pytest.mark.parametrize(
    ("operation", "named"),
    [
        (operations.validate_code_in_value_set, {"context": "Patient.gender"}),
        (operations.validate_code_in_value_set, {"date": "2020-01-01"}),
        (operations.validate_code_in_code_system, {"date": "2020-01-01"}),
        (operations.lookup, {"date": "2020-01-01"}),
    ],
)
def test_a_parameter_that_is_not_supported_is_refused_and_not_passed_over(operation, named):
    refusal, kind, text = refusal_of(operation, TERMINOLOGY, parameters(**named))
    assert (refusal, kind) == (Refusal.BAD_REQUEST, Kind.NOT_SUPPORTED)
    assert "is not supported here; nothing was answered without it" in text


def test_a_parameter_without_a_value_is_refused():
    empty = {"resourceType": "Parameters", "parameter": [{"name": "url"}]}
    assert refusal_of(operations.lookup, TERMINOLOGY, parameters())[2] == "Either code or coding must be given."
    text = refusal_of(operations.validate_code_in_value_set, TERMINOLOGY, empty)[2]
    assert text == 'The parameter "url" has no value.'


@pytest.fixture(scope="module")
def published():
    """HL7's own OperationDefinitions, 4.0.1: the input parameters of each, by type and code."""
    root = Path(__file__).resolve().parents[2]
    spec = importlib.util.spec_from_file_location("compile_r4", root / "tools" / "compile_r4.py")
    compiler = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(compiler)
    definitions = compiler.read_package(compiler.fetch_wheel())["OperationDefinition"]
    return {
        f"{resource}/${definition['code']}": {p["name"] for p in definition["parameter"] if p["use"] == "in"}
        for definition in definitions
        for resource in definition.get("resource", ())
    }


def test_every_parameter_r4_defines_is_taken_or_refused_by_name(published):
    assert len(operations._TAKES) == 5
    for operation, takes in operations._TAKES.items():
        assert set(takes) == published[operation]


# ---- CodeSystem/$validate-code --------------------------------------------------------------------


def in_system(terminology=TERMINOLOGY, *, resource=None, **named):
    return values(operations.validate_code_in_code_system(terminology, parameters(**named), resource=resource))


def test_a_code_of_the_code_system_is_true_and_another_false():
    assert in_system(url=FOOD, code="pear") == {"result": True, "display": "Pear"}
    assert in_system(url=FOOD, code="plum") == {"result": False, "message": f'"plum" is not a code of Food ({FOOD}).'}


def test_a_coding_brings_its_own_system_which_must_be_the_one_asked():
    assert in_system(coding={"system": FOOD, "code": "pear"})["result"] is True
    answer = in_system(url=FOOD, coding={"system": SNOMED, "code": "1"})
    assert answer == {"result": False, "message": f'The code "1" is of the code system {SNOMED}, not of {FOOD}.'}


def test_the_code_system_may_be_the_instance_or_sent_along():
    older = code_system(concept("plum"), version="0.9")
    assert in_system(resource=older, code="plum")["result"] is True
    assert in_system(codeSystem=older, code="pear")["result"] is False
    assert in_system(url=FOOD, code="plum")["result"] is False


def test_a_code_system_must_be_named():
    assert (
        refusal_of(in_system, code="pear")[2] == "The code system must be named, by url or as the system of the coding."
    )
    unnamed = {"resourceType": "CodeSystem", "content": "complete"}
    assert "has no url" in refusal_of(in_system, codeSystem=unnamed, code="pear")[2]


def test_a_code_of_a_system_that_is_not_loaded_is_neither_true_nor_false():
    assert refusal_of(in_system, url=SNOMED, code="1")[:2] == (Refusal.UNPROCESSABLE, Kind.NOT_SUPPORTED)


# ---- CodeSystem/$lookup ---------------------------------------------------------------------------

FRENCH = [{"language": "fr", "use": {"code": "x"}, "value": "Pomme"}]


def _apple():
    system = food()
    system["concept"][0]["concept"][0]["designation"] = FRENCH
    return knowing(system)


def looked_up(*rows, terminology=None, **named):
    answer = operations.lookup(terminology or _apple(), parameters(*rows, **named))
    Parameters.model_validate(json.loads(json.dumps(answer)))
    return answer["parameter"]


def test_a_lookup_says_all_there_is_to_say():
    assert looked_up(system=FOOD, code="apple") == [
        {"name": "name", "valueString": "Food"},
        {"name": "version", "valueString": "1.0"},
        {"name": "display", "valueString": "Apple"},
        {
            "name": "designation",
            "part": [
                {"name": "language", "valueCode": "fr"},
                {"name": "use", "valueCoding": {"code": "x"}},
                {"name": "value", "valueString": "Pomme"},
            ],
        },
        _property("parent", "valueCode", "fruit", "Fruit"),
        _property("child", "valueCode", "bramley", "Bramley"),
        _property("inactive", "valueBoolean", False),
        _property("colour", "valueString", "red"),
    ]


def _property(name, key, value, description=None):
    parts = [{"name": "code", "valueCode": name}, {"name": "value", key: value}]
    return {
        "name": "property",
        "part": parts + ([{"name": "description", "valueString": description}] if description else []),
    }


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (["colour"], ["colour"]),
        (["parent", "child"], ["parent", "child"]),
        (["designation"], ["designation"]),
        (["lang.fr"], ["designation"]),
        (["lang.de"], []),
        (["definition"], []),
        (["*"], ["designation", "parent", "child", "inactive", "colour"]),
    ],
)
def test_only_the_properties_asked_for_are_told(asked, names):
    rows = looked_up(*[("property", name) for name in asked], system=FOOD, code="apple")
    told = [row["part"][0]["valueCode"] if row["name"] == "property" else row["name"] for row in rows[3:]]
    assert told == names


def test_a_lookup_in_a_language_gives_the_display_in_it():
    assert looked_up(system=FOOD, code="apple", displayLanguage="fr")[2]["valueString"] == "Pomme"


def test_a_lookup_of_a_coding_an_abstract_and_a_published_code():
    assert looked_up(coding={"system": FOOD, "code": "fruit"})[-1] == _property("notSelectable", "valueBoolean", True)
    asked = {"system": "http://hl7.org/fhir/account-status", "code": "unknown", "property": "definition"}
    assert looked_up(terminology=core(R4), **asked)[3:] == [
        _property("definition", "valueString", "The account status is unknown.")
    ]


def test_a_unit_has_no_other_name_than_its_code():
    rows = looked_up(terminology=core(R4), system="http://unitsofmeasure.org", code="mm[Hg]")
    assert rows == [{"name": "name", "valueString": "UCUM"}, {"name": "display", "valueString": "mm[Hg]"}]


@pytest.mark.parametrize(
    ("named", "text"),
    [
        ({"system": FOOD, "code": "plum"}, f'"plum" is not known as a code of Food ({FOOD}).'),
        (
            {"system": FOOD, "code": "pear", "version": "9"},
            f'Version "9" of Food ({FOOD}) is not loaded here; version 1.0 is.',
        ),
        (
            {"system": SNOMED, "code": "1"},
            f'"1" is not known as a code of SNOMED CT ({SNOMED}): the code system SNOMED CT ({SNOMED}) is not loaded here.',
        ),
    ],
)
def test_a_code_that_is_not_known_is_not_found(named, text):
    assert refusal_of(looked_up, **named) == (Refusal.NOT_FOUND, Kind.NOT_FOUND, text)


def test_a_lookup_needs_a_system():
    assert refusal_of(looked_up, code="pear")[2] == "The code system of code must be given."


# ---- CodeSystem/$subsumes -------------------------------------------------------------------------


def subsumed(*, resource=None, **named):
    return values(operations.subsumes(TERMINOLOGY, parameters(**named), resource=resource))["outcome"]


def test_subsumption_of_two_codes_two_codings_or_within_the_instance():
    assert subsumed(system=FOOD, codeA="fruit", codeB="pear") == "subsumes"
    pear, fruit = ({"system": FOOD, "code": code} for code in ("pear", "fruit"))
    assert subsumed(codingA=pear, codingB=fruit) == "subsumed-by"
    meat = code_system(concept("meat", concept("beef")), url="http://example.org/meat")
    assert subsumed(resource=meat, codeA="meat", codeB="beef") == "subsumes"


@pytest.mark.parametrize(
    ("named", "text"),
    [
        ({"system": FOOD, "codeA": "pear"}, "Either codeB or codingB must be given."),
        ({"codeA": "pear", "codeB": "pear"}, "The code system of codeA must be given."),
        (
            {"codingA": {"system": FOOD, "code": "pear"}, "codingB": {"system": SNOMED, "code": "1"}},
            f"The two codes must be of one code system; they are of {FOOD} and {SNOMED}.",
        ),
    ],
)
def test_subsumption_of_what_is_not_two_codes_of_one_system_is_refused(named, text):
    assert refusal_of(subsumed, **named)[2] == text


# ---- ValueSet/$expand -----------------------------------------------------------------------------


def expanded(*rows, resource=None, **named):
    made = operations.expand(TERMINOLOGY, parameters(*rows, **named), now=NOW, resource=resource)
    return [row["code"] for row in made["expansion"].get("contains", [])], made


def test_every_parameter_shapes_the_expansion_and_is_said_in_it():
    rows = [("designation", "urn:ietf:bcp:47|cy"), ("exclude-system", SNOMED)]
    codes, made = expanded(
        *rows,
        url=FOODS,
        filter="p",
        offset="0",
        count="1",
        activeOnly="true",
        displayLanguage="cy",
        excludeNotForUI=True,
        includeDefinition=True,
    )
    assert codes == ["pear"]
    assert "compose" in made
    assert [row["name"] for row in made["expansion"]["parameter"]] == [
        *("version", "filter", "displayLanguage", "designation", "exclude-system"),
        *("activeOnly", "includeDesignations", "includeDefinition", "excludeNotForUI", "count"),
    ]


def test_an_instance_or_a_value_set_sent_along_is_expanded():
    pears = value_set(listing("pear"), url="http://example.org/ValueSet/pears")
    assert expanded(resource=pears)[0] == ["pear"]
    assert expanded(valueSet=pears)[0] == ["pear"]


@pytest.mark.parametrize("bad", ["-1", "many", "1.5", True, "99999999999"])
def test_a_count_that_is_no_number_is_refused(bad):
    assert refusal_of(expanded, url=FOODS, count=bad)[2] == 'The parameter "count" must be a whole number, not below 0.'


def test_a_parameter_of_expand_that_is_not_supported_is_refused():
    rows = [("system-version", f"{FOOD}|1.0")]
    assert refusal_of(expanded, *rows, url=FOODS)[1] is Kind.NOT_SUPPORTED
