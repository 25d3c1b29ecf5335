"""Composite parameters: `code-value-quantity=1234$gt5`, each part by its own kind, both in one element (R4 §3.1.1.4.17).

What an element has is kept together, so the code of one component never meets the value of another. `search/index` makes those
rows, as only there the expressions of the components are run: under each component's place the entries and intervals that its
kind gives for it, without a name of their own, and only for an element in which every component finds something.

No index leads to a row. R4's own composites begin with a component that is a parameter of its own, over the same elements or
more; whatever matches has that entry too, so it is asked for beside the row, and the index of entries leads there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from phb_fhir.definitions.load import SEARCH_MODIFIERS, Component, SearchParameter
from phb_fhir.outcome import Rejected
from phb_fhir.query import AllOf, Joined, Key, KeyRange, Node
from phb_fhir.search.escapes import split_escaped
from phb_fhir.search.kinds.date import KIND as DATE
from phb_fhir.search.kinds.interval import wrong
from phb_fhir.search.kinds.keys import shown
from phb_fhir.search.kinds.kind import Asked, Index, Kind, OwnAddress, Value
from phb_fhir.search.kinds.number import KIND as NUMBER
from phb_fhir.search.kinds.quantity import KIND as QUANTITY
from phb_fhir.search.kinds.reference import KIND as REFERENCE
from phb_fhir.search.kinds.string import KIND as STRING
from phb_fhir.search.kinds.token import KIND as TOKEN
from phb_fhir.search.kinds.uri import KIND as URI

_KINDS: dict[str, Kind] = {
    "date": DATE,
    "number": NUMBER,
    "quantity": QUANTITY,
    "reference": REFERENCE,
    "string": STRING,
    "token": TOKEN,
    "uri": URI,
}
_PUBLISHED = "http://hl7.org/fhir/SearchParameter/"  # R4's own; of others, nobody knows what a component looks at


def parse(asked: Asked) -> Node:
    parameter = asked.parameter
    texts = split_escaped(asked.text, "$", keep_escapes=True)
    if len(texts) != len(parameter.components) or not all(texts):
        raise wrong(asked, f"it has {_count(texts)}; write {_form(parameter)}, and a '$' inside a part as '\\$'")
    named = [_parsed(asked, part, part.code, text) for part, text in zip(parameter.components, texts, strict=True)]
    joined = Joined(
        parameter.code,
        tuple(_parsed(asked, part, "", text) for part, text in zip(parameter.components, texts, strict=True)),
    )
    is_indexed = isinstance(named[0], Key | KeyRange) and parameter.url.startswith(_PUBLISHED)
    return AllOf((named[0], joined)) if is_indexed else joined


def _count(texts: Sequence[str]) -> str:
    there = sum(1 for text in texts if text)
    return f"{there} part{'' if there == 1 else 's'}"


def _form(parameter: SearchParameter) -> str:
    return "$".join(f"[{part.code}]" for part in parameter.components)


def _parsed(asked: Asked, part: Component, code: str, text: str) -> Node:
    """What one part asks, of the parameter `code`. Raises Rejected (400), its sentences begun with the composite's name."""
    parameter = SearchParameter(
        asked.parameter.base, code, part.type, part.expression, "", modifiers=SEARCH_MODIFIERS[part.type]
    )
    try:
        return _KINDS[part.type].parse(replace(asked, parameter=parameter, modifier="", text=text))
    except Rejected as rejected:
        issues = (replace(issue, text=f"{asked.name}={shown(asked.text)}: {issue.text}") for issue in rejected.issues)
        raise Rejected(rejected.refusal, *issues) from None


def index(made: Index, parameter: SearchParameter, values: Sequence[Value], is_list: bool, own: OwnAddress) -> None:
    """Nothing: `search/index` puts the components together."""


KIND = Kind(modifiers=(), parse=parse, index=index, sort="")
