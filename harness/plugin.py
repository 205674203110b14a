"""The pytest plugin: hooks that delegate, nothing else. Registered as `weighin` under the entry point `pytest11`."""

from __future__ import annotations

import pytest

from harness.errors import WeighinError
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
    try:
        options.add_task_marks(config)
        from harness.gate import destinations
        from harness.gate.execution import GateExecution
        from harness.gate.selection import KeptBroken
        from harness.gate.session import GateSession
    except WeighinError as error:
        # Parts of another distribution are broken: no reason to stop tests that have nothing to do with specs.
        from harness.gate.unusable import UnusableGate

        config.pluginmanager.register(UnusableGate(error), "weighin-unusable")
        return
    destinations.check_folders(config)
    config.pluginmanager.register(GateExecution(config), "weighin-execution")
    config.pluginmanager.register(KeptBroken(config), "weighin-kept-broken")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(GateSession(config), "weighin-session")
