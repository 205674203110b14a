"""Command-line options and marks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.spec.tiers import TIERS

TIER_CHOICES = (*TIERS, "all")


def add_options(parser: pytest.Parser) -> None:
    """Declare the options of a gated run."""
    group = parser.getgroup("weighin", "weighin: release gate for compressed models")
    group.addoption(
        "--tier", choices=TIER_CHOICES, default=None,
        help="run specs up to this tier: ci (default) < nightly < release; `all` is release without its strictness "
        "(release fails what cannot run here and takes nothing from the cache). A spec named on the command line runs "
        "whatever its tier, unless --tier is given",
    )  # fmt: skip
    group.addoption(
        "--update-baselines", action="store_true",
        help="accept what is measured as the new baseline of every case whose budgets all hold; needs --reason",
    )  # fmt: skip
    group.addoption("--reason", metavar="TEXT", help="why the new baselines are acceptable; kept in them")
    group.addoption("--weighin-report", metavar="DIR", type=Path, help="write report.json and report.html there")
    group.addoption(
        "--export", metavar="DIR", type=Path, help="write artifact and manifest of every case that passes there"
    )
    group.addoption(
        "--no-cache", action="store_true", help="take no artifact and no outcome from the cache, and leave none"
    )


def expects_specs(config: pytest.Config) -> bool:
    """Whether a command line that is still being read looks as if specs will be measured by this very process."""
    asked = config.known_args_namespace
    if asked.collectonly or asked.help or asked.version or getattr(asked, "numprocesses", None):
        return False
    named = any(Path(name.partition("::")[0]).suffix in (".yaml", ".yml") for name in asked.file_or_dir)
    return named or re.search(r"(?<!not )\bspec\b", asked.markexpr) is not None


def check_options(config: pytest.Config) -> None:
    """Refuse options that do not go together.

    Raises:
        pytest.UsageError: `--update-baselines` without a reason, or a reason without it.
    """
    updating, reason = config.getoption("update_baselines"), config.getoption("reason")
    if updating and not (reason or "").strip():
        raise pytest.UsageError('--update-baselines needs --reason "why the new figures are acceptable"')
    if reason and not updating:
        raise pytest.UsageError("--reason goes with --update-baselines")


def add_marks(config: pytest.Config) -> None:
    """Register the marks that spec items carry, so that --strict-markers accepts them."""
    from harness.spec.requirements import CAPABILITIES

    config.addinivalue_line("markers", "spec: a budget of a weighin spec")
    for tier in TIERS:
        config.addinivalue_line("markers", f"{tier}: a spec of this tier")
    for capability in CAPABILITIES:
        config.addinivalue_line("markers", f"{capability}: a spec that requires it")


def add_task_marks(config: pytest.Config) -> None:
    """Register the marks of tasks, which other distributions may add to.

    Raises:
        WeighinError: what one of them adds cannot be loaded.
    """
    from harness.tasks.base import TASKS

    for task in TASKS:
        config.addinivalue_line("markers", f"{task}: a spec of this task")
