"""What payments and invoices say, line by line, and what that comes to for a purchase: the words that their rules share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import pence_of
from phb_fhir.rules.case import Asking, Find
from phb_fhir.rules.words import BASE, code_in, key_of, pair_of

TYPE = "http://terminology.hl7.org/CodeSystem/payment-type"
RUN = f"{BASE}/Id/phb-payment-run"  # the system of the identifier that a payment run gives

COUNTS = frozenset(("queued", "complete", "partial"))  # outcomes that hold money, or did
DONE = frozenset(("complete", "partial"))
ASKED_MAX = 50  # purchases whose payments are asked for together


class Line(NamedTuple):
    """A line of a payment. `pence` is less than nothing for what comes back; `at` is its FHIRPath."""

    kind: str
    request: str
    pence: int
    at: str


class Share(NamedTuple):
    """What a line pays of one purchase."""

    purchase: str
    pence: int
    at: str


def lines_of(payment: Resource) -> list[Line]:
    """The lines, each with its sign as it stands there."""
    return [
        Line(
            code_in(one.get("type"), TYPE),
            key_of(one.get("request")),
            pence_of(one.get("amount")) or 0,
            f"PaymentReconciliation.detail[{n}]",
        )
        for n, one in enumerate(payment.get("detail", ()))
    ]


def purchases_paid(payment: Resource) -> list[str]:
    """The purchases that the lines of a payment name themselves."""
    return [line.request for line in lines_of(payment) if line.request.startswith("ChargeItem/")]


def shares_of(line: Line, invoices: Mapping[str, Resource | None]) -> list[Share]:
    """What a line pays of each purchase: of an invoice, its own lines."""
    if line.request.startswith("ChargeItem/"):
        return [Share(line.request, line.pence, line.at)]
    invoice = invoices.get(line.request)
    found = {} if invoice is None else amounts_by_purchase(invoice)
    return [Share(purchase, pence, line.at) for purchase, pence in found.items()]


def counts(payment: Resource | None) -> bool:
    """Whether it holds money: it is on its way, or was paid."""
    found = payment or {}
    return found.get("status") == "active" and found.get("outcome") in COUNTS


def is_done(payment: Resource | None) -> bool:
    """Whether it was paid."""
    found = payment or {}
    return found.get("status") == "active" and found.get("outcome") in DONE


def run_of(payment: Resource | None) -> str:
    """The payment run it was sent with; "" for none."""
    found = (pair_of(one) for one in (payment or {}).get("identifier", ()))
    return next((value for system, value in found if system == RUN), "")


def reference_of(payment: Resource) -> str:
    """What it is called in a sentence."""
    return pair_of(payment.get("paymentIdentifier"))[1] or f"PaymentReconciliation/{payment.get('id')}"


# ---- invoices ------------------------------------------------------------------------------------

INVOICED = frozenset(("issued", "balanced"))  # statuses in which an invoice asks for money
_LESS = frozenset(("deduction", "discount"))
_NO_MONEY = frozenset(("informational",))


def amounts_by_purchase(invoice: Resource) -> dict[str, int]:
    """What an invoice asks for each purchase, in pence, with tax."""
    found: dict[str, int] = {}
    for line in invoice.get("lineItem", ()):
        key = key_of(line.get("chargeItemReference"))
        if key:
            found[key] = found.get(key, 0) + line_total(line)
    return found


def line_total(line: Mapping[str, Any], *, with_tax: bool = True) -> int:
    """The pence of a line: its price components together, what is taken off taken off whichever sign it is written with."""
    whole = 0
    for one in line.get("priceComponent", ()):
        pence, kind = pence_of(one.get("amount")) or 0, str(one.get("type"))
        if kind in _LESS:
            whole -= abs(pence)
        elif kind not in _NO_MONEY and (with_tax or kind != "tax"):
            whole += pence
    return whole


def total_of(invoice: Resource) -> int:
    """What an invoice asks for in all."""
    return sum(amounts_by_purchase(invoice).values())


# ---- what is paid for a purchase -----------------------------------------------------------------


def payments_for(purchases: Sequence[str]) -> Asking[tuple[list[Resource], dict[str, Resource | None]]]:
    """The payments that name any of these purchases, or an invoice for them; and these invoices."""
    invoices = yield from _naming("Invoice", purchases)
    by_key: dict[str, Resource | None] = {f"Invoice/{one['id']}": one for one in invoices}
    payments = yield from _naming("PaymentReconciliation", (*purchases, *by_key))
    return payments, by_key


def _naming(type_: str, keys: Sequence[str]) -> Asking[list[Resource]]:
    """The resources of a type that name any of these, each once; asked for some of them at a time."""
    by_id: dict[str, Resource] = {}
    for start in range(0, len(keys), ASKED_MAX):
        some: list[Resource] = yield Find(type_, ("purchase", ",".join(keys[start : start + ASKED_MAX])))
        by_id |= {str(one["id"]): one for one in some}
    return list(by_id.values())


def paid_for(purchase: str, payments: Iterable[Resource], invoices: Mapping[str, Resource | None]) -> int:
    """The pence that these payments pay of a purchase; what was given back does not count."""
    lines = [line for one in payments for line in lines_of(one) if line.kind == "payment"]
    shares = [share for line in lines for share in shares_of(line, invoices)]
    return sum(one.pence for one in shares if one.purchase == purchase)


def came_back(purchase: str, payments: Iterable[Resource]) -> int:
    """The pence that these payments brought back of a purchase."""
    lines = [line for one in payments for line in lines_of(one) if line.kind == "adjustment"]
    return sum(abs(line.pence) for line in lines if line.request == purchase)
