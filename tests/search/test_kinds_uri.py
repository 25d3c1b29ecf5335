"""Uri parameters (R4 §3.1.1.4.9): the whole uri, a canonical with its version, and what is above and below in a path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.outcome import Kind
from phb_fhir.query import Key
from phb_fhir.search.kinds.uri import STEPS_MAX, entry, versioned
from tests.search.one_parameter import asked, finds, indexed, keys, made_up, refused, written

URI = made_up("uri")

# ---- what is kept ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "element", "kept"),
    [
        ("uri", "urn:oid:1.2.3", ["p=urn:oid:1.2.3"]),
        ("url", "http://a/b?c#d", ["p=http://a/b?c#d"]),
        ("uri", "a|b\\", [r"p=a\|b\\"]),
        ("canonical", "http://a/b", ["p=http://a/b"]),
        ("canonical", "http://a/b|1.0", ["p=http://a/b", "p=http://a/b|1.0"]),
        ("canonical", "http://a/b|1|0", ["p=http://a/b", r"p=http://a/b|1\|0"]),
        ("canonical", "http://a/b|1.0#c", ["p=http://a/b#c", "p=http://a/b#c|1.0"]),
        ("canonical", "http://a/b|", ["p=http://a/b"]),
        ("uri", "", ["p:"]),
    ],
)
def test_a_uri_is_kept_whole_and_a_canonical_with_its_version_and_without(type_, element, kept):
    assert keys(URI, (type_, element)) == kept


def test_no_element_leaves_no_entry():
    assert keys(URI) == []


@pytest.mark.parametrize(
    ("canonical", "parts"),
    [("a", ("a", "")), ("a|1", ("a", "1")), ("a|1#b", ("a#b", "1")), ("a#b", ("a#b", "")), ("", ("", ""))],
)
def test_a_canonical_has_a_url_and_perhaps_a_version(canonical, parts):
    assert versioned(canonical) == parts


# ---- what a value finds ----------------------------------------------------------------------------------------------

PIECES = st.text("ab|\\é", min_size=1, max_size=3)


@given(st.lists(PIECES, max_size=3), PIECES)
def test_a_uri_is_found_letter_for_letter(uris, wanted):
    """By default, matches are precise, case, accent, and escape sensitive, and the entire URI must match."""
    assert finds(URI, written(wanted), *(("uri", uri) for uri in uris)) is (wanted in uris)


@given(
    st.text("abé", min_size=1, max_size=2),
    PIECES | st.none(),
    st.text("abé", min_size=1, max_size=2),
    PIECES | st.none(),
)
def test_a_canonical_is_found_when_its_url_and_the_version_asked_for_agree(url, version, wanted, wanted_version):
    canonical = url if version is None else f"{url}|{version}"
    text = written(*(part for part in (wanted, wanted_version) if part is not None))
    assert finds(URI, text, ("canonical", canonical)) is (url == wanted and wanted_version in (None, version))


@given(PIECES, PIECES)
def test_an_entry_is_the_one_that_is_asked_for(url, version):
    assert asked(URI, written(url)) == Key((entry("p", url),))
    assert asked(URI, written(url, version)) == Key((entry("p", url, version),))


STEPS = st.lists(st.sampled_from(("a", "b", "ab", "", "a?b", "é")), max_size=4)
URLS = st.tuples(st.sampled_from(("http://a.org", "https://a.org", "http://a.org:8", "http://b.org")), STEPS).map(
    lambda both: "/".join((both[0], *both[1]))
)


def is_below(uri, wanted):
    """A uri is below another that is the beginning of its path, cut at a slash; and below itself."""
    return uri == wanted or uri.startswith(wanted if wanted.endswith("/") else wanted + "/")


@given(st.lists(URLS, max_size=4), URLS)
def test_below_finds_a_uri_whose_path_begins_with_the_value(uris, wanted):
    there = any(is_below(uri, wanted) for uri in uris)
    assert finds(URI, wanted, *(("uri", uri) for uri in uris), modifier="below") is there


@given(st.lists(URLS, max_size=4), URLS)
def test_above_is_the_converse_of_below(uris, wanted):
    there = any(is_below(wanted, uri) for uri in uris)
    assert finds(URI, wanted, *(("uri", uri) for uri in uris), modifier="above") is there


HERE = "http://acme.org/fhir/ValueSet/123/_history/5"


@pytest.mark.parametrize(
    "uri",
    [HERE, "http://acme.org/fhir/ValueSet/123/_history", "http://acme.org/fhir/ValueSet/123", "http://acme.org/", "http://acme.org"],
)  # fmt: skip
def test_the_example_of_above_and_below_that_r4_gives(uri):
    assert finds(URI, HERE, ("uri", uri), modifier="above")
    assert finds(URI, uri, ("uri", HERE), modifier="below")


@pytest.mark.parametrize(
    "uri", ["http://acme.org/fhir/ValueSet/12", "http://acme.org/fhir/V", "http:", "http:/", "http://"]
)
def test_half_a_step_of_a_path_is_not_above(uri):
    assert not finds(URI, HERE, ("uri", uri), modifier="above")


def test_a_canonical_is_below_the_path_of_its_url_whatever_its_version():
    assert finds(URI, "http://a.org/fhir", ("canonical", "http://a.org/fhir/a|1"), modifier="below")
    assert finds(URI, "http://a.org/fhir", ("canonical", "http://a.org/fhir|1"), modifier="below")
    assert not finds(URI, "http://a.org/fhir", ("canonical", "http://a.org/fhirpath|1"), modifier="below")


@pytest.mark.parametrize("url", ["http://a.org/b", "urn:oid:1.2"])
def test_below_a_version_are_those_it_is_the_beginning_of(url):
    there = {
        version
        for version in ("", "1", "1.2", "10", "2")
        if finds(URI, f"{url}|1", ("canonical", f"{url}|{version}"), modifier="below")
    }
    assert there == {"1", "1.2"}
    assert not finds(URI, f"{url}|1", ("canonical", f"{url}/c|1"), modifier="below")


# ---- bounds and refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "|", "a|", "|1", "a|1|2", "a||1"])
@pytest.mark.parametrize("modifier", ["", "above", "below"])
def test_a_value_that_says_nothing_or_too_much_is_refused(text, modifier):
    name = f"p:{modifier}" if modifier else "p"
    assert refused(URI, text, modifier) == (
        Kind.INVALID,
        f"{name}={text} is not [url] or [url]|[version]; a '|' inside either is written '\\|'",
    )


@pytest.mark.parametrize(
    "text", ["urn:oid:1.2.3", "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", "a/b", "mailto:a@b"]
)
@pytest.mark.parametrize("modifier", ["above", "below"])
def test_what_has_no_path_has_nothing_above_or_below_it(text, modifier):
    kind, sentence = refused(URI, text, modifier)
    assert kind is Kind.INVALID
    assert sentence == (
        f"p:{modifier}={text}: only a URL with a path, such as http://example.org/fhir, has something {modifier} it; "
        "a URN has not."
    )


def test_a_urn_is_found_as_it_is():
    assert finds(URI, "urn:oid:1.2.3", ("uri", "urn:oid:1.2.3"))
    assert not finds(URI, "urn:oid:1.2", ("uri", "urn:oid:1.2.3"))


def test_nothing_is_above_a_version():
    kind, sentence = refused(URI, "http://a.org/b|1", "above")
    assert kind is Kind.INVALID
    assert sentence == "p:above=http://a.org/b|1: nothing is above a version; write it without |1."


def test_a_path_of_too_many_steps_is_refused_and_one_step_less_is_not():
    assert refused(URI, "http://a.org" + "/b" * (STEPS_MAX + 1), "above")[0] is Kind.TOO_COSTLY
    assert len(asked(URI, "http://a.org" + "/b" * STEPS_MAX, "above").keys) == 2 * STEPS_MAX + 1


def test_a_value_longer_than_any_that_is_kept_is_refused_and_one_as_long_is_not():
    assert refused(URI, "x" * 1001)[0] is Kind.TOO_LONG
    assert finds(URI, "x" * 1000, ("uri", "x" * 1000))
    assert not finds(URI, "x" * 1000, ("uri", "x" * 1001))


def test_a_modifier_that_uris_do_not_have_is_refused():
    assert refused(URI, "a", "contains") == (
        Kind.NOT_SUPPORTED,
        "p:contains: p is a uri parameter, and those take :missing, :above, :below.",
    )


ANYTHING = (
    st.none() | st.booleans() | st.integers() | st.text("a|#\\", max_size=5) | st.dictionaries(st.text(), st.text())
)


@given(st.sampled_from(("uri", "canonical", "url")), ANYTHING)
def test_an_element_of_any_shape_gives_entries_of_its_parameter(type_, element):
    made = indexed(URI, (type_, element))
    assert made.keys
    assert all(key.startswith(("p=", "p:")) for key in made.keys)
