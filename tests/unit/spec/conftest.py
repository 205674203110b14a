"""A small project whose spec each test changes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import Problem, SpecError
from harness.spec.load import SpecFile, load

SPEC = """\
version: 1
title: small
task: image-classification
model: {source: zoo, name: resnet20-digits}
data: {source: digits, calibration: 64}
compress:
  - {method: magnitude-pruning, sparsity: 0.5, finetune: {epochs: 1}}
  - {method: int8-static, observer: minmax}
deploy: {runtime: torch}
budgets:
  size_mb: {max_ratio: 0.5}
  top1:
    max_drop: 0.02
    reference_min: 0.9
"""


class Project:
    """Files below a `specs/`, and what loading one of them gives."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "specs").mkdir()

    def write(self, text: str | bytes, name: str = "x.yaml") -> Path:
        path = self.root / "specs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def load(self, text: str | bytes, name: str = "x.yaml") -> SpecFile:
        return load(self.write(text, name))

    def problems(self, text: str | bytes, name: str = "x.yaml") -> tuple[Problem, ...]:
        with pytest.raises(SpecError) as caught:
            self.load(text, name)
        return caught.value.problems

    def problem(self, text: str | bytes) -> Problem:
        found = self.problems(text)
        assert len(found) == 1, "\n".join(map(str, found))
        return found[0]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def changed() -> Callable[[str, str], str]:
    """The spec with one text replaced by another."""

    def change(old: str, new: str) -> str:
        assert SPEC.count(old) == 1, f"{old!r} stands {SPEC.count(old)} times in the spec"
        return SPEC.replace(old, new)

    return change


@pytest.fixture
def spec() -> str:
    return SPEC
