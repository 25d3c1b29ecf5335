"""`phb-fhir token`: a token for this machine's own server, signed by the key in the data folder (`--trust-local-key`).

`PERSONAS` are the people and organisations of the examples, so that one word is enough to look at the record with their eyes.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from phb_fhir.fhir.reference import is_id
from phb_fhir.security.actor import ROLES
from phb_fhir.security.scopes import parse_scopes
from phb_fhir.settings import WrongSetting

if TYPE_CHECKING:
    from phb_fhir.settings import Settings

MINUTES = 480  # a working day
CLIENT = "phb-fhir-token"
_READ_ONLY = ("analyst", "auditor")
_OF_ONE_PATIENT = ("person", "delegate")


@dataclass(frozen=True, slots=True)
class Asked:
    """Who a token is for. Fields that are empty say nothing; without `scope` it is what the role may need at most."""

    role: str = ""
    name: str = ""
    user: str = ""
    patient: str = ""
    organization: str = ""
    scope: str = ""
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class Persona:
    who: str  # as `--as` takes it
    is_: str  # who that is, for a reader
    asked: Asked


PERSONAS = (
    Persona("jill", "Jill Harper, whose budget it is", Asked("person", "Jill Harper", "Patient/jill", "jill")),
    Persona(
        "ruth",
        "Ruth Harper, her sister and delegate",
        Asked("delegate", "Ruth Harper", "RelatedPerson/ruth-harper", "jill"),
    ),
    Persona(
        "co-ordinator",
        "Priya Nair, the care co-ordinator",
        Asked(
            "care-coordinator", "Priya Nair", "Practitioner/priya-nair", organization="Organization/harbourside-north"
        ),
    ),
    Persona(
        "commissioner",
        "NHS Harbourside ICB, North, which commissions",
        Asked("commissioner", "Harbourside North commissioning", organization="Organization/harbourside-north"),
    ),
    Persona(
        "provider",
        "Riverbank Therapies, a provider",
        Asked("provider", "Riverbank Therapies", organization="Organization/riverbank-therapies"),
    ),
    Persona(
        "practice",
        "Oakfield Surgery, her practice",
        Asked("practice", "Oakfield Surgery", organization="Organization/oakfield-surgery"),
    ),
    Persona("auditor", "an auditor", Asked("auditor", "An auditor", organization="Organization/harbourside-icb")),
    Persona("system", "the system itself", Asked("system", "The system")),
)
_BY_NAME: Mapping[str, Persona] = {persona.who: persona for persona in PERSONAS}


def tokens_of_personas(settings: Settings) -> list[tuple[Persona, str]]:
    """A token for each of the examples' people and organisations. Raises WrongSetting."""
    return [(persona, sign(settings, persona.who, persona.asked, MINUTES)) for persona in PERSONAS]


def token(settings: Settings, who: str | None, asked: Asked, minutes: int) -> str:
    """The token for a persona (or for nobody known), with what is `asked` before what they are. Raises WrongSetting."""
    persona = _persona(who) if who is not None else None
    said = {name: value for name, value in asdict(asked).items() if value}
    known = persona.asked if persona else Asked()
    if "role" in said and said["role"] != known.role:
        known = Asked()  # another role is somebody else
    return sign(settings, persona.who if persona else "", _checked(replace(known, **said)), minutes)


def sign(settings: Settings, subject: str, asked: Asked, minutes: int) -> str:
    """A token that says what is asked. Raises WrongSetting when it would not be taken."""
    seconds = minutes * 60
    if seconds > settings.token_life_max_s:
        raise WrongSetting(
            f"A token of {minutes} minutes would be refused: {settings.token_life_max_s} seconds is the most that "
            "token_life_max_s (PHB_TOKEN_LIFE_MAX_S) allows."
        )
    claims = {
        "sub": subject or asked.user or asked.organization or asked.role,
        "client_id": CLIENT,
        "scope": asked.scope or _scope(asked.role),
        "role": asked.role,
        "name": asked.name,
        "fhirUser": asked.user,
        "patient": asked.patient,
        "organization": asked.organization,
        "purpose_of_use": asked.purpose,
    }
    from phb_fhir.security.local_key import local_key  # noqa: PLC0415 - a server that signs nothing needs no cryptography

    said = {name: value for name, value in claims.items() if value}
    return local_key(settings.data).sign(said, now=time.time(), life_s=seconds)


def _persona(who: str) -> Persona:
    if who not in _BY_NAME:
        near = difflib.get_close_matches(who, _BY_NAME, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise WrongSetting(f"There is nobody called {who} here: --as takes one of {', '.join(_BY_NAME)}.{hint}")
    return _BY_NAME[who]


def _scope(role: str) -> str:
    context = "system" if role == "system" else "patient" if role in _OF_ONE_PATIENT else "user"
    return f"{context}/*.{'rs' if role in _READ_ONLY else 'cruds'}"


def _checked(asked: Asked) -> Asked:
    """What was asked, if a server could make anything of it. Raises WrongSetting."""
    if asked.role not in ROLES:
        said = (
            f'"{asked.role}" is no role' if asked.role else "A token needs a role, or somebody to be: --role, or --as"
        )
        raise WrongSetting(f"{said}. Roles are {', '.join(ROLES)}.")
    from phb_fhir.security.claims import USER_TYPES  # noqa: PLC0415 - as above

    for option, reference, types in (
        ("--user", asked.user, USER_TYPES),
        ("--organization", asked.organization, ("Organization",)),
    ):
        type_, _, id_ = reference.partition("/")
        if reference and not (type_ in types and is_id(id_)):
            raise WrongSetting(f'{option} "{reference}" is no reference such as {types[-1]}/an-id.')
    if asked.patient and not is_id(asked.patient):
        raise WrongSetting(f'--patient "{asked.patient}" is no id of a Patient, such as jill.')
    words = set(asked.scope.split())
    if len(parse_scopes(asked.scope)) != len(words):
        raise WrongSetting(f'--scope "{asked.scope}" has a word that is no SMART scope, such as patient/Account.rs.')
    return asked
