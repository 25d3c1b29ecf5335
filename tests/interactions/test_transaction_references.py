"""References between the entries of a transaction (R4 §3.1.0.11.2): to what is created with them, wherever they stand.

A resource that is created gets its id here, so every link to its fullUrl must follow: References, values of type uri, url,
oid and uuid, links in narratives. What only looks alike stays. A reference may also be a search (`Patient?identifier=…`).
"""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from tests.builders import budget, bundle, entry, person, purchase, task
from tests.interactions.checks import ids, made, nhs, nothing_was_written, refused, sent

JILL, JACK = "9000000009", "9000000017"
UUID = "urn:uuid:1b4b1f7e-0000-4000-8000-000000000001"
OTHER = "urn:uuid:1b4b1f7e-0000-4000-8000-000000000002"
NOT_HERE = "urn:uuid:1b4b1f7e-0000-4000-8000-0000000000ff"
OLD = "https://gp.example.org/fhir"
XHTML = '<div xmlns="http://www.w3.org/1999/xhtml">{}</div>'


def stored(api: httpx.Client, body: dict[str, Any], full_url: str = UUID, own_url: str = OTHER) -> dict[str, Any]:
    """`body` as it is stored by a transaction that first creates the Patient id-1 with this fullUrl."""
    person_entry = entry("POST", "Patient", person(), full_url)
    done = sent(api, "transaction", person_entry, entry("POST", body["resourceType"], body, own_url))
    assert done[0]["response"]["location"].endswith("/Patient/id-1/_history/1")
    resource: dict[str, Any] = api.get(done[1]["response"]["location"]).json()
    assert {"id", "meta"} <= resource.keys()
    return {name: value for name, value in resource.items() if name not in ("id", "meta")}


# ---- what is rewritten -----------------------------------------------------------------------------------------------


def test_a_reference_follows_the_resource_to_its_id(api: httpx.Client) -> None:
    assert stored(api, budget(UUID))["subject"] == [{"reference": "Patient/id-1"}]
    assert api.get("Patient/id-1").status_code == 200


def test_references_follow_forwards_backwards_and_in_circles(api: httpx.Client) -> None:
    first = person(link=[{"other": {"reference": OTHER}, "type": "seealso"}])
    second = person(
        JACK, link=[{"other": {"reference": UUID}, "type": "seealso"}, {"other": {"reference": OTHER}, "type": "refer"}]
    )
    sent(api, "transaction", entry("POST", "Patient", first, UUID), entry("POST", "Patient", second, OTHER))
    assert [link["other"]["reference"] for link in api.get("Patient/id-1").json()["link"]] == ["Patient/id-2"]
    assert [link["other"]["reference"] for link in api.get("Patient/id-2").json()["link"]] == [
        "Patient/id-1",
        "Patient/id-2",
    ]


def test_the_rest_of_a_reference_stays(api: httpx.Client) -> None:
    subject = {"reference": UUID, "type": "Patient", "display": "Jill", "identifier": {"value": "1"}}
    assert stored(api, purchase(subject=subject))["subject"] == {**subject, "reference": "Patient/id-1"}


def test_references_deep_inside_are_rewritten(api: httpx.Client) -> None:
    plan = {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "subject": {"reference": UUID},
        "activity": [
            {"detail": {"status": "scheduled", "performer": [{"display": "GP"}, {"reference": UUID}]}},
            {"progress": [{"authorReference": {"reference": UUID}, "text": "Swam"}]},
        ],
    }
    found = stored(api, plan)
    assert found["activity"][0]["detail"]["performer"] == [{"display": "GP"}, {"reference": "Patient/id-1"}]
    assert found["activity"][1]["progress"][0]["authorReference"] == {"reference": "Patient/id-1"}


def test_references_in_parameters_are_rewritten(api: httpx.Client) -> None:
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "a", "valueReference": {"reference": UUID}},
            {"name": "b", "part": [{"name": "c", "resource": budget(UUID)}]},
        ],
    }
    found = stored(api, body)
    assert found["parameter"][0]["valueReference"] == {"reference": "Patient/id-1"}
    assert found["parameter"][1]["part"][0]["resource"]["subject"] == [{"reference": "Patient/id-1"}]


@pytest.mark.parametrize(
    ("name", "value", "after"),
    [
        ("valueReference", {"reference": UUID}, {"reference": "Patient/id-1"}),
        ("valueUri", UUID, "Patient/id-1"),
        ("valueUrl", UUID, "Patient/id-1"),
        ("valueUuid", UUID, "Patient/id-1"),
        ("valueAttachment", {"url": UUID}, {"url": "Patient/id-1"}),
        ("valueUri", f"{UUID}#part", "Patient/id-1#part"),
        ("valueAnnotation", {"authorReference": {"reference": UUID}, "text": "x"}, {"authorReference": {"reference": "Patient/id-1"}, "text": "x"}),
    ],
)  # fmt: skip
def test_links_in_extensions_are_rewritten(api: httpx.Client, name: str, value: Any, after: Any) -> None:
    extension = {"url": "https://example.org/about", name: value}
    nested = {"url": "https://example.org/outer", "extension": [extension]}
    body = task(extension=[extension, nested], modifierExtension=[extension], _status={"extension": [extension]})
    found = stored(api, body)
    rewritten = {"url": "https://example.org/about", name: after}
    assert found["extension"] == [rewritten, {"url": "https://example.org/outer", "extension": [rewritten]}]
    assert found["modifierExtension"] == [rewritten]
    assert found["_status"] == {"extension": [rewritten]}


def test_an_oid_is_rewritten(api: httpx.Client) -> None:
    oid = "urn:oid:1.2.36.146.595.217.0.1"
    extension = {"url": "https://example.org/about", "valueOid": oid}
    assert stored(api, task(extension=[extension]), oid)["extension"][0]["valueOid"] == "Patient/id-1"


def test_links_in_narratives_are_rewritten_and_their_words_stay(api: httpx.Client) -> None:
    text = (
        f'<a href="{UUID}">{UUID}</a> <a name="x" href=\'{UUID}#notes\'>notes</a> <img src="{UUID}" alt="{UUID}"/>'
        f' <a href="{NOT_HERE}">elsewhere</a> <p title="{UUID}">href="{UUID}"</p>'
    )
    found = stored(api, task(text={"status": "generated", "div": XHTML.format(text)}))["text"]["div"]
    assert found == XHTML.format(
        f'<a href="Patient/id-1">{UUID}</a> <a name="x" href="Patient/id-1#notes">notes</a>'
        f' <img src="Patient/id-1" alt="{UUID}"/>'
        f' <a href="{NOT_HERE}">elsewhere</a> <p title="{UUID}">href="{UUID}"</p>'
    )


def test_links_in_a_sections_narrative_are_rewritten(api: httpx.Client) -> None:
    div = XHTML.format('<a href="{}">Jill</a>')
    composition = {
        "resourceType": "Composition",
        "status": "final",
        "type": {"text": "Letter"},
        "date": "2026-11-22",
        "title": "Letter",
        "author": [{"reference": UUID}],
        "section": [{"section": [{"text": {"status": "generated", "div": div.format(UUID)}}]}],
    }
    found = stored(api, composition)
    assert found["section"][0]["section"][0]["text"]["div"] == div.format("Patient/id-1")


def test_references_in_contained_resources_are_rewritten_and_those_to_them_stay(api: httpx.Client) -> None:
    contained = {**budget(UUID), "id": "inner"}
    found = stored(api, task(contained=[contained], focus={"reference": "#inner"}))
    assert found["contained"] == [{**contained, "subject": [{"reference": "Patient/id-1"}]}]
    assert found["focus"] == {"reference": "#inner"}


def test_a_put_entry_is_referred_to_by_its_full_url_too(api: httpx.Client) -> None:
    sent(
        api,
        "transaction",
        entry("PUT", "Patient/jill", person(id="jill"), UUID),
        entry("PUT", "Account/b", budget(UUID, id="b"), OTHER),
    )
    assert api.get("Account/b").json()["subject"] == [{"reference": "Patient/jill"}]


def test_a_reference_to_a_conditional_create_or_update_follows_to_what_was_found(api: httpx.Client) -> None:
    made(api.put("Patient/jill", json=person(id="jill")))
    made(api.put("Patient/jack", json=person(JACK, id="jack")))
    sent(
        api,
        "transaction",
        entry("POST", "Patient", person(), UUID, ifNoneExist=nhs(JILL)),
        entry("PUT", f"Patient?{nhs(JACK)}", person(JACK, active=True), OTHER),
        entry("PUT", "ChargeItem/b", bought(UUID, OTHER)),
    )
    found = api.get("ChargeItem/b").json()
    assert (found["subject"], found["enterer"]) == ({"reference": "Patient/jill"}, {"reference": "Patient/jack"})


def bought(by: str, entered_by: str, **more: Any) -> dict[str, Any]:
    """A purchase that points to two people."""
    return purchase(id="b", subject={"reference": by}, enterer={"reference": entered_by, **more})


def fhirpath_patch(reference: str) -> dict[str, Any]:
    """A FHIRPath Patch that makes a Task one for somebody."""
    parts: list[dict[str, Any]] = [
        {"name": "type", "valueCode": "add"},
        {"name": "path", "valueString": "Task"},
        {"name": "name", "valueString": "for"},
        {"name": "value", "valueReference": {"reference": reference}},
    ]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}


def json_patch(reference: str) -> dict[str, Any]:
    """A JSON Patch, as the Binary that carries it, that does the same."""
    patch = [{"op": "add", "path": "/for", "value": {"reference": reference}}]
    data = base64.b64encode(json.dumps(patch).encode()).decode()
    return {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}


@pytest.mark.parametrize("patch", [fhirpath_patch(UUID), json_patch(UUID)], ids=["FHIRPath", "JSON"])
def test_a_reference_in_a_patch_follows_to_the_created_resource(api: httpx.Client, patch: dict[str, Any]) -> None:
    made(api.put("Task/t", json=task(id="t")))
    done = sent(api, "transaction", entry("PATCH", "Task/t", patch), entry("POST", "Patient", person(), UUID))
    created = done[1]["response"]["location"].split("/fhir/")[1].partition("/_history")[0]
    assert api.get("Task/t").json()["for"] == {"reference": created}


# ---- fullUrls that are addresses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", [f"{OLD}/Patient/1", "Patient/1"])
def test_a_reference_to_an_address_on_the_source_follows(api: httpx.Client, reference: str) -> None:
    found = stored(api, budget(reference), f"{OLD}/Patient/1", f"{OLD}/Account/1")
    assert found["subject"] == [{"reference": "Patient/id-1"}]


@pytest.mark.parametrize(
    "reference", [f"{OLD}/Patient/2", "Patient/2", "https://other.example.org/Patient/1", f"{OLD}/Patient/10"]
)
def test_a_reference_to_what_is_not_in_the_bundle_stays(api: httpx.Client, reference: str) -> None:
    found = stored(api, budget(reference), f"{OLD}/Patient/1", f"{OLD}/Account/1")
    assert found["subject"] == [{"reference": reference}]


def test_a_relative_reference_is_not_taken_for_one_on_another_entrys_server(api: httpx.Client) -> None:
    found = stored(api, budget("Patient/1"), f"{OLD}/Patient/1", "https://other.example.org/fhir/Account/1")
    assert found["subject"] == [{"reference": "Patient/1"}]


@pytest.mark.parametrize("own_url", [UUID, None], ids=["an urn", "no fullUrl"])
@pytest.mark.parametrize("is_relative", [True, False])
def test_a_reference_to_an_address_on_this_server_follows_the_entry_that_has_it(
    api: httpx.Client, own_url: str | None, is_relative: bool
) -> None:
    full_url = f"{str(api.base_url).rstrip('/')}/Patient/for-now"
    body = budget("Patient/for-now" if is_relative else full_url)
    account = entry("POST", "Account", body, *([own_url] if own_url else []))
    done = sent(api, "transaction", entry("POST", "Patient", person(), full_url), account)
    assert api.get(done[1]["response"]["location"]).json()["subject"] == [{"reference": "Patient/id-1"}]


@pytest.mark.parametrize(("says", "named"), [("3", "3"), ("3", "2"), (None, "3")])
@pytest.mark.parametrize("root", [OLD, "here"])
@pytest.mark.parametrize("is_relative", [True, False])
def test_a_reference_to_the_version_that_an_entry_says_it_has_follows_to_the_resource(
    api: httpx.Client, says: str | None, named: str, root: str, is_relative: bool
) -> None:
    # "match the version based on Resource.meta.versionId" (R4 §2.36.4.1)
    root = str(api.base_url).rstrip("/") if root == "here" else root
    reference = f"{'' if is_relative else f'{root}/'}Patient/1/_history/{named}"
    sent_in = person(**({"meta": {"versionId": says}} if says else {}))
    entries = (
        entry("POST", "Patient", sent_in, f"{root}/Patient/1"),
        entry("POST", "Account", budget(reference), f"{root}/Account/1"),
    )
    done = sent(api, "transaction", *entries)
    found = api.get(done[1]["response"]["location"]).json()["subject"]
    assert found == [{"reference": "Patient/id-1" if says == named else reference}]


def test_a_reference_to_an_earlier_version_of_what_is_put_to_its_own_address_stays(api: httpx.Client) -> None:
    full_url = f"{str(api.base_url).rstrip('/')}/Patient/1"
    before = made(api.put("Patient/1", json=person(id="1", active=True)))
    after = person(id="1", meta=before["meta"], active=False)
    account = entry("POST", "Account", budget("Patient/1/_history/1"))
    done = sent(api, "transaction", entry("PUT", "Patient/1", after, full_url), account)
    assert api.get(done[1]["response"]["location"]).json()["subject"] == [{"reference": "Patient/1/_history/1"}]


# ---- what stays ------------------------------------------------------------------------------------------------------


def test_a_urn_that_is_the_fullurl_of_no_entry_is_refused_and_nothing_is_kept(api: httpx.Client) -> None:
    entries = (entry("POST", "Patient", person(), UUID), entry("POST", "Account", budget(NOT_HERE)))
    answer = api.post("/", json=bundle("transaction", *entries))
    assert answer.status_code == 400
    issue = answer.json()["issue"][0]
    assert (issue["code"], issue["expression"]) == ("not-found", ["Bundle.entry[1].resource.subject[0].reference"])
    assert NOT_HERE in issue["diagnostics"]
    assert api.get("/Patient").json()["total"] == 0


@pytest.mark.parametrize(
    "body",
    [
        task(description=UUID),
        task(identifier=[{"system": "urn:ietf:rfc:3986", "value": UUID}]),
        task(identifier=[{"system": UUID, "value": "1"}]),
        task(note=[{"text": f"see {UUID}", "authorString": UUID}]),
        task(code={"text": UUID, "coding": [{"system": UUID, "code": UUID, "display": UUID}]}),
        task(extension=[{"url": "https://example.org/about", "valueString": UUID}]),
        task(extension=[{"url": "https://example.org/about", "valueCode": UUID}]),
        task(extension=[{"url": "https://example.org/about", "valueMarkdown": f"[Jill]({UUID})"}]),
        task(extension=[{"url": UUID, "valueBoolean": True}]),
        task(extension=[{"url": "https://example.org/about", "valueUri": f"https://example.org/of/{UUID}"}]),
        task(focus={"identifier": {"system": "urn:ietf:rfc:3986", "value": UUID}, "display": UUID}),
        task(text={"status": "generated", "div": XHTML.format(UUID)}),
    ],
    ids=[
        "string", "Identifier.value", "Identifier.system", "Annotation", "Coding", "valueString", "valueCode",
        "markdown", "Extension.url", "a longer uri", "logical reference", "narrative words",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_link_stays(api: httpx.Client, body: dict[str, Any]) -> None:
    assert stored(api, body) == body


@pytest.mark.parametrize("url", [UUID, f"{UUID}#part", f"{UUID}|1.0"])
def test_a_canonical_stays(api: httpx.Client, url: str) -> None:
    # "Elements of type canonical are not replaced" (R4 §3.1.0.11.2)
    body = task(instantiatesCanonical=url, extension=[{"url": "https://example.org/about", "valueCanonical": url}])
    assert stored(api, body) == body


@pytest.mark.parametrize("url", ["https://example.org/fhir/StructureDefinition/colour", UUID])
def test_a_definition_keeps_its_url_and_what_it_is_used_by(api: httpx.Client, url: str) -> None:
    definition = {
        "resourceType": "StructureDefinition",
        "url": url,
        "name": "Colour",
        "status": "draft",
        "kind": "complex-type",
        "abstract": False,
        "type": "Extension",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Extension",
        "derivation": "constraint",
        "context": [{"type": "element", "expression": "Element"}],
        "differential": {"element": [{"id": "Extension", "path": "Extension"}]},
    }
    user = person(meta={"profile": [url]}, extension=[{"url": url, "valueString": "red"}])
    entries = [entry("POST", "StructureDefinition", definition, url), entry("POST", "Patient", user, OTHER)]
    sent(api, "transaction", *entries)
    assert api.get("StructureDefinition/id-1").json()["url"] == url
    found = api.get("Patient/id-2").json()
    assert (found["meta"]["profile"], found["extension"]) == ([url], user["extension"])


def test_references_within_a_stored_bundle_stay(api: httpx.Client) -> None:
    kept = bundle("collection", {"fullUrl": NOT_HERE, "resource": {**budget(UUID), "id": "1"}})
    assert stored(api, kept)["entry"] == kept["entry"]


def test_the_full_urls_within_a_stored_bundle_stay_also_where_the_transaction_has_the_same(api: httpx.Client) -> None:
    # a document, posted with its parts: what is in it still finds what is in it
    parts = [{"fullUrl": UUID, "resource": person(id="1")}, {"fullUrl": NOT_HERE, "resource": budget(UUID, id="2")}]
    kept = bundle("collection", *parts)
    assert stored(api, kept)["entry"] == kept["entry"]


def test_a_uuid_that_is_no_entrys_stays_in_a_batch(api: httpx.Client) -> None:
    # entries of a batch know nothing of each other (R4 §3.1.0.11.1); what else a UUID may mean is not the server's to say
    other = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0b"
    sent(api, "batch", entry("POST", "Patient", person(), UUID), entry("PUT", "Account/b", budget(other, id="b")))
    assert api.get("Account/b").json()["subject"] == [{"reference": other}]


# ---- conditional references ------------------------------------------------------------------------------------------


def by_nhs_number(number: str) -> str:
    return f"Patient?{nhs(number)}"


def test_a_conditional_reference_becomes_the_stored_resource_it_finds(api: httpx.Client) -> None:
    made(api.put("Patient/jill", json=person(id="jill")))
    made(api.put("Patient/jack", json=person(JACK, id="jack")))
    encoded = f"Patient?identifier=https%3A%2F%2Ffhir.nhs.uk%2FId%2Fnhs-number%7C{JACK}"
    sent(api, "transaction", entry("PUT", "ChargeItem/b", bought(by_nhs_number(JILL), encoded, display="Jack")))
    found = api.get("ChargeItem/b").json()
    assert found["subject"] == {"reference": "Patient/jill"}
    assert found["enterer"] == {"reference": "Patient/jack", "display": "Jack"}


def test_a_conditional_reference_finds_what_the_same_transaction_creates(api: httpx.Client) -> None:
    sent(
        api,
        "transaction",
        entry("PUT", "ChargeItem/b", bought(by_nhs_number(JILL), by_nhs_number(JACK))),
        entry("POST", "Patient", person(JILL)),
        entry("PUT", "Patient/jack", person(JACK, id="jack")),
    )
    found = api.get("ChargeItem/b").json()
    assert (found["subject"], found["enterer"]) == ({"reference": "Patient/id-1"}, {"reference": "Patient/jack"})


def test_a_conditional_reference_does_not_find_what_the_same_transaction_deletes(api: httpx.Client) -> None:
    made(api.put("Patient/old", json=person(id="old")))
    made(api.put("Patient/new", json=person(id="new")))
    sent(
        api,
        "transaction",
        entry("DELETE", "Patient/old"),
        entry("PUT", "Account/b", budget(by_nhs_number(JILL), id="b")),
    )
    assert api.get("Account/b").json()["subject"] == [{"reference": "Patient/new"}]


def test_a_conditional_reference_finds_a_resource_by_what_the_transaction_makes_of_it(api: httpx.Client) -> None:
    made(api.put("Patient/jill", json=person(JACK, id="jill")))
    sent(
        api,
        "transaction",
        entry("PUT", "Account/b", budget(by_nhs_number(JILL), id="b")),
        entry("PUT", "Patient/jill", person(JILL, id="jill")),
    )
    assert api.get("Account/b").json()["subject"] == [{"reference": "Patient/jill"}]


def test_a_conditional_reference_in_an_extension_and_a_contained_resource_is_found(api: httpx.Client) -> None:
    made(api.put("Patient/jill", json=person(id="jill")))
    extension = {"url": "https://example.org/about", "valueReference": {"reference": by_nhs_number(JILL)}}
    contained = {**budget(by_nhs_number(JILL)), "id": "inner"}
    body = task(id="t", extension=[extension], contained=[contained], focus={"reference": "#inner"})
    sent(api, "transaction", entry("PUT", "Task/t", body))
    found = api.get("Task/t").json()
    assert found["extension"][0]["valueReference"] == {"reference": "Patient/jill"}
    assert found["contained"][0]["subject"] == [{"reference": "Patient/jill"}]


def test_a_conditional_reference_in_a_fhirpath_patch_is_found(api: httpx.Client) -> None:
    made(api.put("Patient/jill", json=person(id="jill")))
    made(api.put("Task/t", json=task(id="t")))
    sent(api, "transaction", entry("PATCH", "Task/t", fhirpath_patch(by_nhs_number(JILL))))
    assert api.get("Task/t").json()["for"] == {"reference": "Patient/jill"}
    answer = api.post("", json=bundle("transaction", entry("PATCH", "Task/t", fhirpath_patch(by_nhs_number(JACK)))))
    at = "Bundle.entry[0].resource.parameter[0].part[3].value.reference"
    refused(answer, 412, "not-found", by_nhs_number(JACK), "matches nothing", at=at)


@pytest.mark.parametrize(
    ("op", "path", "value"),
    [("add", "/for", {"reference": "{}"}), ("add", "/for", {"reference": "{}", "display": "Jill"}),
     ("replace", "/for/reference", "{}"), ("add", "/extension", [{"url": "http://example.org/x", "valueReference": {"reference": "{}"}}])],
)  # fmt: skip
def test_a_conditional_reference_in_a_json_patch_is_found(api: httpx.Client, op: str, path: str, value: Any) -> None:
    def patch(reference: str) -> dict[str, Any]:
        operation = json.dumps([{"op": op, "path": path, "value": value}]).replace("{}", reference)
        data = base64.b64encode(operation.encode()).decode()
        return {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}

    made(api.put("Patient/jill", json=person(id="jill")))
    made(api.put("Task/t", json=task(id="t", **{"for": {"reference": "Patient/other"}})))
    sent(api, "transaction", entry("PATCH", "Task/t", patch(by_nhs_number(JILL))))
    kept = api.get("Task/t").text
    assert '"reference":"Patient/jill"' in kept
    assert by_nhs_number(JILL) not in kept
    at = "Bundle.entry[0].resource.data"
    answer = api.post("", json=bundle("transaction", entry("PATCH", "Task/t", patch(by_nhs_number(JACK)))))
    refused(answer, 412, "not-found", by_nhs_number(JACK), "matches nothing", at=at)
    answer = api.post("", json=bundle("transaction", entry("PATCH", "Task/t", patch(NOT_HERE))))
    refused(answer, 400, "not-found", NOT_HERE, "no entry", at=at)
    assert api.get("Task/t").text == kept


def test_a_conditional_reference_that_finds_nothing_refuses_the_transaction(api: httpx.Client) -> None:
    plan = {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "subject": {"display": "Jill"},
        "contributor": [{"display": "Ruth"}, {"reference": by_nhs_number(JILL)}],
    }
    answer = api.post("", json=bundle("transaction", entry("POST", "Task", task()), entry("POST", "CarePlan", plan)))
    at = "Bundle.entry[1].resource.contributor[1].reference"
    refused(answer, 412, "not-found", by_nhs_number(JILL), "matches nothing", at=at)
    assert nothing_was_written(api)


@pytest.mark.parametrize("count_stored", [0, 1, 2])
def test_a_conditional_reference_that_finds_several_refuses_the_transaction(
    api: httpx.Client, count_stored: int
) -> None:
    for _ in range(count_stored):
        made(api.post("Patient", json=person()))
    created = [entry("POST", "Patient", person()) for _ in range(2 - count_stored)]
    answer = api.post("", json=bundle("transaction", entry("POST", "Account", budget(by_nhs_number(JILL))), *created))
    at = "Bundle.entry[0].resource.subject[0].reference"
    refused(answer, 412, "multiple-matches", by_nhs_number(JILL), "more than one", at=at)
    assert ids(api, "Account") == []
    assert len(ids(api, "Patient")) == count_stored


def test_what_was_deleted_before_is_not_found_by_a_conditional_reference(api: httpx.Client) -> None:
    made(api.put("Patient/jill", json=person(id="jill")))
    api.delete("Patient/jill")
    answer = api.post("", json=bundle("transaction", entry("POST", "Account", budget(by_nhs_number(JILL)))))
    refused(answer, 412, "not-found", "matches nothing", at="Bundle.entry[0].resource.subject[0].reference")


@pytest.mark.parametrize(
    ("criteria", "code", "word"),
    [
        ("Patient?shoe-size=5", "not-supported", "'shoe-size'"),
        ("Patient?identifier=", "value", "needs a value"),
        ("Patient?", "required", "needs a condition"),
        ("Patient?_count=1", "not-supported", "_count: it shapes an answer"),
    ],
)
def test_a_conditional_reference_that_is_not_understood_refuses_the_transaction(
    api: httpx.Client, criteria: str, code: str, word: str
) -> None:
    answer = api.post("", json=bundle("transaction", entry("POST", "Account", budget(criteria))))
    refused(answer, 400, code, word, at="Bundle.entry[0].resource.subject[0].reference")
    assert nothing_was_written(api)


def test_outside_a_transaction_a_search_is_no_reference_and_refused(api: httpx.Client) -> None:
    # "in a transaction (and only in a transaction)", R4 §3.1.0.11.2
    made(api.put("Patient/jill", json=person(id="jill")))
    answer = api.post("Account", json=budget(by_nhs_number(JILL)))
    refused(answer, 422, "value", "followed in a transaction alone", at="Account.subject[0].reference")
    (done,) = sent(api, "batch", entry("PUT", "Account/b", budget(by_nhs_number(JILL), id="b")))
    assert done["response"]["status"] == "422 Unprocessable Entity"
    assert api.get("Account/b").status_code == 404
