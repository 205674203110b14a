"""Optional packages: who brings them, and that nobody asks for the version of one whose extra is not known."""

import ast
import importlib.metadata
import tomllib
from pathlib import Path

import pytest

from harness.errors import MissingExtra
from harness.extras import EXTRAS, extra_of, installed

ROOT = Path(__file__).parents[2]


def calls(function: str) -> set[tuple[str, str]]:
    """Every call of a function with a text, as (file, text)."""
    return {
        (path.name, node.args[0].value)
        for path in (ROOT / "harness").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == function
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


def test_the_version_is_the_installed_one():
    assert installed("pydantic") == importlib.metadata.version("pydantic")


@pytest.mark.parametrize(
    ("distribution", "extra"),
    [("pillow", "vision"), ("scikit-learn", "vision"), ("tokenizers", "transformers"), ("torch-pruning", "torch")],
)
def test_what_is_not_installed_names_the_extra_that_brings_it(monkeypatch, distribution, extra):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(MissingExtra) as raised:
        installed(distribution)
    assert str(raised.value) == (
        f"needs the package {distribution!r}, which is not installed: pip install 'weighin[{extra}]'"
    )


def test_whoever_asks_for_a_version_asks_for_one_that_an_extra_brings():
    asked = calls("installed")
    assert len(asked) >= 12
    assert {extra_of(distribution) for _, distribution in asked} <= set(EXTRAS.values())
    # Elsewhere an absent distribution would end in a traceback; the environment leaves out what is not there.
    assert calls("version") == set()


def test_every_extra_is_one_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS.values()) <= set(project["optional-dependencies"])
