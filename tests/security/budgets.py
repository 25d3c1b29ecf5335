"""Money in the small world: budgets of three of its patients, each with its plan and its ledger, and what happens to them.

They are Jill's of `examples/`, told of each with those around them (`record.AROUND`): Jill's is seen by most of the actors, Mo's by the
commissioner of both, Ted's by none of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.paying import BASE, line, payment
from tests.security.record import AROUND
from tests.security.world import World
from tests.stories import massage, story

BUDGETED = ("jill", "mo", "ted")
NUMBER = f"{BASE}/Id/phb-account-number"
PURCHASE = f"{BASE}/Id/phb-purchase-reference"
_SHARED = ("ChargeItemDefinition", "Organization", "Patient", "Practitioner", "PractitionerRole", "Questionnaire")
_LEFT_OUT = (*_SHARED, "List")

Resource = dict[str, Any]


def budget_of(of: str) -> str:
    return f"Account/{of}-budget"


def number_of(of: str) -> str:
    """The number that their budget goes by."""
    return "PHB-2026-000417" + ("" if of == "jill" else f"-{of}")


def reference_of(of: str) -> str:
    """The number of a purchase that stands in their ledger."""
    return "PUR-2026-000101" + ("" if of == "jill" else f"-{of}")


def _around(of: str, resource: Resource) -> Resource:
    """With the organisations that this patient has to do with, and a sister who acts for them."""
    around, text = AROUND[of], json.dumps(resource).replace("ruth-harper", f"{of}-sister")
    for name, theirs in (
        ("harbourside-north", around.commissioner),
        ("oakfield-surgery", around.practice),
        ("riverbank-therapies", around.provider),
        ("harbourside-community-trust", around.trust),
    ):
        text = text.replace(f'"Organization/{name}"', json.dumps(theirs))
    made: Resource = json.loads(text)
    return made


def budget(of: str) -> list[Resource]:
    """A budget in force, with what it needs, what was bought from it, and what was paid."""
    told = story(name="" if of == "jill" else of)
    return [_around(of, one) for one in told if one["resourceType"] not in _LEFT_OUT]


def shared() -> list[Resource]:
    """What all three are made with: the people of the plan, the form, and what can be bought, of nobody whom these tests ask as."""
    told = [one for one in story() if one["resourceType"] in _SHARED and one["resourceType"] != "Patient"]
    return [_around("ted", one) for one in told]


def give_budgets(world: World) -> None:
    """Write them down, and remember the world as it is now."""
    world.write(*shared())
    for of in BUDGETED:
        world.write(*budget(of))
    world.hold_the_clock()
    world.keep()


# ---- what happens to the money -------------------------------------------------------------------------------------


def bought(of: str, reference: str, pounds: str, **more: Any) -> Resource:
    """A purchase that is in nobody's directory."""
    charge = massage(reference, pounds=pounds, name=of, **more)
    return {name: value for name, value in charge.items() if name != "definitionCanonical"}


def _buys(world: World, of: str, said: str) -> None:
    _done(world, "POST", "/ChargeItem", bought(of, f"PUR-UNSEEN-{of}", said, status="billable"))


def _is_paid(world: World, of: str, said: str) -> None:
    one = payment(
        f"PAY-UNSEEN-{of}",
        line(said, kind="advance"),
        payee=f"Patient/{of}",
        part="daily-life",
        issuer=AROUND[of].commissioner,
        account=budget_of(of),
        outcome="complete",
    )
    _done(world, "POST", "/PaymentReconciliation", one)


def _takes_back(world: World, of: str, said: str) -> None:
    del said
    charge = world.stands(f"ChargeItem/{of}-counselling-2026-11-26")
    assert charge is not None
    _done(world, "PUT", f"/ChargeItem/{charge['id']}", {**charge, "status": "entered-in-error"})


def _is_renamed(world: World, of: str, said: str) -> None:
    account = world.stands(budget_of(of))
    assert account is not None
    number = {"system": NUMBER, "value": f"PHB-{said}"}
    _done(world, "PUT", f"/{budget_of(of)}", {**account, "name": f"Budget {said}", "identifier": [number]})


def _done(world: World, method: str, path: str, body: Resource) -> None:
    answer = world.ask("system", method, path, body)
    assert answer.status_code in (200, 201), (path, answer.text)


SPENDINGS: dict[str, Callable[[World, str, str], None]] = {
    "buys": _buys,
    "is paid": _is_paid,
    "takes back": _takes_back,
    "is renamed": _is_renamed,
}


def spend(world: World, key: str, happens: str, said: str) -> None:
    """Something happens to the budget under this key."""
    of = key.removeprefix("Account/").removesuffix("-budget")
    SPENDINGS[happens](world, of, said)
