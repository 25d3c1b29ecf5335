"""Whose record something is in, of which the trail tells them: who looked at it, who changed it.

Most resources say that themselves (`search/access`). A file, a payment, an invoice to a budget and a Provenance say it by what they are of,
which is asked for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from phb_fhir.change import Version
from phb_fhir.search.access import patients_of
from phb_fhir.store.store import Reader

# the parameter by which each of these leads to what says whose it is
LEADS = {
    "Binary": "security-context",
    "Invoice": "account",
    "PaymentReconciliation": "account",
    "Provenance": "target",
}
_ASKED_MAX = 5_000  # resources that one answer leads to


async def concerned(reader: Reader, versions: Sequence[Version], known: Iterable[Version] = ()) -> list[list[str]]:
    """The ids of the patients whom each of these versions concerns, in their order. `known` are versions that `reader` has not yet."""
    found = [_ids(one.access) for one in versions]
    leading = {place: led_to(one) for place, one in enumerate(versions) if not found[place] and one.type in LEADS}
    if not leading:
        return found
    there = {one.key: one for one in known}
    asked = list(dict.fromkeys(key for keys in leading.values() for key in keys if key not in there))[:_ASKED_MAX]
    there |= await reader.read_all(asked) if asked else {}
    for place, keys in leading.items():
        found[place] = list(dict.fromkeys(id_ for key in keys if key in there for id_ in _ids(there[key].access)))
    return found


def _ids(access: Iterable[str]) -> list[str]:
    return [patient.removeprefix("Patient/") for patient in patients_of(access)]


def led_to(version: Version) -> list[str]:
    """What a version refers to that says whose it is, as `Account/1`."""
    start = f"{LEADS[version.type]}="
    entries = (one.removeprefix(start) for one in version.access if one.startswith(start))
    return [entry for entry in entries if entry.count("/") == 1]
