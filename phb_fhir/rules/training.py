"""Personal assistants who do health tasks are trained first, and somebody signs off that they can do them (R108, R175, R176).

A plan says by codes of `phb-activity-kind` which of its activities is the training (`pa-training`), and which are the health tasks that need it
(`pa-health-task`). Such a task begins once every training of the plan has an outcome (`outcomeReference`) that signs off the competency: a
form (QuestionnaireResponse) that is filled in, by a professional, or signed by one (Provenance.signature).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.rules.around import PROFESSIONALS
from phb_fhir.rules.case import NOTHING, Asking, Case, Decision, Find, Judging, Read, refusal
from phb_fhir.rules.plan import IN_FORCE, activities_of, is_plan, status_of
from phb_fhir.rules.plan_record import FILLED_IN
from phb_fhir.rules.words import BASE, codings, key_of, keys_in

KIND = f"{BASE}/CodeSystem/phb-activity-kind"
TRAINING, HEALTH_TASK = "pa-training", "pa-health-task"
_BEGUN = frozenset(("in-progress", "completed"))


def judge_training(case: Case) -> Judging:
    """What speaks against health tasks that begin, in a plan that is in force."""
    plan = case.after
    if plan is None or not is_plan(plan) or status_of(plan) not in IN_FORCE:
        return NOTHING
    begin = [*_beginning(case.before, plan)]
    if not begin:
        return NOTHING
    why = yield from _not_signed_off(plan)
    if not why:
        return NOTHING
    return Decision(
        tuple(
            refusal(f"The health task '{id_}' of the personal assistant cannot begin: {why} (R108).", at)
            for id_, at in begin
        )
    )


def _beginning(before: Resource | None, plan: Resource) -> Iterator[tuple[str, str]]:
    """The health tasks that this write begins: id and place. All that have begun, where it puts the plan in force."""
    stood = before if status_of(before) in IN_FORCE else None
    begun = {str(one.get("id")) for one in (stood or {}).get("activity", ()) if _has_begun(one)}
    for place, one in enumerate(plan.get("activity", ())):
        id_ = str(one.get("id"))
        if _is_a(one, HEALTH_TASK) and _has_begun(one) and id_ not in begun:
            yield id_, f"CarePlan.activity[{place}].detail.status"


def _has_begun(activity: Mapping[str, Any]) -> bool:
    return (activity.get("detail") or {}).get("status") in _BEGUN


def _is_a(activity: Mapping[str, Any], kind: str) -> bool:
    return (KIND, kind) in codings((activity.get("detail") or {}).get("code"))


def _not_signed_off(plan: Resource) -> Asking[str]:
    """Why the assistant is not known to be able to do it; "" where they are."""
    trainings = [one for one in activities_of(plan) if _is_a(one, TRAINING)]
    if not trainings:
        return "the plan does not say how they are trained for it (an activity of the kind pa-training)"
    for one in trainings:
        if not (yield from _signs_off(keys_in(one.get("outcomeReference")))):
            return (
                f"the training '{one.get('id')}' has no outcome that signs off their competency, a completed QuestionnaireResponse by a"
                " professional or signed by one (outcomeReference)"
            )
    return ""


def _signs_off(outcomes: list[str]) -> Asking[bool]:
    keys = [key for key in outcomes if key.startswith("QuestionnaireResponse/")]
    found: dict[str, Resource | None] = (yield Read(*keys)) if keys else {}
    filled = {key: one for key, one in found.items() if one is not None and one.get("status") in FILLED_IN}
    if any(_is_professional(one.get("author")) for one in filled.values()):
        return True
    signed: list[Resource] = (yield Find("Provenance", ("target", ",".join(filled)))) if filled else []
    return any(_is_professional(each.get("who")) for one in signed for each in one.get("signature", ()))


def _is_professional(reference: Any) -> bool:
    return key_of(reference).partition("/")[0] in PROFESSIONALS
