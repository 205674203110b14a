"""What codes stand for, however they lie in bytes."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.artifacts.code_counts import ZERO_CODES, code_counts
from harness.artifacts.integer_modules import Grid, matrix
from harness.forms import Form, Subject
from harness.methods.base import Workshop
from harness.methods.layers import multiplied_or_coded
from harness.methods.pruning.magnitude import MagnitudePruning
from harness.methods.pruning.n_m_sparsity import NMSparsity
from harness.methods.quantization.weight_only import WeightOnly
from harness.runtimes.torch import Torch
from harness.tasks.image_classification import ImageClassification


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("columns", [64, 70])
def test_a_matrix_of_codes_counts_by_its_weights(bits: int, symmetric: bool, columns: int) -> None:
    """Pieces of 1 to 8 bits, the last group filled up with zeros."""
    grid = Grid(rows=6, columns=columns, bits=bits, group=16, symmetric=symmetric)
    generator = torch.Generator().manual_seed(bits)
    codes = torch.randint(0, 2**bits, (6, grid.groups * 16), generator=generator, dtype=torch.uint8)
    zeros = torch.full((6, grid.groups), 1 if not symmetric else 2 ** (bits - 1), dtype=torch.uint8)
    codes[:, columns:] = int(zeros[0, 0])
    # A weight that is none in the last column that is.
    codes[0, columns - 1] = 0 if int(zeros[0, 0]) else 1
    stored = matrix(grid, codes, torch.ones(6, grid.groups), None if symmetric else zeros)
    wide = stored.weight()
    named = {f"fc.matrix.{name}": one for name, one in [*stored.named_parameters(), *stored.named_buffers()]}
    counts = code_counts(named)
    assert sum(weights for weights, _ in counts.values()) == wide.numel() == 6 * columns
    assert sum(found for _, found in counts.values()) == int((wide == 0).sum())


def test_codes_of_a_table_tell_no_zeros_and_other_tensors_are_left_alone() -> None:
    tensors = {
        "a.codes4": torch.zeros(8, 16, dtype=torch.uint8), "a.scales": torch.zeros(4),
        "b.codes": torch.zeros(5, 32, dtype=torch.uint8), "c.codes8": torch.eye(4, dtype=torch.int8),
        "d.weight": torch.zeros(3, 3), "e.codes4": torch.zeros(3, 3),
    }  # fmt: skip
    assert code_counts(tensors) == {"a.codes4": (256, 0), "b.codes": (320, 0), "c.codes8": (16, 12)}
    # FP4 has two zeros; a table beside the codes tells its own.
    tensors["a.codes4"][0, :3] = torch.tensor([0x08, 0x17, 0x88], dtype=torch.uint8)
    tensors["b.table"] = torch.tensor([0.0, *range(1, 16)])
    assert code_counts(tensors, ZERO_CODES["fp4"])["a.codes4"] == (256, 254)
    assert code_counts(tensors, ZERO_CODES["nf4"])["a.codes4"] == (256, 1)
    assert code_counts(tensors)["b.codes"] == (320, 320)


@pytest.mark.parametrize("code", ["nf4", "fp4"])
def test_the_codes_that_stand_for_zero_are_those_of_the_library(code: str) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0)).masked_fill(torch.eye(8, 64) == 1, 0.0)
    codes, _ = bitsandbytes.functional.quantize_4bit(weight, blocksize=64, quant_type=code)
    stored = {"a.codes4": codes.view(8, 32)}
    widened = bitsandbytes.functional.dequantize_4bit(codes, _)
    assert code_counts(stored, ZERO_CODES[code])["a.codes4"] == (512, int((widened == 0).sum()))
    assert int((widened == 0).sum()) >= 8


@pytest.mark.parametrize("bits", [4, 8])
def test_columns_that_are_pruned_in_all_rows_are_no_filling(bits: int, model: nn.Module, tmp_path: Path) -> None:
    """The last pixels of a digit are blank, and go."""
    with torch.no_grad():
        model[0].weight[:, 40:] = 0
    subject = Subject(Form.TORCH, model, (torch.ones(2, 70),))
    before = evidence(subject, tmp_path / "float")
    coding = WeightOnly(bits=bits, all_layers=bits == 4)
    after = evidence(coding.apply(deepcopy(subject), None), tmp_path / "coded")  # type: ignore[arg-type]
    first, _ = multiplied_or_coded(before, after)
    assert (first.stands_for, first.columns) == (48 * 70, 70)
    assert first.zeros >= 48 * 30
    assert NMSparsity(n=1, m=2).contradictions(before, after)


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(70, 48), nn.ReLU(), nn.Linear(48, 10)).eval()


def evidence(subject: Subject, folder: Path) -> Any:
    folder.mkdir()
    Torch().save(subject, folder)
    return Torch().load(folder, 1).evidence()


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("group", [16, 32])
def test_pruned_weights_are_counted_behind_their_codes(bits: int, group: int, model: nn.Module, tmp_path: Path) -> None:
    """No parameter goes by being packed, and a zero that another step has filled is missed."""
    subject = Subject(Form.TORCH, model, (torch.ones(2, 70),))
    workshop = Workshop(ImageClassification(), None, tmp_path, 0, lambda text: None)
    before = evidence(subject, tmp_path / "float")
    pruning = MagnitudePruning(sparsity=0.6, scope="global")
    pruned = pruning.apply(subject, workshop)
    sparse = evidence(pruned, tmp_path / "pruned")
    coding = WeightOnly(bits=bits, group_size=group, all_layers=bits == 4)
    after = evidence(coding.apply(deepcopy(pruned), None), tmp_path / "coded")  # type: ignore[arg-type]
    assert after.parameters == before.parameters == sparse.parameters
    assert after.sparsity == pytest.approx(sparse.sparsity, abs=0.002) or after.sparsity > sparse.sparsity
    assert pruning.contradictions(before, after) == []
    with torch.no_grad():
        pruned.model[0].weight[:4] = 0.05
    filled = evidence(coding.apply(pruned, None), tmp_path / "filled")  # type: ignore[arg-type]
    assert len(pruning.contradictions(before, filled)) == 1
