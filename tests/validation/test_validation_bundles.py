"""What holds a Bundle together: identities, links, and in a document that it is whole."""

from __future__ import annotations

import pytest

from phb_fhir.definitions.load import load
from phb_fhir.outcome import Kind
from phb_fhir.validation.validate import validate

R4 = load()
BASE = "https://example.org/fhir"
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'


def errors(resource):
    return [issue for issue in validate(resource, R4) if issue.is_error]


def places(resource):
    return [issue.expression for issue in errors(resource)]


def bundle(*entries, kind="collection", **more):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries), **more}


def entry(resource, url=None):
    name = f"{resource['resourceType']}/{resource.get('id', '')}"
    return {"fullUrl": f"{BASE}/{name}" if url is None else url, "resource": resource}


def patient(id_="1", **elements):
    return {"resourceType": "Patient", "id": id_, **elements}


def composition(*sections, **elements):
    return {
        "resourceType": "Composition",
        "id": "c",
        "status": "final",
        "type": {"text": "Plan"},
        "date": "2026-04-01",
        "author": [{"reference": "Practitioner/a"}],
        "title": "Plan",
        "section": [{"entry": [{"reference": reference} for reference in sections]}] if sections else [],
        **elements,
    }


def document(*resources, **elements):
    made = composition(**elements) if "section" in elements else composition(*elements.pop("entries", ()), **elements)
    if not made["section"]:
        del made["section"]
    author = {"resourceType": "Practitioner", "id": "a"}
    rest = {"identifier": {"system": "urn:x", "value": "1"}, "timestamp": "2026-04-01T10:00:00Z"}
    return bundle(entry(made), entry(author), *map(entry, resources), kind="document", **rest)


# ---- identities ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["urn:uuid:c757873d-ec9a-4326-a141-556f43239520", f"{BASE}/Patient/1", "https://example.org/a"]
)
def test_a_full_url_may_be_any_absolute_one_that_is_not_somebody_elses(url):
    assert errors(bundle(entry(patient(), url))) == []


@pytest.mark.parametrize("url", [f"{BASE}/Patient/2", f"{BASE}/Device/1", "Patient/1", "patient-one"])
def test_a_full_url_of_another_resource_or_a_relative_one_is_refused(url):
    assert places(bundle(entry(patient(), url))) == ["Bundle.entry[0].fullUrl"]


def test_a_full_url_on_a_server_needs_a_resource_with_an_id():
    nameless = patient()
    del nameless["id"]
    assert places(bundle(entry(nameless, f"{BASE}/Patient/1"))) == ["Bundle.entry[0].fullUrl"]
    assert errors(bundle(entry(nameless, "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"))) == []


def test_in_a_message_a_full_url_that_differs_is_only_remarked():
    header = {
        "resourceType": "MessageHeader",
        "id": "h",
        "eventUri": "https://a/b",
        "source": {"endpoint": "https://a/b"},
    }
    found = validate(bundle(entry(header), entry(patient(), f"{BASE}/Patient/2"), kind="message"), R4)
    assert [i.severity for i in found if i.expression == "Bundle.entry[1].fullUrl"] == ["warning"]


@pytest.mark.parametrize(("kind", "refused"), [("collection", 1), ("searchset", 1), ("transaction", 0), ("batch", 0)])
def test_only_what_is_sent_to_be_done_may_go_without_a_full_url(kind, refused):
    row = {"resource": patient()}
    if kind in ("transaction", "batch"):
        row["request"] = {"method": "PUT", "url": "Patient/1"}
    found = [i for i in errors(bundle(row, kind=kind)) if i.kind is Kind.REQUIRED]
    assert [i.expression for i in found] == ["Bundle.entry[0].fullUrl"] * refused


def test_the_outcome_of_a_search_has_no_identity():
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "value"}]}
    assert errors(bundle({"resource": outcome, "search": {"mode": "outcome"}}, kind="searchset")) == []
    assert places(bundle({"resource": patient(), "search": {"mode": "match"}}, kind="searchset")) == [
        "Bundle.entry[0].fullUrl"
    ]


def test_a_page_has_one_link_of_each_relation():
    def linked(*relations):
        return bundle(
            kind="searchset", link=[{"relation": r, "url": f"{BASE}?{n}"} for n, r in enumerate(relations)]
        ) | {"entry": [entry(patient())]}

    assert errors(linked("self", "next", "alternate", "alternate")) == []
    assert places(linked("self", "next", "self", "self")) == ["Bundle.link[2]"]


# ---- documents -----------------------------------------------------------------------------------


def test_a_document_that_is_whole_passes():
    assert errors(document(patient("p"), entries=["Patient/p"])) == []


def test_what_the_composition_speaks_of_is_in_the_document():
    found = errors(document(patient("p"), entries=["Patient/p", "Patient/q"]))
    assert [(i.kind, i.expression) for i in found] == [(Kind.NOT_FOUND, "Bundle.entry[0].resource.section[0].entry[1]")]


@pytest.mark.parametrize(
    ("element", "place"),
    [
        ({"subject": {"reference": "Patient/q"}}, "subject"),
        ({"encounter": {"reference": "Encounter/q"}}, "encounter"),
        ({"custodian": {"reference": "Organization/q"}}, "custodian"),
        ({"attester": [{"mode": "legal", "party": {"reference": "Patient/q"}}]}, "attester[0].party"),
        ({"event": [{"detail": [{"reference": "Patient/q"}]}]}, "event[0].detail[0]"),
        (
            {
                "section": [
                    {
                        "section": [
                            {"focus": {"reference": "Patient/q"}, "text": {"status": "empty", "div": f"{DIV}a</div>"}}
                        ]
                    }
                ]
            },
            "section[0].section[0].focus",
        ),
    ],
)
def test_so_are_its_subject_its_people_its_events_and_its_sections(element, place):
    assert places(document(**element)) == [f"Bundle.entry[0].resource.{place}"]


def test_a_relative_reference_means_the_server_its_own_full_url_names():
    made = document(patient("p"), entries=["Patient/p"])
    made["entry"][2]["fullUrl"] = "https://elsewhere.example.org/Patient/p"
    assert set(places(made)) == {"Bundle.entry[0].resource.section[0].entry[0]", "Bundle.entry[2]"}


def test_an_entry_that_nothing_links_to_does_not_belong_in_a_document():
    assert places(document(patient("p"))) == ["Bundle.entry[2]"]
    pointing_back = {
        "resourceType": "Flag",
        "id": "f",
        "status": "active",
        "code": {"text": "a"},
        "subject": {"reference": "Practitioner/a"},
    }
    assert errors(document(pointing_back)) == []


def test_an_address_that_is_no_reference_links_no_entry():
    asked = {"resourceType": "Questionnaire", "id": "q", "status": "active"}
    answers = {"resourceType": "QuestionnaireResponse", "id": "r", "status": "completed"}
    answers["questionnaire"] = entry(asked)["fullUrl"]
    assert places(document(answers, asked, entries=["QuestionnaireResponse/r"])) == ["Bundle.entry[3]"]


def test_of_two_versions_a_reference_names_one():
    versions = [patient("p", meta={"versionId": v}) for v in ("1", "2")]
    assert errors(document(*versions, entries=["Patient/p/_history/1", "Patient/p/_history/2"])) == []
    [issue] = errors(document(*versions, entries=["Patient/p", "Patient/p/_history/2"]))
    assert "any of 2 entries" in issue.text


@pytest.mark.parametrize("kind", ["document", "message"])
def test_a_document_or_message_has_entries(kind):
    assert "Bundle.entry" in places({"resourceType": "Bundle", "type": kind})


# ---- narrative links -----------------------------------------------------------------------------


def narrative(link, **more):
    return patient(text={"status": "generated", "div": f'{DIV}<a href="{link}">a</a><p id="here">b</p></div>'}, **more)


@pytest.mark.parametrize("link", ["https://example.org", "mailto:a@b.c", "Patient/1", "#", "#here", "#n1"])
def test_a_link_of_a_narrative_that_leads_somewhere_passes(link):
    assert errors(narrative(link, name=[{"id": "n1", "text": "A"}])) == []


@pytest.mark.parametrize("link", ["#nowhere", "foo:bar", "file:///etc"])
def test_a_link_of_a_narrative_that_leads_nowhere_is_refused(link):
    assert places(narrative(link)) == ["Patient.text.div"]


def test_a_transaction_may_link_to_what_it_is_about_to_create():
    urn = "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"
    request = {"method": "POST", "url": "Patient"}
    assert errors(bundle({"fullUrl": urn, "resource": narrative(urn), "request": request}, kind="transaction")) == []
    assert places(bundle({"fullUrl": urn, "resource": narrative(urn)})) == ["Bundle.entry[0].resource.text.div"]
    alone = [i.severity for i in validate(narrative(urn), R4) if i.expression == "Patient.text.div"]
    assert alone == ["warning"]
