"""What a CodeSystem says (R4 §4.8, codesystem.html), and what that means for a code of it."""

from __future__ import annotations

import pytest

from phb_fhir.definitions.terminology import core
from phb_fhir.outcome import Kind, Refusal, Rejected
from tests.definitions.codes import (
    FOOD,
    FOODS,
    PROPERTIES,
    R4,
    all_food,
    code_system,
    codes_in,
    concept,
    food,
    knowing,
    value_set,
    where,
)

ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
SNOMED = "http://snomed.info/sct"


def test_a_code_of_a_complete_system_is_valid_and_comes_with_its_display():
    verdict = knowing(food()).validate_code_in_system(FOOD, "pear")
    assert (verdict.valid, verdict.severity, verdict.sentence) == (True, "information", "")
    assert (verdict.display, verdict.system, verdict.code) == ("Pear", FOOD, "pear")


def test_a_code_that_a_complete_system_does_not_have_is_an_error():
    verdict = knowing(food()).validate_code_in_system(FOOD, "plum")
    assert (verdict.valid, verdict.severity) == (False, "error")
    assert verdict.sentence == f'"plum" is not a code of Food ({FOOD}).'


# ---- §4.8.5 caseSensitive -------------------------------------------------------------------------


def test_in_a_case_sensitive_system_the_wrong_case_is_an_error_that_names_the_right_one():
    verdict = knowing(food()).validate_code_in_system(FOOD, "Pear")
    assert verdict.valid is False
    assert verdict.sentence.endswith('Did you mean "pear"?')


@pytest.mark.parametrize("case_sensitive", [False, None])
def test_where_the_case_does_not_matter_or_nobody_knows_any_case_is_taken_with_a_warning(case_sensitive):
    terminology = knowing(food(caseSensitive=case_sensitive), value_set(where("concept", "is-a", "fruit")))
    for verdict in (terminology.validate_code_in_system(FOOD, "PEAR"), terminology.validate_code(FOODS, FOOD, "PEAR")):
        assert (verdict.valid, verdict.severity, verdict.code) == (True, "warning", "pear")
        assert verdict.sentence == f'Food ({FOOD}) writes the code "pear", not "PEAR".'


def test_two_codes_that_differ_in_case_alone_stay_two_codes():
    terminology = knowing(code_system(concept("a", display="small"), concept("A", display="large"), caseSensitive=None))
    assert terminology.validate_code_in_system(FOOD, "A", "large").severity == "information"
    assert terminology.validate_code_in_system(FOOD, "a", "large").severity == "warning"


# ---- §4.8.8 content -------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["fragment", "example"])
def test_of_a_system_that_is_here_in_part_a_code_found_is_valid_and_another_cannot_be_known(content):
    terminology = knowing(food(content=content), value_set(all_food()))
    assert terminology.validate_code(FOODS, FOOD, "pear").valid is True
    verdict = terminology.validate_code(FOODS, FOOD, "plum")
    assert (verdict.valid, verdict.severity) == (None, "warning")
    assert verdict.reason == f"only a part of Food ({FOOD}) is loaded here"
    assert verdict.text == verdict.reason


def test_of_a_system_known_by_name_only_nothing_can_be_known():
    verdict = knowing(code_system(content="not-present")).validate_code_in_system(FOOD, "pear")
    assert (verdict.valid, verdict.reason) == (None, f"the code system Food ({FOOD}) is not loaded here")


def test_a_system_known_by_name_only_hides_none_that_has_codes():
    empty = code_system(url=ACT_CODE, content="not-present", version="9.9")
    assert knowing(empty).validate_code_in_system(ACT_CODE, "AMB").valid is True


def test_of_an_unknown_system_nothing_can_be_known_and_the_sentence_names_it():
    verdict = core(R4).validate_code_in_system("https://dmd.nhs.uk", "322236009")
    assert verdict.valid is None
    assert verdict.sentence == (
        'Whether "322236009" is in the code system the NHS dictionary of medicines and devices, dm+d (https://dmd.nhs.uk) '
        "cannot be known here: the code system the NHS dictionary of medicines and devices, dm+d (https://dmd.nhs.uk) is not loaded here."
    )


def test_a_fragment_of_snomed_ct_answers_for_its_codes_and_leaves_the_others_open():
    fragment = code_system(
        concept("73211009", display="Diabetes mellitus"), url=SNOMED, content="fragment", version=None
    )
    terminology = knowing(fragment)
    assert terminology.validate_code_in_system(SNOMED, "73211009", "diabetes  MELLITUS").severity == "information"
    assert terminology.validate_code_in_system(SNOMED, "24700007").valid is None


def test_fragments_of_one_system_are_read_together():
    one = code_system(concept("1"), url=SNOMED, content="fragment", id="one")
    two = code_system(concept("2"), url=SNOMED, content="fragment", id="two")
    terminology = knowing(one, two)
    assert [terminology.validate_code_in_system(SNOMED, code).valid for code in "123"] == [True, True, None]


def test_a_fragment_sent_again_takes_the_place_of_what_it_was():
    one = code_system(concept("1"), url=SNOMED, content="fragment", id="one")
    again = code_system(concept("2"), url=SNOMED, content="fragment", id="one")
    terminology = knowing(one).adding(again)
    assert [terminology.validate_code_in_system(SNOMED, code).valid for code in "12"] == [None, True]


def test_a_fragment_does_not_hide_the_complete_system_r4_publishes():
    terminology = knowing(code_system(concept("X"), url=ACT_CODE, content="fragment"))
    assert terminology.validate_code_in_system(ACT_CODE, "AMB").valid is True
    assert terminology.validate_code_in_system(ACT_CODE, "nonsense").valid is False


def test_a_complete_system_that_is_brought_along_stands_before_the_one_r4_publishes():
    terminology = knowing(code_system(concept("X"), url=ACT_CODE))
    assert terminology.validate_code_in_system(ACT_CODE, "X").valid is True
    assert terminology.validate_code_in_system(ACT_CODE, "AMB").valid is False


def test_a_compositional_system_may_have_codes_that_are_put_together_from_others():
    terminology = knowing(food(compositional=True))
    assert terminology.validate_code_in_system(FOOD, "pear").valid is True
    assert terminology.validate_code_in_system(FOOD, "pear:ripe").valid is None


# ---- §4.8.6 supplements ---------------------------------------------------------------------------

WELSH = code_system(
    {
        "code": "pear",
        "designation": [{"language": "cy", "value": "Gellygen"}],
        "property": [{"code": "colour", "valueString": "brown"}],
    },
    {"code": "plum", "display": "Eirinen"},
    {"code": "carrot", "display": "Moronen"},
    url="http://example.org/food-in-welsh",
    content="supplement",
    supplements=f"{FOOD}|1.0",
)


def test_a_supplement_adds_names_and_properties_but_no_codes():
    terminology = knowing(food(), WELSH, value_set(where("colour", "=", "brown")))
    assert terminology.validate_code_in_system(FOOD, "pear", "gellygen").severity == "information"
    assert terminology.validate_code_in_system(FOOD, "carrot", "moronen").severity == "information"
    assert terminology.validate_code_in_system(FOOD, "plum").valid is False
    assert codes_in(terminology, FOODS) == ["pear"]
    assert knowing(food()).validate_code_in_system(FOOD, "pear", "gellygen").severity == "warning"


def test_a_supplement_is_no_system_of_its_own():
    assert knowing(food(), WELSH).validate_code_in_system(WELSH["url"], "pear").valid is False


def test_a_supplement_to_a_system_that_is_not_here_shows_that_its_codes_exist():
    terminology = knowing(WELSH)
    assert terminology.validate_code_in_system(FOOD, "pear").valid is True
    assert terminology.validate_code_in_system(FOOD, "fig").valid is None


def test_the_supplement_r4_publishes_is_used():
    said = core(R4).lookup("http://hl7.org/fhir/CodeSystem/example", "chol-mass", properties=("legacy",))
    assert said["parameter"][-1]["part"] == [
        {"name": "code", "valueCode": "legacy"},
        {"name": "value", "valueBoolean": True},
    ]


# ---- versions -------------------------------------------------------------------------------------


def test_of_two_versions_the_newest_answers_unless_one_is_asked_for():
    terminology = knowing(
        code_system(concept("old"), version="1.9"), code_system(concept("new"), version="1.10"), value_set(all_food())
    )
    assert terminology.validate_code(FOODS, FOOD, "new").valid is True
    assert terminology.validate_code(FOODS, FOOD, "old").valid is False
    assert terminology.validate_code_in_system(FOOD, "old", version="1.9").valid is True
    assert terminology.validate_code_in_system(FOOD, "new", version="1.9").valid is False


def test_a_version_that_is_not_here_leaves_a_missing_code_open_and_remarks_on_one_that_is_found():
    terminology = knowing(food())
    found = terminology.validate_code_in_system(FOOD, "pear", version="2.0")
    assert (found.valid, found.severity) == (True, "information")
    assert (
        found.sentence
        == f'Judged by another version, as version "2.0" of Food ({FOOD}) is not loaded here; version 1.0 is.'
    )
    assert terminology.validate_code_in_system(FOOD, "plum", version="2.0").valid is None


def test_a_system_of_r4_answers_to_the_version_of_r4_as_well_as_to_its_own():
    for version in ("2018-08-12", "4.0.1"):
        assert core(R4).validate_code_in_system(ACT_CODE, "nonsense", version=version).valid is False


def test_the_resources_themselves_are_found_by_canonical():
    terminology = knowing(food(), WELSH, value_set(all_food(), version="3"))
    assert terminology.code_system(f"{FOOD}|1.0")["title"] == "Food"
    assert terminology.code_system(f"{FOOD}|9") is None
    assert terminology.code_system(WELSH["url"])["content"] == "supplement"
    assert terminology.code_system(f"{ACT_CODE}|4.0.1")["content"] == "complete"
    assert terminology.value_set(f"{FOODS}|3")["title"] == "Foods"
    assert terminology.value_set(f"{FOODS}|4") is None
    assert terminology.value_set("http://hl7.org/fhir/ValueSet/account-status|4.0.1")["name"] == "AccountStatus"
    assert terminology.value_set("http://hl7.org/fhir/ValueSet/account-status|5.0.0") is None


# ---- inactive, deprecated, abstract ---------------------------------------------------------------


def test_an_inactive_code_is_valid_with_a_warning():
    verdict = knowing(food()).validate_code_in_system(FOOD, "swede")
    assert (verdict.valid, verdict.severity) == (True, "warning")
    assert verdict.sentence == 'The code "swede" of Food is inactive: it is kept for old records.'


@pytest.mark.parametrize(
    "prop",
    [
        {"code": "inactive", "valueBoolean": True},
        {"code": "status", "valueCode": "retired"},
        {"code": "gone", "valueBoolean": True},
        {"code": "retirementDate", "valueDateTime": "2020-01-01"},
    ],
)
def test_inactive_is_told_by_the_property_whatever_it_is_called(prop):
    declared = [{"code": "gone", "uri": f"{PROPERTIES}inactive", "type": "boolean"}]
    system = code_system({"code": "a", "property": [prop]}, {"code": "b"}, property=declared)
    assert knowing(system).validate_code_in_system(FOOD, "a").severity == "warning"
    assert knowing(system).validate_code_in_system(FOOD, "b").severity == "information"


def test_inactive_false_is_active():
    assert (
        knowing(code_system(concept("a", inactive=False))).validate_code_in_system(FOOD, "a").severity == "information"
    )


def test_a_deprecated_code_is_remarked_upon_and_still_good():
    system = code_system(concept("a", deprecated="2020-01-01"), concept("b"))
    verdict = knowing(system).validate_code_in_system(FOOD, "a")
    assert (verdict.valid, verdict.severity) == (True, "information")
    assert verdict.sentence == 'The code "a" of Food is deprecated.'
    assert knowing(system).validate_code_in_system(FOOD, "b").sentence == ""


def test_an_abstract_code_is_warned_about_allowed_or_refused_as_the_caller_says():
    terminology = knowing(food())
    assert terminology.validate_code_in_system(FOOD, "fruit").severity == "warning"
    assert terminology.validate_code_in_system(FOOD, "fruit", abstract=True).severity == "information"
    refused = terminology.validate_code_in_system(FOOD, "fruit", abstract=False)
    assert refused.valid is False
    assert refused.sentence == f'"fruit" of Food ({FOOD}) only groups other codes; it is not to be used itself.'
    assert terminology.validate_code_in_system(FOOD, "pear", abstract=False).valid is True


# ---- displays -------------------------------------------------------------------------------------


def test_a_wrong_display_is_a_warning_that_gives_the_right_one():
    verdict = knowing(food()).validate_code_in_system(FOOD, "pear", "Apple")
    assert (verdict.valid, verdict.severity, verdict.display) == (True, "warning", "Pear")
    assert verdict.sentence == 'Food calls the code "pear" "Pear", not "Apple".'


@pytest.mark.parametrize("display", ["Pear", "PEAR", " pear ", "Poire"])
def test_case_blanks_and_other_names_of_the_code_do_not_make_a_display_wrong(display):
    system = code_system({"code": "pear", "display": "Pear", "designation": [{"language": "fr", "value": "Poire"}]})
    assert knowing(system).validate_code_in_system(FOOD, "pear", display).sentence == ""


def test_a_code_without_any_name_takes_any_display():
    assert knowing(code_system({"code": "x"})).validate_code_in_system(FOOD, "x", "what you like").sentence == ""


# ---- hierarchy and $subsumes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "outcome"),
    [
        ("pear", "pear", "equivalent"),
        ("fruit", "bramley", "subsumes"),
        ("bramley", "fruit", "subsumed-by"),
        ("pear", "apple", "not-subsumed"),
        ("root", "pear", "not-subsumed"),
    ],
)
def test_subsumption_follows_nested_concepts(a, b, outcome):
    assert knowing(food()).subsumes(FOOD, a, b) == outcome


@pytest.mark.parametrize("prop", ["parent", "child"])
def test_properties_make_a_hierarchy_with_several_parents(prop):
    def named(code, *others):
        return {"code": code, "property": [{"code": prop, "valueCode": other} for other in others]}

    rows = {
        "parent": [named("a"), named("b"), named("c", "a", "b")],
        "child": [named("a", "c"), named("b", "c"), named("c")],
    }
    terminology = knowing(code_system(*rows[prop]))
    assert [terminology.subsumes(FOOD, above, "c") for above in "ab"] == ["subsumes", "subsumes"]
    assert terminology.subsumes(FOOD, "a", "b") == "not-subsumed"


def test_a_circle_in_the_hierarchy_is_walked_once():
    rows = [{"code": c, "property": [{"code": "parent", "valueCode": p}]} for c, p in ("ab", "bc", "ca")]
    assert knowing(code_system(*rows)).subsumes(FOOD, "a", "b") == "subsumes"


def test_a_hierarchy_of_another_meaning_does_not_say_what_is_a_kind_of_what():
    with pytest.raises(Rejected) as refused:
        knowing(food(hierarchyMeaning="part-of")).subsumes(FOOD, "fruit", "pear")
    assert "means part-of" in refused.value.issues[0].text
    assert knowing(food(hierarchyMeaning="is-a")).subsumes(FOOD, "fruit", "pear") == "subsumes"


def test_in_a_fragment_a_found_subsumption_counts_and_a_missing_one_cannot_be_said():
    terminology = knowing(food(content="fragment"))
    assert terminology.subsumes(FOOD, "fruit", "pear") == "subsumes"
    with pytest.raises(Rejected, match="only a part of"):
        terminology.subsumes(FOOD, "pear", "root")


@pytest.mark.parametrize(
    ("system", "a", "kind"), [(FOOD, "plum", Kind.CODE_INVALID), (SNOMED, "1", Kind.NOT_SUPPORTED)]
)
def test_subsumption_of_a_code_or_system_that_is_not_known_is_refused(system, a, kind):
    with pytest.raises(Rejected) as refused:
        knowing(food()).subsumes(system, a, "pear")
    assert (refused.value.refusal, refused.value.issues[0].kind) == (Refusal.UNPROCESSABLE, kind)


def test_codes_that_differ_in_case_are_equivalent_where_case_does_not_matter():
    assert knowing(food(caseSensitive=False)).subsumes(FOOD, "PEAR", "pear") == "equivalent"


# ---- what does not hold together ------------------------------------------------------------------


def test_what_is_misshapen_in_a_code_system_is_passed_over():
    odd = code_system(
        {"display": "no code"}, "text", {"code": 7}, concept("good"), {"code": "x", "property": "none", "concept": {}}
    )
    terminology = knowing(odd, {"resourceType": "CodeSystem"}, {"resourceType": "Patient", "url": "u"})
    assert codes_in(terminology, value_set(all_food())) == ["good", "x"]


def test_a_terminology_does_not_change_when_another_is_made_of_it():
    first = knowing(food())
    second = first.adding(code_system(concept("plum"), version="2.0"))
    assert (first.validate_code_in_system(FOOD, "plum").valid, second.validate_code_in_system(FOOD, "plum").valid) == (
        False,
        True,
    )


def test_a_resource_of_the_same_url_and_version_takes_the_place_of_the_other():
    terminology = knowing(food(), code_system(concept("plum")))
    assert terminology.validate_code_in_system(FOOD, "plum").valid is True
    assert terminology.validate_code_in_system(FOOD, "pear").valid is False


def test_a_deep_code_system_is_read_without_recursion():
    nested = concept("c0")
    for level in range(1, 5000):
        nested = concept(f"c{level}", nested)
    assert knowing(code_system(nested)).subsumes(FOOD, "c4999", "c0") == "subsumes"
