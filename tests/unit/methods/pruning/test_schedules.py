import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.methods.pruning.schedules import cubic, rounds, stepwise


def test_geometric_rounds_leave_the_papers_shares() -> None:
    """Frankle and Carbin's 20 % a round: 80, 64, 51.2 and 41 % of the weights are left."""
    left = [1 - share for share in rounds(1 - 0.8**4, 4, "geometric")]
    assert left == pytest.approx([0.8, 0.64, 0.512, 0.4096])


def test_linear_and_cubic_rounds() -> None:
    assert rounds(0.8, 4, "linear") == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rounds(0.8, 2, "cubic") == pytest.approx([0.8 * (1 - 0.5**3), 0.8])


@given(st.floats(0.01, 0.99), st.integers(1, 20), st.sampled_from(["geometric", "linear", "cubic"]))
def test_sparsity_only_grows_and_ends_where_asked(final: float, count: int, course: str) -> None:
    shares = rounds(final, count, course)  # type: ignore[arg-type]
    assert shares == sorted(shares)
    assert len(shares) == count
    assert shares[-1] == final


def test_cubic_is_zhu_and_guptas_equation() -> None:
    """s_i = 0, s_f = 0.875, halfway: 0.875 - 0.875 / 8."""
    assert cubic(0.875, 0.0) == 0
    assert cubic(0.875, 0.5) == pytest.approx(0.765625)
    assert cubic(0.875, 1.0) == cubic(0.875, 7.0) == 0.875
    assert cubic(0.9, 0.0, initial=0.5) == pytest.approx(0.5)


def test_updates_come_every_so_many_steps_and_at_the_end() -> None:
    seen: list[tuple[int, float]] = []
    taken = 0

    def after(_: object) -> None:
        nonlocal taken
        taken += 1

    step = stepwise(
        lambda _, passed: seen.append((taken + 1, passed)), steps=100, begin=0.2, end=0.55, every=10, after=after
    )
    for _ in range(101):
        step(None)  # type: ignore[arg-type]
    assert [at for at, _ in seen] == [20, 30, 40, 50, 55]
    assert [passed for _, passed in seen] == pytest.approx([0, 10 / 35, 20 / 35, 30 / 35, 1])
    assert taken == 101
