"""What a canonical means: whatever has that url here, and that version where the canonical states one (R4 §2.3.0.5.1).

Both sides are read off the index entries. A definition is meant by its url alone, and by its url with its own version; so by a
canonical without a version each version is meant that is here, as `_include` has it. It is also meant by its address on this
server, as by any reference. What a canonical states with a version has an entry without it too, to be found by, which means
nothing here; so where one parameter of a resource names a url both ways, the version counts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from phb_fhir.query import AllOf, AnyOf, Id, Key, Node, Not
from phb_fhir.search.kinds.keys import beginning
from phb_fhir.store.store import Hit

LOCAL = re.compile(r"[A-Z][A-Za-z]*/[A-Za-z0-9\-.]{1,64}")
_PARTS = re.compile(
    r"((?:\\.|[^\\|])*)(?:\|(.*))?", re.DOTALL
)  # the first bar that is not escaped stands before the version


class Name(NamedTuple):
    """A url or a local reference, and a version ("": none stated), as the entries of the index have them."""

    text: str
    version: str = ""

    @property
    def entry(self) -> str:
        return f"{self.text}|{self.version}" if self.version else self.text


def names_of(hits: Iterable[Hit]) -> dict[Name, None]:
    """What these resources are meant by."""
    found: dict[Name, None] = {}
    for hit in hits:
        found[Name(hit.version.key)] = None
        found.update(dict.fromkeys(_names(hit.index.keys, "url")))
    return found


def meant_by(entries: Iterable[str], parameter: str) -> dict[Name, None]:
    """What a resource with these entries names by a reference parameter."""
    named = dict.fromkeys(_names(entries, parameter))
    stated = {name.text for name in named if name.version}
    return {name: None for name in named if name.version or name.text not in stated}


def _names(entries: Iterable[str], code: str) -> Iterator[Name]:
    start = f"{code}="
    for entry in entries:
        if entry.startswith(start) and (parts := _PARTS.fullmatch(entry, len(start))):
            yield Name(parts[1], parts[2] or "")


def naming(parameter: str, names: Collection[Name]) -> Node:
    """The condition that a resource names one of these by a reference parameter."""
    stated = tuple(f"{parameter}={name.entry}" for name in names if name.version)
    plain = [f"{parameter}={name.text}" for name in names if not name.version]
    parts: list[Node] = [Key(stated)] if stated else []
    parts += [AllOf((Key((entry,)), Not(beginning(f"{entry}|")))) for entry in plain]
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))


def mentioning(parameter: str, names: Iterable[Name]) -> Key:
    """The condition that it may: all that an index tells of a page of names at once."""
    return Key(tuple(dict.fromkeys(f"{parameter}={name.text}" for name in names)))


def named(names: Collection[Name]) -> list[Node]:
    """The conditions that a resource is meant by one of these: by its url, and by its address, as there are such names."""
    urls = tuple(f"url={name.entry}" for name in names)
    ids = tuple(name.text for name in names if not name.version and LOCAL.fullmatch(name.text))
    return [*([Key(urls)] if urls else []), *([Id(ids)] if ids else [])]
