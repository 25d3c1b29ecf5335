"""Run the cases of HL7's validator test suite, and say where we agree with the Java validator.

Each case is a resource with what the Java validator finds in it, by itself and, where the case brings a profile, held
against that. Agreement is on the verdict: an error, or none. A second figure says how many of the errors that the Java
validator finds we find at the same place: the same element whatever its index, or the one above it, where the Java validator
locates what is missing.

The suite forbids unknown extensions but for those at addresses kept for examples, so the cases are run `closed`. `options`
of a case that tell HL7's harness what to validate are followed where we have the same; the others have no counterpart here.

| option | here |
|---|---|
| `allowed-extension-domain`, `allowed-extension-domains` | the case is not run `closed` |
| `bundle-param` | the entry it names is held against its profile as well |
| `validateContains: IGNORE` | what is wrong inside contained resources is left out |

    python -m tools.validator_suite [FOLDER] [--case NAME]
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from phb_fhir.definitions.load import load
from phb_fhir.definitions.registry import Registry
from phb_fhir.fhir import codec
from phb_fhir.outcome import Issue, Rejected
from phb_fhir.validation.validate import validate

Json = dict[str, Any]

FOLDER = Path(__file__).resolve().parents[1].parent / "shared" / "conformance" / "validator"
_DEPTH_MAX = 200
_COMMENT_OR_CHOICE = re.compile(r"/\*.*?\*/|\[x\]|\[url='[^']*'\]")
_INDEX = re.compile(r"\[\d+\]$")
_OPEN = frozenset(("allowed-extension-domain", "allowed-extension-domains"))


class Verdict(NamedTuple):
    """One resource of the suite: what was expected of it, and what we found."""

    case: str
    module: str
    with_profile: bool
    expected: bool
    issues: list[Issue]
    places: list[str]  # where the Java validator finds its errors

    @property
    def found(self) -> bool:
        return any(issue.is_error for issue in self.issues)

    @property
    def agrees(self) -> bool:
        return self.found == self.expected

    @property
    def places_found(self) -> int:
        """How many of the places we find an error at as well."""
        ours = [_place(issue.expression) for issue in self.issues if issue.is_error]
        return sum(any(_is_near(_place(place), each) for each in ours) for place in self.places)


def _place(expression: str) -> str:
    """A location as both write it: without remarks on the type, without the index of the last step."""
    return _INDEX.sub("", _COMMENT_OR_CHOICE.sub("", expression))


def _is_near(there: str, here: str) -> bool:
    return here == there or _above(here) == there or _above(there) == here


def _above(place: str) -> str:
    return _INDEX.sub("", place.rpartition(".")[0])


def verdicts(folder: Path = FOLDER) -> Iterator[Verdict]:
    """Every resource of the suite, in the manifest's order: by itself, then with its profile."""
    for case in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["cases"]:
        for key, with_profile in (("expected", False), ("expected_with_profile", True)):
            outcome = case[key]
            if outcome is not None:
                wrong = bool(outcome["errors"] or outcome["fatal"])
                issues = issues_of(case, folder, with_profile=with_profile)
                places = [
                    place
                    for issue in outcome["issues"]
                    if _is_error(issue)
                    for place in (issue["expression"] or ())[:1]
                ]
                yield Verdict(case["name"], case["module"], with_profile, wrong, issues, places)


def _is_error(issue: Json) -> bool:
    return issue["severity"] in ("error", "fatal")


def issues_of(case: Json, folder: Path, *, with_profile: bool) -> list[Issue]:
    """What we say of a case."""
    files = [*case["supporting"], *(case["profile_supporting"] + [case["profile"]] if with_profile else [])]
    known = Registry.of(load(), [_read(folder / file) for file in files])
    asked = [_read(folder / case["profile"])["url"]] if with_profile else []
    try:
        resource = _read(folder / case["resource"])
    except Rejected as refused:
        return list(refused.issues)
    closed = _OPEN.isdisjoint(case["options"])
    issues = validate(resource, load(), asked, known=known, today=date.today(), closed=closed)  # noqa: DTZ011
    if case["options"].get("validateContains") == "IGNORE":
        issues = [issue for issue in issues if ".contained[" not in issue.expression]
    rule = case["options"].get("bundle-param")
    if rule:
        type_name, _, count = rule["rule"].partition(":")
        places = [i for i, each in enumerate(resource["entry"]) if each["resource"]["resourceType"] == type_name]
        index = places[int(count)]
        found = validate(resource["entry"][index]["resource"], load(), [rule["profile"]], known=known)
        at = f"Bundle.entry[{index}].resource"
        issues += [replace(each, expression=f"{at}{each.expression.removeprefix(type_name)}") for each in found]
    return issues


def _read(path: Path) -> Json:
    return codec.as_resource(codec.loads(path.read_bytes(), depth_max=_DEPTH_MAX))


def table(found: list[Verdict]) -> str:
    """Agreement by module: on the verdict, without and with the case's profile, and on the places of errors."""
    rows = [f"{'module':<14}{'by itself':>14}{'with profile':>16}{'together':>16}{'places':>16}"]
    for module in [*sorted({verdict.module for verdict in found}), "all"]:
        mine = [verdict for verdict in found if module in ("all", verdict.module)]
        alone, held = ([v for v in mine if v.with_profile is with_profile] for with_profile in (False, True))
        places = _share(sum(v.places_found for v in mine), sum(len(v.places) for v in mine))
        rows.append(f"{module:<14}{_agreed(alone):>14}{_agreed(held):>16}{_agreed(mine):>16}{places:>16}")
    return "\n".join(rows)


def _agreed(verdicts_: list[Verdict]) -> str:
    return _share(sum(verdict.agrees for verdict in verdicts_), len(verdicts_))


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole} {100 * part / whole:4.0f} %" if whole else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--case", help="print what is found in the cases with this in their name")
    arguments = parser.parse_args()
    found = list(verdicts(arguments.folder))
    for verdict in found:
        wanted = arguments.case in verdict.case if arguments.case else not verdict.agrees
        if not wanted:
            continue
        how = "with its profile" if verdict.with_profile else "by itself"
        expected = "an error" if verdict.expected else "no error"
        print(
            f"{verdict.case} {how}: the Java validator finds {expected}, we {'do too' if verdict.agrees else 'do not agree'}"
        )
        for issue in verdict.issues:
            if issue.is_error or arguments.case:
                print(f"    {issue.severity} {issue.expression}: {issue.text}")
    print(table(found))


if __name__ == "__main__":
    main()
