"""Baselines are exact: what was accepted is what comes back, bit for bit, however it got there."""

import json
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.baselines import orphans, read, write_all
from harness.judge.acceptance import SECTIONS, Candidate, accepted
from harness.judge.baseline import Accepted, Baseline
from harness.measurement import Labels, Pairs

TODAY = date(2026, 3, 1)
quick = settings(deadline=None, max_examples=60)
finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.from_regex(r"[a-z][a-z0-9_\-]{0,8}(/[a-z][a-z0-9_\-]{0,8}){0,2}", fullmatch=True)
words = st.text(st.characters(codec="utf-8"), max_size=12)


@st.composite
def outcomes(draw: st.DrawFn) -> Pairs | Labels:
    n = draw(st.integers(1, 40))
    units, data = np.arange(n) // draw(st.integers(1, 5)), draw(words)
    if draw(st.booleans()):
        columns = draw(arrays.arrays(np.int16, (3, n)))
        return Labels(
            statistic="f1", targets=columns[0], labels_reference=columns[1], labels=columns[2], units=units, data=data
        )
    kind = draw(st.sampled_from([np.bool_, np.float64, np.float32]))
    elements = {"allow_nan": False, "allow_infinity": False} if kind is not np.bool_ else None
    both = draw(arrays.arrays(kind, (2, n), elements=elements and arrays.from_dtype(np.dtype(kind), **elements)))
    return Pairs(outcomes_reference=both[0], outcomes=both[1], units=units, data=data, details={"x": draw(finite)})


entries = st.builds(
    Accepted, metric=words, metric_version=st.integers(1, 9), value=finite, reference=st.none() | finite, kernels=words,
    ratio=st.none() | st.tuples(finite, finite, st.floats(allow_nan=False)), outcomes=st.none() | outcomes(),
)  # fmt: skip
candidates = st.builds(
    Candidate,
    portable=st.dictionaries(words, entries, max_size=3),
    machine=st.dictionaries(words, entries, max_size=2),
    fingerprint=words,
    environment=st.dictionaries(words, words, max_size=2),
    threads=st.integers(1, 64),
    evidence=st.dictionaries(words, finite, max_size=2),
)


def dumped(models) -> dict:
    """As JSON: arrays are compared by what they hold."""
    return {name: model.model_dump(mode="json") for name, model in models.items()}


def grown(steps) -> Baseline | None:
    baseline = None
    for case, candidate, known, reason in steps:
        baseline = accepted(baseline, "task/mine", case, candidate, known, reason, "commit", today=TODAY)
    return baseline


steps = st.lists(
    st.tuples(words, candidates, st.sets(words, max_size=4), words).map(
        # What is accepted is something that the spec still has, or it would not have been run.
        lambda step: (step[0], step[1], step[2] | {*step[1].portable, *step[1].machine}, step[3])
    ),
    min_size=1, max_size=3,
)  # fmt: skip


@quick
@given(steps=steps)
def test_a_baseline_comes_back_bit_for_bit(steps):
    written = grown(steps)
    with tempfile.TemporaryDirectory() as root:
        (path,) = write_all(Path(root), {"task/mine": written})
        back = read(Path(root), "task/mine")
        text = path.read_text()
        write_all(Path(root), {"task/mine": back})
        assert path.read_text() == text
    assert json.loads(back.model_dump_json()) == json.loads(written.model_dump_json())
    for name, case in written.cases.items():
        for label, entry in case.portable.items():
            if entry.outcomes is None:
                continue
            for field in ("outcomes", "outcomes_reference", "labels", "targets", "units"):
                if hasattr(entry.outcomes, field):
                    one, other = (getattr(each.outcomes, field) for each in (entry, back.cases[name].portable[label]))
                    assert one.dtype == other.dtype
                    assert one.tobytes() == other.tobytes()


@quick
@given(steps=steps, last=candidates, extra=words)
def test_accepting_keeps_what_was_not_run_and_drops_what_the_spec_lost(steps, last, extra):
    old = grown(steps)
    case = steps[-1][0]
    before = old.cases[case]
    known = {*last.portable, *last.machine, extra}
    after = accepted(old, "task/mine", case, last, known, "why", "commit", today=TODAY).cases[case]
    assert dumped(after.portable) == {
        label: entry for label, entry in dumped({**before.portable, **last.portable}).items() if label in known
    }
    for fingerprint, machine in after.machines.items():
        assert set(machine.labels) <= known
        if fingerprint != last.fingerprint:
            assert machine.labels.keys() == before.machines[fingerprint].labels.keys() & known
    # A section goes where nothing is left in it, or where enough newer ones of its machine stay.
    for gone in set(before.machines) - set(after.machines):
        assert not before.machines[gone].labels.keys() & known or len(after.machines) >= SECTIONS
    # History only grows, and only where something changed.
    assert after.history[: len(before.history)] == before.history
    for change in after.history[len(before.history) :]:
        assert change.values.keys() <= {*last.portable, *last.machine}
        for label, (was, now) in change.values.items():
            assert now == {**last.portable, **last.machine}[label].value
            assert was is None or isinstance(was, float)
    again = accepted(old, "task/mine", case, last, known, "why", "commit", today=TODAY)
    repeated = accepted(again, "task/mine", case, last, known, "once more", "commit", today=TODAY)
    assert dumped(repeated.cases) == dumped(again.cases)


@quick
@given(specs=st.sets(names, min_size=1, max_size=5), known=st.sets(names, max_size=3))
def test_orphans_are_the_baselines_that_no_spec_stands_behind(specs, known):
    # A baseline cannot lie where another one's folder does.
    with tempfile.TemporaryDirectory() as root:
        write_all(Path(root), {spec: Baseline(spec=spec) for spec in specs})
        assert orphans(Path(root), known) == sorted(specs - known)
