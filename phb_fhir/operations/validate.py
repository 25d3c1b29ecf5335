"""$validate: is this resource right, and would it be taken? (R4 operation Resource-validate)

The answer is 200 with an OperationOutcome whatever is found: every error, warning and advice, in the order of the document.
Only what could not be judged at all is refused: a body that is no JSON, inputs that are not the operation's, a stored
resource that is not there.

| mode | what is judged |
|---|---|
| none | the content: what was sent, or on an instance without any, what is stored |
| create | the content, and whether a create would find its If-None-Exist met |
| update | the content, and whether it may stand at this address: its id, and If-Match where that is sent |
| delete | no content: whether what is there may be deleted |
| profile | the content against the profiles named, one at least |

R4: "If a profile is nominated, and the server cannot validate against the nominated profile, it SHALL return an error." A
profile that is not known here is an error among the issues, so that what else is wrong is told as well. R4 takes one
profile; several may be named here. Nothing is held back for the client: a write may still be refused that was fine a moment
ago, when something else was written in between.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from phb_fhir.change import Delete, Put, Version
from phb_fhir.definitions.operation_inputs import Inputs, bad_input, read_inputs
from phb_fhir.fhir.codec import Resource, loads
from phb_fhir.interactions.apart import apart
from phb_fhir.interactions.commit import check_preconditions
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.joins import Joins
from phb_fhir.interactions.preconditions import conditions_of, criteria_in
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.subset import STORED_DEPTH_MAX
from phb_fhir.interactions.update import check_id
from phb_fhir.interactions.validation import judged
from phb_fhir.operations.asked import answered, instance_of, parameters_of, read_instance
from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, outcome_of, refuse

PROFILES_MAX = 50  # named in one call
_TAKES = {"resource": True, "mode": True, "profile": True}


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. `resource` is what was sent, `size` about how many bytes of it; None where nothing was."""

    resource: Resource | None
    profiles: tuple[str, ...]
    size: int


async def validate(context: Context, request: FhirRequest) -> Answer:
    """Raises Rejected: 400 for inputs that do not fit together, 404 or 410 for an instance that is not there."""
    known = context.known
    parameters = await apart(request.size, parameters_of, known, request, "$validate", body_is="resource")
    inputs = read_inputs("$validate", parameters, _TAKES, many=("profile",))
    mode = inputs.text("mode")
    if mode not in MODES:
        raise refuse(Refusal.BAD_REQUEST, Kind.VALUE, f"mode={mode}: it is one of {', '.join(filter(None, MODES))}.")
    asked = Asked(inputs.resource("resource"), _profiles(inputs), request.size)
    judge, good = MODES[mode]
    issues = await judge(context, request, asked)
    return answered(context, request, outcome_of(issues or [_said(good.format(type=request.type))]))


def _profiles(inputs: Inputs) -> tuple[str, ...]:
    profiles = tuple(dict.fromkeys(inputs.texts("profile")))
    if len(profiles) > PROFILES_MAX:
        raise refuse(Refusal.BAD_REQUEST, Kind.TOO_COSTLY, f"At most {PROFILES_MAX} profiles may be named at once.")
    return profiles


# ---- one for each mode --------------------------------------------------------------------------------------------------


async def _content(context: Context, request: FhirRequest, asked: Asked) -> list[Issue]:
    if asked.resource is None and instance_of(request):
        json = await read_instance(context, request)
        resource = await apart(len(json), loads, json, depth_max=STORED_DEPTH_MAX)
        asked = replace(asked, resource=resource, size=len(json))
    return await _judged(context, request, asked)


async def _profile(context: Context, request: FhirRequest, asked: Asked) -> list[Issue]:
    if not asked.profiles:
        raise bad_input("mode=profile needs the profile that is meant: profile=[url].")
    return await _content(context, request, asked)


async def _create(context: Context, request: FhirRequest, asked: Asked) -> list[Issue]:
    issues = await _judged(context, request, asked)
    own = _refusals(lambda: context.knowledge.check_own(asked.resource or {}))
    return [*_unserved(context, request, "create"), *own, *issues, *await _found_already(context, request)]


async def _found_already(context: Context, request: FhirRequest) -> list[Issue]:
    """What a conditional create would find (R4 §3.1.0.8.1)."""
    if not request.headers.if_none_exist:
        return []
    criteria = criteria_in(context, request.type, request.headers.if_none_exist)
    found = await Joins(context.reader, context.asking()).matching(criteria.query, count=2)
    if len(found) > 1:
        text = f"{criteria.text} matches more than one {request.type}, so a create with this If-None-Exist is refused."
        return [Issue(Kind.MULTIPLE_MATCHES, text)]
    return [_said(f"{version.key} matches {criteria.text}; a create would make nothing new.") for version in found]


async def _update(context: Context, request: FhirRequest, asked: Asked) -> list[Issue]:
    _check_instance(request, "update")
    current = await context.reader.read(request.type, instance_of(request))
    issues = await _judged(context, request, asked, current)
    resource = asked.resource or {}
    given = resource.get("id", "")
    id_issues = _refusals(lambda: check_id(request, given if isinstance(given, str) else ""))
    put = Put(
        request.type,
        instance_of(request),
        resource,
        *conditions_of(request),
    )
    own = _refusals(lambda: context.knowledge.check_own(resource))
    return [*_unserved(context, request, "update"), *id_issues, *own, *issues, *_of_current(context, put, current)]


async def _delete(context: Context, request: FhirRequest, asked: Asked) -> list[Issue]:
    _check_instance(request, "delete")
    if asked.profiles:
        raise bad_input("mode=delete looks at no content, so no profile can be meant.")
    await read_instance(context, request)  # what is not there cannot be deleted
    current = await context.reader.read(request.type, instance_of(request))
    change = Delete(
        request.type,
        instance_of(request),
        *conditions_of(request),
    )
    return [*_unserved(context, request, "delete"), *_of_current(context, change, current)]


def _of_current(context: Context, change: Put | Delete, current: Version | None) -> list[Issue]:
    """What of the stored version stands in the way. Whether If-Match must be sent at all is for the write to say."""
    issues = _refusals(lambda: check_preconditions(change, current, versioned=()))
    if current is not None:
        issues += _refusals(lambda: context.knowledge.check_guide(current))
    return issues


Judge = Callable[[Context, FhirRequest, Asked], Awaitable[list[Issue]]]

# ResourceValidationMode (http://hl7.org/fhir/resource-validation-mode), and what is said where nothing is wrong
MODES: dict[str, tuple[Judge, str]] = {
    "": (_content, "Nothing was found wrong with this {type}."),
    "create": (_create, "Nothing was found wrong with this {type}; it could be created."),
    "update": (_update, "Nothing was found wrong with this {type}; it could be stored here."),
    "delete": (_delete, "This {type} could be deleted."),
    "profile": (_profile, "Nothing was found wrong with this {type}; it meets what was named."),
}


async def _judged(context: Context, request: FhirRequest, asked: Asked, current: Version | None = None) -> list[Issue]:
    """As a write would judge it, and with what a write does not say."""
    if asked.resource is None:
        raise bad_input("There is no resource to be judged: send it as the body, or as the parameter resource.")
    return await judged(context, asked.resource, request.type, asked.profiles, current=current, size=asked.size)


def _check_instance(request: FhirRequest, mode: str) -> None:
    """R4: "Modes update and delete can only be used when the operation is invoked at the resource instance level"."""
    if not instance_of(request):
        raise bad_input(f"mode={mode} is asked of one resource: /{request.type}/[id]/$validate.")


def _unserved(context: Context, request: FhirRequest, interaction: str) -> list[Issue]:
    if context.capability.promises(request.type, interaction):
        return []
    return [Issue(Kind.NOT_SUPPORTED, f"This server does not {interaction} a {request.type}.")]


def _refusals(check: Callable[[], None]) -> list[Issue]:
    """What a write would be refused for, as issues."""
    try:
        check()
    except Rejected as rejected:
        return list(rejected.issues)
    return []


def _said(text: str) -> Issue:
    return Issue(Kind.INFORMATIONAL, text, severity="information")
