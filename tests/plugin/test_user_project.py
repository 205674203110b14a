"""A user's own images, a torchvision architecture and a state dict: gated by a YAML file, with no Python on the way."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import pytest
import torch
from project import Project
from torch import nn

# torchvision's builders, and loading TorchScript.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

HEAD = """version: 1
title: {title}
task: image-classification
model: {{source: torchvision, name: shufflenet_v2_x0_5, weights: weights/mine.pt, options: {{num_classes: 3}}}}
data: {{source: folder, path: data/mine, image_size: 48, calibration: 32}}
compress: [{{method: int8-static}}]
"""
BUDGETS = "budgets:\n  size_mb: {max_ratio: %s}\n  top1: {max_drop: 0.05, reference_min: 0.9}\n"
VALIDATION = 150


def make_images(folder: Path) -> None:
    """Three digits as PNG files in ``{train,val}/<class>/``."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits(n_class=3)
    for rank, index in enumerate(np.random.default_rng(0).permutation(len(digits.target))):
        place = folder / ("val" if rank < VALIDATION else "train") / f"digit-{digits.target[index]}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[index] * 255 / 16).astype("uint8")
        Image.fromarray(pixels).resize((48, 48), Image.Resampling.BILINEAR).convert("RGB").save(place / f"{index}.png")


def images(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """A split as torchvision reads it, normalized with ImageNet's statistics."""
    from torchvision import datasets, transforms

    steps = [transforms.ToTensor(), transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    pixels, labels = zip(*datasets.ImageFolder(str(folder), transforms.Compose(steps)), strict=True)
    return torch.stack(pixels), torch.tensor(labels)


def train(inputs: torch.Tensor, labels: torch.Tensor) -> nn.Module:
    """Eight short epochs, one cycle of a learning rate that no processor's rounding makes diverge."""
    import torchvision

    epochs, batch, rate = 8, 32, 0.03
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = torchvision.models.shufflenet_v2_x0_5(num_classes=3)
        optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9, nesterov=True)
        steps = epochs * math.ceil(len(inputs) / batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps)
        for chosen in (part for _ in range(epochs) for part in torch.randperm(len(inputs)).split(batch)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(inputs[chosen]), labels[chosen]).backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def accuracy(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> float:
    with torch.inference_mode():
        return torch.cat([model(x[None]).argmax(1) for x in inputs]).eq(labels).double().mean().item()


def test_from_a_folder_and_a_state_dict_to_verdicts_a_baseline_and_a_gated_file(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", tmp_path / "cache")
    data, weights, out = project.root / "data" / "mine", project.root / "weights" / "mine.pt", project.root / "out"
    make_images(data)
    net = train(*images(data / "train"))
    weights.parent.mkdir()
    torch.save(net.state_dict(), weights)
    project.spec("vision/mine", BUDGETS % 0.40, head=HEAD)

    # Looked at and accepted: every budget holds, and the artifact is handed out.
    first = project.run("--update-baselines", "--reason", "the first int8 model", "--export", "out")
    assert first.code == 0, first.out
    assert set(first.verdicts().values()) == {"PASS"}
    assert f"exported: {Path('out/vision/mine')}" in first.out
    rows = {row["label"]: row for row in first.report["rows"]}
    held_out = images(data / "val")
    assert rows["top1"]["n"] == VALIDATION
    # What the gate says of the float model is what plain torch says of it, on the same files.
    assert rows["top1"]["reference"] == pytest.approx(accuracy(net, *held_out), abs=1.01 / VALIDATION)
    artifact = out / "vision" / "mine" / "model.pt"
    manifest = json.loads((artifact.parent / "manifest.json").read_text())
    assert manifest["files"] == {"model.pt": hashlib.sha256(artifact.read_bytes()).hexdigest()}
    assert rows["size_mb"]["value"] == artifact.stat().st_size / 1e6
    # And the file that was handed out is the one that was judged.
    assert accuracy(torch.jit.load(artifact), *held_out) == pytest.approx(rows["top1"]["value"], abs=1.01 / VALIDATION)

    # A budget that is out of reach, on the same artifact: told with its figures, and nothing is handed out any more.
    project.spec("vision/mine", BUDGETS % 0.20, head=HEAD)
    second = project.run("--export", "out")
    assert second.code == 1
    assert second.verdicts() == {
        "vision/mine::size_mb": "FAIL",
        "vision/mine::top1": "PASS",
        "vision/mine::evidence": "PASS",
    }
    ratio = rows["size_mb"]["value"] / rows["size_mb"]["reference"]
    assert f"ratio {ratio:.3f}, limit 0.200 → FAIL" in second.sentence("vision/mine", "size_mb")
    assert "not exported: vision/mine: size_mb FAIL; the earlier export was removed" in second.out
    assert not artifact.parent.exists()
    assert next(case["seconds"]["compress"] for case in second.report["cases"]) == 0  # from the cache
