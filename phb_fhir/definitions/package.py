"""FHIR packages: how definitions travel. A gzipped tar whose folder `package/` holds a manifest and one resource a file.

`read_package` takes from one what a server can use: the conformance resources that stand directly in `package/`. Examples and
whatever else a package carries in folders of its own are left in it. Nothing is unpacked to disk, so no path in a package
leads anywhere, and everything is bounded, because a file of a few kilobytes may unpack to anything.

`build_package` makes one from the guide: every definition as a server would answer it, StructureDefinitions with their
snapshots, and the examples. The same guide gives the same bytes.

Source: the FHIR NPM package specification (https://hl7.org/fhir/packages.html); the index as HL7's tools write it, version 2.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from phb_fhir.definitions.guide import Guide, WrongGuide, published
from phb_fhir.definitions.kept import DEPTH_MAX, Kept
from phb_fhir.definitions.load import Definitions
from phb_fhir.definitions.registry import Registry
from phb_fhir.fhir import codec
from phb_fhir.outcome import Rejected

CORE_PACKAGE = "hl7.fhir.r4.core"
FOLDER = "package"
MANIFEST = "package.json"

FILE_BYTES_MAX = 200_000_000  # of the tgz
UNPACKED_BYTES_MAX = 1_000_000_000
MEMBERS_MAX = 50_000  # FHIR's own packages have some thousands
MEMBER_BYTES_MAX = 16_000_000  # what the database keeps in one piece
MANIFEST_BYTES_MAX = 1_000_000
_NAME = re.compile(r"(@[a-z0-9._-]{1,100}/)?[A-Za-z0-9._-]{1,200}")
_VERSION = re.compile(r"[A-Za-z0-9.+_-]{1,100}")
_INDEX_VERSION = 2
_INDEXED = ("resourceType", "id", "url", "version", "kind", "type", "supplements", "content", "valueSet", "derivation")
_DAMAGE = (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, RecursionError, OverflowError)


class WrongPackage(Exception):  # noqa: N818 - it is a sentence for the operator, not a fault in the program
    """Why a file is no package that can be used here."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Package:
    """What a package says of itself, and its conformance resources by file name; `others` counts what defines nothing."""

    name: str
    version: str
    resources: Mapping[str, Kept]
    dependencies: Mapping[str, str] = field(default_factory=dict)
    others: int = 0

    @property
    def label(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def missing(self) -> list[str]:
        """What it builds on beside FHIR R4 itself, as `name#version`."""
        return sorted(f"{name}#{version}" for name, version in self.dependencies.items() if name != CORE_PACKAGE)


# ---- reading -------------------------------------------------------------------------------------


def read_package(path: Path, definitions: Definitions) -> Package:
    """The package in a file. Raises WrongPackage: it cannot be read, is none, is not for R4, or has a damaged resource."""
    try:
        size = path.stat().st_size
        if size > FILE_BYTES_MAX:
            raise WrongPackage(f"{path} has {size} bytes, and a package may have {FILE_BYTES_MAX} at most.")
        with path.open("rb") as file:
            found = _files_in(file, path)
    except OSError as error:
        raise WrongPackage(f"{path} cannot be read: {error.strerror or error}.") from None
    manifest = _manifest(found.pop(MANIFEST, None), path)
    return _package(manifest, found, definitions)


class _Bounded(io.RawIOBase):
    """The unpacked bytes of a package, up to a bound."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self._left = UNPACKED_BYTES_MAX

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size if size >= 0 else self._left + 1, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise WrongPackage(f"it unpacks to more than {UNPACKED_BYTES_MAX} bytes")
        return data


def _files_in(file: IO[bytes], path: Path) -> dict[str, bytes]:
    """The JSON files directly in `package/`, by name."""
    try:
        with gzip.GzipFile(fileobj=file) as unpacked, tarfile.open(fileobj=_Bounded(unpacked), mode="r|") as tar:
            return _unpacked(tar)
    except WrongPackage as wrong:
        raise WrongPackage(f"{path} is not taken: {wrong.sentence}.") from None
    except _DAMAGE as error:
        raise WrongPackage(f"{path} is no FHIR package: it cannot be unpacked ({error}).") from None


def _unpacked(tar: tarfile.TarFile) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for count, member in enumerate(tar, 1):
        if count > MEMBERS_MAX:
            raise WrongPackage(f"it has more than {MEMBERS_MAX} files")
        name = _name_in_package(member)
        if name is None:
            continue
        if member.size > MEMBER_BYTES_MAX:
            raise WrongPackage(f"its file {name} has {member.size} bytes, and {MEMBER_BYTES_MAX} are the most")
        if name in found:
            raise WrongPackage(f"its file {name} stands in it twice")
        content = tar.extractfile(member)
        found[name] = content.read() if content is not None else b""
    return found


def _name_in_package(member: tarfile.TarInfo) -> str | None:
    """The name of a file `package/name.json`; None for everything else."""
    folder, _, name = member.name.removeprefix("./").rpartition("/")
    is_wanted = folder == FOLDER and name.endswith(".json") and not name.startswith(".") and member.isreg()
    return name if is_wanted else None


def _manifest(body: bytes | None, path: Path) -> dict[str, Any]:
    if body is None:
        raise WrongPackage(f"{path} is no FHIR package: it has no {FOLDER}/{MANIFEST}.")
    try:
        manifest = orjson.loads(_plain(body)) if len(body) <= MANIFEST_BYTES_MAX else None
    except orjson.JSONDecodeError:
        manifest = None
    if not isinstance(manifest, dict):
        raise WrongPackage(f"{path} is no FHIR package: its {FOLDER}/{MANIFEST} is no JSON object.")
    for key, pattern in (("name", _NAME), ("version", _VERSION)):
        if not isinstance(manifest.get(key), str) or not pattern.fullmatch(manifest[key]):
            raise WrongPackage(f"{path} is no FHIR package: its {FOLDER}/{MANIFEST} gives no proper {key}.")
    return manifest


def _package(manifest: dict[str, Any], files: dict[str, bytes], definitions: Definitions) -> Package:
    name, version = manifest["name"], manifest["version"]
    label = f"The package {name} {version}"
    listed = manifest.get("dependencies")
    dependencies = {str(k): str(v) for k, v in listed.items()} if isinstance(listed, dict) else {}
    _check_fhir_version(manifest, dependencies, label)
    resources: dict[str, Kept] = {}
    others = 0
    for file in sorted(files):
        kept = _kept(files.pop(file), file, label)
        if kept is None:
            continue
        if kept.type not in definitions.resource_types:
            raise WrongPackage(f"{label} cannot be used: {file} is a {kept.type[:80]}, which FHIR R4 does not have.")
        if not defines(definitions, kept.type):
            others += 1
            continue
        if not kept.url and kept.type != "NamingSystem":
            raise WrongPackage(f"{label} cannot be used: {file} defines a {kept.type} without a url.")
        resources[file] = kept
    if not resources:
        raise WrongPackage(f"{label} has no definitions in its folder {FOLDER}/; there is nothing to use.")
    _check_duplicates(resources, label)
    return Package(name, version, resources, dependencies, others)


def _check_fhir_version(manifest: dict[str, Any], dependencies: Mapping[str, str], label: str) -> None:
    """Raise WrongPackage unless it is for R4: the older key, and what it depends on, tell where `fhirVersions` does not."""
    stated = manifest.get("fhirVersions", manifest.get("fhir-version-list", manifest.get("fhirVersion")))
    versions = stated if isinstance(stated, list) else [stated] if isinstance(stated, str) else []
    if not versions and CORE_PACKAGE in dependencies:
        versions = [dependencies[CORE_PACKAGE]]
    if not versions:
        raise WrongPackage(f"{label} does not say which version of FHIR it is for; this server takes packages for 4.0.")
    if not any(str(one) == "4.0" or str(one).startswith("4.0.") for one in versions):
        told = ", ".join(str(one)[:40] for one in versions[:5])
        raise WrongPackage(f"{label} is for FHIR {told}; this server takes packages for 4.0.")


def _kept(body: bytes, file: str, label: str) -> Kept | None:
    """The resource in a file; None for JSON that is no resource."""
    try:
        text = _plain(body)
        kept = Kept.of_text(text)
        if kept.type:
            codec.loads(text, depth_max=DEPTH_MAX)  # which is stricter: a key twice, half a character
    except Rejected as rejected:
        raise WrongPackage(f"{label} cannot be used: {file}: {rejected.issues[0].text}") from None
    except ValueError as error:
        raise WrongPackage(f"{label} cannot be used: {file} is no JSON object ({error}).") from None
    return kept if kept.type else None


def _plain(body: bytes) -> bytes:
    return body.removeprefix(b"\xef\xbb\xbf")


def _check_duplicates(resources: Mapping[str, Kept], label: str) -> None:
    seen: dict[tuple[str, str, str], str] = {}
    for file, kept in resources.items():
        other = seen.setdefault((kept.type, kept.url, kept.version), file)
        if other != file and kept.url and kept.content != "fragment":
            raise WrongPackage(f"{label} cannot be used: {other} and {file} define the same {kept.type}, {kept.url}.")


def defines(definitions: Definitions, type_: str) -> bool:
    """Whether resources of this type define something: they have a canonical url, or are a NamingSystem."""
    return type_ == "NamingSystem" or definitions.type(type_).elements.keys() >= {"url", "version", "status", "name"}


# ---- building ------------------------------------------------------------------------------------


def build_package(guide: Guide, known: Registry) -> tuple[str, bytes]:
    """The guide as a package: its file name, and its bytes. `known` is R4 and the guide.

    Raises WrongPackage when the guide has no manifest, its name and version are no good, or a profile has no snapshot.
    """
    try:
        body: bytes | None = (guide.folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        body = None
    manifest = _manifest(body, guide.folder)
    try:
        resources = published(guide, known)
    except WrongGuide as wrong:
        raise WrongPackage(str(wrong)) from None
    contents = {f"{key.replace('/', '-')}.json": codec.dumps(resource) for key, resource in resources.items()}
    files = {f"{FOLDER}/{MANIFEST}": orjson.dumps(manifest, option=orjson.OPT_INDENT_2)}
    files |= dict(_with_index(FOLDER, contents))
    files |= dict(_with_index(f"{FOLDER}/example", dict(guide.examples())))
    return f"{manifest['name']}-{manifest['version']}.tgz", _tgz(files)


def _with_index(folder: str, contents: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """The files of a folder, with the index that tells what they are."""
    rows = []
    for name, body in sorted(contents.items()):
        head = orjson.loads(body)
        row = {key: head[key] for key in _INDEXED if isinstance(head.get(key), str)}
        rows.append({"filename": name, **row})
        yield f"{folder}/{name}", body
    if rows:
        index = {"index-version": _INDEX_VERSION, "files": rows}
        yield f"{folder}/.index.json", orjson.dumps(index, option=orjson.OPT_INDENT_2)


def _tgz(files: Mapping[str, bytes]) -> bytes:
    """These files, the manifest first; nothing in it tells when, where or by whom it was made."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", fileobj=packed, mode="wb", compresslevel=9, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            member.mode = 0o644
            tar.addfile(member, io.BytesIO(body))
    return packed.getvalue()
