"""A slow spell costs a take, not the verdict; a breach has to show twice; a limit within the noise is left alone."""

import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from harness.judge.baseline import CaseBaseline, Machine, accept
from harness.judge.case import verdict
from harness.judge.expected import apply_expected_failures
from harness.judge.standing import Standing
from harness.judge.verdict import State
from harness.measurement import Exact, Timings
from harness.metrics.latency_ms import LatencyMs
from harness.retake import BREACH_S, retaken
from harness.run.environment import environment
from harness.run.job import Failure
from harness.run.pipeline import Run
from harness.run.result import Result
from harness.spec.expectation import ExpectFail
from harness.spec.schema import Spec

HERE = "fingerprint"
SPEC = Spec.model_validate(
    {
        "version": 1,
        "task": "image-classification",
        "model": {"source": "zoo", "name": "resnet20-digits"},
        "compress": [{"method": "float16"}],
        "budgets": {"size_mb": {"max_ratio": 0.9}, "latency_ms": {"max_ratio": 0.75}},
    }
)


def timed(reference: float, compressed: float, spread: float = 0.01, **more: object) -> Timings:
    """Twenty blocks around these milliseconds."""
    shift = spread * np.linspace(-1, 1, 20)[:, None] / 4
    shape = 1 + spread * np.linspace(-1, 1, 11)[None, :] + shift
    return Timings.model_validate(
        {"blocks_reference": reference * 1e6 * shape[::-1], "blocks": compressed * 1e6 * shape, **more}
    )


def run(times: Timings, **changes: object) -> Run:
    measured = {"size_mb": Exact(measured=2.0, measured_reference=5.0), "latency_ms": times}
    result = Result.model_validate(
        {"spec": "mine", "environment": environment(), "kernels": "x86", "measurements": measured,
         "seconds": {"measure": 3.0}, "waited": 1.0, **changes}
    )  # fmt: skip
    return Run(result, Path("artifact"))


def dead(**changes: object) -> Run:
    """A take that gave no figure at all."""
    failure = Failure(sentence="the measure stage was killed")
    return run(timed(10.0, 6.0), **{"failure": failure, "measurements": {}, **changes})


class Bench:
    """Judges against a baseline of 10 ms for float, and hands out the takes in turn."""

    def __init__(self, *takes: Run) -> None:
        self.takes, self.asked, self.said, self.seconds = list(takes), [], [], []
        held = accept(SPEC.budgets["latency_ms"], timed(10.0, 6.0), "x86", 0.95)
        size = accept(SPEC.budgets["size_mb"], Exact(measured=2.0, measured_reference=5.0), "x86", 0.95)
        machine = Machine(environment={}, threads=2, labels={"latency_ms": held})
        self.standing = Standing(CaseBaseline(portable={"size_mb": size}, machines={HERE: machine}), HERE)

    def judged(self, one: Run, label: str):
        return verdict(SPEC, one.result, label, self.standing)

    def measured(self, labels: list[str], least_s: float) -> Run:
        self.asked.append(labels)
        self.seconds.append(least_s)
        return self.takes.pop(0)

    def retaken(self, first: Run):
        return retaken(
            first, list(SPEC.budgets), self.judged, self.measured, SPEC.measure,
            lambda text, seconds: self.said.append(text), pauses=(0.0, 0.0),
        )  # fmt: skip


SLOW = {"reference": 16.0, "compressed": 10.4}


def test_a_slow_spell_is_taken_again_and_the_next_take_decides() -> None:
    bench = Bench(run(timed(10.1, 6.1), seconds={"measure": 2.0}, waited=0.5))
    first = run(timed(**SLOW))
    row = bench.judged(first, "latency_ms")
    assert row.verdict is State.INCONCLUSIVE
    assert row.disturbed
    last, notes = bench.retaken(first)
    assert bench.asked == [["latency_ms"]]
    row = bench.judged(last, "latency_ms")
    assert (row.verdict, row.disturbed, row.details["takes"]) == (State.PASS, False, 2.0)
    assert row.value == pytest.approx(6.1, rel=1e-3)
    assert (last.result.seconds, last.result.waited) == ({"measure": 5.0}, 1.5)
    assert last.result.measurements["size_mb"] == first.result.measurements["size_mb"]
    assert len(notes) == 1
    assert notes[0].startswith("latency_ms was taken 2 times; at first: latency_ms: 10.4 vs float 16.0, ratio 0.650 [")
    assert "the float model runs 60% slower than where its baseline was accepted" in notes[0]
    assert bench.said == ["waiting 0 s for a quieter machine, to take latency_ms again"]


GOOD, BAD = {"reference": 10.0, "compressed": 6.0}, {"reference": 10.0, "compressed": 9.0}
STRADDLING = {"reference": 10.0, "compressed": 7.5, "spread": 0.2}


@pytest.mark.parametrize(
    ("takes", "expected"),
    [
        ((BAD, BAD), State.FAIL),
        ((SLOW, BAD, BAD), State.FAIL),
        ((SLOW, BAD, GOOD), State.INCONCLUSIVE),
        # One against one: the third decides.
        ((BAD, GOOD, GOOD), State.PASS),
        ((BAD, GOOD, BAD), State.FAIL),
        ((BAD, GOOD, SLOW), State.INCONCLUSIVE),
        # What others disturbed, or its own noise leaves open, has not contradicted the breach.
        ((BAD, SLOW, GOOD), State.INCONCLUSIVE),
        ((BAD, SLOW, BAD), State.FAIL),
        ((BAD, STRADDLING), State.INCONCLUSIVE),
        # One that shows only in what was to be the last take is taken once more.
        ((SLOW, SLOW, BAD, BAD), State.FAIL),
        ((SLOW, SLOW, BAD, GOOD), State.INCONCLUSIVE),
    ],
)
def test_a_breach_has_to_show_twice_and_a_pass_after_it_too(takes: tuple[dict, ...], expected: State) -> None:
    bench = Bench(*(run(timed(**take)) for take in takes[1:]))
    last, notes = bench.retaken(run(timed(**takes[0])))
    row = bench.judged(last, "latency_ms")
    assert row.verdict is expected
    assert row.details["takes"] == len(takes)
    assert len(bench.asked) == len(takes) - 1
    assert bench.takes == []
    # Long from the first breach on.
    first = takes.index(BAD)
    assert bench.seconds == [0.0 if index < first else BREACH_S for index in range(len(takes) - 1)]
    assert notes[0].startswith(f"latency_ms was taken {len(takes)} times; at first: ")


WORSE, NEAR = {"reference": 10.0, "compressed": 7.0}, {"reference": 10.0, "compressed": 6.63, "spread": 0.05}
# Load covers the regression; float has another pace than was accepted, and nothing is held to the baseline.
LOADED, QUICK = {**WORSE, "load": 0.3}, {"reference": 8.4, "compressed": 5.88}


@pytest.mark.parametrize(
    ("takes", "expected"),
    [
        ((WORSE, WORSE), State.FAIL),
        ((WORSE, GOOD, GOOD), State.PASS),
        ((WORSE, GOOD, WORSE), State.FAIL),
        # It proves no regression, nor that there is none.
        ((WORSE, NEAR), State.INCONCLUSIVE),
        # One against one, and the third tells neither.
        ((WORSE, GOOD, NEAR), State.INCONCLUSIVE),
        ((WORSE, GOOD, QUICK), State.INCONCLUSIVE),
    ],
)
def test_a_regression_has_to_show_twice_and_so_has_that_there_is_none(takes: tuple[dict, ...], expected: State) -> None:
    """Within the limit of 0.75, and beyond what the baseline of 0.6 tolerates: 0.66."""
    bench = Bench(*(run(timed(**take)) for take in takes[1:]))
    near = bench.judged(run(timed(**NEAR)), "latency_ms")
    assert near.verdict is State.PASS
    assert near.sentence.endswith("; not proven to be within 10 % of the baseline ratio 0.600 → PASS")
    last, _ = bench.retaken(run(timed(**takes[0])))
    assert bench.judged(last, "latency_ms").verdict is expected
    assert bench.takes == []


@pytest.mark.parametrize(
    ("takes", "expected", "end"),
    [
        ((NEAR, GOOD), State.PASS, "limit 0.750 → PASS"),
        ((NEAR, NEAR), State.PASS, "; not proven to be within 10 % of the baseline ratio 0.600 → PASS"),
        ((NEAR, WORSE, WORSE), State.FAIL, "proven worse than the baseline ratio 0.600 by more than 10 % → FAIL"),
        ((NEAR, SLOW, GOOD), State.PASS, "limit 0.750 → PASS"),
    ],
)
def test_what_straddles_a_tolerated_regression_is_timed_once_more_and_longer(
    takes: tuple[dict, ...], expected: State, end: str
) -> None:
    bench = Bench(*(run(timed(**take)) for take in takes[1:]))
    last, notes = bench.retaken(run(timed(**takes[0])))
    row = bench.judged(last, "latency_ms")
    assert (row.verdict, bench.takes) == (expected, [])
    assert row.sentence.endswith(end)
    assert bench.seconds == [BREACH_S] * (len(takes) - 1)
    assert bench.said[0] == "taking latency_ms again, for 6 s: a regression is neither proven nor ruled out"
    assert notes[0].startswith(f"latency_ms was taken {len(takes)} times; at first: ")


@pytest.mark.parametrize(
    ("takes", "expected"),
    [
        ((GOOD, GOOD), State.EXPECTED),
        ((WORSE, WORSE), State.FAIL),
        # Of the regression the second take tells nothing, so the third is to bear it out.
        ((WORSE, LOADED, GOOD), State.FAIL),
        ((WORSE, LOADED, WORSE), State.FAIL),
        ((WORSE, QUICK, GOOD), State.FAIL),
        # One against one: the third decides, where it can tell.
        ((WORSE, GOOD, GOOD), State.EXPECTED),
        ((WORSE, GOOD, WORSE), State.FAIL),
        ((WORSE, GOOD, LOADED), State.FAIL),
        ((WORSE, GOOD, QUICK), State.FAIL),
    ],
)
def test_a_regression_beside_an_expected_failure_is_gone_only_where_it_is_kept_twice(
    monkeypatch: pytest.MonkeyPatch, takes: tuple[dict, ...], expected: State
) -> None:
    """Every take is beyond the limit of 0.55, which is borne; what was accepted tolerates 0.66."""
    terms = {"because": "a new engine", "owner": "mara", "until": "2999-12-31"}
    entry = {"metric": "latency_ms", "verdict": "FAIL", "bound": "max_ratio", **terms}
    changes = {
        "budgets": {**SPEC.budgets, "latency_ms": LatencyMs(max_ratio=0.55)},
        "expect_fail": [ExpectFail.model_validate(entry)],
    }
    monkeypatch.setattr(sys.modules[__name__], "SPEC", SPEC.model_copy(update=changes))
    bench = Bench(*(run(timed(**take)) for take in takes[1:]))
    last, _ = bench.retaken(run(timed(**takes[0])))
    row = apply_expected_failures(bench.judged(last, "latency_ms"), SPEC, date(2026, 6, 1))
    assert row.verdict is expected
    assert bench.takes == []
    if expected is State.FAIL:
        assert row.sentence.endswith("; nobody expects that of regress → FAIL")
        assert ("an earlier take proved a breach" in row.sentence) is (takes[-1] is not WORSE)


def test_a_bound_that_breaks_for_the_first_time_is_taken_again_whatever_broke_before() -> None:
    """First the limit of 0.75, then what the baseline tolerates, then neither: nothing has shown twice."""
    bench = Bench(*(run(timed(**take)) for take in (WORSE, GOOD)))
    last, _ = bench.retaken(run(timed(**BAD)))
    assert bench.judged(last, "latency_ms").verdict is State.INCONCLUSIVE
    assert bench.takes == []


@pytest.mark.parametrize("reference", [12.0, 8.4], ids=["slower", "quicker"])
@pytest.mark.parametrize("bounds", [{"max": 7.0, "max_ratio": 1.2}, {"max": 7.0}], ids=["beside a ratio", "alone"])
def test_a_breach_of_milliseconds_does_not_go_with_the_pace_of_float(
    monkeypatch: pytest.MonkeyPatch, bounds: dict[str, float], reference: float
) -> None:
    """At another pace than was accepted milliseconds are not enforced, and prove nothing against the first take."""
    budgets = {**SPEC.budgets, "latency_ms": LatencyMs(**bounds, regress=1.0)}
    monkeypatch.setattr(sys.modules[__name__], "SPEC", SPEC.model_copy(update={"budgets": budgets}))
    elsewhere = timed(reference, 0.9 * reference)
    bench = Bench(run(elsewhere), run(elsewhere))
    assert bench.judged(run(timed(**BAD)), "latency_ms").found["max"] is State.FAIL
    last, _ = bench.retaken(run(timed(**BAD)))
    row = bench.judged(last, "latency_ms")
    assert (row.verdict, row.found["max"]) == (State.INCONCLUSIVE, State.INCONCLUSIVE)
    assert "an earlier take proved a breach, [0.899, 0.901]" in row.sentence
    assert len(bench.asked) == 2


def test_what_its_own_noise_leaves_open_is_not_tried_again_for_another_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ratio straddles its limit; the milliseconds are decided, but for what float drifted."""
    budgets = {**SPEC.budgets, "latency_ms": LatencyMs(max=7.9, max_ratio=0.75)}
    monkeypatch.setattr(sys.modules[__name__], "SPEC", SPEC.model_copy(update={"budgets": budgets}))
    bench = Bench()
    row = bench.judged(run(timed(**STRADDLING)), "latency_ms")
    assert (row.found["max"], row.found["max_ratio"]) == (State.INCONCLUSIVE, State.INCONCLUSIVE)
    assert (row.disturbed, row.doubted) == (False, True)
    bench.retaken(run(timed(**STRADDLING)))
    assert bench.asked == []


def test_a_take_of_another_artifact_replaces_nothing() -> None:
    bench = Bench(run(timed(**GOOD), artifact={"model.pt": "b"}))
    last, notes = bench.retaken(run(timed(**BAD), artifact={"model.pt": "a"}))
    row = bench.judged(last, "latency_ms")
    assert (row.verdict, row.value) == (State.FAIL, pytest.approx(9.0, rel=1e-3))
    assert "so the one before counts: the artifact was made anew meanwhile, and is another one" in notes[0]


def test_a_take_is_no_longer_than_the_spec_lets_it_be(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = SPEC.measure.model_copy(update={"latency_s": 1.5})
    monkeypatch.setattr(sys.modules[__name__], "SPEC", SPEC.model_copy(update={"measure": measure}))
    bench = Bench(run(timed(**BAD)))
    bench.retaken(run(timed(**BAD)))
    assert bench.seconds == [1.5]
    assert bench.said == ["taking latency_ms again, for 1.5 s: a breach has to show twice"]


def test_a_breach_that_is_not_borne_out_is_told() -> None:
    bench = Bench(run(timed(**GOOD)), dead())
    last, notes = bench.retaken(run(timed(**BAD)))
    row = bench.judged(last, "latency_ms")
    assert row.verdict is State.INCONCLUSIVE
    assert "ratio 0.600 [0.599, 0.601], limit 0.750 (an earlier take proved a breach, [0.899, 0.901]: " in row.sentence
    assert bench.said[0] == "taking latency_ms again, for 6 s: a breach has to show twice"
    assert "and once more without result" in notes[0]


def test_a_breach_whose_second_take_dies_stands() -> None:
    bench = Bench(dead())
    last, notes = bench.retaken(run(timed(**BAD)))
    assert bench.judged(last, "latency_ms").verdict is State.FAIL
    assert "so the one before counts: the measure stage was killed" in notes[0]


def failing(label: str, sentence: str) -> Run:
    """A take in which one budget alone could not be measured."""
    return run(timed(**GOOD), measurements={}, failures={label: Failure(sentence=sentence)})


def test_a_breach_whose_second_take_has_no_figure_of_that_budget_stands() -> None:
    bench = Bench(failing("latency_ms", "the kernel changed its clock"))
    last, notes = bench.retaken(run(timed(**BAD)))
    row = bench.judged(last, "latency_ms")
    assert (row.verdict, row.value) == (State.FAIL, pytest.approx(9.0, rel=1e-3))
    assert "takes" not in row.details
    assert last.result.failures == {}
    assert notes[0].startswith(
        "latency_ms was taken once, and once more without result, so the one before counts: the kernel changed its "
        "clock; at first: "
    )


def test_what_was_contradicted_stays_open_where_the_third_take_has_no_figure() -> None:
    bench = Bench(run(timed(**GOOD)), failing("latency_ms", "the kernel changed its clock"))
    last, _ = bench.retaken(run(timed(**BAD)))
    assert bench.judged(last, "latency_ms").verdict is State.INCONCLUSIVE
    assert bench.takes == []


def test_a_size_that_is_too_large_is_weighed_once() -> None:
    bench = Bench()
    heavy = run(timed(**GOOD))
    measured = {**heavy.result.measurements, "size_mb": Exact(measured=4.9, measured_reference=5.0)}
    heavy = Run(heavy.result.model_copy(update={"measurements": measured}), heavy.artifact)
    assert bench.judged(heavy, "size_mb").verdict is State.FAIL
    bench.retaken(heavy)
    assert bench.asked == []


def test_what_stays_disturbed_stays_inconclusive() -> None:
    bench = Bench(run(timed(**SLOW)), run(timed(**SLOW)))
    last, notes = bench.retaken(run(timed(**SLOW)))
    assert bench.judged(last, "latency_ms").verdict is State.INCONCLUSIVE
    assert len(bench.asked) == 2
    assert "taken 3 times" in notes[0]


@pytest.mark.parametrize(
    "times",
    [timed(**GOOD), timed(**STRADDLING)],
    ids=["passes", "its own noise straddles the limit"],
)
def test_what_others_did_not_disturb_is_taken_once(times: Timings) -> None:
    bench = Bench()
    last, notes = bench.retaken(run(times))
    assert bench.asked == []
    assert notes == ()
    assert "takes" not in last.result.measurements["latency_ms"].details


def test_on_its_limit_it_is_not_taken_until_it_comes_out_one_way() -> None:
    """Load is there as well, but the interval alone has not decided: taking it again would spend error unseen."""
    bench = Bench()
    times = timed(10.0, 7.5, 0.2, load=0.3)
    row = bench.judged(run(times), "latency_ms")
    assert (row.verdict, row.disturbed, row.doubted) == (State.INCONCLUSIVE, False, True)
    bench.retaken(run(times))
    assert bench.asked == []


def test_a_take_whose_worker_dies_leaves_the_one_before() -> None:
    bench = Bench(dead(seconds={"measure": 2.0}, waited=0.5))
    last, notes = bench.retaken(run(timed(**SLOW)))
    row = bench.judged(last, "latency_ms")
    assert row.verdict is State.INCONCLUSIVE
    assert last.result.failure is None
    # It is none of the takes, and what became of it is told; so is the time that it cost.
    assert "takes" not in row.details
    (note,) = notes
    assert note.startswith(
        "latency_ms was taken once, and once more without result, so the one before counts: the measure stage was "
        "killed; at first: latency_ms: 10.4 vs float 16.0"
    )
    assert (last.result.seconds, last.result.waited) == ({"measure": 5.0}, 1.5)


def test_a_second_further_take_that_fails_leaves_the_first_one() -> None:
    bench = Bench(run(timed(16.0, 10.5)), dead())
    last, notes = bench.retaken(run(timed(**SLOW)))
    row = bench.judged(last, "latency_ms")
    assert (row.verdict, row.details["takes"]) == (State.INCONCLUSIVE, 2.0)
    assert row.value == pytest.approx(10.5, rel=1e-3)
    assert notes[0].startswith("latency_ms was taken 2 times, and once more without result, ")


def test_a_take_that_the_machine_refuses_leaves_the_one_before() -> None:
    bench = Bench(dead(failure=None, not_here="this machine has no cuda"))
    last, notes = bench.retaken(run(timed(**SLOW)))
    assert bench.judged(last, "latency_ms").verdict is State.INCONCLUSIVE
    assert "so the one before counts: this machine has no cuda; at first" in notes[0]
