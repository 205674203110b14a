"""What two models compute on the way: recorded by hooks, and compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import Field

from harness.errors import MethodError, closest
from harness.registry import Options

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.data.base import Batch


class Match(Options):
    """A module of the teacher and one of the student whose outputs are held together."""

    teacher: str = Field(description="a module of the teacher, by name")
    student: str = Field(description="a module of the student, by name")


class Recorder:
    """Keeps what some modules of a model gave at its last run."""

    def __init__(self, model: nn.Module, names: Sequence[str], which: str) -> None:
        self.seen: dict[str, torch.Tensor] = {}
        modules = dict(model.named_modules())
        for name in names:
            if name not in modules:
                near = closest(name, modules)
                hint = f" Did you mean {near!r}?" if near else ""
                raise MethodError(f"distillation: the {which} has no module {name!r}.{hint}")
        self._modules = {name: modules[name] for name in names}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within it, runs of the model are recorded."""
        hooks = [
            module.register_forward_hook(lambda _, __, output, name=name: self.seen.__setitem__(name, output))
            for name, module in self._modules.items()
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def regressor(student: torch.Tensor, teacher: torch.Tensor) -> nn.Module:
    """A linear map from the student's channels to the teacher's, to be trained along and thrown away.

    Raises:
        MethodError: the two have different numbers of axes, or no channels.
    """
    from torch import nn

    if student.ndim != teacher.ndim or student.ndim not in (2, 3, 4):
        raise MethodError(
            f"distillation cannot match features of shapes {tuple(student.shape)} and {tuple(teacher.shape)}: both "
            "are to be (batch, features), (batch, tokens, features) or (batch, channels, height, width)"
        )
    if student.ndim == 4:
        return nn.Conv2d(student.shape[1], teacher.shape[1], 1)
    return nn.Linear(student.shape[-1], teacher.shape[-1])


def feature_gap(
    student: torch.Tensor, teacher: torch.Tensor, regress: nn.Module, batch: Batch | None = None
) -> torch.Tensor:
    """Half the mean square of what the student's features, mapped by the regressor, lack of the teacher's.

    A. Romero et al., "FitNets: Hints for Thin Deep Nets", 2015, equation 3.

    Args:
        student: shape (batch, features), (batch, tokens, features) or (batch, channels, height, width).
        teacher: likewise, with features of its own number.
        regress: maps the student's features to as many as the teacher has.
        batch: what both were asked; tokens that only fill a text up have no part in the mean.
    """
    student, teacher = _of_one_size(student, teacher)
    lacking: torch.Tensor = regress(student) - teacher
    if batch is not None:
        lacking = batch.rows(lacking)
    return 0.5 * lacking.square().mean()


def attention_gap(student: torch.Tensor, teacher: torch.Tensor, batch: Batch | None = None) -> torch.Tensor:
    """Half the distance of the two maps of where activations are strong, each of length one; the mean over the batch.

    S. Zagoruyko, N. Komodakis, "Paying More Attention to Attention", 2017, equation 2, with sums of squares over
    channels and p = 2.

    Args:
        student: shape (batch, channels, height, width), or (batch, tokens, features); channels need not agree.
        teacher: likewise.
        batch: what both were asked; tokens that only fill a text up have no part in the maps.

    Raises:
        MethodError: either has other axes, or they have different numbers of tokens: there is no place to compare.
    """
    import torch
    from torch.nn.functional import normalize

    student, teacher = _of_one_size(student, teacher)
    if student.ndim not in (3, 4) or student.ndim != teacher.ndim or _places(student) != _places(teacher):
        raise MethodError(
            f"distillation cannot match attention of shapes {tuple(student.shape)} and {tuple(teacher.shape)}: both "
            "are to be (batch, channels, height, width), or (batch, tokens, features) with as many tokens"
        )
    maps = [normalize(_strengths(one, batch), dim=1) for one in (student, teacher)]
    # The root's slope is infinite at zero.
    return 0.5 * torch.sqrt((maps[0] - maps[1]).square().sum(1) + 1e-12).mean()


def _places(values: torch.Tensor) -> tuple[int, ...]:
    return tuple(values.shape[2:] if values.ndim == 4 else values.shape[1:2])


def _strengths(values: torch.Tensor, batch: Batch | None) -> torch.Tensor:
    """Squares summed over channels at each place, shape (batch, places)."""
    if values.ndim == 4:
        return values.square().sum(1).flatten(1)
    found = values.square().sum(-1)
    if batch is None or batch.filled is None or batch.filled.shape != found.shape:
        return found
    return found.masked_fill(batch.filled, 0.0)


def _of_one_size(student: torch.Tensor, teacher: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Feature maps averaged down to the smaller height and width of the two."""
    from torch.nn.functional import adaptive_avg_pool2d

    if student.ndim != 4 or teacher.ndim != 4 or student.shape[2:] == teacher.shape[2:]:
        return student, teacher
    size = min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3])
    return adaptive_avg_pool2d(student, size), adaptive_avg_pool2d(teacher, size)
