"""Detectors of two libraries in one shape: images in, candidates out, and the loss that each library trains with.

A detector takes images of shape (batch, 3, height, width) in 0…1 and returns candidates of shape
(batch, 4 + classes, candidates): centre, width and height in pixels of the input, then a score a class in 0…1.
Its method `detection_loss(images, targets)` takes targets as `harness.boxes` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.boxes import CROWD, EDGES, LABEL

if TYPE_CHECKING:
    import torch


def yolo(network: Any) -> torch.nn.Module:
    """A detection network of ultralytics; its head decodes boxes itself.

    Its loss is the library's: complete overlap of boxes, cross-entropy of classes and of distances (X. Li et al.,
    "Generalized Focal Loss", 2020), on candidates that C. Feng et al., "TOOD", 2021, assign.
    """
    import torch
    from torch import nn
    from ultralytics.nn.modules.block import C2PSA, Attention, C2f

    class Branches(nn.Module):
        """What a `C2f` block computes, with one layer for each branch."""

        def __init__(self, block: Any) -> None:
            super().__init__()
            self.first, self.second = (_half(block.cv1, half) for half in (0, 1))
            self.m, self.cv2 = block.m, block.cv2
            # What the network goes by: its place and its inputs.
            self.i, self.f = block.i, block.f

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            made = [self.first(features), self.second(features)]
            for part in self.m:
                made.append(part(made[-1]))
            merged: torch.Tensor = self.cv2(torch.cat(made, 1))
            return merged

    class Yolo(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            found = self._decoded(images) if self.training else self.network(images)
            candidates: torch.Tensor = found[0] if isinstance(found, tuple) else found
            return candidates

        def _decoded(self, images: torch.Tensor) -> Any:
            """The answer of a network in training: its head alone would leave the boxes undecoded."""
            head = self.network.model[-1]
            # Places that were laid out under inference mode know no gradient.
            head.training, head.shape = False, None
            try:
                return self.network(images)
            finally:
                head.training = True

        def halve_branches(self) -> None:
            """Make two layers of each whose channels are dealt out to two branches: pruners cannot follow the deal."""
            for index, block in enumerate(self.network.model):
                if isinstance(block, C2f) and type(block).forward is C2f.forward:
                    self.network.model[index] = Branches(block)

        def fixed_layers(self) -> set[torch.nn.Module]:
            """Layers that must keep their widths: of the head, of what feeds it, and of attention."""
            head = self.network.model[-1]
            blocks = [head, *(getattr(self.network.model[index], "cv2", self.network.model[index]) for index in head.f)]
            blocks += [part for part in self.network.modules() if isinstance(part, C2PSA | Attention)]
            return {part for block in blocks for part in block.modules()}

        def detection_features(self, images: torch.Tensor) -> list[torch.Tensor]:
            """What the head reads, for what has to follow the layers and not the decoding of boxes."""
            return list(self.network(images)[1]["feats"])

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


def _half(layer: Any, which: int) -> Any:
    """A convolution with its normalization and activation, of half of its outputs."""
    import copy

    import torch

    half, count = copy.deepcopy(layer), layer.conv.out_channels // 2
    kept = slice(which * count, (which + 1) * count)
    half.conv.out_channels = half.bn.num_features = count
    half.conv.weight = torch.nn.Parameter(layer.conv.weight.detach()[kept].clone())
    for name in ("weight", "bias"):
        setattr(half.bn, name, torch.nn.Parameter(getattr(layer.bn, name).detach()[kept].clone()))
    for name in ("running_mean", "running_var"):
        setattr(half.bn, name, getattr(layer.bn, name)[kept].clone())
    return half
