"""Conditions on other resources: chaining, and `_has`, its reverse (R4 §3.1.1.4.15, §3.1.1.4.16).

`subject:Patient.organization.name=x` is read from its left end: each name before a dot is a reference parameter, what
follows the dot is asked of the types it points to. Where it may point to several types and none is named, every type that
has what follows is meant; a type that has it not cannot match. `_has:Observation:patient:code=x` turns the same thing
round. A canonical leads to whatever has that url here. Both may follow each other in any order, up to `CHAIN_LINKS_MAX` links.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache, partial

from phb_fhir.definitions.load import SearchParameter
from phb_fhir.outcome import Rejected
from phb_fhir.query import AllOf, AnyOf, Linked, LinkedFrom, Node, Not
from phb_fhir.search.asking import (
    CHAIN_LINKS_MAX,
    CHAIN_QUESTIONS_MAX,
    Asking,
    Condition,
    NotKnown,
    Types,
    suggestion,
    too_costly,
    unsupported,
)
from phb_fhir.search.conditions import any_of, check_followed, leads_by_url, parted, plain, targets_of

HAS = "_has:"
_NAMED_MAX = 6  # types in one sentence


class Memory:
    """What was found out while one parameter is read: types that are reached on several ways are asked once."""

    def __init__(self) -> None:
        self._found: dict[Hashable, Condition | NotKnown] = {}

    def once(self, key: Hashable, make: Callable[[], Condition]) -> Condition:
        """What `make` gives, or raises as NotKnown, made once for this key; and so is what it asks of a value."""
        if key not in self._found:
            try:
                self._found[key] = lru_cache(maxsize=1)(make())
            except NotKnown as rejected:
                self._found[key] = rejected
        found = self._found[key]
        if isinstance(found, NotKnown):
            raise NotKnown(found.lacks, found.before)  # the same one would grow by its traceback each time
        return found


def condition(types: Types, name: str, asking: Asking) -> Condition:
    """What the parameter of this name asks of these types, chained or not. Raises Rejected; NotKnown for what is not there."""
    return _condition(types, name, asking, 0, Memory())


def _condition(types: Types, name: str, asking: Asking, links: int, memory: Memory) -> Condition:
    def behind(rest: str) -> Callable[[str], Condition]:
        return lambda to: memory.once((to, rest), lambda: _condition((to,), rest, asking, links + 1, memory))

    if name.startswith(HAS) or name == "_has":
        type_, code, rest = has_parts(name)
        return point_back(types, type_, code, asking, links, behind(rest))
    head, dot, rest = name.partition(".")
    return follow(types, head, asking, links, behind(rest)) if dot else plain(types, name, asking)


def has_parts(name: str) -> tuple[str, str, str]:
    """The type, the reference parameter and the rest of `_has:[type]:[reference]:[rest]`."""
    parts = name.split(":", 3)
    if len(parts) < 4 or not all(parts):
        raise unsupported(
            f"{name}: write _has:[type]:[reference parameter]:[parameter], such as _has:Observation:patient:code."
        )
    return parts[1], parts[2], parts[3]


def follow(types: Types, head: str, asking: Asking, links: int, inner: Callable[[str], Condition]) -> Condition:
    """The condition that `head`, `subject` or `subject:Patient`, points to something that `inner`, of its type, holds for."""
    _count_links(links)
    code, modifier = parted(head)
    parameter = _reference(types, code, asking)
    found: dict[str, Condition] = {}
    lacking: list[NotKnown] = []
    targets = _targets(parameter, head, modifier, asking)
    for target in targets:
        try:
            found[target] = inner(target)
        except NotKnown as rejected:
            lacking.append(rejected)
    if not found:
        raise _in_none(head, targets, lacking)
    return partial(_linked, code, found, leads_by_url(code, types, asking))


def point_back(
    types: Types, type_: str, code: str, asking: Asking, links: int, inner: Callable[[str], Condition]
) -> Condition:
    """The condition that a `type_` that `inner` holds for points here by its reference parameter `code`."""
    _count_links(links)
    if not asking.is_promised(types, "_has"):
        raise asking.unknown(types, "_has")
    if not asking.is_served(type_):
        raise unsupported(f"_has:{type_}: there is no such resource type here.{suggestion(type_, asking.served())}")
    parameter = _reference((type_,), code, asking)
    targets = targets_of(parameter, asking)
    if types and not set(types) & set(targets):
        led = ", ".join(targets[:_NAMED_MAX])
        raise unsupported(f"_has:{type_}:{code}: it does not lead to {', '.join(types[:_NAMED_MAX])}, but to {led}.")
    return partial(_linked_from, type_, code, inner(type_), leads_by_url(code, (type_,), asking))


def _linked(code: str, found: Mapping[str, Condition], by_url: bool, value: str) -> Node:
    # types of which the same is asked are one question
    by_where: dict[Node, list[str]] = {}
    for target, inner in found.items():
        by_where.setdefault(inner(value), []).append(target)
    if sum(1 + _questions(where) for where in by_where) > CHAIN_QUESTIONS_MAX:
        raise too_costly(f"{code} points to many types, of which different things are asked; name one, {code}:[type].")
    return any_of(Linked(code, tuple(targets), where, by_url) for where, targets in by_where.items())


def _questions(node: Node) -> int:
    """How many questions about other resources are in a condition."""
    match node:
        case Linked(where=where) | LinkedFrom(where=where):
            return 1 + _questions(where)
        case AllOf(parts) | AnyOf(parts):
            return sum(_questions(part) for part in parts)
        case Not(part):
            return _questions(part)
    return 0


def _linked_from(type_: str, code: str, inner: Condition, by_url: bool, value: str) -> Node:
    return LinkedFrom(type_, code, inner(value), by_url)


def _reference(types: Types, code: str, asking: Asking) -> SearchParameter:
    parameter = asking.parameter(types, code)
    check_followed(parameter)
    return parameter


def _targets(parameter: SearchParameter, head: str, modifier: str, asking: Asking) -> Types:
    targets = targets_of(parameter, asking)
    if not modifier:
        return targets
    if modifier in ("identifier", "missing", "above", "below"):
        raise unsupported(f"{head}: what stands behind ':{modifier}' cannot be chained.")
    if modifier not in targets:
        raise unsupported(f"{head}: {parameter.code} does not point to '{modifier}'.{suggestion(modifier, targets)}")
    return (modifier,)


def _in_none(head: str, targets: Types, lacking: list[NotKnown]) -> Rejected:
    if not lacking:
        return unsupported(f"{head} points to no type that is served here.")
    if len(lacking) == 1:
        return lacking[0]
    named = ", ".join(targets[:_NAMED_MAX]) + (", …" if len(targets) > _NAMED_MAX else "")
    lacks = [lack for one in lacking for lack in one.lacks[:1]]
    return NotKnown(lacks, f"{head} points to {named}, and none of these has what is asked. ")


def _count_links(links: int) -> None:
    if links >= CHAIN_LINKS_MAX:
        raise too_costly(f"Chains of references are followed over up to {CHAIN_LINKS_MAX} links; this one is longer.")
