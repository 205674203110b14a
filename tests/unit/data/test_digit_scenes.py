from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.boxes import EDGES, LABEL, padded
from harness.data import mnist_files
from harness.data.digit_scenes import PHOTOS, DigitScenes, write
from harness.data.scene import DIGITS, FEWEST, SIZE, Paste, Pasting, Scene
from harness.data.yolo import Yolo

needs_mnist = pytest.mark.skipif(mnist_files.cached() is None, reason="MNIST is not in the cache")
SMALL = DigitScenes(calibration=4, train=6, evaluation=5)


def plain(folder: Path, level: int) -> Path:
    path = folder / f"{level}.png"
    Image.new("RGB", (200, 300), (level, level, level)).save(path)
    return path


def test_a_box_is_drawn_around_the_ink(tmp_path):
    # A full square of ink, unturned: its box is the square itself, in the ink's contrast.
    digit = np.zeros((1, 28, 28), dtype=np.uint8)
    digit[0, 4:24, 4:24] = 255
    pasting = Pasting(digit, np.array([7], dtype=np.uint8), (plain(tmp_path, 100),), 0)
    paste = Paste(0, 56.0, 0.0, 64.0, 64.0, 90.0, (0.0, 0.0, 0.0), 0.0, 0)
    pixels, boxes = pasting.paint(Scene("100.png", 0, (1.0, 0.5, 0.5), False, 1.0, 0.0, (paste,), 0))
    # The square begins at 64 - 28, its ink 4/28 of 56 pixels further in.
    assert boxes.tolist() == [[7, 44, 44, 84, 84, 0]]
    assert pixels[64, 64].tolist() == [190, 190, 190]
    assert pixels[10, 10].tolist() == [100, 100, 100]


def test_a_covered_digit_keeps_its_box(tmp_path):
    digit = np.full((1, 28, 28), 255, dtype=np.uint8)
    pasting = Pasting(digit, np.array([1], dtype=np.uint8), (plain(tmp_path, 200),), 0)
    paste = Paste(0, 40.0, 0.0, 64.0, 64.0, 150.0, (0.0, 0.0, 0.0), 0.25, 0)
    pixels, boxes = pasting.paint(Scene("200.png", 0, (1.0, 0.5, 0.5), False, 1.0, 0.0, (paste,), 0))
    assert boxes[0].tolist() == [1, 44, 44, 84, 84, 0]
    # A quarter from the left shows the photograph again.
    assert pixels[64, 44:54, 0].tolist() == [200] * 10
    assert pixels[64, 54:84, 0].tolist() == [50] * 30


@needs_mnist
def test_scenes_are_the_same_every_time():
    once, again = (SMALL.load(Path()) for _ in range(2))
    first, second = (next(one.evaluation.batches(5)) for one in (once, again))
    assert (first.inputs[0] == second.inputs[0]).all()
    assert (first.targets == second.targets).all()
    assert list(once.evaluation.digests()) == list(again.evaluation.digests())
    # One by one, in another order, they are the same too.
    image, boxes = once.evaluation.painted(3)
    assert (image == again.evaluation.painted(3)[0]).all()
    assert boxes.tolist() == padded([boxes], DIGITS)[0][: len(boxes)].tolist()


@needs_mnist
def test_boxes_lie_on_the_scene_and_classes_are_ten():
    data = DigitScenes(calibration=4, train=200, evaluation=100).load(Path()).checked()
    rows = np.concatenate([batch.targets.numpy() for batch in data.train.batches(50)])
    real = rows[rows[:, :, LABEL] >= 0]
    assert (real[:, EDGES] >= 0).all()
    assert (real[:, EDGES] <= SIZE).all()
    assert np.unique(real[:, LABEL]).tolist() == list(range(10))
    counts = (rows[:, :, LABEL] >= 0).sum(axis=1)
    assert counts.max() == DIGITS
    assert FEWEST <= counts.mean() <= DIGITS
    heights = real[:, 4] - real[:, 2]
    assert 18 < np.median(heights) < 50


@needs_mnist
def test_no_digit_and_no_photograph_serves_twice():
    data = DigitScenes(calibration=4, train=300, evaluation=300).load(Path())
    for split in (data.train, data.evaluation):
        digits = [one.digit for index in range(300) for one in Scene.drawn(index, split.pasting).pastes]
        assert len(digits) == len(set(digits))
    assert not set(PHOTOS["train"]) & set(PHOTOS["t10k"])


@needs_mnist
def test_what_is_written_for_a_trainer_is_read_back_as_it_was_painted(tmp_path):
    write(SMALL, tmp_path / "scenes", Path())
    read = Yolo(path="scenes/data.yaml", image_size=128).load(tmp_path)
    painted = SMALL.load(Path())
    assert (len(read.train), len(read.evaluation), read.classes) == (6, 5, painted.classes)
    ours, theirs = (next(one.evaluation.batches(5)) for one in (painted, read))
    assert (ours.inputs[0] == theirs.inputs[0]).all()
    for mine, other in zip(ours.targets, theirs.targets, strict=True):
        mine, other = (rows[rows[:, LABEL] >= 0].numpy() for rows in (mine, other))
        np.testing.assert_allclose(mine, other, atol=2e-4)
