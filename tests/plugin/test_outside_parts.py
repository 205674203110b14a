"""A distribution of someone else's adds a task: its specs are gated, and nothing of weighin knows of it."""

from __future__ import annotations

from project import Project

PARTS = '''
"""A task whose answers have a name that weighin's metrics know, and data for it."""

from typing import ClassVar, Literal

from harness.data.base import DATA
from harness.data.digits import Digits
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
    install(project, PARTS, "tasks data")
    project.spec("sounds", "budgets:\n  top1: {max_drop: 0.02}\n  f1: {max_drop: 0.05}\n  size_mb: {max: 1}\n", HEAD)
    done = project.run("--update-baselines", "--reason", "the first")
    assert done.code == 0, done.out
    assert done.verdicts() == {f"sounds::{label}": "PASS" for label in ("top1", "f1", "size_mb", "evidence")}
    assert " of 797; " in done.sentence("sounds", "top1")

    # And what its answers cannot tell is refused by name.
    project.spec("sounds", "budgets: {pearson: {max_drop: 0.1}}\n", HEAD)
    refused = project.run()
    assert refused.code == 10
    assert "pearson is not defined for audio-classification; it is for sentence-similarity" in refused.out
    assert "audio-classification has agreement, f1, precision, recall, top1, top5" in refused.out
