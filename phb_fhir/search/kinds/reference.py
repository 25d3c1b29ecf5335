"""Reference parameters: an address, a bare id, a canonical, or an identifier (R4 §3.1.1.4.12).

    subject=Patient/1                          a resource here, whichever version of it is meant
    subject=Patient/1/_history/2               that version
    subject=http://other.org/fhir/Patient/1    a resource elsewhere
    instantiates=http://acme.org/a|1.0         a canonical; also without its version
    subject:identifier=*9000000009             Reference.identifier, as a token

An own address is the relative one, however it was written (`search/own`). What a resource contains (`#a`) is no target, and
has a mark only: `subject:#`, for chains to be looked at inside (`interactions/contained`); the first resource of a document or a message has
both. A bare id is asked of every type that the parameter may point to, so it takes as many entries as there are.

`:below` on a canonical is about its version (R4 §3.1.1.4.13): http://acme.org/a|1 finds http://acme.org/a|1.2. On a reference it
is, as `:above`, a walk from resource to resource (`search/hierarchies`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from phb_fhir.definitions.load import SearchParameter, load
from phb_fhir.fhir.reference import is_id
from phb_fhir.query import Key, Node
from phb_fhir.search.asking import malformed, unsupported
from phb_fhir.search.escapes import split_escaped
from phb_fhir.search.kinds.elements import types_of
from phb_fhir.search.kinds.keys import check_length, cut, escaped, mark_present, shown
from phb_fhir.search.kinds.kind import Asked, Index, Kind, OwnAddress, Value
from phb_fhir.search.kinds.token import keep, parse_token
from phb_fhir.search.kinds.uri import entry, in_version, versioned

CONTAINS = ":#"  # behind the code: it leads to something that the resource contains
_LISTED_MAX = 8  # types in one sentence
LITERAL = re.compile(
    r"(?P<here>(?P<base>https?://.+/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64}))"
    r"(?P<version>/_history/[A-Za-z0-9\-.]{1,64})?"
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+")

# ---- what is kept ----------------------------------------------------------------------------------------------------


def index(made: Index, parameter: SearchParameter, values: Sequence[Value], is_list: bool, own: OwnAddress) -> None:
    """The entries of these references, canonicals, or whole resources."""
    del is_list
    if not values:
        return
    code, before = parameter.code, len(made.keys)
    for type_, value in values:
        if type(value) is str:
            _keep_canonical(made.keys, code, value, own)
        elif type(value) is dict and type_ == "Reference":
            _keep_reference(made.keys, code, value, own)
        elif type(value) is dict:
            _keep_resource(made.keys, code, value)
    mark_present(made.keys, code, before)


def _keep_reference(keys: dict[str, None], code: str, reference: dict[str, Any], own: OwnAddress) -> None:
    address = reference.get("reference")
    if type(address) is str:
        keys.update((f"{code}={one}", None) for one in addresses(address, own))
        if len(address) > 1 and address[0] == "#":
            keys[f"{code}{CONTAINS}"] = None
    identifier = reference.get("identifier")
    if type(identifier) is dict:
        keep(keys, f"{code}:identifier", "Identifier", identifier)


def addresses(reference: str, own: OwnAddress) -> list[str]:
    """What a literal reference is found by: `Patient/1`, and of `Patient/1/_history/2` that too. None for what is contained."""
    if not reference or reference.startswith("#"):
        return []
    local = own.local(reference)
    literal = LITERAL.fullmatch(local)
    forms = (literal["here"], local) if literal else (local,)
    return list(dict.fromkeys(escaped(cut(one)) for one in forms))


def _keep_canonical(keys: dict[str, None], code: str, canonical: str, own: OwnAddress) -> None:
    if not canonical or canonical.startswith("#"):
        return
    url, version = versioned(canonical)
    for one in (url, url.partition("#")[0], own.local(url)):
        if one:
            keys[entry(code, one)] = None
            if version:
                keys[entry(code, one, version)] = None


def _keep_resource(keys: dict[str, None], code: str, resource: dict[str, Any]) -> None:
    # the first resource of a document or a message, which its parameter finds as if it were referred to
    type_, id_ = resource.get("resourceType"), resource.get("id")
    if type(type_) is str and type(id_) is str:
        keys[f"{code}={cut(f'{type_}/{id_}')}"] = None
    keys[f"{code}{CONTAINS}"] = None  # "this parameter provides access to search its contents" (R4, Bundle-composition)


# ---- what is asked ---------------------------------------------------------------------------------------------------


def parse(asked: Asked) -> Node:
    """What one value asks. Raises Rejected (400) for what is no reference, or one to a type that is no target."""
    if asked.modifier == "identifier":
        return parse_token(asked.name, asked.name, asked.text)
    if asked.modifier == "below" and "canonical" in types_of(asked.parameter):
        return _below(asked)
    if asked.modifier and asked.modifier not in targets_of(asked.parameter):
        raise _no_modifier(asked)
    url, version = read(asked.name, asked.text)
    address = asked.own.local(url)
    literal = LITERAL.fullmatch(address)
    if version:
        return _of_canonical(asked, url, address, version)
    if is_id(address):
        return _of_id(asked, address)
    if literal is None or literal["base"]:
        return _of_address(asked, address, literal)
    if asked.modifier and literal["type"] != asked.modifier:
        raise malformed(f"{asked.name}={shown(address)}: that is no {asked.modifier}.")
    if literal["type"] not in targets_of(asked.parameter):
        raise malformed(f"{asked.name}={shown(address)}: {_targets(asked)}, not to {literal['type']}.")
    return Key((f"{asked.parameter.code}={address}",))


def targets_of(parameter: SearchParameter) -> Sequence[str]:
    """The types that the parameter may point to; all where its definition names none, or any resource."""
    if not parameter.target or "Resource" in parameter.target:
        return sorted(load().resource_types)
    return parameter.target


def read(name: str, text: str) -> tuple[str, str]:
    """The address and the version ("": any) that a value of the parameter `name` says. Raises Rejected (400)."""
    parts = split_escaped(text, "|")
    if len(parts) > 2 or not all(parts):
        raise malformed(
            f"{name}={shown(text)} is no reference: write [id], [type]/[id], a URL, or of a canonical "
            "[url]|[version]; a '|' inside is written '\\|'"
        )
    for part in parts:
        check_length(name, part)
    return parts[0], parts[1] if len(parts) == 2 else ""


def _of_id(asked: Asked, id_: str) -> Node:
    if asked.modifier:
        return Key((f"{asked.parameter.code}={asked.modifier}/{id_}",))
    return Key(tuple(f"{asked.parameter.code}={type_}/{id_}" for type_ in targets_of(asked.parameter)))


def _of_canonical(asked: Asked, url: str, address: str, version: str) -> Node:
    if asked.modifier or not (_SCHEME.fullmatch(url) or LITERAL.fullmatch(url)):
        raise malformed(f"{asked.name}={shown(asked.text)}: only a canonical, which is a URL or a URN, has a |version.")
    return Key(tuple(dict.fromkeys(entry(asked.parameter.code, one, version) for one in (url, address))))


def _below(asked: Asked) -> Node:
    """A canonical in any version, or in one that begins with what is asked for, up to a dot."""
    url, version = read(asked.name, asked.text)
    if not _SCHEME.fullmatch(url):
        raise malformed(f"{asked.name}={shown(asked.text)} is no canonical: write [url] or [url]|[version].")
    return in_version(asked.parameter.code, url, version) if version else Key((entry(asked.parameter.code, url),))


def _of_address(asked: Asked, address: str, literal: re.Match[str] | None) -> Node:
    """A URL or URN. What type is at its end is known only where it is the address of a resource."""
    if not _SCHEME.fullmatch(address):
        raise malformed(f"{asked.name}={shown(address)} is no reference: write [id], [type]/[id], or a URL.")
    if asked.modifier and (literal is None or literal["type"] != asked.modifier):
        raise malformed(
            f"{asked.name}={shown(address)}: that is no address of a {asked.modifier}; write [id] or {asked.modifier}/[id]."
        )
    return Key((entry(asked.parameter.code, address),))


def _no_modifier(asked: Asked) -> Exception:
    return unsupported(
        f"{asked.name}: ':{asked.modifier}' is neither a modifier of a reference nor a type that it may point to; there is "
        f":identifier, :missing, and :[type], and :below of a canonical. {_targets(asked)}."
    )


def _targets(asked: Asked) -> str:
    types = targets_of(asked.parameter)
    listed = ", ".join(types[:_LISTED_MAX])
    more = f" and {len(types) - _LISTED_MAX} other types" if len(types) > _LISTED_MAX else ""
    return f"{asked.parameter.code} points to {listed}{more}"


KIND = Kind(modifiers=("identifier", "above", "below"), parse=parse, index=index, sort="keys")
