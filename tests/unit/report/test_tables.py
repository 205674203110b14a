"""Tables beside the report: what `weighin verdict` makes of them is what the gate said."""

import json

import numpy as np
import pytest

from harness.__main__ import main
from harness.evidence import Evidence
from harness.judge.case import verdict
from harness.judge.standing import Standing
from harness.measurement import Correlation, Exact, Labels, Pairs, Totals
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
