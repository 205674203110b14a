"""`weighin verdict`: the gate's own arithmetic on outcomes from a file, and how it exits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from harness.__main__ import main
from harness.judge.bounds import head, judge
from harness.measurement import Pairs
from harness.metrics.base import METRICS
from harness.statistics import mean_difference, proportion_difference

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """397 samples: 385 right for float, 382 of them for the compressed model too."""
    path = tmp_path / "outcomes.csv"
    path.write_text("float,compressed\n" + "".join(f"{int(i < 385)},{int(i < 382)}\n" for i in range(397)))
    return path


def run(*arguments: object) -> int:
    return main(["verdict", "--pairs", *map(str, arguments)])


def test_the_sentence_is_the_one_that_the_gate_prints(file, capsys):
    assert run(file, "--max-drop", 0.02, "--label", "top1") == 0
    printed = capsys.readouterr().out
    outcomes = np.arange(397)
    pairs = Pairs(outcomes_reference=outcomes < 385, outcomes=outcomes < 382, units=outcomes, data="d")
    metric = METRICS["top1"](max_drop=0.02)
    (finding,) = judge(metric, pairs, 0.95)
    assert printed.splitlines()[0] == f"top1: {head(metric, pairs)}, {finding.text} → PASS"
    assert printed.splitlines()[1] == "lost: line 384, line 385, line 386"


@pytest.mark.parametrize(
    ("bounds", "code", "verdict"),
    [
        (["--max-drop", 0.02], 0, "PASS"),
        (["--max-drop", 0.00001], 1, "FAIL"),
        (["--max-drop", 0.01], 11, "INCONCLUSIVE"),
        (["--max-drop", 0.02, "--confidence", 0.99], 11, "INCONCLUSIVE"),
        (["--max-drop", 0.02, "--reference-min", 0.98], 10, "INVALID"),
        (["--min", 0.9622], 0, "PASS"),
        (["--min", 0.97], 1, "FAIL"),
        (["--min-ratio", 0.97, "--max-drop", 0.02], 0, "PASS"),
        (["--min-ratio", 0.99999], 1, "FAIL"),
        # As costs, fewer ones are better.
        (["--max-rise", 0.005, "--better", "lower"], 0, "PASS"),
        (["--max-ratio", 1.001, "--better", "lower"], 0, "PASS"),
    ],
)
def test_every_verdict_has_its_exit_code(file, capsys, bounds, code, verdict):
    assert run(file, *bounds) == code
    assert f"→ {verdict}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("bounds", "clause"),
    [
        (["--min", 97], "min: 97 is out of reach: outcome lies in 0…1, a share and no percentage: 97 % is 0.97"),
        (["--min", 0], "min: min 0 can never fail: outcome lies in 0…1"),
        (["--min", 0.9, "--reference-min", -1], "reference_min: -1 is out of reach: outcome lies in 0…1"),
        (
            ["--max-drop", 2],
            "max_drop: a change of 2 can never happen: outcome lies in 0…1, a share and no percentage: 2 % is 0.02",
        ),
        (["--max", 1, "--better", "lower"], "max: max 1 can never fail: outcome lies in 0…1"),
    ],
)
def test_a_bound_that_right_and_wrong_cannot_reach_is_invalid_as_in_a_spec(file, capsys, bounds, clause):
    """`--min 97` failed every model, and `--min 0` passed every one."""
    assert run(file, *bounds) == 10
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == f"outcome: 0.9622 vs float 0.9698, {clause} → INVALID"
    assert run(file, *bounds, "--json") == 10
    found = json.loads(capsys.readouterr().out)
    assert found["found"] == {clause.partition(":")[0]: "INVALID"}
    assert (len(found["lost"]) + len(found["won"]), found["interval"]) == (3, None)


def test_scores_reach_as_far_as_they_do(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("float,compressed\n" + "35.5,35.4\n" * 50)
    assert run(path, "--min", 20) == 0
    assert run(path, "--min", 36) == 1


def test_the_columns_that_were_taken_are_told(tmp_path, capsys):
    """Titles in capitals were read in their order, which made a drop of 0.096 a gain and a PASS."""
    path = tmp_path / "capitals.csv"
    path.write_text("Compressed,Float\n" + "".join(f"{int(i >= 48)},1\n" for i in range(500)))
    assert run(path, "--max-drop", 0.05) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "columns: float 'Float', compressed 'Compressed'"
    assert run(path, "--max-drop", 0.05, "--json") == 1
    assert json.loads(capsys.readouterr().out)["columns"] == {"float": "'Float'", "compressed": "'Compressed'"}
    path.write_text(path.read_text().replace("Compressed,Float", "new,old"))
    run(path, "--max-drop", 0.05)
    assert capsys.readouterr().out.splitlines()[-1] == "columns: float 'new', compressed 'old'"


def test_json_has_the_interval_the_sample_and_everything_that_changed(file, capsys):
    assert run(file, "--max-drop", 0.02, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    expected = proportion_difference(0, 3, 397)
    assert found["verdict"] == "PASS"
    assert (found["value"], found["reference"], found["n"]) == (382 / 397, 385 / 397, 397)
    assert found["bound"] == {"max_drop": 0.02}
    assert found["interval"] == {
        "of": "drop", "estimate": expected.estimate, "lower": expected.lower, "upper": expected.upper,
        "confidence": 0.95, "method": expected.method,
    }  # fmt: skip
    assert (found["lost"], found["won"]) == (["line 384", "line 385", "line 386"], [])


def test_of_several_bounds_the_one_that_decided_leads_with_its_interval(file, capsys):
    assert run(file, "--min-ratio", 0.97, "--max-drop", 0.01, "--json") == 11
    found = json.loads(capsys.readouterr().out)
    assert found["found"] == {"max_drop": "INCONCLUSIVE", "min_ratio": "PASS"}
    assert (found["interval"]["of"], found["interval"]["estimate"]) == ("drop", 3 / 397)
    assert found["sentence"].startswith("outcome: 0.9622 vs float 0.9698, drop 0.0076 (3 lost, 0 won of 397; ")
    assert "; ratio 0.992 [" in found["sentence"]


def test_scores_and_units_are_judged_as_means_over_units(tmp_path, capsys):
    random = np.random.default_rng(0)
    reference, unit = random.uniform(0.5, 1, 200).round(6), np.arange(200) // 5
    value = (reference - random.uniform(0, 0.01, 200)).round(6)
    path = tmp_path / "scores.csv"
    rows = (f"{u},{r},{v}" for u, r, v in zip(unit, reference, value, strict=True))
    path.write_text("photo,float,compressed\n" + "\n".join(rows))
    assert run(path, "--max-drop", 0.05, "--unit-column", "photo", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    expected = mean_difference(reference, value, unit)
    assert (found["n"], found["interval"]["upper"]) == (40, expected.upper)
    assert "over 200 samples of 40 units; 95 % upper bound" in found["sentence"]
    assert len(found["lost"]) == 200
    # Without the column, five times as many units are claimed.
    run(path, "--max-drop", 0.05, "--json")
    assert json.loads(capsys.readouterr().out)["n"] == 200


def test_labels_are_judged_as_an_average_over_classes(tmp_path, capsys):
    target = np.arange(600) % 3
    value = np.where(np.arange(600) < 6, (target + 1) % 3, target)
    path = tmp_path / "labels.csv"
    rows = "\n".join(f"{a},{a},{b}" for a, b in zip(target, value, strict=True))
    path.write_text(f"target,float,compressed\n{rows}\n")
    assert run(path, "--max-drop", 0.05, "--statistic", "f1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["value"] == pytest.approx(f1_score(target, value, average="macro"))
    assert len(found["lost"]) == 6
    assert run(path, "--max-drop", 0.05) == 2
    assert "say with --statistic" in capsys.readouterr().err


@pytest.mark.parametrize(("target", "model"), [("1 2", "1.0 2.0"), ("1.0 2.0", "1 2")])
def test_labels_that_are_numbers_are_compared_as_numbers(tmp_path, capsys, target, model):
    """A column in which one label was missing is written as 1.0, 2.0."""
    path = tmp_path / "labels.csv"
    rows = "\n".join(f"{a},{b},{b}" for a, b in zip(target.split() * 200, model.split() * 200, strict=True))
    path.write_text(f"target,float,compressed\n{rows}\n")
    assert run(path, "--max-drop", 0.05, "--statistic", "recall", "--json") == 0
    assert json.loads(capsys.readouterr().out)["value"] == 1.0


@pytest.mark.parametrize("names", ["007 7", "9007199254740993 9007199254740992", "1e1 10"])
def test_labels_that_are_other_texts_are_other_labels(tmp_path, names):
    one, other = names.split()
    path = tmp_path / "labels.csv"
    path.write_text("target,float,compressed\n" + f"{one},{one},{other}\n{other},{other},{other}\n" * 100)
    assert run(path, "--max-drop", 0.05, "--statistic", "recall") == 1


@pytest.mark.parametrize("header", ["student_float,student_int8", "distilbert_fp32,distilbert_int8", "before,pruned"])
def test_two_columns_whose_names_say_no_other_order_are_taken_in_theirs(tmp_path, header):
    path = tmp_path / "named.csv"
    path.write_text(header + "\n" + "1,1\n" * 300)
    assert run(path, "--max-drop", 0.02) == 0


@pytest.mark.parametrize("header", ["compressed_acc,float_acc", "int8,fp32", "Pruned,before", "a,reference"])
def test_two_columns_whose_names_say_the_opposite_are_not_guessed(tmp_path, capsys, header):
    path = tmp_path / "turned.csv"
    path.write_text(header + "\n" + "1,1\n" * 300)
    assert run(path, "--max-drop", 0.02) == 2
    first, second = header.split(",")
    assert f"of the columns '{first}' and '{second}' the first would be taken for the float" in capsys.readouterr().err
    assert run(path, "--max-drop", 0.02, "--float-column", second, "--compressed-column", first) == 0


@pytest.mark.parametrize("columns", ["1_0,1\n1,1\n", "float,compressed\n1,1_0\n1,1\n"])
def test_digits_grouped_as_python_has_it_are_no_number(tmp_path, capsys, columns):
    path = tmp_path / "grouped.csv"
    path.write_text(columns)
    assert run(path, "--max-drop", 0.02) in (2, 10)
    assert "PASS" not in capsys.readouterr().out


def test_a_terminal_without_arrows_and_a_reader_that_leaves_change_no_verdict(tmp_path):
    """1 would say FAIL."""
    path = tmp_path / "sound.csv"
    path.write_text("float,compressed\n" + "1,1\n" * 300)
    command = [sys.executable, "-m", "harness", "verdict", "--pairs", str(path), "--max-drop", "0.02"]
    plain = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ran = subprocess.run(command, env=plain, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "limit 0.0200 ? PASS" in ran.stdout
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run([*command, "--json"], stdout=writing, stderr=writing, check=False)
    os.close(writing)
    assert ran.returncode == 2


@pytest.mark.parametrize("bound", [["--max-rise", 0.02], ["--max-ratio", 1.1]])
def test_a_loss_of_right_answers_does_not_pass_as_no_rise(tmp_path, capsys, bound):
    path = tmp_path / "outcomes.csv"
    path.write_text("float,compressed\n" + "".join(f"1,{int(i > 70)}\n" for i in range(1000)))
    assert run(path, *bound) == 2
    assert "outcomes of 0 and 1 are wrong and right, of which more is better" in capsys.readouterr().err
    assert run(path, "--max-drop", 0.02) == 1


def test_labels_are_told_what_they_are_where_a_rise_of_their_average_is_bounded(tmp_path, capsys):
    path = tmp_path / "labels.csv"
    path.write_text("target,float,compressed\n" + "cat,cat,cat\ndog,dog,dog\n" * 100)
    assert run(path, "--statistic", "f1", "--max-rise", 0.02) == 2
    assert capsys.readouterr().err == (
        "f1 of labels is better when it is higher, and these bounds are for what is better when it is lower: bound "
        "--max-drop or --min-ratio\n"
    )
    assert run(path, "--statistic", "f1", "--min", 97) == 10
    assert "min: 97 is out of reach: outcome lies in 0…1" in capsys.readouterr().out


def test_no_word_makes_an_average_of_labels_a_cost(tmp_path, capsys):
    """Of 300 labels 20 are lost, which passed as no rise where `--better lower` was said."""
    path = tmp_path / "labels.csv"
    lines = "cat,cat,cat\ndog,dog,dog\n" * 100 + "fox,fox,fox\n" * 80 + "fox,fox,cat\n" * 20
    path.write_text("target,float,compressed\n" + lines)
    assert run(path, "--statistic", "f1", "--max-rise", 0.02, "--better", "lower") == 2
    assert "f1 of labels is better when it is higher" in capsys.readouterr().err
    assert run(path, "--statistic", "f1", "--max-drop", 0.02, "--better", "higher") == 1


def test_lost_is_what_became_worse_whichever_way_is_better(tmp_path, capsys):
    path = tmp_path / "errors.csv"
    path.write_text("id,float,compressed\n" + "".join(f"s{i},0,{int(i == 3)}\n" for i in range(300)))
    assert run(path, "--max-rise", 0.02, "--better", "lower") == 0
    printed = capsys.readouterr().out
    assert "rise 0.0033 (1 lost, 0 won of 300; 95 % upper bound" in printed
    assert "lost: s3\n" in printed


def test_many_changes_are_counted_where_a_person_reads(tmp_path, capsys):
    path = tmp_path / "many.csv"
    path.write_text("".join(f"1,{int(i > 30)}\n" for i in range(400)))
    run(path, "--max-drop", 0.2)
    assert capsys.readouterr().out.splitlines()[1].endswith("line 20 and 11 more")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("a,b\n1,nan\n", "outcome: {}:2: column 'b' holds nan: not an outcome that means anything → INVALID"),
     ("a,b\n", "outcome: {} names its columns and holds no sample: nothing was measured → INVALID")],
)  # fmt: skip
def test_outcomes_that_mean_nothing_are_invalid_and_never_green(tmp_path, capsys, text, sentence):
    path = tmp_path / "x.csv"
    path.write_text(text)
    assert run(path, "--max-drop", 0.5) == 10
    assert capsys.readouterr().out == sentence.format(path) + "\n"
    assert run(path, "--max-drop", 0.5, "--json") == 10
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["lost"], found["won"], found["columns"]) == ("INVALID", [], [], {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give at least one bound, for example --max-drop 0.02"),
        (["--max-drop", 0.1, "--max-rise", 0.1], "max_rise is for metrics where lower is better"),
        (["--reference-min", 0.5], "a budget with no bound on the compressed model can never fail"),
        (["--min", 0.9, "--max", 0.8], "min 0.9 is above max 0.8: nothing can pass"),
        (["--min-ratio", -1], "min_ratio: Input should be greater than 0"),
        (["--max-drop", "nan"], "max_drop: Input should be a finite number"),
        (["--max-drop", 0.1, "--float-column", "flaot"], "Did you mean 'float'?"),
    ],
)
def test_bounds_and_columns_that_mean_nothing_are_mistakes_of_the_caller(file, capsys, arguments, message):
    assert run(file, *arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert not printed.out


@pytest.mark.parametrize("confidence", ["0.5", "1", "95", "nan", "high"])
def test_an_impossible_confidence_is_refused(file, capsys, confidence):
    with pytest.raises(SystemExit) as caught:
        run(file, "--max-drop", 0.1, "--confidence", confidence)
    assert caught.value.code == 2
    assert "--confidence" in capsys.readouterr().err


@pytest.mark.parametrize("pairs", ["-", "/dev/stdin"])
def test_outcomes_come_through_a_pipe_as_from_a_file(file, pairs):
    command = [sys.executable, "-m", "harness", "verdict", "--pairs", pairs, "--max-drop", "0.02", "--label", "top1"]
    ran = subprocess.run(command, input=file.read_bytes(), capture_output=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.startswith(b"top1: 0.9622 vs float 0.9698, drop 0.0076 (3 lost, 0 won of 397; ")
    ran = subprocess.run(command, input=b"float,compressed\n1,x\n", capture_output=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert b"/dev/stdin:2: column 'compressed' holds 'x', where a number is needed" in ran.stderr


def test_a_first_sample_without_outcomes_is_no_title(tmp_path, capsys):
    """It was lost, and the others passed."""
    path = tmp_path / "named.csv"
    path.write_text("img1,NA,NA\n" + "".join(f"img{i},1,1\n" for i in range(2, 302)))
    assert run(path, "--max-drop", 0.02, "--id-column", 1) == 10
    assert capsys.readouterr().out == f"outcome: {path}:1: column 2 holds NA: it is missing → INVALID\n"


def test_a_file_that_is_not_there_is_named(tmp_path, capsys):
    assert run(tmp_path / "none.csv", "--max-drop", 0.1) == 2
    assert "there is no file" in capsys.readouterr().err


def test_no_model_library_is_imported(file):
    program = (
        "import sys; from harness.__main__ import main; "
        f"code = main(['verdict', '--pairs', {str(file)!r}, '--max-drop', '0.02']); "
        "heavy = {'torch', 'torchvision', 'timm', 'openvino', 'sklearn', 'PIL', 'pytest'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
