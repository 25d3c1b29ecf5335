"""What a piece of evidence says of its file is so, and only files of a kind and size that are taken are evidence (R16)."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import httpx
import pytest

from phb_fhir.rules.evidence import is_evidence
from phb_fhir.rules.words import BASE
from tests.running import RunningServer

FILE = b"Receipt: massage, GBP 45.00"
PDF = "application/pdf"


def attachment(**more: Any) -> dict[str, Any]:
    digest = base64.b64encode(hashlib.sha1(FILE, usedforsecurity=False).digest()).decode()
    data = base64.b64encode(FILE).decode()
    return {"contentType": "text/plain", "data": data, "size": len(FILE), "hash": digest, **more}


def document(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": {"coding": [{"system": f"{BASE}/CodeSystem/phb-evidence-type", "code": "receipt"}]},
        "subject": {"reference": "Patient/jill"},
        "date": "2026-11-21T10:00:00Z",
        "content": [{"attachment": attachment(**more)}],
    }


def said(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 422, answer.text
    return [(issue["diagnostics"], issue["expression"][0].rpartition(".")[2]) for issue in answer.json()["issue"]]


def test_evidence_that_says_what_is_so_is_kept(api: httpx.Client) -> None:
    assert api.post("/DocumentReference", json=document()).status_code == 201


WRONG = [
    ({"size": 3}, "size", f"The data are {len(FILE)} bytes before base64"),  # as of any attachment
    ({"hash": "AAAA"}, "hash", "The file's hash (SHA-1, base64) is "),
    (
        {"contentType": "application/x-msdownload"},
        "contentType",
        "Evidence of the type application/x-msdownload is not taken here",
    ),
]


@pytest.mark.parametrize(("more", "place", "why"), WRONG)
def test_evidence_that_says_what_is_not_so_is_refused(
    api: httpx.Client, more: dict[str, Any], place: str, why: str
) -> None:
    ((text, at),) = said(api.post("/DocumentReference", json=document(**more)))
    assert at == place
    assert text.startswith(why)


def pointing(key: str, **more: Any) -> dict[str, Any]:
    made = document(url=key, **more)
    del made["content"][0]["attachment"]["data"]
    return made


def test_a_file_that_is_kept_here_is_compared_with_what_is_said_of_it(api: httpx.Client) -> None:
    made = api.post("/Binary", content=FILE, headers={"Content-Type": PDF})
    key = f"Binary/{made.headers['location'].split('/Binary/')[1].split('/')[0]}"
    assert api.post("/DocumentReference", json=pointing(key, contentType=PDF)).status_code == 201
    assert [at for _, at in said(api.post("/DocumentReference", json=pointing(key)))] == ["contentType"]
    assert [at for _, at in said(api.post("/DocumentReference", json=pointing(key, contentType=PDF, size=1)))] == [
        "size"
    ]
    assert said(api.post("/DocumentReference", json=pointing("Binary/nowhere"))) == [
        ("There is no Binary/nowhere.", "url")
    ]


def test_a_file_and_its_evidence_may_come_in_one_transaction(api: httpx.Client) -> None:
    uuid = "urn:uuid:8f0c5a8e-7a51-4a29-9d0e-0d3f0ce3f0aa"
    binary = {"resourceType": "Binary", "contentType": PDF, "data": base64.b64encode(FILE).decode()}
    for size, status in ((1, 422), (len(FILE), 200)):
        entries = [
            {"fullUrl": uuid, "resource": binary, "request": {"method": "POST", "url": "Binary"}},
            {
                "resource": pointing(uuid, contentType=PDF, size=size),
                "request": {"method": "POST", "url": "DocumentReference"},
            },
        ]
        answer = api.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
        assert answer.status_code == status, answer.text


def test_what_is_no_evidence_may_be_of_any_kind(api: httpx.Client) -> None:
    letter = document(contentType="application/x-msdownload", hash="AAAA")
    letter["type"] = {"text": "A letter"}
    assert not is_evidence(letter)
    assert api.post("/DocumentReference", json=letter).status_code == 201


def test_the_settings_say_how_large_and_of_which_kinds(mongodb_uri: str, database_name: str) -> None:
    headers = {"Content-Type": "application/fhir+json"}
    limits = {"evidence_bytes_max": len(FILE) - 1, "evidence_types": ()}
    with (
        RunningServer(mongodb_uri, database_name, **limits) as server,
        httpx.Client(base_url=server.base, headers=headers) as api,
    ):
        ((text, _),) = said(api.post("/DocumentReference", json=document(contentType="application/x-msdownload")))
        assert text == f"The file has {len(FILE)} bytes; at most {len(FILE) - 1} are taken."
