"""The database that a command works on, beside a server or without one: the one named, or that of a data folder.

The record may be in use meanwhile. On a data folder without a running server the command runs the private MongoDB for as long
as it takes.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from phb_fhir.store.embedded import FolderInUse, PrivateMongo, check_replica_set, uri_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phb_fhir.settings import Settings

_REACH_TIMEOUT_S = 10


@contextlib.contextmanager
def database(settings: Settings, *, is_ours: bool = True) -> Iterator[Settings]:
    """The settings with the address of the database, which can be reached. Raises CannotStart.

    `is_ours`: it must not be another program's. Who only looks may look at one that was damaged beyond that.
    """
    with contextlib.ExitStack() as undo:
        if settings.mongodb_uri is None:
            settings = settings.model_copy(update={"mongodb_uri": _private(settings, undo)})
        uri, name = str(settings.mongodb_uri), settings.mongodb_database if is_ours else None
        check_replica_set(uri, timeout_s=_REACH_TIMEOUT_S, database=name, is_written=False)
        yield settings


def _private(settings: Settings, undo: contextlib.ExitStack) -> str:
    try:
        mongo = PrivateMongo(
            settings.data,
            cache_mb=settings.mongodb_cache_mb,
            start_timeout_s=settings.mongodb_start_timeout_s,
            transaction_time_max_s=settings.commit_time_max_s,
            disk_free_mb_min=settings.disk_free_mb_min,
        )
        return undo.enter_context(mongo).uri
    except FolderInUse:
        return uri_in(settings.data)
