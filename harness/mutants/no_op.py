"""A compressor that does nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar, Literal

from harness.mutants.base import MUTANTS, Claim, Green, Mutant, Reach
from harness.run.result import Result
from harness.spec.expectation import EVIDENCE
from harness.spec.schema import Spec


@MUTANTS.register
class NoOp(Mutant):
    """The float artifact stands in the compressed one's place, as after a step that silently did nothing."""

    mutant: Literal["no-op"] = "no-op"
    what: ClassVar[str] = "the float artifact in the compressed one's place"
    reach: ClassVar[tuple[Reach, ...]] = ("figures", "times")

    def artifact(self, compressed: Path, reference: Path, spec: Spec) -> None:
        """Replace all that `compress` left for the compressed side."""
        shutil.rmtree(compressed)
        shutil.copytree(reference, compressed)

    def claim(self, green: Green, mutated: Result) -> Claim:
        """Every spec claims it, by its evidence; but where that is expected to fail it cannot turn."""
        if not green.evidence:
            return Claim(missing="evidence whose failure is not expected")
        return Claim({EVIDENCE: "an artifact that equals its input is no compression"}, always=True)
