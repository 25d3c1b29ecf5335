"""transaction: every entry of a Bundle, or none (R4 §3.1.0.11.2), in one MongoDB transaction.

The order of work: read each entry into a request and a change; inside the transaction find the targets of conditional
entries and give every entry its identity; refuse two that name the same resource; rewrite the references between them,
and conditional references, wherever they stand; write all, which looks at what only reading can tell; then answer the reads
over what was written.

Resources are validated before the transaction begins, because that takes the longest and may not have to be done again. They
are validated as they will be stored: a reference to another entry, or by criteria, is first made one to a resource of the
type that will stand there. Which id it will have may not be known yet, but no rule depends on that.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from phb_fhir.change import Change, Committed, Create, Criteria, Delete, Patch, Put
from phb_fhir.definitions.walk import ReferenceAt, rewrite, rewrite_at
from phb_fhir.interactions.answers import deleted, written
from phb_fhir.interactions.commit import Settled, keys_of, lock_names, repeated, settle, write_all
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.joins import Joins
from phb_fhir.interactions.pending import Pending
from phb_fhir.interactions.preconditions import criteria_in
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.status import status_of
from phb_fhir.interactions.validation import checked, relocated, told_of_entry
from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, outcome_of, refuse
from phb_fhir.store.store import Transaction
from phb_fhir.validation.validate import ISSUES_MAX

Dispatch = Callable[[Context, FhirRequest], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Planned:
    """An entry that was read: where it stands in the Bundle, what it asks, and the change it means (None for a read).

    `pointers` are the places in its resource that point somewhere, as they were sent.
    """

    index: int
    entry: dict[str, Any]
    request: FhirRequest
    change: Change | None
    pointers: tuple[ReferenceAt, ...] = ()

    @property
    def full_url(self) -> str:
        return str(self.entry.get("fullUrl", ""))

    @property
    def place(self) -> str:
        return f"Bundle.entry[{self.index}]"

    def told(self, rejected: Rejected) -> Rejected:
        """The refusal of what this entry asks, told of it."""
        return told_of_entry(rejected, self.place, self.entry)


async def run_transaction(context: Context, entries: list[Planned], dispatch: Dispatch) -> list[Answer]:
    """The answers to the entries, in their own order. Raises Rejected, naming the entry at fault; then nothing was kept."""
    conditional = _conditional_references(context, entries)
    entries = await _checked(context, entries, conditional)
    changes = [entry.change for entry in entries if entry.change is not None]
    locks = lock_names(context, changes)
    name = context.once.next() if context.once else ""

    async def work(transaction: Transaction) -> list[Answer]:
        await transaction.lock(locks)
        # asked first: what a condition of these entries matched then, it may not match now, for what they wrote themselves
        if (first := await repeated(context, transaction, name)) is not None:
            return await _answers(context, transaction, entries, first, dispatch, is_again=True)
        settled = await _settle_each(context, transaction, entries)
        pending = _pending(context, settled)
        joins = Joins(context.narrow(transaction), context.asking())
        await _refuse_duplicates(joins, entries, settled, pending)
        identities = _identities(context, entries, settled)
        identities |= await _resolve(joins, conditional, entries, settled, pending)
        final = _rewritten(context, entries, settled, identities)
        committed = await _write(context, transaction, final, name)
        return await _answers(context, transaction, entries, committed, dispatch)

    return await context.store.transaction(work, contended=locks | keys_of(changes))


async def _checked(context: Context, entries: list[Planned], conditional: dict[str, Criteria]) -> list[Planned]:
    """The entries, what they would write looked at. Raises Rejected for all that is wrong with them, entry by entry."""
    standing = _provisional(context, entries, conditional)
    done: list[Planned] = []
    refused: list[Rejected] = []
    for number, entry in enumerate(entries):
        if number % 16 == 15:
            await asyncio.sleep(0)  # a long Bundle lets others speak
        # a uuid that will be an address is judged as the uuid that was sent
        standing_for = partial(_new_value, standing, _root(entry.full_url))
        rewrite_at((at for at in entry.pointers if at.kind == "Reference"), standing_for)
        try:
            done.append(replace(entry, change=entry.change and checked(context, entry.change)))
        except Rejected as rejected:
            refused.append(entry.told(rejected))
            if sum(len(one.issues) for one in refused) >= ISSUES_MAX:
                break
    if refused:
        structural = any(one.refusal is Refusal.BAD_REQUEST for one in refused)
        raise Rejected(
            Refusal.BAD_REQUEST if structural else refused[0].refusal,
            *(issue for one in refused for issue in one.issues),
        )
    return done


def _provisional(context: Context, entries: list[Planned], conditional: dict[str, Criteria]) -> dict[str, str]:
    """What references will point to, so far as it is known before anything is read: the right type, if not yet the id."""
    found = {
        text: f"{criteria.query.types[0]}/matched-{number}"
        for number, (text, criteria) in enumerate(conditional.items())
    }
    for entry in entries:
        change = entry.change
        if entry.full_url and change is not None:
            id_ = change.id or (change.fresh_id if isinstance(change, Put) else "") or f"entry-{entry.index}"
            found |= _named(context, entry, f"{change.type}/{id_}")
    return found


async def _settle_each(context: Context, transaction: Transaction, entries: list[Planned]) -> dict[int, Settled]:
    """Where each change goes. Deletions come first, those by a condition after those by an address, in whichever order they were sent: what
    they remove, no later condition can match.
    """
    settled: dict[int, Settled] = {}
    gone: set[str] = set()
    for entry in sorted(entries, key=lambda each: _turn(each.change)):
        if entry.change is not None:
            try:
                one = await settle(context, transaction, entry.change, gone)
            except Rejected as rejected:
                raise entry.told(rejected) from None
            gone.update(_keys(one) if isinstance(entry.change, Delete) else ())
            settled[entry.index] = one
    return settled


def _turn(change: Change | None) -> int:
    if not isinstance(change, Delete):
        return 2
    return 0 if change.where is None else 1


def _keys(settled: Settled) -> list[str]:
    if settled.matched is not None:
        return [settled.matched.key]
    return [f"{change.type}/{change.id}" for change in (settled.change, *settled.more) if change is not None]


def _pending(context: Context, settled: dict[int, Settled]) -> Pending:
    made = {index: one.change for index, one in settled.items() if isinstance(one.change, Create | Put)}
    return Pending(context, made, context.now())


async def _refuse_duplicates(
    joins: Joins, entries: list[Planned], settled: dict[int, Settled], pending: Pending
) -> None:
    """No resource may be the subject of two entries, conditional ones included (R4 §3.1.0.11.2)."""
    seen: dict[str, int] = {}
    issues: list[Issue] = []
    for entry in entries:
        one = settled.get(entry.index)
        for key in _keys(one) if one is not None and one.matched is None else ():
            if key in seen:
                text = f"{key} is written by entry {seen[key]} and by entry {entry.index}; a transaction may write it once."
                issues.append(Issue(Kind.DUPLICATE, text, f"{entry.place}.request.url"))
            seen[key] = entry.index
    issues += _duplicate_urls(entries)
    issues += await _duplicate_conditions(joins, entries, settled, pending)
    if issues:
        raise Rejected(Refusal.BAD_REQUEST, *issues)


def _duplicate_urls(entries: list[Planned]) -> list[Issue]:
    seen: set[str] = set()
    issues = []
    for entry in entries:
        if entry.full_url and entry.change is not None and entry.full_url in seen:
            issues.append(
                Issue(Kind.DUPLICATE, f"The fullUrl {entry.full_url} stands twice.", f"{entry.place}.fullUrl")
            )
        seen.add(entry.full_url)
    return issues


async def _duplicate_conditions(
    joins: Joins, entries: list[Planned], settled: dict[int, Settled], pending: Pending
) -> list[Issue]:
    """A conditional create, update or patch whose condition what another entry writes would match, too."""
    issues = []
    for entry in entries:
        criteria = _condition_of(entry.change)
        if criteria is None or settled[entry.index].change is None:
            continue
        for index in await pending.matching(joins, criteria.query):
            if index != entry.index:
                text = f"Entry {index} writes a resource that matches the condition {criteria.text} of this entry."
                issues.append(Issue(Kind.DUPLICATE, text, f"{entry.place}.request"))
    return issues


def _condition_of(change: Change | None) -> Criteria | None:
    match change:
        case Create():
            return change.unless
        case Put() | Patch():
            return change.where
    return None


def _identities(context: Context, entries: list[Planned], settled: dict[int, Settled]) -> dict[str, str]:
    """What each fullUrl stands for once this is written: `urn:uuid:…` → `Patient/1`."""
    found: dict[str, str] = {}
    for entry in entries:
        if entry.full_url and (keys := _keys(settled[entry.index]) if entry.index in settled else []):
            found |= _named(context, entry, keys[0])
    return found


def _named(context: Context, entry: Planned, key: str) -> dict[str, str]:
    """What other entries call this one by, and what each then leads to: its fullUrl, and `/Patient/1` where that is an address on this
    server, however that is called. By the version that it says it has, too (R4 §2.36.4.1): it comes to stand elsewhere, where versions
    are counted anew, so that leads to the resource.
    """
    local = context.own.local(entry.full_url)
    names = (entry.full_url,) if local == entry.full_url else (entry.full_url, f"/{local}")
    number = _version_in(entry.entry.get("resource")) if local != key else ""
    return dict.fromkeys(names + tuple(f"{name}/_history/{number}" for name in names if number), key)


def _version_in(resource: Any) -> str:
    """What a resource says that its version is; "" where it says nothing."""
    meta = resource.get("meta") if isinstance(resource, dict) else None
    number = meta.get("versionId") if isinstance(meta, dict) else None
    return number if isinstance(number, str) else ""


def _conditional_references(context: Context, entries: list[Planned]) -> dict[str, Criteria]:
    """Every `Type?criteria` that an entry's resource refers to (R4 §3.1.0.11.2.3), read once."""
    found: dict[str, Criteria] = {}
    for entry in entries:
        for at in entry.pointers:
            if at.kind == "Reference" and (type_ := _conditional_type(context, at.value)) and at.value not in found:
                try:
                    found[at.value] = criteria_in(context, type_, at.value)
                except Rejected as rejected:
                    raise relocated(rejected, _within(entry, at)) from None
    return found


def _conditional_type(context: Context, value: str) -> str:
    type_, mark, _ = value.partition("?")
    return type_ if mark and type_ in context.capability.types else ""


def _within(entry: Planned, at: ReferenceAt) -> str:
    return f"{entry.place}.resource.{at.path.partition('.')[2]}"


async def _resolve(
    joins: Joins,
    conditional: dict[str, Criteria],
    entries: list[Planned],
    settled: dict[int, Settled],
    pending: Pending,
) -> dict[str, str]:
    """The one resource that each conditional reference means: among what is stored, and what this Bundle adds."""
    found: dict[str, str] = {}
    # what a Put or Delete will replace is judged by what it becomes, not by what it was
    replaced = {key for one in settled.values() if isinstance(one.change, Put | Delete) for key in _keys(one)}
    for text, criteria in conditional.items():
        stored = await joins.matching(criteria.query, count=2 + len(replaced))
        keys = {version.key for version in stored} - replaced
        keys |= {_keys(settled[index])[0] for index in await pending.matching(joins, criteria.query)}
        if len(keys) != 1:
            raise _unresolved(text, len(keys), entries)
        found[text] = keys.pop()
    return found


def _unresolved(text: str, count: int, entries: list[Planned]) -> Rejected:
    said = "matches nothing" if count == 0 else "matches more than one resource"
    kind = Kind.NOT_FOUND if count == 0 else Kind.MULTIPLE_MATCHES
    for entry in entries:
        for at in entry.pointers:
            if at.kind == "Reference" and at.value == text:
                return refuse(
                    Refusal.PRECONDITION_FAILED,
                    kind,
                    f"The reference {text} {said}; nothing was written.",
                    _within(entry, at),
                )
    raise AssertionError(text)


def _rewritten(
    context: Context, entries: list[Planned], settled: dict[int, Settled], identities: dict[str, str]
) -> list[tuple[Planned, Settled]]:
    """The settled changes with their references rewritten, in the order they are written."""
    final = []
    for entry in entries:
        one = settled.get(entry.index)
        if one is None:
            continue
        _refuse_loose_ends(entry, identities)
        new_value = partial(_new_value, identities, _root(entry.full_url))
        # from what was sent, each time: the whole transaction may run again
        rewrite_at(entry.pointers, new_value)
        if isinstance(change := one.change, Patch):
            one = replace(one, change=replace(change, apply=_then_rewrite(context, change, new_value)))
        final.append((entry, one))
    return final


def _refuse_loose_ends(entry: Planned, identities: dict[str, str]) -> None:
    """A reference by urn: means an entry of this Bundle; to none of them, it would point nowhere for ever."""
    issues = [
        Issue(
            Kind.NOT_FOUND,
            f"{at.value} is the fullUrl of no entry that writes; nothing was written.",
            _within(entry, at),
        )
        for at in entry.pointers
        if at.kind == "Reference" and at.value.startswith("urn:uuid:") and at.value not in identities
    ]
    if issues:
        raise Rejected(Refusal.BAD_REQUEST, *issues)


def _then_rewrite(
    context: Context, change: Patch, new_value: Callable[[ReferenceAt], str | None]
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def apply(resource: dict[str, Any]) -> dict[str, Any]:
        patched = deepcopy(change.apply(resource))
        rewrite(patched, context.definitions, new_value)
        return patched

    return apply


def _root(full_url: str) -> str:
    """The server that relative references are meant on, with its slash: that of a RESTful fullUrl (R4 §2.36.4.1), else this one (`/`)."""
    found = _RESTFUL.fullmatch(full_url)
    return found["root"] if found else "/"


_RESTFUL = re.compile(r"(?P<root>https?://.+/)[A-Za-z]+/[A-Za-z0-9\-.]{1,64}(/_history/[^/]+)?")


def _is_link(at: ReferenceAt) -> bool:
    """Whether this place points at a resource, and so follows it to its new id.

    A canonical does not: "Elements of type canonical are not replaced" (R4 §3.1.0.11.2). Nor does what it names, the url
    of a definition, nor what names a system or an extension: they are the same names wherever the definition is kept.
    Nor does a fullUrl in a Bundle that is stored: what is in that Bundle refers to it, and stays as it is.
    """
    if at.kind == "canonical" or at.key in ("system", "fullUrl"):
        return False
    if at.key != "url":
        return True
    around = at.trail[0]
    in_extension = isinstance(around, tuple) and around[1] in ("extension", "modifierExtension")
    return not in_extension and "resourceType" not in at.holder


def _new_value(identities: dict[str, str], root: str, at: ReferenceAt) -> str | None:
    """Where a reference now points; a `#fragment` after the fullUrl stays."""
    if not _is_link(at):
        return None
    head, mark, rest = at.value.partition("#")
    for known in (at.value, head, root + at.value):
        if known in identities:
            return identities[known] + (mark + rest if known == head != at.value else "")
    return None


async def _write(
    context: Context, transaction: Transaction, final: list[tuple[Planned, Settled]], name: str
) -> list[Committed]:
    def told(index: int, rejected: Rejected) -> Rejected:
        return final[index][0].told(rejected)

    return await write_all(context, transaction, [one for _, one in final], told, name)


async def _answers(
    context: Context,
    transaction: Transaction,
    entries: list[Planned],
    committed: list[Committed],
    dispatch: Dispatch,
    *,
    is_again: bool = False,
) -> list[Answer]:
    """The answers to all entries: to the changes by what came of them, in their order; to the reads over what stands now.

    Raises Rejected for a read that is refused, and then nothing is written; where it was written the first time, that read alone
    is answered so.
    """
    changing = [entry for entry in entries if entry.change is not None]
    inside = context._replace(reader=context.narrow(transaction))
    done = zip(changing, committed, strict=True)
    answers = {entry.index: await _answer(inside, entry, one) for entry, one in done}
    for entry in entries:
        if entry.change is None:
            try:
                answers[entry.index] = await dispatch(inside.of_entry(transaction, held=True), entry.request)
            except Rejected as rejected:
                if not is_again:
                    raise entry.told(rejected) from None
                answers[entry.index] = Answer(status_of(rejected), outcome=outcome_of(entry.told(rejected).issues))
        await asyncio.sleep(0)
    return [answers[index] for index in sorted(answers)]


async def _answer(context: Context, entry: Planned, done: Committed) -> Answer:
    if isinstance(entry.change, Delete):
        return deleted(entry.request, done)
    return await written(context, entry.request, done)
