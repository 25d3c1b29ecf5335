"""What an operation is (R4 §3.2.0): one more thing to ask of a type or a resource, named `$…`.

The operations themselves are in `operations/`, a room above this one; `app.py` puts them into the Context.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from phb_fhir.interactions.context import Context
from phb_fhir.interactions.request import Answer, FhirRequest


@dataclass(frozen=True, slots=True)
class Operation:
    """`code` is the name without its `$`; `url` its OperationDefinition.

    `types` are the resource types it is defined on, empty for every type. An operation that affects state is asked for by
    POST alone; in a transaction none of those is run.
    """

    code: str
    url: str
    run: Callable[[Context, FhirRequest], Awaitable[Answer]]
    types: frozenset[str] = frozenset()
    on_system: bool = False
    on_type: bool = True
    on_instance: bool = True
    affects_state: bool = False
