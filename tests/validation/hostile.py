"""Inputs that are made to take long, by their size: what is long, deep, repeated, circular, or multiplies.

`GROWING` are resources whose work must grow as they do: twice the size, twice the work. In `BOUNDED` the work is a product (of
what is sent and what a profile asks), so a bound has to end it, and say so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Resource = dict[str, Any]

STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
PROFILE = "https://example.org/StructureDefinition/hostile"
VALUE_SET, CODE_SYSTEM = "https://example.org/ValueSet/v", "https://example.org/CodeSystem/c"
XHTML = '<div xmlns="http://www.w3.org/1999/xhtml">'


class Input(NamedTuple):
    """A resource, the profiles it is held against, and the conformance resources that are known beside R4's."""

    resource: Resource
    profiles: tuple[str, ...] = ()
    known: tuple[Resource, ...] = ()


class Hostile(NamedTuple):
    """What is sent, by the number of what is repeated in it; `large` makes about a megabyte."""

    make: Callable[[int], Input]
    large: int


# ---- what they are made of -------------------------------------------------------------------------------------------


def patient(**more: Any) -> Input:
    return Input({"resourceType": "Patient", **more})


def observation(**more: Any) -> Input:
    return Input({"resourceType": "Observation", "status": "final", "code": {"text": "a"}, **more})


def narrative(content: str) -> Input:
    return patient(text={"status": "generated", "div": f"{XHTML}{content}</div>"})


def rows(count: int, row: Callable[[int], Any]) -> list[Any]:
    return [row(number) for number in range(count)]


def nested(levels: int, name: str, leaf: Resource, around: Callable[[int], Resource]) -> Resource:
    made = leaf
    for level in range(levels):
        made = {**around(level), name: [made]}
    return made


def bundle(resources: list[Resource], *, url: Callable[[int], str] | None = None, **more: Any) -> Input:
    named = url or (lambda number: f"https://example.org/{resources[number]['resourceType']}/{number}")
    entries = [{"fullUrl": named(number), "resource": resource} for number, resource in enumerate(resources)]
    return Input({"resourceType": "Bundle", "type": "collection", **more, "entry": entries})


def linked(number: int, to: int) -> Resource:
    return {
        "resourceType": "Patient",
        "id": str(number),
        "link": [{"type": "seealso", "other": {"reference": f"Patient/{to}"}}],
    }


def document(count: int, *, same: bool) -> Input:
    people = [linked(1 if same else number, 1 if same else number + 1) for number in range(1, count)]
    composition = {
        "resourceType": "Composition",
        "id": "0",
        "status": "final",
        "type": {"text": "a"},
        "date": "2026",
        "title": "a",
        "author": [{"reference": "Patient/1"}],
        "section": [{"title": "a", "entry": rows(count, lambda _: {"reference": "Patient/1"})}],
    }
    return bundle(
        [composition, *people],
        url=lambda number: (
            f"https://example.org/{'Patient/1' if number and same else f'Patient/{number}' if number else 'Composition/0'}"
        ),
        type="document",
        timestamp="2026-01-01T00:00:00Z",
        identifier={"system": "urn:ietf:rfc:3986", "value": "urn:uuid:9d1b0b8a-7b0c-4d3e-8f52-b6a3c1d0e9f7"},
    )


def listing(contained: list[Resource], references: list[str]) -> Input:
    entries = [{"item": {"reference": reference}} for reference in references]
    return Input(
        {"resourceType": "List", "status": "current", "mode": "working", "contained": contained, "entry": entries}
    )


def profile(*elements: Resource, type_: str = "Patient", url: str = PROFILE, **more: Any) -> Resource:
    return {
        "resourceType": "StructureDefinition",
        "url": url,
        "name": "Hostile",
        "status": "draft",
        "kind": "resource",
        "abstract": False,
        "type": type_,
        "baseDefinition": f"{STRUCTURE}{type_}",
        "derivation": "constraint",
        "differential": {"element": list(elements)},
        **more,
    }


def element(path: str, piece: str = "", **more: Any) -> Resource:
    named = {"id": f"{path}:{piece}", "path": path, "sliceName": piece} if piece else {"id": path, "path": path}
    return {**named, **more}


def slices(count: int) -> list[Resource]:
    slicing = {"discriminator": [{"type": "value", "path": "family"}], "rules": "open"}
    pieces = rows(count, lambda n: element("Patient.name", f"s{n}", patternHumanName={"family": f"f{n}"}))
    return [element("Patient.name", slicing=slicing), *pieces]


def constraints(expression: str, count: int) -> Resource:
    rule = {"severity": "error", "human": "a", "expression": expression}
    return element("Patient", constraint=rows(count, lambda n: {"key": f"hostile-{n}", **rule}))


def people(count: int) -> Resource:
    return {"resourceType": "Patient", "name": rows(count, lambda n: {"family": f"n{n}"})}


def codings(count: int, *known: Resource) -> Input:
    """A concept of many codes, bound to VALUE_SET by a profile."""
    concept = {"coding": rows(count, lambda n: {"system": CODE_SYSTEM, "code": f"x{n}"})}
    bound = element("Patient.maritalStatus", binding={"strength": "required", "valueSet": VALUE_SET})
    return Input({"resourceType": "Patient", "maritalStatus": concept}, (PROFILE,), (profile(bound), *known))


def value_set(*include: Resource, number: str = "") -> Resource:
    url = f"{VALUE_SET}{number}"
    return {"resourceType": "ValueSet", "url": url, "status": "draft", "compose": {"include": list(include)}}


def code_system(concepts: list[Resource]) -> Resource:
    return {
        "resourceType": "CodeSystem",
        "url": CODE_SYSTEM,
        "status": "draft",
        "content": "complete",
        "concept": concepts,
    }


# ---- the inputs ------------------------------------------------------------------------------------------------------

GROWING: dict[str, Hostile] = {
    # long lists
    "codings of unknown systems": Hostile(
        lambda n: observation(code={"coding": rows(n, lambda i: {"system": f"http://x/{i}", "code": "a"})}), 28_000
    ),
    "codings that are none of their system's": Hostile(
        lambda n: observation(
            category=[{"coding": rows(n, lambda i: {"system": "http://loinc.org", "code": f"{i}-x"})}]
        ),
        20_000,
    ),
    "unknown extensions": Hostile(
        lambda n: patient(extension=rows(n, lambda i: {"url": f"http://x/{i}", "valueCode": "a"})), 25_000
    ),
    "extensions that say nothing": Hostile(lambda n: patient(extension=rows(n, lambda _: {"url": "a"})), 70_000),
    "known extensions": Hostile(
        lambda n: patient(
            extension=rows(n, lambda _: {"url": f"{STRUCTURE}patient-birthPlace", "valueAddress": {"city": "a"}})
        ),
        10_000,
    ),
    "identifiers": Hostile(
        lambda n: patient(
            identifier=rows(n, lambda i: {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": f"9{i:09}"})
        ),
        13_000,
    ),
    "properties nobody knows": Hostile(lambda n: patient(**{f"birthDate{i}": 1 for i in range(n)}), 60_000),
    "numbers where texts belong": Hostile(lambda n: patient(name=[{"given": [1] * n}]), 400_000),
    "nulls": Hostile(lambda n: patient(name=[{"given": [None] * n}]), 200_000),
    "twins that do not line up": Hostile(
        lambda n: patient(name=[{"given": ["a"] * n, "_given": [{"id": "a"}] * (n // 2)}]), 90_000
    ),
    # contained resources
    "contained resources of one id": Hostile(
        lambda n: listing(rows(n, lambda _: {"resourceType": "Basic", "id": "a", "code": {"text": "a"}}), ["#a"]),
        14_000,
    ),
    "references to what is not contained": Hostile(
        lambda n: listing(
            rows(n, lambda i: {"resourceType": "Basic", "id": f"a{i}", "code": {"text": "a"}}),
            rows(n, lambda i: f"#b{i}"),
        ),
        7_000,
    ),
    "references where nothing contained has an id": Hostile(
        lambda n: listing(
            rows(n, lambda _: {"resourceType": "Basic", "code": {"text": "a"}}), rows(n, lambda i: f"#b{i}")
        ),
        7_000,
    ),
    "contained resources in a circle": Hostile(
        lambda n: listing(
            rows(n, lambda i: {**linked(i, 0), "link": [{"type": "refer", "other": {"reference": f"#{(i + 1) % n}"}}]}),
            ["#0"],
        ),
        6_000,
    ),
    # Bundles
    "entries of one fullUrl that point to it": Hostile(
        lambda n: bundle(rows(n, lambda _: linked(1, 1)), url=lambda _: "https://example.org/Patient/1"), 6_000
    ),
    "a chain of entries": Hostile(lambda n: bundle(rows(n, lambda i: linked(i, i + 1))), 6_000),
    "a document of entries of one name": Hostile(lambda n: document(n, same=True), 4_500),
    "a document that is a chain": Hostile(lambda n: document(n, same=False), 4_500),
    "entries that are empty": Hostile(
        lambda n: Input({"resourceType": "Bundle", "type": "collection", "entry": [{}] * n}), 300_000
    ),
    "resources that claim fifty unknown profiles": Hostile(
        lambda n: bundle(
            rows(n, lambda i: {"resourceType": "Patient", "id": str(i), "meta": {"profile": rows(50, lambda j: f"http://x/{i}-{j}")}})
        ),
        1_000,
    ),
    "resources that claim many profiles": Hostile(
        lambda n: bundle(
            rows(n, lambda i: {**observation().resource, "id": str(i), "meta": {"profile": rows(9, lambda j: f"{STRUCTURE}{VITAL_SIGNS[j]}")}})
        ),
        1_200,
    ),
    # depth
    "extensions in extensions": Hostile(
        lambda n: patient(extension=rows(n, lambda _: nested(28, "extension", {"url": "a"}, lambda __: {"url": "a"}))),
        1_500,
    ),
    "items in items": Hostile(
        lambda n: Input(
            {
                "resourceType": "Questionnaire",
                "status": "draft",
                "item": rows(n, lambda i: nested(28, "item", {"linkId": f"{i}", "type": "string"}, lambda j: {"linkId": f"{i}-{j}", "type": "group"})),
            }
        ),
        900,
    ),
    "Bundles in Bundles": Hostile(
        lambda n: bundle(rows(n, lambda i: _in_bundles(15, linked(i, 9)))), 500
    ),
    # long texts
    "base64 with blanks": Hostile(
        lambda n: Input({"resourceType": "Binary", "contentType": "text/plain", "data": "QUJ " * n + "!"}), 250_000
    ),
    "a text of blanks": Hostile(lambda n: patient(name=[{"text": " " * n + "\x01"}]), 1_000_000),
    "a code of words": Hostile(lambda n: patient(gender="a " * n), 500_000),
    "a date of months": Hostile(lambda n: patient(birthDate="2020" + "-01" * n), 300_000),
    "a unit of factors": Hostile(
        lambda n: observation(valueQuantity={"value": 1, "system": "http://unitsofmeasure.org", "code": "m." * n}), 500_000
    ),
    "a unit in parentheses": Hostile(
        lambda n: observation(valueQuantity={"value": 1, "system": "http://unitsofmeasure.org", "code": "(" * n}), 1_000_000
    ),
    # narratives
    "tags": Hostile(lambda n: narrative("<b>a</b>" * n), 120_000),
    "tags that are not allowed": Hostile(lambda n: narrative("<x>a</x>" * n), 120_000),
    "tags in tags": Hostile(lambda n: narrative("<b>" * n + "a" + "</b>" * n), 140_000),
    "tags that do not end": Hostile(lambda n: narrative("<b>" * n), 300_000),
    "entities": Hostile(lambda n: narrative("&amp;&nbsp;" * n), 90_000),
    "links that lead nowhere": Hostile(
        lambda n: narrative("".join(rows(n, lambda i: f'<a id="b{i}" href="#b{i + 1}">a</a>'))), 28_000
    ),
    # definitions
    "includes": Hostile(
        lambda n: Input(value_set(*rows(n, lambda i: {"system": f"http://x/{i}"}))), 38_000
    ),
    "concepts": Hostile(lambda n: Input(code_system(rows(n, lambda i: {"code": f"c{i}"}))), 55_000),
    "concepts of one code": Hostile(lambda n: Input(code_system(rows(n, lambda _: {"code": "c"}))), 70_000),
    "elements of a differential": Hostile(
        lambda n: Input(profile(*rows(n, lambda i: element(f"Patient.x{i}")))), 20_000
    ),
    "slices of a differential": Hostile(lambda n: Input(profile(*slices(n))), 8_000),
    "elements of a snapshot": Hostile(
        lambda n: Input(
            profile(snapshot={"element": [element("Patient", min=0, max="*"), *rows(n, lambda i: element(f"Patient.x{i}", min=0, max="1", type=[{"code": "string"}]))]})
        ),
        9_000,
    ),
    "reslices of a snapshot": Hostile(
        lambda n: Input(
            profile(snapshot={"element": [element("Patient", min=0, max="*"), element("Patient.name", min=0, max="*"), *rows(n, lambda i: element("Patient.name", f"a/{i}", min=0, max="1"))]})
        ),
        9_000,
    ),
    "invariants of a definition": Hostile(
        lambda n: Input(profile(constraints("name.matches('(a+)+$')", n))), 9_000
    ),
    # profiles that are known
    "profiles that refer to each other": Hostile(
        lambda n: Input(
            bundle(rows(n, lambda i: {"resourceType": "Organization", "id": str(i), "name": "a", "partOf": {"reference": f"Organization/{(i + 1) % n}"}, "meta": {"profile": [PROFILE]}})).resource,
            (),
            (profile(element("Organization.partOf", type=[{"code": "Reference", "targetProfile": [PROFILE]}]), type_="Organization"),),
        ),
        5_000,
    ),
    "a regular expression that goes back": Hostile(
        lambda n: Input(
            {"resourceType": "Patient", "name": [{"family": "a" * n + "!"}]},
            (PROFILE,),
            (profile(constraints("name.family.all(matches('^(a|aa|aaa)+(a|b)*(a|aa)+$'))", 1)),),
        ),
        1_000_000,
    ),
    **{
        f"the expression {expression}": Hostile(
            lambda n, expression=expression: Input(people(n), (PROFILE,), (profile(constraints(expression, 1)),)),  # type: ignore[misc]
            40_000,
        )
        for expression in (
            "name.family.isDistinct()",
            "name.distinct().count() > 1",
            "(name | name).count() > 1",
            "name.intersect(name).count() > 1",
            "name.subsetOf(%resource.name)",
            "name.family.all($this in %resource.name.family)",
            "repeat(name).count() > 0",
            "name = name",
            "name.family.join(',').length() > 0",
        )
    },
}  # fmt: skip

VITAL_SIGNS = ("bodyweight", "bodyheight", "bmi", "bp", "heartrate", "resprate", "oxygensat", "bodytemp", "headcircum")


def _in_bundles(levels: int, resource: Resource) -> Resource:
    for _ in range(levels):
        resource = bundle([resource]).resource
    return resource


QUESTIONS = "https://example.org/Questionnaire/q"


def answers(items: list[Resource], questionnaire: Resource) -> Input:
    """A response, and its questionnaire among what is known."""
    response = {"resourceType": "QuestionnaireResponse", "status": "completed", "questionnaire": QUESTIONS}
    return Input({**response, "item": items}, (), (questionnaire,))


def questionnaire(*items: Resource, **more: Any) -> Resource:
    return {"resourceType": "Questionnaire", "url": QUESTIONS, "status": "active", "item": list(items), **more}


BOUNDED: dict[str, Hostile] = {
    "many groups and many questions": Hostile(
        lambda n: answers(
            [{"linkId": "g"}] * n,
            questionnaire({"linkId": "g", "type": "group", "repeats": True, "item": rows(n // 2, lambda i: {"linkId": f"c{i}", "type": "string"})}),
        ),
        22_000,
    ),
    "many answers and many codes of a contained value set": Hostile(
        lambda n: answers(
            [{"linkId": "g", "answer": rows(n, lambda i: {"valueCoding": {"system": "http://x", "code": f"a{i}"}})}],
            questionnaire(
                {"linkId": "g", "type": "choice", "repeats": True, "answerValueSet": "#v"},
                contained=[{**value_set({"system": "http://x", "concept": rows(2 * n, lambda i: {"code": f"b{i}"})}), "id": "v"}],
            ),
        ),
        8_000,
    ),
    "many slices and many elements": Hostile(
        lambda n: Input(people(n), (PROFILE,), (profile(*slices(900)),)), 40_000
    ),
    "many rules and many resources": Hostile(
        lambda n: Input(
            bundle(rows(n, lambda i: {"resourceType": "Patient", "id": str(i), "meta": {"profile": [PROFILE]}, "name": [{"family": "a"}] * 5})).resource,
            (),
            (profile(*(piece for made in slices(900) for piece in _with_children(made))),),
        ),
        4_500,
    ),
    "many invariants and many elements": Hostile(
        lambda n: Input(people(n), (PROFILE,), (profile(constraints("name.family.where($this = 'x').empty()", 500)),)),
        40_000,
    ),
    "an invariant that multiplies": Hostile(
        lambda n: Input(people(n), (PROFILE,), (profile(constraints("name.all($this.select(%resource.name.select(family & 'a')).count() > 0)", 1)),)),
        40_000,
    ),
    "many codes and many value sets": Hostile(
        lambda n: codings(
            n,
            value_set({"valueSet": [VALUE_SET + str(i) for i in range(90)]}),
            *rows(90, lambda i: value_set(*rows(90, lambda j: {"system": CODE_SYSTEM, "concept": [{"code": f"c{j}"}]}), number=str(i))),
        ),
        15_000,
    ),
    "texts that grow": Hostile(
        lambda n: Input(people(n), (PROFILE,), (profile(constraints("name.family.first()" + ".replace('n', 'nnnnnnnnnn')" * 12 + ".length() > 0", 1)),)),
        40_000,
    ),
}  # fmt: skip

_BASE = profile(
    element("Patient.name", mapping=rows(1_500, lambda i: {"identity": "a", "map": str(i)})), url=f"{PROFILE}-base"
)

# Definitions of which no snapshot is made because it would be too large, with those that they stand on.
TOO_LARGE: dict[str, Input] = {
    "slices": Input(profile(*slices(2_000))),
    "elements": Input(profile(*rows(11_000, lambda i: element(f"Patient.x{i}")))),
    "a row of many values": Input(
        profile(element("Patient.name", mapping=rows(6_000, lambda i: {"identity": "a", "map": str(i)})))
    ),
    "values of the base in slices": Input(profile(*slices(950), baseDefinition=_BASE["url"]), (), (_BASE,)),
    "types unfolded in slices": Input(profile(
        element("Bundle.entry", slicing={"discriminator": [{"type": "value", "path": "fullUrl"}], "rules": "open"}),
        *(
            made
            for number in range(900)
            for made in (
                element("Bundle.entry", f"s{number}"),
                {"id": f"Bundle.entry:s{number}.resource", "path": "Bundle.entry.resource", "type": [{"code": "ExplanationOfBenefit"}]},
                {"id": f"Bundle.entry:s{number}.resource.status", "path": "Bundle.entry.resource.status", "min": 1},
            )
        ),
        type_="Bundle",
    )),
}  # fmt: skip


def _with_children(made: Resource) -> list[Resource]:
    if "sliceName" not in made:
        return [made]
    given = {"id": f"{made['id']}.given", "path": "Patient.name.given", "min": 1}
    return [made, given]
