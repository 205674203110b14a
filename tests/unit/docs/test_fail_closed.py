"""The page of faults says what the code says, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MUST_FAIL = (ROOT / "tests" / "plugin" / "test_must_fail.py").read_text()
PAGE = (ROOT / "docs" / "fail-closed.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| fault")
]


@cache
def texts(path: Path) -> str:
    """Every text of a module, those of one f-string joined by a mark for what is filled in."""
    return "\n".join(
        "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        if isinstance(node, ast.JoinedStr)
        else node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    )


def test_the_page_has_a_row_for_every_kind_of_fault() -> None:
    assert len(ROWS) >= 45
    assert all(len(row) == 4 for row in ROWS), [row for row in ROWS if len(row) != 4]
    assert len({row[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_sentence_is_where_the_page_says(row: list[str]) -> None:
    _, sentence, module, _ = row
    assert sentence in texts(ROOT / "harness" / module.strip("`"))


@pytest.mark.parametrize("shown", sorted(set(re.findall(r"`((?:tests|specs)/[\w/.:-]+)`", PAGE))))
def test_what_shows_a_fault_is_there(shown: str) -> None:
    path, _, name = shown.partition("::")
    assert (ROOT / path).is_file()
    if path.endswith(".yaml"):
        assert Path(path).stem in re.findall(r'"([\w-]+)(?:\[[\w-]+\])?": \(', MUST_FAIL)
    elif name:
        functions = [
            node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)
        ]
        assert name in functions


def test_every_must_fail_spec_that_is_invalid_is_on_the_page() -> None:
    invalid = set(re.findall(r'"([\w-]+)(?:\[[\w-]+\])?": \("\w+", "INVALID"', MUST_FAIL))
    assert len(invalid) >= 7
    assert [name for name in invalid if f"specs/must-fail/{name}.yaml" not in PAGE] == []
