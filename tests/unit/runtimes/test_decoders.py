"""Language models in both runtimes: what is reloaded answers as what was saved, and generates the same tokens."""

import numpy as np
import pytest
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteMoeConfig,
    GraniteMoeForCausalLM,
    Lfm2Config,
    Lfm2ForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    RwkvConfig,
    RwkvForCausalLM,
)

from harness.errors import ArtifactError, Unmeasurable
from harness.forms import Form, Subject
from harness.lowering import lower
from harness.methods.base import Workshop
from harness.methods.quantization.bnb_4bit import BnbNf4
from harness.methods.quantization.embedding_quantization import EmbeddingQuantization
from harness.methods.quantization.weight_only import WeightOnly
from harness.runtimes import transformers
from harness.runtimes.base import DECODED
from harness.runtimes.openvino import OpenVino
from harness.runtimes.transformers import TransformersRunner, TransformersRuntime
from harness.sources.heads import inner_language_model, language_model
from harness.tasks.causal_lm import CausalLM

# Of the libraries below: torch's tracer, and what transformers itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


def gemma():
    # Its windows slide over 16 tokens, so that a longer text shows whether they do.
    config = Gemma3TextConfig(
        vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, sliding_window=16, max_position_embeddings=128, query_pre_attn_scalar=16,
        layer_types=["sliding_attention", "full_attention"],
    )  # fmt: skip
    return Gemma3ForCausalLM(config)


def gpt2():
    config = GPT2Config(vocab_size=96, n_embd=32, n_layer=2, n_head=2, n_positions=128)
    return GPT2LMHeadModel(config)


@pytest.fixture(scope="module", params=[gemma, gpt2], ids=["gemma", "gpt2"])
def subject(request):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = language_model(request.param().eval())
    tokens = torch.randint(5, 96, (1, 40), generator=torch.Generator().manual_seed(1))
    return Subject(Form.TORCH, module, (tokens,))


@pytest.fixture(scope="module")
def runners(subject, tmp_path_factory):
    folders = [tmp_path_factory.mktemp(name) for name in ("transformers", "openvino")]
    TransformersRuntime().save(subject, folders[0])
    OpenVino().save(lower(subject, Form.OPENVINO), folders[1])
    return TransformersRuntime().load(folders[0], 1), OpenVino().load(folders[1], 1)


def test_both_runtimes_give_the_models_own_logits_however_often_they_are_asked(subject, runners):
    with torch.no_grad():
        expected = subject.model(*subject.example)
    for runner in runners:
        for _ in range(2):
            found = runner(subject.example)[0]
            assert found.shape == (1, 40, 96)
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        runner(tuple(part[:, :7] for part in subject.example))


def test_decoding_makes_the_tokens_that_reading_everything_anew_makes(subject, runners):
    prompt = subject.example[0][:, :12]
    tokens = prompt
    with torch.no_grad():
        for _ in range(DECODED + 1):
            tokens = torch.cat([tokens, subject.model(tokens)[:, -1:].argmax(-1)], dim=1)
    # The first token is the prompt's; calls make those after it, and begin again when the cache is cut back.
    expected = tokens[0, 13:].tolist()
    for runner in runners:
        step = runner.decoding(prompt)
        made = []
        for _ in range(DECODED + 3):
            found = step()
            logits = found.logits if hasattr(found, "logits") else next(iter(found.values()))
            made.append(int(np.asarray(logits)[0, -1].argmax()))
        assert made == [*expected, *expected[:3]]


def test_reading_a_prompt_gives_the_logits_after_its_last_token(subject, runners):
    prompt = subject.example[0][:, :12]
    with torch.no_grad():
        expected = subject.model(prompt)[0, -1].numpy()
    for runner in runners:
        read = runner.prefilling(prompt)
        for _ in range(2):
            found = read()
            logits = found.logits if hasattr(found, "logits") else next(iter(found.values()))
            np.testing.assert_allclose(np.asarray(logits)[0, -1], expected, rtol=1e-4, atol=1e-5)


def test_both_runtimes_count_the_same_weights_and_multiplications(subject, runners):
    inner = inner_language_model(subject.model)
    for runner in runners:
        weights = [one for one in runner.evidence().tensors if one.matrix and "rotary" not in one.name]
        assert sum(one.elements for one in weights) == sum(p.numel() for p in inner.parameters() if p.ndim >= 2)
    ours, theirs = (runner.macs(subject.example) for runner in runners)
    assert ours == pytest.approx(theirs, rel=0.01)


# The layers of the latter do not bear the experts' name.
@pytest.mark.parametrize("kind", [(MixtralConfig, MixtralForCausalLM), (GraniteMoeConfig, GraniteMoeForCausalLM)])
def test_of_experts_those_are_counted_that_a_token_is_sent_to(kind):
    config = kind[0](
        vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=5, num_experts_per_tok=2,
    )  # fmt: skip
    runner = TransformersRunner(kind[1](config).eval())
    attention = 2 * 32 * 32 + 2 * 32 * 16
    experts = 2 * 3 * 32 * 48
    a_token = 2 * (attention + 5 * 32 + experts + 2 * 32 * 9) + 96 * 32
    assert runner.macs((torch.zeros(3, 9, dtype=torch.int64),)) == 3 * 9 * a_token


def test_layers_that_are_not_attention_have_no_formula_and_are_named():
    tokens = (torch.zeros(1, 4, dtype=torch.int64),)
    mamba = MambaConfig(vocab_size=96, hidden_size=16, state_size=4, num_hidden_layers=1)
    with pytest.raises(Unmeasurable, match=r"mamba has layers that are not attention \(mamba\), whose"):
        TransformersRunner(MambaForCausalLM(mamba).eval()).macs(tokens)
    rwkv = RwkvConfig(vocab_size=96, hidden_size=32, num_hidden_layers=2)
    assert not hasattr(rwkv, "num_attention_heads")
    with pytest.raises(Unmeasurable, match="rwkv has layers that are not attention, whose multiply-accumulates"):
        TransformersRunner(RwkvForCausalLM(rwkv).eval()).macs(tokens)
    mixed = Lfm2Config(
        vocab_size=96, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, layer_types=["conv", "full_attention"],
    )  # fmt: skip
    with pytest.raises(Unmeasurable, match=r"lfm2 has layers that are not attention \(conv\)"):
        TransformersRunner(Lfm2ForCausalLM(mixed).eval()).macs(tokens)


def test_weights_of_which_it_is_not_known_how_often_they_multiply_are_named(monkeypatch):
    class Twisted(GPT2LMHeadModel):
        def __init__(self, config):
            super().__init__(config)
            self.twist = torch.nn.Parameter(torch.zeros(2, 3, 4))

    monkeypatch.setattr(transformers, "_architecture", Twisted)
    with pytest.raises(Unmeasurable, match=r"multiplied with twist, of shape \(2, 3, 4\), is not known here"):
        TransformersRunner(gpt2()).macs((torch.zeros(1, 4, dtype=torch.int64),))


def test_a_model_that_generates_nothing_has_no_folder_and_no_times(tmp_path):
    plain = Subject(Form.TORCH, torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    with pytest.raises(ArtifactError, match="`head: language-model` makes one"):
        TransformersRuntime().save(plain, tmp_path)
    from harness.runtimes.torch import Torch

    Torch().save(plain, tmp_path)
    with pytest.raises(Unmeasurable, match="keeps no cache of keys and values"):
        Torch().load(tmp_path, 1).decoding(torch.zeros(1, 2, dtype=torch.int64))


def test_a_folder_without_a_model_is_told(tmp_path):
    with pytest.raises(ArtifactError, match="holds no language model that transformers can load"):
        TransformersRuntime().load(tmp_path, 1)


@pytest.mark.parametrize(
    "steps",
    [
        [WeightOnly(bits=4, group_size=16)],
        [EmbeddingQuantization(bits=6, group_size=16), BnbNf4(block=64)],
    ],
    ids=["grouped", "embedding-and-nf4"],
)
def test_layers_of_few_bits_come_back_as_they_were_saved(steps, tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = language_model(gemma().eval())
    tokens = torch.randint(5, 96, (1, 40), generator=torch.Generator().manual_seed(1))
    subject = Subject(Form.TORCH, module, (tokens,))
    workshop = Workshop(CausalLM(), None, tmp_path, 0, lambda text: None)
    for step in steps:
        subject = step.apply(subject, workshop)
    with torch.no_grad():
        expected = subject.model(tokens)
    TransformersRuntime().save(subject, tmp_path)
    runner = TransformersRuntime().load(tmp_path, 1)
    torch.testing.assert_close(runner((tokens,))[0], expected, rtol=1e-5, atol=1e-6)
    plain = tmp_path / "float"
    plain.mkdir()
    TransformersRuntime().save(Subject(Form.TORCH, language_model(gemma().eval()), (tokens,)), plain)
    before = TransformersRuntime().load(plain, 1)
    for step in steps:
        assert step.contradictions(before.evidence(), runner.evidence()) == []
        assert step.contradictions(before.evidence(), before.evidence()) != []
    names = ("model.safetensors", "layers.json")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file() and path.name in names) == sorted(names)
    runner.decoding(tokens[:, :12])()
