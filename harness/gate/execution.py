"""Running items: set-up judges, the call fails on a broken budget, and the reports carry what the item left."""

from __future__ import annotations

import traceback
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import pytest
from _pytest.skipping import evaluate_skip_marks

from harness.gate import naming, selection
from harness.gate.collection import BrokenSpec, GateItem, Key, SpecItem, SpecModule
from harness.gate.discovery import lost, wanted
from harness.gate.outcome import BudgetBroken, CaseOutcome, GateError, ItemOutcome, ItemReport, NoVerdict, properties
from harness.gate.runner import CaseRunner
from harness.gate.shipping import Shipping, labels_of
from harness.judge.verdict import State, Verdict
from harness.report.progress import Progress
from harness.spec.files import home_of, id_of, leads_nowhere, root_of

_OUTCOME = pytest.StashKey[ItemOutcome]()
_CASE = pytest.StashKey[CaseOutcome | None]()


class GateExecution:
    """The hooks of the process that runs items: the only one, or each xdist worker."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._strict = config.getoption("tier") == "release"
        self._collected: set[Path] = set()
        self._selected: Mapping[Key, Sequence[str]] = {}
        self._skipped: frozenset[tuple[Key, str]] = frozenset()
        self._shipping = Shipping(None, {})
        self._runner: CaseRunner | None = None

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Collect a YAML spec as a module."""
        return SpecModule.from_parent(parent, path=file_path) if wanted(file_path, parent) else None

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Collect links that lead nowhere beside what pytest finds in a folder."""
        report = yield
        if isinstance(collector, pytest.Directory) and report.passed:
            report.result += [SpecModule.from_parent(collector, path=link) for link in lost(collector)]
        elif isinstance(collector, SpecModule) and not report.result and leads_nowhere(collector.path):
            # `--lf` keeps the items of those files that are there.
            report.result = list(collector.collect())
        return report

    def pytest_collectstart(self, collector: pytest.Collector) -> None:
        """Keep which files there are; `--lf` may leave out all items of one."""
        if isinstance(collector, SpecModule):
            self._collected.add(collector.path)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, object, object]:
        """Leave out the specs of other tiers, and put the items of a case together whatever order others bring them in.

        Others are `--ff`, and plugins that shuffle.
        """
        selection.deselect_other_tiers(self._config, items)
        result = yield
        items[:] = selection.by_case(items)
        return result

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Learn what is to be judged, and what the specs of this run are called."""
        naming.learn(self._config, self._collected)
        self._selected = labels_of(session.items)
        specs = (item for item in session.items if isinstance(item, SpecItem))
        self._skipped = frozenset((item.key, item.label) for item in specs if _is_skipped(item))
        self._shipping = Shipping(self._config.getoption("export"), self._selected)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        """Judge the item, once its marks let it run and its fixtures are set up.

        What means nothing, or cannot tell yet, is an error; what cannot run here is skipped. An expected failure is an
        xfail: neither passed nor failed.
        """
        if not isinstance(item, GateItem):
            yield
            return
        if _OUTCOME in item.stash:
            # Run once more, by a plugin that does such things.
            del item.stash[_OUTCOME]
        if isinstance(item, SpecItem):
            self._shipping.open(item)
        elif isinstance(item, BrokenSpec):
            item.stash[_CASE] = self._shipping.withhold(item)
        yield
        outcome = item.stash[_OUTCOME] = self._outcome(item)
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
        """Hang on each report what is to reach the gathering process, under xdist too."""
        report = yield
        if isinstance(item, GateItem):
            spoiled = report.failed and (call.excinfo is None or not isinstance(call.excinfo.value, GateError))
            outcome = self._left(item, report, call) if call.when == "setup" else None
            if spoiled and isinstance(item, SpecItem):
                self._shipping.spoil(item, str(call.when))
            case = self._over(item) if call.when == "teardown" else None
            vars(report)["weighin"] = ItemReport(outcome=outcome, spoiled=spoiled, case=case).model_dump(mode="json")
        return report

    def pytest_sessionfinish(self) -> None:
        """End the workers."""
        if self._runner is not None:
            self._runner.close()

    def _outcome(self, item: GateItem) -> ItemOutcome:
        if not isinstance(item, SpecItem):
            assert isinstance(item, BrokenSpec)
            return _unjudged(item, State.INVALID, str(item.error))
        try:
            if self._runner is None:
                progress = Progress(self._config)
                self._runner = CaseRunner(self._config, progress, self._selected, self._skipped)
            return self._runner.judge(item)
        except Exception as error:
            # Whatever goes wrong, the item has its row, and the run its report.
            item.add_report_section("setup", "traceback", traceback.format_exc())
            return _unjudged(item, State.INVALID, f"{item.label}: could not be judged: {type(error).__name__}: {error}")

    def _left(self, item: GateItem, report: pytest.TestReport, call: pytest.CallInfo[None]) -> ItemOutcome:
        """What an item left; one that did not come to be judged leaves a row all the same."""
        outcome = item.stash.get(_OUTCOME, None)
        if outcome is None:
            why = call.excinfo.value if call.excinfo is not None else report.longreprtext
            if report.failed:
                what = f"its set-up failed, and nothing is known of it: {type(why).__name__}: {why}"
            else:
                what = f"skipped by a mark or a fixture: {why}"
            state = State.INVALID if report.failed else State.NOT_RUN
            outcome = _unjudged(item, state, f"{item.name.partition('[')[0]}: {what}")
        return self._shipping.judged(item, outcome) if isinstance(item, SpecItem) else outcome

    def _over(self, item: GateItem) -> CaseOutcome | None:
        """What became of the case whose last item it was."""
        if not isinstance(item, SpecItem):
            return item.stash.get(_CASE, None)
        if not self._shipping.over(item):
            return None
        return self._shipping.ship(item, self._runner.run_of(item) if self._runner is not None else None)


def _is_skipped(item: pytest.Item) -> bool:
    try:
        return evaluate_skip_marks(item) is not None
    except (Exception, pytest.fail.Exception):
        # A condition that cannot be evaluated fails the item's set-up, and nothing of it is measured.
        return True


def _unjudged(item: GateItem, state: State, sentence: str) -> ItemOutcome:
    """The row of an item that has no figures."""
    home = home_of(item.path)
    root = root_of(home)
    label, case = (item.label, item.case.name) if isinstance(item, SpecItem) else (item.name, "")
    row = Verdict(
        spec=item.called, case=case, label=label, metric=label, verdict=state, sentence=f"{sentence} → {state}"
    )
    return ItemOutcome(
        verdict=row, nodeid=item.nodeid, root=str(root), path=str(home), id=id_of(home, root),
        project=naming.names(item.config).project(root),
    )  # fmt: skip
