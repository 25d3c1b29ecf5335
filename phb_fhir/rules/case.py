"""The vocabulary of judging: what a rule is told, what it may ask, and what it may decide.

    def judge(case: Case) -> Judging:
        found = yield Read("Account/jill-budget")        # {key: content or None}
        tasks = yield Find("Task", ("focus", "Account/jill-budget"), ("code", f"{TASK_CODE}|phb-review"))   # [content, …]
        books = yield Books("Account/jill-budget")       # {account: Ledger}
        posted = yield Posted("ChargeItem/1")            # [Entry, …]
        return Decision(issues=[…], entries=[…])

Answers tell what will stand once everything that is written along with this does; what was judged before in the same transaction has
posted its entries already. Nobody's access narrows them: a rule sees the whole record, and what it says must not tell of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, TypeVar

from phb_fhir.fhir.codec import Resource
from phb_fhir.outcome import Issue, Kind
from phb_fhir.rules.ledger import Entry

FOUND_MAX = 2_000  # resources that one Find answers with; where there are more, nothing is decided

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class By:
    """Who acts. `role` is one of `security.actor.ROLES`, "" where nobody signs in: then there is nobody to tell from another.

    `names` are the references by which the record knows them: themselves, their roles and organisation. `patients` are those they are
    (a person); `acts_for` those they act for by a consent that lets them purchase.
    """

    role: str = ""
    names: frozenset[str] = frozenset()
    patients: frozenset[str] = frozenset()
    acts_for: frozenset[str] = frozenset()

    @property
    def is_anybody(self) -> bool:
        return not self.role

    @property
    def is_professional(self) -> bool:
        """Who may decide for the NHS: an open server's anybody and the system itself among them."""
        return self.role in PROFESSIONALS


# who may decide for the NHS; "" is anybody of an open server
PROFESSIONALS = frozenset(("", "system", "care-coordinator", "nhs-team", "commissioner"))
# the person, and whom a consent lets act for them: they write in nobody else's name
SPEAK_FOR_THEMSELVES = frozenset(("person", "delegate", "broker", "peer-supporter"))


@dataclass(frozen=True, slots=True)
class Case:
    """One write to be judged. `before` is the content that stood (None: nothing, or deleted), `after` what is to stand (None: a deletion).

    `version` is the versioned reference that `after` will have. `today` is the day in England. `is_own` is a write that follows from a rule,
    made by the server itself. `names_id`: whoever writes said under which id.
    """

    type: str
    id: str
    before: Resource | None
    after: Resource | None
    version: str
    now: datetime
    today: date
    by: By = By()
    is_own: bool = False
    names_id: bool = False

    @property
    def key(self) -> str:
        return f"{self.type}/{self.id}"

    @property
    def is_new(self) -> bool:
        return self.before is None


# ---- what a rule may ask -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, init=False)
class Read:
    """The contents under these keys (`Account/1`), as a dict; None for what is not there or was deleted."""

    keys: tuple[str, ...]

    def __init__(self, *keys: str) -> None:
        object.__setattr__(self, "keys", keys)


@dataclass(frozen=True, slots=True)
class ReadVersion:
    """The content of one version of a resource; None where there is no such version."""

    key: str
    number: int


@dataclass(frozen=True, slots=True, init=False)
class Find:
    """The contents of a type that a search finds, as a list: all of them, FOUND_MAX at most, beyond which the write is refused.
    `parameters` are pairs of name and value, as in a URL.
    `is_stored` leaves out what is written along.
    """

    type: str
    parameters: tuple[tuple[str, str], ...]
    is_stored: bool

    def __init__(self, type_: str, *parameters: tuple[str, str], is_stored: bool = False) -> None:
        object.__setattr__(self, "type", type_)
        object.__setattr__(self, "parameters", parameters)
        object.__setattr__(self, "is_stored", is_stored)


@dataclass(frozen=True, slots=True, init=False)
class Books:
    """The ledgers of these accounts (`Account/1`), as a dict; an empty one where nothing was posted."""

    accounts: tuple[str, ...]

    def __init__(self, *accounts: str) -> None:
        object.__setattr__(self, "accounts", accounts)


@dataclass(frozen=True, slots=True)
class Posted:
    """The entries that are about this purchase or payment (`ChargeItem/1`), oldest first."""

    about: str


@dataclass(frozen=True, slots=True)
class PolicyOf:
    """The policy (`commissioning.Policy`) of the commissioner with this ODS code; the standard one for "", or a code that has none."""

    commissioner: str


@dataclass(frozen=True, slots=True, init=False)
class Hold:
    """Nothing is answered. Of two transactions that hold one name, one begins again: for what a rule decides by looking at resources that
    neither of two writes need change (two payments for one purchase). Where nothing is written, nothing is held.
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


@dataclass(frozen=True, slots=True)
class EvidenceLimits:
    """Which files are taken as evidence: asked without, answered with them. No types, or 0 bytes, is no limit."""

    types: tuple[str, ...] = ()
    bytes_max: int = 0


@dataclass(frozen=True, slots=True, init=False)
class Sees:
    """Those of these resources that whoever asks may see, as a set of keys; all of them on an open server.

    Rules look at everything there is, so that sums are whole. What they say is not to tell of what the writer may not see.
    """

    keys: tuple[str, ...]

    def __init__(self, *keys: str) -> None:
        object.__setattr__(self, "keys", keys)


Question = Read | ReadVersion | Find | Books | Posted | PolicyOf | EvidenceLimits | Hold | Sees
Asking = Generator[Question, Any, T]  # a question after another, and a T in the end


# ---- what a rule may decide ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Follow:
    """Something the server writes itself because of this: a new resource, or with `key` the next content of one that is there.

    `anew` makes the same of what something else in this transaction has made of it by then: two that end parts of one budget end both.
    """

    resource: Resource
    key: str = ""
    anew: Callable[[Resource], Resource] | None = field(default=None, compare=False)


def follow_on(resource: Resource, key: str, made: Callable[[Resource], Resource]) -> Follow:
    """What `made` makes of a resource that is there, whatever else is made of it along with this."""
    return Follow(made(resource), key, made)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a rule says of a write. With an error among the issues, nothing is written.

    `content` takes the place of what was asked to be written, where the rule changes it (a purchase that needs nobody's decision becomes
    billable). `entries` are posted to the ledger. `first` is the key of an earlier resource that is what this one was meant to be: nothing
    is written, and the answer is the first one's.
    """

    issues: tuple[Issue, ...] = ()
    content: Resource | None = None
    entries: tuple[Entry, ...] = ()
    follow: tuple[Follow, ...] = ()
    first: str = ""

    @property
    def is_refusal(self) -> bool:
        return any(issue.is_error for issue in self.issues)


NOTHING = Decision()
Judging = Asking[Decision]
Rule = Callable[[Case], Judging]


def refusal(text: str, expression: str = "") -> Issue:
    """The issue of a rule that is not kept: 422, business-rule."""
    return Issue(Kind.BUSINESS_RULE, text, expression)


def no_step(what: str, was: str, now: str, steps: Iterable[str], expression: str) -> Issue:
    """The refusal of a status that does not follow from the one before; it says which would. `what` begins the sentence: "A plan"."""
    further = ", ".join(one for one in steps if one != was) or "nothing else"
    return refusal(f"{what} that is {was} cannot become {now}; it can become {further}.", expression)


def advice(text: str, expression: str = "") -> Issue:
    """Something worth knowing, which keeps nothing from being written."""
    return Issue(Kind.BUSINESS_RULE, text, expression, "warning")


def judge_in_order(case: Case, rules: tuple[Rule, ...]) -> Judging:
    """All rules, each over the content that the ones before it left. The first to name an earlier resource ends it."""
    whole = NOTHING
    for rule in rules:
        said = yield from rule(case)
        if said.first:
            return whole if whole.is_refusal else said
        if said.content is not None:
            case = replace(case, after=said.content)
        whole = Decision(
            whole.issues + said.issues,
            said.content if said.content is not None else whole.content,
            whole.entries + said.entries,
            whole.follow + said.follow,
        )
    return whole


def answered(asking: Asking[T], answers: Mapping[Question, Any]) -> T:
    """What somebody asks comes to, with these answers: for tests, which need neither a database nor a server."""
    try:
        question = next(asking)
        while True:
            question = asking.send(answers[question] if question in answers else _unsaid(question))
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


def _unsaid(question: Question) -> Any:
    """The answer to what tests leave out: everything is seen, as on an open server. Raises KeyError for what only the record tells."""
    match question:
        case Hold():
            return None
        case Sees():
            return frozenset(question.keys)
    raise KeyError(question)
