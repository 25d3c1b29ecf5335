"""References: may this element point there, and is what it points to what it should be?

The type of a target is known from the address (`Patient/1`), from the resource itself where it is at hand (contained, or
in the Bundle around), or from `Reference.type`. A profile of the target can be held against it only where it is at hand;
a check fetches nothing, so a reference that leads elsewhere is taken at its word.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from phb_fhir.definitions.trail import Trail, path_of
from phb_fhir.outcome import Issue, Kind, Severity
from phb_fhir.validation.frame import Frame, address_of
from phb_fhir.validation.places import Occurrence, type_of_target
from phb_fhir.validation.primitives import is_urn
from phb_fhir.validation.wording import listed, shown

if TYPE_CHECKING:
    from phb_fhir.validation.profile import Plan

    Check: TypeAlias = Callable[[Occurrence, list[Issue]], None]

_BLANK = re.compile(r"\s")


def check_reference(node: dict[str, Any], targets: frozenset[str], trail: Trail, frame: Frame) -> None:
    """A Reference of a type: the target is of an allowed type, and of the type it says. (ref-1 asks for contained ones.)"""
    reference = node.get("reference")
    if type(reference) is not str:
        type_name = node.get("type")
        if (
            type(type_name) is str
            and targets
            and type_name in frame.definitions.resource_types
            and type_name not in targets
        ):
            frame.issues.append(_wrong_target(type_name, targets, trail))
        return
    target = frame.find(reference)
    type_name = type_of_target(node, target, frame)
    stated = node.get("type")
    if target is None and not _leads_somewhere(reference, type_name, frame):
        text = (
            f"{shown(reference)} is not the address of a resource: that is Type/id (such as Patient/1), an absolute URL, "
            "a UUID as urn:uuid:…, or #id of a contained resource."
        )
        is_impossible = (
            _BLANK.search(reference) is not None or "?" in reference
        )  # no URI at all, or none of this Bundle
        severity: Severity = "error" if is_impossible else "warning"
        frame.issues.append(Issue(Kind.VALUE, text, path_of((trail, "reference", None)), severity))
    if type_name and type(stated) is str and stated != type_name and stated in frame.definitions.resource_types:
        text = f"The reference says that it points to {stated}, and it points to {type_name}."
        frame.issues.append(Issue(Kind.INVALID, text, path_of((trail, "type", None))))
    if type_name and targets and type_name not in targets:
        frame.issues.append(_wrong_target(type_name, targets, trail))


def _leads_somewhere(reference: str, type_name: str, frame: Frame) -> bool:
    """Whether a literal reference has a form that R4 knows (§2.3.0.1); `Patient?identifier=x` is one of a transaction."""
    if type_name and reference.startswith(f"{type_name}/"):
        return True
    if ":" in reference:
        return is_urn(reference) and _BLANK.search(reference) is None
    return (
        reference.startswith("#")
        or ("?" in reference and _is_to_be_resolved(frame))
        or address_of(reference, frame.definitions.resource_types) is not None
    )


def _is_to_be_resolved(frame: Frame) -> bool:
    """Whether `Patient?identifier=x` may stand here: in a transaction, or in what may be on its way into one."""
    bundle = frame.container.bundle
    return bundle is None or bundle.resource.get("type") in ("transaction", "batch")


def _wrong_target(type_name: str, targets: frozenset[str], trail: Trail) -> Issue:
    text = f"A reference here points to {listed(sorted(targets))}, not to {type_name}."
    return Issue(Kind.INVALID, text, path_of(trail))


# ---- what profiles ask ---------------------------------------------------------------------------


def target_check(targets: tuple[str, ...], label: str, plan: Plan) -> Check:
    """The target meets one of the profiles, where it is at hand; else its type is one of theirs, where that is known."""
    types: set[str] = set()

    def check(one: Occurrence, issues: list[Issue]) -> None:
        if type(one.value) is not dict:
            return
        reference = one.value.get("reference")
        frame = one.frame.find(reference) if type(reference) is str else None
        if frame is not None and type(frame.resource.get("resourceType")) is str:
            there = Occurrence(frame.resource, None, frame.resource["resourceType"], frame.at, None, frame)
            if any(plan.plans.conforms(there, target) in (True, None) for target in targets):
                return
            text = f'{plan.named} wants "{label}" to point to {_named(targets, plan)}; {shown(reference)} is not that.'
            issues.append(Issue(Kind.INVALID, text, path_of(one.at)))
            return
        if not types:
            types.update(_types(targets, plan))
        type_name = type_of_target(one.value, None, one.frame)
        if type_name and not any(plan.plans.is_a(type_name, wanted) for wanted in types):
            text = f'{plan.named} wants "{label}" to point to {listed(sorted(types))}, not to {type_name}.'
            issues.append(Issue(Kind.INVALID, text, path_of(one.at)))

    return check


def _types(targets: tuple[str, ...], plan: Plan) -> set[str]:
    """The resource types of some profiles; any, where one of them is not known."""
    trees = [plan.plans.tree(target) for target in targets]
    return {"Resource" if tree is None else tree.type for tree in trees}


def _named(targets: tuple[str, ...], plan: Plan) -> str:
    trees = [plan.plans.tree(target) for target in targets]
    return listed([target if tree is None else tree.title for target, tree in zip(targets, trees, strict=True)])


def aggregation_check(modes: frozenset[str], label: str, plan: Plan) -> Check:
    """Where the target may be: contained, bundled, or referenced, which is anywhere (ElementDefinition.type.aggregation)."""

    def check(one: Occurrence, issues: list[Issue]) -> None:
        reference = one.value.get("reference") if type(one.value) is dict else None
        if type(reference) is not str or "referenced" in modes:
            return
        if reference.startswith("#"):
            found = "contained"
        elif one.frame.container.bundle is None and "bundled" in modes:
            return  # the resource alone does not tell what it was bundled with
        else:
            found = "bundled" if one.frame.find(reference) is not None else "referenced"
        if found not in modes:
            text = f'{plan.named} wants the target of "{label}" to be {" or ".join(sorted(modes))}; it is {found}.'
            issues.append(Issue(Kind.INVALID, text, path_of(one.at)))

    return check
