"""Options that no evaluated sample follows from: every kind of data is held to those that it names."""

import json
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from harness.data import mnist_files
from harness.data.base import DATA, Data, Dataset
from harness.data.coco import AnnotatedImages
from harness.data.digits import Digits
from harness.data.hub import Datasets
from harness.data.noise import Noise
from harness.errors import Unmeasurable

# Each kind of data, small. The first few are written by the test; the others come with a package, or from a cache.
WRITTEN: dict[str, dict[str, Any]] = {
    "coco": {
        "train": AnnotatedImages(annotations="train.json", images="pictures/train"),
        "evaluation": AnnotatedImages(annotations="evaluation.json", images="pictures/evaluation"),
        "limit": 6,
    },
    "csv": {"path": "rows.csv", "label": "label"},
    "datasets": {"name": "owner/texts", "revision": "0" * 40, "window": 8, "windows": 4},
    "folder": {"path": "classes", "limit": 6},
    "jsonl": {"path": "pairs.jsonl", "other": "other", "score": "score"},
    "text": {"path": "documents.txt"},
    "yolo": {"path": "data.yaml", "limit": 6},
}
FOUND: dict[str, dict[str, Any]] = {
    "digit-scenes": {"evaluation": 5},
    "digits": {},
    "imagenet-sample": {"crops": 1},
    "lee": {},
    "mnist": {},
    "noise": {"shape": (4,), "samples": 20},
    "polarity": {},
    "public-texts": {},
    "short-texts": {"limit": 100},
}
KINDS = {**WRITTEN, **FOUND}
FEW, MORE = {"calibration": 2, "train": 3}, {"calibration": 5, "train": 4}


class Hub(dict[str, list[str]]):
    """A split as the library of the hub gives it: forty texts of some sixty characters."""

    column_names: ClassVar[tuple[str, ...]] = ("text",)
    features: ClassVar[dict[str, object]] = {}

    def __init__(self, part: str) -> None:
        super().__init__(text=[f"Text {index} of {part}, {'which goes on ' * 3}to its end." for index in range(40)])


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with data of each kind that is somebody's own."""
    for part in ("train", "evaluation"):
        for folder in (f"pictures/{part}", f"classes/{part}/cat", f"classes/{part}/dog"):
            (tmp_path / folder).mkdir(parents=True)
            for index in range(9):
                (tmp_path / folder / f"{index}.png").write_text(f"{folder} {index}")
        images = [{"id": index, "file_name": f"{index}.png"} for index in range(9)]
        described = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
        (tmp_path / f"{part}.json").write_text(json.dumps(described))
    (tmp_path / "data.yaml").write_text("train: pictures/train\nval: pictures/evaluation\nnames: [cat, dog]\n")
    rows = [f"Text {index},{'ab'[index % 2]}" for index in range(40)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *rows]))
    pairs = [{"text": f"One {index}", "other": f"Other {index}", "score": index / 40} for index in range(40)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(json.dumps(pair) for pair in pairs))
    (tmp_path / "documents.txt").write_text("\n\n\n".join(f"Document {index}." for index in range(40)))
    monkeypatch.setattr(Datasets, "_table", lambda self, part: Hub(part))
    return tmp_path


def held_out(data: Dataset) -> tuple[object, ...]:
    """All that tells one evaluation split from another."""
    split = data.evaluation
    assert split is not None
    targets = getattr(split, "targets", None)
    truth = None if targets is None else targets.numpy().tobytes()
    return list(split.digests()), split.names, split.units.tolist(), truth, getattr(split, "cut", None), data.classes


def test_no_kind_of_data_is_left_out() -> None:
    assert set(KINDS) == {name for name, part in DATA.items() if part.__module__.startswith("harness.data.")}


@pytest.mark.parametrize("name", sorted(KINDS))
def test_no_evaluated_sample_follows_from_an_unseen_option(name: str, root: Path) -> None:
    if name in ("digit-scenes", "mnist") and mnist_files.cached() is None:
        pytest.skip("MNIST is not in the cache")
    part = DATA[name]
    both = [part(**KINDS[name], **{option: amounts[option] for option in part.unseen}) for amounts in (FEW, MORE)]
    try:
        few, more = (held_out(one.load(root)) for one in both)
    except Unmeasurable as error:
        if name in WRITTEN:
            raise
        pytest.skip(str(error))
    assert few[0]
    assert few == more


@pytest.mark.parametrize("name", sorted(KINDS))
def test_an_unseen_option_is_none_that_decides_what_is_evaluated(name: str) -> None:
    part = DATA[name]
    few, more, usual = (
        part(**KINDS[name], **{option: amounts[option] for option in part.unseen if amounts})
        for amounts in (FEW, MORE, {})
    )
    assert few.model_dump() != more.model_dump()
    assert few.evaluation_options() == more.evaluation_options() == usual.evaluation_options()
    # What was accepted when all options counted, with these at their defaults, is of the same address.
    assert usual.evaluation_options() == usual.model_dump(mode="json")


def test_an_option_that_decides_what_is_evaluated_counts() -> None:
    assert Digits(image_size=24).evaluation_options() != Digits().evaluation_options()
    scenes = DATA["digit-scenes"]
    assert scenes(evaluation=9).evaluation_options() != scenes().evaluation_options()


def test_of_real_images_too_what_is_calibrated_on_decides_nothing() -> None:
    one, other, larger = (
        Noise(shape=(4,), images=Digits(**options)).evaluation_options()
        for options in ({"image_size": 16}, {"image_size": 16, "calibration": 9}, {"image_size": 24})
    )
    assert one == other != larger


class Shots(Data):
    """Data with an unseen option that has to be given."""

    source: Literal["shots"] = "shots"
    size: int = 8
    shots: int
    unseen: ClassVar[frozenset[str]] = Data.unseen | {"shots"}

    def load(self, root: Path) -> Dataset:
        """Nothing is read of it here."""
        raise NotImplementedError

    def fingerprint(self, root: Path) -> str:
        """Nothing outside."""
        return ""


class Rest(Shots):
    """Data that evaluates what is not calibrated on: its own class has to say so."""

    unseen: ClassVar[frozenset[str]] = frozenset()


def test_an_unseen_option_without_a_default_is_left_out() -> None:
    assert Shots(shots=3, calibration=7).evaluation_options() == {"source": "shots", "calibration": 128, "size": 8}


def test_data_whose_calibration_reaches_the_evaluation_may_say_so() -> None:
    assert Rest(shots=3, calibration=7).evaluation_options() == {
        "source": "shots", "calibration": 7, "size": 8, "shots": 3,
    }  # fmt: skip
