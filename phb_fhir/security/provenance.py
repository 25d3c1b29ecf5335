"""Provenance of a change (profile phb-provenance): who made these versions, for whom, when and why.

Where somebody is signed in, every request that changes something leaves one, written with the change. A client may send one of
its own with the change, in the header `X-Provenance` (R4 §6.3.4, "Provenance and HTTP"): then that is stored, its target filled in with the versions
that came of it, `recorded` with the time at which that was, and who was really signed in is an agent in it too, so that nobody writes as
somebody else, or on another day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.outcome import Issue, Kind
from phb_fhir.security.audit import Who
from phb_fhir.security.audit_event import authority_of, purpose_of, reference_to, role_of

PROFILE = "https://fhir.phb.nhs.example/StructureDefinition/phb-provenance"
HEADER = "X-Provenance"
_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"

Activity = Literal["CREATE", "UPDATE", "DELETE"]
_DISPLAY: dict[Activity, str] = {"CREATE": "create", "UPDATE": "revise", "DELETE": "delete"}


class Made(NamedTuple):
    """One version that a request made: `Account/1`, its number, what was done, and the number of the version before (0: none)."""

    key: str
    number: int
    activity: Activity
    before: int = 0

    @property
    def reference(self) -> str:
        return f"{self.key}/_history/{self.number}"


def build_provenance(made: Sequence[Made], who: Who, recorded: str, purpose: str = "") -> Resource:
    """The Provenance of what a request changed, for whom is signed in. `recorded` is an instant."""
    said: Resource = {
        "resourceType": "Provenance",
        "meta": {"profile": [PROFILE]},
        "target": _targets(made),
        "recorded": recorded,
    }
    if reasons := _reasons(who, purpose):
        said["reason"] = reasons
    said["activity"] = _activity(made)
    said["agent"] = [agent(who)]
    if before := [one for one in made if one.before]:
        said["entity"] = [_revision(one) for one in before]
    return said


def complete(sent: Resource, made: Sequence[Made], who: Who | None, recorded: str, purpose: str = "") -> Resource:
    """The Provenance that a client sent, its target filled in, `recorded` now; with `who` is signed in among its agents, if anybody is.

    The time that the client says is when it was done, where it says no other (`occurred[x]`).
    """
    said = {**sent, "target": _targets(made), "recorded": recorded}
    if "recorded" in sent and not {"occurredDateTime", "occurredPeriod"} & sent.keys():
        said["occurredDateTime"] = sent["recorded"]
    if who is not None and isinstance(sent.get("agent", []), list):
        said["agent"] = [*sent.get("agent", ()), agent(who)]
        if not sent.get("reason") and (reasons := _reasons(who, purpose)):
            said["reason"] = reasons
    return said


def check_sent(sent: Resource, made: Sequence[Made]) -> list[Issue]:
    """What is wrong with a client's Provenance beside its content: a target that this request does not write."""
    if sent.get("resourceType") != "Provenance":
        return [Issue(Kind.INVALID, f"{HEADER} holds a Provenance as JSON; this is none.", "Provenance")]
    keys = {one.key for one in made} | {one.reference for one in made}
    return [
        Issue(
            Kind.BUSINESS_RULE,
            f"{HEADER} is about what its own request writes, and that is not {reference}. "
            "Leave the target out: the server fills it in.",
            f"Provenance.target[{index}]",
        )
        for index, reference in _given(sent.get("target"))
        if not any(reference == key or reference.endswith(f"/{key}") for key in keys)
    ]


def _given(targets: Any) -> Iterator[tuple[int, str]]:
    for index, target in enumerate(targets if isinstance(targets, list) else ()):
        reference = target.get("reference") if isinstance(target, dict) else None
        yield index, reference if isinstance(reference, str) else "something without a reference"


def _targets(made: Sequence[Made]) -> list[dict[str, str]]:
    return [{"reference": one.reference} for one in made]


def _activity(made: Sequence[Made]) -> dict[str, Any]:
    done = list(dict.fromkeys(one.activity for one in made))
    codings = [{"system": _OPERATION, "code": code, "display": _DISPLAY[code]} for code in done]
    return {"coding": codings} if len(codings) == 1 else {"text": ", ".join(_DISPLAY[code] for code in done)}


def _revision(one: Made) -> dict[str, Any]:
    return {"role": "revision", "what": {"reference": f"{one.key}/_history/{one.before}"}}


def _reasons(who: Who, purpose: str) -> list[dict[str, Any]]:
    if purpose:
        return [purpose_of(purpose)]
    # what a representative does for the person has a reason (phb-prov-1, R168)
    return [{"text": "On behalf of the person, by their consent"}] if who.role in BY_CONSENT else []


BY_CONSENT = ("delegate", "broker", "peer-supporter")  # who acts for a person because a Consent lets them


def agent(who: Who) -> dict[str, Any]:
    """Whoever is signed in, as an agent: by role, and for whom."""
    coding = {"system": _PARTICIPANT, "code": "author", "display": "Author"}
    found: dict[str, Any] = {"type": {"coding": [coding]}}
    if who.role:
        found["role"] = [role_of(who.role)]
    found["who"] = reference_to(who)
    if who.role in BY_CONSENT and who.patient:
        found["onBehalfOf"] = {"reference": f"Patient/{who.patient}"}
    elif organization := authority_of(who):
        found["onBehalfOf"] = organization
    return found
