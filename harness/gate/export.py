"""Handing out what passed: the gated bytes, and a manifest that says what they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from harness import __version__
from harness.judge.verdict import Verdict
from harness.run.cache import key_of, sealed_digest
from harness.run.pipeline import Run
from harness.spec.load import Case, SpecFile

MANIFEST = "manifest.json"


def export(folder: Path, file: SpecFile, case: Case, run: Run, rows: Sequence[Verdict]) -> Path:
    """Copy the artifact of a case that passed, with its manifest; replaces an earlier export of the case whole.

    Raises:
        RuntimeError: the bytes changed since they were measured.
    """
    assert run.artifact is not None
    target = folder / file.id / case.name if case.name else folder / file.id
    staging = target.with_name(f".{target.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    shutil.copytree(run.artifact, staging)
    digests = sealed_digest(staging)
    if digests != run.result.artifact:
        shutil.rmtree(staging, ignore_errors=True)
        raise RuntimeError(f"{file.id}: the artifact changed after it was measured; nothing was exported")
    manifest = {
        "version": 1,
        "weighin": __version__,
        "spec": file.id,
        "case": case.name,
        "spec_sha256": key_of(case.spec.model_dump(mode="json")),
        "files": digests,
        "environment": run.result.environment.model_dump(mode="json"),
        "kernels": run.result.kernels,
        "verdicts": [row.model_dump(mode="json") for row in rows],
    }
    (staging / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    staging.rename(target)
    return target
