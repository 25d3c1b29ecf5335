"""Account/[id]/$calculate-indicative: about how much money there is likely to be, from an assessment (R37, R46, R178, R179).

The amount and its working are kept in the budget, where everybody who sees it can follow them; a budget whose eligibility is confirmed comes
to the stage indicative-set. With `dryRun` nothing is written. What may be written is the rules' to say, as of any other write.
"""

from __future__ import annotations

from typing import Any

from phb_fhir.change import Patch
from phb_fhir.definitions.operation_inputs import bad_input, read_inputs
from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.commit import commit_all
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.judging import asked
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.operations.asked import answered, instance_of, parameters_of
from phb_fhir.operations.budgets import budget_asked
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.reports.parameters import parameters, pence_row, row
from phb_fhir.rules.budget import stage_of
from phb_fhir.rules.indicative import BEFORE_PLANNING, indicative, with_indicative
from phb_fhir.rules.words import key_of

NAME = "$calculate-indicative"


async def calculate_indicative(context: Context, request: FhirRequest) -> Answer:
    """Raises Rejected: 400 for inputs, 404, 410; 403 or 422 with all that stands in the way."""
    parameters_given = parameters_of(context.known, request, NAME)
    inputs = read_inputs(NAME, parameters_given, {"source": True, "method": True, "dryRun": True})
    account = await budget_asked(context, request)
    source, method = await _source(context, inputs.values.get("source", [])), inputs.text("method")
    if not method:
        raise bad_input('There is no "method": say how to work it out, such as ras.')
    working = await asked(context, indicative(account, source, method))
    if working.issues:
        raise Rejected(Refusal.UNPROCESSABLE, *working.issues)
    if not inputs.flag("dryRun"):
        _refuse_when_late(account)
        patch = Patch("Account", instance_of(request), lambda now: with_indicative(now, working, method, source))
        await commit_all(context, [patch])
    steps = [one for step in working.steps for one in row("explanation", String=step)]
    told = parameters(pence_row("amount", working.pence), row("frequency", Code=working.frequency), steps)
    return answered(context, request, told)


async def _source(context: Context, given: list[Any]) -> str:
    """The key of the assessment. Raises Rejected: 400 where none is named, 422 where it is not to be seen."""
    value = given[0] if given else None
    reference = {"reference": value} if isinstance(value, str) else value
    if not isinstance(reference, dict) or not reference.get("reference"):
        raise bad_input(
            'There is no "source": name the assessment, such as QuestionnaireResponse/jill-needs-assessment.'
        )
    key = key_of(context.own.local(str(reference["reference"])))
    if not key.startswith("QuestionnaireResponse/"):
        raise bad_input(f'"source" is an assessment, a QuestionnaireResponse here; it was "{reference["reference"]}".')
    if key not in await context.reader.read_all([key]):
        raise refuse(Refusal.UNPROCESSABLE, Kind.NOT_FOUND, f"There is no {key}.", "source")
    return key


def _refuse_when_late(account: Resource) -> None:
    stage = stage_of(account)
    if stage not in BEFORE_PLANNING:
        text = f"This budget is {stage}: its amount is agreed, and a review changes it. Ask with dryRun to see what would come out."
        raise refuse(Refusal.UNPROCESSABLE, Kind.BUSINESS_RULE, text, "Account")
