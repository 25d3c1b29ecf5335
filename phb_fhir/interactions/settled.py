"""Which search parameters a query goes by, so that nobody is told half while they are still being indexed (`reindex`)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from phb_fhir.interactions.context import Context
from phb_fhir.interactions.reindex import check_settled
from phb_fhir.query import (
    AllOf,
    AnyOf,
    Include,
    InHierarchy,
    Joined,
    Key,
    KeyPart,
    KeyRange,
    Linked,
    LinkedFrom,
    Node,
    Not,
    Order,
    Present,
    Query,
    Span,
)

Types = tuple[str, ...]  # empty: all of them

_CODE = re.compile(r"!?([\w-]+)")


async def check_query_settled(
    context: Context, query: Query, order: Order = (), includes: Iterable[Include] = ()
) -> None:
    """Raise Rejected (503) when a resource may lack its values of a parameter that this goes by."""
    codes: dict[Types, set[str]] = defaultdict(set)
    for types, code in parameters_asked(query.types, query.where):
        codes[types].add(code)
    codes[query.types].update(key.parameter.partition("~")[0] for key in order)
    for include in includes:
        for type_ in _sources(context, query, include):
            codes[type_,].update(_references(context, type_) if include.parameter == "*" else (include.parameter,))
    for types, wanted in codes.items():
        if wanted:
            await check_settled(context, types, wanted)


def _sources(context: Context, query: Query, include: Include) -> Iterable[str]:
    """The types whose references an include goes by."""
    if include.type != "*":
        return (include.type,)
    return (() if include.reverse else query.types) or sorted(context.capability.types)


def _references(context: Context, type_: str) -> Iterator[str]:
    return (code for code, parameter in context.parameters.of(type_).items() if parameter.type == "reference")


def parameters_asked(types: Types, node: Node) -> Iterator[tuple[Types, str]]:
    """The search parameters that a condition on resources of these types goes by, with the types they are asked of."""
    match node:
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from parameters_asked(types, part)
        case Not(part):
            yield from parameters_asked(types, part)
        case Key(keys):
            yield from dict.fromkeys((types, _code(key)) for key in keys)
        case KeyRange(low, _):
            yield types, _code(low)
        case KeyPart(start, _):
            yield types, _code(start)
        case Span() | Present() | Joined():
            yield types, node.parameter
        case Linked(parameter, targets, where, by_url):
            yield types, parameter
            if by_url:
                yield targets, "url"
            yield from parameters_asked(targets, where)
        case InHierarchy(parameter, _, type_, by):
            yield types, parameter
            yield (type_,), by
        case LinkedFrom(type_, parameter, where, by_url):
            yield (type_,), parameter
            if by_url:
                yield types, "url"
            yield from parameters_asked((type_,), where)


def _code(entry: str) -> str:
    found = _CODE.match(entry)
    return found[1] if found else ""
