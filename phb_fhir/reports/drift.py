"""What a check finds, and how much it looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

# what can be wrong; `reports/check` says what each means
DriftKind = Literal[
    "balance",
    "numbering",
    "entry",
    "cause",
    "allocation",
    "position",
    "index",
    "content",
    "history",
    "reference",
]


class Drift(NamedTuple):
    """Something that does not agree: of what kind, where (`Account/1`, or the entry `Account/1/7`), and how, in a sentence."""

    kind: DriftKind
    key: str
    text: str


@dataclass(slots=True)
class Looked:
    """How much was looked at so far. `behind`: resources whose index values are still being brought up to date (`phb-fhir index`)."""

    accounts: int = 0
    entries: int = 0
    resources: int = 0
    versions: int = 0
    references: int = 0
    behind: int = 0


def summary(looked: Looked) -> str:
    """How much was looked at, in a sentence."""
    return (
        f"Looked at {looked.accounts} accounts with {looked.entries} ledger entries, {looked.resources} resources with "
        f"{looked.versions} versions, and {looked.references} references."
    )
