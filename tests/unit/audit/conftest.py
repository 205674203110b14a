"""A project in a git repository of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.audit.compare import audit
from harness.audit.finding import Loosened

SPEC = """\
version: 1
task: image-classification
model: {source: zoo, name: resnet20-digits}
data: {source: digits, calibration: 64}
compress: [{method: float16}]
budgets:
  size_mb: {max_ratio: 0.5}
  top1: {max_drop: 0.02, reference_min: 0.9}
"""


class Repository:
    """Files, commits, and what an audit says of them."""

    def __init__(self, root: Path) -> None:
        self.root = self.project = root
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        who = {
            "GIT_AUTHOR_NAME": "t",
            "GIT_AUTHOR_EMAIL": "t@t",
            "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@t",
        }
        done = subprocess.run(
            ["git", "-c", "commit.gpgsign=false", *arguments],
            cwd=self.root, capture_output=True, text=True, check=True, env={**os.environ, **who},
        )  # fmt: skip
        return done.stdout.strip()

    def commit(self, message: str = "a change") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def write(self, text: str, name: str = "specs/x.yaml") -> Path:
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def baseline(self, document: dict[str, Any], name: str = "x") -> Path:
        return self.write(json.dumps({"version": 1, "spec": name, **document}), f"baselines/{name}.json")

    def audit(self, revision: str = "HEAD") -> list[Loosened]:
        return list(audit(self.project, revision).loosened)

    def told(self, revision: str = "HEAD") -> list[str]:
        return [str(one) for one in self.audit(revision)]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """One spec, committed."""
    made = Repository(tmp_path)
    made.write(SPEC)
    made.commit()
    return made


@pytest.fixture
def spec() -> str:
    return SPEC
