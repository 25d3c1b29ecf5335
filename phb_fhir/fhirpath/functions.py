"""The functions and operators of FHIRPath, each a row of a table.

`FUNCTIONS` holds those that work on collections and elements, and FHIR's own. What is not there and depends on plain
values only (mathematics, encodings) is taken from fhirpathpy's table. `OPERATORS` holds what stands between two
expressions, but for the logical ones, which the compiler makes itself because they need not evaluate both sides.

A function is made for its arguments: the maker gets their code and their text, and gives the code of the call.
Arguments are evaluated on `$this`, except those of a loop (`where`, `all`, `select`, …), which are evaluated on each item.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any, TypeAlias, cast

import re2  # type: ignore[import-untyped]
from fhirpathpy.engine.invocations import invocation_registry
from fhirpathpy.engine.nodes import FP_DateTime, FP_Quantity

from phb_fhir.fhirpath.conversions import (
    converts,
    to_boolean,
    to_date,
    to_date_time,
    to_integer,
    to_quantity,
    to_string,
    to_time,
)
from phb_fhir.fhirpath.values import (
    DATES,
    FALSE,
    NOTHING,
    QUANTITIES,
    TIMES,
    TRUE,
    Item,
    Items,
    NotEvaluableError,
    TooCostlyError,
    boolean,
    compared_dates,
    compared_quantities,
    compared_times,
    distinct,
    is_equal,
    is_equivalent,
    is_number,
    is_primitive,
    key_of,
    one,
    system,
    text_of,
    truth,
)
from phb_fhir.fhirpath.walk import Code, Evaluation, children_of, item_of

Arguments: TypeAlias = "list[Code]"
Maker: TypeAlias = "Callable[[Arguments, list[str]], Code]"
Operator: TypeAlias = "Callable[[Items, Items, Evaluation], Items]"

_KEYS_KEPT_FROM = 16  # items; the keys of a longer collection are kept, for `in` inside a loop
_PATTERNS_KEPT = 1_024
_TEXT_PER_STEP = 64  # characters a text function looks at for the price of one step
_TEXT_MAX = 1_000_000  # characters of a text that an expression puts together
_EXPONENT_MAX = 1_000
_PLACES_MAX = 20  # that round() keeps


def call(name: str, arguments: Arguments, texts: list[str]) -> Code:
    """The code of a function call. Raises NotEvaluableError where there is no such function, or not of so many."""
    row = FUNCTIONS.get(name)
    if row is None:
        return _fhirpathpy(name, arguments)
    counts, maker = row
    if len(arguments) not in counts:
        raise NotEvaluableError(f"{name}() is called with {len(arguments)} arguments")
    return maker(arguments, texts)


# ---- makers ----------------------------------------------------------------------------------------


def _plain(function: Callable[[Items, Evaluation], Items]) -> Maker:
    """A function of the focus alone."""
    return lambda _arguments, _texts: lambda focus, _this, evaluation: function(focus, evaluation)


def _with_argument(function: Operator) -> Maker:
    """A function of the focus and one collection."""

    def maker(arguments: Arguments, _: list[str]) -> Code:
        argument = arguments[0]
        return lambda focus, this, evaluation: function(focus, argument(this, this, evaluation), evaluation)

    return maker


def _of_text(name: str, function: Callable[..., Any], *, without: Items = NOTHING) -> Maker:
    """A function of one text and further values; where one is missing the answer is empty.

    `without` is the answer for an element that has no value, only extensions.
    """

    def maker(arguments: Arguments, _: list[str]) -> Code:
        def code(focus: Items, this: Items, evaluation: Evaluation) -> Items:
            text = text_of(focus, f"{name}()")
            values = [one(argument(this, this, evaluation), f"{name}()") for argument in arguments]
            if text is None or None in values:
                return without if focus else NOTHING
            evaluation.steps.take(len(text) // _TEXT_PER_STEP)
            return system(function(text, *(value[0] for value in values if value is not None)))

        return code

    return maker


def _loop(run: Callable[[Iterator[tuple[Item, Items]]], Items]) -> Maker:
    """A function that evaluates its argument on each item, and makes its answer of the pairs."""

    def maker(arguments: Arguments, _: list[str]) -> Code:
        argument = arguments[0]
        return lambda focus, _this, evaluation: run(_each(focus, argument, evaluation))

    return maker


def _each(focus: Items, argument: Code, evaluation: Evaluation) -> Iterator[tuple[Item, Items]]:
    outer = evaluation.index
    try:
        for index, item in enumerate(focus):
            evaluation.index = index
            this = [item]
            answer = argument(this, this, evaluation)
            evaluation.steps.take(1 + len(answer))
            yield item, answer
    finally:
        evaluation.index = outer


def _fhirpathpy(name: str, arguments: Arguments) -> Code:
    row = cast("Any", invocation_registry).get(name)
    if row is None or name in _REFUSED or name in OPERATORS:
        raise NotEvaluableError(f"the function {name}() is not known here")
    types = row["arity"].get(len(arguments)) if "arity" in row else [] if not arguments else None
    if types is None or any(type_ not in ("String", "Integer", "Number", "Any") for type_ in types):
        raise NotEvaluableError(f"{name}() is called with {len(arguments)} arguments")

    def code(focus: Items, this: Items, evaluation: Evaluation) -> Items:
        item = one(focus, f"{name}()")
        values = [one(argument(this, this, evaluation), f"{name}()") for argument in arguments]
        if item is None or None in values:
            return NOTHING
        plain = [value[0] for value in values if value is not None]
        if any(is_number(value) and abs(value) > _EXPONENT_MAX for value in plain):
            raise NotEvaluableError(f"{name}() is called with too large a number")
        evaluation.steps.take(len(str(item[0])) // _TEXT_PER_STEP + 1)
        answer = _lent(name, row["fn"], {}, [item[0]], *plain)
        answers = answer if isinstance(answer, list) else [answer]
        return [found for value in answers for found in system(_whole(value))]

    return code


def _lent(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """The answer of a function of fhirpathpy, which raises a bare Exception for a value it has no answer for."""
    try:
        return function(*arguments)
    except Exception as error:
        raise NotEvaluableError(f"{name} has no answer for such a value") from error


# What of fhirpathpy's table is not to be called: it prints, looks at the clock, or grows without limit.
_REFUSED = frozenset(("trace", "now", "today", "timeOfDay", "coalesce", "aggregate"))


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, Decimal) and value == value.to_integral_value() else value


# ---- existence and filtering -----------------------------------------------------------------------


def _exists(arguments: Arguments, _: list[str]) -> Code:
    if not arguments:
        return lambda focus, _this, _evaluation: TRUE if focus else FALSE
    argument = arguments[0]
    return lambda focus, _this, evaluation: boolean(
        any(truth(answer) for _item, answer in _each(focus, argument, evaluation))
    )


def _not(focus: Items, _: Evaluation) -> Items:
    return _NEGATED[truth(focus)]


_NEGATED: dict[bool | None, Items] = {True: FALSE, False: TRUE, None: NOTHING}


def _iif(arguments: Arguments, _: list[str]) -> Code:
    condition, then, *otherwise = arguments

    def code(focus: Items, _this: Items, evaluation: Evaluation) -> Items:
        if truth(condition(focus, focus, evaluation)):
            return then(focus, focus, evaluation)
        return otherwise[0](focus, focus, evaluation) if otherwise else NOTHING

    return code


def _repeat(arguments: Arguments, _: list[str]) -> Code:
    argument = arguments[0]

    def code(focus: Items, _this: Items, evaluation: Evaluation) -> Items:
        found: dict[Hashable, Item] = {}
        level = focus
        while level:  # ends when nothing new is found; every item is counted
            fresh: Items = []
            for _, answer in _each(level, argument, evaluation):
                for item in answer:
                    key = (id(item[0]), item[1]) if type(item[0]) is dict else key_of(item, evaluation.steps)
                    if key not in found:
                        found[key] = item
                        fresh.append(item)
            level = fresh
        return list(found.values())

    return code


def _aggregate(arguments: Arguments, _: list[str]) -> Code:
    argument = arguments[0]

    def code(focus: Items, this: Items, evaluation: Evaluation) -> Items:
        outer = evaluation.total
        evaluation.total = arguments[1](this, this, evaluation) if len(arguments) > 1 else NOTHING
        for _item, answer in _each(focus, argument, evaluation):
            evaluation.total = answer
        found, evaluation.total = evaluation.total, outer
        return found

    return code


def _single(focus: Items, _: Evaluation) -> Items:
    if len(focus) > 1:
        raise NotEvaluableError(f"single() finds {len(focus)} values")
    return focus


def _sliced(cut: Callable[[Items, int], Items]) -> Maker:
    def function(focus: Items, count: Items, _: Evaluation) -> Items:
        number = one(count, "a number of items")
        return cut(focus, max(0, number[0])) if number is not None and type(number[0]) is int else NOTHING

    return _with_argument(function)


def _descendants(focus: Items, evaluation: Evaluation) -> Items:
    found = [child for item in focus for child in children_of(item, evaluation)]
    for item in found:  # grows while it is read, and ends because a resource does
        found.extend(children_of(item, evaluation))
    return found


# ---- collections -----------------------------------------------------------------------------------


def _keys(items: Items, evaluation: Evaluation) -> set[Hashable] | dict[Hashable, Any]:
    """The keys of a collection. Those of a long one are kept, as long as it is the same list that is asked about."""
    if len(items) < _KEYS_KEPT_FROM:
        return {key_of(item, evaluation.steps) for item in items}
    memory = evaluation.memory(of_root=True)
    kept = memory.get(id(items))
    if kept is None or kept[0] is not items:
        evaluation.steps.take(len(items))
        kept = memory[id(items)] = (items, {key_of(item, evaluation.steps) for item in items})
    return cast("set[Hashable]", kept[1])


def _intersect(left: Items, right: Items, evaluation: Evaluation) -> Items:
    keys = _keys(right, evaluation)
    evaluation.steps.take(len(left))
    return distinct((item for item in left if key_of(item, evaluation.steps) in keys), evaluation.steps)


def _exclude(left: Items, right: Items, evaluation: Evaluation) -> Items:
    keys = _keys(right, evaluation)
    evaluation.steps.take(len(left))
    return [item for item in left if key_of(item, evaluation.steps) not in keys]


def _subset(left: Items, right: Items, evaluation: Evaluation) -> Items:
    keys = _keys(right, evaluation)
    evaluation.steps.take(len(left))
    return boolean(all(key_of(item, evaluation.steps) in keys for item in left))


def _union(left: Items, right: Items, evaluation: Evaluation) -> Items:
    return distinct([*left, *right], evaluation.steps)


def _combine(left: Items, right: Items, evaluation: Evaluation) -> Items:
    evaluation.steps.take(len(left) + len(right))
    return [*left, *right]


def _is_distinct(focus: Items, evaluation: Evaluation) -> Items:
    evaluation.steps.take(len(focus))
    return boolean(len({key_of(item, evaluation.steps) for item in focus}) == len(focus))


def _in(left: Items, right: Items, evaluation: Evaluation) -> Items:
    if not left:
        return NOTHING
    if len(left) > 1:
        raise NotEvaluableError(f"one value is looked for and there are {len(left)}")
    return boolean(key_of(left[0], evaluation.steps) in _keys(right, evaluation))


# ---- texts -----------------------------------------------------------------------------------------


@lru_cache(maxsize=_PATTERNS_KEPT)
def pattern(regex: str) -> Any:
    """A regular expression, matched in time that grows with the text alone. Raises NotEvaluableError.

    RE2 knows neither backreferences nor looking around, because no such promise could be kept with them.
    """
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    try:
        return re2.compile(regex.replace("\\_", "_"), options)
    except re2.error as error:
        raise NotEvaluableError(f"its regular expression cannot be matched in bounded time ({error})") from error


def _matches(text: str, regex: str) -> bool:
    # a part of the text will do, as in later FHIRPath and in HL7's own validator; ^ and $ ask for all of it
    return pattern(regex).search(text) is not None


def _replace_matches(text: str, regex: str, replacement: str) -> str:
    return str(pattern(regex).sub(replacement.replace("\\", "\\\\").replace("$", "\\"), text))


def _substring(text: str, start: int, length: int | None = None) -> str | None:
    if not 0 <= start < len(text):
        return None
    return text[start:] if length is None else text[start : start + length]


def _join(arguments: Arguments, _: list[str]) -> Code:
    def code(focus: Items, this: Items, evaluation: Evaluation) -> Items:
        between = text_of(arguments[0](this, this, evaluation), "join()") if arguments else ""
        evaluation.steps.take(len(focus))
        return system((between or "").join(str(item[0]) for item in focus if item[0] is not None)) if focus else NOTHING

    return code


# ---- types -----------------------------------------------------------------------------------------


def kind_test(word: str, type_text: str) -> Code:
    """`is`, `as` or `ofType` for a type that is written out; `as` filters a collection like `ofType`."""
    wanted = type_text.replace("`", "")

    def is_kind(focus: Items, _: Items, evaluation: Evaluation) -> Items:
        if len(focus) > 1:
            raise NotEvaluableError(f"the type of one value is asked for and there are {len(focus)}")
        return boolean(wanted in evaluation.tables.kinds[focus[0][1]]) if focus else NOTHING

    def of_kind(focus: Items, _: Items, evaluation: Evaluation) -> Items:
        kinds = evaluation.tables.kinds
        evaluation.steps.take(len(focus))
        return [item for item in focus if wanted in kinds[item[1]]]

    return is_kind if word == "is" else of_kind


def _kind(word: str) -> Maker:
    return lambda _arguments, texts: kind_test(word, texts[0])


def _type(focus: Items, _: Evaluation) -> Items:
    return [(_type_info(item[1]), "System.TypeInfo", None) for item in focus]


def _type_info(type_name: str) -> dict[str, str]:
    namespace, dot, name = type_name.partition(".")
    if namespace == "System":
        return {"namespace": namespace, "name": name}
    return {"namespace": "FHIR", "name": "BackboneElement" if dot else type_name}


# ---- FHIR's own functions --------------------------------------------------------------------------


def _has_value(focus: Items, _: Evaluation) -> Items:
    return boolean(len(focus) == 1 and is_primitive(focus[0][1]) and focus[0][0] not in (None, ""))


def _get_value(focus: Items, evaluation: Evaluation) -> Items:
    return focus if _has_value(focus, evaluation) is TRUE else NOTHING


def _extension(focus: Items, urls: Items, evaluation: Evaluation) -> Items:
    url = text_of(urls, "extension()")
    found: Items = []
    for value, _, twin in focus if url is not None else ():
        content = value if type(value) is dict else twin
        there = content.get("extension") if type(content) is dict else None
        if type(there) is list:
            evaluation.steps.take(len(there))
            found += [(one, "Extension", None) for one in there if type(one) is dict and one.get("url") == url]
    return found


def _resolve(focus: Items, evaluation: Evaluation) -> Items:
    found: Items = []
    for value, _, _ in focus:
        reference = value.get("reference") if type(value) is dict else value
        if type(reference) is not str:
            continue
        evaluation.steps.take(16)
        target = evaluation.frame.find(reference)
        if target is not None:
            found.append(item_of(target.resource, ""))
        elif not reference.startswith("#"):
            evaluation.unknown.append(f'what "{reference[:100]}" points to is not at hand')
    return found


def _member_of(focus: Items, value_sets: Items, evaluation: Evaluation) -> Items:
    value_set, item = text_of(value_sets, "memberOf()"), one(focus, "memberOf()")
    if value_set is None or item is None:
        return NOTHING
    terminology, codes = evaluation.frame.terminology, list(_codes_in(item[0]))
    evaluation.steps.take(16 + 2 * len(codes) * terminology.parts_of(value_set))
    answers = [terminology.validate_code(value_set, system_, code, None).valid for system_, code in codes]
    if True in answers:
        return TRUE
    if None in answers:
        evaluation.unknown.append(f"which codes are in {value_set} is not known here")
        return NOTHING
    return FALSE


def _codes_in(value: Any) -> list[tuple[str | None, str]]:
    if type(value) is str:
        return [(None, value)]
    if type(value) is not dict:
        return []
    if type(value.get("coding")) is list:
        return [code for coding in value["coding"] for code in _codes_in(coding)]
    return [(value.get("system", ""), value["code"])] if type(value.get("code")) is str else []


def _conforms_to(focus: Items, urls: Items, evaluation: Evaluation) -> Items:
    url, item = text_of(urls, "conformsTo()"), one(focus, "conformsTo()")
    if url is None or item is None:
        return NOTHING
    evaluation.steps.take(64)
    answer = evaluation.frame.conforms_to(url, item[0])
    if answer is None:
        evaluation.unknown.append(f"the profile {url} is not known here")
        return NOTHING
    return boolean(answer)


def _html_checks(*, of_content: bool) -> Callable[[Items, Evaluation], Items]:
    """txt-1 asks what may stand in a narrative, txt-2 that something does; what surrounds the expression knows both."""

    def function(focus: Items, evaluation: Evaluation) -> Items:
        text = text_of(focus, "htmlChecks()")
        if text is None:
            return TRUE
        evaluation.steps.take(len(text) // _TEXT_PER_STEP)
        complaint = evaluation.frame.html_complaint(text)
        return boolean(complaint is None or complaint.endswith("(txt-2).") is not of_content)

    return function


def _today(_: Items, evaluation: Evaluation) -> Items:
    today = evaluation.frame.run.today
    if today is None:
        raise NotEvaluableError("it asks for today's date")
    return [(today.isoformat(), "System.Date", None)]


def _identity(arguments: Arguments, _: list[str]) -> Code:
    del arguments  # trace(name, projection) tells a log; there is none
    return lambda focus, _this, _evaluation: focus


def _round(arguments: Arguments, _: list[str]) -> Code:
    def code(focus: Items, this: Items, evaluation: Evaluation) -> Items:
        item, places = (
            one(focus, "round()"),
            one(arguments[0](this, this, evaluation), "round()") if arguments else None,
        )
        if item is None:
            return NOTHING
        kept = 0 if places is None else places[0]
        if not is_number(item[0]) or type(kept) is not int or not 0 <= kept <= _PLACES_MAX:
            raise NotEvaluableError("round() wants a number, and how many places are kept")
        return system(Decimal(item[0]).quantize(Decimal(1).scaleb(-kept), ROUND_HALF_UP))

    return code


_CONVERSIONS = {
    "Boolean": to_boolean,
    "Integer": to_integer,
    "String": to_string,
    "Quantity": to_quantity,
    "Date": to_date,
    "DateTime": to_date_time,
    "Time": to_time,
}

# name → (how many arguments, maker)
_ANY = _loop(lambda pairs: [item for item, answer in pairs if truth(answer)])
FUNCTIONS: dict[str, tuple[tuple[int, ...], Maker]] = {
    "empty": ((0,), _plain(lambda focus, _: FALSE if focus else TRUE)),
    "exists": ((0, 1), _exists),
    "not": ((0,), _plain(_not)),
    "all": ((1,), _loop(lambda pairs: boolean(all(truth(answer) for _, answer in pairs)))),
    "allTrue": ((0,), _plain(lambda focus, _: boolean(all(item[0] is True for item in focus)))),
    "anyTrue": ((0,), _plain(lambda focus, _: boolean(any(item[0] is True for item in focus)))),
    "allFalse": ((0,), _plain(lambda focus, _: boolean(all(item[0] is False for item in focus)))),
    "anyFalse": ((0,), _plain(lambda focus, _: boolean(any(item[0] is False for item in focus)))),
    "count": ((0,), _plain(lambda focus, _: system(len(focus)))),
    "distinct": ((0,), _plain(lambda focus, evaluation: distinct(focus, evaluation.steps))),
    "isDistinct": ((0,), _plain(_is_distinct)),
    "subsetOf": ((1,), _with_argument(_subset)),
    "supersetOf": ((1,), _with_argument(lambda left, right, evaluation: _subset(right, left, evaluation))),
    "where": ((1,), _ANY),
    "select": ((1,), _loop(lambda pairs: [found for _, answer in pairs for found in answer])),
    "repeat": ((1,), _repeat),
    "aggregate": ((1, 2), _aggregate),
    "iif": ((2, 3), _iif),
    "trace": ((1, 2), _identity),
    "single": ((0,), _plain(_single)),
    "first": ((0,), _plain(lambda focus, _: focus[:1])),
    "last": ((0,), _plain(lambda focus, _: focus[-1:])),
    "tail": ((0,), _plain(lambda focus, _: focus[1:])),
    "skip": ((1,), _sliced(lambda focus, count: focus[count:])),
    "take": ((1,), _sliced(lambda focus, count: focus[:count])),
    "intersect": ((1,), _with_argument(_intersect)),
    "exclude": ((1,), _with_argument(_exclude)),
    "union": ((1,), _with_argument(_union)),
    "combine": ((1,), _with_argument(_combine)),
    "children": ((0,), _plain(lambda focus, e: [child for item in focus for child in children_of(item, e)])),
    "descendants": ((0,), _plain(_descendants)),
    "is": ((1,), _kind("is")),
    "as": ((1,), _kind("as")),
    "ofType": ((1,), _kind("as")),
    "type": ((0,), _plain(_type)),
    "startsWith": ((1,), _of_text("startsWith", str.startswith, without=FALSE)),
    "endsWith": ((1,), _of_text("endsWith", str.endswith, without=FALSE)),
    "contains": ((1,), _of_text("contains", str.__contains__, without=FALSE)),
    "indexOf": ((1,), _of_text("indexOf", str.find)),
    "substring": ((1, 2), _of_text("substring", _substring)),
    "matches": ((1,), _of_text("matches", _matches, without=FALSE)),
    "matchesFull": ((1,), _of_text("matchesFull", lambda text, regex: _matches(text, f"^(?:{regex})$"))),
    "replaceMatches": ((2,), _of_text("replaceMatches", _replace_matches)),
    "length": ((0,), _of_text("length", len)),
    "upper": ((0,), _of_text("upper", str.upper)),
    "lower": ((0,), _of_text("lower", str.lower)),
    "trim": ((0,), _of_text("trim", str.strip)),
    "join": ((0, 1), _join),
    **{f"to{name}": ((0,), _plain(conversion)) for name, conversion in _CONVERSIONS.items()},
    **{f"convertsTo{name}": ((0,), _plain(converts(conversion))) for name, conversion in _CONVERSIONS.items()},
    "round": ((0, 1), _round),
    "today": ((0,), _plain(_today)),
    "hasValue": ((0,), _plain(_has_value)),
    "getValue": ((0,), _plain(_get_value)),
    "extension": ((1,), _with_argument(_extension)),
    "hasExtension": ((1,), _with_argument(lambda left, right, e: boolean(_extension(left, right, e)))),
    "resolve": ((0,), _plain(_resolve)),
    "memberOf": ((1,), _with_argument(_member_of)),
    "conformsTo": ((1,), _with_argument(_conforms_to)),
    "htmlChecks": ((0,), _plain(_html_checks(of_content=False))),
    "htmlChecks2": ((0,), _plain(_html_checks(of_content=True))),
}
LOOPS = frozenset(("where", "all", "exists", "select", "repeat", "aggregate", "iif"))
UNSURE = frozenset(("resolve", "memberOf", "conformsTo"))  # their answer may be that it is not known


# ---- operators -------------------------------------------------------------------------------------


def _equals(left: Items, right: Items, evaluation: Evaluation) -> Items:
    if not left or not right:
        return NOTHING
    if len(left) != len(right):
        return FALSE
    evaluation.steps.take(len(left))
    if len(left) == 1:
        answer = is_equal(left[0], right[0], evaluation.steps)
        return NOTHING if answer is None else TRUE if answer else FALSE
    answers = [is_equal(a, b, evaluation.steps) for a, b in zip(left, right, strict=True)]
    return FALSE if False in answers else NOTHING if None in answers else TRUE


def _order(decide: Callable[[int], bool], sign: str) -> Operator:
    def operator(left: Items, right: Items, evaluation: Evaluation) -> Items:
        del evaluation
        a, b = one(left, sign), one(right, sign)
        if a is None or b is None:
            return NOTHING
        order = _compared(a, b)
        return NOTHING if order is None else boolean(decide(order))

    return operator


def _compared(left: Item, right: Item) -> int | None:
    a, b = left[0], right[0]
    for kinds, compared in _COMPARISONS:
        if left[1] in kinds and right[1] in kinds:
            return compared(a, b)
    both = (type(a), type(b))
    if both == (str, str) or (is_number(a) and is_number(b)):
        return int(a > b) - int(a < b)
    raise NotEvaluableError(f"{left[1]} and {right[1]} cannot be compared")


_COMPARISONS: tuple[tuple[frozenset[str], Callable[[Any, Any], int | None]], ...] = (
    (DATES, compared_dates),
    (TIMES, compared_times),
    (QUANTITIES, compared_quantities),
)


def _ampersand(left: Items, right: Items, evaluation: Evaluation) -> Items:
    texts = [one(to_string(side, evaluation), "&") for side in (left, right)]
    joined = "".join(text[0] for text in texts if text is not None)
    evaluation.steps.take(len(joined) // _TEXT_PER_STEP)
    if len(joined) > _TEXT_MAX:
        raise TooCostlyError
    return system(joined)


def _arithmetic(sign: str) -> Operator:
    function = cast("Any", invocation_registry)[sign]["fn"]
    takes_lists = sign in ("+", "-")  # as fhirpathpy has them

    def operator(left: Items, right: Items, evaluation: Evaluation) -> Items:
        a, b = one(left, sign), one(right, sign)
        if a is None or b is None:
            return NOTHING
        if b[1] == "System.Quantity" and a[1] in DATES:
            return cast("Items", _lent(sign, _moved, a, b, 1 if sign == "+" else -1))
        evaluation.steps.take(len(str(a[0])) // _TEXT_PER_STEP)
        answer = _lent(sign, function, {}, *(([a[0]], [b[0]]) if takes_lists else (a[0], b[0])))
        return NOTHING if answer == [] else system(answer)

    return operator


def _modulo(left: Items, right: Items, _: Evaluation) -> Items:
    """What is left of a division that gives a whole number, with the sign of what is divided (N1 §6.6.6)."""
    a, b = one(left, "mod"), one(right, "mod")
    if a is None or b is None:
        return NOTHING
    if not is_number(a[0]) or not is_number(b[0]):
        raise NotEvaluableError("mod has no answer for such a value")
    if not b[0]:
        return NOTHING
    rest = Decimal(a[0]) % Decimal(b[0])
    return system(int(rest) if type(a[0]) is type(b[0]) is int else rest)


def _moved(moment: Item, by: Item, sign: int) -> Items:
    """A date and a length of time later or earlier, as fhirpathpy counts."""
    unit = next((word for word, code in _CALENDAR.items() if code == by[0]["code"]), by[0]["code"])
    found = _FpDateTime(moment[0]).plus(_FpQuantity(by[0]["value"] * sign, unit))
    return [(str(getattr(found, "asStr", found)), moment[1], None)]


_FpDateTime, _FpQuantity = cast("tuple[Any, Any]", (FP_DateTime, FP_Quantity))
_CALENDAR = {"years": "a", "months": "mo", "weeks": "wk", "days": "d", "hours": "h", "minutes": "min", "seconds": "s"}

OPERATORS: dict[str, Operator] = {
    "|": _union,
    "=": _equals,
    "!=": lambda left, right, evaluation: _not(_equals(left, right, evaluation), evaluation),
    "~": lambda left, right, evaluation: boolean(is_equivalent(left, right, evaluation.steps)),
    "!~": lambda left, right, evaluation: boolean(not is_equivalent(left, right, evaluation.steps)),
    "<": _order(lambda order: order < 0, "<"),
    "<=": _order(lambda order: order <= 0, "<="),
    ">": _order(lambda order: order > 0, ">"),
    ">=": _order(lambda order: order >= 0, ">="),
    "in": _in,
    "contains": lambda left, right, evaluation: _in(right, left, evaluation),
    "&": _ampersand,
    **{sign: _arithmetic(sign) for sign in ("+", "-", "*", "/", "div")},
    "mod": _modulo,
}
