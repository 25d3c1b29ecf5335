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
import pytest
from pymongo import MongoClient
from typer.testing import CliRunner

from phb_fhir.cli import main
from tests.fresh import write_down
from tests.journeys.bank_files import (
    ACCOUNTS,
    IS,
    PAIN_002,
    RUTH,
    bank,
    document,
    reasons,
    report,
    results,
    rows,
    run,
    transfers,
)
from tests.journeys.jills_payments import BUDGET, COUNSELLING, DAILY, STILLWATER, counselling, with_receipt
from tests.paying import BASE, NORTH, WILLOW, Books, advance, made, said
from tests.running import RunningServer
from tests.stories import three_paid


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


@pytest.mark.parametrize("level", ["group", "part"])
def test_a_message_that_was_rejected_is_rejected_whole_though_the_bank_names_only_what_was_wrong_in_it(
    jill: httpx.Client, books: Books, level: str
) -> None:
    before = books.pot(BUDGET, DAILY)
    for n in range(3):
        made(jill.post("/PaymentReconciliation", json=advance(f"PAY-{n}", 10)))
    sent = rows(run(jill, run=("String", "RUN-1"), advances=("Boolean", False)), "payment")
    told = results(jill, report("RUN-1", ("PAY-1", "RJCT"), ("PAY-2", "ACSC"), reason="AC04", **{level: "RJCT"}))
    assert len(sent) == 3
    assert [len(rows(told, name)) for name in ("failed", "complete", "left-out", "waiting")] == [2, 1, 0, 0]
    assert books.pot(BUDGET, DAILY)["advanced"] == before["advanced"] + 1_000
    assert len(rows(run(jill, run=("String", "RUN-2"), advances=("Boolean", False)), "payment")) == 0
    assert books.agrees()


@pytest.mark.parametrize(("amount", "there"), [("9.99", "of £9.99"), ("10.001", "of another amount")])
def test_what_the_bank_says_of_another_amount_is_told_and_recorded_of_nothing(
    jill: httpx.Client, amount: str, there: str
) -> None:
    paid = made(jill.post("/PaymentReconciliation", json=advance("PAY-1", 10)))
    run(jill, run=("String", "RUN-1"), advances=("Boolean", False))
    ((what, why),) = reasons(results(jill, report("RUN-1", ("PAY-1", "ACSC"), amount=amount)))
    assert what == f"PaymentReconciliation/{paid['id']}"
    assert why == (
        f"It is of £10.00 here, and the bank says ACSC of one {there}. Find out where the money is, and record that as another payment."
    )
    assert made(jill.get(f"/{what}"))["outcome"] == "queued"
    assert rows(results(jill, report("RUN-1", ("PAY-1", "ACSC"), amount="10")), "complete") == [{"reference": what}]


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
