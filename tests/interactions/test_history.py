"""history: of one resource, a type, or everything (R4 §3.1.0.11): complete, newest first, in pages that lose nothing."""

from __future__ import annotations

import itertools

import httpx
import pytest

from phb_fhir.search.paging import Pager, Place
from tests.builders import budget, person, problem
from tests.fresh import tell_once
from tests.interactions.busy import Writer
from tests.running import FIRST_MOMENT, RunningServer

JSON_PATCH = {"Content-Type": "application/json-patch+json"}
PAGES_MAX = 500


@pytest.fixture
def story(api):
    """A second each, from nine o'clock: Jill made, a budget made, Jill patched, Jill deleted, Jill brought back."""
    tell_once(api, told)
    return api


def told(api):
    api.put("/Patient/jill", json=person(id="jill"))
    api.post("/Account", json=budget())
    api.patch("/Patient/jill", json=[{"op": "add", "path": "/active", "value": True}], headers=JSON_PATCH)
    api.delete("/Patient/jill")
    api.put("/Patient/jill", json=person(id="jill"))


def versions(found):
    """Each entry as Type/id/version, read from its fullUrl and its ETag."""
    return [
        "/".join([*one["fullUrl"].split("/")[-2:], one["response"]["etag"][3:-1]]) for one in found.get("entry", [])
    ]


def got(api, address):
    answer = api.get(address)
    assert answer.status_code == 200, answer.text
    return answer.json()


def link(found, relation):
    return next((one["url"] for one in found["link"] if one["relation"] == relation), None)


def pages(api, address, relation="next"):
    """The pages from `address` on, by their next links."""
    for _ in range(PAGES_MAX):
        if not address:
            return
        page = got(api, address)
        yield page
        address = link(page, relation)
    raise AssertionError("the pages do not end")


JILLS = ["Patient/jill/4", "Patient/jill/3", "Patient/jill/2", "Patient/jill/1"]
ALL = [*JILLS[:3], "Account/id-1/1", JILLS[3]]


# ---- what is in it ---------------------------------------------------------------------------------------------------


def test_the_history_of_a_resource_tells_each_change_newest_first(story, server):
    found = got(story, "/Patient/jill/_history")
    assert {name: value for name, value in found.items() if name != "entry"} == {
        "resourceType": "Bundle",
        "type": "history",
        "total": 4,
        "link": [{"relation": "self", "url": f"{server.base}/Patient/jill/_history"}],
    }
    told = [
        ("PUT", "Patient/jill", "201 Created", 1, 0),
        ("PATCH", "Patient/jill", "200 OK", 2, 2),
        ("DELETE", "Patient/jill", "204 No Content", 3, 3),
        ("PUT", "Patient/jill", "201 Created", 4, 4),
    ]
    for entry, (method, url, status, number, second) in zip(found["entry"], reversed(told), strict=True):
        assert entry["fullUrl"] == f"{server.base}/Patient/jill"
        assert entry["request"] == {"method": method, "url": url}
        assert entry["response"] == {
            "status": status,
            "etag": f'W/"{number}"',
            "lastModified": f"2026-11-22T09:00:0{second}.000Z",
        }
        if method == "DELETE":
            assert "resource" not in entry
        else:
            assert entry["resource"] == got(story, f"/Patient/jill/_history/{number}")


@pytest.mark.parametrize("count", ["1000000000000", "9" * 5_000, "0" * 5_000 + "7"])
def test_a_count_of_more_than_a_page_holds_is_a_page(story, count):
    plain = got(story, "/Patient/jill/_history")
    assert got(story, f"/Patient/jill/_history?_count={count}")["entry"] == plain["entry"]


@pytest.mark.parametrize("address", ["/Patient/jill/_history?_count=1", "/_history?_since=2026-11-22T09:00:04Z"])
def test_what_was_brought_back_is_told_as_created_though_its_deletion_is_on_another_page(story, address):
    (entry,) = got(story, address)["entry"]
    assert (entry["request"]["method"], entry["response"]["status"]) == ("PUT", "201 Created")
    story.put("/Patient/jill", json=person(id="jill", active=True))
    newest = got(story, address)["entry"][0]
    assert newest["response"] | {"lastModified": ""} == {"status": "200 OK", "etag": 'W/"5"', "lastModified": ""}


def test_what_one_transaction_brings_back_and_tells_the_history_of_is_told_as_created(story):
    story.delete("/Patient/jill")
    put = {"resource": person(id="jill"), "request": {"method": "PUT", "url": "Patient/jill"}}
    asked = [put, {"request": {"method": "GET", "url": "Patient/jill/_history?_count=1"}}]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": asked}
    done, told = story.post("", json=bundle).json()["entry"]
    (entry,) = told["resource"]["entry"]
    assert (done["response"]["status"], entry["response"]["status"]) == ("201 Created", "201 Created")


def test_a_create_is_told_as_a_post_to_its_type(story):
    (entry,) = got(story, "/Account/id-1/_history")["entry"]
    assert entry["request"] == {"method": "POST", "url": "Account"}
    assert entry["response"]["status"] == "201 Created"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/Patient/jill/_history", JILLS),
        ("/Patient/_history", JILLS),
        ("/Account/_history", ["Account/id-1/1"]),
        ("/_history", ALL),
        ("/Task/_history", []),
    ],
)
def test_a_history_has_the_changes_of_its_level(story, address, expected):
    found = got(story, address)
    assert versions(found) == expected
    assert found["total"] == len(expected)
    assert ("entry" in found) == bool(expected)


def test_a_type_and_a_resource_that_share_an_id_are_not_confused(story):
    story.put("/Person/jill", json={"resourceType": "Person", "id": "jill"})
    assert versions(got(story, "/Person/jill/_history")) == ["Person/jill/1"]
    assert versions(got(story, "/Patient/jill/_history")) == JILLS


def test_the_history_of_what_never_was_is_not_found(story):
    found = problem(story.get("/Patient/nobody/_history"))
    assert found == (404, "not-found", "There is no Patient/nobody, and there never was.", "")
    assert problem(story.get("/Patient/nobody/_history?_count=0")).status == 404


def test_the_history_of_what_was_deleted_is_kept(story):
    story.delete("/Patient/jill")
    assert versions(got(story, "/Patient/jill/_history")) == ["Patient/jill/5", *JILLS]


def test_an_update_that_changes_nothing_is_no_version(story):
    story.put("/Patient/jill", json=person(id="jill"))
    assert versions(got(story, "/Patient/jill/_history")) == JILLS


def test_entries_may_be_shown_in_part(story):
    newest = got(story, "/Patient/jill/_history?_elements=gender")["entry"][0]["resource"]
    assert set(newest) == {"resourceType", "meta", "id"}
    assert newest["meta"]["tag"][0]["code"] == "SUBSETTED"


@pytest.mark.parametrize("query", ["_count=0", "_summary=count", "_count=2&_summary=count"])
def test_a_count_alone_has_no_entries(story, query):
    found = got(story, f"/Patient/_history?{query}")
    assert (found["total"], "entry" in found, link(found, "next")) == (4, False, None)


# ---- _since and _at --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("2026-11-22T09:00:00Z", ALL),
        ("2026-11-22T09:00:01Z", ALL[:4]),
        ("2026-11-22T09:00:01.001Z", ALL[:3]),
        ("2026-11-22T10:00:03%2B01:00", ALL[:2]),
        ("2026-11-22T10:00:03+01:00", ALL[:2]),  # a '+' that was not percent-encoded
        ("2026-11-22T04:00:04-05:00", ALL[:1]),
        ("2026-11-22T09:00:04.001Z", []),
        ("2026-11-22", ALL),
        ("2026-11-23", []),
        ("2026", ALL),
    ],
)
@pytest.mark.parametrize(
    ("address", "of"), [("/_history", ""), ("/Patient/_history", "Pat"), ("/Patient/jill/_history", "Pat")]
)
def test_since_leaves_out_what_is_older(story, address, of, since, expected):
    mine = [version for version in expected if version.startswith(of)]
    found = got(story, f"{address}?_since={since}")
    assert (versions(found), found["total"]) == (mine, len(mine))


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        # one instant is what was current then
        ("2026-11-22T09:00:00.500Z", ["Patient/jill/1"]),
        ("2026-11-22T09:00:01.500Z", ["Account/id-1/1", "Patient/jill/1"]),
        ("2026-11-22T09:00:02.500Z", ["Patient/jill/2", "Account/id-1/1"]),
        ("2026-11-22T09:00:03.500Z", ["Patient/jill/3", "Account/id-1/1"]),
        ("2026-11-22T09:00:10Z", ["Patient/jill/4", "Account/id-1/1"]),
        # a period is all that was current at some point of it
        ("2026-11-22T09:00:02Z", ["Patient/jill/2", "Account/id-1/1"]),
        ("2026-11-22T09:00", ALL),
        ("2026-11-22", ALL),
        ("2026-11", ALL),
        ("2026-11-23", ["Patient/jill/4", "Account/id-1/1"]),
        ("2026-11-21", []),
        ("2025", []),
    ],
)
@pytest.mark.parametrize(
    ("address", "of"), [("/_history", ""), ("/Patient/_history", "Pat"), ("/Patient/jill/_history", "Pat")]
)
def test_at_leaves_out_what_was_not_current_then(story, address, of, at, expected):
    mine = [version for version in expected if version.startswith(of)]
    found = got(story, f"{address}?_at={at}")
    assert (versions(found), found["total"]) == (mine, len(mine))


def test_since_and_at_hold_together(story):
    found = got(story, "/_history?_at=2026-11-22&_since=2026-11-22T09:00:02Z")
    assert versions(found) == ALL[:3]


@pytest.mark.parametrize("name", ["_since", "_at"])
@pytest.mark.parametrize(
    "text", ["yesterday", "2026-13", "2026-02-30", "22/11/2026", "2026-11-22T09", "9999-12-32", "ge2026"]
)
def test_a_date_that_is_none_is_refused(story, name, text):
    found = problem(story.get(f"/_history?{name}={text}"))
    assert found[:2] == (400, "value")
    assert found.text == f"{name}={text} is no date or instant; write for example 2026-11-22T09:30:00Z."


# ---- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", ["-1", "1.5", "many", "1e3", "%D9%A1"])
def test_a_count_that_is_none_is_refused(story, count):
    assert problem(story.get(f"/_history?_count={count}"))[:2] == (400, "value")


@pytest.mark.parametrize(("count", "taken"), [("1000000", "1000"), ("007", "7"), ("5", "5")])
def test_the_self_link_tells_the_count_that_was_taken(story, server, count, taken):
    found = story.get(f"/_history?_count={count}").json()
    assert link(found, "self") == f"{server.base}/_history?_count={taken}"


@pytest.mark.parametrize("name", ["_count", "_since", "_at", "_list", "_format"])
@pytest.mark.parametrize("address", ["/Patient/jill/_history", "/Patient/_history", "/_history"])
def test_a_parameter_without_a_value_asks_for_nothing_as_in_a_search(story, server, address, name):
    found = got(story, f"{address}?{name}=")
    assert found == got(story, address)
    assert link(found, "self") == f"{server.base}{address}"


def test_a_page_without_a_name_is_none(story):
    assert problem(story.get("/_history?_page=")).status == 400


def test_a_parameter_that_a_history_does_not_know_is_refused_or_left_out_of_the_self_link(story, server):
    found = problem(story.get("/Patient/_history?_sort=date"))
    assert found[:2] == (400, "not-supported")
    assert found.text == "A history takes _count, _since, _at, _list; it does not know '_sort'."
    lenient = story.get("/Patient/_history?_sort=date&_count=9", headers={"Prefer": "handling=lenient"}).json()
    assert versions(lenient) == JILLS
    assert link(lenient, "self") == f"{server.base}/Patient/_history?_count=9"


def test_a_parameter_twice_is_refused(story):
    assert problem(story.get("/_history?_count=1&_count=2"))[:2] == (400, "invalid")


# ---- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize(
    ("address", "expected"), [("/_history", ALL), ("/Patient/_history", JILLS), ("/Patient/jill/_history", JILLS)]
)
def test_all_pages_together_are_the_history(story, address, expected, count):
    walked = list(pages(story, f"{address}?_count={count}"))
    assert list(itertools.chain(*map(versions, walked))) == expected
    assert all(len(versions(page)) == count for page in walked[:-1])
    assert {page["total"] for page in walked} == {len(expected)}


def test_the_self_link_and_the_next_link_keep_the_question(story, server):
    page = got(story, "/Patient/_history?_count=1&_since=2026-11-22T09:00:02%2B00:00&_format=json")
    question = "_count=1&_since=2026-11-22T09:00:02%2B00:00&_format=json"
    assert link(page, "self") == f"{server.base}/Patient/_history?{question}"
    assert link(page, "next").startswith(f"{server.base}/Patient/_history?{question}&_page=")
    walked = list(pages(story, link(page, "self")))
    assert list(itertools.chain(*map(versions, walked))) == JILLS[:3]


def test_changes_made_between_pages_neither_shift_nor_repeat_what_follows(story):
    seen = []
    for page in pages(story, "/_history?_count=1"):
        seen += versions(page)
        story.put("/Patient/jill", json=person(id="jill", multipleBirthInteger=len(seen)))
        story.put(f"/Patient/new-{len(seen)}", json=person(id=f"new-{len(seen)}"))
        story.delete("/Account/id-1")
    assert seen == ALL


def test_walking_a_history_while_others_write_meets_every_earlier_version_once(api, server):
    api.headers["Prefer"] = "return=minimal"
    for number in range(60):
        api.put(f"/Patient/p{number % 12}", json=person(id=f"p{number % 12}", multipleBirthInteger=number))
    before = versions(got(api, "/_history?_count=100"))
    assert len(before) == 60

    def change(client, number):
        name = f"p{number % 12}"
        assert client.put(f"/Patient/{name}", json=person(id=name, multipleBirthInteger=1_000 + number)).is_success

    with Writer(server.base, change) as writer, Writer(server.base, lambda client, number: change(client, number + 6)):
        walk = writer.between(pages(api, "/_history?_count=4"))
        seen = list(itertools.chain.from_iterable(map(versions, walk)))
    assert len(seen) == len(set(seen))
    assert set(before) <= set(seen)
    assert [version for version in seen if version in set(before)] == before


def test_a_next_link_works_after_a_restart_and_in_another_process(story, mongodb_uri, server):
    page = got(story, "/Patient/_history?_count=1")
    rest = link(page, "next").removeprefix(server.base)
    with (
        RunningServer(mongodb_uri, server.settings.mongodb_database) as other,
        httpx.Client(base_url=other.base) as client,
    ):
        walked = list(pages(client, rest))
    assert list(itertools.chain(*map(versions, walked))) == JILLS[1:]


@pytest.mark.parametrize("harm", ["", "x", "é", ".", "x" * 5_000, "bm90.b3Vycw"])
def test_a_page_that_is_not_ours_is_refused(story, harm):
    found = problem(story.get(f"/_history?_count=1&_page={harm}"))
    assert found[:2] == (400, "invalid")


def test_a_page_that_was_tampered_with_is_refused_wherever_it_was(story):
    page = link(got(story, "/_history?_count=1"), "next")
    start = page.index("_page=") + len("_page=")
    for place in range(start, len(page)):
        if page[place] == ".":
            continue
        other = "A" if page[place] != "A" else "Q"
        assert problem(story.get(page[:place] + other + page[place + 1 :])).status == 400, place


@pytest.mark.parametrize(
    "elsewhere",
    [
        "/Patient/_history?_count=1",
        "/_history?_count=2",
        "/_history?_count=1&_since=2026",
        "/?_count=1",
        "/Patient?_count=1",
    ],
)
def test_the_page_of_another_question_is_refused(story, elsewhere):
    token = link(got(story, "/_history?_count=1"), "next").partition("_page=")[2]
    assert problem(story.get(f"{elsewhere}&_page={token}"))[:2] == (400, "invalid")


def test_a_page_link_works_for_its_life_and_is_gone_afterwards(story, server):
    following = link(got(story, "/_history?_count=1"), "next")
    server.foretold.set(seconds=server.settings.page_life_s - 1)
    assert story.get(following).status_code == 200
    server.foretold.set(seconds=server.settings.page_life_s + 60)
    found = problem(story.get(following))
    assert found == (410, "invalid", "This page link has expired; run the search again from its start.", "")


def test_the_page_of_another_server_is_refused(story):
    foreign = Pager(b"another key", 60).seal(
        "_history?_count=1", Place(["2026-11-22T09:00:02+00:00", "Patient/jill"]), FIRST_MOMENT
    )
    assert problem(story.get(f"/_history?_count=1&_page={foreign}"))[:2] == (400, "invalid")


# ---- of what is in a List --------------------------------------------------------------------------------------------


def listed(api, id_, *references, **more):
    entries = [{"item": {"reference": reference}} for reference in references]
    resource = {"resourceType": "List", "id": id_, "status": "current", "mode": "working", "entry": entries, **more}
    answer = api.put(f"/List/{id_}", json=resource)
    assert answer.status_code in (200, 201), answer.text


def test_a_history_of_a_list_has_all_versions_of_what_is_in_it_and_of_one_version_that_one(story):
    story.put("/Patient/sam", json=person(id="sam"))
    listed(
        story,
        "watched",
        "Patient/jill",
        f"{story.base_url}Patient/sam/_history/1",
        "https://elsewhere.example/Patient/x",
    )
    story.put("/Patient/sam", json=person(id="sam", active=True))
    expected = ["Patient/sam/1", "Patient/jill/4", "Patient/jill/3", "Patient/jill/2", "Patient/jill/1"]
    assert versions(got(story, "/_history?_list=watched")) == expected
    assert versions(got(story, "/Patient/_history?_list=watched")) == expected
    assert got(story, "/Account/_history?_list=watched")["total"] == 0
    assert got(story, "/_history?_list=watched&_summary=count")["total"] == 5
    assert link(got(story, "/_history?_list=watched"), "self").endswith("/_history?_list=watched")
    paged = [version for page in pages(story, "/_history?_list=watched&_count=2") for version in versions(page)]
    assert paged == expected


def test_what_was_taken_out_of_a_list_is_not_in_its_history_and_a_list_that_is_not_there_has_none(story):
    taken_out = {"item": {"reference": "Patient/jill"}, "deleted": True}
    listed(story, "changed", mode="changes", entry=[taken_out])
    assert got(story, "/_history?_list=changed")["total"] == 0
    assert got(story, "/_history?_list=nowhere")["total"] == 0


@pytest.mark.parametrize("value", ["$current-problems", "List/watched"])
def test_a_list_of_a_history_is_named_by_its_id(story, value):
    assert problem(story.get("/_history", params={"_list": value}))[0] == 400
