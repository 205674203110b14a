import time
from pathlib import Path

import pytest
import timm
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from harness.errors import SourceError
from harness.sources.timm import Timm

# The smallest that timm registers: 0.27 million parameters.
NAME = "test_convnext"
WEIGHTS = "mine.safetensors"


@pytest.fixture(scope="module")
def own() -> torch.nn.Module:
    torch.manual_seed(3)
    return timm.create_model(NAME, num_classes=10).eval()


@pytest.fixture(scope="module")
def root(own, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("project")
    save_file(own.state_dict(), root / WEIGHTS)
    return root


@pytest.mark.parametrize("name", [NAME, f"{NAME}.r160_in1k"])
def test_own_weights_give_the_model_that_was_saved(root, own, name):
    before = torch.random.get_rng_state()
    model = Timm(name=name, weights=WEIGHTS, options={"num_classes": 10}).load(root)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not model.training
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model(x), own(x))


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("mobilenetv3_smal_100", {}, r"timm registers no model.*Did you mean 'mobilenetv3_small_100'"),
        ("resnet18.nope", {}, r"Invalid pretrained tag.*resnet18\.a1_in1k"),
        (NAME, {"num_clases": 10}, r"no option 'num_clases'.*Did you mean 'num_classes'"),
        (NAME, {}, r"head\.fc\.weight is \(10, 64\) in the file and \(1000, 64\) in the model"),
    ],
)
def test_what_does_not_fit_is_answered_with_a_sentence(root, name, options, sentence):
    with pytest.raises(SourceError, match=sentence):
        Timm(name=name, weights=WEIGHTS, options=options).load(root)


@pytest.mark.parametrize("name", ["pretrained", "checkpoint_path", "pretrained_cfg"])
def test_switches_that_decide_weights_are_no_options(name):
    with pytest.raises(ValidationError, match="cannot be an option of the architecture"):
        Timm(name=NAME, weights=WEIGHTS, options={name: True})


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """An empty hub cache on a machine without a network."""

    def unknown(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", [NAME, "legacy_seresnet18"])  # the latter is not on the hub: timm gives an address
def test_without_a_network_the_way_out_is_told_at_once(root, hub, name):
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"cannot be reached.*path of a local file"):
        Timm(name=name, weights="pretrained").load(root)
    assert time.monotonic() - started < 5


def test_a_random_head_is_refused(root, hub):
    with pytest.raises(SourceError, match="tell 1000 classes apart; with num_classes: 10 the classifier would be"):
        Timm(name=NAME, weights="pretrained", options={"num_classes": 10}).load(root)


def test_names_without_published_weights_are_told(root, hub):
    with pytest.raises(SourceError, match="no pretrained weights for resnet50t"):
        Timm(name="resnet50t", weights="pretrained").load(root)


def test_pretrained_weights_come_from_the_hubs_cache(root, hub):
    torch.manual_seed(7)
    donor = timm.create_model(NAME)
    commit = "0" * 40
    repository = hub / f"models--timm--{NAME}.r160_in1k"
    (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    save_file(donor.state_dict(), repository / "snapshots" / commit / "model.safetensors")
    model = Timm(name=NAME, weights="pretrained").load(root)
    assert not model.training
    assert torch.equal(model.head.fc.weight, donor.head.fc.weight)


def test_the_fingerprint_follows_the_bytes_of_the_file(tmp_path):
    source = Timm(name=NAME, weights="w.safetensors")
    (tmp_path / "w.safetensors").write_bytes(b"one")
    first = source.fingerprint(tmp_path)
    (tmp_path / "w.safetensors").write_bytes(b"two")
    assert source.fingerprint(tmp_path) != first
    assert timm.__version__ in first
