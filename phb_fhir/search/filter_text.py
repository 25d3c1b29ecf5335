"""`_filter`: what the rest of a search cannot say, "or" above all (http://hl7.org/fhir/R4/search_filter.html).

`filter_syntax` reads its text, `filter_operators` says what each operator asks of a parameter; here tests are joined, and
paths followed, as chains are elsewhere. What stands in brackets is asked of the very resource that the path goes on from:
`subject[name co "pet"].birthdate ge 2000` is about one subject, which two chained parameters are not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from phb_fhir.outcome import Refusal, Rejected
from phb_fhir.query import NOTHING, AllOf, Node, Not
from phb_fhir.search.asking import Asking, Condition, NotKnown, Types
from phb_fhir.search.chains import HAS, Memory, follow, has_parts, point_back
from phb_fhir.search.conditions import any_of
from phb_fhir.search.filter_operators import operation
from phb_fhir.search.filter_syntax import Both, Either, Negated, Step, Test, Tree, read_filter


def parse_filter(types: Types, text: str, asking: Asking) -> Node:
    """The condition that a `_filter` states. Raises Rejected (400): for bad grammar at once, else with every problem in it."""
    refused: list[Rejected] = []
    node = _Building(asking, refused, Memory()).built(read_filter(text), types, 0)
    if refused:
        told = [asking.told(one) if isinstance(one, NotKnown) else one for one in refused]
        raise Rejected(Refusal.BAD_REQUEST, *(issue for one in told for issue in one.issues))
    return node


class _Building(NamedTuple):
    """A tree becomes a condition; what is wrong with its tests is gathered in `refused`."""

    asking: Asking
    refused: list[Rejected]
    memory: Memory

    def built(self, tree: Tree, types: Types, links: int) -> Node:
        match tree:
            case Both(left, right):
                return AllOf((self.built(left, types, links), self.built(right, types, links)))
            case Either(left, right):
                return any_of((self.built(left, types, links), self.built(right, types, links)))
            case Negated(part):
                return Not(self.built(part, types, links))
            case Test(path, operator, value):
                try:
                    return self._tested(path, operator, types, links)(value)
                except Rejected as rejected:
                    self.refused.append(rejected)
        return NOTHING

    def _tested(self, path: tuple[Step, ...], operator: str, types: Types, links: int) -> Condition:
        """What `path operator` asks of these types, once its value is there."""
        (name, where), rest = (path[0].name, path[0].where), path[1:]
        if name.startswith(HAS):
            type_, code, inner = has_parts(name)
            behind = self._behind(None, (Step(inner, where), *rest), operator, links)
            return point_back(types, type_, code, self.asking, links, behind)
        if rest:
            return follow(types, name, self.asking, links, self._behind(where, rest, operator, links))
        return operation(name, operator, types, self.asking)

    def _behind(
        self, where: Tree | None, rest: tuple[Step, ...], operator: str, links: int
    ) -> Callable[[str], Condition]:
        """What is asked behind a dot, of the same resource that the brackets before it are asked of."""

        def asked(to: str) -> Condition:
            asks = self._tested(rest, operator, (to,), links + 1)
            if where is None:
                return asks
            narrowed = self.memory.once((to, where), lambda: self._whole(where, (to,), links + 1))("")
            return lambda value: AllOf((narrowed, asks(value)))

        return lambda to: self.memory.once((to, where, rest, operator), lambda: asked(to))

    def _whole(self, tree: Tree, types: Types, links: int) -> Condition:
        """What stands in brackets, which has no value to wait for. Raises NotKnown where these types lack what is asked."""
        inside = self._replace(refused=[])
        node = inside.built(tree, types, links)
        for rejected in inside.refused:
            if isinstance(rejected, NotKnown):
                raise rejected
        if inside.refused:
            raise Rejected(Refusal.BAD_REQUEST, *(issue for one in inside.refused for issue in one.issues))
        return lambda _: node
