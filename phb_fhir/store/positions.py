"""A place in the answer of a search: `[mode, number of the phase, value, ...]`, which page links carry.

The mode is the order that the answer was read in. Where none was asked for, the next page is read in the same, whatever would
lead there soonest by then. Behind it stands the time of the snapshot (`store/pages`), in MongoDB's own count: `order@1790000000.3`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId, Timestamp
from bson.errors import InvalidId

from phb_fhir.fhir.dates import instant_text
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.store.computed import computed_sort, value_name
from phb_fhir.store.documents import Document
from phb_fhir.store.filters import Filter, joint
from phb_fhir.store.plan import Computed, Phase, Plan, Sort

Position = list[str | int]

_TIME = re.compile(r"@([0-9]{1,10})\.([0-9]{1,10})\Z")


def position_of(plan: Plan, number: int, document: Document, time: Timestamp | None = None) -> Position:
    """Where this document of a phase is in the answer, as that is at a time."""
    phase = plan.phases[number]
    mode = plan.mode if time is None else f"{plan.mode}@{time.time}.{time.inc}"
    if isinstance(phase, Phase):
        return [mode, number, *(_text(_at_path(document, path)) for path, _ in phase.sort)]
    values = (document[value_name(n)] for n in range(len(phase.order)))
    # what is missing is told from what is empty
    marked = ("" if value is None else f"={_text(value)}" for value in values)
    return [mode, number, *marked, _text(document.get("seq")), document["_id"]]


def mode_of(position: Position) -> str:
    """The name of the order that it is a position in."""
    return _TIME.sub("", str(position[0])) if position else ""


def time_of(position: Position | None) -> Timestamp | None:
    """The time that the page of this position was read at, where that matters."""
    found = _TIME.search(str(position[0])) if position else None
    return Timestamp(int(found[1]), int(found[2])) if found else None


def _at_path(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _text(value: Any) -> str:
    return instant_text(value) if isinstance(value, datetime) else "" if value is None else str(value)


def read_position(plan: Plan, position: Position, direction: int) -> tuple[int, Filter]:
    """The number of the phase, and the filter for what comes after the position in it; for the direction -1, before.

    Raises Rejected (410) for a position that is not one in this order.
    """
    try:
        _, number, *texts = position
        if mode_of(position) != plan.mode or not isinstance(number, int) or number < 0:
            raise lost()
        phase = plan.phases[number]
        values = _values(phase, [str(text) for text in texts])
        return number, past(ordered(phase, direction), values)
    except (ValueError, IndexError, InvalidId):
        raise lost() from None


def ordered(phase: Phase | Computed, direction: int = 1) -> Sort:
    """The order of a phase; from its end for the direction -1."""
    sort = phase.sort if isinstance(phase, Phase) else computed_sort(phase.order)
    return tuple((path, by * direction) for path, by in sort)


def _values(phase: Phase | Computed, texts: Sequence[str]) -> list[Any]:
    """The values of a position as MongoDB has them."""
    if isinstance(phase, Phase):
        return [_value(path, text) for (path, _), text in zip(phase.sort, texts, strict=True)]
    found: list[Any] = []
    for key, text in zip(phase.order, texts[:-2], strict=True):
        found += [0, _value(key.by, text[1:])] if text else [1, None]
    return [*found, _value("seq", texts[-2]), texts[-1]]


def _value(path: str, text: str) -> Any:
    if path == "seq":
        return ObjectId(text)
    return datetime.fromisoformat(text) if path == "at" else text


def past(sort: Sort, values: Sequence[Any]) -> Filter:
    """What comes after these values in the order."""
    steps: list[Filter] = []
    for n, (path, direction) in enumerate(sort):
        equal = {name: value for (name, _), value in zip(sort[:n], values, strict=False)}
        steps.append({**equal, path: {"$gt" if direction > 0 else "$lt": values[n]}})
    if len(steps) == 1:
        return steps[0]
    path, direction = sort[0]
    # the first alone gives an index its bounds
    return joint([{path: {"$gte" if direction > 0 else "$lte": values[0]}}, {"$or": steps}])


def lost() -> Rejected:
    """The refusal of a position that is none in the order it is used for."""
    text = "This page link leads to a place that is no more; run the search again from its start."
    return refuse(Refusal.GONE, Kind.INVALID, text)
