"""Handing out what passed: the gated bytes, and a manifest that says what they are."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from harness import __version__
from harness.artifacts.exported import MANIFEST
from harness.judge.verdict import Verdict
from harness.run.cache import sealed_digest
from harness.run.pipeline import Run
from harness.spec.load import Case


def export(folder: Path, case: Case, run: Run, rows: Sequence[Verdict]) -> Path:
    """Copy the artifact of a case that passed, with its manifest; replaces an earlier export of the case whole.

    Raises:
        RuntimeError: the bytes changed since they were measured.
    """
    assert run.artifact is not None
    target = place(folder, run.result.spec, case)
    staging = target.with_name(f".{target.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    shutil.copytree(run.artifact, staging)
    digests = sealed_digest(staging)
    if digests != run.result.artifact:
        shutil.rmtree(staging, ignore_errors=True)
        raise RuntimeError(f"{run.result.spec}: the artifact changed after it was measured; nothing was exported")
    manifest = {
        "version": 1,
        "weighin": __version__,
        "spec": run.result.spec,
        "case": case.name,
        "spec_sha256": _digest(case),
        "files": digests,
        "environment": run.result.environment.model_dump(mode="json"),
        "deploy": case.spec.deploy.model_dump(mode="json"),
        "kernels": run.result.kernels,
        "verdicts": [row.model_dump(mode="json") for row in rows],
    }
    text = json.dumps(manifest, indent=1) + "\n"
    _clear(target)
    target.mkdir(exist_ok=True)
    for name in digests:
        (target / name).parent.mkdir(exist_ok=True)
        (staging / name).replace(target / name)
    # Last, and whole: bytes beside which there is no manifest were not let out.
    (staging / MANIFEST).write_text(text, encoding="utf-8")
    (staging / MANIFEST).replace(target / MANIFEST)
    shutil.rmtree(staging)
    return target


def withdraw(folder: Path, spec: str, case: Case) -> Path | None:
    """Remove what an earlier run exported of a case that does not pass any more; None where there is nothing."""
    target = place(folder, spec, case)
    return target if _clear(target) else None


def _clear(target: Path) -> bool:
    """Remove an export and nothing else: the exports of other specs may lie below it."""
    try:
        files = json.loads((target / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    for name in (MANIFEST, *files):
        (target / name).unlink(missing_ok=True)
    for folder in sorted({(target / name).parent for name in files} | {target}, reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()
    return True


def place(folder: Path, spec: str, case: Case) -> Path:
    """Where the export of a case lies; `spec` is what the run calls it."""
    return folder / spec / case.name if case.name else folder / spec


def _digest(case: Case) -> str:
    """Of the spec as it was read, defaults included: keys sorted, no spaces, UTF-8."""
    text = json.dumps(case.spec.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
