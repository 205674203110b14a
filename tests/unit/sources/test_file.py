import contextlib
import zipfile
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from pydantic import ValidationError
from safetensors.torch import save_file

from harness.errors import SourceError
from harness.forms import Form
from harness.sources.file import File

DYNAMIC = ({0: torch.export.Dim("batch")},)


def network() -> torch.nn.Module:
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Dropout(0.5), torch.nn.Flatten()
    )


def export(model: torch.nn.Module, path: Path, **options: object) -> None:
    torch.export.save(torch.export.export(model, (torch.randn(2, 3, 8, 8),), **options), path)


@pytest.mark.parametrize(
    ("architecture", "donor"),
    [
        ("torchvision:shufflenet_v2_x0_5", lambda: torchvision.models.shufflenet_v2_x0_5(num_classes=10)),
        ("timm:test_convnext", lambda: timm.create_model("test_convnext", num_classes=10)),
        ("torchvision.models:shufflenet_v2_x0_5", lambda: torchvision.models.shufflenet_v2_x0_5(num_classes=10)),
    ],
)
def test_a_state_dict_and_the_architecture_that_it_fits(tmp_path, architecture, donor):
    torch.manual_seed(3)
    model = donor().eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    source = File(architecture=architecture, weights="w.safetensors", options={"num_classes": 10})
    assert source.gives is Form.TORCH
    loaded = source.load(tmp_path)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(loaded(x), model(x))
    first = source.fingerprint(tmp_path)
    (tmp_path / "w.safetensors").write_bytes(b"other")
    assert source.fingerprint(tmp_path) != first


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "needs `architecture:` and `weights:`: give"),
        ({"architecture": "torchvision:resnet18"}, "needs `weights:`: give"),
        ({"weights": "w.pth"}, "needs `architecture:`: give"),
        ({"path": "m.pt2", "trust": True, "weights": "w.pth"}, "takes no `weights:` beside it"),
        ({"path": "m.pt2", "trust": True, "options": {"a": 1}}, "takes no `options:` beside it"),
        ({"path": "m.pt2"}, "running code from it.*set `trust: true` if you know where it comes from"),
        (
            {"architecture": "torchvision:resnet18", "weights": "DEFAULT"},
            "`weights: DEFAULT` names no file; published weights are for `source: torchvision`",
        ),
        (
            {"architecture": "timm:resnet18", "weights": "pretrained"},
            "`weights: pretrained` names no file; published weights are for `source: timm`",
        ),
        (
            {"architecture": "torchvision:resnet18", "weights": "w.pth", "options": {"progress": True}},
            "Value error, 'progress' cannot be an option of the architecture",
        ),
        ({"architecture": "resnet18", "weights": "w.pth"}, "architecture"),
    ],
)
def test_exactly_one_of_the_two_shapes_is_allowed(options, sentence):
    with pytest.raises(ValidationError, match=sentence):
        File(**options)


def test_an_exported_program_runs_on_any_batch(tmp_path):
    model = network().eval()
    export(model, tmp_path / "m.pt2", dynamic_shapes=DYNAMIC)
    source = File(path="m.pt2", trust=True)
    assert source.gives is Form.EXPORTED
    program = source.load(tmp_path)
    assert isinstance(program, torch.export.ExportedProgram)
    x = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(program.module()(x), model(x), rtol=1e-5, atol=1e-6)
    first = source.fingerprint(tmp_path)
    (tmp_path / "m.pt2").write_bytes(b"other")
    assert source.fingerprint(tmp_path) != first


def test_a_program_that_still_trains_is_refused(tmp_path):
    export(network().train(), tmp_path / "m.pt2", dynamic_shapes=DYNAMIC)
    with pytest.raises(SourceError, match=r"exported in training mode \(aten\.batch_norm\.default\)"):
        File(path="m.pt2", trust=True).load(tmp_path)


def test_a_program_bound_to_one_batch_size_is_refused(tmp_path):
    export(network().eval(), tmp_path / "m.pt2")
    with pytest.raises(SourceError, match=r"batches of exactly 2: export it with dynamic_shapes"):
        File(path="m.pt2", trust=True).load(tmp_path)


def test_what_is_no_exported_program_is_told_apart(tmp_path):
    torch.save(network().state_dict(), tmp_path / "state.pt2")
    (tmp_path / "text.pt2").write_text("hello")
    with zipfile.ZipFile(tmp_path / "aoti.pt2", "w") as archive:
        archive.writestr("m/archive_format", "pt2")
        archive.writestr("m/data/aotinductor/model/x.so", "")
    export(network().eval(), tmp_path / "whole.pt2", dynamic_shapes=DYNAMIC)
    with zipfile.ZipFile(tmp_path / "whole.pt2") as whole, zipfile.ZipFile(tmp_path / "old.pt2", "w") as archive:
        for name in whole.namelist():
            archive.writestr(name, b"99" if name.endswith("archive_version") else whole.read(name))
    for name, sentence in {
        "state.pt2": r"no exported program \(something else\).*for a state dict",
        "text.pt2": "not even a zip archive",
        "aoti.pt2": "holds no program called 'model'",
        "old.pt2": r"cannot be loaded by torch .* Export it again with this version",
        "absent.pt2": "no exported program at",
    }.items():
        with pytest.raises(SourceError, match=sentence):
            File(path=name, trust=True).load(tmp_path)


class Payload:
    def __init__(self, at: Path):
        self.at = at

    def __reduce__(self):
        return (Path.touch, (self.at,))


def test_why_a_program_needs_trust(tmp_path):
    """The sample inputs of a program are unpickled, and code in them runs: torch.export.load falls back to that."""
    export(network().eval(), tmp_path / "good.pt2", dynamic_shapes=DYNAMIC)
    torch.save({"x": Payload(tmp_path / "struck")}, tmp_path / "payload.pt")
    with zipfile.ZipFile(tmp_path / "good.pt2") as good, zipfile.ZipFile(tmp_path / "bad.pt2", "w") as bad:
        for name in good.namelist():
            hit = name.endswith("sample_inputs/model.pt")
            bad.writestr(name, (tmp_path / "payload.pt").read_bytes() if hit else good.read(name))
    with pytest.raises(ValidationError, match="trust: true"):
        File(path="bad.pt2")
    assert not (tmp_path / "struck").exists()
    # Whether torch then gives up on the sample inputs or on the whole program is no matter here: the code has run.
    with contextlib.suppress(SourceError):
        File(path="bad.pt2", trust=True).load(tmp_path)
    assert (tmp_path / "struck").exists()
