"""`phb-fhir validate`: what is wrong with these files, without a server and without a database.

Paths become `Piece`s, one for each resource: a file, a line of NDJSON, standard input. Each piece gets a `Verdict` from
the same validator that judges writes, with what R4, `profiles/` and the packages given say. Verdicts are reported as
they come, for a person (`text`) or a program (`json`), so that a large export need not fit in memory.

What cannot be read as a resource is a problem of that piece like any other. Only what makes the question itself
impossible ends the command with code 2: a path that is not there, a package that cannot be read, a profile nobody knows.
"""

from __future__ import annotations

import gzip
import os
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from phb_fhir.data import data_path
from phb_fhir.definitions.guide import read_guide
from phb_fhir.definitions.load import load
from phb_fhir.definitions.package import WrongPackage, read_package
from phb_fhir.definitions.registry import Registry
from phb_fhir.fhir import codec
from phb_fhir.outcome import Issue, Kind, Rejected, outcome_of
from phb_fhir.settings import Settings
from phb_fhir.validation.validate import validate as problems_of

STANDARD_INPUT = Path("-")
SUFFIXES = (
    ".json",
    ".ndjson",
    ".ndjson.gz",
)  # what is looked at in a folder; a file that is named is read whatever it is called
GOOD, WRONG, IMPOSSIBLE = 0, 1, 2
_CHUNK_BYTES = 1_000_000
_COLOURS = {"fatal": "bold red", "error": "red", "warning": "yellow", "information": "cyan"}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class CannotValidateError(Exception):
    """The question cannot be put; its text is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One resource to be: its bytes, or why there are none. `took` is how many bytes of the file it stands for."""

    source: str
    body: bytes
    problem: str = ""
    took: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one piece; `type` and `id` are empty where it does not say."""

    source: str
    type: str
    id: str
    issues: Sequence[Issue]

    @property
    def has_errors(self) -> bool:
        return any(issue.is_error for issue in self.issues)


@dataclass(slots=True)
class Totals:
    """What is counted on the way."""

    resources: int = 0
    with_errors: int = 0
    issues: Counter[str] = field(default_factory=Counter)

    def count(self, verdict: Verdict) -> None:
        self.resources += 1
        self.with_errors += verdict.has_errors
        self.issues.update("error" if issue.is_error else issue.severity for issue in verdict.issues)


def validate(
    paths: Sequence[Path], profiles: Sequence[str], packages: Sequence[Path], settings: Settings, *, as_json: bool
) -> int:
    """Report on `paths`, on standard output; the exit code: 0 no errors, 1 errors, 2 the question cannot be put."""
    out = Console()
    try:
        files = list(_files(paths))
        known = _known(packages)
        _refuse_unknown(profiles, known)
    except (CannotValidateError, WrongPackage) as reason:
        Console(stderr=True).print(f"phb-fhir: {reason}", style=None, markup=False, highlight=False, soft_wrap=True)
        return IMPOSSIBLE
    totals = Totals()
    report: _Report = _JsonReport() if as_json else _TextReport(out)
    with _progress(files, out) as advance:
        report.begin()
        for piece in _pieces(files, settings.body_bytes_max):
            verdict = judge(piece, profiles, known, settings.depth_max)
            totals.count(verdict)
            report.tell(verdict)
            advance(piece.took)
    report.end(totals)
    return WRONG if totals.with_errors else GOOD


def judge(piece: Piece, profiles: Sequence[str], known: Registry, depth_max: int) -> Verdict:
    """Read one piece and hold it against FHIR and its profiles."""
    if piece.problem:
        return Verdict(piece.source, "", "", [Issue(Kind.STRUCTURE, piece.problem)])
    try:
        resource = codec.as_resource(codec.loads(piece.body, depth_max=depth_max))
    except Rejected as rejected:
        return Verdict(piece.source, "", "", rejected.issues)
    issues = problems_of(resource, known.definitions, profiles, known=known, today=_today)
    id_ = resource.get("id")
    return Verdict(piece.source, str(resource["resourceType"]), id_ if isinstance(id_, str) else "", issues)


def _today() -> date:
    return datetime.now().astimezone().date()


# ---- what is known ---------------------------------------------------------------------------------------------------


def _known(packages: Sequence[Path]) -> Registry:
    """R4, our own guide, and what the packages bring. Raises WrongPackage."""
    definitions = load()
    brought = (kept for file in packages for kept in read_package(file, definitions).resources.values())
    return Registry.of(definitions, [*read_guide(data_path("profiles")).resources, *brought])


def _refuse_unknown(profiles: Sequence[str], known: Registry) -> None:
    for profile in profiles:
        if known.structure(profile) is None:
            why = known.structure_problem(profile) or (
                f"The profile {profile} is not known here. A package that has it is given with --package FILE.tgz."
            )
            raise CannotValidateError(why)


# ---- what there is to read -------------------------------------------------------------------------------------------


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files that are meant: those named, and those of the folders that are, in an order that is always the same."""
    for path in paths:
        if path == STANDARD_INPUT:
            yield path
        elif path.is_dir():
            inside = sorted(_inside(path))
            if not inside:
                raise CannotValidateError(f"There is no {' or '.join(SUFFIXES)} file in {_label(path)}.")
            yield from inside
        elif path.exists():
            if not os.access(path, os.R_OK):
                raise CannotValidateError(f"{_label(path)} may not be read by this user.")
            yield path
        else:
            raise CannotValidateError(f"There is no file or folder {_label(path)}.")


def _inside(folder: Path) -> Iterator[Path]:
    """What a folder and those below it hold for us; hidden ones, and links to other folders, are left alone."""
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(here, name) for name in names if name.endswith(SUFFIXES) and not name.startswith("."))


def _pieces(files: Iterable[Path], bytes_max: int) -> Iterator[Piece]:
    for file in files:
        label = "standard input" if file == STANDARD_INPUT else _label(file)
        try:
            yield from _pieces_of(file, label, bytes_max)
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            yield Piece(label, b"", f"The file cannot be read: {reason}.")


def _pieces_of(file: Path, label: str, bytes_max: int) -> Iterator[Piece]:
    if file == STANDARD_INPUT:
        yield from _input(sys.stdin.buffer, label, bytes_max)
    elif file.name.endswith(".ndjson.gz"):
        with file.open("rb") as raw, gzip.open(raw) as lines:
            yield from _lines(lines, raw, label, bytes_max)
    elif file.name.endswith(".ndjson"):
        with file.open("rb") as lines:
            yield from _lines(lines, lines, label, bytes_max)
    else:
        with file.open("rb") as content:
            body = content.read(bytes_max + 1)
        yield _whole(label, body, bytes_max)


def _whole(label: str, body: bytes, bytes_max: int) -> Piece:
    if len(body) > bytes_max:
        return Piece(label, b"", _too_large("The file", bytes_max), len(body))
    return Piece(label, body, took=len(body))


def _input(content: IO[bytes], label: str, bytes_max: int) -> Iterator[Piece]:
    """Standard input is lines of resources when the first is an object by itself, and else one resource."""
    first = content.readline(bytes_max + 1)
    if _is_object(first):
        yield from _lines(content, None, label, bytes_max, first)
    else:
        yield _whole(label, first + content.read(max(0, bytes_max + 1 - len(first))), bytes_max)


def _is_object(line: bytes) -> bool:
    line = line.strip()
    return line.startswith(b"{") and line.endswith(b"}")


def _lines(
    lines: IO[bytes] | gzip.GzipFile, raw: IO[bytes] | None, label: str, bytes_max: int, first: bytes = b""
) -> Iterator[Piece]:
    """Each line a resource; `raw` tells how far the file was read, which a compressed one's lines do not."""
    number, told = 0, 0
    while line := (first if first and not number else lines.readline(bytes_max + 1)):
        number += 1
        too_large = len(line) > bytes_max
        while too_large and not line.endswith(b"\n"):
            line = lines.readline(_CHUNK_BYTES) or b"\n"
        at = raw.tell() if raw is not None else 0
        took, told = at - told, at
        if too_large:
            yield Piece(f"{label}:{number}", b"", _too_large("The line", bytes_max), took)
        elif line.strip():
            yield Piece(f"{label}:{number}", line, took=took)


def _too_large(what: str, bytes_max: int) -> str:
    return f"{what} is larger than the {bytes_max} bytes that are read of one resource (PHB_BODY_BYTES_MAX)."


def _label(path: Path) -> str:
    """A path as text; bytes in its name that are no UTF-8 are spelled out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


# ---- telling ---------------------------------------------------------------------------------------------------------


class _Report(Protocol):
    def begin(self) -> None: ...
    def tell(self, verdict: Verdict) -> None: ...
    def end(self, totals: Totals) -> None: ...


class _TextReport:
    """For a person: what has problems, each problem on its line, and a line of sums."""

    def __init__(self, out: Console) -> None:
        self._out = out

    def begin(self) -> None:
        pass

    def tell(self, verdict: Verdict) -> None:
        if not verdict.issues:
            return
        name = f"{verdict.type}/{verdict.id}" if verdict.id else verdict.type
        self._say(Text.assemble((_plain(verdict.source), "bold"), f"  {_plain(name)}" if name else ""))
        for issue in verdict.issues:
            where = f"{_plain(issue.expression)}: " if issue.expression else ""
            severity = (f"  {issue.severity:<11} ", _COLOURS[issue.severity])
            self._say(Text.assemble(severity, (where, "bold"), _plain(issue.text)))

    def end(self, totals: Totals) -> None:
        errors, warnings = totals.issues["error"], totals.issues["warning"]
        text = f"{_number(totals.resources, 'resource')}, {totals.with_errors} with errors: "
        text += f"{_number(errors, 'error')}, {_number(warnings, 'warning')}"
        self._say(Text(text, style="red" if errors else "green"))

    def _say(self, text: Text) -> None:
        self._out.print(text, soft_wrap=True, highlight=False)


class _JsonReport:
    """For a program: one JSON object, a result a line; `issue` is as in an OperationOutcome."""

    def __init__(self) -> None:
        self._separator = ""

    def begin(self) -> None:
        self._say('{"results": [')

    def tell(self, verdict: Verdict) -> None:
        named = {"source": verdict.source, "resourceType": verdict.type, "id": verdict.id}
        row: dict[str, Any] = {key: value for key, value in named.items() if value}
        row["issue"] = outcome_of(list(verdict.issues))["issue"]
        self._say(f"{self._separator}\n{codec.dumps(row).decode()}")
        self._separator = ","

    def end(self, totals: Totals) -> None:
        summary = {"resources": totals.resources, "withErrors": totals.with_errors}
        counts = {f"{name}s": totals.issues[name] for name in ("error", "warning")}
        remarks = {"remarks": totals.issues["information"]}
        self._say(f'\n], "summary": {codec.dumps(summary | counts | remarks).decode()}}}\n')

    @staticmethod
    def _say(text: str) -> None:
        sys.stdout.write(text)


def _plain(text: str) -> str:
    """Text of a file as it may stand on a terminal: on one line, and commanding nothing."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


class _Advance(Protocol):
    def __call__(self, took: int, /) -> None: ...


def _progress(files: Sequence[Path], out: Console) -> AbstractContextManager[_Advance]:
    """A bar on the terminal, while there is one to watch. The report goes above it where both share the screen."""
    screen = Console(stderr=True)
    if not screen.is_terminal:
        return nullcontext(lambda _: None)
    return _Bar(files, out if out.is_terminal else screen)


class _Bar:
    """How much of the files has been read."""

    def __init__(self, files: Sequence[Path], console: Console) -> None:
        columns = (
            TextColumn("Validating"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console, transient=True, redirect_stdout=False)
        known = STANDARD_INPUT not in files
        self._total = sum(file.stat().st_size for file in files if file.exists()) if known else None
        self._task: TaskID | None = None

    def __enter__(self) -> _Advance:
        self._progress.start()
        task = self._progress.add_task("", total=self._total)
        return lambda took: self._progress.advance(task, took)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
