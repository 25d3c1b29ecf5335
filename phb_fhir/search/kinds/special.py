"""Special parameters. R4 has one of its own making: Location `near` (R4 §8.7.5), how far away a place is.

`near=51.5|-0.12|10|km` finds the positions within 10 km of that latitude and longitude, measured along the great circle of a
sphere of the Earth's mean radius: at most half a percent from the truth. Without a unit, km are meant, as R4 says; without a
distance, `NEAR_KM`. Miles (`mi`, international ones) are taken, and every length of UCUM: `m`, `[mi_i]`, `[mi_us]`.

A place has no order on a line, so nothing is kept of it and nothing sorted by it: what else a search asks for is found first,
and the positions of that are looked at one by one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from phb_fhir.definitions.load import SearchParameter
from phb_fhir.definitions.ucum import canonical
from phb_fhir.fhir.dates import with_plus
from phb_fhir.query import Judge, Node
from phb_fhir.search.asking import unsupported
from phb_fhir.search.escapes import split_escaped
from phb_fhir.search.kinds.interval import number_of, wrong
from phb_fhir.search.kinds.keys import shown
from phb_fhir.search.kinds.kind import Asked, Index, Kind, OwnAddress, Value

NEAR_KM = 50
_EARTH_RADIUS_M = 6_371_008.8
_UNITS = {"": "km", "mi": "[mi_i]"}  # how these are called by UCUM
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}(?:\.[0-9]{1,30})?")
_RIGHT = "write [latitude]|[longitude], [latitude]|[longitude]|[distance] or [latitude]|[longitude]|[distance]|[units]"


def parse(asked: Asked) -> Node:
    if asked.parameter.code != "near":
        raise unsupported(f"{asked.name} is special, and not known here.")
    parts = split_escaped(asked.text, "|")
    if len(parts) not in (2, 3, 4):
        raise wrong(asked, f"it is no place; {_RIGHT}")
    latitude, longitude = _degrees(asked, parts[0], 90, "latitude"), _degrees(asked, parts[1], 180, "longitude")
    within_m = _metres(asked, *parts[2:])

    def is_near(resource: dict[str, Any]) -> bool:
        place = _place(resource)
        return place is not None and _distance_m((latitude, longitude), place) <= within_m

    return Judge(f"{asked.name}={asked.text}", is_near)


def _degrees(asked: Asked, text: str, most: int, name: str) -> float:
    if not _NUMBER.fullmatch(with_plus(text)) or abs(float(text)) > most:
        raise wrong(asked, f"'{shown(text)}' is no {name}; it is a number from -{most} to {most}")
    return float(text)


def _metres(asked: Asked, distance: str = "", units: str = "") -> float:
    if not distance:  # then R4 leaves it to the server, and units mean nothing
        return NEAR_KM * 1000.0
    if not _NUMBER.fullmatch(distance) or float(distance) < 0:
        raise wrong(asked, f"'{shown(distance)}' is no distance; it is a number of 0 or more")
    base = canonical(_UNITS.get(units, units))
    if base is None or base.unit != "m":
        raise wrong(asked, f"'{shown(units)}' is no unit of length; write km, mi, or UCUM's code, such as m or [mi_us]")
    return float(distance) * float(base.factor)


def _place(resource: dict[str, Any]) -> tuple[float, float] | None:
    """Latitude and longitude; None where a place is not stated, or is nowhere."""
    position = resource.get("position")
    if not isinstance(position, dict):
        return None
    latitude, longitude = number_of(position.get("latitude")), number_of(position.get("longitude"))
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return None
    return float(latitude), float(longitude)


def _distance_m(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Along the great circle (the haversine formula, which is steady for places close together)."""
    (latitude, longitude), (other_latitude, other_longitude) = one, other
    rise, turn = math.radians(other_latitude - latitude), math.radians(other_longitude - longitude)
    across = math.cos(math.radians(latitude)) * math.cos(math.radians(other_latitude))
    share = math.sin(rise / 2) ** 2 + across * math.sin(turn / 2) ** 2
    return 2 * _EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, share)))


def index(made: Index, parameter: SearchParameter, values: Sequence[Value], is_list: bool, own: OwnAddress) -> None:
    """Nothing is kept."""


KIND = Kind(modifiers=(), parse=parse, index=index, sort="")
