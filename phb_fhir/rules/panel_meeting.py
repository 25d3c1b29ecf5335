"""The meeting of a risk enablement panel: who sits on it, who is needed, how it votes, and what it must have found (RULE-PANEL c, j to o).

Who has a seat, and as what, is said by the panel's CareTeam. Each member who was there votes: an output `vote-in-favour` or `vote-against` of
the referral, whose type names the seat as well, and whose value is the member. Before anybody has voted, an Appointment that supports the
referral (`supportingInformation`) records who is there. Quorum and unanimity count the person or who speaks for them, as the source says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.outcome import Issue
from phb_fhir.rules.budget import days_of
from phb_fhir.rules.case import Asking, Find, Read, advice, refusal
from phb_fhir.rules.deciding import brought, persons_behind
from phb_fhir.rules.plan_record import answers
from phb_fhir.rules.words import BASE, TASK_PARAMETER, code_in, codings, key_of, value_of

PANEL_ROLE = f"{BASE}/CodeSystem/phb-panel-role"
TEAM_KIND = f"{BASE}/CodeSystem/phb-care-team-kind"

QUORUM = 5  # clauses k and l
INDEPENDENT_MAX = 2  # clause k: one or two independent service users
# clause k: the seats that count and vote
SEATS = (
    "team-manager",
    "care-coordinator-other-team",
    "commissioner-representative",
    "provider-trust-representative",
    "project-manager",
    "responsible-clinician",
    "independent-service-user",
    "service-user-or-representative",
    "finance-representative",
)
# clause l: one of each of these
NEEDED: Mapping[str, tuple[str, ...]] = {
    "the team manager": ("team-manager",),
    "the clinician responsible for the support package": ("responsible-clinician",),
    "somebody for the commissioner or the provider trust": (
        "commissioner-representative",
        "provider-trust-representative",
    ),
}
QUESTIONS: Mapping[str, str] = {  # clause j
    "longer-term-outcomes": "that it helps towards longer-term outcomes",
    "risk-and-empowerment": "that it balances risk and empowerment",
    "likely-to-engage": "that the person is likely to take part",
    "legal": "that it is legal",
    "related-to-condition": "that it is related to the person's condition",
    "family-consulted": "that family and carers were asked",
    "no-major-risk-to-organisations": "that it is no major risk to the organisations",
}
MAY_NOT_APPLY = frozenset(("family-consulted",))

VOTES = {"vote-in-favour": True, "vote-against": False}


# ---- who sits ------------------------------------------------------------------------------------


class Seat(NamedTuple):
    """Who sits (`PractitionerRole/1`), and as what: codes of phb-panel-role. `deputy_for` is the member they stand in for."""

    member: str
    roles: frozenset[str]
    deputy_for: str = ""

    @property
    def seats(self) -> frozenset[str]:
        return self.roles & frozenset(SEATS)


def seats_of(panel: Resource, day: date) -> Iterator[Seat]:
    """The members of a panel on a day. A deputy is a member in the role of the one they stand in for, whom they may name (clause n)."""
    for one in panel.get("participant", ()):
        member = key_of(one.get("member"))
        if member and days_of(one.get("period")).covers(day):
            yield Seat(
                member,
                frozenset(
                    code for role in one.get("role", ()) for system, code in codings(role) if system == PANEL_ROLE
                ),
                key_of(value_of(one, "phb-deputy-for")),
            )


def check_members(seats: Sequence[Seat]) -> Iterator[Issue]:
    """Clauses k and o: five of the nine kinds, those who are needed, at most two independent users, one chair. Who stands in for one of them is no other."""
    place = "Task.input"
    yield from _deputies(seats, place)
    sits = {one.member for one in seats}
    seats = [one for one in seats if one.deputy_for not in sits]
    sitting = [one for one in seats if one.seats]
    if len({one.member for one in sitting}) < QUORUM:
        yield refusal(
            f"A panel has at least {QUORUM} members; this one has {len({one.member for one in sitting})}.", place
        )
    yield from _needed([role for one in sitting for role in one.seats], place)
    independent = sum("independent-service-user" in one.seats for one in sitting)
    if independent > INDEPENDENT_MAX:
        yield refusal(
            f"A panel has at most {INDEPENDENT_MAX} independent service users; this one has {independent}.", place
        )
    chairs = [one for one in seats if "chair" in one.roles]
    if len(chairs) != 1:
        yield refusal(f"A panel has exactly one chair; this one has {len(chairs)}.", place)
    elif "team-manager" not in chairs[0].roles:
        yield advice("The chair is not the team manager, who chairs as a rule.", place)


def _deputies(seats: Sequence[Seat], place: str) -> Iterator[Issue]:
    """Clause n: a deputy sits for a member of the panel, and as what that one is."""
    sits = {one.member: one for one in seats if not one.deputy_for}
    for one in seats:
        if one.deputy_for and one.deputy_for not in sits:
            text = f"{one.member} stands in for {one.deputy_for}, who has no seat on this panel."
            yield refusal(text, place)
        elif one.deputy_for and (beyond := one.roles - sits[one.deputy_for].roles):
            as_what = ", ".join(sorted(beyond))
            yield refusal(f"{one.member} stands in for {one.deputy_for}, who does not sit as {as_what}.", place)


def _needed(roles: Iterable[str], place: str) -> Iterator[Issue]:
    there = set(roles)
    for words, any_of in NEEDED.items():
        if not there & set(any_of):
            yield refusal(f"The panel needs {words}.", place)


def check_from_outside(task: Resource, seats: Sequence[Seat]) -> Asking[list[Issue]]:
    """Clause k: the care co-ordinator is of another team, independent service users have no part in the case, and the person is the person."""
    person = key_of(task.get("for"))
    teams: list[Resource] = yield Find("CareTeam", ("patient", person), ("category", f"{TEAM_KIND}|phb-team"))
    own = [key for team in teams for one in team.get("participant", ()) if (key := key_of(one.get("member")))]
    behind = yield from persons_behind(*own, *(one.member for one in seats))
    close = frozenset(name for key in own for name in behind[key])
    issues = [
        refusal(f"{one.member} {_FROM_OUTSIDE[role]}.", "Task.input")
        for one in seats
        for role in sorted(one.seats & _FROM_OUTSIDE.keys())
        if behind[one.member] & close or one.member == person
    ]
    return issues + (yield from _is_the_person(person, seats))


_FROM_OUTSIDE = {
    "care-coordinator-other-team": "sits as a care co-ordinator of another team, and is of the person's own",
    "independent-service-user": "sits as an independent service user, and has a part in the case",
}


def _is_the_person(person: str, seats: Sequence[Seat]) -> Asking[list[Issue]]:
    those = [one.member for one in seats if "service-user-or-representative" in one.seats and one.member != person]
    close = [key for key in those if key.startswith("RelatedPerson/")]
    found: dict[str, Resource | None] = (yield Read(*close)) if close else {}
    return [
        refusal(f"{key} sits as the person or their representative, and is neither.", "Task.input")
        for key in those
        if key_of((found.get(key) or {}).get("patient")) != person
    ]


# ---- who is there --------------------------------------------------------------------------------


def present_at(meeting: Resource) -> Iterator[str]:
    """Who takes part in an appointment (`PractitionerRole/1`), once it takes place."""
    if meeting.get("status") in _TAKES_PLACE:
        for one in meeting.get("participant", ()):
            if one.get("status") == "accepted" and (who := key_of(one.get("actor"))):
                yield who


_TAKES_PLACE = ("arrived", "checked-in", "fulfilled")


def check_quorum(
    there: Collection[str], seats: Sequence[Seat], behind: Mapping[str, frozenset[str]]
) -> Iterator[Issue]:
    """Clause l: at least five who have a seat with a vote, and those who are needed among them."""
    sitting = [one for one in seats if one.seats and one.member in there and one.deputy_for not in there]
    people = {min(behind.get(one.member, {one.member})) for one in sitting}
    if len(people) < QUORUM:
        text = (
            f"The panel is quorate with at least {QUORUM} members; {len(people)} are recorded as there: by their votes, or by an Appointment"
            " that names this referral (supportingInformation), has begun, and in which they accepted to take part."
        )
        yield refusal(text, "Task.businessStatus")
    yield from _needed([role for one in sitting for role in one.seats], "Task.businessStatus")


# ---- how it votes --------------------------------------------------------------------------------


class Vote(NamedTuple):
    """A member's vote, with the seats it names."""

    member: str
    roles: frozenset[str]
    is_in_favour: bool


def votes_of(task: Resource) -> list[Vote]:
    """The votes, in the order they stand in."""
    found = []
    for row in task.get("output", ()):
        kind = code_in(row.get("type"), TASK_PARAMETER)
        if kind in VOTES:
            roles = frozenset(code for system, code in codings(row.get("type")) if system == PANEL_ROLE)
            found.append(Vote(key_of(row.get("valueReference")), roles, VOTES[kind]))
    return found


def check_votes(votes: Sequence[Vote], seats: Sequence[Seat], behind: Mapping[str, frozenset[str]]) -> Iterator[Issue]:
    """Clauses l, m and n: enough of the right people were there and voted, each once, each in a seat of theirs."""
    place = "Task.output"
    sits = {one.member: one for one in seats}
    counted: dict[str, frozenset[str]] = {}
    for vote in votes:
        seat = sits.get(vote.member)
        if seat is None:
            yield refusal(f"{vote.member or 'Somebody'} voted, and does not sit on the panel.", place)
        elif not seat.seats or vote.roles - seat.roles:
            as_what = ", ".join(sorted(vote.roles - seat.roles)) or "as somebody who was invited"
            yield refusal(f"{vote.member} voted ({as_what}), and has no such seat with a vote.", place)
        else:
            counted[vote.member] = vote.roles & frozenset(SEATS) or seat.seats
    for one in seats:
        if one.deputy_for in counted and one.member in counted:
            text = (
                f"{one.member} stands in for {one.deputy_for}, and both voted: one of the two was there for the other."
            )
            yield refusal(text, place)
    people = Counter(name for vote in votes for name in {min(behind.get(vote.member, {vote.member}))})
    for name, count in people.items():
        if count > 1:
            yield refusal(f"{name} voted {count} times; each member has one vote.", place)
    if len(people) < QUORUM or len(counted) < QUORUM:
        there = min(len(people), len(counted))
        yield refusal(
            f"The panel decides with at least {QUORUM} members; {there} were there and voted. A comment in writing is no vote.",
            place,
        )
    yield from _needed([role for roles in counted.values() for role in roles], place)


def check_presence(task: Resource, votes: Sequence[Vote], seats: Sequence[Seat]) -> Iterator[Issue]:
    """R98: it matters that the person is there when something is decided about their life; they need not be, and may not want to."""
    voted = {one.member for one in votes}
    is_there = any("service-user-or-representative" in one.seats and one.member in voted for one in seats)
    if not (is_there or brought(task, "person-present")):
        text = (
            "The person, or who speaks for them, did not sit on the panel, and nothing says whether they were there: say so, or why not, in an output"
            " person-present (R98)."
        )
        yield advice(text, "Task.output")


def check_unanimous(votes: Sequence[Vote], there: Collection[str], seats: Sequence[Seat]) -> Iterator[Issue]:
    """Clause c: nobody is against, and nobody who is recorded as there, with a vote, has kept silent."""
    voted = {one.member for one in votes}
    voted |= {one.deputy_for for one in seats if one.member in voted}  # who came along with their deputy
    silent = sorted({one.member for one in seats if one.seats and one.member in there} - voted)
    if silent:
        text = f"The panel approves with one voice; {', '.join(silent)} took part in the meeting, and did not vote."
        yield refusal(text, "Task.output")
    against = [one.member for one in votes if not one.is_in_favour]
    if against:
        yield refusal(f"The panel approves with one voice; {', '.join(against)} voted against.", "Task.businessStatus")


def check_suitable(record: Resource | None) -> Iterator[Issue]:
    """Clause j: the panel approves what meets all seven; that family was asked may not apply."""
    said = answers(record)
    for name, words in QUESTIONS.items():
        codes = {one.get("code") for one in said.get(name, ()) if isinstance(one, dict)}
        if "met" in codes or (name in MAY_NOT_APPLY and "not-applicable" in codes):
            continue
        yield refusal(f"The panel can approve only what it found {words}.", "Task.output")
