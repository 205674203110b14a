"""What machine and which libraries a measurement was taken on; free of torch, so that the pytest process can ask."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, entry_points, version

from pydantic import BaseModel, ConfigDict, Field

from harness.spec.requirements import cpu_flags, cpu_model

# Whose version changes numbers or speed.
LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "diffusers",
    "ultralytics",
    "openvino",
    "nncf",
    "optimum-intel",
    "bitsandbytes",
    "torch-pruning",
    "tensorly",
    "numpy",
    "scikit-learn",
    "scikit-image",
)
# Whose version decides bytes or answers all the same: what writes and reads files, tokens and codes.
WRITERS = ("scipy", "safetensors", "tokenizers", "sentencepiece", "gguf", "optimum", "constriction", "bitarray")
_TELLING_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "asimddp", "i8mm")


class Environment(BaseModel):
    """The machine's lasting properties: no clock speed, no load, nothing that differs between two runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    cpu: str
    cores: int
    instruction_sets: tuple[str, ...]
    system: str
    python: str
    libraries: dict[str, str] = Field(description="installed versions of what changes numbers or speed")

    def fingerprint(self, threads: int, kernels: str) -> str:
        """What must be equal for two latencies to be comparable: this, the threads and the kernel path."""
        text = f"{self.model_dump_json()}|{threads}|{kernels}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@functools.cache
def environment() -> Environment:
    """This machine."""
    return Environment(
        cpu=cpu_model(),
        cores=os.cpu_count() or 1,
        instruction_sets=tuple(flag for flag in _TELLING_FLAGS if flag in cpu_flags()),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        libraries=versions(),
    )


@functools.cache
def versions() -> dict[str, str]:
    """Installed versions of the libraries that decide numbers and speed."""
    return _installed(LIBRARIES)


@functools.cache
def software() -> dict[str, str]:
    """All versions that may decide the bytes of an artifact or what it answers.

    Those of `versions`, of Python, of what writes files, and of every distribution that adds parts to weighin.
    """
    found = {**versions(), **_installed(WRITERS), "python": platform.python_version()}
    known = entry_points()
    for group in known.groups:
        if group.startswith("weighin."):
            found |= {entry.dist.name: entry.dist.version for entry in known.select(group=group) if entry.dist}
    return found


def _installed(names: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
