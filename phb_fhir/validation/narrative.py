"""The text of a narrative: XHTML, well formed, of the plain elements only, with no active content (R4 §2.4.0).

txt-1 lists which elements and attributes may stand in it and txt-2 asks for some content. The same section rules out scripts, and a `javascript:` link is one. A link inside the document leads to something that is there; another
one has a scheme that a reader's browser can follow. Only a transaction's or batch's links may be `urn:`, because the server
replaces them when it gives ids (R4 §3.1.0.11.2).
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phb_fhir.outcome import Severity
    from phb_fhir.validation.frame import Frame

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
# Of the same chapters of HTML 4.0, which the text of R4 allows and the package's list forgets; maps are part of images.
_FORGOTTEN = frozenset(("address", "bdo", "kbd", "map", "area"))
_ELEMENTS = frozenset(_TXT_1_ELEMENTS.split()) | _FORGOTTEN
_ATTRIBUTES = frozenset(_TXT_1_ATTRIBUTES.split()) | {"xmlns", "xml:lang", "xml:space", "xml:id", "usemap"}
# How these elements nest in HTML 4.0: what each stands in, and what else may not stand in a line of text.
_TABLE, _ROWS = frozenset(("table",)), frozenset(("table", "thead", "tbody", "tfoot"))
_STANDS_IN = {
    "li": frozenset(("ul", "ol")),
    **dict.fromkeys(("dt", "dd"), frozenset(("dl",))),
    **dict.fromkeys(("td", "th"), frozenset(("tr",))),
    "tr": _ROWS,
    **dict.fromkeys(("thead", "tbody", "tfoot", "caption", "colgroup"), _TABLE),
    "col": frozenset(("table", "colgroup")),
}
_HOLDS = {
    "table": frozenset(("caption", "col", "colgroup", "thead", "tbody", "tfoot", "tr")),
    **dict.fromkeys(("thead", "tbody", "tfoot"), frozenset(("tr",))),
    "tr": frozenset(("td", "th")),
    **dict.fromkeys(("ul", "ol"), frozenset(("li",))),
    "dl": frozenset(("dt", "dd")),
}
_BLOCKS = frozenset(("div", "ul", "ol", "table", "pre"))
_LINES = frozenset(
    [
        "b",
        "big",
        "cite",
        "code",
        "dfn",
        "em",
        "i",
        "kbd",
        "q",
        "samp",
        "small",
        "span",
        "strong",
        "sub",
        "sup",
        "tt",
        "u",
        "var",
    ]
)
_NOT_IN = {"p": _BLOCKS | {"p", "blockquote"}, **dict.fromkeys(_LINES, _BLOCKS)}
_STRAY_TEXT = re.compile(
    r"(?:<(?:table|thead|tbody|tfoot|tr|ul|ol|dl)\b[^<>]*>|</(?:thead|tbody|tfoot|tr|td|th|caption|li|dt|dd)>)\s*[^<\s]"
)
_XML_BLANKS = " \t\r\n"
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*):")
_SCHEMES = frozenset(("http", "https", "mailto", "tel", "sms", "ftp", "cid", "data"))
_BLANK = re.compile(r"\s")
_LINKS_MAX = 100  # complaints about the links of one narrative
_SCRIPT_LINK = re.compile(r"\s*(?:javascript|vbscript|data:text/html)", re.IGNORECASE)


class _NotAllowed(Exception):  # noqa: N818 - the sentence is the point
    pass


def complaints(div: str, frame: Frame) -> Iterator[str]:
    """What is wrong with the XHTML of a narrative, in sentences."""
    return (text for severity, text in judged(div, frame) if severity == "error")


def judged(div: str, frame: Frame) -> Iterator[tuple[Severity, str]]:
    """What is to be said of the XHTML of a narrative, in sentences, and how grave it is."""
    reader = _Reader()
    wrong = reader.read(div)
    if wrong is not None:
        yield "error", wrong
        return
    if reader.misplaced:
        # whoever keeps a text for others to read can leave the layout to their browsers
        yield "warning" if frame.run.keeps_unknown else "error", reader.misplaced
    complaints_ = (_link_complaint(link, reader.anchors, frame) for link in reader.links)
    yield from islice(filter(None, complaints_), _LINKS_MAX)


class _Reader:
    """Reads one narrative: refuses what may not stand in it, and notes its links and anchors."""

    def __init__(self) -> None:
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.misplaced = ""
        self._has_content = False
        self._around: list[str] = []

    def read(self, div: str) -> str | None:
        """What is wrong with the XHTML itself; None when it is right."""
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._element
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
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
        if not self.misplaced and _STRAY_TEXT.search(div):
            self.misplaced = "In a table or a list, text stands inside a cell or an item of it."
        return None if self._has_content else "The narrative is empty; it must have some content (txt-2)."

    def _element(self, name: str, attributes: dict[str, str]) -> None:
        around = self._around
        if not around:
            if name != "div" or attributes.get("xmlns") != _XHTML:
                raise _NotAllowed(f'A narrative is one <div xmlns="{_XHTML}"> element with the text inside.')
        elif not self.misplaced:
            self.misplaced = _misplaced(name, around[-1])
        around.append(name)
        if name not in _ELEMENTS:
            raise _NotAllowed(f"<{name[:30]}> may not stand in a narrative (txt-1): only plain text elements may.")
        if name == "img":
            self._has_content = True
        if attributes:
            _check_attributes(name, attributes)
            self.anchors.update(attributes[key] for key in ("id", "name", "xml:id") if key in attributes)
            if name == "a" and "href" in attributes:
                self.links.append(attributes["href"])
            elif name == "img" and attributes.get("src", "").startswith("#"):
                self.links.append(attributes["src"])

    def _end(self, _: str) -> None:
        self._around.pop()

    def _text(self, text: str) -> None:
        """Text is content however it is written (CDATA too), and what stands in a comment or an attribute is none."""
        if not self._has_content and text.strip(_XML_BLANKS):
            self._has_content = True


def _misplaced(name: str, around: str) -> str:
    """What is wrong with an element standing in another, in a sentence; empty when nothing is."""
    stands_in, holds = _STANDS_IN.get(name), _HOLDS.get(around)
    if stands_in is not None and around not in stands_in:
        return f"<{name}> stands in {' or '.join(f'<{each}>' for each in sorted(stands_in))}, not in <{around}>."
    if holds is not None and name not in holds:
        return f"<{around}> holds {', '.join(f'<{each}>' for each in sorted(holds))}, not <{name}>."
    if name in _NOT_IN.get(around, ()):
        return f"<{name}> is a block and does not stand in <{around}>, which is a line of text."
    return ""


def _check_attributes(name: str, attributes: dict[str, str]) -> None:
    if attributes.get("xmlns", _XHTML) != _XHTML:
        raise _NotAllowed(f'All of a narrative is XHTML; the namespace of <{name}> is "{attributes["xmlns"][:60]}".')
    if not attributes.keys() <= _ATTRIBUTES:
        odd = min(attributes.keys() - _ATTRIBUTES)
        raise _NotAllowed(f'The attribute "{odd[:30]}" may not stand on <{name}> in a narrative (txt-1).')
    for link in ("href", "src"):
        if _SCRIPT_LINK.match(attributes.get(link, "")):
            raise _NotAllowed(f"The {link} of <{name}> is a script; a narrative has no active content.")


def _doctype(*_: object) -> None:
    raise _NotAllowed("A narrative has no DOCTYPE and declares no entities.")


# ---- links ---------------------------------------------------------------------------------------


def _link_complaint(link: str, anchors: set[str], frame: Frame) -> tuple[Severity, str] | None:
    if not link or _BLANK.search(link):
        return "error", f'The link "{link[:60]}" cannot be followed: a URL is not empty and has no blanks.'
    scheme = _SCHEME.match(link)
    if scheme is not None and scheme[1].lower() not in _SCHEMES:
        severity: Severity = _severity_of_urn(frame) if scheme[1].lower() == "urn" else "error"
        text = f'The link "{link[:60]}" cannot be followed: {scheme[1][:20]} is no scheme of hyperlinks.'
        return None if severity == "information" else (severity, text)
    if len(link) < 2 or not link.startswith("#") or link[1:] in anchors or link[1:] in _ids(frame):
        return None
    return "error", f'The link "{link[:60]}" leads nowhere: nothing in the resource has that id.'


def _severity_of_urn(frame: Frame) -> Severity:
    """A resource by itself may be on its way into a transaction, where such links are replaced."""
    bundle = frame.container.bundle
    if bundle is None:
        return "warning"
    return "information" if bundle.resource.get("type") in ("transaction", "batch") else "error"


def _ids(frame: Frame) -> set[str]:
    """Every id in the resource that holds this narrative, contained resources and other narratives included."""
    memory, key = frame.run.memory, ("ids", id(frame.root))
    if key not in memory:
        found: set[str] = set()
        level: list[Any] = [frame.root]
        while level:
            node = level.pop()
            if type(node) is dict:
                found.update(node[name] for name in ("id", "linkId") if type(node.get(name)) is str)
                level.extend(node.values())
            elif type(node) is list:
                level.extend(node)
        memory[key] = found
    ids: set[str] = memory[key]
    return ids
