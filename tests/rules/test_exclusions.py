"""What no budget buys is told by plain words, and by no word that only looks like them (R67 to R76)."""

from __future__ import annotations

import pytest

from phb_fhir.rules.exclusions import REASONS, excluded_in
from phb_fhir.rules.words import EXCLUDED_ITEM

REFUSED = {
    "Cigarettes": "tobacco",
    "20 cigarettes and a lighter": "tobacco",
    "rolling TOBACCO": "tobacco",
    "A bottle of whisky": "alcohol",
    "Beer for the barbecue": "alcohol",
    "Alcohol": "alcohol",
    "Lottery tickets": "gambling",
    "An evening at the casino": "gambling",
    "Betting": "gambling",
    "Debt repayment": "debt-repayment",
    "Credit card repayments": "debt-repayment",
    "Cocaine": "illegal",
    "GP appointment": "primary-care",
    "A visit to the GP": "primary-care",
    "A&E attendance": "emergency-acute-care",
    "Flu jab": "vaccination-screening",
    "Prescription charges": "nhs-charge",
}
ALLOWED = (
    "Alcohol wipes",
    "alcohol hand gel, 500 ml",
    "Alcohol-free mouthwash",
    "Help to stop smoking",
    "Gambling support group",
    "Counselling after debt advice",
    "Ginger biscuits",
    "A wine-coloured chair",
    "White spirit for the paint",
    "Cider vinegar",
    "Gardening tools",
    "A bet on happiness",
    "Trumpet lessons",
    "Swimming",
    "Transport to the GP surgery's choir",
    "A tobacco cessation course",
)


@pytest.mark.parametrize(("text", "code"), REFUSED.items())
def test_what_is_excluded_is_found_in_words(text: str, code: str) -> None:
    found = excluded_in({"code": {"text": text}})
    assert found is not None
    assert found.code == code
    assert "say what it is in other words" in found.reason


@pytest.mark.parametrize("text", ALLOWED)
def test_what_only_sounds_like_it_is_not(text: str) -> None:
    assert excluded_in({"code": {"text": text}}) is None


@pytest.mark.parametrize("code", REASONS)
def test_a_code_says_it_whatever_the_words_are(code: str) -> None:
    charge = {"code": {"coding": [{"system": EXCLUDED_ITEM, "code": code}], "text": "Swimming"}}
    assert excluded_in(charge) == (code, REASONS[code])
    other = {"code": {"coding": [{"system": "https://others.example", "code": code}], "text": "Swimming"}}
    assert excluded_in(other) is None


@pytest.mark.parametrize("item", [{}, {"code": None}, {"code": {}}, {"code": {"text": 3}}, {"title": "Chair"}])
def test_what_says_nothing_is_not_excluded(item: dict[str, object]) -> None:
    assert excluded_in(item) is None


def test_the_title_of_an_item_of_the_directory_counts() -> None:
    found = excluded_in({"title": "Wines of the month"})
    assert found is not None
    assert found.code == "alcohol"
