"""A copy of a care plan to keep (R99; S4 App. 1 "Can I keep my own copy?"): all that was said and agreed, in the order people read it.

    read_copy   the plan with what is around it, as far as the one who asks may see it
    sections    its parts: a title, what it says as XHTML that a FHIR narrative may hold, and what it was read from

One source serves the page to print and the FHIR document, so that they cannot say different things. Names come from the references
themselves (`display`), which belong to the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any, NamedTuple

from phb_fhir.change import Version
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import pence_of
from phb_fhir.interactions.contents import content_of
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.judging import asked
from phb_fhir.interactions.scribe import name_in
from phb_fhir.reports.moments import day_of
from phb_fhir.reports.page import money, small, table
from phb_fhir.reports.purchases import too_much
from phb_fhir.reports.timing_words import span, when
from phb_fhir.rules.around import tasks_about
from phb_fhir.rules.budget import LONDON, days_of, first_day, in_words, last_day
from phb_fhir.rules.case import Asking
from phb_fhir.rules.criteria import NO_RISK, OPEN_REVIEW
from phb_fhir.rules.deciding import answer_of
from phb_fhir.rules.plan import activities_of, activity_title, status_of
from phb_fhir.rules.plan_record import PLAN_CONTENT, PlanRecord, amount_in, read_plan
from phb_fhir.rules.words import extensions, key_of, keys_in, value_of

KEPT_MAX = 1_000  # resources that go with one copy
_HELD: Mapping[str, str] = {
    "notional": "Held by the NHS",
    "third-party": "Held by an organisation for the person",
    "direct-payment": "Paid to the person, or to who acts for them",
}
_PAID_BY: Mapping[str, str] = {
    "personal-health-budget": "The budget",
    "nhs-commissioned": "The NHS, apart from the budget",
    "local-authority": "The local authority",
    "education": "Education",
    "unpaid": "Nobody: it costs nothing",
}
# which answers of the plan's form (phb-plan-content) stand under which title
_ABOUT = ("about-me", "strengths", "social-context", "health-needs", "capacity-considered")
_WORKING = ("working", "not-working")
_MATTERS = ("important-to", "important-for")
_WRONG = ("contingency",)
_LOOKED_AT = ("monitoring-how", "signs-going-well", "signs-going-wrong")
# R74: a budget stands beside what the NHS gives to everybody
_STAYS = "Having a budget takes no other care of the NHS away: emergency and hospital care, seeing a GP and the rest stay free, and open to them."
_STATUS: Mapping[str, str] = {
    "draft": "This is a draft. It has not been agreed yet.",
    "active": "This plan is agreed, and counts now.",
    "on-hold": "This plan is agreed. It is paused at the moment.",
    "completed": "This plan has ended.",
    "revoked": "This plan was taken back, and does not count.",
    "entered-in-error": "This plan was entered by mistake, and does not count.",
}


@dataclass(frozen=True, slots=True)
class Copy:
    """A plan with what is around it. `seen` are the versions that the one who asks may see, by key, and `agreed` the Tasks that signed it off."""

    plan: Resource
    record: PlanRecord
    agreed: Sequence[Resource]
    seen: Mapping[str, Version]

    @property
    def title(self) -> str:
        return str(self.plan.get("title") or "Care and support plan")

    @property
    def person(self) -> str:
        return self.called(self.plan.get("subject"))

    def called(self, reference: Any) -> str:
        """What something is called: as the reference says, or else as it says itself; "" where neither does."""
        shown = reference.get("display") if isinstance(reference, dict) else ""
        content = content_of(self.seen.get(key_of(reference)))
        return str(shown or name_in(content) or (content.get("practitioner") or {}).get("display", ""))


class Section(NamedTuple):
    """A part of the copy. `parts` are XHTML, one below the other; `keys` what they were read from."""

    title: str
    parts: tuple[str, ...]
    keys: tuple[str, ...] = ()


# ---- reading -------------------------------------------------------------------------------------


async def read_copy(context: Context, plan: Resource) -> Copy:
    """The plan as the one who asks sees it. Raises Rejected (422) where more goes with it than fits into one copy."""
    record, agreed = await asked(context, _around(plan, context.now().astimezone(LONDON).date()))
    keys = list(dict.fromkeys([*_keys(record, agreed), *_people(record)]))
    if len(keys) > KEPT_MAX:
        raise too_much("people, goals and documents")
    seen = {key: one for key, one in (await context.reader.read_all(keys)).items() if one.json is not None}
    return Copy(plan, _seen(record, seen), _kept(agreed, seen), seen)


def _around(plan: Resource, day: Any) -> Asking[tuple[PlanRecord, list[Resource]]]:
    record = yield from read_plan(plan, day)
    decided = yield from tasks_about("plan-sign-off", record.key)
    return record, [one for one in decided if answer_of(one) == "approved"]


def _keys(record: PlanRecord, agreed: Iterable[Resource]) -> Iterator[str]:
    yield record.key
    yield from record.found
    for found in (record.records, record.risks, record.reviews, record.budgets, agreed):
        yield from (_key(one) for one in found)


def _people(record: PlanRecord) -> Iterator[str]:
    """Who is named in the plan, its team and its budgets, and may have to be called by their own name."""
    plan = record.plan
    yield from keys_in([plan.get("subject"), plan.get("author"), *plan.get("contributor", ())])
    for team in record.of(keys_in(plan.get("careTeam"))):
        yield from keys_in([one.get("member") for one in team.get("participant", ())])
    for activity in activities_of(plan):
        yield from keys_in((activity.get("detail") or {}).get("performer"))
    for budget in record.budgets:
        yield from keys_in([budget.get("owner"), *(value_of(one, "holder") for one in _elements(budget))])


def _seen(record: PlanRecord, seen: Mapping[str, Version]) -> PlanRecord:
    return replace(
        record,
        found={key: one for key, one in record.found.items() if key in seen},
        records=_kept(record.records, seen),
        risks=_kept(record.risks, seen),
        reviews=_kept(record.reviews, seen),
        budgets=_kept(record.budgets, seen),
    )


def _kept(found: Iterable[Resource], seen: Mapping[str, Version]) -> list[Resource]:
    return [one for one in found if _key(one) in seen]


def _key(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


# ---- its parts -----------------------------------------------------------------------------------


def sections(copy: Copy) -> list[Section]:
    """All parts that have something to say, in their order."""
    return [one for part in PARTS if (one := part(copy)).parts]


def _of_form(title: str, *names: str) -> Callable[[Copy], Section]:
    """A part that is what the plan's form says to these questions, each under its own words."""

    def part(copy: Copy) -> Section:
        parts, keys = _told(copy, names)
        return Section(title, tuple(parts), tuple(keys))

    return part


def _told(copy: Copy, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """What the form says to these questions, and where it does, the form."""
    form = copy.record.form(PLAN_CONTENT)
    parts = [*_answers(form, names)]
    return parts, [_key(form)] if form is not None and parts else []


def _answers(form: Resource | None, names: Sequence[str]) -> Iterator[str]:
    items = {str(one.get("linkId")): one for one in (form or {}).get("item", ())}
    for name in names:
        item = items.get(name, {})
        said = [text for one in item.get("answer", ()) for key, value in one.items() if (text := _said(key, value))]
        if said:
            yield f"<h3>{escape(str(item.get('text') or name))}</h3>"
            yield from _paragraphs(said)


def _said(name: str, value: Any) -> str:
    """An answer in words; "" for what is no answer."""
    if not name.startswith("value"):
        return ""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, dict):
        return str(value.get("display") or value.get("value") or value.get("code") or "")
    return str(value).strip()


def _paragraphs(texts: Iterable[str]) -> Iterator[str]:
    yield from (f"<p>{escape(line)}</p>" for text in texts for line in text.splitlines() if line.strip())


def _goals(copy: Copy) -> Section:
    named = [one for one in copy.plan.get("goal", ()) if key_of(one)]
    goals = {key: copy.record.found.get(key) or {} for key in keys_in(named)}
    targets = {key: [*_targets(goal)] for key, goal in goals.items()}
    rows = [
        f"<li>{escape(_goal(copy, one))}{''.join(map(small, targets.get(key_of(one), ())))}</li>"
        for one in named
        if _goal(copy, one)
    ]
    parts = ["<ul>\n" + "\n".join(rows) + "\n</ul>"] if rows else []
    parts += [_beyond(copy)] if any(map(_is_limited, goals.values())) else []
    return Section("What is to be better, kept, or avoided", tuple(parts), _seen_of(copy, keys_in(named)))


def _is_limited(goal: Resource) -> bool:
    """Whether a goal says within which limits it is well: a range, or a number that something stays above or below (R104)."""
    targets = goal.get("target", ())
    return any("detailRange" in one or "comparator" in (one.get("detailQuantity") or {}) for one in targets)


def _targets(goal: Resource) -> Iterator[str]:
    """What a goal is measured by: `Weight: from 60 kg to 70 kg`."""
    for target in goal.get("target", ()):
        what = _concept(target.get("measure"))
        within = next((_within(name, value) for name, value in target.items() if name.startswith("detail")), "")
        if within:
            yield f"{what}: {within}" if what else within


def _within(name: str, value: Any) -> str:
    if name == "detailRange":
        ends = (("from", value.get("low")), ("to", value.get("high")))
        return " ".join(f"{word} {_amount(end)}" for word, end in ends if end)
    if name in ("detailQuantity", "detailRatio"):
        parts = [value] if name == "detailQuantity" else [value.get("numerator") or {}, value.get("denominator") or {}]
        return " in ".join(said for one in parts if (said := _amount(one)))
    return _concept(value) if isinstance(value, dict) else _said("value", value)


def _amount(quantity: Mapping[str, Any]) -> str:
    said = f"{quantity.get('comparator', '')}{quantity.get('value', '')} {quantity.get('unit') or quantity.get('code') or ''}"
    return said.strip()


def _concept(concept: Any) -> str:
    found = concept or {}
    return str(found.get("text") or next((one["display"] for one in found.get("coding", ()) if one.get("display")), ""))


def _beyond(copy: Copy) -> str:
    """Whom to turn to when a limit is passed: the contact in health services (R104)."""
    contacts = [
        f"{name} ({how})" if (how := _reached(copy, {"reference": key})) else name
        for key in copy.record.in_role("health-contact")
        if (name := copy.called({"reference": key}))
    ]
    whom = ", or ".join(contacts) if contacts else "your care team"
    return f"<p>If it goes beyond a limit, turn to {escape(whom)}.</p>"


def _goal(copy: Copy, reference: Mapping[str, Any]) -> str:
    content = copy.record.found.get(key_of(reference)) or {}
    return str((content.get("description") or {}).get("text") or reference.get("display") or "")


def _activities(copy: Copy) -> Section:
    rows = [_activity(copy, one) for one in activities_of(copy.plan)]
    heads = ("What", "Who", "When", "Cost", "Paid by")
    parts = tuple(table("Who does what, and when", heads, rows)) if rows else ()
    return Section("What will happen", ("\n".join(parts),) if parts else ())


def _activity(copy: Copy, activity: Mapping[str, Any]) -> tuple[str, ...]:
    detail = activity.get("detail") or {}
    name = activity_title(activity) or str((activity.get("reference") or {}).get("display", ""))
    told = str(detail.get("description") or "")
    who = "; ".join(shown for one in detail.get("performer", ()) if (shown := copy.called(one)))
    cost = pence_of(value_of(activity, "phb-activity-cost"))
    paid_by = _PAID_BY.get(str(value_of(activity, "phb-activity-funding") or ""), "")
    what = escape(name) + small(told) if name else escape(told)
    return (what, escape(who), escape(when(detail)), "" if cost is None else money(cost), escape(paid_by))


def _money(copy: Copy) -> Section:
    parts: list[str] = []
    for budget in copy.record.budgets:
        approved, aside = (amount_in(copy.record, budget, type_) for type_ in ("approved", "contingency"))
        name = str(budget.get("name") or "Personal health budget")
        owner = copy.called(budget.get("owner"))
        parts.append(f"<p>{escape(name)}: {_agreed(approved)}{escape(f', from {owner}' if owner else '')}.</p>")
        if aside:
            parts.append(f"<p>Set aside for emergencies: {money(aside)}.</p>")
        if rows := [_element(copy, one) for one in _elements(budget)]:
            parts.append("\n".join(table("How it is held", ("For", "How", "From and to", "Amount"), rows)))
    parts += _paragraphs([_STAYS] if parts else [])
    return Section("The money", tuple(parts), tuple(_key(one) for one in copy.record.budgets))


def _agreed(pence: int) -> str:
    return f"{money(pence)} agreed for the time of this plan" if pence else "no amount is agreed yet"


def _elements(budget: Resource) -> list[Mapping[str, Any]]:
    return extensions(budget, "phb-management-element")


def _element(copy: Copy, row: Mapping[str, Any]) -> tuple[str, ...]:
    held, holder = _HELD.get(str(value_of(row, "model") or ""), ""), copy.called(value_of(row, "holder"))
    return (
        escape(str(value_of(row, "purpose") or value_of(row, "id") or "")),
        escape(held) + small(holder),
        escape(span(value_of(row, "period"))),
        money(pence_of(value_of(row, "amount")) or 0),
    )


def _risks(copy: Copy) -> Section:
    live = [one for one in copy.record.risks if one.get("status") not in NO_RISK]
    rows = [(escape(_risk(one)), escape(str(one.get("mitigation") or ""))) for one in live]
    parts, keys = _told(copy, _WRONG)
    if rows:
        parts.append("\n".join(table("What might go wrong", ("Risk", "What is done about it"), rows)))
    return Section("When things go wrong", tuple(parts), (*keys, *(_key(one) for one in live)))


def _risk(risk: Resource) -> str:
    name = (risk.get("code") or {}).get("text")
    might = [text for one in risk.get("prediction", ()) if (text := (one.get("outcome") or {}).get("text"))]
    return ": ".join(str(one) for one in (name, "; ".join(might)) if one)


def _team(copy: Copy) -> Section:
    teams = copy.record.of(keys_in(copy.plan.get("careTeam")))
    rows = [
        (escape(copy.called(one.get("member"))), escape(_roles(one)), escape(_reached(copy, one.get("member"))))
        for team in teams
        for one in team.get("participant", ())
        if days_of(one.get("period")).covers(copy.record.day) and copy.called(one.get("member"))
    ]
    parts = ["\n".join(table("Who belongs to the team", ("Name", "Role", "How to reach them"), rows))] if rows else []
    parts += [f"<p>The team: {escape(said)}.</p>" for one in teams if (said := _telecom(one))]
    return Section("Who helps", tuple(parts), tuple(_key(one) for one in teams))


def _roles(participant: Mapping[str, Any]) -> str:
    said = [
        one.get("text") or next((c.get("display") for c in one.get("coding", ()) if c.get("display")), "")
        for one in participant.get("role", ())
    ]
    return ", ".join(str(one) for one in said if one)


def _reached(copy: Copy, reference: Any) -> str:
    """How somebody on the team is reached; nothing of the person's own, or of their family's, telephone."""
    key = key_of(reference)
    return "" if key.startswith(("Patient/", "RelatedPerson/")) else _telecom(content_of(copy.seen.get(key)))


def _telecom(content: Mapping[str, Any]) -> str:
    live = [one for one in content.get("telecom", ()) if one.get("value") and one.get("use") != "old"]
    return ", ".join(str(one["value"]) for one in live)


def _reviews(copy: Copy) -> Section:
    live = [one for one in copy.record.reviews if one.get("status") in OPEN_REVIEW]
    rows = [(escape(_due(one)), escape(_about_review(one))) for one in sorted(live, key=_due_day)]
    parts, keys = _told(copy, _LOOKED_AT)
    if rows:
        parts.append("\n".join(table("Reviews to come", ("When", "What"), rows)))
    return Section("How it is looked at", tuple(parts), (*keys, *(_key(one) for one in live)))


def _due_day(task: Resource) -> str:
    return str((_period(task)).get("end") or (_period(task)).get("start") or "~")


def _period(task: Resource) -> Mapping[str, Any]:
    return (task.get("restriction") or {}).get("period") or {}


def _due(task: Resource) -> str:
    start, end = first_day(_period(task).get("start")), last_day(_period(task).get("end"))
    if start and end and start != end:
        return f"{in_words(start)} to {in_words(end)}"
    day = start or end
    return in_words(day) if day else ""


def _about_review(task: Resource) -> str:
    reason = next((c.get("display") for c in (task.get("reasonCode") or {}).get("coding", ()) if c.get("display")), "")
    return ": ".join(str(one) for one in (reason, task.get("description")) if one)


def _documents(copy: Copy) -> Section:
    """What else belongs to the plan: a plan may be written in any style, and stand in a document (R97)."""
    named = [
        one
        for one in copy.plan.get("supportingInfo", ())
        if key_of(one).startswith("DocumentReference/") and key_of(one) in copy.seen
    ]
    rows = [f"<li>{escape(_document(copy, one))}</li>" for one in named]
    parts = ("<ul>\n" + "\n".join(rows) + "\n</ul>",) if rows else ()
    return Section("Documents that belong to it", parts, tuple(keys_in(named)))


def _document(copy: Copy, reference: Mapping[str, Any]) -> str:
    content = content_of(copy.seen.get(key_of(reference)))
    return str(reference.get("display") or content.get("description") or key_of(reference))


def _agreement(copy: Copy) -> Section:
    said = [_STATUS.get(status_of(copy.plan), "")]
    days = days_of(copy.plan.get("period"))
    said += [f"It is for the time {days}."] if days.start or days.end else []
    for task in copy.agreed:
        day = first_day((task.get("executionPeriod") or {}).get("end")) or day_of(str(task["lastModified"]))
        by = copy.called(task.get("owner"))
        said.append(f"Signed off on {in_words(day)}{f' by {by}' if by else ''}.")
    said.append(
        "If something in it is not right any more, tell the care co-ordinator: a plan may be changed at any time."
    )
    return Section("Agreement", tuple(_paragraphs(said)), tuple(_key(one) for one in copy.agreed))


def _seen_of(copy: Copy, keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(key for key in keys if key in copy.seen)


PARTS: Sequence[Callable[[Copy], Section]] = (
    _of_form("About the person, in their words", *_ABOUT),
    _of_form("What is working, and what is not", *_WORKING),
    _of_form("What matters", *_MATTERS),
    _goals,
    _activities,
    _money,
    _risks,
    _team,
    _reviews,
    _documents,
    _agreement,
)
