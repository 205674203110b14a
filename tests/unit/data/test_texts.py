"""Texts as samples: the shipped corpora, your own tables, and the tokenizer that makes inputs of them."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data.base import DATA
from harness.data.labels import in_order
from harness.data.lee import Lee
from harness.data.polarity import Polarity
from harness.data.short_texts import ShortTexts
from harness.data.sides import position, positions
from harness.data.table import Csv, Jsonl
from harness.data.text import TextSplit
from harness.errors import DataError
from harness.packaged import packaged
from harness.run.samples import require_named


def letters(texts):
    """A tokenizer of bytes, padded with zeros."""
    longest = max(len(text) for text in texts)
    tokens = torch.tensor([[*text.encode(), *[0] * (longest - len(text))] for text in texts])
    return tokens, (tokens > 0).long()


def test_texts_become_padded_batches_in_the_asked_order():
    split = TextSplit(["ab", "c", "def"], torch.tensor([0, 1, 2])).encoded(letters)
    first, second = split.batches(2)
    assert first.inputs[0].tolist() == [[97, 98], [99, 0]]
    assert first.inputs[1].tolist() == [[1, 1], [1, 0]]
    assert second.inputs[0].tolist() == [[100, 101, 102]]
    shuffled = torch.cat([batch.targets for batch in split.batches(2, shuffle=3)])
    assert shuffled.tolist() == torch.randperm(3, generator=torch.Generator().manual_seed(3)).tolist()


def test_a_model_without_a_tokenizer_is_refused():
    with pytest.raises(DataError, match="`source: transformers`"):
        TextSplit(["a"], torch.tensor([0])).encoded(None)


def test_lee_is_fifty_texts_and_the_human_similarity_of_every_pair(tmp_path):
    data = Lee().load(tmp_path).checked()
    human = data.evaluation.targets.numpy()
    assert human.shape == (50, 50)
    assert np.isfinite(human).sum() == 2 * 1225
    np.testing.assert_array_equal(human, human.T)
    # The file holds the upper triangle; its first row is the first text's.
    with packaged("gensim", "test/test_data/similarities0-1.txt").open() as stream:
        row = [float(figure) for figure in next(stream).split()]
    assert human[0, 1:].tolist() == pytest.approx(row[1:], abs=1e-6)
    assert human[1:, 0].tolist() == pytest.approx(row[1:], abs=1e-6)
    assert data.evaluation.texts[0].startswith("The national executive of the strife-torn Democrats")
    assert len(data.calibration) == 128


def test_short_texts_hold_out_the_same_ones_whatever_the_limit(tmp_path):
    few, many = (ShortTexts(limit=limit).load(tmp_path).checked() for limit in (500, 4_000))
    assert many.evaluation.texts[:500] == few.evaluation.texts
    assert few.classes == ("negative", "neutral", "positive")
    assert len(few.train) == len(many.train) > 20_000
    shares = np.bincount(few.train.targets) / len(few.train)
    assert np.abs(np.bincount(many.evaluation.targets) / 4_000 - shares).max() < 0.02


def test_a_labelled_table_is_split_by_content_and_keeps_its_lines(tmp_path):
    lines = [f'{{"say": "text {index}", "what": "{"ab"[index % 2]}"}}' for index in range(400)]
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    data = Jsonl(path="mine.jsonl", text="say", label="what").load(tmp_path).checked()
    assert data.classes == ("a", "b")
    assert len(data.evaluation) + len(data.train) == 400
    assert 160 < len(data.evaluation) < 240
    for name, text, target in zip(data.evaluation.names, data.evaluation.texts, data.evaluation.targets, strict=True):
        index = int(text.split()[1])
        assert name == f"line {index + 1}"
        assert target == index % 2


def test_pairs_become_a_matrix_and_independent_pairs_are_the_units(tmp_path):
    (tmp_path / "pairs.csv").write_text("one,two,alike\na,b,0.5\nc,d,1\ne,f,0\n")
    (tmp_path / "others.csv").write_text("one,two,alike\nx,y,1\n")
    data = Csv(path="pairs.csv", training="others.csv", text="one", other="two", score="alike").load(tmp_path)
    assert data.evaluation.texts == ["a", "b", "c", "d", "e", "f"]
    assert data.evaluation.targets[0, 1] == data.evaluation.targets[1, 0] == 0.5
    assert data.evaluation.units.tolist() == [0, 0, 1, 1, 2, 2]
    # Where every pair shares a text with another, the texts are what was sampled.
    (tmp_path / "pairs.csv").write_text("one,two,alike\na,b,0.5\nb,c,1\n")
    chained = Csv(path="pairs.csv", training="others.csv", text="one", other="two", score="alike").load(tmp_path)
    assert chained.evaluation.units.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"text": "a"}\n', "mine.jsonl, line 1: nothing under 'label'"),
        ('{"text": "a", "lable": "x"}\n', "did you mean 'lable'"),
        ('{"text": "a", "label": "x"}\n{"text": \n', "mine.jsonl, line 2: no JSON"),
        ("[1]\n", "line 1: a JSON object was expected"),
        ("\n", "holds no record"),
    ],
)
def test_a_malformed_table_is_refused_with_its_line(tmp_path, text, sentence):
    (tmp_path / "mine.jsonl").write_text(text)
    with pytest.raises(DataError, match=sentence):
        Jsonl(path="mine.jsonl", label="label").load(tmp_path)


def test_a_score_that_is_no_number_is_refused_with_its_line(tmp_path):
    (tmp_path / "pairs.csv").write_text("a,b,s\nx,y,0.5\nu,v,much\n")
    with pytest.raises(DataError, match="line 3: the score 'much' is no number"):
        Csv(path="pairs.csv", training="pairs.csv", text="a", other="b", score="s").load(tmp_path)


def test_a_table_says_what_it_is_for():
    with pytest.raises(ValueError, match="give `label`, or `other` and `score`"):
        Csv(path="a.csv", other="second")


def test_film_reviews_are_all_held_out_and_half_of_each_kind():
    data = Polarity(calibration=50).load(Path()).checked()
    assert (len(data.evaluation), len(data.calibration)) == (200, 50)
    # Counted in the file: 100 of each.
    assert data.evaluation.targets.bincount().tolist() == [100, 100]
    assert data.classes == ("negative", "positive")
    first = next(zip(data.evaluation.texts, data.evaluation.targets.tolist(), strict=True))
    assert first == ("simplistic , silly and tedious .", 0)
    # Of short texts those with a polarity, and none of the ones that `short-texts` holds out.
    everything = ShortTexts(limit=4_000).load(Path())
    assert len(data.train) == int((everything.train.targets != 1).sum())
    assert not set(data.train.texts) & set(everything.evaluation.texts)


@pytest.mark.parametrize("source", ["jsonl", "text"])
def test_what_moves_from_training_to_evaluation_is_other_data(tmp_path: Path, source: str) -> None:
    """The bytes of both in a row are the same, and the model has seen what it is evaluated on."""
    lines = [f'{{"text": "sentence {index}", "label": "a"}}\n' for index in range(4)]
    seen = set()
    for cut in (2, 3):
        places = {"path": lines[:cut], "training": lines[cut:]}
        for name, part in places.items():
            if source == "jsonl":
                (tmp_path / name).write_text("".join(part))
            else:
                for old in (tmp_path / name).glob("*.txt"):
                    old.unlink()
                (tmp_path / name).mkdir(exist_ok=True)
                for line in part:
                    (tmp_path / name / f"{lines.index(line)}.txt").write_text(line)
        seen.add(DATA[source](path="path", training="training").fingerprint(tmp_path))
    assert len(seen) == 2


def test_labels_that_are_numbers_are_classes_in_their_order(tmp_path: Path) -> None:
    """As text 10 comes before 2, and every class from there on would be held to another output."""
    for name, count in (("path.csv", 12), ("training.csv", 24)):
        rows = "\n".join(f"{name} {index},{index % 12}" for index in range(count))
        (tmp_path / name).write_text(f"text,label\n{rows}\n")
    data = Csv(path="path.csv", training="training.csv", label="label").load(tmp_path)
    assert data.classes == tuple(str(number) for number in range(12))
    assert next(data.evaluation.encoded(letters).batches(12)).targets.tolist() == list(range(12))


def test_what_is_calibrated_on_is_mixed_where_the_file_is_sorted(tmp_path: Path) -> None:
    for name, count in (("path.csv", 4), ("training.csv", 200)):
        rows = "\n".join(f"{name} {index},{'ab'[index >= count / 2]}" for index in range(count))
        (tmp_path / name).write_text(f"text,label\n{rows}\n")
    data = Csv(path="path.csv", training="training.csv", label="label", calibration=16).load(tmp_path)
    targets = torch.cat([batch.targets for batch in data.calibration.encoded(letters).batches(16)])
    assert 2 < int(targets.sum()) < 14


def test_texts_of_a_pair_that_begin_alike_have_names_of_their_own(tmp_path: Path) -> None:
    start = "The company has reported a quarterly profit of "
    rows = "".join(f"{start}{index} millions,{start}{index} billions,0.5\n" for index in range(4))
    for name in ("path.csv", "training.csv"):
        (tmp_path / name).write_text("text,other,score\n" + rows.replace("company", name))
    data = Csv(path="path.csv", training="training.csv", other="other", score="score").load(tmp_path)
    evaluation = data.evaluation.encoded(letters)
    require_named(evaluation)
    assert len(set(evaluation.names)) == len(evaluation) == 8


@pytest.mark.parametrize(
    "ordered",
    [
        ["0.0", "1.0", "2.0", "10.0"],
        ["-2", "-1", "0", "1", "2", "10"],
        ["-.5", "2", "1e1"],
        # More digits than a float tells apart.
        ["9999999999999999", "10000000000000000"],
        # One that is no number makes texts of all.
        ["10", "2", "nan"],
        ["10", "2", "inf"],
        ["10", "2", "b"],
        ["10", "1_1", "9"],
    ],
)
def test_labels_are_sorted_by_value_where_all_are_numbers(ordered: list[str]) -> None:
    assert in_order(reversed(ordered)) == tuple(ordered)


def test_labels_with_a_point_are_classes_in_their_order_and_keep_their_texts(tmp_path: Path) -> None:
    for name in ("path.csv", "training.csv"):
        rows = "\n".join(f"{name} {index},{index}.0" for index in range(12))
        (tmp_path / name).write_text(f"text,label\n{rows}\n")
    data = Csv(path="path.csv", training="training.csv", label="label").load(tmp_path)
    assert data.classes == tuple(f"{number}.0" for number in range(12))
    assert data.evaluation.targets.tolist() == list(range(12))


def test_whole_numbers_that_are_written_in_two_ways_are_one_class(tmp_path: Path) -> None:
    """A column in which one was missing once has a point in every number, and the one beside it has not."""
    (tmp_path / "path.csv").write_text("text,label\na,1\nb,0\n")
    (tmp_path / "training.csv").write_text("text,label\nc,0.0\nd,1.0\n")
    data = Csv(path="path.csv", training="training.csv", label="label").load(tmp_path)
    assert data.classes == ("0", "1")
    assert (data.evaluation.targets.tolist(), data.train.targets.tolist()) == ([1, 0], [0, 1])
    with pytest.raises(DataError, match=r"the label '.\.0' is none of 0, 1"):
        Csv(path="path.csv", training="training.csv", label="label", classes=("0", "1")).load(tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("text,label\na,x,more\n", r"line 2: has 3 cells, and the header names 2: is a comma in a text not quoted\?"),
        ("text,label,note\na,x,y\n\nb,x\n", "line 4: has 2 of the 3 cells that the header names"),
        ('text,label\na,x\n"b, y\nc,x\n', r"line 3: no row of a CSV .unexpected end of data.: is a quote left open\?"),
        ('text,label\n"a,x\nb,"y"\nc,x\n', "line 2: no row of a CSV .*: is a quote left open"),
    ],
)
def test_a_row_that_would_lose_cells_or_others_is_refused_with_its_line(
    tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(DataError, match=f"^mine.csv, {sentence}"):
        Csv(path="mine.csv", label="label").load(tmp_path)


ASKED = "of the columns asked for ('text', 'label') the header lacks "
COMMAS = ", and a `csv` is by commas: save it with commas"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "text;label\nshort, but good;x\n",
            f"line 1: {ASKED}'text', 'label', and has 'text;label': it seems to be separated by semicolons{COMMAS}",
        ),
        (
            "\r\ntext\tlabel\r\ngood\tx\r\n",
            f"line 2: {ASKED}'text', 'label', and has 'text\\tlabel': it seems to be separated by tabs{COMMAS}",
        ),
        # Other names, and cells enough for two columns by another sign alone.
        (
            "review|kind\ngood|x\n",
            f"line 1: {ASKED}'text', 'label', and has 'review|kind': it seems to be separated by vertical bars{COMMAS}",
        ),
        # By the rules of a CSV this is a quote in the wrong place.
        (
            '"text";"label"\n"good";"x"\n',
            f"line 1: {ASKED}'text', 'label', and has '\"text\";\"label\"': it seems to be separated by "
            f"semicolons{COMMAS}",
        ),
        (
            f"a great film{' and' * 40},positive\nbad,negative\n",
            f"line 1: {ASKED}'text', 'label', and has 'a great film and and and and and and and…', 'positive': the "
            "file seems to have no header line: write one above it, or say under `data:` which of these columns are "
            "meant",
        ),
        ("text,lable\ngood,x\n", f"line 1: {ASKED}'label', and has 'text', 'lable'; did you mean 'lable'?"),
        (
            "Text, Label\ngood,x\n",
            f"line 1: {ASKED}'text', 'label', and has 'Text', ' Label'; did you mean 'Text', ' Label'?",
        ),
        # One column that is asked for is there, so the line is a header.
        ("text,x;y\ngood,x\n", f"line 1: {ASKED}'label', and has 'text', 'x;y'"),
    ],
    ids=["semicolons", "tabs", "bars", "quoted", "no header", "typing error", "capitals", "other column"],
)
def test_a_first_line_without_the_columns_is_told_with_what_it_seems_to_be(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.csv").write_bytes(text.encode())
    with pytest.raises(DataError) as refused:
        Csv(path="data/mine.csv", label="label").load(tmp_path)
    assert str(refused.value) == f"data/mine.csv, {said}"


@pytest.mark.parametrize("first", ["\ufefftext,label", '"text","label"', "id;old,text,label"])
def test_a_header_that_has_the_columns_is_taken_however_it_is_written(tmp_path: Path, first: str) -> None:
    row = ",".join(["x"] * (first.count(",") + 1))
    (tmp_path / "mine.csv").write_text(f"{first}\n{row}\n", encoding="utf-8")
    rows = list(Csv(path="mine.csv", label="label").records(tmp_path / "mine.csv", "mine.csv"))
    assert [(line, fields["text"], fields["label"]) for line, fields in rows] == [(2, "x", "x")]


def test_a_column_that_stands_twice_is_not_guessed(tmp_path: Path) -> None:
    """The last of them was taken, whatever was in it. One that nobody asks for may stand as often as it likes."""
    (tmp_path / "mine.csv").write_text("label,text,label,note,note\nx,good,y,,\n")
    with pytest.raises(DataError, match=r"^mine\.csv, line 1: the header has 'label' more than once: rename all but"):
        Csv(path="mine.csv", label="label").load(tmp_path)
    rows = list(Csv(path="mine.csv").records(tmp_path / "mine.csv", "mine.csv"))
    assert [fields["text"] for _, fields in rows] == ["good"]


def test_one_column_of_prose_is_not_said_to_be_separated_by_its_semicolons(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("I came; I saw\nI left\n")
    with pytest.raises(DataError, match="and has 'I came; I saw': the file seems to have no header line"):
        Csv(path="mine.csv").load(tmp_path)


def labelled(path: Path, labels: Sequence[str]) -> None:
    """A table with a text of its own for each label."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("text,label\n" + "".join(f"{path} {index},{label}\n" for index, label in enumerate(labels)))


def test_a_label_of_the_evaluation_file_alone_is_told_with_its_line_and_the_closest(tmp_path: Path) -> None:
    labelled(tmp_path / "val" / "mine.csv", ["positive", "postive", "negative", "neutral", "postive"])
    labelled(tmp_path / "train" / "mine.csv", ["positive", "negative", "positive"])
    data = Csv(path="val/mine.csv", training="train/mine.csv", label="label")
    with pytest.raises(DataError) as refused:
        data.load(tmp_path)
    assert str(refused.value) == (
        "val/mine.csv, line 3: the label 'postive' (and 1 more) occurs nowhere in train/mine.csv, whose labels are "
        "negative, positive; did you mean 'positive'? Where it is a class of its own, list all classes under "
        "`classes:`, in the order of the model's outputs"
    )
    three = ("negative", "neutral", "positive")
    with pytest.raises(DataError) as refused:
        data.model_copy(update={"classes": three}).load(tmp_path)
    assert str(refused.value) == (
        "val/mine.csv, line 3: the label 'postive' is none of negative, neutral, positive; did you mean 'positive'?"
    )
    # A class that is named needs no sample to train on; neither does one of the training file a sample to measure.
    labelled(tmp_path / "val" / "mine.csv", ["positive", "neutral"])
    assert data.model_copy(update={"classes": three}).load(tmp_path).classes == three
    labelled(tmp_path / "val" / "mine.csv", ["positive"])
    assert data.load(tmp_path).classes == ("negative", "positive")


def test_a_label_that_is_like_no_other_is_told_without_a_guess(tmp_path: Path) -> None:
    labelled(tmp_path / "val.csv", ["0", "x"])
    labelled(tmp_path / "train.csv", [*map(str, range(100, 125)), "0"])
    with pytest.raises(DataError) as refused:
        Csv(path="val.csv", training="train.csv", label="label").load(tmp_path)
    known = ", ".join(["0", *map(str, range(100, 119))])
    assert str(refused.value).startswith(
        f"val.csv, line 3: the label 'x' occurs nowhere in train.csv, whose labels are {known} and 6 more. Where it is"
    )


def test_of_one_file_a_class_may_fall_to_the_evaluated_side_alone(tmp_path: Path) -> None:
    """On which side a text lies is a matter of its hash, and no fault of its label."""
    texts = [f"text {index}" for index in range(40)]
    rare = next(text for text in texts if share(text) < 0.5)
    rows = [json.dumps({"text": text, "label": "rare" if text == rare else "usual"}) for text in texts]
    (tmp_path / "mine.jsonl").write_text("\n".join(rows))
    data = Jsonl(path="mine.jsonl", label="label").load(tmp_path)
    assert data.classes == ("rare", "usual")
    assert data.evaluation.targets.tolist().count(0) == 1


def test_line_breaks_in_quotes_empty_lines_and_commas_at_the_end_are_no_fault(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text('text,label\n"a\nb",x,\n\n6" of c,y, ,\n')
    rows = list(Csv(path="mine.csv", label="label").records(tmp_path / "mine.csv", "mine.csv"))
    assert rows == [(3, {"text": "a\nb", "label": "x"}), (5, {"text": '6" of c', "label": "y"})]


def share(text: str) -> float:
    """Where a text lies in 0…1, as every split was made from the first on."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32


def pairs(path: Path, texts: Sequence[tuple[str, str]]) -> Jsonl:
    """Data of these pairs, without a second file."""
    rows = [json.dumps({"text": one, "other": two, "score": 0.5}) for one, two in texts]
    path.write_text("\n".join(rows))
    return Jsonl(path=path.name, other="other", score="score")


def plain(path: Path) -> str:
    """The fingerprint of a file by itself."""
    return hashlib.sha256(b"path" + hashlib.sha256(path.read_bytes()).digest()).hexdigest()


def test_a_split_is_what_it_was_where_no_second_text_recurs(tmp_path: Path) -> None:
    """Baselines stand on it."""
    rows = [(f"text {index // 2}", f"other {index}") for index in range(60)]
    data = pairs(tmp_path / "pairs.jsonl", rows)
    evaluated = [text for row in rows if share(row[0]) < 0.5 for text in row]
    assert data.load(tmp_path).evaluation.texts == list(dict.fromkeys(evaluated))
    assert data.fingerprint(tmp_path) == plain(tmp_path / "pairs.jsonl")
    (tmp_path / "alone.jsonl").write_text("\n".join(f'{{"text": "text {n}", "label": "{n % 2}"}}' for n in range(60)))
    labelled = Jsonl(path="alone.jsonl", label="label", held_out=0.3)
    names = [f"line {n + 1}" for n in range(60) if share(f"text {n}") < 0.3]
    assert labelled.load(tmp_path).evaluation.names == names
    assert labelled.fingerprint(tmp_path) == plain(tmp_path / "alone.jsonl")


def test_pairs_that_share_a_text_lie_on_one_side_in_whatever_order(tmp_path: Path) -> None:
    rows = [(f"text {index}", f"shared {index // 4}") for index in range(400)]
    data = pairs(tmp_path / "pairs.jsonl", rows)
    loaded = data.load(tmp_path).checked()
    held_out = set(loaded.evaluation.texts)
    # Every text that is shared has all its four pairs on its side.
    for group in range(100):
        side = {text in held_out for row in rows[4 * group : 4 * group + 4] for text in row}
        assert len(side) == 1
    assert 150 < len(held_out) < 350
    # The bytes are those of the split that parted them.
    assert data.fingerprint(tmp_path) != plain(tmp_path / "pairs.jsonl")
    assert set(pairs(tmp_path / "pairs.jsonl", rows[::-1]).load(tmp_path).evaluation.texts) == held_out


def test_records_that_hang_together_have_the_place_of_the_first_of_their_first_texts() -> None:
    records = [("d", "x"), ("b", "x"), ("c", "y"), ("y", "z"), ("a", "w"), ("a", "v")]
    assert positions(records) == [position(text) for text in ("b", "b", "c", "c", "a", "a")]
    assert position(" a\n") == share("a")


@pytest.mark.parametrize(("loose", "counts"), [(0, "(50 records 50|50 records 0)"), (2, r"52 records \d+")])
def test_pairs_of_which_too_many_hang_together_need_a_second_file(tmp_path: Path, loose: int, counts: str) -> None:
    rows = [(f"text {index}", f"text {index + 1}") for index in range(50)]
    rows += [(f"loose {index}", f"end {index}") for index in range(loose)]
    told = "for 50 hang together through texts that they share: give a second file as `training:`"
    with pytest.raises(DataError, match=rf"of {counts} would be evaluated on and \d+ trained on, {told}"):
        pairs(tmp_path / "pairs.jsonl", rows).load(tmp_path)


def test_a_file_that_leaves_a_side_empty_needs_a_second_one(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text('{"text": "a", "label": "x"}')
    with pytest.raises(DataError, match=r"one.jsonl: of 1 records . would be evaluated on and . trained on: give a"):
        Jsonl(path="one.jsonl", label="label").load(tmp_path)
