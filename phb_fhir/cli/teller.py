"""What tells a story: it takes the papers of `examples/`, asks a server step by step as each person, and says in plain words what happened.

Papers are made anew for each telling: what people write gets its ids from the server, business numbers end in the telling's own letters, and
days are moved so that *today* in the stories is the server's today. So a story can be told twice, on any day, to any server.

A step is one request. One that should be done and is refused, or should be refused and is done, ends the story: `StoryEnded`.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from phb_fhir.cli.token import Asked
from phb_fhir.data import data_path
from phb_fhir.fhir.codec import Exact, dumps, loads
from phb_fhir.fhir.money import pence_of, sterling
from phb_fhir.rules.budget import LONDON

Resource = dict[str, Any]
Change = Callable[[Resource], Resource]

TODAY = date(2026, 11, 22)  # in the papers
GUIDE = "https://fhir.phb.nhs.example"
REQUEST_MAX_S = 60.0
_DEPTH_MAX = 100
_DAY = re.compile(r"(?<![-\w])20[1-4]\d-\d\d-\d\d(?!\d)")  # not those in ids
_NUMBER = re.compile(r'"((?:PHB|PUR|PAY|TSK)-\d{4}-\d+[^"]*)"')
_HEADERS = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
# people and the places they work at are there before a story begins; of these, those of the person are this telling's own
_THERE = frozenset(
    (
        "CareTeam",
        "ChargeItemDefinition",
        "Condition",
        "Encounter",
        "List",
        "Organization",
        "Patient",
        "Practitioner",
        "PractitionerRole",
        "Questionnaire",
        "RelatedPerson",
    )
)
_OWN = frozenset(("CareTeam", "Condition", "Encounter", "Patient", "RelatedPerson"))
_NEEDED = ("reference", "member", "item", "what", "coverage")  # without these, the element that has them means nothing


class StoryEnded(Exception):  # noqa: N818 - not an error of ours: the server has said something else than the story does
    """A step that did not go as the story has it, in a sentence."""


class Teller:
    """`token_of` gives the token that somebody asks with, "" for none; `is_signed_in`: each has one of their own. `telling` are letters that
    no other telling has.
    """

    def __init__(
        self, base: str, token_of: Callable[[Asked], str], console: Console, telling: str, *, is_signed_in: bool
    ) -> None:
        self._base = base.rstrip("/")
        self._token_of = token_of
        self._console = console
        self._telling = telling
        self._is_signed_in = is_signed_in
        self._papers: dict[str, Resource] = {}
        self.real: dict[str, str] = {}  # by the key that the papers have
        self._client = httpx.Client(timeout=REQUEST_MAX_S, headers=_HEADERS)
        self.steps = 0
        self.refusals = 0
        self._shift = timedelta()

    def close(self) -> None:
        self._client.close()

    # --- saying ---

    def chapter(self, title: str) -> None:
        self._console.print()
        self._console.rule(f"[bold]{escape(title)}[/bold]", align="left")

    def say(self, text: str) -> None:
        self._console.print(escape(text), soft_wrap=False)

    def quote(self, lines: Iterable[str]) -> None:
        """What the server says, without what only a programmer needs."""
        self.recite(map(in_plain_words, lines))

    def recite(self, lines: Iterable[str]) -> None:
        """What the server says, word for word."""
        for line in lines:
            self._console.print(Padding(f"[dim]–[/dim] {escape(line)}", (0, 0, 0, 2)))

    # --- papers ---

    def open(self, folder: str, system: Asked) -> None:
        """Take up the papers of a story, and put down who and what is there before it begins."""
        somebody = f"telling-{self._telling}"  # who is new, so that the server says what day it is
        first = self.send(
            system, "PUT", f"/Basic/{somebody}", {"resourceType": "Basic", "id": somebody, "code": {"text": "A story"}}
        )
        self._shift = datetime.fromisoformat(first["meta"]["lastUpdated"]).astimezone(LONDON).date() - TODAY
        self._papers = dict(self._read(folder))
        there = {key: one for key, one in self._papers.items() if one["resourceType"] in _THERE}
        for key, one in there.items():
            own = f"-{self._telling}" if one["resourceType"] in _OWN else ""
            self.real[key] = f"{key}{own}"
        entries = []
        for key in there:
            resource = {**self.paper(key), "id": self.real[key].partition("/")[2]}
            entries.append({"resource": resource, "request": {"method": "PUT", "url": self.real[key]}})
        self.send(system, "POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})

    def _read(self, folder: str) -> Iterable[tuple[str, Resource]]:
        for path in sorted((data_path("examples") / folder).glob("*.json")):
            text = _NUMBER.sub(rf'"\1-{self._telling}"', path.read_text())
            text = _DAY.sub(lambda found: self._moved(found[0]), text)
            resource: Resource = loads(text.encode(), depth_max=_DEPTH_MAX)
            original: Resource = json.loads(path.read_text())
            yield f"{original['resourceType']}/{original['id']}", resource

    def _moved(self, day: str) -> str:
        try:
            return (date.fromisoformat(day) + self._shift).isoformat()
        except ValueError:
            return day

    def day(self, day: str) -> str:
        """A day of the papers, where it is now."""
        return self._moved(day)

    @property
    def today(self) -> str:
        return (TODAY + self._shift).isoformat()

    def paper(self, key: str) -> Resource:
        """One of the papers as it can be written now: what it refers to that nobody has written yet is left out."""
        found = _resolved(copy.deepcopy(self._papers[key]), self.real, self._papers)
        return {name: value for name, value in found.items() if name not in ("id", "text")}

    # --- steps ---

    def make(self, who: Asked, key: str, change: Change | None = None) -> Resource:
        """Somebody writes one of the papers, with a change, if any."""
        resource = self.paper(key)
        made = self.send(who, "POST", f"/{key.partition('/')[0]}", change(resource) if change else resource)
        self.real[key] = f"{made['resourceType']}/{made['id']}"
        return made

    def make_all(self, who: Asked, *keys: str, change: Mapping[str, Change] | None = None) -> None:
        """Somebody writes several papers together, that refer to each other."""
        names = {key: f"urn:uuid:00000000-0000-4000-8000-{number:012d}" for number, key in enumerate(keys)}
        before = dict(self.real)
        self.real |= names
        entries = []
        for key in keys:
            resource = self.paper(key)
            resource = change[key](resource) if change and key in change else resource
            request = {"method": "POST", "url": key.partition("/")[0]}
            entries.append({"fullUrl": names[key], "resource": resource, "request": request})
        self.real = before
        answer = self.send(who, "POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
        for key, entry in zip(keys, answer["entry"], strict=True):
            self.real[key] = "/".join(entry["response"]["location"].split("/")[-4:-2])

    def write(self, who: Asked, name: str, resource: Resource) -> Resource:
        """Somebody writes something that is in no paper; it is known as `name` from now on."""
        made = self.send(who, "POST", f"/{resource['resourceType']}", resource)
        self.real[name] = f"{made['resourceType']}/{made['id']}"
        return made

    def change(self, who: Asked, key: str, change: Change) -> Resource:
        """Somebody changes what is there, as they read it."""
        there = self.read(who, key)
        return self.send(who, "PUT", f"/{self.real[key]}", change(there), there)

    def read(self, who: Asked, key: str) -> Resource:
        return self.send(who, "GET", f"/{self.real[key]}")

    def find(self, who: Asked, search: str) -> list[Resource]:
        return [one["resource"] for one in self.send(who, "GET", f"/{search}").get("entry", ())]

    def operate(self, who: Asked, key: str, operation: str, **inputs: Any) -> Resource:
        """Somebody asks for an operation; inputs are named by their type: `reason_String="…"`."""
        return self.send(who, "POST", f"/{self.real[key]}/{operation}", parameters(**inputs))

    def ask(self, who: Asked, key: str, operation: str, **asked: str) -> Resource:
        """Somebody asks for an operation that only tells."""
        return self.send(who, "GET", f"/{self.real[key]}/{operation}", None, None, asked)

    def refused(self, who: Asked, method: str, path: str, body: Resource | None = None, status: int = 422) -> list[str]:
        """Why a step that must not be done is refused: the server's own reasons."""
        answer = self._answer(who, method, path, body)
        if answer.status_code != status:
            raise StoryEnded(f"{method} {path} should have been refused, and was answered with {answer.status_code}.")
        self.refusals += 1
        return reasons(answer)

    def key(self, key: str) -> str:
        return self.real[key]

    @property
    def is_signed_in(self) -> bool:
        """Whether each asks as who they are; else one asks for all."""
        return self._is_signed_in

    def send(
        self,
        who: Asked,
        method: str,
        path: str,
        body: Resource | None = None,
        there: Resource | None = None,
        asked: Mapping[str, str] | None = None,
    ) -> Resource:
        """One request of somebody's, which is done; `there` is what they read before they change it."""
        headers = {"If-Match": f'W/"{there["meta"]["versionId"]}"'} if there else {}
        answer = self._answer(who, method, path, body, headers, asked)
        if answer.status_code not in (200, 201):
            said = " ".join(reasons(answer))
            raise StoryEnded(
                f"{who.name or who.role}: {method} {path or '/'} was refused ({answer.status_code}). {said}"
            )
        found: Resource = loads(answer.content, depth_max=_DEPTH_MAX)
        return found

    def _answer(
        self,
        who: Asked,
        method: str,
        path: str,
        body: Resource | None = None,
        headers: Mapping[str, str] | None = None,
        asked: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        self.steps += 1
        token = self._token_of(who)
        signed = {"Authorization": f"Bearer {token}"} if token else {}
        content = None if body is None else dumps(body)
        try:
            return self._client.request(
                method, f"{self._base}{path}", content=content, headers={**signed, **(headers or {})}, params=asked
            )
        except httpx.HTTPError as error:
            raise StoryEnded(f"The server at {self._base} did not answer: {error}") from None


def _resolved(value: Any, real: Mapping[str, str], papers: Mapping[str, Resource]) -> Any:
    """The same with the references to papers that are written; the others are left out, and what means nothing without them."""
    if isinstance(value, list):
        return [found for one in value if (found := _resolved(one, real, papers)) is not _GONE]
    if not isinstance(value, dict):
        return value
    reference = value.get("reference")
    if isinstance(reference, str):
        key, _, version = reference.partition("/_history/")
        if key in real:
            return {**value, "reference": real[key] if not version else f"{real[key]}/_history/{version}"}
        if key in papers:
            return _GONE
    made = {}
    for name, one in value.items():
        found = _resolved(one, real, papers)
        if found is _GONE:
            if name in _NEEDED or name.startswith("value"):
                return _GONE
        elif found or not isinstance(found, list):
            made[name] = found
    return made


_GONE = object()


def reasons(answer: httpx.Response) -> list[str]:
    """What an answer that refuses says, in its own words."""
    try:
        return reasons_in(answer.json())
    except (ValueError, LookupError, TypeError, AttributeError):
        return [f"It answered {answer.status_code}."]


def reasons_in(outcome: Resource) -> list[str]:
    """What an OperationOutcome says."""
    return [str(issue.get("diagnostics")) for issue in outcome["issue"]]


def in_plain_words(text: str) -> str:
    """What the server says as a person would tell it: without ids, the names of resources, and the numbers of requirements and rules."""
    text = _ID.sub("such budget", _ASIDE.sub("", text))
    sentences = (
        _NAMING.sub(lambda found: "." if found[0].startswith(":") else "", one) for one in _SENTENCE.split(text)
    )
    return " ".join(one for one in sentences if one) or text


_RESOURCE = r"(?:Account|CareTeam|Communication|Consent|Coverage|DocumentReference|Task)"
_ASIDE = re.compile(rf"\s*\([^()]*\b(?:R\d+|DP-\d|phb-[a-z]|{_RESOURCE} )[^()]*\)")
_ID = re.compile(r"\bAccount/[-.A-Za-z0-9]*[-A-Za-z0-9]")
_SENTENCE = re.compile(r"(?<=[.!?]) (?=[A-Z])")
# from the colon on, or the whole sentence, where it names what to record
_NAMING = re.compile(rf"(?:^|:)[^:]*[a-z] {_RESOURCE}\b.*$")


def parameters(**inputs: Any) -> Resource:
    """Parameters of these inputs, each named with its type; what is a list stands several times."""
    rows = [
        {"name": name.rpartition("_")[0], f"value{name.rpartition('_')[2]}": one}
        for name, content in inputs.items()
        for one in (content if isinstance(content, list) else [content])
    ]
    return {"resourceType": "Parameters", "parameter": rows}


def values(answer: Resource) -> Resource:
    """The rows of Parameters, by name; of several alike, the first. Groups are the same again."""
    found: Resource = {}
    for row in answer.get("parameter", ()):
        if "part" in row:
            found.setdefault(row["name"], values({"parameter": row["part"]}))
        else:
            found.setdefault(row["name"], next((value for name, value in row.items() if name != "name"), None))
    return found


def pounds(money: Any) -> str:
    """`£1,234.56` of a Money element."""
    return sterling(pence_of(money) or 0)


def money(text: str) -> Resource:
    return {"value": Exact(text), "currency": "GBP"}


def reference(key: str) -> Resource:
    return {"reference": key}


def coded(system: str, code: str) -> Resource:
    return {"coding": [{"system": f"{GUIDE}/CodeSystem/{system}", "code": code}]}


def url(name: str) -> str:
    return f"{GUIDE}/StructureDefinition/{name}"
