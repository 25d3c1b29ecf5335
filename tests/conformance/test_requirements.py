"""The page that says of each requirement how it is done (docs/requirements.md) has a row for each, and what it points to is there.

That its links lead to files and headings that are there is `test_docs`'s, as for every page.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "requirements.md"
COUNT = 202
CRITERIA = 9  # parts of R93
WORDS_MAX = 20
NONE = "–"  # nothing shows what is not there
PARTLY = ("**Not there.**", "**In part.**", "**Recorded only.**")


class Row(NamedTuple):
    """A row of the page: `R93.4`, what is asked, how it is done, what shows it."""

    number: str
    asked: str
    done: str
    shown: str


def rows() -> list[Row]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| R")]
    return [Row(*(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])) for line in lines]


ROWS = rows()
row = pytest.mark.parametrize("row", ROWS, ids=[one.number for one in ROWS])


def test_each_requirement_has_one_row_in_order() -> None:
    whole = [one.number for one in ROWS if "." not in one.number]
    assert whole == [f"R{number}" for number in range(1, COUNT + 1)]
    parts = [one.number for one in ROWS if "." in one.number]
    assert parts == [f"R93.{number}" for number in range(1, CRITERIA + 1)]
    at = [one.number for one in ROWS].index("R93")
    assert [one.number for one in ROWS[at + 1 : at + 1 + CRITERIA]] == parts


@row
def test_a_row_says_what_is_asked_and_how_it_is_done(row: Row) -> None:
    assert row.asked
    assert row.done
    assert len(row.asked.split()) <= WORDS_MAX
    assert row.done.startswith(PARTLY) or not row.done.startswith("**")


@row
def test_what_shows_it_is_one_or_two_tests_that_are_there(row: Row) -> None:
    named = re.findall(r"`(tests/[^`]*)`", row.shown)
    if row.shown == NONE:
        assert row.done.startswith(PARTLY)
        return
    assert ", ".join(f"`{one}`" for one in named) == row.shown
    assert 1 <= len(named) <= 2
    assert [one for one in named if not re.fullmatch(r"tests/[a-z_/]*test_\w+\.py", one)] == []
    assert [one for one in named if not (ROOT / one).is_file()] == []
