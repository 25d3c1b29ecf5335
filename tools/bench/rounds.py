"""Two things measured in turn, so that whatever else the machine does falls on both; what counts is their ratio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

Measure = Callable[[], float]  # a rate: more is better


@dataclass(frozen=True, slots=True)
class Comparison:
    """Round by round, our rate and the baseline's."""

    what: str
    unit: str
    goal: float | None
    ours: tuple[float, ...]
    baseline: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        return [ours / baseline for ours, baseline in zip(self.ours, self.baseline, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios, which is not the ratio of the medians."""
        return median(self.ratios)


def compare(what: str, unit: str, goal: float | None, ours: Measure, baseline: Measure, *, rounds: int) -> Comparison:
    """Both are run once for nothing, then in turn: A B, B A, A B, …"""
    ours()
    baseline()
    pairs = [_pair(ours, baseline) if number % 2 == 0 else _pair(baseline, ours)[::-1] for number in range(rounds)]
    return Comparison(what, unit, goal, tuple(mine for mine, _ in pairs), tuple(other for _, other in pairs))


def _pair(first: Measure, second: Measure) -> tuple[float, float]:
    return first(), second()
