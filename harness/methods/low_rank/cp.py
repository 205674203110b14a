"""CP decomposition of convolutions: sums of products of single vectors, one for each axis."""

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
from harness.methods.low_rank.sites import Factors, Site, convolution

if TYPE_CHECKING:
    from torch import nn

Array = np.ndarray[Any, Any]
# How many ranks of a layer are tried, evenly spaced on a logarithmic scale.
TRIED = 8
TOLERANCE = 1e-6


@METHODS.register
class Cp(Factorised):
    """Replace convolutions by a 1x1, a vertical, a horizontal and a 1x1 one, those between channel by channel.

    Canonical polyadic decomposition of the four-way kernel by alternating least squares (library: TensorLy), started
    from the leading singular vectors of each mode. It is smaller and less stable than `tucker`: train afterwards, with
    a low learning rate. Convolutions of a single tap, and linear layers, are left alone: `svd` is for them.
    V. Lebedev et al., "Speeding-up Convolutional Neural Networks Using Fine-tuned CP-Decomposition", 2015, section 3.
    """

    method: Literal["cp"] = "cp"
    also: ClassVar[Mapping[str, str]] = {"cp-decomposition": "", "parafac": "", "canonical-polyadic": ""}
    iterations: int = Field(default=50, ge=1, le=10_000, description="rounds of alternating least squares at most")

    def ladders(self, where: list[Site], subject: Subject, workshop: Workshop) -> list[Ladder]:
        """A few ranks of each layer; each is decomposed when its error is first asked for."""
        return [self._ladder(site, workshop.seed) if prod(site.kernel) > 1 else Ladder(0.0, ()) for site in where]

    def _ladder(self, site: Site, seed: int) -> Ladder:
        one = Canonical(site, 1, self.iterations, seed)
        largest = min((site.parameters - 1) // one.parameters, (site.macs - 1) // one.macs)
        ranks = np.unique(np.geomspace(1, max(largest, 1), TRIED).round().astype(int)).tolist() if largest >= 1 else []
        return Ladder(float(np.square(site.weight).sum()), [Canonical(site, r, self.iterations, seed) for r in ranks])


class Canonical(Factors):
    """A convolution as a sum of `rank` products of an output, an input, a column and a row vector."""

    def __init__(self, site: Site, rank: int, iterations: int, seed: int) -> None:
        self._site, self.rank, self.ranks = site, rank, (rank,)
        self._iterations, self._seed = iterations, seed
        outputs, inputs, height, width = site.weight.shape
        (rows, columns), (lower, narrower) = site.before, site.after
        self.parameters = rank * (outputs + inputs + height + width)
        vertical = lower * columns
        self.macs = (
            rank * (inputs * rows * columns + height * vertical + (width + outputs) * lower * narrower) * site.calls
        )

    @cached_property
    def _vectors(self) -> list[Array]:
        """Factor matrices of outputs, inputs, height and width, each (axis, rank), of equal norms."""
        from tensorly.cp_tensor import CPTensor, cp_normalize
        from tensorly.decomposition import parafac

        weight = self._site.weight
        # Scale free, so that the tolerance means the same for every layer.
        scale = float(np.linalg.norm(weight)) or 1.0
        start = CPTensor((None, [self._start(axis) for axis in range(weight.ndim)]))
        found = parafac(weight / scale, self.rank, n_iter_max=self._iterations, tol=TOLERANCE, init=start)
        weights, factors = cp_normalize(found)
        share = (weights * scale) ** (1 / len(factors))
        return [factor * share for factor in factors]

    def _start(self, axis: int) -> Array:
        """The leading singular vectors of an unfolding, and random ones where it has not as many."""
        rows = self._site.weight.shape[axis]
        unfolded = np.moveaxis(self._site.weight, axis, 0).reshape(rows, -1)
        vectors = np.linalg.svd(unfolded, full_matrices=False)[0][:, : self.rank]
        more = np.random.default_rng((self._seed, axis)).normal(size=(rows, self.rank - vectors.shape[1]))
        return np.concatenate([vectors, more / np.sqrt(rows)], axis=1)

    @cached_property
    def error(self) -> float:
        """Of the weights."""
        return float(np.square(self._site.weight - np.einsum("or,ir,hr,wr->oihw", *self._vectors, optimize=True)).sum())

    def module(self) -> nn.Module:
        """Four convolutions; height and width take the layer's stride and padding in turn."""
        from torch import nn

        layer = self._site.layer
        assert isinstance(layer, nn.Conv2d)
        out, into, height, width = self._vectors
        bias = None if layer.bias is None else layer.bias.detach().double().cpu().numpy()
        return nn.Sequential(
            OrderedDict(
                project=convolution(into.T[..., None, None]),
                vertical=convolution(height.T[:, None, :, None], like=layer, axes=(True, False), groups=self.rank),
                horizontal=convolution(width.T[:, None, None, :], like=layer, axes=(False, True), groups=self.rank),
                expand=convolution(out[..., None, None], bias),
            )
        )
