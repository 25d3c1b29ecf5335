"""What one element's definition becomes when a profile speaks of it: property by property.

A profile may only narrow (R4 profiling.html, Limitations of Use), and says only what differs. So for each property there is
one answer to "the base says this, the profile says that": mostly the profile's word replaces the base's; lists such as
constraints and mappings are added to; of two cardinalities the narrower is kept. `_MERGED` is that table, and what is not in it
is replaced. `_CHECKED` holds what a profile may not do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phb_fhir.definitions.snapshot_tree import ElementDefinition, Node, SnapshotFailed

Constraint = dict[str, Any]

STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
_NOT_MERGED = ("base", "id", "path", "sliceName")
_ONE_SPELLING = ("fixed", "pattern", "minValue", "maxValue", "defaultValue")  # choices: of one type, not of two
_MANY = 1 << 31  # the number "*" stands for when cardinalities are compared

# Extensions that speak of the definition they stand in (its maturity, its status) and not of what derives from it: FHIR-28441
# and the lists in both publishers.
_NOT_INHERITED = frozenset(
    STRUCTURE + name
    for name in (
        "structuredefinition-applicable-version", "structuredefinition-category", "structuredefinition-codegen-super",
        "structuredefinition-fmm", "structuredefinition-fmm-no-warnings", "structuredefinition-hierarchy",
        "structuredefinition-implements", "structuredefinition-interface", "structuredefinition-normative-version",
        "structuredefinition-security-category", "structuredefinition-standards-status",
        "structuredefinition-standards-status-reason", "structuredefinition-summary", "structuredefinition-wg",
    )
)  # fmt: skip


def take_over(node: Node, type_url: str, path: str) -> None:
    """Make the tree of another definition's snapshot ready to be built on.

    What is not inherited goes; every element says where it was first defined (sdf-8b). A contentReference is said whole: it
    "always reference[s] the non-constrained definition" (R4 ElementDefinition.contentReference), not the profile's element.
    """
    element = node.element = _inherited(node.element)
    element.setdefault("base", own_base(path, element))
    if element.get("contentReference", "").startswith("#"):
        element["contentReference"] = type_url + element["contentReference"]
    for child in node.children:
        for piece in (child, *child.slices):
            take_over(piece, type_url, f"{path}.{child.name}")


def own_base(path: str, element: ElementDefinition) -> dict[str, Any]:
    """The `base` of an element that was first defined here."""
    return {"path": path, "min": element.get("min", 0), "max": element.get("max", "*")}


def _inherited(element: ElementDefinition) -> ElementDefinition:
    kept = [extension for extension in element.get("extension", ()) if extension.get("url") not in _NOT_INHERITED]
    rest = {key: value for key, value in element.items() if key != "extension"}
    return {**rest, "extension": kept} if kept else rest


def constrain(base: ElementDefinition, stated: ElementDefinition, source: str) -> ElementDefinition:
    """`base` with what the profile `source` has `stated` about it."""
    restated = tuple(stem for stem in _ONE_SPELLING if any(key.startswith(stem) for key in stated))
    merged = {key: value for key, value in base.items() if not (restated and key.lstrip("_").startswith(restated))}
    for key, value in stated.items():
        if key in _NOT_MERGED:
            continue
        rule = _MERGED.get(key)
        merged[key] = rule(merged.get(key), value) if rule else value
    if "constraint" in stated:
        merged["constraint"] = sourced(merged["constraint"], source, stated["constraint"])
    if any(key.startswith("fixed") for key in merged):
        # eld-8: either a fixed value or a pattern; a fixed value says more than any pattern
        merged = {key: value for key, value in merged.items() if not key.startswith(("pattern", "_pattern"))}
    return merged


def sourced(constraints: list[Constraint], source: str, own: list[Constraint]) -> list[Constraint]:
    """`constraints`, where the `own` of `source` say that they come from there, unless they say otherwise."""
    keys = {row.get("key") for row in own}
    return [
        {**row, "source": source} if source and "source" not in row and row.get("key") in keys else row
        for row in constraints
    ]


def narrower_max(base: str | None, stated: str) -> str:
    return stated if base is None or number(stated) < number(base) else base


def check(base: ElementDefinition, stated: ElementDefinition, path: str) -> None:
    """Raise SnapshotFailed when `stated` allows more than `base` does."""
    for allowed in _CHECKED:
        allowed(base, stated, path)


def check_cardinality(element: ElementDefinition, path: str) -> None:
    """Raise SnapshotFailed when what is left of the cardinality cannot be met."""
    least, most = element.get("min", 0), element.get("max", "*")
    if least > number(most):
        raise SnapshotFailed(f"its cardinality comes to {least}..{most}; the minimum cannot be above the maximum", path)


def number(most: str) -> int:
    """A max as a number; "*" is larger than any other."""
    return _MANY if most == "*" else int(most)


def lay_over(node: Node, profile: Node) -> None:
    """Lay the snapshot of a profile over an element of its type, as far down as the element is unfolded.

    The element's base and the profile both hold, so the narrower of their cardinalities and types is kept; of the rest the
    profile has the last word, since it was chosen for this place.
    """
    said = {key: value for key, value in profile.element.items() if key not in ("slicing", "type")}
    node.element = constrain(node.element, said, "")
    if node.children:
        for child in profile.children:
            _lay_over_child(node, child)


def _lay_over_child(node: Node, profile: Node) -> None:
    found = node.child(profile.name)
    if found is None:
        node.children.append(profile)
        return
    if "slicing" in profile.element:
        found.element["slicing"] = profile.element["slicing"]
    for ours, theirs in ((found, profile), *((found.slice(piece.slice_name), piece) for piece in profile.slices)):
        if ours is None:
            found.slices.append(theirs)
            continue
        _keep_types(ours, theirs)
        lay_over(ours, theirs)
        ours.children = ours.children or theirs.children


def _keep_types(node: Node, profile: Node) -> None:
    codes = {of_type.get("code") for of_type in profile.element.get("type", ())}
    kept = [of_type for of_type in node.element.get("type", ()) if of_type.get("code") in codes]
    if kept:
        node.element["type"] = kept


# ---- the answers ---------------------------------------------------------------------------------


def _narrower_min(base: int | None, stated: int) -> int:
    return max(base or 0, stated)


def _appended(base: str | None, stated: str) -> str:
    # No page of R4 says so, and both publishers do: a text that starts with "..." goes on from the base's.
    if not stated.startswith("..."):
        return stated
    return f"{base}\r\n{stated[3:]}" if base else stated[3:]


def _overlaid(base: dict[str, Any] | None, stated: dict[str, Any]) -> dict[str, Any]:
    return {**(base or {}), **stated}


def _bound(base: dict[str, Any] | None, stated: dict[str, Any]) -> dict[str, Any]:
    merged = _overlaid(base, stated)
    if base and "extension" in base and "extension" in stated:
        merged["extension"] = _MERGED["extension"](base["extension"], stated["extension"])
    return merged


def _added_by(*keys: str) -> Callable[[list[Any] | None, list[Any]], list[Any]]:
    """The base's list with the profile's items added; an item with the same `keys` takes the place of the base's."""

    def identity(item: Any) -> Any:
        return tuple(item.get(key) for key in keys) if keys else item

    def added(base: list[Any] | None, stated: list[Any]) -> list[Any]:
        if not base:
            return stated
        merged = {identity(item): item for item in base}
        for item in stated:
            before = merged.get(identity(item))
            merged[identity(item)] = {**before, **item} if before is not None and keys else item
        return list(merged.values())

    return added


_MERGED: dict[str, Callable[[Any, Any], Any]] = {
    "min": _narrower_min,
    "max": narrower_max,
    "definition": _appended,
    "comment": _appended,
    "requirements": _appended,
    "slicing": _overlaid,
    "binding": _bound,
    "alias": _added_by(),
    "condition": _added_by(),
    "representation": _added_by(),
    "code": _added_by("system", "version", "code"),
    "constraint": _added_by("key"),
    "example": _added_by("label"),
    "extension": _added_by("url"),
    "modifierExtension": _added_by("url"),
    "mapping": _added_by("identity", "map"),
}


# ---- what a profile may not do -------------------------------------------------------------------


def _cardinality_is_within(base: ElementDefinition, stated: ElementDefinition, path: str) -> None:
    least, most = base.get("min", 0), base.get("max", "*")
    said = {"min": least, "max": most, **stated}
    lower, upper = said["min"], said["max"]
    if lower < least or number(upper) > number(most):
        raise SnapshotFailed(
            f"its cardinality is widened from {least}..{most} to {lower}..{upper}; a profile can only narrow it", path
        )


def _modifier_stays(base: ElementDefinition, stated: ElementDefinition, path: str) -> None:
    # "Only the definition of an element can set IsModifier true" (R4 ElementDefinition.isModifier); an extension has its own.
    before, after = bool(base.get("isModifier")), bool(stated.get("isModifier", base.get("isModifier")))
    if before != after and not path.rpartition(".")[2].startswith(("extension", "modifierExtension", "Extension")):
        raise SnapshotFailed(f"isModifier is {str(before).lower()} in the base; a profile cannot change it", path)


def _slicing_stays_closed(base: ElementDefinition, stated: ElementDefinition, path: str) -> None:
    before = base.get("slicing", {}).get("rules")
    after = stated.get("slicing", {}).get("rules", before)
    if before == "closed" and after != before:
        raise SnapshotFailed(f"its closed slicing is made {after}; closed it stays", path)


_STRENGTHS = ("example", "preferred", "extensible", "required")


def _binding_is_as_strong(base: ElementDefinition, stated: ElementDefinition, path: str) -> None:
    before = base.get("binding", {}).get("strength", "example")
    after = stated.get("binding", {}).get("strength", before)
    if after not in _STRENGTHS:
        raise SnapshotFailed(f'its binding has the strength "{after}"; R4 knows {", ".join(_STRENGTHS)}', path)
    if before == "required" and after != before:
        raise SnapshotFailed(f"its required binding is loosened to {after}; it stays required", path)


_CHECKED = (_cardinality_is_within, _modifier_stays, _slicing_stays_closed, _binding_is_as_strong)
