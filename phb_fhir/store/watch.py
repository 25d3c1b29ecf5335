"""What others write to the resources of some types, as it happens: MongoDB's change streams.

The stream is opened before anything is read, and reading waits until MongoDB has come as far as the stream's beginning, so
that nothing falls between what was read and what is told: a change may come twice, never not at all. A stream tells what a
majority has. It ends when the connection is lost for longer than the driver bridges, when the collection is dropped, or
when it has been silent for longer than MongoDB ever is; whoever follows then begins again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any

from pymongo.asynchronous.change_stream import AsyncChangeStream
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection

from phb_fhir.change import Version
from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.store.documents import WITHOUT_INDEX, Document, version_of

AWAIT_MAX_MS = 1_000  # how long MongoDB keeps a question for news open before it says that there are none
SILENCE_MAX_S = 15.0  # it says so every second, so a silence like this means that nobody is there
_GONE = ("drop", "rename", "dropDatabase", "invalidate")


class Watch:
    """Follows the resources of `types`. Use it as `watching` in `Store.watch` opens it."""

    def __init__(
        self,
        resources: AsyncCollection[Document],
        types: Collection[str],
        session: AsyncClientSession,
        stream: AsyncChangeStream[Document],
    ) -> None:
        self._resources = resources
        self._types = sorted(types)
        self._session = session
        self._stream = stream

    async def current(self) -> AsyncIterator[Version]:
        """What stands now, without what was deleted."""
        wanted = {"type": {"$in": self._types}, "deleted": False}
        async for document in self._resources.find(wanted, WITHOUT_INDEX, session=self._session):
            version = _readable(document)
            if version is not None:
                yield version
            await asyncio.sleep(0)  # what is done with each takes its time, and requests are waiting

    async def changes(self) -> AsyncIterator[Version | str]:
        """Every change as it comes: the version that now stands, a deletion too, or the key of a document that is gone.

        Raises Rejected when the stream is over.
        """
        while True:
            event = await self._next()
            if event is None:
                continue
            if event["operationType"] in _GONE:
                raise refuse(Refusal.UNAVAILABLE, Kind.TRANSIENT, "The collection of the resources was taken away.")
            yield _readable(event.get("fullDocument")) or event["documentKey"]["_id"]
            await asyncio.sleep(0)

    async def _next(self) -> dict[str, Any] | None:
        try:
            async with asyncio.timeout(SILENCE_MAX_S):
                event: dict[str, Any] | None = await self._stream.try_next()
        except TimeoutError:
            text = f"The database said nothing for {SILENCE_MAX_S:g} seconds."
            raise refuse(Refusal.UNAVAILABLE, Kind.TRANSIENT, text) from None
        return event


def _readable(document: Document | None) -> Version | None:
    """The version in a document; one that was damaged by hand is as good as gone, and takes no other with it."""
    try:
        return None if document is None else version_of(document)
    except (KeyError, AttributeError):
        return None


def pipeline(types: Collection[str]) -> list[dict[str, Any]]:
    """What of all that happens is told. Who deletes a document leaves no more of it than its key.

    A version is inserted, or replaces the one before. What is changed in place is none: other index values (`store/reindex`),
    which are not told of, or what somebody did by hand to the text, who leaves no more than the key either.
    """
    starts = [
        {"documentKey._id": {"$gte": f"{type_}/", "$lt": f"{type_}0"}} for type_ in sorted(types)
    ]  # "0" follows "/"
    in_place = {"operationType": "update", "updateDescription.updatedFields.json": {"$exists": False}}
    return [
        {"$match": {"$or": [{"$or": starts, "$nor": [in_place]}, {"operationType": {"$in": list(_GONE)}}]}},
        {"$project": {f"fullDocument.{name}": 0 for name in WITHOUT_INDEX}},
    ]
