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

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Literal

from phb_fhir.definitions.load import SearchParameter
from phb_fhir.fhir.reference import is_id
from phb_fhir.query import AnyOf, InHierarchy, Node
from phb_fhir.search.asking import Asking, Condition, badly_written, unsupported
from phb_fhir.search.kinds.elements import types_of
from phb_fhir.search.kinds.keys import shown
from phb_fhir.search.kinds.reference import LITERAL, read

Way = Literal["above", "below"]

PARTS = ("part-of", "partof", "parent")  # what parameters are called that lead to what a resource is part of
MARKED: Mapping[str, tuple[str, ...]] = {"CarePlan": ("based-on", "replaces")}
_LISTED_MAX = 12  # names in one sentence


def way_of(parameter: SearchParameter, modifier: str) -> Way | None:
    """Which way a modifier goes through a hierarchy; None where it does not."""
    if parameter.type != "reference" or (modifier == "below" and "canonical" in types_of(parameter)):
        return None
    return "above" if modifier == "above" else "below" if modifier == "below" else None


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


def condition(parameter: SearchParameter, way: Way, targets: tuple[str, ...], asking: Asking) -> Condition:
    """What one value of `parameter:above` or `parameter:below` asks. Raises Rejected (400) where nothing has a hierarchy."""
    found = hierarchies(parameter, targets, asking)
    if not found:
        raise unsupported(_nothing_there(parameter, way, asking))
    return partial(_one, parameter, way, found, asking)


def _one(parameter: SearchParameter, way: Way, found: Mapping[str, str], asking: Asking, text: str) -> Node:
    name = f"{parameter.code}:{way}"
    url, version = read(name, text)
    literal = LITERAL.fullmatch(asking.own.local(url))
    if is_id(url) and not version:
        starts = {type_: f"{type_}/{url}" for type_ in found}
    elif version or literal is None or literal["base"]:
        raise badly_written(f"{name}={shown(text)}: write {_listed(found)}, of a resource here, or its [id] alone.")
    elif literal["version"]:
        raise badly_written(f"{name}={shown(text)}: a version has no place in a hierarchy; write {literal['here']}.")
    elif literal["type"] not in found:
        raise badly_written(
            f"{name}={shown(text)}: it leads to no hierarchy of {literal['type']}; write {_listed(found)}."
        )
    else:
        starts = {literal["type"]: literal["here"]}
    nodes = tuple(InHierarchy(parameter.code, way, type_, found[type_], (start,)) for type_, start in starts.items())
    return nodes[0] if len(nodes) == 1 else AnyOf(nodes)


def joined(nodes: Iterable[InHierarchy]) -> list[Node]:
    """Alternatives in the same hierarchy become one question."""
    starts: dict[tuple[str, Way, str, str], dict[str, None]] = {}
    for node in nodes:
        starts.setdefault((node.parameter, node.way, node.type, node.by), {}).update(dict.fromkeys(node.starts))
    return [InHierarchy(*asked, tuple(keys)) for asked, keys in starts.items()]


def _listed(found: Mapping[str, str]) -> str:
    return " or ".join(f"{type_}/[id]" for type_ in list(found)[:_LISTED_MAX])


def _nothing_there(parameter: SearchParameter, way: Way, asking: Asking) -> str:
    code = parameter.code
    if "canonical" in types_of(parameter):
        return (
            f"{code}:{way}: {code} points by canonical urls, which are in no hierarchy; ':below' is of their versions."
        )
    known = ", ".join(type_ for type_ in asking.served() if _made_by(type_, asking))
    return (
        f"{code}:{way}: {code} points to nothing that is part of its own like, so there is no ':{way}' of it; "
        f"there is of what points to {known}. {code} takes :identifier, :missing, and :[type]."
    )
