"""What R4's extensions of a question let its answers be: how large, in what form, and how many (R4 §4.2, questionnaire-extensions).

minValue, maxValue                                    of what can be compared; what cannot is taken
minLength, regex, maxDecimalPlaces                    of texts and decimals; the whole text is to be as the expression says
questionnaire-minOccurs, questionnaire-maxOccurs      how many answers, or how many times a group
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from phb_fhir.fhirpath.functions import pattern
from phb_fhir.fhirpath.values import NotEvaluableError
from phb_fhir.validation.values import compared
from phb_fhir.validation.wording import shown

_OF_NUMBERS = ("questionnaire-minOccurs", "questionnaire-maxOccurs")
_URL = "http://hl7.org/fhir/StructureDefinition/"


Limits: TypeAlias = "dict[str, Any]"  # by the name of the extension


def limits_of(question: dict[str, Any]) -> Limits:
    """What the extensions of a question say of its answers."""
    found: Limits = {}
    listed = question.get("extension")
    for row in listed if type(listed) is list else ():
        url = row.get("url") if type(row) is dict else None
        name = url.removeprefix(_URL) if type(url) is str else ""
        if url == f"{_URL}{name}" and (name in _OF_VALUES or name in _OF_NUMBERS):
            found[name] = next((value for key, value in row.items() if key.startswith("value")), None)
    return found


def complaints(limits: Limits, value: Any) -> Iterator[str]:
    """What is wrong with one answer."""
    for name, limit in limits.items():
        test = _OF_VALUES.get(name)
        text = test(value, limit) if test is not None else ""
        if text:
            yield f"The questionnaire takes {text} here; this is {shown(value)}."


def complaint_of_number(limits: Limits, count: int, *, is_complete: bool) -> str:
    """What is wrong with so many answers, or groups; too few may still become more while the response is not complete."""
    least, most = (limits.get(name) for name in _OF_NUMBERS)
    if type(least) is int and is_complete and 0 < count < least:
        return f"The questionnaire asks for at least {least} of these; there {_are(count)}."
    if type(most) is int and count > most:
        return f"The questionnaire takes at most {most} of these; there {_are(count)}."
    return ""


def _are(count: int) -> str:
    return "is 1" if count == 1 else f"are {count}"


def _at_least(value: Any, limit: Any) -> str:
    return f"at least {shown(limit)}" if compared(value, limit) == -1 else ""


def _at_most(value: Any, limit: Any) -> str:
    return f"at most {shown(limit)}" if compared(value, limit) == 1 else ""


def _is_long(value: Any, limit: Any) -> str:
    is_short = type(value) is str and type(limit) is int and len(value) < limit
    return f"at least {limit} characters" if is_short else ""


def _has_form(value: Any, limit: Any) -> str:
    if type(value) is not str or type(limit) is not str:
        return ""
    try:
        return "" if pattern(limit).fullmatch(value) else f"what {shown(limit)} matches"
    except NotEvaluableError:
        return ""


def _is_short(value: Any, limit: Any) -> str:
    if type(limit) is not int or type(value) is bool or not isinstance(value, int | Decimal):
        return ""
    places = Decimal(str(value)).as_tuple().exponent
    is_long = isinstance(places, int) and -places > limit
    return f"at most {limit} decimal places" if is_long else ""


_OF_VALUES: Mapping[str, Callable[[Any, Any], str]] = {
    "minValue": _at_least,
    "maxValue": _at_most,
    "minLength": _is_long,
    "regex": _has_form,
    "maxDecimalPlaces": _is_short,
}
