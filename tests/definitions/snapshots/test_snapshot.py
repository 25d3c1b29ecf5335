"""Each rule of making a snapshot, and each refusal, on the smallest profile that shows it: properties, cardinalities, types,
children, and what a profile stands on.
"""

from __future__ import annotations

import copy

import pytest

from phb_fhir.definitions.snapshot import SnapshotFailed, generate_snapshot
from tests.definitions.snapshots.small_profiles import BY_SYSTEM, MINE, STRUCTURE, profile, row, sliced_base


def test_a_profile_without_rows_is_its_base_again(made, core):
    elements = made(profile())
    assert [*elements] == [one["id"] for one in core[STRUCTURE + "Patient"]["snapshot"]["element"]]


def test_what_was_read_stays_as_it_was_and_shares_nothing_with_the_answer(core):
    one = profile(row("Patient.identifier", slicing=BY_SYSTEM), row("Patient.identifier:nhs", min=1, alias=["a"]))
    known = {url: core[STRUCTURE + url] for url in ("Patient", "Identifier")}
    before = copy.deepcopy((one, known))
    first = generate_snapshot(one, core.get)
    expected = copy.deepcopy(first)
    for element in first:
        element.get("type", []).append("spoilt")
        element.get("slicing", {}).clear()
        element.get("alias", []).append("spoilt")
        element["base"].clear()
    assert (one, known) == before
    assert generate_snapshot(one, core.get) == expected


def test_the_properties_stand_in_the_order_in_which_fhir_lists_them(made):
    name = made(profile(row("Patient.name", mustSupport=True, binding={"strength": "example"}, _short={"id": "s"})))
    assert [*name["Patient.name"]] == [
        "id", "path", "short", "_short", "definition", "comment", "requirements", "min", "max", "base", "type", "constraint",
        "mustSupport", "isModifier", "isSummary", "binding", "mapping",
    ]  # fmt: skip


# What one property of the base becomes under one of the profile.
MERGES = {
    "a word replaces the base's": ({"short": "theirs"}, {"short": "mine"}, {"short": "mine"}),
    "an empty differential leaves the base's": ({"short": "theirs"}, {}, {"short": "theirs"}),
    "a text that starts with dots goes on from the base's": (
        {"comment": "Theirs."}, {"comment": "...Mine."}, {"comment": "Theirs.\r\nMine."}),
    "where the base has no text the dots go": ({}, {"requirements": "...Mine."}, {"requirements": "Mine."}),
    "aliases are added, none twice": ({"alias": ["a", "b"]}, {"alias": ["b", "c"]}, {"alias": ["a", "b", "c"]}),
    "conditions are added": ({"condition": ["x-1"]}, {"condition": ["x-2"]}, {"condition": ["x-1", "x-2"]}),
    "a mapping is added": (
        {"mapping": [{"identity": "rim", "map": "a"}]},
        {"mapping": [{"identity": "rim", "map": "b"}]},
        {"mapping": [{"identity": "rim", "map": "a"}, {"identity": "rim", "map": "b"}]}),
    "an example takes the place of the one of its label": (
        {"example": [{"label": "General", "valueString": "a"}]},
        {"example": [{"label": "General", "valueString": "b"}, {"label": "Odd", "valueString": "c"}]},
        {"example": [{"label": "General", "valueString": "b"}, {"label": "Odd", "valueString": "c"}]}),
    "a constraint is added with its source, one of the same key restated": (
        {"constraint": [{"key": "x-1", "severity": "warning", "human": "h", "source": "s"}]},
        {"constraint": [{"key": "x-1", "severity": "error"}, {"key": "x-2", "human": "new"}]},
        {"constraint": [{"key": "x-1", "severity": "error", "human": "h", "source": "s"},
                        {"key": "x-2", "human": "new", "source": MINE + "mine"}]}),
    "a binding keeps what is not restated": (
        {"binding": {"strength": "preferred", "description": "d", "valueSet": "a"}},
        {"binding": {"strength": "required", "valueSet": "b"}},
        {"binding": {"strength": "required", "description": "d", "valueSet": "b"}}),
    "the extensions of a binding are added to its own": (
        {"binding": {"strength": "example", "extension": [{"url": "a"}, {"url": "b"}]}},
        {"binding": {"extension": [{"url": "b", "valueCode": "x"}]}},
        {"binding": {"strength": "example", "extension": [{"url": "a"}, {"url": "b", "valueCode": "x"}]}}),
    "a fixed value replaces the base's whole": (
        {"fixedCoding": {"system": "s", "code": "a"}}, {"fixedCoding": {"code": "b"}}, {"fixedCoding": {"code": "b"}}),
    "a fixed value of another type leaves none of the first": (
        {"fixedString": "a", "_fixedString": {"id": "x"}}, {"fixedCode": "a"}, {"fixedCode": "a"}),
    "a pattern says nothing more than the fixed value of the base": (
        {"fixedString": "a"}, {"patternString": "a"}, {"fixedString": "a"}),
    "a fixed value takes the place of a pattern": ({"patternString": "a"}, {"fixedString": "a"}, {"fixedString": "a"}),
    "must-support is set": ({}, {"mustSupport": True}, {"mustSupport": True}),
    "the base's maturity is not inherited": (
        {"extension": [{"url": STRUCTURE + "structuredefinition-standards-status", "valueCode": "normative"},
                       {"url": "http://example.org/kept", "valueCode": "k"}]},
        {}, {"extension": [{"url": "http://example.org/kept", "valueCode": "k"}]}),
}  # fmt: skip
BARE = {"min": 0, "max": "1", "base": {"path": "Basic.note", "min": 0, "max": "1"}, "type": [{"code": "string"}]}


def small_base(said, name="base"):
    rows = [
        {"id": "Basic", "path": "Basic", "min": 0, "max": "*"},
        {"id": "Basic.note", "path": "Basic.note", **BARE, **said},
    ]
    return profile(base="Basic", name=name, type="Basic", snapshot={"element": rows})


@pytest.mark.parametrize(("base", "stated", "expected"), MERGES.values(), ids=MERGES)
def test_one_property_of_the_base_under_the_profiles(base, stated, expected, made):
    note = made(profile(row("Basic.note", **stated), base=MINE + "base"), small_base(base))["Basic.note"]
    assert note == {"id": "Basic.note", "path": "Basic.note", **BARE, **expected}


def test_an_element_without_base_says_that_it_was_defined_here(made):
    bare = small_base({})
    del bare["snapshot"]["element"][1]["base"]
    note = made(profile(base=MINE + "base", type="Basic"), bare)["Basic.note"]
    assert note["base"] == {"path": "Basic.note", "min": 0, "max": "1"}


# ---- cardinality and types -----------------------------------------------------------------------


def test_a_cardinality_is_narrowed_and_the_base_stays_on_record(made):
    name = made(profile(row("Patient.name", min=1, max="2")))["Patient.name"]
    assert (name["min"], name["max"], name["base"]) == (1, "2", {"path": "Patient.name", "min": 0, "max": "*"})


def test_the_cardinality_of_the_root_is_taken_as_it_is_said(made):
    assert made(profile(row("Patient", min=1, max="1")))["Patient"]["max"] == "1"


WIDER = {
    "more than the base allows": ("Patient.birthDate", {"max": "2"}, "from 0..1 to 0..2"),
    "any number": ("Patient.birthDate", {"max": "*"}, "from 0..1 to 0..*"),
    "fewer than the base asks for": ("Patient.link.other", {"min": 0}, "from 1..1 to 0..1"),
    "none of what the base asks for": ("Patient.link.other", {"max": "0"}, "comes to 1..0"),
    "a minimum above the maximum": ("Patient.name", {"min": 3, "max": "2"}, "comes to 3..2"),
    "a maximum that is a number": ("Patient.name", {"max": 2}, "0..2; min is a whole number, max one as text"),
    "a minimum that is a text": ("Patient.name", {"min": "1"}, "1..*; min is a whole number"),
    "a minimum below nothing": ("Patient.name", {"min": -1}, "-1..*; min is a whole number"),
}


@pytest.mark.parametrize(("id_", "said", "sentence"), WIDER.values(), ids=WIDER)
def test_a_cardinality_that_is_wider_or_none_at_all_is_refused(id_, said, sentence, refusal):
    path, told = refusal(profile(row(id_, **said)))
    assert path == id_
    assert sentence in told


def test_types_are_replaced_by_those_the_profile_leaves(made):
    kept = [{"code": "Reference", "targetProfile": [STRUCTURE + "Patient"]}]
    subject = made(profile(row("Observation.subject", type=kept), base="Observation"))["Observation.subject"]
    assert subject["type"] == kept


def test_a_resource_is_narrowed_to_one_kind_of_resource(made):
    entry = made(profile(row("Bundle.entry.resource", type=[{"code": "Patient"}]), base="Bundle"))
    assert entry["Bundle.entry.resource"]["type"] == [{"code": "Patient"}]


def test_a_type_the_base_does_not_allow_is_refused(refusal):
    path, told = refusal(profile(row("Observation.value[x]", type=[{"code": "Address"}]), base="Observation"))
    assert path == "Observation.value[x]"
    assert told.startswith("its type Address is not among those of the base: Quantity, CodeableConcept, string,")


def test_a_required_binding_is_not_loosened_and_an_example_is_strengthened(made, refusal):
    looser = profile(row("Patient.gender", binding={"strength": "extensible"}))
    assert refusal(looser) == ("Patient.gender", "its required binding is loosened to extensible; it stays required")
    stronger = made(profile(row("Observation.code", binding={"strength": "required"}), base="Observation"))
    assert stronger["Observation.code"]["binding"]["valueSet"] == "http://hl7.org/fhir/ValueSet/observation-codes"
    unknown = profile(row("Observation.code", binding={"strength": "strong"}), base="Observation")
    assert refusal(unknown)[1].startswith('its binding has the strength "strong"; R4 knows example, preferred')


def test_is_modifier_is_restated_but_not_changed(made, refusal):
    assert made(profile(row("Patient.active", isModifier=True)))["Patient.active"]["isModifier"] is True
    changed = profile(row("Patient.name", isModifier=True))
    assert refusal(changed) == ("Patient.name", "isModifier is false in the base; a profile cannot change it")


# ---- children ------------------------------------------------------------------------------------


def test_a_row_below_a_data_type_unfolds_that_type_and_no_other(made, core):
    elements = made(profile(row("Patient.name.family", min=1)))
    unfolded = [id_ for id_ in elements if id_.startswith("Patient.name.")]
    of_type = [
        one["id"].replace("HumanName", "Patient.name") for one in core[STRUCTURE + "HumanName"]["snapshot"]["element"]
    ]
    assert unfolded == of_type[1:]
    assert elements["Patient.name.family"]["min"] == 1
    assert elements["Patient.name.family"]["base"] == {"path": "HumanName.family", "min": 0, "max": "1"}
    assert "Patient.address.line" not in elements


def test_a_row_below_a_primitive_unfolds_its_extensions(made):
    elements = made(profile(row("Patient.birthDate.extension:time", type=[_time_extension()])))
    assert elements["Patient.birthDate.extension:time"]["path"] == "Patient.birthDate.extension"
    assert elements["Patient.birthDate.value"]["base"]["path"] == "date.value"


def _time_extension():
    return {"code": "Extension", "profile": [STRUCTURE + "patient-birthTime"]}


def test_an_element_the_base_does_not_have_is_refused_with_those_it_has(refusal):
    path, told = refusal(profile(row("Patient.name.nickname", min=1)))
    assert path == "Patient.name.nickname"
    assert told == (
        "the base has no such element there; it has id, extension, use, text, family, given, prefix, suffix, period"
    )


def test_a_row_below_a_plain_value_is_refused(refusal):
    path, told = refusal(profile(row("Patient.id.extension", max="0")))
    assert (path, told) == ("Patient.id", "it is a plain String and has no children")


def test_below_a_choice_of_types_only_what_all_types_have_is_found(made, refusal):
    common = made(profile(row("Observation.value[x].extension", max="0"), base="Observation"))
    assert common["Observation.value[x].extension"]["max"] == "0"
    assert "Observation.value[x].unit" not in common
    one_type = profile(row("Observation.value[x].unit", min=1), base="Observation")
    assert refusal(one_type) == (
        "Observation.value[x].unit", "the base has no such element there; it has id, extension"
    )  # fmt: skip


def open_value():
    return profile(row("Observation.value[x].extension", short="ours"), base="Observation", name="open")


def test_once_one_type_is_left_its_elements_join_those_the_base_had_unfolded(made):
    rows = row("Observation.value[x]", type=[{"code": "Quantity"}]), row("Observation.value[x].unit", min=1)
    elements = made(profile(*rows, base=MINE + "open"), open_value())
    assert elements["Observation.value[x].extension"]["short"] == "ours"
    assert elements["Observation.value[x].unit"]["min"] == 1


def test_a_profile_laid_over_what_was_unfolded_of_an_open_type_brings_the_rest(made):
    simple = {"code": "Quantity", "profile": [STRUCTURE + "SimpleQuantity"]}
    elements = made(profile(row("Observation.value[x]", type=[simple]), base=MINE + "open"), open_value())
    assert elements["Observation.value[x].extension"]["short"] != "ours", "the profile has the last word"
    assert elements["Observation.value[x].comparator"]["max"] == "0"


def test_a_content_reference_unfolds_what_it_points_at_and_says_its_type(made):
    elements = made(profile(row("Questionnaire.item.item.linkId", short="mine"), base="Questionnaire"))
    item = elements["Questionnaire.item.item"]
    assert "contentReference" not in item
    assert item["type"] == [{"code": "BackboneElement"}]
    assert elements["Questionnaire.item.item.linkId"]["short"] == "mine"
    assert elements["Questionnaire.item.linkId"]["short"] != "mine"
    deeper = elements["Questionnaire.item.item.item"]
    assert deeper["contentReference"] == STRUCTURE + "Questionnaire#Questionnaire.item"


def test_a_content_reference_means_the_types_own_element_and_not_the_profiles(made):
    outer = row("Questionnaire.item.prefix", max="0")
    elements = made(profile(outer, row("Questionnaire.item.item.linkId", short="mine"), base="Questionnaire"))
    assert elements["Questionnaire.item.prefix"]["max"] == "0"
    assert elements["Questionnaire.item.item.prefix"]["max"] == "1"


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("#Basic.elsewhere", "points at no element"),
        ("http://example.org/StructureDefinition/gone#Gone", "is in a definition that is not known"),
    ],
)
def test_a_content_reference_that_leads_nowhere_is_refused(reference, sentence, refusal):
    base = small_base({"type": [], "contentReference": reference})
    path, told = refusal(profile(row("Basic.note.text", min=1), base=MINE + "base"), base)
    assert path == "Basic.note"
    assert told.startswith("its contentReference http://")
    assert told.endswith(sentence)


def test_an_element_without_a_type_has_no_children_to_speak_of(refusal):
    path, told = refusal(profile(row("Basic.note.text", min=1), base=MINE + "base"), small_base({"type": []}))
    assert (path, told) == (
        "Basic.note", "it has no type to take children from; its definition has to give it one"
    )  # fmt: skip


# ---- bases ---------------------------------------------------------------------------------------


def test_a_base_without_a_snapshot_gets_one_on_the_way(made):
    elements = made(profile(row("Patient.identifier:b", max="1"), base=MINE + "sliced"), sliced_base())
    assert (elements["Patient.identifier:b"]["min"], elements["Patient.identifier:b"]["max"]) == (1, "1")


def test_a_base_is_found_with_its_version_or_without(made):
    assert made({**profile(), "baseDefinition": STRUCTURE + "Patient|4.0.1"})


BASES = {
    "unknown": (
        {"baseDefinition": MINE + "gone"},
        "Patient",
        f"the base {MINE}gone is not known; it has to be loaded too",
    ),
    "none": ({"baseDefinition": None}, "Patient", "a profile names its baseDefinition"),
    "another type": (
        {"baseDefinition": STRUCTURE + "Group"},
        "Patient",
        f"the base {STRUCTURE}Group is of the type Group; a profile is of its base's",
    ),
    "no type": ({"type": ""}, MINE + "mine", "a StructureDefinition names the type it is about"),
}


@pytest.mark.parametrize(("more", "path", "sentence"), BASES.values(), ids=BASES)
def test_a_profile_that_stands_on_nothing_is_refused(more, path, sentence, refusal):
    assert refusal(profile(**more)) == (path, sentence)


def test_profiles_that_stand_on_each_other_are_refused_with_the_circle(refusal):
    one, two = (
        profile(base=MINE + "two", name="one", type="Patient"),
        profile(base=MINE + "one", name="two", type="Patient"),
    )
    path, told = refusal(one, one, two)
    assert path == "Patient"
    assert told == (
        "definitions without a snapshot go round in a circle: "
        f"{MINE}one stands on {MINE}two stands on {MINE}one"
    )  # fmt: skip


def test_too_many_profiles_on_top_of_each_other_are_refused_and_a_few_are_not(made, refusal):
    chain = [profile(base=MINE + f"p{i + 1}", name=f"p{i}", type="Patient") for i in range(30)]
    ground = profile(name="p30")
    assert refusal(chain[0], *chain, ground)[1] == "more than 24 definitions without a snapshot stand on each other"
    assert made(chain[10], *chain, ground)


PATHS = {
    "another type": (
        "Group.name",
        'a path starts with the type "Patient" and names every step, and this is "Group.name"',
    ),
    "a step without a name": ("Patient..name", 'names every step, and this is "Patient..name"'),
    "too many steps": ("Patient" + ".extension" * 49, "it lies more than 48 levels deep"),
}


@pytest.mark.parametrize(("where", "sentence"), PATHS.values(), ids=PATHS)
def test_a_row_at_no_place_of_the_type_is_refused(where, sentence, refusal):
    path, told = refusal(profile({"path": where}, type="Patient"))
    assert path == where
    assert sentence in told


BROKEN = {
    "empty": ([], "the snapshot has no elements"),
    "a child before its parent": (
        [{"path": "Basic"}, {"path": "Basic.a.b"}],
        "its parent has no row before it in the snapshot",
    ),
    "a second root": ([{"path": "Basic"}, {"path": "Basic"}], "its parent has no row before it in the snapshot"),
}


@pytest.mark.parametrize(("rows", "sentence"), BROKEN.values(), ids=BROKEN)
def test_a_base_whose_snapshot_is_no_tree_is_refused(rows, sentence, refusal):
    broken = {**small_base({}), "snapshot": {"element": rows}}
    assert refusal(profile(base=MINE + "base", type="Basic"), broken)[1] == sentence


def meal():
    """A logical model: its type is a URL (R4 StructureDefinition.type)."""
    return profile(
        row("Meal", short="A meal"),
        row("Meal.course", min=1, max="*", type=[{"code": "BackboneElement"}]),
        row("Meal.course.dish", min=0, max="1", type=[{"code": "string"}], short="What is eaten"),
        row("Meal.course.side", min=0, max="*", contentReference="#Meal.course"),
        base="DomainResource",
        name="Meal",
        derivation="specialization",
        type=MINE + "Meal",
    )


def test_a_type_of_its_own_adds_elements_that_begin_with_what_their_type_says(made):
    elements = made(meal())
    assert [id_.removeprefix("Meal.course") for id_ in elements][-6:] == [
        "", ".id", ".extension", ".modifierExtension", ".dish", ".side"
    ]  # fmt: skip
    assert elements["Meal"]["base"] == {"path": "Meal", "min": 0, "max": "*"}
    assert elements["Meal.text"]["base"]["path"] == "DomainResource.text"
    assert elements["Meal.course.dish"]["base"] == {"path": "Meal.course.dish", "min": 0, "max": "1"}
    assert [one["key"] for one in elements["Meal.course.dish"]["constraint"]] == ["ele-1"]
    assert elements["Meal.course.side"]["contentReference"] == "#Meal.course"


def test_a_profile_of_a_logical_model_finds_what_its_content_references_mean(made):
    rows = row("Meal.course.dish", min=1), row("Meal.course.side.dish", max="0")
    elements = made(profile(*rows, base=MINE + "Meal", type=MINE + "Meal"), meal())
    assert (elements["Meal.course.dish"]["min"], elements["Meal.course.side.dish"]["min"]) == (1, 0)
    assert elements["Meal.course.side.side"]["contentReference"] == MINE + "Meal#Meal.course"


def test_a_type_that_walks_into_its_own_content_reference_finds_its_own_element(made):
    deeper = meal()
    deeper["differential"]["element"].append(row("Meal.course.side.dish", short="A side dish"))
    elements = made(deeper)
    assert elements["Meal.course.side.dish"]["short"] == "A side dish"
    assert elements["Meal.course.dish"]["short"] == "What is eaten"


def test_a_definition_that_does_not_say_how_it_derives_is_taken_for_a_profile(refusal):
    unsaid = profile(row("Patient.nickname", min=1))
    del unsaid["derivation"]
    assert refusal(unsaid)[0] == "Patient.nickname"


def test_a_failure_says_where_and_what_in_one_line():
    assert str(SnapshotFailed("it is wrong", "Patient.name")) == "Patient.name: it is wrong"
    assert str(SnapshotFailed("it is wrong", "")) == "it is wrong"
