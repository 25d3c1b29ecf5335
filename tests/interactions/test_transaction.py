"""transaction (R4 §3.1.0.11.2): what a Bundle does, in which order, with which answers; all of it or nothing.

What is refused is in `test_transaction_refusals`, how references are rewritten in `test_transaction_references`.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from tests.builders import budget, bundle, entry, person, purchase, task
from tests.interactions.checks import ids, made, nhs, nothing_was_written, sent, versions

JILL, JACK = "9000000009", "9000000017"


@pytest.fixture
def jill(api: httpx.Client) -> str:
    """Patient/jill at version 1."""
    made(api.put("Patient/jill", json=person(id="jill")))
    return "Patient/jill"


def binary_patch(*operations: dict[str, Any]) -> dict[str, Any]:
    """A JSON Patch as the Binary that carries it in a Bundle."""
    data = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}


SET_ACTIVE = binary_patch({"op": "add", "path": "/active", "value": True})
SET_GENDER = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [
                {"name": "type", "valueCode": "add"},
                {"name": "path", "valueString": "Patient"},
                {"name": "name", "valueString": "gender"},
                {"name": "value", "valueCode": "female"},
            ],
        }
    ],
}


# ---- answers ---------------------------------------------------------------------------------------------------------


def test_a_transaction_answers_each_entry_in_its_place(api: httpx.Client) -> None:
    entries = [entry("POST", "Patient", person()), entry("PUT", "Account/b", budget(id="b"))]
    answer = api.post("", json=bundle("transaction", *entries))
    assert answer.status_code == 200, answer.text
    at = api.get("Account/b").json()["meta"]["lastUpdated"]
    response = {"status": "201 Created", "etag": 'W/"1"', "lastModified": at}
    assert answer.json() == {
        "resourceType": "Bundle",
        "type": "transaction-response",
        "entry": [
            {"response": {**response, "location": str(api.base_url.join("Patient/id-1/_history/1"))}},
            {"response": {**response, "location": str(api.base_url.join("Account/b/_history/1"))}},
        ],
    }
    assert api.get("Patient/id-1").json()["meta"] == {"versionId": "1", "lastUpdated": at}


def test_everything_in_a_transaction_is_written_at_the_same_instant(api: httpx.Client, jill: str) -> None:
    done = sent(
        api,
        "transaction",
        entry("POST", "Patient", person(JACK)),
        entry("PUT", jill, person(id="jill", active=True)),
        entry("PUT", "Account/b", budget(id="b")),
    )
    assert len({each["response"]["lastModified"] for each in done}) == 1


def test_every_method_in_one_transaction_is_answered_in_the_order_of_the_entries(api: httpx.Client, jill: str) -> None:
    made(api.put("Account/old", json=budget(id="old")))
    made(api.put("Account/kept", json=budget(id="kept")))
    done = sent(
        api,
        "transaction",
        entry("GET", jill),
        entry("PATCH", "Account/kept", binary_patch({"op": "replace", "path": "/status", "value": "inactive"})),
        entry("PUT", jill, person(id="jill", active=True)),
        entry("POST", "Task", task()),
        entry("DELETE", "Account/old"),
    )
    statuses = ["200 OK", "200 OK", "200 OK", "201 Created", "204 No Content"]
    assert [each["response"]["status"] for each in done] == statuses
    assert [each["response"]["etag"] for each in done] == ['W/"2"', 'W/"2"', 'W/"2"', 'W/"1"', 'W/"2"']
    assert api.get("Account/old").status_code == 410
    assert api.get("Account/kept").json()["status"] == "inactive"


def test_an_empty_transaction_is_answered_with_an_empty_response(api: httpx.Client) -> None:
    answer = api.post("", json={"resourceType": "Bundle", "type": "transaction"})
    assert (answer.status_code, answer.json()) == (200, {"resourceType": "Bundle", "type": "transaction-response"})
    assert nothing_was_written(api)


def test_a_resource_that_changes_nothing_is_answered_200_and_makes_no_version(api: httpx.Client, jill: str) -> None:
    done = sent(api, "transaction", entry("PUT", jill, person(id="jill")), entry("POST", "Task", task()))
    assert done[0]["response"]["status"] == "200 OK"
    assert done[0]["response"]["etag"] == 'W/"1"'
    assert len(versions(api, jill)) == 1


def test_a_put_brings_back_what_was_deleted_as_the_next_version(api: httpx.Client, jill: str) -> None:
    api.delete(jill)
    done = sent(api, "transaction", entry("PUT", jill, person(id="jill")))
    assert (done[0]["response"]["status"], done[0]["response"]["etag"]) == ("201 Created", 'W/"3"')


def test_a_delete_of_what_never_was_is_answered_204(api: httpx.Client) -> None:
    done = sent(api, "transaction", entry("DELETE", "Patient/nobody"))
    assert done == [{"response": {"status": "204 No Content"}}]


def test_the_order_of_the_entries_makes_no_difference(api: httpx.Client) -> None:
    made(api.put("Patient/jack", json=person(JACK, id="jack")))
    entries = [
        entry("GET", f"Patient?{nhs(JILL)}"),
        entry("POST", "Patient", person(JILL), "urn:uuid:1b4b1f7e-0000-4000-8000-000000000001"),
        entry("DELETE", "Patient/jack"),
        entry("GET", "Patient?_summary=count"),
    ]
    done = sent(api, "transaction", *entries)
    assert [done[0]["resource"]["total"], done[3]["resource"]["total"]] == [1, 1]
    assert ids(api, "Patient") == [done[1]["response"]["location"].split("/")[-3]]


# ---- reads within ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_by_address_first", [True, False])
def test_what_is_deleted_by_its_address_and_by_a_condition_is_deleted_in_either_order(
    api: httpx.Client, jill: str, is_by_address_first: bool
) -> None:
    # "The outcome … SHALL NOT depend on the order of the resources in the transaction" (R4 §3.1.0.11.2)
    both = [entry("DELETE", "Patient/jill"), entry("DELETE", "Patient?_id=jill")]
    done = sent(api, "transaction", *(both if is_by_address_first else reversed(both)))
    assert [one["response"]["status"] for one in done] == ["204 No Content"] * 2
    assert api.get("/Patient/jill").status_code == 410


def test_reads_see_what_the_transaction_wrote(api: httpx.Client, jill: str) -> None:
    done = sent(
        api,
        "transaction",
        entry("GET", jill),
        entry("GET", f"{jill}/_history"),
        entry("GET", f"{jill}/_history/1"),
        entry("GET", f"Patient?{nhs(JACK)}"),
        entry("PUT", jill, person(JACK, id="jill")),
    )
    read, history, version, found, written = done
    assert read["resource"]["meta"]["versionId"] == "2"
    assert read["fullUrl"] == str(api.base_url.join("Patient/jill"))
    assert read["response"] == {key: written["response"][key] for key in ("status", "etag", "lastModified")}
    assert (history["resource"]["type"], history["resource"]["total"]) == ("history", 2)
    assert version["resource"]["meta"]["versionId"] == "1"
    assert (found["resource"]["type"], found["resource"]["total"]) == ("searchset", 1)
    assert found["resource"]["entry"][0]["resource"]["id"] == "jill"


def test_a_read_that_knows_the_version_is_answered_304(api: httpx.Client, jill: str) -> None:
    at = api.get(jill).json()["meta"]["lastUpdated"]
    done = sent(
        api,
        "transaction",
        entry("GET", jill, ifNoneMatch='W/"1"'),
        entry("GET", jill, ifNoneMatch='W/"7"'),
        entry("GET", jill, ifModifiedSince=at),
        entry("GET", jill, ifModifiedSince="2020-01-01T00:00:00Z"),
    )
    assert [each["response"]["status"] for each in done] == ["304 Not Modified", "200 OK"] * 2
    assert ["resource" in each for each in done] == [False, True] * 2


def test_a_read_can_ask_for_a_summary(api: httpx.Client, jill: str) -> None:
    done = sent(
        api, "transaction", entry("GET", f"{jill}?_elements=identifier"), entry("GET", "metadata?_summary=true")
    )
    assert set(done[0]["resource"]) == {"resourceType", "id", "meta", "identifier"}
    assert done[1]["resource"]["resourceType"] == "CapabilityStatement"


# ---- conditions within -----------------------------------------------------------------------------------------------


def test_if_match_is_honoured_inside_an_entry(api: httpx.Client, jill: str) -> None:
    done = sent(
        api,
        "transaction",
        entry("PUT", jill, person(id="jill", active=True), ifMatch='W/"1"'),
        entry("PUT", "Patient/jack", person(JACK, id="jack"), ifNoneMatch="*"),
    )
    assert [each["response"]["etag"] for each in done] == ['W/"2"', 'W/"1"']


def test_if_none_exist_creates_once_and_then_answers_with_what_is_there(api: httpx.Client) -> None:
    one = entry("POST", "Patient", person(), ifNoneExist=nhs(JILL))
    first, second = sent(api, "transaction", one)[0], sent(api, "transaction", one)[0]
    assert (first["response"]["status"], second["response"]["status"]) == ("201 Created", "200 OK")
    assert second["response"]["location"] == first["response"]["location"]
    assert len(ids(api, "Patient")) == 1


def test_several_conditional_creates_may_find_the_same_resource(api: httpx.Client, jill: str) -> None:
    one = entry("POST", "Patient", person(), ifNoneExist=nhs(JILL))
    assert [each["response"]["status"] for each in sent(api, "transaction", one, one)] == ["200 OK"] * 2
    assert ids(api, "Patient") == ["jill"]


def test_a_conditional_create_does_not_find_what_the_same_transaction_deletes(api: httpx.Client, jill: str) -> None:
    done = sent(
        api,
        "transaction",
        entry("POST", "Patient", person(), ifNoneExist=nhs(JILL)),
        entry("DELETE", jill),
    )
    assert [each["response"]["status"] for each in done] == ["201 Created", "204 No Content"]
    assert len(ids(api, "Patient")) == 1
    assert api.get(jill).status_code == 410


def test_conditional_update_patch_and_delete_find_their_targets(api: httpx.Client, jill: str) -> None:
    made(api.put("Patient/jack", json=person(JACK, id="jack")))
    made(api.put("Account/b1", json=budget(id="b1", identifier=[{"value": "old"}])))
    made(api.put("Account/b2", json=budget(id="b2", identifier=[{"value": "old"}])))
    done = sent(
        api,
        "transaction",
        entry("PUT", f"Patient?{nhs(JILL)}", person(JILL, active=True)),
        entry("PATCH", f"Patient?{nhs(JACK)}", SET_ACTIVE),
        entry("DELETE", "Account?identifier=old"),
        entry("DELETE", "Account?identifier=never"),
        entry("PUT", "Patient?identifier=new", person("9000000025")),
    )
    statuses = [each["response"]["status"] for each in done]
    assert statuses == ["200 OK", "200 OK", "204 No Content", "204 No Content", "201 Created"]
    assert [api.get(f"Patient/{id_}").json()["active"] for id_ in ("jill", "jack")] == [True, True]
    assert ids(api, "Account") == []


# ---- sent again ------------------------------------------------------------------------------------------------------

FROM_JILL = {"resourceType": "Observation", "status": "final", "code": {"text": "weight"}}
REFERS_TO_ITSELF = [
    entry("POST", "Patient", person(JILL)),
    entry("POST", "Observation", {**FROM_JILL, "subject": {"reference": f"Patient?{nhs(JILL)}"}}),
]
MATCHED_BY_ITSELF = {
    "a patch that ends its own condition": [
        entry("PATCH", f"Patient?{nhs(JACK)}", binary_patch({"op": "remove", "path": "/identifier"})),
    ],
    "an update by a condition that it ends": [
        entry("PUT", f"Patient?{nhs(JACK)}", person(JILL)),
    ],
    "a create under a condition that it meets": [
        entry("POST", "Patient", person(JILL), ifNoneExist=nhs(JILL)),
    ],
}


@pytest.mark.parametrize(
    ("kind", "entries"),
    [
        pytest.param("transaction", REFERS_TO_ITSELF, id="transaction-a reference to what it creates"),
        *(
            pytest.param(kind, entries, id=f"{kind}-{what}")
            for what, entries in MATCHED_BY_ITSELF.items()
            for kind in ("transaction", "batch")
        ),
    ],
)
def test_a_bundle_sent_again_is_answered_as_the_first_time_whatever_its_conditions_match_by_then(
    api: httpx.Client, entries: list[dict[str, Any]], kind: str
) -> None:
    made(api.put("Patient/jack", json=person(JACK, id="jack")))
    headers = {"X-Request-ID": "0c7a1f6e-a-bundle"}
    first, *again = (api.post("", json=bundle(kind, *entries), headers=headers) for _ in range(3))
    assert {each["response"]["status"] for each in first.json()["entry"]} <= {"200 OK", "201 Created"}
    assert [one.json() for one in again] == [first.json()] * 2


def test_a_transaction_sent_again_does_not_say_that_nothing_was_written_when_what_it_reads_is_gone(
    api: httpx.Client, jill: str
) -> None:
    asked = bundle("transaction", entry("POST", "Patient", person(JACK)), entry("GET", jill))
    headers = {"X-Request-ID": "0c7a1f6e-with-a-read"}
    first = api.post("", json=asked, headers=headers).json()["entry"]
    assert api.delete(jill).status_code == 204
    again = api.post("", json=asked, headers=headers).json()["entry"]
    assert again[0] == first[0]
    assert again[1]["response"]["status"] == "410 Gone"
    (issue,) = again[1]["response"]["outcome"]["issue"]
    assert (issue["code"], issue["expression"]) == ("deleted", ["Bundle.entry[1].request"])


# ---- patches within --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("patch", "name"), [(SET_ACTIVE, "active"), (SET_GENDER, "gender")], ids=["JSON", "FHIRPath"])
def test_a_patch_entry_changes_its_resource(api: httpx.Client, jill: str, patch: dict[str, Any], name: str) -> None:
    done = sent(api, "transaction", entry("PATCH", jill, patch))
    assert (done[0]["response"]["status"], done[0]["response"]["etag"]) == ("200 OK", 'W/"2"')
    assert name in api.get(jill).json()
    assert versions(api, jill)[0] == ("PATCH", 'W/"2"', True)


# ---- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["{path}", "/{path}", "{base}/{path}"])
def test_an_entrys_url_is_relative_or_this_servers_own(api: httpx.Client, jill: str, form: str) -> None:
    base = str(api.base_url).rstrip("/")
    done = sent(
        api,
        "transaction",
        entry("POST", form.format(base=base, path="Patient"), person(JACK)),
        entry("PUT", form.format(base=base, path=jill), person(id="jill", active=True)),
        entry("GET", form.format(base=base, path=f"Patient?identifier={JILL}")),
    )
    assert [each["response"]["status"] for each in done] == ["201 Created", "200 OK", "200 OK"]
    assert done[2]["resource"]["total"] == 1


def test_a_url_is_percent_decoded_once(api: httpx.Client) -> None:
    made(api.put("Patient/a", json=person(identifier=[{"system": "https://example.org/é", "value": "a|b%20"}], id="a")))
    url = "Patient?identifier=https%3A%2F%2Fexample.org%2F%C3%A9%7Ca%5C%7Cb%2520"
    assert sent(api, "transaction", entry("GET", url))[0]["resource"]["total"] == 1


def test_an_id_in_a_posted_resource_is_not_taken(api: httpx.Client) -> None:
    done = sent(api, "transaction", entry("POST", "Patient", person(id="mine")))
    assert done[0]["response"]["location"].endswith("/Patient/id-1/_history/1")
    assert api.get("Patient/mine").status_code == 404


def test_a_bundle_can_be_stored_by_a_transaction(api: httpx.Client) -> None:
    kept = bundle("collection", {"fullUrl": "https://example.org/Patient/1", "resource": person(id="1")})
    sent(api, "transaction", entry("POST", "Bundle", kept))
    assert api.get("Bundle/id-1").json()["entry"] == kept["entry"]


# ---- Prefer ----------------------------------------------------------------------------------------------------------


def written_in_each_way(api: httpx.Client, prefer: str) -> list[dict[str, Any]]:
    """The answers to a create, an update, an unchanged update, a found create and a delete, with this preference."""
    for id_, number in (("jill", JILL), ("jack", JACK)):
        made(api.put(f"Patient/{id_}", json=person(number, id=id_)))
    made(api.put("Account/b", json=budget(id="b")))
    return sent(
        api,
        "transaction",
        entry("POST", "ChargeItem", purchase()),
        entry("PUT", "Patient/jill", person(id="jill", active=True)),
        entry("PUT", "Patient/jack", person(JACK, id="jack")),
        entry("POST", "Patient", person(JACK), ifNoneExist=nhs(JACK)),
        entry("DELETE", "Account/b"),
        Prefer=prefer,
    )


def test_return_minimal_answers_entries_without_content(api: httpx.Client) -> None:
    done = written_in_each_way(api, "return=minimal")
    assert all(set(each) == {"response"} for each in done)
    assert all("outcome" not in each["response"] for each in done)


def test_return_representation_answers_entries_with_what_now_stands(api: httpx.Client) -> None:
    *written, deleted = written_in_each_way(api, "return=representation")
    assert [each["response"]["status"] for each in written] == ["201 Created", "200 OK", "200 OK", "200 OK"]
    for each in written:
        assert api.get(each["fullUrl"]).json() == each["resource"]
    assert "resource" not in deleted


def test_return_operation_outcome_answers_entries_with_sentences(api: httpx.Client) -> None:
    done = written_in_each_way(api, "return=OperationOutcome")
    charge = done[0]["response"]["location"].split("/fhir/")[1].partition("/_history")[0]
    assert [each["response"]["outcome"]["issue"][0]["details"]["text"] for each in done] == [
        f"{charge} was created.",
        "Patient/jill was updated.",
        "Patient/jack was left as it was: nothing in it changed.",
        "Patient/jack was there already, and was left as it is.",
        "1 deleted.",
    ]
    assert all("resource" not in each for each in done)
