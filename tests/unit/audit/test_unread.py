"""What the commit does not hold is named, and what could not be compared is no exit code 0."""

import os
import shutil

import pytest

from harness.__main__ import main
from harness.audit.compare import audit

OWN = "budgets: {size_mb: {max_ratio: 0.5}}\n"
SIZE = "  size_mb: {max_ratio: 0.5}\n"


@pytest.fixture
def policy(repository):
    """A repository in the place of a submodule: `git add` takes its commit."""
    folder = repository.root / "vendor" / "policy"
    folder.mkdir(parents=True)
    return type(repository)(folder)


@pytest.mark.parametrize("where", ["outside", "behind a link", "ignored"])
def test_a_stem_that_the_commit_does_not_hold_is_named_and_the_rest_is_compared(
    repository, spec, tmp_path_factory, monkeypatch, capsys, where
):
    monkeypatch.chdir(repository.root)
    outside = tmp_path_factory.mktemp("policy") / "_base.yaml"
    stem = {"outside": outside, "behind a link": "_base.yaml", "ignored": "_base.yaml"}[where]
    if where == "ignored":
        repository.write("_base.yaml\n", ".gitignore")
        outside = repository.root / "specs" / "_base.yaml"
    elif where == "behind a link":
        os.symlink(outside, repository.root / "specs" / "_base.yaml")
    outside.write_text(spec.replace(SIZE, ""))
    repository.write(f"extends: {stem}\n{OWN}", "specs/y.yaml")
    repository.commit()

    shown = outside if where == "outside" else "specs/_base.yaml"
    named = f"{shown} is a stem of y that cannot be read from the commit: nothing is compared with it"
    assert main(["audit", "HEAD"]) == 2
    told = capsys.readouterr()
    assert told.out.splitlines()[:2] == [named, "    NO REASON IS RECORDED"]
    assert told.out.splitlines()[2].startswith("nothing that could be compared is looser since HEAD (")
    assert told.err.startswith("1 could not be compared: ")

    repository.write(f"extends: {stem}\n{OWN.replace('0.5', '0.9')}", "specs/y.yaml")
    assert repository.told() == ["y::size_mb: max_ratio 0.5 → 0.9"]
    assert main(["audit", "HEAD"]) == 1
    assert named in capsys.readouterr().out
    # The spec speaks for all that it says, and for what it extends.
    repository.write(f"extends: {stem}\n{OWN.replace('0.5', '0.9')}because: the policy is theirs\n", "specs/y.yaml")
    assert main(["audit", "HEAD"]) == 0
    assert capsys.readouterr().out.splitlines().count("    the policy is theirs") == 2


def test_a_spec_that_leaves_such_a_stem_is_held_to_nothing_of_it(repository, spec, tmp_path_factory):
    outside = tmp_path_factory.mktemp("policy") / "_base.yaml"
    outside.write_text(spec)
    repository.write(f"extends: {outside}\n", "specs/y.yaml")
    repository.commit()
    repository.write(spec.replace("0.5", "0.9"), "specs/y.yaml")
    found = audit(repository.root, "HEAD")
    assert (found.loosened, [one.path for one in found.uncompared]) == ((), [str(outside)])


def test_a_stem_that_is_nowhere_then_and_now_is_named_while_it_is_extended(repository, monkeypatch):
    monkeypatch.chdir(repository.root)
    repository.write("extends: ../vendor/policy/_base.yaml\n", "specs/y.yaml")
    repository.commit()
    assert [one.path for one in audit(repository.root, "HEAD").unread] == ["vendor/policy/_base.yaml"]
    assert main(["audit", "HEAD"]) == 2


def test_a_stem_in_a_submodule_is_read_at_the_commit_that_it_had(repository, spec, policy, monkeypatch, capsys):
    policy.write(spec, "_base.yaml")
    policy.commit()
    repository.write("extends: ../vendor/policy/_base.yaml\n", "specs/y.yaml")
    repository.commit()
    found = audit(repository.root, "HEAD")
    assert (found.loosened, found.unread) == ((), ())

    policy.write(spec.replace("0.5", "0.6"), "_base.yaml")
    policy.commit()
    looser = ["y::size_mb: max_ratio 0.5 → 0.6"]
    assert repository.told() == looser
    repository.commit("Take the new policy")
    assert (repository.told(), repository.told("HEAD~1")) == ([], looser)

    # As where the submodule was checked out with its last commit alone.
    shutil.rmtree(policy.root / ".git")
    monkeypatch.chdir(repository.root)
    assert main(["audit", "HEAD~1"]) == 2
    named = "vendor/policy/_base.yaml is a stem of y that cannot be read from the commit: nothing is compared with it"
    assert named in capsys.readouterr().out.splitlines()


def test_a_project_below_the_top_of_its_repository_has_its_submodules_too(repository, spec):
    repository.project = repository.root / "models"
    folder = repository.project / "policy"
    folder.mkdir(parents=True)
    policy = type(repository)(folder)
    policy.write(spec, "_base.yaml")
    policy.commit()
    repository.write("extends: ../policy/_base.yaml\n", "specs/y.yaml")
    repository.commit()
    policy.write(spec.replace("0.5", "0.6"), "_base.yaml")
    assert repository.told() == ["y::size_mb: max_ratio 0.5 → 0.6"]


@pytest.mark.parametrize("linked", [True, False], ids=["behind a link", "below specs/"])
def test_specs_of_a_submodule_are_compared(repository, spec, linked, monkeypatch, capsys):
    folder = repository.root / ("vendor/policy" if linked else "specs/policies")
    folder.mkdir(parents=True)
    policy = type(repository)(folder)
    policy.write(spec, "specs/z.yaml" if linked else "z.yaml")
    policy.commit()
    if linked:
        os.symlink("../vendor/policy/specs", repository.root / "specs" / "policies")
    repository.commit()
    assert repository.told() == []
    policy.write(spec.replace("0.5", "0.6"), "specs/z.yaml" if linked else "z.yaml")
    assert repository.told() == [f"{'z' if linked else 'policies/z'}::size_mb: max_ratio 0.5 → 0.6"]

    shutil.rmtree(policy.root / ".git")
    monkeypatch.chdir(repository.root)
    assert main(["audit", "HEAD"]) == 2
    was = "link to nothing that the commit holds" if linked else "submodule that is not here, or not with the commit"
    assert f"specs/policies was a {was}" in capsys.readouterr().out


def test_the_commit_that_changes_a_link_may_say_why(repository, monkeypatch, capsys):
    monkeypatch.chdir(repository.root)
    os.symlink("../elsewhere", repository.root / "specs" / "lost")
    repository.commit()
    assert main(["audit", "HEAD"]) == 2
    (repository.root / "specs" / "lost").unlink()
    repository.commit("Drop it\n\nBudget-Reason: the policies are in here now")
    capsys.readouterr()
    assert main(["audit", "HEAD~1"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "specs/lost was a link to nothing that the commit holds: nothing is compared with it",
        "    the policies are in here now",
    ]
