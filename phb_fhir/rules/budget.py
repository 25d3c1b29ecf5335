"""A budget, read: an Account whose type is of phb-account-type (`phb-budget`), in the words that rules speak."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import days_later, months_later
from phb_fhir.fhir.money import pence_of, portion
from phb_fhir.rules.words import ACCOUNT_TYPE, BASE, code_in, extensions, key_of, keys_in, value_of

LONDON = ZoneInfo("Europe/London")
ONGOING = frozenset(("authorised", "active", "suspended", "closing", "closed"))  # stages in which money is allocated
OVER = frozenset(("closed", "declined-by-person", "refused", "not-eligible", "entered-in-error"))


def is_budget(account: Resource | None) -> bool:
    """Whether an Account is a personal health budget."""
    return account is not None and bool(code_in(account.get("type"), ACCOUNT_TYPE))


def is_joint(account: Resource) -> bool:
    return code_in(account.get("type"), ACCOUNT_TYPE) == "joint"


def is_to_leave_hospital(account: Resource) -> bool:
    """Whether this is a single sum to leave hospital, which has a limit. What a single sum is for is left out where it is for that."""
    purpose = code_in(value_of(account, "phb-one-off-purpose"), f"{BASE}/CodeSystem/phb-one-off-purpose")
    return code_in(account.get("type"), ACCOUNT_TYPE) == "one-off" and purpose in ("hospital-discharge", "")


def stage_of(account: Resource | None) -> str:
    """The stage of SM-A; "" for none."""
    found = None if account is None else value_of(account, "phb-lifecycle-status")
    return found if isinstance(found, str) else ""


def person_of(account: Resource) -> str:
    """`Patient/jill`."""
    return next(iter(keys_in(account.get("subject"))), "")


def owner_of(account: Resource) -> str:
    """The commissioner: `Organization/harbourside-north`."""
    return key_of(account.get("owner"))


def plan_of(account: Resource) -> str:
    """`CarePlan/jill-plan`; "" for none."""
    return key_of(value_of(account, "phb-care-plan"))


def joint_of(account: Resource) -> str:
    """The joint budget that this one is part of."""
    return key_of(account.get("partOf"))


class Days(NamedTuple):
    """A Period in whole days, either end open; both are included."""

    start: date | None = None
    end: date | None = None

    def covers(self, day: date) -> bool:
        return (self.start is None or self.start <= day) and (self.end is None or day <= self.end)

    def __str__(self) -> str:
        said = [f"from {in_words(self.start)}"] if self.start else []
        return " ".join(said + ([f"to {in_words(self.end)}"] if self.end else [])) or "always"


def days_of(period: Any) -> Days:
    found = period if isinstance(period, dict) else {}
    return Days(first_day(found.get("start")), last_day(found.get("end")))


def in_words(day: date) -> str:
    """`9 October 2026`."""
    return f"{day:%-d %B %Y}"


def first_day(text: Any) -> date | None:
    """The day a FHIR date or dateTime begins on, in England; of a year or a month, the first."""
    return _day(text, last=False)


def last_day(text: Any) -> date | None:
    """The day a FHIR date or dateTime ends on, in England; of a year or a month, the last."""
    return _day(text, last=True)


def _day(text: Any, *, last: bool) -> date | None:
    if not isinstance(text, str):
        return None
    if "T" in text and (day := _in_england(text)) is not None:
        return day
    parts = text.partition("T")[0].split("-")
    try:
        year, month = int(parts[0]), int(parts[1]) if len(parts) > 1 else (12 if last else 1)
        return date(year, month, int(parts[2]) if len(parts) > 2 else (monthrange(year, month)[1] if last else 1))
    except (ValueError, IndexError):
        return None


def _in_england(text: str) -> date | None:
    """The day of an instant: half past eleven at night, UTC, is the next one while the clocks are forward. None for what no clock here shows."""
    try:
        at = datetime.fromisoformat(text)
        return None if at.tzinfo is None else at.astimezone(LONDON).date()
    except (ValueError, OverflowError):
        return None


class Amount(NamedTuple):
    """A row of `phb-budget-amount`. `pence` is for each `frequency` (wk, mo, a), or once where that is ""."""

    type: str
    pence: int
    days: Days
    frequency: str
    method: str

    @property
    def worth(self) -> int:
        """The pence of the whole period."""
        return self.pence if not self.frequency else portion(self.pence, _times(self.frequency, self.days))


_MONTHS = {"mo": 1, "a": 12}
_DAYS_A_WEEK = 7


def _times(frequency: str, days: Days) -> Decimal:
    """How often a week, month or year is in a period; one that does not end has one."""
    if days.start is None or days.end is None:
        return Decimal(1)
    count = (days.end - days.start).days + 1
    if frequency == "d":
        return Decimal(count)
    if frequency == "wk":
        return Decimal(count) / _DAYS_A_WEEK
    return _months(days.start, days.end) / _MONTHS.get(frequency, 1)


def _months(start: date, end: date) -> Decimal:
    """Whole months and, of the one that is left, the part by its days."""
    after = days_later(end, 1)
    whole = (after.year - start.year) * 12 + after.month - start.month
    if _month_after(start, whole) > after:
        whole -= 1
    reached, following = _month_after(start, whole), _month_after(start, whole + 1)
    return whole + Decimal((after - reached).days) / max((following - reached).days, 1)


def _month_after(start: date, months: int) -> date:
    """The day on which the next month begins. One that began on the 31st ends with the last of a shorter month (Dodds v Walker [1981])."""
    day = months_later(start, months)
    return day if day.day == start.day else days_later(day, 1)


def amounts_of(account: Resource, *types: str) -> list[Amount]:
    """The rows of money, of these types (indicative, approved, contingency, personal-contribution) or of all."""
    return [row for row in _amounts(account) if not types or row.type in types]


def _amounts(account: Resource) -> Iterator[Amount]:
    for row in extensions(account, "phb-budget-amount"):
        pence = pence_of(value_of(row, "amount"))
        if pence is not None:
            yield Amount(
                str(value_of(row, "type") or ""),
                pence,
                days_of(value_of(row, "period")),
                str(value_of(row, "frequency") or ""),
                _first_code(value_of(row, "method")),
            )


def _first_code(concept: Any) -> str:
    found = concept.get("coding", ()) if isinstance(concept, dict) else ()
    return str(found[0].get("code", "")) if found else ""


class Element(NamedTuple):
    """A row of `phb-management-element`: a part of the budget, how and by whom it is held."""

    id: str
    model: str
    holder: str
    pence: int
    purpose: str
    days: Days


def elements_of(account: Resource) -> list[Element]:
    """The parts of a budget, as they stand."""
    return [_element(row) for row in extensions(account, "phb-management-element")]


def _element(row: Mapping[str, Any]) -> Element:
    return Element(
        str(value_of(row, "id") or ""),
        str(value_of(row, "model") or ""),
        key_of(value_of(row, "holder")),
        pence_of(value_of(row, "amount")) or 0,
        str(value_of(row, "purpose") or ""),
        days_of(value_of(row, "period")),
    )


def element_of(elements: Sequence[Element], id_: str) -> Element | None:
    return next((one for one in elements if one.id == id_), None)


def is_held(account: Resource, pot: str) -> bool:
    """Whether a pot of a budget is a part that is paid out to somebody else."""
    part = element_of(elements_of(account), pot)
    return part is not None and part.model != "notional"
