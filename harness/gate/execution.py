"""Running items: set-up judges, the call fails on a broken budget, and the report carries what the item left."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from harness.gate import naming
from harness.gate.collection import BrokenSpec, GateItem, SpecItem
from harness.gate.export import withdraw_all
from harness.gate.outcome import BudgetBroken, ItemOutcome, NoVerdict, properties
from harness.gate.runner import CaseRunner, labels_by_verdict, unexported, withdrawal_failed
from harness.judge.verdict import State, Verdict
from harness.report.progress import Progress
from harness.spec.files import id_of, root_of

_OUTCOME = pytest.StashKey[ItemOutcome]()


class GateExecution:
    """The hooks of the process that runs items: the only one, or each xdist worker."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._strict = config.getoption("tier") == "release"
        self._runner: CaseRunner | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Learn what the specs of this run are called."""
        naming.learn(self._config, (item.path for item in session.items if isinstance(item, GateItem)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Judge the item. What means nothing, or cannot tell yet, is an error; what cannot run here is skipped.

        An expected failure is an xfail: neither passed nor failed.
        """
        if not isinstance(item, GateItem):
            return
        outcome = self._outcome(item)
        item.stash[_OUTCOME] = outcome
        item.user_properties.extend(properties(outcome.verdict))
        state, sentence = outcome.verdict.verdict, outcome.message or outcome.verdict.sentence
        if state in (State.INVALID, State.INCONCLUSIVE):
            raise NoVerdict(sentence)
        if state is State.NOT_RUN and not self._strict:
            pytest.skip(sentence)
        if state is State.EXPECTED:
            # Does nothing under --runxfail; then the call fails.
            pytest.xfail(sentence)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """A broken budget is a failure of the call, and so is what did not run in a release."""
        outcome = pyfuncitem.stash.get(_OUTCOME, None)
        if outcome is None:
            return None
        if outcome.verdict.verdict is not State.PASS:
            raise BudgetBroken(outcome.verdict.sentence)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Hang what the item left on its first report, which reaches the gathering process under xdist too."""
        report = yield
        outcome = item.stash.get(_OUTCOME, None)
        if outcome is not None:
            vars(report)["weighin"] = outcome.model_dump(mode="json") if call.when == "setup" else {}
        return report

    def pytest_sessionfinish(self) -> None:
        """End the workers."""
        if self._runner is not None:
            self._runner.close()

    def _outcome(self, item: GateItem) -> ItemOutcome:
        if isinstance(item, BrokenSpec):
            row = Verdict(
                spec=item.called, label="spec", metric="spec", verdict=State.INVALID,
                sentence=f"{item.error} → {State.INVALID}",
            )  # fmt: skip
            home = item.path.resolve()
            root = root_of(home)
            outcome = ItemOutcome(verdict=row, nodeid=item.nodeid, root=str(root), path=str(home), id=id_of(home, root))
            try:
                return outcome.model_copy(update={"exported": self._unexported(item, row)})
            except OSError as error:
                return outcome.model_copy(update={"exported": withdrawal_failed(row.spec, error), "failed": True})
        assert isinstance(item, SpecItem)
        if self._runner is None:
            self._runner = CaseRunner(self._config, Progress(self._config))
            self._runner.select(item.session.items)
        return self._runner.judge(item)

    def _unexported(self, item: BrokenSpec, row: Verdict) -> str:
        """Which cases a file had that cannot be read any more is not known: none of them is left to be shipped."""
        folder = self._config.getoption("export")
        if folder is None:
            return ""
        # A twin has no place of its own.
        gone = [] if item.twin else withdraw_all(folder, row.spec)
        return unexported(row.spec, labels_by_verdict([row]), ", ".join(map(str, gone)))
