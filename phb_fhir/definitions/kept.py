"""A conformance resource as it is kept: its text, and the few words that tell which one it is.

A package brings hundreds of definitions, of which a server ever uses a few. So each is kept as the text it came as, a tenth
of what it takes as objects, and read when somebody asks for it. What finds it is taken from the text once: its type, its
url and version, and what a code system says of its own content.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import orjson

from phb_fhir.fhir import codec

Resource = dict[str, Any]

DEPTH_MAX = 200
ALWAYS = datetime.min.replace(tzinfo=UTC)  # of what came with the server: anything that was written is newer
_HEAD = ("id", "url", "version", "content", "supplements", "valueSet")
_DIGITS = re.compile(r"(\d+)")
_ESCAPED = (b"\\/", b"\\u")  # other spellings of letters, by which a text may hide what it says


class Kept:
    """One conformance resource. `at` is when it was written; of two with the same url and version the later counts."""

    __slots__ = ("__weakref__", "_content", "at", "content", "id", "supplements", "type", "url", "valueSet", "version")

    type: str
    id: str
    url: str
    version: str
    content: str  # CodeSystem.content
    supplements: str  # CodeSystem.supplements
    valueSet: str  # noqa: N815 - CodeSystem.valueSet, FHIR's own spelling

    def __init__(self, head: Resource, content: bytes | Resource, at: datetime = ALWAYS) -> None:
        self.at = at
        self.type = _text(head.get("resourceType"))
        for name in _HEAD:
            setattr(self, name, _text(head.get(name)))
        self._content = content

    @staticmethod
    def of(resource: Resource, at: datetime = ALWAYS) -> Kept:
        """One that is at hand as objects."""
        return Kept(resource, resource, at)

    @staticmethod
    def of_text(text: bytes, at: datetime = ALWAYS) -> Kept:
        """One that is at hand as JSON. Raises ValueError when that is no JSON object."""
        head = orjson.loads(text)
        if type(head) is not dict:
            raise ValueError("it is no JSON object")
        return Kept(head, text, at)

    def read(self) -> Resource:
        """The resource, read from its text when first asked for. Always the same object."""
        content = self._content
        if isinstance(content, bytes):
            content = self._content = codec.loads(content, depth_max=DEPTH_MAX)
        return content

    def may_say(self, words: str) -> bool:
        """Whether these words may stand in it: a look at its text, which spares reading what cannot matter."""
        content = self._content
        if not isinstance(content, bytes):
            return True
        return words.encode() in content or any(spelling in content for spelling in _ESCAPED)

    @property
    def newness(self) -> tuple[Any, ...]:
        """What versions of one url are ordered by: the version, number by number, and then when it was written."""
        parts = [part for part in _DIGITS.split(self.version) if part]
        ranked = tuple((1, int(part[:18]), "") if part.isdecimal() else (0, 0, part) for part in parts)
        return ranked, self.at, self.id


def _text(value: Any) -> str:
    return value if type(value) is str else ""
