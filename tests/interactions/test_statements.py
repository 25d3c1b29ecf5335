"""The capability statement is written out once for each way it is asked for, and anew when what it tells of has changed."""

from __future__ import annotations

import httpx

from phb_fhir.definitions.load import load
from phb_fhir.definitions.search_parameters import SearchParameters
from phb_fhir.interactions.request import WHOLE, Subset
from phb_fhir.interactions.statements import TEXTS_MAX, Statements
from phb_fhir.security.advertised import Advertised

BASE = "http://127.0.0.1:8000/fhir"
SUMMARY = Subset("true")


class Written:
    """Statements, and how often one was written out for whoever asked."""

    def __init__(self) -> None:
        self.parameters = SearchParameters(load(), {})
        self.advertised: Advertised | None = None
        self.count = 0
        self._kept = Statements()

    def asked(self, base: str = BASE, subset: Subset = WHOLE) -> bytes:
        return self._kept.text(self.parameters, self.advertised, (base, subset), self._write)

    def _write(self) -> bytes:
        self.count += 1
        return b"statement %d" % self.count


def test_who_asks_again_is_given_the_very_same_text() -> None:
    written = Written()
    first = written.asked()
    assert [written.asked() is first for _ in range(5)] == [True] * 5
    assert written.count == 1


def test_each_address_and_each_subset_has_its_own() -> None:
    written = Written()
    asked = [(BASE, WHOLE), (BASE, SUMMARY), ("http://localhost:8000/fhir", WHOLE)] * 2
    assert len({written.asked(*one) for one in asked}) == written.count == 3


def test_it_is_written_anew_when_parameters_or_the_way_to_sign_in_change() -> None:
    written = Written()
    texts = [written.asked()]
    written.parameters = SearchParameters(load(), {})
    texts.append(written.asked())
    written.advertised = Advertised(("https://issuer.example",))
    texts.append(written.asked())
    written.advertised = Advertised(("https://issuer.example",), {"token_endpoint": "https://issuer.example/token"})
    texts.append(written.asked())
    assert len(set(texts)) == 4


def test_what_is_kept_is_bounded_and_what_is_asked_for_often_stays() -> None:
    written = Written()
    for number in range(5 * TEXTS_MAX):
        written.asked(subset=Subset("", (f"element{number}",)))
        written.asked()
    assert written.count == 5 * TEXTS_MAX + 1


def test_metadata_says_the_same_again_and_again_however_it_is_sent(api: httpx.Client) -> None:
    plain = api.get("/metadata", headers={"Accept-Encoding": "identity"})
    for _ in range(2):
        zipped = api.get("/metadata", headers={"Accept-Encoding": "gzip"})
        pretty = api.get("/metadata?_pretty=true")
        assert zipped.headers["content-encoding"] == "gzip"
        assert zipped.content == plain.content
        assert pretty.json() == plain.json()
        assert pretty.text.startswith('{\n  "resourceType"')
        summary = api.get("/metadata?_summary=true").json()
        assert "SUBSETTED" in str(summary["meta"])
        assert "resource" in plain.json()["rest"][0]
