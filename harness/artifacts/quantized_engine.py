"""Which of torch's quantized engines a model's int8 weights are packed for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Engine = Literal["x86", "fbgemm", "onednn", "qnnpack"]
# An attribute of a quantized module; the runtime writes it into the artifact, whose weights are packed for it at load.
MARK = "quantized_engine"


def marked(model: torch.nn.Module, engine: Engine) -> torch.nn.Module:
    """The model, remembering which engine its weights are packed for."""
    setattr(model, MARK, engine)
    return model


def engine_of(model: object) -> str | None:
    """The engine that a quantized model was made for; None for any other model."""
    return getattr(model, MARK, None)
