"""The terminology operations, from the Parameters somebody sent to the resource they get (R4 §4.10).

| operation | function |
|---|---|
| ValueSet/$expand | `expand` |
| ValueSet/$validate-code | `validate_code_in_value_set` |
| CodeSystem/$validate-code | `validate_code_in_code_system` |
| CodeSystem/$lookup | `lookup` |
| CodeSystem/$subsumes | `subsumes` |

A GET is the same with each query parameter as a `valueString`: values are read as the type the operation wants. A
parameter that R4 does not define for the operation is refused, and so is one that is not supported here and would change
the answer. `resource` is the ValueSet or CodeSystem of an instance-level call.

$validate-code answers true or false. Where that cannot be known, because a code system is not loaded, it answers neither
but refuses with the reason (422): a false would be as wrong as a true.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from phb_fhir.definitions.operation_inputs import Inputs, bad_input, read_inputs
from phb_fhir.definitions.terminology import Terminology
from phb_fhir.definitions.terminology_expand import Asked
from phb_fhir.definitions.terminology_systems import dicts
from phb_fhir.definitions.terminology_verdicts import Verdict
from phb_fhir.outcome import Kind, Refusal, refuse

Json = dict[str, Any]

CODINGS_MAX = 100  # codings of one CodeableConcept


def expand(terminology: Terminology, parameters: Json, *, now: str, resource: Json | None = None) -> Json:
    """ValueSet/$expand: a ValueSet with its expansion. `now` is an instant, for expansion.timestamp."""
    inputs = _inputs("ValueSet/$expand", parameters)
    asked = Asked(
        filter=inputs.text("filter"),
        offset=inputs.number("offset") or 0,
        count=inputs.number("count"),
        active_only=inputs.flag("activeOnly") or False,
        include_designations=inputs.flag("includeDesignations") or bool(inputs.texts("designation")),
        include_definition=inputs.flag("includeDefinition") or False,
        exclude_not_for_ui=inputs.flag("excludeNotForUI") or False,
        display_language=inputs.text("displayLanguage"),
        designations=inputs.texts("designation"),
        exclude_systems=inputs.texts("exclude-system"),
    )
    return terminology.expand_as(_value_set(inputs, resource), asked, now)


def validate_code_in_value_set(terminology: Terminology, parameters: Json, *, resource: Json | None = None) -> Json:
    """ValueSet/$validate-code: Parameters with result, message, display."""
    inputs = _inputs("ValueSet/$validate-code", parameters)
    value_set = _value_set(inputs, resource)
    if isinstance(value_set, str) and terminology.value_set(value_set) is None:
        raise refuse(Refusal.NOT_FOUND, Kind.NOT_FOUND, f"The value set {value_set} is not loaded here.")
    abstract = inputs.flag("abstract")

    def judged(coding: _Coding) -> Verdict:
        system = coding.system or ""
        return terminology.validate_code(
            value_set, system, coding.code, coding.display, version=coding.version, abstract=abstract
        )

    return _answered(_codings(inputs, needs_system=True), judged)


def validate_code_in_code_system(terminology: Terminology, parameters: Json, *, resource: Json | None = None) -> Json:
    """CodeSystem/$validate-code: the same, for a code system."""
    inputs = _inputs("CodeSystem/$validate-code", parameters)
    given = resource if resource is not None else inputs.resource("codeSystem", "CodeSystem")
    if given is not None and not isinstance(given.get("url"), str):
        raise bad_input("The code system has no url, by which its codes could name it.")
    known = terminology if given is None else terminology.adding(given)
    url = inputs.text("url") or (given["url"] if given is not None else "")
    given_version = (given or {}).get("version")
    abstract = inputs.flag("abstract")

    def judged(coding: _Coding) -> Verdict:
        system = coding.system or url
        if url and system != url:
            text = f'The code "{coding.code}" is of the code system {system}, not of {url}.'
            return Verdict(False, text, severity="error")
        if not system:
            raise bad_input("The code system must be named, by url or as the system of the coding.")
        version = coding.version or inputs.text("version") or given_version
        return known.validate_code_in_system(system, coding.code, coding.display, version=version, abstract=abstract)

    return _answered(_codings(inputs, needs_system=False), judged)


def lookup(terminology: Terminology, parameters: Json) -> Json:
    """CodeSystem/$lookup: Parameters with name, version, display, designation, property."""
    inputs = _inputs("CodeSystem/$lookup", parameters)
    coding = _one_coding(inputs, "code", "coding", "")
    return terminology.lookup(
        coding.system or "", coding.code, coding.version, inputs.texts("property"), inputs.text("displayLanguage")
    )


def subsumes(terminology: Terminology, parameters: Json, *, resource: Json | None = None) -> Json:
    """CodeSystem/$subsumes: Parameters with the outcome: equivalent, subsumes, subsumed-by, not-subsumed."""
    inputs = _inputs("CodeSystem/$subsumes", parameters)
    known = terminology if resource is None else terminology.adding(resource)
    url = str((resource or {}).get("url", ""))
    a, b = _one_coding(inputs, "codeA", "codingA", url), _one_coding(inputs, "codeB", "codingB", url)
    if a.system != b.system:
        raise bad_input(f"The two codes must be of one code system; they are of {a.system} and {b.system}.")
    outcome = known.subsumes(a.system or "", a.code, b.code, a.version)
    return _parameters(("outcome", "valueCode", outcome))


# ---- what each operation takes --------------------------------------------------------------------

# Every parameter R4 defines, and whether it is supported here; what is not is refused, never passed over.
_SUPPORTED = True
_NOT_SUPPORTED = False
_TAKES: dict[str, dict[str, bool]] = {
    "ValueSet/$expand": {
        **dict.fromkeys(("url", "valueSet", "valueSetVersion", "filter", "offset", "count"), _SUPPORTED),
        **dict.fromkeys(("includeDesignations", "designation", "includeDefinition", "activeOnly"), _SUPPORTED),
        **dict.fromkeys(("excludeNested", "excludeNotForUI", "excludePostCoordinated"), _SUPPORTED),
        **dict.fromkeys(("displayLanguage", "exclude-system"), _SUPPORTED),
        **dict.fromkeys(("context", "contextDirection", "date"), _NOT_SUPPORTED),
        **dict.fromkeys(("system-version", "check-system-version", "force-system-version"), _NOT_SUPPORTED),
    },
    "ValueSet/$validate-code": {
        **dict.fromkeys(("url", "valueSet", "valueSetVersion", "code", "system", "systemVersion"), _SUPPORTED),
        **dict.fromkeys(("display", "coding", "codeableConcept", "abstract", "displayLanguage"), _SUPPORTED),
        **dict.fromkeys(("context", "date"), _NOT_SUPPORTED),
    },
    "CodeSystem/$validate-code": {
        **dict.fromkeys(("url", "codeSystem", "code", "version", "display", "coding"), _SUPPORTED),
        **dict.fromkeys(("codeableConcept", "abstract", "displayLanguage"), _SUPPORTED),
        "date": _NOT_SUPPORTED,
    },
    "CodeSystem/$lookup": {
        **dict.fromkeys(("code", "system", "version", "coding", "displayLanguage", "property"), _SUPPORTED),
        "date": _NOT_SUPPORTED,
    },
    "CodeSystem/$subsumes": dict.fromkeys(("codeA", "codeB", "system", "version", "codingA", "codingB"), _SUPPORTED),
}
_MANY = ("property", "designation", "exclude-system")  # the others may stand once


def taken(operation: str) -> list[str]:
    """The parameters of an operation that are supported here."""
    return [name for name, is_supported in _TAKES[operation].items() if is_supported]


def _inputs(operation: str, parameters: Json) -> Inputs:
    """The parameters of a Parameters resource. Raises Rejected (400) for one the operation does not take."""
    return read_inputs(operation, parameters, _TAKES[operation], _MANY)


# ---- which value set, which codes -----------------------------------------------------------------


def _value_set(inputs: Inputs, resource: Json | None) -> str | Json:
    """The instance, the one sent along, or the canonical."""
    given = resource if resource is not None else inputs.resource("valueSet", "ValueSet")
    if given is not None:
        return given
    url, version = inputs.text("url"), inputs.text("valueSetVersion")
    if not url:
        raise bad_input("Which value set is meant must be said: by url, by valueSet, or by asking the instance.")
    return f"{url}|{version}" if version and "|" not in url else url


class _Coding(NamedTuple):
    system: str | None
    code: str
    display: str | None
    version: str | None


def _codings(inputs: Inputs, *, needs_system: bool) -> list[_Coding]:
    """The codes to be validated, given in one of three ways (R4 §4.9.18)."""
    given = [name for name in ("code", "coding", "codeableConcept") if name in inputs.values]
    if len(given) != 1:
        raise bad_input("One of code, coding and codeableConcept must be given, and only one.")
    if given == ["code"]:
        system = inputs.text("system") if needs_system else ""
        if needs_system and not system:
            raise bad_input("With a code its system must be given.")
        display, version = (
            inputs.text("display") or None,
            inputs.text("systemVersion" if needs_system else "version") or None,
        )
        return [_Coding(system or None, inputs.text("code"), display, version)]
    whole = inputs.object(given[0]) or {}
    rows = [whole] if given == ["coding"] else dicts(whole.get("coding"))
    if not rows or len(rows) > CODINGS_MAX:
        raise bad_input(f"A CodeableConcept to be validated has between 1 and {CODINGS_MAX} codings.")
    return [_coding(row) for row in rows]


def _coding(row: Json) -> _Coding:
    if not isinstance(row.get("code"), str):
        raise bad_input("A coding to be validated has a code.")
    system, display, version = (
        row[name] if isinstance(row.get(name), str) else None for name in ("system", "display", "version")
    )
    return _Coding(system, row["code"], display, version)


def _one_coding(inputs: Inputs, code: str, coding: str, url: str) -> _Coding:
    """A code of a system, given as two parameters or as a Coding."""
    if (code in inputs.values) == (coding in inputs.values):
        raise bad_input(f"Either {code} or {coding} must be given.")
    if coding in inputs.values:
        found = _coding(inputs.object(coding) or {})
    else:
        found = _Coding(inputs.text("system") or None, inputs.text(code), None, inputs.text("version") or None)
    if not (found.system or url):
        raise bad_input(f"The code system of {code if code in inputs.values else coding} must be given.")
    return found._replace(system=found.system or url)


# ---- the answer -----------------------------------------------------------------------------------


def _answered(codings: list[_Coding], judged: Callable[[_Coding], Verdict]) -> Json:
    """True if one of the codes is in; false if none is; refused if that cannot be known (R4 §4.9.18)."""
    verdicts = [judged(coding) for coding in codings]
    good = next((verdict for verdict in verdicts if verdict.valid), None)
    if good is None:
        doubtful = next((verdict for verdict in verdicts if verdict.valid is None), None)
        if doubtful is not None:
            raise refuse(Refusal.UNPROCESSABLE, Kind.NOT_SUPPORTED, doubtful.sentence)
    message = good.sentence if good else " ".join(verdict.sentence for verdict in verdicts)
    rows: list[tuple[str, str, Any]] = [("result", "valueBoolean", good is not None)]
    if message:
        rows.append(("message", "valueString", message))
    if good is not None and good.display:
        rows.append(("display", "valueString", good.display))
    return _parameters(*rows)


def _parameters(*rows: tuple[str, str, Any]) -> Json:
    return {"resourceType": "Parameters", "parameter": [{"name": name, key: value} for name, key, value in rows]}
