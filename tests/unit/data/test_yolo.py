from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data.box_images import GREY
from harness.data.yolo import Yolo
from harness.errors import DataError

DESCRIBED = "train: images/train\nval: images/val\nnames: {0: cat, 1: dog}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two training images and one of 100 x 50 pixels to evaluate on, with a box each."""
    for split, count in (("train", 2), ("val", 1)):
        for kind in ("images", "labels"):
            (tmp_path / kind / split).mkdir(parents=True)
        for index in range(count):
            shade = 10 * index + (200 if split == "val" else 0)
            Image.new("RGB", (100, 50), (shade, 0, 255)).save(tmp_path / "images" / split / f"{index}.png")
            (tmp_path / "labels" / split / f"{index}.txt").write_text("1 0.5 0.5 0.2 0.4\n")
    (tmp_path / "data.yaml").write_text(DESCRIBED)
    return tmp_path


def test_an_image_is_fitted_into_the_square_with_its_boxes(root):
    data = Yolo(path="data.yaml", image_size=64).load(root).checked()
    batch = next(data.evaluation.batches(1))
    assert data.classes == ("cat", "dog")
    assert batch.inputs[0].shape == (1, 3, 64, 64)
    # 100 x 50 becomes 64 x 32, with 16 rows of grey above and below.
    assert batch.inputs[0][0, :, 15, 32].tolist() == pytest.approx([GREY / 255] * 3)
    assert batch.inputs[0][0, :, 16, 32].tolist() == pytest.approx([200 / 255, 0, 1])
    # Centre (32, 32), 0.2 of 64 wide and 0.4 of 32 high.
    assert batch.targets[0].tolist() == [pytest.approx([1, 32 - 6.4, 32 - 6.4, 32 + 6.4, 32 + 6.4, 0])]


def test_an_image_without_a_file_of_boxes_has_nothing_on_it(root):
    (root / "labels/train/0.txt").unlink()
    (root / "labels/train/1.txt").write_text("0 0.5 0.5 1 1\n0 0.25 0.25 0.5 0.5\n")
    rows = next(Yolo(path="data.yaml", image_size=64).load(root).train.batches(2)).targets
    assert (rows[:, :, 0] >= 0).sum(dim=1).tolist() == [0, 2]


def test_a_list_of_images_serves_as_a_split(root):
    (root / "val.txt").write_text("./images/val/0.png\n")
    (root / "data.yaml").write_text(DESCRIBED.replace("images/val", "val.txt"))
    assert Yolo(path="data.yaml").load(root).evaluation.names == ["images/val/0.png"]
    assert Yolo(path="data.yaml").evaluated(root) == 1


def test_classes_may_stand_in_the_models_order(root):
    data = Yolo(path="data.yaml", image_size=64, classes=("bird", "dog", "cat")).load(root)
    assert next(data.evaluation.batches(1)).targets[0, 0, 0] == 1
    with pytest.raises(DataError, match="does not list cat"):
        Yolo(path="data.yaml", classes=("dog",)).load(root)


def test_what_is_calibrated_on_cannot_be_evaluated_on(root):
    (root / "data.yaml").write_text(DESCRIBED.replace("images/val", "images/train"))
    with pytest.raises(DataError, match="the splits overlap"):
        Yolo(path="data.yaml").load(root).checked()


def test_a_changed_box_is_other_data(root):
    before = Yolo(path="data.yaml").fingerprint(root)
    (root / "labels/val/0.txt").write_text("0 0.5 0.5 0.2 0.4\n")
    assert Yolo(path="data.yaml").fingerprint(root) != before


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("1 0.5 0.5 0.2", "a box is five numbers"),
        ("2 0.5 0.5 0.2 0.2", "class 2, and the yaml names 2"),
        ("1 50 50 20 20", "shares of the image"),
    ],
)
def test_a_line_that_is_no_box_is_told_with_its_place(root, line, sentence):
    (root / "labels/val/0.txt").write_text(f"1 0.5 0.5 0.2 0.2\n{line}\n")
    with pytest.raises(DataError, match=rf"val/0.txt:2: .*{sentence}"):
        Yolo(path="data.yaml").load(root)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("train: images/train\nnames: [a, b]\n", "has no `val`"),
        ("train: images/train\nval: images/none\nnames: [a, b]\ndownload: https://x\n", "does not run its `download`"),
        ("train: images/train\nval: images/val\nnames: {0: a, 2: b}\n", "without a gap"),
        ("- 1\n", "is no dataset yaml"),
    ],
)
def test_a_yaml_that_describes_no_dataset_says_what_it_lacks(root, text, sentence):
    (root / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=sentence):
        Yolo(path="data.yaml").load(root)
    assert np.array(Yolo(path="gone.yaml").evaluated(root)).item() is None


def test_an_image_that_changes_sides_is_other_data(root):
    """Both lists give the same images in the same order; what is trained on is another one."""
    (root / "data.yaml").write_text("train: train.txt\nval: val.txt\nnames: {0: cat, 1: dog}\n")
    images = ["images/train/0.png", "images/train/1.png", "images/val/0.png"]
    seen = set()
    for cut in (1, 2):
        (root / "train.txt").write_text("\n".join(images[:cut]))
        (root / "val.txt").write_text("\n".join(images[cut:]))
        seen.add(Yolo(path="data.yaml").fingerprint(root))
    assert len(seen) == 2


def test_a_photo_is_fed_upright_as_its_boxes_were_drawn(root):
    """A phone's camera lies on its side and says so in the file."""
    upright = Image.new("RGB", (100, 50), (200, 0, 255))
    upright.paste((0, 255, 0), (0, 0, 50, 50))
    exif = Image.Exif()
    exif[0x0112] = 6
    place = root / "images/val/0.jpg"
    upright.transpose(Image.Transpose.ROTATE_90).save(place, exif=exif, quality=95)
    (root / "images/val/0.png").unlink()
    image = next(Yolo(path="data.yaml", image_size=64).load(root).evaluation.batches(1)).inputs[0][0]
    # Green on the left and grey above, and not green below and grey at the sides.
    assert image[:, 32, 8].tolist() == pytest.approx([0, 1, 0], abs=0.05)
    assert image[:, 32, 56].tolist() == pytest.approx([200 / 255, 0, 1], abs=0.05)
    assert image[:, 8, 32].tolist() == pytest.approx([GREY / 255] * 3)


def test_sixteen_bits_are_refused_and_not_clipped_to_white(root):
    Image.fromarray(np.full((50, 100), 3000, dtype=np.uint16)).save(root / "images/val/0.png")
    with pytest.raises(DataError, match="more than 8 bits a channel"):
        next(Yolo(path="data.yaml", image_size=64).load(root).evaluation.batches(1))


def test_images_in_linked_folders_are_found_with_their_boxes(root, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    for kind in ("images", "labels"):
        (store / kind).mkdir()
        (root / kind / "val" / "more").symlink_to(store / kind)
    Image.new("RGB", (100, 50), (9, 9, 9)).save(store / "images" / "7.png")
    (store / "labels" / "7.txt").write_text("0 0.5 0.5 0.2 0.4\n1 0.5 0.5 0.1 0.1\n")
    # One that leads back has no end.
    (store / "images" / "again").symlink_to(root / "images" / "val")
    data = Yolo(path="data.yaml", image_size=64)
    before = data.fingerprint(root)
    evaluation = data.load(root).evaluation
    assert evaluation.names == ["images/val/0.png", "images/val/more/7.png"]
    assert [len(one.boxes) for one in evaluation.images] == [1, 2]
    assert data.evaluated(root) == 2
    Image.new("RGB", (100, 50), (8, 8, 8)).save(store / "images" / "7.png")
    assert data.fingerprint(root) != before
