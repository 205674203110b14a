import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlparse

import pytest
import torch
import torchvision
from pydantic import ValidationError
from safetensors.torch import save_file

from harness.errors import SourceError
from harness.forms import Form
from harness.sources.download import PROBE_SECONDS, demand_network
from harness.sources.torchvision import Torchvision

WEIGHTS = "weights/mine.safetensors"


@pytest.fixture(scope="module")
def own() -> torch.nn.Module:
    torch.manual_seed(3)
    return torchvision.models.shufflenet_v2_x0_5(num_classes=10).eval()


@pytest.fixture(scope="module")
def root(own, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("project")
    (root / "weights").mkdir()
    save_file(own.state_dict(), root / WEIGHTS)
    return root


def test_the_example_of_the_manual_gives_the_model_that_was_saved(root, own):
    source = Torchvision(name="shufflenet_v2_x0_5", weights=WEIGHTS, options={"num_classes": 10})
    assert source.gives is Form.TORCH
    before = torch.random.get_rng_state()
    model = source.load(root)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not model.training
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model(x), own(x))


def test_an_absolute_path_serves_too(root, own):
    source = Torchvision(name="shufflenet_v2_x0_5", weights=str(root / WEIGHTS), options={"num_classes": 10})
    loaded, saved = source.load(Path("/")).state_dict(), own.state_dict()
    assert loaded.keys() == saved.keys()
    assert all(torch.equal(loaded[name], saved[name]) for name in saved)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("shuflenet_v2_x0_5", {}, r"registers no model 'shuflenet_v2_x0_5'.*Did you mean 'shufflenet_v2_x0_5'"),
        ("shufflenet_v2_x0_5", {"num_clases": 10}, r"no option 'num_clases'.*Did you mean 'num_classes'"),
        ("shufflenet_v2_x0_5", {"num_classes": "ten"}, r"refuses its options: TypeError"),
        ("shufflenet_v2_x0_5", {}, r"fc\.weight is \(10, 1024\) in the file and \(1000, 1024\) in the model"),
        ("shufflenet_v2_x1_0", {"num_classes": 10}, r"mine\.safetensors does not fit the architecture"),
    ],
)
def test_what_does_not_fit_is_answered_with_a_sentence(root, name, options, sentence):
    with pytest.raises(SourceError, match=sentence):
        Torchvision(name=name, weights=WEIGHTS, options=options).load(root)


def test_the_accepted_options_are_those_of_the_constructor(root):
    with pytest.raises(SourceError) as caught:
        Torchvision(name="mobilenet_v2", weights=WEIGHTS, options={"width": 0.5}).load(root)
    # torchvision 0.29: MobileNetV2(num_classes, width_mult, inverted_residual_setting, round_nearest, block,
    # norm_layer, dropout)
    for name in ("num_classes", "width_mult", "round_nearest", "dropout"):
        assert name in str(caught.value)
    assert "Did you mean 'width_mult'?" in str(caught.value)


def test_no_backbone_is_fetched_behind_the_users_back(root):
    # Building this detector as torchvision does by default would download a ResNet-50.
    started = time.monotonic()
    with pytest.raises(SourceError, match="does not fit the architecture"):
        Torchvision(name="ssdlite320_mobilenet_v3_large", weights=WEIGHTS).load(root)
    assert time.monotonic() - started < 8


@pytest.mark.parametrize("name", ["weights", "weights_backbone", "progress", "quantize"])
def test_switches_that_decide_weights_are_no_options(name):
    with pytest.raises(ValidationError, match="cannot be an option of the architecture"):
        Torchvision(name="resnet18", weights=WEIGHTS, options={name: True})


def test_random_weights_cannot_be_asked_for():
    with pytest.raises(ValidationError, match="weights"):
        Torchvision(name="resnet18")


@pytest.mark.parametrize(
    ("weights", "published"),
    [
        ("IMAGENET1K_V2", "IMAGENET1K_V2"),
        ("DEFAULT", "DEFAULT"),
        ("ResNet50_Weights.IMAGENET1K_V2", "IMAGENET1K_V2"),
        ("MINE.safetensors", None),
        ("weights/MINE", None),
        ("mine.pth", None),
    ],
)
def test_names_of_published_weights_are_told_from_paths(weights, published):
    assert Torchvision(name="resnet50", weights=weights).published == published


def test_an_unknown_name_of_published_weights_lists_the_known(root):
    with pytest.raises(SourceError, match="no weights IMAGENET1K_V3 for resnet50, but IMAGENET1K_V1, IMAGENET1K_V2"):
        Torchvision(name="resnet50", weights="IMAGENET1K_V3").load(root)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def no_network(monkeypatch):
    """A name server that knows nobody, as on a machine without a network."""

    def unknown(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)


def test_without_a_network_the_way_out_is_told_at_once(root, cache, no_network):
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"IMAGENET1K_V1 of squeezenet1_1.*cannot be reached.*path of a local file"):
        Torchvision(name="squeezenet1_1", weights="IMAGENET1K_V1").load(root)
    assert time.monotonic() - started < 5
    assert not list(cache.glob("*"))


def test_a_name_server_that_never_answers_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **kwargs: time.sleep(60))
    monkeypatch.setattr("harness.sources.download.PROBE_SECONDS", 0.5)
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"example\.org cannot be reached \(no answer\)"):
        demand_network("https://example.org/weights.pth", "the weights")
    assert time.monotonic() - started < 3
    assert PROBE_SECONDS <= 10


def test_published_weights_come_from_the_cache(root, cache, no_network):
    weights = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    torch.manual_seed(5)
    donor = torchvision.models.squeezenet1_1()
    cache.mkdir(parents=True)
    torch.save(donor.state_dict(), cache / Path(urlparse(weights.url).path).name)
    model = Torchvision(name="squeezenet1_1", weights="IMAGENET1K_V1").load(root)
    assert not model.training
    assert torch.equal(model.classifier[1].weight, donor.classifier[1].weight)
    with pytest.raises(SourceError, match="expected value 1000 but got 10"):
        Torchvision(name="squeezenet1_1", weights="IMAGENET1K_V1", options={"num_classes": 10}).load(root)


class Payload:
    def __init__(self, at: Path):
        self.at = at

    def __reduce__(self):
        return (Path.touch, (self.at,))


def test_a_poisoned_cache_does_not_run(root, cache, tmp_path, no_network):
    url = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1.url
    cache.mkdir(parents=True)
    torch.save({"x": Payload(tmp_path / "struck")}, cache / Path(urlparse(url).path).name)
    with pytest.raises(SourceError, match="run code"):
        Torchvision(name="squeezenet1_1", weights="IMAGENET1K_V1").load(root)
    assert not (tmp_path / "struck").exists()


def test_the_fingerprint_follows_the_bytes_of_the_file(tmp_path):
    source = Torchvision(name="resnet18", weights="w.safetensors")
    (tmp_path / "w.safetensors").write_bytes(b"one")
    first = source.fingerprint(tmp_path)
    (tmp_path / "w.safetensors").write_bytes(b"two")
    assert source.fingerprint(tmp_path) != first
    assert torchvision.__version__.partition("+")[0] in first


def test_validating_a_spec_imports_no_heavy_library():
    code = (
        "import sys; from harness.registry import Registry; from harness.sources.base import SOURCES\n"
        "SOURCES['torchvision'](name='resnet18', weights='w'); SOURCES['timm'](name='resnet18', weights='w')\n"
        "SOURCES['file'](architecture='torchvision:resnet18', weights='w'); SOURCES['python'](factory='a:b')\n"
        "print(sorted({'torch', 'torchvision', 'timm', 'huggingface_hub', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def detector(root: Path) -> tuple[torch.nn.Module, torch.nn.Module]:
    """A detector of four classes with random weights, by torchvision itself and as the source loads it."""
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(
        "ssdlite320_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=5
    ).eval()
    torch.save(theirs.state_dict(), root / "mine.pt")
    source = Torchvision(name="ssdlite320_mobilenet_v3_large", weights="mine.pt", options={"num_classes": 5})
    return theirs, source.load(root)


def test_a_single_shot_detector_gives_the_boxes_that_torchvision_decodes(tmp_path):
    theirs, ours = detector(tmp_path)
    images = torch.rand(2, 3, 320, 320, generator=torch.Generator().manual_seed(1))
    decoded = {}

    def keep(head_outputs, anchors, shapes):
        decoded["boxes"] = torch.stack(
            [
                theirs.box_coder.decode_single(one, each)
                for one, each in zip(head_outputs["bbox_regression"], anchors, strict=True)
            ]
        )
        decoded["scores"] = head_outputs["cls_logits"].softmax(-1)
        return [{} for _ in shapes]

    theirs.postprocess_detections = keep
    with torch.no_grad():
        theirs.transform.postprocess = lambda *_: []
        theirs(list(images))
        candidates = ours(images)
    assert candidates.shape == (2, 4 + 4, 3234)
    boxes = torchvision.ops.box_convert(candidates[:, :4].transpose(1, 2), "cxcywh", "xyxy")
    torch.testing.assert_close(boxes, decoded["boxes"], rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(candidates[:, 4:].transpose(1, 2), decoded["scores"][..., 1:])


def test_a_single_shot_detector_brings_its_loss(tmp_path):
    theirs, ours = detector(tmp_path)
    images = torch.rand(2, 3, 320, 320, generator=torch.Generator().manual_seed(1))
    targets = torch.full((2, 2, 6), -1.0)
    targets[0, 0] = torch.tensor([3, 20, 30, 120, 150, 0])
    targets[1, 0] = torch.tensor([0, 100, 100, 300, 300, 0])
    wanted = [
        {"boxes": torch.tensor([[20.0, 30, 120, 150]]), "labels": torch.tensor([4])},
        {"boxes": torch.tensor([[100.0, 100, 300, 300]]), "labels": torch.tensor([1])},
    ]
    expected = sum(theirs.train()(list(images), wanted).values())
    loss = ours.train().detection_loss(images, targets)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
