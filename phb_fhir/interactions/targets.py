"""What references point to, as it stands once the writes under way are done: to learn what a PHB profile governs.

A ChargeItem is a purchase because the Account it is charged to is a budget, however the Account is named: by a literal
reference, relative or to this server's own address, with or without a version; by criteria (`Account?identifier=…`); or by an
identifier alone. Another entry of the same transaction may make or change that Account, so the writes that are pending go
before what is stored; and of what was deleted, the last content counts, because it was governed then.

A reference that means nothing here, or more than one resource, makes nobody a PHB resource: it is told of as a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from phb_fhir.change import Create, Criteria, Put, Version
from phb_fhir.fhir.codec import Resource
from phb_fhir.interactions.contents import content_of
from phb_fhir.interactions.context import Context
from phb_fhir.interactions.joins import Joins
from phb_fhir.interactions.pending import Pending
from phb_fhir.interactions.preconditions import criteria_in
from phb_fhir.outcome import Issue, Kind, Rejected
from phb_fhir.query import Key, Query
from phb_fhir.search.kinds.token import keep
from phb_fhir.store.store import Reader
from phb_fhir.validation.frame import address_of
from phb_fhir.validation.governed import STEPS_MAX, Question, governing_alone, is_governed_alone, open_questions, url_of


class Targets:
    """What is at the end of references. `pending` are the resources about to be written by key, None for one deleted.

    What is meant by an identifier or by criteria is looked for by `named`: among what the writer may see, where that is not all.
    """

    def __init__(
        self,
        context: Context,
        reader: Reader,
        pending: Mapping[str, Resource | None] | None = None,
        named: Reader | None = None,
    ) -> None:
        self._context = context
        self._known = context.known
        self._reader = reader
        self._named = named or reader
        self._pending = pending or {}
        self._rows: dict[int, Create | Put] = {}
        self._filed: Pending | None = None
        self._contents: dict[str, Resource | None] = {key: one for key, one in self._pending.items() if one is not None}
        self._matches: dict[Criteria, set[str]] = {}

    async def all_governing(self, resource: Resource) -> set[str]:
        """The urls of all profiles that govern a resource by what it is, whatever it claims."""
        alone = governing_alone(self._known, resource)
        further = [one for one in open_questions(self._known, resource) if url_of(one.profile) not in alone]
        return alone | {url_of(profile) for profile in (await self.governing(further))[0]}

    async def governing(self, questions: Iterable[Question]) -> tuple[list[str], list[Issue]]:
        """The profiles that answers to these questions make govern, and what those could not be told by."""
        found: dict[str, None] = {}
        issues: list[Issue] = []
        for question in questions:
            if question.profile not in found:
                governs, issue = await self._governs(question, STEPS_MAX)
                if governs:
                    found[question.profile] = None
                elif issue is not None:
                    issues.append(issue)
        return list(found), issues

    async def read(self, questions: Iterable[Question]) -> None:
        """Read in one call what these questions name by literal references, so that each is not read by itself."""
        keys = {key for question in questions if (key := self._key(question))}
        if missing := keys - self._contents.keys():
            stored = {} if len(missing) == 1 else await self._reader.read_all(missing)
            for key in missing if stored else ():
                self._contents[key] = await self.last_content(stored.get(key))

    async def _governs(self, question: Question, steps: int) -> tuple[bool, Issue | None]:
        key, issue = await self._meaning(question)
        if not key:
            return False, issue
        content = await self._content(key)
        if content is None:
            text = f"There is no {key} here, so it does not tell whether a PHB profile governs what refers to it."
            return False, Issue(Kind.NOT_FOUND, text, question.at, "warning")
        if is_governed_alone(self._known, content, question.target):
            return True, None
        for further in open_questions(self._known, content) if steps else ():
            if url_of(further.profile) == question.target and (await self._governs(further, steps - 1))[0]:
                return True, None
        return False, None

    # ---- which resource is meant -----------------------------------------------------------------

    def _key(self, question: Question) -> str:
        """The resource here that a literal reference names, `Account/1`; "" where it names another's, or is none."""
        text = question.reference.get("reference")
        address = (
            address_of(text.partition("#")[0], self._context.definitions.resource_types) if _is_text(text) else None
        )
        if address is None or address.type != question.type:
            return ""
        is_here = not address.base or self._context.own.has(address.base)
        return f"{address.type}/{address.id}" if is_here else ""

    async def _meaning(self, question: Question) -> tuple[str, Issue | None]:
        text, identifier = question.reference.get("reference"), question.reference.get("identifier")
        if not _is_text(text):
            criteria = _criteria_by_identifier(question.type, identifier)
        elif text.startswith(f"{question.type}?"):
            try:
                criteria = criteria_in(self._context, question.type, text)
            except Rejected as rejected:
                return "", Issue(rejected.issues[0].kind, rejected.issues[0].text, question.at, "warning")
        else:
            return self._key(question), None
        if criteria is None:
            return "", None
        if criteria not in self._matches:
            self._matches[criteria] = await self._matching(criteria)
        keys = self._matches[criteria]
        return (next(iter(keys)), None) if len(keys) == 1 else ("", _unclear(criteria, question, len(keys)))

    async def _matching(self, criteria: Criteria) -> set[str]:
        """The resources that match, no more than tells one from several."""
        written = {key for key in self._pending if key.startswith(f"{criteria.query.types[0]}/")}
        joins = Joins(self._named, self._context.asking())
        stored = await joins.matching(criteria.query, count=2 + len(written))
        keys = {version.key for version in stored} - written
        if not written:
            return keys
        if self._filed is None:  # as they would be found in the store
            rows = [Put(*_parts(key), resource) for key, resource in self._pending.items() if resource is not None]
            self._rows = dict(enumerate(rows))
            self._filed = Pending(self._context, self._rows, self._context.now())
        made = [self._rows[index] for index in await self._filed.matching(joins, criteria.query)]
        return keys | {f"{one.type}/{one.id}" for one in made}

    # ---- what it holds ---------------------------------------------------------------------------

    async def _content(self, key: str) -> Resource | None:
        if key not in self._contents:
            self._contents[key] = await self.last_content(await self._reader.read(*_parts(key)))
        return self._contents[key]

    async def last_content(self, version: Version | None) -> Resource | None:
        """What a version holds; where it is a deletion, what was there before it."""
        if version is not None and version.is_deleted:
            version = await self._reader.read_version(version.type, version.id, version.number - 1)
        return content_of(version) or None


def _criteria_by_identifier(type_: str, identifier: Any) -> Criteria | None:
    """The criteria that a logical reference stands for (R4 §2.3.0.2); None for one that names nothing."""
    value = identifier.get("value") if isinstance(identifier, dict) else None
    if not _is_text(value) or not type_:
        return None
    system = identifier.get("system", "")
    system = system if _is_text(system) else ""
    keys: dict[str, None] = {}
    keep(keys, "identifier", "Identifier", {"system": system, "value": value})
    _, with_system = keys
    return Criteria(Query((type_,), Key((with_system,))), f"identifier={system}|{value}")


def _unclear(criteria: Criteria, question: Question, count: int) -> Issue:
    matches = f"matches more than one {question.type}" if count else f"matches no {question.type} here"
    text = f"{criteria.text} {matches}, so it does not tell whether a PHB profile governs what refers to it."
    return Issue(Kind.MULTIPLE_MATCHES if count else Kind.NOT_FOUND, text, question.at, "warning")


def _parts(key: str) -> tuple[str, str]:
    type_, _, id_ = key.partition("/")
    return type_, id_


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value)
