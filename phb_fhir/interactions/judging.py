"""Rules, asked: what `rules/book` says of everything that one transaction is about to write.

A rule yields questions; they are answered here, from what is pending first and from what is stored after that. What rules decide is
folded in one after another, so that two purchases in one Bundle cannot each fit alone and overspend together. What follows from a
write (a Task that somebody must decide, a budget that moves on) is judged as well, and written in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from phb_fhir.change import Committed, Create, Effect, Put
from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.contents import held, relative
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.facts import Facts
from phb_fhir.interactions.judgement import unnamed
from phb_fhir.interactions.validation import Content, check_resource
from phb_fhir.interactions.versions import Decided, is_same, next_version
from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, refuse
from phb_fhir.rules.book import ORDER, RULES
from phb_fhir.rules.budget import LONDON
from phb_fhir.rules.case import Asking, By, Case, Follow, judge_in_order
from phb_fhir.store.store import Transaction, Write

FOLLOWING_MAX = 1_000  # what may follow from one transaction

T = TypeVar("T")


async def asked(context: Context, asking: Asking[T]) -> T:
    """What rules say outside of any write, of the record as it stands: for operations that only want to know."""
    return await Facts(context, context.store).ask(asking)


class Judgement:
    """One transaction, judged. `following` is what is to be written beside what was asked for.

    `unread` are the keys of what its writer may change and not read, which the scopes of a token may part: of these nobody is told what
    rules say, which goes by what was there.
    """

    def __init__(
        self, context: Context, transaction: Transaction, facts: Facts, now: datetime, unread: Collection[str] = ()
    ) -> None:
        self._context = context
        self._transaction = transaction
        self._now = now
        self._facts = facts
        self._own: dict[str, Decided] = {}
        self._unread = frozenset(unread)

    @property
    def own(self) -> list[Decided]:
        """What the server writes itself."""
        return list(self._own.values())

    @property
    def following(self) -> list[Write]:
        return [one.write for one in self._own.values() if one.write is not None]

    async def judge(self, decided: Sequence[Sequence[Decided]], told: Callable[[int, Rejected], Rejected]) -> None:
        """Let the rules look at every change; those they alter are altered in place. Raises Rejected (422) with all their reasons."""
        if not any(one.write is not None and one.write.after.type in RULES for each in decided for one in each):
            return
        for each in decided:
            for one in each:
                self._note(one)
        asked = [(index, one) for index, each in enumerate(decided) for one in each if one.write is not None]
        standing = {one.write.after.key: one for _, one in asked if one.write is not None}
        follow: list[Follow] = []
        for index, one in sorted(asked, key=lambda pair: ORDER.get(_type(pair[1]), len(ORDER))):
            try:
                follow += await self._judged(one, is_own=False)
            except Rejected as rejected:
                raise told(index, rejected) from None
        for _ in range(FOLLOWING_MAX):
            if not follow:
                return
            made = await self._decided(follow.pop(0), standing)
            if made is not None:
                follow += await self._judged(made, is_own=True)
        raise refuse(Refusal.INTERNAL, Kind.TOO_COSTLY, "Too much would follow from this; nothing was written.")

    def _note(self, one: Decided) -> None:
        if one.write is not None:
            content = None if one.content is None else relative(self._context, named(one.content))
            self._facts.pending[one.write.after.key] = content

    async def _judged(self, one: Decided, *, is_own: bool) -> list[Follow]:
        write = one.write
        rules = RULES.get(write.after.type, ()) if write is not None else ()
        if write is None or not rules:
            return []
        decision = await self._facts.ask(judge_in_order(self._case(write, is_own=is_own), rules), self._context)
        said = await unnamed(self._context, self._transaction, decision.issues, self._facts.pending)
        issues = self._told(write.after.key, said, is_own=is_own)
        if decision.is_refusal:
            raise Rejected(Refusal.UNPROCESSABLE, *(issue for issue in issues if issue.is_error))
        if decision.first:
            await self._matched(one, write, decision.first)
            return []
        if decision.content is not None:
            self._replace(one, write, decision.content)
        one.committed = replace(one.committed, advice=one.committed.advice + tuple(issues))
        self._facts.post(decision.entries)
        return list(decision.follow)

    def _told(self, key: str, said: Sequence[Issue], *, is_own: bool) -> list[Issue]:
        """What is told of what rules say: of what its writer may not read, no more than that they refuse it."""
        if key not in self._unread and not (is_own and self._unread):
            return list(said)
        text = "The rules refuse this. Why goes by what is there, and the scopes of the token do not let it read that."
        return [Issue(Kind.BUSINESS_RULE, text)] if any(one.is_error for one in said) else []

    def _case(self, write: Write, *, is_own: bool) -> Case:
        after = write.after
        before = held(self._context, write.before)
        case = case_of(self._context, after.key, before, self._facts.pending[after.key], self._now)
        version = f"{after.key}/_history/{after.number}"
        return replace(case, version=version, is_own=is_own, names_id=after.method == "PUT")

    async def _matched(self, one: Decided, write: Write, key: str) -> None:
        """Answer with what this was meant to be already: nothing new is written."""
        version = (await self._transaction.read_all([key])).get(key)
        if version is None:  # written along with this one
            text = f"{key} has the same reference, and is written together with this; a reference names one alone."
            raise refuse(Refusal.UNPROCESSABLE, Kind.DUPLICATE, text, f"{write.after.type}.identifier")
        one.committed, one.write, one.content = Committed(Effect.MATCHED, version), None, None
        del self._facts.pending[write.after.key]

    def _replace(self, one: Decided, write: Write, content: Resource) -> None:
        """Let a rule's content take the place of what was asked to be written."""
        after = write.after
        change = Create(after.type, after.id, content) if after.method == "POST" else Put(after.type, after.id, content)
        version = next_version(change, write.before, content, self._now, None)._replace(method=after.method)
        one.write = Write(write.before, version, None)
        one.committed = replace(one.committed, version=version)
        if one.content is not None:
            one.content = replace(one.content, resource=content)
        self._note(one)

    async def _decided(self, follow: Follow, standing: Mapping[str, Decided]) -> Decided | None:
        """What follows, as a change of its own; or as a change of one that is written anyway. None where nothing changes."""
        type_ = follow.resource["resourceType"]
        check_resource(self._context, follow.resource, type_)
        if not follow.key:
            id_ = self._context.new_id()
            made = {
                "resourceType": type_,
                "id": id_,
                **{name: v for name, v in follow.resource.items() if name != "resourceType"},
            }
            change: Create | Put = Create(type_, id_, made)
            return self._made(change, None)
        known = standing.get(follow.key) or self._own.get(follow.key)
        if known is not None and known.write is not None:
            there = self._facts.pending[follow.key]
            made = follow.resource if follow.anew is None or there is None else follow.anew(there)
            self._replace(known, known.write, made)
            return known
        current = (await self._transaction.read_all([follow.key])).get(follow.key)
        if current is not None and is_same(current, follow.resource):
            return None
        return self._made(Put(type_, follow.key.partition("/")[2], follow.resource), current)

    def _made(self, change: Create | Put, current: Any) -> Decided:
        version = next_version(change, current, change.resource, self._now, None)
        effect = Effect.CREATED if current is None or current.is_deleted else Effect.UPDATED
        one = Decided(
            Committed(effect, version),
            Write(current, version, None),
            Content(change.type, change.id, change.resource, current),
        )
        self._own[version.key] = one
        self._note(one)
        return one


def case_of(
    context: Context, key: str, before: Resource | None, after: Resource | None, now: datetime | None = None
) -> Case:
    """The case of a write under this key, by whoever asks."""
    type_, _, id_ = key.partition("/")
    at = now or context.now()
    return Case(type_, id_, before, after, f"{key}/_history/1", at, at.astimezone(LONDON).date(), by_whom(context))


def by_whom(context: Context) -> By:
    """Who acts, for rules: nobody in particular on an open server."""
    access = context.access
    if access is None:
        return By()
    who = access.who
    if who is None:
        return By(access.actor.role or "none")
    names = {who.user, who.organization, *who.roles} - {""}
    mandated = {mandate.patient for mandate in who.mandates if "purchase" in mandate.rights}
    own = frozenset(who.patients) if who.role == "person" else frozenset[str]()
    return By(who.role, frozenset(names), own, frozenset(mandated))


def named(content: Content) -> Resource:
    """The content under its id, which stands where the server puts it."""
    resource = content.resource
    if "id" in resource:
        return resource if resource["id"] == content.id else {**resource, "id": content.id}
    return {"resourceType": content.type, "id": content.id, **resource}


def _type(one: Decided) -> str:
    return one.write.after.type if one.write is not None else ""
