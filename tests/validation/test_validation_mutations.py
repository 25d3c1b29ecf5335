"""Whatever somebody does to a good resource, validating it answers with issues and never with an exception."""

from __future__ import annotations

import copy
import gzip
import tarfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.fhir import codec
from phb_fhir.outcome import Issue
from phb_fhir.validation.validate import validate

R4 = load()
EXAMPLES = Path(__file__).parents[2].parent / "shared" / "conformance" / "examples" / "r4-4.0.1-instances.ndjson.gz"
UK_CORE = EXAMPLES.parents[1] / "uk-core" / "fhir.r4.ukcore.stu2-2.0.0.tgz"
RESOURCES_TRIED = 40

with gzip.open(EXAMPLES) as lines:
    GOOD = [codec.loads(line, depth_max=200) for line in lines if len(line) < 8_000][::10][:RESOURCES_TRIED]

with tarfile.open(UK_CORE, mode="r:gz") as tgz:
    FILES = {m.name: codec.loads(tgz.extractfile(m).read(), depth_max=200) for m in tgz if m.name.endswith(".json")}
KNOWN = Registry.of(R4, [resource for name, resource in FILES.items() if "/examples/" not in name])
PROFILED = [
    (resource, f"https://fhir.hl7.org.uk/StructureDefinition/UKCore-{resource['resourceType']}")
    for name, resource in FILES.items()
    if "/examples/" in name
]

names = st.sampled_from(
    ["resourceType", "extension", "_extension", "value", "valueString", "_valueString", "contained", "id", "url"]
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=True, allow_infinity=True)
    | st.floats()
    | st.decimals(allow_nan=False, allow_infinity=False).map(lambda d: codec.Exact(f"{d:e}"))
    | st.text()
    | st.sampled_from(["Patient", "2024-02-30", "final", "<div/>", " ", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.text(), inner, max_size=3),
    max_leaves=8,
)


def _places(value, found):
    """Every (holder, key) below `value`."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        found.append((value, key))
        if isinstance(inner, (dict, list)):
            _places(inner, found)
    return found


@st.composite
def mutated(draw):
    """A good resource with one to four places changed: replaced, left out, wrapped, unwrapped, doubled, renamed."""
    return _mutated(draw, draw(st.sampled_from(GOOD)))


@st.composite
def mutated_with_profile(draw):
    """The same of a resource that has a profile, which the mutation does not change."""
    good, profile = draw(st.sampled_from(PROFILED))
    return _mutated(draw, good), profile


def _mutated(draw, good):
    resource = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 4))):
        places = _places(resource, [])
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        change = draw(st.sampled_from(["replace", "drop", "wrap", "unwrap", "twin", "rename", "null"]))
        _change(draw, holder, key, change)
    return resource


def _change(draw, holder, key, change):
    value = holder[key]
    if change == "replace":
        holder[key] = draw(values)
    elif change == "drop":
        del holder[key]
    elif change == "wrap":
        holder[key] = [value] if draw(st.booleans()) else {draw(names): value}
    elif change == "unwrap" and isinstance(value, (dict, list)) and value:
        holder[key] = next(iter(value.values() if isinstance(value, dict) else value))
    elif change == "twin" and isinstance(holder, dict):
        holder[f"_{key}"] = draw(values)
    elif change == "rename" and isinstance(holder, dict):
        holder[draw(names | st.text())] = holder.pop(key)
    elif change == "null":
        holder[key] = None


@settings(max_examples=400, deadline=None)
@given(mutated())
def test_a_mutated_resource_gives_issues_with_a_sentence_each_and_never_an_exception(resource):
    for issue in validate(resource, R4):
        assert isinstance(issue, Issue)
        assert issue.text.strip()
        assert len(issue.text) < 1_000


@settings(max_examples=300, deadline=None)
@given(mutated_with_profile())
def test_a_mutated_resource_held_against_a_profile_gives_issues_and_never_an_exception(made):
    resource, profile = made
    for issue in validate(resource, R4, [profile], known=KNOWN):
        assert isinstance(issue, Issue)
        assert issue.text.strip()
        assert len(issue.text) < 1_500


@settings(max_examples=200, deadline=None)
@given(values)
def test_any_json_value_at_all_gives_issues_and_never_an_exception(value):
    assert all(isinstance(issue, Issue) for issue in validate(value, R4))


def test_the_resources_that_are_mutated_are_good_ones_of_many_types():
    assert len(GOOD) == RESOURCES_TRIED
    assert len({resource["resourceType"] for resource in GOOD}) > 20
    assert [issue for resource in GOOD for issue in validate(resource, R4) if issue.is_error] == []
