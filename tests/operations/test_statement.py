"""Account/$statement: every movement, what it was for, and sums that always add up (R12, R17, R150)."""

from __future__ import annotations

import base64
import csv
import io
import re
from html.parser import HTMLParser

import pytest

from tests.builders import budget, bundle, entry, problem
from tests.operations.money import read, told
from tests.stories import FAMILY, massage, tell

ADDRESS = "/Account/jill-budget/$statement"
GUIDE = "https://fhir.phb.nhs.example/StructureDefinition"


def statement(api, key="jill-budget", **asked):
    return told(api.get(f"/Account/{key}/$statement", params=asked))


def balance(api, key="jill-budget", **asked):
    return told(api.get(f"/Account/{key}/$balance", params=asked))


def bought(api, **more):
    made = api.post("/ChargeItem", json=massage(**more))
    assert made.status_code == 201, made.text
    return made.json()


def changed(api, charge, **more):
    answer = api.put(f"/ChargeItem/{charge['id']}", json={**charge, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def adds_up(found):
    groups = [(found, [one for one in found.get("line", []) if not one.get("contingency")])]
    if "contingency" in found:
        groups.append((found["contingency"], [one for one in found["line"] if one.get("contingency")]))
    for tally, lines in groups:
        assert tally["opening"] + tally["credits"] - tally["debits"] - tally["commitments"] == tally["closing"]
        assert tally["opening"] + sum(line["change"] for line in lines) == tally["closing"]
    return True


# ---- what it says --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "why"), [("2026-11-30", "still to come"), ("2026-11", "not over yet"), ("2026", "not over yet")]
)
def test_a_statement_of_a_time_that_is_not_over_ends_today_at_the_latest(jills, end, why):
    answer = jills.get("/Account/jill-budget/$statement", params={"start": "2026", "end": end})
    assert (answer.status_code, why in answer.text) == (400, True)
    assert (
        jills.get("/Account/jill-budget/$statement", params={"start": "2026", "end": "2026-11-22"}).status_code == 200
    )


def test_a_statement_ends_with_the_balance_and_adds_up(jills):
    found, now = statement(jills), balance(jills)
    assert (found["opening"], found["closing"]) == (0, now["available"])
    assert (found["credits"], found["debits"], found["commitments"]) == (
        now["allocated"],
        now["spent"],
        now["committed"],
    )
    assert found["contingency"]["closing"] == now["contingency"]["available"]
    assert adds_up(found)


def test_a_line_tells_what_was_bought_what_shows_it_and_what_it_is_for(jills):
    line = next(one for one in statement(jills)["line"] if one.get("item") == "ChargeItem/jill-massage-2026-10-09")
    left = line.pop("left")
    assert line == {
        "date": "2026-11-22",
        "kind": "debit",
        "entry": "spend",
        "amount": 4_500,
        "change": -4_500,
        "occurred": "2026-10-09",
        "element": "daily-life",
        "item": "ChargeItem/jill-massage-2026-10-09",
        "cause": "ChargeItem/jill-massage-2026-10-09/_history/1",
        "account": "Account/jill-budget",
        "funder": "Organization/harbourside-north",
        "evidence": ["DocumentReference/jill-receipt-massage-2026-10-09"],
        "plan": "CarePlan/jill-plan",
        "activity": "massage",
        "activityTitle": "Massage",
        "goal": ["Goal/jill-goal-skin-and-sleep"],
        "enteredBy": "Patient/jill",
        "version": "1",
    }
    assert left > 0


def test_a_purchase_without_evidence_tells_why_and_one_that_was_paid_tells_by_what(jills):
    purchases = {one["item"]: one for one in statement(jills)["purchase"]}
    assert purchases["ChargeItem/jill-swimming-2026-10"]["noEvidence"].startswith("A standing monthly charge")
    assert purchases["ChargeItem/jill-profiling-bed"]["payment"] == [
        {
            "item": "PaymentReconciliation/jill-payment-profiling-bed",
            "date": "2026-10-30",
            "amount": 185_000,
            "outcome": "complete",
        }
    ]


def test_what_waits_for_a_decision_is_there_though_no_money_moved(jills):
    found = statement(jills)
    waiting = next(one for one in found["purchase"] if one["status"] == "planned")
    assert waiting["item"] == "ChargeItem/jill-gardening-tools"
    assert waiting["item"] not in [line.get("item") for line in found["line"]]


def test_what_is_corrected_and_then_entered_in_error_stays_in_every_step(jills):
    charge = bought(jills)
    charge = changed(jills, charge, priceOverride={"value": 40.00, "currency": "GBP"})
    changed(jills, charge, status="entered-in-error")
    found = statement(jills)
    key = f"ChargeItem/{charge['id']}"
    lines = [
        (one["kind"], one["entry"], one["change"], one["cause"]) for one in found["line"] if one.get("item") == key
    ]
    assert lines == [
        ("commitment", "commitment", -4_500, f"{key}/_history/1"),
        ("commitment", "release", 4_500, f"{key}/_history/2"),
        ("commitment", "commitment", -4_000, f"{key}/_history/2"),
        ("commitment", "release", 4_000, f"{key}/_history/3"),
    ]
    steps = next(one for one in found["purchase"] if one["item"] == key)["step"]
    assert [(one["status"], one["price"]) for one in steps] == [
        ("billable", 4_500),
        ("billable", 4_000),
        ("entered-in-error", 4_000),
    ]
    assert adds_up(found)


def test_a_spend_that_was_wrong_is_a_credit_again(jills):
    paid = {"url": f"{GUIDE}/phb-paid-by", "valueCode": "person"}
    receipt = [{"reference": "DocumentReference/jill-receipt-massage-2026-10-09"}]
    extension = [*massage()["extension"], paid]
    charge = bought(jills, status="billed", supportingInformation=receipt, extension=extension)
    before = statement(jills)
    changed(jills, charge, status="entered-in-error")
    after = statement(jills)
    assert [(one["kind"], one["entry"], one["change"]) for one in after["line"][len(before["line"]) :]] == [
        ("credit", "reversal", 4_500)
    ]
    assert after["closing"] == before["closing"] + 4_500
    assert adds_up(after)


# ---- from when to when ---------------------------------------------------------------------------


def test_each_statement_begins_with_what_the_one_before_it_ended_with(jills):
    ends = [statement(jills)["to"]]
    for number in range(3):
        bought(jills, reference=f"PUR-{number}")
        ends.append(statement(jills)["to"])
    starts = [end.replace("Z", "").partition(".")[0] for end in ends]
    whole = statement(jills)
    parts = [statement(jills, end=ends[0])]
    for start, end in zip(starts, ends[1:], strict=False):
        parts.append(statement(jills, start=f"{start}.001Z", end=end))
    assert all(adds_up(part) for part in parts)
    assert [part["opening"] for part in parts[1:]] == [part["closing"] for part in parts[:-1]]
    lines = [line for part in parts for line in part.get("line", [])]
    assert [line["cause"] for line in lines] == [line["cause"] for line in whole["line"]]
    assert parts[-1]["closing"] == whole["closing"]


def test_before_the_budget_began_nothing_moved(jills):
    found = statement(jills, start="2026-10-01", end="2026-10-31")
    assert found == {
        "account": "Account/jill-budget",
        "from": "2026-09-30T23:00:00.000Z",
        "to": "2026-10-31T23:59:59.999Z",
        "opening": 0,
        "credits": 0,
        "debits": 0,
        "commitments": 0,
        "closing": 0,
    }


def test_a_purchase_made_after_the_end_is_not_in_it(jills):
    end = statement(jills)["to"]
    charge = bought(jills)
    assert f"ChargeItem/{charge['id']}" not in [one["item"] for one in statement(jills, end=end)["purchase"]]
    assert f"ChargeItem/{charge['id']}" in [one["item"] for one in statement(jills)["purchase"]]


def test_a_joint_budget_has_the_lines_of_all_it_is_made_of(api):
    tell(api, FAMILY)
    found, now = statement(api, "asha-joint"), balance(api, "asha-joint")
    assert found["closing"] == now["available"]
    assert adds_up(found)
    assert {line["account"] for line in found["line"]} == {"Account/asha-health", "Account/asha-social-care"}
    assert {line["funder"] for line in found["line"]} == {
        "Organization/wreake-valley",
        "Organization/wreake-valley-council",
    }


# ---- its forms -----------------------------------------------------------------------------------


def test_as_a_bundle_it_brings_all_that_it_names(jills):
    answer = jills.get(ADDRESS, params={"format": "bundle"})
    found = answer.json()
    assert (found["type"], found["total"]) == ("searchset", 1)
    first, *others = found["entry"]
    assert first["search"]["mode"] == "match"
    named = read(first["resource"]["parameter"])
    there = {f"{one['resource']['resourceType']}/{one['resource']['id']}" for one in others}
    assert {one["search"]["mode"] for one in others} == {"include"}
    assert {"Account/jill-budget", "CarePlan/jill-plan", "PaymentReconciliation/jill-payment-profiling-bed"} <= there
    assert {
        key for one in named["purchase"] for key in (one["item"], *one.get("evidence", ()), *one.get("goal", ()))
    } <= there
    assert [link["relation"] for link in found["link"]] == ["self"]


def rows_of(answer):
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv;charset=utf-8;header=present"
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize(
    ("asked", "accept"),
    [({"format": "csv"}, "*/*"), ({"_format": "text/csv"}, "application/fhir+json"), ({}, "text/csv, */*;q=0.1")],
)
def test_as_csv_it_has_a_row_for_each_movement_however_it_is_asked_for(jills, asked, accept):
    rows = rows_of(jills.get(ADDRESS, params=asked, headers={"Accept": accept}))
    found = statement(jills)
    moves = [row for row in rows if row["entry"]]
    assert sorted(row["cause"] for row in moves) == sorted(line["cause"] for line in found["line"])
    main = [row for row in rows if row["part"] != "Emergencies"]
    assert (main[0]["kind"], main[-1]["kind"], main[-1]["left"]) == (
        "opening",
        "closing",
        f"{found['closing'] / 100:.2f}",
    )
    bed = next(row for row in moves if row["purchase"] == "ChargeItem/jill-profiling-bed")
    assert (bed["date"], bed["description"], bed["amount"], bed["change"]) == (
        "2026-11-22",
        "Profiling bed",
        "1850.00",
        "-1850.00",
    )


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", "\uff1d1", "\uff0b1", "\uff20SUM(1)"])
def test_no_spreadsheet_runs_what_somebody_called_a_purchase(jills, name):
    charge = massage()
    charge["code"]["text"] = name
    made = jills.post("/ChargeItem", json=charge)
    assert made.status_code == 201
    rows = rows_of(jills.get(ADDRESS, params={"format": "csv"}))
    described = [row["description"] for row in rows if row["purchase"] == f"ChargeItem/{made.json()['id']}"]
    assert described == [f"'{name}"]


class Page(HTMLParser):
    """What a page is made of: its elements with their attributes, and what can be read."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.texts))


def page_of(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html;charset=utf-8"
    return Page(answer.text)


@pytest.mark.parametrize(
    ("asked", "accept"),
    [
        ({"format": "html"}, "*/*"),
        ({"_format": "text/html"}, "application/fhir+json"),
        ({}, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),  # as browsers ask
    ],
)
def test_as_a_page_it_is_what_a_person_reads_however_it_is_asked_for(jills, asked, accept):
    page = page_of(jills.get(ADDRESS, params=asked, headers={"Accept": accept}))
    for words in (
        "Statement: Jill's personal health budget",
        "From its beginning to 22 November 2026.",
        "The budget is for Jill Harper.",
        "£26,260.00",
        "-£1,850.00",
        "Money set aside for emergencies £2,020.00"[:31],
        "Massage therapy, one hour",
        "for 9 October 2026",
        "goal: My skin stays whole and I sleep through most nights",
        "Waiting for a decision",
    ):
        assert words in page.text, words


def test_the_page_loads_nothing_and_each_table_says_what_it_is(jills):
    answer = jills.get(ADDRESS, params={"format": "html"})
    page = page_of(answer)
    names = [name for name, _ in page.elements]
    assert not {"script", "img", "link", "iframe", "a", "form", "object"} & set(names)
    assert not {"src", "href", "style", "onclick"} & {name for _, attrs in page.elements for name in attrs}
    assert dict(page.elements)["html"] == {"lang": "en-GB"}
    assert names.count("caption") == names.count("table") > 3
    assert all(attrs.get("scope") in ("col", "row") for name, attrs in page.elements if name == "th")
    assert names.count("h1") == names.count("main") == 1
    (policy,) = answer.headers.get_list("content-security-policy")
    assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[\w+/=]+'; frame-ancestors 'none'; sandbox", policy)
    assert answer.headers["cache-control"] == "no-store"


def test_what_people_wrote_is_text_on_the_page_and_nothing_else(jills):
    evil = "<script>alert('£')</script><b onmouseover=\"x\">&amp;"
    charge = massage()
    charge["code"]["text"] = evil
    assert jills.post("/ChargeItem", json=charge).status_code == 201
    page = page_of(jills.get(ADDRESS, params={"format": "html"}))
    assert "script" not in {name for name, _ in page.elements}
    assert evil in page.text


def test_in_a_batch_a_form_of_its_own_is_a_binary(jills):
    asked = [entry("GET", f"{ADDRESS[1:]}?format={form}") for form in ("csv", "html", "parameters")]
    found = jills.post("/", json=bundle("batch", *asked)).json()["entry"]
    sheet, page, whole = (one["resource"] for one in found)
    assert (sheet["resourceType"], sheet["contentType"]) == ("Binary", "text/csv;charset=utf-8;header=present")
    assert base64.b64decode(sheet["data"]).startswith(b"\xef\xbb\xbfdate,kind")
    assert base64.b64decode(page["data"]).startswith(b"<!DOCTYPE html>")
    assert whole["resourceType"] == "Parameters"


def test_inputs_may_come_as_parameters(jills):
    rows = [{"name": "start", "valueDateTime": "2026-11-22"}, {"name": "format", "valueCode": "csv"}]
    asked = {"resourceType": "Parameters", "parameter": rows}
    assert rows_of(jills.post(ADDRESS, json=asked)) == rows_of(
        jills.get(ADDRESS, params={"start": "2026-11-22", "format": "csv"})
    )


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"start": "2026-11-23"}, "still to come"),
        ({"end": "2027"}, "still to come"),
        ({"start": "2026-11-02", "end": "2026-11-01"}, '"start" is after "end"'),
        ({"start": "last week"}, "a date or a time"),
        ({"format": "pdf"}, "parameters, bundle, csv, html"),
        ({"from": "2026-11-02"}, "it takes start, end, format"),
    ],
)
def test_what_cannot_be_told_is_refused_in_words(jills, asked, words):
    refused = problem(jills.get(ADDRESS, params=asked))
    assert refused.status == 400
    assert words in refused.text


def test_a_form_that_nobody_writes_is_refused_and_other_addresses_have_no_forms(jills):
    assert jills.get(ADDRESS, params={"_format": "application/pdf"}).status_code == 406
    assert jills.get(ADDRESS, headers={"Accept": "application/pdf"}).status_code == 406
    for address in ("/Account/jill-budget", "/Account/jill-budget/$balance", "/Account"):
        assert jills.get(address, headers={"Accept": "text/html"}).status_code == 406
        assert jills.get(address, params={"_format": "text/csv"}).status_code == 406


def test_an_account_that_is_no_budget_has_no_statement_in_any_form(api):
    assert api.put("/Account/plain", json={**budget(), "id": "plain"}).status_code == 201
    for form in ("parameters", "csv", "html", "bundle"):
        assert problem(api.get("/Account/plain/$statement", params={"format": form})).status == 422
    assert problem(api.get("/Account/nobody/$statement")).status == 404
