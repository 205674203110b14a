import json
import math
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness.artifacts.torchscript_archive import read
from harness.errors import ArtifactError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.quantization.casting import cast
from harness.runtimes.base import RUNTIMES, Runner
from harness.runtimes.torch import FILE, Torch
from harness.tasks.object_detection import ObjectDetection
from harness.zoo.lenet import lenet5
from harness.zoo.resnet import resnet20

# LeNet-5 of 1998 on 32 pixels: 6 and 16 maps, then 120, 84 and 10 units.
LENET_PARAMETERS = (25 * 6 + 6) + (25 * 6 * 16 + 16) + (400 * 120 + 120) + (120 * 84 + 84) + (84 * 10 + 10)
LENET_MACS = 28 * 28 * 6 * 25 + 10 * 10 * 16 * 6 * 25 + 400 * 120 + 120 * 84 + 84 * 10


@pytest.fixture(autouse=True)
def process_state() -> Iterator[None]:
    threads, engine = torch.get_num_threads(), torch.backends.quantized.engine
    yield
    torch.set_num_threads(threads)
    torch.backends.quantized.engine = engine


@pytest.fixture
def lenet() -> nn.Module:
    return seeded(lambda: lenet5(image_size=32, convolutions=(6, 16), hidden=(120, 84)))


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().eval()


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def saved(model: object, example: tuple[torch.Tensor, ...], folder: Path, form: Form = Form.TORCH) -> Runner:
    folder.mkdir(exist_ok=True, parents=True)
    Torch().save(Subject(form, model, example), folder)
    return Torch().load(folder, threads=1)


def traced(model: nn.Module, example: tuple[torch.Tensor, ...]) -> torch.jit.ScriptModule:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
        return torch.jit.trace(model, example, check_trace=False)


def shapes(evidence: Evidence) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tensor.shape for tensor in evidence.tensors}


def test_reloaded_program_answers_as_the_module_on_any_batch_size(lenet: nn.Module, tmp_path: Path) -> None:
    runner = saved(lenet, (normal(1, 1, 32, 32),), tmp_path)
    for batch in (1, 7):
        inputs = normal(batch, 1, 32, 32, seed=batch)
        with torch.no_grad():
            torch.testing.assert_close(runner((inputs,))[0], lenet(inputs))
        assert torch.equal(runner.prepared((inputs,))(), runner((inputs,))[0])


def test_evidence_counts_lenet5_by_hand(lenet: nn.Module, tmp_path: Path) -> None:
    evidence = saved(lenet, (normal(1, 1, 32, 32),), tmp_path).evidence()
    assert evidence.parameters == LENET_PARAMETERS == 61_706
    assert shapes(evidence) == {name: tuple(one.shape) for name, one in lenet.state_dict().items()}
    assert evidence.operators["aten::_convolution"] == 2
    assert evidence.operators["aten::linear"] == 3
    assert evidence.kernels == {"f32": 5}
    convolution = next(one for one in evidence.tensors if one.name == "conv2.weight")
    assert (convolution.dtype, convolution.used_by) == ("float32", ("aten::_convolution",))


def test_buffers_are_no_weights_and_zeros_are_counted(tmp_path: Path) -> None:
    model = seeded(lambda: nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4)))
    with torch.no_grad():
        model[0].weight[0] = 0
    facts = {one.name: one for one in saved(model, (normal(1, 1, 8, 8),), tmp_path).evidence().tensors}
    assert facts["0.weight"].zeros == 9
    assert {name for name, fact in facts.items() if fact.weight} == {"0.weight", "1.weight", "1.bias"}
    assert not facts["1.running_var"].weight


def test_macs_of_lenet5_by_hand_and_by_torch(lenet: nn.Module, tmp_path: Path) -> None:
    runner = saved(lenet, (normal(1, 1, 32, 32),), tmp_path)
    with FlopCounterMode(display=False) as counter:
        lenet(normal(3, 1, 32, 32))
    assert runner.macs((normal(1, 1, 32, 32),)) == LENET_MACS == 416_520
    assert runner.macs((normal(3, 1, 32, 32),)) == 3 * LENET_MACS == counter.get_total_flops() // 2


def test_macs_of_recurrent_layers(tmp_path: Path) -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.lstm = nn.Embedding(20, 8), nn.LSTM(8, 16, 2, bidirectional=True, batch_first=True)
            self.gru, self.head = nn.GRU(32, 16, batch_first=True), nn.Linear(16, 4)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.head(self.gru(self.lstm(self.words(tokens))[0])[0][:, -1])

    tokens = torch.arange(14).view(2, 7)
    lstm = 2 * (4 * 16) * ((8 + 16) + (32 + 16))
    gru = (3 * 16) * (32 + 16)
    macs = 2 * 7 * (lstm + gru) + 2 * 16 * 4
    assert saved(seeded(Reader), (tokens[:1],), tmp_path).macs((tokens,)) == macs


def test_macs_of_attention_with_and_without_the_fused_operator(tmp_path: Path) -> None:
    width, hidden, length = 32, 64, 5
    layer = seeded(lambda: nn.TransformerEncoderLayer(width, 4, hidden, batch_first=True))

    class Unfused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.feed = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            query, key, value = self.project(x).view(*x.shape[:2], 3, 4, 8).permute(2, 0, 3, 1, 4).unbind()
            mixed = nn.functional.scaled_dot_product_attention(query, key, value)
            return self.feed(self.out(mixed.transpose(1, 2).flatten(2)))

    x = normal(3, length, width)
    macs = 3 * length * (4 * width**2 + 2 * length * width + 2 * width * hidden)
    fused = saved(layer, (x[:1],), tmp_path / "fused")
    assert "aten::_transformer_encoder_layer_fwd" in fused.evidence().operators
    assert fused.macs((x,)) == macs
    assert saved(seeded(Unfused), (x[:1],), tmp_path / "unfused").macs((x,)) == macs


def test_file_holds_every_constant_once_and_little_else(lenet: nn.Module, tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)
            self.second.weight = self.first.weight
            self.table = normal(64, 64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x)) @ self.table

    runner = saved(seeded(Tied), (normal(1, 64),), tmp_path / "tied")
    large = [info for info in zipfile.ZipFile(tmp_path / "tied" / FILE).infolist() if info.file_size >= 64 * 64 * 4]
    assert len(large) == 2  # the shared weight, and the tensor that is no parameter
    assert runner.evidence().parameters == 64 * 64
    table = next(one for one in runner.evidence().tensors if not one.weight)
    assert (table.shape, table.used_by) == ((64, 64), ("aten::matmul",))

    saved(lenet, (normal(1, 1, 32, 32),), tmp_path / "lenet")
    assert (tmp_path / "lenet" / FILE).stat().st_size < 1.02 * 4 * LENET_PARAMETERS
    names = [info.filename for info in zipfile.ZipFile(tmp_path / "lenet" / FILE).infolist()]
    assert not [name for name in names if "debug" in name or "traced_inputs" in name]


def test_float16_and_bfloat16_halve_the_file_and_keep_their_numbers(lenet: nn.Module, tmp_path: Path) -> None:
    example = (normal(1, 1, 32, 32),)
    saved(lenet, example, tmp_path / "float")
    whole = (tmp_path / "float" / FILE).stat().st_size
    for dtype in (torch.float16, torch.bfloat16):
        model = cast(seeded(lambda: nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3))), dtype)
        nn.init.uniform_(model.model[1].running_var, 0.5, 2, generator=torch.Generator().manual_seed(1))
        inputs = (normal(4, 1, 32, 32, seed=3),)
        runner = saved(model, example, tmp_path / "convolutions" / str(dtype))
        with torch.no_grad():
            assert torch.equal(runner(inputs)[0], model(*inputs))  # no batch norm was folded in a short type
        assert runner(inputs)[0].dtype == torch.float32
        short = saved(cast(seeded(lambda: lenet5(32, (6, 16), (120, 84))), dtype), example, tmp_path / str(dtype))
        assert (tmp_path / str(dtype) / FILE).stat().st_size / whole == pytest.approx(0.5, abs=0.01)
        assert short.evidence().share(str(dtype).removeprefix("torch.")) == 1


def test_batch_norm_is_folded_when_run_and_counted_as_stored(tmp_path: Path) -> None:
    model = seeded(resnet20)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_var, 0.5, 2, generator=torch.Generator().manual_seed(1))
    runner = saved(model, (normal(1, 1, 32, 32),), tmp_path)
    inputs = normal(2, 1, 32, 32, seed=5)
    with torch.no_grad():
        torch.testing.assert_close(runner((inputs,))[0], model(inputs), rtol=1e-4, atol=1e-4)
    assert runner.evidence().operators["aten::batch_norm"] == 19 + 2  # two of them on projected shortcuts
    assert "batch_norm" not in str(runner._program.graph)


def test_same_model_gives_the_same_bytes_whatever_was_traced_before(lenet: nn.Module, tmp_path: Path) -> None:
    example = (normal(1, 1, 32, 32),)
    resnet = seeded(resnet20)
    files = []
    for index in range(3):
        saved(lenet, example, tmp_path / f"lenet{index}")
        saved(resnet, example, tmp_path / f"resnet{index}")
        files.append([(tmp_path / f"{name}{index}" / FILE).read_bytes() for name in ("lenet", "resnet")])
    assert files[0] == files[1] == files[2]


def test_scores_that_tracing_would_freeze_beside_boxes_in_pixels_are_refused(tmp_path: Path) -> None:
    class Detector(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            boxes = 640 * images.flatten(2)[:, :4]
            return torch.cat([boxes, (0.5 if images.shape[0] == 1 else 0.55) * torch.ones_like(boxes)], dim=1)

    subject = Subject(Form.TORCH, Detector().eval(), (torch.rand(1, 4, 2, 2),), ObjectDetection().parts)
    with pytest.raises(ArtifactError, match="answers otherwise than the model on a batch of 2"):
        Torch().save(subject, tmp_path)


def test_flow_that_tracing_would_freeze_is_refused(tmp_path: Path) -> None:
    class Sign(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2 if x[0].sum() > 0 and len(x) < 2 else x

    class Rows(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(int(x.shape[0]), 4).sum(dim=1, keepdim=True)

    with pytest.raises(ArtifactError, match="answers otherwise than the model on a batch of 2"):
        saved(Sign(), (torch.ones(1, 4),), tmp_path)
    with pytest.raises(ArtifactError, match="does not run on a batch of 2"):
        saved(Rows(), (torch.ones(1, 4),), tmp_path)


def test_exported_program_is_run_through_torchscript(lenet: nn.Module, tmp_path: Path) -> None:
    inputs = normal(2, 1, 32, 32)
    program = torch.export.export(lenet, (inputs,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    runner = saved(program, (inputs[:1],), tmp_path, Form.EXPORTED)
    with torch.no_grad():
        torch.testing.assert_close(runner((normal(5, 1, 32, 32),))[0], lenet(normal(5, 1, 32, 32)))
    assert runner.evidence().parameters == LENET_PARAMETERS
    assert runner.macs((inputs,)) == 2 * LENET_MACS


def test_program_made_elsewhere_is_copied_byte_for_byte_and_frozen_weights_count(
    lenet: nn.Module, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
        frozen = torch.jit.freeze(traced(lenet, (normal(1, 1, 32, 32),)))
        torch.jit.save(frozen, str(tmp_path / "theirs.pt"))
    runner = saved(read(tmp_path / "theirs.pt"), (normal(1, 1, 32, 32),), tmp_path / "ours", Form.TORCHSCRIPT)
    assert (tmp_path / "ours" / FILE).read_bytes() == (tmp_path / "theirs.pt").read_bytes()
    assert runner.evidence().parameters == LENET_PARAMETERS
    assert runner.macs((normal(1, 1, 32, 32),)) == LENET_MACS


def test_program_of_this_process_is_written_lean(lenet: nn.Module, tmp_path: Path) -> None:
    runner = saved(traced(lenet, (normal(1, 1, 32, 32),)), (normal(1, 1, 32, 32),), tmp_path, Form.TORCHSCRIPT)
    assert runner.evidence().parameters == LENET_PARAMETERS
    assert (tmp_path / FILE).stat().st_size < 1.02 * 4 * LENET_PARAMETERS


def test_quantized_engine_travels_in_the_file_to_a_fresh_process(tmp_path: Path) -> None:
    script = """
import json, sys, torch
from pathlib import Path
from harness.runtimes.torch import Torch
runner = Torch().load(Path(sys.argv[1]), 1)
output = runner((torch.linspace(-1, 1, 2 * 1024).view(2, 1, 32, 32),))[0]
print(json.dumps([torch.backends.quantized.engine, output.tolist(), runner.evidence().dtypes, torch.get_num_threads()]))
"""
    from harness.data.base import Dataset, TensorSplit
    from harness.methods.base import Workshop
    from harness.methods.quantization.int8_static import Int8Static
    from harness.tasks.base import TASKS

    calibration = TensorSplit(normal(16, 1, 32, 32), torch.zeros(16, dtype=torch.int64))
    workshop = Workshop(TASKS["image-classification"](), Dataset(calibration, None), Path(), 0, lambda _: None)
    subject = Subject(Form.TORCH, seeded(lambda: lenet5(32, (6, 16), (120, 84), channels=1)), (normal(1, 1, 32, 32),))
    other = next(one for one in torch.backends.quantized.supported_engines if one in ("onednn", "qnnpack"))
    quantized = Int8Static(engine=other).apply(subject, workshop)
    assert torch.backends.quantized.engine != other
    Torch().save(quantized, tmp_path)
    answer = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    engine, output, dtypes, threads = json.loads(answer.stdout)
    with torch.no_grad():
        expected = quantized.model(torch.linspace(-1, 1, 2 * 1024).view(2, 1, 32, 32))
    assert (engine, threads) == (other, 1)
    assert torch.equal(torch.tensor(output), expected)
    assert dtypes == {"int8": 61_470}


def test_absent_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no TorchScript program at .*model\.pt"):
        Torch().load(tmp_path, 1)
    (tmp_path / FILE).write_bytes(b"something else")
    with pytest.raises(ArtifactError, match="does not load as a TorchScript program"):
        Torch().load(tmp_path, 1)
    with zipfile.ZipFile(tmp_path / FILE, "w") as archive:
        archive.writestr("model/readme", "no program")
    with pytest.raises(ArtifactError, match="does not load as a TorchScript program"):
        Torch().load(tmp_path, 1)


def test_models_that_give_several_outputs_or_none(lenet: nn.Module, tmp_path: Path) -> None:
    class Both(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
            return x, [x.double(), x[:, :1]]

    found = saved(Both(), (normal(1, 4),), tmp_path)((normal(3, 4),))
    assert [(tuple(one.shape), one.dtype) for one in found] == [((3, 4), torch.float32)] * 2 + [((3, 1), torch.float32)]


def test_threads_are_set_at_load_and_kernels_name_the_instruction_set(lenet: nn.Module, tmp_path: Path) -> None:
    saved(lenet, (normal(1, 1, 32, 32),), tmp_path)
    Torch().load(tmp_path, threads=2)
    assert torch.get_num_threads() == 2
    assert RUNTIMES["torch"]().kernels().split()[1] == torch.backends.cpu.get_cpu_capability()


def test_macs_fall_with_the_share_of_channels(tmp_path: Path) -> None:
    """Halving all hidden widths of a chain divides its inner products by four and its outer ones by two."""
    chain = lambda width: nn.Sequential(  # noqa: E731
        nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, 10, 1)
    )
    for width in (8, 16):
        macs = saved(seeded(lambda w=width: chain(w)), (normal(1, 1, 6, 6),), tmp_path / str(width)).macs(
            (normal(1, 1, 6, 6),)
        )
        assert macs == math.prod((6, 6)) * (9 * width + 9 * width * width + 10 * width)
