"""Embeddings in few bits: of a small language model they are most of the bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop
from harness.methods.layers import Names, below, chosen
from harness.methods.quantization.grouping import Rounding, embeddings, narrow, pack_embedding, stored_matrix

if TYPE_CHECKING:
    from torch import nn


@METHODS.register
class EmbeddingQuantization(Method):
    """Store embeddings in 2 to 8 bits, each group of a row with a scale (and a zero point).

    An output layer that is tied to an embedding stays tied: the matrix is stored once, and widened whole at every call.
    """

    method: Literal["embedding-quantization"] = "embedding-quantization"
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.WEIGHT_ONLY, Form.WEIGHT_ONLY: Form.WEIGHT_ONLY}
    bits: Literal[2, 3, 4, 5, 6, 7, 8] = Field(default=8, description="of a stored weight")
    group_size: int | None = Field(default=None, ge=8, description="weights that share a scale; unset: a row")
    symmetric: bool = Field(default=False, description="no zero points: smaller and coarser")
    search: bool = Field(default=True, description="cut outliers of a group where that lessens its squared error")
    keep_float: Names = Field(default=(), description="embeddings, or modules with all theirs, to leave in float")

    @property
    def undoes(self) -> frozenset[Trait]:
        """Values that weights share."""
        return frozenset({Trait.CODEBOOKS})

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Replace the embeddings; nothing is calibrated."""
        model: nn.Module = subject.model.eval()
        found = embeddings(model)
        kept = chosen("keep_float", self.keep_float, found)
        left = [name for name in found if name not in kept]
        if not left:
            raise MethodError(f"{self.method}: no embedding is left to quantize")
        rounding = Rounding(self.bits, self.symmetric, self.search)
        for name in left:
            workshop.progress(f"embedding {name}")
            weight = found[name].weight
            model = pack_embedding(model, name, stored_matrix(weight, rounding, self.group_size))
        return replace(subject, form=Form.WEIGHT_ONLY, model=model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """No codes at all, or embeddings in float that were not to be kept."""
        if not narrow(after):
            return [f"none of the {sum(before.dtypes.values()):,} weight elements is stored in codes"]
        left = [
            one.name
            for one in after.matrices
            if any("embedding" in user for user in one.used_by)
            and one.dtype.startswith(("float", "bfloat"))
            and not below(one.name, self.keep_float)
        ]
        return [f"{len(left)} embeddings are still in float: {', '.join(left[:3])}"] if left else []
