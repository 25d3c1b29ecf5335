"""The implementation guide in `profiles/` is well made, whole, and means what it says.

Every definition is valid and can be used; every name in one leads to another. Every profile has an example that meets it,
and every rule a counter-example: a whole resource that breaks that rule and no other (`counter-examples/reasons.json` says
which). What is only about people, plans and tasks is in `test_guide_people.py`.
"""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from phb_fhir.definitions.guide import read_guide
from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.definitions.terminology import terminology_of
from phb_fhir.fhir import codec
from phb_fhir.fhir.path import locate
from phb_fhir.outcome import Issue
from phb_fhir.validation.governed import governance_of, is_governed_alone
from phb_fhir.validation.validate import validate
from tools import build_guide

Resource = dict[str, Any]

ROOT = Path(__file__).parents[2]
PROFILES = ROOT / "profiles"
OURS = "https://fhir.phb.nhs.example"
GOVERNS = f"{OURS}/StructureDefinition/phb-governs"
LIFECYCLE = f"{OURS}/StructureDefinition/phb-lifecycle-status"
DEFINITIONS = sorted(PROFILES.glob("*-*.json"))
EXAMPLES = sorted((PROFILES / "examples").glob("*.json"))
COUNTER_EXAMPLES = sorted((PROFILES / "counter-examples").glob("*-*.json"))
TODAY = date(2026, 11, 22)

# Warnings that say nothing against a resource: what is not loaded, and where R4 advises other words than ours.
HARMLESS = (
    re.compile(r"\(dom-6\)\.$"),  # a narrative is good practice
    re.compile(r"the code system SNOMED CT \(http://snomed\.info/sct\) is not loaded here"),
    re.compile(r"https://fhir\.hl7\.org\.uk/"),  # UK Core is a package that an installation may load
    re.compile(r"is not in the value set Consent "),  # bound extensibly, and about consents of other kinds
)


def name_of(path: Path) -> str:
    return path.stem


@cache
def read(path: Path) -> Resource:
    made: Resource = codec.loads(path.read_bytes(), depth_max=200)
    return made


@cache
def known() -> Registry:
    return Registry.of(load(), read_guide(PROFILES).resources)


@cache
def reasons() -> dict[str, Resource]:
    """Why each counter-example is wrong, by its file."""
    rows = json.loads((PROFILES / "counter-examples" / "reasons.json").read_text(encoding="utf-8"))
    return {row["file"]: row for row in rows}


def of_type(kind: str) -> list[Resource]:
    return [made for made in map(read, DEFINITIONS) if made["resourceType"] == kind]


def profiles() -> list[Resource]:
    """The profiles of resource types, not of data types and no extensions."""
    return [made for made in of_type("StructureDefinition") if made["kind"] == "resource"]


def issues(resource: Resource, *urls: str) -> list[Issue]:
    """Errors, and warnings that say something against the resource."""
    found = validate(resource, load(), urls, known=known(), today=TODAY)
    return [issue for issue in found if issue.severity != "information" and not is_harmless(issue)]


def is_harmless(issue: Issue) -> bool:
    return issue.severity == "warning" and any(words.search(issue.text) for words in HARMLESS)


def told(found: list[Issue]) -> list[str]:
    return [f"{issue.severity} {issue.expression}: {issue.text}" for issue in found]


def walk(value: Any) -> Iterator[Resource]:
    """Every object in `value`."""
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(child)


definition = pytest.mark.parametrize("path", DEFINITIONS, ids=name_of)
example = pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
counter_example = pytest.mark.parametrize("path", COUNTER_EXAMPLES, ids=name_of)
structure = pytest.mark.parametrize("made", of_type("StructureDefinition"), ids=lambda made: made["id"])
each_profile = pytest.mark.parametrize("made", profiles(), ids=lambda made: made["id"])


# ---- the definitions -------------------------------------------------------------------------------------------------


def test_the_guide_holds_what_it_promises() -> None:
    there = Counter(read(path)["resourceType"] for path in DEFINITIONS)
    assert there["StructureDefinition"] > 60
    assert there["CodeSystem"] > 45
    assert there["SearchParameter"] > 20
    assert there["OperationDefinition"] > 20
    assert there["ImplementationGuide"] == 1
    assert len(EXAMPLES) > 40
    assert len(COUNTER_EXAMPLES) > 100


@definition
def test_a_definition_is_valid(path: Path) -> None:
    assert told(issues(read(path))) == []


@definition
def test_a_definition_is_a_draft_of_this_guide_and_says_what_it_is_for(path: Path) -> None:
    made, guide = read(path), read(build_guide.GUIDE)
    assert made["status"] == "draft"
    assert {key: made[key] for key in ("version", "publisher")} == {key: guide[key] for key in ("version", "publisher")}
    assert len(made["description"]) > 20
    assert made.get("title", made["name"])


@pytest.mark.parametrize("path", [*EXAMPLES, *COUNTER_EXAMPLES], ids=name_of)
def test_an_example_file_is_pretty_printed_so_that_a_change_shows_line_by_line(path: Path) -> None:
    assert path.read_bytes() == codec.dumps_pretty(read(path)) + b"\n"


def test_no_two_definitions_have_the_same_name_or_url() -> None:
    names = Counter((made["resourceType"], made["name"]) for made in map(read, DEFINITIONS))
    urls = Counter(read(path)["url"] for path in DEFINITIONS)
    assert [one for one, times in (names + urls).items() if times > 1] == []


def says(whole: Any, part: Any) -> bool:
    """Whether everything in `part` is in `whole`, which may say more."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and says(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(says(one, wanted) for one in whole) for wanted in part)
    return bool(whole == part)


@structure
def test_a_snapshot_can_be_made_and_says_all_that_the_differential_says(made: Resource) -> None:
    assert "snapshot" not in made
    assert known().structure_problem(made["url"]) == ""
    whole = known().structure(made["url"])
    assert whole is not None
    by_id = {element["id"]: element for element in whole["snapshot"]["element"]}
    for element in made["differential"]["element"]:
        assert says(by_id[element["id"]], element), element["id"]


@structure
def test_the_elements_of_a_differential_stand_in_the_order_of_the_type(made: Resource) -> None:
    whole = known().structure(made["url"])
    assert whole is not None
    places = {element["id"]: place for place, element in enumerate(whole["snapshot"]["element"])}
    order = [places[element["id"]] for element in made["differential"]["element"]]
    assert order == sorted(order)


def invariants() -> dict[str, tuple[str, Resource]]:
    """Our invariants by key, with the profile each is of."""
    return {
        rule["key"]: (made["url"], rule)
        for made in of_type("StructureDefinition")
        for element in made["differential"]["element"]
        for rule in element.get("constraint", ())
    }


def test_an_invariant_has_a_key_of_its_own_and_says_in_words_what_it_asks() -> None:
    stated = [
        (rule["key"], rule["expression"])
        for made in of_type("StructureDefinition")
        for element in made["differential"]["element"]
        for rule in element.get("constraint", ())
    ]
    different = {(key, expression) for key, expression in stated}
    assert [key for key, times in Counter(key for key, _ in different).items() if times > 1] == []
    for key, (_, rule) in invariants().items():
        assert re.fullmatch(r"phb-[a-z]+(-[a-z]+)*-\d+", key), key
        assert len(rule["human"]) > 20, key


# ---- what names something else -----------------------------------------------------------------------------------------

STRUCTURES = ("baseDefinition", "refersTo")
STRUCTURE_LISTS = ("profile", "targetProfile")


def named_structures(made: Resource) -> Iterator[str]:
    for value in walk(made):
        for key in STRUCTURES:
            if key in value:
                yield value[key]
        if value.get("url") == "refersTo":
            yield value["valueCanonical"]
        for key in STRUCTURE_LISTS:
            yield from value.get(key, ()) if isinstance(value.get(key), list) else ()


def named_value_sets(made: Resource) -> Iterator[str]:
    for value in walk(made):
        for key in ("valueSet", "answerValueSet"):
            urls = value.get(key, ())
            yield from [urls] if isinstance(urls, str) else urls


@definition
def test_what_a_definition_names_is_there(path: Path) -> None:
    made, codes = read(path), terminology_of(known())
    assert [url for url in named_structures(made) if known().structure(url) is None] == []
    assert [url for url in named_value_sets(made) if codes.value_set(url) is None] == []


def test_a_name_that_leads_nowhere_is_told() -> None:
    assert known().structure(f"{OURS}/StructureDefinition/phb-piggy-bank") is None
    assert terminology_of(known()).value_set(f"{OURS}/ValueSet/phb-piggy-bank") is None


def test_a_value_set_has_codes_unless_its_code_system_is_not_ours_to_publish() -> None:
    codes = terminology_of(known())
    for made in of_type("ValueSet"):
        include = made["compose"]["include"]
        if all(row.get("system", OURS) != "http://snomed.info/sct" for row in include):
            assert codes.expand(made["url"])["expansion"]["contains"], made["id"]


@pytest.mark.parametrize(("tool", "count"), [("adult", 12), ("cyp", 10)])
def test_the_decision_support_tools_have_their_domains(tool: str, count: int) -> None:
    expanded = terminology_of(known()).expand(f"{OURS}/ValueSet/phb-dst-domain-{tool}")
    domains = {row["code"] for row in expanded["expansion"]["contains"]}
    story = {"adult": "jill", "cyp": "family"}[tool]
    form = read(ROOT / "examples" / story / f"Questionnaire-dst-{tool}.json")
    assert len(domains) == count
    assert domains == {item["linkId"] for item in form["item"][0]["item"]}


def test_the_rules_on_criteria_ask_for_the_value_that_the_code_system_says() -> None:
    system = read(PROFILES / "CodeSystem-phb-candidate-criterion.json")
    kinds = {row["code"]: row["property"][0]["valueString"] for row in system["concept"]}
    asked = {
        code: rule["expression"].rpartition(" ")[2]
        for key, (_, rule) in invariants().items()
        if key.startswith("phb-crit-")
        for code in re.findall(r"'([a-z0-9-]+)'", rule["expression"].partition("code in (")[2])
    }
    assert asked == kinds


# ---- searching and operations ------------------------------------------------------------------------------------------


@cache
def instances() -> dict[str, list[Resource]]:
    """The guide's examples and those of the stories, by type."""
    found: dict[str, list[Resource]] = {}
    for path in (*EXAMPLES, *sorted((ROOT / "examples").glob("*/*-*.json"))):
        made = codec.loads(path.read_bytes(), depth_max=200)
        if isinstance(made, dict):
            found.setdefault(made["resourceType"], []).append(made)
    return found


@pytest.mark.parametrize("made", of_type("SearchParameter"), ids=lambda made: made["id"])
def test_a_search_parameter_finds_something_in_an_example_and_is_none_of_r4s(made: Resource) -> None:
    (base,) = made["base"]
    found = [locate(one, made["expression"], load()).places for one in instances()[base]]
    assert any(found), made["expression"]
    assert made["code"] not in load().search_parameters(base)
    assert set(made.get("target", ())) <= load().resource_types
    assert made["id"] == f"phb-{base.lower()}-{made['code']}"


@pytest.mark.parametrize("made", of_type("OperationDefinition"), ids=lambda made: made["id"])
def test_an_operation_is_of_one_type_or_of_the_system_and_its_parameters_have_types_or_parts(made: Resource) -> None:
    if made["system"]:
        assert (made["id"], made["type"], made["instance"]) == (f"phb-{made['code']}", False, False)
        assert "resource" not in made
    else:
        (base,) = made["resource"]
        assert base in load().resource_types
        assert made["id"] == f"phb-{base.lower()}-{made['code']}"
        assert made["type"] != made["instance"]
    for parameter in walk(made["parameter"]):
        if "use" in parameter:
            assert ("type" in parameter) != ("part" in parameter), parameter["name"]
            assert "type" not in parameter or load().has_type(parameter["type"])


# ---- examples ----------------------------------------------------------------------------------------------------------


@example
def test_an_example_of_the_guide_meets_its_profiles(path: Path) -> None:
    made = read(path)
    assert path.stem == f"{made['resourceType']}-{made['id']}"
    assert told(issues(made)) == []


def test_every_profile_has_an_example() -> None:
    shown = {url for path in EXAMPLES for url in read(path).get("meta", {}).get("profile", ())}
    assert {made["url"] for made in profiles()} - shown == set()


def test_a_reference_between_examples_leads_to_an_example() -> None:
    there = {f"{read(path)['resourceType']}/{read(path)['id']}" for path in EXAMPLES}
    named = {
        value["reference"]
        for path in EXAMPLES
        for value in walk(read(path))
        if isinstance(value.get("reference"), str) and not value["reference"].startswith("#")
    }
    assert named - there == set()


@pytest.mark.parametrize("story", ["jill", "family", "requests"])
def test_a_story_meets_the_profiles_that_govern_it(story: str) -> None:
    for path in sorted((ROOT / "examples" / story).glob("*.json")):
        made = codec.loads(path.read_bytes(), depth_max=200)
        if isinstance(made, dict):
            assert told([issue for issue in issues(made) if issue.is_error]) == [], path.name


def test_the_purchases_to_try_meet_their_profile_though_they_claim_none() -> None:
    requests = ROOT / "examples" / "requests"
    bundled = [entry["resource"] for entry in read(requests / "transaction.json")["entry"]]
    purchases = [read(requests / "purchase.json"), *(one for one in bundled if one["resourceType"] == "ChargeItem")]
    assert len(purchases) == 2
    for purchase in purchases:
        assert "meta" not in purchase
        assert told(issues(purchase, f"{OURS}/StructureDefinition/phb-purchase")) == []


def coded_rows(made: Resource) -> list[Resource]:
    """The `phb-governs` of a profile that go by a code."""
    rows = [e["extension"] for e in made.get("extension", ()) if e["url"] == GOVERNS]
    return [row for row in rows if any(part["url"] == "system" for part in row)]


@each_profile
def test_a_profile_that_governs_by_content_governs_its_own_examples(made: Resource) -> None:
    if not coded_rows(made):
        assert made["url"] not in {row.profile for row in _by_code(made["type"])}
        return
    own = [read(path) for path in EXAMPLES if made["url"] in read(path).get("meta", {}).get("profile", ())]
    for one in own:
        assert is_governed_alone(known(), one, made["url"]), one["id"]


def _by_code(type_: str) -> tuple[Any, ...]:
    rows = governance_of(known()).of(type_)
    return () if rows is None else rows.by_code


# ---- counter-examples --------------------------------------------------------------------------------------------------


def test_every_counter_example_has_its_reason_and_every_reason_its_counter_example() -> None:
    assert set(reasons()) == {path.name for path in COUNTER_EXAMPLES}


def fails_by(issue: Issue, why: Resource) -> bool:
    """Whether the issue makes a resource fail: a warning does so only where the reason is one.

    A code that nobody defined is told a second time, at its coding, by its code system; a question without an answer, by
    its questionnaire.
    """
    if issue.severity == "warning" and "severity" not in why:
        return False
    told_again = issue.kind.value == why["code"] == "code-invalid" and issue.expression != why["expression"]
    is_unanswered = issue.kind.value == "required" and issue.expression == "QuestionnaireResponse.item"
    return not is_unanswered and not (told_again and issue.expression.startswith(f"{why['expression']}."))


@counter_example
def test_a_counter_example_fails_for_its_reason_and_for_no_other(path: Path) -> None:
    why = reasons()[path.name]
    found = issues(read(path), why["profile"])
    own = [one for one in found if fails_by(one, why)]
    assert [(one.severity, one.expression, one.kind.value) for one in own] == [
        (why.get("severity", "error"), why["expression"], why["code"])
    ], told(found)
    assert why["words"] in own[0].text


def test_every_invariant_has_a_counter_example() -> None:
    proven = {key for row in reasons().values() for key in re.findall(r"phb-[a-z]+(?:-[a-z]+)*-\d+", row["words"])}
    assert invariants().keys() - proven == set()


def test_every_profile_has_a_counter_example() -> None:
    assert {made["url"] for made in profiles()} - {row["profile"] for row in reasons().values()} == set()


# ---- a record can always be put right ------------------------------------------------------------------------------------


def entered_in_error(resource: Resource) -> Resource:
    """The resource, said to be an error."""
    wrong = copy.deepcopy(resource)
    wrong["status"] = "entered-in-error"
    for extension in wrong.get("extension", ()):
        if extension["url"] == LIFECYCLE:
            extension["valueCode"] = "entered-in-error"
    return wrong


def may_be_an_error(resource: Resource) -> bool:
    codes = known().definitions.type(resource["resourceType"]).elements.get("status")
    if codes is None or codes.binding is None:
        return False
    listed = load().codes(codes.binding.value_set) or {}
    return any("entered-in-error" in there for there in listed.values())


def wrong_as_a_whole() -> list[Path]:
    """The counter-examples that break a rule on the whole of a record, of those that can be declared an error."""
    return [
        path
        for path in COUNTER_EXAMPLES
        if reasons()[path.name]["expression"] == read(path)["resourceType"] and may_be_an_error(read(path))
    ]


@pytest.mark.parametrize("path", wrong_as_a_whole(), ids=name_of)
def test_a_record_that_breaks_a_rule_can_be_entered_in_error(path: Path) -> None:
    """What the rules on the whole of a record ask is not asked of one that is declared an error."""
    assert told(issues(entered_in_error(read(path)), reasons()[path.name]["profile"])) == []


# ---- the package -------------------------------------------------------------------------------------------------------


def test_the_guide_lists_everything_there_is() -> None:
    assert build_guide.GUIDE.read_bytes() == build_guide.written()


def test_the_package_manifest_agrees_with_the_guide() -> None:
    manifest, guide = read_guide(PROFILES).manifest(), read(build_guide.GUIDE)
    assert manifest["name"] == guide["packageId"] == "phb.example.r4"
    assert manifest["version"] == guide["version"]
    assert manifest["fhirVersions"] == guide["fhirVersion"] == ["4.0.1"]
    assert manifest["canonical"] == OURS
    assert guide["url"] == f"{OURS}/ImplementationGuide/phb"
    assert manifest["dependencies"] == {"hl7.fhir.r4.core": "4.0.1"}
    assert (manifest["title"], manifest["description"]) == (guide["title"], guide["description"])


# ---- for other validators ---------------------------------------------------------------------------------------------

FOR_EVERY_VALIDATOR = ("Canonical", "Code", "CodeableConcept", "Coding", "Identifier", "Uri", "Boolean")


def test_profiles_hold_values_to_what_every_validator_compares() -> None:
    """HL7's own refuses any Money that is held to a pattern: it knows how to compare some types only."""
    held = {
        name: element["id"]
        for profile in profiles()
        for element in profile["differential"]["element"]
        for name in element
        if name.startswith(("fixed", "pattern"))
    }
    assert {name: where for name, where in held.items() if not name.endswith(FOR_EVERY_VALIDATOR)} == {}


def test_no_invariant_asks_for_the_rest_of_a_division() -> None:
    """By HL7's own engine £45.50 is no whole number of pence: the rest of a decimal is -0.0 there, which is not 0."""
    assert [key for key, (_, rule) in invariants().items() if " mod " in rule["expression"]] == []
