"""Writes, judged: nobody changes what they may not see, moves anything into or out of their own reach, or refers to what they may not see.

What may not be seen is taken out of the view that changes are decided over, so that it is as if it were not there: the answers, and the
refusals, are those of a resource that never was. The new version is looked at once it is written, inside the same transaction, because
what lets somebody write it may be written along with it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from phb_fhir.change import Change, Delete, Put, Version
from phb_fhir.definitions.walk import ReferenceAt, references
from phb_fhir.fhir.codec import Resource, loads
from phb_fhir.interactions.access import Access
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.subset import STORED_DEPTH_MAX
from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, refuse
from phb_fhir.query import EVERYTHING
from phb_fhir.store.store import Transaction, Write

_LOCAL = re.compile(r"([A-Z][A-Za-z]*/[A-Za-z0-9\-.]{1,64})(?:/_history/[^/]+)?(?:#.*)?")


async def visible(context: Context, transaction: Transaction, view: Mapping[str, Version]) -> dict[str, Version]:
    """What of the current versions the writer may see: nothing else is there for them."""
    if context.access is None:
        return dict(view)
    seen = await context.access.shown(transaction, list(view.values()))
    return {version.key: view[version.key] for version in seen if version.json == view[version.key].json}


def check_change(context: Context, change: Change, current: Version | None) -> None:
    """Raise Rejected: 403 for what the writer may never do to this type, 404 for a PUT to where they see nothing."""
    access = context.access
    if access is None:
        return
    letter = letter_of(change, current)
    chosen = isinstance(change, Put) and current is None and change.id != change.fresh_id
    if chosen and not access.may_choose_ids(change.type):
        text = f"There is no {change.type}/{change.id}. What is new is made by POST, under an id that the server gives."
        raise refuse(Refusal.NOT_FOUND, Kind.NOT_FOUND, text)
    if letter != "d" or current is not None:
        access.check(letter, change.type)


def letter_of(change: Change, current: Version | None) -> str:
    """What is done, in SMART's letters."""
    return "d" if isinstance(change, Delete) else _letter(current)


def _letter(current: Version | None) -> str:
    return "c" if current is None or current.is_deleted else "u"


async def check_references(
    context: Context, transaction: Transaction, written: Sequence[tuple[Version | None, Resource]]
) -> None:
    """Raise Rejected (422) where what is written newly refers to what its writer may not see, which is as if it were not there.

    `written` are the contents with what was current before. What the same request writes is there.
    """
    access = context.access
    if access is None:
        return
    added = [at for before, content in written for at in _added(context, before, content)]
    keys = {
        key for at in added if (key := _key(context, at)) and access.view(key.partition("/")[0]).where != EVERYTHING
    }
    pending = {f"{content['resourceType']}/{content.get('id')}" for _, content in written}
    there = {*pending, *(await context.narrow(transaction).read_all(keys - pending) if keys - pending else ())}
    issues = [
        Issue(Kind.NOT_FOUND, f"There is no {key}.", at.path)
        for at in added
        if (key := _key(context, at)) in keys and key not in there
    ]
    if issues:
        raise Rejected(Refusal.UNPROCESSABLE, *issues)


def _added(context: Context, before: Version | None, content: Resource) -> Iterable[ReferenceAt]:
    """The references that were not there before."""
    known: Collection[str] = ()
    if before is not None and before.json is not None:
        stood = loads(before.json, depth_max=STORED_DEPTH_MAX)
        known = {at.value for at in references(stood, context.definitions)}
    return [at for at in references(content, context.definitions) if at.kind == "Reference" and at.value not in known]


def _key(context: Context, at: ReferenceAt) -> str:
    found = _LOCAL.fullmatch(context.own.local(at.value))
    return found[1] if found and found[1].partition("/")[0] in context.capability.types else ""


async def check_written(context: Context, transaction: Transaction, writes: Sequence[Write]) -> None:
    """Raise Rejected (403) where a new version is not what its writer may write. They are in the transaction already."""
    access = context.access
    if access is None:
        return
    for letter in ("c", "u"):
        versions = [write.after for write in writes if not write.after.is_deleted and _letter(write.before) == letter]
        kept = {version.key for version in await access.shown(transaction, versions, letter)}
        for version in versions:
            if version.key not in kept:
                raise _outside(access, version)


def _outside(access: Access, version: Version) -> Rejected:
    role = access.who.role if access.who else "none"
    text = f"What is written would not be yours to write with the role of {role}: the {version.type} must concern those you act for."
    return refuse(Refusal.FORBIDDEN, Kind.FORBIDDEN, text, version.type)
