"""Which budgets a joint one was made of over a time: each stay of each, from the version that joined it to the one that left it.

Their versions tell: a budget may have left, and have come back since. They are all of one person (decision 6 of the implementation guide).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from phb_fhir.change import Version
from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.contents import held
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.facts import Facts
from phb_fhir.interactions.seen import whole
from phb_fhir.query import HistoryQuery
from phb_fhir.reports.moments import STEP
from phb_fhir.reports.purchases import too_much
from phb_fhir.rules.budget import joint_of, person_of
from phb_fhir.rules.case import Asking, Find

VERSIONS_MAX = 1_000  # of one budget in the time that is asked for
_EVER = datetime(1, 1, 2, tzinfo=UTC)


class Stay(NamedTuple):
    """The time of one budget in a joint one, within the time that is asked for. `account` is its content of now.

    `joined` and `left` are the versions by which it came and went; None where it was there before, and where it is there at the end.
    """

    account: Resource
    joined: Version | None = None
    left: Version | None = None


async def stays_of(context: Context, joint: Resource, start: datetime | None, end: datetime) -> list[Stay]:
    """The stays of budgets in a joint one from one instant to another, both included. Raises Rejected (422) for too many versions."""
    reader, person = whole(context.reader), person_of(joint)
    theirs = await Facts(context, reader).ask(_budgets_of(person)) if person else []
    found: list[Stay] = []
    for one in theirs:
        between = (start - STEP if start else _EVER, end + STEP)
        query = HistoryQuery("Account", str(one["id"]), current_in=between)
        versions = await reader.history(query, after=None, count=VERSIONS_MAX + 1)
        if len(versions) > VERSIONS_MAX:
            raise too_much("versions of a budget")
        parts = ((version, joint_of(held(context, version) or {})) for version in reversed(versions))
        found += _stays(one, f"Account/{joint['id']}", parts, start)
    return found


def _budgets_of(person: str) -> Asking[list[Resource]]:
    found: list[Resource] = yield Find("Account", ("patient", person))
    return found


def _stays(
    account: Resource, joint: str, versions: Iterable[tuple[Version, str]], start: datetime | None
) -> Iterator[Stay]:
    """Of versions, oldest first, with the joint budget that each was part of."""
    begun: Stay | None = None
    for version, part_of in versions:
        if part_of == joint and begun is None:
            was_there = start is not None and version.at < start
            begun = Stay(account, None if was_there else version)
        elif part_of != joint and begun is not None:
            yield begun._replace(left=version)
            begun = None
    if begun is not None:
        yield begun
