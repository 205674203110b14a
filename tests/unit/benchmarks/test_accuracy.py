"""The benchmark of accuracy verdicts: its peers are what they are called, and its truths are true."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import bootstrap

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def part(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return lambda name: importlib.import_module(f"accuracy.{name}")


@pytest.mark.parametrize(("ours", "scipys"), [("percentile", "percentile"), ("BCa", "BCa")])
def test_the_bootstraps_are_those_of_scipy(part, ours, scipys):
    drop = np.random.default_rng(0).exponential(0.02, 200)
    found = np.mean(
        [part("resampling").upper_bounds(drop[None], np.random.default_rng(seed))[ours][0] for seed in range(20)]
    )
    theirs = bootstrap((drop,), np.mean, confidence_level=0.9, n_resamples=9999, method=scipys, rng=0)
    half = theirs.confidence_interval.high - drop.mean()
    assert found == pytest.approx(theirs.confidence_interval.high, abs=0.03 * half)


def test_the_studentized_bootstrap_comes_to_students_bound_where_nothing_is_skewed(part):
    drop = np.random.default_rng(1).normal(0.02, 0.1, (5, 400))
    bounds = part("resampling").upper_bounds(drop, np.random.default_rng(0))["studentized"]
    expected = drop.mean(axis=1) + 1.6486 * drop.std(axis=1, ddof=1) / 20
    assert bounds == pytest.approx(expected, abs=0.12 * 1.65 * 0.1 / 20)


def test_the_true_rise_of_kid_is_the_mean_over_many_sets(part):
    kid, random = part("kid"), np.random.default_rng(0)
    images = kid.IMAGES[2]
    rises = []
    for _ in range(200):
        reference, value = images.draw(100, level=False, random=random)
        rises.append(kid.pseudo_values(value).mean() - kid.pseudo_values(reference).mean())
    assert np.mean(rises) == pytest.approx(images.limit, abs=4 * np.std(rises) / 200**0.5)
    # The mean of the pseudo-values is the U-statistic itself.
    even = np.ones((1, 100))
    assert kid.weighted(value)(even)[0] == pytest.approx(kid.pseudo_values(value).mean())


def test_the_true_drop_of_f1_is_the_mean_over_large_sets(part):
    classes, random = part("sets").CLASSES[3], np.random.default_rng(0)
    drops = [measured.reference - measured.value for measured in (classes.draw(5000, 0.05, random) for _ in range(30))]
    assert np.mean(drops) == pytest.approx(classes.limit, abs=4 * np.std(drops) / 30**0.5)


def test_a_run_goes_on_where_another_one_stopped(tmp_path):
    file = tmp_path / "cells.json"
    command = [
        sys.executable, str(BENCHMARKS / "accuracy_gate.py"), "--kinds", "set", "proportion", "--sizes", "20",
        "--sets", "10", "--json", str(file), "--resume",
    ]  # fmt: skip
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    cells = json.loads(file.read_text())
    refused = [cell for cell in cells if cell["refused"]]
    assert refused
    assert all(cell["false_pass_rate"] is None and cell["power"] is None for cell in refused)
    assert all(cell["limit"] < 0.1392 for cell in refused)
    exact = [cell for cell in cells if cell["kind"] == "proportion" and not cell["refused"]]
    assert {(cell["discordance"], cell["limit"]) for cell in exact} == {(0.0, 0.2), (0.01, 0.2), (0.1, 0.2)}
    # A cell that the file holds is not worked out again, but shown as it is.
    cells[-1]["power"] = 0.1234
    file.write_text(json.dumps(cells))
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "0.1234" in again.stdout
    assert json.loads(file.read_text()) == cells


def test_the_kernel_distance_that_is_simulated_is_the_gate_s(part) -> None:
    from harness.statistics.kernel_distance import ImageSet, distance_rise, weighted_distance

    kid = part("kid")
    generator = np.random.default_rng(4)
    reference, value = kid.IMAGES[2].draw(12, level=False, random=generator)
    broken = kid.WORST + generator.standard_normal((3, kid.FEATURES))
    ours, theirs, worst = (ImageSet(one, kid.against_real(one)) for one in (reference, value, broken))
    weights = generator.standard_exponential((5, 12))
    constant = kid.kernel_between(kid.REAL, kid.REAL)
    assert weighted_distance(theirs, constant)(weights) == pytest.approx(kid.weighted(value)(weights))
    upper = distance_rise(ours, theirs, worst).upper
    verdicts = [kid.gate(reference, value, broken, limit, np.random.default_rng(0)) for limit in (2 * upper, upper / 2)]
    assert verdicts == [True, False]
