"""The children's story: Asha's two budgets, of the NHS and of the council, from nothing to one joint budget and to their end."""

from __future__ import annotations

from functools import partial

from phb_fhir.cli.story_budget import (
    at,
    brought_to,
    finished,
    is_indicative,
    reached,
    review_record,
    with_amendment,
    with_amount,
    with_stage,
)
from phb_fhir.cli.teller import Resource, StoryEnded, Teller, coded, parameters, pounds, reference, values
from phb_fhir.cli.token import Asked

SYSTEM = Asked("system", "The system")
DANA = Asked("care-coordinator", "Dana Reid", "Practitioner/dana-reid")
ICB = Asked("commissioner", "Wreake Valley ICB", organization="Organization/wreake-valley")
COUNCIL = Asked("commissioner", "Wreake Valley Council", organization="Organization/wreake-valley-council")

HEALTH, CARE, JOINT = "Account/asha-health", "Account/asha-social-care", "Account/asha-joint"
PLAN = "CarePlan/asha-plan"
GOALS = ("Goal/asha-goal-out-with-friends", "Goal/asha-goal-safe-at-home")
PAPERS = ("QuestionnaireResponse/asha-plan-content", "RiskAssessment/asha-risk-seizure")
CONSENT = "Consent/asha-parental-responsibility"
COORDINATOR = "PractitionerRole/dana-reid-coordinator"


class Family:
    """The story, chapter by chapter."""

    def __init__(self, teller: Teller) -> None:
        self.t = teller

    def tell(self) -> None:
        self.begin()
        self.ask()
        self.plan()
        self.start()
        self.join()
        self.buy()
        self.change()
        self.end()

    def begin(self) -> None:
        t = self.t
        t.chapter("The family")
        t.open("family", SYSTEM)
        child = t.key("Patient/asha").partition("/")[2]
        self.nisha = Asked("delegate", "Nisha Mistry", t.key("RelatedPerson/nisha-mistry"), child)
        t.say(
            "Asha is fifteen and has complex needs. Her mother Nisha acts for her; Dana is the nurse who co-ordinates her care."
        )

    # --- two budgets ---

    def ask(self) -> None:
        t = self.t
        for key, request in ((HEALTH, "Task/asha-request"), (CARE, "Task/asha-social-care-request")):
            t.write(DANA, key, at(t, key, "requested"))
            t.make(DANA, request)
        t.make(DANA, CONSENT)
        t.make(ICB, "Coverage/asha-continuing-care")
        t.make(COUNCIL, "Coverage/asha-social-care")
        for key in (HEALTH, CARE):
            self.step(key, "eligibility-confirmed")
        t.make(DANA, "Communication/asha-information-given")
        t.make(DANA, "QuestionnaireResponse/asha-needs-assessment")
        source = reference(t.key("QuestionnaireResponse/asha-needs-assessment"))
        worked = t.operate(DANA, HEALTH, "$calculate-indicative", source_Reference=source, method_Code="face")
        amount = next(row["valueMoney"] for row in worked["parameter"] if "valueMoney" in row)
        t.change(DANA, CARE, self.by_the_council)
        t.say(
            f"Two budgets are asked for. The NHS's comes to about {pounds(amount)} a week by her assessment, the council's to £225.00."
        )
        for key in (HEALTH, CARE):
            self.step(key, "planning")
        t.say("Nisha says yes to both.")

    def step(self, key: str, stage: str) -> Resource:
        return self.t.change(DANA, key, lambda there: brought_to(self.t, key, there, stage))

    def by_the_council(self, there: Resource) -> Resource:
        """The council has worked its amount out by itself."""
        rows = [one for one in self.t.paper(CARE)["extension"] if is_indicative(one)]
        return with_stage({**there, "extension": [*there["extension"], *rows]}, "indicative-set")

    # --- one plan ---

    def plan(self) -> None:
        t = self.t
        t.make_all(DANA, *GOALS, PLAN, *PAPERS, change={PLAN: lambda plan: {**plan, "status": "draft"}})
        for key in (HEALTH, CARE):
            self.step(key, "planning")
            t.change(DANA, key, partial(self.to_be_signed, key))
        signed = parameters(authoriser_Reference=reference(t.key(COORDINATOR)), personPresent_Boolean=True)
        t.send(DANA, "POST", f"/{t.key(PLAN)}/$sign-off", signed)
        given = {key: pounds(self.balance(DANA, key)["allocated"]) for key in (HEALTH, CARE)}
        t.say(
            f"One plan serves both. It is signed off once, and authorises {given[HEALTH]} of the NHS and {given[CARE]} of the council."
        )

    def to_be_signed(self, key: str, there: Resource) -> Resource:
        return self.before_review(key, brought_to(self.t, key, there, "sign-off-pending"))

    def before_review(self, key: str, account: Resource) -> Resource:
        """A budget as it was before the review that added two hours a week."""
        return self.with_amounts(account, "28600.00", "50700.00") if key == HEALTH else account

    def with_amounts(self, account: Resource, second_half: str, home_care: str) -> Resource:
        end = account["servicePeriod"]["end"]
        rows = [with_amount(one, "approved", second_half, until=end) for one in account["extension"]]
        return {**account, "extension": [with_amount(one, "home-care", home_care) for one in rows]}

    def balance(self, who: Asked, key: str) -> Resource:
        return values(self.t.ask(who, key, "$balance"))

    def start(self) -> None:
        t = self.t
        joint = {**t.paper(JOINT), "status": "on-hold"}
        t.write(DANA, JOINT, with_stage(joint, "authorised"))
        t.change(DANA, CONSENT, lambda there: {**there, "provision": t.paper(CONSENT)["provision"]})
        t.make(DANA, "Task/asha-start")
        t.change(DANA, JOINT, lambda there: with_stage(there, "active"))

    # --- one budget to the family ---

    def join(self) -> None:
        t = self.t
        request = "Task/asha-joint-request"
        t.make(self.nisha, request, as_asked)
        why = {"joint_Reference": reference(t.key(JOINT)), "request_Reference": reference(t.key(request))}
        for key, share in ((HEALTH, 5), (CARE, 1)):
            t.operate(DANA, key, "$join", **why, share_Decimal=share)
            self.step_active(key)
        found = self.balance(self.nisha, JOINT)
        t.say(
            f"Nisha asks for one budget, shared five to one. To her it is {pounds(found['available'])}; each funder keeps its own ledger."
        )

    def step_active(self, key: str) -> None:
        self.t.change(DANA, key, partial(self.started, key))

    def started(self, key: str, there: Resource) -> Resource:
        """The budget, active, with the share that it has by then."""
        made = brought_to(self.t, key, there, "active")
        share = [one for one in there["extension"] if one["url"].endswith("phb-joint-share")]
        return self.before_review(key, {**made, "extension": [*made["extension"], *share]})

    def buy(self) -> None:
        t = self.t
        kit = "ChargeItem/asha-sensory-kit"
        before = {key: self.balance(DANA, key)["available"] for key in (HEALTH, CARE)}
        t.make(self.nisha, kit, without_note)
        t.operate(DANA, kit, "$approve", reason_String="It is what the goals are about.")
        after = {key: self.balance(DANA, key)["available"] for key in (HEALTH, CARE)}
        falls = {key: f"£{before[key]['value'] - after[key]['value']:.2f}" for key in (HEALTH, CARE)}
        t.say(
            f"She asks for lights and switches to play with, £180.00. Dana approves: {falls[HEALTH]} falls to the NHS, {falls[CARE]} to the council."
        )
        care, invoice = (
            "ChargeItem/asha-hospital-care-2026-09-20",
            "DocumentReference/asha-invoice-hospital-care-2026-09-20",
        )
        t.make(DANA, care, lambda one: self.by_dana(without(one, "supportingInformation"), "billable"))
        t.make(DANA, invoice)
        t.change(
            DANA,
            care,
            lambda there: {**there, "status": "billed", "supportingInformation": [reference(t.key(invoice))]},
        )
        t.say("Asha is in hospital for a week. Her own carers stay with her, from her own budget.")

    def by_dana(self, charge: Resource, status: str) -> Resource:
        return {**charge, "status": status, "enterer": reference(self.t.key(COORDINATOR))}

    # --- change ---

    def change(self) -> None:
        t = self.t
        review = "Task/asha-needs-change-review"
        t.make(self.nisha, review, as_asked)
        t.say("Home again, evenings are harder. Nisha calls a review, as anyone may at any time.")
        t.change(DANA, review, lambda there: {**there, "status": "in-progress"})
        for goal in GOALS:
            t.change(DANA, goal, lambda there: reached(there, t.today))
        said = {
            "outcomes": "She is safe at home, and tired in the evenings.",
            "money": "Two more hours a week are needed.",
        }
        t.write(DANA, "record", review_record(t.key("Patient/asha"), t.today, said))
        t.change(DANA, review, lambda there: finished(there, t.today, "change-budget", t.key("record")))
        t.change(
            DANA,
            HEALTH,
            lambda there: with_amendment(self.more(there), t.today, "Two more hours a week.", t.key(review)),
        )
        t.say(
            f"Two more hours a week are agreed. The NHS's part is {pounds(self.balance(ICB, HEALTH)['allocated'])} now."
        )

    def more(self, account: Resource) -> Resource:
        return self.with_amounts(account, "29900.00", "52000.00")

    # --- the end ---

    def end(self) -> None:
        t = self.t
        t.say("Years later Asha's care is another's to plan. The budgets end together.")
        for key in (JOINT, HEALTH, CARE):
            t.change(DANA, key, lambda there: with_stage(there, "closing"))
        last = without(
            t.read(DANA, "Task/asha-needs-change-review"), "id", "meta", "output", "executionPeriod", "identifier"
        )
        last |= {
            "status": "in-progress",
            "focus": reference(t.key(JOINT)),
            "reasonCode": coded("phb-review-type", "closing"),
        }
        t.write(DANA, "last review", last)
        said = {"outcomes": "Out with friends every Saturday.", "money": "What is left goes back to each funder."}
        t.write(DANA, "last record", review_record(t.key("Patient/asha"), t.today, said))
        t.change(DANA, "last review", lambda there: finished(there, t.today, "close", t.key("last record")))
        t.change(DANA, "ChargeItem/asha-sensory-kit", lambda there: {**there, "status": "aborted"})
        ending = parameters(
            review_Reference=reference(t.key("last review")), reason_String="Another commissioner plans for her now."
        )
        for key in (HEALTH, CARE, JOINT):
            t.send(DANA, "POST", f"/{t.key(key)}/$close", ending)
        if self.balance(ICB, JOINT)["available"]["value"]:
            raise StoryEnded("There should be nothing left in a budget that is closed.")
        spent = pounds(self.balance(ICB, JOINT)["spent"])
        t.say(f"{spent} was spent, and the rest is back with whoever gave it.")


def as_asked(task: Resource) -> Resource:
    """A task as it was asked for: nobody has done anything about it."""
    return {**without(task, "output", "executionPeriod", "businessStatus"), "status": "requested"}


def without(resource: Resource, *names: str) -> Resource:
    return {name: value for name, value in resource.items() if name not in names}


def without_note(charge: Resource) -> Resource:
    return without(charge, "note")
