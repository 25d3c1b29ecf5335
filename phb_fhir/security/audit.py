"""The audit trail itself, as values: what one record says, and how records are chained so that nobody can bend them unseen.

A record is kept as the exact text it was sealed with, one JSON object. Records are numbered from 1 without a gap, and each has a
seal: the SHA-256 of the seal before it, its own number and its text. So a seal stands for the whole trail up to its record, and
nobody changes, takes away, adds or moves a record without every later seal being another. Records of the same moment lie together
in a block, which is how the store writes them; `check` follows the chain from block to block and tells the first break.

What a chain cannot show: that everything from some record on was made anew, seals and all, by somebody who can write to the
database. That shows only against a head that is kept elsewhere (docs/audit.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from phb_fhir.fhir.dates import instant_text

WHAT_MAX = 12_000  # resources of one record: more than the largest page with all that comes along
PATH_MAX = 512  # characters of an address: more than any that leads to something here
QUERY_MAX = 8_000  # characters of a query; of a longer one the rest is told by its digest
WHY_MAX = 2_000  # characters of a refusal
_SEAL_BYTES = 32

Row = tuple[str, ...]  # what was looked at or changed: `Account/1/_history/3`, and the ids of the patients it is about


WORDS_NOW = 3  # raised where `audit_event` calls something, or tells it to people, otherwise than before


class Who(NamedTuple):
    """Who asked, as far as it was known. `name` and `organization_name` are what they were called at that time."""

    issuer: str = ""
    subject: str = ""
    client: str = ""
    name: str = ""
    role: str = ""
    user: str = ""
    user_identifier: str = ""
    organization: str = ""
    organization_name: str = ""
    ods_code: str = ""
    patient: str = ""  # of the launch context, or who lets them act and is concerned: on whose behalf they asked
    token_id: str = ""


NOBODY = Who()


class Asker(NamedTuple):
    """Who sends a request, for its records. `who` is without what is looked up at that time: names, and whom they act for.

    `acts_for` are the ids of the patients who let them, by a Consent; `purpose` is the purpose of use that counts, of the request or of the token.
    """

    who: Who = NOBODY
    acts_for: Collection[str] = ()
    purpose: str = ""


UNKNOWN = Asker()


class Record(NamedTuple):
    """One access or change, let through or refused.

    `interaction` is FHIR's code for it (`read`, `search-type`, `create`, …), or an operation's name with its `$`. `path` and
    `query` are what was asked below the base, the query as it ran; `address` is the client's. `why` is the sentence of a refusal.
    `what` are the resources concerned, `more` how many there were beyond those that are kept. `words` says which words it is told in
    (`WORDS_NOW` at its time): what was published of it is the same text whenever it is made again.
    """

    at: str  # a FHIR instant
    request_id: str
    method: str
    interaction: str
    path: str
    status: int
    who: Who = NOBODY
    query: str = ""
    address: str = ""
    purpose: str = ""
    why: str = ""
    what: tuple[Row, ...] = ()
    more: int = 0
    words: int = 0

    @property
    def patients(self) -> list[str]:
        """The ids of the patients concerned, each once, in order."""
        return list(dict.fromkeys(patient for row in self.what for patient in row[1:]))

    @property
    def is_refused(self) -> bool:
        return self.status >= 400

    def text(self) -> str:
        """The text that is kept and sealed: what is empty is left out, everything else in the order above."""
        said = {name: value for name, value in zip(_FIELDS, self, strict=True) if value}
        if self.who == NOBODY:
            said.pop("who", None)
        else:
            said["who"] = _json_of(self.who)
        return orjson.dumps(said).decode()

    @staticmethod
    def read(text: str) -> Record:
        """The record that a text says. Raises ValueError for a text that is none."""
        try:
            said = orjson.loads(text)
            said["who"] = Who(**said.get("who", {}))
            said["what"] = tuple(tuple(row) for row in said.get("what", ()))
            return Record(**{**_EMPTY, **said})
        except (TypeError, AttributeError, orjson.JSONDecodeError) as error:
            raise ValueError(f"this is no audit record: {error}") from None


_FIELDS = Record._fields


@lru_cache(maxsize=1_000)  # whoever asks asks again
def _json_of(who: Who) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps({name: value for name, value in zip(Who._fields, who, strict=True) if value}))


_EMPTY: dict[str, Any] = {"request_id": "", "method": "", "interaction": "", "path": "", "status": 0}


def bounded_query(text: str) -> str:
    """The query as it is kept: whole, or its beginning and the digest of all of it."""
    return _bounded(text, QUERY_MAX)


def bounded_path(text: str) -> str:
    """The address as it is kept, likewise: anybody may ask for any, and what is kept is kept for good."""
    return _bounded(text, PATH_MAX)


def _bounded(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… (sha256 {hashlib.sha256(text.encode()).hexdigest()})"


# ---- the chain -------------------------------------------------------------------------------------------------------


class Head(NamedTuple):
    """Where the chain ends: the block, the number of its last record, that record's seal, and when it was sealed."""

    block: int
    number: int
    seal: bytes
    at: datetime

    def __str__(self) -> str:
        return f"{self.number}:{self.seal.hex()}"


START = Head(0, 0, bytes(_SEAL_BYTES), datetime(1970, 1, 1, tzinfo=UTC))


class Block(NamedTuple):
    """Records that were sealed together. `first` and `last` are the numbers of its first and last record, `before` the seal that it follows.

    `seals` are those of the records, one behind the other, `seal` the last of them. `at` is the latest time of a record up to here.
    `odd` is the name of a field that is stored as no block is, of a block that somebody changed by hand.
    """

    number: int
    first: int
    last: int
    before: bytes
    seal: bytes
    at: datetime
    records: tuple[str, ...]
    seals: bytes
    odd: str = ""

    @property
    def head(self) -> Head:
        return Head(self.number, self.last, self.seal, self.at)

    def seal_of(self, index: int) -> bytes:
        return self.seals[index * _SEAL_BYTES : (index + 1) * _SEAL_BYTES]


def seal_of(before: bytes, number: int, text: str) -> bytes:
    """The seal of a record: over the one before, its number (8 bytes, the highest first) and its text in UTF-8."""
    return hashlib.sha256(before + number.to_bytes(8) + text.encode()).digest()


def block_after(head: Head, records: Sequence[str], at: datetime) -> Block:
    """These records, sealed behind `head`. `at` is the latest time of any of them."""
    seals, seal = bytearray(), head.seal
    for number, text in enumerate(records, head.number + 1):
        seal = seal_of(seal, number, text)
        seals += seal
    later = max(at, head.at)
    first, last = head.number + 1, head.number + len(records)
    return Block(head.block + 1, first, last, head.seal, seal, later, tuple(records), bytes(seals))


class Break(NamedTuple):
    """Where the trail is broken first, in words; `number` is that of the record there."""

    block: int
    number: int
    text: str

    def __str__(self) -> str:
        return f"The trail is broken at record {self.number} (block {self.block}): {self.text}"


def check(head: Head, block: Block) -> Break | None:
    """What is wrong with a block that should come right behind `head`."""
    number = head.number + 1
    if block.number != head.block + 1:
        gap = "is missing" if block.number == head.block + 2 else f"and those up to {block.number - 1} are missing"
        return Break(head.block + 1, number, f"block {head.block + 1} {gap}.")
    seal, latest = head.seal, head.at
    for index, text in enumerate(block.records):
        seal = seal_of(seal, number + index, text)
        if seal != block.seal_of(index):
            return Break(block.number, number + index, _unlike(block))
        latest = max(latest, _moment(text))
    end = number + len(block.records)
    if not block.records or len(block.seals) != len(block.records) * _SEAL_BYTES or block.seal != seal:
        return Break(block.number, end, "records are missing at the end of the block.")
    if (block.first, block.before) != (number, head.seal):
        return Break(block.number, number, "the block says that it follows another one than it does.")
    if block.last != end - 1:
        first_unlike = min(block.last + 1, end)
        return Break(
            block.number, first_unlike, f"the block says that it ends with record {block.last}, and it does not."
        )
    if block.at != latest:
        return Break(block.number, block.last, f"the block says {instant_text(block.at)}, its records do not.")
    if block.odd:
        return Break(block.number, number, f"the block's {block.odd} is not as a block has it.")
    return None


def _unlike(block: Block) -> str:
    if len(block.seals) != len(block.records) * _SEAL_BYTES:
        return "the record is not the one that was sealed here; records were taken away or put in."
    return "the record, or its seal, is not what was sealed: it was changed, moved, or one before it was taken away."


def _moment(text: str) -> datetime:
    try:
        return moment_of(Record.read(text))
    except ValueError:  # it was sealed like this, so it is no break; the chain is about what was sealed
        return START.at


def moment_of(record: Record) -> datetime:
    """When a record says that it was. Raises ValueError."""
    return datetime.fromisoformat(record.at)


def instant(at: datetime) -> str:
    """The time as a record says it."""
    return instant_text(at)
