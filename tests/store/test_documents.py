"""What a document looks like, to MongoDB and to whoever reads the record in its shell."""

from __future__ import annotations

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from phb_fhir.search.kinds.kind import Index
from phb_fhir.store.documents import document_of, earliest, field_of, index_document, index_of, value_path
from tests.store.stores import version

SEQ = "6b02beb32ac560be575348dd"
NEW_YEAR, NEXT_DAY, SPRING = (f"2026-{day}T00:00:00.000000Z" for day in ("01-01", "01-02", "03-01"))


def test_a_document_has_the_values_its_indexes_are_over() -> None:
    made = Index(
        {"code=*a": None},
        {"date": NEW_YEAR},
        {"date": [{"lo": NEW_YEAR, "hi": NEXT_DAY}], "none": []},
        {"code-date": [{"0": {"k": ["=*a"]}}]},
        "digest",
    )
    document = document_of(version("a")._replace(seq=SEQ), made)
    assert document["seq"] == ObjectId(SEQ)
    assert document["ix"] == {
        "g": "digest",
        "k": ["code=*a"],
        "lo": {"Task": {"date": f"{NEW_YEAR}\t{SEQ}"}},
        "r": {"date": [{"lo": NEW_YEAR, "hi": NEXT_DAY}]},
        "c": {"code-date": [{"0": {"k": ["=*a"]}}]},
    }


def test_what_was_deleted_has_a_place_and_no_values() -> None:
    document = document_of(version("a", text=None), Index({"code=*a": None}), version("a")._replace(seq=SEQ))
    assert (document["deleted"], document["seq"]) == (True, ObjectId(SEQ))
    assert not {"json", "ix"} & set(document)


def test_a_place_is_made_where_there_was_none_and_kept_where_there_was() -> None:
    made = [document_of(version("a"), None)["seq"] for _ in range(2)]
    assert made[0] < made[1]
    before = version("a")._replace(seq=SEQ)
    assert document_of(version("a", 2), None, before)["seq"] == ObjectId(SEQ)
    assert document_of(version("a", 2), None, version("a"))["seq"] > made[1]


@pytest.mark.parametrize(
    ("rows", "long"),
    [
        ([{"lo": NEW_YEAR, "hi": NEXT_DAY}], {}),
        ([{"lo": NEW_YEAR, "hi": "2026-01-02T00:00:00.000001Z"}], {"p~long": NEW_YEAR, "p~end": "2026-01-02T00:00:00.000001Z"}),
        ([{"lo": "", "hi": SPRING}], {"p~long": "", "p~end": SPRING}),
        ([{"lo": SPRING, "hi": "~"}, {"lo": NEW_YEAR, "hi": SPRING}], {"p~long": NEW_YEAR, "p~end": "~"}),
        ([{"lo": "~", "hi": ""}], {}),  # there, without a time
        ([{"lo": "p51054.", "hi": "p51054."}], {}),
        ([{"lo": "p51054.", "hi": "p51055."}], {"p~long": "p51054.", "p~end": "p51055."}),
        ([{"lo": "p51054.", "hi": "p51054.", "u": ["", "|g"]}, {"lo": "p1", "hi": "p3", "u": ["~g"]}], {"p~unit~long": "g|p1", "p~unit~end": "g|p3"}),
    ],
)  # fmt: skip
def test_of_long_intervals_the_first_beginning_and_the_last_end_are_kept(rows: list, long: dict[str, str]) -> None:
    texts = index_document(Index(spans={"p": rows}), "Task", SEQ).get("lo", {}).get("Task", {})
    assert texts == {field_of(name): f"{text}\t{SEQ}" for name, text in long.items()}


@pytest.mark.parametrize(
    ("end", "begin"),
    [
        (NEXT_DAY, NEW_YEAR),
        ("2026-03-01T12:00:00.500000Z", "2026-02-28T12:00:00.500000Z"),
        ("0001-01-01T10:00:00.000000Z", ""),
        ("~", "~"),
        ("", ""),
        ("p51054.", "p51054."),
        ("2026-13-01T00:00:00.000000Z", ""),
    ],
)
def test_an_interval_that_is_not_long_begins_no_more_than_a_day_before_its_end(end: str, begin: str) -> None:
    assert earliest(end) == begin


names = st.text(st.sampled_from("ab.$%2E-~ é"), min_size=1, max_size=8)


@given(names, names)
def test_a_parameter_of_any_name_has_a_field_of_its_own(one: str, other: str) -> None:
    assert not {".", "$"} & set(field_of(one))
    assert (field_of(one) == field_of(other)) == (one == other)
    made = Index(spans={one: [{"lo": "a", "hi": "a"}]}, lo={one: "a"}, joined={one: [{"0": {}}]})
    document = document_of(version("x"), made)
    assert index_of(document) == made


def test_a_path_names_the_type_because_one_index_is_over_all_of_them() -> None:
    assert value_path("Task", "a.b~max") == "ix.lo.Task.a%2Eb~max"
