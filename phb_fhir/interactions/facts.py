"""What rules ask, answered: from what is about to be written first, and from what is stored after that.

One `Facts` serves a whole transaction. It folds in what was decided before, so that of two purchases each sees what the other leaves; and
what it has read once in the transaction it does not read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from phb_fhir.change import Put
from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.contents import held
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.joins import Joins
from phb_fhir.interactions.pending import Pending
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.query import Query
from phb_fhir.rules.book import budgets_in
from phb_fhir.rules.case import (
    FOUND_MAX,
    Asking,
    Books,
    EvidenceLimits,
    Find,
    Hold,
    PolicyOf,
    Posted,
    Question,
    Read,
    ReadVersion,
    Sees,
)
from phb_fhir.rules.commissioning import read_policies
from phb_fhir.rules.ledger import Entry, Ledger
from phb_fhir.rules.purchase import keys_named, references_of
from phb_fhir.rules.words import PURCHASE_REFERENCE, pair_of, token_of
from phb_fhir.search.parse import parse_criteria
from phb_fhir.store.store import Reader, Transaction

T = TypeVar("T")

_SEVERAL = 2


class Facts:
    """Answers to what rules ask. `pending` is what is about to be written, by key, None for what is deleted."""

    def __init__(self, context: Context, reader: Reader, pending: dict[str, Resource | None] | None = None) -> None:
        self._context = context
        self._reader = reader
        self.pending = pending if pending is not None else {}
        self._contents: dict[str, Resource | None] = {}
        self._stored: dict[Find, list[Resource]] = {}
        self.before: dict[str, Ledger] = {}  # as they were read
        self.ledgers: dict[str, Ledger] = {}  # … and after what was posted since
        self.posted: list[Entry] = []

    async def expect(self, purchases: Sequence[Resource]) -> None:
        """Read in a few calls what several purchases will ask for, each of which would ask by itself."""
        if len(purchases) < _SEVERAL:
            return
        keys = dict.fromkeys(key for one in purchases for key in (*budgets_in(one), *keys_named(one)))
        await self._read(list(keys))
        await self._books(list(dict.fromkeys(key for one in purchases for key in budgets_in(one))))
        references = sorted({each for one in purchases for each in references_of(one)})
        if references:
            tokens = [token_of(PURCHASE_REFERENCE, one) for one in references]
            found = await self._search(Find("ChargeItem", ("identifier", ",".join(tokens))))
            for token, reference in zip(tokens, references, strict=True):
                named = [one for one in found if reference in references_of(one)]
                self._stored[Find("ChargeItem", ("identifier", token))] = named

    def mark(self) -> _Mark:
        """Where things stand, so that what was judged since can be taken back."""
        return _Mark(dict(self.pending), dict(self.ledgers), len(self.posted))

    def take_back(self, mark: _Mark) -> None:
        """Forget what was judged since: it was refused."""
        self.pending, self.ledgers = mark.pending, mark.ledgers
        del self.posted[mark.posted :]

    async def ask(self, asking: Asking[T], whose: Context | None = None) -> T:
        """What the asking comes to, each of its questions answered; `whose` write it is about, where these `Facts` serve several people."""
        try:
            question = next(asking)
            while True:
                question = asking.send(await self.answer(question, whose))
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    async def answer(self, question: Question, whose: Context | None = None) -> Any:
        match question:
            case Read():
                return await self._read(question.keys)
            case ReadVersion():
                type_, _, id_ = question.key.partition("/")
                version = await self._reader.read_version(type_, id_, question.number)
                return held(self._context, version)
            case Find():
                return await self._find(question)
            case Sees():
                return await self._seen(question.keys, whose or self._context)
            case Books():
                return await self._books(question.accounts)
            case PolicyOf():
                return read_policies(self._context.settings.commissioning_folder).of(question.commissioner)
            case EvidenceLimits():
                settings = self._context.settings
                return EvidenceLimits(settings.evidence_types, settings.evidence_bytes_max)
            case Hold():
                if isinstance(self._reader, Transaction):
                    await self._reader.lock(question.names)
                return None
            case Posted():
                stored = await self._reader.ledger.about(question.about)
                return stored + [entry for entry in self.posted if entry.about == question.about]

    def post(self, entries: Sequence[Entry]) -> None:
        """Fold entries in, so that whoever asks next sees them."""
        for entry in entries:
            self.ledgers[entry.account] = self.ledgers[entry.account].after([entry])
        self.posted += entries

    async def _read(self, keys: Sequence[str]) -> dict[str, Resource | None]:
        missing = [key for key in keys if key not in self.pending and key not in self._contents]
        if missing:
            stored = await self._reader.read_all(missing)
            for key in missing:
                self._contents[key] = held(self._context, stored.get(key))
        return {key: self.pending[key] if key in self.pending else self._contents[key] for key in keys}

    async def _seen(self, keys: Sequence[str], whose: Context) -> frozenset[str]:
        """What is written together with what is asked about is known to who writes it; of the rest, what they may name."""
        written = {key for key in keys if self.pending.get(key) is not None}
        others = [key for key in keys if key not in written]
        return frozenset(written | await whose.may_name(self._reader, others))

    async def _find(self, question: Find) -> list[Resource]:
        if question not in self._stored:
            self._stored[question] = await self._search(question)
        written = {key for key in self.pending if key.startswith(f"{question.type}/")}
        found = [one for one in self._stored[question] if f"{question.type}/{one['id']}" not in written]
        if not question.is_stored:
            made = [resource for key in sorted(written) if (resource := self.pending[key]) is not None]
            found += await self._among(made, question)
        if len(found) > FOUND_MAX:
            raise _too_many(question.type)
        return found

    async def _among(self, made: list[Resource], question: Find) -> list[Resource]:
        """Those of what is pending that match."""
        if (token := _identifier_in(question)) is not None:
            return [one for one in made if token in _identifiers(one)]
        if not made:
            return []
        rows = {index: Put(question.type, one["id"], one) for index, one in enumerate(made)}
        joins = Joins(self._reader, self._context.asking())
        matching = await Pending(self._context, rows, self._context.now()).matching(joins, self._query(question))
        return [made[index] for index in matching]

    async def _search(self, question: Find) -> list[Resource]:
        """What is stored that matches, whatever is pending."""
        joins = Joins(self._reader, self._context.asking())
        stored = await joins.matching(self._query(question), count=FOUND_MAX + 1 + len(self.pending))
        return [one for version in stored if (one := held(self._context, version)) is not None]

    def _query(self, question: Find) -> Query:
        return parse_criteria(question.type, question.parameters, self._context.asking())

    async def _books(self, accounts: Sequence[str]) -> dict[str, Ledger]:
        if missing := [account for account in accounts if account not in self.ledgers]:
            read = await self._reader.ledger.of(missing)
            self.before |= read
            self.ledgers |= read
        return {account: self.ledgers[account] for account in accounts}


def _too_many(type_: str) -> Rejected:
    """A rule that saw a part alone would decide wrongly: nothing is decided."""
    text = f"More than {FOUND_MAX:,} {type_} are recorded that this is to be held against, which is more than are looked at."
    return refuse(Refusal.UNPROCESSABLE, Kind.TOO_COSTLY, text)


class _Mark(NamedTuple):
    pending: dict[str, Resource | None]
    ledgers: dict[str, Ledger]
    posted: int


def _identifier_in(question: Find) -> str | None:
    """The one identifier that is asked for, where nothing else is: what has it is told without an index."""
    name, value = question.parameters[0]
    return value if name == "identifier" and len(question.parameters) == 1 and "," not in value else None


def _identifiers(resource: Resource) -> list[str]:
    return [token_of(*pair_of(one)) for one in resource.get("identifier", ())]
