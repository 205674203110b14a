"""What the pages say of NOT RUN is what the judge says where nothing but a figure of one machine is bounded."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from harness.judge.baseline import CaseBaseline, Machine, accept
from harness.judge.case import verdict
from harness.judge.place import NOWHERE_ACCEPTED
from harness.judge.standing import Standing
from harness.judge.verdict import State, Verdict
from harness.measurement import Timings
from harness.run.environment import environment
from harness.run.result import Result
from harness.spec.schema import Spec

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "verdicts.md").read_text()
README = (ROOT / "README.md").read_text()


def judged(*, elsewhere: bool = False, **bounds: float) -> Verdict:
    """A latency budget for which no baseline was accepted on this machine, but maybe elsewhere."""
    spec = Spec.model_validate(
        {
            "version": 1,
            "task": "image-classification",
            "model": {"source": "zoo", "name": "lenet5-digits"},
            "compress": [{"method": "float16"}],
            "budgets": {"latency_ms": bounds},
        }
    )
    blocks = np.ones((20, 11))
    times = Timings.model_validate({"blocks_reference": 3.9e6 * blocks, "blocks": 2.6e6 * blocks})
    result = Result(spec="mine", environment=environment(), measurements={"latency_ms": times})
    accepted = accept(spec.budgets["latency_ms"], times, result.kernels, 0.95)
    machine = Machine(environment={}, threads=1, labels={"latency_ms": accepted})
    baseline = CaseBaseline(machines={"there": machine} if elsewhere else {})
    return verdict(spec, result, "latency_ms", Standing(baseline, "here"))


def test_a_limit_in_milliseconds_alone_is_not_run_elsewhere_in_the_words_of_the_page() -> None:
    row = judged(elsewhere=True, max=5.0)
    assert row.verdict is State.NOT_RUN
    told = " ".join(re.findall(r"    (latency_ms: .*?→ NOT RUN)", PAGE, re.DOTALL)[0].split())
    assert told == row.sentence


def test_where_nobody_has_accepted_a_time_that_is_said_in_the_words_of_the_page() -> None:
    row = judged(max=5.0)
    assert row.verdict is State.NOT_RUN
    assert row.sentence.endswith(f"max 5.000 ms is not enforced here ({NOWHERE_ACCEPTED}) → NOT RUN")
    words, _, command = NOWHERE_ACCEPTED.partition(": accept one with ")
    assert (f"`{words}`" in " ".join(PAGE.split()), command) == (True, '--update-baselines --reason "…"')


def test_the_way_out_that_the_page_shows_is_one() -> None:
    assert judged(max=5.0, max_ratio=0.8).verdict is State.PASS
    assert judged(max=5.0, max_ratio=0.5).verdict is State.FAIL
    assert "`max_ratio`" in PAGE.partition("### Not run")[2].partition("\n#")[0]


@pytest.mark.parametrize("text", [PAGE, README], ids=["verdicts", "README"])
def test_both_tables_name_both_causes(text: str) -> None:
    row = next(line for line in text.splitlines() if line.startswith("| `NOT RUN` |"))
    assert "`requires`" in row
    assert "no baseline" in row
