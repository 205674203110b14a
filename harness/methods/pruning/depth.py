"""How deep a model of transformers is: its list of blocks, and what its configuration says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def close_up(model: nn.Module) -> None:
    """Take what stands in the place of removed blocks out of the lists that configurations of transformers count.

    `num_hidden_layers` and what the configuration lists for each block, such as `layer_types`, are cut to the blocks
    that are left, and these are numbered anew: their `layer_idx` says which keys and values of a cache are theirs.
    A list that no configuration counts stays as it is.
    """
    from torch import nn

    for name, blocks in list(model.named_modules()):
        if not isinstance(blocks, nn.ModuleList):
            continue
        left = [index for index, block in enumerate(blocks) if not isinstance(block, nn.Identity)]
        config = _counting(model, name, len(blocks))
        if config is None or len(left) == len(blocks):
            continue
        kept = [blocks[index] for index in left]
        for index, block in enumerate(kept):
            for part in block.modules():
                if isinstance(getattr(part, "layer_idx", None), int):
                    part.layer_idx = index  # type: ignore[assignment]
        for key, value in list(vars(config).items()):
            if isinstance(value, list) and len(value) == len(blocks):
                setattr(config, key, [value[index] for index in left])
        config.num_hidden_layers = len(kept)
        blocks._modules.clear()
        blocks.extend(kept)


def _counting(model: nn.Module, name: str, blocks: int) -> Any:
    """The configuration that says how many blocks a list has: of the innermost module around it that has one."""
    place = name
    while place:
        place = place.rpartition(".")[0]
        config = getattr(model.get_submodule(place), "config", None)
        counted = getattr(config, "num_hidden_layers", None)
        if counted is not None:
            return config if counted == blocks else None
    return None
