"""capabilities: `/metadata` (R4 §3.1.0.10), the statement that the routes were read from."""

from __future__ import annotations

from typing import Any

from phb_fhir import __version__
from phb_fhir.fhir.codec import dumps
from phb_fhir.interactions.answers import check_parameters
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.subset import subset_json
from phb_fhir.interactions.validation import CLOSED_TYPES, is_closed
from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.settings import Mode, Settings, modes_of

_GUIDE = "https://fhir.phb.nhs.example/StructureDefinition"
VALIDATION_MODE = f"{_GUIDE}/phb-validation-mode"
PHB_ONLY = f"{_GUIDE}/phb-only"


async def capabilities(context: Context, request: FhirRequest) -> Answer:
    """The CapabilityStatement, with the running software's version and address."""
    mode = dict(request.parameters).get("mode", "full")
    if mode not in ("full", "normative"):
        raise refuse(Refusal.BAD_REQUEST, Kind.NOT_SUPPORTED, f"mode={mode}: this server answers full and normative.")
    check_parameters(_without_mode(request))
    return Answer(200, subset_json(dumps(statement(context, request.base)), request.subset, context.definitions))


def statement(context: Context, base: str) -> dict[str, Any]:
    """The statement as served at `base`, with what the settings decide: versioning, the modes of validation, and whether
    some types are taken as PHB resources alone.
    """
    written = context.capability.statement
    rest = written["rest"][0]
    return {
        **written,
        "software": {**written["software"], "version": __version__},
        "implementation": {**written["implementation"], "url": base},
        "rest": [_rest(rest, context.settings)],
    }


def _rest(rest: dict[str, Any], settings: Settings) -> dict[str, Any]:
    said = [rest["documentation"], *_said(settings)]
    mode = settings.validation_mode("*")
    rows = [_row(row, settings) for row in rest["resource"]]
    return {"extension": [_mode(mode)], **rest, "documentation": " ".join(said), "resource": rows}


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


def _mode(mode: Mode) -> dict[str, Any]:
    return {"url": VALIDATION_MODE, "valueCode": mode}


def _without_mode(request: FhirRequest) -> FhirRequest:
    return request._replace(parameters=tuple(pair for pair in request.parameters if pair[0] != "mode"))
