"""Every regular expression of ours against texts made to be slow. Run by itself: it prints each name, and `slow` beside those that are.

Python's regular expressions try again from everywhere, so one that looks harmless may take the square of what it reads, or worse; and
what it reads here was sent by anybody, a megabyte of it. Slow is not so many seconds, which differ from one machine to the next, but
a text ten times as long that takes far more than ten times the work: for the square of it, a hundred times.
"""

from __future__ import annotations

import importlib
import itertools
import pkgutil
import re
import sys
import time
from collections.abc import Iterable, Iterator
from functools import cache

import phb_fhir

BEFORE = ("", "a", "<a ", "123456")
AFTER = ("", "!", "x")
REPEATED = (
    "a", "1", "A", " ", "\t", '"', "\\", "<a", "<a ", "<tr ", "<td>", "</td> ", "<", "&", "-", ".", "/", "(", ")", "{", "[", "|", ",", "$",
    ":", "a-", "a/", "aB", "+1", "&amp;", ' href="x"', "é", "_has:a:", "a.", ".where(", "OR ", "A.a", "/A/a", "http://a/", "http://a/A/",
)  # fmt: skip

# how each that is not only ever matched whole is used, where that is on what clients send at length
SEARCHED = {
    "phb_fhir.validation.narrative._STRAY_TEXT": "search",
    "phb_fhir.validation.narrative._CONTENT": "search",
    "phb_fhir.validation.narrative._BLANK": "search",
    "phb_fhir.definitions.walk._TAG": "search",
    "phb_fhir.definitions.terminology_filters._OR": "search",
    "phb_fhir.search.text._TAG": "search",
    "phb_fhir.search.text._WORD": "search",
    "phb_fhir.search.conditions._ESCAPE": "search",
    "phb_fhir.search.escapes._ESCAPED": "search",
    "phb_fhir.definitions.search_parameters._BEGINS_WITH": "match",
}
# of what is never longer than so much, wherever it is used
SHORT = {
    "phb_fhir.definitions.ucum._UNIT": 500,  # `check_unit` sees to the length
    "phb_fhir.definitions.terminology_ucum._UNIT": 500,
}
LONG = 100_000
TEN_TIMES = 10
FAR_MORE = 35  # between ten, a straight line, and a hundred, the square
A_MOMENT_S = 0.2  # of the processor: below it nothing can be told, and the square of LONG is many times that


def patterns() -> Iterator[tuple[str, re.Pattern[str] | re.Pattern[bytes]]]:
    for module in pkgutil.walk_packages(phb_fhir.__path__, "phb_fhir."):
        if not module.name.startswith("phb_fhir.cli."):
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, re.Pattern):
                    yield f"{module.name}.{name}", value


@cache
def texts(size: int) -> list[str]:
    made = itertools.product(BEFORE, REPEATED, AFTER)
    return [before + repeated * (size // len(repeated)) + after for before, repeated, after in made]


def is_slow(pattern: re.Pattern, way: str, text: str, shorter: str) -> bool:
    """Whether `text`, ten times `shorter`, takes this pattern far more than ten times the work."""
    took = _took(pattern, way, text)
    return took > A_MOMENT_S and took > FAR_MORE * _took(pattern, way, shorter)


def _took(pattern: re.Pattern, way: str, text: str) -> float:
    given = text.encode() if isinstance(pattern.pattern, bytes) else text
    began = time.process_time()
    getattr(pattern, way)(given)
    return time.process_time() - began


def try_all(given: Iterable[tuple[str, re.Pattern]]) -> None:
    for name, pattern in given:
        size, way = SHORT.get(name, LONG), SEARCHED.get(name, "fullmatch")
        pairs = zip(texts(size), texts(size // TEN_TIMES), strict=True)
        slow = any(is_slow(pattern, way, text, shorter) for text, shorter in pairs)
        print(name, "slow" if slow else "", flush=True)


if __name__ == "__main__":
    # one that is slow may be given, to see that it would be found
    try_all([(each, re.compile(each)) for each in sys.argv[1:]] or patterns())
