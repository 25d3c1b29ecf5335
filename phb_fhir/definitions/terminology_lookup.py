"""What is known about one code, as the Parameters of CodeSystem/$lookup (R4 §4.8.17).

`name`, `version`, `display` and `designation` are parameters of their own; everything else is a `property`. Without a
list of properties a caller gets all there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from phb_fhir.definitions.terminology_expand import speaks
from phb_fhir.definitions.terminology_systems import CodeSystem, dicts
from phb_fhir.definitions.terminology_value_sets import Held

Json = dict[str, Any]

_VALUE_TYPES = (
    "valueCode",
    "valueString",
    "valueBoolean",
    "valueInteger",
    "valueDateTime",
    "valueDecimal",
    "valueCoding",
)
_ABOVE_AND_BELOW = ("parent", "child", "notSelectable", "inactive")  # said in one way, however the system says it


def answer(held: Held, code: str, properties: tuple[str, ...], display_language: str = "") -> Json:
    """The Parameters for a code that the system has."""
    rows: list[Json] = [{"name": "name", "valueString": held.name}]
    if held.version:
        rows.append({"name": "version", "valueString": held.version})
    known = held.system if held.system is not None and code in held.system.concepts else None
    rows.append({"name": "display", "valueString": _display(known, code, display_language)})
    if known is not None:
        asked = frozenset(name for name in properties if name != "*")
        rows += _designations(known, code, asked)
        rows += _properties(known, code, asked)
    return {"resourceType": "Parameters", "parameter": rows}


def _display(system: CodeSystem | None, code: str, language: str) -> str:
    """R4 wants a display always; a code without one is its own."""
    if system is None:
        return code
    in_language = [d.get("value") for d in system.designations(code) if language and speaks(d, language)]
    return str(in_language[0]) if in_language else system.display(code) or code


def _designations(system: CodeSystem, code: str, asked: frozenset[str]) -> Iterator[Json]:
    languages = [name.removeprefix("lang.") for name in asked if name.startswith("lang.")]
    for row in system.designations(code):
        if asked and "designation" not in asked and not any(speaks(row, language) for language in languages):
            continue
        parts: list[Json] = []
        if isinstance(row.get("language"), str):
            parts.append({"name": "language", "valueCode": row["language"]})
        if isinstance(row.get("use"), dict):
            parts.append({"name": "use", "valueCoding": row["use"]})
        yield {"name": "designation", "part": [*parts, {"name": "value", "valueString": str(row.get("value", ""))}]}


def _properties(system: CodeSystem, code: str, asked: frozenset[str]) -> Iterator[Json]:
    rows: list[tuple[str, Json, str]] = []
    rows += [("definition", {"valueString": text}, "") for text in system.values(code, "definition")]
    for name, codes in (("parent", system.parents), ("child", system.children)):
        rows += [(name, {"valueCode": other}, system.display(other) or "") for other in codes.get(code, ())]
    rows.append(("inactive", {"valueBoolean": code in system.inactive}, ""))
    if code in system.abstract:
        rows.append(("notSelectable", {"valueBoolean": True}, ""))
    for prop in dicts(system.concepts[code].get("property")):
        value = {name: prop[name] for name in _VALUE_TYPES if name in prop}
        if value and isinstance(prop.get("code"), str) and system.role(prop["code"]) not in _ABOVE_AND_BELOW:
            rows.append((prop["code"], value, ""))
    for name, value, description in rows:
        if not asked or name in asked:
            yield {"name": "property", "part": list(_parts(name, value, description))}


def _parts(name: str, value: Json, description: str) -> Iterator[Json]:
    yield {"name": "code", "valueCode": name}
    yield {"name": "value", **value}
    if description:
        yield {"name": "description", "valueString": description}
