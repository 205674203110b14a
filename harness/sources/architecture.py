"""Building an architecture from a constructor and a spec's options, with sentences where the two do not match."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from harness.errors import SourceError, closest
from harness.sources.base import Source

if TYPE_CHECKING:
    import torch

Scalar = int | float | bool | str


class Listed(Source):
    """What the sources share that build an architecture from a library's list, by name."""

    options: dict[str, Scalar] = Field(
        default_factory=dict, description="arguments of the architecture, for example {num_classes: 10}"
    )
    trust: bool = Field(default=False, description="unpickle the weights file even if that runs code from it")
    reserved: ClassVar[tuple[str, ...]]

    @field_validator("options")
    @classmethod
    def _not_reserved(cls, options: dict[str, Scalar]) -> dict[str, Scalar]:
        for name in cls.reserved:
            if name in options:
                raise ValueError(f"{name!r} cannot be an option of the architecture: `weights:` decides the weights")
        return options


def build(
    constructor: Callable[..., torch.nn.Module], options: Mapping[str, object], name: str, **fixed: object
) -> torch.nn.Module:
    """The module that `constructor` returns; the global random state is left as it was.

    Args:
        constructor: takes the options by name.
        options: as the spec gives them.
        name: how sentences call the architecture.
        fixed: further arguments, which the spec has no say in.

    Raises:
        SourceError: an option that the architecture does not take, with those that it does; or its own refusal.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        # What no weight file holds (a table of random features, say) must be the same in every process.
        torch.manual_seed(0)
        try:
            model = constructor(**options, **fixed)
        except Exception as error:
            if isinstance(error, ImportError):
                raise
            found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
            if isinstance(error, TypeError) and found and found.group(1) in options:
                raise SourceError(unknown_option(name, found.group(1), _taken(constructor, fixed))) from error
            raise SourceError(f"{name} refuses its options: {type(error).__name__}: {error}") from error
    if not isinstance(model, torch.nn.Module):
        raise SourceError(f"{name} gives an object of type {type(model).__name__} and not a torch.nn.Module")
    return model


def _taken(constructor: Callable[..., torch.nn.Module], fixed: Mapping[str, object]) -> list[str]:
    """What the class behind a constructor takes, found by building it once with no options."""
    try:
        return _keywords(type(constructor(**fixed)))
    except Exception:
        return []  # It cannot be built without options, so it cannot be asked.


def _keywords(function: Callable[..., object]) -> list[str]:
    """The arguments that a spec can set; those without a default are the library's own business."""
    plain = (int, float, bool, str, type(None))
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and isinstance(parameter.default, plain)
    ]


def unknown_option(name: str, option: str, taken: list[str]) -> str:
    """The sentence for an option that an architecture does not take."""
    near = closest(option, taken)
    hint = f" Did you mean {near!r}?" if near else ""
    listed = f"; it takes: {', '.join(taken)}" if taken else ""
    return f"{name} takes no option {option!r}{listed}.{hint}"


def unknown_architecture(library: str, name: str, known: list[str]) -> SourceError:
    """The error for a name that a library does not register: the nearest names, as the list would fill pages."""
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(one) for one in near)}?" if near else ""
    return SourceError(f"{library} registers no model {name!r} (it knows {len(known)}).{hint}")
