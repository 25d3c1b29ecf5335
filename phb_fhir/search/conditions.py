"""One parameter and its values become a condition: its kind says what each value asks, this file how they join.

Values are cut at commas and are alternatives (R4 §3.1.1.4.17); of `:not` and `:not-in` none may be there. `:missing` is here
for every kind. So are the few parameters that no search type describes: `_id`, `_lastUpdated`, `_list`, `_text`, `_content`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from phb_fhir.definitions.load import SearchParameter
from phb_fhir.fhir.reference import is_id
from phb_fhir.outcome import Issue, Refusal, Rejected
from phb_fhir.query import EVERYTHING, NOTHING, AllOf, AnyOf, Id, InHierarchy, InList, Key, KeyRange, Node, Not, Present
from phb_fhir.search import hierarchies, text
from phb_fhir.search.asking import (
    VALUES_MAX,
    Asking,
    Condition,
    Types,
    badly_written,
    parse_flag,
    suggestion,
    too_costly,
    unsupported,
)
from phb_fhir.search.escapes import split_escaped
from phb_fhir.search.expressions import extractor
from phb_fhir.search.kinds import KINDS
from phb_fhir.search.kinds.date import parse_updated
from phb_fhir.search.kinds.kind import Asked, Kind
from phb_fhir.search.kinds.token import NEGATIVE_MODIFIERS

_IN_INTERVALS = frozenset({"date", "number", "quantity"})  # kinds whose values are spans, not keys
_CANONICAL = frozenset({"canonical", "uri", "url"})
_ESCAPE = re.compile(r"\\[,|$\\]")


def plain(types: Types, name: str, asking: Asking) -> Condition:
    """The condition of an unchained parameter, `code` or `code:modifier`. Raises NotKnown, or Rejected for the modifier."""
    code, modifier = parted(name)
    if code in OWN:
        if not asking.is_promised(types, code) and code != "_query":
            raise asking.unknown(types, code)
        return OWN[code](name, modifier)
    return of_parameter(asking.parameter(types, code), modifier, asking)


def parted(name: str) -> tuple[str, str]:
    """A parameter and its modifier, "" without one. Raises Rejected for a colon with nothing behind it."""
    code, colon, modifier = name.partition(":")
    if colon and not modifier:
        raise unsupported(f"{name}: a modifier is to stand behind the colon, and there is none.")
    return code, modifier


def of_parameter(parameter: SearchParameter, modifier: str, asking: Asking) -> Condition:
    """The condition of a parameter that has a search type. Raises Rejected for a modifier it does not have."""
    kind = kind_of(parameter)
    name = f"{parameter.code}:{modifier}" if modifier else parameter.code
    if modifier == "missing" and can_be_missing(parameter):
        return partial(_missing, parameter)
    if way := hierarchies.way_of(parameter, modifier):
        return partial(
            _values, name, hierarchies.condition(parameter, way, targets_of(parameter, asking), asking), False
        )
    if modifier and modifier not in kind.modifiers and modifier not in _type_modifiers(parameter, asking):
        raise unsupported(_no_modifier(name, modifier, parameter, kind))
    return partial(_values, name, partial(_of_kind, parameter, kind, modifier, asking), modifier in NEGATIVE_MODIFIERS)


def kind_of(parameter: SearchParameter) -> Kind:
    return KINDS[parameter.type]


def can_be_missing(parameter: SearchParameter) -> bool:
    """R4 §3.1.1.4.4: every parameter but composites has `:missing`; special ones have no general modifiers (§3.1.1.4.21)."""
    return parameter.type not in ("composite", "special")


def present(parameter: SearchParameter) -> Node:
    """The parameter has a value."""
    if parameter.type in _IN_INTERVALS:
        return Present(parameter.code)
    return KeyRange(f"{parameter.code}:", f"{parameter.code}>")  # `code:...` and `code=...`


def absent(parameter: SearchParameter) -> Node:
    """The parameter has no value. For some parameters the index says so with an entry of its own."""
    return Key((f"!{parameter.code}",)) if parameter.marks_missing else Not(present(parameter))


def any_of(nodes: Iterable[Node]) -> Node:
    """Alternatives; those that ask for entries of the index, for ids, or in one hierarchy, become one question."""
    keys: dict[str, None] = {}
    ids: dict[str, None] = {}
    walked: list[InHierarchy] = []
    others: dict[Node, None] = {}
    for node in nodes:
        match node:
            case InHierarchy():
                walked.append(node)
            case AnyOf((InHierarchy(), *_)):  # of several types
                walked += [part for part in node.parts if isinstance(part, InHierarchy)]
            case Key():
                keys.update(dict.fromkeys(node.keys))
            case Id():
                ids.update(dict.fromkeys(node.ids))
            case _:
                others[node] = None
    joined = ([Key(tuple(keys))] if keys else []) + ([Id(tuple(ids))] if ids else []) + list(others)
    joined += hierarchies.joined(walked)
    return joined[0] if len(joined) == 1 else AnyOf(tuple(joined))


def none_of(nodes: Sequence[Node]) -> Node:
    """What `:not` asks of several values: each `Not` of its own becomes one of them all."""
    positive = [node.part for node in nodes if isinstance(node, Not)]
    return Not(any_of(positive)) if len(positive) == len(nodes) else AllOf(tuple(nodes))


def check_escapes(name: str, value: str) -> None:
    """Raises Rejected where a backslash stands alone: a backslash that is meant is written twice (R4 §3.1.1.4.19)."""
    if "\\" in value and "\\" in _ESCAPE.sub("", value):
        raise badly_written(f"{name}={value}: a backslash stands before ',', '|', '$' or another backslash only.")


# ---- several values ------------------------------------------------------------------------------


def _values(name: str, one: Condition, is_negative: bool, value: str) -> Node:
    """The condition of all values between the commas. Raises Rejected with every problem among them."""
    check_escapes(name, value)
    texts = split_escaped(value, ",", keep_escapes=True)
    if len(texts) > VALUES_MAX:
        raise too_costly(f"{name} has {len(texts)} values; at most {VALUES_MAX} are taken.")
    if not all(texts):
        raise badly_written(f"{name}={value}: there is nothing between two commas, or before or after one.")
    nodes: list[Node] = []
    issues: list[Issue] = []
    for each in texts:
        try:
            nodes.append(one(each))
        except Rejected as rejected:
            issues.extend(rejected.issues)
    if issues:
        raise Rejected(Refusal.BAD_REQUEST, *issues)
    return none_of(nodes) if is_negative else any_of(nodes)


def _of_kind(parameter: SearchParameter, kind: Kind, modifier: str, asking: Asking, value: str) -> Node:
    return kind.parse(Asked(parameter, modifier, value, asking.codes, asking.own))


def _missing(parameter: SearchParameter, value: str) -> Node:
    return absent(parameter) if parse_flag(f"{parameter.code}:missing", value) else present(parameter)


def _type_modifiers(parameter: SearchParameter, asking: Asking) -> tuple[str, ...]:
    return targets_of(parameter, asking) if parameter.type == "reference" else ()


def targets_of(parameter: SearchParameter, asking: Asking) -> Types:
    """The types a reference parameter may point to; all that are served where its definition names none."""
    named = () if "Resource" in parameter.target else parameter.target
    return tuple(type_ for type_ in named if asking.is_served(type_)) if named else asking.served()


def check_followed(parameter: SearchParameter) -> None:
    """Raises Rejected unless the parameter is one that leads to other resources."""
    if parameter.type != "reference":
        raise unsupported(
            f"'{parameter.code}' is a {parameter.type} parameter; only reference parameters lead to other resources."
        )


def leads_by_url(code: str, types: Types, asking: Asking) -> bool:
    """Whether a reference parameter of one of these types finds canonicals, which mean what has that url (R4 §2.3.0.5.1)."""
    kept = (extractor(asking.definitions, asking.parameters.of(type_)[code], type_) for type_ in types)
    return any(not found.types.isdisjoint(_CANONICAL) for found in kept)


def _no_modifier(name: str, modifier: str, parameter: SearchParameter, kind: Kind) -> str:
    known = {*kind.modifiers, *(("missing",) if can_be_missing(parameter) else ())}
    if parameter.type == "reference":
        known |= set(parameter.target[:6])
    hint = suggestion(modifier, known) if known else " It takes no modifiers."
    return f"{name}: ':{modifier}' is not a modifier of {parameter.code}, a {parameter.type} parameter.{hint}"


# ---- parameters of their own ---------------------------------------------------------------------


def _id(name: str, modifier: str) -> Condition:
    if modifier == "missing":
        return partial(_always_there, name)
    _only(name, modifier, ("not", "missing"))
    return partial(_values, name, partial(_one_id, name, modifier == "not"), modifier == "not")


def _one_id(name: str, is_negative: bool, value: str) -> Node:
    if not is_id(value):
        raise badly_written(
            f"{name}={value}: an id is 1 to 64 letters, digits, '-' or '.'; there is no type, system or address with it."
        )
    return Not(Id((value,))) if is_negative else Id((value,))


def _updated(name: str, modifier: str) -> Condition:
    if modifier == "missing":
        return partial(_always_there, name)
    _only(name, modifier, ("missing",))
    return partial(_values, name, partial(parse_updated, name), False)


def _list(name: str, modifier: str) -> Condition:
    _only(name, modifier, ())
    return partial(_values, name, lambda value: InList(list_id(value)), False)


def list_id(value: str) -> str:
    """The id of a List, as `_list` names it. Raises Rejected (400)."""
    if value.startswith("$"):
        raise unsupported(f"_list={value}: lists by their function, such as $current-allergies, are not kept here.")
    if not is_id(value):
        raise badly_written(f"_list={value}: write the id of a List, without 'List/' or an address before it.")
    return value


def _named_query(name: str, _: str) -> Condition:
    return partial(_refuse_query, name)


def _refuse_query(name: str, value: str) -> Node:
    raise unsupported(f"{name}={value}: there are no named queries here.")


def _filter(name: str, _: str) -> Condition:
    raise unsupported(
        f"{name}: a filter stands by itself, without a modifier, and is not chained; it has paths of its own."
    )


def _words(name: str, modifier: str) -> Condition:
    _only(name, modifier, ())
    return partial(_values, name, partial(text.parse, name), False)


def _always_there(name: str, value: str) -> Node:
    return NOTHING if parse_flag(name, value) else EVERYTHING


def _only(name: str, modifier: str, known: tuple[str, ...]) -> None:
    if modifier and modifier not in known:
        code = name.partition(":")[0]
        hint = f" It takes: {', '.join(known)}." if known else " It takes none."
        raise unsupported(f"{name}: ':{modifier}' is not a modifier of {code}.{hint}")


OWN: dict[str, Callable[[str, str], Condition]] = {
    "_id": _id,
    "_lastUpdated": _updated,
    "_list": _list,
    "_text": _words,
    "_content": _words,
    "_query": _named_query,
    "_filter": _filter,
}
