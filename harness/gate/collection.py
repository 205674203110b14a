"""Spec files as pytest modules: one YAML file is one module scope, each budget a test function.

A collected file is a `pytest.Module` without a Python module behind it (as pytest's own doctest text files are), and
its items are `pytest.Function`s, so fixtures, marks, ``-k``, ``-m``, ``path::name``, ``--lf``, JUnit and xdist work as
they do for Python tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from _pytest._code.code import TerminalRepr
from _pytest.mark.expression import Expression

from harness.errors import SpecError
from harness.gate.naming import names
from harness.gate.outcome import GateError
from harness.spec.expectation import EVIDENCE
from harness.spec.files import home_of, id_of, leads_nowhere, nowhere, root_of, shown, twin_of, twofold, with_case
from harness.spec.load import Case, SpecFile, load
from harness.spec.requirements import CAPABILITIES
from harness.spec.tiers import TIERS
from harness.tasks.base import TASKS

# Of a case: the file, with no link in its path, and the name of the case.
Key = tuple[Path, str]
# Which file has which id of which project; of what this run has collected.
_OWNERS = pytest.StashKey[dict[tuple[Path, str], Path]]()


class SpecModule(pytest.Module):
    """One YAML file, or a link that leads nowhere, behind which there was one, or a folder of them."""

    obj: Any = None
    named: bool = False

    def collect(self) -> Iterator[pytest.Item]:
        """One item a budget and one for the evidence, for each case; or the single item `spec` of a broken file.

        Where the command line names items of a file that is broken, it answers to those names.

        A file whose id another one has is as broken: the two would share what is kept by id. So is a link that leads
        nowhere: what it should gate does not run.
        """
        self.named = self.session.isinitpath(self.path)
        if leads_nowhere(self.path):
            yield from self._broken(nowhere(self.path), placeless=True)
            return
        home = home_of(self.path)
        root = root_of(home)
        if (other := self._twin(home, root)) is not None:
            yield from self._broken(twofold(home, other), placeless=True)
            return
        try:
            file = load(self.path)
        except SpecError as error:
            yield from self._broken(error)
            return
        # All items ask for the same fixtures (the autouse ones around this file): found once, not once an item.
        fixtures = self.session._fixturemanager.getfixtureinfo(self, _unreachable, None)  # type: ignore[arg-type]
        for case in file.cases:
            for label in (*case.spec.budgets, EVIDENCE):
                yield SpecItem.from_parent(
                    self, name=with_case(label, case.name), callobj=_unreachable, fixtureinfo=fixtures,
                    file=file, home=home, case=case, label=label,
                )  # fmt: skip

    def _broken(self, error: SpecError, *, placeless: bool = False) -> Iterator[pytest.Item]:
        """What stands for a file that cannot be read."""
        for name in self._asked() or ["spec"]:
            yield BrokenSpec.from_parent(self, name=name, callobj=_unreachable, error=error, placeless=placeless)

    def _asked(self) -> list[str]:
        """What the command line names of this file: were nothing called so, pytest would say that, and not why."""
        named = [one for one in getattr(self.session, "_initial_parts", ()) if one.path == self.path]
        names = [f"{one.parts[0]}{getattr(one, 'parametrization', None) or ''}" for one in named if len(one.parts) == 1]
        return list(dict.fromkeys(names))

    def _twin(self, home: Path, root: Path) -> Path | None:
        """The file that comes before this one and has its id: below `specs/`, or else earlier in this run."""
        if (other := twin_of(home)) is not None:
            return other
        owner = self.session.stash.setdefault(_OWNERS, {}).setdefault((root, id_of(home, root)), home)
        return owner if owner != home else None


@lru_cache
def _imagined(expression: str) -> tuple[str, ...]:
    """The marks of some spec that ``-m`` selects, for a file whose own nobody knows; only `spec` where it selects none.

    With one fixed set it would be hidden from either ``-m nightly`` or ``-m "not nightly"``.
    """
    requires = ((), *((one,) for one in CAPABILITIES), CAPABILITIES)
    for marks in product(TIERS, TASKS, requires):
        held = ("spec", *marks[:2], *marks[2])
        # What pytest cannot read, it says itself.
        with suppress(SyntaxError):
            if not expression or Expression.compile(expression).evaluate(lambda name, /, **_: name in held):  # noqa: B023
                return held
    return ("spec",)


@lru_cache
def _marks(*names: str) -> tuple[pytest.MarkDecorator, ...]:
    return tuple(getattr(pytest.mark, name) for name in names)


def _unreachable() -> None:
    """Stands for the test function; the items override what would call it."""


class GateItem(pytest.Function):
    """What budgets and broken specs share: how a failure is shown."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        if hasattr(self, "_id"):
            # As pytest reads an id back from its cache, for `--lf` and `--ff`: what is in brackets apart.
            self._id = type(self._id).parse(self.nodeid)

    @property
    def called(self) -> str:
        """What this run calls the spec, or would call it were it not broken."""
        return names(self.config).of(self.path)

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
        return self.path, 0, f"{self.called}::{self.name}"


class SpecItem(GateItem):
    """One budget of one case, or its evidence; `home` is the file, with no link in its path."""

    def __init__(self, *, file: SpecFile, home: Path, case: Case, label: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.file, self.home, self.case, self.label = file, home, case, label
        if self.config.pluginmanager.hasplugin("timeout"):
            # Each stage has a limit of its own (`measure.timeout_s`); one on tests would count waiting for the machine.
            self.add_marker(pytest.mark.timeout(0))
        for mark in _marks("spec", case.spec.tier, case.spec.task, *case.spec.requires):
            self.add_marker(mark)

    @property
    def key(self) -> Key:
        """The case that the item belongs to; specs of several projects may have the same id."""
        return self.home, self.case.name


class BrokenSpec(GateItem):
    """Stands for a file that cannot be read, so that it is not lost and the others still run.

    No choice by tier, task or requirement hides it: what the file would have been is not known.

    Attributes:
        error: what is wrong.
        placeless: it has no id of its own: another file has it, or it is a link that leads nowhere.
    """

    def __init__(self, *, error: SpecError, placeless: bool = False, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.error, self.placeless = error, placeless
        for mark in _marks(*_imagined(self.config.option.markexpr)):
            self.add_marker(mark)

    @property
    def called(self) -> str:
        """As the others are, or by its path in its project where it has no id of its own."""
        if not self.placeless:
            return super().called
        root = root_of(self.path)
        return names(self.config).below(root, shown(home_of(self.path), root))
