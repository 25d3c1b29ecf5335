"""Date parameters: a prefix and a period (R4 §3.1.1.4.7).

A date is all the time that it may mean: `2026-03` is March, an instant a moment as wide as its last digit. A Period runs from
where its start begins to where its end ends, and without one of them has no such end. Of a Timing the outer limits matter: from
the first of its events, or its bounds, to the last; one that states neither is there (`:missing`), and no date is asked of it
that it could keep. Intervals are half open, in UTC, as texts (`fhir/dates.span_of`).

`ap` has no clock to measure the distance from now by, as R4 recommends: a search asked twice gives the same answer. It takes what
overlaps with the date widened by its own length, at least by a day, to either side.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from phb_fhir.definitions.load import SearchParameter
from phb_fhir.fhir.dates import period_of, sortable_end, sortable_text, span_of, with_plus
from phb_fhir.query import Bound, Node, Updated
from phb_fhir.search.asking import malformed
from phb_fhir.search.escapes import unescape
from phb_fhir.search.kinds.interval import PREFIXES, Ends, any_of, keep, split_prefix, wrong
from phb_fhir.search.kinds.keys import shown
from phb_fhir.search.kinds.kind import Asked, Index, Kind, OwnAddress, Value
from phb_fhir.search.order import EARLIEST, LATEST

NEVER = Ends(LATEST, EARLIEST)  # of what is there without a time: no bounds are kept by it, but it is not missing

_DAY = timedelta(days=1)
_RIGHT = "write YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ssZ"


# ---- what is asked -----------------------------------------------------------------------------------------------


def parse(asked: Asked) -> Node:
    prefix, date = split_prefix(asked, unescape(asked.text))
    try:
        start, end = period_of(with_plus(date))
    except ValueError:
        raise wrong(asked, f"'{shown(date)}' is no date; {_RIGHT}") from None
    return any_of(asked.parameter.code, _spans(prefix, start, end))


def _spans(prefix: str, start: datetime, end: datetime) -> tuple[tuple[Bound, ...], ...]:
    a, b = sortable_text(start), sortable_end(end)
    # "begins before b" and the like are said though they follow: they tell an index where to stop, and leave out NEVER
    inside = (Bound("lo", ">=", a), Bound("lo", "<", b), Bound("hi", "<=", b))
    later, earlier = Bound("hi", ">", b), Bound("lo", "<", a)
    spans: dict[str, tuple[tuple[Bound, ...], ...]] = {
        "eq": (inside,),
        "ne": ((earlier,), (later,)),
        "gt": ((later,),),
        "lt": ((earlier,),),
        "ge": (inside, (later,)),
        "le": (inside, (earlier,)),
        "sa": ((Bound("lo", ">=", b), later),),
        "eb": ((Bound("hi", "<=", a), earlier),),
    }
    return spans[prefix] if prefix in spans else _near(start, end)


def _near(start: datetime, end: datetime) -> tuple[tuple[Bound, ...], ...]:
    slack = max(end - start, _DAY)
    return ((Bound("lo", "<", _shifted(end, slack, LATEST)), Bound("hi", ">", _shifted(start, -slack, EARLIEST))),)


def _shifted(at: datetime, by: timedelta, otherwise: str) -> str:
    try:
        return sortable_text(at + by)
    except OverflowError:
        return otherwise


def parse_updated(parameter: str, text: str) -> Updated:
    """What `_lastUpdated=ge2026-01` asks. Raises Rejected (400) for a bad date or a prefix that has no meaning here."""
    prefix, date = (text[:2], text[2:]) if text[:2].isalpha() else ("eq", text)
    if prefix not in PREFIXES:
        raise malformed(f"{parameter}={shown(text)}: the prefix '{prefix}' is not one of {', '.join(PREFIXES)}")
    try:
        start, end = period_of(with_plus(date))
    except ValueError:
        raise malformed(f"{parameter}={shown(text)}: '{shown(date)}' is no date; {_RIGHT}") from None
    # an instant is a point, so "starts after" is "greater" and "ends before" is "less"
    return {
        "eq": lambda: Updated(start, end),
        "ne": lambda: Updated(start, end, inside=False),
        "gt": lambda: Updated(end, None),
        "sa": lambda: Updated(end, None),
        "ge": lambda: Updated(start, None),
        "lt": lambda: Updated(None, start),
        "eb": lambda: Updated(None, start),
        "le": lambda: Updated(None, end),
        "ap": lambda: _updated_near(start, end),
    }[prefix]()


def _updated_near(start: datetime, end: datetime) -> Updated:
    slack = max(end - start, _DAY)
    low = start - slack if start - datetime.min.replace(tzinfo=start.tzinfo) > slack else None
    high = end + slack if datetime.max.replace(tzinfo=end.tzinfo) - end > slack else None
    return Updated(low, high)


# ---- what is kept ------------------------------------------------------------------------------------------------


def index(made: Index, parameter: SearchParameter, values: Sequence[Value], is_list: bool, own: OwnAddress) -> None:  # noqa: ARG001
    found = dict.fromkeys(ends for type_, element in values if (ends := _ends(type_, element)))
    if found:
        made.spans[parameter.code] = [{"lo": ends.lo, "hi": ends.hi} for ends in found]
        keep(made, parameter.code, [ends for ends in found if ends != NEVER], is_list)


def _ends(type_: str, element: Any) -> Ends | None:
    """The interval of an element; NEVER where it does not say when; None for what has no time at all."""
    if isinstance(element, str):
        return NEVER if type_ == "string" else _date(element)  # a text is no date, whatever it looks like
    if isinstance(element, dict) and type_ in _WITH_ENDS:
        return _WITH_ENDS[type_](element)
    return None


def _date(text: Any) -> Ends:
    try:
        return Ends(*span_of(text)) if isinstance(text, str) else NEVER
    except ValueError:
        return NEVER


def _period(element: dict[str, Any]) -> Ends:
    """From its start to its end, of which it needs to state one; NEVER where the one lies behind the other."""
    start, end = (element.get(name) for name in ("start", "end"))
    if start is None and end is None:
        return NEVER
    low = EARLIEST if start is None else _date(start).lo
    high = LATEST if end is None else _date(end).hi
    return Ends(low, high) if low < high else NEVER


def _timing(element: dict[str, Any]) -> Ends:
    """From the earliest to the latest of what is stated."""
    events, repeat = element.get("event"), element.get("repeat")
    parts = [_date(event) for event in events] if isinstance(events, list) else []
    bounds = repeat.get("boundsPeriod") if isinstance(repeat, dict) else None
    if isinstance(bounds, dict):
        parts.append(_period(bounds))
    return Ends(min((part.lo for part in parts), default=LATEST), max((part.hi for part in parts), default=EARLIEST))


_WITH_ENDS = {"Period": _period, "Timing": _timing}


KIND = Kind(modifiers=(), parse=parse, index=index, sort="lo")
