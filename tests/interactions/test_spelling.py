"""However a reference to a budget is spelled, it is understood, or refused: none passes by the rules of money."""

from __future__ import annotations

import pytest

from phb_fhir.interactions.spelling import is_odd
from phb_fhir.search.own import OwnBase
from tests.builders import bundle_of
from tests.paying import advance, made
from tests.stories import massage, tell

OWN = OwnBase("https://phb.example:8443/fhir")
LOOPBACK = OwnBase("http://127.0.0.1:8000/fhir", 8000)

ODD = [
    "./Account/jill-budget",
    "Account/jill-budget/",
    "Account//jill-budget",
    "/Account/jill-budget",
    "//Account/jill-budget",
    "Account/../Account/jill-budget",
    "Account/jill%2Dbudget",
    "Account/jill-budget?x=y",
    "Account/jill-budget#y",
    "Account/jill-budget/_history/",
    "account/jill-budget",
    "fhir/Account/jill-budget",
    "Account?identifier=x",
    "Account?identifier=https://fhir.phb.nhs.example/Id/phb-budget-number|B-1",
    "Account",
    "",
]


@pytest.mark.parametrize("reference", ODD)
def test_a_relative_reference_that_is_no_address_is_odd(reference):
    assert is_odd(OWN, reference)


@pytest.mark.parametrize(
    "reference",
    [
        "https://phb.example/fhir/Account/1",
        "http://phb.example:8443/fhir/Account/1",
        "https://PHB.example:8443/fhir/Account/1",
        "HTTPS://phb.example:8443/fhir/Account/1",
        "https://phb.example.:8443/fhir/Account/1",
        "https://phb.example:8443/FHIR/Account/1",
        "https://phb.example:8443/fhir/Account/1/",
        "https://phb.example:8443/fhir//Account/1",
        "https://phb.example:8443//fhir/Account/1",
        "https://phb.example:8443/x/../fhir/Account/1",
        "https://phb.example:8443/%66hir/Account/1",
        "https://phb.example:8443/fhir/Account/1?x=y",
        "https://phb.example:8443/fhir/Account/1#y",
        "https://somebody@phb.example:8443/fhir/Account/1",
        "http://localhost/fhir/Account/1",
        "http://[::1]:8443/fhir/Account/1",
    ],
)
def test_this_servers_address_in_another_spelling_is_odd(reference):
    assert is_odd(OWN, reference)


@pytest.mark.parametrize(
    "reference",
    [
        "Account/1",
        "Account/1/_history/2",
        "#a",
        "#",
        "urn:uuid:1f1ef22e-0000-4000-8000-000000000001",
        "urn:oid:1.2.3",
        "https://phb.example:8443/fhir/Account/1",
        "https://phb.example:8443/fhir/Account/1/_history/2",
        "https://phb.example:8443/another/fhir/Account/1",
        "https://elsewhere.example/fhir/Account/1/",
        "https://fhir.phb.example:8443/fhir/Account/1",
        "mailto:jill@phb.example",
        "http://[::1/fhir/Account/1",
    ],
)
def test_what_is_understood_and_what_is_elsewhere_is_not_odd(reference):
    assert not is_odd(OWN, reference)


def test_a_server_without_a_public_address_understands_its_own_names():
    assert not is_odd(LOOPBACK, "http://localhost:8000/fhir/Account/1")
    assert is_odd(LOOPBACK, "http://localhost:8001/fhir/Account/1")


def refused(answer):
    assert answer.status_code == 422, answer.text
    return [
        (issue["expression"], issue["diagnostics"]) for issue in answer.json()["issue"] if issue["severity"] == "error"
    ]


@pytest.mark.parametrize("reference", [one for one in ODD if one])
def test_a_purchase_is_charged_to_no_budget_by_an_odd_reference(api, reference):
    tell(api)
    [(expression, why)] = refused(api.post("/ChargeItem", json=massage(account=[{"reference": reference}])))
    assert expression[0].startswith("ChargeItem.account[0]")
    assert why.startswith(f'"{reference}" is no address of a resource here')


def test_the_refusal_says_how_to_write_it(api):
    tell(api)
    [(_, why)] = refused(api.post("/ChargeItem", json=massage(account=[{"reference": "./Account/jill-budget"}])))
    assert why.endswith("Write Account/jill-budget.")
    answer = api.post("/ChargeItem/$check-purchase", json=massage(account=[{"reference": "Account/jill-budget/"}]))
    assert refused(answer)[0][1].endswith("Write Account/jill-budget.")


def test_neither_a_payment_an_invoice_nor_a_budget_escapes(api):
    tell(api)
    odd = f"{api.base_url}/Account/jill-budget/"
    paid = advance("PAY-1", 10, account=odd)
    [(expression, _)] = refused(api.post("/PaymentReconciliation", json=paid))
    assert expression[0].startswith("PaymentReconciliation.extension[0].value")
    invoice = {"resourceType": "Invoice", "status": "issued", "account": {"reference": odd}}
    [(expression, _)] = refused(api.post("/Invoice", json=invoice))
    assert expression[0].startswith("Invoice.account")
    account = api.get("/Account/jill-budget").json()
    answer = api.put("/Account/jill-budget", json={**account, "partOf": {"reference": "./Account/x"}})
    assert refused(answer)[0][0][0].startswith("Account.partOf")


def test_it_is_told_of_the_entry_of_a_transaction_and_of_a_patch(api):
    tell(api)
    odd = {"id": "odd", **massage(account=[{"reference": "/Account/jill-budget"}])}
    [(expression, _)] = refused(api.post("/", json=bundle_of([odd])))
    assert expression[0].startswith("Bundle.entry[0].resource.account[0]")
    charge = made(api.post("/ChargeItem", json=massage()))
    patch = [{"op": "replace", "path": "/account/0/reference", "value": "Account/jill-budget#x"}]
    headers = {"Content-Type": "application/json-patch+json"}
    assert refused(api.patch(f"/ChargeItem/{charge['id']}", json=patch, headers=headers))


def test_what_no_rule_looks_at_is_let_be(api):
    made(
        api.post(
            "/Basic", json={"resourceType": "Basic", "code": {"text": "a"}, "subject": {"reference": "./Account/x"}}
        )
    )


@pytest.mark.parametrize("kind", ["by itself", "batch", "patch"])
def test_criteria_are_no_reference_outside_of_a_transaction(api, kind):
    """They would be kept as they are, and lead nobody anywhere (R4 §3.1.0.11, "Conditional References")."""
    criteria = "Patient?identifier=https://fhir.nhs.uk/Id/nhs-number|9449305552"
    basic = {"resourceType": "Basic", "code": {"text": "a"}, "subject": {"reference": criteria}}
    if kind == "by itself":
        issues = refused(api.post("/Basic", json=basic))
    elif kind == "batch":
        sent = {"resource": basic, "request": {"method": "POST", "url": "Basic"}}
        (done,) = api.post("/", json={"resourceType": "Bundle", "type": "batch", "entry": [sent]}).json()["entry"]
        assert done["response"]["status"].startswith("422")
        (issue,) = done["response"]["outcome"]["issue"]
        issues = [(issue["expression"], issue["diagnostics"])]
    else:
        stored = made(api.post("/Basic", json={**basic, "subject": {"display": "Jill"}}))
        headers = {"Content-Type": "application/merge-patch+json"}
        issues = refused(
            api.patch(f"/Basic/{stored['id']}", json={"subject": {"reference": criteria}}, headers=headers)
        )
    [(expression, why)] = issues
    assert expression[0].endswith("subject.reference")
    assert why == f'"{criteria}" is no address of a resource here: criteria are followed in a transaction alone.'


def test_a_bundle_that_is_kept_may_have_criteria_in_it(api):
    basic = {"resourceType": "Basic", "code": {"text": "a"}, "subject": {"reference": "Patient?identifier=x"}}
    kept = {"resource": basic, "request": {"method": "POST", "url": "Basic"}}
    made(api.post("/Bundle", json={"resourceType": "Bundle", "type": "transaction", "entry": [kept]}))
