"""What is read and written: a letter to a person from the examples (a PHB Communication, 1.5 KB), each time with a number of its own.

No rule of money or plans has anything to say of it: what purchases cost is measured by itself (`purchases`).
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from typing import Any

import uuid_utils

from phb_fhir.data import data_path
from phb_fhir.fhir.codec import dumps, loads

TRANSACTION_ENTRIES = 100
TYPE = "Communication"

_NUMBER = "LET-%012d"
_FIRST = _NUMBER % 0

_numbers = itertools.count(1)


def letter(number: str = _FIRST) -> dict[str, Any]:
    """The letter, as a client sends it."""
    identifier = [{"system": "https://letters.example/number", "value": number}]
    return {**_example("Communication-jill-information-given"), "identifier": identifier}


def request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    """The bytes of an HTTP request."""
    lines = [f"{method} /fhir{path} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/fhir+json", *headers]
    if body:
        lines += ["Content-Type: application/fhir+json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def creates() -> Iterator[bytes]:
    """Requests that create the letter, never twice with the same number."""
    before, after = request("POST", f"/{TYPE}", dumps(letter())).split(_FIRST.encode())
    for number in _numbers:
        yield before + (_NUMBER % number).encode() + after


def documents(first: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What the server stored for the first letter, again and again, each with an id and a number of its own."""
    for number in _numbers:
        id_ = str(uuid_utils.uuid7())  # the server's own kind, because neighbours in an index are cheaper
        yield _renewed(first, {first["id"]: id_, _FIRST: _NUMBER % number})


def _renewed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        for old, new in names.items():
            value = value.replace(old, new)
        return value
    if isinstance(value, list):
        return [_renewed(item, names) for item in value]
    return {key: _renewed(item, names) for key, item in value.items()} if isinstance(value, dict) else value


def transactions() -> Iterator[bytes]:
    """Requests of one transaction each: a person and letters to them, which refer to them by urn:uuid."""
    while True:
        jill, person = _urn(), _example("Patient-jill")
        entries = [_entry(jill, person)]
        for number in itertools.islice(_numbers, TRANSACTION_ENTRIES - 1):
            sent = letter(_NUMBER % number)
            sent["subject"]["reference"] = jill
            entries.append(_entry(_urn(), sent))
        yield request("POST", "", dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}))


def _example(name: str) -> dict[str, Any]:
    made: dict[str, Any] = loads((data_path("examples") / "jill" / f"{name}.json").read_bytes(), depth_max=64)
    del made["id"]
    return made


def _entry(urn: str, resource: dict[str, Any]) -> dict[str, Any]:
    return {"fullUrl": urn, "resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}


def _urn() -> str:
    return f"urn:uuid:{uuid.uuid4()}"
