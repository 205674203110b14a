"""A small vision transformer.

A. Dosovitskiy et al., "An image is worth 16x16 words: transformers for image recognition at scale", 2021; as
timm builds it.
"""

from __future__ import annotations

from timm.models.vision_transformer import VisionTransformer


def vit(
    image_size: int = 32,
    patch: int = 4,
    width: int = 48,
    depth: int = 3,
    heads: int = 6,
    classes: int = 10,
    channels: int = 1,
) -> VisionTransformer:
    """A vision transformer of some blocks, with learned positions and a class token.

    Takes (batch, channels, image_size, image_size), returns logits (batch, classes).
    """
    return VisionTransformer(
        img_size=image_size,
        patch_size=patch,
        in_chans=channels,
        num_classes=classes,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        mlp_ratio=2,
    )
