"""The control: nothing is done to the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from harness.forms import Form, Subject
from harness.methods.base import METHODS, Method, Trait, Workshop


@METHODS.register
class Identity(Method):
    """Do nothing, on purpose.

    The control that every measurement of a ratio must find to be 1, and that no gate may take for a compression.
    """

    method: Literal["identity"] = "identity"
    also: ClassVar[Mapping[str, str]] = {"none": "", "no-op": "", "noop": ""}
    forms: ClassVar[Mapping[Form, Form]] = {form: form for form in Form}

    @property
    def leaves(self) -> frozenset[Trait]:
        """Nothing."""
        return frozenset()

    def apply(self, subject: Subject, workshop: Workshop) -> Subject:
        """The subject as it came."""
        return subject
