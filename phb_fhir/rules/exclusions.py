"""What no budget buys (RULE-EXCL; R67 to R74): by its code, or where it is told in words, by these.

A word refuses only what it cannot be mistaken for: gardening tools, a wine-coloured chair and alcohol hand gel are bought like
anything else. Whatever is merely unusual is for somebody to decide (R76), and is none of this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    "tobacco": "A budget cannot pay for tobacco.",
    "alcohol": "A budget cannot pay for alcohol.",
    "illegal": "A budget cannot pay for anything illegal.",
    "emergency-acute-care": f"A budget does not pay for emergency or acute care. {_FREE}",
    "primary-care": f"A budget does not pay for most primary care, such as seeing a GP. {_FREE}",
    "vaccination-screening": f"A budget does not pay for vaccination or screening. {_FREE}",
    "surgical-procedure": f"A budget does not pay for operations. {_FREE}",
    "nhs-charge": "A budget cannot pay the NHS's own charges, such as for prescriptions or the dentist.",
}

# whole words, in any case; the first that is found tells
_WORDS: Mapping[str, str] = {
    "gambling": r"gambling|betting|lottery tickets?|scratch ?cards?|casino|bingo tickets?|poker chips",
    "debt-repayment": r"debt repayments?|repay(?:ment|ing)? (?:of )?(?:a |the |my )?(?:debts?|loans?)|(?:loan|credit card|payday loan) (?:re)?payments?|mortgage arrears|rent arrears",
    "tobacco": r"tobacco|cigarettes?|cigars?|cigarillos?|snuff",
    "alcohol": r"alcohol|alcoholic drinks?|beers?|lagers?|ciders?|wines?|whisk(?:e)?y|vodka|gin|rum|champagne|prosecco|spirits",
    "illegal": r"cocaine|heroin|illegal drugs?|stolen goods|counterfeit",
    "emergency-acute-care": r"(?:a ?& ?e|accident and emergency|emergency department) (?:visit|attendance|care)s?|emergency (?:ambulance|surgery|hospital care)|ambulance call-?outs?",
    "primary-care": r"gp (?:visit|appointment|consultation|surgery visit)s?|(?:visit|appointment|consultation) (?:to|with) (?:a|the|my) gp",
    "vaccination-screening": r"(?:flu|covid|travel) (?:jab|vaccination|vaccine)s?|cancer screening",
    "nhs-charge": r"(?:nhs )?prescription charges?|nhs dental charges?",
}
# what the words above are part of, and is nothing of the kind
_INNOCENT = re.compile(
    r"(?:alcohol|wine|beer|rum|gin|cider)[- ](?:free|based|wipes?|gels?|swabs?|rub|hand ?gels?|sanitisers?|hand ?rub|red|coloured|colored|vinegar|gum|rack)"
    r"|(?:stop|quit|give up|giving up|stopping|quitting)[- ](?:smoking|drinking|gambling)[\w -]*"
    r"|(?:non|low)[- ]alcohol\w*|ginger\w*|root beer|ginger (?:beer|ale)|cider vinegar|team spirits?|surgical spirits?|white spirits?|cotton gin"
    r"|(?:tobacco|alcohol|gambling|debt)[\w -]*(?:counselling|support|advice|therapy|cessation|recovery|helpline|awareness)[\w -]*",
    re.IGNORECASE,
)
_MATCHERS = {code: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for code, words in _WORDS.items()}
_ANY = re.compile(rf"\b(?:{'|'.join(_WORDS.values())})\b", re.IGNORECASE)  # a quick look at what is mostly innocent


def excluded_in(item: Resource) -> Excluded | None:
    """Why a purchase, or an item of the directory, may be in no budget; None where it may."""
    concept = item.get("code")
    code = code_in(concept, EXCLUDED_ITEM)
    if code:
        return Excluded(code, REASONS.get(code, "A budget cannot pay for this."))
    texts = [concept.get("text")] if isinstance(concept, dict) else []
    return next((found for text in [*texts, item.get("title")] if (found := _in_words(text))), None)


def _in_words(text: object) -> Excluded | None:
    if not isinstance(text, str):
        return None
    if not _ANY.search(text):
        return None
    plain = _INNOCENT.sub(" ", text)
    for code, matcher in _MATCHERS.items():
        if found := matcher.search(plain):
            said = (
                f'{REASONS[code]} "{found[0]}" reads like it; if it is something else, say what it is in other words.'
            )
            return Excluded(code, said)
    return None
