from __future__ import annotations

import io
from collections.abc import Collection

import pytest
from _pytest.terminal import TerminalReporter

from harness.judge.verdict import Range, State, Verdict
from harness.report.terminal import write_table
from harness.spec.expectation import ExpectFail


def ratio(estimate: float) -> Range:
    return Range(of="ratio", estimate=estimate, lower=estimate, upper=estimate, confidence=0.95, method="exact")


def drop(estimate: float) -> Range:
    return Range(of="drop", estimate=estimate, lower=-0.004, upper=0.008, confidence=0.95, method="exact test")


SIZE = Verdict(
    spec="vision/mine", label="size_mb", metric="size_mb", verdict=State.FAIL, value=0.471013, reference=1.487163,
    unit="MB", bound={"max_ratio": 0.35}, interval=ratio(0.471013 / 1.487163), sentence="size_mb: … → FAIL",
)  # fmt: skip
TOP1 = Verdict(
    spec="vision/mine", label="top1", metric="top1", verdict=State.PASS, value=0.9729, reference=0.9743,
    bound={"max_drop": 0.02, "reference_min": 0.96}, interval=drop(0.0014), n=700, sentence="top1: … → PASS",
)  # fmt: skip
LOSS = TOP1.model_copy(
    update={"label": "loss", "bound": {"max_rise": 0.1}, "interval": drop(-0.05), "value": 1.05, "reference": 1.0}
)
ELSEWHERE = Verdict(
    spec="vision/elsewhere", case="w4", label="top1", metric="top1", verdict=State.NOT_RUN, bound={"min": 0.9},
    sentence="top1: this machine has no cuda → NOT RUN",
)  # fmt: skip
UNACCEPTED = SIZE.model_copy(update={"unaccepted": True})


def table(pytestconfig: pytest.Config, width: int, rows: list[Verdict], notes: Collection[str] = ()) -> list[str]:
    stream = io.StringIO()
    terminal = TerminalReporter(pytestconfig, stream)
    terminal._tw.fullwidth = width
    write_table(terminal, rows, list(notes))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_wide_terminal_gets_one_line_a_budget(pytestconfig: pytest.Config) -> None:
    assert table(pytestconfig, 120, [SIZE, TOP1], ["a note"])[1:] == [
        "  budget    float  compressed  change       bound                          verdict",
        "vision/mine",
        "  size_mb   1.487   0.4710 MB  ratio 0.317  ratio ≤ 0.350                  FAIL",
        "  top1     0.9743      0.9729  drop 0.0014  drop ≤ 0.0200, float ≥ 0.9600  PASS",
        "",
        "1 FAIL, 1 PASS",
        "a note",
    ]


def test_a_label_that_is_no_metric_is_shown_with_the_one_that_it_measures(pytestconfig: pytest.Config) -> None:
    small = SIZE.model_copy(update={"label": "small"})
    lines = table(pytestconfig, 120, [small, TOP1])
    assert [line.split("  ")[1] for line in lines[3:5]] == ["small (size_mb)", "top1"]


def test_a_narrow_terminal_stacks_the_bounds_and_keeps_to_its_width(pytestconfig: pytest.Config) -> None:
    lines = table(pytestconfig, 80, [UNACCEPTED, TOP1])
    assert lines[3:6] == [
        "  size_mb   1.487   0.4710 MB  ratio 0.317  ratio ≤ 0.350   FAIL no baseline",
        "  top1     0.9743      0.9729  drop 0.0014  drop ≤ 0.0200   PASS",
        "                                            float ≥ 0.9600",
    ]
    assert max(map(len, lines)) <= 80


def test_a_failure_for_want_of_a_baseline_is_told_from_a_broken_budget(pytestconfig: pytest.Config) -> None:
    broken = SIZE.model_copy(update={"label": "params_m"})
    assert "1 FAIL (only because no baseline is stored), 1 PASS" in table(pytestconfig, 80, [UNACCEPTED, TOP1])
    lines = table(pytestconfig, 80, [UNACCEPTED, broken])
    assert "2 FAIL (1 of them only because no baseline is stored)" in lines
    assert [line.endswith("FAIL no baseline") for line in lines[3:5]] == [True, False]


def test_a_rise_has_the_sign_of_a_rise(pytestconfig: pytest.Config) -> None:
    assert "rise 0.0500" in "\n".join(table(pytestconfig, 80, [LOSS]))


def test_why_something_was_not_run_is_told_once(pytestconfig: pytest.Config) -> None:
    second = ELSEWHERE.model_copy(
        update={"label": "evidence", "sentence": "evidence: this machine has no cuda → NOT RUN"}
    )
    lines = table(pytestconfig, 80, [TOP1, ELSEWHERE, second])
    assert lines[-2:] == ["2 NOT RUN, 1 PASS", "not run: vision/elsewhere[w4]: this machine has no cuda"]


def test_an_expected_failure_is_shown_with_its_terms(pytestconfig: pytest.Config) -> None:
    terms = {"metric": "size_mb", "verdict": "FAIL", "bound": "max_ratio", "because": "why", "owner": "mara"}
    entry = ExpectFail.model_validate({**terms, "until": "2026-12-31"})
    borne = SIZE.model_copy(update={"verdict": State.EXPECTED, "expected": (entry,)})
    lines = table(pytestconfig, 80, [borne, TOP1])
    assert lines[3].endswith("ratio ≤ 0.350   EXPECTED FAIL")
    assert max(map(len, lines[:-1])) <= 80
    assert lines[-2:] == [
        "1 EXPECTED FAIL, 1 PASS",
        "expected: vision/mine: size_mb FAIL (max_ratio) until 2026-12-31, mara: why",
    ]
