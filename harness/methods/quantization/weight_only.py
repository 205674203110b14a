"""Weights in few bits, arithmetic in float: less to store and to read, and no activation is rounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from harness.errors import MethodError
from harness.evidence import Evidence, TensorFact
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop
from harness.methods.layers import Names, below, chosen
from harness.methods.quantization.grouping import (
    Rounding,
    coded,
    embeddings,
    left_float,
    other_matrices,
    pack_embedding,
    pack_linear,
    plain_linear,
    stored_matrix,
    tied_heads,
)

if TYPE_CHECKING:
    from torch import nn

# How each width is stored.
STORED = {8: ("uint8", "int8"), 4: ("uint4", "int4")}


@METHODS.register
class WeightOnly(Method):
    """Store the weights of linear and embedding layers in 8 or 4 bits, each group with a scale (and a zero point).

    Embeddings and the last layer stay in 8 bits where the others take 4, unless `all_layers`. On OpenVINO the library
    does it, and its kernels gain time by it; in torch the codes are widened at every call, or when a program is loaded.
    NNCF, "Weights Compression" (nncf.compress_weights); E. Frantar et al., "GPTQ", 2023, describes grouping.
    """

    method: Literal["weight-only"] = "weight-only"
    also: ClassVar[Mapping[str, str]] = {
        "weight-only-quantization": "", "w8a16": "bits: 8", "w4a16": "bits: 4", "int4": "bits: 4", "rtn": "",
        "round-to-nearest": "", "awq": "bits: 4, awq: true",
    }  # fmt: skip
    forms: ClassVar[Mapping[Form, Form]] = {
        Form.OPENVINO: Form.OPENVINO,
        Form.TORCH: Form.WEIGHT_ONLY,
        Form.WEIGHT_ONLY: Form.WEIGHT_ONLY,
    }
    bits: Literal[8, 4] = Field(default=8, description="of a stored weight")
    symmetric: bool = Field(default=False, description="no zero points: smaller and coarser")
    group_size: int | None = Field(
        default=None, ge=8, description="weights that share a scale; if left out 128 with 4 bits, and a row with 8"
    )
    all_layers: bool = Field(default=False, description="4 bits for embeddings and the last layer too")
    keep_float: Names = Field(default=(), description="layers, or modules with all their layers, to leave in float")
    ratio: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="share of the weights that take 4 bits, the least sensitive layers first; the others take 8 (NNCF)",
    )
    awq: bool = Field(
        default=False, description="scale the inputs that matter most before rounding to 4 bits, calibrated (NNCF)"
    )
    scale_estimation: bool = Field(
        default=False, description="fit 4-bit scales to the layers' answers on calibration data (NNCF)"
    )
    gptq: bool = Field(
        default=False, description="round to 4 bits column by column, on calibration data (NNCF); in torch: method gptq"
    )

    @model_validator(mode="after")
    def _options_fit(self) -> WeightOnly:
        if self.bits == 8 and self.all_layers:
            raise ValueError("all_layers is for 4 bits: with 8, embeddings and the last layer take them too")
        if self.bits == 8 and (self.ratio is not None or self.calibrated):
            raise ValueError("ratio, awq, scale_estimation and gptq are for 4 bits: NNCF knows none of them with 8")
        return self

    @property
    def calibrated(self) -> bool:
        """Whether rounding is fitted to calibration data."""
        return self.awq or self.scale_estimation or self.gptq

    @property
    def transitions(self) -> Mapping[Form, Form]:
        """NNCF knows no groups of 8-bit weights: they are made in torch, and lowered where the runtime asks for it.

        What is fitted to data, or mixed by sensitivity, only NNCF does.
        """
        if self.bits == 8 and self.group_size is not None:
            return {form: to for form, to in self.forms.items() if form is not Form.OPENVINO}
        if self.calibrated or self.ratio is not None:
            return {Form.OPENVINO: Form.OPENVINO}
        return self.forms

    @property
    def undoes(self) -> frozenset[Trait]:
        """Values that weights share; with `gptq` zeros too, which make up for what is lost like any weight."""
        return frozenset({Trait.ZEROS, Trait.CODEBOOKS} if self.gptq else {Trait.CODEBOOKS})

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Quantize the constants of the graph, or replace the layers of the module."""
        if subject.form is Form.OPENVINO:
            from harness.methods.quantization.nncf import compress_weights

            return replace(subject, model=compress_weights(subject.model, self, workshop))
        return replace(subject, form=Form.WEIGHT_ONLY, model=self._packed(subject.model.eval()))

    def _packed(self, model: nn.Module) -> nn.Module:
        eight, few = Rounding(8, self.symmetric, search=False), Rounding(self.bits, self.symmetric, search=False)
        wide = self.bits == 8 or not self.all_layers
        layers, found = plain_linear(model), embeddings(model)
        kept = chosen("keep_float", self.keep_float, [*layers, *found, *other_matrices(model)])
        if not (layers.keys() | found.keys()) - kept:
            raise MethodError(f"{self.method}: no linear or embedding layer is left to quantize")
        for name, layer in layers.items():
            if name in kept:
                continue
            # A head that is tied to an embedding goes with it, and is the last layer then.
            last = name == list(layers)[-1] and not tied_heads(model)
            rounding, group = (eight, None) if wide and last and self.bits == 4 else (few, self._group)
            model = pack_linear(model, layer, stored_matrix(layer.weight, rounding, group))
        for name, embedding in found.items():
            if name in kept:
                continue
            rounding, group = (eight, None) if wide and self.bits == 4 else (few, self._group)
            model = pack_embedding(model, name, stored_matrix(embedding.weight, rounding, group))
        return model.eval()

    @property
    def _group(self) -> int | None:
        return self.group_size or (128 if self.bits == 4 else None)

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """Too few weights stored in so many bits: none, or less than half of those that were not to be kept."""
        codes = coded(after)
        if codes:
            held, total = sum(codes.values()), sum(one.elements for one in self._wanted(before))
            few = (
                [f"only {held / total:.0%} of {total:,} weight elements are stored in codes"]
                if held < total / 2
                else []
            )
            return [*few, *left_float(before, after, self.keep_float)]
        # A step before may have taken a part in 4 bits where this one takes the rest in 8.
        wanted = self._wanted(after)
        total = sum(one.elements for one in wanted)
        held = sum(one.elements for one in wanted if one.dtype in (*STORED[8], *STORED[4]))
        if after.share(*STORED[self.bits]) == 0:
            return [f"none of the {total:,} weight elements is stored in {self.bits} bits"]
        if held < total / 2:
            return [f"only {held / total:.0%} of {total:,} weight elements are stored in so few bits"]
        return []

    def _wanted(self, evidence: Evidence) -> list[TensorFact]:
        """The weight matrices that were not to be kept in float."""
        return [one for one in evidence.matrices if not below(one.name, self.keep_float)]
