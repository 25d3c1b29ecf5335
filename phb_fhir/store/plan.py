"""How MongoDB is asked: in which order a search is answered, and which index serves it.

A search is answered in *phases*, one after the other until the page is full. Each phase has conditions of its own, which
exclude those of the others, and a complete order that an index has; together the phases are the order of the whole answer,
and a place in it is the number of the phase with the values that the phase is ordered by (`store/positions`). So any page is a
short read of an index, however far it is from the first, and neither skips nor repeats what does not change meanwhile.

*The order asked for.* One value (`lo`): first what has it, by the sortable text, then what has none, by `seq`: missing values
come last whichever the direction. `_lastUpdated` and `_id` have their own indexes. Tokens, references and uris, and several
rules at once, are computed for every match and sorted (`Computed`), which only so many may ask for.

*No order asked for.* By `seq`, read off the entry that is rarest (`store/ways`). Where a period is rarer than any entry, or
there is none, by the period's own texts.

*What leads.* A few matches are found first and then sorted. With more, the index of the order is read, and what does not
match left out; should what matches lie too far apart in it, the matches are sorted after all (`Plan.patience_ms`). The answer is
the same either way, so which of the two it was decides nothing but the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from phb_fhir.query import AllOf, AnyOf, Key, KeyRange, Node, Order, Query, SortKey
from phb_fhir.store.documents import END, LONG, MAX, earliest, value_path
from phb_fhir.store.filters import Filter, base, condition, joint, of_types
from phb_fhir.store.indexes import BY_ID, BY_KEY, BY_SEQ, BY_TIME, BY_VALUE
from phb_fhir.store.ways import SEQ, Reach, Way, conditions, reaches

Sort = tuple[tuple[str, int], ...]

RARE_MAX = 1_000  # so many matches are found and sorted without anybody noticing
PROBED_MAX = 20_000  # … and so many are counted, to find the rarer of two that are common
MERGED_MAX = 200  # so many places in an index MongoDB reads side by side in the order of `seq`; more must be sorted
PATIENCE_MS = 200  # how long the index of an order is read where less than PROBED_MAX match
PATIENCE_MANY_MS = 1_000  # … and where more do, or nobody knows

_ORDER = "order"
_BY_SEQ: Sort = (("seq", 1),)
_ALIVE: Filter = {"deleted": False}
_AFTER_EQUAL = "\n"  # comes behind the tab that ends a sortable text, and before any other character


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the answer in the order of an index. `where` is what holds in this part; the index's bounds come from it."""

    sort: Sort
    index: str
    where: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Computed:
    """An order that no index has: every match is looked at."""

    order: Order


class Led(NamedTuple):
    """The conditions of a query, so put that this index leads to what matches; in whatever order."""

    parts: tuple[Filter, ...]
    index: str  # type: ignore[assignment]  # a tuple's own `index` is no loss


@dataclass(frozen=True, slots=True)
class Plan:
    """`mode` is the name of the order, for positions; `parts` are the conditions for reading the indexes of the phases.

    `led` is how else to find what matches: `at_once`, or after reading the index of a phase for `patience_ms` (None: for as long
    as it takes).
    """

    mode: str
    query: Query
    phases: tuple[Phase | Computed, ...]
    parts: tuple[Filter, ...]
    led: Led
    at_once: bool = False
    patience_ms: int | None = None

    @property
    def moves(self) -> bool:
        """Whether a write may change where a resource is in this order."""
        still = ("seq", "_id")
        return any(isinstance(phase, Computed) or phase.sort[0][0] not in still for phase in self.phases)

    def read(self, phase: Phase | Computed, *, at_once: bool) -> Led:
        """What to ask for a phase, and by which index."""
        if isinstance(phase, Computed):
            return self.led
        if at_once:
            return Led((*(looked_at(part) for part in phase.where), *self.led.parts), self.led.index)
        return Led((*phase.where, *self.parts), phase.index)


# --- what leads ---


def led(query: Query, way: Way | None) -> Led:
    """How what matches is found where nobody minds the order."""
    if way is None:
        return Led((_ALIVE, *parts_of(query)), BY_SEQ)
    parts = parts_of(query, way.node)
    if way.reach is None:
        return Led(parts, {"id": BY_ID, "key": BY_KEY, "time": BY_TIME}[way.kind])
    reaching = [joint(phase.where) for phase in by_reach(query.types, way.reach)]
    return Led(({"$or": reaching} if len(reaching) > 1 else reaching[0], *parts), BY_VALUE)


class Probe(NamedTuple):
    """What to count, on which index. `path` is that of the sortable texts, which nothing at all may have."""

    wanted: Filter
    index: str  # type: ignore[assignment]  # a tuple's own `index` is no loss
    path: str = ""


def probes(query: Query, way: Way) -> list[Probe]:
    """What to count to know how many a way leads to; some may be counted twice."""
    if way.reach is not None:
        phases = by_reach(query.types, way.reach)
        return [Probe(joint(phase.where[:1]), BY_VALUE, phase.sort[0][0]) for phase in phases]
    wanted = joint([of_types(query.types), condition(way.node, query.types)])
    return [Probe(wanted, BY_KEY if way.kind == "key" else BY_TIME)]


def parts_of(query: Query, leading: Node | None = None) -> tuple[Filter, ...]:
    """The conditions of the query as filters. Of those on entries, only the leading one is open to the index."""
    found = list(base(query))
    for node in conditions(query.where):
        made = condition(node, query.types)
        found.append(looked_at(made) if node != leading and _on_entries(node) else made)
    return tuple(part for part in found if part)


def _on_entries(node: Node) -> bool:
    match node:
        case Key() | KeyRange():
            return True
        case AllOf(parts) | AnyOf(parts):
            return any(_on_entries(part) for part in parts)
    return False


def looked_at(part: Filter) -> Filter:
    """The same condition in a form that MongoDB takes no bounds from: it takes them from one condition on the entries, and
    that one by a rule of its own, whichever is rarer.
    """
    return {"$nor": [{"$nor": [part]}]}


# --- no order asked for ---


def are_few(size: int, count: int, population: int) -> bool:
    """Whether to find and sort what leads to so many, rather than to look for `count` of them among the whole population.

    If they lie evenly in it, that is to look at `count / size` of it.
    """
    return size < RARE_MAX or (size < PROBED_MAX and size * size < count * population)


def freely(query: Query, way: Way | None, size: int, *, few: bool) -> Plan:
    """The plan for a search that asks for no order, led by `way` to so many (as far as they were counted)."""
    other = led(query, way)
    if way is None:
        return Plan(SEQ, query, (_by_seq(),), parts_of(query), other)
    if way.mode != SEQ:
        phases = (_by_time(),) if way.reach is None else tuple(by_reach(query.types, way.reach))
        return Plan(way.mode, query, phases, parts_of(query, way.node), other)
    if is_in_order(query, way):
        return Plan(SEQ, query, (Phase(_BY_SEQ, BY_KEY),), other.parts, other)
    return Plan(SEQ, query, (_by_seq(),), parts_of(query), other, few or way.kind == "id", patience(size))


def is_in_order(query: Query, way: Way) -> bool:
    """Whether the index of the entries has what this leads to in the order of `seq`."""
    return way.kind == "key" and way.points is not None and way.points * len(query.types) <= MERGED_MAX


def patience(size: int) -> int:
    return PATIENCE_MS if size < PROBED_MAX else PATIENCE_MANY_MS


def _by_seq(*where: Filter) -> Phase:
    return Phase(_BY_SEQ, BY_SEQ, (_ALIVE, *where))


def _by_time(*, descending: bool = False) -> Phase:
    direction = -1 if descending else 1
    return Phase((("at", direction), ("_id", direction)), BY_TIME)


def by_reach(types: Iterable[str], reach: Reach) -> Iterator[Phase]:
    """All that could keep what is asked of a parameter, by its own texts: no resource is in two of these."""
    for type_ in types:
        yield from _reaching(type_, reach)


def _reaching(type_: str, reach: Reach) -> Iterator[Phase]:
    first, last, end = (value_path(type_, reach.parameter + name) for name in ("", MAX, END))
    low = earliest(reach.ends) if reach.begins is None and reach.ends is not None else reach.begins
    if low is None:
        yield _between(first, "", reach.before)
        return
    yield _between(first, low, reach.before)
    # written so that MongoDB takes no bounds from it
    begun = {first: {"$not": {"$gte": low}}}
    yield _between(last, low, None, begun)
    if reach.begins is None and reach.ends is not None:
        yield _between(end, reach.ends, None, begun, {last: {"$not": {"$gte": low}}})


def _between(path: str, low: str, high: str | None, *more: Filter, direction: int = 1) -> Phase:
    bounds = {"$gte": low} | ({} if high is None else {"$lt": high + _AFTER_EQUAL})
    return Phase(((path, direction),), BY_VALUE, ({path: bounds}, *more))


# --- the order asked for ---


def in_order(query: Query, order: Order, way: Way | None, size: int, *, few: bool) -> Plan:
    """The plan for an order that was asked for, where `way` leads to so many (as far as they were counted)."""
    phases, other = tuple(by_order(query, order)), led(query, way)
    if way is None:
        return Plan(_ORDER, query, phases, parts_of(query), other)
    is_same = len(phases) == 1 and _is_by(order[0], way)  # it bounds the index of the order already
    return Plan(_ORDER, query, phases, parts_of(query), other, few and not is_same, None if is_same else patience(size))


def gone_through(plan: Plan, order: Order, way: Way | None) -> Phase | None:
    """Where the order is of the period that leads: the phase of the long intervals that began before, of which few may match."""
    if way is None or not _is_by(order[0], way):
        return None
    phases = (phase for phase in plan.phases if isinstance(phase, Phase))
    return next((phase for phase in phases if phase.sort[0][0].endswith(LONG)), None)


def _is_by(key: SortKey, way: Way) -> bool:
    return way.kind == "time" if key.by == "at" else way.reach is not None and way.reach.parameter == key.parameter


def by_order(query: Query, order: Order) -> Iterator[Phase | Computed]:
    """The phases of an order that was asked for."""
    key = order[0]
    if len(order) > 1 or key.by == "keys" or (key.by in ("lo", "id") and len(query.types) != 1):
        yield Computed(order)
    elif key.by == "at":
        yield _by_time(descending=key.descending)
    elif key.by == "id":
        yield _by_id(query.types[0], descending=key.descending)
    else:
        yield from _by_value(query, key)


def _by_id(type_: str, *, descending: bool) -> Phase:
    of_type = {"_id": {"$gte": f"{type_}/", "$lt": f"{type_}0"}}  # "0" follows "/"
    return Phase((("_id", -1 if descending else 1),), BY_ID, (of_type,))


def _by_value(query: Query, key: SortKey) -> Iterator[Phase]:
    (type_,) = query.types
    reach = reaches(query).get(key.parameter)
    yield from _having(type_, key, reach or Reach(key.parameter))
    if reach is None:  # else nothing without a value matches
        yield _by_seq({value_path(type_, sorted_name(key)): {"$exists": False}})


def sorted_name(key: SortKey) -> str:
    """The name of the texts to sort by: of several values the one that comes first in the order counts."""
    return key.parameter + (MAX if key.descending and key.is_list else "")


def _having(type_: str, key: SortKey, reach: Reach) -> Iterator[Phase]:
    path = value_path(type_, sorted_name(key))
    direction = -1 if key.descending else 1
    if key.is_list:
        # the first in the order need not be the one that matches, so only one side of it is known
        low, high = (reach.begins, None) if key.descending else (None, reach.before)
        yield _between(path, low or "", high, direction=direction)
    elif reach.begins is not None or reach.ends is None:
        yield _between(path, reach.begins or "", reach.before, direction=direction)
    else:
        low, begun = earliest(reach.ends), value_path(type_, key.parameter + LONG)
        short = _between(path, low, reach.before, direction=direction)
        long = Phase(((begun, direction),), BY_VALUE, ({begun: {"$gte": "", "$lt": low}},))
        yield from (short, long) if key.descending else (long, short)
