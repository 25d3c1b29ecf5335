"""`_text` and `_content`: words in the narrative of a resource, or anywhere in it (R4 §3.1.1.4.20).

All the words of a value must be there, each as a word or the beginning of one, with case and accents folded as in every
string search. R4 leaves the language of such a value open; this one has no operators, and says so where one is tried.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from phb_fhir.outcome import Rejected
from phb_fhir.query import Judge, Node
from phb_fhir.search.asking import badly_written, too_costly, unsupported
from phb_fhir.search.escapes import unescape
from phb_fhir.search.kinds.string import fold

WORDS_MAX = 20  # of one value
_WORD = re.compile(r"\w+")
_TAG = re.compile(r"<[^<>]*>")
_OPERATORS = frozenset({"AND", "OR", "NOT"})


def parse(name: str, value: str) -> Node:
    """The judgement that one value asks for. Raises Rejected for operators, and where there is no word."""
    text = unescape(value)
    if _OPERATORS.intersection(text.split()) or any(letter in text for letter in '"()'):
        raise _no_operators(name, value)
    words = words_of(text)
    if not words:
        raise badly_written(f"{name}={value}: there is no word in it.")
    if len(words) > WORDS_MAX:
        raise too_costly(f"{name}={value[:60]}: it has {len(words)} words; at most {WORDS_MAX} are taken.")
    return Judge(f"{name}={value}", partial(has_words, tuple(words), _TEXTS[name]))


def has_words(
    wanted: tuple[str, ...], texts: Callable[[dict[str, Any]], Iterator[str]], resource: dict[str, Any]
) -> bool:
    """Whether each of these words, folded, is a word of the texts of the resource or begins one."""
    missing = set(wanted)
    for text in texts(resource):
        there = words_of(text)
        missing = {word for word in missing if not any(one.startswith(word) for one in there)}
        if not missing:
            return True
    return False


def words_of(text: str) -> list[str]:
    """The words of a text, folded, each once."""
    return [*dict.fromkeys(folded for word in _WORD.findall(text) if (folded := fold(word)))]


def _narrative(resource: dict[str, Any]) -> Iterator[str]:
    text = resource.get("text")
    div = text.get("div") if isinstance(text, dict) else None
    if isinstance(div, str):
        yield html.unescape(_TAG.sub(" ", div))


def _content(resource: dict[str, Any]) -> Iterator[str]:
    """Every string of the resource, the narrative without its tags; not the name of its type."""
    yield from _narrative(resource)
    waiting: list[Any] = [value for name, value in resource.items() if name not in ("resourceType", "text")]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _no_operators(name: str, value: str) -> Rejected:
    return unsupported(
        f"{name}={value}: AND, OR, NOT, quotation marks and parentheses have no meaning here. All words of a value must "
        "be there; alternatives are separated by commas."
    )


_TEXTS: dict[str, Callable[[dict[str, Any]], Iterator[str]]] = {"_text": _narrative, "_content": _content}
