from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from harness.artifacts.encoded import Encoded
from harness.forms import Form, Subject
from harness.methods.base import METHODS
from harness.methods.entropy_coding import EntropyCoding
from harness.methods.pruning.magnitude import MagnitudePruning
from harness.methods.weight_sharing.weight_sharing import WeightSharing
from harness.runtimes.packed import FILE, Packed


def size(subject: Subject, folder: Path) -> int:
    folder.mkdir()
    Packed().save(subject, folder)
    return (folder / FILE).stat().st_size


def test_it_must_be_the_last_step_but_for_what_does_nothing() -> None:
    after = {name for name, method in METHODS.items() if Form.ENCODED in getattr(method, "forms", {})}
    assert after == {"identity"}
    assert EntropyCoding().transitions == {Form.TORCH: Form.ENCODED}


def test_deep_compression_step_by_step(subject: Any, workshop: Any, tmp_path: Path) -> None:
    steps = [MagnitudePruning(sparsity=0.9), WeightSharing(bits=4)]
    model = subject()
    float_size = size(model, tmp_path / "float")
    for step in steps:
        model = step.apply(model, workshop)
    assert size(model, tmp_path / "shared") == float_size  # values are stored as before
    found = {
        coder: size(EntropyCoding(coder=coder).apply(model, workshop), tmp_path / coder)  # type: ignore[arg-type]
        for coder in ("huffman", "range")
    }
    # 6,147 weights at about four bits each for value and place, 236 biases in full, and the graph.
    assert float_size / found["huffman"] > 30
    assert found["range"] < 0.98 * found["huffman"]


@pytest.mark.parametrize("coder", ["huffman", "range"])
def test_the_model_answers_as_before(coder: Any, subject: Any, workshop: Any) -> None:
    before = subject()
    inputs = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    coded = EntropyCoding(coder=coder).apply(before, workshop)
    assert isinstance(coded.model, Encoded)
    assert (coded.form, coded.model.coder) == (Form.ENCODED, coder)
    with torch.no_grad():
        assert torch.equal(coded.model(inputs), before.model(inputs))


@pytest.mark.parametrize("coder", ["huffman", "range"])
def test_a_step_that_coded_nothing_is_contradicted(coder: Any, subject: Any, workshop: Any, tmp_path: Path) -> None:
    method = EntropyCoding(coder=coder)
    shared = WeightSharing(bits=4).apply(subject(), workshop)
    found = {}
    for name, model in {"dense": subject(), "shared": shared, "float": subject()}.items():
        (tmp_path / name).mkdir()
        Packed().save(model if name == "float" else method.apply(model, workshop), tmp_path / name)
        found[name] = Packed().load(tmp_path / name, 1).evidence()
    # LeNet-5: 61,470 weights in its matrices, each of which has a codebook of its own.
    assert found["shared"].encodings == {coder: 61_470}
    assert found["dense"].encodings == found["float"].encodings == {"raw": 61_470}
    assert method.contradictions(found["float"], found["shared"]) == []
    (sentence,) = method.contradictions(found["float"], found["dense"])
    assert f"no weight matrix is coded ({coder})" in sentence
    assert sentence.endswith("the file keeps their elements 61,470 raw")
    assert f"of weight matrices the file keeps 61,470 {coder}" in found["shared"].summary()
    assert "the file keeps" not in found["float"].summary()
