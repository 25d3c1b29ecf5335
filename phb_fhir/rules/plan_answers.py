"""The answers that a plan rests on (C32E4, R93, R97, R110): what was agreed with the plan includes what the person said in its forms.

Its forms are `phb-plan-content` and `phb-risk-sheet`; a form is a plan's that it is based on, or that the plan shows as supportingInfo. Once the
plan is signed off they stay as they were filled in. An amended plan is a draft again, under another id, and has answers of its own.

Any form that a professional filled in or signed, an assessment for one, says what they said: the person, and who acts for them, have forms of their own.
"""

from __future__ import annotations

from collections.abc import Iterator

from phb_fhir.fhir.codec import Resource
from phb_fhir.outcome import Issue
from phb_fhir.rules.around import PROFESSIONALS
from phb_fhir.rules.case import NOTHING, SPEAK_FOR_THEMSELVES, Asking, Case, Decision, Find, Judging, refusal
from phb_fhir.rules.deciding import bare
from phb_fhir.rules.plan import NEEDS_SIGN_OFF, is_plan, key_of_plan, sign_offs_of, status_of, title_of
from phb_fhir.rules.plan_record import FILLED_IN, FORMS
from phb_fhir.rules.words import key_of, keys_in

_AGREED = ("questionnaire", "subject", "authored", "author", "source", "item")
_SIGNED_OFF = ("active", "on-hold", "completed", "revoked")  # or may have been


def judge_answers(case: Case) -> Judging:
    """What speaks against another wording, or the deletion, of a form that a plan was signed off with."""
    before = case.before
    if before is None or not is_answers(before) or (changed := next(_changed(before, case.after), None)) is None:
        return NOTHING
    plans: list[Resource] = yield Find(
        "CarePlan", ("patient", key_of(before.get("subject"))), ("status", ",".join(_SIGNED_OFF))
    )
    for plan in plans:
        if _rests_on(plan, before) and (yield from _was_agreed(plan)):
            return Decision((_stands(plan, changed),))
    return NOTHING


def judge_author(case: Case) -> Judging:
    """A professional's name stands under what they filled in or signed, as they did: on some of these forms money and care depend (R46, R108)."""
    if case.is_own or case.by.role not in SPEAK_FOR_THEMSELVES or case.after is None:
        return NOTHING
    author = key_of(case.after.get("author"))
    if author != key_of((case.before or {}).get("author")) and _is_anothers(case, author):
        text = "A form in the name of a professional is filled in by them, or by their team."
        return Decision((refusal(text, "QuestionnaireResponse.author"),))
    changed = next(_told_otherwise(case), None)
    if changed is None or not (yield from _is_by_professional(case)):
        return NOTHING
    text = (
        "A professional filled this in, or signed it: they or their team change it. What you see otherwise, say in a form of your own; one that is"
        " not finished you may go on with in your own name (author)."
    )
    return Decision((refusal(text, changed),))


def _is_anothers(case: Case, who: str) -> bool:
    return who.partition("/")[0] in PROFESSIONALS and who not in case.by.names


def _told_otherwise(case: Case) -> Iterator[str]:
    """The elements in which a form that is there would say something else."""
    before, after = case.before, case.after
    if before is not None and after is not None:
        names = (*_AGREED, "status", "basedOn", "partOf")
        yield from (
            f"QuestionnaireResponse.{name}" for name in names if bare(before.get(name)) != bare(after.get(name))
        )


def _is_by_professional(case: Case) -> Asking[bool]:
    """Whether a form that is there was filled in, or signed, by a professional who is somebody else; whoever takes over what is not finished says so."""
    before, after = case.before or {}, case.after or {}
    is_taken_over = before.get("status") not in FILLED_IN and key_of(before.get("author")) != key_of(
        after.get("author")
    )
    if _is_anothers(case, key_of(before.get("author"))) and not is_taken_over:
        return True
    traces: list[Resource] = yield Find("Provenance", ("target", case.key))
    return any(_is_anothers(case, key_of(each.get("who"))) for one in traces for each in one.get("signature", ()))


def is_answers(form: Resource) -> bool:
    """Whether this is a form of a plan that was filled in."""
    return str(form.get("questionnaire", "")).partition("|")[0] in FORMS and form.get("status") in FILLED_IN


def _changed(before: Resource, after: Resource | None) -> Iterator[str]:
    """The elements of a form in which it would say something else, or not count any more."""
    if after is None:
        yield "QuestionnaireResponse"
        return
    if after.get("status") not in FILLED_IN:
        yield "QuestionnaireResponse.status"
    yield from (f"QuestionnaireResponse.{name}" for name in _AGREED if bare(before.get(name)) != bare(after.get(name)))
    if set(keys_in(before.get("basedOn"))) - set(keys_in(after.get("basedOn"))):
        yield "QuestionnaireResponse.basedOn"


def _rests_on(plan: Resource, form: Resource) -> bool:
    is_shown = f"QuestionnaireResponse/{form.get('id')}" in keys_in(plan.get("supportingInfo"))
    return is_plan(plan) and (is_shown or key_of_plan(plan) in keys_in(form.get("basedOn")))


def _was_agreed(plan: Resource) -> Asking[bool]:
    """A plan that was revoked may never have been signed off."""
    return status_of(plan) in NEEDS_SIGN_OFF or bool((yield from sign_offs_of(key_of_plan(plan))))


def _stands(plan: Resource, at: str) -> Issue:
    text = (
        f"These answers were agreed with {title_of(plan)} when it was signed off, and stay as they are. To say something else, write a new"
        f" draft that names {key_of_plan(plan)} in 'replaces', with answers of its own."
    )
    return refusal(text, at)
