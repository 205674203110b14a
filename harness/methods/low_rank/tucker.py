"""Tucker decomposition of convolutions: fewer channels in, a smaller core, and channels out again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from harness.forms import Subject
from harness.methods.base import METHODS, Workshop
from harness.methods.low_rank.factorised import Factorised, Ladder
from harness.methods.low_rank.sites import Factors, Site, convolution

if TYPE_CHECKING:
    from torch import nn

Array = np.ndarray[Any, Any]


@METHODS.register
class Tucker(Factorised):
    """Replace convolutions by a 1x1 convolution, a small core of the same kernel, and a 1x1 convolution.

    Tucker-2 decomposition over the channels: ranks are chosen on the truncated higher-order SVD, and the factors then
    refined by higher-order orthogonal iteration (library: TensorLy). Where a mode keeps its full rank its 1x1
    convolution is left out. Convolutions of a single tap, and linear layers, are left alone: `svd` is for them.
    Y.-D. Kim et al., "Compression of Deep Convolutional Neural Networks for Fast and Low Power Mobile Applications",
    2016, section 3.1.
    """

    method: Literal["tucker"] = "tucker"
    also: ClassVar[Mapping[str, str]] = {"tucker-decomposition": "", "tucker-2": "", "hosvd": ""}

    def ladders(self, where: list[Site], subject: Subject, workshop: Workshop) -> list[Ladder]:
        """Pairs of ranks, along which the share of energy that both modes keep rises together."""
        return [_ladder(site) if prod(site.kernel) > 1 else Ladder(0.0, ()) for site in where]


def _ladder(site: Site) -> Ladder:
    modes = Modes(site)
    smaller = [
        one
        for one in (Core(modes, *ranks) for ranks in modes.path())
        if one.parameters < site.parameters and one.macs < site.macs
    ]
    return Ladder(modes.total, smaller)


class Modes:
    """The higher-order SVD of a kernel over its output and input channels.

    L. De Lathauwer, B. De Moor, J. Vandewalle, "A multilinear singular value decomposition", 2000.
    """

    def __init__(self, site: Site) -> None:
        self.site, weight = site, site.weight
        self.bases, self.energies = zip(*(_principal(weight, mode) for mode in (0, 1)), strict=True)
        core = np.einsum("oihw,or,is->rshw", weight, *self.bases, optimize=True)
        # The squared norm of every leading part of the core.
        self.within = np.square(core).sum((2, 3)).cumsum(0).cumsum(1)
        self.total = float(np.square(weight).sum())

    def path(self) -> list[tuple[int, int]]:
        """Pairs of ranks (out, in) in rising order: at every threshold the least that keep that share of each mode."""
        shares = [energy.cumsum() / max(energy.sum(), 1e-300) for energy in self.energies]
        levels = np.unique(np.concatenate(shares))
        # A hair below each level, lest rounding ask for one rank more.
        ranks = [np.minimum(np.searchsorted(share, levels - 1e-12) + 1, len(share)) for share in shares]
        return list(dict.fromkeys((int(out), int(into)) for out, into in zip(*ranks, strict=True)))


def _principal(weight: Array, mode: int) -> tuple[Array, Array]:
    """Left singular vectors of an unfolding, and the squares of its singular values."""
    unfolded = np.moveaxis(weight, mode, 0).reshape(weight.shape[mode], -1)
    # A mode with more channels than the rest has columns keeps a basis of all of them.
    basis, values, _ = np.linalg.svd(unfolded, full_matrices=unfolded.shape[0] > unfolded.shape[1])
    return basis, np.pad(np.square(values), (0, len(basis) - len(values)))


class Core(Factors):
    """A convolution at given ranks of its output and input channels."""

    def __init__(self, modes: Modes, out: int, into: int) -> None:
        self._modes, self.out, self.into, self.ranks = modes, out, into, (out, into)
        site = modes.site
        outputs, inputs = site.weight.shape[:2]
        self.projects, self.expands = into < inputs, out < outputs
        project = inputs * into * self.projects
        core = out * into * prod(site.kernel)
        expand = outputs * out * self.expands
        self.parameters = project + core + expand
        self.macs = (project * prod(site.before) + (core + expand) * prod(site.after)) * site.calls

    @cached_property
    def error(self) -> float:
        """Of the truncated higher-order SVD, which is an orthogonal projection; iteration can only lower it."""
        return max(0.0, self._modes.total - float(self._modes.within[self.out - 1, self.into - 1]))

    def module(self) -> nn.Module:
        """One to three convolutions; the middle one has the layer's stride and padding."""
        from tensorly.decomposition import partial_tucker
        from torch import nn

        site = self._modes.site
        layer = site.layer
        assert isinstance(layer, nn.Conv2d)
        bases = [basis[:, :rank] for basis, rank in zip(self._modes.bases, self.ranks, strict=True)]
        start = np.einsum("oihw,or,is->rshw", site.weight, *bases, optimize=True), bases
        (core, (out, into)), _ = partial_tucker(site.weight, rank=list(self.ranks), modes=[0, 1], init=start)
        if not self.expands:
            core, out = np.einsum("rshw,or->oshw", core, out), np.eye(len(out))
        if not self.projects:
            core, into = np.einsum("rshw,is->rihw", core, into), np.eye(len(into))
        bias = None if layer.bias is None else layer.bias.detach().double().cpu().numpy()
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if self.projects:
            parts["project"] = convolution(into.T[..., None, None])
        parts["core"] = convolution(core, None if self.expands else bias, like=layer)
        if self.expands:
            parts["expand"] = convolution(out[..., None, None], bias)
        return nn.Sequential(parts)
