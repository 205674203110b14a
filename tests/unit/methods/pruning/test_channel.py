from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from harness.errors import MethodError
from harness.methods.pruning.channel import ChannelPruning
from harness.methods.pruning.magnitude import MagnitudePruning
from harness.training import Training

SIDE = 8


def chain(*widths: int) -> nn.Sequential:
    """Convolutions of these widths, then ten classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for before, after in zip((1, *widths), widths, strict=False):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10)).eval()


def parameters(*widths: int) -> int:
    pairs = zip((1, *widths), widths, strict=False)
    return sum(9 * before * after + after for before, after in pairs) + widths[-1] * 10 + 10


def macs(*widths: int) -> int:
    return sum(9 * a * b * SIDE**2 for a, b in zip((1, *widths), widths, strict=False)) + widths[-1] * 10


EXAMPLE = torch.ones(1, 1, SIDE, SIDE)


@pytest.mark.parametrize("importance", ["l1", "l2", "random"])
def test_halving_leaves_half_the_channels_and_all_the_classes(
    importance: Any, subject: Any, workshop: Any, weigh: Any
) -> None:
    method = ChannelPruning(ratio=0.5, importance=importance)
    before = weigh(subject(chain(16, 32, 24), EXAMPLE))
    after = weigh(method.apply(subject(chain(16, 32, 24), EXAMPLE), workshop))
    assert before.evidence.parameters == parameters(16, 32, 24)
    assert after.evidence.parameters == parameters(8, 16, 12)
    assert (before.runner.macs((EXAMPLE,)), after.runner.macs((EXAMPLE,))) == (macs(16, 32, 24), macs(8, 16, 12))
    assert after.runner((EXAMPLE,))[0].shape == (1, 10)
    assert method.contradictions(before.evidence, after.evidence) == []


def test_the_weakest_channels_go_and_the_others_are_untouched(subject: Any, workshop: Any) -> None:
    model = chain(16, 8)
    weak = [1, 2, 5, 7, 8, 11, 13, 14]
    with torch.no_grad():
        # A channel is worth what it is written and read with.
        model[0].weight[weak] *= 0.01
        model[2].weight[:, weak] *= 0.01
    strong = [index for index in range(16) if index not in weak]
    expected = model[0].weight[strong].clone()
    pruned = ChannelPruning(ratio=0.5, keep=("2",)).apply(subject(model, EXAMPLE), workshop).model
    assert torch.equal(pruned[0].weight, expected)
    assert pruned[2].weight.shape == (8, 8, 3, 3)


def test_norms_disagree_where_they_should(subject: Any, workshop: Any) -> None:
    """One large weight is worth more under L2, many small ones under L1."""
    kept = {}
    for importance in ("l1", "l2"):
        with torch.random.fork_rng(devices=[]):
            model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(2 * SIDE**2, 10)).eval()
        with torch.no_grad():
            model[0].weight.zero_()
            model[0].weight[0, 0, 0, 0] = 6.0  # L1 6, L2 6
            model[0].weight[1] = 1.0  # L1 9, L2 3
            model[2].weight.fill_(0.1)
        pruned = ChannelPruning(ratio=0.5, importance=importance).apply(subject(model, EXAMPLE), workshop).model
        assert pruned[2].weight.shape == (10, SIDE**2)
        kept[importance] = pruned[0].weight.max().item()
    assert kept == {"l1": 1.0, "l2": 6.0}


def test_seeds_reproduce_and_differ(subject: Any, workshop: Any, other_seed: Any) -> None:
    first, again, other = (
        ChannelPruning(ratio=0.5, importance="random").apply(subject(chain(32), EXAMPLE), one).model[0].weight
        for one in (workshop, workshop, other_seed)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_widths_are_rounded_where_asked_for(subject: Any, workshop: Any) -> None:
    pruned = ChannelPruning(ratio=0.3, round_to=8).apply(subject(chain(32, 24), EXAMPLE), workshop).model
    assert pruned[0].out_channels % 8 == pruned[2].out_channels % 8 == 0
    assert (pruned[0].out_channels, pruned[2].out_channels) == (16, 16)


def test_residual_network_stays_whole(subject: Any, workshop: Any, weigh: Any) -> None:
    method = ChannelPruning(ratio=0.25)
    before = weigh(subject("resnet20-digits"))
    after = weigh(method.apply(subject("resnet20-digits"), workshop))
    assert {one.shape[0] for one in after.evidence.matrices} == {12, 24, 48, 10}
    # Every inner layer keeps three quarters of its inputs and outputs: 9 / 16 of its weights.
    assert after.evidence.parameters / before.evidence.parameters == pytest.approx(9 / 16, abs=0.01)
    assert method.contradictions(before.evidence, after.evidence) == []


def test_fine_tuning_recovers_what_pruning_cost(subject: Any, workshop: Any, weigh: Any, digits: Any) -> None:
    before = weigh(subject()).accuracy(digits)
    pruned = weigh(ChannelPruning(ratio=0.5).apply(subject(), workshop)).accuracy(digits)
    method = ChannelPruning(ratio=0.5, finetune=Training(epochs=5))
    tuned = weigh(method.apply(subject(), workshop))
    assert pruned < 0.9 < tuned.accuracy(digits) <= before + 0.01
    assert tuned.content == weigh(method.apply(subject(), workshop)).content


def test_global_scope_takes_from_where_least_is_lost(subject: Any, workshop: Any) -> None:
    model = chain(32, 32)
    with torch.no_grad():
        model[0].weight *= torch.linspace(0.001, 0.01, 32).view(-1, 1, 1, 1)
    pruned = ChannelPruning(ratio=0.3, scope="global", importance="random", most=0.5).apply(
        subject(model, EXAMPLE), workshop
    )
    removed = 64 - pruned.model[0].out_channels - pruned.model[2].out_channels
    assert removed == pytest.approx(0.3 * 64, abs=1)
    assert pruned.model[0].out_channels >= 16
    assert pruned.model[2].out_channels >= 16


def test_depthwise_and_several_outputs_survive(subject: Any, workshop: Any) -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.depthwise = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1, groups=16)
            self.boxes, self.classes = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 10, 1)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            inner = self.depthwise(self.stem(x)).relu()
            return self.boxes(inner), self.classes(inner).flatten(2)

    with torch.random.fork_rng(devices=[]):
        heads = Heads()
    pruned = ChannelPruning(ratio=0.5).apply(subject(heads, EXAMPLE), workshop).model
    assert (pruned.stem.out_channels, pruned.depthwise.groups) == (8, 8)
    assert [tuple(one.shape) for one in pruned(EXAMPLE)] == [(1, 4, SIDE, SIDE), (1, 10, SIDE**2)]


def test_zeros_of_an_earlier_step_outlive_fine_tuning(subject: Any, workshop: Any) -> None:
    sparse = MagnitudePruning(sparsity=0.5, scope="layer").apply(subject(), workshop)
    still = ChannelPruning(ratio=0.1).apply(subject_copy(sparse), workshop).model.fc2.weight == 0
    tuned = ChannelPruning(ratio=0.1, finetune=Training(epochs=1)).apply(sparse, workshop).model.fc2.weight
    assert torch.equal(tuned == 0, still)
    assert float(still.float().mean()) == pytest.approx(0.5, abs=0.05)


def subject_copy(subject: Any) -> Any:
    import copy

    return copy.deepcopy(subject)


def test_no_op_is_contradicted(subject: Any, workshop: Any, weigh: Any) -> None:
    before = weigh(subject(chain(16), EXAMPLE)).evidence
    method = ChannelPruning(ratio=0.5)
    assert method.contradictions(before, before) == ["no channel is gone: 330 parameters, 330 before"]
    # Rounding up to 16 channels leaves all of them.
    after = weigh(ChannelPruning(ratio=0.5, round_to=16).apply(subject(chain(16), EXAMPLE), workshop)).evidence
    assert method.contradictions(before, after)
    little = weigh(subject(chain(15), EXAMPLE)).evidence
    assert method.contradictions(before, little) == [
        "at least 12.5% of the parameters were to go with the channels, and 6.1% did (330 to 310)"
    ]


def test_output_made_by_arithmetic_is_kept_or_refused(subject: Any, workshop: Any) -> None:
    class Scores(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(SIDE, 10), nn.Linear(SIDE, 10)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.left(x).sigmoid(), self.right(x).sigmoid()

    with torch.random.fork_rng(devices=[]):
        scores = Scores()
    with pytest.raises(MethodError, match=r"changed the outputs from .* name the layers that make them in `keep`"):
        ChannelPruning(ratio=0.5).apply(subject(scores, torch.ones(1, SIDE)), workshop)


def test_a_channel_shuffle_that_the_library_cannot_follow_is_told(subject: Any, workshop: Any) -> None:
    with torch.random.fork_rng():
        net = torchvision.models.shufflenet_v2_x0_5(num_classes=3)
    with pytest.raises(MethodError, match=r"torch-pruning cannot follow how the model splits .* ShuffleNet"):
        ChannelPruning(ratio=0.3).apply(subject(net, torch.randn(1, 3, 32, 32, generator=torch.Generator())), workshop)
