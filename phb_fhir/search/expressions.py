"""What a search parameter looks at: FHIRPath expressions, each compiled once for a type.

Search expressions are mostly paths, and what stands at the end of a path can be told from the definitions alone: which JSON
properties lead there, of which FHIR type each value is, whether there may be several. So an expression is read into routes
(`search/routes`): members with their choices spelled out, unions, `as` and `ofType`, `where(…)` and `extension(…)` with
plain conditions, an index. What is no path (`iif`, `repeat`, arithmetic) goes through the FHIRPath engine, which gives the
same answers more slowly; the two are held against one another on all of R4's examples.

Values are what a resource says: a primitive of which only extensions are there has none. Contained resources are not
looked into, and nothing is fetched: `resolve() is Patient` is judged by the text of the reference, by what is contained,
or by `Reference.type`.

Sources: R4 §5.10 SearchParameter.expression, R4 fhirpath.html, FHIRPath N1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from phb_fhir.definitions.load import Definitions, Element, SearchParameter
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.fhirpath_syntax import Tree, name_of, parameters_of
from phb_fhir.fhirpath.evaluate import compiled, nodes_of, parse, unquoted
from phb_fhir.fhirpath.values import DATES, NotEvaluableError, is_primitive
from phb_fhir.fhirpath.walk import Tables
from phb_fhir.search.engine import Function, by_engine, points_to
from phb_fhir.search.kinds.elements import MIME_SYSTEM, MIME_TYPES
from phb_fhir.search.kinds.kind import Value
from phb_fhir.search.routes import Filter, Found, Route, Step, Systems, collect, laid_out, may_be_several

Verdict: TypeAlias = Callable[[Any, Resource], "bool | None"]

EXPRESSION_LENGTH_MAX = 4_000  # characters
ROUTES_MAX = (
    200  # of one expression: extension.value alone has fifty, and extension.value.extension.value fifty times that
)
_COMPILED_KEPT = 8_192  # expressions
# What depends on more than the resource: the day, terminology, other resources.
_REFUSED = frozenset(
    ("memberOf", "conformsTo", "htmlChecks", "htmlChecks2", "today", "now", "timeOfDay", "trace", "subsumes", "subsumedBy")
)  # fmt: skip


class Extractor(NamedTuple):
    """What an expression finds. `types` are the FHIR types its values can have (empty: only the data can tell), `is_list`
    says whether there may be several; `values` finds them, in order.
    """

    types: frozenset[str]
    is_list: bool
    values: Callable[[Resource], list[Value]]


def extractor(definitions: Definitions, parameter: SearchParameter, type_: str) -> Extractor:
    """What `parameter` finds in resources of `type_`. Raises ValueError, with a sentence, for an expression that cannot be used."""
    program = program_of(definitions, parameter.expression, type_)
    return Extractor(program.types, program.is_list, lambda resource: program.run(resource, resource))


# ---- programs -------------------------------------------------------------------------------------------------------


class Program:
    """A compiled expression: routes, or else a `function` of an element and its resource.

    `types`, `is_list`: as an Extractor has them. `slots`: how many a walk for it needs. `systems`: which code systems its codes
    can be of, as far as the definitions say so, each with those codes (None: with all).
    """

    __slots__ = (
        "_begins",
        "_branches",
        "_place",
        "function",
        "is_list",
        "of_resource",
        "routes",
        "slots",
        "systems",
        "types",
    )

    def __init__(self, routes: Sequence[Route], start: str, *, of_resource: bool = False) -> None:
        """Of routes from an element of the type `start`, or else, `of_resource`, from the resource that has it."""
        self.function: Function | None = None
        self.routes = tuple(routes)
        self.types = frozenset(route.type for route in routes)
        self.is_list = may_be_several(routes)
        self.of_resource = of_resource
        self._branches = sorted({route.branch for route in routes})
        self.slots = len(self._branches)
        self.systems = tuple(dict.fromkeys(pair for route in routes for pair in route.systems))
        self._place = laid_out(self.slotted(0), start, is_primitive)
        self._begins = frozenset(route.begins for route in routes)  # None: at the element itself

    @staticmethod
    def of_function(function: Function, types: frozenset[str] = frozenset()) -> Program:
        """One that is no path. What it finds is taken to be possibly several, unless it answers with true or false."""
        program = Program((), "")
        program.function, program.types, program.is_list = function, types, types != _BOOLEAN
        return program

    def run(self, element: Any, resource: Resource) -> list[Value]:
        """Its values, found in an element of `resource`."""
        if self.function is not None:
            return self.function(element, resource)
        start = resource if self.of_resource else element
        if type(start) is dict and self._begins.isdisjoint(start) and None not in self._begins:
            return []
        found: Found = {}
        collect(self._place, start, resource, found)
        return self.put_together(found, 0)

    def slotted(self, first: int) -> list[tuple[Route, int]]:
        """Its routes, each with the slot it fills, of which `first` is the first."""
        return [(route, first + self._branches.index(route.branch)) for route in self.routes]

    def put_together(self, found: Found, first: int) -> list[Value]:
        """Its values, from its slots."""
        if self.slots == 1:
            return found.get(first, [])
        values = [value for slot in range(first, first + self.slots) if slot in found for value in found[slot]]
        return _distinct(values) if len(values) > 1 else values


def _distinct(values: list[Value]) -> list[Value]:
    """The values of a union, each once, as FHIRPath has it."""
    found: dict[str, Value] = {}
    for value in values:
        found.setdefault(repr(value[1]), value)
    return list(found.values())


def program_of(definitions: Definitions, expression: str, type_: str) -> Program:
    """The program of an expression that is evaluated on `type_` (a resource type, or that of an element of one).

    Raises ValueError for an expression that cannot be used. An expression is compiled once for a type, and kept.
    """
    return definitions.derived(_programs)(expression, type_, "")


def component_of(definitions: Definitions, expression: str, type_: str, resource_type: str) -> Program:
    """The program of a composite's component, run on an element of `type_` of a resource. Raises ValueError."""
    return definitions.derived(_programs)(expression, type_, resource_type)


def _programs(definitions: Definitions) -> Callable[[str, str, str], Program]:
    @lru_cache(maxsize=_COMPILED_KEPT)
    def program(expression: str, type_: str, resource_type: str) -> Program:
        return _Compiler(definitions, resource_type or type_).program(expression, type_)

    return program


class _NotAPath(Exception):  # noqa: N818 - it is no error: the engine takes over
    """The expression is more than routes can say."""


# ---- from syntax tree to routes -------------------------------------------------------------------------------------


class _Compiler:
    def __init__(self, definitions: Definitions, resource_type: str) -> None:
        self.definitions = definitions
        self.tables = definitions.derived(Tables)
        self.resource_type = resource_type
        self.start = ""

    def program(self, expression: str, type_: str) -> Program:
        self.start = type_
        try:
            tree = self._parsed(expression)
            try:
                if _is_condition(tree):
                    return Program.of_function(_as_boolean(self.verdict(tree, Route(type_))), _BOOLEAN)
                return self._of_routes(tree, type_, expression)
            except _NotAPath:
                return self._of_engine(tree, expression, type_)
        except RecursionError:
            raise ValueError(f'"{expression[:200]}" cannot be used: it nests too deep.') from None

    def _parsed(self, expression: str) -> Tree:
        if len(expression) > EXPRESSION_LENGTH_MAX:
            raise ValueError(f"The expression has {len(expression)} characters; {EXPRESSION_LENGTH_MAX} are the most.")
        try:
            tree = parse(expression)
            compiled(expression)
        except NotEvaluableError as reason:
            raise ValueError(f'"{expression[:200]}" cannot be used: {reason}.') from None
        for node in nodes_of(tree):
            _refuse(node, expression)
            self._check_type(node, expression)
        return tree

    def _check_type(self, node: Tree, expression: str) -> None:
        name = ""
        if node["type"] == "TypeSpecifier":
            name = node["text"]
        elif node["type"] == "Functn" and name_of(node) in ("as", "ofType", "is"):
            name = next((parameter.get("text", "") for parameter in parameters_of(node)), "")
        plain = _plain_type(name).removeprefix("System.")
        known = plain in _SYSTEM if "System." in name else self.definitions.has_type(plain) or plain in _SYSTEM
        if name and not known:
            raise ValueError(f'"{expression[:200]}" cannot be used: there is no type "{plain[:100]}".')

    def _of_routes(self, tree: Tree, type_: str, expression: str) -> Program:
        routes = self.routes(tree, [Route(type_)])
        if not routes:
            raise ValueError(f'"{expression[:200]}" finds nothing: {type_} has no such element.')
        starts = {route.of_resource for route in routes}
        if len(starts) > 1:
            raise _NotAPath
        of_resource = starts == {True}
        return Program(routes, self.resource_type if of_resource else type_, of_resource=of_resource)

    # ---- routes

    def routes(self, tree: Tree, focus: list[Route]) -> list[Route]:
        """Where the expression leads from `focus`. Raises _NotAPath."""
        maker = _ROUTES.get(tree["type"])
        if maker is None:
            raise _NotAPath
        return maker(self, tree, focus)

    def inner(self, tree: Tree, focus: list[Route]) -> list[Route]:
        return self.routes(tree["children"][0], focus)

    def term(self, tree: Tree, focus: list[Route]) -> list[Route]:
        node = tree["children"][0]
        if node["type"] == "MemberInvocation" and name_of(node)[:1].isupper():
            return [route for route in focus if name_of(node) in self.tables.kinds[route.type]]
        return self.routes(node, focus)

    def invocation(self, tree: Tree, focus: list[Route]) -> list[Route]:
        before, after = tree["children"]
        return self.routes(after, self.routes(before, focus))

    def member(self, tree: Tree, focus: list[Route]) -> list[Route]:
        name = name_of(tree)
        found = [longer for route in focus for longer in self._members(route, name)]
        if len(found) > ROUTES_MAX:
            raise _NotAPath
        return found

    def _members(self, route: Route, name: str) -> Iterator[Route]:
        if route.type in _OPEN and route.steps:
            raise _NotAPath  # what is in it, only the data can tell
        if is_primitive(route.type):
            route = _beside(route)
        try:
            elements = self.definitions.type(route.type).elements.values()
        except KeyError:
            return
        for element in elements:
            if element.path_name == name:
                systems = self._systems(element)
                yield route.to(Step(element.name, element.type, element.is_list, element.choice, systems=systems))

    def _systems(self, element: Element) -> Systems:
        """The code systems that a code may be of, by what its required binding allows."""
        if element.type != "code" or element.binding is None or element.binding.strength != "required":
            return ()
        value_set = element.binding.value_set.partition("|")[0]
        if value_set == MIME_TYPES:
            return ((MIME_SYSTEM, None),)
        systems = self.definitions.codes(value_set) or {}
        return tuple(sorted(systems.items())) if len(systems) > 1 else tuple((system, None) for system in systems)

    def function(self, tree: Tree, focus: list[Route]) -> list[Route]:
        call = tree["children"][0]
        maker = _FUNCTIONS.get(name_of(call))
        if maker is None:
            raise _NotAPath
        return maker(self, parameters_of(call), focus)

    def where(self, parameters: list[Tree], focus: list[Route]) -> list[Route]:
        (criterion,) = parameters
        return [self._tested(route, criterion) for route in focus]

    def _tested(self, route: Route, criterion: Tree) -> Route:
        if route.type in _OPEN:
            raise _NotAPath
        test = self.verdict(criterion, Route(route.type))
        return route.to(Filter(_spelled(criterion), route.type, test))

    def extension(self, parameters: list[Tree], focus: list[Route]) -> list[Route]:
        url = _literal(parameters[0])
        if type(url) is not str:
            raise _NotAPath
        found = [longer for route in focus for longer in self._members(route, "extension")]
        return [route.to(Filter(f"url={url}", "Extension", _has("url", url))) for route in found]

    def of_type(self, parameters: list[Tree], focus: list[Route]) -> list[Route]:
        return self._of_kind(str(parameters[0].get("text", "")), focus)

    def type_expression(self, tree: Tree, focus: list[Route]) -> list[Route]:
        if tree["terminalNodeText"][0] != "as":
            raise _NotAPath
        before, type_ = tree["children"]
        return self._of_kind(str(type_["text"]), self.routes(before, focus))

    def _of_kind(self, name: str, focus: list[Route]) -> list[Route]:
        wanted, kinds = _plain_type(name), self.tables.kinds
        found = []
        for route in focus:
            if wanted in kinds[route.type]:
                found.append(route)
            elif route.type in _OPEN and "Resource" in kinds[wanted]:
                found.append(route.to(Filter(f"is {wanted}", wanted, _has("resourceType", wanted))))
        return found

    def union(self, tree: Tree, focus: list[Route]) -> list[Route]:
        # each side is a branch, so that its values stand together, whatever comes behind the union
        sides = (self.routes(side, focus) for side in tree["children"])
        return [replace(route, branch=(number, *route.branch)) for number, side in enumerate(sides) for route in side]

    def indexer(self, tree: Tree, focus: list[Route]) -> list[Route]:
        before, position = tree["children"]
        number = _literal(position)
        if type(number) is not int:
            raise _NotAPath
        return self._numbered(self.routes(before, focus), number)

    def first(self, _: list[Tree], focus: list[Route]) -> list[Route]:
        return self._numbered(focus, 0)

    def _numbered(self, focus: list[Route], number: int) -> list[Route]:
        # of a list that is the only one on the way, so that its items are all there are to count
        if len(focus) != 1 or not focus[0].steps or focus[0].branch:
            raise _NotAPath
        *before, last = focus[0].steps
        if type(last) is not Step or last.nth is not None or Route("", tuple(before)).is_list:
            raise _NotAPath
        return [replace(focus[0], steps=(*before, replace(last, nth=number)))]

    def constant(self, tree: Tree, _: list[Route]) -> list[Route]:
        node = tree["children"][0]
        name = name_of(node) if node.get("children") else ""
        if name == "context" or (name in ("resource", "rootResource") and self.start == self.resource_type):
            return [Route(self.start)]
        if name not in ("resource", "rootResource"):
            raise _NotAPath
        return [Route(self.resource_type, of_resource=True)]

    # ---- conditions

    def verdict(self, tree: Tree, of: Route) -> Verdict:
        """Whether a condition holds of an element: True, False, or None where it cannot be said. Raises _NotAPath."""
        tree = _unwrapped(tree)
        maker = _BOOLEANS.get(tree["type"])
        if maker is not None:
            return maker(self, tree, of)
        name = _called(tree)
        if name == "exists":
            return self._exists(tree, of)
        if name == "not":
            negated = self.verdict(tree["children"][0], of)
            return lambda value, resource: None if (said := negated(value, resource)) is None else not said
        if name == "hasExtension":
            return self._has_extension(tree, of)
        found = self._single(tree, of)
        if any(route.type != "boolean" for route in found.routes):
            raise _NotAPath
        return lambda value, resource: next((said for _, said in found.run(value, resource)), None)

    def logic(self, tree: Tree, of: Route) -> Verdict:
        left, right = (self.verdict(side, of) for side in tree["children"])
        word = tree["terminalNodeText"][0]
        if word not in ("and", "or"):
            raise _NotAPath
        deciding = word == "or"  # what one side alone decides

        def said(value: Any, resource: Resource) -> bool | None:
            first = left(value, resource)
            if first is deciding:
                return deciding
            second = right(value, resource)
            if second is deciding:
                return deciding
            return None if first is None or second is None else not deciding

        return said

    def equality(self, tree: Tree, of: Route) -> Verdict:
        left, right = (_unwrapped(side) for side in tree["children"])
        wanted, is_negated = _literal(right), tree["terminalNodeText"][0] == "!="
        if wanted is None or tree["terminalNodeText"][0] not in ("=", "!="):
            raise _NotAPath
        found = self._path(left, of)
        if any(route.type in DATES for route in found.routes) and type(wanted) is str:
            raise _NotAPath  # dates are compared as moments
        key = _single_key(found)
        if key is not None and not is_negated:
            return _has(key, wanted)

        def said(value: Any, resource: Resource) -> bool | None:
            values = found.run(value, resource)
            if not values:
                return None
            is_equal = len(values) == 1 and type(values[0][1]) is type(wanted) and values[0][1] == wanted
            return is_equal is not is_negated

        return said

    def type_test(self, tree: Tree, of: Route) -> Verdict:
        before, type_ = tree["children"]
        if (
            tree["terminalNodeText"][0] != "is"
            or _called(before) != "resolve"
            or _unwrapped(before)["type"] != "Functn"
        ):
            raise _NotAPath
        if of.type not in ("Reference", "canonical", "uri", "url"):
            raise _NotAPath
        wanted, kinds = _plain_type(type_["text"]), self.tables.kinds
        return lambda value, resource: wanted in kinds[points_to(value, resource)]

    def _exists(self, tree: Tree, of: Route) -> Verdict:
        before, call = _receiver(tree)
        if parameters_of(call):
            raise _NotAPath
        found = self._path(before, of)
        return lambda value, resource: bool(found.run(value, resource))

    def _has_extension(self, tree: Tree, of: Route) -> Verdict:
        before, call = _receiver(tree)
        url = _literal(parameters_of(call)[0])
        if type(url) is not str:
            raise _NotAPath
        holders = [of] if before is None else self.routes(before, [of])
        routes = [longer for route in holders for longer in self._members(route, "extension")]
        found = self._program([route.to(Filter(f"url={url}", "Extension", _has("url", url))) for route in routes], of)
        return lambda value, resource: bool(found.run(value, resource))

    def _path(self, tree: Tree | None, of: Route) -> Program:
        return self._program([of] if tree is None else self.routes(tree, [of]), of)

    def _single(self, tree: Tree, of: Route) -> Program:
        found = self._path(tree, of)
        if found.is_list:
            raise _NotAPath
        return found

    def _program(self, routes: list[Route], of: Route) -> Program:
        if any(route.of_resource for route in routes):
            raise _NotAPath
        return Program(routes, of.type)

    # ---- what the engine has to do

    def _of_engine(self, tree: Tree, expression: str, type_: str) -> Program:
        calls = [node for node in nodes_of(tree) if node["type"] == "Functn" and name_of(node) == "resolve"]
        asked = [
            node for node in nodes_of(tree) if node["type"] == "TypeExpression" and node["terminalNodeText"][0] == "is"
        ]
        if len(calls) > sum(_called(node["children"][0]) == "resolve" for node in asked):
            raise ValueError(
                f'"{expression[:200]}" cannot be used: what a reference points to is not at hand where a resource is indexed; '
                "only its type can be asked for, as in where(resolve() is Patient)."
            )
        return Program.of_function(by_engine(compiled(expression), self.definitions, type_))


_BOOLEAN = frozenset(("boolean",))
_OPEN = ("Resource", "DomainResource")  # what type a value is, it says itself
_SYSTEM = frozenset(("Boolean", "String", "Integer", "Decimal", "Date", "DateTime", "Time", "Quantity"))


def _refuse(node: Tree, expression: str) -> None:
    name = name_of(node) if node["type"] == "Functn" else ""
    if name in _REFUSED:
        raise ValueError(
            f'"{expression[:200]}" cannot be used: {name}() depends on more than the resource, and an index does not.'
        )
    if node["type"] == "ExternalConstant" and name_of(node) == "extension":
        raise ValueError(
            f'"{expression[:200]}" cannot be used: %extension is for rules of where an extension may stand.'
        )


def _beside(route: Route) -> Route:
    """To what stands beside a primitive: its extensions, under `_birthDate`."""
    *before, last = route.steps or (None,)
    if type(last) is not Step:
        raise _NotAPath
    return replace(route, type="Element", steps=(*before, replace(last, key=f"_{last.key}", type="Element")))


def _plain_type(name: str) -> str:
    return name.replace("`", "").removeprefix("FHIR.")


def _is_condition(tree: Tree) -> bool:
    """Whether its answer is true or false by what stands outermost."""
    tree = _unwrapped(tree)
    is_test = tree["type"] in _BOOLEANS and tree["terminalNodeText"][0] != "as"
    return is_test or _called(tree) in ("exists", "hasExtension", "not")


def _unwrapped(tree: Tree) -> Tree:
    """Without the brackets and terms around it."""
    while tree["type"] in ("TermExpression", "ParenthesizedTerm", "InvocationTerm", "FunctionInvocation"):
        tree = tree["children"][0]
    return tree


def _called(tree: Tree) -> str:
    """The name of the function whose answer this is, or ""."""
    tree = _unwrapped(tree)
    if tree["type"] == "InvocationExpression":
        tree = _unwrapped(tree["children"][1])
    return name_of(tree) if tree["type"] == "Functn" else ""


def _receiver(tree: Tree) -> tuple[Tree | None, Tree]:
    """What a function is called on (None: on the element itself), and the call."""
    tree = _unwrapped(tree)
    if tree["type"] == "Functn":
        return None, tree
    return tree["children"][0], _unwrapped(tree["children"][1])


def _literal(tree: Tree) -> Any:
    """The text, number or boolean that is written there; None for anything else."""
    tree = _unwrapped(tree)
    if tree["type"] != "LiteralTerm":
        return None
    node = tree["children"][0]
    read = _LITERALS.get(node["type"])
    return read(node["text"]) if read is not None else None


_LITERALS: dict[str, Callable[[str], Any]] = {
    "StringLiteral": unquoted,
    "BooleanLiteral": lambda text: text == "true",
    "NumberLiteral": lambda text: int(text) if text.isdecimal() else None,
}


def _spelled(tree: Tree) -> str:
    """A text that is the same for the same condition."""
    return repr(_bare(tree))


def _bare(tree: Tree) -> Any:
    inside = [_bare(child) for child in tree.get("children", ())]
    return [tree["type"], tree.get("terminalNodeText"), inside] if inside else tree.get("text")


def _has(key: str, wanted: Any) -> Verdict:
    kind = type(wanted)

    def said(value: Any, _: Resource) -> bool | None:
        there = value.get(key)
        return None if there is None else type(there) is kind and there == wanted

    return said


def _single_key(program: Program) -> str | None:
    """The one property a program looks at, where it is that simple."""
    if len(program.routes) != 1 or len(program.routes[0].steps) != 1:
        return None
    step = program.routes[0].steps[0]
    return step.key if type(step) is Step and not step.is_list else None


def _as_boolean(decide: Verdict) -> Callable[[Any, Resource], list[Value]]:
    def values(element: Any, resource: Resource) -> list[Value]:
        said = decide(element, resource)
        return [] if said is None else [("boolean", said)]

    return values


_Maker: TypeAlias = "Callable[[_Compiler, Tree, list[Route]], list[Route]]"
_ROUTES: dict[str, _Maker] = {
    "TermExpression": _Compiler.inner,
    "ParenthesizedTerm": _Compiler.inner,
    "InvocationTerm": _Compiler.term,
    "InvocationExpression": _Compiler.invocation,
    "MemberInvocation": _Compiler.member,
    "FunctionInvocation": _Compiler.function,
    "ThisInvocation": lambda _self, _tree, focus: focus,
    "TypeExpression": _Compiler.type_expression,
    "UnionExpression": _Compiler.union,
    "IndexerExpression": _Compiler.indexer,
    "ExternalConstantTerm": _Compiler.constant,
}
_FUNCTIONS: dict[str, Callable[[_Compiler, list[Tree], list[Route]], list[Route]]] = {
    "where": _Compiler.where,
    "extension": _Compiler.extension,
    "as": _Compiler.of_type,
    "ofType": _Compiler.of_type,
    "first": _Compiler.first,
}
_BOOLEANS: dict[str, Callable[[_Compiler, Tree, Route], Verdict]] = {
    "AndExpression": _Compiler.logic,
    "OrExpression": _Compiler.logic,
    "EqualityExpression": _Compiler.equality,
    "TypeExpression": _Compiler.type_test,
}
