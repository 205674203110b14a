"""Embeddings in few bits: of a small language model they are most of the bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from harness.errors import MethodError
from harness.evidence import Evidence, Role
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop
from harness.methods.compensation import input_moments
from harness.methods.layers import Names, below, chosen
from harness.methods.quantization.compensated_rounding import compensated_matrix
from harness.methods.quantization.grouping import (
    Rounding,
    embeddings,
    narrow,
    pack_embedding,
    stored_matrix,
    tied_heads,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

# Of the moments' mean, where none is given; and samples a run at most.
DAMPING, BATCH = 0.01, 8


@METHODS.register
class EmbeddingQuantization(Method):
    """Store embeddings in 2 to 8 bits, each group of a row with a scale (and a zero point).

    An output layer that is tied to an embedding stays tied: the matrix is stored once, and widened whole at every call.
    With `fit: outputs` such a matrix is rounded for what that layer answers on calibration data, as `gptq` rounds a
    linear layer; an embedding that no layer is tied to is rounded to the nearest all the same.
    E. Frantar et al., "GPTQ", 2023, algorithm 1.
    """

    method: Literal["embedding-quantization"] = "embedding-quantization"
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.WEIGHT_ONLY, Form.WEIGHT_ONLY: Form.WEIGHT_ONLY}
    bits: Literal[2, 3, 4, 5, 6, 7, 8] = Field(default=8, description="of a stored weight")
    group_size: int | None = Field(default=None, ge=8, description="weights that share a scale; unset: a row")
    symmetric: bool = Field(default=False, description="no zero points: smaller and coarser")
    search: bool = Field(default=True, description="cut outliers of a group where that lessens its squared error")
    fit: Literal["weights", "outputs"] = Field(
        default="weights",
        description="what changes least: each weight; or the answers of the output layer that is tied to the "
        "embedding, on calibration data",
    )
    damping: float | None = Field(
        default=None,
        gt=0,
        description="with `fit: outputs`: added to the diagonal of the output layer's input moments, as a share of its "
        f"mean ({DAMPING} if left out); the more, the nearer each weight stays to itself, as what looks rows up needs",
    )
    keep_float: Names = Field(default=(), description="embeddings, or modules with all theirs, to leave in float")

    @model_validator(mode="after")
    def _options_fit(self) -> EmbeddingQuantization:
        if self.damping is not None and self.fit == "weights":
            raise ValueError("damping is for `fit: outputs`")
        return self

    @property
    def undoes(self) -> frozenset[Trait]:
        """Values that weights share; fitted to answers, the zeros in what is tied make up for what is lost, too."""
        return frozenset({Trait.TIED_ZEROS, Trait.CODEBOOKS} if self.fit == "outputs" else {Trait.CODEBOOKS})

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Replace the embeddings."""
        model: nn.Module = subject.model.eval()
        found = embeddings(model)
        kept = chosen("keep_float", self.keep_float, found)
        left = {name: part for name, part in found.items() if name not in kept}
        if not left:
            raise MethodError(f"{self.method}: no embedding is left to quantize")
        moments = self._moments(model, left, workshop) if self.fit == "outputs" else {}
        for name, part in left.items():
            workshop.progress(f"embedding {name}")
            model = pack_embedding(model, name, self.quantized(part.weight, moments.get(name)))
        return replace(subject, form=Form.WEIGHT_ONLY, model=model.eval())

    def quantized(self, weight: torch.Tensor, moments: torch.Tensor | None) -> nn.Module:
        """An embedding as grouped integers.

        Args:
            weight: shape (rows, columns).
            moments: second moments of what is multiplied by it, float64, shape (columns, columns); None: each weight is
                rounded to the nearest.
        """
        rounding = Rounding(self.bits, self.symmetric, self.search)
        if moments is None:
            return stored_matrix(weight, rounding, self.group_size)
        return compensated_matrix(weight, moments, rounding, self.group_size, "inputs", self.damping or DAMPING)

    def _moments(
        self, model: nn.Module, left: Mapping[str, nn.Embedding], workshop: Workshop
    ) -> dict[str, torch.Tensor]:
        """Second moments of what the layers tied to each embedding multiply; an embedding without one is left out."""
        import torch

        calibration = workshop.calibration(f"{self.method} with `fit: outputs` calibrates")
        heads = tied_heads(model)
        tied = {name: [head for head in heads if head.weight is part.weight] for name, part in left.items()}
        layers = {f"{name} {place}": head for name, some in tied.items() for place, head in enumerate(some)}
        if not layers:
            raise MethodError(
                f"{self.method}: no output layer is tied to {min(left)}, so that there are no answers to fit: use "
                "`fit: weights`"
            )

        def run() -> None:
            done = 0
            with torch.no_grad():
                # Logits of a language model's windows are large: no more at once than its task takes.
                for batch in calibration.unpadded(min(BATCH, workshop.task.batch)):
                    workshop.progress(f"{done} of {len(calibration)} calibration samples")
                    model(*batch.inputs)
                    done += len(batch.targets)

        found = input_moments(run, layers)
        return {
            name: torch.stack([found[f"{name} {place}"] for place in range(len(some))]).sum(0)
            for name, some in tied.items()
            if some
        }

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """No codes at all, or embeddings in float that were not to be kept."""
        if not narrow(after):
            return [f"none of the {sum(before.dtypes.values()):,} weight elements is stored in codes"]
        left = [
            one.name
            for one in after.matrices
            if one.plays(Role.LOOKED_UP)
            and one.dtype.startswith(("float", "bfloat"))
            and not below(one.name, self.keep_float)
        ]
        return [f"{len(left)} embeddings are still in float: {', '.join(left[:3])}"] if left else []
