"""FHIR's XML as FHIR's JSON (R4 xml.html, json.html), for public test suites that are written in XML.

Only tests need this: the server speaks JSON. Which elements repeat and which are numbers is read from the definitions.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

from phb_fhir.definitions.load import Element, load
from phb_fhir.fhir.codec import Exact

XHTML = "http://www.w3.org/1999/xhtml"
DEFINITIONS = load()

# How a primitive's `value` attribute reads in JSON, where that is not a string.
_JSON_VALUES: dict[str, Callable[[str], Any]] = {
    "boolean": {"true": True, "false": False}.__getitem__,
    "integer": int,
    "unsignedInt": int,
    "positiveInt": int,
    "decimal": Exact,
}


def resource_of(xml: ET.Element) -> dict[str, Any]:
    """The resource that `xml`, an element named for its type, stands for."""
    return {"resourceType": _name(xml), **_object(xml, _name(xml))}


def _object(xml: ET.Element, type_name: str) -> dict[str, Any]:
    made: dict[str, Any] = dict(xml.attrib)  # Element.id and Extension.url
    elements = DEFINITIONS.type(type_name).elements
    for name in dict.fromkeys(_name(child) for child in xml):
        element = elements[name]
        pairs = [_pair(child, element) for child in xml if _name(child) == name]
        values, companions = [value for value, _ in pairs], [companion for _, companion in pairs]
        if not element.is_list:
            assert len(pairs) == 1, f"{type_name}.{name} does not repeat"
        for key, column in ((name, values), (f"_{name}", companions)):
            if any(item is not None for item in column):
                made[key] = column if element.is_list else column[0]
    return made


def _pair(xml: ET.Element, element: Element) -> tuple[Any, dict[str, Any] | None]:
    if element.type == "xhtml":
        return _markup(xml), None
    if element.type == "Resource":
        return resource_of(xml[0]), None
    if element.type not in DEFINITIONS.primitive_types:
        return _object(xml, element.type), None
    value = xml.attrib.pop("value", None)
    read = _JSON_VALUES.get(element.type, str)
    return None if value is None else read(value), _object(xml, element.type) or None


def _markup(xml: ET.Element) -> str:
    xml.tail = None
    return ET.tostring(xml, encoding="unicode", default_namespace=XHTML)


def _name(xml: ET.Element) -> str:
    return xml.tag.rpartition("}")[2]
