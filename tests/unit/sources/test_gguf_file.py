"""GGUF files: the weights that they hold, the tokenizer that they describe, converted once."""

import importlib.metadata

import gguf
import numpy as np
import pytest
import sentencepiece
import torch

from harness.errors import MissingExtra, SourceError
from harness.packaged import packaged
from harness.sources import gguf_file
from harness.sources.heads import inner_language_model
from harness.sources.transformers import Transformers

# Of sentencepiece's bindings, and of what transformers itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

HIDDEN, INNER, HEAD = 32, 64, 16


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """A SentencePiece model like Gemma's: byte-pair pieces, bytes for what has none, texts as they are."""
    folder = tmp_path_factory.mktemp("pieces")
    news = packaged("gensim", "test/test_data/lee_background.cor").read_text(encoding="latin-1").splitlines()
    (folder / "texts").write_text("\n".join(news[:100]), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "texts"), model_prefix=str(folder / "model"), vocab_size=600, model_type="bpe",
        byte_fallback=True, add_dummy_prefix=False, normalization_rule_name="identity", pad_id=0, eos_id=1, bos_id=2,
        unk_id=3, user_defined_symbols=["<b>", "\n\n"], remove_extra_whitespaces=False, minloglevel=2,
    )  # fmt: skip
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "model.model"))
    count = model.get_piece_size()
    kinds = [
        3 if model.is_control(one) else 2 if model.is_unknown(one) else 6 if model.is_byte(one)
        else 4 if model.id_to_piece(one) in ("<b>", "\n\n") else 1
        for one in range(count)
    ]  # fmt: skip
    return (
        model,
        [model.id_to_piece(one) for one in range(count)],
        [model.get_score(one) for one in range(count)],
        kinds,
    )


TEXTS = [
    "The national executive of the strife-torn Democrats last night appointed a senator.",
    "  two spaces,\ta tab\n\nand a break <b>bold</b> 1234.5",
    "Überraschung: naïve 東京 🙂",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_cut_as_sentencepiece_cuts_them(pieces, text):
    model, tokens, scores, kinds = pieces
    made = gguf_file.sentencepiece(tokens, scores, kinds, unknown="<unk>", space_first=False, first="<s>")
    assert made.encode(text).ids == [2, *model.encode(text)]
    assert made.decode(made.encode(text).ids) == text


def test_a_space_before_a_text_is_added_where_the_file_says_so(pieces):
    model, tokens, scores, kinds = pieces
    made = gguf_file.sentencepiece(tokens, scores, kinds, unknown="<unk>", space_first=True, first=None)
    assert made.encode("The senator").ids == model.encode(" The senator")


@pytest.fixture
def file(pieces, tmp_path, monkeypatch):
    monkeypatch.setenv("WEIGHIN_DATA", str(tmp_path / "data"))
    _, tokens, scores, kinds = pieces
    path = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "gemma3")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    writer.add_sliding_window(16)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    generator = np.random.default_rng(0)
    shapes = {
        "token_embd": (len(tokens), HIDDEN), "blk.0.attn_q": (2 * HEAD, HIDDEN), "blk.0.attn_k": (HEAD, HIDDEN),
        "blk.0.attn_v": (HEAD, HIDDEN), "blk.0.attn_output": (HIDDEN, 2 * HEAD), "blk.0.ffn_gate": (INNER, HIDDEN),
        "blk.0.ffn_up": (INNER, HIDDEN), "blk.0.ffn_down": (HIDDEN, INNER),
    }  # fmt: skip
    weights = {name: generator.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
    for name in ("attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm"):
        weights[f"blk.0.{name}"] = np.ones(HIDDEN, dtype=np.float32)
    for name in ("attn_q_norm", "attn_k_norm"):
        weights[f"blk.0.{name}"] = np.ones(HEAD, dtype=np.float32)
    weights["output_norm"] = np.ones(HIDDEN, dtype=np.float32)
    for name, array in weights.items():
        writer.add_tensor(f"{name}.weight", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path, weights


def test_a_file_is_converted_once_with_its_weights_and_its_tokenizer(file, pieces, tmp_path):
    path, weights = file
    source = Transformers(name="tiny.gguf", head="language-model")
    said = []
    source.prepare(tmp_path, said.append)
    assert said == ["converting the GGUF file into the cache: once, for about a minute"]
    model = inner_language_model(source.load(tmp_path))
    state = model.state_dict()
    for ours, theirs in (("attn_q", "self_attn.q_proj"), ("attn_v", "self_attn.v_proj"), ("ffn_down", "mlp.down_proj")):
        np.testing.assert_array_equal(state[f"model.layers.0.{theirs}.weight"].numpy(), weights[f"blk.0.{ours}"])
    np.testing.assert_array_equal(state["model.embed_tokens.weight"].numpy(), weights["token_embd"])
    # Gemma's own norms are counted from 1.
    assert not state["model.norm.weight"].any()
    tokens, mask = source.encoder(tmp_path)(["The senator", ""])
    assert tokens[0].tolist() == [2, *pieces[0].encode("The senator")]
    assert (tokens[1, 0], int(mask[1].sum())) == (2, 1)
    with torch.no_grad():
        assert source.load(tmp_path)(tokens[:1]).shape == (1, tokens.shape[1], len(pieces[1]))
    source.prepare(tmp_path, said.append)
    assert len(said) == 1
    # What is made is told by the file's content, wherever it lies, and nothing half-made is left.
    assert source.fingerprint(tmp_path).count(gguf_file.content(path, None)[:24]) == 1
    assert [one.name for one in (tmp_path / "data" / "gguf").iterdir()] == [
        gguf_file.folder(gguf_file.content(path, None)).name
    ]


def test_a_file_that_is_none_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("WEIGHIN_DATA", str(tmp_path / "data"))
    (tmp_path / "no.gguf").write_bytes(b"GGUF, but no more")
    with pytest.raises(SourceError, match=r"no\.gguf is no GGUF file of a model that transformers can load"):
        Transformers(name="no.gguf", head="language-model").load(tmp_path)
    assert list((tmp_path / "data" / "gguf").iterdir()) == []
    with pytest.raises(SourceError, match=r"no file at .*absent\.gguf"):
        Transformers(name="absent.gguf", head="language-model").load(tmp_path)
    with pytest.raises(SourceError, match="carries no such file, and joins none from parts"):
        Transformers(package="gensim", name="model.gguf", head="language-model").fingerprint(tmp_path)


def test_what_only_opening_the_file_asks_for_is_told_with_its_extra(file, tmp_path, monkeypatch):
    version = importlib.metadata.version

    def without_accelerate(name):
        if name == "accelerate":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_accelerate)
    with pytest.raises(MissingExtra, match=r"weighin\[transformers\]"):
        Transformers(name="tiny.gguf", head="language-model").load(tmp_path)
    assert list((tmp_path / "data" / "gguf").iterdir()) == []
