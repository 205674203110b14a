"""How the models of the zoo were trained, and the commands that train and check them again.

python -m harness.recipes train resnet20-digits [--output DIR]
python -m harness.recipes check [NAME …]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from harness.data.base import DATA, Data, Dataset, Split
from harness.errors import DataError, SourceError, UnknownName, WeighinError
from harness.registry import OneOf, Options
from harness.sources import shelf
from harness.sources.zoo import Zoo
from harness.tasks.base import TASKS, Task
from harness.training import Training, train

if TYPE_CHECKING:
    from torch import nn

    from harness.data.chain import Chain


def _task(name: str) -> str:
    try:
        TASKS[name]
    except UnknownName as error:
        raise ValueError(str(error)) from error
    return name


class Recipe(shelf.Entry):
    """A `recipe.yaml`, all of it."""

    model_config = Options.model_config
    title: str = Field(description="one line")
    task: Annotated[str, AfterValidator(_task)]
    data: Annotated[Data, OneOf(DATA)] = Field(description="trained and evaluated on")
    train: Training | None = Field(
        default=None, description="None: the weights were trained by others, or by a script that lies beside the recipe"
    )
    seed: int = Field(default=0, ge=0)
    floor: float = Field(ge=0, le=1, description="accuracy that the checkpoint must reach")
    accuracy: float | None = Field(
        default=None, ge=0, le=1, description="of the shipped checkpoint; of a generator its `generated_precision`"
    )
    tolerance: float = Field(default=0.015, gt=0, description="how far from `accuracy` a rerun may land")


def run(recipe: Recipe, root: Path, progress: Callable[[str], None]) -> tuple[nn.Module, float, int]:
    """Train from scratch; returns the model, its accuracy on the evaluation split, and the samples in that.

    Raises:
        SourceError: the recipe has nothing to train.
    """
    if recipe.train is None:
        raise SourceError(
            f"{recipe.title}: its weights were trained by others, or by a script beside its recipe; its card says which"
        )
    dataset = recipe.data.load(root).checked()
    if dataset.train is None or dataset.evaluation is None:
        raise DataError(f"the data source {recipe.data.source!r} sets nothing aside to train on")
    model = recipe.model.build(recipe.seed)
    task = TASKS[recipe.task]()  # type: ignore[call-arg]
    train(model, dataset.train, task, recipe.train, seed=recipe.seed, progress=progress)
    return model, reached(model, dataset, task), len(dataset.evaluation)


def reached(model: nn.Module, dataset: Dataset, task: Task) -> float:
    """The accuracy on the evaluation split; of a generator the precision of its images.

    Raises:
        DataError: nothing is held out.
    """
    if dataset.evaluation is None:
        raise DataError("the data source of the recipe has no evaluation split")
    if dataset.chain is None:
        return accuracy(model, dataset.evaluation, task)
    return precision(model, dataset.evaluation, dataset.chain, task)


def precision(model: nn.Module, split: Split, chain: Chain, task: Task) -> float:
    """Share of generated images within the manifold of the real ones, in the features that metrics compare by default.

    Args:
        model: the generator.
        split: noise, with real images as its targets.
        chain: what makes images of noise.
        task: says how many at once.
    """
    import torch

    from harness.metrics.features import Features
    from harness.metrics.manifold import within

    with torch.inference_mode():
        pairs = [
            (chain.run(lambda inputs: (model(*inputs),), batch.inputs)[0], batch.targets)
            for batch in split.batches(task.batch)
        ]
    images, real = (torch.cat(part) for part in zip(*pairs, strict=True))
    made, held = (Features().of(each.numpy(), Path()) for each in (images, real.flatten(0, 1)))
    return float(within(made, held, k=3).mean())


def accuracy(model: nn.Module, split: Split, task: Task) -> float:
    """The task's own figure over a split: the share of right labels, or the average precision of boxes."""
    import numpy as np
    import torch

    parts, targets = [], []
    with torch.inference_mode():
        for batch in split.batches(task.batch):
            parts.append(task.answers((model(*batch.inputs),)))
            targets.append(batch.targets.numpy())
    answers = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return task.accuracy(answers, np.concatenate(targets))


def card(name: str, recipe: Recipe, model: nn.Module, samples: int) -> str:
    """The README of a model that was trained here: what it is, how good, and how it was made."""
    weights = sum(parameter.numel() for parameter in model.parameters())
    figure = TASKS[recipe.task].said.format(share=recipe.accuracy, samples=samples, source=recipe.data.source)
    again = f"python models/{name}/train.py" if recipe.train is None else f"python -m harness.recipes train {name}"
    place, compares = ("train.py", "") if recipe.train is None else (shelf.RECIPE, " and compares")
    lines = [
        f"# {recipe.title}",
        "",
        f"- {figure} (it must reach {recipe.floor:.1%}).",
        f"- {weights:,} parameters, in float32: {weights * 4 / 1e6:.2f} MB.",
        f"- In a spec: `model: {{source: zoo, name: {name}}}`.",
        "",
        f"Everything about its training is in `{place}`; this trains it again{compares}:",
        "",
        "```",
        f"{again} --output retrained/",
        "```",
        "",
    ]
    return "\n".join(lines)


def _train(name: str, output: Path | None) -> bool:
    from safetensors.torch import save

    recipe = shelf.read(name, Recipe)
    started = time.monotonic()
    model, figure, samples = run(recipe, Path.cwd(), lambda line: _say(f"{name}: {line}"))
    shipped = "none yet" if recipe.accuracy is None else f"{recipe.accuracy:.4f}"
    _say(f"{name}: accuracy {figure:.4f}, shipped {shipped}, in {time.monotonic() - started:.0f} s")
    good = _holds(name, recipe, figure)
    folder = output or shelf.folder() / name
    if good or output:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / shelf.WEIGHTS).write_bytes(save(model.state_dict()))
        _say(f"{name}: weights in {folder / shelf.WEIGHTS}")
    if good and not output:
        text = (folder / shelf.RECIPE).read_text(encoding="utf-8")
        kept = [line for line in text.splitlines() if not line.startswith("accuracy:")]
        (folder / shelf.RECIPE).write_text("\n".join([*kept, f"accuracy: {figure:.4f}", ""]), encoding="utf-8")
        described = recipe.model_copy(update={"accuracy": figure})
        (folder / "README.md").write_text(card(name, described, model, samples), encoding="utf-8")
    return good


def _check(name: str) -> bool:
    recipe = shelf.read(name, Recipe)
    dataset, task = recipe.data.load(Path.cwd()).checked(), TASKS[recipe.task]()  # type: ignore[call-arg]
    figure = reached(Zoo(name=name).load(Path.cwd()), dataset, task)
    _say(f"{name}: accuracy {figure:.4f}, recipe says {recipe.accuracy}")
    return _holds(name, recipe, figure)


def _holds(name: str, recipe: Recipe, figure: float) -> bool:
    """Whether an accuracy reaches the floor and lands where the recipe says; tells where it does not."""
    good = True
    if figure < recipe.floor:
        _say(f"{name}: below its floor of {recipe.floor}")
        good = False
    if recipe.accuracy is not None and abs(figure - recipe.accuracy) > recipe.tolerance:
        _say(f"{name}: further than {recipe.tolerance} from the shipped {recipe.accuracy}")
        good = False
    return good


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 1 where a model misses its floor or its accuracy, 2 for an error."""
    parser = argparse.ArgumentParser(prog="python -m harness.recipes", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train a model of the zoo again")
    training.add_argument("name")
    training.add_argument(
        "--output",
        type=Path,
        help="folder for the weights; without it they are shipped: weights, accuracy and card of models/ are replaced",
    )
    checking = commands.add_parser("check", help="evaluate shipped checkpoints")
    checking.add_argument("names", nargs="*", help="default: all")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "train":
            return 0 if _train(chosen.name, chosen.output) else 1
        return 0 if all([_check(name) for name in chosen.names or shelf.names()]) else 1
    except WeighinError as error:
        _say(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main())
