import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torchvision import transforms
from torchvision.datasets import ImageFolder

from harness.data.base import Split
from harness.data.folder import Folder
from harness.errors import DataError

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def picture(path: Path, seed: int, size: tuple[int, int] = (20, 14), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path)


def fill(root: Path, counts: dict[str, dict[str, int]], suffix: str = "png") -> Path:
    seed = 0
    for split, classes in counts.items():
        for name, count in classes.items():
            for index in range(count):
                seed += 1
                picture(root / split / name / f"{index:03}.{suffix}", seed)
    return root


def inputs(split: Split, size: int = 64) -> torch.Tensor:
    return torch.cat([batch.inputs[0] for batch in split.batches(size)])


def targets(split: Split, size: int = 64) -> torch.Tensor:
    return torch.cat([batch.targets for batch in split.batches(size)])


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("resize", "crop"), [(16, 16), (17, 12), (12, 7), (40, 33), (14, 14)])
def test_images_are_what_torchvisions_own_transforms_make_of_them(tmp_path, resize, crop, interpolation):
    sizes = [(20, 14), (14, 20), (15, 15), (33, 21), (7, 31), (14, 14)]
    for place in ("calibration", "evaluation"):
        for index, size in enumerate(sizes):
            picture(tmp_path / place / "abc"[index % 3] / f"{index}.png", 100 + index, size)
    dataset = Folder(path=".", image_size=crop, resize=resize, interpolation=interpolation).load(tmp_path)
    reference = ImageFolder(
        str(tmp_path / "evaluation"),
        transforms.Compose(
            [
                transforms.Resize(resize, transforms.InterpolationMode(interpolation)),
                transforms.CenterCrop(crop),
                transforms.ToTensor(),
                transforms.Normalize(**IMAGENET),
            ]
        ),
    )
    assert dataset.classes == tuple(reference.classes)
    assert torch.equal(inputs(dataset.evaluation), torch.stack([image for image, _ in reference]))
    assert targets(dataset.evaluation).tolist() == [label for _, label in reference]
    assert targets(dataset.evaluation).dtype is torch.int64


def test_without_resize_the_shorter_side_fills_the_crop(tmp_path):
    fill(tmp_path, {"calibration": {"a": 1}, "evaluation": {"a": 1}})
    plain = Folder(path=".", image_size=10).load(tmp_path)
    assert torch.equal(
        inputs(plain.evaluation), inputs(Folder(path=".", image_size=10, resize=10).load(tmp_path).evaluation)
    )
    assert inputs(plain.evaluation).shape == (1, 3, 10, 10)


def test_statistics_of_ones_own(tmp_path):
    for place in ("calibration", "evaluation"):
        (tmp_path / place / "a").mkdir(parents=True)
        Image.new("RGB", (4, 4), (255, 51, 0)).save(tmp_path / place / "a" / "x.bmp")
    source = Folder.model_validate(
        {"path": ".", "image_size": 4, "normalize": {"mean": [0.5, 0.0, 0.25], "std": [0.5, 0.2, 0.5]}}
    )
    pixel = inputs(source.load(tmp_path).evaluation)[0, :, 0, 0]
    torch.testing.assert_close(pixel, torch.tensor([1.0, 1.0, -0.5]))


@pytest.mark.parametrize("suffix", ["png", "jpg", "JPEG", "bmp", "webp", "tiff"])
def test_every_common_format_is_read(tmp_path, suffix):
    fill(tmp_path, {"calibration": {"a": 1}, "evaluation": {"a": 2}}, suffix)
    assert inputs(Folder(path=".", image_size=8).load(tmp_path).evaluation).shape == (2, 3, 8, 8)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_every_colour_mode_becomes_rgb(tmp_path, mode):
    for place in ("calibration", "evaluation"):
        picture(tmp_path / place / "a" / "x.tiff", 1, mode=mode)
    assert inputs(Folder(path=".", image_size=8).load(tmp_path).evaluation).shape == (1, 3, 8, 8)


@pytest.mark.parametrize(
    ("places", "calibration", "evaluation", "train"),
    [
        ({"calibration", "evaluation"}, "calibration", "evaluation", None),
        ({"train", "val"}, "train", "val", "train"),
        ({"train", "val", "calibration"}, "calibration", "val", "train"),
        ({"train", "val", "test"}, "train", "test", "train"),
        ({"train", "val", "test", "calibration", "evaluation"}, "calibration", "evaluation", "train"),
    ],
)
def test_which_directory_serves_as_what(tmp_path, places, calibration, evaluation, train):
    fill(tmp_path, {place: {"a": 1, "b": 1} for place in sorted(places)})
    dataset = Folder(path=".", image_size=8).load(tmp_path)
    assert dataset.calibration.names == [f"{calibration}/a/000.png", f"{calibration}/b/000.png"]
    assert dataset.evaluation.names == [f"{evaluation}/a/000.png", f"{evaluation}/b/000.png"]
    assert (dataset.train and dataset.train.names[0]) == (train and f"{train}/a/000.png")


def test_calibration_takes_one_of_each_class_in_turn(tmp_path):
    fill(tmp_path, {"train": {"a": 40, "b": 3, "c": 20}, "val": {"a": 1, "b": 1, "c": 1}})
    dataset = Folder(path=".", image_size=8, calibration=13).load(tmp_path)
    # In turn: 3 of each, then a and c share what is left of 13 evenly.
    assert Counter(targets(dataset.calibration).tolist()) == {0: 5, 1: 3, 2: 5}
    assert set(dataset.calibration.names) < set(dataset.train.names)
    assert dataset.calibration.names == Folder(path=".", image_size=8, calibration=13).load(tmp_path).calibration.names
    other = Folder(path=".", image_size=8, calibration=13, seed=1).load(tmp_path).calibration.names
    assert other != dataset.calibration.names


def test_fewer_classes_than_images_asked_for_still_differ_by_seed(tmp_path):
    fill(tmp_path, {"train": {name: 4 for name in "abcdef"}, "val": {name: 1 for name in "abcdef"}})
    chosen = {
        tuple(targets(Folder(path=".", image_size=8, calibration=2, seed=seed).load(tmp_path).calibration).tolist())
        for seed in range(12)
    }
    assert all(len(set(pair)) == 2 for pair in chosen)
    assert len(chosen) > 3  # and not the first classes only


def test_a_limit_keeps_each_class_in_its_share(tmp_path):
    fill(tmp_path, {"calibration": {"a": 1, "b": 1, "c": 1}, "evaluation": {"a": 60, "b": 30, "c": 10}})
    dataset = Folder(path=".", image_size=8, limit=20).load(tmp_path)
    assert Counter(targets(dataset.evaluation).tolist()) == {0: 12, 1: 6, 2: 2}
    assert len(Folder(path=".", image_size=8, limit=500).load(tmp_path).evaluation) == 100


def test_batches_come_in_order_or_in_the_order_of_a_seed(tmp_path):
    fill(tmp_path, {"calibration": {"a": 1, "b": 1}, "evaluation": {"a": 5, "b": 4}})
    split = Folder(path=".", image_size=8).load(tmp_path).evaluation
    assert [len(batch.targets) for batch in split.batches(4)] == [4, 4, 1]
    assert targets(split).tolist() == [0] * 5 + [1] * 4
    shuffled = [torch.cat([batch.inputs[0] for batch in split.batches(4, shuffle=seed)]) for seed in (1, 1, 2)]
    assert torch.equal(shuffled[0], shuffled[1])
    assert not torch.equal(shuffled[0], shuffled[2])
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    assert torch.equal(shuffled[0], inputs(split)[order])


def test_only_the_batch_that_is_asked_for_is_decoded(tmp_path):
    fill(tmp_path, {"calibration": {"a": 1}, "evaluation": {"a": 4}})
    (tmp_path / "evaluation" / "a" / "003.png").write_bytes(b"no image")
    batches = Folder(path=".", image_size=8).load(tmp_path).evaluation.batches(2)
    next(batches)
    with pytest.raises(DataError, match=r"evaluation/a/003\.png is no readable image"):
        next(batches)


def test_a_cut_off_image_is_named(tmp_path):
    fill(tmp_path, {"calibration": {"a": 1}, "evaluation": {"a": 1}}, "jpg")
    path = tmp_path / "evaluation" / "a" / "000.jpg"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match=r"000\.jpg is no readable image: (?i:.*truncated)"):
        inputs(Folder(path=".", image_size=8).load(tmp_path).evaluation)


def test_sixteen_bits_are_refused_and_not_clipped_to_white(tmp_path):
    fill(tmp_path, {"calibration": {"a": 1}, "evaluation": {"a": 1}})
    deep = np.full((9, 9), 40_000, dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "evaluation" / "a" / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png has more than 8 bits a channel \(I;16\)"):
        inputs(Folder(path=".", image_size=8).load(tmp_path).evaluation)


def test_what_is_hidden_and_what_is_no_image_is_no_data(tmp_path):
    fill(tmp_path, {"calibration": {"a": 1}, "evaluation": {"a": 1}})
    picture(tmp_path / "evaluation" / "a" / "deeper" / "x.png", 9)
    for hidden in ("a/._000.png", "a/.ipynb_checkpoints/000-checkpoint.png", ".ipynb_checkpoints/x.png"):
        picture(tmp_path / "evaluation" / hidden, 1)
    (tmp_path / "evaluation" / "a" / "notes.txt").write_text("x")
    dataset = Folder(path=".", image_size=8).load(tmp_path)
    assert dataset.classes == ("a",)
    assert dataset.evaluation.names == ["evaluation/a/000.png", "evaluation/a/deeper/x.png"]


def test_links_are_followed(tmp_path):
    fill(tmp_path / "store", {"calibration": {"a": 1}, "evaluation": {"a": 2}})
    (tmp_path / "mine" / "evaluation").mkdir(parents=True)
    (tmp_path / "mine" / "calibration").symlink_to(tmp_path / "store" / "calibration")
    (tmp_path / "mine" / "evaluation" / "a").symlink_to(tmp_path / "store" / "evaluation" / "a")
    dataset = Folder(path="mine", image_size=8).load(tmp_path)
    assert (len(dataset.calibration), len(dataset.evaluation)) == (1, 2)


def test_links_that_lead_back_have_an_end(tmp_path):
    fill(tmp_path, {"calibration": {"a": 1, "b": 1}, "evaluation": {"a": 2, "b": 1}})
    (tmp_path / "evaluation" / "a" / "again").symlink_to(tmp_path / "evaluation" / "a")
    # What lies in another class is none of this one.
    (tmp_path / "evaluation" / "a" / "up").symlink_to(tmp_path / "evaluation")
    dataset = Folder(path=".", image_size=8).load(tmp_path)
    assert dataset.evaluation.names == ["evaluation/a/000.png", "evaluation/a/001.png", "evaluation/b/000.png"]
    assert Folder(path=".", image_size=8).evaluated(tmp_path) == 3


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({}, r"has no images to measure on: .*evaluation/<class>/ or test/<class>/ or val/<class>/\. It holds no dir"),
        ({"a": {"x": 1}}, r"has no images to measure on.*It holds a/"),
        ({"val": {"a": 1}}, r"has no images to calibrate on: .*calibration/<class>/ or train/<class>/"),
        (
            {"train": {"a": 1, "b": 1, "d": 1}, "val": {"a": 1, "c": 1}},
            r"class directories of the splits differ; only in train/: b, d; only in val/: c",
        ),
        ({"train": {"a": 1}, "val": {}}, r"has no class directories"),
        ({"train": {"a": 1}, "val": {"a": 0}}, r"val/a holds no images \(\.bmp, "),
    ],
)
def test_a_malformed_tree_is_told(tmp_path, counts, sentence):
    for place, classes in counts.items():
        (tmp_path / place).mkdir()
        for name in classes:
            (tmp_path / place / name).mkdir()
    fill(tmp_path, counts)
    with pytest.raises(DataError, match=sentence):
        Folder(path=".", image_size=8).load(tmp_path)


def test_an_absent_directory_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no directory at .*data/mine"):
        Folder(path="data/mine").load(tmp_path)


def test_the_order_of_classes_can_be_the_models(tmp_path):
    fill(tmp_path, {"calibration": {"2": 1, "10": 1}, "evaluation": {"2": 2, "10": 1}})
    assert Folder(path=".", image_size=8).load(tmp_path).classes == ("10", "2")
    dataset = Folder.model_validate({"path": ".", "image_size": 8, "classes": ["2", "5", "10"]}).load(tmp_path)
    assert dataset.classes == ("2", "5", "10")
    assert targets(dataset.evaluation).tolist() == [0, 0, 2]
    with pytest.raises(DataError, match=r"`classes:` does not list 2"):
        Folder(path=".", classes=("10",)).load(tmp_path)


def test_a_copy_in_both_splits_is_found_under_any_name(tmp_path):
    fill(tmp_path, {"train": {"a": 3, "b": 3}, "val": {"a": 3, "b": 3}})
    Folder(path=".", image_size=8).load(tmp_path).checked()
    copied = (tmp_path / "train" / "b" / "001.png").read_bytes()
    (tmp_path / "val" / "a" / "renamed.png").write_bytes(copied)
    dataset = Folder(path=".", image_size=8, calibration=1).load(tmp_path)
    with pytest.raises(DataError, match=r"sample train/b/001\.png is also evaluation sample val/a/renamed\.png"):
        dataset.checked()


def test_the_fingerprint_follows_names_and_bytes(tmp_path):
    fill(tmp_path, {"calibration": {"a": 2}, "evaluation": {"a": 2}})
    source = Folder(path=".")
    seen = [source.fingerprint(tmp_path)]
    path = tmp_path / "evaluation" / "a" / "000.png"
    picture(path, 77)
    seen.append(source.fingerprint(tmp_path))
    path.rename(path.with_name("zzz.png"))
    seen.append(source.fingerprint(tmp_path))
    (tmp_path / "notes.txt").write_text("not data")
    assert source.fingerprint(tmp_path) == seen[-1]
    assert len(set(seen)) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"resize": 100, "image_size": 224},
        {"normalize": {"mean": [0.5], "std": [0.5, 0.5, 0.5]}},
        {"normalize": {"std": [0.5, 0.0, 0.5]}},
        {"normalize": {"mean": [127.5, 127.5, 127.5]}},
        {"image_size": "64"},
        {"limit": 0},
        {"classes": ["a", "a"]},
    ],
)
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ValidationError):
        Folder.model_validate({"path": "x", **options})


def test_the_fingerprint_needs_neither_torch_nor_pillow(tmp_path):
    fill(tmp_path, {"calibration": {"a": 1}, "evaluation": {"a": 1}})
    code = (
        "import sys; from pathlib import Path; from harness.data.base import DATA\n"
        f"DATA['folder'](path='.').fingerprint(Path({str(tmp_path)!r}))\n"
        "print(sorted({'torch', 'torchvision', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
