"""Source `python`: a model that a function of your own code builds."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from harness.code import file_below, package_digest
from harness.errors import SourceError
from harness.sources.architecture import Scalar, build, unknown_option
from harness.sources.base import SOURCES, Source, digest_of, fit_weights, read_weights

if TYPE_CHECKING:
    import torch

FACTORY = r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"


@SOURCES.register
class Python(Source):
    """A model from a factory: a function or class of the project, or of any installed package."""

    source: Literal["python"] = "python"
    factory: str = Field(
        pattern=f"^{FACTORY}$",
        description="module:callable that returns a torch.nn.Module, for example mypackage.nets:build; modules are "
        "looked for in the project root first",
    )
    arguments: dict[str, Scalar | list[Scalar] | None] = Field(
        default_factory=dict, description="arguments of the factory, for example {width: 0.5}"
    )
    weights: str | None = Field(
        default=None,
        min_length=1,
        description="path of a state dict (safetensors, or torch.save) for what the factory returns; leave it out "
        "where the factory loads its own",
    )
    trust: bool = Field(default=False, description="unpickle the weights file even if that runs code from it")

    @property
    def published(self) -> None:
        """Nothing: weights of a factory are a file, or its own affair."""
        return None

    def load(self, root: Path) -> torch.nn.Module:
        """The float model, in evaluation mode."""
        state = read_weights(root / self.weights, trust=self.trust) if self.weights else None
        with importable(root):
            factory = _factory(self.factory, root)
            _check_arguments(self.factory, factory, self.arguments)
            model = build(factory, self.arguments, self.factory)
        return model.eval() if state is None else fit_weights(model, state, str(self.weights))

    def fingerprint(self, root: Path) -> str:
        """The code that builds the model, found without importing it, and the weights file.

        Data that a factory reads from outside its own package is not in it: give such weights as `weights:`.
        """
        weights = digest_of(root / self.weights) if self.weights else "its own weights"
        return f"{package_digest(self.factory.partition(':')[0], root)}, {weights}"


@contextmanager
def importable(root: Path) -> Iterator[None]:
    """Within it, modules of the project root can be imported, before all others."""
    entry = str(root.resolve())
    sys.path.insert(0, entry)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if entry in sys.path:
            sys.path.remove(entry)


def _factory(name: str, root: Path) -> Callable[..., Any]:
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # Anything else that is missing is a package which the factory's own code needs.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise SourceError(f"no module {error.name!r} in {root} or among the installed packages") from error
    except ImportError:
        raise
    except Exception as error:
        raise SourceError(f"importing {module_name} failed: {type(error).__name__}: {error}") from error
    own = file_below(module_name, root)
    if own is not None and own.resolve() != Path(getattr(module, "__file__", None) or own).resolve():
        raise SourceError(f"{own} is hidden by {module.__file__}, a module of the same name: rename yours")
    try:
        factory = reduce(getattr, attribute.split("."), module)
    except AttributeError as error:
        raise SourceError(f"{module_name} has no {attribute!r}: {error}") from error
    if not callable(factory):
        raise SourceError(f"{name} is of type {type(factory).__name__}, which cannot be called")
    return factory


def _check_arguments(name: str, factory: Callable[..., Any], arguments: dict[str, Any]) -> None:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return  # Built in C without a signature: the call itself will tell.
    named = [one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    if not any(one.kind is one.VAR_KEYWORD for one in parameters):
        for argument in arguments:
            if argument not in [one.name for one in named]:
                raise SourceError(unknown_option(name, argument, [one.name for one in named]))
    absent = [one.name for one in named if one.default is one.empty and one.name not in arguments]
    if absent:
        raise SourceError(
            f"{name} needs {', '.join(absent)}: give {'it' if len(absent) == 1 else 'them'} in `arguments:`"
        )
