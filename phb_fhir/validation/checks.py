"""What an element of a profile asks of each of its values, one function for each kind of constraint.

`checks_of` reads an ElementDefinition and makes the checks it calls for; `_MAKERS` is the list of kinds. A check gets an
occurrence and the list to append to. What the element's type asks already is not asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from phb_fhir.definitions.load import Binding, Element, Invariant
from phb_fhir.definitions.trail import path_of
from phb_fhir.fhir.codec import dumps
from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation.bindings import BOUND_TYPES, binding_check
from phb_fhir.validation.invariants import hold, rules_of
from phb_fhir.validation.places import Occurrence
from phb_fhir.validation.references import aggregation_check, target_check
from phb_fhir.validation.specs import Spec
from phb_fhir.validation.values import compared, fits, is_same
from phb_fhir.validation.wording import short, shown

if TYPE_CHECKING:
    from phb_fhir.validation.profile import Plan

    Check: TypeAlias = Callable[[Occurrence, list[Issue]], None]
    Maker: TypeAlias = Callable[[Spec, tuple[Element, ...], Plan], Iterator[Check]]

_STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
_MIN_LENGTH = _STRUCTURE + "minLength"
_MAX_VALUE_SET = _STRUCTURE + "elementdefinition-maxValueSet"


def checks_of(spec: Spec, elements: tuple[Element, ...], plan: Plan, *, is_root: bool = False) -> Iterator[Check]:
    """The checks of one element of a profile; `elements` are what the type has there."""
    for maker in _MAKERS:
        if not (is_root and maker in _NOT_AT_THE_ROOT):
            yield from maker(spec, elements, plan)


# ---- values --------------------------------------------------------------------------------------


def _fixed(spec: Spec, _: tuple[Element, ...], plan: Plan) -> Iterator[Check]:
    fixed = spec.value_of("fixed")
    if fixed is None:
        return

    def check(one: Occurrence, issues: list[Issue]) -> None:
        if one.value is not None and not is_same(fixed, one.value):
            text = f'{plan.named} fixes "{spec.label}" to {_quoted(fixed)}; this is {_quoted(one.value)}.'
            issues.append(Issue(Kind.VALUE, text, path_of(one.at)))

    yield check


def _pattern(spec: Spec, _: tuple[Element, ...], plan: Plan) -> Iterator[Check]:
    pattern = spec.value_of("pattern")
    if pattern is None:
        return

    def check(one: Occurrence, issues: list[Issue]) -> None:
        if one.value is not None and not fits(pattern, one.value):
            text = (
                f'{plan.named} wants "{spec.label}" to have at least {_quoted(pattern)}; this is {_quoted(one.value)}.'
            )
            issues.append(Issue(Kind.VALUE, text, path_of(one.at)))

    yield check


def _limits(spec: Spec, _: tuple[Element, ...], plan: Plan) -> Iterator[Check]:
    for kind, sign, words in (("minValue", -1, "at least"), ("maxValue", 1, "at most")):
        bound = spec.value_of(kind)
        if bound is not None:
            yield _limit(spec, plan, bound, sign, words)


def _limit(spec: Spec, plan: Plan, bound: Any, sign: int, words: str) -> Check:
    def check(one: Occurrence, issues: list[Issue]) -> None:
        limit = bound
        if type(bound) is dict and type(one.value) is str:
            limit = _from_today(bound, one.frame.run.today, sign)
        if limit is None or one.value is None:
            return
        order = compared(one.value, limit)
        if order is None and type(limit) is dict:
            text = f'{plan.named} wants "{spec.label}" to be {words} {_quoted(limit)}; that and {_quoted(one.value)} cannot be compared here.'
            issues.append(Issue(Kind.NOT_SUPPORTED, text, path_of(one.at), "warning"))
        if order == sign:
            text = f'{plan.named} wants "{spec.label}" to be {words} {_quoted(limit)}; this is {_quoted(one.value)}.'
            issues.append(Issue(Kind.VALUE, text, path_of(one.at)))

    return check


_DAYS = {"a": 365.25, "mo": 30.4375, "wk": 7, "d": 1}  # UCUM; shorter units do not change a day


def _from_today(duration: dict[str, Any], today: date | None, sign: int) -> str | None:
    """A limit given as a duration counts from now: later for the largest, earlier for the smallest value."""
    days = _DAYS.get(str(duration.get("code")))
    if today is None or days is None:
        return None
    try:
        return (today + sign * timedelta(days=days * float(duration.get("value", 0)))).isoformat()
    except (OverflowError, TypeError, ValueError):
        return None


def _lengths(spec: Spec, _: tuple[Element, ...], plan: Plan) -> Iterator[Check]:
    longest = spec.definition.get("maxLength")
    shortest = next(
        (e.get("valueInteger") for e in spec.definition.get("extension", ()) if e.get("url") == _MIN_LENGTH), None
    )
    if longest is None and shortest is None:
        return

    def check(one: Occurrence, issues: list[Issue]) -> None:
        if type(one.value) is not str:
            return
        size = len(one.value)
        if longest is not None and size > longest:
            text = f'{plan.named} allows "{spec.label}" {longest} characters; these are {size}.'
            issues.append(Issue(Kind.TOO_LONG, text, path_of(one.at)))
        if shortest is not None and size < shortest:
            text = f'{plan.named} wants "{spec.label}" to have at least {shortest} characters; these are {size}.'
            issues.append(Issue(Kind.VALUE, text, path_of(one.at)))

    yield check


# ---- codes and invariants ------------------------------------------------------------------------


def _binding(spec: Spec, elements: tuple[Element, ...], plan: Plan) -> Iterator[Check]:
    row = spec.definition.get("binding", {})
    largest = next((_canonical(e) for e in row.get("extension", ()) if e.get("url") == _MAX_VALUE_SET), "")
    binding = Binding(row.get("strength", "example"), row.get("valueSet", ""), largest)
    if all(_is_bound(element.binding, binding) for element in elements):
        return
    checks = {
        element.type: bound
        for element in elements
        if element.type in BOUND_TYPES and (bound := binding_check(binding, element.type, plan.plans.definitions))
    }

    def check(one: Occurrence, issues: list[Issue]) -> None:
        bound = checks.get(one.type)
        if bound is not None and one.value is not None:
            bound(one.value, one.at, one.frame, issues)

    if checks:
        yield check


def _canonical(extension: dict[str, Any]) -> str:
    return str(extension.get("valueCanonical") or extension.get("valueUri") or "")


def _is_bound(there: Binding | None, asked: Binding) -> bool:
    if there is None:
        return asked.strength == "example" and not asked.largest
    plain = asked.value_set.partition("|")[0]
    same = (there.strength, there.value_set.partition("|")[0]) == (asked.strength, plain)
    return same and asked.largest in ("", there.largest)


def _invariants(spec: Spec, elements: tuple[Element, ...], plan: Plan) -> Iterator[Check]:
    known = _ALWAYS | {i.key for element in elements for i in _inherited(element, plan)} | _held_by_type(spec, plan)
    added = tuple(
        Invariant(row["key"], row.get("severity", "error"), row.get("human", ""), row["expression"])
        for row in spec.definition.get("constraint", ())
        if row.get("key") not in known and row.get("expression")
    )
    if not added:
        return

    is_below = "." in spec.path  # of an element of a resource, not of a profile's root
    types = {element.type for element in elements}
    rules = {type_name: rules_of(added, type_name) for type_name in types}

    def check(one: Occurrence, issues: list[Issue]) -> None:
        mine = rules.get(one.type) or rules_of(added, one.type)
        issues.extend(hold(mine, one.value, one.twin, one.at, one.outside if is_below else one.frame))

    yield check


_ALWAYS = frozenset(("ele-1", "ext-1", "dom-2", "dom-3"))


def _held_by_type(spec: Spec, plan: Plan) -> set[str]:
    """The invariants of the one profile that an element's type names: a snapshot repeats them, and the value is held
    against that profile as well.
    """
    profiles = [url for row in spec.types for url in row.get("profile", ())]
    tree = plan.plans.tree(profiles[0]) if len(profiles) == len(spec.types) == 1 else None
    theirs = (
        {row.get("key"): row.get("expression") for row in tree.root.definition.get("constraint", ())} if tree else {}
    )
    rows = spec.definition.get("constraint", ())
    return {row["key"] for row in rows if row.get("key") in theirs and theirs[row["key"]] == row.get("expression")}


def _inherited(element: Element, plan: Plan) -> Iterator[Invariant]:
    """The invariants an element and its type have already."""
    yield from element.invariants
    definitions = plan.plans.definitions
    name = element.type
    while name:
        type_def = definitions.type(name)
        yield from type_def.invariants
        name = type_def.base


# ---- types and targets ---------------------------------------------------------------------------


def _type_profiles(spec: Spec, _: tuple[Element, ...], plan: Plan) -> Iterator[Check]:
    wanted = {
        str(row.get("code")): tuple(row["profile"])
        for row in spec.types
        if row.get("profile") and not _is_extension_slice(spec)
    }
    if not wanted:
        return

    def check(one: Occurrence, issues: list[Issue]) -> None:
        # with several types the value's own counts; with one there is nothing to choose
        profiles = wanted.get(one.type) or (next(iter(wanted.values())) if len(spec.types) == 1 else None)
        if profiles and one.value is not None:
            plan.plans.hold_any(one, profiles, spec.label, issues)

    yield check


def _is_extension_slice(spec: Spec) -> bool:
    """An extension is held against its own definition wherever it stands (`extensions`), so not here again."""
    return any(row.get("code") == "Extension" for row in spec.types) and bool(spec.slice_name)


def _targets(spec: Spec, elements: tuple[Element, ...], plan: Plan) -> Iterator[Check]:
    for row in spec.types:
        if row.get("code") != "Reference":
            continue
        targets = tuple(row.get("targetProfile", ()))
        there = {f"{_STRUCTURE}{target}" for element in elements for target in element.targets}
        if targets and set(targets) != there:
            yield target_check(targets, spec.label, plan)
        if row.get("aggregation"):
            yield aggregation_check(frozenset(row["aggregation"]), spec.label, plan)


_MAKERS: tuple[Maker, ...] = (
    _fixed,
    _pattern,
    _limits,
    _lengths,
    _binding,
    _type_profiles,
    _targets,
    _invariants,
)
_NOT_AT_THE_ROOT = frozenset((_binding, _type_profiles, _targets))


def _quoted(value: Any) -> str:
    return shown(value) if not isinstance(value, (dict, list)) else short(dumps(value).decode(), 200)
