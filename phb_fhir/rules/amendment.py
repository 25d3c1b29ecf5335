"""Changes of a budget's money once it is authorised: they cite the review that decided them, and less needs notice (R14, R150, DP-7).

What changes money is what the approved and contingency rows, and the parts, say; and the days for which there is any, until the budget is
closing; and how much of what is bought from a joint budget falls to it, while it is part of that (joining and leaving are `joining`'s).
A change adds a row of `phb-amendment-reason`, which names
a completed review of this budget or its plan. A reduction (less in all, or less in direct payments) takes effect no sooner than so many
days (the commissioner's policy; 28 by default) after the person was told why, in writing, and that is in the record. A budget, or a part
of it, that ends sooner does so once they were told why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from itertools import pairwise
from typing import Any, NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import days_later
from phb_fhir.fhir.money import sterling
from phb_fhir.outcome import Issue
from phb_fhir.rules.around import TOLD_DAYS, policy_of, says_something, told, told_lately
from phb_fhir.rules.budget import (
    ONGOING,
    Amount,
    amounts_of,
    days_of,
    elements_of,
    first_day,
    in_words,
    joint_of,
    person_of,
    plan_of,
    stage_of,
)
from phb_fhir.rules.case import Asking, Case, Follow, Read, ReadVersion, refusal
from phb_fhir.rules.joint import falls_otherwise
from phb_fhir.rules.tasks import naming
from phb_fhir.rules.words import (
    BASE,
    TASK_CODE,
    TASK_PARAMETER,
    code_in,
    extensions,
    key_of,
    keys_in,
    value_of,
)

OUTCOME = f"{BASE}/CodeSystem/phb-review-outcome"
_AMOUNT = "Account.extension.where(url.endsWith('phb-budget-amount'))"
_REASON = "Account.extension.where(url.endsWith('phb-amendment-reason'))"
_PAID = "direct-payment"
_KINDS = ("approved", "contingency")


class Reason(NamedTuple):
    """A row of `phb-amendment-reason`."""

    day: date | None
    text: str
    review: str


def reasons_of(account: Resource | None) -> list[Reason]:
    return [
        Reason(first_day(value_of(row, "date")), str(value_of(row, "reason") or ""), key_of(value_of(row, "review")))
        for row in extensions(account or {}, "phb-amendment-reason")
    ]


def new_reasons(case: Case) -> list[Reason]:
    """The reasons that this write brings."""
    known = reasons_of(case.before)
    return [one for one in reasons_of(case.after) if one not in known]


def is_amendment(case: Case) -> bool:
    """Whether this write changes the money of a budget that was authorised before, the days it is for, or what of a joint one falls to it."""
    return bool(_changes(case))


def _changes(case: Case) -> str:
    """What an amendment changes, in words; "" where it is none."""
    before, after = case.before, case.after
    if before is None or after is None or case.is_own:
        return ""
    if stage_of(before) not in ONGOING or stage_of(after) not in ONGOING:
        return ""
    if _money(before) != _money(after):
        return "money of an authorised budget changes"
    if _lasts_otherwise(before, after):
        return "dates of an authorised budget change"
    stays = joint_of(before) == joint_of(after) != ""
    return "share of an authorised budget in a joint one changes" if stays and falls_otherwise(before, after) else ""


def _lasts_otherwise(before: Resource, after: Resource) -> bool:
    """Whether the budget begins or ends on another day, other than by being closed, which has a review of its own."""
    days, now = (days_of(one.get("servicePeriod")) for one in (before, after))
    return days != now and stage_of(after) not in ("closing", "closed")


def _money(account: Resource) -> tuple[list[Amount], list[Any]]:
    return sorted(amounts_of(account, *_KINDS), key=repr), sorted(elements_of(account), key=repr)


def amended(case: Case) -> Asking[list[Issue]]:
    """What speaks against a change of money, and against the reasons given for it."""
    after = case.after
    if after is None or case.is_own:
        return []
    issues = [*overlapping(after), *_told_still(case)]
    fresh = new_reasons(case)
    for reason in fresh:
        issues += yield from _decided_by(reason, after)
    what = _changes(case)
    if not what:
        return issues
    if not fresh:
        text = f"The {what} after a review: say why, from when, and which review decided it (phb-amendment-reason)."
        issues.append(refusal(text, _REASON))
    issues += yield from _with_notice(case, fresh)
    return issues + (yield from _not_silently(case))


def _told_still(case: Case) -> Iterator[Issue]:
    """Why a budget's money changed stays in the record: what is left out, or written otherwise, could be said anew of another change, and a notice
    count twice.
    """
    kept = reasons_of(case.after)
    if stage_of(case.before) in ONGOING and any(one not in kept for one in reasons_of(case.before)):
        text = "Why this budget was changed, from when, and by which review (phb-amendment-reason), stays as it was written. What comes now is another row."
        yield refusal(text, _REASON)


def _decided_by(reason: Reason, account: Resource) -> Asking[list[Issue]]:
    """The review that is cited is over, and about this budget."""
    key = reason.review
    review: Resource | None = (yield Read(key))[key] if key else None
    if review is None or code_in(review.get("code"), TASK_CODE) != "phb-review":
        return [refusal(f"{key or 'What is named'} is no review that is recorded here.", _REASON)]
    about = {key_of(review.get("focus")), *keys_in(review.get("basedOn"))}
    if not about & {f"Account/{account.get('id')}", plan_of(account)} - {""}:
        return [refusal(f"{key} is a review of another budget.", _REASON)]
    if review.get("status") != "completed":
        text = f"{key} is {review.get('status')}. A review is over before the money changes by it."
        return [refusal(text, _REASON)]
    if outcome_of_review(review) == "no-change":
        return [refusal(f"{key} decided that nothing changes.", _REASON)]
    return []


def told_in_reviews(case: Case) -> Asking[list[Follow]]:
    """Each review that is cited for a change of money names the version of the budget that came of it, among its outputs (R14)."""
    follow: list[Follow] = []
    keys = {one.review: None for one in new_reasons(case)} if is_amendment(case) else {}
    read: Mapping[str, Resource | None] = (yield Read(*keys)) if keys else {}
    for key, review in read.items():
        if review is not None:
            follow.append(naming(case, review, key))
    return follow


def outcome_of_review(review: Mapping[str, Any]) -> str:
    """What a review decided, of phb-review-outcome; "" where it does not say."""
    for one in review.get("output", ()):
        if code_in(one.get("type"), TASK_PARAMETER) == "review-outcome":
            return code_in(one.get("valueCodeableConcept"), OUTCOME)
    return ""


def reduction(before: Resource, after: Resource) -> int:
    """By how many pence somebody gets less: in all, or where that is the same, in direct payments. 0 where nobody does."""
    less = _worth(before) - _worth(after)
    paid = _paid_out(before) - _paid_out(after)
    return max(less, paid, 0)


def _worth(account: Resource) -> int:
    return sum(row.worth for row in amounts_of(account, "approved"))


def _paid_out(account: Resource) -> int:
    return sum(one.pence for one in elements_of(account) if one.model == _PAID)


def _with_notice(case: Case, reasons: Iterable[Reason]) -> Asking[list[Issue]]:
    """The person was told of a reduction, with reasons and in time (DP-7, regulation 13)."""
    before, after = case.before or {}, case.after or {}
    less = reduction(before, after)
    if not less:
        return []
    policy = yield from policy_of(after.get("owner"))
    effect = min((one.day for one in reasons if one.day is not None), default=case.today)
    latest = days_later(effect, -policy.notice_days)
    notices = yield from told(person_of(after), "decision-notice")
    theirs = [
        one for one in notices if f"Account/{after.get('id')}" in keys_in(one.get("about")) and says_something(one)
    ]
    since = max((one.day for one in reasons_of(before) if one.day is not None), default=date.min)
    sent = []
    for one in theirs:
        day = yield from _told_on(case, one)
        sent += [day] if since <= day <= case.today else []
    if any(day <= latest for day in sent):
        return []
    text = (
        f"{sterling(less)} less from {in_words(effect)}: the person is told why in writing at least {policy.notice_days} days before, by"
        f" {in_words(latest)} (a Communication of category decision-notice about this budget)"
    )
    late = f"; they were told on {in_words(min(sent))}." if sent else "; no such notice is recorded."
    return [refusal(text + late, _AMOUNT)]


def _not_silently(case: Case) -> Asking[list[Issue]]:
    """Where money stops sooner than was agreed, and is no less, the person was told why (R51): as of a budget that is suspended."""
    sooner = [*_sooner(case.before or {}, case.after or {})]
    if not sooner or reduction(case.before or {}, case.after or {}) or (yield from told_lately(case)):
        return []
    text = (
        f"{sooner[0]} sooner than was agreed: the person is told why first. Record the Communication of category decision-notice about this budget,"
        f" sent in the last {TOLD_DAYS} days (R51)."
    )
    return [refusal(text, _REASON)]


def _sooner(before: Resource, after: Resource) -> Iterator[str]:
    """What ends sooner than it did, in the beginning of a sentence: the budget, and parts of it."""
    was, now = (days_of(one.get("servicePeriod")).end for one in (before, after))
    if now is not None and (was is None or now < was) and stage_of(after) not in ("closing", "closed"):
        yield f"The budget ends on {in_words(now)},"
    stood = {one.id: one.days.end for one in elements_of(before)}
    for one in elements_of(after):
        end, then = one.days.end, stood.get(one.id)
        if one.id in stood and end is not None and (then is None or end < then):
            is_paid = one.model == _PAID
            what = f"The direct payments of the part '{one.id}' end" if is_paid else f"The part '{one.id}' ends"
            yield f"{what} on {in_words(end)},"


def _told_on(case: Case, notice: Resource) -> Asking[date]:
    """The day from which a notice counts: the day it was sent, or that on which it was recorded as it is now, whichever is later. What is said
    of a day before is said by nobody but whoever records it.
    """
    sent, number = first_day(notice.get("sent")) or date.max, str((notice.get("meta") or {}).get("versionId", ""))
    for one in dict.fromkeys((1, int(number) if number.isdecimal() else 1)):
        version: Resource | None = yield ReadVersion(f"Communication/{notice.get('id')}", one)
        if version is not None and all(version.get(name) == notice.get(name) for name in _NOTICE):
            return max(sent, first_day((version.get("meta") or {}).get("lastUpdated")) or case.today)
    return max(sent, case.today)  # it is written along with this


_NOTICE = ("status", "category", "subject", "about", "recipient", "sent", "payload", "reasonCode")


def overlapping(account: Resource) -> list[Issue]:
    """Rows of one type follow each other in time: on each day one of them says what the amount is."""
    issues = []
    for kind in ("indicative", *_KINDS):
        rows = sorted(amounts_of(account, kind), key=lambda row: row.days.start or date.min)
        for one, other in pairwise(rows):
            if one.days.end is None or other.days.start is None or other.days.start <= one.days.end:
                text = f"Two rows of the {kind} amount are for the same time ({one.days}; {other.days}): end the one before the other begins."
                issues.append(refusal(text, _AMOUNT))
    return issues
