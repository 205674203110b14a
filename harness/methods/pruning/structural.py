"""Removing whole channels and neurons with all that reads them: what torch-pruning is asked to do, and how."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Subject, tensors
from harness.methods.layers import weighted
from harness.methods.pruning.curvature import gauss_newton, squared_slopes

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.methods.base import Workshop

    # A dependency group of torch-pruning → one figure a channel of its first layer; None: not to be pruned.
    Importance = Callable[[Any], torch.Tensor | None]

Criterion = Literal["l1", "l2", "random", "taylor", "hessian"]


def importance(criterion: Criterion, model: nn.Module, workshop: Workshop, count: int) -> Importance:
    """The library's estimate of what a channel is worth, with the derivatives that it reads left on the parameters.

    Args:
        criterion: norms of the weights, chance, first-order effects on the loss, or second-order ones.
        model: its parameters' `.grad` is set where the criterion reads derivatives.
        workshop: gives the data.
        count: samples that derivatives are taken on.
    """
    import torch_pruning

    library = torch_pruning.importance
    if criterion == "random":
        chance: Importance = library.RandomImportance()
        return chance
    if criterion in ("taylor", "hessian"):
        model.zero_grad(set_to_none=True)
        weights = {name: one for name, one in model.named_parameters() if _is_matrix(model, name)}
        factors = (
            squared_slopes(model, weights, workshop, count)
            if criterion == "taylor"
            else gauss_newton(model, weights, workshop, count, "outputs")
        )
        for name, factor in factors.items():
            weights[name].grad = factor
        # This criterion of the library multiplies `.grad` by the weight squared, and is given what it would get wrong:
        # its own curvature forgets every sample but the last, and its first-order effects are those of a sum over
        # batches, in which they cancel. The loss feels all that goes, so that effects are summed, and compared between
        # layers as they are.
        effects: Importance = library.HessianImportance(group_reduction="sum", normalizer=None, bias=False)
        return effects
    norm: Importance = library.MagnitudeImportance(p=int(criterion[1:]))
    return norm


def remove(
    subject: Subject,
    worth: Importance,
    ratio: float,
    *,
    method: str,
    seed: int,
    scope: Literal["global", "layer"] = "layer",
    most: float = 1.0,
    round_to: int | None = None,
    keep: Collection[nn.Module] = (),
) -> None:
    """Remove the least important outputs of layers, in place, and check that the model's outputs have their shapes.

    Args:
        subject: the model and an example of its inputs.
        worth: estimates each output of a group of layers that must be pruned together.
        ratio: share of the outputs to remove.
        method: how a sentence names the step.
        seed: of random importance.
        scope: whether the share holds in each layer or over all together.
        most: largest share that one layer may lose where the scope is global.
        round_to: keep a multiple of so many outputs in each layer.
        keep: layers whose outputs stay as many, besides those that make the model's outputs.

    Raises:
        MethodError: the library cannot follow the model, what is left does not fit together, or answers with other
            shapes.
    """
    import torch
    import torch_pruning

    model: nn.Module = subject.model
    # A detector's layers are followed up to its head: the decoding of boxes takes the library gigabytes.
    detector: Any = model if hasattr(model, "detection_features") else None
    if detector is not None:
        detector.halve_branches()
        keep = {*keep, *detector.fixed_layers()}
    before = shapes(model, subject.example)
    # Random importance draws from the global generator.
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        try:
            torch_pruning.BasePruner(
                model,
                subject.example,
                importance=worth,
                global_pruning=scope == "global",
                pruning_ratio=ratio,
                max_pruning_ratio=most if scope == "global" else 1.0,
                ignored_layers=list(last(model, subject.example, method) | set(keep)),
                round_to=round_to,
                # The library's defaults are dictionaries that all its pruners share.
                in_channel_groups={},
                out_channel_groups={},
                num_heads={},
                forward_fn=(lambda model, inputs: model.detection_features(*inputs)) if detector is not None else None,
            ).step()
        except ZeroDivisionError as error:
            # The library divides two numbers of channels where a view regroups what was split before.
            raise MethodError(
                f"{method}: torch-pruning cannot follow how the model splits its channels and regroups them by views "
                "(as the channel shuffles of ShuffleNet do); prune single weights, or blocks of them, instead"
            ) from error
    model.zero_grad(set_to_none=True)
    hold_shapes(model, subject.example, before, method)


def hold_shapes(
    model: nn.Module, example: tuple[torch.Tensor, ...], before: list[tuple[int, ...]], method: str
) -> None:
    """Hold a model that was made smaller to the shapes of its outputs.

    Raises:
        MethodError: it does not run any more, or answers with other shapes.
    """
    try:
        now = shapes(model, example)
    except RuntimeError as error:
        raise MethodError(f"{method} left layers that do not fit together: {error}") from error
    if now != before:
        raise MethodError(
            f"{method} changed the outputs from {before} to {now}: name the layers that make them in `keep`"
        )


def missing_removal(before: Evidence, after: Evidence, what: str, least: float) -> list[str]:
    """Sentences on a removal that left all parameters, or more of them than the share `least` of what should go."""
    left = after.parameters / before.parameters
    if left >= 1:
        return [f"no {what} is gone: {after.parameters:,} parameters, {before.parameters:,} before"]
    if 1 - left < least:
        return [
            f"at least {least:.1%} of the parameters were to go with the {what}s, and {1 - left:.1%} did "
            f"({before.parameters:,} to {after.parameters:,})"
        ]
    return []


def shapes(model: nn.Module, example: tuple[torch.Tensor, ...]) -> list[tuple[int, ...]]:
    """The shapes of a model's outputs."""
    import torch

    with torch.no_grad():
        return [tuple(output.shape) for output in tensors(model(*example))]


def last(model: nn.Module, example: tuple[torch.Tensor, ...], method: str) -> set[nn.Module]:
    """The layers whose results the model gives out, and the one that ran last.

    Raises:
        MethodError: there is no layer.
    """
    import torch

    made: list[tuple[nn.Module, torch.Tensor]] = []
    hooks = [
        layer.register_forward_hook(lambda layer, _, output: made.append((layer, output)))
        for layer in {layer for layer, name in weighted(model).values() if name == "weight"}
    ]
    try:
        with torch.no_grad():
            outputs = {output.untyped_storage().data_ptr() for output in tensors(model(*example))}
    finally:
        for hook in hooks:
            hook.remove()
    if not made:
        raise MethodError(f"{method}: the model has no linear or convolution layer")
    return {layer for layer, output in made if output.untyped_storage().data_ptr() in outputs} | {made[-1][0]}


def _is_matrix(model: nn.Module, name: str) -> bool:
    place, _, parameter = name.rpartition(".")
    layer, weight = weighted(model).get(place, (None, ""))
    return layer is not None and weight == parameter
