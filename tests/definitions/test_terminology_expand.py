"""A value set written out: ValueSet.expansion and what $expand may ask of it (R4 §4.9.8, §4.9.17)."""

from __future__ import annotations

import re

import pytest
from fhir.resources.R4B.valueset import ValueSet

from phb_fhir.definitions.terminology import core
from phb_fhir.definitions.terminology_expand import CODES_MAX, Asked
from phb_fhir.outcome import Kind, Refusal, Rejected
from tests.definitions.codes import (
    FOOD,
    FOODS,
    NOW,
    R4,
    all_food,
    code_system,
    codes_in,
    concept,
    food,
    knowing,
    listing,
    value_set,
)

TERMINOLOGY = knowing(food(), value_set(all_food(), version="7", description="What we eat."))


def expanded(terminology=TERMINOLOGY, url=FOODS, **asked):
    return terminology.expand_as(url, Asked(**asked), NOW)


def test_the_expansion_says_what_it_is_of_when_it_was_made_and_all_its_codes():
    made = expanded()
    identifier = made["expansion"].pop("identifier")
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", identifier)
    assert made == {
        "resourceType": "ValueSet",
        "url": FOODS,
        "version": "7",
        "name": "Foods",
        "title": "Foods",
        "status": "active",
        "description": "What we eat.",
        "expansion": {
            "timestamp": NOW,
            "total": 7,
            "parameter": [{"name": "version", "valueUri": f"{FOOD}|1.0"}],
            "contains": [
                {"system": FOOD, "abstract": True, "code": "fruit", "display": "Fruit"},
                {"system": FOOD, "code": "apple", "display": "Apple"},
                {"system": FOOD, "code": "bramley", "display": "Bramley"},
                {"system": FOOD, "code": "pear", "display": "Pear"},
                {"system": FOOD, "code": "root", "display": "Root"},
                {"system": FOOD, "code": "carrot", "display": "Carrot"},
                {"system": FOOD, "inactive": True, "code": "swede", "display": "Swede"},
            ],
        },
    }


@pytest.mark.parametrize(
    "asked", [{}, {"count": 2, "offset": 1, "filter": "a", "active_only": True, "include_definition": True}]
)
def test_an_expansion_is_a_valid_value_set(asked):
    assert ValueSet.model_validate(expanded(**asked)).expansion.total is not None


def test_a_value_set_may_be_sent_along_instead_of_named():
    assert codes_in(TERMINOLOGY, value_set(listing("pear"), url="http://example.org/another")) == ["pear"]
    assert codes_in(TERMINOLOGY, {"resourceType": "ValueSet", "compose": {"include": [listing("pear")]}}) == ["pear"]


# ---- paging ---------------------------------------------------------------------------------------


def test_pages_fit_together_and_carry_the_total_and_the_same_identifier():
    pages = [expanded(offset=offset, count=3)["expansion"] for offset in (0, 3, 6)]
    assert [row["code"] for page in pages for row in page["contains"]] == [
        row["code"] for row in expanded()["expansion"]["contains"]
    ]
    assert [(page["offset"], page["total"]) for page in pages] == [(0, 7), (3, 7), (6, 7)]
    assert len({page["identifier"] for page in pages}) == 1
    assert pages[1]["parameter"][1:] == [{"name": "offset", "valueInteger": 3}, {"name": "count", "valueInteger": 3}]


def test_a_count_of_zero_asks_how_many_there_are():
    expansion = expanded(count=0)["expansion"]
    assert (expansion["total"], "contains" in expansion) == (7, False)


def test_a_page_past_the_end_is_empty():
    assert "contains" not in expanded(offset=7)["expansion"]


def test_another_question_gives_another_identifier():
    assert len({expanded(filter=text)["expansion"]["identifier"] for text in ("", "a", "b")}) == 3


@pytest.fixture(scope="module")
def huge():
    return knowing(code_system(*(concept(f"c{n}") for n in range(CODES_MAX + 1))), value_set(all_food()))


def test_more_codes_than_an_answer_may_hold_are_refused_as_too_costly_and_come_in_pages(huge):
    with pytest.raises(Rejected) as refused:
        huge.expand(FOODS)
    assert refused.value.refusal is Refusal.UNPROCESSABLE
    assert refused.value.issues[0].kind is Kind.TOO_COSTLY
    assert refused.value.issues[0].text == (
        "The value set cannot be expanded: it has 10,001 codes, more than the 10,000 that one answer may hold; "
        "ask for them in pages, with count and offset."
    )
    assert codes_in(huge, FOODS, offset=CODES_MAX, count=10) == [f"c{CODES_MAX}"]


def test_an_expansion_that_would_look_at_too_many_codes_is_refused(huge):
    with pytest.raises(Rejected, match="more than 100,000 codes would have to be looked at"):
        huge.expand(value_set(*[all_food()] * 11), count=1)
    assert codes_in(huge, value_set(*[all_food()] * 9), count=1) == ["c0"]


# ---- narrowing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [("app", ["apple"]), ("APPLE", ["apple"]), ("green ap", ["gs"]), ("poire", ["pear"]), ("ear", []), ("gs", ["gs"])],
)
def test_a_filter_finds_the_beginning_of_a_code_or_of_a_word_of_its_names(text, found):
    pear = {"code": "pear", "display": "Pear", "designation": [{"language": "fr", "value": "Poire"}]}
    system = code_system(concept("apple"), concept("gs", display="Green (Granny Smith) Apfel"), pear)
    assert codes_in(knowing(system), value_set(all_food()), filter=text) == found


def test_active_only_leaves_out_what_is_inactive():
    assert "swede" not in codes_in(TERMINOLOGY, FOODS, active_only=True)
    assert "swede" in codes_in(TERMINOLOGY, FOODS)


def test_codes_not_for_a_user_interface_can_be_left_out():
    assert "fruit" not in [row["code"] for row in expanded(exclude_not_for_ui=True)["expansion"]["contains"]]


@pytest.mark.parametrize(("canonical", "left"), [(FOOD, 0), (f"{FOOD}|1.0", 0), (f"{FOOD}|2.0", 7)])
def test_a_system_or_one_version_of_it_can_be_left_out(canonical, left):
    assert expanded(exclude_systems=(canonical,))["expansion"]["total"] == left


# ---- names ----------------------------------------------------------------------------------------

_USE = {"system": "http://snomed.info/sct", "code": "900000000000013009"}
_NAMES = [{"language": "cy", "value": "Gellygen"}, {"language": "en-US", "use": _USE, "value": "Bosc"}]
NAMED = knowing(code_system({"code": "pear", "display": "Pear", "designation": _NAMES}), value_set(all_food()))


def test_designations_come_when_asked_for():
    assert "designation" not in expanded(NAMED)["expansion"]["contains"][0]
    assert expanded(NAMED, include_designations=True)["expansion"]["contains"][0]["designation"] == _NAMES


@pytest.mark.parametrize(
    ("wanted", "which"), [("urn:ietf:bcp:47|cy", 0), ("http://snomed.info/sct|900000000000013009", 1)]
)
def test_only_the_designations_of_a_language_or_use_come_when_these_are_named(wanted, which):
    row = expanded(NAMED, include_designations=True, designations=(wanted,))["expansion"]["contains"][0]
    assert row["designation"] == [_NAMES[which]]


@pytest.mark.parametrize(
    ("language", "display"), [("cy", "Gellygen"), ("en", "Bosc"), ("CY", "Gellygen"), ("fr", "Pear")]
)
def test_the_display_is_in_the_language_asked_for_where_there_is_one(language, display):
    assert expanded(NAMED, display_language=language)["expansion"]["contains"][0]["display"] == display


def test_the_definition_comes_when_asked_for():
    assert expanded(include_definition=True)["compose"] == {"include": [all_food()]}
    assert "compose" not in expanded()


# ---- what is not all ------------------------------------------------------------------------------


def test_the_expansion_of_a_fragment_says_that_there_is_more():
    terminology = knowing(food(content="fragment"))
    unclosed = [{"url": "http://hl7.org/fhir/StructureDefinition/valueset-unclosed", "valueBoolean": True}]
    assert terminology.expand(value_set(all_food()))["expansion"]["extension"] == unclosed
    assert "extension" not in terminology.expand(value_set(listing("pear")))["expansion"]


def test_a_value_set_that_is_not_loaded_is_not_found():
    with pytest.raises(Rejected) as refused:
        TERMINOLOGY.expand("http://example.org/ValueSet/none")
    assert (refused.value.refusal, refused.value.issues[0].kind) == (Refusal.NOT_FOUND, Kind.NOT_FOUND)


def test_a_value_set_of_a_system_that_is_not_loaded_is_refused_with_its_name():
    with pytest.raises(Rejected) as refused:
        core(R4).expand("http://hl7.org/fhir/ValueSet/condition-code")
    assert (refused.value.refusal, refused.value.issues[0].kind) == (Refusal.UNPROCESSABLE, Kind.NOT_SUPPORTED)
    assert refused.value.issues[0].text == (
        "The value set cannot be expanded: the code system SNOMED CT (http://snomed.info/sct) is not loaded here."
    )


def test_expanding_does_not_change_what_is_loaded():
    definition = value_set(all_food())
    terminology = knowing(food(), definition)
    terminology.expand(FOODS, include_designations=True)["expansion"]["contains"].clear()
    assert definition == value_set(all_food())
    assert len(codes_in(terminology, FOODS)) == 7
