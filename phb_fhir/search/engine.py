"""What search expressions ask of the FHIRPath engine: those that are no paths, and what a reference points to.

An index depends on the resource alone. So an expression may not ask for the day, for terminology, or for what is in another
resource; of a reference it may ask the type of what it points to, which the reference itself says.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from phb_fhir.definitions.load import Definitions
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhirpath.evaluate import evaluate
from phb_fhir.fhirpath.values import NotEvaluableError, Steps, TooCostlyError
from phb_fhir.fhirpath.walk import Code, Evaluation, Tables, item_of
from phb_fhir.search.kinds.kind import Value

Function: TypeAlias = "Callable[[Any, Resource], list[Value]]"  # (element, resource) → values

STEPS_MAX = 50_000  # for one expression on one resource; and some more for each value of a large one

# ---- what references point to ---------------------------------------------------------------------------------------

_RESTFUL = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)/[A-Za-z0-9.\-]{1,64}(?:/_history/[A-Za-z0-9.\-]{1,64})?(?:#.*)?")


def points_to(reference: Any, resource: Resource) -> str:
    """The type of what a reference (or canonical) points to, as far as it says; "" where it does not.

    A literal reference says it by its address, a contained resource itself, anything else by `Reference.type`.
    """
    text = reference.get("reference") if type(reference) is dict else reference
    named = reference.get("type") if type(reference) is dict else None
    found = ""
    if type(text) is str:
        found = _contained(text[1:], resource) if text.startswith("#") else _addressed(text)
    return found or (named.rpartition("/")[2] if type(named) is str else "")


def _addressed(text: str) -> str:
    found = _RESTFUL.fullmatch(text)
    return found[1] if found is not None else ""


def _contained(id_: str, resource: Resource) -> str:
    inside = resource.get("contained")
    rows = [resource] if not id_ else inside if type(inside) is list else ()
    for row in rows:
        if type(row) is dict and (not id_ or row.get("id") == id_):
            named = row.get("resourceType")
            return named if type(named) is str else ""
    return ""


# ---- by the engine --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Around:
    """What an expression may know beside the resource: nothing but the types its references name."""

    resource: Resource
    definitions: Definitions
    memory: dict[Any, Any] = field(default_factory=dict)
    today: None = None
    terminology: None = None

    @property
    def root(self) -> Resource:
        return self.resource

    @property
    def run(self) -> _Around:
        return self

    def find(self, reference: str) -> _Around | None:
        named = points_to(reference, self.resource)
        return _Around({"resourceType": named}, self.definitions) if named in self.definitions.resource_types else None

    def html_complaint(self, text: str) -> None:
        del text

    def conforms_to(self, url: str, node: Any) -> None:
        del url, node


_SYSTEM_AS = {
    "System.Boolean": "boolean",
    "System.String": "string",
    "System.Integer": "integer",
    "System.Decimal": "decimal",
    "System.Date": "date",
    "System.DateTime": "dateTime",
    "System.Time": "time",
    "System.Quantity": "Quantity",
}


def by_engine(code: Code, definitions: Definitions, type_: str) -> Function:
    """An expression that the engine evaluates on elements of a type. Where it has no answer, there are no values."""

    def values(element: Any, resource: Resource) -> list[Value]:
        around = _Around(resource, definitions)
        around.memory[Evaluation] = (definitions.derived(Tables), Steps(STEPS_MAX))
        try:
            items = evaluate(code, Evaluation(around, item_of(element, type_)))
        except (NotEvaluableError, TooCostlyError):
            return []  # an expression that this data has no answer to
        return [(_SYSTEM_AS.get(named, named), value) for value, named, _ in items if value is not None]

    return values
