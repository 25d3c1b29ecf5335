"""What an interaction works with: built once in `app.py`, passed along, never changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from phb_fhir.definitions.capability import Capability
from phb_fhir.definitions.load import Definitions
from phb_fhir.definitions.registry import Registry
from phb_fhir.interactions.knowledge import Knowledge
from phb_fhir.search.paging import Pager
from phb_fhir.settings import Settings
from phb_fhir.store.store import Reader, Store

if TYPE_CHECKING:
    from phb_fhir.interactions.operation import Operation


@dataclass(frozen=True, slots=True)
class Context:
    """`reader` is where questions go: the store, or inside a transaction Bundle, that transaction.

    `operations` are by the URLs of their definitions, as the capability statement names them.
    """

    settings: Settings
    definitions: Definitions
    knowledge: Knowledge
    capability: Capability
    store: Store
    reader: Reader
    pager: Pager
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    operations: Mapping[str, Operation]

    @property
    def known(self) -> Registry:
        """The profiles, extensions and codes that resources are held against."""
        return self.knowledge.known
