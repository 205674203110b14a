from __future__ import annotations

import numpy as np
import pytest

from harness.artifacts.context_model import LARGEST_LEVEL, Plan, _Counting, _levels, best_plan, gridded, walk
from harness.artifacts.palette import Palette


def palette(grid: np.ndarray, books: list[list[float]]) -> Palette:
    words = tuple(np.array(sorted(np.array(book, "<f4").view("<u4"))) for book in books)
    return Palette(*grid.shape, len(grid), words, grid >= 0, grid[grid >= 0])


def cost(grid: np.ndarray, plan: Plan, values: int) -> float:
    found = palette(grid, [[0.1 * (one + 1) for one in range(values)]])
    counting = _Counting(grid.T if plan.flipped else grid)
    walk(found, int((grid >= 0).sum()), plan, counting)
    return counting.bits


def test_levels_rank_values_by_sign_and_size() -> None:
    found = _levels(palette(np.zeros((1, 1), int), [[-0.5, -0.1, 0.2, 0.3, 4.0]]))
    # Words ascend: 0.2, 0.3 and 4 rank 1, 2 and 3 above zero, then -0.1 and -0.5 rank 1 and 2 below it; 3 is level 8.
    assert found[0].tolist() == [3, 5, LARGEST_LEVEL, -3, -5]


def test_a_walk_meets_every_element_once_either_way() -> None:
    grid = np.where(np.random.default_rng(0).random((9, 14)) < 0.3, 1, -1)
    for plan in (Plan(False, 0, False), Plan(True, 3, True), Plan(False, 5, False)):
        counting = _Counting(grid.T if plan.flipped else grid)
        assert np.array_equal(walk(palette(grid, [[1.0, 2.0]]), int((grid > 0).sum()), plan, counting), grid)


def test_chance_costs_its_entropy() -> None:
    grid = np.where(np.random.default_rng(0).random((300, 200)) < 0.1, 0, -1)
    share = (grid == 0).mean()
    entropy = -grid.size * (share * np.log2(share) + (1 - share) * np.log2(1 - share))
    assert cost(grid, Plan(False, 0, False), 1) == pytest.approx(entropy, rel=0.001)
    # Contexts that tell nothing cost what it takes to learn so.
    assert cost(grid, Plan(False, 7, True), 1) == pytest.approx(entropy, rel=0.03)


def test_columns_of_uneven_density_are_learned() -> None:
    generator = np.random.default_rng(0)
    likely = np.where(np.arange(200) < 20, 0.5, 0.02)
    grid = np.where(generator.random((300, 200)) < likely, 0, -1)
    entropy = -300 * float((likely * np.log2(likely) + (1 - likely) * np.log2(1 - likely)).sum())
    assert cost(grid, Plan(False, 0, True), 1) == pytest.approx(entropy, rel=0.05)
    assert cost(grid, Plan(False, 0, False), 1) > 1.2 * entropy


def test_the_best_plan_finds_the_width_of_an_image() -> None:
    generator = np.random.default_rng(0)
    image = generator.normal(size=(30, 20, 12))
    image = image + np.roll(image, 1, 1) + np.roll(image, 1, 2)
    grid = np.where(np.abs(image) > 3, (image > 0).astype(int), -1).reshape(30, 240)
    assert best_plan(palette(grid, [[1.0, -1.0]])) == Plan(flipped=True, stride=12, places=False)
    assert np.array_equal(gridded(palette(grid, [[1.0, -1.0]])), grid)
