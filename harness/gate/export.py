"""Handing out what passed: the gated bytes, and a manifest that says what they are."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

from harness import __version__
from harness.artifacts.exported import MANIFEST, inside
from harness.errors import ArtifactError
from harness.judge.verdict import Verdict
from harness.run.cache import sealed_digest
from harness.run.lock import hold_folder
from harness.run.pipeline import Run
from harness.spec.load import Case


def export(folder: Path, case: Case, run: Run, rows: Sequence[Verdict]) -> Path:
    """Copy the artifact of a case that passed, with its manifest; replaces an earlier export of the case whole.

    Raises:
        ArtifactError: the bytes changed since they were measured, or the export of another spec lies there.
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Another run may export the same case at this moment: its bytes are not to stand below this one's manifest.
    with hold_folder(folder):
        return _export(folder, case, run, rows)


def _export(folder: Path, case: Case, run: Run, rows: Sequence[Verdict]) -> Path:
    assert run.artifact is not None
    spec = run.result.spec
    target = place(folder, spec, case.name)
    staging = _staging(target)
    try:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.copytree(run.artifact, staging)
        digests = sealed_digest(staging)
        if digests != run.result.artifact:
            raise ArtifactError("the artifact changed after it was measured; nothing was exported")
        if (held := _manifest(target)) is not None and not _of(held, spec, case.name):
            raise ArtifactError(f"{target} holds the export of {held.get('spec')}; nothing was exported")
        manifest = {
            "version": 1,
            "weighin": __version__,
            "spec": spec,
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
        for name in digests:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).replace(target / name)
        # Last, and whole: bytes beside which there is no manifest were not let out.
        (staging / MANIFEST).write_text(text, encoding="utf-8")
        (staging / MANIFEST).replace(target / MANIFEST)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def withdraw(folder: Path, spec: str, case: str) -> Path | None:
    """Remove what an earlier run exported of a case; None where there is nothing of it.

    Raises:
        OSError: the folder cannot be written to.
    """
    target = place(folder, spec, case)
    if not folder.is_dir():
        return None
    with hold_folder(folder):
        shutil.rmtree(_staging(target), ignore_errors=True)
        manifest = _manifest(target)
        if manifest is None or not _of(manifest, spec, case):
            return None
        _clear(target)
        return target


def withdraw_others(folder: Path, spec: str, cases: Collection[str] = ()) -> list[Path]:
    """Remove what earlier runs exported of a spec's cases, but for these: also of cases that it has no more.

    Raises:
        OSError: the folder cannot be written to.
    """
    target = folder / spec
    found = ["", *sorted(path.name for path in target.iterdir() if path.is_dir())] if target.is_dir() else []
    others = [case for case in found if case not in cases]
    return [gone for case in others if (gone := withdraw(folder, spec, case)) is not None]


def place(folder: Path, spec: str, case: str) -> Path:
    """Where the export of a case lies; `spec` is what the run calls it."""
    return folder / spec / case if case else folder / spec


def _staging(target: Path) -> Path:
    return target.with_name(f".{target.name}.new")


def _manifest(target: Path) -> dict[str, object] | None:
    """The manifest of an export; None where none lies there."""
    try:
        manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict) else None


def _of(manifest: dict[str, object], spec: str, case: str) -> bool:
    """Whether a manifest is of this case: `specs/a.yaml` may have a case `b`, and `specs/a/b.yaml` none."""
    return (manifest.get("spec"), manifest.get("case")) == (spec, case)


def _clear(target: Path) -> None:
    """Remove an export and nothing else: the exports of other specs may lie below it, and no file outside is its."""
    manifest = _manifest(target)
    if manifest is None:
        return
    files = manifest["files"]
    assert isinstance(files, dict)
    own = [name for name in files if inside(name)]
    # The manifest first: bytes beside which there is none were not let out.
    for name in (MANIFEST, *own):
        (target / name).unlink(missing_ok=True)
    folders = {target / part for name in own for part in PurePosixPath(name).parents}
    for folder in sorted(folders | {target}, reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _digest(case: Case) -> str:
    """Of the spec as it was read, defaults included: keys sorted, no spaces, UTF-8."""
    text = json.dumps(case.spec.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
