import numpy as np
import pytest

from harness.measurement import AveragePrecision, Finds
from harness.measurement.average_precision import Ranking


def ranking(images: list[int], labels: list[int], hits: list[int], ignored: list[int] | None = None) -> Ranking:
    return Ranking(
        images=np.array(images), labels=np.array(labels), hits=np.array(hits),
        ignored=np.zeros(len(images), dtype=np.int16) if ignored is None else np.array(ignored),
    )  # fmt: skip


def measured(reference: Ranking, compressed: Ranking, positives: np.ndarray, overlaps: int = 1) -> AveragePrecision:
    return AveragePrecision(
        overlaps=overlaps, positives=positives, ranking_reference=reference, ranking=compressed,
        units=np.arange(len(positives)), data="d",
    )  # fmt: skip


ONE_EACH = np.ones((4, 1), dtype=np.uint16)
ALL = ranking([0, 1, 2, 3], [0] * 4, [1] * 4)


def test_the_area_under_the_curve_by_hand():
    # Hit, miss, hit of four objects: precision 1 up to recall 1/4, then 2/3 up to 1/2: 26 and 25 of 101 recalls.
    made = measured(ALL, ranking([0, 1, 2], [0] * 3, [1, 0, 1]), ONE_EACH)
    assert made.value == pytest.approx((26 * 1 + 25 * 2 / 3) / 101)
    assert made.reference == 1
    assert made.n == 4
    assert made.lost.tolist() == [1, 3]
    assert made.won.tolist() == []


def test_a_detection_on_a_crowd_counts_neither_way():
    made = measured(ALL, ranking([0, 1, 2], [0] * 3, [1, 0, 1], [0, 1, 0]), ONE_EACH)
    assert made.value == pytest.approx(51 / 101)


def test_an_overlap_that_nothing_reaches_is_zero():
    assert measured(ALL, ALL, ONE_EACH, overlaps=2).value == pytest.approx(0.5)


def test_weighing_an_image_twice_is_having_it_twice():
    generator = np.random.default_rng(0)
    count, images = 60, 20
    labels = np.sort(generator.integers(0, 2, count))
    origins, bits = (generator.integers(0, most, count).tolist() for most in (images, 4))
    made = ranking(origins, labels.tolist(), bits)
    positives = generator.integers(1, 4, (images, 2)).astype(np.uint16) * 10
    weights = generator.integers(1, 4, images)
    weighted = measured(made, made, positives, 2)._mean(made, weights[None].astype(float))[0]
    # The same list with each detection as often as its image, the copies in its place.
    copies = weights[made.images]
    firsts = np.concatenate([[0], np.cumsum(weights)[:-1]])
    copied = np.concatenate([firsts[image] + np.arange(weights[image]) for image in made.images])
    repeated = ranking(copied.tolist(), np.repeat(made.labels, copies).tolist(), np.repeat(made.hits, copies).tolist())
    whole = measured(repeated, repeated, np.repeat(positives, weights, axis=0), 2)
    # Copies of a miss between hits lower no peak; copies of a hit reach the peak in steps.
    assert weighted == pytest.approx(whole.value, abs=0.02)


def test_a_drop_is_bounded_beyond_what_was_seen():
    images = 200
    positives = np.ones((images, 1), dtype=np.uint16)
    perfect = ranking(list(range(images)), [0] * images, [1] * images)
    same = measured(perfect, perfect, positives).drop(0.95)
    assert same.estimate == 0
    # Of 200 with none lost, the exact bound of a share is 1 - 0.05 ** (1 / 201); an object that is missed where another
    # one is made up counts twice.
    assert same.upper == pytest.approx(2 * (1 - 0.05 ** (1 / 201)), rel=0.15)
    worse = ranking(list(range(20, images)), [0] * (images - 20), [1] * (images - 20))
    lost = measured(perfect, worse, positives).drop(0.95)
    assert lost.estimate == pytest.approx(0.1, abs=0.006)
    assert 0.05 < lost.lower < 0.1 < lost.upper < 0.16


def test_detections_of_two_runs_are_paired_on_the_same_images():
    now, then = measured(ALL, ALL, ONE_EACH), measured(ALL, ranking([0], [0], [1]), ONE_EACH)
    paired = now.against(then)
    assert paired is not None
    assert paired.reference == then.value
    assert now.against(then.model_copy(update={"data": "other"})) is None
    # One class more that only the earlier run's models named.
    wider = then.model_copy(update={"positives": np.pad(ONE_EACH, ((0, 0), (0, 1)))})
    assert now.against(wider).reference == then.value
    fewer = measured(ALL, ALL, ONE_EACH[:3])
    assert fewer.against(then) is None


def test_it_travels_as_json():
    made = measured(ALL, ranking([0, 2], [0, 0], [1, 1]), ONE_EACH)
    assert AveragePrecision.model_validate_json(made.model_dump_json()).value == made.value


def test_shares_are_weighed_by_image():
    one = np.ones((2, 1), dtype=np.uint16)
    found = Finds(
        statistic="recall", positives=np.array([[1], [3]]), hits_reference=np.array([[1], [3]]),
        made_reference=np.array([[1], [3]]), hits=np.array([[1], [0]]), made=one, units=np.arange(2), data="d",
    )  # fmt: skip
    assert found.value == pytest.approx(1 / 4)
    assert found._macro(found.hits, found.made, np.array([[3.0, 1.0]]))[0] == pytest.approx(3 / 6)
    assert found.lost.tolist() == [1]


def test_counts_of_two_runs_are_paired_whatever_classes_without_an_object_were_named():
    def counted(hits, made):
        positives = np.zeros_like(np.array(hits))
        positives[:, 0] = 1
        return Finds(
            statistic="f1", positives=positives, hits_reference=positives, made_reference=positives,
            hits=np.array(hits), made=np.array(made), units=np.arange(2), data="d",
        )  # fmt: skip

    # The same hits; the second run's model named a third class once, the first one's none but what there is.
    narrow, wide = counted([[1], [0]], [[1], [1]]), counted([[1, 0, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 1]])
    for now, then in ((narrow, wide), (wide, narrow)):
        both = now.against(then)
        assert both is not None
        assert (both.value, both.reference) == (now.value, then.value)
        assert not both.alike
        assert np.isfinite(both.drop(0.95).upper)
    assert (narrow.value, wide.value) == (pytest.approx(2 / 4), pytest.approx(2 / 3))
    assert wide.against(wide).alike
    shorter = narrow.model_copy(update={"hits": narrow.hits[:1]})
    assert narrow.against(shorter) is None
