"""When something of a plan happens, in words."""

from __future__ import annotations

from decimal import Decimal

import pytest

from phb_fhir.reports.timing_words import when


def every(**repeat):
    return {"scheduledTiming": {"repeat": repeat}}


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ({}, ""),
        ({"scheduledString": "When the weather is good"}, "When the weather is good"),
        (
            {"scheduledPeriod": {"start": "2026-10-05", "end": "2027-10-03"}},
            "from 5 October 2026 to 3 October 2027",
        ),
        ({"scheduledPeriod": {"start": "2026-10"}}, "from 1 October 2026"),
        ({"scheduledPeriod": {}}, ""),
        (every(frequency=1, period=1, periodUnit="wk"), "once a week"),
        (every(frequency=2, period=Decimal("1.0"), periodUnit="d"), "twice a day"),
        (every(period=1, periodUnit="h"), "once an hour"),
        (every(frequency=3, period=2, periodUnit="wk"), "3 times every 2 weeks"),
        (every(frequency=1, period=Decimal("1.50"), periodUnit="mo"), "once every 1.5 months"),
        (every(frequency=1, period=10, periodUnit="d"), "once every 10 days"),
        (every(frequency=2, frequencyMax=3, period=1, periodUnit="a"), "2 to 3 times a year"),
        (every(frequency=1, period=4, periodMax=6, periodUnit="h"), "once every 4 to 6 hours"),
        (every(dayOfWeek=["mon", "wed", "fri"]), "on Mondays, Wednesdays and Fridays"),
        (every(dayOfWeek=["thu"], timeOfDay=["18:30:00"]), "on Thursdays, at 18:30"),
        (
            every(frequency=1, period=1, periodUnit="wk", boundsPeriod={"start": "2026-10-05"}),
            "once a week, from 5 October 2026",
        ),
        (every(period=1, periodUnit="d", boundsDuration={"value": 6, "code": "wk"}), "once a day, for 6 weeks"),
        (every(count=1, period=1, periodUnit="d"), "once a day, once in all"),
        (every(count=12, period=1, periodUnit="wk"), "once a week, 12 times in all"),
        ({"scheduledTiming": {"event": ["2026-12-15", "2027-01-04"]}}, "on 15 December 2026 and 4 January 2027"),
        ({"scheduledTiming": {"code": {"text": "At bedtime"}}}, "At bedtime"),
        ({"scheduledTiming": {"code": {"coding": [{"code": "BID", "display": "BID"}]}}}, "BID"),
        ({"scheduledTiming": {}}, ""),
    ],
)
def test_in_words(detail, words):
    assert when(detail) == words
