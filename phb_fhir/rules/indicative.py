"""The indicative amount: about how much money there is likely to be, from an assessment, with its working (R37, R46, R178, R179, R187).

A commissioner's table gives each level of need points, and points money (`commissioning.Table`). Every step is told in a sentence, and the
sentences are kept with the amount (`phb-budget-amount`, part `working`), so that anyone can follow how it came about. An assessment that
ends in an amount itself (FACE, the cost of the present package) is taken at its word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.money import GBP, money, pence_of, sterling
from phb_fhir.outcome import Issue
from phb_fhir.rules.around import policy_of
from phb_fhir.rules.budget import is_budget, is_joint, person_of, stage_of
from phb_fhir.rules.case import Asking, Read, refusal
from phb_fhir.rules.characteristics import levels_of, levels_said
from phb_fhir.rules.commissioning import LEVELS, Policy, Table
from phb_fhir.rules.words import BASE, concept, extension_url, key_of, value_of, with_value

METHOD = f"{BASE}/CodeSystem/phb-budget-method"
AMOUNT_ITEM = "weekly-amount"  # the link id under which a form says an amount itself
NAMES = {"ras": "Resource allocation system", "face": "FACE", "package-cost": "Cost of the present package"}
PER = {"d": "a day", "wk": "a week", "mo": "a month", "a": "a year"}
BEFORE_PLANNING = ("requested", "eligibility-confirmed", "indicative-set", "planning", "sign-off-pending")
_ROW = "phb-budget-amount"


@dataclass(frozen=True, slots=True)
class Working:
    """An amount for each `frequency`, in pence, and how it came about; or the issues because of which there is none."""

    pence: int = 0
    frequency: str = "wk"
    steps: tuple[str, ...] = ()
    issues: tuple[Issue, ...] = ()


def indicative(account: Resource, source: str, method: str) -> Asking[Working]:
    """What an assessment comes to for a budget, by a method."""
    response: Resource | None = (yield Read(source))[source] if source else None
    issues = [*_not_usable(account, source, response)]
    policy = yield from policy_of(account.get("owner"))
    if issues or response is None:
        return Working(issues=tuple(issues))
    return worked_out(response, method, policy)


def _not_usable(account: Resource, source: str, response: Resource | None) -> Iterator[Issue]:
    if not is_budget(account) or is_joint(account):
        yield refusal("An indicative amount is worked out for one funder's personal health budget.", "Account.type")
    if response is None or response.get("resourceType") != "QuestionnaireResponse":
        yield refusal(f"There is no assessment {source}.", "source")
        return
    if key_of(response.get("subject")) != person_of(account):
        yield refusal(f"{source} is about another person.", "source")
    if response.get("status") not in ("completed", "amended"):
        yield refusal(
            f"{source} is {response.get('status')}; an assessment is finished before money is worked out from it.",
            "source",
        )


def worked_out(response: Resource, method: str, policy: Policy) -> Working:
    """The amount that an assessment gives by a method, with its working."""
    if method == "ras":
        return _by_table(response, policy)
    if method in NAMES:
        return _as_it_says(response, method)
    why = {
        "actual-cost": "The actual cost is that of a plan, and there is none before planning: it is set when the plan is costed.",
        "manual": "An amount by judgement is decided by a person: write it with its reasons (phb-budget-amount, method manual).",
    }.get(method, f'"{method}" is no method of working out an amount; there are {", ".join(NAMES)}.')
    return Working(issues=(refusal(why, "method"),))


# ---- by a resource-allocation table --------------------------------------------------------------


def _by_table(response: Resource, policy: Policy) -> Working:
    form = str(response.get("questionnaire", ""))
    table = policy.table_for(form)
    if table is None:
        text = (
            f"This commissioner has no resource-allocation table for {form or 'a form without a name'} ({policy.name})."
        )
        return Working(issues=(refusal(text, "source"),))
    levels = levels_of(response)
    if issues := tuple(_cannot_be_counted(response)):
        return Working(issues=issues)
    points = {domain: points_for(table, domain, level) for domain, level in sorted(levels.items())}
    total = sum(points.values())
    pence, last = _money(table, total)
    first = f"Table {table.version} of {policy.name}, for {form}."
    each = [f"{domain}: {levels[domain]}, {_points(count)}." for domain, count in points.items()]
    each += [
        f"{domain}: the assessment gives no level, so it counts nothing."
        for domain in sorted(table.domains)
        if domain not in levels
    ]
    steps = (first, *each, f"Together {_points(total)}.", last, *_differs(response, table, pence))
    return Working(pence, table.frequency, steps)


def _cannot_be_counted(response: Resource) -> Iterator[Issue]:
    said = levels_said(response)
    if not said:
        yield refusal("The assessment gives no domain a level.", "source")
    for domain, several in said.items():
        if len(several) > 1:
            text = f"The assessment gives {domain} {len(several)} levels ({', '.join(several)}): one counts, and it is for who filled it in to say which."
            yield refusal(text, "source")
        if wrong := [one for one in several if one not in LEVELS]:
            yield refusal(f"The assessment gives {domain} a level that there is not: {wrong[0]}.", "source")


def points_for(table: Table, domain: str, level: str) -> int:
    return table.domains.get(domain, {}).get(level, table.points.get(level, 0))


def _points(count: int) -> str:
    return f"{count} point{'' if count == 1 else 's'}"


def _money(table: Table, points: int) -> tuple[int, str]:
    """The amount for so many points, and the sentence that says how."""
    band = next(one for one in reversed(table.bands) if one.start <= points)
    pence, per = band.at(points), PER[table.frequency]
    if not band.per_point:
        return pence, f"From {_points(band.start)} on: {sterling(pence)} {per}."
    more = points - band.start
    text = (
        f"From {_points(band.start)} on: {sterling(band.pence)} and {sterling(band.per_point)} for each point more; {more} more make"
        f" {sterling(pence)} {per}."
    )
    return pence, text


def _differs(response: Resource, table: Table, pence: int) -> Iterator[str]:
    said = amounts_in(response) - {pence}
    if said and table.frequency == "wk":
        yield f"The form itself says {' and '.join(sterling(one) for one in sorted(said))} a week; the table is what counts."


# ---- as the assessment says ----------------------------------------------------------------------


def _as_it_says(response: Resource, method: str) -> Working:
    said = sorted(amounts_in(response))
    if not said:
        text = f"The assessment says no amount: its item {AMOUNT_ITEM} holds what {NAMES[method]} came to a week, in pounds."
        return Working(issues=(refusal(text, "source"),))
    if len(said) > 1 or said[0] < 0:
        why = "several amounts" if len(said) > 1 else "less than nothing"
        text = f"The assessment says {why} ({', '.join(sterling(one) for one in said)}): it is for who filled it in to say what it comes to."
        return Working(issues=(refusal(text, "source"),))
    return Working(said[0], "wk", (f"{NAMES[method]}: the assessment says {sterling(said[0])} a week.",))


def amounts_in(response: Resource) -> set[int]:
    """The weekly amounts that a form itself says, in pence: one, or none."""
    found: set[int | None] = set()
    pending = list(response.get("item", ()))
    while pending:
        item = pending.pop()
        pending += item.get("item", ())
        for answer in item.get("answer", ()):
            pending += answer.get("item", ())
            if item.get("linkId") == AMOUNT_ITEM:
                found.add(_pence(answer))
    return {one for one in found if one is not None}


def _pence(answer: Mapping[str, Any]) -> int | None:
    quantity = answer.get("valueQuantity", {})
    if quantity.get("code", GBP) != GBP or ("code" not in quantity and quantity.get("unit", "£") not in _POUNDS):
        return None
    value = answer.get("valueDecimal", answer.get("valueInteger", quantity.get("value")))
    return pence_of({"value": value}) if isinstance(value, int | Decimal) else None


_POUNDS = (GBP, "£", "pound", "pounds")


# ---- on the budget -------------------------------------------------------------------------------


def with_indicative(account: Resource, working: Working, method: str, source: str) -> Resource:
    """The budget with this indicative amount in the place of the one it had; with its eligibility confirmed, it comes to indicative-set."""
    url = extension_url(_ROW)
    rows = [
        one
        for one in account.get("extension", ())
        if not (one.get("url") == url and value_of(one, "type") == "indicative")
    ]
    first = next((i for i, one in enumerate(rows) if one.get("url") == url), len(rows))
    rows.insert(first, _row(account, working, method, source))
    made = {**account, "extension": rows}
    if stage_of(account) == "eligibility-confirmed":
        made = with_value(made, "phb-lifecycle-status", "Code", "indicative-set")
    return made


def _row(account: Resource, working: Working, method: str, source: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {"url": "type", "valueCode": "indicative"},
        {"url": "amount", "valueMoney": money(working.pence)},
        {"url": "period", "valuePeriod": account["servicePeriod"]},
        {"url": "frequency", "valueCode": working.frequency},
        {"url": "method", "valueCodeableConcept": concept(METHOD, method, NAMES[method])},
        {"url": "source", "valueReference": {"reference": source}},
        *({"url": "working", "valueString": step} for step in working.steps),
    ]
    return {"url": extension_url(_ROW), "extension": parts}
