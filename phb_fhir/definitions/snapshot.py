"""A profile that says only what differs, made into the whole definition it stands for.

A profile usually ships a differential: the elements it speaks of and what it says of them. A validator needs the snapshot:
every element, with all that is inherited. R4 (profiling.html, elementdefinition.html) describes both and leaves the way from
one to the other to the publishers; `docs/decisions/0006-snapshot-generation.md` says which of their answers are given here.

The way: the base's snapshot is read as a tree, the differential as another, and the second is laid over the first from the
root down. At each element, in this order: the profile its type names, if any; what the differential says of it; its children,
unfolded first from its type, from a profile of the type or from its contentReference when the base does not list them; its
slices, each of which starts as a copy of the element as the base had it.

No I/O, no clock: other definitions come from `resolve`. A definition met on the way that has no snapshot either gets one in
the same manner, and a circle of such definitions is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from phb_fhir.definitions.snapshot_merge import (
    STRUCTURE,
    check,
    check_cardinality,
    constrain,
    lay_over,
    narrower_max,
    own_base,
    sourced,
    take_over,
)
from phb_fhir.definitions.snapshot_tree import (
    NODES_MAX,
    ElementDefinition,
    Node,
    SnapshotFailed,
    parse_differential,
    parse_snapshot,
    write,
)

__all__ = ["SnapshotFailed", "generate_snapshot"]

StructureDefinition = dict[str, Any]
Resolve = Callable[[str], StructureDefinition | None]

_BASES_MAX = 24  # definitions without a snapshot that may stand on each other
_ABSTRACT = ("Element", "BackboneElement", "Resource", "DomainResource")
_EXTENSIONS = ("Extension", "extension", "modifierExtension")
_OF_ANY_TYPE = ("id", "extension")
_FHIRPATH_TYPES = "http://hl7.org/fhirpath/"
_PROFILE_ELEMENT = STRUCTURE + "elementdefinition-profile-element"
_OF_THE_TYPE = ("min", "max", "base", "type", "binding")  # what a type's root says of the type, not of an element of it
_BY_URL = {
    "discriminator": [{"type": "value", "path": "url"}],
    "description": "Extensions are always sliced by (at least) url",
    "rules": "open",
}
_BY_TYPE = {"discriminator": [{"type": "type", "path": "$this"}], "ordered": False, "rules": "open"}


def generate_snapshot(
    profile: StructureDefinition, resolve: Resolve, *, is_strict: bool = True
) -> list[ElementDefinition]:
    """The elements of the snapshot of `profile`, made from its differential and its base.

    `resolve(url)` answers the StructureDefinition of this canonical URL (a resource, a data type, an extension, another
    profile), or None. The answer shares nothing with what was read. `derivation: specialization` works as well: the new
    type's own elements are added to those of its base.

    Raises SnapshotFailed: an unknown base, type or contentReference; an element the base does not have; a cardinality, a
    choice of types, a required binding or a closed slicing made wider; isModifier changed; slices that nothing tells apart;
    definitions that stand on each other in a circle. A profile of a type that is not known is no failure: it stays named in
    the element's type, where a validator meets it.

    Without `is_strict` a profile that asks for more than its base allows is made as far as it goes: of two cardinalities
    the narrower holds, of all else what the profile says. What cannot be made even so still raises.
    """
    return write(_tree_of(profile, _Known(resolve, is_strict=is_strict)))


def _tree_of(profile: StructureDefinition, known: _Known) -> Node:
    url, type_ = profile.get("url", ""), _tail(profile.get("type", ""))
    if not type_:
        raise SnapshotFailed("a StructureDefinition names the type it is about", url)
    if len(known.making) >= _BASES_MAX:
        raise SnapshotFailed(f"more than {_BASES_MAX} definitions without a snapshot stand on each other", url)
    known = replace(known, making=(*known.making, url))
    derivation = profile.get("derivation") or ("constraint" if "baseDefinition" in profile else "specialization")
    is_new_type = derivation == "specialization"
    root = _base_of(profile, type_, known, is_new_type=is_new_type)
    wanted = parse_differential(profile.get("differential", {}).get("element", []), type_)
    _Overlay(known, url, root, is_new_type=is_new_type).root_element(wanted)
    if type_ == "Extension" and not is_new_type:
        _fix_url(root, url)
    return root


def _base_of(profile: StructureDefinition, type_: str, known: _Known, *, is_new_type: bool) -> Node:
    canonical = profile.get("baseDefinition")
    if not canonical and is_new_type:
        return Node(type_)  # Element and Resource stand on nothing
    if not canonical:
        raise SnapshotFailed("a profile names its baseDefinition", type_)
    base = known.get(canonical, "the base", type_)
    if not is_new_type and _tail(base.get("type", "")) != type_:
        raise SnapshotFailed(
            f"the base {canonical} is of the type {base.get('type')}; a profile is of its base's", type_
        )
    root = known.tree(base, type_)
    root.name = type_
    return root


@dataclass(frozen=True, slots=True)
class _Known:
    """The other definitions, each read once. `making` are the URLs of those whose snapshot is being made."""

    resolve: Resolve
    making: tuple[str, ...] = ()
    trees: dict[str, Node] = field(default_factory=dict)
    copies: list[int] = field(default_factory=lambda: [0])  # one number: how many elements were copied
    is_strict: bool = True

    def find(self, canonical: str) -> StructureDefinition | None:
        found = self.resolve(canonical)
        return found if found or "|" not in canonical else self.resolve(canonical.partition("|")[0])

    def get(self, canonical: str, what: str, path: str) -> StructureDefinition:
        found = self.find(canonical)
        if found is None:
            raise SnapshotFailed(f"{what} {canonical} is not known; it has to be loaded too", path)
        return found

    def tree(self, definition: StructureDefinition, path: str) -> Node:
        """Its snapshot as a tree of the caller's own, ready to be built on."""
        url = definition.get("url", "")
        tree = self.trees.get(url)
        if tree is None:
            tree = self._read(definition, url, path)
            take_over(tree, _type_url(definition.get("type", "")), tree.name)
            self.trees[url] = tree
        return self.copied(tree, path)

    def copied(self, node: Node, path: str) -> Node:
        """A copy to build on. A few rows may ask for many, one inside the other, so there is a bound."""
        self.copies[0] += node.size()
        if self.copies[0] > NODES_MAX:
            raise SnapshotFailed(f"the snapshot would have more than {NODES_MAX} elements", path)
        return node.copy()

    def _read(self, definition: StructureDefinition, url: str, path: str) -> Node:
        if "snapshot" in definition:
            return parse_snapshot(definition["snapshot"].get("element", []))
        if url in self.making:
            circle = " stands on ".join((*self.making[self.making.index(url) :], url))
            raise SnapshotFailed(f"definitions without a snapshot go round in a circle: {circle}", path)
        return _tree_of(definition, self)

    def is_unfinished(self, canonical: str) -> bool:
        """Whether its snapshot is only just being made: an extension inside itself has nothing to add to itself yet."""
        definition = self.find(canonical) or {}
        return definition.get("url") in self.making and "snapshot" not in definition

    def is_a(self, type_: str, ancestor: str) -> bool:
        """Whether the type `type_` is `ancestor` or derives from it."""
        for _ in range(_BASES_MAX):
            if type_ in ("", ancestor):
                break
            type_ = _tail((self.find(_type_url(type_)) or {}).get("baseDefinition", ""))
        return type_ == ancestor


# ---- one differential over one base --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Overlay:
    """The differential of the definition `source` being laid over its base, of which `root` is the tree.

    `is_new_type`: the definition is a type of its own, free to add elements; else it is a profile and may only narrow.
    """

    known: _Known
    source: str
    root: Node
    is_new_type: bool

    def root_element(self, wanted: Node) -> None:
        # The cardinality of a root is irrelevant in R4 (elementdefinition.html): it neither binds nor is bound.
        stated, path = wanted.element, self.root.name
        merged = constrain(self.root.element, stated, self.source)
        merged.update({key: stated[key] for key in ("min", "max") if key in stated})
        self.root.element = {**merged, "base": own_base(path, merged)} if self.is_new_type else merged
        self.below(self.root, wanted, path)

    def element(self, node: Node, wanted: Node, path: str) -> None:
        """Lay `wanted` over `node` and all below it."""
        before = dict(node.element)
        self.profile_of_type(node, wanted, path)
        if self.known.is_strict and not self.is_new_type:
            check(before, wanted.element, path)
            self.check_types(before, wanted.element, path)
        node.element = constrain(node.element, wanted.element, self.source)
        if self.known.is_strict:
            check_cardinality(node.element, path)
        self.below(node, wanted, path)

    def below(self, node: Node, wanted: Node, path: str) -> None:
        if wanted.children and not node.children:
            node.children = self.unfolded(node, path)
        elif wanted.children and "type" in node.element and all(child.name in _OF_ANY_TYPE for child in node.children):
            # the base listed what every type has while the type was open
            listed = {child.name: child for child in node.children}
            node.children = [listed.get(child.name, child) for child in self.unfolded(node, path)]
        for child in wanted.children:
            self.child(node, child, wanted, path)

    # ---- children ----

    def child(self, parent: Node, wanted: Node, among: Node, path: str) -> None:
        found = parent.child(wanted.name)
        if found is None:
            found, wanted = self.choice(parent, wanted, among)
        here = f"{path}.{wanted.name}"
        if found is None and self.is_new_type:
            found = self.new_element(wanted, here)
            parent.children.append(found)
        if found is None:
            known = ", ".join(child.name for child in parent.children)
            raise SnapshotFailed(f"the base has no such element there; it has {known}", here)
        before = self.known.copied(found, here) if wanted.slices else found
        if wanted.stated or wanted.children:
            self.element(found, wanted, here)
        for piece in wanted.slices:
            self.slice(found, before, piece, f"{here}:{piece.slice_name}")

    def choice(self, parent: Node, wanted: Node, among: Node) -> tuple[Node | None, Node]:
        """For a row about `valueQuantity` where the base has `value[x]`: that element, and what is wanted of it.

        Where one type is left, the row speaks of the element. Else it speaks of the slice of this type, and the other types
        stay allowed (FHIR-12259). The only such row in an extension's own definition says the type of its value: else an
        extension written so would take any.
        """
        for element in parent.children:
            stem = element.name.removesuffix("[x]")
            types = element.element.get("type", ())
            chosen = [t for t in types if wanted.name == _named(stem, t)] if element.is_choice else []
            if not chosen:
                continue
            rows = [row for row in among.children if row.name.startswith(stem) and row.name != element.name]
            is_value = self.root.name == "Extension" and parent.name in _EXTENSIONS and len(rows) == 1
            if (len(types) == 1 or is_value) and not element.slices and not wanted.slices:
                return element, Node(element.name, {"type": chosen, **wanted.element}, "", wanted.children)
            own = [wanted] if wanted.stated or wanted.children else []
            pieces = [
                Node(element.name, {"type": chosen, **piece.element}, piece.slice_name or piece.name, piece.children)
                for piece in (*own, *wanted.slices)
            ]
            return element, Node(element.name, slices=pieces, stated=False)
        return None, wanted

    def unfolded(self, node: Node, path: str) -> list[Node]:
        """The children of an element the base lists none for."""
        reference = node.element.get("contentReference")
        if reference:
            target = self.referenced(reference, path)
            node.element = {key: value for key, value in node.element.items() if key != "contentReference"}
            node.element["type"] = target.element.get("type", [])
            return target.children
        kind = _one_type(node.element)
        if kind.code:
            return self.type_tree(kind, path).children
        if self.is_new_type:
            return []
        raise SnapshotFailed("it has no type to take children from; its definition has to give it one", path)

    def referenced(self, reference: str, path: str) -> Node:
        """The element a contentReference points at, with what is below it."""
        url, _, id_ = reference.partition("#")
        definition = self.known.find(url) if url else None
        if url and definition is None:
            raise SnapshotFailed(f"its contentReference {reference} is in a definition that is not known", path)
        target = (self.known.tree(definition, path) if definition else self.known.copied(self.root, path)).at(id_)
        if target is None:
            raise SnapshotFailed(f"its contentReference {reference} points at no element", path)
        return target

    def new_element(self, wanted: Node, path: str) -> Node:
        """An element this type introduces: it begins with what its type's own root says."""
        node = Node(wanted.name, {"base": own_base(path, wanted.element)})
        kind = _one_type(wanted.element)
        if not kind.code or kind.code.startswith(_FHIRPATH_TYPES):
            return node
        said = self.type_tree(kind, path).element
        node.element |= {key: value for key, value in said.items() if key not in _OF_THE_TYPE}
        if "constraint" in said:
            node.element["constraint"] = sourced(said["constraint"], _type_url(kind.code), said["constraint"])
        return node

    # ---- slices ----

    def slice(self, entry: Node, before: Node, wanted: Node, path: str) -> None:
        piece = entry.slice(wanted.slice_name)
        if piece is None and not wanted.stated and not entry.is_choice:
            raise SnapshotFailed("no row introduces this slice, and the base has none of this name", path)
        piece = piece or self.new_slice(entry, before, wanted, path)
        self.element(piece, wanted, path)
        if entry.name in _EXTENSIONS and piece.children:
            _fix_url(piece, _one_type(piece.element).profile or piece.slice_name)

    def new_slice(self, entry: Node, before: Node, wanted: Node, path: str) -> Node:
        """A slice as a copy of what it slices: the element as the base had it, or for `name/part` the slice `name`."""
        origin = wanted.slice_name.rpartition("/")[0]
        sliced = entry.slice(origin) if origin else None
        self.check_slicing(sliced or entry, before, path)
        piece = self.known.copied(sliced or before, path)
        piece.slice_name, piece.slices = wanted.slice_name, []
        piece.element.pop("slicing", None)
        piece.element["min"] = 0  # that something of its element must be there does not mean that this must
        piece.element["max"] = narrower_max(piece.element.get("max"), entry.element.get("max", "*"))
        stem = entry.name.removesuffix("[x]")
        chosen = [t for t in piece.element.get("type", ()) if wanted.slice_name == _named(stem, t)]
        if entry.is_choice and chosen:
            piece.element["type"] = chosen  # a slice named for a type is of that type (FHIR-12259)
        entry.add_slice(piece, after=origin if sliced else "")
        return piece

    def check_slicing(self, sliced: Node, before: Node, path: str) -> None:
        """See to it that slices can be told apart and one more is allowed; for extensions and choices the first is known."""
        if sliced.name in _EXTENSIONS:
            sliced.element.setdefault("slicing", _BY_URL)
        elif sliced.is_choice:
            sliced.element.setdefault("slicing", _BY_TYPE)
        elif "slicing" not in sliced.element and self.known.is_strict:
            raise SnapshotFailed("nothing says how its slices are told apart; the sliced element needs a slicing", path)
        rules = before.element.get("slicing", {}).get("rules")
        if rules == "closed" and not sliced.slice_name and not sliced.is_choice and self.known.is_strict:
            raise SnapshotFailed("the base's slicing is closed; a profile can narrow its slices, not add one", path)

    # ---- types ----

    def type_tree(self, kind: _Type, path: str) -> Node:
        """What an element of this type begins with: its profile's tree when that is known, else the type's own."""
        if kind.code.startswith(_FHIRPATH_TYPES):
            raise SnapshotFailed(f"it is a plain {kind.code.rpartition('.')[2]} and has no children", path)
        profiled = self.profile_tree(kind, path)
        if profiled is not None:
            return profiled
        return self.known.tree(self.known.get(_type_url(kind.code), "its type", path), path)

    def profile_tree(self, kind: _Type, path: str) -> Node | None:
        """The profile of a type as a tree, or the part of it that elementdefinition-profile-element names."""
        definition = self.known.find(kind.profile) if kind.profile else None
        if definition is None:
            return None
        tree = self.known.tree(definition, path)
        if kind.part:
            part = tree.at(kind.part)
            if part is None:
                raise SnapshotFailed(f"its profile {kind.profile} has no element {kind.part}", path)
            return part
        of_type = definition.get("type", "")
        if not self.known.is_a(_tail(of_type), _tail(kind.code)):
            raise SnapshotFailed(f"its type is {kind.code}, and its profile {kind.profile} is of a {of_type}", path)
        if definition.get("kind") == "resource":
            tree.element.pop("constraint", None)  # %resource would mean another resource here
        return tree

    def profile_of_type(self, node: Node, wanted: Node, path: str) -> None:
        """Lay the profile that the differential names for the type over `node`, before what it says itself."""
        kind = _one_type(wanted.element)
        if not kind.profile or kind == _one_type(node.element) or self.known.is_unfinished(kind.profile):
            return
        profiled = self.profile_tree(kind, path)
        if profiled is not None:
            lay_over(node, profiled)

    def check_types(self, base: ElementDefinition, stated: ElementDefinition, path: str) -> None:
        allowed = [of_type.get("code", "") for of_type in base.get("type", ())]
        for code in (of_type.get("code", "") for of_type in stated.get("type", ())):
            if allowed and not any(self.narrows(code, one) for one in allowed):
                raise SnapshotFailed(f"its type {code} is not among those of the base: {', '.join(allowed)}", path)
        self.check_targets(base, stated, path)

    def check_targets(self, base: ElementDefinition, stated: ElementDefinition, path: str) -> None:
        allowed = {self.about(url) for of_type in base.get("type", ()) for url in of_type.get("targetProfile", ())}
        if not allowed or "" in allowed:
            return  # any target will do, or one is of a type that is not known
        for url in (url for of_type in stated.get("type", ()) for url in of_type.get("targetProfile", ())):
            target = self.about(url)
            if target and not any(self.known.is_a(target, one) for one in allowed):
                raise SnapshotFailed(
                    f"its target {url} is none of {', '.join(sorted(allowed))}, as the base has it", path
                )

    def about(self, canonical: str) -> str:
        """The type a definition is about; empty where it is not known."""
        return _tail((self.known.find(canonical) or {}).get("type", ""))

    def narrows(self, code: str, allowed: str) -> bool:
        if code == allowed or allowed.startswith(_FHIRPATH_TYPES):
            return True
        return allowed in _ABSTRACT and self.known.is_a(code, allowed)


class _Type(NamedTuple):
    """The one type of an element, its one profile, and the id of the element of that profile that is meant."""

    code: str = ""
    profile: str = ""
    part: str = ""


def _one_type(element: ElementDefinition) -> _Type:
    """The type and the profile that say what is below an element; no profile where several are named, as any of them will do.

    Several types have in common what every Element has; the rest can be said of one type only.
    """
    types = element.get("type", ())
    codes = {of_type.get("code", "") for of_type in types}
    if len(codes) != 1:
        return _Type("Element" if codes else "")
    profiles = {(url, _part(t, place)) for t in types for place, url in enumerate(t.get("profile", ()))}
    return _Type(*codes, *(profiles.pop() if len(profiles) == 1 else ()))


def _part(of_type: dict[str, Any], place: int) -> str:
    beside = of_type.get("_profile", ())
    extensions = (beside[place] or {}).get("extension", ()) if place < len(beside) else ()
    return next((x.get("valueString", "") for x in extensions if x.get("url") == _PROFILE_ELEMENT), "")


def _fix_url(extension: Node, url: str) -> None:
    """Fix the url of an extension to its own, which is what extensions are told apart by (R4 extensibility.html)."""
    found = extension.child("url")
    if found and not any(key.startswith("fixed") for key in found.element):
        found.element = {**found.element, "fixedUri": url}


def _type_url(code: str) -> str:
    return code if "://" in code else STRUCTURE + code


def _tail(url: str) -> str:
    return url.rpartition("/")[2]


def _named(stem: str, of_type: dict[str, Any]) -> str:
    """How a choice is spelled for one of its types: `valueQuantity`."""
    code: str = of_type.get("code", "")
    return stem + code[:1].upper() + code[1:]
