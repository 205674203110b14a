"""The workflow that docs/ci.md shows to be copied: it is YAML, gates, and keeps its cache however the gate ends."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WORKFLOW = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "ci.md").read_text(), re.DOTALL)[0])
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["gate"]["steps"]


def place(text: str) -> int:
    (found,) = (index for index, step in enumerate(STEPS) if text in str(step.get("run", step.get("uses"))))
    return found


def test_the_cache_is_saved_anew_by_every_run_even_one_that_fails() -> None:
    restored, gated, saved = place("actions/cache/restore@"), place("pytest -m spec"), place("actions/cache/save@")
    assert restored < gated < saved
    assert STEPS[saved]["if"] == "always()"
    given, kept = STEPS[restored]["with"], STEPS[saved]["with"]
    assert (given["path"], given["key"]) == (kept["path"], kept["key"])
    # No key is ever used twice, and each starts as those before it do.
    assert "${{ github.run_id }}" in kept["key"]
    assert "${{ github.run_attempt }}" in kept["key"]
    assert kept["key"].startswith(given["restore-keys"])


def test_it_installs_extras_that_there_are_from_a_commit() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extras,) = re.findall(r'pip install "weighin\[([\w,]+)\] @ \$WEIGHIN"', STEPS[place("pip install")]["run"])
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert re.fullmatch(r"git\+https://\S+@[0-9a-f]{40}", WORKFLOW["env"]["WEIGHIN"])


def test_no_page_installs_it_from_an_index_that_does_not_have_it() -> None:
    told = {path.name: re.findall(r"pip install '(weighin\[[^']*)'", path.read_text()) for path in PAGES}
    # The sentence of the gate itself, which names the extra.
    assert {name: found for name, found in told.items() if found} == {"fail-closed.md": ["weighin[…]"]}
