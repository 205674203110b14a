from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.errors import ArtifactError, Unmeasurable
from harness.forms import Form, Subject
from harness.run import probe
from harness.tasks.object_detection import ObjectDetection

torch = pytest.importorskip("torch")

INPUTS = (torch.randn(4, 3, generator=torch.Generator().manual_seed(0)),)


def noisy(amplitude: float) -> torch.nn.Module:
    class Noisy(torch.nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values + amplitude * values.abs().max() * torch.randn(values.shape)

    return Noisy()


def asked_twice(model: torch.nn.Module) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        subject = Subject(Form.TORCH, model, INPUTS)
        probe.require_repeatable(probe.answers(subject, INPUTS), probe.answers(subject, INPUTS), "float")


def test_a_model_that_draws_at_random_is_refused_and_rounding_is_not() -> None:
    asked_twice(torch.nn.Linear(3, 3).eval())
    asked_twice(noisy(1e-6))
    with pytest.raises(Unmeasurable, match=r"float model gives different outputs for the same .* Is dropout left on"):
        asked_twice(torch.nn.Dropout(0.2).train())
    with pytest.raises(Unmeasurable, match="different outputs for the same input"):
        asked_twice(noisy(0.01))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_not_repeatable(value: float) -> None:
    with np.errstate(invalid="ignore"), pytest.raises(Unmeasurable, match="different outputs for the same input"):
        probe.require_repeatable([np.array([1.0, value])], [np.array([1.0, value])], "float")


def test_a_reloaded_artifact_is_held_to_what_was_saved(tmp_path: Path) -> None:
    outputs = [np.array([[1.0, -2.0], [0.5, 4.0]])]
    probe.write(tmp_path, INPUTS, outputs)
    batch, saved = probe.read(tmp_path)
    assert torch.equal(batch[0], INPUTS[0])
    probe.compare(saved, [outputs[0] + 0.039], "compressed")  # 1 % of the range of 4 is 0.04
    with pytest.raises(ArtifactError, match=r"the reloaded compressed artifact gives other outputs .* off by 1\.1%"):
        probe.compare(saved, [outputs[0] + 0.044], "compressed")
    with pytest.raises(ArtifactError, match=r"gives outputs of shapes \[\(2, 3\)\], the saved model \[\(2, 2\)\]"):
        probe.compare(saved, [np.zeros((2, 3))], "compressed")
    with pytest.raises(ArtifactError, match="off by nan"):
        probe.compare(saved, [np.full((2, 2), np.nan)], "compressed")


DETECT = ObjectDetection().parts


def candidates(scores: np.ndarray) -> list[np.ndarray]:
    """Eight boxes on an image of 640 pixels, with scores for two classes."""
    boxes = np.random.default_rng(0).uniform(10, 640, (1, 4, 8))
    return [np.concatenate([boxes, scores], axis=1).astype(np.float32)]


SCORES = np.random.default_rng(1).uniform(0.01, 0.9, (1, 2, 8))


def test_scores_that_are_lost_beside_boxes_in_pixels_are_told() -> None:
    """6.4 of a hundredth of the range of the boxes, which is six times all that scores can be."""
    probe.compare(candidates(SCORES), candidates(SCORES + 0.008), "compressed", DETECT)
    for lost in (np.zeros_like(SCORES), SCORES[:, ::-1]):
        with pytest.raises(ArtifactError, match="gives other outputs than the model that was saved: off by"):
            probe.compare(candidates(SCORES), candidates(lost), "compressed", DETECT)
    shifted = candidates(SCORES)[0]
    shifted[:, :4] += 7
    with pytest.raises(ArtifactError, match=r"off by 1\.\d%"):
        probe.compare(candidates(SCORES), [shifted], "compressed", DETECT)


def test_scores_that_are_drawn_anew_beside_boxes_in_pixels_are_not_repeatable() -> None:
    probe.require_repeatable(candidates(SCORES), candidates(SCORES + 1e-5), "float", DETECT)
    with pytest.raises(Unmeasurable, match=r"different outputs for the same input \(off by 5\.\d%"):
        probe.require_repeatable(candidates(SCORES), candidates(SCORES + 0.05), "float", DETECT)


def test_answers_that_are_gone_are_told_from_a_broken_worker(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is not beside its artifact any more"):
        probe.read(tmp_path)


def test_more_than_ten_outputs_keep_their_order(tmp_path: Path) -> None:
    outputs = [np.full((4, 1), float(index)) for index in range(12)]
    probe.write(tmp_path, INPUTS, outputs)
    assert [array[0, 0] for array in probe.read(tmp_path)[1]] == list(range(12))
