"""Money asked back (SM-J; NHS (Direct Payments) Regulations 2013, regulation 15; DP-7): the Task `repayment-notice`.

A notice is given in writing: on which ground, how much, by when, from whom, and why, in words. Whoever must repay may ask once for it to be
looked at again, and is told the result in writing. What came back is an `advance-returned` in the ledger of the parts that were paid out: by a
payment back, or where none says so, by the notice being `repaid`. A payment that was recorded after the notice was given is towards
it, unless it names another (PaymentReconciliation.request).
STEPS is the table of SM-J: a notice that stands ends as repaid, or written off.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import pence_of, sterling
from phb_fhir.outcome import Issue
from phb_fhir.rules.around import has_died, says_why
from phb_fhir.rules.budget import (
    Element,
    elements_of,
    first_day,
    in_words,
    is_budget,
    is_joint,
    last_day,
    owner_of,
    person_of,
)
from phb_fhir.rules.case import (
    NOTHING,
    Asking,
    Books,
    By,
    Case,
    Decision,
    Find,
    Follow,
    Hold,
    Judging,
    Posted,
    Read,
    ReadVersion,
    Sees,
    no_step,
    refusal,
)
from phb_fhir.rules.deciding import bare, given, is_about, notice, reason_in_words, same_person
from phb_fhir.rules.ledger import Entry, Ledger, Told, entry, positions, reversal
from phb_fhir.rules.paid import counts, lines_of
from phb_fhir.rules.words import BASE, BUSINESS_STATUS, TASK_CODE, code_in, codings, key_of, value_of

CODE = "repayment-notice"
GROUND = f"{BASE}/CodeSystem/phb-repayment-ground"

# SM-J. A notice is looked at again once.
STEPS: Mapping[str, tuple[str, ...]] = {
    "": ("issued",),  # a draft that nobody was given yet
    "issued": ("reconsideration-requested", "withdrawn", "repaid", "written-off"),
    "reconsideration-requested": ("confirmed", "varied", "withdrawn"),
    "confirmed": ("repaid", "written-off"),
    "varied": ("repaid", "written-off"),
    "withdrawn": (),
    "repaid": (),
    "written-off": (),
}
STATES = tuple(state for state in STEPS if state)
ENDED = frozenset(("withdrawn", "repaid", "written-off"))
RESULTS = frozenset(("confirmed", "varied", "withdrawn"))  # what is told in writing, with reasons
_FREE = frozenset(("draft", "cancelled", "entered-in-error"))
_STATUSES: Mapping[str, tuple[str, ...]] = {
    "draft": ("draft", "requested", "received", "accepted", "in-progress", "cancelled", "entered-in-error"),
    "cancelled": ("cancelled", "entered-in-error"),
    "entered-in-error": ("entered-in-error",),
}
_NOTICE = ("focus", "for", "owner", "reasonCode", "description")  # what was given in writing
_STATE = "Task.businessStatus"
_AMOUNT = "Task.input"


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice with what the record says: the budgets whose parts were paid out, their ledgers, the person, and what else is asked back."""

    task: Resource
    by: By
    budgets: Mapping[str, Resource] = field(default_factory=dict)
    ledgers: Mapping[str, Ledger] = field(default_factory=dict)
    patient: Resource | None = None
    before: Resource | None = None
    others: Sequence[Resource] = ()  # other notices about these budgets that stand
    seen: frozenset[str] = frozenset()  # those of the budgets that whoever writes may be told of
    relative: Resource | None = None  # who must repay, where that is a RelatedPerson
    came_back: int = 0  # pence that payments have brought back towards it
    came_to_others: Mapping[str, int] = field(default_factory=dict)  # and towards the others, by their id

    @property
    def state(self) -> str:
        return state_of(self.task)

    @property
    def pence(self) -> int:
        return amount_of(self.task)

    @property
    def outstanding(self) -> int:
        """The pence that payments have not brought back yet."""
        return max(self.pence - self.came_back, 0)

    @property
    def owner(self) -> str:
        return key_of(self.task.get("owner"))

    @property
    def paid_out(self) -> list[tuple[str, Element]]:
        """The parts that are paid out to somebody, with their accounts."""
        return [
            (key, one) for key, budget in self.budgets.items() for one in elements_of(budget) if one.model != "notional"
        ]

    @property
    def owed(self) -> list[tuple[str, Element]]:
        """Those that whoever must repay holds; who holds none repays what was paid directly to the person."""
        own = [pair for pair in self.paid_out if pair[1].holder == self.owner]
        return own or [pair for pair in self.paid_out if pair[1].model == "direct-payment"] or self.paid_out

    def asked_by(self, other: Resource) -> int:
        """The pence that another notice still asks for."""
        return max(amount_of(other) - self.came_to_others.get(str(other.get("id")), 0), 0)

    def advanced(self, place: tuple[str, Element]) -> int:
        return self.ledgers[place[0]].of(place[1].id).advanced


def state_of(task: Resource | None) -> str:
    """Where a notice stands, of SM-J; "" for one that was never given."""
    if task is None or task.get("status") in _FREE:
        return ""
    return code_in(task.get("businessStatus"), BUSINESS_STATUS)


def amount_of(task: Resource) -> int:
    return next((pence for one in given(task, "repayment-amount") if (pence := pence_of(one))), 0)


def judge_repayment(case: Case) -> Judging:
    """What is to be said of a notice to repay, and what follows from it: letters, and what came back."""
    if not is_about(case, CODE):
        return NOTHING
    posted: list[Entry] = [] if case.is_new else (yield Posted(case.key))
    if case.after is None:
        return Decision(tuple(_kept(case.before)))
    found = yield from _read(case, case.after)
    issues = [*_stepped(case), *_stays_as_given(case)]
    if case.after.get("status") not in _FREE and not issues:
        issues += [issue for check in CHECKS for issue in check(found)] if not _is_over(case) else []
    if issues:
        return Decision(tuple(issues))
    entries = list(_entries(case, found, posted))
    return Decision(entries=tuple(entries), follow=tuple(_letters(case, found)))


def _read(case: Case, task: Resource) -> Asking[Notice]:
    account, person, owner = (key_of(task.get(name)) for name in ("focus", "for", "owner"))
    relative = owner if owner.startswith("RelatedPerson/") else ""
    found: dict[str, Resource | None] = yield Read(*(key for key in (account, person, relative) if key))
    budget = found.get(account)
    if budget is None or not is_budget(budget):
        return Notice(task, case.by, patient=found.get(person), before=case.before)
    budgets = {account: budget}
    if is_joint(budget):
        members: list[Resource] = yield Find("Account", ("part-of", account))
        budgets = {f"Account/{one['id']}": one for one in members}
    ledgers: dict[str, Ledger] = (yield Books(*budgets)) if budgets else {}
    others = (yield from _others(case, {account, *budgets})) if not state_of(case.before) else []
    seen: frozenset[str] = (yield Sees(*budgets)) if budgets else frozenset()
    made = Notice(task, case.by, budgets, ledgers, found.get(person), case.before, others, seen)
    made = replace(made, relative=found.get(relative))
    if others:
        made = replace(made, came_to_others=(yield from _came_to(others, made, {account, *budgets})))
    if made.state != "repaid" or state_of(case.before) in ("", "repaid"):
        return made
    return replace(made, came_back=sum((yield from _came_back(case.key, made, {account, *budgets}))))


def _others(case: Case, accounts: Collection[str]) -> Asking[list[Resource]]:
    """The notices about these budgets that stand, beside one that is given now; of two that are given at once, one sees the other."""
    yield Hold(*(f"repayment {one}" for one in sorted(accounts)))
    found: list[Resource] = yield Find("Task", ("code", f"{TASK_CODE}|{CODE}"), ("focus", ",".join(sorted(accounts))))
    return [one for one in found if one.get("id") != case.id and state_of(one) not in ("", *ENDED)]


# ---- what payments brought back ------------------------------------------------------------------


class Back(NamedTuple):
    """Pence that a payment brought back: recorded when, and towards which notice, "" where it does not say."""

    recorded: str
    notice: str
    pence: int


def _came_to(others: Sequence[Resource], n: Notice, accounts: Collection[str]) -> Asking[dict[str, int]]:
    """The pence that payments brought back towards each of the notices that stand; what names none of them, towards one alone."""
    found: dict[str, int] = {}
    used = 0
    for one in sorted(others, key=lambda one: str(one.get("authoredOn"))):
        named, since = yield from _came_back(f"Task/{one['id']}", replace(n, task=one), accounts)
        took = min(max(since - used, 0), max(amount_of(one) - named, 0))
        used += took
        found[str(one["id"])] = named + took
    return found


def _came_back(key: str, n: Notice, accounts: Collection[str]) -> Asking[tuple[int, int]]:
    """The pence that payments brought back towards this notice: what names it; and what names none, since it was given. What others that are repaid
    have counted is not counted again.
    """
    owners = {owner_of(one) for one in n.budgets.values()} - {""}
    paid: list[Resource] = yield Find(
        "PaymentReconciliation", ("account", ",".join(sorted(accounts))), ("payee", ",".join(sorted(owners)))
    )
    back = []
    for one in (one for one in paid if counts(one) and _is_back(one, n)):
        first: Resource | None = yield ReadVersion(f"PaymentReconciliation/{one['id']}", 1)
        pence = sum(line.pence for line in lines_of(one) if line.kind == "advance")
        back.append(Back(_recorded(first), key_of(one.get("request")), pence))
    given_at = yield from _given_at(key)
    named = sum(one.pence for one in back if one.notice == key)
    since = sum(one.pence for one in back if not one.notice and one.recorded > given_at)
    for other in (yield from _repaid(key, n, accounts)):
        theirs = f"Task/{other['id']}"
        posted: list[Entry] = yield Posted(theirs)
        counted = amount_of(other) + sum(one.sums.advanced for one in posted)
        counted -= sum(one.pence for one in back if one.notice == theirs)
        at = yield from _given_at(theirs)
        counted -= sum(one.pence for one in back if not one.notice and at < one.recorded <= given_at)
        since -= max(counted, 0)
    return named, max(since, 0)


def _is_back(payment: Resource, n: Notice) -> bool:
    """Whether a payment brings something back of a part that this notice is about. Who sent it, if a person, R4 cannot say."""
    is_sent_out = key_of(payment.get("paymentIssuer")) in {owner_of(one) for one in n.budgets.values()}
    return not is_sent_out and value_of(payment, "phb-element") in {part.id for _, part in n.owed}


def _repaid(key: str, n: Notice, accounts: Collection[str]) -> Asking[list[Resource]]:
    """The other notices about the same parts that are repaid."""
    found: list[Resource] = yield Find("Task", ("code", f"{TASK_CODE}|{CODE}"), ("focus", ",".join(sorted(accounts))))
    others = [one for one in found if f"Task/{one.get('id')}" != key and state_of(one) == "repaid"]
    return [one for one in others if _owed(n, one) == n.owed]


def _given_at(key: str) -> Asking[str]:
    """When a notice was recorded first."""
    first: Resource | None = yield ReadVersion(key, 1)
    return _recorded(first)


def _recorded(version: Resource | None) -> str:
    return str(((version or {}).get("meta") or {}).get("lastUpdated") or "")


def _kept(before: Resource | None) -> Iterator[Issue]:
    if before is not None and before.get("status") != "draft":
        yield refusal("A notice that was given is kept. If it was never meant, mark it as entered in error.", "Task")


# ---- what speaks against it ----------------------------------------------------------------------


def _stepped(case: Case) -> Iterator[Issue]:
    before, after = case.before, case.after or {}
    now = state_of(after)
    if after.get("status") not in _FREE and now not in STATES:
        yield refusal(f"Say where the notice stands: {', '.join(STATES)}.", _STATE)
    elif before is not None and before.get("status") in ("cancelled", "entered-in-error"):
        if after.get("status") not in _STATUSES[str(before["status"])]:
            yield refusal(f"A notice that is {before['status']} stays so; give another.", "Task.status")
    elif before is not None and after.get("status") not in _FREE:
        was = state_of(before)
        if was != now and now not in STEPS.get(was, ()):
            if now == "reconsideration-requested" and was in ("confirmed", "varied"):
                yield refusal("This notice was looked at again already, which happens once.", _STATE)
            else:
                yield no_step("A notice", was or "a draft", now, STEPS.get(was, ()), _STATE)
    elif before is not None and after.get("status") == "draft" and before.get("status") != "draft":
        yield refusal("A notice that was given does not become a draft again.", "Task.status")
    if now and (now in ENDED) != (after.get("status") == "completed"):
        text = f"A notice that is {now} {'is over: its status is completed' if now in ENDED else 'is not over: it is not completed yet'}."
        yield refusal(text, "Task.status")


def _stays_as_given(case: Case) -> Iterator[Issue]:
    before, after = case.before, case.after or {}
    if before is None or not state_of(before) or after.get("status") in _FREE:
        return
    for name in _NOTICE:
        if bare(before.get(name)) != bare(after.get(name)):
            text = "What was given in writing stays as it was given. Withdraw it, and give another notice."
            yield refusal(text, f"Task.{name}")
    was, now = (amount_of(before), _due(before)), (amount_of(after), _due(after))
    if was == now:
        return
    is_varied = state_of(before) == "reconsideration-requested" and state_of(after) == "varied"
    sooner = was[1] is not None and (now[1] is None or now[1] < was[1])
    if not is_varied or now[0] > was[0] or sooner:
        text = "How much is asked back, and by when, changes only when the notice is looked at again (varied): for less, or for later."
        yield refusal(text, _AMOUNT)


def _due(task: Resource) -> str | None:
    day = last_day(((task.get("restriction") or {}).get("period") or {}).get("end"))
    return None if day is None else day.isoformat()


def _is_over(case: Case) -> bool:
    """Whether the notice was over before this write, which only adds to its record."""
    return state_of(case.before) in ENDED and state_of(case.before) == state_of(case.after)


def _of_a_budget(n: Notice) -> Iterator[Issue]:
    if not n.budgets:
        yield refusal("A notice to repay is about a budget: its focus is an Account that is here.", "Task.focus")
        return
    yield from same_person(n.task, person_of(next(iter(n.budgets.values()))), "the budget")


def _says_all(n: Notice) -> Iterator[Issue]:
    """The ground, the reasons in words, the amount and the time (regulation 15(2))."""
    if not any(system == GROUND for system, _ in codings(n.task.get("reasonCode"))):
        yield refusal("Say on which ground of regulation 15 the money is asked back.", "Task.reasonCode")
    if not str(n.task.get("description") or "").strip():
        yield refusal("Say why, in words that whoever must repay can understand.", "Task.description")
    if n.pence <= 0:
        yield refusal("Say how much is asked back, in pounds and whole pence.", _AMOUNT)
    due = last_day(((n.task.get("restriction") or {}).get("period") or {}).get("end"))
    given_on = first_day(n.task.get("authoredOn"))
    if due is None:
        yield refusal("Say by when it is to be repaid.", "Task.restriction.period.end")
    elif given_on is not None and due <= given_on:
        yield refusal(
            "Whoever must repay has some time for it: the day is after that of the notice.",
            "Task.restriction.period.end",
        )


def _from_whom(n: Notice) -> Iterator[Issue]:
    """Who received the money; after somebody's death, who looks after the estate (regulation 15(1))."""
    may = {person_of(one) for one in n.budgets.values()} | {one.holder for _, one in n.paid_out}
    is_related = key_of((n.relative or {}).get("patient")) in {person_of(one) for one in n.budgets.values()}
    if state_of(n.before):
        return  # whom it was given to stays as it is
    if n.owner not in may and not is_related and (not _is_after_death(n) or n.owner.startswith("RelatedPerson/")):
        told = {one.holder for key, one in n.paid_out if key in n.seen} | {key_of(n.task.get("for"))} & may
        who = [*sorted(told), *(["somebody else"] if may - told else [])]
        text = f"{n.owner or 'Nobody'} received no money of this budget; {', '.join(who)} did."
        yield refusal(text, "Task.owner")
    if _is_after_death(n) and n.owner == key_of(n.task.get("for")):
        text = "After the person's death the notice goes to who looks after the estate: a RelatedPerson, or an organisation."
        yield refusal(text, "Task.owner")


def _is_after_death(n: Notice) -> bool:
    return has_died(n.patient) or "death" in {
        code for system, code in codings(n.task.get("reasonCode")) if system == GROUND
    }


def _no_more_than_was_paid(n: Notice) -> Iterator[Issue]:
    """All that stands together asks no more back than was paid out: of one who must repay; and of all who are asked for the same parts."""
    was = state_of(n.before)
    if not n.budgets or (was and (was == n.state or n.state != "repaid")):
        return
    theirs = [one for one in n.others if key_of(one.get("owner")) == n.owner]
    same = [one for one in n.others if {*_owed(n, one)} & {*n.owed}]
    for others, whom in ((theirs, "to them"), (same, "of these parts")):
        places = {*n.owed, *(place for one in others for place in _owed(n, one))}
        advanced = sum(max(n.advanced(one), 0) for one in places)
        asked = sum(n.asked_by(one) for one in others)
        if asked + n.outstanding > advanced:
            already = f", and {sterling(asked)} of it is asked back already" if asked else ""
            paid = sterling(advanced) if all(key in n.seen for key, _ in places) else "Less"
            text = f"{paid} was paid out {whom}{already}, so {sterling(n.pence)} cannot be asked back."
            yield refusal(text, _AMOUNT)
            return


def _owed(n: Notice, other: Resource) -> list[tuple[str, Element]]:
    """The parts that another notice about these budgets is about."""
    return replace(n, task=other).owed


def _by_who_may(n: Notice) -> Iterator[Issue]:
    """The NHS gives a notice and decides about it; whoever must repay asks for it to be looked at again."""
    if n.by.is_professional or n.by.role == "finance":
        return
    was = state_of(n.before)
    theirs = n.owner in n.by.names | n.by.patients | n.by.acts_for
    if theirs and was != n.state and n.state == "reconsideration-requested":
        return
    text = "The NHS gives a notice to repay, and decides what becomes of it. Whoever must repay can ask for it to be looked at again."
    yield refusal(text, "Task")


def _says_why(n: Notice) -> Iterator[Issue]:
    """The result of looking at it again is given in writing, and so is why somebody asks for that."""
    if state_of(n.before) != n.state and n.state in (*RESULTS, "reconsideration-requested") and not says_why(n.task):
        what = "it should be looked at again" if n.state == "reconsideration-requested" else "it was decided like this"
        yield refusal(f"Say in words why {what} (statusReason).", "Task.statusReason")


CHECKS = (_of_a_budget, _says_all, _from_whom, _no_more_than_was_paid, _by_who_may, _says_why)


# ---- what follows --------------------------------------------------------------------------------


def _entries(case: Case, n: Notice, posted: list[Entry]) -> Iterator[Entry]:
    """What came back, from the parts that were paid out to whoever repaid; or its undoing."""
    was = {place: sums for place, sums in positions(posted).items() if any(sums)}
    wants = n.state == "repaid"
    if wants and (was or state_of(case.before) == "repaid"):
        return
    day = case.today.isoformat()
    if not wants:
        funders = {one.account: one.funder for one in posted}
        for (account, pot), sums in was.items():
            yield reversal(sums, account, pot, Told(case.version, case.key, funders[account], day))
        return
    left = n.outstanding
    for account, part in n.owed:
        take = min(left, max(n.advanced((account, part)), 0))
        if take:
            told = Told(case.version, case.key, owner_of(n.budgets[account]), day, "repaid")
            yield entry("advance-returned", take, account, part.id, told)
            left -= take


def _letters(case: Case, n: Notice) -> Iterator[Follow]:
    """Notice is given in writing, and so is the result of looking at it again (regulation 15(2) and (4))."""
    if case.is_new and case.by.role == "system":
        return  # brought in: whoever must repay was told then
    was, now = state_of(case.before), n.state
    if was == now:
        return
    due = last_day(((n.task.get("restriction") or {}).get("period") or {}).get("end"))
    by = in_words(due) if due is not None else "a day to be agreed"
    asked = f"{sterling(n.pence)} is to be repaid by {by}."
    if now == "issued":
        again = "If you do not agree, you can ask for this to be looked at again."
        yield _to_owner(case, notice(case, "Notice to repay", asked, str(n.task.get("description") or ""), again))
    elif now in RESULTS:
        said = {"confirmed": f"The notice stands. {asked}", "varied": f"The notice was changed. {asked}"}
        text = said.get(now, "The notice was taken back. Nothing is to be repaid.")
        yield _to_owner(case, notice(case, "What was decided about the notice to repay", text, reason_in_words(n.task)))


def _to_owner(case: Case, letter: Follow) -> Follow:
    """The letter, from who gave the notice to who must repay; they are in the Task as requester and owner."""
    task = case.after or {}
    content = {name: value for name, value in letter.resource.items() if name != "sender"}
    if sender := _bare(task.get("requester")):
        content["sender"] = sender
    return Follow({**content, "recipient": [_bare(task.get("owner"))]})


def _bare(reference: object) -> dict[str, object]:
    found = reference if isinstance(reference, dict) else {}
    return {name: value for name, value in found.items() if name in ("reference", "identifier", "display")}
