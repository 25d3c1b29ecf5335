"""The access entries of a version: kept with every version of it, and its labels those of what is current."""

from __future__ import annotations

from phb_fhir.search.access import ENTRIES_MAX, TAKEN_BACK, access_entries, labels_of, patients_of

RESTRICTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
LABEL = "_security=http://terminology.hl7.org/CodeSystem/v3-Confidentiality|R"
DESCRIBED = {
    "resourceType": "Condition",
    "id": "ms",
    "subject": {"reference": "Patient/jill"},
    "code": {"text": "Multiple sclerosis"},
}


def entries_of(document):
    return set(document["a"])


def put(api, resource):
    return api.put(f"/{resource['resourceType']}/{resource['id']}", json=resource)


def documents(server, mongodb_admin):
    database = mongodb_admin[server.settings.mongodb_database]
    current = database.resources.find_one({"_id": "Condition/ms"})
    return current, list(database.history.find({"key": "Condition/ms"}).sort("version", 1))


def test_every_version_says_whose_record_it_was(api, server, mongodb_admin):
    put(api, DESCRIBED)
    put(api, {**DESCRIBED, "subject": {"reference": "Patient/ann"}})
    current, (first,) = documents(server, mongodb_admin)
    assert "patient=Patient/ann" in entries_of(current)
    assert "patient=Patient/jill" in entries_of(first)
    assert "patient=Patient/ann" not in entries_of(first)


def test_a_deletion_says_whose_record_was_deleted(api, server, mongodb_admin):
    put(api, DESCRIBED)
    api.delete("/Condition/ms")
    current, (first,) = documents(server, mongodb_admin)
    assert current["deleted"]
    assert entries_of(current) == entries_of(first) >= {"patient=Patient/jill"}


def test_a_label_holds_for_all_of_the_past_and_so_does_its_removal(api, server, mongodb_admin):
    put(api, DESCRIBED)
    put(api, {**DESCRIBED, "note": [{"text": "seen again"}]})
    put(api, {**DESCRIBED, "meta": {"security": [RESTRICTED]}})
    current, past = documents(server, mongodb_admin)
    assert all(LABEL in one["a"] for one in [current, *past])
    assert len(past) == 2
    put(api, DESCRIBED)
    current, past = documents(server, mongodb_admin)
    assert not any(LABEL in one["a"] for one in [current, *past])
    assert len(past) == 3
    assert all("patient=Patient/jill" in one["a"] for one in past)


def test_a_label_of_another_record_is_left_alone(api, server, mongodb_admin):
    put(api, {**DESCRIBED, "id": "other", "meta": {"security": [RESTRICTED]}})
    put(api, {**DESCRIBED, "id": "other", "meta": {"security": [RESTRICTED]}, "note": [{"text": "seen again"}]})
    put(api, DESCRIBED)
    put(api, {**DESCRIBED, "note": [{"text": "seen again"}]})
    _, past = documents(server, mongodb_admin)
    assert not any(LABEL in one["a"] for one in past)
    other = mongodb_admin[server.settings.mongodb_database].history.find_one({"key": "Condition/other"})
    assert LABEL in other["a"]


def test_labels_come_first_so_that_no_bound_drops_them():
    keys = [*(f"patient=Patient/{number}" for number in range(2 * ENTRIES_MAX)), LABEL]
    found = access_entries(keys)
    assert found[0] == LABEL
    assert len(found) == ENTRIES_MAX


def test_that_something_was_entered_in_error_holds_for_all_of_its_past(api, server, mongodb_admin):
    observation = {**DESCRIBED, "resourceType": "Observation", "status": "final"}
    for status in ("final", "amended", "entered-in-error"):
        assert put(api, {**observation, "status": status}).is_success
    database = mongodb_admin[server.settings.mongodb_database]
    versions = [
        *database.history.find({"key": "Observation/ms"}),
        database.resources.find_one({"_id": "Observation/ms"}),
    ]
    assert len(versions) == 3
    assert all(TAKEN_BACK in one["a"] and "patient=Patient/jill" in one["a"] for one in versions)
    put(api, observation)
    versions = [
        *database.history.find({"key": "Observation/ms"}),
        database.resources.find_one({"_id": "Observation/ms"}),
    ]
    assert not any(TAKEN_BACK in one["a"] for one in versions)


def test_what_no_policy_asks_for_is_not_kept():
    keys = ["patient=Patient/1", "status=*active", "_in=Patient/1", "_in=Encounter/1", "!code", LABEL]
    assert set(access_entries(keys)) == {"patient=Patient/1", "_in=Patient/1", LABEL}


def test_the_patients_of_a_version_are_those_in_whose_compartments_it_is_and_whom_it_is_about():
    assert patients_of(["_in=Patient/1", "patient=Patient/2", "_in=Patient/2"]) == ["Patient/1", "Patient/2"]
    assert patients_of(["_in=Encounter/1", "owner=Patient/3"]) == []
    assert labels_of(["_in=Patient/1", LABEL]) == (LABEL,)
