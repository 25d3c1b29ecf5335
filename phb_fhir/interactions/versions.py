"""What a change leaves behind: the next version of a resource, stamped with what only the server sets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from phb_fhir.change import Change, Committed, Create, Delete, Patch, Put, Version
from phb_fhir.fhir.codec import Resource, canonical, dumps
from phb_fhir.fhir.dates import instant_text
from phb_fhir.interactions.contents import content_of
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.validation import Content
from phb_fhir.search.access import access_entries
from phb_fhir.search.kinds.kind import Index
from phb_fhir.store.store import Write


@dataclass(slots=True)
class Decided:
    """What becomes of one change: what is written (nothing, where nothing changes), and what content that would be."""

    committed: Committed
    write: Write | None = None
    content: Content | None = None


def index_it(context: Context, one: Decided) -> None:
    """Give what is written its index values, now that its content is settled."""
    if one.write is not None and one.content is not None:
        index = context.index_of(one.content.resource, one.content.id)
        after = one.write.after._replace(access=access_entries(index.keys))
        one.write = Write(one.write.before, after, index)
        one.committed = replace(one.committed, version=after)


def is_same(current: Version, content: Resource) -> bool:
    """Whether `content` is what stands already, but for the version and time that only the server sets."""
    if current.json is None:
        return False
    return canonical(content_of(current)) == canonical(_stamped(content, current.id, current.number, current.at))


def next_version(
    change: Change, current: Version | None, content: Resource | None, now: datetime, index: Index | None
) -> Version:
    """The version that follows `current`: its number one higher, its time later by at least a millisecond."""
    number = current.number + 1 if current else 1
    at = max(now, current.at + timedelta(milliseconds=1)) if current else now
    method = {Create: "POST", Put: "PUT", Patch: "PATCH", Delete: "DELETE"}[type(change)]
    json = None if content is None else dumps(_stamped(content, change.id, number, at))
    before = current.access if current else ()
    access = before if index is None else access_entries(index.keys)
    return Version(change.type, change.id, number, at, method, json, access=access)  # type: ignore[arg-type]


def _stamped(resource: Resource, id_: str, number: int, at: datetime) -> Resource:
    """The resource with the id, version and time under which it is stored; everything else where it was."""
    given = resource.get("meta", {})
    meta = {"versionId": str(number), "lastUpdated": instant_text(at)}
    made = resource if "id" in resource and "meta" in resource else _with_room(resource)
    return {**made, "id": id_, "meta": {**(given if "versionId" in given else meta), **given, **meta}}


def _with_room(resource: Resource) -> Resource:
    """The resource with places for the id and meta that it lacks, at its head; its own keys keep their order."""
    names = list(resource)
    head = names.index("resourceType") + 1
    if "id" not in resource:
        names.insert(head, "id")
    if "meta" not in resource:
        names.insert(head + (names[head : head + 1] == ["id"]), "meta")
    return {name: resource.get(name) for name in names}
