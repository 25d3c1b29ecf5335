"""CarePlan/$document: a copy of a plan to keep, as a FHIR document and as a page (R99)."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from tests.builders import problem
from tests.stories import FAMILY, tell

ADDRESS = "/CarePlan/jill-plan/$document"


def document(api, address=ADDRESS):
    answer = api.get(address)
    assert answer.status_code == 200, answer.text
    return answer.json()


def page(api, address=ADDRESS):
    answer = api.get(address, params={"format": "html"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html;charset=utf-8"), answer.text
    return answer.text


def sections(found):
    return {one["title"]: one for one in found["entry"][0]["resource"]["section"]}


def words(html):
    """The text of a page as somebody reads it."""
    found = []

    class Reader(HTMLParser):
        def handle_data(self, data):
            found.append(data)

    Reader().feed(html)
    return re.sub(r"\s+", " ", " ".join(found))


def changed(api, key, **more):
    stored = api.get(f"/{key}").json()
    answer = api.put(f"/{key}", json={**stored, **more})
    assert answer.status_code == 200, answer.text


# ---- the FHIR document ---------------------------------------------------------------------------


def test_it_is_a_document_as_r4_has_them(jills):
    found = document(jills)
    assert found["type"] == "document"
    assert found["timestamp"]
    assert found["identifier"]["value"].startswith("urn:uuid:")
    head = found["entry"][0]["resource"]
    assert (head["resourceType"], head["status"], head["title"]) == (
        "Composition",
        "final",
        "Jill's care and support plan",
    )
    assert [one["display"] for one in head["author"]] == [
        "Jill Harper",
        "Ruth Harper, Jill's sister",
        "Priya Nair, care co-ordinator",
        "Tom Whelan, multiple sclerosis nurse",
    ]


def test_the_server_itself_finds_it_valid(jills):
    answer = jills.post("/Bundle/$validate", json=document(jills))
    assert [one for one in answer.json()["issue"] if one["severity"] in ("error", "fatal")] == []


def test_every_reference_of_its_head_leads_to_an_entry(jills):
    found = document(jills)
    urls = [one["fullUrl"] for one in found["entry"]]
    assert len(urls) == len(set(urls))
    head = found["entry"][0]["resource"]
    named = [head["subject"], *head["author"], head["custodian"]]
    named += [one for section in head["section"] for one in section.get("entry", [])]
    assert {one["reference"] for one in named} <= set(urls)
    assert urls[1].endswith("/CarePlan/jill-plan")


def test_what_was_written_comes_as_it_is_stored(jills):
    stored = {one["fullUrl"]: one["resource"] for one in document(jills)["entry"][1:]}
    for url, resource in stored.items():
        assert jills.get(url).json() == resource


def test_each_copy_has_a_number_of_its_own(jills):
    first, second = document(jills), document(jills)
    assert first["identifier"] != second["identifier"]


def test_a_draft_is_a_preliminary_document(jills):
    draft = jills.get("/CarePlan/jill-plan").json() | {"status": "draft", "id": "next"}
    assert jills.put("/CarePlan/next", json=draft).status_code == 201
    found = document(jills, "/CarePlan/next/$document")
    assert found["entry"][0]["resource"]["status"] == "preliminary"
    assert "It has not been agreed yet." in sections(found)["Agreement"]["text"]["div"]


# ---- what it says --------------------------------------------------------------------------------


def test_it_says_all_that_the_nine_criteria_ask_of_a_plan(jills):
    text = words(page(jills))
    for said in (
        "Jill's care and support plan",
        "I taught geography for twenty-two years",  # who she is
        "Carers at times that suit the rota and not me.",  # what is not working
        "Choir on Thursdays.",  # what matters to her
        "My skin stays whole and I sleep through most nights",  # what is to be better
        "Profiling bed and pressure cushion; the assistant is trained",  # what is done about a risk
        "If my assistant cannot come, Lantern Home Care sends somebody I have met.",  # when things go wrong
        "£26,260.00 agreed for the time of this plan, from NHS Harbourside ICB",
        "Set aside for emergencies: £2,020.00.",
        "Having a budget takes no other care of the NHS away: emergency and hospital care, seeing a GP",
        "£18,300.00",  # how much of the money is held how
        "Paid to the person, or to who acts for them Jill Harper",
        "Riverbank Therapies once every 2 weeks, from 5 October 2026 to 3 October 2027 £1,170.00 The budget",
        "Priya Nair, care co-ordinator Care co-ordinator",  # who is the co-ordinator
        "Red marks that stay, two missed Thursdays in a row",  # how people will know
        "15 December 2026 to 4 January 2027",  # when it is looked at
        "Signed off on 24 September 2026 by Priya Nair, care co-ordinator.",
    ):
        assert said in text


def test_it_says_between_which_limits_it_is_well_and_whom_to_turn_to_beyond_them(jills):
    """R104: a specified safe limit, and who to turn to if things go beyond it."""
    kilograms = {"unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"}
    limits = [
        {
            "measure": {"text": "Weight"},
            "detailRange": {"low": {"value": 60, **kilograms}, "high": {"value": 70, **kilograms}},
        },
        {"measure": {"text": "Nights awake"}, "detailQuantity": {"value": 3, "comparator": "<", "unit": "a week"}},
        {"measure": {"text": "Skin"}, "detailCodeableConcept": {"text": "whole"}},
        {"measure": {"text": "Not said"}},
    ]
    assert "beyond a limit" not in words(page(jills))
    changed(jills, "Goal/jill-goal-skin-and-sleep", target=limits)
    said = words(page(jills))
    assert "Weight: from 60 kg to 70 kg Nights awake: <3 a week Skin: whole" in said
    assert "If it goes beyond a limit, turn to Tom Whelan" in said
    assert "Not said" not in said


def test_the_page_and_the_document_say_the_same(jills):
    divs = [one["text"]["div"] for one in document(jills)["entry"][0]["resource"]["section"]]
    read = words(page(jills))
    for div in divs:
        assert words(div).strip() in read


def test_it_says_nothing_under_a_title_that_nothing_was_said_to(jills):
    whole = jills.get("/CarePlan/jill-plan").json()
    least = {name: whole[name] for name in ("resourceType", "intent", "category", "subject", "title")}
    assert jills.put("/CarePlan/bare", json={**least, "id": "bare", "status": "draft"}).status_code == 201
    found = document(jills, "/CarePlan/bare/$document")
    assert list(sections(found)) == ["Agreement"]
    assert "A copy of the plan of Jill Harper" in words(page(jills, "/CarePlan/bare/$document"))


def test_what_people_wrote_is_text_and_no_markup(jills):
    team = jills.get("/CareTeam/jill-team").json()
    team["participant"][1]["member"]["display"] = "<script>alert(1)</script> & <b>Priya</b>"
    assert jills.put("/CareTeam/jill-team", json=team).status_code == 200
    html = page(jills)
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;b&gt;Priya" in html


def test_a_familys_plan_tells_of_each_funder(api):
    tell(api, FAMILY)
    plan = api.get("/CarePlan", params={"status": "active"}).json()["entry"][0]["resource"]
    text = words(page(api, f"/CarePlan/{plan['id']}/$document"))
    assert "The local authority" in text or "Education" in text


def test_what_is_cancelled_or_over_is_not_in_it(jills):
    changed(jills, "RiskAssessment/jill-risk-skin", status="cancelled")
    assert "Skin breaking down" not in words(page(jills))


# ---- how it is asked for -------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{"params": {"_format": "text/html"}}, {"headers": {"Accept": "text/html"}}])
def test_the_page_is_asked_for_by_its_media_type_too(jills, how):
    answer = jills.get(ADDRESS, **how)
    assert answer.headers["content-type"] == "text/html;charset=utf-8"
    assert answer.text.startswith("<!DOCTYPE html>")


def test_by_post_as_well(jills):
    asked = {"resourceType": "Parameters", "parameter": [{"name": "format", "valueCode": "html"}]}
    assert jills.post(ADDRESS, json=asked).text.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("params", [{"format": "pdf"}, {"persist": "true"}, {"format": ["html", "html"]}])
def test_what_it_does_not_know_is_400(jills, params):
    answer = jills.get(ADDRESS, params=params)
    assert answer.status_code == 400
    assert problem(answer)


def test_a_plan_that_is_not_there_or_of_no_budget(jills):
    assert jills.get("/CarePlan/none/$document").status_code == 404
    other = {"resourceType": "CarePlan", "status": "draft", "intent": "plan", "subject": {"reference": "Patient/jill"}}
    id_ = jills.post("/CarePlan", json=other).json()["id"]
    assert jills.get(f"/CarePlan/{id_}/$document").status_code == 422
