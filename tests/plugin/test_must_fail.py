"""The specs that the gate must refuse, each for its stated reason."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.report.document import Report

ROOT = Path(__file__).parents[2]
SPECS = sorted(path for path in (ROOT / "specs" / "must-fail").glob("*.yaml") if not path.name.startswith("_"))

# spec, and its case where it has some → label, verdict, what its sentence says
REASONS = {
    "does-nothing": ("evidence", "INVALID", "the compressed artifact equals the float one: nothing was compressed"),
    "identity-claims-speed": ("latency_ms", "FAIL", "limit 0.500"),
    "shuffled-weights": ("top1", "FAIL", "limit 0.0200"),
    "size-out-of-reach": ("size_mb", "FAIL", "limit 0.490"),
    "accuracy-out-of-reach": ("top1", "FAIL", "limit 0.0200"),
    "latency-out-of-reach": ("latency_ms", "FAIL", "limit 0.800"),
    "not-a-number": ("fault_nan", "INVALID", "nan"),
    "float-below-its-floor": ("top1", "INVALID", "below reference_min 0.999"),
    "float-at-chance": ("top1", "INVALID", "the float model is not proven better than chance"),
    "outputs-without-classes": ("size_mb", "INVALID", "has 11 outputs, and the data has 10 classes"),
    "draws-at-random": ("evidence", "INVALID", "the compressed model gives different outputs for the same input"),
    "zeros-regrown[optimal-brain-damage]": ("evidence", "INVALID", "0 of 61,470 weights in the pruned layers are zero"),
    "zeros-regrown[taylor]": ("evidence", "INVALID", "0 of 61,470 weights in the pruned layers are zero"),
    "zeros-regrown[gradual]": ("evidence", "INVALID", "0 of 61,470 weights in the pruned layers are zero"),
    "zeros-regrown[ticket]": ("evidence", "INVALID", "0 of 61,470 weights in the pruned layers are zero"),
    "zeros-regrown[n-m]": ("evidence", "INVALID", "0 of 48,000 weights in fc1.weight are zero"),
    "svd-at-full-rank": ("evidence", "INVALID", "none of 5 layers gets smaller: at energy 0.999999"),
    "svd-at-too-low-a-rank": ("top1", "FAIL", "limit 0.0200"),
    "svd-fitted-to-weights": ("top1", "FAIL", "limit 0.0300"),
    "tucker-claims-more": ("macs_g", "FAIL", "limit 0.500"),
    "cp-without-training": ("top1", "FAIL", "limit 0.0200"),
    "student-as-large-as-its-teacher": ("evidence", "INVALID", "the student has 61,706 parameters, and its teacher"),
    "lora-compresses-nothing": ("size_mb", "FAIL", "limit 0.950"),
    "qlora-below-four-bits": ("size_mb", "FAIL", "limit 0.125"),
    "four-bits-in-bytes": ("size_mb", "FAIL", "limit 0.200"),
    "damaged-packed-file": ("size_mb", "INVALID", "the checksum of the tensor 'fc2.weight' (8 of 10) does not match"),
    "too-many-values": ("evidence", "INVALID", "fc1.weight has "),
    "zeros-regrown[surgeon]": ("evidence", "INVALID", "0 of 48,000 weights in fc1.weight are zero"),
    "zeros-regrown[movement]": ("evidence", "INVALID", "0 of 61,470 weights in the pruned layers are zero"),
    "removed-too-much[neurons]": ("top1", "FAIL", "limit 0.0200"),
    "removed-too-much[surgeon]": ("top1", "FAIL", "limit 0.0200"),
    "removed-too-much[layers]": ("top1", "FAIL", "limit 0.0200"),
    "removed-too-much[heads]": ("top1", "FAIL", "limit 0.0200"),
    "removed-too-much[slimming]": ("top1", "FAIL", "limit 0.0200"),
    "removed-too-much[channels]": ("top1", "FAIL", "limit 0.0200"),
    "removed-too-much[random]": ("top1", "FAIL", "limit 0.0200"),
    "removed-too-much[wanda]": ("top1", "FAIL", "limit 0.0200"),
    "fewer-bytes-than-bits[bfloat16]": ("size_mb", "FAIL", "limit 0.490"),
    "fewer-bytes-than-bits[int8-dynamic]": ("size_mb", "FAIL", "limit 0.240"),
    "fewer-bytes-than-bits[int8-layerwise]": ("size_mb", "FAIL", "limit 0.240"),
    "fewer-bytes-than-bits[weight-only]": ("size_mb", "FAIL", "limit 0.240"),
    "fewer-bytes-than-bits[gptq]": ("size_mb", "FAIL", "limit 0.120"),
    "fewer-bytes-than-bits[nf4]": ("size_mb", "FAIL", "limit 0.120"),
    "fewer-bytes-than-bits[fp4]": ("size_mb", "FAIL", "limit 0.120"),
    "embedding-left-in-float": ("size_mb", "FAIL", "limit 0.250"),
    "embeddings-pruned-away": ("pearson", "FAIL", "limit 0.0500"),
    "nothing-to-encode": ("evidence", "INVALID", "entropy-coding: no weight matrix is coded (range)"),
    "language-model-at-chance[perplexity]": ("perplexity", "INVALID", "knowing no more than how often each of"),
    "language-model-at-chance[divergence]": ("kl_divergence", "INVALID", "knowing no more than how often each of"),
    "two-bit-embeddings": ("top1", "FAIL", "limit 0.0400"),
    "boxes-lost": ("map50", "FAIL", "limit 0.0500"),
    "generator-pruned-away": ("kid", "FAIL", "limit 0.0200"),
    "generator-static-int8": ("kid", "FAIL", "limit 0.0100"),
    "unprovable-limit": ("spec", "INVALID", "797 independent evaluation samples cannot prove a drop below 0.001"),
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> dict[tuple[str, str], Any]:
    folder = tmp_path_factory.mktemp("must-fail")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "specs/must-fail", "-p", "no:cacheprovider", "--weighin-report", str(folder)],
        cwd=ROOT, env={**os.environ, "WEIGHIN_CACHE": str(cache)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    report = Report.model_validate_json((folder / "report.json").read_text())
    return {(_name(row.spec.removeprefix("must-fail/"), row.case), row.label): row for row in report.rows}


def _name(spec: str, case: str | None) -> str:
    return f"{spec}[{case}]" if case else spec


def test_every_spec_states_its_reason() -> None:
    assert {path.stem for path in SPECS} == {name.partition("[")[0] for name in REASONS}


@pytest.mark.parametrize("spec", sorted(REASONS))
def test_the_gate_refuses_it_for_its_stated_reason(rows: dict[tuple[str, str], Any], spec: str) -> None:
    label, verdict, reason = REASONS[spec]
    row = rows[spec, label]
    assert reason in row.sentence
    if "which could turn this verdict" in row.sentence:
        # Other tests share the machine; a gate that says so is right not to call it proven.
        assert row.verdict == "INCONCLUSIVE"
        assert row.value is not None
        assert row.value / row.reference > 0.4 * row.bound["max_ratio"]
    else:
        assert row.verdict == verdict


def test_a_plain_run_does_not_collect_them() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "spec", "specs", "--collect-only", "-q", "-p", "no:cacheprovider"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "must-fail" not in done.stdout
    assert "image-classification" in done.stdout
