"""Everything a resource is held to, in one ordered list.

`validate` runs each check of `CHECKS` over the resource and collects what they say. No check raises, waits,
or looks at anything but the resource and the definitions, and none stops the next: a person sees all that is
wrong at once.

What comes later (profiles with their slices, invariants, terminology) is one more row each in `CHECKS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation.structure import check_structure

if TYPE_CHECKING:
    from collections.abc import Callable

    from phb_fhir.definitions.load import Definitions

    Check: TypeAlias = Callable[[dict[str, Any], Definitions], list[Issue]]

ISSUES_MAX = 1_000  # an answer a person can still read, and one that cannot outgrow the request by much

CHECKS: tuple[Check, ...] = (
    check_structure,  # types, properties, cardinality, primitives, required bindings, narrative
)


def validate(resource: dict[str, Any], definitions: Definitions) -> list[Issue]:
    """What is wrong with `resource`, in the order of the document; empty when nothing is.

    Locations are FHIRPath with indexes (`Patient.contact[1].name.family`); a choice is named as FHIRPath
    names it (`Observation.value` for `valueQuantity`).
    """
    issues = [issue for check in CHECKS for issue in check(resource, definitions)]
    if len(issues) > ISSUES_MAX:
        more = f"There are {len(issues) - ISSUES_MAX} more problems; the first {ISSUES_MAX} are listed."
        return [*issues[:ISSUES_MAX], Issue(Kind.INFORMATIONAL, more, severity="information")]
    return issues
