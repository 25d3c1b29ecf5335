"""Nobody's text becomes a command: not to MongoDB, not to a regular expression, wherever it is put."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from urllib.parse import quote

import pytest

from phb_fhir.definitions.terminology_filters import listed_by_constraint
from tests.builders import NHS_NUMBER, budget, bundle, entry, person, purchase
from tests.fresh import tell_once
from tests.profiled import commands_to

FHIR = {"Content-Type": "application/fhir+json"}
PATTERNS_TIMEOUT_S = 900  # one that takes more than the square never ends

# what means something to MongoDB, as an operator, a path, a variable, or a pattern
TEXTS = (
    "$where",
    "$ne",
    "$gt",
    '{"$ne": null}',
    '{"$gt": ""}',
    "[$ne]",
    '{"$where": "sleep(10000)"}',
    "'; return true; var a='",
    "1; while(true){}",
    "$$ROOT",
    "$$this",
    "$json",
    "$ix.k",
    "a.b",
    "ix.k",
    ".",
    "..",
    "$",
    "\u0000",
    "a\u0000b",
    "_id",
    "__proto__",
    ".*",
    "^.*$",
    "(a+)+$",
    "(?i)x",
    "/.*/",
    "[",
    "\\",
    "%",
    "*",
    "\U0001f600",
)
NAMES = ("$where", "$ne", "a.b", "$", ".", "_id", "__proto__", "ix", "json", "$set", "", "\u0000", "a\u0000b")


@pytest.fixture
def two(api):
    """Two people and what is theirs; whoever finds both by a text that neither has, has got in."""
    tell_once(api, two_people)
    return api


def two_people(api):
    for name, number in (("jill", "9000000009"), ("asha", "9000000017")):
        assert api.put(f"/Patient/{name}", json=person(number, id=name)).status_code == 201
        assert api.put(f"/Account/{name}", json=budget(f"Patient/{name}", id=name)).status_code == 201


# ---- in a search -----------------------------------------------------------------------------------------------------

SEARCHES = (
    "Patient?identifier={}",
    "Patient?identifier={}|9000000009",
    "Patient?identifier=" + NHS_NUMBER + "|{}",
    "Patient?name={}",
    "Patient?name:contains={}",
    "Patient?name:exact={}",
    "Patient?family=A,{}",
    "Patient?_id={}",
    "Patient?_tag={}",
    "Patient?_security=a|{}",
    "Patient?_profile={}",
    "Patient?_profile:below={}",
    "Patient?_text={}",
    "Patient?_content=zz{}",
    "Patient?gender={}",
    "Patient?gender:in={}",
    "Account?subject={}",
    "Account?subject=Patient/{}",
    "Account?subject:identifier={}",
    "Account?subject.name={}",
    "Account?patient.identifier={}",
    "Patient?_has:Account:subject:name={}",
    "Account?name:contains={}",
    "ValueSet?url:below={}",
)


@pytest.mark.parametrize("search", SEARCHES)
def test_a_text_that_nobody_has_finds_nobody_whatever_it_means_elsewhere(two, search):
    for text in TEXTS:
        answer = two.get(f"/{search.format(quote(text, safe=''))}")
        assert answer.status_code in (200, 400), (text, answer.text)
        if answer.status_code == 200:
            found = [
                one["resource"]["id"] for one in answer.json().get("entry", []) if one["search"]["mode"] == "match"
            ]
            assert found == [], (text, found)


def test_what_they_have_is_found(two):
    assert two.get("/Patient?identifier=9000000009&name=marsh").json()["entry"][0]["resource"]["id"] == "jill"
    assert len(two.get("/Account?subject.name=marsh").json()["entry"]) == 2


@pytest.mark.parametrize(
    "query",
    [
        "_sort={}",
        "_sort=-{}",
        "_sort=name,{}",
        "{}=x",
        "name:{}=x",
        "subject.{}=x",
        "_has:Account:{}:_id=x",
        "_has:{}:subject:_id=x",
        "identifier[$ne]={}",
        "name[$regex]={}",
        "_include={}",
        "_include=Patient:{}",
        "_revinclude={}:subject",
        "_elements={}",
        "_summary={}",
        "_count={}",
        "_total={}",
        "_filter=name co {}",
        "_filter={} eq x",
        "_page={}",
        "_list={}",
        "_type={}",
        "_lastUpdated={}",
        "birthdate={}",
        "_query={}",
    ],
)
def test_a_name_that_is_none_is_refused_or_asks_for_nothing_and_never_breaks_anything(two, query):
    for text in TEXTS:
        answer = two.get(f"/Patient?{query.format(quote(text, safe=''))}")
        assert answer.status_code in (200, 400), (text, answer.text)
        if answer.status_code == 200 and not query.startswith(("_elements", "_summary", "_sort", "_include")):
            assert [one for one in answer.json().get("entry", []) if one["search"]["mode"] == "match"] == [], text


@pytest.mark.parametrize("text", [text for text in TEXTS if text.strip(".")])  # dots are the client's way up and down
def test_an_address_is_an_address_and_nothing_else(two, text):
    name = quote(text, safe="")
    for address in (
        f"/Patient/{name}",
        f"/{name}",
        f"/Patient/jill/_history/{name}",
        *([] if text == "*" else [f"/Patient/jill/{name}"]),  # a star is all that is in a compartment
        f"/Patient/{name}/_history",
    ):
        assert two.get(address).status_code in (400, 404, 405), address
    assert two.delete(f"/Patient/{name}").status_code in (204, 400, 404, 405)
    made = two.put(f"/Patient/{name}", json=person("9000000025", id=text))
    if re.fullmatch(r"[A-Za-z0-9.-]{1,64}", text):
        assert made.status_code == 201
        assert two.get(f"/Patient/{name}").json()["id"] == text
    else:
        assert made.status_code in (400, 404, 405, 422)
    for kept in ("jill", "asha"):
        assert two.get(f"/Patient/{kept}").headers["etag"] == 'W/"1"'


@pytest.mark.parametrize("text", TEXTS)
def test_criteria_of_a_conditional_write_match_nobody_else(two, text):
    criteria = f"identifier={quote(text, safe='')}"
    answer = two.delete(f"/Patient?{criteria}")
    assert answer.status_code in (204, 400, 412)
    answer = two.put(f"/Patient?{criteria}", json=person("9000000025", active=True))
    assert answer.status_code in (201, 400, 412, 422)
    answer = two.post("/Patient", json=person("9000000033"), headers={"If-None-Exist": criteria})
    assert answer.status_code in (200, 201, 400, 412, 422)
    for name in ("jill", "asha"):
        assert two.get(f"/Patient/{name}").headers["etag"] == 'W/"1"'


# ---- in a body -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [text for text in TEXTS if "\u0000" not in text])
def test_a_text_in_a_body_is_kept_as_it_is_and_found_by_itself_alone(two, text):
    tagged = person(
        "9000000025",
        id="new",
        name=[{"family": f"x{text}"}],
        meta={"tag": [{"system": "urn:x:tags", "code": text, "display": text}]},
        address=[{"city": f"x{text}"}],
    )
    answer = two.put("/Patient/new", json=tagged)
    assert answer.status_code == 201, answer.text
    kept = two.get("/Patient/new").json()
    assert (kept["name"], kept["meta"]["tag"], kept["address"]) == (
        tagged["name"],
        tagged["meta"]["tag"],
        tagged["address"],
    )
    value = quote(text.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|").replace("$", "\\$"), safe="")
    found = two.get(f"/Patient?_tag=urn:x:tags|{value}")
    assert [one["resource"]["id"] for one in found.json().get("entry", [])] == ["new"], found.text
    assert two.delete("/Patient/new").status_code == 204


@pytest.mark.parametrize("name", NAMES)
def test_an_element_of_such_a_name_is_refused_wherever_it_stands(two, name):
    for body in (
        {**person("9000000025"), name: 1},
        {**person("9000000025"), "name": [{"family": "x", name: {"$gt": ""}}]},
        {**person("9000000025"), "meta": {name: 1}},
        {**person("9000000025"), "identifier": [{"value": {name: ""}}]},
        {**person("9000000025"), "id": {name: ""}},
        {name: "Patient"},
    ):
        answer = two.post("/Patient", content=json.dumps(body), headers=FHIR)
        assert answer.status_code in (400, 422), (body, answer.text)
    merge = {"Content-Type": "application/merge-patch+json"}
    assert two.patch("/Patient/jill", content=json.dumps({name: 1}), headers=merge).status_code in (400, 422)
    patch = [{"op": "add", "path": f"/{name}", "value": 1}]
    headers = {"Content-Type": "application/json-patch+json"}
    assert two.patch("/Patient/jill", content=json.dumps(patch), headers=headers).status_code in (400, 422)
    assert two.get("/Patient/jill").headers["etag"] == 'W/"1"'


@pytest.mark.parametrize("text", TEXTS)
def test_what_a_bundle_names_is_read_like_any_address(two, text):
    name = quote(text, safe="")
    batch = bundle(
        "batch",
        entry("GET", f"Patient/{name}"),
        entry("GET", f"Patient?identifier={name}"),
        entry("DELETE", f"Patient?identifier={name}"),
        entry("GET", text),
        entry("POST", "Patient", person("9000000025"), ifNoneExist=f"identifier={name}", fullUrl=text),
    )
    answer = two.post("/", content=json.dumps(batch), headers=FHIR)
    assert answer.status_code in (200, 400), answer.text
    statuses = [one["response"]["status"][:3] for one in answer.json().get("entry", [])]
    assert "500" not in statuses
    for kept in ("jill", "asha"):
        assert two.get(f"/Patient/{kept}").headers["etag"] == 'W/"1"'


@pytest.mark.parametrize("text", TEXTS)
def test_a_reference_of_any_text_refers_to_nobody(two, text):
    bought = purchase("P-9", subject={"reference": f"Patient/{text}"}, account=[{"reference": text}])
    answer = two.post("/ChargeItem", content=json.dumps(bought), headers=FHIR)
    assert answer.status_code in (201, 400, 422), answer.text
    assert two.get("/ChargeItem?subject=Patient/jill").json().get("entry", []) == []


# ---- what MongoDB is really asked ------------------------------------------------------------------------------------


FORBIDDEN = {
    "$where",
    "$function",
    "$accumulator",
    "$regex",
    "$regexMatch",
    "$regexFind",
    "$regexFindAll",
    "$options",
    "$text",
}


def test_no_command_has_an_operator_that_runs_code_or_a_pattern(api):
    """The filters as they come to MongoDB, for all of the searches above and each of the texts."""
    assert api.put("/Patient/jill", json=person(id="jill"), headers=FHIR).status_code == 201
    with commands_to(api.shelf.database) as asked:
        for search in SEARCHES:
            for text in TEXTS:
                api.get(f"/{search.format(quote(text, safe=''))}")
    assert len(asked) > 100
    for command in asked:
        assert not FORBIDDEN & set(_operators(command)), command
        assert not set(_operators(command)) & {text for text in TEXTS if text.startswith("$")} - KNOWN, command


KNOWN = {"$gt", "$ne"}  # which our own filters use


def _operators(value):
    """Every key that MongoDB would take for an operator, and every text it would take for a path or a variable."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name.startswith("$"):
                yield name
            if name != "$literal":
                yield from _operators(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _operators(each)


# ---- regular expressions ---------------------------------------------------------------------------------------------


def slow_patterns(*given):
    """How many patterns were tried, and the names of those that take the square of what they read, or worse."""
    command = [sys.executable, "-m", "tests.security.patterns", *given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATTERNS_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return len(lines), [line.removesuffix(" slow") for line in lines if line.endswith(" slow")]


def test_no_pattern_of_ours_takes_the_square_of_what_it_reads():
    tried, slow = slow_patterns()
    assert tried > 80
    assert slow == []


def test_a_pattern_that_does_is_found():
    given = [r"\s*(?:a)?\s*b", r"\s*a\s*b"]
    assert slow_patterns(*given) == (2, given[:1])


def test_an_expression_constraint_of_a_megabyte_of_blanks_is_read_at_once():
    def listed(value):
        return listed_by_constraint([{"property": "constraint", "op": "=", "value": value}])

    assert listed(" " * 1_000_000 + "!") == (frozenset(), False)
    assert listed(" 387713003 OR\t28571000087109 |x| ") == (frozenset({"387713003", "28571000087109"}), True)
    assert listed("<< 71388002") == (frozenset({"71388002"}), False)


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|aa)+$", "(.*a){20}$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(a?){50}a{50}"]
)
def test_a_pattern_that_explodes_elsewhere_does_not_in_a_code_system_or_an_invariant(api, pattern):
    """Patterns that clients send run in RE2, which reads a text once (tests/validation/test_invariants_bounds.py has more)."""
    system = {
        "resourceType": "CodeSystem",
        "url": "urn:x:slow",
        "status": "active",
        "content": "complete",
        "concept": [{"code": "a" * 60 + "!"}, {"code": "a" * 5_000}],
    }
    chosen = {"system": "urn:x:slow", "filter": [{"property": "code", "op": "regex", "value": pattern}]}
    value_set = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [chosen]}}
    asked = {
        "resourceType": "Parameters",
        "parameter": [{"name": "valueSet", "resource": value_set}, {"name": "tx-resource", "resource": system}],
    }
    assert api.post("/CodeSystem", content=json.dumps(system), headers=FHIR).status_code == 201
    assert api.post("/ValueSet/$expand", content=json.dumps(asked), headers=FHIR).status_code in (200, 400, 422)
