"""Is a resource what FHIR R4 and its profiles say it should be?

`validate` is the one way in. It walks the resource once against its type (`structure`, which reads as the table of
contents of the rules), holds it and the resources inside it against their profiles (`selection`, `profile`), and answers
with every problem in the order of the document. Nothing here raises, waits, fetches, or looks at a clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from phb_fhir.definitions.load import Definitions
from phb_fhir.definitions.registry import Registry, core
from phb_fhir.definitions.terminology import Terminology
from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation.frame import Frame, Run
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
    today: date | None = None,
    closed: bool = False,
    keeps_unknown: bool = False,
) -> list[Issue]:
    """What is wrong with `resource`, in the order of the document; empty when nothing is.

    `profiles` are canonical URLs it is held against beside those it claims. `known` are the conformance resources to go
    by, R4's own where none are given. `terminology` answers for codes, made from `known`
    where it is not given. `today` is what limits relative to now count from; without it they are not checked.
    `closed` makes unknown extensions errors. `keeps_unknown` is for whoever only keeps the resource for others to read:
    an unknown modifier extension is then a warning, and otherwise an error.

    Locations are FHIRPath with indexes (`Patient.contact[1].name.family`); a choice is named as FHIRPath names it
    (`Observation.value` for `valueQuantity`).
    """
    known = known if known is not None else core(definitions)
    run = Run(
        definitions,
        known,
        terminology or known.derived(_terminology),
        [],
        _conforms,
        asked=tuple(profiles),
        today=today,
        closed=closed,
        keeps_unknown=keeps_unknown,
    )
    name = resource.get("resourceType") if type(resource) is dict else ""
    try:
        check_structure(Frame(run, resource, name if type(name) is str else ""))
    except RecursionError:
        text = "The resource nests too deep to be checked."
        run.issues.append(Issue(Kind.TOO_COSTLY, text, short(str(name))))
    issues = in_document_order(run.issues, resource) if run.issues else run.issues
    if len(issues) > ISSUES_MAX:
        more = f"There are {len(issues) - ISSUES_MAX} more problems; the first {ISSUES_MAX} are listed."
        return [*issues[:ISSUES_MAX], Issue(Kind.INFORMATIONAL, more, severity="information")]
    return issues


def _conforms(frame: Frame, url: str, node: Any) -> bool | None:
    """FHIRPath's conformsTo."""
    type_name = str(node.get("resourceType", "")) if type(node) is dict else ""
    return plans_of(frame.known).conforms(Occurrence(node, None, type_name, frame.at, None, frame), url)


def _terminology(known: Registry) -> Terminology:
    """The codes of what is known here."""
    added = (r for kind in ("CodeSystem", "ValueSet") for rs in known.resources.get(kind, {}).values() for r in rs)
    return Terminology.of(known.definitions, added)
