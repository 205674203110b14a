"""The bench of the `measure` stage: both artifacts reloaded in one process, checked, counted, evaluated and timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from harness.code import code_digest
from harness.data.base import Dataset, Split
from harness.errors import DataError, Unmeasurable
from harness.measurement import Timings
from harness.measurement.scores import Scores
from harness.metrics.base import Bench, Comparison, Limits, Phase, Side
from harness.run import probe
from harness.run.answering import Ask, answered, called, evaluate, require_finite
from harness.run.cache import Cache, key_of
from harness.run.environment import software
from harness.run.job import Job
from harness.run.lock import machine
from harness.run.mutation import mutation
from harness.run.reloading import contradictions, counted, digest, noted, reload, repeated
from harness.run.resolution import require_resolution
from harness.run.samples import (
    SAMPLES,
    TARGETS,
    address,
    dataset,
    distinct,
    identities,
    require_named,
    require_paired,
    require_whole,
)
from harness.run.timing import require_processors, sample
from harness.runtimes.base import Runner
from harness.spec.schema import Spec
from harness.tasks.base import TASKS, Answers, Evaluation


class LocalBench(Bench):
    """The bench of one job, in this process."""

    def __init__(self, job: Job, progress: Callable[[str], None]) -> None:
        self._job, self._progress, self._fault = job, progress, mutation(job.mutant)
        self.root = Path(job.root)
        self._folders = {"reference": Path(job.reference), "compressed": Path(job.compressed)}
        # Taken before they are loaded: answers are kept under them.
        self._digests = {side: digest(folder, called(side)) for side, folder in self._folders.items()}
        # To load, compile and probe a model is work as heavy as to evaluate it.
        with self.working():
            self._runners = {side: reload(job.spec, folder, called(side)) for side, folder in self._folders.items()}
            self.reference, self.compressed = noted(self._runners, {side: self._side(side) for side in self._folders})
        self.evaluated: Evaluation | None = None
        # What a report calls the evaluated samples, once a metric asked about them.
        self.names: tuple[str, ...] = ()
        # What both models scored them, once a metric asked for their answers and where the task says so.
        self.scores: Scores | None = None

    def working(self) -> AbstractContextManager[None]:
        """The machine, shared with compressions and evaluations."""
        return machine(alone=False, progress=self._progress)

    @property
    def _spec(self) -> Spec:
        return self._job.spec

    def _side(self, side: str) -> Side:
        return counted(self._runners[side], self._folders[side], self._job.peak_bytes.get(side, ()), self.working)

    def contradictions(self) -> list[str]:
        """Every sentence in which the reloaded artifact contradicts the steps."""
        return contradictions(self._spec, self.reference, self.compressed, self._folders)

    @cached_property
    def _dataset(self) -> Dataset:
        loaded = dataset(self._spec, Path(self._job.root))
        evaluation = loaded.evaluation
        return loaded if evaluation is None else replace(loaded, evaluation=self._fault.split(evaluation))

    def evaluation(self) -> Evaluation:
        """Both models' answers, from the cache where the same artifact answered the same data before."""
        if self.evaluated is not None:
            return self.evaluated
        spec = self._spec
        with self.working():
            split, data = self._asked()
            reference, compressed = (self._answers(side, split, data) for side in ("reference", "compressed"))
        require_paired(reference, compressed, split)
        require_resolution(spec, self._dataset, reference[TARGETS])
        scored = TASKS[spec.task].score
        if scored in reference and scored in compressed:
            self.scores = Scores(reference=reference[scored], compressed=compressed[scored])
        self.evaluated = Evaluation(
            answered(reference), answered(compressed), reference[TARGETS],
            distinct(split.units, reference[SAMPLES]), split.names, data,
        )  # fmt: skip
        return self.evaluated

    def _asked(self) -> tuple[Split, str]:
        """What the models are asked, and its address.

        Raises:
            DataError: there is nothing to ask, it changed since the model was compressed, or samples share a name.
        """
        split, data = self._dataset.evaluation, address(self._spec, Path(self._job.root))
        if split is None or len(split) == 0 or data is None:
            raise DataError("the evaluation split is empty: nothing can be measured on it")
        if self._job.data not in (None, data):
            raise DataError(
                "the data changed after the model was compressed, so that the splits may overlap now: run it again"
            )
        require_named(split)
        self.names = tuple(split.names)
        return split, data

    def _entries(self) -> set[str]:
        """The cache's names of the artifacts that are measured."""
        return {folder.name for folder in self._folders.values()}

    def _answers(self, side: str, split: Split, data: str) -> dict[str, np.ndarray[Any, Any]]:
        spec = self._spec
        task = TASKS[spec.task]
        # What a chain does with a model is the data's.
        code = code_digest(task.__module__, type(spec.deploy).__module__, type(spec.data).__module__, __name__)
        # How texts become tokens is the model's source's: it may cut them at another length, and leave equal weights.
        texts = spec.data is not None and spec.data.texts
        encoding = [spec.model.model_dump(mode="json"), code_digest(type(spec.model).__module__)] if texts else []
        key = key_of(
            "answers", self._digests[side], data, spec.task, spec.deploy.model_dump(mode="json"), spec.deploy.kernels(),
            spec.measure.threads, software(), code, encoding,
        )  # fmt: skip
        cache = Cache(Path(self._job.cache)) if self._job.cache and not self._fault.answers_wrongly else None
        kept = _read(cache.get(key)) if cache else {}
        # What was put under another address, or for fewer samples, is not what was asked for.
        if kept.pop("key", None) == key and all(len(rows) == len(split) for rows in kept.values()):
            return kept
        ask = self._answering(self._runners[side])
        found = evaluate(ask, split, TASKS[spec.task](task=spec.task), called(side), self._progress)
        if side == "compressed":
            found = dict(self._fault.answers(found))
        require_whole(found, split, called(side))
        if address(spec, Path(self._job.root)) != data:
            raise DataError("the data changed while the models were evaluated on it: run it again")
        # A job with a fault in it takes what sound ones left and leaves nothing.
        if cache and not self._job.mutant:
            with cache.put(key, beside=self._entries()) as folder:
                np.savez(folder / "answers.npz", key=np.array(key), **found)  # type: ignore[arg-type]
        return found

    def _answering(self, model: Ask) -> Ask:
        """What answers a sample: the model, or the chain that calls it."""
        chain = self._dataset.chain
        return model if chain is None else partial(chain.run, model)

    def timings(self, batch: int | None, limits: Limits, *, rate: bool = False, whole: bool = False) -> Timings:
        """Alternating blocks of both runners, with the machine to ourselves."""
        size = batch or self._spec.measure.batch
        chained = False
        if whole:
            # Data that was not read yet is no one's to read beside another run that times.
            with self.working():
                chained = self._dataset.chain is not None
        if chained:
            # The noise of calibration, so that what is evaluated stays unseen.
            with self.working():
                begun = repeated(next(self._dataset.calibration.batches(size)).inputs, size)
            return self._sampled(lambda runner: partial(self._answering(runner.serving()), begun), size, limits, rate)
        inputs, _ = probe.read(self._folders["reference"])
        fed, task = repeated(inputs, size), TASKS[self._spec.task](task=self._spec.task)
        calls: dict[bool, Callable[[Runner], Callable[[], object]]] = {
            False: lambda runner: runner.prepared(fed), True: lambda runner: task.whole(runner.serving(), fed),
        }  # fmt: skip
        return self._sampled(calls[whole], size, limits, rate)

    def generation(self, phase: Phase, prompt: int, limits: Limits, *, rate: bool = False) -> Timings:
        """Alternating blocks of both runners on the first tokens of the first text that is long enough."""
        with self.working():
            split = self._dataset.evaluation
            batches = split.batches(1) if split is not None else iter(())
            tokens = next((one.inputs[0] for one in batches if one.inputs[0].shape[1] >= prompt), None)
        if tokens is None:
            raise Unmeasurable(
                f"no evaluation window holds the {prompt} tokens of a prompt: give this budget a smaller `prompt`, or "
                "`data:` a larger `window`"
            )
        begun = tokens[:, :prompt]
        calls: dict[Phase, Callable[[Runner], Callable[[], object]]] = {
            "prefill": lambda runner: runner.prefilling(begun), "decode": lambda runner: runner.decoding(begun),
        }  # fmt: skip
        return self._sampled(calls[phase], prompt if phase == "prefill" else 1, limits, rate)

    def comparison(self, samples: int) -> Comparison:
        """Both models on the first so many evaluation samples, batch by batch side by side."""
        task = TASKS[self._spec.task](task=self._spec.task)
        parts: list[Answers] = []
        done = 0
        with self.working():
            split, data = self._asked()
            if len(split) < samples:
                raise Unmeasurable(
                    f"{samples} samples were to be compared, and there are {len(split)}: give this budget fewer "
                    f"(`windows: {len(split)}`), or `data:` more"
                )
            for batch in split.batches(task.batch):
                self._progress(f"comparing both models, {done} of {samples}")
                sides = [self._runners[side](batch.inputs) for side in ("reference", "compressed")]
                for side, outputs in zip(("reference", "compressed"), sides, strict=True):
                    require_finite(outputs, called(side), done, len(split))
                parts.append({**task.compared(batch, *sides), **identities(batch)})
                done += len(batch.targets)
                if done >= samples:
                    break
        if done < samples:
            raise Unmeasurable(f"{samples} samples were to be compared, and {done} came")
        rows = {name: np.concatenate([part[name] for part in parts])[:samples] for name in parts[0]}
        units = distinct(split.units[:samples], rows[SAMPLES])
        if address(self._spec, Path(self._job.root)) != data:
            raise DataError("the data changed while the models were evaluated on it: run it again")
        return Comparison(answered(rows), rows[TARGETS], units, data)

    def _sampled(
        self, call: Callable[[Runner], Callable[[], object]], size: int, limits: Limits, rate: bool
    ) -> Timings:
        # Said before the machine is waited for.
        require_processors(self._spec.measure.threads)
        # The control is the float model prepared once more: where its buffers lie is part of the noise of a run.
        with self.working():
            reference, compressed, control = (
                call(self._runners[side]) for side in ("reference", "compressed", "reference")
            )
        with machine(alone=True, progress=self._progress):
            return sample(
                reference, self._fault.call(compressed), limits, self._spec.measure, batch=size, rate=rate,
                progress=self._progress, clock=time.perf_counter_ns, control=control, least_s=self._job.least_s,
            )  # fmt: skip


def _read(entry: Path | None) -> dict[str, np.ndarray[Any, Any]]:
    """What an entry of answers holds; nothing where another run has just cleared it away."""
    if entry is None:
        return {}
    try:
        with np.load(entry / "answers.npz") as arrays:
            return dict(arrays)
    except OSError:
        return {}
