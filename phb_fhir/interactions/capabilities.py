"""capabilities: `/metadata` (R4 §3.1.0.10), the statement that the routes were read from.

Beside what the file says, it has what the settings decide, the search parameters that a deployment stored, and what can be
included: that follows from the reference parameters of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from phb_fhir import __version__
from phb_fhir.definitions.capability import Capability, WrongCapability
from phb_fhir.definitions.load import SearchParameter
from phb_fhir.definitions.search_parameters import SearchParameters
from phb_fhir.fhir.codec import dumps
from phb_fhir.interactions.answers import check_parameters
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.subset import subset_json
from phb_fhir.interactions.terminologies import terminology_capabilities
from phb_fhir.interactions.validation import CLOSED_TYPES, is_closed
from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.security.advertised import Advertised
from phb_fhir.settings import Mode, Settings, modes_of

WITHOUT_DEFINITION = frozenset(("_has", "_list"))  # R4 §3.1.1 describes them; no SearchParameter does
_ELSEWHERE = frozenset(("_content", "_filter", "_text"))  # and these have no expression
_LEAST = "Basic"  # a type with all that every type has, narrative too
OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
SECURITY_SERVICES = "http://terminology.hl7.org/CodeSystem/restful-security-service"
_OAUTH_URIS = (  # its parts, and what OAuth's own metadata calls them
    ("authorize", "authorization_endpoint"),
    ("token", "token_endpoint"),
    ("register", "registration_endpoint"),
    ("manage", "management_endpoint"),
    ("introspect", "introspection_endpoint"),
    ("revoke", "revocation_endpoint"),
)
_GUIDE = "https://fhir.phb.nhs.example/StructureDefinition"
VALIDATION_MODE = f"{_GUIDE}/phb-validation-mode"
PHB_ONLY = f"{_GUIDE}/phb-only"


def check_promised(promised: Capability, shipped: SearchParameters) -> None:
    """Raise WrongCapability when the statement promises a search parameter that is not built, or not as it is defined."""
    rest = promised.statement["rest"][0]
    for type_, row in (("", rest), *((row["type"], row) for row in rest["resource"])):
        known = shipped.of(type_ or _LEAST)
        for entry in row.get("searchParam", []):
            if why := _why_not(entry, known.get(entry["name"]), is_shared=not type_):
                where = type_ or "every type"
                raise WrongCapability(
                    f"capability_statement.json promises to search {where} by {entry['name']}, {why}."
                )


def _why_not(entry: dict[str, Any], parameter: SearchParameter | None, *, is_shared: bool) -> str:
    if is_shared and entry["name"] in WITHOUT_DEFINITION:
        return "" if entry["type"] == "special" and "definition" not in entry else "which no SearchParameter defines"
    if parameter is None or not (parameter.expression or parameter.code in _ELSEWHERE):
        return "which is not built"
    defined = (parameter.url, parameter.type)
    as_said = (entry.get("definition", parameter.url), entry["type"])
    return "" if as_said == defined else f"which is a {parameter.type} parameter, defined by {parameter.url}"


async def capabilities(context: Context, request: FhirRequest) -> Answer:
    """The CapabilityStatement, with the running software's version and address; or what its `mode` asks for beside."""
    mode = dict(request.parameters).get("mode") or "full"
    if mode not in ("full", "normative", "terminology"):
        why = f"mode={mode}: it is one of full, normative, terminology."
        raise refuse(Refusal.BAD_REQUEST, Kind.NOT_SUPPORTED, why)
    request = _without_mode(request)
    if mode == "terminology":
        return terminology_capabilities(context, request)
    check_parameters(context, request, "CapabilityStatement")
    advertised = await context.advertised()

    def make() -> bytes:
        written = dumps(statement(context, request.base, advertised))
        return subset_json(written, request.subset, context.definitions)

    text = context.statements.text(context.parameters, advertised, (request.base, request.subset), make)
    return Answer(200, text, is_kept=True)


def statement(context: Context, base: str, advertised: Advertised | None = None) -> dict[str, Any]:
    """The statement as served at `base`, with what the settings decide (versioning, the modes of validation, whether some
    types are taken as PHB resources alone), with what a deployment can be searched by, and with how clients sign in.
    """
    written = context.capability.statement
    rest = written["rest"][0]
    return {
        **written,
        "software": {**written["software"], "version": __version__},
        "implementation": {**written["implementation"], "url": base},
        "rest": [{**_rest(rest, context), **({} if advertised is None else {"security": _security(advertised)})}],
    }


def _rest(rest: dict[str, Any], context: Context) -> dict[str, Any]:
    settings = context.settings
    said = [rest["documentation"], *_said(settings)]
    mode = settings.validation_mode("*")
    included = _included(context)
    rows = [_searched(_row(row, settings), context, included) for row in rest["resource"]]
    told = {
        "documentation": " ".join(said),
        "resource": rows,
        "searchParam": [*rest["searchParam"], *_own(context, "")],
    }
    return {"extension": [_mode(mode)], **rest, **told}


def _said(settings: Settings) -> list[str]:
    """For a person, what is not as everywhere."""
    modes = modes_of(settings.validation_modes)
    ways = {
        "warn": "is kept, and its problems are told of as warnings",
        "off": "is kept: it is not held against profiles",
        "error": "is refused",
    }
    said = [
        f"What breaks a rule of a profile {ways[mode]}{'' if type_ == '*' else f', if it is a {type_}'}."
        for type_, mode in sorted(modes.items())
    ]
    if settings.only_phb_resources:
        said.append(f"Of these types, PHB resources alone are taken: {', '.join(sorted(CLOSED_TYPES))}.")
    return said


def _row(row: dict[str, Any], settings: Settings) -> dict[str, Any]:
    extensions = []
    if row["type"] in modes_of(settings.validation_modes):
        extensions.append(_mode(settings.validation_mode(row["type"])))
    if is_closed(settings, row["type"]):
        extensions.append({"url": PHB_ONLY, "valueBoolean": True})
    versioning = {"versioning": "versioned-update"} if row["type"] in settings.versioned_update else {}
    return {**({"extension": extensions} if extensions else {}), **row, **versioning}


# ---- what it is searched by, and what comes with that ----------------------------------------------------------------


def _searched(row: dict[str, Any], context: Context, included: _Included) -> dict[str, Any]:
    """A type's row with the parameters of a deployment's own among the others, and with what it can be joined with."""
    type_ = row["type"]
    listed = [*row.get("searchParam", []), *_own(context, type_)]
    outward, inward = included.outward.get(type_, []), included.inward.get(type_, [])
    return {
        **{name: value for name, value in row.items() if name not in ("searchParam", "operation")},
        **({"searchInclude": ["*", *outward]} if outward else {}),
        **({"searchRevInclude": inward} if inward else {}),
        "searchParam": sorted(listed, key=lambda parameter: parameter["name"]),
        **({"operation": row["operation"]} if "operation" in row else {}),
    }


def _own(context: Context, type_: str) -> Iterator[dict[str, Any]]:
    """The search parameters of a type ("": of every type) that came neither with FHIR nor with the guide."""
    shipped, known = (
        parameters.of(type_) if type_ else parameters.shared(())
        for parameters in (context.knowledge.own_parameters, context.parameters)
    )
    for code, parameter in known.items():
        if code not in shipped:
            listed = {"name": code, "definition": parameter.url, "type": parameter.type}
            yield listed | ({"documentation": parameter.description} if parameter.description else {})


class _Included(NamedTuple):
    """By type, what `_include` and `_revinclude` lead to from it: `Task:owner`."""

    outward: Mapping[str, list[str]]
    inward: Mapping[str, list[str]]


def _included(context: Context) -> _Included:
    outward: dict[str, list[str]] = {}
    inward: dict[str, list[str]] = {}
    served = context.capability.types
    for type_ in sorted(served):
        for code in sorted(context.promised(type_)):
            parameter = context.parameters.of(type_).get(code)
            if parameter is None or parameter.type != "reference":
                continue
            outward.setdefault(type_, []).append(f"{type_}:{code}")
            for target in served.intersection(parameter.target) if parameter.target else served:
                inward.setdefault(target, []).append(f"{type_}:{code}")
    return _Included(outward, inward)


# ---- how clients sign in ---------------------------------------------------------------------------------------------


def _security(advertised: Advertised) -> dict[str, Any]:
    """`rest.security` as SMART App Launch asks for it: the service, and where it is (its extension oauth-uris)."""
    uris = [
        {"url": name, "valueUri": advertised.server[endpoint]}
        for name, endpoint in _OAUTH_URIS
        if endpoint in advertised.server
    ]
    code = "SMART-on-FHIR" if advertised.issuers else "OAuth"
    told = "Every request but those for this statement and for .well-known/smart-configuration needs a bearer token"
    return {
        **({"extension": [{"url": OAUTH_URIS, "extension": uris}]} if uris else {}),
        "cors": True,
        "service": [{"coding": [{"system": SECURITY_SERVICES, "code": code, "display": code}]}],
        "description": f"{told} of {' or '.join(advertised.issuers) or 'this machine'}, in its Authorization header.",
    }


def _mode(mode: Mode) -> dict[str, Any]:
    return {"url": VALIDATION_MODE, "valueCode": mode}


def _without_mode(request: FhirRequest) -> FhirRequest:
    return request._replace(parameters=tuple(pair for pair in request.parameters if pair[0] != "mode"))
