"""The short type with float32's range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Workshop
from harness.methods.quantization.casting import cast, uncast


@METHODS.register
class BFloat16(Method):
    """Store weights and compute in bfloat16: 8 bits of precision, the range of float32.

    The artifact takes and gives float32. CPUs without bfloat16 instructions are slower with it than with float32.
    D. Kalamkar et al., "A Study of BFLOAT16 for Deep Learning Training", 2019.
    """

    method: Literal["bfloat16"] = "bfloat16"
    also: ClassVar[Mapping[str, str]] = {"bf16": ""}
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH}

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Convert every weight and buffer."""
        import torch

        return replace(subject, model=cast(subject.model, torch.bfloat16))

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """Weights that are still float32."""
        return uncast(before, after, "bfloat16")
