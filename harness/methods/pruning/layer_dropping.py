"""Layer dropping: whole residual blocks are removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Workshop
from harness.methods.layers import Names
from harness.methods.pruning.structural import hold_shapes, missing_removal, shapes
from harness.methods.pruning.zeros import finetune
from harness.training import Training

if TYPE_CHECKING:
    import torch
    from torch import nn


@METHODS.register
class LayerDropping(Method):
    """Remove whole blocks: members of a sequence of layers that give back what they take in shape.

    By default those that change their input least: least ``1 - cos(x, block(x))`` over calibration data, measured anew
    after each removal. A. Fan, E. Grave, A. Joulin, "Reducing Transformer Depth on Demand with Structured Dropout",
    2020; X. Men et al., "ShortGPT: Layers in Large Language Models are More Redundant Than You Expect", 2024, eq. 1
    (block influence).
    """

    method: Literal["layer-dropping"] = "layer-dropping"
    also: ClassVar[Mapping[str, str]] = {"layer-drop": "", "layerdrop": "", "depth-pruning": "", "block-pruning": ""}
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    needs_data: ClassVar[bool] = True
    count: int | None = Field(default=None, ge=1, description="how many blocks to remove")
    blocks: Names = Field(default=(), description="instead: which")
    keep: Names = Field(default=(), description="blocks that stay")
    finetune: Training | None = Field(default=None, description="train afterwards")

    @model_validator(mode="after")
    def _one_way(self) -> LayerDropping:
        if (self.count is None) == (not self.blocks):
            raise ValueError("give either `count` or `blocks`")
        return self

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Remove blocks one by one, check that the outputs have their shapes, and train if asked to."""
        model: nn.Module = subject.model.eval()
        before = shapes(model, subject.example)
        for name in self.blocks:
            influence = self._influences(subject, workshop)
            if name not in influence:
                raise MethodError(
                    f"blocks: {name!r} is no block that can be removed; these can: {', '.join(influence) or 'none'}"
                )
            _remove(model, name)
        for _ in range(self.count or 0):
            influence = self._influences(subject, workshop)
            if not influence:
                raise MethodError(f"{self.method}: no block is left that gives back the shape that it takes")
            name = min(influence, key=lambda one: influence[one])
            workshop.progress(f"removing {name}, of influence {influence[name]:.3g}")
            _remove(model, name)
        hold_shapes(model, subject.example, before, self.method)
        if self.finetune is not None:
            finetune(model, self.finetune, workshop)
        return replace(subject, model=model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """No parameter fewer, or no weight matrix fewer."""
        if len(after.matrices) < len(before.matrices) and after.parameters < before.parameters:
            return []
        return missing_removal(before, after, "block", 0.0) or [
            f"no layer is gone: {len(after.matrices)} weight matrices, {len(before.matrices)} before"
        ]

    def _influences(self, subject: Subject, workshop: Workshop) -> dict[str, float]:
        """How much each removable block changes what passes through it."""
        calibration = workshop.calibration(f"{self.method} calibrates")
        found = influences(subject.model, [batch.inputs for batch in calibration.batches(64)])
        return {name: one for name, one in found.items() if name not in self.keep}


def influences(model: nn.Module, batches: list[tuple[torch.Tensor, ...]]) -> dict[str, float]:
    """``1 - mean cos(x, block(x))`` of every removable block, each sample one vector.

    Removable are members of `nn.Sequential` or `nn.ModuleList` that consist of layers themselves, have weight matrices,
    and map one tensor to one of the same shape. Of blocks within blocks, the outer ones.
    """
    import torch
    from torch import nn
    from torch.nn.functional import cosine_similarity

    sums: dict[str, float] = {}
    seen: dict[str, int] = {}
    unfit: set[str] = set()

    def note(name: str, given: tuple[Any, ...], answer: Any) -> None:
        tensors = [one for one in given if isinstance(one, torch.Tensor)]
        if len(tensors) != 1 or not isinstance(answer, torch.Tensor) or answer.shape != tensors[0].shape:
            unfit.add(name)
            return
        cosine = cosine_similarity(tensors[0].flatten(1).double(), answer.flatten(1).double(), dim=1)
        sums[name] = sums.get(name, 0.0) + float((1 - cosine).sum())
        seen[name] = seen.get(name, 0) + len(answer)

    candidates = {
        f"{place}.{key}" if place else key: part
        for place, holder in model.named_modules()
        if isinstance(holder, nn.Sequential | nn.ModuleList)
        for key, part in holder.named_children()
        if any(True for _ in part.children())
        and any(one.ndim > 1 for one in part.parameters())
        and not isinstance(part, nn.Sequential | nn.ModuleList)
    }
    hooks = [
        part.register_forward_hook(lambda _, given, answer, name=name: note(name, given, answer))
        for name, part in candidates.items()
    ]
    try:
        with torch.no_grad():
            for inputs in batches:
                model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    fit = [name for name in sums if name not in unfit]
    outer = [name for name in fit if not any(name.startswith(f"{other}.") for other in fit)]
    return {name: sums[name] / seen[name] for name in outer}


def _remove(model: nn.Module, name: str) -> None:
    from torch import nn

    place, _, key = name.rpartition(".")
    model.get_submodule(place)._modules[key] = nn.Identity()
