"""What fills texts up to one length reaches no statistic that a method takes of its calibration samples."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from harness.artifacts.openvino import layers
from harness.data.base import Batch, Dataset
from harness.data.text import TextSplit
from harness.data.windows import Cut, Documents
from harness.forms import Form, Subject
from harness.lowering import lower
from harness.methods.base import Workshop
from harness.methods.compensation import input_moments
from harness.methods.distillation.matching import Recorder, attention_gap, feature_gap
from harness.methods.low_rank.sites import moments, sites
from harness.methods.pruning.layer_dropping import influences
from harness.methods.pruning.neuron import activity
from harness.methods.pruning.optimal_brain_surgeon import OptimalBrainSurgeon, second_moments
from harness.methods.pruning.wanda import Wanda
from harness.methods.quantization.gptq import Gptq
from harness.methods.quantization.int8_layerwise import _Layer, _Moments, _Targets
from harness.methods.stages import stages
from harness.sources.base import uncut
from harness.tasks.text_classification import TextClassification

TEXTS = ["a fine day", "no", "it rained, and it rained", "yes", "well", "no more of it"]


def letters(texts):
    """A tokenizer of bytes, padded with zeros."""
    longest = max(len(text) for text in texts)
    tokens = torch.tensor([[*text.encode(), *[0] * (longest - len(text))] for text in texts])
    return tokens, (tokens > 0).long()


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(6, 8), nn.Linear(8, 6)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        # Each position sees the mean of the text; what fills up is looked at by none, and has states all the same.
        shown = mask.unsqueeze(-1).to(x.dtype)
        mean = (x * shown).sum(1, keepdim=True) / shown.sum(1, keepdim=True)
        return x + self.down(torch.relu(self.up(x + mean)))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.blocks = nn.Embedding(256, 6), nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(6, 2)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.tokens(tokens)
        for block in self.blocks:
            x = block(x, mask)
        shown = mask.unsqueeze(-1).to(x.dtype)
        return self.head((x * shown).sum(1) / shown.sum(1))  # type: ignore[no-any-return]


def encoder() -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Encoder().eval()


@pytest.fixture
def split() -> TextSplit:
    return TextSplit(TEXTS, torch.tensor([0, 1, 0, 1, 0, 1])).encoded(letters)


def expected(model: Encoder) -> dict[str, torch.Tensor]:
    """Second moments worked out plainly, a text at a time."""
    layers = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in layers}
    hooks = [
        part.register_forward_hook(lambda _, given, __, name=name: seen[name].append(given[0].flatten(0, -2)))
        for name, part in layers.items()
    ]
    with torch.no_grad():
        for text in TEXTS:
            model(*letters([text]))
    for hook in hooks:
        hook.remove()
    rows = {name: torch.cat(some).double() for name, some in seen.items()}
    return {name: one.T @ one for name, one in rows.items()}


def test_second_moments_are_those_of_the_texts_alone(split: TextSplit) -> None:
    model = encoder()
    wanted = expected(model)
    layers = {name: model.get_submodule(name) for name in wanted}
    for stage in stages(model, layers, split, 64, together=False):
        (name,) = stage.names
        found = input_moments(stage.run, {name: layers[name]})[name]  # type: ignore[dict-item]
        torch.testing.assert_close(found, wanted[name], rtol=1e-5, atol=1e-5)
        surgeon = second_moments(stage.run, layers[name])[0]
        torch.testing.assert_close(surgeon[:-1, :-1], wanted[name], rtol=1e-5, atol=1e-5)
        # The last column is a bias's: as many ones as there are letters, or texts where the head looks at them.
        assert int(surgeon[-1, -1]) == (len(TEXTS) if name == "head" else sum(map(len, TEXTS)))


def test_low_rank_factors_are_fitted_to_the_texts_alone(split: TextSplit) -> None:
    model = encoder()
    where = sites(model, letters(TEXTS[:1]))
    found, wanted = moments(model, where, split), expected(model)
    assert found.keys() == wanted.keys()
    for name, one in found.items():
        rows = len(TEXTS) if name == "head" else sum(map(len, TEXTS))
        np.testing.assert_allclose(one.second * rows, wanted[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "method",
    [Gptq(group_size=None, batch=1), Wanda(sparsity=0.5, batch=1), OptimalBrainSurgeon(sparsity=0.5)],
    ids=lambda method: method.method,
)
def test_a_method_does_the_same_whatever_fills_up(method, split: TextSplit) -> None:
    """Texts a batch at a time against texts that come alone."""

    class Alone(TextSplit):
        def unpadded(self, size):
            return self.batches(1)

    made = []
    alone = Alone(split.texts, split.targets, encoder=letters)
    for data, options in ((split, {"batch": 8} if hasattr(method, "batch") else {}), (alone, {})):
        workshop = Workshop(TextClassification(), Dataset(data, None), Path(), 0, lambda _: None)
        subject = Subject(Form.TORCH, encoder(), letters(TEXTS[:1]))
        made.append(method.model_copy(update=options).apply(subject, workshop).model)
    with torch.no_grad():
        ours, theirs = (model(*letters(TEXTS)) for model in made)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_layers_on_openvino_are_fitted_to_the_texts_alone(split: TextSplit) -> None:
    """Texts come in batches of one length, each with places of its own, and no letter is left out."""
    model = encoder()
    rows: dict[str, list[torch.Tensor]] = {}
    hooks = [
        part.register_forward_hook(lambda _, given, __, name=name: rows.setdefault(name, []).append(given[0][0]))
        for name, part in model.named_modules()
        if isinstance(part, nn.Linear) and name != "head"
    ]
    with torch.no_grad():
        for text in TEXTS:
            model(*letters([text]))
    for hook in hooks:
        hook.remove()
    graph = lower(Subject(Form.TORCH, model, letters(TEXTS[:2])), Form.OPENVINO).model
    found = [(node, weight) for node, weight in layers(graph) if node.get_friendly_name() in rows]
    assert {node.get_friendly_name() for node, _ in found} == rows.keys()
    targets = _Targets(graph, [node for node, _ in found], split, 4096)
    for number, (node, weight) in enumerate(found):
        given = torch.cat(rows[node.get_friendly_name()]).double().numpy()
        mean = given.mean(0)
        layer = _Layer(node, weight)
        gathered = _Moments.gather(layer, graph, targets, number)
        np.testing.assert_allclose(gathered.mean_input[0], mean, rtol=1e-4, atol=1e-5)
        # Those of a layer that has a bias are about the mean.
        about = np.outer(mean, mean) if layer.bias is not None else 0.0
        np.testing.assert_allclose(gathered.inputs[0], given.T @ given / len(given) - about, rtol=1e-4, atol=1e-4)
    # Of long texts a few places are drawn, no more than there are in short ones.
    drawn = _Targets(graph, [node for node, _ in found], split, 3).places[0]
    assert sorted(len(one) for one in drawn if one is not None) == [2, 3, 3, 3, 3, 3]


def test_influence_of_a_block_is_taken_on_the_texts_alone(split: TextSplit) -> None:
    together = influences(encoder(), (batch.inputs for batch in split.unpadded(64)))
    assert together == pytest.approx(influences(encoder(), (batch.inputs for batch in split.batches(1))), rel=1e-5)


def test_units_are_active_on_the_texts_alone(split: TextSplit) -> None:
    model = encoder()
    layers = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    workshop = Workshop(TextClassification(), Dataset(split, None), Path(), 0, lambda _: None)
    worth = activity(model, workshop, len(TEXTS))
    answers: dict[str, list[torch.Tensor]] = {name: [] for name in layers}
    for name, layer in layers.items():
        layer.register_forward_hook(lambda _, __, given, name=name: answers[name].append(given.flatten(0, -2)))
    with torch.no_grad():
        for text in TEXTS:
            model(*letters([text]))
    for name, layer in layers.items():
        # All units of a layer, as torch-pruning hands them to an importance.
        group = [(SimpleNamespace(target=SimpleNamespace(module=layer)), list(range(layer.out_features)))]
        torch.testing.assert_close(worth(group), (torch.cat(answers[name]) > 0).float().mean(0))


def test_features_are_matched_on_the_texts_alone(split: TextSplit) -> None:
    models, recorded = (encoder(), encoder()), []
    with torch.no_grad():
        models[1].blocks[0].up.weight.mul_(2)
    for size in (64, 1):
        features, attention, shown = [], [], []
        for batch in split.batches(size):
            seen = _both(models, batch)
            features.append(float(feature_gap(*seen, nn.Identity(), batch)))
            attention.append(float(attention_gap(*seen, batch)))
            shown.append(int(batch.inputs[1].sum()))
        recorded.append((np.average(features, weights=shown), np.mean(attention)))
    assert recorded[0] == pytest.approx(recorded[1], rel=1e-5)
    # With what fills up among them it is another mean.
    whole = feature_gap(*_both(models, next(split.batches(64))), nn.Identity())
    assert float(whole) != pytest.approx(recorded[0][0], rel=0.05)


def _both(models: tuple[Encoder, Encoder], batch: Batch) -> list[torch.Tensor]:
    """What the second block of each model makes of a batch."""
    seen = []
    for model in models:
        recorder = Recorder(model, ["blocks.1"], "student")
        with recorder.listening(), torch.no_grad():
            model(*batch.inputs)
        seen.append(recorder.seen["blocks.1"])
    return seen


def test_unpadded_batches_hold_every_sample_once(split: TextSplit) -> None:
    batches = list(split.unpadded(2))
    assert [batch.inputs[0].shape for batch in batches] == [(1, 2), (1, 3), (1, 4), (1, 10), (1, 13), (1, 24)]
    assert torch.cat([batch.targets for batch in batches]).tolist() == [1, 1, 0, 0, 1, 0]
    pairs = TextSplit(["ab", "c", "de", "fg"], torch.arange(4)).encoded(letters)
    assert [batch.targets.tolist() for batch in pairs.unpadded(2)] == [[1], [0, 2], [3]]
    assert all(bool(batch.inputs[1].all()) for batch in pairs.unpadded(2))


def test_windows_of_one_length_come_together() -> None:
    texts = ["abcdefghij", "ab", "klmnopqrst"]
    windows = Documents(texts, texts, Cut(8)).encoded(uncut(lambda text: [1, *text.encode()]))
    lengths = [len(row.tokens) for row in windows.rows]
    batches = list(windows.unpadded(8))
    assert sorted(lengths) == [
        length for batch in batches for length in [batch.inputs[0].shape[1]] * len(batch.targets)
    ]
    assert len(batches) == len(set(lengths)) < len(lengths)
    assert all(bool((batch.inputs[0] > 0).all()) for batch in batches)
