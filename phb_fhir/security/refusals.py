"""The refusals of whoever is not signed in. Apart from what verifies tokens, so that whoever only tells of it need not load that."""

from __future__ import annotations

from phb_fhir.outcome import Issue, Kind, Refusal, Rejected

# R4's own code for it (http://hl7.org/fhir/operation-outcome), by which the edge tells "no token" from "a wrong token"
AUTH_REQUIRED = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/operation-outcome", "code": "MSG_AUTH_REQUIRED"}]
}


def no_token() -> Rejected:
    """The refusal of a request that shows no token, to be raised."""
    text = "This needs somebody to be signed in: send an access token, as Authorization: Bearer …"
    return Rejected(Refusal.UNAUTHENTICATED, Issue(Kind.LOGIN, text, details=AUTH_REQUIRED))


def not_trusted(sentence: str) -> Rejected:
    """The refusal of a token, to be raised. The sentence repeats nothing of what the token says."""
    return Rejected(Refusal.UNAUTHENTICATED, Issue(Kind.LOGIN, sentence))
