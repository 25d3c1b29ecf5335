"""A statement as CSV (RFC 4180), for spreadsheets: a row for each movement, between one for the opening and one for the closing.

A text that a spreadsheet would run as a formula is written with an apostrophe before it: what somebody called a purchase is a name,
and stays one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from phb_fhir.fhir.money import pounds
from phb_fhir.reports.moments import day_of
from phb_fhir.reports.statement import Line, Statement, Tally
from phb_fhir.reports.statement_words import approved, called, group_of, part_called

COLUMNS = (
    "date",
    "kind",
    "entry",
    "description",
    "part",
    "amount",
    "change",
    "left",
    "occurred",
    "purchase",
    "evidence",
    "activity",
    "goals",
    "entered by",
    "approved by",
    "account",
    "funder",
    "cause",
    "reason",
)
# in some languages the wide forms are taken as well
_RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def as_csv(found: Statement) -> bytes:
    """UTF-8 with a mark at its beginning, by which spreadsheets know it."""
    rows: list[Sequence[str]] = [COLUMNS]
    parts: list[tuple[str, Tally, bool]] = [("", found.tally, False)]
    if found.contingency is not None:
        parts.append((part_called("(contingency)"), found.contingency, True))
    for part, tally, is_aside in parts:
        first = day_of(found.start).isoformat() if found.start else ""
        rows.append(_sum_row(first, "opening", part, tally.opening.available))
        rows += [_row(line) for line in found.lines if line.is_contingency is is_aside]
        rows.append(_sum_row(day_of(found.end).isoformat(), "closing", part, tally.closing.available))
    written = io.StringIO(newline="")
    csv.writer(written).writerows(rows)
    return b"\xef\xbb\xbf" + written.getvalue().encode()


def _sum_row(day: str, kind: str, part: str, pence: int) -> list[str]:
    filled = {"date": day, "kind": kind, "part": part, "left": pounds(pence)}
    return [filled.get(column, "") for column in COLUMNS]


def _row(line: Line) -> list[str]:
    entry, trail = line.entry, line.trail
    money = [pounds(entry.pence), pounds(line.change), pounds(line.left)]
    of_purchase: list[str] = [""] * 5
    if trail is not None:
        of_purchase = [
            " ".join(named.key for named in trail.evidence) or trail.no_evidence,
            trail.activity.name or trail.activity.key,
            "; ".join(named.name or named.key for named in trail.goals),
            trail.entered_by.name or trail.entered_by.key,
            approved(trail),
        ]
    before = [day_of(entry.at).isoformat(), group_of(line), entry.kind, called(line), part_called(entry.pot)]
    after = [line.account, entry.funder, entry.cause, entry.reason]
    return [*_texts(before), *money, *_texts([entry.day, line.about.key, *of_purchase, *after])]


def _texts(cells: Iterable[str]) -> list[str]:
    return [f"'{cell}" if cell.startswith(_RUN_BY_SPREADSHEETS) else cell for cell in cells]
