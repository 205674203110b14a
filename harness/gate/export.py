"""Handing out what passed: the gated bytes, and a manifest that says what they are."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
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


def export(folder: Path, root: Path, case: Case, run: Run, rows: Sequence[Verdict]) -> Path:
    """Copy the artifact of a case that passed, with its manifest; replaces an earlier export of the case whole.

    Args:
        folder: below which all exports lie.
        root: of the project.
        case: that passed.
        run: what it was judged from.
        rows: its verdicts.

    Raises:
        ArtifactError: the bytes changed since they were measured, or the export of another spec, or of another project,
            lies there.
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Another run may export the same case at this moment: its bytes are not to stand below this one's manifest.
    with hold_folder(folder):
        return _export(folder, root, case, run, rows)


def _export(folder: Path, root: Path, case: Case, run: Run, rows: Sequence[Verdict]) -> Path:
    assert run.artifact is not None
    project, spec = project_in(folder, root), run.result.spec
    target = place(folder, spec, case.name)
    staging = _staging(target)
    try:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.copytree(run.artifact, staging)
        digests = sealed_digest(staging)
        if digests != run.result.artifact:
            raise ArtifactError("the artifact changed after it was measured; nothing was exported")
        if (held := _manifest(target)) is not None and not _of(held, project, spec, case.name):
            raise ArtifactError(_taken(folder, root, target, held))
        manifest = {
            "version": 1,
            "weighin": __version__,
            "project": project,
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


def withdraw(folder: Path, root: Path, spec: str, case: str) -> Path | None:
    """Remove what an earlier run exported of a case of a project; None where there is nothing of it.

    Raises:
        OSError: the folder cannot be written to.
    """
    target = place(folder, spec, case)
    if not folder.is_dir():
        return None
    with hold_folder(folder):
        shutil.rmtree(_staging(target), ignore_errors=True)
        manifest = _manifest(target)
        if manifest is None or not _of(manifest, project_in(folder, root), spec, case):
            return None
        _clear(target)
        return target


def withdraw_others(folder: Path, root: Path, spec: str, cases: Collection[str] = ()) -> list[Path]:
    """Remove what earlier runs exported of a spec's cases, but for these: also of cases that it has no more.

    Raises:
        OSError: the folder cannot be written to.
    """
    target = folder / spec
    found = ["", *sorted(path.name for path in target.iterdir() if path.is_dir())] if target.is_dir() else []
    others = [case for case in found if case not in cases]
    return [gone for case in others if (gone := withdraw(folder, root, spec, case)) is not None]


def place(folder: Path, spec: str, case: str) -> Path:
    """Where the export of a case lies; `spec` is what the run calls it."""
    return folder / spec / case if case else folder / spec


def project_in(folder: Path, root: Path) -> str:
    """What tells a project from others that export to the same folder, however both are moved together.

    It is the way there from the folder. Where that lies outside of the project's repository, which may lie elsewhere
    the next time, it is the name of the repository's folder and the way from there.
    """
    folder = folder.resolve()
    # The outermost, so that the submodules of a repository are told apart too.
    repository = next((one for one in reversed((root, *root.parents)) if os.path.exists(one / ".git")), None)
    if repository is None or folder.is_relative_to(repository):
        return Path(os.path.relpath(root, folder)).as_posix()
    return root.relative_to(repository.parent).as_posix()


def _staging(target: Path) -> Path:
    return target.with_name(f".{target.name}.new")


def _manifest(target: Path) -> dict[str, object] | None:
    """The manifest of an export; None where none lies there."""
    try:
        manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict) else None


def _of(manifest: dict[str, object], project: str, spec: str, case: str) -> bool:
    """Whether a manifest is of this case: `specs/a.yaml` may have a case `b`, and `specs/a/b.yaml` none."""
    return not _foreign(manifest, project) and (manifest.get("spec"), manifest.get("case")) == (spec, case)


def _foreign(manifest: dict[str, object], project: str) -> bool:
    """Whether a manifest is of another project; one from before projects were kept is of this one."""
    return manifest.get("project", project) != project


def _taken(folder: Path, root: Path, target: Path, held: dict[str, object]) -> str:
    """Why nothing is exported where the export of something else lies."""
    project = project_in(folder, root)
    if not _foreign(held, project):
        return f"{target} holds the export of {held.get('spec')}; nothing was exported"
    other, ours = str(held["project"]), f"{root.resolve()} ({project!r})"
    if there := _found(folder, other):
        theirs = f"{there} ({other!r} in its manifest)"
    else:
        theirs = f"{other!r} in its manifest (from {folder.resolve()}, or from where its repository lies)"
    return (
        f"{target} holds the export of another project, {theirs}, and this one is {ours}; nothing was exported: give "
        "each a folder of its own with --export, gate both in one run, or remove what is out of date"
    )


def _found(folder: Path, project: str) -> Path | None:
    """The root of a project that a manifest below a folder names; None where it lies there no more.

    Of one whose repository does not hold the folder the manifest names that repository, which may be anywhere.
    """
    root = folder.resolve() / project
    return root.resolve() if root.is_dir() and project_in(folder, root.resolve()) == project else None


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
