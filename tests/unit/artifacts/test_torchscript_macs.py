"""Multiply-accumulates of programs: what torch's own counter lacks is counted or refused, and nothing sound is."""

import math
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from harness.artifacts.packed_graph import OPERATORS
from harness.artifacts.torchscript_operators import COMPOSED, packet_of, plain
from harness.errors import Unmeasurable
from harness.forms import Form, Subject
from harness.runtimes.base import Runner
from harness.runtimes.torch import Torch

pytestmark = [
    # Operators on codes say how they are to be made in the future.
    pytest.mark.filterwarnings("ignore:.*quantize:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def saved(model: nn.Module, example: tuple[torch.Tensor, ...], folder: Path) -> Runner:
    Torch().save(Subject(Form.TORCH, model.eval(), example), folder)
    return Torch().load(folder, threads=torch.get_num_threads())


class InCodes(nn.Module):
    """A product of two activations in int8, as `int8-static` makes it of attention by hand: nothing is stored."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        codes = torch.quantize_per_tensor(x, 0.05, 128, torch.quint8)
        return torch.ops.quantized.matmul(codes, codes.transpose(1, 2), 0.2, 128).dequantize()


def test_a_product_of_codes_is_counted_as_the_product_that_it_stands_for(tmp_path: Path) -> None:
    runner = saved(InCodes(), (normal(1, 5, 8),), tmp_path)
    assert "quantized::matmul" in runner.evidence().operators
    x = normal(3, 5, 8, seed=1)
    with FlopCounterMode(display=False) as counter:
        torch.matmul(x, x.transpose(1, 2))
    assert runner.macs((x,)) == 3 * 5 * 5 * 8 == counter.get_total_flops() // 2


class WithVectors(nn.Module):
    """A stored vector, and a matrix of one column, that rows are multiplied with."""

    def __init__(self) -> None:
        super().__init__()
        self.vector, self.column = nn.Parameter(normal(8)), nn.Parameter(normal(8, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.vector + (x @ self.column).flatten(1)


def test_a_product_with_a_vector_is_counted_as_one_with_a_matrix_of_one_column(tmp_path: Path) -> None:
    x = normal(3, 5, 8)
    assert saved(WithVectors(), (x[:1],), tmp_path).macs((x,)) == 3 * 5 * 8 + 3 * 5 * 8


class Nearest(nn.Module):
    """Distances to stored places, which torch works out in one operator that its counter does not know."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.places = nn.Parameter(normal(16, 8).to(dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cdist(x, self.places.float().t().contiguous().t())


class Pairing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pair = nn.Bilinear(8, 8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pair(x, x)


class OverTime(nn.Module):
    """A convolution that is taken from the parts of another one, and has a kind of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.bias = nn.Parameter(normal(3, 8, 4)), nn.Parameter(normal(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.conv_tbc(x.unsqueeze(0).expand(5, -1, -1), self.kernel, self.bias).transpose(0, 1)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (Nearest(), "aten::cdist, which takes a matrix of shape (16, 8)"),
        # Stored in half of the bytes, and widened as it is used.
        (Nearest(torch.float16), "aten::cdist, which takes a matrix of shape (16, 8)"),
        (Pairing(), "aten::bilinear, which takes a matrix of shape (4, 8, 8)"),
        (OverTime(), "aten::conv_tbc, which takes a matrix of shape (3, 8, 4)"),
    ],
    ids=["places", "places in half", "pairs", "kernel"],
)
def test_what_multiplies_in_a_way_that_has_no_formula_is_named(model: nn.Module, told: str, tmp_path: Path) -> None:
    """Counted as nothing, it would pass every `max_ratio` though nothing was saved."""
    runner = saved(model, (normal(1, 8),), tmp_path)
    sentence = f"the multiply-accumulates of {told}, have no formula here: leave `macs_g` and `flops_g` out"
    with pytest.raises(Unmeasurable, match=re.escape(sentence)):
        runner.macs((normal(2, 8),))
    assert runner.evidence().parameters == sum(one.numel() for one in model.parameters())


class Sound(nn.Module):
    """Stored matrices wherever a sound model has one that multiplies with nothing, and one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(10, 8), nn.Parameter(normal(6, 8))
        self.token, self.scale = nn.Parameter(normal(1, 1, 8)), nn.Parameter(normal(7, 8))
        self.norm, self.other, self.groups = nn.LayerNorm((7, 8)), nn.BatchNorm1d(7), nn.GroupNorm(7, 7)
        self.slope, self.narrow = nn.PReLU(7), nn.Parameter(normal(8, 8).half())
        self.register_buffer("table", normal(9, 4))
        self.register_buffer("relative", torch.arange(49).view(7, 7) % 9)
        self.register_buffer("mask", torch.ones(7, 7, dtype=torch.bool).tril())
        self.register_buffer("offsets", normal(7, 7))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.words(ids) + self.places.unsqueeze(0)
        x = torch.cat([self.token.expand(ids.shape[0], -1, -1), x], dim=1) * self.scale
        x = self.slope(self.groups(self.other(self.norm(x))))
        bias = self.table[self.relative].permute(2, 0, 1) + torch.where(self.mask, self.offsets, -1.0)
        x = nn.functional.linear(x, self.narrow.float().t().reshape(8, 8))
        return torch.stack([x, x.flip(1)], dim=1).sum(dim=(1, 3)) + bias.softmax(-1).mean(dim=(0, 1))


def test_what_multiplies_with_no_matrix_is_refused_nowhere(tmp_path: Path) -> None:
    ids = torch.arange(18).view(3, 6) % 10
    assert saved(Sound(), (ids[:1],), tmp_path).macs((ids,)) == 3 * 7 * 8 * 8


class Cells(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.gru, self.rnn = nn.LSTMCell(8, 16), nn.GRUCell(16, 16), nn.RNNCell(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(self.gru(self.lstm(x)[0]))


def test_cells_of_recurrent_layers_are_counted(tmp_path: Path) -> None:
    macs = 4 * 16 * (8 + 16) + 3 * 16 * (16 + 16) + 4 * (16 + 4)
    assert saved(Cells(), (normal(1, 8),), tmp_path).macs((normal(3, 8),)) == 3 * macs


def test_a_stored_table_is_a_factor_like_any_weight(tmp_path: Path) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Parameter(normal(8, 4)), nn.Parameter(normal(4, 6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.einsum("bi,ij,jk->bk", x, self.first, self.second) + torch.tensordot(x, self.first, 1).sum()

    macs = saved(Mixed(), (normal(1, 8),), tmp_path).macs((normal(3, 8),))
    with FlopCounterMode(display=False) as counter:
        Mixed()(normal(3, 8))
    assert macs == counter.get_total_flops() // 2 >= math.prod((3, 8, 4)) + math.prod((3, 4, 6))


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_it_is_known_of_every_operator_of_the_packed_format_what_it_multiplies(name: str) -> None:
    kind = f"aten::{name}"
    # To know both of one would be to know neither.
    assert plain(kind) is not (kind in COMPOSED or packet_of(kind) in flop_registry)
