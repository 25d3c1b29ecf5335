"""Every request leaves its mark: what is written into the audit trail of what somebody asked, and when.

A `Trail` is made for each request whose sender is known, or was to be known, and goes along as `Context.trail`. `answered` runs the
request within it. What changes leaves its records in the transaction of the change itself (`file`, which `commit` calls), so a
change and its record stand or fall together. What is only looked at, or refused, is recorded when the answer is there and
before it leaves (`note`); should that fail, the answer does not leave. An entry of a batch is a request of its own, and so
is a read inside a transaction, recorded once the transaction is through.

The trail itself is `store/trail`; `publishing` makes AuditEvents of it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from phb_fhir.change import Version
from phb_fhir.fhir.codec import Resource
from phb_fhir.fhir.dates import to_millisecond
from phb_fhir.fhir.reference import is_id
from phb_fhir.interactions.access import Access
from phb_fhir.interactions.concerned import concerned
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.entries import asked_in, entries_sent
from phb_fhir.interactions.once import Once, is_done_once
from phb_fhir.interactions.provenance import not_to_be_written
from phb_fhir.interactions.publishing import show_trail
from phb_fhir.interactions.request import Answer, BundleAnswer, FhirRequest
from phb_fhir.interactions.search_type import query_text
from phb_fhir.interactions.status import status_of
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.search.access import access_entries, patients_of
from phb_fhir.security.actor import Actor
from phb_fhir.security.audit import (
    UNKNOWN,
    WHAT_MAX,
    WHY_MAX,
    WORDS_NOW,
    Asker,
    Record,
    Row,
    Who,
    bounded_path,
    bounded_query,
    instant,
    moment_of,
)
from phb_fhir.store.store import Transaction, Write

NAMED_IN_BODY_MAX = 20  # patients that a refused body, or a search, names
ENTRIES_TOLD_MAX = 200  # of a refused Bundle


class Asked(NamedTuple):
    """A request as it came, before anything of it was understood. `query` is as it was sent, `address` the client's."""

    request_id: str
    method: str
    path: str
    query: str = ""
    address: str = ""


Whose = Mapping[tuple[str, int], Sequence[str]]  # patients, by key and number of a version


class Route(Protocol):
    """What runs a request, as `interactions/routes` has it."""

    @property
    def code(self) -> str: ...

    @property
    def name(self) -> str: ...

    def run(self, context: Context, request: FhirRequest) -> Awaitable[Answer]: ...


async def answered(context: Context, request: FhirRequest, route: Route) -> Answer:
    """The answer to a request, with its record kept. Raises Rejected: what the route raises, or 503 where no record can be kept."""
    if request.provenance is not None:
        if request.method == "GET":
            text = "X-Provenance goes with a change; this request changes nothing."
            raise refuse(Refusal.BAD_REQUEST, Kind.INVALID, text)
        context = context._replace(provenance=request.provenance)
    if request.is_identified and is_done_once(request):
        context = context._replace(once=Once.of(request, _sender(context)))
    trail = context.trail
    if trail is None:
        return await route.run(context, request)
    trail.understood(request, route.code or route.name)
    try:
        _check_let_be(request, route)
        await show_trail(context, request)
        answer = await route.run(context, request)
    except Rejected as rejected:
        await trail.note(rejected)
        raise
    except Exception:
        await trail.note(_FAULT)
        raise
    await trail.note(answer)
    return answer


def _sender(context: Context) -> str:
    actor = None if context.access is None else context.access.actor
    return "" if actor is None else f"{actor.issuer} {actor.subject} {actor.client}"


def _check_let_be(request: FhirRequest, route: Route) -> None:
    """Raise Rejected (403) for a change of the audit trail, before anything else is said of it. `commit` holds against every way."""
    if request.type == "AuditEvent" and route.code in ("create", "update", "patch", "delete"):
        raise not_to_be_written()


# somebody who sends a token where it is not read (RFC 6750 §2.3) is refused, and the token is not kept for others to find
_TOKEN = re.compile(r"(\b(?:access_token|id_token|token)=)[^&]*", re.IGNORECASE)
_FAULT = refuse(Refusal.INTERNAL, Kind.EXCEPTION, "The server met a fault of its own.")


async def told_to(trail: Trail | None, rejected: Rejected) -> Rejected:
    """The same refusal, once it is recorded; or the one to answer with instead, because it could not be."""
    return rejected if trail is None else await trail.told(rejected)


def asker_of(actor: Actor, access: Access | None = None, purpose: str = "") -> Asker:
    """Who sends a request, as their token tells, and their access: who they are here, and whom they act for. `purpose` is what the request states."""
    who = access.who if access is not None else None
    user = "" if who is None else who.user or next(iter(who.roles), "")
    organization = "" if who is None else who.organization
    acts_for = () if who is None else {one.patient.removeprefix("Patient/") for one in who.mandates if one.rights}
    told = Who(
        issuer=actor.issuer,
        subject=actor.subject,
        client=actor.client,
        name=actor.name,
        role=actor.role,
        user=actor.user or user,
        user_identifier=actor.user_identifier,
        organization=actor.organization or organization,
        ods_code=actor.ods_code,
        patient=actor.patient,
        token_id=actor.token_id,
    )
    counts = (access.purpose if access is not None else "") or purpose or actor.purpose
    return Asker(told, acts_for, counts)


class Trail:
    """The marks of one request. `asker` and `interaction`, FHIR's code for it, are there once they are known; the rest never changes."""

    __slots__ = (
        "_asked",
        "_context",
        "_filed",
        "_held",
        "_is_entry",
        "_is_noted",
        "_opened",
        "_outer",
        "_parts",
        "_request",
        "asker",
        "interaction",
    )

    def __init__(self, context: Context, asked: Asked, outer: Trail | None = None) -> None:
        self._context = context
        self._asked = asked
        self._request: FhirRequest | None = None
        self._outer = outer  # of a read inside a transaction: it is recorded with it
        self._filed = False  # whether records of changes were put down
        self._held: list[Record] = []
        self._parts = 0  # entries that are recorded by themselves
        self._is_noted = False
        self._is_entry = False
        self.asker = UNKNOWN
        self._opened: Collection[str] = ()  # whose restricted records were opened, as it becomes known
        self.interaction = ""

    def asked_by(self, access: Access) -> None:
        """Take up who asks, once their access is known."""
        self.asker = access.asker
        self.opens(access.opened)

    def opens(self, opened: Collection[str]) -> None:
        """Take up where it will stand whose restricted records this request opened (`Patient/1`)."""
        self._opened = opened

    def understood(self, request: FhirRequest, interaction: str) -> None:
        """Take up what the request turned out to be."""
        self._request = request
        self.interaction = interaction
        if self._is_entry:
            path, query = "/".join(request.segments), query_text(request.parameters)
            self._asked = self._asked._replace(method=request.method, path=path, query=query)

    def entry(self, *, held: bool = False) -> Trail:
        """The trail of an entry of a batch; or of a read in a transaction, which is held until that is through."""
        self._parts += not held
        made = Trail(self._context, self._asked._replace(method="", path="", query=""), self if held else None)
        made.asker, made._is_entry = self.asker, True
        return made

    def hold(self, records: Sequence[Record]) -> None:
        """Take records of what was read in this transaction, to be kept when it is through."""
        self._held += records

    # --- changes ---

    def begin_again(self) -> None:
        """Forget what an attempt put down, because the transaction begins anew."""
        self._filed = False
        self._held.clear()

    async def file(self, transaction: Transaction, writes: Sequence[Write]) -> None:
        """Put down the records of these changes, as a part of the transaction that makes them."""
        done: dict[str, list[Row]] = {}
        made = [one.after for one in writes]
        versions = [*made, *(one.before for one in writes if one.before is not None)]
        of_each = await concerned(transaction, versions, made)
        whose = {(one.key, one.number): ids for one, ids in zip(versions, of_each, strict=True)}
        for write in writes:
            done.setdefault(_interaction_of(write), []).append(_changed(write, whose))
        at = to_millisecond(self._context.now())
        query = bounded_query(self._query())
        records = [
            self._record(at, await self.who_of(rows), _STATUS[interaction], rows)._replace(
                interaction=interaction, query=query
            )
            for interaction, rows in done.items()
        ]
        if records:
            await transaction.file([(record.text(), at) for record in records])
            self._filed = True

    # --- what was looked at, or refused ---

    async def note(self, said: Answer | Rejected) -> None:
        """Record what was answered, unless its changes are its record. Once; the first time counts. Raises Rejected (503)."""
        if self._is_noted:
            return
        self._is_noted = True
        if isinstance(said, Rejected) and said.refusal is Refusal.TOO_MANY:
            return  # it was turned away unread, as are all past the limit; the metrics count them
        if isinstance(said, Rejected):
            await self._keep([await self._refused(said)])
        elif not self._filed and not self._parts:
            await self._keep([*self._held, await self._seen(said)])
        elif self._held:
            await self._keep(self._held)

    async def told(self, rejected: Rejected) -> Rejected:
        """The same refusal, recorded; or the one to answer with instead, because that cannot be kept."""
        try:
            await self.note(rejected)
        except Rejected as worse:
            return worse
        return rejected

    async def _keep(self, records: Sequence[Record]) -> None:
        if self._outer is not None:
            self._outer.hold(records)
            return
        chain = self._context.store.trail
        if len(records) == 1:
            await chain.append(records[0].text(), moment_of(records[0]))
            return
        await asyncio.gather(*(chain.append(record.text(), moment_of(record)) for record in records))

    async def _seen(self, answer: Answer) -> Record:
        is_told = answer.bundle is not None or answer.version is not None or answer.about
        rows = await self._rows(_versions_in(answer)) if is_told else await self._target()
        rows = [self._own_look(row) for row in (*rows, *self._asked_about(rows))]
        query = _query_run(answer.bundle, self._query())
        record = self._record(self._context.now(), await self.who_of(rows), answer.status, rows)
        return record._replace(query=query) if query else record

    def _asked_about(self, rows: Sequence[Row]) -> list[Row]:
        """Whom a search named, or was answered from the restricted record of, and brought nothing of: a number told of them, too, and so does
        whatever it found by theirs.
        """
        request = self._request
        if request is None or self.interaction not in ("search-type", "search-system"):
            return []
        told = {patient for row in rows for patient in row[1:]}
        asked = [*_named_by(request, self._context), *(one.removeprefix("Patient/") for one in sorted(self._opened))]
        named = [one for one in dict.fromkeys(asked) if one not in told]
        about = (
            request.segments[-1] if request.segments and request.segments[-1] in self._context.capability.types else ""
        )
        return [(about or request.type or "Resource", *named[:NAMED_IN_BODY_MAX])] if named else []

    async def _refused(self, rejected: Rejected) -> Record:
        why = "; ".join(issue.text for issue in rejected.issues)[:WHY_MAX]
        try:
            rows = await self._target()
        except Rejected:
            rows = []  # the database is away: then this is not kept either, and the answer says so
        record = self._record(self._context.now(), await self.who_of(rows), status_of(rejected), rows)
        return record._replace(query=bounded_query(self._query()), why=why or "Refused.")

    def _record(self, at: datetime, who: Who, status: int, rows: Sequence[Row]) -> Record:
        asked = self._asked
        return Record(
            at=instant(at),
            request_id=asked.request_id,
            method=asked.method,
            interaction=self._code(),
            path=bounded_path(asked.path),
            status=status,
            who=who,
            address=asked.address,
            purpose=self.asker.purpose,
            what=tuple(rows[:WHAT_MAX]),
            more=max(0, len(rows) - WHAT_MAX),
            words=WORDS_NOW,
        )

    def _code(self) -> str:
        """FHIR's code for the interaction; of a Bundle, what kind it is."""
        if self.interaction != "bundle":
            return self.interaction
        body = self._request.body if self._request else None
        kind = body.get("type") if isinstance(body, dict) else None
        return kind if kind in ("batch", "transaction") else "bundle"

    def _query(self) -> str:
        """What was asked for beside the address: parameters, those of a form too, and the criteria of a conditional create."""
        request = self._request
        if request is None:
            text = self._asked.query
        else:
            text = (query_text(request.parameters) if request.parameters else "") or request.headers.if_none_exist
        return _TOKEN.sub(r"\1…", text) if text else ""

    async def who(self, concerned: Collection[str] = ()) -> Who:
        """Who asks, with what they and their organisation are called; and for whom, of those `concerned` (ids of Patients)."""
        who, acts_for, _ = self.asker
        name, organization, patient = who.name, "", who.patient
        scribe, store = self._context.scribe, self._context.store
        if who.user and not name:
            name = await scribe.name_of(store, who.user)
        if who.organization:
            organization = await scribe.name_of(store, who.organization)
        if acts_for and not patient:
            patient = _acted_for(acts_for, concerned)
        return who._replace(name=name, organization_name=organization, patient=patient)

    async def who_of(self, rows: Sequence[Row]) -> Who:
        """Who asks for these, and for whom of those whom they are about."""
        return await self.who(_patients_in(rows) if self.asker.acts_for else ())

    def _own_look(self, row: Row) -> Row:
        """A person's look at their trail is nothing to tell others of, though these be in it: they may only have tried to see something."""
        user = self.asker.who.user
        if row[0].startswith("AuditEvent/") and user.startswith("Patient/"):
            return (row[0], user.removeprefix("Patient/"))
        return row

    # --- what a request is about that brought nothing ---

    async def _target(self) -> list[Row]:
        """What was asked for by its address or in a body, and whom it is about: the same detail for what was refused."""
        segments = tuple(self._asked.path.split("/"))
        request = self._request
        if self.interaction == "bundle":
            return await self._standing(_keys_in(request))
        rows: list[Row] = []
        if len(segments) > 1 and segments[0] in self._context.capability.types and is_id(segments[1]):
            rows = await self._standing([f"{segments[0]}/{segments[1]}"])
            if segments[2:3] == ("_history",) and len(segments) == 4 and is_id(segments[3]):
                rows = [("/".join(segments), *rows[0][1:])]
        if request is not None and self.interaction != "$validate":  # which tells nothing of the record
            for sent in _sent_in(request):
                rows = self._named_in(request, sent, rows)
        return rows

    async def _standing(self, keys: Sequence[str]) -> list[Row]:
        """These resources as they stand, whether or not whoever asked may know that."""
        found = await self._context.store.read_all(keys) if keys else {}
        rows = dict(zip(found, await self._rows(list(found.values())), strict=True))
        return [rows.get(key, (key,)) for key in keys]

    async def _rows(self, versions: Sequence[Version]) -> list[Row]:
        whose = await concerned(self._context.store, versions)
        return [_row(version, patients) for version, patients in zip(versions, whose, strict=True)]

    def _named_in(self, request: FhirRequest, sent: Resource, rows: list[Row]) -> list[Row]:
        """With the patients that a resource is about, which somebody wanted to write, or try, and could not."""
        try:
            index = self._context.index_of(sent, request.id or "new")
            named = patients_of(access_entries(index.keys))[:NAMED_IN_BODY_MAX]
        except Exception:  # noqa: BLE001 - it may be anything, which is why it was refused
            return rows
        reference, *known = rows[0] if rows else (request.type,)
        patients = dict.fromkeys([*known, *(name.partition("/")[2] for name in named)])
        patients.pop("new", None)
        return [(reference, *patients)] if rows or patients else []


_STATUS = {"create": 201, "update": 200, "patch": 200, "delete": 204}


def _interaction_of(write: Write) -> str:
    after, before = write.after, write.before
    if after.is_deleted:
        return "delete"
    if before is None or before.is_deleted:
        return "create"
    return "patch" if after.method == "PATCH" else "update"


def _row(version: Version, patients: Iterable[str]) -> Row:
    return (f"{version.type}/{version.id}/_history/{version.number}", *patients)


def _acted_for(acts_for: Collection[str], concerned: Collection[str]) -> str:
    """Whom a Consent lets act, does so for whom it is about: in no launch context, the one of these who lets them; of several, nobody."""
    found = {one for one in concerned or acts_for if one in acts_for}
    return found.pop() if len(found) == 1 else ""


def _patients_in(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(patient for row in rows for patient in row[1:]))


def _changed(write: Write, whose: Whose) -> Row:
    """A change concerns whom the resource was about before it, and whom it is about now."""
    before = () if write.before is None else whose[write.before.key, write.before.number]
    now = whose[write.after.key, write.after.number]
    return _row(write.after, dict.fromkeys((*now, *before)))


def _versions_in(answer: Answer) -> list[Version]:
    if answer.bundle is not None:
        return [entry.version for entry in answer.bundle.entries if entry.version is not None]
    return [version for version in (answer.version, *answer.about) if version is not None]


def _named_by(request: FhirRequest, context: Context) -> list[str]:
    """The ids of the patients whom a search names: by the compartment it is in, and by references to them."""
    segments = request.segments
    named = [segments[1]] if segments[:1] == ("Patient",) and len(segments) > 2 else []
    for name, value in request.parameters:
        by = re.split(r"[:.]", name)[-1]
        is_bare = by in ("patient", "Patient") or (name == "_id" and request.type == "Patient")
        for one in value.split(","):
            key = context.own.local(one)
            if (key.startswith("Patient/") or is_bare) and is_id(found := key.removeprefix("Patient/")):
                named.append(found)
    return list(dict.fromkeys(named))


def _query_run(bundle: BundleAnswer | None, sent: str) -> str:
    """The query as it ran: of a search, what its self link says was applied."""
    if bundle is not None and bundle.links and bundle.links[0][0] == "self":
        sent = bundle.links[0][1].partition("?")[2]
    return bounded_query(sent) if sent else ""


def _keys_in(request: FhirRequest | None) -> list[str]:
    """The resources that the entries of a Bundle name."""
    found: dict[str, None] = {}
    for entry in entries_sent(request)[:ENTRIES_TOLD_MAX] if request is not None else ():
        path = str(asked_in(entry).get("url", "")).partition("?")[0].split("/")
        if len(path) > 1 and all(path[:2]) and path[1][0] not in "$_":
            found["/".join(path[:2])[:128]] = None
    return list(found)


def _sent_in(request: FhirRequest) -> list[Resource]:
    """The resource that was sent; of Parameters, the first of those in them."""
    if not isinstance(request.body, dict):
        return []
    if request.body.get("resourceType") != "Parameters":
        return [request.body]
    rows = request.body.get("parameter")
    sent = (one.get("resource") for one in rows if isinstance(one, dict)) if isinstance(rows, list) else ()
    return [one for one in sent if isinstance(one, dict)][:1]
