"""What an interaction works with: built once in `app.py`, passed along, never changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from phb_fhir.definitions.capability import Capability
from phb_fhir.definitions.load import Definitions
from phb_fhir.definitions.registry import Registry
from phb_fhir.definitions.search_parameters import SearchParameters
from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.knowledge import Knowledge
from phb_fhir.interactions.scribe import Scribe
from phb_fhir.interactions.statements import Statements
from phb_fhir.search.asking import Asking
from phb_fhir.search.codes import KnownCodes
from phb_fhir.search.index import index_of
from phb_fhir.search.kinds.kind import Index
from phb_fhir.search.own import OwnBase
from phb_fhir.search.paging import Pager
from phb_fhir.security.advertised import Advertised, nobody_signs_in
from phb_fhir.settings import Settings
from phb_fhir.store.store import Reader, Store

if TYPE_CHECKING:
    from phb_fhir.interactions.access import Access
    from phb_fhir.interactions.once import Once
    from phb_fhir.interactions.operation import Operation
    from phb_fhir.interactions.together import Together
    from phb_fhir.interactions.trail import Trail


class Context(NamedTuple):
    """`reader` is where questions go: the store, or inside a transaction Bundle, that transaction.

    `operations` are by the URLs of their definitions, as the capability statement names them. `access` is what the one who asks may do;
    None on an open server, where everybody may do everything. `trail` takes down what is done, for the audit; None where nobody signs
    in. `provenance` is what the request says of its changes (X-Provenance), `once` names it where it may come again. `together` writes the purchases that
    come at once; each is written by itself where there is none. `advertised` tells how clients sign in, `statements` keeps what /metadata said.
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
    scribe: Scribe
    statements: Statements
    access: Access | None = None
    trail: Trail | None = None
    provenance: Resource | None = None
    once: Once | None = None
    together: Together | None = None
    advertised: Callable[[], Awaitable[Advertised | None]] = nobody_signs_in

    def of_entry(self, reader: Reader, *, held: bool = False) -> Context:
        """The context of one entry of a Bundle, recorded by itself, which asks `reader` as the one who asks sees through it.

        `held`: with the transaction that it stands in.
        """
        access = self.access and self.access.of_entry()
        trail = self.trail and self.trail.entry(held=held)
        if access is None or access is self.access:
            return self._replace(trail=trail)
        if trail is not None:
            trail.opens(access.opened)
        return self._replace(access=access, reader=access.narrowed(reader), trail=trail)

    def narrow(self, reader: Reader) -> Reader:
        """The same reader as the one who asks sees through it."""
        return reader if self.access is None else self.access.narrowed(reader)

    async def may_name(self, reader: Reader, keys: Collection[str]) -> set[str]:
        """Those of these that the one who asks may name anew: what they see, but for a joint budget that another leads, from which another spends."""
        found = await self.narrow(reader).read_all(keys) if keys else {}
        return {key for key, one in found.items() if self.access is None or not self.access.funds_alone(one)}

    @property
    def known(self) -> Registry:
        """The profiles, extensions and codes that resources are held against."""
        return self.knowledge.known

    @property
    def parameters(self) -> SearchParameters:
        """What resources are found by."""
        return self.knowledge.parameters

    @property
    def own(self) -> OwnBase:
        """Tells this server's own addresses from others."""
        settings = self.settings
        return OwnBase(settings.api_url, settings.port if settings.base_url is None else None)

    def asking(self, *, lenient: bool = False) -> Asking:
        """What a query string is read against."""
        return Asking(
            self.parameters,
            KnownCodes(self.known),
            self.own,
            self.definitions,
            self.promised,
            self.settings.page_size_default,
            self.settings.page_size_max,
            lenient,
        )

    def promised(self, type_: str) -> Collection[str]:
        """The parameters that /metadata promises for a type ("": for a search of all types)."""
        written = self.capability.parameters.get(type_, frozenset())
        now, shipped = self.parameters, self.knowledge.own_parameters
        if now is shipped:
            return written
        theirs, ours = (now.of(type_), shipped.of(type_)) if type_ else (now.shared(()), shipped.shared(()))
        return written | (theirs.keys() - ours.keys())

    def index_of(self, resource: Resource, id_: str) -> Index:
        """The index values that a resource is stored with under this id."""
        named = resource if resource.get("id") == id_ else {**resource, "id": id_}
        return index_of(named, self.parameters, self.own)
