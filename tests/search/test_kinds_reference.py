"""Reference parameters (R4 §3.1.1.4.12): addresses, bare ids, versions, canonicals and identifiers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.outcome import Kind
from phb_fhir.query import Key
from tests.search.one_parameter import asked, finds, indexed, keys, made_up, r4, refused

SUBJECT = made_up("reference", "subject", target=("Patient", "Group"))
ANY = made_up("reference", "focus", target=("Resource",))
QUESTIONNAIRE = r4("QuestionnaireResponse", "questionnaire")
OWN = "http://this.server/fhir"
OTHER = "http://other.org/fhir"
UUID = "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7"


def to(address, **more):
    return ("Reference", {"reference": address, **more})


# ---- what is kept ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("Patient/1", ["subject=Patient/1"]),
        ("Patient/1/_history/2", ["subject=Patient/1", "subject=Patient/1/_history/2"]),
        (f"{OWN}/Patient/1", ["subject=Patient/1"]),
        (f"{OWN}/Patient/1/_history/2", ["subject=Patient/1", "subject=Patient/1/_history/2"]),
        (f"{OTHER}/Patient/1", [f"subject={OTHER}/Patient/1"]),
        (f"{OTHER}/Patient/1/_history/2", [f"subject={OTHER}/Patient/1", f"subject={OTHER}/Patient/1/_history/2"]),
        (UUID, [f"subject={UUID}"]),
        ("http://a.org/x?y|z", ["subject=http://a.org/x?y\\|z"]),
        ("#a", ["subject:#"]),
        ("", ["subject:"]),
    ],
)
def test_a_reference_is_kept_by_its_address(address, kept):
    assert keys(SUBJECT, to(address)) == kept


@pytest.mark.parametrize(
    ("identifier", "kept"),
    [
        ({"system": "urn:s", "value": "1"}, ["subject:identifier=*1", "subject:identifier=urn:s|1"]),
        ({"value": "1"}, ["subject:identifier=*1", "subject:identifier=|1"]),
        ({"use": "old"}, ["subject:"]),
        ("1", ["subject:"]),
    ],
)
def test_the_identifier_of_a_reference_is_kept_as_a_token(identifier, kept):
    assert keys(SUBJECT, ("Reference", {"identifier": identifier})) == kept


def test_a_reference_that_only_has_a_display_is_there_all_the_same():
    assert keys(SUBJECT, ("Reference", {"display": "Jill"})) == ["subject:"]
    assert keys(SUBJECT) == []


@pytest.mark.parametrize(
    ("canonical", "kept"),
    [
        ("http://a.org/q", ["http://a.org/q"]),
        ("http://a.org/q|1.0", ["http://a.org/q", "http://a.org/q|1.0"]),
        ("http://a.org/q#x", ["http://a.org/q#x", "http://a.org/q"]),
        (f"{OWN}/Questionnaire/1", [f"{OWN}/Questionnaire/1", "Questionnaire/1"]),
    ],
)
def test_a_canonical_is_kept_with_its_version_and_without(canonical, kept):
    assert keys(QUESTIONNAIRE, ("canonical", canonical)) == [f"questionnaire={one}" for one in kept]


def test_a_resource_in_a_document_is_kept_as_if_it_were_referred_to_and_can_be_looked_into():
    assert keys(ANY, ("Composition", {"resourceType": "Composition", "id": "1"})) == ["focus=Composition/1", "focus:#"]
    assert keys(ANY, ("Composition", {"resourceType": "Composition"})) == ["focus:#"]


# ---- what a value finds ----------------------------------------------------------------------------------------------

BASES = ("", f"{OWN}/", f"{OTHER}/")
TYPES = ("Patient", "Group", "Device")
ADDRESSES = st.builds(
    lambda base, type_, id_, version: f"{base}{type_}/{id_}{version}",
    st.sampled_from(BASES),
    st.sampled_from(TYPES),
    st.sampled_from(("1", "2")),
    st.sampled_from(("", "/_history/1", "/_history/2")),
)


def meant(address):
    """Whose resource an address means ("": ours), of which type and id, and in which version ("": whichever)."""
    address = address.removeprefix(f"{OWN}/")
    where, _, version = address.partition("/_history/")
    *base, type_, id_ = where.split("/")
    return "/".join(base), type_, id_, version


@given(st.lists(ADDRESSES, max_size=3), st.sampled_from(("1", "2")))
def test_an_id_is_found_for_every_type_the_parameter_may_point_to(addresses, id_):
    """[parameter]=[id]: the logical id of a resource, using a local reference."""
    there = any(
        (base, its) == ("", id_) and type_ in ("Patient", "Group") for base, type_, its, _ in map(meant, addresses)
    )
    assert finds(SUBJECT, id_, *map(to, addresses)) is there


@given(st.lists(ADDRESSES, max_size=3), ADDRESSES)
def test_an_address_is_found_however_it_was_written(addresses, wanted):
    """[parameter]=[type]/[id] or [url]: a local or an absolute reference; one without a version means any."""
    base, type_, id_, version = meant(wanted)
    there = any(one[:3] == (base, type_, id_) and version in ("", one[3]) for one in map(meant, addresses))
    if not base and type_ == "Device":
        assert refused(SUBJECT, wanted)[0] is Kind.INVALID
    else:
        assert finds(SUBJECT, wanted, *map(to, addresses)) is there


@given(st.lists(ADDRESSES, max_size=3), st.sampled_from(("Patient", "Group")), st.sampled_from(("1", "2")))
def test_a_type_as_modifier_finds_references_to_that_type(addresses, type_, id_):
    """subject:Patient=23 is the same as subject=Patient/23."""
    found = finds(SUBJECT, id_, *map(to, addresses), modifier=type_)
    assert found is any(one[:3] == ("", type_, id_) for one in map(meant, addresses))
    assert found is finds(SUBJECT, f"{type_}/{id_}", *map(to, addresses))
    assert found is finds(SUBJECT, f"{type_}/{id_}", *map(to, addresses), modifier=type_)


def test_a_bare_id_is_one_question_of_all_the_types():
    assert asked(SUBJECT, "1") == Key(("subject=Patient/1", "subject=Group/1"))
    assert asked(SUBJECT, "1", "Group") == Key(("subject=Group/1",))
    assert len(asked(ANY, "1").keys) > 140


def test_what_is_contained_is_not_found():
    assert not finds(SUBJECT, "a", to("#a"))


def test_a_uuid_is_found_as_it_is():
    assert finds(SUBJECT, UUID, to(UUID))
    assert not finds(SUBJECT, UUID, to(UUID[:-1] + "8"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("urn:s|1", True),
        ("1", True),
        ("urn:s|", True),
        ("|1", False),
        ("urn:t|1", False),
        ("2", False),
    ],
)
def test_identifier_finds_the_identifier_of_a_reference(text, found):
    logical = ("Reference", {"identifier": {"system": "urn:s", "value": "1"}})
    assert finds(SUBJECT, text, logical, modifier="identifier") is found
    assert not finds(SUBJECT, "1", logical)


def test_identifier_does_not_find_a_literal_reference():
    assert not finds(SUBJECT, "1", to("Patient/1"), modifier="identifier")


@given(
    st.sampled_from(("http://a.org/q", "http://a.org/r", UUID)),
    st.sampled_from(("", "1", "1.0")),
    st.sampled_from(("http://a.org/q", UUID)),
    st.sampled_from(("", "1", "1.0")),
)
def test_a_canonical_is_found_without_its_version_and_with_it(url, version, wanted, wanted_version):
    """Servers SHOULD support searching by canonical URLs, and a |[version] portion of them."""
    there = url == wanted and wanted_version in ("", version)
    canonical, text = (f"{one}|{v}" if v else one for one, v in ((url, version), (wanted, wanted_version)))
    assert finds(QUESTIONNAIRE, text, ("canonical", canonical)) is there


def test_a_canonical_on_this_server_is_found_by_its_url_and_by_its_id():
    here = ("canonical", f"{OWN}/Questionnaire/1|2.0")
    for text in ("1", "Questionnaire/1", f"{OWN}/Questionnaire/1", f"{OWN}/Questionnaire/1|2.0", "Questionnaire/1|2.0"):
        assert finds(QUESTIONNAIRE, text, here), text
    assert not finds(QUESTIONNAIRE, f"{OWN}/Questionnaire/1|2.1", here)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("http://a.org/q", {"", "1", "1.2", "1.2.3", "10", "2.0"}),
        ("http://a.org/q|1", {"1", "1.2", "1.2.3"}),
        ("http://a.org/q|1.2", {"1.2", "1.2.3"}),
        ("http://a.org/q|3", set()),
        ("http://a.org", set()),
    ],
)
def test_below_finds_a_canonical_in_the_versions_under_the_one_asked_for(text, found):
    there = {
        version
        for version in ("", "1", "1.2", "1.2.3", "10", "2.0")
        if finds(QUESTIONNAIRE, text, ("canonical", f"http://a.org/q|{version}"), modifier="below")
    }
    assert there == found


@pytest.mark.parametrize("text", ["1", "Questionnaire/1", "a b|1"])
def test_below_is_asked_of_a_url(text):
    assert refused(QUESTIONNAIRE, text, "below") == (
        Kind.INVALID,
        f"questionnaire:below={text} is no canonical: write [url] or [url]|[version].",
    )


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "|", "a|", "|1", "http://a|1|2"])
def test_a_value_that_says_nothing_or_too_much_is_refused(text):
    kind, sentence = refused(SUBJECT, text)
    assert kind is Kind.INVALID
    assert sentence.startswith(f"subject={text} is no reference: write [id], [type]/[id], a URL, or of a canonical")


@pytest.mark.parametrize(
    "text", ["a b", "x_y", "é", "patient/1", "Patient/", "Patient/a_b", "/1", "#a", "1/2", "x" * 65]
)
def test_what_is_neither_an_id_nor_an_address_is_refused(text):
    assert refused(SUBJECT, text) == (
        Kind.INVALID,
        f"subject={text} is no reference: write [id], [type]/[id], or a URL.",
    )


@pytest.mark.parametrize("text", ["Device/1", f"{OWN}/Device/1", "Nothing/1", "Device/1/_history/2"])
def test_a_type_that_is_no_target_is_refused(text):
    kind, sentence = refused(SUBJECT, text)
    assert kind is Kind.INVALID
    assert sentence.endswith(f": subject points to Patient, Group, not to {'Nothing' if 'N' in text else 'Device'}.")


@pytest.mark.parametrize("text", ["Group/1", f"{OWN}/Group/1"])
def test_a_type_other_than_the_modifier_s_is_refused(text):
    kind, sentence = refused(SUBJECT, text, "Patient")
    assert kind is Kind.INVALID
    assert sentence == "subject:Patient=Group/1: that is no Patient."


@pytest.mark.parametrize("text", [f"{OTHER}/Group/1", UUID, "http://a.org/b"])
def test_an_address_of_something_else_than_the_modifier_s_type_is_refused(text):
    kind, sentence = refused(SUBJECT, text, "Patient")
    assert kind is Kind.INVALID
    assert sentence == f"subject:Patient={text}: that is no address of a Patient; write [id] or Patient/[id]."
    assert finds(SUBJECT, f"{OTHER}/Patient/1", to(f"{OTHER}/Patient/1"), modifier="Patient")


@pytest.mark.parametrize("text", ["1|2", "a b|1"])
def test_only_a_canonical_has_a_version_behind_a_bar(text):
    assert refused(SUBJECT, text)[1].endswith(": only a canonical, which is a URL or a URN, has a |version.")


@pytest.mark.parametrize("modifier", ["Device", "Nothing", "exact", "patient"])
def test_a_modifier_that_is_no_target_is_refused(modifier):
    kind, sentence = refused(SUBJECT, "1", modifier)
    assert kind is Kind.NOT_SUPPORTED
    assert f"':{modifier}' is neither a modifier of a reference nor a type that it may point to" in sentence


def test_of_many_targets_a_sentence_names_a_few():
    sentence = refused(ANY, "Nothing/1")[1]
    assert "focus points to Account, ActivityDefinition, " in sentence
    assert "other types, not to Nothing." in sentence
    assert len(sentence) < 300


def test_a_value_longer_than_any_that_is_kept_is_refused_and_one_as_long_is_not():
    url = "http://a.org/" + "x" * 987
    assert refused(SUBJECT, f"{url}x")[0] is Kind.TOO_LONG
    assert finds(SUBJECT, url, to(url))
    assert not finds(SUBJECT, url, to(f"{url}xx"))


def test_the_identifier_of_a_reference_is_refused_like_any_token():
    assert refused(SUBJECT, "a|b|c", "identifier")[1].startswith("subject:identifier=a|b|c has more than one '|'")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("aP/#|:", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("reference", "identifier", "type", "value", "resourceType", "id")), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from(("Reference", "canonical", "uri", "Composition")), ANYTHING)
def test_an_element_of_any_shape_gives_entries_of_its_parameter(type_, element):
    made = indexed(SUBJECT, (type_, element))
    assert made.keys
    assert all(key.startswith(("subject=", "subject:")) for key in made.keys)
