"""`weighin schema` and `weighin docs`: what they write, and that the committed copies are what they would write."""

from pathlib import Path

import pytest

from harness.__main__ import main
from harness.report import json_schema as report_schema
from harness.spec import json_schema, reference

PAGE = Path(__file__).parents[3] / "docs" / "spec-language.md"


def test_the_committed_schema_is_up_to_date():
    assert json_schema.PATH.read_text() == json_schema.text(), "run: python -m harness schema"


def test_the_committed_schema_of_reports_is_up_to_date():
    assert report_schema.PATH.read_text() == report_schema.text(), "run: python -m harness schema --report"


def test_the_schema_of_reports_goes_where_it_is_asked_to(tmp_path, capsys):
    target = tmp_path / "report.schema.json"
    assert main(["schema", "--report", str(target)]) == 0
    assert capsys.readouterr().out == f"{target}\n"
    assert target.read_text() == report_schema.text()
    assert main(["schema", "--report", "--check", str(target)]) == 0
    assert main(["schema", "--check", str(target)]) == 1


def test_the_committed_reference_is_up_to_date():
    assert reference.updated(PAGE.read_text()) == PAGE.read_text(), "run: python -m harness docs"


def test_a_schema_goes_where_it_is_asked_to(tmp_path, capsys):
    target = tmp_path / "deep" / "spec.json"
    assert main(["schema", "--check", str(target)]) == 1
    assert "is not up to date" in capsys.readouterr().err
    assert main(["schema", str(target)]) == 0
    assert capsys.readouterr().out == f"{target}\n"
    assert target.read_text() == json_schema.text()
    assert main(["schema", "--check", str(target)]) == 0
    target.write_text("{}")
    assert main(["schema", "--check", str(target)]) == 1
    assert target.read_text() == "{}"


def test_an_installed_package_is_not_written_to(tmp_path, capsys, monkeypatch):
    installed = tmp_path / "site-packages" / "harness" / "spec" / "spec.schema.json"
    monkeypatch.setattr(json_schema, "PATH", installed)
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == json_schema.text()
    assert not installed.exists()
    # Its own copy lies in a checkout.
    installed.parent.mkdir(parents=True)
    (tmp_path / "site-packages" / "pyproject.toml").touch()
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == f"{installed}\n"
    assert installed.read_text() == json_schema.text()


def test_a_page_keeps_what_stands_around_its_tables(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{reference.BEGIN}\nold\n{reference.END}\nafter\n")
    assert main(["docs", "--check", str(page)]) == 1
    assert main(["docs", str(page)]) == 0
    assert main(["docs", "--check", str(page)]) == 0
    text = page.read_text()
    assert text.startswith(f"before\n{reference.BEGIN}\n\n## Keys of a file")
    assert text.endswith(f"{reference.END}\nafter\n")
    assert "\nold\n" not in text


@pytest.mark.parametrize("text", ["", "no markers", reference.BEGIN, f"{reference.END}{reference.BEGIN}"])
def test_a_page_without_markers_is_left_alone(tmp_path, capsys, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    assert main(["docs", str(page)]) == 2
    assert "lacks its markers" in capsys.readouterr().err
    assert page.read_text() == text


def test_a_page_that_is_not_there_is_named(tmp_path, capsys):
    assert main(["docs", str(tmp_path / "none.md")]) == 2
    assert "none.md" in capsys.readouterr().err
