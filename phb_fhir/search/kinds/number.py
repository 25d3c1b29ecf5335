"""Number parameters: a prefix and a number (R4 §3.1.1.4.6).

As many digits as are written are meant: `100` is found by 99.5 and 100.4, `100.00` by neither. A number stored is one
point, whatever digits it was written with; a Range is all the numbers from its low to its high.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phb_fhir.definitions.load import SearchParameter
from phb_fhir.query import Node
from phb_fhir.search.escapes import unescape
from phb_fhir.search.kinds.interval import (
    Ends,
    Numbers,
    compare_number,
    keep,
    number_of,
    parse_number,
    range_of,
    split_prefix,
)
from phb_fhir.search.kinds.kind import Asked, Index, Kind, OwnAddress, Value


def parse(asked: Asked) -> Node:
    prefix, text = split_prefix(asked, unescape(asked.text))
    return compare_number(asked.parameter.code, prefix, parse_number(asked, text))


def index(made: Index, parameter: SearchParameter, values: Sequence[Value], is_list: bool, own: OwnAddress) -> None:  # noqa: ARG001
    found = list(dict.fromkeys(ends for _, element in values if (ends := _ends(element))))
    if found:
        made.spans[parameter.code] = [{"lo": ends.lo, "hi": ends.hi} for ends in found]
        keep(made, parameter.code, found, is_list)


def _ends(element: Any) -> Ends | None:
    if isinstance(element, dict):
        numbers = range_of(element)
        return numbers.ends() if numbers else None
    number = number_of(element)
    return None if number is None else Numbers(number, number).ends()


KIND = Kind(modifiers=(), parse=parse, index=index, sort="lo")
