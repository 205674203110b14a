"""One layer's weights in random order."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from harness.mutants.arithmetic import answering
from harness.mutants.base import MUTANTS, Claim, Green, Mutant
from harness.run.compressing import ARTIFACT
from harness.run.result import Result
from harness.spec.schema import Spec


@MUTANTS.register
class ShuffledLayer(Mutant):
    """The largest weight matrix that is neither first nor last, its stored elements permuted.

    Operators, types, zeros and every statistic of the weights stay as they are, and so does the size, except of a
    packed file, which is encoded anew: what owes the catch are measured answers.
    """

    mutant: Literal["shuffled-layer"] = "shuffled-layer"
    what: ClassVar[str] = "the stored weights of one inner layer in random order"
    compresses_wrongly: ClassVar[bool] = True

    def artifact(self, compressed: Path, reference: Path, spec: Spec) -> None:
        """Permute the weights where they lie in the file, as the runtime that wrote it says."""
        spec.deploy.shuffle(compressed / ARTIFACT, spec.measure.seed)

    def claim(self, green: Green, mutated: Result) -> Claim:
        """Every spec claims it, by whatever bounds the answers."""
        labels = answering(green)
        missing = "" if labels else "no budget bounds what the model answers: add top1 with a max_drop"
        return Claim(dict.fromkeys(labels, "bounds what the model answers"), missing, always=True)
