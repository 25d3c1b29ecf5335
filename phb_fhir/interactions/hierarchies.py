"""What is above or below a resource in its hierarchy (`search/hierarchies`), found level by level.

Below are those whose reference leads to what was found on the level before; above, what the references of that level lead to. Who
asks sees the hierarchy as far as they may see what it is made of: where a resource in between is hidden from them, there is nothing
beyond it. A resource that was met is not gone to again, so rings come to an end. A hierarchy past one of the bounds is refused,
never cut: what lies beyond would silently be missing.
"""

from __future__ import annotations

from collections.abc import Sequence

from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.query import Id, InHierarchy, Key, Query
from phb_fhir.store.store import Reader, references

LEVELS_MAX = 20  # above or below what is asked for
MEMBERS_MAX = 1_000  # resources, what is asked for included
_CHUNK = 500  # keys in one question


async def in_hierarchy(reader: Reader, node: InHierarchy) -> Key:
    """The condition with the hierarchy in it as keys. Raises Rejected (400) where there are too many levels, or resources."""
    met = dict.fromkeys(node.starts)
    level: Sequence[str] = node.starts
    for _ in range(LEVELS_MAX + 1):
        found = [key for key in await _next(reader, node, level) if key not in met]
        if not found:
            return Key(tuple(f"{node.parameter}={key}" for key in met))
        met.update(dict.fromkeys(found))
        if len(met) > MEMBERS_MAX:
            raise _too_costly(node, f"more than {MEMBERS_MAX} resources")
        level = found
    raise _too_costly(node, f"more than {LEVELS_MAX} levels")


async def _next(reader: Reader, node: InHierarchy, level: Sequence[str]) -> dict[str, None]:
    """The next level below or above these; one more than there may be, if there are so many."""
    found: dict[str, None] = {}
    for start in range(0, len(level), _CHUNK):
        chunk = tuple(level[start : start + _CHUNK])
        if node.way == "below":
            query = Query((node.type,), Key(tuple(f"{node.by}={key}" for key in chunk)))
            found.update(dict.fromkeys(await reader.keys(query, count=MEMBERS_MAX + 1)))
        else:
            hits = await reader.find(Query((node.type,), Id(chunk)), count=len(chunk))
            above = (key for hit in hits for key in references(hit.index.keys, node.by, (node.type,)))
            found.update(dict.fromkeys(above))
    return found


def _too_costly(node: InHierarchy, more: str) -> Rejected:
    text = f"{node.parameter}:{node.way}: {more} are {node.way} {node.starts[0]}"
    others = f" and {len(node.starts) - 1} others" if len(node.starts) > 1 else ""
    nearer = "further down" if node.way == "below" else "further up"
    return refuse(
        Refusal.BAD_REQUEST, Kind.TOO_COSTLY, f"{text}{others}; ask for less, or begin {nearer} in the hierarchy."
    )
