"""From what an issuer says to who is asking: one mapper for each kind of issuer.

* `generic`: the issuer says it in claims of its own, whose names and values the configuration gives.
* `nhs-login`: a person, known by an NHS number, whose identity NHS login has proved to level P9. Anything less is no access.
* `cis2`: a member of staff, in the one role they selected out of `nhsid_nrbac_roles` (scope nationalrbacaccess), for the
  organisation of that role.

What is not understood is left empty, which grants nothing. What must be there and is not is refused. A backend service is the
application itself: what it is stands in the configuration, under its client id.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from nhs_number.validate import is_valid

from phb_fhir.fhir.reference import is_id
from phb_fhir.security.actor import ROLES, Actor, Role, Scope
from phb_fhir.security.refusals import not_trusted
from phb_fhir.security.scopes import names_resources, narrowed, parse_scopes
from phb_fhir.security.trusted import Client, Issuer, Mapper, Names

NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
SDS_USER_ID = "https://fhir.nhs.uk/Id/sds-user-id"
USER_TYPES = ("Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person", "Organization")
PROOFING_LEVEL = "P9"

# who they are is all that gives them anything: whoever is said to be somebody elsewhere is not the patient they were launched with
_THEMSELVES = ("person", "delegate", "peer-supporter")
_TEXT_MAX = 200
_SUBJECT_MAX = 255
_NOBODY = Client()
_CODE = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)
_ODS_CODE = re.compile(r"[A-Z0-9]{3,10}", re.ASCII)
_SDS_ID = re.compile(r"[0-9]{6,20}", re.ASCII)
_TEN_DIGITS = re.compile(r"[0-9]{10}", re.ASCII)
_AAL = re.compile(r"AAL([1-3])(?:_.*)?", re.ASCII)

Claims = Mapping[str, Any]
Known = dict[str, Any]  # fields of an Actor


def actor_of(
    issuer: Issuer, claims: Claims, *, token: str, expires: float, base: str, said: Claims = MappingProxyType({})
) -> Actor:
    """Who holds a token with these verified claims. `base` is this server's own address. Raises Rejected.

    `said` is what introspection says of a JWT: what that lets it do, it does, and no more than it says itself (RFC 7662 §2.2).
    """
    client_id = _text(_at(claims, issuer.claims.client)) or _text(claims.get("azp"))
    client = issuer.clients.get(client_id, _NOBODY)
    subject = _subject(claims)
    if not subject and not client_id:
        raise not_trusted("The token does not say whose it is.")
    common: Known = {
        "issuer": issuer.issuer,
        "subject": subject or client_id,
        "client": client_id,
        "expires": expires,
        "issued": _issued(claims),
        "token_id": _token_id(claims, token),
        "scopes": _granted(issuer, client, claims, said),
        "purpose": _code(_at(claims, issuer.claims.purpose)),
    }
    if client_id and subject in ("", client_id) and client.role:  # RFC 9068 §2.2: the application itself
        return Actor(**common, **_service(client, client_id))
    return Actor(**common, **_MAPPERS[issuer.mapper](issuer, client, claims, base))


def _service(client: Client, client_id: str) -> Known:
    return {
        "role": client.role,
        "name": client.name or client_id,
        "organization": client.organization,
        "ods_code": client.ods_code,
    }


# ---- the three kinds ---------------------------------------------------------------------------------------------


def _generic(issuer: Issuer, client: Client, claims: Claims, base: str) -> Known:
    names = issuer.claims
    nhs_number = _nhs_number(_at(claims, names.nhs_number))
    role = _role(issuer, _at(claims, names.role)) or client.user_role or ""
    user_said = _at(claims, names.user)
    user = _reference(user_said, USER_TYPES, base)
    is_elsewhere = user_said is not None and not (user or nhs_number)
    return {
        **_launched(_at(claims, names.patient), "" if is_elsewhere and role in _THEMSELVES else role, base),
        "name": _text(_at(claims, names.name)),
        "user": user,
        "organization": _reference(_at(claims, names.organization), ("Organization",), base) or client.organization,
        "ods_code": _matching(_ODS_CODE, _at(claims, names.ods_code)) or client.ods_code,
        **(_known_by_nhs_number(nhs_number) if nhs_number else {}),
    }


def _nhs_login(_issuer: Issuer, client: Client, claims: Claims, base: str) -> Known:
    vector = claims.get("vot", PROOFING_LEVEL)
    proved = isinstance(vector, str) and vector.split(".")[0] == PROOFING_LEVEL
    if claims.get("identity_proofing_level") != PROOFING_LEVEL or not proved:
        raise not_trusted("NHS login has not proved who holds the token to level P9, which this record needs.")
    nhs_number = _nhs_number(claims.get("nhs_number"))
    if not nhs_number:
        raise not_trusted("NHS login does not say by which NHS number the holder of the token is known.")
    names = (_text(claims.get("given_name")), _text(claims.get("family_name")))
    role: Role = client.user_role if client.user_role in ("person", "delegate") else "person"
    return {
        **_launched(claims.get("patient"), role, base),
        "name": " ".join(name for name in names if name),
        **_known_by_nhs_number(nhs_number),
    }


def _cis2(issuer: Issuer, _client: Client, claims: Claims, _base: str) -> Known:
    if _assurance_level(claims) < issuer.assurance_level_min:
        raise not_trusted("The holder of the token did not sign in to CIS2 as surely as this record needs.")
    uid = _text(claims.get("uid")) or _text(claims.get("nhsid_useruid"))
    if not _SDS_ID.fullmatch(uid):
        raise not_trusted("CIS2 does not say which user holds the token.")
    selected = _selected_role(claims)
    ods_code = _matching(_ODS_CODE, selected.get("org_code"))
    code = _text(selected.get("role_code"))
    role = issuer.roles.get(code) or issuer.roles.get(code.rpartition(":")[2])
    names = (_text(claims.get("given_name")), _text(claims.get("family_name")))
    return {
        "role": role if role and ods_code else "",
        "name": " ".join(name for name in names if name) or _text(claims.get("name")),
        "user_identifier": f"{SDS_USER_ID}|{uid}",
        "ods_code": ods_code,
    }


_MAPPERS: dict[Mapper, Callable[[Issuer, Client, Claims, str], Known]] = {
    "generic": _generic,
    "nhs-login": _nhs_login,
    "cis2": _cis2,
}


def _launched(said: Any, role: Role | Literal[""], base: str) -> Known:
    """The patient of the launch context, and the role in it: none where a context is said that is no patient here.

    Without one a delegate acts for all who let them, so what cannot be read must not be taken for nothing said.
    """
    patient = _reference(said, ("Patient",), base, bare=True).removeprefix("Patient/")
    return {"patient": patient, "role": role if patient or said is None else ""}


def _known_by_nhs_number(nhs_number: str) -> Known:
    return {"nhs_number": nhs_number, "user_identifier": f"{NHS_NUMBER}|{nhs_number}"}


def _selected_role(claims: Claims) -> Claims:
    """The national role that was selected; the only one where none was; none where it cannot be told."""
    listed = claims.get("nhsid_nrbac_roles", claims.get("nationalrbacaccess"))
    if isinstance(listed, dict):
        listed = listed.get("nhsid_nrbac_roles")
    roles = [role for role in listed if isinstance(role, dict)] if isinstance(listed, list) else []
    if "selected_roleid" in claims:
        wanted = _text(claims["selected_roleid"])
        roles = [role for role in roles if wanted and role.get("person_roleid") == wanted]
    return roles[0] if len(roles) == 1 else {}


def _assurance_level(claims: Claims) -> int:
    """How surely somebody signed in (AAL1 to AAL3); 0 where it is not said."""
    said = claims.get("authentication_assurance_level")
    if isinstance(said, int | str) and not isinstance(said, bool) and str(said) in ("1", "2", "3"):
        return int(said)
    found = _AAL.fullmatch(_text(claims.get("acr")))
    return int(found[1]) if found and said is None else 0


# ---- what stands in a claim --------------------------------------------------------------------------------------


def _at(claims: Claims, path: Names) -> Any:
    value: Any = claims
    for name in path:
        value = value.get(name) if isinstance(value, dict | Mapping) else None
    return value


def _text(value: Any) -> str:
    """A string that can be shown: short, on one line; "" for all else."""
    return value.strip() if isinstance(value, str) and len(value) <= _TEXT_MAX and value.isprintable() else ""


def _subject(claims: Claims) -> str:
    """Whose token it is (OpenID Connect Core 1.0 §2: at most 255 characters); "" where it does not say (RFC 7662 §2.2). Raises Rejected.

    One that cannot be shown is not taken for none, which is the application itself; nor is that of a user who is named beside (RFC 7662 `username`).
    """
    said = claims.get("sub", "")
    if (said == "" and not claims.get("username")) or (
        isinstance(said, str) and len(said) <= _SUBJECT_MAX and said.isprintable() and said.strip()
    ):
        return str(said)
    raise not_trusted("The token does not say whose it is.")


def _code(value: Any) -> str:
    return _matching(_CODE, value)


def _matching(pattern: re.Pattern[str], value: Any) -> str:
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""


def _nhs_number(value: Any) -> str:
    number = _matching(_TEN_DIGITS, value)
    return number if number and is_valid(number) else ""


def _role(issuer: Issuer, value: Any) -> Role | None:
    """The one role that a claim names; None where it names none, or several: which one is acted in cannot be told."""
    words = value if isinstance(value, list) else [value]
    known: Iterable[Role | None] = (_role_of(issuer, word) for word in words if isinstance(word, str))
    roles = {role for role in known if role}
    return roles.pop() if len(roles) == 1 else None


def _role_of(issuer: Issuer, word: str) -> Role | None:
    if issuer.roles:
        return issuer.roles.get(word)
    return next((role for role in ROLES if role == word), None)


def _reference(value: Any, types: Iterable[str], base: str, *, bare: bool = False) -> str:
    """A reference to a resource here, as `Type/id`; "" for one elsewhere. `bare`: an id alone is one of the first type."""
    text = _text(value).removeprefix(base + "/")
    type_, slash, id_ = text.rpartition("/")
    if bare and not slash:
        type_ = next(iter(types))
    return f"{type_}/{id_}" if type_ in types and is_id(id_) else ""


def _issued(claims: Claims) -> float:
    """When a token was issued, where it says how long it lives; else 0: it may live for ever."""
    said = claims.get("iat")
    return float(said) if isinstance(said, int | float) and "exp" in claims else 0.0


def _granted(issuer: Issuer, client: Client, claims: Claims, said: Claims) -> tuple[Scope, ...]:
    """What the token may do. The configuration's `scopes` stand in where it says nothing of resources, as those of the NHS do."""
    words = _words(_at(claims, issuer.claims.scope))
    if "scope" not in said:
        return parse_scopes(words if names_resources(words) else client.scopes or issuer.scopes)
    now = _words(said["scope"])
    if names_resources(words):
        return narrowed(parse_scopes(words), parse_scopes(now))
    return parse_scopes(now if names_resources(now) else client.scopes or issuer.scopes)


def _words(value: Any) -> str:
    words = " ".join(word for word in value if isinstance(word, str)) if isinstance(value, list) else value
    return words if isinstance(words, str) else ""


def _token_id(claims: Claims, token: str) -> str:
    return _text(claims.get("jti")) or hashlib.sha256(token.encode()).hexdigest()[:32]
