"""SMART scopes: a table of words and what they grant, and that nothing else grants anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.security.actor import Scope
from phb_fhir.security.scopes import SCOPES_MAX, names_resources, parse_scopes

GRANTED = [
    # version 2
    ("patient/Account.rs", Scope("patient", "Account", frozenset("rs"))),
    ("user/ChargeItem.cruds", Scope("user", "ChargeItem", frozenset("cruds"))),
    ("system/*.rs", Scope("system", "*", frozenset("rs"))),
    ("patient/Account.r", Scope("patient", "Account", frozenset("r"))),
    ("patient/Account.s", Scope("patient", "Account", frozenset("s"))),
    ("patient/Account.cud", Scope("patient", "Account", frozenset("cud"))),
    ("user/Task.cu", Scope("user", "Task", frozenset("cu"))),
    # version 1
    ("patient/Account.read", Scope("patient", "Account", frozenset("rs"))),
    ("user/Account.write", Scope("user", "Account", frozenset("cud"))),
    ("system/*.*", Scope("system", "*", frozenset("cruds"))),
    ("patient/*.read", Scope("patient", "*", frozenset("rs"))),
    # narrowed by a search
    (
        "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
        Scope("patient", "Observation", frozenset("rs"), (("category", "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"),)),
    ),
    ("user/Task.rs?status=ready&code=a", Scope("user", "Task", frozenset("rs"), (("status", "ready"), ("code", "a")))),
    ("user/Task.rs?code=a%20b%26c", Scope("user", "Task", frozenset("rs"), (("code", "a b&c"),))),
    ("user/Task.rs?owner:missing=true", Scope("user", "Task", frozenset("rs"), (("owner:missing", "true"),))),
    ("user/Task.rs?_security=R&_security=N", Scope("user", "Task", frozenset("rs"), (("_security", "R"), ("_security", "N")))),
]  # fmt: skip

NOT_GRANTED = [
    *("openid", "fhirUser", "launch", "launch/patient", "offline_access", "profile", ""),
    *("patient/Account.", "patient/Account", "patient/.rs", "/Account.rs", "patient", "patient/", "Account.rs"),
    *(
        "patient/Account.sr",
        "patient/Account.rr",
        "patient/Account.rsx",
        "patient/Account.RS",
        "patient/Account.crudsz",
    ),
    *("patient/account.rs", "Patient/Account.rs", "PATIENT/Account.rs", "person/Account.rs", "patients/Account.rs"),
    *("patient/Account.rs.rs", "patient/Account.read.write", "patient/Acc*.rs", "patient/**.rs"),
    *("patient/Account.readwrite", "patient/Account.r*", "patient/*.**", "patient/Account.rs*"),
    *("patient/Account.rs?", "patient/Account.rs?status", "patient/Account.rs?status=", "patient/Account.rs?=active"),
    *("patient/Account.rs?a=b&", "patient/Account.rs?&a=b", "patient/Account.rs?a=b&c", "patient/Account.rs?a=%zz"),
    *("patient/Account.rs?a=%ff", "patient/Account.rs?a=%", "patient/Account.read?a=b", "patient/Account.*?a=b"),
    *("patient/Account/1.rs", "patient/Account.rs#x", "patient/Äccount.rs", "patient/Account.rs,user/Task.rs"),
]


@pytest.mark.parametrize(("word", "scope"), GRANTED)
def test_a_word_that_is_a_scope_grants_what_it_says_and_nothing_more(word: str, scope: Scope) -> None:
    assert parse_scopes(word) == (scope,)


@pytest.mark.parametrize("word", NOT_GRANTED)
def test_a_word_that_is_no_scope_grants_nothing_and_spoils_no_other(word: str) -> None:
    assert parse_scopes(word) == ()
    assert parse_scopes(f"{word} user/Task.r") == (Scope("user", "Task", frozenset("r")),)


BLANKS = ("\t", "\n", "\r\n", "\v", "\f", "\x1c", "\x1f", "\x85", "\u00a0", "\u2003", "\u2028", "\u3000")


@pytest.mark.parametrize("blank", BLANKS)
def test_nothing_but_a_space_parts_words(blank: str) -> None:
    """RFC 6749 §3.3: an issuer takes the rest for one word, of which somebody may have chosen the end."""
    assert parse_scopes(f"openid{blank}user/*.cruds") == ()
    chosen = parse_scopes(f"patient/Observation.rs?category=a{blank}user/*.cruds")
    assert [(it.context, it.type) for it in chosen] in ([("patient", "Observation")], [])
    assert parse_scopes(f"user/Task.r{blank}") == ()
    assert parse_scopes("  user/Task.r   user/Account.r ") == parse_scopes("user/Task.r user/Account.r")


def test_scopes_are_kept_once_and_in_their_order() -> None:
    words = "openid user/Task.r patient/Account.rs user/Task.r patient/Account.read"
    assert [(it.context, it.type) for it in parse_scopes(words)] == [("user", "Task"), ("patient", "Account")]


def test_more_scopes_than_anybody_needs_grant_nothing() -> None:
    words = [f"user/T{'a' * number}.r" for number in range(1, 60)]
    many = [*words, *("openid" for _ in range(SCOPES_MAX - len(words)))]
    assert len(parse_scopes(" ".join(many))) == len(words)
    assert parse_scopes(" ".join([*many, "openid"])) == ()


@pytest.mark.parametrize(
    ("words", "do"),
    [
        ("openid profile", False),
        ("launch/patient", False),
        ("", False),
        ("patient/Account.rs", True),
        ("user/nonsense", True),
        ("system/", True),
    ],
)
def test_a_word_that_is_meant_for_resources_is_known_even_when_it_is_wrong(words: str, do: bool) -> None:
    assert names_resources(words) is do


@given(st.text(alphabet="patientusrymcd/*.?=&%ARW ", max_size=60))
def test_no_text_whatever_grants_more_than_its_words_say(text: str) -> None:
    for scope in parse_scopes(text):
        assert scope.permissions <= set("cruds")
        assert any(word.startswith(f"{scope.context}/{scope.type}.") for word in text.split())
