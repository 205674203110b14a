"""LLM.int8() by bitsandbytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.methods.base import METHODS
from harness.methods.quantization.bitsandbytes import Bitsandbytes

if TYPE_CHECKING:
    from torch import nn


@METHODS.register
class BnbInt8(Bitsandbytes):
    """Multiply int8 weights with int8 activations in linear layers; columns with outliers are multiplied in float.

    Weights have a scale a row, activations one a token. Embeddings, and an output layer tied to one, stay in float:
    `embedding-quantization` is for them. On a CPU without AVX-512 bitsandbytes widens the integers and gains no time.
    Its operators cannot be traced: `deploy: {runtime: transformers}` saves them, and `torch` does not.
    T. Dettmers et al., "LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale", 2022, section 3.
    """

    method: Literal["bnb-int8"] = "bnb-int8"
    also: ClassVar[Mapping[str, str]] = {"llm-int8": ""}
    threshold: float = Field(
        default=6.0, ge=0, description="input columns with a value as large as this stay in float; 0: none"
    )

    def layer(self, layer: nn.Linear) -> nn.Module:
        """The layer in int8."""
        from harness.artifacts.bitsandbytes_layers import int8_linear

        return int8_linear(layer, self.threshold)
