"""What an artifact consists of, counted on the file that was written and reloaded.

Every method is held to it: a step named "int8" that left every weight in float32 is contradicted by these counts.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field


class Role(StrEnum):
    """What an operator does with a stored tensor: a runtime says it, and steps need not know its operators' names."""

    MULTIPLIED = "multiplied"  # by a linear layer, a convolution or attention
    CONVOLVED = "convolved"  # by a convolution: no linear layer, whatever its axes
    LOOKED_UP = "looked up"  # row by row, as an embedding
    INDEXED = "indexed"  # row by row too, where no operator says that it is an embedding
    STACKED = "stacked"  # several matrices: one of them is taken, or all of them multiply


class TensorFact(BaseModel):
    """One stored tensor."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    dtype: str = Field(description="as stored: float32, float16, bfloat16, int8, …")
    shape: tuple[int, ...]
    zeros: int = Field(description="weights equal to zero (for quantized tensors: to the zero point)")
    weights: int | None = Field(
        default=None, description="how many weights it stands for, where that is not one an element: packed codes"
    )
    weight: bool = Field(default=True, description="a parameter, not a buffer such as a running mean")
    distinct: int | None = Field(
        default=None,
        description="different values other than zero (of quantized tensors: codes); None where they are many, or were "
        "not counted",
    )
    used_by: tuple[str, ...] = Field(
        default=(), description="the operators that it is an operand of, as `operators` names them; empty where unknown"
    )
    # Steps are held to it where the artifact is read; a report tells the operators.
    roles: tuple[Role, ...] | None = Field(
        default=None, exclude=True, description="what these operators do with it; None where the runtime does not tell"
    )

    @property
    def elements(self) -> int:
        """How many elements the tensor holds."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def stands_for(self) -> int:
        """How many weights."""
        return self.elements if self.weights is None else self.weights

    @property
    def columns(self) -> int:
        """Weights a row along the second axis; of codes all that follow the first, for there it is bytes."""
        return self.shape[1] if self.weights is None else self.weights // self.shape[0]

    @property
    def matrix(self) -> bool:
        """Whether it is a weight of a linear, convolution or embedding layer: two axes or more."""
        return self.weight and len(self.shape) >= 2

    def plays(self, role: Role) -> bool:
        """Whether an operator does this with it; not where the runtime does not tell."""
        return role in (self.roles or ())


class Evidence(BaseModel):
    """Counts over one reloaded artifact.

    Attributes:
        operators: operator name → occurrences in the graph.
        tensors: every stored tensor.
        kernels: how operators are really executed, where the runtime tells (for example ``i8: 52``).
        encodings: weight-matrix elements by how the file keeps them (raw, float16, huffman, range), where its format
            has several ways.
        notes: what else a reader must know of the artifact, as clauses.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    operators: dict[str, int]
    tensors: tuple[TensorFact, ...]
    kernels: dict[str, int] = Field(default_factory=dict)
    encodings: dict[str, int] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def dtypes(self) -> dict[str, int]:
        """Elements of weight matrices by stored type."""
        counts: Counter[str] = Counter()
        for tensor in self.matrices:
            counts[tensor.dtype] += tensor.elements
        return dict(counts)

    @property
    def matrices(self) -> list[TensorFact]:
        """The weights of linear, convolution and embedding layers."""
        return [tensor for tensor in self.tensors if tensor.matrix]

    @property
    def parameters(self) -> int:
        """Weights of whatever width, biases included and buffers not."""
        return sum(tensor.stands_for for tensor in self.tensors if tensor.weight)

    @property
    def sparsity(self) -> float:
        """Share of zeros among the weights of weight matrices."""
        total = sum(tensor.stands_for for tensor in self.matrices)
        return sum(tensor.zeros for tensor in self.matrices) / total if total else 0.0

    def share(self, *dtypes: str) -> float:
        """Share of weight-matrix elements stored in one of these types."""
        total = sum(self.dtypes.values())
        return sum(self.dtypes.get(dtype, 0) for dtype in dtypes) / total if total else 0.0

    def summary(self) -> str:
        """One line for the report."""
        stored = ", ".join(f"{count:,} {dtype}" for dtype, count in sorted(self.dtypes.items(), key=lambda x: -x[1]))
        counted = f"{self.parameters:,} parameters ({stored}), {self.sparsity:.1%} zeros in weight matrices"
        kept = ", ".join(f"{count:,} {how}" for how, count in sorted(self.encodings.items()) if how != "raw")
        return "; ".join((counted, *([f"of weight matrices the file keeps {kept}"] if kept else ()), *self.notes))


# Codebooks hold fewer values than this; of a tensor that has more, how many does not matter.
MOST_DISTINCT = 4096


def count_distinct(array: np.ndarray[Any, Any]) -> int | None:
    """Different values other than zero; None where there are more than `MOST_DISTINCT`."""
    values = array[array != 0].ravel()
    # Sorting every weight of a large float model would take longer than loading it.
    few = values[:: max(1, len(values) // (4 * MOST_DISTINCT))]
    if len(np.unique(few)) > MOST_DISTINCT:
        return None
    found = len(np.unique(values))
    return found if found <= MOST_DISTINCT else None
