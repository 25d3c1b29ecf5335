"""What a query string is read against, its bounds, and the sentences that say what would have been right."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from phb_fhir.outcome import Issue, Kind, Refusal, Rejected, refuse

if TYPE_CHECKING:
    from phb_fhir.definitions.load import Definitions, SearchParameter
    from phb_fhir.definitions.search_parameters import SearchParameters
    from phb_fhir.query import Node
    from phb_fhir.search.kinds.kind import Codes, OwnAddress

PARAMETERS_MAX = 100
VALUES_MAX = 1_000  # of one parameter, joined by commas
CHAIN_LINKS_MAX = 5  # references followed by one parameter, forward (chaining) and backward (_has) together
CHAIN_QUESTIONS_MAX = 20  # of other resources, that one parameter comes to where it names no types
_LISTED_MAX = 12  # names in one sentence; more are not read
NEAR = " Did you mean "

Types = tuple[str, ...]  # the resource types searched; empty: all of them
Condition = Callable[[str], "Node"]  # what a parameter asks, once its value is there; raises Rejected (400)


class NotKnown(Rejected):
    """There is no such parameter. Of several types that a reference leads to, those that lack it are passed over.

    `lacks` says which types have no parameter of which name, and `before` how they came to be asked; from these
    `Asking.told` makes the refusal that is sent, as looking for what may have been meant takes longer than all else.
    """

    def __init__(self, lacks: Sequence[tuple[Types, str]], before: str = "") -> None:
        super().__init__(Refusal.BAD_REQUEST, Issue(Kind.NOT_SUPPORTED, before + _lack(*lacks[0])))
        self.lacks = lacks
        self.before = before


@dataclass(frozen=True, slots=True)
class Asking:
    """`promised` says which parameters /metadata promises for a type, and with "" for every type; others are unknown.

    `count_default` and `count_max` are resources on a page. `lenient`: what cannot be applied is left out, and reported.
    """

    parameters: SearchParameters
    codes: Codes
    own: OwnAddress
    definitions: Definitions
    promised: Callable[[str], Collection[str]]
    count_default: int
    count_max: int
    lenient: bool = False

    def parameter(self, types: Types, code: str) -> SearchParameter:
        """The parameter of this code that all of these types have alike. Raises NotKnown."""
        known = self.parameters.of(types[0]) if len(types) == 1 else self.parameters.shared(types)
        if code not in known or not self.is_promised(types, code):
            raise self.unknown(types, code)
        return known[code]

    def is_promised(self, types: Types, code: str) -> bool:
        return code in self.promised("") or (bool(types) and all(code in self.promised(type_) for type_ in types))

    def is_served(self, type_: str) -> bool:
        return type_ in self.definitions.resource_types and bool(self.promised(type_))

    def served(self) -> Types:
        return tuple(type_ for type_ in sorted(self.definitions.resource_types) if self.promised(type_))

    def unknown(self, types: Types, code: str) -> NotKnown:
        return NotKnown([(types, code)])

    def told(self, rejected: NotKnown, types: Types = (), also: Collection[str] = ()) -> Rejected:
        """The same, with what may have been meant: of what these types have, `also` other names."""
        hints = [
            (lack, suggestion(lack[1], {*self.names(lack[0]), *(also if lack[0] == types else ())}))
            for lack in rejected.lacks[:_LISTED_MAX]
        ]
        lack, hint = next((one for one in hints if NEAR in one[1]), hints[0])
        more = "" if len(lack[0]) == 1 else " With _type=[one type], that type's own can be used."
        return unsupported(f"{rejected.before}{_lack(*lack)}{hint}{more}")

    def names(self, types: Types) -> set[str]:
        """The parameters that are promised for all of these types."""
        own = set.intersection(*(set(self.promised(type_)) for type_ in types)) if types else set[str]()
        return own | set(self.promised(""))


def _lack(types: Types, code: str) -> str:
    what = types[0] if len(types) == 1 else f"A search of {'several' if types else 'all'} types"
    return f"{what} has no search parameter '{code}' here."


def unsupported(text: str) -> Rejected:
    return refuse(Refusal.BAD_REQUEST, Kind.NOT_SUPPORTED, text)


def badly_written(text: str) -> Rejected:
    """The refusal of a value."""
    return refuse(Refusal.BAD_REQUEST, Kind.VALUE, text)


def malformed(text: str) -> Rejected:
    """The refusal of what has no form that could be read."""
    return refuse(Refusal.BAD_REQUEST, Kind.INVALID, text)


def too_costly(text: str) -> Rejected:
    return refuse(Refusal.BAD_REQUEST, Kind.TOO_COSTLY, text)


def parse_flag(name: str, text: str) -> bool:
    """What a parameter says that is either true or false. Raises Rejected (400) for anything else."""
    if text not in ("true", "false"):
        raise badly_written(f"{name}={text}: it is true or false.")
    return text == "true"


def suggestion(name: str, known: Iterable[str]) -> str:
    """What may have been meant, as the next sentence: the nearest of the known names, or all of them where they are few."""
    spelled = {one.lower(): one for one in sorted(known, reverse=True)}
    near = get_close_matches(name.lower(), spelled, n=2)
    if near:
        return f"{NEAR}{' or '.join(spelled[one] for one in near)}?"
    if len(spelled) <= _LISTED_MAX:
        return f" Known are: {', '.join(sorted(spelled.values()))}." if spelled else ""
    return f" The {len(spelled)} that are known are listed in /metadata."
