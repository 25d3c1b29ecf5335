"""The text of a narrative: XHTML, well formed, of the plain elements only, with no active content (R4
§2.4.0).

txt-1 lists which elements and attributes may stand in it and txt-2 asks for some content. The same section
rules out scripts, and a `javascript:` link is one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.parsers import expat

if TYPE_CHECKING:
    from collections.abc import Callable

_XHTML = "http://www.w3.org/1999/xhtml"
# txt-1, as the package states it
_TXT_1_ELEMENTS = """
    a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img
    li ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var
"""
_TXT_1_ATTRIBUTES = """
    abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset
    cite class colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name nowrap rel
    rev rowspan rules scope shape span src start style summary tabindex title type valign value vspace width
"""
_ELEMENTS = frozenset(_TXT_1_ELEMENTS.split())
_ATTRIBUTES = frozenset(_TXT_1_ATTRIBUTES.split()) | {"xmlns", "xml:lang", "xml:space", "xml:id"}
_CONTENT = re.compile(r">\s*[^\s<]|<img\s")
_SCRIPT_LINK = re.compile(r"\s*(?:javascript|vbscript|data:text/html)", re.IGNORECASE)


class _NotAllowed(Exception):  # noqa: N818 - the sentence is the point
    pass


def complaint(div: str) -> str | None:
    """What is wrong with the XHTML of a narrative, in a sentence; None when it is right."""
    parser = expat.ParserCreate()
    parser.StartElementHandler = _root(parser)
    parser.StartDoctypeDeclHandler = _doctype
    try:
        parser.Parse(div, True)
    except _NotAllowed as reason:
        return str(reason)
    except expat.ExpatError as error:
        what = expat.ErrorString(error.code)
        return f"The narrative is not well-formed XHTML: {what} at line {error.lineno}, column {error.offset}."
    except ValueError:
        return "The narrative holds half a character (an unpaired surrogate)."
    return None if _CONTENT.search(div) else "The narrative is empty; it must have some content (txt-2)."


def _root(parser: expat.XMLParserType) -> Callable[[str, dict[str, str]], None]:
    def start(name: str, attributes: dict[str, str]) -> None:
        if name != "div" or attributes.get("xmlns") != _XHTML:
            raise _NotAllowed(f'A narrative is one <div xmlns="{_XHTML}"> element with the text inside.')
        parser.StartElementHandler = _element
        _element(name, attributes)

    return start


def _element(name: str, attributes: dict[str, str]) -> None:
    if name not in _ELEMENTS:
        raise _NotAllowed(f"<{name[:30]}> may not stand in a narrative (txt-1): only plain text elements may.")
    if attributes:
        _check_attributes(name, attributes)


def _check_attributes(name: str, attributes: dict[str, str]) -> None:
    if not attributes.keys() <= _ATTRIBUTES:
        odd = min(attributes.keys() - _ATTRIBUTES)
        raise _NotAllowed(f'The attribute "{odd[:30]}" may not stand on <{name}> in a narrative (txt-1).')
    for link in ("href", "src"):
        if _SCRIPT_LINK.match(attributes.get(link, "")):
            raise _NotAllowed(f"The {link} of <{name}> is a script; a narrative has no active content.")


def _doctype(*_: object) -> None:
    raise _NotAllowed("A narrative has no DOCTYPE and declares no entities.")
