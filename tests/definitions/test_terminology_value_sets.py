"""What a ValueSet takes in (R4 §4.9, valueset.html), judged code by code and listed, and the two held together."""

from __future__ import annotations

import pytest

from phb_fhir.definitions.terminology import core
from phb_fhir.definitions.terminology_filters import OPERATORS
from phb_fhir.outcome import Rejected
from tests.definitions.codes import (
    FOOD,
    FOODS,
    R4,
    all_food,
    code_system,
    codes_in,
    concept,
    food,
    judged,
    knowing,
    listing,
    value_set,
    where,
)

SNOMED = "http://snomed.info/sct"
ACCOUNT_STATUS = "http://hl7.org/fhir/ValueSet/account-status"


# ---- what a verdict says --------------------------------------------------------------------------


def test_a_code_that_is_not_in_the_value_set_is_told_which_codes_are():
    verdict = core(R4).validate_code(ACCOUNT_STATUS, "http://hl7.org/fhir/account-status", "closed")
    assert (verdict.valid, verdict.severity) == (False, "error")
    assert verdict.sentence == (
        '"closed" of http://hl7.org/fhir/account-status is not in the value set AccountStatus '
        "(http://hl7.org/fhir/ValueSet/account-status). "
        "Its codes are: active, inactive, entered-in-error, on-hold, unknown."
    )


def test_of_many_codes_the_first_are_named_and_the_rest_counted():
    terminology = knowing(code_system(*(concept(f"c{n}") for n in range(30))), value_set(all_food()))
    sentence = terminology.validate_code(FOODS, FOOD, "x").sentence
    assert sentence.endswith("Its codes are: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, … (30 in all).")


@pytest.mark.parametrize("slip", ["Apple", "BRAMLEY", "Golden Delicious"])
def test_a_slip_of_case_or_a_display_for_a_code_is_recognised(slip):
    system = code_system(concept("apple"), concept("bramley"), concept("gd", display="Golden delicious"))
    verdict = knowing(system, value_set(all_food())).validate_code(FOODS, FOOD, slip)
    meant = {"Apple": "apple", "BRAMLEY": "bramley", "Golden Delicious": "gd"}[slip]
    assert verdict.valid is False
    assert f'Did you mean "{meant}"?' in verdict.sentence


def test_a_code_of_the_wrong_system_is_told_the_right_one():
    verdict = core(R4).validate_code(ACCOUNT_STATUS, "http://example.org/status", "active")
    assert verdict.valid is False
    assert verdict.sentence.endswith("It has this code of the code system http://hl7.org/fhir/account-status.")


def test_an_element_of_type_code_names_no_system_and_any_of_the_value_set_will_do():
    assert core(R4).validate_code(ACCOUNT_STATUS, None, "active").system == "http://hl7.org/fhir/account-status"
    assert core(R4).validate_code(ACCOUNT_STATUS, None, "closed").valid is False


def test_a_coding_that_names_no_system_is_in_no_value_set():
    verdict = core(R4).validate_code(ACCOUNT_STATUS, "", "active")
    assert verdict.valid is False
    assert verdict.sentence.startswith('"active" names no code system, so it is not in the value set AccountStatus')


def test_a_value_set_that_is_not_loaded_leaves_everything_open():
    verdict = core(R4).validate_code("http://example.org/ValueSet/none", FOOD, "pear")
    assert (verdict.valid, verdict.severity) == (None, "warning")
    assert verdict.reason == "the value set http://example.org/ValueSet/none is not loaded here"


def test_asking_again_gives_the_same_verdict_object():
    terminology = knowing(food(), value_set(all_food()))
    first = terminology.validate_code(FOODS, FOOD, "pear")
    assert terminology.validate_code(FOODS, FOOD, "pear", "Pear") is first
    assert terminology.validate_code(FOODS, FOOD, "pear", "Apple").severity == "warning"
    assert terminology.validate_code(FOODS, FOOD, "pear") is first


def test_what_is_remembered_of_a_value_set_is_bounded():
    terminology = knowing(value_set({"system": SNOMED}))
    for number in range(5000):
        assert terminology.validate_code(FOODS, SNOMED, str(number)).valid is None
    assert len(terminology.loaded.views[FOODS].verdicts) == 4096


# ---- §4.9.5 include: lists, whole systems ---------------------------------------------------------


def test_a_whole_system_takes_in_all_its_codes():
    assert codes_in(knowing(food(), value_set(all_food())), FOODS) == [
        *("fruit", "apple", "bramley", "pear"),
        *("root", "carrot", "swede"),
    ]


def test_a_list_takes_in_its_codes_in_its_order_with_its_displays():
    terminology = knowing(food(), value_set(listing("pear", {"code": "apple", "display": "Eating apple"})))
    assert judged(terminology, "pear", "apple", "carrot") == [True, True, False]
    rows = terminology.expand(FOODS)["expansion"]["contains"]
    assert [(row["code"], row["display"]) for row in rows] == [("pear", "Pear"), ("apple", "Eating apple")]
    for display in ("Eating apple", "Apple"):
        assert terminology.validate_code(FOODS, FOOD, "apple", display).sentence == ""


def test_a_listed_code_that_its_complete_system_does_not_have_is_in_no_expansion():
    terminology = knowing(food(), value_set(listing("pear", "plum")))
    assert judged(terminology, "pear", "plum") == [True, False]
    assert codes_in(terminology, FOODS) == ["pear"]


def test_listed_codes_of_a_system_that_is_not_loaded_can_be_judged_and_listed():
    terminology = knowing(value_set(listing({"code": "73211009", "display": "Diabetes"}, system=SNOMED)))
    assert judged(terminology, "73211009", "24700007", system=SNOMED) == [True, False]
    assert judged(terminology, "73211009", system="http://loinc.org") == [False]
    assert codes_in(terminology, FOODS) == ["73211009"]


def test_another_name_than_the_list_has_is_no_fault_where_the_system_is_not_loaded():
    terminology = knowing(value_set(listing({"code": "73211009", "display": "Diabetes"}, system=SNOMED)))
    verdict = terminology.validate_code(FOODS, SNOMED, "73211009", "Diabetes mellitus")
    assert (verdict.valid, verdict.severity) == (True, "information")
    assert verdict.sentence == (
        'The value set calls "73211009" "Diabetes", not "Diabetes mellitus"; other names of it are not known here.'
    )


def test_codes_of_several_includes_are_taken_together_each_once():
    terminology = knowing(food(), value_set(listing("pear"), where("concept", "is-a", "fruit"), listing("carrot")))
    assert codes_in(terminology, FOODS) == ["pear", "fruit", "apple", "bramley", "carrot"]


def test_a_version_of_a_system_that_is_not_here_cannot_be_listed():
    terminology = knowing(food(), value_set(all_food(version="2.0")))
    assert judged(terminology, "pear", "plum") == [True, None]
    with pytest.raises(Rejected, match=r'version "2\.0" of Food'):
        terminology.expand(FOODS)
    assert codes_in(knowing(food(), value_set(all_food(version="1.0"))), FOODS)[0] == "fruit"


def test_a_coding_of_a_version_that_is_not_here_is_open_only_where_the_value_set_speaks_of_its_system():
    terminology = knowing(food(), value_set(listing("pear")))
    found, missed = (terminology.validate_code(FOODS, FOOD, code, version="2.0") for code in ("pear", "plum"))
    assert (found.valid, "Judged by another version" in found.sentence, missed.valid) == (True, True, None)
    assert terminology.validate_code(FOODS, FOOD, "plum", version="1.0").valid is False
    assert terminology.validate_code(ACCOUNT_STATUS, FOOD, "plum", version="2.0").valid is False


# ---- §4.9.5 exclude -------------------------------------------------------------------------------


def test_what_is_excluded_is_not_in_whatever_includes_it():
    rows = value_set(all_food(), listing("pear"), exclude=[listing("pear", "root")])
    terminology = knowing(food(), rows)
    assert judged(terminology, "pear", "root", "apple") == [False, False, True]
    assert codes_in(terminology, FOODS) == ["fruit", "apple", "bramley", "carrot", "swede"]


def test_an_exclude_that_cannot_be_known_leaves_a_code_open_but_not_one_that_is_out_anyway():
    terminology = knowing(food(), value_set(listing("pear"), exclude=[{"valueSet": ["http://example.org/none"]}]))
    assert judged(terminology, "pear", "apple") == [None, False]
    with pytest.raises(Rejected, match=r"http://example\.org/none is not loaded"):
        terminology.expand(FOODS)


# ---- §4.9.5 compose.inactive ----------------------------------------------------------------------


def test_inactive_codes_are_in_unless_the_value_set_says_no():
    within = knowing(food(), value_set(all_food(), compose={"inactive": True}))
    assert within.validate_code(FOODS, FOOD, "swede").severity == "warning"
    without = knowing(food(), value_set(all_food(), compose={"inactive": False}))
    verdict = without.validate_code(FOODS, FOOD, "swede")
    assert verdict.valid is False
    assert "the code is inactive, and the value set takes in active codes only" in verdict.sentence
    assert ("swede" in codes_in(within, FOODS), "swede" in codes_in(without, FOODS)) == (True, False)


# ---- http://hl7.org/fhir/filter-operator ----------------------------------------------------------


@pytest.mark.parametrize(
    ("prop", "op", "value", "through"),
    [
        ("concept", "is-a", "apple", "apple bramley"),
        ("concept", "descendent-of", "apple", "bramley"),
        ("concept", "is-not-a", "fruit", "root carrot swede"),
        ("concept", "generalizes", "bramley", "fruit apple bramley"),
        ("concept", "=", "pear", "pear"),
        ("code", "in", "pear, carrot,plum", "pear carrot"),
        ("concept", "not-in", "fruit,root", "apple bramley pear carrot swede"),
        ("colour", "=", "green", "bramley pear"),
        ("colour", "in", "green,orange", "bramley pear carrot"),
        ("colour", "not-in", "green,orange", "fruit apple root swede"),
        ("colour", "exists", "true", "apple bramley pear carrot"),
        ("colour", "exists", "false", "fruit root swede"),
        ("colour", "regex", "gr.*|red", "apple bramley pear"),
        ("code", "regex", ".*e", "apple swede"),
        ("code", "regex", "ear", ""),
        ("display", "=", "Pear", "pear"),
        ("parent", "=", "fruit", "apple pear"),
        ("child", "=", "bramley", "apple"),
        ("parent", "exists", "false", "fruit root"),
        ("notSelectable", "=", "true", "fruit"),
        ("notSelectable", "=", "false", "apple bramley pear root carrot swede"),
        ("inactive", "=", "false", "fruit apple bramley pear root carrot"),
        ("inactive", "exists", "true", "swede"),
    ],
)
def test_a_filter_lets_through(prop, op, value, through):
    terminology = knowing(food(), value_set(where(prop, op, value)))
    every = ("fruit", "apple", "bramley", "pear", "root", "carrot", "swede")
    assert codes_in(terminology, FOODS) == through.split()
    assert judged(terminology, *every) == [code in through.split() for code in every]


def test_every_operator_of_r4_has_its_row():
    published = core(R4).code_system("http://hl7.org/fhir/filter-operator")
    assert {row["code"] for row in published["concept"]} == set(OPERATORS)


def test_several_filters_must_all_let_a_code_through():
    both = {
        "system": FOOD,
        "filter": [where("concept", "is-a", "fruit")["filter"][0], where("colour", "=", "green")["filter"][0]],
    }
    assert codes_in(knowing(food(), value_set(both)), FOODS) == ["bramley", "pear"]


@pytest.mark.parametrize(
    ("prop", "op", "value", "why"),
    [
        ("taste", "=", "sweet", 'has no property "taste"'),
        ("concept", "child-of", "fruit", 'R4 has no filter operator "child-of"'),
        ("concept", "is-a", "meat", 'has no code "meat"'),
        ("colour", "is-a", "red", '"colour" is no hierarchy'),
        ("colour", "exists", "maybe", 'true or false, not "maybe"'),
        ("code", "regex", "(?=a)", "cannot be used"),
        ("code", "regex", "a" * 1001, "1000 characters"),
        ("code", "=", None, "lacks its property"),
    ],
)
def test_a_filter_that_cannot_be_answered_is_no_empty_set(prop, op, value, why):
    terminology = knowing(food(), value_set(where(prop, op, value)))
    verdict = terminology.validate_code(FOODS, FOOD, "pear")
    assert verdict.valid is None
    assert why in verdict.reason
    with pytest.raises(Rejected) as refused:
        terminology.expand(FOODS)
    assert why in refused.value.issues[0].text


def test_a_hierarchy_that_is_not_subsumption_does_not_answer_is_a():
    grouped = knowing(food(hierarchyMeaning="grouped-by"), value_set(where("concept", "is-a", "fruit")))
    assert judged(grouped, "pear") == [None]
    assert judged(knowing(food(hierarchyMeaning="is-a"), value_set(where("concept", "is-a", "fruit"))), "pear") == [
        True
    ]


def test_a_regular_expression_that_would_take_for_ever_elsewhere_is_answered():
    codes = ["a" * 60 + "!", "a" * 60]
    terminology = knowing(
        code_system(*map(concept, codes)), value_set(where("code", "regex", "(a+)+|(a|aa)*b|((a*)*)*c"))
    )
    assert codes_in(terminology, FOODS) == ["a" * 60]


def test_a_regular_expression_that_would_take_all_memory_is_refused():
    terminology = knowing(food(), value_set(where("code", "regex", "((((a{0,99}){0,99}){0,99}){0,99}){0,99}")))
    assert judged(terminology, "pear") == [None]


def test_a_filter_on_a_fragment_says_yes_but_never_no():
    terminology = knowing(food(content="fragment"), value_set(where("concept", "is-a", "fruit")))
    assert judged(terminology, "pear", "carrot", "plum") == [True, None, None]


def test_a_filter_on_a_system_that_is_not_loaded_is_left_open():
    rows = value_set({"system": SNOMED, "filter": [{"property": "concept", "op": "is-a", "value": "73211009"}]})
    verdict = knowing(rows).validate_code(FOODS, SNOMED, "44054006")
    assert (verdict.valid, verdict.reason) == (None, f"the code system SNOMED CT ({SNOMED}) is not loaded here")


@pytest.mark.parametrize(
    ("constraint", "verdicts"),
    [
        ("73211009 OR 44054006 |Type 2|", [True, True, False]),
        ("descendantOrSelfOf 73211009 OR 44054006", [True, True, None]),
        ("<< 73211009", [True, None, None]),
        ("memberOf 999", [None, None, None]),
        ("73211009 AND 44054006", [None, None, None]),
    ],
)
def test_concepts_that_an_expression_constraint_names_are_known_without_snomed_ct(constraint, verdicts):
    rows = value_set({"system": SNOMED, "filter": [{"property": "constraint", "op": "=", "value": constraint}]})
    assert judged(knowing(rows), "73211009", "44054006", "24700007", system=SNOMED) == verdicts


# ---- §4.9.8 a stored expansion --------------------------------------------------------------------


def published(*codes, system=SNOMED, **more):
    return {
        "timestamp": "2026-01-01T00:00:00Z",
        "contains": [{"system": system, "code": c, "display": f"D{c}"} for c in codes],
        **more,
    }


def test_a_value_set_without_content_is_what_its_expansion_lists():
    only = {"resourceType": "ValueSet", "url": FOODS, "status": "active", "expansion": published("1", "2")}
    only["expansion"]["contains"][1]["contains"] = [{"system": SNOMED, "code": "3"}]
    assert judged(knowing(only), "1", "3", "4", system=SNOMED) == [True, True, False]
    assert codes_in(knowing(only), FOODS) == ["1", "2", "3"]


@pytest.mark.parametrize(
    "short",
    [
        {"total": 9},
        {"offset": 2},
        {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/valueset-toocostly", "valueBoolean": True}]},
    ],
)
def test_a_part_of_an_expansion_says_yes_but_never_no(short):
    only = {"resourceType": "ValueSet", "url": FOODS, "status": "active", "expansion": published("1", **short)}
    assert judged(knowing(only), "1", "2", system=SNOMED) == [True, None]
    with pytest.raises(Rejected, match="has no content"):
        knowing(only).expand(FOODS)


def test_a_published_expansion_helps_out_where_the_definition_cannot_be_judged():
    member = {"system": SNOMED, "filter": [{"property": "constraint", "op": "=", "value": "memberOf 999"}]}
    unclosed = [{"url": "http://hl7.org/fhir/StructureDefinition/valueset-unclosed", "valueBoolean": True}]
    terminology = knowing(value_set(member, expansion=published("1", "2", extension=unclosed)))
    assert judged(terminology, "1", "9", system=SNOMED) == [True, None]
    expansion = terminology.expand(FOODS)["expansion"]
    assert [row["code"] for row in expansion["contains"]] == ["1", "2"]
    assert expansion["extension"] == unclosed
    assert expansion["parameter"] == [{"name": "published-expansion", "valueDateTime": "2026-01-01T00:00:00Z"}]


def test_a_published_expansion_does_not_overrule_the_definition():
    terminology = knowing(food(), value_set(listing("pear"), expansion=published("apple", system=FOOD)))
    assert judged(terminology, "pear", "apple") == [True, False]


def test_a_value_set_without_content_or_expansion_is_left_open():
    empty = {"resourceType": "ValueSet", "url": FOODS, "status": "active"}
    assert (
        knowing(empty).validate_code(FOODS, FOOD, "pear").reason
        == f"the value set {FOODS} does not say which codes it has"
    )


# ---- implied value sets ---------------------------------------------------------------------------


def test_the_value_set_a_code_system_names_has_all_its_codes():
    terminology = knowing(food(valueSet=FOODS))
    assert judged(terminology, "pear", "plum") == [True, False]
    assert len(codes_in(terminology, FOODS)) == 7


def test_a_value_set_of_that_name_stands_before_the_implied_one():
    assert judged(knowing(food(valueSet=FOODS), value_set(listing("pear"))), "pear", "apple") == [True, False]


@pytest.mark.parametrize(
    ("url", "verdicts"),
    [
        (f"{SNOMED}?fhir_vs", [True, True, None]),
        (f"{SNOMED}?fhir_vs=isa/73211009", [True, True, None]),
        (f"{SNOMED}?fhir_vs=ecl/<<73211009", [True, None, None]),
        (f"{SNOMED}?fhir_vs=refset/723264001", [None, None, None]),
    ],
)
def test_the_value_sets_snomed_ct_implies_are_judged_by_what_is_loaded_of_it(url, verdicts):
    fragment = code_system(concept("73211009", concept("44054006")), url=SNOMED, content="fragment", version=None)
    assert judged(knowing(fragment), "73211009", "44054006", "24700007", system=SNOMED, value_set=url) == verdicts
    assert judged(core(R4), "44054006", system=SNOMED, value_set=url) == [None]
    assert judged(core(R4), "44054006", system=FOOD, value_set=url) == [False]


def test_loinc_and_ucum_imply_a_value_set_of_all_their_codes():
    assert judged(core(R4), "8480-6", system="http://loinc.org", value_set="http://loinc.org/vs") == [None]
    units = "http://unitsofmeasure.org"
    assert judged(core(R4), "mm[Hg]", "mmHg", system=units, value_set=f"{units}/vs") == [True, False]
    assert judged(core(R4), "kg", "cow", system=units, value_set=f"{units}/vs/g") == [None, False]


def test_the_url_of_a_code_system_will_do_for_all_its_codes_as_r4_itself_uses_it():
    assert judged(knowing(food()), "pear", "plum", value_set=FOOD) == [True, False]
    assert judged(core(R4), "x", value_set=f"{SNOMED}?other") == [None]
    assert judged(
        core(R4), "text/plain", system="urn:ietf:bcp:13", value_set="http://www.rfc-editor.org/bcp/bcp13.txt"
    ) == [True]


def test_an_edition_of_snomed_ct_is_a_version_of_it():
    edition = f"{SNOMED}/83821000000107"
    uk = code_system(concept("73211009"), url=SNOMED, content="fragment", version=f"{edition}/version/20260401")
    assert judged(knowing(uk), "73211009", "24700007", system=SNOMED, value_set=f"{edition}?fhir_vs") == [True, None]
    other = knowing(uk).validate_code(f"{SNOMED}/900000000000207008?fhir_vs", SNOMED, "24700007")
    assert 'version "http://snomed.info/sct/900000000000207008" of SNOMED CT' in other.reason
