"""Packages of definitions, put into the record: all that they bring becomes resources, in one transaction, or nothing does.

First everything is checked as a write of it would be (`problems_in`), over what is known already and what the packages
themselves bring, because the definitions of a package lean on each other. Then each definition goes where its like is: over
the one with the same url and version; else to the id it comes with, unless something else is there; else to a fresh id. What
is there already, word for word, is left as it is, so that installing twice changes nothing.

Definitions under a url of R4's own or of this server's guide are left out: they are here already, and nobody replaces them.
A package is a row of notes beside the record: which version of it was installed last, and what it brought. By that it is taken away
again: what it brought is deleted, but for what another package has brought, too, or somebody has changed since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from phb_fhir.change import Condition, Delete, Effect, Put, Version
from phb_fhir.definitions.kept import Kept
from phb_fhir.definitions.package import Package
from phb_fhir.fhir.dates import instant_text
from phb_fhir.interactions.commit import Settled, write_all
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.knowledge import Knowledge
from phb_fhir.interactions.validation import issues_of
from phb_fhir.outcome import Issue, Kind, Refusal, refuse
from phb_fhir.query import AnyOf, Id, Key, Node, Query
from phb_fhir.search.kinds.uri import entry
from phb_fhir.store.store import Reader, Transaction

NOTE = "package/"  # and the name of the package
PACKAGES_MAX = 1_000  # that are listed
_LOCK = "packages"
_ASKED_TOGETHER = 200
_FOUND_MAX = 20_000


class Problem(NamedTuple):
    """What is wrong with one file of a package."""

    package: str
    file: str
    issue: Issue


@dataclass(frozen=True, slots=True)
class Installed:
    """What became of one package: how many of its definitions were created, updated or unchanged, and what was left out."""

    package: Package
    effects: Mapping[Effect, int]
    left_out: tuple[str, ...] = ()  # urls that are R4's or this server's own
    missing: tuple[str, ...] = field(default=())  # packages it builds on that are not here


# ---- checking ------------------------------------------------------------------------------------


def problems_in(context: Context, packages: Sequence[Package]) -> Iterator[Problem]:
    """Everything that would be said of these packages' definitions if each were written: errors, and warnings too."""
    brought = [kept for package in packages for kept in package.resources.values() if not _owner(context, kept)]
    within = context._replace(knowledge=Knowledge(context.known.changed((), brought), context.knowledge.guide))
    for package in packages:
        for file, kept in package.resources.items():
            if not _owner(context, kept):
                for issue in issues_of(within, kept.read(), kept.type):
                    yield Problem(package.label, file, issue)


def _owner(context: Context, kept: Kept) -> str:
    return context.knowledge.owner(kept.type, kept.url)


# ---- storing -------------------------------------------------------------------------------------


async def install(context: Context, packages: Sequence[Package]) -> list[Installed]:
    """Store what these packages define, all of it or nothing. Raises Rejected when the database or a rule says no."""

    async def work(transaction: Transaction) -> list[Installed]:
        await transaction.lock([_LOCK])
        return [await _install(context, transaction, package) for package in packages]

    done = await context.store.transaction(work, contended=[_LOCK])
    here = {package.label.replace(" ", "#") for package in packages} | {
        f"{note['name']}#{note['version']}" for note in await installed(context)
    }
    return [replace(one, missing=tuple(name for name in one.package.missing if name not in here)) for one in done]


class Uninstalled(NamedTuple):
    """What became of a package that was taken away: how many of its definitions went, and which stayed because they are in use."""

    label: str
    gone: int
    of_others: tuple[str, ...] = ()  # that another package has brought, too
    changed: tuple[str, ...] = ()  # that somebody wrote since, and is theirs now


async def uninstall(context: Context, name: str) -> Uninstalled | None:
    """Delete what a package brought, all of it or nothing; None where it is not here. Raises Rejected when the database or a rule says no."""

    async def work(transaction: Transaction) -> Uninstalled | None:
        await transaction.lock([_LOCK])
        notes = {note["name"]: note for note in await transaction.notes(NOTE, count=PACKAGES_MAX)}
        note = notes.pop(name, None)
        return None if note is None else await _uninstall(context, transaction, note, notes.values())

    return await context.store.transaction(work, contended=[_LOCK])


async def _uninstall(
    context: Context, transaction: Transaction, note: Mapping[str, Any], others: Iterable[Mapping[str, Any]]
) -> Uninstalled:
    if "numbers" not in note:
        text = f"{note['name']} was installed by a release that did not note what it stored: install it again first."
        raise refuse(Refusal.CONFLICT, Kind.CONFLICT, text)
    brought = dict(zip(note["resources"], note["numbers"], strict=True))
    kept = {key for other in others for key in other["resources"]}
    found = await transaction.read_all(brought)
    there = [version for version in found.values() if version.json is not None]
    own = [version for version in there if version.key not in kept]
    changed = [version for version in own if version.number != brought[version.key]]
    gone = [version for version in own if version not in changed]
    await write_all(context, transaction, [Settled(Delete(version.type, version.id)) for version in gone])
    await transaction.forget(NOTE + note["name"])
    of_others = tuple(version.key for version in there if version.key in kept)
    return Uninstalled(f"{note['name']} {note['version']}", len(gone), of_others, tuple(one.key for one in changed))


async def installed(context: Context) -> list[dict[str, Any]]:
    """The packages that are here, by name: `name`, `version`, `at` (an instant), `resources` (their keys), and `numbers` (of
    their versions).
    """
    return await context.store.notes(NOTE, count=PACKAGES_MAX)


async def _install(context: Context, transaction: Transaction, package: Package) -> Installed:
    left_out = tuple(kept.url for kept in package.resources.values() if _owner(context, kept))
    brought = [kept for kept in package.resources.values() if not _owner(context, kept)]
    changes = await _changes(context, transaction, brought)
    committed = await write_all(context, transaction, [Settled(change) for change in changes])
    stored = [one.version for one in committed if one.version is not None]
    note = {
        "name": package.name,
        "version": package.version,
        "at": instant_text(context.now()),
        "resources": [version.key for version in stored],
        "numbers": [version.number for version in stored],
    }
    await transaction.note(NOTE + package.name, note)
    return Installed(package, Counter(one.effect for one in committed), left_out)


async def _changes(context: Context, transaction: Transaction, brought: Sequence[Kept]) -> list[Put]:
    """Each definition with the place it goes to."""
    there = [(version, _kept(version)) for version in await _there(transaction, brought)]
    there.sort(key=lambda one: one[1].newness)
    same = {_identity(kept): version.id for version, kept in there}  # of several that are the same, the one that counts
    taken = {version.key: (version, kept) for version, kept in there}
    used: set[str] = set()
    changes = []
    for kept in brought:
        id_ = same.get(_identity(kept)) or _free_id(kept, taken, used) or context.new_id()
        key = f"{kept.type}/{id_}"
        used.add(key)
        if_match = Condition(frozenset((taken[key][0].number,))) if key in taken else None
        changes.append(Put(kept.type, id_, {**kept.read(), "id": id_}, if_match))
    return changes


def _free_id(kept: Kept, taken: Mapping[str, tuple[Version, Kept]], used: set[str]) -> str:
    """The id it comes with, unless another definition has it; "" where it cannot have that."""
    key = f"{kept.type}/{kept.id}"
    is_free = key not in used and (key not in taken or taken[key][1].url == kept.url)
    return kept.id if is_free else ""


def _identity(kept: Kept) -> tuple[str, str, str, str]:
    """What makes two definitions the same one; a code system may come in fragments, each by itself."""
    by_id = kept.id if not kept.url or kept.content == "fragment" else ""
    return kept.type, kept.url, kept.version, by_id


async def _there(reader: Reader, brought: Sequence[Kept]) -> list[Version]:
    """What is stored already with a url or an id that one of these has."""
    found: dict[str, Version] = {}
    for start in range(0, len(brought), _ASKED_TOGETHER):
        for type_, nodes in _questions(brought[start : start + _ASKED_TOGETHER]).items():
            versions = await reader.search(Query((type_,), AnyOf(nodes)), count=_FOUND_MAX)
            found |= {version.key: version for version in versions}
    return list(found.values())


def _questions(brought: Sequence[Kept]) -> dict[str, tuple[Node, ...]]:
    asked: dict[str, list[Node]] = {}
    for kept in brought:
        nodes = asked.setdefault(kept.type, [])
        nodes.append(Id((kept.id,)))
        if kept.url:
            nodes.append(Key((entry("url", kept.url, kept.version),)))
    return {type_: tuple(nodes) for type_, nodes in asked.items()}


def _kept(version: Version) -> Kept:
    return Kept.of_text(version.json or b"{}", version.at)
