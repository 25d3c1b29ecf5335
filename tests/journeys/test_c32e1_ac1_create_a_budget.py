"""C32E1 AC1: a budget is created on a professional's request for somebody who is eligible and said yes, and comes to its stages one by one."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.journeys import jills_budget
from tests.journeys.jills_budget import (
    BUDGET,
    STAGES,
    around,
    begin,
    budget,
    coded,
    come_to,
    decided,
    found,
    notice,
    offer,
    put,
    read,
    refused,
    signed_off,
    stands,
    task,
    whole,
    with_rows,
)
from tests.paying import advance
from tests.stories import massage


def test_a_budget_comes_from_being_asked_for_to_being_active_stage_by_stage(api: httpx.Client) -> None:
    begin(api)
    for stage in STAGES:
        assert put(api, *(signed_off() if stage == "authorised" else ()), budget(stage)).status_code == 200
        expected = "active" if stage == "active" else "on-hold"
        assert stands(read(api, BUDGET)) == (stage, expected)


def test_a_budget_that_becomes_active_has_its_money_and_its_first_review(api: httpx.Client) -> None:
    begin(api)
    come_to(api, "authorised")
    assert (
        put(api, budget("active", "phb-review-schedule")).status_code == 422
    )  # a direct payment is reviewed (phb-acc-13)
    assert put(api, budget("active")).status_code == 200
    (review,) = found(api, f"/Task?code={jills_budget.PHB}/CodeSystem/phb-task-code|phb-review")
    assert (review["status"], review["reasonCode"]["coding"][0]["code"]) == ("ready", "first")
    assert review["restriction"]["period"] == {"end": "2026-12-15"}
    assert review["owner"] == {"reference": "PractitionerRole/priya-nair-coordinator"}
    assert review["basedOn"] == [{"reference": "CarePlan/jill-plan"}]
    rows = {row["name"]: row for row in api.get(f"/{BUDGET}/$balance").json()["parameter"]}
    assert rows["allocated"]["valueMoney"]["value"] == 26260.00


def test_a_budget_may_be_brought_in_at_any_stage_with_all_that_it_needs(api: httpx.Client) -> None:
    assert put(api, *whole(), budget("active")).status_code == 200
    assert stands(read(api, BUDGET)) == ("active", "active")


# ---- what was charged there before it -----------------------------------------------------------

CHARGED = massage("EARLY", status="billable", id="early")
ADVANCED = advance("PAY-EARLY", 500) | {"id": "early"}


@pytest.mark.parametrize("early", [CHARGED, ADVANCED], ids=["purchase", "payment"])
def test_no_budget_comes_to_where_something_was_charged_that_its_ledger_would_not_show(
    api: httpx.Client, early: dict[str, Any]
) -> None:
    there = {"resourceType": "Account", "id": "jill-budget", "status": "active"}
    assert put(api, *([there] if early is ADVANCED else []), early).status_code == 200
    for begun in ([], [there]):  # whether nothing was there before, or an account of another kind
        assert not begun or put(api, *begun).status_code == 200
        why = f"{jills_budget.key(early)} was charged here before this was a budget"
        assert [one.startswith(why) for one in refused(put(api, *whole(), budget("active")))] == [True]
    assert api.delete(f"/{jills_budget.key(early)}").status_code == 204
    assert put(api, *whole(), budget("active"), early).status_code == 200
    assert drifts(api) == []


NUMBER = {"system": f"{jills_budget.PHB}/Id/phb-account-number", "value": "PHB-2026-000417"}
ANOTHER = NUMBER | {"value": "PHB-2026-9,1"}


def by_number(id_: str, number: dict[str, Any]) -> dict[str, Any]:
    """A purchase that names its account by a number that it has."""
    return massage(id_.upper(), status="billable", id=id_, account=[{"identifier": number}])


def test_no_budget_comes_with_a_number_to_which_something_was_charged(api: httpx.Client) -> None:
    assert put(api, by_number("early", NUMBER)).status_code == 200
    (why,) = refused(put(api, *whole(), budget("active")))
    assert why.startswith("ChargeItem/early was charged here before this was a budget")
    assert api.delete("/ChargeItem/early").status_code == 204
    assert put(api, *whole(), budget("active"), by_number("early", NUMBER)).status_code == 200
    assert drifts(api) == []


def test_no_budget_takes_on_a_number_to_which_something_was_charged(api: httpx.Client) -> None:
    assert put(api, by_number("early", ANOTHER), *whole(), budget("active")).status_code == 200
    assert put(api, by_number("hers", NUMBER)).status_code == 200
    account = read(api, BUDGET)
    (why,) = refused(put(api, {**account, "identifier": [NUMBER, ANOTHER]}))
    assert why.startswith("ChargeItem/early was charged here before this had that identifier")
    without = {name: value for name, value in account.items() if name != "identifier"}
    for one in (without, {**without, "identifier": [NUMBER]}):  # what its ledger shows is its own
        assert put(api, one).status_code == 200
    assert drifts(api) == []


def test_what_holds_no_money_may_be_there_before_the_budget(api: httpx.Client) -> None:
    assert put(api, CHARGED | {"status": "planned"}, ADVANCED | {"status": "cancelled"}).status_code == 200
    assert refused(put(api, ADVANCED)) == ["There is no Account/jill-budget."]
    assert put(api, *whole(), budget("active")).status_code == 200
    assert api.put("/ChargeItem/early", json=CHARGED).status_code == 200
    assert drifts(api) == []


def drifts(api: httpx.Client) -> list[str]:
    """What does not agree with what; what the story itself leaves out (references to it) aside."""
    issues = api.get("/$fsck").json()["issue"]
    wrong = [one for one in issues if one["severity"] != "information"]
    return [one["diagnostics"] for one in wrong if one["details"]["coding"][0]["code"] != "reference"]


MISSING = {  # from which stage on, and how the reason begins
    "There is no Coverage/jill-continuing-healthcare": "eligibility-confirmed",
    "A budget is set up because a professional asked for it": "eligibility-confirmed",
    "The person is told about personal health budgets first": "indicative-set",
    "CarePlan/jill-plan is no plan of a personal health budget": "requested",
    "Nobody is named as the care co-ordinator": "active",
    "A budget starts when everything is in place": "active",
    "Nobody has agreed to a direct payment from this budget": "active",
    "A direct payment begins with an agreement": "active",
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_budget_brought_in_without_anything_hears_all_that_is_missing(api: httpx.Client, stage: str) -> None:
    assert put(api, *(one for one in around() if one["resourceType"] in ("Organization", "Patient"))).status_code == 200
    wanted = [begins for begins, since in MISSING.items() if STAGES.index(since) <= STAGES.index(stage)]
    answer = put(api, budget(stage))
    reasons = refused(answer) if wanted else []
    told = [one for reason in reasons for one in MISSING if reason.startswith(one)]
    assert (sorted(told), len(reasons)) == (sorted(wanted), len(wanted))
    assert answer.status_code == (422 if wanted else 200)


# ---- each step has its guards --------------------------------------------------------------------

REQUEST, INFORMED = "Task/jill-request", ("Communication/jill-information-given", "Task/jill-step-1-information")


def test_a_budget_without_a_ground_is_not_confirmed(api: httpx.Client) -> None:
    begin(api, "Coverage/jill-continuing-healthcare")
    assert put(api, budget("requested")).status_code == 200
    assert refused(put(api, budget("eligibility-confirmed"))) == [
        "There is no Coverage/jill-continuing-healthcare, which is named as the ground for this budget."
    ]


def test_a_budget_that_no_professional_asked_for_is_not_confirmed(api: httpx.Client) -> None:
    begin(api, REQUEST)
    asked_by_jill = task("asked", "phb-request", requester={"reference": "Patient/jill"})
    unsent = {**task("unsent", "phb-request"), "status": "draft"}
    assert put(api, budget("requested"), asked_by_jill, unsent).status_code == 200
    (reason,) = refused(put(api, budget("eligibility-confirmed")))
    assert reason.startswith("A budget is set up because a professional asked for it: a Task phb-request")
    assert put(api, {**unsent, "status": "requested"}).status_code == 200
    assert put(api, budget("eligibility-confirmed")).status_code == 200


def test_no_amount_is_named_before_the_person_was_told_about_budgets(api: httpx.Client) -> None:
    begin(api, *INFORMED)
    come_to(api, "eligibility-confirmed")
    (reason,) = refused(put(api, budget("indicative-set")))
    assert reason.startswith("The person is told about personal health budgets first (R44)")


@pytest.mark.parametrize("papers", INFORMED)
def test_either_a_message_or_a_task_shows_that_they_were_told(api: httpx.Client, papers: str) -> None:
    begin(api, papers)
    assert stands(come_to(api, "indicative-set"))[0] == "indicative-set"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "the person has not answered yet (R53)."),
        (offer("deferred"), "the person has asked to be asked again later (R53)."),
    ],
)
def test_nothing_is_planned_before_the_person_has_said_yes(api: httpx.Client, answer: Any, said: str) -> None:
    begin(api)
    come_to(api, "indicative-set")
    waiting = with_rows(budget("planning"), "phb-offer", answer or [{"url": "offered", "valueDate": "2026-07-14"}])
    assert refused(put(api, waiting)) == [f"A budget is planned once the person has accepted the offer; {said}"]
    assert put(api, with_rows(budget("planning"), "phb-offer", offer("accepted"))).status_code == 200


def test_the_last_answer_is_the_one_that_counts(api: httpx.Client) -> None:
    begin(api)
    come_to(api, "indicative-set")
    changed = with_rows(
        budget("planning"), "phb-offer", offer("accepted", day="2026-08-01"), offer("declined", day="2026-07-14")
    )
    assert put(api, changed).status_code == 200
    back = with_rows(
        budget("planning"), "phb-offer", offer("accepted", day="2026-07-14"), offer("declined", day="2026-08-01")
    )
    assert refused(put(api, back)) == [
        "The person has said no to a budget, and nobody is made to have one. Their care goes on as it is; they can change their mind."
    ]


def test_somebody_else_answers_the_offer_with_a_consent_that_says_so(api: httpx.Client) -> None:
    begin(api, "Consent/jill-ruth-delegate")
    come_to(api, "indicative-set")
    by_ruth = with_rows(budget("planning"), "phb-offer", offer("accepted", by="RelatedPerson/ruth-harper"))
    (reason,) = refused(put(api, by_ruth))
    assert reason.startswith("RelatedPerson/ruth-harper answered the offer; an active Consent")
    (consent,) = (one for one in jills_budget.story() if one["id"] == "jill-ruth-delegate")
    assert put(api, consent).status_code == 200
    assert put(api, by_ruth).status_code == 200


def of_ruth(**changed: Any) -> dict[str, Any]:
    """The consent by which Jill lets her sister act, with another provision."""
    (consent,) = (one for one in jills_budget.story() if one["id"] == "jill-ruth-delegate")
    return consent | {"provision": consent["provision"] | changed}


@pytest.mark.parametrize(
    "changed",
    [{"action": [coded("phb-consent-action", "view")]}, {"period": {"start": "2026-07-01", "end": "2026-11-21"}}],
)
def test_a_consent_that_lets_nobody_speak_for_the_person_answers_no_offer(
    api: httpx.Client, changed: dict[str, Any]
) -> None:
    begin(api, "Consent/jill-ruth-delegate")
    come_to(api, "indicative-set")
    by_ruth = with_rows(budget("planning"), "phb-offer", offer("accepted", by="RelatedPerson/ruth-harper"))
    (reason,) = refused(put(api, of_ruth(**changed), by_ruth))
    assert reason.startswith("RelatedPerson/ruth-harper answered the offer; an active Consent says that they speak")


def test_a_consent_that_denies_answers_no_offer(api: httpx.Client) -> None:
    begin(api, "Consent/jill-ruth-delegate")
    come_to(api, "indicative-set")
    denied = of_ruth(type="deny")
    plain = {name: value for name, value in denied.items() if name not in ("meta", "extension")}
    plain["category"] = [{"coding": [denied["category"][0]["coding"][0]]}]  # of no kind that the guide has
    by_ruth = with_rows(budget("planning"), "phb-offer", offer("accepted", by="RelatedPerson/ruth-harper"))
    assert len(refused(put(api, plain, by_ruth))) == 1


def test_who_lacks_capacity_has_chosen_nobody_and_the_law_has(api: httpx.Client) -> None:
    begin(api, "Consent/jill-ruth-delegate")
    come_to(api, "indicative-set")
    by_ruth = with_rows(budget("planning"), "phb-offer", offer("accepted", by="RelatedPerson/ruth-harper"))
    (reason,) = refused(put(api, CAPACITY, of_ruth(), by_ruth))
    assert reason.startswith("RelatedPerson/ruth-harper answered the offer")
    lawful = of_ruth(action=[coded("phb-consent-action", "view")]) | {
        "policyRule": coded("phb-legal-basis", "best-interest")
    }
    assert put(api, CAPACITY, lawful, by_ruth).status_code == 200


@pytest.mark.parametrize(
    ("basis", "more", "is_told"),
    [
        ("best-interest", {}, True),
        ("best-interest", {"sourceReference": {"reference": "DocumentReference/best-interest"}}, False),
        ("best-interest", {"status": "proposed"}, False),
        ("parental-responsibility", {}, False),
    ],
)
def test_who_acts_in_somebodys_best_interest_says_where_it_was_decided(
    api: httpx.Client, basis: str, more: dict[str, Any], *, is_told: bool
) -> None:
    """R163: a remark, which keeps nobody from acting for a person who needs it now."""
    begin(api, "Consent/jill-ruth-delegate")
    record = {
        "resourceType": "DocumentReference",
        "id": "best-interest",
        "status": "current",
        "subject": {"reference": "Patient/jill"},
        "content": [{"attachment": {"contentType": "text/plain", "data": "QWdyZWVkLgo="}}],
    }
    assert put(api, record).status_code == 200
    consent = of_ruth() | {"policyRule": coded("phb-legal-basis", basis)} | more
    for told in (is_told, False):  # once: not again with each change
        answer = api.put(f"/Consent/{consent['id']}", json=consent, headers={"Prefer": "return=OperationOutcome"})
        assert answer.status_code in (200, 201), answer.text
        assert ("R163" in answer.text) is told
        consent = {**consent, "language": "en-GB"}


def test_information_that_is_still_to_be_sent_was_not_given(api: httpx.Client) -> None:
    begin(api, "Task/jill-step-1-information")
    come_to(api, "eligibility-confirmed")
    (told,) = found(api, "/Communication?category=phb-information-given&patient=Patient/jill")
    ahead = put(api, {**told, "sent": "2026-11-23T09:00:00Z"}, budget("indicative-set"))
    assert [one for one in refused(ahead) if one.startswith("The person is told about personal health budgets first")]
    assert put(api, budget("indicative-set")).status_code == 200


CAPACITY = {
    "resourceType": "Observation",
    "id": "capacity",
    "status": "final",
    "code": coded("phb-observation-code", "mental-capacity"),
    "subject": {"reference": "Patient/jill"},
    "effectiveDateTime": "2026-08-01",
    "valueCodeableConcept": coded("phb-capacity-status", "lacks-capacity"),
    "performer": [{"reference": "PractitionerRole/tom-whelan-ms-nurse"}],
    "component": [
        {"code": coded("phb-observation-code", "capacity-decision"), "valueString": "Whether to have a budget"},
        {"code": coded("phb-observation-code", "capacity-help-given"), "valueString": "Pictures, and time"},
        {"code": coded("phb-observation-code", "capacity-basis"), "valueString": "An assessment at home"},
    ],
}


def test_who_lacks_capacity_is_spoken_for(api: httpx.Client) -> None:
    begin(api)
    come_to(api, "indicative-set")
    assert put(api, CAPACITY).status_code == 200
    (reason,) = refused(put(api, budget("planning")))
    assert reason.startswith("The person is recorded as not able to decide this")
    later = {**CAPACITY, "id": "later", "effectiveDateTime": "2026-09-01"}
    later["valueCodeableConcept"] = coded("phb-capacity-status", "has-capacity")
    assert put(api, later).status_code == 200
    assert put(api, budget("planning")).status_code == 200


def test_money_is_authorised_with_a_plan_that_is_signed_off(api: httpx.Client) -> None:
    begin(api)
    come_to(api, "sign-off-pending")
    assert refused(put(api, budget("authorised"))) == [
        "The plan CarePlan/jill-plan is draft. Money is authorised once the plan is signed off, and active."
    ]
    assert put(api, *signed_off(), budget("authorised")).status_code == 200


def test_more_is_not_set_aside_for_emergencies_than_the_commissioner_allows(api: httpx.Client) -> None:
    begin(api)
    come_to(api, "sign-off-pending")
    account = budget("authorised")
    for row in jills_budget.rows(account, "phb-budget-amount"):
        parts = {part["url"]: part for part in row["extension"]}
        if parts["type"]["valueCode"] == "contingency":
            parts["amount"]["valueMoney"]["value"] = 2020.01
    assert refused(put(api, *signed_off(), account)) == [
        "£2,020.01 is set aside for emergencies; 4 weeks' money, £2,020.00, is the most (NHS Harbourside ICB, North)."
    ]
    assert put(api, *signed_off(), budget("authorised")).status_code == 200


def test_it_starts_when_everything_is_in_place_and_somebody_co_ordinates(api: httpx.Client) -> None:
    begin(api, "Task/jill-step-5-start")
    come_to(api, "authorised")
    (team,) = (one for one in around() if one["resourceType"] == "CareTeam")
    assert put(api, {**team, "status": "inactive"}).status_code == 200
    coordinator, ready = refused(put(api, budget("active")))
    assert coordinator.startswith("Nobody is named as the care co-ordinator")
    assert ready.endswith("a Task start-up-checklist about it or its plan, completed, says so (R48).")
    checklist = task("start", "start-up-checklist", status="in-progress")
    assert put(api, checklist, team).status_code == 200
    assert refused(put(api, budget("active"))) == [
        "A budget starts when everything is in place: the checklist Task/start is in-progress, not completed (R48)."
    ]
    assert put(api, {**checklist, "status": "completed"}).status_code == 200
    assert put(api, budget("active")).status_code == 200


LATER = dict.fromkeys(("authoredOn", "lastModified"), "2026-11-21T09:00:00Z")
RIVERBANK = {"reference": "Organization/riverbank-therapies"}


def test_it_starts_once_a_provider_of_the_plan_that_somebody_asked_about_was_looked_into(api: httpx.Client) -> None:
    """R48, R107: the commissioner finds out whether an agency is registered, before the care begins."""
    begin(api)
    come_to(api, "authorised")
    check = task("check", "provider-check", focus=RIVERBANK)
    elsewhere = task("elsewhere", "provider-check", focus={"reference": "Organization/oakfield-surgery"})
    assert put(api, check, elsewhere).status_code == 200
    waits = (
        "A budget starts when everything is in place: whether Organization/riverbank-therapies is right for this is still being looked into"
        " (Task/check). Complete that check first, or take it back (R48, R107)."
    )
    assert refused(put(api, budget("active"))) == [waits]
    assert put(api, {**check, "status": "completed"}, budget("active")).status_code == 200


@pytest.mark.parametrize("again", [(), ("later",)])
def test_a_provider_who_was_not_found_right_is_remarked_on_unless_one_is_by_now(
    api: httpx.Client, again: tuple[str, ...]
) -> None:
    begin(api)
    come_to(api, "authorised")
    no = decided("no", "provider-check", "not-approved", focus=RIVERBANK, statusReason={"text": "Not registered."})
    yes = [decided(id_, "provider-check", focus=RIVERBANK, **LATER) for id_ in again]
    assert put(api, no, *yes).status_code == 200
    started = api.put(f"/{BUDGET}", json=budget("active"), headers={"Prefer": "return=OperationOutcome"})
    said = "Organization/riverbank-therapies was looked into, and not found right for this (Task/no; R107)."
    assert started.status_code == 200, started.text
    assert (said in [one.get("diagnostics") for one in started.json()["issue"]]) is not bool(again)


def test_a_budget_goes_on_after_a_suspension_while_a_provider_is_looked_into(api: httpx.Client) -> None:
    begin(api)
    come_to(api, "active")
    assert put(api, notice("2026-11-22T09:00:00Z"), budget("suspended")).status_code == 200
    assert put(api, task("check", "provider-check", focus=RIVERBANK)).status_code == 200
    assert put(api, budget("active")).status_code == 200


# ---- leaving the way -----------------------------------------------------------------------------


def test_a_stage_cannot_be_left_out_nor_gone_back_to(api: httpx.Client) -> None:
    begin(api)
    come_to(api, "eligibility-confirmed")
    assert refused(put(api, budget("planning"))) == [
        "A budget that is eligibility-confirmed cannot become planning; it can become indicative-set, declined-by-person, refused, not-eligible, entered-in-error."
    ]
    assert len(refused(put(api, budget("requested")))) == 1


def test_a_person_who_says_no_can_come_back(api: httpx.Client) -> None:
    begin(api)
    come_to(api, "indicative-set")
    (reason,) = refused(put(api, budget("declined-by-person")))
    assert reason.startswith("A budget is declined by the person: record their answer")
    declined = with_rows(budget("declined-by-person"), "phb-offer", offer("declined"))
    assert put(api, declined).status_code == 200
    assert stands(read(api, BUDGET)) == ("declined-by-person", "inactive")
    assert (
        put(
            api, with_rows(budget("requested"), "phb-offer", offer("declined"), offer("accepted", day="2026-11-22"))
        ).status_code
        == 200
    )
    assert put(api, budget("eligibility-confirmed")).status_code == 200


def test_a_refusal_has_its_reasons_on_record(api: httpx.Client) -> None:
    begin(api, REQUEST)
    assert put(api, budget("requested"), task("asked", "phb-request")).status_code == 200
    (reason,) = refused(put(api, budget("refused")))
    assert reason.startswith("A refusal has its reasons")
    assert refused(put(api, decided("asked", "phb-request", "not-approved"))) == [
        "Whoever is told no is told why: give the reason."
    ]
    why = {"text": "The care that Jill has meets her needs."}
    no = decided("asked", "phb-request", "not-approved", statusReason=why)
    assert put(api, no, budget("refused")).status_code == 200


def test_nobody_is_not_eligible_who_is(api: httpx.Client) -> None:
    begin(api)
    come_to(api, "requested")
    assert refused(put(api, budget("not-eligible"))) == [
        "The person is eligible: NHS Continuing Healthcare, adult (Coverage/jill-continuing-healthcare)."
    ]
    (coverage,) = (one for one in around() if one["resourceType"] == "Coverage")
    over = {**coverage, "status": "cancelled", "period": {"start": "2026-07-06", "end": "2026-11-01"}}
    assert put(api, over).status_code == 200
    assert put(api, budget("not-eligible")).status_code == 200


def test_what_was_only_asked_for_may_be_deleted_and_nothing_else(api: httpx.Client) -> None:
    begin(api)
    come_to(api, "requested")
    assert api.delete(f"/{BUDGET}").status_code == 204
    come_to(api, "eligibility-confirmed")
    assert refused(api.delete(f"/{BUDGET}")) == [
        "This budget has come to eligibility-confirmed, and its record is kept. Mark it as entered in error, or close it."
    ]
    assert put(api, budget("entered-in-error")).status_code == 200


def test_a_budget_stays_the_same_persons(api: httpx.Client) -> None:
    begin(api)
    come_to(api, "eligibility-confirmed")
    other = budget("eligibility-confirmed", subject=[{"reference": "Patient/other"}])
    assert "A budget stays the same person's. Another person has another Account." in refused(put(api, other))


def test_spending_is_stopped_for_a_time_once_the_person_is_told_why(api: httpx.Client) -> None:
    begin(api)
    come_to(api, "active")
    (reason,) = refused(put(api, budget("suspended")))
    assert reason.startswith("Before spending is stopped the person is told why")
    assert put(api, notice("2026-10-01T09:00:00Z")).status_code == 200
    assert len(refused(put(api, budget("suspended")))) == 1  # long ago, and about something else
    assert put(api, notice("2026-11-21T09:00:00Z"), budget("suspended")).status_code == 200
    assert put(api, budget("active")).status_code == 200


def test_an_account_that_is_no_budget_passes_by(api: httpx.Client) -> None:
    other = {"resourceType": "Account", "status": "active", "type": {"text": "Hospital account"}}
    made = api.post("/Account", json=other)
    assert made.status_code == 201
    assert api.put(f"/Account/{made.json()['id']}", json={**made.json(), "status": "inactive"}).status_code == 200
