import copy
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from harness.errors import SourceError
from harness.sources.base import digest_of, fit_weights, read_weights


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(7, 3)
        self.norm = torch.nn.BatchNorm1d(3)
        self.head = torch.nn.Linear(3, 7, bias=False)
        self.head.weight = self.embed.weight


def network(seed: int) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network(1).state_dict().items()}


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, at: Path):
        self.at = at

    def __reduce__(self):
        return (Path.touch, (self.at,))


@pytest.mark.parametrize(
    "save",
    [
        pytest.param(lambda payload, path: torch.save(payload, path), id="zip"),
        pytest.param(
            lambda payload, path: torch.save(payload, path, _use_new_zipfile_serialization=False), id="legacy"
        ),
        pytest.param(lambda payload, path: path.write_bytes(pickle.dumps(payload, protocol=2)), id="bare pickle"),
    ],
)
def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path, save):
    struck, path = tmp_path / "struck", tmp_path / "weights.pth"
    save({"weight": Payload(struck)}, path)
    with pytest.raises(SourceError, match=r"run code from the file.*safetensors.*trust: true"):
        read_weights(path)
    assert not struck.exists()


def test_the_payload_would_have_run(tmp_path):
    struck, path = tmp_path / "struck", tmp_path / "weights.pth"
    torch.save({"weight": Payload(struck)}, path)
    with pytest.raises(SourceError, match="no state dict"):
        read_weights(path, trust=True)
    assert struck.exists()


def test_a_pickled_module_needs_trust_and_then_gives_its_state_dict(tmp_path):
    model, path = network(1), tmp_path / "model.pth"
    torch.save(model, path)
    with pytest.raises(SourceError, match=r"torch\.nn\.modules\.container\.Sequential"):
        read_weights(path)
    loaded = read_weights(path, trust=True)
    assert loaded.keys() == model.state_dict().keys()


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_both_formats_give_the_same_tensors(tmp_path, state, name):
    path = tmp_path / name
    save_file(state, path) if name.endswith("safetensors") else torch.save(state, path)
    loaded = read_weights(path)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_a_training_checkpoint_gives_the_state_dict_inside(tmp_path, state, key):
    path = tmp_path / "checkpoint.pth"
    torch.save({"epoch": 3, key: state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}, path)
    assert read_weights(path).keys() == state.keys()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "no state dict"),
        ({"epoch": 3}, "no state dict"),
        ([torch.zeros(2)], "no state dict"),
    ],
)
def test_what_is_no_state_dict_is_named(tmp_path, content, sentence):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(SourceError, match=sentence):
        read_weights(tmp_path / "weights.pth")


@pytest.mark.parametrize("trust", [False, True])
def test_a_damaged_file_is_called_damaged_and_not_dangerous(tmp_path, state, trust):
    whole = tmp_path / "whole.pth"
    torch.save(state, whole)
    cut = tmp_path / "cut.pth"
    cut.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(SourceError, match=r"no readable torch\.save file"):
        read_weights(cut, trust=trust)
    shard = tmp_path / "cut.safetensors"
    shard.write_bytes(b"\x10\0\0\0\0\0\0\0{not json")
    with pytest.raises(SourceError, match="no readable safetensors file"):
        read_weights(shard, trust=trust)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"no weights at .*nowhere\.pth"):
        read_weights(tmp_path / "nowhere.pth")


def test_fitting_loads_every_value_and_evaluates(state):
    model = fit_weights(network(2), state, "weights.pth")
    assert not model.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model."])
def test_wrapper_prefixes_are_stripped(state, prefix):
    wrapped = {prefix + name: value for name, value in state.items()}
    model = fit_weights(network(2), wrapped, "weights.pth")
    assert torch.equal(model[0].weight, state["0.weight"])
    assert set(wrapped) == {prefix + name for name in state}  # the caller's mapping is left alone


def test_a_real_data_parallel_checkpoint_fits(tmp_path):
    model = network(1)
    torch.save(torch.nn.DataParallel(copy.deepcopy(model)).state_dict(), tmp_path / "parallel.pth")
    fitted = fit_weights(network(2), read_weights(tmp_path / "parallel.pth"), "parallel.pth")
    assert torch.equal(fitted[2].weight, model[2].weight)


def test_a_model_whose_own_names_start_like_a_wrapper_is_left_alone():
    inner = torch.nn.Module()
    inner.module = torch.nn.Linear(2, 2)
    state = {name: torch.ones_like(value) for name, value in inner.state_dict().items()}
    assert fit_weights(inner, state, "w").module.weight.sum() == 4


def test_misfits_name_the_first_of_each_kind(state):
    del state["0.bias"]
    state["extra"] = torch.zeros(1)
    state["2.weight"] = torch.zeros(5, 3)
    with pytest.raises(SourceError) as caught:
        fit_weights(network(2), state, "weights.pth")
    assert str(caught.value) == (
        "weights.pth does not fit the architecture: 1 missing (0.bias); 1 unexpected (extra); "
        "1 of another shape (2.weight is (5, 3) in the file and (2, 3) in the model)"
    )


def test_integer_codes_are_not_poured_into_float_parameters(state):
    state["0.weight"] = torch.ones(3, 4, dtype=torch.int8)
    with pytest.raises(SourceError, match=r"0\.weight is int8 in the file and float32 in the model"):
        fit_weights(network(2), state, "weights.pth")


def test_half_precision_files_fit_a_float_model(state):
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    model = fit_weights(network(2), half, "weights.pth")
    assert model[0].weight.dtype is torch.float32
    torch.testing.assert_close(model[0].weight, state["0.weight"], rtol=1e-3, atol=1e-3)


def test_counters_and_second_names_of_tied_tensors_may_be_left_out():
    torch.manual_seed(0)
    donor = Tied()
    state = {name: value for name, value in donor.state_dict().items() if name not in ("head.weight",)}
    del state["norm.num_batches_tracked"]
    model = fit_weights(Tied(), state, "weights.safetensors")
    assert torch.equal(model.head.weight, donor.embed.weight)
    assert model.head.weight is model.embed.weight
    state["embed.weight"] = state["embed.weight"][:5]
    with pytest.raises(SourceError, match=r"embed\.weight is \(5, 3\)"):
        fit_weights(Tied(), state, "weights.safetensors")


def test_untied_tensors_of_one_shape_do_not_stand_in_for_each_other():
    model = torch.nn.Sequential(torch.nn.Linear(3, 3, bias=False), torch.nn.Linear(3, 3, bias=False))
    with pytest.raises(SourceError, match=r"1 missing \(1\.weight\)"):
        fit_weights(model, {"0.weight": torch.zeros(3, 3)}, "w")


def test_digests_see_bytes_and_names(tmp_path):
    import hashlib

    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.bin").write_bytes(b"weights")
    assert digest_of(tmp_path / "a" / "x.bin") == hashlib.sha256(hashlib.sha256(b"weights").digest()).hexdigest()
    before = digest_of(tmp_path / "a")
    (tmp_path / "a" / "x.bin").rename(tmp_path / "a" / "y.bin")
    renamed = digest_of(tmp_path / "a")
    (tmp_path / "a" / "y.bin").write_bytes(b"Weights")
    assert len({before, renamed, digest_of(tmp_path / "a")}) == 3
    with pytest.raises(SourceError, match="no file at"):
        digest_of(tmp_path / "b")
