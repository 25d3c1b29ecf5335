r"""Uri parameters: the whole uri, letter for letter (R4 §3.1.1.4.9).

    url=http://acme.org/fhir/ValueSet/a, url=http://acme.org/fhir/ValueSet/a|1.0

A canonical may carry the version it means (R4 §2.3.0.5.1), so it is kept without its version and with it; and a definition,
under its url and under its url with its own version. In either `\` and `|` are escaped.

`:below` finds what the path of a URL leads to: http://acme.org/fhir finds http://acme.org/fhir and http://acme.org/fhir/a,
not http://acme.org/fhirpath; `:above` is the converse. URNs have no path, so R4 allows neither for them. With a version behind
it, `:below` finds that version of the url and those under it: 1 finds 1 and 1.2, not 10 (R4 §3.1.1.4.13).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from phb_fhir.definitions.load import SearchParameter
from phb_fhir.query import AnyOf, Key, Node
from phb_fhir.search.asking import malformed, too_costly
from phb_fhir.search.escapes import split_escaped
from phb_fhir.search.kinds.keys import beginning, check_length, cut, escaped, mark_present, not_a_modifier, shown
from phb_fhir.search.kinds.kind import Asked, Index, Kind, OwnAddress, Value

STEPS_MAX = 50  # of a path that `:above` is asked of

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/]*")

# ---- what is kept ----------------------------------------------------------------------------------------------------


def entry(code: str, url: str, version: str = "") -> str:
    """The entry of a url, or of a url in one version, under the parameter of this code."""
    start = f"{code}={escaped(cut(url))}"
    return f"{start}|{escaped(cut(version))}" if version else start


def versioned(canonical: str) -> tuple[str, str]:
    """The url and the version of a canonical: `url|version`, and perhaps the part that is meant, `#part` (R4 §2.3.0.5.1)."""
    url, _, rest = canonical.partition("|")
    version, mark, part = rest.partition("#")
    return url + mark + part, version


def index(made: Index, parameter: SearchParameter, values: Sequence[Value], is_list: bool, own: OwnAddress) -> None:
    """The entries of these uris. One that names a version is of type canonical."""
    del is_list, own
    if not values:
        return
    before = len(made.keys)
    for type_, value in values:
        if type(value) is str and value:
            url, version = versioned(value) if type_ == "canonical" else (value, "")
            made.keys[entry(parameter.code, url)] = None
            if version:
                made.keys[entry(parameter.code, url, version)] = None
    mark_present(made.keys, parameter.code, before)


# ---- what is asked ---------------------------------------------------------------------------------------------------


def parse(asked: Asked) -> Node:
    """What one value asks. Raises Rejected (400) when it says nothing, or has no path where one is needed."""
    make = _MODIFIERS.get(asked.modifier)
    if make is None:
        raise not_a_modifier(asked, KIND.modifiers)
    return make(asked)


def read(asked: Asked) -> tuple[str, str]:
    """The url and the version ("": any) that are asked for."""
    parts = split_escaped(asked.text, "|")
    if len(parts) > 2 or not all(parts):
        raise malformed(
            f"{asked.name}={shown(asked.text)} is not [url] or [url]|[version]; a '|' inside either is written '\\|'"
        )
    for part in parts:
        check_length(asked.name, part)
    return parts[0], parts[1] if len(parts) == 2 else ""


def _equal(asked: Asked) -> Node:
    return Key((entry(asked.parameter.code, *read(asked)),))


def in_version(code: str, url: str, version: str) -> Node:
    """A canonical in this version, or in one under it."""
    start = entry(code, url, version)
    return AnyOf((Key((start,)), beginning(f"{start}.")))


def _below(asked: Asked) -> Node:
    url, version = read(asked)
    if version:
        return in_version(asked.parameter.code, url, version)
    _check_path(asked, url)
    start = entry(asked.parameter.code, url)
    if url.endswith("/"):
        return beginning(start)
    return AnyOf((Key((start,)), beginning(f"{start}/")))


def _above(asked: Asked) -> Node:
    """Every beginning of the path, and itself: with the slash behind it and without."""
    url, version = read(asked)
    if version:
        raise malformed(
            f"{asked.name}={shown(asked.text)}: nothing is above a version; write it without |{shown(version)}."
        )
    _check_path(asked, url)
    host = _URL.match(url)
    slashes = [place for place, letter in enumerate(url) if letter == "/" and host and place >= host.end()]
    if len(slashes) > STEPS_MAX:
        raise too_costly(f"{asked.name}={shown(url)}: its path has more than {STEPS_MAX} steps.")
    urls = [url, *(url[:end] for place in reversed(slashes) for end in (place + 1, place))]
    return Key(tuple(dict.fromkeys(entry(asked.parameter.code, one) for one in urls)))


def _check_path(asked: Asked, url: str) -> None:
    if not _URL.match(url):
        raise malformed(
            f"{asked.name}={shown(asked.text)}: only a URL with a path, such as http://example.org/fhir, has something "
            f"{asked.modifier} it; a URN has not."
        )


_MODIFIERS: dict[str, Callable[[Asked], Node]] = {"": _equal, "above": _above, "below": _below}

KIND = Kind(modifiers=("above", "below"), parse=parse, index=index, sort="keys")
