"""What a commissioner decides for itself: times, limits, accepted categories, and the tables that turn needs into money (R178 to R180).

One JSON document for each commissioner, or for several, in one folder (the setting `commissioning_folder`); what a document leaves out is
common practice. `commissioning.schema.json` says what one looks like. All of them are read and checked when the server starts, because a
table that is wrong is money that is wrong: a mistake ends the start with the document, the place in it, and what is wrong there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
from jsonschema import Draft202012Validator

from phb_fhir.data import data_path
from phb_fhir.settings import WrongSetting

SHIPPED = "profiles/commissioning"
DOCUMENTS_MAX = 500  # in one folder
_SCHEMA = Path(__file__).with_name("commissioning.schema.json")
LEVELS = ("none", "low", "moderate", "high", "severe", "priority")  # of need, each more than the one before
_SETTING = "The setting commissioning_folder (PHB_COMMISSIONING_FOLDER)"


@dataclass(frozen=True, slots=True)
class Band:
    """From `start` points on: `pence`, and `per_point` more for each point past them."""

    start: int
    pence: int
    per_point: int = 0

    def at(self, points: int) -> int:
        """What it comes to at so many points."""
        return self.pence + self.per_point * (points - self.start)


@dataclass(frozen=True, slots=True)
class Table:
    """A resource-allocation table. `points` are by level; `domains` are the points of those that count otherwise.

    `bands` begin at ascending points, the first of them at none. `frequency` is what its amounts are for each of: d, wk, mo or a.
    """

    questionnaire: str
    version: str
    frequency: str
    points: Mapping[str, int]
    domains: Mapping[str, Mapping[str, int]]
    bands: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A commissioner's policy. `accepted` is None where every category is. Amounts are in pence.

    The defaults are common practice; the two times of reviews are the law's limits for direct payments as well (regulation 14).
    """

    name: str = "common practice"
    accepted: frozenset[str] | None = None
    default_offer: frozenset[str] = frozenset()
    criteria: Mapping[str, str] = field(default_factory=dict)
    surplus_weeks: int = 8
    contingency_weeks: int = 4
    first_review_months: int = 3
    review_months: int = 12
    notice_days: int = 28
    evidence_years: int = 6
    decision_days: int = 28
    one_off_max: int = 200_00
    one_off_exception_max: int = 400_00
    delegated_sign_off_max: int | None = None
    tables: tuple[Table, ...] = ()

    def accepts(self, category: str) -> bool:
        return self.accepted is None or category in self.accepted

    def table_for(self, questionnaire: str) -> Table | None:
        """The table for a form, whichever version of it was filled in."""
        return next((one for one in self.tables if one.questionnaire == questionnaire.partition("|")[0]), None)


STANDARD = Policy()


@dataclass(frozen=True, slots=True)
class Policies:
    """Everybody's policy, by ODS code."""

    named: Mapping[str, Policy] = field(default_factory=dict)
    standard: Policy = STANDARD

    def of(self, ods_code: str) -> Policy:
        """The policy of the commissioner with this ODS code; the standard one where it has none of its own, or no code."""
        return self.named.get(ods_code.upper(), self.standard)


class WrongPolicy(Exception):  # noqa: N818 - it is a sentence for whoever wrote the document
    """A document that cannot be, as one sentence that names it and the place in it."""


@cache
def read_policies(folder: Path | None = None) -> Policies:
    """The policies in a folder, or those that are shipped, as they stood when they were first read: like every setting, for good.

    Raises WrongSetting with a sentence for the operator.
    """
    where = folder if folder is not None else data_path(SHIPPED)
    if not where.is_dir():
        raise WrongSetting(f'{_SETTING} is not right: there is no folder "{where}".')
    files = sorted(where.glob("*.json"))
    if len(files) > DOCUMENTS_MAX:
        raise WrongSetting(f"{_SETTING} is not right: {where} has more than {DOCUMENTS_MAX} documents.")
    try:
        return parse_policies({file.name: _read(file) for file in files})
    except WrongPolicy as wrong:
        raise WrongSetting(f"{_SETTING} is not right: in {where}, {wrong}") from None


def _read(file: Path) -> Any:
    try:
        return orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise WrongPolicy(f"{file.name} cannot be read as JSON: {error}.") from None


def parse_policies(documents: Mapping[str, Any]) -> Policies:
    """The policies that documents say, by the names of their files. Raises WrongPolicy for the first that is wrong."""
    named: dict[str, Policy] = {}
    standard: list[Policy] = []
    for name, document in documents.items():
        policy = _parsed(name, document)
        codes = [code.upper() for code in document["commissioners"]]
        if twice := sorted(code for code in codes if code in named):
            raise WrongPolicy(f"{name} is for {twice[0]}, which another document is for already.")
        if not codes and standard:
            raise WrongPolicy(
                f"{name} names no commissioners, as another document does; one alone may be for all others."
            )
        named |= dict.fromkeys(codes, policy)
        standard += [policy] if not codes else []
    return Policies(named, standard[0] if standard else STANDARD)


def _parsed(name: str, document: Any) -> Policy:
    for wrong in sorted(_validator().iter_errors(document), key=lambda each: each.json_path):
        raise WrongPolicy(f"{name} is not right at {wrong.json_path}: {wrong.message}.")
    for where, number in _fractions(document, "$"):
        raise WrongPolicy(f"{name} is not right at {where}: {number} has a decimal point; counts are written without.")
    tables = tuple(_table(name, n, row) for n, row in enumerate(document.get("allocation", ())))
    _once(name, [table.questionnaire for table in tables])
    policy = Policy(
        document["name"],
        frozenset(document["acceptedCategories"]) if "acceptedCategories" in document else None,
        frozenset(document.get("defaultOffer", ())),
        document.get("criteria", {}),
        **{ours: document[theirs] for theirs, ours in _COUNTS.items() if theirs in document},
        **{ours: pence(document[theirs]) for theirs, ours in _POUNDS.items() if theirs in document},
        tables=tables,
    )
    if policy.one_off_exception_max < policy.one_off_max:
        raise WrongPolicy(f"{name} is not right at $.oneOffExceptionMax: it is less than oneOffMax.")
    return policy


def _fractions(value: Any, where: str) -> Iterator[tuple[str, float]]:
    """Numbers with a decimal point, and where they stand: to the schema 28.0 is an integer, and no day can be reckoned with it."""
    if isinstance(value, float):
        yield where, value
    within = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in within:
        yield from _fractions(each, f"{where}.{name}" if isinstance(name, str) else f"{where}[{name}]")


_COUNTS = {
    "surplusWeeks": "surplus_weeks",
    "contingencyWeeks": "contingency_weeks",
    "firstReviewMonths": "first_review_months",
    "reviewMonths": "review_months",
    "noticeDays": "notice_days",
    "evidenceYears": "evidence_years",
    "decisionDays": "decision_days",
}
_POUNDS = {
    "oneOffMax": "one_off_max",
    "oneOffExceptionMax": "one_off_exception_max",
    "delegatedSignOffMax": "delegated_sign_off_max",
}


def _table(name: str, index: int, row: Mapping[str, Any]) -> Table:
    bands = tuple(Band(one["from"], pence(one["amount"]), pence(one.get("perPoint", "0.00"))) for one in row["bands"])
    starts = [band.start for band in bands]
    if starts[0] != 0 or starts != sorted(set(starts)):
        where = f"$.allocation[{index}].bands"
        raise WrongPolicy(
            f"{name} is not right at {where}: the first band begins at 0 points, and each later than the one before."
        )
    for before, after in pairwise(bands):
        if before.at(after.start - 1) > after.pence:
            where = f"$.allocation[{index}].bands[{bands.index(after)}]"
            raise WrongPolicy(
                f"{name} is not right at {where}: at {after.start} points it gives less than one point fewer would."
            )
    for domain, points in {"": {}, **row.get("domains", {})}.items():
        whole = {**row["points"], **points}
        for less, more in pairwise(LEVELS):
            if whole[less] > whole[more]:
                where = f"$.allocation[{index}]." + (f"domains.{domain}" if domain else "points")
                raise WrongPolicy(f"{name} is not right at {where}: {more} gives fewer points than {less} does.")
    return Table(row["questionnaire"], row["version"], row["frequency"], row["points"], row.get("domains", {}), bands)


def _once(name: str, questionnaires: Iterable[str]) -> None:
    twice = [one for one, count in Counter(questionnaires).items() if count > 1]
    if twice:
        raise WrongPolicy(f"{name} is not right at $.allocation: there are two tables for {twice[0]}.")


def pence(text: str) -> int:
    """`12.50`, whole pence; the schema has seen to its form."""
    pounds, _, rest = text.partition(".")
    return int(pounds) * 100 + int(rest)


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(orjson.loads(_SCHEMA.read_bytes()))
