"""Account/[id]/$balance: what is allocated, committed, spent and available, now or at any past instant (R12, R28; RULE-LEDGER)."""

from __future__ import annotations

from phb_fhir.definitions.operation_inputs import read_inputs
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import instant_text
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.operations.asked import answered, parameters_of
from phb_fhir.operations.budgets import budget_asked, moment_in
from phb_fhir.reports.balance import Balance, Funder, Part, read_balance
from phb_fhir.reports.parameters import Row, group, parameters, reference_row, row, sums_rows

NAME = "$balance"


async def balance(context: Context, request: FhirRequest) -> Answer:
    """Raises Rejected: 400 for a time that is none, or is still to come; 404, 410; 422 for an account that is no budget."""
    inputs = read_inputs(NAME, parameters_of(context.known, request, NAME), {"asOf": True})
    as_of = moment_in(context, inputs, "asOf")
    account = await budget_asked(context, request)
    now = context.now()
    found = await read_balance(context, account, as_of)
    seen = await context.reader.read_all([one.account for one in found.funders])
    told = as_of if as_of is not None and as_of < now else now
    return answered(context, request, _told(found, instant_text(told), frozenset(seen)))


def _told(found: Balance, at: str, seen: frozenset[str]) -> Resource:
    aside = group("contingency", sums_rows(found.contingency)) if found.contingency is not None else []
    return parameters(
        row("at", Instant=at),
        sums_rows(found.sums),
        aside,
        [one for part in found.parts for one in _part(part, found, seen)],
        [one for funder in found.funders for one in _funder(funder, seen)],
    )


def _part(part: Part, found: Balance, seen: frozenset[str]) -> list[Row]:
    element = part.element
    is_shown = part.account in seen
    return group(
        "part",
        row("id", Id=part.id),
        row("model", Code=element.model if element else ""),
        row("purpose", String=element.purpose if element else ""),
        reference_row("budget", part.account if found.funders and is_shown else ""),
        sums_rows(part.sums),
    )


def _funder(funder: Funder, seen: frozenset[str]) -> list[Row]:
    """A budget of a joint one; who may not see it learns whose money it is and what it comes to, as of the joint one they may."""
    is_shown = funder.account in seen
    return group(
        "funder",
        reference_row("owner", funder.owner),
        reference_row("budget", funder.account if is_shown else "", funder.name),
        sums_rows(funder.sums),
        group("contingency", sums_rows(funder.contingency)) if funder.contingency is not None else [],
    )
