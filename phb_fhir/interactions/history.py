"""history: of one resource, one type, or everything (R4 §3.1.0.11), newest first.

Deletions stand in it as entries without a resource. What is read is the stored record itself, so the history is complete
the moment a write is acknowledged.
"""

from __future__ import annotations

from datetime import UTC, datetime

from phb_fhir.change import Version
from phb_fhir.fhir.codec import loads
from phb_fhir.fhir.dates import instant_text, period_of, with_plus
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.listed import items_of
from phb_fhir.interactions.request import Answer, BundleAnswer, Entry, FhirRequest
from phb_fhir.interactions.search_type import query_text
from phb_fhir.interactions.status import status_text
from phb_fhir.interactions.subset import STORED_DEPTH_MAX, subset_json
from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, refuse
from phb_fhir.query import HistoryQuery
from phb_fhir.search.conditions import list_id
from phb_fhir.search.paging import Place
from phb_fhir.search.parse import PRESENTATION, parse_count
from phb_fhir.search.results import check_elements

_OWN = ("_count", "_since", "_at", "_list", "_page")
LISTED_MAX = 1_000  # of a List whose history is asked for


async def history(context: Context, request: FhirRequest) -> Answer:
    """A history Bundle. Raises Rejected: 400 for a bad parameter, 404 if there never was such a resource."""
    asked = _parameters(request)
    query = await _query(context, request, asked)
    if request.handling == "strict":
        check_elements(request.subset.elements, (query.type,) if query.type else (), context.definitions)
    count = parse_count(asked.get("_count"), context.settings.page_size_default, context.settings.page_size_max)
    if "_count" in asked:  # the link tells what was done (R4 §3.1.1.3)
        asked["_count"] = str(count)
    count = 0 if request.subset.summary == "count" else count
    path = "/".join(request.segments)
    question = query_text(tuple((name, value) for name, value in asked.items() if name != "_page"))
    after = (
        _position(context.pager.open(f"{path}?{question}", asked["_page"], context.now())) if "_page" in asked else None
    )
    found = await context.reader.history(query, after=after, count=count + 1) if count else []
    if not found and query.id and await context.reader.read(query.type, query.id) is None:
        raise refuse(Refusal.NOT_FOUND, Kind.NOT_FOUND, f"There is no {query.type}/{query.id}, and there never was.")
    page = found[:count]
    links = [("self", f"{request.base}/{path}" + (f"?{question}" if question else ""))]
    if len(found) > len(page):
        token = context.pager.seal(f"{path}?{question}", Place([page[-1].at.isoformat(), page[-1].key]), context.now())
        links.append(("next", f"{request.base}/{path}?{question}{'&' if question else ''}_page={token}"))
    anew = await context.reader.brought_back(page)
    entries = [_entry(context, request, version, is_new=version.number == 1 or version in anew) for version in page]
    return Answer(200, bundle=BundleAnswer("history", entries, await context.reader.history_count(query), tuple(links)))


def _parameters(request: FhirRequest) -> dict[str, str]:
    """The parameters that mean something here, each once, in the order they came. As in a search, one without a value asks for nothing."""
    taken: dict[str, str] = {}
    issues: list[Issue] = []
    for name, value in request.parameters:
        if not value and (name in _OWN[:-1] or name in PRESENTATION):
            continue
        if name in taken:
            issues.append(Issue(Kind.INVALID, f"{name} stands more than once; say it once."))
        elif name in _OWN or name in PRESENTATION:
            taken[name] = value
        elif request.handling == "strict":
            issues.append(
                Issue(Kind.NOT_SUPPORTED, f"A history takes {', '.join(_OWN[:-1])}; it does not know '{name}'.")
            )
    if issues:
        raise Rejected(Refusal.BAD_REQUEST, *issues)
    return taken


async def _query(context: Context, request: FhirRequest, asked: dict[str, str]) -> HistoryQuery:
    segments = [segment for segment in request.segments if segment != "_history"]
    type_, id_ = (*segments, "", "")[:2]
    since = _period("_since", asked["_since"])[0] if "_since" in asked else None
    within = _period("_at", asked["_at"]) if "_at" in asked else None
    among = await _listed(context, asked["_list"]) if "_list" in asked else None
    return HistoryQuery(type_, id_, since, within, among=among)


async def _listed(context: Context, value: str) -> tuple[str, ...]:
    """What is in a List; nothing, where there is no such List for who asks, as a search has it."""
    version = await context.reader.read("List", list_id(value))
    if version is None or version.json is None:
        return ()
    items = tuple(dict.fromkeys(items_of(loads(version.json, depth_max=STORED_DEPTH_MAX), context.own)))
    if len(items) > LISTED_MAX:
        text = f"_list={value}: it has {len(items)} items, and a history is of {LISTED_MAX} at the most."
        raise refuse(Refusal.BAD_REQUEST, Kind.TOO_COSTLY, text)
    return items


def _period(name: str, text: str) -> tuple[datetime, datetime]:
    try:
        # a '+' that was not percent-encoded arrives as a blank
        return period_of(with_plus(text))
    except (ValueError, OverflowError):
        raise refuse(
            Refusal.BAD_REQUEST,
            Kind.VALUE,
            f"{name}={text} is no date or instant; write for example 2026-11-22T09:30:00Z.",
        ) from None


def _position(place: Place) -> tuple[datetime, str]:
    at, key = place.position or ("", "")
    return datetime.fromisoformat(at).astimezone(UTC), key


_STATUS = {"POST": 201, "PUT": 200, "PATCH": 200, "DELETE": 204}


def _entry(context: Context, request: FhirRequest, version: Version, *, is_new: bool) -> Entry:
    address = version.type if version.method == "POST" else version.key
    status = 201 if is_new else _STATUS[version.method]
    return Entry(
        full_url=f"{request.base}/{version.key}",
        resource=None if version.json is None else subset_json(version.json, request.subset, context.definitions),
        request={"method": version.method, "url": address},
        response={
            "status": status_text(status),
            "etag": f'W/"{version.number}"',
            "lastModified": instant_text(version.at),
        },
        version=version,
    )
