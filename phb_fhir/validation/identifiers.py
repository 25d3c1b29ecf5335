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
from collections.abc import Callable
from typing import Any

from nhs_number.validate import is_valid

from phb_fhir.definitions.terminology_grammars import UCUM
from phb_fhir.definitions.terminology_ucum import check_unit
from phb_fhir.definitions.trail import Trail, path_of
from phb_fhir.outcome import Issue, Kind, Severity
from phb_fhir.validation.wording import shown

NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
ODS_ORGANISATION = "https://fhir.nhs.uk/Id/ods-organization-code"
URI = "urn:ietf:rfc:3986"
ODS_SITE = "https://fhir.nhs.uk/Id/ods-site-code"

_TEN_DIGITS = re.compile(r"[0-9]{10}")
_ODS_CODE = re.compile(r"[A-Z0-9]{3,12}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S")
_DATA_MAX = 64 * 1024 * 1024  # characters
_BETWEEN_DIGITS = re.compile(r"[\s-]")


def check_identifier(value: Any, at: Trail, issues: list[Issue], severity: Severity = "warning") -> None:
    """What is wrong with an Identifier whose system says how its values are made."""
    system = value.get("system") if type(value) is dict else None
    if type(system) is not str:
        return
    if ":" not in system and system and not system.isspace():
        problem = f"The system of an identifier is an absolute URI; {shown(system)} is relative."
        issues.append(Issue(Kind.VALUE, problem, path_of((at, "system", None)), severity))
    problem_of, text = PROBLEMS.get(system), value.get("value")
    if problem_of is None or type(text) is not str:
        return
    problem = problem_of(text)
    if problem:
        grave: Severity = "error" if system == URI else severity
        issues.append(Issue(Kind.VALUE, problem, path_of((at, "value", None)), grave))


def check_quantity(value: Any, at: Trail, issues: list[Issue], severity: Severity = "warning") -> None:
    """What is wrong with the unit of a Quantity that claims to be UCUM's."""
    if type(value) is not dict or value.get("system") != UCUM or type(value.get("code")) is not str:
        return
    problem = check_unit(value["code"])
    if problem:
        text = f"{shown(value['code'])} is not written as UCUM has it: {problem}."
        issues.append(Issue(Kind.CODE_INVALID, text, path_of((at, "code", None)), severity))


def check_attachment(value: Any, at: Trail, issues: list[Issue]) -> None:
    """Whether the stated size of an Attachment is that of the data it brings."""
    size, data = (value.get("size"), value.get("data")) if type(value) is dict else (None, None)
    if type(size) is not int or type(data) is not str:
        return
    bare = "".join(data.split()) if len(data) < _DATA_MAX else ""
    actual = len(bare) // 4 * 3 - bare.count("=", len(bare) - 2)
    if bare and actual != size:
        problem = (
            f'The data are {actual} bytes before base64, and "size" says {size}; write {actual}, or leave "size" out.'
        )
        issues.append(Issue(Kind.VALUE, problem, path_of((at, "size", None))))


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
    if _SCHEME.match(text):
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
