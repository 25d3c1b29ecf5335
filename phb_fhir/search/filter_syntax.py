"""The grammar of `_filter` (http://hl7.org/fhir/R4/search_filter.html): a text becomes a tree, or a refusal that says where.

    filter = test | filter ("and" | "or") filter | ["not"] "(" filter ")"
    test   = path " " operator " " value
    path   = name ["[" filter "]"] "." path | name
    value  = a JSON string | anything up to a blank, ")" or "]"

Logic runs from left to right; "and" does not bind closer than "or". A name may carry a type, `subject:Patient`, and a path
may begin with `_has:Observation:patient:`, as they may elsewhere in a search.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from phb_fhir.outcome import Rejected
from phb_fhir.search.asking import malformed, too_costly

CHARACTERS_MAX = 4_000
TESTS_MAX = 50
DEPTH_MAX = 20  # parentheses and brackets inside one another

_NAME = re.compile(r"(?:_has(?::[\w-]+){2}:)*(?:-?[A-Za-z_][\w-]*)(?::[A-Za-z]+)?", re.ASCII)
_WORD = re.compile(r"[A-Za-z]+", re.ASCII)
_WHOLE_WORD = re.compile(r"[A-Za-z]+(?![\w-])", re.ASCII)
_JSON_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_TOKEN = re.compile(r"[^\s)\]]+")
_BLANK = re.compile(r"\s*")
_SHOWN = 20  # characters of the filter in a sentence


@dataclass(frozen=True, slots=True)
class Step:
    """One name of a path; `where` is what stands in brackets behind it."""

    name: str
    where: Tree | None = None


@dataclass(frozen=True, slots=True)
class Test:
    path: tuple[Step, ...]
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Negated:
    part: Tree


@dataclass(frozen=True, slots=True)
class Both:
    left: Tree
    right: Tree


@dataclass(frozen=True, slots=True)
class Either:
    left: Tree
    right: Tree


Tree = Test | Negated | Both | Either


def read_filter(text: str) -> Tree:
    """The tree of a filter. Raises Rejected (400), naming the place."""
    if len(text) > CHARACTERS_MAX:
        raise too_costly(f"_filter has {len(text)} characters; at most {CHARACTERS_MAX} are taken.")
    reading = _Reading(text)
    tree = reading.filter(0)
    if reading.at < len(text):
        raise reading.refusal("'and', 'or' or the end")
    return tree


class _Reading:
    """A place in the text that moves on."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.tests = 0
        self._skip_blanks()

    def filter(self, depth: int) -> Tree:
        if depth > DEPTH_MAX:
            raise too_costly(f"_filter: parentheses and brackets may stand {DEPTH_MAX} deep.")
        tree = self._part(depth)
        while (word := self._peek()) in ("and", "or"):
            self._take(word)
            right = self._part(depth)
            tree = Both(tree, right) if word == "and" else Either(tree, right)
        return tree

    def refusal(self, wanted: str) -> Rejected:
        there = self.text[self.at : self.at + _SHOWN]
        found = f"'{there}'" if there else "the end"
        return malformed(f"_filter: at character {self.at + 1}, {found} stands where {wanted} should.")

    def _part(self, depth: int) -> Tree:
        if self._peek() == "not":
            self._take("not")
            return Negated(self._in_parentheses(depth))
        return self._in_parentheses(depth) if self._sees("(") else self._test(depth)

    def _in_parentheses(self, depth: int) -> Tree:
        self._take("(")
        tree = self.filter(depth + 1)
        self._take(")")
        return tree

    def _test(self, depth: int) -> Test:
        self.tests += 1
        if self.tests > TESTS_MAX:
            raise too_costly(f"_filter has more than {TESTS_MAX} tests.")
        path = self._path(depth)
        operator = self._match(_WORD, "an operator, such as eq")
        return Test(path, operator, self._value())

    def _path(self, depth: int) -> tuple[Step, ...]:
        steps = []
        while True:
            name = self._match(_NAME, "the name of a parameter", blanks=False)
            where = None
            if self._sees("["):
                self._take("[")
                where = self.filter(depth + 1)
                self._take("]", blanks=False)
                if not self._sees("."):
                    raise self.refusal("'.' and what is asked of that")
            steps.append(Step(name, where))
            if not self._sees("."):
                break
            self._take(".", blanks=False)
        if self.at < len(self.text) and not self.text[self.at].isspace():
            raise self.refusal("a blank and an operator")
        self._skip_blanks()
        return tuple(steps)

    def _value(self) -> str:
        if not self._sees('"'):
            return self._match(_TOKEN, "a value")
        string = self._match(_JSON_STRING, "a JSON string with its end")
        try:
            value: str = json.loads(string)
            value.encode()  # half of a pair of surrogates is no character
        except ValueError:
            raise malformed(f"_filter: {string[:_SHOWN]} is not a JSON string.") from None
        return value

    # ---- the place -----------------------------------------------------------------------------------

    def _sees(self, sign: str) -> bool:
        return self.text.startswith(sign, self.at)

    def _peek(self) -> str:
        found = _WHOLE_WORD.match(self.text, self.at)
        return found[0] if found else ""

    def _take(self, sign: str, *, blanks: bool = True) -> None:
        if not self._sees(sign):
            raise self.refusal(f"'{sign}'")
        self.at += len(sign)
        if blanks:
            self._skip_blanks()

    def _match(self, pattern: re.Pattern[str], wanted: str, *, blanks: bool = True) -> str:
        found = pattern.match(self.text, self.at)
        if not found:
            raise self.refusal(wanted)
        self.at = found.end()
        if blanks:
            self._skip_blanks()
        return found[0]

    def _skip_blanks(self) -> None:
        found = _BLANK.match(self.text, self.at)
        self.at = found.end() if found else self.at
