"""Transformers as modules of token numbers: encoders with an embedding or a classifier at the end, language models.

The mask of an encoder is widened here and not by the library, whose code for it cannot be traced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from harness.errors import SourceError

if TYPE_CHECKING:
    import torch


# Tokens: more than the window of the encoders that have one.
LONG = 160


def embedding(
    model: Any, pooling: Literal["mean", "cls"], linear: dict[str, torch.Tensor] | None, origin: str
) -> torch.nn.Module:
    """A module from tokens to unit-length embeddings, shape (batch, features), or to logits, shape (batch, classes).

    N. Reimers, I. Gurevych, "Sentence-BERT", 2019, section 3.

    Args:
        model: the encoder.
        pooling: mean over the tokens that the mask shows, or the first token's state.
        linear: weight of shape (classes, features) and bias of shape (classes) of a classifier on the embedding.
        origin: what sentences call the file that `linear` was read from.

    Raises:
        SourceError: the classifier does not fit the encoder.
    """
    import torch
    from torch import nn
    from torch.nn.functional import normalize

    class Embedding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = model

        def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            states = self.encoder(input_ids=tokens, attention_mask=_widened(mask)).last_hidden_state
            if pooling == "cls":
                return normalize(states[:, 0], dim=-1)
            shown = mask.unsqueeze(-1).to(states.dtype)
            return normalize((states * shown).sum(1) / shown.sum(1), dim=-1)

    if linear is None:
        return Embedding().eval()
    features = model.config.hidden_size
    shapes = {name: tuple(value.shape) for name, value in linear.items()}
    if shapes.keys() != {"weight", "bias"} or shapes["weight"] != (*shapes["bias"], features):
        raise SourceError(
            f"{origin} holds {shapes}, and a linear head is `weight` of shape (classes, {features}) and `bias` of "
            "shape (classes)"
        )
    with torch.random.fork_rng(devices=[]):
        head = nn.Linear(features, shapes["bias"][0])
    head.load_state_dict(linear)

    class Headed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = Embedding(), head

        def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.head(self.embedding(tokens, mask))
            return logits

    return Headed().eval()


def classifier(model: Any) -> torch.nn.Module:
    """A module from tokens to the logits of the model's own classifier, shape (batch, classes)."""
    from torch import nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = model

        def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.encoder(input_ids=tokens, attention_mask=_widened(mask)).logits
            return logits

    return Classifier().eval()


def language_model(model: Any) -> torch.nn.Module:
    """A module from tokens, shape (batch, tokens), to logits of every position, shape (batch, tokens, vocabulary).

    The model of transformers is its `language_model`, with the names that it has there.
    """
    from torch import nn

    class LanguageModel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.language_model = model

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.language_model(input_ids=tokens, use_cache=False).logits
            return logits

    return LanguageModel().eval()


def inner_language_model(module: torch.nn.Module) -> Any:
    """The model of transformers inside a `language_model`, whatever stands around that; None where there is none."""
    return next((part.language_model for part in module.modules() if hasattr(part, "language_model")), None)


def require_plain_mask(model: Any, origin: str) -> None:
    """Hold an encoder to a mask that shows every token to every other.

    Raises:
        SourceError: it answers otherwise under the mask that it makes itself, of earlier tokens or of a window, or does
            not take one that was widened.
    """
    import torch

    config = model.config
    length = min(LONG, (getattr(config, "max_position_embeddings", None) or LONG) - 4)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(config.vocab_size, (1, length), generator=generator)
    mask = torch.ones_like(tokens)
    try:
        with torch.no_grad():
            ours, own = (model(input_ids=tokens, attention_mask=one)[0] for one in (_widened(mask), mask))
    except Exception as error:  # Each architecture raises what it pleases.
        raise SourceError(f"{origin} does not take the mask of an encoder as it is made here: {error}") from error
    if not torch.allclose(ours, own, rtol=1e-4, atol=1e-4 * float(own.abs().max())):
        raise SourceError(
            f"{origin} answers otherwise under a mask that hides nothing but padding, and would not answer here as it "
            "was trained to: it shows a token only those before it, or those within a window, or has masks of its own"
        )


def _widened(mask: torch.Tensor) -> torch.Tensor:
    """What is added to attention scores, shape (batch, 1, 1, tokens): nothing, or the lowest float where masked."""
    import torch

    return (1.0 - mask[:, None, None, :].to(torch.float32)) * torch.finfo(torch.float32).min
