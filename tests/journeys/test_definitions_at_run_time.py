"""A profile, a value set or a code system is written while servers run: from then on all of them go by it, whichever took it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.builders import bundle, entry, person
from tests.definitions_at_hand import BASE, bound, claiming, code_system, profile, value_set
from tests.processes import Answer, ServerProcess, ask, until
from tests.running import new_database


@pytest.fixture(scope="module")
def servers(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The bases of two server processes on one database."""
    logs = tmp_path_factory.mktemp("servers")
    with new_database(mongodb_uri) as database:
        shared: dict[str, Any] = {"mongodb_uri": mongodb_uri, "mongodb_database": database.name, "guide": False}
        with ServerProcess(logs, **shared) as one, ServerProcess(logs, **shared) as other:
            yield [one.base, other.base]


def put(base: str, resource: dict[str, Any]) -> Answer:
    return ask(base, "PUT", f"/{resource['resourceType']}/{resource['id']}", resource)


def post(base: str, resource: dict[str, Any]) -> Answer:
    return ask(base, "POST", f"/{resource['resourceType']}", resource)


def soon(answers: Callable[[], Answer], status: int) -> Answer:
    """The first answer with this status."""
    found = [answers()]

    def is_there() -> bool:
        found.append(answers())
        return found[-1].status == status

    assert found[0].status == status or until(is_there), found[-1].body
    return found[-1]


def without_date(name: str) -> dict[str, Any]:
    return claiming({k: v for k, v in person().items() if k not in ("birthDate", "id", "meta")}, name)


def test_a_profile_put_to_one_server_is_known_to_both_and_forgotten_by_both_when_it_is_deleted(
    servers: list[str],
) -> None:
    one, other = servers
    nobody, somebody = without_date("born"), {**without_date("born"), "birthDate": "1950-01-01"}
    assert [post(base, nobody).status for base in servers] == [201, 201]
    assert put(one, profile("born")).status == 201
    refused = post(one, nobody)  # at once: this server wrote it
    assert refused.status == 422
    assert refused.json()["issue"][0]["expression"] == ["Patient.birthDate"]
    assert soon(lambda: post(other, nobody), 422).json()["issue"] == refused.json()["issue"]
    assert [post(base, somebody).status for base in servers] == [201, 201]

    assert ask(other, "DELETE", "/StructureDefinition/born").status == 204
    assert post(other, nobody).status == 201
    assert soon(lambda: post(one, nobody), 201).status == 201


def test_codes_and_value_sets_that_come_in_a_transaction_judge_what_is_bound_to_them(servers: list[str]) -> None:
    one, other = servers
    definitions = [code_system(), value_set(), bound()]
    put_all = bundle("transaction", *(entry("PUT", f"{r['resourceType']}/{r['id']}", r) for r in definitions))
    assert ask(one, "POST", "", put_all).status == 200

    def painted(code: str) -> dict[str, Any]:
        coding = {"system": f"{BASE}/CodeSystem/colours", "code": code}
        return claiming({"resourceType": "Basic", "code": {"coding": [coding]}}, "painted")

    assert [post(one, painted(code)).status for code in ("red", "blue")] == [201, 422]
    assert "blue" in soon(lambda: post(other, painted("blue")), 422).json()["issue"][0]["diagnostics"]
    assert post(other, painted("red")).status == 201

    assert put(other, code_system(codes=("red", "green", "blue"))).status == 200
    assert post(other, painted("blue")).status == 201
    assert soon(lambda: post(one, painted("blue")), 201).status == 201


def test_what_was_stored_before_a_server_starts_is_known_to_it_from_its_first_answer_on(
    mongodb_uri: str, database_name: str, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"mongodb_uri": mongodb_uri, "mongodb_database": database_name, "guide": False}
    with ServerProcess(tmp_path, **settings) as server:
        assert put(server.base, profile("early")).status == 201
        assert server.stop() == 0
        server.start()
        assert post(server.base, without_date("early")).status == 422


def test_changes_are_learnt_again_after_the_database_was_gone(
    tmp_path: Path, mongodb_admin: MongoClient[dict[str, Any]]
) -> None:
    with ServerProcess(tmp_path, data=tmp_path / "data", guide=False) as one:
        shared: dict[str, Any] = {"mongodb_uri": one.mongodb_uri(), "mongodb_database": "phb_fhir", "guide": False}
        with ServerProcess(tmp_path, **shared) as other:
            assert put(one.base, profile("before")).status == 201
            soon(lambda: post(other.base, without_date("before")), 422)
            one.kill_mongod()
            assert until(lambda: post(one.base, person()).status == 201)
            assert put(one.base, profile("after")).status == 201
            # the other first has to find the database again, which may take it a driver's heartbeat
            assert until(lambda: post(other.base, without_date("after")).status == 422)
            assert ask(one.base, "DELETE", "/StructureDefinition/before").status == 204
            soon(lambda: post(other.base, without_date("before")), 201)
