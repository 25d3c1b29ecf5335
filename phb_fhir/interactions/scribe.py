"""What one worker remembers for the audit trail: what people and organisations are called, and that it is publishing just now."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from phb_fhir.fhir.codec import loads
from phb_fhir.outcome import Rejected
from phb_fhir.store.store import Reader

NAMES_MAX = 2_000
NAME_FRESH_S = 300.0
NO_NAME_FRESH_S = 5.0  # who is not here yet may come at any moment
_DEPTH_MAX = 200


class Scribe:
    """`publishing` is held by whoever makes AuditEvents of the trail; `waiting` is how many wait for that; `wanted` is set when
    somebody could not wait long enough.
    """

    def __init__(self) -> None:
        self.publishing = asyncio.Lock()
        self.wanted = asyncio.Event()
        self.waiting = 0
        self._names: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def remembered(self, key: str) -> str | None:
        """What `Organization/x` is called, if that was looked up lately."""
        at, name = self._names.get(key, (0.0, ""))
        return name if at and time.monotonic() - at < (NAME_FRESH_S if name else NO_NAME_FRESH_S) else None

    async def name_of(self, reader: Reader, key: str) -> str:
        """What it is called; "" for one that is not here, or has no name."""
        name = self.remembered(key)
        if name is not None:
            return name
        try:
            type_, _, id_ = key.partition("/")
            version = await reader.read(type_, id_)
            name = "" if version is None or version.json is None else name_in(loads(version.json, depth_max=_DEPTH_MAX))
        except Rejected:
            return ""  # the record says who it was by other means, too; the next one asks again
        self._names[key] = (time.monotonic(), name)
        self._names.move_to_end(key)
        while len(self._names) > NAMES_MAX:
            self._names.popitem(last=False)
        return name


def name_in(resource: Mapping[str, Any]) -> str:
    """The name of an Organization, or the first name of a person."""
    name = resource.get("name")
    if isinstance(name, str):
        return name
    first = name[0] if isinstance(name, list) and name and isinstance(name[0], dict) else {}
    if isinstance(first.get("text"), str):
        return str(first["text"])
    given = [part for part in first.get("given", ()) if isinstance(part, str)]
    family = first.get("family")
    return " ".join([*given, family] if isinstance(family, str) else given)
