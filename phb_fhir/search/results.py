"""What shapes the answer of a search: `_sort`, `_count`, `_total`, `_include` and their like (R4 §3.1.1.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from phb_fhir.query import Include, Order, SortKey, Total
from phb_fhir.search.asking import NEAR, Asking, Types, badly_written, malformed, suggestion, too_costly, unsupported
from phb_fhir.search.conditions import check_followed, targets_of
from phb_fhir.search.expressions import extractor
from phb_fhir.search.kinds import KINDS

if TYPE_CHECKING:
    from phb_fhir.definitions.load import Definitions, TypeDef

SORT_RULES_MAX = 8
INCLUDES_MAX = 20
_SUMMARIES = ("true", "text", "data", "count", "false")

_OF_EVERY_TYPE: dict[str, Literal["id", "at"]] = {"_id": "id", "_lastUpdated": "at"}


def parse_count(text: str | None, default: int, most: int) -> int:
    """`_count`: how many on a page; more than `most` means `most` (R4 §3.1.1.5.3 lets a server send fewer)."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()):
        raise badly_written(f"_count={text} is not a whole number of 0 or more.")
    digits = text.lstrip("0")
    return min(int(digits or "0"), most) if len(digits) <= len(str(most)) else most


def parse_total(text: str) -> Total:
    if text not in ("none", "estimate", "accurate"):
        raise badly_written(f"_total={text}: it is one of none, estimate, accurate.")
    return cast("Total", text)


def check_subset(name: str, text: str, summary: str, elements: str) -> None:
    """Raises Rejected for a `_summary` or `_elements` that cannot be, beside what was said of the two before ("": nothing)."""
    if name == "_summary" and text not in _SUMMARIES:
        raise badly_written(f"_summary={text}: it is one of {', '.join(_SUMMARIES)}.")
    if (summary, elements)[name == "_elements"]:
        raise malformed(f"{name} stands more than once; say it once.")
    if (elements and text != "false") if name == "_summary" else summary not in ("", "false"):
        raise malformed("_summary and _elements ask for different things; send one of them.")


def elements_in(text: str) -> tuple[str, ...]:
    """The names in `_elements`."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def spelled_out(name: str, type_: TypeDef) -> frozenset[str]:
    """The JSON names of an element of this type, as `_elements` may name it: `value` and `value[x]` mean `valueQuantity` and its like."""
    bare = name.removeprefix(f"{type_.name}.").removesuffix("[x]")
    return frozenset(json for json, element in type_.elements.items() if bare in (json, element.path_name))


def check_elements(names: tuple[str, ...], types: Types, definitions: Definitions) -> None:
    """Raises Rejected for a name in `_elements` that none of these types (none: all there are) has at its root: all but a few elements
    would be left out for a letter that is wrong.
    """
    among = types or sorted(definitions.resource_types)
    for name in names:
        # one after the other: of all there are, those are read that had to be looked at
        if name.rpartition(".")[2] in ALWAYS_SHOWN or any(spelled_out(name, definitions.type(one)) for one in among):
            continue
        of = f"{' or '.join(types)} has no such element" if types else "no type has such an element"
        elements = (element for one in among for element in definitions.type(one).elements.values())
        hint = suggestion(name, {element.path_name for element in elements})
        raise unsupported(f"_elements={name}: {of} at its root.{hint if hint.startswith(NEAR) else ''}")


ALWAYS_SHOWN = frozenset({"resourceType", "id", "meta"})


def check_text_alone(summary: str, has_includes: bool) -> None:
    """Raises Rejected where a summary of texts would have to bring others along."""
    if summary == "text" and has_includes:
        raise unsupported("_include and _revinclude do not go together with _summary=text (R4 §3.1.1.5.8).")


def check_contained(name: str, text: str) -> None:
    """Raises Rejected unless `_contained` asks for what is done anyway: resources inside others are not searched."""
    if name == "_contained" and text == "false":
        return
    if name == "_contained" and text not in ("true", "both"):
        raise badly_written(f"_contained={text}: it is one of false, true, both; and here it is false.")
    raise unsupported(
        f"{name}={text}: contained resources are not found by themselves here, so _contained is false, and there is no "
        "_containedType. What is contained comes with the resource it is in."
    )


# ---- _sort ---------------------------------------------------------------------------------------


def parse_sort(types: Types, text: str, asking: Asking) -> Order:
    """The rules of one `_sort`, first come first. Raises Rejected, naming what could be sorted by."""
    rules = text.split(",")
    if len(rules) > SORT_RULES_MAX:
        raise too_costly(f"_sort has {len(rules)} rules; at most {SORT_RULES_MAX} are taken.")
    order = tuple(_sort_key(types, rule, asking) for rule in rules)
    check_sorted_once(order)
    return order


def check_sorted_once(order: Order) -> None:
    names = [key.parameter for key in order]
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise badly_written(f"_sort names {twice.partition('~')[0]} twice; the second time has nothing left to sort.")


def _sort_key(types: Types, rule: str, asking: Asking) -> SortKey:
    descending, code = rule.startswith("-"), rule.removeprefix("-")
    if code in _OF_EVERY_TYPE and asking.is_promised(types, code):
        return SortKey(code, _OF_EVERY_TYPE[code], descending)
    if code == "_score":
        raise unsupported("_sort=_score: matches have no score here; a resource matches or does not.")
    if ":" in code:
        raise unsupported(f"_sort={rule}: a rule has no modifier; '-' before the name sorts downwards.")
    if len(types) != 1:
        raise unsupported(f"_sort={rule}: several types are sorted by _id and _lastUpdated only.")
    sortable = _sortable(types[0], asking)
    if code not in sortable:
        raise unsupported(f"_sort={rule}: {types[0]} cannot be sorted by '{code}'.{suggestion(code, sortable)}")
    parameter = asking.parameter(types, code)
    is_list = extractor(asking.definitions, parameter, types[0]).is_list
    by = KINDS[parameter.type].sort
    path = f"{code}~unit" if parameter.type == "quantity" else code  # so that 2 g comes after 3 mg
    return SortKey(path, "lo" if by == "lo" else "keys", descending, is_list)


def _sortable(type_: str, asking: Asking) -> list[str]:
    known = asking.parameters.of(type_)
    found = {code: known[code] for code in asking.names((type_,)) if code in known}
    return [code for code, one in found.items() if code in _OF_EVERY_TYPE or (one.expression and KINDS[one.type].sort)]


# ---- _include, _revinclude -----------------------------------------------------------------------


def parse_include(name: str, text: str, asking: Asking) -> Include:
    """What one `_include` or `_revinclude` brings along. Raises Rejected for what leads nowhere."""
    control, _, modifier = name.partition(":")
    if modifier not in ("", "iterate"):
        hint = " R4 calls it ':iterate'." if modifier == "recurse" else " The one there is, is ':iterate'."
        raise unsupported(f"{name}: ':{modifier}' is not a modifier of {control}.{hint}")
    if "," in text:
        raise badly_written(f"{name}={text}: it has no alternatives; say {control} once for each.")
    is_iterated, is_reverse = modifier == "iterate", control == "_revinclude"
    type_, _, rest = text.partition(":")
    code, _, target = rest.partition(":")
    if text == "*":
        return Include("*", "*", "", is_iterated, is_reverse)
    if not type_ or not code or ":" in target:
        raise badly_written(
            f"{name}={text}: write [type]:[reference parameter], [type]:[reference parameter]:[target type], [type]:* or *."
        )
    _check_served(name, text, type_, asking)
    if target:
        _check_served(name, text, target, asking)
    if code != "*":
        _check_leads(name, text, type_, code, target, asking)
    return Include(type_, code, target, is_iterated, is_reverse)


def _check_leads(name: str, text: str, type_: str, code: str, target: str, asking: Asking) -> None:
    parameter = asking.parameter((type_,), code)
    check_followed(parameter)
    targets = targets_of(parameter, asking)
    if target and target not in targets:
        raise unsupported(f"{name}={text}: {type_}:{code} does not point to {target}.{suggestion(target, targets)}")


def _check_served(name: str, text: str, type_: str, asking: Asking) -> None:
    if not asking.is_served(type_):
        hint = suggestion(type_, asking.served())
        raise unsupported(f"{name}={text}: '{type_}' is no resource type that is served here.{hint}")
