"""References, ids and URIs, as text (R4 §2.3, §2.24.0.1 id)."""

from __future__ import annotations

import re

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S")


def is_id(text: str) -> bool:
    """Whether `text` can be a resource's logical id."""
    return _ID.fullmatch(text) is not None


def unversioned(reference: str) -> str:
    """`Patient/1` of `Patient/1/_history/2`; of any other reference, itself."""
    return reference.partition("/_history/")[0]


def has_scheme(uri: str) -> bool:
    """Whether a URI says of itself what it is, and so is not relative to anything: `urn:…`, but not `12:00` (RFC 3986 §3.1)."""
    return _SCHEME.match(uri) is not None
