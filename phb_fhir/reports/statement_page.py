"""A statement as a page to read and to print: plain HTML with nothing loaded from anywhere, and everything that people wrote escaped.

It is made for whoever is tired or sees badly: one column of short tables with captions and headed rows, read aloud in their order, dark
text of a readable size, links to nothing. On paper each table's head stands on every page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from html import escape

from phb_fhir.fhir.money import sterling
from phb_fhir.reports.moments import day_of, in_words
from phb_fhir.reports.purchases import Trail
from phb_fhir.reports.statement import Line, Statement, Tally
from phb_fhir.reports.statement_words import KINDS, STATUSES, approved, called, part_called
from phb_fhir.rules.budget import first_day

STYLE = """
body { font: 1.1rem/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { font-size: 1.3rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
caption { text-align: left; font-weight: 600; padding: .4rem 0; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem .4rem 0; border-bottom: 1px solid #767676; }
.money { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.small { display: block; font-size: .9rem; color: #3d3d3d; }
@media print { body { font-size: 10pt; max-width: none; margin: 0; } thead { display: table-header-group; } tr { break-inside: avoid; }
  h2, caption { break-after: avoid; } @page { margin: 15mm; } }
"""


def as_page(found: Statement) -> bytes:
    """The whole page, UTF-8."""
    name = str(found.account.get("name") or "Personal health budget")
    title = f"Statement: {name}"
    body = [f"<h1>{escape(title)}</h1>", f"<p>{_about(found)}</p>", *_summary(found), *_movements(found)]
    body += [*_waiting(found.waiting), *_trails(found.purchases)]
    return (
        '<!DOCTYPE html>\n<html lang="en-GB">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    ).encode()


def _about(found: Statement) -> str:
    start = f"From {in_words(day_of(found.start))} to" if found.start else "From its beginning to"
    said = [f"{start} {in_words(day_of(found.end))}."]
    if found.person.name:
        said.append(f"The budget is for {escape(found.person.name)}.")
    if found.owner.name:
        said.append(f"The money comes from {escape(found.owner.name)}.")
    return " ".join(said)


def _summary(found: Statement) -> Iterator[str]:
    yield from _table("The money in short", ("", "Amount"), _sums(found.tally))
    if found.contingency is not None:
        yield from _table("Money set aside for emergencies", ("", "Amount"), _sums(found.contingency))


def _sums(tally: Tally) -> list[tuple[str, ...]]:
    rows = (
        ("Left at the beginning", tally.opening.available),
        ("Came in", tally.credits),
        ("Went out", -tally.debits),
        ("Set aside for what was agreed", -tally.commitments),
        ("Left at the end", tally.closing.available),
    )
    return [(_text(words), _money(pence)) for words, pence in rows]


def _movements(found: Statement) -> Iterator[str]:
    yield "<h2>Every movement</h2>"
    if not found.lines:
        yield "<p>No money moved in this time.</p>"
        return
    heads = ("Date", "What", "Change", "Left")
    yield from _table("In the order they were recorded", heads, [_movement(line) for line in found.lines])


def _movement(line: Line) -> tuple[str, ...]:
    trail = line.trail
    what = _text(called(line)) + _small(_details(line))
    if trail is not None:
        what += _small(_of_purchase(trail))
    return (_day(day_of(line.entry.at)), what, _money(line.change), _money(line.left))


def _details(line: Line) -> str:
    said = [KINDS[line.entry.kind][0]] if line.trail is not None else []
    if not line.change:
        said.append(sterling(line.entry.pence))
    if line.entry.pot:
        said.append(f"part: {part_called(line.entry.pot)}")
    day = first_day(line.entry.day)
    if day is not None and day != day_of(line.entry.at):
        said.append(f"for {in_words(day)}")
    if line.entry.reason:
        said.append(line.entry.reason)
    return " · ".join(said)


def _of_purchase(trail: Trail) -> str:
    said = []
    if trail.activity.key:
        said.append(f"plan: {trail.activity.name or trail.activity.key}")
    if trail.goals:
        said.append("goal: " + "; ".join(goal.name or goal.key for goal in trail.goals))
    if trail.evidence:
        said.append("evidence: " + "; ".join(one.name or one.key for one in trail.evidence))
    elif trail.no_evidence:
        said.append(f"no evidence: {trail.no_evidence}")
    return " · ".join(said)


def _waiting(waiting: Sequence[Trail]) -> Iterator[str]:
    if waiting:
        yield "<h2>Waiting for a decision</h2>"
        rows = [(_text(one.item), _money(one.pence)) for one in waiting]
        yield from _table("Nothing is set aside for these yet", ("What", "Price"), rows)


def _trails(trails: Sequence[Trail]) -> Iterator[str]:
    """Each purchase, with who did what to it."""
    if not trails:
        return
    yield "<h2>Purchases, and who did what</h2>"
    for trail in trails:
        rows = [
            (
                _day(day_of(step.at)),
                _text(STATUSES.get(step.status, step.status)),
                _money(step.pence),
                _text(step.by.who.name or step.by.who.key) + _small(step.by.role) if step.by else "",
            )
            for step in trail.steps
        ]
        yield from _table(f"{trail.item}{_when(trail)}", ("Date", "It was", "Price", "By"), rows)
        said = [f"Entered by {who}" for who in [trail.entered_by.name or trail.entered_by.key] if who]
        said += [f"Approved: {who}" for who in [approved(trail)] if who]
        said += [f"{sterling(one.pence)} paid on {_on(one.day)}" for one in trail.payments]
        if said:
            yield f"<p>{escape('. '.join(said))}.</p>"


def _when(trail: Trail) -> str:
    return f", {_on(trail.day)}" if trail.day else ""


def _on(text: str) -> str:
    day = first_day(text)
    return in_words(day) if day is not None else text


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table whose first column heads its rows; amounts stand to the right. Cells are HTML, heads and caption are text."""
    yield f"<table>\n<caption>{escape(caption)}</caption>"
    named = "".join(
        f'<th scope="col"{_MONEY if head in _AMOUNTS else ""}>{escape(head)}</th>' if head else "<td></td>"
        for head in heads
    )
    yield f"<thead><tr>{named}</tr></thead>\n<tbody>"
    for first, *others in rows:
        cells = "".join(
            f"<td{_MONEY if head in _AMOUNTS else ''}>{cell}</td>" for head, cell in zip(heads[1:], others, strict=True)
        )
        yield f'<tr><th scope="row">{first}</th>{cells}</tr>'
    yield "</tbody>\n</table>"


_AMOUNTS = ("Amount", "Change", "Left", "Price")
_MONEY = ' class="money"'


def _text(text: str) -> str:
    return escape(text)


def _small(text: str) -> str:
    return f'<span class="small">{escape(text)}</span>' if text else ""


def _money(pence: int) -> str:
    return escape(sterling(pence))


def _day(day: date) -> str:
    return f'<time datetime="{day.isoformat()}">{escape(in_words(day))}</time>'
