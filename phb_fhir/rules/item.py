"""An item of the directory (SM-K, R25, R26): draft → active → retired, and what was bought is told by it for ever after.

Purchases name an item by url and version. So once one does, what that name means stays: the item is not deleted, and neither its price nor
what it is or who provides it is changed under it. What changes is another item with the same url and the next version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.outcome import Issue
from phb_fhir.rules.case import NOTHING, Asking, Case, Decision, Find, Judging, no_step, refusal
from phb_fhir.rules.purchase_checks import item_pence
from phb_fhir.rules.words import PURCHASE_CATEGORY, code_in, key_of, value_of

STEPS: Mapping[str, tuple[str, ...]] = {
    "unknown": ("draft", "active", "retired"),
    "draft": ("active", "retired"),
    "active": ("retired",),
    "retired": (),
}
_RETIRE = "Retire it (status retired) instead: nobody buys it any more, and it stays in the record."
_NEXT = "Add an item with the same url and the next version instead, and retire this one."


def judge_item(case: Case) -> Judging:
    """What speaks against a change or the deletion of an item of the directory."""
    before, after = case.before or {}, case.after
    if after is None:
        return Decision(tuple((yield from _deleted(case, before))))
    if not code_in(before.get("code"), PURCHASE_CATEGORY):
        return NOTHING
    issues = [*_stepped(before, after)]
    if changed := [*_changed(before, after)]:
        issues += changed if (yield from _is_bought(before)) else []
    return Decision(tuple(issues))


def _stepped(before: Resource, after: Resource) -> Iterator[Issue]:
    was, now = str(before.get("status")), str(after.get("status"))
    if was != now and now not in STEPS.get(was, ()):
        yield no_step("An item of the directory", was, now, STEPS.get(was, ()), "ChargeItemDefinition.status")


def _changed(before: Resource, after: Resource) -> Iterator[Issue]:
    """What is no longer as purchases were told of it, each at its place."""
    for what, place, of in _KEPT:
        if of(before) != of(after):
            text = f"This was bought, and purchases tell by it what; {what} stays. {_NEXT}"
            yield refusal(text, f"ChargeItemDefinition.{place}")


_KEPT: tuple[tuple[str, str, Callable[[Resource], Any]], ...] = (
    ("its url", "url", lambda item: item.get("url")),
    ("its version", "version", lambda item: item.get("version")),
    ("its category", "code", lambda item: code_in(item.get("code"), PURCHASE_CATEGORY)),
    ("its price", "propertyGroup", item_pence),
    ("who provides it", "extension", lambda item: key_of(value_of(item, "phb-provider"))),
)


def _deleted(case: Case, item: Resource) -> Asking[list[Issue]]:
    if not (yield from _is_bought(item)) or (yield from _is_there_twice(case, item)):
        return []
    return [refusal(f"This was bought, and purchases tell by it what. {_RETIRE}", "ChargeItemDefinition")]


def _is_bought(item: Resource) -> Asking[bool]:
    """Whether a purchase means an item of this url and version."""
    if not item.get("url"):
        return False
    names = (item["url"], f"{item['url']}|{item.get('version', '')}")
    bought: list[Resource] = yield Find("ChargeItem", ("definition", names[1].rstrip("|")))
    bought += yield Find("ChargeItem", ("definition", names[0]))
    return any(one in names for charge in bought for one in charge.get("definitionCanonical", ()))


def _is_there_twice(case: Case, item: Resource) -> Asking[bool]:
    """Whether another item has this url and version: of the two, one may go."""
    found: list[Resource] = yield Find("ChargeItemDefinition", ("url", item["url"]))
    return any(one.get("version") == item.get("version") and one.get("id") != case.id for one in found)
