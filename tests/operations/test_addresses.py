"""Where operations are asked, by which methods, and what somebody hears who asks elsewhere (R4 §3.2.0)."""

from __future__ import annotations

import json

import httpx
import pytest

from phb_fhir.data import data_path
from phb_fhir.definitions import capability
from phb_fhir.definitions.capability import WrongCapability
from phb_fhir.definitions.load import load
from phb_fhir.operations.registry import OPERATIONS, check_promises
from tests.builders import budget, bundle, entry, person, problem
from tests.interactions.checks import sent
from tests.operations.asking import good, parameters, said, values

GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"
GENDER = "http://hl7.org/fhir/administrative-gender"
FINE = "Nothing was found wrong with this Patient."
# of each level, an address that is served
SERVED = ("/Patient/$validate", "/Patient/jill/$validate", f"/ValueSet/$expand?url={GENDERS}")


@pytest.fixture
def jill(api):
    api.put("/Patient/jill", json=person(id="jill", text=NARRATIVE))
    return api


NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Jill Marsh</div>'}


@pytest.mark.parametrize("address", SERVED)
def test_options_names_get_and_post(jill, address):
    answer = jill.request("OPTIONS", address)
    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, POST, HEAD, OPTIONS")


@pytest.mark.parametrize("address", SERVED)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_another_method_is_refused_with_those_there_are(jill, method, address):
    answer = jill.request(method, address)
    path = address.partition("?")[0]
    assert problem(answer) == (
        405,
        "not-supported",
        f"{method} is not served at {path}; GET, POST, HEAD, OPTIONS is.",
        "",
    )
    assert answer.headers["allow"] == "GET, POST, HEAD, OPTIONS"


def test_a_head_is_a_get_without_the_body(jill):
    jill.headers["Accept-Encoding"] = "identity"
    got, head = jill.get("/Patient/jill/$validate"), jill.head("/Patient/jill/$validate")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == len(got.content)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("/Patient/$valdate", "There is no operation at /Patient/$valdate. Did you mean $validate?"),
        (
            "/Patient/jill/$xyzzy",
            "There is no operation at /Patient/jill/$xyzzy. There are $check-eligibility, $everything, $meta, $meta-add, $meta-delete, $validate.",
        ),
        (
            "/CodeSystem/$xyzzy",
            (
                "There is no operation at /CodeSystem/$xyzzy. There are $lookup, $meta, $meta-add, $meta-delete, $subsumes,"
                " $validate, $validate-code."
            ),
        ),
        ("/Patient/$expand", "$expand is not an operation of Patient; it is one of ValueSet."),
        (
            "/Patient/$validate-code",
            "$validate-code is not an operation of Patient; it is one of CodeSystem, ValueSet.",
        ),
        ("/$validate", "$validate is asked at /[type]/$validate and /[type]/[id]/$validate."),
        ("/$expand", "$expand is asked at /ValueSet/$expand and /ValueSet/[id]/$expand."),
        ("/$xyzzy", "There is no operation at /$xyzzy. There are $fsck, $meta."),
        ("/$meta-add", "$meta-add is asked at /[type]/[id]/$meta-add."),
        ("/CodeSystem/1/$lookup", "$lookup is asked at /CodeSystem/$lookup."),
        ("/Patient/_history/$validate", "$validate is asked at /Patient/$validate and /Patient/[id]/$validate."),
        ("/Patient/1/_history/1/$validate", "$validate is asked at /Patient/$validate and /Patient/[id]/$validate."),
        ("/Patients/$validate", "'Patients' is not a resource type of FHIR R4. Did you mean 'Patient'?"),
        ("/Patient/$validate/$validate", "Nothing is served at /Patient/$validate/$validate."),
        (
            "/Patient/$",
            "There is no operation at /Patient/$. There are $check-eligibility, $everything, $meta, $meta-add, $meta-delete, $validate.",
        ),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_an_operation_that_is_none_is_refused_with_what_would_be_right(api, method, address, sentence):
    assert problem(api.request(method, address)) == (404, "not-supported", sentence, "")


# ---- inputs ----------------------------------------------------------------------------------------------------------


def test_the_same_question_by_get_and_by_post_has_the_same_answer(api):
    expected = {"result": True, "display": "Female"}
    asked = {"url": GENDERS, "code": "female", "system": GENDER}
    assert values(api.get("/ValueSet/$validate-code", params=asked)) == expected
    assert values(api.post("/ValueSet/$validate-code", json=parameters(**asked))) == expected
    assert values(api.post("/ValueSet/$validate-code", params=asked)) == expected
    part = {"url": GENDERS}
    assert values(api.post("/ValueSet/$validate-code", params=part, json=parameters(code="female", system=GENDER))) == (
        expected
    )


def test_an_input_that_stands_in_the_address_and_in_the_body_is_refused(api):
    answer = api.post(f"/ValueSet/$expand?url={GENDERS}", json=parameters(url=GENDERS))
    assert problem(answer) == (400, "invalid", 'The parameter "url" may stand once.', "")


def test_an_input_that_the_operation_does_not_take_is_refused_with_those_it_takes(api):
    answer = problem(api.get(f"/ValueSet/$expand?url={GENDERS}&fliter=x"))
    assert answer[:2] == (400, "invalid")
    assert answer.text.startswith('ValueSet/$expand has no parameter "fliter"; it takes url, valueSet, ')
    assert answer.text.endswith('Did you mean "filter"?')


def test_parameters_that_are_wrong_as_such_are_refused_with_the_place(api):
    broken = {
        "resourceType": "Parameters",
        "parameter": [{"valueUri": GENDERS}, {"name": "count", "valueInteger": "5"}],
    }
    answer = api.post("/ValueSet/$expand", json=broken)
    assert answer.status_code == 400
    assert [issue["expression"] for issue in answer.json()["issue"]] == [
        ["Parameters.parameter[0].name"],
        ["Parameters.parameter[1].value.ofType(integer)"],
    ]


@pytest.mark.parametrize(
    ("address", "row", "sentence", "place"),
    [
        (
            "/CarePlan/jill-plan/$sign-off",
            {"name": "personPresent", "valueString": "true"},
            'The parameter "personPresent" is of the type boolean; this one is a valueString.',
            "valueString",
        ),
        (
            "/Account/jill-budget/$close",
            {"name": "review", "valueUri": "Task/closing"},
            'The parameter "review" is of the type Reference; this one is a valueUri.',
            "valueUri",
        ),
        (
            "/Account/jill-budget/$balance",
            {"name": "asOf", "valueBoolean": True},
            'The parameter "asOf" is of the type dateTime; this one is a valueBoolean.',
            "valueBoolean",
        ),
        (
            "/Task/referral/$panel-decide",
            {"name": "vote", "part": [{"name": "inFavour", "valueCode": "true"}]},
            'The parameter "inFavour" is of the type boolean; this one is a valueCode.',
            "part[0].valueCode",
        ),
        (
            "/Task/referral/$panel-decide",
            {"name": "vote", "valueBoolean": True},
            'The parameter "vote" is made of parts; this one is a valueBoolean.',
            "valueBoolean",
        ),
    ],
)
def test_an_input_of_another_type_than_its_definition_says_is_refused(api, address, row, sentence, place):
    answer = api.post(address, json={"resourceType": "Parameters", "parameter": [row]})
    assert problem(answer) == (400, "invalid", sentence, f"Parameters.parameter[0].{place}")


@pytest.mark.parametrize("name", ["valueDate", "valueDateTime", "valueInstant"])
def test_a_date_and_a_moment_are_taken_for_each_other(api, name):
    day = "2026-11-22" if name != "valueInstant" else "2026-11-22T00:00:00Z"
    row = {"name": "on", name: day}
    answer = api.post("/Patient/nobody/$check-eligibility", json={"resourceType": "Parameters", "parameter": [row]})
    assert answer.status_code in (400, 404), answer.text
    assert "of the type" not in answer.text


def test_an_operation_that_takes_nothing_says_so(api):
    text = '$fsck has no parameter "deep"; it takes none.'
    assert problem(api.get("/$fsck?deep=true")) == (400, "invalid", text, "")


def test_a_parameter_without_a_value_is_refused(api):
    empty = {"resourceType": "Parameters", "parameter": [{"name": "url"}]}
    answer = api.post("/ValueSet/$expand", json=empty)
    assert problem(answer) == (400, "invalid", 'The parameter "url" has no value.', "")


@pytest.mark.parametrize(("body", "what"), [(person(), "a Patient"), (budget(), "an Account")])
def test_a_body_that_is_no_input_is_refused(api, body, what):
    answer = api.post("/CodeSystem/$lookup", json=body)
    sentence = f"The body is {what}; what CodeSystem/$lookup is asked with are Parameters."
    assert problem(answer) == (400, "invalid", sentence, "")


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        ("{", "application/fhir+json", 400),
        ("[]", "application/fhir+json", 400),
        ("{}", "application/fhir+json", 400),
        ("url=x", "application/x-www-form-urlencoded", 415),
        ("<Patient/>", "application/fhir+xml", 415),
    ],
)
@pytest.mark.parametrize("address", ["/Patient/$validate", "/Binary/$validate", "/ValueSet/$expand"])
def test_a_body_that_is_no_resource_in_json_is_refused(api, address, content, media_type, status):
    answer = api.post(address, content=content, headers={"Content-Type": media_type})
    assert problem(answer).status == status


def test_how_the_answer_is_shown_is_said_as_everywhere(jill):
    plain = jill.get("/Patient/jill/$validate?_format=json")
    assert said(plain) == good(FINE)
    pretty = jill.get("/Patient/jill/$validate?_pretty=true&_format=application/fhir%2Bjson")
    assert "\n" in pretty.text
    assert said(pretty) == good(FINE)
    only = said(jill.get(f"/ValueSet/$expand?url={GENDERS}&_elements=url"))
    assert set(only) == {"resourceType", "meta", "url", "status"}
    assert only["meta"]["tag"][0]["code"] == "SUBSETTED"
    wrong = problem(jill.get(f"/ValueSet/$expand?url={GENDERS}&_elements=urls"))
    assert wrong[:2] == (400, "not-supported")
    assert wrong.text.startswith("_elements=urls: ValueSet has no such element at its root. Did you mean url?")
    lenient = {"Prefer": "handling=lenient"}
    assert set(said(jill.get(f"/ValueSet/$expand?url={GENDERS}&_elements=url,urls", headers=lenient))) == set(only)
    assert problem(jill.get("/Patient/jill/$validate?_summary=count")).status == 400
    assert problem(jill.get("/Patient/jill/$validate", headers={"Accept": "text/html"})).status == 406


# ---- in a Bundle -----------------------------------------------------------------------------------------------------


def test_in_a_batch_each_operation_is_answered_by_itself(jill):
    answers = sent(
        jill,
        "batch",
        entry("POST", "Patient/$validate", person(text=NARRATIVE)),
        entry("GET", f"ValueSet/$validate-code?url={GENDERS}&code=plum&system={GENDER}"),
        entry("GET", "Patient/jill/$validate"),
        entry("POST", "Patient/jill/$validate?mode=delete"),
        entry("POST", "Patient/$validate", person(gender="plum", text=NARRATIVE)),
        entry("GET", "Patient/nobody/$validate"),
        entry("GET", "Patient/$valdate"),
    )
    assert [one["response"]["status"] for one in answers] == ["200 OK"] * 5 + ["404 Not Found"] * 2
    assert answers[0] == {"resource": good(FINE), "response": {"status": "200 OK"}}
    assert answers[1]["resource"]["parameter"][0] == {"name": "result", "valueBoolean": False}
    assert answers[2]["resource"] == good(FINE)
    assert answers[3]["resource"] == good("This Patient could be deleted.")
    (issue,) = answers[4]["resource"]["issue"]
    assert (issue["severity"], issue["expression"]) == ("error", ["Patient.gender"])
    assert answers[5]["response"]["outcome"]["issue"][0]["diagnostics"] == "There is no Patient/nobody."
    assert "Did you mean $validate?" in answers[6]["response"]["outcome"]["issue"][0]["diagnostics"]


def test_in_a_transaction_an_operation_sees_what_the_transaction_writes(api):
    answers = sent(
        api,
        "transaction",
        entry("POST", "Patient/jill/$validate", parameters(mode="delete")),
        entry("PUT", "Patient/jill", person(id="jill", text=NARRATIVE)),
        entry("GET", "Patient/jill/$validate"),
    )
    assert [one["response"]["status"] for one in answers] == ["200 OK", "201 Created", "200 OK"]
    assert answers[0]["resource"] == good("This Patient could be deleted.")
    assert answers[2]["resource"] == good(FINE)
    assert api.get("/Patient/jill").status_code == 200


def test_in_a_transaction_a_resource_that_is_found_wrong_stops_nothing_and_a_refusal_stops_all(api):
    write = entry("PUT", "Patient/jill", person(id="jill"))
    wrong = entry("POST", "Patient/$validate", {**person(), "gender": "plum"})
    answers = sent(api, "transaction", write, wrong)
    assert answers[1]["resource"]["issue"][-1]["expression"] == ["Patient.gender"]
    other = entry("PUT", "Patient/anna", person("9000000017", id="anna"))
    refused = {"resourceType": "Bundle", "type": "transaction", "entry": [other, entry("GET", "Patient/no/$validate")]}
    assert problem(api.post("", json=refused)) == (
        404,
        "not-found",
        "There is no Patient/no.",
        "Bundle.entry[1].request",
    )
    assert api.get("/Patient/anna").status_code == 404


# ---- the log and the metrics ------------------------------------------------------------------------------------------


def test_metrics_count_an_operation_under_its_name(api, server):
    for _ in range(2):
        assert api.get(f"/ValueSet/$expand?url={GENDERS}").status_code == 200
    text = httpx.get(f"{server.root}/metrics").text
    counted = [line for line in text.splitlines() if 'interaction="$expand"' in line and "_total" in line]
    assert counted
    assert all('type="ValueSet"' in line for line in counted)


# ---- the statement and the table --------------------------------------------------------------------------------------


def promising(folder, change):
    statement = json.loads(data_path("capability_statement.json").read_bytes())
    change(statement["rest"][0], {row["type"]: row for row in statement["rest"][0]["resource"]})
    file = folder / "capability_statement.json"
    file.write_text(json.dumps(statement))
    return capability.load(file, load().resource_types)


def test_the_statement_that_ships_promises_all_that_is_built(tmp_path):
    promised = promising(tmp_path, lambda _rest, _rows: None)
    check_promises(promised)
    assert {url for names in promised.operations.values() for url in names.values()} == set(OPERATIONS)
    assert all(operation.url == url for url, operation in OPERATIONS.items())


def test_a_statement_may_promise_less(tmp_path):
    promised = promising(tmp_path, lambda _rest, rows: rows["Patient"].pop("operation"))
    check_promises(promised)
    assert promised.operations["Patient"] == {}
    assert promised.operations["Account"].keys() > {"everything", "meta", "meta-add", "meta-delete", "validate"}


R4_URL = "http://hl7.org/fhir/OperationDefinition"


@pytest.mark.parametrize(
    ("type_", "name", "definition", "why"),
    [
        ("Patient", "match", f"{R4_URL}/Patient-match", "which is not built."),
        ("Patient", "check", f"{R4_URL}/Resource-validate", "but that defines $validate."),
        ("Patient", "expand", f"{R4_URL}/ValueSet-expand", "which is not defined there."),
        ("", "validate", f"{R4_URL}/Resource-validate", "which is not defined there."),
    ],
)
def test_a_statement_that_promises_what_is_not_built_is_refused(tmp_path, type_, name, definition, why):
    def change(rest, rows):
        (rows[type_] if type_ else rest)["operation"] = [{"name": name, "definition": definition}]

    promised = promising(tmp_path, change)
    of = f"of {type_}" if type_ else "of the whole system"
    with pytest.raises(WrongCapability) as caught:
        check_promises(promised)
    assert caught.value.sentence == (f"capability_statement.json promises ${name} {of}, defined by {definition}, {why}")


def test_an_operation_without_its_definition_is_refused_where_the_statement_is_read(tmp_path):
    with pytest.raises(WrongCapability, match="'definition' is a required property"):
        promising(tmp_path, lambda _rest, rows: rows["Patient"].update(operation=[{"name": "validate"}]))


# ---- an operation that affects state ---------------------------------------------------------------------------------

TAG = {"system": "http://example.org/tags", "code": "zebra"}
TAGGED = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [TAG]}}]}


def tags(client):
    return client.get("/Patient/jill").json()["meta"].get("tag", [])


def test_an_operation_that_affects_state_is_asked_by_post_alone(jill):
    address = "/Patient/jill/$meta-add"
    assert jill.request("OPTIONS", address).headers["allow"] == "POST, OPTIONS"
    sentence = f"GET is not served at {address}; POST, OPTIONS is."
    assert problem(jill.get(address)) == (405, "not-supported", sentence, "")
    assert tags(jill) == []
    assert jill.post(address, json=TAGGED).status_code == 200
    assert tags(jill) == [TAG]


def test_an_operation_that_affects_state_runs_in_a_batch_and_not_in_a_transaction(jill):
    asked = entry("POST", "Patient/jill/$meta-add", TAGGED)
    refused = problem(jill.post("", json=bundle("transaction", asked)))
    sentence = "$meta-add changes more than a transaction can take back; ask for it by itself, or in a batch."
    assert refused == (400, "not-supported", sentence, "Bundle.entry[0].request")
    assert tags(jill) == []
    (answered,) = jill.post("", json=bundle("batch", asked)).json()["entry"]
    assert answered["response"]["status"] == "200 OK"
    assert tags(jill) == [TAG]
