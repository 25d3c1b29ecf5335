"""A fault of ours: the log gets all of it, the client one sentence with the id under which the log has the rest."""

from __future__ import annotations

import structlog

from phb_fhir.outcome import Issue, Kind, Refusal, Rejected

_log = structlog.get_logger("phb_fhir.request")


def fault(request_id: str, method: str, interaction: str) -> Rejected:
    """Log the exception that is being handled; the refusal to answer with. No stack trace leaves this house."""
    _log.exception("fault", request_id=request_id, method=method, interaction=interaction)
    text = f"The server met a fault of its own. Nothing is known to be wrong with your request; the log has it under {request_id}."
    return Rejected(Refusal.INTERNAL, Issue(Kind.EXCEPTION, text, severity="fatal"))
