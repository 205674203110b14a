"""`expect_fail:` as a spec says it: what is refused, where, and what an entry means."""

from datetime import date

import pytest

ENTRY = "{metric: top1, verdict: FAIL, because: a new backbone, owner: mara, until: 2026-12-31}"


def entry(**changes: str) -> str:
    """An entry with some keys set, or taken away where they are empty."""
    keys = {"metric": "top1", "verdict": "FAIL", "because": "why", "owner": "mara", "until": "2026-12-31", **changes}
    return f"{{{', '.join(f'{key}: {value}' for key, value in keys.items() if value)}}}"


@pytest.mark.parametrize("text", [ENTRY, f"[{ENTRY}]", f"\n  - {ENTRY}"])
def test_one_entry_needs_no_brackets(project, spec, text):
    (found,) = project.load(f"{spec}expect_fail: {text}\n").cases[0].spec.expect_fail
    assert (found.metric, found.verdict, found.owner, found.until) == ("top1", "FAIL", "mara", date(2026, 12, 31))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (entry(metric="top"),
         "15:23: expect_fail.metric: no budget is called 'top'; there are: size_mb, top1, evidence. "
         "Did you mean 'top1'?"),
        (f"[{entry()}, {entry(metric='siz_mb')}]", "expect_fail[1].metric: no budget is called 'siz_mb'; "),
        (entry(owner=""), "15:1: expect_fail.owner: the key 'owner' is required (who answers for it)"),
        (entry(until=""), "expect_fail.until: the key 'until' is required"),
        (entry(because="' '"), 'expect_fail.because: found " "; expected why it is tolerated'),
        (entry(verdict="PASS"), 'expect_fail.verdict: found "PASS"; allowed: FAIL, INCONCLUSIVE, INVALID'),
        (entry(verdict="fail"), "Did you mean 'FAIL'?"),
        (entry(until="2026-13-01"), "expect_fail.until: there is no such day; month must be in 1..12"),
        (entry(until="2027-01"), 'expect_fail.until: a day is expected, as in 2026-12-31 (found "2027-01")'),
        (entry(until="soon"), "a day is expected, as in 2026-12-31"),
        (entry(until="20261231"), "a day is expected, as in 2026-12-31"),
        (entry(until="2026-12-31 10:00:00"), "a day is expected, as in 2026-12-31"),
        (entry(until="2026-W53-4"), "a day is expected, as in 2026-12-31"),
        (entry(bound="max_drp"), "Did you mean 'max_drop'?"),
        (entry(bound="max_ratio"), "expect_fail.bound: top1 sets no max_ratio; what can break is: max_drop, "
         "reference_min, regress"),
        (entry(bound="reference_min"), "reference_min is never FAIL: where it breaks, it is INVALID"),
        (entry(verdict="INVALID"), "INVALID has many causes, and one is expected: say with `says`"),
        (entry(metric="evidence", says="no effect"), "evidence is never FAIL"),
        (entry(metric="evidence", verdict="INVALID", bound="max"), "evidence has no bounds"),
        (f"[{entry()}, {entry()}]", "top1 is expected to break so twice; keep one entry"),
        (entry(reason="x"), "unknown key 'reason' (found \"x\"); allowed: because, bound, metric, owner, says"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused_where_it_stands(project, spec, text, told):
    assert told in str(project.problem(f"{spec}expect_fail: {text}\n"))


def test_a_budget_of_several_bounds_is_told_by_the_one_that_breaks(project, changed):
    text = changed("{max_ratio: 0.5}", "{max_ratio: 0.5, max: 3}")
    told = str(project.problem(f"{text}expect_fail: {entry(metric='size_mb')}\n"))
    assert told.endswith("size_mb has several bounds; say with `bound` which one breaks: max, max_ratio")
    spec = project.load(f"{text}expect_fail: {entry(metric='size_mb', bound='max')}\n").cases[0].spec
    assert spec.expect_fail[0].cause(spec.budgets) == "max"


def test_the_only_bound_on_the_model_is_the_one_that_is_meant(project, spec):
    loaded = project.load(f"{spec}expect_fail: {ENTRY}\n").cases[0].spec
    # Its other bound, reference_min, is on the float model.
    assert loaded.expect_fail[0].cause(loaded.budgets) == "max_drop"


def test_a_metric_means_its_budget_where_only_one_measures_it(project, changed):
    text = changed("size_mb:", "small:").replace("{max_ratio: 0.5}", "{metric: size_mb, max_ratio: 0.5}")
    loaded = project.load(f"{text}expect_fail: {entry(metric='size_mb')}\n").cases[0].spec
    assert loaded.expect_fail[0].labels(loaded.budgets) == ("small",)
    two = text.replace("budgets:\n", "budgets:\n  tiny: {metric: size_mb, max: 1}\n")
    told = str(project.problem(f"{two}expect_fail: {entry(metric='size_mb')}\n"))
    assert told.endswith("size_mb is measured by several budgets; name one by its label: tiny, small")


def test_cases_and_stems_share_and_replace_it(project, spec):
    project.write(f"{spec}expect_fail: {ENTRY}\n", "_stem.yaml")
    file = project.load(
        "extends: _stem.yaml\ncases:\n  a: {}\n  b: {expect_fail: {until: 2027-01-31}}\n  c: {expect_fail: null}\n"
        "  d: {expect_fail: [{metric: size_mb, verdict: INCONCLUSIVE, because: y, owner: x, until: 2026-01-01}]}\n"
    )
    found = {case.name: [(one.metric, one.until) for one in case.spec.expect_fail] for case in file.cases}
    assert found == {
        "a": [("top1", date(2026, 12, 31))],
        "b": [("top1", date(2027, 1, 31))],
        "c": [],
        "d": [("size_mb", date(2026, 1, 1))],
    }


def test_a_case_that_drops_the_budget_is_told_that_nothing_is_left_to_expect(project, spec):
    text = f"{spec}expect_fail: {ENTRY}\ncases: {{a: {{}}, b: {{budgets: {{top1: null}}}}}}\n"
    assert str(project.problem(text)).endswith("no budget is called 'top1'; there are: size_mb, evidence (in case b)")


def test_the_last_day_still_counts(project, spec):
    (found,) = project.load(f"{spec}expect_fail: {ENTRY}\n").cases[0].spec.expect_fail
    assert not found.expired(date(2026, 12, 31))
    assert found.expired(date(2027, 1, 1))


def test_a_malformed_budget_is_no_missing_one(project, changed):
    """What is expected of a budget that cannot be read is told once it can."""
    text = f"{changed('max_drop: 0.02', 'max_dorp: 0.02')}expect_fail: {entry()}\n"
    assert str(project.problem(text)).startswith("specs/x.yaml:13:5: budgets.top1.max_dorp: unknown key 'max_dorp'")
    # Beside an unknown key elsewhere, the budgets are all there.
    text = f"{changed('title:', 'titel:')}expect_fail: {entry(metric='top')}\n"
    assert [one.path for one in project.problems(text)] == ["titel", "expect_fail.metric"]
