"""Tables of outcomes: what is read from them, and what is refused with its line."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.errors import DataError, TableError
from harness.measurement import Labels, Pairs
from harness.measurement.table import Columns, read, write


@pytest.fixture
def table(tmp_path: Path):
    def make(text: str, **columns: str):
        path = tmp_path / "t.csv"
        path.write_text(text, encoding="utf-8")
        return read(path, Columns(**columns))

    return make


def sides(found) -> tuple[list, list]:
    return found.measured.outcomes_reference.tolist(), found.measured.outcomes.tolist()


@pytest.mark.parametrize(
    "text",
    [
        "1,0\n1,1\n0,1\n",
        "float,compressed\n1,0\n1,1\n0,1\n",
        "\ufeffbefore;after\r\n1;0\r\n1;1\r\n0;1\r\n\r\n\r\n",
        "compressed\tid\tfloat\n0\ta\t1\n1\tb\t1\n1\tc\t0\n",
        "True,false\n1.0, 1\nFALSE,true\n",
    ],
    ids=["plain", "named", "semicolons", "another order", "words"],
)
def test_zeros_and_ones_are_right_or_wrong_however_they_are_written(table, text):
    found = table(text)
    assert sides(found) == ([True, True, False], [False, True, True])
    assert found.measured.outcomes.dtype == np.bool_
    assert found.measured.independent
    assert found.changed() == {"lost": [found.names[0]], "won": [found.names[2]]}
    assert found.changed(higher_is_better=False) == {"lost": [found.names[2]], "won": [found.names[0]]}


def test_anything_else_is_a_score(table):
    found = table("a,b\n0.5,1\n1,0\n")
    assert found.measured.outcomes.dtype == np.float64
    assert sides(found) == ([0.5, 1.0], [1.0, 0.0])
    # One side of zeros and ones alone makes no proportion.
    assert table("1,0.25\n0,1e-3\n").measured.outcomes_reference.dtype == np.float64


def test_columns_are_chosen_by_name_or_number(table):
    text = "photo,right,old,new\np,1,0,1\nq,0,1,1\np,1,1,0\n"
    found = table(text, reference="old", compressed="new", unit="photo")
    assert sides(found) == ([False, True, True], [True, True, False])
    assert (found.measured.units.tolist(), found.measured.n) == ([0, 1, 0], 2)
    assert sides(table(text, reference="3", compressed="4")) == sides(found)
    assert sides(table("1,0,1\n0,1,1\n1,1,0\n", reference="2", compressed="3")) == sides(found)


def test_names_match_in_upper_and_lower_case_so_that_the_models_are_not_swapped(table):
    """Read in the order of the columns, a true drop of a half would be a gain."""
    found = table("ID,Compressed,Float\na,0,1\nb,1,1\n")
    assert sides(found) == ([True, True], [False, True])
    assert found.names == ("a", "b")
    assert found.columns == {"float": "'Float'", "compressed": "'Compressed'", "id": "'ID'"}
    assert sides(table("FP32,INT8\n1,0\n1,1\n", reference="fp32", compressed="Int8")) == ([True, True], [False, True])
    # Of two that differ in case alone the one that was meant is taken.
    assert sides(table("a,A\n1,0\n", reference="a", compressed="A")) == ([True], [False])


def test_a_column_without_a_title_is_no_outcome_once_that_is_said(table):
    found = table(",fp32,int8\n0,1,1\n1,1,0\n", id="1")
    assert sides(found) == ([True, True], [True, False])
    assert found.columns == {"float": "'fp32'", "compressed": "'int8'", "id": "1"}


def test_every_blank_line_but_the_last_ones_is_a_sample(table):
    """40 samples without outcomes among 200 are not 160 samples."""
    with pytest.raises(DataError, match=r"t\.csv:162: column 'a' holds nothing"):
        table("a,b\n" + "1,1\n" * 160 + ",\n" * 40)
    assert table("a,b\n" + "1,1\n" * 160 + "\n \n").measured.n == 160


def test_a_first_line_without_outcomes_is_a_sample_and_no_title(table, tmp_path):
    """With what else it holds it was taken for names of columns, and one sample less was judged."""
    for nothing in ("NA", "None", "nan", ""):
        with pytest.raises(DataError, match=r"t\.csv:1: column 2 holds"):
            table(f"img1,{nothing},{nothing}\nimg2,1,1\nimg3,1,0\n", id="1")
    (tmp_path / "labels.csv").write_text("img1,cat,NA,NA\nimg2,dog,dog,dog\n")
    with pytest.raises(DataError, match=r"labels\.csv:1: column 3 holds NA: it is missing"):
        read(tmp_path / "labels.csv", Columns(id="1", target="2"), "f1")
    # A title for one of them is enough.
    assert table("fp32,\n1,0\n").columns == {"float": "'fp32'", "compressed": "2"}


def test_a_sample_is_called_by_its_id_or_by_its_line(table):
    assert table("id,float,compressed\nx,1,0\ny,1,1\n").names == ("x", "y")
    assert table("name,float,compressed\nx,1,0\ny,1,1\n", id="name").names == ("x", "y")
    # Lines of the file, quoted breaks counted.
    assert table('float,compressed,note\n1,0,"two\nlines"\n1,1,\n').names == ("line 3", "line 4")


@pytest.mark.parametrize(
    ("text", "columns", "error", "message"),
    [
        ("", {}, DataError, "is empty: nothing was measured"),
        ("\n  \n", {}, DataError, "is empty: nothing was measured"),
        ("float,compressed\n", {}, DataError, "names its columns and holds no sample"),
        ("1,1\n1,nan\n", {}, DataError, "t.csv:2: column 2 holds nan: not an outcome that means anything"),
        ("a,b\n1,1\n-inf,1\n", {}, DataError, "t.csv:3: column 'a' holds -inf"),
        ("id,float,compressed\nx,1,1\ny,1,1\nx,1,0\n", {}, DataError, ":4: the sample 'x' was counted before"),
        ("1\n0\n", {}, TableError, "t.csv:1: has one column, and two are needed"),
        ("id,float\nx,1\n", {}, TableError, "has one column of outcomes, and two are needed"),
        ("1,1\n1\n", {}, TableError, "t.csv:2: has 1 of the 2 columns that are needed"),
        ("a,b\n1,1\n1,yes\n", {}, TableError, "t.csv:3: column 'b' holds 'yes', where a number is needed"),
        # What is missing is no sample less, and no title.
        ("a,b\n1,\n", {}, DataError, "t.csv:2: column 'b' holds nothing: it is missing"),
        ("1,1\n,\n1,1\n", {}, DataError, "t.csv:2: column 1 holds nothing: it is missing"),
        ("1,1\n1,1\n,\n", {}, DataError, "t.csv:3: column 1 holds nothing"),
        ("1,1\n\n1,1\n", {}, DataError, "t.csv:2: the line is empty, and others follow"),
        ("NA,NA\n1,1\n", {}, DataError, "t.csv:1: column 1 holds NA: it is missing"),
        ("None,None\n1,1\n", {}, DataError, "t.csv:1: column 1 holds None: it is missing"),
        ("a,b\n1,null\n", {}, DataError, "t.csv:2: column 'b' holds null: it is missing"),
        ("unit,float,compressed\np,1,1\n,1,1\n", {}, DataError, "t.csv:3: column 'unit' holds nothing"),
        # Which two are the outcomes is never guessed among more.
        (",fp32,int8\n0,1,1\n1,1,0\n", {}, TableError, "3 columns that could be the outcomes, 1, 'fp32', 'int8', "),
        ("1,1,0\n1,1,1\n", {}, TableError, "3 columns that could be the outcomes, 1, 2, 3, and 2 to be found"),
        ("note,float,new\n1,1,1\n", {}, TableError, "2 columns that could be the outcomes, 'note', 'new', and 1 to be"),
        ("fp32,int8\n0,1,1\n1,1,0\n", {}, TableError, "t.csv:2: has 3 columns, and the first line 2"),
        ("Float,float,compressed\n1,1,1\n", {}, TableError, "the column 'float' 2 times: give its number, one of 1"),
        ("float,compressed\n1,1\n", {"reference": "floa"}, TableError, "compressed'. Did you mean 'float'?"),
        ("1,1\n", {"unit": "photo"}, TableError, "its first line names none, so number them from"),
        ("1,1\n", {"unit": "3"}, TableError, "no column '3'"),
        ("a,b\n1,1\n", {"reference": "b", "compressed": "b"}, TableError, "one column cannot serve for two: 'b', 'b'"),
        ("a,b,c\n1,1,1\n", {"reference": "a", "compressed": "b", "id": "b"}, TableError, "cannot serve for two"),
        ('a,b\n1,"1\n', {}, TableError, "cannot be read as a table"),
    ],
)  # fmt: skip
def test_what_is_no_table_or_means_nothing_is_refused_with_its_line(table, text, columns, error, message):
    with pytest.raises(error) as caught:
        table(text, **columns)
    assert message in str(caught.value)


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path):
    with pytest.raises(TableError, match=r"there is no file .*none\.csv"):
        read(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00,1\n")
    with pytest.raises(TableError, match="cannot be read as a table"):
        read(tmp_path / "b.csv")


def test_a_table_that_comes_through_a_pipe_is_read_once(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    text = '\ufefffloat;compressed;note\r\n1;0;"two\nlines"\r\n1;1;\r\n'
    writer = threading.Thread(target=path.write_bytes, args=(text.encode(),), daemon=True)
    writer.start()
    found = read(path)
    writer.join(timeout=10)
    assert sides(found) == ([True, True], [False, True])
    assert found.names == ("line 3", "line 4")


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), n=st.integers(1, 30))
def test_what_is_written_comes_back_bit_for_bit(tmp_path, data, n):
    kind = data.draw(st.sampled_from([np.bool_, np.float64]))
    values = {"allow_nan": False, "allow_infinity": False} if kind is np.float64 else {}
    columns = data.draw(arrays.arrays(kind, (2, n), elements=arrays.from_dtype(np.dtype(kind), **values)))
    units = np.arange(n) // data.draw(st.integers(1, 4))
    text = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6)
    names = data.draw(st.lists(text, min_size=n, max_size=n, unique=True))
    sent = Pairs(outcomes_reference=columns[0], outcomes=columns[1], units=units, data="d")
    write(tmp_path / "x.csv", sent, names)
    found = read(tmp_path / "x.csv")
    assert found.names == tuple(names)
    assert found.measured.units.tolist() == units.tolist()
    plain = np.isin(columns, (0, 1)).all()
    for one, other in zip(columns, (found.measured.outcomes_reference, found.measured.outcomes), strict=True):
        assert other.dtype == (np.bool_ if plain else np.float64)
        assert one.astype(float).tolist() == other.astype(float).tolist()


def test_labels_are_read_beside_their_target(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("id,target,float,compressed\na,cat,cat,dog\nb,dog,dog,dog\nc,dog,cat,dog\nd,10,10,9\n")
    found = read(path, statistic="f1")
    both = found.measured
    assert isinstance(both, Labels)
    expected = [["cat", "dog", "dog", "10"], ["cat", "dog", "cat", "10"], ["dog", "dog", "dog", "9"]]
    names = sorted({one for column in expected for one in column})
    for column, ours in zip(expected, (both.targets, both.labels_reference, both.labels), strict=True):
        assert [names[index] for index in ours] == column
    assert found.changed() == {"lost": ["a", "d"], "won": ["c"]}
    # What was written comes back as the same figure.
    write(tmp_path / "again.csv", both, found.names)
    again = read(tmp_path / "again.csv", statistic="f1")
    assert again.measured.drop(0.95) == both.drop(0.95)
    assert again.names == found.names


@pytest.mark.parametrize("row", ["d,,10,9", "d,10,NA,9", "d,10,10,none"])
def test_a_label_that_is_missing_is_no_class(tmp_path, row):
    (tmp_path / "labels.csv").write_text(f"id,target,float,compressed\na,cat,cat,dog\n{row}\n")
    with pytest.raises(DataError, match=r"labels\.csv:3: column .* it is missing"):
        read(tmp_path / "labels.csv", statistic="f1")


def test_labels_are_never_taken_for_scores_nor_scores_for_labels(table, tmp_path):
    with pytest.raises(TableError, match="holds labels beside their target: say with --statistic"):
        table("target,float,compressed\n1,1,2\n2,2,2\n")
    (tmp_path / "plain.csv").write_text("float,compressed\n1,0\n")
    with pytest.raises(TableError, match="no column `target`, which labels are compared with"):
        read(tmp_path / "plain.csv", statistic="f1")


def test_the_scores_that_changed_most_come_first(table):
    found = table("id,float,compressed\na,0.5,0.4\nb,0.5,0.1\nc,0.5,0.9\nd,0.5,0.5\ne,0.5,0.6\n")
    assert found.changed() == {"lost": ["b", "a"], "won": ["c", "e"]}


def test_a_first_line_of_labels_is_not_lost_as_names_of_columns(tmp_path):
    places, path = Columns(target="1", reference="2", compressed="3"), tmp_path / "t.csv"
    samples = "cat,cat,dog\ncat,cat,cat\ndog,dog,dog\n"
    path.write_text(samples)
    with pytest.raises(TableError, match=r"t\.csv:1: 'cat' is a label on other lines too, .* names the columns"):
        read(path, places, "f1")
    path.write_text(f"right,fp32,int8\n{samples}")
    assert read(path, places, "f1").measured.n == 3
