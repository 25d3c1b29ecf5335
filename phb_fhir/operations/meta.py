"""$meta, $meta-add, $meta-delete: profiles, tags and security labels (R4 operations Resource-meta, -meta-add, -meta-delete).

Adding or taking away makes a new version: history is append-only and complete, so a version keeps the labels it had. A tag
or label is known by its system and code, so where these agree it is the same one, whatever its display. Adding what is
there, or taking away what is not, changes nothing and makes no version.

$meta of a type, or of everything, tells which profiles, tags and labels are in use; how often, R4 does not ask.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from phb_fhir.change import Patch
from phb_fhir.definitions.operation_inputs import bad_input, read_inputs
from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.commit import commit
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest
from phb_fhir.operations.asked import answered, instance_of, parameters_of, stored
from phb_fhir.outcome import Kind, Refusal, refuse

Meta = dict[str, Any]

LISTS = ("profile", "security", "tag")
IN_USE_MAX = 1_000  # different profiles, labels or tags that $meta lists of a type
_CODING = re.compile(
    r"((?:[^\\|]|\\.)*)\|(.*)", re.DOTALL
)  # an index entry: the system, its bars escaped, and the code


async def meta(context: Context, request: FhirRequest) -> Answer:
    """What is in meta: of one resource, of a type, of everything. Raises Rejected: 404, 410."""
    read_inputs("$meta", parameters_of(context.known, request, "$meta"), {})
    if instance_of(request):
        return _told(context, request, (await stored(context, request)).get("meta", {}))
    return _told(context, request, await _in_use(context, "" if len(request.segments) == 1 else request.type))


async def meta_add(context: Context, request: FhirRequest) -> Answer:
    """Put the given profiles, tags and labels beside those that are there. Raises Rejected: 404, 410, 422."""
    return await _changed(context, request, "$meta-add", _with)


async def meta_delete(context: Context, request: FhirRequest) -> Answer:
    """Take the given profiles, tags and labels away. Raises Rejected: 404, 410, 422."""
    return await _changed(context, request, "$meta-delete", _without)


async def _changed(
    context: Context, request: FhirRequest, operation: str, change: Callable[[list[Any], list[Any]], list[Any]]
) -> Answer:
    given = read_inputs(operation, parameters_of(context.known, request, operation), {"meta": True}).object("meta")
    if given is None or not any(given.get(name) for name in LISTS):
        raise bad_input(f'{operation} needs a parameter "meta" with the profiles, tags or security labels it is about.')
    if more := sorted(given.keys() - set(LISTS) - {"id"}):
        raise bad_input(f"{operation} is about profiles, tags and security labels; {more[0]} cannot be changed by it.")
    committed = await commit(context, Patch(request.type, instance_of(request), _application(given, change)))
    if committed.version is None:
        raise refuse(Refusal.NOT_FOUND, Kind.NOT_FOUND, f"There is no {request.type}/{instance_of(request)}.")
    return _told(context, request, (await stored(context, request)).get("meta", {}))


def _application(given: Meta, change: Callable[[list[Any], list[Any]], list[Any]]) -> Callable[[Resource], Resource]:
    def apply(resource: Resource) -> Resource:
        before = resource.get("meta", {})
        after = {name: change(before.get(name, []), given.get(name, [])) for name in LISTS}
        kept = {name: value for name, value in before.items() if name not in LISTS or after[name]}
        return {**resource, "meta": {**kept, **{name: items for name, items in after.items() if items}}}

    return apply


def _with(there: list[Any], given: list[Any]) -> list[Any]:
    known = {_name(item) for item in there}
    fresh = {_name(item): item for item in given if _name(item) not in known}
    return [*there, *fresh.values()]


def _without(there: list[Any], given: list[Any]) -> list[Any]:
    gone = {_name(item) for item in given}
    return [item for item in there if _name(item) not in gone]


def _name(item: Any) -> Any:
    return (item.get("system"), item.get("code")) if isinstance(item, dict) else item


async def _in_use(context: Context, type_: str) -> Meta:
    """The profiles, labels and tags that any resource of the type has, as the index knows them."""
    found: Meta = {}
    for name in LISTS:
        entries = await context.reader.entries_in_use((type_,) if type_ else (), f"_{name}=", most=IN_USE_MAX)
        items = [entry.partition("=")[2] for entry in entries]
        found[name] = items if name == "profile" else list(_codings(items))
    return {name: items for name, items in found.items() if items}


def _codings(items: Iterable[str]) -> Iterable[Meta]:
    for item in items:
        match = _CODING.fullmatch(item)
        if match and not item.startswith("*"):
            system = re.sub(r"\\(.)", r"\1", match[1])
            yield {**({"system": system} if system else {}), "code": match[2]}


def _told(context: Context, request: FhirRequest, found: Meta) -> Answer:
    # a resource is never empty, and neither is an element: where there is nothing, the Parameters say so by having none
    rows = [{"name": "return", "valueMeta": found}] if found else []
    return answered(context, request, {"resourceType": "Parameters", **({"parameter": rows} if rows else {})})
