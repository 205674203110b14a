"""Half precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

from harness.evidence import Evidence
from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Workshop
from harness.methods.quantization.casting import cast, uncast


@METHODS.register
class Float16(Method):
    """Store weights as IEEE 754 binary16: 11 bits of precision, largest value 65,504.

    In a torch module the arithmetic is float16 too, and the artifact takes and gives float32. In an OpenVINO model
    constants are widened when it is loaded, and the arithmetic stays float32.
    P. Micikevicius et al., "Mixed Precision Training", 2018, shows that networks bear it.
    """

    method: Literal["float16"] = "float16"
    also: ClassVar[Mapping[str, str]] = {"fp16": "", "half": "", "half-precision": ""}
    forms: ClassVar[Mapping[Form, Form]] = {Form.TORCH: Form.TORCH, Form.OPENVINO: Form.OPENVINO}

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """Convert every weight and buffer."""
        import torch

        if subject.form is Form.OPENVINO:
            from harness.methods.quantization.nncf import compress_to_float16

            return replace(subject, model=compress_to_float16(subject.model))
        return replace(subject, model=cast(subject.model, torch.float16))

    def contradictions(self, before: Evidence, after: Evidence) -> list[str]:
        """Weights that are still float32."""
        return uncast(before, after, "float16")
