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

import pytest

from tests.builders import bundle, entry

EXAMPLES = Path(__file__).parents[2].parent / "shared" / "conformance" / "examples" / "r4-4.0.1-instances.ndjson.gz"
SERVERS_OWN = ("versionId", "lastUpdated")
RUN = 50  # examples that one test sends


@cache
def examples():
    """Each example's text by its reference, in the order they were published."""
    with gzip.open(EXAMPLES, "rt", encoding="utf-8") as lines:
        return dict((_reference(line), line.strip()) for line in lines)


def _reference(text):
    resource = json.loads(text)
    return f"{resource['resourceType']}/{resource['id']}"


def pairs(text):
    """JSON with nothing lost: each object as its pairs in order, each number as its text."""
    return json.loads(text, object_pairs_hook=tuple, parse_float=_number, parse_int=_number)


def _number(text):
    return ("number", text)


def without(read, names):
    """The pairs of a resource without these of its meta, and without a meta that has nothing else."""
    kept = []
    for name, value in read:
        if name == "meta":
            value = tuple(pair for pair in value if pair[0] not in names)
            if not value:
                continue
        kept.append((name, value))
    return tuple(kept)


def unchanged(sent, came):
    return without(pairs(sent), SERVERS_OWN) == without(pairs(came), SERVERS_OWN)


def test_there_are_497_of_111_types():
    assert len(examples()) == 497
    assert len({reference.partition("/")[0] for reference in examples()}) == 111


@pytest.mark.parametrize("start", range(0, 497, RUN))
def test_an_example_is_stored_and_comes_back_unchanged(api, start):
    some = list(examples().items())[start : start + RUN]
    for reference, text in some:
        made = api.put(f"/{reference}", content=text.encode())
        assert made.status_code == 201, (reference, made.text)
        assert made.headers["location"].endswith(f"/{reference}/_history/1")
    changed = []
    for reference, text in some:
        for address in (f"/{reference}", f"/{reference}/_history/1"):
            answer = api.get(address)
            assert answer.status_code == 200
            if not unchanged(text, answer.text):
                changed.append(address)
        found = api.get(f"/{reference.partition('/')[0]}?_id={reference.partition('/')[2]}")
        assert found.text.count(api.get(f"/{reference}").text) == 1
    assert changed == []


@pytest.mark.parametrize("start", range(0, 497, 5 * RUN))
def test_an_example_that_came_in_a_transaction_comes_back_unchanged(api, start):
    some = list(examples().items())[start : start + 5 * RUN]
    # the entries keep their text: a Bundle of dicts would lose what is to be shown here
    frame = json.dumps(bundle("transaction", *(entry("PUT", reference, {}) for reference, _ in some)))
    for _, text in some:
        frame = frame.replace('"resource": {}', f'"resource": {text}', 1)
    answer = api.post("", content=frame.encode())
    assert answer.status_code == 200, answer.text
    assert {one["response"]["status"] for one in answer.json()["entry"]} == {"201 Created"}
    assert [ref for ref, text in some if not unchanged(text, api.get(f"/{ref}").text)] == []


def test_an_example_that_is_sent_again_is_no_new_version(api):
    for reference, text in list(examples().items())[::10]:
        api.put(f"/{reference}", content=text.encode())
        again = api.put(f"/{reference}", content=text.encode())
        assert (again.status_code, again.headers["etag"]) == (200, 'W/"1"'), reference


def test_an_example_that_was_read_and_put_back_is_no_new_version(api):
    for reference, text in list(examples().items())[5::10]:
        api.put(f"/{reference}", content=text.encode())
        again = api.put(f"/{reference}", content=api.get(f"/{reference}").content)
        assert (again.status_code, again.headers["etag"]) == (200, 'W/"1"'), reference


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
