"""Slices and choices in snapshots, on the smallest profile that shows each rule."""

from __future__ import annotations

from tests.definitions.snapshots.small_profiles import BY_SYSTEM, MINE, STRUCTURE, extension, profile, row, sliced_base

# ---- slices --------------------------------------------------------------------------------------


def test_a_slice_is_a_copy_of_its_element_with_its_own_children(made):
    elements = made(
        profile(
            row("Patient.contact", min=1, slicing=BY_SYSTEM, mustSupport=True),
            row("Patient.contact:kin", max="1"),
            row("Patient.contact:kin.gender", min=1),
        )
    )
    kin = elements["Patient.contact:kin"]
    assert (kin["sliceName"], kin["min"], kin["max"]) == ("kin", 0, "1")
    assert "slicing" not in kin
    assert "mustSupport" not in kin, "what is said of the element holds for its slices without being copied"
    assert (elements["Patient.contact.gender"]["min"], elements["Patient.contact:kin.gender"]["min"]) == (0, 1)
    assert elements["Patient.contact:kin.telecom"] == {
        **elements["Patient.contact.telecom"], "id": "Patient.contact:kin.telecom"
    }  # fmt: skip


def test_slices_stand_after_their_element_in_the_order_of_the_differential(made):
    names = ("b", "a", "c")
    rows = [row(f"Patient.identifier:{name}", max="1") for name in names]
    ids = [*made(profile(row("Patient.identifier", slicing=BY_SYSTEM), *rows))]
    first = ids.index("Patient.identifier")
    assert ids[first + 1 : first + 5] == [*(f"Patient.identifier:{name}" for name in names), "Patient.active"]


def test_a_slice_allows_no_more_than_its_element(made):
    rows = row("Patient.identifier", slicing=BY_SYSTEM, max="3"), row("Patient.identifier:a", short="mine")
    assert made(profile(*rows))["Patient.identifier:a"]["max"] == "3"


def test_a_row_without_id_belongs_to_the_slice_before_it(made):
    rows = [
        {"path": "Patient.identifier", "slicing": BY_SYSTEM},
        {"path": "Patient.identifier", "sliceName": "a"},
        {"path": "Patient.identifier.system", "fixedUri": "urn:a"},
        {"path": "Patient.identifier", "sliceName": "b"},
        {"path": "Patient.identifier.system", "fixedUri": "urn:b"},
    ]
    elements = made(profile(*rows))
    assert elements["Patient.identifier:a.system"]["fixedUri"] == "urn:a"
    assert elements["Patient.identifier:b.system"]["fixedUri"] == "urn:b"


def test_a_row_without_id_below_another_element_belongs_to_no_slice(made):
    rows = [
        {"path": "Patient.identifier", "slicing": BY_SYSTEM},
        {"path": "Patient.identifier", "sliceName": "a"},
        {"path": "Patient.name.family", "min": 1},
    ]
    assert made(profile(*rows))["Patient.name.family"]["min"] == 1


def test_a_derived_profile_narrows_an_inherited_slice_by_the_id_of_a_row_below_it(made):
    elements = made(profile(row("Patient.identifier:a.value", min=1), base=MINE + "sliced"), sliced_base())
    assert elements["Patient.identifier:a"]["max"] == "1"
    assert elements["Patient.identifier:a.system"]["min"] == 1
    assert elements["Patient.identifier:a.value"]["min"] == 1
    assert "Patient.identifier.value" not in elements


def test_a_derived_profile_adds_a_slice_after_those_of_its_base(made):
    elements = made(profile(row("Patient.identifier:c", max="1"), base=MINE + "sliced"), sliced_base())
    slices = [
        one["sliceName"] for one in elements.values() if one["path"] == "Patient.identifier" and "sliceName" in one
    ]
    assert slices == ["a", "b", "c"]


def test_a_slice_of_a_slice_starts_as_that_slice_and_follows_it(made):
    rows = row("Patient.identifier:a", slicing=BY_SYSTEM), row("Patient.identifier:a/north", min=1)
    elements = made(profile(*rows, base=MINE + "sliced"), sliced_base())
    north = elements["Patient.identifier:a/north"]
    assert (north["sliceName"], north["min"], north["max"]) == ("a/north", 1, "1")
    assert elements["Patient.identifier:a/north.system"]["min"] == 1
    ids = [one["id"] for one in elements.values() if one["path"] == "Patient.identifier"]
    assert ids == ["Patient.identifier", *(f"Patient.identifier:{name}" for name in ("a", "a/north", "b"))]


def test_slices_that_nothing_tells_apart_are_refused(refusal):
    untold = "nothing says how its slices are told apart; the sliced element needs a slicing"
    assert refusal(profile(row("Patient.identifier:a", max="1"))) == ("Patient.identifier:a", untold)
    part = profile(row("Patient.identifier:a/north", max="1"), base=MINE + "sliced")
    assert refusal(part, sliced_base()) == ("Patient.identifier:a/north", untold)


def test_a_row_below_a_slice_that_nobody_introduced_is_refused(refusal):
    rows = row("Patient.identifier", slicing=BY_SYSTEM), row("Patient.identifier:nsh.system", min=1)
    assert refusal(profile(*rows)) == (
        "Patient.identifier:nsh", "no row introduces this slice, and the base has none of this name"
    )  # fmt: skip


def closed_base():
    closed = {**BY_SYSTEM, "rules": "closed"}
    return profile(row("Patient.identifier", slicing=closed), row("Patient.identifier:a", max="1"), name="closed")


def test_a_closed_slicing_takes_no_further_slice_and_is_not_opened(made, refusal):
    more = profile(row("Patient.identifier:b", max="1"), base=MINE + "closed")
    assert refusal(more, closed_base()) == (
        "Patient.identifier:b", "the base's slicing is closed; a profile can narrow its slices, not add one"
    )  # fmt: skip
    opened = profile(row("Patient.identifier", slicing={"rules": "open"}), base=MINE + "closed")
    assert refusal(opened, closed_base())[1] == "its closed slicing is made open; closed it stays"
    assert made(profile(row("Patient.identifier:a", min=1), base=MINE + "closed"), closed_base())


def test_a_second_row_for_one_element_is_refused_as_a_slice_without_a_name(refusal):
    rows = row("Patient.name", min=1), row("Patient.name", max="1")
    assert refusal(profile(*rows)) == (
        "Patient.name", "the differential has a second row for it; a slice is told apart by its sliceName"
    )  # fmt: skip


# ---- choices -------------------------------------------------------------------------------------


def test_value_quantity_is_the_slice_of_that_type_and_leaves_the_others_allowed(made, core):
    elements = made(profile(row("Observation.valueQuantity.unit", min=1), base="Observation"))
    entry, piece = elements["Observation.value[x]"], elements["Observation.value[x]:valueQuantity"]
    assert entry["slicing"] == {"discriminator": [{"type": "type", "path": "$this"}], "ordered": False, "rules": "open"}
    published = next(
        one for one in core[STRUCTURE + "Observation"]["snapshot"]["element"] if one["id"] == "Observation.value[x]"
    )
    assert entry["type"] == published["type"]
    assert (piece["path"], piece["type"]) == ("Observation.value[x]", [{"code": "Quantity"}])
    assert elements["Observation.value[x]:valueQuantity.unit"]["min"] == 1


def test_value_quantity_speaks_of_the_element_where_no_other_type_is_left(made):
    rows = row("Observation.value[x]", type=[{"code": "Quantity"}]), row("Observation.valueQuantity", min=1)
    elements = made(profile(*rows, base="Observation"))
    assert (elements["Observation.value[x]"]["min"], "slicing" in elements["Observation.value[x]"]) == (1, False)
    assert "Observation.value[x]:valueQuantity" not in elements


def test_a_choices_slice_named_for_a_type_is_of_that_type(made):
    elements = made(profile(row("Observation.value[x]:valueString", min=1), base="Observation"))
    assert elements["Observation.value[x]:valueString"]["type"] == [{"code": "string"}]


def test_a_derived_profile_finds_the_inherited_slice_of_a_type_by_either_name(made):
    base = profile(row("Observation.valueQuantity", short="ours"), base="Observation", name="typed")
    short, whole = "Observation.valueQuantity", "Observation.value[x]:valueQuantity"
    for said in (row(short), row(whole), {"id": whole, "path": short}):
        elements = made(profile({**said, "min": 1}, base=MINE + "typed"), base)
        piece = elements["Observation.value[x]:valueQuantity"]
        assert (piece["short"], piece["min"]) == ("ours", 1)


def test_a_row_that_names_the_slice_of_a_shortened_choice_twice_is_one_slice(made):
    said = {"path": "Observation.valueQuantity", "sliceName": "valueQuantity", "min": 1}
    elements = made(profile(said, base="Observation"))
    assert elements["Observation.value[x]:valueQuantity"]["min"] == 1


def test_the_only_shortened_value_in_an_extensions_definition_says_its_type(made):
    one = made(extension(row("Extension.valueCode", min=1)))
    assert (one["Extension.value[x]"]["type"], one["Extension.value[x]"]["min"]) == ([{"code": "code"}], 1)
    two = made(extension(row("Extension.valueCode"), row("Extension.valueString")))
    assert {"Extension.value[x]:valueCode", "Extension.value[x]:valueString"} <= two.keys()


def test_a_choice_that_no_type_explains_is_refused(refusal):
    assert refusal(profile(row("Observation.valueBla", min=1), base="Observation"))[0] == "Observation.valueBla"
