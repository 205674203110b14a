"""The kinds of rows: the cells of each, the code that their rates come from, and whether any rate is claimed there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from accuracy.cell import Asked, Plans
from accuracy.families import families
from accuracy.kid import kids
from accuracy.means import mean_ratios, means
from accuracy.proportions import proportions
from accuracy.ratios import ratios
from accuracy.sets import set_statistics
from accuracy.units import units
from harness.code import code_digest


@dataclass(frozen=True)
class Kind:
    """One kind of rows.

    Attributes:
        plans: its cells, as far as they are asked for.
        code: the modules that their rates come from, with all that these import of their own package.
        claims: whether the method claims its error rate there; what is beyond it runs only when it is asked for.
    """

    plans: Callable[[Asked], Plans]
    code: tuple[str, ...]
    claims: bool = True

    @property
    def digest(self) -> str:
        """Of the code. These rates do not depend on the machine."""
        return code_digest(*self.code)[:12]


def _proportions(asked: Asked) -> Plans:
    return proportions(asked.sizes, asked.limits, asked.discordances)


def _units(kind: str, *, claims: bool = True) -> Kind:
    def plans(asked: Asked) -> Plans:
        return units(kind, asked.sizes, asked.sets)

    return Kind(plans, ("accuracy.units", "harness.measurement", "harness.statistics"), claims)


def _sized(plans: Callable[[tuple[int, ...], int], Plans], module: str, *more: str) -> Kind:
    return Kind(lambda asked: plans(asked.sizes, asked.sets), (module, "harness.statistics", *more))


KINDS: dict[str, Kind] = {
    "proportion": Kind(_proportions, ("accuracy.proportions", "harness.statistics")),
    "ratio": _sized(ratios, "accuracy.ratios"),
    "mean": _sized(means, "accuracy.means"),
    "mean-ratio": _sized(mean_ratios, "accuracy.means"),
    "cluster": _units("cluster"),
    "token": _units("token"),
    "rise": _units("rise"),
    "set": _sized(set_statistics, "accuracy.sets", "harness.measurement"),
    "detection": _units("detection"),
    "correlation": _units("correlation"),
    "kid": _sized(kids, "accuracy.kid"),
    "family": _sized(families, "accuracy.families"),
    "beyond": _units("beyond", claims=False),
}
# What runs where no kind is asked for: every row holds to a claim.
DEFAULT = tuple(name for name, kind in KINDS.items() if kind.claims)
