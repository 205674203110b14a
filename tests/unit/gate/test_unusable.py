"""Parts of another distribution that cannot be imported stop the specs, and no other test."""

from __future__ import annotations

from pathlib import Path

import pytest

WHY = (
    "the distribution their-parts adds methods to weighin, and they cannot be loaded: entry point 'any' of "
    "weighin.methods, theirs: ModuleNotFoundError: No module named 'no_such_module'. Repair it, or uninstall it"
)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose environment has a broken distribution."""
    installed = pytester.path / "installed"
    metadata = installed / "their_parts-1.0.dist-info"
    metadata.mkdir(parents=True)
    (installed / "theirs.py").write_text("import no_such_module\n")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-parts\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[weighin.methods]\nany = theirs\n")
    monkeypatch.setenv("PYTHONPATH", str(installed), prepend=":")
    pytester.makepyfile(test_own="def test_own(): pass\n")
    (pytester.path / "specs").mkdir()
    (pytester.path / "specs" / "mine.yaml").write_text("version: 1\n")
    return pytester.path


@pytest.mark.parametrize("arguments", [[], ["-n", "1"]], ids=["serial", "xdist"])
def test_tests_that_are_no_specs_run(project: Path, pytester: pytest.Pytester, arguments: list[str]) -> None:
    done = pytester.runpytest_subprocess("test_own.py", "--strict-markers", *arguments)
    assert done.ret == 0
    done.assert_outcomes(passed=1)
    assert f"weighin cannot be used: {WHY}" in done.stdout.str()


def test_a_spec_is_an_error_that_names_the_distribution(project: Path, pytester: pytest.Pytester) -> None:
    done = pytester.runpytest_subprocess("specs", "-q")
    assert done.ret == pytest.ExitCode.INTERRUPTED
    assert WHY in done.stdout.str()
    assert "Traceback" not in done.stdout.str()
