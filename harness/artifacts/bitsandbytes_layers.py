"""Linear layers that run on bitsandbytes' operators, their tensors laid open: no pickled state, no class of theirs.

The operators are called themselves: the library's own layers log a warning a call, and hide half of what they store.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from harness.registry import Options

if TYPE_CHECKING:
    import torch
    from torch import nn

# Scales that share a range where they are themselves quantized; the library's operators know no other number.
NESTED = 256
Compute = Literal["float32", "bfloat16", "float16"]


class BnbInt8Linear(Options):
    """Weights and activations in int8, a scale a row; input columns with an outlier are multiplied in float."""

    kind: Literal["bnb-int8-linear"] = "bnb-int8-linear"
    inputs: int = Field(ge=1)
    outputs: int = Field(ge=1)
    bias: bool
    threshold: float = Field(ge=0)

    def build(self, layer: nn.Module | None = None) -> nn.Module:
        """The layer, its tensors to be filled."""
        made: nn.Module = _modules()["int8"](self).eval()
        return made


class Bnb4bitLinear(Options):
    """Weights in the 4-bit codes NF4 or FP4, a scale a block; widened at every call."""

    kind: Literal["bnb-4bit-linear"] = "bnb-4bit-linear"
    inputs: int = Field(ge=1)
    outputs: int = Field(ge=1)
    bias: bool
    code: Literal["nf4", "fp4"]
    block: int = Field(ge=32)
    nested: bool
    compute: Compute

    def build(self, layer: nn.Module | None = None) -> nn.Module:
        """The layer, its tensors to be filled."""
        made: nn.Module = _modules()["4bit"](self).eval()
        return made


def int8_linear(layer: nn.Linear, threshold: float) -> nn.Module:
    """A linear layer as int8.

    T. Dettmers et al., "LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale", 2022, section 3.
    """
    import torch
    from bitsandbytes.functional import int8_vectorwise_quant

    described = BnbInt8Linear(
        inputs=layer.in_features, outputs=layer.out_features, bias=layer.bias is not None, threshold=threshold
    )
    made: Any = described.build()
    with torch.no_grad():
        codes, scales, _ = int8_vectorwise_quant(layer.weight.detach().half())
        made.codes8.copy_(codes)
        made.scales.copy_(scales)
        made.bias = layer.bias
    done: nn.Module = made
    return done


def four_bit_linear(
    layer: nn.Linear, code: Literal["nf4", "fp4"], block: int, nested: bool, compute: Compute
) -> nn.Module:
    """A linear layer as 4-bit codes.

    T. Dettmers et al., "QLoRA: Efficient Finetuning of Quantized LLMs", 2023, section 3.
    """
    import torch
    from bitsandbytes.functional import quantize_4bit

    described = Bnb4bitLinear(
        inputs=layer.in_features, outputs=layer.out_features, bias=layer.bias is not None,
        code=code, block=block, nested=nested, compute=compute,
    )  # fmt: skip
    made: Any = described.build()
    with torch.no_grad():
        codes, state = quantize_4bit(
            layer.weight.detach(), blocksize=block, compress_statistics=nested, quant_type=code
        )
        made.codes4.copy_(codes.view(made.codes4.shape))
        made.scales.copy_(state.absmax)
        if nested:
            made.nested_scales.copy_(state.state2.absmax)
            made.nested_table.copy_(state.state2.code)
            made.offset.copy_(state.offset)
        made.bias = layer.bias
    done: nn.Module = made
    return done


@cache
def _modules() -> dict[str, Any]:
    """The classes, made when torch is first needed."""
    # Registers the operators, which a layer that was read from a file needs too.
    import bitsandbytes
    import torch
    from torch import nn
    from torch.nn.functional import linear

    assert bitsandbytes.__name__
    operators = torch.ops.bitsandbytes

    def empty_bias(outputs: int, wanted: bool) -> nn.Parameter | None:
        return nn.Parameter(torch.zeros(outputs)) if wanted else None

    def fixed(*shape: int, dtype: torch.dtype) -> nn.Parameter:
        return nn.Parameter(torch.zeros(*shape, dtype=dtype), requires_grad=False)

    class Int8Linear(nn.Module):
        scales: torch.Tensor

        def __init__(self, description: BnbInt8Linear) -> None:
            super().__init__()
            self.description = description
            self.in_features, self.out_features = description.inputs, description.outputs
            self.codes8 = fixed(description.outputs, description.inputs, dtype=torch.int8)
            self.register_buffer("scales", torch.zeros(description.outputs))
            self.bias = empty_bias(description.outputs, description.bias)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if torch.is_grad_enabled() and x.requires_grad:
                # The operators have no slope; the library itself widens the weights to train through them.
                return linear(x, (self.codes8 * (self.scales / 127).unsqueeze(1)).to(x.dtype), self.bias)
            flat = x.reshape(-1, x.shape[-1])
            codes, scales, outliers = operators.int8_vectorwise_quant(flat.half(), self.description.threshold)
            if self.description.threshold > 0:
                out, _ = operators.int8_mixed_scaled_mm(
                    flat, codes, self.codes8, scales, self.scales, outliers, self.bias
                )
            else:
                out = operators.int8_scaled_mm(
                    codes, self.codes8, scales, self.scales, bias=self.bias, dtype=flat.dtype
                )
            answer: torch.Tensor = out.reshape(*x.shape[:-1], self.out_features)
            return answer

    class FourBitLinear(nn.Module):
        def __init__(self, description: Bnb4bitLinear) -> None:
            super().__init__()
            self.description = description
            self.in_features, self.out_features = description.inputs, description.outputs
            elements = description.inputs * description.outputs
            blocks = -(-elements // description.block)
            # Whole rows where they fill bytes, so that the shape tells the layer's.
            shape = (
                (description.outputs, description.inputs // 2)
                if description.inputs % 2 == 0
                else (-(-elements // 2), 1)
            )
            self.codes4 = fixed(*shape, dtype=torch.uint8)
            self.register_buffer("scales", torch.zeros(blocks, dtype=torch.uint8 if description.nested else None))
            if description.nested:
                self.register_buffer("nested_scales", torch.zeros(-(-blocks // NESTED)))
                self.register_buffer("nested_table", torch.zeros(256))
                self.register_buffer("offset", torch.zeros(()))
            self.bias = empty_bias(description.outputs, description.bias)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            told = self.description
            scales = self.scales
            if told.nested:
                wide = operators.dequantize_blockwise(
                    scales, self.nested_scales, self.nested_table, NESTED, torch.float32
                )
                scales = wide + self.offset
            compute = getattr(torch, told.compute)
            # Blocks run on from row to row. Where a row is no whole number of them, the library's kernel for AVX-512
            # (0.50.2) takes some of a row's scales from its neighbours: as one long row they are right.
            whole = (told.outputs, told.inputs)
            flat = whole if told.inputs % told.block == 0 else (told.outputs * told.inputs,)
            weight = operators.dequantize_4bit(
                self.codes4.view(-1, 1), scales, told.block, told.code, flat, compute
            ).view(whole)
            bias = None if self.bias is None else self.bias.to(compute)
            return linear(x.to(compute), weight, bias).to(x.dtype)

    return {"int8": Int8Linear, "4bit": FourBitLinear}
