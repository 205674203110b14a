"""Quantization-aware training: the model is trained while its weights and activations are rounded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from harness.artifacts.quantized_engine import Engine, marked
from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop
from harness.methods.layers import Names, below, chosen, in_float32, multiplied, weighted
from harness.methods.pruning.zeros import kept_zero
from harness.methods.quantization.engine import active, quiet
from harness.methods.quantization.int8_static import Int8Static
from harness.training import Training, train

if TYPE_CHECKING:
    from torch import nn
    from torch.ao.quantization import QConfig, QConfigMapping

    from harness.data.base import Split

BATCH = 32


@METHODS.register
class Qat(Method):
    """Train with weights and activations rounded as they will be, then quantize to int8.

    Ranges start from calibration data. Towards the end they are fixed, and so are the statistics of batch
    normalization. Rounding passes gradients as if it were not there (the straight-through estimator). Weights of fewer
    than 8 bits are stored as int8 codes that take fewer values: the file is as large as with 8 bits until something
    packs the codes.
    B. Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
    2018, section 3; R. Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018,
    section 3.2; by torch.ao.quantization in FX graph mode.
    """

    method: Literal["qat"] = "qat"
    also: ClassVar[Mapping[str, str]] = {"quantization-aware-training": "", "fake-quantization": ""}
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH_INT8}
    needs_data: ClassVar[bool] = True

    bits: int = Field(default=8, ge=2, le=8, description="of a weight; activations have 8")
    eight_bits: Names = Field(
        default=(), description="layers, or modules with all their layers, whose weights have 8 bits all the same"
    )
    keep_float: Names = Field(default=(), description="layers, or modules with all their layers, to leave in float")
    per_channel: bool = Field(default=True, description="one weight scale an output channel, not one a layer")
    engine: Engine = Field(default="x86", description="kernels to quantize for and to run on")
    reduce_range: bool | None = Field(
        default=None,
        description="activations in 7 bits, so that 16-bit accumulators cannot overflow; unset: yes for x86 and fbgemm",
    )
    fixed_from: float = Field(
        default=0.5, ge=0, le=1, description="share of the steps after which ranges and statistics stay as they are"
    )
    train: Training | None = Field(
        default=Training(learning_rate=0.005),
        description="how the model is trained; null: not at all, the control: quantization after training",
    )

    @property
    def undoes(self) -> frozenset[Trait]:
        """Values that weights share."""
        return frozenset({Trait.CODEBOOKS})

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Place the rounding, calibrate, train, and convert."""
        import torch
        from torch.ao.quantization.quantize_fx import convert_fx, prepare_qat_fx

        calibration = workshop.calibration("qat calibrates")
        split = None if self.train is None else workshop.training("qat trains")
        in_float32(subject.model, self.method)
        mapping = self._mapping(subject.model)
        # Torch initializes layers at random before it fills them with the weights that were trained.
        with active(self.engine), quiet(), torch.random.fork_rng(devices=[]):
            try:
                prepared = prepare_qat_fx(subject.model.train(), mapping, subject.example)
            except torch.fx.proxy.TraceError as error:
                raise MethodError(f"qat cannot follow this model's control flow ({error})") from error
            workshop.progress(f"calibrating on {len(calibration)} samples")
            _calibrate(prepared, calibration)
            if self.train is not None and split is not None:
                steps = self.train.steps(len(split), workshop.task)
                train(
                    prepared, split, workshop.task, self.train, seed=workshop.seed, progress=workshop.progress,
                    after_step=_settling(prepared, round(self.fixed_from * steps)),
                )  # fmt: skip
            with torch.no_grad():
                converted = marked(convert_fx(prepared.eval()), self.engine)
        return replace(subject, form=Form.TORCH_INT8, model=converted)

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """Too few weights in int8, or layers with more codes than their bits have."""
        found = Int8Static(keep_float=self.keep_float).contradictions(before, after)
        most = 2 * _largest(self.bits)
        for one in multiplied(after.tensors):
            if "int" in one.dtype and not below(one.name, self.eight_bits) and (one.distinct or 0) > most:
                found.append(
                    f"{one.name} has {one.distinct} codes other than zero, and {self.bits} bits have at most {most}"
                )
        return found

    def _mapping(self, model: nn.Module) -> QConfigMapping:
        from torch.ao.quantization import get_default_qat_qconfig_mapping

        layers = weighted(model)
        # The default mapping also knows operators of fixed range (sigmoid) and those that stay in float.
        mapping = get_default_qat_qconfig_mapping(self.engine)
        mapping.set_global(self._config(self.bits))
        for name in chosen("eight_bits", self.eight_bits, layers):
            mapping.set_module_name(name, self._config(8))
        for name in chosen("keep_float", self.keep_float, layers):
            mapping.set_module_name(name, None)
        return mapping

    def _config(self, bits: int) -> QConfig:
        import torch
        from torch.ao.quantization import (
            FakeQuantize,
            MovingAverageMinMaxObserver,
            MovingAveragePerChannelMinMaxObserver,
            QConfig,
        )

        reduced = self.engine in ("x86", "fbgemm") if self.reduce_range is None else self.reduce_range
        # Symmetric about zero, so that codes after conversion are those of training and none falls outside. A moving
        # average that forgets at once gives the range that the weights have now.
        largest = _largest(bits)
        weight = FakeQuantize.with_args(  # type: ignore[no-untyped-call]
            observer=MovingAveragePerChannelMinMaxObserver if self.per_channel else MovingAverageMinMaxObserver,
            averaging_constant=1.0, quant_min=-largest, quant_max=largest, dtype=torch.qint8,
            qscheme=torch.per_channel_symmetric if self.per_channel else torch.per_tensor_symmetric,
        )  # fmt: skip
        activation = FakeQuantize.with_args(  # type: ignore[no-untyped-call]
            observer=MovingAverageMinMaxObserver, quant_min=0, quant_max=127 if reduced else 255, dtype=torch.quint8
        )
        return QConfig(activation=activation, weight=weight)  # type: ignore[no-untyped-call]


def _largest(bits: int) -> int:
    """The largest code of so many bits, where codes are as many below zero as above."""
    return (1 << bits - 1) - 1


def _calibrate(prepared: nn.Module, split: Split) -> None:
    """Give every activation the mean of its batches' ranges to start from, and switch rounding on."""
    import torch
    from torch.ao.quantization import disable_fake_quant, enable_fake_quant

    observers = [(one, one.averaging_constant) for one in _observers(prepared)]
    prepared.eval().apply(disable_fake_quant)
    with torch.no_grad():
        for index, batch in enumerate(split.unpadded(BATCH)):
            for observer, _ in observers:
                observer.averaging_constant = 1 / (index + 1)
            prepared(*batch.inputs)
    for observer, constant in observers:
        observer.averaging_constant = constant
    prepared.apply(enable_fake_quant)


def _observers(prepared: nn.Module) -> list[Any]:
    """What follows the range of an activation."""
    import torch
    from torch.ao.quantization import MovingAverageMinMaxObserver

    return [
        one for one in prepared.modules() if isinstance(one, MovingAverageMinMaxObserver) and one.dtype is torch.quint8
    ]


def _settling(prepared: nn.Module, last: int) -> Callable[[nn.Module], None]:
    """What holds zeros after every step, and fixes ranges and statistics after the last step that may move them."""
    from torch.ao.nn.intrinsic.qat import freeze_bn_stats
    from torch.ao.quantization import FakeQuantize

    observers = set(_observers(prepared))
    reset, taken = kept_zero(prepared), 0

    def settle(model: nn.Module) -> None:
        nonlocal taken
        reset(model)
        taken += 1
        if taken == max(1, last):
            model.apply(freeze_bn_stats)
            for one in model.modules():
                if isinstance(one, FakeQuantize) and one.activation_post_process in observers:
                    one.disable_observer()

    return settle
