"""MongoDB's failures as refusals: a sentence a caller can act on, never a stack trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pymongo.errors import (
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)

from phb_fhir.outcome import Kind, Refusal, Rejected, refuse

DriverError = PyMongoError  # inside a transaction the store is to see these itself: some mean "begin again"

_NO_SUCH_HINT_CODE = 2  # BadValue, for an index that is named and not there
_UNAUTHORIZED_CODE = 13
_TOO_LARGE_CODES = {10334, 17419, 17420}  # BSONObjectTooLarge and its kin


@contextmanager
def translated(doing: str, *, writing: bool = False) -> Iterator[None]:
    """Run database calls; turn what the driver raises into Rejected. `doing` completes "… while <doing>"."""
    try:
        yield
    except PyMongoError as error:
        raise rejection_of(error, doing, writing=writing) from error


def rejection_of(error: PyMongoError, doing: str, *, writing: bool) -> Rejected:
    """The refusal that says what happened, and for a write, whether it may have been kept all the same."""
    if isinstance(error, DocumentTooLarge) or (isinstance(error, OperationFailure) and error.code in _TOO_LARGE_CODES):
        return refuse(
            Refusal.TOO_LARGE,
            Kind.TOO_LONG,
            "The resource is larger than the 16 MB that the database keeps in one piece.",
        )
    if isinstance(error, DuplicateKeyError):
        return refuse(
            Refusal.CONFLICT,
            Kind.CONFLICT,
            f"Somebody else wrote the same thing at the same moment, while {doing}. Try again.",
        )
    if _is_slow(error):
        text = f"The database took longer than it may, while {doing}."
        return refuse(
            Refusal.UNAVAILABLE,
            Kind.TIMEOUT,
            text + (_PERHAPS if writing else " Try again, or ask for less."),
        )
    if isinstance(error, OperationFailure) and error.code == _NO_SUCH_HINT_CODE and "hint" in str(error):
        text = f"The database lacks an index that is needed, while {doing}. Indexes are built when the server starts."
        return refuse(Refusal.UNAVAILABLE, Kind.TRANSIENT, text)
    if isinstance(error, OperationFailure) and error.code == _UNAUTHORIZED_CODE:
        text = (
            f"The user of the database may not do what is needed, while {doing}: it takes one who may read and write."
        )
        return refuse(Refusal.UNAVAILABLE, Kind.TRANSIENT, text)
    return unanswered(doing, writing=writing)


def unanswered(doing: str, *, writing: bool = False) -> Rejected:
    """The refusal (503) where the database is away, or was waited for in vain."""
    text = f"The database cannot be reached just now, while {doing}."
    return refuse(Refusal.UNAVAILABLE, Kind.TRANSIENT, text + (_PERHAPS if writing else " Try again in a moment."))


def is_silence(error: PyMongoError) -> bool:
    """Whether nobody answered: no server to ask, no connection to it, or not a word on one in time."""
    return isinstance(error, ConnectionFailure)


def _is_slow(error: PyMongoError) -> bool:
    """Whether the database is there and takes too long; to wait in vain for one to be there is another matter."""
    if isinstance(error, ServerSelectionTimeoutError):
        return False
    return isinstance(error, ExecutionTimeout | NetworkTimeout | WTimeoutError) or error.timeout


_PERHAPS = (
    " The change was not confirmed: it may or may not have been kept. Read before you send it again,"
    " or send it in a form that is safe to repeat (PUT, or POST with If-None-Exist)."
)
