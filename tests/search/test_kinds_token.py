"""Token parameters (R4 §3.1.1.4.10): what is kept of an element, what a value asks, and the page's own sentences between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.outcome import Kind
from phb_fhir.query import NOTHING, Key, Not
from phb_fhir.search.kinds.token import CODES_MAX
from tests.search.one_parameter import asked, finds, indexed, keys, made_up, r4, refused, written

TOKEN = made_up("token")
IDENTIFIER = r4("Patient", "identifier")
CODE = r4("Observation", "code")
GENDER = r4("Patient", "gender")
MIME = r4("DocumentReference", "contenttype")
TELECOM = r4("Patient", "telecom")

# ---- what is kept ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "element", "kept"),
    [
        ("Coding", {"system": "urn:s", "code": "1"}, ["p=*1", "p=urn:s|1"]),
        ("Coding", {"code": "1"}, ["p=*1", "p=|1"]),
        ("Coding", {"system": "urn:s"}, ["p=urn:s|"]),
        ("Coding", {"code": "1", "display": "A  Thing."}, ["p=*1", "p=|1", "p:text=a thing"]),
        (
            "CodeableConcept",
            {"coding": [{"system": "a", "code": "1"}, {"system": "b", "code": "1"}], "text": "One"},
            ["p=*1", "p=a|1", "p=b|1", "p:text=one"],
        ),
        ("CodeableConcept", {"text": "Größe"}, ["p:text=grosse"]),
        ("Identifier", {"system": "urn:s", "value": "1"}, ["p=*1", "p=urn:s|1"]),
        ("Identifier", {"value": "1"}, ["p=*1", "p=|1"]),
        (
            "Identifier",
            {"value": "1", "type": {"text": "Hospital No", "coding": [{"system": "urn:t", "code": "MR"}]}},
            ["p=*1", "p=|1", "p:text=hospital no", "p:of-type=urn:t|MR|1"],
        ),
        ("Identifier", {"value": "1", "type": {"coding": [{"code": "MR"}]}}, ["p=*1", "p=|1"]),
        ("ContactPoint", {"system": "email", "value": "Jill@Example.org"}, ["p=*jill@example.org", "p=email|jill@example.org"]),
        ("boolean", False, ["p=*false", "p=|false"]),
        ("code", "final", ["p=*final", "p=|final"]),
        ("id", "a-1", ["p=*a-1", "p=|a-1"]),
        ("string", "As it is", ["p=*As it is", "p=|As it is"]),
        ("uri", "urn:a|b", ["p=*urn:a|b", "p=|urn:a|b"]),
        ("positiveInt", 3, ["p=*3", "p=|3"]),
        ("Coding", {"system": "a|b*\\", "code": "|*"}, ["p=*|*", r"p=a\|b\*\\||*"]),
    ],
)  # fmt: skip
def test_an_element_is_kept_in_every_form_it_is_asked_for(type_, element, kept):
    assert keys(TOKEN, (type_, element)) == kept


@pytest.mark.parametrize(
    ("type_", "element"), [("Coding", {"userSelected": True}), ("CodeableConcept", {}), ("Identifier", {"use": "old"}), ("Period", {})]
)  # fmt: skip
def test_an_element_that_says_nothing_is_there_all_the_same(type_, element):
    assert keys(TOKEN, (type_, element)) == ["p:"]


def test_no_element_leaves_no_entry():
    assert keys(TOKEN) == []


def test_an_entry_stands_once():
    assert keys(TOKEN, ("code", "a"), ("code", "a")) == ["p=*a", "p=|a"]


# ---- the forms of a value --------------------------------------------------------------------------------------------

SYSTEMS = st.text("ab|*\\,$é\U0010ffff\ud7ff", max_size=3)
CODES = st.text("ab|*\\,$é\U0010ffff", min_size=1, max_size=3)
CODING = st.fixed_dictionaries({}, optional={"system": SYSTEMS, "code": CODES})
IDENTIFIERS = st.fixed_dictionaries(
    {},
    optional={
        "system": SYSTEMS,
        "value": CODES,
        "type": st.fixed_dictionaries({"coding": st.lists(CODING, max_size=2)}),
    },
)
ELEMENTS = st.one_of(
    st.tuples(st.just("Coding"), CODING),
    st.tuples(st.just("CodeableConcept"), st.fixed_dictionaries({"coding": st.lists(CODING, max_size=2)})),
    st.tuples(st.just("Identifier"), IDENTIFIERS),
    st.tuples(st.just("ContactPoint"), st.fixed_dictionaries({}, optional={"system": st.just("phone"), "value": CODES})),
    st.tuples(st.just("boolean"), st.booleans()),
    st.tuples(st.sampled_from(("code", "id", "string", "uri")), CODES),
)  # fmt: skip


def tokens_of(type_, element):
    """The system ("": none) and code ("": none) of everything that a token search looks at in an element."""
    if type_ == "CodeableConcept":
        return [(one.get("system", ""), one.get("code", "")) for one in element["coding"]]
    if type_ == "Coding":
        return [(element.get("system", ""), element.get("code", ""))]
    if isinstance(element, dict):
        return [(element.get("system", ""), element.get("value", ""))]
    return [("", str(element).lower() if type_ == "boolean" else element)]


@given(st.lists(ELEMENTS, max_size=3), CODES)
def test_a_code_alone_is_found_whatever_its_system(elements, code):
    """[parameter]=[code]: the value of [code] matches a Coding.code or Identifier.value irrespective of the system."""
    there = any(code == its for element in elements for _, its in tokens_of(*element))
    assert finds(TOKEN, written(code), *elements) is there


@given(st.lists(ELEMENTS, max_size=3), SYSTEMS.filter(bool), CODES)
def test_a_code_with_its_system_is_found_where_both_agree(elements, system, code):
    """[parameter]=[system]|[code]: the value of [code] matches, and [system] matches the system property."""
    there = any((system, code) == one for element in elements for one in tokens_of(*element))
    assert finds(TOKEN, written(system, code), *elements) is there


@given(st.lists(ELEMENTS, max_size=3), CODES)
def test_a_code_of_no_system_is_found_where_no_system_is_stated(elements, code):
    """[parameter]=|[code]: the value of [code] matches, and the Coding or Identifier has no system property."""
    there = any(("", code) == one for element in elements for one in tokens_of(*element))
    assert finds(TOKEN, written("", code), *elements) is there


@given(st.lists(ELEMENTS, max_size=3), SYSTEMS.filter(bool))
def test_a_system_alone_is_found_with_every_code(elements, system):
    """[parameter]=[system]|: any element where the value of [system] matches the system property."""
    there = any(system == its for element in elements for its, _ in tokens_of(*element))
    assert finds(TOKEN, written(system, ""), *elements) is there


@given(ELEMENTS, st.one_of(CODES.map(written), st.tuples(SYSTEMS, CODES).map(lambda both: written(*both))))
def test_a_generated_element_is_found_by_what_it_says_and_not_otherwise_by_not(element, text):
    """:not reverses the code matching described in the paragraph above."""
    assert finds(TOKEN, text, element, modifier="not") is not finds(TOKEN, text, element)


@given(ELEMENTS)
def test_what_an_element_says_finds_it(element):
    for system, code in tokens_of(*element):
        if system and code:
            assert finds(TOKEN, written(system, code), element)
        if code:
            assert finds(TOKEN, written(code), element)


@pytest.mark.parametrize("text", ["a|b|c", "||", "a||b", "a|b|"])
def test_more_than_one_bar_is_refused(text):
    kind, sentence = refused(TOKEN, text)
    assert kind is Kind.INVALID
    assert sentence == f"p={text} has more than one '|'; write [system]|[code], and a '|' inside either as '\\|'"


@pytest.mark.parametrize("text", ["", "|"])
def test_a_value_that_says_nothing_is_refused(text):
    assert refused(TOKEN, text) == (Kind.INVALID, "p needs a value: [code], [system]|[code], |[code] or [system]|")


@pytest.mark.parametrize("text", ["{}", "{}|a", "a|{}"])
def test_a_value_longer_than_any_that_is_kept_is_refused_and_one_as_long_is_not(text):
    assert refused(TOKEN, text.format("x" * 1001))[0] is Kind.TOO_LONG
    assert isinstance(asked(TOKEN, text.format("x" * 1000)), Key)


def test_a_very_long_code_is_not_found_by_its_beginning():
    long = ("code", "x" * 5000)
    assert not finds(TOKEN, "x" * 1000, long)
    assert all(len(key) < 1100 for key in keys(TOKEN, long))
    assert finds(TOKEN, "x" * 1000, ("code", "x" * 1000))


def test_codes_are_compared_as_they_are_written():
    assert finds(TOKEN, "Final", ("code", "Final"))
    assert not finds(TOKEN, "final", ("code", "Final"))


def test_a_mail_address_is_found_in_any_case():
    jill = ("ContactPoint", {"system": "email", "value": "Jill@Example.org"})
    assert finds(TELECOM, "JILL@example.ORG", jill)
    assert finds(TELECOM, "email|jill@example.org", jill)
    assert not finds(TELECOM, "phone|jill@example.org", jill)


def test_a_boolean_is_found_with_the_system_that_r4_gives_it():
    assert finds(r4("Patient", "active"), "http://hl7.org/fhir/special-values|true", ("boolean", True))
    assert not finds(r4("Patient", "active"), "http://hl7.org/fhir/special-values|false", ("boolean", True))


def test_a_mime_type_is_found_with_the_system_of_them_all():
    assert finds(MIME, "urn:ietf:bcp:13|text/xml", ("code", "text/xml"))
    assert not finds(MIME, "urn:ietf:bcp:47|text/xml", ("code", "text/xml"))


# ---- :text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "element",
    [
        ("CodeableConcept", {"text": "Body Weight"}),
        ("CodeableConcept", {"coding": [{"code": "1"}, {"display": "body  weight, measured"}]}),
        ("Coding", {"display": "Bödy-weight"}),
        ("Identifier", {"type": {"text": "Body weight"}}),
    ],
)
def test_text_finds_what_begins_with_it_in_the_texts_of_a_code(element):
    found = finds(TOKEN, "BODY W", element, modifier="text")
    assert found is (element[1].get("display") != "Bödy-weight")
    assert finds(TOKEN, "body", element, modifier="text")
    assert not finds(TOKEN, "weight", element, modifier="text")


def test_text_does_not_look_at_codes():
    assert not finds(TOKEN, "body", ("Coding", {"code": "body"}), modifier="text")
    assert not finds(TOKEN, "body", ("Coding", {"display": "body"}))


def test_of_a_long_text_as_much_is_kept_as_can_be_asked_for():
    long = ("CodeableConcept", {"text": "x" * 5000})
    assert keys(TOKEN, long) == [f"p:text={'x' * 256}"]
    assert finds(TOKEN, "x" * 256, long, modifier="text")
    assert refused(TOKEN, "x" * 257, "text")[0] is Kind.TOO_LONG


@pytest.mark.parametrize("text", ["", "-", " . "])
def test_a_text_of_nothing_is_refused(text):
    assert refused(TOKEN, text, "text") == (
        Kind.INVALID,
        "p:text needs a text to look for, with a letter or a digit in it.",
    )


def test_a_text_is_asked_for_with_commas_and_bars_in_it():
    assert finds(TOKEN, r"a\, b\|c", ("Coding", {"display": "A, b|c"}), modifier="text")


# ---- :not ------------------------------------------------------------------------------------------------------------


def test_not_finds_resources_without_a_value_too():
    assert finds(GENDER, "male", modifier="not")
    assert finds(GENDER, "male", ("code", "female"), modifier="not")
    assert not finds(GENDER, "male", ("code", "female"), ("code", "male"), modifier="not")


def test_not_is_the_converse_of_the_same_value():
    assert asked(TOKEN, "urn:s|1", "not") == Not(asked(TOKEN, "urn:s|1"))


# ---- :in, :not-in, :above, :below -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("element", "inside"),
    [
        (("Coding", {"system": "urn:zoo", "code": "dog"}), True),
        (("Coding", {"system": "urn:zoo", "code": "horse"}), False),
        (("Coding", {"system": "urn:farm", "code": "dog"}), False),
        (("Coding", {"code": "dog"}), False),
        (("Coding", {"code": "fish"}), True),
        (("CodeableConcept", {"coding": [{"system": "urn:x", "code": "y"}, {"system": "urn:zoo", "code": "cat"}]}), True),
        (("CodeableConcept", {"text": "dog"}), False),
    ],
)  # fmt: skip
def test_a_code_is_in_a_value_set_by_system_and_code(element, inside):
    assert finds(CODE, "http://acme.org/vs", element, modifier="in") is inside
    assert finds(CODE, "http://acme.org/vs", element, modifier="not-in") is not inside


def test_nothing_is_in_an_empty_value_set():
    assert asked(CODE, "ValueSet/none", "in") == NOTHING
    assert finds(CODE, "ValueSet/none", modifier="not-in")


def test_a_value_set_that_is_not_known_is_refused():
    assert refused(CODE, "http://acme.org/other", "in")[0] is Kind.NOT_FOUND
    assert refused(CODE, "http://acme.org/other", "not-in")[0] is Kind.NOT_FOUND
    assert refused(CODE, "", "in") == (Kind.INVALID, "code:in needs the url of a value set, or ValueSet/[id].")


@pytest.mark.parametrize(
    ("modifier", "found"),
    [("below", {"dog", "poodle"}), ("above", {"dog", "animal"})],
)
def test_a_code_finds_what_is_below_and_above_it(modifier, found):
    there = {
        code
        for code in ("animal", "dog", "poodle", "cat")
        if finds(CODE, "urn:zoo|dog", ("Coding", {"system": "urn:zoo", "code": code}), modifier=modifier)
    }
    assert there == found


@pytest.mark.parametrize("text", ["dog", "|dog", "urn:zoo|"])
@pytest.mark.parametrize("modifier", ["above", "below"])
def test_what_is_above_or_below_needs_a_system_and_a_code(text, modifier):
    kind, sentence = refused(CODE, text, modifier)
    assert kind is Kind.INVALID
    assert sentence.startswith(f"code:{modifier}={text} is not [system]|[code]")


class Zoo:
    """`count` animals, all of them below `animal`."""

    def __init__(self, count):
        self.pairs = [("urn:zoo", f"n{number}") for number in range(count)]

    def members(self, _value_set):
        return self.pairs

    def related(self, _system, _code, _relation):
        return self.pairs


@pytest.mark.parametrize(("modifier", "text"), [("in", "urn:vs"), ("not-in", "urn:vs"), ("below", "urn:zoo|n0")])
def test_more_codes_than_one_value_may_stand_for_are_refused(modifier, text):
    kind, sentence = refused(CODE, text, modifier, Zoo(CODES_MAX + 1))
    assert kind is Kind.TOO_COSTLY
    assert sentence == f"code:{modifier}={text} stands for more than {CODES_MAX} codes."
    node = asked(CODE, text, modifier, Zoo(CODES_MAX))
    assert len((node.part if isinstance(node, Not) else node).keys) == CODES_MAX


def test_of_an_element_that_names_no_system_the_code_counts():
    # content types are of urn:ietf:bcp:13, which no binding lists
    assert finds(MIME, "http://acme.org/vs", ("code", "dog"), modifier="in")
    assert not finds(MIME, "http://acme.org/vs", ("code", "horse"), modifier="in")
    # gender is of one system, so that a code of another is none of its own
    assert not finds(GENDER, "http://acme.org/vs", ("code", "dog"), modifier="in")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("text/x", set()),
        ("text/xml", {"text/xml", "text/xml;charset=utf-8"}),
        ("text", {"text/xml", "text/xml;charset=utf-8", "text/plain"}),
        ("text/", {"text/xml", "text/xml;charset=utf-8", "text/plain"}),
        ("urn:ietf:bcp:13|text/plain", {"text/plain"}),
    ],
)
def test_a_mime_type_finds_what_is_below_it(text, found):
    types = ("text/xml", "text/xml;charset=utf-8", "text/plain", "textual/x", "image/png", "image/text")
    assert {one for one in types if finds(MIME, text, ("code", one), modifier="below")} == found


def test_a_mime_type_finds_what_is_above_it():
    types = ("text/xml", "text/xml;charset=utf-8", "text/xml;charset=ascii", "text/plain", "text")
    found = {one for one in types if finds(MIME, "text/xml;charset=utf-8", ("code", one), modifier="above")}
    assert found == {"text/xml", "text/xml;charset=utf-8", "text"}


@pytest.mark.parametrize("text", ["urn:zoo|text/xml", "urn:ietf:bcp:13|", "/", "/xml", "text//", "a/b/c", "a;b/c"])
def test_what_is_no_mime_type_is_refused(text):
    assert refused(MIME, text, "below")[0] is Kind.INVALID


# ---- :of-type --------------------------------------------------------------------------------------------------------

MR = "http://terminology.hl7.org/CodeSystem/v2-0203"


@given(st.lists(IDENTIFIERS, max_size=3), SYSTEMS.filter(bool), CODES, CODES)
def test_an_identifier_is_found_by_its_type_and_value_together(identifiers, system, code, value):
    """system|code|value match Identifier.type.coding.system and .code, if any of the type codes match, and its value."""
    there = any(
        (coding.get("system"), coding.get("code"), one.get("value")) == (system, code, value)
        for one in identifiers
        for coding in one.get("type", {"coding": []})["coding"]
    )
    elements = [("Identifier", one) for one in identifiers]
    assert finds(IDENTIFIER, written(system, code, value), *elements, modifier="of-type") is there


def test_a_type_of_one_identifier_does_not_meet_the_value_of_another():
    typed = {"type": {"coding": [{"system": MR, "code": "MR"}]}, "value": "1"}
    elements = [("Identifier", typed), ("Identifier", {"value": "2"})]
    assert finds(IDENTIFIER, f"{MR}|MR|1", *elements, modifier="of-type")
    assert not finds(IDENTIFIER, f"{MR}|MR|2", *elements, modifier="of-type")


@pytest.mark.parametrize("text", ["", "1", "MR|1", f"{MR}|MR|", "|MR|1", f"{MR}||1", f"{MR}|MR|1|2"])
def test_all_three_parts_of_a_type_and_value_must_be_there(text):
    kind, sentence = refused(IDENTIFIER, text, "of-type")
    assert kind is Kind.INVALID
    assert sentence.startswith(f"identifier:of-type={text} is not [system]|[code]|[value]")


# ---- modifiers that have no meaning for an element --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "modifier", "what"),
    [
        (CODE, "of-type", "are an Identifier; code is of the type CodeableConcept."),
        (GENDER, "text", "have a text: CodeableConcept, Coding and Identifier; gender is of the type code."),
        (IDENTIFIER, "in", "are a code of a code system; identifier is of the type Identifier."),
        (TELECOM, "below", "are a code of a code system; telecom is of the type ContactPoint."),
        (r4("Patient", "active"), "not-in", "are a code of a code system; active is of the type boolean."),
    ],
)
def test_a_modifier_that_could_find_nothing_is_refused(parameter, modifier, what):
    kind, sentence = refused(parameter, "a|b|c", modifier)
    assert kind is Kind.NOT_SUPPORTED
    assert sentence == f"{parameter.code}:{modifier}: ':{modifier}' is for elements that {what}"


def test_a_modifier_that_tokens_do_not_have_is_refused():
    assert refused(TOKEN, "a", "exact") == (
        Kind.NOT_SUPPORTED,
        "p:exact: p is a token parameter, and those take :missing, :not, :text, :in, :not-in, :above, :below, :of-type.",
    )


# ---- whatever a resource holds ---------------------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("system", "code", "value", "coding", "type", "text", "display")), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(
    st.sampled_from(("Coding", "CodeableConcept", "Identifier", "ContactPoint", "boolean", "code", "Period")), ANYTHING
)
def test_an_element_of_any_shape_gives_entries_of_its_parameter(type_, element):
    made = indexed(TOKEN, (type_, element))
    assert made.keys
    assert all(key.startswith(("p=", "p:")) for key in made.keys)
