"""What docs/extending.md shows is a package whose metric and method are gated as they stand there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from project import Project

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()


def shown(language: str) -> str:
    """The page's one block of this language."""
    [block] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(block)


def install(project: Project, code: str) -> None:
    """What pip would leave of the page's package."""
    (project.root / "ours.py").write_text(code)
    metadata = project.root / "ours-1.0.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1.0\n")
    groups = tomllib.loads(shown("toml"))["project"]["entry-points"]
    lines = (f"[{group}]\n{name} = {module}\n" for group, entries in groups.items() for name, module in entries.items())
    (metadata / "entry_points.txt").write_text("".join(lines))


def test_the_package_of_the_page_is_gated_as_it_stands_there(project: Project) -> None:
    install(project, shown("python"))
    project.spec("ternary", shown("yaml"), head="")
    done = project.run("--update-baselines", "--reason", "the first")
    assert done.verdicts() == {f"ternary::{label}": "PASS" for label in ("sparsity", "top3", "evidence")}, done.out


def test_its_evidence_catches_a_layer_that_the_method_forgot(project: Project) -> None:
    install(
        project, shown("python").replace("weighted(subject.model).values()", "[*weighted(subject.model).values()][1:]")
    )
    project.spec("ternary", shown("yaml"), head="")
    done = project.run("--update-baselines", "--reason", "the first")
    assert done.verdicts()["ternary::evidence"] == "INVALID"
    assert "values other than zero, where two were promised" in done.out
