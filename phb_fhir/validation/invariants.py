"""Invariants: the rules a definition states as FHIRPath, held against each element they are stated on (R4 §5.1.0.8).

`rules_of` makes the rules of one kind of element once, when its plan is made; `hold` asks them of a value. A rule is a
test that is quick when nothing is wrong, and a complaint that takes its time to say what is. Where `closures` has the
invariant, both are plain Python; otherwise its FHIRPath is compiled (`fhirpath/evaluate`). An invariant is known by its key and
its expression together, so a profile that changes an expression is evaluated as it stands.

Four answers are possible. True: nothing to say. Not true, which includes empty: the invariant is broken. Not true while
something needed is not known here (codes of a system that is not loaded, a resource that is elsewhere): a warning says
so. An expression that cannot be evaluated: a warning says so and why. Nothing passes unseen.

Some published expressions of R4 do not say what they mean; HL7's own validator reads them as meant, and so do we
(`AS_MEANT`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from phb_fhir.definitions.load import Invariant
from phb_fhir.definitions.trail import Trail, path_of
from phb_fhir.fhirpath.evaluate import compiled, evaluate
from phb_fhir.fhirpath.values import Item, NotEvaluableError, TooCostlyError, truth
from phb_fhir.fhirpath.walk import Code, Evaluation, Surroundings, item_of
from phb_fhir.outcome import Issue, Kind, Severity
from phb_fhir.validation.closure_makers import Closure
from phb_fhir.validation.closures import CLOSURES

# value, twin, surroundings → whether there is nothing to say
Test: TypeAlias = Callable[[Any, Any, Surroundings], object]
Complaint: TypeAlias = Callable[[Any, Any, Trail, Surroundings], Iterator[Issue]]

_RULES_KEPT = 8_192


class Rule(NamedTuple):
    """One invariant on one kind of element."""

    test: Test
    complain: Complaint
    invariant: Invariant


def rules_of(invariants: Iterable[Invariant], type_name: str) -> tuple[Rule, ...]:
    """The rules of an element of this type (`Period`, `date`, `Bundle.entry`; empty for a resource of any type)."""
    return tuple(_rule(invariant, type_name) for invariant in invariants if invariant.expression)


def hold(rules: tuple[Rule, ...], value: Any, twin: Any, at: Trail, frame: Surroundings) -> Iterator[Issue]:
    """What these rules have to say about an element; `value` is None where a primitive has a twin alone."""
    for rule in rules:
        if not rule.test(value, twin, frame):
            yield from rule.complain(value, twin, at, frame)


def check_context(
    invariants: Iterable[Invariant], place: Item, extension: Item, at: Trail, frame: Surroundings
) -> Iterator[Issue]:
    """What rules of where an extension may stand have to say: they are about the element that holds it, and know it as %extension."""
    for invariant in invariants:
        yield from _judged(invariant, Evaluation(frame, place, extension), at)


@lru_cache(maxsize=_RULES_KEPT)
def _rule(invariant: Invariant, type_name: str) -> Rule:
    rule = by_fhirpath(invariant, type_name)
    closure = CLOSURES.get((invariant.key, invariant.expression))
    return rule if closure is None else Rule(_guarded(closure), _saying(invariant, closure, rule.complain), invariant)


# ---- in plain Python -------------------------------------------------------------------------------


_WRONG_SHAPE = (TypeError, AttributeError, LookupError, ValueError, ArithmeticError, NotEvaluableError, TooCostlyError)


def _guarded(closure: Closure) -> Test:
    """A closure expects the shapes its type has; where they are others, the complaint finds out what can be said."""
    ask = closure.test

    def test(value: Any, twin: Any, frame: Surroundings) -> object:
        try:
            return ask(value, twin, frame)
        except _WRONG_SHAPE:
            return False

    return test


def _saying(invariant: Invariant, closure: Closure, otherwise: Complaint) -> Complaint:
    def complain(value: Any, twin: Any, at: Trail, frame: Surroundings) -> Iterator[Issue]:
        try:
            holds = closure.test(value, twin, frame)
            text = f"{closure.sentence(value, frame).removesuffix('.')} ({invariant.key})."
        except _WRONG_SHAPE:
            yield from otherwise(value, twin, at, frame)
        else:
            if not holds:
                yield _issue(invariant, text, at)

    return complain


# ---- by FHIRPath -----------------------------------------------------------------------------------


def by_fhirpath(invariant: Invariant, type_name: str) -> Rule:
    """The rule of an invariant as its FHIRPath has it, also where there is a closure for it."""
    return Rule(_fhirpath_test(invariant, type_name), _fhirpath_complaint(invariant, type_name), invariant)


def code_of(invariant: Invariant) -> Code:
    """What is evaluated for an invariant. Raises NotEvaluableError."""
    return compiled(AS_MEANT.get((invariant.key, invariant.expression), invariant.expression))


def _fhirpath_test(invariant: Invariant, type_name: str) -> Test:
    def test(value: Any, twin: Any, frame: Surroundings) -> bool:
        try:
            evaluation = Evaluation(frame, item_of(value, type_name, twin))
            return truth(evaluate(code_of(invariant), evaluation)) is True
        except (NotEvaluableError, TooCostlyError):
            return False

    return test


def _fhirpath_complaint(invariant: Invariant, type_name: str) -> Complaint:
    def complain(value: Any, twin: Any, at: Trail, frame: Surroundings) -> Iterator[Issue]:
        yield from _judged(invariant, Evaluation(frame, item_of(value, type_name, twin)), at)

    return complain


def _judged(invariant: Invariant, evaluation: Evaluation, at: Trail) -> Iterator[Issue]:
    try:
        answer = truth(evaluate(code_of(invariant), evaluation))
    except NotEvaluableError as reason:
        yield _cannot(invariant, f"it cannot be evaluated here: {reason}", at)
    except TooCostlyError:
        yield from _too_costly(at, evaluation.frame)
    else:
        if answer is not True and evaluation.unknown:
            yield _cannot(invariant, f"{evaluation.unknown[0]}", at)
        elif answer is not True:
            yield _issue(invariant, f"{invariant.human.strip().rstrip('.')} ({invariant.key}).", at)


def _issue(invariant: Invariant, text: str, at: Trail) -> Issue:
    severity: Severity = "warning" if invariant.severity == "warning" else "error"
    return Issue(Kind.INVARIANT, text, path_of(at), severity, {"coding": [{"code": invariant.key}]})


def _cannot(invariant: Invariant, why: str, at: Trail) -> Issue:
    text = f'Whether "{invariant.human.strip().rstrip(".")}" ({invariant.key}) holds is not known: {why}.'
    return Issue(Kind.NOT_SUPPORTED, text, path_of(at), "warning", {"coding": [{"code": invariant.key}]})


def _too_costly(at: Trail, frame: Surroundings) -> Iterator[Issue]:
    """Said once. It is an error: what was not looked at has not been found right."""
    if frame.run.memory.setdefault(TooCostlyError, first := object()) is first:
        text = "The rules of this resource are more work than this server does for one request; not all were checked."
        yield Issue(Kind.TOO_COSTLY, text, path_of(at))


# ---- published expressions that do not say what they mean ------------------------------------------

_PER_1 = "start.hasValue().not() or end.hasValue().not() or (start <= end)"
_NAME = "name.matches('[A-Z]([A-Za-z0-9_]){0,254}')"
_REF_1 = "reference.startsWith('#').not() or (reference.substring(1).trace('url') in %rootResource.contained.id.trace('ids'))"
_ELD_19 = r"""path.matches('[^\\s\\.,:;\\\'"\\/|?!@#$%&*()\\[\\]{}]{1,64}(\\.[^\\s\\.,:;\\\'"\\/|?!@#$%&*()\\[\\]{}]{1,64}(\\[x\\])?(\\:[^\\s\\.]+)?)*')"""
_ELD_20 = r"path.matches('[A-Za-z][A-Za-z0-9]*(\\.[a-z][A-Za-z0-9]*(\\[x])?)*')"


def _whole(expression: str) -> str:
    """A `matches` of the whole text, as later versions of R4's own expressions have it."""
    return expression.replace("matches('", "matches('^").removesuffix("')") + "$')"


# (key, expression as published) → as HL7's own validator reads it (org.hl7.fhir.validation, FHIRPathExpressionFixer)
AS_MEANT: dict[tuple[str, str], str] = {
    ("ref-1", _REF_1): f"reference.exists() implies (reference = '#' or ({_REF_1}))",
    ("bdl-8", "fullUrl.contains('/_history/').not()"): "fullUrl.exists() implies fullUrl.contains('/_history/').not()",
    ("que-12", "enableWhen.count() > 2 implies enableBehavior.exists()"): (
        "enableWhen.count() >= 2 implies enableBehavior.exists()"
    ),
    ("ras-2", "probability is decimal implies (probability as decimal) <= 100"): (
        "(probability.exists() and (probability is decimal)) implies ((probability as decimal) <= 100)"
    ),
    # An end that is a date "includes any matching date/time" (R4 Period.end; HealthSamurai's suite stores 1990 to 1990-06), so
    # what cannot be told holds; an end to the second includes no more than it says (`encounter-period` of HL7's suite).
    ("per-1", _PER_1): f"{_PER_1} or ((start <= end).empty() and end.toString().contains('T').not())",
    ("txt-2", "htmlChecks()"): "htmlChecks2()",
    ("dom-6", "text.`div`.exists()"): "(%rootResource != $this) or text.`div`.exists()",
    ("eld-19", _ELD_19): _whole(_ELD_19),
    ("eld-20", _ELD_20): _whole(_ELD_20),
    **{
        (f"{prefix}-0", _NAME): f"name.exists() implies {_whole(_NAME)}"
        for prefix in (
            "adf", "cpb", "cid", "csd", "cpd", "cmd", "ees", "evd", "evi", "evv", "esc", "gdf", "ig", "lib", "mea", "msd",
            "nsd", "opd", "pdf", "que", "rsd", "red", "rvs", "spd", "sdf", "smp", "tcp", "tst", "vsd",
        )
    },
}  # fmt: skip
