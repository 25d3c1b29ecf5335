"""The capability statement as text, kept for each way it was asked for: clients read it at every start of theirs, and it hardly changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from phb_fhir.definitions.search_parameters import SearchParameters
from phb_fhir.interactions.request import Subset
from phb_fhir.security.advertised import Advertised

TEXTS_MAX = 8  # of less than a megabyte each


class Statements:
    """Texts of one process, by the server's address as the client knows it and by how much is wanted of it; as long as nothing has
    changed of what resources are found by, or of how clients sign in.
    """

    def __init__(self) -> None:
        self._parameters: SearchParameters | None = None
        self._advertised: Advertised | None = None
        self._texts: OrderedDict[tuple[str, Subset], bytes] = OrderedDict()

    def text(
        self,
        parameters: SearchParameters,
        advertised: Advertised | None,
        asked: tuple[str, Subset],
        make: Callable[[], bytes],
    ) -> bytes:
        """The text that was made before, the very same bytes; or what `make` makes now."""
        if parameters is not self._parameters or advertised != self._advertised:
            self._parameters, self._advertised = parameters, advertised
            self._texts.clear()
        text = self._texts.get(asked)
        if text is None:
            text = self._texts[asked] = make()
            if len(self._texts) > TEXTS_MAX:
                self._texts.popitem(last=False)
        self._texts.move_to_end(asked)
        return text
