import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness.artifacts.openvino import import_openvino
from harness.errors import ArtifactError, Unmeasurable
from harness.forms import Form, Subject
from harness.lowering import lower
from harness.methods.layers import multiplied
from harness.runtimes.base import RUNTIMES, Runner
from harness.runtimes.openvino import OpenVino
from harness.runtimes.torch import Torch

pytestmark = [
    # OpenVINO and NNCF read deprecated attributes of torch while they import and convert.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:openvino"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:nncf"),
]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.project, self.head = nn.Embedding(50, 32), nn.Linear(32, 96), nn.Linear(32, 5, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        query, key, value = (
            self.project(self.words(tokens)).view(tokens.shape[0], -1, 3, 2, 16).permute(2, 0, 3, 1, 4).unbind()
        )
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.head(mixed.transpose(1, 2).flatten(2).mean(1))


def convolutional() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 5, padding=2, stride=2, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 12, 3, groups=2),
        nn.ReLU(),
        nn.ConvTranspose2d(12, 4, 3, stride=2),
        nn.Flatten(),
        nn.Linear(4 * 13 * 13, 10),
    )
    nn.init.normal_(model[1].bias)
    return model.eval()


def example(batch: int = 2) -> tuple[torch.Tensor, ...]:
    return (torch.randn(batch, 3, 16, 16, generator=torch.Generator().manual_seed(batch)),)


def saved(model: nn.Module, inputs: tuple[torch.Tensor, ...], folder: Path) -> Runner:
    folder.mkdir(exist_ok=True)
    OpenVino().save(lower(Subject(Form.TORCH, model, inputs), Form.OPENVINO), folder)
    return OpenVino().load(folder, threads=1)


@pytest.fixture
def runner(tmp_path) -> Runner:
    return saved(convolutional(), example(), tmp_path / "artifact")


def test_it_is_registered():
    assert RUNTIMES["openvino"] is OpenVino


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_a_reloaded_artifact_answers_as_torch_does(runner, batch):
    inputs = example(batch)
    with torch.no_grad():
        expected = convolutional()(*inputs)
    (answer,) = runner(inputs)
    assert answer.dtype == torch.float32
    torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-5)


def test_what_is_timed_computes_what_is_evaluated(runner):
    inputs = example(4)
    call = runner.prepared(inputs)
    torch.testing.assert_close(torch.from_numpy(np.array(call()[0])), runner(inputs)[0], rtol=1e-5, atol=1e-6)


def test_a_prepared_call_survives_the_tensors_it_was_given(runner):
    expected = runner(example(4))[0]
    call = runner.prepared((example(4)[0].clone(),))
    _ = [torch.randn(4, 3, 16, 16) for _ in range(50)]
    torch.testing.assert_close(torch.from_numpy(np.array(call()[0])), expected, rtol=1e-5, atol=1e-6)


def test_a_batch_in_another_memory_layout_is_read_whole(runner):
    # The runner makes a copy of it; freed before it is read, the second call answers from what lies there then.
    images = torch.randn(4, 16, 16, 3, generator=torch.Generator().manual_seed(3)).permute(0, 3, 1, 2)
    assert not images.is_contiguous()
    expected = runner((images.contiguous(),))[0]
    for _ in range(20):
        assert torch.equal(runner((images,))[0], expected)


def test_answers_are_not_overwritten_by_the_next_batch(runner):
    (first,) = runner(example(4))
    kept = first.clone()
    runner((torch.zeros(4, 3, 16, 16),))
    assert torch.equal(first, kept)


def test_multiply_accumulates_equal_the_closed_form_and_torchs_own_counter(runner):
    per_image = (
        8 * 8 * 6 * 3 * 25  # 5x5 convolution, stride 2
        + 6 * 6 * 12 * 3 * 9  # grouped: 3 of 6 channels each
        + 6 * 6 * 12 * 4 * 9  # transposed: every input element meets every filter tap
        + 4 * 13 * 13 * 10
    )
    assert runner.macs(example(5)) == 5 * per_image
    with FlopCounterMode(display=False) as counter:
        convolutional()(*example(5))
    assert runner.macs(example(5)) * 2 == counter.get_total_flops()


def test_attention_is_counted_with_both_of_its_products(tmp_path):
    tokens = (torch.arange(14).reshape(2, 7),)
    runner = saved(Attention().eval(), tokens, tmp_path)
    linear = 2 * 7 * 32 * 96 + 2 * 32 * 5
    attention = 2 * 2 * (7 * 7 * 16 + 7 * 7 * 16)
    assert runner.macs(tokens) == linear + attention


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.lstm = nn.Embedding(20, 8), nn.LSTM(8, 16, 2, bidirectional=True, batch_first=True)
        self.gru, self.rnn = nn.GRU(32, 16, batch_first=True), nn.RNN(16, 12, batch_first=True)
        self.mix, self.head = nn.Parameter(torch.full((12, 10), 0.1)), nn.Linear(10, 4)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        states = self.rnn(self.gru(self.lstm(self.words(tokens))[0])[0])[0]
        return self.head(torch.einsum("bti,io->bto", states, self.mix)[:, -1])


def test_recurrent_layers_and_einsum_are_counted_as_torch_counts_them(tmp_path):
    # The layers of torch ask for sizes while they are traced.
    warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
    torch.manual_seed(0)
    model, tokens = Reader().eval(), torch.arange(14).view(2, 7)
    with torch.no_grad():
        model.lstm.weight_hh_l1[:5] = 0
        model.mix[:3] = 0
    runner = saved(model, (tokens[:1],), tmp_path / "graph")
    lstm = 2 * (4 * 16) * ((8 + 16) + (32 + 16))
    gru, rnn, einsum = (3 * 16) * (32 + 16), 12 * (16 + 12), 12 * 10
    assert runner.macs((tokens,)) == 2 * 7 * (lstm + gru + rnn + einsum) + 2 * 10 * 4
    (tmp_path / "program").mkdir()
    Torch().save(Subject(Form.TORCH, model, (tokens[:1],)), tmp_path / "program")
    theirs = Torch().load(tmp_path / "program", threads=1)
    assert runner.macs((tokens,)) == theirs.macs((tokens,))
    evidence = runner.evidence()
    matrices = 20 * 8 + lstm + gru + rnn + einsum + 10 * 4
    assert evidence.dtypes == theirs.evidence().dtypes == {"float32": matrices}
    assert evidence.sparsity == theirs.evidence().sparsity == pytest.approx((5 * 16 + 3 * 10) / matrices)
    # OpenVINO adds up the two biases of a gate, but those of the one gate of a GRU that is reset between them.
    assert evidence.parameters == matrices + 2 * 2 * 4 * 16 + 4 * 16 + 12 + 4
    shapes = {one.name: (one.shape, one.used_by) for one in evidence.tensors}
    assert shapes["lstm.2.weight"] == ((2 * 4 * 16, 32), ("LSTMSequence",))
    assert shapes["gru.recurrent.weight"] == ((3 * 16, 16), ("GRUSequence",))


def graph(build: Callable[[ModuleType, Any], Any], shape: tuple[int, ...], folder: Path) -> Runner:
    """A graph of one input, made by hand."""
    openvino = import_openvino()
    given = openvino.opset13.parameter(list(shape), np.float32)
    model = openvino.Model([build(openvino.opset13, given)], [given], "graph")
    OpenVino().save(Subject(Form.OPENVINO, model, (torch.zeros(shape),)), folder)
    return OpenVino().load(folder, threads=1)


@pytest.mark.parametrize(
    ("equation", "other", "macs"),
    [
        ("bij,jk->bik", (5, 6), 2 * 4 * 5 * 6),
        ("bij,bkj->bik", (2, 3, 5), 2 * 4 * 5 * 3),
        ("bij,l->bl", (7,), 0),
        ("...ij,jk->...ik", (5, 6), 2 * 4 * 5 * 6),
        ("...ij,...kj->...ik", (1, 3, 5), 2 * 4 * 5 * 3),
        ("bij,jk", (5, 6), 2 * 4 * 5 * 6),
    ],
)
def test_an_einsum_multiplies_once_for_every_choice_of_its_indices(equation, other, macs, tmp_path):
    ones = np.ones(other, np.float32)
    runner = graph(lambda ops, given: ops.einsum([given, ops.constant(ones)], equation), (2, 4, 5), tmp_path)
    assert runner.macs((torch.ones(2, 4, 5),)) == macs
    with FlopCounterMode(display=False) as counter:
        torch.einsum(equation, torch.ones(2, 4, 5), torch.ones(other))
    assert macs == counter.get_total_flops() // 2
    assert runner.evidence().parameters == math.prod(other)


def test_bags_of_embeddings_are_added_up_and_multiply_nothing(tmp_path):
    table = np.ones((10, 4), np.float32)
    runner = graph(
        lambda ops, given: ops.embedding_bag_packed_sum(ops.constant(table), ops.convert(given, "i64")),
        (1, 3),
        tmp_path,
    )
    assert runner.macs((torch.ones(1, 3),)) == 0
    assert runner.evidence().parameters == 40


def test_what_multiplies_in_a_way_that_has_no_formula_is_named_and_its_weights_count(tmp_path):
    def twisted(ops: Any, given: Any) -> Any:
        offsets = ops.constant(np.zeros((1, 18, 6, 6), np.float32))
        filters = ops.constant(np.ones((4, 3, 3, 3), np.float32))
        return ops.deformable_convolution(given, offsets, filters, [1, 1], [0, 0], [0, 0], [1, 1])

    runner = graph(twisted, (1, 3, 8, 8), tmp_path)
    with pytest.raises(Unmeasurable, match=r"DeformableConvolution \(.*\), which takes a matrix .* have no formula"):
        runner.macs((torch.ones(1, 3, 8, 8),))
    assert runner.evidence().parameters >= 4 * 3 * 3 * 3
    (tmp_path / "three").mkdir()
    ones = np.ones((5, 5), np.float32)
    runner = graph(
        lambda ops, given: ops.einsum([given, ops.constant(ones), ops.constant(ones)], "bi,ij,jk->bk"),
        (1, 5), tmp_path / "three",
    )  # fmt: skip
    with pytest.raises(Unmeasurable, match=r"Einsum \(.*\), bi,ij,jk->bk, have no formula"):
        runner.macs((torch.ones(1, 5),))


def test_weights_inside_of_a_loop_count_and_how_often_they_multiply_is_not_known(tmp_path):
    def loop(ops: Any, given: Any) -> Any:
        step, state = ops.parameter([1, 1, 8], np.float32), ops.parameter([1, 1, 8], np.float32)
        made = ops.matmul(ops.add(step, state), ops.constant(np.eye(8, dtype=np.float32)), False, False)
        found = ops.tensor_iterator()
        found.set_body(import_openvino().Model([ops.result(made)], [step, state], "step"))
        found.set_sliced_input(step, given.output(0), 0, 1, 1, 4, 1)
        found.set_merged_input(state, ops.constant(np.zeros((1, 1, 8), np.float32)).output(0), made.output(0))
        return ops.result(found.get_iter_value(made.output(0), -1))

    runner = graph(loop, (1, 5, 8), tmp_path)
    assert runner.evidence().parameters == 64
    assert runner.evidence().sparsity == 56 / 64
    with pytest.raises(Unmeasurable, match=r"TensorIterator \(.*\) holds MatMul, and how often a loop or a branch"):
        runner.macs((torch.ones(1, 5, 8),))


def test_evidence_counts_what_the_file_holds(runner):
    evidence = runner.evidence()
    weights = 6 * 3 * 25 + 12 * 3 * 9 + 12 * 4 * 9 + 4 * 13 * 13 * 10
    assert evidence.dtypes == {"float32": weights}
    # Folding the normalization leaves its shift as a bias and nothing else.
    assert evidence.parameters == weights + 6 + 12 + 4 + 10
    assert {name: evidence.operators[name] for name in ("Convolution", "GroupConvolution", "MatMul")} == {
        "Convolution": 1,
        "GroupConvolution": 1,
        "MatMul": 1,
    }
    assert evidence.kernels == {"f32": 4}
    shapes = {tensor.name: tensor.shape for tensor in evidence.tensors if tensor.weight}
    assert shapes["0.weight"] == (6, 3, 5, 5)
    assert shapes["0.bias"] == (6,)


def test_zeros_are_counted_where_pruning_put_them(tmp_path):
    model = convolutional()
    with torch.no_grad():
        model[7].weight[:, ::4] = 0
    evidence = saved(model, example(), tmp_path).evidence()
    (linear,) = [tensor for tensor in evidence.tensors if tensor.name == "7.weight"]
    assert linear.zeros == 169 * 10


@pytest.mark.parametrize(
    ("mode", "stored", "zero"), [("int8_asym", "uint8", None), ("int4_sym", "int4", 0), ("int4_asym", "uint4", None)]
)
def test_zeros_of_compressed_weights_are_those_that_decompress_to_zero(mode, stored, zero, tmp_path):
    import_openvino()
    import nncf

    nncf.set_log_level(40)
    model = nn.Linear(64, 32, bias=False).eval()
    with torch.no_grad():
        model.weight.copy_(torch.randn(32, 64, generator=torch.Generator().manual_seed(0)))
    inputs = (torch.eye(64),)
    subject = lower(Subject(Form.TORCH, model, inputs), Form.OPENVINO)
    grouped = {} if mode == "int8_asym" else {"group_size": 32, "all_layers": True}
    compressed = nncf.compress_weights(subject.model, mode=nncf.CompressWeightsMode(mode), **grouped)
    OpenVino().save(Subject(Form.OPENVINO, compressed, inputs), tmp_path)
    runner = OpenVino().load(tmp_path, threads=1)
    (weight,) = runner.evidence().matrices
    assert (weight.dtype, weight.elements) == (stored, 32 * 64)
    # The rows of the identity read the decompressed matrix out, element by element.
    assert weight.zeros == int((runner(inputs)[0].abs() < 1e-6).sum())


def test_the_bytes_of_an_artifact_do_not_depend_on_what_was_converted_before(tmp_path):
    for name in ("first", "second"):
        saved(convolutional(), example(), tmp_path / name)
        lower(Subject(Form.TORCH, nn.Linear(3, 3), (torch.ones(1, 3),)), Form.OPENVINO)
    for file in ("model.xml", "model.bin"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_a_float_artifact_is_stored_in_float32(tmp_path):
    saved(convolutional(), example(), tmp_path)
    parameters = 6 * 3 * 25 + 12 * 3 * 9 + 12 * 4 * 9 + 4 * 13 * 13 * 10 + 6 + 12 + 4 + 10
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.bin", "model.xml"]
    assert 0 <= (tmp_path / "model.bin").stat().st_size - 4 * parameters < 64


def test_a_graph_with_a_fixed_batch_serves_others_where_it_can(tmp_path):
    subject = lower(Subject(Form.TORCH, convolutional(), example()), Form.OPENVINO)
    subject.model.reshape([2, 3, 16, 16])
    OpenVino().save(subject, tmp_path)
    with torch.no_grad():
        expected = convolutional()(*example(5))
    torch.testing.assert_close(OpenVino().load(tmp_path, threads=1)(example(5))[0], expected, rtol=1e-4, atol=1e-5)


def test_a_graph_that_was_traced_for_one_batch_size_says_so(tmp_path):
    class Fixed(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.reshape(2, -1) * 2

    runner = saved(Fixed(), example(2), tmp_path)
    assert runner(example(2))[0].shape == (2, 3 * 16 * 16)
    with pytest.raises(Unmeasurable, match=r"a batch of 4 gives outputs of shape \(2, 1536\).*dynamic batch axis"):
        runner(example(4))


def test_a_folder_without_a_graph_is_no_artifact(tmp_path):
    with pytest.raises(ArtifactError, match=r"holds 0 \.xml files"):
        OpenVino().load(tmp_path, threads=1)


def test_a_broken_graph_is_no_artifact(tmp_path):
    (tmp_path / "model.xml").write_text("<net", encoding="utf-8")
    with pytest.raises(ArtifactError, match="cannot read model"):
        OpenVino().load(tmp_path, threads=1)


def test_the_kernel_path_names_no_version():
    name, instructions = OpenVino().kernels().split()
    assert name == "openvino"
    assert torch.cpu.get_capabilities().get(instructions, instructions)


def test_a_prepared_call_costs_little_more_than_inference(tmp_path):
    runner = saved(nn.Linear(4, 4).eval(), (torch.ones(1, 4),), tmp_path)
    call = runner.prepared((torch.ones(1, 4),))
    call()
    times = []
    for _ in range(300):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    # A 4x4 product takes no time: this is what every timed inference carries on top. About 20 us where it is quiet.
    assert np.quantile(times, 0.1) < 200e-6


def test_weights_tell_which_operators_use_them(tmp_path: Path) -> None:
    """An embedding is looked up and not multiplied: a method that works on multiplications may leave it."""
    for module, example, expected in (
        (
            convolutional(),
            torch.randn(1, 3, 16, 16),
            {"Convolution", "ConvolutionBackpropData", "GroupConvolution", "MatMul"},
        ),
        (Attention().eval(), torch.randint(0, 50, (1, 7)), {"Gather", "MatMul"}),
    ):
        folder = tmp_path / type(module).__name__
        folder.mkdir()
        OpenVino().save(lower(Subject(Form.TORCH, module.eval(), (example,)), Form.OPENVINO), folder)
        evidence = OpenVino().load(folder, 1).evidence()
        assert {kind for one in evidence.matrices for kind in one.used_by} == expected
        assert all(one.used_by for one in evidence.tensors if one.weight)
        assert expected <= evidence.operators.keys()
        multiplying = {kind for one in multiplied(evidence.tensors) for kind in one.used_by}
        assert multiplying == expected - {"Gather"}


def test_serving_answers_like_a_single_call_and_keeps_what_it_made(runner, monkeypatch):
    batches = [example(2), example(3), tuple(2 * part for part in example(2))]
    expected = [runner(batch)[0] for batch in batches]
    made = []
    compile_for = runner._compile
    monkeypatch.setattr(runner, "_compile", lambda shapes: made.append(shapes) or compile_for(shapes))
    serve = runner.serving()

    found = [serve(batch)[0] for batch in batches]

    assert made == [((2, 3, 16, 16),), ((3, 3, 16, 16),)]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_loading_leaves_torch_one_thread(tmp_path):
    """Two pools of threads on the same processors: torch's spin while they wait, and end-to-end times waver."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        saved(convolutional(), example(), tmp_path / "artifact")
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
