"""The table of every kind of measurement: the published figures come out of it again, from every sample by its name."""

import csv
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from harness.errors import TableError
from harness.measurement import (
    MEASUREMENTS,
    AveragePrecision,
    Base,
    Correlation,
    Finds,
    Generated,
    Labels,
    Pairs,
    Totals,
)
from harness.measurement.average_precision import Ranking
from harness.measurement.table import read, write

N = 20
NAMES = tuple(f"=photo {index}, left\n" if index == 3 else f"photo {index}" for index in range(N))
UNITS = np.arange(N) // 2
# On this image there is nothing, and nothing was made up.
EMPTY = 7
# Of this class there is no object, and detections name it.
ABSENT = 2


def totals(*, exponential: bool) -> Totals:
    random = np.random.default_rng(0)
    tokens = random.integers(1, 400, N)
    before, after = tokens * random.uniform(1, 4, (2, N))
    return Totals(totals_reference=before, totals=after, tokens=tokens, units=UNITS, data="d", exponential=exponential)


def objects() -> np.ndarray:
    found = np.random.default_rng(1).integers(3, 7, (N, 3)).astype(np.uint16)
    found[EMPTY] = found[:, ABSENT] = 0
    return found


def finds(statistic: str = "f1") -> Finds:
    random, positives = np.random.default_rng(2), objects()
    hits = random.integers(0, positives + 1, (2, N, 3)).astype(np.uint16)
    made = hits + random.integers(0, 2, (2, N, 3)).astype(np.uint16)
    made[:, EMPTY] = 0
    return Finds(
        statistic=statistic, positives=positives, hits_reference=hits[0], made_reference=made[0], hits=hits[1],
        made=made[1], units=UNITS, data="d",
    )  # fmt: skip


def average_precision() -> AveragePrecision:
    random = np.random.default_rng(3)

    def ranking(count: int) -> Ranking:
        images, labels = random.integers(0, N - 1, count), np.sort(random.integers(0, 3, count))
        hits, ignored = random.integers(0, 4, (2, count)).astype(np.int16)
        hits[labels == ABSENT] = 0
        return Ranking(images=images + (images >= EMPTY), labels=labels, hits=hits, ignored=ignored & ~hits)

    return AveragePrecision(
        overlaps=2, positives=objects(), ranking_reference=ranking(50), ranking=ranking(40), units=UNITS, data="d"
    )


def correlation(coefficient: str = "pearson", units: np.ndarray | None = None) -> Correlation:
    rows, columns = np.triu_indices(N, 1)
    truth, before, after = np.random.default_rng(4).standard_normal((3, len(rows))).astype(np.float32)
    numbers = np.arange(N) if units is None else units
    return Correlation(
        coefficient=coefficient, first=numbers[rows].astype(np.int32), second=numbers[columns].astype(np.int32),
        truth=truth, similarities_reference=truth + before, similarities=truth + after, data="d",
    )  # fmt: skip


def generated() -> Generated:
    random = np.random.default_rng(5)
    sides, crosses = random.standard_normal((2, N, 6)).astype(np.float16), random.random((2, N)).astype(np.float32)
    return Generated(
        features_reference=sides[0], features=sides[1], real_reference=crosses[0], real=crosses[1],
        broken=sides[0, :3], real_broken=crosses[0, :3], constant=1.25, units=np.arange(N), data="d",
    )  # fmt: skip


def shares() -> Pairs:
    outcomes = np.random.default_rng(6).integers(0, 5, (2, N)) / 4
    return Pairs(outcomes_reference=outcomes[0], outcomes=outcomes[1], units=UNITS, data="d", reach=1.0)


def labels() -> Labels:
    targets = np.arange(N) % 3
    return Labels(
        statistic="f1", targets=targets, labels_reference=targets, labels=targets[::-1], units=UNITS, data="d"
    )


# A kind that is kept sample by sample has its table; a new one stands here, with a test that finds its figure again.
EXAMPLES: dict[str, Base] = {
    "average-precision": average_precision(),
    "correlation": correlation(),
    "finds": finds(),
    "generated": generated(),
    "labels": labels(),
    "pairs": shares(),
    "totals": totals(exponential=True),
}


def rows(folder: Path, measured: Base, names: tuple[str, ...] = NAMES) -> list[dict[str, str]]:
    write(folder / "table.csv", measured, names)
    with (folder / "table.csv").open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        found = list(reader)
    assert reader.fieldnames is not None
    assert reader.fieldnames[0] == "id"
    return found


def column(found: list[dict[str, str]], title: str) -> np.ndarray:
    return np.array([float(row[title]) for row in found])


def test_every_kind_that_is_kept_by_sample_has_a_table():
    assert EXAMPLES.keys() == {name for name, part in MEASUREMENTS.items() if part.kept == "outcomes"}


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_every_sample_is_in_the_table_by_its_name(tmp_path, kind):
    found = rows(tmp_path, EXAMPLES[kind])
    told = [name for row in found for name in row["id"].split(" | ")]
    assert set(told) == set(NAMES)
    # Where samples lack names, as when no budget asked for all of them, nothing is told of them.
    assert EXAMPLES[kind].ids(()) == []


@pytest.mark.parametrize("kind", sorted(EXAMPLES.keys() - {"labels", "correlation"}))
def test_what_verdict_would_judge_otherwise_it_does_not_take_for_outcomes(tmp_path, kind):
    write(tmp_path / "table.csv", EXAMPLES[kind], NAMES)
    with pytest.raises(TableError, match="columns that could be the outcomes"):
        read(tmp_path / "table.csv")


def test_nor_does_it_take_similarities_for_outcomes_or_labels(tmp_path):
    write(tmp_path / "table.csv", EXAMPLES["correlation"], NAMES)
    with pytest.raises(TableError, match="has 5 columns that could be the outcomes"):
        read(tmp_path / "table.csv")
    with pytest.raises(TableError, match="no column `target`"):
        read(tmp_path / "table.csv", statistic="f1")


def test_a_perplexity_comes_out_of_the_sums_of_its_table(tmp_path):
    measured = totals(exponential=True)
    found = rows(tmp_path, measured)
    assert [row["id"] for row in found] == list(NAMES)
    assert [int(row["unit"]) for row in found] == UNITS.tolist()
    tokens = sum(int(row["tokens"]) for row in found)
    for side, figure in (("float", measured.reference), ("compressed", measured.value)):
        assert np.exp(column(found, f"{side}_total").sum() / tokens) == pytest.approx(figure, rel=1e-12)


def test_what_is_taken_on_the_first_windows_is_told_of_these(tmp_path):
    measured = totals(exponential=False)
    found = rows(tmp_path, measured, (*NAMES, "window 21", "window 22"))
    assert [row["id"] for row in found] == list(NAMES)
    mean = column(found, "compressed_total").sum() / column(found, "tokens").sum()
    assert mean == pytest.approx(measured.value, rel=1e-12)
    assert measured.ids(NAMES[:-1]) == []


@pytest.mark.parametrize("statistic", ["precision", "recall", "f1"])
def test_f1_comes_out_of_counts_by_image_and_class(tmp_path, statistic):
    measured = finds(statistic)
    found = rows(tmp_path, measured)
    for side, figure in (("float", measured.reference), ("compressed", measured.value)):
        sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for row in found:
            for name in ("objects", f"{side}_found", f"{side}_made"):
                sums[row["class"]][name.rpartition("_")[2]] += int(row[name])
        shares = {
            "precision": [one["found"] / one["made"] for one in sums.values() if one["objects"]],
            "recall": [one["found"] / one["objects"] for one in sums.values() if one["objects"]],
            "f1": [2 * one["found"] / (one["made"] + one["objects"]) for one in sums.values() if one["objects"]],
        }
        assert len(shares[statistic]) == 2
        assert np.mean(shares[statistic]) == pytest.approx(figure, rel=1e-12)
    # The photo with nothing on it is a sample like any other.
    (empty,) = (row for row in found if row["id"] == NAMES[EMPTY])
    assert {value for name, value in empty.items() if name not in ("id", "unit")} == {"0"}
    assert any(row["class"] == str(ABSENT) and row["objects"] == "0" for row in found)


def test_average_precision_comes_out_of_ranked_detections(tmp_path):
    """By COCO's definition, written down anew."""
    measured = average_precision()
    found = rows(tmp_path, measured)
    for side, figure in (("float", measured.reference), ("compressed", measured.value)):
        there: Counter[str] = Counter()
        ranked: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        for row in found:
            there[row["class"]] += int(row["objects"])
            own = [one.split(":") for one in row[f"{side}_ranked"].split()]
            ranked[row["class"]] += [(int(place), signs) for place, signs in own]
            assert int(row[f"{side}_found"]) == sum(signs[0] == "+" for _, signs in own)
        areas = []
        for label, count in there.items():
            assert [place for place, _ in sorted(ranked[label])] == list(range(1, len(ranked[label]) + 1))
            for overlap in range(2):
                signs = [one[overlap] for _, one in sorted(ranked[label]) if one[overlap] != "o"]
                hits = np.cumsum([sign == "+" for sign in signs])
                precision, recall = hits / np.arange(1, len(hits) + 1), hits / max(count, 1)
                best = [max(precision[recall >= at], default=0.0) for at in np.linspace(0, 1, 101)]
                areas += [np.mean(best)] if count else []
        assert len(areas) == 2 * 2
        assert np.mean(areas) == pytest.approx(figure, rel=1e-12)


def test_a_detection_is_told_by_its_place_and_by_what_it_is_at_each_overlap(tmp_path):
    one = {"images": np.array([1, 0, 1]), "labels": np.array([0, 0, 0])}
    float_model = Ranking(**one, hits=np.array([3, 0, 1]), ignored=np.array([0, 1, 2]))
    # A class that the data does not have, with a number above all of them.
    compressed = Ranking(
        images=np.array([0]), labels=np.array([4]), hits=np.array([0]), ignored=np.array([0], dtype=np.int16)
    )
    measured = AveragePrecision(
        overlaps=2, positives=np.array([[1], [2]]), ranking_reference=float_model, ranking=compressed,
        units=np.arange(2), data="d",
    )  # fmt: skip
    found = rows(tmp_path, measured, ("a", "b"))
    assert [tuple(row.values()) for row in found] == [
        ("a", "0", "0", "1", "0", "0", "2:o-", ""),
        ("a", "0", "4", "0", "0", "0", "", "1:--"),
        ("b", "1", "0", "2", "2", "0", "1:++ 3:+o", ""),
    ]
    assert list(found[0]) == [
        "id", "unit", "class", "objects", "float_found", "compressed_found", "float_ranked", "compressed_ranked",
    ]  # fmt: skip


@pytest.mark.parametrize(("coefficient", "scipy"), [("pearson", pearsonr), ("spearman", spearmanr)])
def test_a_correlation_comes_out_of_its_pairs(tmp_path, coefficient, scipy):
    measured = correlation(coefficient)
    found = rows(tmp_path, measured)
    truth = column(found, "truth")
    for side, figure in (("float", measured.reference), ("compressed", measured.value)):
        assert scipy(column(found, f"{side}_similarity"), truth)[0] == pytest.approx(figure, abs=1e-12)
    assert found[0]["id"] == "photo 0 | photo 1"
    assert found[-1]["id"] == "photo 18 | photo 19"


@pytest.mark.parametrize("units", [np.arange(N) // 2, np.arange(N)[::-1], np.arange(N) ^ 1])
def test_a_pair_whose_samples_are_not_kept_has_a_number_and_no_wrong_name(units):
    """Units alone are kept: those of several samples, or in another order, say not which sample it was."""
    measured = correlation(units=units)
    assert measured.ids(NAMES)[:2] == ["pair 1", "pair 2"]
    assert len(measured.ids(NAMES)) == len(measured.truth)


def test_a_kernel_distance_comes_out_of_the_kernels_of_its_images(tmp_path):
    measured = generated()
    found = rows(tmp_path, measured)
    assert [row["id"] for row in found] == list(NAMES)
    (constant,) = set(column(found, "real_with_others"))
    for side, figure in (("float", measured.reference), ("compressed", measured.value)):
        within, across = (column(found, f"{side}_with_{whom}").mean() for whom in ("others", "real"))
        assert within - 2 * across + constant == pytest.approx(figure, rel=1e-9)


def test_scores_of_known_reach_come_with_it(tmp_path):
    measured = shares()
    found = rows(tmp_path, measured)
    assert column(found, "float_score").mean() == pytest.approx(measured.reference)
    assert column(found, "compressed_score").mean() == pytest.approx(measured.value)
    assert set(column(found, "reach")) == {1.0}
