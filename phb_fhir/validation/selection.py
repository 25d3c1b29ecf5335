"""Which profiles a resource is held against.

Those the caller asks for (the outermost resource alone), those the resource claims in `meta.profile`, and those that an
implementation guide here puts on every resource of the type. An unknown claim is a warning: the resource may well meet
that profile, only nobody here can say so.

R4 asks of every Observation with certain LOINC codes that it conforms to the vital signs profile of that code (R4
§10.1.5, observation-vitalsigns). One that does not claim to is told where it does not, as a warning: R4's own examples
are not all so strict.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from phb_fhir.definitions.trail import path_of
from phb_fhir.outcome import Issue, Kind, Severity
from phb_fhir.validation.frame import Frame
from phb_fhir.validation.places import Occurrence
from phb_fhir.validation.profile import plans_of
from phb_fhir.validation.wording import short

_LOINC = "http://loinc.org"
_VITAL_SIGNS = {
    "85353-1": "vitalspanel",
    "9279-1": "resprate",
    "8867-4": "heartrate",
    "2708-6": "oxygensat",
    "59408-5": "oxygensat",
    "8310-5": "bodytemp",
    "8302-2": "bodyheight",
    "9843-4": "headcircum",
    "29463-7": "bodyweight",
    "39156-5": "bmi",
    "85354-9": "bp",
}
PROFILES_MAX = 50  # claims of one resource that are looked at


def check_profiles(frame: Frame) -> None:
    """Hold a resource against its profiles."""
    resource = frame.resource
    here = Occurrence(resource, None, str(resource["resourceType"]), frame.at, None, frame)
    seen: set[str] = set()
    for canonical, is_claim in _profiles(frame):
        if canonical in seen or len(seen) >= PROFILES_MAX:
            continue
        seen.add(canonical)
        plan = plans_of(frame.known).plan(canonical)
        if plan is None:
            frame.issues.append(_unknown(canonical, frame, is_claim=is_claim))
        else:
            plan.hold(here, frame.issues)
    for canonical in set(_vital_signs(resource)) - seen:
        plan = plans_of(frame.known).plan(canonical)
        if plan is not None:
            found: list[Issue] = []
            plan.hold(here, found)
            frame.issues.extend(replace(issue, severity="warning") if issue.is_error else issue for issue in found)


def _vital_signs(resource: dict[str, Any]) -> Iterator[str]:
    code = resource.get("code") if resource["resourceType"] == "Observation" else None
    codings = code.get("coding") if type(code) is dict else None
    for coding in codings if type(codings) is list else ():
        if type(coding) is dict and coding.get("system") == _LOINC and type(coding.get("code")) is str:
            name = _VITAL_SIGNS.get(coding["code"])
            if name is not None:
                yield f"http://hl7.org/fhir/StructureDefinition/{name}"


def _profiles(frame: Frame) -> Iterator[tuple[str, bool]]:
    """Each profile, and whether it is only the resource itself that claims it."""
    if frame.outer is None:
        yield from ((canonical, False) for canonical in frame.run.asked)
    yield from ((canonical, True) for canonical in claimed(frame.resource))
    yield from ((canonical, False) for canonical in frame.known.global_profiles(frame.resource["resourceType"]))


def claimed(resource: dict[str, Any]) -> list[str]:
    """What `meta.profile` says, as far as it is a list of texts."""
    meta = resource.get("meta")
    listed = meta.get("profile") if type(meta) is dict else None
    return [claim for claim in listed if type(claim) is str] if type(listed) is list else []


def _unknown(canonical: str, frame: Frame, *, is_claim: bool) -> Issue:
    why = frame.known.structure_problem(canonical)
    where = (frame.at, "meta", None) if is_claim else frame.at
    if why:
        text = f"The resource was not held against the profile {short(canonical, 200)}. {why}"
    else:
        text = f"The profile {short(canonical, 200)} is not known here; the resource was not held against it."
    severity: Severity = "warning" if is_claim else "error"
    return Issue(Kind.NOT_FOUND, text, path_of((where, "profile", None) if is_claim else where), severity)
