"""What the operations of a budget have in common: which budget is asked about, and when is meant."""

from __future__ import annotations

from datetime import datetime

from phb_fhir.definitions.operation_inputs import Inputs, bad_input
from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.contents import relative
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import FhirRequest
from phb_fhir.operations.asked import stored
from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.reports.moments import day_of, first_instant, last_instant
from phb_fhir.rules.budget import is_budget


async def budget_asked(context: Context, request: FhirRequest) -> Resource:
    """The budget that an operation is asked of. Raises Rejected: 404, also where it may not be seen; 410; 422 for another account."""
    account = await stored(context, request)
    if not is_budget(account):
        text = f"Account/{account['id']} is no personal health budget, so no money is kept account of here."
        raise refuse(Refusal.UNPROCESSABLE, Kind.BUSINESS_RULE, text, "Account.type")
    return relative(context, account) or account


def moment_in(context: Context, inputs: Inputs, name: str, *, first: bool = False) -> datetime | None:
    """The last instant (or the first) of what an input names; None where it is left out.

    Raises Rejected (400) for what is neither a date nor a time, and for what is still to come: what has not begun, and where its last instant is
    meant, what goes on after today (a month or a year that is not over). Today counts up to now.
    """
    text = inputs.text(name)
    if not text:
        return None
    try:
        begins, ends = first_instant(text), last_instant(text)
    except (ValueError, OverflowError):
        raise bad_input(f'"{name}" is a date or a time, such as 2026-10-09 or 2026-10-09T18:30:00Z.') from None
    if begins > context.now():
        raise bad_input(f'"{name}" is {text}, which is still to come: what will be then, nobody knows.')
    if not first and day_of(ends) > day_of(context.now()):
        raise bad_input(f'"{name}" is {text}, which is not over yet: name a day up to today, or leave it out for now.')
    return begins if first else ends
