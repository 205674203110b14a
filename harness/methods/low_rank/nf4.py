"""The 4-bit code whose sixteen values are as frequent as each other in normally distributed weights."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# The quantile of the outermost value: midway between those that 15 and 16 equal steps would give.
OFFSET = 0.5 * ((1 - 1 / 30) + (1 - 1 / 32))
# Scales that share a range where they are themselves quantized.
SCALES = 256


def values() -> list[float]:
    """The sixteen values in rising order: from -1 to 1, exactly 0 among them.

    T. Dettmers et al., "QLoRA: Efficient Finetuning of Quantized LLMs", 2023, section 3 and appendix E: quantiles of
    the normal distribution, seven below zero and eight above, scaled to reach -1 and 1.
    """
    normal = NormalDist()

    def side(steps: int) -> list[float]:
        return [normal.inv_cdf(OFFSET + (0.5 - OFFSET) * index / steps) for index in range(steps)]

    above, below = side(8), side(7)
    return sorted([*(one / above[0] for one in above), 0.0, *(-one / below[0] for one in below)])


def encode(weight: torch.Tensor, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes and scales of a weight, taken in blocks of consecutive elements.

    Args:
        weight: float32, any shape.
        block: elements that share a scale; even.

    Returns:
        uint8 of shape (blocks, block / 2), two codes a byte, the first in the low half; float32 of shape (blocks,), the
        largest magnitude of each block. The last block is filled with zeros.
    """
    import torch
    from torch.nn.functional import pad

    flat = pad(weight.detach().flatten(), (0, -weight.numel() % block)).view(-1, block)
    scales = flat.abs().amax(dim=1)
    table = torch.tensor(values())
    borders = (table[1:] + table[:-1]) / 2
    codes = torch.bucketize(flat / scales.clamp_min(1e-30)[:, None], borders).to(torch.uint8)
    return codes[:, 0::2] | (codes[:, 1::2] << 4), scales


def decode(codes: torch.Tensor, scales: torch.Tensor, table: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """The weight that codes and scales stand for, of that shape."""
    import math

    import torch

    pairs = torch.stack([codes & 15, codes >> 4], dim=-1).flatten(1).long()
    return (table[pairs] * scales[:, None]).flatten()[: math.prod(shape)].view(shape)


def encode_scales(scales: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scales in 8 bits: codes, and the least and the step of every 256 of them.

    The paper's double quantization (section 3), with evenly spaced codes where the paper takes 8-bit floats.

    Returns:
        uint8 of shape (blocks,), float32 of shape (groups,) twice.
    """
    import torch
    from torch.nn.functional import pad

    missing = -len(scales) % SCALES
    # Filled with its last value, which moves no range.
    groups = pad(scales[None], (0, missing), mode="replicate")[0].view(-1, SCALES)
    least = groups.amin(dim=1)
    step = (groups.amax(dim=1) - least) / 255
    codes = torch.round((groups - least[:, None]) / step.clamp_min(1e-30)[:, None]).to(torch.uint8)
    return codes.flatten()[: len(scales)], least, step


def decode_scales(codes: torch.Tensor, least: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """The scales that `encode_scales` gave codes of."""
    count = len(codes)
    ranges = (one.repeat_interleave(SCALES)[:count] for one in (least, step))
    low, width = ranges
    return low + codes * width
