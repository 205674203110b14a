"""What `requires:` may name: instruction sets, whatever an extra brings, and what other distributions declare."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.extras import EXTRAS
from harness.spec import requirements
from harness.spec.requirements import CAPABILITIES, missing, shortfall


def test_whatever_an_extra_brings_may_be_required(project, spec):
    assert EXTRAS.keys() <= set(CAPABILITIES)
    loaded = project.load(f"{spec}requires: [{', '.join(EXTRAS)}]\n").cases[0].spec
    assert loaded.requires == tuple(EXTRAS)


def test_a_package_that_is_not_there_is_missing():
    assert missing(["PIL", "torch"]) == []
    assert missing(["optimum", "cuda", "torch"]) in (["optimum", "cuda"], ["cuda"])


@pytest.mark.parametrize(
    ("requires", "told"),
    [
        (["avx2", "no-avx512_bf16"], ""),
        (["no-avx2"], "this machine has avx2"),
        (["avx512f", "amx_int8"], "this machine has no avx512f, amx_int8"),
        (["avx512f", "no-avx2", "no-avx_vnni"], "this machine has no avx512f and has avx2, avx_vnni"),
    ],
)
def test_an_instruction_set_may_be_required_or_required_to_be_absent(monkeypatch, requires, told):
    monkeypatch.setattr(requirements, "cpu_flags", lambda: frozenset({"avx2", "avx_vnni"}))
    assert shortfall(requires) == told


def test_a_name_is_still_a_closed_choice(project, spec):
    assert "Did you mean 'diffusers'" in project.problem(f"{spec}requires: [difusers]\n").message


@pytest.mark.parametrize(("module", "left"), [("json", "[]"), ("kernels_of_nobody", "['fast_kernels']")])
def test_another_distribution_declares_what_its_specs_require(tmp_path: Path, module: str, left: str) -> None:
    metadata = tmp_path / "theirs-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[weighin.requires]\nfast_kernels = {module}\n")
    code = "from harness.spec.requirements import missing; print(missing(['fast_kernels']))"
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == left
