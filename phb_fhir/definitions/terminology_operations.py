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

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from phb_fhir.definitions.terminology import Terminology
from phb_fhir.definitions.terminology_expand import Asked
from phb_fhir.definitions.terminology_systems import dicts
from phb_fhir.definitions.terminology_verdicts import Verdict
from phb_fhir.outcome import Kind, Refusal, refuse

Json = dict[str, Any]

CODINGS_MAX = 100  # codings of one CodeableConcept
_COUNT_MAX = 2_147_483_647  # FHIR's integer
_BOOLEANS = {"true": True, "false": False, True: True, False: False}


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
    given = resource if resource is not None else inputs.resource("codeSystem")
    if given is not None and not isinstance(given.get("url"), str):
        raise _bad("The code system has no url, by which its codes could name it.")
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
            raise _bad("The code system must be named, by url or as the system of the coding.")
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
        raise _bad(f"The two codes must be of one code system; they are of {a.system} and {b.system}.")
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


class _Inputs(NamedTuple):
    """The parameters of one call, each with its values in the order they came."""

    values: Mapping[str, list[Any]]

    def texts(self, name: str) -> tuple[str, ...]:
        found = self.values.get(name, [])
        for value in found:
            if not isinstance(value, str) or not value:
                raise _bad(f'The parameter "{name}" must be a text.')
        return tuple(found)

    def text(self, name: str) -> str:
        return next(iter(self.texts(name)), "")

    def flag(self, name: str) -> bool | None:
        for value in self.values.get(name, []):
            if not isinstance(value, (str, bool)) or value not in _BOOLEANS:
                raise _bad(f'The parameter "{name}" must be true or false.')
            return _BOOLEANS[value]
        return None

    def number(self, name: str) -> int | None:
        for value in self.values.get(name, []):
            text = str(value)
            if isinstance(value, bool) or not text.isdecimal() or len(text) > 10 or int(text) > _COUNT_MAX:
                raise _bad(f'The parameter "{name}" must be a whole number, not below 0.')
            return int(text)
        return None

    def object(self, name: str) -> Json | None:
        for value in self.values.get(name, []):
            if not isinstance(value, dict):
                raise _bad(f'The parameter "{name}" must be an element of its type, not a text.')
            return value
        return None

    def resource(self, name: str) -> Json | None:
        found = self.object(name)
        wanted = name[0].upper() + name[1:]
        if found is not None and found.get("resourceType") != wanted:
            raise _bad(f'The parameter "{name}" must hold a {wanted} resource.')
        return found


def _inputs(operation: str, parameters: Json) -> _Inputs:
    """The parameters of a Parameters resource. Raises Rejected (400) for one the operation does not take."""
    takes = _TAKES[operation]
    values: dict[str, list[Any]] = {}
    for row in dicts(parameters.get("parameter")):
        name = str(row.get("name"))
        if name not in takes:
            raise _bad(f'{operation} has no parameter "{name}"; it takes {", ".join(takes)}.')
        if not takes[name]:
            text = f'The parameter "{name}" of {operation} is not supported here; nothing was answered without it.'
            raise refuse(Refusal.BAD_REQUEST, Kind.NOT_SUPPORTED, text)
        values.setdefault(name, []).append(_value(row))
        if len(values[name]) > 1 and name not in _MANY:
            raise _bad(f'The parameter "{name}" may stand once.')
    return _Inputs(values)


def _value(row: Json) -> Any:
    for key, value in row.items():
        if key.startswith("value") or key == "resource":
            return value
    raise _bad(f'The parameter "{row.get("name")}" has no value.')


def _bad(text: str) -> Exception:
    return refuse(Refusal.BAD_REQUEST, Kind.INVALID, text)


# ---- which value set, which codes -----------------------------------------------------------------


def _value_set(inputs: _Inputs, resource: Json | None) -> str | Json:
    """The instance, the one sent along, or the canonical."""
    given = resource if resource is not None else inputs.resource("valueSet")
    if given is not None:
        return given
    url, version = inputs.text("url"), inputs.text("valueSetVersion")
    if not url:
        raise _bad("Which value set is meant must be said: by url, by valueSet, or by asking the instance.")
    return f"{url}|{version}" if version and "|" not in url else url


class _Coding(NamedTuple):
    system: str | None
    code: str
    display: str | None
    version: str | None


def _codings(inputs: _Inputs, *, needs_system: bool) -> list[_Coding]:
    """The codes to be validated, given in one of three ways (R4 §4.9.18)."""
    given = [name for name in ("code", "coding", "codeableConcept") if name in inputs.values]
    if len(given) != 1:
        raise _bad("One of code, coding and codeableConcept must be given, and only one.")
    if given == ["code"]:
        system = inputs.text("system") if needs_system else ""
        if needs_system and not system:
            raise _bad("With a code its system must be given.")
        display, version = (
            inputs.text("display") or None,
            inputs.text("systemVersion" if needs_system else "version") or None,
        )
        return [_Coding(system or None, inputs.text("code"), display, version)]
    whole = inputs.object(given[0]) or {}
    rows = [whole] if given == ["coding"] else dicts(whole.get("coding"))
    if not rows or len(rows) > CODINGS_MAX:
        raise _bad(f"A CodeableConcept to be validated has between 1 and {CODINGS_MAX} codings.")
    return [_coding(row) for row in rows]


def _coding(row: Json) -> _Coding:
    if not isinstance(row.get("code"), str):
        raise _bad("A coding to be validated has a code.")
    system, display, version = (
        row[name] if isinstance(row.get(name), str) else None for name in ("system", "display", "version")
    )
    return _Coding(system, row["code"], display, version)


def _one_coding(inputs: _Inputs, code: str, coding: str, url: str) -> _Coding:
    """A code of a system, given as two parameters or as a Coding."""
    if (code in inputs.values) == (coding in inputs.values):
        raise _bad(f"Either {code} or {coding} must be given.")
    if coding in inputs.values:
        found = _coding(inputs.object(coding) or {})
    else:
        found = _Coding(inputs.text("system") or None, inputs.text(code), None, inputs.text("version") or None)
    if not (found.system or url):
        raise _bad(f"The code system of {code if code in inputs.values else coding} must be given.")
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
