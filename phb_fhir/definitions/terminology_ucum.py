"""Is this a unit of UCUM? The grammar of the Unified Code for Units of Measure (§2 and §3), over its table of atoms.

A code is a term: components joined by `.` and `/`, each a unit with an optional exponent (`m2`, `10*3`), a whole
number, or a term in parentheses; `{...}` annotates what it follows, or stands for 1. A unit is an atom of the table
(`registers/ucum.tsv`), and a metric atom takes a prefix. Case matters: `mm[Hg]`, not `mm[hg]`.

`check_unit` answers with what is wrong, in a sentence's words, or with nothing.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

_TABLE = Path(__file__).parent / "registers" / "ucum.tsv"
_LENGTH_MAX = 500  # characters; the longest in common use has some forty
_DEPTH_MAX = 20  # parentheses inside parentheses

# An atom may carry any of the operators between its square brackets: [m/s2/Hz^(1/2)], B[10.nV]
_TOKEN = re.compile(r"(?P<sign>[./()])|(?P<note>\{[^{}]*\})|(?P<unit>(?:\[[^\[\]]*\]|[^./(){}\[\]])+)|(?P<other>.)")
_UNIT = re.compile(r"(?P<symbol>.+?)(?P<exponent>[+-]?[0-9]+)?")
# UCUM §2.3 wants annotations without blanks; HL7's own list of common units has them ({# of fetuses}), so they pass.
_NOTE = re.compile(r"\{[\x20-\x7a\x7c\x7e]*\}")
_DIGITS = re.compile(r"[0-9]+")


class Atoms(NamedTuple):
    """The symbols: what a metric one may be prefixed with, those that take a prefix, and all."""

    prefixes: tuple[str, ...]
    metric: frozenset[str]
    every: frozenset[str]


@cache
def atoms() -> Atoms:
    """UCUM's own table."""
    found: dict[str, list[str]] = {"prefix": [], "metric": [], "unit": []}
    for line in _TABLE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            kind, symbols = line.split("\t")
            found[kind] += symbols.split(" ")
    metric = frozenset(found["metric"])
    return Atoms(tuple(found["prefix"]), metric, metric | frozenset(found["unit"]))


@lru_cache(maxsize=4096)
def check_unit(code: str) -> str:
    """Why `code` is no UCUM unit, in a few words; empty when it is one."""
    if not code or len(code) > _LENGTH_MAX:
        return f"a unit has between 1 and {_LENGTH_MAX} characters"
    tokens = [(found.lastgroup or "", found.group()) for found in _TOKEN.finditer(code)]
    try:
        rest = _term(tokens, 1 if tokens[0] == ("sign", "/") else 0, 0)
        if rest < len(tokens):
            _refuse(f'"{tokens[rest][1]}" is not expected there')
    except _NotAUnitError as reason:
        return str(reason)
    return ""


class _NotAUnitError(ValueError):
    pass


def _refuse(reason: str) -> None:
    raise _NotAUnitError(reason)


def _term(tokens: list[tuple[str, str]], at: int, depth: int) -> int:
    """Reads component (operator component)*; answers where it ends."""
    if depth > _DEPTH_MAX:
        _refuse(f"parentheses are nested deeper than {_DEPTH_MAX}")
    at = _component(tokens, at, depth)
    while at < len(tokens) and tokens[at] in (("sign", "."), ("sign", "/")):
        at = _component(tokens, at + 1, depth)
    return at


def _component(tokens: list[tuple[str, str]], at: int, depth: int) -> int:
    kind, text = tokens[at] if at < len(tokens) else ("", "")
    if kind == "note":
        _check_note(text)
        return at + 1
    if text == "(" and kind == "sign":
        at = _term(tokens, at + 1, depth + 1)
        if at >= len(tokens) or tokens[at][1] != ")":
            _refuse("a parenthesis is not closed")
    elif kind == "unit":
        _check_symbol(text)
    else:
        _refuse(f'a unit is missing before "{text}"' if text else "it ends where a unit should follow")
    at += 1
    if at < len(tokens) and tokens[at][0] == "note":
        _check_note(tokens[at][1])
        at += 1
    return at


def _check_note(text: str) -> None:
    if not _NOTE.fullmatch(text):
        _refuse(f"the annotation {text} has a character outside ASCII")


def _check_symbol(text: str) -> None:
    if _DIGITS.fullmatch(text):
        return
    found = _UNIT.fullmatch(text)
    symbol = found["symbol"] if found else text
    if not _is_unit(symbol) and not _is_unit(text):
        _refuse(f'"{symbol}" is no unit of UCUM{_near(symbol)}')


def _is_unit(symbol: str) -> bool:
    known = atoms()
    return symbol in known.every or any(
        symbol.startswith(prefix) and symbol[len(prefix) :] in known.metric for prefix in known.prefixes
    )


def _near(symbol: str) -> str:
    """` (did you mean "mm[Hg]"?)` where only the case, or the brackets, differ."""
    near = _spellings().get(_flat(symbol), ())
    best = max(near, key=lambda unit: sum(a == b for a, b in zip(unit, symbol, strict=False)), default="")
    return f' (did you mean "{best}"?)' if best else ""


@cache
def _spellings() -> dict[str, list[str]]:
    """Every unit, prefixes included, by its letters without case and brackets."""
    known = atoms()
    found: dict[str, list[str]] = {}
    for unit in sorted(known.every) + [prefix + unit for unit in sorted(known.metric) for prefix in known.prefixes]:
        found.setdefault(_flat(unit), []).append(unit)
    return found


def _flat(symbol: str) -> str:
    return symbol.replace("[", "").replace("]", "").casefold()
