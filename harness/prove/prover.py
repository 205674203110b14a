"""Proving one case: it must be green, and then the real gate meets it with one fault after another."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from harness.baselines import standing_of
from harness.judge.case import verdict
from harness.judge.expected import apply_expected_failures
from harness.judge.verdict import State, Verdict
from harness.mutants.base import Claim, Green, Mutant, Reach
from harness.prove.judged import Judged, broken_down, refusal, too_loose
from harness.prove.progress import Live
from harness.prove.trial import Fate, Proof, Trial, by_others
from harness.retake import retaken
from harness.run.executor import Watch
from harness.run.mutating import MutatingPipeline, NotMade
from harness.run.pipeline import Run
from harness.run.result import Result
from harness.spec.expectation import EVIDENCE
from harness.spec.load import Case, SpecFile

# With these a release goes out.
LET_OUT = (State.PASS, State.NOT_RUN)


class NotGreen(Exception):
    """The case does not pass as it is; nothing that it says of a mutant would mean anything."""

    def __init__(self, rows: Sequence[Verdict]) -> None:
        self.rows = rows
        super().__init__("; ".join(row.sentence for row in rows))


def prove(pipeline: MutatingPipeline, file: SpecFile, case: Case, mutants: Sequence[Mutant], live: Live) -> Proof:
    """Try every mutant on one case.

    Args:
        pipeline: runs the case with and without a fault.
        file: the spec.
        case: which of its cases.
        mutants: what is tried.
        live: told what is being done.
    """
    subject = _Subject(pipeline, file, case, live.watch)
    blank = Proof(spec=file.id, case=case.name)
    live.begin(f"{blank.name}: without a fault")
    try:
        subject.require("figures")
        if any(mutant.reach == ("times",) for mutant in mutants):
            subject.require("times")
        trials = []
        for mutant in mutants:
            live.begin(f"{blank.name}: {mutant.mutant}")
            trials.append(subject.trial(mutant))
    except NotGreen as error:
        states = {row.verdict for row in error.rows}
        if states == {State.NOT_RUN}:
            return blank.model_copy(update={"not_here": str(error.rows[0].sentence)})
        untold = states == {State.INCONCLUSIVE}
        return blank.model_copy(update={"refused": str(error), "untold": untold})
    return blank.model_copy(update={"trials": tuple(trials)})


class _Subject:
    """One case: what it gives without a fault is measured once, and times only where a mutant moves them."""

    def __init__(self, pipeline: MutatingPipeline, file: SpecFile, case: Case, watch: Watch) -> None:
        self._pipeline, self._file, self._case, self._watch = pipeline, file, case, watch
        self._green: dict[Reach, Judged] = {}

    def trial(self, mutant: Mutant) -> Trial:
        """Run the gate on a mutant."""
        started = time.monotonic()
        judged: list[Judged] = []
        try:
            for reach in mutant.reach:
                if not self._labels(reach):
                    continue
                self.require(reach)
                if not self._passing() & set(self._labels(reach)):
                    continue
                judged.append(self._judge(self._mutated(mutant, reach), reach, mutant))
                if self._caught(judged):
                    break
        except NotMade as error:
            return self._told(mutant, judged, f"the mutant could not be made: {error}", time.monotonic() - started)
        return self._told(mutant, judged, "", time.monotonic() - started)

    def require(self, reach: Reach) -> None:
        """Measure the case without a fault, where that was not done yet.

        Raises:
            NotGreen: a row is not green. A time that could not be told or enforced is left out instead.
        """
        if reach in self._green or not self._labels(reach):
            return
        judged = self._judge(self._run(reach), reach)
        excused = [State.PASS, State.EXPECTED]
        if reach == "times":
            excused += [State.INCONCLUSIVE, State.NOT_RUN]
        wrong = [row for row in judged.rows if row.verdict not in excused]
        if wrong:
            raise NotGreen(wrong)
        self._green[reach] = judged

    def _labels(self, reach: Reach) -> list[str]:
        """The rows that a mutant of this reach can turn; the evidence is a figure too."""
        measured = self._measured(reach)
        return [*measured, EVIDENCE] if reach == "figures" else measured

    def _measured(self, reach: Reach) -> list[str]:
        return [label for label, metric in self._case.spec.budgets.items() if metric.machine is (reach == "times")]

    def _mutated(self, mutant: Mutant, reach: Reach) -> Result:
        return self._green[reach].result if mutant.judged_only else self._run(reach, mutant)

    def _run(self, reach: Reach, mutant: Mutant | None = None) -> Result:
        """What the gate would judge: times that others disturbed, or that broke a bound, are taken again."""
        labels, watch = self._measured(reach), self._watch

        def measured(asked: Sequence[str], least_s: float) -> Run:
            if mutant is None:
                return self._pipeline.run(self._file, self._case, asked, watch, least_s)
            return self._pipeline.run_mutated(self._file, self._case, asked, mutant.mutant, watch, least_s)

        def judged(run: Run, label: str) -> Verdict:
            return self._verdict(run.result, label, mutant)

        return retaken(measured(labels, 0.0), labels, judged, measured, self._case.spec.measure, watch)[0].result

    def _judge(self, result: Result, reach: Reach, mutant: Mutant | None = None) -> Judged:
        spec, today = self._case.spec, datetime.now(UTC).date()
        rows = [self._verdict(result, label, mutant) for label in self._labels(reach)]
        return Judged(result, [apply_expected_failures(row, spec, today) for row in rows])

    def _verdict(self, result: Result, label: str, mutant: Mutant | None) -> Verdict:
        standing = standing_of(self._file, self._case, result.kernels)
        if mutant is not None and standing.baseline is not None:
            standing = replace(standing, baseline=mutant.baseline(standing.baseline))
        return verdict(self._case.spec, result, label, standing)

    def _passing(self) -> set[str]:
        return {row.label for judged in self._green.values() for row in judged.rows if row.verdict is State.PASS}

    def _caught(self, judged: Iterable[Judged]) -> list[Verdict]:
        """Rows that stop the release because of the mutant: green without it, and not for others being at work."""
        return [
            row
            for one in judged
            for row in one.rows
            if row.label in self._passing() and row.verdict not in LET_OUT and not one.withheld(row)
        ]

    def _told(self, mutant: Mutant, judged: list[Judged], not_made: str, seconds: float) -> Trial:
        green = self._as_green()
        measurements = {label: one for part in judged for label, one in part.result.measurements.items()}
        claim = mutant.claim(green, green.result.model_copy(update={"measurements": measurements}))
        turned, refused = self._caught(judged), refusal(mutant, judged)
        if not_made or (not_made := broken_down(judged)):
            fate, sentence = Fate.UNTOLD, not_made
        elif turned and refused:
            fate, sentence = Fate.CAUGHT, f"the artifact was refused before any budget was tried: {refused}"
        else:
            fate, sentence = self._fate(mutant, judged, claim, turned)
        return Trial(
            mutant=mutant.mutant, what=mutant.what, fate=fate, claimed=claim.claimed, owed=dict(claim.owed),
            missing=claim.missing, verdicts={row.label: row.verdict.value for one in judged for row in one.rows},
            refused=fate is Fate.CAUGHT and bool(refused),
            others={row.label: row.verdict.value for row in turned} if fate is Fate.SURVIVED else {},
            sentence=sentence, seconds=round(seconds, 2),
        )  # fmt: skip

    def _fate(self, mutant: Mutant, judged: list[Judged], claim: Claim, turned: Sequence[Verdict]) -> tuple[Fate, str]:
        """What became of a mutant whose budgets were tried, and the sentence that says why."""
        # Where somebody owes the catch, nobody else can make it in his place.
        caught = [row for row in turned if row.label in claim.owed or not claim.claimed]
        if caught:
            return Fate.CAUGHT, caught[0].sentence
        if reason := self._undecided(mutant, judged, claim):
            return Fate.UNTOLD, reason
        rows = [row for one in judged for row in one.rows]
        stranger = by_others({row.label: row.verdict.value for row in turned}, claim.owed)
        loose = too_loose(rows, claim.owed) or claim.missing
        return Fate.SURVIVED, "; ".join(filter(None, (stranger, loose)))

    def _as_green(self) -> Green:
        """Every budget that was measured: what it owes does not depend on whether it could be told here."""
        parts = list(self._green.values())
        measurements = {label: one for part in parts for label, one in part.result.measurements.items()}
        result = parts[0].result.model_copy(update={"measurements": measurements})
        expected = {row.label for part in parts for row in part.rows if row.verdict is State.EXPECTED}
        labels = tuple(label for label in measurements if label not in expected)
        standing = standing_of(self._file, self._case, result.kernels)
        return Green(self._case.spec, result, standing, labels, evidence=EVIDENCE not in expected)

    def _undecided(self, mutant: Mutant, judged: list[Judged], claim: Claim) -> str:
        """Why nothing can be said of a mutant: a bound was not enforced, a time was not told, or others were at work.

        Of a mutant that is claimed only the budgets that owe the catch are asked.
        """
        asked = claim.owed.keys() if claim.claimed else self._case.spec.budgets.keys()
        for one in judged:
            for row in one.rows:
                if row.label in asked and row.verdict is State.NOT_RUN:
                    return row.sentence
        if "times" not in mutant.reach or "times" not in self._green:
            return ""
        passing = self._passing()
        for row in self._green["times"].rows:
            if row.label in asked and row.label not in passing:
                return f"{row.label} was {row.verdict} without the fault"
        for one in judged:
            for row in one.rows:
                if row.label in asked and (one.loaded(row.label) or one.withheld(row)):
                    return f"other processes were running while {row.label} was timed"
        return ""
