"""What loading a tiny artifact takes in a fresh process, before and after the runtime has been warmed up."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from harness.forms import Form, Subject
from harness.lowering import lower
from harness.methods.base import Workshop
from harness.methods.quantization.bnb_4bit import BnbNf4
from harness.methods.quantization.bnb_int8 import BnbInt8
from harness.runtimes.base import RUNTIMES
from harness.sources.heads import language_model
from harness.tasks.causal_lm import CausalLM

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

TOKENS = torch.arange(8).view(1, 8)
# As a worker is when it is forked: torch is there, and what a part imports on its own is not.
PROGRAM = """
import sys
from pathlib import Path
import torch
from harness.run.measuring import _resident
from harness.runtimes.base import RUNTIMES

name, prepared, *folders = sys.argv[1:]
runtime = RUNTIMES[name](runtime=name)
for folder in folders:
    getattr(runtime, prepared)(*([Path(folder)] if prepared == "warm" else []))
before = _resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
runtime.load(Path(folders[0]), 1)
print(max(0, _resident("VmHWM") - before), "bitsandbytes" in sys.modules)
"""


def decoder() -> Subject:
    config = Gemma3TextConfig(
        vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, sliding_window=16, max_position_embeddings=128, query_pre_attn_scalar=16,
        layer_types=["sliding_attention", "full_attention"],
    )  # fmt: skip
    return Subject(Form.TORCH, language_model(Gemma3ForCausalLM(config).eval()), (TOKENS,))


def saved(name: str, folder: Path, subject: Subject) -> Path:
    folder.mkdir()
    RUNTIMES[name](runtime=name).save(subject, folder)
    return folder


def grown(name: str, prepared: str, *folders: Path) -> tuple[float, bool]:
    """Megabytes that the process grows by while it loads the first folder, and whether it knows bitsandbytes then."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, name, prepared, *map(str, folders)],
        capture_output=True, text=True, timeout=240, check=True, env=environment,
    )  # fmt: skip
    size, known = run.stdout.split()[-2:]
    return int(size) / 1e6, known == "True"


def test_the_imports_of_openvino_are_no_memory_of_a_model(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2)).eval()
    inputs = (torch.randn(1, 3, 8, 8),)
    folder = saved("openvino", tmp_path / "model", lower(Subject(Form.TORCH, model, inputs), Form.OPENVINO))
    # It is 22 MB for the package alone; the artifact is 1,000 weights.
    assert grown("openvino", "kernels", folder)[0] > 15
    assert grown("openvino", "warm", folder)[0] < 5


def test_the_imports_of_transformers_are_no_memory_of_a_model(tmp_path: Path) -> None:
    plain = saved("transformers", tmp_path / "plain", decoder())
    # It is 155 MB for the package and the architecture's module; the artifact is 25,000 weights.
    assert grown("transformers", "kernels", plain)[0] > 80
    size, known = grown("transformers", "warm", plain)
    assert size < 15
    assert not known


def test_what_one_side_alone_imports_counts_for_neither(tmp_path: Path) -> None:
    plain = saved("transformers", tmp_path / "plain", decoder())
    workshop = Workshop(CausalLM(), None, tmp_path, 0, lambda _: None)
    few = saved("transformers", tmp_path / "few", BnbInt8().apply(decoder(), workshop))
    for folders in ((plain, few), (few, plain)):
        size, known = grown("transformers", "warm", *folders)
        assert size < 15
        assert known
    subject = Subject(Form.TORCH, nn.Sequential(nn.Linear(64, 64)).eval(), (torch.randn(1, 64),))
    floats = saved("torch", tmp_path / "floats", subject)
    codes = saved("torch", tmp_path / "codes", BnbNf4().apply(subject, workshop))
    assert grown("torch", "warm", floats, codes)[1]
    assert not grown("torch", "warm", floats)[1]
