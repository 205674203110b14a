"""Under xdist one spec stays on one worker, and a project without specs keeps the scheduler that it has."""

from __future__ import annotations

import pytest

# Needs no worker: nothing of it is run.
SPEC = """version: 1
task: image-classification
model: {source: zoo, name: lenet5-digits}
data: {source: digits}
compress: [{method: float16}]
requires: [amx_int8, cuda]
budgets: {size_mb: {max_ratio: 0.6}, params_m: {max: 1}}
"""
OWN = """
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import WorkStealingScheduling
    return WorkStealingScheduling(config, log)
"""


@pytest.mark.parametrize(
    ("arguments", "own", "scheduler"),
    [
        (["specs", "."], "", "OneSpecOneWorker"),
        # Specs are there, and none of them is selected.
        (["specs", ".", "-m", "not spec"], "", "LoadScheduling"),
        (["test_own.py"], "", "LoadScheduling"),
        (["specs", ".", "--dist", "loadfile"], "", "LoadFileScheduling"),
        (["specs", "."], OWN, "WorkStealingScheduling"),
    ],
    ids=["specs", "none selected", "none there", "another mode", "another scheduler"],
)
def test_the_scheduler_is_xdists_own_unless_specs_are_selected(
    pytester: pytest.Pytester, arguments: list[str], own: str, scheduler: str
) -> None:
    (pytester.path / "specs").mkdir()
    (pytester.path / "specs" / "mine.yaml").write_text(SPEC)
    pytester.makepyfile(test_own="def test_own(): pass\n")
    pytester.makeconftest(own)
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-n", "2", "-v", *arguments)
    assert done.ret == 0
    done.stdout.fnmatch_lines([f"scheduling tests via {scheduler}"])
    workers = {line.split("]")[0] for line in done.stdout.lines if line.startswith("[gw") and "mine.yaml" in line}
    assert len(workers) == (1 if scheduler in ("OneSpecOneWorker", "LoadFileScheduling") else len(workers))
