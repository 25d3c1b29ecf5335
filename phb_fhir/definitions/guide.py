"""The implementation guide that comes with this server: the conformance resources of `profiles/`.

`package.json` beside them says what the guide is called and which version it has (an FHIR NPM package's manifest), and
`examples/` holds instances that show its profiles. The digest tells one state of the guide from another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import orjson

from phb_fhir.definitions.kept import Kept, Resource
from phb_fhir.definitions.prose import read_prose, with_prose
from phb_fhir.definitions.registry import Registry

MANIFEST = "package.json"
EXAMPLES = "examples"
_FORMAT = b"1"  # of what is made of the files; another number makes every server make it again


@dataclass(frozen=True)
class Guide:
    """`resources` are the definitions in the order of their files; `digest` changes when any of them does."""

    folder: Path
    resources: tuple[Kept, ...]
    digest: str

    @cached_property
    def urls(self) -> Mapping[str, str]:
        """The canonical urls that are the guide's, by where a server has their resources."""
        return {key: kept.url for key, kept in self.by_key.items() if kept.url}

    @cached_property
    def by_key(self) -> Mapping[str, Kept]:
        """The resources by where a server has them: `StructureDefinition/phb-account`."""
        return {f"{kept.type}/{kept.id}": kept for kept in self.resources}

    def manifest(self) -> dict[str, Any]:
        """What `package.json` says. Raises FileNotFoundError."""
        return cast("dict[str, Any]", orjson.loads((self.folder / MANIFEST).read_bytes()))

    def examples(self) -> list[tuple[str, bytes]]:
        """The instances of `examples/`: file name and content."""
        return [(file.name, file.read_bytes()) for file in sorted((self.folder / EXAMPLES).glob("*.json"))]


NO_GUIDE = Guide(Path(), (), "")


class WrongGuide(Exception):  # noqa: N818 - it is a sentence for whoever edits the guide
    """Why the guide cannot be handed out."""


def published(guide: Guide, known: Registry) -> dict[str, Resource]:
    """The guide's resources by their keys, as others read them: StructureDefinitions with whole snapshots.

    `known` is R4 and the guide. Raises WrongGuide for a profile of which no snapshot can be made.
    """
    prose = read_prose() if guide.resources else {}
    return {key: _published(kept, known, prose) for key, kept in guide.by_key.items()}


def _published(kept: Kept, known: Registry, prose: dict[str, str]) -> Resource:
    if kept.type != "StructureDefinition":
        return kept.read()
    structure = known.structure(f"{kept.url}|{kept.version}" if kept.version else kept.url)
    if structure is None:
        raise WrongGuide(known.structure_problem(kept.url))
    return with_prose(structure, prose)


def read_guide(folder: Path) -> Guide:
    """The guide in `folder`. Raises ValueError for a file that is no JSON."""
    digest = hashlib.sha256(_FORMAT)
    resources = []
    for file in sorted(folder.glob("*.json")):
        if file.name != MANIFEST:
            text = file.read_bytes()
            digest.update(b"%s %d\n" % (file.name.encode(), len(text)) + text)
            resources.append(Kept.of_text(text))
    return Guide(folder, tuple(resources), digest.hexdigest())
