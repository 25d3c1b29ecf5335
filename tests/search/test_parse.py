"""A query string becomes a Query, or a refusal that names everything that is wrong with it (R4 §3.1.1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.outcome import Kind, Refusal, Rejected
from phb_fhir.query import (
    EVERYTHING,
    NOTHING,
    AllOf,
    AnyOf,
    Bound,
    Id,
    InList,
    Joined,
    Key,
    KeyPart,
    KeyRange,
    Linked,
    LinkedFrom,
    Not,
    Present,
    Query,
    Span,
    Updated,
)
from phb_fhir.search.escapes import split_escaped, unescape
from phb_fhir.search.order import sortable
from phb_fhir.search.parse import PARAMETERS_MAX, VALUES_MAX, parse_criteria, parse_search
from tests.search.parsing import ASKING, BAD_VALUE, BASE, asking, check_refused, conditions, parsed, promised, refused

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
IN_2000 = Span(
    "birthdate",
    (
        Bound("lo", ">=", "2000-01-01T00:00:00.000000Z"),
        Bound("lo", "<", "2001-01-01T00:00:00.000000Z"),
        Bound("hi", "<=", "2001-01-01T00:00:00.000000Z"),
    ),
)


# ---- what is asked ---------------------------------------------------------------------------------------------------


def test_no_parameters_ask_for_everything_of_the_types():
    search = parsed("Patient")
    assert search.query == Query(("Patient",), AllOf(()))
    assert (search.count, search.total, search.page, search.order, search.includes) == (50, None, None, (), ())
    assert (search.applied, search.ignored, search.explain) == ((), [], False)


@pytest.mark.parametrize(
    ("types", "name", "value", "node"),
    [
        ("Patient", "_id", "a", Id(("a",))),
        ("Patient", "_id", "a,b,a", Id(("a", "b"))),
        ("Patient", "_id:not", "a,b", Not(Id(("a", "b")))),
        ("Patient", "_id:missing", "false", EVERYTHING),
        ("Patient", "_id:missing", "true", NOTHING),
        ("Patient", "_lastUpdated", "2026-01", Updated(JANUARY, FEBRUARY)),
        ("Patient", "_lastUpdated", "ge2026-01,lt2026-01", AnyOf((Updated(JANUARY, None), Updated(None, JANUARY)))),
        ("Patient", "_lastUpdated:missing", "true", NOTHING),
        ("Patient", "_tag", "http://acme.org/codes|needs-review", Key(("_tag=http://acme.org/codes|needs-review",))),
        ("Patient", "_security", "R", Key(("_security=*R",))),
        ("Patient", "_profile", "http://acme.org/lipid", Key(("_profile=http://acme.org/lipid",))),
        ("Patient", "_source", "urn:a", Key(("_source=urn:a",))),
        ("Patient", "_list", "42,43", AnyOf((InList("42"), InList("43")))),
        ("Patient", "gender", "male", Key(("gender=*male",))),
        ("Patient", "language", "FR,NL", Key(("language=*FR", "language=*NL"))),
        ("Patient", "gender:not", "male,other", Not(Key(("gender=*male", "gender=*other")))),
        ("Patient", "identifier", r"urn:s|a\,b,c", Key(("identifier=urn:s|a,b", "identifier=*c"))),
        ("Patient", "identifier", "urn:s|", KeyRange("identifier=urn:s|", "identifier=urn:s}")),
        ("Patient", "name", "Jill", KeyRange("name=jill", "name=jilm")),
        ("Patient", "name", "Jill,Tom", AnyOf((KeyRange("name=jill", "name=jilm"), KeyRange("name=tom", "name=ton")))),
        ("Patient", "name:exact", "Jill", Key(("name:exact=Jill",))),
        ("Patient", "name:contains", "Ill", KeyPart("name=", "ill")),
        ("Patient", "birthdate", "2000", IN_2000),
        ("Patient", "general-practitioner", f"{BASE}/Practitioner/1", Key(("general-practitioner=Practitioner/1",))),
        ("Account", "subject:Patient", "1", Key(("subject=Patient/1",))),
        ("Account", "subject:identifier", "urn:s|1", Key(("subject:identifier=urn:s|1",))),
        (
            "ChargeItem",
            "factor-override",
            "gt1.5",
            Span("factor-override", (Bound("hi", ">", sortable(Decimal("1.5"))),)),
        ),
        (
            "Observation",
            "component-code-value-concept",
            "a$b",
            AllOf(
                (
                    Key(("component-code=*a",)),
                    Joined("component-code-value-concept", (Key(("=*a",)), Key(("=*b",)))),
                )
            ),
        ),
    ],
)
def test_a_parameter_is_a_condition_and_its_values_are_alternatives(types, name, value, node):
    search = parsed(types, (name, value))
    assert search.query == Query((types,), AllOf((node,)))
    assert search.applied == ((name, value),)
    assert search.ignored == []


def test_parameters_hold_together_in_the_order_they_came_repeated_ones_too():
    assert conditions("Patient", ("language", "FR,NL"), ("_id", "a"), ("language", "EN")) == (
        Key(("language=*FR", "language=*NL")),
        Id(("a",)),
        Key(("language=*EN",)),
    )


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("gender", KeyRange("gender:", "gender>")),
        ("name", KeyRange("name:", "name>")),
        ("general-practitioner", KeyRange("general-practitioner:", "general-practitioner>")),
        ("birthdate", Present("birthdate")),
    ],
)
def test_missing_is_for_every_kind(name, there):
    assert conditions("Patient", (f"{name}:missing", "false")) == (there,)
    assert conditions("Patient", (f"{name}:missing", "true")) == (Not(there),)


def test_missing_is_one_entry_where_the_index_says_so():
    marked = next(code for code, one in ASKING.parameters.of("ChargeItem").items() if one.marks_missing)
    assert conditions("ChargeItem", (f"{marked}:missing", "true")) == (Key((f"!{marked}",)),)
    assert conditions("ChargeItem", (f"{marked}:missing", "false")) == (KeyRange(f"{marked}:", f"{marked}>"),)


def test_what_a_compartment_holds_is_the_first_condition():
    search = parse_search(("ChargeItem",), [("code", "a")], ASKING, within=Key(("_in=Patient/1",)))
    assert search.query == Query(("ChargeItem",), AllOf((Key(("_in=Patient/1",)), Key(("code=*a",)))))
    assert search.applied == (("code", "a"),)


# ---- types (R4 §3.1.1.2, §3.1.1.4.24) --------------------------------------------------------------------------------


def test_a_search_of_all_types_takes_what_all_of_them_have():
    search = parsed("", ("_id", "a"), ("_tag", "t"), ("_lastUpdated", "ge2026-01"))
    assert search.query == Query((), AllOf((Id(("a",)), Key(("_tag=*t",)), Updated(JANUARY, None))))
    check_refused("", ("identifier", "1"), Kind.NOT_SUPPORTED, "'identifier'", "_type")


def test_type_narrows_the_search_wherever_it_stands_and_is_shown_where_it_stood():
    search = parsed("", ("subject", "Patient/1"), ("_type", "Account,Observation,Account"))
    assert search.query == Query(("Account", "Observation"), AllOf((Key(("subject=Patient/1",)),)))
    assert search.applied == (("subject", "Patient/1"), ("_type", "Account,Observation,Account"))


def test_of_several_types_only_shared_parameters_are_known():
    ((kind, text),) = refused("", ("_type", "Account,Observation"), ("owner", "Organization/1"))
    assert kind is Kind.NOT_SUPPORTED
    assert "owner" in text
    assert parsed("", ("_type", "Account"), ("owner", "Organization/1")).query.types == ("Account",)


def test_type_within_a_compartment_is_one_of_its_types():
    assert parsed("Account Observation", ("_type", "Account")).query.types == ("Account",)
    check_refused("Account Observation", ("_type", "Organization"), Kind.VALUE, "Organization", "Observation")


@pytest.mark.parametrize(
    ("types", "value", "kind", "word"),
    [
        ("", "Pateint", Kind.VALUE, "Did you mean Patient"),
        ("", "Patient,Pateint", Kind.VALUE, "Pateint"),
        ("", "Patient,", Kind.VALUE, "''"),
        ("Patient", "Patient", Kind.NOT_SUPPORTED, "of Patient already"),
    ],
)
def test_a_type_that_is_not_searched_is_refused(types, value, kind, word):
    check_refused(types, ("_type", value), kind, word)


# ---- strict: what is refused, and how it is told ---------------------------------------------------------------------


def test_every_problem_is_told_at_once():
    found = refused(
        "Patient",
        ("colour", "1"),
        ("birthdate", "yesterday"),
        ("name:exat", "a"),
        ("_count", "x"),
        ("_sort", "colour"),
        ("_include", "Patient"),
        ("general-practitioner.colour", "1"),
        ("gender:missing", "maybe"),
        ("_total", "all"),
        ("_id", "a/b,ok,c d"),
    )
    told = ["colour", "yesterday", "exat", "_count", "_sort", "_include", "colour", "maybe", "_total", "a/b", "c d"]
    assert len(found) == len(told)
    assert all(word in text for word, (_, text) in zip(told, found, strict=True))


@pytest.mark.parametrize(
    ("types", "name", "value", "kind", "words"),
    [
        ("Patient", "gendr", "male", Kind.NOT_SUPPORTED, ["'gendr'", "Did you mean gender"]),
        ("Patient", "Gender", "male", Kind.NOT_SUPPORTED, ["'Gender'", "Did you mean gender"]),
        ("Patient", "shoe-size", "9", Kind.NOT_SUPPORTED, ["'shoe-size'", "/metadata"]),
        ("Patient", "_inclde", "*", Kind.NOT_SUPPORTED, ["Did you mean _include"]),
        ("Patient", "", "x", Kind.NOT_SUPPORTED, ["''"]),
        ("Patient", "gender:exact", "male", Kind.NOT_SUPPORTED, [":exact", "token"]),
        ("Patient", "name:", "a", Kind.NOT_SUPPORTED, ["name:", "behind the colon"]),
        ("Patient", "_id:", "a", Kind.NOT_SUPPORTED, ["_id:", "behind the colon"]),
        ("Account", "subject:.name", "a", Kind.NOT_SUPPORTED, ["subject:", "behind the colon"]),
        ("Account", "subject:Patient.name:", "a", Kind.NOT_SUPPORTED, ["name:", "behind the colon"]),
        ("Patient", "_has:Account:subject:name:", "a", Kind.NOT_SUPPORTED, ["name:", "behind the colon"]),
        ("Patient", "name:contain", "a", Kind.NOT_SUPPORTED, ["Did you mean contains?"]),
        ("Patient", "birthdate:exact", "2000", Kind.NOT_SUPPORTED, ["birthdate", "missing"]),
        ("Observation", "code-value-quantity:not", "a$5", Kind.NOT_SUPPORTED, ["code-value-quantity"]),
        ("Observation", "code-value-quantity:missing", "true", Kind.NOT_SUPPORTED, ["no modifiers"]),
        ("ChargeItem", "account:Patient", "1", Kind.NOT_SUPPORTED, ["account", "Patient", "Account"]),
        ("Patient", "_id:text", "a", Kind.NOT_SUPPORTED, ["_id:text", "not, missing"]),
        ("Patient", "_list:not", "a", Kind.NOT_SUPPORTED, ["_list:not"]),
        ("Patient", "_lastUpdated:exact", "2026", Kind.NOT_SUPPORTED, ["_lastUpdated:exact", "missing"]),
        ("Patient", "birthdate", "xx2000", BAD_VALUE, ["prefix 'xx'", "ge"]),
        ("Patient", "birthdate", "2000-13", BAD_VALUE, ["2000-13", "YYYY-MM"]),
        ("Patient", "gender:missing", "true,false", Kind.VALUE, ["true or false"]),
        ("Patient", "name", "a,,b", Kind.VALUE, ["nothing between two commas"]),
        ("Patient", "name", "a,", Kind.VALUE, ["nothing between two commas"]),
        ("Patient", "name", r"a\b", Kind.VALUE, [r"a\b", "backslash"]),
        ("Patient", "_id", "Patient/1", Kind.VALUE, ["Patient/1", "64"]),
        ("Patient", "_id", "a" * 65, Kind.VALUE, ["64"]),
        ("Patient", "_list", "$current-allergies", Kind.NOT_SUPPORTED, ["$current-allergies"]),
        ("Patient", "_list", "List/1", Kind.VALUE, ["List/1"]),
        ("Patient", "_query", "current-high-risk", Kind.NOT_SUPPORTED, ["current-high-risk"]),
        ("Patient", "_contained", "true", Kind.NOT_SUPPORTED, ["_contained=true", "false"]),
        ("Patient", "_contained", "both", Kind.NOT_SUPPORTED, ["_contained=both"]),
        ("Patient", "_contained", "maybe", Kind.VALUE, ["maybe", "false, true, both"]),
        ("Patient", "_containedType", "container", Kind.NOT_SUPPORTED, ["_containedType"]),
        ("Patient", "near", "1|2", Kind.NOT_SUPPORTED, ["'near'"]),
        ("Location", "near:exact", "1|2", Kind.NOT_SUPPORTED, ["near"]),
        ("Location", "near:missing", "true", Kind.NOT_SUPPORTED, ["near"]),
    ],
)
def test_what_is_not_understood_is_refused_with_what_would_be_right(types, name, value, kind, words):
    check_refused(types, (name, value), kind, *words)


def test_a_parameter_that_the_statement_does_not_promise_is_not_known():
    def without_gender(type_):
        return promised(type_) - {"gender"}

    assert parsed("Patient", ("gender", "male"))
    assert refused("Patient", ("gender", "male"), promised=without_gender)
    assert refused("Observation", ("patient.gender", "male"), promised=without_gender)
    assert refused("Patient", ("_sort", "gender"), promised=without_gender)
    assert refused("Patient", ("_filter", "gender eq male"), promised=without_gender)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_id", "a"),
        ("_filter", "gender eq male"),
        ("_has:Observation:patient:code", "a"),
        ("_list", "a"),
        ("_text", "a"),
    ],
)
def test_what_stands_for_every_type_is_known_only_where_it_is_promised(name, value):
    code = name.partition(":")[0]
    assert parsed("Patient", (name, value))
    ((kind, text),) = refused("Patient", (name, value), promised=lambda type_: promised(type_) - {code})
    assert kind is Kind.NOT_SUPPORTED
    assert f"'{code}'" in text


def test_bounds_hold_and_are_told():
    many = ",".join(f"a{number}" for number in range(VALUES_MAX))
    assert len(conditions("Patient", ("_id", many))[0].ids) == VALUES_MAX
    assert refused("Patient", ("_id", many + ",b"))[0][0] is Kind.TOO_COSTLY
    assert len(parsed("Patient", *[("_id", "a")] * PARAMETERS_MAX).applied) == PARAMETERS_MAX
    assert refused("Patient", *[("_id", "a")] * (PARAMETERS_MAX + 1))[0][0] is Kind.TOO_COSTLY


# ---- empty parameters (R4 §3.1.1.3: no error, ignored) ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["gender", "name:exact", "_id", "_count", "_sort", "_filter", "_type", "_format"])
def test_a_parameter_without_a_value_is_left_out_and_that_is_said(name):
    search = parsed("", (name, ""), ("_tag", "t")) if name == "_type" else parsed("Patient", (name, ""), ("_tag", "t"))
    assert search.query.where == AllOf((Key(("_tag=*t",)),))
    assert search.applied == (("_tag", "t"),)
    assert [issue.text.partition(" ")[0] for issue in search.ignored] == [name]


def test_an_unknown_parameter_without_a_value_is_left_out_and_with_one_refused():
    search = parsed("Patient", ("colour", ""), ("_tag", "t"))
    assert search.applied == (("_tag", "t"),)
    assert [issue.text.partition(" ")[0] for issue in search.ignored] == ["colour"]
    check_refused("Patient", ("colour", "blue"), Kind.NOT_SUPPORTED, "colour")


# ---- leniency (R4 §3.1.1.3) ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("colour", "1"),
        ("gender:beside", "male"),
        ("birthdate", "yesterday"),
        ("birthdate", "xx2000"),
        ("gender", "male,"),
        ("general-practitioner.colour", "1"),
        ("_has:Observation:patient", "1"),
        ("_filter", "gender eq"),
        ("_contained", "true"),
        ("_count", "x"),
        ("_total", "x"),
        ("_sort", "gender,colour"),
        ("_include", "Patient:colour"),
        ("_id", "a/b"),
    ],
)
def test_leniency_leaves_out_what_cannot_be_applied_and_reports_it(name, value):
    search = parsed("Patient", (name, value), ("_tag", "t"), lenient=True)
    assert search.query.where == AllOf((Key(("_tag=*t",)),))
    assert search.applied == (("_tag", "t"),)
    assert (search.count, search.total, search.order, search.includes) == (50, None, (), ())
    assert len(search.ignored) == 1
    assert refused("Patient", (name, value), ("_tag", "t")) == [(one.kind, one.text) for one in search.ignored]


def test_leniency_does_not_search_some_of_the_types_where_others_are_unknown():
    search = parsed("", ("_type", "Patient,Pateint"), ("_tag", "t"), lenient=True)
    assert search.query.types == ()
    assert search.applied == (("_tag", "t"),)


@pytest.mark.parametrize(
    ("name", "value"), [("_query", "x"), ("_id", ",".join(["a"] * (VALUES_MAX + 1))), ("_filter", "(" * 50)]
)
def test_leniency_does_not_pass_over_a_named_query_or_a_bound(name, value):
    assert refused("Patient", (name, value), ("colour", "1"), lenient=True)


def test_leniency_takes_the_first_of_what_is_said_twice():
    search = parsed("Patient", ("_count", "3"), ("_count", "4"), lenient=True)
    assert (search.count, search.applied) == (3, (("_count", "3"),))
    assert len(search.ignored) == 1


# ---- criteria of a conditional interaction ---------------------------------------------------------------------------


def test_criteria_are_conditions_of_one_type_chained_ones_too():
    criteria = parse_criteria("Account", [("identifier", "5"), ("patient.name:exact", "Jill")], ASKING)
    chained = Linked("patient", ("Patient",), Key(("name:exact=Jill",)))
    assert criteria == Query(("Account",), AllOf((Key(("identifier=*5",)), chained)))
    back = parse_criteria("Patient", [("_has:Account:patient:status", "active")], ASKING)
    assert back.where == AllOf((LinkedFrom("Account", "patient", Key(("status=*active",))),))


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ([], "needs a condition"),
        ([("_count", "1")], "_count"),
        ([("_sort", "_id"), ("_id", "a")], "_sort"),
        ([("_include:iterate", "*"), ("_id", "a")], "_include"),
        ([("_format", "json")], "_format"),
        ([("_type", "Patient"), ("_id", "a")], "_type"),
        ([("colour", "1"), ("_id", "a")], "colour"),
        ([("_id", "")], "needs a value"),
        ([("_id", "a"), ("name", "")], "needs a value"),
        ([("birthdate", "x")], "birthdate"),
    ],
)
def test_criteria_without_a_condition_or_with_one_not_understood_are_refused(parameters, word):
    for lenient in (False, True):
        with pytest.raises(Rejected, match=word) as caught:
            parse_criteria("Patient", parameters, replace(ASKING, lenient=lenient))
        assert caught.value.refusal is Refusal.BAD_REQUEST


# ---- escapes, and anything at all ------------------------------------------------------------------------------------


def escaped(text):
    return "".join("\\" + letter if letter in ",|$\\" else letter for letter in text)


@given(st.lists(st.text(), min_size=1))
def test_values_that_were_escaped_and_joined_come_apart_as_they_were(values):
    joined = ",".join(map(escaped, values))
    assert split_escaped(joined, ",") == values
    assert [unescape(one) for one in split_escaped(joined, ",", keep_escapes=True)] == values


@given(st.text(min_size=1, max_size=100))
def test_a_code_that_was_escaped_is_read_as_it_was(code):
    assert conditions("Patient", ("identifier", escaped(code))) == (Key((f"identifier=*{code}",)),)


NAMES = [
    *(
        "_id",
        "_lastUpdated",
        "_list",
        "_text",
        "_content",
        "_filter",
        "_query",
        "_type",
        "_contained",
        "_sort",
        "_count",
    ),
    *(
        "_total",
        "_include",
        "_revinclude:iterate",
        "_explain",
        "name",
        "gender:not",
        "birthdate",
        "general-practitioner",
    ),
    *("general-practitioner:Practitioner.name", "_has:Observation:patient:code-value-quantity", "identifier:of-type"),
]


@given(
    st.text() | st.sampled_from(NAMES), st.text() | st.sampled_from(["_has:", "gender eq", "a,b", "$", "-", "*", ":"])
)
def test_anything_is_understood_or_refused_in_words_and_leniency_only_leaves_out_what_was_refused(name, value):
    strict, lenient = outcome(name, value, lenient=False), outcome(name, value, lenient=True)
    assert all(text for _, text in strict.refused)
    if strict.refused:
        assert lenient.refused == strict.refused or (lenient.applied == () and lenient.ignored == strict.refused)
    else:
        assert lenient == strict


class Outcome(NamedTuple):
    applied: tuple
    ignored: list
    refused: list


def outcome(name, value, *, lenient):
    try:
        search = parsed("Patient", (name, value), lenient=lenient)
    except Rejected as rejected:
        return Outcome((), [], told(rejected.issues))
    return Outcome(search.applied, told(search.ignored), [])


def told(issues):
    return [(issue.kind, issue.text) for issue in issues]


def test_terminology_is_asked_for_the_codes_of_a_value_set():
    colours = {
        "resourceType": "ValueSet",
        "id": "colours",
        "url": "https://acme.example/ValueSet/colours",
        "status": "active",
        "compose": {"include": [{"system": "urn:c", "concept": [{"code": "red"}, {"code": "green"}]}]},
    }
    known = asking(colours)
    pairs = [("code:in", "https://acme.example/ValueSet/colours"), ("code:not-in", "ValueSet/colours")]
    within, without = parse_search(("Observation",), pairs, known).query.where.parts
    assert within == Key(("code=urn:c|red", "code=urn:c|green"))
    assert without == Not(within)
    check_refused("Observation", ("code:in", "https://acme.example/ValueSet/colours"), Kind.NOT_FOUND, "colours")
