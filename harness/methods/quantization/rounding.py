"""Weights to eight bits so that a layer's answers change least: scales, error feedback, and sums that do not saturate.

Matrices come in groups: a dense layer is one group, a depthwise convolution has one group a channel. Shapes are
(groups, rows, columns): rows are output channels, columns are the taps that one output channel multiplies.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
LARGEST = 127
# Without VNNI, kernels multiply unsigned by signed bytes and add two neighbouring products in 16 bits, which saturate:
# 255 * 128 = 32,640 fits, and nothing above.
LARGEST_SUM = 128
# What the scale search tries, relative to the scale that just spans a row. Larger ones save neighbours from being cut.
SPANS = (0.8, 0.85, 0.9, 0.95, 1.0, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2.0)


def neighbours(channels: int, taps: int) -> Array:
    """For each column of a layer, the one whose product its own is added to in 16 bits; itself where it has none.

    Args:
        channels: input channels of a group; kernels add those of the channels 2k and 2k + 1.
        taps: filter taps a channel; columns are ordered channel by channel.
    """
    column = np.arange(channels * taps)
    other = (column // taps ^ 1) * taps + column % taps
    return np.where(other < channels * taps, other, column)


def scales(weights: Array, power: Array, pairs: Array | None) -> Array:
    """The scale of each row, of those that `SPANS` gives, that rounds it with the least weighted squared error.

    Args:
        weights: (groups, rows, columns).
        power: (groups, columns), the mean square of each input.
        pairs: `neighbours`, where sums are not to saturate.

    Returns:
        (groups, rows), positive.
    """
    spanning: Array = np.maximum(np.abs(weights).max(-1) / LARGEST, 1e-12)
    least, best = np.full(spanning.shape, np.inf), spanning.copy()
    for span in SPANS:
        scale = spanning * span
        codes = np.clip(np.rint(weights / scale[..., None]), -LARGEST, LARGEST)
        if pairs is not None:
            codes = np.where(pairs < np.arange(len(pairs)), _beside(codes, codes[..., pairs]), codes)
        error = (np.square(codes * scale[..., None] - weights) * power[:, None]).sum(-1)
        best[error < least] = scale[error < least]
        least = np.minimum(error, least)
    return best


def with_feedback(weights: Array, scale: Array, moments: Array, damping: float, pairs: Array | None) -> Array:
    """Round column after column, each time moving what was lost into the columns that are still to come.

    E. Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", 2023:
    columns in the order of their inputs' power, through the Cholesky factor of the inverse Hessian.

    Args:
        weights: (groups, rows, columns).
        scale: (groups, rows).
        moments: (groups, columns, columns), second moments of the inputs: the Hessian.
        damping: what is added to the Hessian's diagonal, relative to its mean.
        pairs: `neighbours`, where sums are not to saturate.

    Returns:
        Integers in [-127, 127], int8, of the weights' shape.
    """
    columns = weights.shape[-1]
    power = np.diagonal(moments, axis1=1, axis2=2)
    # One order for all groups lets them be rounded together.
    order = np.argsort(-power.mean(0), kind="stable")
    place = np.argsort(order)
    damped = moments[:, order][:, :, order] + np.eye(columns) * (damping * power.mean(1) + 1e-10)[:, None, None]
    factor = np.linalg.cholesky(np.linalg.inv(damped)).transpose(0, 2, 1).astype(weights.dtype)
    left, codes = weights[..., order], np.zeros(weights.shape, weights.dtype)
    partner = None if pairs is None else place[pairs[order]]
    # In blocks, so that most of the moving is one matrix product.
    for start in range(0, columns, 64):
        stop = min(start + 64, columns)
        lost = np.zeros((*weights.shape[:-1], stop - start), weights.dtype)
        for column in range(start, stop):
            rounded = np.clip(np.rint(left[..., column] / scale), -LARGEST, LARGEST)
            if partner is not None and partner[column] < column:
                rounded = _beside(rounded, codes[..., partner[column]])
            codes[..., column] = rounded
            error = (left[..., column] - rounded * scale) / factor[:, column, column, None]
            lost[..., column - start] = error
            left[..., column:stop] -= error[..., None] * factor[:, None, column, column:stop]
        left[..., stop:] -= lost @ factor[:, start:stop, stop:]
    return codes[..., place].astype(np.int8)


def _beside(codes: Array, neighbour: Array) -> Array:
    """Codes cut to what still fits 16 bits beside their neighbours."""
    return np.clip(codes, -LARGEST_SUM - np.minimum(neighbour, 0), LARGEST_SUM - np.maximum(neighbour, 0))
