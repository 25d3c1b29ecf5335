"""Small code systems and value sets, and the bound codes of a resource, for the tests of terminology."""

from __future__ import annotations

from phb_fhir.definitions.load import load
from phb_fhir.definitions.terminology import Terminology

R4 = load()
FOOD = "http://example.org/food"
FOODS = "http://example.org/ValueSet/foods"
NOW = "2026-11-22T09:00:00Z"
PROPERTIES = "http://hl7.org/fhir/concept-properties#"


def concept(code, *children, display=None, **properties):
    made = {"code": code, "display": display or code.capitalize()}
    if properties:
        made["property"] = [_property(name, value) for name, value in properties.items()]
    if children:
        made["concept"] = list(children)
    return made


def _property(name, value):
    kind = {bool: "valueBoolean", int: "valueInteger", dict: "valueCoding"}.get(type(value), "valueString")
    return {"code": name, kind: value}


def code_system(*concepts, url=FOOD, **more):
    return {
        "resourceType": "CodeSystem",
        "url": url,
        "version": "1.0",
        "name": "Food",
        "title": "Food",
        "status": "active",
        "caseSensitive": True,
        "content": "complete",
        "concept": list(concepts),
        **more,
    }


def food(**more):
    """Fruit (of which apples and pears) and roots; swede is no longer used, `fruit` itself is only a heading."""
    return code_system(
        concept(
            "fruit",
            concept("apple", concept("bramley", colour="green"), colour="red"),
            concept("pear", colour="green"),
            notSelectable=True,
        ),
        concept("root", concept("carrot", colour="orange"), concept("swede", inactive=True)),
        property=[{"code": "colour", "type": "string"}],
        **more,
    )


def value_set(*includes, url=FOODS, exclude=(), **more):
    compose = {"include": list(includes)}
    if exclude:
        compose["exclude"] = list(exclude)
    compose |= more.pop("compose", {})
    return {
        "resourceType": "ValueSet",
        "url": url,
        "name": "Foods",
        "title": "Foods",
        "status": "active",
        "compose": compose,
        **more,
    }


def all_food(**more):
    return {"system": FOOD, **more}


def where(prop, op, value):
    return {"system": FOOD, "filter": [{"property": prop, "op": op, "value": value}]}


def listing(*codes, system=FOOD):
    return {"system": system, "concept": [code if isinstance(code, dict) else {"code": code} for code in codes]}


def knowing(*resources):
    return Terminology.of(R4, resources)


def judged(terminology, *codes, system=FOOD, value_set=FOODS):
    """Whether each code is in the value set: True, False or None."""
    return [terminology.validate_code(value_set, system, code).valid for code in codes]


def codes_in(terminology, value_set, **asked):
    """The codes of the expansion, in order."""
    expansion = terminology.expand(value_set, **asked)["expansion"]
    return [row["code"] for row in expansion.get("contains", [])]


def bound_codes(resource):
    """Every code of the resource that has a binding: strength, value set, path, [(system, code, display)]."""
    yield from _bound(resource, resource["resourceType"], resource["resourceType"])


def _bound(node, type_name, path):
    for key, value in node.items():
        element = R4.type(type_name).elements.get(key)
        if element is None:
            continue
        for item in value if isinstance(value, list) else [value]:
            here = f"{path}.{key}"
            if element.binding:
                yield from _of_binding(element, item, here)
            if isinstance(item, dict) and element.type == "Resource":
                yield from _bound(item, item["resourceType"], here)
            elif isinstance(item, dict):
                yield from _bound(item, element.type, here)


def _of_binding(element, item, path):
    if isinstance(item, str):
        codes = [(None, item, None)]
    else:
        rows = item.get("coding", []) if element.type == "CodeableConcept" else [item]
        codes = [(row.get("system", ""), row["code"], row.get("display")) for row in rows if "code" in row]
    if codes:
        yield element.binding.strength, element.binding.value_set, path, codes
        if element.binding.largest:
            yield "required", element.binding.largest, path, codes
