"""Failures that a spec expects: which budget breaks and how, why that is borne, who answers for it, and until when."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from harness.metrics.base import BOUNDS, Metric
from harness.registry import NameOf, Options

EVIDENCE = "evidence"
# What the stored baseline has to say, beside the bounds of the budget itself.
REGRESS = "regress"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_Words = Annotated[str, StringConstraints(pattern=r"\S")]


def _day(value: Any) -> Any:
    # YAML's dates reach this as text; ISO 8601 knows further forms, which a reader would have to work out.
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"there is no such day; {error}") from error
    if isinstance(value, date):
        return value
    raise ValueError("a day is expected, as in 2026-12-31")


class ExpectFail(Options):
    """One failure that is tolerated for a while: counted and shown, no failure of the run, and never green."""

    metric: str = Field(description="the budget: its label, or its metric where only one measures that; or `evidence`")
    verdict: Literal["FAIL", "INVALID", "INCONCLUSIVE"] = Field(description="the verdict that is expected of it")
    bound: Annotated[str, NameOf((*BOUNDS, REGRESS))] | None = Field(
        default=None,
        description="the bound that breaks; `regress` is the stored baseline. The budget's only one by default",
    )
    says: _Words | None = Field(
        default=None,
        description="words of the clause that says how it breaks; needed for INVALID where no `bound` is meant",
    )
    because: _Words = Field(description="why it is tolerated")
    owner: _Words = Field(description="who answers for it")
    until: Annotated[date, BeforeValidator(_day)] = Field(
        description="the last day (UTC) on which it is tolerated, as in 2026-12-31"
    )

    def labels(self, budgets: Mapping[str, Metric]) -> tuple[str, ...]:
        """The labels that `metric` may mean; it is well said where there is one."""
        if self.metric in budgets or self.metric == EVIDENCE:
            return (self.metric,)
        return tuple(label for label, budget in budgets.items() if budget.metric == self.metric)

    def cause(self, budgets: Mapping[str, Metric]) -> str | None:
        """The bound that is meant; None where several could be, or (INVALID) none has to be."""
        if self.bound is not None or self.verdict == "INVALID":
            return self.bound
        own = breakable(budgets[self.labels(budgets)[0]])
        return own[0] if len(own) == 1 else None

    def expired(self, today: date) -> bool:
        """Whether its last day is over."""
        return today > self.until

    def __str__(self) -> str:
        return f"{self.verdict}{f' ({self.bound})' if self.bound else ''}"


def breakable(budget: Metric) -> list[str]:
    """The bounds of a budget on the compressed model: those of the float model are INVALID where they break."""
    return [name for name in budget.bounds() if not name.startswith("reference_")]


def one_or_several(value: Any) -> Any:
    """A single entry needs no brackets."""
    return [value] if isinstance(value, dict) else value
