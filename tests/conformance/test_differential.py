"""Two other validators give a second opinion on every example, and on the examples changed in one place.

`fhir.resources` (its R4B models) and `fhirkit-rs` look at the structure alone, so most of what we refuse and they do not is a
rule they do not know. `ROWS` is the list of what each is silent about, with the reason. A row does not take our word for
it: it looks at the resource for what is wrong there, wherever that can be seen without our validator. A difference that no
row explains fails, in both directions; the last tests show that it does.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import fhirkit
import pytest
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import HealthCheck, given, settings

from phb_fhir.definitions.load import load
from phb_fhir.fhir import codec
from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation.validate import validate
from tests.conformance.mutations import KINDS, Mutation, mutate, mutations, places

ROOT = Path(__file__).parents[2]
OFFICIAL = ROOT.parent / "shared" / "conformance" / "examples" / "r4-4.0.1-instances.ndjson.gz"
CHARACTERS_MAX = 20_000  # of an example that is changed: one change needs no longer one
MUTATIONS = 1_500
R4 = load()

FHIR_RESOURCES, FHIRKIT = "fhir.resources", "fhirkit"
BOTH = (FHIR_RESOURCES, FHIRKIT)

Resource = dict[str, Any]


@cache
def examples() -> tuple[Resource, ...]:
    """HL7's 497, and ours."""
    ours = [path for path in sorted((ROOT / "examples").rglob("*.json")) if path.name != "patch.json"]
    with gzip.open(OFFICIAL) as lines:
        texts = [*lines, *(path.read_bytes() for path in ours)]
    return tuple(codec.loads(text, depth_max=200) for text in texts)


# ---- three opinions --------------------------------------------------------------------------------------------------


def our_errors(resource: Resource) -> list[Issue]:
    return [issue for issue in validate(resource, R4) if issue.is_error]


def fhir_resources_errors(resource: Resource) -> list[str]:
    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except (ValueError, KeyError, TypeError, AttributeError) as refusal:  # it breaks on what it does not expect
        return [str(refusal)]
    return []


def fhirkit_errors(resource: Resource) -> list[str]:
    try:
        return [issue.message for issue in fhirkit.validate(codec.dumps(resource)) if issue.severity == "error"]
    except ValueError as refusal:
        return [str(refusal)]


OTHERS: dict[str, Callable[[Resource], list[str]]] = {
    FHIR_RESOURCES: fhir_resources_errors,
    FHIRKIT: fhirkit_errors,
}


# ---- what each is silent about ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """An error of ours that `silent` do not have, and why we are right.

    `explains` gets our issue, the value at its place, and the resource. `example` is a resource that shows it.
    """

    silent: tuple[str, ...]
    why: str
    explains: Callable[[Issue, Any, Resource], bool]
    example: Resource


def values_at(resource: Any, expression: str) -> list[Any]:
    """What stands at an issue's place: an element and, for a primitive, its `_x`; None where nothing does."""
    found: list[Any] = [resource]
    for step in expression.split(".")[1:]:
        name, _, index = step.removesuffix("]").partition("[")
        if not name.startswith("ofType("):
            found = [child for node in found for child in _children(node, name)]
        if index:
            found = [node[int(index)] for node in found if isinstance(node, list) and int(index) < len(node)]
    return found or [None]


def _children(node: Any, name: str) -> list[Any]:
    spelling = re.compile(rf"_?{re.escape(name)}([A-Z]\w*)?")
    exact = (name, f"_{name}")
    rows = node.items() if isinstance(node, dict) else ()
    return [value for key, value in rows if key in exact] or [value for key, value in rows if spelling.fullmatch(key)]


def below(value: Any) -> Iterator[Any]:
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from below(inner)


@cache
def published() -> dict[str, str]:
    """R4's own StructureDefinitions, by the last part of their URLs."""
    with zipfile.ZipFile(ROOT / "phb_fhir" / "definitions" / "r4_structures.zip") as archive:
        return {name.removesuffix(".json"): archive.read(name).decode() for name in archive.namelist()}


@cache
def invariant_keys() -> frozenset[str]:
    """The keys of all invariants that R4's own definitions have, profiles included."""
    return frozenset(key for text in published().values() for key in re.findall(r'"key": ?"([a-z]+-[0-9a-z]+)"', text))


def invariant(issue: Issue, _: Any, __: Resource) -> bool:
    named = issue.details["coding"][0]["code"] if issue.details else ""
    cited = re.search(r"\(([a-z]{3}-\d+)\)", issue.text)
    told = named or (cited[1] if cited else "")
    return issue.kind in (Kind.INVARIANT, Kind.EXTENSION) and told in invariant_keys()


def says(pattern: str, kind: Kind, fact: Callable[[Any], bool]) -> Callable[[Issue, Any, Resource], bool]:
    """Our sentence is of this kind, and what stands at its place bears it out."""
    spoken = re.compile(pattern)
    return lambda issue, value, _: issue.kind is kind and bool(spoken.match(issue.text)) and fact(value)


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_relative(issue: Issue, value: Any, _: Resource) -> bool:
    """Where we ask for an absolute URI, one without a scheme."""
    asked = "absolute" in issue.text or "names no scheme" in issue.text
    return asked and isinstance(value, str) and not re.match(r"[A-Za-z][A-Za-z0-9+.\-]*:", value)


def has_blanks(value: Any) -> bool:
    return isinstance(value, str) and (value == "" or any(character.isspace() for character in value))


def is_no_uuid_or_oid(value: Any) -> bool:
    """Says that it is a UUID or an OID, and is none: neither lower case hexadecimal digits, nor numbers with dots."""
    said = re.match(r"(?i)urn:(uuid|oid):(.*)", value, re.DOTALL) if isinstance(value, str) else None
    if not said:
        return False
    try:
        return str(uuid.UUID(said[2])) != said[2] if said[1].lower() == "uuid" else not re.fullmatch(r"[\d.]+", said[2])
    except ValueError:
        return True


def is_no_day(value: Any) -> bool:
    """Written as a date, and no day of the calendar."""
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d", value):
        return False
    try:
        date.fromisoformat(value[:10])
    except ValueError:
        return True
    return False


def is_no_id(value: Any) -> bool:
    return isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", value)


def is_no_base64(value: Any) -> bool:
    try:
        return not base64.b64decode("".join(value.split()), validate=True)
    except ValueError:
        return True


def is_number_in_a_text(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"-?\d+(\.\d+)?", value))


def is_truth_in_a_text(value: Any) -> bool:
    return isinstance(value, str) and value.lower() in ("true", "false", "1", "0")


def is_object_in_a_text(value: Any) -> bool:
    try:
        return isinstance(json.loads(value), dict)
    except (TypeError, ValueError):
        return False


def is_number(value: Any) -> bool:
    return isinstance(value, int | codec.Exact) and not isinstance(value, bool)


def outside_the_binding(issue: Issue, value: Any, _: Resource) -> bool:
    """A code that is none of those listed, or codings where none is of the value set named."""
    if issue.kind is not Kind.CODE_INVALID:
        return False
    listed = re.match(r'"(?P<code>.*)" is not one of the codes allowed here: (?P<codes>.*)\.$', issue.text, re.DOTALL)
    if listed:
        return isinstance(value, str) and value not in listed["codes"].split(", ")
    return isinstance(value, str | dict) and "value set" in issue.text


def not_of_its_system(issue: Issue, value: Any, _: Resource) -> bool:
    """A Coding, by its own code and system, or its own display."""
    if issue.kind is not Kind.CODE_INVALID or not isinstance(value, dict):
        return False
    code, system, display = (str(value.get(name)) for name in ("code", "system", "display"))
    return issue.text == f'"{shortened(code)}" is not a code of {named_in(issue)} ({shortened(system, 200)}).' or (
        f'the code "{shortened(code)}"' in issue.text and issue.text.endswith(f'not "{shortened(display)}".')
    )


def named_in(issue: Issue) -> str:
    return issue.text.partition(" is not a code of ")[2].rpartition(" (")[0]


def shortened(text: str, longest: int = 60) -> str:
    return text if len(text) <= longest else text[:longest] + "…"


def is_no_address(value: Any) -> bool:
    """Not Type/id, nor absolute, nor in this resource."""
    return isinstance(value, str) and not re.fullmatch(r"[A-Z][A-Za-z]+/[A-Za-z0-9.\-]{1,64}(/.*)?|\w+:\S+|#\S*", value)


def breaks_a_claimed_profile(issue: Issue, _: Any, resource: Resource) -> bool:
    inside = (node for node in below(resource) if isinstance(node, dict) and isinstance(node.get("meta"), dict))
    claims = [node["meta"].get("profile") for node in inside]
    is_claimed = any(isinstance(claim, list) and claim for claim in claims)
    return issue.text.startswith("The profile ") and (is_claimed or is_vital_sign(resource))


def is_vital_sign(resource: Resource) -> bool:
    """An Observation with a LOINC code: R4 asks some of these to meet the profile of vital signs (§10.1.5)."""
    observations = (n for n in below(resource) if isinstance(n, dict) and n.get("resourceType") == "Observation")
    return any('"http://loinc.org"' in codec.dumps(node.get("code")).decode() for node in observations)


def is_in_nothing_contained(issue: Issue, value: Any, resource: Resource) -> bool:
    """`#id`, and there is no such contained resource."""
    inside = [node.get("contained") for node in below(resource) if isinstance(node, dict)]
    ids = [one.get("id") for listed in inside if isinstance(listed, list) for one in listed if isinstance(one, dict)]
    said = issue.text.endswith("points to no resource contained in this one.")
    return said and isinstance(value, str) and value.startswith("#") and value[1:] not in ids


def tells_of_other_data(issue: Issue, _: Any, resource: Resource) -> bool:
    """An attachment whose size or hash is not that of its data, or whose data are none."""
    attached = [node for node in below(resource) if isinstance(node, dict) and isinstance(node.get("data"), str)]
    return issue.text.startswith(("The data are ", "The hash is ")) and any(map(is_of_other_data, attached))


def is_of_other_data(attachment: dict[str, Any]) -> bool:
    try:
        data = base64.b64decode("".join(attachment["data"].split()), validate=True)
    except ValueError:
        return True
    digest = base64.b64encode(hashlib.sha1(data).digest()).decode()
    return attachment.get("size", len(data)) != len(data) or attachment.get("hash", digest) != digest


def breaks_an_extension(issue: Issue, _: Any, resource: Resource) -> bool:
    """Within an extension that R4 publishes the definition of."""
    start = re.match(r".*?\.(e|modifierE)xtension\[\d+\]", issue.expression)
    outermost = values_at(resource, start[0]) if start else []
    urls = [value.get("url") for value in outermost if isinstance(value, dict)]
    known = [url for url in urls if isinstance(url, str) and url.rpartition("/")[2] in published()]
    return issue.text.startswith(("The profile ", "The extension ")) and bool(known)


def is_no_narrative(issue: Issue, value: Any, _: Resource) -> bool:
    """Where a narrative belongs, something that is no XML, or has no div for its root."""
    if not issue.text.startswith(("The narrative ", "A narrative ")) or not isinstance(value, str):
        return False
    try:
        return ET.fromstring(value).tag.rpartition("}")[2] != "div"
    except ET.ParseError:
        return True


def breaks_a_bundle(issue: Issue, _: Any, resource: Resource) -> bool:
    is_bundle = any(isinstance(node, dict) and node.get("resourceType") == "Bundle" for node in below(resource))
    return is_bundle and bool(
        re.match(
            r"Each entry of a Bundle of type \S+ has a fullUrl|(A|The) fullUrl |The link |What (a message|the Composition) |A (document|message) starts ",
            issue.text,
        )
    )


def stands_twice(issue: Issue, value: Any, resource: Resource) -> bool:
    """An id that two elements have."""
    same = [node for node in below(resource) if isinstance(node, dict) and node.get("id") == value]
    return issue.text.startswith("Another ") and isinstance(value, str) and len(same) > 1


def asks_about_nothing(issue: Issue, value: Any, resource: Resource) -> bool:
    """A condition about an item that is not there."""
    links = [node.get("linkId") for node in below(resource) if isinstance(node, dict)]
    return issue.text.startswith("The condition is about the item ") and isinstance(value, str) and value not in links


def is_misled(issue: Issue, value: Any, _: Resource) -> bool:
    """A Reference whose `type` is another than its address says."""
    said = re.match(r"The reference says that it points to (\w+), and it points to (\w+)\.", issue.text)
    return bool(said) and value == said[1] != said[2]


def points_elsewhere(issue: Issue, value: Any, resource: Resource) -> bool:
    """A Reference by an address of that type, or to a resource of it inside this one."""
    said = re.match(r"A reference here points to (?P<allowed>.+), not to (?P<found>\w+)\.", issue.text)
    if not said or not isinstance(value, dict) or said["found"] in said["allowed"].split(", "):
        return False
    reference = value.get("reference", "")
    inside = {node.get("resourceType") for node in below(resource) if isinstance(node, dict)}
    return f"{said['found']}/" in reference or value.get("type") == said["found"] or said["found"] in inside


def is_of_a_type_that_r4b_changed(issue: Issue, value: Any, resource: Resource) -> bool:
    changed = {"EvidenceVariable"}
    return issue.kind is Kind.REQUIRED and resource["resourceType"] in changed and value is None


def patient(**more: Any) -> Resource:
    return {"resourceType": "Patient", **more}


def observation(**more: Any) -> Resource:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "weight"}, **more}


STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"

ROWS: dict[str, Row] = {
    "an invariant": Row(BOTH, "neither evaluates invariants", invariant, patient(contact=[{"gender": "female"}])),
    "a binding": Row(BOTH, "neither holds codes against value sets", outside_the_binding, patient(gender="woman")),
    "a code of a system": Row(
        BOTH,
        "R4 §2.24.0.5: a code is one of its system's, and the display one of that code's; neither knows code systems",
        not_of_its_system,
        {
            "resourceType": "Basic",
            "code": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/basic-resource-type", "code": "x"}]},
        },
    ),
    "an address": Row(
        BOTH,
        "R4 §2.3.0.1: a reference is the address of a resource, relative or absolute, or #id",
        says('".*" is not the address', Kind.VALUE, is_no_address),
        observation(subject={"reference": "two  blanks"}),
    ),
    "an empty object": Row(
        BOTH,
        "R4 §2.6.2: an object is never empty",
        says("An empty object says nothing", Kind.STRUCTURE, lambda value: value == {}),
        patient(maritalStatus={}),
    ),
    "an empty resource": Row(
        (FHIR_RESOURCES,),
        "R4 §2.6.2: a resource names its type; the models do without where they are inside another",
        says("A resource names its type", Kind.STRUCTURE, lambda value: "resourceType" not in (value or ())),
        patient(contained=[{}]),
    ),
    "an empty list": Row(
        BOTH,
        "R4 §2.6.2: an array is never empty",
        says("An empty list says nothing", Kind.STRUCTURE, lambda value: value == []),
        patient(name=[{"family": "Mistry", "given": []}]),
    ),
    "an empty list of twins": Row(
        BOTH,
        "R4 §2.6.2: an array is never empty",
        says('"_.*" lines up with the list', Kind.STRUCTURE, lambda value: value == []),
        patient(name=[{"family": "Mistry", "_given": []}]),
    ),
    "null": Row(
        (FHIR_RESOURCES,),
        "R4 §2.6.2: a property that has no value is not there; pydantic takes null for its absence",
        says('null is not allowed here|"_.*" (holds the id|lines up)', Kind.STRUCTURE, lambda value: value is None),
        patient(maritalStatus=None),
    ),
    "a null resource": Row(
        (FHIR_RESOURCES,),
        "R4 §2.6.2: a property that has no value is not there; pydantic takes null for its absence",
        says("A resource is a JSON object", Kind.STRUCTURE, lambda value: value is None),
        {"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": "urn:uuid:a", "resource": None}]},
    ),
    "an empty text": Row(
        (FHIR_RESOURCES,),
        "R4 §2.24.0.1: a string is not empty; the models let some be",
        says('"" is not a text', Kind.VALUE, lambda value: value == ""),
        {"resourceType": "PlanDefinition", "status": "draft", "description": ""},
    ),
    "a URI with blanks": Row(
        (FHIR_RESOURCES,),
        "R4 §2.24.0.1: uri, url and canonical match \\S*, and are not empty",
        says(r'".*" is not a (URI|URL|canonical)', Kind.VALUE, has_blanks),
        patient(implicitRules="http://example.org/a b"),
    ),
    "an extension's blank url": Row(
        (FHIRKIT,),
        "R4 §2.24.0.1: a uri matches \\S*, and is not empty; an extension's is looked at by neither",
        says('".*" is not a URI', Kind.VALUE, has_blanks),
        patient(extension=[{"url": " ", "valueBoolean": True}]),
    ),
    "a UUID that is none": Row(
        BOTH,
        "R4 §2.24.0.1: a URI that starts as a UUID is one, and as RFC 4122 has it written",
        says('".*" is not a (URI|URL|canonical)', Kind.VALUE, is_no_uuid_or_oid),
        patient(implicitRules="urn:uuid:X"),
    ),
    "a relative URI": Row(
        BOTH,
        "R4 §2.5.0.2, §2.24.0.7 and others: the url of an extension, the system of an identifier, a canonical are absolute",
        is_relative,
        patient(extension=[{"url": "hair", "valueString": "brown"}]),
    ),
    "an id": Row(
        BOTH,
        "R4 §2.24.0.1: an id has 1 to 64 letters, digits, hyphens and dots; fhir.resources lets 65 pass in some places",
        says('".*" is not an id', Kind.VALUE, is_no_id),
        patient(id="x" * 65),
    ),
    "no day of the calendar": Row(
        (FHIRKIT,),
        "R4 §2.24.0.1: dates are valid dates; fhirkit looks at the digits",
        says('".*" is not a (calendar date|date)', Kind.VALUE, is_no_day),
        patient(birthDate="2024-02-30"),
    ),
    "base64": Row(
        (FHIR_RESOURCES,),
        "R4 §2.24.0.1: a base64Binary is not empty",
        says('".*" is not base64', Kind.VALUE, is_no_base64),
        {"resourceType": "Binary", "contentType": "text/plain", "data": " "},
    ),
    "a number in a text": Row(
        (FHIR_RESOURCES,),
        "R4 §2.6.2: integers and decimals are JSON numbers; pydantic reads them from texts",
        says("A text stands where a (whole )?number", Kind.STRUCTURE, is_number_in_a_text),
        observation(valueQuantity={"value": "80"}),
    ),
    "true or false in a text": Row(
        (FHIR_RESOURCES,),
        "R4 §2.6.2: a boolean is JSON's true or false; pydantic reads them from texts",
        says("A text stands where true or false", Kind.STRUCTURE, is_truth_in_a_text),
        patient(active="true"),
    ),
    "true or false for a number": Row(
        (FHIR_RESOURCES,),
        "R4 §2.6.2: an integer is a JSON number; for Python, True is one",
        says("true or false stands where a (whole )?number", Kind.STRUCTURE, lambda value: isinstance(value, bool)),
        patient(multipleBirthInteger=True),
    ),
    "a number for true or false": Row(
        (FHIR_RESOURCES,),
        "R4 §2.6.2: a boolean is JSON's true or false; pydantic reads them from 1 and 0",
        says("A number stands where true or false", Kind.STRUCTURE, lambda value: value in (0, 1)),
        patient(active=1),
    ),
    "a number for a date": Row(
        (FHIR_RESOURCES,),
        "R4 §2.6.2: a date is a JSON text; pydantic takes numbers for seconds since 1970",
        says("A number (with a fraction )?stands where a (date|time|calendar date)", Kind.STRUCTURE, is_number),
        patient(deceasedDateTime=1),
    ),
    "an object in a text": Row(
        (FHIR_RESOURCES,),
        "R4 §2.6.2: an element is a JSON object; fhir.resources parses texts that hold one",
        says("A text stands where an object", Kind.STRUCTURE, is_object_in_a_text),
        patient(maritalStatus='{"text": "married"}'),
    ),
    "a claimed profile": Row(
        BOTH,
        "neither knows profiles",
        breaks_a_claimed_profile,
        observation(meta={"profile": [f"{STRUCTURE}vitalsigns"]}, effectiveDateTime="2026"),
    ),
    "a canonical of nothing contained": Row(
        BOTH,
        "R4 §2.3.0.2: #id is a contained resource; a canonical is a text to both",
        is_in_nothing_contained,
        {"resourceType": "QuestionnaireResponse", "status": "completed", "questionnaire": "#q"},
    ),
    "an attachment of other data": Row(
        BOTH,
        "R4 §2.24.0.9: size and hash are those of the data before base64; neither looks at the data",
        tells_of_other_data,
        patient(photo=[{"contentType": "text/plain", "data": "QUJD", "size": 7}]),
    ),
    "a known extension": Row(
        BOTH,
        "neither holds an extension against its definition",
        breaks_an_extension,
        patient(extension=[{"url": f"{STRUCTURE}patient-mothersMaidenName", "valueBoolean": True}]),
    ),
    "a narrative": Row(
        BOTH,
        "R4 §2.4.0: a narrative is an XHTML div; neither parses it",
        is_no_narrative,
        patient(text={"status": "generated", "div": "Jill"}),
    ),
    "how a Bundle holds together": Row(
        BOTH,
        "R4 §2.36.2: each entry has an absolute fullUrl that is its resource's; R4 §3.1.0.8: a link's relation stands once",
        breaks_a_bundle,
        {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"resource": {"resourceType": "Basic", "code": {}}}],
        },
    ),
    "an id that stands twice": Row(
        BOTH,
        "R4 §2.24.0.2: an element's id is unique within the resource, and a contained resource's within its container",
        stands_twice,
        patient(name=[{"id": "a", "family": "Mistry"}, {"id": "a", "family": "Patel"}]),
    ),
    "a condition of a question": Row(
        BOTH,
        "R4 §9.7.4, enableWhen.question: the linkId of an item of this questionnaire",
        asks_about_nothing,
        {
            "resourceType": "Questionnaire",
            "status": "draft",
            "item": [
                {
                    "linkId": "1",
                    "type": "string",
                    "enableWhen": [{"question": "2", "operator": "exists", "answerBoolean": True}],
                }
            ],
        },
    ),
    "a reference that says nothing": Row(
        BOTH,
        "R4 §2.3.0.1: one of reference, identifier and display is there, unless an extension is",
        says("A reference has at least one of", Kind.REQUIRED, lambda value: not {"reference", "display"} & {*value}),
        observation(subject={"type": "Patient"}),
    ),
    "a reference that misleads": Row(
        BOTH,
        "R4 §2.3.0.1: the type of a reference is that of its target",
        is_misled,
        observation(subject={"reference": "Patient/1", "type": "Group"}),
    ),
    "a reference to another type": Row(
        BOTH,
        "an element says what it points to; neither looks at the target",
        points_elsewhere,
        observation(subject={"reference": "Practitioner/1"}),
    ),
    "what R4B does not require": Row(
        (FHIR_RESOURCES,),
        "the models are R4B's, which changed the type",
        is_of_a_type_that_r4b_changed,
        {"resourceType": "EvidenceVariable", "status": "draft"},
    ),
}

# Types of R4 that R4B has no more, so that its models know nothing of them; fhirkit does.
NOT_IN_R4B = frozenset(
    (
        *("EffectEvidenceSynthesis", "RiskEvidenceSynthesis", "SubstanceSpecification"),
        *("MedicinalProduct", "MedicinalProductContraindication", "MedicinalProductIndication"),
        *("MedicinalProductIngredient", "MedicinalProductInteraction", "MedicinalProductManufactured"),
        *("MedicinalProductUndesirableEffect",),
    )
)


def unexplained(other: str, resource: Resource, ours: list[Issue], theirs: list[str]) -> list[str]:
    """What differs for no reason that is listed; empty where the verdicts agree, or the difference is explained.

    Where we have errors and they have none, each of ours needs its row. What they refuse and we do not has one reason only.
    """
    if bool(ours) == bool(theirs):
        return []
    if theirs:
        named = resource.get("resourceType")
        known = other == FHIR_RESOURCES and named in NOT_IN_R4B and theirs == [f"{named} is not a valid FHIR Model"]
        return [] if known else [f"{other} alone: {error}" for error in theirs]
    return [
        f"we alone, and {other} not: {issue.expression}: {issue.text}"
        for issue in ours
        if not reasons(other, issue, resource)
    ]


def reasons(other: str, issue: Issue, resource: Resource) -> list[str]:
    values = values_at(resource, issue.expression)
    rows = ((name, row) for name, row in ROWS.items() if other in row.silent)
    return [name for name, row in rows if any(row.explains(issue, value, resource) for value in values)]


def differences(resource: Resource) -> list[str]:
    ours = our_errors(resource)
    return [text for other, judge in OTHERS.items() for text in unexplained(other, resource, ours, judge(resource))]


# ---- the tests -------------------------------------------------------------------------------------------------------


def test_the_examples_have_no_error_but_of_types_that_r4b_dropped():
    told = {(r["resourceType"], other) for r in examples() for other, judge in OTHERS.items() if judge(r)}
    assert told == {(name, FHIR_RESOURCES) for name in NOT_IN_R4B}
    assert [r.get("id") for r in examples() if our_errors(r)] == []
    assert len(examples()) > 600


def small() -> list[Resource]:
    return [example for example in examples() if len(codec.dumps(example)) < CHARACTERS_MAX]


@settings(max_examples=MUTATIONS, suppress_health_check=list(HealthCheck))
@given(mutations(small()))
def test_an_example_with_one_change_has_the_same_verdict_or_a_difference_that_is_explained(made: Mutation):
    assert differences(made.resource) == []


@pytest.mark.parametrize("name", ROWS)
def test_each_reason_is_still_one(name: str):
    """Its example is refused by us for that reason, and by those it names not at all."""
    row = ROWS[name]
    ours = our_errors(row.example)
    assert ours
    for other in row.silent:
        assert OTHERS[other](row.example) == []
        assert any(name in reasons(other, issue, row.example) for issue in ours)


# ---- a wrong verdict of ours would be seen ---------------------------------------------------------------------------


def agreed() -> Iterator[tuple[Mutation, list[str]]]:
    """Changes of a patient that all three refuse, with what `fhirkit` says."""
    good = next(r for r in examples() if r["resourceType"] == "Patient" and r.get("id") == "example")
    for place in list(places(good))[::5]:
        for kind in KINDS:
            for choice in KINDS[kind].choices:
                made = mutate(good, kind, place, choice)
                if made and our_errors(made.resource) and all(judge(made.resource) for judge in OTHERS.values()):
                    yield made, fhirkit_errors(made.resource)


def test_an_error_that_we_missed_is_a_difference_that_nothing_explains():
    cases = list(agreed())
    assert len(cases) > 150
    for made, theirs in cases:
        assert unexplained(FHIRKIT, made.resource, [], theirs)
        assert unexplained(FHIR_RESOURCES, made.resource, [], fhir_resources_errors(made.resource))


INVENTED = (
    Issue(Kind.STRUCTURE, "An empty object says nothing; leave the element out.", "Patient.name[0]"),
    Issue(Kind.STRUCTURE, 'An empty list says nothing; leave "name" out.', "Patient.name"),
    Issue(Kind.STRUCTURE, "null is not allowed here; an element without a value is left out.", "Patient.birthDate"),
    Issue(Kind.STRUCTURE, "A text stands where a number belongs.", "Patient.name[0].family"),
    Issue(Kind.STRUCTURE, "A text stands where true or false belongs.", "Patient.name[0].family"),
    Issue(Kind.STRUCTURE, "A number stands where a date belongs.", "Patient.birthDate"),
    Issue(Kind.STRUCTURE, 'Patient has no property "birthDate".', "Patient.birthDate"),
    Issue(Kind.STRUCTURE, "A resource is a JSON object.", "Patient"),
    Issue(Kind.REQUIRED, 'Patient must have "photo".', "Patient.photo"),
    Issue(Kind.REQUIRED, 'The profile X asks for "photo": at least 1.', "Patient.photo"),
    Issue(Kind.VALUE, '"1974-12-25" is not a calendar date: 2024, 2024-02 or 2024-02-29.', "Patient.birthDate"),
    Issue(Kind.VALUE, '"Chalmers" is not a text of 1 to 1048576 characters.', "Patient.name[0].family"),
    Issue(Kind.VALUE, '"example" is not an id: 1 to 64 letters, digits, hyphens and dots.', "Patient.id"),
    Issue(Kind.VALUE, '"urn:oid:1.2.36.146.595.217.0.1" is not a URI.', "Patient.identifier[0].system"),
    Issue(Kind.CODE_INVALID, '"male" is not one of the codes allowed here: female, male.', "Patient.gender"),
    Issue(Kind.INVARIANT, "This is not so (abc-1).", "Patient"),
    Issue(Kind.EXTENSION, "The url of an extension is absolute, not this.", "Patient._birthDate.extension[0].url"),
    Issue(Kind.INVALID, "A fullUrl is absolute; this is not.", "Patient"),
    Issue(Kind.INVALID, "The reference says that it points to A, and it points to B.", "Patient.managingOrganization"),
)


@pytest.mark.parametrize("invented", INVENTED, ids=lambda issue: issue.text[:40])
@pytest.mark.parametrize("other", BOTH)
def test_an_error_that_we_invent_is_a_difference_that_nothing_explains(invented: Issue, other: str):
    good = next(r for r in examples() if r["resourceType"] == "Patient" and r.get("id") == "example")
    assert OTHERS[other](good) == []
    assert unexplained(other, good, [invented], [])
