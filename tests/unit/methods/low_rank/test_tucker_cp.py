from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.errors import MethodError
from harness.methods.low_rank.cp import Canonical, Cp
from harness.methods.low_rank.sites import Site, sites
from harness.methods.low_rank.tucker import Core, Modes, Tucker
from harness.training import Training


def site_of(layer: nn.Module, side: int = 9) -> Site:
    return sites(layer.eval(), (torch.ones(1, layer.in_channels, side, side),))[0]


def seeded(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape)


def conv(weight: np.ndarray, **options: Any) -> nn.Conv2d:
    outputs, inputs, *kernel = weight.shape
    layer = nn.utils.skip_init(nn.Conv2d, inputs, outputs, tuple(kernel), **options)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        if layer.bias is not None:
            layer.bias.copy_(torch.arange(outputs) / 10)
    return layer.eval()


def composed(module: nn.Module, inputs: int, kernel: int) -> torch.Tensor:
    """The kernel that a chain of convolutions amounts to: its answers to single pixels, less that to nothing."""
    side = 2 * kernel - 1
    pixels = torch.zeros(inputs, inputs, side, side)
    for channel in range(inputs):
        pixels[channel, channel, kernel - 1, kernel - 1] = 1
    with torch.no_grad():
        answers = module(pixels) - module(torch.zeros(1, inputs, side, side))
    return answers.transpose(0, 1).flip(2, 3)


OPTIONS = [{}, {"stride": 2, "padding": 1}, {"padding": (2, 1), "bias": False}, {"dilation": 2, "padding": "same"}]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("ranks", [(3, 2), (8, 2), (3, 5)])
def test_tucker_reproduces_a_kernel_that_has_its_ranks(options: dict[str, Any], ranks: tuple[int, int]) -> None:
    weight = np.einsum("rshw,or,is->oihw", seeded(*ranks, 3, 3), seeded(8, ranks[0]), seeded(5, ranks[1]))
    layer = conv(weight, **options)
    core = Core(Modes(site_of(layer)), *ranks)
    inputs = torch.from_numpy(seeded(2, 5, 9, 9)).float()
    expected = layer(inputs)
    assert core.error == pytest.approx(0, abs=1e-9 * float(np.square(weight).sum()))
    assert torch.allclose(core.module()(inputs), expected, rtol=1e-3, atol=1e-4 * float(expected.detach().abs().max()))


def test_the_error_before_iteration_is_that_of_projection_and_iteration_does_not_raise_it() -> None:
    weight = seeded(10, 6, 3, 3)
    modes = Modes(site_of(conv(weight)))
    for out, into in [(1, 1), (4, 2), (7, 5), (10, 3)]:
        bases = [np.linalg.svd(np.moveaxis(weight, mode, 0).reshape(weight.shape[mode], -1))[0] for mode in (0, 1)]
        projectors = [basis[:, :rank] @ basis[:, :rank].T for basis, rank in zip(bases, (out, into), strict=True)]
        projected = np.einsum("oihw,op,is->pshw", weight, *projectors)
        core = Core(modes, out, into)
        assert core.error == pytest.approx(np.square(weight - projected).sum(), rel=1e-6)
        reached = composed(core.module(), 6, 3).double().numpy()
        assert np.square(weight - reached).sum() <= core.error * (1 + 1e-5)


def test_ranks_of_tucker_keep_the_energy_of_each_mode() -> None:
    weight = seeded(10, 6, 3, 3)
    path = Modes(site_of(conv(weight))).path()
    values = [np.linalg.svd(np.moveaxis(weight, mode, 0).reshape(weight.shape[mode], -1))[1] ** 2 for mode in (0, 1)]
    shares = [one.cumsum() / one.sum() for one in values]
    assert path[-1] == (10, 6)
    assert path == sorted(path)
    for out, into in path:
        # The larger of the two demands made this step; the other mode keeps at least as much with no rank to spare.
        level = min(shares[0][out - 1], shares[1][into - 1])
        assert out == 1 or shares[0][out - 2] < level + 1e-9
        assert into == 1 or shares[1][into - 2] < level + 1e-9


def test_cp_finds_a_kernel_of_low_rank_again() -> None:
    weight = np.einsum("or,ir,hr,wr->oihw", seeded(9, 2), seeded(7, 2) + 1, seeded(3, 2), seeded(5, 2) - 1)
    layer = conv(weight, padding=(1, 2), stride=(1, 2))
    canonical = Canonical(site_of(layer), 2, 500, seed=0)
    assert canonical.error < 1e-4 * np.square(weight).sum()
    inputs = torch.from_numpy(seeded(2, 7, 9, 9)).float()
    expected = layer(inputs)
    assert torch.allclose(canonical.module()(inputs), expected, atol=0.03 * float(expected.detach().abs().max()))


@pytest.mark.parametrize("options", OPTIONS)
def test_the_four_layers_of_cp_are_the_kernel_that_its_error_is_of(options: dict[str, Any]) -> None:
    weight = seeded(6, 5, 3, 3)
    layer = conv(weight, **options)
    canonical = Canonical(site_of(layer), 4, 30, seed=0)
    module = canonical.module()
    vectors = [part.weight.detach().double().squeeze() for part in module]
    product = torch.einsum("or,ri,rh,rw->oihw", vectors[3], vectors[0], vectors[1], vectors[2])
    assert float((torch.from_numpy(weight) - product).square().sum()) == pytest.approx(canonical.error, rel=1e-5)
    inputs = torch.from_numpy(seeded(2, 5, 9, 9)).float()
    same = conv(product.numpy(), **options)
    assert torch.allclose(module(inputs), same(inputs), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("factors", "parameters"),
    [
        (lambda site: Core(Modes(site), 4, 3), 6 * 3 + 4 * 3 * 9 + 4 * 10),
        (lambda site: Core(Modes(site), 10, 3), 6 * 3 + 10 * 3 * 9),
        (lambda site: Canonical(site, 5, 1, 0), 5 * (10 + 6 + 3 + 3)),
    ],
)
def test_costs_are_what_torch_counts(factors: Any, parameters: int) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    layer = conv(seeded(10, 6, 3, 3), stride=2, padding=1)
    one = factors(site_of(layer, side=11))
    module = one.module()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.ones(1, 6, 11, 11))
    assert one.parameters == parameters == sum(part.weight.numel() for part in module)
    assert one.macs == counter.get_total_flops() // 2


@pytest.mark.parametrize(
    "method",
    [Tucker(macs=0.6), Tucker(energy=0.7), Cp(ratio=0.1, iterations=1)],
    ids=lambda method: method.method,
)
def test_a_residual_network_gets_smaller_and_says_so(method: Any, subject: Any, workshop: Any, weigh: Any) -> None:
    before, after = weigh(subject("resnet20-digits")), weigh(method.apply(subject("resnet20-digits"), workshop))
    example = subject("resnet20-digits").example
    assert after.evidence.parameters < before.evidence.parameters
    share = after.runner.macs(example) / before.runner.macs(example)
    assert share <= (method.macs or 1)
    assert method.contradictions(before.evidence, after.evidence) == []
    # What is no convolution of several taps stays.
    assert {"fc.weight", "stages.1.0.shortcut.0.weight"} <= {one.name for one in after.evidence.tensors}


@pytest.mark.parametrize("method", [Tucker(macs=0.5), Cp(macs=0.5, iterations=10)], ids=lambda method: method.method)
def test_a_budget_is_kept(method: Any, subject: Any, workshop: Any, weigh: Any) -> None:
    before, after = weigh(subject()), weigh(method.apply(subject(), workshop))
    example = subject().example
    assert 0.4 < after.runner.macs(example) / before.runner.macs(example) <= 0.5


def test_fine_tuning_after_tucker_recovers(subject: Any, workshop: Any, weigh: Any, digits: Any) -> None:
    plain = weigh(Tucker(macs=0.5).apply(subject(), workshop)).accuracy(digits)
    tuned = weigh(Tucker(macs=0.5, finetune=Training(epochs=3)).apply(subject(), workshop)).accuracy(digits)
    assert tuned > plain
    assert tuned > 0.95


def test_a_model_without_convolutions_is_refused(subject: Any, workshop: Any) -> None:
    dense = nn.Sequential(nn.Flatten(), nn.utils.skip_init(nn.Linear, 1024, 10))
    for method in (Tucker(ratio=0.5), Cp(ratio=0.5)):
        with pytest.raises(MethodError, match=r"none of 1 layers gets smaller: at ratio 0.5"):
            method.apply(subject(dense), workshop)
