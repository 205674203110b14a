from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from harness.data.base import Dataset
from harness.errors import MethodError
from harness.evidence import MOST_DISTINCT, Evidence, TensorFact, count_distinct
from harness.forms import Form, Subject
from harness.methods.base import Workshop
from harness.methods.pruning.magnitude import MagnitudePruning
from harness.methods.weight_sharing.codebook import Clustering, Shared
from harness.methods.weight_sharing.weight_sharing import WeightSharing
from harness.tasks.image_classification import ImageClassification
from harness.training import Training, train


def seeded(build: Callable[[], Any]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def distinct(tensor: torch.Tensor) -> int:
    return len(tensor[tensor != 0].unique())


def clustering(bits: int = 2) -> Clustering:
    return Clustering(bits, "linear", 0.0, 0)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_no_layer_has_more_values_than_its_bits_name(bits: int, subject: Any, workshop: Any, weigh: Any) -> None:
    method = WeightSharing(bits=bits)
    before, after = weigh(subject()), weigh(method.apply(subject(), workshop))
    counts = [one.distinct for one in after.evidence.tensors if one.matrix]
    assert len(counts) == 5
    assert max(counts) <= 2**bits
    assert min(counts) == 2**bits or bits == 8  # the smallest layer has 150 weights
    assert method.contradictions(before.evidence, after.evidence) == []
    assert WeightSharing(bits=bits).contradictions(before.evidence, before.evidence) != []


def test_convolutions_have_bits_of_their_own_and_kept_layers_all_their_values(subject: Any, workshop: Any) -> None:
    shared = WeightSharing(bits=2, convolution_bits=5, keep=("fc1",)).apply(subject(), workshop)
    found = {name: distinct(one) for name, one in shared.model.named_parameters() if one.ndim > 1}
    assert found["fc1.weight"] > 40_000
    assert (found["conv1.weight"], found["conv2.weight"], found["fc2.weight"], found["fc3.weight"]) == (32, 32, 4, 4)


def test_groups_of_channels_have_codebooks_of_their_own(subject: Any, workshop: Any, weigh: Any) -> None:
    method = WeightSharing(bits=2, group=4)
    shared = method.apply(subject(), workshop)
    weight = shared.model.get_submodule("conv2").weight
    assert [distinct(weight[first : first + 4]) for first in range(0, 16, 4)] == [4] * 4
    assert distinct(weight) == 16
    before = weigh(subject())
    assert method.contradictions(before.evidence, weigh(shared).evidence) == []
    assert "16 values other than zero, and 2 bits name at most 4" in " ".join(
        WeightSharing(bits=2).contradictions(before.evidence, weigh(shared).evidence)
    )


def test_a_transposed_convolution_has_one_codebook(subject: Any, workshop: Any, weigh: Any) -> None:
    """Its rows are inputs, and not the output channels that share one."""
    model = seeded(lambda: nn.Sequential(nn.Conv2d(1, 4, 1), nn.ConvTranspose2d(4, 8, 3), nn.Conv2d(8, 8, 3)))
    method = WeightSharing(bits=2, group=2)
    before, shared = weigh(subject(model)), method.apply(subject(model), workshop)
    assert [distinct(shared.model[place].weight) for place in (1, 2)] == [4, 16]
    assert method.contradictions(before.evidence, weigh(shared).evidence) == []


def test_zeros_of_pruning_stay_and_take_no_place_in_a_codebook(subject: Any, workshop: Any) -> None:
    pruned = MagnitudePruning(sparsity=0.8).apply(subject(), workshop)
    zeros = {name: one == 0 for name, one in pruned.model.named_parameters() if one.ndim > 1}
    training = Training(epochs=1, batch=256, learning_rate=0.01)
    shared = WeightSharing(bits=2, finetune=training).apply(pruned, workshop)
    for name, was in zeros.items():
        weight = shared.model.get_parameter(name)
        assert torch.equal(weight == 0, was)
        assert distinct(weight) == 4


def test_the_gradient_of_a_centroid_is_autograds() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(6, 5, generator=generator))
    with torch.no_grad():
        weight[weight.abs() < 0.3] = 0
    shared = Shared(weight, clustering(), None, zeros_apart=True)
    inputs = torch.randn(7, 5, generator=generator)

    weight.register_hook(shared.summed)
    (inputs @ weight.T).sin().sum().backward()

    # The same layer, written as a codebook and indices into it.
    book = shared.codebook(weight).requires_grad_(True)
    index = (weight.detach()[..., None] == book.detach()).float()
    ((inputs @ (index @ book).T).sin().sum()).backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, index @ book.grad)
    assert (weight.grad[weight == 0] == 0).all()


class Indexed(nn.Module):
    """A weight as torch's parametrization of a codebook."""

    def __init__(self, index: torch.Tensor) -> None:
        super().__init__()
        self.index = index

    def forward(self, book: torch.Tensor) -> torch.Tensor:
        return book[self.index]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_training_moves_a_codebook_as_training_it_by_itself_does(optimizer: Any, subject: Any, workshop: Any) -> None:
    training = Training(epochs=1, batch=128, optimizer=optimizer, learning_rate=0.003, weight_decay=0.0)
    ours = WeightSharing(bits=3, finetune=training).apply(subject(), workshop).model
    theirs = WeightSharing(bits=3).apply(subject(), workshop).model
    for layer in theirs.children():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            book, index = layer.weight.detach().unique(return_inverse=True)
            layer.weight = nn.Parameter(book)
            parametrize.register_parametrization(layer, "weight", Indexed(index), unsafe=True)
    train(theirs, workshop.data.train, ImageClassification(), training, seed=0, progress=lambda _: None)
    for name in ("conv2", "fc2"):
        found, expected = ours.get_submodule(name).weight, theirs.get_submodule(name).weight
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_codebooks_and_vectors_fit_float16_where_asked(subject: Any, workshop: Any) -> None:
    shared = WeightSharing(bits=4, precision="float16", vector_bits=3).apply(subject("resnet20-digits"), workshop)
    for name, one in shared.model.state_dict().items():
        if one.is_floating_point():
            assert torch.equal(one, one.half().float()), name
        if one.ndim == 1:
            assert len(one.unique()) <= 8, name


def test_fine_tuning_wins_back_what_clustering_lost(subject: Any, workshop: Any, weigh: Any, digits: Any) -> None:
    before = weigh(subject()).accuracy(digits)
    plain = weigh(WeightSharing(bits=1).apply(subject(), workshop)).accuracy(digits)
    training = Training(epochs=3, batch=64, optimizer="adamw", learning_rate=0.002)
    tuned = weigh(WeightSharing(bits=1, finetune=training).apply(subject(), workshop)).accuracy(digits)
    assert plain < before - 0.05
    assert tuned > plain + 0.02


def test_what_cannot_be_shared_is_refused(subject: Any, workshop: Any) -> None:
    large = seeded(lambda: nn.Linear(64, 2))
    nn.init.constant_(large.bias, 1e6)
    with pytest.raises(MethodError, match="no linear or convolution layer"):
        WeightSharing(bits=4).apply(subject(nn.ReLU()), workshop)
    with pytest.raises(MethodError, match="too large for float16"):
        WeightSharing(bits=4, precision="float16").apply(subject(large), workshop)
    with pytest.raises(MethodError, match="data with a training split"):
        WeightSharing(bits=4, finetune=Training()).apply(subject(), replace(workshop, data=None))


def test_a_tensor_of_two_layers_is_clustered_once(subject: Any, workshop: Any) -> None:
    sizes = [(1024, 32), (32, 32), (32, 32), (32, 10)]
    model = seeded(lambda: nn.Sequential(nn.Flatten(), *(nn.Linear(*one) for one in sizes)))
    model[3].weight = model[2].weight
    training = Training(epochs=1, batch=256, learning_rate=1e-3)
    shared = WeightSharing(bits=2, finetune=training).apply(subject(model), workshop)
    assert distinct(shared.model[2].weight) == 4


def test_a_model_that_asks_for_no_gradient_is_trained_and_left_so(subject: Any, workshop: Any) -> None:
    given = subject()
    given.model.requires_grad_(False)
    bias = given.model.get_submodule("fc1").bias.clone()
    shared = WeightSharing(bits=2, finetune=Training(batch=256)).apply(given, workshop)
    assert not any(one.requires_grad for one in shared.model.parameters())
    assert not torch.equal(shared.model.get_submodule("fc1").bias, bias)
    assert distinct(shared.model.get_submodule("fc1").weight) == 4


def test_counting_values_leaves_zero_out_and_gives_up_on_many() -> None:
    generator = np.random.default_rng(0)
    assert count_distinct(np.array([0.0, -0.0, 1.5, 1.5, -2.0])) == 2
    assert count_distinct(generator.normal(size=MOST_DISTINCT)) == MOST_DISTINCT
    assert count_distinct(generator.normal(size=MOST_DISTINCT + 1)) is None
    assert count_distinct(generator.choice(5, 10**6)) == 4


def test_weights_whose_values_were_not_counted_are_no_proof() -> None:
    fact = TensorFact(name="fc.weight", dtype="int8", shape=(10, 10), zeros=0)
    evidence = Evidence(operators={}, tensors=(fact,))
    assert WeightSharing(bits=4).contradictions(evidence, evidence) == [
        "how many values fc.weight has cannot be told: more than 4,096, or this runtime does not count them, as "
        "`packed` and `torch` do; 4 bits name at most 16"
    ]


def test_trained_codebooks_end_with_statistics_of_the_shared_weights(digits: Dataset, workshop: Workshop) -> None:
    """With MobileNetV3's momentum of 0.01, a short training leaves most of the statistics from before."""
    net = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(1, 8, 5, stride=4), nn.BatchNorm2d(8, momentum=0.01), nn.ReLU(), nn.Flatten(), nn.Linear(392, 10)
        )
    ).eval()  # fmt: skip
    assert digits.train is not None
    training = Training(epochs=1, batch=256, learning_rate=0.01)
    subject = Subject(Form.TORCH, net, next(digits.train.batches(1)).inputs)
    WeightSharing(bits=3, precision="float32", finetune=training).apply(subject, workshop)
    with torch.inference_mode():
        means = [net[0](*one.inputs).mean((0, 2, 3)) for one in digits.train.batches(256, shuffle=0)]
    assert torch.allclose(net[1].running_mean, torch.stack(means).mean(0), rtol=1e-4, atol=1e-5)


def test_kept_layers_are_left_alone_while_the_codebooks_are_trained(subject: Any, workshop: Any) -> None:
    """Zeros that a step before has made in them stay zero, and nothing else moves either."""
    before = {name: one.clone() for name, one in subject().model.named_parameters()}
    method = WeightSharing(bits=3, keep=("fc1",), finetune=Training(epochs=1))
    after = dict(method.apply(subject(), workshop).model.named_parameters())
    assert torch.equal(after["fc1.weight"], before["fc1.weight"])
    assert not torch.equal(after["fc2.bias"], before["fc2.bias"])
    assert distinct(after["fc2.weight"]) <= 8
