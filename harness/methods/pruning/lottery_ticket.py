"""Lottery tickets: the sparse network inside a dense one that trains as well from the same start."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop, tied_zeros
from harness.methods.layers import Names
from harness.methods.pruning.masks import Scope, missing_zeros, prunable, prune
from harness.methods.pruning.schedules import rounds
from harness.methods.pruning.zeros import finetune
from harness.training import Training

if TYPE_CHECKING:
    import torch
    from torch import nn

    State = dict[str, torch.Tensor]


@METHODS.register
class LotteryTicket(Method):
    """Find a sparse network that trains from its own start: train, prune by magnitude, rewind, train again, in rounds.

    The given weights are not used: the architecture is initialised anew from the seed, and the ticket is what that
    initialisation holds. Layers are initialised by their own `reset_parameters`.
    J. Frankle, M. Carbin, "The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks", 2019, section 2
    (strategy 1, iterative pruning with resetting); rewinding to an early step: J. Frankle et al., "Linear Mode
    Connectivity and the Lottery Ticket Hypothesis", 2020, section 4. Every training takes the whole course, whichever
    step it starts from.
    """

    method: Literal["lottery-ticket"] = "lottery-ticket"
    also: ClassVar[Mapping[str, str]] = {"lottery": "", "imp": "", "iterative-magnitude-pruning": "", "rewinding": ""}
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    sparsity: float = Field(gt=0, lt=1, description="share of weights that the ticket lacks")
    rounds: int = Field(default=5, ge=1, le=100, description="times the network is trained, pruned and rewound")
    rewind: int = Field(
        default=0, ge=0, description="training step whose weights are returned to; 0 is the initialisation"
    )
    start: Literal["rewound", "random"] = Field(
        default="rewound", description="random: the control, in which the ticket's mask gets another initialisation"
    )
    scope: Scope = Field(default="global", description="the share holds over all layers together, or in each layer")
    keep: Names = Field(default=(), description="layers, or modules with all their layers, to leave alone")
    train: Training = Field(
        default=Training(epochs=4, batch=64, optimizer="adamw", learning_rate=1.2e-3, weight_decay=0.0, warmup=0.0),
        description="each of the trainings, the last included; the default optimizer is that of the paper",
    )

    @property
    def leaves(self) -> frozenset[Trait]:
        """Zeros among the weights."""
        return frozenset({Trait.WORK, Trait.ZEROS, *tied_zeros(self.keep)})

    @property
    def undoes(self) -> frozenset[Trait]:
        """All: the weights are drawn anew."""
        return frozenset(Trait)

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Find the ticket, and train it."""
        model: nn.Module = subject.model
        weights = prunable(model, self.keep, self.method)
        self._require_step(self.train.steps(len(workshop.training(f"{self.method} trains")), workshop.task))
        reinitialise(model, workshop.seed)
        early = _Early(model, self.rewind)
        shares = rounds(self.sparsity, self.rounds, "geometric")
        for index, sparsity in enumerate([0.0, *shares]):
            if index:
                prune(weights, {name: one.detach().abs() for name, one in weights.items()}, sparsity, self.scope)
                gone = {name: one.detach() == 0 for name, one in weights.items()}
                if self.start == "random" and index == self.rounds:
                    reinitialise(model, workshop.seed + 1_000_003)
                else:
                    model.load_state_dict(early.state)
                _clear(weights, gone)
            workshop.progress(f"training {index + 1} of {self.rounds + 1}: {sparsity:.1%} zeros")
            finetune(model, self.train, workshop, asked=self.method, after_step=None if index else early)
            if not index:
                # A training that skips a lone last sample takes a few steps fewer than foreseen; at its end it calls
                # once more.
                self._require_step(early.taken - 1)
        return replace(subject, model=model.eval())

    def _require_step(self, steps: int) -> None:
        if self.rewind > steps:
            raise MethodError(
                f"{self.method}: `rewind: {self.rewind}` is no step of the training, which takes {steps:,}, and "
                "nothing but the initialisation could be returned to: `rewind: 0` says so"
            )

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """Fewer zeros than were asked for, over all layers or in one of them."""
        return missing_zeros(before, after, self.sparsity, self.scope, self.keep)


def reinitialise(model: nn.Module, seed: int) -> None:
    """Draw all weights anew, each layer by its own `reset_parameters`, in the order of the modules.

    Raises:
        MethodError: some parameter belongs to a module that cannot initialise itself.
    """
    import torch

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for name, part in model.named_modules():
            reset = getattr(part, "reset_parameters", None) or getattr(part, "_reset_parameters", None)
            if callable(reset):
                reset()
            elif next(part.parameters(recurse=False), None) is not None:
                raise MethodError(
                    f"the weights of {name or 'the model'} cannot be drawn anew: "
                    f"{type(part).__name__} has no `reset_parameters`"
                )


class _Early:
    """The whole state after a step of the first training: weights and running statistics."""

    def __init__(self, model: nn.Module, step: int) -> None:
        self.step, self.taken = step, 0
        self.state: State = copy.deepcopy(model.state_dict())

    def __call__(self, model: nn.Module) -> None:
        self.taken += 1
        if self.taken == self.step:
            self.state = copy.deepcopy(model.state_dict())


def _clear(weights: Mapping[str, nn.Parameter], gone: Mapping[str, torch.Tensor]) -> None:
    import torch

    with torch.no_grad():
        for name, weight in weights.items():
            weight.masked_fill_(gone[name], 0)
