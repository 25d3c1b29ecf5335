"""Patient/[id]/$check-eligibility: whether a person may have a budget, on which grounds, and what is in the way (C32E6, R2, R3, R21).

It goes by the whole record, also by what the one who asks may not see of it, such as why the law excludes somebody from direct payments.
So it answers the person, who acts for them in all that is theirs, and those who decide about budgets; nobody else.
"""

from __future__ import annotations

from datetime import date

from phb_fhir.definitions.operation_inputs import bad_input, read_inputs
from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.judging import asked, by_whom
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.operations.asked import answered, instance_of, parameters_of, read_instance
from phb_fhir.outcome import Kind, Refusal, outcome_of, refuse
from phb_fhir.reports.parameters import Row, group, parameters, reference_row, row
from phb_fhir.rules.budget import LONDON
from phb_fhir.rules.characteristics import Criterion
from phb_fhir.rules.eligibility import Eligibility, Ground, check_eligibility
from phb_fhir.rules.words import ELIGIBILITY

NAME = "$check-eligibility"


async def eligibility(context: Context, request: FhirRequest) -> Answer:
    """Raises Rejected: 400 for a day that is none, 403 for those it is not for, 404, 410."""
    inputs = read_inputs(NAME, parameters_of(context.known, request, NAME), {"on": True})
    day = _day(inputs.text("on")) or context.now().astimezone(LONDON).date()
    await read_instance(context, request)
    person = f"Patient/{instance_of(request)}"
    by = by_whom(context)
    if not (by.is_professional or person in by.patients or _acts_in_all(context, person)):
        text = f"{NAME} answers the person, who acts for them, and those who decide about budgets."
        raise refuse(Refusal.FORBIDDEN, Kind.FORBIDDEN, text)
    return answered(context, request, _told(await asked(context, check_eligibility(person, day))))


def _acts_in_all(context: Context, person: str) -> bool:
    """Whether they act for somebody by a consent that is not narrowed to some budgets or types: this tells of the whole record."""
    who = context.access.who if context.access is not None else None
    mandates = () if who is None else who.mandates
    return any(
        one.patient == person and "purchase" in one.rights and not (one.accounts or one.types) for one in mandates
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise bad_input('"on" is a date, such as 2026-10-09.') from None


def _told(found: Eligibility) -> Resource:
    rows: list[Row] = [
        *row("eligible", Boolean=found.is_eligible),
        *(one for ground in found.grounds if ground.stands for one in _ground(ground)),
        *row("directPaymentExcluded", Boolean=found.is_excluded),
        *(one for criterion in found.criteria for one in _criterion(criterion)),
    ]
    if found.issues:
        rows.append({"name": "outcome", "resource": outcome_of(found.issues)})
    return parameters(rows)


def _ground(ground: Ground) -> list[Row]:
    category = ground.category
    if category is None:
        return []
    coding = {"system": ELIGIBILITY, "code": category.code, "display": category.display}
    return group(
        "ground",
        row("category", Coding=coding),
        reference_row("coverage", ground.coverage),
        row("legalRight", Boolean=category.is_right),
    )


def _criterion(criterion: Criterion) -> list[Row]:
    return group(
        "criterion",
        reference_row("group", criterion.group),
        row("code", Code=criterion.code),
        row("name", String=criterion.name),
        row("held", Boolean=criterion.held),
        row("why", String=criterion.why),
    )
