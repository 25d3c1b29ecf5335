"""FHIRPath on JSON resources, as far as invariants go: exact about types, and bounded.

fhirpathpy reads the expression; its syntax tree is compiled once into Python closures, which then run on the JSON as it
is. fhirpathpy's own evaluator is not used for the navigating part, because it answers wrongly where invariants need it
most: it counts `birthDate` and `_birthDate` as two values, compares collections by their first item and dates as texts,
copies lists at every step of `descendants()`, and knows neither `hasValue()`, `resolve()`, `memberOf()` nor
`conformsTo()`. Its function table still serves what depends on nothing but plain values: mathematics and texts.

Each code is a function of the focus (what stands before the dot), `$this` and the `Evaluation`, and gives a collection.
What starts from `%resource`, `%rootResource` or `%context` and needs nothing else is worked out once, so that asking it
again for every element of a list does not multiply. Every step is counted and `Steps` bounds them; regular expressions
run on RE2, whose time grows with the text and not with its powers.

Sources: FHIRPath N1 (http://hl7.org/fhirpath/N1), R4 fhirpath.html for FHIR's functions and variables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

from phb_fhir.fhir.codec import Exact
from phb_fhir.fhir.fhirpath_syntax import NotFhirPathError, Tree, name_of, parameters_of, syntax_tree
from phb_fhir.fhirpath.functions import LOOPS, OPERATORS, UNSURE, call, kind_test
from phb_fhir.fhirpath.values import (
    FALSE,
    NOTHING,
    TRUE,
    UCUM,
    Item,
    Items,
    NotEvaluableError,
    TooCostlyError,
    one,
    quantity,
    truth,
)
from phb_fhir.fhirpath.walk import Code, Evaluation, item_of, member

EXPRESSION_LENGTH_MAX = 20_000  # characters
_COMPILED_KEPT = 4_096  # expressions


def evaluate(code: Code, evaluation: Evaluation) -> Items:
    """What an expression finds, started on the evaluation's context.

    Raises NotEvaluableError, and TooCostlyError where the steps run out.
    """
    this = [evaluation.context]
    try:
        try:
            evaluation.steps.take(
                1
            )  # nothing is begun when nothing is left: a first step may lead to very many elements
            return code(this, this, evaluation)
        except TooCostlyError:
            if not evaluation.is_granted_more():
                raise
            return code(this, this, evaluation)
    except RecursionError:
        raise NotEvaluableError("it nests too deep") from None
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        # on data whose shape is wrong, which the check of the structure names
        raise NotEvaluableError(f"the data does not have the shape it expects ({error})") from error


# ---- parsing ---------------------------------------------------------------------------------------


def parse(expression: str) -> Tree:
    """The syntax tree of `expression`, checked to the last character. Raises NotEvaluableError."""
    if len(expression) > EXPRESSION_LENGTH_MAX:
        raise NotEvaluableError(f"it has {len(expression)} characters, and {EXPRESSION_LENGTH_MAX} are the most")
    try:
        return syntax_tree(expression)
    except NotFhirPathError as error:
        raise NotEvaluableError(f"it is not FHIRPath: {error}") from None


@lru_cache(maxsize=_COMPILED_KEPT)
def compiled(expression: str) -> Code:
    """The code of an expression. Raises NotEvaluableError for what is not FHIRPath or calls what is not known."""
    try:
        return build(parse(expression))
    except RecursionError:
        raise NotEvaluableError("it nests too deep") from None


# ---- from syntax tree to code ----------------------------------------------------------------------


def build(tree: Tree) -> Code:
    """The code of one node of the tree."""
    maker = _MAKERS.get(tree["type"])
    if maker is None:
        raise NotEvaluableError(f"{tree['type']} is not known here")
    code = maker(tree)
    if tree["type"] == "UnionExpression" and all(node["type"] in _OF_LITERALS for node in nodes_of(tree)):
        return _worked_out(code)
    return _remembered(code, tree) if _is_fixed(tree) and _is_worth_remembering(tree) else code


def _inner(tree: Tree) -> Code:
    return build(tree["children"][0])


def _invocation_term(tree: Tree) -> Code:
    node = tree["children"][0]
    if node["type"] == "MemberInvocation" and name_of(node)[:1].isupper():
        return _of_own_type(name_of(node))
    return build(node)


def _of_own_type(name: str) -> Code:
    # an expression may start with the type of what it is about: Appointment.status (N1 §3.1)
    def code(focus: Items, _: Items, evaluation: Evaluation) -> Items:
        return [item for item in focus if name in evaluation.tables.kinds[item[1]]]

    return code


def _invocation(tree: Tree) -> Code:
    left, right = tree["children"]
    before, after = build(left), build(right)

    def code(focus: Items, this: Items, evaluation: Evaluation) -> Items:
        return after(before(focus, this, evaluation), this, evaluation)

    return code


def _member_invocation(tree: Tree) -> Code:
    return member(name_of(tree))


def _this(_: Tree) -> Code:
    return lambda _focus, this, _evaluation: this


def _index(_: Tree) -> Code:
    return lambda _focus, _this, evaluation: [(evaluation.index, "System.Integer", None)]


def _total(_: Tree) -> Code:
    return lambda _focus, _this, evaluation: evaluation.total


def _function(tree: Tree) -> Code:
    node = tree["children"][0]
    parameters = parameters_of(node)
    texts = [str(parameter.get("text", "")) for parameter in parameters]
    return call(name_of(node), [build(parameter) for parameter in parameters], texts)


def _indexer(tree: Tree) -> Code:
    left, right = (build(side) for side in tree["children"])

    def code(focus: Items, this: Items, evaluation: Evaluation) -> Items:
        position = one(right(this, this, evaluation), "an index")
        items = left(focus, this, evaluation)
        if position is None or type(position[0]) is not int or position[0] < 0:
            return NOTHING
        return items[position[0] : position[0] + 1]

    return code


def _operator(tree: Tree) -> Code:
    left, right = tree["children"]
    apply, before, after = OPERATORS[tree["terminalNodeText"][0]], build(left), build(right)

    def code(focus: Items, this: Items, evaluation: Evaluation) -> Items:
        return apply(before(focus, this, evaluation), after(focus, this, evaluation), evaluation)

    return code


def _polarity(tree: Tree) -> Code:
    operand = build(tree["children"][0])
    if tree["terminalNodeText"][0] == "+":
        return operand

    def code(focus: Items, this: Items, evaluation: Evaluation) -> Items:
        number = one(operand(focus, this, evaluation), "the minus sign")
        return NOTHING if number is None else [(-number[0], number[1], None)]

    return code


def _type_operator(tree: Tree) -> Code:
    left, right = tree["children"]
    before, test = build(left), kind_test(tree["terminalNodeText"][0], right["text"])
    return lambda focus, this, evaluation: test(before(focus, this, evaluation), this, evaluation)


# Logic is three-valued, and the right side is not evaluated where the left one decides.


def _logic(decide: Mapping[bool | None, Any]) -> Callable[[Tree], Code]:
    """`decide` says what follows from the left side: an answer, or a table for the right side's."""

    def maker(tree: Tree) -> Code:
        left, right = (build(side) for side in tree["children"])

        def code(focus: Items, this: Items, evaluation: Evaluation) -> Items:
            rest = decide[truth(left(focus, this, evaluation))]
            if type(rest) is list:
                return rest
            return cast("Items", rest[truth(right(focus, this, evaluation))])

        return code

    return maker


_AND = {
    True: {True: TRUE, False: FALSE, None: NOTHING},
    False: FALSE,
    None: {True: NOTHING, False: FALSE, None: NOTHING},
}
_OR = {True: TRUE, False: {True: TRUE, False: FALSE, None: NOTHING}, None: {True: TRUE, False: NOTHING, None: NOTHING}}
_IMPLIES = {True: _AND[True], False: TRUE, None: {True: TRUE, False: NOTHING, None: NOTHING}}
_XOR = {
    True: {True: FALSE, False: TRUE, None: NOTHING},
    False: {True: TRUE, False: FALSE, None: NOTHING},
    None: NOTHING,
}


# ---- literals and variables ------------------------------------------------------------------------

_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "f": "\f"}


def unquoted(text: str) -> str:
    """The text of a literal (N1 §4.1.2)."""
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _ESCAPES.get(m[2], m[2]), text[1:-1])


def _literal(tree: Tree) -> Code:
    items = _LITERALS[tree["children"][0]["type"]](tree["children"][0])
    return lambda _focus, _this, _evaluation: items


def _number(tree: Tree) -> Items:
    text = tree["text"]
    return [(Exact(text), "System.Decimal", None)] if "." in text else [(int(text), "System.Integer", None)]


def _quantity(tree: Tree) -> Items:
    parts = tree["children"][0]
    unit = parts["children"][0]
    words = unit["terminalNodeText"] or unit["children"][0]["terminalNodeText"]
    return quantity(Exact(parts["terminalNodeText"][0]), words[0].strip("'"))


def _moment(tree: Tree) -> Items:
    text = tree["text"].removeprefix("@")
    return [(text.removesuffix("T"), "System.DateTime" if "T" in text else "System.Date", None)]


_LITERALS: dict[str, Callable[[Tree], Items]] = {
    "NullLiteral": lambda _: NOTHING,
    "BooleanLiteral": lambda tree: TRUE if tree["text"] == "true" else FALSE,
    "StringLiteral": lambda tree: [(unquoted(tree["text"]), "System.String", None)],
    "NumberLiteral": _number,
    "QuantityLiteral": _quantity,
    "DateTimeLiteral": _moment,
    "DateLiteral": _moment,
    "TimeLiteral": lambda tree: [(tree["text"].removeprefix("@T"), "System.Time", None)],
}

_CONSTANTS = {"ucum": UCUM, "sct": "http://snomed.info/sct", "loinc": "http://loinc.org"}
_URL_CONSTANTS = {
    "vs-": "http://hl7.org/fhir/ValueSet/",
    "cs-": "http://hl7.org/fhir/",
    "ext-": "http://hl7.org/fhir/StructureDefinition/",
}


def _extension(evaluation: Evaluation) -> Item:
    """The extension of which it is asked whether it may stand here (R4 StructureDefinition.contextInvariant)."""
    if evaluation.extension is None:
        raise NotEvaluableError("there is no %extension")
    return evaluation.extension


_VARIABLES: dict[str, Callable[[Evaluation], Item]] = {
    "resource": lambda evaluation: item_of(evaluation.frame.resource, ""),
    "rootResource": lambda evaluation: item_of(evaluation.frame.root, ""),
    "context": lambda evaluation: evaluation.context,
    "extension": _extension,
}


def _variable(tree: Tree) -> Code:
    node = tree["children"][0]
    name = name_of(node) if node.get("children") else node["terminalNodeText"][-1].strip("'")
    variable = _VARIABLES.get(name)
    if variable is not None:
        return lambda _focus, _this, evaluation: [variable(evaluation)]
    prefix = next((prefix for prefix in _URL_CONSTANTS if name.startswith(prefix)), "")
    text = _URL_CONSTANTS[prefix] + name.removeprefix(prefix) if prefix else _CONSTANTS.get(name)
    if text is None:
        raise NotEvaluableError(f"there is no %{name}")
    constant: Items = [(text, "System.String", None)]
    return lambda _focus, _this, _evaluation: constant


_MAKERS: dict[str, Callable[[Tree], Code]] = {
    "TermExpression": _inner,
    "ParenthesizedTerm": _inner,
    "InvocationTerm": _invocation_term,
    "InvocationExpression": _invocation,
    "MemberInvocation": _member_invocation,
    "ThisInvocation": _this,
    "IndexInvocation": _index,
    "TotalInvocation": _total,
    "FunctionInvocation": _function,
    "IndexerExpression": _indexer,
    "LiteralTerm": _literal,
    "ExternalConstantTerm": _variable,
    "TypeExpression": _type_operator,
    "PolarityExpression": _polarity,
    "AndExpression": lambda tree: _logic(_OR if tree["terminalNodeText"] == ["or"] else _AND)(tree),
    "OrExpression": lambda tree: _logic(_XOR if tree["terminalNodeText"] == ["xor"] else _OR)(tree),
    "XorExpression": _logic(_XOR),
    "ImpliesExpression": _logic(_IMPLIES),
    **dict.fromkeys(
        (
            "UnionExpression", "EqualityExpression", "InequalityExpression", "MembershipExpression",
            "AdditiveExpression", "MultiplicativeExpression",
        ),
        _operator,
    ),
}  # fmt: skip


# ---- what need not be worked out again -------------------------------------------------------------


def _is_fixed(tree: Tree) -> bool:
    """Whether what this finds depends on nothing but the resource and the context, not on `$this`."""
    kind, children = tree["type"], tree.get("children", ())
    if kind in ("ExternalConstantTerm", "LiteralTerm"):
        return True
    if kind == "InvocationExpression":
        return _is_fixed(children[0]) and _has_fixed_arguments(children[1])
    if kind == "TypeExpression":
        return _is_fixed(children[0])
    if kind == "InvocationTerm" or not children:
        return False
    return kind.endswith(("Expression", "Term")) and all(_is_fixed(child) for child in children)


def _has_fixed_arguments(invocation: Tree) -> bool:
    if invocation["type"] == "MemberInvocation":
        return True
    if invocation["type"] != "FunctionInvocation":
        return False
    call = invocation["children"][0]
    return name_of(call) in LOOPS or all(
        _is_fixed(parameter) or _is_name(parameter) for parameter in parameters_of(call)
    )


def _is_name(tree: Tree) -> bool:
    return bool(re.fullmatch(r"(FHIR\.|System\.)?[A-Za-z]+", tree.get("text", "")))


def _is_worth_remembering(tree: Tree) -> bool:
    kinds = {node["type"] for node in nodes_of(tree)}
    calls = {name_of(node) for node in nodes_of(tree) if node["type"] == "Functn"}
    return (
        tree["type"] in ("InvocationExpression", "UnionExpression")
        and "ExternalConstantTerm" in kinds
        and calls.isdisjoint(UNSURE)
    )


def nodes_of(tree: Tree) -> Iterator[Tree]:
    """A node and all below it."""
    yield tree
    for child in tree.get("children", ()):
        yield from nodes_of(child)


# ('draft' | 'active') is the same wherever it is asked
_OF_LITERALS = frozenset(("UnionExpression", "TermExpression", "LiteralTerm", "StringLiteral", "NumberLiteral"))


def _worked_out(code: Code) -> Code:
    """The code of what is made of literals alone: worked out when first asked for."""
    found: list[Items] = []

    def once(focus: Items, this: Items, evaluation: Evaluation) -> Items:
        if not found:
            found.append(code(focus, this, evaluation))
        return found[0]

    return once


def _remembered(code: Code, tree: Tree) -> Code:
    variables = {
        name_of(node) for node in nodes_of(tree) if node["type"] == "ExternalConstant" and node.get("children")
    }
    of_root = variables.isdisjoint(("resource", "context"))

    def remembering(_focus: Items, _this: Items, evaluation: Evaluation) -> Items:
        memo = evaluation.memo if "context" in variables else evaluation.memory(of_root=of_root)
        found = memo.get(remembering)
        if found is None:
            this = [evaluation.context]
            found = memo[remembering] = code(this, this, evaluation)
        return cast("Items", found)

    return remembering
