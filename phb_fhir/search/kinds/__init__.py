"""One file per search parameter type (R4 §3.1.1.4)."""

from __future__ import annotations

from phb_fhir.search.kinds import composite, date, number, quantity, reference, special, string, token, uri
from phb_fhir.search.kinds.kind import Kind

KINDS: dict[str, Kind] = {
    "number": number.KIND,
    "date": date.KIND,
    "string": string.KIND,
    "token": token.KIND,
    "reference": reference.KIND,
    "composite": composite.KIND,
    "quantity": quantity.KIND,
    "uri": uri.KIND,
    "special": special.KIND,
}
