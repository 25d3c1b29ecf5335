"""String parameters: a value that begins with the text asked for, whatever its case and accents (R4 §3.1.1.4.8).

Both sides are folded alike (`fold`). A value is kept folded, for the default and for `:contains`, and once as it is written,
for `:exact`:

    family=obrien, family:exact=O'Brien

Of a HumanName and an Address every text in it is a value of its own. Of a family name each word is one too, so that
"Quiñones" finds "Carreño Quiñones", and "Jones" finds "Smith-Jones" (R4: servers should search the parts of a family name
independently).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from phb_fhir.definitions.load import SearchParameter
from phb_fhir.query import Key, KeyPart, Node
from phb_fhir.search.asking import malformed
from phb_fhir.search.escapes import unescape
from phb_fhir.search.kinds.keys import beginning, check_length, mark_present, not_a_modifier, shown
from phb_fhir.search.kinds.kind import Asked, Index, Kind, OwnAddress, Value

CHARACTERS_MAX = 256  # of a text that is asked for
FOLDED_MAX = 4_000  # characters of a text that is searched in; what follows them is not found
SORTED_MAX = 64  # characters that an order looks at
_READ_MAX = 4 * FOLDED_MAX  # characters of a text that are folded at all

# ---- folding ---------------------------------------------------------------------------------------------------------

_ASCII: dict[int, str] = {
    **{code: "" for code in range(128) if unicodedata.category(chr(code))[0] == "P"},
    **{code: " " for code in range(128) if unicodedata.category(chr(code)) == "Cc"},
}
# letters that Unicode takes for letters of their own, and people for others with a stroke, or for two written together
_PLAIN = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)


def fold(text: str) -> str:
    """Without case, accents and punctuation, every gap one space: what is compared (R4 §3.1.1.4.8)."""
    if text.isascii():
        return " ".join(text.translate(_ASCII).lower().split())
    decomposed = unicodedata.normalize("NFKD", text)
    return " ".join("".join(map(_kept, decomposed)).casefold().translate(_PLAIN).split())


def _kept(letter: str) -> str:
    # an accent is a mark that combines; the vowel signs of Indic scripts are marks that do not, and are letters to a reader
    if unicodedata.combining(letter):
        return ""
    kind = unicodedata.category(letter)
    if kind == "Cc":
        return " "
    return "" if kind[0] == "P" or kind == "Cf" else letter


# ---- what is kept ----------------------------------------------------------------------------------------------------

_DASH = re.compile("[-\u2010-\u2015]")
_PARTS: dict[str, tuple[str, ...]] = {
    "HumanName": ("family", "given", "prefix", "suffix", "text"),
    "Address": ("text", "line", "city", "district", "state", "postalCode", "country"),
}


def index(made: Index, parameter: SearchParameter, values: Sequence[Value], is_list: bool, own: OwnAddress) -> None:
    """Every text of these elements, folded and as it is written; and the first and the last of them, to sort by."""
    del own
    code, keys, before = parameter.code, made.keys, len(made.keys)
    is_family = _is_family(parameter)
    sortable: list[str] = []
    for type_, value in values:
        for text, of_family in _texts(type_, value, is_family):
            folded = fold(text[:_READ_MAX])
            if folded:
                keys[f"{code}={folded[:FOLDED_MAX]}"] = None
                sortable.append(folded[:SORTED_MAX])
            if of_family and (" " in folded or _DASH.search(text)):
                keys.update((f"{code}={part}", None) for part in _parts_of(text[:_READ_MAX]))
            if text:
                keys[f"{code}:exact={text[: CHARACTERS_MAX + 1]}"] = None
    if values:
        mark_present(keys, code, before)
    if sortable:
        _keep_order(made.lo, code, sortable, is_list)


def _keep_order(lo: dict[str, str], code: str, sortable: list[str], is_list: bool) -> None:
    lo[code] = min(sortable)
    if is_list:
        lo[f"{code}~max"] = max(sortable)


def _parts_of(family: str) -> Iterator[str]:
    """What a family name of several parts is found by: each word and each side of its dashes, and with blanks for the dashes."""
    spaced = _DASH.sub(" ", family)
    for part in (spaced, *family.split(), *(_DASH.sub(" ", word) for word in family.split()), *spaced.split()):
        if folded := fold(part):
            yield folded[:FOLDED_MAX]


def _is_family(parameter: SearchParameter) -> bool:
    return ".family" in parameter.expression


def _texts(type_: str, value: Any, is_family: bool) -> Iterator[tuple[str, bool]]:
    """The texts of one element, and whether each is a family name."""
    if type(value) is str:
        yield value, is_family
    elif type(value) is dict:
        for name in _PARTS.get(type_, ()):
            part = value.get(name)
            for text in part if type(part) is list else (part,):
                if type(text) is str:
                    yield text, name == "family"


# ---- what is asked ---------------------------------------------------------------------------------------------------


def parse(asked: Asked) -> Node:
    """What one value asks. Raises Rejected (400) for one that is empty, or too long."""
    make = _MODIFIERS.get(asked.modifier)
    if make is None:
        raise not_a_modifier(asked, tuple(_MODIFIERS))
    text = unescape(asked.text)
    check_length(asked.name, text, CHARACTERS_MAX)
    if not text:
        raise malformed(f"{asked.name} needs a value.")
    return make(asked, text)


def _exact(asked: Asked, text: str) -> Node:
    return Key((f"{asked.parameter.code}:exact={text}",))


def _start(asked: Asked, text: str) -> Node:
    return beginning(f"{asked.parameter.code}={_folded(asked, text)}")


def _contains(asked: Asked, text: str) -> Node:
    return KeyPart(f"{asked.parameter.code}=", _folded(asked, text))


def _folded(asked: Asked, text: str) -> str:
    folded = fold(text)
    if not folded:
        raise malformed(
            f"{asked.name}={shown(text)}: case, accents, punctuation and blanks are passed over, and nothing is left of this "
            f"to look for; {asked.parameter.code}:exact looks for it as it is written."
        )
    check_length(asked.name, folded, CHARACTERS_MAX)  # a few letters are several once they are taken apart
    return folded


_MODIFIERS: dict[str, Callable[[Asked, str], Node]] = {"": _start, "exact": _exact, "contains": _contains}

KIND = Kind(modifiers=("exact", "contains"), parse=parse, index=index, sort="lo")
