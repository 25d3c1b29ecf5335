"""Which profiles a resource is held against.

Those the caller asks for (the outermost resource alone), those that govern the resource by what it is (`governed`), those
that an implementation guide here puts on every resource of the type, and those the resource claims in `meta.profile`. An
unknown claim is a warning: the resource may well meet that profile, only nobody here can say so.

The mode of the run says what becomes of problems: "error" leaves them as they are, "warn" makes errors warnings, "off"
does not look. What the caller asks for is always looked at, and so are the rules of the type itself: the mode is about
profiles alone.

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
from phb_fhir.validation.governed import claimed, governance_of, governing
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
    if frame.outer is None:
        for canonical in frame.run.asked:
            _hold(canonical, here, seen, frame.issues, is_claim=False)
    if frame.run.mode == "off":
        return
    found: list[Issue] = []
    # what nobody may leave out goes first: however much else is claimed, there is room for it
    claims = claimed(resource)
    governance = governance_of(frame.known)
    rows = governance.of(resource["resourceType"])
    ruling = (*governing(frame), *frame.known.global_profiles(resource["resourceType"]))
    if rows is not None:  # who reads for us does not ask again about what the resource claims
        ruling = (*ruling, *(claim for claim in claims if claim in rows.names))
    covered = governance.covered((*ruling, *claims)) if ruling else ()
    for canonical in ruling:
        if canonical not in covered:
            _hold(canonical, here, seen, found, is_claim=False)
    for canonical in claims:
        if canonical not in covered and len(seen) < PROFILES_MAX:
            _hold(canonical, here, seen, found, is_claim=True)
    frame.issues.extend(found if frame.run.mode == "error" else _as_warnings(found))
    for canonical in set(_vital_signs(resource)) - seen:
        signs: list[Issue] = []
        _hold(canonical, here, seen, signs, is_claim=True)
        is_told_only = frame.run.keeps_unknown or resource.get("status") == "entered-in-error"
        frame.issues.extend(_as_warnings(signs) if is_told_only else signs)


def _hold(canonical: str, here: Occurrence, seen: set[str], issues: list[Issue], *, is_claim: bool) -> None:
    """Hold a resource against one profile, once. `is_claim`: only the resource itself says that it conforms."""
    frame = here.frame
    name = canonical
    if "|" in canonical:  # one profile, though two names were given to it
        plain = canonical.partition("|")[0]
        published = frame.known.find("StructureDefinition", canonical)
        name = plain if published is frame.known.find("StructureDefinition", plain) else canonical
    if name in seen:
        return
    seen.add(name)
    plan = plans_of(frame.known).plan(canonical)
    if plan is None:
        issues.append(_unknown(canonical, frame, is_claim=is_claim))
    else:
        plan.hold(here, issues)


def _as_warnings(issues: list[Issue]) -> list[Issue]:
    return [replace(issue, severity="warning") if issue.is_error else issue for issue in issues]


def _vital_signs(resource: dict[str, Any]) -> Iterator[str]:
    code = resource.get("code") if resource["resourceType"] == "Observation" else None
    codings = code.get("coding") if type(code) is dict else None
    for coding in codings if type(codings) is list else ():
        if type(coding) is dict and coding.get("system") == _LOINC and type(coding.get("code")) is str:
            name = _VITAL_SIGNS.get(coding["code"])
            if name is not None:
                yield f"http://hl7.org/fhir/StructureDefinition/{name}"


def _unknown(canonical: str, frame: Frame, *, is_claim: bool) -> Issue:
    why = frame.known.structure_problem(canonical)
    where = ((frame.at, "meta", None), "profile", _index(canonical, frame.resource)) if is_claim else frame.at
    if why:
        text = f"The resource was not held against the profile {short(canonical, 200)}. {why}"
    else:
        text = f"The profile {short(canonical, 200)} is not known here; the resource was not held against it."
    severity: Severity = "warning" if is_claim else "error"
    return Issue(Kind.NOT_FOUND, text, path_of(where), severity)


def _index(canonical: str, resource: dict[str, Any]) -> int | None:
    """Which of the claims it is; None for one that R4 makes for the resource."""
    claims: list[Any] = resource["meta"]["profile"] if canonical in claimed(resource) else []
    return claims.index(canonical) if claims else None
