"""Source `transformers`: an encoder or a language model, from a local folder, a package, a GGUF file, or the hub."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from harness.errors import SourceError
from harness.extras import installed
from harness.packaged import packaged
from harness.sources import gguf_file
from harness.sources.base import SOURCES, Source, digest_of, read_weights, uncut
from harness.sources.hub import fetched

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from harness.forms import Encoder

# What decides a model and its tokenizer in a folder of `save_pretrained`; weights that can run code are not read.
FILES = ("*.json", "*.txt", "*.model", "*.safetensors")
TOKENIZER = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model")


@SOURCES.register
class Transformers(Source):
    """A model of Hugging Face's transformers, with its tokenizer; weights in safetensors only.

    The inputs of an encoder are token numbers and a mask, both int64 of shape (batch, tokens); a language model takes
    token numbers alone and gives logits of every position, shape (batch, tokens, vocabulary).
    """

    source: Literal["transformers"] = "transformers"
    also: ClassVar[Mapping[str, str]] = {"huggingface": "", "hf": ""}
    name: str = Field(
        min_length=1,
        description="a folder written by save_pretrained, a .gguf file, or a name on the hub, which is downloaded "
        "where it is not in the hub's cache; with `package`, a folder inside that package, or the .gguf file that it "
        "joins from parts",
    )
    package: str | None = Field(default=None, description="an installed Python package that carries the model")
    head: Literal["sentence-embedding", "sequence-classification", "linear", "language-model"] | None = Field(
        default=None,
        description="what stands on the encoder: an embedding of the whole text, the model's own classifier, or a "
        "linear classifier of yours on the embedding; or the next token of a causal language model. If left out, what "
        "the task asks for, and linear where `head_weights` is given",
    )
    pooling: Literal["mean", "cls"] = Field(
        default="mean", description="how token states become an embedding: their mean, or the state of the first token"
    )
    head_weights: str | None = Field(
        default=None,
        description="for `head: linear`: a file with `weight` of shape (classes, features) and `bias` of shape "
        "(classes)",
    )
    max_length: int = Field(
        default=256,
        ge=2,
        description="texts are cut after so many tokens; for a language model the data's `window` says",
    )

    @model_validator(mode="after")
    def _head_has_weights(self) -> Transformers:
        if self.head is not None and (self.head == "linear") != (self.head_weights is not None):
            raise ValueError("`head: linear` and `head_weights` go together")
        return self

    def suited(self, task: str, head: str | None) -> Transformers:
        """With the head that the task asks for, where the spec names none."""
        chosen = self.head or ("linear" if self.head_weights else head)
        if chosen is None:
            raise ValueError(f"{task} does not say what the model ends in: give `head`")
        return type(self).model_validate({**self.model_dump(exclude_unset=True), "head": chosen})

    def load(self, root: Path) -> torch.nn.Module:
        """The float model, in evaluation mode."""
        import torch
        from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

        from harness.sources import heads

        if self.head is None:
            raise SourceError(f"{self.name} needs `head`: no task says what it ends in")
        folder = self._folder(root)
        auto = {
            "sequence-classification": AutoModelForSequenceClassification, "language-model": AutoModelForCausalLM,
        }.get(self.head, AutoModel)  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            try:
                # Weights that the file lacks would be random: the loader tells which.
                model, told = auto.from_pretrained(
                    folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
                )
            except (OSError, ValueError, RuntimeError, KeyError) as error:
                first = str(error).strip().splitlines()[0]
                raise SourceError(f"{self.name} is no model that transformers can load: {first}") from error
        absent = sorted(name for name in told["missing_keys"] if "pooler" not in name and "position_ids" not in name)
        if absent or told["mismatched_keys"]:
            raise SourceError(
                f"{self.name} lacks weights for {', '.join(absent[:3]) or 'some layers of another shape'}: it was not "
                f"saved as a model for `head: {self.head}`"
            )
        if self.head == "language-model":
            return heads.language_model(model)
        heads.require_plain_mask(model.eval(), self.name)
        if self.head == "sequence-classification":
            return heads.classifier(model)
        linear = read_weights(root / self.head_weights) if self.head_weights else None
        return heads.embedding(model, self.pooling, linear, str(self.head_weights))

    def encoder(self, root: Path) -> Encoder:
        """The model's tokenizer: texts to token numbers and mask, padded to the longest at their end.

        For a language model texts are not cut, and an empty text gives what stands before every text.
        """
        folder = self._folder(root)
        if self._gguf(root) is not None:
            return gguf_file.encoder(folder)
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise SourceError(f"{self.name} has no tokenizer that transformers can load: {error}") from error
        if self.head == "language-model":
            return uncut(lambda text: list(tokenizer(text, verbose=False)["input_ids"]))
        limit = min(self.max_length, tokenizer.model_max_length)

        def encode(texts: Sequence[str]) -> tuple[torch.Tensor, ...]:
            found = tokenizer(list(texts), padding=True, truncation=True, max_length=limit, return_tensors="pt")
            return found["input_ids"], found["attention_mask"]

        return encode

    def prepare(self, root: Path, progress: Callable[[str], None]) -> None:
        """Convert a GGUF file, if it is one and no earlier run has."""
        self._folder(root, progress)

    def fingerprint(self, root: Path) -> str:
        """The bytes of the folder and of the head, and the version of transformers."""
        head = digest_of(root / self.head_weights) if self.head_weights else ""
        return f"transformers {installed('transformers')}, {self._digest(root, FILES)}, {head}"

    def tokenizer(self, root: Path) -> str:
        """The bytes of the tokenizer's files."""
        return f"{installed('tokenizers')}, {self._digest(root, TOKENIZER)}"

    def _digest(self, root: Path, patterns: tuple[str, ...]) -> str:
        gguf = self._gguf(root)
        if gguf is not None:
            return gguf_file.folder(gguf_file.content(*gguf)).name
        folder = self._folder(root)
        found = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
        return " ".join(digest_of(path) for path in found)

    def _gguf(self, root: Path) -> tuple[Path | None, str | None] | None:
        """The GGUF file, or the package that joins it from parts; None where the model is no such file."""
        if not self.name.endswith(".gguf"):
            return None
        if self.package is None:
            return root / self.name, None
        inside = packaged(self.package, "__init__.py").parent / self.name
        return (inside, None) if inside.is_file() else (None, self.package)

    def _folder(self, root: Path, progress: Callable[[str], None] = lambda text: None) -> Path:
        gguf = self._gguf(root)
        if gguf is not None:
            return gguf_file.converted(gguf_file.content(*gguf), *gguf, progress)
        if self.package is not None:
            return packaged(self.package, self.name)
        local = root / self.name
        if local.is_dir():
            return local
        if self.name.startswith((".", "/", "~")) or self.name.count("/") > 1:
            raise SourceError(f"no folder at {self.name} (relative paths start at the directory that holds specs/)")
        return _fetched(self.name)


def _fetched(name: str) -> Path:
    """The hub's folder, from its cache where it is there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    fetch = partial(snapshot_download, name, allow_patterns=list(FILES))
    try:
        return Path(fetch(local_files_only=True))
    except LocalEntryNotFoundError:
        instead = "Give `name:` the path of a local folder instead, as save_pretrained writes it"
        return Path(fetched(fetch, name, instead))
