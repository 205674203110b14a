from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn.utils.parametrize import register_parametrization

from harness.data.base import Dataset, TensorSplit
from harness.errors import MethodError
from harness.methods.base import Workshop
from harness.methods.low_rank import lora
from harness.methods.low_rank.adapters import beside, correction, merge
from harness.methods.low_rank.lora import Lora
from harness.methods.low_rank.svd import Svd
from harness.methods.pruning.magnitude import MagnitudePruning
from harness.training import Training

ONCE = Training(optimizer="adamw", learning_rate=2e-3, weight_decay=0.0)


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return make().eval()


@pytest.fixture
def few(workshop: Workshop) -> Workshop:
    assert workshop.data is not None
    assert isinstance(workshop.data.train, TensorSplit)
    some = TensorSplit(workshop.data.train.inputs[:256], workshop.data.train.targets[:256])
    return replace(workshop, data=Dataset(workshop.data.calibration, None, some))


LAYERS = [
    (lambda: nn.Linear(6, 5), (3, 6)),
    (lambda: nn.Conv2d(4, 7, 3, stride=2, padding=1), (2, 4, 8, 8)),
    (lambda: nn.Conv2d(4, 7, (3, 1), padding="same", padding_mode="circular", bias=False), (2, 4, 8, 8)),
]


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_merged_and_kept_answer_alike_and_at_first_like_the_layer(make: Any, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(shape, generator=generator)
    added, kept, plain = seeded(make), seeded(make), seeded(make)
    for layer in (added, kept):
        one = correction(layer.weight, 2, 4.0, torch.Generator().manual_seed(2), masked=layer is added)
        register_parametrization(layer, "weight", one)
        assert torch.equal(layer(inputs), plain(inputs))
        with torch.no_grad():
            one.b.copy_(torch.randn(one.b.shape, generator=torch.Generator().manual_seed(3)))
    update = 4.0 * (one.b @ one.a).detach().view_as(plain.weight)
    merge([(added, "weight")])
    assert torch.allclose(added.weight, plain.weight + update)
    assert torch.linalg.matrix_rank(added.weight.detach().flatten(1) - plain.weight.detach().flatten(1)) <= 2
    assert [name for name, _ in added.named_parameters()] == [name for name, _ in plain.named_parameters()]
    assert type(added) is type(plain)
    module = beside(kept, 4.0)
    assert torch.allclose(module(inputs), added(inputs), atol=1e-4)
    assert torch.equal(module.base.weight, plain.weight)


def test_only_the_corrections_are_trained(few: Workshop, subject: Any) -> None:
    before = {name: one.clone() for name, one in subject().model.named_parameters()}
    after = Lora(rank=2, targets=("fc1",), train=ONCE).apply(subject(), few).model
    for name, one in after.named_parameters():
        assert torch.equal(one, before[name]) == (name != "fc1.weight"), name
        assert one.requires_grad
    gap = (after.fc1.weight - before["fc1.weight"]).detach()
    values = torch.linalg.svdvals(gap.double())
    assert values[1] > 1e-4
    assert values[2] < 1e-5


def test_small_parameters_are_trained_where_asked_for(few: Workshop, subject: Any) -> None:
    before = subject().model
    after = Lora(rank=2, targets=("fc1",), small=True, train=ONCE).apply(subject(), few).model
    assert not torch.equal(after.fc2.bias, before.fc2.bias)
    assert torch.equal(after.fc2.weight, before.fc2.weight)


def test_it_recovers_what_factorising_cost_and_adds_nothing(
    few: Workshop, subject: Any, weigh: Any, digits: Any
) -> None:
    cut = Svd(params=0.08)
    broken = weigh(cut.apply(subject(), few))
    method = Lora(train=Training(epochs=8, optimizer="adamw", learning_rate=2e-3, weight_decay=0.0))
    recovered = weigh(method.apply(cut.apply(subject(), few), few))
    assert recovered.accuracy(digits) > broken.accuracy(digits) + 0.05
    assert recovered.evidence.parameters == broken.evidence.parameters
    assert method.contradictions(broken.evidence, recovered.evidence) == []


def test_zeros_of_pruning_stay(few: Workshop, subject: Any) -> None:
    pruned = MagnitudePruning(sparsity=0.8).apply(subject(), few)
    zeros = {name: one == 0 for name, one in pruned.model.named_parameters() if one.ndim > 1}
    weights = pruned.model.fc1.weight.clone()
    after = Lora(train=ONCE).apply(pruned, few).model
    assert not torch.equal(after.fc1.weight, weights)
    for name, one in after.named_parameters():
        if name in zeros:
            assert torch.count_nonzero(one[zeros[name]]) == 0


def test_what_is_kept_is_counted_and_a_wrong_artifact_contradicts(few: Workshop, subject: Any, weigh: Any) -> None:
    kept, merged = Lora(rank=2, targets=("fc1", "conv2"), merge=False, train=ONCE), Lora(rank=2, train=ONCE)
    before, after = weigh(subject()), weigh(kept.apply(subject(), few))
    # fc1 maps 400 to 120, conv2 takes 6 channels of 5×5 to 16.
    assert after.evidence.parameters - before.evidence.parameters == 2 * (400 + 120) + 2 * (150 + 16)
    assert kept.contradictions(before.evidence, after.evidence) == []
    assert merged.contradictions(before.evidence, after.evidence) == [
        "2 corrections lie beside the weights, and all were to be added to them"
    ]
    assert kept.contradictions(before.evidence, before.evidence) == [
        "no correction lies beside the weights, and all were to be kept there"
    ]


def test_attention_and_depthwise_layers_are_corrected_and_cannot_be_kept(few: Workshop, subject: Any) -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 8, 8, stride=8)
            self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = nn.Linear(8, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens = self.depthwise(self.stem(x)).flatten(2).transpose(1, 2)
            return self.head(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1))

    before = seeded(Attending)
    after = Lora(rank=1, train=ONCE).apply(subject(seeded(Attending)), few).model
    gap = after.attention.in_proj_weight - before.attention.in_proj_weight
    assert torch.linalg.matrix_rank(gap.detach(), atol=1e-6) == 1
    assert not torch.equal(after.depthwise.weight, before.depthwise.weight)
    with pytest.raises(MethodError, match=r"cannot keep a correction beside depthwise \(Conv2d\)"):
        Lora(merge=False, targets=("depthwise",)).apply(subject(seeded(Attending)), few)


def test_the_same_twice(few: Workshop, subject: Any, weigh: Any) -> None:
    method = Lora(train=ONCE)
    assert weigh(method.apply(subject(), few)).content == weigh(method.apply(subject(), few)).content


def test_no_data_and_no_such_layer_are_told(few: Workshop, subject: Any) -> None:
    with pytest.raises(MethodError, match="it needs data with a training split"):
        Lora().apply(subject(), replace(few, data=None))
    with pytest.raises(MethodError, match=r"targets: the model has no layer 'fc4'\. Did you mean"):
        Lora(targets=("fc4",)).apply(subject(), few)


def test_beside_sparse_weights_the_function_that_was_trained_is_deployed(
    few: Workshop, subject: Any, weigh: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two small layers know no mask: neither may the training. What they hold counts as no weight that was to go."""
    pruning = MagnitudePruning(sparsity=0.8, scope="layer")
    before, pruned = weigh(subject()), pruning.apply(subject(), few)
    inputs = torch.randn(50, 400, generator=torch.Generator().manual_seed(0))
    trained: list[torch.Tensor] = []

    def noted(layer: Any, scale: float) -> nn.Module:
        trained.append(layer(inputs).detach())
        return beside(layer, scale)

    monkeypatch.setattr(lora, "beside", noted)
    after = Lora(rank=2, targets=("fc1",), merge=False, train=ONCE).apply(pruned, few)
    with torch.no_grad():
        deployed, alone = after.model.fc1(inputs), after.model.fc1.base(inputs)
    torch.testing.assert_close(deployed, trained[0], rtol=1e-4, atol=1e-5)
    assert float((deployed - alone).norm()) > 0.01 * float(deployed.norm())
    assert int((after.model.fc1.base.weight == 0).sum()) == round(0.8 * 48_000)
    assert pruning.contradictions(before.evidence, weigh(after).evidence) == []


def test_labels_that_nothing_looks_at_cannot_be_smoothed() -> None:
    smoothed = Training(label_smoothing=0.1)
    with pytest.raises(ValidationError, match=r"smooths labels, and `learn_from: float-model` looks at none"):
        Lora(learn_from="float-model", train=smoothed)
    assert Lora(train=smoothed).train.label_smoothing == 0.1


def test_a_weight_of_two_layers_is_given_no_correction_of_either(few: Workshop, subject: Any) -> None:
    """Added to it, each correction would be in both layers."""

    def shared() -> nn.Module:
        model = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(1024, 24), nn.Linear(24, 24), nn.Linear(24, 24)))
        model[3].weight = model[2].weight
        return model

    for targets in ((), ("2",), ("2", "3")):
        with pytest.raises(MethodError, match="cannot add a correction to the weight of 2, which is that of 3 too"):
            Lora(rank=1, targets=targets, train=ONCE).apply(subject(shared()), few)
    before, after = shared(), Lora(rank=1, targets=("1",), train=ONCE).apply(subject(shared()), few).model
    assert torch.equal(after[3].weight, before[3].weight)
    kept = Lora(rank=1, targets=("2", "3"), merge=False, train=ONCE).apply(subject(shared()), few).model
    assert torch.equal(kept[2].base.weight, before[2].weight)
    assert not torch.equal(kept[2].adapter_up.weight, kept[3].adapter_up.weight)
