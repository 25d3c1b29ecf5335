"""Whom a letter is from (Communication): a notice of a decision counts, so nobody writes one but who decides (R139, R146, R150).

The person, and who acts for them, write in their own name.
"""

from __future__ import annotations

from phb_fhir.fhir.codec import Resource
from phb_fhir.rules.around import COMMUNICATION
from phb_fhir.rules.case import NOTHING, SPEAK_FOR_THEMSELVES, Case, Decision, Judging, refusal
from phb_fhir.rules.words import codings, key_of


def judge_letter(case: Case) -> Judging:
    """What speaks against a letter by whom it says it is from."""
    yield from ()
    by, letter, before = case.by, case.after or {}, case.before or {}
    if case.is_own or case.after is None:
        return NOTHING
    issues = []
    sender = key_of(letter.get("sender"))
    is_another = sender not in ("", key_of(before.get("sender")), *by.names, *by.patients)
    if by.role in SPEAK_FOR_THEMSELVES and is_another:
        issues.append(refusal("Who sends this is who is signed in: name yourself.", "Communication.sender"))
    if is_notice(letter) and not is_notice(before) and not by.is_professional:
        text = "A notice of a decision is written by the NHS team or the commissioner."
        issues.append(refusal(text, "Communication.category"))
    return Decision(tuple(issues))


def is_notice(letter: Resource) -> bool:
    """Whether this says that it tells somebody of a decision."""
    said = (coding for category in letter.get("category", ()) for coding in codings(category))
    return (COMMUNICATION, "decision-notice") in said
