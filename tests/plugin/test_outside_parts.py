"""A distribution of someone else's adds parts: its specs are gated, and nothing of weighin knows of them."""

from __future__ import annotations

import csv
import json
import re

from project import Project

PARTS = '''
"""A task whose answers have a name that weighin's metrics know, data for it, a metric, and how that is measured."""

from typing import ClassVar, Literal

import numpy as np

from harness.data.base import DATA
from harness.data.digits import Digits
from harness.measurement import MEASUREMENTS, Array, Sampled
from harness.metrics.base import METRICS
from harness.metrics.ranking import Ranked
from harness.statistics import mean_difference
from harness.tasks.base import TASKS
from harness.tasks.classification import Classification


@TASKS.register
class Sounds(Classification):
    """Which of several classes a sound belongs to."""

    task: Literal["audio-classification"] = "audio-classification"
    samples: ClassVar[str] = "clips"


@DATA.register
class Spectrograms(Digits):
    """Pictures of sounds."""

    source: Literal["spectrograms"] = "spectrograms"
    tasks: ClassVar[frozenset[str]] = frozenset({"audio-classification"})


@MEASUREMENTS.register
class Ranks(Sampled):
    """At which place both models rank the truth."""

    kind: Literal["ranks"] = "ranks"
    places_reference: Array
    places: Array

    @property
    def value(self):
        return float(self.places.mean())

    @property
    def reference(self):
        return float(self.places_reference.mean())

    @property
    def lost(self):
        return np.flatnonzero(self.places > self.places_reference)

    @property
    def won(self):
        return np.flatnonzero(self.places < self.places_reference)

    def tally(self, *, higher_is_better):
        return f"{self.lost.size} further back, {self.won.size} further ahead"

    def against(self, earlier):
        known = isinstance(earlier, Ranks) and earlier.data == self.data
        return self.model_copy(update={"places_reference": earlier.places}) if known else None

    def drop(self, confidence):
        return mean_difference(self.places_reference, self.places, self.units, confidence)


@METRICS.register
class MeanRank(Ranked):
    """Mean place of the target among the ranked classes."""

    metric: Literal["mean_rank"] = "mean_rank"
    better: ClassVar[str] = "lower"
    span: ClassVar[None] = None

    def measure(self, bench):
        evaluation = bench.evaluation()
        places = [
            np.where(hit.any(axis=1), hit.argmax(axis=1) + 1.0, 6.0)
            for side in (evaluation.reference, evaluation.compressed)
            for hit in [side["ranked"] == evaluation.targets[:, None]]
        ]
        return Ranks(places_reference=places[0], places=places[1], units=evaluation.units, data=evaluation.data)
'''
HEAD = """version: 1
title: {title}
task: audio-classification
model: {{source: zoo, name: lenet5-digits}}
data: {{source: spectrograms}}
compress: [{{method: float16}}]
"""


def install(project: Project, module: str, groups: str) -> None:
    """What pip would leave of a distribution that holds one module."""
    (project.root / "theirs.py").write_text(module)
    metadata = project.root / "theirs-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    entries = "".join(f"[weighin.{group}]\nall = theirs\n" for group in groups.split())
    (metadata / "entry_points.txt").write_text(entries)


def test_a_task_from_outside_is_gated_by_the_metrics_of_what_it_gives(project: Project) -> None:
    install(project, PARTS, "tasks data metrics measurement")
    project.spec("sounds", "budgets:\n  top1: {max_drop: 0.02}\n  f1: {max_drop: 0.05}\n  size_mb: {max: 1}\n", HEAD)
    done = project.run("--update-baselines", "--reason", "the first")
    assert done.code == 0, done.out
    assert done.verdicts() == {f"sounds::{label}": "PASS" for label in ("top1", "f1", "size_mb", "evidence")}
    assert " of 797; " in done.sentence("sounds", "top1")
    with (project.root / "report" / "outcomes" / "sounds" / "top1.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert list(lines[0]) == ["id", "unit", "float", "compressed", "float_score", "compressed_score"]
    assert len(lines) == 797
    for side in ("float", "compressed"):
        # What has more than half of all probability is what the model names.
        assert {line[side] for line in lines if float(line[f"{side}_score"]) > 0.5} == {"1"}

    # And what its answers cannot tell is refused by name.
    project.spec("sounds", "budgets: {pearson: {max_drop: 0.1}}\n", HEAD)
    refused = project.run()
    assert refused.code == 10
    assert "pearson is not defined for audio-classification; it is for sentence-similarity" in refused.out
    assert "audio-classification has agreement, f1, mean_rank, precision, recall, top1, top5" in refused.out


def test_a_kind_of_measurement_from_outside_is_judged_and_held_to_its_baseline(project: Project) -> None:
    install(project, PARTS, "tasks data metrics measurement")
    project.spec("sounds", "budgets:\n  mean_rank: {max_rise: 0.1}\n  size_mb: {max: 1}\n", HEAD)
    first = project.run("--update-baselines", "--reason", "the first")
    assert first.code == 0, first.out
    assert "further back" in first.sentence("sounds", "mean_rank")
    held = json.loads((project.root / "baselines" / "sounds.json").read_text())["cases"][""]["portable"]["mean_rank"]
    assert held["outcomes"]["kind"] == "ranks"

    # A model that has lost a bit since is a regression, within the budget as it is.
    worse = HEAD.replace("{{method: float16}}", "{{method: magnitude-pruning, sparsity: 0.9}}")
    project.spec("sounds", "budgets:\n  mean_rank: {max_rise: 4}\n  size_mb: {max: 1}\n", worse)
    second = project.run()
    assert second.code == 1, second.out
    assert "proven worse than the baseline" in second.sentence("sounds", "mean_rank")


BROKEN = '''
from typing import ClassVar, Literal

from harness.forms import Form
from harness.methods.base import METHODS, Method
from harness.metrics.base import METRICS, Metric


@METHODS.register
class Misspelt(Method):
    """A step with a mistake in it."""

    method: Literal["misspelt"] = "misspelt"
    forms: ClassVar[dict[Form, Form]] = {Form.TORCH: Form.TORCH}

    def apply(self, subject, workshop):
        return getattr(subject.model, "no_such_layer")


@METRICS.register
class Careless(Metric):
    """A metric with a mistake in it."""

    metric: Literal["careless"] = "careless"
    unit: ClassVar[str] = "MB"
    better: ClassVar[str] = "lower"

    def measure(self, bench):
        return {}["bytes"]
'''


def test_a_mistake_in_a_part_is_told_with_its_place_and_costs_what_stands_on_it(project: Project) -> None:
    install(project, BROKEN, "methods metrics")
    head = HEAD.replace("audio", "image").replace("spectrograms", "digits")
    project.spec("metric", "budgets:\n  careless: {max: 1}\n  size_mb: {max: 1}\n", head)
    project.spec("step", "budgets:\n  size_mb: {max: 1}\n", head.replace("float16", "misspelt"))
    done = project.run("--update-baselines", "--reason", "the first")
    assert done.verdicts() == {
        "metric::careless": "INVALID", "metric::size_mb": "PASS", "metric::evidence": "PASS",
        "step::size_mb": "INVALID", "step::evidence": "INVALID",
    }  # fmt: skip
    assert done.sentence("metric", "careless") == "careless: the metric careless failed: KeyError: 'bytes' → INVALID"
    assert "the compress stage failed: step 1 of 1: misspelt: AttributeError: " in done.sentence("step", "size_mb")
    # On the terminal, and in the report with what led there.
    assert re.search(r'theirs\.py", line \d+, in apply', done.out)
    logs = {case["spec"]: case["log"] for case in done.report["cases"]}
    assert 'return getattr(subject.model, "no_such_layer")' in logs["step"]
    assert 'return {}["bytes"]' in logs["metric"]
