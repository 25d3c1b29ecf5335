"""How an invariant is put into plain Python: makers for what invariants mostly say, each with its sentence.

One element needs another, two exclude each other, at least one of several must be there. "There" means that the element
has a value or, in its twin, extensions (`birthDate` or `_birthDate`), as FHIRPath's `exists()` has it.

A test gets an element in the shape its type has: an object, or for a primitive its value and its twin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

from phb_fhir.fhirpath.evaluate import compiled, evaluate
from phb_fhir.fhirpath.values import compared_dates, truth
from phb_fhir.fhirpath.walk import Evaluation, Surroundings, item_of
from phb_fhir.validation.wording import short

Node: TypeAlias = dict[str, Any]
Test: TypeAlias = Callable[[Any, Any, Surroundings], object]
Sentence: TypeAlias = Callable[[Any, Surroundings], str]
Table: TypeAlias = "dict[tuple[str, str], Closure]"  # (key, expression) → what it is in plain Python


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


def keys_of(names: Iterable[str]) -> frozenset[str]:
    """The JSON properties of these elements, twins included; `value[x]` stands for all its spellings."""
    plain = [
        spelling
        for name in names
        for spelling in ([f"{name[:-3]}{type_}" for type_ in _OPEN_TYPES] if name.endswith("[x]") else [name])
    ]
    return frozenset((*plain, *(f"_{name}" for name in plain)))


def named(names: Iterable[str]) -> str:
    *most, last = (f'"{name}"' for name in names)
    return f"{', '.join(most)} and {last}" if most else last


def has_code(concept: Any, system: str, codes: frozenset[str]) -> bool:
    """Whether a CodeableConcept has one of these codes of a system."""
    return type(concept) is dict and any(
        coding.get("system") == system and coding.get("code") in codes for coding in concept.get("coding", ())
    )


def count_of(node: Node, *names: str) -> int:
    """How many values these elements have between them."""
    return sum(_length(node, name) for name in names)


def _length(node: Node, name: str) -> int:
    value, twin = node.get(name), node.get(f"_{name}")
    sizes = [len(one) if type(one) is list else 1 for one in (value, twin) if one is not None]
    return max(sizes, default=0)


# ---- makers ----------------------------------------------------------------------------------------


def says(text: str) -> Sentence:
    return lambda _value, _frame: text


def needs(element: str, other: str) -> Closure:
    """Where one element is, the other is."""
    asking, needed = keys_of((element,)), keys_of((other,))

    def test(node: Node, _twin: Any, _frame: Surroundings) -> bool:
        return asking.isdisjoint(node) or not needed.isdisjoint(node)

    return Closure(test, says(f'"{element}" is given without "{other}": give "{other}" as well, or leave both out.'))


def excludes(element: str, other: str) -> Closure:
    """At most one of two elements is there."""
    one, two = keys_of((element,)), keys_of((other,))

    def test(node: Node, _twin: Any, _frame: Surroundings) -> bool:
        return one.isdisjoint(node) or two.isdisjoint(node)

    return Closure(test, says(f'"{element}" and "{other}" are given together: only one of them may be.'))


def any_of(*elements: str) -> Closure:
    """At least one of several elements is there."""
    properties = keys_of(elements)

    def test(node: Node, _twin: Any, _frame: Surroundings) -> bool:
        return not properties.isdisjoint(node)

    return Closure(test, says(f"None of {named(elements)} is given: at least one must be."))


def one_of(element: str, other: str) -> Closure:
    """Exactly one of two elements is there."""
    one, two = keys_of((element,)), keys_of((other,))

    def test(node: Node, _twin: Any, _frame: Surroundings) -> bool:
        return one.isdisjoint(node) is not two.isdisjoint(node)

    return Closure(test, says(f'Exactly one of "{element}" and "{other}" is to be given; both are, or neither is.'))


def needs_both_or_none(element: str, other: str) -> Closure:
    """Both elements are there, or neither."""
    one, two = keys_of((element,)), keys_of((other,))

    def test(node: Node, _twin: Any, _frame: Surroundings) -> bool:
        return one.isdisjoint(node) is two.isdisjoint(node)

    return Closure(test, says(f'"{element}" and "{other}" are to be given together, or neither.'))


def absent(element: str, why: str) -> Closure:
    """An element is not there."""
    properties = keys_of((element,))
    return Closure(lambda node, _twin, _frame: properties.isdisjoint(node), says(why))


def only_if(element: str, holds: Callable[[Node], object], why: str) -> Closure:
    """An element may be there only under a condition."""
    properties = keys_of((element,))
    return Closure(lambda node, _twin, _frame: properties.isdisjoint(node) or holds(node), says(why))


def required_if(element: str, holds: Callable[[Node], object], why: str) -> Closure:
    """An element must be there under a condition."""
    properties = keys_of((element,))
    return Closure(lambda node, _twin, _frame: not properties.isdisjoint(node) or not holds(node), says(why))


def must(holds: Callable[[Node], object], why: str) -> Closure:
    """A condition on an object."""
    return Closure(lambda node, _twin, _frame: holds(node), says(why))


def is_one_of(name: str, *codes: str) -> Callable[[Node], bool]:
    wanted = frozenset(codes)
    return lambda node: node.get(name) in wanted


def is_other_than(name: str, code: str) -> Callable[[Node], bool]:
    """FHIRPath's `name != 'code'`: not true where the element is missing altogether."""
    properties = keys_of((name,))
    return lambda node: node.get(name) != code and not properties.isdisjoint(node)


def each_of(name: str, holds: Callable[[Node], object]) -> Callable[[Node], bool]:
    return lambda node: all(holds(item) for item in node.get(name, ()))


def are_distinct(values: Iterable[Any]) -> bool:
    every = list(values)
    return len(set(every)) == len(every)


def in_tree(nodes: list[Node], below: str, name: str) -> list[Any]:
    """The values of one element in a tree of objects of one kind, such as the concepts of a code system."""
    every = list(nodes)
    for node in every:  # grows while it is read, and ends because a resource does
        every.extend(node.get(below, ()))
    return [node.get(name) for node in every if name in node or f"_{name}" in node]


def is_not_after(start: str, end: str) -> bool:
    """Whether a date or time is certainly not after another."""
    if len(start) == len(end) and start[19:] == end[19:]:
        return start <= end  # written alike, in the same zone: the texts are in the order of the times
    order = compared_dates(start, end)
    return order is not None and order <= 0


def holds_as_fhirpath(expression: str, node: Node, frame: Surroundings) -> bool:
    """Whether the invariant holds by its own expression: for what is too rare to be said in plain Python as well."""
    return truth(evaluate(compiled(expression), Evaluation(frame, item_of(node, "")))) is True


def each_has_its_own(expression: str, tree: str, name: str, sentence: str) -> Closure:
    """In a tree of these (`item` in `item`) no two have the same `name`. What is contained has such trees too, and FHIRPath's
    descendants() looks into them.
    """

    def test(node: Node, _twin: Any, frame: Surroundings) -> bool:
        if "contained" in node:
            return holds_as_fhirpath(expression, node, frame)
        return are_distinct(in_tree(node.get(tree, []), tree, name))

    def says(node: Any, _: Surroundings) -> str:
        counted = Counter(map(str, in_tree(node.get(tree, []), tree, name)))
        twice = ", ".join(f'"{short(one)}"' for one, count in counted.most_common(12) if count > 1)
        return f"{sentence} of its own; these stand more than once: {twice}."

    return Closure(test, says)
