"""Many clients want the same thing in the same instant, and two server processes answer them (R4 §3.1.0.4.3, §3.1.0.5,
§3.1.0.8.1): what is conditional happens once, what is counted is counted once, and no version is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.builders import NHS_NUMBER, bundle, entry, person, task
from tests.processes import Answer, Request, ServerProcess, ask, at_once
from tests.running import new_database

CROWD = 50
STEP = "https://phb.example/step"
OTHER = "https://phb.example/other"
HELD = "https://phb.example/held"


@pytest.fixture(scope="module")
def servers(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The bases of two server processes on one database."""
    logs = tmp_path_factory.mktemp("servers")
    with new_database(mongodb_uri) as database:
        shared: dict[str, Any] = {"mongodb_uri": mongodb_uri, "mongodb_database": database.name}
        with ServerProcess(logs, **shared) as one, ServerProcess(logs, **shared) as other:
            yield [one.base, other.base]


@pytest.fixture
def fresh() -> str:
    """A word that nothing else in the database carries."""
    return uuid4().hex


def statuses(answers: list[Answer]) -> dict[int, int]:
    """How many answers have each status."""
    found: dict[int, int] = {}
    for answer in answers:
        found[answer.status] = found.get(answer.status, 0) + 1
    return found


def matches(servers: list[str], query: str) -> list[str]:
    """The references of what a search finds; the same whoever is asked."""
    bundles = [ask(base, "GET", query).json() for base in servers]
    found = [
        [f"{it['resource']['resourceType']}/{it['resource']['id']}" for it in one.get("entry", [])] for one in bundles
    ]
    assert found[0] == found[1]
    assert [one["total"] for one in bundles] == [len(found[0])] * 2
    return found[0]


def history(servers: list[str], key: str) -> list[dict[str, Any]]:
    """The entries of a history, the oldest first."""
    entries: list[dict[str, Any]] = ask(servers[0], "GET", f"/{key}/_history?_count=200").json()["entry"]
    return entries[::-1]


def numbers(entries: list[dict[str, Any]]) -> list[int]:
    return [int(each["response"]["etag"][3:-1]) for each in entries]


def known_by(*identifiers: tuple[str, str], **more: Any) -> dict[str, Any]:
    return person(identifier=[{"system": system, "value": value} for system, value in identifiers], **more)


def outcome_code(answer: Answer) -> str:
    issue: dict[str, str] = answer.json()["issue"][0]
    return issue["code"]


# --- conditional create ---


def creates(fresh: str, condition: Callable[[int], str], resource: Callable[[int], dict[str, Any]]) -> list[Request]:
    return [Request("POST", "/Patient", resource(n), {"If-None-Exist": condition(n)}) for n in range(CROWD)]


def test_fifty_identical_conditional_creates_make_one_resource(servers: list[str], fresh: str) -> None:
    answers = at_once(servers, creates(fresh, lambda _: f"identifier={NHS_NUMBER}|{fresh}", lambda _: person(fresh)))
    assert statuses(answers) == {201: 1, 200: CROWD - 1}
    assert [{answer.key} for answer in answers] == [
        {found} for found in matches(servers, f"/Patient?identifier={fresh}") * CROWD
    ]
    assert len({answer.body for answer in answers}) == 1


def test_fifty_unconditional_creates_of_the_same_content_make_fifty_resources(servers: list[str], fresh: str) -> None:
    answers = at_once(servers, [Request("POST", "/Patient", person(fresh))] * CROWD)
    assert statuses(answers) == {201: CROWD}
    assert sorted(answer.key for answer in answers) == sorted(matches(servers, f"/Patient?identifier={fresh}"))


def test_conditional_creates_on_either_of_two_identifiers_make_one_resource(servers: list[str], fresh: str) -> None:
    both = known_by((NHS_NUMBER, fresh), (OTHER, fresh))
    answers = at_once(
        servers, creates(fresh, lambda n: f"identifier={(NHS_NUMBER, OTHER)[n // 2 % 2]}|{fresh}", lambda _: both)
    )
    assert statuses(answers) == {201: 1, 200: CROWD - 1}
    assert len(matches(servers, f"/Patient?identifier={fresh}")) == 1


def test_conditional_creates_that_say_one_identifier_in_different_ways_make_one_resource(
    servers: list[str], fresh: str
) -> None:
    ways = [f"identifier={fresh}", f"identifier={NHS_NUMBER}|{fresh}", f"identifier={OTHER}|none,{NHS_NUMBER}|{fresh}"]
    answers = at_once(servers, creates(fresh, lambda n: ways[n % 3], lambda _: person(fresh)))
    assert statuses(answers) == {201: 1, 200: CROWD - 1}
    assert len(matches(servers, f"/Patient?identifier={fresh}")) == 1


def test_conditional_creates_on_either_of_two_whole_systems_make_one_resource(servers: list[str], fresh: str) -> None:
    # `system|` asks for any identifier of that system: the two halves state no value in common, yet each finds the other's
    systems = (f"https://{fresh}.example/a", f"https://{fresh}.example/b")
    answers = at_once(
        servers,
        creates(
            fresh,
            lambda n: f"identifier={systems[n // 2 % 2]}|",
            lambda n: known_by((systems[0], f"a{n}"), (systems[1], f"b{n}")),
        ),
    )
    assert statuses(answers) == {201: 1, 200: CROWD - 1}
    assert len(matches(servers, f"/Patient?identifier={systems[0]}|")) == 1


def test_conditional_creates_of_different_people_do_not_keep_each_other_out(servers: list[str], fresh: str) -> None:
    answers = at_once(servers, creates(fresh, lambda n: f"identifier={fresh}-{n}", lambda n: person(f"{fresh}-{n}")))
    assert statuses(answers) == {201: CROWD}
    assert len({answer.key for answer in answers}) == CROWD


def test_transactions_that_create_the_same_person_conditionally_make_one(servers: list[str], fresh: str) -> None:
    def posted(number: int) -> dict[str, Any]:
        who = f"urn:uuid:{uuid4()}"
        create = entry("POST", "Patient", person(fresh), who, ifNoneExist=f"identifier={NHS_NUMBER}|{fresh}")
        errand = task(identifier=[{"system": STEP, "value": f"{fresh}-{number}"}], **{"for": {"reference": who}})
        return bundle("transaction", create, entry("POST", "Task", errand))

    answers = at_once(servers, [Request("POST", "", posted(number)) for number in range(CROWD)])
    assert statuses(answers) == {200: CROWD}
    people = matches(servers, f"/Patient?identifier={fresh}")
    assert len(people) == 1
    tasks = [ask(servers[0], "GET", f"/Task?identifier={fresh}-{number}").json() for number in range(CROWD)]
    assert {it["entry"][0]["resource"]["for"]["reference"] for it in tasks} == {people[0]}
    assert {it["total"] for it in tasks} == {1}


# --- conditional update, patch and delete ---


def test_fifty_conditional_updates_of_somebody_new_make_one_resource_with_all_versions(
    servers: list[str], fresh: str
) -> None:
    path = f"/Patient?identifier={NHS_NUMBER}|{fresh}"
    answers = at_once(
        servers, [Request("PUT", path, person(fresh, birthDate=f"19{n + 10}-01-01")) for n in range(CROWD)]
    )
    assert statuses(answers) == {201: 1, 200: CROWD - 1}
    assert sorted(answer.version for answer in answers) == list(range(1, CROWD + 1))
    assert matches(servers, path) == [answers[0].key]
    assert numbers(history(servers, answers[0].key)) == list(range(1, CROWD + 1))


def test_fifty_conditional_deletes_of_one_resource_delete_it_once(servers: list[str], fresh: str) -> None:
    key = ask(servers[0], "POST", "/Patient", person(fresh)).key
    answers = at_once(
        servers,
        [Request("DELETE", f"/Patient?identifier={fresh}", headers={"Prefer": "return=OperationOutcome"})] * CROWD,
    )
    assert statuses(answers) == {200: CROWD}
    said = [answer.json()["issue"][0]["diagnostics"] for answer in answers]
    assert sorted(set(said)) == ["1 deleted.", "There was nothing to delete."]
    assert said.count("1 deleted.") == 1
    assert numbers(history(servers, key)) == [1, 2]


# --- If-Match and If-None-Match ---


def test_of_fifty_updates_that_name_the_same_version_one_wins(servers: list[str], fresh: str) -> None:
    ask(servers[0], "PUT", f"/Patient/{fresh}", person(id=fresh))
    answers = at_once(
        servers,
        [
            Request("PUT", f"/Patient/{fresh}", person(id=fresh, birthDate=f"19{n + 10}-01-01"), {"If-Match": 'W/"1"'})
            for n in range(CROWD)
        ],
    )
    assert statuses(answers) == {200: 1, 412: CROWD - 1}
    assert {outcome_code(answer) for answer in answers if answer.status == 412} == {"conflict"}
    winner = next(answer for answer in answers if answer.status == 200)
    assert winner.version == 2
    assert ask(servers[1], "GET", f"/Patient/{fresh}").body == winner.body
    assert numbers(history(servers, f"Patient/{fresh}")) == [1, 2]


def test_of_fifty_updates_that_want_nothing_to_be_there_one_creates(servers: list[str], fresh: str) -> None:
    answers = at_once(
        servers,
        [
            Request("PUT", f"/Patient/{fresh}", person(id=fresh, birthDate=f"19{n + 10}-01-01"), {"If-None-Match": "*"})
            for n in range(CROWD)
        ],
    )
    assert statuses(answers) == {201: 1, 412: CROWD - 1}
    assert {outcome_code(answer) for answer in answers if answer.status == 412} == {"duplicate"}
    winner = next(answer for answer in answers if answer.status == 201)
    assert ask(servers[1], "GET", f"/Patient/{fresh}").body == winner.body
    assert numbers(history(servers, f"Patient/{fresh}")) == [1]


def test_of_fifty_deletes_that_name_the_same_version_one_wins(servers: list[str], fresh: str) -> None:
    ask(servers[0], "PUT", f"/Patient/{fresh}", person(id=fresh))
    answers = at_once(servers, [Request("DELETE", f"/Patient/{fresh}", headers={"If-Match": 'W/"1"'})] * CROWD)
    assert statuses(answers) == {204: 1, 412: CROWD - 1}
    assert numbers(history(servers, f"Patient/{fresh}")) == [1, 2]


# --- plain writes of one resource ---


def test_fifty_updates_that_create_one_id_all_stand_in_its_history(servers: list[str], fresh: str) -> None:
    answers = at_once(
        servers,
        [Request("PUT", f"/Patient/{fresh}", person(id=fresh, birthDate=f"19{n + 10}-01-01")) for n in range(CROWD)],
    )
    assert statuses(answers) == {201: 1, 200: CROWD - 1}
    by_number = {answer.version: answer for answer in answers}
    assert sorted(by_number) == list(range(1, CROWD + 1))
    assert by_number[1].status == 201
    entries = history(servers, f"Patient/{fresh}")
    assert [each["resource"] for each in entries] == [by_number[number].json() for number in range(1, CROWD + 1)]
    moments = [each["response"]["lastModified"] for each in entries]
    assert moments == sorted(set(moments))
    assert ask(servers[1], "GET", f"/Patient/{fresh}").body == by_number[CROWD].body


def test_fifty_updates_with_the_same_content_make_one_version(servers: list[str], fresh: str) -> None:
    answers = at_once(servers, [Request("PUT", f"/Patient/{fresh}", person(id=fresh))] * CROWD)
    assert statuses(answers) == {201: 1, 200: CROWD - 1}
    assert len({answer.body for answer in answers}) == 1
    assert numbers(history(servers, f"Patient/{fresh}")) == [1]


def test_fifty_patches_that_each_add_a_step_lose_none(servers: list[str], fresh: str) -> None:
    ask(servers[0], "PUT", f"/Task/{fresh}", task(id=fresh, identifier=[{"system": STEP, "value": "start"}]))
    answers = at_once(
        servers,
        [
            Request(
                "PATCH",
                f"/Task/{fresh}",
                [{"op": "add", "path": "/identifier/-", "value": {"system": STEP, "value": str(n)}}],
            )
            for n in range(CROWD)
        ],
    )
    assert statuses(answers) == {200: CROWD}
    steps = [it["value"] for it in ask(servers[1], "GET", f"/Task/{fresh}").json()["identifier"]]
    assert sorted(steps) == sorted(["start", *map(str, range(CROWD))])
    assert sorted(answer.version for answer in answers) == list(range(2, CROWD + 2))


def test_a_counter_that_clients_read_test_and_raise_counts_every_success(servers: list[str], fresh: str) -> None:
    ask(servers[0], "PUT", f"/Task/{fresh}", task(id=fresh, description="0"))
    raised, rounds = 0, 4
    for _ in range(rounds):
        seen = int(ask(servers[0], "GET", f"/Task/{fresh}").json()["description"])
        patch = [
            {"op": "test", "path": "/description", "value": str(seen)},
            {"op": "replace", "path": "/description", "value": str(seen + 1)},
        ]
        answers = at_once(servers, [Request("PATCH", f"/Task/{fresh}", patch)] * 20)
        assert [answer.status for answer in answers].count(200) == 1
        assert {answer.status for answer in answers} == {200, 422}
        raised += 1
    assert ask(servers[1], "GET", f"/Task/{fresh}").json()["description"] == str(raised) == str(rounds)


# --- transactions against each other ---


def test_transactions_that_write_the_same_resources_in_opposite_orders_all_land_whole(
    servers: list[str], fresh: str
) -> None:
    keys = [f"{fresh}-{n}" for n in range(4)]

    def posted(number: int) -> dict[str, Any]:
        mark = [{"system": HELD, "value": f"{fresh}-by-{number}"}]
        order = keys if number % 4 < 2 else keys[::-1]
        return bundle("transaction", *(entry("PUT", f"Task/{key}", task(id=key, identifier=mark)) for key in order))

    answers = at_once(servers, [Request("POST", "", posted(number)) for number in range(20)])
    assert statuses(answers) == {200: 20}
    told = [[each["resource"]["identifier"][0]["value"] for each in history(servers, f"Task/{key}")] for key in keys]
    assert sorted(told[0]) == sorted(f"{fresh}-by-{number}" for number in range(20))
    # one after the other, whichever came first: the same order on each of the four
    assert told[1:] == told[:1] * 3


def test_a_reader_beside_transactions_sees_each_of_them_whole_or_not_at_all(servers: list[str], fresh: str) -> None:
    keys = [f"{fresh}-{n}" for n in range(3)]

    def posted(number: int) -> Request:
        entries = [entry("PUT", f"Task/{key}", task(id=key, description=str(number))) for key in keys]
        return Request("POST", "", bundle("transaction", *entries))

    def read() -> Request:
        return Request("POST", "", bundle("transaction", *(entry("GET", f"Task/{key}") for key in keys)))

    at_once(servers, [posted(-1)])
    answers = at_once(servers, [posted(n // 2) if n % 4 < 2 else read() for n in range(40)])
    assert statuses(answers) == {200: 40}
    for answer in answers[2::4] + answers[3::4]:
        assert len({it["resource"]["description"] for it in answer.json()["entry"]}) == 1
