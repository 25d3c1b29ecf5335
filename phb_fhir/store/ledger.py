"""How the ledger lies in MongoDB (`rules/ledger` says what it means).

`ledger` holds every entry, and nothing in it is ever changed:

    {_id: "Account/1/7", account, n: 7, at, kind, pot, allocated, committed, spent, advanced, cause, about, funder, day, reason}

`balances` holds, for each account, what its entries come to, so that a purchase need not add them up:

    {_id: "Account/1", last: 7, at, pots: [[pot, allocated, committed, spent, advanced], …]}

Both are written in the transaction that writes their cause. Two transactions that post to one account change the same balance, and
MongoDB lets one of them through: the other begins again, and sees what the first has left. So nobody spends what another has spent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pymongo import InsertOne, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from phb_fhir.rules.ledger import Entry, Ledger, Sums, numbered, summed
from phb_fhir.store.documents import BALANCES, LEDGER, Document
from phb_fhir.store.primary import Ask, at_once, question

ENTRIES_ABOUT_MAX = 10_000  # of one purchase or payment


class LedgerReader:
    """Questions about accounts. With a session, they are asked inside its transaction."""

    def __init__(self, database: AsyncDatabase[Document], ask: Ask, session: AsyncClientSession | None = None) -> None:
        self._ask = ask
        self._entries = database[LEDGER]
        self._balances = database[BALANCES]
        self._session = session

    @question("reading the ledger")
    async def of(self, accounts: Collection[str]) -> dict[str, Ledger]:
        """What the entries of these accounts (`Account/1`) come to; an empty ledger where there are none."""
        found = self._balances.find({"_id": {"$in": list(accounts)}}, session=self._session)
        ledgers = {document["_id"]: _ledger_of(document) for document in await found.to_list()}
        return {account: ledgers.get(account) or Ledger(account) for account in accounts}

    @question("reading the ledger")
    async def about(self, key: str) -> list[Entry]:
        """The entries that are about a purchase or payment, oldest first."""
        found = self._entries.find({"about": key}, session=self._session).sort("_id", 1).limit(ENTRIES_ABOUT_MAX)
        return sorted(
            (_entry_of(one) for one in await found.to_list()), key=lambda one: (one.at, one.account, one.number)
        )

    @question("reading the ledger")
    async def entries(self, account: str, *, after: int = 0, until: datetime | None = None, count: int) -> list[Entry]:
        """Up to `count` entries of an account, oldest first, those after a number and not later than an instant."""
        wanted: Document = {"account": account, "n": {"$gt": after}, **({"at": {"$lte": until}} if until else {})}
        found = self._entries.find(wanted, session=self._session).sort("n", 1).limit(count)
        return [_entry_of(one) for one in await found.to_list()]

    @question("reading the ledger")
    async def as_of(self, account: str, instant: datetime) -> Ledger:
        """What an account's entries came to at an instant, worked out anew from them."""
        sums = {name: {"$sum": f"${name}"} for name in Sums._fields}
        pipeline: list[Document] = [
            {"$match": {"account": account, "at": {"$lte": instant}}},
            {"$group": {"_id": "$pot", "last": {"$max": "$n"}, **sums}},
        ]
        rows = await (await self._entries.aggregate(pipeline, session=self._session)).to_list()
        pots = {row["_id"]: Sums(*(row[name] for name in Sums._fields)) for row in rows}
        return Ledger(account, pots, max((row["last"] for row in rows), default=0))

    @question("reading the ledger")
    async def next(self, after: str, *, count: int) -> list[Ledger]:
        """The next accounts that have entries, up to `count`, by key, and what each comes to."""
        found = self._balances.find({"_id": {"$gt": after}}, session=self._session).sort("_id", 1).limit(count)
        return [_ledger_of(document) for document in await found.to_list()]


class LedgerWriter(LedgerReader):
    """The ledger inside one transaction."""

    def __init__(self, database: AsyncDatabase[Document], session: AsyncClientSession) -> None:
        super().__init__(database, at_once, session)

    async def post(self, entries: Sequence[Entry], before: Mapping[str, Ledger], at: datetime) -> None:
        """Post entries; `before` are the ledgers of their accounts as this transaction read them.

        An entry's instant is not before that of the one before it in its account, whichever clock gave it.
        """
        inserts: list[InsertOne[Document]] = []
        updates: list[UpdateOne] = []
        for account in sorted({entry.account for entry in entries}):
            ledger = before[account]
            now = max(at, datetime.fromisoformat(ledger.at)) if ledger.at else at
            rows = numbered(ledger, (entry for entry in entries if entry.account == account), now.isoformat())
            inserts += [InsertOne(_document_of(row, now)) for row in rows]
            updates.append(_balance(ledger, ledger.after(rows), now))
        await self._entries.bulk_write(inserts, ordered=False, session=self._session)
        await self._balances.bulk_write(updates, ordered=False, session=self._session)


def derived(account: str, entries: Iterable[Entry]) -> Ledger:
    """What these entries, which are all of an account's, come to: the second opinion on its balance."""
    pots: dict[str, list[Sums]] = {}
    last = 0
    for entry in entries:
        pots.setdefault(entry.pot, []).append(entry.sums)
        last = max(last, entry.number)
    return Ledger(account, {pot: summed(several) for pot, several in pots.items()}, last)


def _balance(before: Ledger, after: Ledger, at: datetime) -> UpdateOne:
    pots = [[pot, *sums] for pot, sums in after.pots.items()]
    known: Document = {"_id": before.account, **({"last": before.last} if before.last else {})}
    return UpdateOne(known, {"$set": {"last": after.last, "at": at, "pots": pots}}, upsert=before.last == 0)


def _document_of(entry: Entry, at: datetime) -> Document:
    document: Document = {
        "_id": f"{entry.account}/{entry.number}",
        "account": entry.account,
        "n": entry.number,
        "at": at,
        "kind": entry.kind,
        "pot": entry.pot,
        **entry.sums._asdict(),
        "cause": entry.cause,
    }
    said = {"about": entry.about, "funder": entry.funder, "day": entry.day, "reason": entry.reason}
    return document | {name: text for name, text in said.items() if text}


def _entry_of(document: Mapping[str, Any]) -> Entry:
    return Entry(
        document["account"],
        document["pot"],
        document["kind"],
        Sums(*(document[name] for name in Sums._fields)),
        document["cause"],
        document.get("about", ""),
        document.get("funder", ""),
        document.get("day", ""),
        document.get("reason", ""),
        document["n"],
        document["at"].astimezone(UTC).isoformat(),
    )


def _ledger_of(document: Mapping[str, Any]) -> Ledger:
    pots = {pot: Sums(*sums) for pot, *sums in document["pots"]}
    return replace(Ledger(document["_id"], pots, document["last"]), at=document["at"].astimezone(UTC).isoformat())
