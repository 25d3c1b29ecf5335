"""Searching on the real database: what a hit brings, what is refused because it would cost too much, and what is remembered."""

from __future__ import annotations

from datetime import timedelta

import pytest

from phb_fhir.change import Version
from phb_fhir.outcome import Kind, Refusal, Rejected
from phb_fhir.query import (
    EVERYTHING,
    NOTHING,
    AllOf,
    AnyOf,
    Id,
    KeyPart,
    KeyRange,
    Node,
    Not,
    Order,
    Present,
    Query,
    SortKey,
    Updated,
)
from phb_fhir.search.kinds.kind import Index
from phb_fhir.store import found as found_module
from phb_fhir.store import plan as plan_module
from phb_fhir.store.rarity import LIFE_S, Rarity
from phb_fhir.store.store import Transaction, Write
from tests.store.finding import (
    BY_CODE,
    CODED,
    DATE,
    LISTED,
    ORDERS,
    SINGLE,
    UCUM,
    asks,
    dated_index,
    index,
    key,
    observation,
)
from tests.store.stores import MOMENT, Commands, keyed, opened, run, version


def test_a_hit_brings_the_index_values_that_were_stored(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        made = index(
            LISTED,
            ["code=*a", "code=s|a"],
            ["2020", "2021-01-01"],
            [("5.40", {"unit": "g", "system": UCUM, "code": "g"})],
        )
        made.spans["a.b$c%2E"] = [{"lo": "", "hi": "~"}]
        made.lo["a.b"] = "x"
        made.joined["code-size"] = [{"0": {"k": ["=*a"]}}]
        made.digest = "abc"
        async with opened(mongodb_uri, database_name) as store:
            await store.insert(version("a"), made)
            (hit,) = await store.find(Query(("Task",), Present("a.b$c%2E")), count=9)
        assert (hit.index.keys, hit.index.spans, hit.index.joined, hit.index.digest) == (
            made.keys, made.spans, made.joined, made.digest,
        )  # fmt: skip
        assert made.lo.items() <= hit.index.lo.items()

    run(story)


# --- references ---


def test_what_references_point_to_is_told_once_and_only_what_is_here_and_of_the_types(
    mongodb_uri: str, database_name: str
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            pointing = {
                "a": ["subject=Patient/1", "subject=Patient/1/_history/2", "code=*x"],
                "b": ["subject=Patient/1", "subject=Group/2", "subject=http://other/fhir/Patient/3", "code=*x"],
                "c": ["subject=urn:uuid:4", "subject:identifier=*5", "subject:", "subjects=Patient/6", "code=*x"],
                "d": ["subject=Patient/7"],
                "e": ["subject=Patient/$8", "code=*x"],
            }
            for id_, keys_ in pointing.items():
                await store.insert(version(id_), keyed(*keys_))
            coded = Query(("Task",), key("code=*x"))
            assert await store.pointed_at(coded, "subject", (), count=9) == ["Group/2", "Patient/$8", "Patient/1"]
            assert await store.pointed_at(coded, "subject", ("Patient",), count=9) == ["Patient/$8", "Patient/1"]
            assert len(await store.pointed_at(coded, "subject", (), count=2)) == 2
            assert await store.pointed_at(Query(("Task",)), "subject", ("Patient",), count=9) == [
                "Patient/$8", "Patient/1", "Patient/7",
            ]  # fmt: skip
            dated_ = Query(("Task",), asks("date", "2020"))
            assert await store.pointed_at(dated_, "subject", (), count=9) == []

    run(story)


# --- refusals ---


@pytest.mark.parametrize(
    ("where", "is_served"),
    [
        (EVERYTHING, True),
        (CODED, True),
        (Not(CODED), False),
        (KeyPart("name=", "x"), False),
        (Present("date"), False),
        (asks("date", "ne2020"), False),
        (Updated(MOMENT, None, inside=False), False),
        (AnyOf((CODED, KeyPart("name=", "x"))), False),
        (AnyOf((CODED, KeyRange("name=x", "name=y"))), True),
        (AllOf((Not(CODED), KeyPart("name=", "x"))), False),
        (AllOf((Not(CODED), asks("date", "ge2020"))), True),
        (asks("size", f"5|{UCUM}|g"), True),
        (asks("size", "5"), True),
        (Updated(MOMENT, None), True),
        (Id(("a",)), True),
        (NOTHING, True),
    ],
)
def test_what_no_index_leads_to_is_refused_where_there_is_much_and_answered_where_there_is_little(
    mongodb_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch, where: Node, is_served: bool
) -> None:
    monkeypatch.setattr(found_module, "SCANNED_MAX", 3)

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for type_, count in (("Task", 4), ("Basic", 3)):
                for number in range(count):
                    await store.insert(version(str(number))._replace(type=type_), None)
            for types, is_much in ((("Task",), True), (("Basic",), False), (("Basic", "Task"), True)):
                if is_served or not is_much:
                    await store.check_served(Query(types, where))
                    continue
                with pytest.raises(Rejected, match="No index leads to what is asked") as refused:
                    await store.check_served(Query(types, where))
                assert (refused.value.refusal, refused.value.issues[0].kind) == (Refusal.BAD_REQUEST, Kind.TOO_COSTLY)

    run(story)


def test_of_any_type_an_entry_leads_to_much_and_a_date_does_not(
    mongodb_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found_module, "SCANNED_MAX", 3)

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for number in range(4):
                await store.insert(version(str(number)), None)
            await store.check_served(Query((), CODED))
            with pytest.raises(Rejected, match="more than 3 resources to look through"):
                await store.check_served(Query((), asks("date", "2020")))

    run(story)


def test_pages_of_any_type_go_on_where_a_type_is_met_that_there_was_none_of(
    mongodb_uri: str, database_name: str
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for day in range(4):
                await observation(store, str(day), 1, dated_index(day))
            for query, order in (
                (Query((), asks("date", "ge2020-01-01")), ()),
                (Query(()), (DATE,)),
                (Query(()), (SortKey("", "id"),)),
                (Query(()), (SortKey("", "at"),)),
            ):
                first = await store.find(query, order, count=2)
                await store.insert(version("0", at=MOMENT - timedelta(days=1))._replace(type="Account"), dated_index(0))
                rest = await store.find(query, order, after=first[-1].position, count=9)
                assert [hit.version.id for hit in (*first, *rest) if hit.version.type == SINGLE] == list("0123")

    run(story)


def test_none_is_wanted_and_none_is_given(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await store.insert(version("a"), None)
            for query, order in ((Query(("Task",)), ()), (Query(("Task",)), (DATE,)), (Query(("Task",)), BY_CODE)):
                assert await store.find(query, order, count=0) == []
                assert await store.count_up_to(query, 0) == 0

    run(story)


def test_an_order_that_no_index_has_is_refused_for_too_many_and_given_for_few(
    mongodb_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found_module, "SORTED_MAX", 3)

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for day in range(4):
                await observation(store, str(day), 1, dated_index(day, "code=*a" if day else "code=*b"))
            with pytest.raises(Rejected, match="no index has them in the order asked for") as refused:
                await store.find(Query((SINGLE,)), BY_CODE, count=1)
            assert (refused.value.refusal, refused.value.issues[0].kind) == (Refusal.BAD_REQUEST, Kind.TOO_COSTLY)
            assert len(await store.find(Query((SINGLE,), CODED), BY_CODE, count=9)) == 3
            assert len(await store.find(Query((SINGLE,)), (DATE,), count=9)) == 4

    run(story)


# --- inside a transaction ---


@pytest.mark.parametrize(("query", "order"), ORDERS)
def test_a_transaction_finds_what_it_wrote_in_every_order(
    mongodb_uri: str, database_name: str, query: Query, order: Order
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            await observation(store, "0", 1, dated_index(0, "code=*a"))

            async def work(transaction: Transaction) -> None:
                await observation_in(transaction, "1", dated_index(1, "code=*a"))
                found = {hit.version.id for hit in await transaction.find(query, order, count=9)}
                assert found == {"0", "1"}
                assert await transaction.count(query) == 2
                assert await transaction.count_up_to(query, 1) == 1
                assert len(await transaction.keys(query, count=9)) == 2

            await store.transaction(work)

    run(story)


async def observation_in(transaction: Transaction, id_: str, made: Index) -> None:
    found = Version(SINGLE, id_, 1, MOMENT, "PUT", b"{}")
    await transaction.write([Write(None, found, made)])


# --- counts that were made a moment ago ---


def test_counts_are_remembered_so_long_and_so_many() -> None:
    async def story() -> None:
        now, asked = 0.0, list[str]()

        async def count() -> int:
            asked.append("asked")
            return len(asked)

        rarity = Rarity(counts_max=2, now=lambda: now)
        assert [await rarity.of("a", count), await rarity.of("a", count)] == [1, 1]
        now = LIFE_S - 0.1
        assert (await rarity.of("a", count), rarity.known("a")) == (1, 1)
        now = LIFE_S
        assert rarity.known("a") is None
        assert await rarity.of("a", count) == 2
        rarity.learn("b", 5)
        rarity.learn("c", 6)
        assert [rarity.known(name) for name in "abc"] == [None, 5, 6]

    run(story)


def test_two_questions_that_have_led_cost_no_more_counting(mongodb_uri: str, database_name: str) -> None:
    async def story() -> None:
        commands = Commands()
        async with opened(mongodb_uri, database_name, commands) as store:
            await observation(store, "0", 1, dated_index(0, "code=*a", "subject=Patient/1"))
            query = Query((SINGLE,), AllOf((CODED, key("subject=Patient/1"))))
            for expected in ({"count": 2, "find": 1}, {"find": 1}):
                commands.count.clear()
                assert len(await store.find(query, count=9)) == 1
                assert commands.count == expected

    run(story)


def test_what_led_to_fewer_leads_again_when_both_are_known(
    mongodb_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (plan_module, found_module):
        monkeypatch.setattr(module, "RARE_MAX", 2)
        monkeypatch.setattr(module, "PROBED_MAX", 20)

    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for day in range(15):
                await observation(store, str(day), 1, dated_index(day, "code=*a", *(["code=*b"] if day < 3 else [])))
            period = asks("date", "ge2020-01-03"), asks("date", "lt2020-01-11")

            async def led_by(*where: Node) -> list[str]:
                said = await store.explain(Query((SINGLE,), AllOf(where)), (), 5)
                return [phase["index"] for phase in said["phases"]][:1]

            for _ in range(3):  # first they are counted, then they are known
                assert await led_by(CODED, *period) == ["sortable"]
                assert await led_by(key("code=*b"), *period) == ["key_seq"]
                assert await led_by(key("code=*b"), CODED) == ["key_seq"]
            # of something new it is only asked whether it leads to fewer than what is known
            assert await led_by(key("code=*b"), asks("date", "ge2020-01-04")) == ["key_seq"]
            assert await led_by(CODED, asks("date", "ge2020-01-14")) == ["sortable"]
            assert await led_by(Id(("1",)), CODED) == ["_id_"]

    run(story)


def test_a_hit_without_its_index_values_is_the_same_version_in_the_same_place(
    mongodb_uri: str, database_name: str
) -> None:
    async def story() -> None:
        async with opened(mongodb_uri, database_name) as store:
            for day in range(4):
                await observation(store, str(day), 1, dated_index(day, "code=*a"))
            for order in ((), (DATE,), BY_CODE):
                whole = await store.find(Query((SINGLE,)), order, count=9)
                without = await store.find(Query((SINGLE,)), order, count=9, with_index=False)
                assert [hit.version for hit in without] == [hit.version for hit in whole]
                # the moment that they are read as of is another
                assert [hit.position[1:] for hit in without] == [hit.position[1:] for hit in whole]
                assert [list(hit.index.keys) for hit in whole] == [["code=*a"]] * 4
                assert [list(hit.index.keys) for hit in without] == [[]] * 4
                place = without[1].position
                later = await store.find(Query((SINGLE,)), order, after=place, count=9, with_index=False)
                assert [hit.version for hit in later] == [hit.version for hit in whole[2:]]

    run(story)
