from __future__ import annotations

import io
import re

import pytest
from _pytest.terminal import TerminalReporter

from harness.report.progress import QUIET_S, _Live, _Log


class Screen:
    """What a terminal shows of what is written to it: the few controls that are used here."""

    def __init__(self) -> None:
        self.lines, self.row, self.column = [""], 0, 0

    def write(self, text: str) -> None:
        for control, count, letter in re.findall(r"(\x1b\[(\d*)([KAC])|[\s\S])", text):
            if letter == "A":
                self.row -= int(count or 1)
            elif letter == "C":
                self.column += int(count or 1)
            elif letter == "K":
                self.lines[self.row] = self.lines[self.row][: self.column]
            elif control == "\r":
                self.column = 0
            elif control == "\n":
                self.row, self.column = self.row + 1, 0
                self.lines += [""] * (self.row + 1 - len(self.lines))
            else:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + control + line[self.column + 1 :]
                self.column += 1


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def reporter(pytestconfig: pytest.Config, stream: io.StringIO) -> TerminalReporter:
    reporter = TerminalReporter(pytestconfig, stream)
    reporter._tw.fullwidth = 40
    return reporter


def test_a_live_line_leaves_what_pytest_wrote_as_it_was(reporter: TerminalReporter) -> None:
    screen = Screen()
    reporter._tw.write("specs/mine.yaml F.")
    screen.write("specs/mine.yaml F.")
    view = _Live(reporter, screen.write)
    for second in range(3):
        view.tell(f"mine[w8]: step {second} of 3, which takes longer than a line", float(second))
        assert screen.lines[0] == "specs/mine.yaml F."
        assert screen.lines[1] == f"mine[w8]: step {second} of 3, which take ({second} s)"
    view.close()
    screen.write("F")
    assert screen.lines == ["specs/mine.yaml F.F", ""]


def test_a_line_is_written_only_when_it_changes(reporter: TerminalReporter) -> None:
    written: list[str] = []
    view = _Live(reporter, written.append)
    for _ in range(5):
        view.tell("mine: compressing", 1.0)
    assert len(written) == 1


def test_nothing_is_erased_where_nothing_was_shown(reporter: TerminalReporter) -> None:
    written: list[str] = []
    _Live(reporter, written.append).close()
    assert written == []


def test_a_plain_log_gets_a_line_now_and_then_and_pytest_begins_anew(reporter: TerminalReporter) -> None:
    written: list[str] = []
    view = _Log(reporter, written.append)
    reporter.currentfspath = "specs/mine.yaml"
    for second in range(int(2.5 * QUIET_S)):
        view.tell("mine: compressing", float(second))
    view.close()
    assert written == ["\nmine: compressing (20 s)", "\nmine: compressing (40 s)"]
    assert reporter.currentfspath is None
