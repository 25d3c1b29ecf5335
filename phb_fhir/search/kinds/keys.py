"""How the entries of `ix.k` are written, and how they are asked for: the part that token, string, reference and uri share.

An entry begins with the code of its parameter and a mark, so all entries live in one list and one index:

    code=*1234                  a value                                   subject=Patient/1
    code:text=body weight       a value as a modifier looks at it         subject:identifier=*9000000009
    subject:                    the element is there and says nothing of these

No entry is longer than it can be asked for: of a longer text one character more than LENGTH_MAX is kept, so that it is found
by how it begins and never taken for a shorter one.
"""

from __future__ import annotations

from phb_fhir.outcome import Kind, Refusal, Rejected, refuse
from phb_fhir.query import KeyRange
from phb_fhir.search.asking import unsupported
from phb_fhir.search.kinds.kind import Asked

LENGTH_MAX = 1_000  # characters, of one value
_SHOWN_MAX = 100  # characters of a value in a sentence about it
_SURROGATES = (0xD800, 0xDFFF)  # no characters; no text of MongoDB's has them


def cut(text: str) -> str:
    """As much of a text as an entry keeps."""
    return text[: LENGTH_MAX + 1]


def escaped(text: str) -> str:
    """A text that a bar follows: no bar of its own can be taken for that one."""
    return text.replace("\\", "\\\\").replace("|", "\\|")


def beginning(start: str) -> KeyRange:
    """All entries that begin with this, itself among them."""
    head, last = start[:-1], ord(start[-1])
    if last == 0x10FFFF:
        return KeyRange(start, beginning(head).high)
    after = last + 1
    return KeyRange(start, head + chr(_SURROGATES[1] + 1 if after == _SURROGATES[0] else after))


def mark_present(keys: dict[str, None], code: str, before: int) -> None:
    """An entry for elements that gave none since there were `before` of them: they are not missing."""
    if len(keys) == before:
        keys.setdefault(f"{code}:")


def check_length(name: str, text: str, most: int = LENGTH_MAX) -> None:
    """Raises Rejected (400) for a value that no entry could equal."""
    if len(text) > most:
        shown = f"{name}={text[:_SHOWN_MAX]}…"
        raise refuse(
            Refusal.BAD_REQUEST,
            Kind.TOO_LONG,
            f"{shown} has {len(text)} characters; a search takes at most {most} of them.",
        )


def shown(text: str) -> str:
    """A value for a sentence, not without bounds."""
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


def not_a_modifier(asked: Asked, known: tuple[str, ...]) -> Rejected:
    """The refusal of a modifier that this kind of parameter does not have."""
    listed = ", ".join(f":{one}" for one in ("missing", *known) if one)
    code, type_ = asked.parameter.code, asked.parameter.type
    return unsupported(f"{asked.name}: {code} is a {type_} parameter, and those take {listed}.")
