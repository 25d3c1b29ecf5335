"""What becomes of a resource that breaks a rule of a profile, by the settings: refused, kept and told of, or not looked at.

And a server that takes PHB resources alone. R4's own rules hold in every mode; `/metadata` shows what the settings are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from phb_fhir.app import check_types, promises
from phb_fhir.definitions.load import load
from phb_fhir.settings import Settings, WrongSetting
from tests.builders import bundle, entry, person
from tests.interactions.checks import JSON_PATCH, made, refused, sent, server_with
from tests.interactions.phb import GUIDE, charged, example, hospital_account, phb_budget, to
from tests.processes import ServerProcess, ask

OUTCOME = {"Prefer": "return=OperationOutcome"}


@pytest.fixture(scope="module")
def lenient(mongodb_uri: str) -> Iterator[httpx.Client]:
    """A server that warns of Accounts and ChargeItems, does not look at Tasks, and refuses the rest."""
    modes = ("Account=warn", "ChargeItem = warn", "Task=off")
    with server_with(mongodb_uri, validation_modes=modes) as api:
        yield api


@pytest.fixture(scope="module")
def closed(mongodb_uri: str) -> Iterator[httpx.Client]:
    """A server that takes PHB resources alone."""
    with server_with(mongodb_uri, only_phb_resources=True) as api:
        yield api


def told(answer: httpx.Response, status: int = 201) -> list[tuple[str, str, str]]:
    """What a write says beside that it was done: severity, sentence, place."""
    assert answer.status_code == status, answer.text
    done, *rest = answer.json()["issue"]
    assert (done["severity"], done["code"]) == ("information", "informational")
    return [(one["severity"], one["diagnostics"], one["expression"][0]) for one in rest]


# ---- warnings on a write ---------------------------------------------------------------------------------------------


def test_a_write_that_succeeds_tells_its_warnings_to_who_asks_for_the_outcome(api: httpx.Client) -> None:
    claim = {"profile": ["https://others.example/StructureDefinition/patient"]}
    answer = api.post("Patient", json=person(meta=claim), headers=OUTCOME)
    ((severity, text, place),) = told(answer)
    assert (severity, place) == ("warning", "Patient.meta.profile[0]")
    assert "https://others.example/StructureDefinition/patient is not known here" in text
    assert answer.json()["issue"][0]["diagnostics"] == "Patient/id-1 was created."


def test_a_write_with_nothing_to_warn_of_says_that_it_was_done_and_no_more(api: httpx.Client) -> None:
    assert told(api.post("Patient", json=person(), headers=OUTCOME)) == []


def test_a_patch_tells_its_warnings_too(api: httpx.Client) -> None:
    made(api.put("Patient/p", json=person(id="p")))
    claim = [{"op": "add", "path": "/meta/profile", "value": ["https://others.example/StructureDefinition/patient"]}]
    answer = api.patch("Patient/p", json=claim, headers={**JSON_PATCH, **OUTCOME})
    assert [place for _, _, place in told(answer, 200)] == ["Patient.meta.profile[0]"]


def test_the_entries_of_a_transaction_tell_theirs(api: httpx.Client) -> None:
    claim = {"profile": ["https://others.example/StructureDefinition/patient"]}
    entries = [entry("POST", "Patient", person()), entry("POST", "Patient", person(meta=claim))]
    good, warned = sent(api, "transaction", *entries, Prefer="return=OperationOutcome")
    assert len(good["response"]["outcome"]["issue"]) == 1
    assert warned["response"]["outcome"]["issue"][1]["expression"] == ["Patient.meta.profile[0]"]


def test_who_asks_for_the_resource_gets_the_resource(api: httpx.Client) -> None:
    claim = {"profile": ["https://others.example/StructureDefinition/patient"]}
    assert made(api.post("Patient", json=person(meta=claim)))["meta"]["profile"] == claim["profile"]


# ---- warn ------------------------------------------------------------------------------------------------------------


def test_in_the_mode_warn_what_breaks_a_profile_is_kept_and_told_of(lenient: httpx.Client) -> None:
    answer = lenient.post("Account", json=phb_budget("owner"), headers=OUTCOME)
    ((severity, text, place),) = told(answer)
    assert (severity, place) == ("warning", "Account.owner")
    assert '"owner"' in text
    assert told(lenient.post("Account", json=phb_budget(), headers=OUTCOME)) == []


def test_in_the_mode_warn_a_claimed_profile_only_warns(lenient: httpx.Client) -> None:
    claim = {"profile": [f"{GUIDE}/phb-budget"]}
    places = [
        place for _, _, place in told(lenient.post("Account", json=hospital_account(meta=claim), headers=OUTCOME))
    ]
    assert "Account.owner" in places


def test_in_the_mode_warn_what_a_budget_makes_a_purchase_is_warned_of(lenient: httpx.Client) -> None:
    made(lenient.put("Account/b", json=phb_budget(id="b")))
    answer = lenient.post("ChargeItem", json=charged(to("Account/b"), "enterer"), headers=OUTCOME)
    assert [(severity, place) for severity, _, place in told(answer)] == [("warning", "ChargeItem.enterer")]
    answer = lenient.patch(
        f"ChargeItem/{answer.headers['location'].split('/')[-3]}",
        json=[{"op": "add", "path": "/note", "value": [{"text": "Paid at the till."}]}],
        headers={**JSON_PATCH, **OUTCOME},
    )
    assert [(severity, place) for severity, _, place in told(answer, 200)] == [("warning", "ChargeItem.enterer")]


def test_in_the_mode_warn_a_budget_may_leave_its_rules_and_is_told_so(lenient: httpx.Client) -> None:
    made(lenient.put("Account/gone", json=phb_budget(id="gone")))
    answer = lenient.put("Account/gone", json=hospital_account(id="gone"), headers=OUTCOME)
    ((severity, text, place),) = told(answer, 200)
    assert (severity, place) == ("warning", "Account.type")
    assert "stays so" in text
    # and is none from then on
    assert told(lenient.post("ChargeItem", json=charged(to("Account/gone"), "enterer"), headers=OUTCOME)) == []


def test_what_is_kept_in_the_mode_warn_leaves_one_line_in_the_log_with_nothing_of_the_person(
    tmp_path: Path, mongodb_uri: str, database_name: str
) -> None:
    settings = {
        "mongodb_uri": mongodb_uri,
        "mongodb_database": database_name,
        "validation_modes": "*=error,Account=warn",
    }
    with ServerProcess(tmp_path, **settings) as server:
        kept = ask(server.base, "POST", "/Account", phb_budget("owner"))
        assert (kept.status, ask(server.base, "POST", "/Account", phb_budget()).status) == (201, 201)
        assert ask(server.base, "POST", "/Task", example("Task-jill-sign-off", "for")).status == 422
        server.stop()
        lines = [json.loads(line) for line in server.log.read_text().splitlines() if '"kept"' in line]
    ((line),) = lines
    assert (line["key"], line["warnings"], line["places"]) == (kept.key, 1, ["required Account.owner"])


# ---- off -------------------------------------------------------------------------------------------------------------


def test_in_the_mode_off_nothing_is_held_against_profiles(lenient: httpx.Client) -> None:
    claim = {"profile": [f"{GUIDE}/phb-task", "https://others.example/StructureDefinition/task"]}
    bad = example("Task-jill-sign-off", "for", id="t", meta=claim)
    assert told(lenient.put("Task/t", json=bad, headers=OUTCOME)) == []
    none = {**bad, "code": {"text": "Something else"}}
    assert told(lenient.put("Task/t", json=none, headers=OUTCOME), 200) == []


# ---- in every mode ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_", ["Account", "Task"])
def test_the_rules_of_r4_hold_in_every_mode(lenient: httpx.Client, type_: str) -> None:
    good = {"Account": phb_budget(), "Task": example("Task-jill-sign-off")}[type_]
    refused(lenient.post(type_, json={**good, "status": "xyzzy"}), 422, "code-invalid", at=f"{type_}.status")
    refused(lenient.post(type_, json={**good, "xyzzy": 1}), 400, "structure", at=f"{type_}.xyzzy")
    made(lenient.post(type_, json=good))


def test_a_type_that_is_not_named_has_the_mode_error(lenient: httpx.Client) -> None:
    refused(lenient.post("CarePlan", json=example("CarePlan-jill-plan", "title")), 422, "required", at="CarePlan.title")
    made(lenient.post("CarePlan", json=example("CarePlan-jill-plan")))


def test_the_star_stands_for_every_type_that_is_not_named(mongodb_uri: str) -> None:
    with server_with(mongodb_uri, validation_modes=("*=warn", "Account=error")) as api:
        made(api.post("CarePlan", json=example("CarePlan-jill-plan", "title")))
        refused(api.post("Account", json=phb_budget("owner")), 422, "required", at="Account.owner")
        rest = api.get("metadata").json()["rest"][0]
        assert rest["extension"] == [{"url": f"{GUIDE}/phb-validation-mode", "valueCode": "warn"}]


# ---- a server for PHB resources alone --------------------------------------------------------------------------------

OTHERS = {
    "Account": hospital_account(),
    "ChargeItem": charged(None),
    "CarePlan": example("CarePlan-jill-plan", "category"),
    "Task": example("Task-jill-sign-off", code={"text": "Ring her"}),
}
OURS = {
    "Account": phb_budget(),
    "CarePlan": example("CarePlan-jill-plan"),
    "Task": example("Task-jill-sign-off"),
}


def not_taken(answer: httpx.Response, type_: str, at: str = "") -> None:
    refused(
        answer, 422, "business-rule", f"This server takes PHB resources alone, and this {type_} is none", at=at or type_
    )


@pytest.mark.parametrize("type_", OTHERS)
def test_a_closed_server_refuses_what_is_no_phb_resource(closed: httpx.Client, type_: str) -> None:
    not_taken(closed.post(type_, json=OTHERS[type_]), type_)
    not_taken(closed.put(f"{type_}/one", json={**OTHERS[type_], "id": "one"}), type_)
    answer = closed.post("", json=bundle("transaction", entry("POST", type_, OTHERS[type_])))
    not_taken(answer, type_, "Bundle.entry[0].resource")


@pytest.mark.parametrize("type_", OURS)
def test_a_closed_server_takes_what_is_one(closed: httpx.Client, type_: str) -> None:
    made(closed.post(type_, json=OURS[type_]))
    sent(closed, "transaction", entry("POST", type_, OURS[type_]))


def test_a_closed_server_takes_purchases_from_budgets_alone(closed: httpx.Client) -> None:
    made(closed.put("Account/b", json=phb_budget(id="b")))
    made(closed.post("ChargeItem", json=charged(to("Account/b"))))
    not_taken(closed.post("ChargeItem", json=charged(to("Account/nowhere"))), "ChargeItem")


def test_a_closed_server_says_what_would_be_taken(closed: httpx.Client) -> None:
    issue = closed.post("Account", json=hospital_account()).json()["issue"][0]
    system = "https://fhir.phb.nhs.example/CodeSystem/phb-account-type"
    assert f"It would be one with a code of {system} at Account.type." in issue["diagnostics"]
    issue = closed.post("ChargeItem", json=charged(None)).json()["issue"][0]
    assert "It would be one with a reference to such an Account at ChargeItem.account." in issue["diagnostics"]


def test_a_closed_server_takes_resources_of_other_types_as_ever(closed: httpx.Client) -> None:
    made(closed.post("Patient", json=person()))
    made(closed.post("DocumentReference", json={
        "resourceType": "DocumentReference", "status": "current", "content": [{"attachment": {"title": "A letter"}}],
    }))  # fmt: skip


# ---- what /metadata shows --------------------------------------------------------------------------------------------


def shown(api: httpx.Client) -> dict[str, list[dict[str, Any]]]:
    rest = api.get("metadata").json()["rest"][0]
    rows = {row["type"]: row["extension"] for row in rest["resource"] if "extension" in row}
    return {"*": rest["extension"], **rows}


def test_the_statement_shows_the_modes_and_is_valid(lenient: httpx.Client) -> None:
    def mode(code: str) -> list[dict[str, Any]]:
        return [{"url": f"{GUIDE}/phb-validation-mode", "valueCode": code}]

    expected = {"*": mode("error"), "Account": mode("warn"), "ChargeItem": mode("warn"), "Task": mode("off")}
    assert shown(lenient) == expected
    statement = lenient.get("metadata").json()
    said = statement["rest"][0]["documentation"]
    assert "What breaks a rule of a profile is kept: it is not held against profiles, if it is a Task." in said
    made(lenient.put(f"CapabilityStatement/{statement['id']}", json=statement))


def test_the_statement_shows_that_a_server_is_closed(closed: httpx.Client, api: httpx.Client) -> None:
    found = shown(closed)
    types = {"Account", "CarePlan", "ChargeItem", "Task"}
    assert found.keys() - {"*"} == types
    assert all(found[type_] == [{"url": f"{GUIDE}/phb-only", "valueBoolean": True}] for type_ in types)
    assert (
        "PHB resources alone are taken: Account, CarePlan, ChargeItem, Task."
        in (closed.get("metadata").json()["rest"][0]["documentation"])
    )
    assert shown(api).keys() == {"*"}


# ---- at the start ----------------------------------------------------------------------------------------------------


def test_a_mode_for_what_is_no_type_stops_the_start() -> None:
    promised = promises(load())
    with pytest.raises(WrongSetting) as refused_:
        check_types(Settings(validation_modes=("Acount=warn",)), promised)
    said = "The setting validation_modes names Acount, which is no resource type served here. Did you mean Account?"
    assert refused_.value.sentence == said
    check_types(Settings(validation_modes=("Account=warn", "*=error")), promised)
