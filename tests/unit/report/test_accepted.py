"""Tables of what was accepted: every case in one place, from the baselines that are stored."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import baselines
from harness.__main__ import main
from harness.errors import UnknownName
from harness.judge import baseline as kept
from harness.report.accepted import Accepted, filled, shipped, told_once
from harness.report.results import Figure

ROOT = Path(__file__).parents[3]


def accepted(name: str, *steps: str, task: str = "image-classification", tier: str = "ci") -> Accepted:
    figures = (
        Figure("latency_ms", "latency_ms", 0.5, 1.0), Figure("params_m", "params_m", 3.0, 12.0),
        Figure("size_mb", "size_mb", 2.0, 8.0), Figure("top1", "top1", 0.9, 0.95),
    )  # fmt: skip
    return Accepted(f"{task}/{name}", task, name, f"{task}/{name}", tier, steps, figures)


PAGE = """# Methods

<!-- accepted with magnitude-pruning, taylor-pruning -->
<!-- end of accepted -->

<!-- accepted with entropy-coding, magnitude-pruning -->
old
<!-- end of accepted -->

<!-- accepted with other combinations -->
<!-- end of accepted -->
"""


def tables(page: str) -> list[list[str]]:
    """First cells of each table, its head apart."""
    found = re.findall(r"<!-- accepted .*?<!-- end of accepted -->", page, re.DOTALL)
    return [[line.split(" | ")[0] for line in one.splitlines() if line.startswith("| `")] for one in found]


def test_a_case_stands_in_the_first_table_that_has_all_its_methods() -> None:
    cases = [
        accepted("one", "magnitude-pruning"), accepted("two", "taylor-pruning", "magnitude-pruning"),
        accepted("three", "magnitude-pruning", "entropy-coding"), accepted("four", "svd", "magnitude-pruning"),
    ]  # fmt: skip
    page = filled(PAGE, cases)
    assert tables(page) == [["| `one`", "| `two`"], ["| `three`"], ["| `four`"]]
    assert (
        "| `one` | magnitude-pruning | × 0.250 | params_m × 0.250 | latency_ms × 0.500 | top1 0.9500 → 0.9000 |" in page
    )
    assert "old" not in page
    assert filled(page, cases) == page
    with pytest.raises(ValueError, match="no table of the page takes image-classification/four, whose steps are svd"):
        filled(PAGE.partition("<!-- accepted with other")[0], cases)
    with pytest.raises(UnknownName, match="taylor-pruning"):
        filled(PAGE.replace("taylor-pruning", "tailor-pruning"), cases)


def test_cases_of_one_name_are_told_apart_and_tiers_are_said() -> None:
    cases = [
        accepted("same", "magnitude-pruning"), accepted("same", "magnitude-pruning", task="text-classification"),
        accepted("long", "magnitude-pruning", tier="nightly"),
    ]  # fmt: skip
    assert tables(filled(PAGE, cases))[0] == [
        "| `image-classification/same`", "| `text-classification/same`", "| `long` (nightly)",
    ]  # fmt: skip


def test_a_page_of_results_has_those_that_no_report_had() -> None:
    page = (
        "<!-- results of image-classification -->\n| `one` | magnitude-pruning |\n<!-- end of results -->\n\n"
        "<!-- accepted of image-classification -->\n<!-- end of accepted -->\n"
        "<!-- accepted of text-classification -->\nold\n<!-- end of accepted -->\n"
    )
    one, two = accepted("one", "magnitude-pruning"), accepted("two", "svd", tier="nightly")
    assert tables(filled(page, [one, two])) == [["| `two` (nightly)"], []]
    # With nothing to tell there is no table without rows.
    assert filled(page, [one]).count("|---|") == 0


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ("a", "a"),
        ("a b", "a → b"),
        ("a a a b", "a × 3 → b"),
        ("a b a b a b c d", "(a → b) × 3 → c → d"),
        ("x a b a b", "x → (a → b) × 2"),
        ("", ""),
    ],
)
def test_rounds_are_told_once(steps: str, told: str) -> None:
    assert told_once(tuple(steps.split())) == told


def test_a_time_is_its_ratio_on_the_machine_accepted_on_last(tmp_path: Path) -> None:
    def machine(day: str, ratio: float) -> kept.Machine:
        one = kept.Accepted(
            metric="latency_ms", metric_version=1, value=4.0, reference=None, kernels="", ratio=(0.1, ratio, 0.9)
        )
        return kept.Machine(environment={}, threads=1, accepted=day, labels={"latency_ms": one})

    (tmp_path / "specs" / "vision").mkdir(parents=True)
    (tmp_path / "specs" / "vision" / "net.yaml").write_text(
        "version: 1\ntask: image-classification\nmodel: {source: zoo, name: lenet5-digits}\ndata: {source: digits}\n"
        "compress: [{method: float16}]\nbudgets: {latency_ms: {max_ratio: 1}}\n"
    )
    with pytest.raises(ValueError, match="nothing was accepted of vision/net yet"):
        shipped(tmp_path)
    machines = {"a": machine("2026-02-01", 0.25), "b": machine("2026-01-01", 0.75)}
    held = kept.Baseline(spec="vision/net", cases={"": kept.CaseBaseline(machines=machines)})
    baselines.write_all(tmp_path, {"vision/net": held})
    (found,) = shipped(tmp_path)
    assert found.figures == (Figure("latency_ms", "latency_ms", 0.25, 1.0),)
    assert (found.name, found.full) == ("net", "vision/net")
    (tmp_path / "specs" / "vision" / "net.yaml").rename(tmp_path / "specs" / "net.yaml")
    baselines.write_all(tmp_path, {"net": held.model_copy(update={"spec": "net"})})
    (found,) = shipped(tmp_path)
    assert (found.name, found.full) == ("net", "net")


@pytest.fixture(scope="module")
def cases() -> list[Accepted]:
    return shipped(ROOT)


@pytest.mark.parametrize("name", ["methods.md", "results.md"])
def test_the_pages_here_say_what_the_baselines_hold(name: str, cases: list[Accepted]) -> None:
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert filled(page, cases) == page, "run `python -m harness results`"


def test_every_shipped_spec_stands_on_the_page_of_methods_once(cases: list[Accepted]) -> None:
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    rows = [row for table in tables(page) for row in table]
    specs = {path.stem for path in (ROOT / "specs").rglob("*.yaml") if "must-fail" not in path.parts}
    specs = {name for name in specs if not name.startswith("_")}
    assert len(specs) > 70
    told = {re.sub(r"^\| `(?:[a-z-]+/)?([^` ]+).*", r"\1", row) for row in rows}
    assert told == specs
    assert len(rows) == len({*rows}) == len(cases)


def test_pages_are_written_without_a_report_and_a_page_without_tables_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.md").write_text("# None\n")
    assert main(["results", "--page", "mine.md"]) == 2
    assert "the page has no table of what was accepted" in capsys.readouterr().err
    (tmp_path / "mine.md").write_text(PAGE)
    (tmp_path / "specs").mkdir()
    assert main(["results", "--page", "mine.md"]) == 0
    assert tables((tmp_path / "mine.md").read_text()) == [[], [], []]
