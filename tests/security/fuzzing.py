"""A fuzzer that is signed in: it asks everything that can be asked, with what really stands in the records of others, and garbage.

Every request is built from one seed, so that a finding can be had again. What is sent never has a `secret` of somebody else in it: where
one comes back, it came out of a record that the one who asked may not see. That, any 5xx, and a broken connection are findings.
"""

from __future__ import annotations

import base64
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from tests.security.elements import LABELS, PHB, secret
from tests.security.record import record
from tests.security.world import World, whole_world

# who asks; none of them may see a word of these
LOW = ("jill", "lim", "vic", "exa", "river", "priya", "harbour", "analyst", "pat", "willow")
OTHERS = ("ted", "mo", "asha")
ASKED_AGAIN_MAX = 10  # where the server says that it is busy for a moment
SHOWN_MAX = 600  # characters of a finding
LINKS_MAX = 200  # addresses out of answers, to be asked again

_WORLD = whole_world()
_SECRETS = [secret(of) for of in OTHERS]
_CONTENTS = [record(of)["Binary"]["data"] for of in OTHERS]
UNSEEN = re.compile("|".join(map(re.escape, (*_SECRETS, *_CONTENTS))))

KEYS = [f"{one['resourceType']}/{one['id']}" for one in _WORLD]
TYPES = sorted({one["resourceType"] for one in _WORLD} | {"AuditEvent", "Bundle", "Parameters", "Claim", "Nonsense"})
IDS = sorted({one["id"] for one in _WORLD})
OPERATIONS = (
    "$everything", "$meta", "$meta-add", "$meta-delete", "$validate", "$expand", "$lookup", "$validate-code", "$subsumes", "$snapshot", "$document",
    "$nonsense", "$match", "$export", "$graphql",
)  # fmt: skip
METHODS = ("GET", "GET", "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
NAMES = (
    "_id", "_lastUpdated", "_tag", "_security", "_profile", "_text", "_content", "_list", "_has", "_type", "_filter", "_query",
    "name", "family", "identifier", "patient", "subject", "account", "owner", "status", "code", "performer", "performing-organization",
    "general-practitioner", "organization", "definition", "target", "actor", "date", "period", "occurrence", "participant", "goal",
    "_sort", "_count", "_include", "_revinclude", "_summary", "_elements", "_total", "_contained", "_containedType", "_page", "_explain",
    "_since", "_at", "_format", "_pretty", "mode", "profile", "url", "start", "end", "nonsense", "$where", "data.json", "a[$ne]",
    "patient.name", "patient:Patient.name", "account.owner.name", "subject:Patient.organization.name", "_has:Account:patient:name",
    "_has:ChargeItem:subject:code", "_has:Patient:organization:_has:Account:patient:identifier", "_has:AuditEvent:entity:_id",
)  # fmt: skip
MODIFIERS = (
    "",
    "",
    "",
    "",
    ":exact",
    ":contains",
    ":missing",
    ":not",
    ":text",
    ":in",
    ":above",
    ":below",
    ":of-type",
    ":identifier",
    ":iterate",
    ":Patient",
)
PREFIXES = ("", "", "", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
GARBAGE = (
    "", " ", "'", '"', "\\", "$", "{$ne:null}", '{"$gt":""}', "*", ".*", "^t", "(a+)+$", "[", "](", "|", "||", ",", ",,", "\\,", "a|b|c",
    "\u0000", "\u202e", "😀", "é" * 300, "x" * 5000, "../../etc/passwd", "%", "%00", "%zz", "\r\nX: y", "-1", "0", "1e999", "99999999999999999999",
    "NaN", "null", "true", "2026", "2026-13-45", "2026-11-22T09:00:00Z", "9999-12-31T23:59:59.999Z", "urn:uuid:0", "#a", "Patient/", "/Patient",
    "http://127.0.0.1/fhir/Patient/ted", "javascript:alert(1)", "<script>", "{{7*7}}", "${jndi:ldap://x}", "Account?identifier=B-ted",
)  # fmt: skip
FILTERS = (
    'name eq "{}"', 'name co "{}"', "_id eq {}", "not (_id eq {})", 'patient.name eq "{}" or _id ne x', "((((_id eq {}))))", "_id eq", "and or",
    '_content co "{}"', "patient re Patient/{}", "_lastUpdated gt 2020-01-01 and identifier eq {}", "patient in ValueSet/a-valueset", '"{}"',
)  # fmt: skip
MEDIA = (
    "application/fhir+json", "application/fhir+json", "application/fhir+json", "application/json", "application/json-patch+json",
    "application/merge-patch+json", "application/x-www-form-urlencoded", "application/fhir+xml", "text/plain", "multipart/form-data", "nonsense",
)  # fmt: skip
INCLUDES = (
    "*",
    "Account:patient",
    "ChargeItem:*",
    "ChargeItem:account:Account",
    "Task:*",
    "Provenance:target",
    "Consent:actor",
    "nonsense",
    "Patient:organization",
    "AuditEvent:patient",
)


@dataclass(frozen=True)
class Finding:
    """What was asked, and what is wrong with the answer."""

    what: str
    who: str
    method: str
    path: str
    headers: dict[str, str]
    body: str
    answer: str


@dataclass
class Fuzzer:
    """Asks one thing after another; `findings` are what should not be."""

    world: World
    seed: int
    findings: list[Finding] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    links: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.words = sorted(_vocabulary(_WORLD))

    # --- one request ---

    def ask(self) -> None:
        """One request, its answer looked at."""
        dice = self.dice
        who, method, path = dice.choice(LOW), dice.choice(METHODS), self._path()
        headers, body = self._headers(), self._body(method)
        if path.endswith("_search") and dice.random() < 0.8:
            headers["Content-Type"], body = "application/x-www-form-urlencoded", self._query().encode()
            method = "POST"
        answer = self._answer(who, method, path, headers, body)
        if answer is None:
            return
        self.statuses[answer.status_code] += 1
        said = answer.text + "\n" + "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        if answer.status_code >= 500:
            self._note(f"status {answer.status_code}", who, method, path, headers, body, said)
        if found := UNSEEN.search(said):
            at = max(0, found.start() - SHOWN_MAX // 2)
            self._note(
                f"a byte of somebody else: {found[0]}", who, method, path, headers, body, said[at : at + SHOWN_MAX]
            )
        self._remember(answer)

    def _answer(
        self, who: str, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> httpx.Response | None:
        sent = {**headers, "Authorization": f"Bearer {self.world.token(who)}"}
        try:
            request = self.world.client.build_request(method, self.world.base + path, content=body, headers=sent)
        except (httpx.InvalidURL, ValueError, UnicodeError):
            return None  # no client could send it
        try:
            answer = self.world.client.send(request)
            for _ in range(ASKED_AGAIN_MAX):
                if answer.status_code != 503:
                    break
                answer = self.world.client.send(request)
        except httpx.LocalProtocolError:
            return None
        except httpx.HTTPError as error:
            self._note(f"no answer: {error!r}", who, method, path, headers, body, "")
            return None
        return answer

    def _note(
        self, what: str, who: str, method: str, path: str, headers: dict[str, str], body: bytes | None, answer: str
    ) -> None:
        sent = (body or b"").decode(errors="replace")[:SHOWN_MAX]
        self.findings.append(Finding(what, who, method, path[:SHOWN_MAX], headers, sent, answer[:SHOWN_MAX]))

    def _remember(self, answer: httpx.Response) -> None:
        """Links and pages, which somebody else may ask for."""
        urls = [*re.findall(r'"url":"([^"]+)"', answer.text)[:5], answer.headers.get("location", "")]
        base = self.world.base
        self.links += [url.removeprefix(base) for url in urls if url.startswith(f"{base}/")]
        del self.links[:-LINKS_MAX]

    # --- where to ---

    def _path(self) -> str:
        dice = self.dice
        if self.links and dice.random() < 0.1:
            link = dice.choice(self.links)
            return link if dice.random() < 0.8 else self._spoilt(link)
        path = dice.choice(self._shapes())()
        query = self._query() if dice.random() < 0.6 else ""
        return f"/{path}" + (f"?{query}" if query else "")

    def _shapes(self) -> list[Callable[[], str]]:
        key = lambda: self.dice.choice(KEYS) if self.dice.random() < 0.9 else self._odd_key()  # noqa: E731
        type_ = lambda: self.dice.choice(TYPES)  # noqa: E731
        operation = lambda: self.dice.choice(OPERATIONS)  # noqa: E731
        return [
            key,
            key,
            type_,
            type_,
            lambda: "",
            lambda: "_history",
            lambda: "_search",
            lambda: "metadata",
            lambda: f"{key()}/_history",
            lambda: f"{key()}/_history/{self.dice.choice(('1', '2', '3', '0', '-1', 'x', '99999999999'))}",
            lambda: f"{type_()}/_history",
            lambda: f"{type_()}/_search",
            lambda: f"{key()}/{operation()}",
            lambda: f"{type_()}/{operation()}",
            operation,
            lambda: f"{key()}/{type_()}",
            lambda: f"Patient/{self.dice.choice((*OTHERS, 'jill'))}/{self.dice.choice((*TYPES, '*'))}",
            lambda: f"Patient/{self.dice.choice((*OTHERS, 'jill'))}/$everything",
            lambda: "/".join(quote(self._word()[:60], safe="") for _ in range(self.dice.randint(1, 5))),
        ]

    def _odd_key(self) -> str:
        return f"{self.dice.choice(TYPES)}/{quote(self._word()[:80], safe='')}"

    def _spoilt(self, text: str) -> str:
        at = self.dice.randrange(1, len(text))
        return text[:at] + self.dice.choice("Aa0_-.=&%") + text[at + 1 :]

    # --- with what ---

    def _query(self) -> str:
        return "&".join(self._parameter() for _ in range(self.dice.randint(1, 3)))

    def _parameter(self) -> str:
        dice, name = self.dice, self.dice.choice(NAMES)
        match name:
            case "_include" | "_revinclude":
                return f"{name}{dice.choice(('', ':iterate'))}={dice.choice(INCLUDES)}"
            case "_filter":
                return f"_filter={quote(dice.choice(FILTERS).format(self._word()))}"
            case "_sort":
                return f"_sort={dice.choice(('', '-'))}{dice.choice(NAMES)}"
            case "_count":
                return f"_count={dice.choice(('0', '1', '2', '50', '1000', '-1', 'x'))}"
            case "_summary":
                return f"_summary={dice.choice(('true', 'text', 'data', 'count', 'false', 'x'))}"
            case "_total":
                return f"_total={dice.choice(('none', 'estimate', 'accurate', 'x'))}"
            case "_type":
                return f"_type={','.join(dice.choices(TYPES, k=dice.randint(1, 4)))}"
            case "_elements":
                return f"_elements={','.join(dice.choices(NAMES, k=3))}"
            case "_page" if self.links:
                return f"_page={dice.choice(self.links).partition('_page=')[2] or self._word()}"
        value = ",".join(dice.choice(PREFIXES) + self._word() for _ in range(dice.choice((1, 1, 1, 2))))
        return f"{quote(name, safe=':_-.$')}{dice.choice(MODIFIERS)}={quote(value, safe='|/,')}"

    def _word(self) -> str:
        dice = self.dice
        return dice.choice(
            (
                lambda: dice.choice(self.words),
                lambda: dice.choice(IDS),
                lambda: dice.choice(KEYS),
                lambda: dice.choice(GARBAGE),
            )
        )()

    def _headers(self) -> dict[str, str]:
        dice, said = self.dice, {"Content-Type": self.dice.choice(MEDIA)}
        for name, values in (
            ("If-Match", ('W/"1"', 'W/"2"', "*", '"1"', "x", 'W/"99999999999999999999"')),
            ("If-None-Match", ("*", 'W/"1"', "x")),
            (
                "If-None-Exist",
                ("_id=ted-task", "identifier=B-ted", "name=ted", "x", "", "_content=ted", "patient.name=ted"),
            ),
            ("If-Modified-Since", ("Sun, 22 Nov 2026 09:00:00 GMT", "x")),
            (
                "Prefer",
                (
                    "return=minimal",
                    "return=representation",
                    "return=OperationOutcome",
                    "handling=strict",
                    "handling=lenient",
                    "respond-async",
                    "x",
                ),
            ),
            (
                "Accept",
                (
                    "application/fhir+json",
                    "*/*",
                    "text/plain",
                    "application/fhir+xml",
                    "x/y",
                    "application/fhir+json; fhirVersion=3.0",
                ),
            ),
            ("Accept-Encoding", ("gzip", "identity", "br, *;q=0")),
            ("X-Purpose-Of-Use", ("TREAT", "ETREAT", "x", "é".encode("latin-1").decode("latin-1"))),
            ("X-Provenance", ('{"resourceType":"Provenance"}', "{", json.dumps(self._content("Provenance")))),
            ("X-HTTP-Method-Override", ("DELETE", "PUT")),
            ("Host", ("127.0.0.1", "elsewhere.example", "localhost")),
            ("X-Request-ID", ("a", "x" * 500)),
            ("Range", ("bytes=0-10",)),
        ):
            if dice.random() < 0.06:
                said[name] = dice.choice(values)
        return {name: value for name, value in said.items() if value.isascii() and value.isprintable()}

    # --- bodies ---

    def _body(self, method: str) -> bytes | None:
        dice = self.dice
        if method in ("GET", "HEAD", "OPTIONS", "DELETE") and dice.random() < 0.95:
            return None
        made = dice.choice(
            (
                lambda: self._content(dice.choice(TYPES)),
                lambda: self._content(dice.choice(TYPES)),
                lambda: self._mutated(self._content(dice.choice(TYPES)), 4),
                self._bundle,
                self._bundle,
                lambda: {
                    "resourceType": "Parameters",
                    "parameter": [{"name": dice.choice(NAMES), "valueString": self._word()} for _ in range(3)],
                },
                lambda: {
                    "resourceType": "Parameters",
                    "parameter": [{"name": "meta", "valueMeta": {"security": [{"system": LABELS, "code": "N"}]}}],
                },
                lambda: {
                    "resourceType": "Parameters",
                    "parameter": [{"name": "resource", "resource": self._content(dice.choice(TYPES))}],
                },
                lambda: [
                    {
                        "op": dice.choice(("add", "replace", "remove", "test", "copy", "move", "x")),
                        "path": f"/{self._word()}",
                        "value": self._word(),
                    }
                ],
                lambda: {dice.choice(NAMES): self._word()},
                self._word,
                lambda: None,
            )
        )()
        if dice.random() < 0.03:
            return bytes(dice.randrange(256) for _ in range(dice.randint(0, 200)))
        if dice.random() < 0.02:
            return b"[" * 5000
        sent = json.dumps(made, ensure_ascii=dice.random() < 0.5).encode(errors="replace")
        return sent[: dice.randrange(len(sent))] if dice.random() < 0.03 else sent

    def _content(self, type_: str) -> dict[str, Any]:
        """A resource of this type as it stands in a record, without what is secret in it, perhaps of another patient."""
        those = [one for one in _WORLD if one["resourceType"] == type_]
        text = json.dumps(self.dice.choice(those) if those else {"resourceType": type_})
        for of, word in zip(OTHERS, _SECRETS, strict=True):
            text = text.replace(word, "word").replace(record(of)["Binary"]["data"], base64.b64encode(b"word").decode())
        if self.dice.random() < 0.5:
            text = text.replace("Patient/ted", "Patient/jill")
        made: dict[str, Any] = json.loads(text)
        if self.dice.random() < 0.4:
            made.pop("id", None)
        return self._mutated(made, 1) if self.dice.random() < 0.5 else made

    def _mutated(self, value: Any, times: int) -> Any:
        """The same with something in it replaced, taken away, doubled or of another kind."""
        for _ in range(times):
            places = list(_places(value))
            if not places:
                return value
            holder, at = self.dice.choice(places)
            kind = self.dice.randrange(6)
            if kind == 0:
                del holder[at]
            elif kind == 1:
                holder[at] = [holder[at], holder[at]]
            elif kind == 2:
                holder[at] = {"reference": self.dice.choice(KEYS)}
            elif kind == 3:
                holder[at] = self.dice.choice((None, True, 0, -1.5, 10**30, [], {}, {"$ne": 1}, [[]]))
            else:
                holder[at] = self._word()
        return value

    def _bundle(self) -> dict[str, Any]:
        kind = self.dice.choice(("batch", "batch", "transaction", "collection", "x"))
        entries = [self._entry() for _ in range(self.dice.randint(1, 5))]
        made = {"resourceType": "Bundle", "type": kind, "entry": entries}
        return self._mutated(made, 1) if self.dice.random() < 0.1 else made

    def _entry(self) -> dict[str, Any]:
        dice = self.dice
        method = dice.choice(METHODS[:-1])
        made: dict[str, Any] = {"request": {"method": method, "url": self._path().lstrip("/")}}
        if method in ("POST", "PUT", "PATCH"):
            type_ = dice.choice(TYPES)
            made["resource"] = self._content(type_)
            if method == "POST" and dice.random() < 0.9:
                made["request"]["url"] = type_
        if dice.random() < 0.3:
            made["fullUrl"] = dice.choice((f"urn:uuid:{dice.randrange(3)}", f"{self.world.base}/{dice.choice(KEYS)}"))
        for name in ("ifMatch", "ifNoneExist", "ifNoneMatch", "ifModifiedSince"):
            if dice.random() < 0.1:
                made["request"][name] = dice.choice(('W/"1"', "_id=ted-task", "*", "2026-11-22T09:00:00Z", "x"))
        return made


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON value that something could be put into."""
    found: list[tuple[Any, Any]] = []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for at, below in inner:
        found.append((value, at))
        found += _places(below)
    return found


def _vocabulary(resources: list[dict[str, Any]]) -> set[str]:
    """Every text in the data, in words, but for what is secret."""
    found: set[str] = {f"{PHB}/ChargeItemDefinition/massage"}
    for resource in resources:
        for holder, at in _places(resource):
            if isinstance(holder[at], str):
                found.update(word for word in [holder[at], *holder[at].split()] if not UNSEEN.search(word))
    return found
