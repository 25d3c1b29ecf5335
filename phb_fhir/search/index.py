"""A resource becomes index values: what is stored beside its text so that MongoDB can find it."""

from __future__ import annotations

from phb_fhir.definitions.load import Definitions
from phb_fhir.fhir.codec import Resource
from phb_fhir.search.kinds import token


def token_entries(resource: Resource, definitions: Definitions) -> list[str]:
    """The token entries of a resource, each once, in the order they appear."""
    parameter = definitions.search_parameters(resource["resourceType"]).get("identifier")
    if parameter is None:
        return []
    # DocumentReference.masterIdentifier | DocumentReference.identifier
    values = [resource.get(part.rpartition(".")[2]) for part in parameter.expression.split(" | ")]
    elements = [element for value in values for element in (value if isinstance(value, list) else [value])]
    return list(dict.fromkeys(entry for element in elements for entry in token.entries("identifier", element)))
