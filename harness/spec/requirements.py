"""What `requires:` may name, and whether this machine has it. Cheap: no heavy package is imported."""

from __future__ import annotations

import functools
import importlib.util
import platform
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path

from harness.extras import EXTRAS

# As the kernel names them.
_INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16")
# Of other distributions: each entry's name is what a spec requires, its value the package that must be there.
GROUP = "weighin.requires"
# What `requires:` calls a package → its module. Besides what extras bring, optimum, whose pins clash with theirs.
_PACKAGES: dict[str, str] = {
    **{module: module for module in sorted((*EXTRAS, "optimum"))},
    **{entry.name: entry.module.partition(".")[0] for entry in entry_points(group=GROUP)},
}
# Of what holds only where an instruction set is absent, and its arithmetic emulated.
_WITHOUT = "no-"
CAPABILITIES: tuple[str, ...] = tuple(
    dict.fromkeys(("cuda", *_INSTRUCTION_SETS, *(f"{_WITHOUT}{name}" for name in _INSTRUCTION_SETS), *_PACKAGES))
)


@functools.cache
def cpu_flags() -> frozenset[str]:
    """Feature flags of the processor as the kernel names them; empty where it does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return frozenset()
    line = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return frozenset(line.partition(":")[2].split())


@functools.cache
def cpu_model() -> str:
    """The processor's model name."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    return next(names, platform.machine())


def missing(requires: Iterable[str]) -> list[str]:
    """Those of the requirements that this machine does not meet."""
    return [name for name in requires if not _met(name)]


def shortfall(requires: Iterable[str]) -> str:
    """Why a spec with these requirements does not run here; empty where it does."""
    unmet = missing(requires)
    present = [name.removeprefix(_WITHOUT) for name in unmet if name.startswith(_WITHOUT)]
    absent = [name for name in unmet if not name.startswith(_WITHOUT)]
    clauses = [f"has no {', '.join(absent)}" if absent else "", f"has {', '.join(present)}" if present else ""]
    return f"this machine {' and '.join(filter(None, clauses))}" if unmet else ""


def _met(name: str) -> bool:
    if name.startswith(_WITHOUT):
        return name.removeprefix(_WITHOUT) not in cpu_flags()
    if name == "cuda":
        return Path("/dev/nvidia0").exists()
    if name in _INSTRUCTION_SETS:
        return name in cpu_flags()
    return importlib.util.find_spec(_PACKAGES[name]) is not None
