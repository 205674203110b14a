import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from harness.artifacts.ultralytics import import_ultralytics
from harness.data.base import Batch, Dataset, TensorSplit
from harness.errors import SourceError
from harness.forms import Form, Subject
from harness.methods.base import Workshop
from harness.methods.distillation.distillation import Distillation, distil
from harness.methods.pruning.channel import ChannelPruning
from harness.sources import download
from harness.sources.ultralytics import Ultralytics
from harness.tasks.object_detection import ObjectDetection
from harness.training import Training

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A checkpoint as the trainer writes it, and the same weights as a state dict; three classes."""
    import_ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(1)
    network = DetectionModel("yolo11n.yaml", nc=3, verbose=False)
    torch.save({"ema": network.half(), "model": None, "epoch": 1}, folder / "best.pt")
    save_file({name: one.clone() for name, one in network.state_dict().items()}, folder / "best.safetensors")
    return folder


def test_it_keeps_to_itself():
    import_ultralytics()
    from ultralytics.utils import ONLINE, USER_CONFIG_DIR

    assert not ONLINE
    assert Path.home() / ".config" not in Path(USER_CONFIG_DIR).parents
    assert os.environ["YOLO_AUTOINSTALL"] == "false"


def test_a_checkpoint_answers_as_the_librarys_own_network(folder):
    model = Ultralytics(name="yolo11n", weights="best.pt").load(folder)
    from ultralytics.nn.tasks import load_checkpoint

    theirs = load_checkpoint(folder / "best.pt")[0].eval()
    with torch.no_grad():
        ours, expected = model(IMAGES), theirs(IMAGES)[0]
    # 8 x 8, 4 x 4 and 2 x 2 places; a box and three classes each.
    assert ours.shape == (2, 4 + 3, 84)
    torch.testing.assert_close(ours, expected)


def test_a_state_dict_needs_the_number_of_classes(folder):
    whole = Ultralytics(name="yolo11n", weights="best.pt").load(folder)
    bare = Ultralytics(name="yolo11n", weights="best.safetensors", classes=3).load(folder)
    with torch.no_grad():
        torch.testing.assert_close(bare(IMAGES), whole(IMAGES))
    with pytest.raises(SourceError, match="does not fit the architecture"):
        Ultralytics(name="yolo11n", weights="best.safetensors").load(folder)


class Planted:
    def __reduce__(self):
        return os.mkdir, ("planted",)


def test_a_checkpoint_with_code_in_it_is_not_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    torch.save({"ema": Planted()}, folder / "bad.pt")
    with pytest.raises(SourceError, match="trust: true"):
        Ultralytics(name="yolo11n", weights="bad.pt").load(folder)
    assert not (folder / "planted").exists()


def test_the_loss_is_the_librarys(folder):
    model = Ultralytics(name="yolo11n", weights="best.pt").load(folder)
    targets = torch.full((2, 3, 6), -1.0)
    targets[0, 0] = torch.tensor([1, 8, 16, 40, 48, 0])
    targets[1, 0] = torch.tensor([2, 0, 0, 32, 32, 0])
    targets[1, 1] = torch.tensor([0, 10, 10, 60, 60, 1])  # a crowd is nothing to learn
    batch = {
        "img": IMAGES, "batch_idx": torch.tensor([0.0, 1.0]), "cls": torch.tensor([[1.0], [2.0]]),
        "bboxes": torch.tensor([[24, 32, 32, 32], [16, 16, 32, 32]]) / 64,
    }  # fmt: skip
    network = model.network
    expected = network.init_criterion()(network(IMAGES), batch)[0].sum() / 2
    loss = ObjectDetection().loss(model, Batch((IMAGES,), targets))
    assert loss.item() == pytest.approx(expected.item())
    loss.backward()
    assert network.model[-1].dfl.conv.weight.grad is None
    assert network.model[0].conv.weight.grad.abs().sum() > 0


def test_an_unknown_architecture_names_the_nearest(folder):
    with pytest.raises(SourceError, match="yolo11"):
        Ultralytics(name="yolo111n", weights="best.safetensors").load(folder)
    with pytest.raises(SourceError, match="no architecture at"):
        Ultralytics(name="mine.yaml", weights="best.safetensors").load(folder)


def test_a_model_that_segments_is_no_detector(folder):
    with pytest.raises(SourceError, match="its head is Segment"):
        Ultralytics(name="yolo11n-seg", weights="best.safetensors").load(folder)


def test_published_weights_that_cannot_be_reached_say_so_soon(monkeypatch, tmp_path):
    monkeypatch.setattr(download, "PROBE_SECONDS", 0.5)
    monkeypatch.setattr("harness.sources.ultralytics.PUBLISHED", "http://127.0.0.1:9/assets")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(SourceError, match=r"published weights of yolo11n would have to be downloaded.*local file"):
        Ultralytics(name="yolo11n").load(tmp_path)


def test_halved_branches_compute_what_the_blocks_did(folder):
    model = Ultralytics(name="yolo11n", weights="best.pt").load(folder)
    with torch.no_grad():
        before = model(IMAGES)
        model.halve_branches()
        torch.testing.assert_close(model(IMAGES), before)
    assert sum(type(one).__name__ == "Branches" for one in model.network.model) == 8


def test_channels_of_a_detector_are_removed_and_it_trains_on(folder):
    model = Ultralytics(name="yolo11n", weights="best.pt").load(folder)
    parameters = sum(one.numel() for one in model.parameters())
    targets = torch.full((2, 2, 6), -1.0)
    targets[:, 0] = torch.tensor([1, 8, 16, 40, 48, 0])
    split = TensorSplit(IMAGES, targets)
    workshop = Workshop(
        task=ObjectDetection(), data=Dataset(split, None, split), root=folder, seed=0, progress=lambda text: None
    )
    tuned = Training(epochs=1, batch=2, optimizer="adamw", learning_rate=1e-4)
    step = ChannelPruning(ratio=0.25, round_to=8, finetune=tuned)
    pruned = step.apply(Subject(Form.TORCH, model, (IMAGES[:1],)), workshop).model
    with torch.no_grad():
        assert pruned(IMAGES).shape == (2, 7, 84)
    left = sum(one.numel() for one in pruned.parameters()) / parameters
    # A quarter of the channels of what may be narrowed; the head and what feeds it stay as they are.
    assert 0.5 < left < 0.85


def test_in_training_it_answers_with_decoded_boxes_too_and_they_can_be_learned_from(folder):
    model = Ultralytics(name="yolo11n", weights="best.pt").load(folder)
    with torch.inference_mode():
        expected = model(IMAGES)
    model.train()
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.eval()
    found = model(IMAGES)
    torch.testing.assert_close(found, expected)
    assert model.network.model[-1].training
    found[:, :4].sum().backward()
    assert any(one.grad is not None and one.grad.any() for one in model.network.model[0].parameters())


@pytest.mark.parametrize("mix", [0.5, 1.0])
def test_a_detector_learns_from_another_and_comes_nearer_to_it(folder, mix):
    teacher = Ultralytics(name="yolo11n", weights="best.pt").load(folder)
    # As sure of what it sees as a detector that was trained; with random weights it sees nothing.
    for branch in teacher.network.model[-1].cv3:
        torch.nn.init.zeros_(branch[-1].bias)
    student = Ultralytics(name="yolo11n", classes=3).built()
    targets = torch.tensor([[[1.0, 8, 8, 40, 40, 0]], [[2.0, 20, 10, 60, 50, 0]]])
    split = TensorSplit(IMAGES, targets)
    task = ObjectDetection()

    def apart() -> float:
        # Normalized by this batch: its running statistics lag behind so few steps.
        with torch.no_grad():
            return task.divergence(student.train()(IMAGES), teacher(IMAGES), 1.0).item()

    before = apart()
    options = Distillation(
        mix=mix, temperature=1.0,
        train=Training(epochs=25, batch=2, optimizer="adamw", learning_rate=1e-2, warmup=0.0),
    )  # fmt: skip
    distil(student, teacher, split, task, options, (IMAGES,), seed=0, progress=lambda _: None)
    assert apart() < 0.7 * before
