"""QLoRA: weights frozen in four bits, and corrections of low rank trained beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop
from harness.methods.batch_norm import reestimate
from harness.methods.layers import Names, below, chosen, in_float32, multiplied, weighted
from harness.methods.low_rank import nf4
from harness.methods.low_rank.lora import RECOVERY
from harness.methods.low_rank.sites import replace_layer
from harness.training import Training, train

if TYPE_CHECKING:
    import torch
    from torch import nn

CODES = "codes"


@METHODS.register
class Qlora(Method):
    """Store the weights of linear layers and convolutions in 4 bits, and train low-rank corrections beside them.

    Weights are coded in NF4, two codes a byte, with a scale for every block, the scales in 8 bits; the corrections stay
    in float32. The program decodes the weights when it is loaded: the file is smaller, and no product is faster.
    T. Dettmers, A. Pagnoni, A. Holtzman, L. Zettlemoyer, "QLoRA: Efficient Finetuning of Quantized LLMs", 2023,
    equations 5 and 6.
    """

    method: Literal["qlora"] = "qlora"
    also: ClassVar[Mapping[str, str]] = {"quantized-lora": ""}
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH_INT8}
    block: Literal[16, 32, 64, 128, 256] = Field(default=64, description="weights that share a scale")
    double_quantization: bool = Field(default=True, description="scales in 8 bits and not in 32")
    keep_float: Names = Field(default=(), description="layers, or modules with all their layers, to leave in float")
    rank: int = Field(default=8, ge=0, description="of each correction; 0: none, the control")
    alpha: float = Field(default=16.0, gt=0, description="corrections are scaled by alpha / rank")
    train: Training | None = Field(default=RECOVERY, description="how the corrections are trained; null: not at all")

    @property
    def undoes(self) -> frozenset[Trait]:
        """Values that weights share: each block has sixteen of its own. A correction fills zeros, too."""
        return frozenset({Trait.CODEBOOKS, Trait.ZEROS} if self.rank else {Trait.CODEBOOKS})

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Code the weights, then train the corrections."""
        import torch

        in_float32(subject.model, self.method)
        model: nn.Module = subject.model.eval()
        layers = _codable(model)
        kept = chosen("keep_float", self.keep_float, layers)
        generator = torch.Generator().manual_seed(workshop.seed)
        places = {name: layer for name, layer in layers.items() if name not in kept}
        if not places:
            raise MethodError("qlora: no linear or convolution layer is left to code")
        model.requires_grad_(False)
        for layer in places.values():
            model = replace_layer(model, layer, _coded(layer, self, generator))
        if self.train is not None and self.rank:
            split = workshop.training("qlora trains", ", or `train: null`")
            train(model, split, workshop.task, self.train, seed=workshop.seed, progress=workshop.progress)
            reestimate(model, split, batch=self.train.batch_for(workshop.task), seed=workshop.seed)
        return replace(subject, form=Form.TORCH_INT8, model=model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """No codes at all, or layers in float that were not to be kept."""
        coded = [one for one in after.tensors if one.name.endswith(f".{CODES}") and one.dtype == "uint8"]
        if not coded:
            return ["no layer stores its weights in 4-bit codes"]
        names = [one.name.removesuffix(f".{CODES}") for one in coded]
        left = [
            one.name
            for one in multiplied(before.tensors)
            if not below(one.name, self.keep_float) and not any(below(one.name, [name]) for name in names)
        ]
        if left:
            return [f"{len(left)} layers are not in 4-bit codes and were not to be kept: {', '.join(left[:3])}"]
        return []


def _codable(model: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    from torch import nn

    return {
        name: layer
        for name, (layer, _) in weighted(model).items()
        if type(layer) is nn.Linear or type(layer) is nn.Conv2d
    }


def _coded(layer: nn.Linear | nn.Conv2d, options: Qlora, generator: torch.Generator) -> nn.Module:
    """A layer whose weight is decoded at every call, with its correction."""
    import torch
    from torch import nn
    from torch.nn.functional import linear

    shape = tuple(layer.weight.shape)
    codes, scales = nf4.encode(layer.weight, options.block)
    rows, columns = shape[0], layer.weight[0].numel()
    rank = min(options.rank, rows, columns)

    class Coded(nn.Module):
        def __init__(self) -> None:
            super().__init__()

            def fixed(tensor: torch.Tensor) -> nn.Parameter:
                return nn.Parameter(tensor, requires_grad=False)

            self.codes = fixed(codes)
            if options.double_quantization:
                self.scales, self.least, self.step = map(fixed, nf4.encode_scales(scales))
            else:
                self.scales = fixed(scales)
            self.register_buffer("table", torch.tensor(nf4.values()))
            # The layer without its weight: what it does with one, and its bias.
            self.layer = layer
            del layer._parameters["weight"]
            if rank:
                bound = columns**-0.5
                self.a = nn.Parameter((torch.rand(rank, columns, generator=generator) * 2 - 1) * bound)
                self.b = nn.Parameter(torch.zeros(rows, rank))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scale = self.scales
            if options.double_quantization:
                scale = nf4.decode_scales(self.scales, self.least, self.step)  # type: ignore[assignment]
            weight = nf4.decode(self.codes, scale, self.table, shape)  # type: ignore[arg-type]
            if rank:
                weight = weight + (options.alpha / options.rank) * (self.b @ self.a).view(shape)
            inner: Any = self.layer
            if isinstance(inner, nn.Conv2d):
                out: torch.Tensor = inner._conv_forward(x, weight, inner.bias)
                return out
            return linear(x, weight, inner.bias)

    return Coded().eval()
