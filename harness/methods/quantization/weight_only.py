"""Weights in few bits, arithmetic in float: less to store and to read, and no activation is rounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Workshop

# How each width is stored.
STORED = {8: ("uint8", "int8"), 4: ("uint4", "int4")}


@METHODS.register
class WeightOnly(Method):
    """Store the weights of linear and embedding layers in 8 or 4 bits, each group with a scale (and a zero point).

    Embeddings and the last layer stay in 8 bits where the others take 4, unless `all_layers`.
    NNCF, "Weights Compression" (nncf.compress_weights); E. Frantar et al., "GPTQ", 2023, describes grouping.
    """

    method: Literal["weight-only"] = "weight-only"
    forms: ClassVar[Mapping[Form, Form]] = {Form.OPENVINO: Form.OPENVINO}
    bits: Literal[8, 4] = Field(default=8, description="of a stored weight")
    symmetric: bool = Field(default=False, description="no zero points: smaller and coarser")
    group_size: int | None = Field(
        default=None, ge=8, description="weights that share a scale, with 4 bits; 128 if left out. With 8 bits: a row"
    )
    all_layers: bool = Field(default=False, description="4 bits for embeddings and the last layer too")

    @model_validator(mode="after")
    def _options_fit(self) -> WeightOnly:
        if self.bits == 8 and (self.group_size is not None or self.all_layers):
            raise ValueError("group_size and all_layers are for 4 bits: with 8, each row has its own scale everywhere")
        return self

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Quantize the constants of the graph; nothing is calibrated."""
        from harness.methods.quantization.nncf import compress_weights

        return replace(subject, model=compress_weights(subject.model, self))

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """Too few weights stored in so many bits: none, or less than half of them."""
        narrow = (*STORED[8], *STORED[4]) if self.bits == 4 else STORED[8]
        share, total = after.share(*narrow), sum(after.dtypes.values())
        if after.share(*STORED[self.bits]) == 0:
            return [f"none of the {total:,} weight elements is stored in {self.bits} bits"]
        return [f"only {share:.0%} of {total:,} weight elements are stored in so few bits"] if share < 0.5 else []
