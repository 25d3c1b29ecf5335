"""The code systems that are no list: their codes follow a grammar, or a register too large to carry.

| system | what can be said here |
|---|---|
| UCUM units | all: the grammar over its table of atoms |
| BCP 47 languages | languages, scripts, regions are listed; of anything else only the form is known |
| BCP 13 media types | all: whoever follows the form may register one |
| IANA time zones | a listed name is one; of another only the form is known |
| RFC 3986 | all: whether it is an absolute URI |
| ISO 3166-2 | the country is known, the subdivision is not |

Countries (ISO 3166-1) and currencies (ISO 4217) are lists short enough to carry; they are read from `registers/` as
code systems like any other, withdrawn codes marked inactive.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from phb_fhir.definitions.terminology_ucum import check_unit

Json = dict[str, Any]

UCUM = "http://unitsofmeasure.org"
LANGUAGES = "urn:ietf:bcp:47"
MEDIA_TYPES = "urn:ietf:bcp:13"
TIME_ZONES = "https://www.iana.org/time-zones"
URIS = "urn:ietf:rfc:3986"
COUNTRIES = "urn:iso:std:iso:3166"
SUBDIVISIONS = "urn:iso:std:iso:3166:-2"
CURRENCIES = "urn:iso:std:iso:4217"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"

# What a person calls the systems that are often met and, for their size or their licence, seldom loaded.
NAMES = {
    SNOMED: "SNOMED CT",
    LOINC: "LOINC",
    "https://dmd.nhs.uk": "the NHS dictionary of medicines and devices, dm+d",
    "http://hl7.org/fhir/sid/icd-10": "ICD-10",
    "http://hl7.org/fhir/sid/icd-10-uk": "ICD-10, UK edition",
    "http://hl7.org/fhir/sid/icd-11": "ICD-11",
    "http://hl7.org/fhir/sid/cvx": "CVX vaccines",
    "http://www.nlm.nih.gov/research/umls/rxnorm": "RxNorm",
    "http://www.ama-assn.org/go/cpt": "CPT",
    "http://read.info/readv2": "Read codes, version 2",
    "http://read.info/ctv3": "Clinical Terms, version 3",
}


class Answer(NamedTuple):
    """Whether a code is one of a system; None when that cannot be known here. `why` explains a no, or the doubt."""

    valid: bool | None
    why: str = ""


class Grammar(NamedTuple):
    """A code system without a list."""

    name: str
    check: Callable[[str], Answer]


# ---- languages (BCP 47, RFC 5646 §2.1) ------------------------------------------------------------

_LANGUAGE_TAG = re.compile(
    r"(?P<language>[a-z]{4,8}|[a-z]{2,3}(?=-|$))(?P<extlang>(?:-[a-z]{3}(?=-|$)){0,3})"
    r"(?:-(?P<script>[a-z]{4}))?(?:-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<variants>(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)"
    r"(?P<extensions>(?:-[0-9a-wy-z](?:-[a-z0-9]{2,8})+)*)(?P<private>-x(?:-[a-z0-9]{1,8})+)?"
)
_PRIVATE_TAG = re.compile(r"x(?:-[a-z0-9]{1,8})+")


def _check_language(code: str) -> Answer:
    tag = code.lower()
    if _PRIVATE_TAG.fullmatch(tag) or tag in _words("languages.tsv", "irregular"):
        return Answer(True)
    found = _LANGUAGE_TAG.fullmatch(tag) if len(tag) <= 200 else None
    if found is None:
        return Answer(False, "a language tag of BCP 47 looks like en, en-GB or zh-Hans-CN")
    doubts = [
        _check_primary(found["language"]),
        _of_register(found["extlang"].lstrip("-"), _words("languages.tsv", "other"), is_listed_here=False),
        _of_register(found["script"] or "", _known_scripts(), is_listed_here=False),
        _of_register(found["region"] or "", _known_regions(), is_listed_here=not (found["region"] or "").isdigit()),
        _of_register((found["variants"] + found["extensions"]).lstrip("-"), frozenset(), is_listed_here=False),
    ]
    return next((d for d in doubts if d.valid is False), next((d for d in doubts if d.valid is None), Answer(True)))


def _check_primary(language: str) -> Answer:
    """Two letters: ISO 639-1, listed in full. Three: listed as far as they were registered when this was written."""
    if len(language) == 3:
        return _of_register(language, _words("languages.tsv", "other"), is_listed_here=False)
    return _of_register(language, _words("languages.tsv", "language"), is_listed_here=True)


def _of_register(subtag: str, known: frozenset[str], *, is_listed_here: bool) -> Answer:
    """Whether a subtag is registered. The register is listed here in full, or in part."""
    if not subtag or subtag in known:
        return Answer(True)
    if is_listed_here:
        return Answer(False, f'the language tag has the part "{subtag}", which is not registered')
    return Answer(None, f'whether the part "{subtag}" of the language tag is registered is not known here')


@cache
def _known_scripts() -> frozenset[str]:
    return frozenset(script.lower() for script in _words("languages.tsv", "script"))


@cache
def _known_regions() -> frozenset[str]:
    return _words("languages.tsv", "region") | {country.lower() for country in _country_codes()}


# ---- the others -----------------------------------------------------------------------------------

_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"  # RFC 6838 §4.2
# What follows a semicolon is not looked at: parameters in use ("variant=DICOM WADO-RS") do not keep to RFC 2045.
_MEDIA_TYPE = re.compile(rf"{_NAME}/{_NAME}(?:[ \t]*;[\t\x20-\x7e]*)?")
_FORMATS = ("xml", "json", "ttl")  # CapabilityStatement.format: short for FHIR's own
_TIME_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,3}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_SUBDIVISION = re.compile(r"([A-Z]{2})-[A-Z0-9]{1,3}")


def _check_unit(code: str) -> Answer:
    problem = check_unit(code)
    return Answer(False, f"it is not written as UCUM has it: {problem}") if problem else Answer(True)


def _check_media_type(code: str) -> Answer:
    if code in _FORMATS or (len(code) <= 1000 and _MEDIA_TYPE.fullmatch(code)):
        return Answer(True)
    return Answer(False, "a media type looks like application/pdf")


def _check_time_zone(code: str) -> Answer:
    if code in _words("time_zones.tsv", "zone"):
        return Answer(True)
    if len(code) <= 100 and _TIME_ZONE.fullmatch(code):
        return Answer(None, "it looks like a time zone, but is not one of those known here")
    return Answer(False, "a time zone looks like Europe/London")


def _check_uri(code: str) -> Answer:
    return (
        Answer(True) if _URI.fullmatch(code) else Answer(False, "a URI begins with its scheme, such as urn: or https:")
    )


def _check_subdivision(code: str) -> Answer:
    found = _SUBDIVISION.fullmatch(code)
    if found is None or found[1] not in _country_codes():
        return Answer(False, "a subdivision of ISO 3166-2 looks like GB-ENG")
    return Answer(None, "the subdivisions of countries are not loaded here")


GRAMMARS: dict[str, Grammar] = {
    UCUM: Grammar("UCUM", _check_unit),
    LANGUAGES: Grammar("BCP 47 language tags", _check_language),
    MEDIA_TYPES: Grammar("BCP 13 media types", _check_media_type),
    TIME_ZONES: Grammar("IANA time zones", _check_time_zone),
    URIS: Grammar("URIs of RFC 3986", _check_uri),
    SUBDIVISIONS: Grammar("ISO 3166-2 subdivisions", _check_subdivision),
}


# ---- the registers carried along ------------------------------------------------------------------

_REGISTERS = Path(__file__).parent / "registers"


@cache
def register(url: str) -> Json | None:
    """The code system of countries or currencies, as a CodeSystem; None for another url."""
    if url == COUNTRIES:
        rows = [(code, name) for *codes, name in _rows("countries.tsv") for code in codes]
        return _code_system(url, "ISO3166Part1", "ISO 3166-1 countries", sorted(rows, key=_by_form))
    if url == CURRENCIES:
        return _code_system(
            url, "ISO4217", "ISO 4217 currencies", [(row[0], row[-1]) for row in _rows("currencies.tsv")]
        )
    return None


def _by_form(row: tuple[str, str]) -> tuple[bool, int]:
    """Alpha-2 before alpha-3 before numeric; within each, the order of the file."""
    code = row[0].lstrip("-")
    return code.isdigit(), len(code)


def _code_system(url: str, name: str, title: str, rows: list[tuple[str, str]]) -> Json:
    return {
        "resourceType": "CodeSystem",
        "url": url,
        "name": name,
        "title": title,
        "status": "active",
        "caseSensitive": True,
        "content": "complete",
        "concept": [_concept(code, display) for code, display in rows],
    }


def _concept(code: str, display: str) -> Json:
    plain = code.lstrip("-")
    concept: Json = {"code": plain} if display == code else {"code": plain, "display": display}
    if code != plain:
        concept["property"] = [{"code": "inactive", "valueBoolean": True}]
    return concept


@cache
def _country_codes() -> frozenset[str]:
    return frozenset(row[0].lstrip("-") for row in _rows("countries.tsv") if len(row[0].lstrip("-")) == 2)


def _rows(file: str) -> list[list[str]]:
    lines = (_REGISTERS / file).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


@cache
def _words(file: str, kind: str) -> frozenset[str]:
    return frozenset(word for name, words in _rows(file) if name == kind for word in words.split(" "))
