"""`phb-fhir demo story`: both stories told to their end, by requests that are what they say, on any day, as often as one likes."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner, Result

from phb_fhir.cli.main import app
from phb_fhir.cli.teller import in_plain_words
from tests.running import RunningServer

WIDE = {"COLUMNS": "300", "NO_COLOR": "1"}
DAY_S = 24 * 3600
# what each story tells, in this order
JILL = (
    "Nothing is recorded that lets this person have a budget.",
    "Now she is eligible, and has a right to one.",
    "The person is told about personal health budgets first.",
    "It comes to about £520.00 a week",
    "8 of nine criteria are met.",
    "The activity “Massage” does not say who does it.",
    "£26,260.00 is hers for a year.",
    "A direct payment begins with an agreement that both sides signed",
    "A first review is planned by itself",
    "£1,525.00 is paid to Jill in advance",
    "it is agreed at once",
    "A budget cannot pay for gambling.",
    "£19,000.00 is more than the £18,222.50 left",
    "It is not in the directory.",
    "It serves none of the goals in your plan.",
    "takes it back",
    "£1,850.00 of it is paid already or on its way.",
    "Left: £24,246.10",
    "The money of an authorised budget changes after a review",
    "the budget is £27,000.00 now",
    "is still committed to purchases",
    "She pays £1,480.00 back.",
    "£0.00 is left, and every penny is accounted for.",
)
FAMILY = (
    "One plan serves both.",
    "Nisha asks for one budget, shared five to one.",
    "£150.00 falls to the NHS, £30.00 to the council.",
    "Her own carers stay with her",
    "Nisha calls a review",
    "The NHS's part is £58,500.00 now.",
    "the rest is back with whoever gave it",
)
FOR_PROGRAMMERS = re.compile(
    r"\(R\d+|DP-\d|phb-[a-z]|\b[A-Z][a-zA-Z]+/[-0-9a-f]{8}|\b(?:Task|Coverage|Communication) [a-z]"
)
END = ("Is it all whole?", "Everything agrees.")


def tell(*words: str, **settings: str) -> Result:
    return CliRunner().invoke(app, ["demo", "story", *words], env={**WIDE, **settings})


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "A budget starts when everything is in place: a Task start-up-checklist says so (R48).",
            "A budget starts when everything is in place.",
        ),
        (
            "Nobody agreed (DP-2): an active Consent says so. Another way is open.",
            "Nobody agreed. Another way is open.",
        ),
        (
            "Nothing is recorded. Record the Coverage that does, or ask (Task eligibility-request).",
            "Nothing is recorded.",
        ),
        ("£5.00 is too much: £4.00 is left (of the part 'a').", "£5.00 is too much: £4.00 is left (of the part 'a')."),
        ("There is no Account/01a2062a-eadd.", "There is no such budget."),
        ("Consent ended. Write a note.", "Consent ended. Write a note."),
        ("Record the Coverage", "Record the Coverage"),
    ],
)
def test_what_the_server_says_is_told_without_what_only_programmers_need(said, told):
    assert in_plain_words(said) == told


def in_order(told: str, sentences: tuple[str, ...]) -> None:
    at = 0
    for sentence in sentences:
        found = told.find(sentence, at)
        assert found >= 0, f"{sentence!r} is not told, or too early, in:\n{told}"
        at = found


@pytest.fixture
def running(mongodb_uri, database_name):
    with RunningServer(mongodb_uri, database_name) as server:
        yield server


def test_on_a_server_of_its_own_each_person_takes_their_steps_and_the_record_is_whole():
    done = tell()
    assert done.exit_code == 0, done.output
    in_order(done.output, (*JILL, *FAMILY, *END))
    # these need people who are told apart
    assert "Somebody has to decide this" in done.output
    assert "Another commissioner asks for it:" in done.output
    assert "There is no such budget." in done.output
    assert FOR_PROGRAMMERS.findall(done.output) == []
    assert "rightly refused." in done.output.splitlines()[-1]


def test_a_server_that_runs_is_told_it_and_once_more_beside_the_first_time(running):
    for _ in range(2):
        done = tell("--base", running.base)
        assert done.exit_code == 0, done.output
        in_order(done.output, (*JILL, *FAMILY, *END))


def test_a_server_is_told_it_on_whatever_day_it_has(running):
    running.foretold.set(seconds=400 * DAY_S)
    done = tell("--base", running.base)
    assert done.exit_code == 0, done.output
    in_order(done.output, (*JILL, *FAMILY, *END))


def test_a_record_that_is_not_whole_ends_it_with_1_and_is_named(running, mongodb_admin):
    database = mongodb_admin[running.settings.mongodb_database]
    database.balances.insert_one({"_id": "Account/invented", "last": 0, "pots": [["", 100, 0, 0, 0]]})
    done = tell("--base", running.base)
    assert done.exit_code == 1
    assert "Account/invented: " in done.output


def test_a_server_that_does_not_answer_ends_the_story_in_a_sentence():
    done = tell("--base", "http://127.0.0.1:1/fhir")
    assert done.exit_code == 1
    assert "Here the story ended. The server at http://127.0.0.1:1/fhir did not answer" in done.output


def test_a_server_that_asks_who_it_is_says_so_and_the_story_ends(mongodb_uri, database_name, tmp_path):
    with RunningServer(mongodb_uri, database_name, open=False, trust_local_key=True, data=tmp_path) as server:
        done = tell("--base", server.base)
    assert done.exit_code == 1
    assert "(401)" in done.output
