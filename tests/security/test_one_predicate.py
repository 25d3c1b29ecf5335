"""Whatever way is tried: what somebody may not see is as if it had never been.

Each probe is tried three times: on a resource that its actor may not see, on one that never was, and on one of their own. The first
two answers are the same to the byte, but for the id that was asked for; the third is another, or the probe would tell of nothing.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from tests.builders import bundle, entry
from tests.security.elements import BUDGETS, PHB, consent, ref, secret
from tests.security.record import record
from tests.security.world import ACTORS, World, item, whole_world

THINGS = {f"{one['resourceType']}/{one['id']}": one for one in whole_world()}
NEVER = "never-was"
MERGE = {"content_type": "application/merge-patch+json"}


class Case(NamedTuple):
    """An actor, something they may not see, and something of the same type that they may."""

    who: str
    hidden: str
    own: str


CASES = {
    "person": Case("jill", "Account/ted-account", "Account/jill-account"),
    "person and a purchase": Case("jill", "ChargeItem/mo-chargeitem", "ChargeItem/jill-chargeitem"),
    "person and a patient": Case("jill", "Patient/asha", "Patient/jill"),
    "person and a task": Case("jill", "Task/ted-task", "Task/jill-task"),
    "person and what was deleted": Case("jill", "Observation/ted-deleted", "Observation/jill-deleted"),
    "delegate beyond the consent": Case("lim", "Account/jill-second", "Account/jill-account"),
    "delegate beyond the time": Case("exa", "Consent/c-ruth", "Consent/c-exa"),
    "co-ordinator and a restricted record": Case("priya", "Condition/jill-restricted", "Condition/jill-condition"),
    "commissioner": Case("north", "Account/ted-account", "Account/mo-account"),
    "commissioner and a payment": Case(
        "north", "PaymentReconciliation/ted-paymentreconciliation", "PaymentReconciliation/mo-paymentreconciliation"
    ),
    "provider": Case("river", "ChargeItem/ted-respite", "ChargeItem/jill-chargeitem"),
    "practice": Case("oak", "CarePlan/ted-careplan", "CarePlan/asha-careplan"),
    "practice and a document's content": Case("oak", "Binary/ted-binary", "Binary/asha-binary"),
}


class Ask(NamedTuple):
    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = MappingProxyType({})


class Target(NamedTuple):
    """What a probe is about: the resource of this key, where `own` is one's own of the same type."""

    key: str
    own: str

    @property
    def type(self) -> str:
        return self.key.partition("/")[0]

    @property
    def id(self) -> str:
        return self.key.partition("/")[2]

    @property
    def body(self) -> dict[str, Any]:
        """What would be a right content under the key: that of one's own resource."""
        return {**THINGS.get(self.own, {"resourceType": self.type}), "id": self.id, "language": "cy"}

    @property
    def new(self) -> dict[str, Any]:
        """The same without an id."""
        return {name: value for name, value in self.body.items() if name != "id"}


META = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "seen"}]}}]}
PATCHED = {"language": "cy"}
BINARY_PATCH = {
    "resourceType": "Binary",
    "contentType": "application/json-patch+json",
    "data": base64.b64encode(json.dumps([{"op": "add", "path": "/language", "value": "cy"}]).encode()).decode(),
}
TASK = {"resourceType": "Task", "status": "requested", "intent": "order"}


def never(key: str, own: str) -> Target:
    """A resource of the same type that never was."""
    return Target(f"{Target(key, own).type}/{NEVER}", own)


PROBES: dict[str, Callable[[Target], Ask]] = {
    "read": lambda at: Ask("GET", f"/{at.key}"),
    "read of a part": lambda at: Ask("GET", f"/{at.key}?_elements=id"),
    "read, to be looked at": lambda at: Ask("GET", f"/{at.key}?_pretty=true"),
    "head": lambda at: Ask("HEAD", f"/{at.key}"),
    "read if changed": lambda at: Ask("GET", f"/{at.key}", None, {"if_none_match": 'W/"1"'}),
    "read if newer": lambda at: Ask("GET", f"/{at.key}", None, {"if_modified_since": "Sun, 22 Nov 2099 09:00:00 GMT"}),
    "vread": lambda at: Ask("GET", f"/{at.key}/_history/1"),
    "vread by head": lambda at: Ask("HEAD", f"/{at.key}/_history/1"),
    "history": lambda at: Ask("GET", f"/{at.key}/_history"),
    "history by head": lambda at: Ask("HEAD", f"/{at.key}/_history"),
    "history counted": lambda at: Ask("GET", f"/{at.key}/_history?_summary=count"),
    "history since": lambda at: Ask("GET", f"/{at.key}/_history?_since=2000"),
    "search by id": lambda at: Ask("GET", f"/{at.type}?_id={at.id}"),
    "search by form": lambda at: Ask(
        "POST", f"/{at.type}/_search", f"_id={at.id}", {"content_type": "application/x-www-form-urlencoded"}
    ),
    "search by id, with a total": lambda at: Ask("GET", f"/{at.type}?_id={at.id}&_total=accurate"),
    "search by id, counted": lambda at: Ask("GET", f"/{at.type}?_id={at.id}&_summary=count"),
    "search by id, sorted": lambda at: Ask("GET", f"/{at.type}?_id={at.id}&_sort=-_lastUpdated"),
    "search of all types by id": lambda at: Ask("GET", f"/?_id={at.id}&_total=accurate"),
    "search of named types by id": lambda at: Ask("GET", f"/?_type={at.type},Organization&_id={at.id}"),
    "filter": lambda at: Ask("GET", f"/{at.type}?_filter=" + quote(f"_id eq {at.id}")),
    "negated filter": lambda at: Ask("GET", f"/{at.type}?_filter=" + quote(f"not (_id ne {at.id})")),
    "meta": lambda at: Ask("GET", f"/{at.key}/$meta"),
    "validate by get": lambda at: Ask("GET", f"/{at.key}/$validate"),
    "validate for an update": lambda at: Ask("POST", f"/{at.key}/$validate?mode=update", at.body),
    "validate for a deletion": lambda at: Ask("GET", f"/{at.key}/$validate?mode=delete"),
    "validate if it were met": lambda at: Ask(
        "POST",
        f"/{at.type}/$validate?mode=create",
        at.new,
        {"if_none_exist": f"_id={at.id}"},
    ),
    "update": lambda at: Ask("PUT", f"/{at.key}", at.body),
    "update of what was read": lambda at: Ask("PUT", f"/{at.key}", at.body, {"if_match": 'W/"1"'}),
    "update of a wrong version": lambda at: Ask("PUT", f"/{at.key}", at.body, {"if_match": 'W/"99"'}),
    "update if it is not there": lambda at: Ask("PUT", f"/{at.key}", at.body, {"if_none_match": "*"}),
    "patch": lambda at: Ask("PATCH", f"/{at.key}", PATCHED, MERGE),
    "patch of what was read": lambda at: Ask("PATCH", f"/{at.key}", PATCHED, {**MERGE, "if_match": 'W/"1"'}),
    "patch of what has this": lambda at: Ask(
        "PATCH",
        f"/{at.key}",
        [{"op": "test", "path": "/id", "value": "x"}],
        {"content_type": "application/json-patch+json"},
    ),
    "delete": lambda at: Ask("DELETE", f"/{at.key}"),
    "delete of a wrong version": lambda at: Ask("DELETE", f"/{at.key}", None, {"if_match": 'W/"99"'}),
    "conditional update": lambda at: Ask("PUT", f"/{at.type}?_id={at.id}", at.new),
    "conditional update with the id": lambda at: Ask("PUT", f"/{at.type}?identifier=nowhere|nothing", at.body),
    "conditional patch": lambda at: Ask("PATCH", f"/{at.type}?_id={at.id}", PATCHED, MERGE),
    "conditional delete": lambda at: Ask("DELETE", f"/{at.type}?_id={at.id}"),
    "conditional create": lambda at: Ask(
        "POST",
        f"/{at.type}",
        at.new,
        {"if_none_exist": f"_id={at.id}"},
    ),
    "meta added": lambda at: Ask("POST", f"/{at.key}/$meta-add", META),
    "meta taken away": lambda at: Ask("POST", f"/{at.key}/$meta-delete", META),
    "read in a batch": lambda at: Ask(
        "POST", "/", bundle("batch", entry("GET", at.key), entry("GET", f"{at.key}/_history"), entry("HEAD", at.key))
    ),
    "read in a transaction": lambda at: Ask("POST", "/", bundle("transaction", entry("GET", at.key))),
    "search in a batch": lambda at: Ask(
        "POST", "/", bundle("batch", entry("GET", f"{at.type}?_id={at.id}&_total=accurate"))
    ),
    "search in a transaction": lambda at: Ask(
        "POST", "/", bundle("transaction", entry("GET", f"{at.type}?_id={at.id}&_total=accurate"))
    ),
    "update in a batch": lambda at: Ask("POST", "/", bundle("batch", entry("PUT", at.key, at.body))),
    "update in a transaction": lambda at: Ask("POST", "/", bundle("transaction", entry("PUT", at.key, at.body))),
    "update in a transaction if it stands": lambda at: Ask(
        "POST", "/", bundle("transaction", entry("PUT", at.key, at.body, ifMatch='W/"1"'))
    ),
    "patch in a transaction": lambda at: Ask("POST", "/", bundle("transaction", entry("PATCH", at.key, BINARY_PATCH))),
    "delete in a transaction": lambda at: Ask("POST", "/", bundle("transaction", entry("DELETE", at.key))),
    "conditional delete in a transaction": lambda at: Ask(
        "POST", "/", bundle("transaction", entry("DELETE", f"{at.type}?_id={at.id}"))
    ),
    "conditional create in a transaction": lambda at: Ask(
        "POST",
        "/",
        bundle(
            "transaction",
            entry(
                "POST",
                at.type,
                at.new,
                ifNoneExist=f"_id={at.id}",
            ),
        ),
    ),
    "history of the type": lambda at: Ask("GET", f"/{at.type}?_has:Provenance:target:_id={at.id}"),
    "reference in a task": lambda at: Ask("POST", "/Task", {**TASK, "focus": ref(at.key)}),
    "reference to a version": lambda at: Ask("POST", "/Task", {**TASK, "focus": ref(f"{at.key}/_history/1")}),
    "reference in an extension": lambda at: Ask(
        "POST", "/Task", {**TASK, "extension": [{"url": "http://e.example", "valueReference": ref(at.key)}]}
    ),
    "reference in what is contained": lambda at: Ask(
        "POST",
        "/Task",
        {
            **TASK,
            "contained": [{"resourceType": "Basic", "id": "b", "code": {"text": "c"}, "subject": ref(at.key)}],
            "focus": ref("#b"),
        },
    ),
    "reference in a transaction": lambda at: Ask(
        "POST", "/", bundle("transaction", entry("POST", "Task", {**TASK, "focus": ref(at.key)}))
    ),
    "conditional reference in a transaction": lambda at: Ask(
        "POST", "/", bundle("transaction", entry("POST", "Task", {**TASK, "focus": ref(f"{at.type}?_id={at.id}")}))
    ),
    "reference in a Provenance that comes with a write": lambda at: Ask(
        "POST",
        "/Task",
        TASK,
        {
            "x_provenance": json.dumps(
                {
                    "resourceType": "Provenance",
                    "recorded": "2026-11-22T09:00:00Z",
                    "agent": [{"who": {"display": "x"}}],
                    "entity": [{"role": "source", "what": ref(at.key)}],
                }
            )
        },
    ),
    "reference, looked at beforehand": lambda at: Ask("POST", "/Task/$validate", {**TASK, "focus": ref(at.key)}),
}

# by what is its own: who has something to do with it
LINKED: dict[str, Callable[[Target], Ask]] = {
    "chained": lambda at: Ask("GET", f"/Task?focus:{at.type}._id={at.id}"),
    "reversely chained": lambda at: Ask(
        "GET", f"/Organization?_has:{at.type}:{BY_ORGANISATION[at.type]}:_id={at.id}&_total=accurate"
    ),
    "reversely chained twice": lambda at: Ask(
        "GET",
        f"/Organization?_has:{at.type}:{BY_ORGANISATION[at.type]}:_has:Provenance:target:_id=x&_has:{at.type}:{BY_ORGANISATION[at.type]}:_id={at.id}",
    ),
    "in a filter": lambda at: Ask(
        "GET", "/Organization?_filter=" + quote(f"_has:{at.type}:{BY_ORGANISATION[at.type]}:_id eq {at.id}")
    ),
    "below in a hierarchy": lambda at: Ask("GET", f"/Task?focus:below={at.key}&_total=accurate"),
    "above in a hierarchy": lambda at: Ask("GET", f"/Task?focus:above={at.key}&_total=accurate"),
}
BY_ORGANISATION = {
    "Account": "owner",
    "ChargeItem": "performing-organization",
    "Patient": "organization",
    "Task": "owner",
}


def answer_to(world: World, who: str, probe: Callable[[Target], Ask], at: Target) -> tuple[int, str, dict[str, str]]:
    """The answer to the byte, but for the id that was asked for; whatever it did is undone."""
    ask = probe(at)
    world.hold_the_clock()
    answer = world.ask(who, ask.method, ask.path, ask.body, **ask.headers)
    if ask.method not in ("GET", "HEAD") and answer.status_code < 300:
        world.restore()
    left_out = ("date", "x-request-id", "content-length", "ratelimit", "ratelimit-policy")
    headers = {name: value.replace(at.id, "[id]") for name, value in answer.headers.items() if name not in left_out}
    text = re.sub(r"_page=[\w.-]+", "_page=[token]", answer.text)
    return answer.status_code, text.replace(at.id, "[id]"), headers


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("case", CASES)
def test_what_may_not_be_seen_answers_as_what_never_was(world, case, probe):
    who, hidden, own = CASES[case]
    unseen = answer_to(world, who, PROBES[probe], Target(hidden, own))
    assert unseen == answer_to(world, who, PROBES[probe], never(hidden, own))
    assert unseen[0] < 500
    assert "zqtedzq" not in unseen[1]


@pytest.mark.parametrize("probe", PROBES)
def test_each_probe_tells_what_is_ones_own_from_what_never_was(world, probe):
    """The good twins: at least one of the actors gets another answer for their own."""
    told = []
    for who, hidden, own in CASES.values():
        mine = answer_to(world, who, PROBES[probe], Target(own, own))
        told.append(mine != answer_to(world, who, PROBES[probe], never(hidden, own)))
    assert any(told) or probe in BLIND
    assert all(told) or probe not in ALWAYS_TELL


# by which everybody tells their own; by the others only who may write it, or what is not deleted
ALWAYS_TELL = [
    name
    for name in PROBES
    if name.startswith(("read", "head", "vread", "history", "meta"))
    and name not in ("history of the type", "read if newer", "meta added", "meta taken away")
]
# nobody of these deletes, and what is looked at beforehand is looked at by itself
BLIND = {
    "delete", "delete of a wrong version", "conditional delete", "delete in a transaction", "conditional delete in a transaction",
    "history of the type", "validate for an update", "reference, looked at beforehand",
}  # fmt: skip


@pytest.mark.parametrize("probe", LINKED)
@pytest.mark.parametrize(
    "case", ["person", "person and a purchase", "person and a patient", "person and a task", "commissioner", "provider"]
)
def test_what_may_not_be_seen_is_found_by_no_link(world, case, probe):
    who, hidden, own = CASES[case]
    unseen = answer_to(world, who, LINKED[probe], Target(hidden, own))
    assert unseen == answer_to(world, who, LINKED[probe], never(hidden, own))


def test_nobody_sees_past_what_they_may_not_see_in_a_hierarchy(world):
    """High, Ted's middle, low: who may not see the middle is not told that it joins the two."""
    world.restore()
    jills, teds = {**TASK, "for": ref("Patient/jill")}, {**TASK, "for": ref("Patient/ted")}
    world.write(
        {**jills, "id": "high"},
        {**jills, "id": "beside", "partOf": [ref("Task/high")]},
        {**teds, "id": "middle", "partOf": [ref("Task/high")]},
        {**jills, "id": "low", "partOf": [ref("Task/middle")]},
        {**jills, "id": "about-middle", "focus": ref("Task/middle")},
        {**jills, "id": "about-low", "focus": ref("Task/low")},
    )

    def found(who: str, query: str) -> set[str]:
        answer = world.get(who, f"/Task?{query}&_total=accurate")
        assert answer.status_code == 200
        ids = {one["resource"]["id"] for one in answer.json().get("entry", ())}
        assert answer.json()["total"] == len(ids)
        return ids

    below, above, about = "part-of:below=high", "part-of:above=low", "focus:below=Task/high"
    assert [found("system", query) for query in (below, above, about)] == [
        {"beside", "middle", "low"},
        {"beside", "middle", "low"},
        {"about-middle", "about-low"},
    ]
    assert [found("jill", query) for query in (below, above, about)] == [{"beside"}, {"low"}, set()]
    assert [found("ted", query) for query in (below, above, about)] == [{"middle"}, set(), set()]
    world.restore()


def test_what_is_ones_own_is_found_by_links(world):
    for path in (
        "/Organization?_has:Account:owner:_id=jill-account",
        "/Organization?_has:Patient:organization:name=jill",
        "/ChargeItem?account._id=jill-account",
        "/ChargeItem?subject:Patient.name=jill",
        "/Task?patient.general-practitioner=Organization/oak",
    ):
        assert world.get("jill", path).json()["total"] > 0, path


# ---- by what it holds ----------------------------------------------------------------------------------------------

BY_VALUE = {  # what of Ted's is asked for, and what of Jill's would be
    "a name": ("/Patient?name={}", "ted", "jill"),
    "a part of a name": ("/Patient?name:contains={}", "ted fam", "jill fam"),
    "a number": ("/Patient?identifier={}", "9000000033", "9000000009"),
    "a city in a filter": ('/Patient?_filter=address-city co "{}"', "ted city", "jill city"),
    "an account's number": ("/Account?identifier={}", "B-ted", "B-jill"),
    "an account's name": ("/Account?name:contains={}", "ted", "jill"),
    "an owner": ("/Account?owner=Organization/{}", "south", "north"),
    "a chain": ("/ChargeItem?subject:Patient.name={}", "ted", "jill"),
    "a chain from a practice": ("/Account?patient.general-practitioner.name={}", "elm", "oak"),
    "a chain over two": ("/ChargeItem?account.owner.name={}", "south", "north"),
    "what refers to an organisation": ("/Organization?_has:Patient:organization:name={}", "ted", "jill"),
    "what refers to what refers": (
        "/Organization?_has:Patient:organization:_has:Account:patient:identifier={}",
        "B-ted",
        "B-jill",
    ),
    "a purchase of an item": ("/ChargeItem?definition.title={}", "respite", "massage"),
    "an item that was bought": ("/ChargeItemDefinition?_has:ChargeItem:definition:patient=Patient/{}", "ted", "jill"),
    "an item bought from a budget": (
        "/ChargeItemDefinition?_has:ChargeItem:definition:account.identifier={}",
        "B-ted",
        "B-jill",
    ),
    "a practitioner's patients": ("/Organization?_has:Patient:general-practitioner:name={}", "ted", "jill"),
    "content": ("/Patient?_content={}", "zqtedzq", "zqjillzq"),
    "content of purchases": ("/ChargeItem?_content={}", "zqtedzq", "zqjillzq"),
    "all types by content": ("/?_type=Patient,Account,Task,ChargeItem&_content={}", "zqtedzq", "zqjillzq"),
    "all types by patient": ("/?_type=Account,Task,Condition&patient=Patient/{}", "ted", "jill"),
    "a compartment": ("/Patient/{}/*?_lastUpdated=lt2026-11-22T12:00:00Z", "ted", "jill"),  # before anybody asked
    "a compartment's accounts": ("/Patient/{}/Account", "ted", "jill"),
    "everything": ("/Patient/{}/$everything", "ted", "jill"),
    "everything of a budget": ("/Account/{}/$everything", "ted-account", "jill-account"),
    "a list": ("/Patient?_list={}", "ted-list", "jill-list"),
    "a list in all types": ("/?_list={}", "ted-list", "jill-list"),
    "a tag": ("/Condition?_security={}", "V", "R"),
}


def _without(value: str, text: str) -> str:
    """The text without the word that was asked for."""
    words = "|".join(re.escape(word) for word in (quote(value), value))
    return re.sub(rf"(?<![A-Za-z])(?:{words})(?![A-Za-z])", "[value]", text)


@pytest.mark.parametrize("name", BY_VALUE)
def test_what_may_not_be_seen_is_found_by_nothing_that_it_holds(world, name):
    path, hidden, own = BY_VALUE[name]
    for more in ("", "_total=accurate", "_summary=count", "_total=estimate&_count=1"):
        asked = path + (f"{'&' if '?' in path else '?'}{more}" if more and "$" not in path else "")
        answers = {}
        for value in (hidden, NEVER, own):
            world.hold_the_clock()
            answer = world.get("jill", asked.format(value))
            answers[value] = answer.status_code, _without(value, answer.text)
        assert answers[hidden] == answers[NEVER]
        assert answers[own][0] == 200
        if not name.startswith("a list"):  # which is empty
            assert answers[own] != answers[NEVER], asked


INCLUDES = {
    "what it refers to": "/ChargeItem?_include=ChargeItem:*",
    "what it refers to, further": "/ChargeItem?_include=ChargeItem:subject&_include:iterate=Patient:organization&_include:iterate=Account:*",
    "what refers to organisations": "/Organization?_revinclude=*",
    "whose commissioner it is": "/Organization?_revinclude=Account:owner&_revinclude:iterate=ChargeItem:account&_revinclude:iterate=*",
    "whose practice it is": "/Organization?_revinclude=Patient:general-practitioner&_revinclude:iterate=*",
    "what was bought of it": "/ChargeItemDefinition?_revinclude=ChargeItem:definition&_include:iterate=*",
    "who works where": "/Practitioner?_revinclude=CareTeam:participant&_include:iterate=CareTeam:*",
    "all by anything": "/?_type=Organization,Practitioner,Location&_revinclude=*&_include:iterate=*",
    "of everybody": "/Organization?_include=*&_revinclude=Patient:organization",
}
OTHERS = ("zqtedzq", "zqmozq", "zqashazq")


@pytest.mark.parametrize("name", INCLUDES)
def test_nothing_comes_along_that_may_not_be_seen(world, name):
    mine, theirs = 0, re.compile("|".join(OTHERS))
    for method, path, body in (
        ("GET", INCLUDES[name], None),
        ("POST", "/", bundle("batch", entry("GET", INCLUDES[name][1:]))),
    ):
        answer = world.ask("jill", method, path, body)
        assert answer.status_code == 200, answer.text
        assert not theirs.search(answer.text)
        mine += "zqjillzq" in answer.text
    assert mine or name == "who works where"
    all_of_it = world.get("system", INCLUDES[name] + "&_count=100").text
    assert theirs.search(all_of_it) or name == "who works where"


PLACES = {
    "the whole history": "/_history?_count=1000",
    "the history of tasks": "/Task/_history?_count=1000",
    "the history of accounts": "/Account/_history?_count=1000",
    "the history since": "/_history?_since=2026-11-22T09:00:00Z&_count=1000",
    "the history at": "/_history?_at=2026-11-22T09:00:20Z&_count=1000",
    "all types": "/?_count=1000",
    "all types, sorted": "/?_count=1000&_sort=-_lastUpdated",
    "all types but": "/?_count=1000&_id:not=x",
    "her compartment": "/Patient/jill/*?_count=1000",
    "everything": "/Patient/jill/$everything?_count=1000",
    "everything of her budget": "/Account/jill-account/$everything?_count=1000",
}


@pytest.mark.parametrize("name", PLACES)
def test_whoever_asks_for_all_gets_their_own(world, name):
    answer = world.get("jill", PLACES[name])
    assert answer.status_code == 200
    assert not re.search("|".join(OTHERS), answer.text)
    assert "zqjillzq" in answer.text
    found = answer.json()
    shown = [one for one in found["entry"] if one.get("search", {}).get("mode", "match") == "match"]
    assert min(found.get("total", len(shown)), 1000) == len(shown)


def test_a_history_shows_the_versions_that_were_ones_own(world):
    def versions(who: str, key: str) -> list[str]:
        answer = world.get(who, f"/{key}/_history")
        return (
            [one["resource"]["meta"]["versionId"] for one in answer.json()["entry"]]
            if answer.status_code == 200
            else []
        )

    assert versions("jill", "Task/moved-away") == ["1"]
    assert versions("ted", "Task/moved-away") == ["2"]
    assert versions("jill", "Task/moved-in") == ["2"]
    assert versions("mo", "Task/moved-in") == []
    assert versions("priya", "Task/moved-away") == ["1"]
    assert versions("oak", "Task/moved-away") == ["1"]
    assert versions("elm", "Task/moved-away") == ["2"]
    assert versions("oak", "Task/moved-in") == ["2"]
    for who in (
        "jill",
        "priya",
        "harbour",
        "oak",
        "north",
        "ruth",
    ):  # in a history of many, the versions of one stand side by side
        for path in (
            "/_history?_count=1000",
            "/Task/_history?_count=100",
            "/Task/moved-away/_history",
            "/Task/moved-in/_history",
        ):
            assert "zqtedzq" not in world.get(who, path).text, (who, path)
            assert "zqjillzq" not in world.get("elm", path).text, path
    for who, key, number, status in (
        ("jill", "Task/moved-away", 1, 200),
        ("jill", "Task/moved-away", 2, 404),
        ("ted", "Task/moved-away", 1, 404),
        ("ted", "Task/moved-away", 2, 200),
    ):
        assert world.get(who, f"/{key}/_history/{number}").status_code == status
    assert world.get("jill", "/Task/moved-away").status_code == 404
    history = world.get("jill", "/Task/_history?_count=100").json()
    moved = [one["resource"]["meta"]["versionId"] for one in history["entry"] if one["fullUrl"].endswith("/moved-away")]
    assert moved == ["1"]
    assert history["total"] == len(history["entry"])
    counted = world.get("jill", "/Task/_history?_summary=count").json()
    assert counted["total"] == history["total"]


def test_a_deletion_is_seen_by_those_who_saw_what_was_deleted(world):
    assert world.get("jill", "/Observation/jill-deleted").status_code == 410
    assert world.get("jill", "/Observation/ted-deleted").status_code == 404
    assert world.get("jill", "/Observation/jill-deleted/_history").json()["total"] == 2
    urls = [one["fullUrl"] for one in world.get("jill", "/Observation/_history?_count=100").json()["entry"]]
    assert sum(url.endswith("/jill-deleted") for url in urls) == 2
    assert not any("/ted" in url for url in urls)


# ---- pages ---------------------------------------------------------------------------------------------------------


def next_of(answer) -> str:
    return next((link["url"] for link in answer.json()["link"] if link["relation"] == "next"), "")


@pytest.mark.parametrize(
    "path",
    [
        "/Account?_count=1",
        "/Account?_count=1&_sort=-name",
        "/Patient?_count=1&_sort=family",
        "/Account/_history?_count=1",
        "/_history?_count=1",
    ],
)
def test_a_page_of_somebody_else_shows_nobody_elses(world, path):
    world.hold_the_clock()
    theirs = next_of(world.get("system", path))
    assert theirs
    mine = world.get("jill", theirs)
    assert mine.status_code in (200, 400)
    assert not re.search("|".join(OTHERS), mine.text)
    for _ in range(10):  # to the last page
        if mine.status_code != 200 or not next_of(mine):
            break
        mine = world.get("jill", next_of(mine))
        assert not re.search("|".join(OTHERS), mine.text)


def test_pages_are_full_whatever_lies_between(world):
    """The page says by nothing, not by its length either, that there are others in between."""
    first = world.get("jill", "/Account?_count=1&_sort=_id")
    second = world.get("jill", next_of(first))
    ids = [one["resource"]["id"] for answer in (first, second) for one in answer.json()["entry"]]
    assert ids == ["jill-account", "jill-second"]
    assert not next_of(second)
    assert first.json()["total"] == second.json()["total"] == 2


def test_how_a_search_is_answered_is_told_to_nobody_who_does_not_see_all(world):
    for who, path in (
        ("jill", "/Account?_explain=true"),
        ("jill", "/?_explain=true"),
        ("north", "/Patient?name=ted&_explain=true"),
        ("river", "/ChargeItem?_explain=true"),
    ):
        answer = world.get(who, path)
        assert answer.status_code == 403
        assert "keys_examined" not in answer.text
    assert "keys_examined" in world.get("system", "/Account?_explain=true").text


# ---- what is seen in part ------------------------------------------------------------------------------------------

SHOWN = {"resourceType", "id", "meta", "status", "code", "definitionCanonical", "occurrenceDateTime", "quantity"}
PARTS = {
    "read": "/ChargeItem/ted-chargeitem",
    "vread": "/ChargeItem/ted-chargeitem/_history/1",
    "history": "/ChargeItem/ted-chargeitem/_history",
    "search": "/ChargeItem?_id=ted-chargeitem",
    "search by what is shown": "/ChargeItem?status=billable&_sort=occurrence&_count=100",
    "search with all it refers to": "/ChargeItem?_id=ted-chargeitem&_include=ChargeItem:*&_revinclude=*",
    "elements": "/ChargeItem?_id=ted-chargeitem&_elements=subject,note,account",
    "the whole": "/ChargeItem?_id=ted-chargeitem&_summary=data",
    "the text": "/ChargeItem?_id=ted-chargeitem&_summary=text",
    "meta": "/ChargeItem/ted-chargeitem/$meta",
    "the type's history": "/ChargeItem/_history?_count=100",
    "all types": "/?_type=ChargeItem&_count=100",
}


@pytest.mark.parametrize("name", PARTS)
def test_a_provider_sees_what_was_bought_and_not_by_whom(world, name):
    answer = world.get("river", PARTS[name])
    assert answer.status_code in (200, 400)
    assert "zqtedzq" not in answer.text
    assert "Patient/ted" not in answer.text
    assert "ted-account" not in answer.text
    if name in ("read", "vread"):
        assert set(answer.json()) == SHOWN
        assert answer.json()["meta"]["tag"] == [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
        ]
    if name == "search":
        assert answer.json()["total"] == 1


ASKED_OF_PARTS = [
    "subject=Patient/ted", "patient=Patient/ted", "patient.name=ted", "subject:Patient.name=ted", "account=Account/ted-account",
    "account.owner=Organization/south", "identifier=P-ted", "performing-organization=Organization/lantern", "_content=zqtedzq",
    "_text=ted", "evidence=DocumentReference/ted-documentreference", "subject:missing=false", "_has:Provenance:target:_id=x",
    "performing-organization:missing=false", "_security=R", "_tag=x", "_profile=x", "_filter=patient eq Patient/ted",
    "_filter=_id eq ted-chargeitem and patient eq Patient/ted", "patient:not=Patient/jill", "subject:not=Patient/jill",
    "account:missing=true", "enterer:missing=true", "_list=ted-list", "_in=Patient/ted", "context:missing=true",
    "account:below=Account/ted-account", "account:above=Account/ted-account", "account.part-of:below=Account/ted-account",
]  # fmt: skip


@pytest.mark.parametrize("asked", ASKED_OF_PARTS)
def test_what_is_seen_in_part_is_found_by_no_other_part(world, asked):
    answer = world.get("river", f"/ChargeItem?{asked}&_total=accurate&_count=100")
    assert answer.status_code in (200, 400)
    ids = {one["resource"]["id"] for one in answer.json().get("entry", ()) if "id" in one.get("resource", {})}
    assert not ids & {"ted-chargeitem", "mo-chargeitem", "asha-chargeitem"}


@pytest.mark.parametrize(
    "order",
    ["subject", "patient", "account", "-subject", "performing-organization", "identifier", "enterer", "context"],
)
def test_what_is_seen_in_part_is_in_no_order_of_other_parts(world, order):
    answer = world.get("river", f"/ChargeItem?_sort={order}&_count=100")
    ids = [one["resource"]["id"] for one in answer.json().get("entry", ())]
    assert not set(ids) & {"ted-chargeitem", "mo-chargeitem", "asha-chargeitem"}
    assert set(ids) <= {"jill-chargeitem", "jill-second-purchase"}


def test_what_is_seen_in_part_has_no_words_that_somebody_wrote(world):
    """A text such as "Massage for Ted Harper" would tell, and so would finding it by that."""
    world.restore()
    word = {"url": "http://another.example", "valueString": secret("ted")}
    coding = {**record("ted")["ChargeItem"]["code"]["coding"][0], "display": "Therapy"}
    told = {
        "code": {"coding": [{**coding, "extension": [word]}], "text": f"Massage for {secret('ted')}"},
        "quantity": {"value": 1, "unit": secret("ted")},
        "priceOverride": {"value": 45, "currency": "GBP", "extension": [word]},
    }
    world.write({**record("ted")["ChargeItem"], **told})
    for path in ("/ChargeItem/ted-chargeitem", "/ChargeItem/ted-chargeitem/_history", "/ChargeItem?_count=100"):
        answer = world.get("river", path)
        assert "ted-chargeitem" in answer.text
        assert secret("ted") not in answer.text
    seen = world.get("river", "/ChargeItem/ted-chargeitem").json()
    assert seen["code"] == {"coding": [{"system": coding["system"], "code": "therapy"}]}
    assert (seen["quantity"], seen["priceOverride"]) == ({"value": 1}, {"value": 45, "currency": "GBP"})
    found = {
        asked: [one["resource"]["id"] for one in world.get("river", f"/ChargeItem?{asked}").json().get("entry", ())]
        for asked in ("code:text=massage", "code:text=massage for", "code=therapy", '_filter=code sw "massage for"')
    }
    assert "ted-chargeitem" in found.pop("code=therapy")
    assert not any("ted-chargeitem" in ids for ids in found.values())
    assert "jill-chargeitem" in found["code:text=massage"]  # which river delivers
    world.restore()


def test_a_purchase_entered_in_error_leads_its_provider_to_nobody(world):
    """River was named for Ted by mistake: neither he nor his purchase is shown to it, nor what that said before it was taken back."""
    world.restore()
    mistaken = {**record("ted")["ChargeItem"], "id": "mistaken", "performingOrganization": ref("Organization/river")}
    world.write(mistaken)
    assert world.get("river", "/Patient/ted").status_code == 200
    assert secret("ted") in world.get("river", "/ChargeItem/mistaken").text
    world.write({**mistaken, "status": "entered-in-error"})
    assert world.get("river", "/Patient/ted").status_code == 404
    for path in ("", "/_history", "/_history/1", "/_history/2"):
        answer = world.get("river", f"/ChargeItem/mistaken{path}")
        assert answer.status_code == 200
        assert "Patient/ted" not in answer.text
        assert secret("ted") not in answer.text
    assert world.get("river", "/ChargeItem/mistaken").json()["status"] == "entered-in-error"
    for asked in ("subject=Patient/ted", "_id=mistaken&performing-organization=Organization/river"):
        assert "mistaken" not in [
            one["resource"]["id"] for one in world.get("river", f"/ChargeItem?{asked}").json().get("entry", ())
        ]
    for who in ("ted", "south"):
        assert secret("ted") in world.get(who, "/ChargeItem/mistaken/_history/1").text
    world.restore()


def test_a_budget_entered_in_error_leads_its_commissioner_to_nobody(world):
    """North was named as the owner of a budget of Ted's by mistake: of him it sees that budget as it stands, and nothing that it led to."""
    world.restore()
    part = {"identifier": [{"value": "mistaken"}], "partOf": ref("Account/ted-joint")}
    mistaken = {**record("ted")["Account"], "id": "mistaken", **part, "owner": ref("Organization/north")}
    joint = {**record("ted")["Account"], "id": "ted-joint", "identifier": [{"value": "joint"}]}
    world.write(joint, mistaken, {**record("ted")["Task"], "id": "about-mistaken", "focus": ref("Account/mistaken")})
    led_to = ("Patient/ted", "CarePlan/ted-careplan", "Goal/ted-goal", "Account/ted-joint", "Task/about-mistaken")
    assert [world.get("north", f"/{key}").status_code for key in led_to] == [200] * len(led_to)
    world.write({**mistaken, "status": "entered-in-error"})
    assert [world.get("north", f"/{key}").status_code for key in led_to] == [404] * len(led_to)
    assert world.get("north", "/Patient?_id=ted").json()["total"] == 0
    assert world.get("finance", "/Account/ted-joint").status_code == 404
    assert world.get("north", "/Account/mistaken").json()["status"] == "entered-in-error"
    assert world.get("south", "/Patient/ted").status_code == 200  # whose budget it is
    world.restore()


def test_what_is_seen_in_part_leads_to_nobody(world):
    for path in (
        "/Patient/ted",
        "/Patient/ted/ChargeItem",
        "/Organization?_has:ChargeItem:performing-organization:_id=ted-chargeitem",
    ):
        answer = world.get("river", path)
        assert answer.status_code == 404 or answer.json()["total"] == 0, path
    own = world.get("river", "/Organization?_has:ChargeItem:performing-organization:_id=jill-chargeitem")
    assert own.json()["total"] == 1
    assert world.get("river", "/Patient/jill").status_code == 200


def test_a_provider_cannot_claim_what_others_sell(world):
    world.restore()
    rival = {name: value for name, value in item("respite", "river").items() if name != "id"}
    world.post("river", "/ChargeItemDefinition", rival)
    world.put("river", {**item("massage", "river"), "url": f"{PHB}/ChargeItemDefinition/respite"})
    assert world.get("river", "/ChargeItem/ted-respite").status_code == 404
    assert (
        world.get("river", "/ChargeItem?definition=" + quote(f"{PHB}/ChargeItemDefinition/respite")).json()["total"]
        == 0
    )
    assert world.get("lantern", "/ChargeItem/ted-respite").status_code == 200
    world.restore()


# ---- what is written -----------------------------------------------------------------------------------------------


def written(world: World, who: str, resource: dict[str, Any]) -> int:
    key = f"{resource['resourceType']}/{resource['id']}"
    before = world.stands(key)
    answer = world.put(who, resource)
    if answer.status_code >= 300:
        assert world.stands(key) == before
    world.restore()
    return int(answer.status_code)


MOVES = {  # who, what they write, and what becomes of it
    "a person's own task": ("jill", {**record("jill")["Task"], "language": "cy"}, 200),
    "out of her record into another": ("jill", {**record("jill")["Task"], "for": ref("Patient/ted")}, 422),
    "out of her record into nobody's": (
        "jill",
        {name: v for name, v in record("jill")["Task"].items() if name != "for"},
        403,
    ),
    "another's into her record": ("jill", {**record("ted")["Task"], "for": ref("Patient/jill")}, 404),
    "a purchase onto another's budget": (
        "jill",
        {**record("jill")["ChargeItem"], "account": [ref("Account/ted-account")]},
        422,
    ),
    "her purchase out of sight": ("jill", {**record("jill")["ChargeItem"], "subject": {"display": "somebody"}}, 403),
    "a commissioner's budget": ("north", {**record("jill")["Account"], "language": "cy"}, 200),
    "a budget given away": ("north", {**record("jill")["Account"], "owner": ref("Organization/south")}, 403),
    "a budget taken": ("north", {**record("ted")["Account"], "owner": ref("Organization/north")}, 404),
    "a budget of a patient who is not theirs": (
        "north",
        {**record("jill")["Account"], "subject": [ref("Patient/ted")]},
        422,
    ),
    "a purchase moved to another budget of theirs": (
        "north",
        {**record("jill")["ChargeItem"], "account": [ref("Account/mo-account")], "subject": ref("Patient/mo")},
        200,
    ),
    "a purchase moved to a budget of others": (
        "north",
        {**record("jill")["ChargeItem"], "account": [ref("Account/ted-account")]},
        422,
    ),
    "a view-only record changed": ("vic", {**record("jill")["ChargeItem"], "language": "cy"}, 403),
    "a view-only record moved to where they may write": (
        "duo",
        {
            **record("mo")["ChargeItem"],
            **{name: record("jill")["ChargeItem"][name] for name in ("subject", "account", "supportingInformation")},
        },
        403,
    ),
    "a record moved to where they may only look": (
        "duo",
        {**record("jill")["ChargeItem"], "account": [ref("Account/mo-account")], "subject": ref("Patient/mo")},
        403,
    ),
    "a purchase from the budget of the consent": ("lim", {**record("jill")["ChargeItem"], "language": "cy"}, 200),
    "a purchase put on a budget beyond it": (
        "lim",
        {**record("jill")["ChargeItem"], "account": [ref("Account/jill-second")]},
        422,
    ),
    "a task that is not the practice's, taken": (
        "oak",
        {**record("jill")["Task"], "owner": ref("Organization/oak")},
        403,
    ),
    "a task handed to a provider by who does not own it": (
        "oak",
        {**record("jill")["Task"], "owner": ref("Organization/river")},
        403,
    ),
    "an item of the directory": ("river", {**item("massage", "river"), "title": "other"}, 200),
    "another's item taken": ("river", item("respite", "river"), 403),
    "an item given away": ("river", item("massage", "lantern"), 403),
    "a restricted record opened": ("priya", {**record("jill")["Condition"], "id": "jill-restricted"}, 404),
    "a consent to oneself": (
        "vic",
        consent("c-vic", "Patient/jill", "RelatedPerson/vic", "view", "purchase", "plan"),
        403,
    ),
    "a consent withdrawn, renewed by who it names": (
        "wes",
        consent("c-wes", "Patient/jill", "RelatedPerson/wes", "view"),
        403,
    ),
    "a consent by the person": ("jill", consent("c-vic", "Patient/jill", "RelatedPerson/vic", "view", "purchase"), 200),
    "a consent of another's": ("jill", consent("ted-consent", "Patient/ted", "RelatedPerson/vic", "view"), 404),
    "a consent made for another": ("jill", consent("c-vic", "Patient/ted", "RelatedPerson/vic", "view"), 422),
    "a deleted record of one's own, brought back": (
        "priya",
        {**record("jill")["Observation"], "id": "jill-deleted"},
        201,
    ),
    "a deleted record of another's, brought back": (
        "priya",
        {**record("jill")["Observation"], "id": "ted-deleted"},
        404,
    ),
}


@pytest.mark.parametrize("name", MOVES)
def test_nobody_moves_anything_into_or_out_of_their_reach(world, name):
    who, resource, expected = MOVES[name]
    assert written(world, who, resource) == expected


def test_the_same_in_a_transaction_leaves_nothing_behind(world):
    world.restore()
    for who, resource, expected in MOVES.values():
        key = f"{resource['resourceType']}/{resource['id']}"
        fresh = {**TASK, "for": ref("Patient/jill"), "requester": ref("Patient/jill")}
        tasks = world.database.resources.count_documents({"type": "Task"})
        sent = [entry("PUT", key, resource), *([entry("POST", "Task", fresh)] if who == "jill" else [])]
        answer = world.post(who, "/", bundle("transaction", *sent))
        assert answer.status_code == (200 if expected < 300 else expected), (who, key, answer.text)
        if expected >= 300:
            assert world.database.resources.count_documents({"type": "Task"}) == tasks
        world.restore()


@pytest.mark.parametrize("number", ["B-ted", "B-none", "B-jill"])
def test_a_conditional_reference_means_what_its_writer_sees(world, number):
    task = {**TASK, "for": ref("Patient/jill"), "focus": ref(f"Account?identifier={BUDGETS}|{number}")}
    answer = world.post("jill", "/", bundle("transaction", entry("POST", "Task", task)))
    assert answer.status_code == (200 if number == "B-jill" else 412)
    assert answer.status_code == 200 or "matches nothing" in answer.text
    world.restore()


@pytest.mark.parametrize("way", ["identifier", "reference"])
def test_what_governs_a_purchase_is_looked_for_where_its_writer_sees(world, way):
    """A budget that is named by its number alone: whether there is one of others is not told."""

    def said(number: str) -> str:
        system, value = BUDGETS, number
        named = (
            {"identifier": {"system": system, "value": value}}
            if way == "identifier"
            else ref(f"Account?identifier={system}|{value}")
        )
        bought = {
            name: v for name, v in record("jill")["ChargeItem"].items() if name not in ("id", "identifier", "account")
        }
        world.hold_the_clock()
        answer = world.post("jill", "/ChargeItem", {**bought, "account": [named]}, Prefer="return=OperationOutcome")
        world.restore()
        return f"{answer.status_code} {answer.text}".replace(number, "[number]")

    assert said("B-ted") == said("B-none")
    # criteria are no address outside of a transaction, whatever they match
    assert (said("B-jill") == said("B-none")) is (way == "reference")


def test_a_conditional_write_counts_what_its_writer_sees(world):
    """Two that match, of which one may be seen: it is the one."""
    world.restore()
    for of in ("jill", "ted"):
        world.write(
            {**record(of)["Task"], "id": f"{of}-same", "identifier": [{"system": "http://n.example", "value": "same"}]}
        )
    changed = world.ask("jill", "PATCH", "/Task?identifier=http://n.example|same", PATCHED, **MERGE)
    assert changed.status_code == 200
    assert changed.json()["id"] == "jill-same"
    assert "language" not in (world.stands("Task/ted-same") or {})
    task = {name: value for name, value in record("jill")["Task"].items() if name != "id"}
    again = world.post("jill", "/Task", task, if_none_exist="identifier=http://n.example|same")
    assert again.status_code == 200
    assert again.headers["location"].endswith("/Task/jill-same/_history/2")
    world.restore()


def test_what_is_in_use_is_told_of_what_may_be_seen(world):
    world.restore()
    world.write({**record("ted")["Condition"], "meta": {"tag": [{"system": "http://t.example", "code": "tedstag"}]}})
    world.write({**record("jill")["Condition"], "meta": {"tag": [{"system": "http://t.example", "code": "jillstag"}]}})
    for path in ("/Condition/$meta", "/$meta"):
        said = world.get("jill", path).text
        assert "tedstag" not in said
        assert "jillstag" in said
    restricted = world.get("priya", "/Condition/$meta").text
    assert '"R"' not in restricted
    assert "jillstag" in restricted
    world.restore()


@pytest.mark.parametrize("type_", ["Condition", "Task", "Account", "ChargeItem", "Consent", "Appointment"])
def test_a_provenance_tells_each_of_their_own(world, type_):
    """One request that writes in two records is told of in each of them, and in neither of the other."""
    world.restore()
    sent = [
        entry("PUT", f"{type_}/{of}-{type_.lower()}", {**record(of)[type_], "language": "cy"}) for of in ("jill", "ted")
    ]
    assert world.post("system", "/", bundle("transaction", *sent)).status_code == 200
    for of, other in (("jill", "ted"), ("ted", "jill")):
        key, theirs = f"{type_}/{of}-{type_.lower()}", f"{type_}/{other}-{type_.lower()}"
        traced = world.get(of, f"/Provenance?target={key}&_sort=-_lastUpdated")
        assert traced.json()["total"] >= 1
        assert theirs not in traced.text
        assert theirs not in world.get(of, "/Provenance?_count=100").text
        events = world.get(of, f"/AuditEvent?entity={key}&_count=100").text
        assert key in events
        assert theirs not in events
    world.restore()


def test_who_asks_in_vain_does_not_learn_who_looks_at_that(world):
    """Ted's trail says who tried to look; that he saw it is nothing to tell them of."""
    for path in ("/Patient/ted", "/Account/ted-account", "/Patient/ted/Account", "/Account?patient=Patient/ted"):
        world.get("jill", path)
    assert "zqjillzq" in world.get("ted", "/AuditEvent?_count=100").text
    world.get("ted", "/AuditEvent?entity=Patient/ted")
    mine = world.get("jill", "/AuditEvent?_count=1000")
    assert "Patient/jill" in mine.text
    assert "zqtedzq" not in mine.text


HISTORIES = {  # who, of what; and how often each version is read: what more must be looked at of is read again for the total
    "a commissioner's budgets": ("north", "Account", 1),
    "a commissioner's purchases": ("north", "ChargeItem", 1),
    "a person's, by a scope with a search": (
        {**ACTORS["jill"], "scope": "patient/Task.rs?status:missing=false"},
        "Task",
        2,
    ),
    "a provider's purchases, seen in part": ("lantern", "ChargeItem", 2),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_the_history_of_a_type_is_narrowed_by_the_database_and_not_looked_through(world, name):
    """What somebody may see at the most is told by whose it is; of however many others there are, no version is read."""
    world.restore()
    who, type_, times = HISTORIES[name]
    world.database.command("profile", 2)
    found = world.get(who, f"/{type_}/_history?_count=50").json()
    world.database.command("profile", 0)
    asked = {"op": "query", "command.sort.at": -1, "command.find": {"$in": ["resources", "history"]}}
    rows = list(world.database["system.profile"].find(asked))
    world.database["system.profile"].drop()
    assert len(rows) >= 2
    assert found["total"] == len(found["entry"]) > 0
    assert sum(row["nreturned"] for row in rows) == times * found["total"]
