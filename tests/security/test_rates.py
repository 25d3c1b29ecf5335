"""The buckets: nobody gets more than the quota allows, nobody who keeps to it is refused, and no memory runs away."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.security.actor import Actor
from phb_fhir.security.rates import Policy, Rates, client_at, client_of, limit_field, policy_field

JILL, ASHA = b"jill", b"asha"

policies = st.builds(Policy, st.just("client"), st.integers(1, 50), st.integers(1, 120))
pauses = st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=200)


def taken(rates, client, times):
    return [standing.taken for now in times if (standing := rates.take(client, now)) is not None]


# ---- what is let pass ------------------------------------------------------------------------------------------------


def test_a_whole_quota_is_taken_at_once_and_the_next_is_refused():
    rates = Rates(Policy("client", 5, 60))
    assert taken(rates, JILL, [100.0] * 7) == [True] * 5 + [False] * 2


def test_what_was_used_comes_back_evenly():
    rates = Rates(Policy("client", 6, 60))  # one every ten seconds
    assert taken(rates, JILL, [0.0] * 7) == [True] * 6 + [False]
    assert taken(rates, JILL, [9.9, 10.0, 10.1, 20.0, 20.1]) == [False, True, False, True, False]


def test_after_a_whole_window_the_whole_quota_is_back():
    rates = Rates(Policy("client", 6, 60))
    assert taken(rates, JILL, [0.0] * 6) == [True] * 6
    assert taken(rates, JILL, [60.0] * 7) == [True] * 6 + [False]


def test_a_refused_request_uses_nothing_up():
    rates = Rates(Policy("client", 1, 10))
    assert taken(rates, JILL, [0.0, *(second / 10 for second in range(1, 100)), 10.0]) == [True, *[False] * 99, True]


def test_each_client_has_a_quota_of_its_own():
    rates = Rates(Policy("client", 2, 60))
    assert taken(rates, JILL, [0.0] * 3) == [True, True, False]
    assert taken(rates, ASHA, [0.0] * 3) == [True, True, False]


def test_a_quota_of_0_is_no_limit_and_keeps_nothing():
    rates = Rates(Policy("client", 0, 60))
    assert [rates.take(JILL, 0.0) for _ in range(1000)] == [None] * 1000
    assert (len(rates), rates.refusal(JILL, 0.0)) == (0, None)


@given(policies, pauses)
def test_in_no_window_more_than_twice_the_quota_passes(policy, waits):
    rates, now, passed = Rates(policy), 0.0, []
    for wait in waits:
        now += wait
        if rates.take(JILL, now).taken:
            passed.append(now)
    for start in passed:
        assert sum(start <= at < start + policy.window_s for at in passed) <= 2 * policy.quota
    assert len(passed) <= policy.quota + now / policy.interval_s + 1


@given(policies, st.integers(1, 100))
def test_who_keeps_the_even_pace_is_never_refused(policy, count):
    rates = Rates(policy)
    assert all(taken(rates, JILL, [number * policy.interval_s for number in range(count)]))


# ---- what is said ----------------------------------------------------------------------------------------------------


@given(policies, pauses)
def test_what_a_standing_says_is_true(policy, waits):
    rates, now = Rates(policy), 0.0
    for wait in waits:
        now += wait
        standing = rates.take(JILL, now)
        assert 0 <= standing.left <= policy.quota
        assert standing.window_s >= 1
        if (
            standing.taken
        ):  # what is left can be used at once, and no more; and it is no invitation to hurry (draft §8.5)
            assert _passing_at_once(rates, now) == standing.left
            assert standing.left / standing.window_s <= policy.quota / policy.window_s + 1e-6
        else:
            assert standing.left == 0
            assert rates.refusal(JILL, now) == standing
            assert rates.refusal(JILL, now + standing.window_s) is None


def _passing_at_once(rates, now):
    """How many more would pass, tried on a copy."""
    copy = Rates(rates.policy)
    copy._full_at = dict(rates._full_at)
    return sum(taken(copy, JILL, [now] * (rates.policy.quota + 1)))


def test_to_look_whether_somebody_is_refused_counts_nothing():
    rates = Rates(Policy("failed", 2, 60))
    assert [rates.refusal(JILL, 0.0) for _ in range(10)] == [None] * 10
    assert taken(rates, JILL, [0.0] * 3) == [True, True, False]


def test_the_fields_are_written_as_the_draft_has_them():
    rates = Rates(Policy("client", 100, 60))
    standing = rates.take(JILL, 0.0)
    assert policy_field(rates.policy) == b'"client";q=100;w=60'
    assert limit_field(standing) == b'"client";r=99;t=60'
    for _ in range(99):
        standing = rates.take(JILL, 0.0)
    assert limit_field(standing) == b'"client";r=0;t=60'
    assert limit_field(rates.take(JILL, 0.0)) == b'"client";r=0;t=1'


# ---- how much is kept ------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=2), st.floats(0, 5)), max_size=300))
def test_never_more_clients_are_kept_than_may_be(asked):
    rates, now = Rates(Policy("address", 2, 10), clients_max=8), 0.0
    for client, wait in asked:
        now += wait
        rates.take(client, now)
        assert len(rates) <= 8


def test_who_is_forgotten_asked_the_longest_ago():
    rates = Rates(Policy("address", 1, 60), clients_max=3)
    for client in (b"1", b"2", b"3", b"1", b"4"):
        rates.take(client, 0.0)
    assert [rates.refusal(client, 0.0) is not None for client in (b"1", b"2", b"3", b"4")] == [True, False, True, True]


def test_those_whose_quota_is_whole_again_are_forgotten_without_need():
    rates = Rates(Policy("address", 1, 10))
    for number in range(100):
        rates.take(b"%d" % number, 0.0)
    for number in range(50):
        rates.take(b"late", 11.0 + number)
    assert len(rates) == 1


def test_a_million_addresses_are_asked_for_in_bounded_memory():
    rates = Rates(Policy("address", 10, 3600), clients_max=1_000)
    for number in range(100_000):
        rates.take(number.to_bytes(4, "big"), number / 1_000)
    assert len(rates) == 1_000


# ---- who is one client -----------------------------------------------------------------------------------------------


def test_a_client_is_the_application_and_whom_it_acts_for():
    names = {
        client_of(Actor(issuer, subject, client=client))
        for issuer in ("https://a.example", "https://b.example")
        for subject in ("jill", "asha")
        for client in ("app", "portal")
    }
    assert len(names) == 8
    assert client_of(Actor("i", "jill", client="app", token_id="1")) == client_of(
        Actor("i", "jill", client="app", token_id="2")
    )


def test_the_name_of_a_client_is_short_and_says_nothing_of_the_person():
    name = client_of(Actor("https://issuer.example", "9000000009" * 1000))
    assert len(name) == 16
    assert b"9000000009" not in name


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),  # one subscriber
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("", "", True),
        ("", "192.0.2.1", False),
    ],
)
def test_an_address_is_one_client_and_of_ipv6_a_network_is(one, other, same):
    assert (client_at(one) == client_at(other)) is same


def test_an_interval_of_a_third_of_a_second_loses_nothing_to_rounding():
    rates = Rates(Policy("client", 3, 1))
    for second in range(1_000):
        assert taken(rates, JILL, [second + part / 3 for part in range(3)]) == [True] * 3
    assert math.isclose(rates.policy.interval_s, 1 / 3)
