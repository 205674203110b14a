"""Weights on a grid are known by their values; weights that were never rounded are not."""

import numpy as np
import pytest

from harness.artifacts import grids

RANDOM = np.random.default_rng(0)


def rounded(weights, bits, group, offset=False):
    """As GGUF's types have it: a scale in float16 a group, and a least value where `offset`."""
    parts = weights.reshape(len(weights), -1, group)
    if offset:
        low = parts.min(-1, keepdims=True).astype(np.float16).astype(np.float32)
        scale = ((parts.max(-1, keepdims=True) - low) / (2**bits - 1)).astype(np.float16).astype(np.float32)
        codes = np.round((parts - low) / scale).clip(0, 2**bits - 1)
        return (codes * scale + low).reshape(weights.shape).astype(np.float32)
    scale = (np.abs(parts).max(-1, keepdims=True) / (2 ** (bits - 1) - 1)).astype(np.float16).astype(np.float32)
    return (np.round(parts / scale) * scale).reshape(weights.shape).astype(np.float32)


@pytest.fixture
def weights():
    return RANDOM.normal(0, 0.02, (64, 128)).astype(np.float32)


@pytest.mark.parametrize("bits", [3, 4, 5, 6])
@pytest.mark.parametrize("offset", [False, True])
def test_a_grid_is_told_with_its_bits(weights, bits, offset):
    assert grids.bits(rounded(weights, bits, 32, offset)) == bits


def test_eight_bits_are_told_though_few_of_the_levels_are_used(weights):
    assert grids.bits(rounded(weights, 8, 32)) == 8
    # A group of 64 that shares a scale is two of 32 that do.
    assert grids.bits(rounded(weights, 8, 64)) == 8


def test_weights_that_were_never_rounded_lie_on_no_grid(weights):
    assert grids.bits(weights) is None
    # Nor do those that a short float type holds: its levels are not evenly spaced.
    assert grids.bits(weights.astype(np.float16).astype(np.float32)) is None
    assert grids.bits(np.zeros((4, 64), dtype=np.float32)) is None
    assert grids.bits(weights[:, :20]) is None


def test_an_artifact_that_writes_the_same_grid_again_is_told(weights):
    source = rounded(weights, 8, 32)
    other = rounded(source, 4, 32)
    ours, theirs = grids.notes([grids.Stored(source, source, True), grids.Stored(source, other, True)])
    assert "2 of 2 weight matrices lie on grids of at most 256 levels a group of 16 or 32" in ours[0]
    assert theirs[0].startswith("1 of 2 matrices of integers write the float model's own grid out again")


def test_a_grid_of_smaller_groups_is_told_too(weights):
    source = rounded(weights, 6, 16)
    assert grids.bits(source) is None
    assert grids.bits(source, 16) == 6
    assert grids.notes([grids.Stored(source, source, True)])[0][0].startswith("1 of 1 weight matrices")


def test_an_honest_artifact_of_a_rounded_model_has_no_such_label(weights):
    source = rounded(weights, 5, 32)
    ours, theirs = grids.notes([grids.Stored(source, rounded(source, 4, 16), True)])
    assert ours
    assert theirs == ()
    # In float its own values are no claim.
    assert grids.notes([grids.Stored(source, source, False)])[1] == ()
    assert grids.notes([grids.Stored(weights, weights, True)]) == ((), ())
