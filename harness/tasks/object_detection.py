"""Object detection: boxes, each with a class and a score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from harness.errors import MethodError, Unmeasurable
from harness.tasks.base import TASKS, Answers, Evaluation, Task
from harness.tasks.logits import divergence_of_chances

if TYPE_CHECKING:
    import torch

    from harness.data.base import Batch

# As detectors are compared: nearly every candidate is kept, boxes that overlap one of their class by more are dropped,
# and COCO looks at a hundred an image.
LEAST, OVERLAP, KEPT = 0.001, 0.7, 100
# As a detector is used: nobody is shown a box of a lower score.
SHOWN = 0.25


@TASKS.register
class ObjectDetection(Task):
    """Which objects are where; models return candidates of shape (batch, 4 + classes, candidates).

    The first four rows are a box's centre, width and height in pixels of the input, the others a score for each class
    in 0…1: what detectors of the YOLO family export. Non-maximum suppression is part of the task and not of the model.
    """

    task: Literal["object-detection"] = "object-detection"
    also: ClassVar[Mapping[str, str]] = {"detection": ""}
    batch: int = 16
    gives: ClassVar[frozenset[str]] = frozenset({"boxes", "scores", "labels"})
    targets: ClassVar[str] = "boxes"

    def answers(self, outputs: tuple[torch.Tensor, ...]) -> dict[str, np.ndarray[Any, Any]]:
        """The detections of each image, the surest first, padded to a hundred.

        Args:
            outputs: candidates first, shape (batch, 4 + classes, candidates).

        Returns:
            ``boxes``: float32, shape (batch, 100, 4): left, top, right, bottom in pixels. ``scores``: float32, shape
            (batch, 100). ``labels``: int16, shape (batch, 100), -1 where there is no further detection.

        Raises:
            Unmeasurable: the output is no tensor of candidates.
        """
        candidates = self._candidates(outputs)
        boxes = np.zeros((len(candidates), KEPT, 4), dtype=np.float32)
        scores = np.zeros((len(candidates), KEPT), dtype=np.float32)
        labels = np.full((len(candidates), KEPT), -1, dtype=np.int16)
        for row, image in enumerate(candidates):
            found = suppressed(image, LEAST)
            count = len(found[0])
            boxes[row, :count], scores[row, :count], labels[row, :count] = (part.numpy() for part in found)
        return {"boxes": boxes, "scores": scores, "labels": labels}

    def parts(self, outputs: Sequence[Any]) -> tuple[Any, ...]:
        """Boxes in pixels, and scores in 0…1; what is no tensor of candidates stays whole."""
        first, *others = outputs
        if first.ndim != 3 or first.shape[1] < 5:
            return tuple(outputs)
        return first[:, :4], first[:, 4:], *others

    def require_classes(self, shapes: Sequence[tuple[int, ...]], classes: Sequence[str], which: str) -> None:
        """As many scores as the data has classes: otherwise score 3 need not mean class 3.

        Raises:
            Unmeasurable: with both numbers and where to give the classes.
        """
        candidates = shapes[0]
        if classes and len(candidates) == 3 and candidates[1] != 4 + len(classes):
            raise Unmeasurable(
                f"the {which} model scores {candidates[1] - 4:,} classes, and the data has {len(classes):,}, so which "
                "score means which class is not known: build the model with as many classes, or list under the data's "
                "`names:` or `classes:` what each score means, in order"
            )

    def loss(self, model: torch.nn.Module, batch: Batch, label_smoothing: float = 0.0) -> torch.Tensor:
        """The loss that the model's own library trains it with, the mean over images.

        Args:
            model: has a method `detection_loss`, as the detectors of `source: ultralytics`, `torchvision` and `zoo` do.
            batch: targets as `harness.boxes` says.
            label_smoothing: none is defined for boxes.

        Raises:
            MethodError: the model brings no loss, or labels were to be smoothed.
        """
        if label_smoothing:
            raise MethodError("object-detection knows no `label_smoothing`: leave it out")
        own = getattr(model, "detection_loss", None)
        if own is None:
            raise MethodError(
                "the model brings no loss to train it as a detector with: `source: ultralytics` and the detectors of "
                "`source: torchvision` do"
            )
        loss: torch.Tensor = own(batch.inputs[0], batch.targets)
        return loss

    def divergence(
        self, student: Any, teacher: Any, temperature: float, *, reverse: bool = False, batch: Batch | None = None
    ) -> torch.Tensor:
        """How far two detectors' candidates are from each other, each counted as surely as the teacher sees an object.

        Every score is a class's chance of its own: the Kullback-Leibler divergences of the softened ones, times the
        square of the temperature, plus the loss of complete overlap of each box (Z. Zheng et al., "Distance-IoU Loss",
        2020) times the teacher's best score there. Both are sums over candidates ÷ the sum of these best scores, as the
        YOLO family weighs its losses; R. Mehta, C. Ozturk, "Object detection at 200 Frames Per Second", 2018, section
        3.2, weighs boxes by the teacher's objectness.

        Raises:
            MethodError: the two have other candidates, as detectors of other strides or anchors do.
        """
        from torchvision.ops import box_convert, complete_box_iou_loss

        if student.shape != teacher.shape:
            raise MethodError(
                f"distillation compares candidate with candidate, and the student gives {tuple(student.shape)} where "
                f"the teacher gives {tuple(teacher.shape)} (batch, 4 + classes, candidates): match features instead"
            )
        best = teacher[:, 4:].amax(dim=1)
        scores = divergence_of_chances(student[:, 4:], teacher[:, 4:], temperature, reverse=reverse).sum()
        ours, theirs = (box_convert(one[:, :4].transpose(1, 2), "cxcywh", "xyxy") for one in (student, teacher))
        boxes = (best * complete_box_iou_loss(ours, theirs)).sum()
        divergence: torch.Tensor = (scores + boxes) / best.sum().clamp(min=1.0)
        return divergence

    def accuracy(self, answers: Answers, targets: np.ndarray[Any, Any]) -> float:
        """Mean average precision at an overlap of 0.5."""
        from harness.tasks.detections import OVERLAPS, average_precision

        images = np.arange(len(targets))
        same = Evaluation(answers, answers, targets, images, [str(one) for one in images], "")
        return average_precision(same, OVERLAPS[:1]).value

    def whole(
        self, run: Callable[[tuple[torch.Tensor, ...]], tuple[torch.Tensor, ...]], inputs: tuple[torch.Tensor, ...]
    ) -> Callable[[], object]:
        """From decoded images to boxes: conversion of bytes to the model's input, the model, suppression.

        Images are bytes of the model's own size, so that nothing is resized; boxes are those that a user is shown, of a
        score of 0.25 or more.
        """
        import torch

        pixels = (inputs[0] * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

        def call() -> object:
            with torch.inference_mode():
                fed = pixels.permute(0, 3, 1, 2).contiguous().float().div_(255)
                return [suppressed(image, SHOWN) for image in self._candidates(run((fed,)))]

        return call

    def _candidates(self, outputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        candidates = outputs[0]
        if candidates.ndim != 3 or candidates.shape[1] < 5:
            raise Unmeasurable(
                "object detection needs candidates of shape (batch, 4 + classes, candidates); the model returned "
                f"{tuple(candidates.shape)}"
            )
        return candidates


def suppressed(candidates: torch.Tensor, least: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Non-maximum suppression, class by class; a box may be kept for several classes.

    Args:
        candidates: of one image, shape (4 + classes, candidates).
        least: candidates of a lower score are dropped.

    Returns:
        At most a hundred boxes of shape (kept, 4), their scores and their classes, the surest first. Candidates of one
        score, which low precision makes common, keep their order.
    """
    import torch
    from torchvision.ops import batched_nms, box_convert

    scores = candidates[4:].t().reshape(-1)
    places = (scores > least).nonzero().squeeze(1)
    scores, order = scores[places].sort(descending=True, stable=True)
    places = places[order]
    classes = candidates.shape[0] - 4
    boxes = box_convert(candidates[:4].t()[places // classes], "cxcywh", "xyxy")
    labels = places % classes
    kept = batched_nms(boxes, scores, labels, OVERLAP)[:KEPT]
    kept = torch.sort(kept).values
    return boxes[kept], scores[kept], labels[kept]
