"""Whatever is done with a budget's money, in whatever order and by however many at once, the books agree with the record (RULE-LEDGER)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import hypothesis
import pytest
from hypothesis import strategies as st

from tests.running import RunningServer, new_database
from tests.stories import FAMILY, massage, tell

CLIENTS = 3
_BASE = "https://fhir.phb.nhs.example"
_RECEIPT = [{"reference": "DocumentReference/jill-receipt-massage-2026-10-09"}]
_numbers = itertools.count(1)

Resource = dict[str, Any]


def buy(api: httpx.Client, pence: int, _: list[str]) -> httpx.Response:
    """In the plan; more than the directory's price waits."""
    return api.post("/ChargeItem", json=massage(f"MIX-{next(_numbers)}", pounds=f"{pence / 100:.2f}"))


def commit(api: httpx.Client, pence: int, _: list[str]) -> httpx.Response:
    charge = massage(f"MIX-{next(_numbers)}", pounds=f"{pence / 100:.2f}", status="billable")
    return api.post("/ChargeItem", json=charge)


def buy_jointly(api: httpx.Client, pence: int, _: list[str]) -> httpx.Response:
    """From the family's joint budget, where every penny falls to one funder or the other."""
    charge = massage(f"MIX-{next(_numbers)}", pounds=f"{pence / 100:.2f}", name="asha", status="billable")
    charge |= {
        "account": [{"reference": "Account/asha-joint"}],
        "enterer": {"reference": "PractitionerRole/dana-reid-coordinator"},
    }
    charge["extension"] = [
        {
            "url": f"{_BASE}/StructureDefinition/phb-purchase-link",
            "extension": [{"url": "carePlan", "valueReference": {"reference": "CarePlan/asha-plan"}}],
        }
    ]
    return api.post("/ChargeItem", json=charge)


def two_in_a_bundle(api: httpx.Client, pence: int, _: list[str]) -> httpx.Response:
    charges = [massage(f"MIX-{next(_numbers)}", pounds=f"{pence / 100:.2f}", status="billable") for _ in range(2)]
    entries = [{"resource": one, "request": {"method": "POST", "url": "ChargeItem"}} for one in charges]
    return api.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})


def approve(api: httpx.Client, pence: int, known: list[str]) -> httpx.Response:
    return api.post(f"/ChargeItem/{picked(known, pence)}/$approve", json={"resourceType": "Parameters"})


def to_status(status: str) -> Callable[[httpx.Client, int, list[str]], httpx.Response]:
    def change(api: httpx.Client, pence: int, known: list[str]) -> httpx.Response:
        return changed(api, picked(known, pence), {"status": status, "note": [{"text": "Because."}]})

    return change


def bill(api: httpx.Client, pence: int, known: list[str]) -> httpx.Response:
    paid = {"url": f"{_BASE}/StructureDefinition/phb-paid-by", "valueCode": "person"}
    return changed(api, picked(known, pence), {"status": "billed", "supportingInformation": _RECEIPT}, paid)


def correct(api: httpx.Client, pence: int, known: list[str]) -> httpx.Response:
    price = {"priceOverride": {"value": pence / 100, "currency": "GBP"}}
    return changed(api, picked(known, pence), price)


def picked(known: list[str], pence: int) -> str:
    return known[pence % len(known)] if known else "none"


def changed(api: httpx.Client, id_: str, more: Resource, *extensions: Resource) -> httpx.Response:
    """The purchase with something else in it, unless somebody else was quicker."""
    read = api.get(f"/ChargeItem/{id_}")
    if read.status_code != 200:
        return read
    charge = read.json() | more
    urls = {one["url"] for one in extensions}
    charge["extension"] = [one for one in charge.get("extension", []) if one["url"] not in urls] + list(extensions)
    return api.put(f"/ChargeItem/{id_}", json=charge, headers={"If-Match": read.headers["etag"]})


MOVES = (
    buy,
    commit,
    buy_jointly,
    two_in_a_bundle,
    approve,
    bill,
    correct,
    to_status("aborted"),
    to_status("not-billable"),
    to_status("entered-in-error"),
)
amounts = st.one_of(st.integers(1, 9_999), st.integers(100_000, 2_000_000))
move = st.tuples(st.sampled_from(MOVES), amounts)
MAY_ANSWER = {200, 201, 404, 412, 422}


@pytest.fixture(scope="module")
def books(mongodb_uri: str) -> Any:
    headers = {"Content-Type": "application/fhir+json"}
    with (
        new_database(mongodb_uri) as database,
        RunningServer(mongodb_uri, database.name) as server,
        httpx.Client(base_url=server.base, headers=headers, timeout=60, verify=False) as api,
    ):
        tell(api)
        tell(api, FAMILY)
        yield api, database


def check(database: Any) -> None:
    """Every balance is what its entries come to, and no pot has less than nothing."""
    for balance in database.balances.find():
        sums: dict[str, list[int]] = {}
        for entry in database.ledger.find({"account": balance["_id"]}):
            pot = sums.setdefault(entry["pot"], [0, 0, 0, 0])
            for place, name in enumerate(("allocated", "committed", "spent", "advanced")):
                pot[place] += entry[name]
        assert {pot: row for pot, *row in balance["pots"]} == sums
        assert all(allocated - committed - spent >= 0 for allocated, committed, spent, _ in sums.values()), balance


def check_whole(api: httpx.Client) -> None:
    answer = api.get("/$fsck")
    assert answer.status_code == 200, answer.text
    issues = answer.json()["issue"]
    assert {issue["severity"] for issue in issues} <= {"information"}, issues


@hypothesis.settings(max_examples=25, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(moves=st.lists(move, min_size=1, max_size=12))
def test_after_every_move_the_books_add_up(books: Any, moves: list[Any]) -> None:
    api, database = books
    known: list[str] = []
    for make, pence in moves:
        answer = make(api, pence, known)
        assert answer.status_code in MAY_ANSWER, (make.__name__, answer.text)
        if answer.status_code == 201:
            known.append(answer.json()["id"])
        check(database)


@hypothesis.settings(max_examples=8)
@hypothesis.given(several=st.lists(st.lists(move, min_size=4, max_size=8), min_size=CLIENTS, max_size=CLIENTS))
def test_several_clients_at_once_leave_books_that_add_up(books: Any, several: list[list[Any]]) -> None:
    api, database = books
    shared: list[str] = []

    def go(moves: list[Any]) -> None:
        for make, pence in moves:
            answer = make(api, pence, list(shared))
            assert answer.status_code in MAY_ANSWER, (make.__name__, answer.text)
            if answer.status_code == 201:
                shared.append(answer.json()["id"])

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(go, several))
    check(database)
    check_whole(api)
