"""Resources from pools so small that they meet: the same few codes, names, days and amounts (`questions` asks about them).

A value is made in every form FHIR has for it: with and without a system, partial dates and open periods, references that
are relative, absolute, versioned, to another server or by identifier alone, and elements that are missing or say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from tests.search.oracle_values import UCUM

Strategy = st.SearchStrategy[Any]

BASE = "{base}"  # stands for the server's address until it is known
SYSTEMS = ("http://s.example/a", "http://s.example/a", "http://s.example/b", "urn:oid:1.2.36")
CODES = (
    "a",
    "a",
    "a",
    "b",
    "b",
    "A",
    "x,y",
    "p|q",
    "d$1",
    "back\\slash",
    "a b",
    "*",
)  # some so that they meet, some odd
WORDS = (
    "Apple", "apple pie", "Äpfel", "ÉCLAIR", "eclair au café", "O'Brien", "o brien", "Smith-Jones", "Ann  Marie", "ann marie",
    "Carreño Quiñones", "Straße", "STRASSE", "Żak", "(x) y", "100 % wool", "李小龍",
)  # fmt: skip
DAYS = ("2019", "2019-12", "2019-12-31", "2020", "2020-02", "2020-02-29", "2020-03-01", "2021")
MOMENTS = (
    "2019-12-31T23:30:00-01:00", "2020-02-29T10:00:00Z", "2020-02-29T10:00:00.5Z", "2020-02-29T23:30:00-01:00",
    "2020-03-01T00:30:00+01:00", "2020-03-01T00:00:00Z",
)  # fmt: skip
PERIODS = (
    {"start": "2019", "end": "2020"},
    {"start": "2020-02-10", "end": "2020-02-20"},
    {"start": "2019-12-31", "end": "2020-02"},
    {"start": "2020-02-29T09:00:00Z", "end": "2020-02-29T11:00:00+01:00"},
    {"start": "2020-02"},
    {"end": "2020-02-29"},
    {"start": "2021-01-01T00:00:00Z"},
)
TIMINGS = (
    {"event": ["2020-02-29", "2019-12-31T23:30:00-01:00"]},
    {"event": ["2020-03-01"]},
    {
        "repeat": {
            "boundsPeriod": {"start": "2020-02-10", "end": "2020-02-20"},
            "frequency": 1,
            "period": 2,
            "periodUnit": "d",
        }
    },
    {"event": ["2019-12-31"], "repeat": {"boundsPeriod": {"start": "2020-02"}}},
)
NUMBERS = (0, 1, -1, 5, 5.4, 5.44, 5.45, 0.0054, 100, 99.5, 5400)
ASKED_NUMBERS = ("0", "1", "-1", "5", "5.4", "5.40", "5.44", "0.0054", "5.4e-3", "5.4E3", "100", "1.00e2", "1e2")
URIS = (
    "http://u.example",
    "http://u.example/a",
    "http://u.example/a/b",
    "http://u.example/ab",
    "urn:oid:1.2.3",
    "urn:oid:1.2.3.4",
)
CANONICALS = (
    "http://c.example/plan",
    "http://c.example/plan|1.0",
    "http://c.example/plan|1.1",
    "http://c.example/planner|2",
)
PATIENTS = ("p1", "p2", "p3")

# the words that R4 binds an element to: by type and parameter
BOUND: dict[str, dict[str, tuple[str, ...]]] = {
    "Patient": {"gender": ("male", "female", "other"), "address-use": ("home", "work"), "active": ("true", "false"), "deceased": ("true", "false")},
    "Organization": {"active": ("true", "false")},
    "Account": {"status": ("active", "inactive", "on-hold")},
    "CarePlan": {"status": ("active", "draft", "revoked"), "intent": ("plan", "order")},
    "Task": {"status": ("requested", "accepted"), "priority": ("routine", "urgent")},
    "Observation": {"status": ("final", "amended")},
    "PlanDefinition": {"status": ("active", "draft"), "url": ("http://c.example/plan", "http://c.example/planner")},
    "List": {"status": ("current", "retired")},
}  # fmt: skip


def of(*values: Any) -> Strategy:
    return st.sampled_from(values)


def some(strategy: Strategy, most: int = 2) -> Strategy:
    return st.lists(strategy, min_size=1, max_size=most)


# --- the parts of resources ---

CODING = st.fixed_dictionaries(
    {"code": of(*CODES)}, optional={"system": of(*SYSTEMS), "display": of(*WORDS)}
) | st.fixed_dictionaries({"display": of(*WORDS)}, optional={"system": of(*SYSTEMS)})
CONCEPT = st.fixed_dictionaries({"coding": some(CODING)}, optional={"text": of(*WORDS)}) | st.builds(
    lambda text: {"text": text}, of(*WORDS)
)
IDENTIFIER_TYPE = st.fixed_dictionaries(
    {"coding": some(st.fixed_dictionaries({"system": of(*SYSTEMS[1:3]), "code": of("a", "b")}))},
    optional={"text": of(*WORDS)},
)
IDENTIFIER = st.fixed_dictionaries(
    {"value": of(*CODES[:9])}, optional={"system": of(*SYSTEMS), "type": IDENTIFIER_TYPE}
)
TELECOM = of(
    {"system": "phone", "value": "0113 496 0000"},
    {"system": "email", "value": "Jill@Marsh.example"},
    {"system": "email", "value": "tom@marsh.example"},
)
NAME = st.fixed_dictionaries(
    {"family": of(*WORDS)},
    optional={
        "given": some(of(*WORDS)),
        "text": of(*WORDS),
        "prefix": some(of("Dr", "Ms"), 1),
        "use": of("old", "usual"),
    },
)
ADDRESS = st.fixed_dictionaries(
    {"city": of(*WORDS)},
    optional={"line": some(of(*WORDS)), "postalCode": of("YO1 7HH", "LS1"), "use": of("home", "work")},
)
PERIOD = of(*PERIODS)
WHEN = of(*DAYS, *MOMENTS)
QUANTITY = st.builds(
    lambda number, unit: {"value": number, **unit},
    of(*NUMBERS),
    of(
        {}, {"unit": "mg"}, *({"system": UCUM, "code": code} for code in ("mg", "g", "kg", "cm", "m")),
        {"unit": "g", "system": UCUM, "code": "mg"}, {"system": SYSTEMS[0], "code": "mg"},
    ),
)  # fmt: skip
MONEY = st.fixed_dictionaries({"value": of(*NUMBERS), "currency": of("GBP", "EUR")})
YEARS = {"unit": "a", "system": UCUM, "code": "a"}
AGE = st.builds(lambda number: {"value": number, **YEARS}, of(1, 5, 5.4, 100))
RANGE = of(
    {"low": {"value": 1, **YEARS}, "high": {"value": 5, **YEARS}},
    {"low": {"value": 5.4, **YEARS}},
    {"high": {"value": 100, **YEARS}},
)


def link(*targets: str) -> Strategy:
    """A reference to one of these, in every way to write it."""
    written = [
        text
        for one in targets
        for text in (one, one, f"{BASE}/{one}", f"{one}/_history/1", f"http://o.example/fhir/{one}")
    ]
    literal = st.builds(lambda text: {"reference": text}, of(*written))
    by_identifier = st.builds(lambda identifier: {"identifier": identifier}, IDENTIFIER)
    return literal | literal | literal | by_identifier | st.just({"display": "Somebody"})


PERSON = link("Patient/p1", "Patient/p2", "Patient/p3", "Group/g1")
PATIENT = st.builds(lambda id_: {"reference": f"Patient/{id_}"}, of(*PATIENTS))
META = st.fixed_dictionaries({"tag": some(CODING)}, optional={"source": of(*URIS)})


def one_of_each(choices: Mapping[str, Strategy]) -> Strategy:
    """An element of several types: one of its names, or none."""
    return st.one_of(
        st.just({}),
        *(st.builds(lambda value, name=name: {name: value}, strategy) for name, strategy in choices.items()),
    )


def _resource(
    type_: str, needed: Mapping[str, Strategy], optional: Mapping[str, Strategy], *choices: Strategy
) -> Strategy:
    plain = st.fixed_dictionaries(dict(needed), optional={"meta": META, **optional})
    return st.builds(
        lambda parts, *more: {"resourceType": type_, **parts, **{k: v for one in more for k, v in one.items()}},
        plain,
        *choices,
    )


VALUE = {
    "valueQuantity": QUANTITY, "valueCodeableConcept": CONCEPT, "valueString": of(*WORDS), "valueDateTime": WHEN, "valuePeriod": PERIOD,
}  # fmt: skip
COMPONENT = st.builds(
    lambda code, value: {"code": code, **value},
    CONCEPT,
    one_of_each({"valueQuantity": QUANTITY, "valueCodeableConcept": CONCEPT}),
)


def _told_once(observation: dict[str, Any]) -> dict[str, Any]:
    """Without the components that have a code of the whole, where the whole has a value itself (invariant obs-7)."""
    own = observation["code"].get("coding", [])
    has_value = any(name.startswith("value") for name in observation)
    parts = observation.get("component", [])
    kept = [one for one in parts if not (has_value and any(coding in own for coding in one["code"].get("coding", [])))]
    rest = {name: value for name, value in observation.items() if name != "component"}
    return {**rest, "component": kept} if kept else rest


RESOURCES: dict[str, Strategy] = {
    "Patient": _resource(
        "Patient",
        {},
        {
            "active": st.booleans(), "identifier": some(IDENTIFIER), "name": some(NAME), "gender": of(*BOUND["Patient"]["gender"]),
            "birthDate": of(*DAYS), "telecom": some(TELECOM), "address": some(ADDRESS, 1),
            "managingOrganization": link("Organization/o1", "Organization/o2"),
            "generalPractitioner": some(link("Organization/o1", "Organization/o2")),
            "link": st.builds(lambda other: [{"other": other, "type": "seealso"}], link("Patient/p1", "Patient/p2")),
        },
        one_of_each({"deceasedDateTime": WHEN}),
    ),
    "Organization": _resource(
        "Organization", {"name": of(*WORDS)}, {"active": st.booleans(), "alias": some(of(*WORDS)), "partOf": link("Organization/o1", "Organization/o2", "Organization/o3")}
    ),
    "Account": _resource(
        "Account",
        {"status": of(*BOUND["Account"]["status"])},
        {
            "identifier": some(IDENTIFIER), "type": CONCEPT, "name": of(*WORDS), "servicePeriod": PERIOD,
            "subject": some(link("Patient/p1", "Patient/p2", "Patient/p3", "Organization/o1")),
            "owner": link("Organization/o1", "Organization/o2"), "partOf": link("Account/a1", "Account/a2"),
        },
    ),
    "CarePlan": _resource(
        "CarePlan",
        {"status": of(*BOUND["CarePlan"]["status"]), "intent": of(*BOUND["CarePlan"]["intent"]), "subject": PERSON},
        {
            "category": some(CONCEPT), "period": PERIOD, "instantiatesUri": some(of(*URIS)), "instantiatesCanonical": some(of(*CANONICALS)),
            "addresses": some(link("Condition/n1", "Condition/n2")), "basedOn": some(link("CarePlan/c1", "CarePlan/c2")), "partOf": some(link("CarePlan/c1", "CarePlan/c2")),
            "activity": some(st.builds(
                lambda code, performer, when: {"detail": {"status": "scheduled", "code": code, "performer": [performer], **when}},
                CONCEPT, PATIENT, one_of_each({"scheduledTiming": of(*TIMINGS), "scheduledPeriod": PERIOD, "scheduledString": of(*WORDS[:3], "2020")}),
            )),
        },
    ),
    "ChargeItem": _resource(
        "ChargeItem",
        {"status": of("billable", "planned"), "code": CONCEPT, "subject": PERSON},
        {
            "identifier": some(IDENTIFIER), "account": some(link("Account/a1", "Account/a2")), "enteredDate": WHEN, "factorOverride": of(*NUMBERS),
            "priceOverride": MONEY, "quantity": QUANTITY, "enterer": PATIENT, "service": some(link("Observation/b1", "Observation/b2")),
            "performingOrganization": link("Organization/o1", "Organization/o2"),
        },
        one_of_each({"occurrenceDateTime": WHEN, "occurrencePeriod": PERIOD, "occurrenceTiming": of(*TIMINGS)}),
    ),
    "Task": _resource(
        "Task",
        {"status": of(*BOUND["Task"]["status"]), "intent": of("order")},
        {
            "identifier": some(IDENTIFIER), "groupIdentifier": IDENTIFIER, "code": CONCEPT, "businessStatus": CONCEPT,
            "priority": of(*BOUND["Task"]["priority"]), "for": PERSON, "focus": link("ChargeItem/i1", "ChargeItem/i2", "Account/a1"),
            "authoredOn": WHEN, "executionPeriod": PERIOD, "partOf": some(link("Task/t1", "Task/t2")),
        },
    ),
    "Observation": _resource(
        "Observation",
        {"status": of(*BOUND["Observation"]["status"]), "code": CONCEPT},
        {
            "identifier": some(IDENTIFIER), "category": some(CONCEPT), "subject": PERSON, "performer": some(PATIENT),
            "hasMember": some(link("Observation/b1", "Observation/b2", "Observation/b3")), "component": some(COMPONENT),
        },
        one_of_each(VALUE),
        one_of_each({"effectiveDateTime": WHEN, "effectivePeriod": PERIOD, "effectiveTiming": of(*TIMINGS)}),
    ).map(_told_once),
    "Condition": _resource(
        "Condition",
        {"subject": PERSON},
        {
            "identifier": some(IDENTIFIER), "code": CONCEPT, "recordedDate": WHEN,
            "evidence": some(st.builds(lambda code: {"code": [code]}, CONCEPT)),
        },
        one_of_each({"onsetDateTime": WHEN, "onsetPeriod": PERIOD, "onsetAge": AGE, "onsetRange": RANGE, "onsetString": of(*WORDS)}),
    ),
    "PlanDefinition": _resource(
        "PlanDefinition",
        {"status": of(*BOUND["PlanDefinition"]["status"])},
        {"url": of(*BOUND["PlanDefinition"]["url"]), "version": of("1.0", "1.1", "2"), "title": of(*WORDS)},
    ),
    "List": _resource(
        "List",
        {"status": of(*BOUND["List"]["status"]), "mode": st.just("changes")},
        {
            "entry": some(st.builds(
                lambda key_, deleted: {"item": {"reference": key_}, **({"deleted": True} if deleted else {})},
                of("Patient/p1", "Patient/p2", f"{BASE}/Patient/p3", "Account/a1", "Observation/b1", "ChargeItem/i1"), st.booleans(),
            ), 4),
        },
    ),
}  # fmt: skip
IDS = {
    "Patient": "p", "Organization": "o", "Account": "a", "CarePlan": "c", "ChargeItem": "i", "Task": "t", "Observation": "b", "Condition": "n", "List": "l",
    "PlanDefinition": "d",
}  # fmt: skip


@st.composite
def populations(draw: st.DrawFn, sizes: Mapping[str, int]) -> list[dict[str, Any]]:
    """Resources of these types, up to so many of each: Patient/p1, Patient/p2, …"""
    numbered = ((type_, n) for type_, most in sizes.items() for n in range(1, draw(st.integers(1, most)) + 1))
    return [{**draw(RESOURCES[type_]), "id": f"{IDS[type_]}{number}"} for type_, number in numbered]
