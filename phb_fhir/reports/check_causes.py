"""What caused each entry of a ledger: the version is there, and the entry tells what that says of its day and whose money it is.

The day is when a purchase was, or a payment is dated, and for all else the day in England when it was written. What was posted before days were
those of England may tell that which the purchase's time is written with (half past eleven at night in UTC, on 1 July): that is no drift. The funder is who owns the
account: of an entry that the account caused itself, by that version; of any other, by how the account stands, or stood while money was
allocated (`rules/lifecycle` lets it have another owner only while it has none).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from phb_fhir.fhir.codec import Resource, loads
from phb_fhir.fhir.reference import unversioned
from phb_fhir.interactions.contents import relative
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.subset import STORED_DEPTH_MAX
from phb_fhir.reports.drift import Drift
from phb_fhir.rules.budget import LONDON, ONGOING, owner_of, stage_of
from phb_fhir.rules.payment import payment_day
from phb_fhir.rules.purchase import purchase_day
from phb_fhir.store.documents import Document
from phb_fhir.store.sweep import Still


class Caused(NamedTuple):
    """An entry (`Account/1/7`) with what it tells of where it comes from."""

    entry: str
    cause: str
    about: str
    funder: str
    day: str
    at: Any


def caused_in(document: Document) -> Caused:
    cause, about, funder, day = (str(document.get(name) or "") for name in ("cause", "about", "funder", "day"))
    return Caused(str(document.get("_id")), cause, about, funder, day, document.get("at"))


async def check_causes(context: Context, still: Still, account: str, rows: Sequence[Caused]) -> AsyncIterator[Drift]:
    """Whether the versions that caused these entries of an account are there, with what they are about, and say what the entries tell.

    That no version between is missing, is checked with the histories.
    """
    keys = {unversioned(key) for row in rows for key in (row.cause, row.about) if key}
    there = await still.current(keys)
    sound: dict[Caused, tuple[str, int]] = {}
    for row in rows:
        key, _, number = row.cause.partition("/_history/")
        if key not in there or not number.isdecimal() or not 1 <= int(number) <= int(there[key].get("version") or 0):
            yield Drift("cause", row.entry, f"It was caused by {row.cause or 'nothing'}, which is not there.")
        elif row.about and row.about not in there:
            yield Drift("cause", row.entry, f"It is about {row.about}, which is not there.")
        else:
            sound[row] = (key, int(number))
    versions = await still.versions(set(sound.values())) if sound else {}
    contents = {place: read_text(context, document.get("json")) for place, document in versions.items()}
    funders = await _Funders.of(context, still, account) if sound else None
    for row, place in sound.items():
        content = contents.get(place)
        if content is None or funders is None:
            continue  # what is missing, or cannot be read, is told of with the histories
        if row.day not in (days := _days(content, (versions[place].get("at"), row.at))):
            yield Drift("cause", row.entry, f"It is of {row.day or 'no day'}, and {row.cause} makes it of {days[0]}.")
        wanted = {owner_of(content)} if place[0] == account else await funders.wanted(row.funder)
        if row.funder not in wanted:
            whose = " or ".join(sorted(one or "nobody" for one in wanted))
            yield Drift(
                "cause", row.entry, f"It tells of money of {row.funder or 'nobody'}, and {account} has {whose}'s."
            )


def read_text(context: Context, text: str | None) -> Resource | None:
    """A content as rules see it; None where there is none, or it cannot be read, which is told of where resources are checked."""
    try:
        return relative(context, None if text is None else loads(text.encode(), depth_max=STORED_DEPTH_MAX))
    except Exception:  # noqa: BLE001 - whatever was done to it
        return None


def _days(content: Resource, written: Sequence[Any]) -> list[str]:
    """The days that an entry may tell: by what its cause says, else when that was written and the entry posted, which is one moment."""
    today = [at.astimezone(LONDON).date() for at in written if isinstance(at, datetime)]
    match content.get("resourceType"):
        case "ChargeItem":
            return [purchase_day(one, day) for one in (content, _as_written(content)) for day in today]
        case "PaymentReconciliation":
            return [payment_day(content, day) for day in today]
    return [day.isoformat() for day in today]


def _as_written(charge: Resource) -> Resource:
    """The purchase with the days of its times as they are written, in whichever time zone."""
    return {name: _day_of(one) if name.startswith("occurrence") else one for name, one in charge.items()}


def _day_of(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _day_of(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_day_of(one) for one in value]
    return value.partition("T")[0] if isinstance(value, str) else value


class _Funders:
    """Whose money an account has."""

    def __init__(self, context: Context, still: Still, account: str, now: Resource | None) -> None:
        self._context = context
        self._still = still
        self._account = account
        self._now = now
        self._all: set[str] | None = None

    @classmethod
    async def of(cls, context: Context, still: Still, account: str) -> _Funders:
        text = (await still.contents([account])).get(account)
        return cls(context, still, account, read_text(context, text))

    async def wanted(self, funder: str) -> set[str]:
        """Its owner, and where that is another, those of the versions in which it had money."""
        if self._now is not None and owner_of(self._now) == funder:
            return {funder}
        if self._all is None:
            self._all = {owner_of(self._now)} if self._now is not None else set()
            async for text in self._still.earlier(self._account):
                content = read_text(self._context, text)
                if content is not None and stage_of(content) in ONGOING:
                    self._all.add(owner_of(content))
        return self._all
