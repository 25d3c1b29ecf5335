"""Answers that several interactions give alike."""

from __future__ import annotations

import structlog

from phb_fhir.change import Committed, Effect, Version
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.subset import subset_json
from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, outcome_of, refuse
from phb_fhir.search.parse import PRESENTATION
from phb_fhir.search.results import check_elements

PLACES_LOGGED_MAX = 5  # of one resource that was kept in spite of warnings
_log = structlog.get_logger("phb_fhir.validation")


def check_parameters(context: Context, request: FhirRequest, shown: str = "") -> None:
    """Raise Rejected (400) for any parameter that means nothing here. `shown` is the type of the answer, where the address does not tell.

    Lenient handling leaves the unknown out of a read; a write that dropped a condition would be another write.
    """
    if request.subset.summary == "count":
        text = "_summary=count counts what a search or a history finds; here there is one resource."
        raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, text)
    unknown = [name for name, _ in request.parameters if name not in PRESENTATION]
    if unknown and (request.handling == "strict" or request.method != "GET"):
        raise Rejected(
            Refusal.BAD_REQUEST,
            *(Issue(Kind.NOT_SUPPORTED, f"The parameter '{name}' has no meaning on this request.") for name in unknown),
        )
    if request.subset.elements and request.handling == "strict" and (type_ := shown or request.type):
        check_elements(request.subset.elements, (type_,), context.definitions)


def show(context: Context, request: FhirRequest, version: Version, status: int = 200) -> Answer:
    """A resource as it stands, or as much of it as was asked for."""
    if version.json is None:
        text = f"{version.key} was deleted (version {version.number}); a PUT to the same address brings it back."
        raise refuse(Refusal.GONE, Kind.DELETED, text)
    return Answer(status, subset_json(version.json, request.subset, context.definitions), version)


_WRITTEN = {
    Effect.CREATED: (201, "created"),
    Effect.UPDATED: (200, "updated"),
    Effect.UNCHANGED: (200, "left as it was: nothing in it changed"),
    Effect.MATCHED: (200, "there already, and was left as it is"),
}


async def written(context: Context, request: FhirRequest, committed: Committed) -> Answer:
    """The answer to a create, update or patch, as Prefer wants it (R4 §3.1.0.1.9)."""
    version = committed.version
    if version is None:
        raise ValueError("a write that leaves something behind has a version")
    status, said = _WRITTEN[committed.effect]
    if committed.advice and context.settings.validation_mode(version.type) == "warn":
        _log_kept(request, version, committed.advice)
    if request.returned == "minimal" or not await _is_read(context, committed.effect, version):
        return Answer(status, None, version, located=True)
    if request.returned == "OperationOutcome":
        done = Issue(Kind.INFORMATIONAL, f"{version.key} was {said}.", severity="information")
        outcome = outcome_of([done, *committed.advice])
        return Answer(status, None, version, located=True, outcome=outcome)
    json = None if version.json is None else subset_json(version.json, request.subset, context.definitions)
    return Answer(status, json, version, located=True)


async def _is_read(context: Context, effect: Effect, version: Version) -> bool:
    """Whether what a change left may be shown: what somebody may not read, they are shown only if they made it themselves."""
    access = context.access
    if access is None or effect is Effect.CREATED:
        return True
    is_shown = access.shows_plainly(version)
    if is_shown is None:
        seen = await context.reader.read_version(version.type, version.id, version.number)
        return seen is not None and seen.json == version.json
    return is_shown


def _log_kept(request: FhirRequest, version: Version, advice: tuple[Issue, ...]) -> None:
    """What would be refused in the mode "error", for whoever watches: where and of what kind, and nothing of the person."""
    found = [issue for issue in advice if issue.severity == "warning"]
    places = [f"{issue.kind.value} {issue.expression}" for issue in found[:PLACES_LOGGED_MAX]]
    if found:
        _log.warning("kept", request_id=request.request_id, key=version.key, warnings=len(found), places=places)


def deleted(request: FhirRequest, committed: Committed) -> Answer:
    """The answer to a delete: 204, or 200 with words where they were asked for. Of several, no one's version is told."""
    version = committed.version if committed.count <= 1 else None
    if request.returned != "OperationOutcome":
        return Answer(204, None, version)
    said = f"{committed.count} deleted." if committed.count else "There was nothing to delete."
    return Answer(
        200,
        None,
        version,
        outcome=outcome_of([Issue(Kind.INFORMATIONAL, said, severity="information")]),
    )
