"""What an interaction works with: built once in `app.py`, passed along, never changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from phb_fhir.definitions.capability import Capability
from phb_fhir.definitions.load import Definitions
from phb_fhir.definitions.registry import Registry
from phb_fhir.search.paging import Pager
from phb_fhir.settings import Settings
from phb_fhir.store.store import Reader, Store


@dataclass(frozen=True, slots=True)
class Context:
    """`known` are the profiles, extensions and codes that resources are held against. `reader` is where questions go: the store, or inside a transaction Bundle, that transaction."""

    settings: Settings
    definitions: Definitions
    known: Registry
    capability: Capability
    store: Store
    reader: Reader
    pager: Pager
    now: Callable[[], datetime]
    new_id: Callable[[], str]
