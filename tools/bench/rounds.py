"""Two things measured in turn, so that whatever else the machine does falls on both; what counts is their ratio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

Measure = Callable[[], float]  # a rate: more is better


Rates = list[tuple[float, float]]  # ours and the baseline's, round by round


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was measured beside what. `goal` is the least ratio wanted, None where it is only told."""

    what: str
    beside: str
    goal: float | None
    rates: Rates

    @property
    def ours(self) -> list[float]:
        return [ours for ours, _ in self.rates]

    @property
    def baseline(self) -> list[float]:
        return [baseline for _, baseline in self.rates]

    @property
    def ratios(self) -> list[float]:
        return [ours / baseline for ours, baseline in self.rates]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios, which is not the ratio of the medians."""
        return median(self.ratios)


def measure_in_turn(ours: Measure, baseline: Measure, *, rounds: int) -> Rates:
    """Both are run once for nothing, then in turn: ours first, theirs first, ours first, …"""
    ours()
    baseline()
    rates = []
    for number in range(rounds):
        if number % 2 == 0:
            mine, theirs = ours(), baseline()
        else:
            theirs, mine = baseline(), ours()
        rates.append((mine, theirs))
    return rates
