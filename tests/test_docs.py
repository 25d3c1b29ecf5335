"""What the documents point to is there: files, headings, and the rooms and modules that they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
ROOMS = sorted(path.name for path in (ROOT / "phb_fhir").iterdir() if (path / "__init__.py").is_file())
BESIDE = ("docs", "examples", "phb_fhir", "profiles", "tests", "tools")

document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def links(path: Path) -> list[tuple[Path, str]]:
    """The files of ours that a document links to, each with the heading it means, if any."""
    found = re.findall(r"\]\(([^)\s]+)\)", path.read_text())
    ours = (link.partition("#") for link in found if not link.startswith(("http:", "https:", "mailto:")))
    return [(path.parent / name if name else path, heading) for name, _, heading in ours]


def headings(path: Path) -> set[str]:
    """As they stand in an address: small letters, without signs, with `-` for blanks."""
    found = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-") for text in found}


def named(path: Path) -> set[str]:
    """The modules and files that a document names as `store/found`, `tools/bench/load.py` or `rules/stages.NEEDS`."""
    found = re.findall(rf"`((?:{'|'.join((*ROOMS, *BESIDE))})/[\w./-]*\w)`", path.read_text())
    return {re.sub(r"\.[A-Z]\w*$", "", name) for name in found}


def is_there(name: str) -> bool:
    return any(
        (folder / f"{name}{end}").exists()
        for folder in (ROOT, ROOT / "phb_fhir", ROOT / "tests")
        for end in ("", ".py")
    )


@document
def test_every_link_leads_to_a_file_and_a_heading_that_is_there(path: Path) -> None:
    found = links(path)
    assert [str(file) for file, _ in found if not file.exists()] == []
    assert [heading for file, heading in found if heading and heading not in headings(file)] == []


@document
def test_every_module_and_file_that_is_named_is_there(path: Path) -> None:
    assert sorted(name for name in named(path) if not is_there(name)) == []


def test_there_are_links_and_names_to_look_at() -> None:
    assert len([link for path in DOCUMENTS for link in links(path)]) > 100
    assert len({name for path in DOCUMENTS for name in named(path)}) > 100
