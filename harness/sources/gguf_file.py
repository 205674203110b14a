"""GGUF files: converted once to a folder as save_pretrained writes it, float32 weights and tokenizer, in the cache."""

from __future__ import annotations

import functools
import importlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import DataError, SourceError
from harness.extras import installed
from harness.folders import data_folder
from harness.packaged import packaged
from harness.sources.base import digest_of, uncut

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from harness.forms import Encoder

# Counts up whenever another folder is made of the same file.
CONVERSION = 1
# Kinds of token: control tokens are never text; what a user defined is matched before all else.
_CONTROL, _USER_DEFINED, _BYTE = 3, 4, 6
_SPACE = "▁"
_SPECIAL = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}


def content(path: Path | None, package: str | None) -> str:
    """The sha256 of a GGUF file, or of the one that a package joins from its parts, which says it itself.

    Raises:
        SourceError: there is no such file, or no such package.
    """
    if path is not None:
        stat = path.stat() if path.is_file() else None
        return _digest(path, stat.st_mtime_ns if stat else 0)
    return str(_package(package).EXPECTED_SHA256)


def folder(digest: str) -> Path:
    """Where the conversion of that file lies, or will lie: below `WEIGHIN_DATA`, or in the user's cache folder."""
    made_by = f"{installed('transformers')}-{installed('gguf')}-{CONVERSION}"
    return data_folder() / "gguf" / f"{digest[:24]}-{made_by}"


def converted(digest: str, path: Path | None, package: str | None, progress: Callable[[str], None]) -> Path:
    """The folder of a GGUF file: config, float32 weights in safetensors, tokenizer. Made whole or not at all.

    Args:
        digest: the file's sha256.
        path: the file; None where a package joins it from parts.
        package: that package.
        progress: told where there is something to do.

    Raises:
        SourceError: transformers cannot read the file.
        MissingExtra: a package that reads it is not installed.
    """
    target = folder(digest)
    if target.is_dir():
        return target
    progress("converting the GGUF file into the cache: once, for about a minute")
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        joined = path
        if joined is None:
            joined = _package(package).assemble(staging / "joined.gguf", overwrite=True)
        _write(joined, staging / "folder")
        try:
            (staging / "folder").rename(target)
        except OSError:
            # Where another run was quicker its folder stands.
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def encoder(made: Path) -> Encoder:
    """The tokenizer of a converted folder, which needs nothing of transformers: importing that takes seconds."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(made / "tokenizer.json"))
    return uncut(lambda text: list(tokenizer.encode(text).ids))


@functools.cache
def _digest(path: Path, _changed: int) -> str:
    return digest_of(path)


def _package(package: str | None) -> Any:
    try:
        code = packaged(str(package), "__init__.py").read_text(encoding="utf-8")
    except DataError as error:
        raise SourceError(str(error)) from error
    if "EXPECTED_SHA256" not in code or "def assemble" not in code:
        raise SourceError(f"the package {package} carries no such file, and joins none from parts")
    return importlib.import_module(str(package))


def _write(path: Path, target: Path) -> None:
    import torch
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM

    # transformers asks for it, and only as it opens the file.
    installed("accelerate")
    try:
        with torch.random.fork_rng(devices=[]):
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                path.parent, gguf_file=path.name, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError, NotImplementedError) as error:
        first = str(error).strip().splitlines()[0]
        raise SourceError(f"{path.name} is no GGUF file of a model that transformers can load: {first}") from error
    model, told = loaded
    if told["missing_keys"] or told["mismatched_keys"]:
        raise SourceError(f"{path.name} lacks weights for {', '.join(sorted(told['missing_keys'])[:3])}")
    model.save_pretrained(target)
    del model, loaded
    _save_tokenizer(GGUFReader(path), path, target)


def _save_tokenizer(reader: Any, path: Path, target: Path) -> None:
    """Write the tokenizer that the file itself describes.

    What transformers makes of a SentencePiece vocabulary in a GGUF file lacks the merges: one token a character.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    def field(name: str) -> Any:
        found = reader.get_field(f"tokenizer.ggml.{name}")
        return None if found is None else found.contents()

    if field("model") != "llama":
        AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(target)
        return
    tokens, kinds = field("tokens"), field("token_type")
    places = {ours: field(f"{name}_token_id") for name, ours in _SPECIAL.items()}
    special = {ours: tokens[place] for ours, place in places.items() if place is not None}
    prefix = field("add_space_prefix")
    made = sentencepiece(
        tokens, field("scores"), kinds, unknown=special.get("unk_token"), space_first=prefix is None or prefix,
        first=special.get("bos_token") if field("add_bos_token") is not False else None,
    )  # fmt: skip
    whole: Any = PreTrainedTokenizerFast
    whole(tokenizer_object=made, **special).save_pretrained(target)


def sentencepiece(
    tokens: list[str], scores: list[float], kinds: list[int], *,
    unknown: str | None, space_first: bool, first: str | None,
) -> Tokenizer:  # fmt: skip
    """A byte-pair tokenizer that cuts texts as SentencePiece does with this vocabulary.

    Args:
        tokens: the pieces, in the order of their numbers.
        scores: of each; of two pairs the one whose piece has the higher score is joined first.
        kinds: of each: 1 normal, 2 unknown, 3 control, 4 defined by the user, 6 a byte.
        unknown: the piece for what has no other.
        space_first: whether a text is taken as if a space stood before it.
        first: the piece that is put before every text; None for none.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, normalizers, processors
    from tokenizers.models import BPE
    from transformers.tokenization_utils_base import generate_merges

    vocabulary = {token: place for place, token in enumerate(tokens)}
    apart = {token for token, kind in zip(tokens, kinds, strict=True) if kind in (_CONTROL, _USER_DEFINED, _BYTE)}
    ranked = {token: scores[place] for token, place in vocabulary.items()}
    merges = generate_merges(vocabulary, ranked, skip_tokens=apart)
    made = Tokenizer(
        BPE(vocab=vocabulary, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=_BYTE in kinds)
    )
    steps = [normalizers.Prepend(_SPACE)] if space_first else []
    made.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", _SPACE)])
    made.decoder = decoders.Sequence([decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    for kind, add in ((_USER_DEFINED, made.add_tokens), (_CONTROL, made.add_special_tokens)):
        add([AddedToken(one, normalized=False) for one, own in zip(tokens, kinds, strict=True) if own == kind])
    if first is not None:
        made.post_processor = processors.TemplateProcessing(
            single=f"{first} $A", pair=f"{first} $A {first} $B", special_tokens=[(first, vocabulary[first])]
        )
    return made
