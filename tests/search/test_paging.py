"""Page tokens: sealed by this server for one question and one time, and for nothing else."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.outcome import Refusal, Rejected
from phb_fhir.search.paging import Pager, Place
from tests.running import FIRST_MOMENT as NOW

LIFE_S = 3_600
HERE = Place(["Patient/1"])
POSITIONS = st.none() | st.lists(st.text() | st.integers(-(2**53), 2**53) | st.none(), max_size=4)
PAGER = Pager(b"a key that the workers share", LIFE_S)


def refusal_of(question, token, now=NOW, pager=PAGER):
    with pytest.raises(Rejected) as caught:
        pager.open(question, token, now)
    return caught.value.refusal


@given(st.text(), POSITIONS, st.booleans())
def test_a_token_opens_to_the_place_that_was_sealed(question, position, backwards):
    place = Place(position, backwards)
    token = PAGER.seal(question, place, NOW)
    assert PAGER.open(question, token, NOW) == place
    assert Pager(b"a key that the workers share", 60).open(question, token, NOW) == place


def test_tokens_that_lead_forwards_and_backwards_from_one_place_differ():
    assert PAGER.seal("q", HERE, NOW) != PAGER.seal("q", HERE._replace(backwards=True), NOW)


@given(st.text(), st.text())
def test_a_token_opens_for_its_question_alone(question, other):
    token = PAGER.seal(question, HERE, NOW)
    if other != question:
        assert refusal_of(other, token) is Refusal.BAD_REQUEST


def test_a_token_is_safe_in_an_address():
    token = PAGER.seal("?", Place(["Patient/ü🌻" * 50]), NOW)
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


@pytest.mark.parametrize("seconds", [0, 1, LIFE_S - 1, LIFE_S])
def test_a_token_opens_until_its_life_is_over(seconds):
    assert PAGER.open("q", PAGER.seal("q", HERE, NOW), NOW + timedelta(seconds=seconds)) == HERE


def test_a_token_whose_life_is_over_is_gone():
    token = PAGER.seal("q", HERE, NOW)
    assert refusal_of("q", token, NOW + timedelta(seconds=LIFE_S + 1)) is Refusal.GONE


def test_a_token_of_another_key_is_refused():
    token = Pager(b"another key", LIFE_S).seal("q", HERE, NOW)
    assert refusal_of("q", token) is Refusal.BAD_REQUEST


@given(st.text())
def test_any_text_that_is_no_token_is_refused(text):
    assert refusal_of("q", text) is Refusal.BAD_REQUEST


@given(st.data())
def test_a_token_with_a_letter_changed_is_refused(data):
    token = PAGER.seal("q", HERE, NOW)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCwxyz019-_.=+/ é"))
    changed = token[:place] + letter + token[place + 1 :]
    if changed == token or place in (token.index(".") - 1, len(token) - 1):
        return  # the last letter of a part has bits to spare
    assert refusal_of("q", changed) is Refusal.BAD_REQUEST


@pytest.mark.parametrize("length", [0, 1, 10])
def test_a_token_cut_short_is_refused(length):
    token = PAGER.seal("q", HERE, NOW)
    assert refusal_of("q", token[:length]) is Refusal.BAD_REQUEST
    assert refusal_of("q", token[: -length - 1]) is Refusal.BAD_REQUEST


def test_a_token_tells_nothing_of_the_place_it_leads_to():
    place = Place(["seq", 0, "6b02ed50826e50d53d986a00"])
    token = PAGER.seal("q", place, NOW)
    hidden = base64.urlsafe_b64decode(token.partition(".")[0] + "==")
    assert b"6b02" not in hidden
    assert b"seq" not in hidden
    assert PAGER.open("q", token, NOW) == place


def test_two_places_that_differ_in_one_letter_have_tokens_that_differ_throughout():
    one, other = (PAGER.seal("q", Place(["seq", number]), NOW).partition(".")[0] for number in (1, 2))
    assert sum(a == b for a, b in zip(one, other, strict=True)) < len(one) / 2
