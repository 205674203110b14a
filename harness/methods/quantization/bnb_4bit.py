"""4-bit floating-point codes by bitsandbytes: NF4 and FP4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.methods.base import METHODS
from harness.methods.quantization.bitsandbytes import Bitsandbytes

if TYPE_CHECKING:
    from torch import nn


class FourBit(Bitsandbytes):
    """Store the weights of linear layers in 4-bit codes with a scale a block; arithmetic stays in float."""

    code: ClassVar[Literal["nf4", "fp4"]]
    block: Literal[32, 64, 128, 256, 512] = Field(default=64, description="weights that share a scale")
    double_quantization: bool = Field(default=True, description="scales in 8 bits and not in 32")
    compute: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="type that weights are widened to, and that products are taken in"
    )

    def layer(self, layer: nn.Linear) -> nn.Module:
        """The layer in 4-bit codes."""
        from harness.artifacts.bitsandbytes_layers import four_bit_linear

        return four_bit_linear(layer, self.code, self.block, self.double_quantization, self.compute)


@METHODS.register
class BnbNf4(FourBit):
    """Store the weights of linear layers in NF4: sixteen values, as frequent as each other in normal weights.

    Weights are widened at every call: less to store, and no quicker. Embeddings, and an output layer tied to one, stay
    in float: `embedding-quantization` is for them. `lora` with `merge: false` trains corrections beside the codes.
    T. Dettmers et al., "QLoRA: Efficient Finetuning of Quantized LLMs", 2023, section 3.
    """

    method: Literal["bnb-nf4"] = "bnb-nf4"
    also: ClassVar[Mapping[str, str]] = {"nf4": "", "normal-float-4": ""}
    code: ClassVar[Literal["nf4", "fp4"]] = "nf4"


@METHODS.register
class BnbFp4(FourBit):
    """Store the weights of linear layers in FP4: a sign, two bits of exponent and one of mantissa.

    As `bnb-nf4`, and coarser: its values lie further apart where most weights are.
    T. Dettmers, L. Zettlemoyer, "The case for 4-bit precision: k-bit Inference Scaling Laws", 2023, section 2.
    """

    method: Literal["bnb-fp4"] = "bnb-fp4"
    also: ClassVar[Mapping[str, str]] = {"fp4": ""}
    code: ClassVar[Literal["nf4", "fp4"]] = "fp4"
