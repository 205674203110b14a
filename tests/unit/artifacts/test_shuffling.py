"""Permuting stored weights: exactly one layer changes, and only in its order, whatever the file holds."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.artifacts.shuffling import inner, permuted
from harness.errors import Unmeasurable
from harness.forms import Form, Subject
from harness.runtimes.base import RUNTIMES

torch = pytest.importorskip("torch")
INT8 = Path(__file__).parents[3] / "specs" / "image-classification" / "artifacts" / "lenet5-digits-int8.pt"
pytestmark = [
    # Packed int8 weights are unpacked, and tracing has a successor that cannot save them.
    pytest.mark.filterwarnings("ignore:.*quantize:UserWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning"),
    # OpenVINO reads deprecated attributes of torch while it is imported.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:openvino"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]


def shuffled(runtime: str, folder: Path) -> str:
    return RUNTIMES[runtime](runtime=runtime).shuffle(folder, 0)


def net() -> torch.nn.Module:
    """Four layers, of which the first is the largest and the last but one the largest of the others."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Conv2d(1, 40, 5), torch.nn.ReLU(), torch.nn.Conv2d(40, 2, 3), torch.nn.Flatten(),
            torch.nn.Linear(8, 100), torch.nn.Linear(100, 3),
        ).eval()  # fmt: skip


def example() -> tuple[torch.Tensor]:
    return (torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8),)


def weights(folder: Path) -> dict[str, np.ndarray]:
    from harness.artifacts.torchscript_archive import read
    from harness.artifacts.torchscript_graph import stored

    found = {}
    for fact, value in stored(read(folder / "model.pt")):
        raw = value.detach().int_repr() if value.is_quantized else value.detach().float()
        found[fact.name] = raw.numpy().copy()
    return found


def only_reordered(before: dict[str, np.ndarray], after: dict[str, np.ndarray], name: str) -> None:
    assert before.keys() == after.keys()
    changed = [one for one in before if not np.array_equal(before[one], after[one])]
    assert changed == [name]
    assert np.array_equal(np.sort(before[name], None), np.sort(after[name], None))
    # All but a few elements of a random order are elsewhere.
    assert (before[name] != after[name]).mean() > 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_one_inner_layer_of_a_torchscript_file_changes_its_order(tmp_path: Path, dtype: torch.dtype) -> None:
    model = net().to(dtype)
    from harness.runtimes.torch import Torch

    folder = tmp_path / "artifact"
    folder.mkdir()
    Torch().save(Subject(Form.TORCH, model, (example()[0].to(dtype),)), folder)
    before, size = weights(folder), (folder / "model.pt").stat().st_size
    name = shuffled("torch", folder)
    # 800 elements against 720 of the second convolution; the first has 1,000.
    assert name == "4.weight"
    only_reordered(before, weights(folder), name)
    assert (folder / "model.pt").stat().st_size == size
    assert [path.name for path in folder.iterdir()] == ["model.pt"]


def test_packed_int8_weights_change_their_order_too(tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    folder.mkdir()
    shutil.copyfile(INT8, folder / "model.pt")
    before = weights(folder)
    assert shuffled("torch", folder) == "fc1.weight"
    only_reordered(before, weights(folder), "fc1.weight")


def test_packed_int8_convolutions_are_found_whatever_their_layout(tmp_path: Path) -> None:
    from harness.artifacts.torchscript_archive import write

    engine = torch.backends.quantized.engine
    torch.backends.quantized.engine = "x86"
    try:
        from torch.ao.nn.quantized import Conv2d

        class Quantized(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.first, self.inner, self.last = Conv2d(2, 2, 3), Conv2d(2, 4, 3), Conv2d(4, 2, 1)
                values = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(1))
                self.inner.set_weight_bias(torch.quantize_per_tensor(values, 0.05, 0, torch.qint8), torch.zeros(4))

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                codes = torch.quantize_per_tensor(x, 0.1, 3, torch.quint8)
                return self.last(self.inner(self.first(codes))).dequantize()

        program = torch.jit.trace(Quantized(), torch.zeros(1, 2, 8, 8))
        folder = tmp_path / "artifact"
        folder.mkdir()
        write(program, folder / "model.pt", "x86")
        before = weights(folder)
        assert shuffled("torch", folder) == "inner.weight"
        only_reordered(before, weights(folder), "inner.weight")
    finally:
        torch.backends.quantized.engine = engine


class Decoded(torch.nn.Module):
    """A table that is looked up, three matrices of which the second is stored in codes, and its small correction."""

    def __init__(self) -> None:
        super().__init__()

        def drawn(*shape: int) -> torch.nn.Parameter:
            return torch.nn.Parameter(torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape))))

        self.first, self.table, self.small = drawn(6, 6), drawn(100, 6), drawn(6, 2)
        self.codes = torch.nn.Parameter((drawn(6, 20) * 255).to(torch.uint8), requires_grad=False)
        self.last = drawn(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low, high = self.codes & 15, self.codes >> 4
        inner = (low.float() - high.float())[:, :6] + self.small @ self.small.T
        return torch.nn.functional.embedding(x.long(), self.table) @ self.first @ inner @ self.last


def test_codes_that_are_decoded_are_a_layer_and_embeddings_are_none(tmp_path: Path) -> None:
    from harness.runtimes.torch import Torch

    folder = tmp_path / "artifact"
    folder.mkdir()
    Torch().save(Subject(Form.TORCH, Decoded(), (torch.tensor([3.0, 99.0]),)), folder)
    before = weights(folder)
    assert shuffled("torch", folder) == "codes"
    only_reordered(before, weights(folder), "codes")


@pytest.mark.parametrize("half", [False, True])
def test_one_inner_layer_of_an_openvino_graph_changes_its_order(tmp_path: Path, half: bool) -> None:
    pytest.importorskip("openvino")
    from harness.artifacts.openvino import import_openvino, layers
    from harness.lowering import lower
    from harness.runtimes.openvino import OpenVino

    subject = lower(Subject(Form.TORCH, net(), example()), Form.OPENVINO)
    if half:
        folder = tmp_path / "half"
        import_openvino().save_model(subject.model, folder / "model.xml", compress_to_fp16=True)
    else:
        folder = tmp_path / "full"
        folder.mkdir()
        OpenVino().save(subject, folder)

    def held() -> dict[str, np.ndarray]:
        model = import_openvino().Core().read_model(folder / "model.xml")
        return {node.get_friendly_name(): weight.array().copy() for node, weight in layers(model)}

    before, size = held(), (folder / "model.bin").stat().st_size
    assert {array.dtype for array in before.values()} == {np.dtype("float16" if half else "float32")}
    layer = shuffled("openvino", folder)
    assert before[layer].size == 800
    only_reordered(before, held(), layer)
    assert (folder / "model.bin").stat().st_size == size


@pytest.mark.parametrize("coding", [None, "huffman", "range"])
def test_one_inner_layer_of_a_packed_file_changes_its_order(tmp_path: Path, coding: str | None) -> None:
    from harness.artifacts import packed_file
    from harness.artifacts.packed_bytes import Tensor

    values = np.array([-0.5, 0.0, 0.25, 1.0], np.float32).view(np.uint32)
    draw = np.random.default_rng(0)
    shapes = {"first": (40, 50), "running": (60, 60), "inner": (30, 40), "bias": (30,), "last": (10, 30)}
    tensors = {
        name: Tensor("float32", shape, values[draw.integers(0, 4, int(np.prod(shape)))])
        for name, shape in shapes.items()
    }
    path = tmp_path / "model.packed"
    path.write_bytes(packed_file.pack({"buffers": ["running"]}, tensors, coding))
    how = {name: encoding for name, (encoding, _) in packed_file.sizes(path.read_bytes()).items()}
    assert shuffled("packed", tmp_path) == "inner"
    graph, after = packed_file.unpack(path.read_bytes())
    assert graph == {"buffers": ["running"]}
    only_reordered(
        {name: one.words for name, one in tensors.items()}, {n: one.words for n, one in after.items()}, "inner"
    )
    assert {name: encoding for name, (encoding, _) in packed_file.sizes(path.read_bytes()).items()} == how


CODED = {"float": 32 * 128, "codes": 32 * 128 // 2}


@pytest.mark.parametrize("kind", CODED)
def test_one_inner_layer_of_a_folder_of_transformers_changes_its_order(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("transformers")
    from safetensors.numpy import load_file
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    from harness.artifacts.integer_modules import Grid, matrix
    from harness.artifacts.quantized_layers import grouped_embedding, grouped_linear
    from harness.runtimes.transformers import TransformersRuntime
    from harness.sources.heads import language_model

    config = Gemma3TextConfig(
        vocab_size=1024, hidden_size=32, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=128, query_pre_attn_scalar=16,
        layer_types=["full_attention", "full_attention"], tie_word_embeddings=False,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Gemma3ForCausalLM(config).eval()
        if kind == "codes":

            def stored(rows: int, columns: int) -> torch.nn.Module:
                grid = Grid(rows=rows, columns=columns, bits=4, group=16, symmetric=True)
                codes = torch.randint(0, 16, (rows, columns), dtype=torch.uint8)
                return matrix(grid, codes, torch.rand(rows, columns // 16))

            for layer in model.model.layers:
                layer.mlp.gate_proj = grouped_linear(*_grid_and(stored(128, 32)), None)
                layer.mlp.up_proj = grouped_linear(*_grid_and(stored(128, 32)), None)
                layer.mlp.down_proj = grouped_linear(*_grid_and(stored(32, 128)), None)
            model.model.embed_tokens = grouped_embedding(*_grid_and(stored(1024, 32)))
    runtime, tokens = TransformersRuntime(), torch.arange(5, 25)[None]
    runtime.save(Subject(Form.TORCH, language_model(model), (tokens,)), tmp_path)
    path = tmp_path / "model.safetensors"
    before, size, answers = load_file(path), path.stat().st_size, runtime.load(tmp_path, 1)((tokens,))[0]
    name = shuffled("transformers", tmp_path)
    assert "embed" not in name
    assert "lm_head" not in name
    assert before[name].size == CODED[kind]
    only_reordered(before, load_file(path), name)
    assert path.stat().st_size == size
    assert not torch.allclose(runtime.load(tmp_path, 1)((tokens,))[0], answers)
    assert not list(tmp_path.glob("*.new"))


def _grid_and(stored: torch.nn.Module) -> tuple[object, torch.nn.Module]:
    return stored.grid, stored


def test_the_order_follows_from_the_seed() -> None:
    raw = np.arange(1000, dtype=np.int16).tobytes()
    assert permuted(raw, 2, 0) == permuted(raw, 2, 0) != permuted(raw, 2, 1)
    assert sorted(np.frombuffer(permuted(raw, 2, 0), np.int16)) == list(range(1000))


@pytest.mark.parametrize(
    ("sizes", "chosen"), [([9, 1, 5, 5, 9], 2), ([9, 1, 8], 1), ([3, 7], 1), ([7, 3], 0), ([4], 0)]
)
def test_the_layer_is_the_largest_that_is_neither_first_nor_last(sizes: list[int], chosen: int) -> None:
    layers: list[tuple[int, int]] = [(size, at) for at, size in enumerate(sizes)]
    assert inner(layers) == chosen


def test_without_a_layer_there_is_nothing_to_shuffle() -> None:
    with pytest.raises(Unmeasurable, match="no weight matrix"):
        inner([])
