"""What a number of samples can prove, held against the judge itself: no claim is refused that it could pass."""

import re

import numpy as np
import pytest

from harness.judge.bounds import judge
from harness.judge.verdict import State, overall
from harness.measurement import Pairs
from harness.metrics.base import METRICS
from harness.spec.resolution import needs_samples, unprovable
from harness.statistics import needed_n, smallest_limit


def flawless(n: int) -> Pairs:
    """Both models right everywhere: the best that a sample of n can show."""
    right = np.ones(n, bool)
    return Pairs(outcomes_reference=right, outcomes=right, units=np.arange(n), data="d")


@pytest.mark.parametrize("n", [20, 100, 797])
@pytest.mark.parametrize(
    ("metric", "bound", "at"),
    [
        ("top1", "max_drop", lambda finest: finest),
        ("top1", "min_ratio", lambda finest: 1 - finest),
        ("agreement", "max_drop", lambda finest: finest),
        ("agreement", "min", lambda finest: 1 - finest),
    ],
)
def test_what_is_refused_is_what_a_flawless_sample_could_not_prove(n, metric, bound, at):
    finest = smallest_limit(n, 0.95)
    for room, provable in ((1.001 * finest, True), (0.999 * finest, False)):
        budget = METRICS[metric](**{bound: at(room)})
        assert bool(list(unprovable(budget, 0.95, n))) is not provable
        assert (overall(judge(budget, flawless(n), 0.95)) is State.PASS) is provable


def test_the_number_of_samples_that_is_asked_for_suffices():
    budget = METRICS["top1"](max_drop=0.02)
    ((name, sentence),) = unprovable(budget, 0.95, 50)
    assert name == "max_drop"
    assert sentence == (
        "50 independent evaluation samples cannot prove a drop below 0.02 even with none lost (the finest limit is "
        "0.0582); it takes 149"
    )
    assert not list(unprovable(budget, 0.95, needed_n(0.02)))
    assert list(unprovable(budget, 0.95, needed_n(0.02) - 1))
    # More confidence takes more.
    ((_, strict),) = unprovable(budget, 0.99, 150)
    assert strict.endswith(f"it takes {needed_n(0.02, 0.99)}")


@pytest.mark.parametrize(
    ("metric", "bounds", "finest"),
    [
        (
            "agreement",
            {"min": 0.99},
            "that agreement keeps its min, 0.99 even with none lost (the finest limit is 0.8608)",
        ),
        ("top1", {"min_ratio": 0.95}, "a ratio above 0.95 even with none lost (the finest limit is 0.8608)"),
        ("f1", {"max_drop": 0.05}, "a drop below 0.05 even with none lost (the finest limit is 0.1392)"),
    ],
)
def test_twenty_samples_prove_little(metric, bounds, finest):
    ((_, sentence),) = unprovable(METRICS[metric](**bounds), 0.95, 20)
    assert finest in sentence


@pytest.mark.parametrize(
    ("metric", "bounds"), [("top1", {"max_drop": 0}), ("agreement", {"min": 1}), ("top1", {"min_ratio": 1.0})]
)
def test_a_claim_that_leaves_no_room_is_proven_by_no_number_of_samples(metric, bounds):
    ((_, sentence),) = unprovable(
        METRICS[metric](**{name: float(limit) for name, limit in bounds.items()}), 0.95, 10**6
    )
    assert sentence.startswith("no number of samples proves ")


def test_bounds_that_need_no_samples_are_never_refused():
    for metric, bounds in (("top1", {"min": 0.99}), ("size_mb", {"max_rise": 1e-9}), ("sparsity", {"max_drop": 1e-9})):
        budget = METRICS[metric](**bounds)
        assert not needs_samples(budget)
        assert not list(unprovable(budget, 0.95, 2))
    assert needs_samples(METRICS["top1"](min=0.9, max_drop=0.02))


def spec(data: str, budgets: str) -> str:
    return f"""\
version: 1
task: image-classification
model: {{source: zoo, name: lenet5-digits}}
data: {data}
compress: [{{method: float16}}]
budgets: {budgets}
"""


@pytest.mark.parametrize(
    ("data", "n", "limit"),
    [
        ("{source: digits}", 797, 0.0037),
        ("{source: mnist}", 10_000, 0.00029),
        ("{source: imagenet-sample, crops: 50}", 20, 0.138),
    ],
)
def test_a_spec_is_refused_when_it_is_loaded_where_its_samples_are_known(project, data, n, limit):
    problem = project.problem(spec(data, f"{{size_mb: {{max: 1}}, top1: {{max_drop: {limit}}}}}"))
    assert (problem.line, problem.path) == (6, "budgets.top1.max_drop")
    assert problem.message.startswith(f"{n:,} independent evaluation samples cannot prove a drop below {limit:g} ")
    needed = int(re.search(r"it takes ([\d,]+)", problem.message).group(1).replace(",", ""))
    assert needed == needed_n(limit)
    project.load(spec(data, f"{{top1: {{max_drop: {1.04 * limit}}}}}"))


def test_images_in_a_folder_are_counted(project):
    data = "{source: folder, path: mine}"
    text = spec(data, "{top1: {max_drop: 0.02}}")
    # Nothing there yet: that is told when it runs, for the data may be made by then.
    project.load(text)
    for split, images in (("train", 3), ("val", 50)):
        for name in ("cat", "dog"):
            (project.root / "mine" / split / name / "more").mkdir(parents=True)
            for index in range(images):
                (project.root / "mine" / split / name / "more" / f"{index}.png").touch()
            (project.root / "mine" / split / name / "notes.txt").touch()
            (project.root / "mine" / split / name / ".hidden.png").touch()
    assert project.problem(text).message.startswith("100 independent evaluation samples cannot prove a drop below 0.02")
    project.load(spec(data, "{top1: {max_drop: 0.03}}"))
    limited = spec("{source: folder, path: mine, limit: 40}", "{top1: {max_drop: 0.03}}")
    assert project.problem(limited).message.startswith("40 independent evaluation samples")


def test_data_that_cannot_tell_its_size_is_left_to_the_run(project):
    loaded = project.load(spec("{source: folder, path: nowhere}", "{top1: {max_drop: 0.0001}}")).cases[0].spec
    assert loaded.data.evaluated(project.root) is None


def test_the_sizes_that_are_known_beforehand_are_those_of_the_splits():
    pytest.importorskip("torch")
    from harness.data.base import DATA

    digits = DATA["digits"]()
    assert len(digits.load(None).evaluation) == digits.evaluated(None)
