"""What is counted on a language model of transformers: its tensors, and what it multiplies."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from harness.artifacts.code_counts import ZERO_CODES, code_counts
from harness.artifacts.quantized_layers import CorrectedLinear, GroupedEmbedding
from harness.errors import Unmeasurable
from harness.evidence import Role, TensorFact

if TYPE_CHECKING:
    import torch

# What stands before the names that the model has, as the steps name layers: inside of `sources.heads.language_model`.
PREFIX = "language_model."
# What configurations call layers of attention, which `macs` has a formula for.
ATTENTION = frozenset({"attention", "full_attention", "sliding_attention", "chunked_attention"})


def macs(model: Any, architecture: torch.nn.Module, batch: int, length: int) -> int:
    """Multiply-accumulates: of every layer as if in float, of attention without its mask.

    Of experts those count that a token is sent to; what a correction beside a layer multiplies counts too.

    Args:
        model: as it runs.
        architecture: the layers of its configuration, before any was quantized; of their weights only shapes are asked.
        batch: texts.
        length: tokens of each.

    Raises:
        Unmeasurable: the model has layers other than attention, or weights of which it is not known how often they
            multiply.
    """
    config = model.config
    heads, layers = getattr(config, "num_attention_heads", None), config.num_hidden_layers
    other = sorted(set(getattr(config, "layer_types", None) or ()) - ATTENTION)
    if not heads or other:
        raise Unmeasurable(
            f"{config.model_type} has layers that are not attention{f' ({other[0]})' if other else ''}, whose "
            "multiply-accumulates have no formula here: leave `macs_g` and `flops_g` out"
        )
    weights = _a_token(architecture, config) + sum(
        told.rank * (told.inputs + told.outputs)
        for told in (getattr(part, "description", None) for part in model.modules())
        if isinstance(told, CorrectedLinear)
    )
    features = getattr(config, "head_dim", None) or config.hidden_size // heads
    scores = 2 * layers * heads * features * length
    return int(batch * length * (weights + scores))


def _a_token(architecture: Any, config: Any) -> int:
    """How many weights each token is multiplied with.

    Raises:
        Unmeasurable: with the first weights that are neither a layer's matrix nor those of experts.
    """
    from torch import nn

    total, known = 0, set()
    for part in architecture.modules():
        weight: Any = getattr(part, "weight", None)
        if getattr(weight, "ndim", 0) == 2:
            known.add(id(weight))
            total += 0 if isinstance(part, nn.Embedding) else weight.numel()
    # The two names that configurations have for it.
    experts = getattr(config, "num_local_experts", None) or getattr(config, "num_experts", None)
    active = getattr(config, "num_experts_per_tok", None)
    for name, one in architecture.named_parameters():
        if one.ndim < 2 or id(one) in known or name.endswith("bias"):
            continue
        if not (experts and active and one.ndim == 3 and len(one) == experts):
            raise Unmeasurable(
                f"how often each token is multiplied with {name}, of shape {tuple(one.shape)}, is not known here, so "
                "the multiply-accumulates cannot be counted: leave `macs_g` and `flops_g` out"
            )
        total += one.numel() // experts * active
    return total


def facts(model: torch.nn.Module) -> tuple[TensorFact, ...]:
    """Every tensor once, tied ones under their first name, with the layers that it is the weight of."""
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    parameters = {id(one) for one in model.parameters()}
    users: dict[int, set[str]] = defaultdict(set)
    roles: dict[int, set[Role]] = defaultdict(set)
    known = (
        (nn.Linear, {Role.MULTIPLIED}),
        (nn.Embedding, {Role.LOOKED_UP}),
        (_ConvNd, {Role.CONVOLVED, Role.MULTIPLIED}),
    )
    for part in model.modules():
        for kind, given in known:
            if isinstance(part, kind):
                users[id(part.weight)].add(type(part).__name__)
                roles[id(part.weight)] |= given
    tables = {
        name for name, part in model.named_modules() if isinstance(getattr(part, "description", None), GroupedEmbedding)
    }
    codes = {getattr(getattr(part, "description", None), "code", "") for part in model.modules()} & ZERO_CODES.keys()
    zero_codes = ZERO_CODES[codes.pop()] if len(codes) == 1 else ()
    counts = code_counts(dict([*model.named_parameters(), *model.named_buffers()]), zero_codes)
    found: list[TensorFact] = []
    seen: set[int] = set()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        weights, zeros = counts.get(name, (None, int((tensor == 0).sum())))
        does = roles.get(id(tensor))
        if not tensor.is_floating_point():
            # Integers are widened before anything multiplies them.
            does = {Role.INDEXED} if any(name.startswith(f"{table}.") for table in tables) else set()
        found.append(
            TensorFact(
                name=f"{PREFIX}{name}",
                dtype=str(tensor.dtype).removeprefix("torch."),
                shape=tuple(tensor.shape),
                zeros=zeros,
                weights=weights,
                weight=id(tensor) in parameters,
                used_by=tuple(sorted(users[id(tensor)])),
                roles=None if does is None else tuple(sorted(does)),
            )
        )
    return tuple(found)
