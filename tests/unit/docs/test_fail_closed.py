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


# What measures and judges; a source, a dataset, a method or a runtime says by its part what it cannot do.
MEASURING = ("run", "metrics", "tasks", "measurement", "judge")
REFUSING = {"Unmeasurable", "DataError", "ArtifactError"}
# Sentences that no user of a spec can meet, or that pass on one which has its row.
NO_ROW = {
    ("judge/outside.py", "outcomes from outside are judged"): "`verdict` judges such outcomes and measures none",
    ("run/resolution.py", "the budget … has a … that is too tight"): "passes on what `spec/resolution.py` says",
    ("run/samples.py", "needs `data:` to trace and to measure the model with"): "`spec/semantics.py` says it before",
}


def refusals() -> list[tuple[str, str]]:
    """Module and sentence of every refusal in what measures and judges."""
    found = []
    for path in sorted(one for package in MEASURING for one in (ROOT / "harness" / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            call = node.exc if isinstance(node, ast.Raise) else None
            if not isinstance(call, ast.Call) or getattr(call.func, "id", "") not in REFUSING or not call.args:
                continue
            said = call.args[0]
            if isinstance(said, ast.JoinedStr):
                text = "".join(part.value if isinstance(part, ast.Constant) else "…" for part in said.values)
            else:
                text = str(said.value) if isinstance(said, ast.Constant) else "…"
            found.append((str(path.relative_to(ROOT / "harness")), text))
    return found


def test_every_refusal_of_what_measures_has_its_row() -> None:
    rows = [(row[2].strip("`"), row[1]) for row in ROWS]
    known = rows + list(NO_ROW)
    found = refusals()
    assert len(found) >= 50
    missing = [
        (module, text)
        for module, text in found
        # What is nothing but a name is made elsewhere, and has its row there.
        if text.strip("… ") and not any(module == where and said in text for where, said in known)
    ]
    assert missing == []
    assert [one for one in NO_ROW if not any(one[0] == module and one[1] in text for module, text in found)] == []
