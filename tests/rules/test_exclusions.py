"""What no budget buys is told by plain words, and by no word that only looks like them (R67 to R76)."""

from __future__ import annotations

import pytest

from phb_fhir.rules.exclusions import PERHAPS, REASONS, WORDS, doubtful_in, excluded_in
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


def _phrases(table: str) -> list[str]:
    return [phrase.strip() for phrase in table.replace("\n", " | ").split("|") if phrase.strip()]


PLAIN = _phrases("""
Cigarettes | 20 cigarettes and a lighter | rolling TOBACCO | A bottle of whisky | Beer for the barbecue | Alcohol |
Lottery tickets | An evening at the casino | Betting | Debt repayment | Credit card repayments | Cocaine |
GP appointment | A visit to the GP | A&E attendance | Flu jab | Prescription charges | Vapes | vape refills |
E-cigarettes | Cigars | Scratch cards | scratchcards x 5 | Bingo stakes | Bingo tickets | Bingo cards | Gambling |
Gambling stakes | Betting slips | Betting shop | Online betting | Beer | Six cans of lager | Lager 4 pack |
Red wine | Wine, two bottles | Wine bottles | Vodka 70cl | Gin and tonic | Rum | A pint of ale | Cider | Whiskey |
Champagne for her birthday | Prosecco | Brandy | Tequila shots and lime | Alcohol (drinks) | Alcoholic drinks |
Pipe tobacco | Tobacco pouch | Cigarette packets | A packet of cigarettes | Snuff | Vaping liquid | E-liquid |
Lottery ticket | Lotto | National Lottery tickets | Raffle tickets | Slot machines | Poker chips |
Repayment of a loan | Paying off debts | Loan repayments | Credit card bill | Rent arrears | Mortgage arrears |
Gambling debts | Heroin | Illegal drugs | Stolen goods | Beer and crisps | Wine & cheese | Wines of the month |
Whisky for Christmas | Bets on the horses | Casino | Pay off my overdraft | Sherry | beer/cider
""")
ALLOWED = _phrases("""
Alcohol wipes | alcohol hand gel, 500 ml | Alcohol-free mouthwash | Alcohol gel | Alcohol swabs | Alcohol prep pads |
Alcohol-based hand rub | Isopropyl alcohol for cleaning | alcohol-free beer | Non-alcoholic wine |
Low alcohol lager | 0% beer | Help to stop smoking | Stop smoking course | Smoking cessation |
Smoking cessation sessions | Tobacco-free | Tobacco-free nicotine pouch | A tobacco cessation course |
Nicotine patches | Nicotine gum | Gambling support group | Gambling helpline | Gamblers Anonymous |
Gambling addiction counselling | Support for gambling | Counselling after debt advice | Debt advice |
Debt counselling | Debt management advice | Debt advice service | Alcohol support worker | Alcohol recovery group |
Alcoholics Anonymous meeting | Ginger biscuits | A wine-coloured chair | White spirit for the paint |
Surgical spirit | Cider vinegar | Wine vinegar | Wine gums | Rum baba | Beer-battered fish |
beer battered cod and chips | Rum truffles | Brandy snaps | Sherry trifle | Ginger beer | Root beer | Ginger ale |
Gardening tools | Trumpet lessons | Swimming | Transport to the GP surgery's choir | Smoke alarm | Smoked salmon |
Team spirit day | Gin rummy cards | Wine rack | Equipment loan | Lottery-funded art class | Weedkiller |
Quit smoking app | Dealcoholised wine | Wine red paint | Sailing lessons | Virgin Media broadband | Aleppo soap |
Originals | Massage | Winery | Beeswax | Spirituality retreat | Rum and raisin ice cream | High spirits |
Champagne truffles | Vodka sauce pasta
""")
DOUBTFUL = _phrases("""
Bingo night | Bingo | Casino trip | Poker evening | Wine tasting | Beer festival ticket | Taxi to the casino |
Transport to a GP appointment | Companion for a GP appointment | Interpreter for a GP appointment |
A bet on happiness | Shisha | Cannabis oil | Medical cannabis | Loan of a book | Cocktails class | Home brew kit |
Beer garden chair | Wine glasses | Whisky fudge | Liqueur chocolates | Smoking jacket | Drinking cup |
Alcohol thermometer | Alcohol breath tester | Debt | Loan | A book about giving up cigarettes |
Alternatives to cigarettes | Raffle | Nicotine | Tobacco tin | Cigarette holder | Beer making course |
Whisky Glenfiddich | Gin distillery visit | Fags | Credit card | Credit card holder
""")


@pytest.mark.parametrize(("text", "code"), REFUSED.items())
def test_what_is_excluded_is_found_in_words(text: str, code: str) -> None:
    found = excluded_in({"code": {"text": text}})
    assert found is not None
    assert found.code == code
    assert "say what it is in other words" in found.reason


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_plainly_excluded_is_refused(text: str) -> None:
    assert excluded_in({"code": {"text": text}}) is not None
    assert doubtful_in({"code": {"text": text}})


@pytest.mark.parametrize("text", ALLOWED)
def test_what_only_sounds_like_it_is_not(text: str) -> None:
    assert excluded_in({"code": {"text": text}}) is None
    assert doubtful_in({"code": {"text": text}}) == ""


@pytest.mark.parametrize("text", DOUBTFUL)
def test_what_may_be_it_and_may_be_something_else_is_for_somebody_to_decide(text: str) -> None:
    assert excluded_in({"code": {"text": text}}) is None
    assert "may be what no budget pays for" in doubtful_in({"code": {"text": text}})


@pytest.mark.parametrize(
    "text", ["Alcohol support and whisky", "Whisky, and help with the garden", "stop smoking, cigarettes"]
)
def test_innocent_words_beside_it_hide_nothing(text: str) -> None:
    assert excluded_in({"code": {"text": text}}) or doubtful_in({"code": {"text": text}})


def test_what_a_code_of_another_system_is_called_counts() -> None:
    found = excluded_in({"code": {"coding": [{"system": "https://others.example", "code": "1", "display": "Whisky"}]}})
    assert found is not None
    assert found.code == "alcohol"


def test_the_tables_tell_of_the_codes_that_are() -> None:
    assert {*WORDS} <= {*REASONS}
    assert {*PERHAPS} <= {*WORDS}


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


def test_what_is_told_in_more_than_anybody_reads_waits_for_a_decision() -> None:
    item = {"code": {"text": "a very long story " * 1_000}}
    assert excluded_in(item) is None
    assert doubtful_in(item) == "It is told in so many words that nobody reads them all. Say in a few what is bought."


@pytest.mark.parametrize(
    "product",
    [
        {"productCodeableConcept": {"text": "A bottle of whisky"}},
        {"productCodeableConcept": {"coding": [{"system": "https://shop.example", "code": "1", "display": "Whisky"}]}},
        {"productCodeableConcept": {"coding": [{"system": EXCLUDED_ITEM, "code": "alcohol"}]}},
        {"productReference": {"reference": "Substance/1", "display": "Whisky"}},
    ],
)
def test_what_the_product_is_called_counts_beside_what_is_charged(product: dict[str, object]) -> None:
    found = excluded_in({"code": {"text": "Groceries"}, **product})
    assert found is not None
    assert found.code == "alcohol"
