"""Singular value decomposition: a layer as two, with few units between them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from harness.forms import Subject
from harness.methods.base import METHODS, Workshop
from harness.methods.low_rank.factorised import Factorised, Ladder
from harness.methods.low_rank.sites import Factors, Moments, Site, convolution, linear, moments

if TYPE_CHECKING:
    from torch import nn

Array = np.ndarray[Any, Any]
# Directions in which inputs vary less than this share of the most are taken to vary by it: they are noise.
LEAST_VARIANCE = 1e-7


@METHODS.register
class Svd(Factorised):
    """Replace linear layers and convolutions by two layers, through a truncated singular value decomposition.

    A convolution is taken as the matrix of outputs by patch elements: its factors are a convolution with fewer
    outputs, and a 1x1 convolution. With `fit: weights` the error of the weights is least (C. Eckart, G. Young, 1936;
    for networks: E. Denton et al., "Exploiting Linear Structure Within Convolutional Networks", 2014); with
    `fit: outputs` that of the layer's outputs on calibration data, in closed form (X. Zhang et al., "Accelerating Very
    Deep Convolutional Networks", 2016, equations 3 to 5; for language models: X. Wang et al., "SVD-LLM", 2024).
    """

    method: Literal["svd"] = "svd"
    also: ClassVar[Mapping[str, str]] = {
        "low-rank": "", "low-rank-factorization": "", "low-rank-factorisation": "", "truncated-svd": "",
    }  # fmt: skip
    fit: Literal["outputs", "weights"] = Field(
        default="outputs", description="keep what matters to the layer's outputs on calibration data, or to its weights"
    )
    layers: Literal["all", "linear", "convolution"] = Field(default="all", description="kinds of layers to replace")

    def ladders(self, where: list[Site], subject: Subject, workshop: Workshop) -> list[Ladder]:
        """Every rank below the one at which two layers are as large as one."""
        from torch import nn

        found: dict[str, Moments] = {}
        kinds = {"all": (nn.Linear, nn.Conv2d), "linear": (nn.Linear,), "convolution": (nn.Conv2d,)}[self.layers]
        fitting = [site for site in where if isinstance(site.layer, kinds)]
        if self.fit == "outputs":
            calibration = workshop.calibration("svd fits outputs", ", or `fit: weights`")
            workshop.progress(f"measuring the inputs of {len(fitting)} layers")
            found = moments(subject.model, fitting, calibration)
        ladders = []
        for site in where:
            if site not in fitting:
                ladders.append(Ladder(0.0, ()))
                continue
            decomposed = Decomposed(site, found.get(site.name))
            two = [Two(decomposed, rank) for rank in range(1, len(decomposed.values) + 1)]
            smaller = [one for one in two if one.parameters < site.parameters and one.macs < site.macs]
            ladders.append(Ladder(float(np.square(decomposed.values).sum()), smaller))
        return ladders


class Decomposed:
    """A layer's weight W as left · diag(values) · right, of full rank.

    Without moments this is the SVD of W. With them, C = S S' being the covariance of the inputs x, it is the SVD of
    W S with S undone on the right: dropping all but r values then leaves E|(W - W')x|² equal to the sum of the squares
    of those dropped, the least that rank r can reach. A layer with a bias takes the mean of the inputs upon it, so that
    only what varies counts; for one without, C is the second moment.
    """

    def __init__(self, site: Site, inputs: Moments | None) -> None:
        self.site = site
        self.matrix = site.weight.reshape(len(site.weight), -1)
        self.mean: Array | None = None
        if inputs is None:
            self.left, self.values, self.right = np.linalg.svd(self.matrix, full_matrices=False)
            return
        spread = inputs.second
        if site.layer.bias is not None:
            self.mean = inputs.mean
            spread = spread - np.outer(inputs.mean, inputs.mean)
        power, axes = np.linalg.eigh(spread)
        root = np.sqrt(np.maximum(power, LEAST_VARIANCE * max(power[-1], 1e-300)))
        self.left, self.values, right = np.linalg.svd(self.matrix @ axes * root, full_matrices=False)
        self.right = right / root @ axes.T

    def product(self, rank: int) -> Array:
        """The best approximation of that rank, shape (outputs, columns)."""
        product: Array = self.left[:, :rank] * self.values[:rank] @ self.right[:rank]
        return product


class Two(Factors):
    """A layer as a projection to `rank` units and an expansion from them."""

    def __init__(self, decomposed: Decomposed, rank: int) -> None:
        self._whole, self.rank, self.ranks = decomposed, rank, (rank,)
        site = decomposed.site
        outputs, columns = decomposed.matrix.shape
        self.parameters = rank * (outputs + columns)
        self.macs = self.parameters * prod(site.after) * site.calls

    @cached_property
    def error(self) -> float:
        """The sum of the squares of the singular values that are dropped."""
        return float(np.square(self._whole.values[self.rank :]).sum())

    def module(self) -> nn.Module:
        """Both layers; the root of each singular value goes to either side."""
        from torch import nn

        whole, layer = self._whole, self._whole.site.layer
        root = np.sqrt(whole.values[: self.rank])
        into = whole.right[: self.rank] * root[:, None]
        out = whole.left[:, : self.rank] * root
        bias = None if layer.bias is None else layer.bias.detach().double().cpu().numpy()
        if bias is not None and whole.mean is not None:
            bias = bias + (whole.matrix - whole.product(self.rank)) @ whole.mean
        if isinstance(layer, nn.Linear):
            return nn.Sequential(OrderedDict(project=linear(into), expand=linear(out, bias)))
        return nn.Sequential(
            OrderedDict(
                project=convolution(into.reshape(self.rank, layer.in_channels, *self._whole.site.kernel), like=layer),
                expand=convolution(out[..., None, None], bias),
            )
        )
