"""gzip in both directions (RFC 9110 §8.4, §12.5.3), and what somebody may try with it."""

from __future__ import annotations

import gzip
import zlib

import httpx
import pytest

from phb_fhir.fhir import codec
from tests.builders import person, problem

LONG_NAME = "Marsh" * 1_000
BODY_BYTES_MAX = 1_000_000


def raw_get(api, path, accept_encoding):
    """The answer with its bytes as they came over the wire."""
    with api.stream("GET", path, headers={"Accept-Encoding": accept_encoding}) as answer:
        return answer, b"".join(answer.iter_raw())


@pytest.fixture
def jill(api):
    api.put("/Patient/jill", json=person(id="jill", name=[{"family": LONG_NAME}]))
    return api


# ---- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "accept_encoding",
    ["gzip", "GZIP", "deflate, gzip;q=0.5, br", "*", "gzip, *;q=0", "*;q=0, gzip", "gzip;q=0.001", "identity;q=0.5, *"],
)
def test_a_long_answer_is_zipped_for_a_client_that_takes_gzip(jill, accept_encoding):
    answer, raw = raw_get(jill, "/Patient/jill", accept_encoding)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-length"] == str(len(raw))
    assert "Accept-Encoding" in answer.headers["vary"]
    assert codec.loads(gzip.decompress(raw), depth_max=64)["name"] == [{"family": LONG_NAME}]
    assert len(raw) < len(LONG_NAME)


@pytest.mark.parametrize(
    "accept_encoding", ["", "identity", "br, deflate", "gzip;q=0", "gzip; q=0.0", "*;q=0", "*, gzip;q=0", "gzipped"]
)
def test_an_answer_is_not_zipped_for_a_client_that_does_not_take_gzip(jill, accept_encoding):
    answer, raw = raw_get(jill, "/Patient/jill", accept_encoding)
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-length"] == str(len(raw))
    assert codec.loads(raw, depth_max=64)["id"] == "jill"
    assert "Accept-Encoding" in answer.headers["vary"]


def test_a_short_answer_is_not_zipped(api):
    api.put("/Patient/jill", json=person(id="jill"))
    answer, raw = raw_get(api, "/Patient/jill", "gzip")
    assert "content-encoding" not in answer.headers
    assert len(raw) < 1_000


def test_bundles_and_refusals_are_zipped_too(jill):
    bundle, raw = raw_get(jill, "/Patient", "gzip")
    assert bundle.headers["content-encoding"] == "gzip"
    assert codec.loads(gzip.decompress(raw), depth_max=64)["total"] == 1
    refusal, raw = raw_get(jill, f"/Patient/{'x' * 2_000}", "gzip")
    assert (refusal.status_code, refusal.headers["content-encoding"]) == (404, "gzip")
    assert codec.loads(gzip.decompress(raw), depth_max=64)["resourceType"] == "OperationOutcome"


def test_a_head_tells_what_a_get_would_send_zipped_too(jill):
    for accept_encoding in ("gzip", "identity"):
        got, _ = raw_get(jill, "/Patient/jill", accept_encoding)
        head = jill.head("/Patient/jill", headers={"Accept-Encoding": accept_encoding})
        mine = {name: value for name, value in head.headers.items() if name not in ("x-request-id", "date")}
        assert mine == {name: value for name, value in got.headers.items() if name not in ("x-request-id", "date")}
        assert head.content == b""


# ---- bodies ----------------------------------------------------------------------------------------------------------

JILL = b'{"resourceType":"Patient","id":"jill","name":[{"family":"Marsh"}]}'
ZIPPED = gzip.compress(JILL)
CUT_SHORT = "The body says it is gzip, and is not, or is cut short."


@pytest.fixture(scope="module")
def small(serve):
    """A client of a server that takes a megabyte."""
    base = serve(body_bytes_max=BODY_BYTES_MAX).base
    with httpx.Client(base_url=base, headers={"Content-Type": "application/fhir+json"}, timeout=30) as client:
        yield client


def put(client, content, encoding="gzip"):
    return client.put("/Patient/jill", content=content, headers={"Content-Encoding": encoding})


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_a_zipped_body_is_read(api, encoding):
    assert put(api, ZIPPED, encoding).status_code == 201
    assert api.get("/Patient/jill").json()["name"] == [{"family": "Marsh"}]


@pytest.mark.parametrize("encoding", ["identity", ""])
def test_a_body_said_to_be_plain_is_read_as_it_is(api, encoding):
    assert put(api, JILL, encoding).status_code == 201


def test_a_zipped_body_in_several_members_is_one_body(api):
    assert put(api, gzip.compress(JILL[:20]) + gzip.compress(b"") + gzip.compress(JILL[20:])).status_code == 201


def test_a_zipped_patch_and_a_zipped_search_form_are_read(api):
    put(api, ZIPPED)
    patch = gzip.compress(b'[{"op":"add","path":"/active","value":true}]')
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json-patch+json"}
    assert api.patch("/Patient/jill", content=patch, headers=headers).json()["active"] is True
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    assert api.post("/Patient/_search", content=gzip.compress(b"_id=jill"), headers=headers).json()["total"] == 1


@pytest.mark.parametrize(
    "body",
    [
        ZIPPED[:-1],
        ZIPPED[:-8],
        ZIPPED[: len(ZIPPED) // 2],
        ZIPPED[:5],
        JILL,
        zlib.compress(JILL),
        ZIPPED[:-8] + bytes(8),  # the wrong sum
        ZIPPED + b"more",
        ZIPPED + gzip.compress(b" ")[:-3],
    ],
    ids=["last byte", "trailer", "half", "header", "plain", "zlib", "checksum", "garbage", "second member"],
)
def test_a_body_that_is_not_whole_gzip_is_refused(api, body):
    assert problem(put(api, body)) == (400, "structure", CUT_SHORT, "")
    assert api.get("/Patient/jill").status_code == 404


@pytest.mark.parametrize("encoding", ["br", "deflate", "compress", "gzip, gzip", "zstd"])
def test_a_body_in_another_encoding_is_refused_with_the_one_that_is_taken(api, encoding):
    answer = put(api, JILL, encoding)
    assert problem(answer) == (
        415, "not-supported", f"The body is encoded as {encoding}; this server takes gzip or none.", ""
    )  # fmt: skip
    assert answer.headers["accept-encoding"] == "gzip"  # RFC 9110 §15.5.16


def test_an_empty_zipped_body_is_no_resource(api):
    found = problem(put(api, gzip.compress(b"")))
    assert found[:2] == (400, "structure")
    assert "not well-formed JSON" in found.text


def of_size(count):
    """Jill's record, blown up with blanks to exactly `count` bytes."""
    return JILL[:-1] + b" " * (count - len(JILL)) + b"}"


def test_a_zipped_body_is_measured_by_what_is_in_it(small):
    assert put(small, gzip.compress(of_size(BODY_BYTES_MAX))).status_code in (200, 201)
    found = problem(put(small, gzip.compress(of_size(BODY_BYTES_MAX + 1))))
    assert found == (413, "too-long", f"The body is larger than the {BODY_BYTES_MAX} bytes this server takes.", "")


def test_a_zip_bomb_is_refused_without_being_blown_up(small):
    bomb = gzip.compress(bytes(300_000_000), 9)  # 300 kB that are 300 MB
    assert len(bomb) < BODY_BYTES_MAX
    assert problem(put(small, bomb)).status == 413
    assert small.get("/metadata").status_code == 200


def test_a_zip_bomb_in_many_members_is_refused(small):
    member = gzip.compress(bytes(100_000), 9)
    assert problem(put(small, member * 11)).status == 413


def test_a_body_of_endless_empty_members_is_refused(small):
    body = gzip.compress(b"") * 40_000
    assert len(body) < BODY_BYTES_MAX
    assert problem(put(small, body)) == (400, "too-costly", "The body is gzip of more than 64 members.", "")
