"""Does a student learn more from a teacher than from labels alone?

    python benchmarks/claims_distillation.py [--seeds N] [--choose]

The student is a perceptron of 1,210 parameters, the teacher a LeNet-5 of 51 times its size. For each seed the student
is trained twice on the first hundred training digits, from the same weights, on the same batches in the same order:
with labels alone, and with the teacher's softened answers beside them (Hinton, Vinyals, Dean 2015; few samples as in
its section 5, where soft targets are regularizers). Both are measured on the 797 evaluation digits. With five seeds,
five differences of one sign have p = 1/32 = 0.031 were both equally good.
`--choose` measures on the other 900 training digits: there the options below were settled, and not on the evaluation
split.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import torch
from torch import nn

from harness.data.base import Split, TensorSplit
from harness.data.digits import Digits
from harness.methods.distillation.distillation import Distillation, distil
from harness.recipes import accuracy
from harness.sources.zoo import Zoo
from harness.tasks.image_classification import ImageClassification
from harness.training import Training, train

TRAINING = Training(epochs=150, batch=20, optimizer="adamw", learning_rate=0.005)
LEARNT = 100
OPTIONS = Distillation(temperature=4.0, mix=0.9, train=TRAINING)


def student(seed: int) -> nn.Module:
    """A hidden layer of 16 units over the 8x8 pixels: 1,210 parameters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)
        ).eval()  # fmt: skip


def main() -> None:
    """Print one row a seed, and the sign test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--choose", action="store_true", help="measure on what is left of the training split")
    arguments = parser.parse_args()
    data = Digits().load(Path())
    assert isinstance(data.train, TensorSplit)
    learn = TensorSplit(data.train.inputs[:LEARNT], data.train.targets[:LEARNT])
    rest = TensorSplit(data.train.inputs[LEARNT:], data.train.targets[LEARNT:])
    measure = rest if arguments.choose else data.evaluation
    assert measure is not None
    teacher, task = Zoo(name="lenet5-digits").load(Path()), ImageClassification()
    sizes = [sum(one.numel() for one in model.parameters()) for model in (student(0), teacher)]
    print(f"student {sizes[0]:,} parameters, teacher {sizes[1]:,} ({accuracy(teacher, measure, task):.4f})")
    gains = [_gain(seed, teacher, task, learn, measure) for seed in range(arguments.seeds)]
    better = sum(gain > 0 for gain in gains)
    print(f"distilled is better in {better} of {len(gains)} seeds, by {statistics.mean(gains):+.4f} on average")
    if better == len(gains):
        print(f"p = {0.5 ** len(gains):.3f}, were both equally good")


def _gain(seed: int, teacher: nn.Module, task: ImageClassification, learn: Split, measure: Split) -> float:
    def quiet(_: str) -> None:
        return

    alone, taught = student(seed), student(seed)
    train(alone, learn, task, TRAINING, seed=seed, progress=quiet)
    example = next(learn.batches(1)).inputs
    distil(taught, teacher, learn, task, OPTIONS, example, seed=seed, progress=quiet)
    figures = [accuracy(model, measure, task) for model in (alone, taught)]
    print(f"seed {seed}: alone {figures[0]:.4f}, distilled {figures[1]:.4f}", flush=True)
    return figures[1] - figures[0]


if __name__ == "__main__":
    main()
