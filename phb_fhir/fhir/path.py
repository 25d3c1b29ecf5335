"""Where in a resource a FHIRPath leads.

A FHIRPath engine answers with values; whoever wants to change a resource must know where those values
stand. So the navigating part of an expression (members, indexes, `where`, `first`, `ofType`, `extension`,
…) is walked here, step by step, over *places*: the object that holds a property, the property, the index.
What stands inside `where(…)` and `[…]` decides but does not lead anywhere; fhirpathpy evaluates it.

Two things a client must not be able to do to us with a filter are prevented: to keep us busy (functions
that can grow their input without limit, or that match a regular expression, are refused, and evaluation is
metered), and to make the answer depend on the clock (`now()`, `today()`).

Sources: FHIRPath N1 (http://hl7.org/fhirpath/N1), FHIR R4 fhirpath.html, and json.html for how the id and the
extensions of a primitive stand beside it (`_birthDate`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import zip_longest
from typing import Any, Protocol, TypeAlias, cast

from fhirpathpy.engine import do_eval
from fhirpathpy.engine.nodes import ResourceNode, TypeInfo
from fhirpathpy.models import models

from phb_fhir.fhir.fhirpath_syntax import NotFhirPathError, Tree, name_of, parameters_of, syntax_tree

_Step: TypeAlias = Callable[["_Walk", "Found", list[Tree]], "Found"]

EXPRESSION_LENGTH_MAX = 2_000  # characters
STEPS_MAX = 300_000  # evaluation steps of all the filters that share one `Steps`
_PARSED_KEPT = 512  # expressions

_R4 = models["r4"]
cast("Any", TypeInfo).model = _R4  # fhirpathpy sets it at the first `is` or `as` only; `ofType` needs it before
_evaluate, _node_of = cast("tuple[Any, Any]", (do_eval, ResourceNode.create_node))


class ElementShape(Protocol):
    """What must be known of one property: its FHIR type, whether it repeats, the choice it belongs to."""

    @property
    def type(self) -> str: ...
    @property
    def is_list(self) -> bool: ...
    @property
    def choice(self) -> str:
        """`value[x]` for `valueQuantity`; empty where there is no choice."""
        ...


class TypeShape(Protocol):
    """The properties of one type, under their JSON names, choices spelled out."""

    @property
    def elements(self) -> Mapping[str, ElementShape]: ...


class Shape(Protocol):
    """What must be known of FHIR to walk a resource; the definitions satisfy it."""

    def type(self, name: str, /) -> TypeShape:
        """The type `Patient`, `HumanName`, `Patient.contact` or `date`; KeyError where there is none."""
        ...


class BadPathError(ValueError):
    """Not FHIRPath, or none that can be followed here; the text is a sentence for whoever wrote it."""


class Steps:
    """A bound on the work that filters may cause, shared by the paths of one request."""

    def __init__(self, steps_max: int = STEPS_MAX) -> None:
        self.left = steps_max

    def take(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left < 0:
            raise BadPathError("the filters of these paths are more work than this server does for one request")


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """One element, and where it stands.

    `holder[name]` is the element, or `holder[name][index]` where it repeats. `step` is its name in FHIRPath
    (`value` for `valueQuantity`), `type` its FHIR type, `data` its JSON value (None for a primitive that
    has only extensions), `up` the element that holds it. The resource itself is the place with no `up`.
    """

    data: Any
    type: str
    up: Place | None = None
    holder: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    step: str = ""
    index: int | None = None

    @property
    def is_primitive(self) -> bool:
        return is_primitive(self.type)

    @property
    def companion(self) -> dict[str, Any]:
        """The `_name` object beside a primitive, with its id and extensions; empty if there is none."""
        beside = self.holder.get(f"_{self.name}")
        if self.index is not None:
            beside = beside[self.index] if isinstance(beside, list) and self.index < len(beside) else None
        return beside if isinstance(beside, dict) else {}

    @property
    def content(self) -> dict[str, Any]:
        """The object whose properties are this element's children."""
        if self.is_primitive:
            return self.companion
        return self.data if isinstance(self.data, dict) else {}


@dataclass(frozen=True, slots=True)
class Found:
    """The places a path leads to, and the types an element there can have (none: only the data can tell)."""

    places: list[Place]
    types: frozenset[str]


def is_primitive(type_name: str) -> bool:
    """FHIR writes the names of primitive types with a small first letter (R4 datatypes.html)."""
    return type_name[:1].islower()


def named(shape: Shape, type_name: str, step: str) -> dict[str, ElementShape]:
    """The JSON properties that FHIRPath calls `step` in `type_name`: one, several for a choice, or none.

    A choice's spelled-out property (`valueQuantity`) is taken for that one of its types.
    """
    elements = _elements(shape, type_name)
    if step in elements:
        return {step: elements[step]}
    return {name: element for name, element in elements.items() if element.choice == f"{step}[x]"}


def locate(resource: dict[str, Any], expression: str, shape: Shape, steps: Steps | None = None) -> Found:
    """Where `expression` leads in `resource`, in the order of the resource.

    Raises BadPathError: not FHIRPath, an element that does not exist in these types, a function or operator
    that leads nowhere, a filter that gives several values, too much work.
    """
    return _Walk(resource, shape, steps or Steps()).follow(parsed(expression))


def locate_list(
    resource: dict[str, Any], expression: str, shape: Shape, steps: Steps | None = None
) -> tuple[Found, str]:
    """The elements that hold the list `expression` names, and its name: `Patient.name.given` → names, `given`.

    Raises BadPathError as `locate` does, and where the expression does not end with the name of an element.
    """
    tree = parsed(expression)
    walk = _Walk(resource, shape, steps or Steps())
    if tree["type"] == "InvocationExpression" and tree["children"][1]["type"] == "MemberInvocation":
        holders, step = walk.follow(tree["children"][0]), name_of(tree["children"][1])
    elif (step := _only_name(tree)) and step != walk.root.type:
        holders = walk.start()
    else:
        raise BadPathError("the path must end with the name of an element that repeats")
    walk.member(holders, step)  # for its refusals
    return holders, step


@lru_cache(maxsize=_PARSED_KEPT)
def parsed(expression: str) -> Tree:
    """The syntax tree of `expression`, as fhirpathpy evaluates it, checked to the last character.

    fhirpathpy's own `parse` recovers from errors and says nothing: to it `Patient.birthDate)` is a path.
    """
    if len(expression) > EXPRESSION_LENGTH_MAX:
        raise BadPathError(f"a path may have {EXPRESSION_LENGTH_MAX} characters, and one has {len(expression)}")
    try:
        tree = _parse(expression)
    except RecursionError:
        raise BadPathError("the path nests too deeply") from None
    _check_functions(tree)
    return tree


def _elements(shape: Shape, type_name: str) -> Mapping[str, ElementShape]:
    try:
        return shape.type(type_name).elements
    except LookupError:  # a contained resource may say that it is anything; validation judges that
        return {}


# --- parsing --------------------------------------------------------------------------------------

# What may be called. Left out on purpose: what can grow its input without limit (repeat, select, aggregate,
# combine, join, replace, encode, power, …), what runs the caller's regular expression (matches,
# replaceMatches), what looks at the clock (now, today, timeOfDay), and what writes to our output (trace).
_FUNCTIONS = frozenset(
    """
    where first last tail skip take single ofType as is extension resolve
    exists empty not all count distinct isDistinct allTrue anyTrue allFalse anyFalse subsetOf supersetOf
    union intersect exclude children hasValue type
    startsWith endsWith contains indexOf substring length lower upper trim
    toString toInteger toBoolean toDecimal toDate toDateTime toTime toQuantity
    convertsToString convertsToInteger convertsToBoolean convertsToDecimal convertsToDate convertsToDateTime
    convertsToTime convertsToQuantity abs ceiling floor round truncate
    """.split()  # noqa: SIM905 - read by kind, not as sixty lines
)


def _parse(expression: str) -> Tree:
    try:
        return syntax_tree(expression)
    except NotFhirPathError as error:
        raise BadPathError(f"the path is not FHIRPath: {error}") from None


def _check_functions(tree: Tree) -> None:
    for node in _nodes(tree):
        if node["type"] == "Functn" and (name := name_of(node)) not in _FUNCTIONS:
            raise BadPathError(f"the function {name}() may not be used in this path")


def _nodes(tree: Tree) -> list[Tree]:
    found = [tree]
    for node in found:  # grows while it is read, and ends because a tree does
        found.extend(node.get("children", ()))
    return found


def _only_name(tree: Tree) -> str:
    node = tree
    while node["type"] in ("TermExpression", "InvocationTerm"):
        node = node["children"][0]
    return name_of(node) if node["type"] == "MemberInvocation" else ""


# --- walking --------------------------------------------------------------------------------------

_UNTYPED = frozenset({"Resource", "DomainResource"})  # what it is, only the resource itself says


class _Walk:
    """One resource being walked. `follow` reads a syntax tree from the inside out."""

    def __init__(self, resource: dict[str, Any], shape: Shape, steps: Steps) -> None:
        self.root = Place(resource, str(resource.get("resourceType", "")))
        self.shape = shape
        self.steps = steps

    @cached_property
    def size(self) -> int:
        """How many JSON values the resource is made of."""
        found = [self.root.data]
        for item in found:  # grows while it is read, and ends because a resource does
            found.extend(item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
        return len(found)

    def start(self) -> Found:
        return Found([self.root], frozenset({self.root.type}))

    def follow(self, tree: Tree) -> Found:
        walk = _WALKS.get(tree["type"])
        if walk is None:
            raise BadPathError("the path must lead to elements; operators and literals belong inside where(…)")
        return walk(self, tree)

    def invoke(self, found: Found, node: Tree) -> Found:
        if node["type"] == "MemberInvocation":
            return self.member(found, name_of(node))
        if node["type"] == "ThisInvocation":
            return found
        if node["type"] != "FunctionInvocation":
            raise BadPathError("$index and $total may be used inside where(…) only")
        call = node["children"][0]
        name, parameters = name_of(call), parameters_of(call)
        arity, step = _STEPS.get(name, (0, None))
        if step is None:
            raise BadPathError(f"the function {name}() leads to no element; it may be used inside where(…)")
        if len(parameters) != arity:
            raise BadPathError(f"{name}() takes {arity} argument{'s'[arity:]}, not {len(parameters)}")
        return step(self, found, parameters)

    def member(self, found: Found, step: str) -> Found:
        elements = [
            element for type_name in sorted(found.types) for element in named(self.shape, type_name, step).values()
        ]
        if found.types and not elements:
            raise BadPathError(f"there is no element {step} in {_listed(found.types)}")
        types = frozenset(element.type for element in elements)
        places = [child for place in found.places for child in self._children(place, step)]
        return Found(places, types if types.isdisjoint(_UNTYPED) else frozenset())

    def _children(self, place: Place, step: str) -> list[Place]:
        content = place.content
        return [
            Place(data, _actual_type(element.type, data), place, content, name, step, index)
            for name, element in named(self.shape, place.type, step).items()
            if name in content or f"_{name}" in content
            for index, data in _items(content, name)
        ]

    def is_true(self, criteria: Tree, place: Place, index: int) -> bool:
        return _says_true(self.evaluate(criteria, place, index))

    def evaluate(self, tree: Tree, place: Place, index: int = 0) -> list[Any]:
        """What fhirpathpy makes of `tree` with `place` as `$this`."""
        seen = _as_it_is if _asks_for_extensions(tree) else _plain
        this = [_node_of(seen(place.companion if place.data is None else place.data), place.type)]
        context = _Metered(self.steps, dataRoot=this, model=_R4, userInvocationTable=_OWN_FUNCTIONS)
        context.update({"$this": this, "$index": index, "vars": _Variables(self, seen)})
        try:
            return _values(_evaluate(context, this, tree))
        except BadPathError:
            raise
        except RecursionError:
            raise BadPathError("the path nests too deeply") from None
        except Exception as error:
            # fhirpathpy raises what it stumbles over: Exception itself, KeyError, TypeError, decimal's
            # signals
            reason = (str(error) or type(error).__name__).splitlines()[0][:200]
            raise BadPathError(f"a filter of the path could not be evaluated: {reason}") from error


def _items(content: dict[str, Any], name: str) -> list[tuple[int | None, Any]]:
    data, beside = content.get(name), content.get(f"_{name}")
    if not isinstance(data, list) and not isinstance(beside, list):
        return [(None, data)]
    pairs = zip_longest(data or (), beside or ())
    return [(i, item) for i, (item, companion) in enumerate(pairs) if item is not None or companion is not None]


def _actual_type(declared: str, data: Any) -> str:
    if declared in _UNTYPED and isinstance(data, dict):
        return str(data.get("resourceType", declared))
    return declared


def _listed(types: frozenset[str]) -> str:
    first, *rest = sorted(types)
    return f"{first} and {len(rest)} other types" if len(rest) > 2 else " or ".join([first, *rest])


# What each kind of expression does. One that is not here gives values, not elements.


def _inner(walk: _Walk, tree: Tree) -> Found:
    return walk.follow(tree["children"][0])


def _first_term(walk: _Walk, tree: Tree) -> Found:
    # a path may start with the type of the resource, or one it derives from (FHIRPath §3.1)
    node = tree["children"][0]
    if node["type"] == "MemberInvocation" and name_of(node) in {walk.root.type, *_UNTYPED}:
        return walk.start()
    return walk.invoke(walk.start(), node)


def _constant(walk: _Walk, tree: Tree) -> Found:
    name = name_of(tree["children"][0])
    if name not in ("resource", "rootResource", "context"):
        raise BadPathError(f"%{name} does not lead into the resource being changed")
    return walk.start()


def _invocation(walk: _Walk, tree: Tree) -> Found:
    left, right = tree["children"]
    return walk.invoke(walk.follow(left), right)


def _indexer(walk: _Walk, tree: Tree) -> Found:
    left, right = tree["children"]
    found, number = walk.follow(left), _whole(walk, right)
    return Found(found.places[number : number + 1], found.types)


def _union(walk: _Walk, tree: Tree) -> Found:
    left, right = (walk.follow(side) for side in tree["children"])
    distinct = {(id(place.holder), place.name, place.index): place for place in [*left.places, *right.places]}
    return Found(list(distinct.values()), left.types | right.types if left.types and right.types else frozenset())


def _as_operator(walk: _Walk, tree: Tree) -> Found:
    if tree["terminalNodeText"] != ["as"]:
        raise BadPathError("the operator is leads to no element; it may be used inside where(…)")
    left, right = tree["children"]
    return _of_type(walk, walk.follow(left), [right])


_WALKS: dict[str, Callable[[_Walk, Tree], Found]] = {
    "TermExpression": _inner,
    "ParenthesizedTerm": _inner,
    "InvocationTerm": _first_term,
    "ExternalConstantTerm": _constant,
    "InvocationExpression": _invocation,
    "IndexerExpression": _indexer,
    "UnionExpression": _union,
    "TypeExpression": _as_operator,
}

# What each function does that leads from elements to elements.


def _where(walk: _Walk, found: Found, parameters: list[Tree]) -> Found:
    kept = [place for index, place in enumerate(found.places) if walk.is_true(parameters[0], place, index)]
    return Found(kept, found.types)


def _single(_walk: _Walk, found: Found, _parameters: list[Tree]) -> Found:
    if len(found.places) > 1:
        raise BadPathError(f"single() found {len(found.places)} elements")
    return found


def _slice(bounds: Callable[[int], slice]) -> _Step:
    def step(walk: _Walk, found: Found, parameters: list[Tree]) -> Found:
        number = _whole(walk, parameters[0]) if parameters else 0
        return Found(found.places[bounds(number)], found.types)

    return step


def _whole(walk: _Walk, tree: Tree) -> int:
    match walk.evaluate(tree, walk.root):
        case [int(number)] if not isinstance(number, bool) and number >= 0:
            return number
    raise BadPathError("an index must be one whole number, 0 or more")


def _of_type(walk: _Walk, found: Found, parameters: list[Tree]) -> Found:
    name = str(parameters[0].get("text", "")).replace("`", "").removeprefix("FHIR.")
    if not _elements(walk.shape, name):
        raise BadPathError(f"there is no type {name}" if name else "a type is named, not worked out")
    return Found([place for place in found.places if place.type == name], frozenset({name}))


def _extension(walk: _Walk, found: Found, parameters: list[Tree]) -> Found:
    url = walk.evaluate(parameters[0], walk.root)
    extensions = walk.member(found, "extension")
    return Found([place for place in extensions.places if [place.content.get("url")] == url], extensions.types)


def _resolve(walk: _Walk, found: Found, _parameters: list[Tree]) -> Found:
    # "resolve() SHALL only be used to refer to contained resource within the resource being patched" (fhirpatch)
    contained = walk.member(walk.start(), "contained").places
    places: list[Place] = []
    for place in found.places:
        reference = place.data if place.is_primitive else place.content.get("reference")
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise BadPathError("resolve() may lead to a contained resource, not out of the resource being changed")
        places += [target for target in contained if target.content.get("id") == reference[1:]]
    return Found(places, frozenset())


# name → (how many arguments, what it does)
_STEPS: dict[str, tuple[int, _Step]] = {
    "where": (1, _where),
    "first": (0, _slice(lambda _: slice(0, 1))),
    "last": (0, _slice(lambda _: slice(-1, None))),
    "tail": (0, _slice(lambda _: slice(1, None))),
    "skip": (1, _slice(lambda number: slice(number, None))),
    "take": (1, _slice(lambda number: slice(0, number))),
    "single": (0, _single),
    "ofType": (1, _of_type),
    "as": (1, _of_type),
    "extension": (1, _extension),
    "resolve": (0, _resolve),
}


# --- what fhirpathpy is given ---------------------------------------------------------------------


class _Metered(dict[str, Any]):
    """fhirpathpy's context. It looks something up here at every step, so here its steps are counted."""

    def __init__(self, steps: Steps, **entries: Any) -> None:
        super().__init__(entries)
        self.steps = steps

    def __getitem__(self, key: str) -> Any:
        self.steps.take()
        return super().__getitem__(key)


class _Variables(dict[str, Any]):
    """%resource and %context, which are the same here, and FHIR's fixed ones (R4 fhirpath.html#variables)."""

    def __init__(self, walk: _Walk, seen: Callable[[Any], Any]) -> None:
        super().__init__(
            ucum="http://unitsofmeasure.org",
            sct="http://snomed.info/sct",
            loinc="http://loinc.org",
            **dict.fromkeys(("resource", "rootResource", "context"), walk.root.data),
        )
        self.walk = walk
        self.seen = seen

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if value is not self.walk.root.data:
            return value
        self.walk.steps.take(self.walk.size)  # whoever looks at the whole resource may walk through all of it
        return self.seen(value)


def _asks_for_extensions(tree: Tree) -> bool:
    return any(node.get("text") == "extension" for node in _nodes(tree))


def _as_it_is(data: Any) -> Any:
    return data


def _plain(data: Any) -> Any:
    """`data` without the companions of primitives that have a value.

    fhirpathpy counts `birthDate` and `_birthDate` as two values, so that to it `birthDate = @1970-01-01` is
    false where the date has an extension. A filter that asks for extensions gets the data as it is.
    """
    if isinstance(data, list):
        return [_plain(item) for item in data]
    if not isinstance(data, dict):
        return data
    return {
        key: _plain(value) for key, value in data.items() if not (key.startswith("_") and data.get(key[1:]) is not None)
    }


def _values(items: list[Any]) -> list[Any]:
    return [getattr(item, "data", item) for item in items]


def _says_true(answer: list[Any]) -> bool:
    if len(answer) > 1:
        raise BadPathError("a filter must say true or false of one element, and gave several values")
    # one value that is no boolean counts as true (FHIRPath §4.5, singleton evaluation of collections)
    return bool(answer) and answer[0] is not False


def _where_true(context: Any, items: list[Any], criteria: Callable[[Any], list[Any]]) -> list[Any]:
    kept = []
    for index, item in enumerate(items):
        context["$index"] = index
        if _says_true(_values(criteria(item))):
            kept.append(item)
    return kept


def _exists(context: Any, items: list[Any], criteria: Callable[[Any], list[Any]] | None = None) -> bool:
    return bool(items if criteria is None else _where_true(context, items, criteria))


def _has_value(_context: Any, items: list[Any]) -> bool:
    values = _values(items)
    return len(values) == 1 and values[0] is not None and not isinstance(values[0], dict | list)


# fhirpathpy takes an element that holds false for true in `where(active)`, and has no hasValue() (R4 fhirpath.html)
_OWN_FUNCTIONS: dict[str, dict[str, Any]] = {
    "where": {"fn": _where_true, "arity": {1: ["Expr"]}},
    "exists": {"fn": _exists, "arity": {0: [], 1: ["Expr"]}},
    "hasValue": {"fn": _has_value},
}
