"""What is read and written: a purchase from the examples, about 2 KB, each time with a reference of its own."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from typing import Any

import orjson
import uuid_utils

from phb_fhir.data import data_path

TRANSACTION_ENTRIES = 100
TYPE = "ChargeItem"

_REFERENCE = "PUR-%012d"
_FIRST = _REFERENCE % 0

_numbers = itertools.count(1)


def purchase(reference: str = _FIRST) -> dict[str, Any]:
    """The purchase, as a client sends it."""
    made = _example("ChargeItem-jill-swimming-2026-10")
    made["identifier"][0]["value"] = reference
    return made


def request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    """The bytes of an HTTP request."""
    lines = [f"{method} /fhir{path} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/fhir+json", *headers]
    if body:
        lines += ["Content-Type: application/fhir+json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def creates() -> Iterator[bytes]:
    """Requests that create the purchase, never twice with the same reference."""
    before, after = request("POST", f"/{TYPE}", orjson.dumps(purchase())).split(_FIRST.encode())
    for number in _numbers:
        yield before + (_REFERENCE % number).encode() + after


def documents(first: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the server stored for the first purchase, again and again, each with an id and a reference of its own."""
    text = orjson.dumps({**first, "at": None}).decode()
    for number in _numbers:
        id_ = str(uuid_utils.uuid7())  # the server's own kind, because neighbours in an index are cheaper
        made = orjson.loads(text.replace(first["id"], id_).replace(_FIRST, _REFERENCE % number))
        yield {**made, "at": first["at"]}


def transactions() -> Iterator[bytes]:
    """Requests of one transaction each: a person and their purchases, which refer to them by urn:uuid."""
    while True:
        jill, person = _urn(), _example("Patient-jill")
        entries = [_entry(jill, person)]
        for number in itertools.islice(_numbers, TRANSACTION_ENTRIES - 1):
            bought = purchase(_REFERENCE % number)
            bought["subject"]["reference"] = jill
            entries.append(_entry(_urn(), bought))
        yield request("POST", "", orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}))


def _example(name: str) -> dict[str, Any]:
    made: dict[str, Any] = orjson.loads((data_path("examples") / "jill" / f"{name}.json").read_bytes())

    del made["id"]
    return made


def _entry(urn: str, resource: dict[str, Any]) -> dict[str, Any]:
    return {"fullUrl": urn, "resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}


def _urn() -> str:
    return f"urn:uuid:{uuid.uuid4()}"
