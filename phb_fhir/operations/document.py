"""CarePlan/[id]/$document: a copy of a plan to keep (R99), for the person and for whoever may read the plan.

`format` says in which form: `document` (where it does not say), a FHIR document (R4 §3.3) with all that the plan names, as far as the one who
asks may see it; or `html`, a page to read and to print, which `_format` and Accept ask for by `text/html` as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from phb_fhir.definitions.operation_inputs import bad_input, read_inputs
from phb_fhir.fhir.codec import Resource, dumps
from phb_fhir.fhir.dates import instant_text
from phb_fhir.interactions.apart import apart
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, BundleAnswer, Entry, FhirRequest
from phb_fhir.operations.asked import binary_of, parameters_of
from phb_fhir.operations.sign_off import plan_asked
from phb_fhir.reports.page import HTML, as_page
from phb_fhir.reports.plan_copy import Copy, Section, read_copy, sections
from phb_fhir.rules.plan import IN_FORCE, status_of
from phb_fhir.rules.words import concept, key_of

NAME = "$document"
FORMS = (HTML,)
_FORMATS = {"document": "", "html": HTML}
_LOINC = "http://loinc.org"
_AUTHORS = frozenset(("Practitioner", "PractitionerRole", "Device", "Patient", "RelatedPerson", "Organization"))
_HEAVY_BYTES = 1_000_000  # so that it is written in a thread, of whatever size


async def document(context: Context, request: FhirRequest) -> Answer:
    """Raises Rejected: 400 for inputs, 404, 410; 422 for a CarePlan that goes with no budget, and for one with too much around it."""
    inputs = read_inputs(NAME, parameters_of(context.known, request, NAME), {"format": True})
    form = inputs.text("format")
    if form and form not in _FORMATS:
        raise bad_input(f'"format" is one of {", ".join(_FORMATS)}.')
    copy = await read_copy(context, await plan_asked(context, request))
    if (_FORMATS[form] if form else request.form) == HTML:
        page = binary_of(f"{HTML};charset=utf-8", await apart(_HEAVY_BYTES, _page, copy))
        return page._replace(about=tuple(copy.seen.values()))
    return _document(context, request, copy)


def _page(copy: Copy) -> bytes:
    body = [f"<p>A copy of the plan of {copy.person or 'this person'}, as it stands.</p>"]
    for section in sections(copy):
        body += [f"<h2>{section.title}</h2>", *section.parts]
    return as_page(copy.title, body)


# ---- as a FHIR document --------------------------------------------------------------------------


def _document(context: Context, request: FhirRequest, copy: Copy) -> Answer:
    now = instant_text(context.now())
    made = _composition(copy, request.base, now)
    named = [*_named(made, request.base), *(key for key in copy.seen)]
    versions = [copy.seen[key] for key in dict.fromkeys([copy.record.key, *named]) if key in copy.seen]
    entries = [
        Entry(f"urn:uuid:{context.new_id()}", dumps(made)),
        *(Entry(f"{request.base}/{one.key}", one.json, version=one) for one in versions),
    ]
    identifier = {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{context.new_id()}"}
    return Answer(200, bundle=BundleAnswer("document", entries, identifier=identifier, timestamp=now))


def _composition(copy: Copy, base: str, now: str) -> Resource:
    """The head of the document. Its references are absolute, as the entries they lead to are named."""
    owners = [one["owner"] for one in copy.record.budgets if one.get("owner")]
    plan = copy.plan
    authors = [one for one in (plan.get("author"), *plan.get("contributor", ())) if _may_write(one)]
    made: dict[str, Any] = {
        "resourceType": "Composition",
        "language": "en-GB",
        "status": _status(plan),
        "type": concept(_LOINC, "18776-5", "Plan of care note"),
        "subject": _absolute(copy, base, plan["subject"]),
        "date": now,
        "author": [_absolute(copy, base, one) for one in authors or owners or [plan["subject"]]],
        "title": copy.title,
    }
    if owners:
        made["custodian"] = _absolute(copy, base, owners[0])
    return {**made, "section": [_section(base, one) for one in sections(copy)]}


def _status(plan: Resource) -> str:
    status = status_of(plan)
    return "final" if status in (*IN_FORCE, "completed") else "preliminary" if status == "draft" else "entered-in-error"


def _may_write(reference: Any) -> bool:
    return isinstance(reference, dict) and key_of(reference).partition("/")[0] in _AUTHORS


def _absolute(copy: Copy, base: str, reference: Resource) -> dict[str, Any]:
    """The reference by the address its entry has; what the one who asks may not see has its name alone."""
    key, name = key_of(reference), copy.called(reference)
    if key in copy.seen:
        return {"reference": f"{base}/{key}", **({"display": name} if name else {})}
    return {"display": name or "Somebody who is not named here"}


def _section(base: str, section: Section) -> dict[str, Any]:
    div = '<div xmlns="http://www.w3.org/1999/xhtml">' + "\n".join(section.parts) + "</div>"
    made: dict[str, Any] = {"title": section.title, "text": {"status": "generated", "div": div}}
    if section.keys:
        made["entry"] = [{"reference": f"{base}/{key}"} for key in dict.fromkeys(section.keys)]
    return made


def _named(composition: Resource, base: str) -> Iterable[str]:
    """What the head refers to, in its order: that comes first."""
    head = [composition["subject"], *composition["author"], composition.get("custodian") or {}]
    entries = [one for section in composition["section"] for one in section.get("entry", ())]
    return [one["reference"].removeprefix(f"{base}/") for one in (*head, *entries) if "reference" in one]
