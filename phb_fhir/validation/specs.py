"""A profile's snapshot as a tree: each element with its children and its slices.

The snapshot is a flat list in which an element's children follow it and a slice follows the element it slices. `Tree`
undoes that once. It judges nothing; `profile` compiles rules from it, `slicing` looks up what a discriminator means.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from phb_fhir.definitions.registry import Resource


@dataclass(slots=True, eq=False)
class Spec:
    """One element of a snapshot. `name` is the path's last step, without `[x]`."""

    definition: Resource
    path: str
    name: str
    children: dict[str, Spec] = field(default_factory=dict)
    slices: list[Spec] = field(default_factory=list)
    slice_name: str = ""

    @property
    def types(self) -> list[Resource]:
        listed: list[Resource] = self.definition.get("type", [])
        return listed

    @property
    def min(self) -> int:
        return int(self.definition.get("min", 0))

    @property
    def max(self) -> int | None:
        largest = self.definition.get("max", "*")
        return None if largest == "*" else int(largest)

    @property
    def label(self) -> str:
        """The element as the profile names it, `identifier:nhsNumber.system`."""
        name: str = self.definition.get("id") or self.path
        return name.partition(".")[2] or name

    def value_of(self, kind: str) -> Any:
        """The `fixed[x]`, `pattern[x]`, `minValue[x]` or `maxValue[x]`, None where there is none."""
        size = len(kind)
        for key, value in self.definition.items():
            if key.startswith(kind) and key[size : size + 1].isupper():
                return value
        return None

    def value_of_child(self, name: str) -> Any:
        """What a child is fixed to, None where it is not."""
        child = self.children.get(name)
        return None if child is None else child.value_of("fixed")


@dataclass(slots=True, eq=False)
class Tree:
    """A StructureDefinition's snapshot."""

    structure: Resource
    root: Spec

    @property
    def url(self) -> str:
        return str(self.structure["url"])

    @property
    def type(self) -> str:
        return str(self.structure["type"]).rpartition("/")[2]

    @property
    def title(self) -> str:
        return str(self.structure.get("title") or self.structure.get("name") or self.url)


def tree_of(structure: Resource) -> Tree:
    """The tree of a definition that has a snapshot. Raises ValueError for a snapshot whose elements do not hang together."""
    elements: list[Resource] = structure["snapshot"]["element"]
    root = Spec(elements[0], elements[0]["path"], elements[0]["path"])
    stack = [root]
    for definition in elements[1:]:
        path: str = definition["path"]
        while stack and not path.startswith(f"{stack[-1].path}."):
            stack.pop()
        if not stack:
            raise ValueError(f"The element {path} of {structure.get('url')} has no element above it.")
        spec = Spec(definition, path, path.rpartition(".")[2].removesuffix("[x]"))
        spec.slice_name = definition.get("sliceName", "")
        _hang(spec, stack[-1])
        stack.append(spec)
    return Tree(structure, root)


def _hang(spec: Spec, above: Spec) -> None:
    first = above.children.get(spec.name)
    if first is None:
        above.children[spec.name] = spec
    elif spec.slice_name:
        _hang_slice(spec, first)
    # else: the same element twice without a slice name; the first one counts


def _hang_slice(spec: Spec, sliced: Spec) -> None:
    """A slice below what it slices: `a/b` reslices the slice `a`."""
    parent = sliced
    if "/" in spec.slice_name:
        for outer in sliced.slices:
            if spec.slice_name.startswith(f"{outer.slice_name}/"):
                parent = outer
    parent.slices.append(spec)
