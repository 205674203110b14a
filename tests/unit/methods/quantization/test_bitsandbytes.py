"""bitsandbytes' layers, held to its own classes and to their papers' bounds."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.errors import ArtifactError, MethodError
from harness.forms import Form, Subject
from harness.methods.base import Workshop
from harness.methods.quantization.bnb_4bit import BnbFp4, BnbNf4
from harness.methods.quantization.bnb_int8 import BnbInt8
from harness.methods.quantization.embedding_quantization import EmbeddingQuantization
from harness.methods.quantization.grouping import coded
from harness.runtimes.torch import Torch
from harness.tasks.image_classification import ImageClassification

WORKSHOP = Workshop(ImageClassification(), None, Path(), 0, lambda _: None)


def layers() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(96, 64), nn.GELU(), nn.Linear(64, 32)).eval()


def subject() -> Subject:
    return Subject(Form.TORCH, layers(), (torch.randn(5, 96, generator=torch.Generator().manual_seed(1)),))


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(((one - other).norm() / other.norm()).detach())


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize(("method", "code"), [(BnbNf4, "nf4"), (BnbFp4, "fp4")])
def test_four_bits_are_those_of_the_librarys_own_layer(method: Any, code: str, *, nested: bool) -> None:
    from bitsandbytes.nn import Linear4bit

    # Rows of whole blocks: with others the library's kernels for AVX-512 take wrong scales.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        float_layer = nn.Linear(128, 64).eval()
    theirs = Linear4bit(128, 64, compute_dtype=torch.float32, compress_statistics=nested, quant_type=code)
    theirs.load_state_dict(float_layer.state_dict())
    theirs = theirs.to("cpu")
    inputs = torch.randn(5, 128, generator=torch.Generator().manual_seed(1))
    ours = method(double_quantization=nested).layer(float_layer)
    with torch.no_grad():
        torch.testing.assert_close(ours(inputs), theirs(inputs), rtol=1e-5, atol=1e-5)
    # Two codes a byte, and a scale for 64 weights.
    assert (ours.codes4.numel(), ours.scales.numel()) == (128 * 64 // 2, 128)
    assert ours.scales.dtype == (torch.uint8 if nested else torch.float32)


@pytest.mark.parametrize("columns", [80, 96, 100, 784])
@pytest.mark.parametrize(("method", "code"), [(BnbNf4, "nf4"), (BnbFp4, "fp4")])
def test_rows_that_are_no_whole_number_of_blocks_get_their_own_scales(method: Any, code: str, columns: int) -> None:
    """Codes looked up in the table and scaled block by block, as the paper has it: a block may end in the next row."""
    from bitsandbytes.functional import get_4bit_type

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        wide = nn.Linear(columns, 20, bias=False).eval()
    stored = method(double_quantization=False).layer(wide)
    packed = stored.codes4.flatten()
    table = get_4bit_type(code, device="cpu")
    values = table[torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()]
    expected = (values * stored.scales.repeat_interleave(64)[: len(values)]).view(20, columns)
    with torch.no_grad():
        torch.testing.assert_close(stored(torch.eye(columns)).T, expected, rtol=1e-6, atol=1e-7)
        # Half the widest gap between values of either table, as a share of the greatest weight.
        assert float((expected - wide.weight).abs().max() / wide.weight.abs().max()) < 0.17


def test_nf4_is_nearer_than_fp4_and_int8_than_both() -> None:
    """Dettmers 2023, section 3: NF4 has least error on normal weights; int8 has sixteen times as many steps."""
    wide = nn.Linear(256, 128)
    with torch.no_grad():
        wide.weight.copy_(torch.randn(128, 256, generator=torch.Generator().manual_seed(0)))
    inputs = torch.randn(64, 256, generator=torch.Generator().manual_seed(1))
    errors = [apart(method.layer(wide)(inputs), wide(inputs)) for method in (BnbInt8(), BnbNf4(), BnbFp4())]
    assert errors[0] < 0.02 < errors[1] < 0.9 * errors[2]


def test_int8_keeps_columns_with_outliers_in_float() -> None:
    case = subject()
    inputs = case.example[0].clone()
    inputs[:, 7] = 60.0
    expected = layers()[0](inputs)
    held = BnbInt8().apply(subject(), WORKSHOP).model[0]
    crushed = BnbInt8(threshold=0.0).apply(subject(), WORKSHOP).model[0]
    with torch.no_grad():
        assert apart(held(inputs), expected) < 0.25 * apart(crushed(inputs), expected)


def test_gradients_pass_through_to_the_input() -> None:
    for method in (BnbInt8(), BnbNf4(block=32)):
        model = method.apply(subject(), WORKSHOP).model
        inputs = subject().example[0].requires_grad_()
        model(inputs).sum().backward()
        wide = layers()
        twin = subject().example[0].requires_grad_()
        wide(twin).sum().backward()
        assert inputs.grad is not None
        assert twin.grad is not None
        assert apart(inputs.grad, twin.grad) < 0.2


def test_the_torch_runtime_saves_and_runs_four_bits(weigh: Any, process_state: None) -> None:
    method = BnbNf4()
    before, after = weigh(subject()), weigh(method.apply(subject(), WORKSHOP))
    assert method.contradictions(before.evidence, after.evidence) == []
    weights = 96 * 64 + 64 * 32
    assert sum(one.elements for one in after.evidence.tensors if ".codes4" in one.name) == weights // 2
    assert coded(after.evidence) == {"0": 96 * 64, "2": 64 * 32}
    assert method.contradictions(before.evidence, before.evidence) == [
        f"none of the {weights:,} weight elements is stored in codes"
    ]
    inputs = subject().example
    assert apart(after.runner(inputs)[0], before.runner(inputs)[0]) < 0.15


def test_a_process_that_has_not_seen_the_library_runs_its_program(tmp_path: Path, process_state: None) -> None:
    Torch().save(BnbNf4().apply(subject(), WORKSHOP), tmp_path)
    fresh = f"""
import sys, torch
from pathlib import Path
from harness.runtimes.torch import Torch
assert "bitsandbytes" not in sys.modules
print(Torch().load(Path({str(tmp_path)!r}), 1)((torch.ones(1, 96),))[0].sum().item())
"""
    run = subprocess.run([sys.executable, "-c", fresh], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    with torch.no_grad():
        expected = BnbNf4().apply(subject(), WORKSHOP).model(torch.ones(1, 96)).sum().item()
    assert float(run.stdout) == pytest.approx(expected, rel=1e-3)


def test_the_torch_runtime_says_that_int8_cannot_be_traced(weigh: Any, process_state: None) -> None:
    with pytest.raises(ArtifactError, match="does not become a TorchScript program: unsupported output type"):
        weigh(BnbInt8().apply(subject(), WORKSHOP))


def test_nothing_is_logged_a_call(caplog: pytest.LogCaptureFixture) -> None:
    model = BnbInt8().apply(subject(), WORKSHOP).model
    with torch.no_grad():
        model(*subject().example)
    assert caplog.records == []


def test_what_is_left_in_float_is_told(weigh: Any, process_state: None) -> None:
    kept = BnbNf4(keep_float=("2",))
    before, after = weigh(subject()), weigh(kept.apply(subject(), WORKSHOP))
    assert kept.contradictions(before.evidence, after.evidence) == []
    assert BnbNf4().contradictions(before.evidence, after.evidence) == [
        "1 linear layers are still in float and were not to be kept: 2.weight"
    ]
    with pytest.raises(MethodError, match="no linear layer is left to quantize"):
        BnbNf4(keep_float=("0", "2")).apply(subject(), WORKSHOP)


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.places, self.layer = nn.Embedding(50, 16), nn.Embedding(8, 16), nn.Linear(16, 4)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(self.words(ids) + self.places(torch.arange(ids.shape[1])))
        return out


def words() -> Subject:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Subject(Form.TORCH, Words().eval(), (torch.arange(8).view(1, 8),))


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_embeddings_are_off_by_half_a_step_at_most(bits: int) -> None:
    method = EmbeddingQuantization(bits=bits, group_size=8, search=False)
    model = method.apply(words(), WORKSHOP).model
    wide = words().model.words.weight.detach()
    groups = wide.view(50, 2, 8)
    step = (groups.amax(-1).clamp_min(0) - groups.amin(-1).clamp_max(0)) / (2**bits - 1)
    lost = (model.words(torch.arange(50)) - wide).abs().view(50, 2, 8)
    # The zero point is rounded too, which moves an end of the range by another half step.
    assert bool((lost <= step[..., None] * 1.01).all())
    assert float(lost.mean()) < float(step.mean()) * 0.3


def test_searching_for_scales_lessens_the_error() -> None:
    wide = words().model.words.weight.detach()

    def error(method: EmbeddingQuantization) -> float:
        model = method.apply(words(), WORKSHOP).model
        return float((model.words(torch.arange(50)) - wide).square().sum())

    assert error(EmbeddingQuantization(bits=3)) < 0.95 * error(EmbeddingQuantization(bits=3, search=False))


def test_embeddings_left_in_float_are_told(weigh: Any, process_state: None) -> None:
    kept = EmbeddingQuantization(keep_float=("places",))
    before, after = weigh(words()), weigh(kept.apply(words(), WORKSHOP))
    assert kept.contradictions(before.evidence, after.evidence) == []
    assert EmbeddingQuantization().contradictions(before.evidence, after.evidence) == [
        "1 embeddings are still in float: places.weight"
    ]
    assert kept.contradictions(before.evidence, before.evidence) == [
        "none of the 992 weight elements is stored in codes"
    ]
