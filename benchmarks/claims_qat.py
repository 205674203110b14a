"""Does training with rounding in place beat rounding afterwards?

    python benchmarks/claims_qat.py [--bits 8 4 3 2] [--epochs N]

LeNet-300-100 on MNIST, through the same quantizer with and without training (Jacob et al. 2018, Krishnamoorthi 2018).
Each row gives the accuracy of the float model, of weights rounded after training, and of weights trained so, on the
10,000 test images; then, paired and exact, the upper bound (95 %) of what is lost by the trained one against the float
model, and against rounding afterwards: below zero it is proven better.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from harness.data.mnist import Mnist
from harness.forms import Form, Subject
from harness.methods.base import Workshop
from harness.methods.quantization.qat import Qat
from harness.sources.zoo import Zoo
from harness.statistics import proportion_difference
from harness.tasks.image_classification import ImageClassification
from harness.training import Training


def main() -> None:
    """Print one row for each number of bits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bits", type=int, nargs="+", default=[8, 4, 3, 2])
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    data = Mnist(calibration=512).load(Path())
    workshop = Workshop(ImageClassification(), data.without_evaluation(), Path(), 0, lambda _: None)
    assert data.evaluation is not None

    def right(model: torch.nn.Module) -> np.ndarray:
        with torch.no_grad():
            return np.concatenate(
                [(model(*one.inputs).argmax(1) == one.targets).numpy() for one in data.evaluation.batches(500)]
            )

    def subject() -> Subject:
        return Subject(Form.TORCH, Zoo(name="lenet300-mnist").load(Path()), next(data.calibration.batches(1)).inputs)

    plain = right(subject().model)
    training = Training(epochs=arguments.epochs, batch=128, learning_rate=0.005)
    print("bits   float   after trained  lost to float  lost to after")
    for bits in arguments.bits:
        after, trained = (
            right(Qat(bits=bits, train=train).apply(subject(), workshop).model) for train in (None, training)
        )
        lost = [
            proportion_difference(int((trained & ~one).sum()), int((one & ~trained).sum()), len(one)).upper
            for one in (plain, after)
        ]
        row = f"{bits:4} {plain.mean():.4f}  {after.mean():.4f}  {trained.mean():.4f}"
        print(f"{row}  {lost[0]:+13.4f}  {lost[1]:+13.4f}", flush=True)


if __name__ == "__main__":
    main()
