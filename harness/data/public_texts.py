"""Texts in English for language models: news of 2001 and articles of Wikipedia. They come with gensim."""

from __future__ import annotations

import bz2
import hashlib
import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal
from xml.etree import ElementTree

from pydantic import Field

from harness.data.base import DATA, Data, Dataset
from harness.data.windows import Cut, Window, split
from harness.packaged import packaged

# One text a line: those that people judged for the Lee corpus, and 300 others of the same kind.
JUDGED, BACKGROUND = "lee.cor", "lee_background.cor"
ARTICLES = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
# The first so many texts of each kind are held out.
HELD_OUT = {"news": 150, "wikipedia": 40}
# Of an article its opening is taken, whole paragraphs, so that few windows hold many articles; what has no opening of
# that length is a redirection, or a list that the markup held.
OPENING, LEAST_CHARACTERS = 2_400, 1_200
# Texts that have so many words in a row in common tell of each other. T. Brown et al., "Language Models are Few-Shot
# Learners", 2020, appendix C.
PASSAGE = 13


@DATA.register
class PublicTexts(Data):
    """343 news texts of 50 to 400 words, or the openings of 80 articles of Wikipedia. Comes with gensim."""

    source: Literal["public-texts"] = "public-texts"
    part: Literal["news", "wikipedia"] = Field(default="news", description="which texts")
    calibration: int = Field(default=32, ge=1, description="windows to calibrate on, of texts that are not held out")
    window: Window = Field(default=512, description="tokens that the model reads at once")
    stride: int | None = Field(
        default=None, ge=1, description="tokens from one window to the next of a long text; no overlap if left out"
    )
    windows: int | None = Field(default=None, ge=2, description="windows to evaluate on, the first; all if left out")
    tasks: ClassVar[frozenset[str]] = frozenset({"causal-lm"})
    texts: ClassVar[bool] = True

    @property
    def most(self) -> int | None:
        """Windows."""
        return self.windows

    def load(self, root: Path) -> Dataset:
        """The splits, by text: what is evaluated on is held out whole, and so is any text that repeats some of it."""
        documents = list(_news() if self.part == "news" else _articles())
        held_out, others = documents[: HELD_OUT[self.part]], documents[HELD_OUT[self.part] :]
        cut = Cut(self.window, self.stride, self.windows)
        return split(held_out, apart(others, held_out), self.calibration, cut)

    def fingerprint(self, root: Path) -> str:
        """The sha256 of the files."""
        names = (JUDGED, BACKGROUND) if self.part == "news" else (ARTICLES,)
        return hashlib.sha256(b"".join(hashlib.sha256(_file(name).read_bytes()).digest() for name in names)).hexdigest()


def apart(texts: Sequence[tuple[str, str]], held_out: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of some texts, each with its name, that have no passage of `PASSAGE` words in common with one held out."""
    evaluated = set().union(*(_passages(text) for _, text in held_out))
    return [(name, text) for name, text in texts if not _passages(text) & evaluated]


def _passages(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[start : start + PASSAGE]) for start in range(len(words) - PASSAGE + 1)}


def _news() -> Iterator[tuple[str, str]]:
    """Each text once: some of the 300 say the same."""
    seen: set[str] = set()
    for name, called in ((JUDGED, "news text"), (BACKGROUND, "background text")):
        for line, text in enumerate(_file(name).read_text(encoding="latin-1").splitlines(), 1):
            if text.strip() and text.strip() not in seen:
                seen.add(text.strip())
                yield f"{called} {line}", text.strip()


def _articles() -> Iterator[tuple[str, str]]:
    with bz2.open(_file(ARTICLES)) as stream:
        for _, page in ElementTree.iterparse(stream):
            if page.tag.rpartition("}")[2] != "page":
                continue
            parts = {part.tag.rpartition("}")[2]: part.text or "" for part in page.iter()}
            text = _opening(plain(parts["text"])) if parts["ns"] == "0" else ""
            if len(text) >= LEAST_CHARACTERS:
                yield parts["title"], text
            page.clear()


def _opening(text: str) -> str:
    taken = ""
    for paragraph in text.split("\n\n"):
        if len(taken) + len(paragraph) > OPENING:
            break
        taken += f"\n\n{paragraph}" if taken else paragraph
    return taken


# What is cut out of an article: what stands between these, innermost first.
_INSIDE = (r"\{\{[^{}]*\}\}", r"\{\{[^{}]*\}\}", r"\{\{[^{}]*\}\}", r"\{\|[^{}]*?\|\}")
_PICTURE = r"\[\[(?:File|Image|Category):[^\[\]]*\]\]"
_OUT = (r"<!--.*?-->", r"<ref[^>]*/>", r"<ref[^>]*>.*?</ref>", r"<(math|gallery|timeline)[^>]*>.*?</\1>", r"</?[^<>]+>")


def plain(markup: str) -> str:
    """The running text of an article: links as their words, without tables, templates, notes, headings and lists."""
    text = html.unescape(markup)
    for pattern in _OUT:
        text = re.sub(pattern, "", text, flags=re.DOTALL)
    for pattern in _INSIDE:
        text = re.sub(pattern, "", text, flags=re.DOTALL)
    # Links in the caption of a picture go before it does.
    text = re.sub(r"\[\[(?!File:|Image:|Category:)(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]", r"\1", text)
    text = re.sub(_PICTURE, "", text)
    text = re.sub(r"\[https?:\S+ ?([^\]]*)\]", r"\1", text)
    text = text.replace("'''", "").replace("''", "")
    lines = [line.strip() for line in text.splitlines()]
    # Headings, lists, and what is left of tables and templates begin so; a paragraph begins with a letter or quote.
    kept = [line for line in lines if line and line[0] not in "=*#:;|!{}[]-<&" and not line.endswith(":")]
    return "\n\n".join(line for line in kept if len(line) > 40)


def _file(name: str) -> Path:
    return packaged("gensim", f"test/test_data/{name}")
