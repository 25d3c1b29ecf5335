"""read: the current version, exactly as it was said (R4 §3.1.0.2), with what a cache needs to know (§3.1.0.1.3, RFC 9110 §13)."""

from __future__ import annotations

import pytest

from tests.builders import person, problem

JILL = (
    b'{"resourceType":"Patient","meta":{"versionId":"1","lastUpdated":"2026-11-22T09:00:00.000Z"},'
    b'"identifier":[{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9000000009"}],'
    b'"name":[{"family":"Marsh","given":["Jill"]}],"id":"jill"}'
)
AT_NINE = "Sun, 22 Nov 2026 09:00:00 GMT"


@pytest.fixture
def jill(api):
    api.put("/Patient/jill", json=person(id="jill"))
    return api


def test_a_resource_is_read_with_its_version_and_time(jill):
    answer = jill.get("/Patient/jill")
    assert answer.status_code == 200
    assert answer.content == JILL
    told = {name: value for name, value in answer.headers.items() if name not in ("date", "x-request-id")}
    assert told == {
        "content-type": "application/fhir+json;charset=utf-8",
        "content-length": str(len(JILL)),
        "etag": 'W/"1"',
        "last-modified": AT_NINE,
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
        "vary": "Accept, Accept-Encoding, Prefer, Origin",
    }


def test_the_current_version_is_read_after_an_update(jill):
    jill.put("/Patient/jill", json=person(id="jill", active=True))
    answer = jill.get("/Patient/jill")
    assert (answer.headers["etag"], answer.json()["active"]) == ('W/"2"', True)
    assert answer.json()["meta"] == {"versionId": "2", "lastUpdated": "2026-11-22T09:00:01.000Z"}
    assert answer.headers["last-modified"] == "Sun, 22 Nov 2026 09:00:01 GMT"


def test_what_never_was_is_not_found(jill):
    assert problem(jill.get("/Patient/nobody")) == (404, "not-found", "There is no Patient/nobody.", "")
    assert problem(jill.get("/Person/jill")) == (404, "not-found", "There is no Person/jill.", "")
    assert problem(jill.get("/Patient/Jill"))[:2] == (404, "not-found")  # ids are case-sensitive


def test_what_was_deleted_is_gone_until_it_is_brought_back(jill):
    jill.delete("/Patient/jill")
    found = problem(jill.get("/Patient/jill"))
    text = "Patient/jill was deleted (version 2); a PUT to the same address brings it back."
    assert found == (410, "deleted", text, "")
    jill.put("/Patient/jill", json=person(id="jill"))
    answer = jill.get("/Patient/jill")
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"3"')


# ---- not modified ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tags", ['W/"1"', '"1"', 'W/"7", W/"1"', '"x","1"', "*", 'W/"1",', ', ,W/"7",, "1"', '"a,b", W/"1"']
)
def test_a_version_that_the_client_has_is_not_sent_again(jill, tags):
    answer = jill.get("/Patient/jill", headers={"If-None-Match": tags})
    assert (answer.status_code, answer.content) == (304, b"")
    assert (answer.headers["etag"], answer.headers["last-modified"]) == ('W/"1"', AT_NINE)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["vary"].startswith("Accept, Accept-Encoding, Prefer")
    assert "content-type" not in answer.headers


@pytest.mark.parametrize("tags", ['W/"2"', '"0"', 'W/"01x"', '"01"', '"1,2"', 'W/""', '"999999999999999999999"'])
def test_a_version_that_the_client_has_not_is_sent(jill, tags):
    assert jill.get("/Patient/jill", headers={"If-None-Match": tags}).content == JILL


@pytest.mark.parametrize("tags", ["1", "W/1", 'W/"1', "W/'1'", '"1" "2"', "*, W/", ",", 'w/"1"', 'x"1"', '"1"x'])
def test_a_tag_that_is_none_is_refused(jill, tags):
    found = problem(jill.get("/Patient/jill", headers={"If-None-Match": tags}))
    text = f'If-None-Match: {tags} is not an ETag; write it as it was given, such as W/"3".'
    assert found == (400, "invalid", text, "")


def test_a_version_that_is_no_longer_current_is_sent_as_it_is_now(jill):
    jill.put("/Patient/jill", json=person(id="jill", active=True))
    answer = jill.get("/Patient/jill", headers={"If-None-Match": 'W/"1"'})
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"2"')


@pytest.mark.parametrize(
    "since", [AT_NINE, "Sun, 22 Nov 2026 09:00:01 GMT", "Sunday, 22-Nov-26 09:00:00 GMT", "Sun Nov 22 09:00:00 2026"]
)
def test_what_did_not_change_since_is_not_sent_again(jill, since):
    answer = jill.get("/Patient/jill", headers={"If-Modified-Since": since})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", 'W/"1"')


@pytest.mark.parametrize(
    "since",
    [
        "Sun, 22 Nov 2026 08:59:59 GMT",
        "2026-11-22T09:00:00Z",  # no HTTP date is no condition (RFC 9110 §13.1.3)
        "yesterday",
        "Sun, 31 Feb 2026 09:00:00 GMT",
        "Sun, 22 Nov 2026 09:00:00 +99999999999999999999",
        "Sun, 22 Nov 99999999999 09:00:00 GMT",
    ],
)
def test_what_changed_since_or_since_no_date_is_sent(jill, since):
    assert jill.get("/Patient/jill", headers={"If-Modified-Since": since}).content == JILL


def test_of_both_conditions_the_tag_decides(jill):
    headers = {"If-None-Match": 'W/"7"', "If-Modified-Since": AT_NINE}
    assert jill.get("/Patient/jill", headers=headers).status_code == 200
    headers = {"If-None-Match": 'W/"1"', "If-Modified-Since": "Sun, 22 Nov 2026 08:00:00 GMT"}
    assert jill.get("/Patient/jill", headers=headers).status_code == 304


def test_a_condition_does_not_hide_that_a_resource_is_gone_or_never_was(jill):
    jill.delete("/Patient/jill")
    for headers in ({"If-None-Match": "*"}, {"If-None-Match": 'W/"2"'}, {"If-Modified-Since": AT_NINE}):
        assert jill.get("/Patient/jill", headers=headers).status_code == 410
        assert jill.get("/Patient/nobody", headers=headers).status_code == 404


# ---- exactness -------------------------------------------------------------------------------------------------------

EXACT = [
    "10.00",
    "10.0",
    "1E2",
    "1e-07",
    "1.5E+3",
    "0.000000000000000001",
    "123456789.123456789",
    "999999999999999999.99",
    "-0.0",
    "-0",
    "0",
    "100",
    "1234567890123456789012345678901234567890",
]


@pytest.mark.parametrize("number", EXACT)
def test_a_decimal_keeps_its_digits(api, number):
    body = (
        '{"resourceType":"Observation","id":"o","status":"final","code":{"text":"Weight"},'
        f'"valueQuantity":{{"value":{number}}},"extension":[{{"url":"http://example.org/x","valueDecimal":{number}}}]}}'
    )
    assert api.put("/Observation/o", content=body).status_code == 201
    for address in (
        "/Observation/o",
        "/Observation/o/_history/1",
        "/Observation?_id=o",
        "/Observation/o?_summary=data",
    ):
        assert f'"value":{number}}}' in api.get(address).text
        assert f'"valueDecimal":{number}}}' in api.get(address).text


def test_a_patch_keeps_the_digits_of_what_it_does_not_touch(api):
    body = (
        '{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"valueQuantity":{"value":10.00}}'
    )
    api.put("/Observation/o", content=body)
    patch = '[{"op":"add","path":"/valueQuantity/unit","value":"kg"}]'
    answer = api.patch("/Observation/o", content=patch, headers={"Content-Type": "application/json-patch+json"})
    assert '"valueQuantity":{"value":10.00,"unit":"kg"}' in answer.text


def test_the_order_of_keys_is_kept(api):
    body = '{"id":"jill","gender":"female","name":[{"given":["Jill"],"family":"Marsh"}],"active":true,"resourceType":"Patient"}'
    api.put("/Patient/jill", content=body)
    assert list(api.get("/Patient/jill").json()) == ["id", "gender", "name", "active", "resourceType", "meta"]
    assert '"name":[{"given":["Jill"],"family":"Marsh"}]' in api.get("/Patient/jill").text


def test_extensions_of_primitives_are_kept_where_they_stand(api):
    body = (
        '{"resourceType":"Patient","id":"jill","meta":{"profile":["http://example.org/p"]},'
        '"_birthDate":{"id":"b","extension":[{"url":"http://example.org/unknown","valueDecimal":1.50}]},'
        '"name":[{"given":["Jill",null,"May"],"_given":[null,{"extension":[{"url":"http://example.org/u","valueCode":"x"}]},'
        "null]}]}"
    )
    api.put("/Patient/jill", content=body)
    text = api.get("/Patient/jill").text
    assert text[text.index('"_birthDate"') :] == body[body.index('"_birthDate"') :]


@pytest.mark.parametrize(
    "date", ["2026", "2026-03", "2026-03-01", "2026-03-01T10:00:00Z", "2026-03-01T10:00:00.000+01:00"]
)
def test_a_date_keeps_its_precision_and_its_zone(api, date):
    api.put("/Patient/jill", json={"resourceType": "Patient", "id": "jill", "deceasedDateTime": date})
    assert api.get("/Patient/jill").json()["deceasedDateTime"] == date


def test_what_the_client_says_of_version_and_time_is_replaced_and_the_rest_of_meta_kept(api):
    meta = {
        "versionId": "77",
        "lastUpdated": "1999-01-01T00:00:00Z",
        "source": "http://example.org/feed",
        "tag": [{"code": "keep"}],
    }
    api.put("/Patient/jill", json={"resourceType": "Patient", "id": "jill", "meta": meta})
    assert api.get("/Patient/jill").json()["meta"] == {
        **meta,
        "versionId": "1",
        "lastUpdated": "2026-11-22T09:00:00.000Z",
    }


def test_what_somebody_asked_for_is_not_sent_back_to_them_whole_however_long_it_was(api):
    answer = api.get(f"/Patient/{'x' * 50_000}")
    assert answer.status_code == 404
    assert len(answer.content) < 10_000
    assert problem(answer).text.endswith("x…")
