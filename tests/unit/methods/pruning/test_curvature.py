from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call

from harness.data.base import Batch, Dataset, TensorSplit
from harness.errors import MethodError
from harness.methods.base import Workshop
from harness.methods.pruning import curvature
from harness.methods.pruning.masks import prunable
from harness.tasks.base import Task
from harness.tasks.classification import Classification


def small() -> nn.Sequential:
    """A network with every kind of layer that the exact diagonal knows: 8x8 images, four classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16, 6),
            nn.ReLU(),
            nn.Linear(6, 4),
        )
        return model.double().eval()


@pytest.fixture
def some(workshop: Any) -> Workshop:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(40, 1, 8, 8, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (40,), generator=generator)
    split = TensorSplit(images, labels)
    return replace(workshop, data=Dataset(calibration=split, evaluation=None, train=split))


def hessian_diagonal(model: nn.Module, loss: Any) -> dict[str, torch.Tensor]:
    """By autograd, one weight after another."""
    weights = {name: one.detach() for name, one in prunable(model, (), "test").items()}
    found = {}
    for name, weight in weights.items():

        def of(one: torch.Tensor, name: str = name) -> torch.Tensor:
            return loss(lambda *inputs: functional_call(model, {**weights, name: one}, inputs))

        whole = torch.autograd.functional.hessian(of, weight)
        found[name] = whole.reshape(weight.numel(), weight.numel()).diagonal().view_as(weight)
    return found


def test_exact_diagonal_of_the_loss_is_autograds_hessian(some: Workshop) -> None:
    model = small()
    assert some.data is not None
    batch = Batch((some.data.calibration.inputs,), some.data.calibration.targets)  # type: ignore[attr-defined]
    expected = hessian_diagonal(model, lambda run: some.task.loss(run, batch))
    found = curvature.gauss_newton(model, prunable(model, (), "test"), some, 40, "loss")
    assert found.keys() == expected.keys()
    for name, diagonal in expected.items():
        torch.testing.assert_close(found[name], diagonal, rtol=1e-9, atol=1e-12)
        assert (found[name] >= 0).all()
    assert max(float(one.max()) for one in found.values()) > 1e-3


def test_exact_diagonal_of_the_outputs_is_autograds_hessian_in_a_smooth_network(some: Workshop) -> None:
    """With tanh the loss's Gauss-Newton diagonal is no Hessian any more; that of the outputs still is."""
    model = nn.Sequential(*(nn.Tanh() if isinstance(part, nn.ReLU) else part for part in small()))
    assert some.data is not None
    inputs: torch.Tensor = some.data.calibration.inputs  # type: ignore[attr-defined]
    answers = model(inputs).detach()
    expected = hessian_diagonal(model, lambda run: 0.5 * (run(inputs) - answers).square().sum(1).mean())
    found = curvature.gauss_newton(model, prunable(model, (), "test"), some, 40, "outputs")
    for name, diagonal in expected.items():
        torch.testing.assert_close(found[name], diagonal, rtol=1e-9, atol=1e-12)


def test_hutchinson_is_unbiased_with_the_variance_that_theory_gives(some: Workshop) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).double()
    assert some.data is not None
    batch = Batch((some.data.calibration.inputs,), some.data.calibration.targets % 2)  # type: ignore[attr-defined]
    some = replace(some, data=Dataset(calibration=TensorSplit(batch.inputs[0], batch.targets), evaluation=None))
    weights = prunable(model, (), "test")
    whole = torch.autograd.functional.hessian(
        lambda one: some.task.loss(lambda x: functional_call(model, {"1.weight": one}, (x,)), batch),  # type: ignore[arg-type]
        weights["1.weight"].detach(),
    ).reshape(128, 128)
    draws = 400
    found = [curvature.hutchinson(model, weights, replace(some, seed=seed), 40)["1.weight"] for seed in range(draws)]
    variance = whole.square().sum(1) - whole.diagonal().square()
    errors = (torch.stack(found).mean(0).flatten() - whole.diagonal()) / (variance / draws).sqrt()
    assert float(errors.abs().max()) < 5
    assert float(errors.square().mean()) == pytest.approx(1, abs=0.4)
    assert not found[0].requires_grad


def test_first_order_effects_are_squared_gradients_times_weights(some: Workshop) -> None:
    model = small()
    assert some.data is not None
    batch = Batch((some.data.calibration.inputs,), some.data.calibration.targets)  # type: ignore[attr-defined]
    weights = prunable(model, (), "test")
    gradients = torch.autograd.grad(some.task.loss(model, batch), list(weights.values()))
    found = curvature.squared_effects(model, weights, some, 40)
    for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
        torch.testing.assert_close(found[name], (gradient * weight.detach()) ** 2)


def test_a_layer_that_the_loss_does_not_know_curves_nothing(some: Workshop) -> None:
    """Such as a head that is for training alone."""

    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.aside = small(), nn.Linear(4, 4)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self.body(images)
            return made

    model = Aside()
    weights = prunable(model, (), "test")
    for found in (curvature.hutchinson(model, weights, some, 40), curvature.squared_effects(model, weights, some, 40)):
        assert not found["aside.weight"].any()
        assert all(one.any() for name, one in found.items() if name != "aside.weight")


@pytest.mark.parametrize(
    ("count", "expected"), [(100, [50, 50]), (64, [64]), (65, [33, 32]), (130, [44, 44, 42]), (5, [5]), (999, [64] * 5)]
)
def test_as_many_samples_are_taken_as_were_asked_for(some: Workshop, count: int, expected: list[int]) -> None:
    inputs = torch.arange(320.0)
    split = TensorSplit(inputs, torch.zeros(320, dtype=torch.int64))
    batches = list(curvature.samples(replace(some, data=Dataset(split, None, split)), count))
    assert [len(batch.targets) for batch in batches] == [len(batch.inputs[0]) for batch in batches] == expected
    taken = torch.cat([batch.inputs[0] for batch in batches])
    assert len(taken.unique()) == sum(expected)
    assert torch.isin(taken, inputs).all()


def test_samples_of_a_split_that_is_sorted_by_class_are_of_all_classes(some: Workshop) -> None:
    """As folders of images are: what the first hundred do not need would be pruned away under all the others."""
    split = TensorSplit(torch.arange(3000.0), torch.arange(10).repeat_interleave(300))
    here = replace(some, data=Dataset(split, None, split))
    classes = torch.cat([batch.targets for batch in curvature.samples(here, 100)])
    assert len(classes.unique()) == 10
    assert torch.equal(classes, torch.cat([batch.targets for batch in curvature.samples(here, 100)]))


class Detection(Task):
    """A task whose loss is no cross-entropy."""

    task: str = "object-detection"

    def answers(self, outputs: Any) -> Any:
        raise NotImplementedError

    def loss(self, model: Any, batch: Any, label_smoothing: float = 0.0) -> Any:
        raise NotImplementedError


class Sounds(Classification):
    """A task of another distribution, whose loss is a cross-entropy as well."""

    task: str = "audio-classification"


def test_a_task_from_outside_has_the_curvature_of_its_loss(some: Workshop) -> None:
    model = small()
    ours, theirs = (
        curvature.gauss_newton(model, prunable(model, (), "test"), one, 40, "loss")
        for one in (some, replace(some, task=Sounds()))
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_has_no_exact_curvature_is_refused(some: Workshop) -> None:
    with torch.random.fork_rng(devices=[]):
        model, wide = small(), nn.Sequential(nn.Flatten(), nn.Linear(64, 1001).double())
        attention = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)
    with pytest.raises(MethodError, match="the task is object-detection: use `outputs`"):
        curvature.gauss_newton(model, prunable(model, (), "test"), replace(some, task=Detection()), 40, "loss")
    with pytest.raises(MethodError, match=r"in_proj_weight belongs to a MultiheadAttention: name it in `keep`"):
        curvature.gauss_newton(attention, prunable(attention, (), "test"), some, 40, "outputs")
    with pytest.raises(MethodError, match="the model has 1,001 outputs"):
        curvature.gauss_newton(wide, prunable(wide, (), "test"), some, 40, "outputs")


class Windows(nn.Module):
    """Cuts each 8x8 image into four windows of four rows of tokens, as a Swin transformer does."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.head = nn.Linear(4, 3), nn.Linear(12, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        windows = images.reshape(len(images), 2, 4, 2, 4).transpose(2, 3).reshape(-1, 4, 4)
        made: torch.Tensor = self.head(torch.tanh(self.inside(windows)).mean(1).reshape(len(images), -1))
        return made


def test_a_layer_that_is_given_windows_is_refused_for_their_gradients_are_no_samples(some: Workshop) -> None:
    model = Windows().double()
    weights = prunable(model, (), "test")
    with pytest.raises(
        MethodError, match=r"inside\.weight is given 160 rows for 40 samples, as for windows of images: use `curvature"
    ):
        curvature.gauss_newton(model, weights, some, 40, "outputs")
    alone = {name: one for name, one in weights.items() if name.startswith("head")}
    assert curvature.gauss_newton(model, alone, some, 40, "outputs")["head.weight"].shape == (4, 12)


@pytest.mark.parametrize("of", ["outputs", "loss"])
def test_an_activation_in_place_changes_nothing(of: Any, some: Workshop) -> None:
    """It makes the tensor that the layer before it gave its own, slope and all."""
    plain = small()
    inside = nn.Sequential(*(nn.ReLU(inplace=True) if isinstance(part, nn.ReLU) else part for part in small()))
    expected, found = (curvature.gauss_newton(one, prunable(one, (), "test"), some, 40, of) for one in (plain, inside))
    assert max(float(one.max()) for one in expected.values()) > 1e-3
    for name, diagonal in expected.items():
        torch.testing.assert_close(found[name], diagonal, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("inplace", [False, True])
def test_a_unit_that_is_dead_on_all_samples_has_no_curvature(inplace: bool, some: Workshop) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.ReLU(inplace=inplace), nn.Linear(3, 2)).double()
    with torch.no_grad():
        model[1].bias[1] = -1e3  # type: ignore[index]
    found = curvature.gauss_newton(model, prunable(model, (), "test"), some, 40, "outputs")
    assert (found["1.weight"] > 0).any(dim=1).tolist() == [True, False, True]
    assert (found["3.weight"] > 0).any(dim=0).tolist() == [True, False, True]
