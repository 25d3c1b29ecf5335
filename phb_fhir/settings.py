"""Every setting once: its name with its unit, its type, its default, its bounds, and one sentence about it.

Settings are read at start and never again. Each comes from the environment variable that is its name in
capitals after `PHB_` (`PHB_PORT`), and the command line has flags for those a person changes most. A wrong
value stops the start with a sentence, and so does a `PHB_` variable that is no setting: a misspelt bound that
silently does nothing is worse than a server that does not start.

`docs/settings.md` is the same list for readers; a test holds the two together.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "PHB_"
OF_COMMANDS = ("PHB_TOKEN",)  # what commands take from the environment, and is no setting
API_PATH = "/fhir"
LOOPBACK_NAMES = frozenset(("127.0.0.1", "localhost", "::1"))  # by which this machine knows itself

SHOWN_MAX = 200  # characters of a wrong setting that are repeated
Mode = Literal["error", "warn", "off"]  # what becomes of a resource that breaks a rule of a profile
MODES: dict[str, Mode] = {"error": "error", "warn": "warn", "off": "off"}

Words = Annotated[tuple[str, ...], NoDecode]  # a list in the environment is written with commas


class WrongSetting(Exception):  # noqa: N818 - it is a sentence for the operator, not a fault in the program
    """A setting that cannot be, as one sentence for the person at the terminal."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


def _data_folder() -> Path:
    # where the XDG base directory specification keeps what a program holds for its user
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "phb-fhir"


class Settings(BaseSettings):
    """What an operator may choose. Make one with `read_settings`, which turns a mistake into a sentence."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    # --- where it listens, and to whom ---
    host: str = Field("127.0.0.1", min_length=1, description="The address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="The port to listen on; 0 takes any free one.")
    open: bool = Field(
        default=False,
        description="Serve without authentication, which is allowed on a loopback address alone.",
    )
    workers: int = Field(1, ge=1, le=64, description="How many processes answer requests.")
    base_url: str | None = Field(
        None,
        description="The public address of the API when it is behind a proxy; else host, port and `/fhir`.",
    )
    cors_origins: Words = Field(
        (),
        description="The web origins whose pages may call the API, besides this machine's; `*` means any.",
    )
    tls_cert: Path | None = Field(
        None,
        description="The certificate chain to serve https with, as a PEM file; it goes together with `PHB_TLS_KEY`.",
    )
    tls_key: Path | None = Field(
        None, description="The private key of that certificate, as a PEM file without a password."
    )
    trusted_proxies: Words = Field(
        (),
        description="The addresses or networks, with commas, of proxies before it, whose `X-Forwarded-For` says who asks.",
    )
    operators: Words = Field(
        (),
        description="The addresses or networks, with commas, that may see `/metrics`, `/index` and `/docs` besides this machine.",
    )
    shutdown_timeout_s: int = Field(
        15,
        ge=1,
        le=600,
        description="How long accepted requests may take to finish when the server is told to stop.",
    )

    # --- where the record is kept ---
    data: Path = Field(
        default_factory=_data_folder,
        description="The folder of the private MongoDB: its files, its log and its port.",
    )
    mongodb_uri: str | None = Field(
        None,
        min_length=1,
        description="An existing replica set to use (MongoDB 6.0 or later) in place of a private one.",
    )
    mongodb_database: str = Field(
        "phb_fhir", pattern=r"^[A-Za-z0-9_-]{1,38}$", description="The name of the database within MongoDB."
    )
    mongodb_cache_mb: int = Field(
        512, ge=256, le=1_048_576, description="How much memory the private MongoDB may use for its cache."
    )
    mongodb_start_timeout_s: int = Field(
        60,
        ge=1,
        le=3600,
        description="How long MongoDB may take to be ready at the start, recovery included.",
    )
    disk_free_mb_min: int = Field(
        256,
        ge=0,
        le=1_000_000_000,
        description="Below so many free megabytes on MongoDB's disk nothing is written, so that what is there can still be read; 0 writes on.",
    )

    # --- who may come in ---
    issuers: Path | None = Field(
        None, description="A JSON file that says whose tokens are taken, and what they mean (`docs/sign-in.md`)."
    )
    trust_local_key: bool = Field(
        default=False,
        description="Take tokens signed by the key in the data folder (`phb-fhir token`), on a loopback address alone.",
    )
    clock_skew_max_s: int = Field(
        60, ge=0, le=300, description="How far the clock of an issuer may be from the one here."
    )
    token_bytes_max: int = Field(16_000, ge=1_000, le=60_000, description="The longest token that is looked at.")
    token_life_max_s: int = Field(
        86_400, ge=60, le=2_592_000, description="How far ahead a token may expire; one that lives longer is refused."
    )
    token_trust_max_s: int = Field(
        300, ge=1, le=86_400, description="How long a token that was verified is taken again without another look."
    )
    token_cache_max: int = Field(
        10_000, ge=10, le=1_000_000, description="How many verified tokens one worker remembers."
    )
    introspection_trust_max_s: int = Field(
        30, ge=1, le=3_600, description="How long the answer of an issuer about one token is relied on."
    )
    issuer_timeout_s: float = Field(5.0, ge=0.1, le=60, description="How long an issuer may take to answer.")
    issuer_bytes_max: int = Field(
        1_000_000, ge=10_000, le=10_000_000, description="The longest answer of an issuer that is read."
    )
    keys_life_s: int = Field(3_600, ge=1, le=86_400, description="When an issuer is asked again for its keys.")
    keys_retry_min_s: int = Field(
        10, ge=1, le=3_600, description="How long an issuer is left alone between two questions for its keys."
    )
    keys_stale_max_s: int = Field(
        86_400, ge=0, le=604_800, description="How long the keys of an issuer serve that cannot be asked again."
    )

    break_glass_max_s: int = Field(
        3_600,
        ge=60,
        le=86_400,
        description="How long one opening of a restricted record lasts; the person is told of each opening.",
    )

    # --- what one request may cost ---
    requests_max: int = Field(
        1_000, ge=1, le=100_000, description="The most requests one worker has under way; past it the answer is 503."
    )
    connections_max: int = Field(
        2_000,
        ge=10,
        le=100_000,
        description="The most connections one worker holds; past it the one that has been idle the longest is closed.",
    )
    head_timeout_s: float = Field(
        10.0, ge=0.5, le=600, description="How long a client may take to send the head of a request."
    )
    transfer_timeout_s: float = Field(
        20.0,
        ge=0.5,
        le=600,
        description="How long a body may take to come, or an answer to be read, beyond what 8000 bytes a second would take.",
    )
    keep_alive_timeout_s: int = Field(
        5, ge=1, le=600, description="How long a connection is kept open that asks for nothing."
    )
    rate_window_s: int = Field(
        60, ge=1, le=3600, description="The time in which the three rates below are counted; an open server has none."
    )
    rate_client_max: int = Field(
        6_000,
        ge=0,
        le=1_000_000,
        description="The most requests of one signed-in client in that time, as each worker counts them; 0 is no limit.",
    )
    rate_address_max: int = Field(
        600,
        ge=0,
        le=1_000_000,
        description="The most requests without a token from one address in that time, as each worker counts them; 0 is no limit.",
    )
    rate_failed_max: int = Field(
        30,
        ge=0,
        le=1_000_000,
        description="The most wrong tokens from one address in that time, as each worker counts them; 0 is no limit.",
    )
    body_bytes_max: int = Field(
        20_000_000, ge=1_000, le=1_000_000_000, description="The largest request body that is read."
    )
    bundle_entries_max: int = Field(5_000, ge=1, le=100_000, description="The most entries one Bundle may have.")
    depth_max: int = Field(64, ge=8, le=200, description="How deep objects and arrays may nest in a body.")
    page_size_default: int = Field(50, ge=1, le=10_000, description="How many matches a page has when nobody says.")
    page_size_max: int = Field(1_000, ge=1, le=10_000, description="The most matches a page has, whatever is asked.")
    page_life_s: int = Field(86_400, ge=60, le=2_592_000, description="How long the link to a next page works.")
    query_time_max_ms: int = Field(
        10_000,
        ge=100,
        le=600_000,
        description="How long MongoDB may work on one search; past it the search is refused.",
    )
    commit_time_max_s: float = Field(
        10.0,
        ge=0.1,
        le=60,
        description="How long one write may be tried again while others change the same resources.",
    )
    database_wait_max_s: float = Field(
        10.0,
        ge=0.5,
        le=60,
        description="How long one request waits in vain for a database that does not answer; past it the answer is 503.",
    )
    conditional_delete_max: int = Field(
        100, ge=1, le=10_000, description="The most resources one conditional delete may take away."
    )
    read_batch_max: int = Field(
        200, ge=1, le=10_000, description="The most concurrent reads that are put to MongoDB as one question."
    )
    commit_batch_max: int = Field(
        64, ge=1, le=1_000, description="The most concurrent writes that are given to MongoDB as one."
    )

    # --- what it takes ---
    validation_modes: Words = Field(
        (),
        description="What becomes of a resource that breaks a rule of a profile, by type, with commas: "
        "`Observation=warn,Binary=off,*=error`; `error` refuses it, `warn` keeps it and says so, `off` does not look, "
        "and `*` stands for all types not named, which is `error` unless said.",
    )
    only_phb_resources: bool = Field(
        default=False,
        description="Refuse those Accounts, ChargeItems, CarePlans and Tasks that are not PHB resources.",
    )

    evidence_types: Words = Field(
        (
            "application/pdf",
            "image/jpeg",
            "image/png",
            "image/heic",
            "image/tiff",
            "image/webp",
            "text/plain",
            "text/csv",
        ),
        description="The kinds of file that are taken as evidence of what money was spent on, with commas; every kind if none (`,`).",
    )
    evidence_bytes_max: int = Field(
        10_000_000, ge=1, le=1_000_000_000, description="The largest file that is taken as evidence."
    )

    commissioning_folder: Path | None = Field(
        None,
        description="The folder of the commissioners' policies and allocation tables (`docs/budget.md`); else the shipped ones.",
    )

    guide: bool = Field(
        default=True, description="Keep the implementation guide of `profiles/` readable, as resources of its own."
    )

    # --- how it answers ---
    versioned_update: Words = Field(
        (),
        description="The resource types, with commas, whose updates must name the version they meant.",
    )
    gzip_bytes_min: int = Field(
        1_000,
        ge=0,
        le=1_000_000_000,
        description="The smallest answer that is compressed for a client that takes gzip.",
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="How the log is written: `json`, one object a line, or `console`, for a person."
    )

    @field_validator(
        "cors_origins",
        "trusted_proxies",
        "operators",
        "versioned_update",
        "validation_modes",
        "evidence_types",
        mode="before",
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(word for word in (part.strip() for part in value.split(",")) if word)
        return value

    @field_validator("data", mode="before")
    @classmethod
    def _is_named(cls, value: str | Path) -> str | Path:
        if value == "":
            raise ValueError("it should name a folder; nothing would be the one that the server is started in")
        return value

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not _is_base(value):
            raise ValueError("it should be an http or https address without query or fragment, and without a password")
        return value.rstrip("/")

    @field_validator("mongodb_database")
    @classmethod
    def _is_nobody_elses(cls, value: str) -> str:
        if value in ("admin", "config", "local"):
            raise ValueError("it is a database of MongoDB's own, and should be another")
        return value

    @field_validator("evidence_types")
    @classmethod
    def _are_media_types(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            if not re.fullmatch(r"[^\s/;]+/[^\s/;]+", word):
                raise ValueError(f'"{shown(word)}" is not a kind of file such as application/pdf')
        return value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and not re.fullmatch(r"https?://[^/\s?#@]+", origin):
                raise ValueError(f'"{shown(origin)}" is not an origin such as https://example.org')
        return value

    @field_validator("trusted_proxies", "operators")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            try:
                ipaddress.ip_network(word)
            except ValueError:
                raise ValueError(f'"{shown(word)}" is not an address or a network such as 10.0.0.0/8') from None
        return value

    @field_validator("versioned_update")
    @classmethod
    def _are_types(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not re.fullmatch(r"[A-Z][A-Za-z]{1,63}", name):
                raise ValueError(f'"{shown(name)}" is not a resource type')
        return value

    @field_validator("validation_modes")
    @classmethod
    def _are_modes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        named: set[str] = set()
        for word in value:
            type_, mark, mode = (part.strip() for part in word.partition("="))
            if not mark or not re.fullmatch(r"\*|[A-Z][A-Za-z]{1,63}", type_):
                raise ValueError(f'"{shown(word)}" is not a resource type (or *), "=", and error, warn or off')
            if mode not in MODES:
                raise ValueError(f'"{shown(mode)}" is not a mode for {type_}: it is error, warn or off')
            if type_ in named:
                raise ValueError(f"{type_} is given a mode twice")
            named.add(type_)
        return value

    @field_validator("data", "issuers", "tls_cert", "tls_key", "commissioning_folder")
    @classmethod
    def _is_absolute(cls, value: Path | None) -> Path | None:
        try:
            return None if value is None else value.expanduser().absolute()
        except RuntimeError:
            raise ValueError("the folder of that user is not known here") from None

    @model_validator(mode="after")
    def _pages_fit(self) -> Self:
        if self.page_size_default > self.page_size_max:
            raise ValueError("page_size_default is more than page_size_max")
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together")
        return self

    @property
    def scheme(self) -> Literal["http", "https"]:
        """What this process itself speaks; a proxy before it may speak another (`base_url`)."""
        return "http" if self.tls_cert is None else "https"

    @model_validator(mode="after")
    def _local_key_stays_here(self) -> Self:
        if self.trust_local_key and not (is_loopback(self.host) and is_loopback(urlsplit(self.api_url).hostname or "")):
            raise ValueError(
                "trust_local_key takes tokens that anybody with the data folder can sign, so host and base_url must be "
                "loopback addresses"
            )
        return self

    @model_validator(mode="after")
    def _open_asks_nobody(self) -> Self:
        if self.open and (self.issuers or self.trust_local_key):
            raise ValueError("open serves without authentication, so issuers and trust_local_key would mean nothing")
        return self

    @property
    def api_url(self) -> str:
        """The base URL of the FHIR API, as it stands in links and Locations."""
        host = f"[{self.host}]" if _is_ipv6(self.host) else self.host
        return self.base_url or f"{self.scheme}://{host}:{self.port}{API_PATH}"

    def validation_mode(self, type_: str) -> Mode:
        """What becomes of a resource of this type that breaks a rule of a profile; "*" for the types not named."""
        modes = modes_of(self.validation_modes)
        return modes.get(type_) or modes.get("*", "error")

    def to_environment(self) -> dict[str, str]:
        """The environment variables that make these settings again, for the processes that do the work."""
        return {PREFIX + name.upper(): _written(getattr(self, name)) for name in type(self).model_fields}


@lru_cache(maxsize=16)  # it is asked for at every write
def modes_of(words: tuple[str, ...]) -> Mapping[str, Mode]:
    """`validation_modes`, read: the mode of each type it names, and of `*`."""
    pairs = (word.partition("=") for word in words)
    return {type_.strip(): MODES[mode.strip()] for type_, _, mode in pairs}


def read_settings(**given: Any) -> Settings:
    """The settings of the environment, those in `given` (unless None) before them. Raises WrongSetting."""
    _refuse_unknown(os.environ)
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise WrongSetting(" ".join(_complaint(it["loc"], it["msg"], it["input"]) for it in error.errors())) from None


def _refuse_unknown(environment: os._Environ[str]) -> None:
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in (*known, *OF_COMMANDS):
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; docs/settings.md lists them."
            raise WrongSetting(f"{name} is not a setting of this server{hint}")


def shown(value: object) -> str:
    """As much of what is wrong as a sentence repeats."""
    text = str(value)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"


def _complaint(where: tuple[int | str, ...], message: str, value: Any) -> str:
    reason = message.removeprefix("Value error, ")
    if not where:
        return f"The settings do not fit together: {reason}."
    name = str(where[0])
    may_hold_a_password = name == "mongodb_uri" or "@" in str(value)
    was = "" if may_hold_a_password else f' It was "{shown(value)}".'
    reason = reason.replace("Input should", "it should").replace("String should", "it should")
    return f"The setting {name} ({PREFIX}{name.upper()}) is not right: {reason}.{was}"


def _written(value: Any) -> str:
    """A value as the environment has it. Of a list, a comma alone says none: a variable with nothing in it is one that is not set."""
    if value is None:
        return ""
    return ",".join(value) or "," if isinstance(value, tuple) else str(value)


def _is_base(address: str) -> bool:
    try:
        parts = urlsplit(address)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is none
        return False
    is_plain = not (parts.query or parts.fragment or parts.username or parts.password or re.search(r"\s", address))
    return parts.scheme in ("http", "https") and has_host and is_plain


def is_loopback(host: str) -> bool:
    """Whether a host, as it is written, can only be this machine."""
    try:
        return host in LOOPBACK_NAMES or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=8)  # asked with each request
def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False
