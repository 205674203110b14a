import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harness.data.base import DATA
from harness.data.imagenet_sample import Crop, ImageNetSample
from harness.zoo.efficientnet_lite import efficientnet_lite0

ROOT = Path()


def test_it_is_registered_for_classification():
    assert DATA["imagenet-sample"] is ImageNetSample
    assert ImageNetSample.tasks == {"image-classification"}


def test_the_centre_crops_are_recognised():
    evaluation = ImageNetSample(crops=1).load(ROOT).evaluation
    (batch,) = evaluation.batches(32)
    with torch.no_grad():
        ranked = efficientnet_lite0()(*batch.inputs).topk(5).indices
    assert int((ranked[:, 0] == batch.targets).sum()) >= 17
    assert int((ranked == batch.targets[:, None]).any(1).sum()) >= 19


def test_ten_crops_of_twenty_photos_are_200_samples_and_20_units():
    split = ImageNetSample(crops=10).load(ROOT).evaluation
    assert len(split) == len(split.names) == 200
    assert np.array_equal(split.units, np.repeat(np.arange(20), 10))
    assert split.names[13] == "imagenet_01_559 crop 3"


def test_no_two_crops_are_the_same_and_none_is_calibrated_on():
    data = ImageNetSample(crops=4, calibration=60).load(ROOT).checked()
    digests = [*data.evaluation.digests(), *data.calibration.digests()]
    assert len(set(digests)) == 4 * 20 + 60


def test_calibration_spreads_over_all_its_photos():
    split = ImageNetSample(calibration=40).load(ROOT).calibration
    assert np.bincount(split.units).tolist() == [3, 3, *[2] * 17]


def test_the_centre_crop_is_the_middle_of_the_photo(tmp_path):
    # Red grows from left to right, green from top to bottom.
    ramp = np.zeros((256, 512, 3), np.uint8)
    ramp[..., 0] = np.arange(512)[None] // 2
    ramp[..., 1] = np.arange(256)[:, None]
    path = tmp_path / "ramp.png"
    Image.fromarray(ramp).save(path)
    pixels = Crop(path, 0, 0).pixels()
    # 224 of 256 rows leave 16 above; 224 of 512 columns leave 144 at the left.
    assert pixels.shape == (224, 224, 3)
    assert pixels[0, 0, 1] == 16
    assert pixels[0, 0, 0] == 72
    assert pixels[-1, -1, 0] == (144 + 223) // 2


def test_varied_crops_are_mirrored_half_of_the_time_and_stay_inside(tmp_path):
    ramp = np.zeros((300, 400, 3), np.uint8)
    ramp[..., 0] = np.linspace(1, 255, 400)[None]
    path = tmp_path / "ramp.png"
    Image.fromarray(ramp).save(path)
    crops = [Crop(path, 0, index).pixels()[..., 0].astype(int) for index in range(1, 61)]
    mirrored = sum(bool(crop[:, 0].mean() > crop[:, -1].mean()) for crop in crops)
    assert 20 <= mirrored <= 40
    assert min(crop.min() for crop in crops) >= 1
    widths = [abs(crop[0, -1] - crop[0, 0]) / 254 * 400 for crop in crops]
    assert min(widths) > 0.57 * 300 - 3
    assert max(widths) < 300 + 3


def test_inputs_are_standardised_as_the_network_was_trained(tmp_path):
    path = tmp_path / "white.png"
    Image.fromarray(np.full((224, 224, 3), 255, np.uint8)).save(path)
    split = ImageNetSample(crops=1).load(ROOT).evaluation
    split.crops = [Crop(path, 3, 0)]
    (batch,) = split.batches(8)
    assert batch.inputs[0].dtype == torch.float32
    assert batch.targets.tolist() == [3]
    # TensorFlow's (255 - 127) / 128.
    torch.testing.assert_close(batch.inputs[0], torch.ones(1, 3, 224, 224), atol=0.005, rtol=0)


def test_a_shuffled_epoch_is_a_permutation_that_the_seed_decides():
    split = ImageNetSample(crops=2).load(ROOT).evaluation
    first, second, other = (
        torch.cat([batch.targets for batch in split.batches(16, shuffle=seed)]) for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert sorted(first.tolist()) == sorted(crop.label for crop in split.crops)


def test_the_fingerprint_needs_no_heavy_library_and_is_stable():
    code = (
        "import sys; from pathlib import Path; from harness.data.imagenet_sample import ImageNetSample;"
        "print(ImageNetSample().fingerprint(Path()));"
        "assert not {'torch', 'foolbox', 'skimage', 'sklearn', 'PIL'} & set(sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert printed == ImageNetSample(crops=3).fingerprint(ROOT)
    assert len(printed) == 64


@pytest.mark.parametrize("crops", [0, 1001])
def test_a_number_of_crops_out_of_range_is_refused(crops):
    with pytest.raises(ValueError, match="crops"):
        ImageNetSample(crops=crops)
