"""Documents as windows of tokens: what a language model reads at once, and which of its tokens are scored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from harness.data.base import Batch, Dataset, Split, of_one_length
from harness.errors import DataError

if TYPE_CHECKING:
    import torch

    from harness.forms import Encoder

# The target of a position that is not scored, as torch's cross-entropy takes it.
UNSCORED = -100
# What stands between documents that share a window.
BREAK = "\n\n"
# The last few tokens of a text, a window of their own, may well end another text too.
TELLING = 16

Window = Annotated[int, Field(ge=8, le=131_072)]


@dataclass(frozen=True)
class Cut:
    """How documents become windows.

    A window begins with what the model's tokenizer puts before every text (for Gemma and Llama: BOS), which is never
    scored; where the tokenizer puts nothing there, a window's first token is not scored, for nothing precedes it. What
    it puts behind every text (EOS, or a separator) is left out: most windows end within a text.

    Documents that are shorter than a window share one, whole and in order, with an empty line between them. A longer
    one has windows of its own, each `stride` tokens after the last; of tokens that two of them hold, the first scores
    them, so that every token of a text counts once.

    Attributes:
        window: tokens that the model reads at once, what is put before a text among them.
        stride: tokens by which a window starts after the one before it; None for windows that do not overlap.
        most: windows at most, the first ones; None for all.
    """

    window: int = 512
    stride: int | None = None
    most: int | None = None


class Documents(Split):
    """Whole texts, before a model's tokenizer has cut them.

    Args:
        texts: one a document.
        names: what a report calls each.
        cut: how they are cut.
    """

    def __init__(self, texts: Sequence[str], names: Sequence[str], cut: Cut) -> None:
        self.texts, self._names, self.cut = list(texts), list(names), cut

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def names(self) -> list[str]:
        """What a report calls each document."""
        return list(self._names)

    def digests(self) -> Iterator[bytes]:
        """A digest of each text, without the white space around it."""
        for text in self.texts:
            yield hashlib.blake2b(text.strip().encode(), digest_size=16).digest()

    def batches(self, size: int, shuffle: int | None = None) -> Iterator[Batch]:
        """None: a tokenizer has to come first.

        Raises:
            DataError: always.
        """
        raise DataError("documents were asked for tokens before a tokenizer was given")

    def encoded(self, encoder: Encoder | None) -> Windows:
        """The windows.

        Raises:
            DataError: the model's source brings no tokenizer, or one that puts other tokens around a text than around
                none; or a window holds nothing but what stands before a text.
        """
        if encoder is None:
            raise DataError(
                "the samples are texts, and the source of the model brings no tokenizer: `source: transformers` does"
            )
        before, behind = _around(encoder)
        room = self.cut.window - len(before)
        stride = self.cut.stride or room
        if stride > room:
            raise DataError(
                f"`stride: {stride}` skips tokens: a window of {self.cut.window} holds {room} tokens of a text"
            )
        between = _inside(_tokens(encoder, BREAK), before, behind, "an empty line")
        rows: list[Row] = []
        shared: list[int] = []
        held: list[int] = []

        def close() -> None:
            if held:
                rows.append(Row([*before, *shared], len(before), held[0], self._called(held)))
            shared.clear()
            held.clear()

        for index, text in enumerate(self.texts):
            if self.cut.most is not None and len(rows) >= self.cut.most:
                break
            tokens = _inside(_tokens(encoder, text), before, behind, self._names[index])
            if len(tokens) > room:
                close()
                rows += _long(tokens, before, room, stride, index, self._names[index], text)
                continue
            if held and len(shared) + len(between) + len(tokens) > room:
                close()
            shared += [*(between if held else ()), *tokens]
            held.append(index)
        close()
        return Windows(rows[: self.cut.most], self.cut.window)

    def _called(self, held: Sequence[int]) -> str:
        first, last = self._names[held[0]], self._names[held[-1]]
        return first if len(held) == 1 else f"{first} to {last}"


@dataclass(frozen=True)
class Row:
    """One window.

    Attributes:
        tokens: as the model reads them.
        first: the first of them that is scored; what comes before is context.
        unit: the document, or the first of those that share the window.
        name: what a report calls it.
        text: the document, where the window's own tokens are too few to tell it by.
    """

    tokens: list[int]
    first: int
    unit: int
    name: str
    text: str = ""


class Windows(Split):
    """Windows of tokens. Units are documents, or groups of them that share a window.

    Args:
        rows: the windows.
        width: tokens of the longest that there may be.
    """

    def __init__(self, rows: Sequence[Row], width: int) -> None:
        # A single token predicts nothing.
        self.rows, self.width = [row for row in rows if len(row.tokens) > 1], width

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, size: int, shuffle: int | None = None) -> Iterator[Batch]:
        """Stream windows.

        Inputs are token numbers, int64 of shape (batch, longest of the batch), padded with 0 behind the text, where no
        earlier position sees it. Targets are int64 of shape (batch, width): the token that follows each position, -100
        where that is not scored.
        """
        import torch

        for chosen in torch.split(self.order(shuffle), size):
            yield self._batch(chosen.tolist())

    def unpadded(self, size: int) -> Iterator[Batch]:
        """Stream windows with equally many tokens, the shortest first."""
        for chosen in of_one_length([len(row.tokens) for row in self.rows], size):
            yield self._batch(chosen)

    def _batch(self, chosen: Sequence[int]) -> Batch:
        import torch

        rows = [self.rows[index] for index in chosen]
        tokens = torch.zeros((len(rows), max(len(row.tokens) for row in rows)), dtype=torch.int64)
        targets = torch.full((len(rows), self.width), UNSCORED, dtype=torch.int64)
        filled = torch.ones(tokens.shape, dtype=torch.bool)
        for place, row in enumerate(rows):
            whole = torch.tensor(row.tokens)
            tokens[place, : len(whole)], filled[place, : len(whole)] = whole, False
            # What is scored at a position is the token after it; of the first token there is none before it.
            first = max(row.first, 1)
            targets[place, first - 1 : len(whole) - 1] = whole[first:]
        return Batch((tokens,), targets, filled)

    def digests(self) -> Iterator[bytes]:
        """A digest of each window's tokens, and of the whole document where they are too few to tell it by."""
        for row in self.rows:
            tokens = np.array(row.tokens, dtype=np.int64).tobytes()
            yield hashlib.blake2b(tokens + row.text.strip().encode(), digest_size=16).digest()

    @property
    def units(self) -> np.ndarray[Any, Any]:
        """The document of each window."""
        return np.array([row.unit for row in self.rows], dtype=np.int64)

    @property
    def names(self) -> list[str]:
        """What a report calls each window."""
        return [row.name for row in self.rows]


def _long(
    tokens: list[int], before: list[int], room: int, stride: int, unit: int, name: str, text: str
) -> Iterator[Row]:
    scored = 0
    for start in range(0, len(tokens), stride):
        end = min(start + room, len(tokens))
        held, called = [*before, *tokens[start:end]], f"{name}, from token {start}"
        yield Row(held, len(before) + scored - start, unit, called, text if end - start < TELLING else "")
        scored = end
        if end == len(tokens):
            return


def _around(encoder: Encoder) -> tuple[list[int], list[int]]:
    """What a tokenizer puts before and behind every text: an empty one is nothing else."""
    empty, probe = _tokens(encoder, ""), _tokens(encoder, "a")
    for cut in range(len(empty), -1, -1):
        if _framed(probe, empty[:cut], empty[cut:]):
            return empty[:cut], empty[cut:]
    raise DataError(
        f"the tokenizer makes the tokens {empty} of no text and {probe} of 'a': which of them it puts around every "
        "text cannot be told"
    )


def _inside(tokens: list[int], before: list[int], behind: list[int], name: str) -> list[int]:
    """The tokens of a text without what stands around every text."""
    if not _framed(tokens, before, behind):
        raise DataError(
            f"the tokenizer puts {before} before and {behind} behind a text, and not around {name}: its tokens cannot "
            "be told from those"
        )
    return tokens[len(before) : len(tokens) - len(behind)]


def _framed(tokens: list[int], before: list[int], behind: list[int]) -> bool:
    start, end = len(before), len(tokens) - len(behind)
    return start <= end and tokens[:start] == before and tokens[end:] == behind


def _tokens(encoder: Encoder, text: str) -> list[int]:
    tokens: torch.Tensor = encoder([text])[0]
    found: list[int] = tokens[0].tolist()
    return found


def split(
    evaluated: Sequence[tuple[str, str]], trained: Sequence[tuple[str, str]], calibration: int, cut: Cut
) -> Dataset:
    """The splits of documents for a language model.

    Args:
        evaluated: name and text of the documents that are held out.
        trained: of those to calibrate and train on.
        calibration: windows to calibrate on.
        cut: how documents become windows; `most` is for those that are evaluated.

    Raises:
        DataError: a document is both held out and trained on.
    """
    whole = Cut(cut.window, cut.stride)

    def documents(chosen: Sequence[tuple[str, str]], cut: Cut) -> Documents:
        return Documents([text for _, text in chosen], [name for name, _ in chosen], cut)

    few = Cut(cut.window, cut.stride, calibration)
    # Windows of different documents never look alike, so an overlap shows in the documents or not at all.
    Dataset(documents(trained, few), documents(evaluated, cut)).checked()
    return Dataset(documents(trained, few), documents(evaluated, cut), documents(trained, whole))
