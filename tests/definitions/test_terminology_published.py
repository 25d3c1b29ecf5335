"""What R4 publishes, HL7's examples and UK Core: all of it is read, judged without a false error, and listed or explained."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from phb_fhir.definitions.terminology import Terminology, core
from phb_fhir.definitions.terminology_value_sets import CannotExpandError
from phb_fhir.outcome import Rejected
from tests.definitions.codes import R4, bound_codes, codes_in

SHARED = Path(__file__).parents[2].parent / "shared" / "conformance"
TERMINOLOGY = core(R4)
TABLES = TERMINOLOGY.loaded.base


def _package():
    found = []
    with tarfile.open(SHARED / "uk-core" / "fhir.r4.ukcore.stu2-2.0.0.tgz") as package:
        for member in package:
            if member.name.endswith(".json"):
                content = json.load(package.extractfile(member))
                if "resourceType" in content:
                    found.append(content)
    return found


@pytest.fixture(scope="module")
def uk_resources():
    return _package()


@pytest.fixture(scope="module")
def uk_core(uk_resources):
    return Terminology.of(R4, uk_resources)


def _bindings():
    """Every binding of R4's types: (strength, value set)."""
    found = set()
    names = R4.resource_types | R4.complex_types
    waiting = [(name, R4.type(name)) for name in names]
    while waiting:
        name, of_type = waiting.pop()
        for element in of_type.elements.values():
            if element.binding and element.binding.value_set:
                found.add((element.binding.strength, element.binding.value_set))
            if element.binding and element.binding.largest:
                found.add(("required", element.binding.largest))
            if element.type.startswith(f"{name}."):
                waiting.append((element.type, R4.type(element.type)))
    return found


# ---- all of R4 ------------------------------------------------------------------------------------

# Value sets with a required binding that cannot be listed, with the reason told.
NOT_LISTED = {
    "http://hl7.org/fhir/ValueSet/all-languages": "BCP 47 language tags is a grammar",
    "http://hl7.org/fhir/ValueSet/mimetypes": "BCP 13 media types is a grammar",
    "http://www.rfc-editor.org/bcp/bcp13.txt": "BCP 13 media types is a grammar",
    "http://hl7.org/fhir/ValueSet/ucum-units": "UCUM is a grammar",
    "http://loinc.org/vs/LL379-9": "the code system LOINC (http://loinc.org) is not loaded here",
}


def test_every_value_set_with_a_required_binding_is_listed_or_says_why_not():
    urls = {url.partition("|")[0]: url for strength, url in _bindings() if strength == "required"}
    assert len(urls) > 200
    told = {}
    for url, canonical in urls.items():
        try:
            assert codes_in(TERMINOLOGY, canonical), url
        except Rejected as refused:
            told[url] = refused.issues[0].text
    assert told.keys() == NOT_LISTED.keys()
    for url, text in told.items():
        assert NOT_LISTED[url] in text


def test_every_binding_of_r4_leads_to_a_value_set_but_for_those_kept_elsewhere():
    elsewhere = {url for _, url in _bindings() if TERMINOLOGY.value_set(url) is None}
    assert elsewhere == {
        "http://dicom.nema.org/medical/dicom/current/output/chtml/part04/sect_B.5.html#table_B.5-1",
        "http://dicom.nema.org/medical/dicom/current/output/chtml/part16/sect_CID_29.html",
        "http://www.rsna.org/RadLex_Playbook.aspx",
    }


@pytest.fixture(scope="module")
def listed():
    """The entries of every value set of R4 that can be listed, and why the others cannot."""
    found, told = {}, {}
    for url in TABLES.value_set_urls():
        try:
            found[url] = TERMINOLOGY.loaded.view(url).entries()
        except CannotExpandError as reason:
            told[url] = reason
    return found, told


def test_nearly_every_value_set_of_r4_can_be_listed_and_each_other_has_its_reason(listed):
    found, told = listed
    assert len(found) + len(told) == len(TABLES.value_set_urls()) == 1320
    assert len(found) >= 1231
    words = ("is not loaded here", "is a grammar, not a list", "is not known here", 'has no property "acme-plasma"')
    assert [url for url, reason in told.items() if not any(word in str(reason) for word in words)] == []


def test_every_code_that_is_listed_is_valid_with_and_without_its_system_and_by_its_own_display(listed):
    wrong = []
    for url, entries in listed[0].items():
        for (system, code), entry in entries.items():
            display = entry.listed.get("display")
            verdict = TERMINOLOGY.validate_code(url, system, code, display)
            if (
                not verdict.valid
                or "calls the code" in verdict.sentence
                or not TERMINOLOGY.validate_code(url, None, code).valid
            ):
                wrong.append((url, system, code, verdict.sentence))
    assert wrong == []


def test_every_code_system_of_r4_can_be_asked():
    for url in TABLES.code_system_urls():
        held = TERMINOLOGY.loaded.held(url)
        for first in list(held.system.concepts)[:1] if held.system is not None else ():
            assert TERMINOLOGY.validate_code_in_system(url, first).valid is True
            assert TERMINOLOGY.lookup(url, first)["parameter"]


def test_the_expansions_hl7_published_have_the_same_codes():
    url = "http://hl7.org/fhir/ValueSet/yesnodontknow"
    assert codes_in(TERMINOLOGY, url) == ["N", "Y", "asked-unknown"]  # in the order of the definition
    # HL7's example of inactive codes was expanded from an older ActMood; what it lists is all still in
    older = TERMINOLOGY.value_set("http://hl7.org/fhir/ValueSet/inactive")["expansion"]["contains"]
    assert {row["code"] for row in older} <= set(codes_in(TERMINOLOGY, "http://hl7.org/fhir/ValueSet/inactive"))


def test_knowing_the_terminology_of_r4_reads_nothing_until_somebody_asks():
    script = (
        "from phb_fhir.definitions.load import load\n"
        "from phb_fhir.definitions.terminology import core\n"
        "known = core(load())\n"
        "assert known.validate_code('http://hl7.org/fhir/ValueSet/account-status', None, 'active').valid\n"
        "print(len(known.loaded.base._value_sets._read), len(known.loaded.base._code_systems._read))\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.split() == ["1", "2"]  # the value set, its code system, and HL7's one supplement


# ---- codes in real resources ----------------------------------------------------------------------


def _refused(terminology, resources, strengths=("required",)):
    """Codes under a required binding none of whose codings is in its value set, or may be."""
    return [
        (resource["resourceType"], resource.get("id"), path, codes)
        for resource in resources
        for strength, url, path, codes in bound_codes(resource)
        if strength in strengths and all(terminology.validate_code(url, *code).valid is False for code in codes)
    ]


def _examples():
    with gzip.open(SHARED / "examples" / "r4-4.0.1-instances.ndjson.gz") as lines:
        return [json.loads(line) for line in lines]


def test_no_code_of_hl7s_497_examples_is_refused_by_a_required_binding():
    examples = _examples()
    assert len(examples) == 497
    assert _refused(TERMINOLOGY, examples) == []


def test_no_code_of_uk_core_or_its_examples_is_refused_by_a_required_binding(uk_resources, uk_core):
    assert len(uk_resources) > 190
    assert _refused(uk_core, uk_resources) == []


def test_a_code_changed_in_an_example_is_refused():
    patient = {
        "resourceType": "Patient",
        "gender": "man",
        "maritalStatus": {"coding": [{"system": "http://snomed.info/sct", "code": "1"}]},
    }
    assert [row[2] for row in _refused(TERMINOLOGY, [patient])] == ["Patient.gender"]
    assert [row[2] for row in _refused(TERMINOLOGY, [patient], ("extensible",))] == ["Patient.maritalStatus"]


def test_what_is_open_under_a_required_binding_of_the_examples_is_open_for_a_system_that_is_not_loaded():
    reasons = {
        verdict.reason
        for example in _examples()
        for strength, url, _, codes in bound_codes(example)
        if strength == "required"
        for verdict in (TERMINOLOGY.validate_code(url, *code) for code in codes)
        if verdict.valid is None
    }
    assert [
        reason for reason in reasons if "is not loaded here" not in reason and "is not known here" not in reason
    ] == []


# ---- UK Core's own expansions ---------------------------------------------------------------------


def _listed_in(rows):
    for row in rows:
        yield row.get("system"), row["code"]
        yield from _listed_in(row.get("contains", []))


def test_the_value_sets_of_uk_core_have_the_codes_its_publisher_listed(uk_resources, uk_core):
    compared = 0
    for resource in uk_resources:
        if resource["resourceType"] != "ValueSet" or "expansion" not in resource:
            continue
        definition = {name: value for name, value in resource.items() if name != "expansion"}
        try:
            made = uk_core.expand(definition)["expansion"].get("contains", [])
        except Rejected as refused:
            assert "SNOMED CT (http://snomed.info/sct) is not loaded here" in refused.issues[0].text  # noqa: PT017
            continue
        compared += 1
        assert set(_listed_in(made)) == set(_listed_in(resource["expansion"]["contains"])), resource["id"]
    assert compared == 41


def test_where_snomed_ct_is_needed_the_expansion_uk_core_published_answers(uk_core):
    url = "https://fhir.hl7.org.uk/ValueSet/UKCore-MedicationForm"
    listed = uk_core.value_set(url)["expansion"]["contains"][0]
    verdict = uk_core.validate_code(url, "http://snomed.info/sct", listed["code"], listed["display"])
    assert (verdict.valid, verdict.sentence, verdict.display) == (True, "", listed["display"])
    assert uk_core.validate_code(url, "http://snomed.info/sct", "73211009").valid is None
    assert uk_core.validate_code(url, "http://loinc.org", "8480-6").valid is False
    assert len(codes_in(uk_core, url)) == 191
