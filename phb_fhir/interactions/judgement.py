"""Writes, judged: nobody changes what they may not see, moves anything into or out of their own reach, or refers to what they may not see.

What may not be seen is taken out of the view that changes are decided over, so that it is as if it were not there: the answers, and the
refusals, are those of a resource that never was. The new version is looked at once it is written, inside the same transaction, because
what lets somebody write it may be written along with it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from phb_fhir.change import Change, Committed, Delete, Patch, Put, Version
from phb_fhir.definitions.walk import ReferenceAt, references
from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.access import Access, others_items
from phb_fhir.interactions.contents import content_of
from phb_fhir.interactions.context import Context
from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, refuse
from phb_fhir.query import EVERYTHING
from phb_fhir.rules.evidence import is_evidence
from phb_fhir.security.policy import MONEY, RESTRICTED, reach
from phb_fhir.store.store import Reader, Transaction, Write

PAYING = ("Invoice", "PaymentReconciliation")  # by which nothing that they name is opened to anybody
TASK_REFERENCE = "https://fhir.phb.nhs.example/Id/phb-task-reference"
OPENING = "OPENED-"  # so begins the reference of a Task that tells of an opened record (`break_glass`)
_TELLS = f"identifier={TASK_REFERENCE}|{OPENING}"

# as widely as anybody may read a reference: whatever follows the id, it is this that is referred to
_LOCAL = re.compile(r"([A-Z][A-Za-z]*/[A-Za-z0-9\-.]{1,64})(?:[/#?|].*)?", re.DOTALL)


class Standing(NamedTuple):
    """What stands, for one who writes: the current versions they know of, which of these they may change as they ask to, and which they may read."""

    known: dict[str, Version]
    theirs: frozenset[str]
    read: frozenset[str]

    @property
    def unread(self) -> frozenset[str]:
        """Which they may change and not read."""
        return self.theirs - self.read


async def standing(
    context: Context, transaction: Transaction, changes: Sequence[Change], view: Mapping[str, Version]
) -> Standing:
    """What of the current versions is there for the writer: what they may not see, nor change, is not."""
    if context.access is None:
        return Standing(dict(view), frozenset(view), frozenset(view))
    letters = {
        f"{change.type}/{change.id}": letter_of(change, view.get(f"{change.type}/{change.id}")) for change in changes
    }
    theirs: dict[str, Version] = {}
    for letter in ("u", "d"):
        asked = [version for key, version in view.items() if letters.get(key) == letter]
        theirs |= _whole(view, await context.access.shown(transaction, asked, letter))
    others = [version for key, version in view.items() if key not in theirs]
    known = {**theirs, **_whole(view, await context.access.shown(transaction, others))}
    read = await _read(context.access, transaction, theirs)
    return Standing(known, frozenset(theirs), frozenset(known.keys() - theirs.keys() | read))


async def _read(access: Access, transaction: Transaction, theirs: dict[str, Version]) -> set[str]:
    """Which of what somebody may change they may read as well, which the scopes of their token may part."""
    asked = [version for version in theirs.values() if not access.reads_what_it_changes(version.type)]
    read = _whole(theirs, await access.shown(transaction, asked, "r")) if asked else {}
    return theirs.keys() - {version.key for version in asked} | read.keys()


def _whole(view: Mapping[str, Version], shown: Iterable[Version]) -> dict[str, Version]:
    """Those that are shown as they are: who sees a part of something cannot change it."""
    return {version.key: version for version in shown if version.json == view[version.key].json}


def check_change(context: Context, change: Change, current: Version | None, stands: Standing) -> None:
    """Raise Rejected: 403 for what the writer may never do to this type, or not to this; 404 for a PUT to where they see nothing.

    Whether a patch fits, and what is wrong with what it makes, tells what is there: it takes a token that reads that.
    """
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
    if current is not None and not current.is_deleted and current.key not in stands.theirs:
        text = f"{current.key} is not yours to change with the role of {access.who.role if access.who else 'none'}."
        raise refuse(Refusal.FORBIDDEN, Kind.FORBIDDEN, text)
    if isinstance(change, Patch) and current is not None and current.key not in stands.read:
        text = f"A patch goes by what is there, and the scopes of the token do not let it read {current.key}. A PUT sends all of it."
        raise refuse(Refusal.OUT_OF_SCOPE, Kind.FORBIDDEN, text)


def letter_of(change: Change, current: Version | None) -> str:
    """What is done, in SMART's letters."""
    return "d" if isinstance(change, Delete) else _letter(current)


def _letter(current: Version | None) -> str:
    return "c" if current is None or current.is_deleted else "u"


async def check_references(
    context: Context, reader: Reader, written: Sequence[tuple[Version | None, Resource]]
) -> None:
    """Raise Rejected (422) where what is written newly refers to what its writer may not see, which is as if it were not there.

    `written` are the contents with what was current before. What the same request writes is there; and so is, for a payment or an invoice, what is
    named by something that they see and name beside it: who pays from a budget may pay whom the budget says that it is for, though they see no people.
    """
    access = context.access
    if access is None:
        return
    added = [at for before, content in written for at in _added(context, before, content)]
    keys = {key for at in added if (key := _key(context, at)) and not _is_everybodys(access, key)}
    pending = {f"{content['resourceType']}/{content.get('id')}" for _, content in written}
    there = pending | _named(access)
    there |= await context.may_name(reader, keys - there)
    issues: list[Issue] = []
    for before, content in written:
        missing = [
            at for at in _added(context, before, content) if (key := _key(context, at)) in keys and key not in there
        ]
        beside = (
            await _beside(context, reader, content) if missing and content["resourceType"] in PAYING else frozenset()
        )
        issues += [
            Issue(Kind.NOT_FOUND, f"There is no {key}.", at.path)
            for at in missing
            if (key := _key(context, at)) not in beside
        ]
    if issues:
        raise Rejected(Refusal.UNPROCESSABLE, *issues)


async def _beside(context: Context, reader: Reader, content: Resource) -> frozenset[str]:
    """What is named by what a resource refers to, as far as its writer sees that; no joint budget that another leads."""
    seen = await context.narrow(reader).read_all(set(_referred(context, content)))
    shown = (content_of(one) for one in seen.values() if one.json is not None)
    alone = {key for key, one in seen.items() if context.access is not None and context.access.funds_alone(one)}
    return frozenset(key for one in shown for key in _referred(context, one)) - alone


async def unnamed(context: Context, reader: Reader, said: Sequence[Issue], pending: Mapping[str, Any]) -> list[Issue]:
    """What rules say, told to one actor: resources that they may not see are not named.

    Rules look at the whole record. `pending` are the contents that are about to be written, by key. What these refer to is known to
    who writes them, and so is what a resource refers to that they may see.
    """
    access = context.access
    named = {key for one in said for key in _KEY.findall(one.text)} if access is not None else set()
    if access is None or not named - pending.keys():
        return list(said)
    of = context.capability.types
    known = {*pending, *_named(access), *(key for one in pending.values() for key in _referred(context, one))}
    asked = {key for key in named | known if key.partition("/")[0] in of}
    there = await context.narrow(reader).read_all(asked)
    for version in there.values():
        known |= set(_referred(context, content_of(version) if version.json is not None else None))
    hidden = {key for key in named - known - there.keys() if not _is_everybodys(access, key)}

    def told(at: re.Match[str]) -> str:
        if at[0] not in hidden:
            return at[0]
        return "What is not yours to see" if at.start() == 0 else "what is not yours to see"

    return [replace(one, text=_KEY.sub(told, one.text)) for one in said]


_KEY = re.compile(
    r"\b[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,63}[A-Za-z0-9\-]"
)  # an id that a full stop follows ends before that


def _referred(context: Context, content: Resource | None) -> Iterable[str]:
    """The keys of what a resource refers to."""
    return (key for at in references(content or {}, context.definitions) if (key := _key(context, at)))


def _is_everybodys(access: Access, key: str) -> bool:
    """Whether all of its type is there for a role, so that to refer to one tells nothing, whatever the scopes are."""
    return access.who is not None and reach(access.who, key.partition("/")[0], "rs") == EVERYTHING


def _named(access: Access) -> set[str]:
    """Whom the token and the record name as the writer, and as those they act for: known to them, whatever the scopes are."""
    who = access.who
    if who is None:
        return set()
    return {who.user, who.organization, *who.roles, *who.patients, *(mandate.patient for mandate in who.mandates)}


def _added(context: Context, before: Version | None, content: Resource) -> Iterable[ReferenceAt]:
    """The references that were not there before, in the same element: where one stands decides what it opens."""
    known: Collection[tuple[str, str]] = ()
    if before is not None and before.json is not None:
        stood = content_of(before)
        known = {(_place(stood, at), at.value) for at in references(stood, context.definitions)}
    found = (at for at in references(content, context.definitions) if at.kind == "Reference")
    return [at for at in found if (_place(content, at), at.value) not in known]


def _place(content: Resource, at: ReferenceAt) -> str:
    """The element that a reference stands in, whichever of several: `Task.input.value`; of an extension, with its url."""
    node: Any = content
    said: list[str] = []
    for step in at.path.split("."):
        name, _, index = step.partition("[")
        if said:
            node = node.get(name) if isinstance(node, dict) else None
            node = next(iter(node[int(index[:-1]) :]), None) if index and isinstance(node, list) else node
        url = node.get("url", "") if name in ("extension", "modifierExtension") and isinstance(node, dict) else ""
        said.append(f"{name}({url})" if url else name)
    return ".".join(said)


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
        await _check_items(transaction, access, versions)
    _check_openings(access, writes)
    _check_labels(access, writes)


async def check_repeated(context: Context, transaction: Transaction, committed: Sequence[Committed]) -> None:
    """Raise Rejected (403) where what a request came to is no longer its sender's: a consent may have ended since, or a token say less."""
    access = context.access
    if access is None:
        return
    versions = {one.version.key: one.version for one in committed if one.version is not None}
    for version in versions.values():
        access.check(_ANY, version.type)
    kept = _whole(versions, await access.shown(transaction, list(versions.values()), _ANY))
    for key, version in versions.items():
        if key not in kept:
            raise _outside(access, version)


_ANY = "crud"


def _check_openings(access: Access, writes: Sequence[Write]) -> None:
    """Raise Rejected (403) for a Task that tells of an opening: the server makes it, and the person answers it.

    Else whoever breaks the glass could have it lie there beforehand, or take it back afterwards, and nobody would be told.
    """
    role = access.who.role if access.who else ""
    for write in (one for one in writes if one.after.type == "Task"):
        tells = write.index is not None and any(key.startswith(_TELLS) for key in write.index.keys)
        told = write.before is not None and _tells_of_opening(content_of(write.before))
        if (tells or told) and not (role == "system" or (role == "person" and told == tells)):
            text = "A Task that tells somebody that their record was opened is made by the server, and theirs alone to answer."
            raise refuse(Refusal.FORBIDDEN, Kind.FORBIDDEN, text, "Task.identifier")


def _check_labels(access: Access, writes: Sequence[Write]) -> None:
    """Raise Rejected (403) for a restriction that is not the writer's to put on, or to take off.

    What public money was spent on is not restricted: whoever pays for it could not look (R16, R17). And a record that was opened by breaking
    the glass is closed again afterwards: whose it is takes its restriction off, and nobody who was let in for once.
    """
    role = access.who.role if access.who else ""
    for write in writes if role != "system" else ():
        was = write.before is not None and _is_restricted(write.before.access)
        now = _is_restricted(write.after.access)
        if now and not was and _is_of_money(write.after):
            text = "Whoever pays for a purchase sees it and its evidence: neither is restricted."
            raise refuse(Refusal.FORBIDDEN, Kind.FORBIDDEN, text, f"{write.after.type}.meta.security")
        if was and not now and role != "person":
            text = "This is restricted. The person whose record it is takes that off, nobody who opened it."
            raise refuse(Refusal.FORBIDDEN, Kind.FORBIDDEN, text, f"{write.after.type}.meta.security")


def _is_restricted(entries: Collection[str]) -> bool:
    return not set(RESTRICTED.keys).isdisjoint(entries)


def _is_of_money(version: Version) -> bool:
    is_document = version.type == "DocumentReference" and version.json is not None
    return version.type in ("Binary", *MONEY) or (is_document and is_evidence(content_of(version)))


def _tells_of_opening(task: Resource) -> bool:
    named = task.get("identifier", ())
    return any(f"identifier={one.get('system')}|{one.get('value')}".startswith(_TELLS) for one in named)


async def _check_items(transaction: Transaction, access: Access, versions: Sequence[Version]) -> None:
    """Raise Rejected (409) for a directory item under the url of another provider's: purchases are counted to who has the url."""
    items = [one for one in versions if one.type == "ChargeItemDefinition" and one.json is not None]
    if not items or access.who is None or access.who.role != "provider":
        return
    urls = tuple({str(content_of(one).get("url", "")) for one in items} - {""})
    taken = await others_items(transaction, urls, access.who.organization) if urls else {}
    for url, key in taken.items():
        text = f"{key} of another provider has the url {url} already; give your item one of its own."
        raise refuse(Refusal.CONFLICT, Kind.DUPLICATE, text, "ChargeItemDefinition.url")


def _outside(access: Access, version: Version) -> Rejected:
    role = access.who.role if access.who else "none"
    text = f"What is written would not be yours to write with the role of {role}: the {version.type} must concern those you act for."
    return refuse(Refusal.FORBIDDEN, Kind.FORBIDDEN, text, version.type)
