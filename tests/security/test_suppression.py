"""Figures without the small ones: by example, and that no masked number of a generated report can be worked out from what is shown (R32)."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phb_fhir.security.suppression import suppressed
from tests.security.elements import secret, thing
from tests.security.world import World

MASKED = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}]}


def counted(name: str, count: int) -> dict[str, Any]:
    return {"code": {"coding": [{"code": name}]}, "count": count}


def group(total: int | None, *ways: list[int], **more: Any) -> dict[str, Any]:
    """A group of so many, divided in these ways."""
    strata = [[{"value": {"text": "part"}, "population": [counted("all", one)]} for one in way] for way in ways]
    made = {"stratifier": [{"stratum": one} for one in strata], **more}
    return made if total is None else {"population": [counted("all", total)], **made}


def told(group: dict[str, Any]) -> tuple[int | None, list[list[int | None]]]:
    """The total and the parts of a group as they are shown; None for what is masked."""

    def of(populations: list[dict[str, Any]]) -> int | None:
        (one,) = populations
        assert ("count" in one) is not (one.get("_count") == MASKED)
        return one.get("count")

    ways = [[of(one["population"]) for one in way["stratum"]] for way in group["stratifier"]]
    return of(group["population"]) if "population" in group else None, ways


EXAMPLES: dict[str, tuple[dict[str, Any], tuple[int | None, list[list[int | None]]]]] = {
    "nothing is small": (group(30, [10, 20], [5, 25]), (30, [[10, 20], [5, 25]])),
    "nothing is there": (group(0, [0, 0]), (0, [[0, 0]])),
    "the total is small": (group(4), (None, [])),
    "a part is small": (group(30, [3, 27]), (None, [[None, 27]])),
    "another way tells the total": (group(30, [3, 27], [12, 18]), (None, [[None, 27], [None, 18]])),
    "another way has nothing but one part": (group(30, [3, 27], [30, 0]), (None, [[None, 27], [None, 0]])),
    "a few are in no part": (group(30, [10, 18]), (None, [[None, 18]])),
    "many are in no part": (group(30, [10, 10]), (30, [[10, 10]])),
    "no total": (group(None, [3, 27], [12, 18]), (None, [[None, 27], [None, 18]])),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_small_number_is_masked_with_what_it_could_be_worked_out_from(name: str) -> None:
    report, expected = EXAMPLES[name]
    (shown,) = suppressed([report])
    assert told(shown) == expected


def test_of_three_populations_the_difference_of_two_is_not_told() -> None:
    whole = {"population": [counted("all", 20), counted("left out", 2), counted("counted", 18)]}
    (shown,) = suppressed([whole])
    assert [one.get("count") for one in shown["population"]] == [20, None, None]
    (shown,) = suppressed([{"population": [counted("all", 200), counted("counted", 2)]}])
    assert [one.get("count") for one in shown["population"]] == [200, None]


def test_a_total_is_the_total_of_its_parts_however_its_code_is_written() -> None:
    """With what it is called, and in which version; and of several populations with one code, each of its own parts."""
    report = group(30, [3, 27])
    report["population"][0]["code"] = {"coding": [{"code": "all", "version": "1", "display": "All"}], "text": "All"}
    assert told(suppressed([report])[0]) == (None, [[None, 27]])
    twice = [{"population": [counted("all", one), counted("all", 20)]} for one in (3, 27)]
    whole = {"population": [counted("all", 30), counted("all", 40)], "stratifier": [{"stratum": twice}]}
    (shown,) = suppressed([whole])
    assert [one.get("count") for one in shown["population"]] == [None, 40]


def test_a_score_is_told_where_nothing_is_masked() -> None:
    score = {"measureScore": {"value": 812.5, "unit": "GBP"}}
    assert "measureScore" in suppressed([group(30, [10, 20], **score)])[0]
    assert "measureScore" not in suppressed([group(30, [3, 27], **score)])[0]


def test_what_was_masked_already_is_not_told_by_its_total() -> None:
    report = group(30, [10, 20])
    report["stratifier"][0]["stratum"][0]["population"] = [{"code": {"coding": [{"code": "all"}]}, "_count": MASKED}]
    assert told(suppressed([report])[0]) == (None, [[None, 20]])


WAYS = st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=3), min_size=1, max_size=2)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 20), WAYS)
def test_nobody_works_out_a_small_number_from_what_is_shown(of_all: int, parts: list[list[int]]) -> None:
    """Each way divides all of one number; of every masked number there are several that fit all that is shown."""
    ways = [[*way[:-1], of_all - sum(way[:-1])] for way in parts if sum(way[:-1]) <= of_all]
    (shown,) = suppressed([group(of_all, *ways)])
    total, rows = told(shown)
    assert not {one for one in (total, *(one for row in rows for one in row)) if one is not None} & {1, 2, 3, 4}
    totals = [total] if total is not None else range(41)
    fitting = {index: {option for whole in totals for option in _options(whole, row)} for index, row in enumerate(rows)}
    for index, row in enumerate(rows):
        for place, one in enumerate(row):
            if one is None:
                assert len({option[place] for option in fitting[index]}) > 1


def _options(whole: int, row: list[int | None]) -> list[tuple[int, ...]]:
    return [one for one in product(*([cell] if cell is not None else range(41) for cell in row)) if sum(one) == whole]


# ---- over HTTP -----------------------------------------------------------------------------------------------------


REPORT = thing(
    "MeasureReport",
    "few",
    status="complete",
    type="summary",
    measure="http://defined.example/Measure",
    period={"start": "2026"},
    group=[
        {
            **group(30, [3, 27]),
            "population": [
                {**counted("all", 30), "subjectResults": {"reference": "List/jill-list"}},
            ],
        }
    ],
    evaluatedResource=[{"reference": "Patient/jill"}],
    text={"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">3 of 30 {secret("jill")}</div>'},
)


@pytest.mark.parametrize("who", ["analyst", "north"])
def test_who_reads_figures_sees_no_small_ones_and_nobody_they_are_of(world: World, who: str) -> None:
    world.restore()
    world.write(REPORT)
    for path in ("/MeasureReport/few", "/MeasureReport/few/_history/1"):
        shown = world.get(who, path).json()
        assert told(shown["group"][0]) == (None, [[None, 27]])
    for path in (
        "/MeasureReport/few",
        "/MeasureReport/few/_history",
        "/MeasureReport?_count=100",
        "/MeasureReport?measure=http://defined.example/Measure",
        "/MeasureReport?_id=few&_elements=text,evaluatedResource,group",
    ):
        answer = world.get(who, path)
        assert (answer.status_code, '"few"' in answer.text) == (200, True), path
        assert not [
            one for one in ("Patient/jill", "List/jill-list", secret("jill"), '"count":30') if one in answer.text
        ]
    for asked in ("evaluated-resource=Patient/jill", "_text=3", "_content=30"):
        found = world.get(who, f"/MeasureReport?{asked}")
        assert "few" not in [one["resource"].get("id") for one in found.json().get("entry", ())]
    assert json.loads(world.get("system", "/MeasureReport/few").text)["group"] == REPORT["group"]
    world.restore()
