"""What cannot be written is told before anything is measured, or else costs no verdict."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.gate.destinations import hindrance

# Needs no worker: nothing of it is run.
SPEC = """version: 1
task: image-classification
model: {source: zoo, name: lenet5-digits}
data: {source: digits}
compress: [{method: float16}]
requires: [amx_int8, cuda]
budgets: {size_mb: {max_ratio: 0.6}}
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    (pytester.path / "specs" / "vision").mkdir(parents=True)
    (pytester.path / "specs" / "vision" / "mine.yaml").write_text(SPEC)
    (pytester.path / "occupied").touch()
    return pytester.path


def test_folders_need_not_be_there_yet(tmp_path: Path) -> None:
    assert hindrance(tmp_path / "a" / "b") == hindrance(tmp_path) == ""
    assert hindrance(tmp_path / "file.md", file=True) == ""


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    occupied = tmp_path / "occupied"
    occupied.touch()
    assert hindrance(occupied) == hindrance(occupied / "a" / "b") == f"{occupied} is no folder"
    assert hindrance(occupied, file=True) == ""
    assert hindrance(tmp_path, file=True) == f"{tmp_path} is a folder"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is in the way of the system's administrator")
def test_a_folder_without_the_right_to_write_is_in_the_way(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert hindrance(tmp_path / "report") == f"{tmp_path} cannot be written to"


UPDATING = "--update-baselines writes to {root}/baselines/vision: {root}/baselines is no folder"
ACCEPT = ("--update-baselines", "--reason", "the first ones")


@pytest.mark.parametrize(
    ("arguments", "summary", "sentence"),
    [
        (["--weighin-report", "occupied"], "", "--weighin-report occupied: {root}/occupied is no folder"),
        (["--weighin-report", "occupied/in"], "", "--weighin-report occupied/in: {root}/occupied is no folder"),
        (["--export", "occupied/in"], "", "--export occupied/in: {root}/occupied is no folder"),
        (ACCEPT, "", UPDATING),
        ([], "none/such.md", "GITHUB_STEP_SUMMARY is none/such.md: there is no folder none"),
        ((*ACCEPT, "-n", "1"), "", UPDATING),
    ],
    ids=["report", "report below it", "export", "baselines", "summary", "baselines under xdist"],
)
def test_what_cannot_be_written_ends_the_run_before_it_begins(
    project: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], summary: str, sentence: str,
) -> None:  # fmt: skip
    if "writes to" in sentence:
        (project / "baselines").touch()
    if summary:
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", summary)
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "specs", *arguments)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: {sentence.format(root=project)}"])
    assert "NOT RUN" not in done.stdout.str()


@pytest.mark.parametrize("arguments", [[], ["-n", "1"]], ids=["serial", "xdist"])
@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("WEIGHIN_CACHE", "occupied", "{root}/occupied is no folder"),
        ("WEIGHIN_CACHE_GB", "10GB", "give the size as a number of gigabytes, as in 10"),
        ("WEIGHIN_CACHE_GB", "nan", "give the size as a number of gigabytes, as in 10"),
        ("WEIGHIN_CACHE_GB", "-1", "give the size as a number of gigabytes, as in 10"),
    ],
)
def test_a_cache_that_cannot_be_used_ends_the_run_before_it_begins(
    project: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch,
    name: str, value: str, why: str, arguments: list[str],
) -> None:  # fmt: skip
    monkeypatch.setenv(name, value)
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "specs", *arguments)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: {name} is *{value}: {why.format(root=project)}"])
    assert "NOT RUN" not in done.stdout.str()


def test_a_run_that_takes_nothing_from_the_cache_needs_none(
    project: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIGHIN_CACHE", "occupied")
    assert pytester.runpytest_subprocess("-p", "no:cacheprovider", "specs", "--no-cache").ret == 0
    # Neither does one that has no specs.
    pytester.makepyfile("def test_own(): pass")
    assert pytester.runpytest_subprocess("-p", "no:cacheprovider", "--ignore", "specs").ret == 0


def test_who_only_collects_writes_nothing(project: Path, pytester: pytest.Pytester) -> None:
    done = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "specs", "--weighin-report", "occupied", "--co", "-q"
    )
    assert done.ret == 0


# As where a disk is full, or a folder goes away, when an hour of work is behind the run.
FULL = """
import errno, os, shutil
from pathlib import Path

def pytest_runtest_logstart(nodeid):
    rename = os.replace

    def replace(source, target):
        if {part!r} in str(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        rename(source, target)

    os.replace = replace
    shutil.rmtree("ci", ignore_errors=True)
"""


@pytest.mark.parametrize("part", ["report.json", "report.html"])
def test_a_report_that_cannot_be_written_at_the_end_costs_no_verdict(
    project: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    (project / "ci").mkdir()
    (project / "conftest.py").write_text(FULL.format(part=part))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "ci/summary.md")
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "specs", "--weighin-report", "report")
    # Nothing failed but the writing.
    assert done.ret == 1
    done.stdout.fnmatch_lines(
        [
            "vision/mine", "  size_mb * NOT RUN", "  evidence * NOT RUN", "2 NOT RUN",
            f"could not be written: report/{part}: * No space left on device: 'report/{part}'",
            "could not be written: the job summary: * No such file or directory: 'ci/summary.md'",
        ]
    )  # fmt: skip
    other = {"report.json": "report.html", "report.html": "report.json"}[part]
    assert (project / "report" / other).is_file()


def test_a_folder_that_pytest_takes_for_the_root_of_the_project_is_refused(
    project: Path, pytester: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (project / "pytest.ini").write_text("[pytest]\n")
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-m", "spec", "--weighin-report", str(outside))
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    way_out = f"write --weighin-report={outside}"
    done.stderr.fnmatch_lines([f"ERROR: --weighin-report {outside}: pytest takes it for a folder of tests: {way_out}"])

    for arguments in ((f"--weighin-report={outside}",), ("specs", "--weighin-report", str(outside))):
        done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-m", "spec", *arguments)
        assert "pytest takes it" not in done.stderr.str()
