"""Good resources, each changed in one place: what the differential tests hold three validators against.

A `Mutation` says what was done and where, so that a row of a table can speak of it. The kinds are the slips that happen
on the way between systems: something is dropped, stands twice, has another JSON type, another name, another place.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from phb_fhir.fhir import codec

Place = tuple[str | int, ...]  # keys and indexes from the root


@dataclass(frozen=True, slots=True)
class Mutation:
    """`resource` is a good one but for what `kind` did at `place`, where `before` stood and now `after` stands.

    `after` is None where nothing stands there any more, or where only the order is another.
    """

    resource: dict[str, Any]
    kind: str
    place: Place
    before: Any
    after: Any

    @property
    def path(self) -> str:
        """The place without its indexes: `Patient.name.family`."""
        return ".".join(
            [self.resource.get("resourceType", "?"), *(step for step in self.place if isinstance(step, str))]
        )


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """Every place below `value`, the root's resourceType left out: another type is another resource."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if (*here, key) == ("resourceType",):
            continue
        yield (*here, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*here, key))


def _drop(holder: Any, key: Any, _: Any) -> Any:
    del holder[key]


def _duplicate(holder: Any, key: Any, _: Any) -> Any:
    """An item of a list stands twice; anything else becomes a list of two."""
    if isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    else:
        holder[key] = [holder[key], copy.deepcopy(holder[key])]
    return holder[key]


def _retype(holder: Any, key: Any, to: Any) -> Any:
    holder[key] = to(holder[key]) if callable(to) else copy.deepcopy(to)
    return holder[key]


def _rename(holder: Any, key: Any, name: Any) -> Any:
    items = [(name(inner) if inner == key else inner, value) for inner, value in holder.items()]
    holder.clear()
    holder.update(items)


def _reorder(holder: Any, key: Any, _: Any) -> Any:
    value = holder[key]
    if isinstance(value, list):
        value.reverse()
    else:
        items = list(value.items())[::-1]
        value.clear()
        value.update(items)


@dataclass(frozen=True, slots=True)
class _Kind:
    fits: Callable[[Any, Any], bool]  # whether it may be done to this holder and key
    do: Callable[[Any, Any, Any], Any]
    choices: tuple[Any, ...] = (None,)


_RETYPED: tuple[Any, ...] = (
    *(1, 0, -1, 2**31, codec.Exact("1.50"), True, None, [], {}),
    *("", " ", "text", "two  blanks", "x" * 65, "a_b", "5", "true"),
    *(
        "2024",
        "2024-13",
        "2024-02-30",
        "2024-02-29T12:00",
        "2024-02-29T12:00:00",
        "2024-02-29T25:00:00Z",
        "12:00",
        "24:00:00",
    ),
    *("http://example.org/a b", "urn:oid:1.2", "urn:uuid:X", "<p>", "Patient/1", "#1"),
    lambda value: [value],
    lambda value: value[0] if isinstance(value, list) and value else [[value]],
    lambda value: codec.dumps(value).decode(),
    lambda value: {"extension": [value]},
)
_RENAMED = (
    lambda key: key + "s",
    lambda key: key[:-1] or "x",
    lambda key: "_" + key.removeprefix("_") if not key.startswith("_") else key[1:],
    lambda key: key.upper(),
    lambda _: "value",
    lambda _: "extension",
)


def _in_object(holder: Any, _: Any) -> bool:
    return isinstance(holder, dict)


KINDS: dict[str, _Kind] = {
    "drop": _Kind(lambda _, __: True, _drop),
    "duplicate": _Kind(lambda _, __: True, _duplicate),
    "retype": _Kind(lambda _, __: True, _retype, _RETYPED),
    "rename": _Kind(_in_object, _rename, _RENAMED),
    "reorder": _Kind(lambda holder, key: isinstance(holder[key], dict | list) and len(holder[key]) > 1, _reorder),
}


def mutate(good: dict[str, Any], kind: str, place: Place, choice: Any = None) -> Mutation | None:
    """`good` with one change; None where that changes nothing, or cannot be done there."""
    resource = copy.deepcopy(good)
    holder: Any = resource
    for step in place[:-1]:
        holder = holder[step]
    key = place[-1]
    if not KINDS[kind].fits(holder, key):
        return None
    before = copy.deepcopy(holder[key])
    after = KINDS[kind].do(holder, key, choice)
    if kind == "rename" and len(holder) < len(_holder(good, place)):
        return None  # the new name was there already
    return Mutation(resource, kind, place, before, copy.deepcopy(after))


def _holder(good: Any, place: Place) -> Any:
    for step in place[:-1]:
        good = good[step]
    return good


@st.composite
def mutations(draw: st.DrawFn, goods: list[dict[str, Any]]) -> Mutation:
    """One of these resources with one change."""
    good = draw(st.sampled_from(goods))
    place = draw(st.sampled_from(list(places(good))))
    kind = draw(st.sampled_from(sorted(KINDS)))
    made = mutate(good, kind, place, draw(st.sampled_from(KINDS[kind].choices)))
    return made or Mutation(good, "none", place, None, None)
