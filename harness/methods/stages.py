"""Running calibration data through a model part by part, so that each part sees what the parts before it have become.

A model whose greatest list of blocks runs in a row, as a transformer's does, is walked through block by block, on
hidden states that are kept; any other is run whole for each part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from harness.errors import MethodError

if TYPE_CHECKING:
    from torch import nn

    from harness.data.base import Split

# Caches of keys and values would grow from run to run.
STATEFUL = ("past_key_values", "past_key_value", "layer_past")
# Samples at most that are looked through for layers which not every sample runs, such as those of experts.
SOUGHT = 64


@dataclass(frozen=True)
class Stage:
    """Layers that are looked at in one run of the data.

    Attributes:
        names: of the layers, in the order in which they first run.
        run: feeds the calibration data through whatever holds these layers.
    """

    names: tuple[str, ...]
    run: Callable[[], None]


@dataclass
class _Call:
    """What one block is given for one batch."""

    arguments: tuple[Any, ...]
    options: dict[str, Any]

    def run(self, block: nn.Module) -> Any:
        """What the block answers. Hidden states stay as they were, also where it adds to them in place."""
        hidden, *others = self.arguments
        return block(hidden.clone(), *others, **self.options)


def stages(
    model: nn.Module, layers: Mapping[str, nn.Module], split: Split, batch: int, *, together: bool
) -> Iterator[Stage]:
    """The layers in the order in which they run; what is done to those of a stage reaches the next.

    Args:
        model: in evaluation mode; run without gradients.
        layers: which layers, by name.
        split: calibration samples; texts of one length at a time, for what fills them up is no text.
        batch: samples a run.
        together: the layers of a block are one stage, and not each its own: one run for all of them.

    Raises:
        MethodError: a layer never ran.
    """
    import torch

    def whole() -> None:
        with torch.no_grad():
            for one in split.unpadded(batch):
                model(*one.inputs)

    name, blocks = _blocks(model, layers)
    inside = [f"{name}.{index}." for index in range(len(blocks))]
    order = _order(model, layers, split)
    absent = set(layers) - set(order)
    if absent:
        raise MethodError(f"the layer {min(absent)} never ran on the calibration data")
    calls = _calls(model, blocks, split, batch) if blocks else None
    if calls is None:
        yield from (Stage((one,), whole) for one in order)
        return
    within = {one: next((i for i, part in enumerate(inside) if one.startswith(part)), None) for one in order}
    first = next((place for place, one in enumerate(order) if within[one] is not None), len(order))
    yield from (Stage((one,), whole) for one in order[:first] if within[one] is None)
    if any(within[one] is None for one in order[:first]):
        calls = _calls(model, blocks, split, batch)
        assert calls is not None
    for index, block in enumerate(blocks):
        names = tuple(one for one in order if within[one] == index)

        def run(block: nn.Module = block, some: list[_Call] = calls[index]) -> None:
            with torch.no_grad():
                for call in some:
                    call.run(block)

        yield from [Stage(names, run)] if together and names else [Stage((one,), run) for one in names]
        if index + 1 < len(blocks):
            with torch.no_grad():
                for call, after in zip(calls[index], calls[index + 1], strict=True):
                    hidden = _hidden(call.run(block))
                    after.arguments = (hidden, *after.arguments[1:])
        calls[index].clear()
    yield from (Stage((one,), whole) for one in order[first:] if within[one] is None)


def _blocks(model: nn.Module, layers: Mapping[str, nn.Module]) -> tuple[str, list[nn.Module]]:
    """The list of modules that holds most of the layers, with its name; none where no list holds half of them."""
    from torch import nn

    lists = {name: part for name, part in model.named_modules() if isinstance(part, nn.ModuleList) and name}
    held = {name: sum(one.startswith(f"{name}.") for one in layers) for name in lists}
    best = max(held, key=lambda name: (held[name], -len(name)), default=None)
    if best is None or held[best] * 2 < len(layers) or len(lists[best]) < 2:
        return "", []
    return best, list(lists[best])


def _calls(model: nn.Module, blocks: list[nn.Module], split: Split, batch: int) -> list[list[_Call]] | None:
    """What each block is given for each batch; None where the blocks do not run in a row, each on the last's output."""
    import torch

    calls: list[list[_Call]] = [[] for _ in blocks]
    due, before, chained = 0, None, True

    def note(index: int, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        nonlocal chained
        chained &= index == due and bool(arguments) and isinstance(arguments[0], torch.Tensor)
        chained &= due == 0 or not arguments or arguments[0] is before
        kept = {key: None if key in STATEFUL else value for key, value in options.items()}
        # Only the first block's hidden states are needed: the others' are made anew.
        first = arguments[0].clone() if index == 0 and chained else None
        calls[index].append(_Call((first, *arguments[1:]), kept))

    def pass_on(output: Any) -> None:
        nonlocal due, before
        due, before = (due + 1) % len(blocks), _hidden(output)

    hooks = []
    for index, block in enumerate(blocks):
        hooks.append(
            block.register_forward_pre_hook(
                lambda _, arguments, options, index=index: note(index, arguments, options), with_kwargs=True
            )
        )
        hooks.append(block.register_forward_hook(lambda _, __, output: pass_on(output)))
    batches = 0
    try:
        with torch.no_grad():
            for one in split.unpadded(batch):
                model(*one.inputs)
                batches += 1
    finally:
        for hook in hooks:
            hook.remove()
    return calls if chained and all(len(some) == batches for some in calls) else None


def _hidden(output: Any) -> Any:
    return output[0] if isinstance(output, tuple | list) else output


def _order(model: nn.Module, layers: Mapping[str, nn.Module], split: Split) -> list[str]:
    """The layers that run, in the order in which they do; where one sample does not run them all, by several."""
    import torch

    order: list[str] = []
    ran: dict[str, None] = {}
    hooks = [layer.register_forward_hook(lambda *_, name=name: ran.setdefault(name)) for name, layer in layers.items()]
    try:
        with torch.no_grad():
            for batch in islice(split.batches(1), SOUGHT):
                ran.clear()
                model(*batch.inputs)
                place = 0
                for name in ran:
                    if name not in order:
                        # Behind what ran before it.
                        order.insert(place, name)
                    place = order.index(name) + 1
                if len(order) == len(layers):
                    break
    finally:
        for hook in hooks:
            hook.remove()
    return order
