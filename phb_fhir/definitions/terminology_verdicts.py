"""What is said about a code, in words: `Verdict`, and how each comes to be.

A sentence says what is wrong and what would be right: the code in its proper case, the display as it should be, the code
system that does have this code, the codes there are to choose from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from phb_fhir.definitions.terminology_expand import display_of
from phb_fhir.definitions.terminology_systems import CodeSystem, dicts
from phb_fhir.definitions.terminology_value_sets import CannotExpandError, Found, Held, View, named
from phb_fhir.outcome import Severity

Json = dict[str, Any]

_NAMED_MAX = 12  # codes a sentence lists
_NEAR_MAX = 2000  # codes of a value set among which a slip of the pen is looked for
SHOWN_MAX = 60  # characters of a code or display that a sentence shows

_RANK: dict[Severity, int] = {"information": 0, "warning": 1, "error": 2, "fatal": 3}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known about a code. `severity` is how grave the sentence is, whatever the binding makes of it.

    | valid | severity | sentence |
    |---|---|---|
    | True | information | empty, or a remark |
    | True | warning | a wrong display, an inactive or abstract code, a code in the wrong case |
    | False | error | what is wrong, and what would be right |
    | None | warning | that it cannot be known here; `reason` says why, to be set into another sentence |

    `display` is what the code is called, where that is known; `code` is the code as its system writes it.
    """

    valid: bool | None
    sentence: str = ""
    display: str | None = None
    severity: Severity = "information"
    reason: str = ""
    system: str = ""
    code: str = ""

    @property
    def text(self) -> str:
        """The reason alone where there is one, else the sentence."""
        return self.reason or self.sentence


# ---- verdicts ------------------------------------------------------------------------------------


def in_system(held: Held, code: str, display: str | None, *, abstract: bool | None) -> Verdict:
    """Whether a code system has this code."""
    answer = held.judge(code)
    if answer.valid is None:
        return unknown(shown(code), answer.why, f"the code system {named(held)}")
    if not answer.valid:
        why = f": {answer.why}" if answer.why else ""
        return _refused(f"{shown(code)} is not a code of {named(held)}{why}.{_slip(held, code)}")
    return accepted(held, Found(True, "", held.url, held.spelled(code)), code, display, abstract=abstract)


def unknown_in(view: View, system: str | None, code: str, why: str) -> Verdict:
    """It cannot be known whether the code is in the value set."""
    return unknown(shown(code, system), why, f"the value set {view.title} ({view.url})")


def not_in(view: View, system: str | None, code: str, why: str) -> Verdict:
    """The code is not in the value set."""
    if system == "":
        what = f"{shown(code)} names no code system, so it is not in the value set {view.title} ({view.url})"
    else:
        what = f"{shown(code, system)} is not in the value set {view.title} ({view.url})"
    return _refused(what + (f": {why}." if why else ".") + _among(view, system, code))


def accepted(held: Held, found: Found, code: str, display: str | None, *, abstract: bool | None) -> Verdict:
    """A code that is in, with all there is to remark about it."""
    system, spelled = held.system, found.code
    if system is None or spelled not in system.concepts:
        right, remarks = None, []
    else:
        right, remarks = system.display(spelled), _remarks(system, spelled, abstract=abstract)
        if abstract is False and spelled in system.abstract:
            return _refused(f"{shown(code)} of {named(held)} only groups other codes; it is not to be used itself.")
    if spelled != code:
        remarks.append(("warning", f'{named(held)} writes the code "{spelled}", not {shown(code)}.'))
    if held.is_other_version:
        remarks.append(("information", f"Judged by another version, as {held.why}."))
    if display is not None:
        remarks += _display_remarks(held, found, right, display)
    listed = (found.listed or {}).get("display")
    return Verdict(
        True,
        " ".join(sentence for _, sentence in remarks),
        right or (listed if isinstance(listed, str) else None),
        max((severity for severity, _ in remarks), key=_RANK.__getitem__, default="information"),
        system=found.system,
        code=spelled,
    )


def unknown(what: str, why: str, where: str) -> Verdict:
    return Verdict(None, f"Whether {what} is in {where} cannot be known here: {why}.", severity="warning", reason=why)


def _refused(sentence: str) -> Verdict:
    return Verdict(False, sentence, severity="error")


def _remarks(system: CodeSystem, code: str, *, abstract: bool | None) -> list[tuple[Severity, str]]:
    found: list[tuple[Severity, str]] = []
    if code in system.inactive:
        found.append(("warning", f'The code "{code}" of {system.title} is inactive: it is kept for old records.'))
    elif code in system.deprecated:
        found.append(("information", f'The code "{code}" of {system.title} is deprecated.'))
    if abstract is None and code in system.abstract:
        found.append(
            ("warning", f'The code "{code}" of {system.title} only groups other codes; one of these says more.')
        )
    return found


def _display_remarks(held: Held, found: Found, right: str | None, display: str) -> list[tuple[Severity, str]]:
    """A display is right if it is any name of the code, whatever its case and blanks."""
    rows = [found.listed or {}]
    if held.system is not None and found.code in held.system.concepts:
        rows.append(held.system.concepts[found.code])
    names = [row.get("display") for row in rows] + [
        d.get("value") for row in rows for d in dicts(row.get("designation"))
    ]
    known = [name for name in names if isinstance(name, str)]
    if not known or _folded(display) in map(_folded, known):
        return []
    if right is None:
        text = f'The value set calls "{found.code}" {shown(known[0])}, not {shown(display)}; other names of it are not known here.'
        return [("information", text)]
    return [("warning", f'{held.name} calls the code "{found.code}" {shown(right)}, not {shown(display)}.')]


def _among(view: View, system: str | None, code: str) -> str:
    """What would be right, so far as that can be guessed."""
    if "all" not in view.choices:
        view.choices["all"] = _choices(view)
    choices: _Choices = view.choices["all"]
    elsewhere = choices.systems.get(code)
    if elsewhere is not None and system not in (None, elsewhere):
        return f" It has this code of the code system {elsewhere}."
    near = choices.spelled.get(code.casefold())
    return (f' Did you mean "{near}"?' if near not in (None, code) else "") + choices.listed


def _choices(view: View) -> _Choices:
    try:
        entries = list(view.entries().values())
    except CannotExpandError:
        return _NO_CHOICES
    spelled: dict[str, str] = {}
    for entry in entries if len(entries) <= _NEAR_MAX else ():
        spelled.setdefault((display_of(entry) or entry.code).casefold(), entry.code)
    spelled.update((entry.code.casefold(), entry.code) for entry in entries[:_NEAR_MAX])
    systems = {entry.code: entry.held.url for entry in entries[:_NEAR_MAX]}
    return _Choices(_listed([entry.code for entry in entries]), spelled, systems)


def _listed(codes: list[str]) -> str:
    if not codes:
        return " It has no codes."
    more = f", … ({len(codes)} in all)" if len(codes) > _NAMED_MAX else ""
    return f" Its codes are: {', '.join(codes[:_NAMED_MAX])}{more}."


def _slip(held: Held, code: str) -> str:
    near = held.system.folded(code) if held.system is not None else None
    return f' Did you mean "{near}"?' if near else ""


def shown(code: str, system: str | None = None) -> str:
    cut = code if len(code) <= SHOWN_MAX else code[:SHOWN_MAX] + "…"
    return f'"{cut}" of {shown(system)[1:-1]}' if system else f'"{cut}"'


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


class _Choices(NamedTuple):
    """How a value set is shown to somebody who missed it."""

    listed: str
    spelled: Mapping[str, str]  # a code or its display, without case: the code
    systems: Mapping[str, str]  # code: its system


_NO_CHOICES = _Choices("", {}, {})
