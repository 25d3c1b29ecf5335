"""C32E7: what a payment run queues by itself: the advances that a schedule says are due, and what keeps them back."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from bson import ObjectId
from pymongo import MongoClient

from tests.journeys.bank_files import RUTH, bank, document, reasons, report, results, rows, run, transfers
from tests.journeys.jills_budget import (
    at_stage,
    finished,
    looked_at_goals,
    notice,
    put,
    read,
    reason,
    record,
    review,
    url,
)
from tests.journeys.jills_payments import BUDGET, COUNSELLING, DAILY, NURSING, counselling, with_receipt
from tests.journeys.test_c32e5_direct_payment_guards import exclusion, of_story, withdrawn
from tests.journeys.test_c32e7_payment_run import with_accounts
from tests.journeys.test_c32e7_repayment import ask, step
from tests.paying import NORTH, WILLOW, Books, advance, line, made, payment, said
from tests.running import RunningServer

# ---- advances by schedule ------------------------------------------------------------------------


def test_advances_that_are_due_by_schedule_are_paid_once(jill: httpx.Client, books: Books) -> None:
    assert rows(run(jill, date=("Date", "2026-12-04")), "payment") == []
    due = run(jill, date=("Date", "2026-12-05"))
    found = sorted((name, amount) for _, amount, name, *_ in transfers(document(due)))
    assert found == [("Jill Harper", "1525.00"), ("Willow Tree Budgets CIC", "375.00")]
    assert books.pot(BUDGET, DAILY)["advanced"] == 3 * 152_500
    assert rows(run(jill, date=("Date", "2026-12-05")), "payment") == []
    made_ones = [made(jill.get(f"/{one['reference']}")) for one in rows(due, "payment")]
    assert {one["period"]["start"] for one in made_ones} == {"2026-12-05"}
    assert {one["period"]["end"] for one in made_ones} == {"2027-01-04"}


def moved(seq: ObjectId, seconds: int) -> ObjectId:
    """The place of what was recorded so much later, or earlier."""
    return ObjectId(f"{int(str(seq), 16) + (seconds << 64):024x}")


def another(stored: dict[str, Any], id_: str, seconds: int, *, reference: str = "") -> dict[str, Any]:
    """The same payment once more under an id of its own, as if it had been recorded so much later, or earlier."""
    seq, lo = moved(stored["seq"], seconds), stored["ix"]["lo"]["PaymentReconciliation"]
    text = stored["json"].replace(f'"id":"{stored["id"]}"', f'"id":"{id_}"')
    placed = {name: one.replace(str(stored["seq"]), str(seq)) for name, one in lo.items() if isinstance(one, str)}
    return {
        **stored,
        "_id": f"PaymentReconciliation/{id_}",
        "id": id_,
        "json": text.replace(f'"{reference}"', f'"{reference}-{id_}"') if reference else text,
        "seq": seq,
        "ix": {**stored["ix"], "lo": {"PaymentReconciliation": {**lo, **placed}}},
    }


def test_a_run_looks_at_the_schedules_of_all_budgets_however_many(
    jill: httpx.Client, server: RunningServer, mongodb_admin: MongoClient[dict[str, Any]]
) -> None:
    resources = mongodb_admin[server.settings.mongodb_database]["resources"]
    hers = resources.find_one({"_id": BUDGET})
    assert hers is not None

    def other(n: int) -> dict[str, Any]:
        text = hers["json"].replace('"id":"jill-budget"', f'"id":"other-{n}"')
        return {**hers, "_id": f"Account/other-{n}", "id": f"other-{n}", "json": text, "seq": moved(hers["seq"], n)}

    resources.insert_many([other(n) for n in (*range(-1_100, 0), *range(1, 1_100))])
    answer = run(jill, date=("Date", "2026-12-05"))
    assert len(rows(answer, "payment")) == 2
    assert reasons(answer) == []


def test_what_was_sent_and_has_no_result_yet_keeps_nothing_from_being_sent(
    jill: httpx.Client, server: RunningServer, mongodb_admin: MongoClient[dict[str, Any]]
) -> None:
    made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 10)))
    run(jill, run=("String", "RUN-1"))
    resources = mongodb_admin[server.settings.mongodb_database]["resources"]
    (sent,) = resources.find({"json": {"$regex": '"RUN-1"'}})
    resources.insert_many([another(sent, f"sent-{n}", n) for n in (*range(-1_001, 0), *range(1, 1_001))])
    made(jill.post("/PaymentReconciliation", json=advance("PAY-2", 11)))
    assert [one[0] for one in transfers(document(run(jill, run=("String", "RUN-2"))))] == ["PAY-2"]


def test_what_cannot_be_paid_keeps_nothing_from_being_sent_however_much_of_it_there_is(
    jill: httpx.Client, server: RunningServer, mongodb_admin: MongoClient[dict[str, Any]]
) -> None:
    """Nobody has told the bank account of the provider to which all of these are owed."""
    with_receipt(jill, COUNSELLING)
    stuck = made(jill.post("/PaymentReconciliation", json=counselling("STUCK")))
    resources = mongodb_admin[server.settings.mongodb_database]["resources"]
    held = resources.find_one({"_id": f"PaymentReconciliation/{stuck['id']}"})
    assert held is not None
    resources.insert_many([another(held, f"stuck-{n}", n) for n in (*range(-1_100, 0), *range(1, 600))])
    made(jill.post("/PaymentReconciliation", json=advance("PAY-2", 11)))
    answer = run(jill, bank(NORTH), bank("Patient/jill"), run=("String", "RUN-2"), advances=("Boolean", False))
    assert [one[0] for one in transfers(document(answer))] == ["PAY-2"]
    assert reasons(answer)[-1][1] == "700 more are left out."


def test_a_run_pays_what_is_due_first_and_says_that_more_is_due(
    jill: httpx.Client, server: RunningServer, mongodb_admin: MongoClient[dict[str, Any]]
) -> None:
    today = made(jill.post("/PaymentReconciliation", json=advance("TODAY", 1)))
    resources = mongodb_admin[server.settings.mongodb_database]["resources"]
    held = resources.find_one({"_id": f"PaymentReconciliation/{today['id']}"})
    assert held is not None
    resources.insert_many([another(held, f"today-{n}", -n, reference="TODAY") for n in range(1, 450)])
    made(jill.post("/PaymentReconciliation", json=advance("EARLIER", 11, paymentDate="2026-11-20")))
    answer = run(jill, run=("String", "RUN-1"), advances=("Boolean", False))
    sent = [one[0] for one in transfers(document(answer))]
    assert (len(sent), "EARLIER" in sent) == (200, True)
    assert reasons(answer) == [
        (NORTH, "A run has up to 200 payments, those that are due first; what else is due goes with the next.")
    ]


def test_a_run_pays_no_more_than_a_month_ahead(jill: httpx.Client, books: Books) -> None:
    late = run(jill, date=("Date", "2026-12-24"))
    assert (late.status_code, late.json()["issue"][0]["diagnostics"]) == (
        400,
        '"date" is 24 December 2026; a run pays what is due in the next 31 days, and a later one what is due after that.',
    )
    assert books.pot(BUDGET, DAILY)["advanced"] == 2 * 152_500
    assert rows(run(jill, date=("Date", "2026-12-23")), "payment")


def test_a_budget_whose_schedule_cannot_be_followed_is_told_of(jill: httpx.Client) -> None:
    account = made(jill.get(f"/{BUDGET}"))
    for one in account["extension"]:
        if one["url"].endswith("phb-payment-schedule"):
            one["valueTiming"]["repeat"]["frequency"] = 2
    made(jill.put(f"/{BUDGET}", json=account))
    ((what, why),) = reasons(run(jill, date=("Date", "2026-12-05")))
    assert (what, why.startswith("Its schedule has no days to pay on")) == (BUDGET, True)


def test_no_advance_is_queued_for_somebody_who_died(jill: httpx.Client, books: Books) -> None:
    made(jill.put("/Patient/jill", json=made(jill.get("/Patient/jill")) | {"deceasedDateTime": "2026-11-21"}))
    answer = run(jill, date=("Date", "2026-12-05"))
    assert rows(answer, "payment") == []
    text = "The person died on 21 November 2026: nothing more is paid in advance. What is still to be paid for is recorded as a purchase."
    assert reasons(answer) == [(BUDGET, text)] * 2  # the part that Jill holds, and Willow Tree's
    assert books.pot(BUDGET, DAILY)["advanced"] == 2 * 152_500


def test_an_advance_that_waited_when_somebody_died_is_held_and_what_they_bought_is_paid(
    jill: httpx.Client, books: Books
) -> None:
    with_receipt(jill, COUNSELLING)
    waiting = made(jill.post("/PaymentReconciliation", json=advance("PAY-WAITS", 10)))
    key = f"PaymentReconciliation/{waiting['id']}"
    made(jill.post("/PaymentReconciliation", json=counselling("PAY-OWED")))
    made(jill.put("/Patient/jill", json=made(jill.get("/Patient/jill")) | {"deceasedDateTime": "2026-11-21"}))
    answer = run(jill)
    assert [one[0] for one in transfers(document(answer))] == ["PAY-OWED"]
    why = "The person died on 21 November 2026: this advance is held. Cancel it; what is still to be paid for is recorded as a purchase."
    assert (key, why) in reasons(answer)
    mark = {"system": "https://fhir.phb.nhs.example/Id/phb-payment-run", "value": "BY-HAND"}
    assert said(jill.put(f"/{key}", json={**waiting, "identifier": [mark]})) == [why]  # nor is it sent another way
    made(jill.put(f"/{key}", json={**waiting, "status": "cancelled"}))
    assert key not in [one for one, _ in reasons(run(jill))]
    assert books.agrees()


@pytest.mark.parametrize(
    ("died", "paid", "taken"),
    [
        ({"deceasedDateTime": "2026-11-20"}, "2026-11-20", 201),  # paid that day, and told of later
        ({"deceasedDateTime": "2026-11-20"}, "2026-11-21", 422),
        ({"deceasedBoolean": True}, "2026-11-21", 201),  # paid, and nobody says when the person died
        ({"deceasedBoolean": False}, "2026-11-21", 201),
    ],
)
def test_an_advance_that_was_paid_before_a_death_may_be_recorded_after_it(
    jill: httpx.Client, died: dict[str, Any], paid: str, taken: int
) -> None:
    made(jill.put("/Patient/jill", json=made(jill.get("/Patient/jill")) | died))
    sent = advance("PAY-LATE", 10) | {"outcome": "complete", "paymentDate": paid}
    assert jill.post("/PaymentReconciliation", json=sent).status_code == taken


NOBODY_AGREES = "Nobody agrees to direct payments of the part 'daily-life' on "


def test_when_consent_is_withdrawn_nothing_is_paid_by_schedule_by_hand_or_by_what_was_queued(
    jill: httpx.Client, books: Books
) -> None:
    queued = made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 100, paymentDate="2026-12-01")))
    assert put(jill, withdrawn()).status_code == 200
    answer = run(jill, date=("Date", "2026-12-05"))
    assert [name for _, _, name, *_ in transfers(document(answer))] == ["Willow Tree Budgets CIC"]
    ((what, why),) = reasons(answer)  # of the part itself nothing is due any more: it has ended
    assert (what, why[: len(NOBODY_AGREES)]) == (f"PaymentReconciliation/{queued['id']}", NOBODY_AGREES)
    (why,) = said(jill.post("/PaymentReconciliation", json=advance("PAY-2", 10)))
    assert why.startswith(f"{NOBODY_AGREES}22 November 2026")
    earlier = advance("PAY-3", 10) | {"outcome": "complete", "paymentDate": "2026-11-20"}
    made(jill.post("/PaymentReconciliation", json=earlier))  # it was paid, and is recorded late
    assert books.pot(BUDGET, DAILY)["advanced"] == 2 * 152_500 + 10_000 + 1_000
    assert books.agrees()


@pytest.mark.parametrize("day", ["2026-11-22", "2026-11-23"])
def test_consent_that_is_given_after_a_part_ended_is_not_for_that_part(jill: httpx.Client, day: str) -> None:
    assert put(jill, withdrawn()).status_code == 200
    again = {**of_story("jill-direct-payment"), "id": "again", "dateTime": day}
    again["provision"]["period"]["start"] = day
    assert put(jill, again).status_code == 200
    for run_on, paid in (("2026-11-22", []), ("2026-12-05", ["Willow Tree Budgets CIC"])):
        (why,) = said(jill.post("/PaymentReconciliation", json=advance("PAY-1", 10, paymentDate=run_on)))
        assert why.startswith(NOBODY_AGREES)
        answer = run(jill, date=("Date", run_on))
        assert [name for _, _, name, *_ in (transfers(document(answer)) if paid else ())] == paid
        assert paid or rows(answer, "payment") == []


def test_who_holds_a_part_is_paid_while_the_consent_names_them(jill: httpx.Client) -> None:
    consent = of_story("jill-direct-payment")
    actor = consent["provision"]["actor"][0] | {"reference": {"reference": RUTH}}
    assert put(jill, consent | {"provision": consent["provision"] | {"actor": [actor]}}).status_code == 200
    (why,) = said(jill.post("/PaymentReconciliation", json=advance("PAY-1", 10)))
    assert why.startswith(f"{NOBODY_AGREES}22 November 2026")
    both = [consent["provision"]["actor"][0], actor]
    assert put(jill, consent | {"provision": consent["provision"] | {"actor": both}}).status_code == 200
    made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 10)))


def test_nothing_is_paid_before_the_day_from_which_somebody_agrees(jill: httpx.Client) -> None:
    consent = of_story("jill-direct-payment")
    later = {"period": {"start": "2026-12-06"}}
    assert (
        put(jill, withdrawn(), {**consent, "id": "later", "provision": consent["provision"] | later}).status_code == 200
    )
    for day in ("2026-11-22", "2026-12-05"):
        (why,) = said(jill.post("/PaymentReconciliation", json=advance("PAY-1", 10, paymentDate=day)))
        assert why.startswith(NOBODY_AGREES)


def nominee() -> dict[str, Any]:
    """A consent by which Ruth receives direct payments for Jill."""
    consent = of_story("jill-direct-payment")
    actor = consent["provision"]["actor"][0] | {"reference": {"reference": RUTH}}
    return {**consent, "id": "nominee", "provision": consent["provision"] | {"actor": [actor]}}


@pytest.mark.parametrize(
    ("approved", "taken"),
    [([], "4417"), ([("Patient/jill", "4417")], "4417"), ([("Patient/jill", "4417"), (RUTH, "4050")], "4050 or 4417")],
    ids=["whosever it is", "the holder's", "either's"],
)
def test_who_receives_a_direct_payment_for_its_holder_is_paid_into_an_account_that_was_approved(
    jill: httpx.Client, approved: list[tuple[str, str]], taken: str
) -> None:
    if approved:
        made(jill.put(f"/{BUDGET}", json=with_accounts(made(jill.get(f"/{BUDGET}")), *approved)))
    assert put(jill, nominee()).status_code == 200
    made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 100, payee=RUTH)))
    ((_, why),) = reasons(run(jill, bank(NORTH), bank(RUTH, number="20309999"), advances=("Boolean", False)))
    assert why == f"The account that was approved for {RUTH} ends in {taken}, and this one does not (regulation 10)."
    sent = run(jill, bank(NORTH), bank(RUTH, number=f"2030{taken[-4:]}"), advances=("Boolean", False))
    assert [one[0] for one in transfers(document(sent))] == ["PAY-1"]


def test_what_was_sent_to_somebody_whose_consent_ended_since_was_paid_all_the_same(
    jill: httpx.Client, books: Books
) -> None:
    assert put(jill, nominee()).status_code == 200
    sent = made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 100, payee=RUTH)))
    hers = bank(RUTH, number="20304417")
    made(run(jill, bank(NORTH), hers, run=("String", "RUN-1"), advances=("Boolean", False)))
    assert put(jill, nominee() | {"status": "inactive"}).status_code == 200
    assert rows(results(jill, report("RUN-1", ("PAY-1", "ACSC"))), "complete")
    assert made(jill.get(f"/PaymentReconciliation/{sent['id']}"))["outcome"] == "complete"
    assert books.agrees()


def test_an_advance_waits_while_its_budget_is_suspended_though_it_was_queued_before(jill: httpx.Client) -> None:
    queued = made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 100)))
    suspended = at_stage(read(jill, BUDGET), "suspended")
    assert put(jill, notice("2026-11-22T08:00:00Z"), suspended).status_code == 200
    why = "The budget is suspended; money is paid in advance from one that is active."
    assert reasons(run(jill)) == [(f"PaymentReconciliation/{queued['id']}", why)]
    made(jill.put(f"/{BUDGET}", json=at_stage(read(jill, BUDGET), "active")))
    assert rows(run(jill), "payment") == [{"reference": f"PaymentReconciliation/{queued['id']}"}]


def test_whom_the_law_excludes_is_paid_no_more_directly_while_a_third_party_goes_on(jill: httpx.Client) -> None:
    assert put(jill, exclusion()).status_code == 200
    answer = run(jill, date=("Date", "2026-12-05"))
    assert [name for _, _, name, *_ in transfers(document(answer))] == ["Willow Tree Budgets CIC"]
    ((what, why),) = reasons(answer)
    assert (what, why.partition(" (")[0]) == (BUDGET, "The law excludes this person from direct payments")


def test_an_advance_that_failed_is_paid_anew(jill: httpx.Client, books: Books) -> None:
    first = run(jill, run=("String", "RUN-1"), date=("Date", "2026-12-05"))
    assert len(rows(results(jill, report("RUN-1", group="RJCT", reason="AC04")), "failed")) == 2
    again = run(jill, run=("String", "RUN-2"), date=("Date", "2026-12-05"))
    assert sorted(amount for _, amount, *_ in transfers(document(again))) == sorted(
        amount for _, amount, *_ in transfers(document(first))
    )
    assert books.pot(BUDGET, NURSING)["advanced"] == 3 * 37_500
    assert books.agrees()


def test_what_was_asked_back_and_repaid_is_not_sent_again_by_the_next_run(jill: httpx.Client, books: Books) -> None:
    notice = made(ask(jill))
    made(step(jill, notice, "repaid"))
    returned = payment("BACK-1", line(50, kind="advance"), issuer=WILLOW, payee=NORTH, part=NURSING, outcome="complete")
    made(jill.post("/PaymentReconciliation", json=returned))
    assert rows(run(jill, date=("Date", "2026-12-04")), "payment") == []
    due = run(jill, date=("Date", "2026-12-05"))
    assert sorted(amount for _, amount, *_ in transfers(document(due))) == ["1525.00", "375.00"]
    assert books.pot(BUDGET, DAILY)["advanced"] == 3 * 152_500 - 40_000
    made(step(jill, notice, "repaid", status="entered-in-error"))  # it was not repaid after all
    assert rows(run(jill, date=("Date", "2026-12-05")), "payment") == []
    assert books.pot(BUDGET, DAILY)["advanced"] == 3 * 152_500
    assert books.agrees()


@pytest.mark.parametrize(
    ("end", "paid"), [("2026-11-23", []), ("2026-12-04", []), ("2026-12-10", ["375.00"]), ("2027-10-03", ["375.00"])]
)
@pytest.mark.parametrize("whole", [False, True], ids=["the part", "the budget"])
def test_a_part_that_is_cut_short_is_not_paid_out_whole(
    jill: httpx.Client, books: Books, end: str, paid: list[str], *, whole: bool
) -> None:
    assert put(jill, record(), *looked_at_goals(), review()).status_code == 200
    assert put(jill, finished(review()), record(), *looked_at_goals()).status_code == 200
    account = read(jill, BUDGET)
    account["extension"].append({"url": url("phb-amendment-reason"), "extension": reason("Task/review")})
    if whole:
        account["servicePeriod"]["end"] = end
    for row in account["extension"] if not whole else ():
        if {"url": "id", "valueId": NURSING} in row.get("extension", ()):
            next(one for one in row["extension"] if one["url"] == "period")["valuePeriod"]["end"] = end
    assert put(jill, notice("2026-11-22T08:00:00Z"), account).status_code == 200
    answer = run(jill, bank(NORTH), bank(WILLOW), date=("Date", "2026-12-05"))
    found = [amount for _, amount, *_ in transfers(document(answer))] if paid else rows(answer, "payment")
    assert found == paid
    assert books.pot(BUDGET, NURSING)["advanced"] == 75_000 + (37_500 if paid else 0)


def test_nothing_is_paid_in_advance_for_a_part_that_has_ended(jill: httpx.Client, books: Books) -> None:
    to_willow = {"payee": WILLOW, "part": NURSING}
    waiting = made(
        jill.post("/PaymentReconciliation", json=advance("PAY-1", 10, paymentDate="2026-11-24", **to_willow))
    )
    made(jill.post("/PaymentReconciliation", json=advance("PAY-2", 10, paymentDate="2026-11-23", **to_willow)))
    assert put(jill, record(), *looked_at_goals(), review()).status_code == 200
    assert put(jill, finished(review()), record(), *looked_at_goals()).status_code == 200
    account = read(jill, BUDGET)
    account["extension"].append({"url": url("phb-amendment-reason"), "extension": reason("Task/review")})
    for row in account["extension"]:
        if {"url": "id", "valueId": NURSING} in row.get("extension", ()):
            next(one for one in row["extension"] if one["url"] == "period")["valuePeriod"]["end"] = "2026-11-23"
    assert put(jill, notice("2026-11-22T08:00:00Z"), account).status_code == 200
    why = (
        "The part 'nights-and-payroll' ended on 23 November 2026, so nothing is paid in advance on 24 November 2026. What is still to be paid for is"
        " recorded as a purchase."
    )
    late = advance("PAY-3", 10, paymentDate="2026-11-24", **to_willow)
    assert said(jill.post("/PaymentReconciliation", json=late)) == [why]
    answer = run(jill, date=("Date", "2026-11-24"))
    assert [one[0] for one in transfers(document(answer))] == ["PAY-2"]
    assert reasons(answer) == [(f"PaymentReconciliation/{waiting['id']}", why)]
    assert books.agrees()


def test_a_run_without_advances_queues_none(jill: httpx.Client) -> None:
    answer = run(jill, date=("Date", "2026-12-05"), advances=("Boolean", False))
    assert rows(answer, "payment") == []
