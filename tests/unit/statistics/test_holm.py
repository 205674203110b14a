import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from harness.statistics import holm


def test_rejects_what_statsmodels_rejects() -> None:
    generator = np.random.default_rng(0)
    for size in (1, 2, 5, 12):
        for _ in range(5):
            p_values = generator.beta(0.3, 2, size)
            assert holm(p_values.tolist()) == tuple(multipletests(p_values, 0.05, method="holm")[0].tolist())


def test_nothing_to_reject() -> None:
    assert holm([]) == ()


def test_refuses_what_is_no_probability() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.2, 1.2])
