"""Layer dropping: whole residual blocks are removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Workshop
from harness.methods.layers import Names, chosen
from harness.methods.pruning.depth import close_up
from harness.methods.pruning.structural import hold_shapes, missing_removal, shapes
from harness.methods.pruning.zeros import finetune
from harness.training import Training

if TYPE_CHECKING:
    import torch
    from torch import nn

BATCH = 64


@METHODS.register
class LayerDropping(Method):
    """Remove whole blocks: members of a sequence of layers that give back what they take in shape.

    By default those that change their input least: least ``1 - cos(x, block(x))`` over calibration data, measured anew
    after each removal. A. Fan, E. Grave, A. Joulin, "Reducing Transformer Depth on Demand with Structured Dropout",
    2020; X. Men et al., "ShortGPT: Layers in Large Language Models are More Redundant Than You Expect", 2024, eq. 1
    (block influence).

    Of a model of transformers the list itself gets shorter, and its configuration with it, so that what is saved loads
    as any such model does: the blocks after one that went have new numbers in their names. Elsewhere something that
    gives back what it is given takes the block's place.
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
            _remove(model, name, subject.example)
        for _ in range(self.count or 0):
            influence = self._influences(subject, workshop)
            if not influence:
                raise MethodError(f"{self.method}: no block is left that gives back the shape that it takes")
            name = min(influence, key=lambda one: influence[one])
            workshop.progress(f"removing {name}, of influence {influence[name]:.3g}")
            _remove(model, name, subject.example)
        close_up(model)
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
        found = influences(subject.model, (batch.inputs for batch in calibration.unpadded(BATCH)))
        kept = chosen("keep", self.keep, found)
        return {name: one for name, one in found.items() if name not in kept}


def influences(model: nn.Module, batches: Iterable[tuple[torch.Tensor, ...]]) -> dict[str, float]:
    """``1 - mean cos(x, block(x))`` of every removable block.

    Vectors are of a position where samples are sequences (batch, positions, features), and of a whole sample otherwise.

    Removable are members of `nn.Sequential` or `nn.ModuleList` that consist of layers themselves, have weight matrices,
    and give the first tensor that they are given another of its shape for, alone or as the first of a tuple without
    other tensors. Masks, positions and caches may come beside it. Of blocks within blocks, the outer ones.
    """
    import torch
    from torch import nn
    from torch.nn.functional import cosine_similarity

    sums: dict[str, float] = {}
    seen: dict[str, int] = {}
    unfit: set[str] = set()
    given: dict[str, list[torch.Tensor | None]] = {}

    def take(name: str, passed: tuple[Any, ...], options: dict[str, Any]) -> None:
        first = _first(passed, options)
        # As it is now: a block may add to it in place.
        given.setdefault(name, []).append(None if first is None else first.clone())

    def note(name: str, answer: Any) -> None:
        x, *others = answer if isinstance(answer, tuple) and answer else (answer,)
        start = given[name].pop()
        if start is None or not isinstance(x, torch.Tensor) or x.shape != start.shape or any(
            isinstance(one, torch.Tensor) for one in others
        ):  # fmt: skip
            unfit.add(name)
            return
        into, out = (one.double() if one.ndim == 3 else one.flatten(1).unsqueeze(1).double() for one in (start, x))
        cosine = cosine_similarity(into, out, dim=2).mean(dim=1)
        sums[name] = sums.get(name, 0.0) + float((1 - cosine).sum())
        seen[name] = seen.get(name, 0) + len(x)

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
        hook
        for name, part in candidates.items()
        for hook in (
            part.register_forward_pre_hook(
                lambda _, passed, options, name=name: take(name, passed, options), with_kwargs=True
            ),
            part.register_forward_hook(lambda _, __, answer, name=name: note(name, answer)),
        )
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


def _first(given: tuple[Any, ...], options: Mapping[str, Any]) -> torch.Tensor | None:
    """The first tensor of a call: what a block is to change. What else it is given says how."""
    import torch

    return next((one for one in (*given, *options.values()) if isinstance(one, torch.Tensor)), None)


def _remove(model: nn.Module, name: str, example: tuple[torch.Tensor, ...]) -> None:
    """Put something that gives back what it is given in the place of a block, as a tuple where the block gives one."""
    import torch
    from torch import nn

    place, _, key = name.rpartition(".")
    block = model.get_submodule(name)
    answers: list[Any] = []
    hook = block.register_forward_hook(lambda _, __, answer: answers.append(answer))
    try:
        with torch.no_grad():
            model(*example)
    finally:
        hook.remove()
    beside = tuple(answers[0][1:]) if isinstance(answers[0], tuple) else None

    class PassThrough(nn.Identity):
        def forward(self, *given: Any, **options: Any) -> Any:
            x = _first(given, options)
            return x if beside is None else (x, *beside)

    model.get_submodule(place)._modules[key] = PassThrough()
