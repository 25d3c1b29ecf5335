"""What a value of a resource and a value of a question say to each other, for each search type (R4 §3.1.1.4.6 to 11)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from tests.search.oracle_parameters import UNITS, Parameter

UCUM = "http://unitsofmeasure.org"
CURRENCIES = "urn:iso:std:iso:4217"

# --- the query's text (§3.1.1.4.19) ---


def split(text: str, separator: str) -> list[str]:
    """At each separator that no backslash stands before; the escapes stay in the parts."""
    parts = [""]
    for escaped, plain in re.findall(r"(\\.)|(.)", text, re.DOTALL):
        if plain == separator:
            parts.append("")
        else:
            parts[-1] += escaped or plain
    return parts


def unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


# --- what a parameter looks at ---


class Words(str):
    """The text of an element of type string, which could look like a date."""

    __slots__ = ()


def elements_of(resource: dict[str, Any], parameter: Parameter) -> list[Any]:
    found = [_typed(path, one) for path in parameter.paths for one in _walk(resource, path.split("."))]
    return [one for one in found if parameter.keeps(one)]


def _typed(path: str, element: Any) -> Any:
    return Words(element) if path.endswith("String") else element


def _walk(node: Any, path: list[str]) -> Iterator[Any]:
    if isinstance(node, list):
        for one in node:
            yield from _walk(one, path)
    elif path == [""] or not path:
        yield node
    elif isinstance(node, dict) and path[0] in node:
        yield from _walk(node[path[0]], path[1:])


# --- token (§3.1.1.4.10) ---


class Coded(NamedTuple):
    system: str
    code: str


def _codes(element: Any, parameter: Parameter | None) -> list[Coded]:
    if isinstance(element, bool):
        return [Coded("", "true" if element else "false")]
    if isinstance(element, str):
        return [Coded(parameter.system if parameter else "", element)]
    if "coding" in element or "text" in element:
        return [Coded(one.get("system", ""), one.get("code", "")) for one in element.get("coding", [])]
    return [Coded(element.get("system", ""), element.get("value", element.get("code", "")))]


def is_token(element: Any, text: str, parameter: Parameter | None = None) -> bool:
    codes = _codes(element, parameter)
    if parameter is not None and parameter.form == "telecom":
        return any(one.code.lower() == unescape(text).lower() for one in codes)
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) == 1:
        return any(one.code == parts[0] for one in codes)
    system, code = parts
    if not code:
        return any(one.system == system for one in codes)
    return (system, code) in codes


def _match_token(element: Any, parameter: Parameter, modifier: str, text: str) -> bool:
    if modifier == "text":
        return any(_starts_with(one, unescape(text)) for one in _texts(element))
    if modifier == "of-type":
        system, code, value = (unescape(part) for part in split(text, "|"))
        typed = [Coded(one.get("system", ""), one.get("code", "")) for one in _walk(element, ["type", "coding"])]
        return (system, code) in typed and element.get("value") == value
    return is_token(element, text, parameter)


def _texts(element: Any) -> list[str]:
    """CodeableConcept.text, Coding.display and Identifier.type.text."""
    if not isinstance(element, dict):
        return []
    paths = (["text"], ["coding", "display"], ["display"], ["type", "text"])
    return [one for path in paths for one in _walk(element, path)]


# --- string (§3.1.1.4.8) ---

_IN_NAME = ("text", "family", "given", "prefix", "suffix")
_IN_ADDRESS = ("text", "line", "city", "district", "state", "postalCode", "country")


_NOT_TAKEN_APART = {
    "ł": "l",
    "ø": "o",
    "đ": "d",
    "ð": "d",
    "ħ": "h",
    "ŧ": "t",
    "ı": "i",
    "æ": "ae",
    "œ": "oe",
    "þ": "th",
}


def fold(text: str) -> str:
    """Without case, combining characters and punctuation, every gap one space."""
    plain = [one for one in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(one)]
    kept = [one for one in plain if not unicodedata.category(one).startswith("P")]
    letters = "".join(kept).casefold()
    for letter, plain_letters in _NOT_TAKEN_APART.items():
        letters = letters.replace(letter, plain_letters)
    return " ".join(letters.split())


def _strings(element: Any) -> list[str]:
    if isinstance(element, str):
        return [element]
    return [one for name in (*_IN_NAME, *_IN_ADDRESS[1:]) for one in _walk(element, [name])]


def _starts_with(value: str, text: str) -> bool:
    return fold(value).startswith(fold(text))


def _match_string(element: Any, parameter: Parameter, modifier: str, text: str) -> bool:
    values, wanted = _strings(element), unescape(text)
    if modifier == "exact":
        return wanted in values
    families = [element] if parameter.form == "family" else list(_walk(element, ["family"]))
    values += [part for family in families if isinstance(family, str) for part in _family_parts(family)]
    if modifier == "contains":
        return any(fold(wanted) in fold(value) for value in values)
    return any(_starts_with(value, wanted) for value in values)


def _family_parts(family: str) -> list[str]:
    """The words of a family name, and what it is to who takes a dash for a blank."""
    words = [family, *family.split()]
    return [*words, *(word.replace("-", " ") for word in words), *family.replace("-", " ").split()]


# --- uri (§3.1.1.4.9) ---


def _match_uri(element: Any, parameter: Parameter, modifier: str, text: str) -> bool:
    wanted = unescape(text)
    if modifier == "below":
        return bool(element == wanted or element.startswith(wanted.rstrip("/") + "/"))
    if modifier == "above":
        return bool(wanted == element or wanted.startswith(element.rstrip("/") + "/"))
    return bool(element == wanted)


# --- what is ordered (§3.1.1.4.5): a value is an interval, and so is what is asked ---


class Interval(NamedTuple):
    """From `low` up to `high`: a moment or a number is both at once."""

    low: Any
    high: Any


_PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


def _prefixed(text: str) -> tuple[str, str]:
    return (text[:2], text[2:]) if text[:2] in _PREFIXES else ("eq", text)


EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)
_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?")


def time_interval(text: str) -> Interval:
    """All the time that a partial date may mean."""
    matched = _DATE.fullmatch(text)
    assert matched, text
    year, month, day, hour, minute, second, fraction, zone = matched.groups()
    start = datetime(
        int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC
    )
    if zone and zone != "Z":
        shift = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:]))
        start += -shift if zone[0] == "+" else shift
    if not month:
        return Interval(start, start.replace(year=start.year + 1))
    if not day:
        return Interval(start, (start + timedelta(days=31)).replace(day=1))
    lengths = (timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1))
    length = lengths[sum(1 for one in (hour, second) if one)]
    if fraction:
        start += timedelta(seconds=float(fraction))
        length = timedelta(seconds=10.0 ** -min(len(fraction) - 1, 6))
    return Interval(start, start + length)


def _period(element: Any) -> Interval:
    low = time_interval(element["start"]).low if "start" in element else EARLIEST
    high = time_interval(element["end"]).high if "end" in element else LATEST
    return Interval(low, high)


def _time_of(element: Any) -> Interval | None:
    """Of a Timing the outer limits alone matter (§3.1.1.4.7). An element of another type is there, and has no time."""
    if isinstance(element, Words):
        return None
    if isinstance(element, str):
        return time_interval(element)
    if "event" not in element and "repeat" not in element:
        return _period(element)
    parts = [time_interval(one) for one in element.get("event", [])]
    parts += [_period(one) for one in _walk(element, ["repeat", "boundsPeriod"])]
    return Interval(min(one.low for one in parts), max(one.high for one in parts)) if parts else None


def _match_date(element: Any, parameter: Parameter, modifier: str, text: str) -> bool:
    prefix, written = _prefixed(unescape(text))
    target, asked = _time_of(element), time_interval(written)
    if target is None:
        return False
    if prefix == "ap":
        slack = max(asked.high - asked.low, timedelta(days=1))
        return bool(target.low < asked.high + slack and target.high > asked.low - slack)
    return _compare(prefix, target, asked)


def _compare(prefix: str, target: Interval, asked: Interval) -> bool:
    inside = asked.low <= target.low and target.high <= asked.high
    verdicts: dict[str, Callable[[], bool]] = {
        "eq": lambda: inside,
        "ne": lambda: not inside,
        "gt": lambda: target.high > asked.high,
        "lt": lambda: target.low < asked.low,
        "ge": lambda: inside or target.high > asked.high,
        "le": lambda: inside or target.low < asked.low,
        "sa": lambda: target.low >= asked.high,
        "eb": lambda: target.high <= asked.low,
    }
    return bool(verdicts[prefix]())


def _precision(written: str) -> Decimal:
    """Half of the last digit written: 100 means [99.5, 100.5). 1e2 means [95, 105), by R4's table if not by its sentence."""
    exponent = Decimal(written).as_tuple().exponent
    assert isinstance(exponent, int)
    is_one_digit = re.fullmatch(r"-?\d[eE].*", written) is not None
    return Decimal(5).scaleb(exponent - 2 if is_one_digit else exponent - 1)


def _compare_numbers(prefix: str, target: Interval, written: str, factor: Decimal = Decimal(1)) -> bool:
    """Prefixes other than eq and ne take the number as exact (§3.1.1.4.6)."""
    asked, half = Decimal(written) * factor, _precision(written) * factor
    inside = asked - half <= target.low and target.high < asked + half
    near = abs(asked) / 10
    verdicts: dict[str, bool] = {
        "eq": inside,
        "ne": not inside,
        "gt": target.high > asked,
        "lt": target.low < asked,
        "ge": target.high >= asked,
        "le": target.low <= asked,
        "sa": target.low > asked,
        "eb": target.high < asked,
        "ap": target.low <= asked + near and target.high >= asked - near,
    }
    return verdicts[prefix]


def _match_number(element: Any, parameter: Parameter, modifier: str, text: str) -> bool:
    prefix, written = _prefixed(unescape(text))
    number = Decimal(str(element))
    return _compare_numbers(prefix, Interval(number, number), written)


# --- quantity (§3.1.1.4.11) ---


class Amount(NamedTuple):
    value: Interval
    system: str
    code: str
    unit: str


def _amounts(element: Any) -> list[Amount]:
    if "currency" in element:
        number = Decimal(str(element["value"]))
        return [Amount(Interval(number, number), CURRENCIES, element["currency"], "")]
    if "low" in element or "high" in element:
        named = element.get("low") or element["high"]
        low = Decimal(str(element["low"]["value"])) if "low" in element else Decimal("-Infinity")
        high = Decimal(str(element["high"]["value"])) if "high" in element else Decimal("Infinity")
        return [Amount(Interval(low, high), named.get("system", ""), named.get("code", ""), named.get("unit", ""))]
    if "value" not in element:
        return []
    number = Decimal(str(element["value"]))
    return [
        Amount(Interval(number, number), element.get("system", ""), element.get("code", ""), element.get("unit", ""))
    ]


def _match_quantity(element: Any, parameter: Parameter, modifier: str, text: str) -> bool:
    number, system, code = [*(unescape(part) for part in split(text, "|")), "", ""][:3]
    prefix, written = _prefixed(number)
    for amount in _amounts(element):
        factor = _factor(amount, system, code)
        if factor is not None and _compare_numbers(prefix, _times(amount.value, factor), written):
            return True
    return False


def _factor(amount: Amount, system: str, code: str) -> Decimal | None:
    """What the stored number is to be multiplied by to be in the unit asked for; None where it is in another kind of unit."""
    if not code:
        return Decimal(1)
    if not system:
        return Decimal(1) if code in (amount.code, amount.unit) else None
    if (system, code) == (amount.system, amount.code):
        return Decimal(1)
    if system == amount.system == UCUM and code in UNITS and amount.code in UNITS:
        (asked_base, asked_size), (base, size) = UNITS[code], UNITS[amount.code]
        return size / asked_size if asked_base == base else None
    return None


def _times(value: Interval, factor: Decimal) -> Interval:
    return Interval(value.low * factor, value.high * factor)


MATCH: dict[str, Callable[[Any, Parameter, str, str], bool]] = {
    "token": _match_token,
    "string": _match_string,
    "uri": _match_uri,
    "date": _match_date,
    "number": _match_number,
    "quantity": _match_quantity,
}


def _sort_time(element: Any, parameter: Parameter) -> list[datetime]:
    interval = _time_of(element)
    return [interval.low] if interval else []


def _sort_amount(element: Any, parameter: Parameter) -> list[tuple[str, Decimal]]:
    """By what is measured first, then how much: two numbers of different units have no order."""
    found = []
    for amount in _amounts(element):
        base, size = amount.code or amount.unit, Decimal(1)
        if amount.system == UCUM:
            base, size = UNITS.get(amount.code, (base, size))
        found.append((f"{base}|", amount.value.low * size))
    return found


def _sort_code(element: Any, parameter: Parameter) -> list[Coded]:
    """By code; where nothing has one, by system."""
    if parameter.form == "telecom":
        return [Coded("", element["value"].lower())]
    codes = [Coded("" if one.code else one.system, one.code) for one in _codes(element, parameter)]
    return [one for one in codes if any(one)]


SORT_KEYS: dict[str, Callable[[Any, Parameter], list[Any]]] = {
    "token": _sort_code,
    "string": lambda element, _: [fold(one)[:64] for one in _strings(element)],
    "uri": lambda element, _: [element],
    "date": _sort_time,
    "number": lambda element, _: [Decimal(str(element))],
    "quantity": _sort_amount,
}
