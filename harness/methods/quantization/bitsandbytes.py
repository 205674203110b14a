"""What the steps that use bitsandbytes have in common: linear layers are replaced, one by one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from harness.errors import MethodError
from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import Method, Trait, Workshop
from harness.methods.layers import Names, chosen
from harness.methods.low_rank.sites import replace_layer
from harness.methods.quantization.grouping import left_float, other_matrices, plain_linear

if TYPE_CHECKING:
    from torch import nn


class Bitsandbytes(Method):
    """Store the weights of linear layers as bitsandbytes does, and run them by its operators.

    Embeddings, and an output layer that is tied to one, stay in float: `embedding-quantization` is for them.
    """

    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.WEIGHT_ONLY, Form.WEIGHT_ONLY: Form.WEIGHT_ONLY}
    keep_float: Names = Field(default=(), description="layers, or modules with all their layers, to leave in float")

    @property
    def undoes(self) -> frozenset[Trait]:
        """Values that weights share."""
        return frozenset({Trait.CODEBOOKS})

    @abstractmethod
    def layer(self, layer: nn.Linear) -> nn.Module:
        """What stands in the place of a linear layer."""

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Replace the linear layers; nothing is calibrated."""
        model: nn.Module = subject.model.eval()
        layers = plain_linear(model)
        kept = chosen("keep_float", self.keep_float, [*layers, *other_matrices(model)])
        left = {name: layer for name, layer in layers.items() if name not in kept}
        if not left:
            raise MethodError(f"{self.method}: no linear layer is left to quantize")
        for layer in left.values():
            model = replace_layer(model, layer, self.layer(layer))
        return replace(subject, form=Form.WEIGHT_ONLY, model=model.eval())

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """No codes at all, or linear layers in float that were not to be kept."""
        return left_float(before, after, self.keep_float)
