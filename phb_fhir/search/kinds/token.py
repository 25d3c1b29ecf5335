r"""Token parameters: `code`, `system|code`, `|code`, `system|` (R4 §3.1.1.4.10).

A token is kept twice, so that each of the four forms is one entry of the index or one range of them:

    code=*1234                         whatever its system          code=1234
    code=http://loinc.org|1234         with its system              code=http://loinc.org|1234, code=http://loinc.org|
    code=|1234                         where it says none           code=|1234

In a system `\\`, `|` and `*` are escaped, so that none can be read as another's end, or as the mark of any system. Modifiers
have entries of their own (`:text`, `:of-type`) or ask for many of these: `:in`, `:above` and `:below` for the codes that
terminology lists, `:not` and `:not-in` for none of them. Of several values of those two none may be there, so whoever joins
values joins what `NEGATIVE_MODIFIERS` gives by AllOf.

Codes are compared as they are written. R4 leaves that to the server where a code system does not say it; strings, and the
telephone numbers and mail addresses of a ContactPoint, are compared without case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal

from phb_fhir.definitions.load import SearchParameter
from phb_fhir.query import NOTHING, AnyOf, Key, Node, Not
from phb_fhir.search.asking import malformed, too_costly, unsupported
from phb_fhir.search.escapes import split_escaped, unescape
from phb_fhir.search.kinds.elements import MIME_SYSTEM, is_mime, is_text, system_of, types_of
from phb_fhir.search.kinds.keys import beginning, check_length, cut, mark_present, not_a_modifier, shown
from phb_fhir.search.kinds.kind import Asked, Index, Kind, OwnAddress, Value
from phb_fhir.search.kinds.string import CHARACTERS_MAX as TEXT_MAX
from phb_fhir.search.kinds.string import fold

ANY_SYSTEM = "*"
NEGATIVE_MODIFIERS = frozenset({"not", "not-in"})
CODES_MAX = 1_000  # that one value may stand for
SPECIAL_VALUES = "http://hl7.org/fhir/special-values"  # the system of a boolean, by R4 §3.1.1.4.10

_SHORT_MAX = 400  # characters of a coding whose entries are kept at hand
_MIME = re.compile(r"[^\s/;]+(?:/(?:[^\s/;]+(?:;.*)?)?)?")

Keys = dict[str, None]

# ---- what is kept ----------------------------------------------------------------------------------------------------


def index(made: Index, parameter: SearchParameter, values: Sequence[Value], is_list: bool, own: OwnAddress) -> None:
    """The entries of these elements."""
    del is_list, own
    if not values:
        return
    before, in_any_case = len(made.keys), is_text(parameter)
    for type_, value in values:
        keep(made.keys, parameter.code, type_, value.lower() if in_any_case and type(value) is str else value)
    mark_present(made.keys, parameter.code, before)


def keep(keys: Keys, name: str, type_: str, value: Any) -> None:
    """The entries of one element under this name, with which each begins."""
    if type(value) is dict:
        of_type = _OF_TYPE.get(type_)
        if of_type is not None:
            of_type(keys, name, value)
    elif type(value) is bool:
        _keep_token(keys, name, "", "true" if value else "false")
    elif type(value) is str or type(value) is int:
        _keep_token(keys, name, "", str(value))


def _keep_token(keys: Keys, name: str, system: str, code: str) -> None:
    code = cut(code)
    if code:
        keys[f"{name}={ANY_SYSTEM}{code}"] = None
    if code or system:
        keys[_entry(name, system, code)] = None


def _keep_concept(keys: Keys, name: str, concept: dict[str, Any]) -> None:
    for coding in _objects(concept.get("coding")):
        _keep_coding(keys, name, coding)
    _keep_text(keys, name, concept.get("text"))


def _keep_coding(keys: Keys, name: str, coding: dict[str, Any]) -> None:
    system, code, display = coding.get("system", ""), coding.get("code", ""), coding.get("display", "")
    if type(system) is type(code) is type(display) is str and len(system) + len(code) + len(display) <= _SHORT_MAX:
        keys.update(_entries_of_coding(name, system, code, display))
        return
    _keep_token(keys, name, _text(system), _text(code))
    _keep_text(keys, name, display)


@lru_cache(maxsize=4_096)  # many resources say the same codes
def _entries_of_coding(name: str, system: str, code: str, display: str) -> Keys:
    keys: Keys = {}
    _keep_token(keys, name, system, code)
    _keep_text(keys, name, display)
    return keys


def _keep_identifier(keys: Keys, name: str, identifier: dict[str, Any]) -> None:
    value = _text(identifier.get("value"))
    _keep_token(keys, name, _text(identifier.get("system")), value)
    kind = identifier.get("type")
    if type(kind) is not dict:
        return
    _keep_text(keys, name, kind.get("text"))
    for coding in _objects(kind.get("coding")):
        system, code = _text(coding.get("system")), _text(coding.get("code"))
        if system and code and value:
            keys[_typed_entry(name, system, code, cut(value))] = None


def _keep_contact(keys: Keys, name: str, contact: dict[str, Any]) -> None:
    _keep_token(keys, name, _text(contact.get("system")), _text(contact.get("value")).lower())


def _keep_text(keys: Keys, name: str, text: Any) -> None:
    # a code's text is searched by how it begins, so no more of it is kept than can be asked for
    folded = fold(text[: 4 * TEXT_MAX]) if type(text) is str else ""
    if folded:
        keys[f"{name}:text={folded[:TEXT_MAX]}"] = None


_OF_TYPE: dict[str, Callable[[Keys, str, dict[str, Any]], None]] = {
    "CodeableConcept": _keep_concept,
    "Coding": _keep_coding,
    "Identifier": _keep_identifier,
    "ContactPoint": _keep_contact,
}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if type(one) is dict] if type(value) is list else []


def _text(value: Any) -> str:
    return value if type(value) is str else ""


def _system(system: str) -> str:
    system = cut(system)
    if "\\" in system or "|" in system or ANY_SYSTEM in system:
        system = system.replace("\\", "\\\\").replace("|", "\\|").replace(ANY_SYSTEM, f"\\{ANY_SYSTEM}")
    return system


def _entry(name: str, system: str, code: str) -> str:
    return f"{name}={_system(system)}|{code}"


def _typed_entry(name: str, system: str, code: str, value: str) -> str:
    return f"{name}:of-type={_system(system)}|{_system(code)}|{value}"


# ---- what is asked ---------------------------------------------------------------------------------------------------


def parse(asked: Asked) -> Node:
    """What one value asks. Raises Rejected (400) when it says nothing, or nothing that this modifier could be asked of."""
    make = _MODIFIERS.get(asked.modifier)
    if make is None:
        raise not_a_modifier(asked, KIND.modifiers)
    _check_types(asked)
    return make(asked)


def parse_token(name: str, start: str, text: str) -> Node:
    """The token that one value of the parameter `name` asks for, among the entries that begin with `start` and a `=`."""
    return _wanted(start, *_read(name, text))


def _read(name: str, text: str) -> tuple[str | None, str]:
    """System (None: any; "": none) and code ("": any) of a value."""
    parts = split_escaped(text, "|")
    if len(parts) > 2:
        raise malformed(
            f"{name}={shown(text)} has more than one '|'; write [system]|[code], and a '|' inside either as '\\|'"
        )
    if not any(parts):
        raise malformed(f"{name} needs a value: [code], [system]|[code], |[code] or [system]|")
    for part in parts:
        check_length(name, part)
    return (None, parts[0]) if len(parts) == 1 else (parts[0], parts[1])


def _wanted(start: str, system: str | None, code: str) -> Node:
    if system is None:
        return Key((f"{start}={ANY_SYSTEM}{code}",))
    if not code:
        return beginning(f"{start}={_system(system)}|")
    return Key((_entry(start, system, code),))


def _equal(asked: Asked) -> Node:
    system, code = _read(asked.name, asked.text)
    start = asked.parameter.code
    if "telecom" in asked.parameter.expression or is_text(asked.parameter):
        code = code.lower()
    if system == SPECIAL_VALUES and code in ("true", "false"):
        return Key((_entry(start, system, code), _entry(start, "", code)))
    if system == MIME_SYSTEM and is_mime(asked.parameter):
        system = ""  # it is every one's, so none is kept
    return _wanted(start, system, code)


def _in_text(asked: Asked) -> Node:
    text = unescape(asked.text)
    check_length(asked.name, text, TEXT_MAX)
    folded = fold(text)
    if not folded:
        raise malformed(f"{asked.name} needs a text to look for, with a letter or a digit in it.")
    check_length(asked.name, folded, TEXT_MAX)
    return beginning(f"{asked.parameter.code}:text={folded}")


def _of_type(asked: Asked) -> Node:
    parts = split_escaped(asked.text, "|")
    if len(parts) != 3 or not all(parts):
        raise malformed(
            f"{asked.name}={shown(asked.text)} is not [system]|[code]|[value]: the system and code of the identifier's type, "
            "and the identifier's value; a '|' inside one of them is written '\\|'"
        )
    for part in parts:
        check_length(asked.name, part)
    return Key((_typed_entry(asked.parameter.code, *parts),))


def _in_value_set(asked: Asked) -> Node:
    value_set = unescape(asked.text)
    if not value_set:
        raise malformed(f"{asked.name} needs the url of a value set, or ValueSet/[id].")
    return _any_of(asked, asked.codes.members(asked.own.local(value_set)))


def _above(asked: Asked) -> Node:
    return _mime_above(asked) if is_mime(asked.parameter) else _related(asked, "above")


def _below(asked: Asked) -> Node:
    return _mime_below(asked) if is_mime(asked.parameter) else _related(asked, "below")


def _related(asked: Asked, relation: Literal["above", "below"]) -> Node:
    system, code = _read(asked.name, asked.text)
    if system is None:
        system = system_of(asked.parameter)
    if not system or not code:
        raise malformed(
            f"{asked.name}={shown(asked.text)} is not [system]|[code]: only of a code system is it known what is {relation}"
        )
    return _any_of(asked, ((system, code), *asked.codes.related(system, code, relation)))


def _any_of(asked: Asked, pairs: Iterable[tuple[str, str]]) -> Node:
    """Any of these codes of a system. Of an element that can say no system, and whose system is not known, the code counts."""
    codes = dict.fromkeys(pairs)
    if len(codes) > CODES_MAX:
        raise too_costly(f"{asked.name}={shown(asked.text)} stands for more than {CODES_MAX} codes.")
    start = asked.parameter.code
    keys = [_entry(start, system, code) for system, code in codes]
    if types_of(asked.parameter) == {"code"} and not system_of(asked.parameter):
        keys += [_entry(start, "", code) for _, code in codes]
    return Key(tuple(dict.fromkeys(keys))) if keys else NOTHING


# R4 §3.1.1.4.10: a MIME type is below what it begins with, up to its slash or its semicolon, as text/xml is below text.


def _mime(asked: Asked) -> str:
    system, code = _read(asked.name, asked.text)
    if not _MIME.fullmatch(code) or system not in (None, "", MIME_SYSTEM):
        raise malformed(
            f"{asked.name}={shown(asked.text)} is no MIME type, such as text/xml, or the first part of one, such as text"
        )
    return code.removesuffix("/")


def _mime_below(asked: Asked) -> Node:
    code = _mime(asked)
    start = f"{asked.parameter.code}={ANY_SYSTEM}{code}"
    return AnyOf((Key((start,)), beginning(f"{start}{';' if '/' in code else '/'}")))


def _mime_above(asked: Asked) -> Node:
    code = _mime(asked)
    wider = (code, code.partition(";")[0], code.partition("/")[0])
    return Key(tuple(dict.fromkeys(f"{asked.parameter.code}={ANY_SYSTEM}{one}" for one in wider)))


# ---- which modifier for which elements -------------------------------------------------------------------------------

_WITH_TEXT = frozenset({"CodeableConcept", "Coding", "Identifier"})
_OF_A_SYSTEM = frozenset({"CodeableConcept", "Coding", "code"})
_NEEDED: dict[str, tuple[frozenset[str], str]] = {
    "text": (_WITH_TEXT, "have a text: CodeableConcept, Coding and Identifier"),
    "of-type": (frozenset({"Identifier"}), "are an Identifier"),
    **dict.fromkeys(("in", "not-in", "above", "below"), (_OF_A_SYSTEM, "are a code of a code system")),
}


def _check_types(asked: Asked) -> None:
    """Raises Rejected for a modifier that none of the parameter's elements could keep: it would find nothing, silently."""
    needed, of_what = _NEEDED.get(asked.modifier, (frozenset(), ""))
    types = types_of(asked.parameter)
    if needed and types and not types & needed:
        listed = " or ".join(sorted(types))
        raise unsupported(
            f"{asked.name}: ':{asked.modifier}' is for elements that {of_what}; {asked.parameter.code} is of the type {listed}."
        )


_MODIFIERS: dict[str, Callable[[Asked], Node]] = {
    "": _equal,
    "not": lambda asked: Not(_equal(asked)),
    "text": _in_text,
    "in": _in_value_set,
    "not-in": lambda asked: Not(_in_value_set(asked)),
    "above": _above,
    "below": _below,
    "of-type": _of_type,
}

KIND = Kind(modifiers=tuple(one for one in _MODIFIERS if one), parse=parse, index=index, sort="keys")
