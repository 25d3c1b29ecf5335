"""$fsck: is the record whole? Every balance, entry, index value, history and reference, worked out anew (RULE-LEDGER, RULE-AUDIT).

For whoever sees the whole audit trail: auditors and systems. What is found names resources by their ids, and tells nothing of what is
in them. Nothing is written. A large record is gone through for a minute; `phb-fhir check` goes through all of any.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from phb_fhir.definitions.operation_inputs import read_inputs
from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.operations.asked import answered, parameters_of
from phb_fhir.outcome import Issue, Kind, Refusal, Severity, outcome_of, refuse
from phb_fhir.query import EVERYTHING
from phb_fhir.reports.check import check
from phb_fhir.reports.drift import Drift, Looked, summary

NAME = "$fsck"
TIME_MAX_S = 60.0
TOLD_MAX = 1_000  # issues in one answer


async def fsck(context: Context, request: FhirRequest) -> Answer:
    """Raises Rejected: 400 for any input, 403 for who does not see the whole audit trail, 503 without the database."""
    read_inputs(NAME, parameters_of(context.known, request, NAME), {})
    _check_may(context)
    looked, found = Looked(), list[Drift]()
    is_all = await _is_all_looked_at(context, looked, found)
    return answered(context, request, _told(found, looked, is_all=is_all))


async def _look(context: Context, looked: Looked, found: list[Drift]) -> None:
    async with aclosing(check(context, looked)) as drifts:
        async for drift in drifts:
            found.append(drift)
            if len(found) > TOLD_MAX:
                return


async def _is_all_looked_at(context: Context, looked: Looked, found: list[Drift]) -> bool:
    """Whether all was looked at in time. Raises Rejected (503) where nobody answers."""
    await context.store.check_ready()
    try:
        async with asyncio.timeout(TIME_MAX_S) as bound:
            await context.store.attended(_look(context, looked, found))
    except TimeoutError:
        if not bound.expired():
            raise
        return False
    return True


def _check_may(context: Context) -> None:
    access = context.access
    if access is None:
        return
    access.check("rs", "AuditEvent")
    if access.view("AuditEvent").where != EVERYTHING:
        text = "Whether the record is whole is told to who sees the whole audit trail: auditors and systems."
        raise refuse(Refusal.FORBIDDEN, Kind.FORBIDDEN, text)


def _told(found: list[Drift], looked: Looked, *, is_all: bool) -> Resource:
    issues = [_issue(drift) for drift in found[:TOLD_MAX]]
    if len(found) > TOLD_MAX:
        issues.append(_note("There is more; this is where it stopped. `phb-fhir check` tells all of it.", "warning"))
    if not is_all:
        text = f"It stopped after {TIME_MAX_S:.0f} seconds, and the rest was not looked at. `phb-fhir check` looks at all of it."
        issues.append(_note(text, "warning"))
    if looked.behind:
        issues.append(
            _note(f"The index values of {looked.behind} resources are still being brought up to date.", "information")
        )
    if not issues:
        issues.append(_note("Everything agrees.", "information"))
    issues.append(_note(summary(looked), "information"))
    return outcome_of(issues)


def _issue(drift: Drift) -> Issue:
    details = {"coding": [{"system": SYSTEM, "code": drift.kind}]}
    severity: Severity = "warning" if drift.kind == "reference" else "error"
    return Issue(Kind.CONFLICT, f"{drift.key}: {drift.text}", severity=severity, details=details)


SYSTEM = "https://fhir.phb.nhs.example/CodeSystem/phb-drift"


def _note(text: str, severity: Severity) -> Issue:
    return Issue(Kind.INFORMATIONAL, text, severity=severity)
