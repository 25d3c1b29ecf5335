"""Rows of Parameters, as reports answer with them: `row("amount", Money=money(1250))`. What is not there has no row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import money
from phb_fhir.rules.ledger import Sums

Row = dict[str, Any]


def row(name: str, **value: Any) -> list[Row]:
    """A row with one value, named by its type as in `value[x]`; none where the value is None or ""."""
    ((type_, content),) = value.items()
    return [] if content is None or content == "" else [{"name": name, f"value{type_}": content}]


def group(name: str, *rows: Iterable[Row]) -> list[Row]:
    """A row of these rows; none where there are none."""
    parts = [one for several in rows for one in several]
    return [{"name": name, "part": parts}] if parts else []


def pence_row(name: str, pence: int) -> list[Row]:
    return row(name, Money=money(pence))


def reference_row(name: str, key: str, display: str = "") -> list[Row]:
    """A row with a reference; none where there is nothing to refer to."""
    return row(name, Reference={"reference": key, **({"display": display} if display else {})} if key else None)


def sums_rows(sums: Sums) -> list[Row]:
    """The four sums of the ledger and what is available of them."""
    named = [*sums._asdict().items(), ("available", sums.available)]
    return [one for name, pence in named for one in pence_row(name, pence)]


def parameters(*rows: Iterable[Row]) -> Resource:
    return {"resourceType": "Parameters", "parameter": [one for several in rows for one in several]}
