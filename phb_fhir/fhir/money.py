"""Money: pounds as FHIR writes them, pence as they are reckoned with. Whole pence, GBP, exact (RULE-LEDGER; decision 0018).

Nothing here rounds what somebody wrote: an amount of a fraction of a penny has no pence, nor has one that is more than all the money
there is. The profiles refuse both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from phb_fhir.fhir.codec import Exact

GBP = "GBP"
PENCE_MAX = 10**12  # £10,000,000,000 (phb-gbp-3): sums of any number of these are numbers that the store can keep
_PENCE = 100
_EXACT = Context(prec=2_000)  # every digit that `codec` reads; the usual 28 would round what has more


def pence_of(money: Any) -> int | None:
    """The whole pence in a Money element (R4 §2.24.0.9); None where it is none: no value, another currency, part of a penny, too much."""
    if not isinstance(money, Mapping) or money.get("currency", GBP) != GBP:
        return None
    value = money.get("value")
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    pence = _EXACT.multiply(Decimal(value), _PENCE)
    return int(pence) if abs(pence) <= PENCE_MAX and pence == pence.to_integral_value() else None


def money(pence: int) -> dict[str, Any]:
    """The Money element of so many pence, which may be less than none."""
    return {"value": Exact(pounds(pence)), "currency": GBP}


def pounds(pence: int) -> str:
    """`12.50`, as FHIR writes it."""
    sign, pence = "-" * (pence < 0), abs(pence)
    return f"{sign}{pence // _PENCE}.{pence % _PENCE:02d}"


def sterling(pence: int) -> str:
    """`£1,234.56`, as a person reads it."""
    sign, pence = "-" * (pence < 0), abs(pence)
    return f"{sign}£{pence // _PENCE:,}.{pence % _PENCE:02d}"


def portion(pence: int, count: Decimal | int) -> int:
    """So many times an amount, to the nearest penny, half a penny to the even one."""
    return int((Decimal(pence) * count).to_integral_value(ROUND_HALF_EVEN))


def divided(pence: int, shares: Sequence[Decimal | int]) -> list[int]:
    """An amount split by shares, every penny of it once: what is left over goes, a penny each, to the largest remainders, the first
    of equal ones first. Raises ValueError where there is nobody to share it.
    """
    whole = sum(Decimal(share) for share in shares)
    if whole <= 0 or any(share < 0 for share in shares):
        raise ValueError(shares)
    exact = [Decimal(pence) * share / whole for share in shares]
    parts = [int(part) for part in exact]
    left = pence - sum(parts)
    step = 1 if left >= 0 else -1
    by_remainder = sorted(range(len(parts)), key=lambda i: (-abs(exact[i] - parts[i]), i))
    for i in by_remainder[: abs(left)]:
        parts[i] += step
    return parts
