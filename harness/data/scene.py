"""How one digit scene is drawn up and painted: everything follows from its number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from harness.boxes import Boxes

SIZE = 128
FEWEST, DIGITS = 2, 6
# Side of MNIST's 28-pixel square on the scene; the ink of a digit fills 20 pixels of it.
SMALLEST, LARGEST = 28.0, 72.0
# Photographs are made smaller first: a scene needs no more of them.
SHORT_SIDE = 320
# Ink fainter than this share is not counted into a digit's box.
FAINT = 0.3
ATTEMPTS = 20

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Paste:
    """One digit on a scene.

    Attributes:
        digit: its number in MNIST's file.
        side: pixels of its square.
        angle: degrees it is turned by.
        across, down: where its centre lies, in pixels.
        contrast: how far the ink is from what lies below it, of 255.
        tint: added to red, green and blue.
        cover: of its box the share that something lies over; 0 for nothing.
        covered_from: 0 left, 1 top, 2 right, 3 bottom.
    """

    digit: int
    side: float
    angle: float
    across: float
    down: float
    contrast: float
    tint: tuple[float, float, float]
    cover: float
    covered_from: int


@dataclass(frozen=True)
class Scene:
    """What decides a scene: a photograph's crop, and the digits on it in the order in which they are painted.

    Attributes:
        photo: its file's name.
        place: of the photograph, among those of the split.
        crop: side of the square as a share of the short side, and where it lies, as shares of the room there is.
        mirrored: left and right.
        light: what brightness is multiplied by.
        noise: of a normal distribution, its deviation of 255.
        pastes: the digits.
        grain: seed of the noise.
    """

    photo: str
    place: int
    crop: tuple[float, float, float]
    mirrored: bool
    light: float
    noise: float
    pastes: tuple[Paste, ...]
    grain: int

    @staticmethod
    def drawn(index: int, pasting: Pasting) -> Scene:
        """The scene of that number; the same for one number, whatever was drawn before."""
        generator = np.random.default_rng([pasting.stream, index])
        place = int(generator.integers(len(pasting.photos)))
        crop = (float(generator.uniform(0.4, 1.0)), float(generator.uniform()), float(generator.uniform()))
        mirrored, light = bool(generator.integers(2)), float(generator.uniform(0.6, 1.2))
        noise = float(generator.uniform(0, 6))
        pastes: list[Paste] = []
        for number in range(int(generator.integers(FEWEST, DIGITS + 1))):
            side = float(np.exp(generator.uniform(np.log(SMALLEST), np.log(LARGEST))))
            for _ in range(ATTEMPTS):
                across, down = (float(one) for one in generator.uniform(0.36 * side, SIZE - 0.36 * side, size=2))
                if all(np.hypot(across - one.across, down - one.down) > 0.33 * (side + one.side) for one in pastes):
                    break
            else:
                continue
            tint = generator.uniform(-30, 30, size=3)
            covered = bool(generator.uniform() < 0.2)
            pastes.append(
                Paste(
                    # Scenes take digits in turn, so that none is shown twice.
                    digit=index * DIGITS + number,
                    side=side,
                    angle=float(generator.uniform(-25, 25)),
                    across=across,
                    down=down,
                    contrast=float(generator.uniform(90, 200)),
                    tint=(float(tint[0]), float(tint[1]), float(tint[2])),
                    cover=float(generator.uniform(0.15, 0.35)) if covered else 0.0,
                    covered_from=int(generator.integers(4)),
                )
            )
        name = pasting.photos[place].name
        return Scene(name, place, crop, mirrored, light, noise, tuple(pastes), int(generator.integers(2**31)))


@dataclass(frozen=True)
class Pasting:
    """What the scenes of a split are made of.

    Attributes:
        digits: uint8, shape (digits, 28, 28).
        labels: uint8, shape (digits,).
        photos: files of the photographs.
        stream: which of the streams of random numbers the split draws from.
    """

    digits: Pixels
    labels: Pixels
    photos: tuple[Path, ...]
    stream: int

    def paint(self, scene: Scene) -> tuple[Pixels, Boxes]:
        """The pixels, uint8 of shape (128, 128, 3), and the boxes, float32 of shape (digits, 6)."""
        canvas = self._background(scene)
        behind = canvas.copy()
        boxes = []
        for paste in scene.pastes:
            ink, top, left = _ink(self.digits[paste.digit], paste)
            area = canvas[top : top + ink.shape[0], left : left + ink.shape[1]]
            rows, columns = (np.flatnonzero((ink > FAINT).any(axis=axis)) for axis in (1, 0))
            box = (left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1)
            below = canvas[box[1] : box[3], box[0] : box[2]].mean()
            shade = below - paste.contrast if below > 127 else below + paste.contrast
            colour = np.clip(shade + np.array(paste.tint), 0, 255)
            area += ink[:, :, None] * (colour - area)
            _cover(canvas, behind, box, paste)
            boxes.append((self.labels[paste.digit], *box, 0))
        grain = np.random.default_rng(scene.grain).standard_normal(canvas.shape, dtype=np.float32)
        pixels = np.clip(canvas + scene.noise * grain, 0, 255).astype(np.uint8)
        return pixels, np.array(boxes, dtype=np.float32).reshape(-1, 6)

    def _background(self, scene: Scene) -> np.ndarray[Any, np.dtype[np.float32]]:
        from PIL import Image

        photo = _photo(self.photos[scene.place])
        share, across, down = scene.crop
        side = min(photo.size) * share
        left, top = (photo.size[0] - side) * across, (photo.size[1] - side) * down
        square = photo.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
        pixels = np.asarray(square, dtype=np.float32) * scene.light
        return np.ascontiguousarray(pixels[:, ::-1] if scene.mirrored else pixels)


def _ink(digit: Pixels, paste: Paste) -> tuple[np.ndarray[Any, np.dtype[np.float32]], int, int]:
    """The ink of a digit as shares, and the row and column of the scene where it begins; clipped to the scene."""
    from PIL import Image

    side = round(paste.side)
    glyph = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    turned = glyph.rotate(paste.angle, Image.Resampling.BICUBIC)
    ink = np.asarray(turned, dtype=np.float32) / np.float32(255)
    top, left = round(paste.down - side / 2), round(paste.across - side / 2)
    first_row, first_column = max(0, -top), max(0, -left)
    inside = ink[first_row : SIZE - top, first_column : SIZE - left]
    return inside, max(0, top), max(0, left)


def _cover(
    canvas: np.ndarray[Any, np.dtype[np.float32]],
    behind: np.ndarray[Any, np.dtype[np.float32]],
    box: tuple[int, int, int, int],
    paste: Paste,
) -> None:
    """Lay a piece of the photograph over one edge of a digit: the piece from the opposite side of the scene."""
    left, top, right, bottom = box
    wide, high = round((right - left) * paste.cover), round((bottom - top) * paste.cover)
    if not paste.cover or not wide or not high:
        return
    places = ((left, top, left + wide, bottom), (left, top, right, top + high),
              (right - wide, top, right, bottom), (left, bottom - high, right, bottom))  # fmt: skip
    left, top, right, bottom = places[paste.covered_from]
    canvas[top:bottom, left:right] = behind[::-1, ::-1][top:bottom, left:right]


@cache
def _photo(path: Path) -> Any:
    from PIL import Image

    with Image.open(path) as image:
        photo = image.convert("RGB")
    shrunk = min(1.0, SHORT_SIDE / min(photo.size))
    return photo.resize((round(photo.size[0] * shrunk), round(photo.size[1] * shrunk)), Image.Resampling.LANCZOS)
