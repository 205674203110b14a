"""A folder that `--export` wrote: the gated files, and a manifest that says what they are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePosixPath

from harness.errors import ArtifactError

MANIFEST = "manifest.json"


def exported_files(folder: Path) -> list[Path]:
    """The files that a manifest names, once each is known to be the one that was exported.

    What lies beside them is none of the artifact: the exports of other specs may lie below.

    Raises:
        ArtifactError: there is no manifest, it is none of version 1, or a file is gone or is another.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(
            f"{folder} holds no {MANIFEST}: name an artifact's file, or a folder that `--export` wrote"
        ) from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{folder / MANIFEST} cannot be read: {error}") from error
    files = manifest.get("files") if isinstance(manifest, dict) and manifest.get("version") == 1 else None
    if not isinstance(files, dict) or not files or not all(inside(name) for name in files):
        raise ArtifactError(f"{folder / MANIFEST} is no manifest of version 1 with the sha256 of each file")
    for name, digest in files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{path} is gone, which {MANIFEST} names")
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                raise ArtifactError(
                    f"{path} is not the file that was exported: its sha256 differs from the one in {MANIFEST}"
                )
    return [folder / name for name in files]


def inside(name: str) -> bool:
    """Whether a name that a manifest gives a file stays below the manifest's folder."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts
