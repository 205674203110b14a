"""Integers of 2 to 8 bits in bytes: a width is cut into pieces of 8, 4, 2 and 1 bits, and each piece fills bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# 6 bits are 4 and 2: two low halves a byte, and four upper pairs a byte. Nothing straddles two bytes.
PIECES: Mapping[int, tuple[int, ...]] = {2: (2,), 3: (2, 1), 4: (4,), 5: (4, 1), 6: (4, 2), 7: (4, 2, 1), 8: (8,)}


def pack(codes: torch.Tensor, bits: int) -> dict[int, torch.Tensor]:
    """The pieces of some codes, lowest bits first.

    Args:
        codes: uint8 below 2 ** bits, shape (rows, columns).
        bits: 2 to 8.

    Returns:
        Width of a piece → uint8 of shape (rows, columns * width / 8, rounded up); rows are filled with zeros.
    """
    import torch
    from torch.nn.functional import pad

    found, done = {}, 0
    for width in PIECES[bits]:
        many = 8 // width
        piece = pad((codes >> done) & (2**width - 1), (0, -codes.shape[1] % many))
        beside = piece.view(len(codes), -1, many)
        byte = beside[..., 0].clone()
        for place in range(1, many):
            byte |= beside[..., place] << (place * width)
        found[width] = byte.to(torch.uint8)
        done += width
    return found


def unpack(pieces: Mapping[int, torch.Tensor], columns: int) -> torch.Tensor:
    """The codes of `pack`, uint8 of shape (rows, columns)."""
    import torch

    codes: torch.Tensor | None = None
    done = 0
    for width, piece in pieces.items():
        if width == 8:
            return piece
        shifts = torch.arange(0, 8, width, dtype=torch.uint8)
        part = ((piece.unsqueeze(-1) >> shifts) & (2**width - 1)).flatten(-2)[..., :columns] << done
        codes = part if codes is None else codes | part
        done += width
    assert codes is not None
    return codes
