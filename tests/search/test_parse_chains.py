"""Conditions on other resources: chaining and `_has` (R4 §3.1.1.4.15, §3.1.1.4.16)."""

from __future__ import annotations

import pytest

from phb_fhir.outcome import Kind
from phb_fhir.query import AnyOf, Id, InList, Key, KeyRange, Linked, LinkedFrom, Not, Present
from phb_fhir.search.asking import CHAIN_LINKS_MAX
from tests.search.parsing import ASKING, check_refused, conditions, parsed, promised, refused

PETER = KeyRange("name=peter", "name=petes")


@pytest.mark.parametrize(
    ("types", "name", "value", "node"),
    [
        ("DiagnosticReport", "subject:Patient.name", "peter", Linked("subject", ("Patient",), PETER)),
        # of the types that a subject may be, two have a name
        ("DiagnosticReport", "subject.name", "peter", Linked("subject", ("Patient", "Location"), PETER)),
        (
            "DiagnosticReport",
            "subject:Patient.general-practitioner:Practitioner.name",
            "peter",
            Linked("subject", ("Patient",), Linked("general-practitioner", ("Practitioner",), PETER)),
        ),
        ("Account", "subject:Patient.gender:not", "male", Linked("subject", ("Patient",), Not(Key(("gender=*male",))))),
        (
            "Account",
            "subject:Patient.birthdate:missing",
            "true",
            Linked("subject", ("Patient",), Not(Present("birthdate"))),
        ),
        (
            "Account",
            "subject:Patient.gender",
            "male,other",
            Linked("subject", ("Patient",), Key(("gender=*male", "gender=*other"))),
        ),
        ("Account", "subject:Patient._id", "1", Linked("subject", ("Patient",), Id(("1",)))),
        ("Account", "subject:Patient._list", "1", Linked("subject", ("Patient",), InList("1"))),
        ("Account", "subject:Patient.link:Patient", "1", Linked("subject", ("Patient",), Key(("link=Patient/1",)))),
        (
            "Patient",
            "_has:Observation:patient:code",
            "1234-5,9",
            LinkedFrom("Observation", "patient", Key(("code=*1234-5", "code=*9"))),
        ),
        (
            "Patient",
            "_has:Observation:patient:_has:AuditEvent:entity:agent",
            "Practitioner/u",
            LinkedFrom("Observation", "patient", LinkedFrom("AuditEvent", "entity", Key(("agent=Practitioner/u",)))),
        ),
        (
            "Patient",
            "_has:ChargeItem:patient:account.status",
            "active",
            LinkedFrom("ChargeItem", "patient", Linked("account", ("Account",), Key(("status=*active",)))),
        ),
        (
            "Observation",
            "subject:Patient._has:Group:member:_id",
            "102",
            Linked("subject", ("Patient",), LinkedFrom("Group", "member", Id(("102",)))),
        ),
        (
            "Patient",
            "_has:Observation:patient:code:not",
            "456",
            LinkedFrom("Observation", "patient", Not(Key(("code=*456",)))),
        ),
    ],
)
def test_a_chain_is_a_condition_on_what_is_at_its_other_end(types, name, value, node):
    assert conditions(types, (name, value)) == (node,)
    assert parsed(types, (name, value)).applied == ((name, value),)


def test_each_chain_is_judged_for_itself():
    pairs = [
        ("general-practitioner:Practitioner.name", "peter"),
        ("general-practitioner:Practitioner.address-state", "MN"),
    ]
    links = [node for node in conditions("Patient", *pairs) if isinstance(node, Linked)]
    assert [(link.parameter, link.types) for link in links] == [("general-practitioner", ("Practitioner",))] * 2


def test_types_that_are_asked_differently_are_asked_apart():
    # the type of an Organization is a token of its own, and that of a Location too; they are told apart by their parameters
    (node,) = conditions("Account", ("subject.type", "x"))
    links = node.parts if isinstance(node, AnyOf) else (node,)
    types = [type_ for link in links for type_ in link.types]
    targets = ASKING.parameters.of("Account")["subject"].target
    assert sorted(types) == sorted(one for one in targets if "type" in ASKING.parameters.of(one))


def test_a_type_that_does_not_have_what_is_asked_is_passed_over_and_one_that_is_named_is_not():
    assert conditions("DiagnosticReport", ("subject.birthdate:missing", "false")) == (
        Linked("subject", ("Patient",), Present("birthdate")),
    )
    check_refused("DiagnosticReport", ("subject:Group.birthdate", "2000"), Kind.NOT_SUPPORTED, "Group", "'birthdate'")


@pytest.mark.parametrize(
    ("types", "name", "words"),
    [
        ("DiagnosticReport", "patient.nam", ["'nam'", "Did you mean name"]),
        ("DiagnosticReport", "subject.nam", ["subject points to", "Did you mean name"]),
        ("DiagnosticReport", "subject.colour", ["subject points to", "'colour'"]),
        ("DiagnosticReport", "sbject.name", ["'sbject'", "Did you mean subject"]),
        ("DiagnosticReport", "status.name", ["'status' is a token parameter", "reference"]),
        ("DiagnosticReport", "subject:Practitioner.name", ["'Practitioner'", "Patient"]),
        ("DiagnosticReport", "subject:Pateint.name", ["'Pateint'", "Did you mean Patient"]),
        ("DiagnosticReport", "subject:identifier.name", [":identifier"]),
        ("DiagnosticReport", "subject:missing.name", [":missing"]),
        ("DiagnosticReport", "subject:Patient.name:exat", [":exat", "Did you mean exact"]),
        ("DiagnosticReport", "subject:Patient.", ["''"]),
        ("DiagnosticReport", "subject:Patient._filter", ["_filter"]),
        ("DiagnosticReport", "subject:Patient._query", ["_query"]),
        ("DiagnosticReport", "subject:Patient._sort", ["'_sort'"]),
        ("Procedure", "location:below.name", [":below", "cannot be chained"]),
        ("Procedure", "location:above.name", [":above", "cannot be chained"]),
        ("CarePlan", "instantiates-canonical.colour", ["instantiates-canonical points to", "'colour'"]),
        ("CarePlan", "instantiates-canonical:Patient.name", ["'Patient'", "PlanDefinition"]),
        ("Patient", "_has", ["_has:Observation:patient:code"]),
        ("Patient", "_has:Observation", ["_has:[type]:[reference parameter]:[parameter]"]),
        ("Patient", "_has:Observation:patient", ["_has:[type]:[reference parameter]:[parameter]"]),
        ("Patient", "_has:Observation:patient:", ["_has:[type]:[reference parameter]:[parameter]"]),
        ("Patient", "_has:Observed:patient:code", ["Observed", "Did you mean Observation"]),
        ("Patient", "_has:Observation:account:code", ["'account'"]),
        ("Patient", "_has:Observation:code:code", ["'code' is a token parameter"]),
        ("Patient", "_has:Observation:patient:colour", ["'colour'"]),
        ("Patient", "_has:ChargeItem:account:status", ["ChargeItem:account", "Patient", "Account"]),
    ],
)
def test_a_chain_that_leads_nowhere_is_refused_where_it_breaks(types, name, words):
    check_refused(types, (name, "x"), Kind.NOT_SUPPORTED, *words)


def test_chains_are_followed_over_so_many_links_and_no_more():
    def chain(links):
        return f"general-practitioner:Organization.{'partof.' * (links - 1)}name"

    assert conditions("Patient", (chain(CHAIN_LINKS_MAX), "x"))
    check_refused("Patient", (chain(CHAIN_LINKS_MAX + 1), "x"), Kind.TOO_COSTLY, str(CHAIN_LINKS_MAX))
    back = "_has:Provenance:target:"
    assert conditions("Patient", (back * CHAIN_LINKS_MAX + "_id", "x"))
    check_refused("Patient", (back * (CHAIN_LINKS_MAX + 1) + "_id", "x"), Kind.TOO_COSTLY, str(CHAIN_LINKS_MAX))


def test_a_chain_that_leads_everywhere_is_asked_to_name_types():
    everywhere = "target.subject.subject.subject.identifier"
    ((kind, text),) = refused("Provenance", (everywhere, "x"))
    assert kind is Kind.TOO_COSTLY
    assert "subject:[type]" in text
    named = "target:Observation.subject:Patient.general-practitioner:Organization.identifier"
    assert len(conditions("Provenance", (named, "x"))) == 1


def test_types_of_which_the_same_is_asked_are_one_question():
    (link,) = conditions("Provenance", ("target._id", "x"))
    assert set(link.types) == set(ASKING.parameters.of("Provenance")["target"].target)
    assert len(link.types) > 100


@pytest.mark.parametrize(
    ("types", "name", "by_url"),
    [
        ("QuestionnaireResponse", "questionnaire.status", True),
        ("ChargeItem", "definition.status", True),
        ("PlanDefinition", "definition.status", True),  # a canonical, or a uri
        ("QuestionnaireResponse", "author:Patient.active", False),
        ("Questionnaire", "_has:QuestionnaireResponse:questionnaire:status", True),
        ("ChargeItemDefinition", "_has:ChargeItem:definition:status", True),
        ("Patient", "_has:ChargeItem:subject:status", False),
        ("", "definition.status", True),
    ],
)
def test_a_link_says_whether_it_goes_by_canonicals(types, name, by_url):
    named = (("_type", "ChargeItem,PlanDefinition"),) if not types else ()
    *_, link = conditions(types, *named, (name, "active"))
    assert isinstance(link, Linked | LinkedFrom)
    assert link.by_url is by_url


def test_a_chain_leads_to_served_types_only():
    def served(type_):
        return frozenset() if type_ in ("Location", "Practitioner") else promised(type_)

    search = parsed("DiagnosticReport", ("subject.name", "peter"), promised=served)
    assert search.query.where.parts == (Linked("subject", ("Patient",), PETER),)
    assert refused("Patient", ("general-practitioner:Practitioner.name", "x"), promised=served)
    assert refused("Patient", ("_has:Location:organization:name", "x"), promised=served)
    ((_, text),) = refused(
        "Slot", ("schedule.actor", "x"), promised=lambda type_: () if type_ == "Schedule" else promised(type_)
    )
    assert text == "schedule points to no type that is served here."


def test_a_search_of_several_types_chains_by_what_they_share():
    (node,) = conditions("", ("_type", "Account,ChargeItem"), ("patient.gender", "male"))[-1:]
    assert node == Linked("patient", ("Patient",), Key(("gender=*male",)))
    assert refused("", ("_type", "Account,ChargeItem"), ("service.name", "male"))
