"""Lottery tickets: a sparse network that trains as well as the dense one, from its own initialisation and no other.

    python benchmarks/claims_lottery_ticket.py [--seeds 5] [--sparsity 0.95] [--rounds 3] [--epochs 2] [--json FILE]

For each seed, LeNet-300-100 is trained on MNIST from its initialisation (dense); the ticket is found in it by
iterative magnitude pruning, rewound, and trained as long (ticket); and the ticket's mask is trained as long from
another initialisation (control). The drop from dense to ticket is judged by the paired test of the accuracy verdicts on
the 10,000 images of the test set. The control is held against the ticket by the signs over the seeds: five of five
have p = 0.5^5 = 0.031.
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path

import numpy as np
import torch
from scipy.stats import binomtest
from torch import nn

from harness.data.base import Split
from harness.data.mnist import Mnist
from harness.forms import Form, Subject
from harness.methods.base import Workshop
from harness.methods.pruning.lottery_ticket import LotteryTicket, reinitialise
from harness.methods.pruning.zeros import kept_zero
from harness.statistics import proportion_difference
from harness.tasks.image_classification import ImageClassification
from harness.training import Training, train
from harness.zoo.lenet import lenet300

LIMIT = 0.003
OTHER = 1_000_003


def right(model: nn.Module, split: Split) -> np.ndarray:
    """Whether each answer is right."""
    with torch.no_grad():
        return torch.cat([model(*batch.inputs).argmax(1) == batch.targets for batch in split.batches(1000)]).numpy()


def trial(seed: int, method: LotteryTicket) -> dict[str, float]:
    """One seed's figures."""
    data = Mnist().load(Path())
    assert data.train is not None
    assert data.evaluation is not None
    workshop = Workshop(ImageClassification(), data.without_evaluation(), Path(), seed, lambda _: None)

    def trained(model: nn.Module) -> nn.Module:
        train(
            model, data.train, workshop.task, method.train, seed=seed, progress=workshop.progress,
            after_step=kept_zero(model),
        )  # fmt: skip
        return model

    dense = lenet300()
    reinitialise(dense, seed)
    dense = trained(dense)
    example = next(data.calibration.batches(1)).inputs
    ticket = method.apply(Subject(Form.TORCH, lenet300().eval(), example), workshop).model
    control = copy.deepcopy(ticket)
    # What `start: random` does with the mask of the last round.
    reinitialise(control, seed + OTHER)
    with torch.no_grad():
        for name, weight in control.named_parameters():
            if weight.ndim > 1:
                weight.masked_fill_(ticket.get_parameter(name) == 0, 0)
    control = trained(control)
    answers = {"dense": dense, "ticket": ticket, "control": control}
    correct = {name: right(model.eval(), data.evaluation) for name, model in answers.items()}
    won, lost = correct["ticket"] & ~correct["dense"], correct["dense"] & ~correct["ticket"]
    drop = proportion_difference(int(won.sum()), int(lost.sum()), len(won))
    return {
        "seed": seed,
        **{name: float(one.mean()) for name, one in correct.items()},
        "drop": drop.estimate,
        "bound": drop.upper,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sparsity", type=float, default=0.95)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    training = Training(
        epochs=arguments.epochs, batch=60, optimizer="adamw", learning_rate=1.2e-3, weight_decay=0.0, warmup=0.0
    )
    method = LotteryTicket(sparsity=arguments.sparsity, rounds=arguments.rounds, train=training)
    print("seed   dense  ticket control   drop  95 % upper bound")
    rows = []
    for seed in range(arguments.seeds):
        row = trial(seed, method)
        rows.append(row)
        figures = "  ".join(f"{row[name]:.4f}" for name in ("dense", "ticket", "control", "drop", "bound"))
        print(f"{seed:4d}  {figures}", flush=True)
    worse = sum(row["control"] < row["ticket"] for row in rows)
    proven = sum(row["bound"] < LIMIT for row in rows)
    sign = binomtest(worse, len(rows), alternative="greater").pvalue
    left = 1 - arguments.sparsity
    print(f"tickets of {left:.0%} of the weights, not worse by {LIMIT}: proven in {proven} of {len(rows)}")
    print(f"control worse in {worse} of {len(rows)} seeds, sign test p = {sign:.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
