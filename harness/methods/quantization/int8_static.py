"""Static int8: weights and activations in eight bits, with ranges taken from calibration data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from harness.artifacts.quantized_engine import Engine, marked
from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop
from harness.methods.layers import Names, below, chosen, in_float32, multiplied, weighted
from harness.methods.quantization.engine import active, quiet

if TYPE_CHECKING:
    import torch
    from torch.ao.quantization import QConfigMapping

# Types whose every element takes eight bits.
EIGHT_BITS = ("int8", "uint8")
BATCH = 32


@METHODS.register
class Int8Static(Method):
    """Post-training static quantization to int8.

    A torch module is quantized in FX graph mode; an OpenVINO model by NNCF. `observer`, `per_channel`, `engine` and
    `reduce_range` are torch's; `preset`, `model_type`, `fast_bias_correction`, `smooth_quant_alpha` and `overflow_fix`
    are NNCF's.
    B. Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
    2018; R. Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018.
    """

    method: Literal["int8-static"] = "int8-static"
    also: ClassVar[Mapping[str, str]] = {
        "ptq": "", "post-training-quantization": "", "static-quantization": "", "static": "", "int8": "",
        "smoothquant": "model_type: transformer, smooth_quant_alpha: 0.5",
        "smooth-quant": "model_type: transformer, smooth_quant_alpha: 0.5",
    }  # fmt: skip
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH_INT8, Form.OPENVINO: Form.OPENVINO}
    needs_data: ClassVar[bool] = True
    only: ClassVar[Mapping[Form, tuple[str, ...]]] = {
        Form.TORCH: ("observer", "per_channel", "engine", "reduce_range"),
        Form.OPENVINO: ("preset", "model_type", "fast_bias_correction", "smooth_quant_alpha", "overflow_fix"),
    }

    keep_float: Names = Field(default=(), description="layers, or modules with all their layers, to leave in float")
    observer: Literal["minmax", "moving-average", "histogram"] = Field(
        default="histogram",
        description="how an activation's range is found (torch): its extremes, their moving average, or the range of "
        "least error over a histogram",
    )
    per_channel: bool = Field(default=True, description="one weight scale an output channel, not one a layer (torch)")
    engine: Engine = Field(default="x86", description="kernels to quantize for and to run on (torch)")
    reduce_range: bool | None = Field(
        default=None,
        description="activations in 7 bits, so that 16-bit accumulators cannot overflow (torch); unset: as torch does "
        "for the engine, which is yes for x86 and fbgemm",
    )
    preset: Literal["performance", "mixed"] = Field(
        default="performance", description="symmetric activations, or asymmetric where it pays (NNCF)"
    )
    model_type: Literal["transformer"] | None = Field(default=None, description="scheme for attention (NNCF)")
    fast_bias_correction: bool = Field(
        default=True, description="correct biases layer by layer, not by running the whole model for each (NNCF)"
    )
    smooth_quant_alpha: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="with `model_type: transformer`, how much of an activation's range moves into the weights (NNCF); "
        "unset: 0.95 for matrix products and nothing for convolutions",
    )
    overflow_fix: Literal["none", "first-layer", "all"] = Field(
        default="first-layer",
        description="layers whose weights get 7 bits, so that 16-bit sums cannot saturate on processors without VNNI "
        "(NNCF)",
    )

    @model_validator(mode="after")
    def _smooths(self) -> Int8Static:
        if self.smooth_quant_alpha is not None and self.model_type is None:
            raise ValueError(
                "smooth_quant_alpha is for `model_type: transformer`: NNCF smooths no other models, and would leave it "
                "out without a word"
            )
        return self

    @property
    def undoes(self) -> frozenset[Trait]:
        """Values that weights share: scales, and batch normalization that is folded in, differ from row to row."""
        return frozenset({Trait.CODEBOOKS})

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Calibrate on every calibration sample and quantize."""
        self._refuse_foreign(subject.form)
        if subject.form is Form.OPENVINO:
            from harness.methods.quantization.nncf import quantize

            return quantize(subject, workshop, self)
        return replace(subject, form=Form.TORCH_INT8, model=self._quantized(subject, workshop))

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """Too few weights in int8: none at all, or layers in float that were not to be kept."""
        total = sum(after.dtypes.values())
        if after.share(*EIGHT_BITS) == 0:
            return [f"none of the {total:,} weight elements is int8"]
        left = [
            one for one in multiplied(after.tensors) if "int" not in one.dtype and not below(one.name, self.keep_float)
        ]
        if left:
            elements = sum(one.elements for one in left)
            names = ", ".join(one.name.removesuffix(".weight") for one in left[:3]) + (", …" if len(left) > 3 else "")
            return [
                f"{elements:,} of {total:,} weight elements are not int8 and were not to be kept: {names}. Where they "
                f"are to stay in float, say so: `keep_float: [{names}]`"
            ]
        return []

    def _refuse_foreign(self, form: Form) -> None:
        if given := self.foreign(form):
            raise MethodError(
                f"{', '.join(given)} of int8-static cannot be set for a{'n' if form[0] in 'eO' else ''} {form}"
            )

    def _quantized(self, subject: Subject, workshop: Workshop) -> torch.nn.Module:
        import torch
        from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

        calibration = workshop.calibration("int8-static calibrates")
        in_float32(subject.model, self.method)
        kept = chosen("keep_float", self.keep_float, weighted(subject.model))
        workshop.progress(f"calibrating on {len(calibration)} samples")
        # Torch initializes layers at random before it fills them with quantized weights.
        with active(self.engine), quiet(), torch.no_grad(), torch.random.fork_rng(devices=[]):
            try:
                prepared = prepare_fx(subject.model.eval(), self._mapping(kept), subject.example)
            except torch.fx.proxy.TraceError as error:
                raise MethodError(
                    f"int8-static cannot follow this model's control flow ({error}); `runtime: openvino` quantizes "
                    "the traced graph instead"
                ) from error
            for batch in calibration.unpadded(BATCH):
                prepared(*batch.inputs)
            return marked(convert_fx(prepared), self.engine)

    def _mapping(self, kept: set[str]) -> QConfigMapping:
        import torch
        from torch.ao.quantization import (
            HistogramObserver,
            MinMaxObserver,
            MovingAverageMinMaxObserver,
            PerChannelMinMaxObserver,
            QConfig,
            get_default_qconfig_mapping,
        )

        observers: dict[str, Any] = {
            "minmax": MinMaxObserver,
            "moving-average": MovingAverageMinMaxObserver,
            "histogram": HistogramObserver,
        }
        reduced = self.engine in ("x86", "fbgemm") if self.reduce_range is None else self.reduce_range
        weight = (
            PerChannelMinMaxObserver.with_args(dtype=torch.qint8, qscheme=torch.per_channel_symmetric)
            if self.per_channel
            else MinMaxObserver.with_args(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric)
        )
        # The default mapping also knows operators of fixed range (sigmoid) and those that stay in float (layer norm).
        mapping = get_default_qconfig_mapping(self.engine)
        activation = observers[self.observer].with_args(reduce_range=reduced)
        mapping.set_global(QConfig(activation=activation, weight=weight))  # type: ignore[no-untyped-call]
        for name in kept:
            mapping.set_module_name(name, None)
        return mapping
