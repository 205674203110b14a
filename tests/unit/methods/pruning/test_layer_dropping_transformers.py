"""Blocks of Hugging Face's transformers: given masks, positions and caches beside what they change."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from harness.data.base import Dataset, TensorSplit
from harness.forms import Form, Subject
from harness.lowering import lower
from harness.methods.base import Workshop
from harness.methods.pruning.layer_dropping import LayerDropping
from harness.runtimes.openvino import OpenVino
from harness.runtimes.torch import Torch
from harness.runtimes.transformers import TransformersRuntime
from harness.sources.heads import embedding, inner_language_model, language_model
from harness.tasks.causal_lm import CausalLM

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

SMALL: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "head_dim": 16,
    "num_key_value_heads": 1, "max_position_embeddings": 128,
}  # fmt: skip
GEMMA = ["sliding_attention", "full_attention", "sliding_attention"]


def gemma(kinds: list[str] = GEMMA) -> Any:
    config = Gemma3TextConfig(
        **SMALL, num_hidden_layers=len(kinds), sliding_window=16, query_pre_attn_scalar=16, layer_types=kinds
    )
    return Gemma3ForCausalLM(config)


def llama(layers: int = 3) -> Any:
    return LlamaForCausalLM(LlamaConfig(**SMALL, num_hidden_layers=layers))


def gpt2(layers: int = 3) -> Any:
    return GPT2LMHeadModel(GPT2Config(vocab_size=96, n_embd=32, n_layer=layers, n_head=2, n_positions=128))


def bert(layers: int = 3) -> Any:
    config = BertConfig(
        vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=layers, num_attention_heads=2,
        max_position_embeddings=128,
    )  # fmt: skip
    return BertModel(config, add_pooling_layer=False)


def without(state: dict[str, Any], gone: int, blocks: str) -> dict[str, Any]:
    """The tensors of a model that was built without one block."""
    left = {}
    for name, value in state.items():
        before, found, after = name.partition(f"{blocks}.")
        if not found:
            left[name] = value
            continue
        number, _, rest = after.partition(".")
        if int(number) != gone:
            left[f"{before}{blocks}.{int(number) - (int(number) > gone)}.{rest}"] = value
    return left


MODELS = {
    "gemma": (gemma, lambda: gemma([GEMMA[0], GEMMA[2]]), language_model, "language_model.model.layers"),
    "llama": (llama, lambda: llama(2), language_model, "language_model.model.layers"),
    "gpt2": (gpt2, lambda: gpt2(2), language_model, "language_model.transformer.h"),
    "bert": (bert, lambda: bert(2), lambda model: embedding(model, "mean", None, ""), "encoder.encoder.layer"),
}


@pytest.fixture(params=MODELS)
def dropped(request: pytest.FixtureRequest) -> tuple[Subject, nn.Module]:
    """A model that lost its second block of three, and one that was built with the two others."""
    build, smaller, head, blocks = MODELS[request.param]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, twin = head(build().eval()), head(smaller().eval())
    twin.load_state_dict(without(model.state_dict(), 1, blocks))
    tokens = torch.randint(5, 96, (4, 40), generator=torch.Generator().manual_seed(1))
    inputs = (tokens,) if request.param != "bert" else (tokens, torch.ones_like(tokens))
    data = Dataset(calibration=_Split(inputs), evaluation=None)
    workshop = Workshop(CausalLM(), data, Path(), 0, lambda _: None)
    method = LayerDropping(blocks=(f"{blocks}.1",))
    return method.apply(Subject(Form.TORCH, model, tuple(one[:1] for one in inputs)), workshop), twin


class _Split(TensorSplit):
    def __init__(self, inputs: tuple[torch.Tensor, ...]) -> None:
        super().__init__(inputs[0], torch.zeros(len(inputs[0]), dtype=torch.int64))
        self.all = inputs

    def batches(self, size: int, shuffle: int | None = None) -> Any:
        for batch in super().batches(size, shuffle):
            yield replace(batch, inputs=(*batch.inputs, *(torch.ones_like(batch.inputs[0]) for _ in self.all[1:])))


def test_a_model_answers_as_one_that_was_built_without_the_block(dropped: Any) -> None:
    subject, twin = dropped
    with torch.no_grad():
        torch.testing.assert_close(subject.model(*subject.example), twin(*subject.example), rtol=0, atol=0)


@pytest.mark.parametrize("dropped", ["bert"], indirect=True)
def test_a_shallower_encoder_is_traced(dropped: Any, tmp_path: Path) -> None:
    subject, twin = dropped
    with torch.no_grad():
        expected = twin(*subject.example)
    Torch().save(subject, tmp_path)
    found = Torch().load(tmp_path, 1)(subject.example)[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dropped", ["gemma", "gpt2"], indirect=True)
def test_a_shallower_language_model_is_saved_and_generates(dropped: Any, tmp_path: Path) -> None:
    subject, twin = dropped
    inner = inner_language_model(subject.model)
    assert inner.config.num_hidden_layers == 2
    if hasattr(inner.config, "layer_types") and inner.config.layer_types:
        assert inner.config.layer_types == inner_language_model(twin).config.layer_types
    prompt = subject.example[0][:, :12]
    tokens = prompt
    with torch.no_grad():
        expected = twin(*subject.example)
        for _ in range(4):
            tokens = torch.cat([tokens, twin(tokens)[:, -1:].argmax(-1)], dim=1)
    for runtime, ready in ((TransformersRuntime(), subject), (OpenVino(), lower(subject, Form.OPENVINO))):
        folder = tmp_path / runtime.runtime
        folder.mkdir()
        runtime.save(ready, folder)
        runner = runtime.load(folder, 1)
        torch.testing.assert_close(runner(subject.example)[0], expected, rtol=1e-4, atol=1e-5)
        step, made = runner.decoding(prompt), []
        for _ in range(3):
            found = step()
            logits = found.logits if hasattr(found, "logits") else next(iter(found.values()))
            made.append(int(torch.as_tensor(logits)[0, -1].argmax()))
        # Keys and values of the cache are each its own block's.
        assert made == tokens[0, 13:].tolist()


class Pair(nn.Module):
    """A block as transformers had them before: it gives a tuple, and a mask comes beside what it changes."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, mask: torch.Tensor, head: None = None) -> tuple[torch.Tensor]:
        return (x + self.inner(x) * mask,)


class Chain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers, self.out = nn.ModuleList([Pair() for _ in range(3)]), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> Any:
        for block in self.layers:
            x = block(x, torch.ones(len(x), 1), head=None)[0]
        return self.out(x)


def test_blocks_that_give_tuples_leave_tuples(subject: Any, workshop: Any) -> None:
    inputs = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    data = Dataset(calibration=TensorSplit(inputs, torch.zeros(20, dtype=torch.int64)), evaluation=None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Chain()
    first, out = model.layers[0], model.out
    method = LayerDropping(blocks=("layers.1", "layers.2"))
    pruned = method.apply(subject(model, inputs[:1]), replace(workshop, data=data)).model
    # No configuration counts these blocks: the list keeps its length.
    assert [isinstance(block, nn.Identity) for block in pruned.layers] == [False, True, True]
    with torch.no_grad():
        assert torch.equal(pruned(inputs), out(first(inputs, torch.ones(20, 1))[0]))
