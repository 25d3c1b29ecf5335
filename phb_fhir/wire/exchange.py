"""What is known of one request while it is answered: for the log, the metrics and the headers that every answer has."""

from __future__ import annotations

from dataclasses import dataclass

from phb_fhir.security.rates import Standing


@dataclass(slots=True)
class Exchange:
    """`address` is whence it was asked (`wire/peer`), `standing` how the client stands with its rate, where it has
    one. `is_identified`: the id is the client's own. `is_report`: it is answered with a report of ours, which may be a page.
    """

    request_id: str
    interaction: str = "other"
    type: str = ""
    status: int = 0
    address: str = ""
    standing: Standing | None = None
    is_identified: bool = False
    is_report: bool = False
