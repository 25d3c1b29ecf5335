"""Which form a body has and which form an answer takes (R4 §3.1.0.1.11).

JSON is the one FHIR format so far; a codec for another would be one more row in `FORMATS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from phb_fhir.outcome import Kind, Refusal, Rejected, refuse

FHIR_JSON = "application/fhir+json"
JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
FORM = "application/x-www-form-urlencoded"

# what may be asked for, and what is then sent; `_format` takes the short names too (R4 §3.1.0.1.11)
FORMATS: dict[str, str] = {
    FHIR_JSON: FHIR_JSON,
    "application/json+fhir": FHIR_JSON,
    "*/*": FHIR_JSON,
    "application/*": FHIR_JSON,
    JSON: JSON,
    "text/json": JSON,
    "json": FHIR_JSON,
}
_VERSIONS = frozenset({"4.0", "4.0.1", ""})


@dataclass(frozen=True, slots=True)
class Accepted:
    """The media type to answer in. `native` is what the client would take of a Binary's own content; "" for none."""

    media_type: str
    native: tuple[str, ...] = ()


@lru_cache(maxsize=1024)
def accept(header: str, format_: str, *, binary: bool = False) -> Accepted:
    """The form of the answer. `_format` outranks the header. Raises Rejected (406) when there is none in common."""
    if format_:
        media_type = FORMATS.get(_bare(format_.replace(" ", "+")))
        if media_type is None or format_.startswith("*"):
            raise _not_acceptable(f"_format={format_}")
        return Accepted(media_type)
    native: list[str] = []
    for media_type in _by_preference(header or "*/*"):
        if media_type in FORMATS:
            return Accepted(FORMATS[media_type], tuple(native))
        native.append(media_type)
    if binary and native:
        return Accepted(FHIR_JSON, tuple(native))
    raise _not_acceptable(f"Accept: {header}")


def _by_preference(header: str) -> list[str]:
    ranked: list[tuple[float, int, str]] = []
    for place, part in enumerate(header.split(",")):
        media_type, _, rest = part.strip().partition(";")
        parameters = dict(_parameter(one) for one in rest.split(";") if "=" in one)
        quality = _quality(parameters.get("q", "1"))
        if quality > 0 and parameters.get("fhirversion", "") in _VERSIONS and media_type:
            ranked.append((-quality, place, media_type.strip().lower()))
    return [media_type for _, _, media_type in sorted(ranked)]


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip().strip('"')


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


def _bare(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


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
