"""Account/[id]/$ledger: the entries of a budget's ledger, a page at a time, by number (RULE-LEDGER)."""

from __future__ import annotations

from collections.abc import Sequence

from phb_fhir.definitions.operation_inputs import bad_input, read_inputs
from phb_fhir.fhir.dates import instant_text, period_of
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.seen import whole
from phb_fhir.operations.asked import answered, parameters_of
from phb_fhir.operations.budgets import budget_asked
from phb_fhir.reports.balance import members_of
from phb_fhir.reports.parameters import Row, group, parameters, pence_row, reference_row, row
from phb_fhir.reports.statement import cause_key
from phb_fhir.rules.budget import is_joint
from phb_fhir.rules.ledger import CONTINGENCY, Entry

NAME = "$ledger"


async def ledger(context: Context, request: FhirRequest) -> Answer:
    """Raises Rejected: 400 for inputs, 404, 410; 422 for an account that is no budget."""
    inputs = read_inputs(NAME, parameters_of(context.known, request, NAME), {"after": True, "_count": True})
    after = inputs.number("after") or 0
    count = inputs.number("_count")
    count = context.settings.page_size_default if count is None else min(count, context.settings.page_size_max)
    if count < 1:
        raise bad_input('"_count" is at least 1.')
    account = await budget_asked(context, request)
    key = f"Account/{account['id']}"
    books = whole(context.reader).ledger
    last = (await books.of([key]))[key].last
    entries = await books.entries(key, after=after, count=count)
    keys = dict.fromkeys(one for entry in entries for one in (entry.about, cause_key(entry)) if one)
    parts = [f"Account/{one['id']}" for one in await members_of(context, account)] if is_joint(account) else []
    seen = frozenset(await context.reader.read_all([*keys, *parts]))
    told = parameters(
        reference_row("account", key, str(account.get("name") or "")),
        row("total", UnsignedInt=last),
        [one for part in parts if part in seen for one in reference_row("budget", part)],
        [one for entry in entries for one in _entry(entry, seen)],
        _next(entries, last),
    )
    return answered(context, request, told)


def _next(entries: Sequence[Entry], last: int) -> list[Row]:
    return row("next", UnsignedInt=entries[-1].number) if entries and entries[-1].number < last else []


def _entry(entry: Entry, seen: frozenset[str]) -> list[Row]:
    moved = [one for name, pence in entry.sums._asdict().items() if pence for one in pence_row(name, pence)]
    return group(
        "entry",
        row("number", PositiveInt=entry.number),
        row("recorded", Instant=instant_text(period_of(entry.at)[0])),
        row("kind", Code=entry.kind),
        row("element", Id=entry.pot if entry.pot != CONTINGENCY else ""),
        row("contingency", Boolean=True if entry.pot == CONTINGENCY else None),
        moved,
        reference_row("cause", entry.cause if cause_key(entry) in seen else ""),
        reference_row("item", entry.about if entry.about in seen else ""),
        reference_row("funder", entry.funder),
        row("occurred", Date=entry.day),
        row("reason", String=entry.reason),
    )
