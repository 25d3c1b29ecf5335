"""How tests read what the operations of a budget answer with: pounds as pence, groups by name."""

from __future__ import annotations

from typing import Any

from tests.operations.asking import said

Json = dict[str, Any]


def told(answer: Any) -> Json:
    """The Parameters of an answer as a dict: see `read`."""
    resource = said(answer)
    assert resource["resourceType"] == "Parameters"
    return read(resource["parameter"])


def read(rows: list[Json]) -> Json:
    """Rows by name: Money as pence, References by what they refer to, what may stand several times as a list."""
    found: Json = {}
    for row in rows:
        value = read(row["part"]) if "part" in row else _plain(row)
        if row["name"] in SEVERAL or ("part" in row and row["name"] != "contingency"):
            found.setdefault(row["name"], []).append(value)
        else:
            assert row["name"] not in found, row
            found[row["name"]] = value
    return found


SEVERAL = ("evidence", "goal")  # and groups, but for the one that is apart


def _plain(row: Json) -> Any:
    ((name, value),) = [(name, value) for name, value in row.items() if name != "name"]
    if name == "valueMoney":
        assert value["currency"] == "GBP"
        pence = value["value"] * 100
        assert abs(pence - round(pence)) < 1e-6
        return round(pence)
    return value.get("reference", value.get("display")) if name == "valueReference" else value


def sums(allocated: int, committed: int = 0, spent: int = 0, advanced: int = 0) -> Json:
    """What a balance says of these."""
    available = allocated - committed - spent
    return {
        "allocated": allocated,
        "committed": committed,
        "spent": spent,
        "advanced": advanced,
        "available": available,
    }
