"""Slicing: an element that repeats is split into kinds, and each kind has rules of its own (R4 §5.1.0.10 to §5.1.0.15).

What kind an occurrence is, discriminators decide: the value or pattern at a path, whether something exists there, its
type, or whether it meets a profile. `slicing_of` compiles that for one sliced element: per slice a list of `Matcher`s,
each made from what the slice itself says at the discriminator's path. A slice about which nothing there can be said is
left out, so that nothing is refused for a reason we cannot give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from phb_fhir.definitions.trail import Trail, path_of
from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation.places import Occurrence, Step, steps_of, walk_of
from phb_fhir.validation.specs import Spec
from phb_fhir.validation.values import fits, is_same
from phb_fhir.validation.wording import listed

if TYPE_CHECKING:
    from phb_fhir.validation.frame import Frame
    from phb_fhir.validation.profile import Plans, Rule

Matcher: TypeAlias = Callable[[Occurrence], bool]

_STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
_BY_URL = [{"type": "value", "path": "url"}]
_BY_TYPE = [{"type": "type", "path": "$this"}]


@dataclass(slots=True, eq=False)
class Slice:
    """One kind of an element. `matchers` is None where the slice does not say what its kind is."""

    name: str
    rule: Rule
    matchers: tuple[Matcher, ...] | None
    is_certain: bool = True  # whether it says something at every discriminator

    def matches(self, one: Occurrence) -> bool:
        return self.matchers is not None and all(matches(one) for matches in self.matchers)


@dataclass(slots=True, eq=False)
class Slicing:
    """How an element is split. `rules` is open, closed or openAtEnd.

    `by_text` is there where one text decides, as the url of an extension does: the property, and the slice of each text.
    """

    sliced: Rule
    slices: tuple[Slice, ...]
    rules: str
    ordered: bool
    by_text: tuple[str, dict[str, int]] | None = None

    def judge(self, found: list[Occurrence], at: Trail, frame: Frame, issues: list[Issue]) -> None:
        """Find the slice of each occurrence; hold it against that, and the order and number of them all."""
        frame.run.step(2 * len(found) * len(self.slices), at)
        kinds = [self._kind(one) for one in found]
        self._check_unmatched(found, kinds, issues)
        if self.by_text is None and len(self.slices) > 1:
            self._check_distinct(found, kinds, issues)
        if self.ordered:
            self._check_order(found, kinds, issues)
        mine: list[list[Occurrence]] = [[] for _ in self.slices]
        for one, kind in zip(found, kinds, strict=True):
            if kind is not None:
                mine[kind].append(one)
        for slice_, of_slice in zip(self.slices, mine, strict=True):
            if slice_.matchers is not None and (of_slice or slice_.rule.must_be_there):
                slice_.rule.judge(of_slice, at, frame, issues)

    def _kind(self, one: Occurrence) -> int | None:
        if self.by_text is not None:
            name, kinds = self.by_text
            text = one.children.get(name)
            if type(text) is str:
                return kinds.get(text)
        default = None
        for index, slice_ in enumerate(self.slices):
            if slice_.name == "@default":
                default = index
            elif slice_.matches(one):
                return index
        return default

    def _check_unmatched(self, found: list[Occurrence], kinds: list[int | None], issues: list[Issue]) -> None:
        if self.rules not in ("closed", "openAtEnd") or any(slice_.matchers is None for slice_ in self.slices):
            return
        last = max((index for index, kind in enumerate(kinds) if kind is not None), default=-1)
        names = listed([slice_.name for slice_ in self.slices])
        label, named = self.sliced.label, self.sliced.plan.named
        for index, (one, kind) in enumerate(zip(found, kinds, strict=True)):
            if kind is not None:
                continue
            if self.rules == "closed":
                text = f'{named} allows "{label}" only as one of its slices: {names}. This is none of them.'
                issues.append(Issue(Kind.INVALID, text, path_of(one.at)))
            elif index < last:
                text = f'{named} wants further "{label}" after those of its slices: {names}.'
                issues.append(Issue(Kind.INVALID, text, path_of(one.at)))

    def _check_distinct(self, found: list[Occurrence], kinds: list[int | None], issues: list[Issue]) -> None:
        """What is of one slice is of no other (R4 §5.1.0.10: discriminators tell slices apart)."""
        for one, kind in zip(found, kinds, strict=True):
            if kind is None or not self.slices[kind].is_certain:
                continue
            other = next((each for each in self.slices[kind + 1 :] if each.is_certain and each.matches(one)), None)
            if other is not None:
                both = f"{self.slices[kind].name} and {other.name}"
                text = f'{self.sliced.plan.named} does not tell the slices {both} of "{self.sliced.label}" apart: this is of both.'
                issues.append(Issue(Kind.INVALID, text, path_of(one.at)))

    def _check_order(self, found: list[Occurrence], kinds: list[int | None], issues: list[Issue]) -> None:
        highest = -1
        for one, kind in zip(found, kinds, strict=True):
            if kind is None:
                continue
            if kind < highest:
                order = ", ".join(slice_.name for slice_ in self.slices)
                text = f'{self.sliced.plan.named} wants the slices of "{self.sliced.label}" in this order: {order}.'
                issues.append(Issue(Kind.INVALID, text, path_of(one.at)))
            highest = max(highest, kind)


def slicing_of(spec: Spec, slices: list[tuple[Spec, Rule]], rule: Rule, plans: Plans) -> Slicing | None:
    """The slicing of an element; None where it has no slices."""
    if not slices:
        return None
    row = spec.definition.get("slicing", {})
    discriminators = row.get("discriminator") or _implied(spec, rule)
    made = tuple(_slice(of, held, discriminators, plans) for of, held in slices)
    by_text = _by_text([of for of, _ in slices], discriminators, plans)
    return Slicing(rule, made, row.get("rules", "open"), bool(row.get("ordered")), by_text)


def _by_text(
    slices: list[Spec], discriminators: list[dict[str, Any]], plans: Plans
) -> tuple[str, dict[str, int]] | None:
    """The property whose text decides, and the slice that each text means; None where it takes more to decide."""
    if len(discriminators) != 1 or discriminators[0]["type"] not in ("value", "pattern"):
        return None
    steps = steps_of(discriminators[0]["path"])
    if steps is None or len(steps) != 1 or steps[0][0] != "child":
        return None
    kinds: dict[str, int] = {}
    for index, of in enumerate(slices):
        text = _text_of(of, steps, plans)
        if text is None or kinds.setdefault(text, index) != index:
            return None
    return steps[0][1], kinds


def _text_of(of: Spec, steps: list[Step], plans: Plans) -> str | None:
    """The one text that is fixed at a slice's discriminator; None where it wants anything else."""
    specs = _located([of], steps, plans)
    if any(spec.max == 0 or spec.value_of("pattern") is not None for spec in specs):
        return None
    wanted = next((fixed for spec in specs if (fixed := spec.value_of("fixed")) is not None), None)
    return wanted if type(wanted) is str else None


def _implied(spec: Spec, rule: Rule) -> list[dict[str, Any]]:
    """Extensions are always sliced by url, and the types of a choice by type (R4 §5.1.0.14)."""
    if spec.name in ("extension", "modifierExtension"):
        return _BY_URL
    return _BY_TYPE if len(rule.spellings) > 1 or spec.path.endswith("[x]") else []


# ---- matchers ------------------------------------------------------------------------------------


def _slice(of: Spec, held: Rule, discriminators: list[dict[str, Any]], plans: Plans) -> Slice:
    matchers = _matchers(of, discriminators, plans)
    return Slice(of.slice_name.rpartition("/")[2], held, matchers, len(matchers or ()) == len(discriminators))


def _matchers(of: Spec, discriminators: list[dict[str, Any]], plans: Plans) -> tuple[Matcher, ...] | None:
    made = [_matcher(of, row["type"], row["path"], plans) for row in discriminators]
    said = tuple(matcher for matcher in made if matcher is not None)
    return said or None


def _matcher(of: Spec, kind: str, path: str, plans: Plans) -> Matcher | None:
    """Whether an occurrence is of the slice, by one discriminator; None where the slice says nothing there."""
    steps = steps_of(path)
    if steps is None:
        return None
    specs = _located([of], steps, plans)
    criterion = _CRITERIA[kind](of, steps, specs, plans)
    if criterion is None:
        return None
    walk, wanted = walk_of(steps, plans.definitions), criterion
    return lambda one: wanted(walk(one))


Criterion: TypeAlias = Callable[[list[Occurrence]], bool]


def _value_criterion(of: Spec, steps: list[Step], specs: list[Spec], plans: Plans) -> Criterion | None:
    for spec in specs:
        if spec.max == 0:
            return lambda found: not found
        says = _says(spec, plans)
        if says is not None:
            return lambda found, says=says: any(map(says, found))  # type: ignore[misc]
    if steps == [("child", "url")] and of.name in ("extension", "modifierExtension"):
        urls = {url.partition("|")[0] for row in of.types for url in row.get("profile", ())}
        return (lambda found: any(one.value in urls for one in found)) if urls else None
    return _exists_criterion(of, steps, specs, plans)


def _exists_criterion(_: Spec, __: list[Step], specs: list[Spec], ___: Plans) -> Criterion | None:
    for spec in specs:
        if spec.max == 0:
            return lambda found: not found
        if spec.min > 0:
            return bool
    return None


def _type_criterion(of: Spec, steps: list[Step], specs: list[Spec], plans: Plans) -> Criterion | None:
    names = set(_type_names(of, steps, specs, plans))
    if not names:
        return None
    return lambda found: any(not one.type or any(plans.is_a(one.type, name) for name in names) for one in found)


def _type_names(of: Spec, steps: list[Step], specs: list[Spec], plans: Plans) -> Iterator[str]:
    if steps and steps[-1][0] == "resolve":
        for url in _target_profiles(of, steps, plans):
            tree = plans.tree(url)
            if tree is not None:
                yield tree.type
        return
    for spec in [spec for spec in specs if spec.slice_name and spec is not of] or specs:
        yield from (str(row.get("code", "")).rpartition("/")[2] for row in spec.types)


def _profile_criterion(of: Spec, steps: list[Step], specs: list[Spec], plans: Plans) -> Criterion | None:
    if steps and steps[-1][0] == "resolve":
        urls = list(_target_profiles(of, steps, plans))
    else:
        urls = [url for spec in specs for row in spec.types for url in row.get("profile", ())]
    if not urls:
        return None
    return lambda found: any(_meets(one, url, plans) for one in found for url in urls)


def _meets(one: Occurrence, url: str, plans: Plans) -> bool:
    """Whether this meets a profile; of a target that is not at hand its type alone is known, which R4's own definition of a type asks for."""
    if one.value is None and one.type:
        return url.startswith(_STRUCTURE) and plans.is_a(one.type, url.removeprefix(_STRUCTURE))
    return plans.conforms(one, url) is True


def _target_profiles(of: Spec, steps: list[Step], plans: Plans) -> Iterator[str]:
    for spec in _located([of], steps[:-1], plans):
        for row in spec.types:
            yield from row.get("targetProfile", ())


_CRITERIA: dict[str, Callable[[Spec, list[Step], list[Spec], Plans], Criterion | None]] = {
    "value": _value_criterion,
    "pattern": _value_criterion,
    "exists": _exists_criterion,
    "type": _type_criterion,
    "profile": _profile_criterion,
}


# ---- what a slice says at a path -----------------------------------------------------------------


def _says(spec: Spec, plans: Plans) -> Matcher | None:
    """The value an element must have: fixed, pattern, a required binding, or the same of what is below it."""
    fixed, pattern = spec.value_of("fixed"), spec.value_of("pattern")
    if fixed is not None:
        return lambda one: is_same(fixed, one.value)
    if pattern is not None:
        return lambda one: fits(pattern, one.value)
    binding = spec.definition.get("binding", {})
    below = list(_below(spec, plans))
    if below:
        return lambda one: all(matches(one) for matches in below)
    if binding.get("strength") == "required" and binding.get("valueSet"):
        return _member_matcher(binding["valueSet"])
    return None


def _below(spec: Spec, plans: Plans) -> Iterator[Matcher]:
    """Matchers for the values fixed further down: `code.coding.code` of a concept."""
    for name, child in spec.children.items():
        for inner in (child, *child.slices):
            if inner.slice_name and not inner.min:
                continue
            if inner.value_of("fixed") is None and inner.value_of("pattern") is None and not inner.children:
                continue
            says = _says(inner, plans) if not inner.definition.get("binding") or inner.children else _fixed_only(inner)
            if says is not None:
                walk = walk_of([("child", name)], plans.definitions)
                yield lambda one, walk=walk, says=says: any(map(says, walk(one)))  # type: ignore[misc]


def _fixed_only(spec: Spec) -> Matcher | None:
    fixed, pattern = spec.value_of("fixed"), spec.value_of("pattern")
    if fixed is not None:
        return lambda one: is_same(fixed, one.value)
    return None if pattern is None else (lambda one: fits(pattern, one.value))


def _member_matcher(value_set: str) -> Matcher:
    def matches(one: Occurrence) -> bool:
        value = one.value
        codings = value.get("coding", [value]) if type(value) is dict else [{"code": value}]
        parts = one.frame.terminology.parts_of(value_set)
        for coding in codings if type(codings) is list else ():
            one.frame.run.step(2 * parts, one.at)
            code, system = (coding.get("code"), coding.get("system")) if type(coding) is dict else (None, None)
            if type(code) is str and one.frame.terminology.validate_code(value_set, system, code, None).valid:
                return True
        return False

    return matches


def _located(specs: list[Spec], steps: list[Step], plans: Plans) -> list[Spec]:
    """What profiles say at the end of a path: the elements of this snapshot and of the types' profiles."""
    found = specs
    for step in steps:
        found = [spec for here in found for spec in _STEPS[step[0]](here, step[1], plans)]
    return found


def _child(here: Spec, name: str, plans: Plans) -> Iterator[Spec]:
    for kind in ("fixed", "pattern"):
        value = here.value_of(kind)
        if type(value) is dict and name in value:
            yield Spec({f"{kind}X": value[name], "min": 1}, f"{here.path}.{name}", name)
    for key, child in here.children.items():
        if key == name or (key.startswith(name) and child.path.endswith(key) and _spells(name, key)):
            yield child
            yield from (slice_ for slice_ in child.slices if slice_.min)
            yield from (slice_ for slice_ in child.slices if not slice_.min and len(child.slices) == 1)
    for url in _profiles(here):
        tree = plans.tree(url)
        if tree is not None and tree.root is not here:
            yield from _child(tree.root, name, plans)


def _spells(name: str, key: str) -> bool:
    return key[len(name) : len(name) + 1].isupper()


def _profiles(here: Spec) -> Iterable[str]:
    return [url for row in here.types for url in row.get("profile", ())]


def _extension(here: Spec, url: str, plans: Plans) -> Iterator[Spec]:
    for spec in here.children.get("extension", here).slices if "extension" in here.children else ():
        if url in _profiles(spec) or spec.value_of_child("url") == url:
            yield spec
    for profile in _profiles(here):
        tree = plans.tree(profile)
        if tree is not None:
            yield from _extension(tree.root, url, plans)


def _of_type(here: Spec, _: str, __: Plans) -> Iterator[Spec]:
    yield here


def _resolve(here: Spec, _: str, plans: Plans) -> Iterator[Spec]:
    for row in here.types:
        for url in row.get("targetProfile", ()):
            tree = plans.tree(url)
            if tree is not None:
                yield tree.root


_STEPS: dict[str, Callable[[Spec, str, Any], Iterator[Spec]]] = {
    "child": _child,
    "extension": _extension,
    "ofType": _of_type,
    "as": _of_type,
    "resolve": _resolve,
}
