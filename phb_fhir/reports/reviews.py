"""Reviews that are overdue (R149, RULE-REVIEW): those whose day has passed, and that are neither over nor called off.

The same is found by search, page by page: `Task?code=…|phb-review&due=lt2026-11-22&status=requested,…,on-hold&_sort=due`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from phb_fhir.interactions.contents import held
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.joins import Joins
from phb_fhir.rules.review import OVER, STEPS, due_of, purpose_of
from phb_fhir.rules.words import TASK_CODE, key_of
from phb_fhir.search.parse import parse_criteria

OVERDUE_MAX = 10_000  # reviews that one report tells of
_OPEN = ",".join(status for status in STEPS if status not in OVER and status != "draft")


@dataclass(frozen=True, slots=True)
class Overdue:
    """A review: which budget's, whose, who leads it, why it takes place, and when it was due."""

    task: str
    budget: str
    person: str
    owner: str
    purpose: str
    due: date

    def days(self, today: date) -> int:
        return (today - self.due).days


@dataclass(frozen=True, slots=True)
class OverdueReviews:
    """`more` says that there are others beside."""

    on: date
    reviews: tuple[Overdue, ...]
    more: bool


async def read_overdue(context: Context, on: date, *, most: int = OVERDUE_MAX) -> OverdueReviews:
    """The reviews that were due before a day, the longest overdue first. Raises Rejected."""
    asked = (("code", f"{TASK_CODE}|phb-review"), ("due", f"lt{on.isoformat()}"), ("status", _OPEN))
    query = parse_criteria("Task", asked, context.asking())
    found = await Joins(context.store, context.asking()).matching(query, count=most + 1)
    tasks = [task for one in found[:most] if (task := held(context, one)) is not None]
    rows = [_overdue(task, due) for task in tasks if (due := due_of(task)) is not None]
    return OverdueReviews(on, tuple(sorted(rows, key=lambda row: (row.due, row.task))), len(found) > most)


def _overdue(task: dict[str, Any], due: date) -> Overdue:
    return Overdue(
        f"Task/{task['id']}",
        key_of(task.get("focus")),
        key_of(task.get("for")),
        key_of(task.get("owner")),
        purpose_of(task),
        due,
    )
