"""What can go wrong, as values.

A check returns a list of `Issue`; whoever must stop raises one `Rejected` holding them. Nothing here knows HTTP:
`wire/errors` turns a kind into a status and the issues into an OperationOutcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

Severity = Literal["fatal", "error", "warning", "information"]


class Kind(Enum):
    """Why something was refused. The value is FHIR's IssueType code (http://hl7.org/fhir/issue-type)."""

    # the content itself is wrong
    INVALID = "invalid"
    STRUCTURE = "structure"
    REQUIRED = "required"
    VALUE = "value"
    INVARIANT = "invariant"
    CODE_INVALID = "code-invalid"
    EXTENSION = "extension"
    # who is asking
    LOGIN = "login"
    FORBIDDEN = "forbidden"
    # the request does not fit what is there, or what we do
    NOT_SUPPORTED = "not-supported"
    NOT_FOUND = "not-found"
    DELETED = "deleted"
    DUPLICATE = "duplicate"
    MULTIPLE_MATCHES = "multiple-matches"
    CONFLICT = "conflict"
    BUSINESS_RULE = "business-rule"
    TOO_LONG = "too-long"
    TOO_COSTLY = "too-costly"
    # it is us, not you
    EXCEPTION = "exception"
    TIMEOUT = "timeout"
    TRANSIENT = "transient"
    NO_STORE = "no-store"
    THROTTLED = "throttled"
    INFORMATIONAL = "informational"


class Refusal(Enum):
    """How a whole request was refused, where the issue type alone does not say it. `wire/errors` maps each to a status."""

    BAD_REQUEST = "the request could not be understood"
    UNAUTHENTICATED = "nobody is signed in"
    FORBIDDEN = "this may not be done"
    OUT_OF_SCOPE = "the token does not let this be done"
    NOT_FOUND = "there is no such thing"
    METHOD_NOT_ALLOWED = "this cannot be done here"
    NOT_ACCEPTABLE = "the answer is not to be had in that form"
    CONFLICT = "it collides with what is there"
    GONE = "it was deleted"
    PRECONDITION_FAILED = "a stated condition does not hold"
    TOO_LARGE = "it is larger than this server takes"
    UNSUPPORTED_MEDIA_TYPE = "the body is not in a form this server reads"
    UNSUPPORTED_ENCODING = "the body is packed in a way this server does not unpack"
    UNPROCESSABLE = "it was understood, and is not right"
    TOO_MANY = "this client asks too often"
    INTERNAL = "the server failed"
    UNAVAILABLE = "the server cannot answer just now"


@dataclass(frozen=True, slots=True)
class Issue:
    """One problem: its kind, a sentence for a person, and where it is.

    `expression` is a FHIRPath such as `CarePlan.activity[2].detail.scheduledPeriod.start` (FHIR R4 §2.20.2), empty where
    no element is at fault. `details` is an optional CodeableConcept for machines.
    """

    kind: Kind
    text: str
    expression: str = ""
    severity: Severity = "error"
    details: dict[str, Any] | None = None

    @property
    def is_error(self) -> bool:
        return self.severity in ("fatal", "error")


class Rejected(Exception):  # noqa: N818 - a refusal is not an error of ours
    """A request refused, with its reasons. Raised once; caught where the answer is written."""

    def __init__(self, refusal: Refusal, *issues: Issue) -> None:
        super().__init__(refusal.value, *(issue.text for issue in issues))
        self.refusal = refusal
        self.issues = issues


def refuse(refusal: Refusal, kind: Kind, text: str, expression: str = "") -> Rejected:
    """The refusal for one reason, to be raised."""
    return Rejected(refusal, Issue(kind, text, expression))


TEXT_MAX = 4_000  # characters of a sentence: what somebody sent is not sent back whole, however long it was


def outcome_of(issues: list[Issue] | tuple[Issue, ...]) -> dict[str, Any]:
    """The OperationOutcome resource that says these issues (FHIR R4 §2.20)."""
    return {"resourceType": "OperationOutcome", "issue": [_issue_element(issue) for issue in issues]}


def _issue_element(issue: Issue) -> dict[str, Any]:
    text = issue.text if len(issue.text) <= TEXT_MAX else f"{issue.text[:TEXT_MAX]}…"
    element: dict[str, Any] = {"severity": issue.severity, "code": issue.kind.value}
    element["details"] = {**(issue.details or {}), "text": text}
    element["diagnostics"] = text
    if issue.expression:
        element["expression"] = [issue.expression]
    return element
