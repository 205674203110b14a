"""The benchmark of accuracy verdicts: its peers are what they are called, and its truths are true."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap

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


def test_fay_and_lumbards_bound_agrees_with_the_exact_mcnemar_test(part):
    chance = part("melding").melded_chance
    for won, lost in ((5, 0), (8, 1), (20, 9), (3, 3), (0, 4)):
        p = binomtest(lost, won + lost, 0.5, alternative="less").pvalue
        # At a limit of nothing: no loss is proven where the sign test says that fewer are lost than won.
        assert chance(won, lost, 100, 1e-9) == pytest.approx(1 - p, abs=1e-6)


def test_fay_and_lumbards_bound_is_the_melding_of_two_beta_distributions(part):
    chance, random = part("melding").melded_chance, np.random.default_rng(0)
    # With no discordant pair it is Clopper and Pearson's: n pairs prove 1 - 0.05 ** (1 / n).
    assert chance(0, 0, 59, 0.05) == pytest.approx(1 - 0.95**59)
    for won, lost, n, limit in ((1, 3, 100, 0.06), (12, 9, 100, 0.05), (0, 2, 50, 0.1), (15, 5, 20, 0.1)):
        share = random.beta(lost + 1, won, 200_000) if won else 1.0
        discordance = random.beta(won + lost + 1, n - won - lost, 200_000) if won + lost < n else 1.0
        assert chance(won, lost, n, limit) == pytest.approx(np.mean(discordance * (2 * share - 1) <= limit), abs=0.004)


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
    assert kid.weighted(value, plain=True)(even)[0] == pytest.approx(kid.pseudo_values(value).mean())


def test_the_true_drop_of_f1_is_the_mean_over_large_sets(part):
    classes, random = next(one for one in part("sets").CLASSES if one.drop == 0.05), np.random.default_rng(0)
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
    assert all(cell["limit"] < 0.1392 for cell in refused if cell["kind"] == "proportion")
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


def test_the_true_drop_in_one_class_is_that_class_s_alone(part):
    sets = part("sets")
    rare = next(one for one in sets.CLASSES if one.statistic == "recall" and one.only == 9 and one.drop == 0.01)
    # Half of a class of 2 % is lost: half of a tenth of the average.
    assert rare.limit == pytest.approx(0.5 / 10)
    assert rare.sizes(400).tolist() == [44] * 5 + [43] * 4 + [8]
    measured = rare.draw(4000, 0.01, np.random.default_rng(0))
    assert set(measured.targets[measured.lost]) == {9}
    assert measured.lost.size == pytest.approx(40, abs=20)
    # One of 8 weighs 400 / (10 · 8) times its share, and of one of 20 there is none.
    assert rare.finest(400) == pytest.approx(5 * (1 - (0.05 * 0.998) ** (1 / 400)))
    assert rare.finest(20) == float("inf")


def test_a_run_exits_by_every_claim_that_is_not_kept(part, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    gate, cell = importlib.import_module("accuracy_gate"), part("cell").Cell
    kept = cell("proportion", "share", 100, 0.1, 0.1, exact=True, false_pass_rate=0.05, false_fail_rate=0.05, power=0.9)
    assert not list(gate.missed(kept))
    for broken, told in (
        (cell("proportion", "share", 100, 0.1, 0.1, exact=True, worst=0.0501), "worst 0.0501"),
        (cell("proportion", "share", 100, 0.1, 0.1, exact=True, false_fail_rate=0.06), "false_fail_rate 0.0600"),
        (cell("proportion", "share", 100, 0.1, 0.1, exact=True, power=0.7, best_power=0.74), "power 0.7000"),
        # Three standard errors of 10,000 sets above 5 % are 5.65 %.
        (cell("family", "4 budgets", 100, 0.1, 0.1, sets=10_000, false_fail_rate=0.0566), "false_fail_rate"),
        (cell("set", "f1", 100, 0.1, 0.1, sets=10_000, false_pass_rate=0.0566), "false_pass_rate"),
    ):
        (claim,) = gate.missed(broken)
        assert told in claim
    assert not list(gate.missed(cell("set", "f1", 100, 0.1, 0.1, sets=10_000, false_pass_rate=0.0565)))


def test_cells_of_a_quick_run_are_not_taken_for_those_of_a_full_one(part, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    gate, cell = importlib.import_module("accuracy_gate"), part("cell").Cell
    cells = [
        cell("set", "f1", 100, 0.1, 0.1, asked=300, sets=300),
        cell("set", "recall", 100, 0.1, 0.1, asked=10_000),
        cell("proportion", "share", 100, 0.1, 0.1, exact=True),
    ]
    (tmp_path / "cells.json").write_text(json.dumps([vars(one) for one in cells]))
    assert {key[1] for key in gate.known(tmp_path / "cells.json", 10_000)} == {"recall", "share"}


@pytest.mark.parametrize("kind", ["cluster", "token", "rise", "correlation", "detection"])
def test_the_true_drop_of_units_is_the_mean_over_sets(part, kind):
    """And where there is to be none, there is none."""
    units = part("units")
    for drawn in units.DRAWN[kind][:2]:
        for level, truth in ((False, units.true_limit(drawn)), (True, 0.0)):
            random, drops = np.random.default_rng(1), []
            for _ in range(40):
                _, drop = drawn.draw(100, level=level, random=random)
                drops.append(drop(np.ones((1, 100)))[0])
            assert np.mean(drops) == pytest.approx(truth, abs=4.5 * np.std(drops) / 40**0.5), drawn.figure


@pytest.mark.parametrize("kind", ["cluster", "token", "rise", "correlation", "detection"])
def test_the_drop_of_the_bootstrap_is_the_gate_s_own(part, kind):
    units = part("units")
    for drawn in units.DRAWN[kind]:
        measured, drop = drawn.draw(60, level=False, random=np.random.default_rng(2))
        ours = drop(np.ones((1, 60)))[0]
        if kind == "token":
            assert np.exp(ours * -1) == pytest.approx(measured.reference / measured.value)
        elif kind == "rise":
            assert ours == pytest.approx(measured.value - measured.reference)
        else:
            assert ours == pytest.approx(measured.reference - measured.value, abs=1e-6)


def test_a_cell_beyond_the_method_claims_nothing(part, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    gate, cell = importlib.import_module("accuracy_gate"), part("cell").Cell
    far = cell("token", "perplexity", 100, 0.01, 0.01, beyond=True, sets=10_000, false_pass_rate=0.34)
    assert not list(gate.missed(far))


@pytest.mark.parametrize("kind", ["cluster", "token", "detection"])
@pytest.mark.parametrize("index", [0, -1])
def test_the_short_way_to_a_verdict_is_the_bound_s(part, kind, index) -> None:
    """Just beside the bound for means, whose chance is worked out; farther off for statistics, of few weights."""
    units = part("units")
    random = np.random.default_rng(3)
    measured, drops = units.DRAWN[kind][index].draw(100, level=False, random=random)
    upper = units.upper(measured)
    estimate = measured.drop(0.95).estimate if kind != "token" else np.log(measured.ratio(0.95).estimate)
    off = 2.0 * (upper - estimate) if kind == "detection" else 1e-3 * upper
    assert upper > estimate > 0
    for limit, passes in ((upper + off, True), (upper - off, False)):
        assert units.below(measured, drops, limit, random, check=False) is passes


def test_what_the_short_way_says_is_held_to_the_bound(part) -> None:
    require_same = part("decided").require_same
    require_same(True, 0.0499, 0.05)
    require_same(True, 0.05 * (1 + 1e-6), 0.05)  # rounding
    with pytest.raises(AssertionError, match=r"the short cut says True, and the bound is 0\.051"):
        require_same(True, 0.051, 0.05)
