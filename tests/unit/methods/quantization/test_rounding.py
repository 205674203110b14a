import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.methods.quantization.rounding import neighbours, scales, with_feedback


def moments_of(inputs: np.ndarray) -> np.ndarray:
    return (inputs.T @ inputs / len(inputs))[None]


def correlated(columns: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(columns // 4, columns))
    return generator.normal(size=(4000, columns // 4)) @ mixing + 0.1 * generator.normal(size=(4000, columns))


def test_neighbours_are_the_channels_2k_and_2k_plus_1_at_the_same_tap():
    # Three channels of two taps: the third has nobody beside it.
    assert neighbours(3, 2).tolist() == [2, 3, 0, 1, 4, 5]
    assert neighbours(4, 1).tolist() == [1, 0, 3, 2]
    assert neighbours(1, 9).tolist() == list(range(9))


def test_a_row_that_is_on_a_grid_keeps_the_scale_that_spans_it():
    weights = np.arange(-127, 128, 2, dtype=np.float64)[None, None] * 0.25
    assert scales(weights, np.ones((1, weights.shape[-1])), None) == pytest.approx(0.25)


def test_an_outlier_that_no_input_excites_is_clipped():
    weights = np.append(np.linspace(-1, 1, 64), 1.25)[None, None]
    power = np.append(np.ones(64), 0.0)[None]
    assert scales(weights, power, None).item() == pytest.approx(0.8 * 1.25 / 127)


def test_uncorrelated_inputs_leave_plain_rounding():
    weights = np.random.default_rng(0).normal(size=(1, 5, 40))
    scale = np.abs(weights).max(-1) / 127
    codes = with_feedback(weights, scale, np.eye(40)[None], 0.01, None)
    assert codes.dtype == np.int8
    np.testing.assert_array_equal(codes, np.rint(weights / scale[..., None]))


def test_feedback_loses_less_of_the_answers_than_rounding_to_nearest():
    inputs, weights = correlated(64), np.random.default_rng(1).normal(size=(1, 16, 64))
    scale = np.abs(weights).max(-1) / 7

    def lost(codes: np.ndarray) -> float:
        return float(np.square(inputs @ (codes * scale[..., None] - weights)[0].T).mean())

    nearest = lost(np.rint(weights / scale[..., None]))
    assert lost(with_feedback(weights, scale, moments_of(inputs), 0.01, None)) < 0.5 * nearest


def test_one_step_of_feedback_is_the_closed_form_of_optimal_brain_surgery():
    # After rounding w0, the best w1 is w1 + H01 / H11 * (w0 - q0): the minimiser of the quadratic form in w1.
    moments = np.array([[[2.0, 0.9], [0.9, 1.0]]])
    weights, scale = np.array([[[0.4, 10.0]]]), np.array([[1.0]])
    codes = with_feedback(weights, scale, moments, 1e-9, None)
    assert codes.tolist() == [[[0, round(10.0 + 0.9 / 1.0 * 0.4)]]]
    weights = np.array([[[0.4, 10.1]]])
    assert with_feedback(weights, scale, moments, 1e-9, None).tolist() == [[[0, 10]]]
    weights = np.array([[[0.49, 10.1]]])
    assert with_feedback(weights, scale, moments, 1e-9, None).tolist() == [[[0, 11]]]


def test_blocks_make_no_difference_to_what_is_rounded():
    inputs, weights = correlated(160), np.random.default_rng(2).normal(size=(1, 3, 160))
    scale = np.abs(weights).max(-1) / 15
    codes = with_feedback(weights, scale, moments_of(inputs), 0.01, None)
    # The reference rounds one column at a time and solves for all that are left, with no factorization.
    moments = moments_of(inputs)[0]
    moments = moments + np.eye(160) * 0.01 * np.diagonal(moments).mean()
    left, order = weights[0].copy(), np.argsort(-np.diagonal(moments), kind="stable")
    expected = np.zeros_like(left)
    for step, column in enumerate(order):
        rest = order[step + 1 :]
        expected[:, column] = np.rint(left[:, column] / scale[0])
        error = left[:, column] - expected[:, column] * scale[0]
        gain = np.linalg.solve(moments[np.ix_(rest, rest)], moments[rest, column])
        left[:, rest] += error[:, None] * gain
    assert (codes[0] != expected).mean() < 0.005


def test_groups_are_rounded_as_if_each_were_alone():
    generator = np.random.default_rng(3)
    weights = generator.normal(size=(4, 1, 9))
    inputs = [generator.normal(size=(500, 9)) @ generator.normal(size=(9, 9)) for _ in range(4)]
    # Equal diagonals, so that all share one order.
    moments = np.stack([moments_of(one)[0] for one in inputs])
    power = np.sqrt(np.diagonal(moments, axis1=1, axis2=2))
    moments = moments / power[:, :, None] / power[:, None, :]
    moments[:, range(9), range(9)] = 1
    scale = np.abs(weights).max(-1) / 7
    together = with_feedback(weights, scale, moments, 0.01, None)
    for group in range(4):
        alone = with_feedback(weights[group][None], scale[group][None], moments[group][None], 0.01, None)
        np.testing.assert_array_equal(together[group], alone[0])


@given(arrays(np.float64, (2, 3, 12), elements=st.floats(-50, 50, width=32)), st.integers(0, 1000))
def test_no_two_neighbours_can_saturate_16_bits(weights, seed):
    inputs = np.random.default_rng(seed).normal(size=(64, 12))
    moments = np.repeat(moments_of(inputs), 2, axis=0)
    pairs = neighbours(6, 2)
    scale = scales(weights, np.diagonal(moments, axis1=1, axis2=2), pairs)
    codes = with_feedback(weights, scale, moments, 0.01, pairs).astype(np.int64)
    # Bytes from 0 to 255 on either: the extremes take the positive or the negative codes alone.
    both = np.stack([codes, codes[..., pairs]])
    paired = pairs != np.arange(12)
    assert (255 * np.maximum(both, 0).sum(0)[..., paired]).max() <= 32767
    assert (255 * np.minimum(both, 0).sum(0)[..., paired]).min() >= -32768
    assert np.abs(codes).max() <= 127
