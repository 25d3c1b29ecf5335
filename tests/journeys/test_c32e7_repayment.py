"""Money asked back (SM-J; direct payments regulations 2013, regulation 15): notice in writing, one reconsideration, and what comes of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from phb_fhir.rules.words import value_of
from tests.fresh import write_down
from tests.paying import BASE, NORTH, WILLOW, Books, line, made, payment, said
from tests.stories import FAMILY, RUTH, SAM, massage, tell, three_paid

BUDGET, DAILY, NURSING = "Account/jill-budget", "daily-life", "nights-and-payroll"
GROUND = f"{BASE}/CodeSystem/phb-repayment-ground"
STATE = f"{BASE}/CodeSystem/phb-task-business-status"
WHY = "Four hundred pounds have not been used since the summer, and the plan needs less now."


def ask(api: httpx.Client, account: str = BUDGET, **changes: Any) -> httpx.Response:
    """Ask for £400.00 back from Jill; `changes` are parameters, None for one that is left out."""
    rows: dict[str, Any] = {
        "ground": {"valueCodeableConcept": {"coding": [{"system": GROUND, "code": "unused-money"}]}},
        "amount": {"valueMoney": {"value": 400.0, "currency": "GBP"}},
        "due": {"valueDate": "2027-01-31"},
        "from": {"valueReference": {"reference": "Patient/jill"}},
        "reason": {"valueString": WHY},
    } | changes
    parameter = [{"name": name, **value} for name, value in rows.items() if value is not None]
    return api.post(f"/{account}/$request-repayment", json={"resourceType": "Parameters", "parameter": parameter})


def pounds(amount: float) -> dict[str, Any]:
    return {"valueMoney": {"value": amount, "currency": "GBP"}}


def step(api: httpx.Client, task: dict[str, Any], state: str, **changes: Any) -> httpx.Response:
    """The notice, brought to a state."""
    stored = made(api.get(f"/Task/{task['id']}"))
    status = "completed" if state in ("repaid", "written-off", "withdrawn") else "in-progress"
    moved = {**stored, "businessStatus": {"coding": [{"system": STATE, "code": state}]}, "status": status}
    return api.put(f"/Task/{task['id']}", json=moved | changes)


def because(text: str) -> dict[str, Any]:
    return {"statusReason": {"text": text}}


def letters(api: httpx.Client, task: dict[str, Any]) -> list[dict[str, Any]]:
    found = api.get("/Communication", params={"patient": "Patient/jill", "category": "decision-notice"}).json()
    all_of_them = [one["resource"] for one in found.get("entry", [])]
    return [one for one in all_of_them if {"reference": f"Task/{task['id']}"} in one.get("about", [])]


def words(letter: dict[str, Any]) -> str:
    return " ".join(part["contentString"] for part in letter["payload"])


def test_a_notice_is_given_in_writing_with_reasons_amount_and_time_and_the_way_to_disagree(jill: httpx.Client) -> None:
    notice = made(ask(jill))
    assert (notice["status"], notice["businessStatus"]["coding"][0]["code"]) == ("requested", "issued")
    assert (notice["owner"], notice["restriction"]) == (
        {"reference": "Patient/jill"},
        {"period": {"end": "2027-01-31"}},
    )
    (letter,) = letters(jill, notice)
    assert letter["recipient"] == [{"reference": "Patient/jill"}]
    assert words(letter) == (
        f"£400.00 is to be repaid by 31 January 2027. {WHY} If you do not agree, you can ask for this to be looked at again."
    )


def test_what_is_repaid_is_taken_off_what_was_paid_out_and_of_the_budget_nothing_is_lost(
    jill: httpx.Client, books: Books
) -> None:
    before = books.pot(BUDGET, DAILY)
    notice = made(ask(jill))
    assert books.pot(BUDGET, DAILY) == before
    made(step(jill, notice, "repaid"))
    assert books.pot(BUDGET, DAILY) == {**before, "advanced": before["advanced"] - 40_000}
    assert books.about(f"Task/{notice['id']}") == [(BUDGET, DAILY, "advance-returned", -40_000)]
    stored = made(jill.get(f"/Task/{notice['id']}"))
    made(jill.put(f"/Task/{notice['id']}", json={**stored, "note": [{"text": "Came by bank transfer."}]}))
    assert len(books.about(f"Task/{notice['id']}")) == 1
    stored = made(jill.get(f"/Task/{notice['id']}"))
    made(jill.put(f"/Task/{notice['id']}", json={**stored, "status": "entered-in-error"}))
    assert books.pot(BUDGET, DAILY) == before
    assert books.agrees()


def test_a_notice_is_looked_at_again_once_and_the_result_is_told_in_writing(jill: httpx.Client, books: Books) -> None:
    notice = made(ask(jill))
    assert said(step(jill, notice, "reconsideration-requested")) == [
        "Say in words why it should be looked at again (statusReason)."
    ]
    made(step(jill, notice, "reconsideration-requested", **because("I paid my assistant for a month in advance.")))
    amount = {"input": [{**notice["input"][0], **pounds(250.0)}]}
    made(step(jill, notice, "varied", **amount, **because("The month in advance was right.")))
    assert words(letters(jill, notice)[-1]) == (
        "The notice was changed. £250.00 is to be repaid by 31 January 2027. The month in advance was right."
    )
    assert said(step(jill, notice, "reconsideration-requested", **because("And the rest?"))) == [
        "This notice was looked at again already, which happens once."
    ]
    made(step(jill, notice, "repaid"))
    assert books.about(f"Task/{notice['id']}") == [(BUDGET, DAILY, "advance-returned", -25_000)]


def test_what_was_asked_for_changes_only_when_it_is_looked_at_again_and_never_to_more(jill: httpx.Client) -> None:
    notice = made(ask(jill))
    more, less = ({"input": [{**notice["input"][0], **pounds(amount)}]} for amount in (500.0, 300.0))
    text = "How much is asked back, and by when, changes only when the notice is looked at again (varied): for less, or for later."
    assert said(step(jill, notice, "issued", status="requested", **less)) == [text]
    made(step(jill, notice, "reconsideration-requested", **because("It was spent.")))
    assert said(step(jill, notice, "varied", **more, **because("It was more."))) == [text]
    sooner = {"restriction": {"period": {"end": "2027-01-01"}}}
    assert said(step(jill, notice, "varied", **sooner, **because("At once."))) == [text]
    assert said(step(jill, notice, "confirmed", description="Other reasons.", **because("It stands."))) == [
        "What was given in writing stays as it was given. Withdraw it, and give another notice."
    ]
    made(step(jill, notice, "varied", **less, **because("It was less.")))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"amount": pounds(3050.01)}, "£3,050.00 was paid out to them, so £3,050.01 cannot be asked back."),
        ({"due": {"valueDate": "2026-11-22"}}, "Whoever must repay has some time for it: the day is after that of"),
        (
            {"from": {"valueReference": {"reference": "Organization/stillwater-counselling"}}},
            "Organization/stillwater-counselling received no money of this budget; ",
        ),
        (
            {"ground": {"valueCodeableConcept": {"coding": [{"system": GROUND, "code": "death"}]}}},
            "After the person's death the notice goes to who looks after the estate",
        ),
    ],
)
def test_a_notice_that_does_not_hold_is_refused(jill: httpx.Client, changes: dict[str, Any], why: str) -> None:
    (reason,) = said(ask(jill, **changes))
    assert reason.startswith(why)


@pytest.mark.parametrize("name", ["ground", "amount", "due", "from", "reason"])
def test_a_notice_that_lacks_something_is_refused(jill: httpx.Client, name: str) -> None:
    answer = ask(jill, **{name: None})
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["diagnostics"].startswith(f'There is no "{name}"')


def test_a_third_party_repays_from_the_part_that_it_holds(jill: httpx.Client, books: Books) -> None:
    notice = made(ask(jill, **{"from": {"valueReference": {"reference": WILLOW}}}))
    made(step(jill, notice, "repaid"))
    assert books.about(f"Task/{notice['id']}") == [(BUDGET, NURSING, "advance-returned", -40_000)]


def test_of_a_joint_budget_what_was_paid_out_is_that_of_those_it_is_made_of(api: httpx.Client, books: Books) -> None:
    tell(api, FAMILY)
    beacon = {"valueReference": {"reference": "Organization/beacon-budgets"}}
    notice = made(ask(api, "Account/asha-joint", **{"from": beacon}))
    made(step(api, notice, "repaid"))
    assert books.about(f"Task/{notice['id']}") == [("Account/asha-health", "home-care", "advance-returned", -40_000)]


def test_a_notice_that_is_over_is_completed_and_one_that_is_not_is_not(jill: httpx.Client) -> None:
    notice = made(ask(jill))
    assert said(step(jill, notice, "written-off", status="in-progress")) == [
        "A notice that is written-off is over: its status is completed."
    ]
    made(step(jill, notice, "withdrawn", **because("It was a mistake.")))
    assert words(letters(jill, notice)[-1]) == "The notice was taken back. Nothing is to be repaid. It was a mistake."
    assert jill.delete(f"/Task/{notice['id']}").status_code == 422


def test_two_notices_do_not_ask_the_same_money_back_twice(jill: httpx.Client) -> None:
    first = made(ask(jill, amount=pounds(2000)))
    (text,) = said(ask(jill, amount=pounds(1050.01)))
    assert text == (
        "£3,050.00 was paid out to them, and £2,000.00 of it is asked back already, so £1,050.01 cannot be asked back."
    )
    made(ask(jill, amount=pounds(1050)))
    made(step(jill, first, "reconsideration-requested", **because("It was spent.")))
    made(step(jill, first, "withdrawn", status="completed", **because("So it was.")))
    made(ask(jill, amount=pounds(2000)))


def test_of_two_notices_at_once_for_the_same_money_one_is_given(jill: httpx.Client) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = [*pool.map(lambda _: ask(jill, amount=pounds(3050)).status_code, range(2))]
    assert sorted(answers) == [200, 422]


# ---- what payments bring back meanwhile ----------------------------------------------------------


def returned(api: httpx.Client, reference: str, amount: str, **more: Any) -> dict[str, Any]:
    """What Jill sends back of what she was paid."""
    sent = payment(reference, line(amount, kind="advance"), payee=NORTH, part=DAILY, outcome="complete", **more)
    sent["paymentIssuer"] = {"display": "Jill Harper"}  # in R4 no person can be one
    return made(api.post("/PaymentReconciliation", json=sent))


def test_what_a_payment_brought_back_is_not_taken_off_again_when_the_notice_is_repaid(
    jill: httpx.Client, books: Books
) -> None:
    before = books.pot(BUDGET, DAILY)["advanced"]
    notice = made(ask(jill, amount=pounds(400.01)))
    returned(jill, "BACK-1", "133.34")
    returned(jill, "BACK-2", "0.33")
    made(step(jill, notice, "repaid"))
    assert books.about(f"Task/{notice['id']}") == [(BUDGET, DAILY, "advance-returned", -26_634)]
    assert books.pot(BUDGET, DAILY)["advanced"] == before - 40_001
    stored = made(jill.get(f"/Task/{notice['id']}"))
    made(jill.put(f"/Task/{notice['id']}", json={**stored, "note": [{"text": "It is settled."}]}))
    assert len(books.about(f"Task/{notice['id']}")) == 1
    assert books.agrees()


def test_all_that_was_paid_out_is_repaid_in_two_steps_without_deciding_again(jill: httpx.Client, books: Books) -> None:
    notice = made(ask(jill, amount=pounds(3050)))
    returned(jill, "BACK-1", "1000.01")
    made(step(jill, notice, "reconsideration-requested", **because("May the rest come in May?")))
    made(step(jill, notice, "confirmed", **because("It is needed now.")))
    made(step(jill, notice, "repaid"))
    assert books.about(f"Task/{notice['id']}") == [(BUDGET, DAILY, "advance-returned", -204_999)]
    assert books.pot(BUDGET, DAILY)["advanced"] == 0


def test_a_notice_whose_money_all_came_back_by_payments_is_repaid_and_moves_nothing(
    jill: httpx.Client, books: Books
) -> None:
    notice = made(ask(jill))
    returned(jill, "BACK-1", "400.00")
    left = books.pot(BUDGET, DAILY)
    made(step(jill, notice, "repaid"))
    assert books.about(f"Task/{notice['id']}") == []
    assert books.pot(BUDGET, DAILY) == left
    stored = made(jill.get(f"/Task/{notice['id']}"))
    made(jill.put(f"/Task/{notice['id']}", json={**stored, "note": [{"text": "It is settled."}]}))
    assert books.pot(BUDGET, DAILY) == left


def test_what_came_back_before_a_notice_or_for_another_is_not_for_this_one(jill: httpx.Client, books: Books) -> None:
    returned(jill, "BACK-1", "100.00")
    first, second = made(ask(jill)), made(ask(jill, amount=pounds(300)))
    returned(jill, "BACK-2", "50.00", request={"reference": f"Task/{second['id']}"})
    made(step(jill, first, "repaid"))
    assert books.about(f"Task/{first['id']}") == [(BUDGET, DAILY, "advance-returned", -40_000)]
    made(step(jill, second, "repaid"))
    assert books.about(f"Task/{second['id']}") == [(BUDGET, DAILY, "advance-returned", -25_000)]
    assert books.pot(BUDGET, DAILY)["advanced"] == 305_000 - 10_000 - 40_000 - 30_000


def test_what_came_back_for_a_notice_that_is_repaid_is_not_taken_off_again(jill: httpx.Client, books: Books) -> None:
    notice = made(ask(jill))
    made(step(jill, notice, "repaid"))
    left = books.pot(BUDGET, DAILY)
    late = payment("BACK-1", line("400.00", kind="advance"), payee=NORTH, part=DAILY, outcome="complete")
    late |= {"paymentIssuer": {"display": "Jill Harper"}, "request": {"reference": f"Task/{notice['id']}"}}
    unnamed = {name: one for name, one in late.items() if name != "request"}
    twice = (
        f"Task/{notice['id']} is repaid, and £400.00 was taken off by that: this would be taken off a second time. If it is other money, name no"
        " request, and say in words what it is (processNote)."
    )
    for one in (late, unnamed):
        assert said(jill.post("/PaymentReconciliation", json=one)) == [twice]
    assert books.pot(BUDGET, DAILY) == left
    other = payment("BACK-2", line("10.00", kind="advance"), payee=NORTH, part=DAILY, outcome="complete")
    other |= {"paymentIssuer": {"display": "Jill Harper"}, "processNote": [{"text": "What the swimming did not cost."}]}
    made(jill.post("/PaymentReconciliation", json=other))
    stored = made(jill.get(f"/Task/{notice['id']}"))
    made(jill.put(f"/Task/{notice['id']}", json={**stored, "status": "entered-in-error"}))
    made(jill.post("/PaymentReconciliation", json=late))


def test_what_came_back_counts_towards_one_notice_alone(jill: httpx.Client, books: Books) -> None:
    first, second = made(ask(jill)), made(ask(jill, amount=pounds(300)))
    returned(jill, "BACK-1", "450.00")
    made(step(jill, first, "repaid"))
    made(step(jill, second, "repaid"))
    assert books.about(f"Task/{first['id']}") == []
    assert books.about(f"Task/{second['id']}") == [(BUDGET, DAILY, "advance-returned", -25_000)]


def test_what_came_back_for_a_notice_that_stands_is_not_asked_for_any_more(jill: httpx.Client) -> None:
    """£3,050.00 is paid out. £3,000.00 of it is asked back, and comes in pieces: what is left to be asked is £50.00 all the time."""
    first = made(ask(jill, amount=pounds(3000)))
    too_much = ask(jill, amount=pounds(50.01))
    for reference, named in (("BACK-1", {}), ("BACK-2", {"request": {"reference": f"Task/{first['id']}"}})):
        returned(jill, reference, "1000.00", **named)
        (why,) = said(ask(jill, amount=pounds(50.01)))
        assert why.endswith("so £50.01 cannot be asked back.")
    assert "£1,050.00 was paid out to them, and £1,000.00 of it is asked back already" in why
    assert "£3,050.00 was paid out to them, and £3,000.00 of it is asked back already" in said(too_much)[0]
    second = made(ask(jill, amount=pounds(50)))
    made(step(jill, second, "repaid"))
    made(step(jill, first, "repaid"))


# ---- several who hold direct payments ------------------------------------------------------------


def from_(who: str) -> dict[str, Any]:
    return {"valueReference": {"reference": who}}


def test_the_same_money_is_not_asked_back_of_two(api: httpx.Client) -> None:
    """Jill was paid £3,050.00, Ruth £200.00; Sam holds nothing, and is asked for what was paid directly to whom ever."""
    write_down(api, three_paid())
    paid = payment("ADV-R", line(200, kind="advance"), payee=RUTH, part="ruths", outcome="complete")
    made(api.post("/PaymentReconciliation", json=paid))
    made(ask(api, **{"from": from_(RUTH), "amount": pounds(200)}))
    made(ask(api, **{"from": from_("Patient/jill"), "amount": pounds(3000)}))
    assert said(ask(api, **{"from": from_(SAM), "amount": pounds(50.01)})) == [
        "£3,250.00 was paid out of these parts, and £3,200.00 of it is asked back already, so £50.01 cannot be asked back."
    ]
    made(ask(api, **{"from": from_(SAM), "amount": pounds(50)}))


@pytest.mark.parametrize("who", ["RelatedPerson/somebody-elses", "RelatedPerson/nobody"])
def test_a_notice_goes_to_nobody_who_is_not_close_to_the_person(jill: httpx.Client, who: str) -> None:
    write_down(jill, [{"resourceType": "Patient", "id": "other"}])
    theirs = {"resourceType": "RelatedPerson", "id": "somebody-elses", "patient": {"reference": "Patient/other"}}
    write_down(jill, [theirs])
    assert said(ask(jill, **{"from": from_(who)})) == [
        f"{who} received no money of this budget; Organization/willow-tree-budgets, Patient/jill did."
    ]


def test_what_an_organisation_paid_for_somebody_and_came_back_to_the_nhs_is_not_asked_of_it_again(
    api: httpx.Client, books: Books
) -> None:
    write_down(api, three_paid())
    made(
        api.post(
            "/PaymentReconciliation",
            json=payment("ADV-W", line(100, kind="advance"), payee=WILLOW, part="willows", outcome="complete"),
        )
    )
    receipt = {"reference": "DocumentReference/jill-receipt-massage-2026-10-09"}
    charge = massage(
        "PUR-W", status="billable", enterer={"reference": WILLOW}, performingOrganization={"reference": MASSEUR}
    )
    charge["extension"][0]["valueId"] = "willows"
    key = f"ChargeItem/{made(api.post('/ChargeItem', json=charge | {'supportingInformation': [receipt]}))['id']}"
    paid = payment("PAY-W", line(45, key), issuer=WILLOW, payee=MASSEUR, outcome="complete")
    made(api.post("/PaymentReconciliation", json=paid))
    billed = made(api.get(f"/{key}"))
    assert (billed["status"], value_of(billed, "phb-paid-by")) == ("billed", "representative")
    back = payment("BACK-W", line(45, key, "adjustment"), issuer=MASSEUR, payee=NORTH, outcome="complete")
    made(api.post("/PaymentReconciliation", json=back))
    assert books.pot(BUDGET, "willows") == {"allocated": 30_000, "committed": 0, "spent": 0, "advanced": 5_500}
    assert books.agrees()


MASSEUR = "Organization/riverbank-therapies"
