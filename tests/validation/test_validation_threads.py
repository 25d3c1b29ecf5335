"""Large resources are judged in threads: what is made when first asked for is whole before another thread sees it."""

from __future__ import annotations

import sys
import threading

import pytest

from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.validation.validate import validate

R4 = load()
THREADS = 4
ROUNDS = 5
BASE = "http://example.org/StructureDefinition/base"
TOP = "http://example.org/StructureDefinition/top"


def profile(url, base, path):
    return {
        "resourceType": "StructureDefinition",
        "url": url,
        "name": "P",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": base,
        "derivation": "constraint",
        "differential": {"element": [{"id": path, "path": path, "min": 1}]},
    }


PROFILES = [
    profile(BASE, "http://hl7.org/fhir/StructureDefinition/Patient", "Patient.name"),
    profile(TOP, BASE, "Patient.gender"),
]


@pytest.fixture
def hurried():
    """Threads that take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hurried")
def test_threads_that_ask_for_the_same_profile_at_once_are_all_answered_in_full():
    for _ in range(ROUNDS):
        known = Registry.of(R4, PROFILES)
        together = threading.Barrier(THREADS)
        answers = [[] for _ in range(THREADS)]

        def judge(number, known=known, together=together, answers=answers):
            together.wait(timeout=30)
            answers[number] = validate({"resourceType": "Patient"}, R4, [TOP if number % 2 else BASE], known=known)

        threads = [threading.Thread(target=judge, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = [[issue.expression for issue in answer if issue.is_error] for answer in answers]
        assert found == [["Patient.name"], ["Patient.name", "Patient.gender"]] * (THREADS // 2)
