"""A second opinion on search: R4's search page read again, by somebody who has never seen our index.

It keeps every resource in a list and looks at each of them for each question, with paths written by hand
(`oracle_parameters`) and values compared as R4 §3.1.1.4 states it (`oracle_values`). It is slow, short and shares nothing with
`phb_fhir`: where it and the server disagree, one of them has misread the page.

What R4 leaves to the server is said once, here, as this server says it: codes are compared as they are written; a time without
a zone is UTC; `ap` is 10 % of a number, and the date's own length (at least a day) to either side; resources without a value
come last in an order, and what an order leaves equal may stand in any; a canonical without a version means every version that
is here, and where a parameter names a url with a version and without, the version counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from tests.search.oracle_parameters import COMPARTMENT, HIERARCHIES, OWN_HIERARCHIES, PARAMETERS, Parameter
from tests.search.oracle_values import MATCH, SORT_KEYS, elements_of, is_token, split, unescape

Resource = dict[str, Any]
Pairs = Sequence[tuple[str, str]]

RESULT_PARAMETERS = frozenset(("_sort", "_count", "_total", "_include", "_include:iterate", "_revinclude", "_type"))


def key(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


@dataclass
class Oracle:
    """`resources` in the order in which they were created, with the `meta` that the server gave them."""

    base: str
    resources: Sequence[Resource]
    by_key: dict[str, Resource] = field(init=False)

    def __post_init__(self) -> None:
        self.by_key = {key(resource): resource for resource in self.resources}

    def find(self, types: Sequence[str], asked: Pairs, compartment: str = "") -> list[str]:
        """The keys of all that match."""
        return [key(resource) for resource in self._found(types, asked, compartment)]

    def order(self, types: Sequence[str], asked: Pairs) -> list[list[str]]:
        """The keys of all that match, in the order asked for; what the order leaves equal stands together."""
        found = [(self._places(resource, asked), key(resource)) for resource in self._found(types, asked, "")]
        rules = _rules(asked)
        for number in reversed(range(len(rules))):  # Python's sort is stable: the last rule first, the first rule last
            found.sort(key=lambda one, number=number: one[0][number][1:], reverse=rules[number].startswith("-"))  # type: ignore[misc]
            found.sort(key=lambda one, number=number: one[0][number][0])  # type: ignore[misc]
        return [[name for _, name in group] for _, group in groupby(found, key=lambda one: one[0])]

    def _found(self, types: Sequence[str], asked: Pairs, compartment: str) -> list[Resource]:
        return [
            resource
            for resource in self.resources
            if (resource["resourceType"] in types or not types)
            and (not compartment or self._is_inside(resource, compartment))
            and all(self.holds(resource, *pair) for pair in asked if pair[0] not in RESULT_PARAMETERS)
        ]

    def included(self, matches: Iterable[str], asked: Pairs) -> set[str]:
        """What comes along with these matches (R4 §3.1.1.5.4)."""
        shown = set(matches)
        added: set[str] = set()
        fresh = set(shown)
        first = True
        while fresh:
            found: set[str] = set()
            for name, value in asked:
                if name in ("_include", "_revinclude") and first:
                    found |= self._led_to(fresh, value, reverse=name == "_revinclude")
                elif name == "_include:iterate":
                    found |= self._led_to(fresh, value, reverse=False)
            fresh = found - shown - added
            added |= fresh
            first = False
        return added

    def holds(self, resource: Resource, name: str, value: str) -> bool:
        """Whether a resource keeps one `name=value`."""
        if name.startswith("_has:"):
            _, type_, reference, rest = name.split(":", 3)
            return any(
                self.holds(other, rest, value) and resource in self._targets(other, reference)
                for other in self.resources
                if other["resourceType"] == type_
            )
        head, dot, rest = name.partition(".")
        code, _, modifier = head.partition(":")
        if dot:  # R4 §3.1.1.4.15: each chain is judged for itself
            return any(self.holds(target, rest, value) for target in self._targets(resource, code, modifier))
        return self._holds_own(resource, code, modifier, value)

    def _holds_own(self, resource: Resource, code: str, modifier: str, value: str) -> bool:
        if code == "_list":
            return key(resource) in self._listed(value)
        if code == "_id":
            return resource["id"] in split(value, ",")
        parameter = PARAMETERS[resource["resourceType"]][code]
        if modifier == "missing":
            return (not elements_of(resource, parameter)) is (value == "true")
        alternatives = split(value, ",")
        if parameter.kind == "reference" and modifier in ("above", "below"):
            return any(
                self._is_in_hierarchy(resource, code, modifier, self._local(unescape(one))) for one in alternatives
            )
        if modifier == "not":  # the negation is of the set (§3.1.1.4.10)
            return not any(self._has_value(resource, parameter, "", one) for one in alternatives)
        return any(self._has_value(resource, parameter, modifier, one) for one in alternatives)

    def _has_value(self, resource: Resource, parameter: Parameter, modifier: str, text: str) -> bool:
        elements = elements_of(resource, parameter)
        if parameter.kind == "reference":
            return any(self._refers(element, parameter, modifier, text) for element in elements)
        if parameter.kind == "composite":
            return any(self._has_both(element, parameter, text) for element in elements)
        return any(MATCH[parameter.kind](element, parameter, modifier, text) for element in elements)

    def _has_both(self, element: Resource, parameter: Parameter, text: str) -> bool:
        """Both components in one element, whatever stands in the others (§3.1.1.4.17)."""
        parts = split(text, "$")
        return all(
            self._has_value(element, component, "", part)
            for component, part in zip(parameter.components, parts, strict=True)
        )

    # --- references (§3.1.1.4.12) ---

    def _refers(self, element: Any, parameter: Parameter, modifier: str, text: str) -> bool:
        if modifier == "identifier":
            return isinstance(element, dict) and "identifier" in element and is_token(element["identifier"], text)
        wanted = self._local(unescape(text))
        if isinstance(element, str):  # canonical
            return element == wanted or ("|" not in wanted and element.partition("|")[0] == wanted)
        written = self._local(element.get("reference", ""))
        if modifier:
            wanted = wanted if "/" in wanted else f"{modifier}/{wanted}"
        if "/" not in wanted and ":" not in wanted:
            return _bare(written) in {f"{target}/{wanted}" for target in parameter.targets}
        return wanted in (written, _bare(written))

    # --- hierarchies (§3.1.1.4.14) ---

    def _is_in_hierarchy(self, resource: Resource, code: str, way: str, wanted: str) -> bool:
        """Whether it refers to what is asked for, or to something that is above or below that."""
        type_ = resource["resourceType"]
        named = wanted.partition("/")[0] if "/" in wanted else ""
        for target in PARAMETERS[type_][code].targets:
            if target in HIERARCHIES and named in ("", target):
                by = code if (type_, code) in OWN_HIERARCHIES and target == type_ else HIERARCHIES[target]
                start = wanted if named else f"{target}/{wanted}"
                if self._family(start, by, way) & self._references(resource, code):
                    return True
        return False

    def _family(self, start: str, by: str, way: str) -> set[str]:
        type_ = start.partition("/")[0]
        members = [one for one in self.resources if one["resourceType"] == type_]
        family, grown = {start}, set[str]()
        while family != grown:
            grown = set(family)
            for one in members:
                if way == "below" and self._references(one, by) & grown:
                    family.add(key(one))
                elif way == "above" and key(one) in grown:
                    family |= {other for other in self._references(one, by) if other.partition("/")[0] == type_}
        return family

    def _references(self, resource: Resource, code: str) -> set[str]:
        elements = elements_of(resource, PARAMETERS[resource["resourceType"]][code])
        return {_bare(self._local(element["reference"])) for element in elements if "reference" in element}

    def _local(self, reference: str) -> str:
        return reference.removeprefix(self.base + "/")

    def _targets(self, resource: Resource, code: str, type_: str = "") -> list[Resource]:
        """What a reference parameter of a resource leads to on this server."""
        parameter = PARAMETERS[resource["resourceType"]][code]
        written = [
            _bare(self._local(element.get("reference", "")))
            for element in elements_of(resource, parameter)
            if isinstance(element, dict)
        ]
        wanted = [self.by_key[one] for one in written if one in self.by_key]
        wanted += self._defined_by([one for one in elements_of(resource, parameter) if isinstance(one, str)])
        return [target for target in wanted if target["resourceType"] == (type_ or target["resourceType"])]

    def _defined_by(self, canonicals: Sequence[str]) -> list[Resource]:
        """What these canonicals mean (§3.1.1.4.13; references.html, canonical)."""
        pairs = {(one.partition("|")[0], one.partition("|")[2]) for one in canonicals}
        stated = {url for url, version in pairs if version}
        meant = {(url, version) for url, version in pairs if version or url not in stated}
        return [
            one
            for one in self.resources
            if "url" in one and not meant.isdisjoint({(one["url"], ""), (one["url"], one.get("version", ""))})
        ]

    def _led_to(self, sources: set[str], value: str, *, reverse: bool) -> set[str]:
        type_, code, target_type = [*value.split(":"), "", ""][:3]
        found = set()
        for resource in self.resources:
            if resource["resourceType"] != type_ or (not reverse and key(resource) not in sources):
                continue
            named = PARAMETERS[type_]
            codes = [one for one in named if named[one].kind == "reference"] if code == "*" else [code]
            for target in (key(one) for code in codes for one in self._targets(resource, code, target_type)):
                if not reverse:
                    found.add(target)
                elif target in sources:
                    found.add(key(resource))
        return found

    def _is_inside(self, resource: Resource, compartment: str) -> bool:
        if key(resource) == compartment:
            return True
        named = COMPARTMENT.get(resource["resourceType"], ())
        return any(self.holds(resource, code, compartment) for code in named)

    def _listed(self, list_id: str) -> set[str]:
        entries = self.by_key.get(f"List/{list_id}", {}).get("entry", [])
        return {_bare(self._local(entry["item"]["reference"])) for entry in entries if not entry.get("deleted")}

    # --- order (§3.1.1.5.1) ---

    def _places(self, resource: Resource, asked: Pairs) -> list[tuple[Any, ...]]:
        """Where each rule puts a resource: whether it has no value, and the one of its values that comes first."""
        places = []
        for rule in _rules(asked):
            keys = self._sort_keys(resource, rule.removeprefix("-"))
            places.append((False, max(keys) if rule.startswith("-") else min(keys)) if keys else (True,))
        return places

    def _sort_keys(self, resource: Resource, code: str) -> list[Any]:
        if code == "_id":
            return [resource["id"]]
        parameter = PARAMETERS[resource["resourceType"]][code]
        elements = elements_of(resource, parameter)
        if parameter.kind == "reference":
            return [text for element in elements for text in self._written(element)]
        keys = [one for element in elements for one in SORT_KEYS[parameter.kind](element, parameter)]
        return [one for one in keys if one.code] or keys if parameter.kind == "token" else keys

    def _written(self, element: Any) -> list[str]:
        """Each way to name where a reference leads: with its version, and without."""
        if isinstance(element, str):
            return [element, element.partition("|")[0]]
        local = self._local(element.get("reference", ""))
        return [local, _bare(local)] if local else []


def _rules(asked: Pairs) -> list[str]:
    return [rule for name, value in asked if name == "_sort" for rule in value.split(",")]


def _bare(reference: str) -> str:
    """`Patient/1` of `Patient/1/_history/2`."""
    return reference.partition("/_history/")[0]
