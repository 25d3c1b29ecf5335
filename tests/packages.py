"""FHIR packages for tests, made in memory."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MANIFEST = {"name": "some.package", "version": "1.2.3", "fhirVersions": ["4.0.1"]}
UK_CORE = Path(__file__).parents[2] / "shared" / "conformance" / "uk-core" / "fhir.r4.ukcore.stu2-2.0.0.tgz"


def packed(files: Mapping[str, Any]) -> bytes:
    """A package with these files in `package/`: bytes as they are, all else as JSON. Its manifest, unless None is given."""
    given = {"package.json": MANIFEST, **files}
    return tgz(
        {
            f"package/{name}": content if isinstance(content, bytes) else json.dumps(content).encode()
            for name, content in given.items()
            if content is not None
        }
    )


def tgz(files: Mapping[str, bytes]) -> bytes:
    body = io.BytesIO()
    with gzip.GzipFile(fileobj=body, mode="wb") as packed_, tarfile.open(fileobj=packed_, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return body.getvalue()
