"""A statement as a page to read and to print (`reports/page`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from html import escape

from phb_fhir.fhir.money import sterling
from phb_fhir.reports import page
from phb_fhir.reports.moments import day_of
from phb_fhir.reports.page import money, small, table
from phb_fhir.reports.purchases import Trail
from phb_fhir.reports.statement import Line, Statement, Tally
from phb_fhir.reports.statement_words import KINDS, STATUSES, approved, called, part_called
from phb_fhir.rules.budget import first_day, in_words


def as_page(found: Statement) -> bytes:
    """The whole page, UTF-8."""
    name = str(found.account.get("name") or "Personal health budget")
    body = [f"<p>{_about(found)}</p>", *_summary(found), *_movements(found)]
    return page.as_page(f"Statement: {name}", [*body, *_waiting(found.waiting), *_trails(found.purchases)])


def _about(found: Statement) -> str:
    start = f"From {in_words(day_of(found.start))} to" if found.start else "From its beginning to"
    said = [f"{start} {in_words(day_of(found.end))}."]
    if found.person.name:
        said.append(f"The budget is for {escape(found.person.name)}.")
    if found.owner.name:
        said.append(f"The money comes from {escape(found.owner.name)}.")
    return " ".join(said)


def _summary(found: Statement) -> Iterator[str]:
    yield from table("The money in short", ("", "Amount"), _sums(found.tally))
    if found.contingency is not None:
        yield from table("Money set aside for emergencies", ("", "Amount"), _sums(found.contingency))


def _sums(tally: Tally) -> list[tuple[str, ...]]:
    rows = (
        ("Left at the beginning", tally.opening.available),
        ("Came in", tally.credits),
        ("Went out", -tally.debits),
        ("Set aside for what was agreed", -tally.commitments),
        ("Left at the end", tally.closing.available),
    )
    return [(escape(words), money(pence)) for words, pence in rows]


def _movements(found: Statement) -> Iterator[str]:
    yield "<h2>Every movement</h2>"
    if not found.lines:
        yield "<p>No money moved in this time.</p>"
        return
    heads = ("Date", "What", "Change", "Left")
    yield from table("In the order they were recorded", heads, [_movement(line) for line in found.lines])


def _movement(line: Line) -> tuple[str, ...]:
    trail = line.trail
    what = escape(called(line)) + small(_details(line))
    if trail is not None:
        what += small(_of_purchase(trail))
    return (_day(day_of(line.entry.at)), what, money(line.change), money(line.left))


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
        rows = [(escape(one.item), money(one.pence)) for one in waiting]
        yield from table("Nothing is set aside for these yet", ("What", "Price"), rows)


def _trails(trails: Sequence[Trail]) -> Iterator[str]:
    """Each purchase, with who did what to it."""
    if not trails:
        return
    yield "<h2>Purchases, and who did what</h2>"
    for trail in trails:
        rows = [
            (
                _day(day_of(step.at)),
                escape(STATUSES.get(step.status, step.status)),
                money(step.pence),
                escape(step.by.who.name or step.by.who.key) + small(step.by.role) if step.by else "",
            )
            for step in trail.steps
        ]
        yield from table(f"{trail.item}{_when(trail)}", ("Date", "It was", "Price", "By"), rows)
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


def _day(day: date) -> str:
    return f'<time datetime="{day.isoformat()}">{escape(in_words(day))}</time>'
