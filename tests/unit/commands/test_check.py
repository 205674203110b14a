"""`weighin check`: what it prints, how it exits, and what it does not import."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.__main__ import main
from harness.errors import BaselineError
from harness.spec import load

REPOSITORY = Path(__file__).parents[3]
GOOD = """\
version: 1
task: image-classification
model: {source: zoo, name: resnet20-digits}
compress: [{method: float16}]
budgets: {size_mb: {max_ratio: 0.6}, params_m: {max: 1}}
data: {source: digits}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch) -> Path:
    specs = tmp_path / "specs"
    (specs / "task").mkdir(parents=True)
    (specs / "task" / "good.yaml").write_text(GOOD)
    (specs / "task" / "cased.yml").write_text(f"{GOOD}cases: {{a: {{}}, b: {{}}}}\n")
    # Stems are no specs.
    (specs / "_stem.yaml").write_text("compress: 3\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_well_formed_specs_are_counted(project, capsys):
    assert main(["check", "specs"]) == 0
    assert capsys.readouterr().out == "2 specs, 3 cases, 6 budgets: all well-formed\n"
    assert main(["check", "specs/task/good.yaml"]) == 0
    assert capsys.readouterr().out == "1 spec, 1 case, 2 budgets: all well-formed\n"


def test_specs_is_what_is_checked_where_no_path_is_given(project, capsys, monkeypatch):
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "2 specs, 3 cases, 6 budgets: all well-formed\n"
    monkeypatch.chdir(project / "specs")
    assert main(["check"]) == 2
    assert capsys.readouterr().err == "specs does not exist\n"


def test_an_editor_schema_that_is_not_there_is_noted_with_the_way_to_one(project, capsys):
    spec = project / "specs" / "task" / "good.yaml"
    spec.write_text(f"# yaml-language-server: $schema=../../harness/spec/spec.schema.json\n{GOOD}")
    assert main(["check", "specs"]) == 0
    assert capsys.readouterr().err == (
        "specs/task/good.yaml:1: note: no editor schema at ../../harness/spec/spec.schema.json; `weighin schema "
        "specs/weighin.schema.json` writes one, which is ../weighin.schema.json from here\n"
    )
    # Done as it says, there is nothing more to note.
    assert main(["schema", "specs/weighin.schema.json"]) == 0
    spec.write_text(f"# yaml-language-server: $schema=../weighin.schema.json\n{GOOD}")
    capsys.readouterr()
    assert main(["check", "specs"]) == 0
    assert capsys.readouterr().err == ""


def test_a_file_is_counted_once_however_often_it_is_named(project, capsys):
    assert main(["check", "specs", "specs/task", "specs/task/good.yaml"]) == 0
    assert capsys.readouterr().out.startswith("2 specs, ")


def test_every_problem_of_every_file_is_a_line_with_its_place(project, capsys):
    (project / "specs" / "task" / "good.yaml").write_text(GOOD.replace("max_ratio", "max_rato").replace("zoo", "zo"))
    (project / "specs" / "worse.yaml").write_text("version: 1\nversion: 1\n")
    assert main(["check", "specs"]) == 1
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["specs/task/good.yaml:3:17", "model.source"],
        ["specs/task/good.yaml:5:21", "budgets.size_mb.max_rato"],
        ["specs/worse.yaml:2:1", "version"],
    ]
    assert printed.err == "2 specs of 3 not well-formed\n"


def test_places_are_shown_from_where_the_command_runs(project, capsys, monkeypatch):
    (project / "specs" / "bad.yaml").write_text("a: b: c\n")
    monkeypatch.chdir(project / "specs")
    assert main(["check", "."]) == 1
    assert capsys.readouterr().out.startswith("bad.yaml:1:5: is not YAML: ")


def test_a_stem_that_is_named_is_checked(project, capsys):
    assert main(["check", "specs/_stem.yaml"]) == 1
    assert "specs/_stem.yaml:1:11: compress: found 3; a list is expected" in capsys.readouterr().out


def test_specs_that_must_fail_are_checked_only_where_they_are_named(project, capsys):
    (project / "specs" / "must-fail").mkdir()
    bad = project / "specs" / "must-fail" / "bad.yaml"
    bad.write_text("compress: 3\n")
    assert main(["check", "specs"]) == 0
    assert main(["check", "specs/must-fail"]) == 1
    assert main(["check", str(bad)]) == 1


def test_two_files_of_one_id_would_share_a_baseline(project, capsys):
    (project / "specs" / "task" / "good.yml").write_text(GOOD)
    assert main(["check", "specs"]) == 1
    refused = "specs/task/good.yml:1:1: shares its id, task/good, and so its baseline with specs/task/good.yaml\n"
    assert capsys.readouterr().out == refused
    # As the gate refuses it where it is named alone.
    assert main(["check", "specs/task/good.yml"]) == 1
    assert capsys.readouterr().out == refused
    assert main(["check", "specs/task/good.yaml"]) == 0


def test_a_linked_spec_is_the_one_that_it_leads_to(project, capsys):
    (project / "specs" / "again").symlink_to(project / "specs" / "task")
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "2 specs, 3 cases, 6 budgets: all well-formed\n"


def test_a_link_that_leads_nowhere_is_no_well_formed_spec(project, capsys):
    for name in ("lost.yaml", "task/policies", "_lost.yaml", "must-fail/lost.yaml", "build"):
        (project / "specs" / name).parent.mkdir(exist_ok=True)
        (project / "specs" / name).symlink_to("../vendor/specs")
    why = (
        "is a link to ../vendor/specs, where nothing is, and what it should gate does not run: bring what it leads "
        "to, as by `git submodule update --init`, or remove the link"
    )
    assert main(["check"]) == 1
    told = capsys.readouterr()
    assert told.out.splitlines() == [f"specs/{name}:1:1: {why}" for name in ("lost.yaml", "task/policies")]
    assert told.err == "2 specs of 4 not well-formed\n"
    assert main(["check", "specs/task/good.yaml"]) == 0
    capsys.readouterr()
    assert main(["check", "specs/lost.yaml"]) == 2
    assert capsys.readouterr().err == f"specs/lost.yaml {why}\n"


def test_hidden_files_gate_and_are_checked(project, capsys):
    (project / "specs" / ".draft.yaml").write_text("compress: 3\n")
    assert main(["check", "specs"]) == 1
    told = capsys.readouterr()
    assert "specs/.draft.yaml:1:11: compress: found 3; a list is expected" in told.out
    assert told.err == "1 spec of 3 not well-formed\n"


@pytest.mark.parametrize("folder", ["build", "task/dist", ".old", "env"])
def test_what_no_run_looks_at_is_not_counted_and_warned_of(project, capsys, folder):
    hidden = project / "specs" / folder
    for name in ("a", "b", "c", "deep/d", "_stem"):
        (hidden / name).parent.mkdir(parents=True, exist_ok=True)
        (hidden / f"{name}.yaml").write_text("compress: 3\n")
    if folder == "env":
        (hidden / "pyvenv.cfg").touch()
    assert main(["check"]) == 0
    told = capsys.readouterr()
    assert told.out == "2 specs, 3 cases, 6 budgets: all well-formed\n"
    assert told.err == (
        f"specs/{folder}: warning: pytest does not look into this folder, so no run gates a.yaml, b.yaml, c.yaml and 1 "
        "other unless told to: move it to another one\n"
    )
    # Told to, a run collects them.
    assert main(["check", f"specs/{folder}"]) == 1
    assert capsys.readouterr().err == "4 specs of 4 not well-formed\n"


def test_outside_of_specs_only_what_is_named_is_a_spec(project, capsys):
    (project / "other").mkdir()
    (project / "other" / "mine.yaml").write_text(GOOD)
    (project / "venv" / "lib" / "specs").mkdir(parents=True)
    (project / "venv" / "lib" / "specs" / "theirs.yaml").write_text("compress: 3\n")
    assert main(["check", "."]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("2 specs, 3 cases, 6 budgets: all well-formed\n", "")
    assert main(["check", "other"]) == 2
    assert capsys.readouterr().err == (
        "other holds no spec that a run collects: of a folder it takes the YAML below a specs/, stems (_*.yaml) apart; "
        "name the files themselves\n"
    )
    assert main(["check", "other/mine.yaml"]) == 0


@pytest.mark.parametrize(("path", "words"), [("nowhere", "does not exist"), ("empty", "holds no spec")])
def test_a_path_without_specs_is_a_mistake_of_the_caller(project, capsys, path, words):
    (project / "empty").mkdir()
    assert main(["check", "specs", path]) == 2
    assert capsys.readouterr().err == f"{path} {words}\n"


def test_expected_failures_whose_day_is_over_are_warned_of(project, capsys):
    entry = "{metric: size_mb, verdict: FAIL, because: why, owner: mara, until: %s}"
    (project / "specs" / "task" / "good.yaml").write_text(f"{GOOD}expect_fail: {entry % '2020-01-01'}\n")
    (project / "specs" / "later.yaml").write_text(f"{GOOD}expect_fail: {entry % '2999-01-01'}\n")
    assert main(["check", "specs"]) == 0
    assert capsys.readouterr().err == (
        "specs/task/good.yaml: warning: the expect_fail of size_mb, for which mara answers, ran out on 2020-01-01: "
        "renew it or remove it\n"
    )


def test_the_command_line_itself_is_checked(capsys):
    for arguments in ([], ["check", "--all"], ["chek", "specs"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "usage: weighin" in capsys.readouterr().err


def test_every_spec_of_this_repository_is_well_formed_and_needs_no_torch_to_know_it():
    program = (
        "import sys; from harness.__main__ import main; code = main(['check', 'specs']); "
        "heavy = {'torch', 'torchvision', 'timm', 'openvino', 'sklearn', 'PIL'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.endswith("all well-formed\n")


def test_the_module_runs_as_a_program():
    run = subprocess.run(
        [sys.executable, "-m", "harness", "--version"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.stdout.startswith("weighin ")


def test_an_unforeseen_error_of_one_file_is_one_line_and_the_others_are_checked(project, capsys, monkeypatch):
    sound = load._load

    def faulty(path):
        if path.name == "good.yaml":
            raise KeyError("a part of somebody's")
        return sound(path)

    monkeypatch.setattr(load, "_load", faulty)
    assert main(["check", "specs"]) == 1
    told = capsys.readouterr()
    assert told.out == 'specs/task/good.yaml:1:1: cannot be loaded: KeyError: "a part of somebody\'s"\n'
    assert "1 spec of 2 not well-formed" in told.err


@pytest.mark.parametrize("error", [BaselineError("baselines/a.json is no baseline"), PermissionError("a.csv: denied")])
def test_an_error_that_a_command_does_not_answer_is_no_answer_of_it(error, capsys, monkeypatch):
    """1 is FAIL, a mutant that survived, or a loosening without a reason."""

    def raises(arguments):
        raise error

    for command in ("audit", "verdict", "prove"):
        monkeypatch.setattr(f"harness.commands.{command}.run", raises)
    for arguments in (["audit", "HEAD"], ["verdict", "--pairs", "a.csv"], ["prove"]):
        assert main(arguments) == 2
        assert capsys.readouterr().err == f"{error}\n"
