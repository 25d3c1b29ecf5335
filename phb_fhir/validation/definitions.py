"""A definition that somebody sends must be of use.

What cannot be made into a snapshot (an element its base does not have, a cardinality wider than the base's), what derives from
itself, a rule that is no FHIRPath, and a value set that is made of itself could never be held against anything, and would be
found out only when the first resource needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from phb_fhir.definitions.kept import Kept
from phb_fhir.definitions.registry import Registry, with_snapshot
from phb_fhir.definitions.snapshot import SnapshotFailed
from phb_fhir.definitions.terminology_filters import UnansweredError, pattern_of
from phb_fhir.definitions.trail import Trail, path_of
from phb_fhir.fhirpath.evaluate import compiled, parse
from phb_fhir.fhirpath.values import NotEvaluableError
from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation.frame import Frame
from phb_fhir.validation.profile import plans_of
from phb_fhir.validation.values import list_of, numbered_objects
from phb_fhir.validation.wording import short, shown

EXPRESSIONS_MAX = 2_000  # rules of one definition that are read
TRIED_MAX = 100  # definitions of one run (a Bundle of them) that are tried out; each takes some milliseconds
_TRIED = "urn:phb-fhir:tried"
_DEPTH_MAX = 100  # profiles on profiles, value sets in value sets
_WRONG_SHAPE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


def check_definition(node: dict[str, Any], trail: Trail, frame: Frame) -> None:
    """A StructureDefinition: it has a snapshot or one can be made, and the snapshot can be held against something."""
    base, url = node.get("baseDefinition"), node.get("url")
    if type(base) is not str:
        return
    if type(url) is str and url in _bases(base, frame.known):
        text = f"{url} derives from itself; name another definition as its base."
        frame.issues.append(Issue(Kind.INVALID, text, path_of((trail, "baseDefinition", None))))
        return
    if "snapshot" not in node and (frame.known.structure(base) is None or not _is_whole(node)):
        return
    tried = frame.run.memory[check_definition] = frame.run.memory.get(check_definition, 0) + 1
    if tried > TRIED_MAX:
        text = f"More than {TRIED_MAX} definitions are sent at once; whether this one can be used was not tried."
        frame.issues.append(Issue(Kind.TOO_COSTLY, text, path_of(trail), "warning"))
        return
    problem = _problem(node, trail, frame)
    if problem is not None and not any(issue.is_error for issue in frame.issues):
        frame.issues.append(problem)  # else its shape is complained of already


def _bases(base: str, known: Registry) -> Iterator[str]:
    """The urls of what a definition is built on, the nearest first."""
    for _ in range(_DEPTH_MAX):
        yield base.partition("|")[0]
        found = known.find("StructureDefinition", base) or {}
        base = found.get("baseDefinition", "")
        if not base:
            return


def _problem(node: dict[str, Any], trail: Trail, frame: Frame) -> Issue | None:
    """Why a definition cannot be used; None when it can."""
    try:
        whole = {
            **with_snapshot(node, frame.known.structure),
            "url": _TRIED,
        }  # not to be taken for another version of it
        plans_of(frame.known.changed((), [Kept.of(whole)])).plan(_TRIED)
    except SnapshotFailed as reason:
        text = f"No snapshot can be made from this differential. {reason}"
        return Issue(Kind.INVALID, text, path_of((trail, "differential", None)))
    except _WRONG_SHAPE as reason:
        return Issue(Kind.INVALID, f"The elements of this definition do not make one whole: {reason}", path_of(trail))
    return None


def _is_whole(node: dict[str, Any]) -> bool:
    differential = node.get("differential")
    elements = differential.get("element") if type(differential) is dict else None
    return type(elements) is list and all(
        type(element) is dict and type(element.get("path")) is str for element in elements
    )


# ---- rules ---------------------------------------------------------------------------------------


def check_expressions(node: dict[str, Any], trail: Trail, frame: Frame) -> None:
    """The rules a StructureDefinition states are FHIRPath: one that is not could never hold, nor be broken (R4 §5.1.0.8)."""
    said: set[str] = set()
    for expression, at in _expressions(node, trail):
        if expression not in said and len(said) < EXPRESSIONS_MAX:
            said.add(expression)
            frame.issues.extend(_unreadable(expression, at))


def _expressions(node: dict[str, Any], trail: Trail) -> Iterator[tuple[str, Trail]]:
    """Each FHIRPath it states, and where; what a snapshot repeats of its differential comes again."""
    for index, expression in enumerate(list_of(node.get("contextInvariant"))):
        if type(expression) is str:
            yield expression, (trail, "contextInvariant", index)
    for view in ("differential", "snapshot"):
        holder = node.get(view)
        for index, element in numbered_objects(holder.get("element") if type(holder) is dict else None):
            for number, rule in numbered_objects(element.get("constraint")):
                if type(rule.get("expression")) is str:
                    at: Trail = (((trail, view, None), "element", index), "constraint", number)
                    yield rule["expression"], (at, "expression", None)


def _unreadable(expression: str, at: Trail) -> Iterator[Issue]:
    """What cannot be read is wrong; what calls a function that is not known here may mean something elsewhere."""
    try:
        compiled(expression)
    except NotEvaluableError as reason:
        text = f"The rule {shown(short(expression, 200))} cannot be evaluated here: {reason}."
        if _is_readable(expression):
            yield Issue(Kind.NOT_SUPPORTED, text, path_of(at), "warning")
        else:
            yield Issue(Kind.VALUE, text, path_of(at))


def _is_readable(expression: str) -> bool:
    try:
        parse(expression)
    except NotEvaluableError:
        return False
    return True


# ---- value sets ----------------------------------------------------------------------------------


def check_value_set(node: dict[str, Any], trail: Trail, frame: Frame) -> None:
    """A ValueSet: what it is made of does not lead back to it, and its regular expressions are some."""
    url = node.get("url")
    for name, number, part in _parts(node):
        at = ((trail, "compose", None), name, number)
        for index, canonical in enumerate(list_of(part.get("valueSet"))):
            if type(url) is str and type(canonical) is str and _leads_to(canonical, url, frame.known):
                text = f"{canonical} leads back to this value set, {url}; a value set cannot be made of itself."
                frame.issues.append(Issue(Kind.INVALID, text, path_of((at, "valueSet", index))))
        for index, row in enumerate(list_of(part.get("filter"))):
            if type(row) is dict and row.get("op") == "regex" and type(row.get("value")) is str:
                _check_pattern(row["value"], ((at, "filter", index), "value", None), frame)


def _check_pattern(text: str, trail: Trail, frame: Frame) -> None:
    try:
        pattern_of(text)
    except UnansweredError as reason:
        frame.issues.append(Issue(Kind.VALUE, f"{str(reason)[:1].upper()}{str(reason)[1:]}.", path_of(trail)))


def _leads_to(canonical: str, url: str, known: Registry) -> bool:
    """Whether a value set is, or is made of, the one with this url."""
    seen: set[str] = set()
    ahead = [canonical]
    while ahead and len(seen) < _DEPTH_MAX:
        here = ahead.pop().partition("|")[0]
        if here == url:
            return True
        if here not in seen:
            seen.add(here)
            found = known.find("ValueSet", here) or {}
            ahead += [one for _, _, part in _parts(found) for one in list_of(part.get("valueSet")) if type(one) is str]
    return False


def _parts(value_set: dict[str, Any]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Its includes and excludes, as far as they have their shape."""
    compose = value_set.get("compose")
    for name in ("include", "exclude") if type(compose) is dict else ():
        for number, part in enumerate(list_of(compose.get(name))):  # type: ignore[union-attr]
            if type(part) is dict:
                yield name, number, part
