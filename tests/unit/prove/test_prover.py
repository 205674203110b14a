"""How rows become a fate: what counts as a catch, what does not, and what is refused.

The pipeline's results are chosen here; what judges them is the gate.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness import baselines
from harness.evidence import Evidence, TensorFact
from harness.judge.baseline import Baseline, CaseBaseline, Machine, accept
from harness.measurement import Exact, Pairs, Timings
from harness.mutants.base import mutants
from harness.prove.progress import Live
from harness.prove.prover import prove
from harness.prove.trial import Fate, Proof
from harness.run.environment import environment
from harness.run.job import Failure
from harness.run.mutating import NotMade
from harness.run.pipeline import Run
from harness.run.result import Result
from harness.spec.load import load

KERNELS = "torch AVX2"
SPEC = """version: 1
task: image-classification
model: {source: zoo, name: lenet5-digits}
data: {source: digits}
compress: [{method: float16}]
budgets: {%s}
"""
FACT = TensorFact(name="w", dtype="float16", shape=(2, 2), zeros=0)


def size(value: float) -> Exact:
    return Exact(measured=value, measured_reference=10.0)


def right(count: int) -> Pairs:
    outcomes = [np.arange(400) < one for one in (392, count)]
    return Pairs(outcomes_reference=outcomes[0], outcomes=outcomes[1], units=np.arange(400), data="d")


def times(compressed: float, spread: float = 0.005, load: float = 0.0) -> Timings:
    shape = 1 + spread * np.linspace(-1, 1, 21)[:, None] * np.ones((1, 5))
    return Timings(blocks_reference=2e6 * shape[::-1], blocks=compressed * 1e6 * shape, load=load)


class Results:
    """Gives what was measured without a fault, and with one."""

    def __init__(self, green: dict[str, object], mutated: dict[str, object] | Exception) -> None:
        self.green, self.mutated = green, mutated
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    def run(self, file, case, labels, watch, least_s=0.0) -> Run:
        self.asked.append(("", tuple(labels)))
        return Run(result(self.green, labels), None)

    def run_mutated(self, file, case, labels, mutant, watch, least_s=0.0) -> Run:
        self.asked.append((mutant, tuple(labels)))
        if isinstance(self.mutated, Exception):
            raise self.mutated
        return Run(result({**self.green, **self.mutated}, labels), None)


def result(given: dict[str, object], labels) -> Result:
    facts = Evidence(operators={"aten::linear": 1}, tensors=(FACT,))
    failure = given.get("failure")
    return Result(
        spec="mine", environment=environment(), kernels=KERNELS, reference=facts, compressed=facts,
        measurements={label: given[label] for label in labels} if failure is None else {}, failure=failure,
        contradictions=given.get("contradictions", ()),
    )  # fmt: skip


@pytest.fixture
def proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Proof, Results]]:
    """Prove a spec whose baseline is what it gives without a fault."""
    monkeypatch.setattr("harness.retake.time.sleep", lambda seconds: None)

    def run(budgets: str, green: dict[str, object], mutated, *names: str, accepted=None) -> tuple[Proof, Results]:
        path = tmp_path / "specs" / "mine.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(SPEC % budgets)
        file = load(path)
        kept: dict[bool, dict[str, object]] = {False: {}, True: {}}
        for label, measured in {**green, **(accepted or {})}.items():
            if label == "contradictions":
                continue
            metric = file.cases[0].spec.budgets[label]
            kept[metric.machine][label] = accept(metric, measured, KERNELS, 0.95)
        fingerprint = environment().fingerprint(1, KERNELS)
        machine = Machine(environment=environment().model_dump(mode="json"), threads=1, labels=kept[True])
        case = CaseBaseline(portable=kept[False], machines={fingerprint: machine} if kept[True] else {})
        baselines.write_all(tmp_path, {"mine": Baseline(spec="mine", cases={"": case})})
        pipeline, every = Results(green, mutated), mutants()
        with open("/dev/null", "w") as nowhere:
            chosen = [every[name] for name in names]
            return prove(pipeline, file, file.cases[0], chosen, Live(nowhere)), pipeline

    return run


LATENCY = "latency_ms: {max_ratio: 0.54}"


def fates(proof: Proof) -> dict[str, Fate]:
    return {trial.mutant: trial.fate for trial in proof.trials}


def test_a_row_that_turns_is_a_catch(proven):
    proof, pipeline = proven(
        "size_mb: {max_ratio: 0.41}", {"size_mb": size(4.0)}, {"size_mb": size(4.2)}, "padded-file"
    )
    (trial,) = proof.trials
    assert (trial.fate, trial.claimed, trial.by) == (Fate.CAUGHT, True, {"size_mb": "FAIL"})
    assert trial.owed == {"size_mb": "0.4200, max_ratio 0.4100"}
    # Without a fault it is measured once, and no time is taken.
    assert pipeline.asked == [("", ("size_mb",)), ("padded-file", ("size_mb",))]


def test_a_gate_that_misses_what_it_claims_is_found_out(proven):
    # As if the size of the artifact were not counted anew: the claim stands, and nothing turned.
    proof, _ = proven("size_mb: {max_ratio: 0.41}", {"size_mb": size(4.0)}, {}, "padded-file")
    (trial,) = proof.trials
    assert (trial.fate, trial.claimed) == (Fate.SURVIVED, True)
    assert trial.sentence.startswith("size_mb should have caught it and is too loose (size_mb: 4.000 vs float 10.00")


def test_longer_calls_that_break_the_limit_are_caught(proven):
    proof, pipeline = proven(LATENCY, {"latency_ms": times(1.0)}, {"latency_ms": times(1.1)}, "latency-10")
    (trial,) = proof.trials
    assert (trial.fate, trial.claimed, trial.by) == (Fate.CAUGHT, True, {"latency_ms": "FAIL"})
    # A breach has to show twice, as in the gate.
    assert pipeline.asked[-2:] == [("latency-10", ("latency_ms",))] * 2


def test_longer_calls_survive_a_budget_that_has_room_for_them(proven):
    budgets = "latency_ms: {max_ratio: 0.9, regress: 0.5}"
    proof, _ = proven(budgets, {"latency_ms": times(1.0)}, {"latency_ms": times(1.1)}, "latency-10")
    (trial,) = proof.trials
    assert (trial.fate, trial.claimed, trial.verdicts) == (Fate.SURVIVED, False, {"latency_ms": "PASS"})
    # 1.1 times the good end of an interval around 0.5 that is about 0.2 % wide.
    assert trial.missing.startswith("latency_ms max_ratio below 0.54")
    assert proof.score() == (0, 0)


def test_longer_calls_that_the_gate_does_not_see_are_a_survivor(proven):
    # As if the fault struck beside what is timed: the claim stands, and the times are those without it.
    proof, _ = proven(LATENCY, {"latency_ms": times(1.0)}, {}, "latency-10")
    (trial,) = proof.trials
    assert (trial.fate, trial.claimed, trial.verdicts) == (Fate.SURVIVED, True, {"latency_ms": "PASS"})
    assert trial.sentence.startswith("latency_ms should have caught it and is too loose (latency_ms: ")
    assert proof.score() == (0, 1)


def test_a_breach_that_shows_once_is_no_catch_and_refuses_no_spec(proven, monkeypatch):
    monkeypatch.setattr(Results, "run", spell("run"))
    monkeypatch.setattr(Results, "run_mutated", spell("run_mutated"))
    proof, _ = proven(LATENCY, {"latency_ms": times(1.0)}, {"latency_ms": times(1.0)}, "latency-1")
    assert proof.refused == ""
    (trial,) = proof.trials
    assert trial.verdicts == {"latency_ms": "PASS"}


def test_a_bound_that_is_not_enforced_at_another_pace_of_the_machine_is_no_catch(proven):
    """The gate would let it out: milliseconds are not held where float takes 30 % longer than was accepted."""
    slower = times(1.1).model_copy(update={"blocks_reference": 1.3 * times(1.1).blocks_reference})
    proof, _ = proven("latency_ms: {max: 1.05}", {"latency_ms": times(1.0)}, {"latency_ms": slower}, "latency-10")
    (trial,) = proof.trials
    assert (trial.fate, trial.claimed, trial.verdicts) == (Fate.UNTOLD, True, {"latency_ms": "NOT RUN"})
    assert "max 1.050 ms is not enforced here (the float model has 2.60" in trial.sentence


def spell(name: str) -> Callable[..., Run]:
    """The pipeline's method, with a slow spell of the compressed model in its first take."""
    taken, real = [], getattr(Results, name)

    def run(self, file, case, labels, *rest, **more):
        found = real(self, file, case, labels, *rest, **more)
        if "latency_ms" not in labels:
            return found
        taken.append(name)
        measured = {"latency_ms": times(1.2)} if len(taken) == 1 else found.result.measurements
        return Run(found.result.model_copy(update={"measurements": measured}), None)

    return run


def test_what_straddles_the_limit_would_not_be_let_out_and_is_a_catch(proven):
    proof, _ = proven(LATENCY, {"latency_ms": times(1.0)}, {"latency_ms": times(1.09, spread=0.2)}, "latency-10")
    (trial,) = proof.trials
    assert (trial.fate, trial.by) == (Fate.CAUGHT, {"latency_ms": "INCONCLUSIVE"})


def test_load_from_outside_catches_nothing(proven):
    mutated = {"latency_ms": times(1.1, load=0.5)}
    proof, _ = proven(LATENCY, {"latency_ms": times(1.0)}, mutated, "latency-10")
    (trial,) = proof.trials
    assert trial.verdicts == {"latency_ms": "INCONCLUSIVE"}
    assert (trial.fate, trial.claimed) == (Fate.UNTOLD, True)
    assert trial.sentence == "other processes were running while latency_ms was timed"
    assert proof.score() == (0, 0)


def test_a_time_that_could_not_be_told_without_the_fault_is_not_asked_about_it(proven):
    green = {"latency_ms": times(1.0, load=0.5)}
    proof, pipeline = proven(LATENCY, green, {}, "latency-10", accepted={"latency_ms": times(1.0)})
    (trial,) = proof.trials
    assert (trial.fate, trial.claimed) == (Fate.UNTOLD, True)
    assert trial.sentence == "latency_ms was INCONCLUSIVE without the fault"
    # No figure is asked; the time is taken three times, as the gate does.
    assert [mutant for mutant, _ in pipeline.asked] == [""] * 4


def test_a_figure_that_does_not_pass_without_the_fault_refuses_the_case(proven):
    proof, _ = proven("top1: {max_drop: 0.02}", {"top1": right(360)}, {}, "no-op")
    assert proof.refused.startswith("top1: 0.9000 vs float 0.9800, drop 0.0800")
    assert (proof.trials, proof.untold) == ((), False)
    unsure, _ = proven("top1: {max_drop: 0.02}", {"top1": right(385)}, {}, "no-op")
    assert "→ INCONCLUSIVE" in unsure.refused
    assert unsure.untold


def test_a_no_op_that_the_figures_let_through_is_held_to_times_too_and_only_its_evidence_owes_it(proven):
    budgets, green = (
        f"size_mb: {{max_ratio: 0.41, regress: 9}}, {LATENCY}",
        {"size_mb": size(4.0), "latency_ms": times(1.0)},
    )
    proof, pipeline = proven(budgets, green, {"latency_ms": times(2.0)}, "no-op")
    (trial,) = proof.trials
    assert (trial.fate, trial.others) == (Fate.SURVIVED, {"latency_ms": "FAIL"})
    assert trial.sentence.startswith("caught by others: latency_ms FAIL; evidence owed it; evidence should have caught")
    assert pipeline.asked == [
        ("", ("size_mb",)), ("no-op", ("size_mb",)), ("", ("latency_ms",)), *[("no-op", ("latency_ms",))] * 2,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mutated", "said"),
    [
        (
            NotMade("the weights do not lie in the file"),
            "the mutant could not be made: the weights do not lie in the file",
        ),
        (
            {"failure": Failure(sentence="the measure stage died of SIGKILL", kind="ended")},
            "the measure stage died of SIGKILL",
        ),
        # A full disk is no verdict on the mutant.
        (
            {"failure": Failure(sentence="a file could not be read or kept: [Errno 28] No space left", kind="ended")},
            "a file could not be read or kept: [Errno 28] No space left",
        ),
    ],
)
def test_a_mutant_that_was_not_made_or_not_measured_is_no_catch(proven, mutated, said):
    proof, _ = proven("top1: {max_drop: 0.02}", {"top1": right(392)}, mutated, "shuffled-layer")
    (trial,) = proof.trials
    assert (trial.fate, trial.claimed, trial.sentence) == (Fate.UNTOLD, True, said)


@pytest.mark.parametrize(
    "failure",
    [
        Failure(sentence="the reloaded compressed artifact gives other outputs"),
        # The sentence is the error's own; that it reads like the end of a worker decides nothing.
        Failure(sentence="the measure stage gives other outputs"),
        Failure(sentence="the measure stage failed: IndexError: out of bounds", kind="raised"),
    ],
)
def test_a_worker_that_ends_by_itself_with_no_figures_is_a_catch(proven, failure):
    proof, _ = proven("top1: {max_drop: 0.02}", {"top1": right(392)}, {"failure": failure}, "shuffled-layer")
    assert proof.trials[0].by == {"top1": "INVALID", "evidence": "INVALID"}
    assert fates(proof) == {"shuffled-layer": Fate.CAUGHT}
    # No budget was tried, so it is the artifact that caught it.
    assert proof.trials[0].refused
    assert proof.trials[0].sentence == f"the artifact was refused before any budget was tried: {failure.sentence}"


def test_a_row_that_owed_nothing_does_not_catch_for_one_that_did(proven):
    # A packed file is encoded anew, and grows; what the model answers is as good as before.
    budgets = "size_mb: {max_ratio: 0.41}, top1: {max_drop: 0.02}"
    green = {"size_mb": size(4.0), "top1": right(392)}
    proof, _ = proven(budgets, green, {"size_mb": size(4.2)}, "shuffled-layer")
    (trial,) = proof.trials
    assert (trial.fate, trial.others, trial.refused) == (Fate.SURVIVED, {"size_mb": "FAIL"}, False)
    assert trial.sentence.startswith(
        "caught by others: size_mb FAIL; top1 owed it; top1 should have caught it and is too"
    )
    assert proof.score() == (0, 1)
    both, _ = proven(budgets, green, {"size_mb": size(4.2), "top1": right(300)}, "shuffled-layer")
    assert (both.trials[0].fate, both.trials[0].others) == (Fate.CAUGHT, {})
    assert both.trials[0].sentence.startswith("top1: ")


def test_a_shuffled_layer_that_only_the_size_caught_is_owed_by_no_budget(proven):
    proof, _ = proven("size_mb: {max_ratio: 0.41}", {"size_mb": size(4.0)}, {"size_mb": size(4.2)}, "shuffled-layer")
    (trial,) = proof.trials
    assert (trial.fate, trial.claimed) == (Fate.SURVIVED, True)
    assert trial.sentence == (
        "caught by others: size_mb FAIL; no budget owed it; no budget bounds what the model answers: add top1 with a "
        "max_drop"
    )


def test_a_fault_that_leaves_the_artifact_alone_is_not_caught_by_it(proven):
    failure = Failure(sentence="the measure stage failed: IndexError: out of bounds", kind="raised")
    proof, _ = proven("top1: {max_drop: 0.02}", {"top1": right(392)}, {"failure": failure}, "truncated-evaluation")
    assert (proof.trials[0].fate, proof.trials[0].refused) == (Fate.CAUGHT, False)


def test_a_swapped_baseline_is_judged_and_nothing_is_run(proven):
    proof, pipeline = proven("top1: {max_drop: 0.02}", {"top1": right(392)}, {}, "stale-baseline", "other-data")
    assert fates(proof) == {"stale-baseline": Fate.CAUGHT, "other-data": Fate.CAUGHT}
    assert pipeline.asked == [("", ("top1",))]


def test_a_stale_baseline_is_tried_on_times_where_no_figure_has_caught_it(proven):
    proof, pipeline = proven(LATENCY, {"latency_ms": times(1.0)}, {}, "stale-baseline")
    (trial,) = proof.trials
    assert (trial.fate, trial.claimed, trial.by) == (Fate.CAUGHT, True, {"latency_ms": "INVALID"})
    assert "the baseline holds latency_ms version" in trial.sentence
    # Without a fault alone: what is wrong is the baseline.
    assert pipeline.asked == [("", ()), ("", ("latency_ms",))]
    both = {"size_mb": size(4.0), "latency_ms": times(1.0)}
    proof, pipeline = proven(f"size_mb: {{max_ratio: 0.41}}, {LATENCY}", both, {}, "stale-baseline")
    assert proof.trials[0].by == {"size_mb": "INVALID"}
    assert pipeline.asked == [("", ("size_mb",))]


def test_evidence_that_is_expected_to_fail_owes_no_no_op(proven):
    expected = (
        "size_mb: {max_ratio: 0.41}}\nexpect_fail: [{metric: evidence, verdict: INVALID, says: no tensor, "
        "because: known, owner: me, until: 2999-01-01}]\n#"
    )
    green = {"size_mb": size(4.0), "contradictions": ("no tensor is int8",)}
    proof, _ = proven(expected, green, {"contradictions": ("no tensor is int8", "it equals the float one")}, "no-op")
    assert not proof.refused
    assert [(trial.fate, trial.claimed) for trial in proof.trials] == [(Fate.SURVIVED, False)]


def test_a_failure_that_is_expected_can_owe_and_catch_nothing(proven):
    expected = (
        "top1: {max_drop: 0.02}, size_mb: {max: 3.0}}\nexpect_fail: [{metric: size_mb, bound: max, verdict: FAIL, "
        "because: known, owner: me, until: 2999-01-01}]\n#"
    )
    green = {"top1": right(392), "size_mb": size(4.0)}
    proof, _ = proven(expected, green, {"size_mb": size(4.2)}, "padded-file")
    assert not proof.refused
    (trial,) = proof.trials
    assert (trial.fate, trial.claimed) == (Fate.SURVIVED, False)
