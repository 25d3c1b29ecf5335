"""The words of the implementation guide (`profiles/`), and small readings of elements that many rules need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from phb_fhir.fhir.codec import Resource

BASE = "https://fhir.phb.nhs.example"

ACCOUNT_TYPE = f"{BASE}/CodeSystem/phb-account-type"
TASK_CODE = f"{BASE}/CodeSystem/phb-task-code"
TASK_PARAMETER = f"{BASE}/CodeSystem/phb-task-parameter"
BUSINESS_STATUS = f"{BASE}/CodeSystem/phb-task-business-status"
EVIDENCE_TYPE = f"{BASE}/CodeSystem/phb-evidence-type"
PURCHASE_CATEGORY = f"{BASE}/CodeSystem/phb-purchase-category"
PURCHASE_REASON = f"{BASE}/CodeSystem/phb-purchase-reason"
EXCLUDED_ITEM = f"{BASE}/CodeSystem/phb-excluded-item"
ELIGIBILITY = f"{BASE}/CodeSystem/phb-eligibility-category"
REFUSAL_REASON = f"{BASE}/CodeSystem/phb-refusal-reason"
SIGNOFF_CRITERION = f"{BASE}/CodeSystem/phb-signoff-criterion"
PURCHASE_REFERENCE = f"{BASE}/Id/phb-purchase-reference"
PAYMENT_REFERENCE = f"{BASE}/Id/phb-payment-reference"
PERTAINS_TO_GOAL = "http://hl7.org/fhir/StructureDefinition/resource-pertainsToGoal"


def extension_url(name: str) -> str:
    """The URL of an extension of the guide: `phb-care-plan`."""
    return f"{BASE}/StructureDefinition/{name}"


def extensions(element: Mapping[str, Any], url: str) -> list[Mapping[str, Any]]:
    """The extensions with this URL, or this name of the guide, or of a part this name."""
    full = url if "/" in url or not url.startswith("phb-") else extension_url(url)
    found = element.get("extension", ())
    return [one for one in found if isinstance(one, dict) and one.get("url") == full] if isinstance(found, list) else []


def value_of(element: Mapping[str, Any], url: str) -> Any:
    """The value[x] of the first extension of this name; None where there is none."""
    for one in extensions(element, url):
        for name, value in one.items():
            if name.startswith("value"):
                return value
    return None


def with_value(resource: Resource, name: str, type_: str, value: Any) -> Resource:
    """The resource with this one extension of the guide set: `("phb-lifecycle-status", "Code", "active")`."""
    url = extension_url(name)
    others = [one for one in resource.get("extension", ()) if one.get("url") != url]
    at = next((i for i, one in enumerate(resource.get("extension", ())) if one.get("url") == url), len(others))
    others.insert(at, {"url": url, f"value{type_}": value})
    return {**resource, "extension": others}


def codings(concept: Any) -> Iterator[tuple[str, str]]:
    """The (system, code) of each coding of a CodeableConcept."""
    if isinstance(concept, dict):
        for coding in concept.get("coding", ()):
            if isinstance(coding, dict):
                yield str(coding.get("system", "")), str(coding.get("code", ""))


def code_in(concept: Any, system: str) -> str:
    """The first code of this system in a CodeableConcept; "" for none."""
    return next((code for found, code in codings(concept) if found == system), "")


def concept(system: str, code: str, display: str = "", text: str = "") -> dict[str, Any]:
    """A CodeableConcept with one coding."""
    coding = {"system": system, "code": code, **({"display": display} if display else {})}
    return {"coding": [coding], **({"text": text} if text else {})}


def key_of(reference: Any) -> str:
    """`Account/1` from a Reference or its text, without the version it may name; "" where it is no literal reference to something here.

    References to the server's own address are made relative before rules see them.
    """
    text = reference.get("reference", "") if isinstance(reference, dict) else reference
    if not isinstance(text, str) or "://" in text or text.startswith(("#", "urn:")):
        return ""
    parts = text.split("/")
    return "/".join(parts[:2]) if len(parts) == 2 or (len(parts) == 4 and parts[2] == "_history") else ""


def keys_in(references: Any) -> list[str]:
    """The keys of several references, those that have one."""
    several: Iterable[Any] = references if isinstance(references, list) else ()
    return [key for one in several if (key := key_of(one))]


@lru_cache(maxsize=4_096)
def token_of(system: str, value: str) -> str:
    """`system|value` as a search parameter has it, what would separate it from others escaped (R4 §3.1.1.5.7)."""
    return "|".join(_SEPARATORS.sub(r"\\\g<0>", each) for each in (system, value))


_SEPARATORS = re.compile(r"[\\,$|]")


def refers_to(reference: Any, key: str, content: Mapping[str, Any] | None) -> bool:
    """Whether a Reference is to this resource: by its address, or where it has none, by an identifier that its content has."""
    if named := key_of(reference):
        return named == key
    pair = pair_of(reference.get("identifier")) if isinstance(reference, dict) else ("", "")
    return bool(pair[1]) and pair in [pair_of(one) for one in (content or {}).get("identifier", ())]


def pair_of(identifier: Any) -> tuple[str, str]:
    """The (system, value) of an Identifier."""
    found = identifier if isinstance(identifier, dict) else {}
    return str(found.get("system", "")), str(found.get("value", ""))
