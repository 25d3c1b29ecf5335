"""A valid token of little privilege, and everything that can be asked with it: no 5xx, and no byte of another person's record.

The same for as long as is wanted: `python -m tools.fuzz --minutes 10`.
"""

from __future__ import annotations

import pytest

from tests.security.elements import secret
from tests.security.fuzzing import LOW, OTHERS, UNSEEN, Fuzzer

ASKED = 700


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_is_asked_nothing_breaks_and_nobodys_record_is_shown(world, seed):
    fuzzer = Fuzzer(world, seed)
    for _ in range(ASKED):
        fuzzer.ask()
    assert fuzzer.findings == []
    assert {200, 400, 403, 404} <= set(fuzzer.statuses)  # it got through to where there is something to see
    assert sum(count for status, count in fuzzer.statuses.items() if status < 300) > ASKED // 20


@pytest.mark.parametrize("of", OTHERS)
def test_what_the_fuzzer_looks_for_is_there_to_be_found(world, of):
    for path in (f"/Patient/{of}", f"/Account/{of}-account", f"/Condition/{of}-condition", f"/Binary/{of}-binary"):
        assert UNSEEN.search(world.get("system", path).text), path
    assert secret(of) in world.get("system", f"/Patient/{of}/$everything?_count=100").text


def test_those_who_ask_see_something():
    assert len(LOW) == len(set(LOW)) >= 8
