"""TorchScript files that hold what is needed to load and run them, and nothing else.

`torch.jit.save` writes debugging tables, traced inputs and padding, and names classes by how many programs the process
has traced before. For a small model that is a tenth of the file, and its size would depend on what ran earlier. Files
written here are lean, and equal programs give equal bytes.
"""

from __future__ import annotations

import importlib
import re
import shutil
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ArtifactError

if TYPE_CHECKING:
    import torch

NEEDED = re.compile(r"(data|constants)\.pkl|(data|constants)/\d+|code/.*\.py|(\.data/)?version|byteorder")
GLOBAL = re.compile(rb"c(__torch__[\w.]*)\n(\w+)\n")
REFERENCE = re.compile(r"__torch__(?:\.\w+)+")
TEMPORARY = re.compile(r"(?<![.\w])_\d+\b")
# Every file is made inside a folder of this name; the loader takes whatever name it finds.
ROOT = "model"
ENGINE = "extra/quantized_engine"


def write(program: torch.jit.ScriptModule, path: Path, engine: str | None = None) -> None:
    """Write a program; one that `read` gave is copied, so that the bytes are those that somebody else made.

    Args:
        program: what to write.
        path: the file to make.
        engine: the quantized engine that packed weights are for, kept in the file.
    """
    import torch

    origin = getattr(program, "weighin_origin", None)
    if isinstance(origin, Path):
        shutil.copyfile(origin, path)
        return
    buffer = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)  # the successor cannot save packed int8 weights
        torch.jit.save(program, buffer)
    with zipfile.ZipFile(buffer) as archive:
        entries = {
            name: archive.read(info)
            for info in archive.infolist()
            if NEEDED.fullmatch(name := info.filename.partition("/")[2])
        }
    with zipfile.ZipFile(path, "w") as lean:
        for name, content in _canonical(entries):
            kind = zipfile.ZIP_DEFLATED if name.endswith((".py", ".pkl")) else zipfile.ZIP_STORED
            # A ZipInfo made by hand carries no clock time.
            lean.writestr(zipfile.ZipInfo(f"{ROOT}/{name}"), content, compress_type=kind, compresslevel=9)
        if engine is not None:
            lean.writestr(zipfile.ZipInfo(f"{ROOT}/{ENGINE}"), engine)


def read(path: Path) -> torch.jit.ScriptModule:
    """Load a program on the CPU, as it was saved. TorchScript's own reader builds no Python objects.

    Packed weights are packed anew for the engine that the file names, which becomes the engine of this process.

    Raises:
        ArtifactError: no TorchScript program lies there.
    """
    import torch

    if not path.is_file():
        raise ArtifactError(f"no TorchScript program at {path}")
    try:
        engine = _engine(path)
        if engine is not None:
            torch.backends.quantized.engine = engine
        import_operators(path)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
            warnings.filterwarnings("ignore", ".*quantize", UserWarning)  # packed weights are unpacked
            program: torch.jit.ScriptModule = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines()[0]
        raise ArtifactError(f"{path} does not load as a TorchScript program: {reason}") from error
    program.eval()
    program.weighin_origin = path
    return program


def _engine(path: Path) -> str | None:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.partition("/")[2] == ENGINE]
        return archive.read(names[0]).decode() if names else None


def import_operators(path: Path) -> None:
    """Have the operators known that a library adds to torch's when it is imported; no other library is let in."""
    with zipfile.ZipFile(path) as archive:
        codes = [archive.read(name) for name in archive.namelist() if name.endswith(".py")]
    if any(b"ops.bitsandbytes." in code for code in codes):
        importlib.import_module("bitsandbytes")


def _canonical(entries: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """The entries with all classes in one file, numbered in the order in which the program mentions them."""
    units = dict(_units(entries))
    pickles = {name: content for name, content in entries.items() if name.endswith(".pkl")}
    mentioned = [f"{space.decode()}.{name.decode()}" for one in pickles.values() for space, name in GLOBAL.findall(one)]
    names: dict[str, str] = {}
    for old in _reachable(mentioned, units):
        names[old] = f"__torch__.{old.rpartition('.')[2]}_{len(names)}"

    def renamed(match: re.Match[bytes]) -> bytes:
        old = b".".join(match.groups()).decode()
        space, _, last = names.get(old, old).rpartition(".")
        return f"c{space}\n{last}\n".encode()

    for name, content in entries.items():
        if name in pickles:
            yield name, GLOBAL.sub(renamed, content)
        elif not name.startswith("code/"):
            yield name, content
    yield "code/__torch__.py", "".join(_moved(units[old], old, names) for old in names).encode()


def _moved(text: str, old: str, names: dict[str, str]) -> str:
    """The source of a class or function under its new name, mentioning others by theirs."""
    last, new = (name.rpartition(".")[2] for name in (old, names[old]))
    text = re.sub(rf"\A(class|def) {last}\b", rf"\1 {new}", _renumbered(text))
    return REFERENCE.sub(lambda found: names.get(found[0], found[0]), text)


def _renumbered(text: str) -> str:
    """The text with temporary variables counted from zero: the printer goes on from the class before."""
    order: dict[str, str] = {}
    return TEMPORARY.sub(lambda found: order.setdefault(found[0], f"_{len(order)}"), text)


def _units(entries: dict[str, bytes]) -> Iterator[tuple[str, str]]:
    """Qualified name and source text of each class and function."""
    for name, content in entries.items():
        if name.startswith("code/"):
            space = name.removeprefix("code/").removesuffix(".py").replace("/", ".")
            for text in re.split(r"^(?=class |def )", content.decode(), flags=re.MULTILINE):
                if found := re.match(r"(?:class|def) (\w+)", text):
                    yield f"{space}.{found[1]}", text


def _reachable(mentioned: Iterable[str], units: dict[str, str]) -> Iterator[str]:
    """The units that are mentioned, and those that they mention, each once."""
    queue, seen = list(mentioned), set()
    for name in queue:
        if name in units and name not in seen:
            seen.add(name)
            yield name
            queue.extend(REFERENCE.findall(units[name]))
