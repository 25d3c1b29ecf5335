"""Who is asking: what a verified token says, put into the words that the policy and the audit trail speak.

An `Actor` is made once from a token (`claims`), is never changed, and holds nothing that was not verified. Where a token knows
somebody by a national identifier (an NHS number, an ODS code), it stands here as it came: which Patient or Organization here
that is, only the record can tell, and it is asked at each request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal[
    "person",
    "delegate",
    "care-coordinator",
    "nhs-team",
    "broker",
    "peer-supporter",
    "commissioner",
    "provider",
    "practice",
    "finance",
    "analyst",
    "auditor",
    "system",
]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Scope:
    """One SMART scope that names a resource type (SMART App Launch 2, "Scopes for requesting FHIR resources").

    `type` is "*" for all types; `permissions` are letters of "cruds"; `criteria` narrow it (`patient/Observation.rs?category=…`),
    as decoded parameters of a search, in order.
    """

    context: Literal["patient", "user", "system"]
    type: str
    permissions: frozenset[str]
    criteria: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is asking.

    `issuer` and `subject` name the account that signed in, `client` the application, `name` the person for other people. `role` is
    "" where the token names none that is known here, which is then nobody's. `user` is the local reference of whoever signed in
    (`Practitioner/x`, `Patient/x`, `RelatedPerson/x`), `patient` the id of the Patient of the launch context, `organization` the local
    reference of the organisation acted for; `user_identifier`, `nhs_number` and `ods_code` are the same by national identifiers
    (`system|value`, ten digits, an ODS code). `purpose` is a purpose of use (v3 ActReason code) that the token itself states.
    `expires` and `issued` are in seconds since 1970, `issued` 0 where the token does not say both. `token_id` names the token without being it: its `jti`, or a digest.
    """

    issuer: str
    subject: str
    role: Role | Literal[""] = ""
    client: str = ""
    name: str = ""
    user: str = ""
    user_identifier: str = ""
    patient: str = ""
    nhs_number: str = ""
    organization: str = ""
    ods_code: str = ""
    scopes: tuple[Scope, ...] = ()
    purpose: str = ""
    expires: float = 0.0
    issued: float = 0.0
    token_id: str = ""
