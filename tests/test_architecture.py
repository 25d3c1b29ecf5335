"""The direction of the house, held by reading every import: a room imports only from rows below its own.

`ROWS` is the table of `docs/architecture.md`. A module in a room that has no row fails here, which is the wish: whoever
builds a new room decides where it stands. The last tests show that each rule can be broken, and is then told of.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "phb_fhir"
DOCUMENT = ROOT / "docs" / "architecture.md"

ROWS = (
    ("cli",),
    ("app",),
    ("wire", "web", "delivery"),
    ("operations",),
    ("reports",),
    ("interactions",),
    ("store", "security"),
    ("rules", "validation", "search"),
    ("fhirpath",),
    ("definitions",),
    ("fhir", "change", "query"),
    ("outcome", "settings", "data"),
)
APART = "client"  # the typed client of an integrator: it knows nothing of the server
VERSION = "__version__"  # the package's own name for itself, which everyone may say

# neighbours on one row that know each other on purpose
CROSSINGS = {
    ("change", "fhir"): "a change holds a resource, and a resource's type is fhir's to name",
    ("change", "query"): "a conditional change holds the query that finds its target",
    ("store", "security"): "the store keeps the blocks of the audit trail, whose chain is security's to define",
}

# where a library may be imported at all
LIBRARIES = {
    "pymongo": {"store"},
    "bson": {"store"},
    "starlette": {"wire", "web", "app"},
    "fastapi": {"wire", "web", "app"},
    "httpx": {"delivery", "security", "client", "cli"},  # cli asks our own API at the start whether it is there
    "fhir.resources": {"client"},
}
PURE = ("rules", "validation", "search", "fhirpath", "fhir")  # they decide: no waiting, no clock, no chance
CLOCKS_AND_CHANCE = frozenset({"asyncio", "random", "secrets", "time", "uuid", "uuid_utils"})
READINGS = frozenset({"now", "utcnow", "today"})

RANK = {room: rank for rank, row in enumerate(ROWS) for room in row}


class Import(NamedTuple):
    file: str
    room: str
    module: str

    @property
    def target(self) -> str:
        """The room that is imported from; "" for a library."""
        parts = self.module.split(".")
        return "" if parts[0] != "phb_fhir" else (*parts, VERSION)[1]


class Said(NamedTuple):
    """What a module says that a rule asks about: what it imports, and by line where it waits or looks at the clock."""

    imports: tuple[ast.Import | ast.ImportFrom, ...]
    waits: tuple[tuple[int, str], ...]


def imports(package: Path) -> Iterator[Import]:
    for path, room, said in modules(package):
        for node in said.imports:
            for module in _imported(node, path, package):
                yield Import(str(path.relative_to(package)), room, module)


def modules(package: Path) -> Iterator[tuple[Path, str, Said]]:
    """Each module with its room: its folder, or at the top its own name. `phb_fhir/__init__` has none."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts != ("__init__",):
            yield path, parts[0], _said(path.read_text())


@cache
def _said(text: str) -> Said:
    nodes = list(ast.walk(ast.parse(text)))
    return Said(tuple(node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)), tuple(_waits(nodes)))


def _imported(node: ast.Import | ast.ImportFrom, path: Path, package: Path) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    module = node.module or ""
    if node.level:
        home = ("phb_fhir", *path.relative_to(package).parent.parts)
        module = ".".join([*home[: len(home) - node.level + 1], *([module] if module else [])])
    names_rooms = module == "phb_fhir"
    return [f"{module}.{alias.name}" for alias in node.names] if names_rooms else [module]


def unlisted(package: Path) -> list[str]:
    return sorted({room for _, room, _ in modules(package)} - set(RANK) - {APART})


def upward(package: Path) -> list[str]:
    """Every import that does not go down, in words."""
    return [f"{one.file} imports {one.module}" for one in imports(package) if one.target and not _goes_down(one)]


def _goes_down(one: Import) -> bool:
    if one.target in (one.room, VERSION) or (one.room, one.target) in CROSSINGS:
        return True
    if APART in (one.room, one.target):
        return False
    return RANK[one.room] < RANK[one.target]


def misplaced(package: Path) -> list[str]:
    """Every import of a library in a room that is not for it."""
    return [
        f"{one.file} imports {one.module}"
        for one in imports(package)
        for library, rooms in LIBRARIES.items()
        if f"{one.module}.".startswith(f"{library}.") and one.room not in rooms
    ]


def impure(package: Path) -> list[str]:
    """Every wait, clock and die in a room that only decides."""
    found = [
        f"{one.file} imports {one.module}"
        for one in imports(package)
        if one.room in PURE and one.module.split(".")[0] in CLOCKS_AND_CHANCE
    ]
    for path, room, said in modules(package):
        if room in PURE:
            found += [f"{path.relative_to(package)}:{line} {what}" for line, what in said.waits]
    return found


def _waits(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    for node in nodes:
        if isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith):
            yield node.lineno, "waits"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READINGS:
            yield node.lineno, "looks at the clock"


# ---- the house ---------------------------------------------------------------------------------------------------


def test_every_room_has_a_row():
    assert unlisted(PACKAGE) == []


def test_every_import_goes_down():
    assert upward(PACKAGE) == []


def test_every_library_stays_where_it_belongs():
    assert misplaced(PACKAGE) == []


def test_rooms_that_decide_neither_wait_nor_look_at_a_clock_nor_roll_dice():
    assert impure(PACKAGE) == []


def test_every_crossing_is_still_walked():
    assert {(one.room, one.target) for one in imports(PACKAGE)} >= set(CROSSINGS)


def test_the_document_shows_the_same_rows():
    blocks = re.findall(r"```\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    shown = [tuple(row.split(" · ")) for row in next(b for b in blocks if b.startswith("cli\n")).splitlines()]
    assert shown == list(ROWS)


# ---- each rule can be broken -------------------------------------------------------------------------------------


@pytest.fixture
def house(tmp_path: Path) -> Path:
    for name in ("wire/api.py", "store/store.py", "search/parse.py", "client/client.py", "outcome.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


def test_an_empty_house_has_nothing_wrong(house):
    assert [unlisted(house), upward(house), misplaced(house), impure(house)] == [[], [], [], []]


def test_a_new_room_without_a_row_is_found(house):
    (house / "attic").mkdir()
    (house / "attic" / "trunk.py").write_text("")
    (house / "cellar.py").write_text("")
    assert unlisted(house) == ["attic", "cellar"]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("store/store.py", "from phb_fhir.wire.api import FhirApi"),
        ("store/store.py", "import phb_fhir.wire.api"),
        ("store/store.py", "from phb_fhir import wire"),
        ("store/store.py", "from ..wire import api"),
        ("wire/api.py", "from phb_fhir.web.routes import ROUTES"),
        ("wire/api.py", "def late():\n    from phb_fhir.app import create"),
        ("outcome.py", "from phb_fhir.settings import Settings"),
        ("client/client.py", "from phb_fhir.outcome import Issue"),
        ("wire/api.py", "from phb_fhir.client.client import Client"),
    ],
)
def test_an_import_that_does_not_go_down_is_found(house, file, line):
    (house / file).write_text(line)
    assert len(upward(house)) == 1


@pytest.mark.parametrize(
    "line",
    [
        "from phb_fhir.search.parse import Search",
        "from phb_fhir import __version__",
        "from phb_fhir import outcome",
        "from .faults import translated",
        "import json",
    ],
)
def test_an_import_that_goes_down_is_left_alone(house, line):
    (house / "store" / "store.py").write_text(line)
    assert upward(house) == []


def test_a_library_in_the_wrong_room_is_found(house):
    (house / "search" / "parse.py").write_text("import pymongo.errors\nfrom starlette.requests import Request")
    (house / "store" / "store.py").write_text("import pymongo\nfrom bson import ObjectId")
    assert misplaced(house) == [
        "search/parse.py imports pymongo.errors",
        "search/parse.py imports starlette.requests",
    ]


@pytest.mark.parametrize(
    "code",
    [
        "async def find(): ...",
        "import random",
        "from time import sleep",
        "from datetime import date\ndef today():\n    return date.today()",
        "from datetime import UTC, datetime\nNOW = datetime.now(UTC)",
    ],
)
def test_a_room_that_waits_or_looks_at_the_clock_is_found(house, code):
    (house / "search" / "parse.py").write_text(code)
    (house / "wire" / "api.py").write_text(code)  # where it is allowed
    assert [line.partition(".")[0] for line in impure(house)] == ["search/parse"]
