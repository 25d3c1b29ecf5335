"""Nothing of a person, and no token, in what a server writes about itself: its log, its metrics, and what it says of its own faults.

Marked values go in by every way there is, through a server that runs as a process; then its log and metrics are searched for them.
What an answer repeats to the client who sent it is that client's own, and not looked at here; of faults it is.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time

import httpx
import pytest
from pymongo.errors import DuplicateKeyError

from phb_fhir.wire import discreet
from tests.builders import NHS_NUMBER, bundle, entry, person
from tests.processes import until

NUMBER = "9000000009"
SPACED = "900 000 0009"
NAME = "Marshwiggle"
SECRET = "s3cr3t-Zaphod"  # in whatever should be a token
TOKEN = f"eyJhbGciOiJIUzI1NiJ9.{SECRET}.c2ln"
MARKS = (NUMBER, SPACED, "9000000009"[:6], NAME, "Zaphod", SECRET)
FHIR = {"Content-Type": "application/fhir+json"}


@pytest.fixture(scope="module", params=["open", "secure"])
def watched(request, mongodb_uri, mongodb_admin, tmp_path_factory):
    """A server as a process: a client of it, a function for its log so far, and its database."""
    folder = tmp_path_factory.mktemp("leaks")
    database = f"test_leaks_{time.time_ns()}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PHB_")}
    environment |= {
        "PHB_MONGODB_URI": mongodb_uri,
        "PHB_MONGODB_DATABASE": database,
        "PHB_DATA": str(folder),
        "PHB_GUIDE": "false",
        "PHB_OPEN": "true" if request.param == "open" else "false",
        "PHB_VALIDATION_MODES": "*=warn",
        "PHB_RATE_FAILED_MAX": "0",
        "PHB_RATE_ADDRESS_MAX": "0",
    }
    errors = folder / "stderr"
    command = [sys.executable, "-m", "uvicorn", "--factory", "phb_fhir.app:create", "--port", "0", "--no-access-log"]
    with errors.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stderr=out, stdout=out)
    try:
        assert until(lambda: b"running on http://" in errors.read_bytes() or process.poll() is not None)
        root = re.search(rb"http://127\.0\.0\.1:\d+", errors.read_bytes())[0].decode()
        with httpx.Client(base_url=root, timeout=60) as client:
            yield client, lambda: errors.read_text(errors="replace"), mongodb_admin[database]
    finally:
        process.terminate()
        process.wait(30)
        mongodb_admin.drop_database(database)


ILL = person(NUMBER, name=[{"family": NAME}])
TEXT = json.dumps(ILL)
REQUESTS = {
    "body": ("POST", "/fhir/Patient", FHIR, TEXT),
    "id": ("PUT", f"/fhir/Patient/{NUMBER}", FHIR, json.dumps({**ILL, "id": NUMBER})),
    "another id": ("PUT", f"/fhir/Patient/{NAME}", FHIR, json.dumps({**ILL, "id": NUMBER})),
    "path": ("GET", f"/fhir/{NAME}/{NUMBER}", {}, None),
    "read": ("GET", f"/fhir/Patient/{NUMBER}", {}, None),
    "path, elsewhere": ("GET", f"/{NAME}/{NUMBER}", {}, None),
    "operation": ("GET", f"/fhir/Patient/{NUMBER}/${NAME}", {}, None),
    "query": ("GET", f"/fhir/Patient?identifier={NUMBER}&name={NAME}", {}, None),
    "query, unknown": ("GET", f"/fhir/Patient?{NAME}={NUMBER}", {}, None),
    "query, wrong": ("GET", f"/fhir/Patient?birthdate={NAME}&_lastUpdated={NUMBER}", {}, None),
    "query, spaced": ("GET", "/fhir/Patient?identifier=900%20000%200009", {}, None),
    "query, not UTF-8": ("GET", f"/fhir/Patient?name={NAME}%ff", {}, None),
    "query, token": ("GET", f"/fhir/Patient?access_token={TOKEN}", {}, None),
    "search by form": (
        "POST",
        "/fhir/Patient/_search",
        {"Content-Type": "application/x-www-form-urlencoded"},
        f"identifier={NUMBER}&{NAME}=1",
    ),
    "filter": ("GET", f'/fhir/Patient?_filter=name eq "{NAME}" or (', {}, None),
    "malformed JSON": ("POST", "/fhir/Patient", FHIR, TEXT[:-2]),
    "malformed number": ("POST", "/fhir/Patient", FHIR, '{"resourceType": "Patient", "x": 09000000009}'),
    "JSON twice": ("POST", "/fhir/Patient", FHIR, f'{{"{NAME}": 1, "{NAME}": 2}}'),
    "not UTF-8": ("POST", "/fhir/Patient", FHIR, TEXT.encode() + b"\xff"),
    "not gzip": ("POST", "/fhir/Patient", {**FHIR, "Content-Encoding": "gzip"}, TEXT),
    "wrong type": ("POST", "/fhir/Observation", FHIR, TEXT),
    "wrong content": ("POST", "/fhir/Patient", FHIR, json.dumps({**ILL, NAME: NUMBER, "birthDate": NAME})),
    "media type": ("POST", "/fhir/Patient", {"Content-Type": f"application/{NAME}"}, TEXT),
    "patch": (
        "PATCH",
        f"/fhir/Patient/{NUMBER}",
        {"Content-Type": "application/json-patch+json"},
        json.dumps([{"op": "replace", "path": f"/{NAME}", "value": NUMBER}]),
    ),
    "FHIRPath": (
        "PATCH",
        f"/fhir/Patient/{NUMBER}",
        FHIR,
        json.dumps(
            {
                "resourceType": "Parameters",
                "parameter": [
                    {
                        "name": "operation",
                        "part": [
                            {"name": "type", "valueCode": "delete"},
                            {"name": "path", "valueString": f"Patient.name.where(family = '{NAME}'"},
                        ],
                    }
                ],
            }
        ),
    ),
    "conditional create": ("POST", "/fhir/Patient", {**FHIR, "If-None-Exist": f"identifier={NUMBER}&{NAME}=1"}, TEXT),
    "conditional update": ("PUT", f"/fhir/Patient?identifier={NHS_NUMBER}|{NUMBER}", FHIR, TEXT),
    "validated": ("POST", "/fhir/Patient/$validate", FHIR, json.dumps({**ILL, "gender": NAME})),
    "batch": (
        "POST",
        "/fhir",
        FHIR,
        json.dumps(bundle("batch", entry("GET", f"Patient?identifier={NUMBER}"), entry("GET", f"{NAME}/{NUMBER}"))),
    ),
    "transaction": (
        "POST",
        "/fhir",
        FHIR,
        json.dumps(bundle("transaction", entry("PUT", f"Patient/{NUMBER}", ILL), entry("POST", NAME, ILL))),
    ),
    "request id": ("GET", "/fhir/metadata", {"X-Request-ID": NUMBER}, None),
    "request id with more": ("GET", "/fhir/metadata", {"X-Request-ID": f"call-{NUMBER}.1"}, None),
    "request id of words": ("GET", "/fhir/metadata", {"X-Request-ID": f"{NAME} {NUMBER}"}, None),
    "headers": (
        "GET",
        f"/fhir/Patient/{NUMBER}",
        {"If-None-Match": NAME, "If-Modified-Since": NUMBER, "Prefer": NAME, "Accept": f"text/{NAME}"},
        None,
    ),
    "forwarded": (
        "GET",
        "/fhir/metadata",
        {"X-Forwarded-For": NUMBER, "Forwarded": f"for={NAME}", "Cookie": SECRET},
        None,
    ),
    "origin": ("OPTIONS", "/fhir/Patient", {"Origin": f"https://{NAME}", "Access-Control-Request-Method": NAME}, None),
    "purpose": ("GET", "/fhir/Patient", {"X-Purpose-Of-Use": NAME, "X-Provenance": TEXT}, None),
    "provenance": ("POST", "/fhir/Patient", {**FHIR, "X-Provenance": TEXT}, TEXT),
    "bearer": ("GET", f"/fhir/Patient/{NUMBER}", {"Authorization": f"Bearer {TOKEN}"}, None),
    "bearer, opaque": ("GET", "/fhir/Patient", {"Authorization": f"Bearer {SECRET}"}, None),
    "bearer, malformed": ("GET", "/fhir/Patient", {"Authorization": f"Bearer {SECRET} {NAME} {NUMBER}"}, None),
    "basic": ("GET", "/fhir/Patient", {"Authorization": f"Basic {SECRET}"}, None),
    "no scheme": ("GET", "/fhir/Patient", {"Authorization": SECRET}, None),
    "host": ("GET", "/fhir/metadata", {"Host": f"{NAME}.example"}, None),
}


def test_whatever_is_sent_and_however_nothing_of_it_is_in_the_log_or_the_metrics(watched):
    client, log, _ = watched
    statuses = set()
    for number, (method, address, headers, body) in enumerate(REQUESTS.values()):
        statuses.add(client.request(method, address, headers=headers, content=body).status_code)
        mark = f"after-{number}"
        client.get("/health/live", headers={"X-Request-ID": mark})
        assert until(lambda mark=mark: mark in log())  # and what was to be logged before it has been
    assert len(statuses) >= 4  # they were answered, in all kinds of ways
    assert 500 not in statuses
    assert marked(log()) == []
    told = client.get("/metrics").text
    assert NUMBER not in told
    # a time may happen to have the digits that the number begins with (0.0900000000001): what is told stands before it
    assert marked("\n".join(line.rpartition(" ")[0] for line in told.splitlines())) == []


def marked(text):
    return [line for line in text.splitlines() if any(mark in line for mark in MARKS)]


def test_what_is_no_http_is_not_repeated_in_the_log(watched):
    client, log, _ = watched
    with socket.create_connection(("127.0.0.1", client.base_url.port), timeout=30) as caller:
        caller.sendall(f"{NAME} {NUMBER} {SECRET}\r\n\r\n".encode())
        said = caller.recv(65_536)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert until(lambda: "Invalid HTTP" in log())
    assert marked(log()) == []
    assert marked(said.decode()) == []


def test_a_refused_token_is_not_told_back(watched):
    client, _, _ = watched
    for given in (f"Bearer {TOKEN}", f"Bearer {SECRET}", f"Bearer {SECRET} {NAME}", f"Basic {SECRET}", SECRET):
        answer = client.get("/fhir/Patient?_summary=count", headers={"Authorization": given})
        assert marked(answer.text + str(answer.headers)) == []


@pytest.mark.parametrize("watched", ["open"], indirect=True)
def test_a_fault_is_logged_with_its_place_and_not_with_its_words_and_answered_with_neither(watched):
    client, log, database = watched
    damaged = {"type": "Patient", "id": f"{NUMBER}-x", "version": NAME, "json": TEXT[:-3], "deleted": False}
    database["resources"].insert_one({"_id": f"Patient/{NUMBER}-x", **damaged})
    answer = client.get(f"/fhir/Patient/{NUMBER}-x", headers={"X-Request-ID": "the-fault"})
    assert answer.status_code == 500
    assert marked(answer.text + str(answer.headers)) == []
    assert until(lambda: any('"the-fault"' in line and '"event":"request"' in line for line in log().splitlines()))
    (told,) = [json.loads(line) for line in log().splitlines() if '"event":"fault"' in line]
    assert "phb_fhir/" in told["exception"]
    assert told["request_id"] == "the-fault"
    assert marked(log()) == []


# ---- the log itself, whatever is thrown at it ------------------------------------------------------------------------

LOGGING = f"""
import asyncio, gc, logging, sys
import structlog
from phb_fhir.wire import log
log.configure(sys.argv[1])
ours, theirs = structlog.get_logger("ours"), logging.getLogger("theirs")
def broken():
    try:
        {{}}["{NAME} {NUMBER}"]
    except KeyError as error:
        raise ValueError("{SECRET} {NAME}") from error
for tell in (ours, theirs):
    try:
        broken()
    except ValueError as error:
        tell.exception("one", exc_info=True)
        tell.error("two", exc_info=error)
        tell.error("three", exc_info=(type(error), error, error.__traceback__))
ours.warning("kept", key="Patient/{NUMBER}", places=["Patient {SPACED}", ("{NUMBER}",)], count=3)
theirs.warning("first line\\n{NAME} {NUMBER}")
theirs.warning("key %s", "{NUMBER}")
async def forgotten():
    async def task():
        raise KeyError("{NAME}")
    asyncio.create_task(task())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
asyncio.run(forgotten())
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_exception_and_no_library_puts_into_the_log_what_was_at_hand(form):
    done = subprocess.run([sys.executable, "-c", LOGGING, form], capture_output=True, text=True, check=True)
    assert marked(done.stderr) == []
    for told in ("one", "two", "three", "kept", "first line", "builtins.ValueError", "builtins.KeyError", "[number]"):
        assert told in done.stderr
    assert "never retrieved" in done.stderr
    assert "which led to" in done.stderr


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (NUMBER, "[number]"),
        (f"Patient/{NUMBER}", "Patient/[number]"),
        ("900 000 0009", "[number]"),
        ("900-000-0009", "[number]"),
        (f"a {NUMBER}, {NUMBER}.", "a [number], [number]."),
        ("9000000008", "9000000008"),  # not one: its check digit is wrong
        ("19000000009", "19000000009"),
        ("0190f7a4-9000-7000-8000-009000000009", "0190f7a4-9000-7000-8000-009000000009"),
        ("90000000090", "90000000090"),
        ("2026-11-22T09:00:00Z", "2026-11-22T09:00:00Z"),
        ("", ""),
    ],
)
def test_an_nhs_number_is_masked_and_other_numbers_are_not(text, masked):
    assert discreet.without_numbers(text) == masked
    assert discreet.has_number(text) is (text != masked)


def test_of_an_endless_recursion_the_log_keeps_so_much_and_no_more():
    def again():
        again()

    with pytest.raises(RecursionError) as raised:
        again()
    assert discreet.story_of(raised.value).count("\n") <= 4 * discreet.FRAMES_MAX


def test_causes_that_go_in_a_circle_end():
    one, other = ValueError(), KeyError()
    one.__cause__, other.__cause__ = other, one
    assert discreet.story_of(one) == "builtins.KeyError\nwhich led to:\nbuiltins.ValueError"


def test_the_code_of_a_database_error_is_told_and_not_its_message():
    story = discreet.story_of(DuplicateKeyError(f'dup key: {{ _id: "Patient/{NUMBER}" }}', 11000))
    assert story == "pymongo.errors.DuplicateKeyError code=11000"
