"""Index values, questions and stored resources to search among."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from pymongo import MongoClient

from phb_fhir.change import Version
from phb_fhir.definitions.load import SearchParameter
from phb_fhir.query import (
    Key,
    Node,
    Order,
    Query,
    SortKey,
)
from phb_fhir.search.kinds import KINDS
from phb_fhir.search.kinds.kind import Asked, Index
from phb_fhir.search.own import OwnBase
from phb_fhir.store.found import Hit
from phb_fhir.store.positions import Position
from phb_fhir.store.store import Reader, Store, Transaction, Write
from tests.store.stores import MOMENT, keyed

Admin = MongoClient[dict[str, Any]]

NOWHERE = OwnBase("")
SINGLE, LISTED = "Observation", "Task"  # types with one date and size at most, and with several
PARAMETERS = {
    code: SearchParameter(LISTED, code, type_, "", "") for code, type_ in (("date", "date"), ("size", "quantity"))
}
UCUM = "http://unitsofmeasure.org"


def asks(code: str, text: str) -> Node:
    """What a value of a parameter asks: `asks("date", "ge2026-01")`."""
    parameter = PARAMETERS[code]
    return KINDS[parameter.type].parse(Asked(parameter, "", text, None, NOWHERE))  # type: ignore[arg-type]


def key(*keys: str) -> Key:
    return Key(keys)


def index(type_: str, keys: Sequence[str] = (), dates: Sequence[Any] = (), sizes: Sequence[Any] = ()) -> Index:
    made = keyed(*keys)
    is_list = type_ == LISTED
    dated = [("dateTime" if isinstance(date, str) else "Period", date) for date in dates]
    KINDS["date"].index(made, PARAMETERS["date"], dated, is_list, NOWHERE)
    sized = [("Quantity", {"value": Decimal(number), **unit}) for number, unit in sizes]
    KINDS["quantity"].index(made, PARAMETERS["size"], sized, is_list, NOWHERE)
    made.lo |= {"name": made_of} if (made_of := "|".join(keys)[:3]) else {}
    return made


async def pages(
    reader: Reader, query: Query, order: Order, size: int, *, backwards: bool = False
) -> AsyncIterator[list[Hit]]:
    after: Position | None = None
    while page := await reader.find(query, order, after=after, backwards=backwards, count=size):
        yield page
        after = page[0 if backwards else -1].position


def dated_index(day: int, *keys: str) -> Index:
    return index(SINGLE, keys, [f"2020-{1 + day // 28:02}-{1 + day % 28:02}"])


Observed = tuple[Version, Index]


def observed(id_: str, number: int, made: Index | None, *, at: int = 0) -> Observed:
    moment = MOMENT + timedelta(seconds=at or number)
    return Version(SINGLE, id_, number, moment, "PUT", None if made is None else b"{}"), made or keyed()


async def observation(store: Store, id_: str, number: int, made: Index | None) -> None:
    await observations(store, [observed(id_, number, made)])


async def observations(store: Store, given: Sequence[Observed]) -> None:
    """Store these together, each over whatever is current."""

    async def work(transaction: Transaction) -> None:
        current = await transaction.read_all([each.key for each, _ in given])
        await transaction.write([Write(current.get(each.key), each, made) for each, made in given])

    await store.transaction(work)


DATE = SortKey("date", "lo")
BY_CODE = (SortKey("code", "keys", descending=True), SortKey("date", "lo"))
CODED = key("code=*a")
ORDERS: list[tuple[Query, Order]] = [
    (Query((SINGLE,)), ()),
    (Query((SINGLE,), CODED), ()),
    (Query((SINGLE,), asks("date", "ge2020-01-01")), ()),
    (Query((SINGLE,)), (DATE,)),
    (Query((SINGLE,)), (SortKey("date", "lo", descending=True),)),
    (Query((SINGLE,)), BY_CODE),
    (Query((SINGLE,)), (SortKey("", "id"),)),
    (Query((SINGLE,)), (SortKey("", "at"),)),
    (Query((SINGLE,)), (SortKey("", "at", descending=True),)),
    (Query((SINGLE,), CODED), (DATE,)),  # found by their code, and then sorted
    (Query((SINGLE,), CODED), (SortKey("", "at"),)),
]
