"""An artifact reloaded from disk: held to what it answered before, counted, and held to what its steps promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.artifacts import grids
from harness.errors import ArtifactError
from harness.metrics.base import Side
from harness.run import probe
from harness.run.cache import sealed_digest
from harness.run.compressing import ARTIFACT
from harness.runtimes.base import Runner
from harness.spec.schema import Spec
from harness.tasks.base import TASKS

if TYPE_CHECKING:
    import torch


def digest(folder: Path, which: str) -> dict[str, str]:
    """What the artifact in a folder holds.

    Args:
        folder: of one side of a job.
        which: how sentences name the side.

    Raises:
        ArtifactError: it is gone.
    """
    found = sealed_digest(folder / ARTIFACT)
    if not found:
        raise ArtifactError(f"the {which} artifact is gone: was the cache cleared since it was written?")
    return found


def reload(spec: Spec, folder: Path, which: str) -> Runner:
    """The artifact as its runtime runs it.

    Args:
        spec: the case.
        folder: of one side of a job.
        which: how sentences name the side.

    Raises:
        Unmeasurable: it does not load, answers otherwise than the model in memory did, or not twice the same.
    """
    runner = spec.deploy.load(folder / ARTIFACT, spec.measure.threads)
    batch, saved = probe.read(folder)
    reloaded = probe.sample_by_sample(runner, batch)
    again = [part.numpy() for part in runner(tuple(part[:1] for part in batch))]
    parts = TASKS[spec.task](task=spec.task).parts
    probe.require_repeatable([part[:1] for part in reloaded], again, f"reloaded {which}", parts)
    probe.compare(saved, reloaded, which, parts)
    return runner


def counted(
    runner: Runner, folder: Path, peak_bytes: tuple[int, ...], working: Callable[[], AbstractContextManager[None]]
) -> Side:
    """What can be counted on one side.

    Args:
        runner: the reloaded artifact.
        folder: where it lies.
        peak_bytes: what its memory jobs read.
        working: holds the machine while the multiplications are counted: some runtimes run the model for that.
    """

    def counting() -> int:
        with working():
            batch, _ = probe.read(folder)
            return runner.macs(repeated(batch, 1))

    return Side(
        bytes=sum(path.stat().st_size for path in (folder / ARTIFACT).rglob("*") if path.is_file()),
        evidence=runner.evidence(),
        counting=counting,
        peak_bytes=peak_bytes,
    )


def noted(runners: Mapping[str, Runner], sides: Mapping[str, Side]) -> tuple[Side, Side]:
    """Float and compressed, with what their weights tell of the grids that they lie on."""
    theirs = {name: (rows, narrow) for name, rows, narrow in runners["compressed"].matrices()}
    pairs = (grids.Stored(rows, *theirs[name]) for name, rows, _ in runners["reference"].matrices() if name in theirs)
    both = zip((sides["reference"], sides["compressed"]), grids.notes(pairs), strict=True)
    before, after = (replace(side, evidence=side.evidence.model_copy(update={"notes": notes})) for side, notes in both)
    return before, after


def contradictions(spec: Spec, reference: Side, compressed: Side, folders: Mapping[str, Path]) -> list[str]:
    """Every sentence in which the reloaded artifact contradicts the steps."""
    before, after = reference.evidence, compressed.evidence
    for name, evidence in (("float", before), ("compressed", after)):
        if not evidence.parameters or not evidence.operators:
            what = "parameter" if not evidence.parameters else "operator"
            return [f"nothing was counted on the {name} artifact: its runtime reports no {what}"]
    found = [f"{step.method}: {sentence}" for step in spec.compress for sentence in step.contradictions(before, after)]
    if _unchanged(reference, compressed, folders):
        found.insert(0, "the compressed artifact equals the float one: nothing was compressed")
    return found


def _unchanged(reference: Side, compressed: Side, folders: Mapping[str, Path]) -> bool:
    """Same stored tensors by type and shape, no smaller file, and the same answers bit for bit."""
    stored = [sorted((t.dtype, t.shape, t.zeros) for t in side.evidence.tensors) for side in (reference, compressed)]
    if stored[0] != stored[1] or compressed.bytes < 0.99 * reference.bytes:
        return False
    _, ours = probe.read(folders["reference"])
    _, theirs = probe.read(folders["compressed"])
    return all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


def repeated(batch: tuple[torch.Tensor, ...], size: int) -> tuple[torch.Tensor, ...]:
    """A batch of that size made of the samples at hand."""
    import torch

    return tuple(part[torch.arange(size) % len(part)] for part in batch)
