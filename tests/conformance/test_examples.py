"""The two stories in `examples/` hold together, and speak the language that `profiles/` defines.

Jill's story and the family's are what the demo loads and the documentation quotes, so each file is held to everything a
reader would trust it for: it is valid, what it points to is there, its NHS numbers are well-formed, its sums are right, and
every code and extension of ours that it uses is defined. The checks that could pass by mistake are shown to fail, too.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import re
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from phb_fhir.definitions.guide import read_guide
from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.definitions.walk import references
from phb_fhir.fhir import codec
from phb_fhir.fhir.codec import Exact
from phb_fhir.fhir.patch import apply_fhirpath_patch, apply_json_patch
from phb_fhir.validation.validate import validate

if TYPE_CHECKING:
    from collections.abc import Iterator

Resource = dict[str, Any]

ROOT = Path(__file__).parents[2]
EXAMPLES, PROFILES = ROOT / "examples", ROOT / "profiles"
OURS = "https://fhir.phb.nhs.example"
NHS_NUMBER = "https://fhir.nhs.uk/Id/nhs-number"
STORIES = {story: sorted((EXAMPLES / story).glob("*.json")) for story in ("jill", "family")}
FILES = [path for paths in STORIES.values() for path in paths]
REQUESTS = sorted((EXAMPLES / "requests").glob("*.json"))
ARTEFACTS = sorted(PROFILES.glob("*-*.json"))  # what is no FHIR resource there, package.json, has no hyphen


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


example = pytest.mark.parametrize("path", FILES, ids=name_of)
example_or_request = pytest.mark.parametrize("path", [*FILES, *REQUESTS], ids=name_of)
artefact = pytest.mark.parametrize("path", ARTEFACTS, ids=name_of)


@cache
def read(path: Path) -> Any:
    return codec.loads(path.read_bytes(), depth_max=64)


@cache
def story(name: str) -> dict[str, Resource]:
    """The resources of a story by `Type/id`."""
    return {f"{r['resourceType']}/{r['id']}": r for r in map(read, STORIES[name])}


@cache
def everything() -> dict[str, Resource]:
    return story("jill") | story("family")


@cache
def defined(kind: str) -> dict[str, Resource]:
    """Our artefacts of one type by canonical url."""
    return {r["url"]: r for r in map(read, ARTEFACTS) if r["resourceType"] == kind}


@cache
def known() -> Registry:
    """R4's definitions and ours, with snapshots."""
    return Registry.of(load(), read_guide(PROFILES).resources)


def extensions_defined() -> dict[str, Resource]:
    return {url: made for url, made in defined("StructureDefinition").items() if made["type"] == "Extension"}


def of_type(resource_type: str) -> list[Resource]:
    return [r for r in everything().values() if r["resourceType"] == resource_type]


def walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every object in `value` with its element path, array indexes left out: `CarePlan.activity`."""
    if isinstance(value, dict):
        yield path, value
        for key, child in value.items():
            yield from walk(child, f"{path}.{key}")
    elif isinstance(value, list):
        for child in value:
            yield from walk(child, path)


def objects(resource: Any) -> list[tuple[str, Any]]:
    return list(walk(resource, resource["resourceType"] if isinstance(resource, dict) else ""))


def extensions(element: Resource, name: str) -> list[Any]:
    """The extensions of ours called `name` on `element`: their value, or their parts by url."""
    return [value_of(e) for e in element.get("extension", []) if e["url"] == f"{OURS}/StructureDefinition/{name}"]


def value_of(extension: Resource) -> Any:
    if "extension" in extension:
        return {part["url"]: value_of(part) for part in extension["extension"]}
    return next(value for key, value in extension.items() if key.startswith("value"))


def resources_in(path: Path) -> list[Any]:
    """The resource in a file, or the resources of a Bundle."""
    content = read(path)
    if isinstance(content, dict) and content["resourceType"] == "Bundle":
        return [entry["resource"] for entry in content["entry"]]
    return [content]


# ---- the files -------------------------------------------------------------------------------------------------------


def test_both_stories_and_the_requests_are_there() -> None:
    assert {name: len(paths) > 40 for name, paths in STORIES.items()} == {"jill": True, "family": True}
    assert {path.name for path in REQUESTS} >= {
        "purchase.json",
        "transaction.json",
        "patch.json",
        "fhirpath-patch.json",
    }


@example
def test_an_example_file_is_named_by_the_type_and_id_inside(path: Path) -> None:
    assert path.stem == f"{read(path)['resourceType']}-{read(path)['id']}"


@artefact
def test_a_profile_file_is_named_by_type_and_id_and_its_url_says_them_too(path: Path) -> None:
    made = read(path)
    assert path.stem == f"{made['resourceType']}-{made['id']}"
    assert made["url"] == f"{OURS}/{made['resourceType']}/{made['id']}"


def test_no_id_stands_in_both_stories() -> None:
    assert story("jill").keys() & story("family").keys() == set()


@pytest.mark.parametrize("path", [*FILES, *REQUESTS, *ARTEFACTS], ids=name_of)
def test_a_file_is_pretty_printed_so_that_a_change_shows_line_by_line(path: Path) -> None:
    assert path.read_bytes() == codec.dumps_pretty(read(path)) + b"\n"


# ---- validity --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [p for p in [*FILES, *REQUESTS, *ARTEFACTS] if isinstance(read(p), dict)], ids=name_of)
def test_an_example_or_profile_is_valid_r4(path: Path) -> None:
    assert [(i.expression, i.text) for i in validate(read(path), load()) if i.is_error] == []


def test_an_example_with_a_wrong_code_is_not_valid() -> None:
    wrong = {**everything()["Account/jill-budget"], "status": "draft"}  # R4 has no draft account
    assert [issue.expression for issue in validate(wrong, load()) if issue.is_error] == ["Account.status"]


@example
def test_an_example_is_a_resource_to_another_library_too(path: Path) -> None:
    # fhir.resources knows R4B: close enough to R4 for a second opinion on the types used here
    made: Any = get_fhir_model_class(read(path)["resourceType"]).model_validate_json(path.read_bytes())
    assert made.id == read(path)["id"]


# ---- what points somewhere -------------------------------------------------------------------------------------------


def pointers(resource: Resource) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for place in references(resource, load(), into_bundles=True):
        if place.kind == "Reference":
            yield place.path, place.value, place.targets


@example
def test_a_reference_leads_to_a_resource_of_the_same_story_and_of_an_allowed_type(path: Path) -> None:
    there = story(path.parent.name)
    assert [(where, to) for where, to, _ in pointers(read(path)) if to not in there] == []
    assert [(w, to) for w, to, targets in pointers(read(path)) if targets and to.split("/")[0] not in targets] == []


@pytest.mark.parametrize("path", REQUESTS, ids=name_of)
def test_a_reference_of_a_request_leads_to_an_example_or_into_its_own_bundle(path: Path) -> None:
    request: Resource = read(path) if isinstance(read(path), dict) else {"resourceType": "Basic"}
    own = {entry["fullUrl"] for entry in request.get("entry", [])}
    assert [(where, to) for where, to, _ in pointers(request) if to not in everything().keys() | own] == []


@example_or_request
def test_a_questionnaire_or_directory_item_that_is_named_is_there_in_that_version(path: Path) -> None:
    ours_too = [*everything().values(), *defined("Questionnaire").values()]
    there = {f"{r['url']}|{r['version']}" for r in ours_too if "url" in r}
    named = [
        p.value
        for r in resources_in(path)
        if isinstance(r, dict)
        for p in references(r, load())
        if p.kind == "canonical"
    ]
    ours = [url for url in named if re.match(rf"{OURS}/(Questionnaire|ChargeItemDefinition)/", url)]
    assert [url for url in ours if url not in there] == []
    told = [True for _, v in objects(read(path)) if "questionnaire" in v or "definitionCanonical" in v]
    assert len(ours) == len(told)


def activity_ids(plan: Resource) -> list[str]:
    return [activity["id"] for activity in plan["activity"]]


def test_a_purchase_names_an_activity_and_a_goal_of_its_plan_and_a_part_of_its_budget() -> None:
    for purchase in [*of_type("ChargeItem"), read(EXAMPLES / "requests" / "purchase.json")]:
        (link,) = extensions(purchase, "phb-purchase-link")
        plan = everything()[link["carePlan"]["reference"]]
        assert link.get("activityId", activity_ids(plan)[0]) in activity_ids(plan)
        goals = [e["valueReference"] for e in purchase["extension"] if e["url"].endswith("pertainsToGoal")]
        assert {g["reference"] for g in goals} <= {g["reference"] for g in plan["goal"]}
        (account,) = purchase["account"]
        parts = extensions(everything()[account["reference"]], "phb-management-element")
        assert set(extensions(purchase, "phb-element")) <= {part["id"] for part in parts}


def test_activities_of_a_plan_have_ids_of_their_own_and_serve_every_goal() -> None:
    for plan in of_type("CarePlan"):
        assert len(set(activity_ids(plan))) == len(plan["activity"])
        served = {g["reference"] for activity in plan["activity"] for g in activity["detail"]["goal"]}
        assert served == {g["reference"] for g in plan["goal"]}
        assert all({"description", "performer"} <= activity["detail"].keys() for activity in plan["activity"])


@pytest.mark.parametrize("person", ["jill", "asha"])
def test_a_person_has_a_practice_with_an_ods_code_that_their_practice_task_names_too(person: str) -> None:
    (practice,) = everything()[f"Patient/{person}"]["generalPractitioner"]
    assert practice["identifier"] in everything()[practice["reference"]]["identifier"]
    codes = {"clinical-information-request", "medical-history-confirmation"}
    asked = [t for t in of_type("Task") if t["code"]["coding"][0]["code"] in codes]
    assert [t["owner"] for t in asked if t["for"]["reference"] == f"Patient/{person}"] == [practice]


def test_jill_has_a_task_for_each_of_the_six_steps() -> None:
    system = f"{OURS}/CodeSystem/phb-process-step"
    steps = [row["code"] for row in defined("CodeSystem")[system]["concept"]]
    tags = [t["code"] for task in of_type("Task") for t in task.get("meta", {}).get("tag", []) if t["system"] == system]
    assert sorted(tags) == sorted(steps)


# ---- NHS numbers -----------------------------------------------------------------------------------------------------


def nhs_number_is_right(number: str) -> bool:
    """Modulus 11: weights ten to two, and the difference to the next multiple of eleven is the last digit.

    Eleven counts as nought; where it comes to ten the number is not issued.
    """
    if not re.fullmatch(r"[0-9]{10}", number):
        return False
    total = sum(int(digit) * weight for digit, weight in zip(number, range(10, 1, -1), strict=False))
    return (11 - total % 11) % 11 == int(number[9])


@pytest.mark.parametrize("number", ["9000000009", "9000000025", "9000000033"])  # the test patients of PDS
def test_a_right_nhs_number_is_told(number: str) -> None:
    assert nhs_number_is_right(number)


@pytest.mark.parametrize("number", ["9000000000", "9000000106 ", "900000010", "9000000060", "9000000160"])
def test_a_wrong_nhs_number_is_told(number: str) -> None:
    assert not nhs_number_is_right(number)


@example_or_request
def test_an_nhs_number_is_a_right_one_from_the_test_range(path: Path) -> None:
    numbers = [v["value"] for _, v in objects(read(path)) if v.get("system") == NHS_NUMBER]
    assert [n for n in numbers if not (nhs_number_is_right(n) and n.startswith("9000000"))] == []


def test_each_patient_has_an_nhs_number_of_their_own() -> None:
    numbers = [i["value"] for p in of_type("Patient") for i in p["identifier"] if i["system"] == NHS_NUMBER]
    assert len(set(numbers)) == len(of_type("Patient")) == 2


# ---- money -----------------------------------------------------------------------------------------------------------


@example_or_request
def test_money_is_pounds_with_two_decimals(path: Path) -> None:
    amounts = [v for _, v in objects(read(path)) if "currency" in v]
    wrong = [a for a in amounts if a["currency"] != "GBP" or not re.fullmatch(r"[0-9]+\.[0-9]{2}", str(a["value"]))]
    assert wrong == []


def amounts(account: Resource, kind: str) -> Decimal:
    """The account's amounts of one type, added up: rows of a type follow each other in time."""
    rows = [row for row in extensions(account, "phb-budget-amount") if row["type"] == kind]
    assert all("frequency" not in row for row in rows)  # these are for the whole of their period
    return sum((row["amount"]["value"] for row in rows), Decimal(0))


def parts(account: Resource) -> dict[str, Decimal]:
    return {row["id"]: row["amount"]["value"] for row in extensions(account, "phb-management-element")}


def budgets() -> list[Resource]:
    """The accounts that have money of their own: all but the joint one."""
    return [account for account in of_type("Account") if parts(account)]


def plan_costs(plan: Resource) -> Decimal:
    costs = [row["value"] for activity in plan["activity"] for row in extensions(activity, "phb-activity-cost")]
    return sum(costs, Decimal(0))


def test_three_budgets_have_money_and_the_joint_one_holds_it_together() -> None:
    assert {a["id"] for a in budgets()} == {"jill-budget", "asha-health", "asha-social-care"}
    assert {a["id"] for a in budgets() if "partOf" in a} == {"asha-health", "asha-social-care"}
    assert "coverage" not in everything()["Account/asha-joint"]


def test_the_parts_of_a_budget_cover_its_approved_amount() -> None:
    for account in budgets():
        assert sum(parts(account).values()) == amounts(account, "approved") > 0


def test_jills_budget_uses_all_three_ways_of_holding_money() -> None:
    models = [row["model"] for row in extensions(everything()["Account/jill-budget"], "phb-management-element")]
    assert sorted(models) == ["direct-payment", "notional", "third-party"]


@pytest.mark.parametrize("plan", ["jill-plan", "asha-plan"])
def test_what_a_plan_costs_is_within_what_was_approved(plan: str) -> None:
    link = {"reference": f"CarePlan/{plan}"}
    paying = [a for a in budgets() if link["reference"] in [p["reference"] for p in extensions(a, "phb-care-plan")]]
    assert 0 < plan_costs(everything()[link["reference"]]) <= sum(amounts(a, "approved") for a in paying)


def by_part(resources: list[Resource], account: Resource, price: str) -> dict[str, Decimal]:
    """What `resources` take from each part of an account."""
    taken = dict.fromkeys(parts(account), Decimal(0))
    for resource in resources:
        accounts = [a["reference"] for a in resource.get("account", extensions(resource, "phb-account"))]
        if accounts == [f"Account/{account['id']}"]:
            (part,) = extensions(resource, "phb-element")
            taken[part] += resource[price]["value"]
    return taken


@pytest.mark.parametrize(
    ("kind", "price"), [("ChargeItem", "priceOverride"), ("PaymentReconciliation", "paymentAmount")]
)
def test_purchases_and_payments_stay_within_their_part_of_the_budget(kind: str, price: str) -> None:
    for account in budgets():
        taken = by_part(of_type(kind), account, price)
        assert [part for part, money in taken.items() if money > parts(account)[part]] == []
    jill = by_part(of_type(kind), everything()["Account/jill-budget"], price)
    assert all(money > 0 for money in jill.values())


def test_the_purchase_to_try_still_fits_into_its_part() -> None:
    purchase, account = read(EXAMPLES / "requests" / "purchase.json"), everything()["Account/jill-budget"]
    (part,) = extensions(purchase, "phb-element")
    taken = by_part([*of_type("ChargeItem"), purchase], account, "priceOverride")[part]
    assert purchase["priceOverride"]["value"] == Decimal("45.00")
    assert taken <= parts(account)[part]


def test_a_purchase_from_the_directory_costs_its_price_there_times_the_quantity() -> None:
    prices = {
        f"{item['url']}|{item['version']}": item["propertyGroup"][0]["priceComponent"][0]["amount"]["value"]
        for item in of_type("ChargeItemDefinition")
    }
    listed = [purchase for purchase in of_type("ChargeItem") if "definitionCanonical" in purchase]
    assert len(listed) > 5
    for purchase in listed:
        (item,) = purchase["definitionCanonical"]
        assert purchase["priceOverride"]["value"] == prices[item] * purchase["quantity"]["value"]


def test_the_lines_of_a_payment_add_up_to_it() -> None:
    for payment in of_type("PaymentReconciliation"):
        lines = [line["amount"]["value"] for line in payment["detail"]]
        assert sum(lines) == payment["paymentAmount"]["value"] > 0


def test_the_funders_of_a_joint_budget_share_as_they_pay_in() -> None:
    health, council = everything()["Account/asha-health"], everything()["Account/asha-social-care"]
    (five,), (one,) = extensions(health, "phb-joint-share"), extensions(council, "phb-joint-share")
    assert amounts(health, "approved") * one == amounts(council, "approved") * five


def test_a_billed_purchase_has_evidence_or_says_why_none_is_needed() -> None:
    billed = [purchase for purchase in of_type("ChargeItem") if purchase["status"] == "billed"]
    assert len(billed) > 5
    for purchase in billed:
        shown = [read_reference(r)["resourceType"] for r in purchase.get("supportingInformation", [])]
        assert "DocumentReference" in shown or extensions(purchase, "phb-evidence-waiver")


def read_reference(reference: Resource) -> Resource:
    return everything()[reference["reference"]]


def attachments() -> list[Resource]:
    """Those that hold their data, and no Binaries."""
    return [
        found
        for path in (*FILES, *REQUESTS)
        for _, found in objects(read(path))
        if {"contentType", "data"} <= found.keys() and "resourceType" not in found
    ]


@pytest.mark.parametrize("attachment", attachments(), ids=lambda one: one["title"])
def test_an_attachment_has_the_size_and_the_hash_of_its_data(attachment: Resource) -> None:
    data = base64.b64decode(attachment["data"], validate=True)
    assert attachment["size"] == len(data)
    # R4 says SHA-1 (datatypes.html#attachment): it tells a changed file, it does not protect against forgery
    assert base64.b64decode(attachment["hash"]) == hashlib.sha1(data, usedforsecurity=False).digest()


def test_there_are_attachments_to_look_at() -> None:
    assert len(attachments()) >= 5


ACCOUNT_STATUS = {
    "active": "active",
    "suspended": "on-hold",
    "closed": "inactive",
    "entered-in-error": "entered-in-error",
}


def test_an_accounts_status_says_the_same_as_its_stage() -> None:
    for account in of_type("Account"):
        (stage,) = extensions(account, "phb-lifecycle-status")
        assert account["status"] == ACCOUNT_STATUS[stage]


# ---- codes -----------------------------------------------------------------------------------------------------------


def unknown_codes(resource: Any) -> list[tuple[str, str, str | None]]:
    """The codings from our systems that no code system of ours has with that display."""
    wrong = []
    for where, value in objects(resource):
        if str(value.get("system", "")).startswith(f"{OURS}/CodeSystem/") and "code" in value:
            system = defined("CodeSystem").get(value["system"], {"concept": []})
            if (value["code"], value.get("display")) not in [(c["code"], c["display"]) for c in system["concept"]]:
                wrong.append((where, value["code"], value.get("display")))
    return wrong


@example_or_request
def test_a_code_of_ours_is_defined_with_that_display(path: Path) -> None:
    assert unknown_codes(read(path)) == []


def test_a_code_nobody_defined_is_told() -> None:
    coding = {"system": f"{OURS}/CodeSystem/phb-account-type", "code": "piggy-bank", "display": "Piggy bank"}
    assert unknown_codes({"resourceType": "Account", "type": {"coding": [coding]}}) == [
        ("Account.type.coding", "piggy-bank", "Piggy bank")
    ]


def test_every_code_system_of_ours_has_a_value_set_of_all_its_codes_and_each_code_once() -> None:
    assert len(defined("CodeSystem")) > 20
    for url, system in defined("CodeSystem").items():
        codes = [row["code"] for row in system["concept"]]
        assert len(set(codes)) == len(codes) == system["count"]
        assert all(row["display"] and row["definition"] for row in system["concept"])
        assert defined("ValueSet")[system["valueSet"]]["compose"] == {"include": [{"system": url}]}


def test_every_value_set_of_ours_that_is_named_exists() -> None:
    named = re.compile(rf"{re.escape(OURS)}/ValueSet/[a-z0-9-]+")
    texts = [path.read_text(encoding="utf-8") for path in [*FILES, *ARTEFACTS]]
    assert {url for text in texts for url in named.findall(text)} <= defined("ValueSet").keys()


# ---- extensions ------------------------------------------------------------------------------------------------------

HL7_EXTENSIONS = {  # R4's own, used as HL7 defines them: url -> (where it may stand, what it holds)
    "http://hl7.org/fhir/StructureDefinition/careplan-activity-title": ("CarePlan.activity", "valueString"),
    "http://hl7.org/fhir/StructureDefinition/resource-pertainsToGoal": ("ChargeItem", "valueReference"),
}


def rules_at(structure: Resource, element_id: str) -> Resource:
    by_id: dict[str, Resource] = {e["id"]: e for e in structure["snapshot"]["element"]}
    return by_id[element_id]


def bound_codes(element: Resource) -> set[str] | None:
    """The codes an element is bound to, where the value set is ours."""
    value_set = defined("ValueSet").get(element.get("binding", {}).get("valueSet", ""))
    if value_set is None:
        return None
    return {row["code"] for row in defined("CodeSystem")[value_set["compose"]["include"][0]["system"]]["concept"]}


def value_faults(extension: Resource, structure: Resource, at: str) -> list[str]:
    """What is wrong with the value of an extension, or of a part of one, by the element `at`."""
    element = rules_at(structure, f"{at}.value[x]")
    allowed = {f"value{kind['code'][0].upper()}{kind['code'][1:]}" for kind in element["type"]}
    given = [key for key in extension if key.startswith("value")]
    if len(given) != 1 or given[0] not in allowed:
        return [f"{extension['url']} holds {given}, not one of {sorted(allowed)}"]
    value, codes = extension[given[0]], bound_codes(element)
    if codes is None:
        return []
    said = [value] if isinstance(value, str) else [c["code"] for c in value["coding"]]
    return [f"{extension['url']} says {code}" for code in said if code not in codes]


def part_faults(extension: Resource, structure: Resource) -> list[str]:
    slices = {e["sliceName"]: e for e in structure["snapshot"]["element"] if "sliceName" in e}
    urls = [part["url"] for part in extension["extension"]]
    faults = [f"{url} is no part of {structure['id']}" for url in urls if url not in slices]
    for name, element in slices.items():
        most = len(urls) if element["max"] == "*" else int(element["max"])
        if not element["min"] <= urls.count(name) <= most:
            faults.append(f"{structure['id']} has {urls.count(name)} of {name}")
    for part in extension["extension"]:
        if part["url"] in slices:
            faults += value_faults(part, structure, f"Extension.extension:{part['url']}")
    return faults


def extension_faults(resource: Any) -> list[str]:
    """What is wrong with the extensions in `resource`, by our StructureDefinitions and HL7's."""
    faults: list[str] = []
    for where, holder in objects(resource):
        if where.endswith(".extension"):
            continue  # a part of an extension: judged with the whole
        for extension in holder.get("extension", []):
            faults += one_extension_faults(extension, where.removeprefix("Bundle.entry.resource.") or where)
    return faults


def one_extension_faults(extension: Resource, where: str) -> list[str]:
    url = extension["url"]
    if url in HL7_EXTENSIONS:
        place, value = HL7_EXTENSIONS[url]
        return [] if where == place and value in extension else [f"{url} at {where}"]
    structure = known().structure(url) if url in extensions_defined() else None
    if structure is None:
        return [f"{url} is not defined"]
    misplaced = [] if where in [c["expression"] for c in structure["context"]] else [f"{url} at {where}"]
    if rules_at(structure, "Extension.value[x]")["max"] == "0":
        return misplaced + part_faults(extension, structure)
    return misplaced + value_faults(extension, structure, "Extension")


@example_or_request
def test_an_extension_is_used_as_its_definition_says(path: Path) -> None:
    assert [fault for resource in resources_in(path) for fault in extension_faults(resource)] == []


def change_part(account: Resource, part: str, **values: Any) -> Resource:
    """`account` with one part of its first management element changed."""
    changed = copy.deepcopy(account)
    element = next(e for e in changed["extension"] if e["url"].endswith("/phb-management-element"))
    (found,) = [p for p in element["extension"] if p["url"] == part]
    found.clear()
    found.update(values)
    return changed


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"url": "model", "valueCode": "mattress"}, "model says mattress"),
        ({"url": "model", "valueString": "notional"}, "model holds ['valueString'], not one of ['valueCode']"),
        ({"url": "modell", "valueCode": "notional"}, "modell is no part of phb-management-element"),
    ],
)
def test_an_extension_used_otherwise_is_told(changed: Resource, fault: str) -> None:
    assert fault in extension_faults(change_part(everything()["Account/jill-budget"], "model", **changed))


def test_an_extension_in_the_wrong_place_or_without_a_definition_is_told() -> None:
    offer = {"url": f"{OURS}/StructureDefinition/phb-joint-share", "valueDecimal": Exact("1")}
    unheard = {"url": f"{OURS}/StructureDefinition/phb-piggy-bank", "valueDecimal": Exact("1")}
    assert extension_faults({"resourceType": "Patient", "extension": [offer, unheard]}) == [
        f"{offer['url']} at Patient",
        f"{unheard['url']} is not defined",
    ]


def test_every_extension_we_define_is_used_by_an_example() -> None:
    paths = [*FILES, *sorted((PROFILES / "examples").glob("*.json")), *ARTEFACTS]  # phb-governs stands on our profiles
    used = {v.get("url") for path in paths for where, v in objects(read(path)) if where.endswith(".extension")}
    at_metadata = {  # the server says these itself
        url for url, made in extensions_defined().items() if made["context"][0]["expression"].startswith("Capability")
    }
    assert extensions_defined().keys() - used == at_metadata


# ---- the requests ----------------------------------------------------------------------------------------------------


def test_the_purchase_to_try_has_no_id_and_a_reference_number_of_its_own() -> None:
    purchase = read(EXAMPLES / "requests" / "purchase.json")
    assert "id" not in purchase
    assert [p["id"] for p in of_type("ChargeItem") if p["identifier"] == purchase["identifier"]] == []


def test_the_transaction_to_try_links_a_purchase_and_its_receipt() -> None:
    receipt, purchase = read(EXAMPLES / "requests" / "transaction.json")["entry"]
    assert purchase["resource"]["supportingInformation"][0]["reference"] == receipt["fullUrl"]
    assert receipt["resource"]["context"]["related"][0]["reference"] == purchase["fullUrl"]


def test_the_patches_to_try_follow_on_the_practices_task_and_leave_it_valid() -> None:
    task = everything()["Task/jill-clinical-information"]
    received = apply_json_patch(task, read(EXAMPLES / "requests" / "patch.json"))
    accepted = apply_fhirpath_patch(received, read(EXAMPLES / "requests" / "fhirpath-patch.json"), load())
    assert [t["status"] for t in (task, received, accepted)] == ["requested", "received", "accepted"]
    assert [i.text for t in (received, accepted) for i in validate(t, load()) if i.is_error] == []


# ---- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["docs/examples.md", "examples/README.md"])
def test_a_link_of_the_pages_about_the_examples_leads_to_a_file(page: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert len(links) > 5
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []
