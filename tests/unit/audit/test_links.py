"""Which files the audit takes for specs: what a run collects, hidden or linked."""

import json
import os

import pytest

from harness.__main__ import main
from harness.audit.compare import audit
from harness.audit.tree import Tree


def link(repository, name, target):
    path = repository.project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.symlink(target, path)


def test_a_hidden_file_is_collected_and_so_audited(repository, spec):
    repository.write(spec, "specs/.y.yaml")
    repository.commit()
    repository.write(spec.replace("0.5", "0.6"), "specs/.y.yaml")
    assert repository.told() == [".y::size_mb: max_ratio 0.5 → 0.6"]


def test_what_lies_in_a_virtual_environment_is_not_collected(repository, spec):
    (repository.root / "specs/x.yaml").unlink()
    repository.write(spec, "specs/y/x.yaml")
    assert repository.told() == []
    repository.write("", "specs/y/pyvenv.cfg")
    assert repository.told() == ["x: spec specs/x.yaml → none"]


def test_a_linked_spec_is_followed_to_its_file_and_called_by_it(repository, spec):
    repository.write(spec, "shared/_stem.yaml")
    repository.write("extends: _stem.yaml\n", "shared/y.yaml")
    link(repository, "specs/vision/linked.yaml", "../../shared/y.yaml")
    size = {"metric": "size_mb", "metric_version": 1, "value": 2.0}
    repository.baseline({"cases": {"": {"portable": {"size_mb": size}}}}, "y")
    repository.commit()
    assert repository.told() == []
    repository.write(spec.replace("0.5", "0.6"), "shared/_stem.yaml")
    repository.baseline({"cases": {"": {"portable": {"size_mb": {**size, "value": 3.0}}}}}, "y")
    assert repository.told() == ["y::size_mb: max_ratio 0.5 → 0.6", "y::size_mb: baseline value 2.0 → 3.0"]
    (repository.root / "specs/vision/linked.yaml").unlink()
    assert repository.told() == ["y: spec specs/vision/linked.yaml → none"]


def test_a_linked_folder_is_followed(repository, spec):
    shared = repository.write(spec, "shared/gates/y.yaml")
    repository.project = repository.root / "models"
    link(repository, "specs", "../shared/gates")
    repository.commit()
    shared.write_text(spec.replace("0.5", "0.6"))
    assert repository.told() == ["y::size_mb: max_ratio 0.5 → 0.6"]


def test_a_link_to_nothing_that_was_committed_is_told(repository, monkeypatch, capsys):
    link(repository, "specs/out.yaml", "/nowhere/out.yaml")
    link(repository, "specs/lost", "../lost")
    # Behind these no run looks, nor the comparison of baselines.
    for name in ("specs/a.txt", "specs/_a.yaml", "specs/must-fail/a.yaml", "specs/build/a.yaml", "baselines/a.md"):
        link(repository, name, "nowhere")
    repository.commit()
    assert [one.path for one in audit(repository.root, "HEAD").unread] == ["specs/lost", "specs/out.yaml"]
    monkeypatch.chdir(repository.root)
    assert main(["audit", "HEAD", "--json", "audit.json"]) == 2
    told = "specs/out.yaml was a link to nothing that the commit holds: nothing is compared with it"
    assert told in capsys.readouterr().out.splitlines()
    document = json.loads((repository.root / "audit.json").read_text())
    assert (document["unread"], document["uncompared"]) == (["specs/lost", "specs/out.yaml"], 2)


@pytest.mark.parametrize(
    ("path", "home"),
    [
        ("a/f", "a/f"),
        ("l/f", "a/f"),
        ("a/up", "f"),
        # Through a link and up again: from where the link leads.
        ("through", "f"),
        ("a/./b/../f", "a/f"),
        ("chain", "a/f"),
        ("root", None),
        ("out", None),
        ("self", None),
        ("../f", None),
    ],
)
def test_a_path_is_followed_as_the_system_does_it(path, home):
    links = {
        "l": "a", "a/up": "../f", "deep/l": "../a/b", "through": "deep/l/../../f", "chain": "l/f",
        "root": "/a/f", "out": "../f", "self": "self",
    }  # fmt: skip
    assert Tree({}, links).home(path) == home


def test_a_walk_through_links_ends_where_they_lead_back(tmp_path):
    files = {"specs/x": "1", "specs/a/y": "2", "shared/z": "3"}
    links = {
        "specs/loop": ".", "specs/up": "..", "specs/a/there": "../../shared", "shared/back": "../specs/a",
        "specs/out": "../../elsewhere", "specs/w": "x",
    }  # fmt: skip
    found = dict(Tree(files, links).below("specs"))
    assert found == {
        "specs/x": "specs/x", "specs/a/y": "specs/a/y", "specs/w": "specs/x", "specs/a/there/z": "shared/z",
        "specs/a/there/back/y": "specs/a/y", "specs/out": None,
    }  # fmt: skip
