"""Where a key of a merged spec was written: in a case, in the file, or in one of its stems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from harness.errors import Problem
from harness.spec.reader import Document, Location, dotted


@dataclass(frozen=True)
class _Spot:
    """One document's say on a key path."""

    document: Document
    path: Location
    key: yaml.Node | None
    value: yaml.Node

    def child(self, step: str | int) -> _Spot | None:
        if isinstance(self.value, yaml.MappingNode):
            for key, value in self.value.value:
                if key.value == step:
                    return _Spot(self.document, (*self.path, step), key, value)
            # A list of one may be written without its brackets.
            return self if step == 0 else None
        elif isinstance(self.value, yaml.SequenceNode) and isinstance(step, int) and step < len(self.value.value):
            return _Spot(self.document, (*self.path, step), None, self.value.value[step])
        return None


@dataclass(frozen=True)
class Placed:
    """A fault with its place.

    Attributes:
        problem: as it is reported.
        in_case: whether the place is inside the case itself, and not in what all cases share.
        inherited: whether the key was written further off than the mapping that it stands in.
    """

    problem: Problem
    in_case: bool
    inherited: bool


def place(layers: Sequence[Document], case: str, at: Location, message: str, *, on_key: bool) -> Placed:
    """Find where a key path was written: the nearest document that has it, else the nearest that has its parent.

    Args:
        layers: the file and its stems, nearest first.
        case: name of the case; empty where there is none.
        at: key path in the merged spec.
        message: what is wrong there.
        on_key: point at the key and not at its value.
    """
    spots = _starts(layers, case)
    inherited = False
    found, rest = 0, at
    for step in at:
        below = [(index, child) for index, spot in enumerate(spots) if (child := spot.child(step)) is not None]
        if not below:
            break
        inherited = below[0][0] > 0 and found > 0
        spots = _merged([child for _, child in below])
        found += 1
        rest = at[found:]
    if found == 0 and at:
        # Something that nobody wrote is missing from the file and not from a case.
        spots = [spot for spot in spots if not spot.path]
    spot = spots[0]
    node = spot.key if spot.key is not None and (on_key or rest or _shows_no_value(spot.value)) else spot.value
    mark = node.start_mark
    path = dotted((*spot.path, *rest))
    problem = Problem(spot.document.shown, mark.line + 1, mark.column + 1, path, message)
    return Placed(problem, in_case=bool(case) and spot.path[:1] == ("cases",), inherited=inherited and not rest)


def _starts(layers: Sequence[Document], case: str) -> list[_Spot]:
    bodies = [_Spot(layer, (), None, layer.node) for layer in layers]
    if not case:
        return bodies
    cases = (body.child("cases") for body in bodies)
    named = [spot.child(case) for spot in cases if spot is not None]
    return [spot for spot in named if spot is not None] + bodies


def _merged(spots: list[_Spot]) -> list[_Spot]:
    """Those that show through: mappings merge down to the first that is none, anything else hides what is below."""
    for index, spot in enumerate(spots):
        if not isinstance(spot.value, yaml.MappingNode):
            return spots[: max(1, index)]
    return spots


def _shows_no_value(node: yaml.Node) -> bool:
    """Whether a value starts further down than its key, or is not there at all."""
    if isinstance(node, yaml.ScalarNode):
        return not node.value and not node.style
    return isinstance(node, yaml.CollectionNode) and not node.flow_style
