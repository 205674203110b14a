"""What a careful engineer would write by hand for the spec of overhead.py: one process, no gate around it.

Loads the model and data, removes channels and fine-tunes, traces and saves both models, reloads both, evaluates both,
and times both in alternating blocks for as many calls as the gate does at its first look.
"""

from __future__ import annotations

import copy
import gc
import json
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch_pruning

from harness.data.base import Split
from harness.data.digits import Digits
from harness.methods.batch_norm import reestimate
from harness.sources.zoo import Zoo
from harness.tasks.image_classification import ImageClassification
from harness.training import Training, train

BLOCKS, BLOCK_NS = 10, 12e6


def main() -> None:
    """Do it all, print the figures."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    root, epochs = Path(), int(sys.argv[1])
    data = Digits(image_size=32).load(root)
    model = Zoo(name="resnet20-digits").load(root)
    example = next(data.calibration.batches(1)).inputs
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("float.pt", "pruned.pt")]
        save(copy.deepcopy(model), example, paths[0])
        prune(model, example)
        finetune(model, data.train, epochs)
        save(model, example, paths[1])
        sides = [torch.jit.freeze(torch.jit.load(path).eval()) for path in paths]
        sizes = [path.stat().st_size for path in paths]
        accuracy = [evaluate(side, data.evaluation) for side in sides]
        latency = alternate([side_call(side, example[0]) for side in sides])
    figures = {"size": sizes[1] / sizes[0], "top1": accuracy, "latency": latency[1] / latency[0]}
    print(json.dumps(figures))


def prune(model: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> None:
    """Remove three channels in ten of every layer but the last."""
    importance = torch_pruning.importance.MagnitudeImportance(p=2)
    torch_pruning.BasePruner(
        model, example, importance=importance, pruning_ratio=0.3, ignored_layers=[model.get_submodule(last(model))]
    ).step()


def finetune(model: torch.nn.Module, split: Split, epochs: int) -> None:
    """Train, and fit the statistics of batch normalization to what the model has become, as the method does."""
    task, training = ImageClassification(), Training(epochs=epochs)
    train(model, split, task, training, seed=0, progress=lambda text: None)
    reestimate(model, split, batch=training.batch_for(task), seed=0)


def last(model: torch.nn.Module) -> str:
    """The name of the last linear layer."""
    return [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)][-1]


def save(model: torch.nn.Module, example: tuple[torch.Tensor, ...], path: Path) -> None:
    """Trace and write."""
    with torch.no_grad():
        torch.jit.trace(model.eval(), example).save(path)


def evaluate(side: torch.nn.Module, split) -> float:  # type: ignore[no-untyped-def]
    """Top-1 accuracy."""
    with torch.inference_mode():
        hits = sum(int((side(*b.inputs).argmax(1) == b.targets).sum()) for b in split.batches(64))
    return hits / len(split)


def side_call(side: torch.nn.Module, inputs: torch.Tensor):  # type: ignore[no-untyped-def]
    """One inference."""

    def call() -> None:
        with torch.inference_mode():
            side(inputs)

    return call


def alternate(calls) -> list[float]:  # type: ignore[no-untyped-def]
    """Median nanoseconds a call of each side, in alternating blocks after a warm-up."""
    typical = []
    for call in calls:
        started = time.perf_counter()
        while time.perf_counter() - started < 0.3:
            call()
        begin = time.perf_counter_ns()
        call()
        typical.append(time.perf_counter_ns() - begin)
    counts = [max(1, min(200, int(BLOCK_NS / one))) for one in typical]
    times: list[list[int]] = [[], []]
    gc.disable()
    for pair in range(BLOCKS):
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            for _ in range(counts[side]):
                begin = time.perf_counter_ns()
                calls[side]()
                times[side].append(time.perf_counter_ns() - begin)
    gc.enable()
    return [sorted(side)[len(side) // 2] for side in times]


if __name__ == "__main__":
    main()
