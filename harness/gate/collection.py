"""Spec files as pytest modules: one YAML file is one module scope, each budget a test function.

A collected file is a `pytest.Module` without a Python module behind it (as pytest's own doctest text files are), and
its items are `pytest.Function`s, so fixtures, marks, ``-k``, ``-m``, ``path::name``, ``--lf``, JUnit and xdist work as
they do for Python tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from _pytest._code.code import TerminalRepr

from harness.errors import Problem, SpecError
from harness.gate.outcome import GateError
from harness.judge.case import EVIDENCE
from harness.spec.load import MUST_FAIL, SUFFIXES, Case, SpecFile, id_of, load, root_of, shown


def wanted(path: Path, parent: pytest.Collector) -> bool:
    """Whether a file is a spec of this run: YAML below a `specs/`, or YAML that was named on the command line.

    Stems (`_*.yaml`) and `must-fail/` are collected only when they are named.
    """
    if path.suffix not in SUFFIXES:
        return False
    if parent.session.isinitpath(path):
        return True
    below = _folders(path, parent.config.rootpath)
    if "specs" not in below or path.name.startswith("_"):
        return False
    if MUST_FAIL in below:
        folder = next(part for part in path.parents if part.name == MUST_FAIL)
        return parent.session.isinitpath(folder) or any(
            parent.session.isinitpath(part) for part in path.parents if folder in part.parents
        )
    return True


def _folders(path: Path, root: Path) -> list[str]:
    """Names of the folders that a file lies in.

    Those above a project do not count: one that was checked out below somebody's `specs/` is not all specs. A run that
    was started inside of a project's `specs/` has them above it.
    """
    if path.is_relative_to(root):
        inside = [part.name for part in path.relative_to(root).parents]
        if "specs" in inside or (root / "specs").is_dir():
            return inside
    return [part.name for part in path.parents]


class SpecModule(pytest.Module):
    """One YAML file."""

    obj: Any = None
    named: bool = False

    def collect(self) -> Iterator[pytest.Item]:
        """One item a budget and one for the evidence, for each case; or the single item `spec` of a broken file."""
        self.named = self.session.isinitpath(self.path)
        try:
            file = load(self.path)
        except Exception as fault:
            # Whatever is wrong with one file, it becomes an item: raising here would stop the run of all the others.
            error = fault if isinstance(fault, SpecError) else _unexpected(self.path, fault)
            yield BrokenSpec.from_parent(self, name="spec", callobj=_unreachable, error=error)
            return
        # All items ask for the same fixtures (the autouse ones around this file): found once, not once an item.
        fixtures = self.session._fixturemanager.getfixtureinfo(self, _unreachable, None)  # type: ignore[arg-type]
        for case in file.cases:
            suffix = f"[{case.name}]" if case.name else ""
            for label in (*case.spec.budgets, EVIDENCE):
                yield SpecItem.from_parent(
                    self, name=f"{label}{suffix}", callobj=_unreachable, fixtureinfo=fixtures,
                    file=file, case=case, label=label,
                )  # fmt: skip


@lru_cache
def _marks(*names: str) -> tuple[pytest.MarkDecorator, ...]:
    return tuple(getattr(pytest.mark, name) for name in names)


def _unexpected(path: Path, fault: Exception) -> SpecError:
    return SpecError(
        [Problem(shown(path, root_of(path)), 1, 1, "", f"cannot be loaded: {type(fault).__name__}: {fault}")]
    )


def _unreachable() -> None:
    """Stands for the test function; the items override what would call it."""


class GateItem(pytest.Function):
    """What budgets and broken specs share: how a failure is shown."""

    @property
    def spec_id(self) -> str:
        """The id of the spec, or the one that a broken file would have."""
        return id_of(self.path, root_of(self.path))

    def _repr_failure_py(  # type: ignore[override]  # pytest asks this for errors of the set-up
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> str | TerminalRepr:
        if isinstance(excinfo.value, GateError):
            return str(excinfo.value)
        return super()._repr_failure_py(excinfo, style)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str | TerminalRepr:  # type: ignore[override]
        """The sentence of a verdict, without a traceback."""
        return self._repr_failure_py(excinfo)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the item stands: the YAML file. The last part heads what a failure prints, and names the spec too."""
        return self.path, None, f"{self.spec_id}::{self.name}"


class SpecItem(GateItem):
    """One budget of one case, or its evidence."""

    def __init__(self, *, file: SpecFile, case: Case, label: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.file, self.case, self.label = file, case, label
        for mark in _marks("spec", case.spec.tier, case.spec.task, *case.spec.requires):
            self.add_marker(mark)

    @property
    def spec_id(self) -> str:
        """The id of the spec."""
        return self.file.id

    @property
    def key(self) -> tuple[str, str]:
        """The case that the item belongs to."""
        return self.file.id, self.case.name


class BrokenSpec(GateItem):
    """Stands for a file that cannot be read, so that it is not lost and the others still run."""

    def __init__(self, *, error: SpecError, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.error = error
        self.add_marker("spec")
