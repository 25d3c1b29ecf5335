"""Index values keep up with the search parameters.

A resource is found by values that were taken from it when it was written, by the parameters of that moment: its document says
which, by a digest. When a SearchParameter comes, changes or goes, or a new build takes other values, what was written before is
not found by it. Two things follow.

*It is mended* (`keep_indexed`). Every worker asks for the turn, and one has it: it looks for resources whose digest is not that
of their type's parameters, takes their values anew in batches, and puts those in place, without a new version, because the
resource does not change. Whoever writes the resource meanwhile wins. Should the worker die, another takes the turn and goes on
with what is left; there is nothing to remember but the digests. It goes on looking afterwards, because a worker that has not
heard of a new parameter yet may still write by the old ones.

*Until it is, nobody is told half* (`check_settled`). A search by a parameter that some resource lacks is refused (503) with how
far the work is. A note for each digest says which parameters it stands for, each with a mark of all that determines its values;
a digest without a note stands for none. Looking costs one question that an index answers, and not even that once a parameter is
settled: no resource lacks it, and so much time has passed since this process heard of it that every other has too.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
import structlog

from phb_fhir import __version__
from phb_fhir.definitions.load import SearchParameter
from phb_fhir.definitions.search_parameters import FORMAT, SearchParameters
from phb_fhir.fhir.codec import loads
from phb_fhir.fhir.dates import instant_text
from phb_fhir.interactions.apart import apart
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.knowledge import PARAMETER
from phb_fhir.interactions.subset import STORED_DEPTH_MAX
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.search.index import index_of
from phb_fhir.search.kinds.kind import Index
from phb_fhir.store.documents import Document
from phb_fhir.store.reindex import Counts, Stale
from phb_fhir.store.store import Store

BATCH_MAX = 100  # resources that are mended at once
REST = 0.5  # of the time that a batch took, it is quiet: those who ask come first
TELL_S = 2.0  # how often it says how far it is
LOOK_FRESH_S = 2.0  # how often it looks for what is left, while somebody may not have heard of a parameter yet
LOOK_S = 30.0  # and later, when only a worker of another build could write what is to be mended
TAKE_S = 5.0  # how often one who has not the turn asks for it
SETTLE_S = (
    60.0  # by which every worker has heard: a silent stream is given up after 15 s, and opened again every second
)
DIGESTS_MAX = 50  # that the resources of one type have at one time
COMPARTMENTS = "_in"  # in which compartments a resource is; not a parameter, and kept like one
_FROM_ELSEWHERE = frozenset(("_id", "_lastUpdated"))  # are found by what stands beside the index values

_log = structlog.get_logger("phb_fhir.reindex")


# ---- what a digest stands for ----------------------------------------------------------------------------------------


@lru_cache(maxsize=50_000)  # a few thousand parameters, and those of a deployment as they change
def mark(parameter: SearchParameter) -> str:
    """A short text that changes whenever the values a resource has of this parameter would."""
    parts = [[part.type, part.expression] for part in parameter.components]
    row = [parameter.type, parameter.expression, sorted(parameter.target), parameter.marks_missing, parts]
    return hashlib.sha256(orjson.dumps([FORMAT, row])).hexdigest()[:12]


def note_of(parameters: SearchParameters, type_: str) -> Document:
    """What the digest of a type's parameters stands for: the mark of each, and the build that says so."""
    marks = {code: mark(parameter) for code, parameter in parameters.of(type_).items()}
    return {"type": type_, "parameters": {**marks, COMPARTMENTS: str(FORMAT)}, "build": _build()}


def _build() -> list[int]:
    return [int(part) for part in __version__.split(".")[:3] if part.isdecimal()]


def _mark_of(parameters: SearchParameters, type_: str, code: str) -> str | None:
    """The mark that a resource's digest should stand for; None for what is not among the index values."""
    if code == COMPARTMENTS:
        return str(FORMAT)
    parameter = None if code in _FROM_ELSEWHERE else parameters.of(type_).get(code)
    return None if parameter is None or not parameter.expression else mark(parameter)


# ---- may this be searched by? ----------------------------------------------------------------------------------------


async def check_settled(context: Context, types: Sequence[str], codes: Iterable[str]) -> None:
    """Raise Rejected (503) when a resource of these types (none named: any) may lack its values of one of these parameters.

    `codes` are the parameters that a search goes by, without modifiers; `_in` stands for compartments. What is not kept among
    the index values, or is no parameter of a type, is passed over.
    """
    wanted = frozenset(codes)
    unsettled = {type_: open_ for type_ in types or _every(context) if (open_ := _unsettled(context, type_, wanted))}
    if len(unsettled) > 1:
        there = await context.store.reindexing.types()
        unsettled = {type_: open_ for type_, open_ in unsettled.items() if type_ in there}
    for type_, open_ in unsettled.items():
        await _check(context, type_, open_)


def _every(context: Context) -> Sequence[str]:
    return sorted(context.capability.types)


def _unsettled(context: Context, type_: str, codes: frozenset[str]) -> dict[str, str]:
    """Of these parameters, those that somebody has to look after: their marks by code."""
    parameters, settled = context.knowledge.parameters, context.knowledge.settled
    marks = ((code, _mark_of(parameters, type_, code)) for code in codes)
    return {code: made for code, made in marks if made is not None and settled.get((type_, code)) != made}


async def _check(context: Context, type_: str, wanted: Mapping[str, str]) -> None:
    """Raise Rejected where a resource of the type lacks one of these; else remember, as far as that will stay so."""
    knowledge, reindexing = context.knowledge, context.store.reindexing
    news_at = knowledge.news_at
    digests = [knowledge.parameters.digest(type_)]
    while (found := await reindexing.other(type_, digests)) is not None:
        notes = await reindexing.noted([found])
        lacking = sorted(code for code, made in wanted.items() if _said(notes.get(found), code) != made)
        if lacking or len(digests) > DIGESTS_MAX:
            raise await _not_yet(context, type_, lacking or sorted(wanted))
        digests.append(found)
    shipped = knowledge.own_parameters
    if knowledge.news_at != news_at:
        return  # what was seen may have been true of other parameters
    for code, made in wanted.items():
        if _mark_of(shipped, type_, code) == made or _all_have_heard(context):
            knowledge.settled[type_, code] = made


def _said(note: Document | None, code: str) -> str | None:
    """The mark of a parameter in a note; None where there is none."""
    marks: dict[str, str] = (note or {}).get("parameters", {})
    return marks.get(code)


def _all_have_heard(context: Context) -> bool:
    """Whether nobody can still be writing by other parameters than these: not even what was begun before it was heard of them."""
    return time.monotonic() - context.knowledge.news_at > SETTLE_S + context.settings.commit_time_max_s


async def _not_yet(context: Context, type_: str, codes: Sequence[str]) -> Rejected:
    job = await context.store.reindexing.job()
    row = job.get("types", {}).get(type_) if job.get("state") == "running" else None
    # how many there are is not for everybody to know (operators see it at `/index`), nor is what was done for another parameter
    if context.access is not None or (row and row["done"] >= row["total"]):
        row = None
    far = f"{row['done']} of {row['total']} are ready since {instant_text(job['since'])}" if row else "it is under way"
    names = ", ".join(codes)
    text = (
        f"{type_} cannot be searched by {names} yet, because not every {type_} is indexed for it: {far}. "
        "Ask again in a moment."
    )
    return refuse(Refusal.UNAVAILABLE, Kind.TRANSIENT, text)


async def counts(context: Context) -> dict[str, Counts]:
    """Of each type that has resources, how many there are and how many are behind. Raises Rejected (503)."""
    parameters, reindexing = context.knowledge.parameters, context.store.reindexing
    return {type_: await reindexing.counts(type_, [parameters.digest(type_)]) for type_ in await reindexing.types()}


async def state_of(store: Store) -> dict[str, Any]:
    """How far it is, for an operator: `status`, `by`, `since`, `at`, and of each `type` the counts. Raises Rejected (503)."""
    job = await store.reindexing.job()
    status = {"running": "running" if job.get("held") else "interrupted"}.get(job.get("state", ""), "idle")
    told: dict[str, Any] = {name: job[name] for name in ("since", "at", "types") if name in job}
    return {"status": status, "by": job.get("owner", ""), **told}


# ---- keeping up ------------------------------------------------------------------------------------------------------


async def keep_indexed(context: Context) -> None:
    """Take part in keeping the index values of all resources up to date, for as long as this runs."""
    turn = Turn(context)
    try:
        while True:
            context.knowledge.news.clear()
            is_mine = False
            try:
                is_mine = await turn.run()
            except Rejected as rejected:
                _log.warning("reindex", reason=rejected.issues[0].text)
            except Exception:  # noqa: BLE001 - what went wrong with one resource must not end this for all
                _log.exception("reindex")
            wait_s = LOOK_FRESH_S if not _all_have_heard(context) else LOOK_S if is_mine else TAKE_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await context.knowledge.news.wait()
    finally:
        with contextlib.suppress(Rejected):
            await turn.reindexing.leave(turn.owner)


async def note_all(context: Context) -> None:
    """Say in the database what this process's digests stand for, before there is a resource that has them."""
    parameters, reindexing = context.knowledge.parameters, context.store.reindexing
    mine = {parameters.digest(type_): type_ for type_ in _every(context)}
    noted = await reindexing.noted(list(mine))
    await reindexing.note({digest: note_of(parameters, type_) for digest, type_ in mine.items() if digest not in noted})


def owner() -> str:
    """A name for this process that no other has: `desk, process 4711 (1f3a)`."""
    return f"{socket.gethostname()[:64]}, process {os.getpid()} ({secrets.token_hex(2)})"


class Turn:
    """One worker's part in it. `types` is what it says of the job: of each type `done`, `total` and `failed`."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.reindexing = context.store.reindexing
        self.owner = owner()
        self.types: dict[str, dict[str, int]] = {}
        self._noted: SearchParameters | None = None
        self._told_at = -TELL_S

    async def run(self) -> bool:
        """Mend whatever is to be mended, if the turn is this worker's, and say whether it is.

        Raises Rejected when the database cannot.
        """
        parameters = self.context.knowledge.parameters
        if parameters is not self._noted:
            await note_all(self.context)
            self._noted = parameters
        if not await self.reindexing.take(self.owner):
            self.types = {}
            return False
        if self.context.knowledge.is_behind(PARAMETER, await self.reindexing.defined(PARAMETER)):
            return False  # what there is to hear is on its way, and nothing is to be undone meanwhile
        self.types = self.types or await self._left()
        for type_ in await self.reindexing.types():
            if not await self._mend(type_, parameters):
                return False
        if self.types:
            done = {type_: {**row, "done": row["total"]} for type_, row in self.types.items()}
            await self.reindexing.tell(self.owner, done, ended=True)
            _log.info("reindexed", types=done)
            self.types = {}
        return True

    async def _left(self) -> dict[str, dict[str, int]]:
        """What another worker said of a job that it had no time to end."""
        job = await self.reindexing.job()
        return dict(job["types"]) if job.get("state") == "running" else {}

    async def _mend(self, type_: str, parameters: SearchParameters) -> bool:
        """Bring a type up to date. False: something else comes first, and this is to be begun again."""
        if await self.reindexing.other(type_, [parameters.digest(type_)]) is None:
            return True  # which is so nearly always, and is one question
        digests = await self._right(type_, parameters)
        if await self.reindexing.other(type_, digests) is None:
            return True
        await self._begin(type_, digests)
        while batch := await self.reindexing.batch(type_, digests, BATCH_MAX):
            began = time.monotonic()
            put = await self.reindexing.mend([(one, await self._index(one, parameters)) for one in batch])
            self._count(type_, put)
            if not put or not await self._tell() or self.context.knowledge.parameters is not parameters:
                return False
            await asyncio.sleep(REST * (time.monotonic() - began))
        return True

    async def _right(self, type_: str, parameters: SearchParameters) -> list[str]:
        """The digests that are let be: the one that is right here, and those of newer builds, whose workers know better."""
        mine = parameters.digest(type_)
        others = [digest for digest in await self.reindexing.digests(type_) if digest != mine]
        notes = await self.reindexing.noted(others)
        return [mine, *(digest for digest in others if notes.get(digest, {}).get("build", []) > _build())]

    async def _begin(self, type_: str, digests: Sequence[str]) -> None:
        counts = await self.reindexing.counts(type_, digests)
        failed = self.types.get(type_, {}).get("failed", 0)
        self.types[type_] = {"done": counts.total - counts.stale, "total": counts.total, "failed": failed}
        _log.info("reindexing", type=type_, resources=counts.stale)
        self._told_at = -TELL_S
        await self._tell()

    def _count(self, type_: str, put: int) -> None:
        row = self.types[type_]
        row["done"] += put
        row["total"] = max(row["total"], row["done"])  # others write meanwhile

    async def _tell(self) -> bool:
        """Say how far it is, once in a while. False: the turn is another's by now."""
        now = time.monotonic()
        if now - self._told_at < TELL_S:
            return True
        self._told_at = now
        return await self.reindexing.tell(self.owner, self.types)

    async def _index(self, stale: Stale, parameters: SearchParameters) -> Index:
        """The values of a resource. One that cannot be read has none, and is told of: nobody can be kept waiting for it."""
        await asyncio.sleep(0)  # what is done with each takes its time, and requests are waiting
        try:
            return await apart(len(stale.json), _index_of, self.context, stale, parameters)
        except Exception:  # noqa: BLE001 - a damaged document takes no other with it
            self.types[stale.type]["failed"] += 1
            _log.exception("reindex", key=stale.key)
            return Index(digest=parameters.digest(stale.type))


def _index_of(context: Context, stale: Stale, parameters: SearchParameters) -> Index:
    resource = loads(stale.json.encode(), depth_max=STORED_DEPTH_MAX)
    return index_of(resource, parameters, context.own)
