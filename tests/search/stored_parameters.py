"""A SearchParameter that a deployment might store: a Patient's nicknames."""

from __future__ import annotations

from typing import Any

BASE = "https://parameters.example"


def search_parameter(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "SearchParameter",
        "id": "nickname",
        "url": f"{BASE}/SearchParameter/nickname",
        "name": "Nickname",
        "status": "active",
        "description": "What somebody is called.",
        "code": "nickname",
        "base": ["Patient"],
        "type": "string",
        "expression": "Patient.name.where(use='nickname').given",
        **more,
    }
