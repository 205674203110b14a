"""Head pruning: attention heads are removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from pydantic import Field

from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Workshop
from harness.methods.layers import Names, chosen
from harness.methods.pruning.curvature import differentiable, samples
from harness.methods.pruning.structural import hold_shapes, missing_removal, shapes
from harness.methods.pruning.zeros import finetune
from harness.training import Training

if TYPE_CHECKING:
    import torch
    from torch import nn


@METHODS.register
class HeadPruning(Method):
    """Remove the attention heads that the loss is least sensitive to, over all layers together.

    Sensitivity of head h: ``I_h = E_x |A_h(x)^T dL(x) / dA_h(x)|``, A_h its output, divided by the layer's norm of I.
    P. Michel, O. Levy, G. Neubig, "Are Sixteen Heads Really Better than One?", 2019, eq. 2. Attention is what has a
    `qkv` projection of queries, keys and values together, a `proj`, `num_heads` and `head_dim`, as timm's
    transformers do. Every layer keeps a head.
    """

    method: Literal["head-pruning"] = "head-pruning"
    also: ClassVar[Mapping[str, str]] = {
        "attention-head-pruning": "", "attention-pruning": "", "structured-pruning": "",
    }  # fmt: skip
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    needs_data: ClassVar[bool] = True
    ratio: float = Field(gt=0, lt=1, description="share of all heads to remove, rounded")
    importance: Literal["sensitivity", "l2", "random"] = Field(
        default="sensitivity",
        description="what a head is worth: the loss's sensitivity to it, the norm of its weights, or nothing (control)",
    )
    samples: int = Field(default=512, ge=1, description="training samples that sensitivity is taken on")
    keep: Names = Field(default=(), description="attention layers, or modules with all of theirs, to leave alone")
    finetune: Training | None = Field(default=None, description="train afterwards")

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Remove heads, check that the outputs have their shapes, and train if asked to."""
        import torch

        model: nn.Module = subject.model.eval()
        before = shapes(model, subject.example)
        layers = attentions(model)
        kept = chosen("keep", self.keep, layers)
        layers = {name: layer for name, layer in layers.items() if name not in kept}
        if not layers:
            raise MethodError(
                f"{self.method}: no attention with a `qkv` and a `proj` of its own is left; heads of "
                "torch.nn.MultiheadAttention cannot be removed, for its width is their number times their size"
            )
        worth = self._worth(model, layers, workshop)
        for name, heads in _weakest(worth, self.ratio).items():
            left = torch.tensor([head for head in range(layers[name].num_heads) if head not in heads])
            workshop.progress(f"{name} keeps {len(left)} of {layers[name].num_heads} heads")
            _keep(layers[name], left)
        hold_shapes(model, subject.example, before, self.method)
        if self.finetune is not None:
            finetune(model, self.finetune, workshop)
        return replace(subject, model=model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """No parameter fewer."""
        return missing_removal(before, after, "head", 0.0)

    def _worth(self, model: nn.Module, layers: Mapping[str, Attention], workshop: Workshop) -> dict[str, torch.Tensor]:
        import torch

        if self.importance == "sensitivity":
            return sensitivities(model, layers, workshop, self.samples)
        generator = torch.Generator().manual_seed(workshop.seed)
        worth = {}
        for name, layer in layers.items():
            read = layer.qkv.weight.detach().view(3, layer.num_heads, -1).square().sum((0, 2))
            written = layer.proj.weight.detach().view(-1, layer.num_heads, layer.head_dim).square().sum((0, 2))
            drawn = torch.rand(layer.num_heads, generator=generator)
            worth[name] = drawn if self.importance == "random" else read + written
        return worth


class Attention(Protocol):
    """Attention whose heads can be removed."""

    num_heads: int
    head_dim: int
    qkv: nn.Linear
    proj: nn.Linear


def attentions(model: nn.Module) -> dict[str, Attention]:
    """The attention layers by name, in the model's order."""
    from torch import nn

    found: dict[str, Attention] = {}
    for name, part in model.named_modules():
        qkv, proj = getattr(part, "qkv", None), getattr(part, "proj", None)
        heads, size = getattr(part, "num_heads", 0), getattr(part, "head_dim", 0)
        if not isinstance(qkv, nn.Linear) or not isinstance(proj, nn.Linear):
            continue
        # A gate or a norm between the heads and their projection would have to shrink as well.
        plain = getattr(part, "gate", None) is None and isinstance(getattr(part, "norm", nn.Identity()), nn.Identity)
        if plain and qkv.out_features == 3 * heads * size and proj.in_features == heads * size:
            found[name] = part
    return found


def sensitivities(
    model: nn.Module, layers: Mapping[str, Attention], workshop: Workshop, count: int
) -> dict[str, torch.Tensor]:
    """Michel et al.'s I_h of every head, each layer's scaled to norm one."""
    import torch

    total = {name: torch.zeros(layer.num_heads, dtype=torch.float64) for name, layer in layers.items()}
    with differentiable(model.parameters()), torch.enable_grad(), _before_projection(layers) as outputs:
        for batch in samples(workshop, count):
            outputs.clear()
            # The loss is a mean over the batch: times its size, a sample's slope is that of its own loss.
            loss = workshop.task.loss(model, batch) * len(batch.targets)
            slopes = torch.autograd.grad(loss, list(outputs.values()))
            for (name, output), slope in zip(outputs.items(), slopes, strict=True):
                products = (output * slope).detach().double()
                by_head = products.reshape(len(products), -1, layers[name].num_heads, layers[name].head_dim)
                total[name] += by_head.sum((1, 3)).abs().sum(0)
    return {name: one / one.norm().clamp(min=1e-30) for name, one in total.items()}


@contextmanager
def _before_projection(layers: Mapping[str, Attention]) -> Iterator[dict[str, torch.Tensor]]:
    """What the heads of each layer gave out in the last run, side by side, before the projection."""
    outputs: dict[str, torch.Tensor] = {}

    def note(name: str, given: tuple[torch.Tensor, ...]) -> None:
        outputs[name] = given[0]

    hooks = [
        layer.proj.register_forward_pre_hook(lambda _, given, name=name: note(name, given))
        for name, layer in layers.items()
    ]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _weakest(worth: Mapping[str, torch.Tensor], ratio: float) -> dict[str, set[int]]:
    """The heads to remove from each layer: the rounded share of least worth, though never a layer's last."""
    ranked = sorted((float(one), name, head) for name, all_ in worth.items() for head, one in enumerate(all_))
    gone: dict[str, set[int]] = {name: set() for name in worth}
    wanted = round(ratio * len(ranked))
    for _, name, head in ranked:
        if sum(map(len, gone.values())) == wanted:
            break
        if len(gone[name]) < len(worth[name]) - 1:
            gone[name].add(head)
    return {name: heads for name, heads in gone.items() if heads}


def _keep(layer: Attention, heads: torch.Tensor) -> None:
    """Shrink both projections to these heads."""
    import torch

    size = layer.head_dim
    columns = (heads[:, None] * size + torch.arange(size)).flatten()
    rows = torch.cat([columns + part * layer.num_heads * size for part in range(3)])
    layer.qkv.weight = _part(layer.qkv.weight, rows, 0)
    if layer.qkv.bias is not None:
        layer.qkv.bias = _part(layer.qkv.bias, rows, 0)
    layer.proj.weight = _part(layer.proj.weight, columns, 1)
    layer.qkv.out_features, layer.proj.in_features = len(rows), len(columns)
    layer.num_heads = len(heads)
    for name in ("attn_dim", "all_head_dim"):
        if hasattr(layer, name):
            setattr(layer, name, len(columns))


def _part(parameter: torch.Tensor, chosen: torch.Tensor, axis: int) -> nn.Parameter:
    from torch import nn

    return nn.Parameter(parameter.detach().index_select(axis, chosen).clone(), requires_grad=parameter.requires_grad)
