"""The float model as something to learn from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.errors import MethodError
from harness.forms import Form, Subject


def runnable(reference: Subject, method: str) -> Callable[..., Any]:
    """The float model as a callable, in evaluation mode.

    Raises:
        MethodError: it is of a form that torch does not run.
    """
    if reference.form is Form.EXPORTED:
        module: Callable[..., Any] = reference.model.module()
        return module
    if reference.form in (Form.TORCH, Form.TORCHSCRIPT):
        ready: Callable[..., Any] = reference.model.eval()
        return ready
    raise MethodError(
        f"{method} cannot learn from this form of model ({reference.form}): the teacher has to run in torch"
    )
