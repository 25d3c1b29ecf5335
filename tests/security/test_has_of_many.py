"""A `_has` of many begins with what points (`interactions/pointing`): both ends of it are narrowed to what the one who asks may see."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from phb_fhir.interactions import joins
from tests.profiled import commands_to
from tests.security.world import World

PAGES_MAX = 50
ASKED = (
    "/Patient?_has:ChargeItem:subject:status=billable,billed,planned,not-billable,aborted,entered-in-error,unknown",
    "/Organization?_has:Account:owner:status=active,inactive,on-hold,entered-in-error,unknown",
    "/Patient?_has:Account:patient:status=active,inactive,on-hold,entered-in-error,unknown",
)
READ_OF_WHAT_POINTS = {"type": 1, "seq": 1, "ix.k": 1}


def walked(world: World, who: str, address: str) -> list[str]:
    """What somebody sees of a search, page by page."""
    found: list[str] = []
    link = address if "_count" in address else f"{address}&_count=1"
    for _ in range(PAGES_MAX):
        answer = world.get(who, link)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        found += ["/".join(one["fullUrl"].split("/")[-2:]) for one in page.get("entry", ())]
        link = next((one["url"] for one in page["link"] if one["relation"] == "next"), "")
        if not link:
            return found
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("who", ["jill", "priya", "north", "oak"])
@pytest.mark.parametrize("address", ASKED)
def test_where_many_point_everybody_sees_what_they_see_where_few_do(
    world: World, monkeypatch: pytest.MonkeyPatch, address: str, who: str
) -> None:
    few = walked(world, who, address)
    monkeypatch.setattr(joins, "JOINED_MAX", 0)
    monkeypatch.setattr(joins, "FEW", 0)
    with commands_to(world.database) as asked:
        many = walked(world, who, address)
    assert sorted(many) == sorted(few)
    assert len(set(many)) == len(many)
    # what others may see, only further questions tell, and then it begins with the candidates
    if few and who == "jill":
        assert READ_OF_WHAT_POINTS in [command.get("projection") for command in asked]


SAME_AGAIN_MAX = (
    3  # for two passes, and for the page: what some condition leads to was gone through for each of a dozen
)


def test_what_a_funder_of_many_budgets_sees_is_not_asked_for_again_for_each_type(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_of_all = "/?_type=Task,Binary,DocumentReference,Communication"
    few = walked(world, "north", asked_of_all)
    monkeypatch.setattr(joins, "JOINED_MAX", 0)
    with commands_to(world.database) as asked:
        many = walked(world, "north", f"{asked_of_all}&_count=1000")
    assert sorted(many) == sorted(few)
    again = Counter(repr((command["filter"], command.get("limit"))) for command in asked if "find" in command)
    assert again
    assert max(again.values()) <= SAME_AGAIN_MAX


def test_there_is_somebody_to_be_seen_and_somebody_who_is_not(world: World) -> None:
    seen = {who: set(walked(world, who, ASKED[0])) for who in ("jill", "north")}
    assert seen["jill"] == {"Patient/jill"}
    assert seen["north"] - seen["jill"]
