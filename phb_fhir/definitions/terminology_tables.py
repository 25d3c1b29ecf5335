"""The code systems and value sets that R4 itself publishes, one read when it is first asked for.

Each table is a JSON object with one resource a line (`tools/compile_r4.py`), so a line can be read alone: what is kept
in memory is where each begins, and the resources somebody asked for.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from phb_fhir.definitions.terminology_grammars import register
from phb_fhir.definitions.terminology_systems import CodeSystem, read_code_system

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

_SUPPLEMENTS = ("http://hl7.org/fhir/CodeSystem/example-supplement",)


class Table:
    """One table: the resource at each url."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, tuple[int, int]] = {}
        self._read: dict[str, Json] = {}

    def get(self, url: str) -> Json | None:
        """The resource of this url, always the same object; None when R4 publishes none."""
        if url not in self._read:
            place = self._index().get(url)
            if place is None:
                return None
            with self._path.open("rb") as file:
                file.seek(place[0])
                self._read[url] = orjson.loads(file.read(place[1]))
        return self._read[url]

    def urls(self) -> Iterator[str]:
        """Every url, in the order of the table."""
        return iter(self._index())

    def _index(self) -> dict[str, tuple[int, int]]:
        if not self._places:
            self._places = dict(_lines(self._path.read_bytes()))
        return self._places


def _lines(body: bytes) -> Iterator[tuple[str, tuple[int, int]]]:
    """Each url with the place and length of its resource: a line is `"url":{...}` and a comma, but for the last."""
    start = 0
    for line in body.split(b"\n"):
        if line.startswith(b'"'):
            before = line.index(b'":{') + 2
            yield line[1 : before - 2].decode(), (start + before, len(line.rstrip(b",")) - before)
        start += len(line) + 1


class Tables:
    """What R4 publishes, and the registers of countries and currencies carried beside it."""

    def __init__(self, folder: Path) -> None:
        self._code_systems = Table(folder / "code_systems.json")
        self._value_sets = Table(folder / "value_sets.json")
        self._made: dict[str, CodeSystem] = {}

    def code_system_resource(self, url: str) -> Json | None:
        """The CodeSystem of this url."""
        return self._code_systems.get(url) or register(url)

    def code_system(self, url: str) -> CodeSystem | None:
        """The same, made ready to be asked."""
        if url not in self._made:
            resource = self.code_system_resource(url)
            if resource is None:
                return None
            self._made[url] = read_code_system([resource])
        return self._made[url]

    def supplements(self) -> list[Json]:
        """What R4 publishes to supplement its own code systems: one example."""
        found = (self.code_system_resource(url) for url in _SUPPLEMENTS)
        return [resource for resource in found if resource is not None]

    def value_set(self, url: str) -> Json | None:
        """The ValueSet of this url."""
        return self._value_sets.get(url)

    def code_system_urls(self) -> list[str]:
        """Every code system R4 publishes."""
        return list(self._code_systems.urls())

    def value_set_urls(self) -> list[str]:
        """Every value set R4 publishes."""
        return list(self._value_sets.urls())


@cache
def tables(folder: Path) -> Tables:
    """The tables of this folder, always the same object."""
    return Tables(folder)
