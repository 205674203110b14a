"""Which samples both models answered: the same ones, in one order, all of them, and none changed on the way."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data.base import Dataset, Split
from harness.errors import DataError, Unmeasurable
from harness.run.cache import key_of

if TYPE_CHECKING:
    from harness.data.base import Batch
    from harness.spec.schema import Spec

# Beside a task's own answers: what each sample was, and the truth about it.
SAMPLES, TARGETS = "samples", "targets"


def dataset(spec: Spec, root: Path) -> Dataset:
    """The splits of a spec, as its model takes them. What was done to them goes into the worker's log.

    Raises:
        DataError: the spec names no data, or it is absent, or texts for a model without a tokenizer.
    """
    if spec.data is None:
        raise DataError(f"{spec.task} needs `data:` to trace and to measure the model with")
    loaded = spec.data.load(root)
    for note in loaded.notes:
        logging.getLogger(__name__).warning(note)
    return loaded.encoded(spec.model.encoder(root)) if spec.data.texts else loaded


def address(spec: Spec, root: Path) -> str | None:
    """What decides the evaluated samples: options that reach them, content outside, and for texts the tokenizer.

    Options that no evaluated sample follows from (`Data.unseen`) have no part in it.
    """
    if spec.data is None:
        return None
    tokenizer = (spec.model.tokenizer(root),) if spec.data.texts else ()
    return key_of(spec.data.evaluation_options(), spec.data.fingerprint(root), *tokenizer)


def identities(batch: Batch) -> dict[str, np.ndarray[Any, Any]]:
    """What is kept of a batch beside the answers to it.

    Returns:
        ``samples``: uint64, shape (batch,), a digest of what the model was fed; ``targets``: the truth.
    """
    return {SAMPLES: np.array([_digest(batch, row) for row in range(len(batch.targets))], dtype=np.uint64),
            TARGETS: batch.targets.numpy()}  # fmt: skip


def _digest(batch: Batch, row: int) -> int:
    """A digest of one sample, however far it is filled up: that is a matter of the longest one beside it."""
    digest = hashlib.blake2b(digest_size=8)
    for part in batch.inputs:
        own = part[row]
        if batch.filled is not None and part.shape[:2] == batch.filled.shape:
            own = own[~batch.filled[row]]
        digest.update(own.contiguous().numpy().tobytes())
    return int.from_bytes(digest.digest(), "little")


def distinct(units: np.ndarray[Any, Any], samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Sampling units in which the copies of a sample count once: a model cannot but answer them alike.

    Args:
        units: shape (samples,), as the split has them.
        samples: shape (samples,), what tells samples apart.

    Returns:
        Shape (samples,). Units that share a sample are one.
    """
    # Imported here: the pytest process reads this module too, and pairs nothing.
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    _, owner = np.unique(units, return_inverse=True)
    _, first, copy = np.unique(samples, return_index=True, return_inverse=True)
    if len(first) == len(samples):
        return units
    edges = csr_array((np.ones(len(owner)), (owner, owner[first[copy]])), shape=(owner.max() + 1,) * 2)
    merged: np.ndarray[Any, Any] = connected_components(edges, directed=False)[1]
    return merged[owner]


def require_whole(answers: Mapping[str, np.ndarray[Any, Any]], split: Split, side: str) -> None:
    """Hold answers to the split: one row a sample in each array.

    Raises:
        Unmeasurable: the model left more or fewer.
    """
    for name, rows in answers.items():
        if len(rows) != len(split):
            raise Unmeasurable(
                f"the {side} model left {len(rows):,} rows of {name!r} for {len(split):,} samples: its outputs are not "
                "one a sample"
            )


def require_named(split: Split) -> None:
    """Hold a split to telling its samples apart.

    Raises:
        DataError: a sample without a name or a unit, or two of one name.
    """
    for what, given in (("names", split.names), ("units", split.units)):
        if len(given) != len(split):
            raise DataError(f"the evaluation split has {len(split):,} samples and {what} for {len(given):,}")
    seen: set[str] = set()
    for name in split.names:
        if name in seen:
            raise DataError(f"two evaluation samples are called {name!r}: a flip could not be told by its name")
        seen.add(name)


def require_paired(
    reference: Mapping[str, np.ndarray[Any, Any]], compressed: Mapping[str, np.ndarray[Any, Any]], split: Split
) -> None:
    """Hold both models' answers to the same samples in the same order.

    Raises:
        Unmeasurable: a sample that one model was given is not the one that the other was given in its place.
    """
    other = reference[SAMPLES] != compressed[SAMPLES]
    if other.any():
        raise Unmeasurable(
            f"the float and the compressed model were not given the same samples in the same order: {other.sum():,} of "
            f"{len(split):,} differ, the first is {split.names[int(other.argmax())]!r}. The data changed between them, "
            "or its source draws at random"
        )
    truth, other_truth = reference[TARGETS], compressed[TARGETS]
    # A target may be partly unknown, and is then the same where it is unknown on both sides.
    if not np.array_equal(truth, other_truth, equal_nan=truth.dtype.kind == "f"):
        raise Unmeasurable(
            "the float and the compressed model were held to different targets: the data changed between them"
        )
