"""The one way anything is written.

`commit` takes one change, `commit_all` several that belong together; both end in `write_all`, which reads what is current,
decides each change over a view of the writes still pending, and stores the lot in one transaction. Deciding is pure, so
MongoDB may ask for the whole thing to be done again. A conditional change first locks the names it could be confused
under: two of them that might match each other's outcome run one after the other, whichever processes they are in.

What is created or put was looked at before it comes here (`validation.checked`), because that needs no transaction. What a patch
makes is only known here, and is looked at here; and so is everything's standing under the profiles that govern it by what it
refers to, and by what it was (`validation.govern`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zlib import crc32

from phb_fhir.change import Change, Committed, Create, Criteria, Delete, Effect, Patch, Put, Version
from phb_fhir.fhir.codec import Resource, loads
from phb_fhir.fhir.dates import to_millisecond
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.facts import Facts
from phb_fhir.interactions.joins import Joins
from phb_fhir.interactions.judgement import (
    Standing,
    check_change,
    check_references,
    check_repeated,
    check_written,
    standing,
)
from phb_fhir.interactions.judging import Judgement, named
from phb_fhir.interactions.once import first_outcome, keep_outcome
from phb_fhir.interactions.provenance import not_to_be_written, provenance_of
from phb_fhir.interactions.settled import check_query_settled
from phb_fhir.interactions.spelling import check_spelling
from phb_fhir.interactions.subset import STORED_DEPTH_MAX
from phb_fhir.interactions.validation import Content, check_resource, govern
from phb_fhir.interactions.versions import Decided, index_it, is_same, next_version
from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, refuse
from phb_fhir.rules.book import budgets_in, is_gathered, is_judged_for_all, names_in
from phb_fhir.search.match import is_name, keys_asked, names_tokens
from phb_fhir.store.store import Reader, Transaction, Write

# of the lock on a type: most conditional changes hold one of them, those that could meet any other hold all
STRIPES = 64


async def commit(context: Context, change: Change) -> Committed:
    """Write one change. Raises Rejected when a precondition, a rule or the database says no; then nothing was written."""
    check_trail_is_let_be(context, [change])
    # what is judged by others, and audited, is written together with that; and so is what comes with a Provenance
    together = context.together if context.once is None and is_gathered(change) else None
    if together is not None and isinstance(change, Create):
        return await together.record(context, change)
    shared = (context.access, context.trail, context.provenance, context.once)
    if any(one is not None for one in shared):
        return (await commit_all(context, [change]))[0]
    if isinstance(change, Create | Put) and is_judged_for_all(change.type, change.resource):
        return (await commit_all(context, [change]))[0]
    if isinstance(change, Create) and change.unless is None:
        return await _insert(context, change)
    if isinstance(change, Put) and change.where is None and not change.if_match:
        current = await context.store.read(change.type, change.id)
        if current is None:
            made = await _insert_at(context, change)
            if made is not None:
                return made
    return (await commit_all(context, [change]))[0]


async def commit_all(context: Context, changes: Sequence[Change]) -> list[Committed]:
    """Write these changes together, or none of them."""
    locks = lock_names(context, changes)
    name = context.once.next() if context.once else ""

    async def work(transaction: Transaction) -> list[Committed]:
        await transaction.lock(locks)
        # asked first: what a request found then, it may not find now, for what it wrote itself
        if (first := await repeated(context, transaction, name)) is not None:
            return first
        settled = [await settle(context, transaction, change) for change in changes]
        return await write_all(context, transaction, settled, name=name)

    return await context.store.transaction(work, contended=locks | keys_of(changes))


async def repeated(context: Context, transaction: Transaction, name: str) -> list[Committed] | None:
    """What came of a request that comes again, for who may still write or read that; None for one that is here for the first time."""
    first = await first_outcome(transaction, name)
    if first is not None:
        await check_repeated(context, transaction, first)
    return first


def keys_of(changes: Sequence[Change]) -> set[str]:
    """The resources that these changes name, and the budgets they are charged to, over which they may meet others."""
    keys = {f"{change.type}/{change.id}" for change in changes if change.id and not isinstance(change, Create)}
    return keys | {key for change in changes if isinstance(change, Create | Put) for key in budgets_in(change.resource)}


def lock_names(context: Context, changes: Sequence[Change]) -> set[str]:
    """The names under which changes could meet: the criteria of conditional ones, with the identifiers of what they would write; and those
    that a rule lets one resource alone have.
    """
    names: set[str] = set()
    for change in changes:
        if isinstance(change, Create | Put):
            names |= {f"{change.type} {one}" for one in names_in(change.resource)}
        criteria = change.unless if isinstance(change, Create) else change.where
        if criteria is None:
            continue
        names.add(f"{change.type}?{criteria.text}")
        names |= {f"{change.type} #{stripe}" for stripe in _stripes(change, criteria)}
        names |= {f"{change.type} {key}" for key in keys_asked(criteria.query.where)}
        if isinstance(change, Create | Put):
            names |= {
                f"{change.type} {key}" for key in context.index_of(change.resource, change.id).keys if is_name(key)
            }
    return names


def _stripes(change: Change, criteria: Criteria) -> Collection[int]:
    """Which part of the type's lock to hold: all of it where no identifier tells what would match, or what is written."""
    if isinstance(change, Patch) or not names_tokens(criteria.query.where):
        return range(STRIPES)
    return (crc32(criteria.text.encode()) % STRIPES,)


@dataclass(frozen=True, slots=True)
class Settled:
    """A change whose target is known. `matched` is the resource that a conditional create found instead of making one."""

    change: Change | None
    matched: Version | None = None
    more: tuple[Delete, ...] = ()


async def settle(context: Context, transaction: Transaction, change: Change, gone: Collection[str] = ()) -> Settled:
    """Find the target of a conditional change (R4 §3.1.0.4.3, §3.1.0.6, §3.1.0.7.1, §3.1.0.8.1).

    `gone` are keys that an earlier entry of the same transaction deletes. Raises Rejected: 412 for several matches.
    """
    criteria = change.unless if isinstance(change, Create) else change.where
    if criteria is None:
        return Settled(change)
    if context.access is not None:  # else what is there would pass for what is not, and be made a second time
        context.access.check("s", change.type)
    await check_query_settled(context, criteria.query)
    most = change.count_max if isinstance(change, Delete) else 1
    joins = Joins(context.narrow(transaction), context.asking())
    stored = await joins.matching(criteria.query, count=most + 1 + len(gone))
    found = [version for version in stored if version.key not in gone]
    if len(found) > most:
        raise _too_many(change.type, criteria, most)
    match change:
        case Create():
            return Settled(None, found[0]) if found else Settled(replace(change, unless=None))
        case Put():
            return Settled(await _settle_put(context.narrow(transaction), change, criteria, found))
        case Patch():
            if not found:
                raise refuse(Refusal.NOT_FOUND, Kind.NOT_FOUND, f"No {change.type} matches {criteria.text}.")
            return Settled(replace(change, id=found[0].id, where=None))
        case Delete():
            if not found and change.if_match is not None:  # RFC 9110 §13.1.1
                text = f"No {change.type} matches {criteria.text}, and If-Match says that there is one; nothing was deleted."
                raise refuse(Refusal.PRECONDITION_FAILED, Kind.CONFLICT, text)
            one_each = tuple(replace(change, id=version.id, where=None) for version in found)
            return Settled(one_each[0], more=one_each[1:]) if one_each else Settled(None)


async def _settle_put(reader: Reader, change: Put, criteria: Criteria, found: Sequence[Version]) -> Put:
    if found:
        if change.id and change.id != found[0].id:
            text = f"{criteria.text} matches {found[0].key}, but the body's id is '{change.id}'; leave it out or make them agree."
            raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, text, f"{change.type}.id")
        return replace(change, id=found[0].id, where=None)
    if change.id:
        there = await reader.read(change.type, change.id)
        if there is not None and not there.is_deleted:
            text = f"Nothing matches {criteria.text}, and {there.key}, which the body names, is another resource."
            raise refuse(Refusal.CONFLICT, Kind.CONFLICT, text, f"{change.type}.id")
    return replace(change, id=change.id or change.fresh_id, where=None)


async def write_all(
    context: Context,
    transaction: Transaction,
    settled: Sequence[Settled],
    told: Callable[[int, Rejected], Rejected] = lambda _, rejected: rejected,
    name: str = "",
) -> list[Committed]:
    """Decide every change over what is current and what the others before it would leave, then store all of it.

    `told` puts the refusal of the change at an index in its asker's terms. What came of it is kept under `name`, if it may come again
    (`once`); whoever calls has looked that this is the first time.
    """
    facts = Facts(context, transaction)
    prepared = await prepare(context, transaction, settled, facts, told)
    await store(transaction, [prepared], facts)
    await keep_outcome(transaction, name, prepared.answers, prepared.now)
    return prepared.answers


@dataclass(frozen=True, slots=True)
class Prepared:
    """What one request comes to, all of it decided: its answers, and what is to be written; `asked` is what it asked for itself."""

    context: Context
    now: datetime
    answers: list[Committed]
    asked: list[Write]
    writes: list[Write]


async def prepare(
    context: Context,
    transaction: Transaction,
    settled: Sequence[Settled],
    facts: Facts,
    told: Callable[[int, Rejected], Rejected] = lambda _, rejected: rejected,
) -> Prepared:
    """Decide every change, and write nothing yet. Raises Rejected."""
    changes = [change for one in settled for change in (one.change, *one.more) if change is not None]
    check_trail_is_let_be(context, changes)
    if context.trail is not None:
        context.trail.begin_again()
    # what a create makes is new: its id was never given to anybody
    keys = {f"{change.type}/{change.id}" for change in changes if not isinstance(change, Create)}
    stands = await standing(context, transaction, changes, await transaction.read_all(keys) if keys else {})
    now = to_millisecond(context.now())
    decided: list[list[Decided]] = []
    for index, one in enumerate(settled):
        wanted = [change for change in (one.change, *one.more) if change is not None]
        try:
            decided.append([_decide(context, change, stands, now) for change in wanted])
        except Rejected as rejected:
            raise told(index, rejected) from None
    await _govern(context, transaction, decided, told)
    judgement = Judgement(context, transaction, facts, now, stands.unread)
    await judgement.judge(decided, told)
    for settled_one in (*(each for several in decided for each in several), *judgement.own):
        index_it(context, settled_one)
    asked = [one.write for each in decided for one in each if one.write is not None]
    answers = [_answer(one, [each.committed for each in done]) for one, done in zip(settled, decided, strict=True)]
    return Prepared(context, now, answers, asked, [*asked, *judgement.following])


async def store(transaction: Transaction, several: Sequence[Prepared], facts: Facts) -> None:
    """Write what was decided, with its audit records and Provenances; the ledger last, because others wait for their turn at a budget."""
    writes: list[Write] = []
    for one in several:
        if one.context.trail is not None:
            await one.context.trail.file(transaction, one.writes)
        writes += [*one.writes, *await _origin(one.context, transaction, one.writes, one.now)]
    await transaction.write(writes)
    for one in several:
        await check_written(one.context, transaction, one.asked)
    if facts.posted:
        await transaction.books.post(facts.posted, facts.before, max(one.now for one in several))


async def _origin(context: Context, transaction: Transaction, writes: Sequence[Write], now: datetime) -> list[Write]:
    """The Provenance of these writes, to be written with them. Raises Rejected (400) where a client sent a wrong one."""
    made = []
    if context.provenance is not None:  # its target is the server's to say
        await check_references(context, transaction, [(None, {**context.provenance, "target": []})])
    for resource in await provenance_of(context, writes, now):
        change = Create("Provenance", context.new_id(), resource)
        index = context.index_of(resource, change.id)
        made.append(Write(None, next_version(change, None, resource, now, index), index))
    return made


def check_trail_is_let_be(context: Context, changes: Sequence[Change]) -> None:
    """Raise Rejected (403) for a change of the audit trail, which is nobody's to write, where it is kept."""
    if context.trail is not None and any(change.type == "AuditEvent" for change in changes):
        raise not_to_be_written()


def _answer(one: Settled, decided: list[Committed]) -> Committed:
    if one.matched is not None:
        return Committed(Effect.MATCHED, one.matched)
    if not decided:
        return Committed(Effect.ABSENT, None, 0)
    gone = sum(each.effect is Effect.DELETED for each in decided)
    return replace(decided[0], count=gone) if one.more else decided[0]


async def _govern(
    context: Context,
    transaction: Transaction,
    decided: Sequence[Sequence[Decided]],
    told: Callable[[int, Rejected], Rejected],
) -> None:
    """Hold what is about to be written, all of it decided, against the rules that only reading can tell of."""
    written = [
        (index, one, one.content) for index, each in enumerate(decided) for one in each if one.content is not None
    ]
    pending = {
        one.write.after.key: None if one.content is None else one.content.resource
        for each in decided
        for one in each
        if one.write is not None
    }
    contents = [content for _, _, content in written]
    await check_references(context, transaction, [(content.before, named(content)) for content in contents])
    for index, _, content in written:
        try:
            check_spelling(context, content)
        except Rejected as rejected:
            raise told(index, rejected) from None
    advice = await govern(context, transaction, contents, pending, lambda n, rejected: told(written[n][0], rejected))
    for (_, one, _), said in zip(written, advice, strict=True):
        one.committed = replace(one.committed, advice=said)


def _decide(context: Context, change: Change, stands: Standing, now: datetime) -> Decided:
    key = f"{change.type}/{change.id}"
    current = stands.known.get(key)
    check_change(context, change, current, stands)
    check_preconditions(change, current, context.settings.versioned_update)
    if current is not None:
        context.knowledge.check_guide(current)
    content, advice = _next_content(context, change, current)
    if content is None:
        if current is None or current.is_deleted:
            return Decided(Committed(Effect.ABSENT, current, 0))
    elif current is not None and key in stands.read and is_same(current, content):  # else it tells what is there
        return Decided(Committed(Effect.UNCHANGED, current, advice=advice))
    # rules may still change the content: it is indexed once it is settled
    after = next_version(change, current, content, now, None)
    write = Write(current, after, None)
    stands.known[key] = after
    if content is None:
        return Decided(Committed(Effect.DELETED, after), write)
    effect = Effect.CREATED if current is None or current.is_deleted else Effect.UPDATED
    return Decided(
        Committed(effect, after),
        write,
        Content(
            change.type,
            change.id,
            content,
            current,
            advice,
            isinstance(change, Create) and change.is_governed,
        ),
    )


def check_preconditions(change: Change, current: Version | None, versioned: Sequence[str]) -> None:
    """Raise Rejected unless what is current is what the client said it would be (R4 §3.1.0.5).

    412 where it is not; 400 where the client must say and did not, which is how R4 wants to be asked for If-Match.
    """
    if isinstance(change, Create):
        if current is not None:
            raise refuse(Refusal.CONFLICT, Kind.DUPLICATE, f"The id {change.id} is taken.")
        return
    exists = current is not None and not current.is_deleted
    if change.if_match is not None and not change.if_match.holds_for(current):
        stands = f"its version is {current.number}" if exists and current else "there is no such resource"
        text = f"{change.type}/{change.id} is not at the version that If-Match names: {stands}. Read it again and repeat your change."
        raise refuse(Refusal.PRECONDITION_FAILED, Kind.CONFLICT, text)
    if change.if_none_match is not None and change.if_none_match.holds_for(current):
        raise refuse(
            Refusal.PRECONDITION_FAILED,
            Kind.DUPLICATE,
            f"{change.type}/{change.id} exists, and If-None-Match says it must not.",
        )
    if isinstance(change, Put | Patch) and exists and change.if_match is None and change.type in versioned:
        text = (
            f'An update of {change.type} must name the version it changes: send If-Match: W/"…" with the ETag you read.'
        )
        raise refuse(Refusal.BAD_REQUEST, Kind.REQUIRED, text)


def _next_content(
    context: Context, change: Change, current: Version | None
) -> tuple[Resource | None, tuple[Issue, ...]]:
    """The content that a change leaves, None for a deletion, and the advice on it."""
    match change:
        case Create() | Put():
            return change.resource, change.advice
        case Delete():
            return None, ()
        case Patch():
            return _patched(context, change, current)


def _patched(context: Context, change: Patch, current: Version | None) -> tuple[Resource, tuple[Issue, ...]]:
    if current is None:
        raise refuse(Refusal.NOT_FOUND, Kind.NOT_FOUND, f"There is no {change.type}/{change.id}.")
    if current.json is None:
        raise refuse(Refusal.GONE, Kind.DELETED, f"{current.key} was deleted; a PUT brings it back.")
    patched = change.apply(loads(current.json, depth_max=STORED_DEPTH_MAX))
    return patched, check_resource(context, patched, change.type)


async def _insert(context: Context, change: Create) -> Committed:
    committed = await _insert_alone(context, change)
    if committed is None:
        raise refuse(Refusal.CONFLICT, Kind.DUPLICATE, f"The id {change.id} is taken.")
    return committed


async def _insert_at(context: Context, change: Put) -> Committed | None:
    """Store an update that creates, when nobody else does so first."""
    check_preconditions(change, None, context.settings.versioned_update)
    return await _insert_alone(context, change)


async def _insert_alone(context: Context, change: Create | Put) -> Committed | None:
    """Store what is new by itself, without a transaction; None where its id is taken.

    What it refers to is read first. Nothing that is learnt there can be wrong by the time it is written, in a way that
    counts: what is governed stays so, and what is governed later is governed later.
    """
    advice = change.advice
    content = Content(change.type, change.id, change.resource, None, change.advice)
    check_spelling(context, content)
    if not (isinstance(change, Create) and change.is_governed):
        (advice,) = await govern(context, context.store, [content])
    index = context.index_of(change.resource, change.id)
    version = next_version(change, None, change.resource, to_millisecond(context.now()), index)
    stored = await context.store.insert(version, index)
    return Committed(Effect.CREATED, version, advice=advice) if stored else None


def _too_many(type_: str, criteria: Criteria, most: int) -> Exception:
    text = f"{criteria.text} matches more than {'one' if most == 1 else most} {type_}; nothing was changed."
    return refuse(Refusal.PRECONDITION_FAILED, Kind.MULTIPLE_MATCHES, text)
