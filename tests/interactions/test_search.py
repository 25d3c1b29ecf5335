"""search: of a type, of everything, by GET and by form; how much is told of what was found, and in which pages (R4 §3.1.1)."""

from __future__ import annotations

import itertools
import json
from urllib.parse import quote

import httpx
import pytest

from phb_fhir.interactions import search_type
from tests.builders import NHS_NUMBER, budget, person, problem, purchase
from tests.fresh import tell_once
from tests.interactions.busy import Writer
from tests.interactions.test_history import got, link, pages
from tests.running import RunningServer

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def record(api):
    """A second each, from nine o'clock: Ann, Bob, Cleo and Dan, Ann's budget; then Dan is deleted."""
    tell_once(api, recorded)
    return api


def recorded(api):
    for place, name in enumerate(("ann", "bob", "cleo", "dan")):
        api.put(f"/Patient/{name}", json=person(f"900000000{place}", id=name))
    api.put(
        "/Account/ann", json=budget(id="ann", identifier=[{"value": "9000000000"}, {"system": "urn:b", "value": "B|1"}])
    )
    api.delete("/Patient/dan")


def keys(found):
    """The matches of a searchset, as Type/id."""
    return [
        "/".join(one["fullUrl"].split("/")[-2:]) for one in found.get("entry", []) if one["search"]["mode"] == "match"
    ]


def outcomes(found):
    """What the outcome entries of a searchset say."""
    resources = [one["resource"] for one in found.get("entry", []) if one["search"]["mode"] == "outcome"]
    return [issue["details"]["text"] for one in resources for issue in one["issue"]]


PEOPLE = ["Patient/ann", "Patient/bob", "Patient/cleo"]


# ---- the answer ------------------------------------------------------------------------------------------------------


def test_a_search_is_answered_with_a_searchset(record, server):
    assert got(record, "/Patient?_id=bob") == {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 1,
        "link": [{"relation": "self", "url": f"{server.base}/Patient?_id=bob"}],
        "entry": [
            {
                "fullUrl": f"{server.base}/Patient/bob",
                "resource": got(record, "/Patient/bob"),
                "search": {"mode": "match"},
            }
        ],
    }


def test_a_search_that_finds_nothing_is_a_searchset_too(record, server):
    assert got(record, "/Task") == {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 0,
        "link": [{"relation": "self", "url": f"{server.base}/Task"}],
    }


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/Patient", PEOPLE),
        ("/Account", ["Account/ann"]),
        ("/", [*PEOPLE, "Account/ann"]),
        ("/?_type=Account", ["Account/ann"]),
        ("/?_type=Account,Task", ["Account/ann"]),
        ("/?_type=Task", []),
        ("/Patient?_id=bob", ["Patient/bob"]),
        ("/Patient?_id=bob,ann,nobody", ["Patient/ann", "Patient/bob"]),
        ("/Patient?_id=bob&_id=ann", []),  # repeated is "and"
        ("/Patient?_id=bob,ann&_id=ann,cleo", ["Patient/ann"]),
        ("/Patient?_id=Bob", []),
        ("/Patient?_id=dan", []),  # deleted
        ("/?_id=ann", ["Patient/ann", "Account/ann"]),
        ("/?_id=ann&_type=Patient", ["Patient/ann"]),
        # identifier
        (f"/Patient?identifier={NHS_NUMBER}|9000000001", ["Patient/bob"]),
        (f"/Patient?identifier={quote(NHS_NUMBER + '|9000000001', safe='')}", ["Patient/bob"]),
        ("/Patient?identifier=9000000001", ["Patient/bob"]),
        ("/Patient?identifier=9000000001,9000000002", ["Patient/bob", "Patient/cleo"]),
        (f"/Patient?identifier={NHS_NUMBER}|", PEOPLE),
        ("/Patient?identifier=|9000000001", []),
        ("/Patient?identifier=urn:other|9000000001", []),
        ("/Patient?identifier=900000000", []),
        ("/Patient?identifier=9000000003", []),  # of the deleted one
        ("/Account?identifier=|9000000000", ["Account/ann"]),
        ("/Account?identifier=9000000000", ["Account/ann"]),
        ("/Account?identifier=urn:b|B%5C|1", ["Account/ann"]),  # an escaped bar
        ("/Account?identifier=B%5C|1", ["Account/ann"]),
        # _lastUpdated: Ann at :00, Bob at :01, Cleo at :02, the budget at :04
        ("/Patient?_lastUpdated=2026-11-22T09:00:01Z", ["Patient/bob"]),
        ("/Patient?_lastUpdated=eq2026-11-22T09:00:01.000Z", ["Patient/bob"]),
        ("/Patient?_lastUpdated=ne2026-11-22T09:00:01Z", ["Patient/ann", "Patient/cleo"]),
        ("/Patient?_lastUpdated=gt2026-11-22T09:00:01Z", ["Patient/cleo"]),
        ("/Patient?_lastUpdated=sa2026-11-22T09:00:01Z", ["Patient/cleo"]),
        ("/Patient?_lastUpdated=ge2026-11-22T09:00:01Z", ["Patient/bob", "Patient/cleo"]),
        ("/Patient?_lastUpdated=lt2026-11-22T09:00:01Z", ["Patient/ann"]),
        ("/Patient?_lastUpdated=eb2026-11-22T09:00:01Z", ["Patient/ann"]),
        ("/Patient?_lastUpdated=le2026-11-22T09:00:01Z", ["Patient/ann", "Patient/bob"]),
        ("/Patient?_lastUpdated=ge2026-11-22T10:00:01%2B01:00", ["Patient/bob", "Patient/cleo"]),
        ("/Patient?_lastUpdated=ge2026-11-22T10:00:01+01:00", ["Patient/bob", "Patient/cleo"]),
        ("/Patient?_lastUpdated=2026-11-22", PEOPLE),
        ("/Patient?_lastUpdated=2026-11", PEOPLE),
        ("/Patient?_lastUpdated=gt2026-11-22", []),
        ("/Patient?_lastUpdated=gt2026-11-22T09:00:00Z&_lastUpdated=lt2026-11-22T09:00:02Z", ["Patient/bob"]),
        ("/?_lastUpdated=ge2026-11-22T09:00:02Z", ["Patient/cleo", "Account/ann"]),
        # together
        ("/Patient?identifier=9000000001,9000000002&_lastUpdated=gt2026-11-22T09:00:01Z", ["Patient/cleo"]),
        (f"/Patient?_id=ann&identifier={NHS_NUMBER}|9000000001", []),
    ],
)
def test_a_search_finds_what_meets_every_condition(record, address, expected):
    found = got(record, address)
    assert (keys(found), found["total"]) == (expected, len(expected))
    form = record.post(
        f"{address.partition('?')[0].rstrip('/')}/_search", content=address.partition("?")[2], headers=FORM
    ).json()
    assert form == found


def test_a_search_by_form_may_be_half_in_the_address(record, server):
    found = record.post("/Patient/_search?_id=ann,bob", content="_id=bob,cleo&_count=1", headers=FORM).json()
    assert keys(found) == ["Patient/bob"]
    assert link(found, "self") == f"{server.base}/Patient?_id=ann,bob&_id=bob,cleo&_count=1"


def test_a_search_by_form_without_a_body_asks_for_all(record):
    assert keys(record.post("/Patient/_search").json()) == PEOPLE


def test_a_search_finds_the_current_version_only(record):
    record.put("/Patient/bob", json=person("9000000009", id="bob"))
    assert keys(got(record, "/Patient?identifier=9000000001")) == []
    found = got(record, "/Patient?identifier=9000000009")
    assert keys(found) == ["Patient/bob"]
    assert found["entry"][0]["resource"]["meta"]["versionId"] == "2"


def test_what_was_brought_back_is_found_again(record):
    record.put("/Patient/dan", json=person("9000000003", id="dan"))
    assert keys(got(record, "/Patient?identifier=9000000003")) == ["Patient/dan"]


@pytest.mark.parametrize(
    "value", [".*", "9000000001.*", "^9", "$gt", '{"$gt":""}', "[$ne]=1", "%00", "*", "**", "*9000000001"]
)
def test_a_value_is_only_ever_a_value(record, value):
    assert keys(got(record, f"/Patient?identifier={quote(value)}")) == []
    assert keys(got(record, f"/Patient?name:exact={quote(value)}")) == []
    assert keys(got(record, f"/Patient?name:contains=x{quote(value)}")) == []
    assert keys(got(record, f"/Patient?identifier={quote(value)}|9000000001")) == []


def test_a_system_with_a_star_in_it_is_not_any_system(record):
    system = "https://fhir.nhs.uk/Id/*9000"
    record.put("/Patient/odd", json=person(id="odd", identifier=[{"system": system, "value": "5"}]))
    assert keys(got(record, "/Patient?identifier=9000%5C|5")) == []
    assert keys(got(record, f"/Patient?identifier={system}|5")) == ["Patient/odd"]


# ---- how it is answered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["_count=0", "_summary=count", "_count=0&_total=none", "_count=5&_summary=count"])
def test_a_count_alone_has_no_entries(record, server, query):
    found = got(record, f"/Patient?{query}")
    assert found == {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 3,
        "link": [{"relation": "self", "url": f"{server.base}/Patient?{query}"}],
    }


@pytest.mark.parametrize(("total", "told"), [("accurate", 3), ("estimate", 3), ("none", None)])
def test_a_total_is_told_as_wanted(record, total, told):
    found = got(record, f"/Patient?_total={total}&_count=1")
    assert found.get("total") == told
    assert keys(found) == PEOPLE[:1]


def test_an_id_alone_is_of_the_one_type_that_has_it_and_of_two_it_is_asked_which(record):
    charge = {"resourceType": "ChargeItem", "id": "c", "status": "planned", "code": {"text": "a"}}
    assert record.put("/ChargeItem/c", json={**charge, "subject": {"reference": "Patient/ann"}}).status_code == 201
    assert keys(got(record, "/ChargeItem?subject=ann")) == ["ChargeItem/c"]
    group = {"resourceType": "Group", "id": "ann", "type": "person", "actual": True}
    assert record.put("/Group/ann", json=group).status_code == 201
    refused = problem(record.get("/ChargeItem?subject=ann"))
    assert (refused.status, refused.text) == (
        400,
        "subject=ann: there are Group/ann and Patient/ann; write which is meant.",
    )
    assert keys(got(record, "/ChargeItem?subject=Patient/ann")) == ["ChargeItem/c"]


def test_a_count_above_the_largest_page_means_the_largest(mongodb_uri, server, record):
    with (
        RunningServer(mongodb_uri, server.settings.mongodb_database, page_size_default=2, page_size_max=2) as small,
        httpx.Client(base_url=small.base) as client,
    ):
        for address in ("/Patient", "/Patient?_count=1000", "/Patient?_count=9999999999"):
            assert [keys(page) for page in pages(client, address)] == [PEOPLE[:2], PEOPLE[2:]]


REFUSED = [
    ("_count=-1", "value", "_count=-1 is not a whole number of 0 or more."),
    ("_count=ten", "value", "_count=ten is not a whole number of 0 or more."),
    ("_count=1&_count=2", "invalid", "_count stands more than once; say it once."),
    ("_total=all", "value", "_total=all: it is one of none, estimate, accurate."),
    ("_summary=short", "value", "_summary=short: it is one of true, text, data, count, false."),
    ("_lastUpdated=2026-13-01", "invalid", "2026-13-01"),
    ("identifier=a|b|c", "invalid", "identifier=a|b|c"),
    ("_id:exact=ann", "not-supported", "':exact' is not a modifier of _id"),
    ("shoe-size=5", "not-supported", "Patient has no search parameter 'shoe-size' here."),
    ("_Id=ann", "not-supported", "Did you mean _id?"),
    (
        "_include=Patient:name",
        "not-supported",
        "'name' is a string parameter; only reference parameters lead to other resources.",
    ),
    ("_sort=shoe-size", "not-supported", "Patient cannot be sorted by 'shoe-size'."),
    (",".join(["_id=a"] + ["a"] * 1_000), "too-costly", "_id has 1001 values; at most 1000 are taken."),
    ("&".join(["_id=a"] * 101), "too-costly", "101 parameters; at most 100 are taken."),
]


@pytest.mark.parametrize(("query", "code", "text"), REFUSED)
@pytest.mark.parametrize("by", ["GET", "POST"])
def test_what_is_not_understood_is_refused(record, by, query, code, text):
    answer = (
        record.get(f"/Patient?{query}") if by == "GET" else record.post("/Patient/_search", content=query, headers=FORM)
    )
    found = problem(answer)
    assert found[:2] == (400, code)
    assert text in found.text


@pytest.mark.parametrize("by", ["GET", "POST"])
def test_under_lenient_handling_what_is_not_known_is_left_out_and_told_of(record, server, by):
    lenient = {"Prefer": "handling=lenient"}
    asked = "_id=bob&shoe-size=5&name:sounds-like=x"
    if by == "GET":
        found = record.get(f"/Patient?{asked}", headers=lenient).json()
    else:
        found = record.post("/Patient/_search", content=asked, headers={**FORM, **lenient}).json()
    assert (keys(found), found["total"]) == (["Patient/bob"], 1)
    assert link(found, "self") == f"{server.base}/Patient?_id=bob"
    outcome = found["entry"][-1]
    assert outcome["search"] == {"mode": "outcome"}
    assert "fullUrl" not in outcome
    told = outcome["resource"]["issue"]
    assert [(issue["severity"], issue["code"]) for issue in told] == [("warning", "not-supported")] * 2
    assert told[0]["diagnostics"].startswith("Left out: Patient has no search parameter 'shoe-size' here.")


def test_a_parameter_without_a_value_is_left_out_and_told_of(record, server):
    found = got(record, "/Patient?_id=bob&name=")
    assert (keys(found), link(found, "self")) == (["Patient/bob"], f"{server.base}/Patient?_id=bob")
    assert outcomes(found) == ["Left out: name has no value, so it is not applied; a condition needs one."]


def test_every_problem_of_a_search_is_told_at_once(record):
    issues = record.get("/Patient?colour=1&identifier=a|b|c&_count=y").json()["issue"]
    assert sorted(issue["code"] for issue in issues) == ["invalid", "not-supported", "value"]


@pytest.mark.parametrize("address", ["/?name=jill", "/Bundle?_type=Patient", "/Binary?name=jill"])
def test_a_parameter_that_another_type_has_is_not_known_here(record, address):
    assert problem(record.get(address))[:2] == (400, "not-supported")


def test_the_self_link_says_what_was_asked(record, server):
    asked = f"{server.base}/Patient?identifier={NHS_NUMBER}%7C9000000001&_lastUpdated=ge2026-11-22T09:00:00%2B00:00&_count=5"
    assert link(got(record, asked), "self") == asked.replace("%7C", "|")
    assert got(record, link(got(record, asked), "self")) == got(record, asked)


# ---- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/Patient", PEOPLE),
        ("/", [*PEOPLE, "Account/ann"]),
        ("/Patient?_sort=-identifier", PEOPLE[::-1]),
        ("/Patient?_sort=-_lastUpdated", PEOPLE[::-1]),
        ("/Patient?_sort=family,-_id", PEOPLE[::-1]),
        ("/Patient?identifier=9000000000,9000000002&_lastUpdated=ge2026", ["Patient/ann", "Patient/cleo"]),
    ],
)
def test_all_pages_together_are_what_was_found(record, address, expected, count):
    walked = list(pages(record, f"{address}{'&' if '?' in address else '?'}_count={count}&_total=accurate"))
    assert list(itertools.chain(*map(keys, walked))) == expected
    assert {page["total"] for page in walked} == {len(expected)}
    assert all(len(keys(page)) == count for page in walked[:-1])
    back = list(pages(record, link(walked[-1], "self"), "previous"))
    assert [keys(page) for page in back] == [keys(page) for page in reversed(walked)]
    assert link(back[-1], "previous") is None
    for page in back:
        assert got(record, link(page, "self"))["entry"] == page["entry"]
        assert (
            list(itertools.chain(*map(keys, pages(record, link(page, "self")))))
            == expected[expected.index(keys(page)[0]) :]
        )


def test_pages_of_a_form_are_walked_by_get(record):
    first = record.post("/Patient/_search", content="_count=1&identifier=9000000000,9000000002", headers=FORM).json()
    assert list(itertools.chain(keys(first), *map(keys, pages(record, link(first, "next"))))) == [
        "Patient/ann",
        "Patient/cleo",
    ]


def test_changes_made_between_pages_neither_shift_nor_repeat_what_follows(record):
    first, second, third = itertools.islice(pages_with_changes(record), 3)
    assert [keys(first), keys(second), keys(third)] == [["Patient/ann"], ["Patient/bob"], ["Patient/cleo"]]


def pages_with_changes(record):
    changes = [
        lambda: record.put("/Patient/aaa", json=person(id="aaa")),  # before the place we are at
        lambda: record.delete("/Patient/ann"),  # the very place we were at
        lambda: record.put("/Patient/cleo", json=person(id="cleo", active=True)),
    ]
    for page, change in zip(pages(record, "/Patient?_count=1"), changes, strict=False):
        yield page
        change()


def test_walking_a_search_while_others_write_meets_everything_that_stays_once(api, server):
    for number in range(40):
        api.put(f"/ChargeItem/stay-{number:02}", json=purchase(f"P-{number}", id=f"stay-{number:02}"))
    stays = [f"ChargeItem/stay-{number:02}" for number in range(40)]

    def change(client, number):
        changed, comer = f"stay-{number % 40:02}", f"comer-{number % 7}"
        answers = [
            client.put(f"/ChargeItem/{changed}", json=purchase(f"Q-{number}", id=changed)),
            client.put(f"/ChargeItem/{comer}", json=purchase(id=comer)),
            client.delete(f"/ChargeItem/{comer}"),
        ]
        assert all(answer.is_success for answer in answers)

    with Writer(server.base, change) as writer:
        walk = writer.between(pages(api, "/ChargeItem?_count=2"))
        seen = list(itertools.chain.from_iterable(map(keys, walk)))
    assert len(seen) == len(set(seen))
    assert [key for key in seen if "stay" in key] == stays


def test_a_next_link_works_after_a_restart_and_in_another_process(record, mongodb_uri, server):
    rest = link(got(record, "/Patient?_count=1"), "next").removeprefix(server.base)
    with (
        RunningServer(mongodb_uri, server.settings.mongodb_database) as other,
        httpx.Client(base_url=other.base) as client,
    ):
        assert list(itertools.chain(*map(keys, pages(client, rest)))) == PEOPLE[1:]


@pytest.mark.parametrize(
    "elsewhere",
    ["/Patient?_count=2", "/Account?_count=1", "/?_count=1", "/Patient?_id=ann&_count=1", "/_history?_count=1"],
)
def test_the_page_of_another_search_is_refused(record, elsewhere):
    token = link(got(record, "/Patient?_count=1"), "next").partition("_page=")[2]
    assert problem(record.get(f"{elsewhere}&_page={token}"))[:2] == (400, "invalid")


@pytest.mark.parametrize("token", ["x", "bm90.b3Vycw", "é.é", "." * 5_000])
def test_a_page_that_is_not_ours_is_refused(record, token):
    assert problem(record.get(f"/Patient?_count=1&_page={token}"))[:2] == (400, "invalid")


def test_a_page_link_is_gone_after_its_life(record, server):
    following = link(got(record, "/Patient?_count=1"), "next")
    server.foretold.set(seconds=server.settings.page_life_s + 60)
    assert problem(record.get(following))[:2] == (410, "invalid")


def test_a_search_of_everything_by_id_finds_every_type(api, server):
    for resource in (person(id="same"), budget(id="same"), person(id="other")):
        api.put(f"/{resource['resourceType']}/{resource['id']}", json=resource)
    found = api.get("/", params={"_id": "same"}).json()
    assert [entry["fullUrl"].removeprefix(f"{server.base}/") for entry in found["entry"]] == [
        "Patient/same",
        "Account/same",
    ]
    assert found["total"] == 2


# ---- totals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("most", "told"), [(3, 3), (2, None)])
def test_a_total_is_told_unasked_up_to_a_bound(record, monkeypatch, most, told):
    monkeypatch.setattr(search_type, "TOTAL_FREE_MAX", most)
    assert got(record, "/Patient?_count=1").get("total") == told
    assert got(record, "/Patient")["total"] == 3  # the page holds all of it
    assert got(record, "/Patient?_count=1&_total=accurate")["total"] == 3
    assert got(record, "/Patient?_count=1&_total=estimate")["total"] == 3


def test_a_total_leaves_out_what_is_no_match(record):
    found = record.get("/Account?_include=*&shoe-size=5", headers={"Prefer": "handling=lenient"}).json()
    assert [one["search"]["mode"] for one in found["entry"]] == ["match", "outcome"]
    assert found["total"] == 1


# ---- how it was answered ---------------------------------------------------------------------------------------------


def test_a_search_explains_itself_when_asked(record, server):
    asked = f"/Patient?identifier={NHS_NUMBER}|9000000001&_explain=true"
    found = got(record, asked)
    assert (keys(found), found["total"]) == (["Patient/bob"], 1)
    assert link(found, "self") == f"{server.base}{asked}"
    entry = found["entry"][-1]
    assert entry["search"] == {"mode": "outcome"}
    ((issue),) = entry["resource"]["issue"]
    assert (issue["severity"], issue["code"]) == ("information", "informational")
    told = json.loads(issue["diagnostics"])
    (phase,) = told["phases"]
    assert phase["index"] == "key_seq"
    assert f"identifier={NHS_NUMBER}|9000000001" in json.dumps(phase["filter"])
    assert phase["documents_examined"] == 1
    assert outcomes(got(record, asked.replace("_explain=true", "_explain=false"))) == []


def test_an_explanation_names_what_is_looked_at_one_by_one(record):
    found = got(record, "/Patient?_content=marsh&_explain=true")
    (issue,) = found["entry"][-1]["resource"]["issue"]
    assert any("marsh" in one for one in json.loads(issue["diagnostics"])["looked_at_one_by_one"])


def test_a_total_that_no_index_tells_by_itself_is_told_where_the_page_is_all_or_it_is_asked_for(record):
    two = "/Patient?identifier=9000000000,9000000002&_lastUpdated=ge2026"
    assert got(record, two)["total"] == 2
    assert "total" not in got(record, f"{two}&_count=1")
    assert got(record, f"{two}&_count=1&_total=accurate")["total"] == 2
    assert got(record, "/Patient?identifier=9000000000&_count=1")["total"] == 1
    assert got(record, "/Patient?_count=1")["total"] == len(PEOPLE)
