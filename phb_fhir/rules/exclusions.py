"""What no budget buys (RULE-EXCL; R67 to R74): by its code, or where it is told in words, by these.

A code of phb-excluded-item decides by itself. Words come second, and are read three ways:

    WORDS      refuse: they say the thing itself, as the last word of what is bought ("a bottle of whisky", "cigarettes for Jill")
    PERHAPS    are for somebody to decide, and so is a word of WORDS that another one follows ("rum baba", "casino trip") or beside which
               stands what makes it something else, such as help with it or the way there (ABOUT): it waits, and a Task says why (R76)
    INNOCENT   say something that has only the sound of it ("alcohol wipes", "gambling helpline"), and are left out before

Whatever is merely unusual is none of this.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from phb_fhir.fhir.codec import Resource
from phb_fhir.rules.words import EXCLUDED_ITEM, code_in


class Excluded(NamedTuple):
    """`code` of phb-excluded-item, and what a person is told."""

    code: str
    reason: str


_FREE = "It stays free on the NHS: nobody has to buy it, and having a budget takes nothing of it away."

REASONS: Mapping[str, str] = {
    "gambling": "A budget cannot pay for gambling.",
    "debt-repayment": "A budget cannot pay back debts.",
    "tobacco": "A budget cannot pay for tobacco, or for what is smoked or vaped.",
    "alcohol": "A budget cannot pay for alcohol.",
    "illegal": "A budget cannot pay for anything illegal.",
    "emergency-acute-care": f"A budget does not pay for emergency or acute care. {_FREE}",
    "primary-care": f"A budget does not pay for most primary care, such as seeing a GP. {_FREE}",
    "vaccination-screening": f"A budget does not pay for vaccination or screening. {_FREE}",
    "surgical-procedure": f"A budget does not pay for operations. {_FREE}",
    "nhs-charge": "A budget cannot pay the NHS's own charges, such as for prescriptions or the dentist.",
}

_DRINKS = (
    r"beers?|lagers?|ales?|ciders?|wines?|whisk(?:e)?ys?|whiskies|vodkas?|gins?|rums?|brand(?:y|ies)|sherry|tequila|cognac|champagne|prosecco"
    r"|cava|liqueurs?|alcopops?"
)
_SMOKES = r"tobacco|(?:e-?|electronic )?cigarettes?|cigars?|cigarillos?|snuff|snus|vapes?"

# whole words, in any case; the first that is found tells
WORDS: Mapping[str, str] = {
    "gambling": (
        r"gambling|betting|bets|lott(?:ery|o)|(?:lott(?:ery|o)|raffle) tickets?|scratch ?-?cards?|casinos?|(?:slot|fruit) machines?"
        r"|bingo(?: and \w+)? (?:stakes?|tickets?|cards?|books?|money)|poker (?:chips|stakes?)|gambling (?:chips|stakes?|losses|credits?)"
    ),
    "debt-repayment": (
        r"debt (?:re)?payments?|(?:re)?pay(?:ing|ments?)?(?: off| back)? (?:of |for )?(?:a |the |my |his |her |their |old )?(?:debts?|loans?|overdraft|arrears)"
        r"|(?:loan|credit card|payday loan|overdraft) (?:(?:re)?payments?|bills?|instalments?)|(?:mortgage|rent|council tax) arrears|gambling debts?"
    ),
    "tobacco": _SMOKES
    + r"|vap(?:e|ing) (?:liquids?|juice|pods?|refills?|kits?|pens?)|e-?liquids?|(?:pipe|rolling|chewing) tobacco",
    "alcohol": rf"alcohol|alcoholic drinks?|{_DRINKS}|bottles? of spirits",
    "illegal": r"cocaine|heroin|illegal drugs?|stolen goods|counterfeit (?:goods|money)|counterfeits?",
    "emergency-acute-care": (
        r"(?:a ?& ?e|accident and emergency|emergency department) (?:visit|attendance|care)s?"
        r"|emergency (?:ambulance|surgery|hospital care)|ambulance call-?outs?"
    ),
    "primary-care": r"gp (?:visit|appointment|consultation|surgery visit)s?|(?:visit|appointment|consultation) (?:to|with) (?:a|the|my) gp",
    "vaccination-screening": r"(?:flu|covid|travel) (?:jab|vaccination|vaccine)s?|cancer screening",
    "nhs-charge": r"(?:nhs )?prescription charges?|nhs dental charges?",
}

# what may be it, and may be something else
PERHAPS: Mapping[str, str] = {
    "gambling": r"gambl\w+|bets?|bingo|poker|raffles?|bookmakers?|bookies?|sweepstakes?|tombola",
    "debt-repayment": r"debts?|loans?|arrears|overdrafts?|credit cards?|bailiffs?",
    "tobacco": r"smok(?:es?|ing|ers?)|vaping|nicotine|shisha|hookahs?|fags|rolling papers?|cigarette\w*",
    "alcohol": r"alcohol\w*|booze|spirits?|cocktails?|drinking|brewer(?:y|ies)|distiller(?:y|ies)|off-licence|home ?brew\w*",
    "illegal": r"cannabis|marijuana|counterfeit",
}

# what makes another thing of whatever stands beside it: help with it, the way there, being without it
ABOUT = (
    r"support\w*|help\w*|counsell\w+|advi[cs]e\w*|advisers?|therap\w+|treatment|recover\w*|rehab\w*|cessation|quit\w*|stop\w*|giv(?:e|ing) up"
    r"|cut(?:ting)? down|reduc\w+|addict\w*|awareness|prevent\w*|detox\w*|courses?|class(?:es)?|workshops?|training|groups?|alternatives?|substitutes?"
    r"|instead of|without|free|non|anti|no|leaflets?|transport|taxis?|travel\w*|lifts?|parking|accompan\w+|companions?|escort\w*|interpret\w+"
    r"|advoca\w+|flavou?r\w*|colou?r\w*|shaped?|themed?|holders?|racks?|toys?"
)

# what the words above are part of, and is nothing of the kind
INNOCENT: tuple[str, ...] = (
    (
        r"(?:medical |isopropyl |rubbing |antiseptic )?alcohol[- ](?:(?:hand|skin|cleansing|prep|antiseptic)[- ])?"
        r"(?:wipes?|gels?|swabs?|rubs?|pads?|sanitisers?|sanitizers?|sprays?|hand ?(?:gels?|rubs?))"
    ),
    r"alcohol[- ]based(?: \w+){0,2}|(?:isopropyl|rubbing) alcohol",
    rf"(?:alcohol|tobacco|nicotine|smoke)[- ]free(?: (?:{_DRINKS}|\w+)){{0,2}}|(?:{_DRINKS}),? (?:\()?alcohol[- ]free",
    rf"(?:non|no|low|zero)[- ]?alcohol(?:ic)?(?: (?:{_DRINKS}|drinks?|\w+)){{0,1}}|de-?alcoholi[sz]ed \w+|0(?:\.\d)? ?% (?:{_DRINKS})",
    rf"(?:{_DRINKS})[- ](?:red|coloured|colored|vinegars?|gums?|racks?|babas?|snaps?|truffles?|batter(?:ed)?(?: \w+)?|sauce|trifles?|and raisin \w+)",
    r"root beers?|ginger (?:beers?|ales?)|cotton gins?|gin rummy(?: cards?)?",
    r"(?:team|high|good|surgical|white|methylated) spirits?",
    (
        r"(?:tobacco|alcohol|gambling|gamblers?|debts?|smoking|drinking|nicotine|betting|gaming)(?: (?:and|or|addiction|problem|misuse|management|harm|\w+ing)){0,3}"
        r"[- ](?:counselling|counsellors?|support|advice|advisers?|therapy|cessation|recovery|helplines?|awareness|addiction|anonymous|treatment|services?)"
        r"(?:[- ](?:groups?|sessions?|workers?|services?|helplines?|lines?|courses?|class(?:es)?|meetings?|programmes?))?"
    ),
    (
        r"(?:counselling|support|advice|therapy|help|treatment|recovery)(?: \w+)? (?:for|with|about|on|from) (?:a |an |my |problem )?"
        r"(?:tobacco|alcohol|gambling|debts?|smoking|drinking|nicotine|betting)(?: (?:addiction|problems?|misuse|dependency|harm))?"
    ),
    r"(?:alcoholics|gamblers|debtors) anonymous(?: meetings?)?",
    r"(?:stop|quit|give up|giving up|stopping|quitting)[- ](?:smoking|vaping|drinking|gambling|betting)",
    r"nicotine (?:patch(?:es)?|gum|lozenges?|spray|inhalators?|replacement(?: therapy)?)|smok(?:e|ing) (?:alarms?|detectors?)|smoked \w+",
    r"(?:lottery|lotto)[- ]funded|debt[- ]free|weed ?killer|hoop loans?|(?:equipment|wheelchair|library|toy) loans?",
)

# what may follow a word that is the last of its own: "whisky for Jill", "beer, four cans"
_GOES_ON = (
    r"and|or|for|of|from|at|in|on|with|to|per|by|plus|x|please|as|when|while|during|after|before|every|each|this|that|the|an?|my|our|his|her"
    r"|their|is|are|was|today|tonight|weekly|monthly|daily|online|bottles?|cans?|packs?|packets?|cartons?|crates?|cases?|pints?|shots?"
    r"|pouch(?:es)?|tickets?|stakes?|slips?|shops?|debts?|machines?|tokens?|deposits?"
)
_END = rf"(?=\s*$|\s*[^\w\s-]|\s+[-–—]|\s+\d|\s+(?:{_GOES_ON})\b)"


def _whole(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{words})\b", re.IGNORECASE)


_PLAIN = {code: re.compile(rf"(?<![\w-])(?:{words})\b(?!-\w){_END}", re.IGNORECASE) for code, words in WORDS.items()}
_PERHAPS = {code: _whole("|".join(row[code] for row in (WORDS, PERHAPS) if code in row)) for code in WORDS}
_ABOUT = _whole(ABOUT)
_INNOCENT = _whole("|".join(INNOCENT))
_ANY = _whole("|".join((*WORDS.values(), *PERHAPS.values())))
_READ_CHARACTERS_MAX = 10_000  # of one text; whatever is told in more waits for somebody
_KEPT_CHARACTERS_MAX = 200  # of a text about which it is kept whether it has any of these words


def excluded_in(item: Resource) -> Excluded | None:
    """Why a purchase, or an item of the directory, may be in no budget; None where it may."""
    code = next((said for one in _NAMED if (said := code_in(item.get(one), EXCLUDED_ITEM))), "")
    if code:
        return Excluded(code, REASONS.get(code, "A budget cannot pay for this."))
    return next((found for text in _texts(item) if (found := _refused(text))), None)


def doubtful_in(item: Resource) -> str:
    """Why somebody looks at a purchase first: its words may say what no budget pays for. "" where they do not."""
    if any(len(text) > _READ_CHARACTERS_MAX for text in _said(item)):
        return "It is told in so many words that nobody reads them all. Say in a few what is bought."
    return next((why for text in _texts(item) if (why := _doubted(text))), "")


def _texts(item: Resource) -> Iterator[str]:
    """What is suspect of what a purchase or an item is called, as far as it is read."""
    return (text for one in _said(item) if _is_suspect(text := one[:_READ_CHARACTERS_MAX]))


_NAMED = ("code", "productCodeableConcept")  # where a purchase, or an item, says what it is


def _said(item: Resource) -> Iterator[str]:
    said = [item.get("title")]
    if isinstance(product := item.get("productReference"), dict):
        said.append(product.get("display"))
    for name in _NAMED:
        if isinstance(concept := item.get(name), dict):
            codings = concept.get("coding")
            shown = (
                [one.get("display") for one in codings if isinstance(one, dict)] if isinstance(codings, list) else []
            )
            said += [concept.get("text"), *shown]
    return (one for one in said if isinstance(one, str))


def _is_suspect(text: str) -> bool:
    """A quick look at what is mostly innocent; the same few things are bought again and again."""
    return _is_known_suspect(text) if len(text) <= _KEPT_CHARACTERS_MAX else _ANY.search(text) is not None


@lru_cache(maxsize=1_024)
def _is_known_suspect(text: str) -> bool:
    return _ANY.search(text) is not None


def _refused(text: str) -> Excluded | None:
    left = _INNOCENT.sub(" – ", text)
    if _ABOUT.search(left):
        return None
    for code, matcher in _PLAIN.items():
        if found := matcher.search(left):
            said = (
                f'{REASONS[code]} "{found[0]}" reads like it; if it is something else, say what it is in other words.'
            )
            return Excluded(code, said)
    return None


def _doubted(text: str) -> str:
    left = _INNOCENT.sub(" – ", text)
    for code, matcher in _PERHAPS.items():
        if found := matcher.search(left):
            return f'"{found[0]}" may be what no budget pays for. {REASONS[code].partition(". ")[0].rstrip(".")}.'
    return ""
