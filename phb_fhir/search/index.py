"""A resource becomes index values: what is stored beside its text so that MongoDB can find it.

Tokens and uris share one list and one index: each entry begins with the name of its parameter.
"""

from __future__ import annotations

from phb_fhir.definitions.load import Definitions, SearchParameter
from phb_fhir.fhir.codec import Resource
from phb_fhir.search.kinds import token, uri


def token_entries(resource: Resource, definitions: Definitions) -> list[str]:
    """The token and uri entries of a resource, each once, in the order they appear."""
    parameters = definitions.search_parameters(resource["resourceType"])
    found = _of_identifiers(resource, parameters.get("identifier"))
    if has_url(resource["resourceType"], definitions):
        found += uri.entries("url", resource.get("url"), resource.get("version"))
    return list(dict.fromkeys(found))


def has_url(type_: str, definitions: Definitions) -> bool:
    """Whether resources of this type are found by the canonical url they have."""
    parameter = definitions.search_parameters(type_).get("url")
    return parameter is not None and parameter.expression == f"{type_}.url"


def _of_identifiers(resource: Resource, parameter: SearchParameter | None) -> list[str]:
    if parameter is None:
        return []
    # DocumentReference.masterIdentifier | DocumentReference.identifier
    values = [resource.get(part.rpartition(".")[2]) for part in parameter.expression.split(" | ")]
    elements = [element for value in values for element in (value if isinstance(value, list) else [value])]
    return [entry for element in elements for entry in token.entries("identifier", element)]
