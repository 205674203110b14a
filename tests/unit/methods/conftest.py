from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from harness.data.base import Dataset
from harness.data.digits import Digits
from harness.forms import Form, Subject
from harness.methods.base import Workshop
from harness.runtimes.base import Runner
from harness.runtimes.torch import FILE, Torch
from harness.sources.zoo import Zoo
from harness.tasks.image_classification import ImageClassification


class Weighed:
    """An artifact of the torch runtime, reloaded."""

    def __init__(self, folder: Path) -> None:
        self.bytes = (folder / FILE).stat().st_size
        self.content = (folder / FILE).read_bytes()
        self.runner: Runner = Torch().load(folder, threads=1)
        self.evidence = self.runner.evidence()

    def accuracy(self, data: Dataset) -> float:
        assert data.evaluation is not None
        right = sum(
            int((self.runner(batch.inputs)[0].argmax(1) == batch.targets).sum())
            for batch in data.evaluation.batches(64)
        )
        return right / len(data.evaluation)


@pytest.fixture
def process_state() -> Iterator[None]:
    """Holds a method to leaving the process as it was; loading an artifact sets threads and engine, and is undone."""
    threads, engine, before = torch.get_num_threads(), torch.backends.quantized.engine, torch.random.get_rng_state()
    yield
    assert torch.equal(before, torch.random.get_rng_state()), "the global generator was drawn from"
    torch.set_num_threads(threads)
    torch.backends.quantized.engine = engine


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return Digits().load(Path())


@pytest.fixture
def workshop(digits: Dataset) -> Workshop:
    return Workshop(ImageClassification(), digits.without_evaluation(), Path(), 0, lambda _: None)


@pytest.fixture
def other_seed(workshop: Workshop) -> Workshop:
    return replace(workshop, seed=1)


@pytest.fixture
def subject(digits: Dataset, process_state: None) -> Callable[..., Subject]:
    """A zoo model, or a module of the test's own, ready to be compressed; each call gives a fresh one."""

    def make(model: str | nn.Module = "lenet5-digits", example: torch.Tensor | None = None) -> Subject:
        inputs = next(digits.calibration.batches(1)).inputs if example is None else (example,)
        module = Zoo(name=model).load(Path()) if isinstance(model, str) else model
        return Subject(Form.TORCH, module.eval(), inputs)

    return make


@pytest.fixture
def weigh(tmp_path: Path) -> Callable[[Subject], Weighed]:
    """Save a subject by the torch runtime, and reload it."""
    made = iter(range(100))

    def write(subject: Subject) -> Weighed:
        folder = tmp_path / f"artifact{next(made)}"
        folder.mkdir()
        Torch().save(subject, folder)
        return Weighed(folder)

    return write
