"""A profile that says only what differs, made into the whole definition it stands for.

A profile usually ships a differential: the elements it speaks of and what it says of them. A validator needs the snapshot:
every element, with all that is inherited. R4 describes both (§5.1.0.9 to §5.1.0.21) and leaves the way from one to the other
to the publishers; `docs/decisions/0006-snapshot-generation.md` says which of their answers this module gives, and why.

The way: the base's snapshot is read as a tree, the differential as another, and the second is laid over the first from the
root down. At each element, in this order: the profile its type names, if any; what the differential says of it; its children,
unfolded first from its type, from a profile of the type or from its contentReference when the base does not list them; its
slices, each of which starts as a copy of the element as the base had it.

No I/O, no clock: other definitions come from `resolve`. A definition met on the way that has no snapshot either gets one in
the same manner, and a circle of such definitions is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from phb_fhir.definitions.snapshot_merge import (
    STRUCTURE,
    check,
    check_cardinality,
    constrain,
    inherited,
    narrower_max,
    sourced,
)
from phb_fhir.definitions.snapshot_tree import (
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
_NESTED_MAX = 48  # levels of elements in one definition
_ABSTRACT = ("Element", "BackboneElement", "Resource", "DomainResource")
_EXTENSIONS = ("Extension", "extension", "modifierExtension")
_FHIRPATH_TYPES = "http://hl7.org/fhirpath/"
_OF_THE_TYPE = ("min", "max", "base", "type", "binding")  # what a type's root says of the type, not of an element of it
_BY_URL = {
    "discriminator": [{"type": "value", "path": "url"}],
    "description": "Extensions are always sliced by (at least) url",
    "rules": "open",
}
_BY_TYPE = {"discriminator": [{"type": "type", "path": "$this"}], "ordered": False, "rules": "open"}


def generate_snapshot(profile: StructureDefinition, resolve: Resolve) -> list[ElementDefinition]:
    """The elements of the snapshot of `profile`, made from its differential and its base (R4 §5.1.0.11).

    `resolve(url)` answers the StructureDefinition of this canonical URL (a resource, a data type, an extension, another
    profile), or None. The answer shares nothing with what was read. `derivation: specialization` works as well: the new
    type's own elements are added to those of its base.

    Raises SnapshotFailed: an unknown base, type, profile or contentReference; an element the base does not have; a
    cardinality, a choice of types or a required binding made wider; slices that nothing tells apart; definitions that stand
    on each other in a circle.
    """
    return write(_tree_of(profile, _Known(resolve)))


@dataclass(frozen=True, slots=True)
class _Known:
    """The other definitions, each read once. `making` are the URLs of those whose snapshot is being made."""

    resolve: Resolve
    making: tuple[str, ...] = ()
    trees: dict[str, Node] = field(default_factory=dict)

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
            tree = self._read(definition, path)
            _take_over(tree, _type_url(definition.get("type", "")), tree.name)
            self.trees[url] = tree
        return tree.copy()

    def _read(self, definition: StructureDefinition, path: str) -> Node:
        rows = definition.get("snapshot", {}).get("element")
        url = definition.get("url", "")
        if rows:
            return parse_snapshot(rows)
        if url in self.making:
            circle = " stands on ".join((*self.making[self.making.index(url) :], url))
            raise SnapshotFailed(f"the definitions go round in a circle: {circle}", path)
        return _tree_of(definition, self)

    def is_a(self, type_: str, ancestor: str) -> bool:
        """Whether the type `type_` is `ancestor` or derives from it."""
        for _ in range(_BASES_MAX):
            if type_ == ancestor:
                return True
            definition = self.find(_type_url(type_)) or {}
            type_ = definition.get("baseDefinition", "").rpartition("/")[2]
            if not type_:
                break
        return False


def _type_url(code: str) -> str:
    return code if "://" in code else STRUCTURE + code


def _tree_of(profile: StructureDefinition, known: _Known) -> Node:
    url = profile.get("url", "")
    if len(known.making) >= _BASES_MAX:
        raise SnapshotFailed(f"more than {_BASES_MAX} definitions without a snapshot stand on each other", url)
    known = _Known(known.resolve, (*known.making, url), known.trees)
    type_ = profile.get("type", "").rpartition("/")[2]
    is_new_type = profile.get("derivation") != "constraint"
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
    base_type = base.get("type", "").rpartition("/")[2]
    if not is_new_type and base_type != type_:
        raise SnapshotFailed(f"the base {canonical} is a {base_type}; a profile is of the type of its base", type_)
    root = known.tree(base, type_)
    root.name = type_
    return root


def _take_over(node: Node, type_url: str, path: str) -> None:
    """Make the snapshot of another definition ready to be built on, here and below.

    What is not inherited goes; every element says where it was defined first (sdf-8b). A contentReference is said whole,
    since it speaks of the type's own element and not of what a profile makes of it (R4 §2.28.2, FHIR-57266).
    """
    element = node.element = dict(inherited(node.element))
    element.setdefault("base", _own_base(path, element))
    if element.get("contentReference", "").startswith("#"):
        element["contentReference"] = type_url + element["contentReference"]
    for child in node.children:
        for piece in (child, *child.slices):
            _take_over(piece, type_url, f"{path}.{child.name}")


@dataclass(frozen=True, slots=True)
class _Overlay:
    """The differential of the definition `source` being laid over its base, of which `root` is the tree."""

    known: _Known
    source: str
    root: Node
    is_new_type: bool

    def root_element(self, wanted: Node) -> None:
        # The cardinality of a root means nothing in R4 (§2.28.0.6): it neither binds nor is bound.
        stated, path = wanted.element, self.root.name
        merged = constrain(self.root.element, stated, self.source)
        merged.update({key: stated[key] for key in ("min", "max") if key in stated})
        self.root.element = {**merged, "base": _own_base(path, merged)} if self.is_new_type else merged
        self.below(self.root, wanted, path)

    def element(self, node: Node, wanted: Node, path: str) -> None:
        """Lay `wanted` over `node` and all below it."""
        if path.count(".") > _NESTED_MAX:
            raise SnapshotFailed(f"it lies more than {_NESTED_MAX} levels deep", path)
        before = dict(node.element)
        self.profile_of_type(node, wanted, path)
        if not self.is_new_type:
            check(before, wanted.element, path)
            self.check_types(before, wanted.element, path)
        node.element = constrain(node.element, wanted.element, self.source)
        check_cardinality(node.element, path)
        self.below(node, wanted, path)

    def below(self, node: Node, wanted: Node, path: str) -> None:
        if wanted.children and not node.children:
            node.children = self.unfolded(node, path)
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
        before = found.copy()
        if wanted.stated or wanted.children:
            self.element(found, wanted, here)
        for piece in wanted.slices:
            self.slice(found, before, piece, f"{here}:{piece.slice_name}")

    def choice(self, parent: Node, wanted: Node, among: Node) -> tuple[Node | None, Node]:
        """For a row about `valueQuantity` where the base has `value[x]`: that element, and what is wanted of it.

        Where one type is left, the row speaks of the element. Else it speaks of the slice of this type, and the other types
        stay allowed (R4 §2.28.0.4, FHIR-12259). The only such row of an extension's own definition says the type of its
        value: else extensions written so would take any.
        """
        for element in parent.children:
            stem = element.name.removesuffix("[x]")
            types = element.element.get("type", ())
            chosen = [t for t in types if wanted.name == stem + _capital(t["code"])] if element.is_choice else []
            if not chosen:
                continue
            rows = [row for row in among.children if row.name.startswith(stem) and row.name != element.name]
            is_value = self.root.name == "Extension" and parent.name in _EXTENSIONS and len(rows) == 1
            if (len(types) == 1 or is_value) and not element.slices and not wanted.slices:
                said = {"type": chosen, **wanted.element}
                return element, Node(element.name, said, "", wanted.children)
            pieces = wanted.slices if not wanted.stated and not wanted.children else [wanted, *wanted.slices]
            named = [
                Node(element.name, {"type": chosen, **piece.element}, piece.slice_name or piece.name, piece.children)
                for piece in pieces
            ]
            return element, Node(element.name, slices=named, stated=False)
        return None, wanted

    def unfolded(self, node: Node, path: str) -> list[Node]:
        """The children of an element the base lists none for."""
        reference = node.element.get("contentReference")
        if reference:
            target = self.referenced(reference, path)
            node.element = {key: value for key, value in node.element.items() if key != "contentReference"}
            node.element["type"] = target.element.get("type", [])
            return target.children
        code, profile = _one_type(node.element)
        if code:
            return self.type_tree(code, profile, path).children
        if self.is_new_type:
            return []
        raise SnapshotFailed("it has no type to take children from; the base has to give it one", path)

    def type_tree(self, code: str, profile: str, path: str) -> Node:
        if code.startswith(_FHIRPATH_TYPES):
            raise SnapshotFailed(f"it is a plain {code.rpartition('.')[2]} and has no children", path)
        definition = self.known.get(profile or _type_url(code), "its profile" if profile else "its type", path)
        return self.known.tree(definition, path)

    def referenced(self, reference: str, path: str) -> Node:
        """The element a contentReference points at, with what is below it."""
        url, _, id_ = reference.partition("#")
        definition = self.known.find(url) if url else None
        if url and definition is None:
            raise SnapshotFailed(f"its contentReference {reference} is in a definition that is not known", path)
        target: Node | None = self.known.tree(definition, path) if definition else self.root.copy()
        for step in id_.split(".")[1:]:
            name, _, piece = step.partition(":")
            target = target.child(name) if target else None
            target = target.slice(piece) if target and piece else target
        if target is None:
            raise SnapshotFailed(f"its contentReference {reference} points at no element", path)
        return target

    def new_element(self, wanted: Node, path: str) -> Node:
        """An element this type introduces: it begins with what its type's own root says."""
        node = Node(wanted.name, {"base": _own_base(path, wanted.element)})
        code, profile = _one_type(wanted.element)
        if not code or code.startswith(_FHIRPATH_TYPES):
            return node
        said = self.type_tree(code, profile, path).element
        node.element = {**{key: value for key, value in said.items() if key not in _OF_THE_TYPE}, **node.element}
        if "constraint" in said:
            keys = {constraint["key"] for constraint in said["constraint"]}
            node.element["constraint"] = sourced(said["constraint"], _type_url(code), keys)
        return node

    # ---- slices ----

    def slice(self, entry: Node, before: Node, wanted: Node, path: str) -> None:
        piece = entry.slice(wanted.slice_name) or self.new_slice(entry, before, wanted, path)
        self.element(piece, wanted, path)
        if entry.name in _EXTENSIONS and piece.children:
            _fix_url(piece, _one_type(piece.element)[1] or piece.slice_name)

    def new_slice(self, entry: Node, before: Node, wanted: Node, path: str) -> Node:
        """A slice as a copy of what it slices: the element, or for `name/part` the slice `name` (R4 §5.1.0.15)."""
        origin = wanted.slice_name.rpartition("/")[0]
        sliced = entry.slice(origin) if origin else None
        self.check_slicing(sliced or entry, before, path)
        piece = (sliced or before).copy()
        piece.slice_name, piece.slices = wanted.slice_name, []
        piece.element.pop("slicing", None)
        piece.element["min"] = 0  # that something of its element must be there does not mean that this must
        piece.element["max"] = narrower_max(piece.element.get("max"), entry.element.get("max", "*"))
        types = piece.element.get("type", ())
        only = [t for t in types if wanted.slice_name == entry.name.removesuffix("[x]") + _capital(t.get("code", ""))]
        if entry.is_choice and only:
            piece.element["type"] = only  # a slice named for a type is of that type (FHIR-12259)
        _insert(entry, piece, origin if sliced else "")
        return piece

    def check_slicing(self, sliced: Node, before: Node, path: str) -> None:
        """That slices can be told apart, and that there may be one more; extensions and choices say the first themselves."""
        if sliced.name in _EXTENSIONS:
            sliced.element.setdefault("slicing", _BY_URL)
        elif sliced.is_choice:
            sliced.element.setdefault("slicing", _BY_TYPE)
        elif "slicing" not in sliced.element:
            raise SnapshotFailed("nothing says how its slices are told apart; the sliced element needs a slicing", path)
        was = before.element.get("slicing", {})
        if (
            was.get("rules") == "closed"
            and sliced.name == before.name
            and not sliced.slice_name
            and not sliced.is_choice
        ):
            raise SnapshotFailed("the base's slicing is closed; a profile can narrow its slices, not add one", path)

    # ---- types ----

    def check_types(self, base: ElementDefinition, stated: ElementDefinition, path: str) -> None:
        allowed = [t["code"] for t in base.get("type", ())]
        for code in (t.get("code", "") for t in stated.get("type", ())):
            if allowed and not any(self.narrows(code, one) for one in allowed):
                raise SnapshotFailed(f"its type {code} is not among those of the base: {', '.join(allowed)}", path)

    def narrows(self, code: str, allowed: str) -> bool:
        if code == allowed or allowed.startswith(_FHIRPATH_TYPES):
            return True
        return allowed in _ABSTRACT and self.known.is_a(code, allowed)

    def profile_of_type(self, node: Node, wanted: Node, path: str) -> None:
        """Lay the profile that the differential names for the type over `node`, before what it says itself.

        Where the type is left open, or several profiles are named (any of them will do), none can be.
        """
        code, profile = _one_type(wanted.element)
        if not profile or profile == _one_type(node.element)[1]:
            return
        definition = self.known.get(profile, "its profile", path)
        of_type = definition.get("type", "").rpartition("/")[2]
        if not self.known.is_a(of_type, code):
            raise SnapshotFailed(f"its type is {code}, and its profile {profile} is of a {of_type}", path)
        if definition.get("url") in self.known.making and "snapshot" not in definition:
            return  # an extension inside itself: it cannot add to itself what is not there yet
        tree = self.known.tree(definition, path)
        if definition.get("kind") == "resource":
            tree.element.pop("constraint", None)  # %resource would mean another resource here
        _lay_over(node, tree)


def _one_type(element: ElementDefinition) -> tuple[str, str]:
    """The type to take children from, and its profile, "" when there is none or several (any of them will do).

    Several types have in common what every Element has; the rest can be said of one type only (R4 §2.28.0.4).
    """
    types = element.get("type", ())
    codes = {t.get("code", "") for t in types}
    if len(codes) != 1:
        return ("Element" if codes else ""), ""
    profiles = dict.fromkeys(url for t in types for url in t.get("profile", ()))
    return codes.pop(), next(iter(profiles)) if len(profiles) == 1 else ""


def _lay_over(node: Node, profile: Node) -> None:
    """Lay a profile's snapshot over an element of its type, as far as the element is unfolded."""
    said = {key: value for key, value in profile.element.items() if key not in ("slicing", "type")}
    node.element = constrain(node.element, said, "")
    if not node.children:
        return
    for child in profile.children:
        found = node.child(child.name)
        if found is None:
            continue
        _lay_over_types(found, child)
        _lay_over(found, child)
        if "slicing" in child.element:
            found.element["slicing"] = child.element["slicing"]
        for piece in child.slices:
            ours = found.slice(piece.slice_name)
            if ours is None:
                found.slices.append(piece)
            else:
                _lay_over(ours, piece)


def _lay_over_types(node: Node, profile: Node) -> None:
    codes = {t.get("code") for t in profile.element.get("type", ())}
    kept = [t for t in node.element.get("type", ()) if t.get("code") in codes]
    if kept and len(kept) < len(node.element["type"]):
        node.element = {**node.element, "type": kept}


def _insert(entry: Node, piece: Node, origin: str) -> None:
    """Put a slice last, or a slice of a slice last among those of its own."""
    places = [i for i, other in enumerate(entry.slices) if f"{other.slice_name}/".startswith(f"{origin}/")]
    entry.slices.insert(places[-1] + 1 if origin and places else len(entry.slices), piece)


def _fix_url(extension: Node, url: str) -> None:
    """Fix the url of an extension to its own, which is what its slices are told apart by (R4 §2.4.1.1)."""
    found = extension.child("url")
    if found and not any(key.startswith("fixed") for key in found.element):
        found.element = {**found.element, "fixedUri": url}


def _own_base(path: str, stated: ElementDefinition) -> dict[str, Any]:
    return {"path": path, "min": stated.get("min", 0), "max": stated.get("max", "*")}


def _capital(code: str) -> str:
    return code[:1].upper() + code[1:]
