"""A record says what it was sealed with, and of ten thousand of them none is changed, moved or taken away without that being found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phb_fhir.security.audit import (
    QUERY_MAX,
    START,
    Block,
    Break,
    Head,
    Record,
    Who,
    block_after,
    bounded_query,
    check,
    instant,
    seal_of,
)

MOMENT = datetime(2026, 11, 22, 9, 0, 0, tzinfo=UTC)
RECORDS = 10_000
SIZES = (1, 2, 3, 16, 64, 150, 200)  # of blocks, in turn

words = st.text(max_size=40)
records = st.builds(
    Record,
    at=st.integers(0, 10**9).map(lambda seconds: instant(MOMENT + timedelta(seconds=seconds))),
    request_id=words,
    method=st.sampled_from(["GET", "POST"]),
    interaction=words,
    path=words,
    status=st.integers(0, 599),
    who=st.builds(Who, *[words] * len(Who._fields)),
    query=words,
    address=words,
    purpose=words,
    why=words,
    what=st.lists(st.lists(words, min_size=1, max_size=3).map(tuple), max_size=3).map(tuple),
    more=st.integers(0, 9),
    words=st.integers(0, 9),
)


def record(number: int) -> Record:
    at = instant(MOMENT + timedelta(milliseconds=number))
    who = Who("https://issuer.example", f"subject-{number % 7}", role="care-coordinator")
    what = ((f"Account/{number}/_history/1", f"patient-{number % 13}"),)
    return Record(at, f"request-{number}", "GET", "read", f"Account/{number}", 200, who, what=what)


@cache
def trail() -> tuple[Block, ...]:
    blocks: list[Block] = []
    head, number = START, 1
    while number <= RECORDS:
        size = min(SIZES[len(blocks) % len(SIZES)], RECORDS + 1 - number)
        texts = [record(each).text() for each in range(number, number + size)]
        blocks.append(block_after(head, texts, MOMENT + timedelta(milliseconds=number + size - 1)))
        head, number = blocks[-1].head, number + size
    return tuple(blocks)


def first_break(blocks: Iterable[Block]) -> Break | Head:
    """Where the trail breaks first, or else where it ends."""
    head = START
    for block in blocks:
        if (broken := check(head, block)) is not None:
            return broken
        head = block.head
    return head


def place_of(number: int) -> tuple[int, int]:
    """The block of a record, and where it lies in that."""
    index = next(index for index, block in enumerate(trail()) if block.first <= number <= block.last)
    return index, number - trail()[index].first


def with_block(index: int, *blocks: Block) -> list[Block]:
    return [*trail()[:index], *blocks, *trail()[index + 1 :]]


def with_records(block: Block, texts: Sequence[str], seals: bytes | None = None) -> Block:
    return block._replace(records=tuple(texts), seals=block.seals if seals is None else seals)


# ---- one record ------------------------------------------------------------------------------------------------------


@given(records)
def test_a_record_is_read_as_it_was_said_and_said_as_it_was_read(said: Record) -> None:
    assert Record.read(said.text()) == said
    assert Record.read(said.text()).text() == said.text()


@pytest.mark.parametrize("text", ["", "[]", "null", '{"at": 1, "who": []}', '{"more_or_less": 1}', "{"])
def test_a_text_that_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no audit record"):
        Record.read(text)


def test_the_patients_of_a_record_are_told_once_each() -> None:
    rows = (("Account/1/_history/1", "a"), ("ChargeItem/2/_history/1", "b", "a"), ("Organization/3/_history/1",))
    assert record(1)._replace(what=rows).patients == ["a", "b"]


def test_a_query_that_fits_is_kept_whole_and_a_longer_one_can_still_be_told_from_others() -> None:
    fitting, long, other = "a" * QUERY_MAX, "a" * (QUERY_MAX + 1), "a" * (QUERY_MAX + 1) + "b"
    assert bounded_query(fitting) == fitting
    assert len(bounded_query(long)) < QUERY_MAX + 100
    assert bounded_query(long) != bounded_query(other)


# ---- the chain -------------------------------------------------------------------------------------------------------


def test_ten_thousand_records_are_whole_and_numbered_without_a_gap() -> None:
    assert first_break(trail()) == trail()[-1].head
    numbers = [number for block in trail() for number in range(block.first, block.last + 1)]
    assert numbers == list(range(1, RECORDS + 1))


def test_the_seal_of_a_record_stands_for_all_before_it() -> None:
    seal = START.seal
    for block in trail():
        for index, text in enumerate(block.records):
            seal = seal_of(seal, block.first + index, text)
            assert block.seal_of(index) == seal
    assert trail()[-1].seal == seal


some_record = st.integers(1, RECORDS)


@settings(max_examples=60)
@given(some_record, st.data())
def test_a_record_that_was_changed_is_found_and_named(number: int, data: st.DataObject) -> None:
    index, place = place_of(number)
    block = trail()[index]
    text = block.records[place]
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda character: character != text[at]))
    texts = [*block.records[:place], text[:at] + other + text[at + 1 :], *block.records[place + 1 :]]
    found = first_break(with_block(index, with_records(block, texts)))
    assert isinstance(found, Break)
    assert (found.block, found.number) == (index + 1, number)


@settings(max_examples=40)
@given(some_record, st.booleans(), st.booleans())
def test_a_record_that_was_taken_away_is_found_and_named(number: int, with_seal: bool, with_end: bool) -> None:
    index, place = place_of(number)
    block = trail()[index]
    texts = [*block.records[:place], *block.records[place + 1 :]]
    seals = block.seals[: 32 * place] + block.seals[32 * (place + 1) :] if with_seal else block.seals
    made = with_records(block, texts, seals)
    if with_end:  # somebody took care that the block agrees with itself
        at = MOMENT + timedelta(milliseconds=block.last - (number == block.last))
        made = made._replace(seal=seals[-32:], at=at, last=block.last - 1)
    found = first_break(with_block(index, made))
    if number == RECORDS and with_seal and with_end and texts:  # the very end: what is left is whole, and shorter
        assert isinstance(found, Head)
        assert found.number == RECORDS - 1
        return
    assert isinstance(found, Break)
    assert found.number == number


@settings(max_examples=40)
@given(some_record, some_record)
def test_two_records_that_changed_places_are_found_and_the_first_is_named(one: int, other: int) -> None:
    first, second = sorted((one, other))
    if first == second:
        return
    blocks = list(trail())
    (index, place), (later, there) = place_of(first), place_of(second)
    texts = {each: list(blocks[each].records) for each in {index, later}}
    texts[index][place], texts[later][there] = texts[later][there], texts[index][place]
    for each, made in texts.items():
        blocks[each] = with_records(blocks[each], made)
    found = first_break(blocks)
    assert isinstance(found, Break)
    assert found.number == first


@settings(max_examples=30)
@given(some_record)
def test_a_record_that_was_put_in_is_found(number: int) -> None:
    index, place = place_of(number)
    block = trail()[index]
    texts = [*block.records[:place], record(0).text(), *block.records[place:]]
    found = first_break(with_block(index, with_records(block, texts)))
    assert isinstance(found, Break)
    assert found.number == number


@settings(max_examples=30)
@given(st.integers(0, len(trail()) - 2))
def test_a_block_that_was_taken_away_is_found_and_its_first_record_named(index: int) -> None:
    found = first_break(with_block(index))
    assert isinstance(found, Break)
    assert (found.block, found.number) == (index + 1, trail()[index].first)


@settings(max_examples=30)
@given(st.integers(0, len(trail()) - 2))
def test_a_block_that_was_taken_away_with_the_others_renumbered_is_found(index: int) -> None:
    gone = trail()[index]
    later = [
        block._replace(number=block.number - 1, first=block.first - len(gone.records)) for block in trail()[index + 1 :]
    ]
    found = first_break([*trail()[:index], *later])
    assert isinstance(found, Break)
    assert found.number == gone.first


def test_a_block_that_says_another_end_is_found_at_the_first_record_that_is_unlike_it() -> None:
    block = trail()[40]
    too_far, too_soon = block._replace(last=block.last + 5), block._replace(last=block.last - 5)
    assert [getattr(first_break(with_block(40, made)), "number", None) for made in (too_far, too_soon)] == [
        block.last + 1,
        block.last - 4,
    ]


CHANGES: dict[str, Callable[[Block], Block]] = {
    "first": lambda block: block._replace(first=block.first + 1),
    "last": lambda block: block._replace(last=block.last + 1),
    "before": lambda block: block._replace(before=bytes(32)),
    "seal": lambda block: block._replace(seal=bytes(32)),
    "seals": lambda block: block._replace(seals=block.seals[:-32]),
    "records": lambda block: block._replace(records=()),
    "at": lambda block: block._replace(at=block.at + timedelta(seconds=1)),
    "all of it": lambda block: block._replace(records=(), seals=b"", seal=block.before),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_block_that_says_something_else_of_itself_is_found(change: Callable[[Block], Block]) -> None:
    found = first_break(with_block(40, change(trail()[40])))
    assert isinstance(found, Break)
    assert found.block == 41


@settings(max_examples=20)
@given(some_record)
def test_a_record_that_was_changed_and_sealed_anew_breaks_the_next_block(number: int) -> None:
    """Whoever changes one must make everything after it anew: which only a head that was kept elsewhere shows."""
    index, place = place_of(number)
    block = trail()[index]
    texts = [*block.records[:place], record(number)._replace(path="Account/0").text(), *block.records[place + 1 :]]
    before = START if index == 0 else trail()[index - 1].head
    found = first_break(with_block(index, block_after(before, texts, block.at)))
    if index == len(trail()) - 1:
        assert found != trail()[-1].head
    else:
        assert isinstance(found, Break)
        assert found.block == index + 2
