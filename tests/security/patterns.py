"""Every regular expression of ours against texts made to be slow. Run by itself: it prints the name of each as it begins it.

Python's regular expressions try again from everywhere, so one that looks harmless may take the square of what it reads, or worse; and
what it reads here was sent by anybody, a megabyte of it. At that size the square is hours, and a straight line is a moment.
"""

from __future__ import annotations

import importlib
import itertools
import pkgutil
import re
import sys
from collections.abc import Iterator
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


def try_all() -> None:
    for name, pattern in patterns():
        print(name, flush=True)
        way = getattr(pattern, SEARCHED.get(name, "fullmatch"))
        for text in texts(SHORT.get(name, LONG)):
            way(text.encode() if isinstance(pattern.pattern, bytes) else text)


if __name__ == "__main__":
    if sys.argv[1:]:
        re.compile(sys.argv[1]).fullmatch("\t" * LONG + "!")  # one that is slow, to see that it would be found
    else:
        try_all()
