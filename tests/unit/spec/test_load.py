"""Stems and cases: how texts of several files become one spec, and whose line a fault is in."""

from pathlib import Path

import pytest

from harness.spec.files import id_of, root_of
from harness.spec.load import load, merge

STEM = """\
task: image-classification
model: {source: zoo, name: resnet20-digits}
data: {source: digits, calibration: 64}
compress:
  - {method: magnitude-pruning, sparsity: 0.5}
  - {method: int8-static, keep_float: [fc]}
budgets:
  size_mb: {max: 2.0, max_ratio: 0.5}
  top1: {max_drop: 0.02}
"""
HEAD = "version: 1\nextends: _stem.yaml\n"


@pytest.fixture
def stemmed(project):
    project.write(STEM, "_stem.yaml")
    return project


def only(file):
    assert [case.name for case in file.cases] == [""]
    return file.cases[0].spec


def test_a_whole_spec_becomes_what_it_says(project, spec):
    loaded = only(project.load(spec, "task/mine.yaml"))
    assert loaded.title == "small"
    assert (loaded.model.source, loaded.model.name) == ("zoo", "resnet20-digits")
    assert (loaded.data.source, loaded.data.calibration) == ("digits", 64)
    assert [step.method for step in loaded.compress] == ["magnitude-pruning", "int8-static"]
    assert loaded.compress[0].finetune.epochs == 1
    assert loaded.budgets["top1"].bounds() == {"max_drop": 0.02, "reference_min": 0.9}
    assert (loaded.tier, loaded.requires, loaded.measure.threads) == ("ci", (), 1)


def test_the_project_root_holds_the_specs(project, spec):
    file = project.load(spec, "task/deep/mine.yaml")
    assert file.root == project.root
    assert file.id == "task/deep/mine"
    assert root_of(project.root / "elsewhere.yaml") == project.root
    assert id_of(project.root / "elsewhere.yaml", project.root) == "elsewhere"


def test_a_file_with_no_specs_above_it_is_its_own_root(tmp_path: Path, spec):
    path = tmp_path / "mine.yaml"
    path.write_text(spec)
    assert (load(path).root, load(path).id) == (tmp_path, "mine")


def test_a_link_belongs_to_the_project_that_it_points_into(project, spec, tmp_path: Path):
    real = project.write(spec, "real.yaml")
    link = tmp_path / "link.yaml"
    link.symlink_to(real)
    assert load(link).id == "real"


def test_a_budget_is_a_label_and_its_metric(project, changed):
    file = project.load(changed("size_mb: {", "small: {metric: size_mb, "))
    budgets = only(file).budgets
    assert {label: budget.metric for label, budget in budgets.items()} == {"small": "size_mb", "top1": "top1"}


def test_maps_merge_and_lists_replace(stemmed):
    spec = only(
        stemmed.load(
            f"{HEAD}data: {{calibration: 32}}\ncompress: [{{method: float16}}]\n"
            "budgets: {size_mb: {max: 3}, params_m: {max: 1}}\n"
        )
    )
    assert (spec.data.source, spec.data.calibration) == ("digits", 32)
    assert [step.method for step in spec.compress] == ["float16"]
    assert {label: budget.bounds() for label, budget in spec.budgets.items()} == {
        "size_mb": {"max": 3, "max_ratio": 0.5}, "top1": {"max_drop": 0.02}, "params_m": {"max": 1},
    }  # fmt: skip


def test_null_takes_away_what_a_stem_says(stemmed):
    spec = only(stemmed.load(f"{HEAD}budgets: {{size_mb: {{max: null}}, top1: null}}\n"))
    assert {label: budget.bounds() for label, budget in spec.budgets.items()} == {"size_mb": {"max_ratio": 0.5}}


def test_null_where_there_is_nothing_to_take_away_is_a_value(stemmed):
    """Of an option that may be null, or of a case that changes nothing; a misspelt key is no silence."""
    assert merge({"data": {}}, {"data": {"windows": None}}) == {"data": {"windows": None}}
    stemmed.write(STEM + "cases: {a: {tier: nightly}}\n", "_stem.yaml")
    file = stemmed.load(f"{HEAD}cases: {{b: null}}\n")
    assert [(case.name, case.spec.tier) for case in file.cases] == [("a", "nightly"), ("b", "ci")]
    problem = stemmed.problem(f"{HEAD}budgets: {{topp1: null}}\n")
    assert (problem.file, problem.line, problem.path) == ("specs/x.yaml", 3, "budgets.topp1")


def test_stems_stack_and_the_nearest_wins(stemmed):
    stemmed.write("extends: _stem.yaml\ntitle: middle\nmeasure: {seed: 1, threads: 2}\n", "_middle.yaml")
    spec = only(stemmed.load("version: 1\nextends: _middle.yaml\nmeasure: {seed: 3}\n"))
    assert (spec.title, spec.measure.seed, spec.measure.threads) == ("middle", 3, 2)


def test_a_stem_lies_relative_to_the_file_that_extends_it(stemmed):
    stemmed.write("extends: ../_stem.yaml\nversion: 1\n", "one/_near.yaml")
    assert only(stemmed.load("extends: ../one/_near.yaml\n", "two/x.yaml")).model.name == "resnet20-digits"


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("_sten.yaml", "2:10: extends: there is no file specs/_sten.yaml. Did you mean '_stem.yaml'?"),
        ("sub/../_sten.yaml", "2:10: extends: there is no file specs/_sten.yaml. Did you mean 'sub/../_stem.yaml'?"),
        ("nowhere/at/all.yaml", "2:10: extends: there is no file specs/nowhere/at/all.yaml"),
        ("x.yaml", "2:10: extends: a spec cannot extend itself: specs/x.yaml → specs/x.yaml"),
        ("_loop.yaml", "1:10: extends: a spec cannot extend itself: specs/_loop.yaml → specs/_loop.yaml"),
        ("[_stem.yaml]", '2:10: extends: found ["_stem.yaml"]; the name of a file, relative to this file, is expected'),
        ("", "2:1: extends: found null; the name of a file, relative to this file, is expected"),
    ],
)
def test_a_stem_that_cannot_be_is_refused(stemmed, stem, expected):
    stemmed.write("extends: _loop.yaml\n", "_loop.yaml")
    problem = stemmed.problem(f"version: 1\nextends: {stem}\n")
    assert str(problem).endswith(expected)
    assert problem.file == ("specs/_loop.yaml" if stem == "_loop.yaml" else "specs/x.yaml")


def test_a_cycle_of_several_files_is_told_as_it_runs(project):
    project.write("extends: _b.yaml\n", "_a.yaml")
    project.write("extends: x.yaml\n", "_b.yaml")
    assert project.problem("extends: _a.yaml\n").message.endswith(
        "x.yaml → specs/_a.yaml → specs/_b.yaml → specs/x.yaml"
    )


def test_a_fault_inside_a_stem_is_told_with_the_stems_file_and_line(stemmed):
    stemmed.write(STEM.replace("keep_float: [fc]", "keep_float: {}"), "_stem.yaml")
    problem = stemmed.problem(HEAD)
    assert (problem.file, problem.line, problem.column) == ("specs/_stem.yaml", 6, 39)


def test_a_stem_that_is_no_yaml_is_told_under_its_own_name(stemmed):
    stemmed.write("a: b: c", "_stem.yaml")
    assert str(stemmed.problem(HEAD)).startswith("specs/_stem.yaml:1:5: is not YAML: ")


def test_a_stem_that_was_edited_is_read_anew(stemmed):
    assert only(stemmed.load(HEAD)).data.calibration == 64
    path = stemmed.write(STEM.replace("calibration: 64", "calibration: 16"), "_stem.yaml")
    import os

    os.utime(path, ns=(1, 1))
    assert only(stemmed.load(HEAD)).data.calibration == 16


def test_a_fault_in_a_list_that_replaced_another_is_not_looked_for_in_the_other(stemmed):
    # The stem's first step has a sparsity; the one that replaces it lacks it.
    problem = stemmed.problem(f"{HEAD}compress:\n  - {{method: magnitude-pruning}}\n")
    assert (problem.file, problem.line, problem.column, problem.path) == (
        "specs/x.yaml", 4, 5, "compress[0].sparsity",
    )  # fmt: skip


def test_a_key_that_the_stem_left_behind_is_told_with_the_way_to_lose_it(stemmed):
    stemmed.write(STEM.replace("calibration: 64", "channels: 3"), "_stem.yaml")
    problem = stemmed.problem(f"{HEAD}data: {{source: folder, path: mine}}\n")
    assert (problem.file, problem.line, problem.path) == ("specs/_stem.yaml", 3, "data.channels")
    assert problem.message.endswith("maps merge, and `channels: null` would take the key away again")
    data = only(stemmed.load(f"{HEAD}data: {{source: folder, path: mine, channels: null}}\n")).data
    assert data.source == "folder"


CASES = """
cases:
  small: {compress: [{method: int8-static}], budgets: {size_mb: {max: 1.0}}}
  plain:
  openvino:
    deploy: {runtime: openvino}
    budgets: {top1: null}
"""


def test_each_case_is_the_file_with_its_changes(stemmed):
    file = stemmed.load(HEAD + CASES)
    specs = {case.name: case.spec for case in file.cases}
    assert list(specs) == ["small", "plain", "openvino"]
    assert [len(spec.compress) for spec in specs.values()] == [1, 2, 2]
    assert [spec.budgets["size_mb"].max for spec in specs.values()] == [1.0, 2.0, 2.0]
    assert [spec.deploy.runtime for spec in specs.values()] == ["torch", "torch", "openvino"]
    assert ["top1" in spec.budgets for spec in specs.values()] == [True, True, False]


def test_cases_of_a_stem_merge_with_those_of_the_file(stemmed):
    stemmed.write(STEM + "cases: {a: {tier: nightly, measure: {seed: 1}}, b: {tier: nightly}}\n", "_stem.yaml")
    file = stemmed.load(f"{HEAD}cases: {{a: {{tier: release}}, c: {{}}, b: null}}\n")
    assert [(case.name, case.spec.tier, case.spec.measure.seed) for case in file.cases] == [
        ("a", "release", 1), ("c", "ci", 0),
    ]  # fmt: skip


def test_a_fault_of_a_case_is_told_inside_the_case(stemmed):
    problem = stemmed.problem(HEAD + CASES.replace("{max: 1.0}", "{max: a lot}"))
    assert (problem.line, problem.path) == (5, "cases.small.budgets.size_mb.max")


def test_a_fault_that_all_cases_share_is_told_once_and_one_of_some_says_of_which(stemmed):
    stemmed.write(STEM.replace("max_drop", "max_drp"), "_stem.yaml")
    first = stemmed.problem(HEAD + CASES.replace("top1: null", "size_mb: {max: 2}"))
    assert (first.file, first.line, first.path) == ("specs/_stem.yaml", 9, "budgets.top1.max_drp")
    assert "in case" not in first.message
    assert stemmed.problem(HEAD + CASES).message.endswith("(in case small, plain)")


def test_steps_that_do_not_compose_in_one_case_only_name_it(stemmed):
    cases = "cases: {good: {}, bad: {model: {source: file, name: null, path: a.pt2, trust: true}}}\n"
    problem = stemmed.problem(HEAD + cases)
    assert (problem.file, problem.path) == ("specs/_stem.yaml", "compress[0].method")
    assert problem.message.endswith("but the source gives an exported program (in case bad)")


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ("[a]", '3:8: cases: found ["a"]; a mapping of case names'),
        ("{}", "3:8: cases: found {}; a mapping of case names"),
        ("{a b: {}}", "3:9: cases.a b: the case name 'a b' may hold letters"),
        ("{'': {}}", "3:9: cases.: the case name '' may hold letters"),
        ("{a: 3}", "3:12: cases.a: found 3; a mapping of what this case changes is expected"),
        ("{a: {version: 1}}", "3:13: cases.a.version: 'version' belongs to the file and not to a case"),
        ("{a: {extends: b}}", "3:13: cases.a.extends: 'extends' belongs to the file"),
        ("{a: {cases: {}}}", "3:13: cases.a.cases: 'cases' belongs to the file"),
        ("{a: {titel: x}}", "3:13: cases.a.titel: unknown key 'titel'"),
    ],
)
def test_cases_that_cannot_be_are_refused(stemmed, cases, expected):
    assert str(stemmed.problem(f"{HEAD}cases: {cases}\n")).startswith(f"specs/x.yaml:{expected}")


def test_all_faults_of_all_cases_are_told(stemmed):
    problems = stemmed.problems(f"{HEAD}cases: {{'1 a': {{}}, b: 3, c: {{version: 2}}}}\n")
    assert [problem.path for problem in problems] == ["cases.1 a", "cases.b", "cases.c.version"]
    problems = stemmed.problems(f"{HEAD}cases: {{a: {{tier: x}}, b: {{tier: y}}}}\n")
    assert [problem.path for problem in problems] == ["cases.a.tier", "cases.b.tier"]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("version: '3.8'\nservices: {db: {image: postgres}}\n", "; it has `services`"),
        (
            "path: data\ntrain: images/train\nval: images/val\nnames: [a, b]\n",
            "; it has `path`, `train`, `val` and others",
        ),
        ("{}", ""),
    ],
    ids=["docker-compose", "YOLO dataset", "nothing"],
)
def test_a_foreign_file_is_told_the_way_out_instead_of_all_that_it_lacks(project, text, keys):
    problem = project.problem(text)
    assert (problem.file, problem.line, problem.column, problem.path) == ("specs/x.yaml", 1, 1, "")
    assert problem.message == (
        f"is no spec: it has none of a spec's keys{keys}. Every YAML file below specs/ is taken for one: move it out "
        "of there, or name it _x.yaml, which is left alone"
    )


def test_a_file_that_was_meant_as_a_spec_is_told_what_it_lacks(project):
    assert [one.path for one in project.problems("version: 1\nmodle: {source: zoo}\n")] == [
        "task", "compress", "budgets", "modle",
    ]  # fmt: skip
