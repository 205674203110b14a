"""First and second derivatives of the loss by single weights, and the samples that they are taken on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from harness.data.base import Batch, Split
from harness.errors import MethodError
from harness.methods.layer_calls import Call, heard, matrix_layers

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.autograd.graph import GradientEdge

    from harness.methods.base import Workshop

    Weights = Mapping[str, nn.Parameter]

BATCH = 64
# The exact diagonal takes one pass backwards an output.
MOST_OUTPUTS = 1000


def samples(workshop: Workshop, count: int) -> Iterator[Batch]:
    """Samples of the training split, drawn by the workshop's seed; of the calibration split where there is none.

    Drawn, for the first ones of a split may all be of one class. They come in batches of at most 64, as even as can be:
    where squares of means over batches are averaged, a small last batch would count for its noise.

    Raises:
        MethodError: the spec has no data.
    """
    if workshop.data is None:
        raise MethodError("the derivatives of the loss are taken on data, and there is none")
    split: Split = workshop.data.calibration if workshop.data.train is None else workshop.data.train
    left = min(count, len(split))
    size = math.ceil(left / math.ceil(left / BATCH)) if left else 1
    for batch in split.batches(size, shuffle=workshop.seed):
        if left <= 0:
            return
        yield batch.first(left)
        left -= size


def squared_effects(model: nn.Module, weights: Weights, workshop: Workshop, count: int) -> dict[str, torch.Tensor]:
    """What the loss would change by if a weight were zero, to first order, squared: ``(g w)^2``, the mean over batches.

    P. Molchanov et al., "Importance Estimation for Neural Network Pruning", 2019, eq. 8.
    """
    return _mean_over_batches(model, weights, workshop, count, lambda slope, weight: (slope * weight) ** 2)


def squared_slopes(model: nn.Module, weights: Weights, workshop: Workshop, count: int) -> dict[str, torch.Tensor]:
    """The factor of a weight squared in `squared_effects`: ``g^2``, the mean over batches."""
    return _mean_over_batches(model, weights, workshop, count, lambda slope, _: slope**2)


def _mean_over_batches(
    model: nn.Module,
    weights: Weights,
    workshop: Workshop,
    count: int,
    of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> dict[str, torch.Tensor]:
    """Of the slope of each batch's loss by a weight, and the weight; a weight that the loss does not know has none."""
    import torch

    total, batches = {name: torch.zeros_like(weight) for name, weight in weights.items()}, 0
    with differentiable(weights.values()), torch.enable_grad():
        for batch in samples(workshop, count):
            batches += 1
            loss = workshop.task.loss(model, batch)
            slopes = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
            for (name, weight), slope in zip(weights.items(), slopes, strict=True):
                total[name] += of(slope, weight.detach())
    return {name: one.detach() / batches for name, one in total.items()}


def gauss_newton(
    model: nn.Module, weights: Weights, workshop: Workshop, count: int, of: Literal["outputs", "loss"]
) -> dict[str, torch.Tensor]:
    """Diagonal of the Gauss-Newton matrix, with nothing drawn at random and nothing neglected in it; never negative.

    Of the outputs: ``h_k = mean_n sum_c (d z_nc / d w_k)^2``, the Hessian of half the squared distance to the outputs
    that the model gives now. It is that Hessian exactly, whatever the layers: the residuals are zero there.
    Of the loss: ``h_k = mean_n sum_c p_nc (d log p_nc / d w_k)^2``, for the mean cross-entropy. It is the diagonal of
    its Hessian wherever the outputs are piecewise linear in each single weight: networks of linear, convolution, ReLU,
    max-pooling and (in evaluation) batch normalisation layers.

    Raises:
        MethodError: a layer is of an unknown kind or is given other rows than samples, the outputs are too many, or the
            loss is no cross-entropy.
    """
    import torch

    if of == "loss" and not workshop.task.cross_entropy:
        raise MethodError(
            f"`curvature: loss` is that of a cross-entropy, and the task is {workshop.task.task}: use `outputs`"
        )
    layers = matrix_layers(model, weights, "the exact curvature")
    total, seen = {name: torch.zeros_like(weight) for name, weight in weights.items()}, 0
    with differentiable(weights.values()), torch.enable_grad():
        for batch in samples(workshop, count):
            values, calls = _recorded(model, layers, batch.inputs)
            _require_samples(calls, len(batch.targets))
            if of == "loss":
                values = values.log_softmax(1) * (values.detach().softmax(1)).sqrt()
            made = [edge for some in calls.values() for _, edge in some]
            for output in range(values.shape[1]):
                slopes = iter(torch.autograd.grad(values[:, output].sum(), made, retain_graph=True, allow_unused=True))
                for name, some in calls.items():
                    felt = [(call, slope) for call, _ in some if (slope := next(slopes)) is not None]
                    total[name] += _squares(weights[name], felt)
            seen += len(values)
    return {name: one.detach() / seen for name, one in total.items()}


def hutchinson(model: nn.Module, weights: Weights, workshop: Workshop, count: int) -> dict[str, torch.Tensor]:
    """Unbiased estimate of the diagonal of the Hessian of the task's loss: mean of ``z * (H z)``, z of random signs.

    C. Bekas, E. Kokiopoulou, Y. Saad, "An estimator for the diagonal of a matrix", 2007, eq. 2. It serves any task, and
    is noisy: its variance is the sum of the squared entries of a row beside the diagonal.
    """
    import torch

    generator = torch.Generator().manual_seed(workshop.seed)
    chosen = list(weights.values())
    total, seen = {name: torch.zeros_like(weight) for name, weight in weights.items()}, 0
    with differentiable(chosen), torch.enable_grad():
        for batch in samples(workshop, count):
            seen += len(batch.targets)
            loss = workshop.task.loss(model, batch)
            slopes = torch.autograd.grad(loss, chosen, create_graph=True, materialize_grads=True)
            signs = [torch.randint(0, 2, one.shape, generator=generator).to(one.dtype) * 2 - 1 for one in chosen]
            # A weight that the loss does not know, such as one of a head for training alone, has no slope to derive.
            known = [(slope, sign) for slope, sign in zip(slopes, signs, strict=True) if slope.requires_grad]
            outputs, directions = zip(*known, strict=True)
            products = torch.autograd.grad(outputs, chosen, directions, materialize_grads=True)
            for name, sign, product in zip(weights, signs, products, strict=True):
                # The loss is a mean over the batch, and batches may differ by a sample.
                total[name] += sign * product * len(batch.targets)
    return {name: one.detach() / seen for name, one in total.items()}


@contextmanager
def differentiable(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Lets parameters have gradients for a while: a model that was loaded for inference may ask for none."""
    asked = [(one, one.requires_grad) for one in parameters]
    try:
        for one, _ in asked:
            one.requires_grad_(True)
        yield
    finally:
        for one, before in asked:
            one.requires_grad_(before)


def _recorded(
    model: nn.Module, layers: Mapping[str, nn.Module], inputs: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, dict[str, list[tuple[Call, GradientEdge]]]]:
    """What the model answers, and the calls of its layers on the way, each with where its output enters the graph.

    An activation in place that follows makes the output its own: the tensor then stands for what comes behind it.
    """
    from torch.autograd.graph import get_gradient_edge

    calls: dict[str, list[tuple[Call, GradientEdge]]] = {name: [] for name in layers}
    with heard(layers, lambda name, call: calls[name].append((call, get_gradient_edge(call.output)))):
        values = _outputs(model, inputs)
    return values, calls


def _require_samples(calls: Mapping[str, list[tuple[Call, GradientEdge]]], count: int) -> None:
    """Hold what layers are given to one row a sample: gradients are squared row by row.

    Raises:
        MethodError: with the first layer that is given others.
    """
    for name, some in calls.items():
        for call, _ in some:
            if len(call.input) != count:
                raise MethodError(
                    f"the exact curvature squares the gradient of each sample, and {name} is given {len(call.input):,} "
                    f"rows for {count:,} samples, as for windows of images: use `curvature: hutchinson`"
                )


def _outputs(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Everything that the model answers, shape (batch, outputs)."""
    import torch

    given = model(*inputs)
    tensors = [given] if isinstance(given, torch.Tensor) else list(given.values() if isinstance(given, dict) else given)
    joined = torch.cat([tensor.flatten(1) for tensor in tensors], dim=1)
    if joined.shape[1] > MOST_OUTPUTS:
        raise MethodError(
            f"the model has {joined.shape[1]:,} outputs, and the exact curvature takes a pass backwards for each: "
            "use `curvature: hutchinson`"
        )
    return joined


def _squares(weight: torch.Tensor, calls: list[tuple[Call, torch.Tensor]]) -> torch.Tensor:
    """Squared gradient of each sample by a layer's weight, summed over the samples."""
    import torch

    if len(calls) == 1 and calls[0][1].ndim == 2:
        # A linear layer on one vector: the gradient is an outer product, and so is its square.
        call, slope = calls[0]
        return slope.square().T @ call.input.square()
    gradient = torch.zeros(())
    for call, slope in calls:
        gradient = gradient + call.rows(slope) @ call.columns().transpose(2, 3)
    return gradient.square().sum(0).reshape(weight.shape) if calls else torch.zeros_like(weight)
