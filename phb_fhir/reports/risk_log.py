"""What was done against risks, and what remained of them, gathered across people without their names (R117): over time, a log builds up.

A group for each risk that at least five people have in common, by its code, else by its words; and in it each thing that is done for at least
five of them. People are counted, each once. What fewer have in common is told of nobody: neither in its words, which may have a name in them, nor
as a number (`security/suppression`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.rules.criteria import RISK
from phb_fhir.rules.plan_record import VALID
from phb_fhir.rules.words import code_in, key_of, value_of
from phb_fhir.security.suppression import FEW, suppressed

OTHER = "What fewer than five people have in common"
DONE = "What is done about it"
_SMALL = frozenset(("negligible", "low"))
Called = tuple[str, Mapping[str, Any]]  # what is the same has the same text; and a CodeableConcept that may be told


def risk_log(risks: Iterable[Resource]) -> list[Resource]:
    """The groups of a MeasureReport, of risks that something is done about: those of most people first, what few have in common last."""
    answered = [one for one in risks if one.get("status") in VALID and key_of(one.get("subject")) and _answer(one)[0]]
    groups = [
        {
            "code": dict(called),
            "population": _people(those),
            "stratifier": [{"code": [{"text": DONE}], "stratum": [*_strata(those)]}],
        }
        for called, those in _in_common(answered, _risk)
    ]
    return suppressed(groups)


def _strata(risks: Sequence[Resource]) -> Iterator[Resource]:
    for called, those in _in_common(risks, _answer):
        yield {"value": dict(called), "population": _people(those)}


def _in_common(
    risks: Iterable[Resource], name: Callable[[Resource], Called]
) -> Iterator[tuple[Mapping[str, Any], Sequence[Resource]]]:
    """The risks that have a name in common, with that name; all that few have in common under none of theirs."""
    found: dict[str, list[Resource]] = {}
    names: dict[str, Mapping[str, Any]] = {}
    for one in risks:
        text, called = name(one)
        found.setdefault(text, []).append(one)
        names.setdefault(text, called)
    told = {text: those for text, those in found.items() if text and len(_who(those)) not in FEW}
    for text in sorted(told, key=lambda each: (-len(_who(told[each])), each)):
        yield names[text], told[text]
    if rest := [one for text, those in found.items() if text not in told for one in those]:
        yield {"text": OTHER}, rest


def _who(risks: Iterable[Resource]) -> set[str]:
    return {key_of(one.get("subject")) for one in risks}


def _risk(risk: Resource) -> Called:
    """By its first code, else by its words."""
    code = risk.get("code") or {}
    coding = next((one for one in code.get("coding", ()) if one.get("code")), None)
    if coding is not None:
        plain = {name: coding[name] for name in ("system", "code", "display") if name in coding}
        return f"{coding.get('system', '')}|{coding['code']}", {"coding": [plain]}
    return _said(code.get("text"))


def _answer(risk: Resource) -> Called:
    return _said(risk.get("mitigation"))


def _said(text: Any) -> Called:
    """Words, however they are spaced and capitalised."""
    words = " ".join(str(text or "").split())
    return words.casefold(), {"text": words}


def _people(risks: Sequence[Resource]) -> list[Resource]:
    """How many people, of how many little remains, and of how many more."""
    little = [one for one in risks if code_in(value_of(one, "phb-residual-risk"), RISK) in _SMALL]
    more = [one for one in risks if one not in little]
    counted = {"People": risks, "Little of the risk remains (low or negligible)": little, "More of it remains": more}
    return [{"code": {"text": text}, "count": len(_who(those))} for text, those in counted.items()]
