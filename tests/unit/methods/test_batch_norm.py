from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from harness.data.base import Batch, TensorSplit
from harness.methods.batch_norm import MOST_BATCHES, reestimate


class Counted(TensorSplit):
    """Counts the batches that were taken."""

    taken = 0

    def batches(self, size: int, shuffle: int | None = None) -> Iterator[Batch]:
        for batch in super().batches(size, shuffle):
            self.taken += 1
            yield batch


@pytest.fixture
def samples() -> torch.Tensor:
    return 3 + 2 * torch.randn(256, 4, generator=torch.Generator().manual_seed(0))


def split(samples: torch.Tensor) -> Counted:
    return Counted(samples, torch.zeros(len(samples), dtype=torch.int64))


def test_statistics_are_the_averages_over_batches_whatever_the_momentum(samples: torch.Tensor) -> None:
    norm = nn.BatchNorm1d(4, momentum=0.01).eval()
    weights = {name: value.clone() for name, value in norm.named_parameters()}
    before = torch.random.get_rng_state()
    # One batch of all samples: the statistics are those of the split, with the variance unbiased.
    reestimate(norm, split(samples), batch=256, seed=0)
    assert torch.allclose(norm.running_mean, samples.mean(0), atol=1e-5)
    assert torch.allclose(norm.running_var, samples.var(0), rtol=1e-5)
    # Equal batches: their means average to the mean of all.
    reestimate(norm, split(samples), batch=32, seed=0)
    assert torch.allclose(norm.running_mean, samples.mean(0), atol=1e-5)
    within = torch.stack([part.var(0) for part in samples[order(0)].split(32)]).mean(0)
    assert torch.allclose(norm.running_var, within, rtol=1e-5)
    assert norm.momentum == 0.01
    assert not norm.training
    assert all(torch.equal(weights[name], value) for name, value in norm.named_parameters())
    assert torch.equal(before, torch.random.get_rng_state())


def order(seed: int) -> torch.Tensor:
    return torch.randperm(256, generator=torch.Generator().manual_seed(seed))


def test_a_deep_layer_is_fitted_to_the_layers_before_it_as_they_are_now(samples: torch.Tensor) -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, momentum=0.01)).eval()
    reestimate(net, split(samples), batch=256, seed=0)
    normalized = net(samples)
    assert torch.allclose(normalized.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(normalized.std(0), torch.ones(3), atol=1e-4)


def test_batches_are_bounded_and_a_lone_last_sample_is_left_out(samples: torch.Tensor) -> None:
    many, lone = split(samples.repeat(13, 1)), split(samples[:33])
    reestimate(nn.BatchNorm1d(4).eval(), many, batch=32, seed=0)
    assert many.taken == MOST_BATCHES + 1
    reestimate(nn.BatchNorm1d(4).eval(), lone, batch=32, seed=0)
    assert lone.taken == 2


@pytest.mark.parametrize("batch", [1, 2, 15, 16])
def test_samples_are_taken_sixteen_at_a_time_where_fewer_were_trained_on(samples: torch.Tensor, batch: int) -> None:
    """Of one sample there is no variance; those of training one at a time came from the first alone."""
    norm = nn.BatchNorm1d(4).eval()
    reestimate(norm, split(samples), batch=batch, seed=0)
    within = torch.stack([part.var(0) for part in samples[order(0)].split(16)]).mean(0)
    torch.testing.assert_close(norm.running_mean, samples.mean(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(norm.running_var, within, atol=0, rtol=1e-5)


def test_a_model_without_batch_normalization_is_not_even_run(samples: torch.Tensor) -> None:
    unused = split(samples)
    reestimate(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)).eval(), unused, batch=32, seed=0)
    reestimate(nn.BatchNorm1d(4, track_running_stats=False).eval(), unused, batch=32, seed=0)
    assert unused.taken == 0
