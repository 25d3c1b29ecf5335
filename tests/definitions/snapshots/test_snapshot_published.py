"""Snapshots made here, against three makers' own: UK Core's (Firely's publisher), R4's profiles and R4's types (HL7's)."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from phb_fhir.definitions.snapshot import SnapshotFailed, generate_snapshot
from tests.definitions.snapshots.small_profiles import STRUCTURE

ROOT = Path(__file__).resolve().parents[3]
UK_CORE = ROOT.parent / "shared" / "conformance" / "uk-core" / "fhir.r4.ukcore.stu2-2.0.0.tgz"


def _uk_core():
    with tarfile.open(UK_CORE, "r:gz") as tgz:
        names = [name for name in tgz.getnames() if name.startswith("package/") and name.count("/") == 1]
        found = [json.load(tgz.extractfile(name)) for name in sorted(names) if name.endswith(".json")]
    return {one["url"]: one for one in found if one.get("resourceType") == "StructureDefinition"}


UK = _uk_core()


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
