"""A request that comes again is answered as it was the first time, and done once (RULE-LEDGER).

A client that heard no answer does not know whether its purchase was recorded. If it sends the same again under the same X-Request-ID, it
is told what became of it then. The same is the same sender, id, address, conditions, body and X-Provenance: an id that a proxy puts on
everything makes no two different requests one. So for what would do something else the second time: a POST, a PATCH, and an update or a
delete of one version (If-Match), which would be refused. Any other PUT and DELETE says what there is to be, and may be said again. What came of a request is kept in the transaction that wrote it, for `store.indexes.REQUEST_LIFE_S`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from phb_fhir.change import Committed, Effect
from phb_fhir.fhir.codec import canonical
from phb_fhir.interactions.request import FhirRequest
from phb_fhir.store.store import Transaction


class Once:
    """The name of a request, and of each thing it writes by itself, in their order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._count = 0

    @classmethod
    def of(cls, request: FhirRequest, who: str) -> Once:
        """`who` tells senders apart; on an open server there is nobody to tell from another."""
        asked = [
            who,
            request.request_id,
            request.method,
            list(request.segments),
            list(request.parameters),
            list(request.headers),
            request.body,
            request.provenance,
        ]
        return cls(sha256(canonical(asked)).hexdigest())

    def entry(self, index: int) -> Once:
        """That of an entry of a batch."""
        return Once(f"{self.name}.{index}")

    def next(self) -> str:
        """The name of what is written now."""
        self._count += 1
        return f"{self.name}/{self._count}"


def is_done_once(request: FhirRequest) -> bool:
    """Whether a request that comes again is answered, and not run again."""
    names_version = request.headers.if_match.strip() not in ("", "*")
    return request.method in ("POST", "PATCH") or (request.method in ("PUT", "DELETE") and names_version)


async def first_outcome(transaction: Transaction, name: str) -> list[Committed] | None:
    """What came of it the first time; None where this is the first."""
    rows = await transaction.outcome_of(name) if name else None
    return None if rows is None else [await _committed(transaction, row) for row in rows]


async def _committed(transaction: Transaction, row: Sequence[object]) -> Committed:
    effect, key, number, count = row
    type_, _, id_ = str(key).partition("/")
    version = await transaction.read_version(type_, id_, int(str(number))) if key else None
    return Committed(Effect(effect), version, int(str(count)))


async def keep_outcome(transaction: Transaction, name: str, committed: Sequence[Committed], at: datetime) -> None:
    """Keep what came of it, together with it."""
    if name:
        rows = [
            [
                one.effect.value,
                one.version.key if one.version else "",
                one.version.number if one.version else 0,
                one.count,
            ]
            for one in committed
        ]
        await transaction.keep_outcome(name, rows, at)
