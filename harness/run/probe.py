"""A few inputs and what a model answered to them: whether what was reloaded is what was saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data.base import Split
from harness.errors import ArtifactError, Unmeasurable
from harness.forms import Form, Parts, Subject, tensors

if TYPE_CHECKING:
    import torch

SAMPLES = 8
# Freezing folds batch norms and reorders sums: outputs move in the last bits, far less than this share of their range.
TOLERANCE = 1e-2
# Threads add up in another order: far less than this share of the range.
REPEATED = 1e-4
_FILE = "probe.npz"


def inputs(split: Split) -> tuple[torch.Tensor, ...]:
    """The first few calibration samples as one batch."""
    return next(split.batches(SAMPLES)).inputs


def answers(subject: Subject, batch: tuple[torch.Tensor, ...]) -> list[np.ndarray[Any, Any]]:
    """What the object in memory gives, sample by sample, so that a graph with a fixed batch axis serves too."""
    return sample_by_sample(call(subject), batch)


def call(subject: Subject) -> Callable[[tuple[torch.Tensor, ...]], tuple[torch.Tensor, ...]]:
    """The object in memory as it runs: inputs of one batch to outputs in float32."""
    import torch

    model = subject.model
    if subject.form is Form.OPENVINO:
        from harness.artifacts.openvino import decoder_inputs, import_openvino, is_decoder

        compiled = import_openvino().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        decodes = is_decoder(model)

        def infer(batch: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            # A decoder keeps what it read: each batch needs a request of its own.
            request = compiled.create_infer_request()
            fed = decoder_inputs(model, batch[0].numpy()) if decodes else [one.numpy() for one in batch]
            return tuple(torch.from_numpy(part.copy()).float() for part in request.infer(fed).values())

        return infer
    run = model.module() if subject.form is Form.EXPORTED else model

    def answer(batch: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        with torch.inference_mode():
            return tuple(part.float() for part in tensors(run(*batch)))

    return answer


def sample_by_sample(
    runner: Callable[[tuple[torch.Tensor, ...]], tuple[torch.Tensor, ...]], batch: tuple[torch.Tensor, ...]
) -> list[np.ndarray[Any, Any]]:
    """What a reloaded artifact gives, taken like `answers`."""
    rows = [runner(sample) for sample in _samples(batch)]
    return [np.concatenate([part.numpy() for part in parts]) for parts in zip(*rows, strict=True)]


def write(folder: Path, batch: tuple[torch.Tensor, ...], outputs: Sequence[np.ndarray[Any, Any]]) -> None:
    """Keep inputs and outputs beside the artifact."""
    arrays = {f"input{index}": tensor.numpy() for index, tensor in enumerate(batch)}
    arrays |= {f"output{index}": array for index, array in enumerate(outputs)}
    np.savez(folder / _FILE, **arrays)  # type: ignore[arg-type]


def read(folder: Path) -> tuple[tuple[torch.Tensor, ...], list[np.ndarray[Any, Any]]]:
    """The inputs and outputs that `write` kept.

    Raises:
        ArtifactError: nothing was kept there.
    """
    import torch

    if not (folder / _FILE).is_file():
        raise ArtifactError("what the model answered when it was saved is not beside its artifact any more")
    with np.load(folder / _FILE) as arrays:
        inputs, outputs = (
            [arrays[f"{kind}{index}"] for index in range(sum(name.startswith(kind) for name in arrays))]
            for kind in ("input", "output")
        )
        return tuple(torch.from_numpy(array) for array in inputs), outputs


def compare(
    saved: Sequence[np.ndarray[Any, Any]], reloaded: Sequence[np.ndarray[Any, Any]], which: str, parts: Parts = tuple
) -> None:
    """Hold a reloaded artifact to what was saved.

    Args:
        saved: what the model in memory gave.
        reloaded: what the artifact gives for the same inputs.
        which: what sentences call the side.
        parts: takes outputs apart; each part is held to its own range.

    Raises:
        ArtifactError: other shapes, or outputs that differ by more than rounding.
    """
    shapes = [[array.shape for array in side] for side in (saved, reloaded)]
    if shapes[0] != shapes[1]:
        raise ArtifactError(
            f"the reloaded {which} artifact gives outputs of shapes {shapes[1]}, the saved model {shapes[0]}"
        )
    for one, other in zip(parts(saved), parts(reloaded), strict=True):
        error = _apart(one, other)
        # `not <=` so that NaN is caught as well.
        if not error <= TOLERANCE:
            raise ArtifactError(
                f"the reloaded {which} artifact gives other outputs than the model that was saved: off by {error:.1%} "
                "of their range"
            )


def require_repeatable(
    first: Sequence[np.ndarray[Any, Any]], again: Sequence[np.ndarray[Any, Any]], which: str, parts: Parts = tuple
) -> None:
    """Hold a model to answering as before what it is asked once more.

    Args:
        first: what it gave.
        again: what it gives for the same inputs.
        which: what sentences call it.
        parts: takes outputs apart; each part is held to its own range.

    Raises:
        Unmeasurable: with by how much the answers moved.
    """
    for one, other in zip(parts(first), parts(again), strict=True):
        error = _apart(one, other)
        if not error <= REPEATED:
            raise Unmeasurable(
                f"the {which} model gives different outputs for the same input (off by {error:.1%} of the "
                "range of its outputs): something in it draws at random or keeps state between calls, so no "
                "measurement of it could be repeated. Is dropout left on?"
            )


def _apart(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """The largest difference as a share of the range; NaN where one of them is."""
    if not one.size:
        return 0.0
    return float(np.abs(one - other).max()) / (float(np.abs(one).max()) or 1.0)


def _samples(batch: tuple[torch.Tensor, ...]) -> list[tuple[torch.Tensor, ...]]:
    return [tuple(part[index : index + 1] for part in batch) for index in range(len(batch[0]))]
