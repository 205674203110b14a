"""Calibration data, walked through a model block by block."""

import pytest
import torch
from torch import nn

from harness.data.base import TensorSplit
from harness.errors import MethodError
from harness.methods.compensation import input_moments
from harness.methods.stages import stages


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(6, 10), nn.Linear(10, 6)

    def forward(self, hidden: torch.Tensor, scale: torch.Tensor, past_key_values: list[int] | None = None):
        if past_key_values is not None:
            past_key_values.append(1)
        return (hidden + self.down(torch.relu(self.up(hidden * scale))), None)


class Blocks(nn.Module):
    def __init__(self, *, skip: bool = False) -> None:
        super().__init__()
        self.first, self.last, self.skip = nn.Linear(4, 6), nn.Linear(6, 3), skip
        self.blocks = nn.ModuleList([Block() for _ in range(3)])
        self.cache: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = start = self.first(x)
        for index, block in enumerate(self.blocks):
            # Each block has arguments of its own, as Gemma's have masks and rotations.
            hidden = block(start if self.skip else hidden, scale=torch.tensor(1.0 + index), past_key_values=self.cache)[
                0
            ]
        out: torch.Tensor = self.last(hidden)
        return out


@pytest.fixture
def split() -> TensorSplit:
    return TensorSplit(torch.randn(10, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(10))


def made(**options: bool) -> Blocks:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Blocks(**options).eval()


def linear(model: nn.Module) -> dict[str, nn.Linear]:
    return {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}


@pytest.mark.parametrize("together", [True, False])
def test_blocks_see_what_the_whole_model_gives_them(split: TensorSplit, *, together: bool) -> None:
    """Block by block, with each layer changed in its turn, against running the whole changed model every time."""
    walked, plain = made(), made()
    layers, twins = linear(walked), linear(plain)
    order = []
    for stage in stages(walked, layers, split, 4, together=together):
        found = input_moments(stage.run, {name: layers[name] for name in stage.names})
        whole = input_moments(
            lambda: [plain(batch.inputs[0]) for batch in split.batches(4)], {name: twins[name] for name in stage.names}
        )
        for name in stage.names:
            torch.testing.assert_close(found[name], whole[name], rtol=1e-5, atol=1e-5)
            with torch.no_grad():
                layers[name].weight *= 0.5
                twins[name].weight *= 0.5
        order.append(stage.names)
    names = [f"blocks.{index}.{part}" for index in range(3) for part in ("up", "down")]
    pairs = [tuple(names[at : at + 2]) for at in (0, 2, 4)] if together else [(name,) for name in names]
    assert order == [("first",), *pairs, ("last",)]


def test_blocks_that_do_not_run_in_a_row_are_run_with_the_whole_model(split: TensorSplit) -> None:
    model = made(skip=True)
    found = list(stages(model, linear(model), split, 4, together=True))
    assert all(len(stage.names) == 1 for stage in found)
    assert len(found) == 8


def test_caches_of_a_model_do_not_grow_by_running_a_block(split: TensorSplit) -> None:
    model = made()
    inside = {name: layer for name, layer in linear(model).items() if "blocks" in name}
    for stage in stages(model, inside, split, 5, together=True):
        before = len(model.cache)
        stage.run()
        assert len(model.cache) == before


def test_a_layer_that_never_runs_is_named(split: TensorSplit) -> None:
    model = made()
    model.spare = nn.Linear(2, 2)
    with pytest.raises(MethodError, match="the layer spare never ran on the calibration data"):
        next(stages(model, linear(model), split, 4, together=True))


class Routed(nn.Module):
    """One of two layers between two others, by the sign of a sample's first number."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.plus, self.minus, self.first = (nn.Linear(4, 4) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden, sent = self.first(x), x[:, :1] > 0
        answers: torch.Tensor = torch.zeros_like(hidden)
        for expert, here in ((self.plus, sent), (self.minus, ~sent)):
            if here.any():
                answers = answers + expert(hidden) * here
        return self.last(answers)  # type: ignore[no-any-return]


@pytest.mark.parametrize("turned", [1, -1])
def test_layers_that_the_first_sample_does_not_run_are_found_in_their_place(turned: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Routed().eval()
    inputs = torch.ones(6, 4)
    inputs[4] = -1
    split = TensorSplit(inputs * turned, torch.zeros(6))
    names = [one for stage in stages(model, linear(model), split, 6, together=True) for one in stage.names]
    assert set(names) == {"first", "plus", "minus", "last"}
    assert (names[0], names[-1]) == ("first", "last")
    never = TensorSplit(torch.full((100, 4), float(turned)), torch.zeros(100))
    with pytest.raises(MethodError, match=f"the layer {'minus' if turned > 0 else 'plus'} never ran"):
        next(stages(model, linear(model), never, 6, together=True))


class InPlace(nn.Module):
    """Adds to its hidden states in place, before either of its layers and after."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        hidden += 0.5
        hidden += torch.relu(self.up(hidden))
        hidden += self.down(hidden)
        return hidden


class AllInPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.blocks = nn.Linear(4, 6), nn.ModuleList([InPlace() for _ in range(3)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.first(x)
        for block in self.blocks:
            hidden = block(hidden)
        return hidden


def test_what_is_added_in_place_reaches_the_moments_and_is_added_once(split: TensorSplit) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AllInPlace().eval()
    layers = linear(model)
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in layers}
    hooks = [
        layer.register_forward_pre_hook(lambda _, given, name=name: seen[name].append(given[0].clone().double()))
        for name, layer in layers.items()
    ]
    with torch.no_grad():
        model(split.inputs)
    for hook in hooks:
        hook.remove()
    stage_names = []
    for stage in stages(model, layers, split, 4, together=True):
        stage_names.append(stage.names)
        for name, found in input_moments(stage.run, {name: layers[name] for name in stage.names}).items():
            (given,) = seen[name]
            torch.testing.assert_close(found, given.T @ given, rtol=1e-5, atol=1e-5)
    assert ("blocks.1.up", "blocks.1.down") in stage_names
