"""The invariants of every element and resource, and of the data types, in plain Python."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from phb_fhir.fhirpath.evaluate import compiled, evaluate
from phb_fhir.fhirpath.values import Items, compared_dates, compared_quantities
from phb_fhir.fhirpath.walk import Evaluation, Surroundings, item_of
from phb_fhir.validation.closure_makers import (
    Closure,
    Node,
    Table,
    Test,
    absent,
    any_of,
    excludes,
    is_not_after,
    keys_of,
    must,
    needs,
    one_of,
    only_if,
    says,
)
from phb_fhir.validation.wording import short

# ---- every element, every resource -----------------------------------------------------------------


def _ele_1(value: Any, twin: Any, _: Surroundings) -> bool:
    if type(value) is dict:
        return _children(value) > ("id" in value or "_id" in value)
    return value not in (None, "") or (type(twin) is dict and _children(twin) > ("id" in twin or "_id" in twin))


def _children(node: Node) -> int:
    return len(node) - ("resourceType" in node)


_EXTENSION_VALUES = keys_of(("value[x]",))


def _ext_1(node: Node, _twin: Any, _frame: Surroundings) -> bool:
    return ("extension" in node) is _EXTENSION_VALUES.isdisjoint(node)


def _ext_1_says(node: Any, _: Surroundings) -> str:
    if "extension" in node:
        return "An extension has a value or further extensions, not both."
    return "An extension has a value, or further extensions; this one has neither."


def _no_meta(*names: str) -> Test:
    properties = keys_of(names)

    def test(node: Node, _twin: Any, _frame: Surroundings) -> bool:
        return "contained" not in node or all(
            properties.isdisjoint(resource.get("meta", ())) for resource in node["contained"]
        )

    return test


def _dom_2(node: Node, _twin: Any, _frame: Surroundings) -> bool:
    return "contained" not in node or not any("contained" in resource for resource in node["contained"])


_DOM_3 = (
    "contained.where((('#'+id in (%resource.descendants().reference | %resource.descendants().as(canonical) | "
    "%resource.descendants().as(uri) | %resource.descendants().as(url))) or descendants().where(reference = '#').exists() "
    "or descendants().where(as(canonical) = '#').exists() or descendants().where(as(canonical) = '#').exists()).not())"
    ".trace('unmatched', id)"
)


def _unreferenced(node: Node, frame: Surroundings) -> Items:
    memory, key = frame.run.memory, (_unreferenced, id(node))
    if key not in memory:
        memory[key] = evaluate(compiled(_DOM_3), Evaluation(frame, item_of(node, "")))
    found: Items = memory[key]
    return found


def _dom_3(node: Node, _twin: Any, frame: Surroundings) -> bool:
    return "contained" not in node or not _unreferenced(node, frame)


def _dom_3_says(node: Any, frame: Surroundings) -> str:
    ids = ", ".join(f'"{short(str(resource.get("id", "")))}"' for resource, _, _ in _unreferenced(node, frame)[:12])
    return (
        f"A contained resource is part of what refers to it, and nothing refers to {ids}: refer to it, or leave it out."
    )


def _dom_6(node: Node, _twin: Any, frame: Surroundings) -> bool:
    narrative = node.get("text", ())
    return "div" in narrative or "_div" in narrative or frame.root is not node


# ---- data types ------------------------------------------------------------------------------------


def _ref_1(node: Node, _twin: Any, frame: Surroundings) -> bool:
    reference = node.get("reference")
    if type(reference) is not str or not reference.startswith("#") or reference == "#":
        return True
    return reference[1:] in _contained_ids(frame)


def _contained_ids(frame: Surroundings) -> frozenset[str]:
    key = (_contained_ids, id(frame.root))
    memory = frame.run.memory
    if key not in memory:
        memory[key] = frozenset(resource.get("id") for resource in frame.root.get("contained", ()))
    found: frozenset[str] = memory[key]
    return found


def _ref_1_says(node: Any, frame: Surroundings) -> str:
    key = (_ref_1_says, id(frame.root))  # worked out once: as many references may be wrong as there are ids to list
    memory = frame.run.memory
    if key not in memory:
        known = ", ".join(f'"#{short(id_)}"' for id_ in sorted(map(str, _contained_ids(frame)))[:12])
        memory[key] = f"it contains {known}" if known else "nothing is contained in it"
    return f'"{short(node["reference"])}" points to no resource contained in this one: {memory[key]}.'


def _per_1(node: Node, _twin: Any, _frame: Surroundings) -> bool:
    start, end = node.get("start"), node.get("end")
    if not start or not end:
        return True
    if is_not_after(start, end):
        return True
    # an end that is a date includes all of it; one to the second includes no more than it says
    return compared_dates(start, end) is None and "T" not in str(end)


def _per_1_says(node: Any, _: Surroundings) -> str:
    start, end = short(node["start"]), short(node["end"])
    if compared_dates(node["start"], node["end"]) is None:
        return (
            f'Whether the start "{start}" is before the end "{end}" cannot be told: give the time of the start as well.'
        )
    return f'A period starts before it ends; this one starts "{start}" and ends "{end}".'


def _rng_2(node: Node, _twin: Any, _frame: Surroundings) -> bool:
    low, high = node.get("low"), node.get("high")
    if low is None or high is None:
        return True
    order = compared_quantities(low, high)
    return order is not None and order <= 0


def _is_ucum(node: Node) -> bool:
    return not _SYSTEM.isdisjoint(node) and node.get("system") == "http://unitsofmeasure.org"


_SYSTEM, _CODE, _VALUE = keys_of(("system",)), keys_of(("code",)), keys_of(("value",))


def _is_in_ucum(node: Node) -> bool:
    """The part that age-1, cnt-3 and dis-1 share."""
    return (not _CODE.isdisjoint(node) or _VALUE.isdisjoint(node)) and (_SYSTEM.isdisjoint(node) or _is_ucum(node))


def _is_count(node: Node) -> bool:
    value = node.get("value")
    return (
        _is_in_ucum(node)
        and (_CODE.isdisjoint(node) or node.get("code") == "1")
        and (value is None or "." not in str(value))
    )


def _is_age(node: Node) -> bool:
    value = node.get("value")
    return _is_in_ucum(node) and (value is None or value > 0)


def _is_duration(node: Node) -> bool:
    return _CODE.isdisjoint(node) or (_is_ucum(node) and not _VALUE.isdisjoint(node))


def _is_not_negative(name: str) -> Callable[[Node], bool]:
    properties = keys_of((name,))

    def holds(node: Node) -> bool:
        value = node.get(name)
        return properties.isdisjoint(node) or (isinstance(value, int | Decimal) and value >= 0)

    return holds


def _is_ratio(node: Node) -> bool:
    has_numerator, has_denominator = "numerator" in node, "denominator" in node
    return has_numerator is has_denominator and (has_numerator or "extension" in node)


_MEALS = frozenset(("C", "CM", "CD", "CV"))


def _tim_9(node: Node) -> bool:
    when = node.get("when", ())
    return len(when) == 1 and when[0] not in _MEALS


# ---- the table -------------------------------------------------------------------------------------

TYPES: Table = {
    # every element and resource
    ("ele-1", "hasValue() or (children().count() > id.count())"): Closure(
        _ele_1, says("An element has a value or children, not an id alone.")
    ),
    ("ext-1", "extension.exists() != value.exists()"): Closure(_ext_1, _ext_1_says),
    ("dom-2", "contained.contained.empty()"): Closure(
        _dom_2, says("A contained resource contains no other: contain both in the outermost one.")
    ),
    ("dom-3", f"{_DOM_3}.empty()"): Closure(_dom_3, _dom_3_says),
    ("dom-4", "contained.meta.versionId.empty() and contained.meta.lastUpdated.empty()"): Closure(
        _no_meta("versionId", "lastUpdated"),
        says('A contained resource has no version of its own: leave its "meta.versionId" and "meta.lastUpdated" out.'),
    ),
    ("dom-5", "contained.meta.security.empty()"): Closure(
        _no_meta("security"),
        says('A contained resource is as secret as its container: put "meta.security" there.'),
    ),
    ("dom-6", "text.`div`.exists()"): Closure(
        _dom_6, says('A resource should have a narrative, so that a person can read it: give it "text.div".')
    ),
    # data types
    (
        "ref-1",
        "reference.startsWith('#').not() or (reference.substring(1).trace('url') in %rootResource.contained.id.trace('ids'))",
    ): Closure(_ref_1, _ref_1_says),
    ("per-1", "start.hasValue().not() or end.hasValue().not() or (start <= end)"): Closure(_per_1, _per_1_says),
    ("rng-2", "low.empty() or high.empty() or (low <= high)"): Closure(
        _rng_2, says("The low end of a range is not above its high end, and both are in the same unit.")
    ),
    ("rat-1", "(numerator.empty() xor denominator.exists()) and (numerator.exists() or extension.exists())"): must(
        _is_ratio, 'A ratio has "numerator" and "denominator", or neither of them and an extension that says why.'
    ),
    ("qty-3", "code.empty() or system.exists()"): needs("code", "system"),
    ("sqty-1", "comparator.empty()"): absent("comparator", 'A simple quantity is exact: it has no "comparator".'),
    (
        "age-1",
        ("(code.exists() or value.empty()) and (system.empty() or system = %ucum) and "
         "(value.empty() or value.hasValue().not() or value > 0)"),
    ): must(_is_age, 'An age is more than 0 and has a UCUM unit: "code" is given, "system" is http://unitsofmeasure.org.'),
    (
        "cnt-3",
        ("(code.exists() or value.empty()) and (system.empty() or system = %ucum) and (code.empty() or code = '1') and "
         "(value.empty() or value.hasValue().not() or value.toString().contains('.').not())"),
    ): must(_is_count, 'A count is a whole number of the UCUM unit "1" (http://unitsofmeasure.org).'),
    ("dis-1", "(code.exists() or value.empty()) and (system.empty() or system = %ucum)"): must(
        _is_in_ucum, 'A distance has a UCUM unit: "code" is given, "system" is http://unitsofmeasure.org.'
    ),
    ("drt-1", "code.exists() implies ((system = %ucum) and value.exists())"): must(
        _is_duration, 'A duration with a "code" has a "value", and its "system" is http://unitsofmeasure.org.'
    ),
    ("cpt-2", "value.empty() or system.exists()"): needs("value", "system"),
    ("att-1", "data.empty() or contentType.exists()"): needs("data", "contentType"),
    ("exp-1", "expression.exists() or reference.exists()"): any_of("expression", "reference"),
    ("tim-1", "duration.empty() or durationUnit.exists()"): needs("duration", "durationUnit"),
    ("tim-2", "period.empty() or periodUnit.exists()"): needs("period", "periodUnit"),
    ("tim-4", "duration.exists() implies duration >= 0"): must(
        _is_not_negative("duration"), '"duration" is 0 or more.'
    ),
    ("tim-5", "period.exists() implies period >= 0"): must(_is_not_negative("period"), '"period" is 0 or more.'),
    ("tim-6", "periodMax.empty() or period.exists()"): needs("periodMax", "period"),
    ("tim-7", "durationMax.empty() or duration.exists()"): needs("durationMax", "duration"),
    ("tim-8", "countMax.empty() or count.exists()"): needs("countMax", "count"),
    ("tim-9", "offset.empty() or (when.exists() and ((when in ('C' | 'CM' | 'CD' | 'CV')).not()))"): only_if(
        "offset", _tim_9, '"offset" is counted from one "when", and not from a meal itself (C, CM, CD, CV).'
    ),
    ("tim-10", "timeOfDay.empty() or when.empty()"): excludes("timeOfDay", "when"),
    ("trd-1", "data.empty() or timing.empty()"): excludes("data", "timing[x]"),
    ("trd-2", "condition.exists() implies data.exists()"): needs("condition", "data"),
    ("drq-1", "path.exists() xor searchParam.exists()"): one_of("path", "searchParam"),
    ("drq-2", "path.exists() xor searchParam.exists()"): one_of("path", "searchParam"),
}  # fmt: skip
