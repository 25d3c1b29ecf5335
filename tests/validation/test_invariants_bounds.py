"""No resource and no profile makes invariants run away: work grows with the resource and not with its powers."""

from __future__ import annotations

import sys

import pytest

from phb_fhir.definitions.load import Invariant
from phb_fhir.fhirpath.evaluate import compiled
from phb_fhir.fhirpath.values import NotEvaluableError, Steps
from phb_fhir.fhirpath.walk import Evaluation
from phb_fhir.outcome import Issue, Kind
from phb_fhir.validation.invariants import hold, rules_of
from tests.validation.elements import check_invariants, elements, frame_of

CALLS_MAX = 500  # of functions, for each of the names that an expression made to be slow goes through


def nested(key: str, inner: str, count: int) -> list[dict]:
    """Trees of fifty levels, `count` nodes in all."""
    trees = []
    for tree in range(count // 50):
        node = {key: f"{tree}-0"}
        for level in range(1, 50):
            node = {key: f"{tree}-{level}", "type": "group", inner: [node]}
        trees.append(node)
    return trees


def rows(count: int, row) -> list[dict]:
    return [row(number) for number in range(count)]


# What is hard for an invariant, by its size.
HARD = {
    "dom-3: contained resources that nothing refers to": lambda n: {
        "resourceType": "Patient", "contained": rows(n, lambda i: {"resourceType": "Patient", "id": f"a{i}"})},
    "dom-3 and ref-1: contained resources that all are referred to": lambda n: {
        "resourceType": "List", "contained": rows(n, lambda i: {"resourceType": "Patient", "id": f"a{i}"}),
        "entry": rows(n, lambda i: {"item": {"reference": f"#a{i}"}})},
    "ctm-1: references to resolve": lambda n: {
        "resourceType": "CareTeam", "contained": rows(n, lambda i: {"resourceType": "Practitioner", "id": f"a{i}"}),
        "participant": rows(n, lambda i: {"onBehalfOf": {"reference": "#a1"}, "member": {"reference": f"#a{i}"}})},
    "bdl-7: entries": lambda n: {
        "resourceType": "Bundle", "type": "collection",
        "entry": rows(n, lambda i: {"fullUrl": f"urn:{i}", "resource": {"resourceType": "Task", "id": f"{i}"}})},
    "csd-1: codes in trees": lambda n: {"resourceType": "CodeSystem", "concept": nested("code", "concept", n)},
    "que-2: items in trees": lambda n: {"resourceType": "Questionnaire", "item": nested("linkId", "item", n)},
    "obs-7: codings of components and of the observation": lambda n: {
        "resourceType": "Observation", "valueString": "x", "code": {"coding": rows(n, lambda i: {"code": f"a{i}"})},
        "component": rows(n, lambda i: {"code": {"coding": [{"code": f"b{i}"}]}})},
    "ig-1 and ig-2: members of long lists": lambda n: {
        "resourceType": "ImplementationGuide", "fhirVersion": [str(i) for i in range(n)],
        "definition": {"grouping": rows(n, lambda i: {"id": f"g{i}"}),
                       "resource": rows(n, lambda i: {"groupingId": f"g{i}", "fhirVersion": [str(i)]})}},
    "sdf-8 and sdf-8a: elements held against the first": lambda n: {
        "resourceType": "StructureDefinition", "kind": "resource", "type": "A",
        "snapshot": {"element": rows(n, lambda i: {"id": f"A.{i}", "path": f"A.a{i}"})},
        "differential": {"element": rows(n, lambda i: {"id": f"A.{i}", "path": f"A.a{i}"})}},
    "eld-19: a path that is one long name": lambda n: {
        "resourceType": "StructureDefinition", "differential": {"element": [{"path": "a" * n * 20}]}},
    "eld-19: a path of many names": lambda n: {
        "resourceType": "StructureDefinition", "differential": {"element": [{"path": "a:." * n * 20}]}},
    "tst-6: assertions": lambda n: {
        "resourceType": "TestScript", "test": [{"action": rows(n, lambda _: {"assert": {"response": "okay"}})}]},
}  # fmt: skip


def _steps(resource) -> int:
    """The steps that the FHIRPath among the invariants of a resource takes."""
    found = list(elements(resource))
    steps = Steps(10**9)
    found[0].frame.run.memory[Evaluation] = (Evaluation(found[0].frame, (resource, "", None)).tables, steps)
    for one in found:
        list(hold(rules_of(one.invariants, one.type), one.value, one.twin, one.at, one.frame))
    return 10**9 - steps.left


@pytest.mark.parametrize("name", HARD)
def test_twice_the_resource_is_about_twice_the_steps(name):
    once, twice = (_steps(HARD[name](size)) for size in (200, 400))
    assert twice < 2.3 * once + 100


@pytest.mark.parametrize("name", HARD)
def test_twice_the_resource_is_about_twice_the_work(name):
    """Work is the number of calls, which is the same on every machine; a walk that grew with the square would make four times as many."""
    once, twice = (_calls_of_all(HARD[name](size)) for size in (500, 1_000))
    assert twice < 2.3 * once + 100


def _calls_of_all(resource) -> int:
    found = list(elements(resource))
    rules = {key: rules_of(*key) for key in {(one.invariants, one.type) for one in found}}

    def ask():
        for one in found:
            list(hold(rules[one.invariants, one.type], one.value, one.twin, one.at, one.frame))

    ask()
    for one in found:
        one.frame.run.memory.clear()
    return _calls(ask)


def _calls(run) -> int:
    """How many functions are called, Python's own among them."""
    counted = 0

    def count(_frame, event, _argument):
        nonlocal counted
        counted += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(None)
    return counted


def test_an_expression_that_multiplies_stops_and_the_resource_is_not_taken_for_checked():
    squared = Invariant("x-1", "error", "No", "name.all(%resource.name.where($this != 1).count() >= 0 and "
                        "$this.select(%resource.name.select(given)).count() > 0)")  # fmt: skip
    nested = Invariant(
        "x-2", "error", "No", "contact.name.select(%resource.descendants().where($this is HumanName)).all(true)"
    )
    product = (
        "descendants().select($this.combine(%resource.descendants().where($this.empty().not())).count()).all($this > 0)"
    )
    worst = Invariant("x-3", "error", "No", product)
    people = {"resourceType": "Patient", "name": [{"given": [f"n{i}"]} for i in range(5_000)]}
    frame = frame_of(people)
    issues = list(check_invariants((squared, nested, worst, worst), people, "Patient", frame, "Patient"))
    assert [(issue.kind, issue.is_error) for issue in issues] == [(Kind.TOO_COSTLY, True)]


@pytest.mark.parametrize(
    "expression",
    [
        "name.all(%resource.name.family = %resource.name.family)",
        "name.all(%resource.name.family ~ %resource.name.family)",
        "name.all($this.supersetOf(%resource.name).not())",
        "name.all($this in %resource.name)",
        "name.all(%resource.name.intersect(%resource.name).exists())",
        "name.family.all(%resource.name.family.join(',').contains($this))",
        "name.family.all(%resource.name.family.join(',').replaceMatches('a','bb').length() > 1)",
        "name.aggregate($total | given, {}).count() > 1",
        "name.all(given.combine(%resource.name.given).ofType(string).isDistinct().not())",
        "name.all(%resource.descendants().count() > descendants().count())",
        "name.select(%resource.name).exists()",
    ],
)
def test_an_expression_made_to_be_slow_on_half_a_megabyte_is_answered_or_stopped_before_long(expression):
    people = {"resourceType": "Patient", "name": [{"given": [f"n{i}"], "family": "Byron"} for i in range(12_000)]}
    invariant = Invariant("x-1", "error", "No", expression)
    issues: list[Issue] = []
    frame = frame_of(people)
    calls = _calls(lambda: issues.extend(check_invariants((invariant,), people, "Patient", frame, "Patient")))
    assert [issue.kind for issue in issues] in ([], [Kind.TOO_COSTLY])
    assert calls < CALLS_MAX * len(people["name"])


def test_a_large_resource_may_have_more_steps_than_a_small_one():
    linear = Invariant("x-1", "error", "No", "descendants().descendants().count() > 0")
    large = {"resourceType": "Patient", "name": [{"given": [f"n{i}" for i in range(60)]} for _ in range(6_000)]}
    assert list(check_invariants((linear,), large, "Patient", frame_of(large), "Patient")) == []


@pytest.mark.parametrize("regex", ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "(.*)*b", "^([a-z]+)*c$"])
def test_a_regular_expression_that_explodes_elsewhere_is_matched_at_once(regex):
    invariant = Invariant("x-1", "error", "No", f"matches('{regex}').not()")
    text = "a" * 100_000 + "!"
    assert list(check_invariants((invariant,), text, "Patient", frame_of({}), "string")) == []


def test_a_text_an_expression_puts_together_has_a_bound():
    doubling = Invariant("x-1", "error", "No", "name.given.aggregate($total & $total, 'ab').length() > 0")
    patient = {"resourceType": "Patient", "name": [{"given": ["x"] * 64}]}
    issues = list(check_invariants((doubling,), patient, "Patient", frame_of(patient), "Patient"))
    assert [issue.kind for issue in issues] == [Kind.TOO_COSTLY]


@pytest.mark.parametrize(
    "expression", ["(" * 5_000 + "true" + ")" * 5_000, "name.where(" * 3_000 + "true" + ")" * 3_000, "a" * 30_000]
)
def test_an_expression_too_deep_or_too_long_is_refused(expression):
    with pytest.raises(NotEvaluableError, match=r"nests too deep|characters"):
        compiled(expression)


def test_a_resource_that_claims_to_be_of_types_there_are_not_leaves_nothing_behind():
    contained = [{"resourceType": f"Made{number}", "id": str(number)} for number in range(100)]
    patient = {"resourceType": "Patient", "contained": contained}
    frame = frame_of(patient)
    anything = Invariant("x-1", "error", "No", "contained.descendants().empty() and contained.id.empty()")
    assert list(check_invariants((anything,), patient, "Patient", frame, "Patient")) == []
    tables = Evaluation(frame, (patient, "Patient", None)).tables
    assert not [
        name for table in (tables.members, tables.children, tables.kinds) for name in table if name.startswith("Made")
    ]
