from typing import Any

import pytest
import torch
from torch import nn

from harness.errors import MethodError
from harness.methods.pruning.curvature import samples
from harness.methods.pruning.head import HeadPruning, attentions, sensitivities
from harness.training import Training, train


def vit() -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VisionTransformer(
            img_size=32, patch_size=8, in_chans=1, num_classes=10, embed_dim=32, depth=2, num_heads=4, mlp_ratio=2
        ).eval()


def test_sensitivity_is_the_slope_of_a_gate_on_each_head(workshop: Any) -> None:
    """Michel et al.: the derivative of the loss by a factor before each head, at 1; sample by sample."""
    model = vit()
    layers = attentions(model)
    assert list(layers) == ["blocks.0.attn", "blocks.1.attn"]
    expected = {}
    images = torch.cat([batch.inputs[0] for batch in samples(workshop, 8)])
    labels = torch.cat([batch.targets for batch in samples(workshop, 8)])
    for name, layer in layers.items():
        total = torch.zeros(4)
        for image, label in zip(images, labels, strict=True):
            gates = torch.ones(4, requires_grad=True)
            hook = layer.proj.register_forward_pre_hook(lambda _, given, g=gates: given[0] * g.repeat_interleave(8))
            loss = nn.functional.cross_entropy(model(image[None]), label[None])
            total += torch.autograd.grad(loss, gates)[0].abs()
            hook.remove()
        expected[name] = total / total.norm()
    found = sensitivities(model, layers, workshop, 8)
    for name, one in expected.items():
        torch.testing.assert_close(found[name].float(), one, rtol=1e-4, atol=1e-6)


def test_a_removed_head_is_a_head_of_zeros(subject: Any, workshop: Any, weigh: Any) -> None:
    model, expected = vit(), vit()
    for layer, heads in (("blocks.0.attn", [0, 2]), ("blocks.1.attn", [3])):
        for both in (model, expected):
            weight = both.get_submodule(layer).proj.weight  # type: ignore[union-attr]
            with torch.no_grad():
                weight.view(32, 4, 8)[:, heads] *= 1e-3  # type: ignore[operator]
                if both is expected:
                    weight.view(32, 4, 8)[:, heads] = 0  # type: ignore[operator]
    method = HeadPruning(ratio=3 / 8, samples=64)
    before = weigh(subject(model)).evidence
    pruned = method.apply(subject(model), workshop)
    assert [one.num_heads for one in attentions(pruned.model).values()] == [2, 3]
    images = torch.randn(5, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(pruned.model(images), expected(images), rtol=1e-5, atol=1e-6)
    after = weigh(pruned).evidence
    # Each head: 3 * 8 rows of 32 weights and a bias, and 8 columns of 32.
    assert before.parameters - after.parameters == 3 * (24 * 33 + 256)
    assert method.contradictions(before, after) == []
    assert len(method.contradictions(before, before)) == 1


@pytest.mark.parametrize("importance", ["sensitivity", "l2", "random"])
def test_every_layer_keeps_a_head(importance: Any, subject: Any, workshop: Any) -> None:
    pruned = HeadPruning(ratio=0.99, importance=importance, samples=64).apply(subject(vit()), workshop).model
    assert [one.num_heads for one in attentions(pruned).values()] == [1, 1]


def test_trained_transformer_loses_a_quarter_of_its_heads(subject: Any, workshop: Any, weigh: Any, digits: Any) -> None:
    model = vit()
    train(
        model, workshop.data.train, workshop.task,
        Training(epochs=8, batch=50, optimizer="adamw", learning_rate=3e-3), seed=0, progress=workshop.progress,
    )  # fmt: skip
    before = weigh(subject(model)).accuracy(digits)
    method = HeadPruning(ratio=0.25, finetune=Training(epochs=2, optimizer="adamw", learning_rate=5e-4))
    after = weigh(method.apply(subject(model), workshop)).accuracy(digits)
    assert before > 0.5
    assert after > before - 0.05


def test_other_attention_is_refused(subject: Any, workshop: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        layer = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)
    with pytest.raises(MethodError, match="no attention with a `qkv` and a `proj` of its own is left"):
        HeadPruning(ratio=0.5).apply(subject(layer, torch.ones(1, 3, 8)), workshop)
    with pytest.raises(MethodError, match=r"keep: the model has no layer 'blocks\.7'"):
        HeadPruning(ratio=0.5, keep=("blocks.7",)).apply(subject(vit()), workshop)
