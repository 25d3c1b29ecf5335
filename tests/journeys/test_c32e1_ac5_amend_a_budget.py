"""C32E1 AC5: once it is authorised, a budget's money changes by a review, and less money comes with notice and reasons (R14, DP-7)."""

from __future__ import annotations

import copy
from typing import Any

import httpx
import pytest

from tests.journeys.jills_budget import (
    BUDGET,
    Resource,
    begin,
    come_to,
    finished,
    looked_at_goals,
    notice,
    put,
    read,
    reason,
    record,
    refused,
    review,
    rows,
    url,
    with_rows,
)
from tests.paying import advance
from tests.running import RunningServer
from tests.stories import massage, story

NO_REVIEW = "The money of an authorised budget changes after a review: say why, from when, and which review decided it (phb-amendment-reason)."


@pytest.fixture
def active(api: httpx.Client) -> httpx.Client:
    begin(api)
    come_to(api, "active")
    assert put(api, review()).status_code == 200
    return api


@pytest.fixture
def reviewed(active: httpx.Client) -> httpx.Client:
    assert put(active, record(), *looked_at_goals(), finished(review())).status_code == 200
    return active


def changed(account: Resource, approved: str, **parts: str) -> Resource:
    """The budget with this approved amount, and these amounts of its parts."""
    made = copy.deepcopy(account)
    for row in rows(made, "phb-budget-amount"):
        _set(row, "type", "approved", approved)
    for name, pounds in parts.items():
        for row in rows(made, "phb-management-element"):
            _set(row, "id", name.replace("_", "-"), pounds)
    return made


def _set(row: Resource, name: str, value: str, pounds: str) -> None:
    found: dict[str, Any] = {part["url"]: part for part in row["extension"]}
    if next(iter(v for k, v in found[name].items() if k != "url")) == value:
        found["amount"]["valueMoney"]["value"] = float(pounds)


def cited(account: Resource, *reasons: list[Resource]) -> Resource:
    return with_rows(account, "phb-amendment-reason", *(reasons or (reason("Task/review"),)))


def more(api: httpx.Client) -> Resource:
    return changed(read(api, BUDGET), "27000.00", daily_life="19040.00")


def less(api: httpx.Client) -> Resource:
    """£100 less: what the plan costs is left."""
    return changed(read(api, BUDGET), "26260.00", daily_life="18200.00")


def allocated(api: httpx.Client) -> float:
    rows_ = {row["name"]: row for row in api.get(f"/{BUDGET}/$balance").json()["parameter"]}
    return float(rows_["allocated"]["valueMoney"]["value"])


def test_more_money_comes_with_the_review_that_decided_it(reviewed: httpx.Client) -> None:
    assert refused(put(reviewed, more(reviewed))) == [NO_REVIEW]
    assert put(reviewed, cited(more(reviewed))).status_code == 200
    assert allocated(reviewed) == 27000.00


def test_the_review_names_each_version_of_the_budget_that_came_of_it(reviewed: httpx.Client) -> None:
    def named() -> list[str]:
        outputs = read(reviewed, "Task/review")["output"]
        return [text for one in outputs if "Account/" in (text := one.get("valueReference", {}).get("reference", ""))]

    number = int(read(reviewed, BUDGET)["meta"]["versionId"])
    assert put(reviewed, cited(more(reviewed))).status_code == 200
    assert named() == [f"{BUDGET}/_history/{number + 1}"]
    assert put(reviewed, {**read(reviewed, BUDGET), "name": "Jill's budget"}).status_code == 200
    later = changed(read(reviewed, BUDGET), "27100.00", daily_life="19140.00")
    both = (reason("Task/review"), reason("Task/review", "2027-03-01"))
    assert put(reviewed, cited(later, *both)).status_code == 200
    assert named() == [f"{BUDGET}/_history/{number + 1}", f"{BUDGET}/_history/{number + 3}"]


@pytest.mark.parametrize("kept", [(), (reason("Task/review", text="For another reason."),)])
def test_why_the_money_changed_stays_in_the_record(reviewed: httpx.Client, kept: tuple[list[Resource], ...]) -> None:
    """Else the same notice would do for another reduction, and nobody would know of the first."""
    assert put(reviewed, cited(more(reviewed))).status_code == 200
    account = with_rows(read(reviewed, BUDGET), "phb-amendment-reason", *kept)
    (text,) = refused(put(reviewed, account))
    assert text.startswith("Why this budget was changed, from when, and by which review (phb-amendment-reason), stays")


def test_the_review_that_is_cited_is_over(active: httpx.Client) -> None:
    assert refused(put(active, cited(more(active)))) == [
        "Task/review is in-progress. A review is over before the money changes by it."
    ]


def test_the_review_may_be_finished_in_the_same_transaction(active: httpx.Client) -> None:
    assert put(active, record(), *looked_at_goals(), finished(review()), cited(more(active))).status_code == 200


def test_a_review_that_changed_nothing_is_no_reason(active: httpx.Client) -> None:
    assert put(active, record(), *looked_at_goals(), finished(review(), "no-change")).status_code == 200
    assert refused(put(active, cited(more(active)))) == ["Task/review decided that nothing changes."]


@pytest.mark.parametrize("key", ["Task/none", "Task/jill-request"])
def test_what_is_no_review_is_no_reason(active: httpx.Client, key: str) -> None:
    assert refused(put(active, cited(more(active), reason(key)))) == [f"{key} is no review that is recorded here."]


def test_a_reason_serves_one_change_and_a_review_several(reviewed: httpx.Client) -> None:
    assert put(reviewed, cited(more(reviewed))).status_code == 200
    again = changed(read(reviewed, BUDGET), "28000.00")
    assert refused(put(reviewed, again)) == [NO_REVIEW]
    step = reason("Task/review", "2027-03-01")
    assert put(reviewed, cited(again, reason("Task/review"), step)).status_code == 200


def test_what_is_no_money_changes_freely(active: httpx.Client) -> None:
    assert put(active, {**read(active, BUDGET), "name": "Jill's budget"}).status_code == 200


NO_REVIEW_OF_DATES = NO_REVIEW.replace(
    "The money of an authorised budget changes", "The dates of an authorised budget change"
)


SILENTLY = (
    "sooner than was agreed: the person is told why first. Record the Communication of category decision-notice about this budget, sent in the last 28"
    " days (R51)."
)


@pytest.mark.parametrize(
    "period", [("2026-10-05", "2026-11-01"), ("2026-10-05", "2028-10-03"), ("2026-11-01", "2027-10-03")]
)
def test_the_dates_of_a_budget_come_with_the_review_that_decided_them(
    reviewed: httpx.Client, period: tuple[str, str]
) -> None:
    start, end = period
    other = {**read(reviewed, BUDGET), "servicePeriod": {"start": start, "end": end}}
    is_sooner = end < "2027-10-03"
    silent = refused(put(reviewed, other))
    assert silent[0] == NO_REVIEW_OF_DATES
    assert len(silent) == 1 + is_sooner
    if is_sooner:
        assert refused(put(reviewed, cited(other))) == [f"The budget ends on 1 November 2026, {SILENTLY}"]
        assert put(reviewed, notice("2026-11-22T08:00:00Z")).status_code == 200
    assert put(reviewed, cited(other)).status_code == 200


def daily_life(account: Resource, start: str, end: str, part: str = "daily-life") -> Resource:
    """The budget with the part that Jill holds, or another, for other days."""
    made = copy.deepcopy(account)
    for row in rows(made, "phb-management-element"):
        parts = {part["url"]: part for part in row["extension"]}
        if parts["id"]["valueId"] == part:
            parts["period"]["valuePeriod"] = {"start": start, "end": end}
    return made


@pytest.mark.parametrize(
    ("start", "end", "day"),
    [("2026-10-04", "2027-10-03", "4 October 2026"), ("2026-10-05", "2027-10-04", "4 October 2027")],
)
def test_a_part_is_for_days_on_which_the_budget_runs(reviewed: httpx.Client, start: str, end: str, day: str) -> None:
    account = cited(daily_life(read(reviewed, BUDGET), start, end))
    (why,) = refused(put(reviewed, account))
    assert why.startswith("The part 'daily-life' is for the time from ")
    assert why.endswith(
        f"and {day} is outside the time for which the budget runs: from 5 October 2026 to 3 October 2027."
    )
    longer = {**account, "servicePeriod": {"start": start, "end": end}}
    assert put(reviewed, longer).status_code == 200


def test_an_amount_is_for_days_on_which_the_budget_runs(reviewed: httpx.Client) -> None:
    """What is for another year would be there to be spent in this one."""
    account = cited(read(reviewed, BUDGET))
    (approved,) = (
        row
        for row in rows(account, "phb-budget-amount")
        if any(part.get("valueCode") == "approved" for part in row["extension"])
    )
    another = copy.deepcopy(approved)
    for part in another["extension"]:
        if part["url"] == "period":
            part["valuePeriod"] = {"start": "2027-10-04", "end": "2028-10-01"}
    account["extension"].append(another)
    why = "£26,260.00 of the approved amount is for the time from 4 October 2027 to 1 October 2028, and {} is outside the time for which"
    assert refused(put(reviewed, account)) == [
        f"{why.format(day)} the budget runs: from 5 October 2026 to 3 October 2027."
        for day in ("4 October 2027", "1 October 2028")
    ]
    account["servicePeriod"]["end"] = "2028-10-01"
    assert put(reviewed, account).status_code == 200


@pytest.mark.parametrize("part", ["therapy-and-equipment", "nights-and-payroll"])
def test_a_part_that_others_hold_for_the_person_does_not_end_sooner_silently_either(
    reviewed: httpx.Client, part: str
) -> None:
    shorter = cited(daily_life(read(reviewed, BUDGET), "2026-10-05", "2026-12-31", part))
    assert refused(put(reviewed, shorter)) == [f"The part '{part}' ends on 31 December 2026, {SILENTLY}"]
    assert put(reviewed, notice("2026-11-22T08:00:00Z")).status_code == 200
    assert put(reviewed, shorter).status_code == 200


def remarks(api: httpx.Client, account: Resource) -> list[str]:
    answer = api.put(f"/{BUDGET}", json=account, headers={"Prefer": "return=OperationOutcome"})
    assert answer.status_code == 200, answer.text
    return [one["diagnostics"] for one in answer.json()["issue"] if one["severity"] == "warning"]


def test_what_was_agreed_for_days_that_a_part_has_no_more_stays_agreed_and_is_told(reviewed: httpx.Client) -> None:
    put(reviewed, *(one for one in story() if one["resourceType"] in ("ChargeItemDefinition", "List")))
    days = ("2026-11-19", "2026-11-26", "2026-12-03")
    bought = [reviewed.post("/ChargeItem", json=massage(f"PUR-{day}", occurrenceDateTime=day)).json() for day in days]
    assert [one["status"] for one in bought] == ["billable"] * 3
    shorter = cited(daily_life(read(reviewed, BUDGET), "2026-10-05", "2026-11-25"))
    later = ", ".join(sorted(f"ChargeItem/{one['id']}" for one in bought[1:]))
    told = (
        "The part 'daily-life' is for the time from 5 October 2026 to 25 November 2026, and £90.00 is agreed for other days"
        f" ({later}). It stays agreed, and is paid for; take back what is not wanted any more."
    )
    assert refused(put(reviewed, shorter)) == [
        f"The direct payments of the part 'daily-life' end on 25 November 2026, {SILENTLY}"
    ]
    assert put(reviewed, notice("2026-11-22T08:00:00Z")).status_code == 200
    assert remarks(reviewed, shorter) == [told]
    assert remarks(reviewed, read(reviewed, BUDGET)) == []
    (why,) = refused(reviewed.post("/ChargeItem", json=massage("PUR-NEW", occurrenceDateTime="2026-11-26")))
    assert why.startswith("26 November 2026 is outside the time for which the part 'daily-life' of the budget runs")
    waived = [
        {"url": "reason", "valueString": "Lost in the flood."},
        {"url": "waivedBy", "valueReference": {"reference": "PractitionerRole/priya-nair-coordinator"}},
        {"url": "date", "valueDate": "2026-11-21"},
    ]
    waiver = {"url": url("phb-evidence-waiver"), "extension": waived}
    paid = {"url": url("phb-paid-by"), "valueCode": "person"}
    bill = {**bought[1], "status": "billed", "extension": [*bought[1]["extension"], waiver, paid]}
    moved_on = {**bill, "occurrenceDateTime": "2026-11-27"}
    assert refused(reviewed.put(f"/ChargeItem/{bill['id']}", json=moved_on))
    answer = reviewed.put(f"/ChargeItem/{bill['id']}", json=bill)
    assert (answer.status_code, answer.json()["status"]) == (200, "billed"), answer.text


def test_the_money_stays_that_of_the_commissioner_who_gave_it(reviewed: httpx.Client) -> None:
    other = {**read(reviewed, BUDGET), "owner": {"reference": "Organization/harbourside-icb"}}
    assert refused(put(reviewed, cited(other))) == [
        "The money of this budget is Organization/harbourside-north's. What another commissioner gives is another Account."
    ]


# ---- less ----------------------------------------------------------------------------------------


def test_less_money_needs_notice_with_reasons(reviewed: httpx.Client) -> None:
    (said,) = refused(put(reviewed, cited(less(reviewed))))
    assert said == (
        "£100.00 less from 31 December 2026: the person is told why in writing at least 28 days before, by 3 December 2026 (a Communication of category decision-notice about this budget); no such notice is recorded."
    )
    assert put(reviewed, notice("2026-11-22T10:00:00Z"), cited(less(reviewed))).status_code == 200


def test_a_day_too_late_is_too_late(reviewed: httpx.Client) -> None:
    soon = cited(less(reviewed), reason("Task/review", "2026-12-19"))
    (said,) = refused(put(reviewed, notice("2026-11-22T10:00:00Z"), soon))
    assert said.endswith(
        "by 21 November 2026 (a Communication of category decision-notice about this budget); they were told on 22 November 2026."
    )
    in_time = cited(less(reviewed), reason("Task/review", "2026-12-20"))
    assert put(reviewed, notice("2026-11-22T10:00:00Z"), in_time).status_code == 200


def test_a_notice_counts_from_the_day_it_is_in_the_record(reviewed: httpx.Client) -> None:
    backdated, soon = notice("2026-11-01T10:00:00Z"), cited(less(reviewed), reason("Task/review", "2026-12-19"))
    (said,) = refused(put(reviewed, backdated, soon))
    assert said.endswith("they were told on 22 November 2026.")
    assert put(reviewed, backdated).status_code == 200
    assert refused(put(reviewed, soon)) == [said]
    assert put(reviewed, cited(less(reviewed), reason("Task/review", "2026-12-20"))).status_code == 200


def test_a_notice_that_is_noted_on_later_counts_as_it_did_and_one_that_says_something_else_anew(
    reviewed: httpx.Client, server: RunningServer
) -> None:
    first = notice("2026-11-22T10:00:00Z")
    assert put(reviewed, first).status_code == 200
    server.foretold.set(seconds=20 * 86_400)
    soon = cited(less(reviewed), reason("Task/review", "2026-12-20"))
    other = first | {"payload": [{"contentString": "It is the gym, and not the nights."}]}
    assert put(reviewed, other).status_code == 200
    assert refused(put(reviewed, soon))[0].endswith("they were told on 12 December 2026.")
    assert put(reviewed, first | {"note": [{"text": "By first class post."}]}).status_code == 200
    assert put(reviewed, soon).status_code == 200


def test_a_notice_that_is_still_to_be_sent_is_none(reviewed: httpx.Client) -> None:
    (said,) = refused(put(reviewed, notice("2026-12-01T10:00:00Z"), cited(less(reviewed))))
    assert said.endswith("; no such notice is recorded.")


def test_a_notice_without_a_word_of_why_is_none(reviewed: httpx.Client) -> None:
    silent = {name: value for name, value in notice("2026-11-22T10:00:00Z").items() if name != "payload"}
    assert len(refused(put(reviewed, silent, cited(less(reviewed))))) == 1


def test_a_budget_is_not_cut_below_what_its_plan_costs(reviewed: httpx.Client) -> None:
    cut = changed(read(reviewed, BUDGET), "24239.99", daily_life="16279.99")
    reasons = refused(put(reviewed, notice("2026-11-22T10:00:00Z"), cited(cut)))
    assert reasons == [
        "£2,020.00 is set aside for emergencies; 4 weeks' money, £1,864.60, is the most (NHS Harbourside ICB, North).",
        "The plan says what costs £26,260.00, and there is £26,259.99: a budget covers the full cost of what is agreed (regulation 13). Change the plan, or approve more.",
    ]


def test_rows_of_one_amount_follow_each_other_in_time(reviewed: httpx.Client) -> None:
    account = read(reviewed, BUDGET)
    (approved,) = (
        row
        for row in rows(account, "phb-budget-amount")
        if any(part.get("valueCode") == "approved" for part in row["extension"])
    )
    account["extension"].append(copy.deepcopy(approved))
    (said,) = refused(put(reviewed, cited(account)))
    assert said.startswith("Two rows of the approved amount are for the same time")


# ---- what is paid out already --------------------------------------------------------------------


def paid_out(api: httpx.Client, pounds: float) -> None:
    """An advance to Jill, of the part that she holds."""
    assert api.post("/PaymentReconciliation", json=advance("PAY-1", pounds)).status_code == 201


def moved(api: httpx.Client, daily_life: str, therapy: str) -> Resource:
    """The same money, otherwise divided."""
    return cited(changed(read(api, BUDGET), "26260.00", daily_life=daily_life, therapy_and_equipment=therapy))


def test_money_that_is_paid_out_is_not_given_to_another_part(reviewed: httpx.Client) -> None:
    paid_out(reviewed, 3050)
    assert put(reviewed, notice("2026-11-22T10:00:00Z")).status_code == 200
    assert refused(put(reviewed, moved(reviewed, "3049.99", "18710.01"))) == [
        "£3,050.00 of the part 'daily-life' is paid out already, so it cannot be cut to £3,049.99. What is not spent is asked back first (repayment-notice)."
    ]
    assert put(reviewed, moved(reviewed, "3050.00", "18710.00")).status_code == 200


@pytest.mark.parametrize(
    ("model", "holder"), [("notional", "Organization/harbourside-north"), ("third-party", "Organization/beacon")]
)
def test_a_part_is_not_held_otherwise_while_what_was_paid_out_of_it_is_in_somebodys_hands(
    reviewed: httpx.Client, model: str, holder: str
) -> None:
    def otherwise() -> Resource:
        account = cited(read(reviewed, BUDGET))
        for row in rows(account, "phb-management-element"):
            parts = {part["url"]: part for part in row["extension"]}
            if parts["id"]["valueId"] == "daily-life":
                parts["model"]["valueCode"], parts["holder"]["valueReference"] = model, {"reference": holder}
        return account

    paid_out(reviewed, 3050)
    assert put(reviewed, notice("2026-11-22T10:00:00Z")).status_code == 200
    (said,) = refused(put(reviewed, otherwise()))
    assert said == (
        "£3,050.00 of the part 'daily-life' was paid out to Patient/jill and is not spent. Ask it back first (repayment-notice), or end this part"
        " and give what is left a part of its own, held in the other way."
    )
    why = [
        {"url": "reason", "valueString": "Lost in the flood."},
        {"url": "waivedBy", "valueReference": {"reference": "PractitionerRole/priya-nair-coordinator"}},
        {"url": "date", "valueDate": "2026-11-21"},
    ]
    waiver = {"url": url("phb-evidence-waiver"), "extension": why}
    spent = massage(pounds="3050.00", status="billed")
    spent["extension"] += [waiver, {"url": url("phb-paid-by"), "valueCode": "person"}]
    assert reviewed.post("/ChargeItem", json=spent).json()["status"] == "billed"
    assert put(reviewed, otherwise()).status_code == 200


def test_a_part_of_which_the_nhs_has_spent_is_not_paid_out_as_well(reviewed: httpx.Client) -> None:
    def directly() -> Resource:
        account = cited(read(reviewed, BUDGET))
        for row in rows(account, "phb-management-element"):
            parts = {part["url"]: part for part in row["extension"]}
            if parts["id"]["valueId"] == "therapy-and-equipment":
                parts["model"]["valueCode"] = "direct-payment"
                parts["holder"]["valueReference"] = {"reference": "Patient/jill"}
        return account

    team = {"reference": "PractitionerRole/priya-nair-coordinator"}
    why = {
        "reason": {"valueString": "Lost."},
        "waivedBy": {"valueReference": team},
        "date": {"valueDate": "2026-11-21"},
    }
    waiver = {"url": url("phb-evidence-waiver"), "extension": [{"url": name, **one} for name, one in why.items()]}
    spent = massage(pounds="3000.00", status="billed", enterer=team)
    spent["extension"][0]["valueId"] = "therapy-and-equipment"
    spent["extension"] += [waiver, {"url": url("phb-paid-by"), "valueCode": "nhs-team"}]
    made = reviewed.post("/ChargeItem", json=spent).json()
    assert made["status"] == "billed"
    said = (
        "£3,000.00 of the part 'therapy-and-equipment' was spent by the NHS, which held it; paid out, it would be spent a second"
        " time. End this part at what is spent, and give what is left a part of its own, held in the other way."
    )
    assert refused(put(reviewed, directly())) == [said]
    assert put(reviewed, {**made, "status": "entered-in-error"}).status_code == 200
    assert put(reviewed, directly()).status_code == 200


def test_a_budget_whose_money_is_paid_out_was_meant(reviewed: httpx.Client) -> None:
    paid_out(reviewed, 3050)
    account = read(reviewed, BUDGET)
    (stage,) = (one for one in account["extension"] if one["url"] == url("phb-lifecycle-status"))
    stage["valueCode"] = "entered-in-error"
    reasons = refused(put(reviewed, {**account, "status": "entered-in-error"}))
    assert "Purchases were made from this budget, or money was paid out. Take these back first, or close it." in reasons
