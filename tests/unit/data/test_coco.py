import json
from pathlib import Path

import pytest
from PIL import Image

from harness.data.coco import AnnotatedImages, Coco
from harness.errors import DataError

CATEGORIES = [{"id": 17, "name": "cat"}, {"id": 3, "name": "dog"}]


def written(root: Path, split: str, shade: int, **more: object) -> AnnotatedImages:
    (root / split).mkdir()
    Image.new("RGB", (40, 80), (shade, 0, 0)).save(root / split / "a.png")
    file = {
        "images": [{"id": 9, "file_name": "a.png", "width": 40, "height": 80}],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 17, "bbox": [10, 20, 20, 40], "iscrowd": 0},
            {"id": 2, "image_id": 9, "category_id": 3, "bbox": [0, 0, 40, 80], "iscrowd": 1},
        ],
        "categories": CATEGORIES,
    }
    (root / f"{split}.json").write_text(json.dumps({**file, **more}))
    return AnnotatedImages(annotations=f"{split}.json", images=split)


@pytest.fixture
def data(tmp_path: Path) -> Coco:
    return Coco(train=written(tmp_path, "train", 1), evaluation=written(tmp_path, "val", 2), image_size=160)


def test_boxes_are_fitted_and_categories_numbered_by_id(tmp_path, data):
    loaded = data.load(tmp_path).checked()
    assert loaded.classes == ("dog", "cat")
    assert data.evaluated(tmp_path) == 1
    # Twice as large, 40 columns of grey at the left.
    assert next(loaded.evaluation.batches(1)).targets[0].tolist() == [
        [1, 40 + 20, 40, 40 + 60, 120, 0],
        [0, 40, 0, 120, 160, 1],
    ]


def test_classes_may_stand_in_the_models_order(tmp_path, data):
    loaded = data.model_copy(update={"classes": ("cat", "dog")}).load(tmp_path)
    assert next(loaded.evaluation.batches(1)).targets[0, :, 0].tolist() == [0, 1]


def test_another_image_is_other_data(tmp_path, data):
    before = data.fingerprint(tmp_path)
    Image.new("RGB", (40, 80), (3, 0, 0)).save(tmp_path / "val" / "a.png")
    assert data.fingerprint(tmp_path) != before


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"images": []}, "lists no images"),
        ({"categories": CATEGORIES[:1]}, "name other categories"),
        ({"annotations": [{"image_id": 8, "category_id": 3, "bbox": [0, 0, 1, 1]}]}, "malformed: KeyError: 8"),
        ({"images": [{"id": 9, "file_name": "gone.png"}]}, "lists gone.png, which is not in"),
    ],
)
def test_a_file_that_means_nothing_says_why(tmp_path, more, sentence):
    data = Coco(train=written(tmp_path, "train", 1), evaluation=written(tmp_path, "val", 2, **more))
    with pytest.raises(DataError, match=sentence):
        data.load(tmp_path)


def test_a_file_of_something_else_is_refused(tmp_path, data):
    (tmp_path / "val.json").write_text("[]")
    with pytest.raises(DataError, match="has no images, annotations, categories"):
        data.load(tmp_path)
    (tmp_path / "val.json").unlink()
    with pytest.raises(DataError, match="no annotations at"):
        data.load(tmp_path)
