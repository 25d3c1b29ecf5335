"""Run the cases of HL7's validator test suite, and say where we agree with the Java validator.

Each case is a resource with what the Java validator finds in it, by itself and, where the case brings a profile, held
against that. Agreement is on the verdict: an error, or none. `options` of a case that tell HL7's harness what to validate
are followed where we have the same (`bundle-param`); the others have no counterpart here and are left aside.

    python -m tools.validator_suite [FOLDER] [--case NAME]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
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


class Verdict(NamedTuple):
    """One resource of the suite: what was expected of it, and what we found."""

    case: str
    module: str
    with_profile: bool
    expected: bool
    issues: list[Issue]

    @property
    def found(self) -> bool:
        return any(issue.is_error for issue in self.issues)

    @property
    def agrees(self) -> bool:
        return self.found == self.expected


def verdicts(folder: Path = FOLDER) -> Iterator[Verdict]:
    """Every resource of the suite, in the manifest's order: by itself, then with its profile."""
    for case in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["cases"]:
        for key, with_profile in (("expected", False), ("expected_with_profile", True)):
            outcome = case[key]
            if outcome is not None:
                wrong = bool(outcome["errors"] or outcome["fatal"])
                issues = issues_of(case, folder, with_profile=with_profile)
                yield Verdict(case["name"], case["module"], with_profile, wrong, issues)


def issues_of(case: Json, folder: Path, *, with_profile: bool) -> list[Issue]:
    """What we say of a case."""
    files = [*case["supporting"], *(case["profile_supporting"] + [case["profile"]] if with_profile else [])]
    known = Registry.of(load(), [_read(folder / file) for file in files])
    asked = [_read(folder / case["profile"])["url"]] if with_profile else []
    try:
        resource = _read(folder / case["resource"])
    except Rejected as refused:
        return list(refused.issues)
    issues = validate(resource, load(), asked, known=known, today=date.today())  # noqa: DTZ011
    rule = case["options"].get("bundle-param")
    if rule:
        type_name, _, index = rule["rule"].partition(":")
        entries = [e["resource"] for e in resource["entry"] if e["resource"]["resourceType"] == type_name]
        issues += validate(entries[int(index)], load(), [rule["profile"]], known=known)
    return issues


def _read(path: Path) -> Json:
    return codec.as_resource(codec.loads(path.read_bytes(), depth_max=_DEPTH_MAX))


def table(found: list[Verdict]) -> str:
    """Agreement by module, without and with the case's profile."""
    rows = [f"{'module':<14}{'by itself':>14}{'with profile':>16}{'together':>14}"]
    for module in [*sorted({verdict.module for verdict in found}), "all"]:
        mine = [verdict for verdict in found if module in ("all", verdict.module)]
        alone, held = ([v for v in mine if v.with_profile is with_profile] for with_profile in (False, True))
        rows.append(f"{module:<14}{_share(alone):>14}{_share(held):>16}{_share(mine):>14}")
    return "\n".join(rows)


def _share(verdicts_: list[Verdict]) -> str:
    agree = sum(verdict.agrees for verdict in verdicts_)
    return f"{agree}/{len(verdicts_)} {100 * agree / len(verdicts_):4.0f} %" if verdicts_ else ""


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
