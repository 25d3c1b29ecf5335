"""What is read and written: a purchase from the examples, about 2 KB, each time with a reference of its own."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from typing import Any

import uuid_utils

from phb_fhir.data import data_path
from phb_fhir.fhir.codec import dumps, loads

TRANSACTION_ENTRIES = 100
TYPE = "ChargeItem"

_REFERENCE = "PUR-%012d"
_FIRST = _REFERENCE % 0

_numbers = itertools.count(1)


def purchase(reference: str = _FIRST) -> dict[str, Any]:
    """The purchase, as a client sends it."""
    made = _example("ChargeItem-jill-swimming-2026-10")
    made["identifier"][0]["value"] = reference
    del made["account"]  # charged to nobody: what purchases from a budget cost is measured by itself (`purchases`)
    return made


def request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    """The bytes of an HTTP request."""
    lines = [f"{method} /fhir{path} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/fhir+json", *headers]
    if body:
        lines += ["Content-Type: application/fhir+json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def creates() -> Iterator[bytes]:
    """Requests that create the purchase, never twice with the same reference."""
    before, after = request("POST", f"/{TYPE}", dumps(purchase())).split(_FIRST.encode())
    for number in _numbers:
        yield before + (_REFERENCE % number).encode() + after


def documents(first: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the server stored for the first purchase, again and again, each with an id and a reference of its own."""
    for number in _numbers:
        id_ = str(uuid_utils.uuid7())  # the server's own kind, because neighbours in an index are cheaper
        yield _renewed(first, {first["id"]: id_, _FIRST: _REFERENCE % number})


def _renewed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        for old, new in names.items():
            value = value.replace(old, new)
        return value
    if isinstance(value, list):
        return [_renewed(item, names) for item in value]
    return {key: _renewed(item, names) for key, item in value.items()} if isinstance(value, dict) else value


def transactions() -> Iterator[bytes]:
    """Requests of one transaction each: a person and their purchases, which refer to them by urn:uuid."""
    while True:
        jill, person = _urn(), _example("Patient-jill")
        entries = [_entry(jill, person)]
        for number in itertools.islice(_numbers, TRANSACTION_ENTRIES - 1):
            bought = purchase(_REFERENCE % number)
            bought["subject"]["reference"] = jill
            entries.append(_entry(_urn(), bought))
        yield request("POST", "", dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}))


def _example(name: str) -> dict[str, Any]:
    made: dict[str, Any] = loads((data_path("examples") / "jill" / f"{name}.json").read_bytes(), depth_max=64)
    del made["id"]
    return made


def _entry(urn: str, resource: dict[str, Any]) -> dict[str, Any]:
    return {"fullUrl": urn, "resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}


def _urn() -> str:
    return f"urn:uuid:{uuid.uuid4()}"
