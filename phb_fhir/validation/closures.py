"""The invariants met most often, in plain Python: what they test, and the sentence that says what is wrong.

`CLOSURES` has them by key and expression: an invariant whose expression is another than the one here is evaluated as
FHIRPath. A test proves on generated data that each of them and its FHIRPath agree.
"""

from __future__ import annotations

from phb_fhir.validation.closure_makers import Table
from phb_fhir.validation.closures_definitions import DEFINITIONS
from phb_fhir.validation.closures_resources import RESOURCES
from phb_fhir.validation.closures_types import TYPES

CLOSURES: Table = {**TYPES, **RESOURCES, **DEFINITIONS}
