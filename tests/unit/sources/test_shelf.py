"""The shelf: what lies in models/, and how a recipe becomes a model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from harness.errors import MissingExtra, SourceError, UnknownName
from harness.sources import shelf
from harness.sources.shelf import Architecture, Entry


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shelf of one model, to tamper with."""
    shutil.copytree(shelf.folder() / "lenet5-digits", tmp_path / "lenet5-digits")
    monkeypatch.setattr(shelf, "folder", lambda: tmp_path)
    return tmp_path / "lenet5-digits"


def test_an_unknown_name_is_answered_with_the_closest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'resnet20-digits'"):
        shelf.read("resnet-20-digits", Entry)


def test_the_folder_is_listed_once_until_it_changes(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[Path] = []
    glob = Path.glob

    def counted(place: Path, pattern: str) -> object:
        listed.append(place)
        return glob(place, pattern)

    monkeypatch.setattr(Path, "glob", counted)
    assert [shelf.names() for _ in range(3)] == [["lenet5-digits"]] * 3
    assert listed == [copy.parent]
    shutil.copytree(copy, copy.with_name("another"))
    assert shelf.names() == ["another", "lenet5-digits"]


def test_all_checkpoints_together_stay_under_sixty_megabytes() -> None:
    assert sum(path.stat().st_size for path in shelf.folder().rglob("*.safetensors")) <= 60e6


def test_every_bit_of_recipe_and_weights_is_in_the_fingerprint(copy: Path) -> None:
    seen = {shelf.fingerprint("lenet5-digits")}
    for part in (shelf.RECIPE, shelf.WEIGHTS):
        content = bytearray((copy / part).read_bytes())
        content[-1] ^= 1 if part == shelf.WEIGHTS else ord("\n") ^ ord(" ")
        (copy / part).write_bytes(content)
        seen.add(shelf.fingerprint("lenet5-digits"))
    assert len(seen) == 3
    (copy / "README.md").write_text("another text")
    assert shelf.fingerprint("lenet5-digits") in seen


def test_missing_weights_are_an_error_and_no_random_model(copy: Path) -> None:
    (copy / shelf.WEIGHTS).unlink()
    with pytest.raises(SourceError, match=r"no weights at .*recipes train lenet5-digits"):
        shelf.fingerprint("lenet5-digits")


def test_a_package_that_is_not_installed_is_an_extra_to_install(copy: Path) -> None:
    with (copy / shelf.RECIPE).open("a") as stream:
        stream.write("packages: [no-such-distribution]\n")
    with pytest.raises(MissingExtra, match=r"weighin\[vision\]"):
        shelf.fingerprint("lenet5-digits")


@pytest.mark.parametrize("text", ["model: [", "model: {factory: nowhere}", "title: no model"])
def test_a_malformed_recipe_is_named(copy: Path, text: str) -> None:
    (copy / shelf.RECIPE).write_text(text)
    with pytest.raises(SourceError, match=r"recipe.yaml is no valid recipe"):
        shelf.read("lenet5-digits", Entry)


def test_a_seed_decides_random_weights_and_the_global_state_does_not() -> None:
    built = Architecture(factory="harness.zoo.lenet:lenet5", arguments={"convolutions": [3, 4], "hidden": [5]})
    before = torch.get_rng_state()
    one, same, other = built.build(1), built.build(1), built.build(2)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one.conv1.weight, same.conv1.weight)
    assert not torch.equal(one.conv1.weight, other.conv1.weight)
    assert (one.conv2.out_channels, one.fc1.out_features, one.training) == (4, 5, False)


@pytest.mark.parametrize(
    ("factory", "arguments", "sentence"),
    [
        ("harness.zoo.lenet:lenet7", {}, "no factory harness.zoo.lenet:lenet7"),
        ("harness.zoo.alexnet:alexnet", {}, "no factory harness.zoo.alexnet:alexnet"),
        ("harness.zoo.lenet:lenet5", {"depth": 3}, "depth"),
        ("harness.zoo.lenet:lenet5", {"convolutions": [6]}, "convolutions"),
        ("harness.zoo.resnet:resnet18", {"width": "half"}, "width"),
    ],
)
def test_what_a_factory_does_not_take_is_told(
    factory: str, arguments: dict[str, shelf.Argument], sentence: str
) -> None:
    with pytest.raises(SourceError, match=sentence):
        Architecture(factory=factory, arguments=arguments).build(0)
