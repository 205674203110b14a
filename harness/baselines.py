"""Where baselines lie: one JSON file a spec, reviewed like code.

A run reads them for the judge; only an update that was asked for, with a reason, writes one.
"""

from __future__ import annotations

import glob
import json
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from pydantic import ValidationError

from harness.errors import BaselineError
from harness.judge.baseline import Baseline
from harness.judge.standing import Standing
from harness.run.environment import environment
from harness.run.lock import hold_folder
from harness.spec.load import Case, SpecFile

FOLDER = "baselines"
# A baseline that is being written, and how old it is when nobody can be writing it any more.
STAGED = ".new"
STALE_S = 3600


def path_of(root: Path, spec: str) -> Path:
    """Where the baseline of a spec lies."""
    return root / FOLDER / f"{spec}.json"


def read(root: Path, spec: str) -> Baseline | None:
    """The baseline of a spec, or None where nothing was accepted yet.

    Raises:
        BaselineError: the file is there and is no baseline; it is left as it is.
    """
    path = path_of(root, spec)
    shown = f"{FOLDER}/{spec}.json"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BaselineError(f"{shown} cannot be read ({error}); it was left as it is") from error
    try:
        baseline = Baseline.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(str(part) for part in first["loc"])
        raise BaselineError(
            f"{shown} is no baseline of version 1 ({at + ': ' if at else ''}{first['msg']}); it was left as it is: "
            "restore it from version control, or remove it and accept anew"
        ) from error
    if baseline.spec != spec:
        raise BaselineError(f"{shown} says that it belongs to {baseline.spec!r}; it was left as it is: was it copied?")
    return baseline


def updating(root: Path) -> AbstractContextManager[None]:
    """Keep other updates of a project's baselines waiting, from the reading of the old ones to the writing of the new.

    On a system without flock the later of two updates at the same moment counts.
    """
    return hold_folder(root)


def write_all(root: Path, baselines: Mapping[str, Baseline]) -> list[Path]:
    """Write several baselines: every one is first written whole beside its place, then all are renamed into place.

    A process that is killed at any moment leaves each baseline whole: the old one or the new one. What it leaves beside
    them is no baseline to anyone, and a later call clears it away.
    """
    staged: list[tuple[str, Path]] = []
    try:
        for spec, baseline in sorted(baselines.items()):
            path = path_of(root, spec)
            path.parent.mkdir(parents=True, exist_ok=True)
            _clear(path)
            descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=STAGED, dir=path.parent)
            staged.append((temporary, path))
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump(baseline.model_dump(mode="json"), stream, indent=1, sort_keys=True)
                stream.write("\n")
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary, 0o644)
        for temporary, path in staged:
            os.replace(temporary, path)
    finally:
        for temporary, _ in staged:
            Path(temporary).unlink(missing_ok=True)
    return [path for _, path in staged]


def _clear(path: Path) -> None:
    """Remove what a killed update of this baseline left; a younger file may belong to an update at work."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{STAGED}"):
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < time.time() - STALE_S:
                left.unlink()


def orphans(root: Path, known: set[str]) -> list[str]:
    """Baselines under the root that no spec stands behind."""
    folder = root / FOLDER
    found = (path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.json"))
    return sorted(spec for spec in found if spec not in known)


def standing_of(file: SpecFile, case: Case, kernels: str, *, updating: bool = False) -> Standing:
    """Where a case stands on this machine, by its baseline as it lies on disk.

    Args:
        file: the spec.
        case: which of its cases.
        kernels: the engine and its instruction set, as this run found them.
        updating: whether a new baseline is being accepted.
    """
    fingerprint = environment().fingerprint(case.spec.measure.threads, kernels)
    try:
        stored = read(file.root, file.id)
    except BaselineError as error:
        return Standing(None, fingerprint, updating=False, problem=str(error))
    return Standing(stored.cases.get(case.name) if stored is not None else None, fingerprint, updating=updating)
