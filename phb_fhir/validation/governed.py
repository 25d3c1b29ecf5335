"""Which profiles govern a resource by what it is, whether it says so in `meta.profile` or not.

An implementation guide says itself what it governs: a profile carries the extension `phb-governs`, once for each way in
which a resource falls under it.

| the extension says | a resource of the profile's type is governed, if |
|---|---|
| element, system | a coding or identifier at that element of its root is of this system |
| element, system, code (any number) | a coding at that element is one of these codes |
| element "extension", system | it has the extension of this url |
| element, refersTo | a Reference at that element points to a resource that the profile `refersTo` governs |

So an Account of a PHB type is a budget, and what is charged to it is a purchase: leaving a profile out of `meta.profile`
gets nobody around a rule. The definitions of a registry become one table by resource type, made once, so that a resource of
any other type costs one look-up. Every version of a profile counts by itself: a definition that comes later, by a package or
by PUT, may add what it governs, and takes nothing from those that were there.

What a reference points to is at hand in `contained` and within a Bundle; for all else `open_questions` tells the caller,
who can read, what to find out. The rules hold for what is stored as itself: the outermost resource, and the entries of a
transaction or batch; not for the copies in another kind of Bundle or in `contained`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from phb_fhir.definitions.kept import ALWAYS
from phb_fhir.validation.values import list_of

if TYPE_CHECKING:
    from phb_fhir.definitions.registry import Registry, Resource
    from phb_fhir.validation.frame import Frame

PHB_GOVERNS = "https://fhir.phb.nhs.example/StructureDefinition/phb-governs"
STEPS_MAX = 4  # references followed from one resource to the next: a payment of a purchase from a budget takes two
_WRITTEN_AS_ENTRIES = ("transaction", "batch")  # a tuple: what is compared may be any JSON


class ByCode(NamedTuple):
    """A coding at `element` is of `system`, and one of `codes` (none: any). `profile` is a canonical, with the version
    where a later one is known.
    """

    profile: str
    element: str
    system: str
    codes: frozenset[str]


class ByTarget(NamedTuple):
    """A Reference at `element` points to what the profile `target` (its url alone) governs."""

    profile: str
    element: str
    target: str


class Rows(NamedTuple):
    """How resources of one type fall under profiles: `profiles` by their urls, `names` by every canonical that means one
    of them; `elements` are the properties that all this hangs on.
    """

    by_code: tuple[ByCode, ...]
    by_target: tuple[ByTarget, ...]
    profiles: frozenset[str]
    names: frozenset[str]
    elements: frozenset[str]

    def element_of(self, url: str) -> str:
        """The element by which the profile of this url governs, the first of them."""
        by_code = (row.element for row in self.by_code if url_of(row.profile) == url)
        by_target = (row.element for row in self.by_target if url_of(row.profile) == url)
        return next(chain(by_code, by_target), "")


class Question(NamedTuple):
    """What only somebody who can read may answer: does `target` govern what `reference` points to? Then `profile` does
    govern the resource that refers. `type` is the type that `target` is for, `at` where the Reference stands.
    """

    profile: str
    target: str
    type: str
    reference: dict[str, Any]
    at: str


class Governance:
    """What the profiles of a registry govern. Made from the registry, and kept by it (`governance_of`)."""

    def __init__(self, known: Registry) -> None:
        found: dict[str, list[ByCode | ByTarget]] = {}
        self._types: dict[str, str] = {}
        self._covered: dict[str, frozenset[str]] = {}
        for url, versions in known.resources.get("StructureDefinition", {}).items():
            for kept in versions:
                if not kept.may_say(PHB_GOVERNS):
                    continue  # most profiles; they need not be read for this
                structure = kept.read()
                name = url if kept is versions[-1] else f"{url}|{kept.version}"
                rows = list(_rows(structure, name))
                if rows and type(structure.get("type")) is str:
                    self._types[url] = structure["type"]
                    found.setdefault(structure["type"], []).extend(rows)
                    if kept.at == ALWAYS and kept is versions[-1]:
                        self._covered[url] = frozenset(_bases(structure, known))
        self._rows = {type_: _sorted(rows) for type_, rows in found.items()}

    @property
    def types(self) -> frozenset[str]:
        """The resource types of which some are governed."""
        return frozenset(self._rows)

    def of(self, type_: str) -> Rows | None:
        """The rows of a resource type; None for most."""
        return self._rows.get(type_)

    def type_of(self, url: str) -> str:
        """The resource type that a governing profile is for; "" where none of this url governs anything."""
        return self._types.get(url, "")

    def covered(self, profiles: Iterable[str]) -> set[str]:
        """Profiles that need not be looked at beside these, because one of these is made from them.

        Of what came with the server alone: a stored profile may claim to be made from another, and ask less.
        """
        return {base for profile in profiles for base in self._covered.get(profile, ())}

    def ways(self, type_: str) -> str:
        """What would make a resource of this type governed, in words."""
        rows = self._rows[type_]
        by_code = (f"a code of {row.system} at {type_}.{row.element}" for row in rows.by_code)
        targets = ((row.element, self.type_of(row.target)) for row in rows.by_target)
        by_target = (f"a reference to such an {target} at {type_}.{element}" for element, target in targets)
        return " or ".join(dict.fromkeys((*by_code, *by_target)))


def governance_of(known: Registry) -> Governance:
    """What the profiles known here govern."""
    return known.derived(Governance)


def _bases(structure: Resource, known: Registry) -> Iterator[str]:
    """The profiles that a profile is made from, R4's own left out."""
    seen: set[str] = set()
    base = structure.get("baseDefinition")
    while type(base) is str and base not in seen and (above := known.find("StructureDefinition", base)) is not None:
        yield url_of(base)
        seen.add(base)
        base = above.get("baseDefinition")


def _sorted(rows: list[ByCode | ByTarget]) -> Rows:
    by_target = tuple(row for row in rows if isinstance(row, ByTarget))
    profiles = frozenset(url_of(row.profile) for row in rows)
    elements = {row.element for row in rows} | ({"contained"} if by_target else set())
    return Rows(
        by_code=tuple(row for row in rows if isinstance(row, ByCode)),
        by_target=by_target,
        profiles=profiles,
        names=profiles | {row.profile for row in rows},
        elements=frozenset(elements),
    )


def _rows(structure: Resource, profile: str) -> Iterator[ByCode | ByTarget]:
    """The rows of one profile; what is not whole says nothing."""
    if structure.get("kind") != "resource" or structure.get("derivation") != "constraint":
        return
    for extension in list_of(structure.get("extension")):
        if type(extension) is not dict or extension.get("url") != PHB_GOVERNS:
            continue
        parts = [part for part in list_of(extension.get("extension")) if type(part) is dict]
        said = {str(part.get("url")): part for part in parts}
        element, system = _text(said, "element", "valueString"), _text(said, "system", "valueUri")
        target = _text(said, "refersTo", "valueCanonical")
        if element and target:
            yield ByTarget(profile, element, url_of(target))
        elif element and system:
            codes = (part.get("valueCode") for part in parts if part.get("url") == "code")
            yield ByCode(profile, element, system, frozenset(code for code in codes if type(code) is str))


def _text(said: dict[str, dict[str, Any]], name: str, value: str) -> str:
    found = said.get(name, {}).get(value)
    return found if type(found) is str else ""


# ---- by what is on the resource ------------------------------------------------------------------


def is_governed_alone(known: Registry, resource: dict[str, Any], url: str) -> bool:
    """Whether the profile of this url, in any version of it, governs a resource by a coding of its own, or of one that it
    contains and refers to.
    """
    rows = governance_of(known).of(_type(resource))
    if rows is None:
        return False
    return any(url_of(row.profile) == url and _has_code(resource, row) for row in rows.by_code) or any(
        url_of(row.profile) == url
        and any(is_governed_alone(known, one, row.target) for one in _contained(resource, row))
        for row in rows.by_target
    )


def _contained(resource: dict[str, Any], row: ByTarget) -> Iterator[dict[str, Any]]:
    """The contained resources that the element of a row points to; those contain no others."""
    names = {_local(reference) for reference, _ in _references(resource.get(row.element), "")} - {"", "#"}
    for one in list_of(resource.get("contained")) if names else ():
        if type(one) is dict and "contained" not in one and f"#{one.get('id')}" in names:
            yield one


def _has_code(resource: dict[str, Any], row: ByCode) -> bool:
    if row.element == "extension":
        extensions = list_of(resource.get("extension"))
        return any(type(one) is dict and one.get("url") == row.system for one in extensions)
    return any(
        coding.get("system") == row.system and (not row.codes or coding.get("code") in row.codes)
        for coding in _codings(resource.get(row.element))
    )


def _codings(value: Any) -> Iterator[dict[str, Any]]:
    """The codings of an element: a CodeableConcept or a Coding, or a list of either; an Identifier has a system, too."""
    for one in value if type(value) is list else (value,):
        if type(one) is dict:
            listed_ = one.get("coding")
            for coding in listed_ if type(listed_) is list else (one,):
                if type(coding) is dict and type(coding.get("code")) in (str, type(None)):
                    yield coding


def governing_alone(known: Registry, resource: dict[str, Any]) -> set[str]:
    """The urls of all profiles that govern a resource by itself (`is_governed_alone`)."""
    rows = governance_of(known).of(_type(resource))
    return {url for url in (rows.profiles if rows else ()) if is_governed_alone(known, resource, url)}


def claims_governing(known: Registry, resource: dict[str, Any]) -> bool:
    """Whether a resource claims, in `meta.profile`, a profile that governs resources of its type."""
    rows = governance_of(known).of(_type(resource))
    return rows is not None and not rows.names.isdisjoint(claimed(resource))


def claimed(resource: dict[str, Any]) -> list[str]:
    """What `meta.profile` says, as far as it is a list of texts."""
    meta = resource.get("meta")
    found = meta.get("profile") if type(meta) is dict else None
    return [claim for claim in found if type(claim) is str] if type(found) is list else []


# ---- by what it refers to ------------------------------------------------------------------------


def open_questions(known: Registry, resource: dict[str, Any]) -> list[Question]:
    """What would have to be read to know which profiles govern a resource by what it refers to.

    Not asked of what is contained (`#…`), which `governing` looks at itself.
    """
    governance = governance_of(known)
    type_ = _type(resource)
    rows = governance.of(type_)
    return [
        Question(row.profile, row.target, governance.type_of(row.target), reference, at)
        for row in (() if rows is None else rows.by_target)
        for reference, at in _references(resource.get(row.element), f"{type_}.{row.element}")
        if not _local(reference)
    ]


def _references(value: Any, at: str) -> Iterator[tuple[dict[str, Any], str]]:
    if type(value) is dict:
        yield value, at
    for index, one in enumerate(value if type(value) is list else ()):
        if type(one) is dict:
            yield one, f"{at}[{index}]"


def _local(reference: dict[str, Any]) -> str:
    text = reference.get("reference")
    return text if type(text) is str and text.startswith("#") else ""


def governing(frame: Frame) -> list[str]:
    """The profiles that govern the resource of a frame, by what is at hand and what the caller found out."""
    rows = governance_of(frame.known).of(_type(frame.resource))
    if not _is_stored_as_itself(frame):
        return []
    told = list(frame.run.governed) if frame.outer is None else []
    if rows is None:
        return told
    found = [row.profile for row in rows.by_code if _has_code(frame.resource, row)]
    found += [row.profile for row in rows.by_target if _points_to_governed(frame, row, STEPS_MAX)]
    return list(dict.fromkeys((*told, *found)))


def is_governed(frame: Frame) -> bool:
    """Whether the rules of a guide hold for the resource of a frame: by content, or because it claims their profile."""
    here = frame.container
    return claims_governing(here.known, here.resource) or bool(governing(here))


def _is_stored_as_itself(frame: Frame) -> bool:
    if frame.outer is None:
        return True
    around = frame.outer
    return (
        frame.kind == "inner"
        and around.outer is None
        and around.resource.get("resourceType") == "Bundle"
        and around.resource.get("type") in _WRITTEN_AS_ENTRIES
    )


def _points_to_governed(frame: Frame, row: ByTarget, steps: int) -> bool:
    for reference, _ in _references(frame.resource.get(row.element), ""):
        text = reference.get("reference")
        target = frame.find(text) if type(text) is str else None
        if target is not None and steps and _is_under(target, row.target, steps - 1):
            return True
    return False


def _is_under(frame: Frame, url: str, steps: int) -> bool:
    if type(frame.resource) is not dict:
        return False
    if is_governed_alone(frame.known, frame.resource, url):
        return True
    rows = governance_of(frame.known).of(_type(frame.resource))
    return rows is not None and any(
        _points_to_governed(frame, row, steps) for row in rows.by_target if url_of(row.profile) == url
    )


def url_of(canonical: str) -> str:
    """A canonical without its version."""
    return canonical.partition("|")[0]


def _type(resource: dict[str, Any]) -> str:
    type_ = resource.get("resourceType")
    return type_ if type(type_) is str else ""
