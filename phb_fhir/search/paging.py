"""Where a page ends, in a token that only this server can make and read again.

A page is a position in a fixed order (keyset paging), not a number of rows to skip: nothing is skipped or repeated while
others write. The token binds the position, and whether what follows or what precedes it is wanted, to the search it belongs
to and to a time after which it is refused; it is sealed with a key that all workers share through the database, so it works
across workers and restarts.

The seal hides what it protects, because a position tells of more than the page: in the manner of RFC 5297, the signature of the text
is also where the key stream begins that the text is encrypted with. Both are HMAC-SHA256, each with a key of its own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson

from phb_fhir.outcome import Kind, Refusal, refuse

_SIGNATURE_BYTES = 16
_TOKEN_CHARACTERS_MAX = 4_000


class Place(NamedTuple):
    """Where a page is: what follows `position` in the order of the answer, or `backwards`, what comes before it.

    `position` is as the store gave it; None is before the first, and backwards, behind the last.
    """

    position: list[Any] | None
    backwards: bool = False


class Pager:
    """Seals and opens page tokens with `key`; a token lives `life_s` seconds."""

    def __init__(self, key: bytes, life_s: int) -> None:
        self._signing, self._hiding = (hmac.digest(key, purpose, hashlib.sha256) for purpose in (b"sign", b"hide"))
        self._life = timedelta(seconds=life_s)

    def seal(self, question: str, place: Place, now: datetime) -> str:
        """The token for the page at `place` in the answer to `question`."""
        expires = int((now + self._life).timestamp())
        payload = orjson.dumps([_digest(question), place.position, place.backwards, expires])
        signature = self._sign(payload)
        return _encode(self._hidden(payload, signature)) + "." + _encode(signature)

    def open(self, question: str, token: str, now: datetime) -> Place:
        """The place in `token`. Raises Rejected: 400 if it is not ours or for another question, 410 if it is too old."""
        payload = self._verified(token)
        if payload is None or payload[0] != _digest(question):
            raise refuse(
                Refusal.BAD_REQUEST,
                Kind.INVALID,
                "_page is not a page of this search; follow the links of a Bundle as they are",
            )
        _, position, backwards, expires = payload
        if expires < now.timestamp():
            raise refuse(Refusal.GONE, Kind.INVALID, "This page link has expired; run the search again from its start.")
        return Place(position, backwards)

    def _verified(self, token: str) -> list[Any] | None:
        body, _, signature = token.partition(".")
        if len(token) > _TOKEN_CHARACTERS_MAX:
            return None
        try:
            hidden, given = _decode(body), _decode(signature)
        except ValueError:
            return None
        payload = self._hidden(hidden, given)
        if not hmac.compare_digest(given, self._sign(payload)):
            return None
        made: list[Any] = orjson.loads(payload)
        return made

    def _sign(self, payload: bytes) -> bytes:
        return hmac.digest(self._signing, payload, hashlib.sha256)[:_SIGNATURE_BYTES]

    def _hidden(self, text: bytes, signature: bytes) -> bytes:
        """The text with the key stream of this signature laid over it; the same again brings it back."""
        blocks = range(0, len(text), hashlib.sha256().digest_size)
        stream = b"".join(
            hmac.digest(self._hiding, signature + block.to_bytes(4, "big"), hashlib.sha256) for block in blocks
        )
        return bytes(one ^ other for one, other in zip(text, stream, strict=False))


def _digest(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()[:16]


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    """The bytes that `_encode` made `text` of. Raises ValueError for any other spelling of them: base64 has several."""
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _encode(data) != text:
        raise ValueError(text)
    return data
