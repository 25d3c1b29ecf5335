"""The index entries by which access is decided: whose record it is, who owns or delivers it, and how restricted it is.

Every version that is stored carries them, deleted and superseded ones too, so that one predicate tells who may see any of them
(`security/policy` asks for nothing else). They are a part of the resource's ordinary index entries, in the same form.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from phb_fhir.fhir.reference import unversioned

# the parameters that policies ask for, whatever the type
ACCESS_CODES = frozenset(
    (
        "about",  # of a Communication: which budget, plan or task it is about
        "account",
        "actor",
        "based-on",  # of what is said in a plan: which plan that is
        "code",  # of a List: whether it is a directory; of a Task: whether it is a worry about harm
        "data",  # of a Consent: for which budgets it is
        "definition",
        "focus",  # of a Task: which budget it is about
        "general-practitioner",
        "issuer",
        "managing-entity",
        "organization",
        "owner",
        "participant",
        "patient",
        "payor",
        "performer-actor",
        "performing-organization",
        "provider",
        "recipient",
        "related",  # of a DocumentReference: which budget or purchase it is about
        "replaces",  # of a CarePlan: which one it takes the place of
        "report-type",
        "requester",
        "security-context",
        "sender",
        "target",
    )
)
ENTRIES_MAX = 1_000  # of one version; nobody is found by what comes after that in its history
_IN = "_in=Patient/"
# how the entry of a patient begins whom something concerns: `patient` of Tasks too, which R4 puts into no compartment
CONCERNS = (_IN, "patient=Patient/", "security-context=Patient/")
LABEL = "_security="  # how the entry of a security label begins
TAKEN_BACK = "status=*entered-in-error"  # of what never was so, whatever earlier versions of it say


def access_entries(keys: Collection[str]) -> tuple[str, ...]:
    """Those of a resource's index entries that policies ask for, its security labels first."""
    others = [key for key in keys if key.partition("=")[0] in ACCESS_CODES or key.startswith(_IN)]
    return tuple([*labels_of(keys), *others][:ENTRIES_MAX])


def patients_of(entries: Iterable[str]) -> list[str]:
    """The patients whom a version concerns, as `Patient/1`: in whose compartments it is (R4 §2.10), or whom it is about."""
    concerned = [entry.partition("=")[2] for entry in entries if entry.startswith(CONCERNS)]
    # a Provenance is about one version of a patient, which has an entry of its own
    return list(dict.fromkeys(map(unversioned, concerned)))


def labels_of(entries: Iterable[str]) -> tuple[str, ...]:
    """The entries that hold for all versions of a resource as they do for its current one: security labels, and that it was entered in error."""
    return tuple(entry for entry in entries if is_label(entry))


def is_label(entry: str) -> bool:
    """Whether an entry is one of those."""
    return entry.startswith(LABEL) or entry == TAKEN_BACK
