import gc

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from harness.statistics import holm_confidence


def rejected(p_values: list[float], confidence: float = 0.95) -> list[bool]:
    level = holm_confidence([lambda asked, p=p: p <= 1 - asked for p in p_values], confidence)
    return [p <= 1 - level for p in p_values]


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_rejects_what_statsmodels_rejects(confidence: float, monkeypatch: pytest.MonkeyPatch) -> None:
    # statsmodels collects garbage at every call, which takes most of a second once torch is loaded.
    monkeypatch.setattr(gc, "collect", lambda: 0)
    generator = np.random.default_rng(0)
    for size in (1, 2, 5, 12):
        for _ in range(40):
            p_values = generator.beta(0.3, 4, size)
            expected = multipletests(p_values, 1 - confidence, method="holm")[0].tolist()
            assert rejected(p_values.tolist(), confidence) == expected


def test_each_step_leaves_the_rest_a_larger_share() -> None:
    # 0.05 / 4 = 0.0125, then 0.05 / 3 = 0.0167, then 0.05 / 2 = 0.025, which 0.03 exceeds.
    assert rejected([0.03, 0.012, 0.016, 0.2]) == [False, True, True, False]
    assert holm_confidence([lambda asked: False] * 4) == pytest.approx(0.9875)
    assert holm_confidence([lambda asked: True] * 4) == 0.95


def test_one_claim_or_none_needs_no_correction() -> None:
    assert holm_confidence([]) == holm_confidence([lambda asked: False]) == 0.95


def test_refuses_what_is_no_confidence() -> None:
    with pytest.raises(ValueError, match="confidence must lie"):
        holm_confidence([], 0.3)
