"""May a SearchParameter be searched by? Asked of one that is about to be stored, and of those that are.

What stands in it is judged in `definitions/search_parameters`; here its expressions are compiled for every type it is for, so
that one which finds nothing, or what its type can make nothing of, is told of before anybody waits for its answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from phb_fhir.definitions.kept import Kept
from phb_fhir.definitions.load import Definitions, SearchParameter
from phb_fhir.definitions.search_parameters import SearchParameters, read_parameter, search_parameters
from phb_fhir.fhir.codec import Resource
from phb_fhir.outcome import Issue, Kind
from phb_fhir.search.expressions import Program, component_of, program_of

_DATES = frozenset(("date", "dateTime", "instant", "Period", "Timing"))
_NUMBERS = frozenset(("integer", "unsignedInt", "positiveInt", "decimal"))
_QUANTITIES = frozenset(("Quantity", "Age", "Count", "Distance", "Duration", "Money", "Range", "SampledData"))
_TEXTS = frozenset(("string", "markdown", "code", "id", "HumanName", "Address"))
_URIS = frozenset(("uri", "url", "canonical", "oid", "uuid"))
_TOKENS = frozenset(
    ("CodeableConcept", "Coding", "Identifier", "ContactPoint", "boolean", "code", "id", "string", "markdown")
)
_CODES = frozenset(("integer", "unsignedInt", "positiveInt"))  # a number may stand for a thing

# What each search parameter type makes something of (R4 §3.1.1.4)
TAKES: dict[str, frozenset[str]] = {
    "number": _NUMBERS | {"Range"},
    "date": _DATES,
    "string": _TEXTS | _URIS,
    "token": _TOKENS | _URIS | _CODES,
    "reference": _URIS | {"Reference"},
    "quantity": _QUANTITIES,
    "uri": _URIS,
}


def why_unusable(resource: Resource, definitions: Definitions, beside: SearchParameters | None = None) -> list[Issue]:
    """Why nobody could search by a SearchParameter, each reason with its place; warnings for what is passed over.

    `beside`: the parameters that its components may name; R4's and the guide's where none are given.
    """
    shipped = beside or search_parameters(definitions)
    read = read_parameter(resource, shipped)
    found = [issue for parameter in read.parameters for issue in _expression_issues(parameter, definitions)]
    return [*read.issues, *dict.fromkeys(found)]


def usable(stored: Iterable[Kept], definitions: Definitions) -> list[Kept]:
    """Of stored SearchParameters those that can be searched by: what is stored may be older than today's rules."""
    listed = list(stored)
    everything = search_parameters(definitions).changed(listed)
    return [
        kept
        for kept in listed
        if not any(issue.is_error for issue in why_unusable(kept.read(), definitions, everything))
    ]


def _expression_issues(parameter: SearchParameter, definitions: Definitions) -> Iterator[Issue]:
    try:
        program = program_of(definitions, parameter.expression, parameter.base)
    except ValueError as reason:
        yield Issue(Kind.VALUE, str(reason), "SearchParameter.expression")
        return
    yield from _type_issues(program, parameter.type, definitions, "SearchParameter.expression")
    for place, part in enumerate(parameter.components):
        at = f"SearchParameter.component[{place}].expression"
        if program.function is not None:
            text = "A composite's own expression is a path, so that it is known what its components begin at."
            yield Issue(Kind.NOT_SUPPORTED, text, "SearchParameter.expression")
            return
        for starts in sorted(program.types):
            try:
                found = component_of(definitions, part.expression, starts, parameter.base)
            except ValueError as reason:
                yield Issue(Kind.VALUE, str(reason), at)
            else:
                yield from _type_issues(found, part.type, definitions, at)


def _type_issues(program: Program, type_: str, definitions: Definitions, at: str) -> Iterator[Issue]:
    takes = TAKES.get(type_)
    if takes is None or not program.types:
        return  # a composite takes anything; and of some expressions only the data tells
    is_resource = type_ == "reference" and not program.types.isdisjoint(definitions.resource_types)
    if takes.isdisjoint(program.types) and not is_resource:
        there = ", ".join(sorted(program.types)[:5])
        yield Issue(Kind.VALUE, f"It finds {there}, of which a parameter of the type {type_} can make nothing.", at)
