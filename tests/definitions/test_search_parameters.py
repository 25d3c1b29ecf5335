"""Which parameters a type is searched by: R4's as they are meant, the guide's, and those a deployment stores (R4 §5.10)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from phb_fhir.definitions import search_parameters as module
from phb_fhir.definitions.kept import Kept
from phb_fhir.definitions.load import Component, SearchParameter, load
from phb_fhir.definitions.search_parameters import (
    REPAIRS,
    SearchParameters,
    alternatives,
    narrowed,
    read_parameter,
    read_shipped,
    search_parameters,
)
from phb_fhir.outcome import Kind
from tests.search.stored_parameters import BASE, search_parameter

R4 = load()
SHIPPED = search_parameters(R4)
PATIENT_NAME = "http://hl7.org/fhir/SearchParameter/Patient-name"


def kept(at: int = 1, **more) -> Kept:
    return Kept.of(search_parameter(**more), datetime(2026, 11, at, tzinfo=UTC))


def issues(**more) -> list[tuple[Kind, str, str]]:
    return [
        (one.kind, one.expression, one.severity) for one in read_parameter(search_parameter(**more), SHIPPED).issues
    ]


# ---- what is shipped -------------------------------------------------------------------------------------------------


def test_a_type_has_r4s_parameters_those_of_every_resource_and_the_guides():
    account = SHIPPED.of("Account")
    assert {"_id", "_text", "identifier", "subject"} <= account.keys()
    assert account["coverage"] == SearchParameter(
        base="Account",
        code="coverage",
        type="reference",
        expression="Account.coverage.coverage",
        url="https://fhir.phb.nhs.example/SearchParameter/phb-account-coverage",
        description="Budgets by the eligibility they rest on.",
        target=("Coverage",),
        modifiers=("missing", "type", "identifier"),
        marks_missing=True,
    )
    assert not account["subject"].marks_missing
    assert "_text" not in SHIPPED.of("Bundle")


def test_a_name_that_is_no_resource_type_has_none():
    with pytest.raises(KeyError):
        SHIPPED.of("HumanName")


def test_the_shipped_ones_are_read_once():
    assert search_parameters(R4) is SHIPPED


def test_a_parameter_of_the_guide_that_cannot_be_read_stops_the_start(tmp_path):
    (tmp_path / "SearchParameter-x.json").write_text('{"resourceType": "SearchParameter", "code": "name"}')
    with pytest.raises(ValueError, match=r"SearchParameter-x.json: .* needs the types it is for"):
        read_shipped(R4, tmp_path)


def test_each_repair_is_of_a_parameter_that_r4_has_and_changes_it():
    for (base, code), repair in REPAIRS.items():
        published, meant = R4.search_parameters(base)[code], SHIPPED.of(base)[code]
        assert repair.reason
        assert (published.expression, published.components) != (meant.expression, meant.components)
        assert (published.url, published.type, published.target) == (meant.url, meant.type, meant.target)


def test_the_parameters_without_a_repair_are_as_r4_publishes_them():
    for type_ in R4.resource_types:
        for code, published in R4.search_parameters(type_).items():
            meant = SHIPPED.of(type_)[code]
            assert (published.base, code) in REPAIRS or replace(meant, target=published.target) == published


def test_a_parameter_whose_expression_leaves_one_type_of_target_points_to_that_one_alone():
    published, meant = (
        source["patient"] for source in (R4.search_parameters("Observation"), SHIPPED.of("Observation"))
    )
    assert (published.target, meant.target) == (("Patient", "Group"), ("Patient",))
    assert SHIPPED.of("Observation")["subject"].target == R4.search_parameters("Observation")["subject"].target


def test_the_exchanged_components_of_a_documents_relations_are_put_right():
    published = R4.search_parameters("DocumentReference")["relationship"].components
    assert published == (Component("relatesto", "reference", "code"), Component("relation", "token", "target"))
    meant = SHIPPED.of("DocumentReference")["relationship"].components
    assert meant == (Component("relatesto", "reference", "target"), Component("relation", "token", "code"))


# ---- what types have alike -------------------------------------------------------------------------------------------


def test_every_type_has_the_parameters_of_resource():
    assert SHIPPED.shared(()).keys() == {
        "_content", "_filter", "_id", "_lastUpdated", "_profile", "_query", "_security", "_source", "_tag",
    }  # fmt: skip


def test_one_type_has_all_of_its_own():
    assert SHIPPED.shared(("Account",)) == SHIPPED.of("Account")


def test_two_types_have_what_both_know_as_the_same_search_type_with_the_targets_of_either():
    shared = SHIPPED.shared(("Patient", "Practitioner"))
    assert {"name", "gender", "identifier", "_text"} <= shared.keys()
    assert shared.keys().isdisjoint({"birthdate", "qualification-period"})
    subject = SHIPPED.shared(("Account", "Consent", "Flag"))["patient"]
    assert (subject.type, subject.base, "Patient" in subject.target) == ("reference", "", True)
    organisation, based = SHIPPED.of("ChargeItem")["subject"].target, SHIPPED.of("Account")["subject"].target
    assert set(SHIPPED.shared(("ChargeItem", "Account"))["subject"].target) == {*organisation, *based}


def test_the_same_code_of_another_search_type_is_not_shared():
    assert {SHIPPED.of(type_)["date"].type for type_ in ("Encounter", "Observation")} == {"date"}
    assert (SHIPPED.of("Group")["value"].type, SHIPPED.of("NamingSystem")["value"].type) == ("token", "string")
    assert "value" not in SHIPPED.shared(("Group", "NamingSystem"))


# ---- what is stored --------------------------------------------------------------------------------------------------


def test_a_stored_parameter_is_there_beside_the_shipped_ones_and_gone_with_the_next_change():
    more = SHIPPED.changed([kept()])
    assert more.of("Patient")["nickname"].expression == "Patient.name.where(use='nickname').given"
    assert "nickname" not in SHIPPED.of("Patient")
    assert "nickname" not in more.changed([]).of("Patient")
    assert more.changed([]).digest("Patient") == SHIPPED.digest("Patient")


def test_a_parameter_of_several_types_speaks_of_each_in_its_own_words():
    expression = "Patient.name.given | (Practitioner.name.where(use='a|b')).given"
    more = SHIPPED.changed([kept(base=["Patient", "Practitioner"], expression=expression)])
    assert more.of("Patient")["nickname"].expression == "Patient.name.given"
    assert more.of("Practitioner")["nickname"].expression == "(Practitioner.name.where(use='a|b')).given"


def test_a_parameter_of_resource_is_one_of_every_type():
    more = SHIPPED.changed([kept(base=["Resource"], expression="Resource.language", type="token")])
    assert more.of("Binary")["nickname"].base == "Resource"
    assert more.shared(())["nickname"].expression == "Resource.language"


def test_a_parameter_of_domain_resource_is_one_of_those_that_have_a_narrative():
    more = SHIPPED.changed([kept(base=["DomainResource"], expression="DomainResource.language", type="token")])
    assert "nickname" in more.of("Patient")
    assert "nickname" not in more.of("Binary")
    assert "nickname" not in more.shared(())


def test_of_two_stored_parameters_with_one_code_the_one_written_later_counts():
    older, newer = kept(1, url=f"{BASE}/b", expression="Patient.language"), kept(2, url=f"{BASE}/a")
    for order in ([older, newer], [newer, older]):
        assert SHIPPED.changed(order).of("Patient")["nickname"].url == f"{BASE}/a"


def test_a_stored_parameter_does_not_take_the_code_of_a_shipped_one():
    more = SHIPPED.changed([kept(code="name", expression="Patient.language")])
    assert more.of("Patient")["name"].url == PATIENT_NAME
    every = SHIPPED.changed([kept(code="birthdate", base=["Resource"], expression="Resource.language")])
    assert "birthdate" not in every.of("Account")  # it would mean two things, by the type


def test_a_retired_or_damaged_one_is_not_searched_by():
    for more in ({"status": "retired"}, {"code": 5}, {"base": {}}, {"expression": ""}, {"type": "special"}):
        assert "nickname" not in SHIPPED.changed([kept(**more)]).of("Patient"), more


def test_a_draft_is_searched_by():
    assert "nickname" in SHIPPED.changed([kept(status="draft")]).of("Patient")


def test_modifiers_are_those_it_lists_and_all_of_its_type_where_it_lists_none():
    listed = SHIPPED.changed([kept(modifier=["exact", "missing"])]).of("Patient")["nickname"]
    assert (listed.modifiers, listed.marks_missing) == (("exact", "missing"), True)
    free = SHIPPED.changed([kept()]).of("Patient")["nickname"]
    assert (free.modifiers, free.marks_missing) == (("missing", "exact", "contains"), False)
    of_type = SHIPPED.changed([kept(type="token", modifier=["ofType"])]).of("Patient")["nickname"]
    assert (of_type.modifiers, of_type.marks_missing) == (("of-type",), False)


def test_a_composite_knows_what_its_components_are_by_their_definitions_shipped_or_stored():
    composite = search_parameter(
        code="used-name",
        url=f"{BASE}/used-name",
        type="composite",
        expression="Patient.name",
        component=[
            {"definition": PATIENT_NAME, "expression": "family"},
            {"definition": f"{BASE}/SearchParameter/nickname", "expression": "given"},
        ],
    )
    more = SHIPPED.changed([Kept.of(composite), kept()])
    assert more.of("Patient")["used-name"].components == (
        Component("name", "string", "family"),
        Component("nickname", "string", "given"),
    )
    assert "used-name" not in SHIPPED.changed([Kept.of(composite)]).of("Patient")


# ---- the digest ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"code": "nick"},
        {"type": "token"},
        {"expression": "Patient.name.given"},
        {"modifier": ["missing"]},
        {"target": ["Patient"]},
    ],
)
def test_the_digest_of_a_type_changes_with_whatever_its_index_values_follow_from(change):
    before, after = SHIPPED.changed([kept()]), SHIPPED.changed([kept(**change)])
    assert before.digest("Patient") != after.digest("Patient")
    assert before.digest("Account") == after.digest("Account") == SHIPPED.digest("Account")


@pytest.mark.parametrize(
    "change", [{"description": "Another word."}, {"url": f"{BASE}/elsewhere"}, {"status": "draft"}]
)
def test_the_digest_of_a_type_stays_with_what_index_values_do_not_follow_from(change):
    assert SHIPPED.changed([kept()]).digest("Patient") == SHIPPED.changed([kept(**change)]).digest("Patient")


def test_the_digest_changes_with_the_format_of_index_values(monkeypatch):
    before = SearchParameters(R4, SHIPPED.guide).digest("Patient")
    assert before == SHIPPED.digest("Patient")
    monkeypatch.setattr(module, "FORMAT", module.FORMAT + 1)
    assert SearchParameters(R4, SHIPPED.guide).digest("Patient") != before


# ---- what is wrong with one ------------------------------------------------------------------------------------------


def test_a_good_one_has_nothing_wrong_with_it():
    assert issues() == []


@pytest.mark.parametrize(
    ("change", "kind", "place"),
    [
        ({"code": ""}, Kind.REQUIRED, "code"),
        ({"code": "nick.name"}, Kind.VALUE, "code"),
        ({"code": "nick name"}, Kind.VALUE, "code"),
        ({"code": "nick$name"}, Kind.VALUE, "code"),
        ({"code": "nick~name"}, Kind.VALUE, "code"),
        ({"code": "nick=name"}, Kind.VALUE, "code"),
        ({"code": "nick:name"}, Kind.VALUE, "code"),
        ({"code": "_nick"}, Kind.VALUE, "code"),
        ({"code": "n" * 65}, Kind.VALUE, "code"),
        ({"code": "name"}, Kind.BUSINESS_RULE, "code"),
        ({"code": "birthdate", "base": ["Resource"], "expression": "Resource.language"}, Kind.BUSINESS_RULE, "code"),
        ({"type": "special"}, Kind.NOT_SUPPORTED, "type"),
        ({"type": "texts"}, Kind.VALUE, "type"),
        ({"expression": " "}, Kind.REQUIRED, "expression"),
        ({"expression": "Account.name", "base": ["Patient", "Account"]}, Kind.VALUE, "expression"),
        ({"base": []}, Kind.REQUIRED, "base"),
        ({"base": ["Patient", "Person2"], "expression": "name"}, Kind.VALUE, "base[1]"),
        ({"base": ["HumanName"]}, Kind.VALUE, "base[0]"),
        ({"type": "composite"}, Kind.REQUIRED, "component"),
        ({"type": "composite", "component": [{}]}, Kind.REQUIRED, "component"),
    ],
)
def test_what_makes_one_unusable_is_said_with_its_place(change, kind, place):
    assert issues(**change) == [(kind, f"SearchParameter.{place}", "error")]


@pytest.mark.parametrize("code", ["nick-name", "nickName2", "-nick", "n" * 64, "nick_name"])
def test_a_code_that_can_stand_in_a_search_is_right(code):
    assert issues(code=code) == []


def test_each_component_is_told_what_it_lacks():
    unknown = {"definition": f"{BASE}/unknown", "expression": "family"}
    nested = {"definition": "http://hl7.org/fhir/SearchParameter/Observation-code-value-string", "expression": "x"}
    silent = {"definition": PATIENT_NAME}
    assert issues(type="composite", component=[unknown, nested, silent]) == [
        (Kind.NOT_FOUND, "SearchParameter.component[0].definition", "error"),
        (Kind.VALUE, "SearchParameter.component[1].definition", "error"),
        (Kind.REQUIRED, "SearchParameter.component[2].expression", "error"),
    ]


def test_what_is_only_passed_over_is_a_warning():
    assert issues(modifier=["exact", "above"]) == [(Kind.NOT_SUPPORTED, "SearchParameter.modifier[1]", "warning")]
    assert issues(status="retired") == [(Kind.BUSINESS_RULE, "SearchParameter.status", "warning")]


def test_a_shipped_parameter_stored_as_it_is_is_right_and_adds_nothing():
    own = {"url": PATIENT_NAME, "code": "name", "expression": "Patient.name"}
    assert issues(**own) == []
    assert SHIPPED.changed([kept(**own)]).of("Patient")["name"] is SHIPPED.of("Patient")["name"]


# ---- expressions of several types ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "parts"),
    [
        ("A.b", ["A.b"]),
        ("A.b | C.d", ["A.b", "C.d"]),
        ("(A.b | A.c) | C.d", ["(A.b | A.c)", "C.d"]),
        ("A.b.where(c = 'x|y') | C", ["A.b.where(c = 'x|y')", "C"]),
        (r"A.where(c = 'it\'s|(') | C", [r"A.where(c = 'it\'s|(')", "C"]),
        ("A.`b|c` | C", ["A.`b|c`", "C"]),
    ],
)
def test_the_alternatives_of_an_expression_are_what_stands_between_outermost_bars(expression, parts):
    assert alternatives(expression) == parts


@pytest.mark.parametrize(
    ("base", "part"),
    [
        ("Patient", "Patient.name | name.given | (Patient.contact as X)"),
        ("PatientX", "name.given"),
        ("Person", "(Person.name) | name.given"),
    ],
)
def test_the_parts_that_speak_of_a_type_are_those_that_begin_with_it_or_with_no_type(base, part):
    expression = "Patient.name | (Person.name) | name.given | (Patient.contact as X)"
    assert narrowed(expression, base, alone=False) == part
    assert narrowed(expression, base, alone=True) == expression
