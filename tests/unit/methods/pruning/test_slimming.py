from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from harness.data.base import TensorSplit
from harness.errors import MethodError
from harness.methods.pruning.slimming import NetworkSlimming, batch_scales
from harness.tasks.classification import Classification
from harness.training import Training


def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 24, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(96, 10),
        )  # fmt: skip


ONE_STEP = Training(epochs=1, batch=1000, momentum=0.0, warmup=0.0, schedule="constant", learning_rate=1e-6)


def test_channels_of_least_scale_go_under_one_threshold(subject: Any, workshop: Any, weigh: Any) -> None:
    model = network()
    with torch.no_grad():
        model[1].weight.copy_(torch.linspace(0.1, 1.0, 16))  # 8 of 40 below 0.5, about
        model[4].weight.copy_(torch.linspace(0.3, 2.0, 24))
    both = torch.cat([model[1].weight, model[4].weight]).detach()
    threshold = both.sort().values[9]  # a quarter of 40 channels
    first, second = model[0].weight.detach()[both[:16] > threshold], int((both[16:] > threshold).sum())
    method = NetworkSlimming(ratio=0.25, train=ONE_STEP, finetune=None)
    before = weigh(subject(model)).evidence
    pruned = method.apply(subject(model), workshop)
    assert (pruned.model[0].out_channels, pruned.model[3].out_channels) == (len(first), second)
    torch.testing.assert_close(pruned.model[0].weight, first, atol=1e-4, rtol=0)
    assert method.contradictions(before, weigh(pruned).evidence) == []
    assert method.contradictions(before, before) == ["no channel is gone: 4,650 parameters, 4,650 before"]


def test_the_penalty_is_the_papers(subject: Any, workshop: Any) -> None:
    """One step of plain SGD: beside the task's gradient, each scale moves by rate * penalty towards zero."""
    moved = {}
    for penalty in (1e-9, 0.7):
        model = network()
        method = NetworkSlimming(
            ratio=0.5, penalty=penalty, finetune=None, keep=("0", "3"),
            train=ONE_STEP.model_copy(update={"learning_rate": 0.01}),
        )  # fmt: skip
        method.apply(subject(model), workshop)
        moved[penalty] = torch.cat([one.detach() for one in batch_scales(model)])
    torch.testing.assert_close(moved[1e-9] - moved[0.7], torch.full((40,), 0.01 * 0.7), atol=1e-5, rtol=1e-3)


def test_slimmed_network_still_reads(subject: Any, workshop: Any, weigh: Any, digits: Any) -> None:
    method = NetworkSlimming(
        ratio=0.4, train=Training(epochs=6, learning_rate=0.1), finetune=Training(epochs=3, learning_rate=0.05)
    )
    model = network()
    after = weigh(method.apply(subject(model), workshop))
    assert after.evidence.parameters < 0.75 * 4650
    assert after.accuracy(digits) > 0.8


def test_a_model_without_scales_is_refused(subject: Any, workshop: Any) -> None:
    with pytest.raises(MethodError, match="the model has none: use channel-pruning"):
        NetworkSlimming(ratio=0.5).apply(subject(), workshop)


def test_labels_are_smoothed_while_the_penalty_is_on(subject: Any, workshop: Any) -> None:
    """One step of plain SGD on labels of one class: the gradient of the head's bias is softmax less target."""
    images = workshop.data.train.inputs
    one_class = replace(workshop.data, train=TensorSplit(images, torch.zeros(len(images), dtype=torch.int64)))
    moved = {}
    for smoothing in (0.0, 0.5):
        model = network()
        before = model[8].bias.detach().clone()
        options = {"learning_rate": 0.01, "label_smoothing": smoothing}
        method = NetworkSlimming(ratio=0.5, finetune=None, keep=("0", "3"), train=ONE_STEP.model_copy(update=options))
        method.apply(subject(model), replace(workshop, data=one_class))
        moved[smoothing] = (model[8].bias.detach() - before) / 0.01
    # Half of each label goes to all ten classes alike, its own among them.
    expected = torch.tensor([-0.45, *[0.05] * 9])
    torch.testing.assert_close(moved[0.5] - moved[0.0], expected, atol=1e-4, rtol=0)


class Boxes(Classification):
    """A task whose targets would have to move with the images."""

    task: str = "object-detection"


def test_images_are_not_moved_away_from_their_boxes(subject: Any, workshop: Any) -> None:
    method = NetworkSlimming(ratio=0.5, train=Training(augment="affine"))
    with pytest.raises(MethodError, match="moves images and not what object-detection is to find in them"):
        method.apply(subject(network()), replace(workshop, task=Boxes()))
