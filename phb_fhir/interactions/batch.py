"""A Bundle posted to the base: a batch, whose entries are answered each on its own, or a transaction (R4 §3.1.0.11)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from phb_fhir.change import Change, Create, Patch, Put
from phb_fhir.definitions.walk import ReferenceAt, references
from phb_fhir.fhir.codec import dumps
from phb_fhir.fhir.dates import instant_text
from phb_fhir.interactions.answers import check_parameters
from phb_fhir.interactions.bundles import bundle_resource
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.create import change_of_create
from phb_fhir.interactions.delete import change_of_delete
from phb_fhir.interactions.entries import PHASES, request_of
from phb_fhir.interactions.fault import fault
from phb_fhir.interactions.patch import change_of_patch
from phb_fhir.interactions.request import WHOLE, Answer, BundleAnswer, Entry, FhirRequest
from phb_fhir.interactions.status import status_of, status_text
from phb_fhir.interactions.trail import told_to
from phb_fhir.interactions.transaction import Planned, run_transaction
from phb_fhir.interactions.update import change_of_update
from phb_fhir.interactions.validation import reject_errors, relocated, told_of_entry
from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, outcome_of, refuse
from phb_fhir.validation.validate import validate

if TYPE_CHECKING:
    from phb_fhir.interactions.routes import Route

AT_ONCE_MAX = 16  # entries of a batch under way together


class Routes(Protocol):
    """The table of interactions, handed in because it also holds this one."""

    def route_of(self, context: Context, request: FhirRequest) -> Route: ...

    def run(self, context: Context, request: FhirRequest) -> Awaitable[Answer]: ...


CHANGES: dict[str, Callable[[Context, FhirRequest], Change]] = {
    "create": change_of_create,
    "update": change_of_update,
    "patch": change_of_patch,
    "delete": change_of_delete,
}


async def bundle(context: Context, request: FhirRequest, routes: Routes) -> Answer:
    """Raises Rejected: 400 for a Bundle of another type, 413 for too many entries, and what a transaction raises."""
    check_parameters(context, request)
    if request.subset != WHOLE and request.handling == "strict":
        text = "_summary and _elements of a batch or transaction mean nothing; say them in the url of an entry."
        raise refuse(Refusal.BAD_REQUEST, Kind.NOT_SUPPORTED, text)
    entries = _entries(context, request.body)
    if not context.capability.promises("", request.body["type"]):
        raise refuse(Refusal.METHOD_NOT_ALLOWED, Kind.NOT_SUPPORTED, f"A {request.body['type']} is not served here.")
    if request.body["type"] == "batch":
        answers = await _run_batch(context, request, entries, routes)
        return Answer(200, bundle=BundleAnswer("batch-response", answers))
    planned = [await _plan(context, request, index, entry, routes) for index, entry in enumerate(entries)]
    done = await run_transaction(context, planned, routes.run)
    return Answer(
        200,
        bundle=BundleAnswer(
            "transaction-response",
            [response_entry(request.base, entry, answer) for entry, answer in zip(entries, done, strict=True)],
        ),
    )


def _entries(context: Context, body: Any) -> list[dict[str, Any]]:
    """The entries of a batch or transaction, once the Bundle around them is known to be sound."""
    if (
        not isinstance(body, dict)
        or body.get("resourceType") != "Bundle"
        or body.get("type") not in ("batch", "transaction")
    ):
        text = "What is posted to the base is a Bundle of type batch or transaction; to store a Bundle, post it to /Bundle."
        raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, text, "Bundle.type")
    entries: Any = body.get("entry", [])
    if isinstance(entries, list) and len(entries) > context.settings.bundle_entries_max:
        text = (
            f"The Bundle has {len(entries)} entries; at most {context.settings.bundle_entries_max} are taken at once."
        )
        raise refuse(Refusal.TOO_LARGE, Kind.TOO_LONG, text, "Bundle.entry")
    # the entries are looked at one by one afterwards, so that each problem is told of its own
    around = {name: value for name, value in body.items() if name != "entry" or not entries or not _is_list(entries)}
    reject_errors(_of_structure(validate(around, context.definitions)))
    return list(entries)


def _of_structure(issues: list[Issue]) -> list[Issue]:
    """Without the invariants of Bundle: what an entry needs for its method, `request_of` says of that entry."""
    return [issue for issue in issues if issue.kind is not Kind.INVARIANT]


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _check_entry(context: Context, index: int, entry: Any) -> None:
    """Raise Rejected for an entry that is none; its resource is looked at when the request is known."""
    bare = {name: value for name, value in entry.items() if name != "resource"} if isinstance(entry, dict) else entry
    alone = {"resourceType": "Bundle", "type": "batch", "entry": [bare or entry]}
    issues = _of_structure(validate(alone, context.definitions))
    reject_errors([replace(one, expression=one.expression.replace("[0]", f"[{index}]", 1)) for one in issues])


async def _plan(context: Context, request: FhirRequest, index: int, entry: dict[str, Any], routes: Routes) -> Planned:
    """An entry of a transaction as the change or the read it means; its content is looked at when all are known.

    Raises Rejected, told of this entry.
    """
    if index % 16 == 15:
        await asyncio.sleep(0)  # a long Bundle lets others speak
    asked = _read(context, request, index, entry)
    try:
        route = routes.route_of(context, asked)
        if route.affects_state:
            text = f"{route.name} changes more than a transaction can take back; ask for it by itself, or in a batch."
            raise refuse(Refusal.BAD_REQUEST, Kind.NOT_SUPPORTED, text)
        make = CHANGES.get(route.code)
        change = make(context, asked) if make else None
    except Rejected as rejected:
        raise told_of_entry(rejected, f"Bundle.entry[{index}]", entry) from None
    pointers = _pointers(context, asked.body) if isinstance(change, Create | Put | Patch) else ()
    return Planned(index, entry, asked, change, pointers)


def _pointers(context: Context, body: Any) -> tuple[ReferenceAt, ...]:
    """The places in what an entry brings that point somewhere; of a JSON Patch, the References that it sets."""
    if isinstance(body, dict):
        return tuple(references(body, context.definitions))
    setting = [one for one in body if isinstance(one, dict) and one.get("op") in ("add", "replace")]
    found = [(one, "value") for one in setting if str(one.get("path")).endswith("/reference")]
    # a patch has no types: by its name, and as a text, this is a Reference's in every type of R4
    found += [(holder, "reference") for one in setting for holder in _objects_in(one.get("value"))]
    return tuple(
        ReferenceAt(holder, key, holder[key], "Reference", (), ("Binary", "data", None))
        for holder, key in found
        if isinstance(holder.get(key), str)
    )


def _objects_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from _objects_in(child)
    elif isinstance(value, list):
        for child in value:
            yield from _objects_in(child)


def _read(context: Context, request: FhirRequest, index: int, entry: dict[str, Any]) -> FhirRequest:
    """The request that an entry stands for. Raises Rejected, told of this entry."""
    _check_entry(context, index, entry)
    try:
        return request_of(context, entry, request)
    except Rejected as rejected:
        raise relocated(rejected, f"Bundle.entry[{index}]") from None


async def _run_batch(
    context: Context, request: FhirRequest, entries: list[dict[str, Any]], routes: Routes
) -> list[Entry]:
    """Each entry's answer, in their order; the work is done in FHIR's order of methods, several at once."""
    answers: list[Entry] = [Entry()] * len(entries)
    slots, made = asyncio.Semaphore(AT_ONCE_MAX), _made_by(entries)

    async def answer(index: int) -> None:
        async with slots:
            answers[index] = await _answer_alone(context, request, index, entries[index], made, routes)

    for phase in (*PHASES, None):
        wanted = [index for index, entry in enumerate(entries) if _phase(entry) == phase]
        async with asyncio.TaskGroup() as group:
            for index in wanted:
                group.create_task(answer(index))
    return answers


def _phase(entry: Any) -> frozenset[str] | None:
    """When the entry's turn is; None for one that is malformed."""
    asked = entry.get("request") if isinstance(entry, dict) else None
    method = asked.get("method") if isinstance(asked, dict) else None
    return next((phase for phase in PHASES if isinstance(method, str) and method in phase), None)


def _made_by(entries: list[Any]) -> frozenset[str]:
    """What entries that are yet to be given an id call themselves by."""
    urls = (entry.get("fullUrl") for entry in entries if isinstance(entry, dict))
    return frozenset(url for url in urls if isinstance(url, str) and url.startswith("urn:"))


def _check_apart(context: Context, body: Any, made: frozenset[str]) -> None:
    """Raise Rejected (400) where an entry of a batch refers to what another makes: each is on its own (R4 §3.1.0.11.1)."""
    if not made or not isinstance(body, dict | list):
        return
    issues = [
        Issue(
            Kind.INVALID,
            f"{at.value} is another entry's, which in a batch is on its own. Send them in a transaction.",
            at.path,
        )
        for at in _pointers(context, body)
        if at.kind == "Reference" and at.value in made
    ]
    if issues:
        raise Rejected(Refusal.BAD_REQUEST, *issues)


async def _answer_alone(
    context: Context, request: FhirRequest, index: int, entry: dict[str, Any], made: frozenset[str], routes: Routes
) -> Entry:
    context = context.of_entry(context.store)._replace(once=context.once and context.once.entry(index))
    trail = context.trail
    try:
        asked = _read(context, request, index, entry)
        if trail is not None:
            trail.understood(asked, "")
        try:
            _check_apart(context, asked.body, made)
            return response_entry(request.base, entry, await routes.run(context, asked))
        except Rejected as rejected:
            raise told_of_entry(rejected, f"Bundle.entry[{index}]", entry) from None
    except Rejected as rejected:
        return _refused(await told_to(trail, rejected))
    except Exception:  # noqa: BLE001 - the other entries are done, and are to be answered for
        return _refused(fault(request.request_id, request.method, "batch"))


def _refused(rejected: Rejected) -> Entry:
    return Entry(response={"status": status_text(status_of(rejected)), "outcome": outcome_of(rejected.issues)})


def response_entry(base: str, entry: dict[str, Any], answer: Answer) -> Entry:
    """The answer to `entry` as the entry of a response Bundle; that to a HEAD has no content."""
    if entry["request"]["method"] == "HEAD":
        answer = answer._replace(resource=None, bundle=None)
    response: dict[str, Any] = {"status": status_text(answer.status)}
    version = answer.version
    if version is not None:
        if answer.located:
            response["location"] = f"{base}/{version.key}/_history/{version.number}"
        response["etag"] = f'W/"{version.number}"'
        response["lastModified"] = instant_text(version.at)
    if answer.outcome is not None:
        response["outcome"] = answer.outcome
    if answer.bundle is not None:
        return Entry(resource=dumps(bundle_resource(answer.bundle)), response=response)
    full_url = f"{base}/{version.key}" if version is not None and answer.resource is not None else ""
    return Entry(full_url, answer.resource, response=response)
