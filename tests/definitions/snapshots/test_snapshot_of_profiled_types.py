"""Extensions and profiles of types in snapshots, on the smallest profile that shows each rule."""

from __future__ import annotations

from tests.definitions.snapshots.small_profiles import MINE, STRUCTURE, extension, profile, row


def simple_extension():
    return extension(
        row("Extension", max="1", short="Shoe size", definition="How large the shoe is.", isModifier=False),
        row("Extension.value[x]", min=1, type=[{"code": "integer"}]),
    )


SHOE = {"code": "Extension", "profile": [MINE + "ext"]}


def test_an_extensions_url_is_fixed_to_its_own(made):
    assert made(simple_extension())["Extension.url"]["fixedUri"] == MINE + "ext"
    said = made(extension(row("Extension.url", fixedUri="urn:said")))
    assert said["Extension.url"]["fixedUri"] == "urn:said"


def test_an_extension_slice_takes_over_what_the_extension_says_of_itself(made):
    elements = made(profile(row("Patient.extension:shoe", type=[SHOE])), simple_extension())
    shoe = elements["Patient.extension:shoe"]
    assert (shoe["short"], shoe["definition"], shoe["max"]) == ("Shoe size", "How large the shoe is.", "1")
    assert shoe["base"] == {"path": "DomainResource.extension", "min": 0, "max": "*"}
    assert {"ele-1", "ext-1"} <= {one["key"] for one in shoe["constraint"]}
    assert elements["Patient.extension"]["slicing"] == {
        "discriminator": [{"type": "value", "path": "url"}],
        "description": "Extensions are always sliced by (at least) url",
        "rules": "open",
    }
    assert "Patient.extension:shoe.url" not in elements


def test_a_modifier_extension_is_sliced_and_unfolded_in_the_same_way(made):
    modifier = extension(row("Extension", isModifier=True, isModifierReason="It turns it round."), name="not")
    said = {"code": "Extension", "profile": [MINE + "not"]}
    rows = row("Patient.modifierExtension:not", type=[said]), row("Patient.modifierExtension:not.extension", max="0")
    elements = made(profile(*rows), modifier)
    assert elements["Patient.modifierExtension"]["slicing"]["discriminator"] == [{"type": "value", "path": "url"}]
    assert elements["Patient.modifierExtension:not"]["isModifierReason"] == "It turns it round."
    assert elements["Patient.modifierExtension:not.url"]["fixedUri"] == MINE + "not"


def test_what_the_profile_says_of_an_extension_slice_comes_last(made):
    rows = row("Patient.extension:shoe", short="Left shoe", min=1, max="*", type=[SHOE])
    shoe = made(profile(rows), simple_extension())["Patient.extension:shoe"]
    assert (shoe["short"], shoe["definition"]) == ("Left shoe", "How large the shoe is.")
    assert (shoe["min"], shoe["max"]) == (1, "1"), "the extension's own maximum holds too"


def test_a_row_below_an_extension_slice_unfolds_the_extension(made):
    rows = row("Patient.extension:shoe", type=[SHOE]), row("Patient.extension:shoe.value[x]", short="mine")
    elements = made(profile(*rows), simple_extension())
    assert elements["Patient.extension:shoe.url"]["fixedUri"] == MINE + "ext"
    value = elements["Patient.extension:shoe.value[x]"]
    assert (value["short"], value["min"], value["type"]) == ("mine", 1, [{"code": "integer"}])


def test_an_extension_inside_itself_is_named_and_not_unfolded_for_ever(made):
    itself = {"code": "Extension", "profile": [MINE + "ext"]}
    elements = made(extension(row("Extension.extension:again", type=[itself])))
    assert elements["Extension.extension:again"]["type"] == [itself]


def test_the_parts_of_an_extension_without_a_definition_of_their_own_are_told_by_name(made):
    size = (
        row("Extension.extension:size", max="1"),
        row("Extension.extension:size.value[x]", type=[{"code": "integer"}]),
    )
    elements = made(extension(*size))
    assert elements["Extension.extension:size.url"]["fixedUri"] == "size"


def test_an_unknown_profile_of_a_type_stays_named_and_its_type_is_unfolded(made):
    unknown = {"code": "Address", "profile": [MINE + "unknown"]}
    elements = made(profile(row("Patient.address", type=[unknown]), row("Patient.address.city", min=1)))
    assert elements["Patient.address"]["type"] == [unknown]
    assert elements["Patient.address.city"]["min"] == 1


def dutch_address():
    return profile(
        row("Address", constraint=[{"key": "nl-1", "severity": "error", "human": "h"}]),
        row("Address.line", min=1),
        row("Address.city", max="0"),
        base="Address",
        name="nl",
        kind="complex-type",
    )


DUTCH = {"code": "Address", "profile": [MINE + "nl"]}


def test_a_profile_of_a_data_type_lends_its_root_and_below_a_row_its_children(made):
    root_only = made(profile(row("Patient.address", type=[DUTCH])), dutch_address())
    assert [one["key"] for one in root_only["Patient.address"]["constraint"]] == ["ele-1", "nl-1"]
    assert root_only["Patient.address"]["constraint"][1]["source"] == MINE + "nl"
    assert "Patient.address.line" not in root_only
    rows = row("Patient.address", type=[DUTCH]), row("Patient.address.district", min=1)
    unfolded = made(profile(*rows), dutch_address())
    assert unfolded["Patient.address.line"]["min"] == 1
    assert unfolded["Patient.address.district"]["min"] == 1


def test_over_children_the_base_had_unfolded_the_narrower_of_both_holds(made):
    base = profile(
        row("Patient.address.line", max="2"),
        row("Patient.address.city", short="ours"),
        row("Patient.address.district", min=1),
        name="unfolded",
    )
    elements = made(profile(row("Patient.address", type=[DUTCH]), base=MINE + "unfolded"), base, dutch_address())
    line, city = elements["Patient.address.line"], elements["Patient.address.city"]
    assert (line["min"], line["max"], city["max"]) == (1, "2", "0")
    assert elements["Patient.address.district"]["min"] == 1


def test_slices_of_a_profile_of_a_type_join_those_the_base_has_or_narrow_them(made):
    lines = {"discriminator": [{"type": "value", "path": "$this"}], "rules": "open"}
    base = profile(
        row("Patient.address.line", slicing=lines),
        row("Patient.address.line:house", short="ours"),
        name="unfolded",
    )
    narrow = profile(
        row("Address.line", slicing={**lines, "ordered": True}),
        row("Address.line:house", min=1),
        row("Address.line:house.extension", max="0"),
        row("Address.line:street", min=1),
        base="Address",
        name="nl",
    )
    elements = made(profile(row("Patient.address", type=[DUTCH]), base=MINE + "unfolded"), base, narrow)
    house, street = elements["Patient.address.line:house"], elements["Patient.address.line:street"]
    assert (house["min"], street["min"]) == (1, 1)
    assert elements["Patient.address.line"]["slicing"]["ordered"] is True
    assert elements["Patient.address.line:house.extension"]["max"] == "0"


def test_several_profiles_of_a_type_are_kept_and_none_is_laid_over(made):
    either = {"code": "Address", "profile": [MINE + "nl", MINE + "other"]}
    elements = made(profile(row("Patient.address", type=[either]), row("Patient.address.city", min=1)), dutch_address())
    assert [one["key"] for one in elements["Patient.address"]["constraint"]] == ["ele-1"]
    assert elements["Patient.address.city"]["min"] == 1


def test_a_profile_of_another_type_is_refused(refusal):
    wrong = profile(row("Patient.name", type=[{"code": "HumanName", "profile": [MINE + "nl"]}]))
    path, told = refusal(wrong, dutch_address())
    assert (path, told) == ("Patient.name", f"its type is HumanName, and its profile {MINE}nl is of a Address")


def test_a_profiled_resource_keeps_its_invariants_to_itself(made):
    patient = profile(row("Patient", constraint=[{"key": "p-1", "human": "%resource"}]), name="patient")
    inner = row("Bundle.entry.resource", type=[{"code": "Patient", "profile": [MINE + "patient"]}])
    resource = made(profile(inner, base="Bundle"), patient)["Bundle.entry.resource"]
    assert "p-1" not in {one["key"] for one in resource.get("constraint", ())}


def test_a_profile_may_name_one_element_of_a_profile(made, refusal):
    library = profile(
        row("Composition.section", slicing={"rules": "open", "discriminator": [{"type": "value", "path": "code"}]}),
        row("Composition.section:plan", short="The plan"),
        row("Composition.section:plan.title", min=1),
        base="Composition",
        name="library",
    )

    def using(part):
        beside = [{"extension": [{"url": STRUCTURE + "elementdefinition-profile-element", "valueString": part}]}]
        named = {"code": "BackboneElement", "profile": [MINE + "library"], "_profile": beside}
        return profile(row("Composition.section", type=[named]), base="Composition")

    elements = made(using("Composition.section:plan"), library)
    assert elements["Composition.section"]["short"] == "The plan"
    assert elements["Composition.section.title"]["min"] == 1
    assert refusal(using("Composition.section:gone"), library) == (
        "Composition.section", f"its profile {MINE}library has no element Composition.section:gone"
    )  # fmt: skip
