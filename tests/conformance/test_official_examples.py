"""The 497 official examples of FHIR 4.0.1, of 111 types: put, stored, and read back unchanged, number for number.

Compared is text with text, read so that nothing is rounded and no key may change its place: numbers stay as they were
written, and an object is the list of its pairs. Only what the server must set is left out: `meta.versionId` and
`meta.lastUpdated`.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.builders import bundle, entry

EXAMPLES = Path(__file__).parents[2].parent / "shared" / "conformance" / "examples" / "r4-4.0.1-instances.ndjson.gz"
SERVERS_OWN = ("versionId", "lastUpdated")
RUN = 50  # examples that one test sends


class Example(NamedTuple):
    """`id` is "" where the example has none; three ids stand twice."""

    type: str
    id: str
    text: str


@cache
def examples() -> tuple[Example, ...]:
    with gzip.open(EXAMPLES, "rt", encoding="utf-8") as lines:
        return tuple(_example(line.strip()) for line in lines)


def _example(text: str) -> Example:
    resource = json.loads(text)
    return Example(resource["resourceType"], resource.get("id", ""), text)


def send(api, example):
    body = example.text.encode()
    if example.id:
        return api.put(f"/{example.type}/{example.id}", content=body)
    return api.post(f"/{example.type}", content=body)


def pairs(text):
    """JSON with nothing lost: each object as its pairs in order, each number as its text."""
    return json.loads(text, object_pairs_hook=tuple, parse_float=_number, parse_int=_number)


def _number(text):
    return ("number", text)


def own(read, *, keeps_id):
    """The pairs of a resource that are its own, and not set by the server."""
    kept = []
    for name, value in read:
        if name == "meta":
            meta = tuple(pair for pair in value if pair[0] not in SERVERS_OWN)
            kept += [(name, meta)] if meta else []
        elif name != "id" or keeps_id:
            kept.append((name, value))
    return kept


def unchanged(sent, came):
    read = pairs(sent)
    keeps_id = "id" in dict(read)
    return own(read, keeps_id=keeps_id) == own(pairs(came), keeps_id=keeps_id)


def test_there_are_497_of_111_types():
    assert len(examples()) == 497
    assert len({example.type for example in examples()}) == 111


@pytest.mark.parametrize("start", range(0, 497, RUN))
def test_an_example_is_stored_and_comes_back_unchanged(api, start):
    changed = []
    for example in examples()[start : start + RUN]:
        made = send(api, example)
        assert made.status_code in (200, 201), (example.text, made.text)
        version = made.headers["location"]
        current = version.partition("/_history/")[0]
        searched = api.get(f"/{example.type}?_id={current.rpartition('/')[2]}").text
        texts = [made.text, api.get(version).text, api.get(current).text]
        if not all(unchanged(example.text, text) for text in texts) or texts[0] not in searched:
            changed.append(version)
    assert changed == []


@pytest.mark.parametrize("start", range(0, 497, 5 * RUN))
def test_an_example_that_came_in_a_transaction_comes_back_unchanged(api, start):
    some = {f"{one.type}/{one.id}": one for one in examples()[start : start + 5 * RUN] if one.id}
    # the entries keep their text: a Bundle of dicts would lose what is to be shown here
    frame = json.dumps(bundle("transaction", *(entry("PUT", reference, {}) for reference in some)))
    for place in some.values():
        frame = frame.replace('"resource": {}', f'"resource": {place.text}', 1)
    answer = api.post("", content=frame.encode())
    assert answer.status_code == 200, answer.text
    assert {one["response"]["status"] for one in answer.json()["entry"]} == {"201 Created"}
    assert [key for key, one in some.items() if not unchanged(one.text, api.get(f"/{key}").text)] == []


def test_an_example_that_is_sent_again_is_no_new_version(api):
    for example in examples()[::10]:
        first, again = send(api, example), send(api, example)
        assert (again.status_code, again.headers["etag"]) == (200, first.headers["etag"]), example.text


def test_an_example_that_was_read_and_put_back_is_no_new_version(api):
    for example in examples()[5::10]:
        made = send(api, example)
        current = made.headers["location"].partition("/_history/")[0]
        again = api.put(current, content=api.get(current).content)
        assert (again.status_code, again.headers["etag"]) == (200, made.headers["etag"]), example.text


# ---- the comparison can fail -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "came"),
    [
        ('{"a":10.00}', '{"a":10.0}'),
        ('{"a":1E2}', '{"a":100.0}'),
        ('{"a":1e2}', '{"a":1E2}'),
        ('{"a":1,"b":2}', '{"b":2,"a":1}'),
        ('{"a":{"b":1,"c":2}}', '{"a":{"c":2,"b":1}}'),
        ('{"a":"é"}', '{"a":"e"}'),
        ('{"a":1}', '{"a":"1"}'),
        ('{"meta":{"tag":[]}}', "{}"),
        ('{"a":1}', '{"a":1,"b":2}'),
    ],
)
def test_a_change_is_seen(sent, came):
    assert not unchanged(sent, came)
    assert unchanged(sent, sent)


def test_what_the_server_sets_is_no_change():
    assert unchanged('{"id":"x","a":1}', '{"id":"x","meta":{"versionId":"1","lastUpdated":"2026"},"a":1}')
    assert unchanged('{"meta":{"versionId":"9"}}', '{"meta":{"versionId":"1","lastUpdated":"2026"}}')
