"""C32E1 AC4: reviews are recorded against a budget: outcomes and money together, called by anybody around the person, the next always planned."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.journeys.jills_budget import (
    BUDGET,
    PHB,
    Resource,
    begin,
    budget,
    come_to,
    finished,
    found,
    looked_at_goals,
    notice,
    put,
    read,
    record,
    refused,
    review,
    rows,
)
from tests.stories import FAMILY, tell

REVIEWS = f"/Task?code={PHB}/CodeSystem/phb-task-code|phb-review&_sort=due"


@pytest.fixture
def active(api: httpx.Client) -> httpx.Client:
    begin(api)
    come_to(api, "active")
    return api


def first_review(api: httpx.Client, purpose: str = "") -> Resource:
    every = found(api, REVIEWS)
    (first,) = [one for one in every if not purpose or one["reasonCode"]["coding"][0]["code"] == purpose]
    return first


def held(api: httpx.Client, task: Resource, **more: Any) -> httpx.Response:
    """The review takes place: it begins, and is finished with its record and the goals."""
    assert put(api, {**task, "status": "in-progress"}).status_code == 200
    return put(api, record(), *looked_at_goals(), {**finished(task, "no-change"), **more})


def next_day(api: httpx.Client) -> str:
    (row,) = rows(read(api, BUDGET), "phb-review-schedule")
    (day,) = (part["valueDate"] for part in row["extension"] if part["url"] == "next")
    return day


def test_a_review_that_is_over_has_the_sums_of_the_day_and_the_next_one_is_planned(active: httpx.Client) -> None:
    first = first_review(active)
    assert held(active, first).status_code == 200
    done, coming = found(active, REVIEWS)
    (statement,) = done["input"]
    assert statement["valueString"].startswith(
        "The money on 22 November 2026. Jill's personal health budget: allocated £28,280.00, committed £0.00, spent £0.00, available £28,280.00 (for emergencies £2,020.00 of it); after entry"
    )
    assert (coming["status"], coming["reasonCode"]["coding"][0]["code"]) == ("ready", "scheduled")
    assert coming["restriction"]["period"]["end"] == "2027-11-22"
    assert next_day(active) == "2027-11-22"


def test_a_shorter_interval_of_the_schedule_is_kept(active: httpx.Client) -> None:
    account = read(active, BUDGET)
    (row,) = rows(account, "phb-review-schedule")
    for part in row["extension"]:
        if part["url"] == "interval":
            part["valueDuration"] |= {"value": 6, "unit": "months", "code": "mo"}
    assert put(active, account).status_code == 200
    assert held(active, first_review(active)).status_code == 200
    assert next_day(active) == "2027-05-22"


def test_where_another_review_waits_already_none_is_added(active: httpx.Client) -> None:
    extra = review("needs-change", "needs-change", status="requested", restriction={"period": {"end": "2026-12-01"}})
    assert put(active, extra).status_code == 200
    assert held(active, extra).status_code == 200
    assert [one["status"] for one in found(active, REVIEWS)] == ["completed", "ready"]
    assert next_day(active) == "2026-12-15"


def test_two_reviews_that_end_together_plan_one_next(active: httpx.Client) -> None:
    first = first_review(active)
    assert put(active, {**first, "status": "in-progress"}, review("second")).status_code == 200
    both = (finished(first, "no-change"), finished(review("second"), "no-change", "second-record"))
    answer = put(active, record(), record("second-record"), *looked_at_goals(), *both)
    assert answer.status_code == 200, answer.text
    (coming,) = [one for one in found(active, REVIEWS) if one["status"] == "ready"]
    assert (coming["restriction"]["period"]["end"], next_day(active)) == ("2027-11-22", "2027-11-22")


def test_a_review_that_waits_longer_than_the_law_lets_it_is_not_the_next_one(active: httpx.Client) -> None:
    """R149, DP-8: at most twelve months after the last."""
    far = review("far", "scheduled", status="ready", restriction={"period": {"end": "2099-01-01"}})
    assert put(active, far).status_code == 200
    assert held(active, first_review(active, "first")).status_code == 200
    assert [one["restriction"]["period"]["end"] for one in found(active, f"{REVIEWS}&status=ready")] == [
        "2027-11-22",
        "2099-01-01",
    ]
    assert next_day(active) == "2027-11-22"


def test_a_budget_that_starts_again_has_its_next_review_planned(active: httpx.Client) -> None:
    far = review("far", "scheduled", status="ready", restriction={"period": {"end": "2099-01-01"}})
    first = first_review(active)
    assert put(active, far, notice("2026-11-22T09:00:00Z"), budget("suspended")).status_code == 200
    assert put(active, budget("closing"), {**first, "status": "cancelled"}).status_code == 200
    assert [one["id"] for one in found(active, f"{REVIEWS}&status=ready")] == ["far"]


NO_OTHER = (
    "The next review of this budget takes place by 5 January 2027 (R149, DP-8), and no other is planned. Plan another first; one that is"
    " late stays as it is until it takes place."
)


@pytest.mark.parametrize(
    "more",
    [
        {"status": "cancelled"},
        {"status": "entered-in-error"},
        {"status": "on-hold", "restriction": {"period": {"end": "2027-01-06"}}},
    ],
)
def test_the_next_review_is_not_called_off_or_put_off_while_no_other_is_planned(
    active: httpx.Client, more: Resource
) -> None:
    """R149, DP-8: else it would never be overdue."""
    first = first_review(active)
    assert refused(put(active, {**first, **more})) == [NO_OTHER]
    sooner = review("sooner", "needs-change", status="ready", restriction={"period": {"end": "2027-01-05"}})
    assert put(active, {**first, **more}, sooner).status_code == 200
    assert put(active, {**sooner, "status": "on-hold"}).status_code == 200
    assert refused(put(active, {**sooner, "status": "cancelled"})) == [NO_OTHER]
    assert refused(active.delete("/Task/sooner")) == [NO_OTHER]


def test_a_review_that_another_budget_of_the_plan_relies_on_is_not_called_off_where_its_own_is_closing(
    api: httpx.Client,
) -> None:
    """R149: one review serves all budgets of a plan, so each of them keeps it."""
    tell(api, FAMILY)
    health, shared = read(api, "Account/asha-health"), read(api, "Task/asha-transition-review")
    stages = [{**one, "valueCode": "closing"} if "valueCode" in one else one for one in health["extension"]]
    assert put(api, {**health, "status": "on-hold", "extension": stages}).status_code == 200
    another = {"focus": {"reference": "Account/jill-budget"}, "basedOn": [{"reference": "CarePlan/jill-plan"}]}
    for taken_away in ({"status": "cancelled"}, {"restriction": {"period": {"end": "2027-12-01"}}}, another):
        (text,) = [one for one in refused(put(api, {**shared, **taken_away})) if one.startswith("The next review")]
        assert text.startswith("The next review of this budget takes place by 29 September 2027 (R149, DP-8)")
    kept = {**shared, "focus": {"reference": "Account/asha-social-care"}}
    assert put(api, kept).status_code == 200


def test_a_review_moves_within_the_time_the_law_gives_and_one_without_a_day_is_called_off(active: httpx.Client) -> None:
    first = first_review(active)
    for day in ("2026-12-01", "2027-01-05"):
        assert put(active, {**first, "restriction": {"period": {"end": day}}}).status_code == 200
    called = review("called", status="requested")
    assert put(active, called).status_code == 200
    assert put(active, {**called, "status": "cancelled"}).status_code == 200


def test_no_review_follows_one_that_decides_to_close(active: httpx.Client) -> None:
    first = first_review(active)
    assert put(active, {**first, "status": "in-progress"}).status_code == 200
    assert put(active, record(), *looked_at_goals(), finished(first, "close")).status_code == 200
    assert len(found(active, REVIEWS)) == 1


@pytest.mark.parametrize(("left_out", "said"), [("outcomes", "the outcomes"), ("money", "the money")])
def test_a_review_without_outcomes_or_money_is_not_over(active: httpx.Client, left_out: str, said: str) -> None:
    task = review()
    assert put(active, task).status_code == 200
    half = record("half", left_out) | {"status": "completed"}
    # the form asks for both as well, so this is what was written on another
    half["questionnaire"] = "https://forms.example/review"
    assert put(active, half, *looked_at_goals()).status_code == 200
    (reason,) = refused(put(active, finished(task, record="half")))
    assert reason.startswith(
        f"A review looks at the outcomes and the money together; its record says nothing of {said} (R150)"
    )


def test_a_review_says_of_each_goal_whether_it_is_reached(active: httpx.Client) -> None:
    task = review()
    assert put(active, task, record(), *looked_at_goals("2026-11-21")).status_code == 200
    reasons = refused(put(active, finished(task)))
    assert len(reasons) == 3
    assert all("was not looked at since 22 November 2026; its statusDate is 21 November 2026" in one for one in reasons)
    assert put(active, *looked_at_goals(), finished(task)).status_code == 200


def test_a_review_that_is_over_says_when_it_took_place(active: httpx.Client) -> None:
    task = review()
    assert put(active, task, record(), *looked_at_goals()).status_code == 200
    without = {name: value for name, value in finished(task).items() if name != "executionPeriod"}
    assert refused(put(active, without)) == ["A review that is over says when it took place."]


def test_a_review_that_is_still_to_come_is_not_over_and_puts_off_no_next_one(active: httpx.Client) -> None:
    task = review()
    assert put(active, task, record(), *looked_at_goals("2031-01-01")).status_code == 200
    ahead = {**finished(task), "executionPeriod": {"start": "2031-01-01", "end": "2031-01-01"}}
    assert refused(put(active, ahead)) == ["1 January 2031 is still to come: a review is over once it took place."]


def test_a_review_goes_from_being_called_to_being_over_and_not_back(active: httpx.Client) -> None:
    task = review(status="requested")
    assert put(active, task).status_code == 200
    assert refused(put(active, record(), *looked_at_goals(), finished(task))) == [
        "A review that is requested cannot become completed; it can become received, accepted, ready, in-progress, on-hold, rejected, cancelled, entered-in-error."
    ]
    assert held(active, task).status_code == 200
    assert len(refused(put(active, {**finished(task), "status": "in-progress"}))) == 1
    assert len(refused(active.delete("/Task/review"))) == 1


def test_a_review_is_never_refused_because_it_is_not_on_the_schedule(active: httpx.Client) -> None:
    for n in range(3):
        assert put(active, review(f"called-{n}", status="requested")).status_code == 200


def test_a_budget_without_a_plan_has_no_review_yet(api: httpx.Client) -> None:
    begin(api)
    assert put(api, budget("requested", "phb-care-plan")).status_code == 200
    assert refused(put(api, review(status="requested"))) == [
        "A review looks at the money and the plan together, and this budget has no plan yet (R13)."
    ]


def test_a_review_is_of_a_budget_that_is_there_and_its_own_plan(active: httpx.Client) -> None:
    assert refused(put(active, review(focus={"reference": "Account/none"}))) == [
        "A review is of a budget; Account/none is none that is here."
    ]


def test_the_first_review_is_not_planned_too_late(api: httpx.Client) -> None:
    begin(api)
    come_to(api, "authorised")
    late = budget("active", "phb-review-schedule")
    late["extension"].append(
        {
            "url": f"{PHB}/StructureDefinition/phb-review-schedule",
            "extension": [{"url": "first", "valueDate": "2027-02-23"}],
        }
    )
    assert refused(put(api, late)) == [
        "The first review is planned for 23 February 2027; it takes place within 3 months, by 22 February 2027 (R149, DP-8)."
    ]
    late["extension"][-1]["extension"][0]["valueDate"] = "2027-02-22"
    assert put(api, late).status_code == 200
    assert first_review(api)["restriction"]["period"]["end"] == "2027-02-22"


def test_overdue_reviews_are_found_by_search(active: httpx.Client) -> None:
    assert (
        put(active, review("late", status="requested", restriction={"period": {"end": "2026-11-21"}})).status_code
        == 200
    )
    open_ = "requested,received,accepted,ready,in-progress,on-hold"
    overdue = found(active, f"{REVIEWS}&due=lt2026-11-22&status={open_}")
    assert [one["id"] for one in overdue] == ["late"]


# ---- no surprises, and nothing forgotten ---------------------------------------------------------

NOTICES = f"/Communication?category={PHB}/CodeSystem/phb-communication-category|review-notice&_sort=sent"
PLAN = "CarePlan/jill-plan"


def told(api: httpx.Client) -> list[str]:
    """What Jill was told of reviews, letter by letter, without what all of them say."""
    return [" ".join(part["contentString"] for part in one["payload"][:2]) for one in found(api, NOTICES)]


def test_the_person_is_told_of_a_review_when_it_has_a_day_and_when_that_is_another(active: httpx.Client) -> None:
    """R147: there are no surprises, whoever planned it."""
    (letter,) = found(active, NOTICES)
    assert letter["recipient"] == [{"reference": "Patient/jill"}]
    assert letter["about"] == [{"reference": f"Task/{first_review(active)['id']}"}]
    first = (
        "There will be a review of your care plan and your budget, by 15 December 2026. What it is for: First review: how is the person doing, is"
        " the plan working, and what has been spent?"
    )
    assert told(active) == [first]
    sooner = review("sooner", "needs-change", status="ready", restriction={"period": {"end": "2026-12-10"}})
    assert put(active, sooner).status_code == 200
    moved = {"period": {"start": "2026-12-01", "end": "2026-12-03"}}
    assert put(active, {**sooner, "restriction": moved}).status_code == 200
    assert put(active, {**sooner, "restriction": moved, "status": "in-progress"}).status_code == 200
    assert told(active)[1:] == [
        "There will be a review of your care plan and your budget, by 10 December 2026. What it is for: As agreed with Jill.",
        "The day of a review of your care plan and your budget was set: from 1 December 2026 to 3 December 2026. What it is for: As agreed with Jill.",
    ]


def test_nobody_is_told_of_a_review_that_they_ask_for_themselves_or_that_is_past(active: httpx.Client) -> None:
    own = review("own", status="requested", requester={"reference": "Patient/jill"})
    past = review("past", status="ready", authoredOn="2026-10-20T09:00:00Z")
    assert put(active, {**own, "restriction": {"period": {"end": "2026-12-01"}}}).status_code == 200
    assert put(active, {**past, "restriction": {"period": {"end": "2026-11-01"}}}).status_code == 200
    assert len(told(active)) == 1


def test_what_was_noted_since_the_last_review_is_named_by_the_next(active: httpx.Client) -> None:
    """R156: the daily ones are summed up."""
    plan = {"basedOn": [{"reference": PLAN}], "subject": {"reference": "Patient/jill"}}
    diary = {"resourceType": "QuestionnaireResponse", "status": "completed", **plan}
    reading = {"resourceType": "Observation", "status": "final", "code": {"text": "Sleep"}, **plan}
    assert put(
        active,
        {**diary, "id": "diary", "authored": "2026-11-10T20:00:00Z"},
        {**diary, "id": "unfinished", "status": "in-progress", "authored": "2026-11-11T20:00:00Z"},
        {**reading, "id": "sleep", "effectiveDateTime": "2026-11-12", "valueString": "Six hours."},
        {**read(active, PLAN), "note": [{"time": "2026-11-13T10:00:00Z", "text": "The new bed helps."}]},
    ).status_code == 200  # fmt: skip
    first = first_review(active)
    assert held(active, first).status_code == 200
    done, coming = found(active, REVIEWS)
    assert noted(done) == [
        {"reference": PLAN, "display": "1 note in the care plan"},
        {"reference": "Observation/sleep"},
        {"reference": "QuestionnaireResponse/diary"},
    ]
    assert put(active, {**diary, "id": "later", "authored": "2026-11-22T20:00:00Z"}).status_code == 200
    assert put(active, {**coming, "status": "in-progress"}).status_code == 200
    assert noted(read(active, f"Task/{coming['id']}")) == [{"reference": "QuestionnaireResponse/later"}]


def noted(task: Resource) -> list[Resource]:
    kinds = [(one["type"]["coding"][0]["code"], one) for one in task.get("input", ())]
    return [one["valueReference"] for kind, one in kinds if kind == "noted-since"]


NOT_HEARD = (
    "Nobody said in this review what the person thinks: a record of Questionnaire/phb-review may be theirs (perspective: The person), beside"
    " those of others (R152)."
)
NOBODY = "This review does not say who took part in it: name each in an output took-part (R152)."


def test_a_review_that_did_not_hear_the_person_is_remarked_on_and_over_all_the_same(active: httpx.Client) -> None:
    """R152."""
    first = first_review(active)
    assert put(active, {**first, "status": "in-progress"}, record(), *looked_at_goals()).status_code == 200
    over = finished(first, "no-change")
    assert remarks(active, over) == [NOT_HEARD, NOBODY]


def test_a_review_with_the_persons_view_and_who_took_part_is_not(active: httpx.Client) -> None:
    first = first_review(active)
    view = {"linkId": "perspective", "answer": [{"valueString": "The person"}]}
    theirs = {**record("theirs"), "item": [view, *record()["item"]]}
    assert put(active, {**first, "status": "in-progress"}, record(), theirs, *looked_at_goals()).status_code == 200
    over = finished(first, "no-change")
    kinds = {
        name: {"coding": [{"system": f"{PHB}/CodeSystem/phb-task-parameter", "code": name}]}
        for name in ("record", "took-part")
    }
    more = [
        {"type": kinds["record"], "valueReference": {"reference": "QuestionnaireResponse/theirs"}},
        {"type": kinds["took-part"], "valueReference": {"reference": "Patient/jill"}},
    ]
    assert remarks(active, {**over, "output": [*over["output"], *more]}) == []


def remarks(api: httpx.Client, task: Resource) -> list[str]:
    """What is said of a write that is done."""
    answer = api.put(f"/Task/{task['id']}", json=task, headers={"Prefer": "return=OperationOutcome"})
    assert answer.status_code == 200, answer.text
    return [one["diagnostics"] for one in answer.json()["issue"] if one["severity"] == "warning"]
