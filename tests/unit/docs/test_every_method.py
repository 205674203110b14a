"""Every method is shipped with a spec, a spec that runs on each change, one that must fail, and a row in the docs."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.methods.base import METHODS
from harness.spec.load import load

ROOT = Path(__file__).parents[3]
CI, MUST_FAIL = "ci", "must-fail"
METHODS.load()
OFFERED = sorted(METHODS.offered())

# Why a method has no spec that is to pass on each change.
NOT_ON_EACH_CHANGE = {
    "bnb-int8": "its operators cannot be traced, so it runs on language models alone, of which the least takes minutes",
    "identity": "it compresses nothing, which no spec may pass with",
}
# Why a method has no row.
NO_COMPRESSION = {
    "given": "an artifact that was compressed elsewhere, by whatever method",
    "identity": "the control",
}


@cache
def uses() -> dict[str, set[str]]:
    """The tiers of the specs that take each method; those that must fail are a tier of their own."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "specs").rglob("*.yaml")):
        if path.name.startswith("_"):
            continue
        try:
            cases = load(path).cases
        except SpecError:
            # One must-fail spec is refused when it is read.
            assert path.parent.name == MUST_FAIL
            continue
        for case in cases:
            for step in case.spec.compress:
                tier = MUST_FAIL if path.parent.name == MUST_FAIL else case.spec.tier
                found.setdefault(step.method, set()).add(tier)
    return found


@pytest.mark.parametrize("method", OFFERED)
def test_it_has_a_spec_on_each_change_and_one_that_must_fail(method: str) -> None:
    tiers = uses().get(method, set())
    assert MUST_FAIL in tiers
    assert (CI in tiers) != (method in NOT_ON_EACH_CHANGE)
    assert method == "identity" or tiers - {MUST_FAIL}


@pytest.mark.parametrize("method", OFFERED)
def test_it_has_a_row_in_the_docs(method: str) -> None:
    first = [line.split(" | ")[0] for line in (ROOT / "docs" / "methods.md").read_text().splitlines()]
    rows = {name for cell in first if cell.startswith("| ") for name in re.findall(r"`([\w-]+)`", cell)}
    assert (method in rows) != (method in NO_COMPRESSION)


def test_no_exception_outlives_its_method() -> None:
    assert len(OFFERED) > 30
    assert {*NOT_ON_EACH_CHANGE, *NO_COMPRESSION} <= set(OFFERED)


def test_specs_that_the_docs_name_are_there() -> None:
    """Combinations and tables name specs without their folder."""
    specs = {path.stem for path in (ROOT / "specs").rglob("*.yaml")}
    text = (ROOT / "docs" / "methods.md").read_text()
    models = "lenet300|lenet5|resnet18|resnet20|mobilenetv2|efficientnet|vit|minilm|gemma|yolo11n|unet|vae"
    named = set(re.findall(rf"`((?:{models})-[\w-]+)(?:\[\w+\])?`", text)) - {"vae-digits"}
    assert len(named) > 40
    assert named <= specs
