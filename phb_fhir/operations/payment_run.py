"""PaymentReconciliation/$payment-run and $payment-results: what is due is sent to the bank, and what came of it recorded (C32E7, R22, R86).

A run takes the payments of one issuer that are queued and due, advances by schedule among them, and answers with an ISO 20022 pain.001. Each
payment then has the run's name among its identifiers, and goes with no other. The same run asked for again answers with the same message.
Bank accounts are told with the request and kept nowhere: who has none there is left out and told of. Results come as a pain.002, or as
updates of the payments one by one.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import date
from hashlib import sha256
from typing import Any, NamedTuple

from phb_fhir.change import Create, Patch
from phb_fhir.definitions.operation_inputs import Inputs, bad_input, read_inputs
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import days_later, instant_text
from phb_fhir.fhir.money import money, pence_of, sterling
from phb_fhir.interactions.commit import commit_all
from phb_fhir.interactions.contents import held
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.joins import Joins
from phb_fhir.interactions.judging import asked, case_of
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.interactions.validation import check_resource
from phb_fhir.operations.asked import answered, parameters_of
from phb_fhir.operations.credit_transfers import (
    FAILED,
    BankAccount,
    Report,
    Result,
    Run,
    Transfer,
    WrongMessage,
    bank_name,
    is_reference,
    read_report,
    write_transfers,
)
from phb_fhir.operations.sign_off import reference_in
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.reports.parameters import Row, group, parameters, pence_row, reference_row, row
from phb_fhir.rules.advances import Advance, due_advances, has_days, past_of
from phb_fhir.rules.budget import LONDON, elements_of, first_day, in_words, owner_of
from phb_fhir.rules.case import Asking, Books, Case
from phb_fhir.rules.direct_payment import accounts_of
from phb_fhir.rules.ledger import Ledger
from phb_fhir.rules.paid import RUN, TYPE, lines_of, reference_of, run_of
from phb_fhir.rules.payment import read_payment
from phb_fhir.rules.payment_checks import check_sending
from phb_fhir.rules.words import PAYMENT_REFERENCE, concept, extension_url, key_of, pair_of, token_of, value_of
from phb_fhir.search.parse import parse_criteria
from phb_fhir.search.results import parse_sort

PAYMENTS_MAX = 200  # of one run; the rest is for the next
LOOKED_MAX = 20_000  # payments that cannot be sent, past which a run looks for those that can
TOLD_MAX = 1_000  # payments of which it is told why they are left out
STEP = 200  # payments, or budgets with their schedules, at which a run looks together
ADVANCES_MAX = 1_000  # that one run queues; the rest is for the next
AHEAD_DAYS_MAX = 31  # from today to the last day of what a run pays: a year mistyped would pay out a whole budget, and all of the run then
ATTEMPTS_MAX = 20  # at one advance, each of which failed
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,29}")
_NO_DAYS = (
    "Its schedule has no days to pay on: it names them (event), or says every so many days, weeks, months or years (frequency 1), from when until"
    " when (boundsPeriod), at most how many times (count), and nothing else."
)
_MORE = f"A run queues up to {ADVANCES_MAX:,} advances by schedule; what else is due goes with the next."
_NEXT = f"A run has up to {PAYMENTS_MAX} payments, those that are due first; what else is due goes with the next."
_NO_NAME = "has letters that no bank takes: write it with those from A to Z."
_FIND_OUT = "Find out where the money is, and record that as another payment."
_COMPLETE = frozenset(("ACSC", "ACCC"))  # settled


class LeftOut(NamedTuple):
    """What a run does not pay: the payment or budget, and why."""

    key: str
    why: str


# ---- $payment-run --------------------------------------------------------------------------------


async def payment_run(context: Context, request: FhirRequest) -> Answer:
    """The message for the bank, what it pays, and what was left out. Raises Rejected: 400 for inputs; 403; 409 where another run was first."""
    name = "$payment-run"
    takes = dict.fromkeys(("issuer", "date", "run", "advances", "account"), True)
    inputs = _read(context, request, name, takes)
    issuer = reference_in(context, inputs, "issuer")
    if not issuer.startswith("Organization/"):
        raise bad_input(
            'There is no "issuer": name the organisation that pays, such as Organization/harbourside-north.'
        )
    until, accounts = _until(context, inputs), _accounts(context, inputs)
    if issuer not in accounts:
        raise bad_input(f'There is no "account" of {issuer}, from which it is to be paid.')
    if not bank_name(accounts[issuer].name):
        raise bad_input(f'The name of the "account" of {issuer} {_NO_NAME}')
    run = inputs.text("run") or f"PHB-{until:%Y%m%d}-{sha256(_unlike(context).encode()).hexdigest()[:8]}"
    context = context._replace(once=None)  # by its name a run is made once, whatever else is due by then
    if not _NAME.fullmatch(run):
        raise bad_input('A "run" is named by up to 30 letters, digits and hyphens, such as PHB-2026-11-22.')
    sent = await _found(context, ("identifier", token_of(RUN, run)))
    left: list[LeftOut] = []
    if sent:
        payments = [one for one in sent if key_of(one.get("paymentIssuer")) == issuer]
        if not payments:
            text = f"The run {run} is another organisation's. Give this one a name of its own."
            raise refuse(Refusal.CONFLICT, Kind.DUPLICATE, text, "run")
    else:
        if inputs.flag("advances") is not False:
            left += await _advance(context, issuer, until)
        payments, more = await _due(context, issuer, until, accounts)
        left += more
    message = await _message(context, run, issuer, payments, accounts, left, is_new=not sent)
    told = await context.store.read_all([f"{one['resourceType']}/{one['id']}" for one in payments])
    return answered(context, request, message)._replace(about=tuple(told.values()))


def _unlike(context: Context) -> str:
    """What no other run has: of a request that comes again, what it had the first time."""
    return context.once.name if context.once is not None else context.new_id()


def _read(context: Context, request: FhirRequest, name: str, takes: Mapping[str, bool]) -> Inputs:
    """The inputs; those made of parts as their parts."""
    asked_with = parameters_of(context.known, request, name)
    rows = [
        {"name": one["name"], "valueParts": one["part"]} if "part" in one else one for one in asked_with["parameter"]
    ]
    return read_inputs(name, {**asked_with, "parameter": rows}, takes, many=("account",))


def _until(context: Context, inputs: Inputs) -> date:
    text, today = inputs.text("date"), context.now().astimezone(LONDON).date()
    day = first_day(text) if text else today
    if day is None:
        raise bad_input('"date" is the last day of what is due, such as 2026-12-05.')
    if day > days_later(today, AHEAD_DAYS_MAX):
        text = f'"date" is {in_words(day)}; a run pays what is due in the next {AHEAD_DAYS_MAX} days, and a later one what is due after that.'
        raise bad_input(text)
    return day


def _accounts(context: Context, inputs: Inputs) -> dict[str, BankAccount]:
    """The bank accounts, by whose they are."""
    found: dict[str, BankAccount] = {}
    for n, parts in enumerate(inputs.values.get("account", []), 1):
        said = {one.get("name"): value for one in parts for name, value in one.items() if name.startswith("value")}
        reference = said.get("holder")
        text = reference.get("reference") if isinstance(reference, dict) else reference
        holder = key_of(context.own.local(text)) if isinstance(text, str) else ""
        sort_code = re.sub(r"[ -]", "", str(said.get("sort-code", "")))
        number = re.sub(r"[ -]", "", str(said.get("account-number", "")))
        name = str(said.get("name") or "").strip()
        if not holder or not name:
            raise bad_input(f'The "account" number {n} does not say whose it is ("holder"), or under which "name".')
        if not re.fullmatch(r"[0-9]{6}", sort_code) or not re.fullmatch(r"[0-9]{8}", number):
            raise bad_input(
                f'The "account" of {holder} has a "sort-code" of six digits and an "account-number" of eight.'
            )
        if found.setdefault(holder, made := BankAccount(name, sort_code, number)) != made:
            raise bad_input(f"There are two different accounts of {holder}; name the one that is to be paid.")
    return found


async def _found(context: Context, *criteria: tuple[str, str]) -> list[Resource]:
    """What a search finds of the payments that the one who asks may see."""
    query = parse_criteria("PaymentReconciliation", criteria, context.asking())
    versions = await Joins(context.reader, context.asking()).matching(query, count=PAYMENTS_MAX + 1)
    return [one for version in versions if (one := held(context, version)) is not None]


async def _each(
    context: Context, type_: str, *criteria: tuple[str, str], sort: str = ""
) -> AsyncIterator[list[Resource]]:
    """All that a search finds of what the one who asks may see, some at a time."""
    joins, after, more = Joins(context.reader, context.asking()), None, True
    order = parse_sort((type_,), sort, context.asking()) if sort else ()
    resolved = await joins.resolve(parse_criteria(type_, criteria, context.asking()))
    while more:
        hits, more, after = await joins.sift(resolved, order, after=after, count=STEP)
        yield [one for hit in hits if (one := held(context, hit.version)) is not None]


async def _due(
    context: Context, issuer: str, until: date, accounts: Mapping[str, BankAccount]
) -> tuple[list[Resource], list[LeftOut]]:
    """What is queued and due, as much as one run takes; and what cannot be paid."""
    criteria = (
        ("status", "active"),
        ("outcome", "queued"),
        ("payment-issuer", issuer),
        ("payment-date", f"le{until.isoformat()}"),
        ("identifier:not", token_of(RUN, "")),  # what was sent waits for its result, however much of it there is
    )
    payable: list[Resource] = []
    left: list[LeftOut] = []
    async for page in _each(context, "PaymentReconciliation", *criteria, sort="payment-date"):
        more, why = await _payable(context, [one for one in page if not run_of(one)], accounts)
        payable, left = payable + more, left + why
        if len(payable) > PAYMENTS_MAX or len(left) >= LOOKED_MAX:
            break
    if len(left) > TOLD_MAX:
        left = [*left[:TOLD_MAX], LeftOut(issuer, f"{len(left) - TOLD_MAX:,} more are left out.")]
    if len(payable) > PAYMENTS_MAX:
        left.append(LeftOut(issuer, _NEXT))
    return payable[:PAYMENTS_MAX], left


async def _payable(
    context: Context, queued: Sequence[Resource], accounts: Mapping[str, BankAccount]
) -> tuple[list[Resource], list[LeftOut]]:
    """Those of these that can be paid now, and why the others cannot: however many these are, they hold up nothing else."""
    budgets = await _budgets(context, queued)
    told: dict[str, str] = {}
    for one in queued:
        key = f"PaymentReconciliation/{one['id']}"
        told[key] = _why_not(one, budgets.get(key_of(value_of(one, "phb-account"))), accounts)
    cases = [case_of(context, key, one, one) for key, one in zip(told, queued, strict=True) if not told[key]]
    told |= await asked(context, _issues(cases))
    payable = [one for key, one in zip(told, queued, strict=True) if not told[key]]
    return payable, [LeftOut(key, why) for key, why in told.items() if why]


def _issues(cases: Iterable[Case]) -> Asking[dict[str, str]]:
    """What speaks against sending these payments now, that did not when they were queued, by key; asked together, so that what several of them
    are held against is read once. What is owed for a purchase is owed.
    """
    told: dict[str, str] = {}
    for case in cases:
        payment = case.after or {}
        if any(line.kind == "advance" for line in lines_of(payment)):
            found = yield from read_payment(case, payment)
            told[case.key] = " ".join(issue.text for issue in check_sending(found)) if found is not None else ""
    return told


async def _budgets(context: Context, payments: Iterable[Resource]) -> dict[str, Resource]:
    keys = {key for one in payments if (key := key_of(value_of(one, "phb-account")))}
    found = await context.reader.read_all(sorted(keys))
    return {key: content for key, version in found.items() if (content := held(context, version)) is not None}


def _why_not(payment: Resource, budget: Resource | None, accounts: Mapping[str, BankAccount]) -> str:
    payee = key_of(value_of(payment, "phb-payee"))
    account = accounts.get(payee)
    if account is None:
        return f"There is no bank account of {payee}."
    if not bank_name(account.name):
        return f"The name of the account of {payee} {_NO_NAME}"
    if not pence_of(payment.get("paymentAmount")):
        return "It comes to nothing that a bank could pay."
    if not is_reference(reference_of(payment)):
        return "Its payment identifier is longer than 35 characters, or has some that no bank takes."
    ends = _ends(budget, payment)
    if ends and not any(account.number.endswith(one) for one in ends):
        said = " or ".join(ends)
        return f"The account that was approved for {payee} ends in {said}, and this one does not (regulation 10)."
    return ""


def _ends(budget: Resource | None, payment: Resource) -> list[str]:
    """How the accounts end that were approved for whom a direct payment goes to (phb-bank-account, regulation 10): whoever holds it, or
    receives it for them, into their own or the holder's.
    """
    if budget is None:
        return []
    payee = key_of(value_of(payment, "phb-payee"))
    part = value_of(payment, "phb-element") if any(one.kind == "advance" for one in lines_of(payment)) else None
    parts = [
        one for one in elements_of(budget) if one.model == "direct-payment" and (payee == one.holder or part == one.id)
    ]
    whose = dict.fromkeys(who for one in parts for who in (payee, one.holder))
    found = (one for who in whose for one in accounts_of(budget, who))
    return list(dict.fromkeys(last4 for one in found if isinstance(last4 := value_of(one, "last4"), str)))


async def _message(
    context: Context,
    run: str,
    issuer: str,
    payments: Sequence[Resource],
    accounts: Mapping[str, BankAccount],
    left: list[LeftOut],
    *,
    is_new: bool,
) -> Resource:
    """The message is made first, and the payments then marked: what cannot be written is not sent."""
    payable = [one for one in payments if key_of(value_of(one, "phb-payee")) in accounts]
    if not is_new and len(payable) < len(payments):
        text = (
            f"The run {run} was made with accounts that are not told now; tell all of them, to have the same message."
        )
        raise refuse(Refusal.UNPROCESSABLE, Kind.BUSINESS_RULE, text, "account")
    rows = [row("run", String=run), *(_left_row(one) for one in left)]
    if not payable:
        return parameters(*rows)
    at = _made_at(payable, run) or instant_text(context.now())
    days = [str(one.get("paymentDate"))[:10] for one in payable]
    transfers = sorted(_transfer(one, accounts) for one in payable)
    document = await _written(Run(run, at, max([*days, at[:10]]), accounts[issuer]), transfers)
    if is_new:
        await commit_all(
            context, [Patch("PaymentReconciliation", str(one["id"]), _marking(run, at)) for one in payable]
        )
    return parameters(
        *rows,
        *(reference_row("payment", f"PaymentReconciliation/{one['id']}") for one in payable),
        pence_row("total", sum(one.pence for one in transfers)),
        row("document", Base64Binary=b64encode(document.encode()).decode()),
    )


async def _written(run: Run, transfers: Sequence[Transfer]) -> str:
    """The message. Raises Rejected (422) for what its standard does not take."""
    try:
        return await asyncio.to_thread(write_transfers, run, transfers)
    except WrongMessage as wrong:
        raise refuse(Refusal.UNPROCESSABLE, Kind.INVALID, f"No message could be made: {wrong}", "account") from None


def _transfer(payment: Resource, accounts: Mapping[str, BankAccount]) -> Transfer:
    pence = pence_of(payment.get("paymentAmount")) or 0
    return Transfer(reference_of(payment), pence, accounts[key_of(value_of(payment, "phb-payee"))])


def _left_row(one: LeftOut) -> list[Row]:
    return group("left-out", reference_row("what", one.key), row("reason", String=one.why))


def _made_at(payments: Iterable[Resource], run: str) -> str:
    """When a run was made, as its payments have it."""
    found = (one for payment in payments for one in payment.get("identifier", ()) if pair_of(one) == (RUN, run))
    return next((str((one.get("period") or {}).get("start", "")) for one in found), "")


def _marking(run: str, at: str) -> Any:
    mark = {"use": "secondary", "system": RUN, "value": run, "period": {"start": at}}

    def apply(payment: Resource) -> Resource:
        if run_of(payment) or payment.get("status") != "active" or payment.get("outcome") != "queued":
            text = f"{reference_of(payment)} went another way meanwhile. Nothing was sent; ask for the run again."
            raise refuse(Refusal.CONFLICT, Kind.CONFLICT, text)
        return {**payment, "identifier": [*payment.get("identifier", ()), mark]}

    return apply


# ---- advances ------------------------------------------------------------------------------------


async def _advance(context: Context, issuer: str, until: date) -> list[LeftOut]:
    """Queue the advances that are due by schedule (R86), each budget's by itself; tells of those that could not be."""
    criteria = (("owner", issuer), ("lifecycle", "active"), ("model", "direct-payment,third-party"))
    left: list[LeftOut] = []
    made = 0
    async for accounts in _each(context, "Account", *criteria):
        scheduled = [one for one in accounts if owner_of(one) == issuer and value_of(one, "phb-payment-schedule")]
        left += [LeftOut(f"Account/{one['id']}", _NO_DAYS) for one in scheduled if not has_days(one)]
        for account in await asked(context, _with_due(scheduled, until)):
            queued, why = await _queue(context, account, until)
            left += [LeftOut(f"Account/{account['id']}", one) for one in why]
            made += queued
            if made >= ADVANCES_MAX:
                return [*left, LeftOut(issuer, _MORE)]
    return left


def _with_due(accounts: Sequence[Resource], until: date) -> Asking[list[Resource]]:
    """Those of these budgets of which something may be due: what became of them since (`past_of`) makes it no more."""
    keys = [f"Account/{one['id']}" for one in accounts]
    books: dict[str, Ledger] = (yield Books(*keys)) if keys else {}
    return [one for key, one in zip(keys, accounts, strict=True) if due_advances(one, books[key], until)]


async def _queue(context: Context, account: Resource, until: date) -> tuple[int, list[str]]:
    """How many advances of a budget were queued, and why others could not be."""
    ledger = await asked(context, _ledger(f"Account/{account['id']}"))
    due = due_advances(account, ledger, until, await asked(context, past_of(account)))
    why = []
    for advance in due:
        payment = await _payment(context, account, advance, ledger, until)
        advice = check_resource(context, payment, "PaymentReconciliation")
        try:
            await commit_all(context, [Create("PaymentReconciliation", context.new_id(), payment, advice=advice)])
        except Rejected as rejected:
            why.append(" ".join(issue.text for issue in rejected.issues))
    return len(due) - len(why), why


def _ledger(key: str) -> Asking[Ledger]:
    books: dict[str, Ledger] = yield Books(key)
    return books[key]


async def _payment(context: Context, account: Resource, advance: Advance, ledger: Ledger, until: date) -> Resource:
    """The payment of an advance. Its identifier follows from what is due, so that two runs at once make one of it."""
    part, amount = advance.part, money(advance.pence)
    kind = concept(TYPE, "advance", "Advance")
    period = {"start": advance.period.start.isoformat()} if advance.period.start else {}
    if advance.period.end is not None:
        period["end"] = advance.period.end.isoformat()
    today = context.now().astimezone(LONDON).date()
    due = min(max(advance.due, today), max(until, today)).isoformat()
    return {
        "resourceType": "PaymentReconciliation",
        "extension": [
            {"url": extension_url("phb-account"), "valueReference": {"reference": f"Account/{account['id']}"}},
            {"url": extension_url("phb-element"), "valueId": part.id},
            {"url": extension_url("phb-payee"), "valueReference": {"reference": part.holder}},
        ],
        "status": "active",
        "period": period,
        "created": instant_text(context.now()),
        "paymentIssuer": {"reference": owner_of(account)},
        "outcome": "queued",
        "disposition": f"Paid ahead for {part.purpose or part.id}",
        "paymentDate": due,
        "paymentAmount": amount,
        "paymentIdentifier": {
            "system": PAYMENT_REFERENCE,
            "value": await _identifier(context, account, advance, ledger),
        },
        "detail": [{"type": kind, "date": due, "amount": amount}],
    }


async def _identifier(context: Context, account: Resource, advance: Advance, ledger: Ledger) -> str:
    said = f"{account['id']}|{advance.part.id}|{ledger.of(advance.part.id).advanced}|{advance.pence}"
    name = f"ADV-{advance.due:%Y%m%d}-{sha256(said.encode()).hexdigest()[:12]}"
    for attempt in range(1, ATTEMPTS_MAX + 1):
        value = name if attempt == 1 else f"{name}-{attempt}"
        before = await _found(context, ("payment-identifier", token_of(PAYMENT_REFERENCE, value)))
        if all(one.get("status") == "active" and one.get("outcome") == "queued" for one in before):
            return value
    text = f"An advance of Account/{account['id']} failed {ATTEMPTS_MAX} times; find out why, and pay it by hand."
    raise refuse(Refusal.UNPROCESSABLE, Kind.BUSINESS_RULE, text)


# ---- $payment-results ----------------------------------------------------------------------------


async def payment_results(context: Context, request: FhirRequest) -> Answer:
    """What a pain.002 says, recorded. Raises Rejected: 400 for what is none; 422 for a run that is not known here."""
    name, context = "$payment-results", context._replace(once=None)  # what is recorded already is left as it is
    inputs = read_inputs(name, parameters_of(context.known, request, name), {"document": True})
    report = await _report(inputs)
    payments = await _found(context, ("identifier", token_of(RUN, report.run))) if report.run else []
    if not payments:
        text = f"No payment here was sent with the run {report.run or '(the report names none)'}."
        raise refuse(Refusal.UNPROCESSABLE, Kind.NOT_FOUND, text, "document")
    by_reference = {reference_of(one): one for one in payments}
    rows: list[list[Row]] = [row("run", String=report.run)]
    single = {one.reference for one in report.results if not one.is_of_all}
    others = [payment for reference, payment in by_reference.items() if reference not in single]
    for one in report.results:
        for payment in others if one.is_of_all else [by_reference.get(one.reference)]:
            if payment is None:
                rows.append(group("left-out", row("reason", String=_of_none(one))))
            else:
                rows.append(await _recorded(context, payment, one))
    return answered(context, request, parameters(*rows))


def _of_none(one: Result) -> str:
    if one.reference:
        return f"{one.reference} is no payment of this run."
    return f"The bank says {one.status} of one payment, and not of which (OrgnlEndToEndId). Ask it, and record what came of that one."


async def _report(inputs: Inputs) -> Report:
    try:
        document = b64decode("".join(inputs.text("document").split()), validate=True)
    except Base64Error:
        raise bad_input('The "document" is a pain.002 in base64.') from None
    if not document:
        raise bad_input('There is no "document": send the pain.002 that the bank gave, in base64.')
    try:
        return await asyncio.to_thread(read_report, document)
    except WrongMessage as wrong:
        raise bad_input(str(wrong)) from None


async def _recorded(context: Context, payment: Resource, said: Result) -> list[Row]:
    """One payment brought to what the bank says of it, by itself: that another cannot be is no reason that this one is not."""
    key = f"PaymentReconciliation/{payment['id']}"
    status, reason = said.status, said.reason
    outcome = "complete" if status in _COMPLETE else "error" if status in FAILED else ""
    if not outcome:
        return group(
            "waiting", reference_row("what", key), row("reason", String=f"The bank says {status or 'nothing'} yet.")
        )

    if why := _not_as_said(payment, said):
        return group("left-out", reference_row("what", key), row("reason", String=why))

    def apply(now: Resource) -> Resource:
        if now.get("outcome") == outcome:
            return now
        words = f"The bank says {status}{': ' + reason if reason else ''}."
        return {
            **now,
            "outcome": outcome,
            "processNote": [*now.get("processNote", ()), {"type": "display", "text": words}],
        }

    try:
        await commit_all(context, [Patch("PaymentReconciliation", str(payment["id"]), apply)])
    except Rejected as rejected:
        why = " ".join(issue.text for issue in rejected.issues)
        return group("left-out", reference_row("what", key), row("reason", String=why))
    return reference_row("complete" if outcome == "complete" else "failed", key)


def _not_as_said(payment: Resource, said: Result) -> str:
    """Why what the bank says is not of this payment as it stands here; "" where it is."""
    if payment.get("status") != "active":
        return f"It is {payment.get('status')} here, and the bank says {said.status}. {_FIND_OUT}"
    here = pence_of(payment.get("paymentAmount"))
    if said.amount is not None and (there := pence_of(said.amount)) != here:
        amount = "of another amount" if there is None else f"of {sterling(there)}"
        return f"It is of {sterling(here or 0)} here, and the bank says {said.status} of one {amount}. {_FIND_OUT}"
    return ""
