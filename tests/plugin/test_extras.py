"""A spec that needs an extra which is not installed is INVALID and told which one, without a traceback."""

from __future__ import annotations

import pytest
from project import HEAD, Project

# Hides a distribution from the pytest process, as if it had never been installed.
HIDING = """
import importlib.metadata

find = importlib.metadata.Distribution.from_name.__func__

def hiding(cls, name):
    if name == {hidden!r}:
        raise importlib.metadata.PackageNotFoundError(name)
    return find(cls, name)

importlib.metadata.Distribution.from_name = classmethod(hiding)
"""
TAIL = "compress: [{method: float16}]\nbudgets: {size_mb: {max_ratio: 0.9}}\n"
MODEL, DATA = "{{source: zoo, name: lenet5-digits}}", "{{source: digits}}"
DETECTION = (("image-classification", "object-detection"), (DATA, "{{source: digit-scenes}}"))
SIMILARITY = (("image-classification", "sentence-similarity"), (DATA, "{{source: lee}}"))


@pytest.mark.parametrize(
    ("hidden", "extra", "changes"),
    [
        ("torchvision", "vision", [(MODEL, "{{source: torchvision, name: resnet18, weights: w.pt}}")]),
        ("transformers", "transformers", [
            *SIMILARITY, (MODEL, "{{source: transformers, name: ./bert, head: sentence-embedding}}"),
        ]),
        ("ultralytics", "detection", [*DETECTION, (MODEL, "{{source: ultralytics, name: yolo11n}}")]),
        ("pillow", "vision", [(DATA, "{{source: folder, path: images}}")]),
    ],
)  # fmt: skip
def test_a_spec_that_needs_an_absent_extra_is_told_which_one(
    project: Project, hidden: str, extra: str, changes: list[tuple[str, str]]
) -> None:
    (project.root / "conftest.py").write_text(HIDING.format(hidden=hidden))
    (project.root / "w.pt").write_bytes(b"weights")
    (project.root / "bert").mkdir()
    for place in ("calibration/cat", "calibration/dog", "evaluation/cat", "evaluation/dog"):
        (project.root / "images" / place).mkdir(parents=True)
        (project.root / "images" / place / "1.png").write_bytes(place.encode())
    head = HEAD
    for old, new in changes:
        assert old in head
        head = head.replace(old, new)
    project.spec("mine", TAIL, head)
    run = project.run()
    assert run.code == 10, run.out
    assert run.verdicts() == {"mine::size_mb": "INVALID", "mine::evidence": "INVALID"}
    needed = f"needs the package {hidden!r}, which is not installed: pip install 'weighin[{extra}]'"
    assert run.sentence("mine", "size_mb") == f"size_mb: {needed} → INVALID"
    assert "Traceback" not in run.out
