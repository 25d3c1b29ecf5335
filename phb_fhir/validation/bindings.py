"""Bindings: the codes an element may hold, and how strongly that is meant (R4 §4.1.5).

Whether a code is in a value set is for the terminology to say, and it may say that it cannot be known here, because the
code system is not loaded. Then a person is told so; nothing is refused and nothing passes unseen. Beside that every Coding,
bound or not, should have a code that its system has; whether that refuses is for bindings to say (`check_coding`).

| strength   | not in the value set | not to be known here |
|------------|----------------------|----------------------|
| required   | error                | warning              |
| extensible | warning              | information          |
| preferred  | information          | nothing              |

`largest` (elementdefinition-maxValueSet) is a required binding beside a loose one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from phb_fhir.definitions.terminology_grammars import GRAMMARS
from phb_fhir.definitions.trail import Trail, path_of
from phb_fhir.fhir.reference import has_scheme
from phb_fhir.outcome import Issue, Kind, Severity
from phb_fhir.validation.errata import CODES, LOOSE
from phb_fhir.validation.wording import listed, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from phb_fhir.definitions.load import Binding, Definitions, Element
    from phb_fhir.validation.frame import Frame

    # the value, where it is, the frame around it, and the list to append to
    BindingCheck: TypeAlias = Callable[[Any, Trail, Frame, list[Issue]], None]

BOUND_TYPES = frozenset(("code", "uri", "string", "Coding", "CodeableConcept", "Quantity"))
_STRENGTHS = ("required", "extensible", "preferred")


# Codes of R4's required bindings that only group others, so there is something to say of them though they are in the
# value set. A test asks the terminology about every code of every required binding.
ABSTRACT: dict[str, frozenset[str]] = {"http://hl7.org/fhir/ValueSet/item-type": frozenset(("question",))}


def plain_codes(element: Element, definitions: Definitions) -> frozenset[str] | None:
    """The codes an element of type code may be; None where that is not bound, cannot be listed, or more is to be said."""
    if element.binding is None or element.binding.strength != "required":
        return None
    if element.binding.value_set.partition("|")[0] in ABSTRACT:
        return None
    codes = definitions.codes(element.binding.value_set)
    return None if codes is None else frozenset().union(*codes.values())


def binding_check(binding: Binding, type_name: str, definitions: Definitions) -> BindingCheck | None:
    """How to hold a value of this type against the binding; None where it binds nothing."""
    rows = [(binding.strength, binding.value_set)] if binding.strength in _STRENGTHS and binding.value_set else []
    if binding.largest:
        rows.append(("largest", binding.largest))
    if not rows or type_name not in BOUND_TYPES:
        return None
    codes_of = _CODES_OF.get(type_name, _plain)
    tables = [(strength, value_set, definitions.codes(value_set)) for strength, value_set in rows]

    def check(value: Any, at: Trail, frame: Frame, issues: list[Issue]) -> None:
        codes = codes_of(value)
        if codes is None:
            return
        for strength, value_set, table in tables:
            if table is not None and _is_listed(codes, table, ABSTRACT.get(value_set.partition("|")[0], ())):
                continue
            _judge(strength, value_set, codes, at, frame, issues)

    return check


# ---- what a value says -----------------------------------------------------------------------------

_Code: TypeAlias = "tuple[str | None, str, str | None]"  # system, code, display


def _plain(value: Any) -> list[_Code] | None:
    return [(None, value, None)] if type(value) is str else None


def _of_coding(value: Any) -> list[_Code] | None:
    if type(value) is not dict or type(value.get("code")) is not str:
        return [] if type(value) is dict and "extension" not in value else None
    system, display = value.get("system"), value.get("display")
    return [(system if type(system) is str else "", value["code"], display if type(display) is str else None)]


def _of_quantity(value: Any) -> list[_Code] | None:
    return _of_coding(value) if type(value) is dict and "code" in value else None


def _of_concept(value: Any) -> list[_Code] | None:
    if type(value) is not dict:
        return None
    codings = value.get("coding", [])
    if type(codings) is not list or ("extension" in value and not codings and "text" not in value):
        return None  # an extension says why there is none; a shape that is wrong is complained of already
    return [code for coding in codings for code in _of_coding(coding) or ()]


_CODES_OF: dict[str, Callable[[Any], list[_Code] | None]] = {
    "Coding": _of_coding,
    "CodeableConcept": _of_concept,
    "Quantity": _of_quantity,
}


def _is_listed(codes: list[_Code], table: Any, abstract: Collection[str]) -> bool:
    return any(
        code in table.get(system, ())
        if system is not None
        else code not in abstract and any(code in every for every in table.values())
        for system, code, _ in codes
    )


# ---- what follows from it ---------------------------------------------------------------------------

_SAYS: dict[str, tuple[Severity, Severity | None, str]] = {
    # strength: severity when it is not in, when that cannot be known, and the words
    "required": ("error", "warning", "a code of it is required here"),
    "largest": ("error", "warning", "a code of it is required here"),
    "extensible": ("warning", "information", "one of its codes is used unless none of them fits"),
    "preferred": ("information", None, "its codes are recommended"),
}


def _judge(strength: str, value_set: str, codes: list[_Code], at: Trail, frame: Frame, issues: list[Issue]) -> None:
    wrong, unknown, words = _SAYS[strength]
    if not codes:
        if strength in ("required", "largest"):
            # a concept in words alone leaves no value set, however large; many a clinic has nothing better to send
            severity: Severity = "error" if strength == "required" else "warning"
            issues.append(Issue(Kind.CODE_INVALID, _none_given(value_set, frame), path_of(at), severity))
        return
    frame.run.step(2 * len(codes) * frame.terminology.parts_of(value_set), at)
    answers = [frame.terminology.validate_code(value_set, *code) for code in codes]
    if any(answer.valid for answer in answers):
        if codes[0][0] is None and answers[0].severity == "warning":  # of a Coding `check_coding` says it
            issues.append(Issue(Kind.CODE_INVALID, answers[0].sentence, path_of(at), "warning"))
        return
    open_ = next((answer for answer in answers if answer.valid is None), None)
    if open_ is None:
        text = f"{answers[0].sentence.rstrip('.')}. By this binding {words}."
        is_loose = value_set.partition("|")[0] in LOOSE
        issues.append(Issue(Kind.CODE_INVALID, text, path_of(at), "warning" if is_loose else wrong))
    elif unknown is not None:
        issues.append(Issue(Kind.NOT_SUPPORTED, open_.sentence, path_of(at), unknown))


def _none_given(value_set: str, frame: Frame) -> str:
    """With the codes it is one of, where the tables list them."""
    every = sorted(code for codes in (frame.definitions.codes(value_set) or {}).values() for code in codes)
    return f"A code of the value set {value_set} is required here{f': {listed(every)}' if every else ''}."


# ---- codings -----------------------------------------------------------------------------------------


def check_coding(node: dict[str, Any], trail: Trail, frame: Frame) -> None:
    """A Coding of a system that is here has one of its codes, and calls it what the system calls it."""
    system, code, display, version = node.get("system"), node.get("code"), node.get("display"), node.get("version")
    if type(system) is not str or type(code) is not str:
        return
    if not has_scheme(system) and system:
        text = f"The system of a code is an absolute URI; {shown(system)} is relative."
        # a concept may still say it in words or in another coding; a Coding by itself has nothing else to say it with
        is_of_concept = type(trail) is tuple and trail[1] == "coding"
        severity: Severity = "warning" if is_of_concept else "error"
        frame.issues.append(Issue(Kind.VALUE, text, path_of((trail, "system", None)), severity))
        return
    verdict = frame.terminology.judge_coding(
        system, code, display if type(display) is str else None, version if type(version) is str else None
    )
    if verdict.severity != "information":
        kind = Kind.NOT_SUPPORTED if verdict.valid is None else Kind.CODE_INVALID
        is_listed = system not in GRAMMARS and (system, code) not in CODES
        is_wrong = verdict.valid is False and is_listed and not frame.run.keeps_unknown
        frame.issues.append(Issue(kind, verdict.sentence, path_of(trail), "error" if is_wrong else "warning"))
