"""Jill's story, from nothing to a budget that is closed: every step of it, each taken by whoever takes it."""

from __future__ import annotations

from datetime import date

from phb_fhir.cli.story_budget import (
    at,
    brought_to,
    finished,
    reached,
    review_record,
    with_amendment,
    with_amount,
    with_stage,
)
from phb_fhir.cli.teller import (
    GUIDE,
    Change,
    Resource,
    StoryEnded,
    Teller,
    coded,
    money,
    parameters,
    pounds,
    reference,
    url,
    values,
)
from phb_fhir.cli.token import Asked
from phb_fhir.rules.budget import in_words

SYSTEM = Asked("system", "The system")
PRIYA = Asked(
    "care-coordinator", "Priya Nair", "Practitioner/priya-nair", organization="Organization/harbourside-north"
)
COMMISSIONER = Asked("commissioner", "Harbourside North", organization="Organization/harbourside-north")
STRANGER = Asked("commissioner", "Another commissioner", organization="Organization/harbourside-community-trust")

BUDGET, PLAN = "Account/jill-budget", "CarePlan/jill-plan"
GOALS = ("Goal/jill-goal-out-and-about", "Goal/jill-goal-skin-and-sleep", "Goal/jill-goal-stay-out-of-hospital")
COORDINATOR = "PractitionerRole/priya-nair-coordinator"
OF_ONE_REVIEW = ("id", "meta", "output", "executionPeriod", "identifier", "restriction", "businessStatus")


class Jill:
    """The story, chapter by chapter."""

    def __init__(self, teller: Teller) -> None:
        self.t = teller

    def tell(self) -> None:
        self.begin()
        self.request()
        self.money_first()
        self.plan()
        self.start()
        self.buy()
        self.decide()
        self.pay()
        self.look()
        self.review()
        self.close()

    def begin(self) -> None:
        t = self.t
        t.chapter("Jill")
        t.open("jill", SYSTEM)
        self.jill = Asked("person", "Jill Harper", t.key("Patient/jill"), t.key("Patient/jill").partition("/")[2])
        self.ruth = Asked("delegate", "Ruth Harper", t.key("RelatedPerson/ruth-harper"), self.jill.patient)
        t.say(
            "Jill Harper is 58 and has multiple sclerosis. Her sister Ruth, her care co-ordinator Priya, and those who could provide for her "
            "are known. Nothing is planned and no money is there."
        )

    # --- who asks, and whether she may ---

    def request(self) -> None:
        t = self.t
        made = t.send(PRIYA, "POST", "/Account", at(t, BUDGET, "requested"))
        t.real[BUDGET] = f"Account/{made['id']}"
        t.make(PRIYA, "Task/jill-request")
        t.say("Priya asks for a personal health budget for Jill. The budget exists, and is worth nothing yet.")
        found = values(t.ask(PRIYA, "Patient/jill", "$check-eligibility"))
        if found["eligible"]:
            raise StoryEnded("Jill should not be eligible yet.")
        t.say("May she have one? Not yet:")
        t.quote(str(issue["diagnostics"]) for issue in found["outcome"]["issue"])
        t.make(COMMISSIONER, "Coverage/jill-continuing-healthcare")
        if not values(t.ask(PRIYA, "Patient/jill", "$check-eligibility"))["eligible"]:
            raise StoryEnded("Jill should be eligible now.")
        self.step("eligibility-confirmed")
        t.say(
            "The commissioner records that NHS Continuing Healthcare is for her. Now she is eligible, and has a right to one."
        )

    def step(self, stage: str) -> Resource:
        return self.t.change(PRIYA, BUDGET, lambda there: brought_to(self.t, BUDGET, there, stage))

    # --- about how much ---

    def money_first(self) -> None:
        t = self.t
        t.chapter("About how much")
        t.make(PRIYA, "QuestionnaireResponse/jill-needs-assessment")
        source = reference(t.key("QuestionnaireResponse/jill-needs-assessment"))
        asked = parameters(source_Reference=source, method_Code="ras")
        calculate = f"/{t.key(BUDGET)}/$calculate-indicative"
        t.say(
            "Priya and Jill assess her needs together. About how much will there be? Not before Jill knows what this is about:"
        )
        t.quote(t.refused(PRIYA, "POST", calculate, asked))
        t.make(PRIYA, "Communication/jill-information-given")
        worked = t.send(PRIYA, "POST", calculate, asked)
        steps = [row["valueString"] for row in worked["parameter"] if row["name"] == "explanation"]
        amount = next(row["valueMoney"] for row in worked["parameter"] if "valueMoney" in row)
        t.say(f"Priya tells her. It comes to about {pounds(amount)} a week, and anyone can follow why:")
        t.quote(steps[-2:])
        self.step("planning")
        t.say("Jill says yes. The planning begins.")
        t.make(self.jill, "Consent/jill-ruth-delegate")
        t.read(self.ruth, BUDGET)
        t.say("She lets her sister act for her. From this moment Ruth sees the budget.")

    def ahead(self, stage: str) -> Resource:
        there = self.t.read(PRIYA, BUDGET)
        return brought_to(self.t, BUDGET, there, stage)

    # --- the plan ---

    def plan(self) -> None:
        t = self.t
        t.chapter("A plan of her own")
        papers = (
            "QuestionnaireResponse/jill-plan-content",
            "RiskAssessment/jill-risk-assistant-away",
            "RiskAssessment/jill-risk-skin",
        )

        def draft(plan: Resource) -> Resource:
            massage = next(one for one in plan["activity"] if one["id"] == "massage")
            del massage["detail"]["performer"]
            return {**plan, "status": "draft"}

        t.make_all(PRIYA, *GOALS, PLAN, *papers, change={PLAN: draft})
        t.say(
            "Jill writes who she is and what matters to her. With her team she sets three goals, looks at the risks, and plans eleven activities."
        )
        self.step("planning")
        self.step("sign-off-pending")
        missing = [one for one in self.criteria() if not one["met"]]
        t.say(f"Is it ready to be signed off? {9 - len(missing)} of nine criteria are met. What is missing:")
        t.quote(str(one["diagnostics"]) for one in missing)
        said = t.refused(PRIYA, "POST", f"/{t.key(PLAN)}/$sign-off", self.sign())
        t.say("So nobody signs it:")
        t.quote(said)
        t.change(PRIYA, PLAN, lambda there: {**there, "activity": t.paper(PLAN)["activity"]})
        if any(not one["met"] for one in self.criteria()):
            raise StoryEnded("The plan should meet all nine criteria.")
        t.send(PRIYA, "POST", f"/{t.key(PLAN)}/$sign-off", self.sign())
        balance = self.balance(PRIYA)
        t.say(
            f"They put it right, all nine are met, and Priya signs it off with Jill beside her. {pounds(balance['allocated'])} is hers for a year."
        )

    def sign(self) -> Resource:
        return parameters(authoriser_Reference=reference(self.t.key(COORDINATOR)), personPresent_Boolean=True)

    def criteria(self) -> list[Resource]:
        answer = self.t.ask(PRIYA, PLAN, "$check-sign-off")
        rows = [row["part"] for row in answer["parameter"] if row["name"] == "criterion"]
        return [values({"parameter": row}) for row in rows]

    # --- starting ---

    def start(self) -> None:
        t = self.t
        t.chapter("Starting")
        said = t.refused(PRIYA, "PUT", f"/{t.key(BUDGET)}", self.ahead("active"))
        t.say("Can it begin? Not until everything is in place:")
        t.quote(said)
        t.make(PRIYA, "DocumentReference/jill-direct-payment-agreement")
        t.make(self.jill, "Consent/jill-direct-payment")
        t.make(PRIYA, "Task/jill-step-5-start")
        self.step("active")
        (review,) = self.reviews()
        t.real["first review"] = f"Task/{review['id']}"
        due = in_words(date.fromisoformat(review["restriction"]["period"]["end"]))
        t.say(
            f"Jill agrees to a direct payment, the agreement is signed, and the budget is active. A first review is planned by itself, for {due}."
        )
        t.make(COMMISSIONER, "PaymentReconciliation/jill-direct-payment-2026-10")
        t.say(f"{pounds(self.part(PRIYA, 'daily-life')['advanced'])} is paid to Jill in advance, for the first month.")

    def reviews(self) -> list[Resource]:
        code = f"{GUIDE}/CodeSystem/phb-task-code|phb-review"
        return self.t.find(PRIYA, f"Task?focus={self.t.key(BUDGET)}&code={code}")

    def balance(self, who: Asked) -> Resource:
        return values(self.t.ask(who, BUDGET, "$balance"))

    def part(self, who: Asked, id_: str) -> Resource:
        rows = [row["part"] for row in self.t.ask(who, BUDGET, "$balance")["parameter"] if row["name"] == "part"]
        return next(found for row in rows if (found := values({"parameter": row})).get("id") == id_)

    # --- buying ---

    def buy(self) -> None:
        t = self.t
        t.chapter("Buying")
        first = "ChargeItem/jill-massage-2026-10-09"
        t.make(self.jill, first, as_planned)
        status = t.read(self.jill, first)["status"]
        if status != "billable":
            raise StoryEnded(f"The massage should be billable by itself, and is {status}.")
        t.say(
            "Jill books a massage for £45.00. It is in her plan, in the directory and within the money, so nobody has to decide: it is agreed at once."
        )
        said = t.refused(self.jill, "PUT", f"/{t.key(first)}", {**t.read(self.jill, first), "status": "billed"})
        t.say("Is it paid? That needs something to show for it:")
        t.quote(said[:1])
        t.make(self.jill, "DocumentReference/jill-receipt-massage-2026-10-09")
        t.change(self.jill, first, lambda there: self.with_papers(first, there, "billed"))
        t.say("She adds the receipt, and it is paid.")
        t.make(self.ruth, "ChargeItem/jill-swimming-2026-10", as_planned)
        t.say("Ruth books a month of swimming for her.")
        for what, change in self.not_to_be():
            said = t.refused(
                self.jill, "POST", "/ChargeItem", change(as_planned(t.paper("ChargeItem/jill-massage-2026-10-23")))
            )
            t.say(f"{what} is refused:")
            t.quote(said)

    def not_to_be(self) -> list[tuple[str, Change]]:
        def lottery(charge: Resource) -> Resource:
            excluded = {"system": f"{GUIDE}/CodeSystem/phb-excluded-item", "code": "gambling"}
            return {**charge, "code": {"coding": [excluded, *charge["code"]["coding"]], "text": "Lottery tickets"}}

        def too_much(charge: Resource) -> Resource:
            return {**charge, "priceOverride": money("19000.00")}

        return [("A lottery ticket", lottery), ("A massage for £19,000.00", too_much)]

    def with_papers(self, key: str, there: Resource, status: str) -> Resource:
        """A purchase as its paper has it, with the documents that are written by now."""
        paper = self.t.paper(key)
        return {
            **there,
            "status": status,
            **{name: paper[name] for name in ("supportingInformation", "extension") if name in paper},
        }

    # --- deciding ---

    def decide(self) -> None:
        t = self.t
        t.chapter("What is unusual")
        tools = "ChargeItem/jill-gardening-tools"
        t.make(self.jill, tools, self.by_jill)
        (task,) = t.find(PRIYA, f"Task?focus={t.key(tools)}")
        t.say(
            "Gardening tools are in nobody's directory. They are not refused for that: they wait, and Priya finds on her list:"
        )
        t.quote([task["description"]])
        t.operate(PRIYA, tools, "$approve", reason_String="Raised beds are her way of being outdoors.")
        t.say("She approves. The money is set aside, and the task is done.")
        t.write(self.jill, "television", self.television())
        if t.is_signed_in:
            wish = parameters(reason_String="I would like it.")
            t.say("A second television waits, too. Jill cannot approve it herself:")
            t.quote(t.refused(self.jill, "POST", f"/{t.key('television')}/$approve", wish))
        why = coded("phb-refusal-reason", "not-linked-to-outcomes")
        t.operate(
            PRIYA,
            "television",
            "$reject",
            reason_CodeableConcept=why,
            explanation_String="It serves none of the goals in your plan.",
        )
        t.say("Priya says no, and the letter to Jill is written with it:")
        t.quote([self.letter()])
        t.make(self.jill, "ChargeItem/jill-massage-2026-10-23", as_planned)
        t.change(self.jill, "ChargeItem/jill-massage-2026-10-23", lambda there: {**there, "status": "entered-in-error"})
        t.say("Jill records a massage twice by mistake, and takes it back. Both entries stay, and come to nothing.")

    def letter(self) -> str:
        """What Jill was last told in writing."""
        letters = self.t.find(self.jill, f"Communication?subject={self.t.key('Patient/jill')}&_sort=-sent&_count=1")
        return " ".join(part["contentString"] for part in letters[0]["payload"])

    def by_jill(self, charge: Resource) -> Resource:
        return {**charge, "enterer": reference(self.t.key("Patient/jill"))}

    def television(self) -> Resource:
        charge = self.by_jill(as_planned(self.t.paper("ChargeItem/jill-gardening-tools")))
        number = f"{charge['identifier'][0]['value']}-TV"
        return {
            **charge,
            "identifier": [{**charge["identifier"][0], "value": number}],
            "code": {**charge["code"], "text": "A second television"},
        }

    # --- paying ---

    def pay(self) -> None:
        t = self.t
        t.chapter("Paying")
        bed, invoice, paid = (
            "ChargeItem/jill-profiling-bed",
            "DocumentReference/jill-invoice-profiling-bed",
            "PaymentReconciliation/jill-payment-profiling-bed",
        )
        t.make(PRIYA, bed, as_planned)
        t.make(PRIYA, invoice)
        t.change(PRIYA, bed, lambda there: self.with_papers(bed, there, "billable"))
        t.make(COMMISSIONER, paid, lambda one: {**one, "outcome": "queued"})
        again = t.paper(paid)
        again["paymentIdentifier"] = {**again["paymentIdentifier"], "value": f"{again['paymentIdentifier']['value']}-2"}
        again["identifier"] = [{**again["identifier"][0], "value": f"{again['identifier'][0]['value']}-2"}]
        said = t.refused(COMMISSIONER, "POST", "/PaymentReconciliation", again)
        t.say(
            "The NHS orders a profiling bed for £1,850.00; the invoice comes, and its payment is on its way. Nobody pays it a second time:"
        )
        t.quote(said)
        t.change(COMMISSIONER, paid, lambda there: {**there, "outcome": "complete"})
        t.say(f"The bank has paid. The bed is {t.read(self.jill, bed)['status']}.")

    # --- looking ---

    def look(self) -> None:
        t = self.t
        t.chapter("Looking")
        found = values(t.ask(self.jill, BUDGET, "$statement"))
        t.say("Jill asks for her statement:")
        named = {"Came in": "credits", "Went out": "debits", "Set aside": "commitments", "Left": "closing"}
        t.quote(f"{words}: {pounds(found[name])}" for words, name in named.items())
        trail = t.ask(COMMISSIONER, BUDGET, "$statement")["parameter"]
        purchases = [row["part"] for row in trail if row["name"] == "purchase"]
        steps = sum(part["name"] == "step" for row in purchases for part in row)
        t.say(
            f"Her commissioner follows the trail: {len(purchases)} purchases in {steps} versions, what was refused and taken back among them."
        )
        if t.is_signed_in:
            said = t.refused(STRANGER, "GET", f"/{t.key(BUDGET)}/$statement", status=404)
            t.say("Another commissioner asks for it:")
            t.quote(said)

    # --- changing ---

    def review(self) -> None:
        t = self.t
        t.chapter("Three months on")
        t.say("The first review: is it working, and is the money right?")
        t.change(PRIYA, "first review", lambda there: {**there, "status": "in-progress"})
        for goal in GOALS:
            t.change(PRIYA, goal, lambda there: reached(there, t.today))
        said = {"outcomes": "Choir every week. Swimming helps.", "money": "Massage every week would help her sleep."}
        t.write(PRIYA, "first record", review_record(t.key("Patient/jill"), t.today, said))
        more = self.with_more(t.read(PRIYA, BUDGET))
        t.say("£740.00 more is wanted. Not without the review that says so:")
        t.quote(t.refused(PRIYA, "PUT", f"/{t.key(BUDGET)}", more))
        t.change(PRIYA, "first review", lambda there: finished(there, t.today, "change-budget", t.key("first record")))
        why = "Massage every week eases her nights."

        def amended(there: Resource) -> Resource:
            more = self.with_more(there)
            return with_amendment(more, t.today, why, t.key("first review"))

        t.change(PRIYA, BUDGET, amended)
        t.say(f"The review is recorded, and the budget is {pounds(self.balance(self.jill)['allocated'])} now.")

    def with_more(self, account: Resource) -> Resource:
        rows = [
            with_amount(with_amount(one, "approved", "27000.00"), "daily-life", "19040.00")
            for one in account["extension"]
        ]
        return {**account, "extension": rows}

    # --- ending ---

    def close(self) -> None:
        t = self.t
        t.chapter("Moving on")
        t.say("Jill moves to Scotland. Her budget ends with a last review.")
        t.change(PRIYA, BUDGET, lambda there: with_stage(there, "closing"))
        self.last_review()
        ending = parameters(review_Reference=reference(t.key("last review")), reason_String="Jill moves to Scotland.")
        t.say("Can it be closed? Not while anything is open:")
        t.quote(t.refused(COMMISSIONER, "POST", f"/{t.key(BUDGET)}/$close", ending))
        for key in ("ChargeItem/jill-swimming-2026-10", "ChargeItem/jill-gardening-tools"):
            t.change(PRIYA, key, lambda there: {**there, "status": "aborted"})
        self.pay_back()
        t.send(COMMISSIONER, "POST", f"/{t.key(BUDGET)}/$close", ending)
        found = self.balance(COMMISSIONER)
        t.say(
            f"The budget is closed. {pounds(found['spent'])} was spent, {pounds(found['available'])} is left, and every penny is accounted for."
        )

    def last_review(self) -> None:
        t = self.t
        first = {name: value for name, value in t.read(PRIYA, "first review").items() if name not in OF_ONE_REVIEW}
        last = {**first, "status": "in-progress", "reasonCode": coded("phb-review-type", "closing")}
        t.write(PRIYA, "last review", last)
        said = {"outcomes": "She leaves with what she came for.", "money": "What is left goes back."}
        t.write(PRIYA, "last record", review_record(t.key("Patient/jill"), t.today, said))
        t.change(PRIYA, "last review", lambda there: finished(there, t.today, "close", t.key("last record")))

    def pay_back(self) -> None:
        """What was paid in advance and not spent is asked back, and comes back."""
        t, held = self.t, self.part(PRIYA, "daily-life")
        rest = money(f"{held['advanced']['value'] - held['spent']['value']:.2f}")
        t.say(
            f"The swimming and the tools are given up. Of what was paid in advance, {pounds(held['spent'])} was spent. Jill is asked in writing:"
        )
        notice = t.operate(
            COMMISSIONER,
            BUDGET,
            "$request-repayment",
            ground_CodeableConcept=coded("phb-repayment-ground", "circumstances-changed"),
            amount_Money=rest,
            due_Date=t.day("2027-01-31"),
            from_Reference=reference(t.key("Patient/jill")),
            reason_String="The budget ends, and this was not needed.",
        )
        t.real["notice"] = f"Task/{notice['id']}"
        t.quote([self.letter()])
        repaid = coded("phb-task-business-status", "repaid")
        t.change(COMMISSIONER, "notice", lambda there: {**there, "status": "completed", "businessStatus": repaid})
        t.say(f"She pays {pounds(rest)} back.")


def as_planned(charge: Resource) -> Resource:
    """A purchase as it is proposed: nothing decided, nothing paid, nothing to show for it."""
    unwanted = {url("phb-paid-by"), url("phb-evidence-waiver")}
    kept = [one for one in charge.get("extension", ()) if one["url"] not in unwanted]
    made = {name: value for name, value in charge.items() if name != "supportingInformation"}
    return {**made, "status": "planned", "extension": kept}
