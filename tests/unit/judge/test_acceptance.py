"""What an accepted case adds to a baseline, and what it leaves alone."""

from datetime import date

from harness.judge.acceptance import Candidate, accepted
from harness.judge.baseline import Accepted, Baseline


def entry(value: float, metric: str = "size_mb") -> Accepted:
    return Accepted(metric=metric, metric_version=1, value=value, reference=10.0, kernels="x86")


def candidate(portable=None, machine=None, fingerprint="here", evidence=None) -> Candidate:
    return Candidate(
        portable={label: entry(value) for label, value in (portable or {}).items()},
        machine={label: entry(value) for label, value in (machine or {}).items()},
        fingerprint=fingerprint, environment={"cpu": "any"}, threads=1, evidence=evidence or {},
    )  # fmt: skip


def taken(old, what, known, case="", reason="measured anew", commit="abc") -> Baseline:
    return accepted(old, "task/mine", case, what, set(known), reason, commit)


def test_the_first_acceptance_records_everything():
    case = taken(None, candidate({"size": 2.0}, {"speed": 5.0}, evidence={"sparsity": 0.5}), ["size", "speed"]).cases[
        ""
    ]
    assert case.portable["size"].value == 2.0
    assert case.machines["here"].labels["speed"].value == 5.0
    assert (case.machines["here"].threads, case.machines["here"].environment) == (1, {"cpu": "any"})
    assert case.evidence == {"sparsity": 0.5}
    (change,) = case.history
    assert (change.date, change.commit, change.reason) == (date.today().isoformat(), "abc", "measured anew")  # noqa: DTZ011
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
        None, "task/mine", "gone", candidate({"size_mb": 1.0}), {"size_mb"}, "first", "abc", {"gone", "stays"}
    )
    new = accepted(old, "task/mine", "stays", candidate({"size_mb": 2.0}), {"size_mb"}, "second", "def", {"stays"})
    assert set(old.cases) == {"gone"}
    assert set(new.cases) == {"stays"}
