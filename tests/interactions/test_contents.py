"""What is decoded is handed out again: the same to everybody, and changed by nobody."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import httpx

from phb_fhir.change import Version
from phb_fhir.fhir.codec import dumps
from phb_fhir.interactions.contents import content_of
from tests.stories import massage, tell

AT = datetime(2026, 11, 22, 9, tzinfo=UTC)


def version(body: bytes | None) -> Version:
    return Version("Patient", "jill", 1, AT, "PUT", body)


def everything(api: httpx.Client) -> dict[str, bytes]:
    """The exact text of all that is stored."""
    found = {}
    for type_ in ("Patient", "Account", "CarePlan", "ChargeItem", "ChargeItemDefinition", "Task", "Consent"):
        entries = api.get(f"/{type_}", params={"_count": 500}).json().get("entry", ())
        keys = [f"{type_}/{entry['resource']['id']}" for entry in entries]
        found |= {key: api.get(f"/{key}").content for key in keys}
    return found


def test_the_same_bytes_are_decoded_once() -> None:
    body = b'{"resourceType":"Patient","id":"jill"}'
    assert content_of(version(body)) is content_of(version(bytes(bytearray(body))))
    assert content_of(version(body.replace(b"jill", b"asha"))) == {"resourceType": "Patient", "id": "asha"}


def test_nothing_is_held_by_a_deletion_and_by_no_version() -> None:
    assert content_of(version(None)) == {}
    assert content_of(None) == {}


def test_what_is_too_long_to_be_kept_is_decoded_all_the_same() -> None:
    body = json.dumps({"resourceType": "Patient", "name": [{"family": "Marsh" * 10_000}]}).encode()
    assert content_of(version(body)) == json.loads(body)
    assert content_of(version(body)) is not content_of(version(body))


def test_rules_change_nothing_of_what_they_are_handed(api: httpx.Client) -> None:
    tell(api)
    for number in range(3):
        assert api.post("/ChargeItem", json=massage(f"PUR-{number}")).status_code == 201
    stored = everything(api)
    assert len(stored) > 20
    for key, body in stored.items():  # the server of the tests is in this very process, and keeps what it decoded there
        assert dumps(content_of(version(body))) == body, key
