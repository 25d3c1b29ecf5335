"""HTTP statuses, in this one file: for each way to be refused, and in words for a Bundle's `entry.response.status`."""

from __future__ import annotations

from http import HTTPStatus

from phb_fhir.outcome import Refusal, Rejected

REFUSED: dict[Refusal, int] = {
    Refusal.BAD_REQUEST: 400,
    Refusal.UNAUTHENTICATED: 401,
    Refusal.FORBIDDEN: 403,
    Refusal.OUT_OF_SCOPE: 403,
    Refusal.NOT_FOUND: 404,
    Refusal.METHOD_NOT_ALLOWED: 405,
    Refusal.NOT_ACCEPTABLE: 406,
    Refusal.CONFLICT: 409,
    Refusal.GONE: 410,
    Refusal.PRECONDITION_FAILED: 412,
    Refusal.TOO_LARGE: 413,
    Refusal.UNSUPPORTED_MEDIA_TYPE: 415,
    Refusal.UNSUPPORTED_ENCODING: 415,
    Refusal.UNPROCESSABLE: 422,
    Refusal.TOO_MANY: 429,
    Refusal.INTERNAL: 500,
    Refusal.UNAVAILABLE: 503,
}


def status_of(rejected: Rejected) -> int:
    return REFUSED[rejected.refusal]


def status_text(status: int) -> str:
    """`201 Created`: how an entry's response says it."""
    return f"{status} {HTTPStatus(status).phrase}"
