"""GPTQ: weights to few bits so that a layer's answers change least."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop
from harness.methods.compensation import moments_in_turn
from harness.methods.layers import Names, chosen
from harness.methods.quantization.compensated_rounding import Order, compensated_matrix
from harness.methods.quantization.grouping import Rounding, left_float, other_matrices, pack_linear, plain_linear

if TYPE_CHECKING:
    import torch
    from torch import nn


@METHODS.register
class Gptq(Method):
    """Round the weights of linear layers column by column, and let the columns to come make up for what was lost.

    Block by block, on the inputs that each gets from the blocks quantized before it; only calibration inputs are
    needed, and no labels. Codes are widened at every call: less to store, and no quicker. Embeddings, and an output
    layer tied to one, stay in float: `embedding-quantization` is for them.
    E. Frantar, S. Ashkboos, T. Hoefler, D. Alistarh, "GPTQ: Accurate Post-Training Quantization for Generative
    Pre-trained Transformers", 2023, algorithm 1.
    """

    method: Literal["gptq"] = "gptq"
    also: ClassVar[Mapping[str, str]] = {"optq": "", "optimal-brain-quantization": ""}
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.WEIGHT_ONLY, Form.WEIGHT_ONLY: Form.WEIGHT_ONLY}
    needs_data: ClassVar[bool] = True
    bits: Literal[2, 3, 4, 5, 6, 7, 8] = Field(default=4, description="of a stored weight")
    group_size: int | None = Field(
        default=128, ge=8, description="neighbours along the inputs that share a scale; null: a row"
    )
    symmetric: bool = Field(default=False, description="no zero points: smaller and coarser")
    search: bool = Field(default=True, description="cut outliers of a group where that lessens its squared error")
    order: Order = Field(
        default="inputs",
        description="columns as they stand, each group's scale fitted when it is its turn; or those of the strongest "
        "inputs first, with scales fitted beforehand",
    )
    damping: float = Field(
        default=0.01, gt=0, le=1, description="added to the Hessian's diagonal, as a share of its mean"
    )
    batch: int = Field(default=8, ge=1, description="calibration samples a run")
    targets: Names = Field(default=(), description="layers, or modules with all theirs, to quantize; unset: all")
    keep_float: Names = Field(default=(), description="layers, or modules with all their layers, to leave in float")

    @property
    def undoes(self) -> frozenset[Trait]:
        """Zeros, which make up for what is lost like any weight, and values that weights share."""
        return frozenset({Trait.ZEROS, Trait.CODEBOOKS})

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Quantize the layers in the order in which they run."""
        import torch

        model: nn.Module = subject.model.eval()
        calibration = workshop.calibration(f"{self.method} calibrates")
        layers = plain_linear(model)
        wanted = chosen("targets", self.targets, layers) if self.targets else set(layers)
        wanted -= chosen("keep_float", self.keep_float, [*layers, *other_matrices(model)])
        chosen_layers = {name: layer for name, layer in layers.items() if name in wanted}
        if not chosen_layers:
            raise MethodError(f"{self.method}: no linear layer is left to quantize")
        # Logits of a language model's windows are large: no more at once than its task takes.
        batch = min(self.batch, workshop.task.batch)
        with torch.no_grad():
            stored: dict[str, nn.Module] = {}
            for name, moments in moments_in_turn(model, chosen_layers, calibration, batch, workshop.progress):
                layer = chosen_layers[name]
                stored[name] = self.quantized(layer.weight, moments)
                # What the next block is calibrated on.
                layer.weight.copy_(stored[name].weight())  # type: ignore[operator]
            for name, layer in chosen_layers.items():
                model = pack_linear(model, layer, stored[name])
        return replace(subject, form=Form.WEIGHT_ONLY, model=model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """No codes at all, or linear layers in float that were not to be kept."""
        return left_float(before, after, self.keep_float, self.targets)

    def quantized(self, weight: torch.Tensor, moments: torch.Tensor) -> nn.Module:
        """A weight as grouped integers.

        Args:
            weight: shape (rows, columns).
            moments: second moments of its inputs, float64, shape (columns, columns).
        """
        rounding = Rounding(self.bits, self.symmetric, self.search)
        return compensated_matrix(weight, moments, rounding, self.group_size, self.order, self.damping)
