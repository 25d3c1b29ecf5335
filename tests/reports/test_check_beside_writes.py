"""A check tells the truth while others write: it looks at one instant at a time, and never at half of a purchase."""

from __future__ import annotations

import threading

import httpx

from tests.stories import massage, tell

BUYERS = 3
EACH = 8


def test_a_record_that_is_written_meanwhile_is_never_found_to_disagree(api):
    tell(api)
    failed: list[str] = []

    def buy(buyer: int) -> None:
        with httpx.Client(base_url=api.base_url, headers=api.headers, timeout=60, verify=False) as own:
            for number in range(EACH):
                made = own.post("/ChargeItem", json=massage(f"PUR-{buyer}-{number}"))
                charge = made.json()
                gone = own.put(f"/ChargeItem/{charge['id']}", json={**charge, "status": "aborted"})
                failed.extend(answer.text for answer in (made, gone) if answer.status_code not in (200, 201))

    buyers = [threading.Thread(target=buy, args=(number,)) for number in range(BUYERS)]
    for one in buyers:
        one.start()
    looks = []
    while any(one.is_alive() for one in buyers):
        looks.append(api.get("/$fsck").json()["issue"])
    for one in buyers:
        one.join()
    looks.append(api.get("/$fsck").json()["issue"])
    assert failed == []
    assert len(looks) > 1
    assert {issue["severity"] for look in looks for issue in look} == {"information"}, looks
