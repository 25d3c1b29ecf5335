"""`phb-fhir payments`: what is due is written for the bank, and what the bank says of it recorded.

It asks a running server ($payment-run, $payment-results), as whoever the token says. Bank accounts come from a file on this machine and go to
the server with the request; the record keeps none of them.
"""

from __future__ import annotations

import csv
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

import httpx
import orjson
import typer

from phb_fhir.rules.budget import LONDON
from phb_fhir.settings import Settings, WrongSetting

EXIT_REFUSED = 2
ASKED_MAX_S = 300.0
ACCOUNTS_MAX = 10_000  # rows of the file
COLUMNS = ("holder", "name", "sort-code", "account-number")
_FHIR_JSON = "application/fhir+json"


class Server(NamedTuple):
    """Which server is asked, and as whom: a token, or "" where nobody needs one."""

    address: str
    token: str


def server_of(settings: Settings, address: str | None, token: str) -> Server:
    return Server((address or settings.api_url).rstrip("/"), token)


def run(server: Server, issuer: str, accounts: Path, out: Path, *, until: str, name: str, advances: bool) -> int:
    """Writes the message to `out`, and says what it pays; gives the code to end with. Raises WrongSetting for the file of accounts.

    A run that is given no name gets one here, and not by the server: where the answer is lost, the payments may be marked as sent, and the
    message is to be had by this name alone.
    """
    given = list(read_accounts(accounts))
    if not name:
        name = f"PHB-{until.replace('-', '') or datetime.now(LONDON).strftime('%Y%m%d')}-{token_hex(4)}"
        typer.echo(f"Run {name} begins. Should it be cut off, ask for it again: --run {name}", err=True)
    rows: list[dict[str, Any]] = [
        {"name": "issuer", "valueReference": {"reference": issuer}},
        {"name": "advances", "valueBoolean": advances},
        *({"name": "date", "valueDate": until} for _ in range(bool(until))),
        {"name": "run", "valueString": name},
        *(_account(one) for one in given),
    ]
    answer = _asked(server, "$payment-run", rows)
    if answer is None:
        return EXIT_REFUSED
    document = _one(answer, "document")
    if document:
        _write(out, b64decode(document), name)
    for line in _told_of_run(answer, out):
        typer.echo(line)
    return 0


def results(server: Server, report: Path) -> int:
    """Records what a pain.002 says, and says what became of each payment; gives the code to end with."""
    try:
        document = report.read_bytes()
    except OSError as error:
        raise WrongSetting(f"{report} cannot be read: {error.strerror}") from None
    rows = [{"name": "document", "valueBase64Binary": b64encode(document).decode()}]
    answer = _asked(server, "$payment-results", rows)
    if answer is None:
        return EXIT_REFUSED
    for line in _told_of_results(answer):
        typer.echo(line)
    return 1 if _parts(answer, "left-out") else 0


def read_accounts(path: Path) -> list[dict[str, str]]:
    """The rows of a file of bank accounts: comma-separated, with a heading. Raises WrongSetting."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                text = f"{path} has a heading with the columns {', '.join(COLUMNS)}; {missing[0]} is missing."
                raise WrongSetting(text)
            rows = [{name: (one.get(name) or "").strip() for name in COLUMNS} for one in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise WrongSetting(f"{path} cannot be read: {error}") from None
    if len(rows) > ACCOUNTS_MAX:
        raise WrongSetting(f"{path} has {len(rows)} rows; up to {ACCOUNTS_MAX} are taken.")
    return rows


def _account(row: dict[str, str]) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"name": "holder", "valueReference": {"reference": row["holder"]}}]
    parts += [{"name": name, "valueString": row[name]} for name in COLUMNS[1:] if row[name]]
    return {"name": "account", "part": parts}


def _asked(server: Server, operation: str, rows: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """What the server answers; None where it refuses, which is said with its reasons."""
    address = f"{server.address}/PaymentReconciliation/{operation}"
    headers = {"Content-Type": _FHIR_JSON, "Accept": _FHIR_JSON}
    headers |= {"Authorization": f"Bearer {server.token}"} if server.token else {}
    body = orjson.dumps({"resourceType": "Parameters", "parameter": list(rows)})
    try:
        answer = httpx.post(address, content=body, headers=headers, timeout=ASKED_MAX_S, follow_redirects=False)
        said: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        typer.echo(f"phb-fhir: {address} gives no answer of a FHIR server: {error}", err=True)
        return None
    if answer.status_code == 200:
        return said
    for issue in said.get("issue", []):
        typer.echo(f"phb-fhir: {issue.get('diagnostics', issue.get('code'))}", err=True)
    return None


def _write(out: Path, document: bytes, name: str) -> None:
    """All of it or nothing, for its owner's eyes alone: there are bank accounts in it."""
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(document)
        beside.replace(out)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        text = f"{out} cannot be written: {error.strerror}. The payments are marked as sent: ask for the same run again, with --run {name}."
        raise WrongSetting(text) from None


def _told_of_run(answer: dict[str, Any], out: Path) -> Iterator[str]:
    name, payments = _one(answer, "run"), _all(answer, "payment")
    if payments:
        total = _one(answer, "total")["value"]
        yield f"Run {name}: {len(payments)} payments, £{total:,.2f}, in {out}"
    else:
        yield f"Run {name}: nothing to be paid; no file was written."
    for parts in _parts(answer, "left-out"):
        yield f"Left out: {_said(parts)}"


def _told_of_results(answer: dict[str, Any]) -> Iterator[str]:
    yield f"Run {_one(answer, 'run')}"
    for name, said in (("complete", "Paid"), ("failed", "Failed")):
        for one in _all(answer, name):
            yield f"{said}: {one.get('reference')}"
    for name, said in (("waiting", "Waiting"), ("left-out", "Not recorded")):
        for parts in _parts(answer, name):
            yield f"{said}: {_said(parts)}"


def _said(parts: Sequence[dict[str, Any]]) -> str:
    what = next((one["valueReference"]["reference"] for one in parts if one["name"] == "what"), "")
    why = next((one["valueString"] for one in parts if one["name"] == "reason"), "")
    return ": ".join(one for one in (what, why) if one)


def _all(answer: dict[str, Any], name: str) -> list[Any]:
    rows = [one for one in answer.get("parameter", ()) if one.get("name") == name]
    return [value for one in rows for key, value in one.items() if key.startswith("value")]


def _one(answer: dict[str, Any], name: str) -> Any:
    return next(iter(_all(answer, name)), None)


def _parts(answer: dict[str, Any], name: str) -> list[list[dict[str, Any]]]:
    return [one["part"] for one in answer.get("parameter", ()) if one.get("name") == name and "part" in one]
