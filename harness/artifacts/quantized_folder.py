"""Language models with layers of integers as a folder: configuration, tensors, and descriptions of the layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.artifacts.quantized_layers import FILE, described, dump, parse, rebuild
from harness.errors import ArtifactError

if TYPE_CHECKING:
    import torch

WEIGHTS, TIED = "model.safetensors", "tied"


def save(model: Any, folder: Path) -> None:
    """Write a model of transformers whose layers tell their descriptions: ``config.json``, weights, ``layers.json``.

    What several names share is written once; the other names are in the header of the safetensors file.
    """
    from safetensors.torch import save_file

    owners: dict[tuple[int, str, tuple[int, ...]], str] = {}
    tensors: dict[str, torch.Tensor] = {}
    tied: dict[str, str] = {}
    for name, tensor in model.state_dict().items():
        place = tensor.data_ptr(), str(tensor.dtype), tuple(tensor.shape)
        if tensor.numel() and place in owners:
            tied[name] = owners[place]
            continue
        owners[place] = name
        tensors[name] = tensor.contiguous()
    model.config.save_pretrained(folder)
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.save_pretrained(folder)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt", TIED: json.dumps(tied)})
    (folder / FILE).write_text(dump(described(model)))


def holds(folder: Path) -> bool:
    """Whether `save` wrote this folder."""
    return (folder / FILE).is_file()


def load(folder: Path) -> Any:
    """The model that `save` wrote, in evaluation mode. No code comes from the folder.

    Raises:
        ArtifactError: the folder lacks tensors, or holds others than its layers want.
    """
    from safetensors import SafetensorError, safe_open
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    layers = parse((folder / FILE).read_text())
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        # The float weights are never filled, so that no memory is taken for them.
        with no_init_weights():
            model: Any = AutoModelForCausalLM.from_config(config)
        rebuild(model, layers)
        with safe_open(folder / WEIGHTS, framework="pt") as file:  # type: ignore[no-untyped-call]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            tied = json.loads((file.metadata() or {}).get(TIED, "{}"))
        tensors |= {name: tensors[owner] for name, owner in tied.items()}
        model.load_state_dict(tensors, assign=True)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise ArtifactError(f"{folder} holds no language model of quantized layers: {first}") from error
    return model.eval()
