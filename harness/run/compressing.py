"""The `compress` stage: the float model and the compressed one, each written as an artifact through the same export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.base import Dataset
from harness.errors import Unforeseen, WeighinError
from harness.forms import Form, Subject
from harness.methods.base import Workshop
from harness.run import probe
from harness.run.job import Job
from harness.run.lock import machine
from harness.run.resolution import require_resolution
from harness.run.samples import dataset
from harness.spec.schema import Spec
from harness.spec.semantics import planned
from harness.tasks.base import TASKS, Task

if TYPE_CHECKING:
    import torch

ARTIFACT = "artifact"


def compress(job: Job, progress: Callable[[str], None]) -> None:
    """Load, save the float artifact, take every step, save the compressed artifact. Skips what is there already."""
    with machine(alone=False, progress=progress):
        _compress(job, progress)


def _compress(job: Job, progress: Callable[[str], None]) -> None:
    spec, root = job.spec, Path(job.root)
    task = TASKS[spec.task](task=spec.task)
    spec.model.prepare(root, progress)
    progress("reading data")
    data = dataset(spec, root).checked()
    for note in data.notes:
        progress(note)
    require_resolution(spec, data)
    progress("loading the model")
    source, model = spec.model.gives, spec.model.load(root)
    if data.chain is not None:
        progress("collecting what the model is fed on the way")
        start = next(data.calibration.batches(1)).inputs
        fed = data.chain.visited(probe.call(Subject(source, model, start)), data.calibration, len(data.calibration))
        data = replace(data, calibration=fed)
    subject = Subject(source, model, _example(data, task))
    probe_inputs = task.excerpt(probe.inputs(data.calibration))
    reference, compressed = Path(job.reference), Path(job.compressed)
    if not (reference / ARTIFACT).exists():
        progress("writing the float artifact")
        float_subject = _lowered(subject, _arrival(spec, source))
        _save(spec, float_subject, reference, probe_inputs, data.classes, "float")
    if (compressed / ARTIFACT).exists():
        return
    workshop = Workshop(
        task=task,
        data=data.without_evaluation(),
        root=root,
        seed=spec.measure.seed,
        progress=progress,
        reference=lambda: Subject(source, spec.model.load(root), _example(data, task)),
    )
    forms = planned(spec)
    for index, (step, form) in enumerate(zip(spec.compress, forms, strict=False), 1):
        name = f"step {index} of {len(spec.compress)}: {step.method}"
        progress(name)
        within = replace(workshop, progress=_prefixed(progress, name))
        try:
            subject = step.apply(_lowered(subject, form), within)
        except WeighinError:
            raise
        except (RuntimeError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
            raise Unforeseen(f"{name}: {type(error).__name__}: {error}") from error
    progress("writing the compressed artifact")
    _save(spec, _lowered(subject, forms[-1]), compressed, probe_inputs, data.classes, "compressed")


def _prefixed(progress: Callable[[str], None], name: str) -> Callable[[str], None]:
    return lambda text: progress(f"{name}, {text}")


def _example(data: Dataset, task: Task) -> tuple[torch.Tensor, ...]:
    return task.excerpt(next(data.calibration.batches(1)).inputs)


def _arrival(spec: Spec, source: Form) -> Form:
    """The form in which the float model reaches the runtime."""
    from harness.forms import Stop, route

    return route(source, [Stop(spec.deploy.runtime, {form: form for form in spec.deploy.saves})])[-1]


def _lowered(subject: Subject, form: Form) -> Subject:
    if subject.form == form:
        return subject
    from harness.lowering import lower

    return lower(subject, form)


def _save(
    spec: Spec, subject: Subject, folder: Path, inputs: tuple[torch.Tensor, ...], classes: Sequence[str], which: str
) -> None:
    """Write the artifact and, beside it, what the object in memory answers to the probe.

    Raises:
        Unmeasurable: the answers cannot be repeated, or are not what the task and its classes ask for.
    """
    task = TASKS[spec.task](task=spec.task)
    outputs = probe.answers(subject, inputs)
    one = tuple(part[:1] for part in inputs)
    probe.require_repeatable([part[:1] for part in outputs], probe.answers(subject, one), which, task.parts)
    task.require_classes([part.shape for part in outputs], classes, which)
    artifact = folder / ARTIFACT
    artifact.mkdir(parents=True)
    probe.write(folder, inputs, outputs)
    spec.deploy.save(replace(subject, parts=task.parts), artifact)
