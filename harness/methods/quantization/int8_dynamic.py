"""Dynamic int8: weights in eight bits, activations rounded as they come."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from harness.artifacts.quantized_engine import Engine, marked
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop
from harness.methods.layers import in_float32
from harness.methods.quantization.engine import active

# The operators that are quantized, as the float artifact and the quantized one name them.
FLOAT = ("aten::linear", "aten::addmm", "aten::lstm", "aten::gru")


@METHODS.register
class Int8Dynamic(Method):
    """Store the weights of linear, LSTM and GRU layers in int8; scale activations by the range of each batch.

    Needs no calibration, and leaves convolutions as they are.
    PyTorch, "Dynamic Quantization" (torch.ao.quantization.quantize_dynamic).
    """

    method: Literal["int8-dynamic"] = "int8-dynamic"
    also: ClassVar[Mapping[str, str]] = {
        "ptq": "", "post-training-quantization": "", "dynamic-quantization": "", "dynamic": "", "int8": "",
    }  # fmt: skip
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH_INT8}
    per_channel: bool = Field(default=True, description="one weight scale an output channel, not one a layer")
    engine: Engine = Field(default="x86", description="kernels to quantize for and to run on")

    @property
    def undoes(self) -> frozenset[Trait]:
        """Values that weights share, where each row has a scale of its own."""
        return frozenset({Trait.CODEBOOKS}) if self.per_channel else frozenset()

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Quantize every linear and recurrent layer."""
        import torch
        from torch import nn
        from torch.ao.quantization import default_dynamic_qconfig, per_channel_dynamic_qconfig, quantize_dynamic

        in_float32(subject.model, self.method)
        # Recurrent layers have packed weights of one scale a layer only.
        linear = per_channel_dynamic_qconfig if self.per_channel else default_dynamic_qconfig
        layers = {nn.Linear: linear, nn.LSTM: default_dynamic_qconfig, nn.GRU: default_dynamic_qconfig}
        # Torch initializes layers at random before it fills them with quantized weights.
        with active(self.engine), warnings.catch_warnings(), torch.no_grad(), torch.random.fork_rng(devices=[]):
            warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated", DeprecationWarning)
            warnings.filterwarnings("ignore", ".*quantized tensor creation functions", UserWarning)
            model = quantize_dynamic(  # type: ignore[no-untyped-call]
                subject.model.eval(), layers, dtype=torch.qint8, inplace=True
            )
        return replace(subject, form=Form.TORCH_INT8, model=marked(model, self.engine))

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """No linear or recurrent layer at all, or one that still runs in float."""
        there = sum(before.operators.get(kind, 0) for kind in FLOAT)
        left = sum(after.operators.get(kind, 0) for kind in FLOAT)
        if after.share("int8") == 0:
            total = sum(after.dtypes.values())
            return [f"none of the {total:,} weight elements is int8: the model has {there} linear or recurrent layers"]
        return [f"{left} of {there} linear and recurrent layers still run in float"] if left else []
