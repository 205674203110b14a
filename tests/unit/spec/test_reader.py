import time
from pathlib import Path

import pytest
import yaml

from harness.errors import SpecError
from harness.spec import reader
from harness.spec.reader import dotted, parse, read, shorten


def refused(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse(text, "x")
    return str(caught.value)


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("3", 3), ("-3", -3), ("+3", 3), ("0", 0), ("0.25", 0.25), (".5", 0.5), ("1.0e+3", 1000.0), ("3.", 3.0),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("word", "word"), ("'3'", "3"),
        ('"1e-3"', "1e-3"), ("'on'", "on"), ("2024-01-01", "2024-01-01"), ("[1, a, {b: [2]}]", [1, "a", {"b": [2]}]),
    ],
)  # fmt: skip
def test_plain_values_are_what_yaml_says(monkeypatch, loader, written, meant):
    monkeypatch.setattr(reader, "_Loader", loader)
    value = parse(f"a: {written}", "x").value["a"]
    assert value == meant
    assert type(value) is type(meant)


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("1e-3", "1e-3 is text to YAML 1.1, not a number; write 0.001"),
        ("-2.50E2", "-2.50E2 is text to YAML 1.1, not a number; write -250"),
        ("1e5", "write 100000"),
        ("1.5e30", "write 1.5e+30"),
        ("1e30", "write 1.0e+30"),
        ("010", "010 would be read as 8 by YAML 1.1; write the number in plain decimals"),
        ("0x1F", "would be read as 31"),
        ("0b101", "would be read as 5"),
        ("1:30", "would be read as 90"),
        ("1:30.5", "would be read as 90.5"),
        ("1_000", "would be read as 1000"),
        ("9" * 25, "has more digits than any option takes"),
        (".inf", ".inf is not finite"),
        ("-.Inf", "-.Inf is not finite"),
        (".NaN", ".NaN is not finite"),
        ("1.0e+999", "is not finite"),
        ("yes", "'yes' is a truth value to YAML 1.1; write true or false, or quote it to mean the word"),
        ("On", "'On' is a truth value"),
        ("off", "'off' is a truth value"),
        ("!!binary aGk=", "the tag '!!binary' is not part of the spec language"),
        ("!!python/object/apply:os.system [ls]", "the tag '!!python/object/apply:os.system' is not part"),
        ("!local {a: 1}", "the tag '!local' is not part"),
        ("!!set {a}", "the tag '!!set' is not part"),
        ("=", "the tag '!!value' is not part"),
        ("!!int x", '"x" is no number'),
    ],
)
def test_what_yaml_reads_otherwise_than_it_looks_is_refused(monkeypatch, loader, written, sentence):
    monkeypatch.setattr(reader, "_Loader", loader)
    message = refused(f"b: 1\na:  {written}")
    assert message.startswith("x:2:5: a: ")
    assert sentence in message


@pytest.mark.parametrize("written", ["1e-3", "-2.50E2", "1.5e30", "1e30", "1e-30", "123456789.25e0", "7e19", "7e25"])
def test_the_number_to_write_instead_is_the_number_that_was_meant(written):
    instead = refused(f"a: {written}").rpartition("write ")[2]
    assert yaml.safe_load(instead) == float(written)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nb: 2\na: 3", "x:3:1: a: the key 'a' stands here a second time (3), first in line 1 (1)"),
        ("a:\n  - {b: 1, b: 2}", "x:2:12: a[0].b: the key 'b' stands here a second time (2), first in line 2 (1)"),
        ("a: {b: 1}\na: [2]", "x:2:1: a: the key 'a' stands here a second time, first in line 1"),
        ("on: 1", "x:1:1: on: the key 'on' is not text to YAML 1.1; quote it: \"on\""),
        ("a: {1: x}", "x:1:5: a.1: the key '1' is not text"),
        ("? [a]\n: b", "x:1:3: a key is a word, not a list or a mapping"),
        (f"{'k' * 300}: 1", "x:1:1: a key is a word, not 300 characters"),
        ("a: &b {c: 1}\nd:\n  <<: *b", "x:3:3: d.<<: merge keys (`<<`) are not part of the spec language"),
    ],
)
def test_keys_are_words_and_stand_once(text, sentence):
    assert refused(text).startswith(sentence)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "x:1:1: is empty; a spec starts with `version: 1`"),
        ("# nothing but a remark\n", "x:1:1: is empty"),
        ("\n- a\n- b\n", "x:2:1: is not a mapping of keys to values"),
        ("just text", "x:1:1: is not a mapping of keys to values"),
        ("a: 1\n---\nb: 2", "x:2:1: is not YAML: holds two documents (`---`), and a spec is one"),
        ("a: b: c", "x:1:5: is not YAML: mapping values are not allowed in this context"),
        ("a:\n\tb: 1", "x:2:1: is not YAML: found character that cannot start any token (there is a tab"),
        ("a: *b", "x:1:4: is not YAML: found undefined alias"),
        ("a: é\nb: \x07", "x:2:4: is not YAML: the character U+0007 is not allowed in it"),
    ],
)
def test_text_that_is_no_mapping_is_refused_where_it_goes_wrong(text, sentence):
    assert refused(text).startswith(sentence)


def test_an_open_bracket_is_told_where_it_opened():
    message = refused("a: 1\nb: [1,\nc: 2\n")
    assert "is not YAML" in message
    assert "starts in line 2" in message


def test_every_fault_of_a_document_is_told_at_once_and_in_order():
    text = "z: yes\na: 1e-3\nb: {c: 010, c: .nan}\n<<: {}\n"
    lines = refused(text).splitlines()
    assert [line.split(":")[1] for line in lines] == ["1", "2", "3", "3", "3", "4"]


def test_aliases_stand_for_what_they_name():
    assert parse("a: &x {n: [1]}\nb: *x", "x").value == {"a": {"n": [1]}, "b": {"n": [1]}}


def test_an_alias_bomb_is_refused_before_it_expands():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    before = time.process_time()
    message = refused("\n".join(lines))
    assert time.process_time() - before < 2
    assert message == "x:4:1: a3: the document expands to more than 10,000 values; use fewer aliases (`*name`)"


def test_ten_thousand_values_are_allowed_and_not_one_more():
    # The list is a value too.
    assert len(parse(f"a: [{'1, ' * 9_999}]", "x").value["a"]) == 9_999
    assert "more than 10,000 values" in refused(f"a: [{'1, ' * 10_000}]")


@pytest.mark.parametrize("text", ["a: &x [*x]", "a: &x {b: *x}", "&x {a: *x}"])
def test_an_alias_that_contains_itself_is_refused(text):
    assert "nested deeper than 100 levels, or an alias contains itself" in refused(text)


@pytest.mark.parametrize("opener", ["[", "{a: ", "- ", "? "])
@pytest.mark.parametrize("depth", [500, 200_000])
def test_deep_nesting_is_refused_and_does_not_end_the_process(opener, depth):
    reasons = ("is nested deeper than 100 levels", "is larger than a spec can be", "is not YAML", "a key is a word")
    message = refused(f"a:\n  {opener * depth}")
    assert message.startswith("x:")
    assert any(reason in message for reason in reasons)


@pytest.mark.parametrize("depth", [101, 4_000])
def test_deep_nesting_that_is_closed_is_told_as_such(depth):
    assert "is nested deeper than 100 levels" in refused(f"a: {'[' * depth}{']' * depth}")


def test_a_huge_file_is_refused_unread():
    assert "larger than a spec can be" in refused(f"a: {'x' * 1_000_000}")


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path):
    path = tmp_path / "x.yaml"
    path.write_bytes("version: 1\ntitle: caf\xe9".encode("latin-1"))
    with pytest.raises(SpecError, match=r"^s/x.yaml:2:11: is not UTF-8 text \(byte 0xe9\)$"):
        read(path, "s/x.yaml")


def test_a_byte_order_mark_is_no_key(tmp_path: Path):
    path = tmp_path / "x.yaml"
    path.write_bytes("\ufeffversion: 1".encode())
    assert read(path, "x").value == {"version": 1}


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path):
    with pytest.raises(SpecError, match=r"^x:1:1: cannot be read: No such file or directory$"):
        read(tmp_path / "none.yaml", "x")
    with pytest.raises(SpecError, match=r"^x:1:1: cannot be read: Is a directory$"):
        read(tmp_path, "x")


def test_key_paths_and_values_are_shown_as_yaml_writes_them():
    assert dotted(("compress", 0, "finetune", "epochs")) == "compress[0].finetune.epochs"
    assert dotted(()) == ""
    assert shorten({"a": [True, None, "é"]}) == '{"a": [true, null, "é"]}'
    assert len(shorten("x" * 500)) == 60
