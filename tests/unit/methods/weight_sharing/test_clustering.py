from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from harness.methods.weight_sharing import clustering
from harness.methods.weight_sharing.clustering import kmeans, nearest, priced, start

weights = st.integers(0, 10_000).map(lambda seed: np.sort(np.random.default_rng(seed).laplace(size=400)))


def error(values: np.ndarray, book: np.ndarray) -> float:
    return float(np.square(values - book[nearest(values, book)]).sum())


@settings(deadline=None)
@given(values=weights, clusters=st.integers(2, 16), how=st.sampled_from(["linear", "density", "random"]))
@example(values=np.sort(np.random.default_rng(10_000).laplace(size=400)), clusters=11, how="linear")
def test_it_ends_where_scikit_learns_kmeans_ends(values: np.ndarray, clusters: int, how: str) -> None:
    first = start(values, clusters, how, seed=0)  # type: ignore[arg-type]
    book = kmeans(values, first)
    theirs = KMeans(clusters, init=first[:, None], n_init=1, max_iter=1000, tol=0).fit(values[:, None])
    if len(book) < clusters:
        # scikit-learn moves a centroid that has lost its values, which may end better or worse; here it is left out.
        # Started from those that are left, it stays where they are.
        theirs = KMeans(len(book), init=book[:, None], n_init=1, max_iter=1000, tol=0).fit(values[:, None])
    assert error(values, book) == pytest.approx(theirs.inertia_, rel=1e-6)


@settings(deadline=None)
@given(values=weights, clusters=st.integers(1, 16))
def test_each_centroid_is_the_mean_of_the_values_nearest_to_it(values: np.ndarray, clusters: int) -> None:
    book = kmeans(values, start(values, clusters, "density", seed=0))
    index = np.abs(values[:, None] - book).argmin(1)
    assert np.array_equal(index, nearest(values, book))
    for place, centroid in enumerate(book):
        assert centroid == pytest.approx(values[index == place].mean())


def test_the_three_starts_of_the_paper() -> None:
    values = np.sort(np.random.default_rng(0).normal(size=10_001))
    ends = values[0], values[-1]
    assert start(values, 3, "linear", 0) == pytest.approx([ends[0], sum(ends) / 2, ends[1]], abs=1e-12)
    # A sixth, a half and five sixths of a normal distribution.
    assert start(values, 3, "density", 0) == pytest.approx([-0.967, 0.0, 0.967], abs=0.03)
    drawn = start(values, 3, "random", 1)
    assert set(drawn) <= set(values)
    assert drawn.tolist() != start(values, 3, "random", 2).tolist()


def test_without_a_price_it_is_kmeans() -> None:
    values = np.random.default_rng(0).laplace(size=500)
    book = kmeans(np.sort(values), start(np.sort(values), 8, "linear", 0))
    found, index = priced(values, book, 0.0, zeros=0)
    # Zero is one more cluster, so the error can only be smaller.
    plain = np.where(index < 0, 0, found[index])
    assert np.square(values - plain).sum() <= error(values, book)


@pytest.mark.parametrize("price", [0.01, 0.1])
def test_a_price_trades_error_for_bits(price: float) -> None:
    values = np.random.default_rng(0).laplace(size=5000)
    book = kmeans(np.sort(values), start(np.sort(values), 16, "linear", 0))

    def tally(index: np.ndarray, found: np.ndarray) -> tuple[float, float]:
        counts = np.bincount(index + 1)
        share = counts[counts > 0] / len(index)
        bits = -float((share * np.log2(share)).sum())
        return bits, float(np.square(values - np.where(index < 0, 0, found[index])).mean())

    before, after = tally(nearest(values, book), book), tally(*reversed(priced(values, book, price, zeros=0)))
    assert after[0] < before[0]
    assert after[1] > before[1]
    assert after[1] + price * after[0] < before[1] + price * before[0]


def test_zeros_draw_small_weights_to_them() -> None:
    values = np.concatenate([np.full(100, 0.1), np.full(100, 1.0)])
    book, index = priced(values, np.array([0.1, 1.0]), price=0.01, zeros=10_000)
    # A weight of 0.1 saves an error of 0.01 and costs log2(10,200 / 100) = 6.7 bits, against 0.03 bits for a zero.
    assert book.tolist() == [1.0]
    assert index.tolist() == [-1] * 100 + [0] * 100


def test_values_that_are_priced_in_parts_get_the_same_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).laplace(size=5000)
    book = kmeans(np.sort(values), start(np.sort(values), 16, "linear", 0))
    whole = priced(values, book, 0.05, zeros=700)
    monkeypatch.setattr(clustering, "MOST_PAIRS", 1000)
    parts = priced(values, book, 0.05, zeros=700)
    assert all(np.array_equal(one, other) for one, other in zip(whole, parts, strict=True))


def test_a_large_layer_is_priced_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """200,000 values by 256 centroids in float64 are 410 MB, twice with their squares."""
    monkeypatch.setattr(clustering, "MOST_STEPS", 2)
    values = np.random.default_rng(0).laplace(size=200_000)
    book = start(np.sort(values), 256, "density", 0)
    tracemalloc.start()
    priced(values, book, 1e-4, zeros=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6
