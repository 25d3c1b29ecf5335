"""Is the audit trail whole? The chain from its beginning, what is published of it, and how far it is known to have gone.

Nothing is written, so it may run beside servers, and by somebody who may read the database and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from phb_fhir.change import Version
from phb_fhir.interactions.publishing import Published, published
from phb_fhir.security.audit import START, Block, Break, Head, check
from phb_fhir.security.audit_event import SEQUENCE
from phb_fhir.store.documents import Document
from phb_fhir.store.trail import Chain

_ASKED_TOGETHER = 500


class Kept(NamedTuple):
    """A head that was kept elsewhere: the seal that a record had."""

    number: int
    seal: bytes

    @staticmethod
    def parse(text: str) -> Kept:
        """`4711:9f86…`, as `phb-fhir audit head` prints it. Raises ValueError."""
        number, colon, seal = text.strip().partition(":")
        if not (colon and number.isdecimal() and number.isascii() and len(seal) == 2 * len(START.seal)):
            raise ValueError(text)
        return Kept(int(number), bytes.fromhex(seal))


class Verdict(NamedTuple):
    """What was found: how many records and blocks are whole, where they end, and the first break, if there is one.

    `published` is how many of the blocks are published as AuditEvents, `pending` how many records of changes are not sealed yet,
    `strangers` how many AuditEvents are stored that do not come from the trail and do not say so.
    """

    records: int
    blocks: int
    head: Head
    published: int
    pending: int
    strangers: int = 0
    broken: Break | None = None


async def verify(chain: Chain, *, since: int = 1, kept: Sequence[Kept] = ()) -> Verdict:
    """Follow the chain from the block with the record `since` on, which is trusted to follow what was before it. Raises Rejected (503)."""
    pending, upto, noted = await chain.pending(), await chain.published(), await chain.noted()
    wanted = [*kept, *([Kept(noted.number, noted.seal)] if noted.number >= since else [])]
    first = await chain.block_with(since) if since > 1 else None
    head = begun = START if first is None else Head(first.number - 1, first.first - 1, first.before, first.at)
    known: set[int] = set()  # of the AuditEvents of all records, the hashes of their keys
    broken: Break | None = None
    async for block in chain.all(head.block):
        broken = check(head, block) or _other_seal(block, wanted)
        if broken is None:
            broken = await _unlike(chain, block, is_published=block.number <= upto)
        if broken is not None:
            break
        known |= {hash(event.version.key) for _, event in _events(block)}
        head = block.head
    strangers = 0
    if broken is None:
        broken = _cut_off(head, wanted)
    if broken is None and (astray := await chain.astray()):
        broken = Break(head.block, head.number, f"there is a block {astray} besides, which has no place in the trail.")
    if broken is None and first is None:
        strangers, broken = await _strangers(chain, known, head)
    records, blocks = head.number - begun.number, head.block - begun.block
    return Verdict(records, blocks, head, min(upto, head.block), pending, strangers, broken)


def _other_seal(block: Block, wanted: Sequence[Kept]) -> Break | None:
    for one in wanted:
        if block.first <= one.number <= block.last and block.seal_of(one.number - block.first) != one.seal:
            text = f"its seal was {one.seal.hex()} once, and is another now: the trail was made anew up to here."
            return Break(block.number, one.number, text)
    return None


def _cut_off(head: Head, wanted: Sequence[Kept]) -> Break | None:
    further = max((one.number for one in wanted), default=0)
    if further <= head.number:
        return None
    text = f"the trail ends with record {head.number}, and it went on to record {further} once: its end was cut off."
    return Break(head.block + 1, head.number + 1, text)


def _events(block: Block) -> Iterator[tuple[int, Published]]:
    """What is published of a block, with the number of the record it is of."""
    for index, record in enumerate(block.records):
        for event in published(block, index, record):
            yield block.first + index, event


async def _unlike(chain: Chain, block: Block, *, is_published: bool) -> Break | None:
    """The first record of a block that is not published as it should be; of one that is not said to be, what is there already counts too."""
    events = list(_events(block))
    for start in range(0, len(events), _ASKED_TOGETHER):
        asked = events[start : start + _ASKED_TOGETHER]
        there = await chain.stored([event.version.key for _, event in asked])
        for number, event in asked:
            stored = there.get(event.version.key)
            if (is_published or stored) and (said := _difference(event.version, stored)):
                return Break(block.number, number, f"{event.version.key}, which was published of it, {said}.")
    return None


def _difference(version: Version, stored: Document | None) -> str:
    if stored is None:
        return "was taken away"
    if stored.get("json") is None or stored.get("deleted") is not False:
        return "was deleted"
    if stored["version"] != 1 or stored["json"].encode() != version.json:
        return "does not say what the record says"
    is_in_its_place = all(stored.get(name) == getattr(version, name) for name in _PLACE)
    return "" if is_in_its_place else "does not stand where it is looked for"


_PLACE = ("type", "id", "at")  # by which it is found, beside its index values, which `phb-fhir check` works out anew


async def _strangers(chain: Chain, known: set[int], head: Head) -> tuple[int, Break | None]:
    """How many AuditEvents no record made; and the first that says that it has a place in the trail all the same."""
    count, claiming = 0, []
    async for key, text in chain.audit_events():
        if hash(key) not in known:
            count += 1
            claiming += [key] if SEQUENCE in text else []
    if claiming:  # servers go on meanwhile
        later = {event.version.key async for block in chain.all(head.block) for _, event in _events(block)}
        claiming = [key for key in claiming if key not in later]
    if claiming:
        text = f"{claiming[0]} says that it has a place in the trail, and it has none."
        return count, Break(head.block, head.number, text)
    return count, None
