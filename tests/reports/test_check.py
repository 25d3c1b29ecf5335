"""What a check finds: each thing that is broken behind the server's back, and nothing else."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.fresh import tell_once
from tests.paying import NORTH, WILLOW, advance, line, made, payment
from tests.stories import FAMILY, massage, tell

DRIFT = "https://fhir.phb.nhs.example/CodeSystem/phb-drift"
PAID = {"url": "https://fhir.phb.nhs.example/StructureDefinition/phb-paid-by", "valueCode": "person"}
CHARGE = "ChargeItem/jill-counselling-2026-11-26"
BUDGET = "Account/jill-budget"


@pytest.fixture
def record(api, shelf):
    """A server with Jill's story, where a purchase was made, corrected and taken back; its database; and that purchase."""
    charge = tell_once(api, corrected)
    return api, shelf.database, charge


def corrected(api):
    tell(api)
    charge = api.post("/ChargeItem", json={**massage(), "id": "x"}).json()
    charge = api.put(
        f"/ChargeItem/{charge['id']}", json={**charge, "priceOverride": {"value": 40.00, "currency": "GBP"}}
    ).json()
    api.put(f"/ChargeItem/{charge['id']}", json={**charge, "status": "entered-in-error"})
    deleted = api.post("/Basic", json={"resourceType": "Basic", "code": {"text": "a"}}).json()
    api.delete(f"/Basic/{deleted['id']}")
    return f"ChargeItem/{charge['id']}"


def found(api):
    """What $fsck finds: the kind, and what it names."""
    outcome = api.get("/$fsck").json()
    assert outcome["resourceType"] == "OperationOutcome"
    drifts = [issue for issue in outcome["issue"] if issue["severity"] in ("error", "warning")]
    return [(one["details"]["coding"][0]["code"], one["diagnostics"].split(": ")[0]) for one in drifts]


def entry_of(database, about=CHARGE):
    return database.ledger.find_one({"about": about})


def test_a_record_that_nobody_tampered_with_is_whole(record):
    api, _, _ = record
    outcome = api.get("/$fsck").json()
    assert [issue["severity"] for issue in outcome["issue"]] == ["information", "information"]
    assert outcome["issue"][0]["diagnostics"] == "Everything agrees."
    assert outcome["issue"][1]["diagnostics"].startswith("Looked at 1 accounts with ")


def test_an_empty_record_is_whole(api):
    assert found(api) == []


# ---- the ledger ----------------------------------------------------------------------------------


def test_a_balance_that_was_changed_is_found(record):
    api, database, _ = record
    row = database.balances.find_one({"_id": BUDGET})
    pots = [
        [pot, allocated + 1, *others] if pot == "daily-life" else [pot, allocated, *others]
        for pot, allocated, *others in row["pots"]
    ]
    database.balances.update_one({"_id": BUDGET}, {"$set": {"pots": pots}})
    assert found(api) == [("balance", BUDGET)]


@pytest.mark.parametrize("change", [{"pots": [["daily-life", 1.5, 0, 0, 0]]}, {"at": "yesterday"}, {"pots": "none"}])
def test_a_balance_that_cannot_be_read_is_found(record, change):
    api, database, _ = record
    database.balances.update_one({"_id": BUDGET}, {"$set": change})
    assert set(found(api)) == {("balance", BUDGET)}


def test_a_balance_that_is_gone_is_found(record):
    api, database, _ = record
    database.balances.delete_one({"_id": BUDGET})
    assert found(api) == [("balance", BUDGET)]


def test_a_balance_of_what_has_no_entries_is_found(record):
    api, database, _ = record
    database.balances.insert_one({"_id": "Account/invented", "last": 0, "pots": [["", 100, 0, 0, 0]]})
    assert found(api) == [("balance", "Account/invented")]


def test_an_entry_that_was_taken_away_is_found_in_its_ledger_its_balance_and_its_purchase(record):
    api, database, _ = record
    database.ledger.delete_one({"_id": entry_of(database)["_id"]})
    assert found(api) == [("numbering", BUDGET), ("balance", BUDGET), ("position", CHARGE)]


def test_the_last_entry_that_was_cut_off_is_found(record):
    api, database, charge = record
    last = database.ledger.find_one({"account": BUDGET}, sort=[("n", -1)])
    database.ledger.delete_one({"_id": last["_id"]})
    assert found(api) == [("numbering", BUDGET), ("balance", BUDGET), ("position", charge)]


def test_an_entry_of_another_amount_is_found(record):
    api, database, _ = record
    database.ledger.update_one({"_id": entry_of(database)["_id"]}, {"$set": {"committed": 1}})
    assert found(api) == [("balance", BUDGET), ("position", CHARGE)]


def test_an_entry_that_does_not_move_what_its_kind_moves_is_found(record):
    api, database, _ = record
    entry = entry_of(database)
    database.ledger.update_one({"_id": entry["_id"]}, {"$set": {"kind": "spend"}})
    assert found(api) == [("entry", entry["_id"])]
    database.ledger.update_one({"_id": entry["_id"]}, {"$set": {"kind": "present"}})
    assert found(api) == [("entry", entry["_id"])]


@pytest.mark.parametrize("damage", [{"$set": {"committed": 10.5}}, {"$set": {"spent": "0"}}, {"$unset": {"pot": 1}}])
def test_an_entry_that_cannot_be_read_is_found_and_hides_nothing_else(record, damage):
    api, database, _ = record
    entry = entry_of(database)
    database.ledger.update_one({"_id": entry["_id"]}, damage)
    told = found(api)
    assert ("position", CHARGE) in told
    assert {("entry", entry["_id"]), ("balance", BUDGET)} & {*told}


def test_an_entry_out_of_its_time_is_found(record):
    api, database, _ = record
    entry = entry_of(database)
    database.ledger.update_one({"_id": entry["_id"]}, {"$set": {"at": entry["at"] - timedelta(days=1)}})
    assert found(api) == [("entry", entry["_id"])]


@pytest.mark.parametrize("cause", ["ChargeItem/nobody/_history/1", f"{CHARGE}/_history/7", CHARGE, ""])
def test_an_entry_of_a_cause_that_is_not_there_is_found(record, cause):
    api, database, _ = record
    entry = database.ledger.find_one({"account": BUDGET, "kind": "contingency"})
    database.ledger.update_one({"_id": entry["_id"]}, {"$set": {"cause": cause}})
    named = [("cause", entry["_id"])]
    assert found(api) == [*named, ("allocation", BUDGET)]  # its budget did not cause it either


def test_an_entry_about_a_purchase_that_is_not_there_is_found(record):
    api, database, _ = record
    entry = entry_of(database)
    database.ledger.update_one({"_id": entry["_id"]}, {"$set": {"about": "ChargeItem/nobody"}})
    assert found(api) == [("cause", entry["_id"]), ("position", CHARGE)]


@pytest.mark.parametrize(
    "when",
    [
        {"occurrenceDateTime": "2026-10-10T23:30:00Z"},
        {"occurrencePeriod": {"start": "2026-10-10T08:00:00Z", "end": "2026-10-10T23:30:00Z"}},
        {"occurrenceTiming": {"event": ["2026-10-10T23:30:00Z"]}},
    ],
    ids=lambda when: next(iter(when)),
)
def test_a_day_as_it_was_reckoned_before_days_were_those_of_england_is_no_drift(record, when):
    api, database, _ = record
    charge = {name: value for name, value in massage("PUR-LATE").items() if name != "occurrenceDateTime"} | when
    late = made(api.post("/ChargeItem", json=charge))
    entry = entry_of(database, f"ChargeItem/{late['id']}")
    assert entry["day"] == "2026-10-11"
    for day, drifts in (("2026-10-10", []), ("2026-10-12", [("cause", entry["_id"])])):
        database.ledger.update_one({"_id": entry["_id"]}, {"$set": {"day": day}})
        assert found(api) == drifts


@pytest.mark.parametrize("day", ["2026-01-01", "", "2026-11"])
@pytest.mark.parametrize("which", [{"about": CHARGE}, {"kind": "contingency"}, {"kind": "advance"}])
def test_an_entry_of_another_day_than_its_cause_makes_it_is_found(record, which, day):
    api, database, _ = record
    made(api.post("/PaymentReconciliation", json=advance("PAY-1", 10, paymentDate="2026-11-20")))
    entry = database.ledger.find_one({"account": BUDGET, **which})
    database.ledger.update_one({"_id": entry["_id"]}, {"$set": {"day": day}})
    assert found(api) == [("cause", entry["_id"])]
    database.ledger.update_one({"_id": entry["_id"]}, {"$set": {"day": entry["day"]}})
    assert found(api) == []


@pytest.mark.parametrize("change", [{"$set": {"funder": WILLOW}}, {"$unset": {"funder": ""}}])
@pytest.mark.parametrize("which", [{"about": CHARGE}, {"kind": "contingency"}])
def test_an_entry_of_another_funders_money_is_found(record, which, change):
    api, database, _ = record
    entry = database.ledger.find_one({"account": BUDGET, **which})
    database.ledger.update_one({"_id": entry["_id"]}, change)
    assert found(api) == [("cause", entry["_id"])]


def test_an_entry_of_one_funder_of_a_joint_budget_that_tells_the_others_money_is_found(record):
    api, database, _ = record
    tell(api, FAMILY)
    kit = "ChargeItem/asha-sensory-kit"
    api.post(f"/{kit}/$approve", json={"resourceType": "Parameters"})
    one, other = database.ledger.find({"about": kit})
    database.ledger.update_one({"_id": one["_id"]}, {"$set": {"funder": other["funder"]}})
    assert found(api) == [("cause", one["_id"])]


# ---- what purchases and budgets hold -------------------------------------------------------------


def rewritten(database, key, change):
    """Change the text of a resource, and nothing beside it."""
    content = json.loads(database.resources.find_one({"_id": key})["json"])
    change(content)
    database.resources.update_one({"_id": key}, {"$set": {"json": json.dumps(content)}})


@pytest.mark.parametrize(
    "change",
    [
        lambda charge: charge["priceOverride"].update(value=61.00),
        lambda charge: charge["extension"][0].update(valueId="daily-life"),
    ],
)
def test_a_purchase_that_says_something_else_than_its_entries_is_found(record, change):
    api, database, _ = record
    rewritten(database, CHARGE, change)
    found_ = found(api)
    assert {kind for kind, _ in found_} <= {"position", "index"}
    assert ("position", CHARGE) in found_
    assert {key for _, key in found_} == {CHARGE}


def test_money_on_its_way_back_has_no_entries_yet_and_is_no_drift(record):
    api, database, _ = record
    back = payment(
        "BACK-1", line(50, kind="advance"), issuer=WILLOW, payee=NORTH, part="nights-and-payroll", outcome="queued"
    )
    stored = made(api.post("/PaymentReconciliation", json=back))
    assert found(api) == []
    key = f"PaymentReconciliation/{stored['id']}"
    made(api.put(f"/{key}", json={**stored, "outcome": "complete"}))
    assert found(api) == []
    rewritten(database, key, lambda paid: paid["detail"][0]["amount"].update(value=49.00))
    assert ("position", key) in found(api)


def test_a_purchase_of_a_joint_budget_that_says_another_price_is_found(record):
    api, database, _ = record
    tell(api, FAMILY)
    kit = "ChargeItem/asha-sensory-kit"
    approved = api.post(f"/{kit}/$approve", json={"resourceType": "Parameters"})
    assert (approved.json()["status"], found(api)) == ("billable", [])
    assert database.ledger.count_documents({"about": kit}) == 2  # one for each funder
    rewritten(database, kit, lambda charge: charge["priceOverride"].update(value=1.00))
    assert ("position", kit) in found(api)
    assert {key for _, key in found(api)} == {kit}


def test_a_budget_that_says_another_amount_than_it_was_given_is_found(record):
    api, database, _ = record

    def change(account):
        text = json.dumps(account).replace("2020.0", "2021.0")
        account.clear()
        account.update(json.loads(text))

    rewritten(database, BUDGET, change)
    assert found(api) == [("allocation", BUDGET)]


# ---- resources -----------------------------------------------------------------------------------


def test_index_values_that_were_changed_are_found(record):
    api, database, _ = record
    database.resources.update_one({"_id": CHARGE}, {"$push": {"ix.k": "status=billed"}})
    assert found(api) == [("index", CHARGE)]


def test_index_values_that_are_gone_are_found(record):
    api, database, _ = record
    digest = database.resources.find_one({"_id": CHARGE})["ix"]["g"]
    database.resources.update_one({"_id": CHARGE}, {"$set": {"ix": {"g": digest}}})
    assert found(api) == [("index", CHARGE)]


def test_the_entries_that_decide_who_may_see_it_are_held_against_it_too(record):
    api, database, _ = record
    database.resources.update_one({"_id": CHARGE}, {"$push": {"a": "patient=Patient/asha"}})
    assert found(api) == [("index", CHARGE)]


def test_index_values_by_other_parameters_are_no_drift_because_they_are_being_brought_up_to_date(record):
    api, database, _ = record
    database.resources.update_one({"_id": CHARGE}, {"$set": {"ix.g": "of-another-build", "ix.k": []}})
    assert found(api) == []


@pytest.mark.parametrize("number", [1, 2])
def test_a_version_that_is_gone_from_a_history_is_found(record, number):
    api, database, charge = record
    assert database.history.delete_one({"key": charge, "version": number}).deleted_count == 1
    assert found(api) == [("history", charge)]


def test_versions_that_do_not_follow_each_other_in_time_are_found(record):
    api, database, charge = record
    row = database.history.find_one({"key": charge, "version": 1})
    database.history.update_one({"_id": row["_id"]}, {"$set": {"until": row["until"] + timedelta(seconds=1)}})
    assert found(api) == [("history", charge)]


def test_a_history_of_what_is_not_there_is_found(record):
    api, database, _ = record
    deleted = database.history.find_one({"type": "Basic"})["key"]
    database.resources.delete_one({"_id": deleted})
    assert found(api) == [("history", deleted)]


def test_a_text_that_is_not_its_own_is_found(record):
    api, database, _ = record
    rewritten(database, "Goal/jill-goal-out-and-about", lambda goal: goal.update(id="another"))
    assert found(api) == [("content", "Goal/jill-goal-out-and-about")]


def test_a_resource_that_is_marked_as_deleted_is_found(record):
    api, database, _ = record
    database.resources.update_one({"_id": "Goal/jill-goal-out-and-about"}, {"$set": {"deleted": True}})
    assert ("content", "Goal/jill-goal-out-and-about") in found(api)


@pytest.mark.parametrize("text", ["{", "[]", "null", '"x"', "{}"])
def test_a_text_that_is_no_resource_is_found_and_hides_nothing_else(record, text):
    api, database, _ = record
    database.resources.update_one({"_id": "Goal/jill-goal-out-and-about"}, {"$set": {"json": text}})
    database.resources.update_one({"_id": CHARGE}, {"$push": {"a": "patient=Patient/asha"}})
    assert sorted(found(api)) == [("content", "Goal/jill-goal-out-and-about"), ("index", CHARGE)]


def test_a_reference_to_what_is_not_there_is_found_wherever_it_is(record):
    api, database, _ = record
    database.resources.delete_one({"_id": "DocumentReference/jill-invoice-profiling-bed"})
    assert set(found(api)) == {("reference", "ChargeItem/jill-profiling-bed")}


def test_a_reference_to_a_version_that_is_not_there_is_found(api):
    tell(api)
    made = {"resourceType": "Provenance", "recorded": "2026-11-22T09:00:00Z", "agent": [{"who": {"display": "x"}}]}
    made = api.post("/Provenance", json={**made, "target": [{"reference": f"{BUDGET}/_history/1"}]}).json()
    assert found(api) == []
    wrong = {**made, "target": [{"reference": f"{BUDGET}/_history/9"}]}
    assert api.put(f"/Provenance/{made['id']}", json=wrong).status_code == 200
    assert found(api) == [("reference", f"Provenance/{made['id']}")]


def test_what_was_deleted_is_there_for_who_refers_to_it(api):
    note = api.post("/Basic", json={"resourceType": "Basic", "code": {"text": "a"}}).json()
    listed = {"resourceType": "List", "status": "current", "mode": "working"}
    api.post("/List", json={**listed, "entry": [{"item": {"reference": f"Basic/{note['id']}"}}]})
    api.delete(f"/Basic/{note['id']}")
    assert found(api) == []


def test_each_issue_says_of_which_kind_it_is_in_our_own_words(record):
    api, database, _ = record
    database.balances.delete_one({"_id": BUDGET})
    issue = api.get("/$fsck").json()["issue"][0]
    assert (issue["severity"], issue["code"]) == ("error", "conflict")
    assert issue["details"]["coding"] == [{"system": DRIFT, "code": "balance"}]
    assert issue["diagnostics"].startswith(f"{BUDGET}: It has ")


def test_it_takes_no_inputs(api):
    assert api.get("/$fsck?deep=true").status_code == 400
