"""What the command takes, and what it draws."""

from pathlib import Path

import pytest

from harness.__main__ import main
from harness.commands.prove import _cases, _sampled
from harness.errors import SpecError
from harness.mutants.base import mutants
from harness.prove.trial import Proof

SPECS = Path(__file__).parents[3] / "specs"
SPEC = """version: 1
task: image-classification
model: {{source: zoo, name: lenet5-digits}}
data: {{source: digits}}
compress: [{{method: float16}}]
budgets: {{size_mb: {{max_ratio: 0.6}}}}
tier: {tier}
"""


@pytest.fixture
def specs(tmp_path):
    for name, tier in (("a", "ci"), ("b", "nightly"), ("must-fail/c", "ci"), ("_stem", "ci")):
        path = tmp_path / "specs" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SPEC.format(tier=tier))
    return tmp_path / "specs"


def ids(paths, tier=None):
    return [file.id for file, _, _ in _cases(paths, tier, [])]


def test_a_folder_gives_its_tier_without_stems_and_what_must_fail(specs):
    assert ids([specs]) == ["a"]
    assert ids([specs], "all") == ["a", "b"]
    # A spec that is named is proven whatever its tier, and once.
    assert ids([specs / "b.yaml", specs / "b.yaml", specs]) == ["b", "a"]
    assert ids([specs / "b.yaml"], "ci") == []


def test_what_is_proven_is_what_a_run_gates(specs):
    for name in (".draft.yaml", "build/late.yaml", "a.yml"):
        (specs / name).parent.mkdir(exist_ok=True)
        (specs / name).write_text(SPEC.format(tier="ci"))
    with pytest.raises(SpecError, match=r"specs/a\.yml:1:1: shares its id, a, with specs/a\.yaml, and so its baseline"):
        ids([specs / "a.yml"])
    (specs / "a.yml").unlink()
    assert ids([specs]) == [".draft", "a"]
    assert ids([specs / "build"]) == ["build/late"]
    (specs / "lost").symlink_to("nowhere")
    with pytest.raises(SpecError, match="specs/lost:1:1: is a link to nowhere, where nothing is"):
        ids([specs])
    assert ids([specs / "a.yaml"]) == ["a"]


def test_cases_of_one_file_are_cases_of_their_own():
    found = [
        case.name for _, case, _ in _cases([SPECS / "image-classification" / "resnet20-digits-openvino.yaml"], None, [])
    ]
    assert found == ["float16", "int8"]


def test_a_sample_is_the_same_for_the_same_seed_and_of_its_size():
    pairs = list(_cases([SPECS], None, list(mutants().values())))
    drawn = _sampled(pairs, 8, 1)
    names = [(file.id, case.name, one.mutant) for file, case, some in drawn for one in some]
    assert len(names) == len(set(names)) == 8
    assert names == [(f.id, c.name, one.mutant) for f, c, some in _sampled(pairs, 8, 1) for one in some]
    assert names != [(f.id, c.name, one.mutant) for f, c, some in _sampled(pairs, 8, 2) for one in some]
    whole = _sampled(pairs, 10**6, 0)
    assert sum(len(some) for _, _, some in whole) == len(pairs) * len(mutants())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["--mutants", "noop"], "Did you mean 'no-op'?"),
        (["specs/b.yaml", "--tier", "ci"], "no spec of this tier"),
        (["broken.yaml"], "broken.yaml"),
        (["--mutants", "no-op", "--json", "full/score.json"], "full is no folder"),
    ],
)
def test_what_cannot_be_proven_is_usage(specs, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(specs.parent)
    Path("broken.yaml").write_text("version: 1\n")
    Path("full").touch()
    monkeypatch.setattr("harness.prove.prover.prove", lambda *arguments: pytest.fail("a case was begun"))
    assert code(["prove", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_folder_of_the_scores_is_made_before_anything_is_proven(specs, monkeypatch):
    monkeypatch.chdir(specs.parent)

    def begun(pipeline, file, case, mutants, live):
        assert Path("new/deep").is_dir()
        return Proof(spec=file.id, case=case.name)

    monkeypatch.setattr("harness.prove.prover.prove", begun)
    # Nothing was tried, which proves nothing, and the scores say so.
    assert code(["prove", "specs/a.yaml", "--json", "new/deep/score.json"]) == 11
    assert '"spec": "a"' in Path("new/deep/score.json").read_text()


def code(arguments):
    """The exit code, whether the command or the parser of its options gives it."""
    try:
        return main(arguments)
    except SystemExit as left:
        return left.code
