"""Which interaction a method and a path ask for (R4 §3.1.0): the whole REST surface, as one table.

A row exists because FHIR defines it; it answers because the capability statement promises it for that type. Operations (R4
§3.2.0) have no row: the statement names those there are, and `Context.operations` holds what runs them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from difflib import get_close_matches

from phb_fhir.interactions.access import LETTERS
from phb_fhir.interactions.batch import bundle
from phb_fhir.interactions.capabilities import capabilities
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.create import create
from phb_fhir.interactions.delete import delete
from phb_fhir.interactions.history import history
from phb_fhir.interactions.operation import operation_at, why_no_operation
from phb_fhir.interactions.patch import patch
from phb_fhir.interactions.read import read
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.search_type import EVERY_TYPE, members_of, search
from phb_fhir.interactions.trail import answered
from phb_fhir.interactions.update import update
from phb_fhir.interactions.vread import vread
from phb_fhir.outcome import Kind, Refusal, refuse

Interaction = Callable[[Context, FhirRequest], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """`code` is the interaction's name in a CapabilityStatement, "" for what has none; `name` is then for logs.

    `affects_state`: an operation that changes something, in its own way, and so takes no part in a transaction.
    """

    code: str
    run: Interaction
    name: str = ""
    affects_state: bool = False


ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "metadata"): Route("", capabilities, "capabilities"),
    ("GET", "type/id"): Route("read", read),
    ("GET", "type/id/_history/version"): Route("vread", vread),
    ("GET", "type/id/_history"): Route("history-instance", history),
    ("GET", "type/_history"): Route("history-type", history),
    ("GET", "_history"): Route("history-system", history),
    ("GET", "type"): Route("search-type", search),
    ("POST", "type/_search"): Route("search-type", search),
    ("GET", "type/id/type"): Route("search-type", search, "search-compartment"),
    ("POST", "type/id/type/_search"): Route("search-type", search, "search-compartment"),
    ("GET", ""): Route("search-system", search),
    ("POST", "_search"): Route("search-system", search),
    ("POST", "type"): Route("create", create),
    ("PUT", "type/id"): Route("update", update),
    ("PUT", "type"): Route("update", update),
    ("PATCH", "type/id"): Route("patch", patch),
    ("PATCH", "type"): Route("patch", patch),
    ("DELETE", "type/id"): Route("delete", delete),
    ("DELETE", "type"): Route("delete", delete),
    ("POST", ""): Route("", lambda context, request: bundle(context, request, _Routes()), "bundle"),
}

_NAME_MAX = 64  # characters of an operation's name
_METHODS = {shape: tuple(m for m, s in ROUTES if s == shape) for _, shape in ROUTES}


def shape_of(segments: tuple[str, ...]) -> str:
    """The row of the table that a path belongs to; "?" for none."""
    match segments:
        case () | ("metadata",) | ("_history",) | ("_search",):
            return "".join(segments)
        case (_,):
            return "type"
        case (_, "_history" | "_search" as last):
            return f"type/{last}"
        case (_, _):
            return "type/id"
        case (_, _, "_history"):
            return "type/id/_history"
        case (_, _, "_history", _):
            return "type/id/_history/version"
        case (_, _, type_) if not type_.startswith("_"):
            return "type/id/type"
        case (_, _, type_, "_search") if not type_.startswith("_"):
            return "type/id/type/_search"
    return "?"


def route_of(context: Context, method: str, segments: tuple[str, ...]) -> Route:
    """The interaction to run. Raises Rejected: 404 for an address that is none of ours, 405 for what it cannot do."""
    shape = shape_of(segments)
    if names_operation(segments):
        operation = operation_at(context, segments)
        if operation is not None and method in operation.methods:
            _check_allowed(context, operation.needed, segments)
            return Route("", operation.run, f"${operation.code}", operation.affects_state)
    elif _is_served(context, method, shape, segments):
        route = ROUTES[method, shape]
        _check_allowed(context, LETTERS.get(route.code, ""), _searched(context, segments))
        return route
    check_address(context, segments)
    can = ", ".join(methods_at(context, segments))
    text = f"{method} is not served at /{'/'.join(segments)}; {can} is."
    raise refuse(Refusal.METHOD_NOT_ALLOWED, Kind.NOT_SUPPORTED, text)


def _check_allowed(context: Context, letters: str, segments: tuple[str, ...]) -> None:
    """Raise Rejected (403) for what the one who asks may never do to a type."""
    if context.access is not None and letters:
        context.access.check(letters, segments[0] if segments and segments[0] in context.capability.types else "")


def _searched(context: Context, segments: tuple[str, ...]) -> tuple[str, ...]:
    """The type that is asked for: in a compartment, that of its members."""
    is_within = len(segments) > 2 and segments[2] in (*context.capability.types, EVERY_TYPE)
    return segments[2:3] if is_within else segments


def interaction_at(method: str, segments: tuple[str, ...]) -> str:
    """What a method and a path would ask for, whoever asks: an interaction's code or name, or that of an operation; "" for nothing."""
    if names_operation(segments):
        return segments[-1][:_NAME_MAX]
    route = ROUTES.get((method, shape_of(segments)))
    return "" if route is None else route.code or route.name


def check_address(context: Context, segments: tuple[str, ...]) -> None:
    """Raise Rejected (404) for an address that is none of ours, whatever the method."""
    is_operation = names_operation(segments)
    above = segments[:-1] if is_operation else segments
    shape = shape_of(above)
    if shape == "?" or any(segment.startswith("$") for segment in above):
        raise refuse(Refusal.NOT_FOUND, Kind.NOT_SUPPORTED, f"Nothing is served at /{'/'.join(segments)}.")
    if shape.startswith("type") and segments[0] not in context.capability.types:
        raise refuse(Refusal.NOT_FOUND, Kind.NOT_SUPPORTED, _no_type(segments[0], context.capability.types))
    if shape.startswith("type/id/type"):
        _check_compartment(context, segments[0], segments[2])
    if is_operation and operation_at(context, segments) is None:
        raise refuse(Refusal.NOT_FOUND, Kind.NOT_SUPPORTED, why_no_operation(context, segments))


def names_operation(segments: tuple[str, ...]) -> bool:
    """Whether a path ends at an operation: `Account/1/$balance`."""
    return bool(segments) and segments[-1].startswith("$")


def _is_served(context: Context, method: str, shape: str, segments: tuple[str, ...]) -> bool:
    route = ROUTES.get((method, shape))
    if shape.startswith("type/id/type"):
        return route is not None and _is_in_compartment(context, segments[0], segments[2])
    type_ = segments[0] if shape.startswith("type") else ""
    return route is not None and (not route.code or context.capability.promises(type_, route.code))


def _is_in_compartment(context: Context, compartment: str, type_: str) -> bool:
    """Whether a type, or `*`, may be searched within a compartment: it is one of those that may be in it."""
    if type_ == EVERY_TYPE:
        return bool(members_of(context, compartment)) and context.capability.promises("", "search-system")
    return type_ in members_of(context, compartment) and context.capability.promises(type_, "search-type")


def _check_compartment(context: Context, compartment: str, type_: str) -> None:
    """Raise Rejected (404) where there is no such compartment (R4 §2.10), or nothing of this type is ever in it."""
    types = context.capability.types
    members = members_of(context, compartment)
    if not members:
        there = ", ".join(sorted(one for one in types if members_of(context, one)))
        text = f"There is no {compartment} compartment; there are those of {there}."
        raise refuse(Refusal.NOT_FOUND, Kind.NOT_SUPPORTED, text)
    if type_ not in (*members, EVERY_TYPE):
        text = (
            f"No {type_} is ever in the compartment of a {compartment}." if type_ in types else _no_type(type_, types)
        )
        raise refuse(Refusal.NOT_FOUND, Kind.NOT_SUPPORTED, text)


async def run(context: Context, request: FhirRequest) -> Answer:
    """Answer one request, or raise Rejected. The way in for HTTP and for every entry of a Bundle."""
    return await route_of(context, request.method, request.segments).run(context, request)


class _Routes:
    """The table, as the Bundle interaction needs it: without the Bundle itself, which does not nest."""

    def route_of(self, context: Context, request: FhirRequest) -> Route:
        if not request.segments and request.method == "POST":
            raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, "A batch or transaction does not stand inside another.")
        if request.method == "POST" and request.segments[-1] == "_search":
            # its criteria would be in a form, which is no resource and so has no place in an entry
            raise refuse(Refusal.BAD_REQUEST, Kind.NOT_SUPPORTED, "A search in a Bundle is an entry with GET.")
        return route_of(context, request.method, request.segments)

    async def run(self, context: Context, request: FhirRequest) -> Answer:
        return await answered(context, request, self.route_of(context, request))


def methods_at(context: Context, segments: tuple[str, ...]) -> tuple[str, ...]:
    """The methods an address answers, for Allow; HEAD goes where GET goes."""
    shape = shape_of(segments)
    if names_operation(segments):
        operation = operation_at(context, segments)
        methods = operation.methods if operation is not None else ()
    else:
        methods = tuple(method for method in _METHODS.get(shape, ()) if _is_served(context, method, shape, segments))
    return (*methods, "HEAD", "OPTIONS") if "GET" in methods else (*methods, "OPTIONS")


def _no_type(name: str, types: frozenset[str]) -> str:
    near = get_close_matches(name, types, n=1)
    return f"'{name}' is not a resource type of FHIR R4." + (f" Did you mean '{near[0]}'?" if near else "")
