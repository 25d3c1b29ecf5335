"""Who acts for somebody by a Consent: what it says, those beside it, its days, and requests that come again after it, over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from phb_fhir.interactions import access, seen
from tests.builders import NHS_NUMBER
from tests.running import FIRST_MOMENT
from tests.security.elements import (
    BUDGETS,
    LABELS,
    PHB,
    Resource,
    coded,
    consent,
    labelled,
    ref,
    thing,
)
from tests.security.record import paid, record
from tests.security.world import ACTORS

VIC = "RelatedPerson/vic"
RESOURCE_TYPES = "http://hl7.org/fhir/resource-types"
OF_OLD, OF_NOW = {"start": "2020-01-01", "end": "2021-01-01"}, {"start": "2026-01-01"}
DENIAL = consent("c-denial", "Patient/jill", VIC, provision_type="deny")


def denying(**more: Any) -> Resource:
    """A Consent of Jill's to Vic with a nested provision that denies."""
    return consent("c-vic", "Patient/jill", VIC, "view", provision_provision=[{"type": "deny", **more}])


def denial(**changed: Any) -> Resource:
    """Another Consent of Jill's, which denies."""
    return {**DENIAL, "provision": {**DENIAL["provision"], "action": [], **changed}}


def to(*names: str) -> list[Resource]:
    return [{"role": coded("DELEGATEE"), "reference": ref(f"RelatedPerson/{name}")} for name in names]


MODIFYING = [{"url": "https://defined.example/not-this-one", "valueBoolean": True}]
OTHER_BUDGET = [{"meaning": "instance", "reference": ref("Account/jill-second")}]
VIEW, PURCHASE = ([coded(one, f"{PHB}/CodeSystem/phb-consent-action")] for one in ("view", "purchase"))
LIMITED = {
    # what stands beside or in the Consent that lets Vic look, and what he then reads: her budget, her plan
    "another right denied within": (denying(action=PURCHASE), (200, 200)),
    "all denied within": (denying(), (404, 404)),
    "denied within to somebody else": (denying(actor=to("exa")), (200, 200)),
    "denied within to him and somebody else": (denying(actor=to("exa", "vic")), (404, 404)),
    "denied within in the past": (denying(period=OF_OLD), (200, 200)),
    "denied within from now on": (denying(period=OF_NOW), (404, 404)),
    "denied within until the future": (denying(period={"end": "2030"}), (404, 404)),
    "denied within what is permitted within": (
        consent(
            "c-vic",
            "Patient/jill",
            VIC,
            "view",
            provision_provision=[{"type": "permit", "provision": [{"type": "deny", "action": VIEW}]}],
        ),
        (404, 404),
    ),
    "denied beside it": (denial(), (404, 404)),
    "the right denied beside it": (denial(action=VIEW), (404, 404)),
    "another right denied beside it": (denial(action=PURCHASE), (200, 200)),
    "denied beside it, without a period": (denial(period={}), (404, 404)),
    "denied beside it in the past": (denial(period=OF_OLD), (200, 200)),
    "denied beside it to somebody else": (denial(actor=to("exa")), (200, 200)),
    "denied beside it for one budget": (denial(data=OTHER_BUDGET), (404, 404)),
    "denied beside it, and withdrawn": ({**denial(), "status": "inactive"}, (200, 200)),
    "denied by somebody else": ({**denial(), "patient": ref("Patient/mo")}, (200, 200)),
    "for some types": (
        consent("c-vic", "Patient/jill", VIC, "view", provision_class=[{"system": RESOURCE_TYPES, "code": "CarePlan"}]),
        (404, 200),
    ),
    "for types of another kind": (
        consent("c-vic", "Patient/jill", VIC, "view", provision_class=[{"system": "urn:x", "code": "CarePlan"}]),
        (404, 404),
    ),
    "for some labels": (
        consent("c-vic", "Patient/jill", VIC, "view", provision_securityLabel=[{"system": LABELS, "code": "N"}]),
        (404, 404),
    ),
    "for some dates of data": (
        consent("c-vic", "Patient/jill", VIC, "view", provision_dataPeriod={"end": "2020"}),
        (404, 404),
    ),
    "with something that modifies who is meant": (
        consent(
            "c-vic", "Patient/jill", VIC, "view", provision_actor=[{**to("vic")[0], "modifierExtension": MODIFYING}]
        ),
        (404, 404),
    ),
    "with rules of its own": (consent("c-vic", "Patient/jill", VIC, "view", implicitRules="urn:rules"), (404, 404)),
    "for some codes": (consent("c-vic", "Patient/jill", VIC, "view", provision_code=[coded("x")]), (404, 404)),
}


@pytest.mark.parametrize("name", LIMITED)
def test_a_consent_gives_no_more_than_it_and_those_beside_it_say(world, name):
    resource, expected = LIMITED[name]
    resource["provision"] = {key: value for key, value in resource["provision"].items() if value}
    world.write(resource)
    statuses = tuple(
        world.get("vic", f"/{key}").status_code for key in ("Account/jill-account", "CarePlan/jill-careplan")
    )
    world.restore()
    assert statuses == expected
    assert world.get("vic", "/Account/jill-account").status_code == 200


def test_a_care_team_that_may_mean_something_else_lets_nobody_in(world):
    team = {"status": "active", "subject": ref("Patient/ted")}
    member = {"member": ref("Practitioner/priya")}
    for modified in (
        {"modifierExtension": MODIFYING},
        {"participant": [{**member, "modifierExtension": MODIFYING}]},
        {},
    ):
        world.write(thing("CareTeam", "of-ted", **{**team, "participant": [member], **modified}))
        status = world.get("priya", "/Patient/ted").status_code
        assert status == (404 if modified else 200), modified
    world.restore()


def test_consents_that_ended_lock_nobody_out_and_those_of_others_not_who_is_launched_with_a_patient(world, monkeypatch):
    """Anybody may name a broker in a Consent of theirs, as often as they like."""
    named = consent("c-more", "Patient/ted", "Organization/willow", "view")
    monkeypatch.setattr(access, "CONSENTS_MAX", 5)
    monkeypatch.setattr(access, "CASELOAD_MAX", 5)
    world.write(*({**named, "id": f"c-more-{number}", "status": "inactive"} for number in range(8)))
    assert world.get("willow", "/Account/jill-account").status_code == 200
    world.write(*({**named, "id": f"c-more-{number}"} for number in range(8)))
    refused = world.get("willow", "/Account/jill-account")
    assert (refused.status_code, "consents name you" in refused.text) == (403, True)
    launched = {**ACTORS["willow"], "patient": "jill"}
    assert world.get(launched, "/Account/jill-account").status_code == 200
    assert world.get(launched, "/Account/ted-account").status_code == 404
    ended = {**record("jill")["CareTeam"], "status": "inactive", "participant": [{"member": ref("Practitioner/priya")}]}
    world.write(*({**ended, "id": f"ended-{number}"} for number in range(8)))
    assert world.get("priya", "/Account/jill-account").status_code == 200
    world.restore()


def test_who_acts_for_many_is_asked_about_all_of_them_at_once(world, monkeypatch):
    """A broker whom thousands trust: what they see of others through a join is one condition, however many these are."""
    monkeypatch.setattr(seen, "PREDICATE_JOINS_MAX", 3)
    account, payment = record("ted")["Account"], record("ted")["PaymentReconciliation"]
    budgets = [f"ted-{number}" for number in range(8)]
    for name in budgets:
        named = {"identifier": [{"system": BUDGETS, "value": f"B-{name}"}], "subject": [ref(f"Patient/{name}")]}
        paid_ = {"extension": paid(f"Account/{name}", "Organization/river"), "paymentIdentifier": {"value": name}}
        world.write(
            thing("Patient", name, active=True),
            {**account, "id": name, **named},
            {**payment, "id": name, **paid_},
            consent(f"c-{name}", f"Patient/{name}", "Organization/willow", "view"),
        )
    found = world.get("willow", "/PaymentReconciliation?_count=100")
    assert found.status_code == 200, found.text
    ids = {one["resource"]["id"] for one in found.json()["entry"]}
    assert ids >= set(budgets)
    assert "ted-paymentreconciliation" not in ids
    world.restore()


def test_a_team_that_thousands_of_care_teams_name_is_let_in(world):
    """One of a whole ICB takes part in the care of more than two thousand people."""
    world.restore()
    of = {"status": "active", "subject": ref("Patient/asha"), "participant": [{"member": ref("Organization/willow")}]}
    for start in range(0, 2_001, 667):
        world.write(*(thing("CareTeam", f"of-many-{one}", **of) for one in range(start, start + 667)))
    team = {"role": "nhs-team", "organization": "Organization/willow"}
    found = world.get(team, "/Account/asha-account")
    assert found.status_code == 200, found.text
    assert world.get(team, "/Account/ted-account").status_code == 404
    world.restore()


def test_a_delegate_is_known_by_their_nhs_number_in_however_many_records(world):
    """Anybody may say that somebody with that number is close to them, and more often than once."""
    number = {"identifier": [{"system": NHS_NUMBER, "value": "9999999468"}]}
    claims = {"role": "delegate", "nhs_number": "9999999468"}
    ted = ref("Patient/ted")
    world.write(*(thing("RelatedPerson", f"close-{one:03}", patient=ted, **number) for one in range(101)))
    world.write(
        thing("RelatedPerson", "close-to-jill", patient=ref("Patient/jill"), **number),
        consent("c-close", "Patient/jill", "RelatedPerson/close-to-jill", "view"),
        consent("c-last", "Patient/ted", "RelatedPerson/close-100", "view"),
    )
    for who in (claims, {**claims, "patient": "jill"}):
        assert world.get(who, "/Account/jill-account").status_code == 200
    assert world.get(claims, "/Account/ted-account").status_code == 200
    assert world.get({**claims, "patient": "jill"}, "/Account/ted-account").status_code == 404
    world.restore()


DAYS = {
    # in summer, when it is an hour later in England than by UTC
    "before the first day": ({"start": "2027-06-30", "end": "2027-06-30"}, "2027-06-29T22:59:59Z", 404),
    "as the first day begins": ({"start": "2027-06-30", "end": "2027-06-30"}, "2027-06-29T23:00:00Z", 200),
    "as the last day ends": ({"start": "2027-06-30", "end": "2027-06-30"}, "2027-06-30T22:59:59Z", 200),
    "after the last day": ({"start": "2027-06-30", "end": "2027-06-30"}, "2027-06-30T23:00:00Z", 404),
    "after the last month": ({"start": "2027-06", "end": "2027-06"}, "2027-06-30T23:00:00Z", 404),
    "until an instant, before it": (
        {"start": "2027-05-01", "end": "2027-06-30T23:30:00Z"},
        "2027-06-30T23:29:59Z",
        200,
    ),
    "until an instant, after it": ({"start": "2027-05-01", "end": "2027-06-30T23:30:00Z"}, "2027-06-30T23:30:01Z", 404),
    "in winter, as the last day ends": ({"start": "2026-12-01", "end": "2026-12-01"}, "2026-12-01T23:59:59Z", 200),
    "in winter, after the last day": ({"start": "2026-12-01", "end": "2026-12-01"}, "2026-12-02T00:00:00Z", 404),
}


@pytest.mark.parametrize(("period", "at", "status"), DAYS.values(), ids=DAYS)
def test_the_days_of_a_consent_are_days_in_england(world, period, at, status):
    world.write(consent("c-vic", "Patient/jill", VIC, "view", provision_period=period))
    world.hold_the_clock(int((datetime.fromisoformat(at) - FIRST_MOMENT).total_seconds()))
    answered = world.get("vic", "/Account/jill-account").status_code
    world.restore()
    world.hold_the_clock()
    assert answered == status


def test_a_request_that_comes_again_is_answered_to_who_may_still_write_that(world):
    task = {name: it for name, it in record("jill")["Task"].items() if name != "id"}
    observation = {name: it for name, it in record("jill")["Observation"].items() if name != "id"}

    def sends(who: Any, path: str, body: Resource) -> tuple[int, str]:
        answer = world.post(who, path, body, x_request_id=f"again{path.replace('/', '-')}")
        return answer.status_code, answer.json().get("id", "") if answer.status_code == 201 else ""

    first = sends("ruth", "/Task", task)
    assert first[0] == 201
    assert sends("ruth", "/Task", task) == first
    assert sends({**ACTORS["ruth"], "scope": "user/Account.cruds", "sub": "ruth"}, "/Task", task) == (403, "")
    world.write(consent("c-ruth", "Patient/jill", "RelatedPerson/ruth", "view", status="inactive"))
    assert sends("ruth", "/Task", task) == (403, "")
    written = sends("priya", "/Observation", observation)
    assert written[0] == 201
    assert sends("priya", "/Observation", observation) == written
    world.write(labelled({**observation, "id": written[1]}, "R"))
    assert sends("priya", "/Observation", observation) == (403, "")
    world.restore()
