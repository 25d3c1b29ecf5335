"""Page tokens: sealed by this server for one question and one time, and for nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.outcome import Refusal, Rejected
from phb_fhir.search.paging import Pager
from tests.running import FIRST_MOMENT as NOW

LIFE_S = 3_600
PAGER = Pager(b"a key that the workers share", LIFE_S)


def refusal_of(question, token, now=NOW, pager=PAGER):
    with pytest.raises(Rejected) as caught:
        pager.open(question, token, now)
    return caught.value.refusal


@given(st.text(), st.lists(st.text(), max_size=3))
def test_a_token_opens_to_the_position_that_was_sealed(question, position):
    token = PAGER.seal(question, position, NOW)
    assert PAGER.open(question, token, NOW) == position
    assert Pager(b"a key that the workers share", 60).open(question, token, NOW) == position


@given(st.text(), st.text())
def test_a_token_opens_for_its_question_alone(question, other):
    token = PAGER.seal(question, ["Patient/1"], NOW)
    if other != question:
        assert refusal_of(other, token) is Refusal.BAD_REQUEST


def test_a_token_is_safe_in_an_address():
    token = PAGER.seal("?", ["Patient/ü🌻" * 50], NOW)
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


@pytest.mark.parametrize("seconds", [0, 1, LIFE_S - 1, LIFE_S])
def test_a_token_opens_until_its_life_is_over(seconds):
    assert PAGER.open("q", PAGER.seal("q", ["x"], NOW), NOW + timedelta(seconds=seconds)) == ["x"]


def test_a_token_whose_life_is_over_is_gone():
    token = PAGER.seal("q", ["x"], NOW)
    assert refusal_of("q", token, NOW + timedelta(seconds=LIFE_S + 1)) is Refusal.GONE


def test_a_token_of_another_key_is_refused():
    token = Pager(b"another key", LIFE_S).seal("q", ["x"], NOW)
    assert refusal_of("q", token) is Refusal.BAD_REQUEST


@given(st.text())
def test_any_text_that_is_no_token_is_refused(text):
    assert refusal_of("q", text) is Refusal.BAD_REQUEST


@given(st.data())
def test_a_token_with_a_letter_changed_is_refused(data):
    token = PAGER.seal("q", ["Patient/1"], NOW)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCwxyz019-_.=+/ é"))
    changed = token[:place] + letter + token[place + 1 :]
    if changed == token or place in (token.index(".") - 1, len(token) - 1):
        return  # the last letter of a part has bits to spare
    assert refusal_of("q", changed) is Refusal.BAD_REQUEST


@pytest.mark.parametrize("length", [0, 1, 10])
def test_a_token_cut_short_is_refused(length):
    token = PAGER.seal("q", ["Patient/1"], NOW)
    assert refusal_of("q", token[:length]) is Refusal.BAD_REQUEST
    assert refusal_of("q", token[: -length - 1]) is Refusal.BAD_REQUEST
