"""Questions about generated resources: query strings of every kind of parameter, prefix, modifier and way to join them."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from hypothesis import strategies as st

from tests.search.generators import (
    ASKED_NUMBERS,
    BASE,
    BOUND,
    CANONICALS,
    CODES,
    DAYS,
    IDS,
    MOMENTS,
    PATIENTS,
    RESOURCES,
    SYSTEMS,
    URIS,
    WORDS,
    Strategy,
    of,
    some,
)
from tests.search.oracle_parameters import COMPARTMENT, HIERARCHIES, PARAMETERS, Parameter
from tests.search.oracle_values import CURRENCIES, UCUM, fold


class Question(NamedTuple):
    path: str
    types: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    compartment: str = ""

    def __repr__(self) -> str:
        return f"{self.path}?{'&'.join(f'{name}={value}' for name, value in self.pairs)}"


def escaped(text: str) -> str:
    return re.sub(r"([\\,|$])", r"\\\1", text)


BEGINNINGS = tuple({word[:length] for word in WORDS for length in (1, 3, 5, len(word)) if fold(word[:length])})
INSIDES = tuple({word[start : start + 4] for word in WORDS for start in (1, 2) if fold(word[start : start + 4])})
TEXT = of(*sorted(BEGINNINGS)).map(escaped)
PREFIXES = ("", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
PREFIX = of(*PREFIXES)
ASKED_TIMES = (
    *DAYS,
    *(one.removesuffix("+01:00") for one in MOMENTS),
    "2020-02-29T10:00Z",
    "2020-03-01T00:30:00+01:00",
    "2020-02-29T10:00:00.50Z",
)
TOKEN = st.builds(
    lambda system, code: f"{system}{code}",
    of("", "", "", "|", *(f"{one}|" for one in SYSTEMS)),
    of(*CODES).map(escaped),
) | of(*(f"{one}|" for one in SYSTEMS))  # fmt: skip
UNIT = of(
    "",
    "",
    "||mg",
    "||g",
    "||cm",
    *(f"|{UCUM}|{code}" for code in ("mg", "g", "kg", "cm", "m", "a")),
    f"|{SYSTEMS[0]}|mg",
    "||GBP",
    f"|{CURRENCIES}|GBP",
)
OF_TYPE = st.builds(
    lambda system, code, value: f"{system}|{code}|{value}", of(*SYSTEMS[1:3]), of("a", "b"), of(*CODES[:9]).map(escaped)
)


def _values(type_: str, code: str, parameter: Parameter) -> Strategy:
    if bound := BOUND.get(type_, {}).get(code):
        return of(*bound, *(f"{parameter.system}|{one}" for one in bound if parameter.system))
    if parameter.form == "telecom":
        return of("0113 496 0000", "jill@marsh.example", "TOM@marsh.example", "nobody")
    if parameter.kind == "composite":
        return st.builds("$".join, st.tuples(*(_values(type_, "", part) for part in parameter.components)))
    if parameter.kind == "reference":
        return _reference_values(parameter)
    return VALUES[parameter.kind]


VALUES: dict[str, Strategy] = {
    "token": TOKEN,
    "string": TEXT,
    "uri": of(*URIS).map(escaped),
    "date": st.builds(str.__add__, PREFIX, of(*ASKED_TIMES)),
    "number": st.builds(str.__add__, PREFIX, of(*ASKED_NUMBERS)),
    "quantity": st.builds(lambda prefix, number, unit: prefix + number + unit, PREFIX, of(*ASKED_NUMBERS), UNIT),
}


def _keys_of(targets: tuple[str, ...]) -> list[str]:
    return [f"{one}/{IDS[one]}{number}" for one in targets if one in IDS for number in (1, 2, 3)]


def _reference_values(parameter: Parameter) -> Strategy:
    keys_ = _keys_of(parameter.targets)
    if parameter.paths == ("instantiatesCanonical",):
        return of(*CANONICALS)
    forms = [
        form
        for one in keys_
        for form in (one, f"{BASE}/{one}", f"{one}/_history/1", f"http://o.example/fhir/{one}", one.partition("/")[2])
    ]
    return of(*forms)


def _modified(type_: str, code: str, parameter: Parameter) -> dict[str, Strategy]:
    """By modifier, what may be asked."""
    plain = _values(type_, code, parameter)
    asked: dict[str, Strategy] = {"": plain}
    if parameter.kind == "composite":
        return asked
    asked[":missing"] = of("true", "false")
    if parameter.kind == "token":
        asked[":not"] = plain
        if not (parameter.system or parameter.form or code in ("active", "deceased", "_id")):
            asked[":text"] = TEXT
        if code == "identifier":
            asked[":of-type"] = OF_TYPE
    elif parameter.kind == "string":
        asked[":exact"] = of(*WORDS).map(escaped)
        asked[":contains"] = of(*sorted(INSIDES)).map(escaped)
    elif parameter.kind == "uri":
        asked[":below"] = asked[":above"] = of(*URIS[:4])
    elif parameter.kind == "reference" and keys_of_literal(parameter):
        asked[":identifier"] = TOKEN
        target = keys_of_literal(parameter)[0].partition("/")
        asked[f":{target[0]}"] = of(
            *(one.partition("/")[2] for one in keys_of_literal(parameter) if one.startswith(target[0]))
        )
        if members := _keys_of(tuple(one for one in parameter.targets if one in HIERARCHIES)):
            forms = (form for one in members for form in (one, f"{BASE}/{one}", one.partition("/")[2]))
            asked[":below"] = asked[":above"] = of(*forms)
    return asked


def keys_of_literal(parameter: Parameter) -> list[str]:
    return [] if parameter.paths == ("instantiatesCanonical",) else _keys_of(parameter.targets)


NOT_ASKED = frozenset(("_id", "_lastUpdated", "_profile", "_security"))  # the cases in YAML have these


@cache
def conditions(type_: str) -> Strategy:
    """One `name=value` about a type's own parameters."""
    named = [
        st.tuples(st.just(code + modifier), strategy if modifier == ":missing" else some(strategy).map(",".join))
        for code, parameter in PARAMETERS[type_].items()
        if code not in NOT_ASKED and (parameter.kind != "reference" or parameter.targets)
        for modifier, strategy in _modified(type_, code, parameter).items()
    ]
    return st.one_of(named)


@cache
def _joined(type_: str) -> Strategy:
    """A chain or a `_has` that begins or ends at this type."""
    chains = [
        st.builds(lambda pair, head=head: (f"{head}.{pair[0]}", pair[1]), conditions(target))
        for code, parameter in PARAMETERS[type_].items()
        if parameter.kind == "reference"
        for target in parameter.targets
        if target in RESOURCES
        for head in ([f"{code}:{target}", code] if len(parameter.targets) == 1 else [f"{code}:{target}"])
    ]
    reverse = [
        st.builds(lambda pair, head=f"_has:{other}:{code}": (f"{head}:{pair[0]}", pair[1]), conditions(other))
        for other, parameters in PARAMETERS.items()
        for code, parameter in parameters.items()
        if parameter.kind == "reference" and type_ in parameter.targets
    ]
    return st.one_of(chains + reverse)


DEEPER: dict[str, tuple[tuple[str, str], ...]] = {
    "ChargeItem": (
        ("account.subject:Patient.", "Patient"), ("account.owner.", "Organization"), ("account.part-of.", "Account"), ("patient.organization.", "Organization"),
    ),
    "Task": (("focus:ChargeItem.account.", "Account"), ("part-of.patient.", "Patient")),
    "CarePlan": (
        ("condition.patient.", "Patient"), ("subject:Patient.organization.", "Organization"), ("based-on.instantiates-canonical.", "PlanDefinition"),
        ("instantiates-canonical._has:CarePlan:instantiates-canonical:", "CarePlan"),
    ),
    "Observation": (("has-member:Observation.patient.", "Patient"), ("has-member:Observation.has-member:Observation.", "Observation")),
    "Patient": (
        ("organization.partof.", "Organization"), ("_has:Account:patient:_has:ChargeItem:account:", "ChargeItem"),
        ("_has:ChargeItem:patient:account.", "Account"),
    ),
    "Account": (("owner.partof.", "Organization"), ("patient.organization.", "Organization"), ("_has:ChargeItem:account:_has:Task:focus:", "Task")),
}  # fmt: skip


@cache
def _deeper(type_: str) -> Strategy:
    """Two steps away: chains of chains, `_has` of `_has` and of chains."""
    return st.one_of(
        [st.builds(lambda pair, head=head: (head + pair[0], pair[1]), conditions(end)) for head, end in DEEPER[type_]]
    )


def own_questions(type_: str) -> Strategy:
    """What a search of one type asks of its own parameters: one or two conditions."""
    return st.builds(lambda pairs: Question(f"/{type_}", (type_,), tuple(pairs)), some(conditions(type_)))


TRAVELLED = ("Patient", "Account", "CarePlan", "ChargeItem", "Task", "Observation")
_TYPED = {"CarePlan": "subject", "ChargeItem": "subject", "Observation": "subject", "Account": "subject"}


@st.composite
def joined_questions(draw: st.DrawFn) -> Question:
    """What goes from one resource to another: chains, `_has`, compartments, lists, several types."""
    form = draw(of("chain", "chain", "deep", "compartment", "everything", "list", "types"))
    type_ = draw(of(*TRAVELLED))
    if form == "chain":
        type_ = draw(of(type_, type_, type_, "PlanDefinition"))
        return Question(f"/{type_}", (type_,), (draw(_joined(type_)), *draw(st.lists(conditions(type_), max_size=1))))
    if form == "deep":
        return Question(f"/{type_}", (type_,), (draw(_deeper(type_)),))
    if form == "compartment":
        type_ = draw(of(*COMPARTMENT))
        person = f"Patient/{draw(of(*PATIENTS))}"
        return Question(f"/{person}/{type_}", (type_,), tuple(draw(st.lists(conditions(type_), max_size=2))), person)
    if form == "everything":
        person = f"Patient/{draw(of(*PATIENTS))}"
        return Question(f"/{person}/*", (), (), person)
    if form == "list":
        return Question(
            f"/{type_}", (type_,), (("_list", draw(of("l1", "l2"))), *draw(st.lists(conditions(type_), max_size=1)))
        )
    types = draw(st.lists(of(*_TYPED), min_size=1, max_size=3, unique=True))
    shared = draw(of(("subject", f"Patient/{draw(of(*PATIENTS))}"), ("_tag", draw(TOKEN)), ("identifier", draw(TOKEN))))
    if shared[0] == "identifier" and "CarePlan" in types:
        types.remove("CarePlan")
        types = types or ["Account"]
    return Question("/", tuple(types), (("_type", ",".join(types)), shared))


WALKED = (
    ("Organization", "partof"), ("Patient", "organization"), ("Patient", "general-practitioner"), ("Account", "part-of"),
    ("CarePlan", "part-of"), ("CarePlan", "based-on"), ("Task", "part-of"), ("Task", "focus"),
)  # fmt: skip
DEFINED = (
    "CarePlan?instantiates-canonical.status=active",
    "CarePlan?instantiates-canonical.status=draft",
    "CarePlan?instantiates-canonical.url=http://c.example/plan",
    "CarePlan?instantiates-canonical:PlanDefinition.url:missing=true",
    "CarePlan?instantiates-canonical:PlanDefinition._id=d1",
    "CarePlan?instantiates-canonical._has:CarePlan:instantiates-canonical:status=active",
    "CarePlan?based-on.instantiates-canonical.status=active",
    "PlanDefinition?_has:CarePlan:instantiates-canonical:status=active",
    "PlanDefinition?_has:CarePlan:instantiates-canonical:_id=c1",
    "PlanDefinition?_has:CarePlan:instantiates-canonical:part-of.status=active",
    "PlanDefinition?_has:CarePlan:instantiates-canonical:status=active&status=draft",
)


@st.composite
def walking_questions(draw: st.DrawFn) -> Question:
    """What is above or below something, in the hierarchy that a reference leads to."""
    type_, code = draw(of(*WALKED))
    way = draw(of("above", "below"))
    values = draw(some(_modified(type_, code, PARAMETERS[type_][code])[f":{way}"]))
    return Question(f"/{type_}", (type_,), ((f"{code}:{way}", ",".join(values)),))


def defined_questions() -> list[Question]:
    """What follows canonicals to what they mean, and back."""
    asked = (one.partition("?") for one in DEFINED)
    return [
        Question(f"/{type_}", (type_,), tuple((name, value) for name, _, value in (one.partition("=") for one in query.split("&"))))
        for type_, _, query in asked
    ]  # fmt: skip


@st.composite
def including_questions(draw: st.DrawFn) -> Question:
    """A search with what comes along."""
    type_ = draw(of(*TRAVELLED))
    own = [code for code, one in PARAMETERS[type_].items() if one.kind == "reference" and keys_of_literal(one)]
    back = [
        f"{other}:{code}"
        for other, parameters in PARAMETERS.items()
        for code, one in parameters.items()
        if one.kind == "reference" and type_ in one.targets
    ]
    forward = of(
        *(f"{type_}:{code}" for code in own),
        *(f"{type_}:{code}:Patient" for code in own if "Patient" in PARAMETERS[type_][code].targets),
    )
    further = of(
        "Account:owner", "Patient:organization", "Organization:partof", "Observation:has-member", "ChargeItem:account"
    )
    includes = draw(
        st.lists(
            st.tuples(st.just("_include"), forward) | st.tuples(st.just("_revinclude"), of(*back)) | st.tuples(st.just("_include:iterate"), further),
            min_size=1, max_size=3, unique=True,
        )
    )  # fmt: skip
    return Question(f"/{type_}", (type_,), (*draw(st.lists(conditions(type_), max_size=1)), *includes))


def _sortable(type_: str) -> list[str]:
    return [
        "_id",
        "_lastUpdated",
        *(
            code
            for code, one in PARAMETERS[type_].items()
            if one.kind != "composite" and code not in NOT_ASKED and code != "deceased"
        ),
    ]


@st.composite
def ordered_questions(draw: st.DrawFn, type_: str) -> Question:
    """A search with an order, of one rule or several, and a page size."""
    rules = draw(st.lists(of(*_sortable(type_)), min_size=1, max_size=3, unique=True))
    order = ",".join(draw(of("", "-")) + one for one in rules)
    kept = draw(st.lists(conditions(type_), max_size=1))
    return Question(f"/{type_}", (type_,), (*kept, ("_sort", order), ("_count", str(draw(st.integers(1, 4))))))
