"""What pyproject declares is what the code imports, and the lock pins it."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
DECLARED = {
    re.split(r"[<>=\[]", one)[0] for extra in EXTRAS.values() for one in extra if not one.startswith("weighin[")
}

# transformers refuses to read GGUF without accelerate, though it does not declare it.
ASKED_FOR_BY_ANOTHER = {"accelerate"}


def test_every_package_of_an_extra_is_imported_somewhere() -> None:
    code = "\n".join(path.read_text() for part in ("harness", "tests") for path in (ROOT / part).rglob("*.py"))
    modules: dict[str, list[str]] = {}
    for module, distributions in packages_distributions().items():
        for distribution in distributions:
            modules.setdefault(re.sub(r"[-_.]+", "-", distribution).lower(), []).append(module)
    assert len(DECLARED) > 20
    unused = [
        name
        for name in sorted(DECLARED - ASKED_FOR_BY_ANOTHER)
        if not any(re.search(rf"\b(from|import) {one}\b|importorskip\(\"{one}\"", code) for one in modules[name])
    ]
    assert unused == []


def test_the_lock_pins_every_package_of_an_extra() -> None:
    lock = {line.partition("==")[0].lower().replace("_", "-") for line in _lines("lock.txt")}
    assert {*DECLARED} - lock == set()


def _lines(name: str) -> list[str]:
    return (ROOT / "requirements" / name).read_text().splitlines()
