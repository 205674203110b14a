"""What of a spec counts as looser, and which reason stands for it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.audit.budgets import CEILINGS, FLOORS, labels, loosened
from harness.metrics.base import BOUNDS

OLD = {
    "version": 1,
    "task": "image-classification",
    "model": {"source": "zoo", "name": "resnet20-digits"},
    "data": {"source": "folder", "path": "data/mine", "calibration": 64},
    "budgets": {
        "size_mb": {"max": 3, "max_ratio": 0.5},
        "top1": {"min": 0.9, "max_drop": 0.02, "reference_min": 0.95},
        "fast": {"metric": "latency_ms", "batch": 8, "max_ratio": 0.9},
    },
    "measure": {"confidence": 0.95},
    "tier": "nightly",
    "requires": ["avx2"],
}
FAILS = {"metric": "top1", "verdict": "FAIL", "bound": "min", "because": "y", "owner": "m", "until": "2026-06-01"}


def merged(base: dict, change: dict) -> dict:
    found = dict(base)
    for key, value in change.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found[key], value) if isinstance(value, dict) and key in found else value
    return found


def changes(new: dict, old: dict | None = None) -> list[tuple[str, str]]:
    base = merged(OLD, old or {})
    return [(one.label, one.what) for one in loosened(base, merged(base, new))]


LOOSER = [
    ({"budgets": {"size_mb": {"max": 3.1}}}, ("size_mb", "max")),
    ({"budgets": {"size_mb": {"max": None}}}, ("size_mb", "max")),
    ({"budgets": {"top1": {"min": 0.8}}}, ("top1", "min")),
    ({"budgets": {"top1": {"max_drop": 0.03}}}, ("top1", "max_drop")),
    ({"budgets": {"top1": {"reference_min": 0.9}}}, ("top1", "reference_min")),
    ({"budgets": {"top1": {"reference_min": None}}}, ("top1", "reference_min")),
    # The metric's own tolerance is 1 %.
    ({"budgets": {"size_mb": {"regress": 0.02}}}, ("size_mb", "regress")),
    ({"budgets": {"fast": {"batch": 1}}}, ("fast", "batch")),
    ({"budgets": {"fast": {"batch": None}}}, ("fast", "batch")),
    ({"budgets": {"fast": None}}, ("fast", "budget")),
    ({"measure": {"confidence": 0.9}}, ("", "measure.confidence")),
    ({"measure": {"seed": 7}}, ("", "measure.seed")),
    ({"measure": {"threads": 4}}, ("", "measure.threads")),
    ({"tier": "release"}, ("", "tier")),
    ({"requires": ["avx2", "cuda"]}, ("", "requires")),
    ({"data": {"path": "data/easy"}}, ("", "data.path")),
    ({"data": {"limit": 100}}, ("", "data.limit")),
    ({"data": {"source": "digits", "path": None}}, ("", "data")),
    ({"model": {"name": "resnet18-digits"}}, ("", "model.name")),
    ({"task": "text-classification"}, ("", "task")),
    ({"deploy": {"runtime": "openvino"}}, ("", "deploy.runtime")),
    ({"expect_fail": FAILS}, ("top1", "expect_fail")),
    ({"expect_fail": [FAILS]}, ("top1", "expect_fail")),
]


@pytest.mark.parametrize(("change", "found"), LOOSER, ids=lambda one: str(one)[:60])
def test_what_allows_more_is_looser(change, found):
    assert changes(change) == [found]


@pytest.mark.parametrize(
    "change",
    [
        {"budgets": {"size_mb": {"max": 2.9}}},
        {"budgets": {"top1": {"min": 0.95, "max_drop": 0.0, "max": 1.0}}},
        {"budgets": {"size_mb": {"regress": 0.005}, "macs_g": {"max_ratio": 0.5}}},
        {"budgets": {"size_mb": {"because": "words alone"}}, "because": "words"},
        {"measure": {"confidence": 0.99, "latency_s": 30, "timeout_s": 9}},
        {"tier": "ci"},
        {"tier": None},
        {"requires": []},
        {"requires": None},
        {"data": {"calibration": 32}},
        {"title": "another", "compress": [{"method": "identity"}]},
        {"deploy": {"runtime": "torch"}},
    ],
    ids=lambda one: str(one)[:60],
)
def test_what_allows_less_or_decides_nothing_is_not(change):
    assert changes(change) == []


def test_what_the_evaluation_does_not_see_is_said_by_the_kind_of_data():
    scenes = {"data": {"source": "digit-scenes", "path": None, "train": 128}}
    assert changes({"data": {"calibration": 9, "train": 64}}, scenes) == []
    assert changes({"data": {"evaluation": 9}}, scenes) == [("", "data.evaluation")]
    noise = {"data": {"source": "noise", "path": None, "images": {"source": "digits", "calibration": 9}}}
    assert changes({"data": {"images": {"calibration": 64}}}, noise) == []
    assert changes({"data": {"images": {"image_size": 16}}}, noise) == [("", "data.images.image_size")]
    # Of data that is not installed here no more is known than of any.
    foreign = {"data": {"source": "ours", "train": 128}}
    assert changes({"data": {"calibration": 9}}, foreign) == []
    assert changes({"data": {"train": 64}}, foreign) == [("", "data.train")]


def test_an_expected_failure_is_looser_when_it_lasts_longer_or_becomes_another():
    old = {"expect_fail": FAILS}
    assert changes({"expect_fail": {"until": "2026-07-01"}}, old) == [("top1", "expect_fail.until")]
    assert changes({"expect_fail": {"until": "2026-05-01"}}, old) == []
    assert changes({"expect_fail": {"bound": "max_drop"}}, old) == [("top1", "expect_fail")]
    assert changes({"expect_fail": None}, old) == []


def test_a_budget_that_is_only_called_otherwise_is_followed():
    quick = dict(OLD["budgets"]["fast"])
    assert changes({"budgets": {"fast": None, "quick": quick}}) == []
    assert changes({"budgets": {"fast": None, "quick": {**quick, "max_ratio": 0.95}}}) == [("fast", "max_ratio")]
    assert changes({"budgets": {"fast": None, "quick": {"metric": "size_mb", "max": 1}}}) == [("fast", "budget")]
    # Of two heirs, the one that loosens nothing.
    slow = {**quick, "max_ratio": 2.0}
    assert changes({"budgets": {"fast": None, "slow": slow, "quick": quick}}) == []


def test_labels_are_told_by_what_they_are_called_now():
    quick = dict(OLD["budgets"]["fast"])
    new = merged(OLD, {"budgets": {"fast": None, "quick": quick, "size_mb": None, "macs_g": {"max_ratio": 0.5}}})
    assert labels(OLD, new) == {"top1": "top1", "fast": "quick", "macs_g": "macs_g"}
    assert labels({}, OLD) == {"size_mb": "size_mb", "top1": "top1", "fast": "fast"}
    assert labels(OLD, {}) == {}


def test_a_label_that_measures_something_else_is_told_once():
    change = {"budgets": {"fast": {"metric": "throughput_fps", "max_ratio": None, "min_ratio": 1.0}}}
    assert changes(change) == [("fast", "metric")]


REASONS = [
    # Said where the bound stands; said for the whole spec; said long ago; said of another budget.
    ({"budgets": {"size_mb": {"max": 4, "because": "a larger backbone"}}}, {}, "a larger backbone"),
    ({"budgets": {"size_mb": {"max": 4}}, "because": "all is larger"}, {}, "all is larger"),
    ({"budgets": {"size_mb": {"max": 4, "because": "first"}}, "because": "second"}, {}, "first"),
    ({"budgets": {"size_mb": {"max": 4}}}, {"budgets": {"size_mb": {"because": "an old one"}}}, None),
    ({"budgets": {"size_mb": {"max": 4}}}, {"because": "an old one"}, None),
    ({"budgets": {"size_mb": {"max": 4}, "top1": {"because": "another"}}}, {}, None),
    ({"budgets": {"size_mb": None}, "because": "nobody ships it"}, {}, "nobody ships it"),
    ({"tier": "release", "because": "too long for a night"}, {}, "too long for a night"),
    ({"tier": "release", "because": "   "}, {}, None),
    ({"tier": "release", "budgets": {"size_mb": {"because": "not of the tier"}}}, {}, None),
    ({"expect_fail": FAILS}, {}, "y"),
    ({"expect_fail": {"until": "2026-07-01"}}, {"expect_fail": FAILS}, None),
    ({"expect_fail": {"until": "2026-07-01", "because": "still y"}}, {"expect_fail": FAILS}, "still y"),
    # An entry that became another is not explained by what was said of the first, nor by what was said of a third.
    ({"expect_fail": {"bound": "max_drop"}}, {"expect_fail": FAILS}, None),
    ({"expect_fail": {"verdict": "INVALID", "says": "x"}}, {"expect_fail": FAILS}, None),
    ({"expect_fail": {"metric": "size_mb"}}, {"expect_fail": FAILS}, None),
    ({"expect_fail": [FAILS, {**FAILS, "bound": "max_drop"}]}, {"expect_fail": [FAILS]}, None),
    ({"expect_fail": {"bound": "max_drop", "because": "z"}}, {"expect_fail": FAILS}, "z"),
    ({"expect_fail": {"bound": "max_drop"}, "because": "all of it"}, {"expect_fail": FAILS}, "all of it"),
]


@pytest.mark.parametrize(("new", "old", "reason"), REASONS, ids=lambda one: str(one)[:50])
def test_a_reason_counts_where_it_is_new_and_meant(new, old, reason):
    base = merged(OLD, old)
    (found,) = loosened(base, merged(base, new))
    assert found.reason == reason


def test_old_and_new_values_are_told():
    (found,) = loosened(OLD, merged(OLD, {"budgets": {"size_mb": {"max_ratio": 0.55}}}))
    assert (found.old, found.new) == (0.5, 0.55)
    assert str(found.of("vision/x", "w4")) == "vision/x::size_mb[w4]: max_ratio 0.5 → 0.55"
    (gone,) = loosened(OLD, merged(OLD, {"budgets": {"size_mb": None}}))
    assert str(gone.of("vision/x", "")) == "vision/x::size_mb: budget max 3, max_ratio 0.5 → none"


def test_what_was_no_spec_is_compared_as_far_as_it_goes():
    assert list(loosened({"budgets": 3, "tier": ["x"], "measure": "y", "requires": 1, "expect_fail": 2}, OLD)) != []
    assert list(loosened({}, {})) == []


metrics = st.sampled_from(["size_mb", "params_m", "latency_ms", "top1", "sparsity"])
bounds = st.dictionaries(st.sampled_from(BOUNDS), st.floats(0.001, 1000), min_size=1)
budgets = st.dictionaries(st.sampled_from("abcde"), st.tuples(metrics, bounds), min_size=1)
amounts = st.floats(1.0001, 10)


def spec(given_budgets) -> dict:
    return {"budgets": {label: {"metric": metric, **held} for label, (metric, held) in given_budgets.items()}}


@settings(deadline=None, max_examples=150)
@given(held=budgets, data=st.data(), amount=amounts)
def test_loosening_any_bound_is_always_told(held, data, amount):
    label = data.draw(st.sampled_from(sorted(held)))
    name = data.draw(st.sampled_from(sorted(held[label][1])))
    looser = {label: dict(budget) for label, budget in spec(held)["budgets"].items()}
    if data.draw(st.booleans()):
        del looser[label][name]
    else:
        looser[label][name] = looser[label][name] / amount if name in FLOORS else looser[label][name] * amount
    found = [(one.label, one.what, one.reason) for one in loosened(spec(held), {"budgets": looser})]
    assert found == [(label, name, None)]


@settings(deadline=None, max_examples=150)
@given(held=budgets, data=st.data(), amount=amounts)
def test_tightening_any_bounds_is_never_told(held, data, amount):
    tighter = {label: dict(budget) for label, budget in spec(held)["budgets"].items()}
    for budget in tighter.values():
        for name in data.draw(st.sets(st.sampled_from(BOUNDS))):
            value = budget.get(name, 1.0)
            budget[name] = value * amount if name in FLOORS else value / amount
    tighter |= {f"new {label}": {"metric": metric, **more} for label, (metric, more) in data.draw(budgets).items()}
    assert list(loosened(spec(held), {"budgets": tighter})) == []


def test_every_bound_has_its_side():
    assert set(CEILINGS) | set(FLOORS) == set(BOUNDS)
    assert not set(CEILINGS) & set(FLOORS)
