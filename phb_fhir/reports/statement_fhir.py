"""A statement as FHIR: Parameters, whose rows are those of the operation's definition."""

from __future__ import annotations

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.fhir.money import money
from phb_fhir.reports.moments import day_of
from phb_fhir.reports.parameters import Row, group, parameters, pence_row, reference_row, row
from phb_fhir.reports.purchases import NOBODY, Agent, Named, Step, Trail
from phb_fhir.reports.statement import Line, Statement, Tally
from phb_fhir.reports.statement_words import group_of
from phb_fhir.rules.ledger import CONTINGENCY


def as_parameters(found: Statement) -> Resource:
    return parameters(
        reference_row("account", f"Account/{found.account['id']}", str(found.account.get("name") or "")),
        row("from", Instant=instant_text(found.start) if found.start else None),
        row("to", Instant=instant_text(found.end)),
        _tally(found.tally),
        group("contingency", _tally(found.contingency)) if found.contingency is not None else [],
        [one for line in found.lines for one in _line(line)],
        [one for trail in found.purchases for one in _purchase(trail)],
    )


def _tally(tally: Tally) -> list[Row]:
    sums = {
        "opening": tally.opening.available,
        "credits": tally.credits,
        "debits": tally.debits,
        "commitments": tally.commitments,
        "closing": tally.closing.available,
    }
    return [one for name, pence in sums.items() for one in pence_row(name, pence)]


def _line(line: Line) -> list[Row]:
    entry, trail = line.entry, line.trail
    return group(
        "line",
        row("date", Date=day_of(entry.at).isoformat()),
        row("kind", Code=group_of(line)),
        row("entry", Code=entry.kind),
        pence_row("amount", entry.pence),
        pence_row("change", line.change),
        pence_row("left", line.left),
        row("occurred", Date=entry.day),
        row("element", Id=entry.pot if entry.pot != CONTINGENCY else ""),
        row("contingency", Boolean=True if line.is_contingency else None),
        reference_row("item", *line.about),
        reference_row("cause", entry.cause),
        reference_row("account", line.account),
        reference_row("funder", entry.funder),
        row("reason", String=entry.reason),
        _of_trail(trail) if trail is not None else [],
    )


def _of_trail(trail: Trail) -> list[Row]:
    """What is said of a purchase, with each of its lines and for itself."""
    return [
        *(one for named in trail.evidence for one in _named("evidence", named)),
        *row("noEvidence", String=trail.no_evidence),
        *reference_row("plan", trail.plan),
        *row("activity", String=trail.activity.key),
        *row("activityTitle", String=trail.activity.name),
        *(one for named in trail.goals for one in _named("goal", named)),
        *_named("enteredBy", trail.entered_by),
        *_agent("approvedBy", trail.approved_by),
        *row("version", String=str(trail.version)),
    ]


def _named(name: str, named: Named) -> list[Row]:
    said = {"reference": named.key, "display": named.name}
    return row(name, Reference={key: text for key, text in said.items() if text} if named != NOBODY else None)


def _agent(name: str, agent: Agent | None) -> list[Row]:
    return _named(name, agent.who) if agent is not None else []


def _purchase(trail: Trail) -> list[Row]:
    """A purchase with its whole trail: what it is, what shows it, what paid it, and every version of it."""
    return group(
        "purchase",
        reference_row("item", trail.key, trail.item),
        row("status", Code=trail.status),
        pence_row("price", trail.pence),
        row("occurred", Date=trail.day),
        row("element", Id=trail.part),
        _of_trail(trail),
        [one for step in trail.steps for one in _step(trail.key, step)],
        [
            one
            for payment in trail.payments
            for one in group(
                "payment",
                reference_row("item", payment.key),
                row("date", Date=payment.day[:10]),
                row("amount", Money=money(payment.pence)),
                row("outcome", Code=payment.status),
            )
        ],
    )


def _step(key: str, step: Step) -> list[Row]:
    return group(
        "step",
        reference_row("version", f"{key}/_history/{step.number}"),
        row("at", Instant=instant_text(step.at)),
        row("status", Code=step.status),
        pence_row("price", step.pence),
        _agent("by", step.by),
        row("role", String=step.by.role if step.by is not None else ""),
    )
