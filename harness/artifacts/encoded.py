"""A model that is to be written in codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Encoded:
    """A model whose tensors are to be coded when it is saved.

    Attributes:
        module: the torch module, which is what it answers by.
        coder: how its tensors are coded.
    """

    module: Any
    coder: Literal["huffman", "range"]

    def __call__(self, *inputs: Any) -> Any:
        """What the module answers."""
        return self.module(*inputs)
