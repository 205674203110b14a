"""Documents as windows: every token is scored once, whatever the stride, and documents share windows whole."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.data.hub import Datasets
from harness.data.public_texts import PublicTexts, apart, plain
from harness.data.table import Jsonl
from harness.data.text_file import Text
from harness.data.windows import UNSCORED, Cut, Documents, split
from harness.errors import DataError
from harness.sources.base import uncut

BOS = 1
letters = uncut(lambda text: [BOS, *text.encode()])
bare = uncut(lambda text: list(text.encode()))


def windows(texts, cut, encoder=letters):
    return Documents(texts, [f"text {index}" for index in range(len(texts))], cut).encoded(encoder)


def scored(batch, row=0):
    return [one for one in batch.targets[row].tolist() if one != UNSCORED]


def test_a_window_predicts_each_token_from_those_before_it_and_never_what_stands_before_a_text():
    (batch,) = windows(["abc"], Cut(8)).batches(1)
    assert batch.inputs[0].tolist() == [[BOS, *b"abc"]]
    assert batch.targets.tolist() == [[*b"abc", UNSCORED, UNSCORED, UNSCORED, UNSCORED, UNSCORED]]


def test_without_a_token_before_a_text_its_first_one_has_nothing_that_predicts_it():
    (batch,) = windows(["abc"], Cut(8), bare).batches(1)
    assert batch.inputs[0].tolist() == [[*b"abc"]]
    assert scored(batch) == list(b"bc")


EOS = 2


@pytest.mark.parametrize(
    ("around", "first"),
    [(lambda text: [*text, EOS], 1), (lambda text: [BOS, *text, EOS], 0), (lambda text: [EOS, *text, EOS], 0)],
    ids=["EOS", "BOS and EOS", "one token for both"],
)
def test_what_a_tokenizer_puts_behind_every_text_takes_no_token_of_it(around, first):
    """GPT-NeoX and T5 end every text: what an empty text gives is then no beginning."""
    split = windows(["abc", "de", "fghijklmn"], Cut(8), uncut(lambda text: around(list(text.encode()))))
    batches = list(split.batches(1))
    # Without a token before a text the first of a window has nothing that predicts it.
    assert b"".join(bytes(scored(batch)) for batch in batches[:1]) == b"abc\n\nde"[first:]
    assert b"".join(bytes(scored(batch)) for batch in batches[1:]).startswith(b"fghijklmn"[first:6])
    assert all(EOS not in row.tokens[1:] for row in split.rows)


def test_a_tokenizer_whose_frame_cannot_be_told_is_refused():
    with pytest.raises(DataError, match=r"the tokens \[7\] of no text and \[97\] of 'a'"):
        windows(["abc"], Cut(8), uncut(lambda text: list(text.encode()) or [7]))
    odd = uncut(lambda text: list(text.encode()) if text == "abc" else [BOS, *text.encode()])
    with pytest.raises(DataError, match=r"puts \[1\] before and \[\] behind a text, and not around text 0"):
        windows(["abc"], Cut(8), odd)


def test_short_documents_share_a_window_whole_and_count_as_one_unit():
    split = windows(["abc", "def", "ghij"], Cut(9))
    assert [bytes(row.tokens[1:]).decode() for row in split.rows] == ["abc\n\ndef", "ghij"]
    assert split.names == ["text 0 to text 1", "text 2"]
    assert split.units.tolist() == [0, 2]


def test_an_overlap_is_read_as_context_and_scored_by_the_window_before():
    # 8 tokens a window, 7 of them text, 3 on from one to the next: 0-6, 3-9, 6-10.
    batches = list(windows(["abcdefghijk"], Cut(8, stride=3)).batches(1))
    assert [bytes(batch.inputs[0][0, 1:].tolist()) for batch in batches] == [b"abcdefg", b"defghij", b"ghijk"]
    assert [bytes(scored(batch)) for batch in batches] == [b"abcdefg", b"hij", b"k"]


@given(
    st.lists(st.text("abcdef", min_size=1, max_size=60), min_size=1, max_size=6), st.integers(8, 20), st.integers(1, 30)
)
def test_every_token_is_scored_exactly_once_whatever_the_stride(texts, window, stride):
    cut = Cut(window, stride=min(stride, window - 1))
    found = [token for batch in windows(texts, cut).batches(1) for token in scored(batch)]
    # Short documents that share a window have a break between them, which is text too.
    assert bytes(found).replace(b"\n\n", b"") == "".join(texts).encode()


def test_a_batch_is_padded_behind_the_text_and_its_padding_is_never_scored():
    (batch,) = windows(["abcdef", "x" * 7], Cut(8)).batches(2)
    assert batch.inputs[0].shape == (2, 8)
    assert batch.inputs[0][0].tolist() == [BOS, *b"abcdef", 0]
    assert scored(batch) == list(b"abcdef")


def test_a_stride_that_would_skip_tokens_is_refused():
    with pytest.raises(DataError, match="`stride: 8` skips tokens: a window of 8 holds 7 tokens of a text"):
        windows(["abc"], Cut(8, stride=8))


def test_a_document_that_is_held_out_and_trained_on_is_refused():
    with pytest.raises(DataError, match="calibration sample two is also evaluation sample one"):
        split([("one", "a text")], [("two", " a text\n")], 4, Cut())


def test_texts_that_end_alike_share_no_sample_and_texts_that_share_a_passage_do():
    held, other = "the first of both texts ends here.", "and another one of them ends here."
    cut = Cut(29)
    data = split([("held", held)], [("other", other)], 2, cut).encoded(letters)
    # Of both a window holds nothing but the last six letters.
    assert [row.tokens for row in (data.evaluation.rows[-1], data.train.rows[-1])] == [[BOS, *b" here."]] * 2
    assert data.checked() is data
    passage = "twenty-eight letters in here"
    with pytest.raises(DataError, match="calibration sample other, from token 0 is also evaluation sample held, from"):
        split([("held", f"{passage} and so")], [("other", f"{passage} or so")], 2, cut).encoded(letters).checked()


def test_a_source_without_a_tokenizer_is_refused():
    with pytest.raises(DataError, match="`source: transformers` does"):
        windows(["abc"], Cut(), None)


def test_a_file_is_parted_by_two_empty_lines_and_a_folder_by_its_files(tmp_path):
    (tmp_path / "one.txt").write_text("a\n\nb\n\n\nc\n")
    data = Text(path="one.txt", training="many").load  # a folder
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "x.txt").write_text("x")
    (tmp_path / "many" / "y.txt").write_text("y")
    loaded = data(tmp_path)
    assert loaded.evaluation.texts == ["a\n\nb", "c"]
    assert loaded.train.texts == ["x", "y"]
    assert loaded.train.names == ["x.txt", "y.txt"]
    with pytest.raises(DataError, match=r"no text at .*absent"):
        Text(path="absent").load(tmp_path)


def test_texts_in_linked_folders_are_found_and_a_link_that_leads_back_has_an_end(tmp_path):
    for name in ("many/x", "store/y", "store/z"):
        (tmp_path / f"{name}.txt").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.txt").write_text(name)
    (tmp_path / "one.txt").write_text("held out")
    (tmp_path / "many" / "more").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "back").symlink_to(tmp_path / "many")
    data = Text(path="one.txt", training="many")
    before = data.fingerprint(tmp_path)
    assert data.load(tmp_path).train.names == ["more/y.txt", "more/z.txt", "x.txt"]
    (tmp_path / "store" / "y.txt").write_text("another")
    assert data.fingerprint(tmp_path) != before


def test_public_texts_hold_out_whole_texts(tmp_path):
    news = PublicTexts(windows=8).load(tmp_path)
    # One of the other 193 says half of what a text says that is held out, word for word.
    assert (len(news.evaluation), len(news.train)) == (150, 192)
    assert "background text 108" not in news.train.names
    assert news.evaluation.texts[0].startswith("The national executive of the strife-torn Democrats")
    first = news.encoded(letters).evaluation
    assert len(first) == 8
    assert np.unique(first.units).size == 8 or first.units.tolist() == sorted(first.units.tolist())


def test_texts_that_repeat_thirteen_words_of_what_is_held_out_are_left_out():
    words = [f"word{index}" for index in range(40)]
    held = [("held", " ".join(words))]
    others = {
        "thirteen": ["x", *words[5:18], "y"],
        "twelve": ["x", *words[5:17], "y"],
        "Case": [words[0].upper(), *words[1:13]],
    }
    kept = apart([(name, " ".join(text)) for name, text in others.items()], held)
    assert [name for name, _ in kept] == ["twelve"]
    assert apart([("short", "word0 word1")], held) == [("short", "word0 word1")]


def test_an_article_is_its_running_text():
    markup = (
        "{{Infobox|a={{b}}}}\n== Heading ==\n* a list\n'''Algae''' are [[organism|organisms]] of [[water]].<ref>Smith "
        "[[x]]</ref> They live in many places. [[File:a.jpg|thumb|An [[alga]].]]\n[[Category:Plants]]"
    )
    assert plain(markup) == "Algae are organisms of water. They live in many places."


def test_shuffling_keeps_every_window():
    ordered = windows([chr(97 + index) * 7 for index in range(5)], Cut(8))
    shuffled = torch.cat([batch.inputs[0] for batch in ordered.batches(2, shuffle=1)])
    assert sorted(shuffled[:, 1].tolist()) == [97, 98, 99, 100, 101]
    assert shuffled[:, 1].tolist() != [97, 98, 99, 100, 101]


def test_a_table_without_label_and_score_holds_documents(tmp_path):
    (tmp_path / "mine.jsonl").write_text("".join(f'{{"text": "{letter * 9}"}}\n' for letter in "abcdefgh"))
    data = Jsonl(path="mine.jsonl", window=12, windows=2)
    assert data.served == {"causal-lm"}
    assert Jsonl(path="mine.jsonl", label="class").served == {"text-classification"}
    loaded = data.load(tmp_path).checked()
    texts = [*loaded.evaluation.texts, *loaded.train.texts]
    assert sorted(texts) == [letter * 9 for letter in "abcdefgh"]
    assert len(loaded.encoded(letters).evaluation) == 2
    with pytest.raises(ValueError, match="or neither"):
        Jsonl(path="mine.jsonl", label="class", other="b", score="c")


def test_a_hub_that_cannot_be_reached_is_told_in_time_with_the_way_out(tmp_path, monkeypatch):
    # A port of this machine that nobody listens at.
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(DataError, match=r"cannot be reached.*`source: text`, `jsonl` or `csv`"):
        Datasets(name="owner/texts", revision="0" * 40).load(tmp_path)
    assert time.monotonic() - started < 15
