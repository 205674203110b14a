import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from harness.statistics.contrast import Contrast, Drop, RelativeDrop, score_upper

COUNTS = [(3, 7, 50), (0, 2, 100), (5, 1, 40), (4, 0, 30), (0, 0, 30), (1, 12, 25)]


def likelihood_maximum(contrast: Contrast, won: int, lost: int, n: int, null: float) -> tuple[float, float]:
    def loss(discordance: float) -> float:
        rates = [float(rate) for rate in contrast.rates(np.asarray(discordance), null)]
        chances = [*rates, 1 - sum(rates)]
        return -sum(
            count * np.log(max(p, 1e-300)) for count, p in zip((won, lost, n - won - lost), chances, strict=True)
        )

    bounds = (contrast.least_discordance(null), 1.0)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-11})
    won_rate, lost_rate = contrast.rates(np.asarray(found.x), null)
    return float(won_rate), float(lost_rate)


@pytest.mark.parametrize("null", [-0.1, 0.02, 0.2])
@pytest.mark.parametrize(("won", "lost", "n"), COUNTS)
def test_closed_forms_maximise_the_constrained_likelihood(won: int, lost: int, n: int, null: float) -> None:
    drop, relative = Drop(), RelativeDrop()
    assert drop.won_rate(won, lost, n, null) == pytest.approx(likelihood_maximum(drop, won, lost, n, null)[0], abs=2e-6)
    assert relative.lost_rate(won, lost, n, null) == pytest.approx(
        likelihood_maximum(relative, won, lost, n, null)[1], abs=2e-6
    )


def test_drop_score_at_zero_is_mcnemars() -> None:
    # With no drop under the hypothesis the constrained variance is (won + lost) / n.
    assert Drop().score(3, 11, 60, 0.0) == pytest.approx((11 - 3) / np.sqrt(11 + 3))
    assert RelativeDrop().score(3, 11, 60, 0.0) == pytest.approx((11 - 3) / np.sqrt(11 + 3))


def test_score_bound_without_discordance_has_tangos_closed_form() -> None:
    z = 1.6448536269514722
    assert score_upper(Drop(), 0, 0, 100, 0.95) == pytest.approx(z**2 / (100 + z**2), rel=1e-6)


def test_ratio_score_is_the_one_written_in_terms_of_the_ratio() -> None:
    # Nam and Blackwelder: (x_c - rho x_f) over the root of n (p11 (1-rho)^2 + p01 + rho^2 p10).
    won, lost, both, null = 4, 9, 60, 0.05
    n, rho = won + lost + both, (1 - null) / (1 + null)
    lost_rate = float(RelativeDrop().lost_rate(won, lost, n, null))
    both_rate = (1 - (1 + rho) * lost_rate) / rho
    won_rate = 1 - lost_rate - both_rate
    spread = np.sqrt(n * (both_rate * (1 - rho) ** 2 + won_rate + rho**2 * lost_rate))
    expected = -((both + won) - rho * (both + lost)) / spread
    assert RelativeDrop().score(won, lost, n, null) == pytest.approx(expected)


@pytest.mark.parametrize("contrast", [Drop(), RelativeDrop()])
def test_score_rises_with_lost_and_falls_with_won(contrast: Contrast) -> None:
    n = 40
    for null in (-0.2, 0.01, 0.1, 0.5):
        won, lost = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
        score = np.where(won + lost <= n, contrast.score(won, np.minimum(lost, n - won), n, null), np.nan)
        with np.errstate(invalid="ignore"):
            assert np.nanmin(np.diff(score, axis=1)) > -1e-9
            assert np.nanmax(np.diff(score, axis=0)) < 1e-9
