"""One account of the ledger, checked: its numbering, each entry, its balance, what caused it, and what its budget was given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import sterling
from phb_fhir.interactions.context import Context
from phb_fhir.reports.check_causes import Caused, caused_in, check_causes, read_text
from phb_fhir.reports.drift import Drift, Looked
from phb_fhir.rules.allocation import allocation, pot_name
from phb_fhir.rules.ledger import EFFECTS, NONE, Sums
from phb_fhir.store.documents import Document
from phb_fhir.store.sweep import Still

_CAUSES_TOGETHER = 200


@dataclass(slots=True)
class _Run:
    """An account's entries, as far as they were gone through."""

    account: str
    last: int = 0
    at: datetime | None = None
    pots: dict[str, Sums] = field(default_factory=dict)
    given: dict[str, int] = field(default_factory=dict)  # by the account's own versions
    causes: list[Caused] = field(default_factory=list)


async def check_account(context: Context, still: Still, account: str, looked: Looked) -> AsyncIterator[Drift]:
    """What is wrong with an account (`Account/1`)."""
    run = _Run(account)
    async for document in still.entries(account):
        looked.entries += 1
        for drift in _entry(run, document):
            yield drift
        if len(run.causes) >= _CAUSES_TOGETHER:
            async for drift in check_causes(context, still, account, run.causes):
                yield drift
            run.causes = []
    async for drift in check_causes(context, still, account, run.causes):
        yield drift
    for drift in _balance(run, await still.balance(account)):
        yield drift
    content = (await still.contents([account])).get(account)
    for drift in _allocation(run, read_text(context, content)):
        yield drift


# ---- entries ---------------------------------------------------------------------------------------


def _entry(run: _Run, document: Document) -> Iterator[Drift]:
    key = str(document.get("_id"))
    number, at = document.get("n"), document.get("at")
    if number != run.last + 1 or key != f"{run.account}/{number}":
        yield Drift("numbering", run.account, f"After entry {run.last} comes {key}; it should be {run.last + 1}.")
    run.last = number if isinstance(number, int) else run.last + 1
    sums = sums_in(document)
    if sums is None:
        yield Drift("entry", key, "What it moves cannot be read: it should be four sums in whole pence.")
        return
    if why := _unlike_its_kind(str(document.get("kind")), sums):
        yield Drift("entry", key, why)
    if not isinstance(at, datetime) or (run.at is not None and at < run.at):
        yield Drift("entry", key, "It says that it was posted before the entry that it follows.")
    run.at = at if isinstance(at, datetime) else run.at
    pot, cause = str(document.get("pot")), str(document.get("cause") or "")
    run.pots[pot] = run.pots.get(pot, NONE).plus(sums)
    if cause.startswith(f"{run.account}/") and document.get("kind") != "surplus-recovery":
        run.given[pot] = run.given.get(pot, 0) + sums.allocated
    run.causes.append(caused_in(document))


def sums_in(document: Document) -> Sums | None:
    """What an entry moves; None where that cannot be read."""
    found = [document.get(name) for name in Sums._fields]
    whole = [one for one in found if isinstance(one, int) and not isinstance(one, bool)]
    return Sums(*whole) if len(whole) == len(found) else None


def _unlike_its_kind(kind: str, sums: Sums) -> str:
    """Why an entry of this kind does not move these sums; "" where it does."""
    if kind not in EFFECTS:
        return f"There is no kind of entry '{kind}'."
    effect = EFFECTS[kind]  # type: ignore[index]
    if effect is None:  # a transfer moves what is allocated, a reversal anything
        fits = any(sums) and (kind == "reversal" or sums == Sums(allocated=sums.allocated))
    else:
        pence = sum(a * b for a, b in zip(sums, effect, strict=True))
        fits = pence > 0 and sums == Sums(*(pence * each for each in effect))
    return "" if fits else f"A {kind} does not move {_shown(sums)}."


def _shown(sums: Sums) -> str:
    said = [f"{name} by {sterling(pence)}" for name, pence in sums._asdict().items() if pence]
    return ", ".join(said) or "nothing"


# ---- what they come to -----------------------------------------------------------------------------


def _balance(run: _Run, kept: Document | None) -> Iterator[Drift]:
    pots = {pot: sums for pot, sums in run.pots.items() if sums != NONE}
    if kept is None:
        if run.last:
            yield Drift("balance", run.account, f"It has {run.last} entries and no balance.")
        return
    if kept.get("last") != run.last:
        text = f"Its balance was made of {kept.get('last')} entries, and its ledger ends with entry {run.last}."
        yield Drift("numbering", run.account, text)
    elif run.last and kept.get("at") != run.at:
        yield Drift("balance", run.account, "Its balance was not made when its last entry was posted.")
    known = _kept_pots(kept.get("pots"))
    for pot in dict.fromkeys((*pots, *known)):
        comes_to, says = pots.get(pot, NONE), known.get(pot, NONE)
        if comes_to != says:
            text = f"The balance of {pot_name(pot)} is {_all(says)}, and its entries come to {_all(comes_to)}."
            yield Drift("balance", run.account, text)


def _kept_pots(rows: Any) -> dict[str, Sums]:
    found = {}
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, list) and len(row) == len(Sums._fields) + 1:
            sums = sums_in(dict(zip(Sums._fields, row[1:], strict=True)))
            found[str(row[0])] = sums or NONE
    return {pot: sums for pot, sums in found.items() if sums != NONE}


def _all(sums: Sums) -> str:
    return ", ".join(f"{sterling(pence)} {name}" for name, pence in sums._asdict().items())


def _allocation(run: _Run, account: Resource | None) -> Iterator[Drift]:
    """Whether a budget was given what its amounts and parts say; what was recovered when it closed is beside that."""
    wanted: Mapping[str, int] = allocation(account)
    for pot in dict.fromkeys((*wanted, *run.given)):
        says, given = wanted.get(pot, 0), run.given.get(pot, 0)
        if says != given:
            text = (
                f"Its record gives {sterling(says)} to {pot_name(pot)}, and its ledger has allocated {sterling(given)}."
            )
            yield Drift("allocation", run.account, text)
