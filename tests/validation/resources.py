"""Resources that are right as they are, to be made wrong in one place."""

from __future__ import annotations

from typing import Any


def patient(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **elements}


def observation(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "Weight"}, **elements}
