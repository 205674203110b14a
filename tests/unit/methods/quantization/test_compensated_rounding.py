"""Rows are rounded by themselves, in slices; the equation is held to the paper beside `gptq`."""

import pytest
import torch

from harness.artifacts.code_counts import code_counts
from harness.methods.quantization import compensated_rounding
from harness.methods.quantization.compensated_rounding import Order, compensated_matrix
from harness.methods.quantization.grouping import Rounding, stored_matrix


def problem(rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(300, columns, generator=generator) @ torch.randn(columns, columns, generator=generator)
    return torch.randn(rows, columns, generator=generator), (inputs.T @ inputs).double()


@pytest.mark.parametrize("order", ["inputs", "power"])
@pytest.mark.parametrize("group", [8, None])
def test_slices_of_rows_give_what_each_row_gives_alone(
    order: Order, group: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight, moments = problem(11, 24)
    rounding = Rounding(4, symmetric=False, search=True)
    alone = [compensated_matrix(row[None], moments, rounding, group, order, 0.01).weight() for row in weight]
    monkeypatch.setattr(compensated_rounding, "ROWS", 4)
    sliced = compensated_matrix(weight, moments, rounding, group, order, 0.01)
    assert sliced.grid.rows == 11
    torch.testing.assert_close(sliced.weight(), torch.cat(alone), rtol=1e-5, atol=1e-6)


def test_the_last_group_of_a_row_may_be_shorter() -> None:
    """22 columns in groups of 8: the third holds 6, and its scale is that of those alone."""
    weight, _ = problem(5, 22)
    weight[:, 16:] /= 64
    rounding = Rounding(8, symmetric=False, search=False)
    stored = compensated_matrix(weight, torch.eye(22, dtype=torch.float64), rounding, 8, "inputs", 0.01)
    assert torch.equal(stored.weight(), stored_matrix(weight, rounding, 8).weight())
    assert float((stored.weight() - weight)[:, 16:].abs().max()) < float(weight[:, 16:].abs().max()) / 127


@pytest.mark.parametrize("bits", [2, 4, 5, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("order", ["inputs", "power"])
def test_what_fills_the_last_group_is_counted_as_no_weight(bits: int, symmetric: bool, order: Order) -> None:
    """22 columns in groups of 8: two columns of every row are filling."""
    weight, moments = problem(40, 22)
    stored = compensated_matrix(weight, moments, Rounding(bits, symmetric, search=True), 8, order, 0.01)
    named = {f"fc.matrix.{name}": one for name, one in [*stored.named_parameters(), *stored.named_buffers()]}
    counts = code_counts(named)
    assert sum(weights for weights, _ in counts.values()) == 40 * 22
    assert sum(zeros for _, zeros in counts.values()) == int((stored.weight() == 0).sum())
