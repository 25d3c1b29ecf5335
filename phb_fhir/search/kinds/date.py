"""Date parameters: a prefix and a period (R4 §3.1.1.4.7). For now against one instant: `_lastUpdated`."""

from __future__ import annotations

from phb_fhir.fhir.dates import period_of
from phb_fhir.outcome import Kind, Refusal, refuse
from phb_fhir.query import Updated

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb")


def parse_updated(parameter: str, text: str) -> Updated:
    """What `_lastUpdated=ge2026-01` asks. Raises Rejected (400) for a bad date or a prefix that has no meaning here."""
    prefix, date = (text[:2], text[2:]) if text[:2].isalpha() else ("eq", text)
    if prefix not in PREFIXES:
        raise refuse(
            Refusal.BAD_REQUEST,
            Kind.INVALID,
            f"{parameter}={text}: the prefix '{prefix}' is not one of {', '.join(PREFIXES)}",
        )
    try:
        start, end = period_of(date.replace(" ", "+"))  # a '+' that was not percent-encoded arrives as a blank
    except (ValueError, OverflowError):
        raise refuse(
            Refusal.BAD_REQUEST, Kind.INVALID,
            f"{parameter}={text}: '{date}' is no date; write YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ssZ",
        ) from None  # fmt: skip
    # an instant is a point, so "starts after" is "greater" and "ends before" is "less"
    return {
        "eq": Updated(start, end),
        "ne": Updated(start, end, inside=False),
        "gt": Updated(end, None),
        "sa": Updated(end, None),
        "ge": Updated(start, None),
        "lt": Updated(None, start),
        "eb": Updated(None, start),
        "le": Updated(None, end),
    }[prefix]
