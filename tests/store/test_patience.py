"""One request waits in vain for so long altogether, whatever its single waits may take."""

from __future__ import annotations

import asyncio
import time

import pytest
from pymongo.errors import AutoReconnect, ExecutionTimeout, OperationFailure

from phb_fhir.outcome import Refusal, Rejected
from phb_fhir.store.patience import LAST_S, answering, be_patient, patiently
from tests.store.stores import run

AWAY = AutoReconnect("nobody answers")
SLOW = ExecutionTimeout("operation exceeded time limit", 50, {"ok": 0, "code": 50, "codeName": "MaxTimeMSExpired"})
NO_TIME_LEFT = ExecutionTimeout("operation would exceed time limit", 50, {"ok": 0, "code": 50})


def wait(error: Exception | None, *, last: bool = False) -> float:
    """One wait of a moment: how long it could have been; raises what it ended with."""
    with patiently(60.0, "reading", last=last) as most_s:
        began = time.monotonic()
        while time.monotonic() == began:
            pass
        if error is not None:
            raise error
    return most_s


def left_after(error: Exception) -> float:
    be_patient(10.0)
    with pytest.raises(type(error)):
        wait(error)
    return wait(None)


@pytest.mark.parametrize("error", [AWAY, NO_TIME_LEFT, TimeoutError()])
def test_a_wait_in_vain_leaves_less_for_the_next(error: Exception) -> None:
    async def story() -> None:
        assert left_after(error) < 10.0

    run(story)


@pytest.mark.parametrize("error", [SLOW, OperationFailure("write conflict", 112)])
def test_an_answer_that_is_an_error_was_no_wait_in_vain(error: Exception) -> None:
    async def story() -> None:
        assert left_after(error) == 10.0

    run(story)


def test_a_request_whose_patience_is_over_asks_no_more_and_has_a_moment_for_its_record() -> None:
    async def story() -> None:
        be_patient(1e-9)
        with pytest.raises(AutoReconnect):
            wait(AWAY)
        with pytest.raises(Rejected) as refused, answering("searching", 60.0):
            pytest.fail("it was asked")
        assert refused.value.refusal is Refusal.UNAVAILABLE
        assert "cannot be reached just now, while searching" in refused.value.issues[0].text
        assert wait(None, last=True) == LAST_S

    run(story)


def test_patience_is_that_of_one_request_and_of_nobody_else() -> None:
    async def one(seconds: float) -> float:
        be_patient(seconds)
        await asyncio.sleep(0)
        return wait(None)

    async def story() -> None:
        assert await asyncio.gather(one(1.0), one(2.0)) == [1.0, 2.0]
        assert wait(None) == 60.0

    run(story)
