"""The zoo as a model source."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from harness.recipes import Recipe
from harness.sources import shelf
from harness.sources.zoo import Zoo

ROOT = Path()


def test_a_model_comes_with_its_shipped_weights_in_evaluation_mode() -> None:
    model = Zoo(name="lenet5-digits").load(ROOT)
    from safetensors.torch import load_file

    stored = load_file(shelf.folder() / "lenet5-digits" / shelf.WEIGHTS)
    assert {name: tensor.tolist() for name, tensor in model.state_dict().items()} == {
        name: tensor.tolist() for name, tensor in stored.items()
    }
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("name", [name for name in shelf.names() if shelf.read(name, Recipe).data.source == "digits"])
def test_a_digits_model_takes_what_the_digits_give_by_default(name: str) -> None:
    from harness.data.digits import Digits

    batch = next(Digits().load(ROOT).calibration.batches(3))
    with torch.inference_mode():
        logits = Zoo(name=name).load(ROOT)(*batch.inputs)
    assert logits.argmax(dim=1).tolist() == batch.targets.tolist()


def test_an_unknown_name_is_refused_with_the_closest() -> None:
    with pytest.raises(ValidationError, match="Did you mean 'resnet20-digits'"):
        Zoo(name="resnet2-digits")


def test_loading_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    Zoo(name="lenet5-digits").load(ROOT)
    assert torch.equal(before, torch.get_rng_state())


def test_names_and_fingerprints_are_known_without_torch() -> None:
    code = (
        "import json, sys; from pathlib import Path; from harness.sources.zoo import Zoo; "
        "print(json.dumps([Zoo.model_json_schema()['properties']['name']['enum'], "
        "Zoo(name='lenet5-digits').fingerprint(Path())])); assert 'torch' not in sys.modules"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    names, fingerprint = json.loads(answer.stdout)
    assert names == sorted(path.name for path in shelf.folder().iterdir() if (path / "recipe.yaml").is_file())
    assert fingerprint == Zoo(name="lenet5-digits").fingerprint(ROOT)
