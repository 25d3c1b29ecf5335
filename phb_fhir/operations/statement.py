"""Account/[id]/$statement: every movement of a budget's money over a time, with what it was for (R12, R17, R150; E3).

`format` says in which form: `parameters` (where it does not say), `bundle` (a searchset with the statement and all that it names),
`csv` for spreadsheets, `html` for a page to print. The last two are a Binary, sent as its content over HTTP; `_format` and Accept
ask for them as well, by `text/csv` and `text/html`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from phb_fhir.definitions.operation_inputs import Inputs, bad_input, read_inputs
from phb_fhir.fhir.codec import dumps
from phb_fhir.fhir.dates import instant_text
from phb_fhir.fhir.reference import unversioned
from phb_fhir.interactions.apart import apart
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, BundleAnswer, Entry, FhirRequest
from phb_fhir.operations.asked import answered, binary_of, instance_of, parameters_of
from phb_fhir.operations.budgets import budget_asked, moment_in
from phb_fhir.reports.page import HTML
from phb_fhir.reports.purchases import too_much
from phb_fhir.reports.statement import Statement, cause_key, read_statement
from phb_fhir.reports.statement_csv import as_csv
from phb_fhir.reports.statement_fhir import as_parameters
from phb_fhir.reports.statement_page import as_page
from phb_fhir.rules.budget import plan_of

NAME = "$statement"
CSV = "text/csv"
FORMS = (CSV, HTML)
NAMED_MAX = 5_000  # resources that go with a statement in a Bundle
_TAKES = {"start": True, "end": True, "format": True}
_FORMATS = {"parameters": "", "bundle": "bundle", "csv": CSV, "html": HTML}
_WRITERS: Mapping[str, tuple[str, Callable[[Statement], bytes]]] = {
    CSV: ("text/csv;charset=utf-8;header=present", as_csv),
    HTML: ("text/html;charset=utf-8", as_page),
}
_HEAVY_BYTES = 1_000_000  # so that a statement is written in a thread, of whatever size


async def statement(context: Context, request: FhirRequest) -> Answer:
    """Raises Rejected: 400 for inputs, 404, 410; 422 for an account that is no budget, and for too much in one statement."""
    inputs = read_inputs(NAME, parameters_of(context.known, request, NAME), _TAKES)
    form = _form(inputs, request)
    start, end = moment_in(context, inputs, "start", first=True), moment_in(context, inputs, "end")
    now = context.now()
    end = now if end is None or end > now else end
    if start is not None and start > end:
        raise bad_input('"start" is after "end".')
    account = await budget_asked(context, request)
    found = await read_statement(context, account, start, end)
    if form == "bundle":
        return await _bundled(context, request, found)
    if form:
        content_type, write = _WRITERS[form]
        return binary_of(content_type, await apart(_HEAVY_BYTES, write, found))
    return answered(context, request, as_parameters(found))


def _form(inputs: Inputs, request: FhirRequest) -> str:
    asked = inputs.text("format")
    if not asked:
        return request.form
    if asked not in _FORMATS:
        raise bad_input(f'"format" is one of {", ".join(_FORMATS)}.')
    return _FORMATS[asked]


async def _bundled(context: Context, request: FhirRequest, found: Statement) -> Answer:
    """The statement, and with it the budget and all that it names, as far as the one who asks may see it."""
    keys = _named(found, f"{request.type}/{instance_of(request)}")
    if len(keys) > NAMED_MAX:
        raise too_much("purchases and documents")
    versions = [one for one in (await context.reader.read_all(keys)).values() if one.json is not None]
    place = {key: number for number, key in enumerate(keys)}
    versions.sort(key=lambda one: place[one.key])
    told = [
        Entry("", dumps(as_parameters(found)), "match"),
        *(Entry(f"{request.base}/{one.key}", one.json, "include", version=one) for one in versions),
    ]
    first, last = (instant_text(found.start), instant_text(found.end)) if found.start else ("", instant_text(found.end))
    asked = "&".join([*([f"start={first}"] if first else []), f"end={last}", "format=bundle"])
    link = f"{request.base}/{'/'.join(request.segments)}?{asked}"
    return Answer(200, bundle=BundleAnswer("searchset", told, 1, (("self", link),)))


def _named(found: Statement, account: str) -> list[str]:
    keys = [account, plan_of(found.account)]
    keys += [key for line in found.lines for key in (line.about.key, cause_key(line.entry), line.account)]
    for trail in found.purchases:
        keys += [trail.key, unversioned(trail.plan)]
        keys += [one.key for one in (*trail.evidence, *trail.goals)] + [one.key for one in trail.payments]
    return [key for key in dict.fromkeys(keys) if key]
