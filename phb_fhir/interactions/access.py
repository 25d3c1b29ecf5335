"""What one actor may do in one request: the policy's predicate, with what the record says of them, and judgement by it.

`Access` is made for a request (`seen.admitted`) and goes along in the Context. What it shows, `seen.Seen` applies to every question; what
may be written, `judgement` asks here before and after. It outlives the request only where the token alone says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from phb_fhir.change import Version
from phb_fhir.fhir.codec import Resource, dumps, loads
from phb_fhir.fhir.dates import period_of
from phb_fhir.interactions.concerned import led_to
from phb_fhir.interactions.contents import content_of
from phb_fhir.interactions.joins import Joins, split
from phb_fhir.interactions.settled import parameters_asked
from phb_fhir.interactions.subset import STORED_DEPTH_MAX
from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.query import EVERYTHING, NOTHING, AllOf, AnyOf, HistoryQuery, Id, Key, Node, Not, Query
from phb_fhir.rules.budget import LONDON
from phb_fhir.rules.modifiers import modifiers
from phb_fhir.search.access import is_label, labels_of, patients_of
from phb_fhir.search.kinds.keys import beginning
from phb_fhir.search.kinds.kind import Index
from phb_fhir.search.parse import parse_criteria
from phb_fhir.security.actor import Actor, Scope
from phb_fhir.security.audit import UNKNOWN, Asker
from phb_fhir.security.mask import WORDLESS, asks_for_words, masked, shown
from phb_fhir.security.policy import (
    BREAKS_GLASS,
    DIRECTORY,
    GUIDE,
    RESTRICTED,
    Mandate,
    Who,
    any_of,
    as_far_as_seen,
    directory,
    funds_alone,
    letters_of,
    of_patients,
    reach,
)
from phb_fhir.store.store import Hit, Reader

if TYPE_CHECKING:
    from phb_fhir.interactions.context import Context

CONSENTS_MAX = 10_000  # in force, that name one delegate or broker; with a launch context, of its patient
RELATIONS_MAX = 10_000  # people close to somebody who have one NHS number
CASELOAD_MAX = 10_000  # care teams in force that name one person, or one team
ITEMS_MAX = 2_000  # of the directory, that one organisation provides
NUMBERED_MAX = 10  # patients with one NHS number
VERSIONS_MAX = 1_000  # of one of these
BREAK_GLASS = ("BTG", "ETREAT")  # v3 ActReason: break the glass, emergency treatment
NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
ODS_CODE = "https://fhir.nhs.uk/Id/ods-organization-code"
IN_FORCE = Key(("status=*active",))  # of Consents and CareTeams: what was ended stays in the record, and is not counted

LETTERS = {  # of the interactions, in a CapabilityStatement's words (SMART App Launch 2, "Scopes for requesting FHIR resources")
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "search-type": "s",
    "search-system": "s",
    "history-type": "s",
    "history-system": "s",
    "create": "c",
    "update": "u",
    "patch": "u",
    "delete": "d",
}
_VERBS = {"c": "create", "r": "read", "u": "change", "d": "delete", "s": "search"}
# the claim that says it all, with the role; of other roles, and without it, the record is asked at each request
_SAID_BY = {
    "person": "user",
    "commissioner": "organization",
    "practice": "organization",
    "finance": "organization",
    "system": "subject",
    "auditor": "subject",
    "analyst": "subject",
}
_LOCAL = re.compile(r"[A-Z][A-Za-z]*/[A-Za-z0-9\-.]{1,64}")


@dataclass(frozen=True, slots=True)
class View:
    """What is seen of one type. `where` may ask for other resources; `is_wide`: it asks for more than access entries.

    `within` asks for no more than these, and holds for all that is seen, in part or whole.
    `plain` is the same for a quick look: all, nothing, or what has one of these entries; None where that does not say it.
    """

    where: Node
    masked: Node = NOTHING
    within: Node = NOTHING
    is_wide: bool = False
    plain: bool | frozenset[str] | None = None


def _plainly(where: Node) -> bool | frozenset[str] | None:
    match where:
        case Key(keys):
            return frozenset(keys)
        case AllOf(()):
            return True
        case AnyOf(()):
            return False
    return None


@dataclass(slots=True)
class Access:
    """One actor's, for one request; or for all of theirs, where it depends on nothing but their token (`is_lasting`).

    `context` asks the record itself, unnarrowed. `purpose` is the purpose of use that counts; `opened` the patients whose restricted
    records were shown because of it, by an entry of a Bundle to `outer` as well.
    """

    context: Context
    actor: Actor
    who: Who | None
    purpose: str = ""
    opened: set[str] = field(default_factory=set)
    outer: Access | None = None
    asker: Asker = UNKNOWN  # who the audit trail is told that they are
    narrowed: Callable[..., Reader] = field(default=lambda _: _unanswered())
    _views: dict[tuple[str, str], View] = field(default_factory=dict)
    _allowed: set[tuple[str, str]] = field(default_factory=set)
    _seen: dict[str, bool] = field(default_factory=dict)

    @property
    def is_lasting(self) -> bool:
        """Whether the same token will have the same access, whatever becomes of the record."""
        claim = _SAID_BY.get(self.actor.role)
        return claim is not None and bool(getattr(self.actor, claim)) and not self.purpose

    # --- what may ever be done ---

    def check(self, letters: str, type_: str) -> None:
        """Raise Rejected (403) unless the role and the scopes have one of these letters for a type ("": for any)."""
        if (letters, type_) not in self._allowed:
            self._check(letters, type_)
            self._allowed.add((letters, type_))

    def _check(self, letters: str, type_: str) -> None:
        types = (type_,) if type_ else sorted(self.context.capability.types)
        if self.who is None:
            text = "The token names no role that is known here, or a user or patient of another server, so it gives access to nothing."
            raise refuse(Refusal.FORBIDDEN, Kind.FORBIDDEN, text)
        doing = f"{_VERBS[letters[0]]} {type_ or 'everything'}"
        if not any(letters_of(self.who.role, one) & set(letters) for one in types):
            text = f"With the role of {self.who.role} nobody may {doing}."
            raise refuse(Refusal.FORBIDDEN, Kind.FORBIDDEN, text)
        if not any(self._scopes(letters, one) for one in types):
            raise refuse(Refusal.OUT_OF_SCOPE, Kind.FORBIDDEN, f"The scopes of the token do not let it {doing}.")

    def sees_type(self, type_: str) -> bool:
        """Whether anything of a type may be seen."""
        found = self._seen.get(type_)
        if found is None:
            letters = letters_of(self.who.role, type_) if self.who else frozenset()
            found = self._seen[type_] = bool(letters & {"r", "s"} and self._scopes("rs", type_))
        return found

    def _scopes(self, letters: str, type_: str) -> list[Scope]:
        return [one for one in self.actor.scopes if one.type in ("*", type_) and one.permissions & set(letters)]

    # --- what is seen ---

    def view(self, type_: str, letters: str = "rs") -> View:
        """What of a type is seen (or may be written, by other letters).

        Who may read may search too, and sees the same, but where scopes narrow the two apart: `Observation.r?… Observation.s?…`.
        """
        found = self._views.get((type_, letters))
        if found is None:
            found = self._views[type_, letters] = self._view(type_, letters)
        return found

    def _view(self, type_: str, letters: str) -> View:
        scopes = self._scopes(letters, type_)
        if self.who is None or not scopes:
            return self.view(type_) if letters in ("r", "s") else View(NOTHING, plain=False)
        if letters in ("r", "s") and not self.view(type_).is_wide:
            return self.view(type_)
        whole = reach(self.who, type_, letters)
        part = reach(self.who, type_, letters, masked=True)
        scoped = {scope: self._scoped(scope, type_) for scope in scopes}
        where = _both(whole, any_of(scoped.values()))
        told = (node for scope, node in scoped.items() if self._goes_by_what_is_shown(scope, type_))
        partly = NOTHING if part == NOTHING else _both(part, any_of(told))
        launched = any_of(self._launched_with(scope, type_) for scope in scopes)
        within = _both(whole if partly == NOTHING else any_of((whole, part)), launched)
        is_wide = any(scope.criteria for scope in scopes)
        is_plain = partly == NOTHING and not is_wide and not self.is_breaking_glass
        return View(where, partly, within, is_wide, _plainly(where) if is_plain else None)

    def _scoped(self, scope: Scope, type_: str) -> Node:
        where = self._launched_with(scope, type_)
        return _both(where, self._criteria(scope, type_)) if scope.criteria else where

    def _launched_with(self, scope: Scope, type_: str) -> Node:
        where: Node = EVERYTHING
        if _is_of_patients(scope, type_):
            where = of_patients(self._launched(), type_)
            if type_ == "List":  # a directory is nobody's
                where = any_of((where, directory(self.who, type_))) if self.who is not None else where
        return where

    def _goes_by_what_is_shown(self, scope: Scope, type_: str) -> bool:
        """Whether a scope narrows what is seen in part by that part alone: else what it leaves would tell of the rest, such as whose it is."""
        asked = self._criteria(scope, type_) if scope.criteria else EVERYTHING
        if split(Query((type_,), asked)).left or (type_ in WORDLESS and asks_for_words(asked)):
            return False
        by = {name for _, name in parameters_asked((type_,), asked)}
        if _is_of_patients(scope, type_):
            by.add("patient")
        return not by or shown(type_, by)

    def _launched(self) -> tuple[str, ...]:
        """The patient of the launch context, whom `patient/` scopes are of."""
        if self.actor.patient:
            return (f"Patient/{self.actor.patient}",)
        return self.who.patients if self.who is not None and self.who.role == "person" else ()

    def _criteria(self, scope: Scope, type_: str) -> Node:
        """The condition of a scope such as `patient/Observation.rs?category=vital-signs`; one that is not understood grants nothing."""
        try:
            asked = parse_criteria(type_, scope.criteria, self.context.asking()).where
        except Rejected:
            return NOTHING
        return NOTHING if self.who is None else as_far_as_seen(self.who, asked)

    def types_seen(self, types: Iterable[str]) -> tuple[str, ...]:
        """Those of which anything may be seen; of all, if none are named."""
        return tuple(one for one in tuple(types) or sorted(self.context.capability.types) if self.sees_type(one))

    # --- single versions ---

    async def shown(self, reader: Reader, versions: Sequence[Version], letters: str = "rs") -> list[Version]:
        """Those of these versions that are seen, as they are seen. `reader` is asked about others, unnarrowed."""
        whole = set(map(_identity, await self._holding(reader, versions, letters, masked=False)))
        others = [one for one in versions if _identity(one) not in whole]
        partly = set(map(_identity, await self._holding(reader, others, letters, masked=True)))
        kept = [one for one in versions if _identity(one) in whole | partly]
        await self.note_opened(reader, kept)
        return [one if _identity(one) in whole else _masked(one) for one in kept]

    async def _holding(
        self, reader: Reader, versions: Sequence[Version], letters: str, *, masked: bool
    ) -> list[Version]:
        kept = []
        by_type: dict[str, list[Version]] = {}
        for version in versions:
            by_type.setdefault(version.type, []).append(version)
        for type_, these in by_type.items():
            view = self.view(type_, letters)
            node = view.masked if masked else view.where
            if node == EVERYTHING:
                kept += these
            elif node != NOTHING:
                kept += await self._judged(reader, node, these, is_wide=view.is_wide)
        return kept

    async def _judged(self, reader: Reader, node: Node, versions: list[Version], *, is_wide: bool) -> list[Version]:
        """Those that the condition holds for. Joins tell resources apart by their keys, so that of one, one version is looked at at a time."""
        alike: dict[tuple[str, object], list[Version]] = {}
        for version in versions:
            alike.setdefault((version.key, version.number if is_wide else version.access), []).append(version)
        turns: dict[str, int] = {}
        rounds: list[list[list[Version]]] = []
        for (key, _), these in alike.items():
            turn = turns[key] = turns.get(key, -1) + 1
            if turn == len(rounds):
                rounds.append([])
            rounds[turn].append(these)
        kept: set[tuple[str, int]] = set()
        for groups in rounds:
            hits = [await self._told_by(reader, these[0], is_wide=is_wide) for these in groups]
            found = {hit.version.key for hit in await Joins(reader, self.context.asking()).look([node], hits)}
            kept.update(_identity(one) for these in groups if these[0].key in found for one in these)
        return [version for version in versions if _identity(version) in kept]

    async def _told_by(self, reader: Reader, version: Version, *, is_wide: bool) -> Hit:
        """What tells whether a condition holds for a version; for a deletion, where more is asked than it says itself, what was deleted."""
        if not is_wide:
            return Hit(version, [], Index(dict.fromkeys(version.access)))
        if version.is_deleted:
            was = await reader.read_version(version.type, version.id, version.number - 1)
            version = version if was is None else was
        return Hit(version, [], self._index(version))

    def _index(self, version: Version) -> Index:
        """All that a version is found by; how restricted it was, it is what it is now."""
        if version.json is None:
            return Index(dict.fromkeys(version.access))
        index = self.context.index_of(content_of(version), version.id)
        others = (key for key in index.keys if not is_label(key))
        return replace(index, keys=dict.fromkeys((*others, *labels_of(version.access))))

    @property
    def is_breaking_glass(self) -> bool:
        return self.who is not None and self.who.is_breaking_glass

    def of_entry(self) -> Access:
        """The same for one entry of a Bundle, which is recorded by itself: what it opens is told of it, and of no other."""
        if not self.is_breaking_glass:
            return self
        entry = replace(self, opened=set(), outer=self)
        entry.narrowed = partial(self.narrowed, access=entry)
        return entry

    async def note_opened(self, reader: Reader, versions: Sequence[Version]) -> None:
        """Take note of what is shown: whether it is restricted, and whose it is; of a file, whether its document is."""
        if not self.is_breaking_glass:
            return
        documents = await reader.read_all({key for one in versions if one.type == "Binary" for key in led_to(one)})
        for one in (*versions, *documents.values()):
            if not set(RESTRICTED.keys).isdisjoint(one.access):
                patients = patients_of(one.access)
                self.opened.update(patients)
                if self.outer is not None:
                    self.outer.opened.update(patients)

    def shows_plainly(self, version: Version) -> bool | None:
        """Whether a version is seen, where its own entries tell; None where more must be looked at."""
        plain = self.view(version.type).plain
        return plain if plain is None or isinstance(plain, bool) else not plain.isdisjoint(version.access)

    def reads_what_it_changes(self, type_: str) -> bool:
        """Whether every scope that lets the token change a type shows the same to it. Of the roles, each reads all that it changes (`POLICY`)."""
        return all(one.permissions & {"r", "s"} for one in self._scopes("u", type_))

    def funds_alone(self, version: Version) -> bool:
        """Whether a budget that they see is a joint one of which they see their own share alone: another funder leads it."""
        return version.type == "Account" and self.who is not None and funds_alone(self.who, version.access)

    # --- what is written ---

    def may_choose_ids(self, type_: str) -> bool:
        """Whether a PUT may make a resource under an id of the client's choice.

        Only for who sees them all: for others, that an id is taken would tell of what they may not see.
        """
        return self.view(type_).where == EVERYTHING and self.view(type_, "c").where == EVERYTHING


def _unanswered() -> Reader:
    raise AssertionError("nothing may be asked before it is known what may be seen")


def _both(one: Node, other: Node) -> Node:
    if NOTHING in (one, other):
        return NOTHING
    if one == EVERYTHING:
        return other
    return one if other in (EVERYTHING, one) else AllOf((one, other))


def _identity(version: Version) -> tuple[str, int]:
    return version.key, version.number


def _masked(version: Version) -> Version:
    if version.json is None:
        return version
    # its entries stay: the audit trail tells the person of what was seen in part, too
    return version._replace(json=dumps(masked(loads(version.json, depth_max=STORED_DEPTH_MAX))))


# ---- who it is -----------------------------------------------------------------------------------


async def access_of(context: Context, actor: Actor, purpose: str = "") -> Access:
    """The access of an actor to a request. `purpose` is the purpose of use that the request states; that of a token goes first."""
    if not actor.role:
        return Access(context, actor, None)
    purpose = _purpose_of(actor, context) or purpose
    is_staff = actor.role not in ("person", "delegate") and bool(actor.user_identifier)
    breaking = purpose in BREAK_GLASS and actor.role in BREAKS_GLASS
    who = Who(
        actor.role,
        actor.user or (await _by_identifier(context, "Practitioner", actor.user_identifier) if is_staff else ""),
        actor.organization
        or (await _by_identifier(context, "Organization", f"{ODS_CODE}|{actor.ods_code}") if actor.ods_code else ""),
        is_breaking_glass=breaking,
    )
    if breaking and not (who.user or who.organization):
        text = "The token does not say who breaks the glass: neither a user nor an organisation that is known here."
        raise refuse(Refusal.FORBIDDEN, Kind.FORBIDDEN, text)
    learn = _LEARNT.get(actor.role)
    return Access(context, actor, await learn(context, actor, who) if learn else who, purpose)


def _purpose_of(actor: Actor, context: Context) -> str:
    """The purpose that the token states; one that breaks the glass, only of a token that was made to live no longer than an opening."""
    life_s = actor.expires - actor.issued
    is_long = actor.purpose in BREAK_GLASS and life_s > context.settings.break_glass_max_s
    return "" if is_long else actor.purpose


async def _by_identifier(context: Context, type_: str, identifier: str) -> str:
    """The one resource with a national identifier (`system|value`); "" where there is none, or more than one."""
    found = await context.store.keys(Query((type_,), Key((f"identifier={identifier}",))), count=2)
    return found[0] if len(found) == 1 else ""


async def _person(context: Context, actor: Actor, who: Who) -> Who:
    """Whose record it is: they signed in as this Patient, or by their NHS number."""
    own = who.user if who.user.startswith("Patient/") else ""
    if not own and not actor.user:
        launched = f"Patient/{actor.patient}" if actor.patient else ""
        own = await _numbered(context, f"identifier={NHS_NUMBER}|{actor.nhs_number}") if actor.nhs_number else launched
    return replace(who, user=own, patients=(own,) if own else ())


async def _numbered(context: Context, number: str) -> str:
    """The Patient with an NHS number; of several in use, the one that has had it longest.

    So nobody is locked out, nor led to another record, by a second one that is given the number, whether by mistake or not.
    """
    found = await context.store.search(Query(("Patient",), Key((number,))), count=NUMBERED_MAX)
    if len(found) == 1:
        return found[0].key
    in_use = [version for version in found if _is_in_use(content_of(version))]
    since = sorted([(await _since(context, version, number), version.key) for version in in_use])
    is_plain = len(found) < NUMBERED_MAX and since and (len(since) == 1 or since[0][0] < since[1][0])
    return since[0][1] if is_plain else ""


def _is_in_use(patient: Resource) -> bool:
    """Whether a Patient's record is the one to be used (R4 §8.1.3: `active`, and `link` to what replaces it)."""
    return patient.get("active") is not False and all(
        one.get("type") != "replaced-by" for one in patient.get("link", ())
    )


async def _since(context: Context, current: Version, entry: str) -> datetime:
    """From when on a resource has been found by an entry, without a break."""
    since = current.at
    history = await context.store.history(HistoryQuery(current.type, current.id), after=None, count=VERSIONS_MAX)
    for version in history:  # the newest first
        if version.json is None or entry not in context.index_of(content_of(version), version.id).keys:
            break
        since = version.at
    return since


def _is_of_patients(scope: Scope, type_: str) -> bool:
    """Whether a scope gives what is of the patient of the launch context; a guide and a directory are nobody's."""
    return scope.context == "patient" and type_ not in (*GUIDE, *DIRECTORY)


async def _trusted(context: Context, actor: Actor, who: Who) -> Who:
    """Whom a person has let act for them, by an active Consent with a legal basis, a scope and a period (R11)."""
    if not who.user and actor.nhs_number:  # they may be known as somebody's relation several times
        number = f"identifier={NHS_NUMBER}|{actor.nhs_number}"
        relations = await context.store.keys(Query(("RelatedPerson",), Key((number,))), count=RELATIONS_MAX)
        if len(relations) == RELATIONS_MAX:
            raise _too_many("people close to somebody have your NHS number")
        who = replace(who, roles=await _in_use(context, relations))
    if who.role != "broker":  # an organisation acts for nobody else
        who = replace(who, organization="")
    parties = (*await _in_use(context, (who.user, who.organization)), *who.roles)
    if not parties:
        return who
    naming = [Key(tuple(f"actor={party}" for party in parties)), IN_FORCE]
    if actor.patient:  # those of others give nothing here
        naming.append(Key((f"patient=Patient/{actor.patient}",)))
    consents = await context.store.search(Query(("Consent",), AllOf(tuple(naming))), count=CONSENTS_MAX)
    if len(consents) == CONSENTS_MAX:
        raise _too_many("consents name you")
    contents = [_bearing(version.json) for version in consents if version.json is not None]
    # each once, and by whose they are: those of one person take none of another's time
    denied: dict[str, dict[Mandate, None]] = {}
    for denial in (denial for one in contents for denial in _denials(one, parties, context)):
        denied.setdefault(denial.patient, {})[denial] = None
    given = dict.fromkeys(mandate for one in contents for mandate in _mandates(one, parties, context))
    asked = (one for one in given if actor.patient in ("", one.patient.removeprefix("Patient/")))
    found = dict.fromkeys(_without(one, denied.get(one.patient, ())) for one in asked)
    return replace(who, mandates=tuple([await _with_plans(context, one) for one in found]))


async def _caring(context: Context, actor: Actor, who: Who) -> Who:
    """Whose care they co-ordinate or take part in: the patients of the active care teams that name them."""
    del actor
    roles = await _roles(context, who)
    parties = (*await _in_use(context, (who.user, who.organization if who.role == "nhs-team" else "")), *roles)
    if not parties:
        return replace(who, roles=roles)
    naming = AllOf((Key(tuple(f"participant={party}" for party in parties)), IN_FORCE))
    teams = await context.store.search(Query(("CareTeam",), naming), count=CASELOAD_MAX)
    if len(teams) == CASELOAD_MAX:
        raise _too_many("care teams name you")
    contents = (_bearing(version.json) for version in teams if version.json is not None)
    patients = dict.fromkeys(_patient_of(one, parties, context) for one in contents)
    return replace(who, roles=roles, patients=tuple(one for one in patients if one))


async def _in_use(context: Context, parties: Iterable[str]) -> tuple[str, ...]:
    """Those of these that the record does not say are somebody's, or somebody, no longer (`active`, `period`)."""
    named = [party for party in parties if party]
    there = await context.store.read_all(named) if named else {}
    over = {key for key, one in there.items() if one.json is None or not _stands(content_of(one), context)}
    return tuple(party for party in named if party not in over)


def _stands(resource: Resource, context: Context) -> bool:
    """Whether a role, a relation or a team is not over: it is not inactive, and its period, if it has one, covers this moment."""
    period = resource.get("period")
    return resource.get("active") is not False and (period is None or _covers({"start": "1900", **period}, context))


async def _roles(context: Context, who: Who) -> tuple[str, ...]:
    """The PractitionerRoles of a practitioner, within the organisation they act for."""
    if not who.user.startswith("Practitioner/"):
        return ()
    where = AllOf(
        (
            Key((f"practitioner={who.user}",)),
            *([Key((f"organization={who.organization}",))] if who.organization else []),
        )
    )
    return await _in_use(context, await context.store.keys(Query(("PractitionerRole",), where), count=100))


async def _providing(context: Context, actor: Actor, who: Who) -> Who:
    """What of the directory their organisation provides."""
    del actor
    if not who.organization:
        return who
    query = Query(("ChargeItemDefinition",), Key((f"provider={who.organization}",)))
    items = await context.store.search(query, count=ITEMS_MAX)
    urls = [content_of(version).get("url") for version in items]
    named = tuple(dict.fromkeys(url for url in urls if url))
    others = await others_items(context.store, named, who.organization) if named else {}
    return replace(who, items=tuple(url for url in named if url not in others))


async def others_items(reader: Reader, urls: Sequence[str], organization: str) -> dict[str, str]:
    """Of these urls of directory items, those that an item of another provider has too, with the key of that item."""
    another = AllOf((beginning("provider="), Not(Key((f"provider={organization}",)))))
    where = AllOf((Key(tuple(f"url={url}" for url in urls)), another))
    found = await reader.search(Query(("ChargeItemDefinition",), where), count=ITEMS_MAX)
    return {str(content_of(one).get("url", "")): one.key for one in found}


_LEARNT = {
    "person": _person,
    "delegate": _trusted,
    "broker": _trusted,
    "peer-supporter": _trusted,
    "care-coordinator": _caring,
    "nhs-team": _caring,
    "provider": _providing,
}


def _too_many(said: str) -> Rejected:
    text = f"Too many {said} for the server to tell what you may see; nothing was done."
    return refuse(Refusal.FORBIDDEN, Kind.TOO_COSTLY, text)


# ---- consents ------------------------------------------------------------------------------------


# of a Consent, and of a CareTeam
_BEARING = ("status", "patient", "policyRule", "provision", "subject", "period", "participant")
_MODIFIED = "modified"  # whether something in it may turn round what it means


# so that who acts for thousands does not wait for all of them to be decoded at each request; some 5 KB each
@lru_cache(maxsize=CONSENTS_MAX)
def _bearing(json: bytes) -> Resource:
    """What of a Consent or a CareTeam decides who may act; by its very bytes, so that what is changed is read anew."""
    content = loads(json, depth_max=STORED_DEPTH_MAX)
    is_modified = any(modifiers(content, ""))
    return {_MODIFIED: is_modified, **{name: content[name] for name in _BEARING if name in content}}


def _mandates(consent: Resource, parties: Sequence[str], context: Context) -> Iterable[Mandate]:
    """What a Consent lets these parties do today: nothing, unless it is active, says on which basis, and until when.

    What narrows it in a way that is not read here leaves nothing of it.
    """
    provision = consent.get("provision", {})
    patient = _patient_in(consent, context)
    classes = provision.get("class", ())
    types = tuple(one.get("code", "") for one in classes if one.get("system") == RESOURCE_TYPES)
    holds = (
        consent.get("status") == "active"
        and _has_code(consent.get("policyRule"))
        and provision.get("type") == "permit"
        and _covers(provision.get("period"), context)
        and patient.startswith("Patient/")
        and not set(_actors(provision, context)).isdisjoint(parties)
        and bool(types) == bool(classes)
        and not (_NOT_READ & provision.keys() or consent[_MODIFIED])
    )
    nested = (part for part in _within(provision) if part.get("type") != "permit")
    denied = {code for part in nested if _concerns(part, parties, context) for code in _codes(part) or {"*"}}
    rights = _codes(provision) - denied
    if not holds or not rights or "*" in denied:
        return
    accounts = _accounts(provision, context)
    if accounts or not provision.get("data"):
        yield Mandate(patient, frozenset(rights), accounts, types=types)


def _within(provision: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """The provisions within a provision, however deep (R4 §6.2: exceptions to what is around them)."""
    for part in provision.get("provision", ()):
        yield part
        yield from _within(part)


def _denials(consent: Resource, parties: Sequence[str], context: Context) -> Iterable[Mandate]:
    """What a Consent that denies takes away from these parties now: its actions, or all ("*") where it names none."""
    provision = consent.get("provision", {})
    is_denial = consent.get("status") == "active" and provision.get("type") == "deny"
    rights = _codes(provision) or (set() if provision.get("action") else {"*"})
    if is_denial and rights and _concerns(provision, parties, context):
        yield Mandate(_patient_in(consent, context), frozenset(rights), _accounts(provision, context))


def _without(mandate: Mandate, denials: Iterable[Mandate]) -> Mandate:
    """A mandate with what others of the patient's Consents deny taken away. What is denied for some of all budgets is denied for all."""
    for denial in denials:
        is_apart = mandate.accounts and denial.accounts and set(mandate.accounts).isdisjoint(denial.accounts)
        if denial.patient == mandate.patient and not is_apart:
            left = frozenset[str]() if "*" in denial.rights else mandate.rights - denial.rights
            mandate = replace(mandate, rights=left)
    return mandate


def _concerns(provision: dict[str, Any], parties: Sequence[str], context: Context) -> bool:
    """Whether a provision that denies is about these parties, now: about all where it names none, and always where it has no period."""
    names, period = _actors(provision, context), provision.get("period") or {}
    is_about = not names or not set(names).isdisjoint((*parties, ""))  # "" is somebody whom no address names
    return is_about and _covers({"start": "1900", **period}, context, unread=True)


def _patient_in(consent: Resource, context: Context) -> str:
    return context.own.local(str(consent.get("patient", {}).get("reference", "")))


def _actors(provision: dict[str, Any], context: Context) -> list[str]:
    return [context.own.local(one.get("reference", {}).get("reference", "")) for one in provision.get("actor", ())]


def _accounts(provision: dict[str, Any], context: Context) -> tuple[str, ...]:
    data = [context.own.local(one.get("reference", {}).get("reference", "")) for one in provision.get("data", ())]
    return tuple(one for one in data if one.startswith("Account/") and _LOCAL.fullmatch(one))


def _codes(provision: dict[str, Any]) -> set[str]:
    """What may be done: codes of phb-consent-action."""
    codings = (coding for action in provision.get("action", ()) for coding in action.get("coding", ()))
    return {coding.get("code", "") for coding in codings if coding.get("system") == ACTIONS}


ACTIONS = "https://fhir.phb.nhs.example/CodeSystem/phb-consent-action"
RESOURCE_TYPES = "http://hl7.org/fhir/resource-types"
_NOT_READ = frozenset(("code", "dataPeriod", "securityLabel"))  # by which a provision is of less


def _has_code(concept: Any) -> bool:
    return isinstance(concept, dict) and any(coding.get("code") for coding in concept.get("coding", ()))


def _covers(period: Any, context: Context, *, unread: bool = False) -> bool:
    """Whether a period with a beginning covers this moment; `unread` of one that cannot be read."""
    if not isinstance(period, dict) or not period.get("start"):
        return False
    now = context.now()
    try:
        return _in_england(period["start"])[0] <= now and ("end" not in period or now < _in_england(period["end"])[1])
    except (ValueError, OverflowError):
        return unread


def _in_england(text: str) -> tuple[datetime, datetime]:
    """The period of a FHIR date or dateTime; a day begins and ends with the day in England, as it does for the rules."""
    start, end = period_of(text)
    return (start, end) if "T" in text else (start.replace(tzinfo=LONDON), end.replace(tzinfo=LONDON))


async def _with_plans(context: Context, mandate: Mandate) -> Mandate:
    """With the care plans of the budgets it is for: those of the person who consents, as nobody lets others see what is somebody else's."""
    if not mandate.accounts:
        return mandate
    query = Query(("Account",), AllOf((Id(mandate.accounts), Key((f"patient={mandate.patient}",)))))
    accounts = tuple(await context.store.keys(query, count=len(mandate.accounts)))
    if not accounts:
        return replace(mandate, rights=frozenset())
    plans = await context.store.pointed_at(query, "care-plan", ("CarePlan",), count=100)
    return replace(mandate, accounts=accounts, plans=tuple(plans))


def _patient_of(team: Resource, parties: Sequence[str], context: Context) -> str:
    """Whose care team it is, where it is active and one of these takes part in it now; nobody's where that may mean something else."""
    if team.get("status") != "active" or team[_MODIFIED] or not _stands(team, context):
        return ""
    for participant in team.get("participant", ()):
        member = context.own.local(participant.get("member", {}).get("reference", ""))
        if member in parties and _stands(participant, context):
            return str(context.own.local(team.get("subject", {}).get("reference", "")))
    return ""
