"""RULES: which rules judge writes of which type. Read this first.

Only what its content shows to be about a personal health budget is judged; each rule looks for itself, and passes the rest by
untouched. Of several writes in one transaction, types are judged in this order, so that a purchase finds its budget's money posted.
"""

from __future__ import annotations

from collections.abc import Mapping

from phb_fhir.rules.case import Rule

RULES: Mapping[str, tuple[Rule, ...]] = {}
