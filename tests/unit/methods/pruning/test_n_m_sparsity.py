import warnings
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from harness.errors import MethodError
from harness.methods.pruning.n_m_sparsity import NMSparsity, pattern
from harness.training import Training


def test_the_mask_is_that_of_torchs_own_sparsifier() -> None:
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao says that it moves to another package
        from torch.ao.pruning import WeightNormSparsifier

        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(32, 24, bias=False))
        sparsifier = WeightNormSparsifier(sparsity_level=1.0, sparse_block_shape=(1, 4), zeros_per_block=2)
        sparsifier.prepare(model, [{"tensor_fqn": "0.weight"}])
        sparsifier.step()
        mask = model[0].parametrizations.weight[0].mask
        weight = model[0].parametrizations.weight.original.detach()
    assert torch.equal(pattern(weight.abs(), 2, 4), mask == 0)


@pytest.mark.parametrize(("n", "m"), [(1, 2), (2, 4), (1, 4), (4, 8)])
def test_every_group_keeps_its_largest(n: int, m: int) -> None:
    scores = torch.rand(6, 16, 3, 3, generator=torch.Generator().manual_seed(n))
    gone = pattern(scores, n, m)
    for row in range(6):
        for start in range(0, 16, m):
            group, lost = scores[row, start : start + m, 1, 2], gone[row, start : start + m, 1, 2]
            assert int((~lost).sum()) == n
            assert float(group[~lost].min()) > float(group[lost].max())


def test_layers_that_fit_are_pruned_and_the_others_left(subject: Any, workshop: Any, weigh: Any, digits: Any) -> None:
    method = NMSparsity(finetune=Training(epochs=2))
    before, after = weigh(subject()), weigh(method.apply(subject(), workshop))
    shares = {one.name.split(".")[-2]: one.zeros / one.elements for one in after.evidence.matrices}
    # LeNet-5's inputs: 1, 6, 400, 120 and 84.
    assert shares == {"conv1": 0, "conv2": 0, "fc1": 0.5, "fc2": 0.5, "fc3": 0.5}
    assert after.bytes == before.bytes
    assert after.accuracy(digits) > before.accuracy(digits) - 0.015
    assert method.contradictions(before.evidence, after.evidence) == []
    assert [one.split(" weights in ")[0] for one in method.contradictions(before.evidence, before.evidence)] == [
        "0 of 48,000", "0 of 10,080", "0 of 840",
    ]  # fmt: skip


def test_what_makes_no_pattern_is_refused(subject: Any, workshop: Any, weigh: Any) -> None:
    with pytest.raises(ValidationError, match="n 4 leaves every one of m 4 weights"):
        NMSparsity(n=4, m=4)
    with pytest.raises(MethodError, match="no layer has a number of inputs that 64 divides"):
        NMSparsity(n=1, m=64).apply(subject(), workshop)
    evidence = weigh(subject()).evidence
    assert NMSparsity(n=1, m=64).contradictions(evidence, evidence) == [
        "no layer has a number of inputs that 64 divides, so none can be 1:64 sparse"
    ]


class Upsampling(nn.Module):
    """Two transposed convolutions, the second in two groups; their weights have the inputs first."""

    def __init__(self, first: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, first, 8, stride=8)
        self.up, self.grouped = nn.ConvTranspose2d(first, 8, 2), nn.ConvTranspose2d(8, 12, 2, groups=2)
        self.head = nn.Linear(12, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = self.head(self.grouped(self.up(self.stem(images)).relu()).mean((2, 3)))
        return answers


def upsampling(first: int = 8) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Upsampling(first).eval()


def test_in_a_transposed_convolution_neighbours_are_inputs_too(subject: Any, workshop: Any, weigh: Any) -> None:
    before = weigh(subject(upsampling()))
    method = NMSparsity(n=1, m=4)
    pruned = method.apply(subject(upsampling()), workshop)
    for layer in (pruned.model.up, pruned.model.grouped):
        # Of every four inputs that an output of a tap multiplies one is left.
        left = (layer.weight != 0).unflatten(0, (-1, 4)).sum(1)
        assert bool((left == 1).all())
    assert method.contradictions(before.evidence, weigh(pruned).evidence) == []


def test_a_transposed_convolution_that_would_pass_for_one_that_fits_is_to_be_kept(
    subject: Any, workshop: Any, weigh: Any
) -> None:
    """An artifact does not tell it from a convolution of as many inputs as it has outputs."""
    with pytest.raises(MethodError, match="up is a transposed convolution, and 4 does not divide its 6 inputs: name"):
        NMSparsity().apply(subject(upsampling(6)), workshop)
    method = NMSparsity(keep=("up",))
    before = weigh(subject(upsampling(6)))
    assert method.contradictions(before.evidence, weigh(method.apply(subject(upsampling(6)), workshop)).evidence) == []
