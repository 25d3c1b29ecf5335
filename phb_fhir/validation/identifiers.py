"""Identifiers and units that carry their own proof: an NHS number, an ODS code, a UCUM unit.

Nobody has to be asked whether these are well made, so they are looked at wherever their system appears, in any resource
and whatever the profile:

| system | what is checked | source |
|---|---|---|
| NHS number | ten digits, no blanks; the last agrees with the others by Modulus 11 | NHS Data Dictionary, NHS NUMBER |
| ODS organisation, ODS site | 3 to 12 capital letters and digits | NHS Data Dictionary, ORGANISATION IDENTIFIER |
| UCUM, in a Quantity | the grammar over the table of units | http://unitsofmeasure.org |
| `urn:ietf:rfc:3986`: the value is a URI | it starts with a scheme; otherwise an error | R4 §2.24.0.13 |
| any other system of an Identifier | it is absolute | R4 §2.24.0.13 |
| the `size` of an Attachment that brings its `data` | it is what the data come to; otherwise an error | R4 §2.24.0.6 |

They are warnings unless the caller or the table says otherwise: the base definitions of R4 ask none of this, and published
examples (UK Core's own baby, 9912003890) get it wrong. Where a wrong one does harm, a profile or a rule makes it an error.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from hashlib import sha1
from typing import Any

from nhs_number.validate import is_valid

from phb_fhir.definitions.terminology_grammars import UCUM
from phb_fhir.definitions.terminology_ucum import check_unit
from phb_fhir.definitions.trail import Trail, path_of
from phb_fhir.fhir.reference import has_scheme
from phb_fhir.outcome import Issue, Kind, Severity
from phb_fhir.validation.wording import shown

NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
ODS_ORGANISATION = "https://fhir.nhs.uk/Id/ods-organization-code"
URI = "urn:ietf:rfc:3986"
ODS_SITE = "https://fhir.nhs.uk/Id/ods-site-code"

_TEN_DIGITS = re.compile(r"[0-9]{10}")
_ODS_CODE = re.compile(r"[A-Z0-9]{3,12}")
_SHA_1_BYTES = 20
_DATA_MAX = 64 * 1024 * 1024  # characters
_BETWEEN_DIGITS = re.compile(r"[\s-]")


def check_identifier(value: Any, at: Trail, issues: list[Issue], severity: Severity = "warning") -> None:
    """What is wrong with an Identifier whose system says how its values are made."""
    system = value.get("system") if type(value) is dict else None
    if type(system) is not str:
        return
    if not has_scheme(system) and system and not system.isspace():
        problem = f"The system of an identifier is an absolute URI; {shown(system)} is relative."
        issues.append(Issue(Kind.VALUE, problem, path_of((at, "system", None))))
    problem_of, text = PROBLEMS.get(system), value.get("value")
    if problem_of is None or type(text) is not str:
        return
    problem = problem_of(text)
    if problem:
        grave: Severity = "error" if system == URI else severity
        issues.append(Issue(Kind.VALUE, problem, path_of((at, "value", None)), grave))


def check_quantity(value: Any, at: Trail, issues: list[Issue]) -> None:
    """What is wrong with the unit of a Quantity that claims to be UCUM's."""
    if type(value) is not dict or value.get("system") != UCUM or type(value.get("code")) is not str:
        return
    problem = check_unit(value["code"])
    if problem:
        text = f"{shown(value['code'])} is not written as UCUM has it: {problem}."
        issues.append(Issue(Kind.CODE_INVALID, text, path_of((at, "code", None)), "warning"))


def check_attachment(value: Any, at: Trail, issues: list[Issue]) -> None:
    """Whether the stated size and hash of an Attachment are those of the data it brings."""
    data = value.get("data") if type(value) is dict else None
    size, hash_ = (value.get("size"), value.get("hash")) if type(data) is str else (None, None)
    if type(data) is not str or len(data) >= _DATA_MAX or (type(size) is not int and type(hash_) is not str):
        return
    bare = "".join(data.split())
    actual = len(bare) // 4 * 3 - bare.count("=", len(bare) - 2)
    if type(size) is int and bare and actual != size:
        problem = (
            f'The data are {actual} bytes before base64, and "size" says {size}; write {actual}, or leave "size" out.'
        )
        issues.append(Issue(Kind.VALUE, problem, path_of((at, "size", None))))
    if type(hash_) is str and _is_other(hash_, bare):
        problem = 'The hash is that of other data: it is the SHA-1 of what "data" says, before base64.'
        issues.append(Issue(Kind.VALUE, problem, path_of((at, "hash", None))))


def _is_other(hash_: str, data: str) -> bool:
    """Whether a hash is a SHA-1, and not that of the data; R4's own example has one in another spelling."""
    try:
        stated, content = b64decode(hash_), b64decode(data, validate=True)
    except ValueError:
        return False  # complained of already
    return len(stated) == _SHA_1_BYTES and stated != sha1(content, usedforsecurity=False).digest()


# ---- by system ------------------------------------------------------------------------------------


def problem_of_nhs_number(text: str) -> str:
    """Why `text` is no NHS number; empty when it is one."""
    if _TEN_DIGITS.fullmatch(text):
        return (
            ""
            if is_valid(text)
            else f'"{text}" is no NHS number: its check digit does not agree with the other digits.'
        )
    bare = _BETWEEN_DIGITS.sub("", text) if len(text) <= 20 else ""
    if _TEN_DIGITS.fullmatch(bare) and is_valid(bare):
        return f'An NHS number is written without blanks or dashes: "{bare}", not {shown(text)}.'
    return f"{shown(text)} is no NHS number: that is ten digits, the last of which proves the others."


def problem_of_uri(text: str) -> str:
    """Why `text` is no URI that says of itself what it is; empty when it is one."""
    if has_scheme(text):
        return ""
    return f"A value of the system {URI} is a whole URI, such as urn:uuid:…; {shown(text)} names no scheme."


def problem_of_ods_code(text: str) -> str:
    """Why `text` does not have the shape of an ODS code; empty when it has."""
    if _ODS_CODE.fullmatch(text):
        return ""
    better = text.strip().upper()
    hint = f'; did you mean "{better}"?' if _ODS_CODE.fullmatch(better) else "."
    return f"{shown(text)} is no ODS code: that is 3 to 12 capital letters and digits, such as A81001{hint}"


PROBLEMS: dict[str, Callable[[str], str]] = {
    NHS_NUMBER: problem_of_nhs_number,
    ODS_ORGANISATION: problem_of_ods_code,
    ODS_SITE: problem_of_ods_code,
    URI: problem_of_uri,
}
