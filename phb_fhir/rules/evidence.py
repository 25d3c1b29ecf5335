"""Evidence: what a receipt, an invoice or a statement says of its file is so (R16).

A DocumentReference of `phb-evidence-type` holds the file itself or points to a Binary here. Its size and its hash (SHA-1, as R4 has it) are
those of the file, so that what is served back years later can be told to be what was handed in. Which kinds of file are taken, and how
large, the settings say.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.outcome import Issue
from phb_fhir.rules.case import NOTHING, Case, Decision, EvidenceLimits, Judging, Read, refusal
from phb_fhir.rules.words import BASE, code_in, key_of

EVIDENCE = f"{BASE}/CodeSystem/phb-evidence-type"


def is_evidence(document: Resource) -> bool:
    return bool(code_in(document.get("type"), EVIDENCE))


def judge_evidence(case: Case) -> Judging:
    """What speaks against the files of a DocumentReference that is evidence. What stood already is let be."""
    document = case.after
    if document is None or not is_evidence(document) or document.get("status") == "entered-in-error":
        return NOTHING
    if case.before is not None and case.before.get("content") == document.get("content"):
        return NOTHING
    limits: EvidenceLimits = yield EvidenceLimits()
    issues: list[Issue] = []
    for index, content in enumerate(document.get("content", ())):
        attachment = content.get("attachment") or {}
        at = f"DocumentReference.content[{index}].attachment"
        issues += _of_a_kind_that_is_taken(attachment, limits, at)
        key = key_of(attachment.get("url"))
        if "data" in attachment:
            issues += _as_it_says(attachment, _bytes(attachment["data"]), limits, at)
        elif key.startswith("Binary/"):
            binary = (yield Read(key))[key]
            issues += _of_the_binary(attachment, binary, key, at)
            issues += _as_it_says(attachment, _bytes((binary or {}).get("data")), limits, at) if binary else []
    return Decision(tuple(issues))


def _of_a_kind_that_is_taken(attachment: dict[str, Any], limits: EvidenceLimits, at: str) -> Iterator[Issue]:
    kind = _kind(attachment.get("contentType"))
    if kind and limits.types and kind not in limits.types:
        text = f"Evidence of the type {kind} is not taken here; it is one of {', '.join(limits.types)}."
        yield refusal(text, f"{at}.contentType")


def _of_the_binary(attachment: dict[str, Any], binary: Resource | None, key: str, at: str) -> Iterator[Issue]:
    if binary is None:
        yield refusal(f"There is no {key}.", f"{at}.url")
    elif _kind(binary.get("contentType")) != _kind(attachment.get("contentType")):
        text = (
            f"{key} is of the type {binary.get('contentType')}, and the document says {attachment.get('contentType')}."
        )
        yield refusal(text, f"{at}.contentType")


def _as_it_says(attachment: dict[str, Any], file: bytes | None, limits: EvidenceLimits, at: str) -> Iterator[Issue]:
    """Whether size and hash are those of the file, and it is not too large."""
    if file is None:
        return
    if limits.bytes_max and len(file) > limits.bytes_max:
        text = f"The file has {len(file):,} bytes; at most {limits.bytes_max:,} are taken."
        yield refusal(text, at)
    if attachment.get("size", len(file)) != len(file):
        yield refusal(f"The file has {len(file)} bytes, and the document says {attachment['size']}.", f"{at}.size")
    digest = base64.b64encode(hashlib.sha1(file, usedforsecurity=False).digest()).decode()
    if attachment.get("hash", digest) != digest:
        yield refusal(f"The file's hash (SHA-1, base64) is {digest}, and the document says another.", f"{at}.hash")


def _bytes(data: Any) -> bytes | None:
    try:
        return base64.b64decode("".join(data.split()), validate=True) if isinstance(data, str) else None
    except (binascii.Error, ValueError):
        return None  # what is no base64 is for R4's own rules to say


def _kind(content_type: Any) -> str:
    """`application/pdf` of `application/pdf; charset=…`."""
    return content_type.partition(";")[0].strip().lower() if isinstance(content_type, str) else ""
