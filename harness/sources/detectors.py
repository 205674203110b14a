"""Detectors of two libraries in one shape: images in, candidates out, and the loss that each library trains with.

A detector takes images of shape (batch, 3, height, width) in 0…1 and returns candidates of shape
(batch, 4 + classes, candidates): centre, width and height in pixels of the input, then a score a class in 0…1.
Its method `detection_loss(images, targets)` takes targets as `harness.data.boxes` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.data.boxes import CROWD, EDGES, LABEL

if TYPE_CHECKING:
    import torch


def yolo(network: Any) -> torch.nn.Module:
    """A detection network of ultralytics; its head decodes boxes itself.

    Its loss is the library's: complete overlap of boxes, cross-entropy of classes and of distances (X. Li et al.,
    "Generalized Focal Loss", 2020), on candidates that C. Feng et al., "TOOD", 2021, assign.
    """
    import torch
    from torch import nn

    class Yolo(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            found = self.network(images)
            candidates: torch.Tensor = found[0] if isinstance(found, tuple) else found
            return candidates

        def detection_loss(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            real = (targets[:, :, LABEL] >= 0) & (targets[:, :, CROWD] <= 0)
            size = torch.tensor([images.shape[3], images.shape[2]]).repeat(2)
            edges = targets[real][:, EDGES] / size
            batch = {
                "img": images,
                "batch_idx": real.nonzero()[:, 0].float(),
                "cls": targets[real][:, LABEL, None],
                "bboxes": torch.cat([(edges[:, :2] + edges[:, 2:]) / 2, edges[:, 2:] - edges[:, :2]], dim=1),
            }
            parts, _ = self.network.init_criterion()(self.network(images), batch)
            # The library sums over the batch.
            loss: torch.Tensor = parts.sum() / len(images)
            return loss

    return Yolo().eval()


def ssd(network: Any) -> torch.nn.Module:
    """A single-shot detector of torchvision, at its own input size; its suppression is left to the task.

    W. Liu et al., "SSD: Single Shot MultiBox Detector", 2016. The first class of the library is the background, which
    is no class here.
    """
    import torch
    from torch import nn
    from torchvision.models.detection.image_list import ImageList

    width, height = network.transform.fixed_size
    fed = network.transform
    mean, std = (torch.tensor(one).view(1, 3, 1, 1) for one in (fed.image_mean, fed.image_std))
    network.eval()
    with torch.no_grad():
        blank = torch.zeros(1, 3, height, width)
        features = list(network.backbone(blank).values())
        boxes = network.anchor_generator(ImageList(blank, [(height, width)]), features)[0]

    class SingleShot(nn.Module):
        mean: torch.Tensor
        std: torch.Tensor
        anchors: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.network: Any = network
            # Of the architecture, so no file has to hold them.
            for name, values in (("mean", mean), ("std", std), ("anchors", boxes)):
                self.register_buffer(name, values, persistent=False)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            down, across = images.shape[2] / height, images.shape[3] / width
            if (down, across) != (1, 1):
                images = nn.functional.interpolate(images, size=(height, width), mode="bilinear", align_corners=False)
            found = self.network.head(list(self.network.backbone((images - self.mean) / self.std).values()))
            offsets = found["bbox_regression"] / torch.tensor(self.network.box_coder.weights)
            sides = self.anchors[:, 2:] - self.anchors[:, :2]
            centres = (self.anchors[:, :2] + sides / 2 + offsets[..., :2] * sides).clamp(-1e4, 1e4)
            extent = sides * offsets[..., 2:].clamp(max=self.network.box_coder.bbox_xform_clip).exp()
            scale = torch.tensor([across, down])
            scores = found["cls_logits"].softmax(-1)[..., 1:]
            return torch.cat([centres * scale, extent * scale, scores], dim=2).transpose(1, 2)

        def detection_loss(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            real = (targets[:, :, LABEL] >= 0) & (targets[:, :, CROWD] <= 0)
            wanted = [
                {"boxes": rows[kept][:, EDGES], "labels": rows[kept][:, LABEL].long() + 1}
                for rows, kept in zip(targets, real, strict=True)
            ]
            loss: torch.Tensor = torch.stack(list(self.network(list(images), wanted).values())).sum()
            return loss

    return SingleShot().eval()
