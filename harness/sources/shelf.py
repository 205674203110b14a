"""What lies in `models/`: one folder a model, with its recipe, its card and, where it was trained here, its weights."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import yaml
from pydantic import ConfigDict, Field, ValidationError, validate_call

import harness
from harness.errors import MissingExtra, SourceError, UnknownName
from harness.registry import Options

if TYPE_CHECKING:
    from torch import nn

Argument = bool | int | float | str | list[int] | list[float]
RECIPE, WEIGHTS = "recipe.yaml", "weights.safetensors"


class Architecture(Options):
    """A factory and what it is called with."""

    factory: str = Field(pattern=r"^[\w.]+:\w+$", description="module:callable, returning a torch module")
    arguments: dict[str, Argument] = Field(
        default_factory=dict, description="checked against the factory's annotations"
    )

    def build(self, seed: int) -> nn.Module:
        """The model as the factory makes it, in evaluation mode; random weights derive from the seed.

        Raises:
            SourceError: no such factory, or it does not take these arguments.
        """
        import torch

        module, _, name = self.factory.partition(":")
        try:
            factory = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise SourceError(f"no factory {self.factory}: {error}") from error
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                model: nn.Module = validate_call(factory)(**self.arguments)
            except ValidationError as error:
                raise SourceError(f"{self.factory} does not take these arguments: {error}") from error
        return model.eval()


class Entry(Options):
    """What a recipe says about loading a model; the rest of it is about training."""

    model_config = ConfigDict(extra="ignore")
    model: Architecture
    packages: tuple[str, ...] = Field(
        default=(), description="distributions that bring the weights, where none lie here"
    )


E = TypeVar("E", bound=Entry)


def folder() -> Path:
    """Where the models lie: in the installed package, or beside it in a checkout."""
    package = Path(harness.__file__).parent
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"


def names() -> list[str]:
    """Every model on the shelf, in alphabetical order."""
    place = folder()
    return list(_names(place, place.stat().st_mtime_ns) if place.is_dir() else ())


# A spec asks at every load, and a run loads thousands.
@functools.lru_cache(maxsize=8)
def _names(place: Path, modified: int) -> tuple[str, ...]:
    return tuple(sorted(path.parent.name for path in place.glob(f"*/{RECIPE}")))


def read(name: str, kind: type[E]) -> E:
    """The recipe of a model, read as `Entry` or as a class derived from it.

    Raises:
        UnknownName: no such model, with the closest name.
        SourceError: the recipe is malformed.
    """
    known = names()
    if name not in known:
        raise UnknownName("zoo model", name, known)
    path = folder() / name / RECIPE
    try:
        # By way of JSON, strict validation takes a list for a tuple.
        return kind.model_validate_json(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8"))))
    except (yaml.YAMLError, ValidationError) as error:
        raise SourceError(f"{path} is no valid recipe: {error}") from error


def fingerprint(name: str) -> str:
    """The sha256 over a model's recipe and its weights, or the versions of the packages that bring them.

    Raises:
        UnknownName: no such model, with the closest name.
        SourceError: the weights are missing.
    """
    digest = hashlib.sha256()
    packages = read(name, Entry).packages
    for package in packages:
        try:
            digest.update(f"{package}=={version(package)}\n".encode())
        except PackageNotFoundError:
            raise MissingExtra(package, "vision") from None
    for part in (RECIPE,) if packages else (RECIPE, WEIGHTS):
        path = folder() / name / part
        if not path.is_file():
            raise SourceError(f"no weights at {path}: `python -m harness.recipes train {name}` makes them")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
