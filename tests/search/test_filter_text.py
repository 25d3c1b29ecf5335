"""`_filter` (http://hl7.org/fhir/R4/search_filter.html): what each test asks, how tests join, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.outcome import Kind, Rejected
from phb_fhir.query import (
    AllOf,
    AnyOf,
    Bound,
    Id,
    InList,
    Judge,
    Key,
    KeyPart,
    KeyRange,
    Linked,
    LinkedFrom,
    Not,
    Present,
    Span,
)
from phb_fhir.search.asking import CHAIN_LINKS_MAX
from phb_fhir.search.filter_operators import OPERATORS, SHORT_SYSTEMS
from phb_fhir.search.filter_syntax import CHARACTERS_MAX, DEPTH_MAX, TESTS_MAX
from tests.search.parsing import BAD_VALUE, check_refused, conditions, parsed, refused

MALE = Key(("gender=*male",))
HAS_GENDER = KeyRange("gender:", "gender>")
START, END = "2000-01-01T00:00:00.000000Z", "2001-01-01T00:00:00.000000Z"


def filtered(types, text):
    (node,) = conditions(types, ("_filter", text))
    return node


def searched(types, name, value):
    """What the same is as a parameter of its own."""
    (node,) = conditions(types, (name, value))
    return node


# ---- one test --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("types", "test", "name", "value"),
    [
        ("Patient", "gender eq male", "gender", "male"),
        ("Patient", 'gender eq "male"', "gender", "male"),
        ("Patient", 'name co "pet"', "name:contains", "pet"),
        ("Patient", "name sw pet", "name", "pet"),
        ("Patient", r'name sw "a, \"b\" $c|d"', "name", r'a\, "b" \$c\|d'),
        ("Patient", "birthdate ge 2014-10-10", "birthdate", "ge2014-10-10"),
        ("Patient", "birthdate eq 2014", "birthdate", "2014"),
        ("Patient", "birthdate ne 2014", "birthdate", "ne2014"),
        ("Patient", "birthdate sa 2014", "birthdate", "sa2014"),
        ("Patient", "birthdate eb 2014", "birthdate", "eb2014"),
        ("Patient", "birthdate ap 2014", "birthdate", "ap2014"),
        ("Observation", "date le 2014-10-10T10:00:00+01:00", "date", "le2014-10-10T10:00:00+01:00"),
        ("Observation", "code eq http://loinc.org|1234-5", "code", "http://loinc.org|1234-5"),
        ("Observation", "code eq loinc|1234-5", "code", "http://loinc.org|1234-5"),
        ("Observation", "code eq loinc", "code", "loinc"),
        ("Observation", "code eq loinc|", "code", "http://loinc.org|"),
        ("Observation", "value-quantity gt 5.4|ucum|mg", "value-quantity", "gt5.4|http://unitsofmeasure.org|mg"),
        ("Observation", "value-quantity lt 5.4", "value-quantity", "lt5.4"),
        (
            "Observation",
            "code-value-quantity eq loinc|8480-6$lt60",
            "code-value-quantity",
            "http://loinc.org|8480-6$lt60",
        ),
        ("Observation", "subject re Patient/1", "subject", "Patient/1"),
        ("Observation", "subject eq Patient/1", "subject", "Patient/1"),
        ("ValueSet", "url eq http://acme.org/a", "url", "http://acme.org/a"),
        ("ChargeItem", "factor-override ge 1.5", "factor-override", "ge1.5"),
        ("Patient", "_id eq 1", "_id", "1"),
        ("Patient", "_id ne 1", "_id:not", "1"),
        ("Patient", "_lastUpdated ge 2026", "_lastUpdated", "ge2026"),
        ("Patient", "_lastUpdated ne 2026", "_lastUpdated", "ne2026"),
        ("Patient", "_tag eq t", "_tag", "t"),
        ("Patient", "_text co bone", "_text", "bone"),
        ("Patient", "gender pr true", "gender:missing", "false"),
        ("Patient", "gender pr false", "gender:missing", "true"),
        ("Patient", "birthdate pr true", "birthdate:missing", "false"),
        ("Observation", "subject.name co pet", "subject.name:contains", "pet"),
        ("Observation", "subject:Patient.name co pet", "subject:Patient.name:contains", "pet"),
        ("Patient", "_has:Observation:patient:code eq loinc|1", "_has:Observation:patient:code", "http://loinc.org|1"),
        (
            "Patient",
            "_has:Observation:patient:_has:AuditEvent:entity:agent re Practitioner/u",
            "_has:Observation:patient:_has:AuditEvent:entity:agent",
            "Practitioner/u",
        ),
        (
            "Patient",
            "_has:Observation:patient:encounter.status eq finished",
            "_has:Observation:patient:encounter.status",
            "finished",
        ),
        ("Observation", "subject:Patient._has:Group:member:_id eq 1", "subject:Patient._has:Group:member:_id", "1"),
    ],
)
def test_a_test_means_what_the_same_parameter_means_elsewhere(types, test, name, value):
    assert filtered(types, test) == searched(types, name, value)
    assert parsed(types, ("_filter", test)).applied == (("_filter", test),)


@pytest.mark.parametrize(
    ("types", "test", "node"),
    [
        # the whole of a string, in any case
        ("Patient", "name eq Pét", Key(("name=pet",))),
        ("Patient", "name ne pet", AllOf((KeyRange("name:", "name>"), Not(Key(("name=pet",)))))),
        ("Patient", "name ge pet", KeyRange("name=pet", "name>")),
        ("Patient", "name gt pet", KeyRange("name=pet\0", "name>")),
        ("Patient", "name lt pet", KeyRange("name=", "name=pet")),
        ("Patient", "name le pet", KeyRange("name=", "name=pet\0")),
        # of those that have a gender
        ("Patient", "gender ne male", AllOf((HAS_GENDER, Not(MALE)))),
        ("Patient", "birthdate po 2000", Span("birthdate", (Bound("lo", "<", END), Bound("hi", ">", START)))),
        ("Patient", "birthdate co 2000", Span("birthdate", (Bound("lo", "<=", START), Bound("hi", ">=", END)))),
        ("Patient", "_list eq 42", InList("42")),
    ],
)
def test_a_test_that_no_parameter_can_say(types, test, node):
    assert filtered(types, test) == node


def test_a_string_ends_with_a_text_where_one_of_its_values_does():
    (narrowed, judge) = filtered("Patient", "name ew SON").parts
    assert narrowed == KeyPart("name=", "son")
    assert isinstance(judge, Judge)

    def ends(**name):
        return judge.judge({"resourceType": "Patient", "id": "a", "name": [name]})

    assert ends(family="Peterson")
    assert ends(family="Hill", given=["Jill", "Jàsón"])
    assert not ends(family="Sonning")
    assert not judge.judge({"resourceType": "Patient", "id": "son"})


def test_subsumption_and_value_sets_are_asked_of_terminology():
    actor = "http://terminology.hl7.org/CodeSystem/v3-RoleClass"
    assert filtered("Observation", f"code ss {actor}|AGNT") == searched("Observation", "code:below", f"{actor}|AGNT")
    assert filtered("Observation", f"code sb {actor}|AGNT") == searched("Observation", "code:above", f"{actor}|AGNT")
    genders = "http://hl7.org/fhir/ValueSet/administrative-gender"
    assert filtered("Patient", f"gender in {genders}") == searched("Patient", "gender:in", genders)
    assert filtered("Patient", f"gender ni {genders}") == searched("Patient", "gender:not-in", genders)


def test_the_short_names_of_code_systems_are_those_of_r4():
    assert sorted(SHORT_SYSTEMS) == ["loinc", "rxnorm", "snomed", "ucum"]


# ---- how tests join --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("gender eq male and _id eq 1", AllOf((MALE, Id(("1",))))),
        ("gender eq male or _id eq 1", AnyOf((MALE, Id(("1",))))),
        ("gender eq male or gender eq female", Key(("gender=*male", "gender=*female"))),
        ("(gender eq male)", MALE),
        ("( ( gender  eq  male ) )", MALE),
        ("not(gender eq male)", Not(MALE)),
        ("not (gender eq male) and _id eq 1", AllOf((Not(MALE), Id(("1",))))),
        ("gender eq male and not(_id eq 1)", AllOf((MALE, Not(Id(("1",)))))),
        # from left to right, neither binds closer
        ("gender eq male or _id eq 1 and birthdate pr true", AllOf((AnyOf((MALE, Id(("1",)))), Present("birthdate")))),
        (
            "gender eq male or (_id eq 1 and birthdate pr true)",
            AnyOf((MALE, AllOf((Id(("1",)), Present("birthdate"))))),
        ),
        ('gender eq "male"and _id eq 1', AllOf((MALE, Id(("1",))))),
        ("  gender eq male  ", MALE),
    ],
)
def test_tests_join_from_left_to_right(text, node):
    assert filtered("Patient", text) == node


def test_what_stands_in_brackets_is_asked_of_the_same_resource():
    same = filtered("Observation", "subject[gender eq male and _id eq 1].birthdate pr true")
    assert same == Linked("subject", ("Patient",), AllOf((AllOf((MALE, Id(("1",)))), Present("birthdate"))))
    back = filtered("Patient", "_has:Observation:patient:encounter:Encounter[status eq finished]._id eq 1")
    finished = Linked("encounter", ("Encounter",), AllOf((Key(("status=*finished",)), Id(("1",)))))
    assert back == LinkedFrom("Observation", "patient", finished)


def test_several_filters_must_all_be_kept():
    assert conditions("Patient", ("_filter", "gender eq male"), ("_filter", "_id eq 1")) == (MALE, Id(("1",)))


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place", "wanted"),
    [
        ("gender", 7, "an operator"),
        ("gender ", 8, "an operator"),
        ("gender eq", 10, "a value"),
        ("gender eq male and", 19, "the name of a parameter"),
        ("gender eq male, birthdate pr true", 17, "'and', 'or' or the end"),
        ("gender eq male xor _id eq 1", 16, "'and', 'or' or the end"),
        ("(gender eq male", 16, "')'"),
        ("gender eq male)", 15, "'and', 'or' or the end"),
        ("not gender eq male", 5, "'('"),
        ("gender eq male and not", 23, "'('"),
        ("()", 2, "the name of a parameter"),
        ("subject[gender eq male] eq 1", 24, "'.'"),
        ("subject[gender eq male.birthdate", 33, "']'"),
        ("subject. name eq 1", 9, "the name of a parameter"),
        ('name co "pet', 9, "a JSON string"),
        ("name!co pet", 5, "a blank and an operator"),
        ("=", 1, "the name of a parameter"),
    ],
)
def test_what_is_no_filter_is_refused_where_it_goes_wrong(text, place, wanted):
    found = [(kind, said) for kind, said in refused("Patient", ("_filter", text)) if kind is Kind.INVALID]
    assert len(found) == 1
    assert f"at character {place}," in found[0][1], found
    assert wanted in found[0][1]


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("gendr eq male", Kind.NOT_SUPPORTED, ["'gendr'", "Did you mean gender"]),
        ("gender is male", Kind.NOT_SUPPORTED, ["'is' is no operator", "eq, ne"]),
        ("gender gt male", Kind.NOT_SUPPORTED, ["'gt' has no meaning for gender", "eq, ne, in"]),
        ("gender co al", Kind.NOT_SUPPORTED, ["'co' has no meaning for gender"]),
        ("birthdate sw 2000", Kind.NOT_SUPPORTED, ["'sw' has no meaning for birthdate"]),
        ("name po x", Kind.NOT_SUPPORTED, ["'po' has no meaning for name"]),
        ("_id co 1", Kind.NOT_SUPPORTED, ["'co' has no meaning for _id", "eq, ne"]),
        ("_text eq bone", Kind.NOT_SUPPORTED, ["'eq' has no meaning for _text"]),
        ("_query eq x", Kind.NOT_SUPPORTED, ["_query"]),
        ("_filter eq x", Kind.NOT_SUPPORTED, ["_filter"]),
        ("_sort eq x", Kind.NOT_SUPPORTED, ["'_sort'"]),
        ("gender:not eq male", Kind.VALUE, ["gender:not", "operators instead of modifiers"]),
        ("gender pr maybe", Kind.VALUE, ["true or false"]),
        ("birthdate ge x", BAD_VALUE, ["birthdate", "'x'"]),
        ("birthdate eq ge2000", BAD_VALUE, ["birthdate"]),
        ("birthdate po x", BAD_VALUE, ["birthdate"]),
        (r"gender eq a\b", Kind.VALUE, ["backslash"]),
        (r'name eq "\q"', Kind.INVALID, ["JSON string"]),
        (r'name eq "\ud800"', Kind.INVALID, ["JSON string"]),
        ("gender[_id eq 1].name eq x", Kind.NOT_SUPPORTED, ["'gender' is a token parameter"]),
        ("gender.name eq x", Kind.NOT_SUPPORTED, ["'gender' is a token parameter"]),
        ("general-practitioner:Account.name eq x", Kind.NOT_SUPPORTED, ["'Account'"]),
        ("general-practitioner[colour eq red].name eq x", Kind.NOT_SUPPORTED, ["'colour'"]),
        ("_has:Observation:colour:code eq x", Kind.NOT_SUPPORTED, ["'colour'"]),
    ],
)
def test_a_test_that_means_nothing_is_refused_with_what_would_mean_something(text, kind, words):
    check_refused("Patient", ("_filter", text), kind, *words)


def test_every_test_that_means_nothing_is_told_at_once():
    found = refused("Patient", ("_filter", "gendr eq male and (birthdate ge x or not(name po y))"), ("colour", "1"))
    words = ["gendr", "'x'", "'po'", "colour"]
    assert len(found) == len(words)
    assert all(word in text for word, (_, text) in zip(words, found, strict=True))


def test_bounds_hold_and_are_told():
    def deep(depth):
        return "(" * depth + "gender eq male" + ")" * depth

    assert filtered("Patient", deep(DEPTH_MAX)) == MALE
    check_refused("Patient", ("_filter", deep(DEPTH_MAX + 1)), Kind.TOO_COSTLY, str(DEPTH_MAX))
    tests = " and ".join(["_id eq 1"] * TESTS_MAX)
    assert filtered("Patient", tests)
    check_refused("Patient", ("_filter", f"{tests} and _id eq 1"), Kind.TOO_COSTLY, str(TESTS_MAX))
    long = f'gender eq "{"x" * 900}"'
    assert filtered("Patient", long + " " * (CHARACTERS_MAX - len(long)))
    check_refused("Patient", ("_filter", long + " " * (CHARACTERS_MAX + 1 - len(long))), Kind.TOO_COSTLY, "characters")
    chain = "general-practitioner:Organization." + "partof." * CHAIN_LINKS_MAX + "name eq x"
    check_refused("Patient", ("_filter", chain), Kind.TOO_COSTLY, str(CHAIN_LINKS_MAX))


def test_brackets_count_as_links_too():
    inner = "_id eq 1"
    for _ in range(CHAIN_LINKS_MAX + 1):
        inner = f"link:Patient[{inner}]._id eq 1"
    assert {kind for kind, _ in refused("Patient", ("_filter", inner))} == {Kind.TOO_COSTLY}


def test_every_operator_of_r4_has_a_meaning_somewhere():
    known = [
        "eq",
        "ne",
        "co",
        "sw",
        "ew",
        "gt",
        "lt",
        "ge",
        "le",
        "ap",
        "sa",
        "eb",
        "pr",
        "po",
        "ss",
        "sb",
        "in",
        "ni",
        "re",
    ]
    assert sorted({operator for row in OPERATORS.values() for operator in row}) == sorted(known)


PIECES = st.sampled_from(
    [
        *(
            "gender",
            "name",
            "birthdate",
            "subject",
            "_has:Observation:patient:code",
            "_id",
            "general-practitioner.name",
        ),
        *(
            "eq",
            "ne",
            "co",
            "ge",
            "pr",
            "ew",
            "and",
            "or",
            "not",
            "(",
            ")",
            "[",
            "]",
            ".",
            '"',
            '"a b"',
            "male",
            "2000",
        ),
        *("true", " ", "\\", "|", "$", ",", ":", "é"),
    ]
)


@given(st.lists(PIECES, max_size=12).map(" ".join) | st.lists(PIECES, max_size=12).map("".join) | st.text())
def test_any_text_is_understood_or_refused_in_words(text):
    try:
        search = parsed("Patient", ("_filter", text))
    except Rejected as rejected:
        said = [issue.text for issue in rejected.issues]
    else:
        said = ["understood"] if search.applied else [issue.text for issue in search.ignored]
    assert said
    assert all(said)
