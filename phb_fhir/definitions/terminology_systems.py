"""A code system made ready to be asked: which codes it has, how they are written, and how they hang together.

`read_code_system` takes CodeSystem resources (R4 §4.8) and gives one `CodeSystem`. Usually that is one resource; of a
system that comes in fragments it is all of them together, and supplements add what they know about codes that are
already there: designations and properties, never codes.

What the words of a CodeSystem mean is settled here once:

* *caseSensitive*: without it nobody knows, so codes are taken in any case (R4 §4.8.5, Postel's law).
* *hierarchy*: nested concepts and the properties `parent` and `child` say the same thing. It is subsumption unless
  `hierarchyMeaning` names another relation.
* *inactive*, *abstract*, *deprecated*: told by the properties R4 defines (http://hl7.org/fhir/concept-properties),
  recognised by their uri whatever they are called, and by the `status` that HL7's own systems use.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Json = dict[str, Any]
Codes = tuple[str, ...]

PROPERTIES = "http://hl7.org/fhir/concept-properties#"
# What a property means when the code system does not declare it, or declares it without a uri.
_UNDECLARED = {
    "abstract": "notSelectable",
    "notSelectable": "notSelectable",
    "inactive": "inactive",
    "status": "status",
    "deprecated": "deprecated",
    "deprecationDate": "deprecated",
    "retirementDate": "inactive",
    "parent": "parent",
    "child": "child",
}
_SAME = {"deprecationDate": "deprecated", "retirementDate": "inactive"}
_STATUS_INACTIVE = ("retired", "inactive", "obsolete", "withdrawn")


@dataclass(frozen=True, slots=True, eq=False)
class CodeSystem:
    """The codes that are known of one code system. `concepts` holds each CodeSystem.concept by its code, in order.

    `content` is that of the resources it was read from: complete, fragment, example, not-present (R4 §4.8.8).
    `roles` says what each property means: parent, child, notSelectable, inactive, deprecated, status, or "" for one
    of the system's own.
    """

    url: str
    version: str
    title: str
    content: str
    case_sensitive: bool | None
    hierarchy_meaning: str
    is_compositional: bool
    concepts: Mapping[str, Json]
    parents: Mapping[str, Codes]
    children: Mapping[str, Codes]
    inactive: frozenset[str]
    abstract: frozenset[str]
    deprecated: frozenset[str]
    roles: Mapping[str, str]
    _folded: dict[str, str] = field(default_factory=dict, repr=False)

    def find(self, code: str) -> str | None:
        """`code` as this system writes it; None when it has no such code."""
        if code in self.concepts:
            return code
        return None if self.case_sensitive else self.folded(code)

    def folded(self, code: str) -> str | None:
        """The code that differs from `code` in its case at most, whether or not the case matters."""
        if not self._folded:
            self._folded.update((known.casefold(), known) for known in reversed(list(self.concepts)))
        return self._folded.get(code.casefold())

    @property
    def has_subsumption(self) -> bool:
        """Whether the hierarchy says which concept is a kind of which."""
        return self.hierarchy_meaning in ("", "is-a")

    def descendants(self, code: str) -> Iterator[str]:
        """All below `code`, each once, without `code`."""
        return _reached(code, self.children)

    def ancestors(self, code: str) -> Iterator[str]:
        """All above `code`, each once, without `code`."""
        return _reached(code, self.parents)

    def subsumes(self, above: str, below: str) -> bool:
        """Whether `below` is a kind of `above`, and not the same."""
        return any(code == above for code in self.ancestors(below))

    def display(self, code: str) -> str | None:
        """What the code is called."""
        found = self.concepts[code].get("display")
        return found if isinstance(found, str) else None

    def designations(self, code: str) -> list[Json]:
        """Other names of the code, as CodeSystem.concept.designation."""
        return dicts(self.concepts[code].get("designation"))

    def values(self, code: str, name: str) -> list[str]:
        """The values of one property of a code, as text; its own element where the name is one of these."""
        if name in ("code", "concept"):
            return [code]
        if name in ("display", "definition"):
            found = self.concepts[code].get(name)
            return [found] if isinstance(found, str) else []
        role = self.role(name)
        if role == "parent":
            return list(self.parents.get(code, ()))
        if role == "child":
            return list(self.children.get(code, ()))
        if role == "notSelectable":
            return ["true" if code in self.abstract else "false"]
        if role == "inactive":
            return ["true" if code in self.inactive else "false"]
        return [text_of(p) for p in dicts(self.concepts[code].get("property")) if p.get("code") == name]

    def has_value(self, code: str, name: str) -> bool:
        """Whether the property is stated of the code at all."""
        if self.role(name) in ("notSelectable", "inactive"):
            return any(p.get("code") == name for p in dicts(self.concepts[code].get("property")))
        return bool(self.values(code, name))

    def role(self, name: str) -> str:
        """What the property of this name means here; "" for one of the system's own, or none at all."""
        return self.roles.get(name, "") or _UNDECLARED.get(name, "")

    def knows_property(self, name: str) -> bool:
        """Whether a filter may speak of this property."""
        return name in ("code", "concept", "display", "definition") or name in self.roles or name in _UNDECLARED


def read_code_system(resources: Sequence[Json], supplements: Sequence[Json] = ()) -> CodeSystem:
    """One code system from its resources; of a code in several, the last says what it is."""
    head = resources[-1]
    roles = _roles([*resources, *supplements])
    concepts: dict[str, Json] = {}
    above: dict[str, dict[str, None]] = {}
    for resource in resources:
        for parent, concept in _concepts(resource):
            concepts[concept["code"]] = concept
            if parent:
                above.setdefault(concept["code"], {})[parent] = None
    for supplement in supplements:
        for _, added in _concepts(supplement):
            if added["code"] in concepts:
                concepts[added["code"]] = _supplemented(concepts[added["code"]], added)
    return _made(head, concepts, above, roles)


def _made(
    head: Json, concepts: dict[str, Json], above: dict[str, dict[str, None]], roles: dict[str, str]
) -> CodeSystem:
    flags: dict[str, set[str]] = {"inactive": set(), "notSelectable": set(), "deprecated": set()}
    for code, concept in concepts.items():
        for prop in dicts(concept.get("property")):
            name, text = str(prop.get("code")), text_of(prop)
            role = roles.get(name, "") or _UNDECLARED.get(name, "")
            if role == "parent":
                above.setdefault(code, {})[text] = None
            elif role == "child":
                above.setdefault(text, {})[code] = None
            elif role == "status":
                _note_status(code, text, flags)
            elif role in flags and text != "false":
                flags[role].add(code)
    parents = {code: tuple(p for p in found if p in concepts) for code, found in above.items() if code in concepts}
    return CodeSystem(
        url=head["url"],
        version=_text(head.get("version")),
        title=_text(head.get("title")) or _text(head.get("name")) or head["url"],
        content=_text(head.get("content")),
        case_sensitive=head.get("caseSensitive") if isinstance(head.get("caseSensitive"), bool) else None,
        hierarchy_meaning=_text(head.get("hierarchyMeaning")),
        is_compositional=head.get("compositional") is True,
        concepts=concepts,
        parents=parents,
        children=_turned_round(parents, concepts),
        inactive=frozenset(flags["inactive"]),
        abstract=frozenset(flags["notSelectable"]),
        deprecated=frozenset(flags["deprecated"]),
        roles=roles,
    )


def _note_status(code: str, text: str, flags: dict[str, set[str]]) -> None:
    if text in _STATUS_INACTIVE:
        flags["inactive"].add(code)
    elif text == "deprecated":
        flags["deprecated"].add(code)


def _turned_round(parents: Mapping[str, Codes], concepts: Mapping[str, Json]) -> dict[str, Codes]:
    """Parent to children, children in the order of the system."""
    found: dict[str, list[str]] = {}
    for code in concepts:
        for parent in parents.get(code, ()):
            found.setdefault(parent, []).append(code)
    return {code: tuple(children) for code, children in found.items()}


def _concepts(resource: Json) -> Iterator[tuple[str, Json]]:
    """Each concept with the code it is nested in, in document order."""
    waiting = [("", concept) for concept in reversed(dicts(resource.get("concept")))]
    while waiting:
        parent, concept = waiting.pop()
        if not isinstance(concept.get("code"), str):
            continue
        yield parent, concept
        waiting += [(concept["code"], child) for child in reversed(dicts(concept.get("concept")))]


def _supplemented(concept: Json, added: Json) -> Json:
    more = {name: [*dicts(concept.get(name)), *dicts(added.get(name))] for name in ("designation", "property")}
    if isinstance(added.get("display"), str) and added["display"] != concept.get("display"):
        more["designation"].append({"value": added["display"]})
    return {**concept, **{name: rows for name, rows in more.items() if rows}}


def _roles(resources: Sequence[Json]) -> dict[str, str]:
    found: dict[str, str] = {}
    for resource in resources:
        for declared in dicts(resource.get("property")):
            name, uri = str(declared.get("code")), _text(declared.get("uri"))
            meant = uri.removeprefix(PROPERTIES) if uri.startswith(PROPERTIES) else ""
            found[name] = _SAME.get(meant, meant)
    return found


def _reached(start: str, steps: Mapping[str, Codes]) -> Iterator[str]:
    """Everything the steps lead to; a circle is walked once."""
    seen, waiting = {start}, [start]
    while waiting:
        for code in steps.get(waiting.pop(), ()):
            if code not in seen:
                seen.add(code)
                waiting.append(code)
                yield code


def text_of(prop: Json) -> str:
    """The value of a property as a filter would write it."""
    for name, value in prop.items():
        if name.startswith("value"):
            if isinstance(value, dict):
                return _text(value.get("code"))
            return str(value).lower() if isinstance(value, bool) else str(value)
    return ""


def dicts(value: Any) -> list[Json]:
    """The objects of a list; nothing of what is none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
