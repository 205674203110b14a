"""The forms that a model takes on its way to an artifact, and the route through them that a spec asks for.

A method states which forms it accepts and which one it returns for each; a runtime states which it can save. The route
is found when the spec is loaded, so what cannot compose is refused before anything is compressed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from harness.errors import ArtifactError

if TYPE_CHECKING:
    import torch

    # What makes a model's inputs of texts: its tokenizer, with padding.
    Encoder = Callable[[Sequence[str]], tuple[torch.Tensor, ...]]

# Takes outputs, of torch or numpy, apart into what is of one kind and has one range.
Parts = Callable[[Sequence[Any]], tuple[Any, ...]]


class Form(StrEnum):
    """What kind of object a subject's model is; the value is how sentences name it."""

    TORCH = "torch module"
    TORCH_INT8 = "quantized torch module"
    WEIGHT_ONLY = "weight-quantized torch module"
    EXPORTED = "exported program"
    TORCHSCRIPT = "TorchScript program"
    OPENVINO = "OpenVINO model"
    ENCODED = "encoded module"
    PACKED = "packed file"


# How one form becomes another where no method does it; `harness.lowering` holds the function of each edge.
LOWERINGS: Mapping[Form, tuple[Form, ...]] = {
    Form.TORCH: (Form.OPENVINO,),
    Form.EXPORTED: (Form.OPENVINO,),
    Form.WEIGHT_ONLY: (Form.OPENVINO,),
}
# What a lowering counts, where not 1: what a library compresses in its own graph goes before codes written into it.
COSTS: Mapping[Form, int] = {Form.WEIGHT_ONLY: 2}


@dataclass(frozen=True)
class Subject:
    """A model on its way through the steps.

    Attributes:
        form: what `model` is.
        model: the object itself, in evaluation mode.
        example: one batch of inputs, for tracing: each a tensor whose first axis is the batch.
        parts: takes its outputs apart where they are compared, each part by its own range; whole if left out.
    """

    form: Form
    model: Any
    example: tuple[torch.Tensor, ...]
    parts: Parts = tuple


def tensors(outputs: object) -> tuple[torch.Tensor, ...]:
    """What a model returned, as a flat tuple: of tuples, lists and dicts the parts in order.

    Raises:
        ArtifactError: something in it is no tensor.
    """
    import torch

    if isinstance(outputs, torch.Tensor):
        return (outputs,)
    if isinstance(outputs, dict):
        outputs = tuple(outputs.values())
    if isinstance(outputs, list | tuple):
        return tuple(tensor for part in outputs for tensor in tensors(part))
    raise ArtifactError(f"the model gives a {type(outputs).__name__}, where tensors were expected")


# What a stop returns for a form: one form, or one of several, of which the route takes the one that fits.
Returned = Form | tuple[Form, ...]


def choices(returned: Returned) -> tuple[Form, ...]:
    """The forms that a stop may return."""
    return returned if isinstance(returned, tuple) else (returned,)


@dataclass(frozen=True)
class Stop:
    """One place that a model passes through: a step of the spec, or the runtime at the end.

    Attributes:
        name: how sentences name it, for example ``step 2 (int8-static)``.
        forms: accepted form → returned form, or the forms of which it may be any.
    """

    name: str
    forms: Mapping[Form, Returned]


def route(start: Form, stops: Sequence[Stop]) -> tuple[Form, ...]:
    """The form in which each stop receives the model; lowered as seldom and as late as possible.

    Returns:
        One form a stop, in order.

    Raises:
        ValueError: the stops do not compose; the message is a sentence that says where and why.
    """
    # Every reachable form with its cheapest history: (lowerings so far, the forms received).
    reached: dict[Form, tuple[int, tuple[Form, ...]]] = {start: (0, ())}
    before = "the source"
    for stop in stops:
        onward: dict[Form, tuple[int, tuple[Form, ...]]] = {}
        for form, (cost, history) in reached.items():
            for extra, entry in enumerate((form, *LOWERINGS.get(form, ()))):
                if entry not in stop.forms:
                    continue
                total = cost + (COSTS.get(form, 1) if extra else 0)
                for leaving in choices(stop.forms[entry]):
                    if leaving not in onward or total < onward[leaving][0]:
                        onward[leaving] = (total, (*history, entry))
        if not onward:
            left = " or ".join(sorted(f"a{'n' if form[0] in 'eO' else ''} {form}" for form in reached))
            takes = ", ".join(sorted(stop.forms)) or "nothing"
            raise ValueError(f"{stop.name} takes {takes}, but {before} gives {left}")
        reached, before = onward, stop.name
    return min(reached.values())[1]
