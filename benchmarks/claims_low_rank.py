"""What a factorisation keeps when it is fitted to outputs, and what corrections of low rank win back.

    python benchmarks/claims_low_rank.py

LeNet-5 on the handwritten digits, 797 of them to measure on. For each share of the parameters: the accuracy after a
truncated SVD fitted to the weights, after one fitted to the layers' outputs on 128 calibration digits (Zhang et al.
2016), and after LoRA on that (Hu et al. 2022), with the number of parameters before and after LoRA.
"""

from __future__ import annotations

from pathlib import Path

from harness.data.digits import Digits
from harness.forms import Form, Subject
from harness.methods.base import Workshop
from harness.methods.low_rank.lora import Lora
from harness.methods.low_rank.svd import Svd
from harness.recipes import accuracy
from harness.sources.zoo import Zoo
from harness.tasks.image_classification import ImageClassification
from harness.training import Training

SHARES = (0.3, 0.2, 0.125, 0.08)
RECOVERY = Lora(
    train=Training(
        epochs=10, batch=32, optimizer="adamw", learning_rate=0.002, weight_decay=0.0, augment="affine"
    )
)  # fmt: skip


def main() -> None:
    """Print one row for each share."""
    data = Digits().load(Path())
    workshop = Workshop(ImageClassification(), data.without_evaluation(), Path(), 0, lambda _: None)
    split = data.evaluation
    assert split is not None

    def subject() -> Subject:
        return Subject(Form.TORCH, Zoo(name="lenet5-digits").load(Path()), next(data.calibration.batches(1)).inputs)

    print(f"float {accuracy(subject().model, split, workshop.task):.4f}")
    print("share  weights  outputs  + LoRA  parameters  + LoRA")
    for share in SHARES:
        figures = [accuracy(Svd(params=share, fit="weights").apply(subject(), workshop).model, split, workshop.task)]
        fitted = Svd(params=share).apply(subject(), workshop)
        counts = []
        for step in (None, RECOVERY):
            model = (fitted if step is None else step.apply(fitted, workshop)).model
            figures.append(accuracy(model, split, workshop.task))
            counts.append(sum(one.numel() for one in model.parameters()))
        row = f"{share:5.3f}  {figures[0]:7.4f}  {figures[1]:7.4f}  {figures[2]:6.4f}"
        print(f"{row}  {counts[0]:10,}  {counts[1]:6,}", flush=True)


if __name__ == "__main__":
    main()
