"""Rules, asked: what `rules/book` says of everything that one transaction is about to write.

A rule yields questions; they are answered here, from what is pending first and from what is stored after that. What rules decide is
folded in one after another, so that two purchases in one Bundle cannot each fit alone and overspend together. What follows from a
write (a Task that somebody must decide, a budget that moves on) is judged as well, and written in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from phb_fhir.change import Committed, Create, Effect, Put
from phb_fhir.definitions.walk import rewrite
from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.joins import Joins
from phb_fhir.interactions.pending import Pending
from phb_fhir.interactions.validation import Content, check_resource
from phb_fhir.interactions.versions import Decided, content_of, is_same, next_version
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.rules.book import ORDER, RULES
from phb_fhir.rules.case import (
    FOUND_MAX,
    Asking,
    Books,
    By,
    Case,
    Find,
    Follow,
    PolicyOf,
    Posted,
    Question,
    Read,
    ReadVersion,
    judge_in_order,
)
from phb_fhir.rules.commissioning import read_policies
from phb_fhir.rules.ledger import Entry, Ledger
from phb_fhir.search.parse import parse_criteria
from phb_fhir.store.store import Reader, Transaction, Write

LONDON = ZoneInfo("Europe/London")
FOLLOWING_MAX = 1_000  # what may follow from one transaction

T = TypeVar("T")


class Facts:
    """Answers to what rules ask. `pending` is what is about to be written, by key, None for what is deleted."""

    def __init__(self, context: Context, reader: Reader, pending: dict[str, Resource | None] | None = None) -> None:
        self._context = context
        self._reader = reader
        self.pending = pending if pending is not None else {}
        self._contents: dict[str, Resource | None] = {}
        self.before: dict[str, Ledger] = {}  # as they were read
        self.ledgers: dict[str, Ledger] = {}  # … and after what was posted since
        self.posted: list[Entry] = []

    async def ask(self, asking: Asking[T]) -> T:
        """What the asking comes to, each of its questions answered."""
        try:
            question = next(asking)
            while True:
                question = asking.send(await self.answer(question))
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    async def answer(self, question: Question) -> Any:
        match question:
            case Read():
                return await self._read(question.keys)
            case ReadVersion():
                type_, _, id_ = question.key.partition("/")
                version = await self._reader.read_version(type_, id_, question.number)
                return relative(self._context, content_of(version))
            case Find():
                return await self._find(question)
            case Books():
                return await self._books(question.accounts)
            case PolicyOf():
                return read_policies(self._context.settings.commissioning_folder).of(question.commissioner)
            case Posted():
                stored = await self._reader.ledger.about(question.about)
                return stored + [entry for entry in self.posted if entry.about == question.about]

    def post(self, entries: Sequence[Entry]) -> None:
        """Fold entries in, so that whoever asks next sees them."""
        for entry in entries:
            self.ledgers[entry.account] = self.ledgers[entry.account].after([entry])
        self.posted += entries

    async def _read(self, keys: Sequence[str]) -> dict[str, Resource | None]:
        missing = [key for key in keys if key not in self.pending and key not in self._contents]
        if missing:
            stored = await self._reader.read_all(missing)
            for key in missing:
                self._contents[key] = relative(self._context, content_of(stored.get(key)))
        return {key: self.pending[key] if key in self.pending else self._contents[key] for key in keys}

    async def _find(self, question: Find) -> list[Resource]:
        query = parse_criteria(question.type, question.parameters, self._context.asking())
        written = {key for key in self.pending if key.startswith(f"{question.type}/")}
        joins = Joins(self._reader, self._context.asking())
        stored = await joins.matching(query, count=FOUND_MAX + len(written))
        found = [relative(self._context, content_of(one)) for one in stored if one.key not in written]
        rows = {
            index: Put(question.type, key.partition("/")[2], resource)
            for index, key in enumerate(sorted(written))
            if (resource := self.pending[key]) is not None
        }
        if rows:
            made = await Pending(self._context, rows, self._context.now()).matching(joins, query)
            found += [rows[index].resource for index in made]
        return [one for one in found if one is not None][:FOUND_MAX]

    async def _books(self, accounts: Sequence[str]) -> dict[str, Ledger]:
        if missing := [account for account in accounts if account not in self.ledgers]:
            read = await self._reader.ledger.of(missing)
            self.before |= read
            self.ledgers |= read
        return {account: self.ledgers[account] for account in accounts}


async def asked(context: Context, asking: Asking[T]) -> T:
    """What rules say outside of any write, of the record as it stands: for operations that only want to know."""
    return await Facts(context, context.store).ask(asking)


class Judgement:
    """One transaction, judged. `following` is what is to be written beside what was asked for."""

    def __init__(self, context: Context, transaction: Transaction, now: datetime) -> None:
        self._context = context
        self._transaction = transaction
        self._now = now
        self._facts = Facts(context, transaction)
        self._own: dict[str, Decided] = {}

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

    async def post(self) -> None:
        """Post the entries. Last of all, because others wait for their turn at a budget."""
        if self._facts.posted:
            await self._transaction.books.post(self._facts.posted, self._facts.before, self._now)

    def _note(self, one: Decided) -> None:
        if one.write is not None:
            content = None if one.content is None else relative(self._context, named(one.content))
            self._facts.pending[one.write.after.key] = content

    async def _judged(self, one: Decided, *, is_own: bool) -> list[Follow]:
        write = one.write
        rules = RULES.get(write.after.type, ()) if write is not None else ()
        if write is None or not rules:
            return []
        decision = await self._facts.ask(judge_in_order(self._case(write, is_own=is_own), rules))
        if decision.is_refusal:
            raise Rejected(Refusal.UNPROCESSABLE, *(issue for issue in decision.issues if issue.is_error))
        if decision.first:
            await self._matched(one, write, decision.first)
            return []
        if decision.content is not None:
            self._replace(one, write, decision.content)
        one.committed = replace(one.committed, advice=one.committed.advice + decision.issues)
        self._facts.post(decision.entries)
        return list(decision.follow)

    def _case(self, write: Write, *, is_own: bool) -> Case:
        after = write.after
        before = relative(self._context, content_of(write.before))
        case = case_of(self._context, after.key, before, self._facts.pending[after.key], self._now)
        version = f"{after.key}/_history/{after.number}"
        return replace(case, version=version, is_own=is_own, names_id=after.method == "PUT")

    async def _matched(self, one: Decided, write: Write, key: str) -> None:
        """Answer with what this was meant to be already: nothing new is written."""
        version = (await self._transaction.read_all([key])).get(key)
        one.committed, one.write, one.content = Committed(Effect.MATCHED, version), None, None
        del self._facts.pending[write.after.key]

    def _replace(self, one: Decided, write: Write, content: Resource) -> None:
        """Let a rule's content take the place of what was asked to be written."""
        after = write.after
        index = self._context.index_of(content, after.id)
        change = Create(after.type, after.id, content) if after.method == "POST" else Put(after.type, after.id, content)
        version = next_version(change, write.before, content, self._now, index)._replace(method=after.method)
        one.write = Write(write.before, version, index)
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
            self._replace(known, known.write, follow.resource)
            return known
        current = (await self._transaction.read_all([follow.key])).get(follow.key)
        if current is not None and is_same(current, follow.resource):
            return None
        return self._made(Put(type_, follow.key.partition("/")[2], follow.resource), current)

    def _made(self, change: Create | Put, current: Any) -> Decided:
        index = self._context.index_of(change.resource, change.id)
        version = next_version(change, current, change.resource, self._now, index)
        effect = Effect.CREATED if current is None or current.is_deleted else Effect.UPDATED
        one = Decided(
            Committed(effect, version),
            Write(current, version, index),
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
    resource = content.resource
    return resource if resource.get("id") == content.id else {**resource, "id": content.id}


def relative(context: Context, resource: Resource | None) -> Resource | None:
    """The resource with its references to this server's own address as they are written here: `Account/1`."""
    if resource is None or not any(_absolute(resource)):
        return resource
    made = deepcopy(resource)
    rewrite(made, context.definitions, lambda at: context.own.local(at.value) if at.kind == "Reference" else None)
    return made


def _absolute(value: Any) -> Iterator[bool]:
    """Whether anything in it is an absolute reference: a quick look, so that few are copied."""
    if isinstance(value, dict):
        reference = value.get("reference")
        if isinstance(reference, str) and reference.startswith("http"):
            yield True
        for each in value.values():
            if isinstance(each, dict | list):
                yield from _absolute(each)
    elif isinstance(value, list):
        for each in value:
            yield from _absolute(each)


def _type(one: Decided) -> str:
    return one.write.after.type if one.write is not None else ""
