"""What concerns a budget is seen by who acts in it or pays for it, and nothing else of the person; and it ends when that does, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.security.elements import (
    PHB,
    Resource,
    coded,
    consent,
    extension,
    labelled,
    ref,
)
from tests.security.record import record
from tests.security.world import ACTORS, RECEIPT, THINGS, made_new

REACHES = {
    # who acts for Jill: which of these they read
    "ruth": "Account/jill-account Account/jill-second ChargeItem/jill-chargeitem ChargeItem/jill-second-purchase CarePlan/jill-careplan "
    "CarePlan/jill-other-plan PaymentReconciliation/jill-second-payment Task/jill-task Patient/jill",
    "lim": "Account/jill-account ChargeItem/jill-chargeitem CarePlan/jill-careplan Task/jill-task Patient/jill",
    "vic": "Account/jill-account Account/jill-second ChargeItem/jill-chargeitem ChargeItem/jill-second-purchase CarePlan/jill-careplan "
    "CarePlan/jill-other-plan PaymentReconciliation/jill-second-payment Patient/jill",
    "pay": "PaymentReconciliation/jill-second-payment",
    "den": "Account/jill-account Account/jill-second ChargeItem/jill-chargeitem ChargeItem/jill-second-purchase CarePlan/jill-careplan "
    "CarePlan/jill-other-plan PaymentReconciliation/jill-second-payment Task/jill-task Patient/jill",
    "exa": "",
    "wes": "",
    "fay": "",
    "bas": "",
    "una": "",
    "sam": "",
}


ABOUT = {
    # what a task about Jill has as its focus: whether who acts for her in one of her two budgets has to do with it
    "her budget": ("Account/jill-account", True),
    "her other budget": ("Account/jill-second", False),
    "her plan": ("CarePlan/jill-careplan", True),
    "a version of her plan": ("CarePlan/jill-careplan/_history/1", True),
    "her other plan": ("CarePlan/jill-other-plan", False),
    "a version of her other plan": ("CarePlan/jill-other-plan/_history/1", False),
    "a purchase": ("ChargeItem/jill-chargeitem", True),
    "a purchase from the other": ("ChargeItem/jill-second-purchase", False),
    "a payment": ("PaymentReconciliation/jill-paymentreconciliation", True),
    "a payment from the other": ("PaymentReconciliation/jill-second-payment", False),
    "a task about her budget": ("Task/about-one", True),
    "a task about her other budget": ("Task/about-other", False),
    "herself": ("Patient/jill", True),
    "her assessment": ("QuestionnaireResponse/jill-questionnaireresponse", True),
}


def test_who_acts_in_one_budget_has_nothing_to_do_with_tasks_about_others(world):
    world.restore()

    def about(id_: str, focus: str) -> Resource:
        return {**record("jill")["Task"], "id": id_, "focus": ref(focus)}

    names = {f"about-{number}": focus for number, (focus, _) in enumerate(ABOUT.values())}
    world.write(about("about-one", "Account/jill-account"), about("about-other", "Account/jill-second"))
    world.write(*(about(id_, focus) for id_, focus in names.items()))
    found = {
        who: {id_ for id_ in names if world.get(who, f"/Task/{id_}").status_code == 200} for who in ("ruth", "lim")
    }
    listed = world.get("lim", "/Task?_count=100&_total=accurate").json()
    told = world.get("lim", "/Task/_history?_count=100").json()
    changed = world.put("lim", {**about("about-1", "Account/jill-second"), "language": "cy"})
    moved = world.put("lim", about("about-0", "Account/jill-second"))
    world.restore()
    theirs = {id_ for id_, (_, is_theirs) in zip(names, ABOUT.values(), strict=True) if is_theirs}
    assert found == {"ruth": set(names), "lim": theirs}
    for answer in (listed, told):
        ids = {one["resource"]["id"] for one in answer["entry"]}
        assert ids & set(names) == theirs
        assert "about-other" not in ids
    assert changed.status_code == 404
    assert moved.status_code in (403, 422)


SAID_IN = {
    # what of the plans' parts who acts in her first budget sees: by the plan that it is part of
    "a goal of her plan": (record("jill")["Goal"], True),
    "a goal of her other plan": ({**record("jill")["Goal"], "id": "other-goal"}, False),
    "the team of her plan": ({**record("jill")["CareTeam"], "id": "plan-team"}, True),
    "the team of her other plan": ({**record("jill")["CareTeam"], "id": "other-team"}, False),
    "an answer for her plan": (
        {**record("jill")["QuestionnaireResponse"], "id": "plan-answer", "basedOn": [ref("CarePlan/jill-careplan")]},
        True,
    ),
    "an answer for her other plan": (
        {**record("jill")["QuestionnaireResponse"], "id": "other-answer", "basedOn": [ref("CarePlan/jill-other-plan")]},
        False,
    ),
    "an answer for no plan": (record("jill")["QuestionnaireResponse"], True),
    "a risk of her plan": (
        {**record("jill")["RiskAssessment"], "id": "plan-risk", "basedOn": ref("CarePlan/jill-careplan")},
        True,
    ),
    "a risk of her other plan": (
        {**record("jill")["RiskAssessment"], "id": "other-risk", "basedOn": ref("CarePlan/jill-other-plan")},
        False,
    ),
}


def test_who_acts_in_one_budget_sees_what_is_said_in_its_plan_and_not_in_others(world):
    world.restore()
    plan, other = THINGS["CarePlan", "jill-careplan"], THINGS["CarePlan", "jill-other-plan"]
    world.write(
        *(one for one, _ in SAID_IN.values()),
        {**plan, "goal": [ref("Goal/jill-goal")], "careTeam": [ref("CareTeam/plan-team")]},
        {**other, "goal": [ref("Goal/other-goal")], "careTeam": [ref("CareTeam/other-team")]},
    )
    keys = {name: f"{one['resourceType']}/{one['id']}" for name, (one, _) in SAID_IN.items()}
    for who, expected in (
        ("ruth", dict.fromkeys(keys, True)),
        ("lim", {name: sees for name, (_, sees) in SAID_IN.items()}),
    ):
        assert {name: world.get(who, f"/{key}").status_code == 200 for name, key in keys.items()} == expected
    found = world.get("lim", "/?_type=Goal,CareTeam,QuestionnaireResponse,RiskAssessment&_count=100").json()
    assert not {one["resource"]["id"] for one in found["entry"]} & {
        "other-goal",
        "other-team",
        "other-answer",
        "other-risk",
    }
    made = world.post("lim", "/Goal", made_new("Goal", "jill-goal"))
    assert made.status_code == 201, made.text
    assert world.get("lim", f"/Goal/{made.json()['id']}").status_code == 200
    world.restore()


EVIDENCE_OF = {  # whether who acts in her first budget sees a document about Jill: by the purchases that it is evidence of
    "a purchase": (("jill-chargeitem",), True),
    "a purchase from the other": (("jill-second-purchase",), False),
    "one from each": (("jill-chargeitem", "jill-second-purchase"), True),
    "none": ((), False),
}


def test_who_acts_in_one_budget_sees_the_evidence_of_its_purchases_and_what_they_handed_in(world):
    world.restore()
    told, file = record("jill")["DocumentReference"], record("jill")["Binary"]
    charges = {id_: THINGS["ChargeItem", id_] for id_ in ("jill-chargeitem", "jill-second-purchase")}
    for number, (of, _) in enumerate(EVIDENCE_OF.values()):
        letter = f"DocumentReference/letter-{number}"
        world.write(
            {**told, "id": f"letter-{number}"}, {**file, "id": f"file-{number}", "securityContext": ref(letter)}
        )
        for one in of:
            charges[one] = {
                **charges[one],
                "supportingInformation": [*charges[one].get("supportingInformation", ()), ref(letter)],
            }
    world.write(*charges.values())
    keys = [
        f"{type_}-{number}"
        for type_ in ("DocumentReference/letter", "Binary/file")
        for number in range(len(EVIDENCE_OF))
    ]
    found = {who: [world.get(who, f"/{key}").status_code == 200 for key in keys] for who in ("ruth", "lim")}
    assert found == {"ruth": [True] * len(keys), "lim": [is_theirs for _, is_theirs in EVIDENCE_OF.values()] * 2}
    for path in (
        "/DocumentReference?_count=100",
        "/DocumentReference/_history?_count=100",
        "/Binary/_history?_count=100",
    ):
        told_ids = {one["resource"]["id"] for one in world.get("lim", path).json()["entry"]}
        assert not told_ids & {"letter-1", "letter-3", "file-1", "file-3"}, path
    # what they hand in themselves they see at once, and make the evidence of a purchase
    letter = world.post("lim", "/DocumentReference", made_new("DocumentReference", "jill-documentreference"))
    assert letter.status_code == 201, letter.text
    key = f"DocumentReference/{letter.json()['id']}"
    sent = world.post("lim", "/Binary", {**made_new("Binary", "jill-binary"), "securityContext": ref(key)})
    assert sent.status_code == 201, sent.text
    for theirs in (key, f"Binary/{sent.json()['id']}"):
        assert world.get("lim", f"/{theirs}").status_code == 200
        assert world.get("duo", f"/{theirs}").status_code == 200
    with_it = {**charges["jill-chargeitem"], "supportingInformation": [ref(key)]}
    assert world.put("lim", with_it).status_code == 200
    hidden = {**charges["jill-chargeitem"], "supportingInformation": [ref("DocumentReference/letter-3")]}
    assert world.put("lim", hidden).status_code == 422
    world.restore()


FILE = {
    "resourceType": "Binary",
    "contentType": "text/plain",
    "data": "aGVsbG8=",
    "securityContext": ref("Patient/jill"),
}


@pytest.mark.parametrize("who", ["jill", "ruth", "lim", "willow", "priya", "harbour", "oak"])
def test_who_hands_in_evidence_may_put_its_file_under_the_person(world, who):
    world.restore()
    sent = world.post(who, "/Binary", FILE)
    assert sent.status_code == 201, sent.text
    key = f"Binary/{sent.json()['id']}"
    assert world.get(who, f"/{key}").status_code == 200
    sees = {
        one
        for one in ("jill", "ruth", "lim", "vic", "north", "ted", "south")
        if world.get(one, f"/{key}").status_code == 200
    }
    assert sees == {"jill", "ruth", *([who] if who == "lim" else [])}
    found = world.get("jill", f"/AuditEvent?entity={key}&patient=Patient/jill&_total=accurate")
    assert found.json()["total"] >= 1
    world.restore()


def test_who_hands_in_nothing_puts_no_file_under_anybody(world):
    world.restore()
    for who, of in (
        ("vic", "jill"),
        ("river", "jill"),
        ("north", "jill"),
        ("jill", "ted"),
        ("ruth", "ted"),
        ("exa", "jill"),
    ):
        assert world.post(who, "/Binary", {**FILE, "securityContext": ref(f"Patient/{of}")}).status_code in (
            403,
            422,
        ), who
    world.restore()


def test_a_commissioner_sees_what_proves_its_own_purchases_and_not_those_of_other_funders(world):
    """Jill has a second budget, of another commissioner, and a receipt for each, and one for none yet."""
    world.restore()
    world.write({**THINGS["Account", "jill-second"], "owner": ref("Organization/south")})
    charges = {"north": "jill-chargeitem", "south": "jill-second-purchase"}
    for funder, charge in charges.items():
        key = f"DocumentReference/of-{funder}"
        attachment = {**RECEIPT["content"][0]["attachment"]}
        world.write(
            {**RECEIPT, "id": f"of-{funder}", "content": [{"attachment": attachment}]},
            {**record("jill")["Binary"], "id": f"file-{funder}", "securityContext": ref(key)},
            {**THINGS["ChargeItem", charge], "supportingInformation": [ref(key)]},
        )
    world.write(
        {**RECEIPT, "id": "of-none"},
        {**record("jill")["Binary"], "id": "file-none", "securityContext": ref("DocumentReference/of-none")},
    )
    for who, other in (("north", "south"), ("south", "north")):
        for own in (f"DocumentReference/of-{who}", f"Binary/file-{who}"):
            assert world.get(who, f"/{own}").status_code == 200, (who, own)
        for hidden in (other, "none"):
            for key in (f"DocumentReference/of-{hidden}", f"Binary/file-{hidden}"):
                assert world.get(who, f"/{key}").status_code == 404, (who, key)
    for who in ("jill", "ruth", "priya"):
        assert world.get(who, "/DocumentReference/of-south").status_code == 200
    world.restore()


SHARED, JOINT = "Account/jill-account", "Account/jill-joint"


def said_by(type_: str, **more: Any) -> Resource:
    """Something of Jill's that nothing leads to, but for what it says itself."""
    return {**record("jill")[type_], "id": "lone", **more}


def about(key: str) -> dict[str, Any]:
    return {"about": [ref(key)]} if key else {"about": []}


def related(key: str) -> dict[str, Any]:
    return {"context": {"related": [ref(key)]}}


def amount_from(source: str) -> Resource:
    parts = [
        {"url": "type", "valueCode": "indicative"},
        {"url": "amount", "valueMoney": {"value": 10, "currency": "GBP"}},
        {"url": "source", "valueReference": ref(source)},
    ]
    return extension("phb-budget-amount", extension=parts)


# what Jill's record holds, beside; and who sees it of the two commissioners, whose budgets are north's jill-account and south's jill-second
OF_WHOM: dict[str, tuple[list[Resource], str]] = {
    "a plan of no budget": ([said_by("CarePlan")], ""),
    "a draft that is to replace a plan": (
        [said_by("CarePlan", status="draft", replaces=[ref("CarePlan/jill-careplan")])],
        "north",
    ),
    "a plan that was replaced": (
        [said_by("CarePlan"), {**THINGS["CarePlan", "jill-other-plan"], "replaces": [ref("CarePlan/lone")]}],
        "south",
    ),
    "a plan that something was bought by": (
        [
            said_by("CarePlan"),
            {
                **record("jill")["ChargeItem"],
                "extension": [
                    extension(
                        "phb-purchase-link",
                        extension=[
                            {"url": "carePlan", "valueReference": ref("CarePlan/lone")},
                            {"url": "activityId", "valueString": "a"},
                        ],
                    )
                ],
            },
        ],
        "north",
    ),
    "a goal of no plan": ([said_by("Goal")], ""),
    "a goal of the other plan": (
        [said_by("Goal"), {**THINGS["CarePlan", "jill-other-plan"], "goal": [ref("Goal/lone")]}],
        "south",
    ),
    "a team of no plan": ([said_by("CareTeam")], ""),
    "a team of the other plan": (
        [said_by("CareTeam"), {**THINGS["CarePlan", "jill-other-plan"], "careTeam": [ref("CareTeam/lone")]}],
        "south",
    ),
    "a risk of no plan": ([said_by("RiskAssessment")], ""),
    "a risk of a plan": ([said_by("RiskAssessment", basedOn=ref("CarePlan/jill-careplan"))], "north"),
    "an assessment of its own": ([said_by("QuestionnaireResponse")], ""),
    "an answer for the other plan": (
        [said_by("QuestionnaireResponse", basedOn=[ref("CarePlan/jill-other-plan")])],
        "south",
    ),
    "an assessment that an amount rests on": (
        [
            said_by("QuestionnaireResponse"),
            {
                **THINGS["Account", "jill-second"],
                "owner": ref("Organization/south"),
                "extension": [amount_from("QuestionnaireResponse/lone")],
            },
        ],
        "south",
    ),
    "an assessment that comes with a task of theirs": (
        [
            said_by("QuestionnaireResponse"),
            said_by(
                "Task",
                input=[{"type": {"text": "papers"}, "valueReference": ref("QuestionnaireResponse/lone")}],
            ),
        ],
        "north",
    ),
    "the record of a review of the other budget": (
        [
            said_by("QuestionnaireResponse"),
            said_by(
                "Task",
                owner=ref("Organization/harbour"),
                focus=ref("Account/jill-second"),
                output=[{"type": {"text": "record"}, "valueReference": ref("QuestionnaireResponse/lone")}],
            ),
        ],
        "south",
    ),
    "a letter about nothing here": ([said_by("Communication", **about(""))], ""),
    "a letter about the other budget": ([said_by("Communication", **about("Account/jill-second"))], "south"),
    "a letter about a purchase": ([said_by("Communication", **about("ChargeItem/jill-chargeitem"))], "north"),
    "a letter about a task": (
        [said_by("Communication", **about("Task/lone")), said_by("Task", focus=ref(SHARED))],
        "north",
    ),
    "a letter about the cover that they give": (
        [said_by("Communication", **about("Coverage/jill-coverage"))],
        "north",
    ),
    "a letter from them": ([said_by("Communication", **about(""), sender=ref("Organization/south"))], "south"),
    "a letter to them": ([said_by("Communication", **about(""), recipient=[ref("Organization/north")])], "north"),
    "a paper about nothing here": ([said_by("DocumentReference")], ""),
    "a paper about the other budget": ([said_by("DocumentReference", **related("Account/jill-second"))], "south"),
    "a statement of the bank about a purchase": (
        [said_by("DocumentReference", **related("ChargeItem/jill-chargeitem"))],
        "north",
    ),
    "a paper about a plan": ([said_by("DocumentReference", **related("CarePlan/jill-other-plan"))], "south"),
    "what a budget's amount rests on": (
        [
            said_by("DocumentReference"),
            {
                **record("jill")["Account"],
                "extension": [
                    *record("jill")["Account"]["extension"],
                    amount_from("DocumentReference/lone"),
                ],
            },
        ],
        "north",
    ),
    "a consent for all budgets": (
        [{**consent("lone", "Patient/jill", "Organization/jill-nobody", "view")}],
        "north south",
    ),
    "a consent for the other budget": (
        [consent("lone", "Patient/jill", "Organization/jill-nobody", "view", accounts=("Account/jill-second",))],
        "south",
    ),
    "cover that somebody else gives": ([said_by("Coverage", payor=[ref("Organization/jill-nobody")])], ""),
    "cover that they give": ([said_by("Coverage", payor=[ref("Organization/south")])], "south"),
    "cover that a budget rests on": (
        [
            said_by("Coverage", payor=[ref("Organization/jill-nobody")]),
            {**record("jill")["Account"], "coverage": [{"coverage": ref("Coverage/lone")}]},
        ],
        "north",
    ),
    "the plan of a joint budget that theirs is a part of": (
        [
            said_by("CarePlan"),
            {
                **record("jill")["Account"],
                "id": "jill-joint",
                "identifier": [],
                "owner": ref("Organization/south"),
                "extension": [extension("phb-care-plan", valueReference=ref("CarePlan/lone"))],
            },
            {**record("jill")["Account"], "partOf": ref(JOINT)},
        ],
        "north south",
    ),
}


@pytest.mark.parametrize("name", OF_WHOM)
def test_a_commissioner_sees_what_concerns_its_own_budgets_and_not_those_of_other_funders(world, name):
    """Jill has a second budget, of another commissioner, with a plan of its own; both see her, each their own."""
    world.restore()
    world.write({**THINGS["Account", "jill-second"], "owner": ref("Organization/south")})
    written, seen_by = OF_WHOM[name]
    world.write(*({name: value for name, value in one.items() if value != []} for one in written))
    key = f"{written[0]['resourceType']}/lone"
    found = {who for who in ("north", "south") if world.get(who, f"/{key}").status_code == 200}
    assert found == set(seen_by.split())
    for who in ("north", "south"):
        asked = f"/{written[0]['resourceType']}?_id=lone&_total=accurate"
        assert world.get(who, asked).json()["total"] == (who in found), who
        assert world.get(who, "/Patient/jill").status_code == 200
    world.restore()


LONE = "QuestionnaireResponse/lone"


def test_nobody_opens_something_by_moving_a_reference_to_where_it_opens(world):
    """A task of north's refers to an assessment that it does not see; written as what the task brings, it would be seen."""
    world.restore()
    papers = [{"type": {"text": "papers"}, "valueReference": ref(LONE)}]
    task = {**record("jill")["Task"], "id": "asked", "reasonReference": ref(LONE)}
    world.write(said_by("QuestionnaireResponse"), task)
    seen = world.get("north", "/Task/asked").json()
    assert world.get("north", f"/{LONE}").status_code == 404
    for who, status in (("north", 422), ("priya", 200)):
        changed = world.put(who, {**seen, "input": papers})
        assert changed.status_code == status, changed.text
        assert world.get("north", f"/{LONE}").status_code == (404 if status == 422 else 200)
    # what stands there already stays there, also beside others
    others = [{"type": {"text": "note"}, "valueString": "a"}, *papers]
    assert world.put("north", {**world.stands("Task/asked"), "input": others}).status_code == 200
    world.restore()


def test_nobody_opens_something_by_naming_it_beside_what_names_it(world):
    """A new task of north's names the task that it sees, and brings what that one only refers to."""
    world.restore()
    task = {**record("jill")["Task"], "id": "asked", "reasonReference": ref(LONE)}
    world.write(said_by("QuestionnaireResponse"), task)
    assert world.get("north", "/Task/asked").status_code == 200
    papers = [{"type": {"text": "papers"}, "valueReference": ref(LONE)}]
    bringing = {**record("jill")["Task"], "basedOn": [ref("Task/asked")], "input": papers}
    del bringing["id"]
    for who, status in (("north", 422), ("priya", 201)):
        made = world.post(who, "/Task", bringing)
        assert made.status_code == status, made.text
        assert world.get("north", f"/{LONE}").status_code == (404 if status == 422 else 200)
    world.restore()


def test_nobody_moves_a_reference_from_one_extension_into_another(world):
    world.restore()
    plan = {**said_by("CarePlan"), "status": "draft"}
    other = extension("another", valueReference=ref("CarePlan/lone"))
    account = record("jill")["Account"]
    world.write(plan, {**account, "extension": [*account["extension"], {**other, "url": "http://another.example"}]})
    moved = {**account, "extension": [extension("phb-care-plan", valueReference=ref("CarePlan/lone"))]}
    assert world.put("north", moved).status_code == 422
    assert world.get("north", "/CarePlan/lone").status_code == 404
    kept = [{**other, "url": "http://another.example"}, *account["extension"]]
    assert world.put("north", {**account, "extension": kept, "language": "cy"}).status_code == 200
    world.restore()


@pytest.mark.parametrize(("who", "status"), [("jill", 200), ("ruth", 200), ("priya", 200), ("lim", 403), ("vic", 403)])
def test_who_acts_in_one_budget_is_not_told_of_the_whole_record_by_what_it_comes_to(world, who, status):
    world.restore()
    assert world.get(who, "/Patient/jill/$check-eligibility").status_code == status


WORRY = coded("safeguarding-referral", f"{PHB}/CodeSystem/phb-task-code")


@pytest.mark.parametrize("who", ["ruth", "willow", "pat", "lim"])
def test_a_worry_about_harm_is_not_told_to_who_acts_for_the_person(world, who):
    """It may be about them. Who raised it, and who has to do with it, sees it; so do the person, the team and the practice."""
    world.restore()
    asked = {"requester": ref("Organization/oak"), "authoredOn": "2026-11-20T09:00:00Z"}
    worry = {**record("jill")["Task"], "id": "worry", "code": WORRY, **asked}
    world.write(worry)
    assert world.get(who, "/Task/worry").status_code == 404
    assert world.get(who, "/Task?_id=worry&_total=accurate").json()["total"] == 0
    assert world.get(who, f"/Task?code={PHB}/CodeSystem/phb-task-code|safeguarding-referral").json()["total"] == 0
    assert "Task/worry" not in world.get(who, "/Patient/jill/$everything?_count=1000").text
    for other in ("jill", "priya", "harbour", "oak"):
        assert world.get(other, "/Task/worry").status_code == 200, other
    own = next(ACTORS[who][name] for name in ("fhirUser", "organization") if name in ACTORS[who])
    raised = {name: value for name, value in worry.items() if name != "id"} | {"requester": ref(own)}
    made = world.post(who, "/Task", raised)
    assert made.status_code == 201, made.text
    assert world.get(who, f"/Task/{made.json()['id']}").status_code == 200
    world.restore()


TASKS_ABOUT = {  # which tasks about their budgets a commissioner sees, who neither owns them nor asked for them
    "a budget of theirs": ("jill", "Account/jill-account", True),
    "a purchase from it": ("jill", "ChargeItem/jill-chargeitem", True),
    "a payment from it": ("jill", "PaymentReconciliation/jill-paymentreconciliation", True),
    "an invoice to it": ("jill", "Invoice/jill-invoice", True),
    "the plan of one of theirs": ("jill", "CarePlan/jill-careplan", True),
    "a plan of nobody's budget": ("jill", "CarePlan/jill-lone", False),
    "a budget of others": ("ted", "Account/ted-account", False),
    "a purchase from that": ("ted", "ChargeItem/ted-chargeitem", False),
    "somebody who has a budget of theirs": ("jill", "Patient/jill", False),
    "nothing": ("jill", "", False),
}


@pytest.mark.parametrize("name", TASKS_ABOUT)
def test_a_commissioner_sees_the_tasks_about_their_own_budgets(world, name):
    world.restore()
    of, focus, is_theirs = TASKS_ABOUT[name]
    world.write({**record("jill")["CarePlan"], "id": "jill-lone"})
    task = {
        **record(of)["Task"],
        "id": "about",
        "owner": ref(f"Patient/{of}"),
        "requester": ref("Organization/harbour"),
    }
    world.write(task | ({"focus": ref(focus)} if focus else {}))
    assert world.get("north", "/Task/about").status_code == (200 if is_theirs else 404)
    assert world.get("north", "/Task?_id=about&_total=accurate").json()["total"] == is_theirs
    assert world.get("finance", "/Task/about").status_code == 404
    # to see is not to answer: it is neither theirs to complete
    changed = world.put("north", {**world.stands("Task/about"), "status": "cancelled"})
    assert changed.status_code == (403 if is_theirs else 404), changed.text
    world.write(labelled(task | ({"focus": ref(focus)} if focus else {}), "R"))
    assert world.get("north", "/Task/about").status_code == 404
    world.restore()


def test_an_nhs_team_sees_who_wrote_the_records_of_the_patients_whom_it_manages(world):
    world.restore()
    world.write({**THINGS["Patient", "ted"], "managingOrganization": ref("Organization/harbour")})
    found = world.get("harbour", "/Provenance?target=Account/ted-account")
    assert found.json()["total"] >= 1, found.text
    assert world.get("harbour", "/Provenance/ted-provenance").status_code == 200
    assert world.get("harbour", "/Provenance?target=Account/mo-account").json()["total"] == 0
    world.restore()
    assert world.get("harbour", "/Provenance?target=Account/ted-account").json()["total"] == 0


@pytest.mark.parametrize(("who", "expected"), REACHES.items(), ids=REACHES)
def test_a_consent_opens_what_it_says_while_it_lasts(world, who, expected):
    world.restore()
    wanted = dict.fromkeys(key for keys in REACHES.values() for key in keys.split())
    assert [key for key in wanted if world.get(who, f"/{key}").status_code == 200] == [
        key for key in wanted if key in expected.split()
    ]


def test_a_consent_to_see_is_none_to_buy(world):
    world.restore()
    bought = {name: value for name, value in record("jill")["ChargeItem"].items() if name not in ("id", "identifier")}
    assert world.post("ruth", "/ChargeItem", bought).status_code == 201
    seen = {name: value for name, value in bought.items() if name != "supportingInformation"}
    assert world.post("vic", "/ChargeItem", seen).status_code == 403
    assert world.post("pay", "/ChargeItem", seen).status_code == 422
    assert world.post("lim", "/ChargeItem", bought).status_code == 201
    assert world.post("lim", "/ChargeItem", {**bought, "account": [ref("Account/jill-second")]}).status_code in (
        403,
        422,
    )
    assert world.post("ruth", "/ChargeItem", {**bought, "account": [ref("Account/jill-second")]}).status_code == 201


@pytest.mark.parametrize("who", ["jill", "priya"])
def test_a_consent_counts_from_the_next_request_and_so_does_its_withdrawal(world, who):
    world.restore()
    given = next(one for (type_, id_), one in THINGS.items() if type_ == "Consent" and id_ == "c-wes")
    assert world.get("wes", "/Account/jill-account").status_code == 404
    assert world.put(who, {**given, "status": "active"}).status_code == 200
    assert world.get("wes", "/Account/jill-account").status_code == 200
    assert world.get("wes", "/Account?_summary=count").json()["total"] == 2
    assert world.put(who, given).status_code == 200
    assert world.get("wes", "/Account/jill-account").status_code == 404
    assert world.get("wes", "/Account?_summary=count").json()["total"] == 0


def test_what_somebody_asked_for_is_not_told_to_them_once_the_consent_is_withdrawn(world):
    """What becomes of it is the person's: a review has the sums of its day in it. What they have to do themselves is still told."""
    world.restore()
    given = next(one for (type_, id_), one in THINGS.items() if type_ == "Consent" and id_ == "c-ruth")
    keys = ("Task/asked-by-ruth", "Task/for-ruth")
    assert [world.get("ruth", f"/{key}").status_code for key in keys] == [200, 200]
    assert world.put("jill", {**given, "status": "inactive"}).status_code == 200
    assert [world.get("ruth", f"/{key}").status_code for key in keys] == [404, 200]
    found = world.get("ruth", "/Task?_total=accurate").json()
    assert [one["resource"]["id"] for one in found["entry"]] == ["for-ruth"]
    asked = {name: value for name, value in record("jill")["Task"].items() if name != "id"}
    assert world.post("ruth", "/Task", {**asked, "requester": ref("RelatedPerson/ruth")}).status_code in (403, 422)
    world.restore()


def test_a_care_team_counts_from_the_next_request_and_so_does_its_end(world):
    world.restore()
    team = next(one for (type_, id_), one in THINGS.items() if (type_, id_) == ("CareTeam", "team-over"))
    assert world.get("sam", "/Account/jill-account").status_code == 404
    world.write({**team, "status": "active"})
    assert world.get("sam", "/Account/jill-account").status_code == 200
    world.write(team)
    assert world.get("sam", "/Account/jill-account").status_code == 404


PAST, COMING = {"end": "2026-01-01"}, {"start": "2028-01-01"}
OVER = {  # who sees Jill by what, and how that says that it is over
    "a team of another time": ("priya", "CareTeam", "team", {"period": PAST}),
    "a team that is yet to begin": ("priya", "CareTeam", "team", {"period": COMING}),
    "a role that somebody has left": ("priya", "PractitionerRole", "priya-role", {"period": PAST}),
    "a role that is not in use": ("priya", "PractitionerRole", "priya-role", {"active": False}),
    "a relation that ended": ("ruth", "RelatedPerson", "ruth", {"period": PAST}),
    "a relation that is not in use": ("ruth", "RelatedPerson", "ruth", {"active": False}),
    "a peer supporter who is not in use": ("pat", "Practitioner", "pat", {"active": False}),
}


@pytest.mark.parametrize("name", OVER)
def test_what_somebody_is_no_longer_gives_them_nothing(world, name):
    """Though the Consent, or the team, has not been changed."""
    world.restore()
    who, type_, id_, over = OVER[name]
    # by the team alone, and not because her organisation manages the patient
    claims = {name: value for name, value in ACTORS[who].items() if name != "organization"} | {"sub": name}
    goes_on = {"period": {"start": "2026-01-01"}} if "period" in over else {"active": True}
    for more, is_seen in ((goes_on, True), (over, False), (goes_on, True)):
        world.write({**THINGS[type_, id_], **more})
        assert world.get(claims, "/Account/jill-account").status_code == (200 if is_seen else 404)
    world.restore()
