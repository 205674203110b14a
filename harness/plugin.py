"""The pytest plugin: hooks that delegate, nothing else. Registered as `weighin` under the entry point `pytest11`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.gate import options
from harness.run import server_process


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare `--tier`, `--update-baselines`, `--weighin-report` and the others."""
    options.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Let the libraries that workers need load while pytest and the conftests still do."""
    if options.expects_specs(early_config):
        server_process.start_early(threads=1)


def pytest_unconfigure() -> None:
    """End what was started early and not needed."""
    server_process.end_waiting()


def pytest_configure(config: pytest.Config) -> None:
    """Check options, register marks, and take part as the process that runs items, that gathers them, or as both."""
    options.check_options(config)
    options.add_marks(config)
    from harness.gate import destinations
    from harness.gate.execution import GateExecution
    from harness.gate.session import GateSession

    destinations.check_folders(config)
    config.pluginmanager.register(GateExecution(config), "weighin-execution")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(GateSession(config), "weighin-session")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a YAML spec as a module."""
    from harness.gate import collection

    return collection.SpecModule.from_parent(parent, path=file_path) if collection.wanted(file_path, parent) else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the specs of other tiers."""
    from harness.gate import selection

    selection.deselect_other_tiers(config, items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the items of one spec on one worker."""
    from harness.gate import selection

    return selection.scheduler(config, log)
