"""Keep the guide's table of contents in step with its files: `python -m tools.build_guide`.

`profiles/ImplementationGuide-phb.json` lists every definition and every example there is, in groups, with the title each
gives itself. `written()` is what the file should say; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from phb_fhir.fhir import codec

Resource = dict[str, Any]

PROFILES = Path(__file__).parents[1] / "profiles"
GUIDE = PROFILES / "ImplementationGuide-phb.json"
OURS = "https://fhir.phb.nhs.example/"
_DEPTH_MAX = 200

# id, name and what is in it, in the order a reader wants them
GROUPS = (
    ("profiles", "Profiles", "What resources of personal health budgets look like."),
    ("types", "Profiles of data types", "What is asked of an amount of money."),
    ("extensions", "Extensions", "What R4 has no element for."),
    ("terminology", "Code systems and value sets", "The words of personal health budgets."),
    ("search", "Search parameters", "What can be searched by, beside R4's own."),
    ("operations", "Operations", "What can be done beside reading and writing."),
    ("forms", "Questionnaires", "Forms to be filled in."),
    ("processes", "Processes", "How something is decided, step by step."),
    ("examples", "Examples", "Each profile at least once."),
)
_GROUP_OF_TYPE = {
    "CodeSystem": "terminology",
    "ValueSet": "terminology",
    "SearchParameter": "search",
    "OperationDefinition": "operations",
    "PlanDefinition": "processes",
    "Questionnaire": "forms",
}


def written() -> bytes:
    """What the file is to say: itself, with the rows of what there is."""
    guide = read(GUIDE)
    guide["definition"] = {
        **guide["definition"],
        "grouping": [{"id": id_, "name": name, "description": text} for id_, name, text in GROUPS],
        "resource": rows(),
    }
    return codec.dumps_pretty(guide) + b"\n"


def rows() -> list[Resource]:
    """A row for each definition and each example, by group and then by name of file."""
    order = {id_: place for place, (id_, _, _) in enumerate(GROUPS)}
    return sorted([*_definitions(), *_examples()], key=lambda row: order[row["groupingId"]])


def _definitions() -> Iterator[Resource]:
    for path in sorted(PROFILES.glob("*-*.json")):
        made = read(path)
        if path != GUIDE:
            yield {
                "reference": {"reference": f"{made['resourceType']}/{made['id']}"},
                "name": made.get("title", made.get("name")),
                "description": made["description"],
                "exampleBoolean": False,
                "groupingId": group_of(made),
            }


def _examples() -> Iterator[Resource]:
    for path in sorted((PROFILES / "examples").glob("*.json")):
        made = read(path)
        shows = [url for url in made.get("meta", {}).get("profile", ()) if url.startswith(OURS)]
        yield {
            "reference": {"reference": f"{made['resourceType']}/{made['id']}"},
            "name": made["id"],
            **({"exampleCanonical": shows[0]} if shows else {"exampleBoolean": True}),
            "groupingId": "examples",
        }


def group_of(made: Resource) -> str:
    """The group of a definition."""
    if made["resourceType"] != "StructureDefinition":
        return _GROUP_OF_TYPE[made["resourceType"]]
    if made["type"] == "Extension":
        return "extensions"
    return "profiles" if made["kind"] == "resource" else "types"


def read(path: Path) -> Resource:
    """The resource in a file."""
    made: Resource = codec.loads(path.read_bytes(), depth_max=_DEPTH_MAX)
    return made


if __name__ == "__main__":
    GUIDE.write_bytes(written())
