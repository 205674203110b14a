"""What an accepted case adds to a baseline, and what it leaves alone."""

from datetime import date

import pytest

from harness.judge.acceptance import SECTIONS, Candidate, accepted
from harness.judge.baseline import Accepted, Baseline

TODAY = date(2026, 3, 1)


def entry(value: float, metric: str = "size_mb") -> Accepted:
    return Accepted(metric=metric, metric_version=1, value=value, reference=10.0, kernels="x86")


def candidate(portable=None, machine=None, fingerprint="here", evidence=None) -> Candidate:
    return Candidate(
        portable={label: entry(value) for label, value in (portable or {}).items()},
        machine={label: entry(value) for label, value in (machine or {}).items()},
        fingerprint=fingerprint, environment={"cpu": "any"}, threads=1, evidence=evidence or {},
    )  # fmt: skip


def taken(old, what, known, case="", reason="measured anew", commit="abc") -> Baseline:
    return accepted(old, "task/mine", case, what, set(known), reason, commit, today=TODAY)


def test_the_first_acceptance_records_everything():
    case = taken(None, candidate({"size": 2.0}, {"speed": 5.0}, evidence={"sparsity": 0.5}), ["size", "speed"]).cases[
        ""
    ]
    assert case.portable["size"].value == 2.0
    assert case.machines["here"].labels["speed"].value == 5.0
    assert (case.machines["here"].threads, case.machines["here"].environment) == (1, {"cpu": "any"})
    assert case.evidence == {"sparsity": 0.5}
    (change,) = case.history
    assert (change.date, change.commit, change.reason) == ("2026-03-01", "abc", "measured anew")
    assert change.values == {"size": (None, 2.0), "speed": (None, 5.0)}


def test_a_partial_selection_merges_and_history_grows():
    first = taken(None, candidate({"size": 2.0, "top1": 0.9}, {"speed": 5.0}), ["size", "top1", "speed"])
    second = taken(first, candidate({"size": 1.5}), ["size", "top1", "speed"], reason="smaller", commit="def")
    case = second.cases[""]
    assert {label: one.value for label, one in case.portable.items()} == {"size": 1.5, "top1": 0.9}
    assert case.machines["here"].labels["speed"].value == 5.0
    assert [change.reason for change in case.history] == ["measured anew", "smaller"]
    assert case.history[1].values == {"size": (2.0, 1.5)}


def test_labels_that_the_spec_no_longer_has_are_dropped_everywhere():
    first = taken(
        None, candidate({"size": 2.0, "old": 1.0}, {"speed": 5.0, "gone": 1.0}), ["size", "old", "speed", "gone"]
    )
    other = taken(first, candidate(machine={"speed": 6.0, "gone": 2.0}, fingerprint="there"), ["size", "speed", "gone"])
    case = taken(other, candidate({"size": 2.0}), ["size", "speed"]).cases[""]
    assert set(case.portable) == {"size"}
    assert {name: set(machine.labels) for name, machine in case.machines.items()} == {
        "here": {"speed"}, "there": {"speed"},
    }  # fmt: skip


def test_each_machine_keeps_its_own_times():
    first = taken(None, candidate(machine={"speed": 5.0}), ["speed"])
    case = taken(first, candidate(machine={"speed": 9.0}, fingerprint="there"), ["speed"]).cases[""]
    assert {name: one.labels["speed"].value for name, one in case.machines.items()} == {"here": 5.0, "there": 9.0}
    assert case.history[1].values == {"speed": (None, 9.0)}


def test_a_portable_acceptance_opens_no_machine():
    assert taken(None, candidate({"size": 2.0}), ["size"]).cases[""].machines == {}


def test_each_case_of_a_file_is_accepted_on_its_own():
    first = taken(None, candidate({"size": 2.0}), ["size"], case="w8")
    both = taken(first, candidate({"size": 1.0}), ["size"], case="w4")
    assert {name: case.portable["size"].value for name, case in both.cases.items()} == {"w8": 2.0, "w4": 1.0}
    assert both.cases["w8"] == first.cases["w8"]


def test_evidence_is_kept_where_a_partial_run_counted_none():
    first = taken(None, candidate({"size": 2.0}, evidence={"sparsity": 0.5}), ["size"])
    assert taken(first, candidate({"size": 2.0}), ["size"]).cases[""].evidence == {"sparsity": 0.5}


def test_what_was_there_is_not_changed_in_place():
    first = taken(None, candidate({"size": 2.0}), ["size"])
    before = first.model_dump_json()
    taken(first, candidate({"size": 1.0}), ["size"])
    assert first.model_dump_json() == before


def test_a_case_that_the_spec_no_longer_has_is_dropped():
    old = accepted(
        None, "task/mine", "gone", candidate({"size_mb": 1.0}), {"size_mb"}, "first", "abc", {"gone", "stays"},
        today=TODAY,
    )  # fmt: skip
    again = candidate({"size_mb": 2.0})
    new = accepted(old, "task/mine", "stays", again, {"size_mb"}, "second", "def", {"stays"}, today=TODAY)
    assert set(old.cases) == {"gone"}
    assert set(new.cases) == {"stays"}


def timed(low: float, estimate: float, high: float, reference: float = 10.0) -> Accepted:
    return Accepted(
        metric="latency_ms", metric_version=1, value=estimate * reference, reference=reference, kernels="x86",
        ratio=(low, estimate, high),
    )  # fmt: skip


def on(fingerprint: str, held: Accepted, **environment: object) -> Candidate:
    given = {"cpu": "any", "instruction_sets": ["avx2"], "system": "Linux", **environment}
    return Candidate({}, {"speed": held}, fingerprint, given, 1, {})


def test_what_did_not_change_adds_nothing():
    first = taken(None, candidate({"size": 2.0, "top1": 0.9}), ["size", "top1"])
    assert taken(first, candidate({"size": 2.0, "top1": 0.9}), ["size", "top1"], reason="again") == first
    some = taken(first, candidate({"size": 1.5, "top1": 0.9}), ["size", "top1"], reason="smaller").cases[""]
    assert some.history[-1].values == {"size": (2.0, 1.5)}


@pytest.mark.parametrize(
    ("new", "kept"),
    [
        (timed(0.49, 0.51, 0.53), True),
        # The intervals touch no more.
        (timed(0.53, 0.54, 0.55), False),
        (timed(0.40, 0.42, 0.44), False),
        # Known four times as finely.
        (timed(0.505, 0.51, 0.515), False),
        # The machine itself became faster: its milliseconds hold no more.
        (timed(0.49, 0.51, 0.53, reference=8.0), False),
    ],
)
def test_a_time_that_only_noise_moved_is_the_one_that_was_accepted(new, kept):
    first = taken(None, on("here", timed(0.48, 0.50, 0.52)), ["speed"])
    again = taken(first, on("here", new), ["speed"], reason="again")
    assert (again == first) is kept
    assert len(again.cases[""].history) == (1 if kept else 2)


def test_no_creep_however_often_noise_is_accepted():
    baseline = taken(None, on("here", timed(0.48, 0.50, 0.52)), ["speed"])
    for step in range(20):
        worse = 0.50 + 0.005 * step
        baseline = taken(baseline, on("here", timed(worse - 0.02, worse, worse + 0.02)), ["speed"])
    # Each step is within noise of the last; what is accepted moved only where it was beyond noise of what stood there.
    assert len(baseline.cases[""].history) == 3


def test_memory_within_its_tolerance_is_the_same():
    held = Accepted(metric="peak_memory_mb", metric_version=1, value=100.0, reference=200.0, kernels="x86")
    first = taken(None, on("here", held), ["speed"])
    assert taken(first, on("here", held.model_copy(update={"value": 100.5})), ["speed"]) == first
    assert taken(first, on("here", held.model_copy(update={"value": 150.0})), ["speed"]) != first


def test_other_readings_of_the_same_memory_are_no_change_and_one_of_before_is_accepted_anew():
    held = Accepted(
        metric="peak_memory_mb", metric_version=2, value=100.0, reference=200.0, reach=(98.0, 103.0), kernels="x86"
    )
    first = taken(None, on("here", held), ["speed"])
    noisy = held.model_copy(update={"value": 101.0, "reach": (97.0, 110.0)})
    assert taken(first, on("here", noisy), ["speed"]) == first
    once = held.model_copy(update={"metric_version": 1, "reach": None})
    anew = taken(taken(None, on("here", once), ["speed"]), on("here", held), ["speed"])
    assert anew.cases[""].machines["here"].labels["speed"] == held


def test_a_reading_that_was_far_out_does_not_stay_what_regressions_are_held_to():
    """Up to 155 MB would pass by it for as long as the medians agree, and up to 118 by the readings of now."""
    far = Accepted(
        metric="peak_memory_mb", metric_version=2, value=100.0, reference=200.0, reach=(98.0, 140.0), kernels="x86"
    )
    first = taken(None, on("here", far), ["speed"])
    near = far.model_copy(update={"value": 101.0, "reach": (97.0, 103.0)})
    again = taken(first, on("here", near), ["speed"], reason="without the far one")
    assert again.cases[""].machines["here"].labels["speed"] == near
    assert again.cases[""].history[-1].values == {"speed": (100.0, 101.0)}
    # Within the tolerance it is noise, and so is one that is far out on the side where nothing is held.
    for value, reach in ((110.0, (98.0, 125.0)), (115.0, (114.0, 140.0))):
        assert taken(first, on("here", far.model_copy(update={"value": value, "reach": reach})), ["speed"]) == first


def test_of_one_machine_only_the_newest_sections_stay():
    baseline = taken(None, on("elsewhere", timed(0.4, 0.5, 0.6), cpu="another"), ["speed"])
    for version in range(SECTIONS + 3):
        held = on(f"v{version}", timed(0.4, 0.5, 0.6), libraries={"torch": f"2.{version}"})
        baseline = taken(baseline, held, ["speed"])
        # Sections of one day are told apart by the one at hand alone; put the others back by a day each.
        machines = {
            name: one.model_copy(update={"accepted": f"2026-01-{int(name[1:]) + 1:02}"}) if name[0] == "v" else one
            for name, one in baseline.cases[""].machines.items()
        }
        baseline = baseline.model_copy(
            update={"cases": {"": baseline.cases[""].model_copy(update={"machines": machines})}}
        )
    assert set(baseline.cases[""].machines) == {"elsewhere", "v3", "v4", "v5"}


def test_other_options_are_written_and_options_that_were_not_kept_are_no_change():
    def asked(options) -> Candidate:
        figure = entry(0.5, "generated_precision").model_copy(update={"options": options})
        return Candidate({"real": figure}, {}, "here", {"cpu": "any"}, 1, {})

    before = taken(None, asked(None), ["real"])
    assert taken(before, asked({"neighbours": 10}), ["real"]) == before
    default = taken(None, asked({}), ["real"])
    assert taken(default, asked({}), ["real"]) == default
    other = taken(default, asked({"neighbours": 10}), ["real"]).cases[""]
    assert (other.portable["real"].options, len(other.history)) == ({"neighbours": 10}, 2)
