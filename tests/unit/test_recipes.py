"""The recipes: what ships is what they say, and they can be run again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from harness import recipes
from harness.data import mnist_files
from harness.recipes import Recipe, card, main, run
from harness.sources import shelf
from harness.sources.zoo import Zoo
from harness.training import Training

NAMES = shelf.names()


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("-digits")])
def test_a_shipped_digits_model_is_as_good_as_its_recipe_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = shelf.read(name, Recipe)
    # A generator's figure is the precision of its images.
    assert recipe.floor >= (0.5 if recipe.task == "image-generation" else 0.96)
    assert main(["check", name]) == 0
    assert f"accuracy {recipe.accuracy:.4f}," in capsys.readouterr().out


@pytest.mark.skipif(mnist_files.cached() is None, reason="python -m harness.data.mnist fetches the files")
@pytest.mark.parametrize(("name", "floor"), [("lenet300-mnist", 0.982), ("lenet5-mnist", 0.99)])
def test_a_shipped_mnist_model_is_as_good_as_its_recipe_says(
    name: str, floor: float, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = shelf.read(name, Recipe)
    assert (recipe.floor, recipe.tolerance) == (floor, 0.003)
    assert main(["check", name]) == 0
    assert f"accuracy {recipe.accuracy:.4f}," in capsys.readouterr().out


@pytest.mark.skipif(mnist_files.cached() is None, reason="python -m harness.data.mnist fetches the files")
def test_a_shipped_detector_is_as_good_as_its_recipe_says(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = shelf.read("yolo11n-digit-scenes", Recipe)
    assert recipe.floor == 0.9
    assert main(["check", "yolo11n-digit-scenes"]) == 0
    assert f"accuracy {recipe.accuracy:.4f}," in capsys.readouterr().out
    # As much as may be shipped, in float16.
    assert (shelf.folder() / "yolo11n-digit-scenes" / shelf.WEIGHTS).stat().st_size <= 6e6


@pytest.mark.parametrize("name", [name for name in NAMES if shelf.read(name, Recipe).train is not None])
def test_the_card_says_what_the_recipe_says(name: str) -> None:
    samples = {"digits": 797, "mnist": 10_000, "noise": 398}[shelf.read(name, Recipe).data.source]
    expected = card(name, shelf.read(name, Recipe), Zoo(name=name).load(Path()), samples)
    assert (shelf.folder() / name / "README.md").read_text(encoding="utf-8") == expected


def test_a_rerun_is_the_same_to_the_last_bit_and_learns_quickly() -> None:
    recipe = shelf.read("lenet5-digits", Recipe)
    assert recipe.train is not None
    brief = recipe.model_copy(update={"train": recipe.train.model_copy(update={"epochs": 4})})
    (one, reached, samples), (two, again, _) = (run(brief, Path(), lambda line: None) for _ in range(2))
    assert samples == 797
    assert reached == again > 0.9
    assert [tensor.tolist() for tensor in one.state_dict().values()] == [
        tensor.tolist() for tensor in two.state_dict().values()
    ]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shelf with one model to train: a recipe and nothing else."""
    folder = tmp_path / "models" / "tiny-digits"
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(
        "title: A tiny network\n"
        "model: {factory: 'harness.zoo.lenet:lenet300', arguments: {image_size: 32}}\n"
        "task: image-classification  # a comment stays\n"
        "data: {source: digits}\n"
        "train: {epochs: 3, learning_rate: 0.05}\n"
        "floor: 0.8\n"
    )
    monkeypatch.setattr(shelf, "folder", lambda: tmp_path / "models")
    return folder


def test_a_recipe_and_one_command_make_a_model(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tiny-digits"]) == 0
    assert "epoch 3/3, loss" in capsys.readouterr().out
    text = (bench / "recipe.yaml").read_text()
    accuracy = yaml.safe_load(text)["accuracy"]
    assert accuracy > 0.8
    assert "# a comment stays" in text
    assert load_file(bench / "weights.safetensors")["fc1.weight"].shape == (300, 1024)
    assert f"{accuracy:.2%}" in (bench / "README.md").read_text()
    assert main(["check"]) == 0
    # Shipping it again replaces the figure and leaves one.
    assert main(["train", "tiny-digits"]) == 0
    assert (bench / "recipe.yaml").read_text() == text


def test_a_model_below_its_floor_is_not_shipped(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = bench / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("floor: 0.8", "floor: 0.999"))
    assert main(["train", "tiny-digits"]) == 1
    assert "below its floor of 0.999" in capsys.readouterr().out
    assert [path.name for path in bench.iterdir()] == ["recipe.yaml"]


def test_weights_that_are_worse_than_the_recipe_says_are_found(
    bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "tiny-digits", "--output", str(tmp_path / "again")]) == 0
    assert [path.name for path in bench.iterdir()] == ["recipe.yaml"]
    shutil.copy(tmp_path / "again" / "weights.safetensors", bench)
    with (bench / "recipe.yaml").open("a") as stream:
        stream.write("accuracy: 0.9999\n")
    assert main(["check", "tiny-digits"]) == 1
    assert "further than 0.015 from the shipped 0.9999" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["resnet21-digits", "efficientnet-lite0"])
def test_what_cannot_be_trained_is_told(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", name]) == 2
    assert ("Did you mean 'resnet20-digits'" if name[0] == "r" else "trained by others") in capsys.readouterr().out


def test_the_command_line_of_the_docstring_is_the_one_there_is() -> None:
    assert recipes.__doc__ is not None
    for command in ("train", "check"):
        assert f"python -m harness.recipes {command}" in recipes.__doc__


def test_the_documentation_says_what_the_recipes_and_the_options_say() -> None:
    lines = Path(__file__).parents[2].joinpath("docs", "zoo.md").read_text(encoding="utf-8").splitlines()
    for name in NAMES:
        (line,) = [line for line in lines if line.startswith(f"| `{name}` |")]
        assert f"| `{shelf.read(name, Recipe).data.source}` | {shelf.read(name, Recipe).accuracy:.2%} |" in line
    for option, field in Training.model_fields.items():
        default = "null" if field.default is None else field.default
        assert f"| `{option}` | `{default}` | {field.description} |" in lines
