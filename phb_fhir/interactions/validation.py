"""Is this resource fit to be stored? Every problem is named; one error is enough to refuse.

A body that is not the R4 structure it claims to be answers 400, one that is and breaks a rule answers 422 (R4 §3.1.0.8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.subset import SUBSETTED
from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, refuse
from phb_fhir.validation.validate import validate


def check_resource(context: Context, resource: Resource, type_: str) -> None:
    """Raise Rejected unless `resource` is a valid `type_`."""
    if resource.get("resourceType") != type_:
        text = f"The body's resourceType is {resource.get('resourceType')}, and this address is for {type_}."
        raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, text, f"{type_}.resourceType")
    _refuse_subset(resource, type_)
    reject_errors(validate(resource, context.definitions, known=context.known, keeps_unknown=True))


def _refuse_subset(resource: Resource, type_: str) -> None:
    """What `_summary` or `_elements` gave is a part; written back, it would erase the rest (R4 §3.1.1.5.8)."""
    meta = resource.get("meta")
    tags = meta.get("tag") if isinstance(meta, dict) else None
    for index, tag in enumerate(tags if isinstance(tags, list) else ()):
        if isinstance(tag, dict) and (tag.get("system"), tag.get("code")) == (SUBSETTED["system"], SUBSETTED["code"]):
            text = "This is a part of a resource (tagged SUBSETTED), and would replace the whole. Read it without _summary and _elements, and change that."
            raise refuse(Refusal.UNPROCESSABLE, Kind.BUSINESS_RULE, text, f"{type_}.meta.tag[{index}]")


def reject_errors(issues: Sequence[Issue]) -> None:
    """Raise Rejected with the errors, if there are any; what is only advice is for $validate to give."""
    errors = [issue for issue in issues if issue.is_error]
    if errors:
        structural = any(issue.kind is Kind.STRUCTURE for issue in errors)
        raise Rejected(Refusal.BAD_REQUEST if structural else Refusal.UNPROCESSABLE, *errors)


def relocated(rejected: Rejected, place: str) -> Rejected:
    """The same refusal, its locations told from `place` (`Bundle.entry[3].resource`) instead of the resource's root."""
    return Rejected(rejected.refusal, *(_moved(issue, place) for issue in rejected.issues))


def told_of_entry(rejected: Rejected, place: str, entry: dict[str, Any]) -> Rejected:
    """The same refusal, told of the Bundle's `entry` at `place` (`Bundle.entry[3]`).

    At the element of the entry's resource that is at fault; at the resource, where it is a patch and the fault is in what
    it would make; and at the request, where no element is to blame.
    """
    resource = entry.get("resource")
    type_ = resource.get("resourceType") if isinstance(resource, dict) else None
    return Rejected(rejected.refusal, *(_told(issue, place, type_) for issue in rejected.issues))


def _told(issue: Issue, place: str, type_: Any) -> Issue:
    if issue.expression.partition(".")[0] == type_:
        return _moved(issue, f"{place}.resource")
    return replace(issue, expression=f"{place}.resource" if issue.expression else f"{place}.request")


def _moved(issue: Issue, place: str) -> Issue:
    _, dot, rest = issue.expression.partition(".")
    return replace(issue, expression=place + dot + rest)
