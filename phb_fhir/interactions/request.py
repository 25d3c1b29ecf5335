"""A FHIR request and its answer, with no connection in them, so that a Bundle's entry is the same thing as a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from phb_fhir.change import Version
from phb_fhir.fhir.codec import Resource

Handling = Literal["strict", "lenient"]
Returned = Literal["", "minimal", "representation", "OperationOutcome"]


@dataclass(frozen=True, slots=True)
class Subset:
    """How much of each resource is wanted: `_summary` (R4 §3.1.1.5.8) and `_elements` (§3.1.1.5.9)."""

    summary: Literal["", "true", "text", "data", "count"] = ""
    elements: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.summary or self.elements)


WHOLE = Subset()


class Headers(NamedTuple):
    """The conditional headers, as sent; a Bundle entry's request has the same ones under other names."""

    if_match: str = ""
    if_none_match: str = ""
    if_modified_since: str = ""
    if_none_exist: str = ""


NO_HEADERS = Headers()


class FhirRequest(NamedTuple):
    """One interaction asked for. `segments` is the path below the base; `parameters` the decoded query, in order.

    `body` is a resource, or for a JSON Patch the list of its operations. `base` is the server's own address, as the
    client knows it, without a slash at the end. `size` is how many bytes the body had, that of the Bundle for its entries.
    `provenance` came along with it (X-Provenance). `is_identified`: the client gave the request its id (X-Request-ID).
    `form` is the media type it wants an operation's answer in, where that is one of the operation's own.
    """

    method: str
    segments: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...] = ()
    headers: Headers = NO_HEADERS
    body: Any = None
    base: str = ""
    handling: Handling = "strict"
    returned: Returned = ""
    subset: Subset = WHOLE
    request_id: str = ""
    size: int = 0
    provenance: Resource | None = None
    is_identified: bool = False
    form: str = ""

    @property
    def type(self) -> str:
        return self.segments[0] if self.segments else ""

    @property
    def id(self) -> str:
        return self.segments[1] if len(self.segments) > 1 else ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of an answered Bundle. `resource` is JSON text already; `version` is what it shows, where that is a version."""

    full_url: str = ""
    resource: bytes | None = None
    search_mode: Literal["", "match", "include", "outcome"] = ""
    request: dict[str, str] = field(default_factory=dict)
    response: dict[str, Any] = field(default_factory=dict)
    version: Version | None = None


@dataclass(frozen=True, slots=True)
class BundleAnswer:
    """`identifier` and `timestamp` are those of a document."""

    type: Literal["searchset", "history", "transaction-response", "batch-response", "document"]
    entries: list[Entry]
    total: int | None = None
    links: tuple[tuple[str, str], ...] = ()
    identifier: Mapping[str, str] | None = None
    timestamp: str = ""


class Answer(NamedTuple):
    """What to say. `resource` is JSON text; `version` gives ETag, Last-Modified and (with `located`) Location.

    `is_content`: the resource is a Binary, and what is sent over HTTP is its content (R4 §2.42.1). `about`: what the answer tells of and
    was not asked for by its address, for the audit trail. `is_kept`: whoever asks again is given the very same bytes.
    """

    status: int
    resource: bytes | None = None
    version: Version | None = None
    located: bool = False
    bundle: BundleAnswer | None = None
    outcome: Resource | None = None
    is_content: bool = False
    about: tuple[Version, ...] = ()
    is_kept: bool = False
