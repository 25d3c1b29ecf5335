"""What R4 asks of definitions in prose: each rule with what it refuses and the nearest it allows."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import core
from phb_fhir.definitions.snapshot import SnapshotFailed, generate_snapshot
from phb_fhir.fhir import codec
from phb_fhir.outcome import Kind
from phb_fhir.validation.validate import validate

R4 = load()
STRUCTURE = "http://hl7.org/fhir/StructureDefinition"
GENDER = "http://hl7.org/fhir/administrative-gender"
GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"
MINE = "https://example.org"


def errors(resource):
    parsed = codec.loads(codec.dumps(resource), depth_max=100)
    return [issue for issue in validate(parsed, R4) if issue.is_error]


def structure(*elements, **says):
    return {
        "resourceType": "StructureDefinition",
        "url": f"{MINE}/StructureDefinition/mine",
        "name": "Mine",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": f"{STRUCTURE}/Patient",
        "derivation": "constraint",
        "differential": {"element": [{"id": "Patient", "path": "Patient"}, *elements]},
        **says,
    }


def without(resource, name):
    return {key: value for key, value in resource.items() if key != name}


def element(path, **says):
    return {"id": path, "path": path, **says}


def rule(expression):
    return {"key": "m-1", "severity": "error", "human": "A name can be read", "expression": expression}


def extension(url, **says):
    rows = [
        element("Extension"),
        element("Extension.url", fixedUri=url),
        element("Extension.value[x]", type=[{"code": "string"}]),
    ]
    where = {"context": [{"type": "element", "expression": "Patient"}], **says}
    return structure(
        url=f"{MINE}/ext", kind="complex-type", type="Extension", baseDefinition=f"{STRUCTURE}/Extension",
        differential={"element": rows}, **where,
    )  # fmt: skip


def on(path):
    return extension(f"{MINE}/ext", context=[{"type": "element", "expression": path}])


def codes(*concepts, **says):
    return {
        "resourceType": "CodeSystem",
        "url": f"{MINE}/CodeSystem/mine",
        "status": "active",
        "content": "complete",
        "concept": list(concepts),
        **says,
    }


def value_set(**include):
    return {"resourceType": "ValueSet", "status": "active", "compose": {"include": [include]}}


def search(**says):
    return {
        "resourceType": "SearchParameter",
        "url": f"{MINE}/SearchParameter/mine",
        "name": "Mine",
        "status": "active",
        "description": "Mine",
        "code": "mine",
        "base": ["Patient"],
        "type": "composite",
        "expression": "Patient",
        "component": [{"definition": f"{MINE}/a", "expression": "name"}] * 2,
        **says,
    }


COLOURED = {"property": [{"code": "colour", "type": "code"}]}


class Case(NamedTuple):
    good: dict[str, Any]
    bad: dict[str, Any]
    place: str
    says: str
    kind: Kind = Kind.INVALID


CASES = {
    "a profile is of the kind of its base": Case(structure(), structure(kind="complex-type"), "StructureDefinition.kind", '"resource"'),
    "what has a base says how it derives": Case(structure(), without(structure(), "derivation"), "StructureDefinition.derivation", "how it derives"),
    "a specialization is a type of its own": Case(structure(), structure(derivation="specialization"), "StructureDefinition.type", "a type of its own"),
    "only an extension has a context": Case(
        on("Patient"), structure(context=[{"type": "element", "expression": "Patient"}]), "StructureDefinition.context", "Only an extension"
    ),
    "an extension stands on an element there is": Case(on("Patient.contact.name"), on("Patient.contact.nome"), "StructureDefinition.context[0].expression", "no element"),
    "an extension stands on a type there is": Case(on("HumanName"), on("HumanNome"), "StructureDefinition.context[0].expression", "no element"),
    "an extension stands on a choice there is": Case(on("Patient.deceased[x]"), on("Patient.diseased[x]"), "StructureDefinition.context[0].expression", "no element"),
    "an extension says its own url": Case(extension(f"{MINE}/ext"), extension(f"{MINE}/other"), "StructureDefinition.url", "is itself"),
    "what is fixed is of the element's type": Case(
        structure(element("Patient.gender", fixedCode="male")), structure(element("Patient.gender", fixedString="male")),
        "StructureDefinition.differential.element[1].fixed.ofType(string)", "is code",
    ),
    "a pattern is of the element's type": Case(
        structure(element("Patient.maritalStatus", patternCodeableConcept={"text": "A"})), structure(element("Patient.maritalStatus", patternCoding={"code": "A"})),
        "StructureDefinition.differential.element[1].pattern.ofType(Coding)", "is CodeableConcept",
    ),
    "elements stand in the order of the base": Case(
        structure(element("Patient.name", min=1), element("Patient.gender", min=1)), structure(element("Patient.gender", min=1), element("Patient.name", min=1)),
        "StructureDefinition.differential.element[2]", "comes before",
    ),
    "a binding is to a value set": Case(
        structure(element("Patient.maritalStatus", binding={"strength": "preferred", "valueSet": GENDERS})),
        structure(element("Patient.maritalStatus", binding={"strength": "preferred", "valueSet": GENDER})),
        "StructureDefinition.differential.element[1].binding", "is a code system",
    ),
    "a rule is FHIRPath": Case(
        structure(element("Patient.name", constraint=[rule("family.exists() or text.exists()")])),
        structure(element("Patient.name", constraint=[rule("family.exists() or")])),
        "StructureDefinition.differential.element[1].constraint[0].expression", '"family.exists() or" cannot be evaluated here: it is not FHIRPath', Kind.VALUE,
    ),
    "a rule of where an extension stands is FHIRPath": Case(
        extension(f"{MINE}/ext", contextInvariant=["name.exists()"]), extension(f"{MINE}/ext", contextInvariant=["name.exists()", "name.exists("]),
        "StructureDefinition.contextInvariant[1]", "it is not FHIRPath", Kind.VALUE,
    ),
    "a code system has as many codes as it says": Case(
        codes({"code": "a", "concept": [{"code": "b"}]}, count=2), codes({"code": "a"}, count=2), "CodeSystem.count", "1 concepts"
    ),
    "a code system that says it is not here has no codes here": Case(
        without(codes(content="not-present"), "concept"), codes({"code": "a"}, content="not-present"), "CodeSystem.concept", "not present"
    ),
    "a supplement adds to something": Case(
        codes({"code": "male"}, content="supplement", supplements=GENDER), codes({"code": "male"}, content="supplement"), "CodeSystem.supplements", "adds to"
    ),
    "a supplement adds to codes there are": Case(
        codes({"code": "male"}, content="supplement", supplements=GENDER), codes({"code": "mole"}, content="supplement", supplements=GENDER), "CodeSystem.concept", '"mole"'
    ),
    "a property is of its declared type": Case(
        codes({"code": "a", "property": [{"code": "colour", "valueCode": "a"}]}, **COLOURED),
        codes({"code": "a", "property": [{"code": "colour", "valueString": "a"}]}, **COLOURED),
        "CodeSystem.concept[0].property[0]", "declared as code",
    ),
    "the system of a value set is absolute": Case(value_set(system=GENDER), value_set(system="gender"), "ValueSet.compose.include[0].system", "absolute"),
    "the system of a value set is no value set": Case(value_set(valueSet=[GENDERS]), value_set(system=GENDERS), "ValueSet.compose.include[0].system", "is a value set"),
    "a composite parameter has components": Case(
        search(), search(component=[{"definition": f"{MINE}/a", "expression": "name"}]), "SearchParameter.component", "two components", Kind.REQUIRED
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", CASES, ids=str)
def test_what_the_rule_allows_passes(rule):
    assert errors(CASES[rule].good) == []


@pytest.mark.parametrize("rule", CASES, ids=str)
def test_what_the_rule_forbids_is_an_error_at_its_place(rule):
    case = CASES[rule]
    (issue,) = errors(case.bad)
    assert (issue.kind, issue.expression) == (case.kind, case.place)
    assert case.says in issue.text


def test_a_rule_that_calls_what_is_not_known_here_is_kept_with_a_warning():
    profile = structure(element("Patient.name", constraint=[rule("family.lowBoundary() = 1")]))
    (issue,) = [issue for issue in validate(profile, R4) if issue.kind is Kind.NOT_SUPPORTED]
    assert (issue.severity, issue.expression) == (
        "warning", "StructureDefinition.differential.element[1].constraint[0].expression",
    )  # fmt: skip
    assert "lowBoundary" in issue.text


def test_slices_of_one_element_stand_in_any_order():
    slicing = {"discriminator": [{"type": "value", "path": "use"}], "rules": "open"}
    rows = [element("Patient.name", slicing=slicing)]
    for slice_, use in (("b", "usual"), ("a", "old")):
        rows.append({"id": f"Patient.name:{slice_}", "path": "Patient.name", "sliceName": slice_})
        rows.append({"id": f"Patient.name:{slice_}.use", "path": "Patient.name.use", "fixedCode": use})
    assert errors(structure(*rows)) == []


def pointing(target):
    return structure(
        element(
            "Patient.managingOrganization", type=[{"code": "Reference", "targetProfile": [f"{STRUCTURE}/{target}"]}]
        )
    )


def test_a_profile_narrows_what_a_reference_points_to_and_does_not_replace_it():
    assert generate_snapshot(pointing("Organization"), core(R4).structure) != []
    with pytest.raises(SnapshotFailed, match=r"its target .*/Patient is none of Organization"):
        generate_snapshot(pointing("Patient"), core(R4).structure)
