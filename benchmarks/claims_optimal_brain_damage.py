"""Second derivatives against magnitude: what pruning costs at equal sparsity, without retraining.

    python benchmarks/claims_optimal_brain_damage.py paper [--seeds 5]
    python benchmarks/claims_optimal_brain_damage.py zoo [--scope layer] [--samples 4096]

LeCun, Denker and Solla's figure 1 ("Optimal Brain Damage", 1990): with the deleted parameters chosen by saliency, the
objective rises later than with those chosen by magnitude.

`paper`: the paper's setting. A LeNet with tanh units learns the handwritten digits by squared error, with no weight
decay, for each seed; curvature is that of the squared error of the outputs, on 320 training images, and is taken anew
after every 5 % of the weights: a saturated unit has none until some of its weights are gone. Nothing is trained
afterwards. Given are the objective on the 797 test images and how many seeds it is lower in than by magnitude.

`zoo`: networks as they are trained today: ReLU, cross-entropy, AdamW with weight decay. Optimal Brain Damage takes five
rounds; the share of zeros holds over all layers together, or in each (`--scope`), as it always does for Optimal Brain
Surgeon. Loss and accuracy on MNIST's 10,000 test images. The last column is the exact one-sided sign test (McNemar) of
the images that only one of Optimal Brain Damage and magnitude gets right.
"""

from __future__ import annotations

import argparse
import copy
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.stats import binomtest
from torch import nn
from torch.nn.functional import cross_entropy

from harness.data.base import Batch, Split
from harness.data.digits import Digits
from harness.data.mnist import Mnist
from harness.forms import Form, Subject
from harness.methods.base import Method, Workshop
from harness.methods.pruning.lottery_ticket import reinitialise
from harness.methods.pruning.magnitude import MagnitudePruning
from harness.methods.pruning.masks import Scope
from harness.methods.pruning.optimal_brain_damage import OptimalBrainDamage
from harness.methods.pruning.optimal_brain_surgeon import OptimalBrainSurgeon
from harness.methods.pruning.taylor import TaylorPruning
from harness.sources.zoo import Zoo
from harness.tasks.image_classification import ImageClassification
from harness.training import Training, train
from harness.zoo.lenet import lenet5

SPARSITIES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
PAPER_SPARSITIES = (0.3, 0.4, 0.5, 0.6, 0.7)


def figures(model: nn.Module, split: Split) -> tuple[float, np.ndarray]:
    """Mean cross-entropy, and whether each answer is right."""
    total, right = 0.0, []
    with torch.no_grad():
        for batch in split.batches(1000):
            logits = model(*batch.inputs)
            total += float(cross_entropy(logits, batch.targets, reduction="sum"))
            right.append(logits.argmax(1) == batch.targets)
    return total / len(split), torch.cat(right).numpy()


def squared(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Half the squared distance to +1 for the class and -1 for the others, the mean over samples."""
    wanted = 2 * nn.functional.one_hot(targets, 10).float() - 1
    return 0.5 * (logits - wanted).square().sum(1).mean()


def tanh_network(workshop: Workshop, seed: int) -> nn.Module:
    """The paper's kind of network, trained on the digits by squared error."""
    model = lenet5(image_size=32, convolutions=(6, 12), hidden=(30,))
    for name, part in list(model.named_children()):
        if isinstance(part, nn.ReLU):
            setattr(model, name, nn.Tanh())
    reinitialise(model, seed)
    assert workshop.data is not None
    assert workshop.data.train is not None
    train(
        model, workshop.data.train, workshop.task, Training(epochs=12, batch=20, learning_rate=0.01, weight_decay=0.0),
        seed=seed, progress=workshop.progress, loss=lambda net, batch: squared(net(*batch.inputs), batch.targets),
    )  # fmt: skip
    return model


def paper(seeds: int, samples: int) -> None:
    """The paper's setting, its figure."""
    data = Digits().load(Path())
    assert data.evaluation is not None
    everything = next(data.evaluation.batches(1000))
    example = next(data.calibration.batches(1)).inputs
    results: dict[float, list[tuple[float, float]]] = {sparsity: [] for sparsity in PAPER_SPARSITIES}
    for seed in range(seeds):
        workshop = Workshop(ImageClassification(), data.without_evaluation(), Path(), seed, lambda _: None)
        dense = tanh_network(workshop, seed)
        objective = partial(_objective, batch=everything)
        right = float((dense(*everything.inputs).argmax(1) == everything.targets).float().mean())
        print(f"seed {seed}: objective {objective(dense):.4f}, accuracy {right:.4f}", flush=True)
        damaged = copy.deepcopy(dense)
        # What is zero counts first, so a higher sparsity at each call is what `rounds` with a linear course does.
        for percent in range(5, 71, 5):
            OptimalBrainDamage(sparsity=percent / 100, curvature="outputs", samples=samples).apply(
                Subject(Form.TORCH, damaged, example), workshop
            )
            if percent / 100 in results:
                subject = Subject(Form.TORCH, copy.deepcopy(dense), example)
                by_size = MagnitudePruning(sparsity=percent / 100).apply(subject, workshop).model
                results[percent / 100].append((objective(by_size), objective(damaged)))
        last = {sparsity: pairs[-1] for sparsity, pairs in results.items()}
        print("   " + ", ".join(f"{one:.0%}: {size:.3f} {damage:.3f}" for one, (size, damage) in last.items()))
    print("zeros  objective by magnitude, by damage (means)  damage lower in")
    for sparsity, pairs in results.items():
        by_size, by_damage = (float(np.mean(one)) for one in zip(*pairs, strict=True))
        lower = sum(damage < size for size, damage in pairs)
        p = binomtest(lower, len(pairs), alternative="greater").pvalue
        print(f"{sparsity:4.0%}   {by_size:.4f}  {by_damage:.4f}   {lower} of {len(pairs)}, p = {p:.3f}")


def _objective(model: nn.Module, batch: Batch) -> float:
    with torch.no_grad():
        return float(squared(model.eval()(*batch.inputs), batch.targets))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("setting", choices=["paper", "zoo"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["lenet300-mnist"])
    parser.add_argument("--scope", choices=["global", "layer"], default="global")
    parser.add_argument("--samples", type=int, default=4096)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.setting == "paper":
        paper(arguments.seeds, min(arguments.samples, 320))
    else:
        zoo(arguments.models, arguments.samples, arguments.scope)


def zoo(models: list[str], samples: int, scope: Scope) -> None:
    """Today's networks."""
    data = Mnist(calibration=samples).load(Path())
    assert data.evaluation is not None
    workshop = Workshop(ImageClassification(), data.without_evaluation(), Path(), 0, lambda _: None)
    example = next(data.calibration.batches(1)).inputs
    for name in models:
        loss, right = figures(Zoo(name=name).load(Path()).eval(), data.evaluation)
        print(f"{name}: loss {loss:.4f}, accuracy {right.mean():.4f}")
        print("zeros   magnitude        taylor           damage           surgeon           damage > magnitude")
        for sparsity in SPARSITIES:
            methods: dict[str, Method] = {
                "magnitude": MagnitudePruning(sparsity=sparsity, scope=scope),
                "taylor": TaylorPruning(sparsity=sparsity, scope=scope, samples=samples),
                "damage": OptimalBrainDamage(
                    sparsity=sparsity, scope=scope, samples=samples, rounds=5, course="linear"
                ),
                "surgeon": OptimalBrainSurgeon(sparsity=sparsity),
            }
            found = {}
            for criterion, method in methods.items():
                subject = Subject(Form.TORCH, Zoo(name=name).load(Path()).eval(), example)
                found[criterion] = figures(method.apply(subject, workshop).model, data.evaluation)
            won = int((found["damage"][1] & ~found["magnitude"][1]).sum())
            lost = int((found["magnitude"][1] & ~found["damage"][1]).sum())
            p = binomtest(won, won + lost, alternative="greater").pvalue if won + lost else 1.0
            cells = "  ".join(f"{loss:6.3f} {right.mean():.4f}  " for loss, right in found.values())
            print(f"{sparsity:4.0%}  {cells} {won} won, {lost} lost, p = {p:.2g}", flush=True)


if __name__ == "__main__":
    main()
