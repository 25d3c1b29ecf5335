"""A worker takes so many requests at once, and turns the next away instead of letting all of them wait."""

from __future__ import annotations

import json
import socket

import httpx

from tests.builders import person
from tests.processes import until

PAGE = "http://localhost:3000"


def test_past_its_limit_a_worker_answers_503_at_once_and_stays_watchable(serve):
    running = serve(requests_max=1)
    body = json.dumps(person()).encode()
    head = (
        f"POST /fhir/Patient HTTP/1.1\r\nHost: 127.0.0.1:{running.settings.port}\r\nConnection: close\r\n"
        f"Content-Type: application/fhir+json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", running.settings.port), timeout=30) as first:
        first.sendall(head.encode() + body[:10])  # accepted, and not whole yet
        with httpx.Client(base_url=running.root, timeout=30) as second:
            assert until(
                lambda: "phb_fhir_requests_under_way 2.0" in second.get("/metrics").text
            )  # the first, and this one
            refused = second.get("/fhir/metadata", headers={"Origin": PAGE})
            assert second.get("/health/live").status_code == 200
        first.sendall(body[10:])
        answer = b"".join(iter(lambda: first.recv(65536), b""))
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert refused.json()["issue"][0]["code"] == "throttled"
    assert (
        refused.headers["access-control-allow-origin"] == PAGE
    )  # or its script would never see why, nor when to come again
    assert "1 requests already" in refused.json()["issue"][0]["diagnostics"]
    assert answer.startswith(b"HTTP/1.1 201")
