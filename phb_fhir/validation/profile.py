"""A profile, compiled: for every element of its snapshot what it asks beyond the type it constrains.

`structure` has held a resource against its type before any profile is looked at, so a plan keeps only what the profile
adds: narrower cardinality, fixed and pattern values, limits, bindings, invariants, slices, profiles of data types and of
references' targets. An element that adds nothing has no rule and costs nothing. The same plans serve profiles of
resources, of data types, and extensions.

Plans are made when first asked for and kept by the registry (`plans_of`). Validating walks the rules beside the
resource: `Rule.hold` finds the element's occurrences, counts them, and puts every check of the rule to each.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from phb_fhir.definitions.load import Element, Invariant, TypeDef
from phb_fhir.definitions.registry import Registry, Resource
from phb_fhir.definitions.trail import Trail, path_of
from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation.checks import checks_of
from phb_fhir.validation.frame import Frame
from phb_fhir.validation.places import Occurrence, occurrences
from phb_fhir.validation.slicing import Slicing, slicing_of
from phb_fhir.validation.specs import Spec, Tree, tree_of
from phb_fhir.validation.wording import listed

if TYPE_CHECKING:
    from phb_fhir.definitions.load import Definitions

Check: TypeAlias = Callable[[Occurrence, list[Issue]], None]

COMPARISONS_MAX = 20_000  # how often, in one run, something may be held against a profile


@dataclass(slots=True, eq=False)
class Rule:
    """What a profile asks of one element, or of one slice of it.

    `spellings` gives the JSON properties that are the element, with the type of each. `types` are those allowed, None
    where the profile leaves them as they are. `min` and `max` are None where the type asks as much.
    """

    plan: Plan
    name: str
    label: str
    spellings: Mapping[str, str]
    min: int | None = None
    max: int | None = None
    types: frozenset[str] | None = None
    checks: tuple[Check, ...] = ()
    children: list[Rule] = field(default_factory=list)
    slicing: Slicing | None = None

    @property
    def asks(self) -> bool:
        """Whether there is anything to do here."""
        parts = (self.min is not None, self.max is not None, self.types is not None, self.checks, self.slicing)
        return any(parts) or bool(self.children)

    @property
    def must_be_there(self) -> bool:
        """Whether one must be there: of this slice, or of one that it is sliced into again."""
        return bool(self.min) or (
            self.slicing is not None and any(slice_.rule.must_be_there for slice_ in self.slicing.slices)
        )

    def hold(self, holder: dict[str, Any], at: Trail, frame: Frame, issues: list[Issue]) -> None:
        """Hold the element's occurrences in `holder` against this rule."""
        if self.min is None and self.slicing is None:
            for key in self.spellings:
                if key in holder or f"_{key}" in holder:
                    break
            else:
                return  # most elements are not there, and most need not be
        self.judge(occurrences(holder, self.name, self.spellings, at, frame), at, frame, issues)

    def judge(self, found: list[Occurrence], at: Trail, frame: Frame, issues: list[Issue]) -> None:
        """The same for occurrences already found: those of a slice, say."""
        if self.min is not None and len(found) < self.min:
            issues.append(Issue(Kind.REQUIRED, self._too_few(len(found)), path_of((at, self.name, None))))
        if self.max is not None and len(found) > self.max:
            issues.append(Issue(Kind.INVALID, self._too_many(len(found)), path_of((at, self.name, None))))
        if self.children and found:
            frame.run.step(len(found) * len(self.children), at)
        for one in found:
            if self.types is not None and one.type and one.type not in self.types:
                issues.append(Issue(Kind.INVALID, self._wrong_type(one.type), path_of(one.at)))
                continue
            for check in self.checks:
                check(one, issues)
            if self.children:
                inside = one.children
                for rule in self.children:
                    rule.hold(inside, one.at, one.frame, issues)
        if self.slicing is not None:
            self.slicing.judge(found, at, frame, issues)

    def _too_few(self, count: int) -> str:
        least = (
            f"at least {self.min}, and there {'is' if count == 1 else 'are'} {count}"
            if count
            else f"at least {self.min}"
        )
        return f'{self.plan.says} "{self.label}": {least}.'

    def _too_many(self, count: int) -> str:
        if self.max == 0:
            return f'{self.plan.named} does not allow "{self.label}"; leave it out.'
        return f'{self.plan.named} allows "{self.label}" {self.max} time{"" if self.max == 1 else "s"} at most, not {count}.'

    def _wrong_type(self, type_name: str) -> str:
        return f'{self.plan.named} wants "{self.label}" as {listed(sorted(self.types or ()), "")}, not as {type_name}.'


@dataclass(slots=True, eq=False)
class Plan:
    """A profile ready to be held against values of its type."""

    plans: Plans
    tree: Tree
    root: Rule | None = None

    @property
    def url(self) -> str:
        return self.tree.url

    @property
    def named(self) -> str:
        return f"The profile {self.tree.title}"

    @property
    def says(self) -> str:
        return f"The profile {self.tree.title} asks for"

    def hold(self, one: Occurrence, issues: list[Issue]) -> None:
        """Hold a value against the profile; its own type has been checked already, or is elsewhere."""
        frame = one.frame
        if frame.run.comparisons >= COMPARISONS_MAX:
            if frame.run.comparisons == COMPARISONS_MAX:
                text = f"More than {COMPARISONS_MAX} comparisons with profiles are asked for; the rest are not made."
                issues.append(Issue(Kind.TOO_COSTLY, text, path_of(one.at)))
            frame.run.comparisons += 1
            return
        frame.run.comparisons += 1
        wanted = self.tree.type
        if one.type and not self.plans.is_a(one.type, wanted):
            text = f"{self.named} is for {wanted}, and this is {_article(one.type)} {one.type}."
            issues.append(Issue(Kind.INVALID, text, path_of(one.at)))
            return
        if self.root is not None:
            self.root.judge([one], one.at, frame, issues)


def _article(name: str) -> str:
    return "an" if name[0] in "AEIOU" else "a"


# ---- all plans of a registry ---------------------------------------------------------------------


class Plans:
    """The plans of a registry's profiles by canonical URL, each made when first asked for."""

    def __init__(self, known: Registry) -> None:
        self.known = known
        self.definitions: Definitions = known.definitions
        self._plans: dict[str, Plan | None] = {}
        self._making: dict[str, Plan | None] = {}
        self._lock = threading.RLock()  # large resources are judged in threads
        self._trees: dict[str, Tree | None] = {}

    def tree(self, canonical: str) -> Tree | None:
        """The snapshot of a profile; None where it is not known."""
        if canonical not in self._trees:
            structure = self.known.structure(canonical) or self.known.tolerated(canonical)
            self._trees[canonical] = None if structure is None else tree_of(structure)
        return self._trees[canonical]

    def plan(self, canonical: str) -> Plan | None:
        """The plan of a profile; None where it is not known."""
        if canonical not in self._plans:
            with self._lock:
                return self._made(canonical)
        return self._plans[canonical]

    def _made(self, canonical: str) -> Plan | None:
        """The plan, made by one thread at a time. Others see it once all that it leads to is made as well."""
        for plans in (self._plans, self._making):
            if canonical in plans:
                return plans[canonical]
        is_first = not self._making
        tree = self.tree(canonical)
        plan = None if tree is None else Plan(self, tree)
        self._making[canonical] = plan  # before it is filled: a profile may name itself
        try:
            if plan is not None:
                plan.root = _Compiler(plan).root()
            if is_first:
                self._plans.update(self._making)
        finally:
            if is_first:
                self._making.clear()
        return plan

    def is_a(self, type_name: str, wanted: str) -> bool:
        """Whether a type is another or built on it: Patient is a DomainResource."""
        while type_name and type_name != wanted:
            type_name = self.definitions.type(type_name).base if self.definitions.has_type(type_name) else ""
        return bool(type_name)

    def conforms(self, one: Occurrence, canonical: str) -> bool | None:
        """Whether a value meets a profile; None where the profile is not known. Remembered for the run."""
        plan = self.plan(canonical)
        if plan is None:
            return None
        key = (id(one.value), canonical)
        memory = one.frame.run.conforming
        if key not in memory:
            memory[key] = True  # a circle of references holds if nothing else breaks it
            issues: list[Issue] = []
            plan.hold(one, issues)
            memory[key] = not any(issue.is_error for issue in issues)
        return memory[key]

    def hold_any(self, one: Occurrence, canonicals: Iterable[str], label: str, issues: list[Issue]) -> None:
        """Hold a value against one profile, or against the best of several."""
        told: list[list[Issue]] = []
        for canonical in canonicals:
            plan = self.plan(canonical)
            if plan is None:
                text = self.known.structure_problem(canonical) or f"The profile {canonical} is not known here"
                text = f'"{label}" cannot be checked: {text.rstrip(".")}.'
                told.append([Issue(Kind.NOT_FOUND, text, path_of(one.at))])
                continue
            found: list[Issue] = []
            plan.hold(one, found)
            if not any(issue.is_error for issue in found):
                issues.extend(found)
                return
            told.append(found)
        if len(told) > 1:
            text = f'"{label}" meets none of the profiles it may have: {", ".join(canonicals)}.'
            issues.append(Issue(Kind.INVALID, text, path_of(one.at)))
        for found in told:
            issues.extend(found)


def plans_of(known: Registry) -> Plans:
    """The plans of this registry's profiles, kept as long as it is."""
    return known.derived(Plans)


# ---- compiling -----------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Compiler:
    """Makes the rules of one profile."""

    plan: Plan
    made: dict[tuple[int, tuple[str, ...]], list[Rule]] = field(default_factory=dict)

    @property
    def definitions(self) -> Definitions:
        return self.plan.plans.definitions

    def root(self) -> Rule | None:
        tree = self.plan.tree
        if not self.definitions.has_type(tree.type):
            return None
        type_def = self.definitions.type(tree.type)
        rule = Rule(self.plan, tree.type, tree.type, {})
        element = Element(tree.type, tree.type, tree.type, 0, None, is_list=False, invariants=self._inherited(type_def))
        rule.checks = tuple(checks_of(tree.root, (element,), self.plan, is_root=True))
        rule.children = self.children(tree.root, (type_def,))
        return rule if rule.asks else None

    def _inherited(self, type_def: TypeDef) -> tuple[Invariant, ...]:
        """Every invariant a type has already, through what it is built on."""
        found: list[Invariant] = []
        above: TypeDef | None = type_def
        while above is not None:
            found.extend(above.invariants)
            above = self.definitions.type(above.base) if above.base else None
        return tuple(found)

    def children(self, spec: Spec, owners: tuple[TypeDef, ...]) -> list[Rule]:
        """The rules below an element, whose type is one of `owners`."""
        key = (id(spec), tuple(owner.name for owner in owners))
        if key in self.made:
            return self.made[key]
        rules: list[Rule] = []
        self.made[key] = rules
        for child in spec.children.values():
            rule = self.rule(child, owners)
            if rule is not None and rule.asks:
                rules.append(rule)
        return rules

    def rule(self, spec: Spec, owners: tuple[TypeDef, ...]) -> Rule | None:
        """The rule of an element and its slices; None for one that the type does not have."""
        elements = _elements(spec.name, owners)
        if not elements:
            return None
        rule = self._rule(spec, elements)
        first = elements[0]
        # one spelling of a choice: the profile speaks of that one only (`Observation.valueQuantity`)
        if len(elements) == 1 and spec.name != first.path_name:
            rule.name = first.path_name
        rule.min = spec.min if spec.min > first.min else None
        rule.max = spec.max if spec.max is not None and (first.max is None or spec.max < first.max) else None
        slices = [(slice_, self._slice(slice_, elements)) for slice_ in spec.slices]
        rule.slicing = slicing_of(spec, slices, rule, self.plan.plans)
        return rule

    def _slice(self, spec: Spec, elements: tuple[Element, ...]) -> Rule:
        rule = self._rule(spec, elements)
        rule.min = spec.min or None
        rule.max = spec.max
        inner = [(slice_, self._slice(slice_, elements)) for slice_ in spec.slices]
        rule.slicing = slicing_of(spec, inner, rule, self.plan.plans)
        return rule

    def _rule(self, spec: Spec, elements: tuple[Element, ...]) -> Rule:
        spellings = {element.name: element.type for element in elements}
        rule = Rule(self.plan, spec.name, spec.label, spellings)
        rule.types = self._types(spec, elements)
        rule.checks = tuple(checks_of(spec, elements, self.plan))
        rule.children = self._below(spec, elements)
        return rule

    def _types(self, spec: Spec, elements: tuple[Element, ...]) -> frozenset[str] | None:
        """The types a profile leaves of a choice, or of any resource."""
        codes = frozenset(_type_code(row) for row in spec.types)
        if not codes or codes & _ANY_TYPE:
            return None
        if elements[0].type == "Resource":
            return codes
        return codes if len(elements) > 1 and not codes >= {element.type for element in elements} else None

    def _below(self, spec: Spec, elements: tuple[Element, ...]) -> list[Rule]:
        # A contentReference takes over the type's own content; what the profile asks of the element it points to stays
        # there (as HL7's tools write it since: `…/StructureDefinition/Parameters#Parameters.parameter`).
        if not spec.children:
            return []
        codes = [_type_code(row) for row in spec.types]
        names = [element.type for element in elements if not codes or element.type in codes] or codes
        if elements[0].type == "Resource":
            names = codes
        elif any("." in element.type for element in elements):
            names = [element.type for element in elements]
        return self.children(spec, tuple(self.definitions.type(name) for name in names if self._has(name)))

    def _has(self, name: str) -> bool:
        return "." in name or self.definitions.has_type(name)


_ANY_TYPE = frozenset(("Resource", "DomainResource", "Element", "*"))


def _type_code(row: Resource) -> str:
    """The code of a type; the types of FHIRPath stand for the ids and urls of XML."""
    return (
        str(row.get("code", ""))
        .removeprefix("http://hl7.org/fhir/StructureDefinition/")
        .rpartition("/System.")[2]
        .rpartition("/")[2]
    )


def _elements(name: str, owners: tuple[TypeDef, ...]) -> tuple[Element, ...]:
    """The elements of any of the types with this FHIRPath name, or this JSON property."""
    found: dict[str, Element] = {}
    for owner in owners:
        for element in owner.elements.values():
            if element.path_name == name:
                found.setdefault(element.name, element)
        if not found and name in owner.elements:
            found[name] = owner.elements[name]
    return tuple(found.values())
