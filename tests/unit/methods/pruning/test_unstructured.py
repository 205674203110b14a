from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from harness.errors import MethodError
from harness.methods.base import METHODS
from harness.methods.pruning.magnitude import MagnitudePruning
from harness.methods.pruning.random import RandomPruning
from harness.training import Training

WEIGHTS = {"conv1": 150, "conv2": 2400, "fc1": 48_000, "fc2": 10_080, "fc3": 840}
TOTAL = sum(WEIGHTS.values())


def matrices(subject: Any) -> dict[str, np.ndarray[Any, Any]]:
    return {name: subject.model.get_submodule(name).weight.detach().numpy().copy() for name in WEIGHTS}


def zeros(subject: Any) -> dict[str, int]:
    return {name: int((weight == 0).sum()) for name, weight in matrices(subject).items()}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sparsity=st.floats(0.001, 0.999), kind=st.sampled_from([MagnitudePruning, RandomPruning]))
def test_zeros_are_exactly_the_rounded_share(sparsity: float, kind: Any, subject: Any, workshop: Any) -> None:
    assert sum(zeros(kind(sparsity=sparsity).apply(subject(), workshop)).values()) == round(sparsity * TOTAL)
    by_layer = zeros(kind(sparsity=sparsity, scope="layer").apply(subject(), workshop))
    assert by_layer == {name: round(sparsity * count) for name, count in WEIGHTS.items()}


def test_global_threshold_is_numpys_partition(subject: Any, workshop: Any) -> None:
    dense = matrices(subject())
    pruned = matrices(MagnitudePruning(sparsity=0.7).apply(subject(), workshop))
    magnitudes = np.abs(np.concatenate([one.ravel() for one in dense.values()]))
    count = round(0.7 * TOTAL)
    threshold = np.partition(magnitudes, count - 1)[count - 1]
    for name, weight in dense.items():
        np.testing.assert_array_equal(pruned[name], np.where(np.abs(weight) <= threshold, 0, weight))


def test_real_model_bears_what_chance_does_not(subject: Any, workshop: Any, weigh: Any, digits: Any) -> None:
    before = weigh(subject())
    accuracy = {}
    for kind in (MagnitudePruning, RandomPruning):
        method = kind(sparsity=0.6)
        after = weigh(method.apply(subject(), workshop))
        accuracy[kind] = after.accuracy(digits)
        assert after.evidence.sparsity == pytest.approx(0.6, abs=0.5 / TOTAL)
        assert after.bytes == before.bytes  # zeros are stored like any other number
        assert method.contradictions(before.evidence, after.evidence) == []
    assert accuracy[MagnitudePruning] >= before.accuracy(digits) - 0.01
    assert accuracy[RandomPruning] < before.accuracy(digits) - 0.2


def test_seeds_reproduce_and_differ(subject: Any, workshop: Any, other_seed: Any) -> None:
    first, again, other = (
        matrices(RandomPruning(sparsity=0.5).apply(subject(), one)) for one in (workshop, workshop, other_seed)
    )
    assert all(np.array_equal(first[name], again[name]) for name in WEIGHTS)
    # Two independent halves agree on half of the places.
    agreement = np.mean([(first[name] == 0).ravel() == (other[name] == 0).ravel() for name in ["fc1"]])
    assert agreement == pytest.approx(0.5, abs=0.02)


def test_kept_layers_stay_as_they_are(subject: Any, workshop: Any, weigh: Any) -> None:
    method = METHODS["magnitude-pruning"].model_validate({"sparsity": 0.9, "keep": ["conv1", "fc3"]})
    pruned = method.apply(subject(), workshop)
    count = {name: number for name, number in zeros(pruned).items() if number}
    assert set(count) == {"conv2", "fc1", "fc2"}
    assert sum(count.values()) == round(0.9 * (TOTAL - 150 - 840))
    assert np.array_equal(matrices(pruned)["fc3"], matrices(subject())["fc3"])
    before, after = weigh(subject()).evidence, weigh(pruned).evidence
    assert method.contradictions(before, after) == []
    assert len(MagnitudePruning(sparsity=0.9).contradictions(before, after)) == 1


def test_nothing_but_weights_is_left_behind(subject: Any, workshop: Any) -> None:
    """Until `prune.remove`, the state dict holds dense weights and masks: twice the bytes."""
    pruned = MagnitudePruning(sparsity=0.5).apply(subject(), workshop)
    assert list(pruned.model.state_dict()) == list(subject().model.state_dict())


def test_fine_tuning_moves_weights_and_keeps_zeros(subject: Any, workshop: Any, weigh: Any, digits: Any) -> None:
    method = MagnitudePruning(sparsity=0.85, finetune=Training(epochs=2))
    plain = MagnitudePruning(sparsity=0.85).apply(subject(), workshop)
    tuned = method.apply(subject(), workshop)
    for name, weight in matrices(tuned).items():
        assert np.array_equal(weight == 0, matrices(plain)[name] == 0)
        assert np.abs(weight - matrices(plain)[name]).max() > 1e-4
    assert weigh(tuned).accuracy(digits) > weigh(plain).accuracy(digits)
    assert weigh(tuned).content == weigh(method.apply(subject(), workshop)).content


def test_zeros_of_an_earlier_step_outlive_a_later_one(subject: Any, workshop: Any) -> None:
    chance = RandomPruning(sparsity=0.3, scope="layer").apply(subject(), workshop)
    gone = {name: weight == 0 for name, weight in matrices(chance).items()}
    tuned = MagnitudePruning(sparsity=0.5, finetune=Training(epochs=1)).apply(chance, workshop)
    assert all((weight[gone[name]] == 0).all() for name, weight in matrices(tuned).items())
    assert sum(zeros(tuned).values()) == round(0.5 * TOTAL)


def test_no_op_and_a_dense_layer_are_contradicted(subject: Any, workshop: Any, weigh: Any) -> None:
    before = weigh(subject()).evidence
    assert MagnitudePruning(sparsity=0.5).contradictions(before, before) == [
        "0 of 61,470 weights in the pruned layers are zero (0.00%), and 50.00% was asked for"
    ]
    # The same share over all layers is not the same share in each.
    pruned = MagnitudePruning(sparsity=0.5).apply(subject(), workshop)
    sentences = MagnitudePruning(sparsity=0.5, scope="layer").contradictions(before, weigh(pruned).evidence)
    dense = [name for name, count in zeros(pruned).items() if count < WEIGHTS[name] // 2]
    assert dense
    assert [sentence.split(" in ")[1].split(".weight")[0] for sentence in sentences] == dense


def test_attention_is_pruned_with_its_projections(subject: Any, workshop: Any, weigh: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    example = torch.ones(1, 4, 16)
    method = MagnitudePruning(sparsity=0.5)
    before = weigh(subject(layer, example))
    after = weigh(method.apply(subject(layer, example), workshop))
    assert after.evidence.sparsity == 0.5
    assert method.contradictions(before.evidence, after.evidence) == []


def test_what_cannot_be_pruned_is_refused(subject: Any, workshop: Any) -> None:
    with pytest.raises(MethodError, match="no linear or convolution layer is left to prune"):
        MagnitudePruning(sparsity=0.5).apply(subject(nn.ReLU()), workshop)
    with pytest.raises(MethodError, match=r"keep: the model has no layer 'fc9'\. Did you mean 'fc\d'\?"):
        MagnitudePruning(sparsity=0.5, keep=("fc9",)).apply(subject(), workshop)
    for sparsity in (0, 1, 1.5, "0.5"):
        with pytest.raises(ValidationError):
            MagnitudePruning(sparsity=sparsity)
