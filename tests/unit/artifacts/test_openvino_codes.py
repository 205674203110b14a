"""Codes of grouped integers in an OpenVINO graph: the same weights, stored as the plugin's kernels read them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from harness.artifacts.openvino_codes import Coded, write
from harness.data.base import Dataset
from harness.data.windows import Cut, Documents
from harness.errors import ArtifactError, MethodError
from harness.evidence import Evidence, Role, TensorFact
from harness.forms import Form, Subject
from harness.lowering import lower
from harness.methods.base import Workshop
from harness.methods.quantization.bnb_4bit import BnbNf4
from harness.methods.quantization.embedding_quantization import EmbeddingQuantization
from harness.methods.quantization.weight_only import WeightOnly
from harness.runtimes.openvino import OpenVino
from harness.sources.base import uncut
from harness.sources.heads import language_model
from harness.tasks.causal_lm import CausalLM

# Of the libraries below: torch's tracer, and what transformers itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

# A processor with VNNI would round activations too.
EXACT = OpenVino(dynamic_quantization=False)


def gemma():
    config = Gemma3TextConfig(
        vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, sliding_window=16, max_position_embeddings=128, query_pre_attn_scalar=16,
        layer_types=["sliding_attention", "full_attention"],
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = language_model(Gemma3ForCausalLM(config).eval())
    return Subject(Form.TORCH, module, (torch.randint(5, 96, (1, 24), generator=torch.Generator().manual_seed(1)),))


def stepped(subject, steps, folder):
    workshop = Workshop(CausalLM(), None, folder, 0, lambda text: None)
    for step in steps:
        subject = step.apply(subject, workshop)
    return subject


MIXED = [
    EmbeddingQuantization(bits=4, group_size=16),
    WeightOnly(bits=8, group_size=32, symmetric=True),
]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    subject = stepped(gemma(), MIXED, folder)
    with torch.no_grad():
        expected = subject.model(*subject.example)
    lowered = lower(subject, Form.OPENVINO)
    with torch.no_grad():
        # The torch model has its own layers back.
        torch.testing.assert_close(subject.model(*subject.example), expected)
    OpenVino().save(lowered, folder)
    return subject, expected, EXACT.load(folder, 1)


def test_the_graph_answers_as_the_layers_that_its_codes_came_from(mixed):
    subject, expected, runner = mixed
    found = runner(subject.example)[0]
    # Scales multiply in float16 as they are stored, so that weights are equal but for the last bits.
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3 * float(expected.abs().max()))


def test_an_embedding_is_stored_once_in_four_bits_and_the_rest_in_eight(mixed):
    _, _, runner = mixed
    dtypes = runner.evidence().dtypes
    assert dtypes["uint4"] == 96 * 32
    # q, k, v and o are 4 · 32 · 32 with one key-value head of two, and the three of the MLP 32 · 64 each.
    assert dtypes["int8"] == 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 32 * 64)
    for step in MIXED:
        assert step.contradictions(runner.evidence(), runner.evidence()) == []


def test_float_weights_are_told_where_codes_were_asked_for(tmp_path):
    OpenVino().save(lower(gemma(), Form.OPENVINO), tmp_path)
    evidence: Evidence = OpenVino().load(tmp_path, 1).evidence()
    for step in MIXED:
        assert step.contradictions(evidence, evidence) != []


@pytest.mark.parametrize(("bits", "dtype"), [(3, "uint4"), (4, "uint4"), (6, "uint8"), (8, "uint8")])
def test_widths_that_the_graph_does_not_know_take_the_next(bits, dtype, tmp_path):
    subject = stepped(gemma(), [EmbeddingQuantization(bits=bits, group_size=32)], tmp_path)
    with torch.no_grad():
        expected = subject.model(*subject.example).numpy()
    OpenVino().save(lower(subject, Form.OPENVINO), tmp_path)
    runner = EXACT.load(tmp_path, 1)
    assert runner.evidence().dtypes[dtype] == 96 * 32
    np.testing.assert_allclose(runner(subject.example)[0].numpy(), expected, atol=2e-3 * np.abs(expected).max())


def test_what_no_graph_has_an_operator_for_is_told(tmp_path):
    with pytest.raises(MethodError, match="is stored as bnb-4bit-linear, which no graph has an operator for"):
        lower(stepped(gemma(), [BnbNf4()], tmp_path), Form.OPENVINO)
    with pytest.raises(MethodError, match="a graph takes groups that divide 32 columns, not 24"):
        lower(stepped(gemma(), [EmbeddingQuantization(bits=4, group_size=24)], tmp_path), Form.OPENVINO)


def test_a_plain_network_is_lowered_too(tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4)).eval()
    images = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    subject = Subject(Form.TORCH, network, (images[:1],))
    subject = stepped(subject, [WeightOnly(bits=8, group_size=8)], tmp_path)
    with torch.no_grad():
        expected = subject.model(images)
    OpenVino().save(lower(replace(subject, example=(images[:1],)), Form.OPENVINO), tmp_path)
    torch.testing.assert_close(OpenVino().load(tmp_path, 1)((images,))[0], expected, rtol=1e-3, atol=1e-3)


def test_rows_are_widened_as_the_layers_multiply_with_them(mixed):
    subject, _, runner = mixed
    expected = {
        name.removeprefix("language_model.").removesuffix(".matrix"): part.weight().numpy()
        for name, part in subject.model.named_modules()
        if hasattr(part, "grid")
    }
    found = {name: (rows, narrow) for name, rows, narrow in runner.matrices()}
    assert len(found.keys() & expected.keys()) == 1 + 2 * 7
    for name in expected.keys() & found.keys():
        rows, narrow = found[name]
        assert narrow
        middle = max(0, len(expected[name]) // 2 - 32)
        np.testing.assert_allclose(rows, expected[name][middle : middle + 64], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "step",
    [
        WeightOnly(bits=4, group_size=16, scale_estimation=True),
        WeightOnly(bits=4, group_size=16, gptq=True),
        WeightOnly(bits=4, group_size=16, awq=True, ratio=0.5),
    ],
    ids=["scale-estimation", "gptq", "awq-and-ratio"],
)
def test_the_librarys_own_rounding_is_fitted_to_windows_of_text(step, tmp_path):
    assert step.transitions == {Form.OPENVINO: Form.OPENVINO}
    texts = ["".join(chr(97 + (7 * place * place + index) % 26) for place in range(30)) for index in range(6)]
    encoder = uncut(lambda text: [1, *(one % 90 for one in text.encode())])
    windows = Documents(texts, [str(index) for index in range(6)], Cut(32)).encoded(encoder)
    plain = lower(gemma(), Form.OPENVINO)
    workshop = Workshop(CausalLM(), Dataset(windows, None), tmp_path, 0, lambda text: None)
    OpenVino().save(step.apply(plain, workshop), tmp_path)
    dtypes = OpenVino().load(tmp_path, 1).evidence().dtypes
    layers = 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 32 * 64)
    # The embedding, which is the last layer too, takes 8 bits; of the others a share takes 4.
    assert dtypes["uint4"] == layers if step.ratio is None else 0.2 * layers < dtypes["uint4"] < 0.6 * layers
    assert dtypes["uint8"] == 96 * 32 + layers - dtypes["uint4"]
    with pytest.raises(MethodError, match="the spec needs `data:`"):
        step.apply(plain, replace(workshop, data=None))


def test_codes_of_other_weights_are_refused():
    graph = lower(gemma(), Form.OPENVINO).model
    codes = np.zeros((32, 2, 16), dtype=np.uint8)
    other = Coded(codes, np.ones((32, 2), dtype=np.float16), None, 8)
    with pytest.raises(ArtifactError, match=r"q_proj holds other weights than the layer that it came from"):
        write(graph, {"model.layers.0.self_attn.q_proj": other})
    with pytest.raises(ArtifactError, match=r"has no layer model\.absent that holds a weight matrix"):
        write(graph, {"model.absent": other})


def test_what_an_earlier_step_stored_in_fewer_bits_is_no_contradiction():
    def stored(name, dtype, rows):
        return TensorFact(name=name, dtype=dtype, shape=(rows, 10), zeros=0, roles=(Role.MULTIPLIED,))

    before = Evidence(operators={}, tensors=(stored("a.weight", "float32", 63), stored("b.weight", "float32", 37)))
    after = Evidence(operators={}, tensors=(stored("a.weight", "uint4", 63), stored("b.weight", "int8", 37)))
    half = Evidence(operators={}, tensors=(stored("a.weight", "float32", 63), stored("b.weight", "int8", 37)))
    step = WeightOnly(bits=8)
    assert step.contradictions(before, after) == []
    assert step.contradictions(before, half) == ["only 37% of 1,000 weight elements are stored in so few bits"]
    assert step.contradictions(before, before) == ["none of the 1,000 weight elements is stored in 8 bits"]
