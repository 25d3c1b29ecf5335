"""What an operation is (R4 §3.2.0): one more thing to ask of a type or a resource, named `$…`.

The operations themselves are in `operations/`, a room above this one; `app.py` puts them into the Context.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest

_SHOWN_MAX = 5  # types named in one sentence


@dataclass(frozen=True, slots=True)
class Operation:
    """`code` is the name without its `$`; `url` its OperationDefinition.

    `types` are the resource types it is defined on, empty for every type; the next three say whether it is asked of the
    whole system, of a type, of one resource. An operation that affects state is asked for by POST alone (R4 §3.2.0.4.1),
    and not inside a transaction. `letters` are those of SMART's of which one must be had on the
    type to ask for it (`needed`): where it does not say, to read, or to change what it changes. `forms` are the media types, beside
    FHIR's, that it can be answered in: as a Binary that is sent as its content.
    """

    code: str
    url: str
    run: Callable[[Context, FhirRequest], Awaitable[Answer]]
    types: frozenset[str] = frozenset()
    on_system: bool = False
    on_type: bool = True
    on_instance: bool = True
    affects_state: bool = False
    letters: str = ""
    forms: tuple[str, ...] = ()

    @property
    def needed(self) -> str:
        return self.letters or ("u" if self.affects_state else "rs")

    @property
    def methods(self) -> tuple[str, ...]:
        return ("POST",) if self.affects_state else ("GET", "POST")

    def is_at(self, segments: tuple[str, ...]) -> bool:
        """Whether it is asked of what the address names: the whole system, a type, or one resource."""
        levels = (self.on_system, self.on_type, self.on_instance)
        return len(segments) <= len(levels) and levels[len(segments) - 1]

    def may_be_of(self, type_: str) -> bool:
        """Whether it is defined on a type; on the system for ""."""
        return (not self.types or type_ in self.types) if type_ else self.on_system


def operation_at(context: Context, segments: tuple[str, ...]) -> Operation | None:
    """The operation that an address names, if the capability statement promises it there."""
    if not segments or not segments[-1].startswith("$") or any(one.startswith(("$", "_")) for one in segments[:-1]):
        return None
    url = _promised(context, segments).get(segments[-1][1:], "")
    operation = context.operations.get(url)
    return operation if operation is not None and operation.is_at(segments) else None


def why_no_operation(context: Context, segments: tuple[str, ...]) -> str:
    """What is wrong with an address that names an operation and has none, in a sentence with what would be right."""
    name = segments[-1][1:]
    promised = _promised(context, segments)
    if name in promised:
        return f"${name} is asked at {_addresses(context.operations[promised[name]], segments)}."
    types = sorted(type_ for type_, names in context.capability.operations.items() if type_ and name in names)
    if types and len(segments) > 1:
        return f"${name} is not an operation of {segments[0]}; it is one of {', '.join(types[:_SHOWN_MAX])}."
    if types:
        operation = context.operations[context.capability.operations[types[0]][name]]
        return f"${name} is asked at {_addresses(operation, (types[0] if len(types) == 1 else '[type]', name))}."
    if near := get_close_matches(name, promised, n=1):
        return f"There is no operation at /{'/'.join(segments)}. Did you mean ${near[0]}?"
    there = f" There {'is' if len(promised) == 1 else 'are'} {', '.join(f'${one}' for one in sorted(promised))}."
    return f"There is no operation at /{'/'.join(segments)}.{there if promised else ''}"


def _promised(context: Context, segments: tuple[str, ...]) -> Mapping[str, str]:
    return context.capability.operations.get(segments[0] if len(segments) > 1 else "", {})


def _addresses(operation: Operation, segments: tuple[str, ...]) -> str:
    type_ = segments[0] if len(segments) > 1 else "[type]"
    levels = (operation.on_system, operation.on_type, operation.on_instance)
    shapes = ("/", f"/{type_}/", f"/{type_}/[id]/")
    return " and ".join(f"{shape}${operation.code}" for shape, is_there in zip(shapes, levels, strict=True) if is_there)
