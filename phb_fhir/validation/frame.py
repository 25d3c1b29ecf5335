"""What a check may know beside the element it looks at: the resource around it, and what is at hand.

A `Frame` stands for one resource while it is being checked. The resource somebody sent has a frame; each resource in
its `contained`, in a Bundle's entry or in Parameters has one of its own whose `outer` is the frame it stands in. So
`#p1` is looked up in the container, `urn:uuid:…` and relative references in the Bundle, and nowhere else: a check never
fetches.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from phb_fhir.validation import narrative

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from phb_fhir.definitions.load import Definitions
    from phb_fhir.definitions.registry import Registry
    from phb_fhir.definitions.terminology import Terminology
    from phb_fhir.definitions.trail import Trail
    from phb_fhir.outcome import Issue

    Conforms: TypeAlias = Callable[["Frame", str, Any], bool | None]

FrameKind = Literal["root", "contained", "inner"]
Mode = Literal["error", "warn", "off"]

STEPS_MAX = 2_000_000  # about a microsecond each
ERRORS_MAX = 10_000  # found in one run; it ends there
MEANT_MAX = 10  # entries of one name that are told apart; more are as wrong, and must not cost more

# A literal reference or fullUrl that is a RESTful address: [base/]Type/id[/_history/version] (R4 §2.3.0.1)
_RESTFUL = re.compile(
    r"(?P<base>https?://[^?#\s]*/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9.\-]{1,64})"
    r"(?:/_history/(?P<version>[A-Za-z0-9.\-]{1,64}))?"
)


class Address(NamedTuple):
    """A RESTful address in its parts; `base` ends with a slash, or is empty in a relative one."""

    base: str
    type: str
    id: str
    version: str

    @property
    def unversioned(self) -> str:
        return f"{self.base}{self.type}/{self.id}"


def address_of(text: str, resource_types: frozenset[str]) -> Address | None:
    """The parts of a RESTful address; None when `text` is none, or names no resource type."""
    found = _RESTFUL.fullmatch(text)
    if found is None or found["type"] not in resource_types:
        return None
    return Address(found["base"] or "", found["type"], found["id"], found["version"] or "")


class Entry(NamedTuple):
    """An entry of a Bundle that has a resource. `is_outcome`: it tells about a search and is none of its matches."""

    number: int
    full_url: str
    resource: dict[str, Any]
    is_outcome: bool = False


class TooManyErrors(Exception):  # noqa: N818 - it ends a run that has said enough
    """A run has found ERRORS_MAX errors: the resource is refused, and a longer list is of use to nobody."""


class TooCostly(Exception):  # noqa: N818 - likewise
    """Holding a resource against its profiles takes too many steps; `at` is where they ran out."""

    def __init__(self, at: Trail) -> None:
        super().__init__(at)
        self.at = at


class Findings(list["Issue"]):
    """What a run has found. Warnings may be any number: what they stand beside could still be an error."""

    __slots__ = ("errors",)

    def __init__(self) -> None:
        super().__init__()
        self.errors = 0

    def append(self, issue: Issue) -> None:
        super().append(issue)
        if issue.is_error:
            self.errors += 1
            if self.errors >= ERRORS_MAX:
                raise TooManyErrors

    def extend(self, issues: Iterable[Issue]) -> None:
        for issue in issues:
            self.append(issue)


@dataclass(slots=True)
class Run:
    """One call of `validate`: what all its frames share, and what has been found out on the way."""

    definitions: Definitions
    known: Registry
    terminology: Terminology
    issues: list[Issue]
    conforms: Conforms
    asked: tuple[str, ...] = ()  # profiles the caller wants the outermost resource held against
    conforming: dict[tuple[int, str], bool] = field(default_factory=dict)  # (id of a value, profile url)
    day: Callable[[], date] | date | None = None  # today, or how to find out
    closed: bool = False  # whether an unknown extension is an error
    keeps_unknown: bool = False  # whether an unknown modifier extension is only a warning
    mode: Mode = "error"  # what becomes of problems against profiles that nobody asked for by name
    governed: tuple[str, ...] = ()  # profiles that govern the outermost resource, as the caller found out
    comparisons: int = 0  # how many times something was held against a profile; bounded
    steps: int = 0  # how many rules of profiles were put to how many elements
    memory: dict[Any, Any] = field(default_factory=dict)  # for checks that remember something for one run

    def step(self, count: int, at: Trail) -> None:
        """Count work ahead that a small profile can make of a small resource. Raises TooCostly past STEPS_MAX."""
        self.steps += count
        if self.steps > STEPS_MAX:
            raise TooCostly(at)

    @property
    def today(self) -> date | None:
        """Asked for only where a rule counts from it; one day for the whole run."""
        if callable(self.day):
            self.day = self.day()
        return self.day


@dataclass(slots=True)
class Frame:
    """One resource being checked. `at` is where it starts; `full_url` is that of its Bundle entry, if it has one.

    `kind` says how it stands in `outer`: contained, or an inner resource of a Bundle or Parameters.
    """

    run: Run
    resource: dict[str, Any]
    at: Trail
    outer: Frame | None = None
    kind: FrameKind = "root"
    full_url: str = ""

    @property
    def definitions(self) -> Definitions:
        return self.run.definitions

    @property
    def known(self) -> Registry:
        return self.run.known

    @property
    def terminology(self) -> Terminology:
        return self.run.terminology

    @property
    def memory(self) -> dict[Any, Any]:
        """For what is found out during one validation; the same object for all its resources."""
        return self.run.memory

    @property
    def today(self) -> date | None:
        return self.run.today

    def html_complaint(self, text: str) -> str | None:
        return next(narrative.complaints(text, self), None)

    def conforms_to(self, url: str, node: Any) -> bool | None:
        """Whether an element meets the profile; None where the profile is not known here."""
        return self.run.conforms(self, url, node)

    @property
    def issues(self) -> list[Issue]:
        return self.run.issues

    @property
    def container(self) -> Frame:
        """The frame of the resource that holds `contained`: FHIRPath's %rootResource."""
        return self.outer if self.kind == "contained" and self.outer is not None else self

    @property
    def root(self) -> dict[str, Any]:
        """FHIRPath's %rootResource: the container of a contained resource, else the resource itself."""
        return self.container.resource

    @property
    def bundle(self) -> Frame | None:
        """The nearest frame around this resource whose resource is a Bundle."""
        frame = self.outer
        while frame is not None and frame.resource.get("resourceType") != "Bundle":
            frame = frame.outer
        return frame

    def inner(self, resource: Any, at: Trail, holder: dict[str, Any], kind: FrameKind) -> Frame:
        """The frame of a resource inside this one; `holder` is the object it stands in, such as an entry."""
        url = holder.get("fullUrl")
        return Frame(self.run, resource, at, self, kind, url if type(url) is str else "")

    def entered(self, entry: Entry) -> Frame:
        """The frame of an entry's resource, this frame's resource being the Bundle."""
        at = ((self.at, "entry", entry.number), "resource", None)
        return Frame(self.run, entry.resource, at, self, "inner", entry.full_url)

    # ---- what is at hand ---------------------------------------------------------------------------

    def find(self, reference: str) -> Frame | None:
        """The frame of the resource that a literal reference in this one points to, where it is at hand.

        `#id` is looked up in the container, `#` is the container; anything else in the Bundles around.
        """
        if reference.startswith("#"):
            return self._contained_as(reference[1:])
        bundle, entries = self._meant(reference)
        return bundle.entered(entries[0]) if bundle is not None else None

    def _contained_as(self, id_: str) -> Frame | None:
        container = self.container
        if not id_:
            return container
        places: dict[str, int] | None = self.memory.get(("contained", id(container.resource)))
        inside = container.resource.get("contained")
        if places is None:
            listed = inside if type(inside) is list else []
            rows = ((row.get("id"), index) for index, row in enumerate(listed) if type(row) is dict)
            places = {row: index for row, index in rows if type(row) is str}
            self.memory["contained", id(container.resource)] = places
        index = places.get(id_)
        if index is None or type(inside) is not list:
            return None
        return container.inner(inside[index], (container.at, "contained", index), {}, "contained")

    def matches(self, reference: str) -> list[Frame]:
        """The entries of the Bundles around that a literal reference may mean (R4 §3.1.4.0.1), MEANT_MAX of them at most."""
        bundle, entries = self._meant(reference)
        return [bundle.entered(entry) for entry in entries] if bundle is not None else []

    def _meant(self, reference: str) -> tuple[Frame | None, list[Entry]]:
        """The nearest Bundle around that has what a reference means, and its entries."""
        inner = self.container
        while (bundle := inner.bundle) is not None:
            found = bundle.index().matching(reference, inner.full_url)
            if found:
                return bundle, found
            inner = bundle
        return None, []

    def index(self) -> EntryIndex:
        """The entries of this frame's own Bundle."""
        memory, key = self.memory, ("entries", id(self.resource))
        if key not in memory:
            memory[key] = EntryIndex(self.resource, self.definitions.resource_types)
        found: EntryIndex = memory[key]
        return found


class EntryIndex:
    """The entries of a Bundle by what may point to them."""

    def __init__(self, bundle: dict[str, Any], types: frozenset[str]) -> None:
        self._types = types
        self.entries = list(_entries(bundle))
        self._by_url: dict[str, list[Entry]] = {}
        self._by_address: dict[tuple[str, str], list[Entry]] = {}  # and by version, "" for any
        self._by_name: dict[tuple[str, str, str], list[Entry]] = {}  # likewise
        for entry in self.entries:
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        _keep(self._by_url, entry.full_url, entry)
        address = address_of(entry.full_url, self._types) if entry.full_url else None
        name = (str(entry.resource.get("resourceType")), str(entry.resource.get("id", "")))
        if address is not None:
            name = (address.type, address.id)
        for version in {"", _version(entry)}:
            if address is not None:
                _keep(self._by_address, (address.unversioned, version), entry)
            _keep(self._by_name, (*name, version), entry)

    def matching(self, reference: str, source: str) -> list[Entry]:
        """The entries that a reference may mean which stands in the entry whose fullUrl is `source`; MEANT_MAX at most.

        A relative one is relative to the server `source` names; where it names none, type and id decide.
        """
        plain, _, _ = reference.partition("#")
        to = address_of(plain, self._types)
        if to is None:
            return self._by_url.get(plain, []) if plain else []
        base = to.base
        if not base and source:
            there = address_of(source, self._types)
            base = there.base if there is not None else ""
        if base:
            return self._by_address.get((f"{base}{to.type}/{to.id}", to.version), [])
        return self._by_name.get((to.type, to.id, to.version), [])


def _keep(rows: dict[Any, list[Entry]], key: Any, entry: Entry) -> None:
    found = rows.setdefault(key, [])
    if len(found) < MEANT_MAX:
        found.append(entry)


def _entries(bundle: dict[str, Any]) -> list[Entry]:
    listed = bundle.get("entry")
    found = []
    for index, entry in enumerate(listed if type(listed) is list else ()):
        if type(entry) is dict and type(entry.get("resource")) is dict:
            url = entry.get("fullUrl")
            search = entry.get("search")
            is_outcome = type(search) is dict and search.get("mode") == "outcome"
            found.append(Entry(index, url if type(url) is str else "", entry["resource"], is_outcome))
    return found


def _version(entry: Entry) -> str:
    meta = entry.resource.get("meta")
    version = meta.get("versionId") if type(meta) is dict else None
    return version if type(version) is str else ""
