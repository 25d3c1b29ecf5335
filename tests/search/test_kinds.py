"""The kinds of search parameter that are built: dates against an instant, tokens, uris (R4 §3.1.1.4.7, §3.1.1.4.10, §3.1.1.4.14)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.definitions.load import load
from phb_fhir.outcome import Kind, Rejected
from phb_fhir.query import Token, Updated, Uri
from phb_fhir.search.index import token_entries
from phb_fhir.search.kinds import date, token, uri
from tests.builders import person

R4 = load()


def at(*parts):
    return datetime(*parts, tzinfo=UTC)


# ---- dates -----------------------------------------------------------------------------------------------------------

START, END = at(2026, 3, 1), at(2026, 4, 1)


@pytest.mark.parametrize(
    ("prefix", "asked"),
    [
        ("", Updated(START, END)),
        ("eq", Updated(START, END)),
        ("ne", Updated(START, END, inside=False)),
        ("gt", Updated(END, None)),
        ("sa", Updated(END, None)),
        ("ge", Updated(START, None)),
        ("lt", Updated(None, START)),
        ("eb", Updated(None, START)),
        ("le", Updated(None, END)),
    ],
)
def test_a_prefix_says_which_side_of_the_period(prefix, asked):
    assert date.parse_updated("_lastUpdated", f"{prefix}2026-03") == asked


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026", at(2026, 1, 1), at(2027, 1, 1)),
        ("2026-12", at(2026, 12, 1), at(2027, 1, 1)),
        ("2024-02-29", at(2024, 2, 29), at(2024, 3, 1)),
        ("2026-03-01T10:30", at(2026, 3, 1, 10, 30), at(2026, 3, 1, 10, 31)),
        ("2026-03-01T10:30:05Z", at(2026, 3, 1, 10, 30, 5), at(2026, 3, 1, 10, 30, 6)),
        ("2026-03-01T10:30:05+01:00", at(2026, 3, 1, 9, 30, 5), at(2026, 3, 1, 9, 30, 6)),
        ("2026-03-01T10:30:05 01:00", at(2026, 3, 1, 9, 30, 5), at(2026, 3, 1, 9, 30, 6)),
        ("2026-03-01T22:30:05-05:00", at(2026, 3, 2, 3, 30, 5), at(2026, 3, 2, 3, 30, 6)),
        ("2026-03-01T10:30:05.250Z", at(2026, 3, 1, 10, 30, 5, 250_000), at(2026, 3, 1, 10, 30, 5, 251_000)),
        ("2026-03-01T10:30:05.2Z", at(2026, 3, 1, 10, 30, 5, 200_000), at(2026, 3, 1, 10, 30, 5, 300_000)),
    ],
)
def test_a_date_is_a_period_as_wide_as_its_precision(text, start, end):
    assert date.parse_updated("_lastUpdated", text) == Updated(start, end)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ap2026",
        "xx2026",
        "eq",
        "2026-00",
        "2026-02-30",
        "26-01-01",
        "2026-1-1",
        "2026-01-01T25:00",
        "2026-01-01Z",
        "٢٠٢٦",
        "10000",
        "9999",
    ],
)
def test_a_date_that_is_none_is_refused(text):
    with pytest.raises(Rejected) as caught:
        date.parse_updated("_lastUpdated", text)
    assert [issue.kind for issue in caught.value.issues] == [Kind.INVALID]


@given(
    st.datetimes(at(1, 2, 1).replace(tzinfo=None), at(9998, 12, 1).replace(tzinfo=None)), st.sampled_from(date.PREFIXES)
)
def test_every_instant_is_on_one_side_or_inside(moment, prefix):
    """eq, lt and gt part time in three; the others are put together from them."""
    stamp = f"{moment:%Y-%m-%dT%H:%M:%S}Z".rjust(20, "0")
    asked = {one: date.parse_updated("_lastUpdated", one + stamp) for one in date.PREFIXES}
    for instant in (moment + timedelta(seconds=step / 2) for step in range(-3, 4)):
        there = {one: holds(node, instant.replace(tzinfo=UTC)) for one, node in asked.items()}
        assert there["eq"] + there["lt"] + there["gt"] == 1
        assert there["ne"] is not there["eq"]
        assert there["ge"] is (there["eq"] or there["gt"])
        assert there["le"] is (there["eq"] or there["lt"])
        assert (there["sa"], there["eb"]) == (there["gt"], there["lt"])


def holds(node, instant):
    return ((node.low is None or instant >= node.low) and (node.high is None or instant < node.high)) is node.inside


# ---- tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "|", "a|b|c", "||", "a||b"])
def test_a_token_that_says_nothing_or_too_much_is_refused(text):
    with pytest.raises(Rejected) as caught:
        token.parse("identifier", text)
    assert [issue.kind for issue in caught.value.issues] == [Kind.INVALID]


def test_an_identifier_is_entered_with_its_system_and_without():
    entries = token_entries(person("9000000009"), R4)
    assert entries == ["identifier=https://fhir.nhs.uk/Id/nhs-number|9000000009", "identifier=*9000000009"]


@pytest.mark.parametrize(
    ("resource", "entries"),
    [
        ({"resourceType": "Patient"}, []),
        ({"resourceType": "Patient", "identifier": [{"value": "5"}]}, ["identifier=|5", "identifier=*5"]),
        ({"resourceType": "Patient", "identifier": [{"system": "urn:s"}]}, []),
        (
            {"resourceType": "Patient", "identifier": [{"system": "a", "value": "5"}, {"system": "b", "value": "5"}]},
            ["identifier=a|5", "identifier=*5", "identifier=b|5"],
        ),
        # one that does not repeat
        ({"resourceType": "Bundle", "type": "batch", "identifier": {"value": "5"}}, ["identifier=|5", "identifier=*5"]),
        # two elements under one parameter
        (
            {"resourceType": "DocumentReference", "masterIdentifier": {"value": "1"}, "identifier": [{"value": "2"}]},
            ["identifier=|1", "identifier=*1", "identifier=|2", "identifier=*2"],
        ),
        # one with no such parameter
        ({"resourceType": "Binary", "contentType": "x", "identifier": [{"value": "5"}]}, []),
        (
            {"resourceType": "Patient", "identifier": [{"system": "a|b*\\", "value": "5"}]},
            [r"identifier=a\|b\*\\|5", "identifier=*5"],
        ),
    ],
)
def test_entries_are_what_a_search_will_look_for(resource, entries):
    assert token_entries(resource, R4) == entries


systems = st.text("ab|*\\é\U0001f33b", max_size=4)
codes = st.text("ab|*\\é\U0001f33b", min_size=1, max_size=4)


@given(systems, codes, st.one_of(st.none(), systems), st.one_of(st.none(), codes))
def test_an_entry_is_found_exactly_when_system_and_code_agree(system, code, wanted_system, wanted_code):
    if not wanted_system and wanted_code is None:
        return  # says nothing, and is refused
    low, high = token.entry_wanted(Token("identifier", wanted_system, wanted_code))
    entries = list(token.entries("identifier", {"system": system, "value": code} if system else {"value": code}))
    found = low in entries if high is None else any(low <= entry < high for entry in entries)
    assert found is (wanted_system in (None, system) and wanted_code in (None, code))


# ---- uris ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "|", "a|", "|1", "a|1|2", "a||1"])
def test_a_uri_that_says_nothing_or_too_much_is_refused(text):
    with pytest.raises(Rejected) as caught:
        uri.parse("url", text)
    assert [issue.kind for issue in caught.value.issues] == [Kind.INVALID]


@pytest.mark.parametrize(
    ("resource", "entries"),
    [
        ({"resourceType": "ValueSet", "url": "urn:a", "version": "1"}, ["url=urn:a", "url=urn:a|1"]),
        ({"resourceType": "ValueSet", "url": "urn:a"}, ["url=urn:a"]),
        ({"resourceType": "ValueSet", "version": "1"}, []),
        # it has a parameter of this name that means another element
        ({"resourceType": "Subscription", "url": "urn:a"}, []),
        ({"resourceType": "Patient", "url": "urn:a"}, []),
    ],
)
def test_a_definition_is_entered_under_its_url_and_under_its_url_with_its_version(resource, entries):
    assert token_entries(resource, R4) == entries


uris = st.text("ab|\\é", min_size=1, max_size=4)


@given(uris, st.one_of(st.none(), uris), uris, st.one_of(st.none(), uris))
def test_a_definition_is_found_exactly_when_its_url_and_the_version_asked_for_agree(
    url, version, wanted, wanted_version
):
    found = uri.entry_wanted(Uri("url", wanted, wanted_version)) in list(uri.entries("url", url, version))
    assert found is (url == wanted and wanted_version in (None, version))


@given(uris, st.one_of(st.none(), uris))
def test_what_is_escaped_is_asked_for_as_it_stands(url, version):
    written = "|".join(part.replace("\\", "\\\\").replace("|", "\\|") for part in (url, version) if part is not None)
    assert uri.parse("url", written) == Uri("url", url, version)
