"""The search parameters this server searches by: FHIR R4's, the guide's, and those that a deployment stores.

Three layers, of which the one below stands: R4's own as they are plainly meant (`REPAIRS`), the guide's
(`profiles/SearchParameter-*.json`), and what is stored. Nobody who may write a SearchParameter can change what `code` or
`patient` finds for all others. Of two stored ones that claim one code of one type the one written later counts, and a
retired one is not searched by.

A SearchParameter of several types becomes one of each, whose expression is reduced to the parts that speak of that type.
What is wrong with one about to be stored is said by `read_parameter`, in sentences; whether its expressions can be
evaluated is `search/usable`'s to say.

Index values follow from the parameters of a type, so each type has a `digest` of all that determines them. A resource
whose index values carry another digest is to be indexed again.

Sources: R4 §3.1.1.4 and §5.10 (SearchParameter), §3.1.1.2 (base).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import orjson

from phb_fhir.data import data_path
from phb_fhir.definitions.kept import Kept
from phb_fhir.definitions.load import SEARCH_MODIFIERS, Component, Definitions, SearchParameter
from phb_fhir.outcome import Issue, Kind

Resource = dict[str, Any]
T = TypeVar("T")
ByCode = Mapping[str, SearchParameter]

FORMAT = 7  # of index values; raised when they are made differently, so that everything is indexed again
CODE_LENGTH_MAX = 64
COMPONENTS_MAX = 8

_CODE = re.compile(r"-?[A-Za-z][A-Za-z0-9_\-]*")
_SHARED_BASES = ("Resource", "DomainResource")
_MODIFIER_NAMES = {"ofType": "of-type"}  # as SearchParameter.modifier has it, and as it stands behind a colon


# ---- what R4 means --------------------------------------------------------------------------------------------------


class Repair(NamedTuple):
    """What a parameter of R4 is read as, because as published it finds nothing. `components` by their place."""

    reason: str
    expression: str = ""
    components: Mapping[int, str] = {}


_STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
_IS_AN_EXTENSION = "as published it finds the Extension, which is no value; its value is meant"
_ELSEWHERE = f"{_IS_AN_EXTENSION}, and R4 has it under another url"


def _words_of(concept: str) -> str:
    """What can be read of a concept, where a text is searched for."""
    return f"{concept}.text | {concept}.coding.display | {concept}.coding.code"


def _genetic(published: str, extension: str) -> Repair:
    """The name in a part of an extension, a concept in R4; and whatever stands under the url as published."""
    here = f"Observation.extension('{_STRUCTURE}observation-{published}').value"
    name = (
        f"Observation.extension('{_STRUCTURE}observation-{extension}').extension('Name').value.ofType(CodeableConcept)"
    )
    words = f"{here}.ofType(string) | {_words_of(f'{here}.ofType(CodeableConcept)')} | {_words_of(name)}"
    return Repair(f"{_ELSEWHERE}, as a concept of which the words are searched", words)


_AMINO = _genetic("geneticsAminoAcidChangeName", "geneticsAminoAcidChange")
_VARIANT = _genetic("geneticsDnaVariant", "geneticsVariant")
_ENTRY = (
    "as published it finds whatever resource is first; only this type is meant, and it stands for a reference to itself"
)
_DIN = "Device.extension('http://hl7.org/fhir/SearchParameter/device-extensions-Device-din').value"
_CONDITION = f"DiagnosticReport.extension('{_STRUCTURE}DiagnosticReport-geneticsAssessedCondition').value"
_GENE = f"Observation.extension('{_STRUCTURE}observation-geneticsGene').value"
_MAIDEN_NAMES = (
    "Patient.extension('http://hl7.org/fhir/StructureDefinition/patient-extensions-Patient-mothersMaidenName').value",
    f"Patient.extension('{_STRUCTURE}patient-mothersMaidenName').value",
)

REPAIRS: dict[tuple[str, str], Repair] = {
    ("Bundle", "composition"): Repair(_ENTRY, "Bundle.entry[0].resource.ofType(Composition)"),
    ("Bundle", "message"): Repair(_ENTRY, "Bundle.entry[0].resource.ofType(MessageHeader)"),
    ("Device", "din"): Repair(_IS_AN_EXTENSION, f"{_DIN}.ofType(Identifier) | {_DIN}.ofType(string)"),
    ("DiagnosticReport", "assessed-condition"): Repair(_IS_AN_EXTENSION, f"{_CONDITION}.ofType(Reference)"),
    ("DocumentReference", "relationship"): Repair(
        "the expressions of its two components are exchanged", components={0: "target", 1: "code"}
    ),
    ("Observation", "amino-acid-change"): _AMINO,
    ("Observation", "gene-amino-acid-change"): _AMINO,
    ("Observation", "code-value-date"): Repair(
        "there is no type DateTime; dateTime is meant", components={1: "value.as(dateTime) | value.as(Period)"}
    ),
    ("Observation", "dna-variant"): _VARIANT,
    ("Observation", "gene-dnavariant"): _VARIANT,
    ("Observation", "gene-identifier"): Repair(_IS_AN_EXTENSION, f"{_GENE}.ofType(CodeableConcept)"),
    ("Patient", "mothersMaidenName"): Repair(
        _ELSEWHERE, " | ".join(f"{name}.ofType(string)" for name in _MAIDEN_NAMES)
    ),
}


_OF_ONE_TYPE = re.compile(r"[\w.]+\.where\(resolve\(\) is (\w+)\)")


def _repaired(parameter: SearchParameter) -> SearchParameter:
    repair = REPAIRS.get((parameter.base, parameter.code))
    if repair is None:
        # R4 names once what `patient` may point to in any type, groups too; where it is a patient, that "must always be true"
        # (R4 §3.1.1.4.12)
        limit = _OF_ONE_TYPE.fullmatch(parameter.expression)
        return parameter if limit is None else replace(parameter, target=(limit[1],))
    parts = tuple(
        replace(part, expression=repair.components.get(place, part.expression))
        for place, part in enumerate(parameter.components)
    )
    return replace(parameter, expression=repair.expression or parameter.expression, components=parts)


# ---- all of them -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class SearchParameters:
    """The search parameters of this moment. It never changes; `changed` gives the next one."""

    definitions: Definitions
    guide: Mapping[str, ByCode]  # by base
    stored: Mapping[str, ByCode] = field(default_factory=dict)  # likewise
    _of: dict[str, ByCode] = field(default_factory=dict, repr=False)
    _digests: dict[str, str] = field(default_factory=dict, repr=False)
    _derived: dict[Callable[[SearchParameters], Any], Any] = field(default_factory=dict, repr=False)

    def of(self, type_: str) -> ByCode:
        """By code, the parameters to search `type_` by, with those of every resource. Raises KeyError for no resource type."""
        found = self._of.get(type_)
        if found is None:
            found = self._of[type_] = self._of_type(type_)
        return found

    def shared(self, types: Sequence[str]) -> ByCode:
        """What all of these types have alike (none named: every type there is): the same code, of the same search type.

        Where types keep it differently, the parameter speaks of all they can: it has the targets of them all, and the
        modifiers that each of them knows.
        """
        if not types:
            return {code: parameter for code, parameter in self.of("Binary").items() if parameter.base == "Resource"}
        first, *others = (self.of(type_) for type_ in types)
        found = dict(first)
        for other in others:
            found = {
                code: _joined(parameter, other[code])
                for code, parameter in found.items()
                if code in other and _are_alike(parameter, other[code])
            }
        return found

    def digest(self, type_: str) -> str:
        """A short text that changes whenever the index values of this type would."""
        found = self._digests.get(type_)
        if found is None:
            rows = [_row(parameter) for _, parameter in sorted(self.of(type_).items())]
            found = hashlib.sha256(orjson.dumps([FORMAT, rows])).hexdigest()[:16]
            self._digests[type_] = found
        return found

    def changed(self, stored: Iterable[Kept]) -> SearchParameters:
        """The parameters that follow these: with these SearchParameters instead of all that were stored before.

        What cannot be read is passed over. `search/usable` keeps back what cannot be evaluated.
        """
        shipped = SearchParameters(self.definitions, self.guide) if self.stored else self
        parameters = (kept for kept in stored if kept.type == "SearchParameter")
        listed = sorted(parameters, key=lambda kept: (kept.at, kept.id))
        find = _finder(shipped, {kept.url: kept for kept in listed})
        found: dict[str, dict[str, SearchParameter]] = {}
        for kept in listed:
            for parameter in _read(kept.read(), self.definitions, find).parameters:
                if not any(_taken(parameter, shipped)):
                    found.setdefault(parameter.base, {})[parameter.code] = parameter
        return SearchParameters(self.definitions, self.guide, found)

    def derived(self, build: Callable[[SearchParameters], T]) -> T:
        """`build(self)`, built once and kept as long as these parameters: for what other rooms make of them."""
        if build not in self._derived:
            self._derived[build] = build(self)
        return cast("T", self._derived[build])

    def by_url(self, url: str) -> SearchParameter | None:
        """The parameter of R4, the guide or the stored ones with this url, of whichever type it has first."""
        return self.derived(_by_url).get(url)

    def _of_type(self, type_: str) -> ByCode:
        core = self.definitions.search_parameters(type_)
        found = {code: _repaired(parameter) for code, parameter in core.items()}
        bases = ["Resource", type_]
        if self.definitions.type(type_).base == "DomainResource":
            bases.insert(1, "DomainResource")
        for layer in (self.guide, self.stored):
            own = {code: parameter for base in bases for code, parameter in layer.get(base, {}).items()}
            found = {**own, **found}
        return dict(sorted(found.items()))


def search_parameters(definitions: Definitions) -> SearchParameters:
    """Those of R4 and of the guide, always the same object. Raises ValueError for a parameter of the guide that cannot be used."""
    return definitions.derived(_shipped)


def _shipped(definitions: Definitions) -> SearchParameters:
    return read_shipped(definitions, data_path("profiles"))


def read_shipped(definitions: Definitions, folder: Path) -> SearchParameters:
    """R4's parameters with those of a guide. Raises ValueError for one in the folder that cannot be searched by."""
    core = SearchParameters(definitions, {})
    guide: dict[str, dict[str, SearchParameter]] = {}
    for file in sorted(folder.glob("SearchParameter-*.json")):
        read = read_parameter(Kept.of_text(file.read_bytes()).read(), core)
        wrong = [issue.text for issue in read.issues if issue.is_error]
        if wrong:
            raise ValueError(f"{file.name}: {' '.join(wrong)}")
        for parameter in read.parameters:
            guide.setdefault(parameter.base, {})[parameter.code] = parameter
    return SearchParameters(definitions, guide)


def _row(parameter: SearchParameter) -> list[Any]:
    parts = [[part.code, part.type, part.expression] for part in parameter.components]
    targets, modifiers = sorted(parameter.target), sorted(parameter.modifiers)
    return [
        parameter.code, parameter.type, parameter.expression, targets, modifiers, parameter.marks_missing, parts,
    ]  # fmt: skip


def _are_alike(one: SearchParameter, other: SearchParameter) -> bool:
    parts = [[(part.code, part.type) for part in each.components] for each in (one, other)]
    return one.type == other.type and parts[0] == parts[1]


def _joined(one: SearchParameter, other: SearchParameter) -> SearchParameter:
    if one == other:
        return one
    return replace(
        one,
        base="",
        expression=" | ".join(dict.fromkeys((one.expression, other.expression))),
        target=tuple(dict.fromkeys((*one.target, *other.target))),
        modifiers=tuple(modifier for modifier in one.modifiers if modifier in other.modifiers),
        marks_missing=one.marks_missing and other.marks_missing,
    )


def _by_url(parameters: SearchParameters) -> dict[str, SearchParameter]:
    types = sorted(parameters.definitions.resource_types)
    found: dict[str, SearchParameter] = {}
    for type_ in types:
        for parameter in parameters.of(type_).values():
            found.setdefault(parameter.url, parameter)
    return found


# ---- reading one -----------------------------------------------------------------------------------------------------


class Read(NamedTuple):
    """A SearchParameter, one for each of its types; and what is wrong with it, in which case there are none."""

    parameters: tuple[SearchParameter, ...]
    issues: tuple[Issue, ...]


Find = Callable[[str], tuple[str, str] | None]  # the url of a parameter → its code and type


def read_parameter(resource: Resource, shipped: SearchParameters) -> Read:
    """What a SearchParameter resource is read as beside the shipped ones, whose codes it cannot take.

    One that is of the shipped ones itself, by its url, is right and adds nothing: it is there already.
    """
    read = _read(resource, shipped.definitions, _finder(shipped, {}))
    if any(issue.is_error for issue in read.issues):
        return read
    taken = [issue for parameter in read.parameters for issue in _taken(parameter, shipped)]
    return Read((), (*read.issues, *taken)) if taken else read


def _taken(parameter: SearchParameter, shipped: SearchParameters) -> Iterator[Issue]:
    types = [parameter.base]
    if parameter.base in _SHARED_BASES:
        types = sorted(shipped.definitions.resource_types)
    there = ((type_, shipped.of(type_).get(parameter.code)) for type_ in types)
    type_, known = next(((type_, known) for type_, known in there if known is not None), ("", None))
    if known is not None and known.url != parameter.url:
        yield Issue(
            Kind.BUSINESS_RULE,
            f'{type_} has a search parameter "{parameter.code}" already ({known.url}), which keeps its meaning here: '
            "give this one another code.",
            "SearchParameter.code",
        )


def _finder(parameters: SearchParameters, stored: Mapping[str, Kept]) -> Find:
    def find(url: str) -> tuple[str, str] | None:
        plain = url.partition("|")[0]
        kept = stored.get(plain)
        if kept is not None:
            resource = kept.read()
            code, type_ = resource.get("code"), resource.get("type")
            return (code, type_) if type(code) is str and type(type_) is str else None
        known = parameters.by_url(plain)
        return (known.code, known.type) if known is not None else None

    return find


def _read(resource: Resource, definitions: Definitions, find: Find) -> Read:
    issues: list[Issue] = []
    code, type_, expression = (_text(resource, name) for name in ("code", "type", "expression"))
    issues += _code_issues(code)
    issues += _type_issues(type_, expression)
    parts = _components(resource, type_, find, issues)
    bases = _bases(resource, definitions, issues)
    expressions = {base: narrowed(expression, base, alone=len(bases) == 1) for base in bases}
    issues += [
        Issue(Kind.VALUE, f'No part of the expression "{expression}" speaks of {base}.', "SearchParameter.expression")
        for base, part in expressions.items()
        if expression and not part
    ]
    modifiers, marks = _modifiers(resource, type_, issues)
    if any(issue.is_error for issue in issues):
        return Read((), tuple(issues))
    if resource.get("status") == "retired":
        return Read((), (*issues, Issue(Kind.BUSINESS_RULE, _RETIRED, "SearchParameter.status", "warning")))
    one = SearchParameter(
        "", code, type_, "", _text(resource, "url"), _text(resource, "description"),
        tuple(_texts(resource, "target")), parts, modifiers, marks,
    )  # fmt: skip
    return Read(tuple(replace(one, base=base, expression=part) for base, part in expressions.items()), tuple(issues))


_RETIRED = "A retired search parameter is kept, and nobody can search by it."


def _code_issues(code: str) -> Iterator[Issue]:
    if not code:
        yield Issue(
            Kind.REQUIRED, "A search parameter needs the code that stands for it in a search.", "SearchParameter.code"
        )
    elif not _CODE.fullmatch(code) or len(code) > CODE_LENGTH_MAX:
        yield Issue(
            Kind.VALUE,
            f'"{code[:100]}" cannot stand for a parameter in a search: a code is made of letters, digits, "-" and "_", begins '
            f'with a letter, or with "-" and a letter, and has at most {CODE_LENGTH_MAX} characters. Those with "_" in front '
            "are FHIR's own.",
            "SearchParameter.code",
        )


def _type_issues(type_: str, expression: str) -> Iterator[Issue]:
    if type_ == "special":
        yield Issue(
            Kind.NOT_SUPPORTED,
            'What a parameter of the type "special" finds is in no expression, so nobody can search by it here.',
            "SearchParameter.type",
        )
    elif type_ not in SEARCH_MODIFIERS:
        known = ", ".join(sorted(SEARCH_MODIFIERS.keys() - {"special"}))
        yield Issue(Kind.VALUE, f'The type is "{type_[:100]}"; it is one of {known}.', "SearchParameter.type")
    elif not expression.strip():
        yield Issue(
            Kind.REQUIRED,
            "A search parameter needs an expression, which says what of a resource is searched.",
            "SearchParameter.expression",
        )


def _bases(resource: Resource, definitions: Definitions, issues: list[Issue]) -> list[str]:
    listed = _texts(resource, "base")
    if not listed:
        issues.append(Issue(Kind.REQUIRED, "A search parameter needs the types it is for.", "SearchParameter.base"))
    for place, base in enumerate(listed):
        if base not in definitions.resource_types and base not in _SHARED_BASES:
            text = f'"{base[:100]}" is no resource type of FHIR R4.'
            issues.append(Issue(Kind.VALUE, text, f"SearchParameter.base[{place}]"))
    return list(dict.fromkeys(listed))


def _components(resource: Resource, type_: str, find: Find, issues: list[Issue]) -> tuple[Component, ...]:
    listed = _objects(resource, "component")
    if type_ != "composite":
        return ()
    if not 2 <= len(listed) <= COMPONENTS_MAX:
        issues.append(
            Issue(
                Kind.REQUIRED,
                f"A composite search parameter joins two components, or up to {COMPONENTS_MAX}; here are {len(listed)}.",
                "SearchParameter.component",
            )
        )
        return ()
    return tuple(
        part
        for place, row in enumerate(listed)
        for part in _component(row, f"SearchParameter.component[{place}]", find, issues)
    )


def _component(row: Resource, at: str, find: Find, issues: list[Issue]) -> Iterator[Component]:
    url, expression = _text(row, "definition"), _text(row, "expression")
    known = find(url)
    if known is None:
        text = f'The search parameter "{url[:200]}" is not known here, so what this component is cannot be told.'
        issues.append(Issue(Kind.NOT_FOUND, text, f"{at}.definition"))
    elif known[1] in ("composite", "special") or known[1] not in SEARCH_MODIFIERS:
        text = f'"{url[:200]}" is of the type "{known[1]}", which cannot be part of a composite.'
        issues.append(Issue(Kind.VALUE, text, f"{at}.definition"))
    if not expression.strip():
        text = "A component needs an expression, which begins at what the composite's own expression finds."
        issues.append(Issue(Kind.REQUIRED, text, f"{at}.expression"))
    if known is not None:
        yield Component(known[0], known[1], expression)


def _modifiers(resource: Resource, type_: str, issues: list[Issue]) -> tuple[tuple[str, ...], bool]:
    """The modifiers it is to be asked with, and whether `missing` is among those it lists; all there are where it lists none."""
    known = SEARCH_MODIFIERS.get(type_, ())
    listed = [_MODIFIER_NAMES.get(name, name) for name in _texts(resource, "modifier")]
    if not listed:
        return known, False
    allowed = (*known, "type") if type_ == "reference" else known
    for place, name in enumerate(listed):
        if name not in allowed:
            text = f'The modifier "{name[:100]}" says nothing of a parameter of the type {type_}; it is passed over.'
            issues.append(Issue(Kind.NOT_SUPPORTED, text, f"SearchParameter.modifier[{place}]", "warning"))
    return tuple(name for name in dict.fromkeys(listed) if name in allowed), "missing" in listed


def narrowed(expression: str, base: str, *, alone: bool) -> str:
    """Of an expression, the alternatives that speak of `base`: those that begin with its name, or with none."""
    if alone:
        return expression
    return " | ".join(part for part in alternatives(expression) if _speaks_of(part, base))


_BEGINS_WITH = re.compile(r"[\s(]*([A-Z]\w*)\b(?!\s*\()")


def _speaks_of(part: str, base: str) -> bool:
    named = _BEGINS_WITH.match(part)
    return named is None or named[1] in (base, *_SHARED_BASES)


def alternatives(expression: str) -> list[str]:
    """The operands of the outermost `|`; one that stands in a text is none."""
    parts, depth, quote, is_escaped = [""], 0, "", False
    for character in expression:
        if quote:
            quote = "" if character == quote and not is_escaped else quote
            is_escaped = character == "\\" and not is_escaped
        elif character in "'`":
            quote = character
        depth += 0 if quote else (character in "([{") - (character in ")]}")
        if character == "|" and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


# ---- a resource that may have any shape ------------------------------------------------------------------------------


def _text(holder: Resource, name: str) -> str:
    value = holder.get(name)
    return value if type(value) is str else ""


def _texts(holder: Resource, name: str) -> list[str]:
    value = holder.get(name)
    return [text for text in value if type(text) is str] if type(value) is list else []


def _objects(holder: Resource, name: str) -> list[Resource]:
    value = holder.get(name)
    return [row for row in value if type(row) is dict] if type(value) is list else []
