"""The server's own addresses, and everybody else's."""

from __future__ import annotations

import pytest

from phb_fhir.search.own import NOWHERE, OwnBase

PUBLIC = OwnBase("https://phb.example.nhs.uk/fhir")
PRIVATE = OwnBase("http://127.0.0.1:8000/fhir", loopback_port=8000)


@pytest.mark.parametrize("rest", ["Patient/1", "Patient/1/_history/2", "Account/a-b.c"])
def test_an_own_address_is_the_relative_one(rest):
    assert PUBLIC.local(f"https://phb.example.nhs.uk/fhir/{rest}") == rest
    assert PRIVATE.local(f"http://127.0.0.1:8000/fhir/{rest}") == rest
    assert PUBLIC.local(rest) == rest


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_server_without_a_public_address_is_known_by_every_name_of_this_machine(host):
    assert PRIVATE.local(f"http://{host}:8000/fhir/Patient/1") == "Patient/1"
    assert PRIVATE.local(f"https://{host}:8000/fhir/Patient/1") == "Patient/1"


@pytest.mark.parametrize(
    "reference",
    [
        "http://localhost:8001/fhir/Patient/1",
        "http://localhost:8000/other/Patient/1",
        "http://localhost:8000/fhir/fhir/Patient/1",
        "http://localhost/fhir/Patient/1",
        "http://other.org:8000/fhir/Patient/1",
        "http://localhost:port/fhir/Patient/1",
        "http://[::1/fhir/Patient/1",
    ],
)
def test_another_port_path_or_machine_is_somebody_else(reference):
    assert PRIVATE.local(reference) == reference


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "Patient/1",
        "#a",
        "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7",
        "http://phb.example.nhs.uk/fhir/Patient/1",  # not by https
        "https://phb.example.nhs.uk/fhirs/Patient/1",
        "https://phb.example.nhs.uk/Patient/1",
        "https://phb.example.nhs.uk/fhir",
        "https://phb.example.nhs.uk/fhir/Patient",
        "https://phb.example.nhs.uk/fhir/Patient/1?x",
        "https://phb.example.nhs.uk/fhir/Patient/1/_history/",
        "https://phb.example.nhs.uk/fhir/patient/1",
    ],
)
def test_what_is_no_address_of_an_own_resource_stays_as_it_is(reference):
    assert PUBLIC.local(reference) == reference


def test_a_server_with_a_public_address_is_not_known_by_this_machine_s_names():
    assert PUBLIC.local("http://localhost:8000/fhir/Patient/1") == "http://localhost:8000/fhir/Patient/1"


def test_nowhere_has_no_address():
    assert NOWHERE.local("http://localhost:8000/fhir/Patient/1") == "http://localhost:8000/fhir/Patient/1"
    assert not NOWHERE.has("/")
