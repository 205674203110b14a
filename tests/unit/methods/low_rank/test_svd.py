from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from harness.data.base import Dataset, TensorSplit
from harness.errors import MethodError
from harness.methods.base import Workshop
from harness.methods.low_rank.sites import moments, sites
from harness.methods.low_rank.svd import Decomposed, Svd, Two
from harness.tasks.image_classification import ImageClassification
from harness.training import Training


def fixed(make: Any, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().eval()


def correlated(samples: int, *shape: int) -> torch.Tensor:
    """Inputs with a mean, whose elements depend on each other."""
    generator = torch.Generator().manual_seed(7)
    size = int(np.prod(shape))
    mixing = torch.randn(size, size, generator=generator) * torch.logspace(0, -2, size)
    return (torch.randn(samples, size, generator=generator) @ mixing.T + 1.5).view(samples, *shape)


def workshop_of(inputs: torch.Tensor, tmp_path: Any) -> Workshop:
    split = TensorSplit(inputs, torch.zeros(len(inputs), dtype=torch.int64))
    return Workshop(ImageClassification(), Dataset(split, None), tmp_path, 0, lambda _: None)


def test_the_error_of_the_weights_is_the_norm_of_the_values_dropped() -> None:
    """C. Eckart, G. Young, 1936."""
    layer = fixed(lambda: nn.Linear(30, 20))
    site = sites(layer, (torch.ones(1, 30),))[0]
    values = np.linalg.svd(layer.weight.detach().double().numpy(), compute_uv=False)
    for rank in (1, 7, 19, 20):
        two = Two(Decomposed(site, None), rank)
        module = two.module()
        product = (module.expand.weight @ module.project.weight).detach().double().numpy()
        gap = np.square(layer.weight.detach().double().numpy() - product).sum()
        assert two.error == pytest.approx((values[rank:] ** 2).sum(), rel=1e-9, abs=1e-12)
        assert gap == pytest.approx(two.error, rel=1e-4, abs=1e-10)


@pytest.mark.parametrize("bias", [True, False])
def test_the_error_of_the_outputs_is_the_closed_form_and_below_that_of_plain_svd(bias: bool) -> None:
    layer, inputs = fixed(lambda: nn.Linear(24, 16, bias=bias)), correlated(500, 24)
    site = sites(layer, (inputs[:1],))[0]
    found = moments(layer, [site], TensorSplit(inputs, torch.zeros(500)))[site.name]
    np.testing.assert_allclose(found.mean, inputs.double().mean(0).numpy(), rtol=1e-9)
    with torch.no_grad():
        for rank in (1, 4, 9):
            fitted, plain = Two(Decomposed(site, found), rank), Two(Decomposed(site, None), rank)
            gaps = [
                float((layer(inputs) - two.module()(inputs)).double().square().sum(1).mean()) for two in (fitted, plain)
            ]
            assert gaps[0] == pytest.approx(fitted.error, rel=1e-3)
            assert gaps[0] < 0.9 * gaps[1]


def test_no_other_matrix_of_that_rank_has_outputs_nearer() -> None:
    """Reduced-rank regression (A. Izenman, 1975) on the data itself gives the same product."""
    layer, inputs = fixed(lambda: nn.Linear(12, 9, bias=False)), correlated(200, 12)
    site = sites(layer, (inputs[:1],))[0]
    found = moments(layer, [site], TensorSplit(inputs, torch.zeros(200)))[site.name]
    module = Two(Decomposed(site, found), 3).module()
    outputs = layer(inputs).detach().double().numpy()
    _, _, directions = np.linalg.svd(outputs, full_matrices=False)
    projector = directions[:3].T @ directions[:3]
    expected = projector @ layer.weight.detach().double().numpy()
    np.testing.assert_allclose((module.expand.weight @ module.project.weight).detach().numpy(), expected, atol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.Linear(6, 10),
        lambda: nn.Conv2d(4, 12, 3, padding=1),
        lambda: nn.Conv2d(4, 12, (3, 5), stride=(2, 1), padding=(0, 2), dilation=(1, 2), bias=False),
        lambda: nn.Conv2d(4, 12, 3, padding="same", padding_mode="reflect"),
        lambda: nn.Conv2d(8, 6, 1),
    ],
)  # fmt: skip
def test_at_full_rank_the_layer_is_reproduced(layer: Any) -> None:
    one = fixed(layer)
    shape = (5, 6) if isinstance(one, nn.Linear) else (5, one.in_channels, 11, 13)
    inputs = correlated(5, *shape[1:])
    site = sites(one, (inputs[:1],))[0]
    found = moments(one, [site], TensorSplit(inputs, torch.zeros(5)))[site.name]
    with torch.no_grad():
        for given in (None, found):
            whole = Decomposed(site, given)
            expected = one(inputs)
            answer = Two(whole, len(whole.values)).module()(inputs)
            assert torch.allclose(answer, expected, rtol=1e-3, atol=2e-4 * float(expected.abs().max()))


def net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(16 * 16, 40), nn.ReLU(), nn.Linear(40, 10),
    )  # fmt: skip


EXAMPLE = torch.ones(1, 1, 8, 8)


def test_ranks_follow_the_energy_and_layers_that_would_grow_stay(subject: Any, tmp_path: Any, weigh: Any) -> None:
    method = Svd(energy=0.85, fit="weights")
    before = subject(fixed(net), EXAMPLE)
    weights = {index: before.model[index].weight.detach().double().flatten(1).numpy() for index in (0, 2, 5, 7)}
    after = method.apply(before, workshop_of(correlated(40, 1, 8, 8), tmp_path)).model
    for index, matrix in weights.items():
        shares = np.square(np.linalg.svd(matrix, compute_uv=False)).cumsum() / np.square(matrix).sum()
        rank = int((shares < 0.85).sum()) + 1
        if rank * sum(matrix.shape) < matrix.size:
            assert after[index].project.weight.shape[0] == rank
        else:
            assert not isinstance(after[index], nn.Sequential)
    kinds = [isinstance(after[index], nn.Sequential) for index in weights]
    assert True in kinds
    assert False in kinds


def test_parameters_and_macs_are_the_arithmetic(subject: Any, tmp_path: Any, weigh: Any) -> None:
    method = Svd(ratio=0.5, layers="linear")
    before = weigh(subject(fixed(net), EXAMPLE))
    after = weigh(method.apply(subject(fixed(net), EXAMPLE), workshop_of(correlated(40, 1, 8, 8), tmp_path)))
    # 256 × 40 at most halves at rank 5120 // 296 = 17; 40 × 10 at rank 200 // 50 = 4.
    saved = (256 * 40 - 17 * 296) + (40 * 10 - 4 * 50)
    assert before.evidence.parameters - after.evidence.parameters == saved
    assert before.runner.macs((EXAMPLE,)) - after.runner.macs((EXAMPLE,)) == saved
    assert method.contradictions(before.evidence, after.evidence) == []
    stricter = Svd(ratio=0.4, layers="linear").contradictions(before.evidence, after.evidence)
    assert "5 keeps 5,032 of 10,240 weights, and at most 40.0% were to be kept" in stricter


def test_a_convolution_counts_its_output_places(subject: Any, tmp_path: Any, weigh: Any) -> None:
    before = weigh(subject(fixed(net), EXAMPLE))
    method = Svd(ratio=0.5, layers="convolution", keep=("0",))
    after = weigh(method.apply(subject(fixed(net), EXAMPLE), workshop_of(correlated(40, 1, 8, 8), tmp_path)))
    # 16 × 72 halves at rank 576 // 88 = 6, at 4 × 4 places.
    assert before.evidence.parameters - after.evidence.parameters == 1152 - 6 * 88
    assert before.runner.macs((EXAMPLE,)) - after.runner.macs((EXAMPLE,)) == 16 * (1152 - 6 * 88)


@pytest.mark.parametrize("rule", ["params", "macs"])
def test_a_budget_is_kept_and_nearly_used(rule: str, subject: Any, workshop: Any, weigh: Any) -> None:
    method = Svd(**{rule: 0.5})
    before, after = weigh(subject()), weigh(method.apply(subject(), workshop))
    example = subject().example
    counts = [one.evidence.parameters if rule == "params" else one.runner.macs(example) for one in (before, after)]
    assert 0.48 < counts[1] / counts[0] <= 0.5
    assert method.contradictions(before.evidence, after.evidence) == []


def test_what_is_fitted_to_outputs_keeps_more_accuracy_than_what_is_fitted_to_weights(
    subject: Any, workshop: Any, weigh: Any, digits: Any
) -> None:
    def accuracy(**options: Any) -> float:
        return float(weigh(Svd(params=0.12, **options).apply(subject(), workshop)).accuracy(digits))

    informed, blind = accuracy(), accuracy(fit="weights")
    assert informed > blind + 0.1
    tuned = accuracy(fit="weights", finetune=Training(epochs=3))
    assert tuned > blind + 0.1


def test_the_same_twice_and_the_global_state_untouched(subject: Any, workshop: Any, weigh: Any) -> None:
    method = Svd(params=0.4, finetune=Training(epochs=1))
    assert weigh(method.apply(subject(), workshop)).content == weigh(method.apply(subject(), workshop)).content


def test_nothing_to_gain_and_nothing_to_reach_are_refused(subject: Any, workshop: Any) -> None:
    with pytest.raises(MethodError, match=r"none of 5 layers gets smaller: at energy 0.999999"):
        Svd(energy=0.999999, fit="weights").apply(subject(), workshop)
    with pytest.raises(MethodError, match=r"1.0% of 61,706 parameters cannot be reached.*rank \d\.\d% are left"):
        Svd(params=0.01).apply(subject(), workshop)
    with pytest.raises(MethodError, match="keep: the model has no layer 'fc9'"):
        Svd(energy=0.5, keep=("fc9",)).apply(subject(), workshop)


def test_an_artifact_that_is_not_factorised_contradicts(subject: Any, weigh: Any) -> None:
    same = weigh(subject()).evidence
    assert Svd(params=0.5).contradictions(same, same) == [
        "none of 5 layers is a product of factors",
        "no parameter fewer: 61,706, 61,706 before",
        "61,706 of 61,706 parameters are left (100.0%), and at most 50.0% were to be",
    ]


def test_shared_weights_subclasses_and_groups_are_left_alone() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other, self.alone = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
            self.other.weight = self.one.weight
            self.conv = nn.Conv2d(4, 4, 3, groups=2)
            self.attention = nn.MultiheadAttention(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.attention(x, x, x)[0]
            y = self.alone(self.alone(self.other(self.one(y))))
            return self.conv(y.view(1, 4, 4, 4))

    found = sites(fixed(Tied), (torch.ones(1, 8, 8),))
    assert [(site.name, site.calls, site.macs) for site in found] == [("alone", 2, 2 * 8 * 64)]


@pytest.mark.parametrize("options", [{}, {"energy": 0.5, "ratio": 0.5}, {"energy": 1.0}, {"params": 0}])
def test_exactly_one_rule_decides_the_ranks(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Svd(**options)
