import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from harness.data.base import Dataset, TensorSplit
from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import Workshop
from harness.methods.distillation.distillation import Distillation, distil
from harness.methods.distillation.matching import Match
from harness.methods.pruning.magnitude import MagnitudePruning
from harness.sources.python import Python
from harness.sources.zoo import Zoo
from harness.tasks.classification import Classification
from harness.tasks.image_classification import ImageClassification
from harness.tasks.sentence_similarity import SentenceSimilarity
from harness.training import Training, train

SMALL = Python(factory="harness.zoo.lenet:lenet5", arguments={"image_size": 32, "convolutions": [3, 6], "hidden": [24]})
ONCE = Training(epochs=1)


@pytest.fixture
def few(workshop: Workshop, subject: Callable[..., Subject]) -> Workshop:
    """A few samples to train on, and the float model as the teacher."""
    assert workshop.data is not None
    assert isinstance(workshop.data.train, TensorSplit)
    some = TensorSplit(workshop.data.train.inputs[:192], workshop.data.train.targets[:192])
    return replace(workshop, data=Dataset(workshop.data.calibration, None, some), reference=subject)


def weights(model: Any) -> torch.Tensor:
    return torch.cat([one.detach().flatten() for one in model.parameters()])


def shuffled(workshop: Workshop) -> Workshop:
    assert workshop.data is not None
    some = workshop.data.train
    assert isinstance(some, TensorSplit)
    return replace(workshop, data=replace(workshop.data, train=TensorSplit(some.inputs, some.targets.flip(0))))


def test_without_a_share_of_the_teacher_it_is_plain_training(few: Workshop, subject: Any) -> None:
    distilled = Distillation(student=SMALL, mix=0.0, train=ONCE).apply(subject(), few)
    alone = SMALL.load(Path())
    assert few.data is not None
    assert few.data.train is not None
    train(alone, few.data.train, ImageClassification(), ONCE, seed=0, progress=lambda _: None)
    assert torch.equal(weights(distilled.model), weights(alone))


def test_with_nothing_but_the_teacher_labels_do_not_matter(few: Workshop, subject: Any) -> None:
    method = Distillation(student=SMALL, mix=1.0, train=ONCE)
    one, other = (method.apply(subject(), each).model for each in (few, shuffled(few)))
    assert torch.equal(weights(one), weights(other))
    mixed = [Distillation(student=SMALL, mix=0.5, train=ONCE).apply(subject(), x).model for x in (few, shuffled(few))]
    assert not torch.equal(weights(mixed[0]), weights(mixed[1]))


def test_the_student_takes_the_place_of_the_model(few: Workshop, subject: Any, weigh: Any) -> None:
    method = Distillation(student=SMALL, train=Training(epochs=20, optimizer="adamw", learning_rate=5e-3))
    before, after = weigh(subject()), weigh(method.apply(subject(), few))
    # 3·25 + 3, 3·6·25 + 6, 150·24 + 24, 24·10 + 10
    assert (before.evidence.parameters, after.evidence.parameters) == (61_706, 4_408)
    assert method.contradictions(before.evidence, after.evidence) == []
    data = few.data
    assert data is not None
    assert after.accuracy(replace(data, evaluation=data.train)) > 0.8
    assert method.contradictions(after.evidence, before.evidence) == [
        "the student has 61,706 parameters, and its teacher 4,408"
    ]


def test_the_teacher_and_the_global_state_stay_as_they_are(few: Workshop, subject: Any) -> None:
    teacher = subject()
    before = weights(teacher.model).clone()
    method = Distillation(
        student=SMALL,
        train=ONCE,
        features=(Match(teacher="conv2", student="conv2"), Match(teacher="fc1", student="fc1")),
        attention=(Match(teacher="relu1", student="relu1"),),
    )
    one, again = (method.apply(subject(), replace(few, reference=lambda: teacher)).model for _ in range(2))
    assert torch.equal(weights(one), weights(again))
    assert torch.equal(before, weights(teacher.model))
    # The maps between features are gone, and so are the hooks.
    assert sum(one.numel() for one in one.parameters()) == 4_408
    assert not any(module._forward_hooks for model in (one, teacher.model) for module in model.modules())
    plain = Distillation(student=SMALL, train=ONCE).apply(subject(), few).model
    assert not torch.equal(weights(plain), weights(one))


def test_matching_features_brings_them_together(few: Workshop, subject: Any) -> None:
    from harness.methods.distillation.matching import attention_gap

    assert few.data is not None
    inputs = next(few.data.calibration.batches(64)).inputs[0]
    gaps = []
    for weight in (None, 10.0):
        matched = () if weight is None else (Match(teacher="relu2", student="relu2"),)
        method = Distillation(
            student=SMALL,
            attention=matched,
            attention_weight=weight or 1.0,
            train=Training(epochs=5, learning_rate=0.02),
        )
        student = method.apply(subject(), few).model
        with torch.no_grad():
            maps = [model[:5](inputs) for model in (student, subject().model)]
        gaps.append(attention_gap(*maps).item())
    assert gaps[1] < 0.8 * gaps[0]


def test_a_pruned_model_is_recovered_and_its_zeros_stay(few: Workshop, subject: Any) -> None:
    pruned = MagnitudePruning(sparsity=0.9).apply(subject(), few)
    zeros = weights(pruned.model) == 0
    assert few.data is not None
    inputs = next(few.data.calibration.batches(128)).inputs[0]

    def gap(model: Any) -> float:
        with torch.no_grad():
            return ImageClassification().divergence(model(inputs), subject().model(inputs), 1.0).item()

    before = gap(pruned.model)
    recovered = Distillation(train=Training(epochs=4)).apply(pruned, few)
    assert gap(recovered.model) < 0.5 * before
    assert torch.equal(weights(recovered.model)[zeros], torch.zeros(int(zeros.sum())))


def test_what_it_lacks_is_said(few: Workshop, subject: Any) -> None:
    method = Distillation(student=SMALL)
    with pytest.raises(MethodError, match="there is none at hand"):
        method.apply(subject(), replace(few, reference=None))
    with pytest.raises(MethodError, match="needs data with a training split"):
        method.apply(subject(), replace(few, data=None))
    with pytest.raises(MethodError, match=r"cannot learn from this form of model \(OpenVINO model\)"):
        method.apply(subject(), replace(few, reference=lambda: replace(subject(), form=Form.OPENVINO)))
    unknown = Distillation(student=SMALL, attention=(Match(teacher="relu9", student="relu1"),))
    with pytest.raises(MethodError, match=r"the teacher has no module 'relu9'\. Did you mean"):
        unknown.apply(subject(), few)
    with pytest.raises(ValidationError, match=r"this source gives an exported program"):
        Distillation.model_validate(
            {"student": {"source": "file", "path": "x.pt2", "trust": True}, "train": {"epochs": 1}}
        )


def test_weights_of_the_student_decide_its_address(tmp_path: Path) -> None:
    shutil.copytree("models/lenet5-digits", tmp_path / "m")
    path = tmp_path / "m" / "weights.safetensors"
    method = Distillation(student=SMALL.model_copy(update={"weights": "m/weights.safetensors"}))
    before = method.fingerprint(tmp_path)
    path.write_bytes(path.read_bytes() + b" ")
    assert method.fingerprint(tmp_path) != before
    assert Distillation().fingerprint(tmp_path) == ""


def test_a_task_without_a_divergence_says_so() -> None:
    from harness.tasks.base import Task

    with pytest.raises(MethodError, match="image-classification has no divergence between two models' outputs"):
        Task.divergence(ImageClassification(), None, None, 1.0)


def test_evidence_of_a_recovery_is_not_bound_to_a_size() -> None:
    counts = Evidence(operators={}, tensors=())
    assert Distillation().contradictions(counts, counts) == []
    assert Zoo(name="lenet5-digits").gives is Form.TORCH


def test_embeddings_are_learned_where_there_are_no_labels() -> None:
    """A task without a loss has a divergence all the same: a student of a linear teacher reaches it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        teacher, student = torch.nn.Linear(6, 4).eval(), torch.nn.Linear(6, 4).eval()
        inputs = torch.randn(64, 6)
    split, task = TensorSplit(inputs, torch.zeros(64)), SentenceSimilarity()
    training = Training(epochs=60, batch=16, optimizer="adamw", learning_rate=0.05, weight_decay=0.0)

    def gap() -> float:
        with torch.no_grad():
            return task.divergence(student(inputs), teacher(inputs), 1.0).item()

    with torch.no_grad():
        expected = (student(inputs) - teacher(inputs)).square().mean().item()
    assert gap() == pytest.approx(expected)
    with pytest.raises(MethodError, match="has no loss to train with"):
        distil(student, teacher, split, task, Distillation(train=training), (inputs[:1],), seed=0, progress=print)
    options = Distillation(mix=1.0, train=training)
    distil(student, teacher, split, task, options, (inputs[:1],), seed=0, progress=lambda _: None)
    assert gap() < 1e-3 * expected


class Boxes(Classification):
    """A task whose targets would have to move with the images."""

    task: str = "object-detection"


def test_images_are_moved_where_nothing_but_the_teachers_answers_to_them_count(few: Workshop, subject: Any) -> None:
    here, moved = replace(few, task=Boxes()), Training(augment="affine")
    Distillation(student=SMALL, mix=1.0, train=moved).apply(subject(), here)
    with pytest.raises(MethodError, match="moves images and not what object-detection is to find in them"):
        Distillation(student=SMALL, mix=0.9, train=moved).apply(subject(), here)


def test_labels_that_nothing_looks_at_cannot_be_smoothed() -> None:
    smoothed = Training(label_smoothing=0.1)
    with pytest.raises(ValidationError, match=r"smooths labels, and `mix: 1` looks at none: leave it out"):
        Distillation(mix=1.0, train=smoothed)
    assert Distillation(mix=0.9, train=smoothed).train.label_smoothing == 0.1
