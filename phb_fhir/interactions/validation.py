"""Is this resource fit to be stored? Every problem is named; one error is enough to refuse.

A body that is not the R4 structure it claims to be answers 400, one that is and breaks a rule answers 422 (R4 §3.1.0.8).

It happens in two steps. `checked` looks at what the resource itself says, before anything is read: R4's rules, the profiles
it claims, and those that govern it by a code. `govern` is asked by `commit`, inside the transaction where there is one, with
everything that is about to be written: which profiles govern a resource by what it refers to, whether one that was governed
stays so, and whether this server takes it at all. Only resources of types that some profile governs cost anything there, and
of those only the ones that do not already claim their profile. `judged` does both, for those who ask and do not write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from phb_fhir.change import Change, Create, Put, Version
from phb_fhir.definitions.registry import Registry
from phb_fhir.definitions.search_parameters import SearchParameters
from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.apart import apart
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.subset import SUBSETTED
from phb_fhir.interactions.targets import Targets
from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, Severity, refuse
from phb_fhir.search.usable import why_unusable
from phb_fhir.settings import Settings
from phb_fhir.store.store import Reader
from phb_fhir.validation.governed import (
    Question,
    Rows,
    claimed,
    claims_governing,
    governance_of,
    governing_alone,
    open_questions,
)
from phb_fhir.validation.order import in_document_order
from phb_fhir.validation.validate import validate

AnyChange = TypeVar("AnyChange", bound=Change)

# of which a server may take those alone that are PHB resources; of other types, it would lack what these refer to
CLOSED_TYPES = frozenset(("Account", "CarePlan", "ChargeItem", "Task"))
_BEST_PRACTICE = frozenset(("dom-6",))  # R4 marks it as best practice: advice for $validate, not for every write


# ---- by what the resource says -------------------------------------------------------------------


def checked(context: Context, change: AnyChange) -> AnyChange:
    """The same change, its content looked at. Raises Rejected unless it is a valid resource of the change's type."""
    if isinstance(change, Create | Put):
        return replace(change, advice=check_resource(context, change.resource, change.type))
    return change


async def checked_whole(context: Context, change: Create) -> Create:
    """As `checked`, for what is created by itself: what governs it by what it refers to is read first, so that it is looked at once.

    Where it claims its profile already, there is nothing to read.
    """
    rows = governance_of(context.known).of(change.type)
    content = Content(change.type, change.id, change.resource)
    questions = _unknown(context, content, rows) if rows is not None and change.unless is None else []
    if rows is None or not questions:
        return checked(context, change)
    targets = Targets(context, context.reader)
    by_target, more = await targets.governing(questions)
    found = issues_of(context, change.resource, change.type, (), by_target)
    if is_closed(context.settings, change.type) and not by_target:
        more += _not_taken(context, content)
    said = in_document_order([*found, *more], change.resource, context.definitions) if more else found
    return replace(change, advice=advice_in(said), is_governed=True)


def check_resource(context: Context, resource: Resource, type_: str) -> tuple[Issue, ...]:
    """Raise Rejected unless `resource` is a valid `type_`; the advice on one that is."""
    check_type(resource, type_)
    context.knowledge.check_own(resource)
    return advice_in(issues_of(context, resource, type_))


def issues_of(
    context: Context,
    resource: Resource,
    type_: str,
    profiles: Sequence[str] = (),
    governed: Sequence[str] = (),
    known: Registry | None = None,
    parameters: SearchParameters | None = None,
) -> list[Issue]:
    """What is wrong with a resource that is to be stored: by R4, and by its profiles as far as the mode of its type says.

    `profiles` are asked for by name; `governed` are those that govern it by what it refers to. `known` and `parameters`
    are what it is held against, for a caller in a thread: what the server knows is its event loop's to ask.
    """
    found = validate(
        resource,
        context.definitions,
        profiles,
        known=known or context.known,
        today=lambda: context.now().date(),
        keeps_unknown=True,
        mode=context.settings.validation_mode(type_),
        governed=governed,
    )
    if type_ == "SearchParameter" and not any(issue.is_error for issue in found):
        found += why_unusable(resource, context.definitions, parameters or context.parameters)
    return found


async def judged(
    context: Context,
    resource: Resource,
    type_: str,
    profiles: Sequence[str] = (),
    *,
    current: Version | None = None,
    size: int = 0,
) -> list[Issue]:
    """Everything that a write of `resource` as a `type_` would say: errors, warnings and advice, in document order.

    For `$validate`, and whoever else asks before writing. `profiles` are canonical URLs it is held against beside, whatever
    the mode of the type. `current` is the version that it would take the place of; without one, it is judged as a new
    resource. Whether it may stand where it would is not said here: an id that does not agree with the address, a definition
    under a url that is the server's own. One of many bytes
    (`size`) is judged in a thread.
    """
    try:
        check_type(resource, type_)
    except Rejected as rejected:
        return list(rejected.issues)
    known, parameters = context.known, context.parameters
    found = await apart(size, issues_of, context, resource, type_, profiles, known=known, parameters=parameters)
    rows = governance_of(context.known).of(type_)
    if rows is None or any(issue.kind is Kind.STRUCTURE and issue.is_error for issue in found):
        return found
    content = Content(type_, str(resource.get("id", "")), resource, current)
    targets, questions = Targets(context, context.reader), _unknown(context, content, rows)
    return await _governed(context, targets, content, rows, questions, found, profiles)


def check_type(resource: Resource, type_: str) -> None:
    """Raise Rejected for a body of another type than its address is for, or that is a part of a resource."""
    if resource.get("resourceType") != type_:
        said = f"is {named}" if isinstance(named := resource.get("resourceType"), str) else "is missing"
        text = f"The body's resourceType {said}, and this address is for {type_}."
        raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, text, f"{type_}.resourceType")
    _refuse_subset(resource, type_)


def _refuse_subset(resource: Resource, type_: str) -> None:
    """What `_summary` or `_elements` gave is a part; written back, it would erase the rest (R4 §3.1.1.5.8)."""
    meta = resource.get("meta")
    tags = meta.get("tag") if isinstance(meta, dict) else None
    for index, tag in enumerate(tags if isinstance(tags, list) else ()):
        if isinstance(tag, dict) and (tag.get("system"), tag.get("code")) == (SUBSETTED["system"], SUBSETTED["code"]):
            text = "This is a part of a resource (tagged SUBSETTED), and would replace the whole. Read it without _summary and _elements, and change that."
            raise refuse(Refusal.UNPROCESSABLE, Kind.BUSINESS_RULE, text, f"{type_}.meta.tag[{index}]")


def reject_errors(issues: Sequence[Issue]) -> None:
    """Raise Rejected with the errors, if there are any."""
    errors = [issue for issue in issues if issue.is_error]
    if errors:
        structural = any(issue.kind is Kind.STRUCTURE for issue in errors)
        raise Rejected(Refusal.BAD_REQUEST if structural else Refusal.UNPROCESSABLE, *errors)


def advice_in(issues: Sequence[Issue]) -> tuple[Issue, ...]:
    """What the writer of a resource is told beside that it was written. Raises Rejected if it cannot be."""
    reject_errors(issues)
    return tuple(without_best_practice(issues)) if issues else ()


def without_best_practice(issues: Sequence[Issue]) -> list[Issue]:
    """What a write says: what R4 calls best practice is for `$validate` to tell."""
    return [issue for issue in issues if not _is_best_practice(issue)]


def _is_best_practice(issue: Issue) -> bool:
    return any(coding.get("code") in _BEST_PRACTICE for coding in (issue.details or {}).get("coding", ()))


# ---- by what it refers to, and what it was -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Content:
    """What is about to be stored under `type`/`id` in place of `before`; `advice` is what is said of it so far.

    `is_governed`: it was looked at with what it refers to already.
    """

    type: str
    id: str
    resource: Resource
    before: Version | None = None
    advice: tuple[Issue, ...] = ()
    is_governed: bool = False


async def govern(
    context: Context,
    reader: Reader,
    contents: Sequence[Content],
    pending: Mapping[str, Resource | None] | None = None,
    told: Callable[[int, Rejected], Rejected] = lambda _, rejected: rejected,
) -> list[tuple[Issue, ...]]:
    """The advice on each of these contents. Raises Rejected, in the terms `told` puts it for the one at an index.

    `pending` is all that is written with them, by key; None stands for what is deleted.
    """
    governance = governance_of(context.known)
    advice = [content.advice for content in contents]
    concerned: list[tuple[int, Content, Rows, list[Question]]] = []
    for index, content in enumerate(contents):
        rows = governance.of(content.type)
        if rows is None or content.is_governed:
            continue
        questions = _unknown(context, content, rows)
        if questions or content.before is not None or is_closed(context.settings, content.type):
            concerned.append((index, content, rows, questions))
    if not concerned:
        return advice
    targets = Targets(context, reader, pending, context.narrow(reader))
    await targets.read(question for *_, questions in concerned for question in questions)
    for index, content, rows, questions in concerned:
        try:
            found = await _governed(context, targets, content, rows, questions, list(content.advice))
            advice[index] = advice_in(found)
        except Rejected as rejected:
            raise told(index, rejected) from None
    return advice


def _unknown(context: Context, content: Content, rows: Rows) -> list[Question]:
    """The questions whose answers would change how a resource is judged: it does not claim the profile they are about."""
    if not rows.by_target:
        return []
    claims = claimed(content.resource)
    settings = context.settings
    if all(row.profile in claims for row in rows.by_target):
        return []
    if settings.validation_mode(content.type) == "off" and not is_closed(settings, content.type):
        return []
    return [one for one in open_questions(context.known, content.resource) if one.profile not in claims]


async def _governed(
    context: Context,
    targets: Targets,
    content: Content,
    rows: Rows,
    questions: Sequence[Question],
    found: list[Issue],
    profiles: Sequence[str] = (),
) -> list[Issue]:
    """All that is to be said of a content whose type is governed; `found` was said of it without reading."""
    by_target, more = await targets.governing(questions)
    if by_target:
        found = issues_of(context, content.resource, content.type, profiles, by_target)
    more += await _no_longer_governed(context, targets, content, rows)
    if is_closed(context.settings, content.type) and not by_target:
        more += _not_taken(context, content)
    return in_document_order([*found, *more], content.resource, context.definitions) if more else found


async def _no_longer_governed(context: Context, targets: Targets, content: Content, rows: Rows) -> list[Issue]:
    """What was governed stays so: or the way around every rule would be to drop a code, and put it back afterwards."""
    mode = context.settings.validation_mode(content.type)
    before = None if mode == "off" else await targets.last_content(content.before)
    if before is None or all(before.get(name) == content.resource.get(name) for name in rows.elements):
        return []
    lost = await targets.all_governing(before) - await targets.all_governing(content.resource)
    return [_taken_out(context, content, url, rows, "error" if mode == "error" else "warning") for url in sorted(lost)]


def _taken_out(context: Context, content: Content, url: str, rows: Rows, severity: Severity) -> Issue:
    element = rows.element_of(url)
    definition = context.known.find("StructureDefinition", url) or {}
    text = (
        f"{content.type}/{content.id} is governed by the profile {definition.get('title', url)} because of its "
        f'"{element}", and stays so. If that was wrong from the start, take it back (entered-in-error) and make another.'
    )
    return Issue(Kind.BUSINESS_RULE, text, f"{content.type}.{element}", severity)


def is_closed(settings: Settings, type_: str) -> bool:
    """Whether resources of this type are refused unless they are PHB resources."""
    return settings.only_phb_resources and type_ in CLOSED_TYPES


def _not_taken(context: Context, content: Content) -> list[Issue]:
    """What a server that takes PHB resources alone says of any other."""
    known, resource = context.known, content.resource
    if claims_governing(known, resource) or governing_alone(known, resource):
        return []
    ways = governance_of(known).ways(content.type)
    text = f"This server takes PHB resources alone, and this {content.type} is none. It would be one with {ways}."
    return [Issue(Kind.BUSINESS_RULE, text, content.type)]


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
