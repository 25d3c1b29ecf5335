"""RiskAssessment/$risk-log: what was done against risks, and what remained of them, without names (R117).

For those who plan with people or for them: the NHS team, care co-ordinators, commissioners. It goes by the assessments that whoever asks may read,
and tells nothing that could be anybody's own (`reports/risk_log`). Nothing is kept of it.
"""

from __future__ import annotations

from phb_fhir.definitions.operation_inputs import read_inputs
from phb_fhir.fhir.dates import instant_text
from phb_fhir.interactions.contents import held
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.judging import by_whom
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.operations.asked import answered, parameters_of
from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.query import Query
from phb_fhir.reports.risk_log import risk_log
from phb_fhir.rules.budget import LONDON
from phb_fhir.rules.words import BASE

NAME = "$risk-log"
MEASURE = f"{BASE}/Measure/phb-risk-log"
RISKS_MAX = 10_000  # assessments that one log is gathered from


async def risks(context: Context, request: FhirRequest) -> Answer:
    """Raises Rejected: 400 for any input, 403 for those it is not for, 422 where there are too many to gather."""
    read_inputs(NAME, parameters_of(context.known, request, NAME), {})
    if not by_whom(context).is_professional:
        text = f"{NAME} is for those who plan with people: the NHS team, care co-ordinators and commissioners."
        raise refuse(Refusal.FORBIDDEN, Kind.FORBIDDEN, text)
    found = await context.reader.search(Query(("RiskAssessment",)), count=RISKS_MAX + 1)
    if len(found) > RISKS_MAX:
        text = (
            f"There are more than {RISKS_MAX} assessments to gather from, and half of them would tell what is not so."
        )
        raise refuse(Refusal.UNPROCESSABLE, Kind.TOO_COSTLY, text)
    groups = risk_log([one for version in found if (one := held(context, version)) is not None])
    now = context.now()
    report = {
        "resourceType": "MeasureReport",
        "status": "complete",
        "type": "summary",
        "measure": MEASURE,
        "date": instant_text(now),
        "period": {"end": now.astimezone(LONDON).date().isoformat()},
        "group": groups,
    }
    return answered(
        context, request, report if groups else {name: one for name, one in report.items() if name != "group"}
    )
