"""Language models of which some layers are integers, saved as a folder and reloaded."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from harness.artifacts.quantized_layers import FILE
from harness.data.base import Batch, Dataset, Split
from harness.errors import ArtifactError, SourceError
from harness.forms import Form, Subject
from harness.methods.base import Workshop
from harness.methods.distillation.distillation import Distillation
from harness.methods.low_rank.lora import Lora
from harness.methods.low_rank.svd import Svd
from harness.methods.pruning.wanda import Wanda
from harness.methods.quantization.bnb_4bit import BnbNf4
from harness.methods.quantization.bnb_int8 import BnbInt8
from harness.methods.quantization.embedding_quantization import EmbeddingQuantization
from harness.methods.quantization.gptq import Gptq
from harness.methods.quantization.weight_only import WeightOnly
from harness.runtimes.transformers import WEIGHTS, TransformersRuntime
from harness.sources.heads import language_model
from harness.tasks.causal_lm import CausalLM
from harness.training import Training


class Tokens(Split):
    """Windows of random tokens, each scored on what follows."""

    def __init__(self, rows: int, seed: int) -> None:
        self.tokens = torch.randint(5, 96, (rows, 24), generator=torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return len(self.tokens)

    def batches(self, size, shuffle=None):
        order = torch.arange(len(self))
        if shuffle is not None:
            order = torch.randperm(len(self), generator=torch.Generator().manual_seed(shuffle))
        for some in order.split(size):
            targets = torch.full((len(some), 24), -100)
            targets[:, :-1] = self.tokens[some][:, 1:]
            yield Batch((self.tokens[some],), targets)

    def digests(self):
        return (bytes(row.tolist()) for row in self.tokens)


@pytest.fixture
def workshop():
    task = CausalLM()
    return Workshop(task, Dataset(Tokens(8, 1), None, Tokens(24, 2)), Path(), 0, lambda _: None, gemma)


def gemma():
    config = Gemma3TextConfig(
        vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, sliding_window=16, max_position_embeddings=128, query_pre_attn_scalar=16,
        layer_types=["sliding_attention", "full_attention"],
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = language_model(Gemma3ForCausalLM(config).eval())
    return Subject(Form.TORCH, module, (Tokens(1, 3).tokens,))


EMBEDDING, LINEAR = 96 * 32, 2 * (32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 64)
STEPS = {
    "weights8": [WeightOnly()],
    "weights4": [WeightOnly(bits=4, group_size=16, all_layers=True)],
    "bnb8": [BnbInt8(), EmbeddingQuantization(bits=5, group_size=8)],
    "nf4": [BnbNf4(block=32)],
    "gptq": [Gptq(bits=3, group_size=16), EmbeddingQuantization()],
    "wanda": [Wanda(sparsity=0.5)],
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_what_is_reloaded_answers_as_what_was_saved_and_generates(steps, workshop, tmp_path) -> None:
    float_folder, folder = tmp_path / "float", tmp_path / "few"
    for one in (float_folder, folder):
        one.mkdir()
    runtime = TransformersRuntime()
    runtime.save(gemma(), float_folder)
    before = runtime.load(float_folder, 1).evidence()
    subject = gemma()
    for step in steps:
        subject = step.apply(subject, workshop)
    runtime.save(subject, folder)
    runner = runtime.load(folder, 1)
    with torch.no_grad():
        torch.testing.assert_close(runner(subject.example)[0], subject.model(*subject.example), rtol=0, atol=0)
    runner.decoding(subject.example[0][:, :6])()
    for step in steps:
        assert step.contradictions(before, runner.evidence()) == []
        assert step.contradictions(before, before) != []


def test_a_tied_matrix_is_stored_once_and_in_its_bits(workshop, tmp_path) -> None:
    subject = WeightOnly(bits=4, group_size=16, all_layers=True).apply(gemma(), workshop)
    TransformersRuntime().save(subject, tmp_path)
    tensors = TransformersRuntime().load(tmp_path, 1).evidence().tensors
    codes = sum(one.elements for one in tensors if "codes4" in one.name)
    assert codes == (EMBEDDING + LINEAR) // 2
    # A scale in float16 and a zero point for sixteen weights, and the norms in float32.
    norms = sum(4 * one.elements for one in tensors if one.weight and len(one.shape) == 1)
    expected = codes + (EMBEDDING + LINEAR) // 16 * 3 + norms
    assert expected < (tmp_path / WEIGHTS).stat().st_size < expected + 12_000


def test_a_correction_beside_four_bits_lowers_the_loss_and_is_reloaded(workshop, tmp_path) -> None:
    four_bits = [Gptq(bits=2, group_size=16), EmbeddingQuantization(bits=4, group_size=16)]
    recovery = Lora(
        merge=False,
        rank=4,
        learn_from="float-model",
        train=Training(epochs=20, batch=8, optimizer="adamw", learning_rate=2e-3, weight_decay=0.0),
    )
    subject = gemma()
    for step in four_bits:
        subject = step.apply(subject, workshop)
    batch = next(workshop.data.train.batches(24))

    def apart(model) -> float:
        with torch.no_grad():
            return float(workshop.task.divergence(model(*batch.inputs), gemma().model(*batch.inputs), 1.0))

    lost = apart(subject.model)
    subject = recovery.apply(subject, workshop)
    assert subject.form is Form.WEIGHT_ONLY
    assert apart(subject.model) < 0.8 * lost
    TransformersRuntime().save(subject, tmp_path)
    runner = TransformersRuntime().load(tmp_path, 1)
    with torch.no_grad():
        torch.testing.assert_close(runner(subject.example)[0], subject.model(*subject.example), rtol=0, atol=0)
    assert recovery.contradictions(runner.evidence(), runner.evidence()) == []


def test_what_a_correction_multiplies_counts(workshop, tmp_path) -> None:
    """Rank 4 beside every linear layer: 4 multiplications for each input and each output of it, a token."""
    tokens = torch.zeros(2, 24, dtype=torch.int64)
    plain, beside = tmp_path / "plain", tmp_path / "beside"
    recovery = Lora(merge=False, rank=4, train=Training(most_steps=1, batch=1))
    for folder, subject in ((plain, gemma()), (beside, recovery.apply(gemma(), replace(workshop, reference=None)))):
        folder.mkdir()
        TransformersRuntime().save(subject, folder)
    before, after = (TransformersRuntime().load(folder, 1).macs((tokens,)) for folder in (plain, beside))
    sides = 2 * ((32 + 32) + 2 * (32 + 16) + (32 + 32) + 3 * (32 + 64))
    assert before == 2 * 24 * (LINEAR + EMBEDDING + 2 * 2 * 2 * 16 * 24)
    assert after - before == 2 * 24 * 4 * sides


def test_layers_that_a_folder_cannot_tell_are_refused_when_it_is_written(workshop, tmp_path) -> None:
    subject = Svd(params=0.5).apply(gemma(), workshop)
    with pytest.raises(ArtifactError, match=r"the layer model\.layers\.0\.\S+_proj is not as .* take `runtime: torch`"):
        TransformersRuntime().save(subject, tmp_path)
    assert list(tmp_path.iterdir()) == []
    narrowed = gemma()
    for layer in narrowed.model.language_model.model.layers:
        layer.mlp.gate_proj, layer.mlp.up_proj = torch.nn.Linear(32, 48, False), torch.nn.Linear(32, 48, False)
        layer.mlp.down_proj = torch.nn.Linear(48, 32, False)
    with pytest.raises(ArtifactError, match=r"has a tensor of shape \(48, 32\), the configuration makes .* \(64, 32\)"):
        TransformersRuntime().save(narrowed, tmp_path)


def test_a_folder_that_lacks_a_tensor_is_refused_and_not_filled_at_random(tmp_path) -> None:
    TransformersRuntime().save(gemma(), tmp_path)
    TransformersRuntime().load(tmp_path, 1)
    stored = load_file(tmp_path / WEIGHTS)
    stored.pop("model.layers.1.self_attn.q_proj.weight")
    save_file(stored, tmp_path / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(
        ArtifactError, match=r"lacks 1 of the tensors .* \(model\.layers\.1\.self_attn\.q_proj\.weight\)"
    ):
        TransformersRuntime().load(tmp_path, 1)


def test_a_damaged_folder_is_told(workshop, tmp_path) -> None:
    subject = WeightOnly().apply(gemma(), workshop)
    TransformersRuntime().save(subject, tmp_path)
    layers = json.loads((tmp_path / FILE).read_text())
    name = next(one for one in layers if one.endswith("q_proj"))
    (tmp_path / FILE).write_text(json.dumps({key: value for key, value in layers.items() if key != name}))
    with pytest.raises(SourceError, match="does not fit the architecture: 1 missing"):
        TransformersRuntime().load(tmp_path, 1)
    (tmp_path / FILE).write_text(json.dumps({**layers, name: {"kind": "exec"}}))
    with pytest.raises(ArtifactError, match=r"layers\.json cannot be read"):
        TransformersRuntime().load(tmp_path, 1)


def test_lora_trains_on_the_loss_of_the_text(workshop) -> None:
    plain = replace(workshop, reference=None)
    method = Lora(merge=True, rank=4, train=Training(epochs=4, batch=1, optimizer="adamw", learning_rate=5e-3))
    batch = next(workshop.data.train.batches(24))
    subject = method.apply(gemma(), plain)
    with torch.no_grad():
        losses = [float(workshop.task.loss(one.model, batch)) for one in (gemma(), subject)]
    assert losses[1] < losses[0] - 0.05
    inner = subject.model.language_model
    assert inner.lm_head.weight is inner.model.embed_tokens.weight


@pytest.mark.parametrize("divergence", ["forward", "reverse"])
def test_a_pruned_model_learns_from_the_float_models_next_tokens(divergence, workshop) -> None:
    subject = Wanda(sparsity=0.5).apply(gemma(), workshop)
    batch = next(workshop.data.train.batches(24))

    def apart(model) -> float:
        with torch.no_grad():
            return float(workshop.task.divergence(model(*batch.inputs), gemma().model(*batch.inputs), 1.0))

    lost = apart(subject.model)
    method = Distillation(
        mix=1.0,
        temperature=1.0,
        divergence=divergence,
        train=Training(epochs=8, batch=8, optimizer="adamw", learning_rate=1e-3, weight_decay=0.0),
    )
    taught = method.apply(subject, workshop)
    assert apart(taught.model) < 0.7 * lost
    layer = taught.model.language_model.model.layers[0].mlp.up_proj
    assert bool(((layer.weight == 0).sum(dim=1) == 16).all())


@pytest.mark.parametrize(
    "method",
    [Lora(rank=2, learn_from="float-model", train=Training(most_steps=2)), Distillation(train=Training(most_steps=2))],
    ids=lambda method: method.method,
)
def test_what_is_learnt_from_the_float_model_are_tokens_that_are_scored(method, workshop) -> None:
    seen = []

    class Noting(CausalLM):
        def divergence(self, student, teacher, temperature, *, reverse=False, batch=None):
            seen.append((batch.inputs[0].shape, int((batch.targets != -100).sum())))
            return super().divergence(student, teacher, temperature, reverse=reverse, batch=batch)

    method.apply(gemma(), replace(workshop, task=Noting()))
    # One window a step, as the task takes them, and 23 of its 24 positions.
    assert seen == [((1, 24), 23)] * 2
