"""String parameters (R4 §3.1.1.4.8): how texts are folded, what is kept of an element, and what a value finds."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from phb_fhir.outcome import Kind
from phb_fhir.query import Key, KeyPart, KeyRange
from phb_fhir.search.kinds.string import FOLDED_MAX, fold
from tests.search.one_parameter import asked, finds, indexed, keys, made_up, r4, refused, written

STRING = made_up("string")
NAME = r4("Patient", "name")
FAMILY = r4("Patient", "family")
ADDRESS = r4("Patient", "address")

# ---- folding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("", ""),
        ("Smith", "smith"),
        ("O'Brien", "obrien"),
        ("Smith-Jones", "smithjones"),
        ("  two \t\n words ", "two words"),
        ("Müller", "muller"),
        ("Mu\u0308ller", "muller"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("ﬁne", "fine"),
        ("İstanbul", "istanbul"),
        ("Ελλάς", "ελλασ"),
        ("ＦＵＬＬ", "full"),
        ("a\u00a0b", "a b"),
        ("a\x00b", "a b"),
        ("soft\u00adhyphen", "softhyphen"),
        ("¡Hola!", "hola"),
        ("£5 + 2", "£5 + 2"),
        ("--", ""),
        ("राम", "राम"),
        ("Łukasz", "lukasz"),
        ("ØRJAN", "orjan"),
        ("Ǿ", "o"),
        ("Æthel Œuvre", "aethel oeuvre"),
        ("Đorđe Ðóra Þór", "dorde dora thor"),
        ("Işık", "isik"),
    ],
)
def test_a_text_is_folded_by_case_accents_punctuation_and_gaps(text, folded):
    assert fold(text) == folded


@given(st.text())
def test_what_is_folded_stays_as_it_is(text):
    assert fold(fold(text)) == fold(text)


@given(st.text(st.characters(codec="ascii")))
def test_plain_letters_fold_by_the_same_rules_as_all_others(text):
    assert fold(text + "é") == fold(text + "e")


@given(st.text(st.characters(categories=("L",))))
def test_a_text_and_its_upper_case_decomposed_fold_alike(text):
    other = unicodedata.normalize("NFD", text)
    assert fold(other) == fold(text)
    assume(text.upper().lower() == text.lower())  # a few letters have no way back
    assert fold(text.upper()) == fold(text)


# ---- what is kept ----------------------------------------------------------------------------------------------------

JILL = {
    "use": "official",
    "text": "Dr Jill O'Brien",
    "family": "O'Brien",
    "given": ["Jill", "Ann"],
    "prefix": ["Dr"],
    "suffix": ["OBE"],
}


def test_every_text_of_a_name_is_kept():
    found = keys(NAME, ("HumanName", JILL))
    assert [key for key in found if key.startswith("name=")] == [
        "name=obrien",
        "name=jill",
        "name=ann",
        "name=dr",
        "name=obe",
        "name=dr jill obrien",
    ]
    exact = [key.partition("exact=")[2] for key in found if key.startswith("name:exact=")]
    assert exact == ["O'Brien", "Jill", "Ann", "Dr", "OBE", "Dr Jill O'Brien"]
    assert len(found) == 12


def test_every_text_of_an_address_is_kept_and_its_use_is_not():
    address = {
        "use": "home",
        "type": "both",
        "text": "t",
        "line": ["l1", "l2"],
        "city": "c",
        "district": "d",
        "state": "s",
        "postalCode": "P1 1PP",
        "country": "GB",
    }
    found = [key for key in keys(ADDRESS, ("Address", address)) if key.startswith("address=")]
    assert found == [f"address={one}" for one in ("t", "l1", "l2", "c", "d", "s", "p1 1pp", "gb")]


@pytest.mark.parametrize("type_", ["string", "markdown", "code", "uri"])
def test_a_plain_text_is_kept_whatever_its_type(type_):
    assert keys(STRING, (type_, "A b")) == ["p=a b", "p:exact=A b"]


def test_a_text_of_punctuation_can_be_found_as_it_is_written():
    assert keys(STRING, ("string", "--")) == ["p:exact=--"]


@pytest.mark.parametrize(
    "value", [("HumanName", {"use": "old"}), ("HumanName", {"family": 3, "given": [None, {}]}), ("string", ""), ("Period", {})]
)  # fmt: skip
def test_an_element_without_a_text_is_there_all_the_same(value):
    assert keys(NAME, value) == ["name:"]


def test_the_first_and_the_last_text_are_kept_to_sort_by():
    several = indexed(STRING, ("string", "bb"), ("string", "Aa"), ("string", "Éc"))
    assert several.lo == {"p": "aa", "p~max": "ec"}
    assert indexed(STRING, ("string", "Bb"), is_list=False).lo == {"p": "bb"}
    assert indexed(STRING, ("string", "x" * 500), is_list=False).lo == {"p": "x" * 64}
    assert indexed(STRING, ("string", "--"), is_list=False).lo == {}


def test_a_family_name_is_kept_with_each_of_its_words_and_sorted_by_the_first():
    two = ("HumanName", {"family": "Carreño Quiñones", "given": ["Ana Maria"]})
    assert [key for key in keys(NAME, two) if key.startswith("name=")] == [
        "name=carreno quinones",
        "name=carreno",
        "name=quinones",
        "name=ana maria",
    ]
    alone = indexed(FAMILY, ("string", "Zu Aa"), is_list=False)
    assert [key for key in alone.keys if key.startswith("family=")] == ["family=zu aa", "family=zu", "family=aa"]
    assert alone.lo == {"family": "zu aa"}


def test_a_family_name_with_dashes_is_kept_with_each_of_its_sides():
    found = keys(FAMILY, ("string", "de Smith-Jones"))
    assert [key for key in found if key.startswith("family=")] == [
        "family=de smithjones",
        "family=de smith jones",
        "family=de",
        "family=smithjones",
        "family=smith jones",
        "family=smith",
        "family=jones",
    ]
    assert [key for key in keys(FAMILY, ("string", "Day\u2010Lewis")) if key == "family=lewis"] == ["family=lewis"]


# ---- what a value finds ----------------------------------------------------------------------------------------------

TEXTS = st.text("aAbBéÉe\u0301ß-' ,|\\\ud7ff\U0010ffff", max_size=6)


def normal(text):
    """R4's "normalized by case and accent", without punctuation and with gaps of one blank; written another way than ours."""
    letters = [
        one
        for one in unicodedata.normalize("NFD", text.upper().replace("ẞ", "SS"))
        if not unicodedata.combining(one) and not unicodedata.category(one).startswith("P")
    ]
    return " ".join("".join(letters).split())


@given(st.lists(TEXTS, max_size=3), TEXTS)
def test_a_text_is_found_by_what_it_equals_or_begins_with(texts, wanted):
    """By default, a field matches if its value equals or starts with the supplied value, after both have been normalized."""
    assume(normal(wanted))
    there = any(normal(text).startswith(normal(wanted)) for text in texts)
    assert finds(STRING, written(wanted), *(("string", text) for text in texts)) is there


@given(st.lists(TEXTS, max_size=3), TEXTS)
def test_contains_finds_a_text_anywhere(texts, wanted):
    """:contains returns results that include the supplied parameter value anywhere within the field being searched."""
    assume(normal(wanted))
    there = any(normal(wanted) in normal(text) for text in texts)
    assert finds(STRING, written(wanted), *(("string", text) for text in texts), modifier="contains") is there


@given(st.lists(TEXTS, max_size=3), TEXTS.filter(bool))
def test_exact_finds_the_whole_text_with_its_case_and_accents(texts, wanted):
    """:exact returns results that match the entire supplied parameter, including casing and accents."""
    assert finds(STRING, written(wanted), *(("string", text) for text in texts), modifier="exact") is (wanted in texts)


@given(
    st.fixed_dictionaries({}, optional={"family": TEXTS, "text": TEXTS, "given": st.lists(TEXTS, max_size=2)}), TEXTS
)
def test_a_name_is_found_by_any_of_its_texts_and_by_the_words_of_the_family(name, wanted):
    """Servers SHOULD search the parts of a family name independently."""
    assume(normal(wanted))
    family = name.get("family", "")
    words = [family, *family.split()]
    spaced = [word.replace("-", " ") for word in words]
    texts = [*words, *spaced, *spaced[0].split(), name.get("text", ""), *name.get("given", [])]
    there = any(normal(text).startswith(normal(wanted)) for text in texts)
    assert finds(NAME, written(wanted), ("HumanName", name)) is there


def test_each_modifier_asks_the_index_in_its_own_way():
    assert asked(STRING, "É") == KeyRange("p=e", "p=f")
    assert asked(STRING, "É", "exact") == Key(("p:exact=É",))
    assert asked(STRING, "É", "contains") == KeyPart("p=", "e")


# ---- bounds and refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("modifier", ["", "exact", "contains"])
def test_a_value_longer_than_the_most_is_refused_and_one_as_long_is_not(modifier):
    long = "x" * 257
    kind, sentence = refused(STRING, long, modifier)
    assert kind is Kind.TOO_LONG
    assert sentence.endswith("has 257 characters; a search takes at most 256 of them.")
    assert finds(STRING, long[1:], ("string", long[1:]), modifier=modifier)


def test_a_value_that_is_longer_once_it_is_folded_is_refused():
    assert refused(STRING, "ﷺ" * 20)[0] is Kind.TOO_LONG
    assert finds(STRING, "ﷺ", ("string", "ﷺ"))


def test_the_beginning_of_a_longer_text_is_not_all_of_it():
    long = ("string", "x" * 300)
    assert not finds(STRING, "x" * 256, long, modifier="exact")
    assert finds(STRING, "x" * 256, long)


def test_of_a_very_long_text_the_beginning_is_kept():
    text = ("markdown", "a" * FOLDED_MAX + "b" * FOLDED_MAX)
    assert finds(STRING, "a" * 200, text, modifier="contains")
    assert not finds(STRING, "ab", text, modifier="contains")
    assert all(len(key) <= FOLDED_MAX + 20 for key in keys(STRING, text))


@pytest.mark.parametrize("modifier", ["", "exact", "contains"])
def test_no_value_is_refused(modifier):
    name = f"p:{modifier}" if modifier else "p"
    assert refused(STRING, "", modifier) == (Kind.INVALID, f"{name} needs a value.")


@pytest.mark.parametrize("modifier", ["", "contains"])
def test_a_value_of_which_folding_leaves_nothing_is_refused(modifier):
    kind, sentence = refused(STRING, "- '", modifier)
    assert kind is Kind.INVALID
    assert "nothing is left of this to look for; p:exact looks for it as it is written." in sentence


def test_a_value_of_punctuation_is_found_by_exact():
    assert finds(STRING, "- '", ("string", "- '"), modifier="exact")


def test_a_modifier_that_strings_do_not_have_is_refused():
    assert refused(STRING, "a", "below") == (
        Kind.NOT_SUPPORTED,
        "p:below: p is a string parameter, and those take :missing, :exact, :contains.",
    )


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("family", "given", "line", "text")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.sampled_from(("HumanName", "Address", "string", "markdown", "decimal")), ANYTHING)
def test_an_element_of_any_shape_gives_entries_of_its_parameter(type_, element):
    made = indexed(STRING, (type_, element))
    assert made.keys
    assert all(key.startswith(("p=", "p:")) for key in made.keys)
