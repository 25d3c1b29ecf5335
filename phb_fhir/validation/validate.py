"""Is a resource what FHIR R4 and its profiles say it should be?

`validate` is the one way in. It walks the resource once against its type (`structure`, which reads as the table of
contents of the rules), holds it and the resources inside it against their profiles (`selection`, `profile`), and answers
with every problem in the order of the document. Nothing here raises, waits, fetches, or looks at a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from phb_fhir.definitions.load import Definitions
from phb_fhir.definitions.registry import Registry, core
from phb_fhir.definitions.terminology import Terminology, terminology_of
from phb_fhir.definitions.trail import path_of
from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation.frame import STEPS_MAX, Findings, Frame, Mode, Run, TooCostly, TooManyErrors
from phb_fhir.validation.order import in_document_order
from phb_fhir.validation.places import Occurrence
from phb_fhir.validation.profile import plans_of
from phb_fhir.validation.structure import check_structure
from phb_fhir.validation.wording import short

ISSUES_MAX = 1_000  # an answer a person can still read, and one that cannot outgrow the request by much


def validate(
    resource: dict[str, Any],
    definitions: Definitions,
    profiles: Sequence[str] = (),
    *,
    known: Registry | None = None,
    terminology: Terminology | None = None,
    today: Callable[[], date] | date | None = None,
    closed: bool = False,
    keeps_unknown: bool = False,
    mode: Mode = "error",
    governed: Sequence[str] = (),
) -> list[Issue]:
    """What is wrong with `resource`, in the order of the document; empty when nothing is.

    `profiles` are canonical URLs it is held against beside those it claims. `known` are the conformance resources to go
    by, R4's own where none are given. `terminology` answers for codes, made from `known`
    where it is not given. `today` is what limits relative to now count from, or how to find it out; without it they are
    not checked.
    `closed` makes unknown extensions errors, but for those at addresses that are kept for examples. `keeps_unknown` is for
    whoever only keeps the resource for others to read: an unknown modifier extension, and a code that its system does not
    have, are then warnings, and otherwise errors.
    `mode` is what becomes of problems against profiles other than those in `profiles`: "error" leaves them as they are,
    "warn" makes errors warnings, "off" does not look. `governed` are profiles that govern the resource by what it refers
    to, as only somebody who reads can tell (`governed.open_questions`); what is at hand is found out here.

    Locations are FHIRPath with indexes (`Patient.contact[1].name.family`); a choice has the type it has there
    (`Observation.value.ofType(Quantity)` for `valueQuantity`).
    """
    known = known if known is not None else core(definitions)
    run = Run(
        definitions,
        known,
        terminology or terminology_of(known),
        Findings(),
        _conforms,
        asked=tuple(profiles),
        day=today,
        closed=closed,
        keeps_unknown=keeps_unknown,
        mode=mode,
        governed=tuple(governed),
    )
    found, at_least = _found(run, resource)
    return _listed(in_document_order(found, resource, definitions), at_least) if found else found


def _found(run: Run, resource: dict[str, Any]) -> tuple[list[Issue], str]:
    """What the walk came upon, with why it ended before its time; and what to say before their number where it did."""
    name = resource.get("resourceType") if type(resource) is dict else ""
    try:
        check_structure(Frame(run, resource, name if type(name) is str else ""))
    except RecursionError:
        text = "The resource nests too deep to be checked."
        return [*run.issues, Issue(Kind.TOO_COSTLY, text, short(str(name)))], ""
    except TooCostly as ended:
        text = f"Holding this against its profiles takes more than {STEPS_MAX} steps; the rest was not looked at."
        return [*run.issues, Issue(Kind.TOO_COSTLY, text, path_of(ended.at))], ""
    except TooManyErrors:
        return run.issues, "at least "
    return run.issues, ""


def _listed(issues: list[Issue], at_least: str) -> list[Issue]:
    """As many as an answer may hold, errors before anything else: one that was left out would be one that was allowed."""
    errors = sum(issue.is_error for issue in issues)
    room = {True: ISSUES_MAX, False: max(0, ISSUES_MAX - errors)}
    kept: list[Issue] = []
    for issue in issues:
        if room[issue.is_error]:
            room[issue.is_error] -= 1
            kept.append(issue)
    if len(kept) < len(issues):
        more = (
            f"There are {at_least}{len(issues) - len(kept)} more problems; {len(kept)} are listed, errors first of all."
        )
        kept.append(Issue(Kind.INFORMATIONAL, more, severity="information"))
    return kept


def _conforms(frame: Frame, url: str, node: Any) -> bool | None:
    """FHIRPath's conformsTo."""
    type_name = str(node.get("resourceType", "")) if type(node) is dict else ""
    return plans_of(frame.known).conforms(Occurrence(node, None, type_name, frame.at, None, frame), url)
