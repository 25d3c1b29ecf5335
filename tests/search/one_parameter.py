"""One search parameter by itself: what is kept of some elements, what a value asks, and whether they meet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from phb_fhir.definitions.load import SearchParameter, load
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.search.kinds import KINDS
from phb_fhir.search.kinds.kind import Asked, Index
from phb_fhir.search.match import Subject, match
from phb_fhir.search.own import OwnBase

OWN = OwnBase("http://this.server/fhir")


def r4(type_, code):
    return load().search_parameters(type_)[code]


def made_up(type_, code="p", expression="", target=()):
    """A parameter of which nobody knows what it looks at."""
    return SearchParameter("", code, type_, expression, "", target=target)


VALUE_SETS = {
    "http://acme.org/vs": [("urn:zoo", "dog"), ("urn:zoo", "cat"), ("", "fish")],
    "ValueSet/none": [],
}
ABOVE = {
    "animal": ["animal"],
    "dog": ["dog", "animal"],
    "poodle": ["poodle", "dog", "animal"],
    "cat": ["cat", "animal"],
}


class KnownCodes:
    """Two value sets and one small hierarchy: animal > dog > poodle, animal > cat."""

    def members(self, value_set: str) -> Sequence[tuple[str, str]]:
        if value_set not in VALUE_SETS:
            raise refuse(Refusal.BAD_REQUEST, Kind.NOT_FOUND, f"The value set {value_set} is not known here.")
        return VALUE_SETS[value_set]

    def related(self, system: str, code: str, relation: str) -> Sequence[tuple[str, str]]:
        if system != "urn:zoo" or code not in ABOVE:
            raise refuse(Refusal.BAD_REQUEST, Kind.CODE_INVALID, f"{system}|{code} is not known here.")
        below = [one for one, above in ABOVE.items() if code in above]
        return [(system, one) for one in (ABOVE[code] if relation == "above" else below)]


def asked(parameter, text, modifier="", codes=None):
    """What a value of a query asks."""
    return KINDS[parameter.type].parse(Asked(parameter, modifier, text, codes or KnownCodes(), OWN))


def refused(parameter, text, modifier="", codes=None):
    """The kind and the sentence of its refusal."""
    with pytest.raises(Rejected) as caught:
        asked(parameter, text, modifier, codes)
    assert caught.value.refusal is Refusal.BAD_REQUEST
    (issue,) = caught.value.issues
    return issue.kind, issue.text


def indexed(parameter, *values, is_list=True):
    made = Index()
    KINDS[parameter.type].index(made, parameter, values, is_list, OWN)
    return made


def keys(parameter, *values):
    return list(indexed(parameter, *values).keys)


def holds(node, index):
    return match(node, Subject("Patient", "1", datetime(2026, 1, 1, tzinfo=UTC), index, {}))


def finds(parameter, text, *values, modifier="", codes=None):
    """Whether the value of a query finds a resource with these elements."""
    return holds(asked(parameter, text, modifier, codes), indexed(parameter, *values))


def written(*parts, separator="|"):
    """Parts as they stand in a query: their own bars, commas, dollars and backslashes escaped."""
    return separator.join("".join(f"\\{letter}" if letter in "\\|,$" else letter for letter in part) for part in parts)
