"""A query string becomes a Query, or a refusal that names everything that is wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.outcome import Kind, Refusal, Rejected
from phb_fhir.query import AllOf, AnyOf, Id, Query, Token, Updated
from phb_fhir.search.escapes import split_escaped, unescape
from phb_fhir.search.parse import PARAMETERS_MAX, VALUES_MAX, parse_criteria, parse_search

ALLOWED = frozenset({"_id", "_lastUpdated", "identifier"})
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)


def parsed(*parameters, lenient=False, types=("Patient",), allowed=ALLOWED):
    return parse_search(types, parameters, allowed, count_default=50, count_max=1_000, lenient=lenient)


def refused(*parameters, lenient=False):
    """Every issue of a refusal: its kind and its sentence."""
    with pytest.raises(Rejected) as caught:
        parsed(*parameters, lenient=lenient)
    assert caught.value.refusal is Refusal.BAD_REQUEST
    return [(issue.kind, issue.text) for issue in caught.value.issues]


def issues_of(*parameters):
    """What is wrong with these; nothing when all of it was taken."""
    try:
        search = parsed(*parameters)
    except Rejected as rejected:
        return rejected.issues
    assert search.applied == tuple(pair for pair in parameters if pair[0] != "_page")
    return ()


# ---- what is asked ---------------------------------------------------------------------------------------------------


def test_no_parameters_ask_for_everything_of_the_types():
    search = parsed()
    assert search.query == Query(("Patient",), AllOf(()))
    assert (search.count, search.total, search.page, search.applied, search.ignored) == (50, "accurate", None, (), [])


@pytest.mark.parametrize(
    ("name", "value", "node"),
    [
        ("_id", "a", Id(("a",))),
        ("_id", "a,b", AnyOf((Id(("a",)), Id(("b",))))),
        ("_id", r"a\,b", Id(("a,b",))),
        ("identifier", "urn:s|5", Token("identifier", "urn:s", "5")),
        ("identifier", "5", Token("identifier", None, "5")),
        ("identifier", "|5", Token("identifier", "", "5")),
        ("identifier", "urn:s|", Token("identifier", "urn:s", None)),
        ("identifier", r"urn:s|a\,b,c", AnyOf((Token("identifier", "urn:s", "a,b"), Token("identifier", None, "c")))),
        ("identifier", r"a\|b|c\|d", Token("identifier", "a|b", "c|d")),
        ("identifier", "a b", Token("identifier", None, "a b")),
        ("_lastUpdated", "2026-01", Updated(JANUARY, FEBRUARY)),
        ("_lastUpdated", "ge2026-01,lt2026-02", AnyOf((Updated(JANUARY, None), Updated(None, FEBRUARY)))),
    ],
)
def test_a_parameter_is_a_condition_and_its_values_are_alternatives(name, value, node):
    search = parsed((name, value))
    assert search.query.where == AllOf((node,))
    assert search.applied == ((name, value),)


def test_parameters_hold_together_in_the_order_they_came():
    search = parsed(("_id", "a"), ("identifier", "5"), ("_id", "b"))
    assert search.query.where == AllOf((Id(("a",)), Token("identifier", None, "5"), Id(("b",))))


def test_what_shapes_the_answer_is_no_condition():
    search = parsed(("_count", "7"), ("_total", "none"), ("_page", "token"), ("_format", "json"), ("_summary", "text"))
    assert search.query.where == AllOf(())
    assert (search.count, search.total, search.page) == (7, "none", "token")
    assert dict(search.applied) == {"_count": "7", "_total": "none", "_format": "json", "_summary": "text"}


@pytest.mark.parametrize(
    ("text", "count"), [("0", 0), ("1", 1), ("1000", 1_000), ("1001", 1_000), ("9999999999", 1_000)]
)
def test_a_count_is_taken_up_to_the_largest_page(text, count):
    assert parsed(("_count", text)).count == count


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_every_problem_is_told_at_once():
    found = refused(("colour", "1"), ("_id", ""), ("_lastUpdated", "x"), ("_id:exact", "a"), ("_count", "x"))
    assert [kind for kind, _ in found] == [
        *(Kind.INVALID, Kind.INVALID),
        *(Kind.NOT_SUPPORTED, Kind.NOT_SUPPORTED),
        Kind.VALUE,
    ]


def test_a_parameter_that_the_statement_does_not_promise_is_not_known():
    with pytest.raises(Rejected):
        parsed(("identifier", "5"), allowed=frozenset({"_id"}))
    assert parsed(("_id", "5"), allowed=frozenset({"_id"})).query.where == AllOf((Id(("5",)),))


def test_a_parameter_that_is_promised_and_not_built_is_not_known():
    with pytest.raises(Rejected):
        parsed(("birthdate", "2000"), allowed=ALLOWED | {"birthdate"})


def test_an_unknown_parameter_is_told_with_the_nearest_known_one():
    ((kind, text),) = refused(("identifer", "5"))
    assert kind is Kind.NOT_SUPPORTED
    assert "Did you mean 'identifier'?" in text
    assert text.endswith(
        "Known are: _id, _lastUpdated, identifier, _count, _elements, _format, _page, _pretty, _summary, _total."
    )


def test_bounds_hold():
    many = ",".join(["a"] * VALUES_MAX)
    assert len(parsed(("_id", many)).query.where.parts[0].parts) == VALUES_MAX
    assert refused(("_id", many + ",a"))[0][0] is Kind.TOO_COSTLY
    assert len(parsed(*[("_id", "a")] * PARAMETERS_MAX).applied) == PARAMETERS_MAX
    assert refused(*[("_id", "a")] * (PARAMETERS_MAX + 1))[0][0] is Kind.TOO_COSTLY


# ---- leniency --------------------------------------------------------------------------------------------------------


def test_leniency_leaves_out_what_is_unknown_and_reports_it():
    search = parsed(("colour", "1"), ("_id", "a"), ("_id:text", "b"), lenient=True)
    assert search.query.where == AllOf((Id(("a",)),))
    assert search.applied == (("_id", "a"),)
    assert [issue.kind for issue in search.ignored] == [Kind.NOT_SUPPORTED, Kind.NOT_SUPPORTED]


@pytest.mark.parametrize(
    "bad", [("_id", ""), ("_lastUpdated", "x"), ("identifier", "|"), ("_count", "x"), ("_total", "x")]
)
def test_leniency_does_not_leave_out_what_is_badly_written(bad):
    assert refused(bad, ("colour", "1"), lenient=True)


# ---- criteria of a conditional interaction ---------------------------------------------------------------------------


def test_criteria_are_conditions_of_one_type():
    assert parse_criteria("Patient", [("identifier", "5")], ALLOWED) == Query(
        ("Patient",), AllOf((Token("identifier", None, "5"),))
    )


@pytest.mark.parametrize(
    "parameters", [[], [("_count", "1")], [("colour", "1")], [("_id", "a"), ("colour", "1")], [("_id", "")]]
)
def test_criteria_without_a_condition_or_with_an_unknown_one_are_refused(parameters):
    with pytest.raises(Rejected) as caught:
        parse_criteria("Patient", parameters, ALLOWED)
    assert caught.value.refusal is Refusal.BAD_REQUEST


# ---- escapes ---------------------------------------------------------------------------------------------------------


def escaped(text):
    return "".join("\\" + letter if letter in ",|$\\" else letter for letter in text)


@given(st.lists(st.text(), min_size=1))
def test_values_that_were_escaped_and_joined_come_apart_as_they_were(values):
    joined = ",".join(map(escaped, values))
    assert split_escaped(joined, ",") == values
    assert [unescape(one) for one in split_escaped(joined, ",", keep_escapes=True)] == values


@given(st.text(), st.text(min_size=1))
def test_a_token_that_was_escaped_is_read_as_it_was(system, code):
    search = parsed(("identifier", f"{escaped(system)}|{escaped(code)}"))
    assert search.query.where == AllOf((Token("identifier", system, code),))


@given(st.text(), st.text())
def test_any_parameter_is_understood_or_refused(name, value):
    assert all(issue.text for issue in issues_of((name, value)))


@given(st.sampled_from(sorted(ALLOWED)), st.text())
def test_any_value_of_a_known_parameter_is_understood_or_refused(name, value):
    assert {issue.kind for issue in issues_of((name, value))} <= {Kind.INVALID, Kind.TOO_COSTLY}
