"""The audit of a project in git: what it reads, what it follows, and what it is not fooled by."""

import json
import subprocess
import sys

import pytest

from harness.__main__ import main
from harness.audit.revision import AuditError
from harness.errors import SpecError


def accepted(value, metric="size_mb", **more):
    return {"metric": metric, "metric_version": 1, "value": value, "reference": 5.0, "kernels": "x86", "ratio": None,
            "outcomes": None, **more}  # fmt: skip


def entry(reason, **values):
    return {"date": "2026-01-01", "commit": "c", "reason": reason, "values": values}


def held(size=2.0, top1=0.9, samples="d", history=(), **more):
    portable = {"size_mb": accepted(size), "top1": accepted(top1, "top1", outcomes={"kind": "pairs", "data": samples})}
    return {"cases": {"": {"portable": portable, "machines": {}, "evidence": {}, "history": list(history), **more}}}


FIRST = entry("first", size_mb=[None, 2.0], top1=[None, 0.9])


def test_nothing_changed_is_nothing_looser(repository):
    assert repository.audit() == []


def test_a_looser_bound_is_told_committed_or_not(repository, spec):
    repository.write(spec.replace("0.5", "0.6"))
    assert repository.told() == ["x::size_mb: max_ratio 0.5 → 0.6"]
    repository.commit()
    assert repository.told() == []
    assert repository.told("HEAD~1") == ["x::size_mb: max_ratio 0.5 → 0.6"]


def test_a_stem_that_loosens_loosens_all_that_extend_it(repository, spec):
    repository.write(spec, "specs/_stem.yaml")
    for name in ("a", "b"):
        repository.write("extends: ../_stem.yaml\n", f"specs/deep/{name}.yaml")
    repository.commit()
    repository.write(spec.replace("0.02", "0.03"), "specs/_stem.yaml")
    assert repository.told() == ["deep/a::top1: max_drop 0.02 → 0.03", "deep/b::top1: max_drop 0.02 → 0.03"]
    # The new reason stands in the stem, and so in each.
    repository.write(spec.replace("max_drop: 0.02", "max_drop: 0.03, because: agreed"), "specs/_stem.yaml")
    assert [one.reason for one in repository.audit()] == ["agreed", "agreed"]


def test_a_stem_outside_of_specs_is_read_too(repository, spec):
    repository.write(spec, "shared/stem.yaml")
    repository.write("extends: ../shared/stem.yaml\n", "specs/y.yaml")
    repository.commit()
    repository.write(spec.replace("0.5", "0.6"), "shared/stem.yaml")
    assert repository.told() == ["y::size_mb: max_ratio 0.5 → 0.6"]


def test_another_stem_with_other_bounds_is_seen_through(repository, spec):
    repository.write(spec, "specs/_a.yaml")
    repository.write(spec.replace("0.5", "0.7"), "specs/_b.yaml")
    repository.write("extends: _a.yaml\n", "specs/y.yaml")
    repository.commit()
    repository.write("extends: _b.yaml\n", "specs/y.yaml")
    assert repository.told() == ["y::size_mb: max_ratio 0.5 → 0.7"]


def test_cases_are_compared_one_by_one(repository, spec):
    cases = "cases:\n  w4: {budgets: {size_mb: {max_ratio: 0.3}}}\n  w8: {}\n"
    repository.write(spec + cases)
    repository.commit()
    repository.write(spec + cases.replace("0.3", "0.4"))
    assert repository.told() == ["x::size_mb[w4]: max_ratio 0.3 → 0.4"]
    repository.write(spec + "cases: {w4: {budgets: {size_mb: {max_ratio: 0.3}}}}\n")
    assert repository.told() == ["x[w8]: case w8 → none"]
    repository.write(spec + "because: w8 is not shipped\ncases: {w4: {budgets: {size_mb: {max_ratio: 0.3}}}}\n")
    assert [one.reason for one in repository.audit()] == ["w8 is not shipped"]


def test_a_case_under_another_name_is_followed_while_it_compresses_in_the_same_way(repository, spec):
    cases = "cases:\n  w4: {compress: [{method: bfloat16}]}\n  w8: {}\n"
    repository.write(spec + cases)
    repository.commit()
    repository.write(spec + cases.replace("w8", "int8"))
    assert repository.told() == []
    repository.write(spec + cases.replace("w8: {}", "int8: {budgets: {size_mb: {max_ratio: 0.6}}}"))
    assert repository.told() == ["x::size_mb[int8]: max_ratio 0.5 → 0.6"]
    repository.write(spec + cases.replace("w8: {}", "int8: {compress: [{method: identity}]}"))
    assert repository.told() == ["x[w8]: case w8 → none"]


def test_a_file_that_is_split_into_cases_loses_nothing_that_one_of_them_keeps(repository, spec):
    cases = "cases:\n  loose: {budgets: {size_mb: {max_ratio: 0.9}}}\n  as-ever: {}\n"
    repository.write(spec + cases)
    assert repository.told() == []
    repository.write(spec + "cases: {other: {compress: [{method: identity}]}}\n")
    assert repository.told() == ["x: case the whole file → none"]


def test_a_spec_that_is_gone_needs_a_reason_in_the_commit(repository):
    (repository.root / "specs/x.yaml").unlink()
    assert repository.told() == ["x: spec specs/x.yaml → none"]
    repository.commit("Drop it")
    assert [one.reason for one in repository.audit("HEAD~1")] == [None]
    repository.git("commit", "-q", "--amend", "-m", "Drop it\n\nBudget-Reason: the model is retired\nSigned-off-by: t")
    assert [one.reason for one in repository.audit("HEAD~1")] == ["the model is retired"]


@pytest.mark.parametrize(
    "name",
    [
        "specs/_x.yaml", "specs/must-fail/x.yaml", "x.yaml", "specs/build/x.yaml", "specs/.old/x.yaml",
        "specs/vision/old.egg/x.yaml",
    ],
)  # fmt: skip
def test_a_spec_that_no_run_collects_any_more_is_gone(repository, spec, name):
    (repository.root / "specs/x.yaml").unlink()
    repository.write(spec, name)
    assert repository.told() == ["x: spec specs/x.yaml → none"]


def test_a_file_that_only_moved_is_followed_and_its_baseline_with_it(repository, spec):
    repository.baseline(held(history=[FIRST]))
    repository.commit()
    for path in ("specs/x.yaml", "baselines/x.json"):
        (repository.root / path).unlink()
    repository.write(spec, "specs/vision/y.yml")
    repository.baseline(held(history=[FIRST]), "vision/y")
    assert repository.told() == []
    repository.baseline(held(size=3.0, history=[FIRST]), "vision/y")
    assert repository.told() == ["vision/y::size_mb: baseline value 2.0 → 3.0"]


def test_a_file_that_moved_and_loosened_is_followed_too(repository, spec):
    (repository.root / "specs/x.yaml").unlink()
    repository.write(spec.replace("0.5", "0.6"), "specs/y.yaml")
    assert repository.told() == ["y::size_mb: max_ratio 0.5 → 0.6"]
    repository.git("add", "-A")
    assert repository.told() == ["y::size_mb: max_ratio 0.5 → 0.6"]


def test_an_unlike_file_is_another_one(repository):
    (repository.root / "specs/x.yaml").unlink()
    repository.write(
        "version: 1\ntask: image-classification\nmodel: {source: zoo, name: lenet5-digits}\ndata: {source: mnist}\n"
        "compress:\n  - method: bfloat16\nbudgets:\n  params_m: {max: 1}\n",
        "specs/y.yaml",
    )
    assert repository.told() == ["x: spec specs/x.yaml → none"]


@pytest.mark.parametrize(("old", "new"), [("float16", "bfloat16"), ("resnet20-digits", "resnet18-digits")])
def test_a_file_that_gates_something_else_is_no_heir_however_alike(repository, spec, old, new):
    (repository.root / "specs/x.yaml").unlink()
    repository.write(spec.replace(old, new), "specs/y.yaml")
    assert repository.told() == ["x: spec specs/x.yaml → none"]


def test_equal_contents_over_another_stem_are_another_spec(repository, spec):
    repository.write(spec, "specs/a/_stem.yaml")
    repository.write(spec.replace("float16", "bfloat16"), "specs/b/_stem.yaml")
    repository.write("extends: _stem.yaml\n", "specs/a/y.yaml")
    repository.commit()
    (repository.root / "specs/a/y.yaml").unlink()
    repository.write("extends: _stem.yaml\n", "specs/b/y.yaml")
    assert repository.told() == ["a/y: spec specs/a/y.yaml → none"]


def test_a_case_that_compresses_otherwise_since_its_file_moved_is_gone(repository, spec):
    cases = "cases:\n  w4: {compress: [{method: bfloat16}]}\n  w8: {}\n"
    repository.write(spec + cases)
    repository.commit()
    (repository.root / "specs/x.yaml").unlink()
    repository.write(spec + cases, "specs/y.yaml")
    assert repository.told() == []
    repository.write(spec + cases.replace("bfloat16", "identity"), "specs/y.yaml")
    assert repository.told() == ["y[w4]: case w4 → none"]
    # Its steps are taken under another name.
    taken = "  w2: {compress: [{method: bfloat16}]}\n"
    repository.write(spec + cases.replace("bfloat16", "identity") + taken, "specs/y.yaml")
    assert repository.told() == []


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (held(size=2.0001), ["x::size_mb: baseline value 2.0 → 2.0001"]),
        (held(size=1.9), []),
        (held(top1=0.95), []),
        (held(top1=0.899), ["x::top1: baseline value 0.9 → 0.899"]),
        (
            held(
                portable={
                    **held()["cases"][""]["portable"],
                    "top1": accepted(0.9, "top1", reference=4.9, outcomes={"kind": "pairs", "data": "d"}),
                }
            ),
            ["x::top1: baseline float figure 5.0 → 4.9"],
        ),
        (
            held(
                portable={
                    "size_mb": accepted(2.0, kernels="arm"),
                    "top1": accepted(0.9, "top1", kernels="arm", outcomes={"kind": "pairs", "data": "d"}),
                }
            ),
            # Counts are compared whatever the kernels, outcomes are not.
            ["x::top1: baseline kernels x86 → arm"],
        ),
        (held(samples="e"), ["x::top1: baseline samples d → e"]),
        (held(portable={"top1": held()["cases"][""]["portable"]["top1"]}), ["x::size_mb: baseline value 2.0 → none"]),
        ({"cases": {}}, ["x: baseline accepted → none"]),
    ],
)
def test_a_baseline_that_asks_for_less_is_told(repository, new, told):
    repository.baseline(held(history=[FIRST]))
    repository.commit()
    repository.baseline(new)
    assert repository.told() == told
    assert all(one.reason is None for one in repository.audit())


def test_the_reason_of_a_baseline_is_the_one_it_was_accepted_with_since(repository):
    repository.baseline(held(history=[FIRST]))
    repository.commit()
    second = entry("a larger vocabulary", size_mb=[2.0, 2.5])
    repository.baseline(held(size=2.5, history=[FIRST, second]))
    assert [one.reason for one in repository.audit()] == ["a larger vocabulary"]
    # An old reason, or one that was given for another budget, is none.
    repository.baseline(held(size=2.5, history=[FIRST]))
    assert [one.reason for one in repository.audit()] == [None]
    repository.baseline(held(size=2.5, history=[FIRST, entry("another", top1=[0.9, 0.9])]))
    assert [one.reason for one in repository.audit()] == [None]


def test_a_baseline_that_is_gone_is_told_unless_its_budget_is(repository, spec):
    repository.baseline(held(history=[FIRST]))
    repository.commit()
    (repository.root / "baselines/x.json").unlink()
    assert repository.told() == ["x: baseline baselines/x.json → none"]
    (repository.root / "specs/x.yaml").unlink()
    assert repository.told() == ["x: spec specs/x.yaml → none"]
    repository.write(spec.replace("  size_mb: {max_ratio: 0.5}\n", ""))
    repository.baseline(held(portable={"top1": held()["cases"][""]["portable"]["top1"]}))
    assert repository.told() == ["x::size_mb: budget max_ratio 0.5 → none"]


LATENCY = "  latency_ms: {max_ratio: 0.8}\n"
UPPER = "x::latency_ms: baseline upper end of the ratio on machine m1 0.51 →"


def machine(ratio, cpu="a", threads=1, libraries=None, value=10.0, wide=0.01, **more):
    about = {"cpu": cpu, "instruction_sets": ["avx2"], "system": "Linux", "libraries": libraries or {}}
    held = accepted(value, "latency_ms", ratio=[ratio - wide, ratio, ratio + wide], **more)
    return {"environment": about, "threads": threads, "labels": {"latency_ms": held}}


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({"m1": machine(0.5, value=20.0)}, []),
        # At another pace of float neither the ratio nor the time is held to what was accepted.
        ({"m1": machine(0.5, reference=8.0)}, ["x::latency_ms: baseline float figure on machine m1 5.0 → 8.0"]),
        ({"m1": machine(0.5, reference=3.0)}, ["x::latency_ms: baseline float figure on machine m1 5.0 → 3.0"]),
        ({"m1": machine(0.5, reference=5.5)}, []),
        ({"m1": machine(0.4)}, []),
        ({"m1": machine(0.6)}, [f"{UPPER} 0.61"]),
        # The estimate is the same, and its upper end is what a regression is proven against.
        ({"m1": machine(0.5, wide=0.05)}, [f"{UPPER} 0.55"]),
        ({"m1": machine(0.505, wide=0.001)}, []),
        ({"m1": machine(0.5, kernels="arm")}, ["x::latency_ms: baseline kernels on machine m1 x86 → arm"]),
        ({}, ["x::latency_ms: baseline value on machine m1 10.0 → none"]),
        ({"m2": machine(0.5, cpu="b")}, ["x::latency_ms: baseline value on machine m1 10.0 → none"]),
        # Superseded: the same machine, other libraries.
        ({"m2": machine(0.5, libraries={"torch": "3"})}, []),
        ({"m2": machine(0.6, libraries={"torch": "3"})}, [f"{UPPER} 0.61"]),
        # Beside it: until then this machine's ratio was held to the older one.
        ({"m1": machine(0.5), "m2": machine(0.6, libraries={"torch": "3"})}, [f"{UPPER.replace('m1', 'm2')} 0.61"]),
        ({"m1": machine(0.5), "m2": machine(0.4, libraries={"torch": "3"})}, []),
        ({"m1": machine(0.5), "m2": machine(0.6, cpu="b")}, []),
        ({"m1": machine(0.5), "m2": machine(0.6, kernels="arm")}, []),
    ],
)
def test_times_are_compared_as_ratios_machine_by_machine(repository, spec, now, told):
    repository.write(spec + LATENCY)
    repository.baseline(held(machines={"m1": machine(0.5)}))
    repository.commit()
    repository.baseline(held(machines=now))
    assert repository.told() == told


def test_of_memory_the_greatest_reading_is_compared_where_both_were_read_often(repository, spec):
    def read(value, reach):
        figure = accepted(value, "peak_memory_mb", reach=reach)
        return held(machines={"m1": {**machine(0.5), "labels": {"peak_memory_mb": figure}}})

    repository.write(spec + "  peak_memory_mb: {max_ratio: 0.9}\n")
    repository.baseline(read(10.0, [9.5, 10.5]))
    repository.commit()
    greatest, value = (f"x::peak_memory_mb: baseline {what} on machine m1" for what in ("greatest reading", "value"))
    for now, told in (
        (read(10.4, [9.0, 10.5]), []),
        (read(10.0, [9.5, 11.5]), [f"{greatest} 10.5 → 11.5"]),
        (read(10.0, None), []),
        (read(10.4, None), [f"{value} 10.0 → 10.4"]),
    ):
        repository.baseline(now)
        assert repository.told() == told


def test_a_new_section_is_held_to_the_closest_of_the_old_ones_that_stay(repository, spec):
    two, three, four = ({"torch": one, "numpy": "1"} for one in "234")
    old = {"m2": machine(0.5, libraries={"torch": "2"}), "m3": machine(0.6, libraries=three)}
    repository.write(spec + LATENCY)
    repository.baseline(held(machines=old))
    repository.commit()
    # Of `m3` one version differs, of `m2` two.
    repository.baseline(held(machines={**old, "m4": machine(0.6, libraries=four)}))
    assert repository.told() == []
    repository.baseline(held(machines={**old, "m4": machine(0.7, libraries=four)}))
    assert repository.told() == ["x::latency_ms: baseline upper end of the ratio on machine m4 0.61 → 0.71"]
    # What takes an old one's place is the new one, and not another old one.
    repository.baseline(held(machines={"m2": machine(0.5, libraries=two), "m4": machine(0.7, libraries=four)}))
    assert "x::latency_ms: baseline upper end of the ratio on machine m3 0.61 → 0.71" in repository.told()


def test_a_figure_of_its_own_is_held_to_the_one_for_other_libraries_that_held_it_until_now(repository, spec):
    """Budgets are accepted one by one: the section may be there, and this label new in it."""
    old = {"m1": machine(0.5, libraries={"torch": "2"}), "m2": {**machine(0.5, libraries={"torch": "3"}), "labels": {}}}
    repository.write(spec + LATENCY)
    repository.baseline(held(machines=old))
    repository.commit()
    for ratio, told in ((0.5, []), (0.6, ["x::latency_ms: baseline upper end of the ratio on machine m2 0.51 → 0.61"])):
        repository.baseline(held(machines={**old, "m2": machine(ratio, libraries={"torch": "3"})}))
        assert repository.told() == told


def called(document, name):
    """The same baseline, its only case under another name."""
    return {"cases": {name: document["cases"][""]}}


def relabeled(top1, label="acc", **more):
    portable = held(top1=top1)["cases"][""]["portable"]
    portable[label] = portable.pop("top1")
    return held(portable=portable, **more)


def test_a_baseline_is_held_to_what_its_budget_became(repository, spec):
    repository.baseline(held(history=[FIRST]))
    repository.commit()
    repository.write(spec.replace("  top1: {", "  acc: {metric: top1, "))
    # As long as nothing was accepted under the new label, that is told too.
    assert repository.told() == ["x::acc: baseline value 0.9 → none"]
    repository.baseline(relabeled(0.9, history=[FIRST]))
    assert repository.told() == []
    repository.baseline(relabeled(0.8, history=[FIRST]))
    assert [(str(one), one.reason) for one in repository.audit()] == [("x::acc: baseline value 0.9 → 0.8", None)]
    repository.baseline(relabeled(0.8, history=[FIRST, entry("other data", acc=[None, 0.8])]))
    assert [one.reason for one in repository.audit()] == ["other data"]


def test_a_time_is_held_to_what_its_budget_became(repository, spec):
    repository.write(spec + LATENCY)
    repository.baseline(held(machines={"m1": machine(0.5)}))
    repository.commit()
    repository.write(spec + "  quick: {metric: latency_ms, max_ratio: 0.8}\n")
    for ratio, told in ((0.5, []), (0.6, [UPPER.replace("latency_ms", "quick") + " 0.61"])):
        now = machine(ratio)
        now["labels"] = {"quick": now["labels"]["latency_ms"]}
        repository.baseline(held(machines={"m1": now}))
        assert repository.told() == told


def test_a_baseline_is_held_to_what_its_case_became(repository, spec):
    repository.baseline(held(history=[FIRST]))
    repository.commit()
    # The file is split; then a case is renamed, and a label of it too.
    repository.write(spec + "cases: {as-ever: {}, other: {compress: [{method: bfloat16}]}}\n")
    assert repository.told() == ["x[as-ever]: baseline accepted → none"]
    repository.baseline(called(held(size=3.0), "as-ever"))
    assert repository.told() == ["x::size_mb[as-ever]: baseline value 2.0 → 3.0"]
    repository.baseline(called(held(), "as-ever"))
    assert repository.told() == []
    repository.commit()
    acc = spec.replace("  top1: {", "  acc: {metric: top1, ")
    repository.write(acc + "cases: {anew: {}}\nbecause: one is enough\n")
    repository.baseline(called(relabeled(0.8), "anew"))
    assert repository.told() == [
        "x[other]: case other → none", "x::acc[anew]: baseline value 0.9 → 0.8",
    ]  # fmt: skip


def test_the_commit_says_why_nothing_is_held_of_a_case_any_more(repository):
    repository.baseline(held(history=[FIRST]))
    repository.commit()
    repository.baseline({"cases": {}})
    repository.commit("Take it anew\n\nBudget-Reason: measured on the wrong split")
    assert [(str(one), one.reason) for one in repository.audit("HEAD~1")] == [
        ("x: baseline accepted → none", "measured on the wrong split")
    ]


def test_of_a_throughput_the_lower_end_is_held(repository, spec):
    repository.write(spec + "  throughput_fps: {min_ratio: 1.0}\n")
    lower = "x::throughput_fps: baseline lower end of the ratio on machine m1 0.49 → 0.45"
    for wide, told in ((0.01, []), (0.05, [lower])):
        now = machine(0.5, wide=wide)
        now["labels"] = {"throughput_fps": {**now["labels"]["latency_ms"], "metric": "throughput_fps"}}
        repository.baseline(held(machines={"m1": now}))
        if not told:
            repository.commit()
        assert repository.told() == told


def test_a_project_in_a_folder_of_the_repository_is_compared_with_that_folder(repository, spec):
    repository.write(spec.replace("0.5", "0.1"))
    repository.project = repository.root / "models"
    repository.write(spec)
    repository.commit()
    repository.write(spec.replace("0.5", "0.6"))
    assert repository.told() == ["x::size_mb: max_ratio 0.5 → 0.6"]


def test_what_was_no_spec_then_has_nothing_to_loosen(repository, spec):
    repository.write("a: b: c\n", "specs/odd.yaml")
    repository.write("extends: nowhere.yaml\n", "specs/lost.yaml")
    repository.commit()
    for name in ("odd", "lost"):
        repository.write(spec, f"specs/{name}.yaml")
    assert repository.told() == []


def test_what_is_no_spec_now_cannot_be_audited(repository, spec):
    repository.write(spec.replace("max_ratio", "max_rato"))
    with pytest.raises(SpecError, match="unknown key 'max_rato'"):
        repository.audit()


def test_a_baseline_that_cannot_be_read_cannot_be_audited(repository):
    repository.baseline(held())
    repository.commit()
    repository.write("{", "baselines/x.json")
    with pytest.raises(AuditError, match=r"baselines/x\.json cannot be read"):
        repository.audit()


MERGED = [
    ({"cases": []}, "cases: "),
    ({"cases": None}, "cases: "),
    ({"cases": {"": []}}, "cases.: "),
    ({"cases": {"": {"portable": None}}}, "cases..portable: "),
    ({"cases": {"": {"portable": {"size_mb": 2.0}}}}, "cases..portable.size_mb: "),
    ({"cases": {"": {"portable": {"size_mb": accepted(2.0, metric=["size_mb"])}}}}, "cases..portable.size_mb.metric: "),
    ({"cases": {"": {"portable": {"size_mb": accepted("2.0")}}}}, "cases..portable.size_mb.value: "),
    ({"cases": {"": {"machines": {"m1": {"threads": 1, "labels": {}}}}}}, "cases..machines.m1.environment: "),
    ({"cases": {"": {"history": [{"values": {}}]}}}, "cases..history.0.reason: "),
]


@pytest.mark.parametrize(("merged", "where"), MERGED)
def test_a_baseline_that_was_merged_by_hand_is_named_on_either_side(repository, monkeypatch, capsys, merged, where):
    monkeypatch.chdir(repository.root)
    repository.baseline(held())
    repository.commit()
    repository.baseline(merged)
    assert main(["audit", "HEAD"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"baselines/x.json cannot be read ({where}")
    assert told.endswith("; restore it from version control\n")
    commit = repository.commit()
    repository.baseline(held())
    assert main(["audit", "HEAD"]) == 2
    assert capsys.readouterr().err.startswith(f"baselines/x.json of {commit[:12]} cannot be read ({where}")


def test_the_command_exits_by_what_it_found(repository, spec, monkeypatch, capsys):
    monkeypatch.chdir(repository.root)
    assert main(["audit", "HEAD"]) == 0
    assert capsys.readouterr().out.startswith("nothing is looser since HEAD (")
    repository.write(spec.replace("max_ratio: 0.5", "max_ratio: 0.6, because: agreed").replace("0.02", "0.03"))
    assert main(["audit", "HEAD", "--json", "out/audit.json"]) == 1
    printed = capsys.readouterr()
    commit = repository.git("rev-parse", "HEAD")
    assert printed.out.splitlines() == [
        "x::size_mb: max_ratio 0.5 → 0.6",
        "    agreed",
        "x::top1: max_drop 0.02 → 0.03",
        "    NO REASON IS RECORDED",
        f"2 looser since HEAD ({commit[:12]}), 1 without a reason",
    ]
    assert "`because:` in the budget" in printed.err
    document = json.loads((repository.root / "out/audit.json").read_text())
    assert (document["commit"], document["unexplained"]) == (commit, 1)
    assert document["loosened"][0] == {
        "spec": "x", "case": "", "label": "size_mb", "what": "max_ratio", "old": 0.5, "new": 0.6, "reason": "agreed",
    }  # fmt: skip
    assert document["unread"] == []
    repository.write(spec.replace("0.5", "0.6") + "because: agreed\n")
    assert main(["audit", "HEAD"]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "'nowhere' is no commit of this repository"),
        (["--", "-x"], "'-x' is no commit of this repository"),
        (["HEAD:specs"], "'HEAD:specs' is no commit of this repository"),
        (["HEAD", "--project", "specs"], "specs holds neither specs/ nor baselines/"),
    ],
)
def test_where_there_is_nothing_to_compare_with_it_says_so(repository, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(repository.root)
    assert main(["audit", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_outside_of_a_repository_it_says_so(tmp_path, monkeypatch, capsys):
    (tmp_path / "specs").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert main(["audit", "HEAD"]) == 2
    assert "lies in no git repository that can be read: not a git repository" in capsys.readouterr().err


def test_the_working_tree_is_left_as_it_is_and_no_torch_is_imported(repository, spec):
    repository.write(spec.replace("0.5", "0.6"))
    before = repository.git("status", "--porcelain")
    program = (
        "import sys; from harness.__main__ import main; code = main(['audit', 'HEAD']); "
        "heavy = {'torch', 'torchvision', 'openvino', 'sklearn', 'pytest'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=repository.root, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1, run.stderr
    assert repository.git("status", "--porcelain") == before
