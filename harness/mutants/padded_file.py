"""A file that holds more than it needs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar, Literal

from harness.mutants.arithmetic import counted
from harness.mutants.base import MUTANTS, Claim, Green, Mutant
from harness.mutants.padding import lengthen
from harness.run.compressing import ARTIFACT
from harness.run.result import Result
from harness.spec.schema import Spec

EXTRA = 0.05


@MUTANTS.register
class PaddedFile(Mutant):
    """The artifact's largest file is 5 % of the artifact longer, by bytes that nobody reads."""

    mutant: Literal["padded-file"] = "padded-file"
    what: ClassVar[str] = "the artifact 5 % larger, by bytes that nobody reads"

    def artifact(self, compressed: Path, reference: Path, spec: Spec) -> None:
        """Lengthen it where its format takes that, so that it loads and the size alone tells."""
        files = [path for path in (compressed / ARTIFACT).rglob("*") if path.is_file()]
        largest = max(files, key=lambda path: path.stat().st_size)
        lengthen(largest, math.ceil(EXTRA * sum(path.stat().st_size for path in files)))

    def claim(self, green: Green, mutated: Result) -> Claim:
        """A size claims it where 5 % more breaks its limit or its baseline's tolerance."""
        return counted(green, "size_mb", 1 + EXTRA)
