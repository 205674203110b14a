"""What times of generating text share."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from harness.metrics.base import POSITIVE, Better, Metric, Span
from harness.tasks.base import Task


class OfGeneration(Metric):
    """What every metric is that times a language model at work; float and compressed run in alternating blocks."""

    prompt: int = Field(default=128, ge=1, description="tokens of the prompt, from the first text that is long enough")
    better: ClassVar[Better] = "lower"
    span: ClassVar[Span | None] = POSITIVE
    machine: ClassVar[bool] = True
    tolerance: ClassVar[float] = 0.10

    @classmethod
    def suits(cls, task: type[Task]) -> bool:
        """Whether its models make one token after another."""
        return task.generates
