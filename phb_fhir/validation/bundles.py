"""What holds a Bundle together, beside the invariants bdl-1 to bdl-12 (R4 §2.36, §3.3 documents, §3.4 messages).

The identity of every entry (fullUrl); the links of a page; and in a document that what the Composition speaks of is in the
Bundle, each reference to one entry alone, and no entry lies there that nothing links to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from phb_fhir.definitions.trail import Trail, path_of
from phb_fhir.definitions.walk import references
from phb_fhir.fhir.reference import has_scheme
from phb_fhir.outcome import Issue, Kind, Severity
from phb_fhir.validation.frame import MEANT_MAX, Address, Frame, address_of
from phb_fhir.validation.wording import short, shown

if TYPE_CHECKING:
    from phb_fhir.validation.frame import Entry

# Entries of these need no fullUrl: their resources have no identity yet, or the answer says it elsewhere.
_MAY_BE_NAMELESS = frozenset(("transaction", "transaction-response", "batch", "batch-response"))
_ONCE = ("self", "first", "previous", "next", "last")  # link relations that are about the Bundle as a whole
# What of a Composition must be in the document: §3.3.1, "SHALL be included".
_COMPOSED = ("subject", "encounter", "author", "custodian", "attester.party", "event.detail")
_COMPOSED_SECTION = ("author", "focus", "entry")


def check_bundle(bundle: dict[str, Any], trail: Trail, frame: Frame) -> None:
    """Everything about a Bundle that its elements one by one do not show."""
    if frame.resource is not bundle:
        return  # a Bundle is a resource; something else called so is complained of already
    kind = bundle["type"] if type(bundle.get("type")) is str else ""
    _check_links(bundle, trail, frame)
    for entry in frame.index().entries:
        _check_identity(entry, kind, frame)
    if kind in ("document", "message") and not bundle.get("entry"):
        first = "a Composition" if kind == "document" else "a MessageHeader"
        text = f"A {kind} starts with {first}; this one has no entries."
        frame.issues.append(Issue(Kind.REQUIRED, text, path_of((trail, "entry", None))))
    if kind == "document":
        _check_document(frame)
    if kind == "message":
        _check_message(frame)


def _check_links(bundle: dict[str, Any], trail: Trail, frame: Frame) -> None:
    links = bundle.get("link")
    seen: Counter[str] = Counter()
    for index, link in enumerate(links if type(links) is list else ()):
        relation = link.get("relation") if type(link) is dict else None
        if type(relation) is not str:
            continue
        seen[relation] += 1
        if relation in _ONCE and seen[relation] == 2:
            text = f'The link "{relation}" may stand here once; there are several.'
            frame.issues.append(Issue(Kind.INVALID, text, path_of((trail, "link", index))))


def _check_identity(entry: Entry, kind: str, frame: Frame) -> None:
    """The fullUrl is there, absolute, and where it is a RESTful address, that of this very resource."""
    here = (frame.at, "entry", entry.number)
    if not entry.full_url:
        if kind not in _MAY_BE_NAMELESS and not entry.is_outcome:
            text = f"Each entry of a Bundle of type {short(kind)} has a fullUrl: the identity of its resource."
            frame.issues.append(Issue(Kind.REQUIRED, text, path_of((here, "fullUrl", None))))
        return
    wrong = _identity_complaint(entry, address_of(entry.full_url, frame.definitions.resource_types))
    if wrong:  # R4 has no such rule for messages, and its own examples of them differ
        severity: Severity = "warning" if kind == "message" else "error"
        frame.issues.append(Issue(Kind.INVALID, wrong, path_of((here, "fullUrl", None)), severity))


def _identity_complaint(entry: Entry, address: Address | None) -> str:
    if address is None:
        return "" if has_scheme(entry.full_url) else f"A fullUrl is absolute; {shown(entry.full_url)} is not."
    if not address.base:
        return f"A fullUrl is absolute; {shown(entry.full_url)} is relative."
    type_name, id_ = entry.resource.get("resourceType"), entry.resource.get("id")
    if id_ is None:
        return (
            f"The fullUrl {shown(entry.full_url)} is the address of a resource on a server, and the resource has no id."
        )
    if (address.type, address.id) != (type_name, id_):
        return f"The fullUrl {shown(entry.full_url)} is not that of {short(str(type_name))}/{short(str(id_))}, which stands here."
    return ""


# ---- documents -----------------------------------------------------------------------------------


def _check_document(frame: Frame) -> None:
    entries = frame.index().entries
    if not entries or entries[0].number != 0 or entries[0].resource.get("resourceType") != "Composition":
        return  # bdl-11 says so
    _check_composition(frame.entered(entries[0]))
    _check_reachable(frame)


def _check_composition(frame: Frame) -> None:
    for reference, at in _composed(frame):
        if reference.startswith("#"):
            continue
        count = len(frame.matches(reference))
        if count != 1:
            several = str(count) if count < MEANT_MAX else "many"
            what = "is not in the Bundle" if count == 0 else f"may mean any of {several} entries of the Bundle"
            text = f"What the Composition of a document speaks of is in the document; {shown(reference)} {what}."
            frame.issues.append(Issue(Kind.NOT_FOUND, text, path_of(at)))


def _check_message(frame: Frame) -> None:
    """What a message is about travels with it: the focus of its header is in the Bundle (R4 §3.4.1)."""
    entries = frame.index().entries
    if not entries or entries[0].resource.get("resourceType") != "MessageHeader":
        return  # bdl-12 says so
    header = frame.entered(entries[0])
    for reference, at in _references(header.resource, ["focus"], header.at):
        if not reference.startswith("#") and not header.matches(reference):
            text = f"What a message is about is in the message; {shown(reference)} is not in the Bundle."
            frame.issues.append(Issue(Kind.NOT_FOUND, text, path_of(at)))


def _composed(frame: Frame) -> Iterator[tuple[str, Trail]]:
    """The references of a Composition whose targets belong into the document."""
    composition = frame.resource
    for path in _COMPOSED:
        yield from _references(composition, path.split("."), frame.at)
    sections: list[tuple[Any, Trail]] = _children(composition, "section", frame.at)
    while sections:
        section, at = sections.pop(0)
        for name in _COMPOSED_SECTION:
            yield from _references(section, [name], at)
        sections.extend(_children(section, "section", at))


def _references(node: Any, names: list[str], at: Trail) -> Iterator[tuple[str, Trail]]:
    found = [(node, at)]
    for name in names:
        found = [inner for here, there in found for inner in _children(here, name, there)]
    for reference, there in found:
        text = reference.get("reference")
        if type(text) is str:
            yield text, there


def _children(node: Any, name: str, at: Trail) -> list[tuple[Any, Trail]]:
    value = node.get(name) if type(node) is dict else None
    if type(value) is list:
        return [(item, (at, name, index)) for index, item in enumerate(value) if type(item) is dict]
    return [(value, (at, name, None))] if type(value) is dict else []


def _check_reachable(frame: Frame) -> None:
    """Every entry is linked with the Composition, forward or backward (R4 §3.3.1)."""
    entries = frame.index().entries
    links: dict[int, set[int]] = {entry.number: set() for entry in entries}
    for entry in entries:
        inside = frame.entered(entry)
        for place in references(entry.resource, frame.definitions):
            if place.kind != "Reference" or place.value.startswith("#"):
                continue
            for target in inside.matches(place.value):
                other = _entry_number(target)
                links[entry.number].add(other)
                links[other].add(entry.number)
    open_ = [0, *_stylesheets(frame)]
    reached = set(open_)
    while open_:
        fresh = links[open_.pop()] - reached
        reached |= fresh
        open_.extend(fresh)
    for entry in entries:
        if entry.number not in reached:
            text = "Nothing links this entry with the document's Composition, so it does not belong in the document."
            frame.issues.append(Issue(Kind.INVALID, text, path_of((frame.at, "entry", entry.number))))


def _stylesheets(frame: Frame) -> Iterator[int]:
    """The entries that a document's stylesheet links lead to; a relative link that leads to none is told of (R4 §3.3.3)."""
    index = frame.index()
    links = frame.resource.get("link")
    for number, link in enumerate(links if type(links) is list else ()):
        url = link.get("url") if type(link) is dict and link.get("relation") == "stylesheet" else None
        if type(url) is not str:
            continue
        found = index.matching(url, index.entries[0].full_url)
        yield from (entry.number for entry in found)
        if not found and ":" not in url:
            text = f"The stylesheet {shown(url)} is not in the Bundle."
            frame.issues.append(Issue(Kind.NOT_FOUND, text, path_of(((frame.at, "link", number), "url", None))))


def _entry_number(frame: Frame) -> int:
    """The index of the entry a frame is of: its place is `(…entry[n]).resource`."""
    at: Any = frame.at
    number: int = at[0][2]
    return number
