"""A model asked for its answers to a whole split, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data.base import Split
from harness.errors import Unmeasurable
from harness.run import probe
from harness.run.samples import SAMPLES, TARGETS, identities
from harness.tasks.base import Answers, Task

if TYPE_CHECKING:
    import torch

Ask = Callable[[tuple["torch.Tensor", ...]], tuple["torch.Tensor", ...]]


def evaluate(
    ask: Ask, split: Split, task: Task, which: str, progress: Callable[[str], None]
) -> dict[str, np.ndarray[Any, Any]]:
    """What a model answers, with what each sample was.

    Args:
        ask: the model, or the chain that calls it.
        split: what it is asked.
        task: makes answers of outputs.
        which: how sentences name the model.
        progress: told how many samples are done.

    Raises:
        Unmeasurable: an output that is not finite, a sample that was not seen, or a first batch that is answered
            otherwise when it is asked again at the end.
    """
    done, total = 0, len(split)
    parts: list[Answers] = []
    first: tuple[tuple[torch.Tensor, ...], list[np.ndarray[Any, Any]]] | None = None
    for batch in split.batches(task.batch):
        outputs = ask(batch.inputs)
        if first is None:
            asked = task.excerpt(batch.inputs)
            told = outputs if asked is batch.inputs else ask(asked)
            first = asked, [tensor.numpy().copy() for tensor in told]
        require_finite(outputs, which, done, total)
        parts.append({**task.answers_to(batch, outputs), **identities(batch)})
        done += len(batch.targets)
        progress(f"evaluating the {which} model, {done} of {total}")
    if done != total:
        raise Unmeasurable(f"the evaluation of the {which} model saw {done} of {total} samples")
    if first is not None:
        # Asked again at the end, so that what drifts from call to call is seen too.
        again = [tensor.numpy() for tensor in ask(first[0])]
        probe.require_repeatable(first[1], again, f"reloaded {which}", task.parts)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def require_finite(outputs: tuple[torch.Tensor, ...], which: str, done: int, total: int) -> None:
    """Refuse NaN and infinity.

    Raises:
        Unmeasurable: with how many samples were answered before.
    """
    if not all(bool(tensor.isfinite().all()) for tensor in outputs):
        raise Unmeasurable(f"the {which} model answers with NaN or infinity after {done} of {total} samples")


def answered(kept: Answers) -> Answers:
    """The task's own answers, without what each sample was."""
    return {name: rows for name, rows in kept.items() if name not in (SAMPLES, TARGETS)}


def called(side: str) -> str:
    """How sentences name a side."""
    return "float" if side == "reference" else side
