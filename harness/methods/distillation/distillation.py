"""Distillation from the float model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop
from harness.methods.batch_norm import reestimate
from harness.methods.distillation.matching import Match, Recorder, attention_gap, feature_gap, regressor
from harness.methods.layers import in_float32
from harness.methods.pruning.zeros import kept_zero
from harness.methods.teacher import runnable
from harness.registry import OneOf
from harness.sources.base import SOURCES, Source
from harness.training import Training, task_loss, train

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.data.base import Batch, Split
    from harness.tasks.base import Task

Matches = Annotated[tuple[Match, ...], Field(strict=False)]


@METHODS.register
class Distillation(Method):
    """Train a student on what the float model, its teacher, answers.

    The student is a model of its own (`student`, the first step then), or what the steps before have made of the model,
    which distillation then recovers; zeros stay. The loss is (1 - mix) · the task's loss + mix · T² · KL of the
    softened answers, to which matched features and attention maps may be added.
    G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", 2015; A. Romero et al., "FitNets",
    2015 (in one stage here); S. Zagoruyko, N. Komodakis, "Paying More Attention to Attention", 2017.
    """

    method: Literal["distillation"] = "distillation"
    also: ClassVar[Mapping[str, str]] = {"knowledge-distillation": "", "kd": "", "teacher-student": ""}
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}
    student: Annotated[Source, OneOf(SOURCES)] | None = Field(
        default=None, description="a model to train in place of this one; unset: what the steps before have made of it"
    )
    temperature: float = Field(default=4.0, gt=0, description="T, what both models' logits are divided by")
    mix: float = Field(default=0.9, ge=0, le=1, description="the teacher's share of the loss; the labels have the rest")
    divergence: Literal["forward", "reverse"] = Field(
        default="forward", description="KL from the teacher's distribution to the student's, or the other way"
    )
    features: Matches = Field(
        default=(), description="modules whose outputs are matched through a linear map (FitNets)"
    )
    feature_weight: float = Field(default=1.0, gt=0, description="of each matched pair of features in the loss")
    attention: Matches = Field(default=(), description="modules whose maps of squared activations are matched")
    attention_weight: float = Field(default=1.0, gt=0, description="beta, of each matched pair of maps in the loss")
    train: Training = Field(default=Training(), description="how the student is trained")

    @field_validator("student")
    @classmethod
    def _trainable(cls, student: Source | None) -> Source | None:
        if student is not None and student.gives is not Form.TORCH:
            raise ValueError(
                f"a student has to be a torch module to be trained, and this source gives an {student.gives}"
            )
        return student

    @model_validator(mode="after")
    def _labels_to_smooth(self) -> Distillation:
        if self.mix == 1 and self.train.label_smoothing:
            raise ValueError("train.label_smoothing smooths labels, and `mix: 1` looks at none: leave it out")
        return self

    @property
    def transitions(self) -> Mapping[Form, Form]:
        """A student of its own takes the place of whatever the model is."""
        return self.forms if self.student is None else dict.fromkeys(Form, Form.TORCH)

    @property
    def undoes(self) -> frozenset[Trait]:
        """Everything, where another model takes the place; else values that weights share."""
        return frozenset({Trait.CODEBOOKS}) if self.student is None else frozenset(Trait)

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Load the teacher, and the student if it is named; train; hand on the student."""
        if workshop.reference is None:
            raise MethodError("distillation learns from the float model, and there is none at hand")
        split = workshop.training("distillation trains")
        teacher = runnable(workshop.reference(), self.method)
        student: nn.Module = subject.model if self.student is None else self.student.load(workshop.root)
        in_float32(student, self.method)
        distil(
            student.eval(), teacher, split, workshop.task, self, subject.example,
            seed=workshop.seed, progress=workshop.progress,
        )  # fmt: skip
        if self.student is None:
            reestimate(student, split, batch=self.train.batch_for(workshop.task), seed=workshop.seed)
        return replace(subject, form=Form.TORCH, model=student.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """A student that is named and has as many parameters as its teacher."""
        if self.student is not None and after.parameters >= before.parameters:
            return [f"the student has {after.parameters:,} parameters, and its teacher {before.parameters:,}"]
        return []

    def fingerprint(self, root: Path) -> str:
        """What decides the student."""
        return "" if self.student is None else self.student.fingerprint(root)


def distil(
    student: nn.Module,
    teacher: Callable[..., Any],
    split: Split,
    task: Task,
    options: Distillation,
    example: tuple[torch.Tensor, ...],
    *,
    seed: int,
    progress: Callable[[str], None],
) -> None:
    """Train a student in place.

    Args:
        student: in evaluation mode, and left so.
        teacher: the model to learn from, in evaluation mode; a module where features are matched.
        split: what to train on.
        task: gives the loss of the labels, and the divergence of answers.
        options: of the method.
        example: one batch, for finding the shapes of matched features.
        seed: decides order, augmentation, dropout and the initial maps between features.
        progress: told the epoch and its mean loss.
    """
    import torch

    pairs = (*options.features, *options.attention)
    ours = Recorder(student, [pair.student for pair in pairs], "student")
    theirs = Recorder(teacher, [pair.teacher for pair in pairs], "teacher") if pairs else None  # type: ignore[arg-type]
    with ExitStack() as stack:
        stack.enter_context(ours.listening())
        if theirs is not None:
            stack.enter_context(theirs.listening())
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            student(*example)
            teacher(*example)
            maps = [
                regressor(ours.seen[pair.student], theirs.seen[pair.teacher])
                for pair in options.features
                if theirs is not None
            ]
        pupil = _pupil(student, maps)

        def loss(_: nn.Module, batch: Batch) -> torch.Tensor:
            hard = _hard(pupil, batch, task, options)
            with torch.no_grad():
                answers = teacher(*batch.inputs)
            reverse = options.divergence == "reverse"
            soft = task.divergence(pupil.outputs, answers, options.temperature, reverse=reverse, batch=batch)
            total = (1 - options.mix) * hard + options.mix * soft
            if theirs is None:
                return total
            for pair, regress in zip(options.features, maps, strict=True):
                gap = feature_gap(ours.seen[pair.student], theirs.seen[pair.teacher], regress, batch)
                total = total + options.feature_weight * gap
            for pair in options.attention:
                gap = attention_gap(ours.seen[pair.student], theirs.seen[pair.teacher], batch)
                total = total + options.attention_weight * gap
            return total

        reset = kept_zero(student)
        keep = (lambda _: reset(student)) if options.student is None else None
        train(
            pupil, split, task, options.train,
            seed=seed, progress=progress, after_step=keep, loss=loss, labelled=options.mix < 1,
        )  # fmt: skip


def _hard(pupil: Any, batch: Batch, task: Task, options: Distillation) -> torch.Tensor | float:
    """The loss of the labels; with nothing but the teacher to learn from, the labels are not looked at."""
    pupil.outputs = None
    loss: torch.Tensor | float = 0.0
    if options.mix < 1:
        loss = task_loss(task, options.train.label_smoothing)(pupil, batch)
    if pupil.outputs is None:
        # A detector's own loss is taken on what its head gives before boxes are decoded.
        pupil(*batch.inputs)
    return loss


def _pupil(student: nn.Module, maps: list[nn.Module]) -> Any:
    """The student with the maps that are trained beside it; remembers what it answered last."""
    from torch import nn

    class Pupil(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.student, self.maps = student, nn.ModuleList(maps)
            self.outputs: Any = None

        def forward(self, *inputs: torch.Tensor) -> Any:
            self.outputs = self.student(*inputs)
            return self.outputs

        def detection_loss(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            own = getattr(self.student, "detection_loss", None)
            if own is None:
                raise MethodError("the student brings no loss to train it as a detector with: set `mix: 1`")
            loss: torch.Tensor = own(images, targets)
            return loss

    pupil = Pupil()
    # A student that was loaded for inference asks for no gradient, and is trained whole; so are the maps with it.
    pupil.maps.requires_grad_(any(parameter.requires_grad for parameter in student.parameters()))
    return pupil
