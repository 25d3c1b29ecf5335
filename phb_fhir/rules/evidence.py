"""Evidence: what a receipt, an invoice or a statement says of its file is so (R16).

A DocumentReference of `phb-evidence-type` holds the file itself or points to a Binary here. Its size and its hash (SHA-1, as R4 has it) are
those of the file, so that what is served back years later can be told to be what was handed in. Which kinds of file are taken, and how
large, the settings say.

Evidence is kept for so many years (`evidence_years` of the commissioner's policy) after the financial year of the purchase, which ends with
March: it is not deleted before, nor its file changed for another, nor said to be about somebody else. One that was never meant is entered
in error; its record stays.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from datetime import date
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.outcome import Issue
from phb_fhir.rules.around import policy_of
from phb_fhir.rules.budget import in_words
from phb_fhir.rules.case import NOTHING, Asking, Case, Decision, EvidenceLimits, Find, Judging, Read, Sees, refusal
from phb_fhir.rules.purchase import account_of, occurrence
from phb_fhir.rules.words import EVIDENCE_TYPE, code_in, key_of


def is_evidence(document: Resource) -> bool:
    return bool(code_in(document.get("type"), EVIDENCE_TYPE))


def judge_evidence(case: Case) -> Judging:
    """What speaks against the files of a DocumentReference that is evidence, and against taking it away. What stood already is let be."""
    document, issues = case.after, list[Issue]()
    if case.before is not None and is_evidence(case.before) and not _is_there_still(case.before, document):
        issues += yield from _kept(case, case.key, "DocumentReference")
    if issues or document is None or not is_evidence(document) or document.get("status") == "entered-in-error":
        return Decision(tuple(issues))
    if case.before is not None and case.before.get("content") == document.get("content"):
        return NOTHING
    limits: EvidenceLimits = yield EvidenceLimits()
    for index, content in enumerate(document.get("content", ())):
        attachment = content.get("attachment") or {}
        at = f"DocumentReference.content[{index}].attachment"
        issues += _of_a_kind_that_is_taken(attachment, limits, at)
        key = key_of(attachment.get("url"))
        if "data" in attachment:
            issues += _as_it_says(attachment, _bytes(attachment["data"]), limits, at)
        elif key.startswith("Binary/"):
            binary = (yield Read(key))[key] if key in (yield Sees(key)) else None  # no hash of what is hidden is told
            issues += _of_the_binary(attachment, binary, key, at)
            issues += _as_it_says(attachment, _bytes((binary or {}).get("data")), limits, at) if binary else []
    return Decision(tuple(issues))


def judge_file(case: Case) -> Judging:
    """A file that is evidence stays as long as the DocumentReference that points to it, and stays the file of which that tells size and hash."""
    before, after = case.before or {}, case.after
    if after is not None and all(before.get(name) == after.get(name) for name in _FILE):
        return NOTHING
    documents: list[Resource] = yield Find("DocumentReference", ("location", case.key))
    issues: list[Issue] = []
    for one in documents:
        if is_evidence(one) and after is not None:
            issues += _is_told_of(one, case.key, after)
        if is_evidence(one) and (after is None or before.get("securityContext") != after.get("securityContext")):
            issues += yield from _kept(case, f"DocumentReference/{one['id']}", "Binary")
    return Decision(tuple(issues[:1]))


_FILE = ("data", "contentType", "securityContext")


def _is_told_of(document: Resource, key: str, binary: Resource) -> Iterator[Issue]:
    """Why a file is no more what a document says of it. One that was entered in error says nothing any more."""
    attachments = [content.get("attachment") or {} for content in document.get("content", ())]
    for one in attachments if document.get("status") != "entered-in-error" else ():
        if key_of(one.get("url")) != key:
            continue
        wrong = [
            *_of_the_binary(one, binary, key, "Binary"),
            *_as_it_says(one, _bytes(binary.get("data")), EvidenceLimits(), "Binary"),
        ]
        if wrong:
            text = (
                "This file is evidence, and is served back as it was handed in: it is not changed for another. Hand in the other one as evidence"
                " of its own."
            )
            yield refusal(text, "Binary")


def _is_there_still(before: Resource, after: Resource | None) -> bool:
    """Whether what was evidence is so still: about the same person, with every file that it had."""
    if after is None or not is_evidence(after) or not _files(before) <= _files(after):
        return False
    return key_of(before.get("subject")) in ("", key_of(after.get("subject")))


def _files(document: Resource) -> frozenset[str]:
    attachments = (content.get("attachment") or {} for content in document.get("content", ()))
    return frozenset(str(one.get("hash") or one.get("url") or one.get("data")) for one in attachments)


# ---- how long it is kept -------------------------------------------------------------------------


def _kept(case: Case, evidence: str, at: str) -> Asking[list[Issue]]:
    """Why evidence cannot be deleted yet: by the purchase that needs it longest."""
    charges: list[Resource] = yield Find("ChargeItem", ("evidence", evidence), ("status", ",".join(_MONEY_MOVED)))
    longest: tuple[date, int, str] | None = None
    for charge in charges:
        account = yield from account_of(charge)
        budget: Resource | None = (yield Read(account))[account] if account else None
        policy = yield from policy_of((budget or {}).get("owner"))
        kept = (kept_until(charge, policy.evidence_years, case.today), policy.evidence_years, _name(charge))
        longest = kept if longest is None else max(longest, kept)
    if longest is None or longest[0] < case.today:
        return []
    until, years, name = longest
    text = (
        f"This is evidence of {name}, and is kept until {in_words(until)}: {years} years after the financial year that the purchase was"
        " made in. If it was never meant, mark it as entered in error; its record stays."
    )
    return [refusal(text, at)]


_MONEY_MOVED = ("billable", "billed", "not-billable")


def kept_until(charge: Resource, years: int, today: date) -> date:
    """The last day on which the evidence of a purchase is kept. One that does not say when it was is taken to be of today."""
    day = occurrence(charge).end or today
    end = day.year if day.month <= _MARCH else day.year + 1
    return date(min(end + years, date.max.year), _MARCH, 31)


_MARCH = 3  # in which financial years end


def _name(charge: Resource) -> str:
    return str((charge.get("code") or {}).get("text") or f"ChargeItem/{charge.get('id')}")


# ---- what it says of its file --------------------------------------------------------------------


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
