"""Tables beside the report: what `weighin verdict` makes of them is what the gate said."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from harness.__main__ import main
from harness.evidence import Evidence
from harness.judge.case import verdict
from harness.judge.standing import Standing
from harness.measurement import Correlation, Exact, Labels, Pairs, Totals
from harness.measurement.scores import Scores
from harness.report import tables
from harness.report.document import record
from harness.run.environment import environment
from harness.run.result import Result
from harness.spec.schema import Spec

N = 300
BUDGETS = {
    "top1": {"max_drop": 0.05},
    "crops": {"metric": "top5", "max_drop": 0.3},
    "f1": {"max_drop": 0.05},
    "size_mb": {"max_ratio": 0.5},
}


@pytest.fixture(scope="module")
def result() -> Result:
    random = np.random.default_rng(0)
    reference, compressed = random.random((2, N)) > 0.05
    targets = np.arange(N) % 3
    labels = np.where(compressed, targets, (targets + 1) % 3)
    units = np.arange(N)
    return Result(
        spec="task/mine",
        case="w8",
        environment=environment(),
        kernels="x86",
        compressed=Evidence(operators={}, tensors=()),
        names=tuple(f"photo {index}" for index in range(N)),
        measurements={
            "top1": Pairs(outcomes_reference=reference, outcomes=compressed, units=units, data="d"),
            "crops": Pairs(outcomes_reference=reference, outcomes=compressed, units=units // 5, data="d"),
            "f1": Labels(
                statistic="f1", targets=targets, labels_reference=targets, labels=labels, units=units, data="d"
            ),
            "size_mb": Exact(measured=1, measured_reference=4),
        },
    )


@pytest.mark.parametrize(("label", "more"), [("top1", []), ("crops", []), ("f1", ["--statistic", "f1"])])
def test_the_gates_own_verdict_comes_out_of_its_table(result, tmp_path, capsys, label, more):
    kept = tables.outcomes(result)
    tables.write([kept], tmp_path)
    spec = Spec.model_validate(
        {
            "version": 1,
            "task": "image-classification",
            "model": {"source": "zoo", "name": "resnet20-digits"},
            "data": {"source": "digits"},
            "compress": [{"method": "float16"}],
            "budgets": BUDGETS,
        }
    )
    row = verdict(spec, result, label, Standing(None, "here", updating=True))
    path = tmp_path / record(result, kept).tables[label]
    assert path == tmp_path / "outcomes" / "task" / "mine[w8]" / f"{label}.csv"
    limit = BUDGETS[label]["max_drop"]
    main(["verdict", "--pairs", str(path), "--max-drop", str(limit), "--label", label, "--json", *more])
    again = json.loads(capsys.readouterr().out)
    assert again["sentence"] == row.sentence
    assert again["interval"] == row.interval.model_dump()
    flips = record(result, kept).flips[label]
    assert (again["lost"], again["won"]) == (list(flips.lost), list(flips.won))
    assert len(again["lost"]) == flips.lost_total


def test_only_what_was_measured_on_samples_has_a_table(result):
    kept = tables.outcomes(result)
    assert set(kept.measured) == {"top1", "crops", "f1"}
    assert set(record(result, kept).tables) == {"top1", "crops", "f1"}
    assert record(result).tables == {}
    nothing = result.model_copy(update={"measurements": {"size_mb": result.measurements["size_mb"]}})
    assert tables.outcomes(nothing) is None


def test_outcomes_travel_to_the_process_that_writes(result):
    kept = tables.outcomes(result)
    back = tables.Outcomes.model_validate(json.loads(kept.model_dump_json()))
    assert back.names == kept.names
    for label, one in kept.measured.items():
        assert back.measured[label].drop(0.95) == one.drop(0.95)


def test_kinds_that_verdict_cannot_judge_have_their_tables_too(result, tmp_path):
    tokens = np.full(8, 10)
    sides = np.random.default_rng(1).random((3, N - 1)).astype(np.float32)
    windows = Totals(
        totals_reference=np.zeros(8), totals=tokens / 100, tokens=tokens, units=np.arange(8), data="first windows"
    )
    pairs = Correlation(
        coefficient="pearson", first=np.arange(N - 1), second=np.arange(1, N), truth=sides[0],
        similarities_reference=sides[1], similarities=sides[2], data="d",
    )  # fmt: skip
    more = result.model_copy(update={"measurements": {"kl_divergence": windows, "pearson": pairs}})
    kept = tables.outcomes(more)
    tables.write([kept], tmp_path)
    lines = {label: (tmp_path / path).read_text().splitlines() for label, path in record(more, kept).tables.items()}
    assert lines["kl_divergence"][0] == "id,unit,tokens,float_total,compressed_total"
    assert lines["kl_divergence"][1:] == [f"photo {index},{index},10,0.0,0.1" for index in range(8)]
    assert lines["pearson"][0] == "id,first_unit,second_unit,truth,float_similarity,compressed_similarity"
    assert lines["pearson"][1].startswith("photo 0 | photo 1,0,1,")
    assert len(lines["pearson"]) == N
    # Without names of the samples, as of measurements that more were taken on than a report can call.
    assert tables.outcomes(more.model_copy(update={"names": ()})) is None
    assert set(tables.outcomes(more.model_copy(update={"names": result.names[:7]})).measured) == {"pearson"}


def scored(result: Result, samples: int = N) -> Result:
    sides = np.random.default_rng(2).random((2, samples)).astype(np.float32)
    return result.model_copy(update={"scores": Scores(reference=sides[0], compressed=sides[1])})


def told(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize(
    ("label", "more", "before"),
    [
        ("top1", [], "id,unit,float,compressed"),
        ("crops", [], "id,unit,float,compressed"),
        ("f1", ["--statistic", "f1"], "id,unit,target,float,compressed"),
    ],
)
def test_scores_stand_behind_outcomes_and_verdict_says_what_it_said(result, tmp_path, capsys, label, more, before):
    said, lines = [], []
    for one in (result, scored(result)):
        kept = tables.outcomes(one)
        tables.write([kept], tmp_path)
        path = tmp_path / record(one, kept).tables[label]
        lines.append(told(path))
        for form in ([], ["--json"]):
            code = main(["verdict", "--pairs", str(path), "--max-drop", "0.05", *form, *more])
            said.append((code, *capsys.readouterr()))
    assert said[:2] == said[2:]
    assert "compressed 'compressed'" in said[2][1]
    plain, both = lines
    assert ",".join(plain[0]) == before
    assert ",".join(both[0]) == f"{before},float_score,compressed_score"
    assert [{name: line[name] for name in plain[0]} for line in both] == plain
    scores = scored(result).scores
    for title, side in (("float_score", scores.reference), ("compressed_score", scores.compressed)):
        assert np.array([float(line[title]) for line in both]).tolist() == side.tolist()


def test_scores_stand_where_each_line_is_a_sample_and_every_sample_has_its_line(result, tmp_path):
    right = np.arange(8) % 2 == 0
    shares = np.random.default_rng(3).random((2, N))
    measurements = {
        # On the first samples alone, and on samples that are told by other columns.
        "first": Pairs(outcomes_reference=right, outcomes=right, units=np.arange(8), data="d"),
        "windows": Totals(
            totals_reference=shares[0], totals=shares[1], tokens=np.full(N, 10), units=np.arange(N), data="d"
        ),
        "shares": Pairs(outcomes_reference=shares[0], outcomes=shares[1], units=np.arange(N), data="d", reach=1.0),
        "top1": result.measurements["top1"],
    }
    kept = tables.outcomes(scored(result.model_copy(update={"measurements": measurements})))
    tables.write([kept], tmp_path)
    lines = {label: told(tmp_path / tables.place(kept.spec, kept.case, label)) for label in measurements}
    assert {label: ",".join(rows[0]) for label, rows in lines.items()} == {
        "first": "id,unit,float,compressed",
        "windows": "id,unit,tokens,float_total,compressed_total",
        "shares": "id,unit,float_score,compressed_score,reach",
        "top1": "id,unit,float,compressed,float_score,compressed_score",
    }
    assert float(lines["shares"][5]["float_score"]) == shares[0][5]


@pytest.mark.parametrize("sides", [np.zeros(N - 1), np.zeros(N + 1), np.zeros((N, 5))], ids=["fewer", "more", "many"])
def test_scores_that_are_not_one_a_sample_are_told_of_none(result, tmp_path, sides):
    other = result.model_copy(update={"scores": Scores(reference=np.zeros(N), compressed=sides)})
    kept = tables.outcomes(other)
    tables.write([kept], tmp_path)
    for label in ("top1", "f1"):
        assert "float_score" not in told(tmp_path / tables.place(kept.spec, kept.case, label))[0]


def test_scores_travel_to_the_process_that_writes_and_stay_out_of_the_report(result):
    one = scored(result)
    kept = tables.outcomes(one)
    back = tables.Outcomes.model_validate(json.loads(kept.model_dump_json())).of(["top1"])
    for side in ("reference", "compressed"):
        assert np.array_equal(getattr(back.scores, side), getattr(one.scores, side))
        assert getattr(back.scores, side).dtype == np.float32
    assert record(one, kept).model_dump_json() == record(result, tables.outcomes(result)).model_dump_json()
