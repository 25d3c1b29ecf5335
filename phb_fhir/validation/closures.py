"""The invariants met most often, in plain Python: what they test, and the sentence that says what is wrong.

`CLOSURES` is the table, by key and expression: an invariant whose expression is another than the one here is evaluated as
FHIRPath. Each row is made by one of a few makers, because most invariants say one of a few things: one element needs
another, two exclude each other, at least one of several must be there. A test proves on generated data that each row and
its FHIRPath agree.

A test gets an element as the structure has it: an object, or for a primitive its value and its twin. "There" means that
the element has a value or, in its twin, extensions (`birthDate` or `_birthDate`), as FHIRPath's `exists()` has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from phb_fhir.validation.fhirpath import compiled, evaluate
from phb_fhir.validation.fhirpath_values import Items, compared_dates, compared_quantities
from phb_fhir.validation.fhirpath_walk import Evaluation, Surroundings, item_of
from phb_fhir.validation.wording import short

Node: TypeAlias = dict[str, Any]
Test: TypeAlias = Callable[[Any, Any, Surroundings], object]
Sentence: TypeAlias = Callable[[Any, Surroundings], str]


class Closure(NamedTuple):
    """Whether an invariant holds (value, twin, surroundings), and what to say where it does not."""

    test: Test
    sentence: Sentence


# ---- what is there ---------------------------------------------------------------------------------

_OPEN_TYPES = """
    Address Age Annotation Attachment Base64Binary Boolean Canonical Code CodeableConcept Coding ContactDetail ContactPoint
    Contributor Count DataRequirement Date DateTime Decimal Distance Dosage Duration Expression HumanName Id Identifier
    Instant Integer Markdown Meta Money Oid ParameterDefinition Period PositiveInt Quantity Range Ratio Reference
    RelatedArtifact SampledData Signature String Time Timing TriggerDefinition UnsignedInt Uri Url UsageContext Uuid
""".split()  # noqa: SIM905 - what a value[x] of any type may be (R4 §2.24.0.4)


def _properties(names: Iterable[str]) -> frozenset[str]:
    """The JSON properties of these elements, twins included; `value[x]` stands for all its spellings."""
    plain = [
        spelling
        for name in names
        for spelling in ([f"{name[:-3]}{type_}" for type_ in _OPEN_TYPES] if name.endswith("[x]") else [name])
    ]
    return frozenset((*plain, *(f"_{name}" for name in plain)))


def _named(names: Iterable[str]) -> str:
    *most, last = (f'"{name}"' for name in names)
    return f"{', '.join(most)} and {last}" if most else last


def _codes(concept: Any, system: str, codes: frozenset[str]) -> bool:
    """Whether a CodeableConcept has one of these codes of a system."""
    return type(concept) is dict and any(
        coding.get("system") == system and coding.get("code") in codes for coding in concept.get("coding", ())
    )


def _count(node: Node, *names: str) -> int:
    """How many values these elements have between them."""
    return sum(_length(node, name) for name in names)


def _length(node: Node, name: str) -> int:
    value, twin = node.get(name), node.get(f"_{name}")
    sizes = [len(one) if type(one) is list else 1 for one in (value, twin) if one is not None]
    return max(sizes, default=0)


# ---- makers ----------------------------------------------------------------------------------------


def _says(text: str) -> Sentence:
    return lambda _value, _frame: text


def needs(element: str, other: str) -> Closure:
    """Where one element is, the other is."""
    asking, needed = _properties((element,)), _properties((other,))

    def test(node: Node, _twin: Any, _frame: Surroundings) -> bool:
        return asking.isdisjoint(node) or not needed.isdisjoint(node)

    return Closure(test, _says(f'"{element}" is given without "{other}": give "{other}" as well, or leave both out.'))


def excludes(element: str, other: str) -> Closure:
    """At most one of two elements is there."""
    one, two = _properties((element,)), _properties((other,))

    def test(node: Node, _twin: Any, _frame: Surroundings) -> bool:
        return one.isdisjoint(node) or two.isdisjoint(node)

    return Closure(test, _says(f'"{element}" and "{other}" are given together: only one of them may be.'))


def any_of(*elements: str) -> Closure:
    """At least one of several elements is there."""
    properties = _properties(elements)

    def test(node: Node, _twin: Any, _frame: Surroundings) -> bool:
        return not properties.isdisjoint(node)

    return Closure(test, _says(f"None of {_named(elements)} is given: at least one must be."))


def one_of(element: str, other: str) -> Closure:
    """Exactly one of two elements is there."""
    one, two = _properties((element,)), _properties((other,))

    def test(node: Node, _twin: Any, _frame: Surroundings) -> bool:
        return one.isdisjoint(node) is not two.isdisjoint(node)

    return Closure(test, _says(f'Exactly one of "{element}" and "{other}" is to be given; both are, or neither is.'))


def needs_both_or_none(element: str, other: str) -> Closure:
    """Both elements are there, or neither."""
    one, two = _properties((element,)), _properties((other,))

    def test(node: Node, _twin: Any, _frame: Surroundings) -> bool:
        return one.isdisjoint(node) is two.isdisjoint(node)

    return Closure(test, _says(f'"{element}" and "{other}" are to be given together, or neither.'))


def absent(element: str, why: str) -> Closure:
    """An element is not there."""
    properties = _properties((element,))
    return Closure(lambda node, _twin, _frame: properties.isdisjoint(node), _says(why))


def only_if(element: str, holds: Callable[[Node], object], why: str) -> Closure:
    """An element may be there only under a condition."""
    properties = _properties((element,))
    return Closure(lambda node, _twin, _frame: properties.isdisjoint(node) or holds(node), _says(why))


def required_if(element: str, holds: Callable[[Node], object], why: str) -> Closure:
    """An element must be there under a condition."""
    properties = _properties((element,))
    return Closure(lambda node, _twin, _frame: not properties.isdisjoint(node) or not holds(node), _says(why))


def must(holds: Callable[[Node], object], why: str) -> Closure:
    """A condition on an object."""
    return Closure(lambda node, _twin, _frame: holds(node), _says(why))


def _is(name: str, *codes: str) -> Callable[[Node], bool]:
    wanted = frozenset(codes)
    return lambda node: node.get(name) in wanted


def _is_other_than(name: str, code: str) -> Callable[[Node], bool]:
    """FHIRPath's `name != 'code'`: not true where the element is missing altogether."""
    properties = _properties((name,))
    return lambda node: node.get(name) != code and not properties.isdisjoint(node)


def _each(name: str, holds: Callable[[Node], object]) -> Callable[[Node], bool]:
    return lambda node: all(holds(item) for item in node.get(name, ()))


def _are_distinct(values: Iterable[Any]) -> bool:
    every = list(values)
    return len(set(every)) == len(every)


# ---- every element, every resource -----------------------------------------------------------------


def _ele_1(value: Any, twin: Any, _: Surroundings) -> bool:
    if type(value) is dict:
        return _children(value) > ("id" in value or "_id" in value)
    return value not in (None, "") or (type(twin) is dict and _children(twin) > ("id" in twin or "_id" in twin))


def _children(node: Node) -> int:
    return len(node) - ("resourceType" in node)


_EXTENSION_VALUES = _properties(("value[x]",))


def _ext_1(node: Node, _twin: Any, _frame: Surroundings) -> bool:
    return ("extension" in node) is _EXTENSION_VALUES.isdisjoint(node)


def _ext_1_says(node: Any, _: Surroundings) -> str:
    if "extension" in node:
        return "An extension has a value or further extensions, not both."
    return "An extension has a value, or further extensions; this one has neither."


def _no_meta(*names: str) -> Test:
    properties = _properties(names)

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
    return evaluate(compiled(_DOM_3), Evaluation(frame, item_of(node, "")))


def _dom_3(node: Node, _twin: Any, frame: Surroundings) -> bool:
    return "contained" not in node or not _unreferenced(node, frame)


def _dom_3_says(node: Any, frame: Surroundings) -> str:
    ids = ", ".join(f'"{short(str(resource.get("id", "")))}"' for resource, _, _ in _unreferenced(node, frame)[:12])
    return f"A contained resource is part of what refers to it, and nothing refers to {ids}: refer to it, or leave it out."


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
    known = ", ".join(f'"#{short(str(id_))}"' for id_ in sorted(map(str, _contained_ids(frame)))[:12])
    there = f"it contains {known}" if known else "nothing is contained in it"
    return f'"{short(node["reference"])}" points to no resource contained in this one: {there}.'


def _per_1(node: Node, _twin: Any, _frame: Surroundings) -> bool:
    start, end = node.get("start"), node.get("end")
    if not start or not end:
        return True
    return _is_not_after(start, end)


def _is_not_after(start: str, end: str) -> bool:
    """Whether a date or time is certainly not after another."""
    if len(start) == len(end) and start[19:] == end[19:]:
        return start <= end  # written alike, in the same zone: the texts are in the order of the times
    order = compared_dates(start, end)
    return order is not None and order <= 0


def _per_1_says(node: Any, _: Surroundings) -> str:
    start, end = short(node["start"]), short(node["end"])
    if compared_dates(node["start"], node["end"]) is None:
        return f'Whether the start "{start}" is before the end "{end}" cannot be told: give both to the same precision.'
    return f'A period starts before it ends; this one starts "{start}" and ends "{end}".'


def _rng_2(node: Node, _twin: Any, _frame: Surroundings) -> bool:
    low, high = node.get("low"), node.get("high")
    if low is None or high is None:
        return True
    order = compared_quantities(low, high)
    return order is not None and order <= 0


def _is_ucum(node: Node) -> bool:
    return not _SYSTEM.isdisjoint(node) and node.get("system") == "http://unitsofmeasure.org"


_SYSTEM, _CODE, _VALUE = _properties(("system",)), _properties(("code",)), _properties(("value",))


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
    properties = _properties((name,))

    def holds(node: Node) -> bool:
        value = node.get(name)
        return properties.isdisjoint(node) or (isinstance(value, int | Decimal) and value >= 0)

    return holds


_NUMERATOR, _DENOMINATOR = _properties(("numerator",)), _properties(("denominator",))


def _is_ratio(node: Node) -> bool:
    has_numerator, has_denominator = "numerator" in node, "denominator" in node
    return has_numerator is has_denominator and (has_numerator or "extension" in node)


_START, _END, _URL = _properties(("start",)), _properties(("end",)), _properties(("url",))
_OPTIONS, _ASKING = _properties(("answerOption", "answerValueSet")), _properties(("required", "repeats"))
_BOUND = _properties(("valueSet", "description"))
_MEALS = frozenset(("C", "CM", "CD", "CV"))


def _tim_9(node: Node) -> bool:
    when = node.get("when", ())
    return len(when) == 1 and when[0] not in _MEALS


# ---- resources -------------------------------------------------------------------------------------


def _inv_1_of_task(node: Node) -> bool:
    authored, modified = node.get("authoredOn"), node.get("lastModified")
    if authored is None or modified is None:  # without a value there is nothing to compare, and that does not hold
        return _AUTHORED.isdisjoint(node) or _MODIFIED.isdisjoint(node)
    return _is_not_after(authored, modified)


_AUTHORED, _MODIFIED = _properties(("authoredOn",)), _properties(("lastModified",))


def _inv_1_says(node: Any, _: Surroundings) -> str:
    authored, modified = short(str(node.get("authoredOn"))), short(str(node.get("lastModified")))
    return f'A task is last modified at its creation or later; this one was created "{authored}" and modified "{modified}".'


_CLINICAL_ALLERGY = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_IN_ERROR = frozenset(("entered-in-error",))
_ABATED = frozenset(("resolved", "remission", "inactive"))


def _is_in_error(system: str) -> Callable[[Node], bool]:
    return lambda node: _codes(node.get("verificationStatus"), system, _IN_ERROR)


def _con_3(node: Node) -> bool:
    return "clinicalStatus" in node or "category" not in node or _is_in_error(_VERIFICATION)(node)


def _ppc(code: str) -> Closure:
    return required_if(
        "patient",
        lambda node: _codes(node.get("scope"), "something", frozenset((code,))),
        f"A consent of the scope {code} names its patient.",
    )


def _obs_7(node: Node) -> bool:
    codings = [coding for coding in node.get("code", {}).get("coding", ()) if type(coding) is dict]
    return _OBSERVED.isdisjoint(node) or not any(
        coding in codings for component in node.get("component", ()) for coding in component.get("code", {}).get("coding", ())
    )


_OBSERVED = _properties(("value[x]",))


# ---- Bundle ----------------------------------------------------------------------------------------


def _entries_with(name: str, *types: str) -> Test:
    wanted = frozenset(types)

    def test(node: Node, _twin: Any, frame: Surroundings) -> bool:
        if "entry" not in node:
            return True
        if "type" not in frame.resource and "_type" not in frame.resource:
            return False
        expected = frame.resource.get("type") in wanted
        return all((name in entry) is expected for entry in node["entry"])

    return test


def _entries_say(name: str, *types: str) -> Sentence:
    def sentence(node: Any, _: Surroundings) -> str:
        kind = short(str(node.get("type")))
        if kind in types:
            return f'Each entry of a Bundle of type "{kind}" has "{name}".'
        return f'An entry has "{name}" only in a Bundle of type {" or ".join(types)}; this one is "{kind}".'

    return sentence


def _bdl_7(node: Node) -> bool:
    if node.get("type") == "history":
        return True
    return _are_distinct(
        (entry.get("fullUrl"), entry.get("resource", {}).get("meta", {}).get("versionId"))
        for entry in node.get("entry", ())
        if "fullUrl" in entry
    )


def _first_entry_is(bundle: str, resource: str) -> Callable[[Node], bool]:
    def holds(node: Node) -> bool:
        if node.get("type") != bundle:
            return "type" in node or "_type" in node or _first_type(node) == resource
        return _first_type(node) == resource

    return holds


def _first_type(node: Node) -> Any:
    first = next(iter(node.get("entry", ())), {})
    return first.get("resource", {}).get("resourceType")


def _document(holds: Callable[[Node], object]) -> Callable[[Node], object]:
    """`type = 'document' implies …`; where there is no type, only what follows can make it true."""

    def test(node: Node) -> object:
        if node.get("type") != "document" and ("type" in node or "_type" in node):
            return True
        return holds(node)

    return test


def _is_identified(node: Node) -> bool:
    identifier = node.get("identifier", ())
    return ("system" in identifier or "_system" in identifier) and ("value" in identifier or "_value" in identifier)


# ---- Questionnaire ---------------------------------------------------------------------------------

_TYPE = _properties(("type",))
_WITH_OPTIONS = frozenset(
    ("choice", "open-choice", "decimal", "integer", "date", "dateTime", "time", "string", "quantity")
)
_WITH_LENGTH = frozenset(("boolean", "decimal", "integer", "string", "text", "url", "open-choice"))


def _que_1(node: Node) -> bool:
    type_, has_items = node.get("type"), "item" in node
    if _TYPE.isdisjoint(node):
        return False  # `type` is required; nothing can be said of an item without it
    return has_items if type_ == "group" else type_ != "display" or not has_items


def _que_13(node: Node) -> bool:
    return node.get("repeats") is True or _count(node, "initial") <= 1


def _name_0(node: Node) -> bool:
    name = node.get("name")
    return "name" not in node and "_name" not in node or (type(name) is str and _NAME.fullmatch(name) is not None)


_NAME = re.compile(r"[A-Z][A-Za-z0-9_]{0,254}")


def _name_0_says(node: Any, _: Surroundings) -> str:
    name = short(str(node.get("name")))
    return (
        f'"{name}" is a name for people: "name" is meant for software (a capital letter, then letters, digits and _, '
        'without spaces), and "title" is for people.'
    )


# ---- StructureDefinition and ElementDefinition -----------------------------------------------------


def _eld_2(node: Node) -> bool:
    least, most = node.get("min"), node.get("max")
    if _MIN.isdisjoint(node) or _MAX.isdisjoint(node) or most == "*":
        return True
    return type(most) is str and most.isascii() and most.isdigit() and type(least) is int and least <= int(most)


_MIN, _MAX = _properties(("min",)), _properties(("max",))


def _types_have_distinct_codes(node: Node) -> bool:
    return _are_distinct(row.get("code") for row in node.get("type", ()) if "code" in row or "_code" in row)


def _constraints_have_distinct_keys(node: Node) -> bool:
    return _are_distinct(row.get("key") for row in node.get("constraint", ()) if "key" in row or "_key" in row)


def _eld_12(node: Node) -> bool:
    value_set = node.get("valueSet")
    if "valueSet" not in node and "_valueSet" not in node:
        return True
    return type(value_set) is str and value_set.startswith(("http:", "https", "urn:"))


def _eld_3(value: Any, _twin: Any, _frame: Surroundings) -> bool:
    return value == "*" or (type(value) is str and _WHOLE.fullmatch(value) is not None)


_WHOLE = re.compile(r"\+?[0-9]{1,18}|-0{1,18}")
_FIXED_KINDS = ("defaultValue[x]", "fixed[x]", "pattern[x]", "example", "minValue[x]", "maxValue[x]", "maxLength", "binding")
_OWN_CONTENT = _properties(("type", *_FIXED_KINDS))


# ---- the table -------------------------------------------------------------------------------------

_NAME_EXPRESSION = "name.matches('[A-Z]([A-Za-z0-9_]){0,254}')"
_VERIFIED = f"verificationStatus.coding.where(system = '{_CLINICAL_ALLERGY}' and code = 'entered-in-error')"
_DISPLAY = "An item of the type display"

CLOSURES: dict[tuple[str, str], Closure] = {
    # every element and resource
    ("ele-1", "hasValue() or (children().count() > id.count())"): Closure(
        _ele_1, _says("An element has a value or children, not an id alone.")
    ),
    ("ext-1", "extension.exists() != value.exists()"): Closure(_ext_1, _ext_1_says),
    ("dom-2", "contained.contained.empty()"): Closure(
        _dom_2, _says("A contained resource contains no other: contain both in the outermost one.")
    ),
    ("dom-3", f"{_DOM_3}.empty()"): Closure(_dom_3, _dom_3_says),
    ("dom-4", "contained.meta.versionId.empty() and contained.meta.lastUpdated.empty()"): Closure(
        _no_meta("versionId", "lastUpdated"),
        _says('A contained resource has no version of its own: leave its "meta.versionId" and "meta.lastUpdated" out.'),
    ),
    ("dom-5", "contained.meta.security.empty()"): Closure(
        _no_meta("security"),
        _says('A contained resource is as secret as its container: put "meta.security" there.'),
    ),
    ("dom-6", "text.`div`.exists()"): Closure(
        _dom_6, _says('A resource should have a narrative, so that a person can read it: give it "text.div".')
    ),
    # data types
    (
        "ref-1",
        "reference.startsWith('#').not() or (reference.substring(1).trace('url') in %rootResource.contained.id.trace('ids'))",
    ): Closure(_ref_1, _ref_1_says),
    ("per-1", "start.hasValue().not() or end.hasValue().not() or (start <= end)"): Closure(_per_1, _per_1_says),
    ("rng-2", "low.empty() or high.empty() or (low <= high)"): Closure(
        _rng_2, _says("The low end of a range is not above its high end, and both are in the same unit.")
    ),
    ("rat-1", "(numerator.empty() xor denominator.exists()) and (numerator.exists() or extension.exists())"): must(
        _is_ratio, 'A ratio has "numerator" and "denominator", or neither of them and an extension that says why.'
    ),
    ("qty-3", "code.empty() or system.exists()"): needs("code", "system"),
    ("sqty-1", "comparator.empty()"): absent("comparator", 'A simple quantity is exact: it has no "comparator".'),
    (
        "age-1",
        "(code.exists() or value.empty()) and (system.empty() or system = %ucum) and "
        "(value.empty() or value.hasValue().not() or value > 0)",
    ): must(_is_age, 'An age is more than 0 and has a UCUM unit: "code" is given, "system" is http://unitsofmeasure.org.'),
    (
        "cnt-3",
        "(code.exists() or value.empty()) and (system.empty() or system = %ucum) and (code.empty() or code = '1') and "
        "(value.empty() or value.hasValue().not() or value.toString().contains('.').not())",
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
    # people and organisations
    ("pat-1", "name.exists() or telecom.exists() or address.exists() or organization.exists()"): any_of(
        "name", "telecom", "address", "organization"
    ),
    ("org-1", "(identifier.count() + name.count()) > 0"): any_of("identifier", "name"),
    ("org-2", "where(use = 'home').empty()"): must(
        lambda node: node.get("use") != "home", 'An organisation has no "home" address.'
    ),
    ("org-3", "where(use = 'home').empty()"): must(
        lambda node: node.get("use") != "home", 'An organisation has no "home" telephone.'
    ),
    ("ipn-1", "(identifier.count() + name.count()) > 0"): any_of("identifier", "name"),
    # care, money and work
    ("cpl-3", "detail.empty() or reference.empty()"): excludes("detail", "reference"),
    ("inv-1", "lastModified.exists().not() or authoredOn.exists().not() or lastModified >= authoredOn"): Closure(
        lambda node, _twin, _frame: _inv_1_of_task(node), _inv_1_says
    ),
    ("rqg-1", "resource.exists() != action.exists()"): one_of("resource", "action"),
    ("gol-1", "(detail.exists() and measure.exists()) or detail.exists().not()"): needs("detail[x]", "measure"),
    ("prr-1", "orderDetail.empty() or code.exists()"): needs("orderDetail", "code"),
    ("ces-1", "category.exists() xor productOrService.exists()"): one_of("category", "productOrService"),
    ("app-1", "type.exists() or actor.exists()"): any_of("type", "actor"),
    ("app-2", "start.exists() = end.exists()"): needs_both_or_none("start", "end"),
    ("app-3", "(start.exists() and end.exists()) or (status in ('proposed' | 'cancelled' | 'waitlist'))"): must(
        lambda node: (
            (not _START.isdisjoint(node) and not _END.isdisjoint(node))
            or node.get("status") in ("proposed", "cancelled", "waitlist")
        ),
        "Only an appointment that is proposed, cancelled or on a waiting list has no start and end.",
    ),
    ("apr-1", "participantType.exists() or actor.exists()"): any_of("participantType", "actor"),
    ("ppc-1", "policy.exists() or policyRule.exists()"): any_of("policy", "policyRule"),
    **{
        (key, f"patient.exists() or scope.coding.where(system='something' and code='{code}').exists().not()"): _ppc(code)
        for key, code in (("ppc-2", "patient-privacy"), ("ppc-3", "research"), ("ppc-4", "adr"), ("ppc-5", "treatment"))
    },
    ("lst-1", "emptyReason.empty() or entry.empty()"): excludes("emptyReason", "entry"),
    # clinical
    ("ait-1", f"{_VERIFIED}.exists() or clinicalStatus.exists()"): required_if(
        "clinicalStatus",
        lambda node: not _is_in_error(_CLINICAL_ALLERGY)(node),
        'An allergy has a "clinicalStatus", unless it was entered in error.',
    ),
    ("ait-2", f"{_VERIFIED}.empty() or clinicalStatus.empty()"): only_if(
        "clinicalStatus",
        lambda node: not _is_in_error(_CLINICAL_ALLERGY)(node),
        'An allergy that was entered in error has no "clinicalStatus".',
    ),
    ("con-1", "summary.exists() or assessment.exists()"): any_of("summary", "assessment"),
    ("con-2", "code.exists() or detail.exists()"): any_of("code", "detail"),
    (
        "con-3",
        f"clinicalStatus.exists() or verificationStatus.coding.where(system='{_VERIFICATION}' and "
        "code = 'entered-in-error').exists() or category.select($this='problem-list-item').empty()",
    ): must(_con_3, 'A condition with a category has a "clinicalStatus", unless it was entered in error.'),
    (
        "con-4",
        f"abatement.empty() or clinicalStatus.coding.where(system='{_CLINICAL}' and "
        "(code='resolved' or code='remission' or code='inactive')).exists()",
    ): only_if(
        "abatement[x]",
        lambda node: _codes(node.get("clinicalStatus"), _CLINICAL, _ABATED),
        'A condition that has abated is of the "clinicalStatus" inactive, resolved or remission.',
    ),
    (
        "con-5",
        f"verificationStatus.coding.where(system='{_VERIFICATION}' and code='entered-in-error').empty() or "
        "clinicalStatus.empty()",
    ): only_if(
        "clinicalStatus",
        lambda node: not _is_in_error(_VERIFICATION)(node),
        'A condition that was entered in error has no "clinicalStatus".',
    ),
    ("obs-3", "low.exists() or high.exists() or text.exists()"): any_of("low", "high", "text"),
    ("obs-6", "dataAbsentReason.empty() or value.empty()"): excludes("dataAbsentReason", "value[x]"),
    (
        "obs-7",
        "value.empty() or component.code.where(coding.intersect(%resource.code.coding).exists()).empty()",
    ): must(_obs_7, "A component with the same code as the observation holds its value; the observation itself has none."),
    ("imm-1", "documentType.exists() or reference.exists()"): any_of("documentType", "reference"),
    ("imr-1", "vaccineCode.exists() or targetDisease.exists()"): any_of("vaccineCode", "targetDisease"),
    ("mad-1", "dose.exists() or rate.exists()"): any_of("dose", "rate[x]"),
    ("fhs-1", "age.empty() or born.empty()"): excludes("age[x]", "born[x]"),
    ("fhs-2", "age.exists() or estimatedAge.empty()"): needs("estimatedAge", "age[x]"),
    ("sev-1", "name.empty() or query.empty()"): excludes("name", "query"),
    ("cmp-1", "text.exists() or entry.exists() or section.exists()"): any_of("text", "entry", "section"),
    ("cmp-2", "emptyReason.empty() or entry.empty()"): excludes("emptyReason", "entry"),
    # Bundle
    ("bdl-1", "total.empty() or (type = 'searchset') or (type = 'history')"): only_if(
        "total", _is("type", "searchset", "history"), 'Only a Bundle of type searchset or history has a "total".'
    ),
    ("bdl-2", "entry.search.empty() or (type = 'searchset')"): must(
        lambda node: node.get("type") == "searchset" or _each("entry", lambda entry: "search" not in entry)(node),
        'Only the entries of a searchset have "search".',
    ),
    (
        "bdl-3",
        "entry.all(request.exists() = (%resource.type = 'batch' or %resource.type = 'transaction' or "
        "%resource.type = 'history'))",
    ): Closure(
        _entries_with("request", "batch", "transaction", "history"),
        _entries_say("request", "batch", "transaction", "history"),
    ),
    (
        "bdl-4",
        "entry.all(response.exists() = (%resource.type = 'batch-response' or %resource.type = 'transaction-response' or "
        "%resource.type = 'history'))",
    ): Closure(
        _entries_with("response", "batch-response", "transaction-response", "history"),
        _entries_say("response", "batch-response", "transaction-response", "history"),
    ),
    ("bdl-5", "resource.exists() or request.exists() or response.exists()"): any_of("resource", "request", "response"),
    (
        "bdl-7",
        "(type = 'history') or entry.where(fullUrl.exists()).select(fullUrl&resource.meta.versionId).isDistinct()",
    ): must(_bdl_7, 'The same "fullUrl" stands twice in a Bundle that is no history: name each resource once.'),
    ("bdl-8", "fullUrl.contains('/_history/').not()"): must(
        lambda node: "/_history/" not in node.get("fullUrl", ""), 'A "fullUrl" names a resource, not one of its versions.'
    ),
    ("bdl-9", "type = 'document' implies (identifier.system.exists() and identifier.value.exists())"): must(
        _document(_is_identified), 'A document has an "identifier" with "system" and "value".'
    ),
    ("bdl-10", "type = 'document' implies (timestamp.hasValue())"): must(
        _document(lambda node: bool(node.get("timestamp"))), 'A document has a "timestamp": when it was put together.'
    ),
    ("bdl-11", "type = 'document' implies entry.first().resource.is(Composition)"): must(
        _first_entry_is("document", "Composition"), "The first entry of a document is its Composition."
    ),
    ("bdl-12", "type = 'message' implies entry.first().resource.is(MessageHeader)"): must(
        _first_entry_is("message", "MessageHeader"), "The first entry of a message is its MessageHeader."
    ),
    (
        "inv-1",
        "(part.exists() and value.empty() and resource.empty()) or (part.empty() and (value.exists() xor resource.exists()))",
    ): must(
        lambda node: (
            sum((not _EXTENSION_VALUES.isdisjoint(node), "resource" in node, "part" in node)) == 1
        ),
        'A parameter has exactly one of "value[x]", "resource" and "part".',
    ),
    # Questionnaire
    (
        "que-1",
        "(type='group' implies item.empty().not()) and (type.trace('type')='display' implies item.trace('item').empty())",
    ): must(_que_1, "A group has items inside it, and a display has none."),
    ("que-3", "type!='display' or code.empty()"): only_if(
        "code", _is_other_than("type", "display"), f'{_DISPLAY} has no "code".'
    ),
    ("que-4", "answerOption.empty() or answerValueSet.empty()"): excludes("answerOption", "answerValueSet"),
    (
        "que-5",
        "(type ='choice' or type = 'open-choice' or type = 'decimal' or type = 'integer' or type = 'date' or "
        "type = 'dateTime' or type = 'time' or type = 'string' or type = 'quantity') or "
        "(answerValueSet.empty() and answerOption.empty())",
    ): must(
        lambda node: node.get("type") in _WITH_OPTIONS or _OPTIONS.isdisjoint(node),
        f"Only an item of one of these types lists its answers: {', '.join(sorted(_WITH_OPTIONS))}.",
    ),
    ("que-6", "type!='display' or (required.empty() and repeats.empty())"): must(
        lambda node: _is_other_than("type", "display")(node) or _ASKING.isdisjoint(node),
        f'{_DISPLAY} has neither "required" nor "repeats".',
    ),
    ("que-8", "(type!='group' and type!='display') or initial.empty()"): only_if(
        "initial",
        lambda node: node.get("type") not in ("group", "display") and not _TYPE.isdisjoint(node),
        'A group or display asks nothing, so it has no "initial" answer.',
    ),
    ("que-9", "type!='display' or readOnly.empty()"): only_if(
        "readOnly", _is_other_than("type", "display"), f'{_DISPLAY} has no "readOnly".'
    ),
    (
        "que-10",
        "(type in ('boolean' | 'decimal' | 'integer' | 'string' | 'text' | 'url' | 'open-choice')) or maxLength.empty()",
    ): only_if(
        "maxLength",
        lambda node: node.get("type") in _WITH_LENGTH,
        f'Only an item of one of these types has a "maxLength": {", ".join(sorted(_WITH_LENGTH))}.',
    ),
    ("que-11", "answerOption.empty() or initial.empty()"): excludes("answerOption", "initial"),
    ("que-12", "enableWhen.count() > 2 implies enableBehavior.exists()"): required_if(
        "enableBehavior",
        lambda node: _count(node, "enableWhen") >= 2,
        'Where there are several "enableWhen", "enableBehavior" says whether all of them or any one is to hold.',
    ),
    ("que-13", "repeats=true or initial.count() <= 1"): must(
        _que_13, 'Only an item that repeats has several "initial" answers.'
    ),
    ("qrs-1", "(answer.exists() and item.exists()).not()"): Closure(
        excludes("answer", "item").test,
        _says('Items below a question stand inside its "answer"; "answer" and "item" are not given side by side.'),
    ),
    # terminology
    ("vsd-1", "valueSet.exists() or system.exists()"): any_of("valueSet", "system"),
    ("vsd-2", "(concept.exists() or filter.exists()) implies system.exists()"): required_if(
        "system",
        lambda node: "concept" in node or "filter" in node,
        'Concepts and filters are of one code system: "system" says which.',
    ),
    ("vsd-3", "concept.empty() or filter.empty()"): excludes("concept", "filter"),
    ("vsd-6", "code.exists() or display.exists()"): any_of("code", "display"),
    ("vsd-9", "code.exists() or abstract = true"): required_if(
        "code", lambda node: node.get("abstract") is not True, 'Only an abstract entry of an expansion has no "code".'
    ),
    ("vsd-10", "code.empty() or system.exists()"): needs("code", "system"),
    ("cmd-1", "comment.exists() or equivalence.empty() or ((equivalence != 'narrower') and (equivalence != 'inexact'))"): (
        required_if(
            "comment", _is("equivalence", "narrower", "inexact"), "A narrower or inexact match says in a comment how it differs."
        )
    ),
    ("cmd-2", "(mode = 'fixed') implies code.exists()"): must(
        lambda node: not _CODE.isdisjoint(node) or _is_other_than("mode", "fixed")(node),
        'The mode "fixed" needs the "code" that is meant.',
    ),
    ("cmd-3", "(mode = 'other-map') implies url.exists()"): must(
        lambda node: not _URL.isdisjoint(node) or _is_other_than("mode", "other-map")(node),
        'The mode "other-map" needs the "url" of that map.',
    ),
    # definitions
    **{
        (f"{prefix}-0", _NAME_EXPRESSION): Closure(lambda node, _twin, _frame: _name_0(node), _name_0_says)
        for prefix in (
            "adf", "cpb", "csd", "cpd", "cmd", "ees", "evd", "evi", "evv", "esc", "gdf", "ig", "lib", "mea", "msd",
            "nsd", "opd", "pdf", "que", "rsd", "red", "rvs", "spd", "sdf", "smp", "tcp", "tst", "vsd",
        )
    },
    **{
        (key, "operation.exists() xor assert.exists()"): one_of("operation", "assert")
        for key in ("inv-1", "inv-2", "tst-1", "tst-2")
    },
    ("opd-1", "type.exists() or part.exists()"): any_of("type", "part"),
    ("spd-1", "xpath.empty() or xpathUsage.exists()"): needs("xpath", "xpathUsage"),
    ("sdf-2", "name.exists() or uri.exists()"): any_of("name", "uri"),
    ("sdf-6", "snapshot.exists() or differential.exists()"): any_of("snapshot", "differential"),
    ("sdf-10", "binding.empty() or binding.valueSet.exists() or binding.description.exists()"): must(
        lambda node: "binding" not in node or not _BOUND.isdisjoint(node["binding"]),
        'A binding has a "valueSet" or a "description".',
    ),
    ("eld-1", "discriminator.exists() or description.exists()"): any_of("discriminator", "description"),
    ("eld-2", "min.empty() or max.empty() or (max = '*') or iif(max != '*', min <= max.toInteger())"): must(
        _eld_2, '"min" is not more than "max".'
    ),
    ("eld-3", "empty() or ($this = '*') or (toInteger() >= 0)"): Closure(
        _eld_3, _says('"max" is a whole number, or "*" for any number.')
    ),
    ("eld-4", "aggregation.empty() or (code = 'Reference') or (code = 'canonical')"): only_if(
        "aggregation", _is("code", "Reference", "canonical"), 'Only a Reference or canonical has an "aggregation".'
    ),
    (
        "eld-5",
        "contentReference.empty() or (type.empty() and defaultValue.empty() and fixed.empty() and pattern.empty() and "
        "example.empty() and minValue.empty() and maxValue.empty() and maxLength.empty() and binding.empty())",
    ): only_if(
        "contentReference",
        _OWN_CONTENT.isdisjoint,
        "An element with a contentReference has the content of another: no type, values, limits or binding of its own.",
    ),
    ("eld-6", "fixed.empty() or (type.count()  <= 1)"): only_if(
        "fixed[x]", lambda node: len(node.get("type", ())) <= 1, "A fixed value is for an element of one type."
    ),
    ("eld-7", "pattern.empty() or (type.count() <= 1)"): only_if(
        "pattern[x]", lambda node: len(node.get("type", ())) <= 1, "A pattern is for an element of one type."
    ),
    ("eld-8", "pattern.empty() or fixed.empty()"): excludes("pattern[x]", "fixed[x]"),
    ("eld-12", "valueSet.exists() implies (valueSet.startsWith('http:') or valueSet.startsWith('https') or valueSet.startsWith('urn:'))"): must(
        _eld_12, 'The "valueSet" of a binding is an absolute URL: it starts with http: or https: or urn:.'
    ),
    ("eld-13", "type.select(code).isDistinct()"): must(
        _types_have_distinct_codes, "Each type of an element is named once, with all its profiles."
    ),
    ("eld-14", "constraint.select(key).isDistinct()"): must(
        _constraints_have_distinct_keys, "Each constraint of an element has a key of its own."
    ),
    ("eld-15", "defaultValue.empty() or meaningWhenMissing.empty()"): excludes("defaultValue[x]", "meaningWhenMissing"),
    ("eld-17", "(code='Reference' or code = 'canonical') or targetProfile.empty()"): only_if(
        "targetProfile", _is("code", "Reference", "canonical"), 'Only a Reference or canonical has a "targetProfile".'
    ),
    ("eld-18", "(isModifier.exists() and isModifier) implies isModifierReason.exists()"): required_if(
        "isModifierReason", lambda node: node.get("isModifier") is True, 'An element that modifies says why: "isModifierReason".'
    ),
    ("eld-21", "expression.exists()"): any_of("expression"),
    ("eld-22", "sliceIsConstraining.exists() implies sliceName.exists()"): needs("sliceIsConstraining", "sliceName"),
}  # fmt: skip
