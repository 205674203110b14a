"""Which budgets owe which change: the rule, with figures worked out by hand."""

import pytest

from harness.mutants.arithmetic import answering, counted, sampled, timed


def test_only_budgets_that_are_measured_on_samples_bound_the_answers(green, size, right):
    case = green(
        {"size_mb": {"max": 9.0}, "top1": {"max_drop": 0.1}}, {"size_mb": size(4.0), "top1": right(95, 96, 100)}
    )
    assert answering(case) == ["top1"]


# 4 MB of 10 become 4.2: a ratio of 0.42.
@pytest.mark.parametrize(
    ("budget", "owed"),
    [
        ({"max": 4.19}, True), ({"max": 4.21}, False),
        ({"max_ratio": 0.419}, True), ({"max_ratio": 0.421}, False),
        ({"max_rise": 5.0}, False),
    ],
)  # fmt: skip
def test_a_size_owes_what_lies_past_its_limit(green, size, budget, owed):
    claim = counted(green({"size_mb": budget}, {"size_mb": size(4.0)}), "size_mb", 1.05)
    assert claim.claimed is owed
    assert (claim.missing == "size_mb max_ratio below 0.420") is not owed


@pytest.mark.parametrize(("regress", "owed"), [(0.049, True), (0.051, False), (None, True)])
def test_a_size_owes_what_its_baseline_does_not_tolerate(green, size, entry, regress, owed):
    budget = {"max_ratio": 5.0} | ({"regress": regress} if regress is not None else {})
    case = green({"size_mb": budget}, {"size_mb": size(4.0)}, {"size_mb": entry("size_mb", 4.0)})
    assert counted(case, "size_mb", 1.05).claimed is owed


def test_a_label_of_any_name_owes_by_its_metric(green, size):
    case = green(
        {"small": {"metric": "size_mb", "max": 4.1}, "params_m": {"max": 4.1}},
        {"small": size(4.0), "params_m": size(4.0)},
    )
    assert counted(case, "size_mb", 1.05).owed.keys() == {"small"}


# 96 of 100 right in float and compressed; the mutant leaves 86: a drop of 0.10.
@pytest.mark.parametrize(
    ("budget", "owed"),
    [
        ({"max_drop": 0.099}, True), ({"max_drop": 0.11}, False),
        ({"min": 0.87}, True), ({"min": 0.85}, False),
        ({"min_ratio": 0.90}, True), ({"min_ratio": 0.89}, False),
    ],
)  # fmt: skip
def test_an_accuracy_owes_a_loss_past_its_limit(green, right, budget, owed):
    case = green({"top1": budget}, {"top1": right(96, 96, 100)})
    mutated = case.result.model_copy(update={"measurements": {"top1": right(86, 96, 100)}})
    claim = sampled(case, mutated, ["top1"])
    assert claim.claimed is owed
    assert (claim.missing == "top1 max_drop below 0.1000") is not owed


# A loss of 0.10 of n = 100 has a standard error of √(0.1/100) = 0.0316; two of them leave 0.0368.
@pytest.mark.parametrize(("regress", "owed"), [(0.036, True), (0.038, False)])
def test_a_baseline_owes_a_loss_past_its_tolerance_by_two_standard_errors(green, right, entry, regress, owed):
    outcomes = right(96, 96, 100)
    stored = entry("top1", 0.96, outcomes=outcomes)
    case = green({"top1": {"max_drop": 0.5, "regress": regress}}, {"top1": outcomes}, {"top1": stored})
    mutated = case.result.model_copy(update={"measurements": {"top1": right(86, 96, 100)}})
    assert sampled(case, mutated, ["top1"]).claimed is owed


def test_a_baseline_of_other_kernels_owes_nothing(green, right, entry):
    outcomes = right(96, 96, 100)
    stored = entry("top1", 0.96, outcomes=outcomes, kernels="torch AVX512")
    case = green({"top1": {"max_drop": 0.5}}, {"top1": outcomes}, {"top1": stored})
    mutated = case.result.model_copy(update={"measurements": {"top1": right(86, 96, 100)}})
    assert not sampled(case, mutated, ["top1"]).claimed


def test_a_figure_that_did_not_move_is_owed_by_nobody(green, right):
    case = green({"top1": {"max_drop": 0.0}}, {"top1": right(90, 96, 100)})
    claim = sampled(case, case.result, ["top1"])
    assert (claim.claimed, claim.missing) == (False, "nothing, for it moves no figure of this task")


# A ratio of 0.500 whose interval is about ± 0.2 %; 10 % more is 0.55.
@pytest.mark.parametrize(
    ("budget", "owed"),
    [
        ({"max_ratio": 0.54}, True), ({"max_ratio": 0.56}, False),
        ({"max_rise": 0.1}, False), ({"max": 1.05}, False),
    ],
)  # fmt: skip
def test_a_time_owes_what_lies_past_its_limit(green, times, budget, owed):
    claim = timed(green({"latency_ms": budget}, {"latency_ms": times(1.0, 2.0)}), 0.10)
    assert claim.claimed is owed


def test_absolute_times_owe_only_where_they_are_enforced(green, times, entry):
    budget, measured = {"latency_ms": {"max": 1.05}}, {"latency_ms": times(1.0, 2.0)}
    assert not timed(green(budget, measured), 0.10).claimed
    assert timed(green(budget, measured, timed={"latency_ms": entry("latency_ms", 1.0)}), 0.10).claimed


# Both take 2.0 ms, and 10 % more is 2.2.
@pytest.mark.parametrize(("then", "owed"), [(2.0, True), (1.7, False), (2.4, False)])
@pytest.mark.parametrize("budget", [{"max": 2.15}, {"max_rise": 0.15}])
def test_figures_of_a_machine_owe_nothing_at_another_pace_of_it(green, times, entry, budget, then, owed):
    stored = entry("latency_ms", 2.0, reference=then)
    case = green({"latency_ms": budget}, {"latency_ms": times(2.0, 2.0)}, timed={"latency_ms": stored})
    assert timed(case, 0.10).claimed is owed


@pytest.mark.parametrize(("then", "owed"), [(2.0, True), (1.7, True), (2.4, False)])
def test_a_baseline_of_a_slower_pace_owes_no_ratio(green, times, entry, then, owed):
    stored = entry("latency_ms", 1.0, reference=then, ratio=(0.5, 0.5, 0.5))
    budget = {"latency_ms": {"max_ratio": 0.9, "regress": 0.05}}
    case = green(budget, {"latency_ms": times(1.0, 2.0)}, timed={"latency_ms": stored})
    assert timed(case, 0.10).claimed is owed


# Held to a baseline of exactly 0.500, and less about 0.4 % of noise: 10 % more is some 9.6 % past it.
@pytest.mark.parametrize(("regress", "owed"), [(0.09, True), (0.10, False), (None, False)])
def test_a_time_owes_what_its_baseline_does_not_tolerate(green, times, entry, regress, owed):
    budget = {"max_ratio": 0.9} | ({"regress": regress} if regress is not None else {})
    stored = entry("latency_ms", 1.0, ratio=(0.5, 0.5, 0.5))
    case = green({"latency_ms": budget}, {"latency_ms": times(1.0, 2.0)}, timed={"latency_ms": stored})
    assert timed(case, 0.10).claimed is owed


# Half the time is twice the rate; 10 % more time leaves 1.82.
@pytest.mark.parametrize(("limit", "owed"), [(1.85, True), (1.80, False)])
def test_a_rate_owes_the_same_the_other_way_round(green, times, limit, owed):
    case = green({"throughput_fps": {"min_ratio": limit}}, {"throughput_fps": times(1.0, 2.0, rate=True)})
    claim = timed(case, 0.10)
    assert claim.claimed is owed
    assert owed or claim.missing.startswith("throughput_fps min_ratio above 1.8")


def test_without_a_time_nobody_owes_one(green, size):
    assert timed(green({"size_mb": {"max": 9.0}}, {"size_mb": size(4.0)}), 0.10).missing == "a budget on a time"
