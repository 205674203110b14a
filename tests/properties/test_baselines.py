"""Baselines are exact: what was accepted is what comes back, bit for bit, however it got there."""

import json
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import BaseModel

from harness.baselines import orphans, read, write_all
from harness.judge.acceptance import SECTIONS, Candidate, accepted
from harness.judge.baseline import Accepted, Baseline, CaseBaseline
from harness.measurement import (
    MEASUREMENTS,
    AveragePrecision,
    Base,
    Correlation,
    Exact,
    Finds,
    Generated,
    Labels,
    Pairs,
    Readings,
    Timings,
    Totals,
)
from harness.measurement.average_precision import Ranking
from harness.measurement.breach import Breach

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
    return Pairs(
        outcomes_reference=both[0], outcomes=both[1], units=units, data=data, details={"x": draw(finite)},
        reach=draw(st.none() | st.just(1.0)),
    )  # fmt: skip


entries = st.builds(
    Accepted, metric=words, metric_version=st.integers(1, 9), value=finite, reference=st.none() | finite, kernels=words,
    ratio=st.none() | st.tuples(finite, finite, st.floats(allow_nan=False)), outcomes=st.none() | outcomes(),
    reach=st.none() | st.tuples(finite, finite),
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


SEED = st.integers(0, 2**32 - 1)


@st.composite
def exact(draw: st.DrawFn) -> Exact:
    # Counts of a broken part: infinity travels too.
    figure = st.floats(allow_nan=False)
    return Exact(measured=draw(figure), measured_reference=draw(figure), details={"x": draw(figure)})


@st.composite
def timings(draw: st.DrawFn) -> Timings:
    random, blocks = np.random.default_rng(draw(SEED)), draw(st.integers(1, 8))
    control = random.lognormal(14, 0.1, (blocks, 3)) if draw(st.booleans()) else None
    breach = Breach(bounds=("max_ratio",), lower=1.1, upper=draw(st.floats(1.2, 3)), even=("regress",))
    return Timings(
        blocks_reference=random.lognormal(14, 0.1, (blocks, 3)), blocks=random.lognormal(13, 0.1, (blocks, 5)),
        blocks_control=control, batch=draw(st.integers(1, 64)), rate=draw(st.booleans()), load=draw(st.floats(0, 1)),
        calls=(draw(st.integers(1, 20)), 1), level=draw(st.none() | st.floats(0.9, 0.999)),
        breach=draw(st.none() | st.just(breach)),
    )  # fmt: skip


@st.composite
def totals(draw: st.DrawFn) -> Totals:
    random, n = np.random.default_rng(draw(SEED)), draw(st.integers(1, 30))
    tokens = random.integers(1, 400, n)
    before, after = tokens * random.uniform(1, 4, (2, n))
    return Totals(
        totals_reference=before, totals=after, tokens=tokens, units=np.arange(n) // draw(st.integers(1, 4)),
        data=draw(words), counted=False, exponential=draw(st.booleans()),
    )  # fmt: skip


@st.composite
def finds(draw: st.DrawFn) -> Finds:
    random, shape = np.random.default_rng(draw(SEED)), (draw(st.integers(1, 20)), draw(st.integers(1, 6)))
    hits_reference, hits = random.integers(0, 3, (2, *shape)).astype(np.uint16)
    more = random.integers(0, 3, (2, *shape)).astype(np.uint16)
    return Finds(
        statistic=draw(st.sampled_from(["precision", "recall", "f1"])),
        positives=np.maximum(hits_reference, hits) + np.uint16(1), hits_reference=hits_reference, hits=hits,
        made_reference=hits_reference + more[0], made=hits + more[1], units=np.arange(shape[0]), data=draw(words),
    )  # fmt: skip


@st.composite
def average_precisions(draw: st.DrawFn) -> AveragePrecision:
    random, images, classes = np.random.default_rng(draw(SEED)), draw(st.integers(1, 20)), draw(st.integers(1, 6))

    def ranking() -> Ranking:
        # A model that finds nothing ranks nothing.
        count = draw(st.integers(0, 30))
        bits = random.integers(0, 4, (2, count)).astype(np.int16)
        return Ranking(
            images=random.integers(0, images, count).astype(np.int32),
            labels=np.sort(random.integers(0, classes, count)).astype(np.int16),
            hits=bits[0], ignored=bits[1] & ~bits[0],
        )  # fmt: skip

    return AveragePrecision(
        overlaps=2, positives=random.integers(30, 40, (images, classes)).astype(np.uint16),
        ranking_reference=ranking(), ranking=ranking(), units=np.arange(images), data=draw(words),
    )  # fmt: skip


@st.composite
def generated(draw: st.DrawFn) -> Generated:
    random, n = np.random.default_rng(draw(SEED)), draw(st.integers(2, 20))
    sides = random.standard_normal((2, n, 6)).astype(np.float16)
    crosses = random.standard_normal((2, n)).astype(np.float32)
    return Generated(
        features_reference=sides[0], features=sides[1], real_reference=crosses[0], real=crosses[1],
        broken=random.standard_normal((3, 6)).astype(np.float16),
        real_broken=random.standard_normal(3).astype(np.float32), constant=draw(finite), units=np.arange(n),
        data=draw(words), details={"fid": draw(finite)},
    )  # fmt: skip


@st.composite
def correlations(draw: st.DrawFn) -> Correlation:
    random, n = np.random.default_rng(draw(SEED)), draw(st.integers(4, 12))
    rows, columns = np.triu_indices(n, 1)
    truth, before, after = random.standard_normal((3, len(rows))).astype(np.float32)
    return Correlation(
        coefficient=draw(st.sampled_from(["pearson", "spearman"])), first=rows.astype(np.int32),
        second=columns.astype(np.int32), truth=truth, similarities_reference=before, similarities=after,
        data=draw(words),
    )  # fmt: skip


@st.composite
def readings(draw: st.DrawFn) -> Readings:
    figures = st.lists(st.floats(allow_nan=False), min_size=1, max_size=4).map(tuple)
    return Readings(figures_reference=draw(figures), figures=draw(figures))


# Of every kind of measurement; a new kind has no baseline that anybody has tried until it stands here.
EXAMPLES: dict[str, st.SearchStrategy[Base]] = {
    "average-precision": average_precisions(),
    "correlation": correlations(),
    "exact": exact(),
    "finds": finds(),
    "generated": generated(),
    "labels": outcomes().filter(lambda one: isinstance(one, Labels)),
    "pairs": outcomes().filter(lambda one: isinstance(one, Pairs)),
    "readings": readings(),
    "timings": timings(),
    "totals": totals(),
}


def test_every_kind_of_measurement_is_tried() -> None:
    assert EXAMPLES.keys() == set(MEASUREMENTS)


def assert_same(one: object, other: object) -> None:
    """Of one type, and equal to the last bit."""
    assert type(one) is type(other)
    if isinstance(one, BaseModel):
        for name in type(one).model_fields:
            assert_same(getattr(one, name), getattr(other, name))
    elif isinstance(one, np.ndarray):
        assert isinstance(other, np.ndarray)
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    else:
        assert repr(one) == repr(other)


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_a_measurement_of_any_kind_comes_back_bit_for_bit_and_pairs_with_itself(kind: str, data: st.DataObject) -> None:
    measured = data.draw(EXAMPLES[kind])
    assert measured.kind == kind
    entry = Accepted(metric="m", metric_version=1, value=1.0, reference=None, kernels="k", outcomes=measured)
    held = Baseline(spec="task/mine", cases={"": CaseBaseline(portable={"label": entry})})
    with tempfile.TemporaryDirectory() as root:
        write_all(Path(root), {"task/mine": held})
        back = read(Path(root), "task/mine")
    assert back is not None
    stored = back.cases[""].portable["label"].outcomes
    assert stored is not None
    assert_same(measured, stored)
    # What outcomes are kept for: a later run on the same samples is held to them.
    both = measured.against(stored)
    assert (both is not None) is (type(measured).kept == "outcomes")
    if both is not None:
        # Scores of any size are tried, which may add up to more than a number holds.
        with np.errstate(all="ignore"):
            assert both.reference == pytest.approx(measured.value, nan_ok=True)
