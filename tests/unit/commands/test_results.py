"""`weighin results`: tables of a page from reports, the last of which counts, and nothing left out unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.__main__ import main
from harness.evidence import Evidence
from harness.judge.verdict import State, Verdict
from harness.report.document import CaseRecord, Report, write
from harness.run.environment import environment

PAGE = """# Results

<!-- results of image-classification -->
old
<!-- end of results -->

Between.
"""


def row(label: str, value: float | None, reference: float | None, verdict: State = State.PASS, **more: str) -> Verdict:
    return Verdict(
        **{"spec": "image-classification/net", "case": "w8", "label": label, "metric": label, "verdict": verdict,
           "value": value, "reference": reference, "sentence": "", **more}
    )  # fmt: skip


ROWS = (
    row("size_mb", 2.8, 11.2),
    row("macs_g", 0.5, 1.0),
    row("sparsity", 0.3, 1e-7),
    row("top1", 0.955, 0.96),
    row("answers", 0.955, 0.96, metric="top1"),
    row("agreement", 0.97, 1.0),
    row("latency_ms", 4.0, 10.0, State.FAIL),
    row("in_use", 6.0, 12.0, metric="latency_ms"),
    row("evidence", None, None),
)


def record(spec: str = "image-classification/net", task: str = "image-classification") -> CaseRecord:
    return CaseRecord(
        spec=spec, case="w8", title="", task=task, steps=("channel-pruning", "int8-static"), environment=environment(),
        kernels="", reference=None, compressed=Evidence(operators={}, tensors=()), contradictions=(), seconds={},
    )  # fmt: skip


def report(folder: Path, rows: tuple[Verdict, ...], *records: CaseRecord) -> Path:
    return write(Report(weighin="1", created="2026-01-01", rows=rows, cases=records or (record(),)), folder)


def test_a_row_shows_each_figure_once_where_it_belongs(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text(PAGE)
    assert main(["results", str(report(tmp_path / "one", ROWS)), "--page", str(page)]) == 0
    lines = page.read_text().splitlines()
    assert lines[5] == (
        "| `net [w8]` | channel-pruning → int8-static | × 0.250 | macs_g × 0.500, sparsity 0.3000 | "
        "latency_ms × 0.400, in_use × 0.500 | "
        "top1 0.9600 → 0.9550, agreement 0.9700 | latency_ms FAIL |"
    )
    assert lines[6:] == ["<!-- end of results -->", "", "Between."]


def test_of_several_reports_the_last_counts(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text(PAGE)
    report(tmp_path / "one", ROWS)
    report(tmp_path / "two", (row("size_mb", 5.6, 11.2),))
    assert main(["results", str(tmp_path / "one"), str(tmp_path / "two"), "--page", str(page)]) == 0
    assert "| × 0.500 |  |  |  | PASS |" in page.read_text()
    assert page.read_text().count("`net [w8]`") == 1


@pytest.mark.parametrize(
    ("page", "records", "told"),
    [
        ("# No markers\n", (), "the page has no markers"),
        (PAGE.replace("image-classification", "detection"), (), "no report has results of detection"),
        (PAGE, (record(), record("a/b", "text-classification")), "no markers for text-classification: it would leave"),
    ],
)
def test_a_page_that_does_not_fit_is_refused_and_left_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], page: str, records: tuple[CaseRecord, ...], told: str
) -> None:
    path = tmp_path / "results.md"
    path.write_text(page)
    assert main(["results", str(report(tmp_path / "one", ROWS, *records)), "--page", str(path)]) == 2
    assert told in capsys.readouterr().err
    assert path.read_text() == page


def test_a_file_that_is_no_report_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.json").write_text("{}")
    assert main(["results", str(tmp_path), "--page", str(tmp_path / "x.md")]) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path / 'report.json'}: ")


def lines(page: Path) -> list[str]:
    return [line for line in page.read_text().splitlines() if line.startswith("| `")]


UNMEASURED = (row("size_mb", None, None, State.INVALID), row("evidence", None, None, State.INVALID))


def test_a_case_that_is_invalid_in_the_last_report_shows_no_older_figures(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text(PAGE)
    old, new = report(tmp_path / "old", ROWS), tmp_path / "new"
    report(new, UNMEASURED, record().model_copy(update={"compressed": None}))
    invalid = "| `net [w8]` | channel-pruning → int8-static |  |  |  |  | size_mb INVALID, evidence INVALID |"
    assert main(["results", str(old), str(new), "--page", str(page)]) == 0
    assert lines(page) == [invalid]
    # Of what an xdist worker died on there is no record.
    write(Report(weighin="1", created="2026-01-02", rows=UNMEASURED, cases=()), new)
    assert main(["results", str(old), str(new), "--page", str(page)]) == 0
    assert lines(page) == [invalid]
    assert main(["results", str(new), str(old), "--page", str(page)]) == 0
    assert lines(page)[0].endswith("| latency_ms FAIL |")


def test_a_file_that_cannot_be_read_any_more_is_invalid_in_all_its_cases(tmp_path: Path) -> None:
    """It has no cases then, so its row names none."""
    page = tmp_path / "results.md"
    page.write_text(PAGE)
    old, new = report(tmp_path / "old", ROWS), tmp_path / "new"
    broken = row("spec", None, None, State.INVALID, case="")
    write(Report(weighin="1", created="2026-01-02", rows=(broken,), cases=()), new)
    assert main(["results", str(old), str(new), "--page", str(page)]) == 0
    assert lines(page) == ["| `net [w8]` | channel-pruning → int8-static |  |  |  |  | spec INVALID |"]


def test_a_report_that_did_not_run_a_case_leaves_what_was_known_of_it(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text(PAGE)
    old, new = report(tmp_path / "old", ROWS), tmp_path / "new"
    elsewhere = (row("size_mb", None, None, State.NOT_RUN), row("evidence", None, None, State.NOT_RUN))
    report(new, elsewhere, record().model_copy(update={"compressed": None}))
    assert main(["results", str(old), str(new), "--page", str(page)]) == 0
    assert lines(page)[0].endswith("| latency_ms FAIL |")


def test_a_spec_directly_below_specs_is_called_by_its_id(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text(PAGE)
    report(tmp_path, (row("size_mb", 2.8, 11.2, spec="mine"),), record("mine"))
    assert main(["results", str(tmp_path), "--page", str(page)]) == 0
    assert lines(page) == ["| `mine [w8]` | channel-pruning → int8-static | × 0.250 |  |  |  | PASS |"]
