"""A file that holds more than it needs."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import ClassVar, Literal

from harness.mutants.arithmetic import counted
from harness.mutants.base import MUTANTS, Claim, Green, Mutant
from harness.run.compressing import ARTIFACT
from harness.run.result import Result
from harness.spec.schema import Spec

EXTRA = 0.05


@MUTANTS.register
class PaddedFile(Mutant):
    """The artifact's largest file is 5 % of the artifact longer, by zeros that nobody reads."""

    mutant: Literal["padded-file"] = "padded-file"
    what: ClassVar[str] = "the artifact 5 % larger, by zeros that nobody reads"

    def artifact(self, compressed: Path, reference: Path, spec: Spec) -> None:
        """One more entry in an archive; behind the end of any other file."""
        files = [path for path in (compressed / ARTIFACT).rglob("*") if path.is_file()]
        largest = max(files, key=lambda path: path.stat().st_size)
        zeros = bytes(math.ceil(EXTRA * sum(path.stat().st_size for path in files)))
        if zipfile.is_zipfile(largest):
            with zipfile.ZipFile(largest, "a") as archive:
                root = archive.namelist()[0].partition("/")[0]
                archive.writestr(zipfile.ZipInfo(f"{root}/extra/padding"), zeros)
        else:
            with largest.open("ab") as stream:
                stream.write(zeros)

    def claim(self, green: Green, mutated: Result) -> Claim:
        """A size claims it where 5 % more breaks its limit or its baseline's tolerance."""
        return counted(green, "size_mb", 1 + EXTRA)
