"""`_text` and `_content`: words in the narrative, or anywhere (R4 §3.1.1.4.20)."""

from __future__ import annotations

import pytest

from phb_fhir.fhir.codec import Exact
from phb_fhir.outcome import Kind
from phb_fhir.query import Judge
from phb_fhir.search.text import WORDS_MAX
from tests.search.parsing import check_refused, conditions

BONE = {
    "resourceType": "Condition",
    "id": "bone",
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Bone <b>Metástases</b> &amp; a f&#246;hn; well-being</div>'},
    "code": {"text": "secondary tumour", "coding": [{"display": "Neoplasm", "userSelected": True}]},
    "note": [{"text": "seen by Dr O'Brien", "time": "2026-01-02"}],
    "onsetRange": {"low": {"value": Exact("12.50")}},
}  # fmt: skip


def judged(name, value, resource=BONE):
    (node,) = conditions("Condition", (name, value))
    assert isinstance(node, Judge)
    assert node.name == f"{name}={value}"
    return node.judge(resource)


@pytest.mark.parametrize(
    "value", ["bone", "BONE", "metastases", "metast", "bone metastases", "föhn", "fohn", "being", "well-being"]
)
def test_text_finds_words_and_their_beginnings_in_the_narrative(value):
    assert judged("_text", value)
    assert judged("_content", value)


@pytest.mark.parametrize("value", ["one", "stases", "bone liver", "xhtml", "div", "amp", "generated", "tumour"])
def test_text_does_not_find_the_middle_of_words_or_what_is_not_narrated(value):
    assert not judged("_text", value)


@pytest.mark.parametrize(
    "value", ["secondary", "neoplasm tumour", "O'Brien", "2026-01-02", "bone tumour", "BONE secondary"]
)
def test_content_finds_words_anywhere_in_the_resource_together_or_apart(value):
    assert judged("_content", value)


@pytest.mark.parametrize("value", ["liver", "xhtml", "Condition", "resourceType", "12", "bone liver"])
def test_content_does_not_find_what_the_resource_does_not_say_in_words(value):
    assert not judged("_content", value)


def test_a_resource_without_a_narrative_has_no_text():
    assert not judged("_text", "bone", {"resourceType": "Condition", "id": "x"})
    assert judged("_content", "bone", {"resourceType": "Condition", "id": "bone"})


def test_alternatives_are_separated_by_commas():
    (node,) = conditions("Condition", ("_text", "liver,bone"))
    assert [part.judge(BONE) for part in node.parts] == [False, True]


@pytest.mark.parametrize(
    "value", ["(bone OR liver) and metastases", "bone AND liver", "NOT bone", '"bone liver"', "(bone)"]
)
def test_operators_are_refused_plainly(value):
    for name in ("_text", "_content"):
        check_refused("Condition", (name, value), Kind.NOT_SUPPORTED, "commas", value)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("_text", "!", Kind.VALUE),
        ("_text:contains", "a", Kind.NOT_SUPPORTED),
        ("_content:missing", "true", Kind.NOT_SUPPORTED),
        ("_content", " ".join(f"w{number}" for number in range(WORDS_MAX + 1)), Kind.TOO_COSTLY),
    ],
)
def test_what_cannot_be_looked_for_is_refused(name, value, kind):
    check_refused("Condition", (name, value), kind, name)
