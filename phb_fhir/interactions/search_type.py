"""search: in one type, or in all of them (R4 §3.1.0.9), by GET or POST."""

from __future__ import annotations

from urllib.parse import quote

from phb_fhir.change import Version
from phb_fhir.fhir.codec import dumps
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, BundleAnswer, Entry, FhirRequest
from phb_fhir.interactions.subset import subset_json
from phb_fhir.outcome import Issue, outcome_of
from phb_fhir.search.parse import Search, parse_search


async def search(context: Context, request: FhirRequest) -> Answer:
    """A searchset Bundle. Raises Rejected (400) for what is not understood, (410) for a page link that is too old."""
    type_ = "" if request.type.startswith("_") else request.type
    asked = _parse(context, request, type_)
    question = query_text(asked.applied)
    after = context.pager.open(f"{type_}?{question}", asked.page, context.now())[0] if asked.page is not None else ""
    only_count = asked.count == 0 or request.subset.summary == "count"
    found = [] if only_count else await context.reader.search(asked.query, after=after, count=asked.count + 1)
    page = found[: asked.count]
    total = None if asked.total == "none" and not only_count else await context.reader.count(asked.query)
    links = [("self", _link(request, type_, question))]
    if len(found) > len(page):
        token = context.pager.seal(f"{type_}?{question}", [page[-1].key], context.now())
        links.append(("next", _link(request, type_, f"{question}{'&' if question else ''}_page={token}")))
    entries = [_match_entry(context, request, version) for version in page] + _outcome_entries(asked.ignored)
    return Answer(200, bundle=BundleAnswer("searchset", entries, total, tuple(links)))


def _parse(context: Context, request: FhirRequest, type_: str) -> Search:
    settings = context.settings
    # an id is part of a key only together with a type, so a search of everything by id names every type
    all_types = tuple(sorted(context.capability.types)) if any(name == "_id" for name, _ in request.parameters) else ()
    return parse_search(
        (type_,) if type_ else all_types,
        request.parameters,
        context.capability.parameters.get(type_, frozenset()),
        count_default=settings.page_size_default,
        count_max=settings.page_size_max,
        lenient=request.handling == "lenient",
    )


def query_text(parameters: tuple[tuple[str, str], ...]) -> str:
    """Parameters as a query string, as the self link shows them."""
    return "&".join(f"{quote(name, safe=':_-.')}={quote(value, safe=':/,|')}" for name, value in parameters)


def _link(request: FhirRequest, type_: str, question: str) -> str:
    address = f"{request.base}/{type_}" if type_ else request.base
    return f"{address}?{question}" if question else address


def _match_entry(context: Context, request: FhirRequest, version: Version) -> Entry:
    json = subset_json(version.json or b"{}", request.subset, context.definitions)
    return Entry(f"{request.base}/{version.key}", json, "match")


def _outcome_entries(ignored: list[Issue]) -> list[Entry]:
    if not ignored:
        return []
    warnings = [Issue(issue.kind, f"Left out: {issue.text}", severity="warning") for issue in ignored]
    return [Entry("", dumps(outcome_of(warnings)), "outcome")]
