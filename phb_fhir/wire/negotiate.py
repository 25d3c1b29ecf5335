"""Which form a body has and which form an answer takes (R4 §3.1.0.1.11).

JSON is the one FHIR format so far; a codec for another would be one more row in `FORMATS`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from phb_fhir.outcome import Kind, Refusal, Rejected, refuse

FHIR_JSON = "application/fhir+json"
JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
FORM = "application/x-www-form-urlencoded"
PATCHES = (FHIR_JSON, JSON_PATCH, MERGE_PATCH)

# what may be asked for, and what is then sent; `_format` takes the short names too (R4 §3.1.0.1.11)
FORMATS: dict[str, str] = {
    FHIR_JSON: FHIR_JSON,
    "application/json+fhir": FHIR_JSON,
    JSON: JSON,
    "text/json": JSON,
    "json": FHIR_JSON,
}
_ANY = frozenset({"*/*", "application/*"})
OTHER_FHIR = frozenset({"application/fhir+xml", "application/xml+fhir", "application/fhir+turtle"})
_VERSIONS = frozenset({"4.0", "4.0.1", ""})
_QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")  # RFC 9110 §12.4.2; what is none is ignored


@dataclass(frozen=True, slots=True)
class Accepted:
    """The media type to answer in. `native` is what the client would rather take of a Binary's own content, `form` what it wants of the
    forms that an operation has of its own.
    """

    media_type: str
    native: tuple[str, ...] = ()
    form: str = ""


@lru_cache(maxsize=1024)
def accept(header: str, format_: str, *, binary: bool = False, forms: tuple[str, ...] = ()) -> Accepted:
    """The form of the answer. `_format` outranks the header. Raises Rejected (406) when there is none in common.

    `binary`: unless a FHIR form is asked for, a Binary's content is sent as itself (R4 §2.42.1). `forms` are those of an operation.
    """
    if format_ in forms:
        return Accepted(FHIR_JSON, form=format_)
    if format_:
        return _accept_format(format_)
    asked, refused = _by_preference(header or "*/*")
    native: list[str] = []
    for media_type in asked:
        if media_type in FORMATS:
            return Accepted(FORMATS[media_type], tuple(native))
        if media_type in forms:
            return Accepted(FHIR_JSON, form=media_type)
        if binary and media_type not in OTHER_FHIR:
            native.append(media_type)
        elif media_type in _ANY and (left := [one for one in (FHIR_JSON, JSON) if one not in refused]):
            return Accepted(left[0])
    if native:  # no FHIR form was named: the content goes in the type it states, whatever was hoped for
        return Accepted(FHIR_JSON, (*native, "*/*"))
    raise _not_acceptable(f"Accept: {header}")


def _accept_format(format_: str) -> Accepted:
    media_type, _, rest = format_.partition(";")
    # a '+' that was not percent-encoded arrives as a blank
    asked, _ = _by_preference(f"{media_type.strip().replace(' ', '+')};{rest}")
    if len(asked) != 1 or asked[0] not in FORMATS:
        raise _not_acceptable(f"_format={format_}")
    return Accepted(FORMATS[asked[0]])


def _by_preference(header: str) -> tuple[list[str], frozenset[str]]:
    """The media types of an Accept header, the most wanted first; and those it will not have (q=0)."""
    ranked: list[tuple[float, int, str]] = []
    refused: set[str] = set()
    for place, part in enumerate(header.split(",")):
        media_type, _, rest = part.strip().partition(";")
        media_type = media_type.strip().lower()
        parameters = dict(_parameter(one) for one in rest.split(";") if "=" in one)
        quality = _quality(parameters.get("q", "1"))
        if quality <= 0:
            refused.add(media_type)
        elif parameters.get("fhirversion", "") in _VERSIONS and media_type:
            ranked.append((-quality, place, media_type))
    return [media_type for _, _, media_type in sorted(ranked) if media_type not in refused], frozenset(refused)


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip().strip('"')


def _quality(text: str) -> float:
    return float(text) if _QUALITY.fullmatch(text) else 1.0


@lru_cache(maxsize=256)
def content_type(header: str) -> str:
    """The media type of a body. Raises Rejected (415) for a character set other than UTF-8 or another FHIR version."""
    media_type, _, rest = header.partition(";")
    parameters = dict(_parameter(one) for one in rest.split(";") if "=" in one)
    if parameters.get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise unsupported(f"The body's character set is {parameters['charset']}; FHIR is UTF-8 (R4 §2.6).")
    if parameters.get("fhirversion", "") not in _VERSIONS:
        raise unsupported(f"The body is FHIR {parameters['fhirversion']}; this server speaks 4.0.")
    return media_type.strip().lower()


def is_fhir_json(media_type: str) -> bool:
    return media_type in (FHIR_JSON, JSON, "text/json", "application/json+fhir")


def unsupported(text: str) -> Rejected:
    return refuse(Refusal.UNSUPPORTED_MEDIA_TYPE, Kind.NOT_SUPPORTED, text)


def _not_acceptable(asked: str) -> Rejected:
    text = f"{asked} asks for a form that this server does not write; it writes {FHIR_JSON}."
    return refuse(Refusal.NOT_ACCEPTABLE, Kind.NOT_SUPPORTED, text)
