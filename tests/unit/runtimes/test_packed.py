"""The packed runtime: what is saved answers as the module, and a faulty file runs nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.artifacts import packed_file
from harness.artifacts.encoded import Encoded
from harness.artifacts.packed_bytes import words_of
from harness.artifacts.packed_graph import OPERATORS, checked
from harness.errors import ArtifactError
from harness.forms import Form, Subject
from harness.runtimes.base import Runner
from harness.runtimes.packed import FILE, Packed, program
from harness.runtimes.torch import Torch
from harness.zoo.lenet import lenet5
from harness.zoo.mobilenet import mobilenetv2
from harness.zoo.resnet import resnet20


@pytest.fixture(autouse=True)
def process_state() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().eval()


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def saved(model: object, example: tuple[torch.Tensor, ...], folder: Path, form: Form = Form.TORCH) -> Runner:
    folder.mkdir(exist_ok=True, parents=True)
    Packed().save(Subject(form, model, example), folder)
    return Packed().load(folder, threads=1)


class Sizes(nn.Module):
    """Reads sizes, takes tensors apart and puts them together, and gives several outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.register_buffer("offset", torch.arange(6.0))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.linear(x.view(x.size(0), -1) * 0.5 + self.offset)
        first, second = y.chunk(2, dim=1)
        return torch.cat([second, 1 - first], dim=1), torch.add(first, second, alpha=3).reshape(y.shape[0] * 3, 1)


MODELS = {
    "lenet5": lambda: lenet5(image_size=32, convolutions=(6, 16), hidden=(120, 84)),
    "resnet20": resnet20,
    "mobilenetv2": lambda: mobilenetv2(width=0.25),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_reloaded_file_answers_as_the_module_on_any_batch_size(name: str, tmp_path: Path) -> None:
    model = seeded(MODELS[name])
    runner = saved(model, (normal(1, 1, 32, 32),), tmp_path)
    for batch in (1, 5):
        inputs = normal(batch, 1, 32, 32, seed=batch)
        with torch.no_grad():
            torch.testing.assert_close(runner((inputs,))[0], model(inputs), rtol=1e-4, atol=1e-4)


def test_sizes_parts_and_several_outputs_survive(tmp_path: Path) -> None:
    model = seeded(Sizes)
    runner = saved(model, (normal(1, 2, 3),), tmp_path)
    inputs = normal(4, 2, 3, seed=1)
    with torch.no_grad():
        for found, expected in zip(runner((inputs,)), model(inputs), strict=True):
            torch.testing.assert_close(found, expected)
    assert runner.macs((inputs,)) == 4 * 36


def test_evidence_is_that_of_the_torch_runtime(tmp_path: Path) -> None:
    model = seeded(MODELS["lenet5"])
    example = (normal(1, 1, 32, 32),)
    ours = saved(model, example, tmp_path / "packed")
    (tmp_path / "torch").mkdir()
    Torch().save(Subject(Form.TORCH, model, example), tmp_path / "torch")
    theirs = Torch().load(tmp_path / "torch", threads=1)
    facts = [sorted(one.evidence().tensors, key=lambda fact: fact.name) for one in (ours, theirs)]
    assert facts[0] == facts[1]
    assert ours.evidence().operators == theirs.evidence().operators
    assert ours.macs(example) == theirs.macs(example) == 416_520


def test_a_float_model_is_written_as_it_is_and_its_graph_takes_little(tmp_path: Path) -> None:
    model = seeded(MODELS["lenet5"])
    saved(model, (normal(1, 1, 32, 32),), tmp_path)
    content = (tmp_path / FILE).read_bytes()
    assert {kind for kind, _ in packed_file.sizes(content).values()} == {"raw"}
    assert 61_706 * 4 < len(content) < 61_706 * 4 + 500


@pytest.mark.parametrize("coder", ["huffman", "range"])
def test_an_encoded_model_is_the_same_model_in_fewer_bytes(coder: str, tmp_path: Path) -> None:
    model = seeded(MODELS["lenet5"])
    with torch.no_grad():
        for one in model.parameters():
            one.copy_((one * 20).round() / 20)  # few values, most of them zero
    example = (normal(1, 1, 32, 32),)
    plain = saved(model, example, tmp_path / "plain")
    coded = saved(Encoded(model, coder), example, tmp_path / "coded", Form.ENCODED)  # type: ignore[arg-type]
    sizes = [(tmp_path / name / FILE).stat().st_size for name in ("plain", "coded")]
    assert sizes[1] < sizes[0] / 10
    inputs = normal(3, 1, 32, 32, seed=2)
    assert torch.equal(plain((inputs,))[0], coded((inputs,))[0])
    counted = coded.evidence()
    assert set(counted.encodings) >= {coder}
    assert plain.evidence() == counted.model_copy(update={"encodings": plain.evidence().encodings})


def test_an_operator_that_the_format_lacks_is_refused_when_the_model_is_saved(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.fft.fft(x).real

    with pytest.raises(ArtifactError, match="knows no operator aten::fft_fft"):
        saved(Odd(), (normal(1, 4),), tmp_path)


def test_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    saved(seeded(MODELS["lenet5"]), (normal(1, 1, 32, 32),), tmp_path)
    content = bytearray((tmp_path / FILE).read_bytes())
    content[100_000] ^= 4
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"the checksum of the tensor 'fc1.weight' \(6 of 10\) does not match"):
        Packed().load(tmp_path, threads=1)
    (tmp_path / FILE).unlink()
    with pytest.raises(ArtifactError, match="no packed file at"):
        Packed().load(tmp_path, threads=1)


GRAPH = {"inputs": [[[1, 4], "float32"]], "buffers": [], "nodes": [["relu", ["x0"], {}]], "outputs": ["n0"]}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"nodes": [["from_file", ["'/etc/passwd"], {}]]}, "asks for the operator 'from_file'"),
        ({"nodes": [["__class__", ["x0"], {}]]}, "asks for the operator '__class__'"),
        ({"nodes": [["relu", ["x1"], {}]]}, "refers to 'x1'"),
        ({"nodes": [["relu", ["n0"], {}]]}, "refers to 'n0'"),
        ({"nodes": [["relu", ["t0"], {}]]}, "refers to 't0'"),
        ({"nodes": [["relu", ["open"], {}]]}, "refers to 'open'"),
        ({"nodes": [["relu", [{"a": 1}], {}]]}, "no number, text or list"),
        ({"outputs": []}, "gives nothing out"),
        ({"more": 1}, "means nothing"),
        ({"buffers": ["__dict__.x()"]}, "which is no name"),
        ({"inputs": [[[2**20, 2**20], "float32"]]}, "inputs of more than 16,777,216 elements a sample"),
        ({"inputs": [[[2**23], "int8"], [[2**23 + 1], "int8"]]}, "inputs of more than 16,777,216 elements a sample"),
        ({"inputs": [[[1, -4], "float32"]]}, r"an input of the shape \[1, -4\], which is none"),
        ({"inputs": [[[1, 4], "load"]]}, "an input of the type 'load'"),
    ],
)
def test_a_graph_that_asks_for_what_is_not_there_is_refused(change: dict[str, object], sentence: str) -> None:
    assert checked(json.loads(json.dumps(GRAPH)), []).outputs == ["n0"]
    with pytest.raises(ArtifactError, match=sentence):
        checked(json.loads(json.dumps({**GRAPH, **change})), [])


@pytest.mark.parametrize(
    ("change", "names", "sentence"),
    [
        ({"inputs": [[[2**40], "float32"]]}, ["w"], "inputs of more than"),
        ({"nodes": [["linear", ["x0", "t0"], {}]]}, ["w"], "does not run: .*shapes cannot be multiplied"),
        ({"nodes": [["relu", ["x0", 1, 2], {}]]}, ["w"], "does not run: "),
        ({"nodes": [["relu", [], {"other": 1}]]}, ["w"], "does not run: "),
        ({"nodes": [["add", [1, 2], {}]]}, ["w"], "does not run: .*no attribute 'add'"),
        ({"nodes": [["chunk", ["x0", 2], {}], ["relu", ["n0.7"], {}]], "outputs": ["n1"]}, ["w"], "does not run: "),
        ({}, ["a", "a.b"], "does not run: "),
        ({}, ["training"], "does not run: .*attribute 'training' already exists"),
        ({"nodes": [["cat", [json.loads("[" * 900 + "]" * 900)], {}]]}, ["w"], "does not run: "),
    ],
)
def test_a_graph_that_does_not_run_is_refused_in_one_way(
    change: dict[str, object], names: list[str], sentence: str, tmp_path: Path
) -> None:
    tensors = {name: words_of(torch.zeros(3, 5)) for name in names}
    (tmp_path / FILE).write_bytes(packed_file.pack({**GRAPH, **change}, tensors, None))
    with pytest.raises(ArtifactError, match=sentence):
        program(tmp_path / FILE)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_graph_of_nonsense_is_refused_or_runs(data: st.DataObject) -> None:
    """Known operators on any arguments, under good checksums: the worst that comes of it is a sentence."""
    argument = st.one_of(
        st.sampled_from(["x0", "t0", "n0", "'mean", None, True]), st.integers(-3, 9), st.floats(-2, 2),
        st.lists(st.integers(-1, 4), max_size=3),
    )  # fmt: skip
    first = data.draw(st.lists(argument.filter(lambda one: one != "n0"), max_size=4))
    operators = st.sampled_from(sorted(OPERATORS))
    nodes = [[data.draw(operators), first, {}], [data.draw(operators), data.draw(st.lists(argument, max_size=4)), {}]]
    content = packed_file.pack({**GRAPH, "nodes": nodes, "outputs": ["n1"]}, {"w": words_of(torch.ones(4))}, None)
    with TemporaryDirectory() as folder:
        (Path(folder) / FILE).write_bytes(content)
        try:
            came: object = program(Path(folder) / FILE)
        except ArtifactError as error:
            came = error
    assert isinstance(came, torch.jit.ScriptModule) or "the graph of the packed file" in str(came)


def test_the_operators_are_torchs_own_and_none_touches_files_or_chance() -> None:
    assert [name for name in sorted(OPERATORS) if not hasattr(torch.ops.aten, name)] == []
    banned = ("file", "rand", "bernoulli", "multinomial", "normal_", "set_", "resize", "load", "save", "eval", "cuda")
    assert [name for name in OPERATORS if any(part in name for part in banned)] == []


def test_a_model_with_normalization_keeps_its_statistics_as_buffers(tmp_path: Path) -> None:
    facts = saved(seeded(resnet20), (normal(1, 1, 32, 32),), tmp_path).evidence().tensors
    buffers = {one.name for one in facts if not one.weight}
    assert len(buffers) == 2 * 21
    assert all(name.endswith(("running_mean", "running_var")) for name in buffers)
    assert np.sum([one.elements for one in facts if one.weight]) == sum(p.numel() for p in resnet20().parameters())
