"""What shapes the answer of a search (R4 §3.1.1.5)."""

from __future__ import annotations

import pytest

from phb_fhir.outcome import Kind
from phb_fhir.query import AllOf, Include, SortKey
from phb_fhir.search.results import INCLUDES_MAX, SORT_RULES_MAX
from tests.search.parsing import ASKING, check_refused, parsed, refused

BY_DATE = SortKey("date", "lo")


def test_what_shapes_the_answer_is_no_condition_and_is_shown_as_it_was_applied():
    pairs = [
        *(("_count", "7"), ("_total", "none"), ("_sort", "-date"), ("_format", "json"), ("_summary", "false")),
        *(("_elements", "code"), ("_pretty", "true"), ("_explain", "true"), ("_contained", "false"), ("_include", "*")),
    ]
    search = parsed("Observation", *pairs, ("_page", "token"))
    assert search.query.where == AllOf(())
    assert (search.count, search.total, search.page, search.explain) == (7, "none", "token", True)
    assert search.applied == tuple(pairs)


# ---- _count, _total, and what is said once ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("1", 1), ("007", 7), ("1000", 1_000), ("1001", 1_000), ("9999999999", 1_000), ("1" * 5_000, 1_000)],
)
def test_a_count_is_taken_up_to_the_largest_page_and_shown_as_it_is_used(text, count):
    search = parsed("Patient", ("_count", text))
    assert (search.count, search.applied) == (count, (("_count", str(count)),))


@pytest.mark.parametrize("text", ["-1", "x", "1.0", "1e3", "٣", " 1"])
def test_a_count_that_is_no_whole_number_is_refused(text):
    check_refused("Patient", ("_count", text), Kind.VALUE, f"_count={text}")


@pytest.mark.parametrize("text", ["none", "estimate", "accurate"])
def test_a_total_is_as_it_was_asked_for(text):
    assert parsed("Patient", ("_total", text)).total == text
    assert parsed("Patient").total is None
    check_refused("Patient", ("_total", f"{text}!"), Kind.VALUE, "none, estimate, accurate")


@pytest.mark.parametrize("name", ["_count", "_total", "_page", "_explain", "_contained", "_summary", "_elements"])
def test_what_is_said_once_is_refused_when_said_twice(name):
    values = {
        "_count": "1",
        "_total": "none",
        "_explain": "true",
        "_contained": "false",
        "_summary": "data",
        "_elements": "name",
    }
    value = values.get(name, "p")
    assert parsed("Patient", (name, value))
    ((kind, text),) = refused("Patient", (name, value), (name, value))
    assert (kind, text) == (Kind.INVALID, f"{name} stands more than once; say it once.")


@pytest.mark.parametrize("name", ["_count", "_total", "_page", "_explain", "_sort", "_type", "_summary", "_elements"])
def test_these_take_no_modifier(name):
    check_refused("", (f"{name}:exact", "1"), Kind.NOT_SUPPORTED, f"{name}:exact")


# ---- _sort (R4 §3.1.1.5.1) -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("types", "value", "order"),
    [
        ("Observation", "date", (BY_DATE,)),
        ("Observation", "status,-date,category", (SortKey("status", "keys"), SortKey("date", "lo", True), SortKey("category", "keys", is_list=True))),
        ("Observation", "-value-quantity", (SortKey("value-quantity~unit", "lo", True),)),
        ("Observation", "subject", (SortKey("subject", "keys"),)),
        ("Patient", "-_lastUpdated,_id", (SortKey("_lastUpdated", "at", True), SortKey("_id", "id"))),
        ("Patient", "birthdate,family", (SortKey("birthdate", "lo"), SortKey("family", "lo", is_list=True))),
        ("", "-_lastUpdated", (SortKey("_lastUpdated", "at", True),)),
        ("Account Task", "_id", (SortKey("_id", "id"),)),
    ],
)  # fmt: skip
def test_an_order_is_a_list_of_rules(types, value, order):
    search = parsed(types, ("_sort", value))
    assert (search.order, search.applied) == (order, (("_sort", value),))


def test_an_order_may_be_said_in_several_parts():
    assert parsed("Observation", ("_sort", "date"), ("_sort", "-_id")).order == (BY_DATE, SortKey("_id", "id", True))


@pytest.mark.parametrize(
    ("types", "value", "kind", "words"),
    [
        ("Observation", "dat", Kind.NOT_SUPPORTED, ["'dat'", "Did you mean date"]),
        ("Observation", "-shoe-size", Kind.NOT_SUPPORTED, ["-shoe-size", "/metadata"]),
        ("Observation", "_score", Kind.NOT_SUPPORTED, ["_score"]),
        ("Observation", "code-value-quantity", Kind.NOT_SUPPORTED, ["'code-value-quantity'"]),
        ("Observation", "date:desc", Kind.NOT_SUPPORTED, ["date:desc", "'-'"]),
        ("Observation", "_content", Kind.NOT_SUPPORTED, ["'_content'"]),
        ("Observation", "_filter", Kind.NOT_SUPPORTED, ["'_filter'"]),
        ("Observation", "date,", Kind.NOT_SUPPORTED, ["''"]),
        ("Observation", "--date", Kind.NOT_SUPPORTED, ["'-date'"]),
        ("Location", "near", Kind.NOT_SUPPORTED, ["'near'"]),
        ("", "name", Kind.NOT_SUPPORTED, ["_id and _lastUpdated"]),
        ("Account Task", "status", Kind.NOT_SUPPORTED, ["_id and _lastUpdated"]),
        ("Observation", "date,-date", Kind.VALUE, ["date twice"]),
        ("Observation", "value-quantity,value-quantity", Kind.VALUE, ["value-quantity twice"]),
    ],
)
def test_an_order_that_cannot_be_is_refused_with_one_that_can(types, value, kind, words):
    check_refused(types, ("_sort", value), kind, *words)


def test_an_order_said_in_several_parts_names_nothing_twice_and_has_a_bound():
    assert refused("Observation", ("_sort", "date"), ("_sort", "-date"))[0][0] is Kind.VALUE
    assert refused("Observation", ("_sort:desc", "date"))[0][1].endswith("_sort=-date.")
    rules = [
        code
        for code, one in ASKING.parameters.of("Observation").items()
        if one.type == "token" and one.base == "Observation"
    ]
    assert parsed("Observation", ("_sort", ",".join(rules[:SORT_RULES_MAX])))
    assert refused("Observation", ("_sort", ",".join(rules[: SORT_RULES_MAX + 1])))[0][0] is Kind.TOO_COSTLY


# ---- _include, _revinclude (R4 §3.1.1.5.4) ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "include"),
    [
        ("_include", "Observation:subject", Include("Observation", "subject")),
        ("_include", "Observation:subject:Patient", Include("Observation", "subject", "Patient")),
        ("_include", "Observation:*", Include("Observation", "*")),
        ("_include", "Observation:*:Patient", Include("Observation", "*", "Patient")),
        ("_include", "*", Include("*", "*")),
        ("_include:iterate", "Patient:link", Include("Patient", "link", iterate=True)),
        ("_include", "Patient:organization", Include("Patient", "organization")),
        ("_revinclude", "Provenance:target", Include("Provenance", "target", reverse=True)),
        ("_revinclude", "ChargeItem:account:Account", Include("ChargeItem", "account", "Account", reverse=True)),
        ("_revinclude:iterate", "Task:*", Include("Task", "*", iterate=True, reverse=True)),
        ("_revinclude", "*", Include("*", "*", reverse=True)),
    ],
)
def test_an_include_names_a_join(name, value, include):
    search = parsed("Observation", (name, value))
    assert (search.includes, search.applied) == ((include,), ((name, value),))


@pytest.mark.parametrize(
    ("name", "value", "kind", "words"),
    [
        ("_include:recurse", "Observation:subject", Kind.NOT_SUPPORTED, ["':recurse'", "':iterate'"]),
        ("_include:iterat", "Observation:subject", Kind.NOT_SUPPORTED, ["':iterat'", "':iterate'"]),
        ("_include", "Observation:subject,Observation:encounter", Kind.VALUE, ["once for each"]),
        ("_include", "Observation", Kind.VALUE, ["[type]:[reference parameter]"]),
        ("_include", "Observation:", Kind.VALUE, ["[type]:[reference parameter]"]),
        ("_include", ":subject", Kind.VALUE, ["[type]:[reference parameter]"]),
        ("_include", "*:subject", Kind.NOT_SUPPORTED, ["'*'"]),
        ("_include", "Observation:subject:Patient:x", Kind.VALUE, ["[target type]"]),
        ("_include", "Observed:subject", Kind.NOT_SUPPORTED, ["'Observed'", "Did you mean Observation"]),
        ("_include", "Observation:sbject", Kind.NOT_SUPPORTED, ["'sbject'", "Did you mean subject"]),
        ("_include", "Observation:code", Kind.NOT_SUPPORTED, ["'code' is a token parameter"]),
        ("_include", "Observation:subject:Account", Kind.NOT_SUPPORTED, ["Account", "Patient"]),
        ("_include", "Observation:subject:Pateint", Kind.NOT_SUPPORTED, ["'Pateint'", "Did you mean Patient"]),
    ],
)
def test_an_include_that_leads_nowhere_is_refused(name, value, kind, words):
    check_refused("Observation", (name, value), kind, *words)


def test_includes_have_a_bound():
    many = [("_include", "Observation:subject")] * INCLUDES_MAX
    assert len(parsed("Observation", *many).includes) == INCLUDES_MAX
    assert refused("Observation", *many, ("_revinclude", "*"))[0][0] is Kind.TOO_COSTLY
