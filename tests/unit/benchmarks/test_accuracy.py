"""The benchmark of accuracy verdicts: its peers are what they are called, and its truths are true."""

import importlib
import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap

from harness.code import code_digest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def part(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return lambda name: importlib.import_module(f"accuracy.{name}")


def gate(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "accuracy_gate.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


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
    asked = ("--kinds", "set", "proportion", "--sizes", 20, "--sets", 10, "--json", file, "--resume")
    first = gate(*asked)
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
    again = gate(*asked)
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
    table, cell = importlib.import_module("accuracy_gate"), part("cell").Cell
    kept = cell("proportion", "share", 100, 0.1, 0.1, exact=True, false_pass_rate=0.05, false_fail_rate=0.05, power=0.9)
    assert not list(table.missed(kept))
    for broken, told in (
        (cell("proportion", "share", 100, 0.1, 0.1, exact=True, worst=0.0501), "worst 0.0501"),
        (cell("proportion", "share", 100, 0.1, 0.1, exact=True, false_fail_rate=0.06), "false_fail_rate 0.0600"),
        (cell("proportion", "share", 100, 0.1, 0.1, exact=True, power=0.7, best_power=0.74), "power 0.7000"),
        # Three standard errors of 10,000 sets above 5 % are 5.65 %.
        (cell("family", "4 budgets", 100, 0.1, 0.1, sets=10_000, false_fail_rate=0.0566), "false_fail_rate"),
        (cell("set", "f1", 100, 0.1, 0.1, sets=10_000, false_pass_rate=0.0566), "false_pass_rate"),
    ):
        (claim,) = table.missed(broken)
        assert told in claim
    assert not list(table.missed(cell("set", "f1", 100, 0.1, 0.1, sets=10_000, false_pass_rate=0.0565)))


def test_cells_of_a_quick_run_are_not_taken_for_those_of_a_full_one(part, tmp_path):
    kept, cell, kinds = part("kept"), part("cell").Cell, part("kinds").KINDS
    cells = [
        cell("set", "f1", 100, 0.1, 0.1, code=kinds["set"].digest, asked=300, sets=300),
        cell("set", "recall", 100, 0.1, 0.1, code=kinds["set"].digest, asked=10_000),
        cell("proportion", "share", 100, 0.1, 0.1, code=kinds["proportion"].digest, exact=True),
    ]
    (tmp_path / "cells.json").write_text(json.dumps([asdict(one) for one in cells]))
    found = kept.read(tmp_path / "cells.json", 10_000)
    assert [one.figure for one in found.cells.values()] == ["recall", "share"]
    # And the quick run's is there for the next quick run.
    assert found.others == [asdict(cells[0])]


def test_cells_of_other_code_stay_in_the_file_and_are_worked_out_anew(tmp_path):
    file = tmp_path / "cells.json"
    asked = ("--kinds", "proportion", "--sizes", 20, "--json", file, "--resume")
    assert gate(*asked).returncode == 0
    cells = json.loads(file.read_text())
    assert len({cell["code"] for cell in cells}) == 1
    other = {**cells[-1], "code": "0123456789ab", "power": 0.4321}
    # As they were written before they told their code, with a field that there is no more.
    old = {name: figure for name, figure in cells[-1].items() if name not in ("code", "not_run")}
    old |= {"beyond": True, "power": 0.1234}
    file.write_text(json.dumps([old, *cells[:-1], other]))
    again = gate(*asked)
    assert again.returncode == 0, again.stderr
    assert "0.4321" not in again.stdout
    assert "0.1234" not in again.stdout
    assert json.loads(file.read_text()) == [*cells, old, other]


def test_a_cell_tells_the_code_that_its_rates_come_from(part):
    kinds, asked = part("kinds"), part("cell").Asked((20,), 10, (0.2,), (0.1,))
    for name, kind in kinds.KINDS.items():
        assert all(importlib.util.find_spec(module) for module in kind.code), name
        plan = next(kind.plans(asked))
        assert (plan.blank.kind, plan.measure.func.__module__ in kind.code) == (name, True)
    ratio = kinds.KINDS["ratio"].digest
    assert ratio == code_digest("accuracy.ratios", "harness.statistics")[:12]
    assert ratio not in (kinds.KINDS["proportion"].digest, code_digest("accuracy.ratios")[:12])


def test_what_a_quick_run_leaves_out_a_full_one_works_out(part, tmp_path):
    ratios, kept, file = part("ratios"), part("kept"), tmp_path / "cells.json"
    quick, full = ([plan.blank for plan in ratios.ratios((20, 100), sets)] for sets in (300, 10_000))
    told = [(one.n, one.not_run) for one in quick if not one.refused]
    assert told == [(100, "n up to 20 alone in a quick run")] * 3
    assert not any(one.not_run for one in full)
    code = part("kinds").KINDS["ratio"].digest
    left_out = replace(quick[-1], code=code)
    for there, found in ((left_out, None), (replace(left_out, not_run=None, power=0.6), 0.6)):
        file.write_text(json.dumps([asdict(there)]))
        earlier = kept.read(file, 10_000).found(full[-1])
        assert (earlier and earlier.power) == found


def test_what_is_not_run_is_listed_with_its_reason_and_no_rate(tmp_path):
    file = tmp_path / "cells.json"
    done = gate("--kinds", "correlation", "ratio", "--sizes", 20, 400, 5000, "--sets", 10, "--json", file)
    assert done.returncode == 0, done.stdout + done.stderr
    cells = json.loads(file.read_text())
    left_out = [cell for cell in cells if cell["not_run"]]
    assert [(cell["kind"], cell["n"]) for cell in left_out] == [
        *(("correlation", n) for n in (400, 5000)),
        *(("ratio", n) for n in (400, 400, 400, 5000, 5000, 5000)),
    ]
    rates = ("false_pass_rate", "worst", "false_fail_rate", "power", "best_power", "peer", "peer_power", "sets")
    assert {cell[name] for cell in left_out for name in rates} == {None}
    # What is refused at that size stays refused.
    assert [(cell["kind"], cell["n"]) for cell in cells if cell["refused"]] == [("ratio", 20)] * 3
    assert not any(cell["refused"] for cell in left_out)
    assert done.stdout.count("not run: n of 20, 100 alone, as the pairs of more embeddings take too long") == 2
    assert done.stdout.count("not run: n up to 100 alone, as every number of pairs that are right at all") == 6
    assert ", 3 of them refused and 8 not run\n" in done.stdout


def test_a_run_that_measures_nothing_is_not_green():
    done = gate("--kinds", "kid", "--sizes", 5000)
    assert done.returncode == 2
    assert done.stdout.count("not run: n up to 400 alone, as the kernel of more images takes too long") == 4
    assert re.search(r"4 cells in \d+ s, 0 of them refused and 4 not run\nnothing was measured\n$", done.stdout)


def test_boxes_are_refused_where_few_scenes_prove_nothing_and_not_run_where_there_are_too_many(part):
    blanks = [plan.blank for plan in part("units").units("detection", (20, 400, 5000), 10)]
    told = {n: {(one.refused, one.not_run) for one in blanks if one.n == n} for n in (20, 400, 5000)}
    assert told[20] == {(True, None)}
    assert told[400] == {(True, None), (False, None)}
    assert told[5000] == {(False, "n of 100, 400 alone, as a larger set takes up to seconds")}


def test_rows_beyond_the_method_run_when_they_are_asked_for_and_excuse_none_of_the_others(part, tmp_path):
    kinds, units = part("kinds"), part("units")
    assert set(kinds.KINDS) - set(kinds.DEFAULT) == {"beyond"}
    beyond = {drawn.figure for drawn in units.DRAWN["beyond"]}
    assert not beyond & {drawn.figure for name in units.DRAWN if name != "beyond" for drawn in units.DRAWN[name]}
    file = tmp_path / "cells.json"
    done = gate("--kinds", "beyond", "--sizes", 20, "--sets", 1000, "--json", file)
    worse, rare = json.loads(file.read_text())
    # 13.3 % of 10,000 sets, by the same random numbers; four standard errors of these 1,000.
    assert worse["false_pass_rate"] == pytest.approx(0.133, abs=0.043)
    assert rare["not_run"] == "n of 100, 400 alone, as they show what is beyond the method"
    assert done.returncode == 0
    told = f"beyond the method: {worse['figure']}, n = 20: {worse['false_pass_rate']:.4f}"
    assert told in done.stdout
    assert "largest false-pass rate" not in done.stdout


def test_rows_beyond_the_method_keep_the_random_numbers_that_they_had_among_perplexities(part):
    cell, units = part("cell").Cell("beyond", "perplexity, 1 % worse, all waver", 100, 0.01, 0.01), part("units")
    assert units.numbered(cell).key == ("token", *cell.key[1:])
    other = replace(cell, kind="cluster")
    assert units.numbered(other) == other


def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(tmp_path):
    done = gate("--kinds", "proportion", "--json", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"argument --json: {tmp_path}: {tmp_path} is a folder" in done.stderr
    file = tmp_path / "absent" / "rates" / "cells.json"
    gate("--kinds", "kid", "--sizes", 5000, "--json", file)
    assert len(json.loads(file.read_text())) == 4


def test_tango_s_score_passes_falsely_where_the_page_says(part):
    proportions = part("proportions")
    line = proportions.frontier(partial(proportions.score_passes, 100, 0.0264), 100)
    passed = proportions.share_passing(line, 100, *proportions.at_limit(0.0264, 0.0264))
    # With no discordant pair alone, and that is what (1 - 0.0264) ** 100 of samples have.
    assert passed == pytest.approx((1 - 0.0264) ** 100)
    assert passed == pytest.approx(0.069, abs=5e-4)


def test_limits_and_discordances_of_proportions_can_be_asked_for(tmp_path):
    file = tmp_path / "cells.json"
    done = gate("--kinds", "proportion", "--sizes", 50, "--limits", 0.12, "--discordances", 0.2, "--json", file)
    (cell,) = json.loads(file.read_text())
    assert (cell["n"], cell["limit"], cell["discordance"]) == (50, 0.12, 0.2), done.stdout
    assert 0 < cell["false_pass_rate"] <= 0.05


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


@pytest.mark.parametrize("kind", ["cluster", "token", "beyond", "rise", "correlation", "detection"])
def test_the_drop_of_the_bootstrap_is_the_gate_s_own(part, kind):
    units = part("units")
    for drawn in units.DRAWN[kind]:
        measured, drop = drawn.draw(60, level=False, random=np.random.default_rng(2))
        ours = drop(np.ones((1, 60)))[0]
        if kind in ("token", "beyond"):
            assert np.exp(ours * -1) == pytest.approx(measured.reference / measured.value)
        elif kind == "rise":
            assert ours == pytest.approx(measured.value - measured.reference)
        else:
            assert ours == pytest.approx(measured.reference - measured.value, abs=1e-6)


def test_a_cell_beyond_the_method_claims_nothing_and_any_other_does(part, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    table, cell = importlib.import_module("accuracy_gate"), part("cell").Cell
    far = cell("beyond", "perplexity", 100, 0.01, 0.01, sets=10_000, false_pass_rate=0.34)
    assert not list(table.missed(far))
    assert list(table.missed(replace(far, kind="token"))) == ["false_pass_rate 0.3400, and at most 0.050 is claimed"]


@pytest.mark.parametrize(
    ("kind", "index"),
    [("cluster", 0), ("cluster", -1), ("token", 0), ("beyond", -1), ("detection", 0), ("detection", -1)],
)
def test_the_short_way_to_a_verdict_is_the_bound_s(part, kind, index) -> None:
    """Just beside the bound for means, whose chance is worked out; farther off for statistics, of few weights."""
    units = part("units")
    random = np.random.default_rng(3)
    measured, drops = units.DRAWN[kind][index].draw(100, level=False, random=random)
    upper = units.upper(measured)
    perplexity = kind in ("token", "beyond")
    estimate = np.log(measured.ratio(0.95).estimate) if perplexity else measured.drop(0.95).estimate
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
