"""How far a baseline's machine is this one: what was accepted there may then be held against what is measured here.

exact: same CPU model, instruction sets, cores, engine, threads, Python and library versions. Milliseconds compare.
compatible: same CPU model, instruction sets, engine and threads, other versions. Only ratios to float compare.
foreign: anything else. Nothing compares; the budgets' ratios are enforced all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.judge.baseline import Accepted, CaseBaseline, Machine
from harness.judge.verdict import Match
from harness.run.environment import Environment

# Differences that a sentence names before it only counts them.
MOST_NAMED = 2


@dataclass(frozen=True)
class Setting:
    """What a time was, or is, measured on.

    Attributes:
        environment: machine and library versions.
        threads: of the worker.
        kernels: the engine and its instruction set.
    """

    environment: Environment
    threads: int
    kernels: str

    @property
    def fingerprint(self) -> str:
        """Under which a baseline keeps it."""
        return self.environment.fingerprint(self.threads, self.kernels)


@dataclass(frozen=True)
class Held:
    """What a baseline has for one label, seen from here.

    Attributes:
        match: how far the machine of `accepted` is this one.
        accepted: what was accepted there; None where the match is foreign.
        versions: what differs, in words, where the match is compatible.
        anywhere: whether any of the baseline's machines has the label, foreign ones too.
    """

    match: Match
    accepted: Accepted | None = None
    versions: str = ""
    anywhere: bool = True


def held(baseline: CaseBaseline | None, label: str, fingerprint: str, here: Setting) -> Held:
    """The closest of a baseline's machines that has this label.

    Args:
        baseline: of the case; None where nothing was accepted.
        label: the budget.
        fingerprint: of this machine.
        here: what the fingerprint was made of.
    """
    machines = baseline.machines if baseline is not None else {}
    exact = machines.get(fingerprint)
    if exact is not None and label in exact.labels:
        return Held(Match.EXACT, exact.labels[label])
    near = [
        (differing(machine.environment, here.environment.model_dump(mode="json")), machine.labels[label])
        for _, machine in sorted(machines.items())
        if label in machine.labels and _compatible(machine, machine.labels[label], here)
    ]
    if not near:
        return Held(Match.FOREIGN, anywhere=any(label in machine.labels for machine in machines.values()))
    differences, accepted = min(near, key=lambda one: len(one[0]))
    return Held(Match.COMPATIBLE, accepted, _named(differences))


def _compatible(machine: Machine, accepted: Accepted, here: Setting) -> bool:
    ours = here.environment.model_dump(mode="json")
    same = same_machine(machine.environment, machine.threads, ours, here.threads)
    return same and accepted.kernels == here.kernels


def same_machine(there: Mapping[str, Any], threads_there: int, here: Mapping[str, Any], threads_here: int) -> bool:
    """Whether two environments differ in no more than versions and cores."""
    alike = all(there.get(name) == here.get(name) for name in ("cpu", "instruction_sets", "system"))
    return alike and threads_there == threads_here


def differing(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What changed since, one clause each: ``torch 2.13.0 then``."""
    then, now = (
        {"Python": one.get("python"), "cores": one.get("cores"), **(one.get("libraries") or {})}
        for one in (there, here)
    )
    return [
        f"{name} {then[name]} then" if then.get(name) is not None else f"{name} not installed then"
        for name in sorted(then | now, key=str.lower)
        if then.get(name) != now.get(name)
    ]


def _named(differences: list[str]) -> str:
    more = len(differences) - MOST_NAMED
    return ", ".join(differences[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
