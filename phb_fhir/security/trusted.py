"""Whose tokens are taken: the file of `PHB_ISSUERS`, read and checked at the start (docs/sign-in.md shows one).

Secrets are not written in it: it names the file or the environment variable that holds one. What is wrong with it stops the
start with a sentence that says where.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from phb_fhir.fhir.codec import loads
from phb_fhir.outcome import Rejected
from phb_fhir.security.actor import Role
from phb_fhir.security.scopes import names_resources, parse_scopes
from phb_fhir.settings import WrongSetting, is_loopback

FILE_BYTES_MAX = 1_000_000
ISSUERS_MAX = 20

Mapper = Literal["generic", "nhs-login", "cis2"]
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]


def _several(value: object) -> object:
    """One value where several may stand."""
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_several)]


def check_address(value: str | None) -> str | None:
    """An address that tokens and keys may travel to: https, or this machine's own."""
    if value is None:
        return None
    parts = urlsplit(value)
    if not parts.hostname or parts.fragment or parts.username is not None:
        raise ValueError("it should be an address such as https://login.example.org")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise ValueError("it should be an https address")
    return value


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Introspection(_Part):
    """How an issuer is asked about a token (RFC 7662), and who asks.

    `opaque`: tokens that are no JWTs are asked about here. `always`: JWTs of this issuer too, so that one that was revoked falls
    out. `audience_required`: an answer without `aud` is no access.
    """

    client_id: str = Field(min_length=1)
    client_secret_file: Path | None = None
    client_secret_env: str | None = None
    endpoint: str | None = None
    opaque: bool = True
    always: bool = False
    audience_required: bool = True

    _is_address = field_validator("endpoint")(check_address)

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.client_secret_file is None) == (self.client_secret_env is None):
            raise ValueError("the secret is named by one of client_secret_file and client_secret_env")
        return self

    @property
    def secret(self) -> str:
        """Read when it is needed. Raises WrongSetting, which names the place and not what is in it."""
        if self.client_secret_env is not None:
            secret, where = (
                os.environ.get(self.client_secret_env, ""),
                f"the environment variable {self.client_secret_env}",
            )
        else:
            path = Path(str(self.client_secret_file)).expanduser()
            where = f"the file {path}"
            try:
                secret = path.read_text().strip()
            except (OSError, UnicodeDecodeError):
                secret = ""
        if not secret:
            raise WrongSetting(f"PHB_ISSUERS says that {where} holds a client secret, and none can be read there.")
        return secret


class Client(_Part):
    """What an application is: `role` for itself, as a backend service; `user_role` for those who sign in through it."""

    role: Role | None = None
    user_role: Role | None = None
    name: str = ""
    organization: str = Field(default="", pattern=r"^(Organization/[A-Za-z0-9\-.]{1,64})?$")
    ods_code: str = Field(default="", pattern=r"^([A-Z0-9]{3,10})?$")
    scopes: str = ""


class ClaimNames(_Part):
    """Under which claims a generic issuer says what; several names lead inwards (`["realm_access", "roles"]`)."""

    role: Names = ("role",)
    user: Names = ("fhirUser",)
    patient: Names = ("patient",)
    organization: Names = ("organization",)
    ods_code: Names = ("ods_code",)
    nhs_number: Names = ("nhs_number",)
    name: Names = ("name",)
    client: Names = ("client_id",)
    scope: Names = ("scope",)
    purpose: Names = ("purpose_of_use",)


class Issuer(_Part):
    """One issuer, and what its tokens mean. docs/sign-in.md says each field in words."""

    issuer: str
    audience: Annotated[Names, Field(min_length=1)]
    mapper: Mapper = "generic"
    algorithms: tuple[Algorithm, ...] = Field(default=("RS256", "PS256", "ES256", "EdDSA"), min_length=1)
    jwks_uri: str | None = None
    jwks_file: Path | None = None
    token_types: Names = ("at+jwt", "jwt", "")
    id_tokens: bool = False
    userinfo: bool = False
    introspection: Introspection | None = None
    claims: ClaimNames = ClaimNames()
    roles: dict[str, Role] = {}
    clients: dict[str, Client] = {}
    scopes: str = ""
    assurance_level_min: int = Field(default=2, ge=0, le=3)
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    revocation_endpoint: str | None = None
    registration_endpoint: str | None = None
    management_endpoint: str | None = None

    _are_addresses = field_validator(
        "issuer",
        "jwks_uri",
        "authorization_endpoint",
        "token_endpoint",
        "userinfo_endpoint",
        "revocation_endpoint",
        "registration_endpoint",
        "management_endpoint",
    )(check_address)

    @field_validator("token_types")
    @classmethod
    def _in_small_letters(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(word.lower().removeprefix("application/") for word in value)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if urlsplit(self.issuer).query:
            raise ValueError("an issuer's address has no query")
        if self.jwks_uri and self.jwks_file:
            raise ValueError("its keys are in one place: jwks_uri or jwks_file")
        if self.mapper == "cis2" and not self.roles:
            raise ValueError(
                "cis2 needs roles, which says what each national role code is here; else nobody could come in"
            )
        for scopes in (self.scopes, *(client.scopes for client in self.clients.values())):
            if names_resources(scopes) and len(parse_scopes(scopes)) != len(set(scopes.split())):
                raise ValueError("scopes has a word that is no SMART scope such as patient/*.rs")
        return self


class _File(_Part):
    issuers: tuple[Issuer, ...] = Field(min_length=1, max_length=ISSUERS_MAX)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        names = [issuer.issuer for issuer in self.issuers]
        if len(set(names)) != len(names):
            raise ValueError("an issuer stands twice")
        asked = [issuer for issuer in self.issuers if issuer.introspection and issuer.introspection.opaque]
        if len(asked) > 1:
            raise ValueError(
                "a token that is no JWT does not say whose it is, so one issuer alone may be asked about those: "
                "set introspection.opaque to false for the others"
            )
        return self


def read_issuers(path: Path) -> tuple[Issuer, ...]:
    """The issuers of the file. Raises WrongSetting."""
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise WrongSetting(f"The file of PHB_ISSUERS, {path}, cannot be read: {error.strerror}.") from None
    if len(text) > FILE_BYTES_MAX:
        raise WrongSetting(f"The file of PHB_ISSUERS, {path}, is larger than {FILE_BYTES_MAX} bytes.")
    try:
        issuers = _File.model_validate(loads(text, depth_max=16)).issuers
    except Rejected as rejected:
        raise WrongSetting(f"The file of PHB_ISSUERS, {path}, is not JSON: {rejected.issues[0].text}") from None
    except ValidationError as error:
        raise WrongSetting(_sentence(path, error)) from None
    for issuer in issuers:
        if issuer.introspection:
            _ = issuer.introspection.secret  # now, rather than with the first token
    return issuers


def _sentence(path: Path, error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    reason = first["msg"].removeprefix("Value error, ").replace("Input should", "it should").replace("String", "it")
    return f"In the file of PHB_ISSUERS, {path}, {where} is not right: {reason}."
