"""A statement in plain words, for the forms that people read: what each kind of movement is called, and what a line is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from phb_fhir.reports.purchases import Trail
from phb_fhir.reports.statement import Line
from phb_fhir.rules.ledger import CONTINGENCY, Kind

Group = Literal["credit", "debit", "commitment", "transfer", "advance"]

# what each kind of entry is called, and which of the statement's kinds it is; of a reversal, what it undoes tells
KINDS: Mapping[Kind, tuple[str, Group]] = {
    "allocation": ("Money agreed", "credit"),
    "reduction": ("Money reduced", "debit"),
    "contingency": ("Set aside for emergencies", "credit"),
    "commitment": ("Set aside for a purchase", "commitment"),
    "release": ("No longer set aside", "commitment"),
    "spend": ("Spent", "debit"),
    "refund": ("Refund", "credit"),
    "reversal": ("Taken back", "credit"),
    "surplus-recovery": ("Left over, returned", "debit"),
    "transfer": ("Moved between parts", "transfer"),
    "advance": ("Paid out in advance", "advance"),
    "advance-returned": ("Advance returned", "advance"),
}

STATUSES: Mapping[str, str] = {
    "planned": "waits for a decision",
    "billable": "agreed, not paid yet",
    "billed": "paid",
    "not-billable": "not allowed",
    "aborted": "given up",
    "entered-in-error": "entered in error",
    "deleted": "deleted",
}


def group_of(line: Line) -> Group:
    if line.entry.kind == "reversal":
        return "commitment" if line.entry.sums.committed else "credit" if line.change >= 0 else "debit"
    return KINDS[line.entry.kind][1]


def called(line: Line) -> str:
    """What a line is about, in a few words: the purchase, where there is one to name; of a budget that joins or leaves, that."""
    if line.is_crossing:
        return line.entry.reason
    return line.trail.item if line.trail is not None else KINDS[line.entry.kind][0]


def part_called(pot: str) -> str:
    return "Emergencies" if pot == CONTINGENCY else pot


def approved(trail: Trail) -> str:
    """Who approved a purchase, in words."""
    agent = trail.approved_by
    if agent is not None:
        role = f" ({agent.role[:1].lower()}{agent.role[1:]})" if agent.role else ""
        return f"{agent.who.name or agent.who.key}{role}"
    step = trail.approval
    is_known = step is not None and step.number == 1 and step.by is not None
    return "in the plan, no decision was needed" if is_known else ""
