"""Entropy coding: the last step, after which a model is only written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from harness.artifacts.encoded import Encoded
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Workshop


@METHODS.register
class EntropyCoding(Method):
    """Write tensors of few values as codebooks, and code the indices into them and where the weights are not zero.

    `huffman`: S. Han, H. Mao, W. Dally, "Deep Compression", 2016, section 4. `range`: a range coder and a model of
    which weights are zero and what the others are, given their neighbours. Both decode to the very same bits.
    """

    method: Literal["entropy-coding"] = "entropy-coding"
    also: ClassVar[Mapping[str, str]] = {
        "huffman": "coder: huffman", "huffman-coding": "coder: huffman", "range-coding": "coder: range",
        "arithmetic-coding": "coder: range", "deep-compression": "coder: huffman",
    }  # fmt: skip
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.ENCODED}
    coder: Literal["huffman", "range"] = Field(default="range", description="the code")

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Leave the model as it is and have it encoded."""
        return replace(subject, form=Form.ENCODED, model=Encoded(subject.model.eval(), self.coder))

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """No weight matrix is coded: written as it is, each took fewer bytes."""
        if after.encodings.get(self.coder):
            return []
        kept = ", ".join(f"{count:,} {how}" for how, count in sorted(after.encodings.items())) or "none at all"
        return [
            f"no weight matrix is coded ({self.coder}), as none has few enough values or zeros enough; the file keeps "
            f"their elements {kept}"
        ]
