"""The operators of `_filter`, and what each asks of a parameter (http://hl7.org/fhir/R4/search_filter.html).

A test means what the same parameter means elsewhere: the operator becomes a prefix or a modifier, and the parameter's kind
does the rest, so `birthdate ge 2000` and `birthdate=ge2000` are one question. `OPERATORS` is R4's table of which operators
have a meaning for which kind; the others are refused. Tokens are compared as everywhere here, not in any case.

`ne` of a token, string, reference or uri asks for resources that have values, none of which is the one named. The page
says "an item in the set has an unequal value", of which the set of one is the clear case; for more this agrees with `:not`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from phb_fhir.definitions.load import SearchParameter
from phb_fhir.fhir.dates import span_of, with_plus
from phb_fhir.query import AllOf, Bound, Judge, Key, KeyPart, KeyRange, Node, Not, Span
from phb_fhir.search.asking import Asking, Condition, Types, badly_written, unsupported
from phb_fhir.search.conditions import OWN, absent, check_escapes, kind_of, plain, present
from phb_fhir.search.expressions import extractor
from phb_fhir.search.kinds.kind import Asked, Index
from phb_fhir.search.kinds.string import fold

# code systems that a filter may call by a short name
SHORT_SYSTEMS = {
    "loinc": "http://loinc.org",
    "snomed": "http://snomed.info/sct",
    "rxnorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "ucum": "http://unitsofmeasure.org",
}

_SHORT = re.compile(rf"(?:^|(?<=[$|]))(?:{'|'.join(SHORT_SYSTEMS)})(?=\|)")


class _Test(NamedTuple):
    """One parameter in a test, and what it is read against."""

    parameter: SearchParameter
    asking: Asking

    @property
    def code(self) -> str:
        return self.parameter.code

    def ask(self, value: str, modifier: str = "") -> Node:
        """What the parameter's kind makes of a value."""
        check_escapes(self.code, value)
        return kind_of(self.parameter).parse(Asked(self.parameter, modifier, value, self.asking.codes, self.asking.own))


Meaning = Callable[[_Test, str], Node]  # of an operator, once its value is there


def operation(name: str, operator: str, types: Types, asking: Asking) -> Condition:
    """What `name operator` asks, once the value is there. Raises Rejected for an operator without a meaning there."""
    if ":" in name:
        raise badly_written(
            f"_filter: {name}: a filter has operators instead of modifiers; known are {', '.join(_ALL)}."
        )
    if operator not in _ALL:
        raise unsupported(f"_filter: '{operator}' is no operator; known are {', '.join(_ALL)}.")
    if name in OWN:
        return _own(name, operator, types, asking)
    parameter = asking.parameter(types, name)
    meanings = OPERATORS[parameter.type]
    if operator not in meanings:
        known = ", ".join(meanings)
        raise unsupported(
            f"_filter: '{operator}' has no meaning for {name}, a {parameter.type} parameter; {known} have."
        )
    return partial(meanings[operator], _Test(parameter, asking))


def _own(name: str, operator: str, types: Types, asking: Asking) -> Condition:
    """The parameters that no search type describes."""
    if name not in _OWN_OPERATORS:
        return plain(types, name, asking)  # which says why not
    forms = _OWN_OPERATORS[name]
    if operator not in forms:
        raise unsupported(f"_filter: '{operator}' has no meaning for {name}; {', '.join(forms)} have.")
    modifier, prefix = forms[operator]
    asks = plain(types, f"{name}{modifier}", asking)
    return lambda value: asks(prefix + _literal(value))


def _prefixed(prefix: str) -> Meaning:
    return lambda test, value: test.ask(prefix + _with_system(value))


def _modified(modifier: str) -> Meaning:
    return lambda test, value: test.ask(_with_system(value), modifier)


def _equal(test: _Test, value: str) -> Node:
    return test.ask(_with_system(value))


def _unequal(test: _Test, value: str) -> Node:
    return AllOf((present(test.parameter), Not(_equal(test, value))))


def _is_present(test: _Test, value: str) -> Node:
    if value not in ("true", "false"):
        raise badly_written(f"_filter: {test.code} pr {value}: it is true or false.")
    return present(test.parameter) if value == "true" else absent(test.parameter)


def _literal(value: str) -> str:
    """The text as it is written between commas, where it means itself."""
    return re.sub(r"([,|$\\])", r"\\\1", value)


def _with_system(value: str) -> str:
    return _SHORT.sub(lambda found: SHORT_SYSTEMS[found[0]], value)


# dates: as the periods they stand for


def _overlaps(test: _Test, value: str) -> Node:
    start, end = _period(test, value)
    return Span(test.code, (Bound("lo", "<", end), Bound("hi", ">", start)))


def _covers(test: _Test, value: str) -> Node:
    start, end = _period(test, value)
    return Span(test.code, (Bound("lo", "<=", start), Bound("hi", ">=", end)))


def _period(test: _Test, value: str) -> tuple[str, str]:
    """The period [start, end) that a date stands for."""
    test.ask(f"eq{value}")  # says what is wrong with it
    return span_of(with_plus(value))


# strings: compared folded, whole entries of the index


def _string_prefix(test: _Test, value: str) -> Node:
    return test.ask(_literal(value))


def _string_part(test: _Test, value: str) -> Node:
    return test.ask(_literal(value), "contains")


def _string_equal(test: _Test, value: str) -> Node:
    return Key((_entry(test, value),))


def _string_unequal(test: _Test, value: str) -> Node:
    return AllOf((present(test.parameter), Not(_string_equal(test, value))))


def _string_end(test: _Test, value: str) -> Node:
    """No index knows the ends of words: the entries that have it anywhere are looked at one by one."""
    entry = _entry(test, value)
    ending = entry.partition("=")[2]
    judge = Judge(f"_filter={test.parameter.url} ew {value}", partial(_ends_with, test, ending))
    return AllOf((KeyPart(f"{test.code}=", ending), judge))


def _ends_with(test: _Test, ending: str, resource: dict[str, Any]) -> bool:
    parameter, asking = test
    values = extractor(asking.definitions, parameter, resource["resourceType"]).values(resource)
    made = Index()
    kind_of(parameter).index(made, parameter, values, True, asking.own)
    return any(key.startswith(f"{parameter.code}=") and key.endswith(ending) for key in made.keys)


def _string_range(operator: str) -> Meaning:
    """R4: by the code points of the text, in any case."""

    def compared(test: _Test, value: str) -> Node:
        entry, start, end = _entry(test, value), f"{test.code}=", f"{test.code}>"
        beyond = entry + "\x00"  # nothing lies between a text and this
        low, high = {"lt": (start, entry), "le": (start, beyond), "gt": (beyond, end), "ge": (entry, end)}[operator]
        return KeyRange(low, high)

    return compared


def _entry(test: _Test, value: str) -> str:
    test.ask(_literal(value))  # says what is wrong with it
    return f"{test.code}={fold(value)}"


_ORDERED = ("eq", "ne", "gt", "lt", "ge", "le", "ap", "sa", "eb")
_PREFIXES: dict[str, Meaning] = {prefix: _prefixed(prefix) for prefix in _ORDERED}
_PRESENT: dict[str, Meaning] = {"pr": _is_present}

OPERATORS: Mapping[str, Mapping[str, Meaning]] = {
    "string": {
        "eq": _string_equal,
        "ne": _string_unequal,
        "co": _string_part,
        "sw": _string_prefix,
        "ew": _string_end,
        **{operator: _string_range(operator) for operator in ("gt", "lt", "ge", "le")},
        **_PRESENT,
    },
    "number": {**_PREFIXES, **_PRESENT},
    "date": {**_PREFIXES, "po": _overlaps, "co": _covers, **_PRESENT},
    "quantity": {**_PREFIXES, **_PRESENT},
    "token": {
        "eq": _equal,
        "ne": _unequal,
        "in": _modified("in"),
        "ni": _modified("not-in"),
        "ss": _modified("below"),  # the value subsumes a concept there
        "sb": _modified("above"),
        **_PRESENT,
    },
    "reference": {"re": _equal, "eq": _equal, "ne": _unequal, **_PRESENT},
    "uri": {"eq": _equal, "ne": _unequal, **_PRESENT},
    "composite": {"eq": _equal},
    "special": {"eq": _equal},
}
_OWN_OPERATORS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "_id": {"eq": ("", ""), "ne": (":not", "")},
    "_lastUpdated": {prefix: ("", prefix) for prefix in _ORDERED},
    "_list": {"eq": ("", "")},
    "_text": {"co": ("", "")},
    "_content": {"co": ("", "")},
}
_ALL = tuple(dict.fromkeys(operator for row in OPERATORS.values() for operator in row))
