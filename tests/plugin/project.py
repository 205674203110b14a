"""A project of its own, away from this repository: only `specs/`, `baselines/` and one Python module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NETS = """
import os, signal, time
import torch

def build(fault: str = ""):
    if fault == "kill" and os.environ.get("KILL_WORKER"):
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "hang":
        print("about to hang", flush=True)
        time.sleep(600)
    if fault == "exit":
        os._exit(7)
    if fault == "memory":
        torch.zeros(10**12)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1024, 10))
    torch.manual_seed(0)
    torch.nn.init.normal_(net[1].weight)
    return net
"""

# Writes down, when the run ends, whether the pytest process ever imported torch.
SPY = """
import pathlib, sys

def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        pathlib.Path("spy.txt").write_text(repr(sorted({name.partition(".")[0] for name in sys.modules})))
"""

HEAD = """version: 1
title: {title}
task: image-classification
model: {{source: zoo, name: lenet5-digits}}
data: {{source: digits}}
"""


@dataclass
class Run:
    """One pytest run in the project."""

    code: int
    out: str
    report: dict[str, Any]
    junit: ET.Element | None

    def verdicts(self) -> dict[str, str]:
        """`spec[case]::label` → verdict."""
        return {
            f"{row['spec']}{'[' + row['case'] + ']' if row['case'] else ''}::{row['label']}": row["verdict"]
            for row in self.report.get("rows", [])
        }

    def sentence(self, spec: str, label: str) -> str:
        """The sentence of one row."""
        return next(r["sentence"] for r in self.report["rows"] if r["spec"] == spec and r["label"] == label)


class Project:
    """A directory that a user of the plugin might have."""

    def __init__(self, root: Path, cache: Path) -> None:
        self.root, self.cache = root, cache
        (root / "specs").mkdir(parents=True)
        (root / "nets.py").write_text(NETS)

    def spec(self, name: str, text: str, head: str = HEAD) -> Path:
        """Write a spec; `text` follows the usual head."""
        path = self.root / "specs" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(head.format(title=name) + text)
        return path

    def run(self, *arguments: str, env: dict[str, str] | None = None, remember: bool = False) -> Run:
        """Run pytest there, as a user would.

        Args:
            arguments: of the command line.
            env: beside the environment of this process.
            remember: whether pytest keeps what failed, for `--lf`.
        """
        report, junit = self.root / "report", self.root / "junit.xml"
        (report / "report.json").unlink(missing_ok=True)
        junit.unlink(missing_ok=True)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-m",
            "spec",
            *(() if remember else ("-p", "no:cacheprovider")),
            "--weighin-report",
            str(report),
        ]
        done = subprocess.run(
            [*command, f"--junitxml={junit}", *arguments],
            cwd=self.root, capture_output=True, text=True, timeout=400, check=False,
            env={**_outside(), "WEIGHIN_CACHE": str(self.cache), **(env or {})},
        )  # fmt: skip
        found = json.loads((report / "report.json").read_text()) if (report / "report.json").exists() else {}
        tree = ET.parse(junit).getroot()[0] if junit.exists() else None
        return Run(done.returncode, done.stdout + done.stderr, found, tree)


def _outside() -> dict[str, str]:
    """The environment without what tells a process that it is an xdist worker: the run inside is none of this one's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
