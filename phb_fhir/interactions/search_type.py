"""search: in one type, in all of them, or in a compartment (R4 §3.1.0.9, §3.1.1), by GET or by form.

The order of work: read the query string (`search/parse`), turn what it asks of other resources into conditions on the resource
itself (`joins`), find a page and, where it is wanted, the total, and see what the page brings along (`includes`). The self
link says what was applied, nothing else; what was left out, and why, is in an entry of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from phb_fhir.change import Version
from phb_fhir.fhir.codec import dumps
from phb_fhir.fhir.reference import is_id
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.includes import find_included
from phb_fhir.interactions.joins import Joins, Resolved, Sifted
from phb_fhir.interactions.request import Answer, BundleAnswer, Entry, FhirRequest
from phb_fhir.interactions.settled import check_query_settled
from phb_fhir.interactions.subset import parse_subset, subset_json
from phb_fhir.outcome import Issue, Kind, Refusal, outcome_of, refuse
from phb_fhir.query import EVERYTHING, AllOf, AnyOf, Id, Key, Node, Not, Query
from phb_fhir.search.asking import Asking
from phb_fhir.search.conditions import targets_of
from phb_fhir.search.hierarchies import hierarchies
from phb_fhir.search.paging import Place
from phb_fhir.search.parse import Search, parse_search
from phb_fhir.store.store import Reader
from phb_fhir.store.ways import conditions

TOTAL_FREE_MAX = 1_000  # a total up to here is told unasked, where an index alone tells it
_KEYS_MAX = 5_000  # in one question
_LIMITED = re.compile(r"resolve\(\) is (\w+)")  # how the expression of `patient` leaves the others out
START = Place(None)
EVERY_TYPE = "*"


class Scope(NamedTuple):
    """What an address searches: the types (empty: all of them), and the condition of a compartment."""

    path: str
    types: tuple[str, ...]
    within: Node = EVERYTHING


class Asked(NamedTuple):
    """A search that was understood, its joins resolved, and the place in the answer that is wanted."""

    scope: Scope
    search: Search
    resolved: Resolved
    place: Place
    only_count: bool

    @property
    def question(self) -> str:
        return query_text(self.search.applied)


async def search(context: Context, request: FhirRequest) -> Answer:
    """A searchset Bundle.

    Raises Rejected: 400 for what is not understood or too costly, 410 for a page link that is too old, 503 for what takes too
    long.
    """
    scope = scope_of(context, request.segments)
    asking = context.asking(lenient=request.handling == "lenient")
    search = parse_search(scope.types, request.parameters, asking, scope.within)
    await _check_ids_alone(context.reader, asking, search)
    applied = request._replace(subset=parse_subset(search.applied))
    return await searchset(context, applied, await understood(context, applied, scope, search))


async def searchset(context: Context, request: FhirRequest, asked: Asked) -> Answer:
    """The page of a search that was understood."""
    page, total = await _found(context, asked)
    entries = [_entry(context, request, hit.version, "match") for hit in page.hits]
    told = _told(asked.search.ignored)
    if asked.search.includes and page.hits:
        included = await find_included(context.reader, page.hits, asked.search.includes, context.asking())
        entries += [_entry(context, request, version, "include") for version in included.versions]
        told += included.issues
    if told:
        entries.append(_outcome_entry(outcome_of(told)))
    if asked.search.explain:
        entries.append(_outcome_entry(await _explanation(context, asked)))
    return Answer(200, bundle=BundleAnswer("searchset", entries, total, _links(context, request, asked, page)))


# ---- what is asked -------------------------------------------------------------------------------


async def _check_ids_alone(reader: Reader, asking: Asking, search: Search) -> None:
    """Raise Rejected (400) for `subject=23` where a Patient and a Group are both 23: which is meant, must be said.

    "Servers SHOULD fail a search where the logical id in a reference refers to more than one matching resource across
    different types" (R4 §3.1.1.4.12).
    """
    types = search.query.types
    known = asking.parameters.of(types[0]) if len(types) == 1 else asking.parameters.shared(types)
    for name, value in search.applied:
        code, _, modifier = name.partition(":")
        parameter = known.get(code)
        ids = [id_ for id_ in value.split(",") if is_id(id_)]
        if parameter is None or parameter.type != "reference" or not ids or modifier not in ("", "above", "below"):
            continue
        limited = set(_LIMITED.findall(parameter.expression))
        targets = tuple(type_ for type_ in targets_of(parameter, asking) if type_ in limited or not limited)
        targets = tuple(hierarchies(parameter, targets, asking)) if modifier else targets
        at_once = max(1, _KEYS_MAX // max(1, len(targets)))
        for start in range(0, len(ids), at_once) if len(targets) > 1 else ():
            there = await reader.keys(Query(targets, Id(tuple(ids[start : start + at_once]))), count=_KEYS_MAX)
            for id_ in ids[start : start + at_once]:
                same = sorted(key for key in there if key.endswith(f"/{id_}"))
                if len(same) > 1:
                    text = f"{name}={id_}: there are {' and '.join(same)}; write which is meant."
                    raise refuse(Refusal.BAD_REQUEST, Kind.VALUE, text)


async def understood(context: Context, request: FhirRequest, scope: Scope, search: Search) -> Asked:
    """The search with its joins resolved and its place found. Raises Rejected as `search` does."""
    place = START
    if search.page is not None:
        question = f"{scope.path}?{query_text(search.applied)}"
        place = context.pager.open(question, search.page, context.now())
    await check_query_settled(context, search.query, search.order, search.includes)
    resolved = await _joins(context).resolve(_with_types(context, search.query), place.position)
    await context.reader.check_served(resolved.query)
    return Asked(scope, search, resolved, place, search.count == 0 or request.subset.summary == "count")


def _joins(context: Context) -> Joins:
    return Joins(context.reader, context.asking())


def scope_of(context: Context, segments: tuple[str, ...]) -> Scope:
    """What the address of a search says: nothing, a type, or a compartment and a type or `*`."""
    at = segments[:-1] if segments[-1:] == ("_search",) else segments
    path = "/".join(at)
    if len(at) < 3:
        return Scope(path, at)
    compartment, id_, type_ = at
    types = members_of(context, compartment) if type_ == EVERY_TYPE else (type_,)
    return Scope(path, tuple(types), Key((f"_in={compartment}/{id_}",)))


def members_of(context: Context, compartment: str) -> Sequence[str]:
    """The types that may be in a compartment of this type (R4 §2.10), the compartment's own among them; none if it has none."""
    try:
        members = context.definitions.compartment(compartment).members
    except KeyError:
        return ()
    return sorted(context.capability.types & {compartment, *members})


def _with_types(context: Context, query: Query) -> Query:
    """A search of everything by a bare id names every type: an id is part of a key only together with its type."""
    bare = any("/" not in id_ for id_ in _ids_in(query.where))
    return Query(tuple(sorted(context.capability.types)), query.where) if bare and not query.types else query


def _ids_in(node: Node) -> Iterable[str]:
    match node:
        case AllOf(parts) | AnyOf(parts):
            return (id_ for part in parts for id_ in _ids_in(part))
        case Not(part):
            return _ids_in(part)
        case Id(ids):
            return ids
    return ()


# ---- what is found -------------------------------------------------------------------------------


async def _found(context: Context, asked: Asked) -> tuple[Sifted, int | None]:
    """The page and, as far as it is wanted, the total."""
    if asked.only_count:
        return Sifted([], False, None), await _count(context, asked)
    page = await _page(context, asked)
    if asked.search.total == "none":
        return page, None
    # most searches find a page at most, and then nothing is left to be counted
    is_all = asked.place == START and not page.more
    return page, len(page.hits) if is_all else await _total(context, asked)


async def _page(context: Context, asked: Asked) -> Sifted:
    position, backwards = asked.place
    order, count = asked.search.order, asked.search.count
    with_index = bool(asked.search.includes)  # which follow the references among the entries
    return await _joins(context).sift(
        asked.resolved, order, after=position, backwards=backwards, count=count, with_index=with_index
    )


async def _total(context: Context, asked: Asked) -> int | None:
    """The exact number of matches, where it is asked for, or small enough to be told unasked."""
    if asked.search.total is not None:
        return await _count(context, asked)
    if asked.resolved.left or not _is_read_off(asked.resolved.query):
        return None
    counted = await context.reader.count_up_to(asked.resolved.query, TOTAL_FREE_MAX + 1)
    return counted if counted <= TOTAL_FREE_MAX else None


def _is_read_off(query: Query) -> bool:
    """Whether an index alone tells how many match: there is no condition, or one of a single key, or of ids."""
    match conditions(query.where):
        case []:
            return True
        case [Key(keys)]:
            return len(keys) == 1
        case [Id(ids)]:
            return len(ids) <= TOTAL_FREE_MAX
    return False


async def _count(context: Context, asked: Asked) -> int:
    return await _joins(context).count(asked.resolved, context.settings.query_time_max_ms / 1000)


# ---- the answer ----------------------------------------------------------------------------------


def query_text(parameters: tuple[tuple[str, str], ...]) -> str:
    """Parameters as a query string, as the self link shows them."""
    return "&".join(f"{quote(name, safe=':_-.')}={quote(value, safe=':/,|')}" for name, value in parameters)


def _links(context: Context, request: FhirRequest, asked: Asked, page: Sifted) -> tuple[tuple[str, str], ...]:
    """Where this page is, the next one and the one before (R4 §3.1.1.5.3), as far as there may be such."""
    question = asked.question
    address = f"{request.base}/{quote(asked.scope.path, safe='/*$')}".rstrip("/")

    def link(token: str) -> str:
        query = "&".join(part for part in (question, f"_page={token}" if token else "") if part)
        return f"{address}?{query}" if query else address

    def to(place: Place) -> str:
        if place == START:
            return link("")
        return link(context.pager.seal(f"{asked.scope.path}?{question}", place, context.now()))

    found = [("self", link(asked.search.page or ""))]
    if asked.only_count:
        return tuple(found)
    position, backwards = asked.place
    onward = Place(page.edge, backwards) if page.more else None
    # what is on the side we came from begins right beside the first resource here; where there is none, where we looked last
    beside = page.edge if page.edge != position else None
    if page.hits:
        beside = page.hits[-1 if backwards else 0].position
    back = Place(beside, not backwards) if position is not None else None
    after, before = (back, onward) if backwards else (onward, back)
    found += [(name, to(place)) for name, place in (("next", after), ("previous", before)) if place is not None]
    return tuple(found)


def _entry(context: Context, request: FhirRequest, version: Version, mode: Any) -> Entry:
    # the list of elements is of the matches, not of what comes with them (R4 §3.1.1.5.9)
    subset = request.subset if mode == "match" else replace(request.subset, elements=())
    json = subset_json(version.json or b"{}", subset, context.definitions)
    return Entry(f"{request.base}/{version.key}", json, mode, version=version)


def _told(ignored: Sequence[Issue]) -> list[Issue]:
    return [Issue(issue.kind, f"Left out: {issue.text}", severity="warning") for issue in ignored]


def _outcome_entry(outcome: dict[str, Any]) -> Entry:
    return Entry("", dumps(outcome), "outcome")


async def _explanation(context: Context, asked: Asked) -> dict[str, Any]:
    """What MongoDB was asked and how it found it, as JSON in an OperationOutcome."""
    said = await _joins(context).explain(asked.resolved, asked.search.order, asked.search.count + 1)
    text = "How this search was answered stands in the diagnostics."
    issue = {"severity": "information", "code": Kind.INFORMATIONAL.value, "details": {"text": text}}
    return {
        "resourceType": "OperationOutcome",
        "issue": [{**issue, "diagnostics": orjson.dumps(said, default=str).decode()}],
    }
