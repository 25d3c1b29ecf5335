"""`:above` and `:below` of a reference: what is part of what, as far up or down as it goes (R4 §3.1.1.4.14).

    Procedure?location:below=Location/1            at Location/1, or at any location that is part of it
    MedicationAdministration?encounter:above=21    during Encounter/21, or during one that it is part of
    Account?part-of:below=Account/1                the parts of Account/1, and the parts of these

The hierarchy is that of what is pointed to: there, a reference leads from a resource to the one of its own type that it is
part of. R4 marks some of those as strict hierarchies ("structuredefinition-hierarchy"), and names the others alike, so they are
told by their code (`PARTS`). Two more are marked that are called otherwise (`MARKED`); they are walked where they are asked for
themselves. What is asked for stands in its own hierarchy, so it is always found too.

Where a resource is in its hierarchy only other resources can tell (`interactions/hierarchies`). Of a canonical, `:below` is about
versions (R4 §3.1.1.4.13), and there is no `:above`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from phb_fhir.definitions.load import SearchParameter
from phb_fhir.fhir.reference import is_id
from phb_fhir.query import InHierarchy, Node
from phb_fhir.search.asking import Asking, Condition, badly_written, unsupported
from phb_fhir.search.kinds.elements import types_of
from phb_fhir.search.kinds.kind import Asked
from phb_fhir.search.kinds.reference import LITERAL, read

WAYS = ("above", "below")
PARTS = ("part-of", "partof", "parent")  # what parameters are called that lead to what a resource is part of
MARKED: Mapping[str, tuple[str, ...]] = {"CarePlan": ("based-on", "replaces")}
_LISTED_MAX = 12  # names in one sentence

TargetsOf = Callable[[SearchParameter, Asking], tuple[str, ...]]


def is_of_versions(parameter: SearchParameter, modifier: str) -> bool:
    """Whether it is the `:below` of a canonical."""
    return modifier == "below" and "canonical" in types_of(parameter)


def hierarchies(parameter: SearchParameter, targets: tuple[str, ...], asking: Asking) -> dict[str, str]:
    """Of the types that a reference parameter may point to, those that have a hierarchy, each with the parameter that makes it."""
    if "canonical" in types_of(parameter):
        return {}
    found = {}
    for target in targets:
        own = (*PARTS, *MARKED.get(target, ())) if parameter.base == target else ()
        by = parameter.code if parameter.code in own else _made_by(target, asking)
        if by:
            found[target] = by
    return found


def _made_by(type_: str, asking: Asking) -> str:
    """The parameter by which resources of this type are part of others of it; "" where there is none."""
    known = asking.parameters.of(type_)
    return next((code for code in PARTS if code in known and _is_circular(known[code], type_, asking)), "")


def _is_circular(parameter: SearchParameter, type_: str, asking: Asking) -> bool:
    leads_back = not parameter.target or type_ in parameter.target or "Resource" in parameter.target
    is_reference = parameter.type == "reference" and "canonical" not in types_of(parameter)
    return is_reference and leads_back and asking.is_promised((type_,), parameter.code)


def condition(
    parameter: SearchParameter, way: str, targets: tuple[str, ...], asking: Asking
) -> Callable[[str], InHierarchy | Node]:
    """What one value of `parameter:above` or `parameter:below` asks. Raises Rejected (400) where nothing has a hierarchy."""
    found = hierarchies(parameter, targets, asking)
    if not found:
        raise unsupported(_none(parameter, way, asking))
    return partial(_one, parameter, way, found, asking)


def _one(parameter: SearchParameter, way: str, found: Mapping[str, str], asking: Asking, text: str) -> Node:
    raise NotImplementedError


def _none(parameter: SearchParameter, way: str, asking: Asking) -> str:
    raise NotImplementedError
